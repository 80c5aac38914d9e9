//! Moving anchors and closings to where the chain says they are, each with its outbox row: confirmed, final, undone.

use domain::{ids::RecordId, integrity::AnchorState};
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    closings::{self, ClosingConfirmation, UndoneClosing},
    feed::{AnchorSubject, OnChainLocation},
    outbox, rows,
};

/// Where the chain says an anchor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Which record.
    pub record: RecordId,
    /// The transaction that was mined.
    pub tx_hash: String,
    /// Whether the record names another one.
    pub renames: bool,
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

/// Confirms locked anchors and the closings of others: their rows, those of the outbox, and a record's transaction
/// hash where another attempt than the first was mined.
///
/// # Errors
/// [`StoreError`].
pub async fn confirm(
    tx: &mut Tx<'_>,
    anchored: &[Confirmation],
    closed: &[ClosingConfirmation],
) -> Result<(), StoreError> {
    if anchored.is_empty() && closed.is_empty() {
        return Ok(());
    }
    let records: Vec<Uuid> = anchored.iter().map(|it| it.record.0).collect();
    let closing: Vec<Uuid> = closed.iter().map(|it| it.record.0).collect();
    let by = anchored.iter().map(|it| &it.tx_hash);
    let by: Vec<String> = by
        .chain(closed.iter().map(|it| &it.tx_hash))
        .cloned()
        .collect();
    outbox::mark_mined(tx, &records, &closing, &by).await?;
    if !anchored.is_empty() {
        confirm_anchors(tx, &records, anchored).await?;
    }
    if !closed.is_empty() {
        closings::confirm(tx, closed).await?;
    }
    Ok(())
}

async fn confirm_anchors(
    tx: &mut Tx<'_>,
    records: &[Uuid],
    confirmed: &[Confirmation],
) -> Result<(), StoreError> {
    let text = |cell: fn(&Confirmation) -> &String| {
        confirmed
            .iter()
            .map(|c| cell(c).clone())
            .collect::<Vec<String>>()
    };
    let number = |cell: fn(&Confirmation) -> i64| confirmed.iter().map(cell).collect::<Vec<_>>();
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
        records,
        &text(|c| &c.tx_hash),
        &text(|c| &c.registrar),
        &number(|c| c.block_number),
        &text(|c| &c.block_hash),
        &number(|c| c.log_index),
        &number(|c| c.sequence),
    )
    .execute(&mut **tx)
    .await?;
    name_transactions(tx, confirmed).await
}

/// Writes the transaction that was mined into the records that name another one.
async fn name_transactions(tx: &mut Tx<'_>, confirmed: &[Confirmation]) -> Result<(), StoreError> {
    let renamed = || confirmed.iter().filter(|it| it.renames);
    let records: Vec<Uuid> = renamed().map(|it| it.record.0).collect();
    if records.is_empty() {
        return Ok(());
    }
    let transactions: Vec<String> = renamed().map(|it| it.tx_hash.clone()).collect();
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
    /// Of which record.
    pub subject: AnchorSubject,
    /// Where it stood before.
    pub state: AnchorState,
    /// Where it was or is.
    pub place: OnChainLocation,
}

/// What was undone, as it was.
#[derive(Debug)]
pub struct Undone {
    /// The anchors, in record order.
    pub anchors: Vec<ReconciledAnchor>,
    /// The closings, in record order.
    pub closings: Vec<UndoneClosing>,
}

/// Takes back what stands above a block: anchors are REORGED, closings are to be done again, and the relay sends again
/// at once what was ours of them.
///
/// # Errors
/// [`StoreError`].
pub async fn reorg_above(tx: &mut Tx<'_>, chain_id: i64, block: i64) -> Result<Undone, StoreError> {
    outbox::queue_above(tx, chain_id, block).await?;
    Ok(Undone {
        anchors: reorg_anchors_above(tx, chain_id, block).await?,
        closings: closings::reorg_above(tx, chain_id, block).await?,
    })
}

/// Takes the anchors back. Served by `idx_record_anchors_confirmed` but for those that were final.
async fn reorg_anchors_above(
    tx: &mut Tx<'_>,
    chain_id: i64,
    block: i64,
) -> Result<Vec<ReconciledAnchor>, StoreError> {
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
    found
        .into_iter()
        .map(|row| {
            Ok(ReconciledAnchor {
                subject: AnchorSubject::read(
                    row.record_id,
                    row.patient_id,
                    &row.record_type,
                    &row.record_hash,
                ),
                state: rows::text(&row.state, "anchor state")?,
                place: OnChainLocation {
                    tx_hash: Some(row.tx_hash),
                    block_number: row.block_number,
                    block_hash: row.block_hash,
                    log_index: row.log_index,
                    sequence: row.sequence,
                },
            })
        })
        .collect()
}

/// Finalises at most `limit` confirmed anchors in blocks from `from` up to `block`, oldest blocks first. Gives
/// them as they were. Served by `idx_record_anchors_confirmed`: who goes on where the last call ended does not pass over what
/// that one finalised, which the index still has.
///
/// # Errors
/// [`StoreError`].
pub async fn finalize(
    tx: &mut Tx<'_>,
    chain_id: i64,
    (from, block): (i64, i64),
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
                   AND block_number >= $4
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
        from,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| ReconciledAnchor {
            subject: AnchorSubject::read(
                row.record_id,
                row.patient_id,
                &row.record_type,
                &row.record_hash,
            ),
            state: AnchorState::Confirmed,
            place: OnChainLocation {
                tx_hash: Some(row.tx_hash),
                block_number: row.block_number,
                block_hash: row.block_hash,
                log_index: row.log_index,
                sequence: row.sequence,
            },
        })
        .collect())
}
