//! Medicines that were taken or given: filed, complete, summarised, found and withdrawn.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use documents::tree;
use fhir::summary::{MedicationGiven, MedicationTaken, Summary, summarise};
use fhir::{
    Completeness, Identity, RecordType, check, entered_in_error, record_type_of, searchable, stamp,
};
use serde_json::{Value, json};

const ATC: &str = "http://www.whocc.no/atc";

fn statement() -> Value {
    json!({
        "resourceType": "MedicationStatement", "status": "completed",
        "medicationCodeableConcept": {
            "coding": [{"system": ATC, "code": "C09AA05"}], "text": "Ramipril 5 mg",
        },
        "subject": {"reference": "Patient/1"},
        "effectivePeriod": {"start": "2024-03-01", "end": "2025-02-01"},
        "dateAsserted": "2025-06-01",
        "informationSource": {"display": "the patient's daughter"},
        "reasonCode": [{"text": "high blood pressure"}],
        "dosage": [{"text": "one in the morning", "asNeededBoolean": false}],
        "note": [{"text": "stopped because of a cough"}],
    })
}

fn administration() -> Value {
    json!({
        "resourceType": "MedicationAdministration", "status": "not-done",
        "statusReason": [{"text": "the patient refused"}],
        "contained": [{
            "resourceType": "Medication", "id": "m",
            "code": {"coding": [{"system": ATC, "code": "N02BE01", "display": "Paracetamol"}]},
        }],
        "medicationReference": {"reference": "#m"},
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2026-01-07T08:00:00Z",
        "performer": [{"actor": {"display": "Nurse Ward"}}],
        "request": {"display": "the order of 6 January"},
        "dosage": {
            "text": "by drip", "route": {"text": "intravenous"},
            "dose": {"value": 1.0, "unit": "g"}, "rateQuantity": {"value": 4, "unit": "g/h"},
        },
    })
}

/// The names of the bullets that are open, bold ones with an exclamation mark.
fn open(record_type: RecordType, document: &Value) -> Vec<String> {
    let checked = check(&tree(document), record_type).unwrap();
    let open = checked.completeness.open().iter();
    open.map(|it| format!("{}{}", it.name, if it.is_required { "!" } else { "" }))
        .collect()
}

#[test]
fn they_are_a_history_unless_a_prescription_is_asked_for() {
    for document in [statement(), administration()] {
        let filed = |preferred| record_type_of(&tree(&document), preferred);
        let prescription = RecordType::Prescription;

        assert_eq!(filed(None), Ok(RecordType::MedicalHistory));
        assert_eq!(filed(Some(prescription)), Ok(prescription));
        assert_eq!(
            filed(Some(RecordType::LabResult)),
            Ok(RecordType::MedicalHistory)
        );
        // Neither kind can say who prescribed it.
        for record_type in [prescription, RecordType::MedicalHistory] {
            let checked = check(&tree(&document), record_type).unwrap();
            assert_eq!(checked.completeness, Completeness::Complete);
        }
        for other in [RecordType::Diagnosis, RecordType::Vaccination] {
            assert!(check(&tree(&document), other).is_err());
        }
    }
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": statement()}, {"resource": administration()},
    ]});
    assert_eq!(
        record_type_of(&tree(&bundle), None),
        Ok(RecordType::MedicalHistory)
    );
    let list = json!({
        "resourceType": "List", "status": "current", "mode": "snapshot",
        "subject": {"reference": "Patient/1"},
        "entry": [{"item": {"reference": "MedicationStatement/7"}}],
    });
    assert_eq!(
        record_type_of(&tree(&list), None),
        Ok(RecordType::MedicalHistory)
    );
}

#[test]
fn what_they_leave_open_is_named() {
    let mut bare = statement();
    let members = bare.as_object_mut().unwrap();
    members.remove("medicationCodeableConcept");
    members.remove("dosage");
    members.remove("effectivePeriod");
    bare["medicationReference"] = json!({"reference": "Medication/77"});

    assert_eq!(
        open(RecordType::Prescription, &bare),
        ["medication details!", "dosage instructions!"]
    );
    // Nothing else is named in it.
    assert_eq!(open(RecordType::MedicalHistory, &bare), ["medications!"]);
    bare["medicationReference"]["display"] = json!("Ramipril 5 mg");
    assert_eq!(open(RecordType::MedicalHistory, &bare), ["medications"]);
    // What was not taken has no dose and no time.
    bare["status"] = json!("not-taken");
    assert_eq!(open(RecordType::Prescription, &bare), [""; 0]);
    assert_eq!(open(RecordType::MedicalHistory, &bare), [""; 0]);

    let mut given = administration();
    given["status"] = json!("completed");
    given.as_object_mut().unwrap().remove("dosage");
    assert_eq!(
        open(RecordType::Prescription, &given),
        ["dosage instructions!"]
    );
    given["contained"][0]
        .as_object_mut()
        .unwrap()
        .remove("code");
    given["contained"][0]["status"] = json!("active");
    assert_eq!(
        open(RecordType::Prescription, &given),
        ["medication details!", "dosage instructions!"]
    );
}

/// What a summary has of statements and administrations.
fn recorded(summary: Summary) -> (Vec<MedicationTaken>, Vec<MedicationGiven>) {
    match summary {
        Summary::Prescription(it) => {
            assert!(it.medications.is_empty(), "nobody ordered it");
            (it.medication_statements, it.medication_administrations)
        }
        Summary::MedicalHistory(it) => (it.medication_statements, it.medication_administrations),
        Summary::Diagnosis(_)
        | Summary::LabResult(_)
        | Summary::TreatmentPlan(_)
        | Summary::VitalSigns(_)
        | Summary::Imaging(_)
        | Summary::Vaccination(_) => (Vec::new(), Vec::new()),
    }
}

