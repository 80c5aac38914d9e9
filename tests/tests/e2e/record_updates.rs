//! What becomes of records, followed: through all versions, by who may see them, and with the records that are named.

use std::collections::BTreeSet;
use std::time::Duration;

use dev::client::Subscription;
use serde_json::{Value, json};
use tests::{EventStream, Person, World, documents, id, text};

use crate::stream_roles::is_given;

const SOON: Duration = Duration::from_secs(60);
const SHOWN: &str =
    "cursor change at recordId state record { id version isWithdrawn anchor { state } }";

/// Follows the record that this is a version of.
fn following(record: &str) -> String {
    format!(
        "subscription Follow($after: Cursor) {{
             recordUpdated(recordId: \"{record}\", after: $after) {{ {SHOWN} }} }}"
    )
}

fn following_all() -> String {
    format!("subscription Follow($after: Cursor) {{ recordUpdated(after: $after) {{ {SHOWN} }} }}")
}

async fn next(stream: &mut Subscription) -> Value {
    let answer = stream.next_within(SOON).await;
    let answer = answer.unwrap_or_else(|error| panic!("nothing is told: {error}"));
    let cursor = answer.extensions["cursor"].clone();
    let mut data = answer.data().unwrap_or_else(|error| panic!("{error}"));
    let update = data["recordUpdated"].take();
    assert_eq!(update["cursor"], cursor, "{update}");
    update
}

/// All that is told up to this change, with it.
async fn until(stream: &mut Subscription, change: &str) -> Vec<Value> {
    let mut told = Vec::new();
    loop {
        let update = next(stream).await;
        let is_last = update["change"] == change;
        told.push(update);
        if is_last {
            return told;
        }
    }
}

async fn measured(patient: &Person) -> Value {
    patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await
}

async fn amended(person: &Person, record: &Value) -> Value {
    let answer = person
        .amends(record, documents::vital_signs(), json!({}))
        .await;
    answer.data()["amendMedicalRecord"]["record"].clone()
}

/// What is told of changes, without what depends on when it is read.
fn facts(told: &[Value]) -> Vec<[String; 3]> {
    let fact = |update: &Value| ["cursor", "change", "recordId"].map(|it| text(&update[it]));
    told.iter().map(fact).collect()
}

#[tokio::test]
async fn a_record_is_followed_through_its_versions_over_all_processes_and_again_after_a_cursor() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&bo, &["READ", "SEARCH"]).await;
    let first = measured(&ana).await;
    let second_api = world.second_api().await;
    let query = following(&id(&first));
    let mut here = ana.follows(&query, Value::Null).await;
    let mut there = bo.at(&second_api).follows(&query, json!("latest")).await;

    let other = measured(&ana).await;
    let second = amended(&ana, &first).await;
    let withdrawn = ana.retracts(&second, json!({})).await;
    let third = withdrawn.data()["withdrawMedicalRecord"]["record"].clone();

    let of_ana = until(&mut here, "WITHDRAWN").await;
    let of_bo = until(&mut there, "WITHDRAWN").await;
    for told in [&of_ana, &of_bo] {
        let ids: BTreeSet<String> = told.iter().map(|it| text(&it["recordId"])).collect();
        assert!(!ids.contains(&id(&other)), "another record: {told:#?}");
        let new = |change: &str| {
            let mut found = told.iter().filter(|it| it["change"] == change);
            let update = found.next().expect("it is told").clone();
            assert!(found.next().is_none(), "{change} is told once: {told:#?}");
            update
        };
        let amendment = new("AMENDED");
        assert_eq!(amendment["recordId"], second["id"]);
        assert_eq!(amendment["record"]["id"], second["id"]);
        assert_eq!(amendment["record"]["version"], 2);
        let end = new("WITHDRAWN");
        assert_eq!(end["recordId"], third["id"]);
        assert_eq!(end["record"]["isWithdrawn"], true);
    }
    // What is shown is how it is then, and not as it was when the record was first shown.
    loop {
        let update = next(&mut here).await;
        if update["recordId"] == third["id"] && update["state"] == "CONFIRMED" {
            let anchor = &update["record"]["anchor"]["state"];
            assert!(anchor == "CONFIRMED" || anchor == "FINALIZED", "{update}");
            break;
        }
    }

    // From the beginning, by any of its versions, and on any process.
    let whole = following(&id(&third));
    let mut whole = ana.at(&second_api).follows(&whole, json!("earliest")).await;
    let whole = until(&mut whole, "WITHDRAWN").await;
    assert_eq!(whole[0]["change"], "CREATED");
    assert_eq!(whole[0]["recordId"], first["id"]);
    let place = whole
        .iter()
        .position(|it| it["change"] == "AMENDED")
        .expect("it is told");
    let mut resumed = ana.follows(&query, whole[place]["cursor"].clone()).await;
    let resumed = until(&mut resumed, "WITHDRAWN").await;
    assert_eq!(facts(&resumed), facts(&whole[place + 1..]));
}

