//! How far the check of every key and every record has come.
//!
//! One process at a time holds the walk (its id is the request id of what it writes down), by a lease in its only row: it is renewed with each step, and
//! one that is not renewed is free for another process, which goes on where the first one stopped.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{
    ids::{PatientKeyId, RecordId, RequestId, UserId},
    integrity::CheckStage,
    stored::StoredKey,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, rows};

/// How long the walk is held without a step. A step takes a fraction of a second.
pub const LEASE: Duration = Duration::from_secs(30);

/// Where the walk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPosition {
    /// In what.
    pub stage: CheckStage,
    /// After which id.
    pub position: Uuid,
}

/// Takes the walk, or keeps it. `None` while another process has it, and for as long as `rest` after a round
/// has ended, whoever walked it. What no process can have written, a lease that is longer than [`LEASE`] or an end
/// to come, holds nobody back.
///
/// # Errors
/// [`StoreError`].
pub async fn hold(
    conn: &mut PgConnection,
    holder: RequestId,
    rest: Duration,
) -> Result<Option<CheckPosition>, StoreError> {
    let found = sqlx::query!(
        "UPDATE deep_checks
         SET holder = $1, held_until = CURRENT_TIMESTAMP + make_interval(secs => $2)
         WHERE (
               holder = $1
               OR held_until IS NULL
               OR held_until < CURRENT_TIMESTAMP
               OR held_until > clock_timestamp() + make_interval(secs => $2)
           )
           AND (
               keys_checked > 0
               OR records_checked > 0
               OR stage <> 'KEYS'
               OR last_ended_at IS NULL
               OR last_ended_at < CURRENT_TIMESTAMP - make_interval(secs => $3)
               OR last_ended_at > clock_timestamp()
           )
         RETURNING stage, position",
        holder.0,
        LEASE.as_secs_f64(),
        rest.as_secs_f64(),
    )
    .fetch_optional(conn)
    .await?;
    found
        .map(|row| {
            Ok(CheckPosition {
                stage: rows::text(&row.stage, "stage of the deep check")?,
                position: row.position,
            })
        })
        .transpose()
}

/// Takes the walk from whoever has it, and begins a round anew: where the walk of a restored database stood says nothing of it.
///
/// # Errors
/// [`StoreError`].
pub async fn begin_anew(conn: &mut PgConnection, holder: RequestId) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE deep_checks
         SET stage = 'KEYS',
             position = '00000000-0000-0000-0000-000000000000',
             holder = $1,
             held_until = CURRENT_TIMESTAMP + make_interval(secs => $2),
             began_at = CURRENT_TIMESTAMP,
             keys_checked = 0,
             records_checked = 0,
             rows_checked = 0,
             wrong = 0",
        holder.0,
        LEASE.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes a step: so many were checked, so many of them wrong.
///
/// # Errors
/// [`StoreError`].
pub async fn note(
    conn: &mut PgConnection,
    holder: RequestId,
    check_position: CheckPosition,
    checked: i64,
    wrong: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE deep_checks
         SET stage = $2::text,
             position = $3,
             keys_checked = LEAST(keys_checked, 1::bigint << 60) + CASE WHEN $2::text = 'KEYS' THEN $4::bigint ELSE 0 END,
             records_checked = LEAST(records_checked, 1::bigint << 60) + CASE WHEN $2::text = 'RECORDS' THEN $4::bigint ELSE 0 END,
             rows_checked = LEAST(rows_checked, 1::bigint << 60)
                 + CASE WHEN $2::text NOT IN ('KEYS', 'RECORDS') THEN $4::bigint ELSE 0 END,
             wrong = LEAST(wrong, 1::bigint << 60) + $5
         WHERE holder = $1",
        holder.0,
        check_position.stage.as_str(),
        check_position.position,
        checked,
        wrong,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A whole round.
#[derive(Debug, Clone, Copy)]
pub struct CheckRound {
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// How many keys were checked.
    pub keys: i64,
    /// How many records were checked.
    pub records: i64,
    /// How many rows that decide were checked.
    pub rows: i64,
    /// How many of them were wrong.
    pub wrong: i64,
}

/// Ends a round and begins the next. `None` where another process has the walk.
///
/// # Errors
/// [`StoreError`].
pub async fn end_round(
    conn: &mut PgConnection,
    holder: RequestId,
) -> Result<Option<CheckRound>, StoreError> {
    let ended = sqlx::query!(
        r#"UPDATE deep_checks
           SET stage = 'KEYS',
               position = '00000000-0000-0000-0000-000000000000',
               last_began_at = began_at,
               last_ended_at = CURRENT_TIMESTAMP,
               last_keys = keys_checked,
               last_records = records_checked,
               last_rows = rows_checked,
               last_wrong = wrong,
               began_at = CURRENT_TIMESTAMP,
               keys_checked = 0,
               records_checked = 0,
               rows_checked = 0,
               wrong = 0
           WHERE holder = $1
           RETURNING last_began_at AS "began_at!", last_ended_at AS "ended_at!",
                     last_keys AS "keys!", last_records AS "records!", last_rows AS "rows!",
                     last_wrong AS "wrong!""#,
        holder.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(ended.map(|row| CheckRound {
        began_at: row.began_at,
        ended_at: row.ended_at,
        keys: row.keys,
        records: row.records,
        rows: row.rows,
        wrong: row.wrong,
    }))
}

/// The next records in the order of ids. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn records_after(
    conn: &mut PgConnection,
    position: Uuid,
    limit: i64,
) -> Result<Vec<RecordId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM medical_records WHERE id > $1 ORDER BY id LIMIT $2",
        position,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(RecordId).collect())
}

/// A key, and what else speaks of it.
#[derive(Debug)]
pub struct KeyToCheck {
    /// Its row.
    pub key: StoredKey,
    /// Whether the audit trail says that it was destroyed when it says so itself.
    pub destruction_is_known: bool,
    /// Whether a finding about it is open.
    pub is_reported: bool,
}

/// The next patients' keys in the order of ids. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn keys_after(
    conn: &mut PgConnection,
    position: Uuid,
    limit: i64,
) -> Result<Vec<KeyToCheck>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT
            key.id,
            key.patient_id,
            key.wrapped_key,
            key.master_key_id,
            key.created_at,
            key.destroyed_at,
            EXISTS (
                SELECT FROM audit_logs
                WHERE event_time = key.destroyed_at
                  AND patient_id = key.patient_id
                  AND action_type = 'KEY_DESTROY'
            ) AS "destruction_is_known!",
            EXISTS (
                SELECT FROM integrity_findings
                WHERE patient_key_id = key.id AND resolved_at IS NULL AND kind = 'UNDECRYPTABLE'
            ) AS "is_reported!"
         FROM patient_keys AS key
         WHERE key.id > $1
         ORDER BY key.id
         LIMIT $2"#,
        position,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| KeyToCheck {
            key: StoredKey {
                id: PatientKeyId(row.id),
                patient: UserId(row.patient_id),
                wrapped_key: row.wrapped_key,
                master_key_id: row.master_key_id,
                created_at: row.created_at,
                destroyed_at: row.destroyed_at,
            },
            destruction_is_known: row.destruction_is_known,
            is_reported: row.is_reported,
        })
        .collect())
}
