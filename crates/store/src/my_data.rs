//! How much there is about a person, and what of it no other list shows.

use chrono::{DateTime, Utc};
use domain::ids::UserId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::StoreError;

/// How much there is of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataCounts {
    /// Versions of records that are not erased.
    pub records: i64,
    /// Consents and refusals, also those that are over.
    pub consents: i64,
    /// Log-ins that are not over.
    pub log_ins: i64,
    /// Wallets, also those that were unlinked.
    pub wallets: i64,
    /// Notifications.
    pub notifications: i64,
    /// Requests to erase or restrict.
    pub deletion_requests: i64,
    /// Who acts for the person, and for whom the person acts, also what is over.
    pub representations: i64,
    /// Proposals of representatives, for the person, or of the person.
    pub representative_proposals: i64,
    /// Receipts of consents.
    pub consent_receipts: i64,
    /// To which organisations the person belongs, or has belonged.
    pub memberships: i64,
    /// Windows of emergency access on the person's records, or opened by the person.
    pub break_glass_windows: i64,
    /// Rows of the trail about the person.
    pub access_log: i64,
}

/// Counts what is about a person, rows of the trail up to a time.
///
/// # Errors
/// [`StoreError`].
pub async fn counts(
    conn: &mut PgConnection,
    user: UserId,
    until: DateTime<Utc>,
) -> Result<DataCounts, StoreError> {
    let counts = sqlx::query_as!(
        DataCounts,
        r#"SELECT
            (SELECT count(*) FROM medical_records WHERE patient_id = $1 AND erased_at IS NULL) AS "records!",
            (SELECT count(*) FROM data_processing_consents WHERE user_id = $1) AS "consents!",
            (SELECT count(*)
             FROM sessions AS root
             CROSS JOIN LATERAL (
                 SELECT idle_expires_at FROM sessions WHERE family_id = root.id ORDER BY created_at DESC LIMIT 1
             ) AS latest
             WHERE root.user_id = $1 AND root.parent_id IS NULL AND root.is_valid
               AND root.expires_at > CURRENT_TIMESTAMP AND latest.idle_expires_at > CURRENT_TIMESTAMP) AS "log_ins!",
            (SELECT count(*) FROM wallets WHERE user_id = $1) AS "wallets!",
            (SELECT count(*) FROM notifications WHERE user_id = $1) AS "notifications!",
            (SELECT count(*) FROM data_deletion_requests WHERE user_id = $1) AS "deletion_requests!",
            (SELECT count(*) FROM representatives WHERE patient_id = $1 OR representative_id = $1) AS "representations!",
            (SELECT count(*) FROM representative_proposals
             WHERE patient_id = $1 OR representative_id = $1) AS "representative_proposals!",
            (SELECT count(*) FROM consent_receipts WHERE user_id = $1) AS "consent_receipts!",
            (SELECT count(*) FROM memberships WHERE user_id = $1) AS "memberships!",
            (SELECT count(*) FROM break_glass_windows
             WHERE patient_id = $1 OR doctor_id = $1) AS "break_glass_windows!",
            (SELECT count(*) FROM audit_logs WHERE patient_id = $1 AND event_time < $2) AS "access_log!""#,
        user.0,
        until,
    )
    .fetch_one(conn)
    .await?;
    Ok(counts)
}

/// A row about a person, as they are given it.
#[derive(Debug, Clone)]
pub struct DataLine {
    /// What it says.
    pub line: Value,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// Which.
    pub id: Uuid,
}

/// After what a page begins: what was made then, with that id.
pub type DataLineKey = (DateTime<Utc>, Uuid);

