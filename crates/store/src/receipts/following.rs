//! What the events of the registry of consents say of our receipts: the indexer's side. It reads of a receipt by what the
//! registry knows it, and never its text.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::{
    ids::{FindingId, ReceiptId, UserId},
    integrity::FindingKind,
    receipts::ReceiptKind,
    records::DataHash,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, cursor::Registry, rows};

/// A live event about a consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentEvent {
    /// The patient's wallet, as EIP-55 writes it.
    pub wallet: String,
    /// The hash of the details.
    pub details_hash: DataHash,
    /// Whether it was given or withdrawn.
    pub kind: ReceiptKind,
    /// When the grant ends; zero for never.
    pub registry_end: i64,
    /// The transaction.
    pub tx_hash: String,
    /// The block's number.
    pub block_number: i64,
    /// The block's hash.
    pub block_hash: String,
}

/// What is known here of a hash of details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownReceipt {
    /// Which receipt.
    pub id: ReceiptId,
    /// Whose.
    pub patient: UserId,
    /// Of which act.
    pub kind: ReceiptKind,
    /// The hash of the details.
    pub details_hash: DataHash,
    /// When the consent ends; zero for never.
    pub registry_end: i64,
    /// The wallet that signed, once one has.
    pub wallet: Option<String>,
    /// Whether the consent was withdrawn here: with a receipt of it or without one.
    pub is_withdrawn: bool,
}

fn hex(hashes: &[DataHash]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}

/// The receipts with these hashes; nobody changes them, nor their rows of the outbox, until the transaction ends. Served
/// by `idx_consent_receipts_details_hash`.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_by_details(
    tx: &mut Tx<'_>,
    hashes: &[DataHash],
) -> Result<Vec<KnownReceipt>, StoreError> {
    let hashes = hex(hashes);
    // The outbox first, as everybody does.
    sqlx::query!(
        "SELECT outbox.id
         FROM anchor_outbox AS outbox
         JOIN consent_receipts AS receipt ON receipt.id = outbox.consent_receipt_id
         WHERE receipt.details_hash = ANY($1)
         ORDER BY outbox.id
         FOR UPDATE OF outbox",
        &hashes,
    )
    .fetch_all(&mut **tx)
    .await?;
    let found = sqlx::query!(
        r#"SELECT receipt.id AS "id!", receipt.user_id AS "user_id!", receipt.kind AS "kind!",
                receipt.details_hash AS "details_hash!", receipt.registry_end AS "registry_end!", receipt.wallet AS "wallet?",
                consent.consent_withdrawn_at IS NOT NULL AS "is_withdrawn!"
           FROM consent_receipts AS receipt
           JOIN data_processing_consents AS consent ON consent.id = receipt.consent_id
           WHERE receipt.details_hash = ANY($1)
           ORDER BY receipt.id
           FOR NO KEY UPDATE OF receipt"#,
        &hashes,
    )
    .fetch_all(&mut **tx)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(KnownReceipt {
                id: ReceiptId(row.id),
                patient: UserId(row.user_id),
                kind: rows::text(&row.kind, "kind of a receipt")?,
                details_hash: rows::hash(&row.details_hash)?,
                registry_end: row.registry_end,
                wallet: row.wallet,
                is_withdrawn: row.is_withdrawn,
            })
        })
        .collect()
}

/// Those of these wallets that have signed a receipt here. Served by `idx_consent_receipts_wallet`.
///
/// # Errors
/// [`StoreError`].
pub async fn known_wallets(
    conn: &mut PgConnection,
    wallets: &[String],
) -> Result<BTreeSet<String>, StoreError> {
    let found = sqlx::query_scalar!(
        r#"SELECT DISTINCT wallet AS "wallet!"
           FROM consent_receipts
           WHERE wallet = ANY($1)"#,
        wallets,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().collect())
}

