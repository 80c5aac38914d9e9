//! The registry's events, and the rolling head that binds them to one another.
//!
//! Each event ends in `seq`, which has no gaps, and `head`, which commits to every event so far
//! (`contracts/src/IChainedEvents.sol`). Whoever recomputes both knows that no log was dropped,
//! swapped or forged. A log that cannot be read is an error, never skipped.

use alloy::{
    primitives::{B256, IntoLogData, keccak256},
    sol_types::{SolEventInterface, SolValue},
};
use domain::records::DataHash;
use serde_json::{Value, json};

use crate::{
    bindings::MedicalRecordRegistry::MedicalRecordRegistryEvents as Bound,
    deployment::Deployment,
    hash::{BlockHash, ChainAddress, Head, TxHash},
    wire,
};

/// The registry's `VERSION`, bound into its first head.
const VERSION: u64 = 1;

/// The decoder repeats the whole log, however long it is. Unit: characters.
const MAX_WHAT_CHARS: usize = 200;

/// A log of the registry as the node gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLog {
    pub(crate) address: ChainAddress,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Vec<u8>,
    /// Its block's number.
    pub block_number: u64,
    /// Its block's hash.
    pub block_hash: BlockHash,
    /// Its transaction.
    pub tx_hash: TxHash,
    /// Where it stands in its block.
    pub log_index: u64,
}

impl RawLog {
    pub(crate) fn place(&self) -> (u64, u64, BlockHash) {
        (self.block_number, self.log_index, self.block_hash)
    }
}

impl From<wire::Logged> for RawLog {
    fn from(log: wire::Logged) -> Self {
        Self {
            address: log.address,
            topics: log
                .topics
                .into_iter()
                .map(|topic| B256::new(topic.0))
                .collect(),
            data: log.data.0,
            block_number: log.block_number.0,
            block_hash: log.block_hash,
            tx_hash: log.transaction_hash,
            log_index: log.log_index.0,
        }
    }
}

/// A log of the registry that no version of it we know can have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "log {log_index} of block {block_number} ({block_hash}) is none of the registry's events: {what}"
)]
pub struct Undecodable {
    /// Its block's number.
    pub block_number: u64,
    /// Its block's hash.
    pub block_hash: BlockHash,
    /// Where it stands in its block.
    pub log_index: u64,
    /// What is wrong with it.
    pub what: String,
}

/// A numbered event and where it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLog {
    /// Its block's number.
    pub block_number: u64,
    /// Its block's hash.
    pub block_hash: BlockHash,
    /// Its transaction.
    pub tx_hash: TxHash,
    /// Where it stands in its block.
    pub log_index: u64,
    /// Its number: the first event is 1, and there are no gaps.
    pub sequence: u64,
    /// The rolling head it claims.
    pub head: Head,
    /// The hash of what it says.
    pub body: [u8; 32],
    /// What it says.
    pub event: RegistryEvent,
}

/// How a record was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Declared wrong.
    Revoked,
    /// Its document, key and salt were destroyed.
    Erased,
}

/// What the registry can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryEvent {
    /// A record was anchored.
    RecordAnchored {
        /// Its hash.
        record: DataHash,
        /// The record that it replaces.
        predecessor: Option<DataHash>,
        /// Who anchored it.
        registrar: ChainAddress,
    },
    /// A record was revoked or erased, for ever.
    RecordClosed {
        /// Its hash.
        record: DataHash,
        /// Which of the two.
        closing: Closing,
        /// Who closed it.
        by: ChainAddress,
        /// A code of the operator's list.
        reason: u8,
    },
    /// The root of a tree of older records was anchored.
    BatchAnchored {
        /// The root.
        root: DataHash,
        /// Who anchored it.
        registrar: ChainAddress,
        /// How many records it holds.
        size: u64,
    },
    /// The audit log was pinned.
    CheckpointAnchored {
        /// How many leaves it held.
        tree_size: u64,
        /// Its root.
        root: DataHash,
        /// Who pinned it.
        by: ChainAddress,
        /// How many leaves were pinned before.
        previous_size: u64,
    },
    /// The pause was switched.
    PausedSet {
        /// Whether new entries are refused from now on.
        paused: bool,
        /// Who switched.
        by: ChainAddress,
    },
}

impl RegistryEvent {
    /// The name it is stored under.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RecordAnchored { .. } => "RECORD_ANCHORED",
            Self::RecordClosed { .. } => "RECORD_CLOSED",
            Self::BatchAnchored { .. } => "BATCH_ANCHORED",
            Self::CheckpointAnchored { .. } => "CHECKPOINT_ANCHORED",
            Self::PausedSet { .. } => "PAUSED_SET",
        }
    }

    /// The record hash or root it is about.
    pub const fn subject(&self) -> Option<DataHash> {
        match self {
            Self::RecordAnchored { record, .. } | Self::RecordClosed { record, .. } => {
                Some(*record)
            }
            Self::BatchAnchored { root, .. } | Self::CheckpointAnchored { root, .. } => Some(*root),
            Self::PausedSet { .. } => None,
        }
    }

    /// The account that caused it.
    pub const fn actor(&self) -> ChainAddress {
        match self {
            Self::RecordAnchored { registrar, .. } | Self::BatchAnchored { registrar, .. } => {
                *registrar
            }
            Self::RecordClosed { by, .. }
            | Self::CheckpointAnchored { by, .. }
            | Self::PausedSet { by, .. } => *by,
        }
    }

    /// What it says beyond kind, subject and actor, as it is stored.
    pub fn payload(&self) -> Value {
        match self {
            Self::RecordAnchored { predecessor, .. } => {
                json!({ "predecessor": predecessor.map(|hash| hash.to_string()) })
            }
            Self::RecordClosed {
                closing, reason, ..
            } => {
                let closing = match closing {
                    Closing::Revoked => "REVOKED",
                    Closing::Erased => "ERASED",
                };
                json!({ "closing": closing, "reason": reason })
            }
            Self::BatchAnchored { size, .. } => json!({ "size": size }),
            Self::CheckpointAnchored {
                tree_size,
                previous_size,
                ..
            } => {
                json!({ "treeSize": tree_size, "previousSize": previous_size })
            }
            Self::PausedSet { paused, .. } => json!({ "paused": paused }),
        }
    }
}

