//! Which record type a document is of, where nobody says.

use crate::issue::{Issue, IssueCode};
use crate::json::Json;
use crate::kinds;
use crate::record_types::{RecordType, resource_type};
use crate::validate;

const CONDITION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/condition-category";
/// What says of a Condition that it stands on a list of problems: in HL7's words, in those of IPS, and in those of US Core.
const PROBLEMS: [(&str, &str); 3] = [
    (CONDITION_CATEGORY, "problem-list-item"),
    ("http://loinc.org", "75326-9"),
    (
        "http://hl7.org/fhir/us/core/CodeSystem/condition-category",
        "health-concern",
    ),
];

/// The record type that takes a document: by its kind and its category. `preferred` decides between
/// several that do, before what the document says of itself, and nothing else.
///
/// # Errors
/// None takes it, or several do and neither `preferred` nor the document says which is meant. Where the
/// document is not R4, that is why.
pub fn record_type_of(
    document: &Json,
    preferred: Option<RecordType>,
) -> Result<RecordType, Vec<Issue>> {
    let takes = |record_type: &RecordType| kinds::roots(document, *record_type).ok();
    let candidates: Vec<(RecordType, Vec<&Json>)> = RecordType::ALL
        .into_iter()
        .filter_map(|record_type| Some((record_type, takes(&record_type)?)))
        .collect();
    let is_one = |wanted: RecordType| candidates.iter().any(|(one, _)| *one == wanted);
    match candidates.as_slice() {
        [] => Err(none(document)),
        [(only, _)] => Ok(*only),
        [(_, roots), ..] => preferred
            .filter(|wanted| is_one(*wanted))
            .or_else(|| {
                let said = of_conditions(roots)
                    .or_else(|| of_medications(roots))
                    .or_else(|| of_documents(roots));
                said.filter(|wanted| is_one(*wanted))
            })
            .ok_or_else(|| {
                let names: Vec<_> = candidates.iter().map(|(one, _)| one.as_str()).collect();
                let names = names.join(" or ");
                not_r4(document).unwrap_or_else(|| {
                    refuse(format!(
                        "it could be {names}: add a category, or say the record type"
                    ))
                })
            }),
    }
}

/// A list of problems is a history; a diagnosis is made in an encounter.
fn of_conditions(roots: &[&Json]) -> Option<RecordType> {
    let says = |named: &[(&str, &str)]| {
        let has = |root: &Json| {
            let mut named = named.iter();
            named.any(|(system, code)| kinds::has_category(root, system, &[*code]))
        };
        let mut roots = roots.iter();
        roots.all(|root| resource_type(root) == Some("Condition") && has(root))
    };
    let diagnosis = [(CONDITION_CATEGORY, "encounter-diagnosis")];
    match (says(&diagnosis), says(&PROBLEMS)) {
        (true, false) => Some(RecordType::Diagnosis),
        (false, true) => Some(RecordType::MedicalHistory),
        _ => None,
    }
}

/// What was taken or given is a history, unless somebody says that it is a prescription.
fn of_medications(roots: &[&Json]) -> Option<RecordType> {
    let is_recorded = |root: &&Json| {
        matches!(
            resource_type(root),
            Some("MedicationStatement" | "MedicationAdministration")
        )
    };
    (!roots.is_empty() && roots.iter().all(is_recorded)).then_some(RecordType::MedicalHistory)
}

/// A document is where its type says, a report where its category says, and a history where that is nothing of a
/// laboratory or of imaging. A report beside documents is where they are.
fn of_documents(roots: &[&Json]) -> Option<RecordType> {
    let all = roots.iter().copied();
    let (documents, reports): (Vec<&Json>, Vec<&Json>) =
        all.partition(|root| resource_type(root) == Some("DocumentReference"));
    let is_report = |root: &&Json| resource_type(root) == Some("DiagnosticReport");
    if roots.is_empty() || !reports.iter().all(is_report) {
        return None;
    }
    let asked = if documents.is_empty() {
        reports
    } else {
        documents
    };
    let is_laboratory = asked.iter().all(|root| kinds::is_of_laboratory(root));
    let is_imaging = asked.iter().all(|root| kinds::is_of_imaging(root));
    match (is_laboratory, is_imaging) {
        (true, false) => Some(RecordType::LabResult),
        (false, true) => Some(RecordType::Imaging),
        (false, false) => Some(RecordType::MedicalHistory),
        (true, true) => None,
    }
}

/// Why no record type takes a document: what the only one that takes its kind says, if there is one.
fn none(document: &Json) -> Vec<Issue> {
    let Some(kind) = resource_type(document) else {
        return refuse("a document is an object with a resourceType");
    };
    let mut of_kind = RecordType::ALL
        .into_iter()
        .filter(|record_type| record_type.roots().contains(&kind));
    let of_kind = (of_kind.next(), of_kind.next());
    if of_kind == (None, None) && kind != "Bundle" {
        return refuse("no record type takes a resource of this kind");
    }
    not_r4(document).unwrap_or_else(|| match of_kind {
        (Some(only), None) => kinds::roots(document, only).err().unwrap_or_default(),
        _ => refuse("no record type takes this resource with this category or content"),
    })
}

/// What keeps a document from being R4: told before anything else.
fn not_r4(document: &Json) -> Option<Vec<Issue>> {
    Some(validate::before_stamping(document)).filter(|issues| !issues.is_empty())
}

