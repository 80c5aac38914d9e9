//! What has been kept long enough, and what removes it: records, by their types, and rows of the trail, by what they say of
//! themselves.
//!
//! The api's role changes no envelope and removes no row: functions of the schema do it, of what is due and of nothing else.

use chrono::{DateTime, Utc};
use domain::{
    audit::AuditAction,
    ids::{RecordId, UserId},
    records::RecordType,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, records::search::plan_by_values, rows};

/// How long records of a type are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionRule {
    /// The type.
    pub record_type: RecordType,
    /// How long, from the moment a record was stored. Unit: years.
    pub years: i32,
}

/// The rules, by type.
///
/// # Errors
/// [`StoreError`].
pub async fn rules(conn: &mut PgConnection) -> Result<Vec<RetentionRule>, StoreError> {
    let found = sqlx::query!(
        "SELECT record_type, years FROM retention_rules ORDER BY record_type LIMIT 100"
    )
    .fetch_all(conn)
    .await?;
    let found = found.into_iter().map(|row| {
        Ok(RetentionRule {
            record_type: rows::text(&row.record_type, "record type")?,
            years: row.years,
        })
    });
    found.collect()
}

/// Sets a rule; the owner of the tables alone may. Gives how many years it was before.
///
/// # Errors
/// [`StoreError`].
pub async fn set_rule(tx: &mut Tx<'_>, rule: RetentionRule) -> Result<i32, StoreError> {
    let before = sqlx::query_scalar!(
        "SELECT years FROM retention_rules WHERE record_type = $1 FOR UPDATE",
        rule.record_type.as_str(),
    )
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE retention_rules SET years = $2 WHERE record_type = $1",
        rule.record_type.as_str(),
        rule.years,
    )
    .execute(&mut **tx)
    .await?;
    Ok(before)
}

/// Patients with records that have been kept long enough, as far as a hold does not cover them, by id. Served by
/// `idx_medical_records_created`.
///
/// # Errors
/// [`StoreError`].
pub async fn patients_due(
    tx: &mut Tx<'_>,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<UserId>, StoreError> {
    let found = sqlx::query_scalar!(
        r#"SELECT DISTINCT record.patient_id AS "patient_id!"
           FROM medical_records AS record
           JOIN retention_rules AS rule ON rule.record_type = record.record_type
           WHERE record.created_at <= (
                     SELECT decision_time() - make_interval(years => min(years)) + INTERVAL '2 days' FROM retention_rules
                 )
             AND record.created_at + make_interval(years => rule.years) <= (SELECT decision_time())
             AND record.superseded_at IS NULL
             AND record.erased_at IS NULL
             AND record.restricted_at IS NULL
             AND ($1::uuid IS NULL OR record.patient_id > $1)
           ORDER BY 1
           LIMIT $2"#,
        after.map(|id| id.0),
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found.into_iter().map(UserId).collect())
}

/// A record that has been kept long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueRecord {
    /// Which version.
    pub id: RecordId,
    /// Of which type.
    pub record_type: RecordType,
    /// The last version of its line: itself, where it is that.
    pub line: RecordId,
}

