//! Reports that are neither of a laboratory nor of imaging: filed, complete, summarised, found and withdrawn.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use documents::{example, tree};
use fhir::summary::{MedicalHistorySummary, Summary, summarise};
use fhir::{Completeness, RecordType, check, entered_in_error, record_type_of, searchable};
use serde_json::{Value, json};

const LOINC: &str = "http://loinc.org";
const HISTORY: RecordType = RecordType::MedicalHistory;

/// The note of a visit, as Synthea writes it: its category is what it is.
fn note() -> Value {
    let kinds = json!({"coding": [
        {"system": LOINC, "code": "34117-2", "display": "History and physical note"},
        {"system": LOINC, "code": "51847-2", "display": "Evaluation+Plan note"},
    ]});
    json!({
        "resourceType": "DiagnosticReport", "status": "final",
        "category": [kinds], "code": kinds,
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2026-02-03T09:00:00+07:00", "issued": "2026-02-03T09:30:00+07:00",
        "performer": [{"display": "Dr Quill"}],
        "presentedForm": [{"contentType": "text/plain; charset=utf-8", "data": "bm90aGluZw=="}],
    })
}

fn with(members: &[(&str, Value)]) -> Value {
    let mut note = note();
    for (name, value) in members {
        note[*name] = value.clone();
    }
    note
}

fn without(names: &[&str]) -> Value {
    let mut note = note();
    let members = note.as_object_mut().unwrap();
    for name in names {
        members.remove(*name);
    }
    note
}

fn collection(resources: &[Value]) -> Value {
    let entries = resources.iter().map(|it| json!({"resource": it}));
    let entries: Vec<Value> = entries.collect();
    json!({"resourceType": "Bundle", "type": "collection", "entry": entries})
}

fn filed(document: &Value, preferred: Option<RecordType>) -> Option<RecordType> {
    record_type_of(&tree(document), preferred).ok()
}

/// The places that a history leaves open, bold ones with an exclamation mark.
fn open(document: &Value) -> Vec<String> {
    let checked = check(&tree(document), HISTORY).unwrap();
    let open = checked.completeness.open().iter();
    open.map(|it| format!("{}{}", it.path, if it.is_required { "!" } else { "" }))
        .collect()
}

fn history(document: &Value) -> MedicalHistorySummary {
    let Summary::MedicalHistory(it) = summarise(&tree(document), HISTORY) else {
        unreachable!("a summary is of its record type")
    };
    it
}

#[test]
fn a_report_of_neither_is_a_history_unless_somebody_says_otherwise() {
    let cardiology = json!([{"coding": [{"system": LOINC, "code": "LP29708-2"}]}]);
    for document in [
        note(),
        with(&[("category", cardiology)]),
        without(&["category"]),
    ] {
        assert_eq!(filed(&document, None), Some(HISTORY));
        assert_eq!(open(&document), [""; 0]);
        for asked in [HISTORY, RecordType::LabResult, RecordType::Imaging] {
            assert_eq!(filed(&document, Some(asked)), Some(asked));
            assert!(check(&tree(&document), asked).is_ok(), "{asked:?}");
        }
        // What takes no report is not asked for by it.
        assert_eq!(
            filed(&document, Some(RecordType::Vaccination)),
            Some(HISTORY)
        );
    }
    // What is of a laboratory or of imaging has a type of its own.
    for of in [RecordType::LabResult, RecordType::Imaging] {
        let report = example(of);
        assert_eq!(filed(&report, Some(HISTORY)), Some(of));
        let issues = check(&tree(&report), HISTORY).unwrap_err();
        assert_eq!(issues[0].path, "DiagnosticReport.category");
    }
}

#[test]
fn a_report_of_which_nobody_says_anything_is_where_what_stands_beside_it_is() {
    let bare = without(&["category"]);
    let letter = |kind: &str| {
        json!({
            "resourceType": "DocumentReference", "status": "current",
            "type": {"coding": [{"system": LOINC, "code": kind}]},
            "content": [{"attachment": {"url": "https://h.example/letter.pdf"}}],
        })
    };
    for (beside, expected) in [
        (letter("11502-2"), RecordType::LabResult),
        (letter("18748-4"), RecordType::Imaging),
        (letter("18842-5"), HISTORY),
        (example(RecordType::LabResult), RecordType::LabResult),
        (example(RecordType::Imaging), RecordType::Imaging),
        (
            json!({"resourceType": "Procedure", "status": "completed"}),
            HISTORY,
        ),
    ] {
        let bundle = collection(&[bare.clone(), beside]);
        assert_eq!(filed(&bundle, None), Some(expected), "{bundle}");
    }
    let list = json!({
        "resourceType": "List", "status": "current", "mode": "snapshot",
        "entry": [{"item": {"reference": "DiagnosticReport/7"}}],
    });
    assert_eq!(filed(&list, None), Some(HISTORY));
}

#[test]
fn what_a_report_in_a_history_leaves_open_is_named() {
    assert_eq!(
        open(&without(&["presentedForm"])),
        ["DiagnosticReport.conclusion"]
    );
    for (name, value) in [
        ("conclusion", json!("nothing to be done")),
        ("conclusionCode", json!([{"text": "well"}])),
        ("result", json!([{"display": "Murmur"}])),
    ] {
        let mut report = without(&["presentedForm"]);
        report[name] = value;
        assert_eq!(open(&report), [""; 0], "{name}");
    }
    // A bare reference states nothing.
    let mut bare = without(&["presentedForm"]);
    bare["result"] = json!([{"reference": "Observation/7"}]);
    assert_eq!(open(&bare), ["DiagnosticReport.conclusion"]);
    let nameless = json!({"coding": [{"system": LOINC}]});
    assert_eq!(
        open(&with(&[("code", nameless)])),
        ["DiagnosticReport.code!"]
    );
}

#[test]
fn a_history_tells_of_its_reports_and_whether_they_hold() {
    let told = history(&note());
    assert_eq!(told.title.as_deref(), Some("History and physical note"));
    assert_eq!(told.date.as_deref(), Some("2026-02-03T09:00:00+07:00"));
    assert_eq!(told.unsupported_modifiers, [""; 0]);
    let [report] = told.reports.as_slice() else {
        unreachable!("there is one")
    };
    assert_eq!(report.status.as_deref(), Some("final"));
    assert_eq!(report.performers[0].name.as_deref(), Some("Dr Quill"));

    let cancelled = history(&with(&[("status", json!("cancelled"))]));
    assert_eq!(
        cancelled.title.as_deref(),
        Some("History and physical note (cancelled)")
    );
    assert_eq!(cancelled.reports[0].status.as_deref(), Some("cancelled"));
}

#[test]
fn a_report_in_a_history_is_found_and_withdrawn() {
    let withdrawn = entered_in_error(tree(&note()));

    let found = searchable(&withdrawn, HISTORY);
    let codes: Vec<&str> = found.codes.iter().map(|(_, code)| code.as_str()).collect();
    assert_eq!(codes, ["34117-2", "51847-2"]);
    let status = ("status", "entered-in-error".to_owned());
    assert!(found.metadata.contains(&status));
    let checked = check(&withdrawn, HISTORY).unwrap();
    assert_eq!(checked.completeness, Completeness::Complete);
    let told = summarise(&withdrawn, HISTORY);
    assert!(told.title().unwrap().ends_with("(entered-in-error)"));
}
