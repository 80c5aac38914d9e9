//! Where anchors say they are, beside where their events are: every column that the indexer wrote, in one statement, so that both
//! sides are of one moment.

use domain::{
    ids::{RecordId, UserId},
    integrity::AnchorState,
    records::{DataHash, RecordType},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, cursor::Registry, rows};

/// A place on the chain, and who put something there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceFacts {
    /// The transaction.
    pub tx_hash: String,
    /// The account.
    pub account: Option<String>,
    /// The block's number.
    pub block_number: Option<i64>,
    /// The block's hash.
    pub block_hash: Option<String>,
    /// Where in the block.
    pub log_index: Option<i64>,
    /// Where in the registry's sequence.
    pub sequence: Option<i64>,
}

/// An anchor whose event is live.
#[derive(Debug, Clone)]
pub struct PlacedAnchor {
    /// Of which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type; `None` where a tampered text is none.
    pub record_type: Option<RecordType>,
    /// What was to be anchored; `None` where a tampered text is no hash.
    pub record_hash: Option<DataHash>,
    /// Where it stands.
    pub state: AnchorState,
    /// Where it says it is.
    pub anchored: PlaceFacts,
    /// Where its event is.
    pub event: PlaceFacts,
    /// Whether the event's transaction was signed here for this record.
    pub is_signed: bool,
    /// Whether its row of the outbox says so, and that it was mined.
    pub is_mined: bool,
    /// The last block that is final.
    pub finalized_block: Option<i64>,
}

/// The columns of an anchor and of its event.
struct PlaceColumns {
    record_id: Uuid,
    patient_id: Uuid,
    record_type: String,
    record_hash: String,
    state: String,
    tx_hash: String,
    registrar: Option<String>,
    block_number: Option<i64>,
    block_hash: Option<String>,
    log_index: Option<i64>,
    sequence: Option<i64>,
    event_tx_hash: String,
    actor: String,
    event_block_number: i64,
    event_block_hash: String,
    event_log_index: i64,
    event_sequence: i64,
    is_signed: bool,
    is_mined: bool,
    finalized_block: Option<i64>,
}

impl TryFrom<PlaceColumns> for PlacedAnchor {
    type Error = StoreError;

    fn try_from(row: PlaceColumns) -> Result<Self, StoreError> {
        Ok(Self {
            record: RecordId(row.record_id),
            patient: UserId(row.patient_id),
            record_type: row.record_type.parse().ok(),
            record_hash: DataHash::parse(&row.record_hash).ok(),
            state: rows::text(&row.state, "anchor state")?,
            anchored: PlaceFacts {
                tx_hash: row.tx_hash,
                account: row.registrar,
                block_number: row.block_number,
                block_hash: row.block_hash,
                log_index: row.log_index,
                sequence: row.sequence,
            },
            event: PlaceFacts {
                tx_hash: row.event_tx_hash,
                account: Some(row.actor),
                block_number: Some(row.event_block_number),
                block_hash: Some(row.event_block_hash),
                log_index: Some(row.event_log_index),
                sequence: Some(row.event_sequence),
            },
            is_signed: row.is_signed,
            is_mined: row.is_mined,
            finalized_block: row.finalized_block,
        })
    }
}

/// The anchors of these records that have a live event, each with that. One that cannot be read is logged and passed over.
/// Served by the primary keys and `idx_chain_events_subject`.
///
/// # Errors
/// [`StoreError`].
pub async fn placed_anchors(
    conn: &mut PgConnection,
    registry: &Registry,
    records: &[RecordId],
) -> Result<Vec<PlacedAnchor>, StoreError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let records: Vec<Uuid> = records.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        PlaceColumns,
        r#"SELECT
            anchor.record_id,
            anchor.patient_id,
            anchor.record_type,
            anchor.record_hash,
            anchor.state,
            anchor.tx_hash,
            anchor.registrar,
            anchor.block_number,
            anchor.block_hash,
            anchor.log_index,
            anchor.sequence,
            event.tx_hash AS event_tx_hash,
            event.actor,
            event.block_number AS event_block_number,
            event.block_hash AS event_block_hash,
            event.log_index AS event_log_index,
            event.sequence AS event_sequence,
            EXISTS (
                SELECT FROM anchor_attempts AS attempt
                JOIN anchor_outbox AS outbox ON outbox.id = attempt.outbox_id
                WHERE attempt.tx_hash = event.tx_hash
                  AND outbox.record_id = anchor.record_id
                  AND outbox.kind = 'ANCHOR'
            ) AS "is_signed!",
            EXISTS (
                SELECT FROM anchor_attempts AS attempt
                JOIN anchor_outbox AS outbox ON outbox.id = attempt.outbox_id
                WHERE attempt.tx_hash = event.tx_hash
                  AND outbox.record_id = anchor.record_id
                  AND outbox.kind = 'ANCHOR'
                  AND outbox.state = 'MINED'
                  AND outbox.chain_id = event.chain_id
                  AND lower(outbox.signer) = lower(event.actor)
            ) AS "is_mined!",
            (
                SELECT finalized_block FROM chain_cursors WHERE chain_id = $1 AND registry = $2
            ) AS "finalized_block?"
         FROM record_anchors AS anchor
         JOIN chain_events AS event
             ON event.subject_hash = anchor.record_hash
            AND event.undone_at IS NULL
            AND event.kind = 'RECORD_ANCHORED'
            AND event.chain_id = $1
            AND event.registry = $2
         WHERE anchor.record_id = ANY($3)
           AND anchor.chain_id = $1
         ORDER BY anchor.record_id"#,
        registry.chain_id,
        registry.address,
        &records,
    )
    .fetch_all(conn)
    .await?;
    let readable = found.into_iter().filter_map(|row| {
        let record = row.record_id;
        rows::readable(PlacedAnchor::try_from(row), "anchor", record)
    });
    Ok(readable.collect())
}
