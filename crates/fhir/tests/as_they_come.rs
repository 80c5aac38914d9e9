//! Documents as hospitals have them: each stands for its kind, with what it must come to.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use fhir::{RecordType, check, record_type_of};
use serde_json::{Value, json};

/// The bullets that a document of this type leaves open, bold ones with an exclamation mark.
fn open(record_type: RecordType, document: &Value) -> Vec<String> {
    let checked = check(&documents::tree(document), record_type).unwrap();
    let open = checked.completeness.open().iter();
    open.map(|it| format!("{}{}", it.name, if it.is_required { "!" } else { "" }))
        .collect()
}

fn required(record_type: RecordType, document: &Value) -> Vec<String> {
    let mut open = open(record_type, document);
    open.retain(|name| name.ends_with('!'));
    open
}

/// The rules and paths for which it is refused.
fn refused(record_type: RecordType, document: &Value) -> Vec<(String, String)> {
    let issues = check(&documents::tree(document), record_type).unwrap_err();
    issues.into_iter().map(|it| (it.path, it.rule)).collect()
}

fn category(system: &str, code: &str) -> Value {
    json!([{"coding": [{"system": system, "code": code}]}])
}

const LOINC: &str = "http://loinc.org";
const OBSERVATION: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

#[test]
fn a_radiology_report_in_the_categories_of_loinc_is_imaging_without_a_body_part() {
    let report = json!({
        "resourceType": "DiagnosticReport", "status": "final",
        "category": category(LOINC, "LP29684-5"),
        "code": {"coding": [{"system": LOINC, "code": "24627-2", "display": "CT Chest"}]},
        "effectiveDateTime": "2026-04-02", "conclusion": "No nodule seen",
        "resultsInterpreter": [{"display": "Dr Lens"}],
    });

    assert_eq!(open(RecordType::Imaging, &report), [""; 0]);
    let at = "DiagnosticReport.category".to_owned();
    assert_eq!(
        refused(RecordType::LabResult, &report),
        [(at, "record-type:LAB_RESULT".to_owned())]
    );
    let filed = record_type_of(&documents::tree(&report), None);
    assert_eq!(filed, Ok(RecordType::Imaging));
    // Of a laboratory and of imaging: both may have it, and whoever stores it says.
    let mut both = report.clone();
    both["category"] = json!([
        category(LOINC, "LP29684-5")[0],
        category("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB")[0],
    ]);
    for wanted in [RecordType::Imaging, RecordType::LabResult] {
        assert_eq!(
            record_type_of(&documents::tree(&both), Some(wanted)),
            Ok(wanted)
        );
    }
    assert!(record_type_of(&documents::tree(&both), None).is_err());
}

