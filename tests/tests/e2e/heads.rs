//! New blocks, as a node tells of them by itself: heard at once, never believed, and polled beneath.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::node_line::NodeLine;

/// How rarely the node is polled where it is to be seen that nobody waits for that. Unit: milliseconds.
const RARELY: &str = "60000";
/// What comes within a third of that was not polled.
const SOON: Duration = Duration::from_secs(20);

/// A world whose indexer listens to a node, and polls this rarely.
async fn listening(world: &mut World, node: &str, poll: &str) {
    world.indexer.stop().await;
    let environment = [("CHAIN_RPC_URLS", node), ("MEDITRUSTAL_POLL_MS", poll)];
    world.indexer = world.another_indexer("listening", &environment).await;
}

/// What the indexer says of the node that it listens to, once that is so.
async fn subscription(world: &World, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let said = world.indexer.says("/health/ready").await["subscriptions"][0].clone();
        is_so(&said).then_some(said)
    })
    .await
}

async fn is_heard(world: &World) {
    subscription(world, "the node is listened to", |it| {
        it["isConnected"] == true
    })
    .await;
}

async fn creates(person: &Person) -> String {
    let record = person.creates(person, "VITAL_SIGNS", documents::vital_signs());
    id(&record.await)
}

async fn nothing_is_wrong(world: &World) {
    let undone = "SELECT id FROM chain_events WHERE undone_at IS NOT NULL";
    assert_eq!(world.sql(undone).await, Vec::<Value>::new());
    let found = "SELECT kind, details FROM integrity_findings";
    assert_eq!(world.sql(found).await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_event_is_applied_as_soon_as_the_node_tells_of_its_block() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let node = world.foundation.chain_rpc_url().replace("http", "ws");
    listening(&mut world, &node, RARELY).await;
    is_heard(&world).await;
    let mut told = ana.watches(json!({})).await;

    let began = Instant::now();
    let record = creates(&ana).await;
    told.until("ANCHOR_CONFIRMED").await;

    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    world.wait_for_anchor(&record, "CONFIRMED").await;
    let said = subscription(&world, "it has told", |it| it["heads"].as_u64() > Some(0)).await;
    assert_eq!(said["failures"], 0, "{said}");
    // The node that tells of blocks is asked nothing.
    let nodes = world.indexer.says("/health/ready").await["nodes"].clone();
    assert_eq!(nodes.as_array().map(Vec::len), Some(1), "{nodes}");
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn while_the_line_is_cut_blocks_are_polled_and_it_is_begun_again() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let line = NodeLine::to(world.foundation.chain_rpc_url()).await;
    listening(&mut world, &line.ws(), "200").await;
    is_heard(&world).await;

    line.is_cut();

    let said = subscription(&world, "it ended", |it| it["isConnected"] == false).await;
    assert!(said["failures"].as_u64() > Some(0), "{said}");
    let record = creates(&ana).await;
    world.wait_for_anchor(&record, "CONFIRMED").await;
    assert!(
        world
            .indexer
            .log()
            .contains("No new blocks are told, and they are polled")
    );
    line.is_mended();
    is_heard(&world).await;
    nothing_is_wrong(&world).await;
}

/// A node that accepts every subscription, tells of blocks that there never were, and then says more than anybody reads.
async fn lies_about_heads() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.expect("there is a free port");
    let at = listener.local_addr().expect("it has an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = accept_async(stream).await else {
                    return;
                };
                socket.next().await;
                let accepted = json!({ "jsonrpc": "2.0", "id": 1, "result": "0x1" });
                let head = json!({
                    "jsonrpc": "2.0", "method": "eth_subscription",
                    "params": { "subscription": "0x1", "result": { "number": "0x3b9aca00", "hash": "0x00" } },
                });
                let heads = std::iter::repeat_n(head.to_string(), 20);
                let much = "1".repeat(1 << 20);
                let says = std::iter::once(accepted.to_string())
                    .chain(heads)
                    .chain([much]);
                for text in says {
                    if socket.send(Message::text(text)).await.is_err() {
                        return;
                    }
                }
                while let Some(Ok(_)) = socket.next().await {}
            });
        }
    });
    format!("ws://{at}")
}

#[tokio::test]
async fn heads_that_never_were_change_nothing_and_a_message_without_end_is_not_read() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let liar = lies_about_heads().await;
    listening(&mut world, &liar, "200").await;

    let said = subscription(&world, "it said too much, and is begun again", |it| {
        it["failures"].as_u64() > Some(1)
    })
    .await;

    assert!(said["heads"].as_u64() >= Some(20), "{said}");
    let record = creates(&ana).await;
    world.wait_for_anchor(&record, "CONFIRMED").await;
    world.wait_for_indexer().await;
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn a_node_that_is_only_listened_to_is_not_enough() {
    let world = World::start().await;
    let deployment = world.foundation.dir().join("deployment.json");
    let url = world.foundation.url_of("meditrustal_indexer");
    let command = std::process::Command::new(&world.foundation.programs.indexer)
        .args(["config", "check"])
        .env_clear()
        .env("DATABASE_URL", url.expect("there is such a role"))
        .env("CHAIN_RPC_URLS", "wss://node.example.org/v2/hunter2")
        .env("MEDITRUSTAL_DEPLOYMENT_FILE", deployment)
        .env("MEDITRUSTAL_ENVIRONMENT", "development")
        .output()
        .expect("the program starts");

    let said = [command.stdout, command.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(command.status.code(), Some(1), "{said}");
    assert!(
        said.contains("no node is named that can be asked"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}
