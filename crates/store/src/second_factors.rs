//! Second factors: sealed secrets, the last step each was used at, and hashes of recovery codes.

use chrono::{DateTime, Utc};
use domain::{
    ids::{SessionId, UserId},
    second_factor::FactorState,
};
use sqlx::PgConnection;

use crate::{StoreError, Tx};

/// A second factor as it is stored.
#[derive(Debug, Clone)]
pub struct FactorRow {
    /// The secret, sealed.
    pub sealed_secret: Vec<u8>,
    /// The master key it is sealed by.
    pub master_key_id: String,
    /// The last step whose code was taken.
    pub last_step: i64,
    /// Since when it counts; `None` until its first code.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// Begins a second factor, over one that was begun and never confirmed. False where a confirmed one
/// is in the way.
///
/// # Errors
/// [`StoreError`].
pub async fn start(
    conn: &mut PgConnection,
    user: UserId,
    sealed_secret: &[u8],
    master_key_id: &str,
) -> Result<bool, StoreError> {
    let started = sqlx::query!(
        "INSERT INTO second_factors (user_id, sealed_secret, master_key_id)
         VALUES ($1, $2, $3)
         ON CONFLICT (user_id) DO UPDATE
         SET sealed_secret = $2, master_key_id = $3, created_at = CURRENT_TIMESTAMP
         WHERE second_factors.confirmed_at IS NULL",
        user.0,
        sealed_secret,
        master_key_id,
    )
    .execute(conn)
    .await?;
    Ok(started.rows_affected() == 1)
}

/// The second factor of this account, locked until the transaction ends: two codes at once are tried
/// one after the other.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(tx: &mut Tx<'_>, user: UserId) -> Result<Option<FactorRow>, StoreError> {
    Ok(sqlx::query_as!(
        FactorRow,
        r#"SELECT sealed_secret, master_key_id, last_step, confirmed_at, clock_timestamp() AS "now!"
         FROM second_factors
         WHERE user_id = $1
         FOR UPDATE"#,
        user.0,
    )
    .fetch_optional(&mut **tx)
    .await?)
}

/// Whether this account has a second factor that counts.
///
/// # Errors
/// [`StoreError`].
pub async fn is_confirmed(conn: &mut PgConnection, user: UserId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT 1 FROM second_factors WHERE user_id = $1 AND confirmed_at IS NOT NULL
         ) AS "confirmed!""#,
        user.0,
    )
    .fetch_one(conn)
    .await?)
}

/// Remembers the step whose code was just taken.
///
/// # Errors
/// [`StoreError`].
pub async fn use_step(tx: &mut Tx<'_>, user: UserId, step: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE second_factors
         SET last_step = $2
         WHERE user_id = $1",
        user.0,
        step,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Uses a recovery code up. False where there is no such code, or it was used.
///
/// # Errors
/// [`StoreError`].
pub async fn use_recovery_code(
    tx: &mut Tx<'_>,
    user: UserId,
    code_hash: &str,
) -> Result<bool, StoreError> {
    let taken = sqlx::query!(
        "UPDATE recovery_codes
         SET used_at = CURRENT_TIMESTAMP
         WHERE user_id = $1
           AND code_hash = $2
           AND used_at IS NULL",
        user.0,
        code_hash,
    )
    .execute(&mut **tx)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Makes a second factor count, with its recovery codes.
///
/// # Errors
/// [`StoreError`].
pub async fn confirm(
    tx: &mut Tx<'_>,
    user: UserId,
    code_hashes: &[String],
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE second_factors
         SET confirmed_at = CURRENT_TIMESTAMP
         WHERE user_id = $1",
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "INSERT INTO recovery_codes (user_id, code_hash)
         SELECT $1, code_hash
         FROM UNNEST($2::text[]) AS e(code_hash)",
        user.0,
        code_hashes,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a second factor off, recovery codes and all: no log-in counts as having shown it any more.
/// False where there was none.
///
/// # Errors
/// [`StoreError`].
pub async fn remove(tx: &mut Tx<'_>, user: UserId) -> Result<bool, StoreError> {
    let removed = sqlx::query!("DELETE FROM second_factors WHERE user_id = $1", user.0)
        .execute(&mut **tx)
        .await?;
    sqlx::query!(
        "UPDATE sessions
         SET second_factor_at = NULL
         WHERE user_id = $1
           AND second_factor_at IS NOT NULL",
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(removed.rows_affected() == 1)
}

/// What somebody may know of their own second factor.
///
/// # Errors
/// [`StoreError`].
pub async fn state(conn: &mut PgConnection, user: UserId) -> Result<FactorState, StoreError> {
    let found = sqlx::query!(
        r#"SELECT created_at, confirmed_at, (
             SELECT count(*)
             FROM recovery_codes
             WHERE recovery_codes.user_id = second_factors.user_id
               AND used_at IS NULL
         ) AS "codes_left!"
         FROM second_factors
         WHERE user_id = $1"#,
        user.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map_or_else(FactorState::default, |row| FactorState {
        started_at: Some(row.created_at),
        confirmed_at: row.confirmed_at,
        recovery_codes_left: u32::try_from(row.codes_left).unwrap_or(u32::MAX),
    }))
}

/// Remembers that this log-in showed a second factor.
///
/// # Errors
/// [`StoreError`].
pub async fn shown_by(tx: &mut Tx<'_>, session: SessionId) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE sessions
         SET second_factor_at = CURRENT_TIMESTAMP
         WHERE id = $1",
        session.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The next secrets that this master key seals, in the order of accounts, locked until the transaction
/// ends. Those that somebody else has locked are passed over. Served by
/// `idx_second_factors_master_key_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_sealed_by(
    tx: &mut Tx<'_>,
    master: &str,
    after: UserId,
    limit: i64,
) -> Result<Vec<(UserId, Vec<u8>)>, StoreError> {
    let found = sqlx::query!(
        "SELECT user_id, sealed_secret
         FROM second_factors
         WHERE master_key_id = $1
           AND user_id > $2
         ORDER BY user_id
         LIMIT $3
         FOR UPDATE SKIP LOCKED",
        master,
        after.0,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (UserId(row.user_id), row.sealed_secret))
        .collect())
}

/// Writes a secret that was sealed anew.
///
/// # Errors
/// [`StoreError`].
pub async fn reseal(
    tx: &mut Tx<'_>,
    user: UserId,
    sealed_secret: &[u8],
    master_key_id: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE second_factors SET sealed_secret = $2, master_key_id = $3 WHERE user_id = $1",
        user.0,
        sealed_secret,
        master_key_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
