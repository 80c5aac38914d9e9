//! Versions of records: which follows which. A version is a record of its own; that it took the place
//! of another is written in both, in one transaction.

use domain::{ids::RecordId, integrity::AnchorState, records::DataHash};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, rows};

/// Ends these versions, each only if it has this number, is the current one and withdraws nothing.
/// Gives those that were ended by this: the others have changed meanwhile. Rows are locked by id.
///
/// # Errors
/// [`StoreError`].
pub async fn supersede(
    tx: &mut Tx<'_>,
    versions: &[(RecordId, i32)],
) -> Result<Vec<RecordId>, StoreError> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = versions.iter().map(|(id, _)| id.0).collect();
    let numbers: Vec<i32> = versions.iter().map(|(_, version)| *version).collect();
    let ended = sqlx::query_scalar!(
        "WITH due AS (
             SELECT record.id
             FROM medical_records AS record
             JOIN UNNEST($1::uuid[], $2::integer[]) AS e(id, version)
               ON e.id = record.id AND e.version = record.version
             WHERE record.superseded_at IS NULL
               AND NOT record.withdrawn
             ORDER BY record.id
             FOR UPDATE OF record
         )
         UPDATE medical_records AS record
         SET superseded_at = decision_time()
         FROM due
         WHERE record.id = due.id
         RETURNING record.id",
        &ids,
        &numbers,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ended.into_iter().map(RecordId).collect())
}

/// How a version is to be anchored that follows this one depends on this.
#[derive(Debug, Clone)]
pub struct AnchoredVersion {
    /// Which.
    pub record: RecordId,
    /// What was to be anchored.
    pub record_hash: DataHash,
    /// Where that stands.
    pub state: AnchorState,
    /// On which chain.
    pub chain_id: i64,
    /// The account that signed for it, as EIP-55 writes it.
    pub signer: String,
    /// Whether that account is in use: what follows is its own then, and no other one's.
    pub is_in_use: bool,
}

/// The anchors of these versions, and who signed for them.
///
/// # Errors
/// [`StoreError`].
pub async fn anchored(
    conn: &mut PgConnection,
    versions: &[RecordId],
) -> Result<Vec<AnchoredVersion>, StoreError> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = versions.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT anchor.record_id, anchor.record_hash, anchor.state, anchor.chain_id, outbox.signer,
                COALESCE(account.in_use, FALSE) AS "is_in_use!"
         FROM record_anchors AS anchor
         JOIN anchor_outbox AS outbox
             ON outbox.record_id = anchor.record_id AND outbox.kind = 'ANCHOR' AND NOT outbox.is_replaced
         LEFT JOIN signers AS account
             ON account.chain_id = outbox.chain_id AND account.address = outbox.signer
         WHERE anchor.record_id = ANY($1)"#,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(AnchoredVersion {
                record: RecordId(row.record_id),
                record_hash: rows::hash(&row.record_hash)?,
                state: rows::text(&row.state, "anchor state")?,
                chain_id: row.chain_id,
                signer: row.signer,
                is_in_use: row.is_in_use,
            })
        })
        .collect()
}

/// What took the place of a version.
#[derive(Debug, Clone, Copy)]
pub struct Successor {
    /// Of which.
    pub of: RecordId,
    /// By which.
    pub successor: RecordId,
}

/// What took the place of these versions; those that are current are left out. Served by
/// `medical_records_predecessor_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn successors(
    conn: &mut PgConnection,
    versions: &[RecordId],
) -> Result<Vec<Successor>, StoreError> {
    let ids: Vec<Uuid> = versions.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT predecessor_id AS "of!", id
         FROM medical_records
         WHERE predecessor_id = ANY($1)"#,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| Successor {
            of: RecordId(row.of),
            successor: RecordId(row.id),
        })
        .collect())
}

/// A version of a record, by whichever of its versions was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    /// What was asked for.
    pub asked: RecordId,
    /// The version.
    pub id: RecordId,
    /// Its number.
    pub number: i32,
}

/// All versions of the records that these are versions of, newest first; decides nothing. Walks from
/// row to row by the primary key and `medical_records_predecessor_key`; numbers only fall one way and
/// only rise the other, so a tampered circle ends.
///
/// # Errors
/// [`StoreError`].
pub async fn all(
    conn: &mut PgConnection,
    records: &[RecordId],
) -> Result<Vec<Version>, StoreError> {
    let ids: Vec<Uuid> = records.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"WITH RECURSIVE asked AS (
             SELECT id, predecessor_id, version FROM medical_records WHERE id = ANY($1)
         ), before AS (
             SELECT id AS asked, id, predecessor_id, version FROM asked
             UNION ALL
             SELECT before.asked, record.id, record.predecessor_id, record.version
             FROM before
             JOIN medical_records AS record
               ON record.id = before.predecessor_id AND record.version < before.version
         ), after AS (
             SELECT id AS asked, id, version FROM asked
             UNION ALL
             SELECT after.asked, record.id, record.version
             FROM after
             JOIN medical_records AS record
               ON record.predecessor_id = after.id AND record.version > after.version
         )
         SELECT asked AS "asked!", id AS "id!", version AS "version!"
         FROM (
             SELECT asked, id, version FROM before
             UNION
             SELECT asked, id, version FROM after
         ) AS every
         ORDER BY asked, version DESC, id"#,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| Version {
            asked: RecordId(row.asked),
            id: RecordId(row.id),
            number: row.version,
        })
        .collect())
}
