//! The durable log of integrity events that subscribers follow.
//!
//! Writers hold one advisory lock from their insert to their commit, so positions are in commit
//! order: a reader that remembers the last position it saw misses nothing, ever. A writer takes the
//! lock last, after all its row locks, so it cannot be part of a deadlock.

mod doctors;
mod entry;

use chrono::{DateTime, Utc};
use domain::{
    ids::{FindingId, RecordId, UserId},
    integrity::FindingKind,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::{
    doctors::{DoctorsConcerned, doctors_concerned},
    entry::{AnchorSubject, FeedEntry, OnChainLocation},
};
use crate::{StoreError, Tx, rows};

/// The channel on which writers say that there is something new.
pub const CHANNEL: &str = "integrity_feed";

/// "feed" and a 1, in ASCII.
const LOCK: i64 = 0x6665_6564_0001;

/// Appends entries in the order given, and wakes the readers when the transaction commits.
///
/// One statement: all other writers wait for every message that is sent under the lock. Whatever the plan, a row gets its position
/// after the lock is taken, because it is given to what was joined with the lock (`docs/decisions/0005-feed-positions.md`).
///
/// # Errors
/// [`StoreError`].
pub async fn append(tx: &mut Tx<'_>, entries: &[FeedEntry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let text =
        |cell: fn(&FeedEntry) -> Option<String>| entries.iter().map(cell).collect::<Vec<_>>();
    let number = |cell: fn(&FeedEntry) -> Option<i64>| entries.iter().map(cell).collect::<Vec<_>>();
    let id = |cell: fn(&FeedEntry) -> Option<Uuid>| entries.iter().map(cell).collect::<Vec<_>>();
    sqlx::query!(
        "WITH held AS MATERIALIZED (
             SELECT pg_advisory_xact_lock($13 # schema_key())::text AS locked
         ), entered AS (
             INSERT INTO integrity_feed (
                 kind, record_id, patient_id, record_type, record_hash, tx_hash, block_number,
                 block_hash, log_index, sequence, state, finding_id
             )
             SELECT kind, record_id, patient_id, record_type, record_hash, tx_hash, block_number,
                    block_hash, log_index, sequence, state, finding_id
             FROM held
             CROSS JOIN UNNEST(
                 $1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                 $8::text[], $9::bigint[], $10::bigint[], $11::text[], $12::uuid[]
             ) WITH ORDINALITY AS e(
                 kind, record_id, patient_id, record_type, record_hash, tx_hash, block_number,
                 block_hash, log_index, sequence, state, finding_id, nth
             )
             ORDER BY nth
         )
         SELECT pg_notify(notice_channel($14), '')",
        &text(|e| Some(e.kind.to_string())) as &[Option<String>],
        &id(|e| e.record.map(|r| r.0)) as &[Option<Uuid>],
        &id(|e| e.patient.map(|p| p.0)) as &[Option<Uuid>],
        &text(|e| e.record_type.map(|t| t.to_string())) as &[Option<String>],
        &text(|e| e.record_hash.map(|h| h.to_string())) as &[Option<String>],
        &text(|e| e.tx_hash.clone()) as &[Option<String>],
        &number(|e| e.block_number) as &[Option<i64>],
        &text(|e| e.block_hash.clone()) as &[Option<String>],
        &number(|e| e.log_index) as &[Option<i64>],
        &number(|e| e.sequence) as &[Option<i64>],
        &text(|e| e.state.map(|s| s.to_string())) as &[Option<String>],
        &id(|e| e.finding.map(|f| f.0)) as &[Option<Uuid>],
        LOCK,
        CHANNEL,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Says to the readers, when the transaction commits, that this account has another role: whoever follows the log under it may
/// have to hear of other entries.
///
/// # Errors
/// [`StoreError`].
pub async fn tell_of_role(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        "SELECT pg_notify(notice_channel($1), $2)",
        CHANNEL,
        user.0.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An entry with its position, and what is known of the finding it speaks of.
#[derive(Debug, Clone)]
pub struct FeedRow {
    /// Where it stands in the log.
    pub position: i64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// What it says.
    pub entry: FeedEntry,
    /// The finding, if it speaks of one.
    pub finding: Option<FeedFinding>,
    /// The version of a record, if it speaks of one that is there.
    pub version: Option<FeedVersion>,
}

/// A version of a record as an entry speaks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedVersion {
    /// The version that it superseded; `None` of a record's first.
    pub predecessor: Option<RecordId>,
    /// Whether it withdraws the record.
    pub is_withdrawal: bool,
    /// Whether the entry is the first that there is of it: then it was written with the version.
    pub is_new: bool,
}

/// A finding as a subscriber is told of it.
#[derive(Debug, Clone)]
pub struct FeedFinding {
    /// Which.
    pub id: FindingId,
    /// What is wrong.
    pub kind: FindingKind,
    /// Since when.
    pub opened_at: DateTime<Utc>,
    /// Until when.
    pub resolved_at: Option<DateTime<Utc>>,
    /// The evidence: hashes and states, no health data.
    pub details: Value,
}

/// The last position there is; 0 for an empty log.
///
/// # Errors
/// [`StoreError`].
pub async fn last_position(conn: &mut PgConnection) -> Result<i64, StoreError> {
    let last = sqlx::query_scalar!("SELECT max(position) FROM integrity_feed")
        .fetch_one(conn)
        .await?;
    Ok(last.unwrap_or(0))
}

/// Whether the entry at this position was written at this time. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn holds(
    conn: &mut PgConnection,
    position: i64,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let holds = sqlx::query_scalar!(
        r#"SELECT EXISTS(
             SELECT FROM integrity_feed WHERE position = $1 AND at = $2
         ) AS "holds!""#,
        position,
        at,
    )
    .fetch_one(conn)
    .await?;
    Ok(holds)
}

/// Which entries of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All.
    Whole,
    /// Those of this patient's records.
    OfPatient(UserId),
    /// Those of the records of patients who may let this doctor in, and of the doctor's own.
    OfDoctor(UserId),
    /// Those of this record.
    OfRecord(RecordId),
}

