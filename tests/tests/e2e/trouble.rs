//! A database that is there and cannot do its work: what callers are told, and what is not lost.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use futures::future::join;
use serde_json::json;
use tests::transfer::{NDJSON, heart_rates, stored};
use tests::{World, documents, eventually, text};

/// Makes the disk full for whoever stores a record: a table that each record is to leave a row in lies on
/// `/dev/full`, so that PostgreSQL itself finds no space for it. `DROP TRIGGER` makes room again.
async fn fills_the_disk(world: &World) {
    world
        .executes(
            "CREATE TABLE ballast (record_id UUID);
             GRANT INSERT ON ballast TO meditrustal_api;
             CREATE FUNCTION weigh() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO ballast VALUES (NEW.id); RETURN NEW; END'",
        )
        .await;
    let at =
        "SELECT current_setting('data_directory') AS dir, pg_relation_filepath('ballast') AS file";
    let at = &world.sql(at).await[0];
    let file = PathBuf::from(text(&at["dir"])).join(text(&at["file"]));
    // Nobody has it open yet, and it is empty.
    fs::remove_file(&file).expect("the file of the table");
    symlink("/dev/full", &file).expect("a link in its place");
    world
        .executes(
            "CREATE TRIGGER ballast AFTER INSERT ON medical_records FOR EACH ROW EXECUTE FUNCTION weigh()",
        )
        .await;
}

#[tokio::test]
async fn an_import_on_a_full_disk_says_where_to_go_on_and_goes_on_there() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let lines = heart_rates(5);
    let file = world.file("five.ndjson");
    fs::write(&file, &lines).expect("a file");
    let two: String = lines.split_inclusive('\n').take(2).collect();
    let report = ana.imports(&world.api, &ana, (NDJSON, ""), two).await;
    assert_eq!(report.end["created"], 2);
    fills_the_disk(&world).await;

    let report = ana
        .imports(&world.api, &ana, (NDJSON, "&from=3"), lines.clone())
        .await;
    let given_up = world
        .runs(&ana, &ana, &["import", &file, "--tries", "1"])
        .await;
    let alone = ana
        .stores(&ana, "VITAL_SIGNS", documents::vital_signs(), json!({}))
        .await;

    assert_eq!(report.end["ended"], "UNAVAILABLE", "{:?}", report.end);
    assert_eq!(report.end["resumeFrom"], 3);
    assert!(report.lines.is_empty(), "{:?}", report.lines);
    assert_eq!(given_up.code, Some(2), "{}", given_up.complaint);
    assert!(
        given_up.complaint.contains("--from"),
        "{}",
        given_up.complaint
    );
    alone.fails_with("UNAVAILABLE");
    assert!(
        world.api.log().contains("its disk is full"),
        "{}",
        world.api.log()
    );
    assert_eq!(stored(&world).await, 2);

    world
        .executes("DROP TRIGGER ballast ON medical_records")
        .await;
    let ended = world.runs(&ana, &ana, &["import", &file]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.complaint);
    assert_eq!(stored(&world).await, 5, "each once");
}

#[tokio::test]
async fn a_read_only_database_is_unavailable_and_loses_nothing() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let name = world.foundation.database.name();
    let cut_off = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE usename = 'meditrustal_api' AND datname = current_database()";
    world
        .executes(&format!(
            "ALTER ROLE meditrustal_api IN DATABASE {name} SET default_transaction_read_only = on"
        ))
        .await;
    world.sql(cut_off).await;
    let is_told = async || {
        let report = ana
            .imports(&world.api, &ana, (NDJSON, ""), heart_rates(3))
            .await;
        // Which of the two depends on whether a connection was left that had been cut off.
        assert!(
            [json!("UNAVAILABLE"), json!("BUSY"), json!(null)].contains(&report.end["ended"]),
            "{:?}",
            report.end
        );
        (report.end["ended"] == "UNAVAILABLE").then_some(report)
    };

    let report = tests::eventually("the import is told", is_told).await;
    assert_eq!(report.end["resumeFrom"], 1);
    let file = world.file("three.ndjson");
    fs::write(&file, heart_rates(3)).expect("a file");
    let given_up = world
        .runs(&ana, &ana, &["import", &file, "--tries", "1"])
        .await;
    assert_eq!(given_up.code, Some(2), "{}", given_up.complaint);
    assert!(
        given_up.complaint.contains("--from 1"),
        "{}",
        given_up.complaint
    );
    assert!(world.api.log().contains("it is read-only"));

    world
        .executes(&format!(
            "ALTER ROLE meditrustal_api IN DATABASE {name} RESET default_transaction_read_only"
        ))
        .await;
    world.sql(cut_off).await;
    let ended = world.runs(&ana, &ana, &["import", &file]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.complaint);
    assert_eq!(stored(&world).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_database_stops_goes_on_where_it_was() {
    const ALL: u32 = 2000;
    let mut world = World::with_its_own_postgres().await;
    let ana = world.patient("ana").await;
    let file = world.file("many.ndjson");
    fs::write(&file, heart_rates(ALL)).expect("a file");

    let given_up = {
        let stops = async {
            eventually("it has begun", async || {
                (stored(&world).await > 0).then_some(())
            })
            .await;
            world.foundation.database.cluster().expect("ours").stop();
        };
        let arguments = ["import", &file, "--tries", "1"];
        join(world.runs(&ana, &ana, &arguments), stops).await.0
    };

    assert_eq!(given_up.code, Some(2), "{}", given_up.complaint);
    let told = given_up
        .complaint
        .split_once("--from ")
        .map(|(_, rest)| rest);
    let from = told.and_then(|rest| rest.split(|it: char| !it.is_ascii_digit()).next());
    let from = from.unwrap_or_else(|| panic!("where to go on: {}", given_up.complaint));
    let cluster = world.foundation.database.cluster_mut().expect("ours");
    tokio::task::block_in_place(|| cluster.restart()).expect("the database is back");
    let before = stored(&world).await;
    assert!(before < ALL.into(), "it was stopped in the middle");
    let ended = world
        .runs(&ana, &ana, &["import", &file, "--from", from])
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.complaint);
    assert_eq!(stored(&world).await, u64::from(ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_into_a_stopped_database_says_where_to_go_on_and_goes_on_there() {
    let mut world = World::with_its_own_postgres().await;
    let ana = world.patient("ana").await;
    let file = world.file("three.ndjson");
    fs::write(&file, heart_rates(3)).expect("a file");
    world.foundation.database.cluster().expect("ours").stop();

    let given_up = world
        .runs(&ana, &ana, &["import", &file, "--tries", "1"])
        .await;

    assert_eq!(given_up.code, Some(2), "{}", given_up.complaint);
    assert!(
        given_up.complaint.contains("--from 1"),
        "{}",
        given_up.complaint
    );
    let cluster = world.foundation.database.cluster_mut().expect("ours");
    tokio::task::block_in_place(|| cluster.restart()).expect("the database is back");
    let ended = world.runs(&ana, &ana, &["import", &file]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.complaint);
    assert_eq!(stored(&world).await, 3);
}
