//! Rows that say nothing any more, removed by one process at a time.

use crate::{Pool, StoreError, Tx, access_codes, throttle};

/// The lock of whoever is at it.
const LOCK: &str = "meditrustal housekeeping";
/// How many rows of a kind go at a time, so that no statement takes long. Unit: rows.
const AT_A_TIME: u32 = 10_000;

/// How long things are kept. Unit: days.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Log-ins after their end.
    pub ended_sessions: i32,
    /// Refresh tokens after their use: as long as whoever it was stolen from may still present it, so that
    /// the theft is noticed.
    pub used_tokens: i32,
    /// Idempotency keys.
    pub idempotency_keys: i32,
}

/// What was removed. Unit: rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Of log-ins.
    pub sessions: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
    /// Counters of attempts.
    pub throttle_counters: u64,
    /// Access codes.
    pub access_codes: u64,
}

impl Removed {
    /// Whether so much of a kind was removed that there may be more.
    pub fn may_have_left_some(&self) -> bool {
        let removed = [
            self.sessions,
            self.idempotency_keys,
            self.throttle_counters,
            self.access_codes,
        ];
        removed.contains(&AT_A_TIME.into())
    }
}

/// Whether no other process is at a job of this name; none begins it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn is_alone(tx: &mut Tx<'_>, job: &str) -> Result<bool, StoreError> {
    let is_ours = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, schema_key())) AS "taken!""#,
        job,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(is_ours)
}

/// Removes some of everything that has had its time; `None` where another process is at it. The tables
/// are read as a whole: an index would have to follow each log-in and each attempt.
///
/// # Errors
/// [`StoreError`].
pub async fn sweep(pool: &Pool, keep: Keep) -> Result<Option<Removed>, StoreError> {
    let mut tx = pool.begin().await?;
    if !is_alone(&mut tx, LOCK).await? {
        return Ok(None);
    }
    let removed = remove(&mut tx, keep, AT_A_TIME.into()).await?;
    tx.commit().await?;
    Ok(Some(removed))
}

/// What sweeps would remove, all of it. Nothing is changed, and nothing is locked.
///
/// # Errors
/// [`StoreError`].
pub async fn would_remove(pool: &Pool, keep: Keep) -> Result<Removed, StoreError> {
    let mut tx = pool.begin().await?;
    // All of them at once, which may take longer than anybody else waits.
    sqlx::query!("SET LOCAL statement_timeout = 0")
        .execute(&mut *tx)
        .await?;
    let counted = Removed {
        sessions: count(count_sessions(&mut tx, keep).await?),
        idempotency_keys: count(count_idempotency_keys(&mut tx, keep.idempotency_keys).await?),
        throttle_counters: count(throttle::count(&mut tx).await?),
        access_codes: count(access_codes::count(&mut tx).await?),
    };
    tx.rollback().await?;
    Ok(counted)
}

fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or_default()
}

async fn remove(tx: &mut Tx<'_>, keep: Keep, at_most: i64) -> Result<Removed, StoreError> {
    Ok(Removed {
        sessions: sessions(tx, keep, at_most).await?,
        idempotency_keys: idempotency_keys(tx, keep.idempotency_keys, at_most).await?,
        throttle_counters: throttle::sweep(tx, at_most).await?,
        access_codes: access_codes::sweep(tx, at_most).await?,
    })
}

/// All rows of a log-in that is over, and those of refresh tokens that were used long ago; the first row
/// of a log-in stands for all of it and stays until its end.
async fn sessions(tx: &mut Tx<'_>, keep: Keep, at_most: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM sessions
         WHERE id IN (
             SELECT token.id
             FROM sessions AS token
             LEFT JOIN sessions AS root ON root.id = token.family_id
             WHERE root.id IS NULL
                OR root.expires_at < CURRENT_TIMESTAMP - make_interval(days => $1)
                OR root.revoked_at < CURRENT_TIMESTAMP - make_interval(days => $1)
                OR (token.parent_id IS NOT NULL
                    AND token.used_at < CURRENT_TIMESTAMP - make_interval(days => $2))
             ORDER BY token.created_at, token.id
             LIMIT $3
         )",
        keep.ended_sessions,
        keep.used_tokens,
        at_most,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// How many [`sessions`] would remove.
async fn count_sessions(tx: &mut Tx<'_>, keep: Keep) -> Result<i64, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT count(*) AS "rows!"
           FROM sessions AS token
           LEFT JOIN sessions AS root ON root.id = token.family_id
           WHERE root.id IS NULL
              OR root.expires_at < CURRENT_TIMESTAMP - make_interval(days => $1)
              OR root.revoked_at < CURRENT_TIMESTAMP - make_interval(days => $1)
              OR (token.parent_id IS NOT NULL
                  AND token.used_at < CURRENT_TIMESTAMP - make_interval(days => $2))"#,
        keep.ended_sessions,
        keep.used_tokens,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(rows)
}

/// How many [`idempotency_keys`] would remove.
async fn count_idempotency_keys(tx: &mut Tx<'_>, days: i32) -> Result<i64, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT count(*) AS "rows!"
           FROM idempotency_keys
           WHERE created_at < CURRENT_TIMESTAMP - make_interval(days => $1)"#,
        days,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(rows)
}

async fn idempotency_keys(tx: &mut Tx<'_>, days: i32, at_most: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM idempotency_keys
         WHERE (user_id, operation, key) IN (
             SELECT user_id, operation, key
             FROM idempotency_keys
             WHERE created_at < CURRENT_TIMESTAMP - make_interval(days => $1)
             ORDER BY created_at, user_id, operation, key
             LIMIT $2
         )",
        days,
        at_most,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
