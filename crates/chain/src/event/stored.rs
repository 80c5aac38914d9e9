//! An event as its columns hold it, read back to what its log said: whoever changed a column made another event of it, which the
//! rolling head does not commit to.

use alloy::{
    primitives::{B256, keccak256},
    sol_types::SolEvent,
};
use domain::{integrity::ClosedAs, receipts::ReceiptKind, records::DataHash};
use serde_json::Value;

use super::{AdminStep, RegistryEvent};
use crate::{
    bindings::{MedicalRecordRegistry as bound, consents::ConsentRegistry},
    hash::ChainAddress,
};

/// The hash of what an event says, as [`super::RegistryLog::body`] is of its log, from the columns that it is stored in. `None`
/// where no event is stored so.
pub fn stored_body(
    kind: &str,
    subject: Option<&str>,
    actor: &str,
    payload: &Value,
) -> Option<[u8; 32]> {
    let event = read(kind, subject, actor, payload)?;
    // What reads as the same, such as digits of another case, is not what was written; nor is what was left out.
    let is_written_so = event.subject().map(|hash| hash.to_string()).as_deref() == subject
        && event.actor().to_string() == actor
        && event.payload() == *payload;
    is_written_so.then(|| {
        let words = [signature(&event)].into_iter();
        let words = words.chain(topics(&event)).chain(data(&event));
        keccak256(words.flat_map(|word| word.0).collect::<Vec<u8>>()).0
    })
}

/// A number of a payload.
fn number_of(payload: &Value, key: &str) -> Option<u64> {
    payload.get(key)?.as_u64()
}

/// A text of a payload.
fn text_of<'a>(payload: &'a Value, key: &str) -> Option<&'a str> {
    payload.get(key)?.as_str()
}

/// A hash of a payload.
fn hash_of(payload: &Value, key: &str) -> Option<DataHash> {
    DataHash::parse(text_of(payload, key)?).ok()
}

/// The event of these columns.
fn read(kind: &str, subject: Option<&str>, actor: &str, payload: &Value) -> Option<RegistryEvent> {
    let by: ChainAddress = actor.parse().ok()?;
    let subject = match subject {
        Some(text) => Some(DataHash::parse(text).ok()?),
        None => None,
    };
    let number = |key| number_of(payload, key);
    let text = |key| text_of(payload, key);
    Some(match kind {
        "RECORD_ANCHORED" => RegistryEvent::RecordAnchored {
            record: subject?,
            predecessor: hash_of(payload, "predecessor"),
            registrar: by,
        },
        "RECORD_CLOSED" => RegistryEvent::RecordClosed {
            record: subject?,
            closing: text("closing")?.parse().ok()?,
            by,
            reason: u8::try_from(number("reason")?).ok()?,
        },
        "ENDING_ANNULLED" => RegistryEvent::EndingAnnulled {
            record: subject?,
            successor: hash_of(payload, "successor"),
            by,
        },
        "ENDING_LIMIT_SET" => RegistryEvent::EndingLimitSet {
            registrar: text("registrar")?.parse().ok()?,
            by,
            limit: u16::try_from(number("limit")?).ok()?,
        },
        "BATCH_ANCHORED" => RegistryEvent::BatchAnchored {
            root: subject?,
            registrar: by,
            size: number("size")?,
        },
        "RECORD_EXTRACTED" => RegistryEvent::RecordExtracted {
            record: subject?,
            root: hash_of(payload, "root")?,
            by,
            size: number("size")?,
            index: number("index")?,
        },
        "CHECKPOINT_ANCHORED" => RegistryEvent::CheckpointAnchored {
            tree_size: number("treeSize")?,
            root: subject?,
            by,
            epoch: number("epoch")?,
            previous_size: number("previousSize")?,
        },
        "EPOCH_OPENED" => RegistryEvent::EpochOpened {
            epoch: number("epoch")?,
            tree_size: number("treeSize")?,
            root: subject,
            by,
        },
        "CONSENT_CHANGED" => RegistryEvent::ConsentChanged {
            wallet: by,
            details: subject?,
            kind: text("kind")?.parse().ok()?,
            expires_at: number("expiresAt")?,
        },
        kind => return administrative(kind, by, payload),
    })
}

/// The event of these columns, where it is one that both registries have.
fn administrative(kind: &str, by: ChainAddress, payload: &Value) -> Option<RegistryEvent> {
    let number = |key| number_of(payload, key);
    let text = |key| text_of(payload, key);
    let is = |key: &str| payload.get(key)?.as_bool();
    Some(match kind {
        "PAUSED_SET" => RegistryEvent::PausedSet {
            paused: is("paused")?,
            by,
        },
        "ROLE_CHANGED" => RegistryEvent::RoleChanged {
            role: text("role")?.parse::<B256>().ok()?.0,
            account: text("account")?.parse().ok()?,
            by,
            granted: is("granted")?,
        },
        "ADMIN_STEP_TAKEN" => RegistryEvent::AdminStepTaken {
            step: STEPS
                .into_iter()
                .find(|step| Some(step.as_str()) == text("step"))?,
            account: text("account")?.parse().ok()?,
            by,
            delay: number("delay")?,
            schedule: number("schedule")?,
        },
        _ => return None,
    })
}

/// Every step, in the order of the contract's numbers.
const STEPS: [AdminStep; 4] = [
    AdminStep::TransferBegun,
    AdminStep::TransferCancelled,
    AdminStep::DelayChangeBegun,
    AdminStep::DelayChangeCancelled,
];

