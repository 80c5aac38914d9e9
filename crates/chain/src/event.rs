//! The registry's events, and the rolling head that binds them to one another.
//!
//! Each event ends in `seq`, which has no gaps, and `head`, which commits to every event so far
//! (`contracts/src/IChainedEvents.sol`). Whoever recomputes both knows that no log was dropped,
//! swapped or forged. A log that cannot be read is an error, never skipped.

use alloy::{
    primitives::{B256, FixedBytes, IntoLogData, LogData, keccak256},
    sol_types::{SolEventInterface, SolValue},
};
use domain::{integrity::ClosedAs, receipts::ReceiptKind, records::DataHash};
use serde_json::{Value, json};

use crate::{
    bindings::MedicalRecordRegistry::MedicalRecordRegistryEvents as Bound,
    deployment::Deployment,
    hash::{BlockHash, ChainAddress, Head, TxHash},
    wire,
};

/// The registry's `VERSION`, bound into its first head.
pub const VERSION: u64 = 2;

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

    /// Whether this contract wrote it.
    pub fn is_of(&self, contract: ChainAddress) -> bool {
        self.address == contract
    }

    /// Whether an answer names this very log.
    pub(crate) fn is(&self, log: &wire::Logged) -> bool {
        let topics = log.topics.iter().map(|topic| topic.0);
        self.address == log.address
            && self.data == log.data.0
            && self.block_number == log.block_number.0
            && self.block_hash == log.block_hash
            && self.tx_hash == log.transaction_hash
            && self.log_index == log.log_index.0
            && self.topics.iter().map(|topic| topic.0).eq(topics)
    }

    fn undecodable(&self, what: &str) -> Undecodable {
        Undecodable {
            block_number: self.block_number,
            block_hash: self.block_hash,
            log_index: self.log_index,
            what: what.chars().take(MAX_WHAT_CHARS).collect(),
        }
    }

    /// Refuses bytes that no field owns: the decoder ignores them, and the contracts write none.
    fn require_bytes(&self, written: &LogData) -> Result<(), Undecodable> {
        if written.topics() == self.topics && written.data.as_ref() == self.data {
            return Ok(());
        }
        Err(self.undecodable("its bytes are not what the registry writes"))
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
        closing: ClosedAs,
        /// Who closed it.
        by: ChainAddress,
        /// A code of the operator's list.
        reason: u8,
    },
    /// The end of a record was annulled: it stands again.
    EndingAnnulled {
        /// Its hash.
        record: DataHash,
        /// The record that had taken its place; if it stood, it is revoked now.
        successor: Option<DataHash>,
        /// Who annulled: a steward or the admin.
        by: ChainAddress,
    },
    /// How many records a registrar may end in a window was set.
    EndingLimitSet {
        /// The registrar.
        registrar: ChainAddress,
        /// The admin.
        by: ChainAddress,
        /// How many.
        limit: u16,
    },
    /// Many older records were anchored as one tree.
    BatchAnchored {
        /// The root.
        root: DataHash,
        /// Who anchored it.
        registrar: ChainAddress,
        /// How many records it holds.
        size: u64,
    },
    /// A record of a batch got a slot of its own.
    RecordExtracted {
        /// Its hash.
        record: DataHash,
        /// The root of its batch.
        root: DataHash,
        /// Who asked.
        by: ChainAddress,
        /// How many records the batch holds.
        size: u64,
        /// Where the record stands in it, from zero.
        index: u64,
    },
    /// The audit log was pinned.
    CheckpointAnchored {
        /// How many leaves it held.
        tree_size: u64,
        /// Its root.
        root: DataHash,
        /// Who pinned it.
        by: ChainAddress,
        /// The epoch of checkpoints.
        epoch: u64,
        /// How many leaves were pinned before.
        previous_size: u64,
    },
    /// A new epoch of checkpoints was opened.
    EpochOpened {
        /// The new epoch.
        epoch: u64,
        /// The last checkpoint that stands, zero if none does.
        tree_size: u64,
        /// Its root.
        root: Option<DataHash>,
        /// The admin.
        by: ChainAddress,
    },
    /// The pause was switched.
    PausedSet {
        /// Whether new entries are refused from now on.
        paused: bool,
        /// Who switched.
        by: ChainAddress,
    },
    /// A consent was given or withdrawn: of the registry of consents alone.
    ConsentChanged {
        /// The patient's wallet.
        wallet: ChainAddress,
        /// The hash of the details.
        details: DataHash,
        /// Which of the two.
        kind: ReceiptKind,
        /// When the grant ends by itself, zero for never. Unit: seconds since 1970.
        expires_at: u64,
    },
    /// An account was given a role or lost it.
    RoleChanged {
        /// The role's id.
        role: [u8; 32],
        /// The account.
        account: ChainAddress,
        /// Who changed it.
        by: ChainAddress,
        /// Whether the account has the role from now on.
        granted: bool,
    },
    /// A step towards another admin or another delay was taken or taken back.
    AdminStepTaken {
        /// Which.
        step: AdminStep,
        /// The admin to come, or the zero address.
        account: ChainAddress,
        /// Who took the step.
        by: ChainAddress,
        /// The delay to come. Unit: seconds.
        delay: u64,
        /// From when on it holds, or zero. Unit: seconds since 1970.
        schedule: u64,
    },
}

