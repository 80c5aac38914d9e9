//! Holding records, anchors and events against one another. Rows are locked as the relay locks them: outbox by id, then
//! anchors by record; `moves` puts them where the chain says they are.

mod endings;
mod facts;
mod moves;
mod places;

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
pub use self::moves::{Confirmation, ReconciledAnchor, Undone, confirm, finalize, reorg_above};
pub use self::places::{PlaceFacts, PlacedAnchor, placed_anchors};
use crate::{StoreError, Tx, closings, feed::AnchorSubject, outbox, rows};

/// An anchor, locked until the transaction ends.
#[derive(Debug, Clone)]
pub struct LockedAnchor {
    /// Which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type; `None` where a tampered text is none.
    pub record_type: Option<RecordType>,
    /// What was to be anchored.
    pub record_hash: DataHash,
    /// What the transaction names as superseded.
    pub supersedes: Option<DataHash>,
    /// Where it stands.
    pub state: AnchorState,
    /// The transaction it was last known by.
    pub tx_hash: String,
    /// Every transaction that was signed for it.
    pub tx_hashes: Vec<String>,
    /// Whether the record itself is still there.
    pub record_exists: bool,
    /// Whether the record names that transaction as well.
    pub is_named: bool,
    /// The closing of the record that is wanted, where one is.
    pub closing: Option<WantedClosing>,
}

impl LockedAnchor {
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

/// A closing that the record's end asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedClosing {
    /// Why.
    pub reason: ClosingReason,
    /// Every transaction that was signed for it.
    pub tx_hashes: Vec<String>,
}

/// The columns of a locked anchor.
struct AnchorColumns {
    record_id: Uuid,
    patient_id: Uuid,
    record_type: String,
    record_hash: String,
    supersedes: Option<String>,
    state: String,
    tx_hash: String,
    tx_hashes: Vec<String>,
    record_exists: bool,
    is_named: bool,
    closing_reason: Option<i16>,
    closing_tx_hashes: Vec<String>,
}

impl AnchorColumns {
    /// The closing that is wanted. A tampered reason is none of ours: then what closes the record is a finding.
    fn closing(&self) -> Option<WantedClosing> {
        let reason = closings::reason(self.closing_reason?);
        Some(WantedClosing {
            reason: rows::readable(reason, "closing", self.record_id)?,
            tx_hashes: self.closing_tx_hashes.clone(),
        })
    }
}

impl TryFrom<AnchorColumns> for LockedAnchor {
    type Error = StoreError;

    fn try_from(row: AnchorColumns) -> Result<Self, StoreError> {
        Ok(Self {
            record: RecordId(row.record_id),
            patient: UserId(row.patient_id),
            record_type: row.record_type.parse().ok(),
            record_hash: rows::hash(&row.record_hash)?,
            closing: row.closing(),
            // A tampered text is no hash: then none fits, and the sweep tells of it.
            supersedes: row.supersedes.and_then(|hash| DataHash::parse(&hash).ok()),
            state: rows::text(&row.state, "anchor state")?,
            tx_hash: row.tx_hash,
            tx_hashes: row.tx_hashes,
            record_exists: row.record_exists,
            is_named: row.is_named,
        })
    }
}

/// The anchors of these hashes, locked together with their outbox rows. One that cannot be read is logged and passed
/// over: whoever wrote it must not stop everybody's anchors.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_by_hash(
    tx: &mut Tx<'_>,
    chain_id: i64,
    hashes: &[DataHash],
) -> Result<Vec<LockedAnchor>, StoreError> {
    outbox::lock_by_hash(tx, chain_id, hashes).await?;
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    let found = sqlx::query_as!(
        AnchorColumns,
        r#"SELECT
            anchor.record_id,
            anchor.patient_id,
            anchor.record_type,
            anchor.record_hash,
            CASE WHEN anchor.supersedes THEN anchor.predecessor_hash END AS supersedes,
            anchor.state,
            anchor.tx_hash,
            ARRAY(
                SELECT attempt.tx_hash
                FROM anchor_outbox AS outbox
                JOIN anchor_attempts AS attempt ON attempt.outbox_id = outbox.id
                WHERE outbox.record_id = anchor.record_id
                  AND outbox.kind = 'ANCHOR'
            ) AS "tx_hashes!",
            record.id IS NOT NULL AS "record_exists!",
            record.blockchain_record_id IS NOT DISTINCT FROM anchor.tx_hash AS "is_named!",
            closing.reason AS "closing_reason?",
            ARRAY(
                SELECT attempt.tx_hash
                FROM anchor_outbox AS outbox
                JOIN anchor_attempts AS attempt ON attempt.outbox_id = outbox.id
                WHERE outbox.record_id = closing.record_id
                  AND outbox.kind = 'CLOSE'
            ) AS "closing_tx_hashes!"
         FROM record_anchors AS anchor
         LEFT JOIN medical_records AS record ON record.id = anchor.record_id
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
    let readable = found.into_iter().filter_map(|row| {
        let record = row.record_id;
        rows::readable(LockedAnchor::try_from(row), "anchor", record)
    });
    Ok(readable.collect())
}

/// Until the end of the transaction, rows are found by their keys, whatever the planner believes of how many there are: of a new
/// database it knows nothing, and a table that is read whole for each stretch of the chain takes longer the more there is in it.
///
/// # Errors
/// [`StoreError`].
pub async fn plan_by_keys(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    sqlx::query!("SELECT set_config('enable_seqscan', 'off', TRUE)")
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
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
