//! Summaries: what a document says, typed, and disclosed as the document is.

use serde_json::{Value, json};
use tests::{World, documents, id};

const SUMMARY: &str = "query Summary($id: UUID!) { medicalRecord(id: $id) { recordType summary {
  __typename
  ... on DiagnosisSummary { diagnoses {
    description recorded onset clinicalStatus severity
    code { text codings { system code display } } doctor { name reference }
  } }
  ... on LabResultSummary {
    issued conclusions tests { text } facilities { name } interpreters { name }
    results {
      name value unit unitCode status interpretations { text }
      referenceRanges { low { value unit } high { value } text }
    }
  }
  ... on PrescriptionSummary { medications {
    status medication { text } supply { value unit } validity { start end } prescriber { name }
    dosages { instructions timing bounds route dose { value unit } doseRange { low { value } } }
  } }
  ... on TreatmentPlanSummary {
    title period { start end }
    goals { description { text } targets { measure { text } detail due } }
    activities { code { text } description scheduled outcomes }
  }
  ... on MedicalHistorySummary {
    conditions { code { text } abatement } procedures { code { text } performed }
    family { relationship { text } conditions { code { text } onset } }
    allergies { code { text } manifestations { text } criticality } referred { name } titles
  }
  ... on VitalSignsSummary { measurements {
    name value unit unitCode effective code { codings { code } }
    components { name value unit code { codings { code } } }
  } }
  ... on ImagingSummary {
    modalities { text } examinations { text } bodySites { text } findings notes radiologists { name }
  }
  ... on VaccinationSummary {
    vaccinations { vaccine { text } administered lotNumber doseNumber seriesDoses }
    nextDoses { date meaning { text } doseNumber }
  }
} } }";

/// What was shown of a record, says the audit trail: how often its content, how often its row.
async fn disclosures(world: &World, record: &str) -> (usize, usize) {
    let rows = world
        .audit_rows(&format!(
            "resource_id = '{record}' AND action_type = 'RECORD_READ'"
        ))
        .await;
    let content = |row: &&Value| row["encryption_status"] == "DECRYPTED_FOR_DISCLOSURE";
    let opened = rows.iter().filter(content).count();
    (opened, rows.len() - opened)
}

#[tokio::test]
async fn every_kind_of_document_has_a_typed_summary() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    // What is told, and the text or number that must be there.
    let table = [
        (
            "DIAGNOSIS",
            "DiagnosisSummary",
            "/diagnoses/0/code/codings/0/code",
            "E11.9",
        ),
        (
            "DIAGNOSIS",
            "DiagnosisSummary",
            "/diagnoses/0/doctor/name",
            "dr. Siti Rahmawati, Sp.PD",
        ),
        ("LAB_RESULT", "LabResultSummary", "/results/0/value", "8.10"),
        (
            "LAB_RESULT",
            "LabResultSummary",
            "/results/0/referenceRanges/0/low/value",
            "4.0",
        ),
        (
            "LAB_RESULT",
            "LabResultSummary",
            "/facilities/0/name",
            "Laboratorium Klinik Sehat Sentosa",
        ),
        (
            "PRESCRIPTION",
            "PrescriptionSummary",
            "/medications/0/dosages/0/timing",
            "2 times per 1 d, C",
        ),
        (
            "PRESCRIPTION",
            "PrescriptionSummary",
            "/medications/0/supply/value",
            "30",
        ),
        (
            "TREATMENT_PLAN",
            "TreatmentPlanSummary",
            "/goals/0/targets/0/detail",
            "6.0 % – 7.0 %",
        ),
        (
            "MEDICAL_HISTORY",
            "MedicalHistorySummary",
            "/family/0/conditions/0/onset",
            "52 years",
        ),
        (
            "MEDICAL_HISTORY",
            "MedicalHistorySummary",
            "/allergies/0/criticality",
            "high",
        ),
        (
            "VITAL_SIGNS",
            "VitalSignsSummary",
            "/measurements/0/components/0/value",
            "128",
        ),
        (
            "VITAL_SIGNS",
            "VitalSignsSummary",
            "/measurements/2/value",
            "36.6",
        ),
        (
            "IMAGING",
            "ImagingSummary",
            "/bodySites/0/text",
            "Thoracic structure",
        ),
        (
            "VACCINATION",
            "VaccinationSummary",
            "/vaccinations/0/lotNumber",
            "HB2603A17",
        ),
        (
            "VACCINATION",
            "VaccinationSummary",
            "/nextDoses/0/date",
            "2026-04-04",
        ),
    ];

    for (record_type, _) in documents::ALL {
        let record = dr_bo
            .creates(&ana, record_type, documents::of(record_type))
            .await;
        let answer = dr_bo.asks(SUMMARY, json!({ "id": id(&record) })).await;

        let summary = &answer.data()["medicalRecord"]["summary"];
        let told: Vec<_> = table.iter().filter(|it| it.0 == record_type).collect();
        assert!(!told.is_empty(), "{record_type} is not in the table");
        for (_, of_type, place, value) in told {
            assert_eq!(summary["__typename"], *of_type);
            let found = summary.pointer(place).unwrap_or(&Value::Null);
            assert_eq!(found, value, "{record_type}{place} in {summary:#}");
        }
    }
}

