//! What summaries read out of documents.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use std::path::Path;

use fhir::summary::{
    Concept, DiagnosisSummary, ImagingSummary, LabResultSummary, Measurement,
    MedicalHistorySummary, Party, PrescriptionSummary, Quantity, Summary, TreatmentPlanSummary,
    VaccinationSummary, VitalSignsSummary, summarise,
};
use fhir::{Completeness, RecordType, check, reader};
use serde_json::{Value, json};

fn summary(document: &Value, record_type: RecordType) -> Summary {
    summarise(&documents::tree(document), record_type)
}

/// The summary of the example document.
macro_rules! example {
    ($record_type:ident as $summary:ident) => {{
        let (_, text) = documents::all()
            .into_iter()
            .find(|(of, _)| *of == RecordType::$record_type)
            .unwrap();
        let read = reader::read(text.as_bytes()).unwrap();
        let Summary::$record_type(it) = summarise(&read, RecordType::$record_type) else {
            unreachable!("a summary is of its record type");
        };
        let it: $summary = it;
        it
    }};
}

fn words(concept: &Concept) -> &str {
    concept.text.as_deref().unwrap_or_default()
}

fn code(concept: Option<&Concept>) -> &str {
    concept.unwrap().codings[0].code.as_deref().unwrap()
}

fn who(party: Option<&Party>) -> &str {
    party.unwrap().name.as_deref().unwrap()
}

fn amount(quantity: Option<&Quantity>) -> String {
    let it = quantity.unwrap();
    format!(
        "{} {}",
        it.value.as_ref().unwrap(),
        it.unit.as_ref().unwrap()
    )
}

fn reading(it: &Measurement) -> (&str, &str, &str, &str) {
    let text = |it: &'_ Option<String>| it.clone().unwrap_or_default().leak() as &str;
    (
        code(it.code.as_ref()),
        text(&it.value),
        text(&it.unit),
        text(&it.unit_code),
    )
}

#[test]
fn a_diagnosis_names_its_codes_its_doctor_and_its_date() {
    let it = example!(Diagnosis as DiagnosisSummary);

    let [diagnosis] = it.diagnoses.as_slice() else {
        unreachable!("there is one");
    };
    let codings: Vec<_> = diagnosis.code.as_ref().unwrap().codings.iter().collect();
    assert_eq!(
        codings
            .iter()
            .map(|it| (it.system.as_deref(), it.code.as_deref()))
            .collect::<Vec<_>>(),
        [
            (Some("http://hl7.org/fhir/sid/icd-10"), Some("E11.9")),
            (Some("http://snomed.info/sct"), Some("44054006")),
        ]
    );
    assert_eq!(
        codings[1].display.as_deref(),
        Some("Diabetes mellitus type 2")
    );
    assert_eq!(
        diagnosis.description.as_deref(),
        Some("Type 2 diabetes mellitus, newly diagnosed")
    );
    assert_eq!(who(diagnosis.doctor.as_ref()), "dr. Siti Rahmawati, Sp.PD");
    assert_eq!(
        diagnosis.recorded.as_deref(),
        Some("2026-03-04T09:40:00+07:00")
    );
    assert_eq!(diagnosis.onset.as_deref(), Some("2026-02"));
    assert_eq!(diagnosis.clinical_status.as_deref(), Some("active"));
    assert_eq!(diagnosis.severity.as_deref(), Some("Moderate"));
}

#[test]
fn a_laboratory_result_keeps_digits_and_ranges_and_names_the_laboratory_once() {
    let it = example!(LabResult as LabResultSummary);

    assert_eq!(words(&it.tests[0]), "Diabetes panel");
    let results: Vec<_> = it.results.iter().map(reading).collect();
    assert_eq!(
        results,
        [
            ("4548-4", "8.10", "%", "%"),
            ("1558-6", "162", "mg/dL", "mg/dL")
        ]
    );
    let range = &it.results[0].reference_ranges[0];
    assert_eq!(
        (amount(range.low.as_ref()), amount(range.high.as_ref())),
        ("4.0 %".to_owned(), "5.6 %".to_owned())
    );
    let text = it.results[1].reference_ranges[0].text.as_deref();
    assert_eq!(text, Some("fasting, adults"));
    assert_eq!(words(&it.results[0].interpretations[0]), "High");
    assert_eq!(it.results[0].status.as_deref(), Some("final"));
    assert_eq!(it.facilities.len(), 1);
    assert_eq!(
        who(it.facilities.first()),
        "Laboratorium Klinik Sehat Sentosa"
    );
    // Where only the fragment is given, the contained organisation gives the name.
    assert_eq!(
        who(it.results[0].performers.first()),
        "Laboratorium Klinik Sehat Sentosa"
    );
    assert_eq!(who(it.interpreters.first()), "dr. Bagus Pratama, Sp.PK");
    assert_eq!(it.conclusions.len(), 1);
}

