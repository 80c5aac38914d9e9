//! Rows as they stand in the database, unjudged: what `store` reads and `vault` checks.
//!
//! Nothing in here is believed. A text is a text, whatever the schema promises about it, so that a row
//! somebody wrote nonsense into can still be read, checked and reported.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::{PatientKeyId, RecordId, UserId};

/// A row of `medical_records`, with the key it is sealed under and what else speaks of it.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    /// `id`.
    pub id: RecordId,
    /// `patient_id`.
    pub patient: UserId,
    /// `blockchain_record_id`.
    pub blockchain_record_id: String,
    /// `record_type`.
    pub record_type: String,
    /// `record_metadata`.
    pub metadata: Option<Value>,
    /// `encrypted_data`.
    pub encrypted_data: Vec<u8>,
    /// `data_hash`.
    pub data_hash: String,
    /// `created_at`.
    pub created_at: DateTime<Utc>,
    /// `updated_at`.
    pub updated_at: DateTime<Utc>,
    /// `author_id`.
    pub author: Option<UserId>,
    /// `patient_key_id`.
    pub key_id: Option<PatientKeyId>,
    /// `version`.
    pub version: i32,
    /// `predecessor_id`.
    pub predecessor: Option<RecordId>,
    /// `effective_at`.
    pub effective_at: Option<DateTime<Utc>>,
    /// `code_tokens`.
    pub code_tokens: Option<Vec<Vec<u8>>>,
    /// `withdrawn`.
    pub is_withdrawn: bool,
    /// `superseded_at`.
    pub superseded_at: Option<DateTime<Utc>>,
    /// `missing_elements`.
    pub missing: Option<Value>,
    /// `restricted_at`.
    pub restricted_at: Option<DateTime<Utc>>,
    /// `erased_at`.
    pub erased_at: Option<DateTime<Utc>>,
    /// Whether a request in force restricts it to its subject.
    pub must_be_restricted: bool,
    /// The row of that key.
    pub key: Option<StoredKey>,
    /// What `record_anchors` says of this record.
    pub anchor: Option<StoredAnchor>,
    /// When the version that says it followed this one was stored.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Whether a signed transaction, or the chain, names a version that followed this one.
    pub is_anchored_as_superseded: bool,
    /// Those of its later times at which the audit trail says that the row was changed.
    pub changes: Vec<DateTime<Utc>>,
}

/// A row of `patient_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// `id`.
    pub id: PatientKeyId,
    /// `patient_id`.
    pub patient: UserId,
    /// `wrapped_key`; `None` once destroyed.
    pub wrapped_key: Option<Vec<u8>>,
    /// `master_key_id`.
    pub master_key_id: String,
    /// `created_at`.
    pub created_at: DateTime<Utc>,
    /// `destroyed_at`.
    pub destroyed_at: Option<DateTime<Utc>>,
}

/// What is anchored for a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnchor {
    /// `record_hash`.
    pub record_hash: String,
    /// `tx_hash`.
    pub tx_hash: String,
}
