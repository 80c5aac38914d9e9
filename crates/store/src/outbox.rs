//! What the relay has to hand to a node: a row for each nonce, with every transaction that was signed for it. Only this
//! module writes rows, and moves them: queued, sent, mined, failed, replaced, queued again where a block was undone.
//! `attempts` has the transactions of one nonce, `again` what is signed again with another one.
//!
//! Rows are locked in one order: outbox by id, then anchors, then closings, each by record, then receipts of consents.

pub mod again;
pub mod attempts;

use std::time::Duration;

use domain::{
    ids::{ReceiptId, RecordId},
    records::DataHash,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    feed::{AnchorSubject, OnChainLocation},
    signers::SignerAccount,
};

/// What a transaction of the outbox does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxKind {
    /// It anchors a record.
    Anchor,
    /// It closes one.
    Close,
    /// It tells the registry of consents that a consent was given or withdrawn.
    Consent,
}

impl OutboxKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Anchor => "ANCHOR",
            Self::Close => "CLOSE",
            Self::Consent => "CONSENT",
        }
    }
}

/// What a transaction of the outbox is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxSubject {
    /// A record.
    Record(RecordId),
    /// A receipt of a consent.
    Receipt(ReceiptId),
}

impl OutboxSubject {
    /// The record, where it is about one.
    pub const fn as_record(self) -> Option<RecordId> {
        match self {
            Self::Record(id) => Some(id),
            Self::Receipt(_) => None,
        }
    }

    pub(crate) const fn record(self) -> Option<Uuid> {
        match self {
            Self::Record(id) => Some(id.0),
            Self::Receipt(_) => None,
        }
    }

    pub(crate) const fn receipt(self) -> Option<Uuid> {
        match self {
            Self::Record(_) => None,
            Self::Receipt(id) => Some(id.0),
        }
    }
}

impl From<RecordId> for OutboxSubject {
    fn from(id: RecordId) -> Self {
        Self::Record(id)
    }
}

impl From<ReceiptId> for OutboxSubject {
    fn from(id: ReceiptId) -> Self {
        Self::Receipt(id)
    }
}

impl std::fmt::Display for OutboxSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record(id) => write!(f, "record {id}"),
            Self::Receipt(id) => write!(f, "receipt {id}"),
        }
    }
}

/// A transaction that was signed for a record, or for a receipt of a consent, with its nonce.
#[derive(Debug)]
pub struct SignedTransaction<Of = RecordId> {
    /// For which.
    pub of: Of,
    /// The signer's nonce.
    pub nonce: i64,
    /// The transaction's hash, `0x` and 64 digits.
    pub tx_hash: String,
    /// The transaction.
    pub raw_transaction: Vec<u8>,
    /// The most it pays. Unit: wei per gas.
    pub max_fee_per_gas: u128,
}

