//! What people are told: listed, counted, marked as read, followed.

use std::time::Duration;

use dev::client::Subscription;
use serde_json::{Value, json};
use tests::{Person, World, id};

const OPEN: &str = "mutation Open($input: BreakGlassInput!) {
  breakGlass(input: $input) { window { id } }
}";
const LIST: &str = "query N($unreadOnly: Boolean, $first: Int, $after: Cursor) {
  notifications(unreadOnly: $unreadOnly, first: $first, after: $after) {
    nodes { id kind at readAt sentence indonesian: sentence(language: INDONESIAN) windowId who { id } cursor }
    pageInfo { hasNextPage endCursor }
  }
}";
const MARK: &str = "mutation Mark($input: MarkNotificationsReadInput!) {
  markNotificationsRead(input: $input) { marked unread }
}";
const FOLLOW: &str = "subscription Follow($after: Cursor) {
  notifications(after: $after) { id kind cursor windowId sentence }
}";
const SOON: Duration = Duration::from_secs(60);

async fn opens(doctor: &Person, patient: &Person, purpose: &str) -> String {
    let input = json!({
        "patientId": patient.id, "purpose": purpose, "reason": "found unconscious, allergies unknown",
    });
    let answer = doctor.asks(OPEN, json!({ "input": input })).await;
    id(&answer.data()["breakGlass"]["window"])
}

async fn list(person: &Person, variables: Value) -> Value {
    person.asks(LIST, variables).await.data()["notifications"].clone()
}

async fn unread(person: &Person) -> Value {
    let answer = person.asks("{ unreadNotifications }", json!({})).await;
    answer.data()["unreadNotifications"].clone()
}

async fn next(stream: &mut Subscription) -> Value {
    let answer = stream.next_within(SOON).await;
    let answer = answer.unwrap_or_else(|error| panic!("nothing is told: {error}"));
    let mut data = answer.data().unwrap_or_else(|error| panic!("{error}"));
    data["notifications"].take()
}