/// Asks for a page of what `$rows` gives about a user, newest first: a line, its time and its id each.
macro_rules! data_lines {
    ($rows:tt, $conn:expr, $user:expr, $after:expr, $limit:expr) => {{
        let found = sqlx::query_as!(
            DataLine,
            r#"SELECT line AS "line!", at AS "at!", id AS "id!" FROM ("#
                + $rows
                + r#") AS found
               WHERE $2::timestamptz IS NULL OR (at, id) < ($2, $3::uuid)
               ORDER BY at DESC, id DESC
               LIMIT $4"#,
            $user.0,
            $after.map(|(at, _)| at),
            $after.map(|(_, id)| id),
            $limit,
        );
        Ok(found.fetch_all($conn).await?)
    }};
}

/// Who acts for somebody, and for whom they act, with the reasons of administrators. As it stands.
///
/// # Errors
/// [`StoreError`].
pub async fn representations(
    conn: &mut PgConnection,
    user: UserId,
    after: Option<DataLineKey>,
    limit: i64,
) -> Result<Vec<DataLine>, StoreError> {
    data_lines!(
        "SELECT jsonb_build_object(
                    'id', id, 'patientId', patient_id, 'representativeId', representative_id,
                    'relationship', relationship, 'activities', activities, 'validFrom', valid_from,
                    'validUntil', valid_until, 'appointedAt', appointed_at, 'endedAt', ended_at,
                    'proposedBy', proposed_by, 'approvedBy', approved_by, 'reason', reason
                ) AS line, appointed_at AS at, id
         FROM representatives
         WHERE patient_id = $1 OR representative_id = $1",
        conn,
        user,
        after,
        limit
    )
}

/// Proposals of representatives for somebody, and of somebody; why is told to the patient alone.
///
/// # Errors
/// [`StoreError`].
pub async fn representative_proposals(
    conn: &mut PgConnection,
    user: UserId,
    after: Option<DataLineKey>,
    limit: i64,
) -> Result<Vec<DataLine>, StoreError> {
    data_lines!(
        "SELECT jsonb_build_object(
                    'id', id, 'patientId', patient_id, 'representativeId', representative_id,
                    'relationship', relationship, 'activities', activities, 'validFrom', valid_from,
                    'validUntil', valid_until, 'proposedBy', proposed_by, 'proposedAt', proposed_at,
                    'expiresAt', expires_at, 'closedAt', closed_at, 'closedBy', closed_by,
                    'reason', CASE WHEN patient_id = $1 THEN reason END
                ) AS line, proposed_at AS at, id
         FROM representative_proposals
         WHERE patient_id = $1 OR representative_id = $1",
        conn,
        user,
        after,
        limit
    )
}

/// Receipts of somebody's consents, with texts and signatures.
///
/// # Errors
/// [`StoreError`].
pub async fn consent_receipts(
    conn: &mut PgConnection,
    user: UserId,
    after: Option<DataLineKey>,
    limit: i64,
) -> Result<Vec<DataLine>, StoreError> {
    data_lines!(
        "SELECT jsonb_build_object(
                    'id', id, 'consentId', consent_id, 'kind', kind, 'text', text, 'detailsHash', details_hash,
                    'madeAt', made_at, 'chainId', chain_id, 'contract', contract, 'wallet', wallet,
                    'deadline', deadline, 'signature', '0x' || encode(signature, 'hex'), 'signedAt', signed_at,
                    'chainState', chain_state, 'failure', failure, 'txHash', tx_hash, 'blockNumber', block_number
                ) AS line, made_at AS at, id
         FROM consent_receipts
         WHERE user_id = $1",
        conn,
        user,
        after,
        limit
    )
}

/// To which organisations somebody belongs, or has belonged.
///
/// # Errors
/// [`StoreError`].
pub async fn memberships(
    conn: &mut PgConnection,
    user: UserId,
    after: Option<DataLineKey>,
    limit: i64,
) -> Result<Vec<DataLine>, StoreError> {
    data_lines!(
        "SELECT jsonb_build_object(
                    'id', id, 'organizationId', organization_id, 'validFrom', valid_from,
                    'validUntil', valid_until, 'endedAt', ended_at, 'createdAt', created_at
                ) AS line, created_at AS at, id
         FROM memberships
         WHERE user_id = $1",
        conn,
        user,
        after,
        limit
    )
}
