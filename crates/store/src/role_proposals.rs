//! Roles that wait for a second administrator.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{ids::UserId, users::Role};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, rows};

/// A role that one administrator proposed and no other has confirmed yet.
#[derive(Debug, Clone)]
pub struct RoleProposal {
    /// Its id.
    pub id: Uuid,
    /// Whose role.
    pub user: UserId,
    /// Which.
    pub role: Role,
    /// By whom it was proposed.
    pub proposed_by: UserId,
    /// When.
    pub proposed_at: DateTime<Utc>,
    /// Until when it may be confirmed.
    pub expires_at: DateTime<Utc>,
}

/// The proposal to give an account this role that may still be confirmed: whoever made it is an
/// administrator to this day. Served by `role_proposals_open_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn open(
    conn: &mut PgConnection,
    user: UserId,
    role: Role,
) -> Result<Option<RoleProposal>, StoreError> {
    let found = sqlx::query!(
        "SELECT proposal.id, proposal.proposed_by, proposal.proposed_at, proposal.expires_at
         FROM role_proposals AS proposal
         JOIN users AS proposer ON proposer.id = proposal.proposed_by
         WHERE proposal.user_id = $1
           AND proposal.role = $2
           AND proposal.closed_at IS NULL
           AND proposal.expires_at > CURRENT_TIMESTAMP
           AND proposer.role = 'ADMIN'
           AND proposer.is_active",
        user.0,
        role.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| RoleProposal {
        id: row.id,
        user,
        role,
        proposed_by: UserId(row.proposed_by),
        proposed_at: row.proposed_at,
        expires_at: row.expires_at,
    }))
}

/// How many proposals of one administrator wait, counted while nobody else proposes anything until this
/// transaction ends. Proposals are rare, so that one lock does for all of them.
///
/// # Errors
/// [`StoreError`].
pub async fn waiting_of(tx: &mut Tx<'_>, proposed_by: UserId) -> Result<i64, StoreError> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('role proposals', 0))")
        .execute(&mut **tx)
        .await?;
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM role_proposals
           WHERE proposed_by = $1
             AND closed_at IS NULL
             AND expires_at > CURRENT_TIMESTAMP"#,
        proposed_by.0,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

/// Proposes a role, in place of whatever was proposed for that account before.
///
/// # Errors
/// [`StoreError`].
pub async fn propose(
    tx: &mut Tx<'_>,
    user: UserId,
    role: Role,
    proposed_by: UserId,
    lifetime: TimeDelta,
) -> Result<RoleProposal, StoreError> {
    close(tx, user, None).await?;
    let made = sqlx::query!(
        "INSERT INTO role_proposals (user_id, role, proposed_by, expires_at)
         VALUES ($1, $2, $3, CURRENT_TIMESTAMP + make_interval(secs => $4))
         RETURNING id, proposed_at, expires_at",
        user.0,
        role.as_str(),
        proposed_by.0,
        lifetime.as_seconds_f64(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(RoleProposal {
        id: made.id,
        user,
        role,
        proposed_by,
        proposed_at: made.proposed_at,
        expires_at: made.expires_at,
    })
}

/// Closes what is proposed for an account, because its role was given, or something else is proposed.
/// `confirmed_by` is the second administrator, where there was one.
///
/// # Errors
/// [`StoreError`].
pub async fn close(
    conn: &mut PgConnection,
    user: UserId,
    confirmed_by: Option<UserId>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE role_proposals
         SET closed_at = CURRENT_TIMESTAMP, confirmed_by = $2
         WHERE user_id = $1 AND closed_at IS NULL",
        user.0,
        confirmed_by.map(|by| by.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Where a page goes on: after the one made then, with that id.
pub type ProposalCursor = (DateTime<Utc>, Uuid);

/// What waits, newest first. Served by `idx_role_proposals_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    after: Option<ProposalCursor>,
    limit: i64,
) -> Result<Vec<RoleProposal>, StoreError> {
    let found = sqlx::query!(
        "SELECT id, user_id, role, proposed_by, proposed_at, expires_at
         FROM role_proposals
         WHERE closed_at IS NULL
           AND expires_at > CURRENT_TIMESTAMP
           AND ($1::timestamptz IS NULL OR (proposed_at, id) < ($1, $2::uuid))
         ORDER BY proposed_at DESC, id DESC
         LIMIT $3",
        after.map(|(at, _)| at),
        after.map(|(_, id)| id),
        limit,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(RoleProposal {
                id: row.id,
                user: UserId(row.user_id),
                role: rows::text(&row.role, "role")?,
                proposed_by: UserId(row.proposed_by),
                proposed_at: row.proposed_at,
                expires_at: row.expires_at,
            })
        })
        .collect()
}
