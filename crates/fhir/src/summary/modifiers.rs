//! What R4 marks as modifiers: elements that can turn what the others say into its opposite.
//!
//! A summary shows some of them in fields of their own. Each other one is named, unless it says what a
//! reader takes for granted without it. Which elements these are is read off the definitions.

use std::collections::HashSet;

use super::text;
use crate::json::Json;
use crate::record_types::{RecordType, resource_type};
use crate::table::{self, Field, Kind, Node};

/// How many modifiers of a document are named; after them stands `…`.
const MAX_TOLD: usize = 100;

/// The modifiers that the summary of a record type shows in fields of their own, and what a title says as if it were
/// one: `docStatus`, `achievementStatus`.
pub(super) fn shown(record_type: RecordType) -> &'static [&'static str] {
    match record_type {
        RecordType::Diagnosis => &["Condition.clinicalStatus", "Condition.verificationStatus"],
        RecordType::LabResult => &[
            "Observation.status",
            "DiagnosticReport.status",
            "DocumentReference.status",
            "DocumentReference.docStatus",
        ],
        RecordType::Prescription => &[
            "MedicationRequest.status",
            "MedicationRequest.intent",
            "MedicationRequest.doNotPerform",
            "MedicationStatement.status",
            "MedicationAdministration.status",
        ],
        RecordType::TreatmentPlan => &[
            "CarePlan.status",
            "CarePlan.intent",
            "CarePlan.activity.detail.status",
            "CarePlan.activity.detail.doNotPerform",
            "Goal.lifecycleStatus",
            "Goal.achievementStatus",
            "ServiceRequest.status",
            "ServiceRequest.intent",
            "ServiceRequest.doNotPerform",
            "CareTeam.status",
        ],
        RecordType::MedicalHistory => &[
            "Condition.clinicalStatus",
            "Condition.verificationStatus",
            "AllergyIntolerance.clinicalStatus",
            "AllergyIntolerance.verificationStatus",
            "Procedure.status",
            "FamilyMemberHistory.status",
            "MedicationStatement.status",
            "MedicationAdministration.status",
            "Observation.status",
            "DiagnosticReport.status",
            "DocumentReference.status",
            "DocumentReference.docStatus",
        ],
        RecordType::VitalSigns => &["Observation.status"],
        RecordType::Imaging => &[
            "ImagingStudy.status",
            "Media.status",
            "DiagnosticReport.status",
            "Observation.status",
            "DocumentReference.status",
            "DocumentReference.docStatus",
        ],
        RecordType::Vaccination => &[
            "Immunization.status",
            "Immunization.isSubpotent",
            "ImmunizationRecommendation.recommendation.forecastStatus",
        ],
    }
}

/// Whether a modifier of an element of this kind says no more than its absence: the result is final, the plan
/// is in force.
pub(super) fn is_plain(kind: &str, element: &str, value: &str) -> bool {
    let plain: &[&str] = match (element, kind) {
        // What was to be done or taken, and is over, is not in force.
        ("status", "MedicationRequest" | "MedicationStatement" | "CarePlan" | "ServiceRequest") => {
            &["active"]
        }
        ("intent", "MedicationRequest" | "ServiceRequest") => &["order", "original-order"],
        _ => plain_of(element),
    };
    // Only a name or address of the past is misread.
    let is_use = element == "use" && value != "old";
    is_use || plain.contains(&value)
}

/// What goes without saying, of whichever kind.
fn plain_of(element: &str) -> &'static [&'static str] {
    match element {
        "status" => &[
            "active",
            "amended",
            "available",
            "completed",
            "corrected",
            "current",
            "final",
        ],
        "lifecycleStatus" | "clinicalStatus" => &["active"],
        "verificationStatus" => &["confirmed"],
        "docStatus" => &["amended", "final"],
        "intent" => &["order", "plan"],
        "mode" => &["snapshot", "working"],
        "active" => &["true"],
        "deceasedBoolean" | "deleted" | "doNotPerform" | "isSubpotent" => &["false"],
        _ => &[],
    }
}

