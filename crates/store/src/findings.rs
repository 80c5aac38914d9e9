//! What was found wrong: opened once, closed by what resolves it. What one registry says is no matter of another: its findings are
//! neither opened nor closed by those of another one about the same.

mod unclaimed;

use domain::{
    ids::{FindingId, PatientKeyId, RecordId, UserId},
    integrity::FindingKind,
    records::DataHash,
    seals::{SealedTable, Tampered},
    users::SCHEDULER,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::unclaimed::{UnclaimedFinding, claim, resolve_doubles, unclaimed};
use crate::{StoreError, Tx, cursor::Registry, rows};

/// What a finding is about.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A record, a hash, or both, whatever a registry says.
    Record(Option<RecordId>, Option<DataHash>),
    /// What a registry says of a record, of a hash, or of both; of itself, where it is neither.
    Registry(&'a Registry, Option<RecordId>, Option<DataHash>),
    /// A patient's key.
    Key(PatientKeyId),
    /// A row that decides.
    Row(SealedTable, Uuid),
    /// A row of the trail or of its tree, by its number.
    Trail(TrailTable, i64),
    /// An event of the chain, by its number in the registry's sequence, whether there is a row of it or not.
    Event(&'a Registry, EventChain, i64),
}

/// One of the two registries whose events are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventChain {
    /// The registry of records.
    Records,
    /// The registry of consents.
    Consents,
}

/// What of an event is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventCheck {
    /// What it says, and that it follows from the one before.
    Links,
    /// Where it is on the chain: such a finding names the column that says otherwise.
    Places,
}

/// The table of events, as findings name it.
const EVENTS: &str = "chain_events";

/// An event's number as the UUID of a row: zeros, 1 for the registry of consents, and the number in base 16; of a negative one, its
/// two's complement.
fn event_row(chain: EventChain, sequence: i64) -> Uuid {
    let chain: u64 = match chain {
        EventChain::Records => 0,
        EventChain::Consents => 1,
    };
    Uuid::from_u64_pair(chain, sequence.cast_unsigned())
}

/// A table of the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrailTable {
    /// The rows.
    Rows,
    /// The leaves, by place.
    Leaves,
    /// The checkpoints.
    Checkpoints,
}

impl TrailTable {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "audit_logs",
            Self::Leaves => "audit_leaves",
            Self::Checkpoints => "audit_checkpoints",
        }
    }
}

/// What each column that says what a finding is about holds.
#[derive(Default)]
struct FindingColumns {
    record_id: Option<Uuid>,
    record_hash: Option<String>,
    patient_key_id: Option<Uuid>,
    table_name: Option<&'static str>,
    row_id: Option<Uuid>,
    chain_id: Option<i64>,
    registry: Option<String>,
}

impl Subject<'_> {
    /// The id of the row that it is about, as the findings have it.
    pub fn row(self) -> Option<Uuid> {
        self.columns().row_id
    }

    fn columns(self) -> FindingColumns {
        let none = FindingColumns::default();
        match self {
            Self::Record(id, hash) => FindingColumns {
                record_id: id.map(|id| id.0),
                record_hash: hash.map(|hash| hash.to_string()),
                ..none
            },
            Self::Registry(registry, id, hash) => FindingColumns {
                record_id: id.map(|id| id.0),
                record_hash: hash.map(|hash| hash.to_string()),
                chain_id: Some(registry.chain_id),
                registry: Some(registry.address.clone()),
                ..none
            },
            Self::Key(id) => FindingColumns {
                patient_key_id: Some(id.0),
                ..none
            },
            Self::Row(table, id) => FindingColumns {
                table_name: Some(table.as_str()),
                row_id: Some(id),
                ..none
            },
            Self::Event(registry, chain, sequence) => FindingColumns {
                table_name: Some(EVENTS),
                row_id: Some(event_row(chain, sequence)),
                chain_id: Some(registry.chain_id),
                registry: Some(registry.address.clone()),
                ..none
            },
            Self::Trail(table, number) => FindingColumns {
                table_name: Some(table.as_str()),
                // The number as a UUID: zeros, and its digits in base 16; of a negative one, its two's complement.
                row_id: Some(Uuid::from_u128(number.cast_unsigned().into())),
                ..none
            },
        }
    }
}

