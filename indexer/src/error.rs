//! What can keep the indexer from going on, and what it does about it.

use std::{error::Error, time::Duration};

use chain::{BlockHash, CheckError, ClientError, UnprovenLog, event::Undecodable};
use store::StoreError;

use crate::{follow::Break, position::BlockRef};

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
    /// Another may lead by now: stand by.
    #[error("the lease to lead was lost")]
    LeaseLost,
    /// The node: wait, ask again.
    #[error(transparent)]
    Node(#[from] ClientError),
    /// The wrong node, or a chain that was reset: wait, check again.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The chain moved while it was read: look again at once.
    #[error("the chain moved while it was read")]
    BlockMoved,
    /// Nobody says whether logs are missing at the end of what was read: it is not applied, and read again.
    #[error(
        "blocks {from} to {to} are not applied: the node does not say where the registry stands after them, and no \
         later event shows it"
    )]
    Unconfirmed {
        /// The first of them.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Two nodes know different blocks, and it is not known who is right: ask the other one.
    #[error(
        "the node that is asked does not have our block {} ({}), and another one does: nothing is undone",
        .0.number,
        .0.hash
    )]
    Disputed(BlockRef),
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
    /// A log that the node's own blocks or receipts contradict, also when asked for again.
    #[error("{0}; ask another node, or wait until this one is mended")]
    Unproven(UnprovenLog),
    /// Logs are missing, swapped or forged, also when asked for again.
    #[error(
        "{0}; if the node is right, restart with `meditrustal-indexer --accept-reorg-to {before}`, or with a block before that",
        before = .0.block.number.saturating_sub(1)
    )]
    Break(Break),
    /// The chain was undone below what was final.
    #[error(
        "the chain was undone below block {finalized_up_to}, which was final: block {} is {} here and {} at the node; {}",
        .ours.number,
        .ours.hash,
        shown(*.theirs),
        way_on(*.fork)
    )]
    TooDeep {
        /// The newest block both have, if one is still known.
        fork: Option<u64>,
        /// What was final.
        finalized_up_to: u64,
        /// The oldest of our blocks that was compared and is another one.
        ours: BlockRef,
        /// What the node has in its place.
        theirs: Option<BlockHash>,
    },
    /// The operator named a block that is not the same on both sides.
    #[error(
        "--accept-reorg-to {asked} is refused: block {} is {} here and {} at the node; {}",
        .ours.number,
        .ours.hash,
        shown(*.theirs),
        way_on(*.fork)
    )]
    NotCommon {
        /// What was named.
        asked: u64,
        /// A block of ours up to it.
        ours: BlockRef,
        /// What the node has in its place.
        theirs: Option<BlockHash>,
        /// The newest block both have, if one is still known.
        fork: Option<u64>,
    },
    /// Two nodes have different blocks where one is about to be called final.
    #[error(
        "block {} was to be called final: it is {} here and {} at node {node}; nothing more is called final until they agree",
        .ours.number,
        .ours.hash,
        .theirs.hash
    )]
    NodesDisagree {
        /// Our block.
        ours: BlockRef,
        /// The other node's.
        theirs: BlockRef,
        /// Which node that is, counted from one.
        node: usize,
    },
}

/// A hash, or that there is none.
fn shown(hash: Option<BlockHash>) -> String {
    hash.map_or_else(|| "not there".to_owned(), |hash| hash.to_string())
}

/// What an operator can do where the chain was undone below finality.
fn way_on(fork: Option<u64>) -> String {
    match fork {
        Some(block) => format!(
            "the newest block that is known to be the same is {block}: if the node is right, restart with \
             `meditrustal-indexer --accept-reorg-to {block}`"
        ),
        None => "no block is known that is the same: ask another node; if this one is right, restart with \
                 --accept-reorg-to and the block before the registry's first"
            .to_owned(),
    }
}

/// Every reason of [`IndexerError::halted`].
pub(crate) const HALTS: [&str; 6] = [
    "UNDECODABLE_LOG",
    "LOG_NOT_PROVEN",
    "EVENTS_DO_NOT_FOLLOW",
    "REORG_BELOW_FINALITY",
    "NODES_DISAGREE",
    "WRONG_NODE",
];

impl IndexerError {
    /// Why nothing more is applied, by a name that does not change; `None` for what is waited for.
    pub(crate) fn halted(&self) -> Option<&'static str> {
        match self {
            Self::Halt(halt) => Some(match halt.as_ref() {
                Halt::Undecodable(_) => "UNDECODABLE_LOG",
                Halt::Unproven(_) => "LOG_NOT_PROVEN",
                Halt::Break(_) => "EVENTS_DO_NOT_FOLLOW",
                Halt::TooDeep { .. } | Halt::NotCommon { .. } => "REORG_BELOW_FINALITY",
                Halt::NodesDisagree { .. } => "NODES_DISAGREE",
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
            | Self::LeaseLost
            | Self::Node(_)
            | Self::Unconfirmed { .. }
            | Self::Disputed(_)
            | Self::BlockMoved => None,
        }
    }

    /// How long the node wants to be left alone, where it says so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let (Self::Node(error) | Self::Check(CheckError::Client(error))) = self else {
            return None;
        };
        error.retry_after()
    }

    /// Whether logs do not follow one another.
    pub(crate) fn is_break(&self) -> bool {
        matches!(self, Self::Halt(halt) if matches!(halt.as_ref(), Halt::Break(_)))
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

impl From<UnprovenLog> for IndexerError {
    fn from(unproven: UnprovenLog) -> Self {
        Halt::Unproven(unproven).into()
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