struct FeedColumns {
    position: i64,
    kind: String,
    at: DateTime<Utc>,
    record_id: Option<Uuid>,
    patient_id: Option<Uuid>,
    record_type: Option<String>,
    record_hash: Option<String>,
    tx_hash: Option<String>,
    block_number: Option<i64>,
    block_hash: Option<String>,
    log_index: Option<i64>,
    sequence: Option<i64>,
    state: Option<String>,
    finding_id: Option<Uuid>,
    finding_kind: Option<String>,
    opened_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
    /// As text: not every number that JSONB holds can be read.
    details: Option<String>,
    predecessor_id: Option<Uuid>,
    withdrawn: Option<bool>,
    is_first: bool,
}

impl TryFrom<FeedColumns> for FeedRow {
    type Error = StoreError;

    fn try_from(row: FeedColumns) -> Result<Self, StoreError> {
        let unreadable = StoreError::Unreadable {
            what: "details of a finding",
        };
        let finding = match (row.finding_id, row.finding_kind, row.opened_at) {
            (Some(id), Some(kind), Some(opened_at)) => Some(FeedFinding {
                id: FindingId(id),
                kind: rows::text(&kind, "finding kind")?,
                opened_at,
                resolved_at: row.resolved_at,
                details: match row.details {
                    Some(details) => serde_json::from_str(&details).map_err(|_| unreadable)?,
                    None => Value::Null,
                },
            }),
            _ => None,
        };
        let version = row.withdrawn.map(|is_withdrawal| FeedVersion {
            predecessor: row.predecessor_id.map(RecordId),
            is_withdrawal,
            is_new: row.is_first,
        });
        let entry = FeedEntry {
            kind: rows::text(&row.kind, "event kind")?,
            record: row.record_id.map(RecordId),
            patient: row.patient_id.map(UserId),
            record_type: row
                .record_type
                .map(|t| rows::text(&t, "record type"))
                .transpose()?,
            record_hash: row.record_hash.map(|h| rows::hash(&h)).transpose()?,
            tx_hash: row.tx_hash,
            block_number: row.block_number,
            block_hash: row.block_hash,
            log_index: row.log_index,
            sequence: row.sequence,
            state: row
                .state
                .map(|s| rows::text(&s, "anchor state"))
                .transpose()?,
            finding: row.finding_id.map(FindingId),
        };
        Ok(Self {
            position: row.position,
            at: row.at,
            entry,
            finding,
            version,
        })
    }
}

