//! What the server writes into a document.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use fhir::{
    Identity, Json, REASON_URL, RecordType, SALT_URL, canonical, check, reader, reason_of, stamp,
    validate,
};
use serde_json::{Value, json};

const IDENTITY: Identity<'_> = Identity {
    record_id: "0198c9f2-6d0e-7a51-b2c4-3f5a9d1e7b60",
    patient_id: "9b2f6c1a-54de-4f0b-8a77-1c6e0d9f2b35",
    version: 3,
    last_updated: "2026-03-04T10:00:00.000Z",
    salt_hex: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    reason: None,
};

fn stamped(record_type: RecordType, document: &Value) -> Value {
    let json = stamp(documents::tree(document), record_type, &IDENTITY).unwrap();
    serde_json::from_slice(&canonical::to_bytes(&json)).unwrap()
}

fn refused_at(record_type: RecordType, document: &Value) -> Vec<String> {
    let issues = stamp(documents::tree(document), record_type, &IDENTITY).unwrap_err();
    issues.into_iter().map(|issue| issue.path).collect()
}

#[test]
fn every_stamped_example_is_r4_with_its_patient_and_as_complete_as_before() {
    for (record_type, text) in documents::all() {
        let document = reader::read(text.as_bytes()).unwrap();
        let before = check(&document, record_type).unwrap();

        let stamped = stamp(document, record_type, &IDENTITY).unwrap();

        assert_eq!(validate::base(&stamped), [], "{record_type:?}");
        assert_eq!(check(&stamped, record_type).unwrap(), before);
    }
}

#[test]
fn the_server_owns_id_version_time_salt_and_patient() {
    let stamped = stamped(
        RecordType::Diagnosis,
        &documents::example(RecordType::Diagnosis),
    );

    assert_eq!(stamped["id"], IDENTITY.record_id);
    assert_eq!(stamped["meta"]["versionId"], "3");
    assert_eq!(stamped["meta"]["lastUpdated"], IDENTITY.last_updated);
    let salt = json!([{"url": SALT_URL, "valueString": IDENTITY.salt_hex}]);
    assert_eq!(stamped["meta"]["extension"], salt);
    let patient = json!({"reference": format!("Patient/{}", IDENTITY.patient_id)});
    assert_eq!(stamped["subject"], patient);
}

#[test]
fn a_later_version_says_why_and_an_earlier_reason_never_stays() {
    let because = Identity {
        reason: Some("the other lung"),
        ..IDENTITY
    };
    let document = documents::tree(&documents::example(RecordType::Diagnosis));

    let amended = stamp(document, RecordType::Diagnosis, &because).unwrap();
    assert_eq!(reason_of(&amended), Some("the other lung"));
    assert_eq!(validate::base(&amended), []);

    let again = stamp(amended, RecordType::Diagnosis, &IDENTITY).unwrap();
    assert_eq!(reason_of(&again), None);
    let told = String::from_utf8(canonical::to_bytes(&again)).unwrap();
    assert!(!told.contains(REASON_URL) && told.contains(SALT_URL));
}

#[test]
fn every_entry_and_what_is_contained_is_about_the_patient() {
    let bundle = stamped(
        RecordType::MedicalHistory,
        &documents::example(RecordType::MedicalHistory),
    );
    let plan = stamped(
        RecordType::TreatmentPlan,
        &documents::example(RecordType::TreatmentPlan),
    );

    let patient = format!("Patient/{}", IDENTITY.patient_id);
    for (index, element) in ["subject", "subject", "patient", "patient"]
        .iter()
        .enumerate()
    {
        assert_eq!(
            bundle["entry"][index]["resource"][element]["reference"],
            patient
        );
    }
    assert_eq!(plan["contained"][0]["subject"]["reference"], patient);
}

#[test]
fn an_earlier_export_is_overwritten_and_the_rest_of_meta_is_kept() {
    let mut export = documents::example(RecordType::Diagnosis);
    export["id"] = json!("old");
    export["_id"] = json!({"extension": [{"url": "urn:a", "valueString": "old"}]});
    export["meta"] = json!({
        "versionId": "1", "_versionId": {"id": "old"}, "lastUpdated": "2020-01-01T00:00:00Z",
        "profile": ["urn:profile"],
        "extension": [
            {"url": SALT_URL, "valueString": "old"}, {"url": "urn:other", "valueString": "kept"},
            {"url": SALT_URL, "valueString": "older"}
        ]
    });

    let again = stamped(RecordType::Diagnosis, &export);

    let text = again.to_string();
    assert!(!text.contains("old") && !text.contains("2020"), "{text}");
    assert_eq!(again["meta"]["profile"], json!(["urn:profile"]));
    assert_eq!(again["meta"]["extension"].as_array().unwrap().len(), 2);
    assert_eq!(stamped(RecordType::Diagnosis, &again), again);
}

