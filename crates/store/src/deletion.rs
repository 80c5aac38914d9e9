//! Requests to erase or restrict, and what they do to records.

pub mod again;
pub mod claims;
mod coverage;
pub mod execution;
pub mod reasons;
pub mod ties;

use chrono::{DateTime, Utc};
use domain::{
    deletion::{
        Approval, Coverage, DeletionRequest, DeletionRequestType, DeletionStatus, StoredReason,
    },
    ids::{DeletionRequestId, PatientKeyId, RecordId, UserId},
    seals::{Seal, Sealed},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::coverage::{
    is_within, lift, overlap, restrict, scope, types_of_records, versions_of, versions_there,
    withheld,
};
use crate::{
    StoreError, Tx,
    keyset::{KeysetPage, either_way},
    rows,
    seals::Walk,
};

/// Asks for requests, as [`DeletionRow`] holds them; `$which` says for which.
macro_rules! deletion_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            DeletionRow,
            "SELECT id, user_id, request_type, status, data_categories, record_ids, requested_at, completed_at,
                    verification_method, verification_details, verification_tries, verified_at, scope, approved_categories, approved_records,
                    overrides_retention, reason, sealed_reason, reason_key_id, approved_by, approved_at, confirmed_by, confirmed_at,
                    scheduled_for, seal, seal_key
             FROM data_deletion_requests " + $which
            $(, $argument)*
        )
    };
}

struct DeletionRow {
    id: Uuid,
    user_id: Uuid,
    request_type: String,
    status: String,
    data_categories: Value,
    record_ids: Vec<Uuid>,
    requested_at: DateTime<Utc>,
    completed_at: Option<DateTime<Utc>>,
    verification_method: String,
    verification_details: Option<Value>,
    verification_tries: i16,
    verified_at: Option<DateTime<Utc>>,
    scope: Option<Value>,
    approved_categories: Vec<String>,
    approved_records: Vec<Uuid>,
    overrides_retention: bool,
    reason: Option<String>,
    sealed_reason: Option<Vec<u8>>,
    reason_key_id: Option<Uuid>,
    approved_by: Option<Uuid>,
    approved_at: Option<DateTime<Utc>>,
    confirmed_by: Option<Uuid>,
    confirmed_at: Option<DateTime<Utc>>,
    scheduled_for: Option<DateTime<Utc>>,
    seal: Option<Vec<u8>>,
    seal_key: Option<String>,
}

impl TryFrom<DeletionRow> for Sealed<DeletionRequest> {
    type Error = StoreError;
    fn try_from(row: DeletionRow) -> Result<Self, StoreError> {
        let scope = row.scope.unwrap_or_else(|| json!([]));
        let request = DeletionRequest {
            id: DeletionRequestId(row.id),
            user: UserId(row.user_id),
            request_type: rows::text(&row.request_type, "deletion request type")?,
            status: rows::text(&row.status, "deletion status")?,
            asked: Coverage {
                categories: rows::json(row.data_categories, "data category")?,
                records: record_ids(row.record_ids),
            },
            requested_at: row.requested_at,
            completed_at: row.completed_at,
            verification_method: rows::text(&row.verification_method, "verification method")?,
            challenge: row
                .verification_details
                .map(|it| rows::json(it, "challenge of a deletion request"))
                .transpose()?,
            verification_tries: row.verification_tries,
            verified_at: row.verified_at,
            scope: rows::json(scope, "scope of a deletion request")?,
            approved: Coverage {
                categories: rows::json(json!(row.approved_categories), "data category")?,
                records: record_ids(row.approved_records),
            },
            overrides_retention: row.overrides_retention,
            reason: stored_reason(row.reason, row.sealed_reason, row.reason_key_id),
            first_approval: approval(row.approved_by, row.approved_at),
            second_approval: approval(row.confirmed_by, row.confirmed_at),
            scheduled_for: row.scheduled_for,
        };
        Ok(Self::new(request, Seal::of(row.seal, row.seal_key)))
    }
}

/// Ids as they are stored.
pub(crate) fn record_ids(ids: Vec<Uuid>) -> Vec<RecordId> {
    ids.into_iter().map(RecordId).collect()
}

