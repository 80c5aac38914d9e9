//! What a request covers of a patient's records, and what a restriction does to those.

use domain::{
    consents::Category,
    deletion::{Coverage, ScopeOfType},
    ids::{RecordId, UserId},
    records::RecordType,
};
use sqlx::PgConnection;

use super::{ids_of, record_ids};
use crate::{StoreError, Tx, rows};

/// All versions of these records of a patient that are not erased, in the order of ids; `None` where one of them is not
/// there, or not this patient's.
///
/// # Errors
/// [`StoreError`].
pub async fn versions_of(
    conn: &mut PgConnection,
    patient: UserId,
    records: &[RecordId],
) -> Result<Option<Vec<RecordId>>, StoreError> {
    let found = versions_there(conn, patient, records).await?;
    let is_there = records.iter().all(|id| found.contains(id));
    Ok(is_there.then_some(found))
}

/// The same, where it does not matter which of them are there still.
///
/// # Errors
/// [`StoreError`].
pub async fn versions_there(
    conn: &mut PgConnection,
    patient: UserId,
    records: &[RecordId],
) -> Result<Vec<RecordId>, StoreError> {
    let named = ids_of(records);
    let found = sqlx::query_scalar!(
        r#"WITH RECURSIVE version(id, predecessor_id) AS (
               SELECT id, predecessor_id
               FROM medical_records
               WHERE id = ANY($2) AND patient_id = $1 AND erased_at IS NULL
               UNION
               SELECT other.id, other.predecessor_id
               FROM version
               JOIN medical_records AS other
                 ON other.id = version.predecessor_id OR other.predecessor_id = version.id
               WHERE other.patient_id = $1 AND other.erased_at IS NULL
           )
           SELECT id AS "id!" FROM version ORDER BY id"#,
        patient.0,
        &named,
    )
    .fetch_all(conn)
    .await?;
    Ok(record_ids(found))
}

fn types_of(covered: &Coverage) -> Vec<String> {
    covered.types().iter().map(ToString::to_string).collect()
}

/// The types of these records.
///
/// # Errors
/// [`StoreError`].
pub async fn types_of_records(
    conn: &mut PgConnection,
    records: &[RecordId],
) -> Result<Vec<(RecordId, RecordType)>, StoreError> {
    let found = sqlx::query!(
        "SELECT id, record_type FROM medical_records WHERE id = ANY($1)",
        &ids_of(records),
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok((
                RecordId(row.id),
                rows::text(&row.record_type, "record type")?,
            ))
        })
        .collect()
}

/// What is covered of a patient's records that are not erased, in numbers: by type, and how many of them are still
/// to be kept now.
///
/// # Errors
/// [`StoreError`].
pub async fn scope(
    conn: &mut PgConnection,
    patient: UserId,
    covered: &Coverage,
) -> Result<Vec<ScopeOfType>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT record.record_type,
                  count(*) AS "records!",
                  count(*) FILTER (
                      WHERE record.created_at + make_interval(years => kept.years) > decision_time()
                  ) AS "within_retention!",
                  max(record.created_at + make_interval(years => kept.years)) AS "kept_until!"
           FROM medical_records AS record
           JOIN retention_rules AS kept USING (record_type)
           WHERE record.patient_id = $1
             AND record.erased_at IS NULL
             AND (record.record_type = ANY($2) OR record.id = ANY($3))
           GROUP BY record.record_type
           ORDER BY record.record_type"#,
        patient.0,
        &types_of(covered),
        &ids_of(&covered.records),
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(ScopeOfType {
                record_type: rows::text(&row.record_type, "record type")?,
                records: row.records,
                within_retention: row.within_retention,
                kept_until: row.kept_until,
            })
        })
        .collect()
}

/// Whether a record of the patient that is not erased is covered by both.
///
/// # Errors
/// [`StoreError`].
pub async fn overlap(
    conn: &mut PgConnection,
    patient: UserId,
    one: &Coverage,
    other: &Coverage,
) -> Result<bool, StoreError> {
    let overlaps = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM medical_records
               WHERE patient_id = $1
                 AND erased_at IS NULL
                 AND (record_type = ANY($2) OR id = ANY($3))
                 AND (record_type = ANY($4) OR id = ANY($5))
           ) AS "overlaps!""#,
        patient.0,
        &types_of(one),
        &ids_of(&one.records),
        &types_of(other),
        &ids_of(&other.records),
    )
    .fetch_one(conn)
    .await?;
    Ok(overlaps)
}

/// From now on only the patient reads what is covered. Gives how many records are new to that. The transaction writes an
/// audit row about the patient, whose time is theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn restrict(
    tx: &mut Tx<'_>,
    patient: UserId,
    covered: &Coverage,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "UPDATE medical_records
         SET restricted_at = decision_time()
         WHERE patient_id = $1
           AND erased_at IS NULL
           AND restricted_at IS NULL
           AND (record_type = ANY($2) OR id = ANY($3))",
        patient.0,
        &types_of(covered),
        &ids_of(&covered.records),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Lifts the restriction of a patient's records that no request of theirs restricts any more. Gives how many. The
/// transaction writes an audit row about the patient, whose time is theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn lift(tx: &mut Tx<'_>, patient: UserId) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "UPDATE medical_records AS record
         SET restricted_at = NULL
         WHERE record.patient_id = $1
           AND record.erased_at IS NULL
           AND record.restricted_at IS NOT NULL
           AND NOT EXISTS (
               SELECT FROM data_deletion_requests AS request
               WHERE request.user_id = $1
                 AND request.restricts
                 AND (request.approved_categories && ARRAY['ALL_RECORDS', record.record_type::text]
                      OR is_version_of(record.id, request.approved_records))
           )",
        patient.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Which of these records are restricted or erased, in no particular order.
///
/// # Errors
/// [`StoreError`].
pub async fn withheld(
    conn: &mut PgConnection,
    records: &[RecordId],
) -> Result<Vec<RecordId>, StoreError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let found = sqlx::query_scalar!(
        "SELECT id
         FROM medical_records
         WHERE id = ANY($1)
           AND (restricted_at IS NOT NULL OR erased_at IS NOT NULL)",
        &ids_of(records),
    )
    .fetch_all(conn)
    .await?;
    Ok(record_ids(found))
}

/// Whether all that is covered lies within `wide`: its types among those of `wide`, its records named by it or of one of
/// its types.
///
/// # Errors
/// [`StoreError`].
pub async fn is_within(
    conn: &mut PgConnection,
    covered: &Coverage,
    wide: &Coverage,
) -> Result<bool, StoreError> {
    let types = wide.types();
    let is_narrow = covered.categories.iter().all(|it| match it {
        Category::All => wide.categories.contains(it),
        Category::Only(record_type) => types.contains(record_type),
    });
    let of_records = types_of_records(conn, &covered.records).await?;
    let is_named = |(id, record_type): &(RecordId, RecordType)| {
        wide.records.contains(id) || types.contains(record_type)
    };
    Ok(is_narrow && of_records.iter().all(is_named))
}
