//! The playground in a real browser, as a developer would use it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use dev::scratch::Scratch;
use serde_json::json;
use tests::{World, documents, id};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn a_developer_logs_in_asks_and_is_told_of_an_event() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let root = dev::repository::root().expect("the tests run inside a clone");
    let scratch = Scratch::new("playground").expect("there is room for a file");
    let password = scratch.path().join("password");
    fs::write(&password, &ana.password).expect("the password is written");

    let mut walk = Command::new("node")
        .arg("tests/browser/playground.mjs")
        .args(["--url", &world.api.url(), "--login", &ana.username])
        .arg("--password-file")
        .arg(&password)
        .args(["--screenshot", "target/playground.png", "--timeout", "60"])
        .arg("--expect-event")
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut steps = BufReader::new(walk.stdout.take().expect("it is piped")).lines();
    let mut seen = Vec::new();
    while let Ok(Some(step)) = steps.next_line().await {
        if step.starts_with("subscription: connected") {
            let record = ana
                .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
                .await;
            world.wait_for_anchor(&id(&record), "CONFIRMED").await;
        }
        seen.push(step);
    }
    let ended = tokio::time::timeout(Duration::from_secs(60), walk.wait_with_output()).await;
    let ended = ended
        .expect("it ends when it has said all")
        .expect("it is ours");

    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{seen:#?}\n{complaint}");
    assert!(
        seen.iter().any(|step| step.starts_with("event: ")),
        "{seen:#?}"
    );
    assert_eq!(
        world
            .sql("SELECT count(*) AS records FROM medical_records")
            .await,
        [json!({ "records": 1 })]
    );
}
