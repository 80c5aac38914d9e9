//! Reading the trail. Reading it is itself written down, first.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
    representatives::RepresentedActivity,
    users::Role,
};
use serde_json::json;
use store::{
    Plans, Pool, StoreError, Transaction, Tx,
    audit::{self, AccountDay, AuditFilter, AuditPage, AuditRow, DayKey, RecordPage},
    reads::{LogPosition, Reads},
};

use crate::{
    caller::{Caller, denial, refuse_role, require_mandate},
    error::Error,
    page::PageRange,
};

/// Rows of everybody, newest first.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(crate) async fn all(
    pool: &Pool,
    reads: &Reads,
    caller: &Caller,
    filter: &AuditFilter,
    range: PageRange<i64>,
) -> Result<AuditPage, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, AuditAction::AuditRead).await?);
    }
    let rows = rows_of(&mut tx, reads, filter, range).await?;
    audit::insert(&mut tx, &[of_reading(caller, true)]).await?;
    tx.commit().await?;
    Ok(rows)
}

/// A page of the trail, from the replica where it has all that was written before it was allowed.
async fn rows_of(
    tx: &mut Tx<'_>,
    reads: &Reads,
    filter: &AuditFilter,
    range: PageRange<i64>,
) -> Result<AuditPage, StoreError> {
    if let Some(mut replica) = replica_of(tx, reads).await?
        && let Some(found) = reads.read(page_of(&mut replica, filter, range)).await
    {
        return Ok(found);
    }
    page_of(tx, filter, range).await
}

/// The replica's transaction, where it has all that was written until now.
async fn replica_of(tx: &mut Tx<'_>, reads: &Reads) -> Result<Option<Transaction>, StoreError> {
    if !reads.has_replica() {
        return Ok(None);
    }
    let written = LogPosition::now(tx).await?;
    Ok(reads.at(written, Plans::AsUsual).await)
}

/// A page of the trail. Numbers are the order of its lists, newest first; a page that goes back has what is newer.
async fn page_of(
    tx: &mut Tx<'_>,
    filter: &AuditFilter,
    range: PageRange<i64>,
) -> Result<AuditPage, StoreError> {
    let PageRange { size, from, .. } = range;
    if range.backward {
        audit::page_back(tx, filter, from.unwrap_or(i64::MIN), size).await
    } else {
        audit::page(tx, filter, from.unwrap_or(i64::MAX), size).await
    }
}

/// These rows, to administrators, with a row for all of them and one for each that is not shown.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn by_ids(
    pool: &Pool,
    caller: &Caller,
    ids: &[i64],
) -> Result<Vec<AuditRow>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let is_admin = actor.role == Role::Admin;
    let found = if is_admin && !ids.is_empty() {
        let filter = AuditFilter {
            rows: ids.to_vec(),
            ..AuditFilter::default()
        };
        let size = i64::try_from(ids.len()).unwrap_or(i64::MAX - 1);
        audit::page(&mut tx, &filter, i64::MAX, size).await?.rows
    } else {
        Vec::new()
    };
    let read = of_reading(caller, is_admin);
    let unknown = ids
        .iter()
        .filter(|id| found.iter().all(|row| row.id != **id));
    let denied = unknown.map(|row| self::unknown(&read, *row));
    let shown = (!found.is_empty()).then(|| read.clone());
    let entries: Vec<AuditEntry> = shown.into_iter().chain(denied).collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(found)
}

/// Rows about the caller's own data, or that of the patient for whom they act, newest first.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] where they may not act for the patient.
pub(crate) async fn own(
    pool: &Pool,
    reads: &Reads,
    caller: &Caller,
    filter: AuditFilter,
    range: PageRange<i64>,
) -> Result<AuditPage, Error> {
    let (mut tx, filter, entry) = own_log(pool, caller, filter).await?;
    let rows = rows_of(&mut tx, reads, &filter, range).await?;
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(rows)
}

/// What was done with the caller's own data, or that of the patient for whom they act, by day and account, newest day first; up to
/// one more than `size`.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] where they may not act for the patient.
pub(super) async fn own_by_day(
    (pool, reads): (&Pool, &Reads),
    caller: &Caller,
    filter: AuditFilter,
    after: Option<DayKey>,
    size: i64,
) -> Result<Vec<AccountDay>, Error> {
    let (mut tx, filter, entry) = own_log(pool, caller, filter).await?;
    let mut found = None;
    if let Some(mut replica) = replica_of(&mut tx, reads).await? {
        let reading = audit::by_day(&mut replica, &filter, after, size);
        found = reads.read(reading).await;
    }
    let days = match found {
        Some(days) => days,
        None => audit::by_day(&mut tx, &filter, after, size).await?,
    };
    audit::insert(&mut tx, &[entry]).await?;
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

/// Begins to read somebody's own log: the filter with whose it is, and the row that says that it was read.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`], with its audit row, where they may not act for the patient.
async fn own_log<'a>(
    pool: &'a Pool,
    caller: &Caller,
    filter: AuditFilter,
) -> Result<(Tx<'a>, AuditFilter, AuditEntry), Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let activity = RepresentedActivity::ReadAccessLog;
    let tx = require_mandate(tx, caller, actor, activity, AuditAction::AuditRead).await?;
    let filter = AuditFilter {
        patient: Some(actor.subject()),
        ..filter
    };
    let entry = AuditEntry {
        representation: actor.represents(activity),
        ..of_reading(caller, false)
    };
    Ok((tx, filter, entry))
}

/// The row that says that one of the trail was not shown: it is not there, or not the caller's to see.
pub(super) fn unknown(read: &AuditEntry, row: i64) -> AuditEntry {
    AuditEntry {
        new_value: Some(json!({ "reason": "UNKNOWN", "wanted": read.action, "row": row })),
        ..denial(read.clone(), read.origin.request.0)
    }
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
