//! What was acknowledged is kept, whatever dies: the api, the chain's node, the database.

use std::collections::BTreeSet;

use dev::process::Signal;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::{PATIENCE, Person, Program, World, Writers, documents, eventually, id, text};

use crate::indexer::events_equal_the_chain;

const CREATE: &str = "mutation Create($input: CreateMedicalRecordInput!) {
  createMedicalRecord(input: $input) { record { id } }
}";

fn input(patient: &Person) -> Value {
    let document: Value = serde_json::from_str(&documents::vital_signs()).expect("JSON");
    json!({ "input": { "patientId": patient.id, "recordType": "VITAL_SIGNS", "document": document } })
}

/// Every record has one anchor, the nonces have no gap, and all of it comes to the chain.
async fn all_is_anchored(world: &World) -> Vec<String> {
    eventually("every anchor is confirmed", async || {
        let open = "SELECT 1 FROM record_anchors WHERE state NOT IN ('CONFIRMED', 'FINALIZED')";
        world.sql(open).await.is_empty().then_some(())
    })
    .await;
    let records = world
        .sql(
            "SELECT r.id, count(a.*) AS anchors FROM medical_records r
             LEFT JOIN record_anchors a ON a.record_id = r.id GROUP BY r.id",
        )
        .await;
    assert!(records.iter().all(|row| row["anchors"] == 1), "{records:?}");
    let nonces = world
        .sql("SELECT nonce FROM anchor_outbox ORDER BY nonce")
        .await;
    let nonces: Vec<_> = nonces
        .iter()
        .filter_map(|row| row["nonce"].as_u64())
        .collect();
    let first = nonces[0];
    let gapless: Vec<_> = (first..).take(records.len()).collect();
    assert_eq!(nonces, gapless, "each nonce once");
    let sequences = world
        .sql("SELECT DISTINCT sequence FROM record_anchors")
        .await;
    assert_eq!(sequences.len(), records.len(), "each on the chain once");
    records.iter().map(id).collect()
}

/// Answers every record that is stored, where those that were acknowledged are among them.
pub(crate) async fn none_is_lost(
    world: &World,
    acknowledged: &BTreeSet<String>,
) -> BTreeSet<String> {
    let stored: BTreeSet<_> = all_is_anchored(world).await.into_iter().collect();
    assert!(
        acknowledged.is_subset(&stored),
        "{:?} are lost",
        acknowledged.difference(&stored)
    );
    stored
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_of_the_api() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let writers = Writers::of(&ana, 6);

    for round in 1..=3 {
        writers.reach(round * 12).await;
        world.api.kill().await;
        world.api.restart().await;
    }
    writers.reach(48).await;
    let acknowledged = writers.end().await;

    let stored = none_is_lost(&world, &acknowledged).await;
    for record in &stored {
        let opened = ana.reads(record).await;
        assert_eq!(
            opened.data()["medicalRecord"]["document"]["id"],
            record.as_str()
        );
        let verified = ana.verifies(record).await;
        assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
    }
    let creates = world.audit_rows("action_type = 'RECORD_CREATE'").await;
    assert_eq!(creates.len(), stored.len(), "each written down once");
}

#[tokio::test]
async fn records_are_stored_while_the_node_is_away_and_anchored_when_it_is_back() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let before = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    world.wait_for_anchor(&before, "CONFIRMED").await;
    world.foundation.node.as_ref().expect("ours").stop().await;

    let mut records = Vec::new();
    for _ in 0..5 {
        let record = ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        assert_eq!(record["anchor"]["state"], "PENDING");
        records.push(id(&record));
    }

    assert_eq!(
        world.api.health("/health/serving").await,
        Some(200),
        "it can do its work"
    );
    for record in &records {
        ana.reads(record).await.data();
        // Nothing can be said of the chain, so nothing is said.
        ana.verifies(record).await.fails_with("UNAVAILABLE");
    }
    let node = world.foundation.node.as_mut().expect("ours");
    node.restart().await.expect("the node is back");
    for record in &records {
        world.wait_for_anchor(record, "CONFIRMED").await;
        let verified = ana.verifies(record).await;
        assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
    }
    all_is_anchored(&world).await;
}

