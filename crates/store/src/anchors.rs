//! How a record's hash travels to the chain: signers and their nonces, anchors, the outbox.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{
    ids::{RecordId, UserId},
    integrity::{AnchorState, ClosingReason, ClosingState},
    records::{DataHash, RecordType},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    closings::{self, Closing},
    rows,
};

/// One signing account on one chain.
#[derive(Debug, Clone, Copy)]
pub struct SignerAccount<'a> {
    /// The chain.
    pub chain_id: i64,
    /// The account, as EIP-55 writes it.
    pub address: &'a str,
}

/// Makes the signer known, beginning at `next_nonce`; gives the nonce it stands at, which is ours
/// and not the chain's.
///
/// # Errors
/// [`StoreError`].
pub async fn register_signer(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
    next_nonce: i64,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        "INSERT INTO signers (chain_id, address, next_nonce)
         VALUES ($1, $2, $3)
         ON CONFLICT (chain_id, address) DO UPDATE SET next_nonce = signers.next_nonce
         RETURNING next_nonce",
        signer.chain_id,
        signer.address,
        next_nonce,
    )
    .fetch_one(conn)
    .await?)
}

/// The nonce a signer stands at; `None` where it was never made known.
///
/// # Errors
/// [`StoreError`].
pub async fn known_nonce(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT next_nonce FROM signers WHERE chain_id = $1 AND address = $2",
        signer.chain_id,
        signer.address,
    )
    .fetch_optional(conn)
    .await?)
}

/// Locks the signer until the transaction ends and gives its next nonce. Writers of one signer, in
/// whatever process, follow one another from here on.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_signer(tx: &mut Tx<'_>, signer: SignerAccount<'_>) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT next_nonce FROM signers WHERE chain_id = $1 AND address = $2 FOR UPDATE",
        signer.chain_id,
        signer.address,
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// A signed transaction that will anchor a record.
#[derive(Debug)]
pub struct NewAnchor {
    /// Which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type.
    pub record_type: RecordType,
    /// What is anchored.
    pub record_hash: DataHash,
    /// What was anchored of the version before.
    pub predecessor_hash: Option<DataHash>,
    /// Whether the transaction names that one as superseded.
    pub supersedes: bool,
    /// The signer's nonce.
    pub nonce: i64,
    /// The transaction's hash, `0x` and 64 digits.
    pub tx_hash: String,
    /// The transaction.
    pub raw_transaction: Vec<u8>,
    /// The most it pays. Unit: wei per gas.
    pub max_fee_per_gas: u128,
}

