//! A record on its way into the tables: planned, signed, sealed, and turned into the row of each.

use chain::SignedAnchor;
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::{PatientKeyId, RecordId},
    integrity::{ClosingReason, FeedKind},
    sources::RecordSource,
};
use serde_json::json;
use store::{
    anchors::{Anchor, NewAnchor},
    feed::{AnchorSubject, FeedEntry, OnChainLocation},
    idempotency::Remembered,
    outbox::SignedTransaction,
    records::NewRecord,
};
use vault::envelope::{Binding, PatientKey};

use super::{
    authorize::Permitted, draft::Stored, signing::SigningRequest, succession::VersionLink,
};

/// A draft with its place on the chain: what can be written down before it is signed.
pub(super) struct NumberedDraft<'a> {
    /// The draft, and why it may be stored.
    pub(super) permitted: Permitted<'a>,
    /// The versions before.
    pub(super) link: VersionLink,
    /// The signer's nonce.
    pub(super) nonce: i64,
}

/// A record on its way into the tables.
pub(super) struct SignedDraft<'a> {
    numbered: NumberedDraft<'a>,
    signed: SignedAnchor,
}

impl NumberedDraft<'_> {
    /// What is to be signed for it.
    pub(super) fn signing_request(&self) -> SigningRequest {
        SigningRequest {
            nonce: self.nonce,
            hash: self.permitted.asked.draft.data_hash,
            supersedes: self.link.superseded().copied(),
        }
    }

    pub(super) fn remembered(&self) -> Option<Remembered> {
        let draft = self.permitted.asked.draft;
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
            asked,
            purpose,
            decision,
            ..
        } = &self.permitted;
        let draft = asked.draft;
        let mut new_value = json!({
            "version": draft.version,
            "recordType": draft.record_type,
            "dataHash": draft.data_hash.to_string(),
        });
        let mut old_value = None;
        let mut action = AuditAction::RecordCreate;
        if let Some(old) = draft.follows {
            action = AuditAction::RecordAmend;
            new_value["withdrawn"] = json!(old.withdraws);
            old_value = Some(json!({
                "recordId": old.id,
                "version": old.version,
                "dataHash": self.link.predecessor.map(|hash| hash.to_string()),
            }));
        }
        if draft.is_restored {
            action = AuditAction::RecordImport;
        }
        AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            resource_id: draft.id.0,
            representation: decision.representation(),
            old_value,
            new_value: Some(new_value),
            consent: decision.consent(),
            classification: Classification::Medical,
            encryption: EncryptionStatus::EncryptedAtRest,
            patient: Some(draft.patient),
            ..draft.caller.entry(action, *purpose)
        }
    }
}

/// Seals a draft and joins it with its signed transaction.
pub(super) fn seal<'a>(
    numbered: NumberedDraft<'a>,
    signed: SignedAnchor,
    key_id: PatientKeyId,
    key: &PatientKey,
) -> (NewRecord, SignedDraft<'a>) {
    let permitted = &numbered.permitted;
    let draft = permitted.asked.draft;
    let binding = Binding {
        record: draft.id,
        patient: draft.patient,
        // What a representative stores is the patient's, who can put it right; the trail names both.
        author: Some(draft.caller.subject()),
        record_type: draft.record_type,
        version: draft.version.cast_unsigned(),
        predecessor: draft.follows.map(|old| old.id),
        is_withdrawn: draft.follows.is_some_and(|old| old.withdraws),
        key: key_id,
        created_at: permitted.at,
        effective_at: draft.found_by.effective_at,
        code_tokens: draft.found_by.code_tokens.as_deref(),
        metadata: draft.found_by.metadata.as_ref(),
        missing: draft.missing.as_ref(),
    };
    let record = NewRecord {
        id: draft.id,
        patient: draft.patient,
        author: draft.caller.subject(),
        record_type: draft.record_type,
        version: draft.version,
        predecessor: draft.follows.map(|old| old.id),
        is_withdrawn: draft.follows.is_some_and(|old| old.withdraws),
        metadata: draft.found_by.metadata.clone(),
        effective_at: draft.found_by.effective_at,
        code_tokens: draft.found_by.code_tokens.clone(),
        encrypted_data: key.seal(&binding, &draft.canonical),
        missing: draft.missing.clone(),
        key: key_id,
        data_hash: draft.data_hash,
        blockchain_record_id: signed.tx_hash.to_string(),
        created_at: permitted.at,
    };
    (record, SignedDraft { numbered, signed })
}

impl SignedDraft<'_> {
    pub(super) fn anchor(&self) -> NewAnchor {
        let NumberedDraft {
            permitted,
            link,
            nonce,
        } = &self.numbered;
        let draft = permitted.asked.draft;
        NewAnchor {
            patient: draft.patient,
            record_type: draft.record_type,
            record_hash: draft.data_hash,
            predecessor_hash: link.predecessor,
            supersedes: link.supersedes,
            transaction: SignedTransaction {
                of: draft.id,
                nonce: *nonce,
                tx_hash: self.signed.tx_hash.to_string(),
                raw_transaction: self.signed.raw.clone(),
                max_fee_per_gas: self.signed.max_fee_per_gas,
            },
        }
    }

    /// What it was made of, where that came from a source.
    pub(super) fn source(&self) -> Option<RecordSource> {
        let draft = self.numbered.permitted.asked.draft;
        let source = draft.source.as_ref()?;
        Some(RecordSource {
            patient: draft.patient,
            record: draft.id,
            number: draft.version,
            kind: source.kind.to_owned(),
            state: source.state.stored(),
        })
    }

    /// What is closed on the chain with it: itself, and the version before where the transaction does not name that
    /// as superseded.
    pub(super) fn closings(&self) -> Vec<(RecordId, ClosingReason)> {
        let NumberedDraft {
            permitted, link, ..
        } = &self.numbered;
        let draft = permitted.asked.draft;
        let Some(reason) = draft.closes() else {
            return Vec::new();
        };
        let stands = draft
            .follows
            .filter(|_| link.predecessor.is_some() && !link.supersedes);
        let before = stands.map(|old| (old.id, reason));
        [(draft.id, reason)].into_iter().chain(before).collect()
    }

    /// Answers whoever asked, once it is committed.
    pub(super) fn answer(self, record: NewRecord) {
        let draft = self.numbered.permitted.asked.draft;
        // The anchor as it stands when the transaction commits.
        let tx_hash = self.signed.tx_hash.to_string();
        let pending = Anchor::pending(draft.id, draft.data_hash, tx_hash, draft.closes());
        let Permitted { asked, purpose, .. } = self.numbered.permitted;
        let on_behalf_of = asked.draft.caller.on_behalf_of;
        asked.answer(Ok(Stored {
            record: record.into(),
            purpose,
            on_behalf_of,
            anchor: Some(pending),
            source: None,
        }));
    }

    pub(super) fn event(&self) -> FeedEntry {
        let draft = self.numbered.permitted.asked.draft;
        let subject = AnchorSubject {
            record: draft.id,
            patient: draft.patient,
            record_type: Some(draft.record_type),
            record_hash: Some(draft.data_hash),
        };
        let place = OnChainLocation::of_transaction(self.signed.tx_hash.to_string());
        FeedEntry::of_anchor(FeedKind::AnchorPending, subject, place)
    }
}
