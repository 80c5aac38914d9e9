//! What an audit row keeps of a consent.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::{Consent, Terms},
    ids::ConsentId,
    purpose::Purpose,
};
use serde_json::{Value, json};

use crate::caller::Caller;

/// The audit entry of an action on a consent.
pub(super) fn entry(caller: &Caller, action: AuditAction, id: ConsentId) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Consent,
        resource_id: id.0,
        consent: Some(id),
        classification: Classification::SensitivePersonal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(caller.subject()),
        ..caller.entry(action, Purpose::PatientRequest)
    }
}

/// A consent in full: the evidence that an audit row keeps.
pub(crate) fn evidence(consent: &Consent) -> Value {
    json!({
        "purpose": consent.purpose,
        "dataCategories": consent.categories,
        "processingActivities": consent.activities,
        "thirdParties": consent.grantees,
        "givenAt": consent.given_at,
        "expiresAt": consent.expires_at,
        "withdrawnAt": consent.withdrawn_at,
    })
}

/// The same, with the hash of the receipt that was made of it.
pub(crate) fn evidence_with(consent: &Consent, receipt: Option<&str>) -> Value {
    let mut told = evidence(consent);
    if let Some(receipt) = receipt {
        told["receipt"] = receipt.into();
    }
    told
}

/// Terms, as a retry is compared by.
pub(super) fn evidence_of(terms: &Terms) -> Value {
    json!([
        terms.purpose,
        terms.categories,
        terms.activities,
        terms.grantees,
        terms.expires_at
    ])
}
