//! The accounts that sign for us, and the nonce each stands at, which is ours and not the chain's.

use std::time::Duration;

use sqlx::PgConnection;

use crate::{StoreError, Tx};

/// One signing account on one chain.
#[derive(Debug, Clone, Copy)]
pub struct SignerAccount<'a> {
    /// The chain.
    pub chain_id: i64,
    /// The account, as EIP-55 writes it.
    pub address: &'a str,
}

/// Makes the signer known, beginning at `next_nonce`; gives the nonce it stands at.
///
/// # Errors
/// [`StoreError`].
pub async fn register(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
    next_nonce: i64,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        "INSERT INTO signers (chain_id, address, next_nonce)
         VALUES ($1, $2, $3)
         ON CONFLICT (chain_id, address) DO UPDATE SET next_nonce = signers.next_nonce
         RETURNING next_nonce",
        signer.chain_id,
        signer.address,
        next_nonce,
    )
    .fetch_one(conn)
    .await?)
}

/// The nonce a signer stands at; `None` where it was never made known.
///
/// # Errors
/// [`StoreError`].
pub async fn known_nonce(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT next_nonce FROM signers WHERE chain_id = $1 AND address = $2",
        signer.chain_id,
        signer.address,
    )
    .fetch_optional(conn)
    .await?)
}

/// Locks the signer until the transaction ends and gives its next nonce. Writers of one signer, in
/// whatever process, follow one another from here on.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(tx: &mut Tx<'_>, signer: SignerAccount<'_>) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT next_nonce FROM signers WHERE chain_id = $1 AND address = $2 FOR UPDATE",
        signer.chain_id,
        signer.address,
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// The same, and later statements of the transaction wait this long for each lock; the signer is waited for as usual. One statement:
/// the next batch waits for every message that is sent under this lock.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_with_lock_wait(
    tx: &mut Tx<'_>,
    signer: SignerAccount<'_>,
    wait: Duration,
) -> Result<i64, StoreError> {
    // A subquery that locks rows is not flattened, so that the setting comes after the lock.
    let locked = sqlx::query!(
        r#"SELECT
            locked.next_nonce AS "next_nonce!",
            set_config('lock_timeout', $3, TRUE) AS lock_timeout
         FROM (
             SELECT next_nonce FROM signers WHERE chain_id = $1 AND address = $2 FOR UPDATE
         ) AS locked"#,
        signer.chain_id,
        signer.address,
        wait.as_millis().to_string(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(locked.next_nonce)
}

/// The accounts that anchor for us, as EIP-55 writes them.
///
/// # Errors
/// [`StoreError`].
pub async fn addresses(conn: &mut PgConnection, chain_id: i64) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT address FROM signers WHERE chain_id = $1 ORDER BY address",
        chain_id,
    )
    .fetch_all(conn)
    .await?)
}

/// The accounts that are in use, as EIP-55 writes them: every api is to have their keys.
///
/// # Errors
/// [`StoreError`].
pub async fn in_use(conn: &mut PgConnection, chain_id: i64) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT address FROM signers WHERE chain_id = $1 AND in_use ORDER BY address",
        chain_id,
    )
    .fetch_all(conn)
    .await?)
}

/// Marks these accounts as in use where none is. Gives those that are. Two processes that begin at once agree on one set.
///
/// # Errors
/// [`StoreError`].
pub async fn begin_use(
    tx: &mut Tx<'_>,
    chain_id: i64,
    addresses: &[String],
) -> Result<Vec<String>, StoreError> {
    lock_set(tx).await?;
    sqlx::query!(
        "UPDATE signers
         SET in_use = TRUE
         WHERE chain_id = $1
           AND address = ANY($2)
           AND NOT EXISTS (SELECT FROM signers AS other WHERE other.chain_id = $1 AND other.in_use)",
        chain_id,
        addresses,
    )
    .execute(&mut **tx)
    .await?;
    in_use(tx, chain_id).await
}

/// Marks an account as in use, or as not in use any more. Gives those that are then. Until the transaction ends nobody else
/// changes which are.
///
/// # Errors
/// [`StoreError`].
pub async fn set_in_use(
    tx: &mut Tx<'_>,
    signer: SignerAccount<'_>,
    is_in_use: bool,
) -> Result<Vec<String>, StoreError> {
    lock_set(tx).await?;
    sqlx::query!(
        "UPDATE signers SET in_use = $3 WHERE chain_id = $1 AND address = $2",
        signer.chain_id,
        signer.address,
        is_in_use,
    )
    .execute(&mut **tx)
    .await?;
    in_use(tx, signer.chain_id).await
}

/// Locks which accounts are in use until the transaction ends. Whoever locks a signer besides takes this lock first.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_set(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('signers in use', schema_key()))")
        .execute(&mut **tx)
        .await?;
    Ok(())
}
