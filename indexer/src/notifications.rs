//! What is written of a change: its row in the audit trail, and what subscribers are told.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::FindingId,
    integrity::{AnchorState, FeedKind},
    purpose::Purpose,
    users,
};
use serde_json::json;
use store::{
    closings::UndoneClosing,
    feed::{FeedEntry, OnChainLocation},
    reconciliation::{Confirmation, ReconciledAnchor},
};

use crate::reconcile::{ClosedRecord, Confirmed, SuspectedFinding};

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
    let ReconciledAnchor {
        subject,
        state,
        place,
    } = anchor;
    AuditEntry {
        resource_id: subject.record.0,
        patient: Some(subject.patient),
        old_value: Some(json!({
            "state": state,
            "txHash": place.tx_hash,
            "blockNumber": place.block_number,
        })),
        new_value: Some(json!({ "state": AnchorState::Reorged, "txHash": place.tx_hash })),
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
pub(crate) fn feed_entries_confirmed(found: &Confirmed) -> impl Iterator<Item = FeedEntry> {
    let Confirmation {
        tx_hash,
        block_number,
        block_hash,
        log_index,
        sequence,
        ..
    } = &found.confirmation;
    let place = OnChainLocation {
        tx_hash: Some(tx_hash.clone()),
        block_number: Some(*block_number),
        block_hash: Some(block_hash.clone()),
        log_index: Some(*log_index),
        sequence: Some(*sequence),
    };
    let subject = found.anchor.subject();
    let replaced = found.replaced().then_some(FeedKind::AnchorReplaced);
    replaced
        .into_iter()
        .chain([FeedKind::AnchorConfirmed])
        .map(move |kind| FeedEntry::of_anchor(kind, subject, place.clone()))
}

/// That an anchor became final, or was undone.
pub(crate) fn feed_entry_anchor(kind: FeedKind, anchor: &ReconciledAnchor) -> FeedEntry {
    FeedEntry::of_anchor(kind, anchor.subject, anchor.place.clone())
}

/// That a record was closed on the chain, by us.
pub(crate) fn feed_entry_closed(closed: &ClosedRecord) -> FeedEntry {
    let place = OnChainLocation {
        tx_hash: Some(closed.confirmation.tx_hash.clone()),
        block_number: Some(closed.confirmation.block_number),
        block_hash: Some(closed.confirmation.block_hash.clone()),
        ..OnChainLocation::default()
    };
    FeedEntry::of_anchor(FeedKind::ClosingConfirmed, closed.anchor.subject(), place)
}

/// That it was undone.
pub(crate) fn feed_entry_reopened(undone: &UndoneClosing) -> FeedEntry {
    FeedEntry::of_anchor(
        FeedKind::ClosingReorged,
        undone.subject,
        undone.place.clone(),
    )
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
