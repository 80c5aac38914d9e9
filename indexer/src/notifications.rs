//! What is written of a change: its row in the audit trail, and what subscribers are told.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::FindingId,
    integrity::{AnchorState, FeedKind},
    purpose::Purpose,
    users,
};
use serde_json::json;
use store::{closings::UndoneClosing, feed::FeedEntry, reconciliation::ReconciledAnchor};

use crate::reconcile::{Closed, Confirmed, SuspectedFinding};

fn row(action: AuditAction, origin: &Origin) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        classification: Classification::Internal,
        encryption: EncryptionStatus::MetadataOnly,
        ..AuditEntry::new(
            users::INDEXER,
            action,
            Purpose::SystemAdministration,
            origin,
        )
    }
}

pub(crate) fn audit_entry_confirmed(found: &Confirmed, origin: &Origin) -> AuditEntry {
    let Confirmed {
        anchor,
        confirmation,
    } = found;
    AuditEntry {
        resource_id: anchor.record.0,
        patient: Some(anchor.patient),
        old_value: Some(json!({ "state": anchor.state, "txHash": anchor.tx_hash })),
        new_value: Some(json!({
            "state": AnchorState::Confirmed,
            "txHash": confirmation.tx_hash,
            "blockNumber": confirmation.block_number,
        })),
        ..row(AuditAction::RecordAnchor, origin)
    }
}

pub(crate) fn audit_entry_reorged(anchor: &ReconciledAnchor, origin: &Origin) -> AuditEntry {
    AuditEntry {
        resource_id: anchor.record.0,
        patient: Some(anchor.patient),
        old_value: Some(json!({
            "state": anchor.state,
            "txHash": anchor.tx_hash,
            "blockNumber": anchor.block_number,
        })),
        new_value: Some(json!({ "state": AnchorState::Reorged, "txHash": anchor.tx_hash })),
        ..row(AuditAction::RecordAnchor, origin)
    }
}

pub(crate) fn audit_entry_finding(
    about: &SuspectedFinding,
    id: FindingId,
    state: &str,
    origin: &Origin,
) -> AuditEntry {
    let (resource_type, resource_id) = match about.record {
        Some(record) => (ResourceType::MedicalRecord, record.0),
        None => (ResourceType::Finding, id.0),
    };
    AuditEntry {
        resource_type,
        resource_id,
        patient: about.patient,
        new_value: Some(json!({ "finding": id, "kind": about.kind, "state": state })),
        classification: Classification::Security,
        ..row(AuditAction::IntegrityFailure, origin)
    }
}

/// That it is in a block; and before that, that another attempt took its place, if one did.
pub(crate) fn feed_entries_confirmed(found: &Confirmed) -> Vec<FeedEntry> {
    let Confirmed {
        anchor,
        confirmation,
    } = found;
    let confirmed = FeedEntry {
        record: Some(anchor.record),
        patient: Some(anchor.patient),
        record_type: Some(anchor.record_type),
        record_hash: Some(anchor.record_hash),
        tx_hash: Some(confirmation.tx_hash.clone()),
        block_number: Some(confirmation.block_number),
        block_hash: Some(confirmation.block_hash.clone()),
        log_index: Some(confirmation.log_index),
        sequence: Some(confirmation.sequence),
        state: Some(AnchorState::Confirmed),
        ..FeedEntry::new(FeedKind::AnchorConfirmed)
    };
    let replaced = found.replaced().then(|| FeedEntry {
        kind: FeedKind::AnchorReplaced,
        ..confirmed.clone()
    });
    replaced.into_iter().chain([confirmed]).collect()
}

pub(crate) fn feed_entry_anchor(
    anchor: &ReconciledAnchor,
    kind: FeedKind,
    state: AnchorState,
) -> FeedEntry {
    FeedEntry {
        record: Some(anchor.record),
        patient: Some(anchor.patient),
        record_type: anchor.record_type,
        record_hash: anchor.record_hash,
        tx_hash: Some(anchor.tx_hash.clone()),
        block_number: anchor.block_number,
        block_hash: anchor.block_hash.clone(),
        log_index: anchor.log_index,
        sequence: anchor.sequence,
        state: Some(state),
        ..FeedEntry::new(kind)
    }
}

/// That a record was closed on the chain, by us.
pub(crate) fn feed_entry_closed(closed: &Closed) -> FeedEntry {
    let Closed {
        anchor,
        confirmation,
    } = closed;
    FeedEntry {
        record: Some(anchor.record),
        patient: Some(anchor.patient),
        record_type: Some(anchor.record_type),
        record_hash: Some(anchor.record_hash),
        tx_hash: Some(confirmation.tx_hash.clone()),
        block_number: Some(confirmation.block_number),
        block_hash: Some(confirmation.block_hash.clone()),
        ..FeedEntry::new(FeedKind::ClosingConfirmed)
    }
}

/// That it was undone.
pub(crate) fn feed_entry_reopened(undone: &UndoneClosing) -> FeedEntry {
    FeedEntry {
        record: Some(undone.record),
        patient: Some(undone.patient),
        record_type: undone.record_type,
        record_hash: undone.record_hash,
        tx_hash: undone.tx_hash.clone(),
        block_number: undone.block_number,
        block_hash: undone.block_hash.clone(),
        ..FeedEntry::new(FeedKind::ClosingReorged)
    }
}

pub(crate) fn feed_entry_finding(
    about: &SuspectedFinding,
    id: FindingId,
    kind: FeedKind,
) -> FeedEntry {
    FeedEntry {
        record: about.record,
        patient: about.patient,
        record_type: about.record_type,
        record_hash: about.record_hash,
        finding: Some(id),
        ..FeedEntry::new(kind)
    }
}
