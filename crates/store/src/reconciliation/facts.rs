//! What the sweep looks at: records, hashes and open findings, with all that is known of them.

use domain::{
    ids::{RecordId, UserId},
    integrity::{AnchorState, FindingKind},
    records::{DataHash, RecordType},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, cursor::Registry, rows};

/// The next records after `after`, by id: what the sweep looks at next.
///
/// # Errors
/// [`StoreError`].
pub async fn records_after(
    conn: &mut PgConnection,
    after: RecordId,
    limit: i64,
) -> Result<Vec<RecordId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM medical_records WHERE id > $1 ORDER BY id LIMIT $2",
        after.0,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(RecordId).collect())
}

/// What is known of one record. Texts are as they stand in the row: a tampered one may be anything.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is what another row says"
)]
#[derive(Debug, Clone)]
pub struct RecordFacts {
    /// Which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type.
    pub record_type: RecordType,
    /// `medical_records.data_hash`.
    pub data_hash: String,
    /// `medical_records.blockchain_record_id`.
    pub blockchain_record_id: String,
    /// `medical_records.version`.
    pub version: i32,
    /// The version before, as `medical_records.predecessor_id` says.
    pub predecessor: Option<PredecessorFacts>,
    /// Whether `medical_records.superseded_at` says that there is a later one.
    pub is_superseded: bool,
    /// Whether there is, or was by what was signed for it.
    pub has_successor: bool,
    /// Its anchor.
    pub anchor: Option<AnchorFacts>,
    /// The live event of the hash that was to be anchored.
    pub event: Option<EventFacts>,
    /// The live event by which that hash got its slot out of a batch instead.
    pub extraction: Option<ExtractionFacts>,
    /// Whether it counts as closed on the chain, as we wanted.
    pub is_closed: bool,
    /// Whether a transaction that anchors it waits in the outbox.
    pub is_queued: bool,
}

/// How a hash got a slot out of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractionFacts {
    /// The account that did it.
    pub by: String,
    /// The root of the batch.
    pub batch: Option<String>,
    /// The transaction.
    pub tx_hash: String,
    /// Its block.
    pub block_number: i64,
}

/// What is known of the version before.
#[derive(Debug, Clone)]
pub struct PredecessorFacts {
    /// Its number.
    pub version: i32,
    /// What of it was to be anchored.
    pub record_hash: Option<String>,
}

/// What is known of a record's anchor.
#[derive(Debug, Clone)]
pub struct AnchorFacts {
    /// On which chain.
    pub chain_id: i64,
    /// Whose record it says that it is of.
    pub patient: UserId,
    /// Of which type it says that the record is; `None` where a tampered text is none.
    pub record_type: Option<RecordType>,
    /// What was to be anchored.
    pub record_hash: String,
    /// Where it stands.
    pub state: AnchorState,
    /// The transaction.
    pub tx_hash: String,
    /// What was to be anchored of the version before.
    pub predecessor_hash: Option<String>,
    /// Whether the transaction names that as superseded.
    pub supersedes: bool,
}

/// What is known of a live event.
#[derive(Debug, Clone)]
pub struct EventFacts {
    /// The account that anchored.
    pub actor: String,
    /// The transaction.
    pub tx_hash: String,
    /// What it names as superseded.
    pub predecessor: Option<String>,
}

/// The columns of a record, and of what speaks of it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is what another row says"
)]
struct RecordColumns {
    id: Uuid,
    patient_id: Uuid,
    record_type: String,
    data_hash: String,
    blockchain_record_id: String,
    version: i32,
    is_superseded: bool,
    has_successor: bool,
    before_version: Option<i32>,
    before_hash: Option<String>,
    anchor_chain_id: Option<i64>,
    anchor_patient_id: Option<Uuid>,
    anchor_record_type: Option<String>,
    record_hash: Option<String>,
    state: Option<String>,
    tx_hash: Option<String>,
    predecessor_hash: Option<String>,
    supersedes: Option<bool>,
    actor: Option<String>,
    event_tx_hash: Option<String>,
    event_predecessor: Option<String>,
    extracted_by: Option<String>,
    extracted_from: Option<String>,
    extracted_in: Option<String>,
    extracted_at: Option<i64>,
    is_closed: bool,
    is_queued: bool,
}

impl TryFrom<RecordColumns> for RecordFacts {
    type Error = StoreError;

