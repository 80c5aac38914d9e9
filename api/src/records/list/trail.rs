//! The rows that say what was looked for and what is shown.

use domain::{
    access::Action,
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
};
use serde_json::{Value, json};

use super::{ListRequest, ListedRecord, Search};
use crate::caller::Caller;

/// The row of a search, and one of each record that it shows.
pub(super) fn of_page(
    ListRequest { caller, search }: &ListRequest,
    purpose: Purpose,
    shown: &[ListedRecord],
    total: i64,
) -> Vec<AuditEntry> {
    let asked = AuditEntry {
        new_value: Some(in_words(search, shown.len(), total)),
        encryption: EncryptionStatus::MetadataOnly,
        ..of_asking(AuditAction::RecordSearch, caller, search, purpose)
    };
    let reads = shown.iter().map(|shown| AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: shown.record.id.0,
        new_value: Some(json!({ "version": shown.record.version })),
        consent: shown.consent,
        classification: Classification::Medical,
        encryption: if shown.opens {
            EncryptionStatus::DecryptedForDisclosure
        } else {
            EncryptionStatus::MetadataOnly
        },
        patient: Some(shown.record.patient),
        ..caller.entry(AuditAction::RecordRead, purpose)
    });
    std::iter::once(asked).chain(reads).collect()
}

/// The row of a search that may not be made.
pub(super) fn of_refusal(
    ListRequest { caller, search }: &ListRequest,
    purpose: Purpose,
) -> AuditEntry {
    AuditEntry {
        new_value: Some(json!({ "reason": "PURPOSE", "wanted": Action::Search })),
        encryption: EncryptionStatus::MetadataOnly,
        ..of_asking(AuditAction::AccessDenied, caller, search, purpose)
    }
}

fn of_asking(
    action: AuditAction,
    caller: &Caller,
    search: &Search,
    purpose: Purpose,
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        classification: Classification::Medical,
        patient: search.criteria.patient,
        ..caller.entry(action, purpose)
    }
}

/// What was looked for: the type, and of other filters the names. Their values are health data.
fn in_words(search: &Search, shown: usize, total: i64) -> Value {
    let record_type = match search.criteria.filter.record_types.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    let mut words = json!({ "recordType": record_type, "count": shown });
    let filters = search.criteria.names();
    if !filters.is_empty() {
        words["filters"] = json!(filters);
    }
    if search.total {
        words["total"] = json!(total);
    }
    words
}
