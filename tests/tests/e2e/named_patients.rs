//! Documents that are stored one by one and name their patient as a hospital does: they are about the patient of the record.

use serde_json::{Value, json};
use tests::transfer::{heart_rate, stored};
use tests::{Answer, Person, World, id, text};

const URN: &str = "urn:uuid:7c1f1a5e-6f0c-4f0e-9f64-1d8d0a4c1b5a";
const URL: &str = "https://hospital.example/fhir/Patient/7/_history/2";

/// A heart rate that says of whom it is.
fn of(subject: &Value) -> Value {
    let mut document: Value = serde_json::from_str(&heart_rate(61)).expect("JSON");
    document["subject"] = subject.clone();
    document
}

/// A heart rate that contains the patient, and what only the patient refers to.
fn containing() -> Value {
    let mut document = of(&json!({ "reference": "#p" }));
    document["contained"] = json!([
        {
            "resourceType": "Patient", "id": "p", "identifier": [{ "system": "urn:mrn", "value": "9" }],
            "managingOrganization": { "reference": "#o" },
        },
        { "resourceType": "Organization", "id": "o", "name": "a hospital" },
    ]);
    document
}

fn collection(subjects: &[Value]) -> Value {
    let entries = subjects
        .iter()
        .map(|subject| json!({ "resource": of(subject) }));
    let entries: Vec<Value> = entries.collect();
    json!({ "resourceType": "Bundle", "type": "collection", "entry": entries })
}

async fn document(person: &Person, record: &Value) -> Value {
    let read = person.reads(&id(record)).await;
    read.data()["medicalRecord"]["document"].clone()
}

/// Where a document is refused for whom it names.
fn refused_at(answer: &Answer) -> String {
    let told = answer.fails_with("INVALID_DOCUMENT");
    let issues = told.extensions["issues"].as_array().expect("issues");
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert_eq!(issues[0]["rule"], "patient");
    text(&issues[0]["path"])
}

#[tokio::test]
async fn whoever_a_document_names_is_the_patient_of_its_record_and_keeps_the_name_that_they_had() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "CREATE", "AMEND"]).await;
    let ours = format!("Patient/{}", ana.id);
    let mrn = json!({ "system": "urn:mrn", "value": "9" });
    let uri = |value: &str| json!({ "system": "urn:ietf:rfc:3986", "value": value });
    let mut missing = of(&Value::Null);
    let members = missing.as_object_mut().expect("an object");
    members.remove("subject");
    let table = [
        (missing, Value::Null),
        (of(&json!({ "reference": ours })), Value::Null),
        (
            of(&json!({ "reference": "Patient/7" })),
            json!({ "value": "Patient/7" }),
        ),
        (of(&json!({ "reference": URN })), uri(URN)),
        (of(&json!({ "reference": URL })), uri(URL)),
        (of(&json!({ "identifier": mrn })), mrn.clone()),
        (containing(), mrn.clone()),
    ];

    for (document_sent, known_as) in table {
        let record = dr_bo.creates(&ana, "VITAL_SIGNS", &document_sent).await;

        let mut expected = json!({ "reference": ours });
        if !known_as.is_null() {
            expected["identifier"] = known_as;
        }
        let kept = document(&ana, &record).await;
        assert_eq!(kept["subject"], expected, "{document_sent}");
        assert!(kept["contained"].is_null(), "the patient is the account's");
        assert_eq!(record["patient"]["id"], ana.id.as_str());
        // The next version may name them as the hospital does, too.
        let amended = dr_bo.amends(&record, &document_sent, json!({})).await;
        let amended = &amended.data()["amendMedicalRecord"]["record"];
        let kept = document(&ana, amended).await;
        assert_eq!(kept["subject"], expected, "{document_sent}");
    }
}

#[tokio::test]
async fn wherever_a_document_means_its_patient_the_account_stands() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let ours = json!({ "reference": format!("Patient/{}", ana.id), "identifier": { "value": "Patient/7" } });
    let seven = json!({ "reference": "Patient/7" });
    let mut measured = of(&seven);
    measured["performer"] = json!([seven, { "reference": "Patient/8" }]);
    let both = collection(&[seven.clone(), seven.clone()]);

    let one = ana.creates(&ana, "VITAL_SIGNS", measured).await;
    let several = ana.creates(&ana, "VITAL_SIGNS", both).await;

    let one = document(&ana, &one).await;
    assert_eq!(
        one["performer"],
        json!([ours, { "reference": "Patient/8" }])
    );
    let several = document(&ana, &several).await;
    for nth in [0, 1] {
        assert_eq!(several["entry"][nth]["resource"]["subject"], ours);
    }
}

#[tokio::test]
async fn another_account_a_second_patient_and_whoever_nobody_can_tell_are_refused_where_they_stand()
{
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let record = ana.creates(&ana, "VITAL_SIGNS", heart_rate(60)).await;
    let ours = json!({ "reference": format!("Patient/{}", ana.id) });
    let seven = json!({ "reference": "Patient/7" });
    let nine = json!({ "identifier": { "system": "urn:mrn", "value": "9" } });
    let mut inner = of(&seven);
    inner["contained"] = json!([{
        "resourceType": "Observation", "id": "o", "status": "final", "code": { "text": "x" },
        "subject": nine,
    }]);
    inner["hasMember"] = json!([{ "reference": "#o" }]);
    let second = "Bundle.entry[1].resource.subject";
    for (document, path) in [
        (
            of(&json!({ "reference": format!("Patient/{}", eve.id) })),
            "Observation.subject",
        ),
        (
            of(&json!({ "identifier": { "value": "9" } })),
            "Observation.subject",
        ),
        (of(&json!({ "display": "Mrs A" })), "Observation.subject"),
        (
            of(&json!({ "reference": "Group/7" })),
            "Observation.subject",
        ),
        (inner, "Observation.contained[0].subject"),
        (collection(&[seven, nine.clone()]), second),
        (collection(&[ours, nine]), second),
    ] {
        let created = ana.stores(&ana, "VITAL_SIGNS", &document, json!({})).await;
        let amended = ana.amends(&record, &document, json!({})).await;

        assert_eq!(refused_at(&created), path, "{document}");
        assert_eq!(refused_at(&amended), path, "{document}");
    }
    assert_eq!(stored(&world).await, 1, "the record that was there");
    // What is no FHIR is told before.
    let mut broken = of(&json!({ "reference": "Group/7" }));
    broken["status"] = json!("done");
    let answer = ana.stores(&ana, "VITAL_SIGNS", &broken, json!({})).await;
    let told = answer.fails_with("INVALID_DOCUMENT");
    assert_eq!(told.extensions["issues"][0]["path"], "Observation.status");
}
