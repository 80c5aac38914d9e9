//! Checkpoints of the audit tree: when one is due, what was signed for it, and where it is in the registry.
//!
//! Each is a transaction of an account that does nothing else, and the next is signed when the registry has the one
//! before: so there is no outbox, and the nonce is the chain's.

use std::time::Duration;

use domain::records::DataHash;
use sqlx::PgConnection;

use crate::{StoreError, Tx, cursor::Registry};

/// The lock of whoever signs.
const LOCK: &str = "meditrustal audit checkpoints";

/// After how long one that is in no block is told of.
const STUCK_AFTER: Duration = Duration::from_mins(5);

/// When a checkpoint is due.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointDue {
    /// So long after the one before, where there is a row more.
    pub every: Duration,
    /// When the tree has grown by so many. Unit: leaves.
    pub leaves: i64,
}

/// Whether one is due: where the tree has grown and it is time, enough was written, or somebody asked; but not within a
/// minute after one was refused.
///
/// # Errors
/// [`StoreError`].
pub async fn is_due(
    conn: &mut PgConnection,
    registry: &Registry,
    due: CheckpointDue,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"WITH last AS (
               SELECT tree_size, created_at
               FROM audit_checkpoints
               WHERE chain_id = $1 AND registry = $2 AND state <> 'FAILED'
               ORDER BY id DESC
               LIMIT 1
           ), tree AS (
               SELECT COALESCE(max(position) + 1, 0) AS size FROM audit_leaves
           )
           -- Also where it has become smaller: whoever signs sees that the registry holds more.
           SELECT tree.size <> COALESCE(last.tree_size, 0) AND (
               last.tree_size IS NULL
               OR tree.size - last.tree_size >= $3
               OR last.created_at <= CURRENT_TIMESTAMP - make_interval(secs => $4)
               OR COALESCE(last.created_at < (SELECT checkpoint_wanted_at FROM audit_watermark), FALSE)
           ) AND NOT EXISTS (
               SELECT FROM audit_checkpoints
               WHERE chain_id = $1
                 AND registry = $2
                 AND state = 'FAILED'
                 AND next_send_at > CURRENT_TIMESTAMP - interval '1 minute'
           ) AS "is_due!"
           FROM tree LEFT JOIN last ON TRUE"#,
        registry.chain_id,
        registry.address,
        due.leaves,
        due.every.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?)
}

/// Asks for a checkpoint as soon as can be; gives the tree's size.
///
/// # Errors
/// [`StoreError`].
pub async fn want(conn: &mut PgConnection) -> Result<u64, StoreError> {
    sqlx::query!(
        "INSERT INTO audit_watermark (xid, audit_id, server, checkpoint_wanted_at)
         SELECT '0', 0, system_identifier, clock_timestamp() FROM pg_control_system()
         ON CONFLICT (id) DO UPDATE SET checkpoint_wanted_at = EXCLUDED.checkpoint_wanted_at",
    )
    .execute(&mut *conn)
    .await?;
    crate::trail::size(conn).await
}

/// A checkpoint that was signed.
#[derive(Debug, Clone)]
pub struct SignedCheckpoint {
    /// The epoch that the registry was in.
    pub epoch: i64,
    /// How many leaves.
    pub tree_size: i64,
    /// The root.
    pub root: DataHash,
    /// The text with its signature.
    pub note: String,
    /// The account.
    pub signer: String,
    /// Its nonce.
    pub nonce: i64,
    /// The transaction's hash.
    pub tx_hash: String,
    /// The transaction.
    pub raw_transaction: Vec<u8>,
}

