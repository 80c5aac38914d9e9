//! A patient as Synthea writes one: each kind of resource is a record of its type, and refers to the records of the others.
//! Those that are parts of a plan, and notes, stand by themselves, too.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::transfer::{BUNDLE, NDJSON, Report};
use tests::{Person, World, id, synthea, text};

const LOINC: &str = "http://loinc.org";
const TITLE: &str = "query Title($id: UUID!) {
  medicalRecord(id: $id) { summary { title unsupportedModifiers } }
}";
const PLAN: &str = "query Plan($id: UUID!) { medicalRecord(id: $id) { summary { title date
  ... on TreatmentPlanSummary {
    goals { status achievement targets { due } }
    activities { code { text } status intent doNotPerform priority requester { name } reasons { text } }
    careTeams { status reasons { text } members { roles { text } member { name } onBehalfOf { name } } organizations { name } }
  }
} } }";

/// An import, and of which kind the entries were.
struct Imported {
    kinds: Vec<String>,
    report: Report,
}

impl Imported {
    /// The lines about a kind.
    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let lines = self.kinds.iter().zip(&self.report.lines);
        lines.filter_map(move |(of, line)| (of == kind).then_some(line))
    }

    /// The record that the first resource of a kind has become, or the first of this type.
    fn record(&self, kind: &str, record_type: &str) -> String {
        let mut lines = self.of(kind);
        let line = lines.find(|line| line["recordType"] == record_type);
        let line = line.unwrap_or_else(|| panic!("no {kind} is a {record_type}"));
        text(&line["recordId"])
    }
}

/// One encounter of somebody.
async fn encounter(world: &World, person: &Person) -> Imported {
    let mut file = Vec::new();
    synthea::write(1 + synthea::OF_AN_ENCOUNTER, &mut file).expect("memory is written");
    let bundle: Value = serde_json::from_slice(&file).expect("JSON");
    let entries = bundle["entry"].as_array().expect("a list");
    let kind = |entry: &Value| text(&entry["resource"]["resourceType"]);
    Imported {
        kinds: entries.iter().map(kind).collect(),
        report: person.imports(&world.api, person, (BUNDLE, ""), file).await,
    }
}

/// A record's document, as it is stored.
async fn document(person: &Person, record: &str) -> Value {
    let read = person.reads(record).await;
    let canonical = text(&read.data()["medicalRecord"]["canonical"]);
    serde_json::from_str(&canonical).expect("JSON")
}

#[tokio::test]
async fn every_kind_of_a_whole_patient_comes_in_and_is_filed_by_what_it_is() {
    let world = World::start().await;
    let ana = world.patient("ana").await;

    let first = encounter(&world, &ana).await;
    let again = encounter(&world, &ana).await;

    let records = json!(synthea::records(1 + synthea::OF_AN_ENCOUNTER));
    let counted = |of: &Imported| {
        ["created", "alreadyThere", "refused"].map(|name| of.report.end[name].clone())
    };
    assert_eq!(
        counted(&first),
        [records.clone(), json!(0), json!(0)],
        "{:?}",
        first.report.lines
    );
    assert_eq!(counted(&again), [json!(0), records, json!(0)]);
    let lines = first.kinds.iter().zip(&first.report.lines);
    let filed: BTreeSet<(&str, &str)> = lines
        .filter_map(|(kind, line)| Some((kind.as_str(), line["recordType"].as_str()?)))
        .collect();
    let expected = [
        ("AllergyIntolerance", "MEDICAL_HISTORY"),
        ("CarePlan", "TREATMENT_PLAN"),
        ("CareTeam", "TREATMENT_PLAN"),
        ("Condition", "DIAGNOSIS"),
        ("DiagnosticReport", "LAB_RESULT"),
        ("DiagnosticReport", "MEDICAL_HISTORY"),
        ("DocumentReference", "MEDICAL_HISTORY"),
        ("Goal", "TREATMENT_PLAN"),
        ("ImagingStudy", "IMAGING"),
        ("Immunization", "VACCINATION"),
        ("MedicationAdministration", "MEDICAL_HISTORY"),
        ("MedicationRequest", "PRESCRIPTION"),
        ("Observation", "LAB_RESULT"),
        ("Observation", "VITAL_SIGNS"),
        ("Procedure", "MEDICAL_HISTORY"),
        ("ServiceRequest", "TREATMENT_PLAN"),
    ];
    assert_eq!(filed, BTreeSet::from(expected));
    for skipped in ["Patient", "Encounter", "Claim", "Provenance"] {
        let outcomes: Vec<&Value> = first.of(skipped).map(|line| &line["outcome"]).collect();
        assert!(!outcomes.is_empty(), "{skipped}");
        assert!(outcomes.iter().all(|it| **it == "SKIPPED"), "{skipped}");
    }
}