#[tokio::test]
async fn people_read_what_they_were_told_and_mark_it_and_nobody_elses() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let bo = world.doctor("bo").await;
    assert_eq!(unread(&ana).await, 0);
    let (first, second) = (
        opens(&bo, &ana, "BTG").await,
        opens(&bo, &ana, "ETREAT").await,
    );

    assert_eq!(unread(&ana).await, 2);
    let found = list(&ana, json!({ "first": 1 })).await;
    let newest = &found["nodes"][0];
    assert_eq!(newest["kind"], "BREAK_GLASS_OPENED");
    assert_eq!(newest["windowId"], second.as_str());
    assert_eq!(newest["who"]["id"], bo.id.as_str());
    assert_eq!(newest["readAt"], Value::Null);
    assert_eq!(
        newest["sentence"],
        "dr.bo (doctor) opened emergency access to your records without your consent; administrators review it."
    );
    assert_eq!(
        newest["indonesian"],
        "dr.bo (dokter) membuka akses darurat ke rekam medis Anda tanpa persetujuan Anda; administrator meninjaunya."
    );
    assert_eq!(found["pageInfo"]["hasNextPage"], true);
    let after = json!({ "first": 1, "after": found["pageInfo"]["endCursor"] });
    let rest = list(&ana, after).await;
    assert_eq!(rest["nodes"][0]["windowId"], first.as_str());
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
    for other in [&eve, &bo] {
        assert_eq!(list(other, json!({})).await["nodes"], json!([]));
        assert_eq!(unread(other).await, 0);
    }

    let hers = newest["id"].clone();
    let mark =
        async |who: &Person, ids: Value| who.asks(MARK, json!({ "input": { "ids": ids } })).await;
    // Somebody else's and one there is not are alike, and then nothing is marked.
    let nobodys = "01a20aa4-0000-7000-8000-00000000c0de";
    mark(&eve, json!([hers])).await.fails_with("NOT_FOUND");
    mark(&ana, json!([hers, nobodys]))
        .await
        .fails_with("NOT_FOUND");
    assert_eq!(unread(&ana).await, 2);
    let many: Vec<String> = (0..101)
        .map(|nth| format!("01a20aa4-0000-7000-8000-{nth:012}"))
        .collect();
    let refused = mark(&ana, json!(many)).await;
    assert_eq!(
        refused.fails_with("BAD_USER_INPUT").extensions["field"],
        "ids"
    );
    let marked = mark(&ana, json!([hers, hers])).await;
    assert_eq!(
        marked.data()["markNotificationsRead"],
        json!({ "marked": 1, "unread": 1 })
    );
    let again = mark(&ana, json!([hers])).await;
    assert_eq!(
        again.data()["markNotificationsRead"],
        json!({ "marked": 0, "unread": 1 })
    );
    let left = list(&ana, json!({ "unreadOnly": true })).await;
    assert_eq!(left["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(left["nodes"][0]["windowId"], first.as_str());
    let all = mark(&ana, Value::Null).await;
    assert_eq!(
        all.data()["markNotificationsRead"],
        json!({ "marked": 1, "unread": 0 })
    );
    assert_ne!(
        list(&ana, json!({})).await["nodes"][0]["readAt"],
        Value::Null
    );

    // Each look has its row.
    let rows = world
        .audit_rows(&format!(
            "action_type = 'NOTIFICATION_READ' AND user_id = '{}'",
            ana.id
        ))
        .await;
    let said: Vec<Value> = rows.iter().map(|row| row["new_value"].clone()).collect();
    let listed = json!({ "list": "notifications" });
    assert_eq!(
        said,
        [
            json!({ "unread": 0 }),
            json!({ "unread": 2 }),
            listed.clone(),
            listed.clone(),
            json!({ "unread": 2 }),
            json!({ "marked": 1 }),
            json!({ "marked": 0 }),
            listed.clone(),
            json!({ "marked": 1 }),
            listed,
        ]
    );
}

#[tokio::test]
async fn what_happens_is_told_at_once_in_order_and_again_after_a_cursor() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (bo, cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let second = world.second_api().await;
    let mut here = ana.follows(FOLLOW, Value::Null).await;
    let mut there = ana.at(&second).follows(FOLLOW, Value::Null).await;
    let mut of_eve = eve.follows(FOLLOW, Value::Null).await;

    let windows = [
        opens(&bo, &ana, "BTG").await,
        opens(&cy, &ana, "BTG").await,
        opens(&bo, &ana, "ETREAT").await,
    ];
    let hers = opens(&bo, &eve, "BTG").await;

    let mut cursors = Vec::new();
    for window in &windows {
        let told = next(&mut here).await;
        assert_eq!(told["windowId"], window.as_str());
        assert_eq!(told["kind"], "BREAK_GLASS_OPENED");
        assert_eq!(next(&mut there).await["windowId"], window.as_str());
        cursors.push(told["cursor"].clone());
    }
    assert_eq!(next(&mut of_eve).await["windowId"], hers.as_str());
    // Whoever comes back goes on where they were, or begins with the first.
    let mut resumed = ana.follows(FOLLOW, cursors[0].clone()).await;
    for window in &windows[1..] {
        assert_eq!(next(&mut resumed).await["windowId"], window.as_str());
    }
    let mut earliest = ana.follows(FOLLOW, json!("earliest")).await;
    for window in &windows {
        assert_eq!(next(&mut earliest).await["windowId"], window.as_str());
    }
    // The cursor of a list, somebody else's and nonsense are none of this stream.
    let listed = list(&ana, json!({})).await["pageInfo"]["endCursor"].clone();
    for (who, cursor) in [
        (&ana, listed),
        (&eve, cursors[0].clone()),
        (&ana, json!("nonsense")),
    ] {
        let stream = who
            .client
            .subscribe(FOLLOW, &json!({ "after": cursor }))
            .await;
        let mut stream = stream.unwrap_or_else(|error| panic!("{error}"));
        let refused = stream.next_within(SOON).await;
        let refused =
            refused.map_or_else(|error| error.to_string(), |answer| format!("{answer:?}"));
        assert!(refused.contains("BAD_USER_INPUT"), "{refused}");
    }
    // Nobody is told anything.
    let refused = world.nobody().client.subscribe(FOLLOW, &json!({})).await;
    let refused = refused.map(|_| ()).expect_err("nobody is told anything");
    assert!(refused.to_string().contains("4401"), "{refused}");
}

#[tokio::test]
async fn what_is_written_before_a_process_first_looks_is_told_however_much_it_is() {
    const MANY: usize = 700;
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let window = opens(&bo, &ana, "BTG").await;
    // The other log cannot be read: the process looks late at this one.
    world.is_broken_on_purpose();
    let mut owner = world.connects_as("meditrustal_migrator").await;
    sqlx::raw_sql("BEGIN; LOCK TABLE integrity_feed IN ACCESS EXCLUSIVE MODE")
        .execute(&mut owner)
        .await
        .expect("nobody else has it");
    let api = world.another_api("late", &[]).await;
    let ana = ana.at(&api);
    let mut stream = ana.follows(FOLLOW, Value::Null).await;

    world
        .executes(&format!(
            "INSERT INTO notifications (id, user_id, kind, actor_id, resource_id, at)
             SELECT gen_random_uuid(), '{}', 'BREAK_GLASS_JUSTIFIED', '{}', '{window}', now()
             FROM generate_series(1, {MANY})",
            ana.id, bo.id
        ))
        .await;

    for _ in 0..MANY {
        assert_eq!(next(&mut stream).await["kind"], "BREAK_GLASS_JUSTIFIED");
    }
}
