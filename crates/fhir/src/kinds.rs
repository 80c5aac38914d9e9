//! Whether a document is of a kind that its record type takes.
//!
//! These rules are hard: a document of the wrong kind is refused. What makes one
//! of the right kind complete is `completeness`'s.

use std::collections::BTreeSet;

use crate::contained::Contained;
use crate::issue::{Issue, IssueCode, Path};
use crate::json::Json;
use crate::record_types::{RecordType, patient_element, resource_type};

const OBSERVATION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const DIAGNOSTIC_SERVICE: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";
const LOINC: &str = "http://loinc.org";

/// Imaging among the diagnostic services of HL7 version 2, table 0074.
const IMAGING_SERVICES: &[&str] = &[
    "CT", "CUS", "IMG", "NMR", "NMS", "OUS", "RAD", "RUS", "RX", "VUS", "XRC",
];

/// The laboratory among the diagnostic services of the same table.
const LABORATORY_SERVICES: &[&str] = &[
    "BG", "BLB", "CG", "CH", "CP", "GE", "HM", "IMM", "LAB", "MB", "MCB", "MYC", "OSL", "PAR",
    "PAT", "SP", "SR", "TX", "URN", "VR",
];

/// Imaging among the categories of reports in LOINC: Radiology.
const IMAGING_REPORTS: &[&str] = &["LP29684-5"];

/// The laboratory among them: Laboratory, Pathology.
const LABORATORY_REPORTS: &[&str] = &["LP29693-6", "LP7839-6"];

/// Imaging among the types of documents in LOINC: a study, a note on one, studies.
const IMAGING_DOCUMENTS: &[&str] = &["18748-4", "68604-8", "18726-0"];

/// The laboratory among them: a report, studies, a pathology study.
const LABORATORY_DOCUMENTS: &[&str] = &["11502-2", "26436-6", "11526-1"];

/// The categories of observations that are part of a history.
const HISTORY_OBSERVATIONS: &[&str] = &[
    "social-history",
    "survey",
    "exam",
    "procedure",
    "activity",
    "therapy",
];

/// What a `List` or a `Composition` of a medical history is made of.
const HISTORY: &[&str] = &[
    "Condition",
    "Procedure",
    "FamilyMemberHistory",
    "AllergyIntolerance",
    "MedicationStatement",
    "MedicationAdministration",
    "Observation",
    "DiagnosticReport",
    "DocumentReference",
];

/// The roots of a document of this type: itself, or what its `Bundle` holds.
///
/// # Errors
///
/// The document is of a kind that its record type does not take.
pub(crate) fn roots(document: &Json, record_type: RecordType) -> Result<Vec<&Json>, Vec<Issue>> {
    let kind = takes_kind(document, record_type)?;
    if kind == "Bundle" {
        return bundled(document, record_type);
    }
    let issues = misfiled(document, record_type, Path::root(kind));
    if issues.is_empty() {
        Ok(vec![document])
    } else {
        Err(issues)
    }
}

/// The kind of a document, if its record type takes it.
///
/// # Errors
///
/// It does not, or the document is no resource.
pub(crate) fn takes_kind(document: &Json, record_type: RecordType) -> Result<&str, Vec<Issue>> {
    let Some(kind) = resource_type(document) else {
        let message = "a document is an object with a resourceType";
        return Err(vec![Issue::error(
            IssueCode::Structure,
            "",
            "resource-type",
            message,
        )]);
    };
    let is_taken = if kind == "Bundle" {
        record_type.may_be_bundle()
    } else {
        record_type.roots().contains(&kind)
    };
    if is_taken {
        Ok(kind)
    } else {
        let refused = refuse("resourceType", record_type, takes(record_type));
        Err(vec![refused])
    }
}

fn bundled(bundle: &Json, record_type: RecordType) -> Result<Vec<&Json>, Vec<Issue>> {
    let mut issues = Vec::new();
    if bundle.get("type").and_then(Json::as_str) != Some("collection") {
        let message = "the Bundle of a record has the type collection";
        issues.push(refuse("Bundle.type", record_type, message));
    }
    let entries = bundle
        .get("entry")
        .and_then(Json::as_array)
        .unwrap_or_default();
    if entries.is_empty() {
        issues.push(refuse(
            "Bundle.entry",
            record_type,
            "the Bundle of a record is not empty",
        ));
    }
    let path = Path::root("Bundle");
    let mut roots = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let path = path.element("entry").at(index);
        let path = path.element("resource");
        let resource = entry.get("resource");
        let kind = resource.and_then(resource_type);
        match resource.filter(|_| kind.is_some_and(|kind| record_type.roots().contains(&kind))) {
            Some(resource) => {
                issues.extend(misfiled(resource, record_type, path));
                roots.push(resource);
            }
            None => issues.push(refuse(path.render(), record_type, takes(record_type))),
        }
    }
    let patients: BTreeSet<&str> = roots
        .iter()
        .filter_map(|root| patient_reference(root))
        .collect();
    if patients.len() > 1 {
        let message = "all entries of a record are about one patient";
        issues.push(refuse("Bundle.entry", record_type, message));
    }
    if issues.is_empty() {
        Ok(roots)
    } else {
        Err(issues)
    }
}

fn refuse(path: impl Into<String>, record_type: RecordType, message: impl Into<String>) -> Issue {
    Issue::error(IssueCode::BusinessRule, path, record_type.rule(), message)
}

/// What a record type takes, for a person.
fn takes(record_type: RecordType) -> String {
    let roots = record_type.roots().join(", ");
    let mut takes = format!("{} takes {roots}", record_type.as_str());
    if record_type.may_be_bundle() {
        takes += " or a Bundle of them";
    }
    takes
}

