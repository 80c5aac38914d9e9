//! Holding records, anchors and events against one another, and moving anchors to where the chain
//! says they are. Rows are locked as the relay locks them: outbox by id, then anchors by record.

mod endings;
mod facts;

use domain::{
    ids::{RecordId, UserId},
    integrity::{AnchorState, ClosingReason},
    records::{DataHash, RecordType},
};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::endings::{EndingFacts, PauseFacts, endings, pause};
pub use self::facts::{
    AnchorFacts, AnchoredRecord, EventFacts, ExtractionFacts, HashFacts, OpenFinding,
    PredecessorFacts, RecordFacts, hash_facts, hashes_after, open_findings, record_facts,
    records_after,
};
use crate::{StoreError, Tx, closings, rows};

/// An anchor, locked until the transaction ends.
#[derive(Debug, Clone)]
pub struct LockedAnchor {
    /// Which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type.
    pub record_type: RecordType,
    /// What was to be anchored.
    pub record_hash: DataHash,
    /// What the transaction names as superseded.
    pub supersedes: Option<DataHash>,
    /// Where it stands.
    pub state: AnchorState,
    /// The transaction it was last known by.
    pub tx_hash: String,
    /// Whether the record itself is still there.
    pub record_exists: bool,
    /// The closing of the record that is wanted, where one is.
    pub closing: Option<WantedClosing>,
}

/// A closing that the record's end asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedClosing {
    /// Why.
    pub reason: ClosingReason,
    /// Every transaction that was signed for it.
    pub tx_hashes: Vec<String>,
}

/// The anchors of these hashes, locked together with their outbox rows.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_by_hash(
    tx: &mut Tx<'_>,
    chain_id: i64,
    hashes: &[DataHash],
) -> Result<Vec<LockedAnchor>, StoreError> {
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "SELECT outbox.id
         FROM anchor_outbox AS outbox
         JOIN record_anchors AS anchor USING (record_id)
         WHERE anchor.chain_id = $1
           AND anchor.record_hash = ANY($2)
         ORDER BY outbox.id
         FOR UPDATE OF outbox",
        chain_id,
        &hashes,
    )
    .fetch_all(&mut **tx)
    .await?;
    let found = sqlx::query!(
        r#"SELECT
            anchor.record_id,
            anchor.patient_id,
            anchor.record_type,
            anchor.record_hash,
            CASE WHEN anchor.supersedes THEN anchor.predecessor_hash END AS supersedes,
            anchor.state,
            anchor.tx_hash,
            EXISTS (SELECT FROM medical_records WHERE id = anchor.record_id) AS "record_exists!",
            closing.reason AS "closing_reason?",
            ARRAY(
                SELECT attempt.tx_hash
                FROM anchor_outbox AS outbox
                JOIN anchor_attempts AS attempt ON attempt.outbox_id = outbox.id
                WHERE outbox.record_id = closing.record_id
                  AND outbox.kind = 'CLOSE'
            ) AS "closing_tx_hashes!"
         FROM record_anchors AS anchor
         LEFT JOIN record_closings AS closing ON closing.record_id = anchor.record_id
         WHERE anchor.chain_id = $1
           AND anchor.record_hash = ANY($2)
         ORDER BY anchor.record_id
         FOR UPDATE OF anchor"#,
        chain_id,
        &hashes,
    )
    .fetch_all(&mut **tx)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(LockedAnchor {
                record: RecordId(row.record_id),
                patient: UserId(row.patient_id),
                record_type: rows::text(&row.record_type, "record type")?,
                record_hash: rows::hash(&row.record_hash)?,
                // A tampered text is no hash: then none fits, and the sweep tells of it.
                supersedes: row.supersedes.and_then(|hash| DataHash::parse(&hash).ok()),
                state: rows::text(&row.state, "anchor state")?,
                tx_hash: row.tx_hash,
                record_exists: row.record_exists,
                closing: row
                    .closing_reason
                    .map(|reason| {
                        Ok::<_, StoreError>(WantedClosing {
                            reason: closings::reason(reason)?,
                            tx_hashes: row.closing_tx_hashes,
                        })
                    })
                    .transpose()?,
            })
        })
        .collect()
}

