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
use serde_json::{Value, json};
use store::{
    Pool, StoreError, Tx, audit,
    cursor::Registry,
    feed::{self, FeedEntry},
    findings::{self, Subject, TrailTable},
};

use super::check::Fault;

const KIND: FindingKind = FindingKind::AuditTampered;

/// Writes down that the registry holds a checkpoint that is none of this trail.
///
/// # Errors
/// The database's.
pub(crate) async fn pinned_elsewhere(
    tx: &mut Tx<'_>,
    registry: &Registry,
    pinned: PinnedCheckpoint,
) -> Result<(), StoreError> {
    let root = DataHash(pinned.root);
    let details = json!({
        "reason": "OTHER_CHECKPOINT", "size": pinned.size, "epoch": pinned.epoch, "root": root.to_string(),
        "chainId": registry.chain_id, "registry": registry.address,
    });
    let about = Subject::Registry(registry, None, Some(root));
    let size = pinned.size;
    if write_down(tx, about, &details).await? {
        tracing::error!(
            size,
            "The registry holds a checkpoint of {size} rows that this trail never had"
        );
    }
    Ok(())
}

/// Writes down that a row is not what was promised, where that is not known.
///
/// # Errors
/// The database's.
pub(crate) async fn of_promise(tx: &mut Tx<'_>, fault: &Fault) -> Result<(), StoreError> {
    let about = Subject::Trail(fault.table, fault.number);
    if write_down(tx, about, &fault.details()).await? {
        let said = fault.said();
        tracing::error!("A promise of the audit trail is broken: {said}");
    }
    Ok(())
}

/// Writes down what a check found wrong, and closes what is open of what it found right.
///
/// # Errors
/// The database's.
pub(crate) async fn settle(
    pool: &Pool,
    faults: &[Fault],
    right: &[(TrailTable, i64)],
) -> Result<(), StoreError> {
    for fault in faults {
        let said = fault.said();
        tracing::error!("The audit trail failed its integrity check: {said}");
        let mut tx = pool.begin().await?;
        let about = Subject::Trail(fault.table, fault.number);
        write_down(&mut tx, about, &fault.details()).await?;
        tx.commit().await?;
    }
    for &(table, number) in right {
        let mut tx = pool.begin().await?;
        let closed = findings::resolve(&mut tx, KIND, Subject::Trail(table, number)).await?;
        let events: Vec<_> = closed
            .into_iter()
            .map(|id| event(FeedKind::FindingResolved, id))
            .collect();
        feed::append(&mut tx, &events).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Whether it was not written down before.
async fn write_down(
    tx: &mut Tx<'_>,
    about: Subject<'_>,
    details: &Value,
) -> Result<bool, StoreError> {
    let Some(id) = findings::open_unrecorded(tx, KIND, about, details).await? else {
        return Ok(false);
    };
    audit::insert(tx, &[failure(about, id)]).await?;
    feed::append(tx, &[event(FeedKind::FindingOpened, id)]).await?;
    Ok(true)
}

fn event(kind: FeedKind, finding: FindingId) -> FeedEntry {
    FeedEntry {
        finding: Some(finding),
        ..FeedEntry::new(kind)
    }
}

fn failure(about: Subject<'_>, finding: FindingId) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Finding,
        resource_id: about.row().unwrap_or(finding.0),
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
