//! Anchors whose transaction came to nothing, because it was mined without effect or its nonce was used by another one, and
//! which are signed again with another nonce.

use std::time::Duration;

use domain::{
    ids::{RecordId, UserId},
    integrity::AnchorState,
    records::{DataHash, RecordType},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{OutboxKind, SignedTransaction, put_off_in};
use crate::{StoreError, Tx, feed::AnchorSubject, rows, signers::SignerAccount};

/// An anchor that is on no chain and has no transaction under way.
#[derive(Debug, Clone)]
pub struct FailedAnchor {
    /// The outbox row of the transaction that came to nothing.
    pub outbox: i64,
    /// Of which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type; `None` where a tampered text is none.
    pub record_type: Option<RecordType>,
    /// What is to be anchored.
    pub record_hash: DataHash,
    /// The account that signed it, as EIP-55 writes it.
    pub signer: String,
    /// The transaction that came to nothing.
    pub raw_transaction: Vec<u8>,
    /// The version that it supersedes, if it does.
    pub supersedes: Option<SupersededAnchor>,
}

/// The version that a failed anchor supersedes.
#[derive(Debug, Clone)]
pub struct SupersededAnchor {
    /// What was to be anchored of it.
    pub record_hash: DataHash,
    /// Where that stands; `None` where it has no row.
    pub state: Option<AnchorState>,
    /// The account that signed for it last.
    pub signer: Option<String>,
}

impl FailedAnchor {
    /// What it is of.
    pub const fn subject(&self) -> AnchorSubject {
        AnchorSubject {
            record: self.record,
            patient: self.patient,
            record_type: self.record_type,
            record_hash: Some(self.record_hash),
        }
    }
}

struct FailedColumns {
    id: i64,
    signer: String,
    record_id: Uuid,
    patient_id: Uuid,
    record_type: String,
    record_hash: String,
    raw_transaction: Vec<u8>,
    superseded: Option<String>,
    before_state: Option<String>,
    before_signer: Option<String>,
}

impl TryFrom<FailedColumns> for FailedAnchor {
    type Error = StoreError;

    fn try_from(row: FailedColumns) -> Result<Self, StoreError> {
        let state = row.before_state.as_deref();
        let state = state
            .map(|state| rows::text(state, "anchor state"))
            .transpose()?;
        let supersedes = match &row.superseded {
            Some(hash) => Some(SupersededAnchor {
                record_hash: rows::hash(hash)?,
                state,
                signer: row.before_signer,
            }),
            None => None,
        };
        Ok(Self {
            outbox: row.id,
            record: RecordId(row.record_id),
            patient: UserId(row.patient_id),
            record_type: row.record_type.parse().ok(),
            record_hash: rows::hash(&row.record_hash)?,
            signer: row.signer,
            raw_transaction: row.raw_transaction,
            supersedes,
        })
    }
}

/// What is to be signed again, earlier versions first: what this account has signed, and what none of those that are in use has.
/// One that cannot be read is logged and put off. Served by `idx_anchor_outbox_again`.
///
/// # Errors
/// [`StoreError`].
pub async fn due(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
    in_use: &[String],
    limit: i64,
) -> Result<Vec<FailedAnchor>, StoreError> {
    let found = sqlx::query_as!(
        FailedColumns,
        r#"SELECT
            outbox.id AS "id!",
            outbox.signer AS "signer!",
            anchor.record_id AS "record_id!",
            anchor.patient_id AS "patient_id!",
            anchor.record_type AS "record_type!",
            anchor.record_hash AS "record_hash!",
            newest.raw_transaction AS "raw_transaction!",
            CASE WHEN anchor.supersedes THEN anchor.predecessor_hash END AS "superseded?",
            earlier.state AS "before_state?",
            counted.signer AS "before_signer?"
         FROM anchor_outbox AS outbox
         JOIN record_anchors AS anchor ON anchor.record_id = outbox.record_id
         JOIN LATERAL (
             SELECT raw_transaction
             FROM anchor_attempts
             WHERE outbox_id = outbox.id
             ORDER BY attempt DESC
             LIMIT 1
         ) AS newest ON TRUE
         LEFT JOIN record_anchors AS earlier
             ON earlier.record_hash = anchor.predecessor_hash AND anchor.supersedes
         LEFT JOIN anchor_outbox AS counted
             ON counted.record_id = earlier.record_id
            AND counted.kind = 'ANCHOR'
            AND NOT counted.is_replaced
         WHERE outbox.chain_id = $1
           AND outbox.kind = 'ANCHOR'
           AND outbox.state = 'FAILED'
           AND NOT outbox.is_replaced
           AND outbox.next_send_at <= CURRENT_TIMESTAMP
           AND (outbox.signer = $2 OR outbox.signer <> ALL($3))
           AND anchor.state = 'FAILED'
         ORDER BY anchor.created_at, anchor.record_id
         LIMIT $4"#,
        signer.chain_id,
        signer.address,
        in_use,
        limit,
    )
    .fetch_all(&mut *conn)
    .await?;
    let read = found.into_iter().map(|row| {
        let (outbox, record) = (row.id, row.record_id);
        (outbox, record, FailedAnchor::try_from(row))
    });
    let (due, unreadable) = rows::readable_and_not(read, "anchor");
    if !unreadable.is_empty() {
        put_off(conn, &unreadable, rows::UNREADABLE_AGAIN_IN).await?;
    }
    Ok(due)
}

/// Puts off what cannot be signed again now.
///
/// # Errors
/// [`StoreError`].
pub async fn put_off(
    conn: &mut PgConnection,
    outbox: &[i64],
    again_in: Duration,
) -> Result<(), StoreError> {
    put_off_in(conn, &["FAILED"], outbox, again_in).await
}

/// Locks those of these outbox rows, and their anchors, that still are to be signed again. Gives their records.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(tx: &mut Tx<'_>, outbox: &[i64]) -> Result<Vec<RecordId>, StoreError> {
    let failed = sqlx::query_scalar!(
        r#"SELECT record_id AS "record_id!"
         FROM anchor_outbox
         WHERE id = ANY($1)
           AND kind = 'ANCHOR'
           AND state = 'FAILED'
           AND NOT is_replaced
         ORDER BY id
         FOR UPDATE"#,
        outbox,
    )
    .fetch_all(&mut **tx)
    .await?;
    let locked = sqlx::query_scalar!(
        "SELECT record_id
         FROM record_anchors
         WHERE record_id = ANY($1)
           AND state = 'FAILED'
         ORDER BY record_id
         FOR UPDATE",
        &failed,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(locked.into_iter().map(RecordId).collect())
}

/// A transaction in the place of one that came to nothing.
#[derive(Debug)]
pub struct SignedAgain {
    /// The outbox row of that one.
    pub replaces: i64,
    /// Whether it names the version before as superseded.
    pub supersedes: bool,
    /// The transaction.
    pub transaction: SignedTransaction,
}

/// Puts transactions into the outbox in the place of locked rows, which are kept, and moves the locked signer past them.
///
/// # Errors
/// [`StoreError`].
pub async fn submit(
    tx: &mut Tx<'_>,
    signer: SignerAccount<'_>,
    transactions: &[SignedAgain],
) -> Result<(), StoreError> {
    let replaced: Vec<i64> = transactions.iter().map(|it| it.replaces).collect();
    sqlx::query!(
        "UPDATE anchor_outbox SET state = 'REPLACED', is_replaced = TRUE WHERE id = ANY($1)",
        &replaced,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE anchor_attempts
         SET state = 'REPLACED'
         WHERE outbox_id = ANY($1)
           AND state = 'CURRENT'",
        &replaced,
    )
    .execute(&mut **tx)
    .await?;
    let records: Vec<Uuid> = transactions.iter().map(|it| it.transaction.of.0).collect();
    let superseding: Vec<bool> = transactions.iter().map(|it| it.supersedes).collect();
    sqlx::query!(
        "UPDATE record_anchors AS anchor
         SET state = 'PENDING',
             supersedes = e.supersedes
         FROM UNNEST($1::uuid[], $2::boolean[]) AS e(record_id, supersedes)
         WHERE anchor.record_id = e.record_id",
        &records,
        &superseding,
    )
    .execute(&mut **tx)
    .await?;
    let transactions = transactions.iter().map(|it| &it.transaction);
    super::insert(tx, signer, OutboxKind::Anchor, transactions).await
}

/// Queues again what was given up of an account with a nonce from `unused` on and before `until`: the chain says that these
/// nonces are free, and while one of them is, nothing after it is ever mined. At most 256 at once; gives how many. Served by
/// `anchor_outbox_chain_id_signer_nonce_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn queue_unused(
    conn: &mut PgConnection,
    signer: SignerAccount<'_>,
    unused: i64,
    until: i64,
) -> Result<u64, StoreError> {
    let queued = sqlx::query!(
        "WITH unused AS (
             SELECT id
             FROM anchor_outbox
             WHERE chain_id = $1
               AND signer = $2
               AND nonce >= $3
               AND nonce < $4
               AND state IN ('FAILED', 'REPLACED')
             ORDER BY id
             LIMIT 256
             FOR UPDATE
         )
         UPDATE anchor_outbox AS outbox
         SET state = 'QUEUED',
             next_send_at = CURRENT_TIMESTAMP
         FROM unused
         WHERE outbox.id = unused.id",
        signer.chain_id,
        signer.address,
        unused,
        until,
    )
    .execute(conn)
    .await?;
    Ok(queued.rows_affected())
}