/// Whom a resource says it is about.
fn patient_reference(resource: &Json) -> Option<&str> {
    let element = resource_type(resource).and_then(patient_element)?;
    resource.get(element)?.get("reference")?.as_str()
}

/// What shows that a resource of the right kind belongs under another record type:
/// a category of something else, or a list of something else.
///
/// A missing category shows nothing; it leaves the document incomplete.
fn misfiled(resource: &Json, record_type: RecordType, path: Path<'_>) -> Vec<Issue> {
    let mut issues = Vec::new();
    let kind = resource_type(resource).unwrap_or_default();
    let category = |system: &str, codes: &[&str]| has_category(resource, system, codes);
    // A category of a hospital's own says nothing here.
    let uncategorised = !has_category_of(resource, OBSERVATION_CATEGORY);
    let (is_of_imaging, is_of_laboratory) = (is_of_imaging(resource), is_of_laboratory(resource));
    let fits = match (record_type, kind) {
        (RecordType::LabResult, "Observation") => {
            uncategorised || category(OBSERVATION_CATEGORY, &["laboratory"])
        }
        (RecordType::VitalSigns, "Observation") => {
            uncategorised || category(OBSERVATION_CATEGORY, &["vital-signs"])
        }
        (RecordType::MedicalHistory, "Observation") => {
            uncategorised || category(OBSERVATION_CATEGORY, HISTORY_OBSERVATIONS)
        }
        (RecordType::Imaging, "Observation") => {
            uncategorised || category(OBSERVATION_CATEGORY, &["imaging"])
        }
        // One that is of both is where whoever stores it says.
        (RecordType::LabResult, "DiagnosticReport" | "DocumentReference") => {
            is_of_laboratory || !is_of_imaging
        }
        (RecordType::Imaging, "DiagnosticReport" | "DocumentReference") => {
            is_of_imaging || !is_of_laboratory
        }
        // A history takes the notes of a visit, of cardiology, …: what has no type of its own.
        (RecordType::MedicalHistory, "DiagnosticReport") => !is_of_laboratory && !is_of_imaging,
        _ => true,
    };
    if !fits {
        // What a document is of, its type says, or its category.
        let is_typed =
            has_type(resource, IMAGING_DOCUMENTS) || has_type(resource, LABORATORY_DOCUMENTS);
        let element = if kind == "DocumentReference" && is_typed {
            "type"
        } else {
            "category"
        };
        let message = format!("this {element} is not of {}", record_type.as_str());
        issues.push(refuse(path.element(element).render(), record_type, message));
    }
    if matches!(kind, "List" | "Composition") {
        let contained = Contained::of(resource.as_object().unwrap_or_default());
        let is_history = |reference: &str| {
            contained
                .target(reference)
                .is_some_and(|kind| HISTORY.contains(&kind))
        };
        if !listed(resource).into_iter().all(is_history) {
            let message = format!("a medical history lists {}", HISTORY.join(", "));
            issues.push(refuse(path.render(), record_type, message));
        }
    }
    issues
}

/// Whether a report or a document comes from imaging, as its categories or the type of a document say.
pub(crate) fn is_of_imaging(resource: &Json) -> bool {
    has_category(resource, DIAGNOSTIC_SERVICE, IMAGING_SERVICES)
        || has_category(resource, LOINC, IMAGING_REPORTS)
        || has_type(resource, IMAGING_DOCUMENTS)
}

/// Whether it comes from a laboratory.
pub(crate) fn is_of_laboratory(resource: &Json) -> bool {
    has_category(resource, DIAGNOSTIC_SERVICE, LABORATORY_SERVICES)
        || has_category(resource, LOINC, LABORATORY_REPORTS)
        || has_type(resource, LABORATORY_DOCUMENTS)
}

/// Whether the type of a document is one of these in LOINC.
fn has_type(resource: &Json, codes: &[&str]) -> bool {
    let concept = resource.get("type");
    let codings = concept.and_then(|it| it.get("coding")?.as_array());
    codings.unwrap_or_default().iter().any(|coding| {
        let text = |key| coding.get(key).and_then(Json::as_str);
        text("system") == Some(LOINC) && text("code").is_some_and(|code| codes.contains(&code))
    })
}

pub(crate) fn has_category(resource: &Json, system: &str, codes: &[&str]) -> bool {
    categories(resource, system).any(|code| codes.contains(&code))
}

fn has_category_of(resource: &Json, system: &str) -> bool {
    categories(resource, system).next().is_some()
}

/// The codes of a system among the categories of a resource.
fn categories<'a>(resource: &'a Json, system: &str) -> impl Iterator<Item = &'a str> {
    let items = |json: &'a Json, key| {
        let items = json.get(key).and_then(Json::as_array);
        items.unwrap_or_default().iter()
    };
    let codings = items(resource, "category").flat_map(move |concept| items(concept, "coding"));
    codings
        .filter(move |coding| coding.get("system").and_then(Json::as_str) == Some(system))
        .filter_map(|coding| coding.get("code").and_then(Json::as_str))
}

/// The references that a `List` or a `Composition` is made of.
fn listed(resource: &Json) -> Vec<&str> {
    let entries = resource
        .get("entry")
        .and_then(Json::as_array)
        .unwrap_or_default();
    let mut found: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.get("item")?.get("reference")?.as_str())
        .collect();
    add_sections(resource, &mut found);
    found
}

fn add_sections<'a>(json: &'a Json, found: &mut Vec<&'a str>) {
    for section in json
        .get("section")
        .and_then(Json::as_array)
        .unwrap_or_default()
    {
        let entries = section
            .get("entry")
            .and_then(Json::as_array)
            .unwrap_or_default();
        found.extend(
            entries
                .iter()
                .filter_map(|entry| entry.get("reference")?.as_str()),
        );
        add_sections(section, found);
    }
}