#[tokio::test]
async fn two_apis_on_one_database_share_a_signer_without_a_gap() {
    let world = World::start().await;
    let second = world.second_api().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (ana_there, eve_there) = (ana.at(&second), eve.at(&second));
    let create = async |person: &Person| {
        let answer = person.asks(CREATE, input(person)).await;
        id(&answer.data()["createMedicalRecord"]["record"])
    };

    let people = [&ana, &ana_there, &eve, &eve_there];
    let created = join_all((0..40).map(|nth| create(people[nth % people.len()]))).await;

    let stored: BTreeSet<_> = all_is_anchored(&world).await.into_iter().collect();
    assert_eq!(stored, created.into_iter().collect());
    assert_eq!(stored.len(), 40);
    // What one of them stored, the other one opens.
    let hers = ana
        .asks("{ medicalRecords(first: 50) { nodes { id } } }", json!({}))
        .await;
    for node in hers.data()["medicalRecords"]["nodes"]
        .as_array()
        .expect("a list")
    {
        ana_there.reads(&text(&node["id"])).await.data();
    }
    // One key for each patient, whoever was first.
    assert_eq!(
        world.sql("SELECT patient_id FROM patient_keys").await.len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_restarts_of_the_database_under_load() {
    let mut world = World::with_its_own_postgres().await;
    let ana = world.patient("ana").await;
    let writers = Writers::of(&ana, 6);

    for round in 1..=3 {
        writers.reach(round * 12).await;
        let cluster = world.foundation.database.cluster_mut().expect("ours");
        if round == 2 {
            // Without a word to anybody, and what it had in memory is gone.
            cluster.server().stop(&[(Signal::QUIT, PATIENCE)]);
        }
        tokio::task::block_in_place(|| cluster.restart()).expect("the database is back");
    }
    // It serves again, and stores.
    let so_far = writers.count();
    writers.reach(so_far + 12).await;
    let acknowledged = writers.end().await;

    none_is_lost(&world, &acknowledged).await;
    for record in &acknowledged {
        let verified = ana.verifies(record).await;
        assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
    }
}

/// Waits until a program says with this status whether it is ready.
async fn says_of_itself(program: &Program, status: u16) {
    eventually(&format!("it answers {status}"), async || {
        (program.health("/health/ready").await == Some(status)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_after_the_database_stood_still_under_load() {
    let world = World::with_its_own_postgres_and(|options| options.slots_in_an_epoch = 32).await;
    let ana = world.patient("ana").await;
    let writers = Writers::of(&ana, 6);
    let cluster = world.foundation.database.cluster().expect("ours");

    // Until the api notices, and until the indexer does, which takes longer.
    for noticing in [&world.api, &world.indexer] {
        writers.reach(writers.count() + 12).await;
        cluster.pause();
        says_of_itself(noticing, 503).await;
        for program in [&world.api, &world.indexer] {
            assert_eq!(program.health("/health/live").await, Some(200));
        }
        cluster.resume();
        for program in [&world.api, &world.indexer] {
            says_of_itself(program, 200).await;
        }
    }
    writers.reach(writers.count() + 12).await;
    let acknowledged = writers.end().await;

    let stored = none_is_lost(&world, &acknowledged).await;
    events_equal_the_chain(&world).await;
    let creates = world.audit_rows("action_type = 'RECORD_CREATE'").await;
    assert_eq!(creates.len(), stored.len(), "each written down once");
    for record in &acknowledged {
        let verified = ana.verifies(record).await;
        assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
    }
    let found = "SELECT kind, details FROM integrity_findings";
    assert_eq!(world.sql(found).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_outlive_their_database() {
    let mut world = World::with_its_own_postgres().await;
    let ana = world.patient("ana").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    world.wait_for_anchor(&record, "CONFIRMED").await;
    world.foundation.database.cluster().expect("ours").stop();

    let refused = ana.reads(&record).await;
    assert!(
        ["UNAVAILABLE", "BUSY", "TIMEOUT"].contains(&refused.code().unwrap_or("none")),
        "{refused:?}"
    );
    eventually("the api is not ready", async || {
        (world.api.health("/health/ready").await == Some(503)).then_some(())
    })
    .await;
    assert_eq!(world.api.health("/health/live").await, Some(200));

    let cluster = world.foundation.database.cluster_mut().expect("ours");
    tokio::task::block_in_place(|| cluster.restart()).expect("the database is back");
    eventually("the api is ready again", async || {
        (world.api.health("/health/ready").await == Some(200)).then_some(())
    })
    .await;
    eventually("the record is shown again", async || {
        ana.reads(&record).await.code().is_none().then_some(())
    })
    .await;
    let after = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    world.wait_for_anchor(&after, "CONFIRMED").await;
    let mut told = ana.watches(json!({ "recordId": after })).await;
    world.mine(3).await;
    told.until("ANCHOR_FINALIZED").await;
    assert!(!world.api.log().contains("panicked"), "{}", world.api.log());
}

#[tokio::test]
async fn an_api_on_an_old_backup_does_not_start_and_says_why() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let create = async |world: &World| {
        let record = ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    };
    create(&world).await;
    let database = &world.foundation.database;
    let name = database.name().to_owned();
    let server = database.superuser_url().replace(&name, "postgres");
    let mut server = PgConnection::connect(&server).await.expect("a superuser");
    let mut maintains = async |statement: String| {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.clone()));
        let done = done.execute(&mut server).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    };

    world.api.kill().await;
    world.indexer.kill().await;
    // Nobody may look while it is copied, not even this test.
    maintains(format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    ))
    .await;
    maintains(format!("CREATE DATABASE {name}_backup TEMPLATE {name}")).await;
    world.api.restart().await;
    world.indexer.restart().await;
    create(&world).await;
    create(&world).await;
    world.api.kill().await;
    world.indexer.kill().await;
    maintains(format!("DROP DATABASE {name} WITH (FORCE)")).await;
    maintains(format!("ALTER DATABASE {name}_backup RENAME TO {name}")).await;
    let environment = world.foundation.options().api.clone();
    let started = world.foundation.api("restored", 0, &environment).await;

    let said = started.expect_err("it must not serve").to_string();
    let why = "the chain knows 2 transaction(s) of 0x";
    assert!(said.contains(why), "{said}");
    assert!(
        said.contains("the database was restored from an old backup"),
        "{said}"
    );
}
