//! What ends a record on the chain, or stops the registry: as we wanted it, or by somebody else. The sweep resolves the
//! finding when it was taken back.

use chain::{ChainAddress, RegistryLog};
use domain::{
    ids::{RecordId, UserId},
    integrity::{ClosedAs, FindingKind},
    records::{DataHash, RecordType},
};
use serde_json::json;
use store::{
    closings::ClosingConfirmation,
    reconciliation::{EndingFacts, LockedAnchor, PauseFacts},
};

use super::{
    changes::{Changes, ClosedRecord, KnownHashes},
    suspicion::SuspectedFinding,
};
use crate::position::column;

/// What an event says of a closing.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClosingEvent {
    pub(super) record: DataHash,
    pub(super) becomes: ClosedAs,
    pub(super) by: ChainAddress,
    pub(super) reason: u8,
}

/// Confirms the closing of a record of ours that was wanted, or says that somebody else closed it.
pub(super) fn hold(
    log: &RegistryLog,
    said: ClosingEvent,
    known: &KnownHashes,
    changes: &mut Changes,
) {
    let Some(anchor) = known.anchors.get(&said.record) else {
        return;
    };
    if is_wanted(log, said, anchor, known) {
        changes.closed.push(ClosedRecord {
            anchor: anchor.clone(),
            confirmation: ClosingConfirmation {
                record: anchor.record,
                tx_hash: log.tx_hash.to_string(),
                by: said.by.to_string(),
                block_number: column(log.block_number),
                block_hash: log.block_hash.to_string(),
            },
        });
        return;
    }
    let ending = EndingFacts {
        reason: Some(i32::from(said.reason)),
        ..facts(log, said.record, said.becomes.as_str())
    };
    changes.suspicions.extend(of_anchor(&ending, anchor));
}

/// Whether it is the closing that we sent, or one that a steward did as we wanted it. One by another transaction of our
/// own registrar is not: somebody else has the key.
fn is_wanted(
    log: &RegistryLog,
    said: ClosingEvent,
    anchor: &LockedAnchor,
    known: &KnownHashes,
) -> bool {
    anchor.closing.as_ref().is_some_and(|wanted| {
        let as_wanted =
            said.reason == wanted.reason.code() && said.becomes == wanted.reason.closes_as();
        let is_sent = wanted.tx_hashes.contains(&log.tx_hash.to_string());
        as_wanted && (is_sent || !known.registrars.contains(&said.by))
    })
}

/// That another record took the place of one of ours, unless it is the version of ours that was to.
pub(super) fn superseded(
    log: &RegistryLog,
    predecessor: DataHash,
    successor: DataHash,
    known: &KnownHashes,
) -> Option<SuspectedFinding> {
    let successor_here = known.anchors.get(&successor);
    let ending = EndingFacts {
        successor: Some(successor.to_string()),
        is_ours: successor_here.is_some_and(|anchor| anchor.supersedes == Some(predecessor)),
        ..facts(log, predecessor, "SUPERSEDED")
    };
    of_anchor(&ending, known.anchors.get(&predecessor)?)
}

/// That a record of ours is revoked, because the end of the one whose place it took was annulled.
pub(super) fn revoked(
    log: &RegistryLog,
    successor: DataHash,
    known: &KnownHashes,
) -> Option<SuspectedFinding> {
    let anchor = known.anchors.get(&successor)?;
    of_anchor(&facts(log, successor, "REVOKED"), anchor)
}

/// Who paused the registry, and where.
pub(super) fn pause(log: &RegistryLog) -> PauseFacts {
    PauseFacts {
        by: log.event.actor().to_string(),
        tx_hash: log.tx_hash.to_string(),
        block_number: column(log.block_number),
    }
}

/// That a record was ended, if it was not us.
pub(crate) fn ended(
    ending: &EndingFacts,
    record: RecordId,
    patient: UserId,
    record_type: Option<RecordType>,
) -> Option<SuspectedFinding> {
    (!ending.is_ours).then(|| SuspectedFinding {
        kind: FindingKind::EndedOnChain,
        record: Some(record),
        patient: Some(patient),
        record_type,
        record_hash: Some(ending.hash),
        details: json!({
            "status": ending.status,
            "by": ending.by,
            "reason": ending.reason,
            "successor": ending.successor,
            "txHash": ending.tx_hash,
            "blockNumber": ending.block_number,
        }),
    })
}

fn of_anchor(ending: &EndingFacts, anchor: &LockedAnchor) -> Option<SuspectedFinding> {
    ended(ending, anchor.record, anchor.patient, anchor.record_type)
}

/// An ending that this event says, by somebody else and for no reason.
fn facts(log: &RegistryLog, hash: DataHash, status: &str) -> EndingFacts {
    EndingFacts {
        hash,
        status: status.to_owned(),
        by: log.event.actor().to_string(),
        reason: None,
        successor: None,
        tx_hash: log.tx_hash.to_string(),
        block_number: column(log.block_number),
        is_ours: false,
    }
}
