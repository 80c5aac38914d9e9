//! Patients' keys, wrapped. What unwraps them is never here.

use chrono::{DateTime, Utc};
use domain::{
    ids::{PatientKeyId, UserId},
    stored::StoredKey,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx};

struct KeyRow {
    id: Uuid,
    patient_id: Uuid,
    wrapped_key: Option<Vec<u8>>,
    master_key_id: String,
    created_at: DateTime<Utc>,
    destroyed_at: Option<DateTime<Utc>>,
}

impl From<KeyRow> for StoredKey {
    fn from(row: KeyRow) -> Self {
        Self {
            id: PatientKeyId(row.id),
            patient: UserId(row.patient_id),
            wrapped_key: row.wrapped_key,
            master_key_id: row.master_key_id,
            created_at: row.created_at,
            destroyed_at: row.destroyed_at,
        }
    }
}

/// The living keys of these patients.
///
/// # Errors
/// [`StoreError`].
pub async fn living(
    conn: &mut PgConnection,
    patients: &[UserId],
) -> Result<Vec<StoredKey>, StoreError> {
    if patients.is_empty() {
        return Ok(Vec::new());
    }
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        KeyRow,
        "SELECT id, patient_id, wrapped_key, master_key_id, created_at, destroyed_at
         FROM patient_keys
         WHERE patient_id = ANY($1)
           AND destroyed_at IS NULL",
        &patients,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(Into::into).collect())
}

/// Stores new keys. Where a patient got a living key meanwhile, theirs is kept and this one dropped:
/// ask [`living_ids`] again afterwards.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(tx: &mut Tx<'_>, keys: &[&StoredKey]) -> Result<(), StoreError> {
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

/// Which of these keys are alive.
///
/// # Errors
/// [`StoreError`].
pub async fn living_ids(
    conn: &mut PgConnection,
    keys: &[PatientKeyId],
) -> Result<Vec<PatientKeyId>, StoreError> {
    let ids: Vec<Uuid> = keys.iter().map(|id| id.0).collect();
    let found = sqlx::query_scalar!(
        "SELECT id FROM patient_keys WHERE id = ANY($1) AND destroyed_at IS NULL",
        &ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(PatientKeyId).collect())
}

/// Some living key that this master key wraps, if there is one. Served by `idx_patient_keys_master_key_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn one_wrapped_by(
    conn: &mut PgConnection,
    master: &str,
) -> Result<Option<StoredKey>, StoreError> {
    let found = sqlx::query_as!(
        KeyRow,
        "SELECT id, patient_id, wrapped_key, master_key_id, created_at, destroyed_at
         FROM patient_keys
         WHERE master_key_id = $1
           AND destroyed_at IS NULL
         ORDER BY id
         LIMIT 1",
        master,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(Into::into))
}

/// The next living keys that this master key wraps, in the order of ids, locked until the transaction
/// ends. Those that somebody else has locked are passed over. Served by `idx_patient_keys_master_key_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_wrapped_by(
    tx: &mut Tx<'_>,
    master: &str,
    after: PatientKeyId,
    limit: i64,
) -> Result<Vec<StoredKey>, StoreError> {
    let found = sqlx::query_as!(
        KeyRow,
        "SELECT id, patient_id, wrapped_key, master_key_id, created_at, destroyed_at
         FROM patient_keys
         WHERE master_key_id = $1
           AND id > $2
           AND destroyed_at IS NULL
         ORDER BY id
         LIMIT $3
         FOR UPDATE SKIP LOCKED",
        master,
        after.0,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found.into_iter().map(Into::into).collect())
}

/// Writes keys that were wrapped anew.
///
/// # Errors
/// [`StoreError`].
pub async fn rewrap(tx: &mut Tx<'_>, keys: &[StoredKey]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id.0).collect();
    let wrapped: Vec<Option<Vec<u8>>> = keys.iter().map(|key| key.wrapped_key.clone()).collect();
    let masters: Vec<String> = keys.iter().map(|key| key.master_key_id.clone()).collect();
    sqlx::query!(
        "UPDATE patient_keys AS key
         SET wrapped_key = e.wrapped_key,
             master_key_id = e.master_key_id
         FROM UNNEST($1::uuid[], $2::bytea[], $3::text[]) AS e(id, wrapped_key, master_key_id)
         WHERE key.id = e.id
           AND key.destroyed_at IS NULL",
        &ids,
        &wrapped as &[Option<Vec<u8>>],
        &masters,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many living keys, and secrets of second factors, each master key wraps, by its id.
///
/// # Errors
/// [`StoreError`].
pub async fn count_by_master(conn: &mut PgConnection) -> Result<Vec<(String, i64)>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT master_key_id AS "master_key_id!", count(*) AS "keys!"
           FROM (
               SELECT master_key_id FROM patient_keys WHERE destroyed_at IS NULL
               UNION ALL
               SELECT master_key_id FROM second_factors
           ) AS wrapped
           GROUP BY master_key_id
           ORDER BY master_key_id"#,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (row.master_key_id, row.keys))
        .collect())
}

