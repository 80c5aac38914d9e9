//! How much there is about a person.

use chrono::{DateTime, Utc};
use domain::ids::UserId;
use sqlx::PgConnection;

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
            (SELECT count(*) FROM audit_logs WHERE patient_id = $1 AND event_time < $2) AS "access_log!""#,
        user.0,
        until,
    )
    .fetch_one(conn)
    .await?;
    Ok(counts)
}
