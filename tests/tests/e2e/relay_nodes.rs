//! What one of several nodes says of a transaction leads to nothing that cannot be taken back or costs money while another one says
//! otherwise.

use serde_json::{Value, json};
use tests::{Person, World, eventually, text};

use crate::lying_node::{Delivered, LyingNode};
use crate::relay::{
    at_the_node, attempts, costs, fee, is_anchored_once, knows, measured, mines, next_nonce,
    nonces, signs_elsewhere, stuck, wait_for_stuck, world,
};

/// Another api in the place of the world's, which asks the first of these nodes, and has the second beside it; and somebody who
/// speaks to it.
pub(crate) async fn has_two(world: &mut World, first: &str, second: &str) -> Person {
    let ana = world.patient("ana").await;
    world.api.stop().await;
    let environment = [("CHAIN_RPC_URL", first), ("CHAIN_RPC_URLS", second)];
    world.api = world.another_api("api-with-two-nodes", &environment).await;
    ana.at(&world.api)
}

/// Waits until the api says that two nodes differ.
pub(crate) async fn differ(world: &World, about: &str) {
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

/// What a node says to each transaction instead of taking it.
fn says_of_transactions(method: &str, answer: &mut Value, message: &str) {
    if method == "eth_sendRawTransaction" {
        let error = json!({ "code": -32000, "message": message });
        *answer = json!({ "jsonrpc": "2.0", "id": answer["id"], "error": error });
    }
}

/// The node takes no transaction: it says that its nonce is used.
pub(crate) fn says_too_low(method: &str, answer: &mut Value) {
    says_of_transactions(method, answer, "nonce too low");
}

/// What a node calls a fair tip.
fn says_tip(method: &str, answer: &mut Value, wei: u128) {
    if method == "eth_maxPriorityFeePerGas" {
        answer["result"] = json!(format!("{wei:#x}"));
    }
}

/// What a unit of gas costs in each block, as a node says it.
fn says_price(method: &str, answer: &mut Value, wei: u128) {
    if method == "eth_getBlockByNumber" && answer["result"].is_object() {
        answer["result"]["baseFeePerGas"] = json!(format!("{wei:#x}"));
    }
}

/// What is usually offered for a unit of gas. Unit: wei.
async fn usual(world: &World) -> u128 {
    let wei = |quantity: &Value| {
        let digits = text(quantity);
        u128::from_str_radix(&digits[2..], 16).expect("a quantity")
    };
    let newest = world.rpc("eth_getBlockByNumber", json!(["latest", false]));
    let tip = world.rpc("eth_maxPriorityFeePerGas", json!([])).await;
    2 * wei(&newest.await["baseFeePerGas"]) + wei(&tip)
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

#[tokio::test]
async fn a_fee_that_one_node_alone_calls_usual_is_not_offered() {
    let mut world = world().await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let node = LyingNode::before(&real).await;
    let ana = has_two(&mut world, node.url(), &real).await;
    let ours = next_nonce(&world).await;
    let (record, sent) = at_the_node(&world, &ana).await;

    node.lies(|method, _, answer| says_tip(method, answer, 400_000_000_000));

    differ(&world, "a transaction offers too little").await;
    let as_it_was = [(ours, "SENT".to_owned(), 1)];
    assert_eq!(nonces(&world, &record).await, as_it_was);
    assert!(stuck(&world).await.is_empty());
    // An operator is told where it lasts.
    world
        .attacks("UPDATE anchor_attempts SET created_at = created_at - interval '2 minutes'")
        .await;
    wait_for_stuck(&world, &record, "NODES_DIFFER", true).await;
    assert_eq!(nonces(&world, &record).await, as_it_was);

    node.is_honest_again();
    mines(&world, true).await;
    world.rpc("evm_mine", json!([])).await;

    assert_eq!(is_anchored_once(&world, &record).await, sent);
    wait_for_stuck(&world, &record, "NODES_DIFFER", false).await;
}

#[tokio::test]
async fn a_fee_is_raised_once_the_second_node_does_not_call_it_too_much() {
    let mut world = world().await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let node = LyingNode::before(&real).await;
    let ana = has_two(&mut world, &real, node.url()).await;
    let ours = next_nonce(&world).await;
    let (record, first) = at_the_node(&world, &ana).await;
    node.lies(|method, _, answer| {
        says_tip(method, answer, 1);
        says_price(method, answer, 1);
        says_of_transactions(method, answer, "already known");
    });

    costs(&world, 100).await;

    differ(&world, "a transaction offers too little").await;
    assert_eq!(
        nonces(&world, &record).await,
        [(ours, "SENT".to_owned(), 1)]
    );

    node.is_honest_again();

    let newest = eventually("another one is signed", async || {
        let mut signed = attempts(&world, &record).await;
        let newest = signed.pop()?;
        (!signed.is_empty()).then_some(newest)
    })
    .await;
    assert!(fee(&newest) >= 100_000_000_000, "{newest}");
    knows(&world, &text(&newest["tx_hash"])).await;
    world.rpc("evm_mine", json!([])).await;
    assert_ne!(is_anchored_once(&world, &record).await, first);
    assert_eq!(nonces(&world, &record).await.len(), 1, "the nonce stays");
}

#[tokio::test]
async fn a_fee_is_raised_by_an_eighth_where_two_nodes_differ_for_long() {
    let mut world = world().await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let node = LyingNode::before(&real).await;
    let ana = has_two(&mut world, &real, node.url()).await;
    let (record, first) = at_the_node(&world, &ana).await;
    node.lies(|method, _, answer| {
        says_tip(method, answer, 1);
        says_price(method, answer, 1);
        says_of_transactions(method, answer, "already known");
    });
    costs(&world, 100).await;
    differ(&world, "a transaction offers too little").await;
    assert_eq!(attempts(&world, &record).await.len(), 1);

    world
        .attacks("UPDATE anchor_attempts SET created_at = created_at - interval '11 minutes'")
        .await;

    let offered = eventually("another one is signed", async || {
        let signed = attempts(&world, &record).await;
        (signed.len() > 1).then_some(signed)
    })
    .await;
    assert_eq!(offered.len(), 2, "and no other for as long: {offered:?}");
    let before = fee(&offered[0]);
    assert_eq!(fee(&offered[1]), before + before.div_ceil(8), "{offered:?}");

    node.is_honest_again();

    let newest = eventually("what is usual is offered", async || {
        let newest = attempts(&world, &record).await.pop()?;
        (fee(&newest) >= 100_000_000_000).then_some(newest)
    })
    .await;
    knows(&world, &text(&newest["tx_hash"])).await;
    world.rpc("evm_mine", json!([])).await;
    assert_ne!(is_anchored_once(&world, &record).await, first);
}

#[tokio::test]
async fn a_node_that_calls_every_fee_too_low_has_no_more_offered_than_twice_the_usual() {
    let mut world = world().await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let node = LyingNode::before(&real).await;
    let ana = has_two(&mut world, node.url(), &real).await;
    let ours = next_nonce(&world).await;
    mines(&world, false).await;
    // No transaction comes through it.
    node.asks_otherwise(|method, params| {
        if method == "eth_sendRawTransaction" {
            *params = json!(["0x00"]);
        }
    });
    node.lies(|method, _, answer| {
        says_of_transactions(method, answer, "replacement transaction underpriced");
    });

    let record = measured(&ana).await;

    differ(&world, "a transaction offers too little").await;
    let offered = attempts(&world, &record).await;
    let (first, last) = (fee(&offered[0]), fee(&offered[offered.len() - 1]));
    let most = 2 * usual(&world).await;
    assert!(first < last && last <= most, "{offered:?} of {most}");
    let rows = nonces(&world, &record).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].0, rows[0].1.as_str()), (ours, "QUEUED"));

    node.is_honest_again();
    mines(&world, true).await;
    world.rpc("evm_mine", json!([])).await;

    let mined = is_anchored_once(&world, &record).await;
    let signed = attempts(&world, &record).await;
    assert!(signed.iter().any(|it| it["tx_hash"] == mined.as_str()));
}