    fn try_from(row: RecordColumns) -> Result<Self, StoreError> {
        let of = row.anchor_chain_id.zip(row.anchor_patient_id);
        let anchor = match (of, row.record_hash, row.state, row.tx_hash) {
            (Some((chain_id, patient)), Some(record_hash), Some(state), Some(tx_hash)) => {
                Some(AnchorFacts {
                    chain_id,
                    patient: UserId(patient),
                    record_type: row.anchor_record_type.and_then(|it| it.parse().ok()),
                    record_hash,
                    state: rows::text(&state, "anchor state")?,
                    tx_hash,
                    predecessor_hash: row.predecessor_hash,
                    supersedes: row.supersedes.unwrap_or_default(),
                })
            }
            _ => None,
        };
        let extracted = (row.extracted_by, row.extracted_in, row.extracted_at);
        Ok(Self {
            record: RecordId(row.id),
            patient: UserId(row.patient_id),
            record_type: rows::text(&row.record_type, "record type")?,
            data_hash: row.data_hash,
            blockchain_record_id: row.blockchain_record_id,
            version: row.version,
            predecessor: row.before_version.map(|version| PredecessorFacts {
                version,
                record_hash: row.before_hash,
            }),
            is_superseded: row.is_superseded,
            has_successor: row.has_successor,
            anchor,
            event: event_facts(row.actor, row.event_tx_hash, row.event_predecessor),
            extraction: extraction_facts(extracted, row.extracted_from),
            is_closed: row.is_closed,
            is_queued: row.is_queued,
        })
    }
}

/// What records, anchors, their outbox and events say about these records. Served by the primary keys,
/// `idx_chain_events_subject` and `idx_anchor_outbox_anchors`.
///
/// # Errors
/// [`StoreError`].
pub async fn record_facts(
    conn: &mut PgConnection,
    registry: &Registry,
    records: &[RecordId],
) -> Result<Vec<RecordFacts>, StoreError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let records: Vec<Uuid> = records.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        RecordColumns,
        r#"SELECT
            record.id,
            record.patient_id,
            record.record_type,
            record.data_hash,
            record.blockchain_record_id,
            record.version,
            record.superseded_at IS NOT NULL AS "is_superseded!",
            EXISTS (
                SELECT FROM medical_records AS successor WHERE successor.predecessor_id = record.id
            ) OR EXISTS (
                SELECT FROM record_anchors AS later WHERE later.predecessor_hash = record.data_hash
            ) AS "has_successor!",
            before.version AS "before_version?",
            before_anchor.record_hash AS "before_hash?",
            anchor.chain_id AS "anchor_chain_id?",
            anchor.patient_id AS "anchor_patient_id?",
            anchor.record_type AS "anchor_record_type?",
            anchor.record_hash AS "record_hash?",
            anchor.state AS "state?",
            anchor.tx_hash AS "tx_hash?",
            anchor.predecessor_hash AS "predecessor_hash?",
            anchor.supersedes AS "supersedes?",
            event.actor AS "actor?",
            event.tx_hash AS "event_tx_hash?",
            event.payload ->> 'predecessor' AS event_predecessor,
            extraction.actor AS "extracted_by?",
            extraction.payload ->> 'root' AS extracted_from,
            extraction.tx_hash AS "extracted_in?",
            extraction.block_number AS "extracted_at?",
            EXISTS (
                SELECT FROM record_closings AS closing
                WHERE closing.record_id = record.id AND closing.state = 'CONFIRMED'
            ) AS "is_closed!",
            EXISTS (
                SELECT FROM anchor_outbox AS outbox
                WHERE outbox.record_id = record.id
                  AND outbox.kind = 'ANCHOR'
                  AND outbox.state IN ('QUEUED', 'SENT')
            ) AS "is_queued!"
         FROM medical_records AS record
         LEFT JOIN medical_records AS before ON before.id = record.predecessor_id
         LEFT JOIN record_anchors AS before_anchor ON before_anchor.record_id = before.id
         LEFT JOIN record_anchors AS anchor ON anchor.record_id = record.id
         LEFT JOIN chain_events AS event
             ON event.subject_hash = anchor.record_hash
            AND event.undone_at IS NULL
            AND event.kind = 'RECORD_ANCHORED'
            AND event.chain_id = $1
            AND event.registry = $2
         LEFT JOIN chain_events AS extraction
             ON extraction.subject_hash = anchor.record_hash
            AND extraction.undone_at IS NULL
            AND extraction.kind = 'RECORD_EXTRACTED'
            AND extraction.chain_id = $1
            AND extraction.registry = $2
         WHERE record.id = ANY($3)
         ORDER BY record.id"#,
        registry.chain_id,
        registry.address,
        &records,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(RecordFacts::try_from).collect()
}

fn event_facts(
    actor: Option<String>,
    tx_hash: Option<String>,
    predecessor: Option<String>,
) -> Option<EventFacts> {
    Some(EventFacts {
        actor: actor?,
        tx_hash: tx_hash?,
        predecessor,
    })
}

fn extraction_facts(
    (by, tx_hash, block_number): (Option<String>, Option<String>, Option<i64>),
    batch: Option<String>,
) -> Option<ExtractionFacts> {
    Some(ExtractionFacts {
        by: by?,
        batch,
        tx_hash: tx_hash?,
        block_number: block_number?,
    })
}

