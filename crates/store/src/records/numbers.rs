//! How many records patients have.

use domain::{ids::UserId, records::RecordType};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, rows};

/// How many records of one type a patient has.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// Whose.
    pub patient: UserId,
    /// Of which type.
    pub record_type: RecordType,
    /// How many, of which each counts once, whatever its versions.
    pub records: i64,
}

/// How many records these patients have that a consent can open, by type: neither erased nor restricted. Types of
/// which there are none are left out. Served by `idx_medical_records_patient_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn numbers(
    conn: &mut PgConnection,
    patients: &[UserId],
) -> Result<Vec<Number>, StoreError> {
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT patient_id, record_type, count(*) AS "records!"
         FROM medical_records
         WHERE patient_id = ANY($1)
           AND superseded_at IS NULL
           AND erased_at IS NULL
           AND restricted_at IS NULL
         GROUP BY patient_id, record_type
         ORDER BY patient_id, record_type"#,
        &patients,
    )
    .fetch_all(conn)
    .await?;
    let numbers = found.into_iter().map(|row| {
        Ok(Number {
            patient: UserId(row.patient_id),
            record_type: rows::text(&row.record_type, "record type")?,
            records: row.records,
        })
    });
    numbers.collect()
}
