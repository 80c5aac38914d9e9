//! Requests to erase or restrict.

use chrono::{DateTime, Utc};
use domain::{
    consents::Category,
    deletion::{DeletionRequestType, DeletionStatus},
    ids::{DeletionRequestId, UserId},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, rows};

/// A request as it stands.
#[derive(Debug, Clone)]
pub struct DeletionRequest {
    /// Which.
    pub id: DeletionRequestId,
    /// Whose data.
    pub user: UserId,
    /// What is asked for.
    pub request_type: DeletionRequestType,
    /// Where it stands.
    pub status: DeletionStatus,
    /// Of which data.
    pub categories: Vec<Category>,
    /// When it was made.
    pub requested_at: DateTime<Utc>,
    /// When it was carried out.
    pub completed_at: Option<DateTime<Utc>>,
}

struct DeletionRow {
    id: Uuid,
    user_id: Uuid,
    request_type: String,
    status: String,
    data_categories: Value,
    requested_at: DateTime<Utc>,
    completed_at: Option<DateTime<Utc>>,
}

impl TryFrom<DeletionRow> for DeletionRequest {
    type Error = StoreError;
    fn try_from(row: DeletionRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: DeletionRequestId(row.id),
            user: UserId(row.user_id),
            request_type: rows::text(&row.request_type, "deletion request type")?,
            status: rows::text(&row.status, "deletion status")?,
            categories: rows::json(row.data_categories, "data category")?,
            requested_at: row.requested_at,
            completed_at: row.completed_at,
        })
    }
}

/// Lets one transaction at a time record requests of a subject, until it ends: so that what it has counted
/// stays true.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_subject(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('deletion requests of ' || $1::uuid::text, 0))",
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A subject's requests about which somebody has still to do something, oldest first, at most `limit`.
/// Served by `idx_data_deletion_requests_open`.
///
/// # Errors
/// [`StoreError`].
pub async fn open(
    conn: &mut PgConnection,
    user: UserId,
    limit: usize,
) -> Result<Vec<DeletionRequest>, StoreError> {
    let found = sqlx::query_as!(
        DeletionRow,
        "SELECT id, user_id, request_type, status, data_categories, requested_at, completed_at
         FROM data_deletion_requests
         WHERE user_id = $1
           AND status NOT IN ('expired', 'rejected', 'cancelled', 'completed')
         ORDER BY requested_at, id
         LIMIT $2",
        user.0,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(DeletionRequest::try_from).collect()
}

/// Records a request; it begins as `pending`, to be verified by password.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    conn: &mut PgConnection,
    id: DeletionRequestId,
    user: UserId,
    request_type: DeletionRequestType,
    categories: &[Category],
) -> Result<DeletionRequest, StoreError> {
    let row = sqlx::query_as!(
        DeletionRow,
        "INSERT INTO data_deletion_requests (
             id, user_id, request_type, data_categories, verification_method
         )
         VALUES ($1, $2, $3, $4, 'PASSWORD')
         RETURNING id, user_id, request_type, status, data_categories, requested_at, completed_at",
        id.0,
        user.0,
        request_type.as_str(),
        json!(categories),
    )
    .fetch_one(conn)
    .await?;
    row.try_into()
}

/// Where a page of requests goes on.
pub type DeletionCursor = (DateTime<Utc>, DeletionRequestId);

/// A subject's requests, or everybody's for `None`, newest first. Served by
/// `idx_data_deletion_requests_user_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    user: Option<UserId>,
    after: Option<DeletionCursor>,
    limit: i64,
) -> Result<Vec<DeletionRequest>, StoreError> {
    let found = sqlx::query_as!(
        DeletionRow,
        "SELECT id, user_id, request_type, status, data_categories, requested_at, completed_at
         FROM data_deletion_requests
         WHERE ($1::uuid IS NULL OR user_id = $1)
           AND ($2::timestamptz IS NULL OR (requested_at, id) < ($2, $3::uuid))
         ORDER BY requested_at DESC, id DESC
         LIMIT $4",
        user.map(|id| id.0),
        after.map(|(at, _)| at),
        after.map(|(_, id)| id.0),
        limit,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(DeletionRequest::try_from).collect()
}
