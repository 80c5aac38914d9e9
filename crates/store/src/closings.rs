//! Records that are to be closed on the chain: what is due, what was signed for it, what came of it.
//!
//! The row is written in the transaction that ends the record. It gets a nonce only when the registry would take
//! it, so that one that has to wait holds up nothing else. Rows are locked in one order: outbox, anchors, closings.

use std::time::Duration;

use domain::{
    ids::RecordId,
    integrity::{ClosingReason, ClosingState},
    records::DataHash,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    feed::{AnchorSubject, OnChainLocation},
    outbox::{self, DueTransaction, OutboxKind, SignedTransaction},
    rows,
    signers::SignerAccount,
};

/// Reads a column of reasons.
pub(crate) fn reason(code: i16) -> Result<ClosingReason, StoreError> {
    let what = "closing reason";
    let code = u8::try_from(code).map_err(|_| StoreError::Unreadable { what })?;
    ClosingReason::of(code).ok_or(StoreError::Unreadable { what })
}

/// The closing of a record on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Why.
    pub reason: ClosingReason,
    /// How far it has come.
    pub state: ClosingState,
    /// The transaction that was signed for it last, or that did it.
    pub tx_hash: Option<String>,
    /// The account that did it.
    pub by: Option<String>,
    /// The block it is in.
    pub block_number: Option<i64>,
}

