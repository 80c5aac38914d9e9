//! What can keep the indexer from going on, and what it does about it.

use std::error::Error;

use chain::{CheckError, ClientError, event::Undecodable};
use store::StoreError;

use crate::follow::Break;

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexerError {
    /// The database: give up leadership, wait, begin again from what is stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database answers nothing at all: as above.
    #[error("the database did not answer in time")]
    DatabaseTimeout,
    /// Another indexer leads: stand by.
    #[error("another indexer has taken over")]
    FenceLost,
    /// The node: wait, ask again.
    #[error(transparent)]
    Node(#[from] ClientError),
    /// The wrong node, or a chain that was reset: wait, check again.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The chain moved while it was read: look again at once.
    #[error("the chain moved while it was read")]
    BlockMoved,
    /// Nothing may be applied past this.
    #[error("{0}")]
    Halt(Box<Halt>),
}

/// Why nothing more is applied until the evidence changes or an operator decides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    /// A log that the registry cannot have written.
    #[error("{0}")]
    Undecodable(Undecodable),
    /// Logs are missing, swapped or forged, also when asked for again.
    #[error(
        "{0}; if the node is right, restart with --accept-reorg-to and a block before the break"
    )]
    Break(Break),
    /// The chain was undone below what was final.
    #[error(
        "the chain was undone below block {finalized_up_to}, which was final; the newest block that is still the \
         same is {}: if this is right, restart with --accept-reorg-to and that block or one before",
        .fork.map_or_else(|| "no longer remembered".to_owned(), |block| block.to_string())
    )]
    TooDeep {
        /// The newest block both have, if one is still remembered.
        fork: Option<u64>,
        /// What was final.
        finalized_up_to: u64,
    },
}

/// Every reason of [`IndexerError::halted`].
pub(crate) const HALTS: [&str; 4] = [
    "UNDECODABLE_LOG",
    "EVENTS_DO_NOT_FOLLOW",
    "REORG_BELOW_FINALITY",
    "WRONG_NODE",
];

impl IndexerError {
    /// Why nothing more is applied, by a name that does not change; `None` for what is waited for.
    pub(crate) fn halted(&self) -> Option<&'static str> {
        match self {
            Self::Halt(halt) => Some(match halt.as_ref() {
                Halt::Undecodable(_) => "UNDECODABLE_LOG",
                Halt::Break(_) => "EVENTS_DO_NOT_FOLLOW",
                Halt::TooDeep { .. } => "REORG_BELOW_FINALITY",
            }),
            Self::Check(
                CheckError::WrongChain { .. }
                | CheckError::NoCode { .. }
                | CheckError::WrongCode { .. }
                | CheckError::WrongVersion { .. }
                | CheckError::OtherLine { .. }
                | CheckError::NoBlock { .. }
                | CheckError::LateBlock { .. },
            ) => Some("WRONG_NODE"),
            Self::Check(CheckError::Client(_))
            | Self::Store(_)
            | Self::DatabaseTimeout
            | Self::FenceLost
            | Self::Node(_)
            | Self::BlockMoved => None,
        }
    }
}

impl From<Halt> for IndexerError {
    fn from(halt: Halt) -> Self {
        Self::Halt(Box::new(halt))
    }
}

impl From<Undecodable> for IndexerError {
    fn from(undecodable: Undecodable) -> Self {
        Halt::Undecodable(undecodable).into()
    }
}

impl From<Break> for IndexerError {
    fn from(seen: Break) -> Self {
        Halt::Break(seen).into()
    }
}

/// An error and its causes in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        // A transparent error repeats its cause.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = next.source();
    }
    line
}
