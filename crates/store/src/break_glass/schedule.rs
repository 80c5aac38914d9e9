//! What happens to windows by itself: their end is written down, and those that nobody reviews are escalated. By one
//! process at a time.

use chrono::{DateTime, Utc};
use domain::ids::{BreakGlassWindowId, UserId};
use uuid::Uuid;

use super::{StoredWindow, WindowCursor, read_all, reviewed_rows};
use crate::{StoreError, Tx};

/// The lock of whoever is at it.
const LOCK: &str = "meditrustal break-glass schedule";

/// Takes the schedule until the transaction ends; false while another process has it.
///
/// # Errors
/// [`StoreError`].
pub async fn is_ours(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let is_ours = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, schema_key())) AS "taken!""#,
        LOCK,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(is_ours)
}

/// Windows whose time was over before now and whose end nobody has written down, locked. Served by
/// `idx_break_glass_windows_unended`.
///
/// # Errors
/// [`StoreError`].
pub async fn unended(
    tx: &mut Tx<'_>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<StoredWindow>, StoreError> {
    let found = reviewed_rows!(
        "WHERE end_recorded_at IS NULL
           AND expires_at <= $1
           AND NOT EXISTS (
               SELECT 1
               FROM audit_logs
               WHERE resource_id = break_glass_windows.id
                 AND action_type = 'BREAK_GLASS_END'
           )
         ORDER BY expires_at, id
         LIMIT $2
         FOR NO KEY UPDATE OF break_glass_windows SKIP LOCKED",
        now,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    read_all(found)
}

/// Remembers that the ends of these windows are written down.
///
/// # Errors
/// [`StoreError`].
pub async fn record_ends(
    tx: &mut Tx<'_>,
    windows: &[BreakGlassWindowId],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = windows.iter().map(|id| id.0).collect();
    sqlx::query!(
        "UPDATE break_glass_windows SET end_recorded_at = $2 WHERE id = ANY($1)",
        &ids,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether a window that was opened at this moment or before is to be escalated. Served by
/// `idx_break_glass_windows_unescalated`.
///
/// # Errors
/// [`StoreError`].
pub async fn any_unescalated(
    tx: &mut Tx<'_>,
    opened_until: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let is_due = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM break_glass_windows
               WHERE reviewed_at IS NULL
                 AND escalated_at IS NULL
                 AND opened_at <= $1
           ) AS "is_due!""#,
        opened_until,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(is_due)
}

/// Windows opened at this moment or before that nobody has reviewed, of which administrators were not told and one of
/// these can be, locked: whoever is concerned is not told. Served by `idx_break_glass_windows_unescalated`.
///
/// # Errors
/// [`StoreError`].
pub async fn unescalated(
    tx: &mut Tx<'_>,
    opened_until: DateTime<Utc>,
    administrators: &[UserId],
    limit: i64,
) -> Result<Vec<StoredWindow>, StoreError> {
    let administrators: Vec<Uuid> = administrators.iter().map(|id| id.0).collect();
    let found = reviewed_rows!(
        "WHERE reviewed_at IS NULL
           AND escalated_at IS NULL
           AND known_by IS NULL
           AND opened_at <= $1
           AND EXISTS (
               SELECT FROM UNNEST($2::uuid[]) AS told(id) WHERE told.id NOT IN (patient_id, doctor_id)
           )
         ORDER BY opened_at, id
         LIMIT $3
         FOR NO KEY UPDATE OF break_glass_windows SKIP LOCKED",
        opened_until,
        &administrators,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    read_all(found)
}

/// A page of all windows, newest first. Served by `idx_break_glass_windows_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn newest(
    tx: &mut Tx<'_>,
    after: Option<WindowCursor>,
    limit: i64,
) -> Result<Vec<StoredWindow>, StoreError> {
    let found = reviewed_rows!(
        "WHERE ($1::timestamptz IS NULL OR (opened_at, id) < ($1, $2::uuid))
         ORDER BY opened_at DESC, id DESC
         LIMIT $3",
        after.map(|(at, _)| at),
        after.map(|(_, id)| id),
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    read_all(found)
}

/// Remembers that administrators were told of these windows.
///
/// # Errors
/// [`StoreError`].
pub async fn escalate(
    tx: &mut Tx<'_>,
    windows: &[BreakGlassWindowId],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = windows.iter().map(|id| id.0).collect();
    sqlx::query!(
        "UPDATE break_glass_windows SET escalated_at = $2 WHERE id = ANY($1)",
        &ids,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
