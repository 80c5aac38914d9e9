//! The event stream, as the client library `graphql-sse` reads it.

use std::fs;

use dev::scratch::Scratch;
use serde_json::json;
use tests::{World, documents, id};

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
