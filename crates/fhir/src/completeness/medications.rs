//! What is asked of medicines: which, and how they were taken or given.

use super::bullets::{RecordParts, Stated};
use super::elements::{has, has_choice, is_described, items, text};
use crate::json::Json;
use crate::record_types::resource_type;

/// What was taken, and what was given. Neither can say who prescribed it.
const RECORDED: [&str; 2] = ["MedicationStatement", "MedicationAdministration"];

/// Every root that says what was taken or given.
pub(super) fn every_root(
    parts: &RecordParts<'_>,
    element: &str,
    holds: impl Fn(&Json) -> bool,
) -> Stated {
    RECORDED
        .iter()
        .try_for_each(|kind| parts.every_root_of(kind, element, &holds))
}

/// Whether it is said which drug a resource is about: in words, by a code, or by what `root` contains. A bare
/// reference says of no drug which it is.
pub(super) fn is_stated(resource: &Json, root: &Json) -> bool {
    let is_contained = |reference: &Json| {
        let fragment = text(reference, "reference").strip_prefix('#');
        let mut contained = items(root, "contained").iter();
        contained.any(|it| Some(text(it, "id")) == fragment && is_described(it, "code"))
    };
    is_described(resource, "medicationCodeableConcept")
        || resource
            .get("medicationReference")
            .is_some_and(|reference| has(reference, "display") || is_contained(reference))
}

/// Whether an instruction says how much, and when.
pub(super) fn is_instruction(dosage: &Json) -> bool {
    has(dosage, "text") || (has(dosage, "doseAndRate") && has(dosage, "timing"))
}

/// Whether it is said how much was taken or given. What was not taken has no dose.
pub(super) fn has_dosage(resource: &Json) -> bool {
    let is_dose = |it: &Json| has(it, "text") || has(it, "dose") || has_choice(it, "rate");
    if was_not(resource) {
        return true;
    }
    if resource_type(resource) == Some("MedicationAdministration") {
        resource.get("dosage").is_some_and(is_dose)
    } else {
        items(resource, "dosage").iter().any(is_instruction)
    }
}

/// A history names each drug, and says since when it was taken. That something was given has a time in R4.
pub(super) fn in_history(parts: &RecordParts<'_>) -> Stated {
    for kind in RECORDED {
        parts.every_within(kind, "medication", is_stated)?;
    }
    parts.every("MedicationStatement", "effective", |it| {
        was_not(it) || has_choice(it, "effective")
    })
}

/// Whether a document names a drug that was taken or given.
pub(super) fn is_any_stated(parts: &RecordParts<'_>) -> bool {
    let is_any = |kind: &str| parts.all(kind).any(|it| is_stated(it.json, it.root));
    RECORDED.into_iter().any(is_any)
}

fn was_not(resource: &Json) -> bool {
    matches!(text(resource, "status"), "not-taken" | "not-done")
}
