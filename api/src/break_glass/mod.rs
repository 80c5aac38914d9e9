//! Emergency access: windows on a patient's records, opened and closed by doctors, and reviewed by administrators.
//!
//! What a window permits is decided where every access is (`crate::facts`); here it comes and goes.

mod close;
mod forged;
pub(crate) mod graphql;
mod list;
mod open;
mod review;
pub(crate) mod schedule;
pub(crate) mod taken_out;
mod words;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    break_glass::BreakGlassWindow,
    ids::BreakGlassWindowId,
    purpose::Purpose,
    users::SCHEDULER,
};
use serde_json::{Value, json};

use crate::caller::Caller;

/// The entry of what somebody did about a window.
fn entry(
    caller: &Caller,
    action: AuditAction,
    purpose: Purpose,
    window: &BreakGlassWindow,
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::BreakGlassWindow,
        resource_id: window.id.0,
        classification: Classification::SensitivePersonal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(window.patient),
        ..caller.entry(action, purpose)
    }
}

/// What an audit row keeps of a window: never its reason.
pub(crate) fn evidence(window: &BreakGlassWindow) -> Value {
    json!({
        "openedAt": window.opened_at,
        "expiresAt": window.expires_at,
        "closedAt": window.closed_at,
    })
}

/// The entry of what somebody asked about a window that they may not know of.
fn entry_of_unknown(caller: &Caller, id: BreakGlassWindowId, purpose: Purpose) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::BreakGlassWindow,
        resource_id: id.0,
        classification: Classification::SensitivePersonal,
        ..caller.entry(AuditAction::AccessDenied, purpose)
    }
}

/// The entry of what happened to a window by itself.
fn entry_of_job(
    origin: &Origin,
    action: AuditAction,
    purpose: Purpose,
    window: &BreakGlassWindow,
    said: Value,
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::BreakGlassWindow,
        resource_id: window.id.0,
        new_value: Some(said),
        classification: Classification::SensitivePersonal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(window.patient),
        ..AuditEntry::new(SCHEDULER, action, purpose, origin)
    }
}
