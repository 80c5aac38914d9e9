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

/// Whether a file is there. It is stored whole or not at all. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn is_there(conn: &mut PgConnection, file: FilePlace) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM attachment_chunks WHERE record_id = $1 AND place = $2 AND number = 0
           ) AS "found!""#,
        file.record.0,
        file.place,
    )
    .fetch_one(conn)
    .await?;
    Ok(found)
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

/// Stores a chunk. False where there is one: the file was stored meanwhile.
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