/// Stores anchors with their outbox rows and first attempts, and moves the locked signer past them.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    signer: SignerAccount<'_>,
    anchors: &[NewAnchor],
) -> Result<(), StoreError> {
    let records: Vec<Uuid> = anchors.iter().map(|a| a.record.0).collect();
    let patients: Vec<Uuid> = anchors.iter().map(|a| a.patient.0).collect();
    let types: Vec<String> = anchors.iter().map(|a| a.record_type.to_string()).collect();
    let hashes: Vec<String> = anchors.iter().map(|a| a.record_hash.to_string()).collect();
    let nonces: Vec<i64> = anchors.iter().map(|a| a.nonce).collect();
    let transactions: Vec<String> = anchors.iter().map(|a| a.tx_hash.clone()).collect();
    let raws: Vec<&[u8]> = anchors
        .iter()
        .map(|a| a.raw_transaction.as_slice())
        .collect();
    let fees: Vec<String> = anchors
        .iter()
        .map(|a| a.max_fee_per_gas.to_string())
        .collect();
    let predecessors: Vec<Option<String>> = anchors
        .iter()
        .map(|a| a.predecessor_hash.map(|hash| hash.to_string()))
        .collect();
    let superseding: Vec<bool> = anchors.iter().map(|a| a.supersedes).collect();
    sqlx::query!(
        "WITH entry AS (
             SELECT *
             FROM UNNEST(
                 $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::text[],
                 $9::bytea[], $10::text[], $11::text[], $12::boolean[]
             ) AS e(
                 record_id, patient_id, record_type, record_hash, nonce, tx_hash, raw, fee,
                 predecessor_hash, supersedes
             )
         ), anchor AS (
             INSERT INTO record_anchors (
                 record_id, patient_id, record_type, record_hash, chain_id, tx_hash,
                 predecessor_hash, supersedes
             )
             SELECT record_id, patient_id, record_type, record_hash, $1, tx_hash,
                    predecessor_hash, supersedes
             FROM entry
         ), outbox AS (
             INSERT INTO anchor_outbox (record_id, chain_id, signer, nonce)
             SELECT record_id, $1, $2, nonce FROM entry ORDER BY nonce
             RETURNING id, record_id
         ), attempt AS (
             INSERT INTO anchor_attempts (tx_hash, outbox_id, attempt, raw_transaction, max_fee_per_gas)
             SELECT entry.tx_hash, outbox.id, 1, entry.raw, entry.fee::numeric
             FROM outbox JOIN entry USING (record_id)
         )
         UPDATE signers
         SET next_nonce = (SELECT max(nonce) + 1 FROM entry)
         WHERE chain_id = $1 AND address = $2",
        signer.chain_id,
        signer.address,
        &records,
        &patients,
        &types,
        &hashes,
        &nonces,
        &transactions,
        &raws as &[&[u8]],
        &fees,
        &predecessors as &[Option<String>],
        &superseding,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where a record's anchor stands.
#[derive(Debug, Clone)]
pub struct Anchor {
    /// Which record.
    pub record: RecordId,
    /// What was to be anchored.
    pub record_hash: DataHash,
    /// Where it stands.
    pub state: AnchorState,
    /// The transaction.
    pub tx_hash: String,
    /// The account that anchored it.
    pub registrar: Option<String>,
    /// The block's number.
    pub block_number: Option<i64>,
    /// The block's hash.
    pub block_hash: Option<String>,
    /// Where in the block.
    pub log_index: Option<i64>,
    /// Where in the registry's gapless sequence.
    pub sequence: Option<i64>,
    /// When it was seen in a block.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When that block became final.
    pub finalized_at: Option<DateTime<Utc>>,
    /// The closing of the record, where its life has ended.
    pub closing: Option<Closing>,
}

impl Anchor {
    /// One that has just been stored, of a record that is to be closed for this reason, if for one.
    pub fn pending(
        record: RecordId,
        record_hash: DataHash,
        tx_hash: String,
        closes: Option<ClosingReason>,
    ) -> Self {
        Self {
            record,
            record_hash,
            state: AnchorState::Pending,
            tx_hash,
            registrar: None,
            block_number: None,
            block_hash: None,
            log_index: None,
            sequence: None,
            confirmed_at: None,
            finalized_at: None,
            closing: closes.map(|reason| Closing {
                reason,
                state: ClosingState::Pending,
                tx_hash: None,
                by: None,
                block_number: None,
            }),
        }
    }
}

/// The anchors of these records.
///
/// # Errors
/// [`StoreError`].
pub async fn by_records(
    conn: &mut PgConnection,
    records: &[RecordId],
) -> Result<Vec<Anchor>, StoreError> {
    let records: Vec<Uuid> = records.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT anchor.record_id AS "record_id!", anchor.record_hash AS "record_hash!",
                anchor.state AS "state!", anchor.tx_hash AS "tx_hash!", anchor.registrar,
                anchor.block_number, anchor.block_hash, anchor.log_index, anchor.sequence,
                anchor.confirmed_at, anchor.finalized_at,
                closing.reason AS "closing_reason?", closing.state AS "closing_state?",
                closing.tx_hash AS closing_tx_hash, closing.closed_by,
                closing.block_number AS closing_block
         FROM record_anchors AS anchor
         LEFT JOIN record_closings AS closing ON closing.record_id = anchor.record_id
         WHERE anchor.record_id = ANY($1)"#,
        &records,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            let closing = match (row.closing_reason, row.closing_state) {
                (Some(reason), Some(state)) => Some(Closing {
                    reason: closings::reason(reason)?,
                    state: rows::text(&state, "closing state")?,
                    tx_hash: row.closing_tx_hash,
                    by: row.closed_by,
                    block_number: row.closing_block,
                }),
                _ => None,
            };
            Ok(Anchor {
                record: RecordId(row.record_id),
                record_hash: rows::hash(&row.record_hash)?,
                state: rows::text(&row.state, "anchor state")?,
                tx_hash: row.tx_hash,
                registrar: row.registrar,
                block_number: row.block_number,
                block_hash: row.block_hash,
                log_index: row.log_index,
                sequence: row.sequence,
                confirmed_at: row.confirmed_at,
                finalized_at: row.finalized_at,
                closing,
            })
        })
        .collect()
}

