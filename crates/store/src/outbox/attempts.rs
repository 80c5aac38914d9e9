//! The transactions that were signed for one nonce: the newest is handed over, and any of them may be mined.

use sqlx::PgConnection;

use crate::{StoreError, Tx, signers::SignerAccount};

/// A transaction that offers more than another one with its nonce.
#[derive(Debug)]
pub struct RaisedTransaction {
    /// The outbox row.
    pub outbox: i64,
    /// The transaction that it takes the place of.
    pub replaces: String,
    /// Its hash, `0x` and 64 digits.
    pub tx_hash: String,
    /// The transaction.
    pub raw_transaction: Vec<u8>,
    /// The most it pays. Unit: wei per gas.
    pub max_fee_per_gas: u128,
}

/// Keeps a transaction that offers more, before anybody sends it. False where the row waits no more, or another process has
/// raised it.
///
/// # Errors
/// [`StoreError`].
pub async fn raise(tx: &mut Tx<'_>, raised: &RaisedTransaction) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "WITH waiting AS (
             SELECT id
             FROM anchor_outbox
             WHERE id = $1
               AND state IN ('QUEUED', 'SENT')
             FOR UPDATE
         ), replaced AS (
             UPDATE anchor_attempts AS attempt
             SET state = 'REPLACED'
             FROM waiting
             WHERE attempt.outbox_id = waiting.id
               AND attempt.tx_hash = $2
             RETURNING attempt.outbox_id, attempt.attempt
         )
         INSERT INTO anchor_attempts (tx_hash, outbox_id, attempt, raw_transaction, max_fee_per_gas)
         SELECT $3, replaced.outbox_id, replaced.attempt + 1, $4, $5::text::numeric
         FROM replaced
         ON CONFLICT DO NOTHING",
        raised.outbox,
        raised.replaces,
        raised.tx_hash,
        raised.raw_transaction,
        raised.max_fee_per_gas.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The hashes of all transactions that were signed for a row, the newest first: at most 400, which are more than
/// there are between one wei and the most that may be offered. Served by
/// `anchor_attempts_outbox_id_attempt_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn hashes(conn: &mut PgConnection, outbox: i64) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT tx_hash FROM anchor_attempts WHERE outbox_id = $1 ORDER BY attempt DESC LIMIT 400",
        outbox,
    )
    .fetch_all(conn)
    .await?)
}

/// A transaction that is in no block.
#[derive(Debug, Clone)]
pub struct WaitingTransaction {
    /// The signer's nonce.
    pub nonce: i64,
    /// What it does: `ANCHOR`, `CLOSE` or `CONSENT`.
    pub kind: String,
    /// `QUEUED`, or `SENT` where a node took it.
    pub state: String,
    /// The newest transaction of this nonce.
    pub tx_hash: String,
    /// How many were signed for it.
    pub attempts: i32,
    /// The most the newest one pays. Unit: wei per gas.
    pub max_fee_per_gas: String,
    /// How long it has waited. Unit: seconds.
    pub seconds: f64,
}

/// What of an account is in no block, in the order of nonces. Served by `idx_anchor_outbox_waiting`.
///
/// # Errors
/// [`StoreError`].
pub async fn waiting(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
    limit: i64,
) -> Result<Vec<WaitingTransaction>, StoreError> {
    Ok(sqlx::query_as!(
        WaitingTransaction,
        r#"SELECT
            outbox.nonce,
            outbox.kind,
            outbox.state,
            newest.tx_hash AS "tx_hash!",
            newest.attempt AS "attempts!",
            newest.max_fee_per_gas::text AS "max_fee_per_gas!",
            EXTRACT(EPOCH FROM clock_timestamp() - outbox.created_at)::double precision AS "seconds!"
         FROM anchor_outbox AS outbox
         JOIN LATERAL (
             SELECT tx_hash, attempt, max_fee_per_gas
             FROM anchor_attempts
             WHERE outbox_id = outbox.id
             ORDER BY attempt DESC
             LIMIT 1
         ) AS newest ON TRUE
         WHERE outbox.chain_id = $1
           AND outbox.signer = $2
           AND outbox.state IN ('QUEUED', 'SENT')
         ORDER BY outbox.nonce
         LIMIT $3"#,
        signer.chain_id,
        signer.address,
        limit,
    )
    .fetch_all(conn)
    .await?)
}