/// A step about the admin's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminStep {
    /// Another account may accept the role once the delay has passed.
    TransferBegun,
    /// It may not any more.
    TransferCancelled,
    /// Another delay holds once this one has passed.
    DelayChangeBegun,
    /// It will not.
    DelayChangeCancelled,
}

impl AdminStep {
    /// The step of a number.
    fn of(step: u8) -> Result<Self, String> {
        match step {
            0 => Ok(Self::TransferBegun),
            1 => Ok(Self::TransferCancelled),
            2 => Ok(Self::DelayChangeBegun),
            3 => Ok(Self::DelayChangeCancelled),
            other => Err(format!("a step {other}")),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::TransferBegun => "TRANSFER_BEGUN",
            Self::TransferCancelled => "TRANSFER_CANCELLED",
            Self::DelayChangeBegun => "DELAY_CHANGE_BEGUN",
            Self::DelayChangeCancelled => "DELAY_CHANGE_CANCELLED",
        }
    }
}

impl RegistryEvent {
    /// The name it is stored under.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RecordAnchored { .. } => "RECORD_ANCHORED",
            Self::RecordClosed { .. } => "RECORD_CLOSED",
            Self::EndingAnnulled { .. } => "ENDING_ANNULLED",
            Self::EndingLimitSet { .. } => "ENDING_LIMIT_SET",
            Self::BatchAnchored { .. } => "BATCH_ANCHORED",
            Self::RecordExtracted { .. } => "RECORD_EXTRACTED",
            Self::CheckpointAnchored { .. } => "CHECKPOINT_ANCHORED",
            Self::EpochOpened { .. } => "EPOCH_OPENED",
            Self::PausedSet { .. } => "PAUSED_SET",
            Self::ConsentChanged { .. } => "CONSENT_CHANGED",
            Self::RoleChanged { .. } => "ROLE_CHANGED",
            Self::AdminStepTaken { .. } => "ADMIN_STEP_TAKEN",
        }
    }

    /// The record hash or root it is about.
    pub const fn subject(&self) -> Option<DataHash> {
        match self {
            Self::RecordAnchored { record, .. }
            | Self::RecordClosed { record, .. }
            | Self::EndingAnnulled { record, .. }
            | Self::RecordExtracted { record, .. } => Some(*record),
            Self::BatchAnchored { root, .. } | Self::CheckpointAnchored { root, .. } => Some(*root),
            Self::EpochOpened { root, .. } => *root,
            Self::ConsentChanged { details, .. } => Some(*details),
            Self::EndingLimitSet { .. }
            | Self::PausedSet { .. }
            | Self::RoleChanged { .. }
            | Self::AdminStepTaken { .. } => None,
        }
    }

    /// The account that caused it.
    pub const fn actor(&self) -> ChainAddress {
        match self {
            Self::RecordAnchored { registrar, .. } | Self::BatchAnchored { registrar, .. } => {
                *registrar
            }
            Self::ConsentChanged { wallet, .. } => *wallet,
            Self::RecordClosed { by, .. }
            | Self::EndingAnnulled { by, .. }
            | Self::EndingLimitSet { by, .. }
            | Self::RecordExtracted { by, .. }
            | Self::CheckpointAnchored { by, .. }
            | Self::EpochOpened { by, .. }
            | Self::PausedSet { by, .. }
            | Self::RoleChanged { by, .. }
            | Self::AdminStepTaken { by, .. } => *by,
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
                json!({ "closing": closing.as_str(), "reason": reason })
            }
            Self::EndingAnnulled { successor, .. } => {
                json!({ "successor": successor.map(|hash| hash.to_string()) })
            }
            Self::EndingLimitSet {
                registrar, limit, ..
            } => json!({ "registrar": registrar.to_string(), "limit": limit }),
            Self::BatchAnchored { size, .. } => json!({ "size": size }),
            Self::RecordExtracted {
                root, size, index, ..
            } => json!({ "root": root.to_string(), "size": size, "index": index }),
            Self::CheckpointAnchored {
                tree_size,
                epoch,
                previous_size,
                ..
            } => {
                json!({ "treeSize": tree_size, "epoch": epoch, "previousSize": previous_size })
            }
            Self::EpochOpened {
                epoch, tree_size, ..
            } => json!({ "epoch": epoch, "treeSize": tree_size }),
            Self::PausedSet { paused, .. } => json!({ "paused": paused }),
            Self::ConsentChanged {
                kind, expires_at, ..
            } => json!({ "kind": kind, "expiresAt": expires_at }),
            Self::RoleChanged {
                role,
                account,
                granted,
                ..
            } => json!({
                "role": B256::new(*role).to_string(),
                "account": account.to_string(),
                "granted": granted,
            }),
            Self::AdminStepTaken {
                step,
                account,
                delay,
                schedule,
                ..
            } => json!({
                "step": step.as_str(),
                "account": account.to_string(),
                "delay": delay,
                "schedule": schedule,
            }),
        }
    }
}

