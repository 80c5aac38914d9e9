//! What can go wrong between us and a node. No text here ever holds the node's URL: it may carry a
//! password or an access key.

use std::time::Duration;

use crate::hash::{ChainAddress, CodeHash};

/// What nodes and those in front of them say to one that asks too often, in small letters: no standard has a code for it.
const TOO_OFTEN: [&str; 5] = [
    "rate limit",
    "rate exceeded",
    "too many requests",
    "compute units",
    "throughput",
];

/// `CHAIN_RPC_URL`, or one of `CHAIN_RPC_URLS`, cannot be used. Does not print it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is no address.
    #[error("it is no address of a node, which looks like http://host:8545")]
    Unreadable,
    /// Nodes are asked by HTTP, in clear text or by TLS.
    #[error("it must begin with https:// or http://")]
    NotHttp,
    /// In a list there may be nodes besides that tell of new blocks by WebSocket.
    #[error("it must begin with https://, http://, wss:// or ws://")]
    NotANode,
    /// A WebSocket's handshake has no place for them.
    #[error(
        "an address that begins with wss:// or ws:// takes no name and password: providers take a key in its path"
    )]
    Credentials,
}

/// Why a node gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("the chain's node cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It took longer than it may.
    #[error("the chain's node did not answer {method} in time")]
    TimedOut {
        /// What was asked.
        method: &'static str,
    },
    /// A proxy or a limiter answered in its place.
    #[error("the chain's node answered {method} with HTTP status {status}")]
    Http {
        /// What was asked.
        method: &'static str,
        /// 429 asks for patience, 413 for less.
        status: u16,
        /// How long it wants to be left alone, where it says so (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The node said no.
    #[error("the chain's node refused {method} ({code}): {message}")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// Its code.
        code: i64,
        /// Its words, cut to 300 characters.
        message: String,
    },
    /// The answer is longer than we read.
    #[error("the chain's node answered {method} with more than {limit} bytes")]
    TooLong {
        /// What was asked.
        method: &'static str,
        /// Where we stopped reading.
        limit: usize,
    },
    /// The answer is not what was asked for.
    #[error("the chain's node answered {method} with something else: {what}")]
    Unreadable {
        /// What was asked.
        method: &'static str,
        /// What was wrong with it.
        what: String,
    },
    /// Nobody was asked: each node has asked to be left alone, and it is not time yet.
    #[error("the chain's node was not asked for {method}: it wants to be left alone for {} s more", .rest.as_secs() + 1)]
    Resting {
        /// What was to be asked.
        method: &'static str,
        /// How much longer.
        rest: Duration,
    },
    /// Two nodes are on different chains for the moment: what one of them says may be undone.
    #[error(
        "two of the chain's nodes differ in block {number}, or in what the registry holds there"
    )]
    NodesDiffer {
        /// The block.
        number: u64,
    },
}

impl ClientError {
    /// Whether asking for fewer blocks could help: nodes refuse long ranges in many words.
    pub fn asks_for_less(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::TooLong { .. } | Self::Unreadable { .. } => true,
            Self::Refused { .. } | Self::Http { .. } => !self.asks_for_patience(),
            Self::Unreachable(_) | Self::Resting { .. } | Self::NodesDiffer { .. } => false,
        }
    }

    /// Whether we asked too often: the same question is answered later.
    pub fn asks_for_patience(&self) -> bool {
        match self {
            Self::Http { status, .. } => matches!(status, 429 | 503),
            Self::Refused { message, .. } => {
                let folded = message.to_ascii_lowercase();
                TOO_OFTEN.iter().any(|text| folded.contains(text))
            }
            Self::Resting { .. } => true,
            Self::Unreachable(_)
            | Self::TimedOut { .. }
            | Self::TooLong { .. }
            | Self::Unreadable { .. }
            | Self::NodesDiffer { .. } => false,
        }
    }

    /// How long the node wants to be left alone, where it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http { retry_after, .. } => *retry_after,
            Self::Resting { rest, .. } => Some(*rest),
            Self::Unreachable(_)
            | Self::TimedOut { .. }
            | Self::Refused { .. }
            | Self::TooLong { .. }
            | Self::Unreadable { .. }
            | Self::NodesDiffer { .. } => None,
        }
    }
}

