//! `meditrustal maintain`: does what is due, once, and leaves nothing half done.

use std::process::Stdio;

use sqlx::Connection as _;
use tests::transfer::Ended;
use tests::{World, eventually, text};

use crate::monitoring::runs;

/// Indexes of ours that cannot be used.
const INVALID: &str =
    "SELECT class.relname AS name FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
    WHERE NOT indisvalid AND class.relnamespace = 'public'::regnamespace ORDER BY 1";
/// Every index of ours.
const INDEXES: &str = "SELECT indexname AS name, indexdef AS definition FROM pg_indexes
    WHERE schemaname = 'public' ORDER BY 1";

fn owner(world: &World) -> String {
    let url = world.foundation.url_of("meditrustal_migrator");
    url.unwrap_or_else(|error| panic!("{error}"))
}

async fn maintains(world: &World, arguments: &[&str]) -> Ended {
    let url = owner(world);
    let environment = [("DATABASE_URL", url.as_str())];
    runs(world, &[&["maintain"], arguments].concat(), &environment).await
}

/// The steps of a list of a report, each as `TASK object`.
fn steps(said: &Ended, list: &str) -> Vec<String> {
    let report = said.report();
    let steps = report[list]
        .as_array()
        .unwrap_or_else(|| panic!("{report}"));
    let named = steps
        .iter()
        .map(|step| format!("{} {}", text(&step["task"]), text(&step["object"])));
    named.collect()
}

