//! The primary is killed while people write, and its standby takes its place: nothing that was acknowledged is lost.

use std::time::{Duration, Instant};

use dev::process::Signal;
use sqlx::{Connection, PgConnection};
use tests::{Line, PATIENCE, Standby, World, Writers, eventually};

/// How long after the promotion something is stored again at the latest.
const BAR: Duration = Duration::from_secs(5);
/// What a standby has to have like its primary, as the template of a world sets it.
const ALIKE: [(&str, &str); 2] = [("max_connections", "200"), ("shared_buffers", "64MB")];

/// Waits until the primary says this of how the standby follows.
async fn follows(world: &World, how: &str) {
    let query = format!(
        "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '{how}'"
    );
    eventually("the standby follows", async || {
        (!world.sql(&query).await.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_over_from_a_killed_primary_has_all_that_was_acknowledged() {
    // The machine is its own, because it is said how long nothing is stored.
    let world = World::alone_with_its_own_postgres().await;
    let ana = world.patient("ana").await;
    let standby = tokio::task::block_in_place(|| Standby::of(&world, &ALIKE));
    follows(&world, "async").await;
    // From here on a commit waits for the standby.
    world
        .executes("ALTER SYSTEM SET synchronous_standby_names = '*'")
        .await;
    world.sql("SELECT pg_reload_conf() AS done").await;
    follows(&world, "sync").await;
    let url = |role: &str| {
        let url = world.foundation.url_of(role);
        url.unwrap_or_else(|error| panic!("{error}"))
    };
    let line = Line::before(&url("meditrustal_api")).await;
    let over = |role: &str| line.over(&url(role));
    world.api.kill().await;
    world.indexer.kill().await;
    let api = [("DATABASE_URL", over("meditrustal_api"))];
    let api = api.each_ref().map(|(name, value)| (*name, value.as_str()));
    let api = world.another_api("over-a-line", &api).await;
    let indexer = [("DATABASE_URL", over("meditrustal_indexer"))];
    let indexer = indexer
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let _indexer = world.another_indexer("indexer-over-a-line", &indexer).await;
    let ana = ana.at(&api);
    let writers = Writers::of(&ana, 6);
    writers.reach(24).await;

    let primary = world.foundation.database.cluster().expect("ours").server();
    primary.signal(Signal::KILL);
    let ended = tokio::task::block_in_place(|| primary.wait(PATIENCE));
    assert!(ended.is_some(), "the primary is gone");
    let superuser = world.foundation.database.superuser_url();
    let superuser = PgConnection::connect(&standby.url(&superuser)).await;
    let mut superuser = superuser.expect("the standby answers");
    let promoted: bool = sqlx::query_scalar("SELECT pg_promote(TRUE, 60)")
        .fetch_one(&mut superuser)
        .await
        .expect("it answers");
    assert!(promoted, "it is the primary now");
    let before = writers.count();
    let began = Instant::now();
    line.leads_to(&standby.url(&url("meditrustal_api")));
    writers.reach(before + 1).await;
    let took = began.elapsed();
    writers.reach(before + 24).await;
    let acknowledged = writers.end().await;

    assert!(took < BAR, "nothing was stored for {took:?}");
    for record in &acknowledged {
        eventually("it is there, as it was, and on the chain", async || {
            let answer = ana.verifies(record).await;
            // Not found would not become better.
            assert_ne!(answer.code(), Some("NOT_FOUND"), "{record} is lost");
            let verdict = answer
                .code()
                .is_none()
                .then(|| answer.data()["verifyRecord"]["verdict"].clone())?;
            (verdict == "VERIFIED").then_some(())
        })
        .await;
        let read = ana.reads(record).await;
        let document = &read.data()["medicalRecord"]["document"];
        assert_eq!(document["id"], record.as_str());
    }
    let is_stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM medical_records WHERE id::text = ANY($1)")
            .bind(acknowledged.iter().cloned().collect::<Vec<_>>())
            .fetch_one(&mut superuser)
            .await
            .expect("it answers");
    assert_eq!(usize::try_from(is_stored).ok(), Some(acknowledged.len()));
}