/// The ids of the master keys that wrap anything, by one step in an index for each of them.
///
/// # Errors
/// [`StoreError`].
pub async fn masters_in_use(conn: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let found = sqlx::query_scalar!(
        r#"WITH RECURSIVE used(id) AS (
               (SELECT master_key_id
                FROM (SELECT master_key_id FROM patient_keys
                      UNION ALL
                      SELECT master_key_id FROM second_factors) AS wrapped
                ORDER BY master_key_id
                LIMIT 1)
               UNION ALL
               SELECT (SELECT master_key_id
                       FROM (SELECT master_key_id FROM patient_keys
                             UNION ALL
                             SELECT master_key_id FROM second_factors) AS wrapped
                       WHERE master_key_id > used.id
                       ORDER BY master_key_id
                       LIMIT 1)
               FROM used
               WHERE used.id IS NOT NULL
           )
           SELECT id AS "id!"
           FROM used
           WHERE id IS NOT NULL
             AND (EXISTS (SELECT FROM second_factors WHERE master_key_id = used.id)
                  OR EXISTS (SELECT FROM patient_keys
                             WHERE master_key_id = used.id AND destroyed_at IS NULL))
           ORDER BY id"#,
    )
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// Some ids of master keys that rows say they are sealed by, and that are none of these, by one step in an index
/// for each of them.
///
/// # Errors
/// [`StoreError`].
pub async fn strange_sealers(
    conn: &mut PgConnection,
    known: &[String],
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let found = sqlx::query_scalar!(
        r#"WITH RECURSIVE used(id) AS (
               (SELECT seal_key
                FROM (SELECT seal_key FROM users
                      UNION ALL
                      SELECT seal_key FROM data_processing_consents
                      UNION ALL
                      SELECT seal_key FROM second_factors) AS sealed
                ORDER BY seal_key
                LIMIT 1)
               UNION ALL
               SELECT (SELECT seal_key
                       FROM (SELECT seal_key FROM users
                             UNION ALL
                             SELECT seal_key FROM data_processing_consents
                             UNION ALL
                             SELECT seal_key FROM second_factors) AS sealed
                       WHERE seal_key > used.id
                       ORDER BY seal_key
                       LIMIT 1)
               FROM used
               WHERE used.id IS NOT NULL
           )
           SELECT id AS "id!"
           FROM used
           WHERE id IS NOT NULL
             AND id <> ALL($1)
           LIMIT $2"#,
        known,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// How many rows carry a seal by each master key, by its id.
///
/// # Errors
/// [`StoreError`].
pub async fn count_seals_by_master(
    conn: &mut PgConnection,
) -> Result<Vec<(String, i64)>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT seal_key AS "seal_key!", count(*) AS "rows!"
           FROM (
               SELECT seal_key FROM users
               UNION ALL
               SELECT seal_key FROM data_processing_consents
               UNION ALL
               SELECT seal_key FROM second_factors
               UNION ALL
               SELECT seal_key FROM sessions WHERE is_valid AND expires_at > CURRENT_TIMESTAMP
               UNION ALL
               SELECT seal_key
               FROM role_proposals
               WHERE closed_at IS NULL AND expires_at > CURRENT_TIMESTAMP
               UNION ALL
               SELECT seal_key
               FROM access_codes
               WHERE closed_at IS NULL AND expires_at > CURRENT_TIMESTAMP
               UNION ALL
               SELECT seal_key FROM break_glass_windows
               UNION ALL
               SELECT seal_key
               FROM data_deletion_requests
               WHERE status NOT IN ('pending', 'expired', 'rejected', 'cancelled', 'completed')
               UNION ALL
               SELECT seal_key FROM legal_holds WHERE released_at IS NULL
               UNION ALL
               SELECT seal_key FROM organizations
               UNION ALL
               SELECT seal_key FROM memberships
               UNION ALL
               SELECT seal_key FROM representatives
               UNION ALL
               SELECT seal_key
               FROM representative_proposals
               WHERE closed_at IS NULL AND expires_at > CURRENT_TIMESTAMP
           ) AS sealed
           WHERE seal_key IS NOT NULL
           GROUP BY seal_key
           ORDER BY seal_key"#,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (row.seal_key, row.rows))
        .collect())
}
