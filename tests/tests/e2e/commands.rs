//! `meditrustal import` and `meditrustal export`: the real program, files, and an api that may be gone.

use std::fs;

use serde_json::{Value, json};
use tests::transfer::{heart_rate, heart_rates};
use tests::{Person, World, eventually};

#[tokio::test]
async fn the_commands_say_what_to_do_and_go_on_where_they_stopped() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = world.file("in.ndjson");
    let report = world.file("report.ndjson");
    fs::write(&file, heart_rates(70) + "{\n").expect("written");

    let output = world
        .runs(&ana, &ana, &["import", &file, "--report", &report])
        .await;

    assert_eq!(
        output.code,
        Some(1),
        "one was refused: {}",
        output.complaint
    );
    assert!(
        output
            .complaint
            .contains("70 stored, 0 there already, 1 refused"),
        "{}",
        output.complaint
    );
    let told = fs::read_to_string(&report).expect("a report");
    let last: Value = serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
    assert_eq!(
        (told.lines().count(), &last["entry"], &last["code"]),
        (71, &json!(71), &json!("INVALID_DOCUMENT"))
    );
    let from = world
        .runs(&ana, &ana, &["import", &file, "--from", "71"])
        .await;
    assert!(
        from.complaint
            .contains("0 stored, 0 there already, 1 refused"),
        "{}",
        from.complaint
    );
    for format in ["ndjson", "bundle", "archive"] {
        let out = world.file(&format!("out.{format}"));
        let output = world
            .runs(&ana, &ana, &["export", &out, "--format", format])
            .await;
        assert_eq!(output.code, Some(0), "{}", output.complaint);
        assert!(!world.files().join(format!("out.{format}.part")).exists());
        assert!(fs::read_to_string(&out).expect("a file").contains("8867-4"));
    }
    // What is wrong is said with what to do.
    let eve = world.patient("eve").await;
    let none = world.nobody();
    let nothing = world.file("nothing.ndjson");
    let cases: [(&Person, &[&str], &str); 6] = [
        (
            &eve,
            &["export", &nothing],
            "there is no such patient, or you may not see it (NOT_FOUND)",
        ),
        (&none, &["import", &file], "put an access token into it"),
        (&ana, &["import", "nowhere.ndjson"], "cannot be read"),
        (
            &ana,
            &["import", "what"],
            "--format ndjson or --format bundle",
        ),
        (
            &ana,
            &["import", &file, "--url", "nowhere"],
            "--url cannot be used",
        ),
        (
            &ana,
            &["import", &file, "--format", "bundle"],
            "this is no FHIR Bundle",
        ),
    ];
    for (person, arguments, wanted) in cases {
        let output = world.runs(person, &ana, arguments).await;
        assert_eq!(output.code, Some(2), "{arguments:?} {}", output.complaint);
        assert!(output.complaint.contains(wanted), "{}", output.complaint);
    }
    assert!(!world.files().join("nothing.ndjson.part").exists());
    let over = world.logs_in(&ana).await;
    over.asks("mutation { logOut { endedSessions } }", json!({}))
        .await
        .data();
    let output = world.runs(&over, &ana, &["import", &file]).await;
    assert!(
        output.complaint.contains("put the new access token into"),
        "{}",
        output.complaint
    );
}

#[tokio::test]
async fn what_an_import_and_an_export_came_to_is_told_to_a_program() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (file, report, out) = (
        world.file("in.ndjson"),
        world.file("report.ndjson"),
        world.file("out.ndjson"),
    );
    fs::write(&file, heart_rates(7) + "{\n").expect("written");

    let without = world.runs(&ana, &ana, &["import", &file, "--json"]).await;
    let import = ["import", &file, "--report", &report, "--json"];
    let first = world.runs(&ana, &ana, &import).await;
    let again = world.runs(&ana, &ana, &import).await;
    let export = ["export", &out, "--format", "ndjson", "--json"];
    let exported = world.runs(&ana, &ana, &export).await.json();

    assert_eq!(without.code, Some(2), "{without:?}");
    assert!(without.complaint.contains("--report"), "{without:?}");
    for (ended, what) in [(first, "created"), (again, "alreadyThere")] {
        assert_eq!(ended.code, Some(1), "one was refused: {ended:?}");
        let told = ended.report();
        assert_eq!(told[what], 7, "{told}");
        assert_eq!(told["refused"], 1, "{told}");
        assert_eq!(told["reported"], 8, "{told}");
    }
    let lines = fs::read_to_string(&out).expect("a file").lines().count();
    assert_eq!(
        exported,
        json!({ "file": out, "records": lines, "withheld": 0 })
    );
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_imported_is_not_gone_on_with() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let file = world.file("in.ndjson");
    let report = world.file("report.ndjson");
    fs::write(&file, heart_rates(1500)).expect("written");
    let arguments = ["import", &file, "--report", &report];
    let running = world.command(&ana, &ana, &arguments).spawn();
    let mut running = running.expect("the program starts");
    eventually("some of it is reported", async || {
        let told = fs::read_to_string(&report).unwrap_or_default();
        (told.lines().count() > 20).then_some(())
    })
    .await;

    world.api.kill().await;
    // An entry more at its beginning: the others have other numbers.
    fs::write(&file, heart_rate(39) + "\n" + &heart_rates(1500)).expect("written");
    let ended = running.wait().await.expect("it ends");
    world.api.restart().await;
    let again = world.runs(&ana, &ana, &arguments).await;

    assert_eq!(
        ended.code(),
        Some(2),
        "it says that it did not come to an end"
    );
    assert_eq!(again.code, Some(0), "{again:?}");
    let rows = world
        .sql("SELECT count(*) AS count FROM medical_records")
        .await;
    assert_eq!(rows[0]["count"], 1501, "nothing lost, nothing doubled");
}

#[tokio::test]
async fn an_import_command_outlives_an_api_that_is_killed_under_it() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let file = world.file("in.ndjson");
    let report = world.file("report.ndjson");
    fs::write(&file, heart_rates(1500)).expect("written");
    let arguments = ["import", &file, "--report", &report];
    let running = world.command(&ana, &ana, &arguments).spawn();
    let mut running = running.expect("the program starts");
    eventually("some of it is reported", async || {
        let told = fs::read_to_string(&report).unwrap_or_default();
        (told.lines().count() > 20).then_some(())
    })
    .await;

    world.api.kill().await;
    world.api.restart().await;

    assert!(running.wait().await.expect("it ends").success());
    let told = fs::read_to_string(&report).expect("a report");
    let told: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let numbers: Vec<_> = told
        .iter()
        .map(|line| line["entry"].as_u64().expect("a number"))
        .collect();
    assert_eq!(
        numbers,
        (1..=1500).collect::<Vec<u64>>(),
        "each told once, in order"
    );
    let rows = world
        .sql("SELECT count(*) AS count FROM medical_records")
        .await;
    assert_eq!(rows[0]["count"], 1500, "nothing lost, nothing doubled");
}