/// A reason that stands in three columns. One in clear is newer: a program wrote it that knows of no other.
pub(crate) fn stored_reason(
    clear: Option<String>,
    sealed: Option<Vec<u8>>,
    key: Option<Uuid>,
) -> Option<StoredReason> {
    let sealed = sealed.zip(key).map(|(bytes, key)| StoredReason::Sealed {
        key: PatientKeyId(key),
        bytes,
    });
    clear.map(StoredReason::Clear).or(sealed)
}

/// The same as it is written: in clear, sealed, and under which key.
pub(crate) fn columns_of(
    reason: Option<&StoredReason>,
) -> (Option<&str>, Option<&[u8]>, Option<Uuid>) {
    match reason {
        None => (None, None, None),
        Some(StoredReason::Clear(clear)) => (Some(clear), None, None),
        Some(StoredReason::Sealed { key, bytes }) => (None, Some(bytes), Some(key.0)),
    }
}

/// Two columns that say who did something, and when; `None` where one of them is empty.
pub(crate) fn approval(by: Option<Uuid>, at: Option<DateTime<Utc>>) -> Option<Approval> {
    Some(Approval {
        by: UserId(by?),
        at: at?,
    })
}

fn all(found: Vec<DeletionRow>) -> Result<Vec<Sealed<DeletionRequest>>, StoreError> {
    found.into_iter().map(TryInto::try_into).collect()
}

/// Lets one transaction at a time record requests of a subject, until it ends: so that what it has counted
/// stays true.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_subject(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('deletion requests of ' || $1::uuid::text, schema_key()))",
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
) -> Result<Vec<Sealed<DeletionRequest>>, StoreError> {
    let found = deletion_rows!(
        "WHERE user_id = $1
           AND status NOT IN ('expired', 'rejected', 'cancelled', 'completed')
         ORDER BY requested_at, id
         LIMIT $2",
        user.0,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(conn)
    .await?;
    all(found)
}

/// Records a request; it begins as `pending`, to be verified. It decides nothing yet, and carries
/// no seal.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    conn: &mut PgConnection,
    id: DeletionRequestId,
    user: UserId,
    request_type: DeletionRequestType,
    asked: &Coverage,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO data_deletion_requests (
             id, user_id, request_type, data_categories, record_ids, verification_method
         )
         VALUES ($1, $2, $3, $4, $5, 'PASSWORD')",
        id.0,
        user.0,
        request_type.as_str(),
        json!(asked.categories),
        &ids_of(&asked.records),
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn ids_of(records: &[RecordId]) -> Vec<Uuid> {
    records.iter().map(|id| id.0).collect()
}

/// One request.
///
/// # Errors
/// [`StoreError`].
pub async fn by_id(
    conn: &mut PgConnection,
    id: DeletionRequestId,
) -> Result<Option<Sealed<DeletionRequest>>, StoreError> {
    let found = deletion_rows!("WHERE id = $1", id.0)
        .fetch_optional(conn)
        .await?;
    found.map(TryInto::try_into).transpose()
}

/// These requests, whoever made them. Unknown ids are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn by_ids(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Sealed<DeletionRequest>>, StoreError> {
    let found = deletion_rows!("WHERE id = ANY($1) ORDER BY id", ids)
        .fetch_all(conn)
        .await?;
    all(found)
}

/// Whose request it is. That never changes.
///
/// # Errors
/// [`StoreError`].
pub async fn subject(
    conn: &mut PgConnection,
    id: DeletionRequestId,
) -> Result<Option<UserId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT user_id FROM data_deletion_requests WHERE id = $1",
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(UserId))
}

