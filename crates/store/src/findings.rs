//! What was found wrong: opened once, closed by what resolves it.

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

use crate::{StoreError, Tx, rows};

/// Opens a finding. `None` where the same one is open already.
///
/// # Errors
/// [`StoreError`].
pub async fn open(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    record: Option<RecordId>,
    record_hash: Option<DataHash>,
    details: &Value,
) -> Result<Option<FindingId>, StoreError> {
    let id = sqlx::query_scalar!(
        "INSERT INTO integrity_findings (id, kind, record_id, record_hash, details)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (kind, record_id, record_hash, patient_key_id, table_name, row_id)
             WHERE resolved_at IS NULL DO NOTHING
         RETURNING id",
        FindingId::fresh().0,
        kind.as_str(),
        record.map(|id| id.0),
        record_hash.map(|hash| hash.to_string()),
        details,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(FindingId))
}

/// Resolves what is open of this kind about this record or hash. Gives the findings it closed.
///
/// # Errors
/// [`StoreError`].
pub async fn resolve(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    record: Option<RecordId>,
    record_hash: Option<DataHash>,
) -> Result<Vec<FindingId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "UPDATE integrity_findings
         SET resolved_at = CURRENT_TIMESTAMP
         WHERE resolved_at IS NULL
           AND kind = $1
           AND record_id IS NOT DISTINCT FROM $2
           AND ($3::text IS NULL OR record_hash = $3)
         RETURNING id",
        kind.as_str(),
        record.map(|id| id.0),
        record_hash.map(|hash| hash.to_string()),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(FindingId).collect())
}

/// Opens a finding about a patient's key. `None` where the same one is open already.
///
/// # Errors
/// [`StoreError`].
pub async fn open_key(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    key: PatientKeyId,
    details: &Value,
) -> Result<Option<FindingId>, StoreError> {
    let id = sqlx::query_scalar!(
        "INSERT INTO integrity_findings (id, kind, patient_key_id, details)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, record_id, record_hash, patient_key_id, table_name, row_id)
             WHERE resolved_at IS NULL DO NOTHING
         RETURNING id",
        FindingId::fresh().0,
        kind.as_str(),
        key.0,
        details,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(FindingId))
}

/// Resolves what is open of this kind about this key. Gives the findings it closed.
///
/// # Errors
/// [`StoreError`].
pub async fn resolve_key(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    key: PatientKeyId,
) -> Result<Vec<FindingId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "UPDATE integrity_findings
         SET resolved_at = CURRENT_TIMESTAMP
         WHERE resolved_at IS NULL
           AND kind = $1
           AND patient_key_id = $2
         RETURNING id",
        kind.as_str(),
        key.0,
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

/// Opens a finding about a row that decides. `None` where the same one is open already.
///
/// # Errors
/// [`StoreError`].
pub async fn open_row(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    tampered: Tampered,
    details: &Value,
) -> Result<Option<FindingId>, StoreError> {
    let id = sqlx::query_scalar!(
        "INSERT INTO integrity_findings (id, kind, table_name, row_id, details)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (kind, record_id, record_hash, patient_key_id, table_name, row_id)
             WHERE resolved_at IS NULL DO NOTHING
         RETURNING id",
        FindingId::fresh().0,
        kind.as_str(),
        tampered.table.as_str(),
        tampered.row,
        details,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(FindingId))
}

/// The open finding of this kind about this record, key or row of a table, where the audit trail says nothing
/// of it: it was written by somebody else, so that the real one would seem to be known. Served by
/// `integrity_findings_open_key` and `idx_audit_logs_resource_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn unrecorded(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    about: Uuid,
    table: Option<SealedTable>,
) -> Result<Option<FindingId>, StoreError> {
    let id = sqlx::query_scalar!(
        "SELECT id
         FROM integrity_findings AS finding
         WHERE kind = $1
           AND resolved_at IS NULL
           AND record_hash IS NULL
           AND COALESCE(record_id, patient_key_id, row_id) = $2
           AND table_name IS NOT DISTINCT FROM $3
           AND NOT EXISTS (
               SELECT FROM audit_logs
               WHERE resource_id = $2
                 AND action_type = 'INTEGRITY_FAILURE'
                 AND new_value ->> 'findingId' = finding.id::text
           )
         LIMIT 1",
        kind.as_str(),
        about,
        table.map(SealedTable::as_str),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(FindingId))
}

/// Resolves what is open of this kind about this row. Gives the findings it closed.
///
/// # Errors
/// [`StoreError`].
pub async fn resolve_row(
    tx: &mut Tx<'_>,
    kind: FindingKind,
    table: SealedTable,
    row: Uuid,
) -> Result<Vec<FindingId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "UPDATE integrity_findings
         SET resolved_at = CURRENT_TIMESTAMP
         WHERE resolved_at IS NULL
           AND kind = $1
           AND table_name = $2
           AND row_id = $3
         RETURNING id",
        kind.as_str(),
        table.as_str(),
        row,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(FindingId).collect())
}

/// Which of these rows have an open finding. Served by `integrity_findings_open_key`.
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

/// Which open findings are about log-ins that are over and about proposals that are closed: these rows carry
/// no seal and decide nothing any more. Whose each is, as far as it is known.
///
/// # Errors
/// [`StoreError`].
pub async fn about_ended_rows(conn: &mut PgConnection) -> Result<Vec<Tampered>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT finding.table_name AS "table_name!", finding.row_id AS "row_id!", COALESCE(
                (SELECT user_id FROM sessions WHERE sessions.id = finding.row_id),
                (SELECT user_id FROM role_proposals WHERE role_proposals.id = finding.row_id)
            ) AS "user_id?"
         FROM integrity_findings AS finding
         WHERE finding.kind = 'ROW_TAMPERED'
           AND finding.resolved_at IS NULL
           AND finding.table_name IN ('sessions', 'role_proposals')
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
