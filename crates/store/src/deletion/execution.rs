//! Requests that are carried out: what is due, which steps are done, and what each of them destroys.
//!
//! The api's role changes no envelope and no key: functions of the schema destroy them, of a request that is being carried
//! out and of nothing else.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{
    deletion::{Approval, DeletionRequest, DeletionRequestType, ErasureStep},
    ids::{ConsentId, DeletionRequestId, PatientKeyId, RecordId, UserId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, rows};

/// A request that is to be carried out, and where a page of them goes on after it.
#[derive(Debug, Clone, Copy)]
pub struct DueRequest {
    /// Which.
    pub id: DeletionRequestId,
    /// Whose data it is about.
    pub subject: UserId,
    /// When its row last changed.
    pub updated_at: DateTime<Utc>,
}

/// The requests that are to be carried out now, or go on; those first that were not changed for the longest time. One that
/// failed waits for an hour. Served by `idx_data_deletion_requests_due`.
///
/// # Errors
/// [`StoreError`].
pub async fn due(
    tx: &mut Tx<'_>,
    after: Option<DueRequest>,
    limit: i64,
) -> Result<Vec<DueRequest>, StoreError> {
    let found = sqlx::query!(
        "SELECT id, user_id, updated_at
         FROM data_deletion_requests
         WHERE status IN ('scheduled', 'executing', 'failed')
           AND scheduled_for <= CURRENT_TIMESTAMP
           AND (status <> 'failed' OR updated_at <= CURRENT_TIMESTAMP - INTERVAL '1 hour')
           AND ($1::timestamptz IS NULL OR (updated_at, id) > ($1, $2::uuid))
         ORDER BY updated_at, id
         LIMIT $3",
        after.map(|it| it.updated_at),
        after.map(|it| it.id.0),
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    let due = found.into_iter();
    Ok(due
        .map(|row| DueRequest {
            id: DeletionRequestId(row.id),
            subject: UserId(row.user_id),
            updated_at: row.updated_at,
        })
        .collect())
}

/// The steps of a request that are done, and when.
///
/// # Errors
/// [`StoreError`].
pub async fn done(
    conn: &mut PgConnection,
    id: DeletionRequestId,
) -> Result<Vec<(ErasureStep, DateTime<Utc>)>, StoreError> {
    let found = sqlx::query!(
        "SELECT step, done_at FROM deletion_steps WHERE request_id = $1 ORDER BY done_at, step",
        id.0,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| Ok((rows::text(&row.step, "step of an erasure")?, row.done_at)))
        .collect()
}

/// Notes that a step is done, in the transaction that did it.
///
/// # Errors
/// [`StoreError`].
pub async fn note(
    tx: &mut Tx<'_>,
    id: DeletionRequestId,
    step: ErasureStep,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO deletion_steps (request_id, step, done_at)
         VALUES ($1, $2, decision_time())
         ON CONFLICT (request_id, step) DO NOTHING",
        id.0,
        step.as_str(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Those of these patients who have an account, and of each whether it is being erased: that has begun and is not over. Served by
/// the primary key of `users` and `idx_data_deletion_requests_restricting`.
///
/// # Errors
/// [`StoreError`].
pub async fn known_accounts(
    conn: &mut PgConnection,
    patients: &[UserId],
) -> Result<HashMap<UserId, bool>, StoreError> {
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT
            account.id,
            EXISTS (
                SELECT FROM data_deletion_requests AS request
                WHERE request.user_id = account.id
                  AND request.restricts
                  AND request.request_type = 'ACCOUNT_ERASURE'
                  AND EXISTS (SELECT FROM deletion_steps WHERE request_id = request.id)
            ) AS "is_being_erased!"
         FROM users AS account
         WHERE account.id = ANY($1)"#,
        &patients,
    )
    .fetch_all(conn)
    .await?;
    let accounts = found.into_iter();
    Ok(accounts
        .map(|row| (UserId(row.id), row.is_being_erased))
        .collect())
}

/// Whether nothing is left of a patient's data that could be kept: the account is erased, or its keys are destroyed.
///
/// # Errors
/// [`StoreError`].
pub async fn is_gone(conn: &mut PgConnection, patient: UserId) -> Result<bool, StoreError> {
    let is_gone = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM data_deletion_requests
               WHERE user_id = $1
                 AND request_type = 'ACCOUNT_ERASURE'
                 AND (
                     status = 'completed'
                     OR restricts AND EXISTS (
                         SELECT FROM deletion_steps
                         WHERE request_id = data_deletion_requests.id AND step = 'KEYS'
                     )
                 )
           ) OR EXISTS (
               -- After a restore the request may be unknown, or wait.
               SELECT FROM users
               WHERE id = $1 AND hashed_password = '!' AND email LIKE '%@erased' AND username LIKE 'erased:%'
           ) AS "is_gone!""#,
        patient.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(is_gone)
}

/// Forgets the steps of a request that failed but for its beginning: all of them are done again.
///
/// # Errors
/// [`StoreError`].
pub async fn forget(tx: &mut Tx<'_>, id: DeletionRequestId) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM deletion_steps WHERE request_id = $1 AND step <> 'BEGIN'",
        id.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether the audit trail says that each of these approved the request when they are said to have.
///
/// # Errors
/// [`StoreError`].
pub async fn are_in_trail(
    conn: &mut PgConnection,
    id: DeletionRequestId,
    approvals: &[Approval],
) -> Result<bool, StoreError> {
    let by: Vec<Uuid> = approvals.iter().map(|it| it.by.0).collect();
    let at: Vec<DateTime<Utc>> = approvals.iter().map(|it| it.at).collect();
    let known = sqlx::query_scalar!(
        r#"SELECT count(DISTINCT trail.user_id) AS "known!"
           FROM UNNEST($2::uuid[], $3::timestamptz[]) AS approved(by, at)
           JOIN audit_logs AS trail
             ON trail.resource_id = $1
            AND trail.action_type = 'DELETION_REVIEW'
            AND trail.user_id = approved.by
            AND trail.event_time = approved.at"#,
        id.0,
        &by,
        &at,
    )
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(known).is_ok_and(|known| known == approvals.len()))
}

/// Erases some records that the request covers. Gives which, and whether each was the current version. The transaction writes
/// an audit row about the patient, whose time is theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn erase_records(
    tx: &mut Tx<'_>,
    id: DeletionRequestId,
    at_most: i32,
) -> Result<Vec<(RecordId, bool)>, StoreError> {
    let erased = sqlx::query!(
        r#"SELECT record_id AS "record_id!", is_current AS "is_current!" FROM erase_records($1, $2)"#,
        id.0,
        at_most,
    )
    .fetch_all(&mut **tx)
    .await?;
    let erased = erased.into_iter();
    Ok(erased
        .map(|row| (RecordId(row.record_id), row.is_current))
        .collect())
}

