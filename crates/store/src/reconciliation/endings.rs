//! Who ended a record on the chain, and who paused the registry: what the sweep holds against our own doing.

use domain::records::DataHash;
use sqlx::PgConnection;

use crate::{StoreError, cursor::Registry, rows};

/// How a record was last ended, by live events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingFacts {
    /// The record's hash.
    pub hash: DataHash,
    /// SUPERSEDED, REVOKED or ERASED.
    pub status: String,
    /// The account that did it.
    pub by: String,
    /// Why, where it was closed: a code of the operator's list.
    pub reason: Option<i32>,
    /// What took its place, where it was superseded.
    pub successor: Option<String>,
    /// The transaction.
    pub tx_hash: String,
    /// Its block.
    pub block_number: i64,
    /// Whether it was our own doing: a version of ours took its place, or we closed it, or a steward did where we
    /// wanted it closed, for the same reason; and where our row says that it is.
    pub is_ours: bool,
}

/// The endings of these hashes that no annulment took back; `registrars` are the accounts that anchor for us. Served by `idx_chain_events_subject`,
/// `idx_chain_events_predecessor` and `idx_chain_events_successor`.
///
/// # Errors
/// [`StoreError`].
pub async fn endings(
    conn: &mut PgConnection,
    registry: &Registry,
    hashes: &[DataHash],
    registrars: &[String],
) -> Result<Vec<EndingFacts>, StoreError> {
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    let found = sqlx::query_file!(
        "src/reconciliation/endings.sql",
        registry.chain_id,
        registry.address,
        &hashes,
        registrars,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        // An annulment closes nothing: it has no status.
        .filter_map(|row| {
            let status = row.status?;
            Some(rows::hash(&row.hash).map(|hash| EndingFacts {
                hash,
                status,
                by: row.actor,
                reason: row.reason,
                successor: row.successor,
                tx_hash: row.tx_hash,
                block_number: row.block_number,
                is_ours: row.is_ours,
            }))
        })
        .collect()
}

/// Who paused the registry, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseFacts {
    /// The account.
    pub by: String,
    /// The transaction.
    pub tx_hash: String,
    /// Its block.
    pub block_number: i64,
}

/// The pause that lasts, by the last live event about it. Served by `idx_chain_events_pause`.
///
/// # Errors
/// [`StoreError`].
pub async fn pause(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Option<PauseFacts>, StoreError> {
    let last = sqlx::query!(
        r#"SELECT actor, tx_hash, block_number, COALESCE(payload ->> 'paused' = 'true', FALSE) AS "paused!"
         FROM chain_events
         WHERE chain_id = $1
           AND registry = $2
           AND undone_at IS NULL
           AND kind = 'PAUSED_SET'
         ORDER BY sequence DESC
         LIMIT 1"#,
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(conn)
    .await?;
    Ok(last.filter(|last| last.paused).map(|last| PauseFacts {
        by: last.actor,
        tx_hash: last.tx_hash,
        block_number: last.block_number,
    }))
}