async fn due(world: &World) -> Vec<String> {
    let said = maintains(world, &["run", "--dry-run", "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    steps(&said, "due")
}

/// Lets time pass for what was done.
async fn days_pass(world: &World, days: u32) {
    world
        .executes(&format!(
            "UPDATE maintenance_runs
             SET started_at = started_at - interval '{days} days', finished_at = finished_at - interval '{days} days'"
        ))
        .await;
}

#[tokio::test]
async fn what_is_due_is_done_once_and_due_again_when_its_time_has_come() {
    let world = World::start().await;
    let before = world.sql(INDEXES).await;

    let planned = due(&world).await;
    assert!(
        world.sql("SELECT FROM maintenance_runs").await.is_empty(),
        "nothing was done yet"
    );
    let said = maintains(&world, &["run", "--json"]).await;

    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(steps(&said, "done"), planned);
    assert!(steps(&said, "failed").is_empty());
    for step in [
        "VACUUM users",
        "VACUUM medical_records",
        "VACUUM sessions",
        "VACUUM audit_logs",
        "REINDEX users_pkey",
        "REINDEX idx_medical_records_patient_id",
        "INDEX_USAGE ",
    ] {
        assert!(planned.contains(&step.to_owned()), "{step}: {planned:?}");
    }
    assert!(
        !planned
            .iter()
            .any(|step| step.starts_with("REINDEX idx_audit_logs"))
    );
    let total = planned.len();
    assert!(
        said.complaint.contains(&format!("1 of {total}: ")),
        "{}",
        said.complaint
    );
    let vacuumed = "SELECT relname FROM pg_stat_user_tables WHERE relname = 'users' AND last_vacuum IS NOT NULL
                        AND last_analyze IS NOT NULL";
    eventually("the statistics say so", async || {
        (!world.sql(vacuumed).await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(
        world.sql(INDEXES).await,
        before,
        "every index is there as before"
    );
    assert!(world.sql(INVALID).await.is_empty());

    let again = maintains(&world, &["run", "--json"]).await;
    assert_eq!(
        (again.code, steps(&again, "done").len()),
        (Some(0), 0),
        "{again:?}"
    );
    let status = maintains(&world, &["status", "--json"]).await;
    let report = status.report();
    assert!(report["indexUsage"].as_array().expect("the report").len() > 100);

    days_pass(&world, 1).await;
    let daily = due(&world).await;
    assert!(daily.contains(&"VACUUM users".to_owned()), "{daily:?}");
    days_pass(&world, 7).await;
    assert!(due(&world).await.contains(&"REINDEX users_pkey".to_owned()));
    days_pass(&world, 31).await;
    assert_eq!(due(&world).await, planned);
}

#[tokio::test]
async fn a_table_with_too_many_dead_rows_does_not_wait_for_the_night() {
    let world = World::start().await;
    maintains(&world, &["run"]).await;
    world
        .executes(
            "ALTER TABLE throttle_counters SET (autovacuum_enabled = off);
             INSERT INTO throttle_counters (scope, subject, due_at)
             SELECT 'ADDRESS', 'of a test ' || n, now() + interval '1 day' FROM generate_series(1, 8000) AS n;
             DELETE FROM throttle_counters WHERE subject LIKE 'of a test %5' OR subject LIKE 'of a test %7'
                 OR subject LIKE 'of a test %9'",
        )
        .await;

    let planned = eventually("it is due", async || {
        let due = due(&world).await;
        (!due.is_empty()).then_some(due)
    })
    .await;

    assert_eq!(planned, ["VACUUM throttle_counters"]);
    let said = maintains(&world, &["run", "--json"]).await;
    assert_eq!(steps(&said, "done"), planned);
}

#[tokio::test]
async fn one_maintains_at_a_time_and_only_the_owner_can() {
    let world = World::start().await;
    let mut other = world.connects_as("meditrustal_migrator").await;
    let lock = "SELECT pg_advisory_lock(hashtextextended('meditrustal maintenance', 0))";
    sqlx::raw_sql(lock)
        .execute(&mut other)
        .await
        .expect("it is free");

    let said = maintains(&world, &["run"]).await;

    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.complaint
            .contains("another process maintains this database"),
        "{said:?}"
    );
    // The server notices the end of a session a moment later.
    sqlx::raw_sql("SELECT pg_advisory_unlock_all()")
        .execute(&mut other)
        .await
        .expect("unlocked");
    other.close().await.expect("closed");
    let api = world
        .foundation
        .url_of("meditrustal_api")
        .expect("the role");
    let refused = runs(&world, &["maintain", "run"], &[("DATABASE_URL", &api)]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.complaint.contains("meditrustal_migrator"),
        "{refused:?}"
    );
    let nowhere = maintains(&world, &["run", "--time-zone", "Atlantis"]).await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(
        nowhere.complaint.contains("no time zone \"Atlantis\""),
        "{nowhere:?}"
    );
    assert!(world.sql("SELECT FROM maintenance_runs").await.is_empty());
}

#[tokio::test]
async fn a_run_that_is_killed_leaves_an_index_behind_and_the_next_one_removes_it() {
    let world = World::start().await;
    let before = world.sql(INDEXES).await;
    // Whoever writes to a table keeps the rebuilding of its indexes from ending.
    let mut writer = world.connects_as("meditrustal_migrator").await;
    sqlx::raw_sql("BEGIN; LOCK TABLE anchor_outbox IN ROW EXCLUSIVE MODE")
        .execute(&mut writer)
        .await
        .expect("locked");
    let url = owner(&world);
    let mut running = tokio::process::Command::new(&world.foundation.programs.meditrustal)
        .args(["maintain", "run"])
        .env_clear()
        .env("DATABASE_URL", &url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    eventually("an index is being rebuilt", async || {
        (!world.sql(INVALID).await.is_empty()).then_some(())
    })
    .await;

    running.kill().await.expect("killed");
    let session = "SELECT FROM pg_stat_activity
                   WHERE application_name = 'meditrustal maintain' AND datname = current_database()";
    eventually("the server has noticed", async || {
        world.sql(session).await.is_empty().then_some(())
    })
    .await;

    let left = world.sql(INVALID).await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(text(&left[0]["name"]).contains("_ccnew"), "{left:?}");
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut writer)
        .await
        .expect("ended");
    let said = maintains(&world, &["run", "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let done = steps(&said, "done");
    assert_eq!(done[0], format!("DROP_LEFTOVER {}", text(&left[0]["name"])));
    assert!(
        !done.contains(&"VACUUM users".to_owned()),
        "what was done stays done: {done:?}"
    );
    assert!(world.sql(INVALID).await.is_empty());
    assert_eq!(world.sql(INDEXES).await, before);
}