#[tokio::test]
async fn a_plan_and_an_image_refer_to_the_records_of_their_parts_and_each_says_what_it_is() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let came = encounter(&world, &ana).await;
    let record = |kind: &str| came.record(kind, "TREATMENT_PLAN");
    let [team, goal, order] = ["CareTeam", "Goal", "ServiceRequest"].map(record);

    let plan = document(&ana, &record("CarePlan")).await;
    let image = document(&ana, &came.record("ImagingStudy", "IMAGING")).await;

    assert_eq!(plan["careTeam"][0]["reference"], format!("CareTeam/{team}"));
    assert_eq!(plan["goal"][0]["reference"], format!("Goal/{goal}"));
    let condition = came.record("Condition", "DIAGNOSIS");
    assert_eq!(
        plan["addresses"][0]["reference"],
        format!("Condition/{condition}")
    );
    assert_eq!(
        image["basedOn"][0]["reference"],
        format!("ServiceRequest/{order}")
    );
    let members = document(&ana, &team).await;
    assert_eq!(
        members["participant"][0]["member"]["reference"],
        format!("Patient/{}", ana.id)
    );
    let history = |kind: &str| came.record(kind, "MEDICAL_HISTORY");
    for (record, title) in [
        (team, "Acute viral pharyngitis (disorder) (CareTeam)"),
        (
            goal,
            "Recover without complication (Goal, accepted, in-progress)",
        ),
        (
            order,
            "Plain X-ray of chest (procedure) (ServiceRequest, completed)",
        ),
        (history("DiagnosticReport"), "History and physical note"),
        (
            history("DocumentReference"),
            "History and physical note (superseded)",
        ),
        (
            history("MedicationAdministration"),
            "Acetaminophen 325 MG Oral Tablet (MedicationAdministration)",
        ),
    ] {
        let told = ana.asks(TITLE, json!({ "id": record })).await;
        assert_eq!(
            told.data()["medicalRecord"]["summary"],
            json!({ "title": title, "unsupportedModifiers": [] })
        );
    }
}

fn goal() -> Value {
    json!({
        "resourceType": "Goal", "lifecycleStatus": "active", "description": { "text": "Walk daily" },
        "achievementStatus": { "text": "not attainable" }, "startDate": "2026-02-03",
        "target": [{ "measure": { "text": "steps" }, "dueDate": "2026-03-05" }],
    })
}

fn request() -> Value {
    json!({
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "doNotPerform": true,
        "priority": "urgent", "code": { "text": "MRI of the knee" }, "occurrenceDateTime": "2026-02-10",
        "requester": { "display": "Dr Quill" }, "reasonCode": [{ "text": "pacemaker" }],
    })
}

fn team() -> Value {
    json!({
        "resourceType": "CareTeam", "status": "inactive", "period": { "start": "2026-02-03" },
        "reasonCode": [{ "text": "Diabetes" }], "managingOrganization": [{ "display": "a hospital" }],
        "participant": [{
            "role": [{ "text": "nurse" }], "member": { "display": "Ns. Dewi" }, "onBehalfOf": { "display": "a hospital" },
        }],
    })
}

