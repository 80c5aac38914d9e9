//! Sealed documents, and what is known of them in clear.

use chrono::{DateTime, Utc};
use domain::{
    ids::{PatientKeyId, RecordId, UserId},
    records::{Availability, DataHash, RecordType},
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, rows};

pub mod derived;
mod numbers;
mod sealed;
pub mod search;

pub use numbers::{Number, numbers};
pub use sealed::{newest_with_codes, sealed};

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
    /// The version before.
    pub predecessor: Option<RecordId>,
    /// Whether no other version has taken its place.
    pub is_current: bool,
    /// Whether it withdraws the record.
    pub is_withdrawn: bool,
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
    /// How long its envelope is. Unit: bytes.
    pub sealed_bytes: usize,
    /// Whether its content may still be had.
    pub availability: Availability,
    /// When what the document says was so, if it says when.
    pub effective_at: Option<DateTime<Utc>>,
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
    superseded_at: Option<DateTime<Utc>>,
    withdrawn: bool,
    record_metadata: Option<Value>,
    missing_elements: Option<Value>,
    data_hash: String,
    blockchain_record_id: String,
    sealed_bytes: i32,
    restricted_at: Option<DateTime<Utc>>,
    erased_at: Option<DateTime<Utc>>,
    effective_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<RecordRow> for Record {
    type Error = StoreError;
    fn try_from(row: RecordRow) -> Result<Self, StoreError> {
        let availability = match (row.erased_at, row.restricted_at) {
            (Some(_), _) => Availability::Erased,
            (None, Some(_)) => Availability::Restricted,
            (None, None) => Availability::Open,
        };
        Ok(Self {
            id: RecordId(row.id),
            patient: UserId(row.patient_id),
            author: row.author_id.map(UserId),
            record_type: rows::text(&row.record_type, "record type")?,
            version: row.version,
            predecessor: row.predecessor_id.map(RecordId),
            is_current: row.superseded_at.is_none(),
            is_withdrawn: row.withdrawn,
            metadata: row.record_metadata,
            missing: row.missing_elements,
            data_hash: row.data_hash,
            blockchain_record_id: row.blockchain_record_id,
            sealed_bytes: usize::try_from(row.sealed_bytes).unwrap_or_default(),
            availability,
            effective_at: row.effective_at,
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
    /// Which version, from 1.
    pub version: i32,
    /// The version before, of which [`crate::versions::supersede`] has just made an old one.
    pub predecessor: Option<RecordId>,
    /// Whether it withdraws the record.
    pub is_withdrawn: bool,
    /// What is searchable.
    pub metadata: Option<Value>,
    /// When what it says was so.
    pub effective_at: Option<DateTime<Utc>>,
    /// Its codes in the blind index; `None` where it has none.
    pub code_tokens: Option<Vec<Vec<u8>>>,
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

/// As its row reads once it is stored.
impl From<NewRecord> for Record {
    fn from(new: NewRecord) -> Self {
        Self {
            id: new.id,
            patient: new.patient,
            author: Some(new.author),
            record_type: new.record_type,
            version: new.version,
            predecessor: new.predecessor,
            is_current: true,
            is_withdrawn: new.is_withdrawn,
            metadata: new.metadata,
            missing: new.missing,
            data_hash: new.data_hash.to_string(),
            blockchain_record_id: new.blockchain_record_id,
            sealed_bytes: new.encrypted_data.len(),
            availability: Availability::Open,
            effective_at: new.effective_at,
            created_at: new.created_at,
            updated_at: new.created_at,
        }
    }
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
    let effective: Vec<Option<DateTime<Utc>>> = records.iter().map(|r| r.effective_at).collect();
    // An array of arrays must be even, so the tokens of all records travel as one and are told apart
    // by the record's place.
    let mut tokens = Vec::new();
    let mut token_places = Vec::new();
    for (place, record) in (1_i64..).zip(records) {
        let own = record.code_tokens.iter().flatten();
        token_places.extend(own.clone().map(|_| place));
        tokens.extend(own.cloned());
    }
    let versions: Vec<i32> = records.iter().map(|r| r.version).collect();
    let predecessors = records.iter().map(|r| r.predecessor.map(|id| id.0));
    let predecessors: Vec<Option<Uuid>> = predecessors.collect();
    let withdrawn: Vec<bool> = records.iter().map(|r| r.is_withdrawn).collect();
    sqlx::query!(
        "INSERT INTO medical_records (
             id, patient_id, author_id, record_type, record_metadata, missing_elements,
             encrypted_data, patient_key_id, data_hash, blockchain_record_id, created_at, updated_at, effective_at,
             code_tokens, version, predecessor_id, withdrawn, restricted_at
         )
         SELECT id, patient_id, author_id, record_type, record_metadata, missing_elements,
                encrypted_data, patient_key_id, data_hash, blockchain_record_id, created_at, created_at,
                effective_at, coded.tokens, version, predecessor_id, withdrawn,
                (SELECT e.created_at FROM data_deletion_requests AS asked
                 WHERE asked.user_id = e.patient_id AND asked.restricts
                   AND (asked.approved_categories && ARRAY['ALL_RECORDS', e.record_type]
                        OR is_version_of(e.predecessor_id, asked.approved_records))
                 LIMIT 1)
         FROM UNNEST(
             $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::jsonb[],
             $7::bytea[], $8::uuid[], $9::text[], $10::text[], $11::timestamptz[],
             $12::timestamptz[], $15::integer[], $16::uuid[], $17::boolean[]
         ) WITH ORDINALITY AS e(
             id, patient_id, author_id, record_type, record_metadata, missing_elements,
             encrypted_data, patient_key_id, data_hash, blockchain_record_id, created_at,
             effective_at, version, predecessor_id, withdrawn, place
         )
         LEFT JOIN (
             SELECT place, array_agg(token ORDER BY nth) AS tokens
             FROM UNNEST($13::bytea[], $14::bigint[]) WITH ORDINALITY AS t(token, place, nth)
             GROUP BY place
         ) AS coded USING (place)",
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
        &effective as &[Option<DateTime<Utc>>],
        &tokens,
        &token_places,
        &versions,
        &predecessors as &[Option<Uuid>],
        &withdrawn,
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
        r#"SELECT id, patient_id, author_id, record_type, version, predecessor_id, superseded_at,
                withdrawn, record_metadata, missing_elements, data_hash, blockchain_record_id,
                octet_length(encrypted_data) AS "sealed_bytes!",
                restricted_at, erased_at, effective_at, created_at, updated_at
         FROM medical_records
         WHERE id = ANY($1)"#,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(Record::try_from).collect()
}