/// Those of these hashes that some record has. Served by `idx_medical_records_data_hash`.
///
/// # Errors
/// [`StoreError`].
pub async fn hashes_of_records(
    conn: &mut PgConnection,
    hashes: &[DataHash],
) -> Result<Vec<DataHash>, StoreError> {
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    let found = sqlx::query_scalar!(
        "SELECT DISTINCT data_hash FROM medical_records WHERE data_hash = ANY($1)",
        &hashes,
    )
    .fetch_all(conn)
    .await?;
    found.iter().map(|hash| rows::hash(hash)).collect()
}

/// The accounts that anchor for us, as EIP-55 writes them.
///
/// # Errors
/// [`StoreError`].
pub async fn signers(conn: &mut PgConnection, chain_id: i64) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT address FROM signers WHERE chain_id = $1 ORDER BY address",
        chain_id,
    )
    .fetch_all(conn)
    .await?)
}

/// Where the chain says an anchor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Which record.
    pub record: RecordId,
    /// The transaction that was mined.
    pub tx_hash: String,
    /// The account that anchored it.
    pub registrar: String,
    /// The block's number.
    pub block_number: i64,
    /// The block's hash.
    pub block_hash: String,
    /// Where in the block.
    pub log_index: i64,
    /// Where in the registry's gapless sequence.
    pub sequence: i64,
}

/// Confirms locked anchors: the anchor, its outbox row, and the record's transaction hash where
/// another attempt than the first was mined.
///
/// # Errors
/// [`StoreError`].
pub async fn confirm(tx: &mut Tx<'_>, confirmed: &[Confirmation]) -> Result<(), StoreError> {
    if confirmed.is_empty() {
        return Ok(());
    }
    let records: Vec<Uuid> = confirmed.iter().map(|c| c.record.0).collect();
    let text = |cell: fn(&Confirmation) -> &String| {
        confirmed
            .iter()
            .map(|c| cell(c).clone())
            .collect::<Vec<String>>()
    };
    let number = |cell: fn(&Confirmation) -> i64| confirmed.iter().map(cell).collect::<Vec<_>>();
    let transactions = text(|c| &c.tx_hash);
    sqlx::query!(
        "UPDATE record_anchors AS anchor
         SET state = 'CONFIRMED',
             tx_hash = e.tx_hash,
             registrar = e.registrar,
             block_number = e.block_number,
             block_hash = e.block_hash,
             log_index = e.log_index,
             sequence = e.sequence,
             confirmed_at = CURRENT_TIMESTAMP,
             finalized_at = NULL
         FROM UNNEST(
             $1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[]
         ) AS e(record_id, tx_hash, registrar, block_number, block_hash, log_index, sequence)
         WHERE anchor.record_id = e.record_id",
        &records,
        &transactions,
        &text(|c| &c.registrar),
        &number(|c| c.block_number),
        &text(|c| &c.block_hash),
        &number(|c| c.log_index),
        &number(|c| c.sequence),
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE anchor_outbox
         SET state = 'MINED'
         WHERE record_id = ANY($1)
           AND kind = 'ANCHOR'
           AND state <> 'MINED'",
        &records,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE medical_records AS record
         SET blockchain_record_id = e.tx_hash
         FROM UNNEST($1::uuid[], $2::text[]) AS e(record_id, tx_hash)
         WHERE record.id = e.record_id
           AND record.blockchain_record_id <> e.tx_hash",
        &records,
        &transactions,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An anchor whose state the indexer moved, and where it was or is.
#[derive(Debug, Clone)]
pub struct ReconciledAnchor {
    /// Which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type; `None` where a tampered text is none.
    pub record_type: Option<RecordType>,
    /// What is anchored; `None` where a tampered text is no hash, of which the sweep tells.
    pub record_hash: Option<DataHash>,
    /// Where it stood before.
    pub state: AnchorState,
    /// The transaction.
    pub tx_hash: String,
    /// The block's number.
    pub block_number: Option<i64>,
    /// The block's hash.
    pub block_hash: Option<String>,
    /// Where in the block.
    pub log_index: Option<i64>,
    /// Where in the registry's gapless sequence.
    pub sequence: Option<i64>,
}

/// Takes back the anchors above a block: they are REORGED, and the relay sends them again at once, and so it does
/// what closed a record there, and what was mined without effect of late: if that was undone, too, its nonce is free.
/// Gives the anchors as they were, in record order. Served by `idx_record_anchors_confirmed` but for those
/// that were final, by `idx_record_closings_confirmed` and by `idx_anchor_outbox_failed`.
///
/// # Errors
/// [`StoreError`].
pub async fn reorg_above(
    tx: &mut Tx<'_>,
    chain_id: i64,
    block: i64,
) -> Result<Vec<ReconciledAnchor>, StoreError> {
    let undone = sqlx::query_scalar!(
        "SELECT id
         FROM anchor_outbox
         WHERE id IN (
             SELECT outbox.id
             FROM record_anchors AS anchor
             JOIN anchor_outbox AS outbox
                 ON outbox.record_id = anchor.record_id AND outbox.kind = 'ANCHOR'
             WHERE anchor.chain_id = $1
               AND anchor.block_number > $2
               AND anchor.state IN ('CONFIRMED', 'FINALIZED')
             UNION ALL
             SELECT outbox.id
             FROM record_closings AS closing
             JOIN anchor_outbox AS outbox
                 ON outbox.record_id = closing.record_id AND outbox.kind = 'CLOSE'
             WHERE closing.state = 'CONFIRMED'
               AND closing.block_number > $2
               AND outbox.chain_id = $1
               AND outbox.state = 'MINED'
             UNION ALL
             SELECT id
             FROM anchor_outbox
             WHERE chain_id = $1
               AND state = 'FAILED'
               AND updated_at > CURRENT_TIMESTAMP - interval '1 day'
         )
         ORDER BY id
         FOR UPDATE",
        chain_id,
        block,
    )
    .fetch_all(&mut **tx)
    .await?;
    let found = sqlx::query!(
        "SELECT record_id, patient_id, record_type, record_hash, state, tx_hash, block_number,
                block_hash, log_index, sequence
         FROM record_anchors
         WHERE chain_id = $1
           AND block_number > $2
           AND state IN ('CONFIRMED', 'FINALIZED')
         ORDER BY record_id
         FOR UPDATE",
        chain_id,
        block,
    )
    .fetch_all(&mut **tx)
    .await?;
    let records: Vec<Uuid> = found.iter().map(|row| row.record_id).collect();
    sqlx::query!(
        "UPDATE record_anchors
         SET state = 'REORGED',
             registrar = NULL,
             block_number = NULL,
             block_hash = NULL,
             log_index = NULL,
             sequence = NULL,
             confirmed_at = NULL,
             finalized_at = NULL
         WHERE record_id = ANY($1)",
        &records,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE anchor_outbox
         SET state = 'QUEUED',
             next_send_at = CURRENT_TIMESTAMP
         WHERE id = ANY($1)",
        &undone,
    )
    .execute(&mut **tx)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(ReconciledAnchor {
                record: RecordId(row.record_id),
                patient: UserId(row.patient_id),
                record_type: row.record_type.parse().ok(),
                record_hash: rows::hash(&row.record_hash).ok(),
                state: rows::text(&row.state, "anchor state")?,
                tx_hash: row.tx_hash,
                block_number: row.block_number,
                block_hash: row.block_hash,
                log_index: row.log_index,
                sequence: row.sequence,
            })
        })
        .collect()
}