#[test]
fn two_contained_resources_of_one_id_are_refused() {
    let measured = json!({
        "resourceType": "Observation", "status": "final", "category": category(OBSERVATION, "vital-signs"),
        "code": {"coding": [{"system": LOINC, "code": "8867-4", "display": "Heart rate"}]},
        "effectiveDateTime": "2026-04-02",
        "valueQuantity": {"value": 64, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
        "contained": [
            {"resourceType": "Practitioner", "id": "a"},
            {"resourceType": "Organization", "id": "a", "name": "Ward 3"},
        ],
        "performer": [{"reference": "#a"}],
    });
    let at = "Observation.contained".to_owned();
    assert!(refused(RecordType::VitalSigns, &measured).contains(&(at, "contained-id".to_owned())));
}

#[test]
fn a_bare_reference_states_nothing() {
    let order = |reference: Value| {
        json!({
            "resourceType": "MedicationRequest", "status": "active", "intent": "order",
            "medicationReference": reference, "requester": {"display": "Dr Pill"},
            "dosageInstruction": [{"text": "one at night"}],
        })
    };
    let drug = ["medication details!"];
    for bare in [
        json!({"reference": "Medication/77"}),
        json!({"reference": "urn:uuid:7c1f1a5e-6f0c-4f0e-9f64-1d8d0a4c1b5a"}),
        json!({"identifier": {"value": "77"}}),
    ] {
        assert_eq!(required(RecordType::Prescription, &order(bare)), drug);
    }
    let named = order(json!({"reference": "Medication/77", "display": "Ramipril 5 mg"}));
    assert_eq!(required(RecordType::Prescription, &named), [""; 0]);
    let mut empty = order(json!({"reference": "#m"}));
    empty["contained"] = json!([{"resourceType": "Medication", "id": "m", "status": "active"}]);
    assert_eq!(required(RecordType::Prescription, &empty), drug);

    let report = json!({
        "resourceType": "DiagnosticReport", "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "58410-2"}]},
        "result": [{"reference": "Observation/5"}],
    });
    assert_eq!(required(RecordType::LabResult, &report), ["test results!"]);
    let plan = json!({
        "resourceType": "CarePlan", "status": "active", "intent": "plan",
        "goal": [{"reference": "Goal/1"}], "activity": [{"reference": {"reference": "ServiceRequest/1"}}],
    });
    assert_eq!(
        required(RecordType::TreatmentPlan, &plan),
        ["treatment objectives!", "procedures!"]
    );
    // An address is no better as an identifier.
    let mut plan = plan;
    plan["goal"] = json!([{"identifier": {"value": "Goal/1"}}]);
    let request = json!({"identifier": {"value": "http://h/ServiceRequest/1"}});
    plan["activity"][0]["reference"] = request;
    assert_eq!(
        required(RecordType::TreatmentPlan, &plan),
        ["treatment objectives!", "procedures!"]
    );
    plan["goal"] = json!([{"identifier": {"system": "http://h/goals", "value": "1"}}]);
    assert_eq!(required(RecordType::TreatmentPlan, &plan), ["procedures!"]);
    // A fragment is no professional where it means the patient.
    let mut own = order(json!({"display": "Ramipril 5 mg"}));
    own["contained"] = json!([{"resourceType": "Patient", "id": "me"}]);
    own["requester"] = json!({"reference": "#me"});
    assert_eq!(
        required(RecordType::Prescription, &own),
        ["prescribing doctor!"]
    );
}

#[test]
fn a_code_states_what_it_codes_with_or_without_its_display() {
    let coded =
        |code: &str| json!({"coding": [{"system": "http://snomed.info/sct", "code": code}]});
    let procedure = json!({
        "resourceType": "Procedure", "status": "completed", "code": coded("174041007"),
        "performedDateTime": "2019-05-06",
    });
    let allergy = json!({
        "resourceType": "AllergyIntolerance", "code": coded("91936005"),
        "clinicalStatus": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active",
        }]},
        "reaction": [{"manifestation": [coded("271807003")]}],
    });
    let vaccine = json!({
        "resourceType": "Immunization", "status": "completed", "occurrenceDateTime": "2026-01-05",
        "vaccineCode": {"coding": [{"system": "http://hl7.org/fhir/sid/cvx", "code": "08"}]},
    });

    assert_eq!(open(RecordType::MedicalHistory, &procedure), [""; 0]);
    assert_eq!(open(RecordType::MedicalHistory, &allergy), [""; 0]);
    assert_eq!(required(RecordType::Vaccination, &vaccine), [""; 0]);
}

#[test]
fn what_is_asked_for_wins_over_what_a_condition_says_of_itself() {
    let system = "http://terminology.hl7.org/CodeSystem/condition-category";
    let condition = json!({
        "resourceType": "Condition", "category": category(system, "encounter-diagnosis"),
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "38341003"}]},
    });
    let filed = |preferred| record_type_of(&documents::tree(&condition), preferred);

    assert_eq!(filed(None), Ok(RecordType::Diagnosis));
    let history = RecordType::MedicalHistory;
    assert_eq!(filed(Some(history)), Ok(history));
    assert_eq!(required(history, &condition), [""; 0]);
    // What takes no such document is not asked for by it.
    assert_eq!(filed(Some(RecordType::Imaging)), Ok(RecordType::Diagnosis));
}

