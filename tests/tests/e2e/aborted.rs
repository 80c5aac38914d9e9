//! Requests whose client leaves before they are answered leave nothing behind.

use dev::process::Signal;
use futures::future::{join, join_all};
use serde_json::json;
use tests::aborts::Aborts;
use tests::{Person, World, documents, eventually, id, patiently};

/// How many clients leave.
const CLIENTS: u64 = 2000;
/// How many requests of one account run at a time.
const AT_ONCE: usize = 20;
/// Five that are always open, and two that listen.
const FEWEST: u64 = 5;
/// Thirty in the pool, two that listen, and the one that health is tried on.
const MOST: u64 = 33;

/// How many of the api's connections are in this state.
async fn connections(world: &World, condition: &str) -> u64 {
    let query = format!(
        "SELECT count(*) AS count FROM pg_stat_activity
         WHERE datname = current_database() AND usename = 'meditrustal_api' AND {condition}"
    );
    world.sql(&query).await[0]["count"]
        .as_u64()
        .expect("a number")
}

async fn come_to_rest(world: &World) {
    eventually("nothing is under way any more", async || {
        (connections(world, "state <> 'idle'").await == 0).then_some(())
    })
    .await;
}

/// Whether a withdrawal binds what is asked after it was answered, and the trail says so.
async fn binds_at_once(ana: &Person, dr_bo: &Person, record: &str) {
    let consent = ana
        .lets(dr_bo, &["READ", "SEARCH", "EXPORT", "CREATE"])
        .await;
    patiently(|| dr_bo.reads(record)).await.data();
    ana.withdraws(&consent).await;
    let reads = (0..AT_ONCE).map(|_| patiently(|| dr_bo.reads(record)));
    for answer in join_all(reads).await {
        answer.fails_with("NOT_FOUND");
    }
}

/// As many requests as one account has under way, several times: each is answered.
async fn asks_as_often_as_it_may(person: &Person) {
    for _ in 0..4 {
        let requests = (0..AT_ONCE).map(|_| patiently(|| person.asks("{ me { id } }", json!({}))));
        for answer in join_all(requests).await {
            answer.data();
        }
    }
}

#[tokio::test]
async fn clients_that_leave_leave_no_transaction_open() {
    let world = World::alone().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = id(&ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await);
    let consent = ana
        .lets(&dr_bo, &["READ", "SEARCH", "EXPORT", "CREATE"])
        .await;

    let aborts = Aborts::of(&world.api, &dr_bo, &ana, &record);
    aborts.run(CLIENTS).await;
    come_to_rest(&world).await;

    // The pool gives out no connection that is in a transaction: each of them is tried, and more.
    ana.withdraws(&consent).await;
    let joe = world.patient("joe").await;
    join_all([&ana, &dr_bo, &joe].map(asks_as_often_as_it_may)).await;
    for _ in 0..10 {
        binds_at_once(&ana, &dr_bo, &record).await;
    }
    come_to_rest(&world).await;
    let size = connections(&world, "TRUE").await;
    assert!((FEWEST..=MOST).contains(&size), "{size} connections");
    assert_eq!(world.api.health("/health/ready").await, Some(200));

    let log = world.api.log();
    for sign in [
        "25P02",
        "25001",
        "25P01",
        "refused a statement",
        "panicked",
        "INTERNAL",
    ] {
        assert!(!log.contains(sign), "{sign}: {log}");
    }
    let late = "SELECT count(*) AS count FROM audit_logs AS row
                JOIN data_processing_consents AS consent ON consent.id = row.consent_reference
                WHERE row.action_type IN ('RECORD_READ', 'RECORD_SEARCH', 'RECORD_EXPORT', 'RECORD_CREATE')
                  AND row.created_at >= consent.consent_withdrawn_at";
    assert_eq!(world.sql(late).await[0]["count"], 0);
}

/// Waits until a grant that waits for its patient is in its transaction.
async fn waits_for_its_lock(world: &World) {
    eventually("it waits for the patient", async || {
        let waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        (!world.sql(waiting).await.is_empty()).then_some(())
    })
    .await;
}

/// One consent, and one row of the trail that says so.
async fn is_granted_once(world: &World) {
    eventually("it is finished", async || {
        let granted = world.audit_rows("action_type = 'CONSENT_GRANT'").await;
        (granted.len() == 1).then_some(())
    })
    .await;
    let consents = world.sql("SELECT 1 FROM data_processing_consents").await;
    assert_eq!(consents.len(), 1);
}

#[tokio::test]
async fn what_has_begun_when_a_requests_time_is_over_is_finished() {
    let short = ("MEDITRUSTAL_REQUEST_TIMEOUT".to_owned(), "1".to_owned());
    let world = World::with(|options| options.api.extend([short])).await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let holder = world.holds(&ana).await;

    ana.grants(bo.terms()).await.fails_with("TIMEOUT");

    drop(holder);
    is_granted_once(&world).await;
    come_to_rest(&world).await;
}

#[tokio::test]
async fn what_has_begun_when_the_process_is_told_to_end_is_finished() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let second = world.second_api().await;
    let holder = world.holds(&ana).await;

    let (there, terms) = (ana.at(&second), bo.terms());
    let granting = there.grants(terms);
    let ending = async {
        waits_for_its_lock(&world).await;
        second.signal(Signal::TERM);
        drop(holder);
        second.ends().await
    };
    let (granted, ended) = join(granting, ending).await;

    granted.data();
    assert!(ended.success(), "{ended}");
    is_granted_once(&world).await;
}
