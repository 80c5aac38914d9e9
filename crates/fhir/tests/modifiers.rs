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

#[test]
fn a_range_that_is_not_the_normal_one_or_not_everybodys_says_so() {
    let meaning = |code: &str| concept("referencerange-meaning", code);
    let Summary::LabResult(it) = summary(
        &json!({
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "Potassium"},
            "valueQuantity": {"value": 6.6, "unit": "mmol/L"},
            "specimen": {"display": "plasma"},
            "note": [{"text": "haemolysed"}],
            "referenceRange": [
                {"low": {"value": 3.5}, "high": {"value": 5.1}, "type": meaning("normal")},
                {"low": {"value": 6.5}, "high": {"value": 8.0}, "type": meaning("critical")},
                {"high": {"value": 5.0}, "text": "fasting", "appliesTo": [{"text": "women"}],
                 "age": {"low": {"value": 18, "unit": "a"}}},
            ],
        }),
        RecordType::LabResult,
    ) else {
        unreachable!("a laboratory result")
    };
    let ranges = &it.results[0].reference_ranges;
    let texts: Vec<_> = ranges.iter().map(|it| it.text.as_deref()).collect();
    assert_eq!(
        texts,
        [None, Some("critical"), Some("fasting, women, age 18 a –")]
    );
    let meant = ranges[1].meaning.as_ref().and_then(|it| it.text.as_deref());
    assert_eq!(meant, Some("critical"));
    assert_eq!(it.results[0].notes, ["haemolysed"]);
    let specimen = it.results[0].specimen.as_ref();
    assert_eq!(specimen.and_then(|it| it.name.as_deref()), Some("plasma"));
}

#[test]
fn a_unit_alone_is_no_value() {
    let result = json!({
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "Potassium"},
        "valueQuantity": {"comparator": ">", "unit": "mmol/L"},
    });
    let summary = summary(&result, RecordType::LabResult);
    assert_eq!(summary.title(), Some("Potassium"));
    let Summary::LabResult(it) = summary else {
        unreachable!("a laboratory result")
    };
    assert_eq!(it.results[0].text, None);
}

#[test]
fn an_extension_in_the_place_of_a_value_says_why_there_is_none() {
    let unknown = json!([{
        "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
        "valueCode": "asked-declined",
    }]);
    let is_told = |key: &str, value: Value| {
        let mut result = json!({
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "Potassium"},
        });
        result[key] = value;
        let summary = summary(&result, RecordType::LabResult);
        let is_in_title = summary.title() == Some("Potassium: asked-declined");
        let Summary::LabResult(it) = summary else {
            unreachable!("a laboratory result")
        };
        let reason = it.results[0].absent_reason.as_deref();
        let codings = &it.results[0].absent_reason_codings;
        is_in_title && reason == Some("asked-declined") && codings.len() == 1
    };
    assert!(is_told("_valueString", json!({"extension": unknown})));
    let unit = json!({"unit": "mmol/L", "extension": unknown});
    assert!(is_told("valueQuantity", unit));
    let number = json!({"_value": {"extension": unknown}});
    assert!(is_told("valueQuantity", number));
    // Where there is a value, it is another part that is missing.
    let whole = json!({"value": 4, "extension": unknown});
    assert!(!is_told("valueQuantity", whole));
}

#[test]
fn the_dose_is_the_one_that_was_ordered_and_the_others_are_told() {
    let dose = |kind: &str, value: u32| {
        json!({
            "type": concept("dose-rate-type", kind),
            "doseQuantity": {"value": value, "unit": "mg"},
        })
    };
    let Summary::Prescription(it) = summary(
        &json!({
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "medicationReference": {"reference": "#m"},
            "contained": [{"resourceType": "Medication", "id": "m", "ingredient": [
                {"itemCodeableConcept": {"text": "Codeine"}},
                {"itemReference": {"display": "Paracetamol"}},
                {"itemCodeableConcept": {"text": "Starch"}, "isActive": false},
            ]}],
            "substitution": {"allowedBoolean": false},
            "dosageInstruction": [{
                "sequence": 2,
                "text": "one tablet",
                "patientInstruction": "never with alcohol",
                "doseAndRate": [dose("calculated", 500), dose("ordered", 250), {
                    "rateQuantity": {"value": 1, "unit": "mL/h"},
                }],
            }],
        }),
        RecordType::Prescription,
    ) else {
        unreachable!("a prescription")
    };
    let medication = &it.medications[0];
    let drug = medication.medication.as_ref();
    assert_eq!(
        drug.and_then(|it| it.text.as_deref()),
        Some("Codeine + Paracetamol")
    );
    assert_eq!(medication.substitution.as_deref(), Some("false"));
    let dosage = &medication.dosages[0];
    let value = dosage.dose.as_ref().and_then(|it| it.value.as_deref());
    assert_eq!(value, Some("250"));
    assert_eq!(dosage.other_doses, ["calculated: 500 mg", "1 mL/h"]);
    assert_eq!(dosage.rate, None);
    assert_eq!(
        dosage.patient_instruction.as_deref(),
        Some("never with alcohol")
    );
    assert_eq!(dosage.sequence.as_deref(), Some("2"));
}

