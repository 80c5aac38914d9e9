//! What one of several nodes says of a transaction leads to nothing that cannot be taken back while another one says otherwise.

use serde_json::{Value, json};
use tests::{Person, World, eventually};

use crate::lying_node::{Delivered, LyingNode};
use crate::relay::{
    at_the_node, is_anchored_once, measured, mines, next_nonce, nonces, signs_elsewhere, stuck,
    wait_for_stuck, world,
};

/// Another api in the place of the world's, which asks the first of these nodes, and has the second beside it; and somebody who
/// speaks to it.
async fn has_two(world: &mut World, first: &str, second: &str) -> Person {
    let ana = world.patient("ana").await;
    world.api.stop().await;
    let environment = [("CHAIN_RPC_URL", first), ("CHAIN_RPC_URLS", second)];
    world.api = world.another_api("api-with-two-nodes", &environment).await;
    ana.at(&world.api)
}

/// Waits until the relay says that two nodes differ.
async fn differ(world: &World, about: &str) {
    eventually("it is said that they differ", async || {
        let log = world.api.log();
        let mut lines = log.lines();
        lines
            .any(|line| {
                line.contains("until two of the chain's nodes agree") && line.contains(about)
            })
            .then_some(())
    })
    .await;
}

/// The account's next nonce, as a node says it.
fn says_nonce(method: &str, answer: &mut Value, nonce: i64) {
    if method == "eth_getTransactionCount" {
        answer["result"] = json!(format!("{nonce:#x}"));
    }
}

/// The node takes no transaction: it says that its nonce is used.
fn says_too_low(method: &str, answer: &mut Value) {
    if method == "eth_sendRawTransaction" {
        let error = json!({ "code": -32000, "message": "nonce too low" });
        *answer = json!({ "jsonrpc": "2.0", "id": answer["id"], "error": error });
    }
}

#[tokio::test]
async fn a_nonce_that_one_node_alone_calls_used_is_neither_passed_over_nor_signed_for_again() {
    let mut world = world().await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let node = LyingNode::before(&real).await;
    let ana = has_two(&mut world, node.url(), &real).await;
    let ours = next_nonce(&world).await;
    // No transaction comes through it.
    node.asks_otherwise(|method, params| {
        if method == "eth_sendRawTransaction" {
            *params = json!(["0x00"]);
        }
    });
    node.lies(move |method, _, answer| {
        says_too_low(method, answer);
        says_nonce(method, answer, ours + 3);
    });

    let record = measured(&ana).await;

    differ(&world, "by no transaction of ours").await;
    assert_eq!(
        nonces(&world, &record).await,
        [(ours, "QUEUED".to_owned(), 1)]
    );
    assert_eq!(next_nonce(&world).await, ours + 1);
    assert!(stuck(&world).await.is_empty());
    // An operator is told where it lasts.
    world
        .attacks("UPDATE anchor_attempts SET created_at = created_at - interval '2 minutes'")
        .await;
    wait_for_stuck(&world, &record, "NODES_DIFFER", true).await;
    assert_eq!(nonces(&world, &record).await.len(), 1);

    node.is_honest_again();

    is_anchored_once(&world, &record).await;
    assert_eq!(
        nonces(&world, &record).await,
        [(ours, "MINED".to_owned(), 1)]
    );
    wait_for_stuck(&world, &record, "NODES_DIFFER", false).await;
}

#[tokio::test]
async fn a_transaction_that_one_node_alone_calls_reverted_is_not_given_up() {
    let mut world = world().await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let node = LyingNode::before(&real).await;
    let ana = has_two(&mut world, node.url(), &real).await;
    let ours = next_nonce(&world).await;
    let (record, sent) = at_the_node(&world, &ana).await;
    let newest = world.rpc("eth_getBlockByNumber", json!(["latest", false]));
    let newest = newest.await;
    let receipt = json!({
        "status": "0x0", "blockNumber": newest["number"], "blockHash": newest["hash"], "logs": [],
    });

    node.lies(move |method, _, answer| {
        says_too_low(method, answer);
        if method == "eth_getTransactionReceipt" {
            answer["result"] = receipt.clone();
        }
    });

    differ(&world, &format!("{sent} was mined without effect")).await;
    assert_eq!(
        nonces(&world, &record).await,
        [(ours, "SENT".to_owned(), 1)]
    );
    assert_eq!(next_nonce(&world).await, ours + 1);
    let failed = "SELECT state FROM record_anchors WHERE state = 'FAILED'";
    assert!(world.sql(failed).await.is_empty());

    mines(&world, true).await;
    world.rpc("evm_mine", json!([])).await;

    assert_eq!(is_anchored_once(&world, &record).await, sent);
    node.is_honest_again();
    let after = measured(&ana).await;
    is_anchored_once(&world, &after).await;
    assert_eq!(nonces(&world, &after).await.len(), 1);
}

#[tokio::test]
async fn a_nonce_that_is_used_is_passed_over_once_the_second_node_says_so_too() {
    let mut world = world().await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let node = LyingNode::before(&real).await;
    let ana = has_two(&mut world, &real, node.url()).await;
    let ours = next_nonce(&world).await;
    node.lies(move |method, _, answer| says_nonce(method, answer, ours));
    signs_elsewhere(&world).await;

    let record = measured(&ana).await;

    differ(&world, "by no transaction of ours").await;
    assert_eq!(
        nonces(&world, &record).await,
        [(ours, "QUEUED".to_owned(), 1)]
    );

    node.is_honest_again();

    is_anchored_once(&world, &record).await;
    assert_eq!(
        nonces(&world, &record).await,
        [
            (ours, "REPLACED".to_owned(), 1),
            (ours + 1, "MINED".to_owned(), 1)
        ]
    );
}

#[tokio::test]
async fn a_second_node_that_says_nothing_keeps_no_record_from_the_chain() {
    let mut world = world().await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let node = LyingNode::before(&real).await;
    let ana = has_two(&mut world, &real, node.url()).await;
    let ours = next_nonce(&world).await;
    node.delivers(|_, _| Delivered::Silent);
    signs_elsewhere(&world).await;

    let record = measured(&ana).await;

    is_anchored_once(&world, &record).await;
    assert_eq!(
        nonces(&world, &record).await,
        [
            (ours, "REPLACED".to_owned(), 1),
            (ours + 1, "MINED".to_owned(), 1)
        ]
    );
    // It rests: what is asked next does not wait for it as long.
    let said = world.api.says("/health/ready").await;
    assert_ne!(said["nodes"][1]["failures"], 0, "{said}");
}
