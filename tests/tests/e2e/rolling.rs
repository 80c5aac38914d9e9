//! Programs are replaced one by one, and the schema is moved, while people work: no request fails.

use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection};
use tests::commands::migrate;
use tests::rolling::{Balancer, RollingLoad, Seen, migrates_to_the_next_version};
use tests::{World, documents, eventually, id, text};

/// Nothing failed, and everything that was confirmed is there.
async fn all_is_well(world: &World, seen: &Seen) {
    assert_eq!(seen.failed, Vec::<String>::new());
    let kept = world.sql("SELECT id FROM medical_records").await;
    let kept: BTreeSet<String> = kept.iter().map(id).collect();
    let lost: Vec<_> = seen
        .stored
        .iter()
        .filter(|it| !kept.contains(*it))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apis_are_started_again_one_by_one_under_load_and_no_request_fails() {
    let mut world = World::with(|options| {
        // Longer than a busy machine may take to ask once more whether it is ready.
        let drain = ("MEDITRUSTAL_DRAIN".to_owned(), "4".to_owned());
        options.api.push(drain);
    })
    .await;
    let mut second = world.second_api().await;
    let ana = world.patient("ana").await;
    let people = [ana.clone(), ana.at(&second)];
    let (balancer, probe) = Balancer::before([&world.api, &second]);
    let load = RollingLoad::of(&people, &balancer);
    load.goes_on(&[0, 1]).await;

    for _ in 0..2 {
        assert!(world.api.stop().await.success());
        load.goes_on(&[1]).await;
        world.api.restart().await;
        load.goes_on(&[0, 1]).await;
        assert!(second.stop().await.success());
        load.goes_on(&[0]).await;
        second.restart().await;
        load.goes_on(&[0, 1]).await;
    }

    let seen = load.ends().await;
    probe.abort();
    all_is_well(&world, &seen).await;
}

#[tokio::test]
async fn an_api_that_was_told_to_stop_says_so_first_and_ends_each_connection_with_an_answer() {
    let world = World::with(|options| {
        let drain = ("MEDITRUSTAL_DRAIN".to_owned(), "300".to_owned());
        options.api.push(drain);
    })
    .await;
    let live = format!("{}/health/live", world.api.url());
    let closes = async || {
        let answer = dev::http::get(&live).await.expect("it is answered");
        let header = answer.headers().get("connection");
        header.map(|it| it.to_str().expect("a text").to_owned())
    };
    assert_eq!(closes().await, None);
    assert_eq!(world.api.health("/health/serving").await, Some(200));

    world.api.signal(dev::process::Signal::TERM);

    eventually("it is not ready", async || {
        (world.api.health("/health/ready").await == Some(503)).then_some(())
    })
    .await;
    let told = world.api.says("/health/serving").await;
    assert_eq!(
        told["failing"]["process"],
        "told to stop: send no more requests"
    );
    assert_eq!(closes().await.as_deref(), Some("close"));
    // It serves as before.
    let ana = world.patient("ana").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    // Told once more, it does not wait.
    assert!(world.api.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_versions_migration_runs_while_this_version_serves_and_starts_again() {
    let mut world = World::with(|options| {
        // Longer than a busy machine may take to ask once more whether it is ready.
        let drain = ("MEDITRUSTAL_DRAIN".to_owned(), "4".to_owned());
        options.api.push(drain);
    })
    .await;
    let second = world.second_api().await;
    let ana = world.patient("ana").await;
    let people = [ana.clone(), ana.at(&second)];
    let (balancer, probe) = Balancer::before([&world.api, &second]);
    let load = RollingLoad::of(&people, &balancer);
    load.goes_on(&[0, 1]).await;

    migrates_to_the_next_version(&world).await;
    load.goes_on(&[0, 1]).await;
    // The program of this version starts on the schema of the next one: what was begun can be taken back.
    assert!(world.api.stop().await.success());
    world.api.restart().await;
    load.goes_on(&[0, 1]).await;

    let seen = load.ends().await;
    probe.abort();
    all_is_well(&world, &seen).await;
    let there = "SELECT to_regclass('next_version_only')::text AS name";
    assert_eq!(
        text(&world.sql(there).await[0]["name"]),
        "next_version_only"
    );
}

#[tokio::test]
async fn a_migration_that_does_not_get_its_lock_lets_others_go_on_and_is_tried_again() {
    let world = World::start().await;
    world.api.kill().await;
    world.indexer.kill().await;
    // Down to before the one that makes an index of the chain's events.
    let later = "SELECT count(*) AS steps FROM _sqlx_migrations WHERE version >= 20261201020000";
    let steps = world.sql(later).await[0]["steps"].to_string();
    let down = ["down", "--steps", &steps, "--no-backup", "--yes-lose-data"];
    migrate(&world, &down).await;
    let mut writer = PgConnection::connect(&world.foundation.database.superuser_url())
        .await
        .expect("it connects");
    sqlx::raw_sql("BEGIN; LOCK TABLE chain_events IN ROW EXCLUSIVE MODE")
        .execute(&mut writer)
        .await
        .expect("it writes");

    let up = migrate(&world, &["up", "--no-backup"]);
    eventually("it waits for the writer", async || {
        let waits =
            "SELECT 1 FROM pg_locks WHERE relation = 'chain_events'::regclass AND NOT granted";
        (!world.sql(waits).await.is_empty()).then_some(())
    })
    .await;
    // Whoever writes meanwhile comes behind it in the queue, and gets through.
    world
        .executes("BEGIN; SET LOCAL lock_timeout = '4s'; LOCK TABLE chain_events IN ROW EXCLUSIVE MODE; COMMIT")
        .await;
    eventually("it waits again", async || {
        let waits =
            "SELECT 1 FROM pg_locks WHERE relation = 'chain_events'::regclass AND NOT granted";
        (!world.sql(waits).await.is_empty()).then_some(())
    })
    .await;
    writer.close().await.expect("it ends");

    let said = up.await;
    assert_eq!(said.trim(), format!("{steps} migration(s) applied"));
}
