//! Sealed documents, and what is known of them in clear.

use chrono::{DateTime, Utc};
use domain::{
    access::Actor,
    consents::Grantee,
    ids::{PatientKeyId, RecordId, UserId},
    purpose::Purpose,
    records::{DataHash, RecordType, Standing},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, rows};

/// A record without its content.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which.
    pub id: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Who wrote it.
    pub author: Option<UserId>,
    /// Of which type.
    pub record_type: RecordType,
    /// Which version.
    pub version: i32,
    /// The version before it.
    pub predecessor: Option<RecordId>,
    /// What is searchable.
    pub metadata: Option<Value>,
    /// The bullets of the specification it lacks, a list of texts; `None` means complete. As the row
    /// says it, because the envelope binds exactly that.
    pub missing: Option<Value>,
    /// The SHA-256 of its canonical bytes, as the row says it. Text, because it is shown and compared
    /// even where somebody wrote nonsense over it.
    pub data_hash: String,
    /// The hash of the transaction that anchors it.
    pub blockchain_record_id: String,
    /// Whether its content may still be had.
    pub standing: Standing,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// When its row last changed.
    pub updated_at: DateTime<Utc>,
}

struct RecordRow {
    id: Uuid,
    patient_id: Uuid,
    author_id: Option<Uuid>,
    record_type: String,
    version: i32,
    predecessor_id: Option<Uuid>,
    record_metadata: Option<Value>,
    missing_elements: Option<Value>,
    data_hash: String,
    blockchain_record_id: String,
    restricted_at: Option<DateTime<Utc>>,
    erased_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<RecordRow> for Record {
    type Error = StoreError;
    fn try_from(row: RecordRow) -> Result<Self, StoreError> {
        let standing = match (row.erased_at, row.restricted_at) {
            (Some(_), _) => Standing::Erased,
            (None, Some(_)) => Standing::Restricted,
            (None, None) => Standing::Open,
        };
        Ok(Self {
            id: RecordId(row.id),
            patient: UserId(row.patient_id),
            author: row.author_id.map(UserId),
            record_type: rows::text(&row.record_type, "record type")?,
            version: row.version,
            predecessor: row.predecessor_id.map(RecordId),
            metadata: row.record_metadata,
            missing: row.missing_elements,
            data_hash: row.data_hash,
            blockchain_record_id: row.blockchain_record_id,
            standing,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// A record to be stored.
#[derive(Debug)]
pub struct NewRecord {
    /// Its id.
    pub id: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Who wrote it.
    pub author: UserId,
    /// Of which type.
    pub record_type: RecordType,
    /// What is searchable.
    pub metadata: Option<Value>,
    /// What it lacks; `None` means complete.
    pub missing: Option<Value>,
    /// The envelope.
    pub encrypted_data: Vec<u8>,
    /// The key it is sealed under.
    pub key: PatientKeyId,
    /// The SHA-256 of its canonical bytes.
    pub data_hash: DataHash,
    /// The hash of the transaction that will anchor it.
    pub blockchain_record_id: String,
    /// When it is stored: the transaction's time, which the envelope binds.
    pub created_at: DateTime<Utc>,
}

/// Stores records in one statement.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(tx: &mut Tx<'_>, records: &[NewRecord]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = records.iter().map(|r| r.id.0).collect();
    let patients: Vec<Uuid> = records.iter().map(|r| r.patient.0).collect();
    let authors: Vec<Uuid> = records.iter().map(|r| r.author.0).collect();
    let types: Vec<String> = records.iter().map(|r| r.record_type.to_string()).collect();
    let metadata: Vec<Option<Value>> = records.iter().map(|r| r.metadata.clone()).collect();
    let missing: Vec<Option<Value>> = records.iter().map(|r| r.missing.clone()).collect();
    let sealed: Vec<&[u8]> = records
        .iter()
        .map(|r| r.encrypted_data.as_slice())
        .collect();
    let keys: Vec<Uuid> = records.iter().map(|r| r.key.0).collect();
    let hashes: Vec<String> = records.iter().map(|r| r.data_hash.to_string()).collect();
    let transactions: Vec<String> = records
        .iter()
        .map(|r| r.blockchain_record_id.clone())
        .collect();
    let stored: Vec<DateTime<Utc>> = records.iter().map(|r| r.created_at).collect();
    sqlx::query!(
        "INSERT INTO medical_records (
             id, patient_id, author_id, record_type, record_metadata, missing_elements,
             encrypted_data, patient_key_id, data_hash, blockchain_record_id, created_at
         )
         SELECT id, patient_id, author_id, record_type, record_metadata, missing_elements,
                encrypted_data, patient_key_id, data_hash, blockchain_record_id, created_at
         FROM UNNEST(
             $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::jsonb[],
             $7::bytea[], $8::uuid[], $9::text[], $10::text[], $11::timestamptz[]
         ) AS e(
             id, patient_id, author_id, record_type, record_metadata, missing_elements,
             encrypted_data, patient_key_id, data_hash, blockchain_record_id, created_at
         )",
        &ids,
        &patients,
        &authors,
        &types,
        &metadata as &[Option<Value>],
        &missing as &[Option<Value>],
        &sealed as &[&[u8]],
        &keys,
        &hashes,
        &transactions,
        &stored,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Records by id, in no particular order; unknown ids are left out. Decides nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn by_ids(conn: &mut PgConnection, ids: &[RecordId]) -> Result<Vec<Record>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        RecordRow,
        "SELECT id, patient_id, author_id, record_type, version, predecessor_id, record_metadata,
                missing_elements, data_hash, blockchain_record_id, restricted_at, erased_at, created_at, updated_at
         FROM medical_records
         WHERE id = ANY($1)",
        &ids,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(Record::try_from).collect()
}

/// A record's envelope, and the wrapped key that opens it.
#[derive(Debug, Clone)]
pub struct SealedRecord {
    /// Which.
    pub id: RecordId,
    /// The envelope.
    pub encrypted_data: Vec<u8>,
    /// The key it is sealed under.
    pub key: Option<PatientKeyId>,
    /// That key, wrapped; `None` where it was destroyed.
    pub wrapped_key: Option<Vec<u8>>,
    /// The master key it is wrapped by.
    pub master_key_id: Option<String>,
    /// When that key was made.
    pub key_created_at: Option<DateTime<Utc>>,
}

/// Envelopes of records the caller was permitted to open.
///
/// # Errors
/// [`StoreError`].
pub async fn sealed(
    conn: &mut PgConnection,
    ids: &[RecordId],
) -> Result<Vec<SealedRecord>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT
            record.id AS "id!",
            record.encrypted_data AS "encrypted_data!",
            record.patient_key_id,
            key.wrapped_key AS "wrapped_key?",
            key.master_key_id AS "master_key_id?",
            key.created_at AS "key_created_at?"
         FROM medical_records AS record
         LEFT JOIN patient_keys AS key ON key.id = record.patient_key_id
         WHERE record.id = ANY($1)"#,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| SealedRecord {
            id: RecordId(row.id),
            encrypted_data: row.encrypted_data,
            key: row.patient_key_id.map(PatientKeyId),
            wrapped_key: row.wrapped_key,
            master_key_id: row.master_key_id,
            key_created_at: row.key_created_at,
        })
        .collect())
}