/// The head of a registry that has said nothing yet.
pub fn first_head(deployment: &Deployment) -> Head {
    let seed = (deployment.chain_id, deployment.registry.to_alloy(), VERSION);
    cut(keccak256(seed.abi_encode()))
}

/// The head after an event whose body hashes to `body`.
pub fn next_head(previous: &Head, body: &[u8; 32]) -> Head {
    let mut words = [0; 64];
    words[..25].copy_from_slice(&previous.0);
    words[32..].copy_from_slice(body);
    cut(keccak256(words))
}

fn cut(hash: B256) -> Head {
    let mut head = [0; 25];
    head.copy_from_slice(&hash[..25]);
    Head(head)
}

/// The hash of an event: every topic, then the data without its last two words, `seq` and `head`.
fn body(topics: &[B256], data: &[u8]) -> [u8; 32] {
    let said = &data[..data.len().saturating_sub(64)];
    let mut bytes = Vec::with_capacity(topics.len() * 32 + said.len());
    for topic in topics {
        bytes.extend_from_slice(topic.as_slice());
    }
    bytes.extend_from_slice(said);
    keccak256(bytes).0
}

/// Reads a log of the registry. `None` for a change of roles or of the admin: those are not numbered.
///
/// # Errors
/// [`Undecodable`]: nothing may be applied past such a log.
pub fn decode(log: &RawLog) -> Result<Option<RegistryLog>, Undecodable> {
    let undecodable = |what: String| Undecodable {
        block_number: log.block_number,
        block_hash: log.block_hash,
        log_index: log.log_index,
        what,
    };
    let bound = Bound::decode_raw_log(&log.topics, &log.data)
        .map_err(|error| undecodable(error.to_string().chars().take(MAX_WHAT_CHARS).collect()))?;
    // The decoder ignores bytes that no field owns; the contract writes none.
    let written = bound.to_log_data();
    if written.topics() != log.topics || written.data.as_ref() != log.data {
        return Err(undecodable(
            "its bytes are not what the registry writes".to_owned(),
        ));
    }
    let (sequence, head, event) = match bound {
        Bound::RecordAnchored(e) => {
            let predecessor = Some(DataHash(e.predecessor.0)).filter(|hash| hash.0 != [0; 32]);
            let event = RegistryEvent::RecordAnchored {
                record: DataHash(e.recordHash.0),
                predecessor,
                registrar: e.registrar.into(),
            };
            (e.seq, e.head, event)
        }
        Bound::RecordClosed(e) => {
            let closing = match e.status {
                3 => Closing::Revoked,
                4 => Closing::Erased,
                other => return Err(undecodable(format!("closed as status {other}"))),
            };
            let event = RegistryEvent::RecordClosed {
                record: DataHash(e.recordHash.0),
                closing,
                by: e.by.into(),
                reason: e.reason,
            };
            (e.seq, e.head, event)
        }
        Bound::BatchAnchored(e) => {
            let event = RegistryEvent::BatchAnchored {
                root: DataHash(e.root.0),
                registrar: e.registrar.into(),
                size: e.size.to(),
            };
            (e.seq, e.head, event)
        }
        Bound::CheckpointAnchored(e) => {
            let event = RegistryEvent::CheckpointAnchored {
                tree_size: e.treeSize,
                root: DataHash(e.root.0),
                by: e.by.into(),
                previous_size: e.prevSize,
            };
            (e.seq, e.head, event)
        }
        Bound::PausedSet(e) => (
            e.seq,
            e.head,
            RegistryEvent::PausedSet {
                paused: e.paused,
                by: e.by.into(),
            },
        ),
        Bound::RoleGranted(_)
        | Bound::RoleRevoked(_)
        | Bound::RoleAdminChanged(_)
        | Bound::DefaultAdminTransferScheduled(_)
        | Bound::DefaultAdminTransferCanceled(_)
        | Bound::DefaultAdminDelayChangeScheduled(_)
        | Bound::DefaultAdminDelayChangeCanceled(_) => return Ok(None),
    };
    Ok(Some(RegistryLog {
        block_number: log.block_number,
        block_hash: log.block_hash,
        tx_hash: log.tx_hash,
        log_index: log.log_index,
        sequence: sequence.to(),
        head: Head(head.0),
        body: body(&log.topics, &log.data),
        event,
    }))
}

#[cfg(test)]
mod tests;