#[test]
fn what_is_not_r4_is_told_before_what_no_record_type_takes() {
    let mut sodium = json!({
        "resourceType": "Observation", "status": "final", "category": [],
        "code": {"coding": [{"system": LOINC, "code": "2823-3"}]},
        "valueQuantity": {"value": 4.1, "system": "http://unitsofmeasure.org", "code": "mmol/L"},
    });
    let at = |path: &str| path.to_owned();

    let told = refused(RecordType::LabResult, &sodium);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, at("Observation.category"));
    assert!(!told[0].1.starts_with("record-type"), "{told:?}");
    let issues = record_type_of(&documents::tree(&sodium), None).unwrap_err();
    assert_eq!(issues[0].path, at("Observation.category"));
    // Where nothing else is wrong, it is told what is.
    sodium["category"] = category(OBSERVATION, "vital-signs");
    assert_eq!(
        refused(RecordType::LabResult, &sodium),
        [(at("Observation.category"), at("record-type:LAB_RESULT"))]
    );
}

#[test]
fn a_score_and_an_answer_have_no_unit_and_what_is_measured_has_one() {
    let sign = |code: &str, value: (&str, Value)| {
        json!({
            "resourceType": "Observation", "status": "final",
            "category": category(OBSERVATION, "vital-signs"),
            "code": {"coding": [{"system": LOINC, "code": code}]},
            value.0: value.1,
        })
    };
    let answer = json!({"coding": [{"system": "http://snomed.info/sct", "code": "248234008"}]});

    for good in [
        sign("38208-5", ("valueInteger", json!(3))),
        sign("80288-4", ("valueCodeableConcept", answer)),
        sign("8867-4", ("dataAbsentReason", json!({"text": "refused"}))),
    ] {
        assert_eq!(required(RecordType::VitalSigns, &good), [""; 0]);
    }
    for bad in [
        sign("8867-4", ("valueInteger", json!(61))),
        sign("38208-5", ("valueString", json!("3 of 10"))),
        sign("38208-5", ("valueQuantity", json!({"value": 3}))),
    ] {
        assert_eq!(required(RecordType::VitalSigns, &bad), ["value in UCUM!"]);
    }
}

#[test]
fn observations_of_a_life_are_history_and_of_pictures_imaging() {
    let observation = |code: &str| {
        json!({
            "resourceType": "Observation", "status": "final", "category": category(OBSERVATION, code),
            "code": {"coding": [{"system": LOINC, "code": "72166-2", "display": "Tobacco"}]},
            "valueCodeableConcept": {"text": "never"},
        })
    };
    for code in [
        "social-history",
        "survey",
        "exam",
        "procedure",
        "activity",
        "therapy",
    ] {
        let document = observation(code);
        let filed = record_type_of(&documents::tree(&document), None);
        assert_eq!(filed, Ok(RecordType::MedicalHistory), "{code}");
        assert_eq!(open(RecordType::MedicalHistory, &document), [""; 0]);
    }
    let filed = record_type_of(&documents::tree(&observation("imaging")), None);
    assert_eq!(filed, Ok(RecordType::Imaging));
    assert_eq!(
        required(RecordType::Imaging, &observation("imaging")),
        [""; 0]
    );
}

#[test]
fn a_recommendation_alone_is_a_vaccination_that_was_not_given_yet() {
    let recommendation = json!({
        "resourceType": "ImmunizationRecommendation", "date": "2026-02-01",
        "recommendation": [{
            "vaccineCode": [{"text": "Tetanus"}],
            "forecastStatus": {"coding": [{"code": "due"}]},
            "dateCriterion": [{"code": {"text": "due"}, "value": "2026-09-01"}],
        }],
    });
    assert_eq!(open(RecordType::Vaccination, &recommendation), [""; 0]);
    let filed = record_type_of(&documents::tree(&recommendation), None);
    assert_eq!(filed, Ok(RecordType::Vaccination));
}