/// A transaction the relay has to hand to a node.
#[derive(Debug, Clone)]
pub struct DueTransaction {
    /// The outbox row.
    pub outbox: i64,
    /// Which record.
    pub record: RecordId,
    /// The signer's nonce.
    pub nonce: i64,
    /// The transaction's hash.
    pub tx_hash: String,
    /// The transaction.
    pub raw_transaction: Vec<u8>,
    /// What it does.
    pub kind: OutboxKind,
    /// Whether it supersedes or closes a record, of which a registrar may do so many in an hour.
    pub ends: bool,
    /// Whether a node took it before, and it is not known to be undone.
    pub is_sent: bool,
}

/// What a transaction of the outbox does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxKind {
    /// It anchors a record.
    Anchor,
    /// It closes one.
    Close,
}

/// What is due, in nonce order: the newest attempt of each outbox row that waits. Served by
/// `idx_anchor_outbox_waiting`.
///
/// # Errors
/// [`StoreError`].
pub async fn due(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
    limit: i64,
) -> Result<Vec<DueTransaction>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT outbox.id, outbox.record_id, outbox.nonce, attempt.tx_hash, attempt.raw_transaction,
                outbox.kind = 'CLOSE' AS "closes!",
                outbox.kind = 'CLOSE' OR anchor.supersedes AS "ends!",
                outbox.state = 'SENT' AS "is_sent!"
         FROM anchor_outbox AS outbox
         JOIN record_anchors AS anchor ON anchor.record_id = outbox.record_id
         JOIN LATERAL (
             SELECT tx_hash, raw_transaction
             FROM anchor_attempts
             WHERE outbox_id = outbox.id
             ORDER BY attempt DESC
             LIMIT 1
         ) AS attempt ON TRUE
         WHERE outbox.chain_id = $1
           AND outbox.signer = $2
           AND outbox.state IN ('QUEUED', 'SENT')
           AND outbox.next_send_at <= CURRENT_TIMESTAMP
         ORDER BY outbox.nonce
         LIMIT $3"#,
        signer.chain_id,
        signer.address,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| DueTransaction {
            outbox: row.id,
            record: RecordId(row.record_id),
            nonce: row.nonce,
            tx_hash: row.tx_hash,
            raw_transaction: row.raw_transaction,
            kind: if row.closes {
                OutboxKind::Close
            } else {
                OutboxKind::Anchor
            },
            ends: row.ends,
            is_sent: row.is_sent,
        })
        .collect())
}

/// An anchor whose state the relay moved.
#[derive(Debug, Clone)]
pub struct AnchorUpdate {
    /// Which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type.
    pub record_type: RecordType,
    /// What is anchored.
    pub record_hash: DataHash,
    /// The transaction.
    pub tx_hash: String,
}

