//! What the indexer wrote from the chain, read row by row to be held against the chain once more, and replaced where it is not
//! what the chain says. Only the owner of the tables may replace: the role that faces the chain marks, and never removes.

use serde_json::Value;
use sqlx::PgConnection;

use crate::{StoreError, Tx, chain_events::EventRow, cursor::Registry};

/// An event that is live, as it stands in its row: a tampered column may hold anything. A payload that is longer than any event's is
/// given as `null`.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// The row's own number.
    pub id: i64,
    /// Its block's number.
    pub block_number: i64,
    /// Its block's hash.
    pub block_hash: String,
    /// Its transaction.
    pub tx_hash: String,
    /// Where it stands in its block.
    pub log_index: i64,
    /// `RECORD_ANCHORED` and the like.
    pub kind: String,
    /// The record hash or root that it is about.
    pub subject_hash: Option<String>,
    /// The account that caused it.
    pub actor: String,
    /// Its number in the registry's sequence.
    pub sequence: i64,
    /// The rolling head after it.
    pub head: String,
    /// What else it says.
    pub payload: Value,
}

/// The live events from one number to another, in order; 1,000 at most. Served by `chain_events_sequence_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn live_events(
    conn: &mut PgConnection,
    registry: &Registry,
    first: i64,
    last: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    Ok(sqlx::query_as!(
        StoredEvent,
        r#"SELECT
            id,
            block_number,
            block_hash,
            tx_hash,
            log_index,
            kind,
            subject_hash,
            actor,
            sequence,
            head,
            CASE WHEN octet_length(payload::text) <= 4096 THEN payload ELSE 'null'::jsonb END AS "payload!"
         FROM chain_events
         WHERE chain_id = $1
           AND registry = $2
           AND sequence BETWEEN $3 AND $4
           AND undone_at IS NULL
         ORDER BY sequence
         LIMIT 1000"#,
        registry.chain_id,
        registry.address,
        first,
        last,
    )
    .fetch_all(conn)
    .await?)
}

/// A live event whose number the registry has not given up to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SurplusEvent {
    /// The row's own number.
    pub id: i64,
    /// The number that it says it has.
    pub sequence: i64,
}

/// Live events in blocks up to one, with numbers that are not between 1 and the last. Served by `chain_events_sequence_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn surplus_events(
    conn: &mut PgConnection,
    registry: &Registry,
    last: i64,
    block: i64,
    limit: i64,
) -> Result<Vec<SurplusEvent>, StoreError> {
    Ok(sqlx::query_as!(
        SurplusEvent,
        "SELECT id, sequence
         FROM chain_events
         WHERE chain_id = $1
           AND registry = $2
           AND (sequence < 1 OR sequence > $3)
           AND block_number <= $4
           AND undone_at IS NULL
         ORDER BY sequence
         LIMIT $5",
        registry.chain_id,
        registry.address,
        last,
        block,
        limit,
    )
    .fetch_all(conn)
    .await?)
}

/// Whether this role may replace what the indexer wrote.
///
/// # Errors
/// [`StoreError`].
pub async fn may_replace(conn: &mut PgConnection) -> Result<bool, StoreError> {
    Ok(
        sqlx::query_scalar!(r#"SELECT has_table_privilege('chain_events', 'DELETE') AS "may!""#)
            .fetch_one(conn)
            .await?,
    )
}

/// Removes rows that are not what the chain says, and whatever stands where these events belong, with what was told of them; the
/// events are to be inserted next, which tells them again. Served by the primary key, and by the key of block and log.
///
/// # Errors
/// [`StoreError`].
pub async fn make_room(
    tx: &mut Tx<'_>,
    registry: &Registry,
    wrong: &[i64],
    events: &[EventRow],
) -> Result<(), StoreError> {
    let hashes: Vec<String> = events.iter().map(|it| it.block_hash.clone()).collect();
    let places: Vec<i64> = events.iter().map(|it| it.log_index).collect();
    let in_the_way = sqlx::query_scalar!(
        "SELECT event.id
         FROM chain_events AS event
         JOIN UNNEST($2::text[], $3::bigint[]) AS wanted(block_hash, log_index)
           ON event.block_hash = wanted.block_hash AND event.log_index = wanted.log_index
         WHERE event.chain_id = $1",
        registry.chain_id,
        &hashes,
        &places,
    )
    .fetch_all(&mut **tx)
    .await?;
    let removed: Vec<i64> = wrong.iter().copied().chain(in_the_way).collect();
    sqlx::query!(
        "DELETE FROM registry_feed WHERE event_id = ANY($1)",
        &removed
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("DELETE FROM chain_events WHERE id = ANY($1)", &removed)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
