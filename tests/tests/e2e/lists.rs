//! Lists that wait together are answered together, and each of them for itself.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Person, World, documents, id};

const LIST: &str = "query List($patient: UUID) { medicalRecords(patientId: $patient) {
    nodes { id recordType patient { id } author { id } anchor { txHash } } } }";
const READ: &str = "query Read($patient: UUID) { medicalRecords(patientId: $patient) {
    nodes { id recordType document canonical } } }";

fn nodes(data: &Value) -> &Vec<Value> {
    data["medicalRecords"]["nodes"].as_array().expect("a list")
}

#[tokio::test]
async fn lists_that_wait_together_each_show_what_their_own_caller_may_see() {
    let world = World::start().await;
    let (ana, ben) = (world.patient("ana").await, world.patient("ben").await);
    let (dr_bo, dr_cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let gone = world.logs_in(&ana).await;
    gone.asks("mutation { logOut { endedSessions } }", json!({}))
        .await
        .data();
    let of = async |patient: &Person, kind: &str, document: String| {
        id(&patient.creates(patient, kind, document).await)
    };
    let anas = BTreeSet::from([
        of(&ana, "VITAL_SIGNS", documents::vital_signs()).await,
        of(&ana, "LAB_RESULT", documents::lab_result()).await,
    ]);
    let bens = BTreeSet::from([of(&ben, "VITAL_SIGNS", documents::vital_signs()).await]);
    ana.lets(&dr_bo, &["SEARCH"]).await;
    let nothing = BTreeSet::new();
    let table = [
        (&ana, &ana, Some(&anas)),
        (&ben, &ben, Some(&bens)),
        (&ana, &ben, Some(&nothing)),
        (&dr_bo, &ana, Some(&anas)),
        (&dr_bo, &ben, Some(&nothing)),
        (&dr_cy, &ana, Some(&nothing)),
        (&gone, &ana, None),
    ];
    let searches = "action_type = 'RECORD_SEARCH'";
    let before = world.audit_rows(searches).await.len();

    let rounds = (0..8).flat_map(|_| table);
    let answers = join_all(rounds.map(async |(who, whose, expected)| {
        let answer = who.asks(LIST, json!({ "patient": whose.id })).await;
        (answer, whose, expected)
    }));

    let mut answered = 0;
    for (answer, whose, expected) in answers.await {
        let Some(expected) = expected else {
            answer.fails_with("UNAUTHENTICATED");
            continue;
        };
        answered += 1;
        let nodes = nodes(answer.data());
        let found: BTreeSet<String> = nodes.iter().map(id).collect();
        assert_eq!(found, *expected);
        for node in nodes {
            assert_eq!(node["patient"]["id"], whose.id.as_str());
            assert_eq!(node["author"]["id"], whose.id.as_str());
            assert!(node["anchor"]["txHash"].is_string(), "{node}");
        }
    }
    let after = world.audit_rows(searches).await.len();
    assert_eq!(after - before, answered, "each search is written down");
}

#[tokio::test]
async fn a_page_opens_what_may_be_read_and_shows_the_rest_without_it() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let signs = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let lab = id(&ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await);
    for (activity, category) in [("SEARCH", "ALL_RECORDS"), ("READ", "LAB_RESULT")] {
        ana.grants(json!({
            "purpose": "TREAT", "dataCategories": [category], "processingActivities": [activity],
            "grantees": [{ "user": dr_bo.id }],
        }))
        .await
        .data();
    }

    let answer = dr_bo.asks(READ, json!({ "patient": ana.id })).await;

    let nodes = nodes(answer.partial_data());
    assert_eq!(nodes.iter().map(id).collect::<Vec<_>>(), [&*lab, &*signs]);
    assert!(nodes[0]["document"].is_object() && nodes[0]["canonical"].is_string());
    assert!(nodes[1]["document"].is_null() && nodes[1]["canonical"].is_null());
    let errors = answer.errors();
    assert_eq!(errors.len(), 2, "one for each field that is missing");
    assert!(errors.iter().all(|error| error.code() == "NOT_FOUND"));
    let told = async |record: &str| {
        let rows = world
            .audit_rows(&format!(
                "(resource_id = '{record}' OR '{record}' = ANY (record_ids)) AND user_id = '{}'",
                dr_bo.id
            ))
            .await;
        let row = |row: &Value| {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            (text("action_type"), text("encryption_status"))
        };
        rows.iter().map(row).collect::<BTreeSet<_>>()
    };
    let pair = |action: &str, status: &str| (action.to_owned(), status.to_owned());
    assert_eq!(
        told(&lab).await,
        BTreeSet::from([
            pair("RECORD_SEARCH", "METADATA_ONLY"),
            pair("RECORD_READ", "DECRYPTED_FOR_DISCLOSURE"),
        ])
    );
    assert_eq!(
        told(&signs).await,
        BTreeSet::from([
            pair("RECORD_SEARCH", "METADATA_ONLY"),
            pair("ACCESS_DENIED", "NOT_APPLICABLE"),
        ])
    );
}

/// What the trail says of a list, in the order it was written in.
async fn written_by(world: &World, person: &Person, since: i64) -> Vec<Value> {
    let condition = format!("user_id = '{}' AND id > {since}", person.id);
    let rows = world.audit_rows(&condition).await;
    let told = rows.iter().map(|row| {
        json!({
            "action": row["action_type"], "patient": row["patient_id"], "consent": row["consent_reference"],
            "resource": if row["resource_id"] == row["request_id"] { &Value::Null } else { &row["resource_id"] },
            "records": row["record_ids"], "count": row["new_value"]["count"],
            "form": row["encryption_status"],
        })
    });
    told.collect()
}