/// Takes the right to sign until the transaction ends: false where another process has it, or has signed one that the
/// registry has not.
///
/// # Errors
/// [`StoreError`].
pub async fn may_sign(tx: &mut Tx<'_>, registry: &Registry) -> Result<bool, StoreError> {
    let is_ours = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, schema_key())) AS "taken!""#,
        LOCK,
    )
    .fetch_one(&mut **tx)
    .await?;
    if !is_ours {
        return Ok(false);
    }
    // After the lock: what another process has committed is seen.
    Ok(sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (
               SELECT FROM audit_checkpoints
               WHERE chain_id = $1 AND registry = $2 AND state = 'SIGNED'
           ) AS "is_free!""#,
        registry.chain_id,
        registry.address,
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Keeps a checkpoint that is to be sent.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    registry: &Registry,
    signed: &SignedCheckpoint,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO audit_checkpoints (
             chain_id, registry, epoch, tree_size, root, note, signer, nonce, tx_hash, raw_transaction
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        registry.chain_id,
        registry.address,
        signed.epoch,
        signed.tree_size,
        signed.root.to_string(),
        signed.note,
        signed.signer,
        signed.nonce,
        signed.tx_hash,
        signed.raw_transaction,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One that waits for the registry.
#[derive(Debug)]
pub struct WaitingCheckpoint {
    /// Its row.
    pub id: i64,
    /// How many leaves.
    pub tree_size: i64,
    /// The account.
    pub signer: String,
    /// Its nonce.
    pub nonce: i64,
    /// The transaction's hash.
    pub tx_hash: String,
    /// The transaction.
    pub raw_transaction: Vec<u8>,
    /// Whether it is to be handed over now.
    pub is_due: bool,
    /// Whether it was signed so long ago that something keeps it from being mined.
    pub is_stuck: bool,
}

/// Those that wait, in the order of nonces. Served by `idx_audit_checkpoints_signed`.
///
/// # Errors
/// [`StoreError`].
pub async fn waiting(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Vec<WaitingCheckpoint>, StoreError> {
    Ok(sqlx::query_as!(
        WaitingCheckpoint,
        r#"SELECT id, tree_size, signer, nonce, tx_hash, raw_transaction,
                next_send_at <= CURRENT_TIMESTAMP AS "is_due!",
                created_at < CURRENT_TIMESTAMP - make_interval(secs => $3) AS "is_stuck!"
         FROM audit_checkpoints
         WHERE chain_id = $1 AND registry = $2 AND state = 'SIGNED'
         ORDER BY nonce, id
         LIMIT 16"#,
        registry.chain_id,
        registry.address,
        STUCK_AFTER.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?)
}

/// Puts off when one is handed over again.
///
/// # Errors
/// [`StoreError`].
pub async fn put_off(
    conn: &mut PgConnection,
    id: i64,
    again_in: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE audit_checkpoints
         SET next_send_at = CURRENT_TIMESTAMP + make_interval(secs => $2)
         WHERE id = $1 AND state = 'SIGNED'",
        id,
        again_in.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives one up whose transaction was mined without effect, or whose nonce another one used.
///
/// # Errors
/// [`StoreError`].
pub async fn fail(conn: &mut PgConnection, id: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE audit_checkpoints
         SET state = 'FAILED', next_send_at = CURRENT_TIMESTAMP
         WHERE id = $1 AND state = 'SIGNED'",
        id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A checkpoint that an event of the registry tells of.
#[derive(Debug, Clone)]
pub struct PinnedEvent {
    /// The epoch.
    pub epoch: i64,
    /// How many leaves.
    pub tree_size: i64,
    /// The root.
    pub root: DataHash,
    /// Who pinned it.
    pub by: String,
    /// The transaction.
    pub tx_hash: String,
    /// The block's number.
    pub block_number: i64,
    /// The block's hash.
    pub block_hash: String,
}

/// Notes that a checkpoint is in the registry; false where none like it was signed here. Served by
/// `audit_checkpoints_tx_hash_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn confirm(
    tx: &mut Tx<'_>,
    registry: &Registry,
    event: &PinnedEvent,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE audit_checkpoints
         SET state = 'ANCHORED', epoch = $6, block_number = $7, block_hash = $8
         WHERE tx_hash = $1
           AND chain_id = $2
           AND registry = $3
           AND tree_size = $4
           AND root = $5
           AND signer = $9",
        event.tx_hash,
        registry.chain_id,
        registry.address,
        event.tree_size,
        event.root.to_string(),
        event.epoch,
        event.block_number,
        event.block_hash,
        event.by,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that those are in the registry whose events are stored already, by an indexer that knew nothing of checkpoints.
///
/// # Errors
/// [`StoreError`].
pub async fn confirm_by_stored_events(
    tx: &mut Tx<'_>,
    registry: &Registry,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE audit_checkpoints AS signed
         SET state = 'ANCHORED', block_number = event.block_number, block_hash = event.block_hash
         FROM chain_events AS event
         WHERE signed.chain_id = $1
           AND signed.registry = $2
           AND signed.state = 'SIGNED'
           AND event.chain_id = signed.chain_id
           AND event.registry = signed.registry
           AND event.tx_hash = signed.tx_hash
           AND event.kind = 'CHECKPOINT_ANCHORED'
           AND event.subject_hash = signed.root
           AND event.undone_at IS NULL",
        registry.chain_id,
        registry.address,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether a checkpoint was signed here, in whatever epoch, and has not failed.
///
/// # Errors
/// [`StoreError`].
pub async fn is_ours(
    conn: &mut PgConnection,
    registry: &Registry,
    tree_size: i64,
    root: DataHash,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM audit_checkpoints
               WHERE chain_id = $1
                 AND registry = $2
                 AND tree_size = $3
                 AND root = $4
                 AND state <> 'FAILED'
           ) AS "is_ours!""#,
        registry.chain_id,
        registry.address,
        tree_size,
        root.to_string(),
    )
    .fetch_one(conn)
    .await?)
}

/// Takes back what was in blocks above this one; it is sent again, and so is what failed of late and whose nonce is free
/// again.
///
/// # Errors
/// [`StoreError`].
pub async fn reorg_above(
    tx: &mut Tx<'_>,
    registry: &Registry,
    block: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE audit_checkpoints
         SET state = 'SIGNED', block_number = NULL, block_hash = NULL, next_send_at = CURRENT_TIMESTAMP
         WHERE chain_id = $1
           AND registry = $2
           AND (
               (state = 'ANCHORED' AND block_number > $3)
               OR (state = 'FAILED' AND created_at > CURRENT_TIMESTAMP - interval '1 day' AND nonce >= (
                   SELECT min(nonce)
                   FROM audit_checkpoints
                   WHERE chain_id = $1 AND registry = $2 AND state = 'ANCHORED' AND block_number > $3
               ))
           )",
        registry.chain_id,
        registry.address,
        block,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A checkpoint that the registry has.
#[derive(Debug, Clone)]
pub struct AnchoredCheckpoint {
    /// Its row.
    pub id: i64,
    /// The epoch.
    pub epoch: i64,
    /// How many leaves.
    pub tree_size: i64,
    /// The root.
    pub root: String,
    /// The text with its signature.
    pub note: String,
    /// The transaction.
    pub tx_hash: String,
    /// The block's number.
    pub block_number: Option<i64>,
    /// Whether the event that says so is known, and says the same of where and what it is.
    pub has_event: bool,
}

/// The checkpoints that the registry has, by size, from a size on. Served by `idx_audit_checkpoints_anchored`.
///
/// # Errors
/// [`StoreError`].
pub async fn anchored(
    conn: &mut PgConnection,
    registry: &Registry,
    from: i64,
    limit: i64,
) -> Result<Vec<AnchoredCheckpoint>, StoreError> {
    Ok(sqlx::query_as!(
        AnchoredCheckpoint,
        r#"SELECT id, epoch, tree_size, root, note, tx_hash, block_number,
                EXISTS (
                    SELECT FROM chain_events AS event
                    WHERE event.chain_id = $1
                      AND event.registry = $2
                      AND event.tx_hash = pinned.tx_hash
                      AND event.kind = 'CHECKPOINT_ANCHORED'
                      AND event.subject_hash = pinned.root
                      AND event.actor = pinned.signer
                      AND event.block_number = pinned.block_number
                      AND event.block_hash = pinned.block_hash
                      AND event.undone_at IS NULL
                ) AS "has_event!"
         FROM audit_checkpoints AS pinned
         WHERE chain_id = $1
           AND registry = $2
           AND state = 'ANCHORED'
           AND tree_size >= $3
         ORDER BY tree_size, id
         LIMIT $4"#,
        registry.chain_id,
        registry.address,
        from,
        limit,
    )
    .fetch_all(conn)
    .await?)
}
