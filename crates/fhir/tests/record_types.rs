//! What each record type takes and what makes it complete.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use fhir::{Completeness, RecordType, Severity, check, reader};
use serde_json::{Value, json};

/// The open bullets of a document that is taken, and whether one is bold.
fn missing(record_type: RecordType, document: &Value) -> (Vec<&'static str>, bool) {
    let checked = check(&documents::tree(document), record_type).unwrap();
    let open = checked.completeness.open();
    (
        open.iter().map(|bullet| bullet.name).collect(),
        open.iter().any(|bullet| bullet.is_required),
    )
}

/// The paths and rules for which a document is refused.
fn refusals(record_type: RecordType, document: &Value) -> Vec<(String, String)> {
    let issues = check(&documents::tree(document), record_type).unwrap_err();
    issues
        .into_iter()
        .map(|issue| (issue.path, issue.rule))
        .collect()
}

/// The example of a record type without the member at a JSON pointer.
fn without(record_type: RecordType, pointers: &[&str]) -> Value {
    let mut document = documents::example(record_type);
    for pointer in pointers {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap();
        match parent {
            Value::Object(members) => members.remove(key).map(drop).unwrap(),
            other => drop(other.as_array_mut().unwrap().remove(key.parse().unwrap())),
        }
    }
    document
}

