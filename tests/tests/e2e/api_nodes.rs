//! An api with several nodes: what it asks goes on where one of them ends, rests where it is asked to, and is of another chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id, text};

use crate::lying_node::{Delivered, LyingNode};
use crate::node_line::NodeLine;

/// Another api in the place of the world's, which asks this node first and the real one then; and somebody who speaks to it.
async fn asks_first(world: &mut World, node: &str) -> Person {
    let ana = world.patient("ana").await;
    world.api.stop().await;
    let environment = [
        ("CHAIN_RPC_URL", node),
        ("CHAIN_RPC_URLS", world.foundation.chain_rpc_url()),
    ];
    world.api = world.another_api("api-with-two-nodes", &environment).await;
    ana.at(&world.api)
}

async fn creates(person: &Person) -> String {
    let record = person.creates(person, "VITAL_SIGNS", documents::vital_signs());
    id(&record.await)
}

async fn anchored(world: &World, person: &Person) -> String {
    let record = creates(person).await;
    world.wait_for_anchor(&record, "CONFIRMED").await;
    record
}

/// What the api says of its nodes, once that is so.
async fn nodes(world: &World, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let said = world.api.says("/health/ready").await["nodes"].clone();
        is_so(&said).then_some(said)
    })
    .await
}

async fn verdict(person: &Person, record: &str) -> String {
    let verified = person.verifies(record).await;
    text(&verified.data()["verifyRecord"]["verdict"])
}

