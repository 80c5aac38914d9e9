//! What has to follow when a dump was restored: the chain goes on from where it is and not from where the dump was, and nobody
//! stays logged in by what may have ended since.

use domain::records::DataHash;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, rows, signers::SignerAccount};

/// An account that has signed for us, and the nonce it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSigner {
    /// The account, as EIP-55 writes it.
    pub address: String,
    /// Its next nonce, as the database has it.
    pub next_nonce: i64,
    /// Whether every api is to have its key.
    pub in_use: bool,
}

/// The accounts that have signed on this chain.
///
/// # Errors
/// [`StoreError`].
pub async fn signers(
    conn: &mut PgConnection,
    chain_id: i64,
) -> Result<Vec<KnownSigner>, StoreError> {
    Ok(sqlx::query_as!(
        KnownSigner,
        "SELECT address, next_nonce, in_use FROM signers WHERE chain_id = $1 ORDER BY address",
        chain_id,
    )
    .fetch_all(conn)
    .await?)
}

/// Has a signer go on at `next_nonce`, if it stands before. True where it did.
///
/// # Errors
/// [`StoreError`].
pub async fn raise_nonce(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
    next_nonce: i64,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE signers SET next_nonce = $3 WHERE chain_id = $1 AND address = $2 AND next_nonce < $3",
        signer.chain_id,
        signer.address,
        next_nonce,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Those of these hashes that no record here was anchored with. Served by `record_anchors_record_hash_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn unknown_hashes(
    conn: &mut PgConnection,
    hashes: &[DataHash],
) -> Result<Vec<DataHash>, StoreError> {
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    let unknown = sqlx::query_scalar!(
        r#"SELECT wanted.hash AS "hash!"
           FROM UNNEST($1::text[]) WITH ORDINALITY AS wanted(hash, nth)
           WHERE NOT EXISTS (SELECT FROM record_anchors WHERE record_hash = wanted.hash)
           ORDER BY wanted.nth"#,
        &hashes,
    )
    .fetch_all(conn)
    .await?;
    unknown.iter().map(|hash| rows::hash(hash)).collect()
}

/// Those of these hashes whose record is anchored here and not closed.
///
/// # Errors
/// [`StoreError`].
pub async fn open_hashes(
    conn: &mut PgConnection,
    hashes: &[DataHash],
) -> Result<Vec<(DataHash, Uuid)>, StoreError> {
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    let open = sqlx::query!(
        r#"SELECT anchor.record_hash AS hash, anchor.record_id
           FROM record_anchors AS anchor
           WHERE anchor.record_hash = ANY($1)
             AND NOT EXISTS (SELECT FROM record_closings AS closing WHERE closing.record_id = anchor.record_id)
           ORDER BY anchor.record_id"#,
        &hashes,
    )
    .fetch_all(conn)
    .await?;
    let read = open.into_iter();
    read.map(|row| Ok((rows::hash(&row.hash)?, row.record_id)))
        .collect()
}

/// An anchor that was in no final block when the dump was made.
#[derive(Debug, Clone)]
pub struct OpenAnchor {
    /// Of which record.
    pub record: Uuid,
    /// What is anchored.
    pub record_hash: DataHash,
    /// Where it stands, by the dump.
    pub state: String,
}

/// Anchors that were in no final block, after a record's, in the order of records.
///
/// # Errors
/// [`StoreError`].
pub async fn open_anchors(
    conn: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<OpenAnchor>, StoreError> {
    let found = sqlx::query!(
        "SELECT record_id, record_hash, state
         FROM record_anchors
         WHERE state <> 'FINALIZED'
           AND ($1::uuid IS NULL OR record_id > $1)
         ORDER BY record_id
         LIMIT $2",
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let read = found.into_iter();
    read.map(|row| {
        Ok(OpenAnchor {
            record: row.record_id,
            record_hash: rows::hash(&row.record_hash)?,
            state: row.state,
        })
    })
    .collect()
}

/// Ends every log-in: which of them had ended since the dump nobody knows. Gives how many.
///
/// # Errors
/// [`StoreError`].
pub async fn end_sessions(conn: &mut PgConnection) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "UPDATE sessions
         SET is_valid = FALSE, revoked_at = CURRENT_TIMESTAMP, seal = NULL, seal_key = NULL
         WHERE is_valid"
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