fn refuse(message: impl Into<String>) -> Vec<Issue> {
    vec![Issue::error(
        IssueCode::BusinessRule,
        "resourceType",
        "record-type",
        message,
    )]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::reader;

    fn with_category(kind: &str, system: &str, code: &str) -> String {
        format!(
            r#"{{"resourceType":"{kind}","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/{system}","code":"{code}"}}]}}]}}"#
        )
    }

    #[test]
    fn a_document_is_filed_by_its_kind_and_category() {
        use RecordType::{
            Diagnosis, Imaging, LabResult, MedicalHistory, Prescription, TreatmentPlan,
            Vaccination, VitalSigns,
        };
        let bare = |kind: &str| format!(r#"{{"resourceType":"{kind}"}}"#);
        let in_loinc = |code: &str| {
            with_category("DiagnosticReport", "x", code).replace(
                "http://terminology.hl7.org/CodeSystem/x",
                "http://loinc.org",
            )
        };
        let cases = [
            (bare("MedicationRequest"), Some(Prescription)),
            (bare("CarePlan"), Some(TreatmentPlan)),
            (bare("AllergyIntolerance"), Some(MedicalHistory)),
            (bare("ImagingStudy"), Some(Imaging)),
            (bare("MedicationStatement"), Some(MedicalHistory)),
            (bare("DocumentReference"), Some(MedicalHistory)),
            (bare("MedicationAdministration"), Some(MedicalHistory)),
            (bare("Immunization"), Some(Vaccination)),
            (
                with_category("Observation", "observation-category", "laboratory"),
                Some(LabResult),
            ),
            (
                with_category("Observation", "observation-category", "vital-signs"),
                Some(VitalSigns),
            ),
            (
                with_category("Observation", "observation-category", "social-history"),
                Some(MedicalHistory),
            ),
            (
                with_category("Observation", "observation-category", "imaging"),
                Some(Imaging),
            ),
            (
                with_category("Observation", "a-hospital-s-own", "laboratory"),
                None,
            ),
            (bare("Observation"), None),
            (
                with_category("DiagnosticReport", "v2-0074", "CH"),
                Some(LabResult),
            ),
            (
                with_category("DiagnosticReport", "v2-0074", "RAD"),
                Some(Imaging),
            ),
            (bare("DiagnosticReport"), Some(MedicalHistory)),
            (in_loinc("LP29684-5"), Some(Imaging)),
            (in_loinc("LP29693-6"), Some(LabResult)),
            (in_loinc("LP7839-6"), Some(LabResult)),
            // Cardiology, and the note of a visit: neither of a laboratory nor of imaging.
            (in_loinc("LP29708-2"), Some(MedicalHistory)),
            (in_loinc("34117-2"), Some(MedicalHistory)),
            (
                with_category("Condition", "condition-category", "encounter-diagnosis"),
                Some(Diagnosis),
            ),
            (
                with_category("Condition", "condition-category", "problem-list-item"),
                Some(MedicalHistory),
            ),
            (
                with_category("Condition", "x", "75326-9").replace(
                    "http://terminology.hl7.org/CodeSystem/x",
                    "http://loinc.org",
                ),
                Some(MedicalHistory),
            ),
            (bare("Condition"), None),
            (bare("Goal"), Some(TreatmentPlan)),
            (bare("ServiceRequest"), Some(TreatmentPlan)),
            (bare("CareTeam"), Some(TreatmentPlan)),
            (bare("Patient"), None),
            ("{}".to_owned(), None),
            ("[]".to_owned(), None),
            (
                format!(
                    r#"{{"resourceType":"Bundle","type":"collection","entry":[{{"resource":{}}}]}}"#,
                    bare("Goal")
                ),
                Some(TreatmentPlan),
            ),
        ];
        for (document, expected) in cases {
            let read = reader::read(document.as_bytes()).unwrap();
            assert_eq!(record_type_of(&read, None).ok(), expected, "{document}");
        }
    }

    #[test]
    fn what_is_preferred_decides_between_several_and_nothing_else() {
        let filed = |text: &str, preferred| {
            let read = reader::read(text.as_bytes()).unwrap();
            record_type_of(&read, Some(preferred)).ok()
        };
        let bare = r#"{"resourceType":"Observation"}"#;
        assert_eq!(
            filed(bare, RecordType::VitalSigns),
            Some(RecordType::VitalSigns)
        );
        assert_eq!(
            filed(bare, RecordType::Vaccination),
            None,
            "that does not take it"
        );
        for kind in ["MedicationStatement", "MedicationAdministration"] {
            let bare = format!(r#"{{"resourceType":"{kind}"}}"#);
            let prescription = RecordType::Prescription;
            assert_eq!(filed(&bare, prescription), Some(prescription), "{kind}");
            let history = Some(RecordType::MedicalHistory);
            assert_eq!(filed(&bare, RecordType::Imaging), history, "{kind}");
        }
        let lab = with_category("Observation", "observation-category", "laboratory");
        assert_eq!(
            filed(&lab, RecordType::VitalSigns),
            Some(RecordType::LabResult)
        );
        let diagnosis = with_category("Condition", "condition-category", "encounter-diagnosis");
        assert_eq!(
            filed(&diagnosis, RecordType::MedicalHistory),
            Some(RecordType::MedicalHistory)
        );
    }
}
