//! The playground in a real browser, as a developer would use it.

use std::fs;

use chrono::{DateTime, TimeDelta, Utc};
use dev::scratch::Scratch;
use serde_json::{Value, json};
use tests::{World, documents, id};

use crate::script::Script;

#[tokio::test]
async fn a_developer_logs_in_asks_and_is_told_of_an_event() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let scratch = Scratch::new("playground").expect("there is room for a file");
    let password = scratch.path().join("password");
    fs::write(&password, &ana.password).expect("the password is written");

    let (url, password) = (world.api.url(), password.display().to_string());
    let mut walk = Script::start(
        "tests/browser/playground.mjs",
        &[
            "--url",
            &url,
            "--login",
            &ana.username,
            "--password-file",
            &password,
            "--screenshot",
            "target/playground.png",
            "--timeout",
            "60",
            "--expect-event",
        ],
    );
    while let Some(step) = walk.next().await {
        if step.starts_with("subscription: connected") {
            let record = ana
                .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
                .await;
            world.wait_for_anchor(&id(&record), "CONFIRMED").await;
        }
    }
    let seen = walk.ends_well().await;

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

    let (url, file) = (world.api.url(), file.display().to_string());
    let mut walk = Script::start(
        "tests/browser/playground.mjs",
        &[
            "--url",
            &url,
            "--login",
            &ana.username,
            "--session-file",
            &file,
            "--timeout",
            "60",
        ],
    );
    while let Some(step) = walk.next().await {
        if step.starts_with("subscription: connected") {
            happens().await;
        }
        if step.starts_with("token has expired") {
            // While nobody listens.
            happens().await;
            let all = world
                .sql("SELECT count(*) AS events FROM integrity_feed")
                .await;
            walk.tell(&all[0]["events"].to_string()).await;
        }
    }
    let seen = walk.ends_well().await;

    assert!(
        seen.iter().any(|step| step.starts_with("goes on: ")),
        "{seen:#?}"
    );
}
