//! Access codes: a patient prepares a consent without a grantee, says its code to a doctor, and whoever redeems the code
//! becomes the grantee. So patients are found by nobody, and name a doctor without looking for one.

pub(crate) mod graphql;
mod prepare;
mod redeem;

use domain::{
    access_codes::PreparedConsent,
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::AccessCodeId,
    purpose::Purpose,
};
use serde_json::{Value, json};

use crate::caller::Caller;

/// The audit entry of what a patient, or who acts for them, does about one of the patient's codes, to be completed by field.
fn entry(caller: &Caller, action: AuditAction, id: AccessCodeId) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::AccessCode,
        resource_id: id.0,
        classification: Classification::SensitivePersonal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(caller.subject()),
        ..caller.entry(action, Purpose::PatientRequest)
    }
}

/// A prepared consent in full, without its code.
fn evidence(prepared: &PreparedConsent) -> Value {
    json!({
        "purpose": prepared.purpose,
        "dataCategories": prepared.categories,
        "processingActivities": prepared.activities,
        "consentExpiresAt": prepared.consent_expires_at,
        "expiresAt": prepared.expires_at,
    })
}