/// The next hashes that were anchored, in a batch or alone, and roots of batches, after event `after`, by the event's id: what the sweep looks at next.
///
/// # Errors
/// [`StoreError`].
pub async fn hashes_after(
    conn: &mut PgConnection,
    registry: &Registry,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, DataHash)>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT id, subject_hash AS "subject_hash!"
         FROM chain_events
         WHERE id > $3
           AND chain_id = $1
           AND registry = $2
           AND undone_at IS NULL
           AND kind IN ('RECORD_ANCHORED', 'RECORD_EXTRACTED', 'BATCH_ANCHORED')
           AND subject_hash IS NOT NULL
         ORDER BY id
         LIMIT $4"#,
        registry.chain_id,
        registry.address,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    // A tampered text is no hash; the anchor that lost its event tells of it.
    Ok(found
        .into_iter()
        .filter_map(|row| Some((row.id, rows::hash(&row.subject_hash).ok()?)))
        .collect())
}

/// What is known of a hash that is live on the chain.
#[derive(Debug, Clone)]
pub struct HashFacts {
    /// The hash.
    pub hash: DataHash,
    /// Its event.
    pub event: EventFacts,
    /// The event's block.
    pub block_number: i64,
    /// The record it was to anchor, by the anchors.
    pub anchored: Option<AnchoredRecord>,
    /// Whether some record has this hash.
    pub has_record: bool,
}

/// A record as its anchor remembers it.
#[derive(Debug, Clone)]
pub struct AnchoredRecord {
    /// Which.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type.
    pub record_type: Option<RecordType>,
    /// Whether it is still there.
    pub exists: bool,
}

/// What anchors and records say about these hashes; those without a live event are left out. Served
/// by `idx_chain_events_subject`, the anchors' unique hash and `idx_medical_records_data_hash`.
///
/// # Errors
/// [`StoreError`].
pub async fn hash_facts(
    conn: &mut PgConnection,
    registry: &Registry,
    hashes: &[DataHash],
) -> Result<Vec<HashFacts>, StoreError> {
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    let found = sqlx::query!(
        r#"SELECT
            event.subject_hash AS "subject_hash!",
            event.actor,
            event.tx_hash,
            event.payload ->> 'predecessor' AS predecessor,
            event.block_number,
            anchor.record_id AS "record_id?",
            anchor.patient_id AS "patient_id?",
            anchor.record_type AS "record_type?",
            EXISTS (SELECT FROM medical_records WHERE id = anchor.record_id) AS "exists!",
            EXISTS (SELECT FROM medical_records WHERE data_hash = event.subject_hash) AS "has_record!"
         FROM chain_events AS event
         LEFT JOIN record_anchors AS anchor ON anchor.record_hash = event.subject_hash
         WHERE event.subject_hash = ANY($3)
           AND event.undone_at IS NULL
           AND event.kind IN ('RECORD_ANCHORED', 'RECORD_EXTRACTED', 'BATCH_ANCHORED')
           AND event.chain_id = $1
           AND event.registry = $2
         ORDER BY event.id"#,
        registry.chain_id,
        registry.address,
        &hashes,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            let anchored = match (row.record_id, row.patient_id, row.record_type) {
                (Some(record), Some(patient), Some(record_type)) => Some(AnchoredRecord {
                    record: RecordId(record),
                    patient: UserId(patient),
                    record_type: record_type.parse().ok(),
                    exists: row.exists,
                }),
                _ => None,
            };
            Ok(HashFacts {
                hash: rows::hash(&row.subject_hash)?,
                event: EventFacts {
                    actor: row.actor,
                    tx_hash: row.tx_hash,
                    predecessor: row.predecessor,
                },
                block_number: row.block_number,
                anchored,
                has_record: row.has_record,
            })
        })
        .collect()
}

/// A finding of the indexer that is open.
#[derive(Debug, Clone)]
pub struct OpenFinding {
    /// What is wrong.
    pub kind: FindingKind,
    /// With which record.
    pub record: Option<RecordId>,
    /// With which hash.
    pub record_hash: Option<DataHash>,
    /// Whether the feed told of it: one that it did not was written by somebody else.
    pub is_told: bool,
}

/// The open findings of the indexer of this registry, oldest first. One whose hash is none was written by somebody else and is
/// passed over: it names nothing that could be looked at again. Served by `integrity_findings_registry_key` and
/// `idx_integrity_feed_finding_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_findings(
    conn: &mut PgConnection,
    registry: &Registry,
    limit: i64,
) -> Result<Vec<OpenFinding>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT kind, record_id, record_hash,
                EXISTS (SELECT FROM told_of(finding.id, finding.record_id)) AS "is_told!"
         FROM integrity_findings AS finding
         WHERE resolved_at IS NULL
           AND (record_hash IS NULL OR record_hash ~ '^[0-9a-f]{64}$')
           AND kind IN (
               'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
               'ENDED_ON_CHAIN', 'REGISTRY_PAUSED'
           )
           AND chain_id = $1
           AND registry = $2
         ORDER BY opened_at, id
         LIMIT $3"#,
        registry.chain_id,
        registry.address,
        limit,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(OpenFinding {
                kind: rows::text(&row.kind, "finding kind")?,
                record: row.record_id.map(RecordId),
                record_hash: row.record_hash.map(|hash| rows::hash(&hash)).transpose()?,
                is_told: row.is_told,
            })
        })
        .collect()
}
