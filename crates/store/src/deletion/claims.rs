//! By which code the certificate of an erased account is had without a log-in.

use domain::ids::{DeletionRequestId, UserId};
use sqlx::PgConnection;

use crate::{StoreError, Tx};

/// Stores the hash of the code of a request that has none.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    request: DeletionRequestId,
    code_hash: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO certificate_claims (request_id, code_hash) VALUES ($1, $2)",
        request.0,
        code_hash,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The request that a code belongs to, and whose it is. Served by `certificate_claims_code_hash_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn request_of(
    conn: &mut PgConnection,
    code_hash: &str,
) -> Result<Option<(DeletionRequestId, UserId)>, StoreError> {
    let found = sqlx::query!(
        "SELECT asked.id, asked.user_id
         FROM certificate_claims AS claim
         JOIN data_deletion_requests AS asked ON asked.id = claim.request_id
         WHERE claim.code_hash = $1",
        code_hash,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| (DeletionRequestId(row.id), UserId(row.user_id))))
}
