//! Documents that are files: filed by their type, complete, summarised, found and withdrawn.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use documents::tree;
use fhir::summary::{ReferredDocument, Summary, summarise};
use fhir::{Completeness, RecordType, check, entered_in_error, record_type_of, searchable};
use serde_json::{Value, json};

const LOINC: &str = "http://loinc.org";

fn document(kind: &str) -> Value {
    json!({
        "resourceType": "DocumentReference", "status": "current", "docStatus": "final",
        "type": {"coding": [{"system": LOINC, "code": kind}], "text": "Letter"},
        "subject": {"reference": "Patient/1"},
        "date": "2026-02-03T10:00:00Z",
        "author": [{"display": "Dr Quill"}],
        "custodian": {"display": "a hospital"},
        "description": "after the operation on the left knee",
        "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/6"}}],
        "content": [{"attachment": {
            "contentType": "text/plain", "data": "bGVmdA==", "title": "letter.txt",
        }}],
        "context": {"period": {"start": "2026-01-20"}, "event": [{"text": "Arthroscopy"}]},
    })
}

fn open(record_type: RecordType, document: &Value) -> Vec<String> {
    let checked = check(&tree(document), record_type).unwrap();
    let open = checked.completeness.open().iter();
    open.map(|it| format!("{}{}", it.path, if it.is_required { "!" } else { "" }))
        .collect()
}

#[test]
fn a_document_is_filed_by_its_type() {
    let table = [
        ("11502-2", RecordType::LabResult),
        ("18748-4", RecordType::Imaging),
        ("18842-5", RecordType::MedicalHistory),
    ];
    for (kind, expected) in table {
        let document = document(kind);

        assert_eq!(record_type_of(&tree(&document), None), Ok(expected));
        let checked = check(&tree(&document), expected).unwrap();
        assert_eq!(checked.completeness, Completeness::Complete, "{kind}");
        // Whatever it is, a history may have it.
        let history = RecordType::MedicalHistory;
        let filed = record_type_of(&tree(&document), Some(history));
        assert_eq!(filed, Ok(history));
        assert!(check(&tree(&document), RecordType::Vaccination).is_err());
    }
    // What is plainly of a laboratory is no imaging, and the other way round.
    for (kind, other) in [
        ("11502-2", RecordType::Imaging),
        ("18748-4", RecordType::LabResult),
    ] {
        let issues = check(&tree(&document(kind)), other).unwrap_err();
        assert_eq!(issues[0].path, "DocumentReference.type");
    }
    // By its category, as reports are; and by what somebody says, where it does not say.
    let mut categorised = document("60591-5");
    categorised["category"] = json!([{"coding": [{"system": LOINC, "code": "LP29684-5"}]}]);
    let filed = record_type_of(&tree(&categorised), None);
    assert_eq!(filed, Ok(RecordType::Imaging));
    let issues = check(&tree(&categorised), RecordType::LabResult).unwrap_err();
    assert_eq!(issues[0].path, "DocumentReference.category");
    let asked = record_type_of(&tree(&document("18842-5")), Some(RecordType::LabResult));
    assert_eq!(asked, Ok(RecordType::LabResult));
}

#[test]
fn what_a_document_leaves_open_is_named() {
    let mut bare = document("11502-2");
    let members = bare.as_object_mut().unwrap();
    for key in ["type", "description", "custodian", "author"] {
        members.remove(key);
    }
    bare["content"] = json!([{"attachment": {"title": "letter.txt"}}]);

    assert_eq!(
        open(RecordType::LabResult, &bare),
        [
            "DocumentReference.type!",
            "DocumentReference.content!",
            "DocumentReference.custodian",
        ]
    );
    assert_eq!(
        open(RecordType::Imaging, &bare),
        ["DocumentReference.type!", "DocumentReference.content"]
    );
    assert_eq!(
        open(RecordType::MedicalHistory, &bare),
        ["DocumentReference.type!"]
    );
    bare["description"] = json!("a letter");
    assert_eq!(
        open(RecordType::MedicalHistory, &bare),
        ["DocumentReference.content"]
    );
    // An extension that says why there is no file is none.
    let reason = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";
    bare["content"][0]["attachment"]["extension"] =
        json!([{"url": reason, "valueCode": "unknown"}]);
    assert_eq!(
        open(RecordType::MedicalHistory, &bare),
        ["DocumentReference.content"]
    );
    // A report is not asked for what a document beside it says.
    let mut report = documents::example(RecordType::LabResult);
    let contained = report["contained"].as_array_mut().unwrap();
    let mut inner = bare.clone();
    inner["id"] = json!("letter");
    inner.as_object_mut().unwrap().remove("subject");
    contained.push(inner);
    report["extension"] = json!([{
        "url": "http://x.example/letter", "valueReference": {"reference": "#letter"},
    }]);
    assert_eq!(open(RecordType::LabResult, &report), [""; 0]);
}