/// Every modifier of the document that its summary does not show, as `element=value` or
/// `element(url of the extension)`, each once; of very many the first ones, and `…`.
pub(super) fn unsupported(document: &Json, record_type: RecordType) -> Vec<String> {
    let mut walk = ModifierWalk {
        shown: shown(record_type),
        found: Vec::new(),
        known: HashSet::new(),
    };
    walk.resource(document);
    walk.found
}

struct ModifierWalk {
    shown: &'static [&'static str],
    found: Vec<String>,
    known: HashSet<String>,
}

impl ModifierWalk {
    fn resource(&mut self, json: &Json) {
        if let Some(node) = resource_type(json).and_then(|kind| table::r4().resource(kind)) {
            self.object(node, json);
        }
    }

    fn object(&mut self, node: &'static Node, json: &Json) {
        for (key, value) in json.as_object().unwrap_or_default() {
            let name = key.strip_prefix('_').unwrap_or(key);
            let Some(field) = node.field(name) else {
                continue;
            };
            if field.is_modifier {
                // An extension instead of a value: nobody knows what it says.
                let is_extra = name.len() < key.len();
                if !is_extra {
                    self.modifier(node, field, value);
                } else if json.get(name).is_none() {
                    self.name(format!("{}.{name}", node.name));
                }
            }
            let items = value.as_array().unwrap_or(std::slice::from_ref(value));
            for item in items {
                match field.kind {
                    Kind::Node(at) => self.object(table::r4().node(at), item),
                    Kind::Resource => self.resource(item),
                    // The object beside a primitive has extensions, and no modifiers.
                    Kind::Primitive(_) => {}
                }
            }
        }
    }

    fn modifier(&mut self, node: &Node, field: &Field, value: &Json) {
        let name = format!("{}.{}", node.name, field.name());
        // A bound of a quantity is part of every quantity that is shown.
        if self.shown.contains(&name.as_str()) || field.name() == "comparator" {
            return;
        }
        let items = value.as_array().unwrap_or(std::slice::from_ref(value));
        for item in items.iter().filter(|item| **item != Json::Null) {
            let said = said(item);
            if said
                .iter()
                .any(|said| !is_plain(node.name, field.name(), said))
                || said.is_empty()
            {
                let values = said.join(",");
                let named = match field.name() {
                    "modifierExtension" => format!("{name}({values})"),
                    _ if said.is_empty() => name.clone(),
                    _ => format!("{name}={values}"),
                };
                self.name(named);
            }
        }
    }

    fn name(&mut self, named: String) {
        if self.found.len() > MAX_TOLD || self.known.contains(&named) {
            return;
        }
        if self.found.len() == MAX_TOLD {
            self.found.push("…".to_owned());
            return;
        }
        self.known.insert(named.clone());
        self.found.push(named);
    }
}