/// A finding that is open: since now, or before.
enum Open {
    Now(FindingId),
    Before(FindingId),
}

/// Opens a finding, or finds the same one open. `None` where that was resolved in this moment.
/// Served by `integrity_findings_registry_key`.
async fn open(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    about: &FindingColumns,
    details: &Value,
) -> Result<Option<Open>, StoreError> {
    let fresh = FindingId::fresh();
    let id = sqlx::query_scalar!(
        "INSERT INTO integrity_findings
            (id, kind, record_id, record_hash, patient_key_id, table_name, row_id, chain_id, registry, details)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (kind, record_id, record_hash, patient_key_id, table_name, row_id, chain_id, registry)
             WHERE resolved_at IS NULL DO NOTHING
         RETURNING id",
        fresh.0,
        kind.as_str(),
        about.record_id,
        about.record_hash,
        about.patient_key_id,
        about.table_name,
        about.row_id,
        about.chain_id,
        about.registry,
        details,
    )
    .fetch_optional(&mut **tx)
    .await?;
    if id.is_some() || (about.registry.is_none() && is_written(tx, fresh).await?) {
        return Ok(Some(Open::Now(fresh)));
    }
    let id = sqlx::query_scalar!(
        "SELECT id
         FROM integrity_findings
         WHERE kind = $1
           AND resolved_at IS NULL
           AND record_id IS NOT DISTINCT FROM $2
           AND record_hash IS NOT DISTINCT FROM $3
           AND patient_key_id IS NOT DISTINCT FROM $4
           AND table_name IS NOT DISTINCT FROM $5
           AND row_id IS NOT DISTINCT FROM $6
           AND chain_id IS NOT DISTINCT FROM $7
           AND registry IS NOT DISTINCT FROM $8",
        kind.as_str(),
        about.record_id,
        about.record_hash,
        about.patient_key_id,
        about.table_name,
        about.row_id,
        about.chain_id,
        about.registry,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(|id| Open::Before(FindingId(id))))
}

/// Whether a finding was written. Of one without a registry the statement that wrote it says nothing: the trigger
/// `integrity_findings_without_registry` wrote it.
async fn is_written(tx: &mut Tx<'_>, id: FindingId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM integrity_findings WHERE id = $1) AS "is_written!""#,
        id.0,
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Opens a finding, and gives it where its audit row has to be written: where it is new, and where the audit
/// trail says nothing of the one that is open. That was written by somebody else, so that the real one would
/// seem to be known. Served by `idx_audit_logs_resource_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_unrecorded(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    subject: Subject<'_>,
    details: &Value,
) -> Result<Option<FindingId>, StoreError> {
    let about = subject.columns();
    let id = match open(tx, kind, &about, details).await? {
        Some(Open::Before(id)) => id,
        Some(Open::Now(id)) => return Ok(Some(id)),
        None => return Ok(None),
    };
    let is_recorded = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM audit_logs
               WHERE resource_id = $1
                 AND action_type = 'INTEGRITY_FAILURE'
                 AND new_value ->> 'findingId' = $2
           ) AS "is_recorded!""#,
        about
            .record_id
            .or(about.patient_key_id)
            .or(about.row_id)
            .or(Some(id.0)),
        id.to_string(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok((!is_recorded).then_some(id))
}

/// Opens a finding of the indexer, and gives it where it is to be told: where it is new, and where the feed never
/// told of the one that is open. That was written by somebody else, so that the real one would seem to be known.
/// The indexer may not read the audit trail: it holds findings against the feed, to which it appends in the
/// transaction of the audit row. Served by `idx_integrity_feed_finding_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_untold(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    subject: Subject<'_>,
    details: &Value,
) -> Result<Option<FindingId>, StoreError> {
    let about = subject.columns();
    let id = match open(tx, kind, &about, details).await? {
        Some(Open::Before(id)) => id,
        Some(Open::Now(id)) => return Ok(Some(id)),
        None => return Ok(None),
    };
    let is_told = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM told_of($1, $2)) AS "is_told!""#,
        id.0,
        about.record_id,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok((!is_told).then_some(id))
}