async fn newest(world: &World) -> i64 {
    let newest = world.sql("SELECT max(id) AS id FROM audit_logs").await;
    newest[0]["id"].as_i64().expect("a number")
}

#[tokio::test]
async fn a_page_writes_a_row_for_each_patient_and_consent_and_one_for_each_record_it_opens() {
    let world = World::start().await;
    let (ana, ben) = (world.patient("ana").await, world.patient("ben").await);
    let (dr_bo, dr_cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let of = async |patient: &Person, kind: &str, document: String| {
        id(&patient.creates(patient, kind, document).await)
    };
    let signs = of(&ana, "VITAL_SIGNS", documents::vital_signs()).await;
    let bens = of(&ben, "VITAL_SIGNS", documents::vital_signs()).await;
    let lab = of(&ana, "LAB_RESULT", documents::lab_result()).await;
    let more = of(&ana, "VITAL_SIGNS", documents::vital_signs()).await;
    let lets = async |patient: &Person, category: &str, activity: &str| {
        let granted = patient
            .grants(json!({
                "purpose": "TREAT", "dataCategories": [category], "processingActivities": [activity],
                "grantees": [{ "user": dr_bo.id }],
            }))
            .await;
        id(&granted.data()["grantConsent"]["consent"])
    };
    let to_signs = lets(&ana, "VITAL_SIGNS", "SEARCH").await;
    let to_lab = lets(&ana, "LAB_RESULT", "SEARCH").await;
    let to_read_lab = lets(&ana, "LAB_RESULT", "READ").await;
    let to_bens = lets(&ben, "ALL_RECORDS", "SEARCH").await;
    let row = |action: &str, patient: &Person, consent: &str| {
        json!({
            "action": action, "patient": patient.id, "consent": consent, "resource": null, "records": null,
            "count": null, "form": "METADATA_ONLY",
        })
    };
    let found = |patient: &Person, consent: &str, records: &[&String]| {
        let mut row = row("RECORD_SEARCH", patient, consent);
        (row["records"], row["count"]) = (json!(records), json!(records.len()));
        row
    };

    let since = newest(&world).await;
    let answer = dr_bo.asks(LIST, json!({})).await;
    assert_eq!(nodes(answer.data()).len(), 4);
    assert_eq!(
        written_by(&world, &dr_bo, since).await,
        [
            found(&ana, &to_signs, &[&more, &signs]),
            found(&ana, &to_lab, &[&lab]),
            found(&ben, &to_bens, &[&bens]),
        ]
    );

    // What is opened has a row of its own, by the consent that opens it.
    let since = newest(&world).await;
    let labs = "{ medicalRecords(recordType: LAB_RESULT) { nodes { id document } } }";
    let answer = dr_bo.asks(labs, json!({})).await;
    assert_eq!(nodes(answer.data()).len(), 1);
    let mut opened = row("RECORD_READ", &ana, &to_read_lab);
    (opened["resource"], opened["form"]) = (json!(lab), json!("DECRYPTED_FOR_DISCLOSURE"));
    let mut labs = vec![found(&ana, &to_lab, &[&lab]), opened];
    labs.sort_by_key(Value::to_string);
    let mut written = written_by(&world, &dr_bo, since).await;
    written.sort_by_key(Value::to_string);
    assert_eq!(written, labs);

    // Nothing shown: one row, also where nobody was named. One page at a time names no more than that page.
    for (who, patient) in [(&dr_bo, None), (&dr_cy, Some(&ana)), (&dr_cy, None)] {
        let since = newest(&world).await;
        let id = patient.map(|patient| patient.id.clone());
        let none = "query List($patient: UUID) { medicalRecords(patientId: $patient, recordType: IMAGING) {
            nodes { id } totalCount } }";
        let answer = who.asks(none, json!({ "patient": id })).await;
        assert_eq!(answer.data()["medicalRecords"]["totalCount"], 0);
        let mut nothing = row("RECORD_SEARCH", &ana, "");
        (nothing["patient"], nothing["consent"], nothing["count"]) =
            (json!(id), Value::Null, json!(0));
        assert_eq!(written_by(&world, who, since).await, [nothing]);
    }
    let since = newest(&world).await;
    let first = "{ medicalRecords(first: 1) { nodes { id } pageInfo { hasNextPage } } }";
    ana.asks(first, json!({})).await.data();
    let mut own = found(&ana, "", &[&more]);
    own["consent"] = Value::Null;
    assert_eq!(written_by(&world, &ana, since).await, [own]);
}

#[tokio::test]
async fn a_page_withholds_the_one_record_that_was_changed_and_opens_the_others() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut records = Vec::new();
    for _ in 0..3 {
        records.push(id(&ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await));
    }
    world
        .executes(&format!(
            "UPDATE medical_records SET encrypted_data = set_byte(encrypted_data, 60, 255 - get_byte(encrypted_data, 60)) WHERE id = '{}'",
            records[1]
        ))
        .await;

    let answer = ana.asks(READ, json!({ "patient": ana.id })).await;

    let opened: Vec<bool> = nodes(answer.partial_data())
        .iter()
        .map(|node| node["document"].is_object())
        .collect();
    assert_eq!(opened, [true, false, true]);
    let errors = answer.errors();
    assert!(
        errors
            .iter()
            .all(|error| error.code() == "INTEGRITY_VIOLATION")
    );
    let findings = world
        .sql("SELECT record_id::text AS record FROM integrity_findings WHERE resolved_at IS NULL")
        .await;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["record"], records[1].as_str());
}
