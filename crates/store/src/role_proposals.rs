//! Roles that wait for a second administrator.

use chrono::{DateTime, Utc};
use domain::{
    ids::UserId,
    seals::{RoleProposal, Seal, Sealed},
    users::Role,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    keyset::{KeysetPage, either_way},
    seals::ProposalRow,
};

/// Asks for proposals, as [`ProposalRow`] holds them; `$which` says for which.
macro_rules! proposal_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            ProposalRow,
            "SELECT id, user_id, role, proposed_by, proposed_at, expires_at, seal, seal_key
             FROM role_proposals " + $which
            $(, $argument)*
        )
    };
}

/// The proposal to give an account this role that may still be confirmed. Served by
/// `role_proposals_open_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn open(
    conn: &mut PgConnection,
    user: UserId,
    role: Role,
) -> Result<Option<Sealed<RoleProposal>>, StoreError> {
    let found = sqlx::query_as!(
        ProposalRow,
        "SELECT id, user_id, role, proposed_by, proposed_at, expires_at, seal, seal_key
         FROM role_proposals
         WHERE user_id = $1
           AND role = $2
           AND closed_at IS NULL
           AND expires_at > CURRENT_TIMESTAMP",
        user.0,
        role.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    found.map(TryInto::try_into).transpose()
}

/// How many proposals of one administrator wait, counted while nobody else proposes anything until this
/// transaction ends. Proposals are rare, so that one lock does for all of them.
///
/// # Errors
/// [`StoreError`].
pub async fn waiting_of(tx: &mut Tx<'_>, proposed_by: UserId) -> Result<i64, StoreError> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('role proposals', schema_key()))")
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
    proposal: &RoleProposal,
    seal: &Seal,
) -> Result<(), StoreError> {
    close(tx, proposal.user, None).await?;
    sqlx::query!(
        "INSERT INTO role_proposals (
             id, user_id, role, proposed_by, proposed_at, expires_at, seal, seal_key
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        proposal.id,
        proposal.user.0,
        proposal.role.as_str(),
        proposal.proposed_by.0,
        proposal.proposed_at,
        proposal.expires_at,
        seal.mac,
        seal.key_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Closes what is proposed for an account, because its role was given, or something else is proposed.
/// `confirmed_by` is the second administrator, where there was one. Its seal goes, so that it cannot be
/// opened again.
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
         SET closed_at = CURRENT_TIMESTAMP, confirmed_by = $2, seal = NULL, seal_key = NULL
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
    asked: KeysetPage<ProposalCursor>,
) -> Result<Vec<Sealed<RoleProposal>>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        proposal_rows!(
            "WHERE closed_at IS NULL
               AND expires_at > CURRENT_TIMESTAMP
               AND ($1::timestamptz IS NULL OR (proposed_at, id) < ($1, $2::uuid))
             ORDER BY proposed_at DESC, id DESC
             LIMIT $3",
            "WHERE closed_at IS NULL
               AND expires_at > CURRENT_TIMESTAMP
               AND ($1::timestamptz IS NULL OR (proposed_at, id) > ($1, $2::uuid))
             ORDER BY proposed_at, id
             LIMIT $3",
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id),
            asked.limit,
        )
    );
    found.into_iter().map(TryInto::try_into).collect()
}