#[test]
fn a_list_without_entries_says_why() {
    let list = json!({
        "resourceType": "List",
        "status": "current",
        "mode": "snapshot",
        "title": "Allergies",
        "emptyReason": concept("list-empty-reason", "withheld"),
    });
    let composition = json!({
        "resourceType": "Composition",
        "status": "final",
        "title": "Visit",
        "section": [{"title": "Problems", "emptyReason": {"text": "not asked"}}],
    });
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": list}, {"resource": composition},
    ]});
    let summary = summary(&bundle, RecordType::MedicalHistory);
    assert_eq!(summary.title(), Some("Allergies (empty: withheld), Visit"));
    let Summary::MedicalHistory(it) = summary else {
        unreachable!("a history")
    };
    let lists = it.empty_lists.iter();
    let lists: Vec<_> = lists
        .map(|it| (it.title.as_deref(), it.reason.text.as_deref()))
        .collect();
    assert_eq!(
        lists,
        [
            (Some("Allergies"), Some("withheld")),
            (Some("Problems"), Some("not asked")),
        ]
    );
}

#[test]
fn a_vaccination_does_not_mix_the_series_that_it_counts_for() {
    let Summary::Vaccination(it) = summary(
        &json!({
            "resourceType": "Immunization",
            "status": "completed",
            "vaccineCode": {"text": "MMR"},
            "protocolApplied": [
                {"doseNumberPositiveInt": 1, "targetDisease": [{"text": "Measles"}]},
                {"doseNumberPositiveInt": 2, "seriesDosesPositiveInt": 3},
            ],
        }),
        RecordType::Vaccination,
    ) else {
        unreachable!("a vaccination")
    };
    let given = &it.vaccinations[0];
    assert_eq!(given.dose_number.as_deref(), Some("1"));
    assert_eq!(given.series_doses, None);
    assert_eq!(given.protocols.len(), 2);
    assert_eq!(given.protocols[1].series_doses.as_deref(), Some("3"));
}

#[test]
fn a_recommendation_names_every_vaccine_that_is_not_to_be_given() {
    let recommendation = json!({"resourceType": "ImmunizationRecommendation", "recommendation": [{
        "vaccineCode": [{"text": "A"}, {"text": "B"}],
        "contraindicatedVaccineCode": [{"text": "C"}, {"text": "D"}],
        "forecastStatus": {"coding": [{"code": "due"}]},
    }]});
    let summary = summary(&recommendation, RecordType::Vaccination);
    assert_eq!(
        summary.title(),
        Some("A / B (due, contraindicated: C, contraindicated: D)")
    );
    let Summary::Vaccination(it) = summary else {
        unreachable!("a vaccination")
    };
    assert_eq!(it.next_doses[0].vaccines.len(), 2);
}

#[test]
fn a_state_that_its_own_words_take_back_is_named() {
    let allergy = |words: &str| {
        let mut state = concept("allergyintolerance-verification", "confirmed");
        state["text"] = json!(words);
        let document = json!({
            "resourceType": "AllergyIntolerance",
            "verificationStatus": state,
            "code": {"text": "Peanut"},
        });
        summary(&document, RecordType::MedicalHistory)
    };
    assert_eq!(allergy("Confirmed").unsupported_modifiers(), [""; 0]);
    let other = allergy("refuted by a challenge");
    assert_eq!(
        other.unsupported_modifiers(),
        ["AllergyIntolerance.verificationStatus=confirmed,refuted by a challenge"]
    );
    assert_ne!(other.title(), Some("Peanut"));
}

#[test]
fn a_plan_says_what_is_not_to_be_done_where_it_refers_to_another_entry() {
    let plan = |reference: &str| {
        json!({"resourceType": "CarePlan", "status": "active", "intent": "plan", "activity": [
            {"reference": {"reference": reference, "display": "MRI"}},
        ]})
    };
    let request = json!({
        "resourceType": "MedicationRequest", "status": "stopped", "intent": "order",
        "doNotPerform": true, "medicationCodeableConcept": {"text": "Aspirin"},
    });
    let address = "https://a.example/fhir/MedicationRequest/7";
    for (reference, is_found) in [
        (address, true),
        ("MedicationRequest/7", true),
        ("MedicationRequest/8", false),
    ] {
        let Summary::TreatmentPlan(it) = summary(
            &json!({"resourceType": "Bundle", "type": "collection", "entry": [
                {"resource": plan(reference)},
                {"fullUrl": address, "resource": request},
            ]}),
            RecordType::TreatmentPlan,
        ) else {
            unreachable!("a plan")
        };
        assert_eq!(it.activities[0].do_not_perform, is_found, "{reference}");
    }
    // What two entries are called means neither.
    let twice = json!({"fullUrl": address, "resource": request});
    let Summary::TreatmentPlan(it) = summary(
        &json!({"resourceType": "Bundle", "type": "collection", "entry": [
            {"resource": plan(address)}, twice, twice,
        ]}),
        RecordType::TreatmentPlan,
    ) else {
        unreachable!("a plan")
    };
    assert!(!it.activities[0].do_not_perform);
}

