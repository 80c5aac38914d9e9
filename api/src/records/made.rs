//! A record on its way into the tables: sealed, signed, and turned into the row of each.

use chain::SignedAnchor;
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::PatientKeyId,
    integrity::{AnchorState, FeedKind},
};
use serde_json::json;
use store::{anchors::NewAnchor, feed::FeedEntry, idempotency::Remembered, records::NewRecord};
use vault::envelope::{Binding, PatientKey};

use super::admission::Permitted;

/// A record on its way into the tables.
pub(super) struct Made<'a> {
    /// The draft, and why it may be stored.
    pub(super) permitted: Permitted<'a>,
    nonce: i64,
    signed: SignedAnchor,
}

/// Seals a draft and joins it with its signed transaction.
pub(super) fn make<'a>(
    permitted: Permitted<'a>,
    nonce: i64,
    signed: SignedAnchor,
    key_id: PatientKeyId,
    key: &PatientKey,
) -> (NewRecord, Made<'a>) {
    let draft = permitted.draft;
    let missing = draft.missing.as_ref().map(|missing| json!(missing));
    let binding = Binding {
        record: draft.id,
        patient: draft.patient,
        author: Some(draft.caller.user),
        record_type: draft.record_type,
        version: 1,
        predecessor: None,
        key: key_id,
        created_at: permitted.at,
        effective_at: draft.found_by.effective_at,
        code_tokens: draft.found_by.code_tokens.as_deref(),
        metadata: draft.found_by.metadata.as_ref(),
        missing: missing.as_ref(),
    };
    let record = NewRecord {
        id: draft.id,
        patient: draft.patient,
        author: draft.caller.user,
        record_type: draft.record_type,
        metadata: draft.found_by.metadata.clone(),
        effective_at: draft.found_by.effective_at,
        code_tokens: draft.found_by.code_tokens.clone(),
        encrypted_data: key.seal(&binding, &draft.canonical),
        missing,
        key: key_id,
        data_hash: draft.data_hash,
        blockchain_record_id: signed.tx_hash.to_string(),
        created_at: permitted.at,
    };
    (
        record,
        Made {
            permitted,
            nonce,
            signed,
        },
    )
}

impl Made<'_> {
    pub(super) fn anchor(&self) -> NewAnchor {
        let draft = self.permitted.draft;
        NewAnchor {
            record: draft.id,
            patient: draft.patient,
            record_type: draft.record_type,
            record_hash: draft.data_hash,
            nonce: self.nonce,
            tx_hash: self.signed.tx_hash.to_string(),
            raw_transaction: self.signed.raw.clone(),
            max_fee_per_gas: self.signed.max_fee_per_gas,
        }
    }

    pub(super) fn remembered(&self) -> Option<Remembered> {
        let draft = self.permitted.draft;
        let (key, request_hash) = draft.idempotency.clone()?;
        Some(Remembered {
            user: draft.caller.user,
            key,
            request_hash,
            resource: draft.id.0,
        })
    }

    pub(super) fn entry(&self) -> AuditEntry {
        let Permitted {
            draft,
            purpose,
            decision,
            ..
        } = self.permitted;
        AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            resource_id: draft.id.0,
            new_value: Some(json!({
                "version": 1,
                "recordType": draft.record_type,
                "dataHash": draft.data_hash.to_string(),
            })),
            consent: decision.consent(),
            classification: Classification::Medical,
            encryption: EncryptionStatus::EncryptedAtRest,
            patient: Some(draft.patient),
            ..draft.caller.entry(AuditAction::RecordCreate, purpose)
        }
    }

    pub(super) fn event(&self) -> FeedEntry {
        let draft = self.permitted.draft;
        FeedEntry {
            record: Some(draft.id),
            patient: Some(draft.patient),
            record_type: Some(draft.record_type),
            record_hash: Some(draft.data_hash),
            tx_hash: Some(self.signed.tx_hash.to_string()),
            state: Some(AnchorState::Pending),
            ..FeedEntry::new(FeedKind::AnchorPending)
        }
    }
}
