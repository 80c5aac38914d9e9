//! The event stream, as the client library `graphql-sse` reads it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use dev::scratch::Scratch;
use serde_json::json;
use tests::{World, documents, id};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn the_client_library_follows_until_the_log_in_ends() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let root = dev::repository::root().expect("the tests run inside a clone");
    let scratch = Scratch::new("event-stream").expect("there is room for a file");
    let token = scratch.path().join("token");
    fs::write(&token, ana.client.token().expect("logged in")).expect("the token is written");

    let mut client = Command::new("node")
        .arg("tests/browser/sse.mjs")
        .args(["--url", &world.api.url(), "--token-file"])
        .arg(&token)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut lines = BufReader::new(client.stdout.take().expect("it is piped")).lines();
    let mut heard = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
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
        heard.push(line);
    }
    let ended = tokio::time::timeout(Duration::from_secs(60), client.wait_with_output()).await;
    let ended = ended.expect("it ends with the stream").expect("it is ours");

    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{heard:#?}\n{complaint}");
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
