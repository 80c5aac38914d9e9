//! Reading the trail. Reading it is itself written down, first.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
    representatives::RepresentedActivity,
    users::Role,
};
use serde_json::json;
use store::{
    Pool,
    audit::{self, AccountDay, AuditFilter, AuditPage, DayKey, RecordPage},
};

use crate::{
    caller::{Caller, refuse_role, require_mandate},
    error::Error,
};

/// Rows of everybody, newest first.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(crate) async fn all(
    pool: &Pool,
    caller: &Caller,
    filter: &AuditFilter,
    before: i64,
    size: i64,
) -> Result<AuditPage, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, AuditAction::AuditRead).await?);
    }
    let rows = audit::page(&mut tx, filter, before, size).await?;
    audit::insert(&mut tx, &[of_reading(caller, true)]).await?;
    tx.commit().await?;
    Ok(rows)
}

/// Rows about the caller's own data, or that of the patient for whom they act, newest first.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] where they may not act for the patient.
pub(crate) async fn own(
    pool: &Pool,
    caller: &Caller,
    filter: AuditFilter,
    before: i64,
    size: i64,
) -> Result<AuditPage, Error> {
    let entry = of_reading(caller, false);
    own_rows(pool, caller, filter, (before, size), entry).await
}

/// What was done with the caller's own data, by day and account, newest day first; up to one more than `size`.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn own_by_day(
    pool: &Pool,
    caller: &Caller,
    after: Option<DayKey>,
    size: i64,
) -> Result<Vec<AccountDay>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let days = audit::by_day(&mut tx, actor.id, after, size).await?;
    audit::insert(&mut tx, &[of_reading(caller, false)]).await?;
    tx.commit().await?;
    Ok(days)
}

/// For each page that is asked for, rows about one of the caller's own records, or that name it among others, newest first.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn of_records(
    pool: &Pool,
    caller: &Caller,
    asked: &[RecordPage],
) -> Result<Vec<AuditPage>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let pages = audit::of_records(&mut tx, actor.id, asked).await?;
    let read = asked.iter().map(|page| AuditEntry {
        new_value: Some(json!({ "record": page.record })),
        ..of_reading(caller, false)
    });
    let read: Vec<AuditEntry> = read.collect();
    audit::insert(&mut tx, &read).await?;
    tx.commit().await?;
    Ok(pages)
}

async fn own_rows(
    pool: &Pool,
    caller: &Caller,
    filter: AuditFilter,
    (before, size): (i64, i64),
    entry: AuditEntry,
) -> Result<AuditPage, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let activity = RepresentedActivity::ReadAccessLog;
    let mut tx = require_mandate(tx, caller, actor, activity, AuditAction::AuditRead).await?;
    let filter = AuditFilter {
        patient: Some(actor.subject()),
        ..filter
    };
    let rows = audit::page(&mut tx, &filter, before, size).await?;
    let entry = AuditEntry {
        representation: actor.represents(activity),
        ..entry
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(rows)
}

/// What is written when the trail is read: as an administrator reads everybody's, or somebody what is about them.
pub(super) fn of_reading(caller: &Caller, everybodys: bool) -> AuditEntry {
    let (classification, purpose) = if everybodys {
        (Classification::Security, Purpose::Compliance)
    } else {
        (Classification::Personal, Purpose::PatientRequest)
    };
    AuditEntry {
        resource_type: ResourceType::AuditLog,
        classification,
        encryption: EncryptionStatus::MetadataOnly,
        // Whoever is represented sees that their log was read; nobody is told of reading their own.
        patient: caller.on_behalf_of,
        ..caller.entry(AuditAction::AuditRead, purpose)
    }
}