#[tokio::test]
async fn only_who_may_see_a_record_is_told_and_only_who_may_read_it_is_shown_it() {
    let world = World::start().await;
    let (ana, cara) = (world.patient("ana").await, world.patient("cara").await);
    let (bo, citra) = (world.doctor("bo").await, world.doctor("citra").await);
    let consent = ana.lets(&bo, &["READ", "SEARCH"]).await;
    cara.lets(&bo, &["READ", "SEARCH"]).await;
    ana.lets(&citra, &["SEARCH"]).await;
    let mut of_bo = bo.follows(&following_all(), Value::Null).await;
    let mut of_citra = citra.follows(&following_all(), Value::Null).await;
    let mut of_cara = cara.follows(&following_all(), Value::Null).await;

    let first = measured(&ana).await;
    let told = until(&mut of_bo, "CREATED").await;
    let created = told.last().expect("there is one");
    assert_eq!(created["record"]["id"], first["id"]);
    let told = until(&mut of_citra, "CREATED").await;
    let created = told.last().expect("there is one");
    assert_eq!(created["recordId"], first["id"]);
    assert_eq!(created["record"], Value::Null, "she may search alone");
    let denied = format!(
        "user_id = '{}' AND action_type = 'ACCESS_DENIED' AND resource_id = '{}'",
        citra.id,
        id(&first)
    );
    assert!(!world.audit_rows(&denied).await.is_empty());
    let read = format!(
        "user_id = '{}' AND action_type = 'RECORD_READ' AND resource_id = '{}'",
        bo.id,
        id(&first)
    );
    assert!(!world.audit_rows(&read).await.is_empty());

    // What was withdrawn binds the next update.
    ana.withdraws(&consent).await;
    let second = amended(&ana, &first).await;
    let hers = measured(&cara).await;
    loop {
        let update = next(&mut of_bo).await;
        assert_ne!(update["recordId"], second["id"], "{update}");
        if update["recordId"] == hers["id"] {
            break;
        }
    }
    // Whose records they are not is told of their own alone.
    assert_eq!(next(&mut of_cara).await["recordId"], hers["id"]);
}

#[tokio::test]
async fn a_record_of_somebody_else_is_followed_as_one_that_does_not_exist() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let record = measured(&ana).await;
    let mut streams = Vec::new();
    for asked in [
        id(&record),
        "00000000-0000-4000-8000-000000000000".to_owned(),
    ] {
        let query = following(&asked);
        streams.push(eve.follows(&query, json!("earliest")).await);
    }
    let mut own = ana.follows(&following(&id(&record)), Value::Null).await;

    amended(&ana, &record).await;
    until(&mut own, "AMENDED").await;

    for stream in &mut streams {
        let told = stream.next_within(Duration::from_secs(1)).await;
        assert!(told.is_err(), "{told:?}");
    }
    let begun = format!(
        "user_id = '{}' AND new_value ->> 'subscription' = 'recordUpdated'",
        eve.id
    );
    let begun = world.audit_rows(&begun).await;
    assert_eq!(begun.len(), 2);
    for row in &begun {
        assert_eq!(
            row["new_value"]["patient"],
            Value::Null,
            "whose it is: {row}"
        );
    }
    // A cursor of another list is none of this log.
    let wrong = r#"subscription { recordUpdated(after: "nonsense") { change } }"#;
    let mut refused = EventStream::open(&eve, &world.api, wrong).await;
    assert_eq!(refused.ends_with().await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn an_event_stream_of_updates_goes_on_after_the_last_event() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let first = measured(&ana).await;
    let query = format!(
        "subscription {{ recordUpdated(recordId: \"{}\", after: \"earliest\") {{ change recordId }} }}",
        id(&first)
    );
    let mut stream = EventStream::open(&ana, &world.api, &query).await;
    let (_, told) = stream.next().await.expect("an event");
    let created = &told["data"]["recordUpdated"];
    assert_eq!(created["change"], "CREATED", "{told}");
    let cursor = stream.last_id.clone().expect("it has an id");
    drop(stream);

    let second = amended(&ana, &first).await;
    let headers = [("last-event-id", cursor.as_str())];
    let body = json!({ "query": query });
    let mut resumed = EventStream::open_with(&ana, &world.api, &headers, body).await;
    let amendment = loop {
        let (_, told) = resumed.next().await.expect("an event");
        let update = told["data"]["recordUpdated"].clone();
        assert_ne!(update["change"], "CREATED", "{told}");
        if update["change"] == "AMENDED" {
            break update;
        }
    };
    assert_eq!(amendment["recordId"], second["id"]);
}

