//! Every event of the registry that was ever applied. One that was reorganised away is marked,
//! never deleted; one that comes back is unmarked.

use domain::records::DataHash;
use serde_json::Value;
use sqlx::PgConnection;

use crate::{StoreError, Tx, cursor::Registry};

/// An event as it is stored.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Its block's number.
    pub block_number: i64,
    /// Its block's hash.
    pub block_hash: String,
    /// Its transaction.
    pub tx_hash: String,
    /// Where it stands in its block.
    pub log_index: i64,
    /// `RECORD_ANCHORED` and the like.
    pub kind: &'static str,
    /// The record hash or root it is about.
    pub subject: Option<DataHash>,
    /// The account that caused it, as EIP-55 writes it.
    pub actor: String,
    /// Its number in the registry's gapless sequence.
    pub sequence: i64,
    /// The rolling head after it.
    pub head: String,
    /// What else it says.
    pub payload: Value,
}

/// Stores events.
///
/// # Errors
/// [`StoreError`]; a second live event with the same sequence number is refused.
pub async fn insert(
    tx: &mut Tx<'_>,
    registry: &Registry,
    events: &[EventRow],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let number = |cell: fn(&EventRow) -> i64| events.iter().map(cell).collect::<Vec<_>>();
    let text = |cell: fn(&EventRow) -> &str| {
        events
            .iter()
            .map(|e| cell(e).to_owned())
            .collect::<Vec<String>>()
    };
    let subjects: Vec<Option<String>> = events
        .iter()
        .map(|e| e.subject.map(|hash| hash.to_string()))
        .collect();
    let payloads: Vec<Value> = events.iter().map(|e| e.payload.clone()).collect();
    sqlx::query!(
        "INSERT INTO chain_events (
             chain_id, registry, block_number, block_hash, tx_hash, log_index, kind, subject_hash,
             actor, sequence, head, payload
         )
         SELECT $1, $2, e.block_number, e.block_hash, e.tx_hash, e.log_index, e.kind, e.subject_hash,
                e.actor, e.sequence, e.head, e.payload
         FROM UNNEST(
             $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
             $9::text[], $10::bigint[], $11::text[], $12::jsonb[]
         ) WITH ORDINALITY AS e(
             block_number, block_hash, tx_hash, log_index, kind, subject_hash,
             actor, sequence, head, payload, nth
         )
         ORDER BY e.nth
         ON CONFLICT (chain_id, block_hash, log_index) DO UPDATE SET undone_at = NULL",
        registry.chain_id,
        registry.address,
        &number(|e| e.block_number),
        &text(|e| &e.block_hash),
        &text(|e| &e.tx_hash),
        &number(|e| e.log_index),
        &text(|e| e.kind),
        &subjects as &[Option<String>],
        &text(|e| &e.actor),
        &number(|e| e.sequence),
        &text(|e| &e.head),
        &payloads,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks the events above a block as undone; gives how many. Served by `idx_chain_events_block`.
///
/// # Errors
/// [`StoreError`].
pub async fn undo_above(
    tx: &mut Tx<'_>,
    registry: &Registry,
    block: i64,
) -> Result<u64, StoreError> {
    let undone = sqlx::query!(
        "UPDATE chain_events
         SET undone_at = CURRENT_TIMESTAMP
         WHERE chain_id = $1
           AND registry = $2
           AND block_number > $3
           AND undone_at IS NULL",
        registry.chain_id,
        registry.address,
        block,
    )
    .execute(&mut **tx)
    .await?;
    Ok(undone.rows_affected())
}

/// Where the registry's chain of events stood after a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryStateRow {
    /// How many events there had been.
    pub sequence: i64,
    /// The rolling head after the last of them.
    pub head: String,
}

