//! Consents that wait for whoever has their code.

use chrono::{DateTime, Utc};
use domain::{
    access_codes::PreparedConsent,
    ids::{AccessCodeId, UserId},
    seals::{Seal, Sealed},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, rows};

/// Asks for prepared consents, as [`CodeRow`] holds them; `$which` says for which.
macro_rules! code_rows {
    ($which:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            $crate::access_codes::CodeRow,
            "SELECT id, user_id, code_hash, purpose, data_categories, processing_activities, consent_expires_at,
                    created_at, expires_at, seal, seal_key
             FROM access_codes " + $which,
            $($argument),+
        )
    };
}
pub(crate) use code_rows;

pub(crate) struct CodeRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) code_hash: Vec<u8>,
    pub(crate) purpose: String,
    pub(crate) data_categories: Value,
    pub(crate) processing_activities: Value,
    pub(crate) consent_expires_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
}

impl TryFrom<CodeRow> for Sealed<PreparedConsent> {
    type Error = StoreError;
    fn try_from(row: CodeRow) -> Result<Self, StoreError> {
        let prepared = PreparedConsent {
            id: AccessCodeId(row.id),
            patient: UserId(row.user_id),
            code_hash: row
                .code_hash
                .try_into()
                .map_err(|_| StoreError::Unreadable {
                    what: "hash of an access code",
                })?,
            purpose: rows::text(&row.purpose, "purpose")?,
            categories: rows::json(row.data_categories, "data category")?,
            activities: rows::json(row.processing_activities, "processing activity")?,
            consent_expires_at: row.consent_expires_at,
            created_at: row.created_at,
            expires_at: row.expires_at,
        };
        Ok(Self::new(prepared, Seal::of(row.seal, row.seal_key)))
    }
}

/// Stores a prepared consent, with its seal.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    conn: &mut PgConnection,
    prepared: &PreparedConsent,
    seal: &Seal,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO access_codes (
             id, user_id, code_hash, purpose, data_categories, processing_activities, consent_expires_at,
             created_at, expires_at, seal, seal_key
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        prepared.id.0,
        prepared.patient.0,
        prepared.code_hash.as_slice(),
        prepared.purpose.as_str(),
        json!(prepared.categories),
        json!(prepared.activities),
        prepared.consent_expires_at,
        prepared.created_at,
        prepared.expires_at,
        seal.mac,
        seal.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A patient's codes that may be redeemed at `now`, newest first, without those that cannot be read. Served by
/// `idx_access_codes_user_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_of(
    conn: &mut PgConnection,
    patient: UserId,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Sealed<PreparedConsent>>, StoreError> {
    let found = code_rows!(
        "WHERE user_id = $1
           AND closed_at IS NULL
           AND expires_at > $2
         ORDER BY created_at DESC, id DESC
         LIMIT $3",
        patient.0,
        now,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .filter_map(|row| row.try_into().ok())
        .collect())
}

/// Whose the code with this hash is, where it was neither redeemed nor cancelled. Served by `access_codes_hash_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn patient_of(
    conn: &mut PgConnection,
    code_hash: &[u8; 32],
) -> Result<Option<UserId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT user_id FROM access_codes WHERE code_hash = $1 AND closed_at IS NULL",
        code_hash.as_slice(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(UserId))
}

/// The prepared consent of the code with this hash, where it was neither redeemed nor cancelled; nobody changes it until
/// the transaction ends. `None` for one that cannot be read, too. Served by `access_codes_hash_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_by_hash(
    tx: &mut Tx<'_>,
    code_hash: &[u8; 32],
) -> Result<Option<Sealed<PreparedConsent>>, StoreError> {
    let found = code_rows!(
        "WHERE code_hash = $1
           AND closed_at IS NULL
         FOR NO KEY UPDATE",
        code_hash.as_slice(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.and_then(|row| row.try_into().ok()))
}

/// One of a patient's codes that may be redeemed at `now`; nobody changes it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    id: AccessCodeId,
    patient: UserId,
    now: DateTime<Utc>,
) -> Result<Option<Sealed<PreparedConsent>>, StoreError> {
    let found = code_rows!(
        "WHERE id = $1
           AND user_id = $2
           AND closed_at IS NULL
           AND expires_at > $3
         FOR NO KEY UPDATE",
        id.0,
        patient.0,
        now,
    )
    .fetch_optional(&mut **tx)
    .await?;
    found.map(TryInto::try_into).transpose()
}

/// Closes a code that is locked: it was redeemed or cancelled. Its seal goes, so that it cannot be opened again.
///
/// # Errors
/// [`StoreError`].
pub async fn close(
    tx: &mut Tx<'_>,
    id: AccessCodeId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE access_codes
         SET closed_at = $2, seal = NULL, seal_key = NULL
         WHERE id = $1",
        id.0,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes at most `limit` codes that were over a day ago. Reads the whole table, which holds a day's codes.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn sweep(tx: &mut Tx<'_>, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM access_codes
         WHERE id IN (
             SELECT id
             FROM access_codes
             WHERE expires_at < CURRENT_TIMESTAMP - INTERVAL '1 day'
             ORDER BY expires_at, id
             LIMIT $1
         )",
        limit,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// How many [`sweep`] would remove.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn count(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT count(*) AS "rows!"
           FROM access_codes
           WHERE expires_at < CURRENT_TIMESTAMP - INTERVAL '1 day'"#
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(rows)
}
