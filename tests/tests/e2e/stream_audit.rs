//! What the audit trail says of those whom streams tell of other people's records.

use std::time::Duration;

use dev::client::{ClientError, Subscription};
use serde_json::{Value, json};
use tests::{Events, Person, World, documents, id, text};

const UPDATES: &str =
    "subscription Follow($after: Cursor) { recordUpdated(after: $after) { recordId } }";
const LOG: &str = "query Log($grouped: Boolean!) { myAccessLog(first: 50, grouped: $grouped) {
  nodes { action sentence times recordId consentId } } }";
const SOON: Duration = Duration::from_secs(60);

/// The record of an event that has this number.
fn numbered(number: u32) -> String {
    format!("00000000-0000-7000-8000-{number:012}")
}

/// An event of a patient's record, which need not be there.
async fn happens(world: &World, patient: &Person, record: &str) {
    let statement = format!(
        "INSERT INTO integrity_feed (kind, patient_id, record_id, record_type)
         VALUES ('ANCHOR_PENDING', '{}', '{record}', 'VITAL_SIGNS');
         NOTIFY integrity_feed",
        patient.id
    );
    world.executes(&statement).await;
}

/// Waits until this stream tells of the record.
async fn tells(events: &mut Events, record: &str) {
    while events.next().await["recordId"] != record {}
}

/// The same of updates.
async fn updates(stream: &mut Subscription, record: &str) {
    loop {
        let answer = stream.next_within(SOON).await;
        let answer = answer.unwrap_or_else(|error| panic!("nothing is told: {error}"));
        let data = answer.data().unwrap_or_else(|error| panic!("{error}"));
        if data["recordUpdated"]["recordId"] == record {
            return;
        }
    }
}

/// The rows that say of what this person's streams told.
async fn rows_of(world: &World, person: &Person) -> Vec<Value> {
    let rows = format!(
        "user_id = '{}' AND new_value ->> 'stream' IS NOT NULL",
        person.id
    );
    world.audit_rows(&rows).await
}

/// What the rows of one of them say.
async fn written(world: &World, person: &Person, stream: &str) -> Vec<Value> {
    let rows = rows_of(world, person).await.into_iter();
    let rows = rows.filter(|row| row["new_value"]["stream"] == stream);
    let said = rows.map(|row| {
        assert_eq!(row["resource_id"], row["request_id"], "{row}");
        assert_eq!(row["new_value"], json!({ "stream": stream }));
        json!([
            row["action_type"],
            row["resource_type"],
            row["purpose"],
            row["data_classification"],
            row["encryption_status"],
            row["patient_id"],
            row["consent_reference"],
            row["record_ids"],
            row["is_cross_border"],
            row["destination_country"],
        ])
    });
    said.collect()
}

/// What a row says of a patient's record that was told of by a consent.
fn row(patient: &Person, consent: &str, record: &str, country: Option<&str>) -> Value {
    json!([
        "RECORD_SEARCH",
        "MEDICAL_RECORD",
        "TREAT",
        "MEDICAL",
        "METADATA_ONLY",
        patient.id,
        consent,
        [record],
        country.is_some(),
        country,
    ])
}

/// What a patient reads of searches, newest first.
async fn searches(patient: &Person, grouped: bool) -> Vec<Value> {
    let answer = patient.asks(LOG, json!({ "grouped": grouped })).await;
    let nodes = answer.data()["myAccessLog"]["nodes"].as_array().cloned();
    let nodes = nodes.expect("a list").into_iter();
    nodes
        .filter(|node| node["action"] == "RECORD_SEARCH")
        .collect()
}