/// A value, the codes of a concept, or the URL of an extension.
fn said(json: &Json) -> Vec<String> {
    if let Some(value) = text::written(json) {
        return vec![value];
    }
    if let Some(url) = json.get("url").and_then(text::written) {
        return vec![url];
    }
    let codings = json.get("coding").and_then(Json::as_array);
    let codes = codings
        .unwrap_or_default()
        .iter()
        .filter_map(|coding| coding.get("code"));
    codes
        .chain(json.get("text"))
        .filter_map(text::written)
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::reader::read;
    use crate::summary::summarise;
    use crate::table::Table;

    /// Every modifier below this node: the way to it as a JSON text with a hole, and its field.
    fn modifiers<'a>(
        table: &'a Table,
        node: &'a Node,
        before: &str,
        after: &str,
        depth: usize,
        found: &mut Vec<(String, String, &'a Node, &'a Field)>,
    ) {
        for field in node.fields() {
            let (open, close) = if field.is_list { ("[", "]") } else { ("", "") };
            let before = format!("{before}\"{}\":{open}", field.name());
            let after = format!("{close}{after}");
            if field.is_modifier {
                found.push((before.clone(), after.clone(), node, field));
            }
            // Elements of elements; data types only once.
            if let Kind::Node(at) = field.kind
                && depth < 4
                && !matches!(
                    field.name(),
                    "extension" | "modifierExtension" | "contained"
                )
                && (depth == 0 || table.node(at).name.starts_with(node.name))
            {
                let (before, after) = (format!("{before}{{"), format!("}}{after}"));
                modifiers(table, table.node(at), &before, &after, depth + 1, found);
            }
        }
    }

    fn values(field: &Field) -> Vec<(String, String)> {
        if field.name() == "modifierExtension" {
            let json = r#"{"url":"http://x.example/negated","valueBoolean":true}"#;
            return vec![("negated".to_owned(), json.to_owned())];
        }
        let codes: Vec<&str> = match (field.binding, field.kind) {
            (Some(url), _) => table::r4().value_set(url).unwrap().codes().collect(),
            (None, Kind::Node(_)) => vec!["due", "overdue"],
            (None, _) => vec!["true", "false"],
        };
        let spell = |code: &str| match field.kind {
            Kind::Node(_) => format!(r#"{{"coding":[{{"code":"{code}"}}]}}"#),
            _ if matches!(code, "true" | "false") => code.to_owned(),
            _ => format!("\"{code}\""),
        };
        codes
            .iter()
            .map(|code| ((*code).to_owned(), spell(code)))
            .collect()
    }

    #[test]
    fn every_modifier_of_every_kind_changes_the_summary_or_is_named_in_it() {
        let mut tried = 0;
        for record_type in RecordType::ALL {
            for kind in record_type.roots() {
                let node = table::r4().resource(kind).unwrap();
                let mut found = Vec::new();
                let before = format!(r#"{{"resourceType":"{kind}","#);
                modifiers(table::r4(), node, &before, "}", 0, &mut found);
                assert!(found.len() > 2, "{kind}");
                for (before, after, node, field) in found {
                    if field.name() == "comparator" || is_plain_type(node.name) {
                        continue;
                    }
                    let mut summaries = Vec::new();
                    for (code, value) in values(field) {
                        let summary = |value: &str| {
                            let text = format!("{before}{value}{after}");
                            summarise(&read(text.as_bytes()).unwrap(), record_type)
                        };
                        let name = format!("{}.{}", node.name, field.name());
                        let is_shown = shown(record_type).contains(&name.as_str());
                        if is_plain(node.name, field.name(), &code)
                            && (!is_shown || code == "false")
                        {
                            continue;
                        }
                        let with = summary(&value);
                        let without = summary("null");
                        assert_ne!(with, without, "{record_type:?}: {name}={code}");
                        // What a list shows says it, too, but for the activities of a plan.
                        if !is_plain(node.name, field.name(), &code)
                            && !name.starts_with("CarePlan.activity")
                        {
                            let (with, without) = (with.title(), without.title());
                            assert_ne!(with, without, "{record_type:?}: {name}={code}");
                        }
                        assert!(!summaries.contains(&with), "{record_type:?}: {name}={code}");
                        summaries.push(with);
                        tried += 1;
                    }
                }
            }
        }
        assert!(tried > 250, "{tried}");
    }

    /// Data types whose `use` is named where it is `old`; they are the same everywhere.
    fn is_plain_type(node: &str) -> bool {
        ["Identifier", "HumanName", "Address", "ContactPoint"].contains(&node)
    }

    #[test]
    fn what_is_contained_and_what_a_bundle_holds_counts_and_what_goes_without_saying_does_not() {
        let document = br#"{"resourceType":"Bundle","type":"collection","implicitRules":"http://x.example/rules","entry":[
            {"resource":{"resourceType":"MedicationRequest","status":"active","contained":[
                {"resourceType":"Medication","id":"m","status":"entered-in-error"},
                {"resourceType":"Practitioner","id":"p","active":false,"name":[{"use":"old"}]},
                {"resourceType":"Organization","id":"o","active":true}],
             "dosageInstruction":[{"modifierExtension":[{"url":"http://x.example/not"}]}],
             "_doNotPerform":{"extension":[{"url":"http://x.example/why","valueCode":"unknown"}]}}}]}"#;

        let found = unsupported(&read(document).unwrap(), RecordType::Prescription);

        assert_eq!(
            found,
            [
                "Bundle.implicitRules=http://x.example/rules",
                "Medication.status=entered-in-error",
                "HumanName.use=old",
                "Dosage.modifierExtension(http://x.example/not)",
                "MedicationRequest.doNotPerform",
            ]
        );
    }
}
