//! Whole rows, as they stand: what is needed to open a record and to judge its row.

use chrono::{DateTime, Utc};
use domain::{
    ids::{PatientKeyId, RecordId, UserId},
    stored::{StoredAnchor, StoredKey, StoredRecord},
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::StoreError;

struct SealedRow {
    id: Uuid,
    patient_id: Uuid,
    blockchain_record_id: String,
    record_type: String,
    record_metadata: Option<Value>,
    encrypted_data: Vec<u8>,
    data_hash: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    author_id: Option<Uuid>,
    patient_key_id: Option<Uuid>,
    version: i32,
    predecessor_id: Option<Uuid>,
    effective_at: Option<DateTime<Utc>>,
    code_tokens: Option<Vec<Vec<u8>>>,
    withdrawn: bool,
    superseded_at: Option<DateTime<Utc>>,
    missing_elements: Option<Value>,
    restricted_at: Option<DateTime<Utc>>,
    erased_at: Option<DateTime<Utc>>,
    key_id: Option<Uuid>,
    key_patient_id: Option<Uuid>,
    wrapped_key: Option<Vec<u8>>,
    master_key_id: Option<String>,
    key_created_at: Option<DateTime<Utc>>,
    destroyed_at: Option<DateTime<Utc>>,
    anchored_hash: Option<String>,
    anchored_by: Option<String>,
    succeeded_at: Option<DateTime<Utc>>,
    is_anchored_as_superseded: bool,
    must_be_restricted: bool,
    changes: Vec<DateTime<Utc>>,
}

impl SealedRow {
    /// The row of the key it names, where there is one.
    fn key(&mut self) -> Option<StoredKey> {
        Some(StoredKey {
            id: PatientKeyId(self.key_id?),
            patient: UserId(self.key_patient_id?),
            wrapped_key: self.wrapped_key.take(),
            master_key_id: self.master_key_id.take()?,
            created_at: self.key_created_at?,
            destroyed_at: self.destroyed_at,
        })
    }

    fn anchor(&mut self) -> Option<StoredAnchor> {
        Some(StoredAnchor {
            record_hash: self.anchored_hash.take()?,
            tx_hash: self.anchored_by.take()?,
        })
    }
}

impl From<SealedRow> for StoredRecord {
    fn from(mut row: SealedRow) -> Self {
        Self {
            key: row.key(),
            anchor: row.anchor(),
            id: RecordId(row.id),
            patient: UserId(row.patient_id),
            blockchain_record_id: row.blockchain_record_id,
            record_type: row.record_type,
            metadata: row.record_metadata,
            encrypted_data: row.encrypted_data,
            data_hash: row.data_hash,
            created_at: row.created_at,
            updated_at: row.updated_at,
            author: row.author_id.map(UserId),
            key_id: row.patient_key_id.map(PatientKeyId),
            version: row.version,
            predecessor: row.predecessor_id.map(RecordId),
            effective_at: row.effective_at,
            code_tokens: row.code_tokens,
            is_withdrawn: row.withdrawn,
            superseded_at: row.superseded_at,
            missing: row.missing_elements,
            restricted_at: row.restricted_at,
            erased_at: row.erased_at,
            succeeded_at: row.succeeded_at,
            is_anchored_as_superseded: row.is_anchored_as_superseded,
            must_be_restricted: row.must_be_restricted,
            changes: row.changes,
        }
    }
}

/// The newest records that are found by codes.
///
/// # Errors
/// [`StoreError`].
pub async fn newest_with_codes(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<RecordId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT id FROM medical_records WHERE code_tokens IS NOT NULL ORDER BY id DESC LIMIT $1",
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(RecordId).collect())
}

/// Whole rows, with their keys, their anchors and what the audit trail knows of their times. In no
/// particular order; unknown ids are left out. Decides nothing, and believes nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn sealed(
    conn: &mut PgConnection,
    ids: &[RecordId],
) -> Result<Vec<StoredRecord>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        SealedRow,
        r#"SELECT
            record.id AS "id!",
            record.patient_id AS "patient_id!",
            record.blockchain_record_id AS "blockchain_record_id!",
            record.record_type AS "record_type!",
            record.record_metadata,
            record.encrypted_data AS "encrypted_data!",
            record.data_hash AS "data_hash!",
            record.created_at AS "created_at!",
            record.updated_at AS "updated_at!",
            record.author_id,
            record.patient_key_id,
            record.version AS "version!",
            record.predecessor_id,
            record.effective_at,
            record.code_tokens,
            record.withdrawn AS "withdrawn!",
            record.superseded_at,
            record.missing_elements,
            record.restricted_at,
            record.erased_at,
            key.id AS "key_id?",
            key.patient_id AS "key_patient_id?",
            key.wrapped_key AS "wrapped_key?",
            key.master_key_id AS "master_key_id?",
            key.created_at AS "key_created_at?",
            key.destroyed_at AS "destroyed_at?",
            anchor.record_hash AS "anchored_hash?",
            anchor.tx_hash AS "anchored_by?",
            successor.created_at AS "succeeded_at?",
            -- A successor whose row is gone: its anchor and the chain's event outlive it.
            EXISTS (SELECT FROM record_anchors AS later WHERE later.predecessor_hash = record.data_hash)
                OR EXISTS (
                    SELECT FROM chain_events AS later
                    WHERE later.payload ->> 'predecessor' = record.data_hash AND later.undone_at IS NULL
                      -- Somebody with a stolen key did that, and a steward took it back.
                      AND NOT EXISTS (
                          SELECT FROM chain_events AS annulled
                          WHERE annulled.subject_hash = record.data_hash AND annulled.undone_at IS NULL
                            AND annulled.kind = 'ENDING_ANNULLED'
                            AND annulled.chain_id = later.chain_id
                            AND annulled.registry = later.registry
                            AND annulled.sequence > later.sequence
                      )
                ) AS "is_anchored_as_superseded!",
            -- Whoever lifts a restriction by hand has to change the request, too, which is sealed.
            EXISTS (
                SELECT FROM data_deletion_requests AS request
                WHERE request.user_id = record.patient_id AND request.restricts
                  AND (request.approved_categories && ARRAY['ALL_RECORDS', record.record_type::text]
                       OR is_version_of(record.id, request.approved_records))
            ) AS "must_be_restricted!",
            -- Hardly any row ever changed: the trail is asked about those alone, by its times.
            CASE
                WHEN record.updated_at = record.created_at
                     AND record.restricted_at IS NULL AND record.erased_at IS NULL THEN '{}'
                ELSE ARRAY(
                    SELECT DISTINCT trail.event_time
                    FROM audit_logs AS trail
                    WHERE trail.event_time IN (record.updated_at, record.restricted_at, record.erased_at)
                      AND trail.patient_id = record.patient_id
                      AND trail.action_type NOT IN (
                          'RECORD_READ', 'RECORD_SEARCH', 'RECORD_VERIFY', 'RECORD_EXPORT', 'ACCESS_DENIED',
                          'INTEGRITY_FAILURE'
                      )
                )
            END AS "changes!: Vec<DateTime<Utc>>"
         FROM medical_records AS record
         LEFT JOIN patient_keys AS key ON key.id = record.patient_key_id
         LEFT JOIN record_anchors AS anchor ON anchor.record_id = record.id
         LEFT JOIN medical_records AS successor ON successor.predecessor_id = record.id
         WHERE record.id = ANY($1)"#,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(Into::into).collect())
}