fn referred(summary: Summary) -> Vec<ReferredDocument> {
    match summary {
        Summary::LabResult(it) => it.document_references,
        Summary::Imaging(it) => it.document_references,
        Summary::MedicalHistory(it) => it.document_references,
        Summary::Diagnosis(_)
        | Summary::Prescription(_)
        | Summary::TreatmentPlan(_)
        | Summary::VitalSigns(_)
        | Summary::Vaccination(_) => Vec::new(),
    }
}

#[test]
fn a_summary_says_what_it_is_of_when_by_whom_and_whether_it_still_holds() {
    for record_type in [
        RecordType::LabResult,
        RecordType::Imaging,
        RecordType::MedicalHistory,
    ] {
        let told = summarise(&tree(&document("18842-5")), record_type);
        let title = "Letter: after the operation on the left knee";
        assert_eq!(told.title(), Some(title));
        assert_eq!(told.date(), Some("2026-01-20"));
        assert_eq!(told.unsupported_modifiers(), [""; 0]);
        let documents = referred(told);
        let [it] = documents.as_slice() else {
            unreachable!("there is one")
        };
        assert_eq!(it.status.as_deref(), Some("current"));
        assert_eq!(it.doc_status.as_deref(), Some("final"));
        assert_eq!(it.authors[0].name.as_deref(), Some("Dr Quill"));
        assert_eq!(it.events[0].text.as_deref(), Some("Arthroscopy"));
        assert_eq!(it.relations[0].code.as_deref(), Some("replaces"));
        assert_eq!(it.contents[0].title.as_deref(), Some("letter.txt"));

        let mut superseded = document("18842-5");
        superseded["status"] = json!("superseded");
        superseded["docStatus"] = json!("preliminary");
        let told = summarise(&tree(&superseded), record_type);
        let title = format!("{title} (superseded, preliminary)");
        assert_eq!(told.title(), Some(title.as_str()));
    }
}

#[test]
fn a_title_names_the_documents_beside_a_report_and_an_end_is_a_date() {
    let mut letter = document("11502-2");
    letter["status"] = json!("entered-in-error");
    letter["context"] = json!({"period": {"end": "2026-04"}});
    let report = json!({
        "resourceType": "DiagnosticReport", "status": "final", "code": {"text": "Blood count"},
    });
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": report}, {"resource": letter},
    ]});

    for record_type in [RecordType::LabResult, RecordType::Imaging] {
        let told = summarise(&tree(&bundle), record_type);
        assert_eq!(
            told.title(),
            Some("Blood count, Letter: after the operation on the left knee (entered-in-error)")
        );
        assert_eq!(told.date(), Some("2026-04"));
    }
}

#[test]
fn a_document_is_found_by_its_type_and_withdrawn() {
    let withdrawn = entered_in_error(tree(&document("18842-5")));

    let found = searchable(&withdrawn, RecordType::MedicalHistory);
    assert_eq!(found.codes, [(LOINC.to_owned(), "18842-5".to_owned())]);
    assert!(found.effective_micros.is_some());
    let status = ("status", "entered-in-error".to_owned());
    assert!(found.metadata.contains(&status));
    assert!(check(&withdrawn, RecordType::MedicalHistory).is_ok());
    let told = summarise(&withdrawn, RecordType::MedicalHistory);
    assert!(told.title().unwrap().ends_with("(entered-in-error)"));
}