#[tokio::test]
async fn whom_a_doctors_streams_tell_of_is_written_down_by_patient_and_consent_and_where_it_goes() {
    const LIST: &str = "looked through a list with one of your records";
    let world = World::start().await;
    let (ana, ben) = (world.patient("ana").await, world.patient("ben").await);
    let (cara, bo) = (world.patient("cara").await, world.doctor("bo").await);
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    let record = id(&record.await);
    world.wait_for_anchor(&record, "CONFIRMED").await;
    let clinic = world.organization("Harbour Clinic", "SG").await;
    world.joins(&bo, &clinic).await;
    let consent = ana.lets(&bo, &["SEARCH"]).await;
    let abroad = ["SEARCH", "TRANSFER"];
    let abroad = ben.lets_members(&clinic, "SG", &abroad).await;
    let admin = world.first_admin().await;
    let mut of_admin = admin.watches(json!({})).await;
    let mut of_ana = ana.watches(json!({})).await;
    let mut events = bo.watches(json!({})).await;
    let mut changes = bo.follows(UPDATES, Value::Null).await;
    let (his, hers, other) = (numbered(1), numbered(2), numbered(3));

    // Once for all that is told of it within a minute.
    for _ in 0..2 {
        happens(&world, &ana, &record).await;
        tells(&mut events, &record).await;
        updates(&mut changes, &record).await;
    }
    happens(&world, &ben, &his).await;
    tells(&mut events, &his).await;
    updates(&mut changes, &his).await;
    // Of one of them they are told nothing.
    happens(&world, &cara, &hers).await;
    happens(&world, &ana, &other).await;
    tells(&mut events, &other).await;
    updates(&mut changes, &other).await;
    ana.withdraws(&consent).await;
    let again = ana.lets(&bo, &["SEARCH"]).await;
    happens(&world, &ana, &record).await;
    tells(&mut events, &record).await;
    updates(&mut changes, &record).await;

    for stream in ["integrityEvents", "recordUpdated"] {
        let expected = [
            row(&ana, &consent, &record, None),
            row(&ben, &abroad, &his, Some("SG")),
            row(&ana, &consent, &other, None),
            row(&ana, &again, &record, None),
        ];
        assert_eq!(written(&world, &bo, stream).await, expected, "{stream}");
    }
    // What is one's own, and what an administrator is told, follows from the row of the beginning.
    tells(&mut of_admin, &hers).await;
    tells(&mut of_ana, &other).await;
    for person in [admin, &ana] {
        assert_eq!(rows_of(&world, person).await, Vec::<Value>::new());
    }

    // The patient reads it, and what the doctor looks for besides.
    let list = "{ medicalRecords { nodes { id } } }";
    bo.asks(list, json!({})).await.data();
    let told = searches(&ana, false).await;
    let named = told.iter().map(|it| (&it["recordId"], &it["consentId"]));
    let named: Vec<(&Value, &Value)> = named.collect();
    let (record, other) = (json!(record), json!(other));
    let (consent, again) = (json!(consent), json!(again));
    let (now, before) = ((&record, &again), (&record, &consent));
    let mut expected = vec![now; 3];
    expected.extend([(&other, &consent); 2]);
    expected.extend([before; 2]);
    assert_eq!(named, expected);
    let by_consent = |what: &str| format!("dr.bo (doctor) {what}, for treatment, by your consent.");
    let followed = by_consent("followed changes of a record of yours");
    assert_eq!(text(&told[0]["sentence"]), by_consent(LIST));
    for entry in &told[1..] {
        assert_eq!(text(&entry["sentence"]), followed);
    }
    let grouped = searches(&ana, true).await;
    let grouped: Vec<_> = grouped.iter().map(|it| text(&it["sentence"])).collect();
    let one = "dr.bo (doctor) followed changes of a record of yours, for treatment, by your consent, 2 times.";
    let two = "dr.bo (doctor) followed changes of 2 records of yours, for treatment, by your consent, 4 times.";
    assert_eq!(grouped, [by_consent(LIST).as_str(), one, two]);
}

#[tokio::test]
async fn a_doctors_stream_tells_nothing_that_cannot_be_written_down() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&bo, &["SEARCH"]).await;
    let mut of_ana = ana.watches(json!({})).await;
    let mut of_bo = bo.watches(json!({})).await;
    let (first, second) = (numbered(1), numbered(2));
    happens(&world, &ana, &first).await;
    let event = of_bo.next().await;
    assert_eq!(event["recordId"], first.as_str());

    world.is_broken_on_purpose();
    world
        .executes(
            "CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 RAISE EXCEPTION 'no row today';
             END;
             $$;
             CREATE TRIGGER no_audit BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION no_audit()",
        )
        .await;
    happens(&world, &ana, &second).await;

    let told = of_bo.try_next().await;
    assert!(matches!(told, Err(ClientError::Refused(_))), "{told:?}");
    // What is one's own needs no row.
    tells(&mut of_ana, &second).await;
    let named = async || {
        let rows = rows_of(&world, &bo).await.into_iter();
        rows.map(|row| row["record_ids"].clone())
            .collect::<Vec<Value>>()
    };
    assert_eq!(named().await, [json!([first])]);

    world.executes("DROP TRIGGER no_audit ON audit_logs").await;
    let after = json!({ "after": event["cursor"] });
    let mut of_bo = bo.watches(after).await;
    assert_eq!(of_bo.next().await["recordId"], second.as_str());
    assert_eq!(named().await, [json!([first]), json!([second])]);
}
