//! Keys by which a client may safely ask twice.

use domain::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Whose key.
    pub user: UserId,
    /// The key.
    pub key: String,
    /// SHA-256 of the request, 64 hex digits.
    pub request_hash: String,
    /// What the first request made.
    pub resource: Uuid,
}

/// What is remembered of these keys.
///
/// # Errors
/// [`StoreError`].
pub async fn find(
    conn: &mut PgConnection,
    operation: &str,
    keys: &[(UserId, &str)],
) -> Result<Vec<Remembered>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let users: Vec<Uuid> = keys.iter().map(|(user, _)| user.0).collect();
    let texts: Vec<String> = keys.iter().map(|(_, key)| (*key).to_owned()).collect();
    let found = sqlx::query!(
        "SELECT known.user_id, known.key, known.request_hash, known.resource_id
         FROM UNNEST($2::uuid[], $3::text[]) AS asked(user_id, key)
         JOIN idempotency_keys AS known
           ON known.user_id = asked.user_id AND known.operation = $1 AND known.key = asked.key",
        operation,
        &users,
        &texts,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| Remembered {
            user: UserId(row.user_id),
            key: row.key,
            request_hash: row.request_hash,
            resource: row.resource_id,
        })
        .collect())
}

/// Remembers keys, in the transaction of what they made. False where one of them was remembered
/// meanwhile: then roll back and look again.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    operation: &str,
    keys: &[Remembered],
) -> Result<bool, StoreError> {
    if keys.is_empty() {
        return Ok(true);
    }
    let users: Vec<Uuid> = keys.iter().map(|key| key.user.0).collect();
    let texts: Vec<String> = keys.iter().map(|key| key.key.clone()).collect();
    let hashes: Vec<String> = keys.iter().map(|key| key.request_hash.clone()).collect();
    let resources: Vec<Uuid> = keys.iter().map(|key| key.resource).collect();
    let done = sqlx::query!(
        "INSERT INTO idempotency_keys (user_id, operation, key, request_hash, resource_id)
         SELECT user_id, $1, key, request_hash, resource_id
         FROM UNNEST($2::uuid[], $3::text[], $4::text[], $5::uuid[])
             AS e(user_id, key, request_hash, resource_id)
         ON CONFLICT DO NOTHING",
        operation,
        &users,
        &texts,
        &hashes,
        &resources,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == keys.len() as u64)
}