/// Resolves what is open of this kind about this subject; without a hash, of whatever hash. What another registry says stays open.
/// Gives the findings it closed.
///
/// # Errors
/// [`StoreError`].
pub async fn resolve(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    subject: Subject<'_>,
) -> Result<Vec<FindingId>, StoreError> {
    let about = subject.columns();
    let ids = sqlx::query_scalar!(
        "UPDATE integrity_findings
         SET resolved_at = CURRENT_TIMESTAMP
         WHERE resolved_at IS NULL
           AND kind = $1
           AND record_id IS NOT DISTINCT FROM $2
           AND ($3::text IS NULL OR record_hash = $3)
           AND patient_key_id IS NOT DISTINCT FROM $4
           AND table_name IS NOT DISTINCT FROM $5
           AND row_id IS NOT DISTINCT FROM $6
           AND chain_id IS NOT DISTINCT FROM $7
           AND registry IS NOT DISTINCT FROM $8
         RETURNING id",
        kind.as_str(),
        about.record_id,
        about.record_hash,
        about.patient_key_id,
        about.table_name,
        about.row_id,
        about.chain_id,
        about.registry,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(FindingId).collect())
}

/// Which of these records have an open finding of the api: about their content. Served by
/// `idx_integrity_findings_record_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_about(
    conn: &mut PgConnection,
    records: &[RecordId],
) -> Result<Vec<RecordId>, StoreError> {
    let records: Vec<Uuid> = records.iter().map(|id| id.0).collect();
    let ids = sqlx::query_scalar!(
        r#"SELECT DISTINCT record_id AS "record_id!"
           FROM integrity_findings
           WHERE record_id = ANY($1)
             AND resolved_at IS NULL
             AND kind IN ('CONTENT_MISMATCH', 'UNDECRYPTABLE')"#,
        &records,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(RecordId).collect())
}

/// Which of these rows have an open finding. Served by `integrity_findings_registry_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_about_rows(
    conn: &mut PgConnection,
    table: SealedTable,
    rows: &[Uuid],
) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT row_id AS "row_id!"
           FROM integrity_findings
           WHERE kind = 'ROW_TAMPERED'
             AND table_name = $1
             AND row_id = ANY($2)
             AND resolved_at IS NULL"#,
        table.as_str(),
        rows,
    )
    .fetch_all(conn)
    .await?)
}