#[test]
fn a_prescription_says_what_how_much_how_often_and_for_how_long() {
    let it = example!(Prescription as PrescriptionSummary);

    let medication = &it.medications[0];
    assert_eq!(code(medication.medication.as_ref()), "A10BA02");
    assert_eq!(
        words(medication.medication.as_ref().unwrap()),
        "Metformin 500 mg film-coated tablet"
    );
    let dosage = &medication.dosages[0];
    assert_eq!(
        dosage.instructions.as_deref(),
        Some("One tablet twice a day with meals")
    );
    assert_eq!(amount(dosage.dose.as_ref()), "500 mg");
    assert_eq!(dosage.timing.as_deref(), Some("2 times per 1 d, C"));
    assert_eq!(dosage.bounds.as_deref(), Some("2026-03-04 – 2026-06-02"));
    assert_eq!(dosage.route.as_deref(), Some("Oral route"));
    assert_eq!(amount(medication.supply.as_ref()), "30 days");
    assert_eq!(
        who(medication.prescriber.as_ref()),
        "dr. Siti Rahmawati, Sp.PD"
    );
}

#[test]
fn a_treatment_plan_says_what_for_what_is_done_and_what_came_of_it() {
    let it = example!(TreatmentPlan as TreatmentPlanSummary);

    assert_eq!(it.title.as_deref(), Some("Diabetes care, first six months"));
    assert_eq!(
        it.goals.len(),
        1,
        "the plan's reference is to the contained one"
    );
    let goal = &it.goals[0];
    assert_eq!(
        words(goal.description.as_ref().unwrap()),
        "Bring the blood sugar under control and keep it there"
    );
    assert_eq!(goal.targets[0].detail.as_deref(), Some("6.0 % – 7.0 %"));
    assert_eq!(goal.targets[0].due.as_deref(), Some("2026-09-04"));
    let activities: Vec<_> = it
        .activities
        .iter()
        .map(|it| (code(it.code.as_ref()), it.scheduled.as_deref().unwrap()))
        .collect();
    assert_eq!(
        activities,
        [
            ("4548-4", "1 times per 3 mo, 2026-03-04 – 2026-09-04"),
            ("304549008", "every day, thirty minutes")
        ]
    );
    assert_eq!(
        it.activities[1].outcomes,
        ["walks about 25 minutes on five days a week"]
    );
    assert_eq!(it.period.unwrap().end.as_deref(), Some("2026-09-04"));
}

#[test]
fn a_history_sorts_a_bundle_into_its_four_parts() {
    let it = example!(MedicalHistory as MedicalHistorySummary);

    assert_eq!(code(it.conditions[0].code.as_ref()), "A90");
    assert_eq!(it.conditions[0].abatement.as_deref(), Some("2011-02"));
    assert_eq!(it.procedures[0].performed.as_deref(), Some("1998-07-19"));
    assert_eq!(
        it.procedures[0].outcome.as_deref(),
        Some("healed without complication")
    );
    assert_eq!(words(it.family[0].relationship.as_ref().unwrap()), "mother");
    assert_eq!(
        it.family[0].conditions[0].onset.as_deref(),
        Some("52 years")
    );
    assert_eq!(it.family[0].deceased.as_deref(), Some("false"));
    assert_eq!(code(it.allergies[0].code.as_ref()), "91936005");
    assert_eq!(words(&it.allergies[0].manifestations[0]), "Urticaria");
    assert_eq!(it.allergies[0].criticality.as_deref(), Some("high"));
}

#[test]
fn vital_signs_list_every_measurement_and_the_two_of_a_blood_pressure() {
    let it = example!(VitalSigns as VitalSignsSummary);

    let readings: Vec<_> = it.measurements.iter().map(reading).collect();
    assert_eq!(
        readings,
        [
            ("85354-9", "", "", ""),
            ("8867-4", "74", "beats/minute", "/min"),
            ("8310-5", "36.6", "°C", "Cel"),
            ("9279-1", "15", "breaths/minute", "/min"),
        ]
    );
    let pressure: Vec<_> = it.measurements[0].components.iter().map(reading).collect();
    assert_eq!(
        pressure,
        [
            ("8480-6", "128", "mmHg", "mm[Hg]"),
            ("8462-4", "82", "mmHg", "mm[Hg]")
        ]
    );
    assert_eq!(it.measurements[1].name.as_deref(), Some("Heart rate"));
}

