//! A database that is hard to reach: too few connections, a line that is slow, a line that is silent. Waits are bounded, callers
//! are told to come again, and all is well as soon as the line is.

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use serde_json::json;
use sqlx::Connection;
use tests::{Answer, Carriage, Line, Person, Program, World, documents, eventually, id};

const GRANT: &str = "mutation Grant($input: GrantConsentInput!) {
  grantConsent(input: $input) { consent { id } }
}";
/// What whoever cannot be served now is told.
const LATER: [&str; 3] = ["BUSY", "TIMEOUT", "UNAVAILABLE"];
/// What a request may take longer than it is allowed to, on a busy machine.
const SLACK: Duration = Duration::from_secs(8);
/// The connections of an api's pool: those that listen are its own, outside the pool.
const POOL: &str = "SELECT 1 FROM pg_stat_activity
    WHERE usename = 'meditrustal_api' AND datname = current_database() AND application_name = 'meditrustal api'
      AND query NOT LIKE 'LISTEN %' AND query NOT LIKE '%notice_channel%'";

/// A world whose second api reaches the database over a line, and gives a request two seconds.
async fn over_a_line(world: &World) -> (Line, Program) {
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.unwrap_or_else(|error| panic!("{error}"));
    let line = Line::before(&url).await;
    let over = line.over(&url);
    let environment = [
        ("DATABASE_URL", over.as_str()),
        ("MEDITRUSTAL_REQUEST_TIMEOUT", "2"),
    ];
    let api = world.another_api("over-a-line", &environment).await;
    (line, api)
}

/// Each of them stores a record: the answers, and how long the last of them took.
async fn store(people: &[Person]) -> (Vec<Answer>, Duration) {
    let began = Instant::now();
    let stored = people.iter().map(|person| {
        let document = documents::vital_signs();
        person.stores(person, "VITAL_SIGNS", document, json!({}))
    });
    (join_all(stored).await, began.elapsed())
}

/// The records of those that were stored; every other one is to come again.
fn acknowledged(answers: &[Answer]) -> Vec<String> {
    let stored = answers.iter().filter_map(|answer| match answer.code() {
        None => Some(id(&answer.data()["createMedicalRecord"]["record"])),
        Some(code) => {
            assert!(LATER.contains(&code), "{code}");
            None
        }
    });
    stored.collect()
}

/// The records that were stored, at last: on a busy machine two seconds may be too few for all of them.
async fn some_are_stored(people: &[Person]) -> Vec<String> {
    eventually("records are stored", async || {
        let (answers, _) = store(people).await;
        let stored = acknowledged(&answers);
        (!stored.is_empty()).then_some(stored)
    })
    .await
}

/// Waits until a record is stored, and says that every one of these is there, with its anchor.
async fn is_well_again(world: &World, person: &Person, records: &[String]) {
    eventually("a record is stored again", async || {
        let (answers, _) = store(std::slice::from_ref(person)).await;
        (!acknowledged(&answers).is_empty()).then_some(())
    })
    .await;
    for record in records {
        person.reads(record).await.data();
        world.wait_for_anchor(record, "CONFIRMED").await;
    }
    // All of a record or nothing: also of what was not acknowledged.
    let half = "SELECT r.id FROM medical_records r
        WHERE NOT EXISTS (SELECT FROM record_anchors a WHERE a.record_id = r.id)
           OR NOT EXISTS (SELECT FROM audit_logs l WHERE l.resource_id = r.id AND l.action_type = 'RECORD_CREATE')";
    assert!(world.sql(half).await.is_empty());
}

#[tokio::test]
async fn a_slow_line_makes_requests_slow_and_a_slower_one_ends_them_in_time() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (line, api) = over_a_line(&world).await;
    let people = [0; 8].map(|_| ana.at(&api));

    line.becomes(Carriage::Slow(Duration::from_millis(5)));
    let mut records = some_are_stored(&people).await;
    // One round trip takes longer than the request may.
    line.becomes(Carriage::Slow(Duration::from_millis(1500)));
    let (answers, took) = store(&people).await;
    records.extend(acknowledged(&answers));
    assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
    assert!(records.len() < 2 * people.len(), "it was not slow");
    line.becomes(Carriage::Open);

    is_well_again(&world, &people[0], &records).await;
}

#[tokio::test]
async fn a_silent_line_keeps_nobody_waiting_and_is_got_over() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (line, api) = over_a_line(&world).await;
    let people = [0; 8].map(|_| ana.at(&api));
    let records = some_are_stored(&people).await;

    line.becomes(Carriage::Silent);
    for _ in 0..2 {
        let (answers, took) = store(&people).await;
        assert_eq!(acknowledged(&answers), Vec::<String>::new());
        assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
    }
    eventually("the api is not ready", async || {
        (api.health("/health/ready").await == Some(503)).then_some(())
    })
    .await;
    assert_eq!(api.health("/health/live").await, Some(200));
    line.becomes(Carriage::Open);

    eventually("the api is ready again", async || {
        (api.health("/health/ready").await == Some(200)).then_some(())
    })
    .await;
    is_well_again(&world, &people[0], &records).await;
}

#[tokio::test]
async fn a_pool_has_thirty_connections_at_most_says_busy_and_keeps_twenty() {
    let world = World::start().await;
    let bo = world.doctor("bo").await;
    let terms = json!({ "input": bo.terms() });
    // One account has twenty requests under way at most, so that it takes no pool by itself.
    let people = [
        world.patient("ana").await,
        world.patient("eve").await,
        world.patient("ida").await,
    ];
    // Each request waits for the lock of its patient, on a connection of its own.
    let held = join_all(people.iter().map(|person| world.holds(person))).await;

    // Twice as many as there are connections.
    let began = Instant::now();
    let all = (0..20).flat_map(|_| &people);
    let asked = join_all(all.map(|person| person.asks(GRANT, terms.clone())));
    let full = eventually("every connection is taken", async || {
        let open = world.sql(POOL).await.len();
        (open >= 30).then_some(open)
    });
    let (answers, open) = join(asked, full).await;
    let took = began.elapsed();
    for holder in held {
        holder.close().await.expect("the person is free again");
    }

    assert_eq!(open, 30);
    let codes = answers.iter().map(|answer| answer.code().unwrap_or("well"));
    let codes: Vec<_> = codes.collect();
    // Who got a connection after five seconds of ten may have no time left for the lock.
    assert!(
        codes.iter().all(|code| ["BUSY", "TIMEOUT"].contains(code)),
        "{codes:?}"
    );
    let busy = codes.iter().filter(|code| **code == "BUSY").count();
    assert!(busy >= 30, "{codes:?}");
    assert!(took < Duration::from_secs(10) + SLACK, "{took:?}");
    // They are closed as they are given back, once they are no longer young.
    let left = eventually("those of the burst are closed", async || {
        let asked = (0..4).map(|_| people[0].asks("{ me { id } }", json!({})));
        for answer in join_all(asked).await {
            answer.data();
        }
        let open = world.sql(POOL).await.len();
        (open <= 20).then_some(open)
    })
    .await;
    assert!(left >= 15, "{left} of 20 are left");
}
