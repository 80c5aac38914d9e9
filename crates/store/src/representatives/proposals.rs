//! Representatives whom one administrator proposed, until another approves or rejects them.

use chrono::{DateTime, Utc};
use domain::{
    ids::{RepresentativeProposalId, UserId},
    representatives::RepresentativeProposal,
    seals::{Seal, Sealed},
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{activities, stored};
use crate::{
    StoreError, Tx,
    keyset::{KeysetPage, either_way},
    rows,
    seals::Walk,
};

/// Asks for proposals, as [`ProposedRow`] holds them; `$which` says for which.
macro_rules! proposed_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            ProposedRow,
            "SELECT id, patient_id, representative_id, relationship, activities, valid_from, valid_until, reason,
                    proposed_by, proposed_at, expires_at, seal, seal_key
             FROM representative_proposals " + $which
            $(, $argument)*
        )
    };
}

struct ProposedRow {
    id: Uuid,
    patient_id: Uuid,
    representative_id: Uuid,
    relationship: String,
    activities: Value,
    valid_from: Option<DateTime<Utc>>,
    valid_until: DateTime<Utc>,
    reason: String,
    proposed_by: Uuid,
    proposed_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    seal: Option<Vec<u8>>,
    seal_key: Option<String>,
}

impl TryFrom<ProposedRow> for Sealed<RepresentativeProposal> {
    type Error = StoreError;
    fn try_from(row: ProposedRow) -> Result<Self, StoreError> {
        let proposal = RepresentativeProposal {
            id: RepresentativeProposalId(row.id),
            patient: UserId(row.patient_id),
            representative: UserId(row.representative_id),
            relationship: rows::text(&row.relationship, "relationship")?,
            activities: activities(row.activities)?,
            from: row.valid_from,
            until: row.valid_until,
            reason: row.reason,
            proposed_by: UserId(row.proposed_by),
            proposed_at: row.proposed_at,
            expires_at: row.expires_at,
        };
        Ok(Self::new(proposal, Seal::of(row.seal, row.seal_key)))
    }
}

/// How many proposals of one administrator wait, counted while nobody else proposes anything until this transaction
/// ends. Proposals are rare, so that one lock does for all of them.
///
/// # Errors
/// [`StoreError`].
pub async fn waiting_of(
    tx: &mut Tx<'_>,
    proposed_by: UserId,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('representative proposals', schema_key()))"
    )
    .execute(&mut **tx)
    .await?;
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM representative_proposals
           WHERE proposed_by = $1
             AND closed_at IS NULL
             AND expires_at > $2"#,
        proposed_by.0,
        now,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

/// Stores a proposal, with its seal.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    proposal: &RepresentativeProposal,
    seal: &Seal,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO representative_proposals (
             id, patient_id, representative_id, relationship, activities, valid_from, valid_until, reason,
             proposed_by, proposed_at, expires_at, seal, seal_key
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        proposal.id.0,
        proposal.patient.0,
        proposal.representative.0,
        proposal.relationship.as_str(),
        stored(proposal.activities),
        proposal.from,
        proposal.until,
        proposal.reason,
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

/// For whom somebody is proposed. That never changes.
///
/// # Errors
/// [`StoreError`].
pub async fn patient_of(
    conn: &mut PgConnection,
    id: RepresentativeProposalId,
) -> Result<Option<UserId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT patient_id FROM representative_proposals WHERE id = $1",
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(UserId))
}

/// A proposal that waits, as far as the row and the trail say: an old row that is put back after it was rejected or approved
/// waits for nothing. Nobody changes it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    id: RepresentativeProposalId,
    now: DateTime<Utc>,
) -> Result<Option<Sealed<RepresentativeProposal>>, StoreError> {
    let found = proposed_rows!(
        "WHERE id = $1
           AND closed_at IS NULL
           AND expires_at > $2
           AND NOT EXISTS (
               SELECT
               FROM audit_logs
               WHERE resource_id = representative_proposals.id
                 AND (action_type = 'REPRESENTATIVE_APPOINT'
                      OR (action_type = 'REPRESENTATIVE_PROPOSE' AND new_value ->> 'rejected' = 'true'))
           )
         FOR NO KEY UPDATE",
        id.0,
        now,
    )
    .fetch_optional(&mut **tx)
    .await?;
    found.map(TryInto::try_into).transpose()
}

/// Closes a proposal, approved or rejected. Its seal goes, so that it cannot be opened again.
///
/// # Errors
/// [`StoreError`].
pub async fn close(
    tx: &mut Tx<'_>,
    id: RepresentativeProposalId,
    closed_by: UserId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE representative_proposals
         SET closed_at = $2, closed_by = $3, seal = NULL, seal_key = NULL
         WHERE id = $1
           AND closed_at IS NULL",
        id.0,
        now,
        closed_by.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where a page of proposals goes on: after the one made then, with that id.
pub type ProposalPageKey = (DateTime<Utc>, Uuid);

/// What waits, as [`lock`] has it, newest first; without what cannot be read. Served by `idx_representative_proposals_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    asked: KeysetPage<ProposalPageKey>,
) -> Result<Vec<Sealed<RepresentativeProposal>>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        proposed_rows!(
            "WHERE closed_at IS NULL
               AND expires_at > CURRENT_TIMESTAMP
               AND ($1::timestamptz IS NULL OR (proposed_at, id) < ($1, $2::uuid))
               AND NOT EXISTS (
                   SELECT
                   FROM audit_logs
                   WHERE resource_id = representative_proposals.id
                     AND (action_type = 'REPRESENTATIVE_APPOINT'
                          OR (action_type = 'REPRESENTATIVE_PROPOSE' AND new_value ->> 'rejected' = 'true'))
               )
             ORDER BY proposed_at DESC, id DESC
             LIMIT $3",
            "WHERE closed_at IS NULL
               AND expires_at > CURRENT_TIMESTAMP
               AND ($1::timestamptz IS NULL OR (proposed_at, id) > ($1, $2::uuid))
               AND NOT EXISTS (
                   SELECT
                   FROM audit_logs
                   WHERE resource_id = representative_proposals.id
                     AND (action_type = 'REPRESENTATIVE_APPOINT'
                          OR (action_type = 'REPRESENTATIVE_PROPOSE' AND new_value ->> 'rejected' = 'true'))
               )
             ORDER BY proposed_at, id
             LIMIT $3",
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id),
            asked.limit,
        )
    );
    Ok(found
        .into_iter()
        .filter_map(|row| row.try_into().ok())
        .collect())
}

/// Proposals that may still be approved; `None` of one that cannot be read. What was closed carries no seal and decides
/// nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn walk(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, UserId, Option<Sealed<RepresentativeProposal>>)>, StoreError> {
    let found = proposed_rows!(
        "WHERE id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR id = $3)
           AND closed_at IS NULL
           AND expires_at > CURRENT_TIMESTAMP
         ORDER BY id
         LIMIT $4",
        walk.after,
        walk.sealed_by,
        walk.only,
        walk.limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (row.id, UserId(row.patient_id), row.try_into().ok()))
        .collect())
}