#[test]
fn imaging_names_each_modality_and_body_site_once() {
    let it = example!(Imaging as ImagingSummary);

    assert_eq!(it.modalities.len(), 1);
    assert_eq!(code(it.modalities.first()), "DX");
    assert_eq!(words(&it.body_sites[0]), "Thoracic structure");
    assert_eq!(
        it.findings,
        [
            "Heart of normal size. Lungs clear, no effusion. No sign of active disease.",
            "Normal"
        ]
    );
    assert_eq!(who(it.radiologists.first()), "dr. Made Wirawan, Sp.Rad");
    assert_eq!(it.performed.as_deref(), Some("2026-03-10T08:05:00+07:00"));
}

#[test]
fn a_vaccination_says_which_lot_and_when_the_next_is_due() {
    let it = example!(Vaccination as VaccinationSummary);

    let given = &it.vaccinations[0];
    assert_eq!(code(given.vaccine.as_ref()), "43");
    assert_eq!(given.lot_number.as_deref(), Some("HB2603A17"));
    assert_eq!(
        (given.dose_number.as_deref(), given.series_doses.as_deref()),
        (Some("1"), Some("3"))
    );
    assert_eq!(who(given.manufacturer.as_ref()), "PT Bio Farma");
    let next = &it.next_doses[0];
    assert_eq!(next.date.as_deref(), Some("2026-04-04"));
    assert_eq!(words(next.meaning.as_ref().unwrap()), "Date vaccine due");
    assert_eq!(next.dose_number.as_deref(), Some("2"));
}

/// A value, and how a measurement tells it: number, unit, text.
#[test]
fn every_kind_of_value_is_told_with_its_digits() {
    let table = [
        (
            json!({"valueQuantity": {"value": 7, "comparator": ">", "unit": "%"}}),
            "7",
            "%",
            "",
        ),
        (json!({"valueInteger": 3}), "3", "", ""),
        (json!({"valueString": "clear"}), "", "", "clear"),
        (json!({"valueBoolean": true}), "", "", "true"),
        (
            json!({"valueCodeableConcept": {"coding": [{"code": "POS"}]}}),
            "",
            "",
            "POS",
        ),
        (
            json!({"valueRange": {"low": {"value": 1, "unit": "g"}}}),
            "",
            "",
            "1 g –",
        ),
        (
            json!({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}}),
            "",
            "",
            "1 : 128",
        ),
        (
            json!({"valuePeriod": {"end": "2026-01"}}),
            "",
            "",
            "– 2026-01",
        ),
        (
            json!({"valueSampledData": {}}),
            "",
            "",
            "a series of measurements",
        ),
        (json!({"valueTime": "07:15:00"}), "", "", "07:15:00"),
        (json!({"valueQuantity": []}), "", "", ""),
        (json!({"value": "of no type"}), "", "", ""),
    ];

    for (mut document, value, unit, text) in table {
        document["resourceType"] = json!("Observation");
        let Summary::VitalSigns(it) = summary(&document, RecordType::VitalSigns) else {
            unreachable!("a summary is of its record type");
        };
        let it = &it.measurements[0];
        let told = [&it.value, &it.unit, &it.text].map(|it| it.as_deref().unwrap_or_default());
        assert_eq!(told, [value, unit, text], "{document}");
    }

    let text = br#"{"resourceType":"Observation","valueQuantity":{"value":1.10E2}}"#;
    let read = reader::read(text).unwrap();
    let Summary::VitalSigns(it) = summarise(&read, RecordType::VitalSigns) else {
        unreachable!("a summary is of its record type");
    };
    assert_eq!(it.measurements[0].value.as_deref(), Some("1.10E2"));
}