/// The number of a step, as the contract has it.
const fn step_number(step: AdminStep) -> u64 {
    match step {
        AdminStep::TransferBegun => 0,
        AdminStep::TransferCancelled => 1,
        AdminStep::DelayChangeBegun => 2,
        AdminStep::DelayChangeCancelled => 3,
    }
}

/// The status of a closed record, as the contract has it.
const fn status(closing: ClosedAs) -> u64 {
    match closing {
        ClosedAs::Revoked => 3,
        ClosedAs::Erased => 4,
    }
}

/// The status of a consent, likewise.
const fn act(kind: ReceiptKind) -> u64 {
    match kind {
        ReceiptKind::Grant => 1,
        ReceiptKind::Withdrawal => 2,
    }
}

fn number(number: impl Into<u64>) -> B256 {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.into().to_be_bytes());
    B256::new(word)
}

fn account(account: ChainAddress) -> B256 {
    let mut word = [0; 32];
    word[12..].copy_from_slice(&account.0);
    B256::new(word)
}

/// A hash; zero where it is absent.
fn hash(hash: Option<DataHash>) -> B256 {
    hash.map_or(B256::ZERO, |hash| B256::new(hash.0))
}

/// The topics of an event's log behind the first one.
fn topics(event: &RegistryEvent) -> Vec<B256> {
    match *event {
        RegistryEvent::RecordAnchored {
            record,
            predecessor,
            registrar,
        } => vec![hash(Some(record)), hash(predecessor), account(registrar)],
        RegistryEvent::RecordClosed {
            record,
            closing,
            by,
            ..
        } => vec![hash(Some(record)), number(status(closing)), account(by)],
        RegistryEvent::EndingAnnulled {
            record,
            successor,
            by,
        } => vec![hash(Some(record)), hash(successor), account(by)],
        RegistryEvent::EndingLimitSet { registrar, by, .. } => {
            vec![account(registrar), account(by)]
        }
        RegistryEvent::BatchAnchored {
            root, registrar, ..
        } => vec![hash(Some(root)), account(registrar)],
        RegistryEvent::RecordExtracted {
            record, root, by, ..
        } => vec![hash(Some(record)), hash(Some(root)), account(by)],
        RegistryEvent::CheckpointAnchored {
            tree_size,
            root,
            by,
            ..
        } => vec![number(tree_size), hash(Some(root)), account(by)],
        RegistryEvent::EpochOpened {
            epoch,
            tree_size,
            root,
            ..
        } => vec![number(epoch), number(tree_size), hash(root)],
        RegistryEvent::PausedSet { by, .. } => vec![account(by)],
        RegistryEvent::ConsentChanged {
            wallet,
            details,
            kind,
            ..
        } => vec![account(wallet), hash(Some(details)), number(act(kind))],
        RegistryEvent::RoleChanged {
            role,
            account: whose,
            by,
            ..
        } => vec![B256::new(role), account(whose), account(by)],
        RegistryEvent::AdminStepTaken {
            step,
            account: whose,
            by,
            ..
        } => vec![number(step_number(step)), account(whose), account(by)],
    }
}

/// What is behind the topics, without the number and the head.
fn data(event: &RegistryEvent) -> Vec<B256> {
    match *event {
        RegistryEvent::RecordAnchored { .. } | RegistryEvent::EndingAnnulled { .. } => Vec::new(),
        RegistryEvent::RecordClosed { reason, .. } => vec![number(reason)],
        RegistryEvent::EndingLimitSet { limit, .. } => vec![number(limit)],
        RegistryEvent::BatchAnchored { size, .. } => vec![number(size)],
        RegistryEvent::RecordExtracted { size, index, .. } => vec![number(size), number(index)],
        RegistryEvent::CheckpointAnchored {
            epoch,
            previous_size,
            ..
        } => vec![number(epoch), number(previous_size)],
        RegistryEvent::EpochOpened { by, .. } => vec![account(by)],
        RegistryEvent::PausedSet { paused, .. } => vec![number(u64::from(paused))],
        RegistryEvent::ConsentChanged { expires_at, .. } => vec![number(expires_at)],
        RegistryEvent::RoleChanged { granted, .. } => vec![number(u64::from(granted))],
        RegistryEvent::AdminStepTaken {
            delay, schedule, ..
        } => vec![number(delay), number(schedule)],
    }
}

/// The first topic of an event's log.
fn signature(event: &RegistryEvent) -> B256 {
    match event {
        RegistryEvent::RecordAnchored { .. } => bound::RecordAnchored::SIGNATURE_HASH,
        RegistryEvent::RecordClosed { .. } => bound::RecordClosed::SIGNATURE_HASH,
        RegistryEvent::EndingAnnulled { .. } => bound::EndingAnnulled::SIGNATURE_HASH,
        RegistryEvent::EndingLimitSet { .. } => bound::EndingLimitSet::SIGNATURE_HASH,
        RegistryEvent::BatchAnchored { .. } => bound::BatchAnchored::SIGNATURE_HASH,
        RegistryEvent::RecordExtracted { .. } => bound::RecordExtracted::SIGNATURE_HASH,
        RegistryEvent::CheckpointAnchored { .. } => bound::CheckpointAnchored::SIGNATURE_HASH,
        RegistryEvent::EpochOpened { .. } => bound::EpochOpened::SIGNATURE_HASH,
        RegistryEvent::PausedSet { .. } => bound::PausedSet::SIGNATURE_HASH,
        RegistryEvent::ConsentChanged { .. } => ConsentRegistry::ConsentChanged::SIGNATURE_HASH,
        RegistryEvent::RoleChanged { .. } => bound::RoleChanged::SIGNATURE_HASH,
        RegistryEvent::AdminStepTaken { .. } => bound::AdminStepTaken::SIGNATURE_HASH,
    }
}
