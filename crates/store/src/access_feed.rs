//! The audit trail as a log of whose data was accessed: rows in the order of the tree, which is that of commits.
//!
//! Nothing is written for it: a row is told once `trail::order` has given it its place.

use domain::ids::UserId;
use sqlx::PgConnection;

use crate::StoreError;

/// Before the first place of the tree.
pub const BEGINNING: i64 = -1;

/// A row of the trail that is about somebody's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowedAccess {
    /// Its place in the tree.
    pub position: i64,
    /// Its number.
    pub id: i64,
    /// Whose data.
    pub patient: UserId,
}

/// What stands at places that follow one another.
#[derive(Debug, Clone)]
pub struct AccessStretch {
    /// The rows about somebody's data that are there.
    pub rows: Vec<FollowedAccess>,
    /// The last place.
    pub last: i64,
}

/// The last place of the tree; [`BEGINNING`] where it has none. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn last_position(conn: &mut PgConnection) -> Result<i64, StoreError> {
    let last = sqlx::query_scalar!("SELECT max(position) FROM audit_leaves")
        .fetch_one(conn)
        .await?;
    Ok(last.unwrap_or(BEGINNING))
}

/// Up to `limit` places after this one; `None` where there are none. Served by the primary keys of both tables.
///
/// # Errors
/// [`StoreError`].
pub async fn after(
    conn: &mut PgConnection,
    position: i64,
    limit: i64,
) -> Result<Option<AccessStretch>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT leaf.position, leaf.audit_id, log.patient_id AS "patient_id?"
         FROM audit_leaves AS leaf
         LEFT JOIN audit_logs AS log ON log.id = leaf.audit_id
         WHERE leaf.position > $1
         ORDER BY leaf.position
         LIMIT $2"#,
        position,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let Some(last) = found.last().map(|row| row.position) else {
        return Ok(None);
    };
    let rows = found.into_iter().filter_map(|row| {
        Some(FollowedAccess {
            position: row.position,
            id: row.audit_id,
            patient: UserId(row.patient_id?),
        })
    });
    Ok(Some(AccessStretch {
        rows: rows.collect(),
        last,
    }))
}

/// The rows about this account's data that have a place after the first of these and up to the second, by their numbers: up to
/// `limit` after a number. Served by `idx_audit_logs_patient_page` and `audit_leaves_audit_id_key`, one after the other: a plan
/// that joins the whole tree cannot be chosen.
///
/// # Errors
/// [`StoreError`].
pub async fn own_between(
    conn: &mut PgConnection,
    user: UserId,
    (after, to): (i64, i64),
    id: i64,
    limit: i64,
) -> Result<Vec<FollowedAccess>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT own.id AS "id!", leaf.position AS "position!"
         FROM audit_logs AS own
         CROSS JOIN LATERAL (
             SELECT one.position
             FROM audit_leaves AS one
             WHERE one.audit_id = own.id
             OFFSET 0
         ) AS leaf
         WHERE own.patient_id = $1
           AND own.id > $2
           AND leaf.position > $3
           AND leaf.position <= $4
         ORDER BY own.id
         LIMIT $5"#,
        user.0,
        id,
        after,
        to,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let found = found.into_iter().map(|row| FollowedAccess {
        position: row.position,
        id: row.id,
        patient: user,
    });
    Ok(found.collect())
}
