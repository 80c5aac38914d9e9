//! How far a registry was followed, for whoever asks.

use sqlx::PgConnection;

use crate::{StoreError, cursor::Registry};

/// How far it was followed, and when that was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexProgress {
    /// The newest block of the chain, as a leader saw it last.
    pub head_block: i64,
    /// The last block that was applied.
    pub indexed_block: i64,
    /// The last of these that cannot be undone.
    pub finalized_block: i64,
    /// The registry's sequence after the last block applied.
    pub sequence: i64,
    /// How long ago a leader wrote this, by the database's clock. Unit: seconds.
    pub written_seconds: f64,
}

/// How far it was followed; `None` where it never was. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn progress(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Option<IndexProgress>, StoreError> {
    Ok(sqlx::query_as!(
        IndexProgress,
        r#"SELECT
            chain_head AS head_block,
            block_number AS indexed_block,
            finalized_block,
            sequence,
            EXTRACT(EPOCH FROM clock_timestamp() - updated_at)::double precision AS "written_seconds!"
         FROM chain_cursors
         WHERE chain_id = $1 AND registry = $2"#,
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(conn)
    .await?)
}

/// How far the chain is, and how far it was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedHead {
    /// The newest block of the chain, as a leader saw it last.
    pub head_block: i64,
    /// The last block that was applied.
    pub indexed_block: i64,
    /// Its hash, `0x` and 64 digits: another one where a block of this number took its place.
    pub indexed_hash: String,
    /// The last of these that cannot be undone.
    pub finalized_block: i64,
    /// The registry's sequence after the last block applied.
    pub sequence: i64,
}

/// The same as [`progress`], to be compared with what was read before; `None` where it never was followed. Served by the
/// primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn head(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Option<IndexedHead>, StoreError> {
    Ok(sqlx::query_as!(
        IndexedHead,
        "SELECT
            chain_head AS head_block,
            block_number AS indexed_block,
            block_hash AS indexed_hash,
            finalized_block,
            sequence
         FROM chain_cursors
         WHERE chain_id = $1 AND registry = $2",
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(conn)
    .await?)
}
