//! What does not fit together, about one record or hash, and its evidence: the same words for what an event shows and
//! for what the sweep finds.

use domain::{
    ids::{RecordId, UserId},
    integrity::FindingKind,
    records::{DataHash, RecordType},
};
use serde_json::{Value, json};
use store::{
    checkpoints::PinnedEvent,
    reconciliation::{ExtractionFacts, LockedAnchor, PauseFacts},
};

/// Something that does not fit together, about one record or hash.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SuspectedFinding {
    pub(crate) kind: FindingKind,
    pub(crate) record: Option<RecordId>,
    pub(crate) patient: Option<UserId>,
    pub(crate) record_type: Option<RecordType>,
    pub(crate) record_hash: Option<DataHash>,
    /// The evidence: hashes and states, no health data.
    pub(crate) details: Value,
}

impl SuspectedFinding {
    /// One about a record that is known by its anchor.
    pub(super) fn of_anchor(kind: FindingKind, anchor: &LockedAnchor, details: Value) -> Self {
        Self {
            kind,
            record: Some(anchor.record),
            patient: Some(anchor.patient),
            record_type: anchor.record_type,
            record_hash: Some(anchor.record_hash),
            details,
        }
    }

    /// That a hash is on the chain which nobody here knows.
    pub(super) fn unknown(hash: DataHash, details: Value) -> Self {
        Self {
            kind: FindingKind::UnknownOnChain,
            record: None,
            patient: None,
            record_type: None,
            record_hash: Some(hash),
            details,
        }
    }
}

/// That somebody gave a record of ours a slot out of a batch.
pub(crate) fn extracted(
    extraction: &ExtractionFacts,
    record: RecordId,
    patient: UserId,
    record_type: Option<RecordType>,
    record_hash: Option<DataHash>,
) -> SuspectedFinding {
    SuspectedFinding {
        kind: FindingKind::ForeignRegistrar,
        record: Some(record),
        patient: Some(patient),
        record_type,
        record_hash,
        details: extraction_details(extraction),
    }
}

/// The evidence of a slot out of a batch.
pub(super) fn extraction_details(extraction: &ExtractionFacts) -> Value {
    json!({
        "registrar": extraction.by,
        "batch": extraction.batch,
        "txHash": extraction.tx_hash,
        "blockNumber": extraction.block_number,
    })
}

/// That a checkpoint of the trail was pinned which was not signed here.
pub(crate) fn foreign_checkpoint(event: &PinnedEvent) -> SuspectedFinding {
    SuspectedFinding {
        kind: FindingKind::AuditTampered,
        record: None,
        patient: None,
        record_type: None,
        record_hash: Some(event.root),
        details: json!({
            "reason": "FOREIGN_CHECKPOINT",
            "size": event.tree_size,
            "epoch": event.epoch,
            "by": event.by,
            "txHash": event.tx_hash,
            "blockNumber": event.block_number,
        }),
    }
}

/// That the registry is paused.
pub(crate) fn paused(pause: &PauseFacts) -> SuspectedFinding {
    SuspectedFinding {
        kind: FindingKind::RegistryPaused,
        record: None,
        patient: None,
        record_type: None,
        record_hash: None,
        details: json!({
            "by": pause.by,
            "txHash": pause.tx_hash,
            "blockNumber": pause.block_number,
        }),
    }
}

/// The evidence of an event that names another version as superseded than was signed for.
pub(crate) fn other_predecessor(signed: Option<&str>, anchored: Option<&str>) -> Value {
    json!({ "column": "predecessor_hash", "signed": signed, "anchored": anchored })
}

/// The evidence of an event by a transaction that was not signed here for the record.
pub(crate) fn foreign_transaction(signed: &str, anchored: &str) -> Value {
    json!({ "column": "tx_hash", "signed": signed, "anchored": anchored })
}
