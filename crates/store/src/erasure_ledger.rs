//! The erasure ledger: what was erased, each entry hashed together with the one before. Appended to in the transaction that
//! erases.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// The lock of whoever appends, until the transaction ends: so that the chain has no branches.
const LOCK: &str = "meditrustal erasure ledger";

/// The last entry of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerHead {
    /// How many entries it has.
    pub position: i64,
    /// The hash of the last one, 64 hex digits.
    pub hash: String,
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Its place, from 1 on.
    pub position: i64,
    /// The exact text that is hashed.
    pub entry: String,
    /// The hash.
    pub hash: String,
}

/// Lets nobody else append until the transaction ends: the last entry stays the last.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, schema_key()))",
        LOCK
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Appends an entry; one that is there already is not appended again. Gives the last entry then.
///
/// # Errors
/// [`StoreError`].
pub async fn append(tx: &mut Tx<'_>, id: Uuid, entry: &str) -> Result<LedgerHead, StoreError> {
    lock(tx).await?;
    sqlx::query!(
        "INSERT INTO erasure_ledger (position, entry_id, entry, hash, written_at)
         SELECT COALESCE(last.position, 0) + 1, $1, $2,
             encode(sha256(convert_to(COALESCE(last.hash, repeat('0', 64)) || chr(10) || $2::text, 'UTF8')), 'hex'),
             decision_time()
         FROM (VALUES (TRUE)) AS one(is_one)
         LEFT JOIN (
             SELECT position, hash FROM erasure_ledger ORDER BY position DESC LIMIT 1
         ) AS last ON TRUE
         ON CONFLICT (entry_id) DO NOTHING",
        id,
        entry,
    )
    .execute(&mut **tx)
    .await?;
    let head = head(tx).await?;
    head.ok_or(StoreError::Unreadable {
        what: "entry of the erasure ledger",
    })
}

/// The last entry; `None` where nothing was ever erased.
///
/// # Errors
/// [`StoreError`].
pub async fn head(tx: &mut Tx<'_>) -> Result<Option<LedgerHead>, StoreError> {
    let head = sqlx::query_as!(
        LedgerHead,
        "SELECT position, hash FROM erasure_ledger ORDER BY position DESC LIMIT 1"
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(head)
}

/// Entries after a place, in order.
///
/// # Errors
/// [`StoreError`].
pub async fn after(
    conn: &mut PgConnection,
    position: i64,
    limit: i64,
) -> Result<Vec<LedgerRow>, StoreError> {
    let found = sqlx::query_as!(
        LedgerRow,
        "SELECT position, entry, hash FROM erasure_ledger WHERE position > $1 ORDER BY position LIMIT $2",
        position,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// The hash of the entry at a place; `None` where there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn hash_at(conn: &mut PgConnection, position: i64) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT hash FROM erasure_ledger WHERE position = $1",
        position
    )
    .fetch_optional(conn)
    .await?)
}

/// Whether an entry is there.
///
/// # Errors
/// [`StoreError`].
pub async fn is_known(conn: &mut PgConnection, id: Uuid) -> Result<bool, StoreError> {
    let is_known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM erasure_ledger WHERE entry_id = $1) AS "is_known!""#,
        id
    )
    .fetch_one(conn)
    .await?;
    Ok(is_known)
}
