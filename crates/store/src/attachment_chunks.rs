//! Files beside records, in sealed chunks. Decides nothing and opens nothing: what a file is, its record's document says.

use domain::ids::RecordId;
use sqlx::PgConnection;

use crate::{StoreError, Tx};

/// One of the files of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePlace {
    /// Of which record.
    pub record: RecordId,
    /// Which of the document's attachments it is, from 1.
    pub place: i32,
}

/// Whether a chunk is missing of a file that was stored: others of it are there, or the trail says that it was stored, and the
/// record was not erased. One statement, so that an upload or an erasure that is committed meanwhile is seen whole or not at all.
/// Served by the primary keys and `idx_audit_logs_resource_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn is_missing(
    conn: &mut PgConnection,
    file: FilePlace,
    number: i32,
) -> Result<bool, StoreError> {
    let missing = sqlx::query_scalar!(
        r#"SELECT (
               EXISTS (SELECT FROM medical_records WHERE id = $1 AND erased_at IS NULL)
               AND NOT EXISTS (
                   SELECT FROM attachment_chunks WHERE record_id = $1 AND place = $2 AND number = $3
               )
               AND (
                   EXISTS (SELECT FROM attachment_chunks WHERE record_id = $1 AND place = $2)
                   OR EXISTS (
                       SELECT FROM audit_logs
                       WHERE resource_id = $1 AND resource_type = 'MEDICAL_RECORD' AND action_type = 'RECORD_AMEND'
                         AND new_value @> jsonb_build_object('attachment', $2::integer)
                   )
               )
           ) AS "missing!""#,
        file.record.0,
        file.place,
        number,
    )
    .fetch_one(conn)
    .await?;
    Ok(missing)
}

/// A chunk of a file, sealed; `None` where there is none. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn chunk(
    conn: &mut PgConnection,
    file: FilePlace,
    number: i32,
) -> Result<Option<Vec<u8>>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT sealed FROM attachment_chunks WHERE record_id = $1 AND place = $2 AND number = $3",
        file.record.0,
        file.place,
        number,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found)
}

/// Keeps a record from being erased until the transaction ends. False where it is gone already.
///
/// # Errors
/// [`StoreError`].
pub async fn hold_record(tx: &mut Tx<'_>, record: RecordId) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT id FROM medical_records WHERE id = $1 AND erased_at IS NULL FOR SHARE",
        record.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// Stores a chunk. False where there is one already.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    file: FilePlace,
    number: i32,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "INSERT INTO attachment_chunks (record_id, place, number, sealed)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        file.record.0,
        file.place,
        number,
        sealed,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