#[test]
fn a_document_about_somebody_else_is_refused() {
    let other = json!({"reference": "Patient/somebody-else"});
    let mut condition = documents::example(RecordType::Diagnosis);
    condition["subject"] = other.clone();
    let mut bundle = documents::example(RecordType::VitalSigns);
    bundle["entry"][2]["resource"]["subject"] = other.clone();
    let mut report = documents::example(RecordType::LabResult);
    report["contained"][1]["subject"] = other.clone();
    let mut encounter = documents::example(RecordType::Prescription);
    let class =
        json!({"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"});
    let contained = json!({
        "resourceType": "Encounter", "id": "visit", "status": "finished", "class": class,
        "subject": other
    });
    encounter["contained"]
        .as_array_mut()
        .unwrap()
        .push(contained);

    let at = |path: &str| vec![path.to_owned()];
    assert_eq!(
        refused_at(RecordType::Diagnosis, &condition),
        at("Condition.subject")
    );
    let path = "Bundle.entry[2].resource.subject";
    assert_eq!(refused_at(RecordType::VitalSigns, &bundle), at(path));
    let path = "DiagnosticReport.contained[1].subject";
    assert_eq!(refused_at(RecordType::LabResult, &report), at(path));
    let path = "MedicationRequest.contained[1].subject";
    assert_eq!(refused_at(RecordType::Prescription, &encounter), at(path));
}

#[test]
fn a_subject_that_is_not_the_patient_by_reference_is_refused() {
    for subject in [
        json!({"display": "Mrs A"}),
        json!({"identifier": {"value": "1"}}),
        json!({"reference": "#patient"}),
        json!({"reference": format!("Patient/{}/_history/1", IDENTITY.patient_id)}),
        json!({"reference": format!("https://a.example/Patient/{}", IDENTITY.patient_id)}),
        json!({"reference": format!("Group/{}", IDENTITY.patient_id)}),
    ] {
        let mut document = documents::example(RecordType::Diagnosis);
        document["subject"] = subject;
        assert_eq!(
            refused_at(RecordType::Diagnosis, &document),
            ["Condition.subject"]
        );
    }
}

#[test]
fn the_patient_by_name_is_accepted_in_capitals_too() {
    let reference = format!("Patient/{}", IDENTITY.patient_id);
    let mut document = documents::example(RecordType::Diagnosis);
    document["subject"] =
        json!({"reference": format!("Patient/{}", IDENTITY.patient_id.to_uppercase())});

    assert_eq!(
        stamped(RecordType::Diagnosis, &document)["subject"]["reference"],
        reference
    );
}

#[test]
fn an_identity_that_is_not_well_formed_is_refused() {
    let document = || documents::tree(&documents::example(RecordType::Diagnosis));
    for identity in [
        Identity {
            record_id: "a b",
            ..IDENTITY
        },
        Identity {
            patient_id: "",
            ..IDENTITY
        },
        Identity {
            last_updated: "2026-03-04",
            ..IDENTITY
        },
        Identity {
            salt_hex: "00",
            ..IDENTITY
        },
        Identity {
            salt_hex: &IDENTITY.salt_hex.replace('a', "G"),
            ..IDENTITY
        },
        Identity {
            reason: Some("\u{7}"),
            ..IDENTITY
        },
    ] {
        let issues = stamp(document(), RecordType::Diagnosis, &identity).unwrap_err();
        assert_eq!(issues[0].rule, "identity");
    }
}

#[test]
fn debug_hides_the_salt() {
    let identity = Identity {
        reason: Some("the other lung"),
        ..IDENTITY
    };
    let shown = format!("{identity:?}");
    assert!(!shown.contains(IDENTITY.salt_hex) && !shown.contains("lung"));
}

#[test]
fn what_is_no_object_is_refused_and_not_stamped() {
    for json in [
        Json::Null,
        Json::Array(Vec::new()),
        Json::Object(Vec::new()),
    ] {
        let issues = stamp(json, RecordType::Diagnosis, &IDENTITY).unwrap_err();
        assert_eq!(issues[0].rule, "resource-type");
    }
}
