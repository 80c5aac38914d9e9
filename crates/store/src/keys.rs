//! Patients' keys, wrapped. What unwraps them is never here.

use chrono::{DateTime, Utc};
use domain::ids::{PatientKeyId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// A patient's key as it is stored.
#[derive(Debug, Clone)]
pub struct PatientKeyRow {
    /// Which.
    pub id: PatientKeyId,
    /// Whose.
    pub patient: UserId,
    /// The wrapped key; `None` once destroyed.
    pub wrapped_key: Option<Vec<u8>>,
    /// The master key it is wrapped by.
    pub master_key_id: String,
    /// When it was made: the wrapping binds it.
    pub created_at: DateTime<Utc>,
}

/// The living keys of these patients.
///
/// # Errors
/// [`StoreError`].
pub async fn living(
    conn: &mut PgConnection,
    patients: &[UserId],
) -> Result<Vec<PatientKeyRow>, StoreError> {
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        "SELECT id, patient_id, wrapped_key, master_key_id, created_at
         FROM patient_keys
         WHERE patient_id = ANY($1)
           AND destroyed_at IS NULL",
        &patients,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| PatientKeyRow {
            id: PatientKeyId(row.id),
            patient: UserId(row.patient_id),
            wrapped_key: row.wrapped_key,
            master_key_id: row.master_key_id,
            created_at: row.created_at,
        })
        .collect())
}

/// Stores new keys. Where a patient got a living key meanwhile, theirs is kept and this one dropped:
/// ask [`living`] again afterwards.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(tx: &mut Tx<'_>, keys: &[PatientKeyRow]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id.0).collect();
    let patients: Vec<Uuid> = keys.iter().map(|key| key.patient.0).collect();
    let wrapped: Vec<Option<Vec<u8>>> = keys.iter().map(|key| key.wrapped_key.clone()).collect();
    let masters: Vec<String> = keys.iter().map(|key| key.master_key_id.clone()).collect();
    let made: Vec<DateTime<Utc>> = keys.iter().map(|key| key.created_at).collect();
    sqlx::query!(
        "INSERT INTO patient_keys (id, patient_id, wrapped_key, master_key_id, created_at)
         SELECT id, patient_id, wrapped_key, master_key_id, created_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::timestamptz[])
             AS e(id, patient_id, wrapped_key, master_key_id, created_at)
         ORDER BY patient_id
         ON CONFLICT (patient_id) WHERE destroyed_at IS NULL DO NOTHING",
        &ids,
        &patients,
        &wrapped as &[Option<Vec<u8>>],
        &masters,
        &made,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
