//! Accesses to somebody's data, told to them while they happen.

use std::collections::BTreeSet;
use std::time::Duration;

use dev::client::Subscription;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _};
use tests::{Person, World, documents, eventually, id, text};

const FOLLOW: &str = "subscription Follow($after: Cursor) {
  accessEvents(after: $after) { id action allowed recordId sentence who { username } }
}";
const SOON: Duration = Duration::from_secs(60);

/// The next entry, and its cursor.
async fn next(stream: &mut Subscription) -> (Value, Value) {
    let answer = stream.next_within(SOON).await;
    let answer = answer.unwrap_or_else(|error| panic!("nothing is told: {error}"));
    let cursor = answer.extensions["cursor"].clone();
    assert!(cursor.is_string(), "{answer:?}");
    let mut data = answer.data().unwrap_or_else(|error| panic!("{error}"));
    (data["accessEvents"].take(), cursor)
}

/// The numbers of the next entries.
async fn numbers(stream: &mut Subscription, many: usize) -> BTreeSet<String> {
    let mut numbers = BTreeSet::new();
    for _ in 0..many {
        let (entry, _) = next(stream).await;
        let number = text(&entry["id"]);
        assert!(numbers.insert(number.clone()), "{number} is told twice");
    }
    numbers
}

/// The rows about somebody that have a place after this one, by their places.
async fn rows_after(world: &World, person: &Person, place: i64) -> Vec<String> {
    let rows = world
        .sql(&format!(
            "SELECT log.id FROM audit_logs AS log JOIN audit_leaves AS leaf ON leaf.audit_id = log.id
             WHERE log.patient_id = '{}' AND leaf.position > {place} ORDER BY leaf.position",
            person.id
        ))
        .await;
    rows.iter().map(|row| row["id"].to_string()).collect()
}

/// Waits until each row has its place; gives the last one.
async fn ordered(world: &World) -> i64 {
    eventually("every row has its place", async || {
        let left = world
            .sql(
                "SELECT log.id FROM audit_logs AS log
                 LEFT JOIN audit_leaves AS leaf ON leaf.audit_id = log.id
                 WHERE leaf.audit_id IS NULL",
            )
            .await;
        left.is_empty().then_some(())
    })
    .await;
    let last = world
        .sql("SELECT max(position) AS last FROM audit_leaves")
        .await;
    last[0]["last"].as_i64().expect("there are some")
}

#[tokio::test]
async fn accesses_are_told_as_they_are_written_over_all_processes_and_again_after_a_cursor() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let bo = world.doctor("bo").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    bo.reads(&record).await.fails_with("NOT_FOUND");
    // What the indexer confirms is written down besides, whenever it comes.
    eventually("the record is confirmed", async || {
        let rows = world.audit_rows("action_type = 'RECORD_ANCHOR'").await;
        (rows.len() == 1).then_some(())
    })
    .await;
    let began = ordered(&world).await;
    let second = world.second_api().await;
    let mut here = ana.follows(FOLLOW, Value::Null).await;
    let mut there = ana.at(&second).follows(FOLLOW, json!("latest")).await;
    let mut of_eve = eve.follows(FOLLOW, Value::Null).await;

    ana.lets(&bo, &["READ"]).await;
    bo.reads(&record).await.data();
    eve.creates(&eve, "VITAL_SIGNS", documents::vital_signs())
        .await;

    let (mut live, mut cursors) = (Vec::new(), Vec::new());
    loop {
        let (entry, cursor) = next(&mut here).await;
        let (same, _) = next(&mut there).await;
        assert_eq!(entry, same, "all processes tell the same in one order");
        live.push(text(&entry["id"]));
        cursors.push(cursor);
        if entry["action"] == "RECORD_READ" {
            assert_eq!(entry["who"]["username"], "dr.bo");
            assert_eq!(entry["allowed"], true);
            assert_eq!(entry["recordId"], record.as_str());
            assert!(text(&entry["sentence"]).contains("dr.bo"), "{entry}");
            break;
        }
    }
    assert!(live.len() > 1, "the consent is told, too: {live:?}");
    let written = rows_after(&world, &ana, began).await;
    assert_eq!(live[..], written[..live.len()], "by their places");
    let (hers, cursor_of_eve) = next(&mut of_eve).await;
    assert_eq!(hers["action"], "RECORD_CREATE");
    assert_eq!(hers["who"]["username"], "eve");

    // Whoever comes back goes on where they were, or begins with the first.
    ordered(&world).await;
    let written: BTreeSet<String> = rows_after(&world, &ana, began).await.into_iter().collect();
    let mut resumed = ana.follows(FOLLOW, cursors[0].clone()).await;
    let mut rest = written.clone();
    rest.remove(&live[0]);
    assert_eq!(numbers(&mut resumed, rest.len()).await, rest);
    let all: BTreeSet<String> = rows_after(&world, &ana, -1).await.into_iter().collect();
    assert!(all.len() > written.len());
    let mut earliest = ana.follows(FOLLOW, json!("earliest")).await;
    assert_eq!(numbers(&mut earliest, all.len()).await, all);
    let mut begun_anew = ana.follows(FOLLOW, json!("earliest")).await;
    let (first, cursor) = next(&mut begun_anew).await;
    let mut rest = all.clone();
    rest.remove(&text(&first["id"]));
    let mut from_history = ana.at(&second).follows(FOLLOW, cursor).await;
    assert_eq!(numbers(&mut from_history, rest.len()).await, rest);
    // From there on as it is written.
    bo.reads(&record).await.data();
    for stream in [&mut here, &mut resumed, &mut earliest, &mut from_history] {
        let (entry, _) = next(stream).await;
        assert_eq!(entry["action"], "RECORD_READ", "{entry}");
    }

    // Somebody else's cursor and nonsense are none of this stream.
    for (who, cursor) in [
        (&ana, cursor_of_eve),
        (&eve, cursors[0].clone()),
        (&ana, json!("nonsense")),
    ] {
        let variables = json!({ "after": cursor });
        let stream = who.client.subscribe(FOLLOW, &variables).await;
        let mut stream = stream.unwrap_or_else(|error| panic!("{error}"));
        let refused = stream.next_within(SOON).await;
        let refused =
            refused.map_or_else(|error| error.to_string(), |answer| format!("{answer:?}"));
        assert!(refused.contains("BAD_USER_INPUT"), "{refused}");
    }
    let refused = world.nobody().client.subscribe(FOLLOW, &json!({})).await;
    let refused = refused.map(|_| ()).expect_err("nobody is told anything");
    assert!(refused.to_string().contains("4401"), "{refused}");
}