#[test]
fn a_summary_says_which_how_much_when_and_whether_at_all() {
    for record_type in [RecordType::Prescription, RecordType::MedicalHistory] {
        let told = summarise(&tree(&statement()), record_type);
        assert_eq!(
            told.title(),
            Some("Ramipril 5 mg (MedicationStatement, completed)")
        );
        assert_eq!(told.date(), Some("2024-03-01"));
        assert_eq!(told.unsupported_modifiers(), [""; 0]);
        let (statements, _) = recorded(told);
        let [it] = statements.as_slice() else {
            unreachable!("there is one")
        };
        assert_eq!(it.status.as_deref(), Some("completed"));
        assert_eq!(it.effective.as_deref(), Some("2024-03-01 – 2025-02-01"));
        assert_eq!(it.asserted.as_deref(), Some("2025-06-01"));
        let source = it.information_source.clone().unwrap();
        assert_eq!(source.name.as_deref(), Some("the patient's daughter"));
        assert_eq!(it.reasons[0].text.as_deref(), Some("high blood pressure"));
        let dosage = &it.dosages[0];
        assert_eq!(dosage.instructions.as_deref(), Some("one in the morning"));
        assert_eq!(it.notes, ["stopped because of a cough"]);

        let told = summarise(&tree(&administration()), record_type);
        assert_eq!(
            told.title(),
            Some("Paracetamol (MedicationAdministration, not-done)")
        );
        let (_, administrations) = recorded(told);
        let [it] = administrations.as_slice() else {
            unreachable!("there is one")
        };
        assert_eq!(it.status.as_deref(), Some("not-done"));
        assert_eq!(
            it.status_reasons[0].text.as_deref(),
            Some("the patient refused")
        );
        assert_eq!(it.performers[0].name.as_deref(), Some("Nurse Ward"));
        let order = it.request.clone().unwrap();
        assert_eq!(order.name.as_deref(), Some("the order of 6 January"));
        let dosage = it.dosage.clone().unwrap();
        assert_eq!(dosage.instructions.as_deref(), Some("by drip"));
        assert_eq!(dosage.route.as_deref(), Some("intravenous"));
        assert_eq!(dosage.dose.unwrap().value.as_deref(), Some("1.0"));
        assert!(dosage.rate.unwrap().starts_with('4'));
    }
}

#[test]
fn a_reason_by_reference_is_told_and_an_end_alone_is_a_date() {
    let referred = json!([{"reference": "#c"}, {"reference": "Condition/7", "display": "fever"}]);
    let condition = json!({
        "resourceType": "Condition", "id": "c", "code": {"text": "migraine"},
        "subject": {"reference": "Patient/1"},
    });
    let ended = json!({"end": "2025-02"});
    let mut statement = statement();
    statement["contained"] = json!([condition.clone()]);
    statement["reasonReference"] = referred.clone();
    statement["effectivePeriod"] = ended.clone();
    let mut administration = administration();
    administration["contained"]
        .as_array_mut()
        .unwrap()
        .push(condition);
    administration["reasonReference"] = referred;
    let members = administration.as_object_mut().unwrap();
    members.remove("effectiveDateTime");
    members.insert("effectivePeriod".to_owned(), ended);

    for document in [statement, administration] {
        assert!(check(&tree(&document), RecordType::MedicalHistory).is_ok());
        let told = summarise(&tree(&document), RecordType::MedicalHistory);
        assert_eq!(told.date(), Some("2025-02"));
        let (statements, administrations) = recorded(told);
        let statements = statements.into_iter().map(|it| (it.reasons, it.effective));
        let administrations = administrations.into_iter();
        let administrations = administrations.map(|it| (it.reasons, it.effective));
        for (reasons, effective) in statements.chain(administrations) {
            let words: Vec<_> = reasons.iter().filter_map(|it| it.text.as_deref()).collect();
            assert!(words.ends_with(&["migraine", "fever"]), "{words:?}");
            assert_eq!(effective.as_deref(), Some("– 2025-02"));
        }
    }
    // R4 has no administration with neither a dose nor a rate (mad-1).
    let mut undosed = self::administration();
    undosed["dosage"] = json!({"text": "by drip"});
    let issues = check(&tree(&undosed), RecordType::MedicalHistory).unwrap_err();
    assert!(issues.iter().any(|it| it.rule == "mad-1"));
}

#[test]
fn they_are_found_by_their_drug_stamped_and_withdrawn() {
    let salt = "7".repeat(64);
    let identity = Identity {
        record_id: "7c1f1a5e-6f0c-4f0e-9f64-1d8d0a4c1b5a",
        patient_id: "1",
        version: 1,
        last_updated: "2026-02-01T00:00:00Z",
        salt_hex: &salt,
        reason: None,
    };
    for (document, code) in [(statement(), "C09AA05"), (administration(), "N02BE01")] {
        let found = searchable(&tree(&document), RecordType::MedicalHistory);
        assert_eq!(found.codes, [(ATC.to_owned(), code.to_owned())]);
        assert!(found.effective_micros.is_some());

        let stamped = stamp(tree(&document), RecordType::MedicalHistory, &identity).unwrap();
        let withdrawn = entered_in_error(stamped);
        let found = searchable(&withdrawn, RecordType::MedicalHistory);
        let status = ("status", "entered-in-error".to_owned());
        assert!(found.metadata.contains(&status));
        assert!(check(&withdrawn, RecordType::MedicalHistory).is_ok());
        let told = summarise(&withdrawn, RecordType::MedicalHistory);
        assert!(told.title().unwrap().contains("entered-in-error"));
    }
}