/// Of which record an anchor is, as its row says; `None` where there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn subject(
    conn: &mut PgConnection,
    record: RecordId,
) -> Result<Option<AnchorSubject>, StoreError> {
    let found = sqlx::query!(
        "SELECT record_id, patient_id, record_type, record_hash
         FROM record_anchors
         WHERE record_id = $1",
        record.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| {
        let (record_type, record_hash) = (&row.record_type, &row.record_hash);
        AnchorSubject::read(row.record_id, row.patient_id, record_type, record_hash)
    }))
}

/// The anchors of which an open finding says that they are stuck, and which are in a block: at most 100. Served by
/// `idx_integrity_findings_stuck`.
///
/// # Errors
/// [`StoreError`].
pub async fn no_longer_stuck(conn: &mut PgConnection) -> Result<Vec<AnchorSubject>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT anchor.record_id, anchor.patient_id, anchor.record_type, anchor.record_hash
         FROM integrity_findings AS finding
         JOIN record_anchors AS anchor ON anchor.record_id = finding.record_id
         WHERE finding.kind = 'ANCHOR_STUCK'
           AND finding.resolved_at IS NULL
           AND anchor.state IN ('CONFIRMED', 'FINALIZED')
         ORDER BY anchor.record_id
         LIMIT 100"#,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| {
            AnchorSubject::read(
                row.record_id,
                row.patient_id,
                &row.record_type,
                &row.record_hash,
            )
        })
        .collect())
}