/// Notes that a node took these transactions; they are handed over again after `again_in` unless
/// mined. Gives the anchors that were PENDING or REORGED and are SUBMITTED now, in record order.
///
/// # Errors
/// [`StoreError`].
pub async fn mark_sent(
    tx: &mut Tx<'_>,
    outbox: &[i64],
    again_in: Duration,
) -> Result<Vec<AnchorUpdate>, StoreError> {
    let moved = sqlx::query!(
        "WITH sent AS (
             UPDATE anchor_outbox
             SET state = 'SENT',
                 sends = sends + 1,
                 next_send_at = CURRENT_TIMESTAMP + make_interval(secs => $2)
             WHERE id = ANY($1)
               AND state IN ('QUEUED', 'SENT')
             RETURNING record_id, kind
         ), due AS (
             SELECT record_id
             FROM record_anchors
             WHERE record_id IN (SELECT record_id FROM sent WHERE kind = 'ANCHOR')
               AND state IN ('PENDING', 'REORGED')
             ORDER BY record_id
             FOR UPDATE
         )
         UPDATE record_anchors
         SET state = 'SUBMITTED'
         FROM due
         WHERE record_anchors.record_id = due.record_id
         RETURNING record_anchors.record_id, patient_id, record_type, record_hash, tx_hash",
        outbox,
        again_in.as_secs_f64(),
    )
    .fetch_all(&mut **tx)
    .await?;
    moved
        .into_iter()
        .map(|row| {
            Ok(AnchorUpdate {
                record: RecordId(row.record_id),
                patient: UserId(row.patient_id),
                record_type: rows::text(&row.record_type, "record type")?,
                record_hash: rows::hash(&row.record_hash)?,
                tx_hash: row.tx_hash,
            })
        })
        .collect()
}

/// Puts what could not be handed over off, so that a node that is down is not hammered.
///
/// # Errors
/// [`StoreError`].
pub async fn put_off(
    conn: &mut PgConnection,
    outbox: &[i64],
    again_in: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE anchor_outbox
         SET next_send_at = CURRENT_TIMESTAMP + make_interval(secs => $2)
         WHERE id = ANY($1)
           AND state IN ('QUEUED', 'SENT')",
        outbox,
        again_in.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives a transaction up that was mined without effect. `None` where the indexer knows better.
///
/// # Errors
/// [`StoreError`].
pub async fn fail(tx: &mut Tx<'_>, outbox: i64) -> Result<Option<AnchorUpdate>, StoreError> {
    let failed = sqlx::query!(
        "WITH failed AS (
             UPDATE anchor_outbox SET state = 'FAILED'
             WHERE id = $1 AND kind = 'ANCHOR' AND state IN ('QUEUED', 'SENT')
             RETURNING record_id
         )
         UPDATE record_anchors
         SET state = 'FAILED'
         FROM failed
         WHERE record_anchors.record_id = failed.record_id
           AND record_anchors.state IN ('PENDING', 'SUBMITTED', 'REORGED')
         RETURNING record_anchors.record_id, patient_id, record_type, record_hash, tx_hash",
        outbox,
    )
    .fetch_optional(&mut **tx)
    .await?;
    failed
        .map(|row| {
            Ok(AnchorUpdate {
                record: RecordId(row.record_id),
                patient: UserId(row.patient_id),
                record_type: rows::text(&row.record_type, "record type")?,
                record_hash: rows::hash(&row.record_hash)?,
                tx_hash: row.tx_hash,
            })
        })
        .transpose()
}

/// How far the indexer has followed the registry.
#[derive(Debug, Clone)]
pub struct IndexerProgress {
    /// The last block applied.
    pub indexed_block: i64,
    /// The last final block.
    pub finalized_block: i64,
    /// The registry's sequence after the last block applied.
    pub sequence: i64,
}

/// How far the indexer is; `None` before its first block.
///
/// # Errors
/// [`StoreError`].
pub async fn progress(
    conn: &mut PgConnection,
    chain_id: i64,
    registry: &str,
) -> Result<Option<IndexerProgress>, StoreError> {
    Ok(sqlx::query_as!(
        IndexerProgress,
        "SELECT block_number AS indexed_block, finalized_block, sequence
         FROM chain_cursors
         WHERE chain_id = $1 AND registry = $2",
        chain_id,
        registry,
    )
    .fetch_optional(conn)
    .await?)
}
