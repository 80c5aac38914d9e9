//! Findings about rows that decide: opened once, and closed when the row is right again, each with its
//! event; an audit row says what was found, and whose it is.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{FindingId, RequestId},
    integrity::{FeedKind, FindingKind},
    purpose::Purpose,
    seals::{SealedTable, Tampered},
    users::SCHEDULER,
};
use serde_json::json;
use store::{
    Pool, StoreError, Tx, audit,
    feed::{self, FeedEntry},
    findings::{self, Subject},
};

const KIND: FindingKind = FindingKind::RowTampered;

/// Writes down that a row is not as it was sealed.
///
/// # Errors
/// The database's.
pub(crate) async fn open(pool: &Pool, tampered: Tampered) -> Result<(), StoreError> {
    // Whatever is in the table of findings already: that can be written, too.
    let (table, row) = (tampered.table.as_str(), tampered.row);
    tracing::error!(row.table = table, row.id = %row, "Row {row} of {table} failed its integrity check");
    let mut tx = pool.begin().await?;
    let details = json!({ "table": tampered.table, "row": tampered.row });
    let about = Subject::Row(tampered.table, row);
    if let Some(id) = findings::open_unrecorded(&mut tx, KIND, about, &details).await? {
        audit::insert(&mut tx, &[failure(tampered, id)]).await?;
        feed::append(&mut tx, &[event(FeedKind::FindingOpened, tampered, id)]).await?;
    }
    tx.commit().await
}

/// Closes what is open about a row that is right again.
///
/// # Errors
/// The database's.
pub(crate) async fn resolve(tx: &mut Tx<'_>, row: Tampered) -> Result<(), StoreError> {
    let closed = findings::resolve(tx, KIND, Subject::Row(row.table, row.row)).await?;
    let events: Vec<FeedEntry> = closed
        .into_iter()
        .map(|id| event(FeedKind::FindingResolved, row, id))
        .collect();
    feed::append(tx, &events).await
}

/// What kind of thing a row is about, in the audit trail.
pub(crate) const fn resource_of(table: SealedTable) -> ResourceType {
    match table {
        SealedTable::Consents | SealedTable::ConsentReceipts => ResourceType::Consent,
        SealedTable::Sessions => ResourceType::Session,
        SealedTable::AccessCodes => ResourceType::AccessCode,
        SealedTable::BreakGlassWindows => ResourceType::BreakGlassWindow,
        SealedTable::DeletionRequests => ResourceType::DeletionRequest,
        SealedTable::LegalHolds => ResourceType::LegalHold,
        SealedTable::Organizations => ResourceType::Organization,
        SealedTable::Memberships => ResourceType::Membership,
        SealedTable::Representatives | SealedTable::RepresentativeProposals => {
            ResourceType::Representative
        }
        SealedTable::Users | SealedTable::SecondFactors | SealedTable::RoleProposals => {
            ResourceType::User
        }
    }
}

fn failure(tampered: Tampered, finding: FindingId) -> AuditEntry {
    AuditEntry {
        resource_type: resource_of(tampered.table),
        resource_id: tampered.row,
        new_value: Some(json!({ "finding": KIND, "findingId": finding, "table": tampered.table })),
        classification: Classification::Security,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(tampered.of),
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::IntegrityFailure,
            Purpose::SystemAdministration,
            &Origin::job(RequestId::fresh()),
        )
    }
}

fn event(kind: FeedKind, row: Tampered, finding: FindingId) -> FeedEntry {
    FeedEntry {
        patient: Some(row.of),
        finding: Some(finding),
        ..FeedEntry::new(kind)
    }
}
