//! How far the indexer has followed a registry, who may say so, and the blocks a reorganisation is
//! seen by.

use sqlx::PgConnection;

use crate::{StoreError, Tx};

/// One registry on one chain.
#[derive(Debug, Clone)]
pub struct Registry {
    /// The chain.
    pub chain_id: i64,
    /// The registry, as EIP-55 writes it.
    pub address: String,
}

/// A place in the registry's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The last block applied.
    pub block_number: i64,
    /// Its hash, `0x` and 64 digits.
    pub block_hash: String,
    /// The registry's sequence after it.
    pub sequence: i64,
    /// The registry's rolling head after it, `0x` and 50 digits.
    pub head: String,
}

/// What is known of a registry's history.
#[derive(Debug, Clone)]
pub struct IndexerCursor {
    /// How far it was applied.
    pub position: Position,
    /// The last block that cannot be undone, as far as it was applied.
    pub finalized_block: i64,
    /// The leader's token: a write with an older one matches no row.
    pub fence: i64,
}

/// What a leader writes when the position moves.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    /// The leader's token.
    pub fence: i64,
    /// Where the cursor must stand.
    pub from: &'a Position,
    /// Where it is put.
    pub to: &'a Position,
    /// The newest block of the chain.
    pub chain_head: i64,
    /// The last block that cannot be undone, as far as it was applied.
    pub finalized_block: i64,
}

/// A remembered block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRow {
    /// Its number.
    pub number: i64,
    /// Its hash.
    pub hash: String,
    /// The hash of the one before.
    pub parent_hash: String,
    /// The registry's sequence after it.
    pub sequence: i64,
    /// The registry's rolling head after it.
    pub head: String,
}

/// Where a registry was followed to; `None` where it never was.
///
/// # Errors
/// [`StoreError`].
pub async fn position(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Option<Position>, StoreError> {
    Ok(sqlx::query_as!(
        Position,
        "SELECT block_number, block_hash, sequence, head
         FROM chain_cursors
         WHERE chain_id = $1 AND registry = $2",
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(conn)
    .await?)
}

/// Makes the caller the leader: a new fence, on a cursor that begins at `first` if there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn take_over(
    conn: &mut PgConnection,
    registry: &Registry,
    first: &Position,
) -> Result<IndexerCursor, StoreError> {
    let row = sqlx::query!(
        "INSERT INTO chain_cursors (
             chain_id, registry, block_number, block_hash, sequence, head, chain_head, finalized_block, fence
         )
         VALUES ($1, $2, $3, $4, $5, $6, $3, $3, 1)
         ON CONFLICT (chain_id, registry) DO UPDATE
         SET fence = chain_cursors.fence + 1,
             updated_at = EXCLUDED.updated_at
         RETURNING block_number, block_hash, sequence, head, finalized_block, fence",
        registry.chain_id,
        registry.address,
        first.block_number,
        first.block_hash,
        first.sequence,
        first.head,
    )
    .fetch_one(conn)
    .await?;
    Ok(IndexerCursor {
        position: Position {
            block_number: row.block_number,
            block_hash: row.block_hash,
            sequence: row.sequence,
            head: row.head,
        },
        finalized_block: row.finalized_block,
        fence: row.fence,
    })
}

/// Moves the cursor. `false` where another leads by now or the cursor stands elsewhere: then the
/// transaction must not be committed.
///
/// # Errors
/// [`StoreError`].
pub async fn advance(
    tx: &mut Tx<'_>,
    registry: &Registry,
    change: Move<'_>,
) -> Result<bool, StoreError> {
    let moved = sqlx::query!(
        "UPDATE chain_cursors
         SET block_number = $6,
             block_hash = $7,
             sequence = $8,
             head = $9,
             chain_head = $10,
             finalized_block = $11,
             updated_at = CURRENT_TIMESTAMP
         WHERE chain_id = $1
           AND registry = $2
           AND fence = $3
           AND block_number = $4
           AND block_hash = $5",
        registry.chain_id,
        registry.address,
        change.fence,
        change.from.block_number,
        change.from.block_hash,
        change.to.block_number,
        change.to.block_hash,
        change.to.sequence,
        change.to.head,
        change.chain_head,
        change.finalized_block,
    )
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Whether the fence still holds; locks it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn holds(tx: &mut Tx<'_>, registry: &Registry, fence: i64) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT fence
         FROM chain_cursors
         WHERE chain_id = $1 AND registry = $2 AND fence = $3
         FOR SHARE",
        registry.chain_id,
        registry.address,
        fence,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// Remembers blocks; one remembered under the same number is forgotten.
///
/// # Errors
/// [`StoreError`].
pub async fn remember(
    tx: &mut Tx<'_>,
    registry: &Registry,
    blocks: &[BlockRow],
) -> Result<(), StoreError> {
    let numbers: Vec<i64> = blocks.iter().map(|block| block.number).collect();
    let text = |cell: fn(&BlockRow) -> &String| blocks.iter().map(|b| cell(b).clone()).collect();
    let hashes: Vec<String> = text(|block| &block.hash);
    let parents: Vec<String> = text(|block| &block.parent_hash);
    let heads: Vec<String> = text(|block| &block.head);
    let sequences: Vec<i64> = blocks.iter().map(|block| block.sequence).collect();
    sqlx::query!(
        "DELETE FROM chain_blocks WHERE chain_id = $1 AND number = ANY($2)",
        registry.chain_id,
        &numbers,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "INSERT INTO chain_blocks (chain_id, number, hash, parent_hash, sequence, head)
         SELECT $1, e.number, e.hash, e.parent_hash, e.sequence, e.head
         FROM UNNEST($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[])
             AS e(number, hash, parent_hash, sequence, head)",
        registry.chain_id,
        &numbers,
        &hashes,
        &parents,
        &sequences,
        &heads,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets the blocks above one that was rewound to.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_above(
    tx: &mut Tx<'_>,
    registry: &Registry,
    block: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM chain_blocks WHERE chain_id = $1 AND number > $2",
        registry.chain_id,
        block,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets the blocks below the newest one at or below `finalized`.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_below(
    tx: &mut Tx<'_>,
    registry: &Registry,
    finalized: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM chain_blocks
         WHERE chain_id = $1
           AND number < (SELECT max(number) FROM chain_blocks WHERE chain_id = $1 AND number <= $2)",
        registry.chain_id,
        finalized,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The newest remembered block up to this number.
///
/// # Errors
/// [`StoreError`].
pub async fn remembered_at(
    conn: &mut PgConnection,
    registry: &Registry,
    block: i64,
) -> Result<Option<BlockRow>, StoreError> {
    Ok(sqlx::query_as!(
        BlockRow,
        "SELECT number, hash, parent_hash, sequence, head
         FROM chain_blocks
         WHERE chain_id = $1 AND number <= $2
         ORDER BY number DESC
         LIMIT 1",
        registry.chain_id,
        block,
    )
    .fetch_optional(conn)
    .await?)
}

/// The remembered blocks, newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn remembered(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Vec<BlockRow>, StoreError> {
    Ok(sqlx::query_as!(
        BlockRow,
        "SELECT number, hash, parent_hash, sequence, head
         FROM chain_blocks
         WHERE chain_id = $1
         ORDER BY number DESC
         LIMIT 4096",
        registry.chain_id,
    )
    .fetch_all(conn)
    .await?)
}
