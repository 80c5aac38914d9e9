//! Which records were made of which documents of other systems. Decides nothing and believes nothing: `vault` says whether a
//! row is as it was written.

use chrono::{DateTime, Utc};
use domain::{
    ids::{RecordId, UserId},
    sources::{ContentToken, RecordSource, SourceState, SourceToken},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// A row as it was read, with its MAC.
#[derive(Debug, Clone)]
pub struct StoredSource {
    /// What it says.
    pub source: RecordSource,
    /// By what it is believed.
    pub mac: Vec<u8>,
}

/// What is known of these documents, each by its patient and its name; of those that are not known, nothing. Served by
/// `record_sources_source_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn find(
    conn: &mut PgConnection,
    names: &[(UserId, SourceToken)],
) -> Result<Vec<StoredSource>, StoreError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let patients: Vec<Uuid> = names.iter().map(|(patient, _)| patient.0).collect();
    let tokens: Vec<Vec<u8>> = names.iter().map(|(_, token)| token.to_vec()).collect();
    let found = sqlx::query!(
        "SELECT known.record_id, known.patient_id, known.source_token, known.version, known.resource_type,
                known.source_version, known.source_updated_at, known.content_token, known.mac
         FROM (SELECT DISTINCT * FROM UNNEST($1::uuid[], $2::bytea[]) AS e(patient_id, source_token)) AS asked
         JOIN record_sources AS known
           ON known.patient_id = asked.patient_id AND known.source_token = asked.source_token
         ORDER BY known.patient_id, known.source_token, known.version",
        &patients,
        &tokens,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(StoredSource {
                source: RecordSource {
                    patient: UserId(row.patient_id),
                    record: RecordId(row.record_id),
                    number: row.version,
                    kind: row.resource_type,
                    state: SourceState {
                        token: token(row.source_token)?,
                        version: row.source_version,
                        updated_at: row.source_updated_at,
                        content: ContentToken(token(row.content_token)?),
                        open: 0,
                    },
                },
                mac: row.mac,
            })
        })
        .collect()
}

/// Notes of what records were made, in the transaction that stores them. False where one of them was noted meanwhile: then
/// roll back and look again.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    rows: &[(RecordSource, SourceToken)],
) -> Result<bool, StoreError> {
    if rows.is_empty() {
        return Ok(true);
    }
    let each = || rows.iter().map(|(row, _)| row);
    let records: Vec<Uuid> = each().map(|row| row.record.0).collect();
    let patients: Vec<Uuid> = each().map(|row| row.patient.0).collect();
    let tokens: Vec<Vec<u8>> = each().map(|row| row.state.token.to_vec()).collect();
    let numbers: Vec<i32> = each().map(|row| row.number).collect();
    let kinds: Vec<String> = each().map(|row| row.kind.clone()).collect();
    let versions: Vec<Option<String>> = each().map(|row| row.state.version.clone()).collect();
    let times: Vec<Option<DateTime<Utc>>> = each().map(|row| row.state.updated_at).collect();
    let contents: Vec<Vec<u8>> = each().map(|row| row.state.content.0.to_vec()).collect();
    let macs: Vec<Vec<u8>> = rows.iter().map(|(_, mac)| mac.to_vec()).collect();
    let done = sqlx::query!(
        "INSERT INTO record_sources (
             record_id, patient_id, source_token, version, resource_type, source_version, source_updated_at,
             content_token, mac
         )
         SELECT record_id, patient_id, source_token, version, resource_type, source_version, source_updated_at,
                content_token, mac
         FROM UNNEST(
             $1::uuid[], $2::uuid[], $3::bytea[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[],
             $8::bytea[], $9::bytea[]
         ) AS e(
             record_id, patient_id, source_token, version, resource_type, source_version, source_updated_at,
             content_token, mac
         )
         ON CONFLICT DO NOTHING",
        &records,
        &patients,
        &tokens,
        &numbers,
        &kinds,
        &versions as &[Option<String>],
        &times as &[Option<DateTime<Utc>>],
        &contents,
        &macs,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == rows.len() as u64)
}

fn token(bytes: Vec<u8>) -> Result<SourceToken, StoreError> {
    bytes.try_into().map_err(|_| StoreError::Unreadable {
        what: "token of a source",
    })
}
