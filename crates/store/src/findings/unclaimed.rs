//! Open findings of a registry that do not name it: what the version before opened, or somebody else wrote.

use domain::{
    ids::{FindingId, RecordId},
    integrity::FindingKind,
    records::DataHash,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{EventChain, event_row};
use crate::{StoreError, Tx, cursor::Registry, rows};

/// An open finding of a registry that does not name it.
#[derive(Debug, Clone)]
pub struct UnclaimedFinding {
    /// Which.
    pub id: FindingId,
    /// What is wrong.
    pub kind: FindingKind,
    /// With which record.
    pub record: Option<RecordId>,
    /// With which hash; `None`, too, where a tampered text is none.
    pub record_hash: Option<DataHash>,
    /// Whether the same one is open that names the registry.
    pub is_double: bool,
}

/// The open findings of these kinds that name no registry, and whose evidence names this one or none, oldest first: the version before
/// opened them, or somebody else wrote them. About events, only those of this sequence. Served by `integrity_findings_registry_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn unclaimed(
    conn: &mut PgConnection,
    registry: &Registry,
    chain: EventChain,
    kinds: &[FindingKind],
    limit: i64,
) -> Result<Vec<UnclaimedFinding>, StoreError> {
    // As UUIDs are compared: a number below 0 is behind all others.
    let (first_event, last_event) = (event_row(chain, 0), event_row(chain, -1));
    let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let found = sqlx::query!(
        r#"SELECT finding.id AS "id!", finding.kind AS "kind!", finding.record_id AS "record_id?",
                finding.record_hash AS "record_hash?", own.id IS NOT NULL AS "is_double!"
           FROM integrity_findings AS finding
           LEFT JOIN integrity_findings AS own
               ON own.resolved_at IS NULL
              AND own.chain_id = $1
              AND own.registry = $2
              AND own.kind = finding.kind
              AND COALESCE(own.record_id::text, '') = COALESCE(finding.record_id::text, '')
              AND COALESCE(own.record_hash, '') = COALESCE(finding.record_hash, '')
              AND COALESCE(own.patient_key_id::text, '') = COALESCE(finding.patient_key_id::text, '')
              AND COALESCE(own.table_name, '') = COALESCE(finding.table_name, '')
              AND COALESCE(own.row_id::text, '') = COALESCE(finding.row_id::text, '')
           WHERE finding.resolved_at IS NULL
             AND finding.chain_id IS NULL
             AND finding.registry IS NULL
             AND finding.kind = ANY($3)
             AND CASE finding.kind
                 WHEN 'ROW_TAMPERED' THEN finding.table_name = 'chain_events' AND finding.row_id BETWEEN $4 AND $5
                 ELSE finding.table_name IS NULL
             END
             AND COALESCE(finding.details ->> 'chainId' = $1::bigint::text, TRUE)
             AND COALESCE(finding.details ->> 'registry' = $2, TRUE)
           ORDER BY finding.opened_at, finding.id
           LIMIT $6"#,
        registry.chain_id,
        registry.address,
        &kinds,
        first_event,
        last_event,
        limit,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(UnclaimedFinding {
                id: FindingId(row.id),
                kind: rows::text(&row.kind, "kind of a finding")?,
                record: row.record_id.map(RecordId),
                record_hash: row.record_hash.and_then(|it| DataHash::parse(&it).ok()),
                is_double: row.is_double,
            })
        })
        .collect()
}

/// Names the registry in these open findings, of which none is open that names it already.
///
/// # Errors
/// [`StoreError`].
pub async fn claim(
    tx: &mut Tx<'_>,
    registry: &Registry,
    findings: &[FindingId],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = findings.iter().map(|id| id.0).collect();
    sqlx::query!(
        "UPDATE integrity_findings
         SET chain_id = $1,
             registry = $2
         WHERE id = ANY($3)
           AND resolved_at IS NULL
           AND registry IS NULL",
        registry.chain_id,
        registry.address,
        &ids,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Resolves these; gives those that were open and that nobody has claimed meanwhile.
///
/// # Errors
/// [`StoreError`].
pub async fn resolve_doubles(
    tx: &mut Tx<'_>,
    findings: &[FindingId],
) -> Result<Vec<FindingId>, StoreError> {
    let ids: Vec<Uuid> = findings.iter().map(|id| id.0).collect();
    let closed = sqlx::query_scalar!(
        "UPDATE integrity_findings
         SET resolved_at = CURRENT_TIMESTAMP
         WHERE id = ANY($1)
           AND resolved_at IS NULL
           AND registry IS NULL
         RETURNING id",
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(closed.into_iter().map(FindingId).collect())
}
