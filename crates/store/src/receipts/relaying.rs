//! What is signed and is to be told to the registry of consents: what is due, what was sent for it, what came of it. Rows
//! are locked in one order: outbox, anchors, closings, receipts.

use std::time::Duration;

use domain::{
    ids::{ConsentId, ReceiptId},
    receipts::ReceiptFailure,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{StoredReceipt, receipt_rows};
use crate::{
    StoreError, Tx,
    outbox::{self, DueTransaction, OutboxKind, SignedTransaction},
    signers::SignerAccount,
};

/// After how many transactions without effect nothing more is tried.
const MAX_REFUSALS: i32 = 5;

/// What was signed for this chain and is to be told now. Served by `idx_consent_receipts_pending`.
///
/// # Errors
/// [`StoreError`].
pub async fn due(
    conn: &mut PgConnection,
    chain_id: i64,
    limit: i64,
) -> Result<Vec<StoredReceipt>, StoreError> {
    let found = receipt_rows!(
        "WHERE chain_state = 'PENDING'
           AND due_at <= CURRENT_TIMESTAMP
           AND chain_id = $1
         ORDER BY due_at, kind, id
         LIMIT $2",
        chain_id,
        limit,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Puts one off that the registry would not take now.
///
/// # Errors
/// [`StoreError`].
pub async fn put_off(
    conn: &mut PgConnection,
    receipt: ReceiptId,
    again_in: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE consent_receipts
         SET due_at = CURRENT_TIMESTAMP + make_interval(secs => $2)
         WHERE id = $1
           AND chain_state = 'PENDING'",
        receipt.0,
        again_in.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives one up that the registry will never take.
///
/// # Errors
/// [`StoreError`].
pub async fn give_up(
    conn: &mut PgConnection,
    receipt: ReceiptId,
    why: ReceiptFailure,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE consent_receipts
         SET chain_state = 'FAILED', failure = $2
         WHERE id = $1
           AND chain_state = 'PENDING'",
        receipt.0,
        why.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives up the grant of a consent that was withdrawn, where it still waits: what is taken back is not told any more.
/// Served by `consent_receipts_act_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn give_up_grant(tx: &mut Tx<'_>, consent: ConsentId) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE consent_receipts
         SET chain_state = 'FAILED', failure = 'WITHDRAWN_HERE'
         WHERE consent_id = $1
           AND kind = 'GRANT'
           AND chain_state = 'PENDING'",
        consent.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether a consent was withdrawn here; one that is not there counts as withdrawn.
///
/// # Errors
/// [`StoreError`].
pub async fn is_withdrawn(conn: &mut PgConnection, consent: ConsentId) -> Result<bool, StoreError> {
    let stands = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM data_processing_consents WHERE id = $1 AND consent_withdrawn_at IS NULL
           ) AS "stands!""#,
        consent.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(!stands)
}

/// Locks those of these receipts that still wait, but no grant of a consent that was withdrawn here; gives each with the
/// signature that it has now.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_pending(
    tx: &mut Tx<'_>,
    receipts: &[ReceiptId],
) -> Result<Vec<(ReceiptId, Vec<u8>)>, StoreError> {
    let receipts: Vec<Uuid> = receipts.iter().map(|receipt| receipt.0).collect();
    // A withdrawal gives the grant up in its own transaction: where it came while we waited for the row, the state says so.
    let locked = sqlx::query!(
        r#"SELECT receipt.id AS "id!", receipt.signature AS "signature!"
           FROM consent_receipts AS receipt
           JOIN data_processing_consents AS consent ON consent.id = receipt.consent_id
           WHERE receipt.id = ANY($1)
             AND receipt.chain_state = 'PENDING'
             AND receipt.signature IS NOT NULL
             AND (receipt.kind <> 'GRANT' OR consent.consent_withdrawn_at IS NULL)
           ORDER BY receipt.id
           FOR UPDATE OF receipt"#,
        &receipts,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(locked
        .into_iter()
        .map(|row| (ReceiptId(row.id), row.signature))
        .collect())
}

/// Puts signed transactions into the outbox, and moves the locked signer past them.
///
/// # Errors
/// [`StoreError`].
pub async fn submit(
    tx: &mut Tx<'_>,
    signer: SignerAccount<'_>,
    told: &[SignedTransaction<ReceiptId>],
) -> Result<(), StoreError> {
    outbox::insert(tx, signer, OutboxKind::Consent, told.iter()).await?;
    let receipts: Vec<Uuid> = told.iter().map(|it| it.of.0).collect();
    let transactions: Vec<String> = told.iter().map(|it| it.tx_hash.clone()).collect();
    sqlx::query!(
        "UPDATE consent_receipts AS receipt
         SET chain_state = 'SUBMITTED',
             tx_hash = e.tx_hash
         FROM UNNEST($1::uuid[], $2::text[]) AS e(id, tx_hash)
         WHERE receipt.id = e.id",
        &receipts,
        &transactions,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a transaction up that was mined without effect: the receipt is tried again later, by another one, a few times.
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
        "UPDATE consent_receipts AS receipt
         SET chain_state = CASE WHEN refusals + 1 >= $4 THEN 'FAILED' ELSE 'PENDING' END,
             failure = CASE WHEN refusals + 1 >= $4 THEN 'REFUSED' END,
             refusals = refusals + 1,
             tx_hash = NULL,
             due_at = CURRENT_TIMESTAMP + make_interval(secs => $3)
         FROM anchor_attempts AS attempt
         WHERE attempt.outbox_id = $2
           AND receipt.id = $1
           AND receipt.chain_state = 'SUBMITTED'
           AND receipt.tx_hash = attempt.tx_hash",
        mined.of.receipt(),
        mined.outbox,
        again_in.as_secs_f64(),
        MAX_REFUSALS,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
