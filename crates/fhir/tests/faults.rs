//! One fault at a time in a good document: found, named, placed, and not repeated.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use fhir::{IssueCode, RecordType, operation_outcome, reader, validate};
use serde_json::{Value, json};

/// The issues of the example of a record type with this value at a JSON pointer.
fn issues(record_type: RecordType, pointer: &str, value: Value) -> Vec<fhir::Issue> {
    let mut document = documents::example(record_type);
    document["subject"] = json!({"reference": "Patient/1"});
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        object if value == "absent" => drop(object.as_object_mut().unwrap().remove(key)),
        object => object[key] = value,
    }
    validate::base(&documents::tree(&document))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of faults")]
fn each_fault_is_found_with_its_rule_and_its_place() {
    use RecordType::{Diagnosis, Imaging, Prescription};
    let concept = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical";
    let repeat = "/dosageInstruction/0/timing/repeat";
    let cases = [
        (
            Diagnosis,
            "/resourceType",
            json!("Nonsense"),
            "resource-type",
            "Resource",
        ),
        (
            Diagnosis,
            "/resourceType",
            json!("DomainResource"),
            "resource-type",
            "Resource",
        ),
        (
            Diagnosis,
            "/surprise",
            json!(1),
            "unknown-element",
            "Condition",
        ),
        (
            Diagnosis,
            "/code/surprise",
            json!(1),
            "unknown-element",
            "Condition.code",
        ),
        (
            Diagnosis,
            "/_code",
            json!({"id": "a"}),
            "unknown-element",
            "Condition",
        ),
        (
            Diagnosis,
            "/onset",
            json!("2024"),
            "unknown-element",
            "Condition",
        ),
        (
            Diagnosis,
            "/onsetAddress",
            json!({"text": "a"}),
            "unknown-element",
            "Condition",
        ),
        (
            Diagnosis,
            "/onsetString",
            json!("a"),
            "choice",
            "Condition.onsetString",
        ),
        (
            Diagnosis,
            "/subject",
            json!("absent"),
            "required",
            "Condition.subject",
        ),
        (
            Diagnosis,
            "/note/0/text",
            json!("absent"),
            "required",
            "Condition.note[0].text",
        ),
        (
            Prescription,
            "/status",
            json!("absent"),
            "required",
            "MedicationRequest.status",
        ),
        (
            Prescription,
            "/medicationReference",
            json!("absent"),
            "required",
            "MedicationRequest.medication",
        ),
        (
            Diagnosis,
            "/category",
            json!({"text": "a"}),
            "cardinality",
            "Condition.category",
        ),
        (
            Diagnosis,
            "/code",
            json!([{"text": "a"}]),
            "cardinality",
            "Condition.code",
        ),
        (
            Diagnosis,
            "/recordedDate",
            json!(["2024"]),
            "cardinality",
            "Condition.recordedDate",
        ),
        (
            Diagnosis,
            "/category",
            json!([]),
            "empty",
            "Condition.category",
        ),
        (
            Diagnosis,
            "/category",
            json!([null]),
            "empty",
            "Condition.category[0]",
        ),
        (Diagnosis, "/code", json!(null), "empty", "Condition.code"),
        (Diagnosis, "/code", json!({}), "ele-1", "Condition.code"),
        (
            Diagnosis,
            "/code",
            json!({"id": "a"}),
            "ele-1",
            "Condition.code",
        ),
        (Diagnosis, "/code", json!("a"), "type", "Condition.code"),
        (
            Diagnosis,
            "/code/text",
            json!(""),
            "type:string",
            "Condition.code.text",
        ),
        (
            Diagnosis,
            "/code/text",
            json!(1),
            "type:string",
            "Condition.code.text",
        ),
        (
            Diagnosis,
            "/code/text",
            json!({"a": 1}),
            "type:string",
            "Condition.code.text",
        ),
        (
            Diagnosis,
            "/_recordedDate",
            json!("a"),
            "type",
            "Condition.recordedDate",
        ),
        (
            Diagnosis,
            "/_recordedDate",
            json!({"a": 1}),
            "unknown-element",
            "Condition.recordedDate",
        ),
        (
            Diagnosis,
            "/recordedDate",
            json!("2024-02-30"),
            "type:dateTime",
            "Condition.recordedDate",
        ),
        (
            Diagnosis,
            "/recordedDate",
            json!("2024-02-03T10:00"),
            "type:dateTime",
            "Condition.recordedDate",
        ),
        (Diagnosis, "/id", json!("a_b"), "type:id", "Condition.id"),
        (
            Diagnosis,
            "/language",
            json!(" en"),
            "type:code",
            "Condition.language",
        ),
        (
            Diagnosis,
            "/implicitRules",
            json!("a b"),
            "type:uri",
            "Condition.implicitRules",
        ),
        (
            Diagnosis,
            "/text/status",
            json!("made-up"),
            "binding:narrative-status",
            "Condition.text.status",
        ),
        (
            Diagnosis,
            "/clinicalStatus",
            concept(clinical, "gone"),
            "binding:condition-clinical",
            "Condition.clinicalStatus",
        ),
        (
            Diagnosis,
            "/clinicalStatus",
            concept("urn:a", "active"),
            "binding:condition-clinical",
            "Condition.clinicalStatus",
        ),
        (
            Diagnosis,
            "/clinicalStatus",
            json!({"text": "active"}),
            "binding:condition-clinical",
            "Condition.clinicalStatus",
        ),
        (
            Diagnosis,
            "/subject",
            json!({"reference": "Practitioner/1"}),
            "target",
            "Condition.subject",
        ),
        (
            Diagnosis,
            "/subject",
            json!({"reference": "https://a.example/Device/1/_history/2"}),
            "target",
            "Condition.subject",
        ),
        (
            Diagnosis,
            "/subject",
            json!({"type": "Device", "display": "a"}),
            "target",
            "Condition.subject",
        ),
        (
            Diagnosis,
            "/recorder",
            json!({"reference": "#nobody"}),
            "ref-1",
            "Condition.recorder",
        ),
        (
            Diagnosis,
            "/text/div",
            json!("<div>a</div>"),
            "txt-1",
            "Condition.text.div",
        ),
        (
            Diagnosis,
            "/text/div",
            json!("<div xmlns=\"http://www.w3.org/1999/xhtml\"/>"),
            "txt-2",
            "Condition.text.div",
        ),
        (
            Diagnosis,
            "/extension",
            json!([{"url": "urn:a"}]),
            "ext-1",
            "Condition.extension[0]",
        ),
        (
            Diagnosis,
            "/extension",
            json!([{"valueString": "a"}]),
            "required",
            "Condition.extension[0].url",
        ),
        (
            Diagnosis,
            "/stage",
            json!([{"type": {"text": "a"}}]),
            "con-1",
            "Condition.stage[0]",
        ),
        (
            Diagnosis,
            "/abatementDateTime",
            json!("2026-04"),
            "con-4",
            "Condition",
        ),
        (
            Prescription,
            "/medicationReference",
            json!({"reference": "#nothing"}),
            "dom-3",
            "MedicationRequest",
        ),
        (
            Prescription,
            "/requester",
            json!({"reference": "#metformin"}),
            "target",
            "MedicationRequest.requester",
        ),
        (
            Prescription,
            "/status",
            json!("begun"),
            "binding:medicationrequest-status",
            "MedicationRequest.status",
        ),
        (
            Prescription,
            "/substitution",
            json!({"allowedBoolean": "true"}),
            "type:boolean",
            "MedicationRequest.substitution.allowedBoolean",
        ),
        (
            Prescription,
            "/dispenseRequest/numberOfRepeatsAllowed",
            json!(-1),
            "type:unsignedInt",
            "MedicationRequest.dispenseRequest.numberOfRepeatsAllowed",
        ),
        (
            Prescription,
            "/dispenseRequest/numberOfRepeatsAllowed",
            json!(1.5),
            "type:unsignedInt",
            "MedicationRequest.dispenseRequest.numberOfRepeatsAllowed",
        ),
        (
            Prescription,
            "/dispenseRequest/quantity/comparator",
            json!("<"),
            "unknown-element",
            "MedicationRequest.dispenseRequest.quantity",
        ),
        (
            Prescription,
            "/dispenseRequest/quantity/value",
            json!("60"),
            "type:decimal",
            "MedicationRequest.dispenseRequest.quantity.value",
        ),
        (
            Prescription,
            &format!("{repeat}/frequency"),
            json!(0),
            "type:positiveInt",
            "MedicationRequest.dosageInstruction[0].timing.repeat.frequency",
        ),
        (
            Prescription,
            &format!("{repeat}/periodUnit"),
            json!("absent"),
            "tim-2",
            "MedicationRequest.dosageInstruction[0].timing.repeat",
        ),
        (
            Prescription,
            &format!("{repeat}/when/0"),
            json!("noon"),
            "binding:event-timing",
            "MedicationRequest.dosageInstruction[0].timing.repeat.when[0]",
        ),
        (
            Prescription,
            &format!("{repeat}/boundsPeriod/end"),
            json!("2026-03-03"),
            "per-1",
            "MedicationRequest.dosageInstruction[0].timing.repeat.boundsPeriod",
        ),
        (
            Imaging,
            "/contained/0/status",
            json!("absent"),
            "required",
            "DiagnosticReport.contained[0].status",
        ),
        (
            Imaging,
            "/contained/0/id",
            json!("other"),
            "ref-1",
            "DiagnosticReport.imagingStudy[0]",
        ),
        (
            Imaging,
            "/contained/0/resourceType",
            json!("absent"),
            "resource-type",
            "DiagnosticReport.contained[0]",
        ),
        (
            Imaging,
            "/contained/0",
            json!("a"),
            "type",
            "DiagnosticReport.contained[0]",
        ),
        (
            Imaging,
            "/contained/0/series/0/uid",
            json!("absent"),
            "required",
            "DiagnosticReport.contained[0].series[0].uid",
        ),
    ];

    for (record_type, pointer, value, rule, path) in cases {
        let found = issues(record_type, pointer, value.clone());
        let expected = |issue: &fhir::Issue| issue.rule == rule && issue.path == path;
        assert!(found.iter().any(expected), "{pointer} {value}: {found:?}");
    }
}