#[tokio::test]
async fn an_integrity_event_shows_its_record_to_who_may_read_it() {
    const FOLLOW: &str = "subscription Follow($after: Cursor) {
        integrityEvents(after: $after) { kind recordId record { id } } }";
    let world = World::start().await;
    let (ana, kim) = (world.patient("ana").await, world.admin("kim").await);
    let record = measured(&ana).await;

    for (person, shown) in [(&ana, record["id"].clone()), (&kim, Value::Null)] {
        let mut stream = person.follows(FOLLOW, json!("earliest")).await;
        let answer = stream.next_within(SOON).await.expect("an event");
        let data = answer.data().unwrap_or_else(|error| panic!("{error}"));
        let event = &data["integrityEvents"];
        assert_eq!(event["recordId"], record["id"], "{}", person.username);
        let found = event["record"].get("id").cloned().unwrap_or_default();
        assert_eq!(found, shown, "{}", person.username);
    }
    // An administrator sees no record, and who follows all events has tried to read none.
    let denied = format!("user_id = '{}' AND action_type = 'ACCESS_DENIED'", kim.id);
    assert_eq!(world.audit_rows(&denied).await, Vec::<Value>::new());
    kim.reads(&id(&record)).await.fails_with("NOT_FOUND");
    assert_eq!(world.audit_rows(&denied).await.len(), 1);
}

/// Six refusals would use up this budget, and nothing more could be asked for.
#[tokio::test]
async fn an_administrator_pays_no_refusal_for_each_event() {
    const FOLLOW: &str = "subscription Follow($after: Cursor) {
        integrityEvents(after: $after) { recordId record { id } } }";
    let little = ("MEDITRUSTAL_COST_A_MINUTE".to_owned(), "8000".to_owned());
    let world = World::with(|options| options.api.push(little)).await;
    let (ana, kim) = (world.patient("ana").await, world.admin("kim").await);
    let first = measured(&ana).await;
    let second = measured(&ana).await;
    for record in [&first, &second] {
        world.wait_for_anchor(&id(record), "CONFIRMED").await;
    }

    let mut stream = kim.follows(FOLLOW, json!("earliest")).await;
    for _ in 0..6 {
        let answer = stream.next_within(SOON).await.expect("an event");
        let data = answer.data().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(data["integrityEvents"]["record"], Value::Null);
    }
    let answer = kim.asks("{ me { id } }", json!({})).await;
    assert_eq!(answer.data()["me"]["id"], kim.id.as_str());
}