/// Destroys the keys of whoever's account is erased. Gives which. The transaction writes an audit row `KEY_DESTROY` about the
/// patient, whose time is theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn destroy_keys(
    tx: &mut Tx<'_>,
    id: DeletionRequestId,
) -> Result<Vec<PatientKeyId>, StoreError> {
    let destroyed = sqlx::query_scalar!(r#"SELECT destroy_patient_keys($1) AS "id!""#, id.0)
        .fetch_all(&mut **tx)
        .await?;
    Ok(destroyed.into_iter().map(PatientKeyId).collect())
}

/// Some consents of a patient that are not taken back, whether they hold now or not, in the order of ids.
///
/// # Errors
/// [`StoreError`].
pub async fn open_consents(
    conn: &mut PgConnection,
    patient: UserId,
    limit: i64,
) -> Result<Vec<ConsentId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT id
         FROM data_processing_consents
         WHERE user_id = $1
           AND consent_withdrawn_at IS NULL
         ORDER BY id
         LIMIT $2",
        patient.0,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(ConsentId).collect())
}

/// Removes what else an account leaves that is erased: log-ins, keys of retries, messages to be signed, and access codes.
///
/// # Errors
/// [`StoreError`].
pub async fn remove_traces(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM sessions WHERE user_id = $1", user.0)
        .execute(&mut **tx)
        .await?;
    sqlx::query!("DELETE FROM idempotency_keys WHERE user_id = $1", user.0)
        .execute(&mut **tx)
        .await?;
    sqlx::query!("DELETE FROM wallet_challenges WHERE user_id = $1", user.0)
        .execute(&mut **tx)
        .await?;
    sqlx::query!("DELETE FROM access_codes WHERE user_id = $1", user.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes the wallets of whoever's account is erased.
///
/// # Errors
/// [`StoreError`].
pub async fn remove_wallets(tx: &mut Tx<'_>, id: DeletionRequestId) -> Result<(), StoreError> {
    sqlx::query_scalar!("SELECT erase_wallets($1)", id.0)
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}

/// Empties the receipts of the consents of whoever's account is erased: neither text nor signature is left, nor a seal.
///
/// # Errors
/// [`StoreError`].
pub async fn erase_receipts(tx: &mut Tx<'_>, id: DeletionRequestId) -> Result<(), StoreError> {
    sqlx::query_scalar!("SELECT erase_receipts($1)", id.0)
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}

/// Removes why administrators named representatives of whoever's account is erased, and closes what waits. The transaction
/// writes an audit row about them, whose time is theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn erase_representations(
    tx: &mut Tx<'_>,
    id: DeletionRequestId,
) -> Result<(), StoreError> {
    sqlx::query_scalar!("SELECT erase_representations($1)", id.0)
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}

/// Removes why administrators decided about whoever's account is erased, and what waits for their wallet.
///
/// # Errors
/// [`StoreError`].
pub async fn erase_reasons(tx: &mut Tx<'_>, id: DeletionRequestId) -> Result<(), StoreError> {
    sqlx::query_scalar!("SELECT erase_reasons($1)", id.0)
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}

/// What a request has left of what it is to erase. Unit: rows.
///
/// # Errors
/// [`StoreError`].
pub async fn left(conn: &mut PgConnection, request: &DeletionRequest) -> Result<i64, StoreError> {
    let is_account = request.request_type == DeletionRequestType::AccountErasure;
    let left = sqlx::query_scalar!(
        r#"SELECT (
               SELECT count(*)
               FROM medical_records
               WHERE id IN (SELECT records_of_erasure($2))
                 AND (erased_at IS NULL OR octet_length(encrypted_data) > 0
                      OR record_metadata IS NOT NULL OR code_tokens IS NOT NULL
                      OR missing_elements IS NOT NULL OR effective_at IS NOT NULL)
           ) + (
               SELECT count(*) FROM record_sources WHERE record_id IN (SELECT records_of_erasure($2))
           ) + (
               SELECT count(*) FROM attachment_chunks WHERE record_id IN (SELECT records_of_erasure($2))
           ) + (
               SELECT count(*) FROM patient_keys WHERE $3 AND patient_id = $1 AND wrapped_key IS NOT NULL
           ) + (
               SELECT count(*) FROM users
               WHERE $3 AND id = $1
                 AND (is_active OR hashed_password <> '!' OR blockchain_address IS NOT NULL
                      OR organization_id IS NOT NULL OR email NOT LIKE '%@erased' OR username NOT LIKE 'erased:%')
           ) + (
               SELECT count(*) FROM sessions WHERE $3 AND user_id = $1
           ) + (
               SELECT count(*) FROM wallets WHERE $3 AND user_id = $1
           ) + (
               SELECT count(*) FROM second_factors WHERE $3 AND user_id = $1
           ) + (
               SELECT count(*) FROM idempotency_keys WHERE $3 AND user_id = $1
           ) + (
               SELECT count(*) FROM data_processing_consents
               WHERE $3 AND user_id = $1 AND consent_withdrawn_at IS NULL
                 AND (consent_expires_at IS NULL OR consent_expires_at > CURRENT_TIMESTAMP)
           ) + (
               SELECT count(*) FROM consent_receipts
               WHERE $3 AND user_id = $1 AND (text <> '' OR wallet IS NOT NULL)
           ) + (
               SELECT count(*) FROM representatives
               WHERE $3 AND (patient_id = $1 OR representative_id = $1)
                 AND (ended_at IS NULL OR patient_id = $1 AND reason <> '')
           ) + (
               SELECT count(*) FROM representative_proposals
               WHERE $3 AND (patient_id = $1 OR representative_id = $1)
                 AND (closed_at IS NULL OR patient_id = $1 AND reason <> '')
           ) + (
               SELECT count(*) FROM memberships WHERE $3 AND user_id = $1 AND ended_at IS NULL
           ) + (
               SELECT count(*) FROM data_deletion_requests
               WHERE $3 AND user_id = $1 AND num_nonnulls(reason, sealed_reason, verification_details) > 0
           ) + (
               SELECT count(*) FROM legal_holds
               WHERE $3 AND patient_id = $1 AND (reason <> '' OR sealed_reason IS NOT NULL)
           ) AS "left!""#,
        request.user.0,
        request.id.0,
        is_account,
    )
    .fetch_one(conn)
    .await?;
    Ok(left)
}

