//! What the trail says of rows that retention removed from it: the rows that say so, and the leaves that are left.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Leaf, watermark};
use crate::{StoreError, Tx};

/// The numbers of the rows that say that they are about this purge, the first ones first. Served by
/// `idx_audit_logs_resource_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn rows_of_purge(
    conn: &mut PgConnection,
    purge: Uuid,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT id
         FROM audit_logs
         WHERE resource_id = $1
           AND resource_type = 'AUDIT_LOG'
           AND action_type = 'RETENTION_PURGE'
         ORDER BY id
         LIMIT $2",
        purge,
        limit,
    )
    .fetch_all(conn)
    .await?)
}

/// The leaves after a place whose rows are said to have been removed by this purge, in order. Served by
/// `idx_audit_purged_leaves_purge_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn leaves_of_purge(
    conn: &mut PgConnection,
    purge: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<Leaf>, StoreError> {
    Ok(sqlx::query_as!(
        Leaf,
        "SELECT leaf.position, leaf.audit_id, leaf.leaf_hash
         FROM audit_purged_leaves AS named
         JOIN audit_leaves AS leaf ON leaf.position = named.position
         WHERE named.purge_id = $1
           AND named.position > $2
         ORDER BY named.position
         LIMIT $3",
        purge,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?)
}

/// Whether a row that says what retention removed may have no place yet. Served by `idx_audit_logs_leaf`.
///
/// # Errors
/// [`StoreError`].
pub async fn has_unordered_purge(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let from = watermark(tx).await?;
    if from.is_of_another_server {
        // Which rows have none, is known when they have been looked through.
        return Ok(true);
    }
    let is_there = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM audit_logs
               WHERE (leaf_xid, id) > ($1::text::xid8, $2)
                 AND action_type = 'RETENTION_PURGE'
                 AND resource_type = 'AUDIT_LOG'
           ) AS "is_there!""#,
        from.xid,
        from.audit_id,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(is_there)
}
