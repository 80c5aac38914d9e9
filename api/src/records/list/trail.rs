//! The rows that say what was looked for and what is shown.

use domain::{
    access::{Action, DenyReason},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::{RecordId, RepresentationId},
    purpose::Purpose,
};
use serde_json::{Value, json};

use super::{ListRequest, ListedRecord, Search};
use crate::caller::Caller;

/// The rows of a search: one for each patient and consent by which records are shown, which names them, or one alone where
/// none are; and one for each record whose content is opened. With the representation by which somebody looked for them.
pub(super) fn of_page(
    ListRequest { caller, search }: &ListRequest,
    (purpose, representation): (Purpose, Option<RepresentationId>),
    shown: &[ListedRecord],
    total: i64,
) -> Vec<AuditEntry> {
    let asked = |records: Vec<RecordId>| AuditEntry {
        new_value: Some(in_words(search, records.len(), total)),
        records,
        representation,
        encryption: EncryptionStatus::MetadataOnly,
        ..of_asking(AuditAction::RecordSearch, caller, search, purpose)
    };
    if shown.is_empty() {
        return vec![asked(Vec::new())];
    }
    let found = by_ground(shown).into_iter();
    let found = found.map(|(first, records)| AuditEntry {
        consent: first.consent,
        patient: Some(first.record.patient),
        destination: first.countries[0].map(|country| country.to_string()),
        ..asked(records)
    });
    let reads = shown.iter().filter_map(|shown| {
        let opened = shown.opened?;
        Some(AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            resource_id: shown.record.id.0,
            new_value: Some(json!({ "version": shown.record.version })),
            consent: opened.consent(),
            representation: opened.representation(),
            classification: Classification::Medical,
            encryption: EncryptionStatus::DecryptedForDisclosure,
            patient: Some(shown.record.patient),
            destination: shown.countries[1].map(|country| country.to_string()),
            ..caller.entry(AuditAction::RecordRead, purpose)
        })
    });
    found.chain(reads).collect()
}

/// The records of a page by whose they are and which consent they are found by, in the order of the page, each time with
/// the first. The consent says where they go.
fn by_ground(shown: &[ListedRecord]) -> Vec<(&ListedRecord, Vec<RecordId>)> {
    let mut found: Vec<(&ListedRecord, Vec<RecordId>)> = Vec::new();
    for listed in shown {
        let ground = |it: &ListedRecord| (it.record.patient, it.consent);
        match found.iter_mut().find(|it| ground(it.0) == ground(listed)) {
            Some((_, records)) => records.push(listed.record.id),
            None => found.push((listed, vec![listed.record.id])),
        }
    }
    found
}

/// The row of a search that may not be made.
pub(super) fn of_refusal(
    ListRequest { caller, search }: &ListRequest,
    purpose: Purpose,
    reason: DenyReason,
) -> AuditEntry {
    AuditEntry {
        new_value: Some(json!({ "reason": reason.as_str(), "wanted": Action::Search })),
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