/// Where the registry's chain of events stood after a block; `None` before the first event. Served
/// by `idx_chain_events_block`.
///
/// # Errors
/// [`StoreError`].
pub async fn registry_state_after(
    conn: &mut PgConnection,
    registry: &Registry,
    block: i64,
) -> Result<Option<RegistryStateRow>, StoreError> {
    Ok(sqlx::query_as!(
        RegistryStateRow,
        "SELECT sequence, head
         FROM chain_events
         WHERE chain_id = $1
           AND registry = $2
           AND block_number <= $3
           AND undone_at IS NULL
         ORDER BY block_number DESC, sequence DESC
         LIMIT 1",
        registry.chain_id,
        registry.address,
        block,
    )
    .fetch_optional(conn)
    .await?)
}

/// A block that live events are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBlock {
    /// Its number.
    pub number: i64,
    /// Its hash.
    pub hash: String,
}

/// The newest blocks up to this number that live events are in, newest first. Served by `idx_chain_events_block`.
///
/// # Errors
/// [`StoreError`].
pub async fn blocks_up_to(
    conn: &mut PgConnection,
    registry: &Registry,
    block: i64,
    limit: i64,
) -> Result<Vec<EventBlock>, StoreError> {
    Ok(sqlx::query_as!(
        EventBlock,
        r#"SELECT DISTINCT block_number AS "number!", block_hash AS "hash!"
         FROM chain_events
         WHERE chain_id = $1
           AND registry = $2
           AND block_number <= $3
           AND undone_at IS NULL
         ORDER BY 1 DESC, 2
         LIMIT $4"#,
        registry.chain_id,
        registry.address,
        block,
        limit,
    )
    .fetch_all(conn)
    .await?)
}

/// A live event whose place on the chain no other row here says in full, with that place as its own row says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpairedEvent {
    /// Its number in the registry's sequence.
    pub sequence: i64,
    /// Its block's number.
    pub block_number: i64,
    /// Its block's hash.
    pub block_hash: String,
    /// Its transaction.
    pub tx_hash: String,
    /// Where it stands in its block.
    pub log_index: i64,
}

/// The live events from one number to another, in order, whose places no other row here says in full: all but the anchors by
/// `registrars`, our accounts. At most `limit`. Served by `chain_events_sequence_key`: no more rows are read than the range has.
///
/// # Errors
/// [`StoreError`].
pub async fn unpaired_between(
    conn: &mut PgConnection,
    registry: &Registry,
    registrars: &[String],
    (first, last): (i64, i64),
    limit: i64,
) -> Result<Vec<UnpairedEvent>, StoreError> {
    Ok(sqlx::query_as!(
        UnpairedEvent,
        "SELECT sequence, block_number, block_hash, tx_hash, log_index
         FROM chain_events
         WHERE chain_id = $1
           AND registry = $2
           AND sequence BETWEEN $3 AND $4
           AND undone_at IS NULL
           AND NOT (kind = 'RECORD_ANCHORED' AND actor = ANY($5))
         ORDER BY sequence
         LIMIT $6",
        registry.chain_id,
        registry.address,
        first,
        last,
        registrars,
        limit,
    )
    .fetch_all(conn)
    .await?)
}

/// Those of these events that [`unpaired_between`] gives, too. Served by `chain_events_sequence_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn unpaired_of(
    conn: &mut PgConnection,
    registry: &Registry,
    registrars: &[String],
    sequences: &[i64],
) -> Result<Vec<UnpairedEvent>, StoreError> {
    Ok(sqlx::query_as!(
        UnpairedEvent,
        "SELECT sequence, block_number, block_hash, tx_hash, log_index
         FROM chain_events
         WHERE chain_id = $1
           AND registry = $2
           AND sequence = ANY($3)
           AND undone_at IS NULL
           AND NOT (kind = 'RECORD_ANCHORED' AND actor = ANY($4))
         ORDER BY sequence",
        registry.chain_id,
        registry.address,
        sequences,
        registrars,
    )
    .fetch_all(conn)
    .await?)
}
