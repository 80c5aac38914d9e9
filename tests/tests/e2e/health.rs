//! What the programs say of themselves is true: they are not ready when the work fails, and say which part.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tests::{Program, World, documents, eventually, text};

/// Cuts off every connection of the api, so that the next ones find what was set meanwhile.
async fn cuts_off(world: &World) {
    world
        .sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE usename IN ('meditrustal_api', 'meditrustal_indexer') AND datname = current_database()",
        )
        .await;
}

/// Waits until a part fails, and answers what is said of it.
pub(crate) async fn fails(api: &Program, part: &str) -> String {
    eventually(&format!("the {part} fails"), async || {
        let said = api.says("/health/ready").await;
        let why = said["failing"][part].as_str()?.to_owned();
        assert_eq!(said["ready"], json!(false));
        Some(why)
    })
    .await
}

pub(crate) async fn is_well(program: &Program) {
    eventually("it is ready again", async || {
        (program.health("/health/ready").await == Some(200)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_read_only_database_makes_both_programs_not_ready() {
    let world = World::start().await;
    let name = world.foundation.database.name();
    let both = ["meditrustal_api", "meditrustal_indexer"];
    for role in both {
        let set =
            format!("ALTER ROLE {role} IN DATABASE {name} SET default_transaction_read_only = on");
        world.executes(&set).await;
    }
    cuts_off(&world).await;

    let why = eventually("it is said why", async || {
        let why = fails(&world.api, "database").await;
        why.contains("read-only").then_some(why)
    })
    .await;
    assert!(!why.contains("127.0.0.1") && !why.contains(name), "{why}");
    assert_eq!(world.api.health("/health/ready").await, Some(503));
    assert_eq!(world.api.health("/health/serving").await, Some(503));
    assert_eq!(world.api.health("/health/live").await, Some(200));
    eventually("the indexer says so, too", async || {
        let said = world.indexer.says("/health/ready").await;
        let why = said["reason"].as_str().unwrap_or_default();
        (said["ready"] == false && why.contains("read-only")).then_some(())
    })
    .await;

    for role in both {
        let reset =
            format!("ALTER ROLE {role} IN DATABASE {name} RESET default_transaction_read_only");
        world.executes(&reset).await;
    }
    cuts_off(&world).await;
    is_well(&world.api).await;
    is_well(&world.indexer).await;
}

#[tokio::test]
async fn transactions_that_cannot_be_committed_make_the_api_not_ready() {
    let world = World::start().await;
    world
        .executes(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '58030'; END $$;
             CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON throttle_counters
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()",
        )
        .await;

    let why = fails(&world.api, "database").await;

    assert!(why.contains("its disk fails"), "{why}");
    world
        .executes("DROP TRIGGER fails ON throttle_counters")
        .await;
    is_well(&world.api).await;
}

#[tokio::test]
async fn a_full_disk_makes_the_api_not_ready() {
    let world = World::start().await;
    let asked = "SELECT pid, current_setting('data_directory') AS dir FROM pg_stat_activity
                 WHERE application_name = 'meditrustal health' AND datname = current_database()";
    // Where that connection's next temporary files will be: PostgreSQL opens what is there, and every
    // write to /dev/full finds no space. On a busy machine health may begin another connection meanwhile.
    let filled = RefCell::new(Vec::<PathBuf>::new());
    let why = eventually("the database fails", async || {
        let connection = world.sql(asked).await.pop()?;
        let directory = PathBuf::from(text(&connection["dir"])).join("base/pgsql_tmp");
        let first = directory.join(format!("pgsql_tmp{}.0", connection["pid"]));
        // It has looked at the disk once.
        if directory.is_dir() && !filled.borrow().contains(&first) {
            for nth in 0..4000 {
                // One that is in use just now is left alone.
                symlink("/dev/full", first.with_extension(nth.to_string())).ok();
            }
            filled.borrow_mut().push(first);
        }
        let said = world.api.says("/health/ready").await;
        Some(said["failing"]["database"].as_str()?.to_owned())
    })
    .await;

    assert!(why.contains("its disk is full"), "{why}");
    // A new connection has other files: there is space again.
    is_well(&world.api).await;
    for first in filled.take() {
        for nth in 0..4000 {
            fs::remove_file(first.with_extension(nth.to_string())).ok();
        }
    }
}

#[tokio::test]
async fn an_api_without_a_leading_indexer_is_not_ready_and_serves() {
    let mut world = World::with(|options| {
        let silence = ("MEDITRUSTAL_INDEXER_SILENCE".to_owned(), "5".to_owned());
        options.api.push(silence);
    })
    .await;
    let ana = world.patient("ana").await;
    world.indexer.stop().await;

    let why = fails(&world.api, "indexer").await;

    assert_eq!(why, "none has led for more than 5 s");
    assert_eq!(world.api.health("/health/serving").await, Some(200));
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.indexer.restart().await;
    is_well(&world.api).await;
}

/// A block now and then, for ever.
async fn mines_on(world: &World) {
    loop {
        world.mine(1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_chain_that_stands_still_makes_the_api_not_ready() {
    let world = World::start().await;
    let age = [("MEDITRUSTAL_HEAD_AGE", "5")];
    let api = tokio::select! {
        api = world.another_api("watchful", &age) => api,
        () = mines_on(&world) => panic!("it never ends"),
    };

    let why = fails(&api, "node").await;

    assert!(why.starts_with("its newest block is "), "{why}");
    assert_eq!(api.health("/health/serving").await, Some(200));
    tokio::select! {
        () = is_well(&api) => {}
        () = mines_on(&world) => panic!("it never ends"),
    }
    world.foundation.node.as_ref().expect("ours").stop().await;
    fails(&api, "node").await;
}

/// Puts the database's clock ahead for the api, whoever of it connects from now on and those already deceived.
pub(crate) async fn puts_the_clock_ahead(world: &World, seconds: u32) {
    puts_the_clock_of(world, "meditrustal_api", seconds).await;
}

/// The same for a role.
pub(crate) async fn puts_the_clock_of(world: &World, role: &str, seconds: u32) {
    let name = world.foundation.database.name();
    world
        .executes(&format!(
            "CREATE SCHEMA IF NOT EXISTS fake;
             GRANT USAGE ON SCHEMA fake TO PUBLIC;
             CREATE OR REPLACE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
                 AS $$ SELECT pg_catalog.clock_timestamp() + INTERVAL '{seconds} s' $$;
             ALTER ROLE {role} IN DATABASE {name} SET search_path = fake, pg_catalog, public"
        ))
        .await;
}

#[tokio::test]
async fn clocks_that_differ_are_told_and_then_refused_and_documents_carry_the_databases_time() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    puts_the_clock_ahead(&world, 30).await;
    let api = world.another_api("ahead", &[]).await;
    let ana = ana.at(&api);

    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let record = text(&record["id"]);
    let document = ana.reads(&record).await.data()["medicalRecord"]["document"].clone();
    let stamped = text(&document["meta"]["lastUpdated"]);
    let difference = format!(
        // This one is never ahead: it is no function that a schema could put another in front of.
        "SELECT EXTRACT(EPOCH FROM '{stamped}'::timestamptz - CURRENT_TIMESTAMP)::float8 AS ahead"
    );
    let ahead = world.sql(&difference).await[0]["ahead"].as_f64();
    let ahead = ahead.expect("a number");

    assert!(
        (20.0..=30.5).contains(&ahead),
        "{ahead} s: by the database's clock"
    );
    eventually("it is logged", async || {
        let log = api.log();
        log.contains("The database's clock is ahead of this machine's")
            .then_some(())
    })
    .await;
    assert_eq!(api.health("/health/ready").await, Some(200));

    puts_the_clock_ahead(&world, 300).await;
    let why = fails(&api, "clock").await;
    assert!(why.contains("s ahead of this machine's"), "{why}");
    let environment = world.foundation.options().api.clone();
    let refused = world.foundation.api("late", 0, &environment).await;
    let said = refused.expect_err("it must not serve").to_string();
    assert!(said.contains("set the one that is wrong"), "{said}");
}

#[tokio::test]
async fn an_api_without_a_master_key_that_is_in_use_does_not_start_and_names_it() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let used = &world
        .sql("SELECT DISTINCT master_key_id FROM patient_keys")
        .await[0];
    let used = text(&used["master_key_id"]);
    let directory = world.file("other-keys");
    let made = world
        .foundation
        .programs
        .operate(&["keys", "new", "--dir", &directory], &[], "");
    made.unwrap_or_else(|error| panic!("{error}"));
    let mut environment = world.foundation.options().api.clone();
    let file = format!("{directory}/master-keys.json");
    environment.push(("MEDITRUSTAL_MASTER_KEYS_FILE".to_owned(), file));

    let refused = world.foundation.api("keyless", 0, &environment).await;

    let said = refused.expect_err("it must not serve").to_string();
    assert!(
        said.contains(&format!("the file of master keys lacks {used}")),
        "{said}"
    );
}

#[tokio::test]
async fn a_row_that_says_it_is_sealed_by_an_unknown_key_keeps_no_api_from_starting() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    world
        .executes(&format!(
            "UPDATE users SET seal_key = 'nobody''s' WHERE id = '{}'",
            ana.id
        ))
        .await;

    let api = world.another_api("warned", &[]).await;

    assert!(api.log().contains("nobody's"), "{}", api.log());
    ana.asks("{ me { id } }", json!({}))
        .await
        .fails_with("UNAUTHENTICATED");
}
