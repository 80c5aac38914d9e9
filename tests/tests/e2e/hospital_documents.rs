//! Documents as hospitals have them: each stands for its kind, and comes to the same whether it is created or imported.

use serde_json::{Value, json};
use tests::transfer::NDJSON;
use tests::{Person, World, id, text};

use self::CaseAnswer::{Refused, Stored};
use crate::profiles::told;

/// What a record says, and its summary.
const ANSWER: &str = "query Answer($id: UUID!) { medicalRecord(id: $id) {
    recordType completeness missing document
    summary { title unsupportedModifiers
        ... on PrescriptionSummary { medications { status doNotPerform dosages { asNeeded maxDose timing dose { value unit } } } }
        ... on MedicalHistorySummary { allergies { clinicalStatus verificationStatus } conditions { code { text } }
            procedures { status code { codings { code } } } }
        ... on LabResultSummary { conclusions reports { status results { name } conclusionCodes { text } } }
        ... on VitalSignsSummary { measurements { name value } }
        ... on ImagingSummary { findings bodySites { text } radiologists { name }
            series { bodySite { text } laterality { text codings { code } } } }
    }
} }";

/// What a document comes to.
enum CaseAnswer {
    /// It is stored; of what is then shown these places hold this.
    Stored(Vec<(&'static str, Value)>),
    /// It is refused, at this place for this rule.
    Refused(&'static str, &'static str),
}

/// A document, and the right answers.
struct DocumentCase {
    name: &'static str,
    record_type: &'static str,
    document: Value,
    /// What it comes to when a doctor creates it.
    created: CaseAnswer,
    /// The same when the doctor imports it, where that is something else.
    imported: Option<CaseAnswer>,
}

fn case(
    (name, record_type): (&'static str, &'static str),
    document: Value,
    created: CaseAnswer,
) -> DocumentCase {
    DocumentCase {
        name,
        record_type,
        document,
        created,
        imported: None,
    }
}

fn coded(system: &str, code: &str) -> Value {
    let system = format!("http://terminology.hl7.org/CodeSystem/{system}");
    json!({ "coding": [{ "system": system, "code": code }] })
}

/// A document that says this, too.
fn with(mut document: Value, more: Value) -> Value {
    let (Some(members), Value::Object(more)) = (document.as_object_mut(), more) else {
        unreachable!("both are objects")
    };
    members.extend(more);
    document
}

/// A heart rate that says this, too.
fn heart_rate(more: Value) -> Value {
    let document = json!({
        "resourceType": "Observation", "status": "final",
        "category": [coded("observation-category", "vital-signs")],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4", "display": "Heart rate" }] },
        "effectiveDateTime": "2026-03-01",
        "valueQuantity": { "value": 61, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min" },
    });
    with(document, more)
}

fn narrative(status: &str, inner: &str) -> Value {
    let div = format!(r#"<div xmlns="http://www.w3.org/1999/xhtml">{inner}</div>"#);
    json!({ "text": { "status": status, "div": div } })
}

/// An order of a drug that says this, too.
fn order(more: Value) -> Value {
    let document = json!({
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "authoredOn": "2026-03-01", "requester": { "display": "Dr Example" },
    });
    with(document, more)
}

fn amoxicillin() -> Value {
    json!({
        "text": "Amoxicillin 500 mg",
        "coding": [{
            "system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "308182",
            "display": "Amoxicillin 250 MG Oral Capsule",
        }],
    })
}

/// Narratives, what is contained, and whom a document is about.
fn of_r4() -> Vec<DocumentCase> {
    const DIV: &str = "Observation.text.div";
    let refused = |name, inner| {
        let document = heart_rate(narrative("generated", inner));
        case((name, "VITAL_SIGNS"), document, Refused(DIV, "txt-1"))
    };
    let measured = || ("/summary/measurements/0/value", json!("61"));
    let pictured = json!({
        "contained": [{
            "resourceType": "Binary", "id": "i", "contentType": "image/png", "data": "iVBORw0KGgo=",
        }],
        "text": narrative("additional", r##"<img src="#i" alt="x"/>"##)["text"],
    });
    let ambiguous = json!({
        "contained": [
            { "resourceType": "Practitioner", "id": "p" },
            { "resourceType": "Organization", "id": "p", "name": "x" },
        ],
        "performer": [{ "reference": "#p" }],
    });
    let identifier = json!({ "system": "http://x.example/mrn", "value": "1" });
    let logical = json!({ "subject": { "identifier": identifier } });
    let negated = json!({
        "modifierExtension": [{ "url": "http://x.example/negated", "valueBoolean": true }],
    });
    vec![
        refused(
            "a comment that HTML ends early",
            r#"ok<!--><img src="x" onerror="alert(1)"/>-->"#,
        ),
        refused("two dashes in a comment", "ok<!-- a -- b -->"),
        refused("an entity that XHTML does not have", "<p>&nosuch;</p>"),
        case(
            ("a picture that is contained", "VITAL_SIGNS"),
            heart_rate(pictured),
            Stored(vec![measured()]),
        ),
        case(
            ("two contained resources of one id", "VITAL_SIGNS"),
            heart_rate(ambiguous),
            Refused("Observation.contained", "contained-id"),
        ),
        case(
            ("a patient by an identifier alone", "VITAL_SIGNS"),
            heart_rate(logical),
            Stored(vec![
                measured(),
                ("/document/subject/identifier", identifier),
            ]),
        ),
        case(
            ("an extension that may negate it", "VITAL_SIGNS"),
            heart_rate(negated),
            Stored(vec![
                (
                    "/summary/unsupportedModifiers",
                    json!(["Observation.modifierExtension(http://x.example/negated)"]),
                ),
                (
                    "/summary/title",
                    json!(
                        "Heart rate: 61 /min (read the document: it has modifiers that are not shown)"
                    ),
                ),
            ]),
        ),
        case(
            ("an empty list of categories", "LAB_RESULT"),
            json!({
                "resourceType": "Observation", "status": "final", "category": [],
                "code": { "coding": [{ "system": "http://loinc.org", "code": "2951-2", "display": "Sodium" }] },
                "effectiveDateTime": "2026-03-01",
                "valueQuantity": {
                    "value": 140, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L",
                },
            }),
            Refused("Observation.category", "empty"),
        ),
    ]
}

/// What a doctor orders.
fn prescriptions() -> Vec<DocumentCase> {
    let not_to_be_given = order(json!({
        "medicationCodeableConcept": amoxicillin(), "doNotPerform": true,
        "dosageInstruction": [{ "text": "one twice daily" }],
    }));
    let as_needed = order(json!({
        "medicationCodeableConcept": amoxicillin(),
        "dosageInstruction": [{
            "text": "for pain", "asNeededBoolean": true,
            "doseAndRate": [{ "doseQuantity": { "value": 5.0, "unit": "mg" } }],
            "maxDosePerPeriod": { "numerator": { "value": 20 }, "denominator": { "value": 1, "unit": "d" } },
            "timing": { "repeat": { "frequency": 1, "period": 4, "periodUnit": "h" } },
        }],
    }));
    let bare = order(json!({
        "dosageInstruction": [{ "text": "one twice daily" }],
        "medicationReference": { "reference": "Medication/1" },
    }));
    let drug = Refused("MedicationRequest.medication", "record-type:PRESCRIPTION");
    vec![
        case(
            ("what is not to be given", "PRESCRIPTION"),
            not_to_be_given,
            Stored(vec![
                ("/summary/medications/0/doNotPerform", json!(true)),
                ("/summary/title", json!("Amoxicillin 500 mg (doNotPerform)")),
            ]),
        ),
        case(
            ("as needed, and at most so much", "PRESCRIPTION"),
            as_needed,
            Stored(vec![(
                "/summary/medications/0/dosages/0",
                json!({
                    "asNeeded": "true", "maxDose": "20 : 1 d", "timing": "1 times per 4 h",
                    "dose": { "value": "5.0", "unit": "mg" },
                }),
            )]),
        ),
        DocumentCase {
            imported: Some(Stored(vec![
                ("/completeness", json!("INCOMPLETE")),
                ("/missing/0", json!("medication details")),
            ])),
            ..case(("a drug that is elsewhere", "PRESCRIPTION"), bare, drug)
        },
    ]
}

/// Histories.
fn histories() -> Vec<DocumentCase> {
    let snomed = |code: &str| json!({ "system": "http://snomed.info/sct", "code": code });
    let refuted = json!({
        "resourceType": "AllergyIntolerance", "code": { "text": "Peanut" },
        "clinicalStatus": coded("allergyintolerance-clinical", "active"),
        "verificationStatus": coded("allergyintolerance-verification", "refuted"),
    });
    let surgery = json!({
        "resourceType": "Procedure", "status": "completed", "code": { "coding": [snomed("80146002")] },
        "performedDateTime": "2020-01-01",
    });
    let mut asthma = snomed("195967001");
    asthma["display"] = json!("Asthma");
    let condition = json!({
        "resourceType": "Condition", "clinicalStatus": coded("condition-clinical", "active"),
        "code": { "coding": [asthma] }, "asserter": { "display": "Dr Example" },
        "recordedDate": "2026-03-01",
        "category": [coded("condition-category", "encounter-diagnosis")],
    });
    vec![
        case(
            ("an allergy that was refuted", "MEDICAL_HISTORY"),
            refuted,
            Stored(vec![
                ("/summary/allergies/0/verificationStatus", json!("refuted")),
                ("/summary/title", json!("Peanut (refuted)")),
            ]),
        ),
        case(
            ("a code without its display", "MEDICAL_HISTORY"),
            surgery,
            Stored(vec![(
                "/summary/procedures/0/code/codings/0/code",
                json!("80146002"),
            )]),
        ),
        case(
            (
                "the diagnosis of an encounter, as a history",
                "MEDICAL_HISTORY",
            ),
            condition,
            Stored(vec![
                ("/recordType", json!("MEDICAL_HISTORY")),
                ("/summary/conditions/0/code/text", json!("Asthma")),
            ]),
        ),
    ]
}

/// What was measured and seen.
fn results() -> Vec<DocumentCase> {
    let cancelled = json!({
        "resourceType": "DiagnosticReport", "status": "cancelled",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "58410-2", "display": "CBC" }] },
        "result": [{ "reference": "Observation/1", "display": "Haemoglobin" }],
        "conclusionCode": [{ "text": "specimen clotted" }], "performer": [{ "display": "Lab" }],
    });
    let mut score = heart_rate(json!({ "valueInteger": 4 }));
    if let Some(members) = score.as_object_mut() {
        members.remove("valueQuantity");
    }
    score["code"]["coding"][0]["code"] = json!("72514-3");
    score["code"]["coding"][0]["display"] = json!("Pain severity 0-10");
    let wrist = json!({
        "resourceType": "ImagingStudy", "status": "available", "interpreter": [{ "display": "Dr Ray" }],
        "series": [{
            "uid": "1.2.3",
            "modality": { "system": "http://dicom.nema.org/resources/ontology/DCM", "code": "DX" },
            "bodySite": { "code": "T-15460", "display": "Wrist" },
            "laterality": {
                "system": "http://snomed.info/sct", "code": "419161000", "display": "Unilateral left",
            },
        }],
    });
    let radiology = json!({
        "resourceType": "DiagnosticReport", "status": "final",
        "category": [{ "coding": [{ "system": "http://loinc.org", "code": "LP29684-5", "display": "Radiology" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "36643-5", "display": "XR Chest 2 Views" }] },
        "effectiveDateTime": "2026-03-01", "conclusion": "no focal consolidation",
        "resultsInterpreter": [{ "display": "Dr Ray" }],
    });
    let seen = || {
        Stored(vec![
            ("/recordType", json!("IMAGING")),
            ("/summary/findings", json!(["no focal consolidation"])),
            ("/summary/radiologists/0/name", json!("Dr Ray")),
        ])
    };
    let misfiled = Refused("DiagnosticReport.category", "record-type:LAB_RESULT");
    vec![
        case(
            ("a report that was cancelled", "LAB_RESULT"),
            cancelled,
            Stored(vec![
                (
                    "/summary/reports/0",
                    json!({
                        "status": "cancelled", "results": [{ "name": "Haemoglobin" }],
                        "conclusionCodes": [{ "text": "specimen clotted" }],
                    }),
                ),
                ("/summary/title", json!("CBC (cancelled)")),
            ]),
        ),
        case(
            ("a score, which has no unit", "VITAL_SIGNS"),
            score,
            Stored(vec![("/summary/measurements/0/value", json!("4"))]),
        ),
        case(
            ("a side of the body", "IMAGING"),
            wrist,
            Stored(vec![
                (
                    "/summary/bodySites/0/text",
                    json!("Wrist (Unilateral left)"),
                ),
                (
                    "/summary/series/0/laterality/codings/0/code",
                    json!("419161000"),
                ),
                ("/summary/radiologists/0/name", json!("Dr Ray")),
            ]),
        ),
        case(
            ("a report of radiology by LOINC", "IMAGING"),
            radiology.clone(),
            seen(),
        ),
        // An import files it where it belongs, whatever is asked for.
        DocumentCase {
            imported: Some(seen()),
            ..case(
                ("the same as a result of a laboratory", "LAB_RESULT"),
                radiology,
                misfiled,
            )
        },
    ]
}

/// What became of a document: its record, or the places and rules for which there is none.
type Became = Result<String, Vec<(String, String)>>;

/// The errors among issues.
fn errors(issues: &Value) -> Vec<(String, String)> {
    let issues = issues.as_array().expect("issues").iter();
    let errors: Vec<&Value> = issues.filter(|it| it["severity"] == "error").collect();
    told(&json!(errors))
}

async fn creates(doctor: &Person, patient: &Person, case: &DocumentCase) -> Became {
    let stored = doctor.stores(patient, case.record_type, &case.document, json!({}));
    let answer = stored.await;
    if answer.code().is_none() {
        return Ok(id(&answer.data()["createMedicalRecord"]["record"]));
    }
    let problem = answer.fails_with("INVALID_DOCUMENT");
    Err(errors(&problem.extensions["issues"]))
}

async fn imports(world: &World, doctor: &Person, patient: &Person, case: &DocumentCase) -> Became {
    let more = format!("&recordType={}", case.record_type);
    let upload = case.document.to_string();
    let report = doctor
        .imports(&world.api, patient, (NDJSON, &more), upload)
        .await;
    let line = &report.lines[0];
    // One of them comes twice.
    if ["CREATED", "ALREADY_THERE"]
        .map(Value::from)
        .contains(&line["outcome"])
    {
        return Ok(text(&line["recordId"]));
    }
    assert_eq!(line["code"], "INVALID_DOCUMENT", "{}: {line}", case.name);
    Err(errors(&line["operationOutcome"]["issue"]))
}

async fn is_answered(doctor: &Person, became: Became, answer: &CaseAnswer, name: &str) {
    match (became, answer) {
        (Ok(record), Stored(places)) => {
            let shown = doctor.asks(ANSWER, json!({ "id": record })).await;
            let shown = &shown.data()["medicalRecord"];
            for (place, wanted) in places {
                assert_eq!(
                    shown.pointer(place),
                    Some(wanted),
                    "{name}: {place}: {shown}"
                );
            }
        }
        (Err(errors), Refused(path, rule)) => {
            let wanted = ((*path).to_owned(), (*rule).to_owned());
            assert!(errors.contains(&wanted), "{name}: {errors:?}");
        }
        (Ok(_), Refused(path, _)) => panic!("{name}: stored, in spite of {path}"),
        (Err(errors), Stored(_)) => panic!("{name}: refused: {errors:?}"),
    }
}

#[tokio::test]
async fn what_hospitals_have_comes_to_what_it_means_whichever_way_it_comes() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    budi.lets(&dr_bo, &["READ", "CREATE"]).await;
    let cases = of_r4().into_iter().chain(prescriptions());
    let cases = cases.chain(histories()).chain(results());

    for case in cases {
        let created = creates(&dr_bo, &ana, &case).await;
        is_answered(&dr_bo, created, &case.created, case.name).await;
        let imported = imports(&world, &dr_bo, &budi, &case).await;
        let answer = case.imported.as_ref().unwrap_or(&case.created);
        is_answered(&dr_bo, imported, answer, case.name).await;
    }
}