#[test]
fn the_example_document_of_every_record_type_is_complete() {
    for (record_type, text) in documents::all() {
        let checked = check(&reader::read(text.as_bytes()).unwrap(), record_type);

        assert_eq!(
            checked.unwrap().completeness,
            Completeness::Complete,
            "{record_type:?}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of bullets")]
fn a_document_without_an_element_leaves_its_bullet_open() {
    use RecordType::*;
    let cases: &[(RecordType, &[&str], &str, bool)] = &[
        (
            Diagnosis,
            &["/code/coding/0"],
            "diagnosis code (ICD-10)",
            true,
        ),
        (
            Diagnosis,
            &["/asserter", "/recorder"],
            "diagnosing doctor",
            true,
        ),
        (
            Diagnosis,
            &["/recordedDate", "/onsetDateTime"],
            "date of diagnosis",
            true,
        ),
        (
            LabResult,
            &["/code/coding/0/code"],
            "test type (LOINC)",
            true,
        ),
        (
            LabResult,
            &["/contained/1/valueQuantity"],
            "test results",
            true,
        ),
        (
            LabResult,
            &["/contained/1/referenceRange", "/contained/2/referenceRange"],
            "reference ranges",
            false,
        ),
        (
            LabResult,
            &["/performer", "/resultsInterpreter"],
            "laboratory facility",
            false,
        ),
        (
            Prescription,
            &["/contained/0/code", "/medicationReference/display"],
            "medication details",
            true,
        ),
        (
            Prescription,
            &["/dosageInstruction"],
            "dosage instructions",
            true,
        ),
        (Prescription, &["/requester"], "prescribing doctor", true),
        (
            Prescription,
            &[
                "/dispenseRequest/expectedSupplyDuration",
                "/dispenseRequest/validityPeriod",
                "/dosageInstruction/0/timing/repeat/boundsPeriod",
            ],
            "duration",
            false,
        ),
        (
            TreatmentPlan,
            &["/contained", "/goal"],
            "treatment objectives",
            true,
        ),
        (
            TreatmentPlan,
            &["/activity/0/detail/code", "/activity/1/detail/code"],
            "procedures",
            true,
        ),
        (
            TreatmentPlan,
            &[
                "/period",
                "/activity/0/detail/scheduledTiming",
                "/activity/1/detail/scheduledString",
            ],
            "timeline",
            false,
        ),
        (
            TreatmentPlan,
            &["/contained/0/target", "/activity/1/outcomeCodeableConcept"],
            "expected outcomes",
            false,
        ),
        (
            MedicalHistory,
            &["/entry/1/resource/performedDateTime"],
            "surgeries",
            false,
        ),
        (
            MedicalHistory,
            &["/entry/2/resource/condition"],
            "family history",
            false,
        ),
        (
            MedicalHistory,
            &["/entry/3/resource/reaction"],
            "allergies",
            false,
        ),
        (
            VitalSigns,
            &["/entry/1/resource/category"],
            "vital signs category",
            false,
        ),
        (
            VitalSigns,
            &["/entry/1/resource/code/coding/0/system"],
            "LOINC code",
            true,
        ),
        (
            VitalSigns,
            &["/entry/1/resource/valueQuantity"],
            "value in UCUM",
            true,
        ),
        (
            VitalSigns,
            &["/entry/0/resource/component/1"],
            "blood pressure (8480-6, 8462-4)",
            true,
        ),
        (
            Imaging,
            &[
                "/code/coding/0/display",
                "/code/coding/0/code",
                "/contained",
                "/imagingStudy",
            ],
            "image type",
            true,
        ),
        (
            Imaging,
            &["/contained/0/series/0/bodySite"],
            "body part",
            true,
        ),
        (
            Imaging,
            &["/conclusion", "/conclusionCode"],
            "findings",
            false,
        ),
        (
            Imaging,
            &["/resultsInterpreter"],
            "radiologist notes",
            false,
        ),
        (
            Vaccination,
            &[
                "/entry/0/resource/vaccineCode/coding/1",
                "/entry/0/resource/vaccineCode/coding/0/code",
                "/entry/0/resource/vaccineCode/coding/0/display",
                "/entry/0/resource/vaccineCode/text",
            ],
            "vaccine type",
            true,
        ),
        (
            Vaccination,
            &["/entry/0/resource/lotNumber"],
            "batch number",
            false,
        ),
        (Vaccination, &["/entry/1"], "next dose due date", false),
    ];

    for (record_type, pointers, bullet, bold) in cases {
        let (missing, required) = missing(*record_type, &without(*record_type, pointers));

        assert!(
            missing.contains(bullet),
            "{record_type:?} {bullet}: {missing:?}"
        );
        assert_eq!(required, *bold, "{bullet}");
    }
}

#[test]
fn a_diagnosis_by_the_patient_names_no_doctor() {
    let mut document = without(RecordType::Diagnosis, &["/recorder"]);
    document["asserter"] = json!({"reference": "Patient/1"});

    let open = missing(RecordType::Diagnosis, &document);

    assert_eq!(open, (vec!["diagnosing doctor"], true));
}

#[test]
fn the_last_dose_of_a_series_has_no_next_one() {
    let mut document = without(RecordType::Vaccination, &["/entry/1"]);
    document["entry"][0]["resource"]["protocolApplied"][0]["doseNumberPositiveInt"] = json!(3);

    assert_eq!(missing(RecordType::Vaccination, &document), (vec![], false));
}

#[test]
fn a_heart_rate_in_another_unit_is_open() {
    let mut document = documents::example(RecordType::VitalSigns);
    document["entry"][1]["resource"]["valueQuantity"]["code"] = json!("Cel");

    let open = missing(RecordType::VitalSigns, &document);

    assert_eq!(open, (vec!["heart rate per minute"], false));
}

#[test]
fn a_history_of_one_thing_is_complete_and_one_of_nothing_is_not() {
    let allergy = documents::example(RecordType::MedicalHistory)["entry"][3]["resource"].clone();
    let mut unnamed = allergy.clone();
    unnamed.as_object_mut().unwrap().remove("code");

    assert_eq!(
        missing(RecordType::MedicalHistory, &allergy),
        (vec![], false)
    );
    // One fault, one complaint, where it belongs.
    let checked = check(&documents::tree(&unnamed), RecordType::MedicalHistory).unwrap();
    let [open] = checked.completeness.open() else {
        unreachable!("one")
    };
    assert_eq!((open.name, open.is_required), ("allergies", true));
    assert_eq!(open.path, "AllergyIntolerance.code");
    let empty = json!({"resourceType": "List", "status": "current", "mode": "snapshot"});
    let all = vec!["past conditions, surgeries, family history or allergies"];
    assert_eq!(missing(RecordType::MedicalHistory, &empty), (all, true));
}

#[test]
fn a_document_is_refused_by_every_record_type_that_does_not_take_its_kind() {
    for (taken_as, _) in documents::all() {
        for (kind, text) in documents::all() {
            let taken = check(&reader::read(text.as_bytes()).unwrap(), taken_as).is_ok();
            // A diagnosis is a fitting medical history.
            let history = (kind, taken_as) == (RecordType::Diagnosis, RecordType::MedicalHistory);
            assert_eq!(
                taken,
                kind == taken_as || history,
                "{kind:?} as {taken_as:?}"
            );
        }
    }
}

#[test]
fn a_bundle_is_a_collection_of_roots_about_one_patient() {
    let rule = |record_type: &str| format!("record-type:{record_type}");
    let mut searched = documents::example(RecordType::VitalSigns);
    searched["type"] = json!("searchset");
    let mut mixed = documents::example(RecordType::VitalSigns);
    mixed["entry"][0]["resource"] = json!({"resourceType": "Patient"});
    let mut two = documents::example(RecordType::VitalSigns);
    two["entry"][0]["resource"]["subject"] = json!({"reference": "Patient/1"});
    two["entry"][1]["resource"]["subject"] = json!({"reference": "Patient/2"});
    let empty = json!({"resourceType": "Bundle", "type": "collection"});

    let vital = |path: &str| vec![(path.to_owned(), rule("VITAL_SIGNS"))];
    assert_eq!(
        refusals(RecordType::VitalSigns, &searched),
        vital("Bundle.type")
    );
    assert_eq!(
        refusals(RecordType::VitalSigns, &mixed),
        vital("Bundle.entry[0].resource")
    );
    assert_eq!(
        refusals(RecordType::VitalSigns, &two),
        vital("Bundle.entry")
    );
    assert_eq!(
        refusals(RecordType::VitalSigns, &empty),
        vital("Bundle.entry")
    );
    assert_eq!(
        refusals(RecordType::Prescription, &empty),
        [("resourceType".to_owned(), rule("PRESCRIPTION"))]
    );
}

#[test]
fn a_category_of_something_else_is_misfiled_and_none_is_incomplete() {
    let mut heart_rate = documents::example(RecordType::VitalSigns)["entry"][1]["resource"].clone();

    let refused = refusals(RecordType::LabResult, &heart_rate);
    heart_rate.as_object_mut().unwrap().remove("category");
    let (missing, required) = missing(RecordType::LabResult, &heart_rate);

    let expected = (
        "Observation.category".to_owned(),
        "record-type:LAB_RESULT".to_owned(),
    );
    assert_eq!(refused, [expected]);
    assert!(missing.contains(&"laboratory category"));
    assert!(!required, "whoever stores it says which type it is");
}

#[test]
fn a_list_of_a_history_lists_only_histories() {
    let list = |kind: &str| {
        json!({
            "resourceType": "List", "status": "current", "mode": "snapshot",
            "entry": [{"item": {"reference": format!("{kind}/1")}}]
        })
    };

    assert_eq!(
        missing(RecordType::MedicalHistory, &list("Condition")),
        (vec![], false)
    );
    assert_eq!(
        refusals(RecordType::MedicalHistory, &list("Encounter")).len(),
        1
    );
}

#[test]
fn open_bullets_are_errors_where_they_are_bold_and_say_where() {
    let severities = |pointers: &[&str]| {
        let document = without(RecordType::Imaging, pointers);
        let checked = check(&documents::tree(&document), RecordType::Imaging).unwrap();
        let issues = checked.completeness.issues(RecordType::Imaging);
        issues
            .into_iter()
            .map(|issue| issue.severity)
            .collect::<Vec<_>>()
    };

    assert_eq!(severities(&[]), []);
    assert_eq!(
        severities(&["/resultsInterpreter"]),
        [Severity::Information]
    );
    assert_eq!(
        severities(&["/contained/0/series/0/bodySite", "/resultsInterpreter"]),
        [Severity::Error, Severity::Information]
    );
    let mut vitals = documents::example(RecordType::VitalSigns);
    vitals["entry"][2]["resource"]
        .as_object_mut()
        .unwrap()
        .remove("valueQuantity");
    let checked = check(&documents::tree(&vitals), RecordType::VitalSigns).unwrap();
    let issues = checked.completeness.issues(RecordType::VitalSigns);
    assert_eq!(issues[0].path, "Bundle.entry[2].resource.value");
}