/// Which open findings are about log-ins, deletion requests and holds that are over, and proposals and access codes that are closed:
/// these rows carry no seal and decide nothing any more. Whose each is, as far as it is known.
///
/// # Errors
/// [`StoreError`].
pub async fn about_ended_rows(conn: &mut PgConnection) -> Result<Vec<Tampered>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT finding.table_name AS "table_name!", finding.row_id AS "row_id!", COALESCE(
                (SELECT user_id FROM sessions WHERE sessions.id = finding.row_id),
                (SELECT user_id FROM role_proposals WHERE role_proposals.id = finding.row_id),
                (SELECT user_id FROM access_codes WHERE access_codes.id = finding.row_id),
                (SELECT user_id FROM data_deletion_requests AS asked WHERE asked.id = finding.row_id),
                (SELECT patient_id FROM legal_holds WHERE legal_holds.id = finding.row_id),
                (SELECT patient_id FROM representative_proposals AS asked WHERE asked.id = finding.row_id)
            ) AS "user_id?"
         FROM integrity_findings AS finding
         WHERE finding.kind = 'ROW_TAMPERED'
           AND finding.resolved_at IS NULL
           AND finding.table_name IN (
               'sessions', 'role_proposals', 'access_codes', 'data_deletion_requests', 'legal_holds',
               'representative_proposals'
           )
           AND NOT EXISTS (
               SELECT
               FROM sessions
               WHERE sessions.id = finding.row_id
                 AND sessions.is_valid
                 AND sessions.expires_at > CURRENT_TIMESTAMP
           )
           AND NOT EXISTS (
               SELECT
               FROM role_proposals
               WHERE role_proposals.id = finding.row_id
                 AND role_proposals.closed_at IS NULL
                 AND role_proposals.expires_at > CURRENT_TIMESTAMP
           )
           AND NOT EXISTS (
               SELECT
               FROM access_codes
               WHERE access_codes.id = finding.row_id
                 AND access_codes.closed_at IS NULL
                 AND access_codes.expires_at > CURRENT_TIMESTAMP
           )
           AND NOT EXISTS (
               SELECT
               FROM data_deletion_requests AS asked
               WHERE asked.id = finding.row_id
                 AND asked.status NOT IN ('pending', 'expired', 'rejected', 'cancelled', 'completed')
           )
           AND NOT EXISTS (
               SELECT
               FROM legal_holds
               WHERE legal_holds.id = finding.row_id
                 AND legal_holds.released_at IS NULL
           )
           AND NOT EXISTS (
               SELECT
               FROM representative_proposals AS asked
               WHERE asked.id = finding.row_id
                 AND asked.closed_at IS NULL
                 AND asked.expires_at > CURRENT_TIMESTAMP
           )
         LIMIT 1000"#,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(Tampered {
                table: rows::text(&row.table_name, "table of a finding")?,
                row: row.row_id,
                of: row.user_id.map_or(SCHEDULER, UserId),
            })
        })
        .collect()
}

/// The numbers of the events of a registry that findings of this check are open about, the lowest first: at most 1,000. Served by
/// `integrity_findings_registry_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_about_events(
    conn: &mut PgConnection,
    registry: &Registry,
    chain: EventChain,
    check: EventCheck,
) -> Result<Vec<i64>, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT row_id AS "row_id!"
           FROM integrity_findings
           WHERE kind = 'ROW_TAMPERED'
             AND table_name = 'chain_events'
             AND row_id IS NOT NULL
             AND chain_id = $1
             AND registry = $2
             AND resolved_at IS NULL
             AND (details ->> 'column' IS NOT NULL) = $3
           ORDER BY row_id
           LIMIT 1000"#,
        registry.chain_id,
        registry.address,
        check == EventCheck::Places,
    )
    .fetch_all(conn)
    .await?;
    let sequences = rows.into_iter().filter_map(|row| {
        let sequence = row.as_u64_pair().1.cast_signed();
        (event_row(chain, sequence) == row).then_some(sequence)
    });
    Ok(sequences.collect())
}

/// An open finding about the trail.
#[derive(Debug, Clone)]
pub struct OpenTrailFinding {
    /// In which table.
    pub table: TrailTable,
    /// The number of the row there.
    pub number: i64,
    /// What the finding says is wrong.
    pub reason: String,
}

/// The open findings about rows of the trail, the oldest first: at most 10,000. Served by
/// `integrity_findings_registry_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_about_trail(
    conn: &mut PgConnection,
) -> Result<Vec<OpenTrailFinding>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT table_name AS "table_name!", row_id AS "row_id!",
                COALESCE(details ->> 'reason', '') AS "reason!"
           FROM integrity_findings
           WHERE kind = 'AUDIT_TAMPERED'
             AND resolved_at IS NULL
             AND table_name IN ('audit_logs', 'audit_leaves', 'audit_checkpoints')
             AND row_id IS NOT NULL
           ORDER BY opened_at, id
           LIMIT 10000"#,
    )
    .fetch_all(conn)
    .await?;
    let found = found.into_iter().filter_map(|row| {
        let table = match row.table_name.as_str() {
            "audit_logs" => TrailTable::Rows,
            "audit_leaves" => TrailTable::Leaves,
            _ => TrailTable::Checkpoints,
        };
        let number = u64::try_from(row.row_id.as_u128()).ok()?.cast_signed();
        Some(OpenTrailFinding {
            table,
            number,
            reason: row.reason,
        })
    });
    Ok(found.collect())
}
