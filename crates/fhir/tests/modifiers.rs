//! A summary never reads as the opposite of its document.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use fhir::summary::{Summary, summarise};
use fhir::{RecordType, reader};
use serde_json::{Value, json};

fn summary(document: &Value, record_type: RecordType) -> Summary {
    let read = reader::read(document.to_string().as_bytes()).unwrap();
    summarise(&read, record_type)
}

fn concept(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code}]})
}

#[test]
fn a_prescription_says_what_is_not_to_be_given_and_how_much_at_most() {
    let Summary::Prescription(it) = summary(
        &json!({
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "doNotPerform": true,
            "medicationCodeableConcept": {"text": "Amoxicillin 500 mg"},
            "dosageInstruction": [{
                "asNeededCodeableConcept": {"text": "pain"},
                "maxDosePerPeriod": {
                    "numerator": {"value": 20, "unit": "mg"},
                    "denominator": {"value": 1, "unit": "d"},
                },
            }],
        }),
        RecordType::Prescription,
    ) else {
        unreachable!("a prescription")
    };
    assert!(it.medications[0].do_not_perform);
    assert_eq!(it.medications[0].intent.as_deref(), Some("order"));
    let dosage = &it.medications[0].dosages[0];
    assert_eq!(dosage.as_needed.as_deref(), Some("pain"));
    assert_eq!(dosage.max_dose.as_deref(), Some("20 mg : 1 d"));
    assert_eq!(it.unsupported_modifiers, [""; 0]);
}

#[test]
fn a_history_says_what_was_refuted_whatever_local_code_stands_before_it() {
    let mut refuted = concept("allergyintolerance-verification", "refuted");
    let local = json!({"system": "http://a.example", "code": "confirmed"});
    refuted["coding"].as_array_mut().unwrap().insert(0, local);
    let Summary::MedicalHistory(it) = summary(
        &json!({"resourceType": "Bundle", "type": "collection", "entry": [
            {"resource": {
                "resourceType": "AllergyIntolerance",
                "clinicalStatus": concept("allergyintolerance-clinical", "active"),
                "verificationStatus": refuted,
                "code": {"text": "Peanut"},
            }},
            {"resource": {
                "resourceType": "Condition",
                "verificationStatus": concept("condition-ver-status", "entered-in-error"),
                "code": {"text": "Asthma"},
            }},
            {"resource": {"resourceType": "Procedure", "status": "not-done", "code": {"text": "Biopsy"}}},
            {"resource": {"resourceType": "FamilyMemberHistory", "status": "health-unknown"}},
            {"resource": {"resourceType": "List", "status": "retired", "mode": "changes", "entry": [
                {"deleted": true, "item": {"display": "Asthma"}},
            ]}},
        ]}),
        RecordType::MedicalHistory,
    ) else {
        unreachable!("a history")
    };
    let status = |it: &Option<String>| it.clone().unwrap_or_default();
    assert_eq!(status(&it.allergies[0].verification_status), "refuted");
    assert_eq!(
        status(&it.conditions[0].verification_status),
        "entered-in-error"
    );
    assert_eq!(status(&it.procedures[0].status), "not-done");
    assert_eq!(status(&it.family[0].status), "health-unknown");
    assert_eq!(
        it.unsupported_modifiers,
        [
            "List.entry.deleted=true",
            "List.mode=changes",
            "List.status=retired"
        ]
    );
}

#[test]
fn a_cancelled_report_says_so_and_what_it_concludes() {
    let Summary::LabResult(it) = summary(
        &json!({
            "resourceType": "DiagnosticReport",
            "status": "cancelled",
            "code": {"text": "CBC"},
            "result": [{"reference": "Observation/1", "display": "Haemoglobin"}],
            "conclusionCode": [{"text": "specimen clotted"}],
        }),
        RecordType::LabResult,
    ) else {
        unreachable!("a laboratory result")
    };
    let report = &it.reports[0];
    assert_eq!(report.status.as_deref(), Some("cancelled"));
    assert_eq!(report.results[0].name.as_deref(), Some("Haemoglobin"));
    assert_eq!(
        report.conclusion_codes[0].text.as_deref(),
        Some("specimen clotted")
    );
}

#[test]
fn imaging_says_which_side_and_whether_it_was_done() {
    let Summary::Imaging(it) = summary(
        &json!({
            "resourceType": "ImagingStudy",
            "status": "cancelled",
            "interpreter": [{"display": "Dr Ray"}],
            "series": [{"bodySite": {"display": "Wrist"}, "laterality": {"display": "Unilateral left"}}],
        }),
        RecordType::Imaging,
    ) else {
        unreachable!("imaging")
    };
    assert_eq!(
        it.body_sites[0].text.as_deref(),
        Some("Wrist (Unilateral left)")
    );
    assert_eq!(it.states[0].status.as_deref(), Some("cancelled"));
    assert_eq!(it.radiologists[0].name.as_deref(), Some("Dr Ray"));
}

#[test]
fn a_plan_says_what_is_not_to_be_done_where_it_refers_to_it() {
    let Summary::TreatmentPlan(it) = summary(
        &json!({
            "resourceType": "CarePlan",
            "status": "revoked",
            "intent": "proposal",
            "contained": [{
                "resourceType": "ServiceRequest", "id": "s", "status": "active", "intent": "order",
                "doNotPerform": true, "code": {"text": "MRI"},
            }],
            "activity": [
                {"reference": {"reference": "#s"}},
                {"detail": {"status": "cancelled", "doNotPerform": true, "code": {"text": "Diet"}}},
            ],
        }),
        RecordType::TreatmentPlan,
    ) else {
        unreachable!("a plan")
    };
    assert_eq!(it.plans[0].status.as_deref(), Some("revoked"));
    assert_eq!(it.plans[0].intent.as_deref(), Some("proposal"));
    assert_eq!(it.activities.len(), 3);
    assert!(it.activities.iter().all(|activity| activity.do_not_perform));
}

#[test]
fn what_nobody_here_understands_is_named() {
    let Summary::VitalSigns(it) = summary(
        &json!({
            "resourceType": "Observation",
            "status": "final",
            "implicitRules": "http://x.example/rules",
            "modifierExtension": [{"url": "http://x.example/negated", "valueBoolean": true}],
            "valueQuantity": {"value": 61},
        }),
        RecordType::VitalSigns,
    ) else {
        unreachable!("vital signs")
    };
    assert_eq!(
        it.unsupported_modifiers,
        [
            "Observation.implicitRules=http://x.example/rules",
            "Observation.modifierExtension(http://x.example/negated)",
        ]
    );
}