#[tokio::test]
async fn what_is_committed_late_is_told_whatever_its_number_and_nothing_after_the_log_in() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    eventually("the record is confirmed", async || {
        let rows = world.audit_rows("action_type = 'RECORD_ANCHOR'").await;
        (rows.len() == 1).then_some(())
    })
    .await;
    ordered(&world).await;
    let mut stream = ana.follows(FOLLOW, Value::Null).await;

    // The first transaction writes last: its row has the higher number and the earlier place.
    let mut late = world.connects_as("meditrustal_api").await;
    let begun = sqlx::raw_sql("BEGIN; SELECT pg_current_xact_id()");
    begun.execute(&mut late).await.expect("it begins");
    bo.reads(&record).await.fails_with("NOT_FOUND");
    let system = "'00000000-0000-7000-8000-000000000003'";
    let write = format!(
        "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, ip_address, request_id, purpose,
             retention_period, data_classification, encryption_status, patient_id)
         SELECT {system}, 'USER_READ', 'USER', {system}, '::1', {system}, 'HSYSADMIN', interval '1 day',
             'INTERNAL', 'NOT_APPLICABLE', '{}' FROM generate_series(1, 80);
         COMMIT",
        ana.id
    );
    let written = sqlx::raw_sql(AssertSqlSafe(write));
    written.execute(&mut late).await.expect("it is written");
    late.close().await.expect("it closes");

    // More than are read together, in their order.
    let (mut told, mut cursors) = (Vec::new(), Vec::new());
    for nth in 0..81 {
        let (entry, cursor) = next(&mut stream).await;
        let action = if nth < 80 {
            "USER_READ"
        } else {
            "ACCESS_DENIED"
        };
        assert_eq!(entry["action"], action, "{nth}");
        told.push(text(&entry["id"]).parse::<i64>().expect("a number"));
        cursors.push(cursor);
    }
    assert!(told[..80].is_sorted() && told[80] < told[0], "{told:?}");
    for after in [0, 40, 79] {
        let mut resumed = ana.follows(FOLLOW, cursors[after].clone()).await;
        let rest = told[after + 1..].iter().map(ToString::to_string);
        let rest: BTreeSet<String> = rest.collect();
        assert_eq!(numbers(&mut resumed, 80 - after).await, rest, "{after}");
    }

    let log_out = "mutation { logOut { endedSessions } }";
    ana.asks(log_out, json!({})).await.data();
    bo.reads(&record).await.fails_with("NOT_FOUND");
    let over = stream.next_within(SOON).await;
    let over = over.map_or_else(|error| error.to_string(), |answer| format!("{answer:?}"));
    assert!(over.contains("4401"), "{over}");
}
