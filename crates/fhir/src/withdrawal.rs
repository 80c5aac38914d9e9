//! A document that should never have been written, as FHIR says so: `entered-in-error`.
//!
//! What it said stays in it, so that a reader of the withdrawn version knows what
//! was withdrawn; only what R4 forbids beside that status goes.

use crate::issue::{object, text};
use crate::json::Json;
use crate::record_types::resource_type;
use crate::stamp::{items_mut, member_mut, set};

const ENTERED_IN_ERROR: &str = "entered-in-error";

/// How a kind of resource says that it was entered in error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// By a code in this element.
    Code(&'static str),
    /// By a code of this system in `verificationStatus`; without the elements that
    /// these words begin, which its invariants forbid then.
    Verification(&'static str, &'static [&'static str]),
    /// R4 gives it no way to.
    Nowhere,
}

/// The kinds that may be roots of a record, and how each is marked. Other kinds
/// that a document contains (a `Medication`, a `Practitioner`) are no statements about the
/// patient and stay as they are.
fn mark(resource_type: &str) -> Mark {
    match resource_type {
        // con-5 allows no clinicalStatus then, and con-4 no abatement without one.
        "Condition" => Mark::Verification(
            "http://terminology.hl7.org/CodeSystem/condition-ver-status",
            &["clinicalStatus", "abatement"],
        ),
        // ait-2
        "AllergyIntolerance" => Mark::Verification(
            "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
            &["clinicalStatus"],
        ),
        "Goal" => Mark::Code("lifecycleStatus"),
        "Observation"
        | "DiagnosticReport"
        | "MedicationRequest"
        | "MedicationStatement"
        | "MedicationAdministration"
        | "CarePlan"
        | "ServiceRequest"
        | "CareTeam"
        | "Procedure"
        | "FamilyMemberHistory"
        | "List"
        | "Composition"
        | "DocumentReference"
        | "ImagingStudy"
        | "Media"
        | "Immunization" => Mark::Code("status"),
        _ => Mark::Nowhere,
    }
}

/// Marks a document as entered in error, with every entry of its `Bundle` and what
/// they contain. A document that passes [`crate::check`] passes it again afterwards.
#[must_use]
pub fn entered_in_error(mut document: Json) -> Json {
    for entry in items_mut(&mut document, "entry") {
        if let Some(resource) = member_mut(entry, "resource") {
            mark_all(resource);
        }
    }
    mark_all(&mut document);
    document
}

fn mark_all(resource: &mut Json) {
    for inner in items_mut(resource, "contained") {
        mark_all(inner);
    }
    let mark = resource_type(resource).map_or(Mark::Nowhere, mark);
    let Json::Object(members) = resource else {
        return;
    };
    match mark {
        Mark::Code(element) => {
            set(members, element, text(ENTERED_IN_ERROR));
            // What was said about the code that was there.
            members.retain(|(key, _)| key.strip_prefix('_') != Some(element));
        }
        Mark::Verification(system, forbidden) => {
            let begins = |key: &str| forbidden.iter().any(|word| key.starts_with(word));
            members.retain(|(key, _)| !begins(key.trim_start_matches('_')));
            let coding = object([("system", text(system)), ("code", text(ENTERED_IN_ERROR))]);
            let concept = object([("coding", Json::Array(vec![coding]))]);
            set(members, "verificationStatus", concept);
        }
        Mark::Nowhere => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::record_types::RecordType;
    use crate::{canonical, reader};

    fn marked(document: &str) -> String {
        let document = reader::read(document.as_bytes()).unwrap();
        String::from_utf8(canonical::to_bytes(&entered_in_error(document))).unwrap()
    }

    #[test]
    fn every_kind_of_root_can_say_so_but_a_recommendation() {
        let roots = RecordType::ALL.iter().flat_map(|of| of.roots());
        for root in roots {
            assert_eq!(
                mark(root) == Mark::Nowhere,
                *root == "ImmunizationRecommendation",
                "{root}"
            );
        }
    }

    #[test]
    fn a_statement_is_kept_and_what_contradicts_it_is_removed() {
        let concept = |name: &str, system: &str| {
            format!(
                r#"{{"coding":[{{"code":"{name}","system":"http://terminology.hl7.org/CodeSystem/{system}"}}]}}"#
            )
        };
        let (active, confirmed) = (
            concept("active", "condition-clinical"),
            concept("confirmed", "condition-ver-status"),
        );
        let wrong = |system| concept("entered-in-error", system);
        let cases = [
            (
                r#"{"resourceType":"Observation","status":"final","_status":{"id":"a"},"valueString":"x"}"#.to_owned(),
                r#"{"resourceType":"Observation","status":"entered-in-error","valueString":"x"}"#.to_owned(),
            ),
            (
                r#"{"resourceType":"CareTeam"}"#.to_owned(),
                r#"{"resourceType":"CareTeam","status":"entered-in-error"}"#.to_owned(),
            ),
            (
                r#"{"resourceType":"Goal","lifecycleStatus":"active","statusReason":"x"}"#.to_owned(),
                r#"{"lifecycleStatus":"entered-in-error","resourceType":"Goal","statusReason":"x"}"#.to_owned(),
            ),
            (
                format!(
                    r#"{{"resourceType":"Condition","abatementDateTime":"2020","_abatementDateTime":{{"id":"a"}},"clinicalStatus":{active},"onsetDateTime":"2019","verificationStatus":{confirmed}}}"#
                ),
                format!(
                    r#"{{"onsetDateTime":"2019","resourceType":"Condition","verificationStatus":{}}}"#,
                    wrong("condition-ver-status")
                ),
            ),
            (
                format!(r#"{{"resourceType":"AllergyIntolerance","clinicalStatus":{active}}}"#),
                format!(
                    r#"{{"resourceType":"AllergyIntolerance","verificationStatus":{}}}"#,
                    wrong("allergyintolerance-verification")
                ),
            ),
            (
                r#"{"resourceType":"MedicationRequest","status":"active","contained":[{"resourceType":"Medication","status":"active"},{"resourceType":"Observation","status":"final"}]}"#.to_owned(),
                r#"{"contained":[{"resourceType":"Medication","status":"active"},{"resourceType":"Observation","status":"entered-in-error"}],"resourceType":"MedicationRequest","status":"entered-in-error"}"#.to_owned(),
            ),
            (
                r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Immunization","status":"completed"}},{"resource":{"resourceType":"ImmunizationRecommendation"}}]}"#.to_owned(),
                r#"{"entry":[{"resource":{"resourceType":"Immunization","status":"entered-in-error"}},{"resource":{"resourceType":"ImmunizationRecommendation"}}],"resourceType":"Bundle","type":"collection"}"#.to_owned(),
            ),
        ];
        for (before, after) in cases {
            assert_eq!(marked(&before), after);
            assert_eq!(marked(&after), after, "twice is as good as once");
        }
    }
}
