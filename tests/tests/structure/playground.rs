//! The playground in a real browser, as a developer would use it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use dev::scratch::Scratch;
use serde_json::{Value, json};
use tests::{World, documents, id};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
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

/// A log-in as the playground keeps it, whose access token is over in a quarter of a minute.
async fn nearly_over(world: &World, login: &str, password: &str) -> Value {
    const LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
      logIn(input: $input) {
        refreshToken refreshExpiresAt session { id } user { id username email role }
      }
    }";
    let input = json!({ "input": { "login": login, "password": password } });
    let answer = world.nobody().asks(LOG_IN, input).await;
    let given = &answer.data()["logIn"];
    let keys = fs::read_to_string(world.foundation.dir().join("keys/token-key.pem"));
    let keys = vault::token::TokenKeys::parse(&keys.expect("the keys are there"));
    let now = world.sql("SELECT now() AS now").await;
    let now: DateTime<Utc> = serde_json::from_value(now[0]["now"].clone()).expect("a time");
    let issued = now - vault::token::LIFETIME + TimeDelta::seconds(15);
    let user = serde_json::from_value(given["user"]["id"].clone()).expect("an id");
    let session = serde_json::from_value(given["session"]["id"].clone()).expect("an id");
    let token = keys.expect("they are keys").issue(user, session, issued).0;
    json!({
        "token": token,
        // The page would otherwise exchange it in time: it has slept.
        "expiresAt": now + vault::token::LIFETIME,
        "refreshToken": given["refreshToken"],
        "refreshExpiresAt": given["refreshExpiresAt"],
        "user": given["user"],
    })
}

#[tokio::test]
async fn a_subscription_outlives_its_token_and_misses_nothing() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let root = dev::repository::root().expect("the tests run inside a clone");
    let scratch = Scratch::new("playground").expect("there is room for a file");
    let file = scratch.path().join("session.json");
    let session = nearly_over(&world, &ana.username, &ana.password).await;
    fs::write(&file, session.to_string()).expect("it is written");
    let happens = async || {
        let record = ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    };

    let mut walk = Command::new("node")
        .arg("tests/browser/playground.mjs")
        .args(["--url", &world.api.url(), "--login", &ana.username])
        .arg("--session-file")
        .arg(&file)
        .args(["--timeout", "60"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut input = walk.stdin.take().expect("it is piped");
    let mut steps = BufReader::new(walk.stdout.take().expect("it is piped")).lines();
    let mut seen = Vec::new();
    while let Ok(Some(step)) = steps.next_line().await {
        if step.starts_with("subscription: connected") {
            happens().await;
        }
        if step.starts_with("token has expired") {
            // While nobody listens.
            happens().await;
            let all = world
                .sql("SELECT count(*) AS events FROM integrity_feed")
                .await;
            let line = format!("{}\n", all[0]["events"]);
            input.write_all(line.as_bytes()).await.expect("it listens");
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
        seen.iter().any(|step| step.starts_with("goes on: ")),
        "{seen:#?}"
    );
}