#[tokio::test]
async fn a_doctor_stores_a_part_of_a_plan_by_itself_and_its_summary_says_what_it_is() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    let table = [
        (
            goal(),
            json!({
                "title": "Walk daily (Goal, not attainable)", "date": "2026-02-03",
                "goals": [{ "status": "active", "achievement": "not attainable", "targets": [{ "due": "2026-03-05" }] }],
                "activities": [], "careTeams": [],
            }),
        ),
        (
            request(),
            json!({
                "title": "MRI of the knee (ServiceRequest, doNotPerform)", "date": "2026-02-10",
                "goals": [], "careTeams": [],
                "activities": [{
                    "code": { "text": "MRI of the knee" }, "status": "active", "intent": "order", "doNotPerform": true,
                    "priority": "urgent", "requester": { "name": "Dr Quill" }, "reasons": [{ "text": "pacemaker" }],
                }],
            }),
        ),
        (
            team(),
            json!({
                "title": "Diabetes (CareTeam, inactive)", "date": "2026-02-03",
                "goals": [], "activities": [],
                "careTeams": [{
                    "status": "inactive", "reasons": [{ "text": "Diabetes" }], "organizations": [{ "name": "a hospital" }],
                    "members": [{
                        "roles": [{ "text": "nurse" }], "member": { "name": "Ns. Dewi" }, "onBehalfOf": { "name": "a hospital" },
                    }],
                }],
            }),
        ),
    ];
    for (document, expected) in table {
        let record = dr_bo.creates(&ana, "TREATMENT_PLAN", &document).await;
        assert_eq!(record["completeness"], "COMPLETE", "{document}");
        let told = dr_bo.asks(PLAN, json!({ "id": id(&record) })).await;
        assert_eq!(told.data()["medicalRecord"]["summary"], expected);
    }
}

#[tokio::test]
async fn a_doctor_is_asked_of_a_part_of_a_plan_for_what_it_can_state() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    let nameless = json!({ "coding": [{ "system": LOINC }] });
    let nobody = json!([{ "period": { "start": "2026" } }]);
    for (mut document, element, value) in [
        (goal(), "description", &nameless),
        (request(), "code", &nameless),
        (team(), "participant", &nobody),
    ] {
        document[element] = value.clone();
        let path = format!("{}.{element}", text(&document["resourceType"]));

        let refused = dr_bo
            .stores(&ana, "TREATMENT_PLAN", &document, json!({}))
            .await;

        let told = refused.fails_with("INVALID_DOCUMENT");
        let issues = told.extensions["issues"].as_array().expect("issues").iter();
        let errors = issues.filter(|issue| issue["severity"] == "error");
        let paths: Vec<String> = errors.map(|issue| text(&issue["path"])).collect();
        assert_eq!(paths, [path]);
    }
}

#[tokio::test]
async fn a_report_of_neither_a_laboratory_nor_imaging_is_a_history_unless_somebody_says_otherwise()
{
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let report = |code: &str, says: &str| {
        json!({
            "resourceType": "DiagnosticReport", "status": "final",
            "category": [{ "coding": [{ "system": LOINC, "code": code }] }],
            "code": { "text": "Report" }, "effectiveDateTime": "2026-02-03", "conclusion": says,
        })
    };
    let (cardiology, laboratory) = (report("LP29708-2", "a murmur"), report("LP29693-6", "low"));
    let mut bare = report("LP29708-2", "nothing");
    bare.as_object_mut().expect("an object").remove("category");
    let lines = format!("{cardiology}\n{bare}\n{laboratory}\n");

    let came = ana.imports(&world.api, &ana, (NDJSON, ""), lines).await;

    assert_eq!(
        came.each("recordType"),
        ["MEDICAL_HISTORY", "MEDICAL_HISTORY", "LAB_RESULT"].map(|it| json!(it)),
        "{:?}",
        came.lines
    );
    let asked = (NDJSON, "&recordType=IMAGING");
    let asked = ana
        .imports(&world.api, &ana, asked, cardiology.to_string())
        .await;
    assert_eq!(asked.each("recordType"), [json!("IMAGING")]);
    // By the mutation likewise; what is of a laboratory has a type of its own.
    for record_type in ["MEDICAL_HISTORY", "LAB_RESULT", "IMAGING"] {
        let stored = ana.creates(&ana, record_type, &cardiology).await;
        assert_eq!(stored["recordType"], record_type);
    }
    let refused = ana
        .stores(&ana, "MEDICAL_HISTORY", &laboratory, json!({}))
        .await;
    let told = refused.fails_with("INVALID_DOCUMENT");
    assert_eq!(
        told.extensions["issues"][0]["path"],
        "DiagnosticReport.category"
    );
    // A history tells of it.
    let history = text(&came.lines[0]["recordId"]);
    let query = "query H($id: UUID!) { medicalRecord(id: $id) { summary { title
        ... on MedicalHistorySummary { reports { status conclusion } } } } }";
    let told = ana.asks(query, json!({ "id": history })).await;
    assert_eq!(
        told.data()["medicalRecord"]["summary"],
        json!({ "title": "Report", "reports": [{ "status": "final", "conclusion": "a murmur" }] })
    );
}
