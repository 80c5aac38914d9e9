//! What a process leaves of itself: its log, and what a crash would write to a disk.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;
use tests::{PATIENCE, World, eventually};

/// The ids of the requests in whose log lines the database refused a statement.
fn refused(log: &str) -> BTreeSet<String> {
    let lines = log
        .lines()
        .filter(|line| line.contains("The database refused a statement"));
    let ids = lines.filter_map(|line| {
        let (_, rest) = line.split_once("request{id=")?;
        Some(rest.split_once('}')?.0.to_owned())
    });
    ids.collect()
}

#[tokio::test]
async fn every_log_line_of_a_request_carries_its_id() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let bearer = format!("Bearer {}", ana.client.token().expect("logged in"));
    let authorization = ("authorization", bearer.as_str());
    world.is_broken_on_purpose();
    world
        .executes("ALTER TABLE sessions RENAME TO sessions_away")
        .await;

    let query = json!({ "query": "{ me { id } }" }).to_string();
    let stream = json!({ "query": "subscription { integrityEvents { cursor } }" }).to_string();
    let json = ("content-type", "application/json");
    let events = ("accept", "text/event-stream");
    let ndjson = ("content-type", "application/fhir+ndjson");
    let export = format!("/export?patient={}&format=ndjson", ana.id);
    let import = format!("/import?patient={}", ana.id);
    let ways = [
        ("POST", "/graphql", vec![json, authorization], &*query),
        (
            "POST",
            "/graphql",
            vec![json, events, authorization],
            &stream,
        ),
        ("GET", &export, vec![authorization], ""),
        ("POST", &import, vec![ndjson, authorization], "{}\n"),
    ];
    let mut told = BTreeSet::new();
    for (method, path, headers, body) in ways {
        let reply = world
            .api
            .takes(method, path, &headers, body.to_owned())
            .await;
        let id = reply.header("x-request-id").to_owned();
        assert!(!id.is_empty(), "{method} {path}: {}", reply.body);
        eventually(&format!("the log tells of {method} {path}"), async || {
            refused(&world.api.log()).contains(&id).then_some(())
        })
        .await;
        told.insert(id);
    }
    // Over a WebSocket, the request is the one that opened it.
    let document = "subscription { integrityEvents { cursor } }";
    if let Ok(mut watching) = ana.client.subscribe(document, &json!({})).await {
        let told = watching.next_within(PATIENCE).await;
        assert!(told.and_then(|answer| answer.data().map(drop)).is_err());
    }
    let all = refused(&world.api.log());
    assert_eq!(all.difference(&told).count(), 1, "{all:?} {told:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_program_writes_its_memory_to_a_disk() {
    let world = World::start().await;

    for program in [&world.api, &world.indexer] {
        let limits = format!("/proc/{}/limits", program.process_id());
        let limits = fs::read_to_string(limits).expect("the limits of a process");
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let figures: Vec<&str> = line.expect("a limit").split_whitespace().collect();
        assert_eq!(figures[4..6], ["0", "0"], "soft and hard");
    }
}