macro_rules! after {
    ($conn:expr, $of:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            FeedColumns,
            r#"SELECT
                feed.position, feed.kind, feed.at, feed.record_id, feed.patient_id, feed.record_type,
                feed.record_hash, feed.tx_hash, feed.block_number, feed.block_hash, feed.log_index,
                feed.sequence, feed.state, feed.finding_id,
                finding.kind AS "finding_kind?",
                finding.opened_at AS "opened_at?",
                finding.resolved_at AS "resolved_at?",
                finding.details::text AS "details?",
                record.predecessor_id AS "predecessor_id?",
                record.withdrawn AS "withdrawn?",
                (feed.kind = 'ANCHOR_PENDING' AND NOT EXISTS (
                     SELECT FROM integrity_feed AS earlier
                     WHERE earlier.record_id = feed.record_id AND earlier.position < feed.position
                 )) AS "is_first!"
             FROM integrity_feed AS feed
             LEFT JOIN integrity_findings AS finding ON finding.id = feed.finding_id
             LEFT JOIN medical_records AS record ON record.id = feed.record_id
             WHERE feed.position > $1 "# + $of + "
             ORDER BY feed.position
             LIMIT $2",
            $($argument),+
        )
        .fetch_all($conn)
        .await?
    };
}

/// What was read of the log.
#[derive(Debug)]
pub struct FeedPage {
    /// Its entries, without those that cannot be read.
    pub rows: Vec<FeedRow>,
    /// The last position that was read; `None` where there is nothing more.
    pub last: Option<i64>,
    /// Whether it ends where the log ends: there were fewer than were asked for.
    pub is_end: bool,
}

/// Entries of this part after `position`, oldest first. One that cannot be read is logged and passed over: whoever
/// wrote it must not stop everybody's events. Served by the primary key,
/// `idx_integrity_feed_patient_id` and `idx_integrity_feed_record_id`; the patients of a doctor by
/// `idx_data_processing_consents_third_parties` and `idx_memberships_user_id`, the versions by the primary key of
/// `medical_records`.
///
/// # Errors
/// [`StoreError`].
pub async fn after(
    conn: &mut PgConnection,
    position: i64,
    limit: i64,
    part: Part,
) -> Result<FeedPage, StoreError> {
    let found = match part {
        Part::Whole => after!(conn, "", position, limit),
        Part::OfPatient(patient) => {
            after!(conn, "AND feed.patient_id = $3", position, limit, patient.0)
        }
        Part::OfDoctor(doctor) => {
            after!(
                conn,
                "AND feed.patient_id IN (
                 SELECT $3::uuid
                 UNION ALL
                 SELECT consent.user_id
                 FROM data_processing_consents AS consent
                 WHERE consent.consent_withdrawn_at IS NULL
                   AND consent.third_parties @> ANY(ARRAY(
                       SELECT jsonb_build_array(jsonb_build_object('kind', 'user', 'id', $3::uuid))
                       UNION ALL
                       SELECT jsonb_build_array(jsonb_build_object('kind', 'role'))
                       UNION ALL
                       SELECT jsonb_build_array(
                           jsonb_build_object('kind', 'org', 'id', membership.organization_id)
                       )
                       FROM memberships AS membership
                       WHERE membership.user_id = $3
                         AND membership.ended_at IS NULL
                   ))
             )",
                position,
                limit,
                doctor.0,
            )
        }
        Part::OfRecord(record) => {
            after!(conn, "AND feed.record_id = $3", position, limit, record.0)
        }
    };
    let last = found.last().map(|row| row.position);
    let is_end = i64::try_from(found.len()).is_ok_and(|read| read < limit);
    let read = |row: FeedColumns| {
        let position = row.position;
        FeedRow::try_from(row)
            .inspect_err(|error| {
                tracing::error!(position, %error, "The feed's entry {position} cannot be read; it is passed over");
            })
            .ok()
    };
    let rows = found.into_iter().filter_map(read).collect();
    Ok(FeedPage { rows, last, is_end })
}