/// The head of a registry that has said nothing yet.
pub fn first_head(deployment: &Deployment) -> Head {
    first_head_of(deployment, deployment.registry, VERSION)
}

/// The same of the registry of consents; `None` where there is none.
pub fn first_head_of_consents(deployment: &Deployment) -> Option<Head> {
    let version = deployment.consent_version.unwrap_or(1);
    Some(first_head_of(
        deployment,
        deployment.consent_registry?,
        version,
    ))
}

fn first_head_of(deployment: &Deployment, contract: ChainAddress, version: u64) -> Head {
    let seed = (deployment.chain_id, contract.to_alloy(), version);
    cut(keccak256(seed.abi_encode()))
}

/// The head after an event whose body hashes to `body`, on the chain with this id: the two sides of a fork
/// part with their next event.
pub fn next_head(chain_id: u64, previous: &Head, body: &[u8; 32]) -> Head {
    let mut words = [0; 64];
    words[..25].copy_from_slice(&previous.0);
    // The contract takes the last seven bytes.
    words[25..32].copy_from_slice(&chain_id.to_be_bytes()[1..]);
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

/// Reads a log of the registry. `None` for an event of OpenZeppelin: those are not numbered, and the numbered ones tell
/// the same.
///
/// # Errors
/// [`Undecodable`]: nothing may be applied past such a log.
pub fn decode(log: &RawLog) -> Result<Option<RegistryLog>, Undecodable> {
    let bound = Bound::decode_raw_log(&log.topics, &log.data)
        .map_err(|error| log.undecodable(&error.to_string()))?;
    log.require_bytes(&bound.to_log_data())?;
    let undecodable = |what: String| log.undecodable(&what);
    let (sequence, head, event) = match bound {
        Bound::RecordAnchored(e) => (e.seq, e.head, e.into()),
        Bound::RecordClosed(e) => (e.seq, e.head, e.try_into().map_err(undecodable)?),
        Bound::EndingAnnulled(e) => (e.seq, e.head, e.into()),
        Bound::EndingLimitSet(e) => (e.seq, e.head, e.into()),
        Bound::BatchAnchored(e) => (e.seq, e.head, e.into()),
        Bound::RecordExtracted(e) => (e.seq, e.head, e.into()),
        Bound::CheckpointAnchored(e) => (e.seq, e.head, e.into()),
        Bound::EpochOpened(e) => (e.seq, e.head, e.into()),
        Bound::PausedSet(e) => (e.seq, e.head, e.into()),
        Bound::RoleChanged(e) => (e.seq, e.head, e.into()),
        Bound::AdminStepTaken(e) => (e.seq, e.head, e.try_into().map_err(undecodable)?),
        Bound::RoleGranted(_)
        | Bound::RoleRevoked(_)
        | Bound::RoleAdminChanged(_)
        | Bound::DefaultAdminTransferScheduled(_)
        | Bound::DefaultAdminTransferCanceled(_)
        | Bound::DefaultAdminDelayChangeScheduled(_)
        | Bound::DefaultAdminDelayChangeCanceled(_) => return Ok(None),
    };
    Ok(Some(numbered(log, sequence.to(), head, event)))
}

fn numbered(
    log: &RawLog,
    sequence: u64,
    head: FixedBytes<25>,
    event: RegistryEvent,
) -> RegistryLog {
    RegistryLog {
        block_number: log.block_number,
        block_hash: log.block_hash,
        tx_hash: log.tx_hash,
        log_index: log.log_index,
        sequence,
        head: Head(head.0),
        body: body(&log.topics, &log.data),
        event,
    }
}

mod administrative;
mod consents;
mod read;
mod signatures;
mod stored;

pub use consents::decode_consents;
pub use signatures::{EventSignature, signatures};
pub use stored::stored_body;

#[cfg(test)]
mod tests;