#[tokio::test]
async fn an_administrator_sees_of_holds_and_of_the_trail_what_is_their_own() {
    const HOLD: &str =
        "mutation($input: PlaceHoldInput!) { placeHold(input: $input) { hold { id } } }";
    const HELD: &str =
        "query($first: Int, $after: Cursor, $last: Int, $before: Cursor) { legalHolds { nodes {
        recordIds records(first: $first, after: $after, last: $last, before: $before) {
            nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }";
    const TRAIL: &str =
        "query($id: UUID!) { auditLogs(userId: $id, actionType: RECORD_READ) { nodes {
        consentReference consent { id } } } }";
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let kim = world.admin("kim").await;
    let mut records = Vec::new();
    for _ in 0..3 {
        records.push(id(&measured(&ana).await));
    }
    records.sort_unstable();
    let consent = ana.lets(&bo, &["READ"]).await;
    bo.reads(&records[0]).await.data();
    let input = json!({
        "patientId": ana.id, "recordIds": records, "reason": "a court asked for these",
    });
    kim.asks(HOLD, json!({ "input": input })).await.data();
    let held = async |who: &Person, way: Value| {
        let answer = who.asks(HELD, way).await;
        let hold = answer.data()["legalHolds"]["nodes"][0].clone();
        assert_eq!(hold["recordIds"], json!(records));
        let nodes = hold["records"]["nodes"].as_array().expect("nodes");
        let ids: Vec<String> = nodes.iter().map(id).collect();
        (ids, hold["records"]["pageInfo"].clone())
    };
    let permitted = async |who: &Person| {
        let answer = who.asks(TRAIL, json!({ "id": bo.id })).await;
        let row = answer.data()["auditLogs"]["nodes"][0].clone();
        assert_eq!(row["consentReference"], consent.as_str());
        row["consent"].clone()
    };

    let (shown, first) = held(&kim, json!({ "first": 2 })).await;
    assert_eq!((shown, &first["hasNextPage"]), (vec![], &json!(true)));
    let rest = json!({ "first": 2, "after": first["endCursor"] });
    let (shown, rest) = held(&kim, rest).await;
    assert_eq!((shown, &rest["hasNextPage"]), (vec![], &json!(false)));
    assert_eq!(permitted(&kim).await, Value::Null);
    // What everybody's rows name is not written down as an attempt to read it.
    let tried = format!(
        "user_id = '{}' AND action_type IN ('ACCESS_DENIED', 'RECORD_READ', 'CONSENT_READ')",
        kim.id
    );
    assert_eq!(world.audit_rows(&tried).await, Vec::<Value>::new());

    is_given(&ana, "ADMIN", [&kim, world.first_admin().await]).await;
    let (shown, _) = held(&ana, json!({})).await;
    assert_eq!(shown, records);
    let (shown, last) = held(&ana, json!({ "last": 2 })).await;
    assert_eq!(
        (shown.as_slice(), &last["hasPreviousPage"]),
        (&records[1..], &json!(true))
    );
    let first = json!({ "last": 2, "before": last["startCursor"] });
    let (shown, first) = held(&ana, first).await;
    assert_eq!(
        (shown.as_slice(), &first["hasPreviousPage"]),
        (&records[..1], &json!(false))
    );
    assert_eq!(permitted(&ana).await, json!({ "id": consent }));
    let read = format!("user_id = '{}' AND action_type = 'CONSENT_READ'", ana.id);
    assert_eq!(world.audit_rows(&read).await.len(), 1);
    let read = format!("user_id = '{}' AND action_type = 'RECORD_READ'", ana.id);
    assert_eq!(world.audit_rows(&read).await.len(), 6);
}

#[tokio::test]
async fn the_access_log_shows_what_it_names_and_accesses_as_they_happen_do_not() {
    const LOG: &str = "{ myAccessLog(first: 100) { nodes {
        recordId record { id version } consentId consent { id } } } }";
    const FOLLOW: &str = "subscription Follow($after: Cursor) {
        accessEvents(after: $after) { action recordId record { id } consentId consent { id } } }";
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = measured(&ana).await;
    let consent = ana.lets(&bo, &["READ"]).await;
    let mut stream = ana.follows(FOLLOW, Value::Null).await;
    bo.reads(&id(&record)).await.data();
    bo.reads(&id(&record)).await.data();

    let before = world.sql("SELECT max(id) AS last FROM audit_logs").await;
    let before = before[0]["last"].clone();
    let answer = ana.asks(LOG, json!({})).await;
    let entries = answer.data()["myAccessLog"]["nodes"].clone();
    let entries = entries.as_array().expect("a list");
    for entry in entries {
        let named = |it: &str| entry[it].get("id").cloned().unwrap_or_default();
        assert_eq!(named("record"), entry["recordId"], "{entry}");
        assert_eq!(named("consent"), entry["consentId"], "{entry}");
    }
    let by_consent = entries
        .iter()
        .filter(|it| it["consentId"] == consent.as_str());
    assert!(by_consent.count() >= 2, "{entries:#?}");
    // One record and one consent, however often they are named.
    let rows = format!("user_id = '{}' AND id > {before}", ana.id);
    let rows = world.audit_rows(&rows).await;
    let mut actions: Vec<String> = rows.iter().map(|row| text(&row["action_type"])).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["AUDIT_READ", "CONSENT_READ", "RECORD_READ"]);

    let told = loop {
        let answer = stream.next_within(SOON).await;
        let answer = answer.unwrap_or_else(|error| panic!("nothing is told: {error}"));
        let data = answer.data().unwrap_or_else(|error| panic!("{error}"));
        let event = data["accessEvents"].clone();
        if event["action"] == "RECORD_READ" && event["consentId"] == consent.as_str() {
            break event;
        }
    };
    assert_eq!(told["recordId"], record["id"]);
    assert_eq!(
        (&told["record"], &told["consent"]),
        (&Value::Null, &Value::Null)
    );
}
