//! How many people stand behind what a consent names, as the rows of accounts and memberships say: whether each row is as it was
//! sealed is asked where somebody does something.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::ids::{OrganizationId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::StoreError;

/// The most doctors that are counted. Unit: people.
pub const MOST_COUNTED: i64 = 10_000;

/// Those who stand behind several grantees.
#[derive(Debug, Default)]
pub struct PeopleNamed {
    /// Named one by one.
    pub people: Vec<UserId>,
    /// Named by the organisations that they belong to.
    pub organizations: Vec<OrganizationId>,
    /// Whether all doctors are.
    pub doctors: bool,
}

/// How many active doctors there are besides this person, [`MOST_COUNTED`] at most. Served by `idx_users_active_doctors`.
///
/// # Errors
/// [`StoreError`].
pub async fn doctors(conn: &mut PgConnection, besides: UserId) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
         FROM (
             SELECT id
             FROM users
             WHERE role = 'DOCTOR'
               AND is_active
               AND NOT is_system
               AND id <> $1
             LIMIT $2
         ) AS doctors"#,
        besides.0,
        MOST_COUNTED,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// How many active doctors besides this person belong to each of these organisations at `now`; one to which nobody belongs is left
/// out. Served by `idx_memberships_organization_id`; of one organisation no more than `domain::organizations::MAX_MEMBERS` are
/// not over.
///
/// # Errors
/// [`StoreError`].
pub async fn members(
    conn: &mut PgConnection,
    organizations: &[OrganizationId],
    besides: UserId,
    now: DateTime<Utc>,
) -> Result<HashMap<OrganizationId, i64>, StoreError> {
    let organizations: Vec<Uuid> = organizations.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT membership.organization_id, count(DISTINCT membership.user_id) AS "members!"
         FROM memberships AS membership
         JOIN users ON users.id = membership.user_id
         WHERE membership.organization_id = ANY($1)
           AND membership.ended_at IS NULL
           AND membership.valid_from <= $3
           AND COALESCE(membership.valid_until, 'infinity') > $3
           AND membership.user_id <> $2
           AND users.role = 'DOCTOR'
           AND users.is_active
         GROUP BY membership.organization_id
         ORDER BY membership.organization_id"#,
        &organizations,
        besides.0,
        now,
    )
    .fetch_all(conn)
    .await?;
    let found = found.into_iter();
    Ok(found
        .map(|row| (OrganizationId(row.organization_id), row.members))
        .collect())
}

/// How many people these are at `now`, besides this person and each counted once; of all doctors [`MOST_COUNTED`] at most.
///
/// # Errors
/// [`StoreError`].
pub async fn together(
    conn: &mut PgConnection,
    named: &PeopleNamed,
    besides: UserId,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let people: Vec<Uuid> = named.people.iter().map(|id| id.0).collect();
    let organizations: Vec<Uuid> = named.organizations.iter().map(|id| id.0).collect();
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
         FROM (
             SELECT UNNEST($1::uuid[]) AS id
             UNION
             SELECT membership.user_id
             FROM memberships AS membership
             JOIN users ON users.id = membership.user_id
             WHERE membership.organization_id = ANY($2)
               AND membership.ended_at IS NULL
               AND membership.valid_from <= $5
               AND COALESCE(membership.valid_until, 'infinity') > $5
               AND users.role = 'DOCTOR'
               AND users.is_active
             UNION
             (
                 SELECT users.id
                 FROM users
                 WHERE $3
                   AND users.role = 'DOCTOR'
                   AND users.is_active
                   AND NOT users.is_system
                 LIMIT $6
             )
         ) AS people
         WHERE people.id <> $4"#,
        &people,
        &organizations,
        named.doctors,
        besides.0,
        now,
        MOST_COUNTED,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}
