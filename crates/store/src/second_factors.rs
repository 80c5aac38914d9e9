//! Second factors: sealed secrets, the last step each was used at, and hashes of recovery codes.

use chrono::{DateTime, Utc};
use domain::{
    ids::UserId,
    seals::{Factor, Seal, Sealed},
    second_factor::FactorState,
};
use sqlx::PgConnection;

use crate::{StoreError, Tx, seals::FactorRow};

/// A second factor as it is stored, to be tried.
#[derive(Debug)]
pub struct LockedFactor {
    /// What decides of it.
    pub factor: Sealed<Factor>,
    /// The last step whose code was taken.
    pub last_step: i64,
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
    factor: &Factor,
    seal: &Seal,
) -> Result<bool, StoreError> {
    let started = sqlx::query!(
        "INSERT INTO second_factors (user_id, sealed_secret, master_key_id, seal, seal_key)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id) DO UPDATE
         SET sealed_secret = EXCLUDED.sealed_secret,
             master_key_id = EXCLUDED.master_key_id,
             created_at = EXCLUDED.created_at,
             seal = EXCLUDED.seal,
             seal_key = EXCLUDED.seal_key
         WHERE second_factors.confirmed_at IS NULL",
        factor.user.0,
        factor.sealed_secret,
        factor.master_key_id,
        seal.mac,
        seal.key_id,
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
pub async fn lock(tx: &mut Tx<'_>, user: UserId) -> Result<Option<LockedFactor>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT sealed_secret, master_key_id, last_step, confirmed_at, seal, seal_key, ARRAY(
                SELECT code_hash
                FROM recovery_codes
                WHERE recovery_codes.user_id = second_factors.user_id
                ORDER BY code_hash
            ) AS "code_hashes!", clock_timestamp() AS "now!"
         FROM second_factors
         WHERE user_id = $1
         FOR UPDATE"#,
        user.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.map(|row| LockedFactor {
        factor: FactorRow {
            user_id: user.0,
            sealed_secret: row.sealed_secret,
            master_key_id: row.master_key_id,
            confirmed_at: row.confirmed_at,
            code_hashes: row.code_hashes,
            seal: row.seal,
            seal_key: row.seal_key,
        }
        .into(),
        last_step: row.last_step,
        now: row.now,
    }))
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
pub async fn confirm(tx: &mut Tx<'_>, factor: &Factor, seal: &Seal) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE second_factors
         SET confirmed_at = $2, seal = $3, seal_key = $4
         WHERE user_id = $1",
        factor.user.0,
        factor.confirmed_at,
        seal.mac,
        seal.key_id,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "INSERT INTO recovery_codes (user_id, code_hash)
         SELECT $1, code_hash
         FROM UNNEST($2::text[]) AS e(code_hash)",
        factor.user.0,
        &factor.code_hashes,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a second factor off, recovery codes and all. False where there was none.
///
/// # Errors
/// [`StoreError`].
pub async fn remove(tx: &mut Tx<'_>, user: UserId) -> Result<bool, StoreError> {
    let removed = sqlx::query!("DELETE FROM second_factors WHERE user_id = $1", user.0)
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

/// The next second factors whose secrets this master key seals, in the order of accounts, locked until the
/// transaction ends. Those that somebody else has locked are passed over. Served by
/// `idx_second_factors_master_key_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_sealed_by(
    tx: &mut Tx<'_>,
    master: &str,
    after: UserId,
    limit: i64,
) -> Result<Vec<(UserId, Sealed<Factor>)>, StoreError> {
    let found = sqlx::query_as!(
        FactorRow,
        r#"SELECT user_id, sealed_secret, master_key_id, confirmed_at, ARRAY(
                SELECT code_hash
                FROM recovery_codes
                WHERE recovery_codes.user_id = second_factors.user_id
                ORDER BY code_hash
            ) AS "code_hashes!", seal, seal_key
         FROM second_factors
         WHERE master_key_id = $1
           AND user_id > $2
         ORDER BY user_id
         LIMIT $3
         FOR UPDATE SKIP LOCKED"#,
        master,
        after.0,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (UserId(row.user_id), row.into()))
        .collect())
}

/// Writes a secret that was sealed anew, and the seal of its row.
///
/// # Errors
/// [`StoreError`].
pub async fn reseal(tx: &mut Tx<'_>, factor: &Factor, seal: &Seal) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE second_factors
         SET sealed_secret = $2, master_key_id = $3, seal = $4, seal_key = $5
         WHERE user_id = $1",
        factor.user.0,
        factor.sealed_secret,
        factor.master_key_id,
        seal.mac,
        seal.key_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