/// Accounts of ours that are not in use, with transactions that are due: those of an earlier key, or of one that was taken out.
/// Served by `idx_anchor_outbox_waiting`.
///
/// # Errors
/// [`StoreError`].
pub async fn other_accounts(
    conn: &mut PgConnection,
    chain_id: i64,
    in_use: &[String],
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT address
         FROM signers AS other
         WHERE chain_id = $1
           AND address <> ALL($2)
           AND EXISTS (
               SELECT FROM anchor_outbox AS outbox
               WHERE outbox.chain_id = $1
                 AND outbox.signer = other.address
                 AND outbox.state IN ('QUEUED', 'SENT')
                 AND outbox.next_send_at <= CURRENT_TIMESTAMP
           )
         ORDER BY address
         LIMIT 16",
        chain_id,
        in_use,
    )
    .fetch_all(conn)
    .await?)
}

/// Whether an open finding says of a record that its anchor is stuck. Served by `idx_integrity_findings_stuck`.
///
/// # Errors
/// [`StoreError`].
pub async fn is_stuck(conn: &mut PgConnection, record: RecordId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM integrity_findings
             WHERE record_id = $1
               AND kind = 'ANCHOR_STUCK'
               AND resolved_at IS NULL
         ) AS "is_stuck!""#,
        record.0,
    )
    .fetch_one(conn)
    .await?)
}
