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