/// The next lines of a patient's records that have been kept long enough, and are not held.
///
/// # Errors
/// [`StoreError`].
pub async fn records_due(
    tx: &mut Tx<'_>,
    patient: UserId,
    after: RecordId,
    at_most: i32,
) -> Result<Vec<DueRecord>, StoreError> {
    let found = sqlx::query_as!(
        DueRow,
        r#"SELECT record_id AS "record_id!", record_type AS "record_type!", line_id AS "line_id!"
           FROM due_records($1, $2, $3)"#,
        patient.0,
        after.0,
        at_most,
    )
    .fetch_all(&mut **tx)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Erases them; the transaction writes an audit row about the patient, whose time is theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn purge_records(
    tx: &mut Tx<'_>,
    patient: UserId,
    after: RecordId,
    at_most: i32,
) -> Result<Vec<DueRecord>, StoreError> {
    let found = sqlx::query_as!(
        DueRow,
        r#"SELECT record_id AS "record_id!", record_type AS "record_type!", line_id AS "line_id!"
           FROM purge_records($1, $2, $3)
           ORDER BY line_id, record_id"#,
        patient.0,
        after.0,
        at_most,
    )
    .fetch_all(&mut **tx)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

struct DueRow {
    record_id: Uuid,
    record_type: String,
    line_id: Uuid,
}

impl TryFrom<DueRow> for DueRecord {
    type Error = StoreError;
    fn try_from(row: DueRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: RecordId(row.record_id),
            record_type: rows::text(&row.record_type, "record type")?,
            line: RecordId(row.line_id),
        })
    }
}

/// A row of the trail that has been kept long enough.
#[derive(Debug, Clone, Copy)]
pub struct DueAuditRow {
    /// Its number.
    pub id: i64,
    /// When what it says happened.
    pub event_time: DateTime<Utc>,
    /// Its place in the tree.
    pub position: i64,
}

/// The next of them, by time and number. Served by `idx_audit_logs_event_time`.
///
/// # Errors
/// [`StoreError`].
pub async fn audit_rows_due(
    tx: &mut Tx<'_>,
    after: (DateTime<Utc>, i64),
    limit: i64,
) -> Result<Vec<DueAuditRow>, StoreError> {
    plan_by_values(tx).await?;
    // No row is kept for a shorter time.
    let shortest = AuditAction::ALL.iter().map(|action| action.retention());
    let days = shortest.min().map_or(0, |shortest| shortest.num_days());
    let found = sqlx::query_as!(
        DueAuditRow,
        r#"SELECT id AS "id!", event_time AS "event_time!", position AS "position!"
           FROM audit_rows_due
           WHERE (event_time, id) > ($1, $2)
             AND event_time <= (SELECT decision_time()) - make_interval(days => $3)
           ORDER BY event_time, id
           LIMIT $4"#,
        after.0,
        after.1,
        i32::try_from(days).unwrap_or(i32::MAX),
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found)
}

/// Names the rows that a purge is about to remove.
///
/// # Errors
/// [`StoreError`].
pub async fn name_purged(
    tx: &mut Tx<'_>,
    purge: Uuid,
    purged: &[DueAuditRow],
) -> Result<(), StoreError> {
    let positions: Vec<i64> = purged.iter().map(|row| row.position).collect();
    let ids: Vec<i64> = purged.iter().map(|row| row.id).collect();
    sqlx::query!(
        "INSERT INTO audit_purged_leaves (position, audit_id, purge_id)
         SELECT named.position, named.id, $3
         FROM UNNEST($1::bigint[], $2::bigint[]) AS named(position, id)",
        &positions,
        &ids,
        purge,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes the rows that a purge names and that are due. Gives how many.
///
/// # Errors
/// [`StoreError`].
pub async fn remove_purged(tx: &mut Tx<'_>, purge: Uuid) -> Result<i64, StoreError> {
    let removed = sqlx::query_scalar!(r#"SELECT remove_audit_rows($1) AS "removed!""#, purge)
        .fetch_one(&mut **tx)
        .await?;
    Ok(removed)
}

/// Which places from one on, before another, are said to have been purged, and by which purge. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn purged_between(
    conn: &mut PgConnection,
    from: i64,
    before: i64,
) -> Result<Vec<(i64, Uuid)>, StoreError> {
    let found = sqlx::query!(
        "SELECT position, purge_id
         FROM audit_purged_leaves
         WHERE position >= $1 AND position < $2
         ORDER BY position",
        from,
        before,
    )
    .fetch_all(conn)
    .await?;
    let found = found.into_iter();
    Ok(found.map(|row| (row.position, row.purge_id)).collect())
}
