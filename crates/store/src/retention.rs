//! What has been kept long enough, and what removes it: records, by their types, and rows of the trail, by what they say of
//! themselves.
//!
//! The api's role changes no envelope and removes no row: functions of the schema do it, of what is due and of nothing else.

use chrono::{DateTime, Utc};
use domain::{
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

/// The rows of the trail that say which rules were set, oldest first. Served by `idx_audit_logs_resource`.
///
/// # Errors
/// [`StoreError`].
pub async fn rows_of_rules(conn: &mut PgConnection) -> Result<Vec<i64>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT id
         FROM audit_logs
         WHERE resource_type = 'RETENTION_RULE' AND action_type = 'RETENTION_RULE_SET'
         ORDER BY id
         LIMIT 100000"
    )
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// The statements of a transaction may take longer than anybody else waits: nobody waits for these.
///
/// # Errors
/// [`StoreError`].
pub async fn take_time(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    sqlx::query!("SELECT set_config('statement_timeout', '10min', TRUE)")
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
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
/// `idx_medical_records_due`: what is not due is not looked at.
///
/// # Errors
/// [`StoreError`].
pub async fn patients_due(
    tx: &mut Tx<'_>,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<UserId>, StoreError> {
    plan_by_values(tx).await?;
    let found = sqlx::query_scalar!(
        r#"SELECT DISTINCT record.patient_id AS "patient_id!"
           FROM retention_rules AS rule
           JOIN medical_records AS record ON record.record_type = rule.record_type
           WHERE record.created_at <= (SELECT decision_time()) - make_interval(years => rule.years) + INTERVAL '2 days'
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

/// Erases those of them whose lines are named; the transaction writes an audit row about the patient, whose time is theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn purge_records(
    tx: &mut Tx<'_>,
    patient: UserId,
    (after, at_most): (RecordId, i32),
    lines: &[RecordId],
) -> Result<Vec<DueRecord>, StoreError> {
    let lines: Vec<Uuid> = lines.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        DueRow,
        r#"SELECT record_id AS "record_id!", record_type AS "record_type!", line_id AS "line_id!"
           FROM purge_records($1, $2, $3, $4)
           ORDER BY line_id, record_id"#,
        patient.0,
        after.0,
        at_most,
        &lines,
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
    /// When its time was over.
    pub due_at: DateTime<Utc>,
    /// Its place in the tree.
    pub position: i64,
}

/// The next of them, by when their time was over, and number. Served by `idx_audit_logs_due`: what is not due is not looked at.
///
/// # Errors
/// [`StoreError`].
pub async fn audit_rows_due(
    tx: &mut Tx<'_>,
    after: (DateTime<Utc>, i64),
    limit: i64,
) -> Result<Vec<DueAuditRow>, StoreError> {
    plan_by_values(tx).await?;
    let found = sqlx::query_as!(
        DueAuditRow,
        r#"SELECT id AS "id!", due_at AS "due_at!", position AS "position!"
           FROM audit_rows_due
           WHERE (due_at, id) > ($1, $2)
             AND due_at <= (SELECT decision_time())
           ORDER BY due_at, id
           LIMIT $3"#,
        after.0,
        after.1,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found)
}

/// Which of these are due: after whoever could keep them was locked, it is asked again. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn audit_rows_still_due(tx: &mut Tx<'_>, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
    let found = sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM audit_rows_due WHERE id = ANY($1)"#,
        ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found)
}

/// Which of these something goes by, whatever the view says that tells what is due: whose data is held, by what a record that
/// changed is believed, what was agreed to or taken back, who acts for whom and who belongs to what, as long as it is not known
/// to be over, who approved a deletion. Served by the primary key, `idx_legal_holds_in_force` and `idx_audit_logs_holds`.
///
/// # Errors
/// [`StoreError`].
pub async fn audit_rows_needed(tx: &mut Tx<'_>, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
    let found = sqlx::query_scalar!(
        r"SELECT log.id
          FROM audit_logs AS log
          WHERE log.id = ANY($1)
            AND (
                EXISTS (
                    SELECT FROM legal_holds AS hold
                    WHERE hold.patient_id IN (log.patient_id, log.user_id, log.on_behalf_of) AND hold.released_at IS NULL
                )
                OR EXISTS (
                    SELECT FROM audit_logs AS placed
                    WHERE placed.patient_id IN (log.patient_id, log.user_id, log.on_behalf_of)
                      AND placed.action_type = 'HOLD_PLACE'
                      AND NOT EXISTS (
                          SELECT FROM audit_logs AS released
                          WHERE released.resource_id = placed.resource_id
                            AND released.action_type = 'HOLD_RELEASE'
                            AND released.new_value ->> 'released' = 'true'
                      )
                )
                OR (
                    log.action_type NOT IN (
                        'RECORD_READ', 'RECORD_SEARCH', 'RECORD_VERIFY', 'RECORD_EXPORT', 'ACCESS_DENIED',
                        'INTEGRITY_FAILURE'
                    )
                    AND EXISTS (
                        SELECT FROM medical_records AS record
                        WHERE record.patient_id = log.patient_id
                          AND (
                              record.updated_at <> record.created_at
                              OR record.restricted_at IS NOT NULL
                              OR record.erased_at IS NOT NULL
                          )
                          AND log.event_time IN (record.updated_at, record.restricted_at, record.erased_at)
                    )
                )
                OR (
                    log.action_type IN ('CONSENT_GRANT', 'CONSENT_WITHDRAW')
                    AND NOT EXISTS (
                        SELECT FROM data_processing_consents AS consent
                        WHERE consent.id = log.resource_id
                          AND consent.consent_expires_at <= (SELECT decision_time())
                    )
                )
                OR (
                    log.action_type IN ('REPRESENTATIVE_APPOINT', 'REPRESENTATIVE_END')
                    AND NOT EXISTS (
                        SELECT FROM representatives AS representation
                        WHERE representation.id = log.resource_id
                          AND representation.valid_until <= (SELECT decision_time())
                    )
                )
                OR (
                    log.action_type IN ('MEMBERSHIP_ADD', 'MEMBERSHIP_END')
                    AND NOT EXISTS (
                        SELECT FROM memberships AS membership
                        WHERE membership.id = log.resource_id
                          AND membership.valid_until <= (SELECT decision_time())
                    )
                )
                OR (
                    log.action_type LIKE 'DELETION\_%'
                    AND log.action_type <> 'DELETION_READ'
                    AND NOT EXISTS (
                        SELECT FROM data_deletion_requests AS request
                        WHERE request.id = log.resource_id
                          AND request.status IN ('expired', 'rejected', 'cancelled', 'completed')
                    )
                )
            )",
        ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found)
}

/// Removes rows that are due, as a purge of which the transaction has written the audit row. Gives how many. Who gives one that
/// is not due removes none.
///
/// # Errors
/// [`StoreError`].
pub async fn remove_audit_rows(
    tx: &mut Tx<'_>,
    purge: Uuid,
    going: &[DueAuditRow],
) -> Result<i64, StoreError> {
    let positions: Vec<i64> = going.iter().map(|row| row.position).collect();
    let ids: Vec<i64> = going.iter().map(|row| row.id).collect();
    let removed = sqlx::query_scalar!(
        r#"SELECT remove_audit_rows($1, $2, $3) AS "removed!""#,
        purge,
        &positions,
        &ids,
    )
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