/// Where a page of records goes on.
pub type RecordCursor = (DateTime<Utc>, RecordId);

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct RecordFilter {
    /// Of this patient.
    pub patient: Option<UserId>,
    /// Of this type.
    pub record_type: Option<RecordType>,
}

/// The records this actor may search for this purpose, newest first: the rule of
/// `domain::access::decide` for SEARCH, in SQL, so that hidden rows are neither counted nor skipped.
/// Served by `idx_medical_records_patient_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    actor: Actor,
    purpose: Purpose,
    filter: &RecordFilter,
    after: Option<RecordCursor>,
    limit: i64,
) -> Result<Vec<Record>, StoreError> {
    let covering: Vec<String> = purpose.covering().iter().map(ToString::to_string).collect();
    let organization = actor
        .organization
        .map(|id| json!([{"kind": "org", "id": id}]));
    let found = sqlx::query_as!(
        RecordRow,
        "SELECT record.id, record.patient_id, record.author_id, record.record_type, record.version,
                record.predecessor_id, record.record_metadata, record.missing_elements, record.data_hash,
                record.blockchain_record_id, record.restricted_at, record.erased_at,
                record.created_at, record.updated_at
         FROM medical_records AS record
         WHERE record.erased_at IS NULL
           AND ($1::uuid IS NULL OR record.patient_id = $1)
           AND ($2::text IS NULL OR record.record_type = $2)
           AND ($3::timestamptz IS NULL OR (record.created_at, record.id) < ($3, $4::uuid))
           AND CASE WHEN $5 THEN record.patient_id = $6 ELSE
               record.restricted_at IS NULL
               AND EXISTS (
                   SELECT FROM data_processing_consents AS consent
                   WHERE consent.user_id = record.patient_id
                     AND consent.purpose = ANY($7)
                     AND consent.consent_given_at <= CURRENT_TIMESTAMP
                     AND (consent.consent_expires_at IS NULL OR consent.consent_expires_at > CURRENT_TIMESTAMP)
                     AND (consent.consent_withdrawn_at IS NULL OR consent.consent_withdrawn_at > CURRENT_TIMESTAMP)
                     AND (consent.data_categories ? 'ALL_RECORDS' OR consent.data_categories ? record.record_type)
                     AND consent.processing_activities ? 'SEARCH'
                     AND NOT consent.processing_activities ? 'DENY'
                     AND (consent.third_parties @> $8 OR consent.third_parties @> $9 OR consent.third_parties @> $10)
               )
               AND NOT EXISTS (
                   SELECT FROM data_processing_consents AS refusal
                   WHERE refusal.user_id = record.patient_id
                     AND refusal.purpose = ANY($7)
                     AND refusal.consent_given_at <= CURRENT_TIMESTAMP
                     AND (refusal.consent_expires_at IS NULL OR refusal.consent_expires_at > CURRENT_TIMESTAMP)
                     AND (refusal.consent_withdrawn_at IS NULL OR refusal.consent_withdrawn_at > CURRENT_TIMESTAMP)
                     AND (refusal.data_categories ? 'ALL_RECORDS' OR refusal.data_categories ? record.record_type)
                     AND refusal.processing_activities ? 'DENY'
                     AND (COALESCE(refusal.third_parties, '[]') = '[]'
                         OR refusal.third_parties @> $8 OR refusal.third_parties @> $9 OR refusal.third_parties @> $10)
               )
           END
         ORDER BY record.created_at DESC, record.id DESC
         LIMIT $11",
        filter.patient.map(|id| id.0),
        filter.record_type.map(RecordType::as_str),
        after.map(|(at, _)| at),
        after.map(|(_, id)| id.0),
        purpose == Purpose::PatientRequest,
        actor.id.0,
        &covering,
        json!([Grantee::User { id: actor.id }]),
        json!([Grantee::Role { role: actor.role }]),
        organization,
        limit,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(Record::try_from).collect()
}