#[tokio::test]
async fn document_canonical_and_summary_of_one_record_are_one_disclosure() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let fields = "document canonical summary { __typename }";
    let one = format!("{{ medicalRecord(id: \"{record}\") {{ {fields} }} }}");
    let twice = format!(
        "{{ a: medicalRecord(id: \"{record}\") {{ canonical }} b: medicalRecord(id: \"{record}\") {{ {fields} }} }}"
    );
    let page = format!("{{ medicalRecords {{ nodes {{ {fields} }} }} }}");

    ana.asks(&one, json!({})).await.data();
    assert_eq!(disclosures(&world, &record).await, (1, 0));

    let answer = ana.asks(&twice, json!({})).await;
    let data = answer.data();
    assert_eq!(data["a"]["canonical"], data["b"]["canonical"]);
    assert_eq!(disclosures(&world, &record).await, (3, 0));

    ana.asks(&page, json!({})).await.data();
    assert_eq!(disclosures(&world, &record).await, (4, 0));
}

#[tokio::test]
async fn a_summary_is_withheld_from_whom_the_document_is_withheld() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let asked = json!({ "id": record });

    dr_bo
        .asks(SUMMARY, asked.clone())
        .await
        .fails_with("NOT_FOUND");

    // Somebody changes a byte of what is stored: all three fields say so, and show nothing.
    world
        .executes(&format!(
            "UPDATE medical_records SET encrypted_data = set_byte(encrypted_data, 60, 255 - get_byte(encrypted_data, 60)) WHERE id = '{record}'"
        ))
        .await;
    let query = "query($id: UUID!) { medicalRecord(id: $id) { document canonical summary { __typename } } }";
    let answer = ana.asks(query, asked).await;

    let codes: Vec<_> = answer
        .errors()
        .iter()
        .map(|it| it.code().to_owned())
        .collect();
    assert_eq!(codes, ["INTEGRITY_VIOLATION"; 3]);
    let shown = &answer.partial_data()["medicalRecord"];
    assert_eq!(
        *shown,
        json!({ "document": null, "canonical": null, "summary": null })
    );
    let findings = world.sql("SELECT 1 FROM integrity_findings").await;
    assert_eq!(findings.len(), 1, "one finding, however many fields asked");
}

#[tokio::test]
async fn a_document_of_the_largest_size_is_still_read_once_it_is_stored() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut document: Value = serde_json::from_str(&documents::of("DIAGNOSIS")).expect("JSON");
    let spare = 1024 * 1024 - document.to_string().len() - 40;
    document["note"][0]["text"] = json!("x".repeat(spare));

    let record = id(&ana.creates(&ana, "DIAGNOSIS", &document).await);

    let answer = ana.reads(&record).await;
    assert_eq!(
        answer.data()["medicalRecord"]["document"]["note"][0]["text"],
        document["note"][0]["text"]
    );
}

/// What somebody sees who acts on the summary alone.
const STATES: &str = "query States($id: UUID!) { medicalRecord(id: $id) { summary { __typename
    ... on PrescriptionSummary { unsupportedModifiers medications { status intent doNotPerform } }
    ... on MedicalHistorySummary { unsupportedModifiers
        allergies { clinicalStatus verificationStatus } conditions { verificationStatus } procedures { status } }
    ... on LabResultSummary { unsupportedModifiers
        reports { status results { name } conclusionCodes { text } } }
    ... on VitalSignsSummary { unsupportedModifiers measurements { value } }
    ... on ImagingSummary { unsupportedModifiers bodySites { text } states { resource status }
        series { bodySite { text } laterality { text } } radiologists { name } }
    ... on VaccinationSummary { unsupportedModifiers vaccinations { status isSubpotent } }
} } }";