#[test]
fn a_title_says_what_a_value_is_about_and_what_came_out() {
    let mut document = json!({
        "resourceType": "Observation", "status": "final", "code": { "text": "Heart rate" },
        "focus": [{ "display": "Fetus A" }, { "reference": "Patient/2" }],
        "valueQuantity": { "value": 140, "unit": "/min" },
    });
    let Summary::VitalSigns(it) = summary(&document, RecordType::VitalSigns) else {
        unreachable!("a summary is of its record type");
    };
    assert_eq!(
        it.title.as_deref(),
        Some("Heart rate: 140 /min (of Fetus A, Patient/2)")
    );
    assert_eq!(it.measurements[0].focus.len(), 2);

    document = json!({
        "resourceType": "Observation", "status": "preliminary", "code": { "text": "Culture" },
        "interpretation": [{ "text": "Resistant" }],
    });
    let of_the_culture = summary(&document, RecordType::LabResult);
    assert_eq!(
        of_the_culture.title(),
        Some("Culture: Resistant (preliminary)")
    );
}

#[test]
fn a_title_says_that_it_is_of_another_who_has_only_an_identifier() {
    let nameless = json!({ "identifier": { "system": "urn:mrn", "value": "9" } });
    for (focus, expected) in [
        (json!([nameless]), "Heart rate: 140 /min (of another)"),
        (
            json!([{ "display": "Fetus A" }, nameless]),
            "Heart rate: 140 /min (of Fetus A, another)",
        ),
    ] {
        let document = json!({
            "resourceType": "Observation", "status": "final", "code": { "text": "Heart rate" },
            "focus": focus, "valueQuantity": { "value": 140, "unit": "/min" },
        });
        let Summary::VitalSigns(it) = summary(&document, RecordType::VitalSigns) else {
            unreachable!("a summary is of its record type");
        };
        assert_eq!(it.title.as_deref(), Some(expected));
        let told = it.measurements[0].focus.last().unwrap();
        assert!(told.name.is_none() && told.reference.is_none());
        assert_eq!(told.identifier.as_deref(), Some("9"));
    }
}

#[test]
fn a_title_says_why_there_is_no_value_before_what_it_means() {
    let (reason, means) = (json!({ "text": "Not done" }), json!([{ "text": "High" }]));
    for (mut document, expected) in [
        (json!({ "dataAbsentReason": reason }), "X: Not done"),
        (json!({ "interpretation": means }), "X: High"),
        (
            json!({ "dataAbsentReason": reason, "interpretation": means }),
            "X: Not done, High",
        ),
        (
            json!({ "valueString": "clear", "interpretation": means }),
            "X: clear",
        ),
        (json!({}), "X"),
    ] {
        document["resourceType"] = json!("Observation");
        document["status"] = json!("final");
        document["code"] = json!({ "text": "X" });
        let summary = summary(&document, RecordType::VitalSigns);
        assert_eq!(summary.title(), Some(expected), "{document}");
    }
}

#[test]
fn a_title_names_each_state_that_is_not_usual_of_its_kind() {
    let title = |kind: &str, status: &str, intent: &str, record_type: RecordType| {
        let concept = json!({ "text": "X" });
        let document = json!({
            "resourceType": kind, "status": status, "intent": intent, "title": "X",
            "code": concept, "medicationCodeableConcept": concept,
        });
        let title = summary(&document, record_type).title().map(str::to_owned);
        title.unwrap()
    };
    let (prescription, plan) = (RecordType::Prescription, RecordType::TreatmentPlan);
    for (kind, status, intent, record_type, expected) in [
        ("MedicationRequest", "active", "order", prescription, "X"),
        (
            "MedicationRequest",
            "active",
            "original-order",
            prescription,
            "X",
        ),
        (
            "MedicationRequest",
            "active",
            "plan",
            prescription,
            "X (plan)",
        ),
        (
            "MedicationRequest",
            "completed",
            "order",
            prescription,
            "X (completed)",
        ),
        ("CarePlan", "active", "plan", plan, "X"),
        ("CarePlan", "active", "order", plan, "X"),
        (
            "CarePlan",
            "completed",
            "option",
            plan,
            "X (completed, option)",
        ),
        (
            "ServiceRequest",
            "completed",
            "order",
            plan,
            "X (ServiceRequest, completed)",
        ),
        (
            "ServiceRequest",
            "active",
            "plan",
            plan,
            "X (ServiceRequest, plan)",
        ),
    ] {
        assert_eq!(title(kind, status, intent, record_type), expected, "{kind}");
    }
}