/// Writes down that these records are to be closed; one that is to be closed already stays as it is.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    closings: &[(RecordId, ClosingReason)],
) -> Result<(), StoreError> {
    if closings.is_empty() {
        return Ok(());
    }
    let records: Vec<Uuid> = closings.iter().map(|(record, _)| record.0).collect();
    let statuses: Vec<String> = closings
        .iter()
        .map(|(_, reason)| reason.closes_as().to_string())
        .collect();
    let reasons: Vec<i16> = closings
        .iter()
        .map(|(_, reason)| i16::from(reason.code()))
        .collect();
    sqlx::query!(
        "INSERT INTO record_closings (record_id, status, reason)
         SELECT e.record_id, e.status, e.reason
         FROM UNNEST($1::uuid[], $2::text[], $3::smallint[]) AS e(record_id, status, reason)
         ON CONFLICT (record_id) DO NOTHING",
        &records,
        &statuses,
        &reasons,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A record that is to be closed and is in a block.
#[derive(Debug, Clone)]
pub struct DueClosing {
    /// Which.
    pub record: RecordId,
    /// Its hash.
    pub record_hash: DataHash,
    /// Why.
    pub reason: ClosingReason,
}

/// Whose anchors are closed by an account.
#[derive(Debug, Clone, Copy)]
pub struct ClosedBy<'a> {
    /// The account, whose own they are.
    pub signer: SignerAccount<'a>,
    /// Whether those of accounts that are not in use are looked at, too.
    pub others: bool,
    /// The accounts that are in use, as EIP-55 writes them.
    pub in_use: &'a [String],
}

/// What is to be closed and can be, because its anchor is in a block, by the account that anchored it. One that cannot be read is
/// logged and put off: it must stop no other. Served by `idx_record_closings_pending`.
///
/// # Errors
/// [`StoreError`].
pub async fn due(
    conn: &mut PgConnection,
    by: ClosedBy<'_>,
    limit: i64,
) -> Result<Vec<DueClosing>, StoreError> {
    let found = sqlx::query!(
        "SELECT closing.record_id, closing.reason, anchor.record_hash
         FROM record_closings AS closing
         JOIN record_anchors AS anchor USING (record_id)
         WHERE closing.state = 'PENDING'
           AND closing.due_at <= CURRENT_TIMESTAMP
           AND anchor.chain_id = $1
           AND anchor.state IN ('CONFIRMED', 'FINALIZED')
           AND (
               anchor.registrar = $2
               OR ($3 AND COALESCE(anchor.registrar, '') <> ALL($4))
           )
         ORDER BY closing.due_at, closing.record_id
         LIMIT $5",
        by.signer.chain_id,
        by.signer.address,
        by.others,
        by.in_use,
        limit,
    )
    .fetch_all(&mut *conn)
    .await?;
    let read = found.into_iter().map(|row| {
        let record = RecordId(row.record_id);
        let closing = rows::hash(&row.record_hash).and_then(|record_hash| {
            Ok(DueClosing {
                record,
                record_hash,
                reason: reason(row.reason)?,
            })
        });
        (record, row.record_id, closing)
    });
    let (due, unreadable) = rows::readable_and_not(read, "closing");
    if !unreadable.is_empty() {
        put_off(conn, &unreadable, rows::UNREADABLE_AGAIN_IN).await?;
    }
    Ok(due)
}

/// Puts closings off that the registry would not take now.
///
/// # Errors
/// [`StoreError`].
pub async fn put_off(
    conn: &mut PgConnection,
    records: &[RecordId],
    again_in: Duration,
) -> Result<(), StoreError> {
    let records: Vec<Uuid> = records.iter().map(|record| record.0).collect();
    sqlx::query!(
        "UPDATE record_closings
         SET due_at = CURRENT_TIMESTAMP + make_interval(secs => $2)
         WHERE record_id = ANY($1)
           AND state = 'PENDING'",
        &records,
        again_in.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks those of these records that still are to be closed and are in a block.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(tx: &mut Tx<'_>, records: &[RecordId]) -> Result<Vec<RecordId>, StoreError> {
    let records: Vec<Uuid> = records.iter().map(|record| record.0).collect();
    // The anchors first, as the indexer does.
    let anchored = sqlx::query_scalar!(
        "SELECT record_id
         FROM record_anchors
         WHERE record_id = ANY($1)
           AND state IN ('CONFIRMED', 'FINALIZED')
         ORDER BY record_id
         FOR NO KEY UPDATE",
        &records,
    )
    .fetch_all(&mut **tx)
    .await?;
    let locked = sqlx::query_scalar!(
        "SELECT record_id
         FROM record_closings
         WHERE record_id = ANY($1)
           AND state = 'PENDING'
         ORDER BY record_id
         FOR UPDATE",
        &anchored,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(locked.into_iter().map(RecordId).collect())
}

/// Puts signed closings into the outbox, and moves the locked signer past them.
///
/// # Errors
/// [`StoreError`].
pub async fn submit(
    tx: &mut Tx<'_>,
    signer: SignerAccount<'_>,
    closings: &[SignedTransaction],
) -> Result<(), StoreError> {
    outbox::insert(tx, signer, OutboxKind::Close, closings.iter()).await?;
    let records: Vec<Uuid> = closings.iter().map(|c| c.of.0).collect();
    let transactions: Vec<String> = closings.iter().map(|c| c.tx_hash.clone()).collect();
    sqlx::query!(
        "UPDATE record_closings AS closing
         SET state = 'SUBMITTED',
             tx_hash = e.tx_hash
         FROM UNNEST($1::uuid[], $2::text[]) AS e(record_id, tx_hash)
         WHERE closing.record_id = e.record_id",
        &records,
        &transactions,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a closing up whose transaction was mined without effect: it is tried again later, by another one.
///
/// # Errors
/// [`StoreError`].
pub async fn fail(
    tx: &mut Tx<'_>,
    mined: &DueTransaction,
    again_in: Duration,
) -> Result<(), StoreError> {
    if !outbox::give_up(tx, mined.outbox).await? {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE record_closings AS closing
         SET state = 'PENDING',
             tx_hash = NULL,
             due_at = CURRENT_TIMESTAMP + make_interval(secs => $3)
         FROM anchor_attempts AS attempt
         WHERE attempt.outbox_id = $2
           AND closing.record_id = $1
           AND closing.state = 'SUBMITTED'
           AND closing.tx_hash = attempt.tx_hash",
        mined.of.record(),
        mined.outbox,
        again_in.as_secs_f64(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where the chain says that a record was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosingConfirmation {
    /// Which record.
    pub record: RecordId,
    /// The transaction.
    pub tx_hash: String,
    /// The account that closed it.
    pub by: String,
    /// The block's number.
    pub block_number: i64,
    /// The block's hash.
    pub block_hash: String,
}

/// Confirms closings whose anchors and outbox rows are locked.
pub(crate) async fn confirm(
    tx: &mut Tx<'_>,
    confirmed: &[ClosingConfirmation],
) -> Result<(), StoreError> {
    let records: Vec<Uuid> = confirmed.iter().map(|c| c.record.0).collect();
    let text = |cell: fn(&ClosingConfirmation) -> &String| {
        confirmed
            .iter()
            .map(|c| cell(c).clone())
            .collect::<Vec<String>>()
    };
    let transactions = text(|c| &c.tx_hash);
    let blocks: Vec<i64> = confirmed.iter().map(|c| c.block_number).collect();
    sqlx::query!(
        "UPDATE record_closings AS closing
         SET state = 'CONFIRMED',
             tx_hash = e.tx_hash,
             closed_by = e.closed_by,
             block_number = e.block_number,
             block_hash = e.block_hash,
             confirmed_at = CURRENT_TIMESTAMP
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[])
             AS e(record_id, tx_hash, closed_by, block_number, block_hash)
         WHERE closing.record_id = e.record_id",
        &records,
        &transactions,
        &text(|c| &c.by),
        &blocks,
        &text(|c| &c.block_hash),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A closing that was undone.
#[derive(Debug, Clone)]
pub struct UndoneClosing {
    /// Of which record.
    pub subject: AnchorSubject,
    /// Where it was.
    pub place: OnChainLocation,
}

/// Takes back the closings above a block, after what closed them was queued again in the outbox: what was ours is sent
/// again, what was a steward's is to be done again. Gives them as they were. Served by `idx_record_closings_confirmed`.
pub(crate) async fn reorg_above(
    tx: &mut Tx<'_>,
    chain_id: i64,
    block: i64,
) -> Result<Vec<UndoneClosing>, StoreError> {
    let found = sqlx::query!(
        "SELECT closing.record_id, anchor.patient_id, anchor.record_type, anchor.record_hash,
                closing.tx_hash, closing.block_number, closing.block_hash
         FROM record_closings AS closing
         JOIN record_anchors AS anchor USING (record_id)
         WHERE closing.state = 'CONFIRMED'
           AND closing.block_number > $2
           AND anchor.chain_id = $1
         ORDER BY closing.record_id
         FOR UPDATE OF closing",
        chain_id,
        block,
    )
    .fetch_all(&mut **tx)
    .await?;
    let records: Vec<Uuid> = found.iter().map(|row| row.record_id).collect();
    // A closing that waits in the outbox is the one that was ours: there is one nonce for it at a time.
    sqlx::query!(
        "UPDATE record_closings AS closing
         SET state = CASE WHEN ours.tx_hash IS NULL THEN 'PENDING' ELSE 'SUBMITTED' END,
             tx_hash = ours.tx_hash,
             due_at = CURRENT_TIMESTAMP,
             closed_by = NULL,
             block_number = NULL,
             block_hash = NULL,
             confirmed_at = NULL
         FROM UNNEST($1::uuid[]) AS e(record_id)
         LEFT JOIN LATERAL (
             SELECT attempt.tx_hash
             FROM anchor_outbox AS outbox
             JOIN anchor_attempts AS attempt ON attempt.outbox_id = outbox.id
             WHERE outbox.record_id = e.record_id
               AND outbox.kind = 'CLOSE'
               AND outbox.chain_id = $2
               AND outbox.state IN ('QUEUED', 'SENT')
             ORDER BY outbox.nonce DESC, attempt.attempt DESC
             LIMIT 1
         ) AS ours ON TRUE
         WHERE closing.record_id = e.record_id",
        &records,
        chain_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| UndoneClosing {
            subject: AnchorSubject::read(
                row.record_id,
                row.patient_id,
                &row.record_type,
                &row.record_hash,
            ),
            place: OnChainLocation {
                tx_hash: row.tx_hash,
                block_number: row.block_number,
                block_hash: row.block_hash,
                ..OnChainLocation::default()
            },
        })
        .collect())
}