#[tokio::test]
async fn a_summary_never_reads_as_the_opposite_of_its_document() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let coded = |system: &str, code: &str| {
        json!({ "coding": [{
            "system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code,
        }] })
    };
    let table = [
        (
            "PRESCRIPTION",
            json!({
                "resourceType": "MedicationRequest", "status": "active", "intent": "order",
                "doNotPerform": true, "medicationCodeableConcept": { "text": "Amoxicillin 500 mg" },
                "dosageInstruction": [{ "text": "one twice daily" }],
            }),
            json!({
                "__typename": "PrescriptionSummary", "unsupportedModifiers": [],
                "medications": [{ "status": "active", "intent": "order", "doNotPerform": true }],
            }),
        ),
        (
            "MEDICAL_HISTORY",
            json!({
                "resourceType": "AllergyIntolerance", "code": { "text": "Peanut" },
                "clinicalStatus": coded("allergyintolerance-clinical", "active"),
                "verificationStatus": coded("allergyintolerance-verification", "refuted"),
            }),
            json!({
                "__typename": "MedicalHistorySummary", "unsupportedModifiers": [],
                "allergies": [{ "clinicalStatus": "active", "verificationStatus": "refuted" }],
                "conditions": [], "procedures": [],
            }),
        ),
        (
            "LAB_RESULT",
            json!({
                "resourceType": "DiagnosticReport", "status": "cancelled", "code": { "text": "CBC" },
                "result": [{ "reference": "Observation/1", "display": "Haemoglobin" }],
                "conclusionCode": [{ "text": "specimen clotted" }],
            }),
            json!({
                "__typename": "LabResultSummary", "unsupportedModifiers": [],
                "reports": [{
                    "status": "cancelled", "results": [{ "name": "Haemoglobin" }],
                    "conclusionCodes": [{ "text": "specimen clotted" }],
                }],
            }),
        ),
        (
            "VITAL_SIGNS",
            json!({
                "resourceType": "Observation", "status": "final",
                "category": [coded("observation-category", "vital-signs")],
                "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] },
                "effectiveDateTime": "2026-03-01", "valueQuantity": { "value": 61, "unit": "/min" },
                "modifierExtension": [{ "url": "http://x.example/negated", "valueBoolean": true }],
            }),
            json!({
                "__typename": "VitalSignsSummary",
                "unsupportedModifiers": ["Observation.modifierExtension(http://x.example/negated)"],
                "measurements": [{ "value": "61" }],
            }),
        ),
        (
            "IMAGING",
            json!({
                "resourceType": "ImagingStudy", "status": "entered-in-error",
                "interpreter": [{ "display": "Dr Lens" }],
                "series": [{
                    "uid": "1.2.3",
                    "modality": { "system": "http://dicom.nema.org/resources/ontology/DCM", "code": "DX" },
                    "bodySite": { "display": "Wrist" }, "laterality": { "display": "Unilateral left" },
                }],
            }),
            json!({
                "__typename": "ImagingSummary", "unsupportedModifiers": [],
                "bodySites": [{ "text": "Wrist (Unilateral left)" }],
                "states": [{ "resource": "ImagingStudy", "status": "entered-in-error" }],
                "series": [{
                    "bodySite": { "text": "Wrist" }, "laterality": { "text": "Unilateral left" },
                }],
                "radiologists": [{ "name": "Dr Lens" }],
            }),
        ),
        (
            "VACCINATION",
            json!({
                "resourceType": "Immunization", "status": "not-done", "isSubpotent": true,
                "vaccineCode": { "text": "Hepatitis B" }, "occurrenceDateTime": "2026-03-01",
            }),
            json!({
                "__typename": "VaccinationSummary", "unsupportedModifiers": [],
                "vaccinations": [{ "status": "not-done", "isSubpotent": true }],
            }),
        ),
    ];

    for (record_type, document, summary) in table {
        let record = ana.creates(&ana, record_type, &document).await;
        let answer = ana.asks(STATES, json!({ "id": id(&record) })).await;

        assert_eq!(answer.data()["medicalRecord"]["summary"], summary);
    }
}

