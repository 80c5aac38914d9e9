//! Findings about the trail itself, each with its audit row and its event.

use chain::PinnedCheckpoint;
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{FindingId, RequestId},
    integrity::{FeedKind, FindingKind},
    purpose::Purpose,
    records::DataHash,
    users::SCHEDULER,
};
use serde_json::json;
use store::{
    StoreError, Tx, audit,
    feed::{self, FeedEntry},
    findings::{self, Subject},
};

const KIND: FindingKind = FindingKind::AuditTampered;

/// Writes down that the registry holds a checkpoint that is none of this trail.
///
/// # Errors
/// The database's.
pub(crate) async fn pinned_elsewhere(
    tx: &mut Tx<'_>,
    pinned: PinnedCheckpoint,
) -> Result<(), StoreError> {
    let root = DataHash(pinned.root);
    let details = json!({
        "reason": "OTHER_CHECKPOINT", "size": pinned.size, "epoch": pinned.epoch, "root": root.to_string(),
    });
    let about = Subject::Record(None, Some(root));
    let Some(id) = findings::open_unrecorded(tx, KIND, about, &details).await? else {
        return Ok(());
    };
    tracing::error!(finding.id = %id, "The registry holds a checkpoint of {} rows that this trail never had", pinned.size);
    audit::insert(tx, &[failure(id)]).await?;
    let event = FeedEntry {
        finding: Some(id),
        ..FeedEntry::new(FeedKind::FindingOpened)
    };
    feed::append(tx, &[event]).await
}

fn failure(finding: FindingId) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Finding,
        resource_id: finding.0,
        new_value: Some(json!({ "finding": KIND, "findingId": finding })),
        classification: Classification::Security,
        encryption: EncryptionStatus::MetadataOnly,
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::IntegrityFailure,
            Purpose::SystemAdministration,
            &Origin::job(RequestId::fresh()),
        )
    }
}
