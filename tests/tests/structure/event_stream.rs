//! The event stream, as the client library `graphql-sse` reads it.

use std::fs;

use dev::scratch::Scratch;
use serde_json::json;
use tests::{World, documents, id, text};

use crate::script::Script;

#[tokio::test]
async fn the_client_library_follows_until_the_log_in_ends() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let scratch = Scratch::new("event-stream").expect("there is room for a file");
    let token = scratch.path().join("token");
    fs::write(&token, ana.client.token().expect("logged in")).expect("the token is written");

    let url = world.api.url();
    let token = token.display().to_string();
    let arguments = ["--url", &url, "--token-file", &token];
    let mut client = Script::start("tests/browser/sse.mjs", &arguments);
    while let Some(line) = client.next().await {
        if line == "without a token: UNAUTHENTICATED" {
            let record = ana
                .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
                .await;
            world.wait_for_anchor(&id(&record), "CONFIRMED").await;
        }
        if line == "event: ANCHOR_CONFIRMED" {
            let log_out = "mutation { logOut { __typename } }";
            ana.asks(log_out, json!({})).await.data();
        }
    }
    let heard = client.ends_well().await;

    let me = format!("me: {}", ana.username);
    for line in [me.as_str(), "event: ANCHOR_PENDING", "error: SESSION_ENDED"] {
        assert!(
            heard.iter().any(|heard| heard == line),
            "{line}: {heard:#?}"
        );
    }
    assert_eq!(
        heard.last().map(String::as_str),
        Some("error: SESSION_ENDED")
    );
}

/// Waits until the client has heard this event of this record.
async fn hears(client: &mut Script, kind: &str, record: &str) {
    let wanted = format!("event: {kind} {record}");
    while let Some(line) = client.next().await {
        if line == wanted {
            return;
        }
    }
    panic!("{wanted} is not told");
}

#[tokio::test]
async fn the_client_library_goes_on_after_its_last_event_when_the_api_is_started_again() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let scratch = Scratch::new("event-stream").expect("there is room for a file");
    let token = scratch.path().join("token");
    fs::write(&token, ana.client.token().expect("logged in")).expect("the token is written");
    let url = world.api.url();
    let token = token.display().to_string();
    let arguments = ["--url", &url, "--token-file", &token];
    let mut client = Script::start("tests/browser/sse_restarts.mjs", &arguments);

    // It is killed once, and told to stop once. What the indexer writes meanwhile is told afterwards.
    for is_killed in [true, false] {
        let record = ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        let record = id(&record);
        hears(&mut client, "ANCHOR_CONFIRMED", &record).await;
        if is_killed {
            world.api.kill().await;
        } else {
            assert!(world.api.stop().await.success());
        }
        world.finalizes().await;
        world.api.restart().await;
        hears(&mut client, "ANCHOR_FINALIZED", &record).await;
    }
    ana.asks("mutation { logOut { __typename } }", json!({}))
        .await
        .data();
    while client.next().await.is_some() {}
    let heard = client.ends_well().await;

    let told = world
        .sql(&format!(
            "SELECT kind, record_id FROM integrity_feed WHERE patient_id = '{}' ORDER BY position",
            ana.id
        ))
        .await;
    let told = told.iter().map(|row| {
        let (kind, record) = (text(&row["kind"]), text(&row["record_id"]));
        format!("event: {kind} {record}")
    });
    let events = heard.iter().filter(|line| line.starts_with("event: "));
    let events: Vec<String> = events.cloned().collect();
    assert_eq!(events, told.collect::<Vec<_>>(), "each once, in order");
    let ends = heard.iter().filter(|line| line.starts_with("error: "));
    let mut ends: Vec<&str> = ends.map(String::as_str).collect();
    // It may ask again before the api has ended.
    ends.dedup();
    assert_eq!(ends, ["error: UNAVAILABLE", "error: SESSION_ENDED"]);
    let again = heard.iter().filter(|line| *line == "connected again");
    assert!(again.count() >= 1, "{heard:#?}");
}