#[tokio::test]
async fn a_list_of_any_types_is_shown_by_the_fields_that_all_summaries_have() {
    const LIST: &str =
        "{ medicalRecords { nodes { summary { title date unsupportedModifiers } } } }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let verification = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";
    let clinical = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical";
    let table = [
        (
            "MEDICAL_HISTORY",
            json!({
                "resourceType": "AllergyIntolerance", "code": { "text": "Latex" },
                "clinicalStatus": { "coding": [{ "system": clinical, "code": "active" }] },
                "verificationStatus": { "coding": [{ "system": verification, "code": "refuted" }] },
                "recordedDate": "2026-02-03",
            }),
            json!({ "title": "Latex (refuted)", "date": "2026-02-03", "unsupportedModifiers": [] }),
        ),
        (
            "PRESCRIPTION",
            json!({
                "resourceType": "MedicationRequest", "status": "active", "intent": "order",
                "doNotPerform": true, "medicationCodeableConcept": { "text": "Ibuprofen 400 mg" },
                "authoredOn": "2026-01-09",
            }),
            json!({
                "title": "Ibuprofen 400 mg (doNotPerform)", "date": "2026-01-09",
                "unsupportedModifiers": [],
            }),
        ),
        (
            "MEDICAL_HISTORY",
            json!({
                "resourceType": "Observation", "status": "final", "code": { "text": "Pregnant" },
                "valueBoolean": false, "effectiveDateTime": "2025",
            }),
            json!({ "title": "Pregnant: false", "date": "2025", "unsupportedModifiers": [] }),
        ),
        (
            "PRESCRIPTION",
            json!({
                "resourceType": "MedicationStatement", "status": "not-taken",
                "medicationCodeableConcept": { "text": "Warfarin 3 mg" },
                "effectiveDateTime": "2026-01-02",
            }),
            json!({
                "title": "Warfarin 3 mg (MedicationStatement, not-taken)", "date": "2026-01-02",
                "unsupportedModifiers": [],
            }),
        ),
        (
            "MEDICAL_HISTORY",
            json!({
                "resourceType": "DocumentReference", "status": "superseded",
                "description": "Discharge letter", "date": "2026-01-03T10:00:00Z",
                "content": [{ "attachment": { "title": "letter.pdf" } }],
            }),
            json!({
                "title": "Discharge letter (superseded)", "date": "2026-01-03T10:00:00Z",
                "unsupportedModifiers": [],
            }),
        ),
        (
            "LAB_RESULT",
            json!({
                "resourceType": "Observation", "status": "preliminary", "code": { "text": "Sodium" },
                "valueQuantity": { "value": 140.0, "unit": "mmol/L" },
                "implicitRules": "http://x.example/rules",
            }),
            json!({
                "title": "Sodium: 140.0 mmol/L (preliminary) (read the document: it has modifiers that are not shown)",
                "date": null, "unsupportedModifiers": ["Observation.implicitRules=http://x.example/rules"],
            }),
        ),
    ];
    for (record_type, document, _) in &table {
        ana.creates(&ana, record_type, document).await;
    }

    let answer = ana.asks(LIST, json!({})).await;

    let nodes = answer.data()["medicalRecords"]["nodes"].clone();
    let shown: Vec<Value> = nodes
        .as_array()
        .expect("a list")
        .iter()
        .map(|node| node["summary"].clone())
        .collect();
    // The newest first.
    let expected: Vec<Value> = table.into_iter().rev().map(|(_, _, it)| it).collect();
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_summary_says_both_ends_of_a_period_whatever_its_type_is() {
    const LIST: &str =
        "{ medicalRecords { nodes { metadata summary { date datePeriod { start end } } } } }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let said = |element: &str, at: &Value| {
        let mut document = json!({
            "resourceType": "Observation", "status": "final", "code": { "text": "Steps" },
            "valueInteger": 4000,
        });
        document[element] = at.clone();
        document
    };
    let days = json!({ "start": "2026-03-01", "end": "2026-03-10" });
    let table = [
        (
            said("effectivePeriod", &days),
            "2026-03-01",
            days.clone(),
            json!("2026-03-10"),
        ),
        (
            said("effectivePeriod", &json!({ "start": "2026-02" })),
            "2026-02",
            json!({ "start": "2026-02", "end": null }),
            json!("ongoing"),
        ),
        (
            said("effectivePeriod", &json!({ "end": "2026-01-31" })),
            "2026-01-31",
            json!({ "start": null, "end": "2026-01-31" }),
            Value::Null,
        ),
        (
            said("effectiveDateTime", &json!("2025")),
            "2025",
            Value::Null,
            Value::Null,
        ),
    ];
    for (document, ..) in &table {
        ana.creates(&ana, "MEDICAL_HISTORY", document).await;
    }

    let answer = ana.asks(LIST, json!({})).await;

    let nodes = answer.data()["medicalRecords"]["nodes"].clone();
    let nodes = nodes.as_array().expect("a list");
    assert_eq!(nodes.len(), table.len());
    // The newest first.
    for (node, (_, date, period, end)) in nodes.iter().rev().zip(&table) {
        assert_eq!(node["summary"]["date"], *date, "{node}");
        assert_eq!(node["summary"]["datePeriod"], *period, "{node}");
        assert_eq!(node["metadata"]["dateEnd"], *end, "{node}");
    }
}