/// Finalises at most `limit` confirmed anchors in blocks up to `block`, oldest blocks first. Gives
/// them as they were. Served by `idx_record_anchors_confirmed`.
///
/// # Errors
/// [`StoreError`].
pub async fn finalize(
    tx: &mut Tx<'_>,
    chain_id: i64,
    block: i64,
    limit: i64,
) -> Result<Vec<ReconciledAnchor>, StoreError> {
    let found = sqlx::query!(
        "WITH due AS (
             SELECT record_id
             FROM record_anchors
             WHERE record_id IN (
                 SELECT record_id
                 FROM record_anchors
                 WHERE chain_id = $1
                   AND state = 'CONFIRMED'
                   AND block_number <= $2
                 ORDER BY block_number
                 LIMIT $3
             )
             ORDER BY record_id
             FOR UPDATE
         )
         UPDATE record_anchors AS anchor
         SET state = 'FINALIZED',
             finalized_at = CURRENT_TIMESTAMP
         FROM due
         WHERE anchor.record_id = due.record_id
         RETURNING anchor.record_id, patient_id, record_type, record_hash, tx_hash, block_number,
             block_hash, log_index, sequence",
        chain_id,
        block,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| ReconciledAnchor {
            record: RecordId(row.record_id),
            patient: UserId(row.patient_id),
            record_type: row.record_type.parse().ok(),
            record_hash: rows::hash(&row.record_hash).ok(),
            state: AnchorState::Confirmed,
            tx_hash: row.tx_hash,
            block_number: row.block_number,
            block_hash: row.block_hash,
            log_index: row.log_index,
            sequence: row.sequence,
        })
        .collect())
}
