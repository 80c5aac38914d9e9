//! What records are found by, written anew after it was read off their documents again. Only the owner of the tables may.

use chrono::{DateTime, Utc};
use domain::ids::RecordId;
use serde_json::Value;
use sqlx::PgConnection;

use crate::{StoreError, Tx};

/// A record with what it is found by now, sealed with it.
#[derive(Debug, Clone)]
pub struct DerivedRecord {
    /// Which.
    pub id: RecordId,
    /// When its row last changed, as it was read: one that somebody changed since stays as they left it.
    pub read_at: DateTime<Utc>,
    /// What is searchable in clear.
    pub metadata: Option<Value>,
    /// When what the document says was so.
    pub effective_at: Option<DateTime<Utc>>,
    /// The document's codes in the blind index.
    pub code_tokens: Option<Vec<Vec<u8>>>,
    /// What the document lacks.
    pub missing: Option<Value>,
    /// The same document, in an envelope of this row.
    pub encrypted_data: Vec<u8>,
}

/// Whether this role may write what records are found by.
///
/// # Errors
/// [`StoreError`].
pub async fn may_rewrite(conn: &mut PgConnection) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT has_column_privilege('medical_records', 'encrypted_data', 'UPDATE') AS "may!""#
    )
    .fetch_one(conn)
    .await?)
}

/// Writes what a record is found by. False where somebody has changed its row since it was read, or holds it.
///
/// # Errors
/// [`StoreError`].
pub async fn rewrite(tx: &mut Tx<'_>, record: &DerivedRecord) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "WITH free AS (
             SELECT record.id
             FROM medical_records AS record
             WHERE record.id = $1
               AND record.updated_at = $2
               AND record.erased_at IS NULL
               AND record.restricted_at IS NULL
             FOR UPDATE SKIP LOCKED
         )
         UPDATE medical_records AS record
         SET record_metadata = $3,
             effective_at = $4,
             code_tokens = $5,
             missing_elements = $6,
             encrypted_data = $7
         FROM free
         WHERE record.id = free.id",
        record.id.0,
        record.read_at,
        record.metadata.as_ref() as Option<&Value>,
        record.effective_at,
        record.code_tokens.as_deref() as Option<&[Vec<u8>]>,
        record.missing.as_ref() as Option<&Value>,
        record.encrypted_data.as_slice(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