/// Which version a contract is, and what it continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its version.
    pub version: u64,
    /// The contract before it.
    pub predecessor: Option<ChainAddress>,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = self.version;
        match self.predecessor {
            None => write!(f, "version {version} and continues none"),
            Some(before) => write!(f, "version {version} and continues {before}"),
        }
    }
}

/// Why this node must not be used with this deployment. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The node did not say.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Another chain.
    #[error(
        "the node is on chain {found}, the registry was deployed on chain {wanted}: point CHAIN_RPC_URL \
         to chain {wanted} or MEDITRUSTAL_DEPLOYMENT_FILE to a deployment on chain {found}"
    )]
    WrongChain {
        /// The deployment's.
        wanted: u64,
        /// The node's.
        found: u64,
    },
    /// The right chain number, but not the chain: reset, or not synchronised.
    #[error(
        "there is no contract at {registry}: the chain was reset or the node is still synchronising; \
         deploy the registry again, or wait"
    )]
    NoCode {
        /// Where it should be.
        registry: ChainAddress,
    },
    /// Something else is there.
    #[error(
        "the contract at {registry} is not the registry of the deployment file (its code hashes to \
         {found}, not to {wanted}): use the deployment file that belongs to it"
    )]
    WrongCode {
        /// Where.
        registry: ChainAddress,
        /// The deployment's.
        wanted: CodeHash,
        /// The node's.
        found: CodeHash,
    },
    /// A contract of ours, and this program does not know its version.
    #[error(
        "the deployment file says that the registry is version {found}, and this program follows version {wanted}: \
         use the program that belongs to it, or the deployment file of the registry that took its place"
    )]
    WrongVersion {
        /// What this program follows.
        wanted: u64,
        /// The deployment's.
        found: u64,
    },
    /// The contract says otherwise than the file.
    #[error(
        "the deployment file says that the contract at {contract} is {filed}, and it says that it is {found}: use \
         the deployment file that belongs to it"
    )]
    OtherLine {
        /// Which contract.
        contract: ChainAddress,
        /// What the file says of it.
        filed: Line,
        /// What it says itself.
        found: Line,
    },
    /// The chain is not as long.
    #[error(
        "the deployment file says that the registry was deployed in block {block}, and the node has only {head} \
         blocks: use the deployment file that belongs to this chain, or wait until the node is synchronised"
    )]
    NoBlock {
        /// The deployment's.
        block: u64,
        /// The node's newest.
        head: u64,
    },
    /// The registry was there before: its first events would never be read.
    #[error(
        "the registry at {registry} was there before block {block}, which the deployment file names as its first: \
         use the deployment file that belongs to it"
    )]
    LateBlock {
        /// Where.
        registry: ChainAddress,
        /// The deployment's.
        block: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_asks_too_often_waits_and_one_that_asks_for_too_much_asks_for_less() {
        let refused = |message: &str| ClientError::Refused {
            method: "eth_getLogs",
            code: -32005,
            message: message.to_owned(),
        };
        let http = |status| ClientError::Http {
            method: "eth_getLogs",
            status,
            retry_after: None,
        };
        for (error, waits) in [
            (
                refused("daily request count exceeded, request rate limited: Rate limit"),
                true,
            ),
            (refused("Too Many Requests"), true),
            (
                refused("exceeded its compute units per second capacity"),
                true,
            ),
            (refused("query returned more than 10000 results"), false),
            (refused("block range is too wide"), false),
            (http(429), true),
            (http(503), true),
            (http(413), false),
        ] {
            assert_eq!(error.asks_for_patience(), waits, "{error}");
            assert_eq!(error.asks_for_less(), !waits, "{error}");
        }
    }
}