/// A record that was erased, as a certificate names it.
#[derive(Debug, Clone)]
pub struct ErasedRecord {
    /// Which.
    pub id: RecordId,
    /// Of which type, as it is stored.
    pub record_type: String,
    /// Its hash, which stays on the chain.
    pub data_hash: String,
}

/// The records that a request erases and that were erased since then, in the order of ids.
///
/// # Errors
/// [`StoreError`].
pub async fn erased_since(
    conn: &mut PgConnection,
    request: DeletionRequestId,
    since: DateTime<Utc>,
) -> Result<Vec<ErasedRecord>, StoreError> {
    let found = sqlx::query!(
        "SELECT id, record_type, data_hash
         FROM medical_records
         WHERE id IN (SELECT records_of_erasure($1))
           AND erased_at >= $2
         ORDER BY id",
        request.0,
        since,
    )
    .fetch_all(conn)
    .await?;
    let found = found.into_iter();
    Ok(found
        .map(|row| ErasedRecord {
            id: RecordId(row.id),
            record_type: row.record_type,
            data_hash: row.data_hash,
        })
        .collect())
}

/// The keys of a patient that were destroyed since then, in the order of ids.
///
/// # Errors
/// [`StoreError`].
pub async fn destroyed_since(
    conn: &mut PgConnection,
    patient: UserId,
    since: DateTime<Utc>,
) -> Result<Vec<PatientKeyId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT id FROM patient_keys WHERE patient_id = $1 AND destroyed_at >= $2 ORDER BY id",
        patient.0,
        since,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(PatientKeyId).collect())
}

/// What was erased, for whoever has to show it.
#[derive(Debug, Clone)]
pub struct StoredCertificate {
    /// The exact bytes.
    pub document: Vec<u8>,
    /// Their SHA-256, 64 hex digits.
    pub sha256: String,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
}

/// Stores a certificate.
///
/// # Errors
/// [`StoreError`].
pub async fn insert_certificate(
    tx: &mut Tx<'_>,
    id: DeletionRequestId,
    certificate: &StoredCertificate,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO deletion_certificates (request_id, document, sha256, issued_at)
         VALUES ($1, $2, $3, $4)",
        id.0,
        certificate.document,
        certificate.sha256,
        certificate.issued_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The certificate of a request that was carried out.
///
/// # Errors
/// [`StoreError`].
pub async fn certificate(
    conn: &mut PgConnection,
    id: DeletionRequestId,
) -> Result<Option<StoredCertificate>, StoreError> {
    let found = sqlx::query_as!(
        StoredCertificate,
        "SELECT document, sha256, issued_at FROM deletion_certificates WHERE request_id = $1",
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found)
}