/// Waits until no verdict is given because the nodes differ. Until then it is the true one: a second node that is late, as on a
/// busy machine, holds up nothing.
async fn is_not_said(person: &Person, record: &str) {
    eventually("the two differ", async || {
        let answer = person.verifies(record).await;
        if answer.code().is_none() {
            let verdict = &answer.data()["verifyRecord"]["verdict"];
            assert_eq!(*verdict, "VERIFIED");
        }
        (answer.code() == Some("UNAVAILABLE")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn anchors_go_on_where_the_first_node_dies_and_nothing_is_signed_twice() {
    let mut world = World::start().await;
    let line = NodeLine::to(world.foundation.chain_rpc_url()).await;
    let ana = asks_first(&mut world, &line.http()).await;
    let before = anchored(&world, &ana).await;
    nodes(&world, "the first is asked", |it| it[0]["isUsed"] == true).await;

    line.is_cut();

    let mut records = vec![before];
    for _ in 0..3 {
        records.push(anchored(&world, &ana).await);
    }
    let said = nodes(&world, "the second is asked", |it| it[1]["isUsed"] == true).await;
    assert_eq!(said[0]["isWell"], false, "{said}");
    assert_eq!(world.api.says("/health/ready").await["ready"], true);
    for record in &records {
        assert_eq!(verdict(&ana, record).await, "VERIFIED");
    }
    let attempts = "SELECT count(*) AS attempts FROM anchor_attempts";
    assert_eq!(
        world.sql(attempts).await,
        [json!({ "attempts": records.len() })]
    );

    assert!(!world.api.log().contains("somebody else has the key"));
}

/// A node that is the real one until it wants to be left alone, for longer than any test takes; and how often it was asked since.
struct WearyNode {
    url: String,
    is_weary: Arc<AtomicBool>,
    asked_in_vain: Arc<AtomicUsize>,
}

impl WearyNode {
    async fn before(node: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let is_weary = Arc::new(AtomicBool::new(false));
        let asked_in_vain = Arc::new(AtomicUsize::new(0));
        let (node, http) = (node.to_owned(), dev::http::client());
        let (weary, count) = (Arc::clone(&is_weary), Arc::clone(&asked_in_vain));
        let answer = async move |asked: String| {
            if weary.load(Ordering::Relaxed) {
                count.fetch_add(1, Ordering::Relaxed);
                let later = [("retry-after", "60")];
                return (StatusCode::TOO_MANY_REQUESTS, later, String::new()).into_response();
            }
            let sent = http.post(&node).header("content-type", "application/json");
            let answered = sent.body(asked).send().await.expect("the node answers");
            answered.text().await.expect("a text").into_response()
        };
        let app = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            is_weary,
            asked_in_vain,
        }
    }
}

#[tokio::test]
async fn a_node_that_wants_to_be_left_alone_is_and_anchors_go_on() {
    let mut world = World::start().await;
    let node = WearyNode::before(world.foundation.chain_rpc_url()).await;
    let ana = asks_first(&mut world, &node.url).await;
    anchored(&world, &ana).await;

    node.is_weary.store(true, Ordering::Relaxed);

    anchored(&world, &ana).await;
    nodes(&world, "the second is asked", |it| it[1]["isUsed"] == true).await;
    // What was on its way to the first before it said so has come by then.
    anchored(&world, &ana).await;
    let asked = node.asked_in_vain.load(Ordering::Relaxed);
    assert!(asked > 0, "it said so");
    for _ in 0..3 {
        anchored(&world, &ana).await;
    }
    let later = node.asked_in_vain.load(Ordering::Relaxed);
    assert_eq!(later, asked, "it is left alone");
}

#[tokio::test]
async fn where_the_only_node_wants_to_be_left_alone_records_wait_and_are_served() {
    let mut world = World::start().await;
    let node = WearyNode::before(world.foundation.chain_rpc_url()).await;
    let ana = world.patient("ana").await;
    world.api.stop().await;
    let environment = [("CHAIN_RPC_URL", node.url.as_str())];
    world.api = world.another_api("api-with-one-node", &environment).await;
    let ana = ana.at(&world.api);
    anchored(&world, &ana).await;

    node.is_weary.store(true, Ordering::Relaxed);

    let record = creates(&ana).await;
    eventually("it says so", async || {
        (node.asked_in_vain.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    let refused = ana.verifies(&record).await;
    assert!(refused.code().is_some() || refused.data()["verifyRecord"]["verdict"] == "PENDING");
    let put_off = format!(
        "SELECT next_send_at > CURRENT_TIMESTAMP + interval '20 seconds' AS late
         FROM anchor_outbox WHERE record_id = '{record}'"
    );
    eventually("it is not sent for as long", async || {
        (world.sql(&put_off).await == [json!({ "late": true })]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_of_another_chain_takes_nobodys_place_and_is_refused_at_the_start() {
    let mut world = World::start().await;
    let line = NodeLine::to(world.foundation.chain_rpc_url()).await;
    let other = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let ana = world.patient("ana").await;
    world.api.stop().await;
    let (first, real) = (line.http(), world.foundation.chain_rpc_url().to_owned());
    let listed = format!("{},{real}", other.url());
    let environment = [
        ("CHAIN_RPC_URL", first.as_str()),
        ("CHAIN_RPC_URLS", listed.as_str()),
    ];
    world.api = world
        .another_api("api-with-three-nodes", &environment)
        .await;
    let ana = ana.at(&world.api);
    anchored(&world, &ana).await;
    let is_of_another_chain = |method: &str, _: &Value, answer: &mut Value| {
        if method == "eth_chainId" {
            answer["result"] = json!("0x1");
        }
    };

    other.lies(is_of_another_chain);
    line.is_cut();

    anchored(&world, &ana).await;
    let said = nodes(&world, "the third is asked", |it| it[2]["isUsed"] == true).await;
    let why = text(&said[1]["lastError"]);
    assert!(why.contains("chain 1 instead of 31337"), "{said}");
    line.is_mended();
    let port = dev::port::claim().expect("there are ports");
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let started = world
        .foundation
        .api("api-that-refuses", port, &environment)
        .await;
    let refused = started.expect_err("it does not start").to_string();
    assert!(refused.contains("the node is on chain 1"), "{refused}");
}

#[tokio::test]
async fn a_node_that_is_behind_says_of_no_anchor_that_it_is_missing() {
    let mut world = World::start().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let ana = asks_first(&mut world, node.url()).await;
    let before = format!("{:#x}", world.block_number().await);
    let record = anchored(&world, &ana).await;
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");

    node.asks_otherwise(move |_, params| {
        let params = params.as_array_mut().into_iter().flatten();
        for param in params.filter(|it| **it == "latest") {
            *param = json!(before);
        }
    });

    is_not_said(&ana, &record).await;
    node.is_honest_again();
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");
}

#[tokio::test]
async fn where_one_node_is_there_another_may_still_be_synchronising_at_the_start() {
    let mut world = World::start().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    node.lies(|method, _, answer| {
        if method == "eth_getCode" {
            answer["result"] = json!("0x");
        }
    });

    let ana = asks_first(&mut world, node.url()).await;

    anchored(&world, &ana).await;
    let said = nodes(&world, "the second is asked", |it| it[1]["isUsed"] == true).await;
    assert_eq!(said[0]["isWell"], false, "{said}");
    assert!(world.api.log().contains("Node 1 cannot be used yet"));
}

#[tokio::test]
async fn commands_ask_another_node_where_the_first_is_gone() {
    let world = World::start().await;
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.expect("there is the role");
    let deployment = world.foundation.dir().join("deployment.json");
    let deployment = deployment.display().to_string();
    let status = |listed: &str| {
        let environment = [
            ("DATABASE_URL", url.as_str()),
            // Nobody answers there.
            ("CHAIN_RPC_URL", "http://127.0.0.1:9"),
            ("CHAIN_RPC_URLS", listed),
            ("MEDITRUSTAL_DEPLOYMENT_FILE", deployment.as_str()),
        ];
        let programs = &world.foundation.programs;
        let done = programs.operate(&["signer", "status"], &environment, "");
        done.map_err(|error| error.to_string())
    };

    let said = status(world.foundation.chain_rpc_url()).expect("another one is asked");
    assert!(said.contains("may anchor"), "{said}");

    let said = status("ws://127.0.0.1:9").expect_err("none is left that is asked");
    assert!(said.contains("cannot be reached"), "{said}");
}

/// Another api in the place of the world's, which asks the real node first and has this one beside it.
async fn has_beside(world: &mut World, node: &str) -> Person {
    let ana = world.patient("ana").await;
    world.api.stop().await;
    let environment = [("CHAIN_RPC_URLS", node)];
    world.api = world
        .another_api("api-with-another-node", &environment)
        .await;
    ana.at(&world.api)
}

#[tokio::test]
async fn nothing_is_verified_while_a_second_node_has_another_block() {
    let mut world = World::start().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let ana = has_beside(&mut world, node.url()).await;
    let record = anchored(&world, &ana).await;
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");

    node.lies(|method, _, answer| {
        if method == "eth_getBlockByNumber" && answer["result"].is_object() {
            answer["result"]["hash"] = json!(format!("0x{}", "5a".repeat(32)));
        }
    });

    is_not_said(&ana, &record).await;
    assert!(world.api.log().contains("two of the chain's nodes differ"));
    node.is_honest_again();
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");
}

#[tokio::test]
async fn an_anchor_that_only_one_of_two_nodes_knows_is_neither_verified_nor_missing() {
    let mut world = World::start().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let ana = has_beside(&mut world, node.url()).await;
    let record = anchored(&world, &ana).await;
    let of_record = format!("SELECT record_hash FROM record_anchors WHERE record_id = '{record}'");
    let hash = text(&world.sql(&of_record).await[0]["record_hash"]);
    let knows_nothing = {
        let hash = hash.clone();
        move |method: &str, params: &Value, answer: &mut Value| {
            let is_asked = method == "eth_call" && params.to_string().contains(&hash);
            if let Some(told) = answer["result"].as_str().filter(|_| is_asked) {
                let zeros = "0".repeat(told.len().saturating_sub(2));
                answer["result"] = json!(format!("0x{zeros}"));
            }
        }
    };

    node.lies(knows_nothing.clone());

    // The second one does not know it.
    is_not_said(&ana, &record).await;
    node.is_honest_again();
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");
    // Nor does the first one, which is asked.
    world.api.stop().await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let environment = [
        ("CHAIN_RPC_URL", node.url()),
        ("CHAIN_RPC_URLS", real.as_str()),
    ];
    world.api = world.another_api("api-with-two-nodes", &environment).await;
    let ana = ana.at(&world.api);
    node.lies(knows_nothing);
    is_not_said(&ana, &record).await;
}

#[tokio::test]
async fn a_second_node_that_says_nothing_or_is_of_another_chain_holds_up_no_verification() {
    let mut world = World::start().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let ana = has_beside(&mut world, node.url()).await;
    let record = anchored(&world, &ana).await;

    node.delivers(|_, _| Delivered::Silent);
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");

    node.is_honest_again();
    node.lies(|method, _, answer| match method {
        "eth_chainId" => answer["result"] = json!("0x1"),
        "eth_getBlockByNumber" if answer["result"].is_object() => {
            answer["result"]["hash"] = json!(format!("0x{}", "5a".repeat(32)));
        }
        _ => {}
    });
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");
}

#[tokio::test]
async fn a_node_that_failed_once_is_held_against_the_other_again_after_its_rest() {
    let mut world = World::start().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let line = NodeLine::to(node.url()).await;
    let ana = asks_first(&mut world, &line.http()).await;
    line.is_cut();
    let record = anchored(&world, &ana).await;
    let said = nodes(&world, "the second is asked", |it| it[1]["isUsed"] == true).await;
    assert_eq!(said[0]["isWell"], false, "{said}");
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");

    node.lies(|method, _, answer| {
        if method == "eth_getBlockByNumber" && answer["result"].is_object() {
            answer["result"]["hash"] = json!(format!("0x{}", "5a".repeat(32)));
        }
    });
    line.is_mended();

    is_not_said(&ana, &record).await;
    assert!(world.api.log().contains("two of the chain's nodes differ"));
    node.is_honest_again();
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");
}

#[tokio::test]
async fn an_anchor_in_a_block_that_the_node_itself_does_not_have_is_not_verified() {
    let mut world = World::start().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let ana = asks_first(&mut world, node.url()).await;
    let before = format!("{:#x}", world.block_number().await);
    let record = anchored(&world, &ana).await;
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");

    node.asks_otherwise(move |method, params| {
        if method == "eth_getBlockByNumber" && params[0] == "latest" {
            params[0] = json!(before);
        }
    });

    is_not_said(&ana, &record).await;
    assert!(world.api.log().contains("two of the chain's nodes differ"));
    node.is_honest_again();
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");
}