#[test]
fn a_reference_means_an_entry_of_its_own_server() {
    let at = |server: &str| format!("https://{server}.example/fhir/ServiceRequest/7");
    let request =
        |forbids: bool| json!({"resourceType": "ServiceRequest", "doNotPerform": forbids});
    let plan = json!({"resourceType": "CarePlan", "activity": [
        {"reference": {"reference": "ServiceRequest/7"}},
    ]});
    for (server, forbids) in [("a", false), ("b", true), ("c", false)] {
        let address = format!("https://{server}.example/fhir/CarePlan/1");
        let Summary::TreatmentPlan(it) = summary(
            &json!({"resourceType": "Bundle", "type": "collection", "entry": [
                {"fullUrl": address, "resource": plan},
                {"fullUrl": at("a"), "resource": request(false)},
                {"fullUrl": at("b"), "resource": request(true)},
            ]}),
            RecordType::TreatmentPlan,
        ) else {
            unreachable!("a plan")
        };
        assert_eq!(it.activities[0].do_not_perform, forbids, "{server}");
    }
}

#[test]
fn what_an_entry_says_is_not_told_again_without_its_states() {
    let address = |kind: &str| format!("https://a.example/fhir/{kind}/7");
    let bundle = |lists: Value, kind: &str, listed: Value| {
        json!({"resourceType": "Bundle", "type": "collection", "entry": [
            {"resource": lists},
            {"fullUrl": address(kind), "resource": listed},
        ]})
    };
    let list = json!({"resourceType": "List", "status": "current", "mode": "snapshot", "entry": [
        {"item": {"reference": address("AllergyIntolerance")}},
        {"item": {"reference": "AllergyIntolerance/8", "display": "Latex"}},
    ]});
    let refuted = json!({
        "resourceType": "AllergyIntolerance",
        "verificationStatus": concept("allergyintolerance-verification", "refuted"),
        "code": {"text": "Peanut"},
    });
    let listed = bundle(list, "AllergyIntolerance", refuted);
    let Summary::MedicalHistory(it) = summary(&listed, RecordType::MedicalHistory) else {
        unreachable!("a history")
    };
    let names: Vec<_> = it.referred.iter().map(|it| it.name.as_deref()).collect();
    assert_eq!(names, [Some("Latex")]);

    let plan = json!({"resourceType": "CarePlan", "goal": [{"reference": "Goal/7"}]});
    let rejected = json!({
        "resourceType": "Goal",
        "lifecycleStatus": "rejected",
        "description": {"text": "Walk daily"},
    });
    let planned = bundle(plan, "Goal", rejected);
    let Summary::TreatmentPlan(it) = summary(&planned, RecordType::TreatmentPlan) else {
        unreachable!("a plan")
    };
    let states: Vec<_> = it.goals.iter().map(|it| it.status.as_deref()).collect();
    assert_eq!(states, [Some("rejected")]);
}

#[test]
fn a_title_has_nothing_that_turns_its_direction() {
    let allergy = json!({
        "resourceType": "AllergyIntolerance",
        "verificationStatus": concept("allergyintolerance-verification", "refuted"),
        "code": {"text": "\u{202e}\u{2067}Pea\u{2069}nut\u{202c}"},
    });
    let summary = summary(&allergy, RecordType::MedicalHistory);
    assert_eq!(summary.title(), Some("Peanut (refuted)"));
    let Summary::MedicalHistory(it) = summary else {
        unreachable!("a history")
    };
    let code = it.allergies[0]
        .code
        .as_ref()
        .and_then(|it| it.text.as_deref());
    assert_eq!(code, allergy["code"]["text"].as_str());
}

#[test]
fn the_code_that_somebody_chose_is_the_one_that_is_read() {
    let allergy = json!({"resourceType": "AllergyIntolerance", "code": {"coding": [
        {"system": "urn:x", "code": "A", "display": "Nuts"},
        {"system": "urn:y", "code": "B", "display": "Peanut", "userSelected": true},
    ]}});
    let summary = summary(&allergy, RecordType::MedicalHistory);
    assert_eq!(summary.title(), Some("Peanut"));
}
