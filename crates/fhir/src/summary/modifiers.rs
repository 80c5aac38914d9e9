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
        // What is temporary, secondary, of the past or no legal name is taken for the one that is in use.
        ("use", "Identifier" | "HumanName") => &["official", "usual"],
        ("use", "Address") => &["billing", "home", "work"],
        ("use", "ContactPoint") => &["home", "mobile", "work"],
        _ => plain_of(element),
    };
    plain.contains(&value)
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
        found: Vec::new(),
        known: HashSet::new(),
    };
    walk.resource(document, SummaryReach::of(document, record_type));
    walk.found
}

/// How much of a resource its summary reads.
#[derive(Clone, Copy)]
struct SummaryReach {
    /// The modifiers of it that have fields of their own.
    shown: &'static [&'static str],
    /// How many resources, one within another, are read as well.
    levels_within: usize,
}

impl SummaryReach {
    /// A summary reads the document, the entries of a `Bundle`, and what those contain.
    fn of(document: &Json, record_type: RecordType) -> Self {
        let is_bundle = resource_type(document) == Some("Bundle");
        Self {
            shown: shown(record_type),
            levels_within: if is_bundle { 2 } else { 1 },
        }
    }

    /// The same of a resource in this one. Of what lies deeper, such as the entry of a `Bundle` that is
    /// contained, a summary shows nothing.
    fn within(self) -> Self {
        match self.levels_within.checked_sub(1) {
            Some(levels_within) => Self {
                levels_within,
                ..self
            },
            None => Self {
                shown: &[],
                levels_within: 0,
            },
        }
    }
}

struct ModifierWalk {
    found: Vec<String>,
    known: HashSet<String>,
}

impl ModifierWalk {
    fn resource(&mut self, json: &Json, reach: SummaryReach) {
        if let Some(node) = resource_type(json).and_then(|kind| table::r4().resource(kind)) {
            self.object(node, json, reach);
        }
    }

    fn object(&mut self, node: &'static Node, json: &Json, reach: SummaryReach) {
        for (key, value) in json.as_object().unwrap_or_default() {
            let name = key.strip_prefix('_').unwrap_or(key);
            let Some(field) = node.field(name) else {
                continue;
            };
            if field.is_modifier {
                // An extension instead of a value: nobody knows what it says.
                let is_extra = name.len() < key.len();
                if !is_extra {
                    self.modifier(node, field, value, reach);
                } else if json.get(name).is_none() {
                    self.name(format!("{}.{name}", node.name));
                }
            }
            let items = value.as_array().unwrap_or(std::slice::from_ref(value));
            for item in items {
                match field.kind {
                    Kind::Node(at) => self.object(table::r4().node(at), item, reach),
                    Kind::Resource => self.resource(item, reach.within()),
                    // The object beside a primitive has extensions, and no modifiers.
                    Kind::Primitive(_) => {}
                }
            }
        }
    }

    fn modifier(&mut self, node: &Node, field: &Field, value: &Json, reach: SummaryReach) {
        let name = format!("{}.{}", node.name, field.name());
        // A bound of a quantity is part of every quantity that is shown, and of the number beside it alone.
        let is_shown = reach.shown.contains(&name.as_str()) && !is_said_otherwise(value);
        if is_shown || field.name() == "comparator" {
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

/// Whether a concept, of which summaries show the code, says something else in words: what somebody has written
/// may take back what the code says.
fn is_said_otherwise(concept: &Json) -> bool {
    let plain = |words: &str| words.trim().to_lowercase().replace('-', " ");
    let Some(words) = concept.get("text").and_then(Json::as_str).map(plain) else {
        return false;
    };
    let codings = concept.get("coding").and_then(Json::as_array);
    let codings = codings.unwrap_or_default();
    let is_same = |coding: &Json, key: &str| {
        let said = coding.get(key).and_then(Json::as_str);
        said.is_some_and(|said| plain(said) == words)
    };
    // Without a code, the words are what is shown.
    !codings.is_empty()
        && !codings
            .iter()
            .any(|coding| is_same(coding, "code") || is_same(coding, "display"))
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
#[path = "modifiers_tests.rs"]
mod tests;