/// Puts transactions in, each with its first attempt, and moves the locked signer past them.
pub(crate) async fn insert<'a, Of: Into<OutboxSubject> + Copy + 'a>(
    tx: &mut Tx<'_>,
    signer: SignerAccount<'_>,
    kind: OutboxKind,
    transactions: impl Iterator<Item = &'a SignedTransaction<Of>> + Clone,
) -> Result<(), StoreError> {
    let subjects = transactions.clone().map(|it| it.of.into());
    let records: Vec<Option<Uuid>> = subjects.clone().map(OutboxSubject::record).collect();
    let receipts: Vec<Option<Uuid>> = subjects.map(OutboxSubject::receipt).collect();
    let nonces: Vec<i64> = transactions.clone().map(|it| it.nonce).collect();
    let hashes: Vec<String> = transactions.clone().map(|it| it.tx_hash.clone()).collect();
    let raws: Vec<&[u8]> = transactions
        .clone()
        .map(|it| &*it.raw_transaction)
        .collect();
    let fees: Vec<String> = transactions
        .map(|it| it.max_fee_per_gas.to_string())
        .collect();
    sqlx::query!(
        "WITH entry AS (
             SELECT *
             FROM UNNEST($4::uuid[], $5::bigint[], $6::text[], $7::bytea[], $8::text[], $9::uuid[])
                 AS e(record_id, nonce, tx_hash, raw, fee, receipt_id)
         ), outbox AS (
             INSERT INTO anchor_outbox (record_id, consent_receipt_id, chain_id, signer, nonce, kind)
             SELECT record_id, receipt_id, $1, $2, nonce, $3 FROM entry ORDER BY nonce
             RETURNING id, nonce
         ), attempt AS (
             INSERT INTO anchor_attempts (tx_hash, outbox_id, attempt, raw_transaction, max_fee_per_gas)
             SELECT entry.tx_hash, outbox.id, 1, entry.raw, entry.fee::numeric
             FROM outbox JOIN entry USING (nonce)
         )
         UPDATE signers
         SET next_nonce = (SELECT max(nonce) + 1 FROM entry)
         WHERE chain_id = $1 AND address = $2",
        signer.chain_id,
        signer.address,
        kind.as_str(),
        &records as &[Option<Uuid>],
        &nonces,
        &hashes,
        &raws as &[&[u8]],
        &fees,
        &receipts as &[Option<Uuid>],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A transaction the relay has to hand to a node.
#[derive(Debug, Clone)]
pub struct DueTransaction {
    /// The outbox row.
    pub outbox: i64,
    /// What it is about.
    pub of: OutboxSubject,
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
    /// The most it pays. Unit: wei per gas.
    pub max_fee_per_gas: u128,
    /// How long ago it was signed. Unit: seconds.
    pub signed_seconds: f64,
    /// Whether no anchor with a lower nonce of the account waits.
    pub is_first: bool,
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
        r#"SELECT outbox.id, outbox.record_id, outbox.consent_receipt_id, outbox.nonce, attempt.tx_hash,
                attempt.raw_transaction,
                attempt.max_fee_per_gas::text AS "max_fee_per_gas!",
                EXTRACT(EPOCH FROM clock_timestamp() - attempt.created_at)::double precision AS "signed_seconds!",
                outbox.kind = 'ANCHOR' AND outbox.nonce = (
                    SELECT min(nonce)
                    FROM anchor_outbox
                    WHERE chain_id = $1
                      AND signer = $2
                      AND state IN ('QUEUED', 'SENT')
                      AND kind = 'ANCHOR'
                ) AS "is_first!",
                outbox.kind = 'CLOSE' AS "closes!",
                outbox.kind = 'CLOSE' OR COALESCE(anchor.supersedes, FALSE) AS "ends!",
                outbox.state = 'SENT' AS "is_sent!"
         FROM anchor_outbox AS outbox
         LEFT JOIN record_anchors AS anchor ON anchor.record_id = outbox.record_id
         JOIN LATERAL (
             SELECT tx_hash, raw_transaction, max_fee_per_gas, created_at
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
        .filter_map(|row| {
            let record = row.record_id.map(|id| OutboxSubject::Record(RecordId(id)));
            let receipt = row
                .consent_receipt_id
                .map(|id| OutboxSubject::Receipt(ReceiptId(id)));
            // One of the two, by a CHECK.
            let of = record.or(receipt)?;
            Some(DueTransaction {
                outbox: row.id,
                of,
                nonce: row.nonce,
                tx_hash: row.tx_hash,
                raw_transaction: row.raw_transaction,
                kind: match of {
                    OutboxSubject::Receipt(_) => OutboxKind::Consent,
                    OutboxSubject::Record(_) if row.closes => OutboxKind::Close,
                    OutboxSubject::Record(_) => OutboxKind::Anchor,
                },
                ends: row.ends,
                is_sent: row.is_sent,
                // What cannot be read is never raised.
                max_fee_per_gas: row.max_fee_per_gas.parse().unwrap_or(u128::MAX),
                signed_seconds: row.signed_seconds,
                is_first: row.is_first,
            })
        })
        .collect())
}

/// How many transactions are under way that supersede or close a record.
#[derive(Debug, Clone, Copy)]
pub struct EndsUnderWay {
    /// Those that a node took, of all accounts: the registry counts them together.
    pub sent: i64,
    /// Those of this account that wait in the outbox, and those that another one has signed within a minute: these are sent soon, and
    /// what would be signed now would wait behind them with its nonce. One that gets nowhere for longer holds up nobody else.
    pub queued: i64,
}

/// How many transactions that supersede or close a record are under way. Served by `idx_anchor_outbox_waiting`.
///
/// # Errors
/// [`StoreError`].
pub async fn under_way(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
) -> Result<EndsUnderWay, StoreError> {
    Ok(sqlx::query_as!(
        EndsUnderWay,
        r#"SELECT
            count(*) FILTER (WHERE outbox.state = 'SENT') AS "sent!",
            count(*) FILTER (
                WHERE outbox.state = 'QUEUED'
                  AND (outbox.signer = $2 OR outbox.created_at > CURRENT_TIMESTAMP - interval '1 minute')
            ) AS "queued!"
         FROM anchor_outbox AS outbox
         JOIN record_anchors AS anchor USING (record_id)
         WHERE outbox.chain_id = $1
           AND outbox.state IN ('QUEUED', 'SENT')
           AND (outbox.kind = 'CLOSE' OR anchor.supersedes)"#,
        signer.chain_id,
        signer.address,
    )
    .fetch_one(conn)
    .await?)
}

/// An anchor whose state the relay moved.
#[derive(Debug, Clone)]
pub struct RelayedAnchor {
    /// Of which record.
    pub subject: AnchorSubject,
    /// The transaction.
    pub place: OnChainLocation,
}

impl RelayedAnchor {
    /// Reads the columns of an anchor and its transaction.
    pub(crate) fn read(
        record: Uuid,
        patient: Uuid,
        record_type: &str,
        record_hash: &str,
        tx_hash: String,
    ) -> Self {
        Self {
            subject: AnchorSubject::read(record, patient, record_type, record_hash),
            place: OnChainLocation::of_transaction(tx_hash),
        }
    }
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
) -> Result<Vec<RelayedAnchor>, StoreError> {
    let moved = sqlx::query!(
        r#"WITH sent AS (
             UPDATE anchor_outbox
             SET state = 'SENT',
                 sends = sends + 1,
                 next_send_at = CURRENT_TIMESTAMP + make_interval(secs => $2)
             WHERE id = ANY($1)
               AND state IN ('QUEUED', 'SENT')
             RETURNING id, record_id, kind
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
         RETURNING record_anchors.record_id, patient_id, record_type, record_hash, (
             SELECT attempt.tx_hash
             FROM sent
             JOIN anchor_attempts AS attempt ON attempt.outbox_id = sent.id
             WHERE sent.record_id = due.record_id
               AND sent.kind = 'ANCHOR'
             ORDER BY sent.id DESC, attempt.attempt DESC
             LIMIT 1
         ) AS "tx_hash!""#,
        outbox,
        again_in.as_secs_f64(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let moved = moved.into_iter().map(|row| {
        let (record_type, record_hash) = (&row.record_type, &row.record_hash);
        RelayedAnchor::read(
            row.record_id,
            row.patient_id,
            record_type,
            record_hash,
            row.tx_hash,
        )
    });
    Ok(moved.collect())
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
    put_off_in(conn, &["QUEUED", "SENT"], outbox, again_in).await
}

/// Puts off what is in a block already, of which the indexer tells: by half of its age, within these bounds. So what nobody follows for
/// long is asked about ever more rarely, and holds up nothing that is newer.
///
/// # Errors
/// [`StoreError`].
pub async fn put_off_by_age(
    conn: &mut PgConnection,
    outbox: &[i64],
    (least, most): (Duration, Duration),
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE anchor_outbox
         SET next_send_at = CURRENT_TIMESTAMP + LEAST(
             GREATEST((CURRENT_TIMESTAMP - created_at) / 2, make_interval(secs => $2)),
             make_interval(secs => $3)
         )
         WHERE id = ANY($1)
           AND state IN ('QUEUED', 'SENT')",
        outbox,
        least.as_secs_f64(),
        most.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Puts off those of these rows that are in one of these states.
async fn put_off_in(
    conn: &mut PgConnection,
    states: &[&str],
    outbox: &[i64],
    again_in: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE anchor_outbox
         SET next_send_at = CURRENT_TIMESTAMP + make_interval(secs => $2)
         WHERE id = ANY($1)
           AND state = ANY($3)",
        outbox,
        again_in.as_secs_f64(),
        states as &[&str],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives a row up whose transaction was mined without effect, or whose nonce was used by another one. False where the indexer
/// knows better, or another row has taken its place.
pub(crate) async fn give_up(tx: &mut Tx<'_>, outbox: i64) -> Result<bool, StoreError> {
    let counts = sqlx::query_scalar!(
        r#"UPDATE anchor_outbox
           SET state = CASE WHEN is_replaced THEN 'REPLACED' ELSE 'FAILED' END
           WHERE id = $1
             AND state IN ('QUEUED', 'SENT')
           RETURNING NOT is_replaced AS "counts!""#,
        outbox,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(counts.unwrap_or(false))
}

/// Says of a row that was given up when its anchor is signed again: at once for the first time, and half a minute later for each
/// further one.
pub(crate) async fn rest(tx: &mut Tx<'_>, outbox: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE anchor_outbox AS failed
         SET next_send_at = CURRENT_TIMESTAMP + LEAST(
             interval '1 hour',
             (
                 SELECT count(*) - 1
                 FROM anchor_outbox AS tried
                 WHERE tried.record_id = failed.record_id
                   AND tried.kind = 'ANCHOR'
             )::double precision * interval '30 seconds'
         )
         WHERE failed.id = $1",
        outbox,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Says of a row that was given up that another transaction did its work.
pub(crate) async fn is_done_by_another(tx: &mut Tx<'_>, outbox: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE anchor_outbox SET state = 'REPLACED' WHERE id = $1 AND state = 'FAILED'",
        outbox,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Locks all rows of the anchors of these hashes. Served by `idx_anchor_outbox_anchors` and `idx_anchor_outbox_closings`: an index
/// of part of the rows serves only who names that part.
pub(crate) async fn lock_by_hash(
    tx: &mut Tx<'_>,
    chain_id: i64,
    hashes: &[DataHash],
) -> Result<(), StoreError> {
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "SELECT id
         FROM anchor_outbox
         WHERE id IN (
             SELECT outbox.id
             FROM record_anchors AS anchor
             JOIN anchor_outbox AS outbox
                 ON outbox.record_id = anchor.record_id AND outbox.kind = 'ANCHOR'
             WHERE anchor.chain_id = $1
               AND anchor.record_hash = ANY($2)
             UNION ALL
             SELECT outbox.id
             FROM record_anchors AS anchor
             JOIN anchor_outbox AS outbox
                 ON outbox.record_id = anchor.record_id AND outbox.kind = 'CLOSE'
             WHERE anchor.chain_id = $1
               AND anchor.record_hash = ANY($2)
         )
         ORDER BY id
         FOR UPDATE",
        chain_id,
        &hashes,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that locked rows are mined: those that anchor or close these records, by one of these transactions, whichever of
/// those that were signed for the nonce it is. A row of another nonce is not mined by that: what has its nonce still is to be
/// sent, or nothing after it ever is. Served by `idx_anchor_outbox_anchors` and `idx_anchor_outbox_closings`.
pub(crate) async fn mark_mined(
    tx: &mut Tx<'_>,
    anchored: &[Uuid],
    closed: &[Uuid],
    transactions: &[String],
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE anchor_outbox AS outbox
         SET state = 'MINED'
         WHERE state <> 'MINED'
           AND (
               (kind = 'ANCHOR' AND record_id = ANY($1))
               OR (kind = 'CLOSE' AND record_id = ANY($2))
           )
           AND EXISTS (
               SELECT FROM anchor_attempts AS attempt
               WHERE attempt.outbox_id = outbox.id AND attempt.tx_hash = ANY($3)
           )",
        anchored,
        closed,
        transactions,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Queues again what was mined above a block, and what came to nothing of late: if that was undone, too, its nonce is free,
/// also where its anchor has another row by now. Served by `idx_record_anchors_confirmed` but for those that were final, by
/// `idx_record_closings_confirmed`, `idx_consent_receipts_chain_mined`, `idx_anchor_outbox_failed` and `idx_anchor_outbox_replaced`.
pub(crate) async fn queue_above(
    tx: &mut Tx<'_>,
    chain_id: i64,
    block: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH undone AS (
             SELECT id
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
                 SELECT outbox.id
                 FROM consent_receipts AS receipt
                 JOIN anchor_outbox AS outbox ON outbox.consent_receipt_id = receipt.id
                 WHERE receipt.chain_state IN ('CONFIRMED', 'FINALIZED')
                   AND receipt.block_number > $2
                   AND receipt.chain_id = $1
                   AND outbox.chain_id = $1
                   AND outbox.state = 'MINED'
                 UNION ALL
                 SELECT id
                 FROM anchor_outbox
                 WHERE chain_id = $1
                   AND state = 'FAILED'
                   AND updated_at > CURRENT_TIMESTAMP - interval '1 day'
                 UNION ALL
                 SELECT id
                 FROM anchor_outbox
                 WHERE chain_id = $1
                   AND state = 'REPLACED'
                   AND updated_at > CURRENT_TIMESTAMP - interval '1 day'
             )
             ORDER BY id
             FOR UPDATE
         )
         UPDATE anchor_outbox AS outbox
         SET state = 'QUEUED',
             next_send_at = CURRENT_TIMESTAMP
         FROM undone
         WHERE outbox.id = undone.id",
        chain_id,
        block,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