#[test]
fn primitives_may_have_an_extension_instead_of_a_value() {
    let reason = json!({"extension": [{"url": "urn:reason", "valueCode": "unknown"}]});

    let given = json!([{"given": ["A", null], "_given": [null, reason]}]);
    let patient = json!({"resourceType": "Patient", "_birthDate": reason, "name": given});

    assert_eq!(validate::base(&documents::tree(&patient)), []);
}

#[test]
fn a_value_may_have_an_id_and_an_id_alone_is_nothing() {
    let date =
        |value| json!({"resourceType": "Patient", "birthDate": value, "_birthDate": {"id": "a"}});
    let mut alone = date(json!("2024"));
    alone.as_object_mut().unwrap().remove("birthDate");

    assert_eq!(validate::base(&documents::tree(&date(json!("2024")))), []);
    assert_eq!(validate::base(&documents::tree(&alone))[0].rule, "ele-1");
}

#[test]
fn no_issue_repeats_what_a_document_says() {
    let secret = "Ana Wulandari, HIV";
    let cases = [
        json!({"resourceType": secret}),
        json!({"resourceType": "Patient", secret: 1}),
        json!({"resourceType": "Patient", "_birthDate": {secret: secret}}),
        json!({"resourceType": "Patient", "birthDate": secret, "gender": secret, "id": secret}),
        json!({"resourceType": "Patient", "gender": "a-code-that-is-longer-than-twenty"}),
        json!({"resourceType": "Patient", "text": {"status": "generated", "div": secret}}),
        json!({"resourceType": "Patient", "managingOrganization": {"reference": format!("{secret}/1")}}),
        json!({"resourceType": "Patient", "managingOrganization": {"reference": format!("Patient/{secret}")}}),
    ];

    for document in cases {
        let issues = validate::base(&documents::tree(&document));
        assert!(!issues.is_empty(), "{document}");
        for issue in issues {
            let said = format!("{} {} {}", issue.path, issue.rule, issue.message);
            assert!(
                !said.contains("Ana") && !said.contains("HIV") && !said.contains("longer"),
                "{said}"
            );
        }
    }
    let code = json!({"resourceType": "Patient", "gender": "femal"});
    let message = &validate::base(&documents::tree(&code))[0].message;
    assert_eq!(
        message,
        "'femal' is not in the value set administrative-gender"
    );
}

#[test]
fn the_walk_stops_collecting_after_a_hundred_issues() {
    let document = json!({"resourceType": "Patient", "name": vec![json!({}); 500]});

    let issues = validate::base(&documents::tree(&document));

    assert_eq!(issues.len(), validate::MAX_ISSUES + 1);
    assert_eq!(issues.last().unwrap().code, IssueCode::TooCostly);
}

#[test]
fn issues_are_an_operation_outcome_that_is_r4_itself() {
    let unreadable = reader::read(b"{").unwrap_err().into();
    let mut all = issues(RecordType::Diagnosis, "/recordedDate", json!("2024-02-30"));
    all.push(unreadable);

    for outcome in [operation_outcome(&all), operation_outcome(&[])] {
        assert_eq!(validate::base(&outcome), []);
    }
    let bytes = fhir::canonical::to_bytes(&operation_outcome(&all));
    let outcome: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        outcome["issue"][0]["expression"],
        json!(["Condition.recordedDate"])
    );
    assert_eq!(
        outcome["issue"][0]["details"]["coding"][0]["code"],
        "type:dateTime"
    );
    assert_eq!(outcome["issue"][1]["severity"], "fatal");
}
