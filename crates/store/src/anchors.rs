//! Where each record's hash stands on its way to the chain, beginning with the transaction that stores the record.

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
    outbox::{self, DueTransaction, OutboxKind, RelayedAnchor, SignedTransaction},
    rows,
    signers::SignerAccount,
};

/// A record that is to be anchored.
#[derive(Debug)]
pub struct NewAnchor {
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
    /// The transaction that does it.
    pub transaction: SignedTransaction,
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
    let text = |cell: fn(&NewAnchor) -> String| anchors.iter().map(cell).collect::<Vec<_>>();
    let records: Vec<Uuid> = anchors.iter().map(|a| a.transaction.of.0).collect();
    let patients: Vec<Uuid> = anchors.iter().map(|a| a.patient.0).collect();
    let predecessors: Vec<Option<String>> = anchors
        .iter()
        .map(|a| a.predecessor_hash.map(|hash| hash.to_string()))
        .collect();
    let superseding: Vec<bool> = anchors.iter().map(|a| a.supersedes).collect();
    sqlx::query!(
        "INSERT INTO record_anchors (
             record_id, patient_id, record_type, record_hash, chain_id, tx_hash,
             predecessor_hash, supersedes
         )
         SELECT record_id, patient_id, record_type, record_hash, $1, tx_hash,
                predecessor_hash, supersedes
         FROM UNNEST(
             $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[]
         ) AS e(
             record_id, patient_id, record_type, record_hash, tx_hash, predecessor_hash, supersedes
         )",
        signer.chain_id,
        &records,
        &patients,
        &text(|a| a.record_type.to_string()),
        &text(|a| a.record_hash.to_string()),
        &text(|a| a.transaction.tx_hash.clone()),
        &predecessors as &[Option<String>],
        &superseding,
    )
    .execute(&mut **tx)
    .await?;
    let transactions = anchors.iter().map(|a| &a.transaction);
    outbox::insert(tx, signer, OutboxKind::Anchor, transactions).await
}

/// Gives a transaction up that was mined without effect, or whose nonce was used by another one; its anchor is signed again.
/// `None` where the indexer knows better, or another transaction has taken its place.
///
/// # Errors
/// [`StoreError`].
pub async fn fail(
    tx: &mut Tx<'_>,
    mined: &DueTransaction,
) -> Result<Option<RelayedAnchor>, StoreError> {
    if !outbox::give_up(tx, mined.outbox).await? {
        return Ok(None);
    }
    let failed = sqlx::query!(
        "UPDATE record_anchors
         SET state = 'FAILED'
         WHERE record_id = $1
           AND state IN ('PENDING', 'SUBMITTED', 'REORGED', 'FAILED')
         RETURNING record_id, patient_id, record_type, record_hash, tx_hash",
        mined.of.record(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    match &failed {
        Some(_) => outbox::rest(tx, mined.outbox).await?,
        None => outbox::is_done_by_another(tx, mined.outbox).await?,
    }
    Ok(failed.map(|row| {
        let (record_type, record_hash) = (&row.record_type, &row.record_hash);
        RelayedAnchor::read(
            row.record_id,
            row.patient_id,
            record_type,
            record_hash,
            row.tx_hash,
        )
    }))
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

/// An anchor, beside the closing of its record.
pub(crate) struct AnchorRow {
    pub(crate) record_id: Uuid,
    pub(crate) record_hash: String,
    pub(crate) state: String,
    pub(crate) tx_hash: String,
    pub(crate) registrar: Option<String>,
    pub(crate) block_number: Option<i64>,
    pub(crate) block_hash: Option<String>,
    pub(crate) log_index: Option<i64>,
    pub(crate) sequence: Option<i64>,
    pub(crate) confirmed_at: Option<DateTime<Utc>>,
    pub(crate) finalized_at: Option<DateTime<Utc>>,
    pub(crate) closing_reason: Option<i16>,
    pub(crate) closing_state: Option<String>,
    pub(crate) closing_tx_hash: Option<String>,
    pub(crate) closed_by: Option<String>,
    pub(crate) closing_block: Option<i64>,
}

impl AnchorRow {
    /// What it says; `None`, which is logged, where that cannot be read.
    pub(crate) fn read(self) -> Option<Anchor> {
        let record = self.record_id;
        let anchor = (|| {
            Ok(Anchor {
                record: RecordId(record),
                record_hash: rows::hash(&self.record_hash)?,
                state: rows::text(&self.state, "anchor state")?,
                tx_hash: self.tx_hash,
                registrar: self.registrar,
                block_number: self.block_number,
                block_hash: self.block_hash,
                log_index: self.log_index,
                sequence: self.sequence,
                confirmed_at: self.confirmed_at,
                finalized_at: self.finalized_at,
                closing: None,
            })
        })();
        let closing = self.closing_reason.zip(self.closing_state);
        let closing = closing.map(|(reason, state)| {
            Ok(Closing {
                reason: closings::reason(reason)?,
                state: rows::text(&state, "closing state")?,
                tx_hash: self.closing_tx_hash,
                by: self.closed_by,
                block_number: self.closing_block,
            })
        });
        Some(Anchor {
            closing: closing.and_then(|read| rows::readable(read, "closing", record)),
            ..rows::readable(anchor, "anchor", record)?
        })
    }
}

/// The anchors of these records. One that cannot be read is logged and passed over, and so is the closing of another:
/// the rest of a list is shown all the same.
///
/// # Errors
/// [`StoreError`].
pub async fn by_records(
    conn: &mut PgConnection,
    records: &[RecordId],
) -> Result<Vec<Anchor>, StoreError> {
    let records: Vec<Uuid> = records.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        AnchorRow,
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
    Ok(found.into_iter().filter_map(AnchorRow::read).collect())
}
