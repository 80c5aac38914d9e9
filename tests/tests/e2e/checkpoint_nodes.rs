//! What one of several nodes says has no checkpoint signed, given up or called a contradiction while another one says otherwise.

use serde_json::{Value, json};
use tests::{World, eventually, text};

use crate::checkpoints::{CHECKPOINTER, asks, pinned, pinning, rows, waits_for_state};
use crate::lying_node::LyingNode;
use crate::relay::mines;
use crate::relay_nodes::{differ, has_two, says_too_low};

/// A world whose api asks this node first, which can lie, and has the real one beside it; all of its trail is pinned.
async fn world() -> (World, LyingNode) {
    let mut world = pinning(1).await;
    let real = world.foundation.chain_rpc_url().to_owned();
    let node = LyingNode::before(&real).await;
    has_two(&mut world, node.url(), &real).await;
    is_pinned(&world).await;
    (world, node)
}

/// All rows that there are now are pinned, and nothing is wrong.
async fn is_pinned(world: &World) {
    pinned(world, rows(world).await).await;
    waits_for_state(world, "ON").await;
}

/// Every checkpoint that was signed.
async fn signed(world: &World) -> Vec<Value> {
    let query = "SELECT tx_hash, nonce, state FROM audit_checkpoints ORDER BY id";
    world.sql(query).await
}

/// The next nonce of the account that pins, as a node says it.
fn says_nonce(method: &str, params: &Value, answer: &mut Value, nonce: i64) {
    let account = params[0].as_str().unwrap_or_default();
    if method == "eth_getTransactionCount" && account.eq_ignore_ascii_case(CHECKPOINTER) {
        answer["result"] = json!(format!("{nonce:#x}"));
    }
}

#[tokio::test]
async fn no_checkpoint_is_signed_with_a_nonce_that_one_node_alone_calls_the_next() {
    let (world, node) = world().await;
    let before = signed(&world).await;
    node.lies(|method, params, answer| says_nonce(method, params, answer, 255));

    world.patient("bea").await;

    differ(&world, "the next nonce of").await;
    waits_for_state(&world, "NODES_DIFFER").await;
    assert_eq!(signed(&world).await, before);

    node.is_honest_again();

    is_pinned(&world).await;
}

#[tokio::test]
async fn one_node_alone_makes_no_other_trail_of_what_is_pinned() {
    let (world, node) = world().await;
    let before = signed(&world).await;
    let held = asks(&world, "latestCheckpoint()", "").await;
    let other = format!("0x{}{}", &held[..128], "11".repeat(32));
    let held = format!("0x{held}");
    node.lies(move |method, _, answer| {
        if method == "eth_call" && answer["result"] == held.as_str() {
            answer["result"] = json!(other);
        }
    });

    world.patient("bea").await;

    differ(&world, "the registry's last checkpoint is of").await;
    waits_for_state(&world, "NODES_DIFFER").await;
    assert_eq!(signed(&world).await, before);
    let findings = world.sql("SELECT kind FROM integrity_findings").await;
    assert!(findings.is_empty(), "{findings:?}");

    node.is_honest_again();

    is_pinned(&world).await;
}

#[tokio::test]
async fn a_checkpoint_whose_nonce_one_node_alone_calls_used_is_not_given_up() {
    let (world, node) = world().await;
    mines(&world, false).await;
    world.patient("bea").await;
    let waiting = eventually("one waits at the node", async || {
        let newest = signed(&world).await.pop()?;
        let asked = json!([newest["tx_hash"]]);
        let found = world.rpc("eth_getTransactionByHash", asked).await;
        (newest["state"] == "SIGNED" && !found.is_null()).then_some(newest)
    })
    .await;
    let before = signed(&world).await;
    let next = waiting["nonce"].as_i64().expect("a number") + 1;
    node.lies(move |method, params, answer| {
        says_too_low(method, answer);
        says_nonce(method, params, answer, next);
    });

    // It is handed over again.
    world
        .attacks("UPDATE audit_checkpoints SET next_send_at = now() WHERE state = 'SIGNED'")
        .await;

    differ(&world, "by no transaction of ours").await;
    assert_eq!(signed(&world).await, before);

    node.is_honest_again();
    mines(&world, true).await;
    world.rpc("evm_mine", json!([])).await;

    is_pinned(&world).await;
    let after = signed(&world).await;
    let of_it = after.iter().find(|it| it["tx_hash"] == waiting["tx_hash"]);
    let state = of_it.map(|it| text(&it["state"]));
    assert_eq!(state.as_deref(), Some("ANCHORED"), "{after:?}");
    assert!(after.iter().all(|it| it["state"] != "FAILED"), "{after:?}");
}
