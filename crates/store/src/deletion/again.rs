//! Erases again what an older backup brought back. The owner of the tables alone may: no function of the schema stands between.

use chrono::{DateTime, Utc};
use domain::ids::{PatientKeyId, RecordId, UserId};
use uuid::Uuid;

use super::ids_of;
use crate::{StoreError, Tx};

/// What of a patient was erased.
#[derive(Debug, Clone, Copy)]
pub struct ErasedBefore<'a, Id> {
    /// Whose.
    pub patient: UserId,
    /// Which.
    pub ids: &'a [Id],
    /// Whether everything was, whatever is named.
    pub all: bool,
    /// When. What was created since is something else, though it may be called the same: a restored record keeps its id.
    pub at: DateTime<Utc>,
}

/// Erases those of a patient's records that say anything. Gives which, and whether each is the current version. The transaction
/// writes an audit row about the patient, whose time is theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn erase_records(
    tx: &mut Tx<'_>,
    erased: ErasedBefore<'_, RecordId>,
) -> Result<Vec<(RecordId, bool)>, StoreError> {
    let again = sqlx::query!(
        r#"UPDATE medical_records
           SET encrypted_data = '\x', record_metadata = NULL, code_tokens = NULL, missing_elements = NULL,
               effective_at = NULL, erased_at = decision_time()
           WHERE patient_id = $1
             AND (id = ANY($2) OR $3::boolean)
             AND created_at <= $4
             AND (erased_at IS NULL OR octet_length(encrypted_data) > 0 OR record_metadata IS NOT NULL
                  OR code_tokens IS NOT NULL OR missing_elements IS NOT NULL OR effective_at IS NOT NULL)
           RETURNING id, superseded_at IS NULL AS "is_current!""#,
        erased.patient.0,
        &ids_of(erased.ids),
        erased.all,
        erased.at,
    )
    .fetch_all(&mut **tx)
    .await?;
    let again = again.into_iter();
    Ok(again
        .map(|row| (RecordId(row.id), row.is_current))
        .collect())
}

/// Destroys those of a patient's keys that are there. Gives which. The transaction writes an audit row `KEY_DESTROY` about the
/// patient, whose time is theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn destroy_keys(
    tx: &mut Tx<'_>,
    erased: ErasedBefore<'_, PatientKeyId>,
) -> Result<Vec<PatientKeyId>, StoreError> {
    let keys: Vec<Uuid> = erased.ids.iter().map(|key| key.0).collect();
    let destroyed = sqlx::query_scalar!(
        "UPDATE patient_keys
         SET wrapped_key = NULL, destroyed_at = decision_time()
         WHERE patient_id = $1 AND (id = ANY($2) OR $3::boolean) AND created_at <= $4
           AND (destroyed_at IS NULL OR wrapped_key IS NOT NULL)
         RETURNING id",
        erased.patient.0,
        &keys,
        erased.all,
        erased.at,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(destroyed.into_iter().map(PatientKeyId).collect())
}

/// Those of a patient's records that are named, were created since, and say something: they are something else.
///
/// # Errors
/// [`StoreError`].
pub async fn created_since(
    tx: &mut Tx<'_>,
    erased: ErasedBefore<'_, RecordId>,
) -> Result<Vec<RecordId>, StoreError> {
    let newer = sqlx::query_scalar!(
        "SELECT id FROM medical_records
         WHERE patient_id = $1 AND id = ANY($2) AND created_at > $3 AND erased_at IS NULL
         ORDER BY id",
        erased.patient.0,
        &ids_of(erased.ids),
        erased.at,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(newer.into_iter().map(RecordId).collect())
}

/// Whether an account is there and says something of somebody.
///
/// # Errors
/// [`StoreError`].
pub async fn is_somebody(tx: &mut Tx<'_>, user: UserId) -> Result<bool, StoreError> {
    let is_somebody = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM users
               WHERE id = $1 AND NOT is_system
                 AND (is_active OR hashed_password <> '!' OR email NOT LIKE '%@erased' OR username NOT LIKE 'erased:%')
           ) AS "is_somebody!""#,
        user.0,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(is_somebody)
}

/// Removes the wallets of an account, and what receipts of its consents, its representations, and reasons about it say.
///
/// # Errors
/// [`StoreError`].
pub async fn remove_wallets(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM wallets WHERE user_id = $1", user.0)
        .execute(&mut **tx)
        .await?;
    sqlx::query_scalar!("SELECT empty_receipts($1)", user.0)
        .fetch_one(&mut **tx)
        .await?;
    sqlx::query_scalar!("SELECT empty_representations($1)", user.0)
        .fetch_one(&mut **tx)
        .await?;
    sqlx::query_scalar!("SELECT empty_reasons($1)", user.0)
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}
