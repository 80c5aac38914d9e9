//! What the documents of each record type are found by.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use documents::{example, tree};
use fhir::{MAX_CODES, RecordType, Searchable, reader, searchable};
use serde_json::{Value, json};

const ICD_10: &str = "http://hl7.org/fhir/sid/icd-10";
const SNOMED: &str = "http://snomed.info/sct";
const LOINC: &str = "http://loinc.org";
const ATC: &str = "http://www.whocc.no/atc";
const CVX: &str = "http://hl7.org/fhir/sid/cvx";

fn found(record_type: RecordType, document: &Value) -> Searchable {
    searchable(&tree(document), record_type)
}

/// A type, when its example was so, its metadata in words, and its codes with their systems.
type Case = (
    RecordType,
    i64,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Metadata in the form of a table's cell.
fn in_words(found: &Searchable) -> String {
    let pairs = found.metadata.iter();
    let words: Vec<_> = pairs.map(|(key, value)| format!("{key} {value}")).collect();
    words.join(", ")
}

#[test]
fn every_type_says_when_it_was_its_state_and_its_codes() {
    let table: [Case; 8] = [
        (
            RecordType::Diagnosis,
            1_772_592_000_000_000,
            "date 2026-03-04, status active",
            &[(ICD_10, "E11.9"), (SNOMED, "44054006")],
        ),
        (
            RecordType::LabResult,
            1_772_410_500_000_000,
            "date 2026-03-02, status final, testType CH",
            &[(LOINC, "55399-0"), (LOINC, "4548-4"), (LOINC, "1558-6")],
        ),
        (
            RecordType::Prescription,
            1_772_592_600_000_000,
            "date 2026-03-04, status active, validUntil 2026-06-04",
            &[(ATC, "A10BA02")],
        ),
        (
            // From when it is to be carried out, and not when it was written.
            RecordType::TreatmentPlan,
            1_772_582_400_000_000,
            "date 2026-03-04, dateEnd 2026-09-04, status active, start 2026-03-04, end 2026-09-04",
            &[(LOINC, "4548-4"), (SNOMED, "304549008")],
        ),
        (
            // Of several the latest; they are in different states.
            RecordType::MedicalHistory,
            1_772_582_400_000_000,
            "date 2026-03-04",
            &[
                (ICD_10, "A90"),
                (SNOMED, "80146002"),
                (ICD_10, "E11.9"),
                (SNOMED, "91936005"),
                // Of the reaction.
                (SNOMED, "126485001"),
            ],
        ),
        (
            RecordType::VitalSigns,
            1_772_590_560_000_000,
            "date 2026-03-04, status final",
            &[
                (LOINC, "85354-9"),
                (LOINC, "8480-6"),
                (LOINC, "8462-4"),
                (LOINC, "8867-4"),
                (LOINC, "8310-5"),
                (LOINC, "9279-1"),
                // On which arm.
                (SNOMED, "368208006"),
            ],
        ),
        (
            RecordType::Imaging,
            1_773_104_700_000_000,
            "date 2026-03-10, status final, modality DX",
            &[
                (LOINC, "36643-5"),
                (SNOMED, "17621005"),
                (SNOMED, "51185008"),
            ],
        ),
        (
            RecordType::Vaccination,
            1_772_595_000_000_000,
            "date 2026-03-04, status completed, nextDue 2026-04-04",
            &[(CVX, "43"), (ATC, "J07BC01")],
        ),
    ];

    for (record_type, micros, metadata, codes) in table {
        let found = found(record_type, &example(record_type));
        let pairs = found.codes.iter();
        let pairs: Vec<_> = pairs.map(|(s, c)| (s.as_str(), c.as_str())).collect();

        assert_eq!(found.effective_micros, Some(micros), "{record_type:?}");
        assert_eq!(in_words(&found), metadata, "{record_type:?}");
        assert_eq!(pairs, codes, "{record_type:?}");
    }
}

#[test]
fn a_period_of_which_only_the_end_is_known_and_a_timing_have_a_date() {
    let table = [
        (
            RecordType::VitalSigns,
            json!({ "resourceType": "Observation", "effectivePeriod": { "end": "1998" } }),
        ),
        (
            RecordType::VitalSigns,
            json!({ "resourceType": "Observation", "effectiveTiming": { "event": ["1998", "1999"] } }),
        ),
        (
            RecordType::MedicalHistory,
            json!({ "resourceType": "Procedure", "performedPeriod": { "end": "1998" } }),
        ),
        (
            RecordType::MedicalHistory,
            json!({ "resourceType": "AllergyIntolerance", "onsetPeriod": { "start": "1998", "end": "2001" } }),
        ),
        (
            RecordType::TreatmentPlan,
            json!({
                "resourceType": "ServiceRequest",
                "occurrenceTiming": { "repeat": { "boundsPeriod": { "start": "1998" } } },
            }),
        ),
    ];
    for (record_type, document) in table {
        let found = found(record_type, &document);
        assert_eq!(
            found.effective_micros,
            Some(883_612_800_000_000),
            "{document}"
        );
    }
}

/// An observation that was made then.
fn observed(at: &Value) -> Value {
    let mut observation = json!({ "resourceType": "Observation" });
    let members = observation.as_object_mut().unwrap();
    members.extend(at.as_object().unwrap().clone());
    observation
}

/// An observation over a period.
fn over(period: &Value) -> Value {
    observed(&json!({ "effectivePeriod": period }))
}

/// A document, its metadata in words, and the beginning and the end that its summary states.
type PeriodCase = (Value, &'static str, Option<(&'static str, &'static str)>);

fn check_periods(table: &[PeriodCase]) {
    for (document, metadata, period) in table {
        let read = found(RecordType::MedicalHistory, document);
        assert_eq!(in_words(&read), *metadata, "{document}");
        let told = fhir::summary::summarise(&tree(document), RecordType::MedicalHistory);
        let end = |end: &Option<String>| end.clone().unwrap_or_default();
        let told = told.date_period().map(|it| (end(&it.start), end(&it.end)));
        let period = period.map(|(start, end)| (start.to_owned(), end.to_owned()));
        assert_eq!(told, period, "{document}");
    }
}

#[test]
fn a_period_is_found_until_its_end_and_a_summary_says_both() {
    let long = over(&json!({ "start": "2024-01-05", "end": "2026-02" }));
    let point = observed(&json!({ "effectiveDateTime": "2025-03-01" }));
    check_periods(&[
        (
            long.clone(),
            "date 2024-01-05, dateEnd 2026-02",
            Some(("2024-01-05", "2026-02")),
        ),
        (
            over(&json!({ "start": "2024-01-05" })),
            "date 2024-01-05, dateEnd ongoing",
            Some(("2024-01-05", "")),
        ),
        (
            over(&json!({ "end": "2024-01" })),
            "date 2024-01",
            Some(("", "2024-01")),
        ),
        (
            // No longer than what the date says already.
            over(&json!({ "start": "2024", "end": "2024-12-31" })),
            "date 2024",
            Some(("2024", "2024-12-31")),
        ),
        (
            // The day in UTC, where that is the later one.
            over(&json!({ "start": "2023-12-01", "end": "2023-12-31T23:30:00-05:00" })),
            "date 2023-12-01, dateEnd 2024-01-01",
            Some(("2023-12-01", "2023-12-31T23:30:00-05:00")),
        ),
        (
            over(&json!({ "start": "2024-02-01", "end": "2024-02-28T03:30:00+05:00" })),
            "date 2024-02-01, dateEnd 2024-02-28",
            Some(("2024-02-01", "2024-02-28T03:30:00+05:00")),
        ),
        (
            // The last day that four digits can say.
            over(&json!({ "start": "2023-12-01", "end": "9999-12-31T23:59:59-05:00" })),
            "date 2023-12-01, dateEnd 9999-12-31",
            Some(("2023-12-01", "9999-12-31T23:59:59-05:00")),
        ),
        (point.clone(), "date 2025-03-01", None),
        (
            // Of several the latest beginning and the latest end.
            json!({
                "resourceType": "Bundle", "type": "collection",
                "entry": [{ "resource": long }, { "resource": point }],
            }),
            "date 2025-03-01, dateEnd 2026-02",
            None,
        ),
    ]);
}

#[test]
fn every_kind_of_period_is_a_span() {
    let period = json!({ "start": "2025-03-01", "end": "2025-03-04" });
    let days = "date 2025-03-01, dateEnd 2025-03-04";
    let said = Some(("2025-03-01", "2025-03-04"));
    let events = json!({ "event": ["2025-03-02", "2025-03-01", "2025-03-04"] });
    let of = |kind: &str, element: &str, at: &Value| {
        let mut resource = json!({ "resourceType": kind });
        resource[element] = at.clone();
        resource
    };
    check_periods(&[
        (of("Observation", "effectiveTiming", &events), days, said),
        (
            of(
                "Observation",
                "effectiveTiming",
                &json!({ "repeat": { "boundsPeriod": period } }),
            ),
            days,
            said,
        ),
        (
            of("DiagnosticReport", "effectivePeriod", &period),
            days,
            said,
        ),
        (
            of("MedicationStatement", "effectivePeriod", &period),
            days,
            said,
        ),
        (
            of("MedicationAdministration", "effectivePeriod", &period),
            days,
            said,
        ),
        (
            of("ServiceRequest", "occurrencePeriod", &period),
            days,
            said,
        ),
        (
            of("ServiceRequest", "occurrenceTiming", &events),
            days,
            said,
        ),
        (of("CarePlan", "period", &period), days, said),
        (of("CareTeam", "period", &period), days, said),
        (of("Procedure", "performedPeriod", &period), days, said),
        (of("Condition", "onsetPeriod", &period), days, said),
        (of("AllergyIntolerance", "onsetPeriod", &period), days, said),
        (of("Media", "createdPeriod", &period), days, said),
        (
            of("DocumentReference", "context", &json!({ "period": period })),
            days,
            said,
        ),
    ]);
}

/// A kind, what it says in the order in which that counts, each with its date, and when it was written down.
type PrecedenceCase = (&'static str, &'static [(&'static str, &'static str)]);

/// What of a kind counts before what, each as JSON of the element and of its value.
const PRECEDENCE: [PrecedenceCase; 13] = [
    (
        "CarePlan",
        &[("period", r#"{"start":"2021"}"#), ("created", r#""2022""#)],
    ),
    (
        "CarePlan",
        &[("created", r#""2022""#), ("period", r#"{"end":"2029"}"#)],
    ),
    (
        "ServiceRequest",
        &[
            ("occurrenceDateTime", r#""2021""#),
            ("authoredOn", r#""2022""#),
        ],
    ),
    (
        "ServiceRequest",
        &[
            ("occurrencePeriod", r#"{"start":"2021"}"#),
            ("authoredOn", r#""2022""#),
        ],
    ),
    (
        "ServiceRequest",
        &[
            ("occurrenceTiming", r#"{"event":["2021"]}"#),
            ("authoredOn", r#""2022""#),
        ],
    ),
    (
        "ServiceRequest",
        &[
            ("authoredOn", r#""2022""#),
            ("occurrencePeriod", r#"{"end":"2029"}"#),
        ],
    ),
    (
        "Observation",
        &[("effectiveDateTime", r#""2021""#), ("issued", r#""2022""#)],
    ),
    (
        "DiagnosticReport",
        &[
            ("effectivePeriod", r#"{"end":"2021"}"#),
            ("issued", r#""2022""#),
        ],
    ),
    (
        "MedicationStatement",
        &[
            ("effectivePeriod", r#"{"start":"2021"}"#),
            ("dateAsserted", r#""2022""#),
        ],
    ),
    (
        "Media",
        &[("createdDateTime", r#""2021""#), ("issued", r#""2022""#)],
    ),
    (
        "Immunization",
        &[
            ("occurrenceDateTime", r#""2021""#),
            ("recorded", r#""2022""#),
        ],
    ),
    // The date of a diagnosis is when it was made; how long it had lasted by then is often a guess.
    (
        "Condition",
        &[
            ("recordedDate", r#""2022""#),
            ("onsetDateTime", r#""2001""#),
        ],
    ),
    (
        "AllergyIntolerance",
        &[
            ("recordedDate", r#""2022""#),
            ("onsetDateTime", r#""2001""#),
        ],
    ),
];

#[test]
fn when_it_was_so_counts_before_when_it_was_written_down() {
    let year = |value: &str| {
        let digits = value.find("20").unwrap();
        value[digits..digits + 4].to_owned()
    };
    for (kind, elements) in PRECEDENCE {
        // With all of them, the first; without that, the next one.
        for from in 0..elements.len() {
            let mut resource = json!({ "resourceType": kind });
            for (element, value) in &elements[from..] {
                resource[*element] = serde_json::from_str(value).unwrap();
            }
            let read = found(RecordType::MedicalHistory, &resource);
            let (_, expected) = elements[from];
            let date = read.metadata.iter().find(|(key, _)| *key == "date");
            assert_eq!(
                date.map(|(_, date)| date),
                Some(&year(expected)),
                "{resource}"
            );
        }
    }
}

#[test]
fn what_is_not_said_is_left_out_and_what_is_said_in_part_stays_so() {
    let condition = |more: Value| {
        let mut condition = json!({ "resourceType": "Condition" });
        condition
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        condition
    };
    let coded = |code: &str| json!({ "coding": [{ "system": "s", "code": code }] });
    let table = [
        (condition(json!({})), None, ""),
        (
            condition(json!({ "onsetDateTime": "1998" })),
            Some(883_612_800_000_000),
            "date 1998",
        ),
        (
            condition(json!({ "onsetDateTime": "1998", "recordedDate": "1999-02" })),
            Some(917_827_200_000_000),
            "date 1999-02",
        ),
        (
            // What was entered in error says so where its clinical status is gone.
            condition(json!({ "verificationStatus": coded("entered-in-error") })),
            None,
            "status entered-in-error",
        ),
    ];

    for (document, micros, metadata) in table {
        let found = found(RecordType::Diagnosis, &document);

        assert_eq!(found.effective_micros, micros, "{document}");
        assert_eq!(in_words(&found), metadata, "{document}");
        assert_eq!(found.codes, []);
    }
}

#[test]
fn a_document_is_found_by_what_was_answered_and_where_in_the_body() {
    let coded = |code: &str| json!({ "coding": [{ "system": SNOMED, "code": code }] });
    let table = [
        (
            RecordType::MedicalHistory,
            json!({
                "resourceType": "Observation", "code": coded("1"), "valueCodeableConcept": coded("2"),
                "component": [{ "code": coded("3"), "valueCodeableConcept": coded("4") }],
                "bodySite": coded("5"),
            }),
            vec!["1", "3", "2", "4", "5"],
        ),
        (
            RecordType::MedicalHistory,
            json!({
                "resourceType": "Procedure", "code": coded("1"), "bodySite": [coded("2"), coded("3")],
            }),
            vec!["1", "2", "3"],
        ),
        (
            RecordType::Imaging,
            json!({
                "resourceType": "ImagingStudy", "procedureCode": [{ "text": "a scan" }],
                "series": [{ "bodySite": { "system": SNOMED, "code": "1" } }],
            }),
            vec!["1"],
        ),
    ];

    for (record_type, document, codes) in table {
        let found = found(record_type, &document).codes;
        let found: Vec<&str> = found.iter().map(|(_, code)| code.as_str()).collect();

        assert_eq!(found, codes, "{document}");
    }
}

#[test]
fn a_code_needs_a_system_counts_once_and_there_is_an_end_to_them() {
    let coding = |system: &str, code: &str| json!({ "system": system, "code": code });
    let with = |codings: Vec<Value>| {
        let document = json!({ "resourceType": "Condition", "code": { "coding": codings } });
        found(RecordType::Diagnosis, &document).codes
    };

    let few = with(vec![
        json!({ "code": "alone" }),
        json!({ "system": "http://alone" }),
        coding(ICD_10, "J45.9"),
        coding(ICD_10, "J45.9"),
    ]);
    let many = with((0..300).map(|n| coding(ICD_10, &n.to_string())).collect());

    assert_eq!(few, [(ICD_10.to_owned(), "J45.9".to_owned())]);
    assert_eq!(many.len(), MAX_CODES);

    // No answer takes the place of a question.
    let coded = |code: String| json!({ "coding": [coding(LOINC, &code)] });
    let entries: Vec<Value> = (0..MAX_CODES)
        .map(|nth| {
            json!({ "resource": {
                "resourceType": "Observation", "code": coded(nth.to_string()),
                "valueCodeableConcept": coded(format!("answer-{nth}")),
            } })
        })
        .collect();
    let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": entries });
    let kept = found(RecordType::LabResult, &bundle).codes;
    assert_eq!(kept.len(), MAX_CODES);
    assert!(kept.iter().all(|(_, code)| !code.starts_with("answer")));
}

#[test]
fn no_text_and_no_name_is_read_off_and_nothing_of_it_is_printed() {
    for (record_type, text) in documents::all() {
        let found = searchable(&reader::read(text.as_bytes()).unwrap(), record_type);
        let read = format!("{:?} {:?}", found.metadata, found.codes);

        for word in [
            "dr.",
            "Siti",
            "Metformin",
            "diabetes",
            "Laboratorium",
            "RSUD",
        ] {
            assert!(!read.contains(word), "{record_type:?}: {word}");
        }
        let shown = format!("{found:?}");
        assert!(shown.len() < 40 && !shown.contains("2026"), "{shown}");
    }
}