/// Notes that the registry says the same as these locked receipts, and that what told it is mined. One that was signed for another
/// chain stays as it is: what is undone there is not undone here.
///
/// # Errors
/// [`StoreError`].
pub async fn confirm(
    tx: &mut Tx<'_>,
    chain_id: i64,
    confirmed: &[(ReceiptId, ConsentEvent)],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = confirmed.iter().map(|(id, _)| id.0).collect();
    let transactions: Vec<String> = confirmed.iter().map(|(_, it)| it.tx_hash.clone()).collect();
    let blocks: Vec<i64> = confirmed.iter().map(|(_, it)| it.block_number).collect();
    let hashes: Vec<String> = confirmed
        .iter()
        .map(|(_, it)| it.block_hash.clone())
        .collect();
    sqlx::query!(
        "UPDATE anchor_outbox AS outbox
         SET state = 'MINED'
         WHERE kind = 'CONSENT'
           AND state <> 'MINED'
           AND consent_receipt_id = ANY($1)
           AND chain_id = $3
           AND EXISTS (
               SELECT FROM anchor_attempts AS attempt
               WHERE attempt.outbox_id = outbox.id AND attempt.tx_hash = ANY($2)
           )",
        &ids,
        &transactions,
        chain_id,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE consent_receipts AS receipt
         SET chain_state = 'CONFIRMED',
             failure = NULL,
             tx_hash = e.tx_hash,
             block_number = e.block_number,
             block_hash = e.block_hash,
             confirmed_at = CURRENT_TIMESTAMP
         FROM UNNEST($1::uuid[], $2::text[], $3::bigint[], $4::text[]) AS e(id, tx_hash, block_number, block_hash)
         WHERE receipt.id = e.id
           AND receipt.chain_id = $5
           AND receipt.chain_state IS DISTINCT FROM 'FINALIZED'",
        &ids,
        &transactions,
        &blocks,
        &hashes,
        chain_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes back what was in blocks of this chain above this one, also what was final where an operator has the indexer go back so far,
/// after what told the registry was queued again in the outbox: what was ours is sent again. Served by
/// `idx_consent_receipts_chain_mined`.
///
/// # Errors
/// [`StoreError`].
pub async fn reorg_above(tx: &mut Tx<'_>, chain_id: i64, block: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "WITH undone AS (
             SELECT id
             FROM consent_receipts
             WHERE chain_id = $1
               AND chain_state IN ('CONFIRMED', 'FINALIZED')
               AND block_number > $2
             ORDER BY id
             FOR UPDATE
         )
         UPDATE consent_receipts AS receipt
         SET chain_state = CASE
                 WHEN ours.tx_hash IS NOT NULL THEN 'SUBMITTED'
                 WHEN receipt.due_at IS NOT NULL THEN 'PENDING'
             END,
             tx_hash = ours.tx_hash,
             block_number = NULL,
             block_hash = NULL,
             confirmed_at = NULL
         FROM undone
         LEFT JOIN LATERAL (
             SELECT attempt.tx_hash
             FROM anchor_outbox AS outbox
             JOIN anchor_attempts AS attempt ON attempt.outbox_id = outbox.id
             WHERE outbox.consent_receipt_id = undone.id
               AND outbox.chain_id = $1
               AND outbox.state IN ('QUEUED', 'SENT')
             ORDER BY outbox.nonce DESC, attempt.attempt DESC
             LIMIT 1
         ) AS ours ON TRUE
         WHERE receipt.id = undone.id",
        chain_id,
        block,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Finalises what is in blocks of this chain up to this one. Served by `idx_consent_receipts_confirmed`: few are not final yet.
///
/// # Errors
/// [`StoreError`].
pub async fn finalize(
    conn: &mut PgConnection,
    chain_id: i64,
    block: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "UPDATE consent_receipts
         SET chain_state = 'FINALIZED'
         WHERE chain_state = 'CONFIRMED'
           AND chain_id = $1
           AND block_number <= $2",
        chain_id,
        block,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// An open finding about a hash of details.
#[derive(Debug, Clone)]
pub struct OpenConsentFinding {
    /// Which.
    pub id: FindingId,
    /// What is wrong.
    pub kind: FindingKind,
    /// The hash.
    pub details_hash: DataHash,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
}

/// The open findings of this registry about consents after this one, oldest first: at most so many. Served by
/// `integrity_findings_registry_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_findings(
    conn: &mut PgConnection,
    registry: &Registry,
    after: Option<(DateTime<Utc>, FindingId)>,
    limit: i64,
) -> Result<Vec<OpenConsentFinding>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT id, kind, opened_at, record_hash AS "record_hash!"
           FROM integrity_findings
           WHERE kind IN ('UNKNOWN_CONSENT', 'CONSENT_MISMATCH')
             AND resolved_at IS NULL
             AND record_hash IS NOT NULL
             AND chain_id = $4
             AND registry = $5
             AND ($1::timestamptz IS NULL OR (opened_at, id) > ($1, $2))
           ORDER BY opened_at, id
           LIMIT $3"#,
        after.map(|(opened_at, _)| opened_at),
        after.map(|(_, id)| id.0),
        limit,
        registry.chain_id,
        registry.address,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(OpenConsentFinding {
                id: FindingId(row.id),
                kind: rows::text(&row.kind, "kind of a finding")?,
                details_hash: rows::hash(&row.record_hash)?,
                opened_at: row.opened_at,
            })
        })
        .collect()
}

/// The hashes of signed receipts that the registry has an event of, by their wallet, and that are not confirmed: at most 1,000. Served by
/// `idx_consent_receipts_unconfirmed`.
///
/// # Errors
/// [`StoreError`].
pub async fn unconfirmed(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Vec<DataHash>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT DISTINCT receipt.details_hash
         FROM consent_receipts AS receipt
         JOIN chain_events AS event ON event.subject_hash = receipt.details_hash
         WHERE receipt.signed_at IS NOT NULL
           AND (receipt.chain_state IS NULL OR receipt.chain_state NOT IN ('CONFIRMED', 'FINALIZED'))
           AND event.undone_at IS NULL
           AND event.kind = 'CONSENT_CHANGED'
           AND event.payload ->> 'kind' = receipt.kind
           AND event.actor = receipt.wallet
           AND receipt.chain_id = $1
           AND event.chain_id = $1
           AND event.registry = $2
         ORDER BY receipt.details_hash
         LIMIT 1000",
        registry.chain_id,
        registry.address,
    )
    .fetch_all(conn)
    .await?;
    found.iter().map(|hash| rows::hash(hash)).collect()
}