#[test]
fn what_a_report_concludes_that_does_not_hold_stands_with_the_report_alone() {
    let report = |status: &str, conclusion: &str| {
        json!({ "resource": {
            "resourceType": "DiagnosticReport", "status": status, "code": { "text": "CT" },
            "conclusion": conclusion, "conclusionCode": [{ "text": conclusion }],
        } })
    };
    let document = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        report("entered-in-error", "tumour"), report("cancelled", "fracture"), report("final", "nothing"),
    ] });
    let Summary::LabResult(it) = summary(&document, RecordType::LabResult) else {
        unreachable!("a summary is of its record type");
    };
    assert_eq!(it.conclusions, ["nothing"]);
    assert_eq!(it.reports.len(), 3);
    let Summary::Imaging(it) = summary(&document, RecordType::Imaging) else {
        unreachable!("a summary is of its record type");
    };
    assert_eq!(it.findings, ["nothing", "nothing"]);
    assert_eq!(it.reports[0].conclusion.as_deref(), Some("tumour"));
}

#[test]
fn a_dosage_tells_the_whole_rule_and_half_a_ratio() {
    let document = json!({
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "dosageInstruction": [{
            "timing": { "code": { "text": "BID" }, "repeat": {
                "count": 10, "countMax": 12, "duration": 30, "durationUnit": "min",
                "frequency": 2, "period": 1, "periodUnit": "d",
            } },
            "maxDosePerPeriod": { "denominator": { "value": 1, "unit": "d" } },
        }],
    });
    let Summary::Prescription(it) = summary(&document, RecordType::Prescription) else {
        unreachable!("a summary is of its record type");
    };
    let dosage = &it.medications[0].dosages[0];
    assert_eq!(
        dosage.timing.as_deref(),
        Some("BID, 2 times per 1 d, for 30 min, 10–12 times in all")
    );
    assert_eq!(dosage.max_dose.as_deref(), Some("? : 1 d"));
}

#[test]
fn of_very_many_modifiers_the_first_hundred_are_named() {
    let modifiers = (0..300).map(|nth| json!({ "url": format!("urn:x:{nth}"), "valueCode": "y" }));
    let modifiers: Vec<Value> = modifiers.collect();
    let document = json!({ "resourceType": "Observation", "modifierExtension": modifiers });
    let summary = summary(&document, RecordType::VitalSigns);
    let told = summary.unsupported_modifiers();
    assert_eq!(told.len(), 101);
    assert_eq!(told[99], "Observation.modifierExtension(urn:x:99)");
    assert_eq!(told[100], "…");
}

#[test]
fn a_summary_never_shows_what_it_holds_in_a_log() {
    for (record_type, text) in documents::all() {
        let read = reader::read(text.as_bytes()).unwrap();

        let shown = format!("{:?}", summarise(&read, record_type));

        assert!(shown.len() < 80, "{shown}");
    }
}

#[test]
fn nothing_is_found_in_what_is_no_document() {
    for record_type in RecordType::ALL {
        for nonsense in [
            json!(null),
            json!([]),
            json!("a text"),
            json!({"resourceType": "Bundle", "entry": [1, {"resource": null}]}),
            json!({"resourceType": "Patient"}),
        ] {
            assert!(
                summary(&nonsense, record_type).is_empty(),
                "{record_type:?} {nonsense}"
            );
        }
    }
}

#[test]
fn every_official_example_that_is_a_record_says_something() {
    let package =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules/hl7.fhir.r4.examples");
    assert!(
        package.is_dir(),
        "the npm package hl7.fhir.r4.examples is not installed: run `cargo dev tools --test`"
    );
    let kinds: Vec<&str> = RecordType::ALL
        .iter()
        .flat_map(|it| it.roots())
        .copied()
        .chain(["Bundle"])
        .collect();
    let (mut accepted, mut complete) = (0, 0);

    for entry in std::fs::read_dir(package).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let kind = name.split('-').next().unwrap();
        if !kinds.contains(&kind) || path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let Ok(document) = reader::read(&std::fs::read(&path).unwrap()) else {
            continue; // larger than a record may be
        };
        for record_type in RecordType::ALL {
            // Never a panic, whether it is of that type or not.
            let summary = summarise(&document, record_type);
            let Ok(checked) = check(&document, record_type) else {
                continue;
            };
            accepted += 1;
            if checked.completeness == Completeness::Complete {
                complete += 1;
                assert!(!summary.is_empty(), "{name} as {record_type:?}");
            }
        }
    }

    assert!(accepted > 150, "{accepted} examples are records of a type");
    assert!(complete > 10, "{complete} of them are complete");
}