/// One request; nobody changes it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    id: DeletionRequestId,
) -> Result<Option<Sealed<DeletionRequest>>, StoreError> {
    let found = deletion_rows!(
        "WHERE id = $1
         FOR NO KEY UPDATE",
        id.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    found.map(TryInto::try_into).transpose()
}

/// Writes where a request stands; lock it first. `seal` is none where it decides nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn save(
    tx: &mut Tx<'_>,
    request: &DeletionRequest,
    seal: Option<&Seal>,
) -> Result<(), StoreError> {
    let approved: Vec<String> = request
        .approved
        .categories
        .iter()
        .map(|it| it.as_str().to_owned())
        .collect();
    let (clear, sealed, reason_key) = columns_of(request.reason.as_ref());
    sqlx::query!(
        "UPDATE data_deletion_requests
         SET status = $2, completed_at = $3, verification_tries = $4, verified_at = $5, scope = $6,
             approved_categories = $7, approved_records = $8, overrides_retention = $9, reason = $10,
             approved_by = $11, approved_at = $12, confirmed_by = $13, confirmed_at = $14,
             scheduled_for = $15, seal = $16, seal_key = $17, verification_method = $18,
             verification_details = $19, sealed_reason = $20, reason_key_id = $21
         WHERE id = $1",
        request.id.0,
        request.status.as_str(),
        request.completed_at,
        request.verification_tries,
        request.verified_at,
        json!(request.scope),
        &approved,
        &ids_of(&request.approved.records),
        request.overrides_retention,
        clear,
        request.first_approval.map(|it| it.by.0),
        request.first_approval.map(|it| it.at),
        request.second_approval.map(|it| it.by.0),
        request.second_approval.map(|it| it.at),
        request.scheduled_for,
        seal.map(|it| it.mac.as_slice()),
        seal.map(|it| it.key_id.as_str()),
        request.verification_method.as_str(),
        request.challenge.as_ref().map(|it| json!(it)),
        sealed,
        reason_key,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
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
    asked: KeysetPage<DeletionCursor>,
) -> Result<Vec<Sealed<DeletionRequest>>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        deletion_rows!(
            "WHERE ($1::uuid IS NULL OR user_id = $1)
               AND ($2::timestamptz IS NULL OR (requested_at, id) < ($2, $3::uuid))
             ORDER BY requested_at DESC, id DESC
             LIMIT $4",
            "WHERE ($1::uuid IS NULL OR user_id = $1)
               AND ($2::timestamptz IS NULL OR (requested_at, id) > ($2, $3::uuid))
             ORDER BY requested_at, id
             LIMIT $4",
            user.map(|id| id.0),
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id.0),
            asked.limit,
        )
    );
    all(found)
}

/// Everybody's requests in one state, oldest first. Served by `idx_data_deletion_requests_queue`.
///
/// # Errors
/// [`StoreError`].
pub async fn queue(
    conn: &mut PgConnection,
    status: DeletionStatus,
    asked: KeysetPage<DeletionCursor>,
) -> Result<Vec<Sealed<DeletionRequest>>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        deletion_rows!(
            "WHERE status = $1
               AND ($2::timestamptz IS NULL OR (requested_at, id) > ($2, $3::uuid))
             ORDER BY requested_at, id
             LIMIT $4",
            "WHERE status = $1
               AND ($2::timestamptz IS NULL OR (requested_at, id) < ($2, $3::uuid))
             ORDER BY requested_at DESC, id DESC
             LIMIT $4",
            status.as_str(),
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id.0),
            asked.limit,
        )
    );
    all(found)
}

/// A patient's requests in one of these states, locked until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_in(
    tx: &mut Tx<'_>,
    user: UserId,
    statuses: &[DeletionStatus],
) -> Result<Vec<Sealed<DeletionRequest>>, StoreError> {
    let statuses: Vec<String> = statuses.iter().map(|it| it.as_str().to_owned()).collect();
    let found = deletion_rows!(
        "WHERE user_id = $1
           AND status = ANY($2)
         ORDER BY id
         LIMIT 1000
         FOR NO KEY UPDATE",
        user.0,
        &statuses,
    )
    .fetch_all(&mut **tx)
    .await?;
    all(found)
}

/// Requests that were not verified in time, locked until the transaction ends; those that somebody else has
/// locked are passed over. Served by `idx_data_deletion_requests_queue`.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_unverified(
    tx: &mut Tx<'_>,
    requested_before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Sealed<DeletionRequest>>, StoreError> {
    let found = deletion_rows!(
        "WHERE status = 'pending'
           AND requested_at <= $1
         ORDER BY requested_at, id
         LIMIT $2
         FOR NO KEY UPDATE SKIP LOCKED",
        requested_before,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    all(found)
}

/// Requests of every state that decides, for the walks over sealed rows.
///
/// # Errors
/// [`StoreError`].
pub async fn walk(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Sealed<DeletionRequest>)>, StoreError> {
    let found = deletion_rows!(
        "WHERE id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR id = $3)
           AND status NOT IN ('pending', 'expired', 'rejected', 'cancelled', 'completed')
         ORDER BY id
         LIMIT $4",
        walk.after,
        walk.sealed_by,
        walk.only,
        walk.limit,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| Ok((row.id, row.try_into()?)))
        .collect()
}