/// A receipt of which its row says that the registry has the same.
#[derive(Debug, Clone)]
pub struct SettledReceipt {
    /// Which.
    pub id: ReceiptId,
    /// Whose.
    pub patient: UserId,
    /// Of which act.
    pub kind: ReceiptKind,
    /// The hash of the details.
    pub details_hash: DataHash,
    /// The wallet that signed.
    pub wallet: Option<String>,
    /// Whether no live event says the same.
    pub is_missing: bool,
    /// Whether none is where the row says it is, or that is not final yet and the row says it is.
    pub is_misplaced: bool,
}

/// The receipts after this one, in the order of ids, that are said to be in a block; of `among`, where that is given. What is final
/// of this chain the cursors of its registries say, also that of an earlier deployment; of another chain nobody says it any more.
///
/// # Errors
/// [`StoreError`].
pub async fn settled(
    conn: &mut PgConnection,
    chain_id: i64,
    after: ReceiptId,
    among: Option<&[DataHash]>,
    limit: i64,
) -> Result<Vec<SettledReceipt>, StoreError> {
    let hashes = hex(among.unwrap_or_default());
    let found = sqlx::query!(
        r#"SELECT receipt.id AS "id!", receipt.user_id AS "user_id!", receipt.kind AS "kind!",
                receipt.details_hash AS "details_hash!", receipt.wallet AS "wallet?",
                NOT EXISTS (
                    SELECT FROM chain_events AS event
                    WHERE event.subject_hash = receipt.details_hash
                      AND event.undone_at IS NULL
                      AND event.kind = 'CONSENT_CHANGED'
                      AND event.payload ->> 'kind' = receipt.kind
                      AND event.actor = receipt.wallet
                ) AS "is_missing!",
                NOT EXISTS (
                    SELECT FROM chain_events AS event
                    WHERE event.subject_hash = receipt.details_hash
                      AND event.undone_at IS NULL
                      AND event.kind = 'CONSENT_CHANGED'
                      AND event.payload ->> 'kind' = receipt.kind
                      AND event.actor = receipt.wallet
                      AND event.tx_hash = receipt.tx_hash
                      AND event.block_number = receipt.block_number
                      AND event.block_hash = receipt.block_hash
                      AND (
                          receipt.chain_state = 'CONFIRMED'
                          OR event.chain_id <> $5
                          OR event.block_number <= (
                              SELECT max(finalized_block) FROM chain_cursors WHERE chain_id = $5
                          )
                      )
                ) AS "is_misplaced!"
           FROM consent_receipts AS receipt
           WHERE receipt.chain_state IN ('CONFIRMED', 'FINALIZED')
             AND receipt.id > $1
             AND ($2::boolean OR receipt.details_hash = ANY($3))
           ORDER BY receipt.id
           LIMIT $4"#,
        after.0,
        among.is_none(),
        &hashes,
        limit,
        chain_id,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(SettledReceipt {
                id: ReceiptId(row.id),
                patient: UserId(row.user_id),
                kind: rows::text(&row.kind, "kind of a receipt")?,
                details_hash: rows::hash(&row.details_hash)?,
                wallet: row.wallet,
                is_missing: row.is_missing,
                is_misplaced: row.is_misplaced,
            })
        })
        .collect()
}

/// The live events about these hashes, in the order of the chain. One whose payload was tampered with says nothing of them; that it
/// was, its head tells. Served by `idx_chain_events_subject`.
///
/// # Errors
/// [`StoreError`].
pub async fn events_about(
    conn: &mut PgConnection,
    registry: &Registry,
    hashes: &[DataHash],
) -> Result<Vec<ConsentEvent>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT actor, subject_hash AS "subject_hash!", payload ->> 'kind' AS "kind!",
                (payload ->> 'expiresAt')::bigint AS "registry_end!", tx_hash, block_number, block_hash
           FROM chain_events
           WHERE subject_hash = ANY($3)
             AND undone_at IS NULL
             AND kind = 'CONSENT_CHANGED'
             AND payload ->> 'kind' IN ('GRANT', 'WITHDRAWAL')
             AND payload ->> 'expiresAt' ~ '^[0-9]{1,13}$'
             AND chain_id = $1
             AND registry = $2
           ORDER BY sequence"#,
        registry.chain_id,
        registry.address,
        &hex(hashes),
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(ConsentEvent {
                wallet: row.actor,
                details_hash: rows::hash(&row.subject_hash)?,
                kind: rows::text(&row.kind, "kind of a consent's event")?,
                registry_end: row.registry_end,
                tx_hash: row.tx_hash,
                block_number: row.block_number,
                block_hash: row.block_hash,
            })
        })
        .collect()
}
