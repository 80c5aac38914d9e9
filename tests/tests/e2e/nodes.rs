//! Nodes that lie, know nothing, or end: what the indexer believes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id, text};

use crate::lying_node::{LyingNode, each_log, refuse};

/// A world whose indexer asks a node in between, in which sixteen blocks can be undone.
async fn lied_to(more: &[(&str, &str)]) -> (World, LyingNode) {
    let mut world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    world.indexer.stop().await;
    let environment = [&[("CHAIN_RPC_URL", node.url())][..], more].concat();
    world.indexer = world.another_indexer("lied-to", &environment).await;
    (world, node)
}

/// The same with the real node beside it.
async fn lied_to_by_one_of_two() -> (World, LyingNode) {
    let mut world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    world.indexer.stop().await;
    let environment = [
        ("CHAIN_RPC_URL", node.url()),
        ("CHAIN_RPC_URLS", world.foundation.chain_rpc_url()),
    ];
    world.indexer = world.another_indexer("one-of-two", &environment).await;
    (world, node)
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

/// Waits until the indexer says this of what it asks.
async fn is_halted(world: &World, reason: &str) {
    eventually(&format!("it is halted: {reason}"), async || {
        let said = world.indexer.says("/health/ready").await;
        (said["halted"] == reason).then_some(())
    })
    .await;
}

async fn logs(world: &World, text: &str) {
    eventually(&format!("it says {text}"), async || {
        world.indexer.log().contains(text).then_some(())
    })
    .await;
}

async fn nothing_is_wrong(world: &World) {
    let undone = "SELECT id FROM chain_events WHERE undone_at IS NOT NULL";
    assert_eq!(world.sql(undone).await, Vec::<Value>::new());
    let found = "SELECT kind, details FROM integrity_findings";
    assert_eq!(world.sql(found).await, Vec::<Value>::new());
}

/// The transaction that a record names, and the ones that were signed for it.
async fn transactions(world: &World, record: &str) -> (String, Vec<String>) {
    let named = format!("SELECT blockchain_record_id FROM medical_records WHERE id = '{record}'");
    let signed = format!(
        "SELECT tx_hash FROM anchor_attempts JOIN anchor_outbox ON anchor_outbox.id = outbox_id
         WHERE record_id = '{record}'"
    );
    let signed = world.sql(&signed).await;
    let named = world.sql(&named).await;
    (
        text(&named[0]["blockchain_record_id"]),
        signed.iter().map(|row| text(&row["tx_hash"])).collect(),
    )
}

#[tokio::test]
async fn a_log_that_its_receipt_contradicts_is_not_applied_and_the_true_one_is() {
    let (world, node) = lied_to(&[]).await;
    let ana = world.patient("ana").await;
    let lies: [fn(&mut Value); 2] = [
        |log| log["transactionHash"] = json!(format!("0x{}", "11".repeat(32))),
        |log| log["logIndex"] = json!("0x7"),
    ];
    for lie in lies {
        node.lies(move |method, _, answer| each_log(method, answer, lie));
        let record = creates(&ana).await;

        is_halted(&world, "LOG_NOT_PROVEN").await;

        let state = format!("SELECT state FROM record_anchors WHERE record_id = '{record}'");
        let state = text(&world.sql(&state).await[0]["state"]);
        assert!(
            ["PENDING", "SUBMITTED"].contains(&state.as_str()),
            "{state}"
        );
        node.is_honest_again();
        let anchor = world.wait_for_anchor(&record, "CONFIRMED").await;
        let (named, signed) = transactions(&world, &record).await;
        assert_eq!(signed, std::slice::from_ref(&named));
        assert_eq!(anchor["tx_hash"], named.as_str());
    }
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn a_block_hash_that_is_false_once_undoes_nothing() {
    let (world, node) = lied_to(&[]).await;
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;
    world.mine(2).await;
    world.wait_for_indexer().await;
    let newest = format!("{:#x}", world.block_number().await);
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);

    node.lies(move |method, params, answer| {
        let is_about_it = method == "eth_getBlockByNumber" && params[0] == newest.as_str();
        if is_about_it && count.fetch_add(1, Ordering::Relaxed) == 0 {
            answer["result"]["hash"] = json!(format!("0x{}", "22".repeat(32)));
        }
    });

    logs(&world, "Nothing is undone").await;
    assert!(told.load(Ordering::Relaxed) > 1, "it was asked again");
    anchored(&world, &ana).await;
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn a_log_that_is_missing_at_the_end_is_not_passed_over_while_nobody_says_so() {
    let (world, node) = lied_to(&[]).await;
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;
    world.wait_for_indexer().await;
    let no_state = |method: &str, params: &Value, answer: &mut Value| {
        if method == "eth_call" && params[1].is_object() {
            refuse(answer);
        }
    };

    node.lies(move |method, params, answer| {
        no_state(method, params, answer);
        if method == "eth_getLogs" {
            answer["result"] = json!([]);
        }
    });
    let first = creates(&ana).await;
    logs(&world, "are not applied").await;
    let applied = "SELECT block_number FROM chain_cursors";
    let applied = world.sql(applied).await[0]["block_number"].as_u64();
    assert!(applied < Some(world.block_number().await));
    let written = "SELECT updated_at::text FROM chain_cursors";
    let before = text(&world.sql(written).await[0]["updated_at"]);
    eventually("it says that it leads all the same", async || {
        let now = text(&world.sql(written).await[0]["updated_at"]);
        (now != before).then_some(())
    })
    .await;

    // The next event shows that nothing is missing before it, and nothing of what comes after it.
    node.lies(no_state);
    let second = creates(&ana).await;
    world.wait_for_anchor(&first, "CONFIRMED").await;
    let state = format!("SELECT state FROM record_anchors WHERE record_id = '{second}'");
    assert_ne!(world.sql(&state).await[0]["state"], "CONFIRMED");

    node.is_honest_again();
    world.wait_for_anchor(&second, "CONFIRMED").await;
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn a_node_without_an_index_of_transactions_is_asked_for_the_receipts_of_blocks() {
    let (world, node) = lied_to(&[]).await;
    let ana = world.patient("ana").await;
    let lies: [fn(&mut Value); 2] = [refuse, |answer| answer["result"] = Value::Null];
    for lie in lies {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        node.lies(move |method, _, answer| match method {
            "eth_getTransactionReceipt" => lie(answer),
            "eth_getBlockReceipts" => {
                count.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        });
        anchored(&world, &ana).await;
        assert!(asked.load(Ordering::Relaxed) > 0);
    }
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn ranges_that_are_too_much_for_a_node_are_read_from_their_beginnings() {
    let (world, node) = lied_to(&[]).await;
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;
    world.indexer.pause();
    let mut records = Vec::new();
    for _ in 0..3 {
        let before = world.block_number().await;
        records.push(creates(&ana).await);
        eventually("it is in a block", async || {
            (world.block_number().await > before).then_some(())
        })
        .await;
        world.mine(7).await;
    }
    world.mine(16).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    node.lies(move |method, params, answer| {
        let filter = &params[0];
        if method == "eth_getLogs" && filter["fromBlock"] != filter["toBlock"] {
            count.fetch_add(1, Ordering::Relaxed);
            refuse(answer);
        }
    });
    world.indexer.resume();
    for record in &records {
        world.wait_for_anchor(record, "FINALIZED").await;
    }
    assert!(refused.load(Ordering::Relaxed) > 0, "it asked for ranges");
    let order = "SELECT event.sequence
                 FROM registry_feed
                 JOIN chain_events AS event ON event.id = event_id
                 WHERE event.kind = 'RECORD_ANCHORED'
                 ORDER BY position";
    let told = world.sql(order).await;
    let told: Vec<Option<i64>> = told.iter().map(|row| row["sequence"].as_i64()).collect();
    let is_in_order = told.is_sorted_by(|before, after| before < after);
    assert!(
        is_in_order,
        "each once, in the order of the chain: {told:?}"
    );
    nothing_is_wrong(&world).await;
}

/// What an indexer says that is ready and asks the second of its nodes: what it says of them follows what it has written.
async fn asks_the_second(world: &World) -> Value {
    eventually("it asks the second node and is ready", async || {
        let said = world.indexer.says("/health/ready").await;
        let is_so = said["nodes"][1]["isUsed"] == true && said["ready"] == true;
        is_so.then_some(said)
    })
    .await
}

#[tokio::test]
async fn another_node_is_asked_where_the_chain_of_one_seems_to_move_for_ever() {
    let (world, node) = lied_to_by_one_of_two().await;
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;

    node.lies(|method, _, answer| {
        if method == "eth_getLogs" {
            refuse(answer);
        }
    });

    anchored(&world, &ana).await;
    asks_the_second(&world).await;
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn nothing_is_final_before_it_is_as_deep_as_the_operator_says() {
    let (world, node) = lied_to(&[]).await;
    let ana = world.patient("ana").await;
    let lies: [fn(&mut Value); 3] = [
        |answer| answer["result"]["number"] = json!("0x3b9aca00"),
        |answer| answer["result"] = Value::Null,
        refuse,
    ];
    for lie in lies {
        node.lies(move |method, params, answer| {
            if method == "eth_getBlockByNumber" && params[0] == "finalized" {
                lie(answer);
            }
        });
        let record = anchored(&world, &ana).await;
        world.mine(15).await;
        world.wait_for_indexer().await;
        let anchor = world.wait_for_anchor(&record, "CONFIRMED").await;
        assert_eq!(anchor["state"], "CONFIRMED", "fifteen are one too few");
        world.mine(1).await;
        world.wait_for_anchor(&record, "FINALIZED").await;
    }
}

#[tokio::test]
async fn blocks_that_were_undone_without_others_in_their_place_are_taken_back() {
    let world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let ana = world.patient("ana").await;
    let record = anchored(&world, &ana).await;
    world.mine(2).await;
    world.wait_for_indexer().await;

    world.rpc("anvil_rollback", json!([3])).await;

    eventually("the anchor was taken back", async || {
        let rows = world.audit_rows("new_value ->> 'state' = 'REORGED'").await;
        (rows.len() == 1).then_some(())
    })
    .await;
    world.wait_for_anchor(&record, "CONFIRMED").await;
}

#[tokio::test]
async fn another_node_is_asked_where_one_gives_no_answer_or_a_false_one() {
    let (world, node) = lied_to_by_one_of_two().await;
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;

    node.lies(|_, _, answer| refuse(answer));
    anchored(&world, &ana).await;
    let said = asks_the_second(&world).await;
    assert_eq!(said["nodes"][0]["isUsed"], false, "{said}");
    assert!(said["nodes"][0]["failures"].as_u64() > Some(0), "{said}");
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn a_false_log_is_settled_by_another_node() {
    let (world, node) = lied_to_by_one_of_two().await;
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;

    // For as long as it is asked.
    node.lies(|method, _, answer| {
        each_log(method, answer, |log| {
            log["transactionHash"] = json!(format!("0x{}", "11".repeat(32)));
        });
    });

    let record = anchored(&world, &ana).await;
    let (named, signed) = transactions(&world, &record).await;
    assert_eq!(signed, [named]);
    assert!(world.indexer.log().contains("Another node is asked"));
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn a_reorganisation_that_one_node_makes_up_undoes_nothing() {
    let (world, node) = lied_to_by_one_of_two().await;
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;
    world.mine(2).await;
    world.wait_for_indexer().await;
    let newest = world.block_number().await;

    node.lies(move |method, _, answer| {
        let number = answer["result"]["number"].as_str();
        let number = number.and_then(|it| u64::from_str_radix(it.strip_prefix("0x")?, 16).ok());
        if method == "eth_getBlockByNumber" && number == Some(newest) {
            answer["result"]["hash"] = json!(format!("0x{}", "22".repeat(32)));
        }
    });

    logs(&world, "nothing is undone").await;
    anchored(&world, &ana).await;
    nothing_is_wrong(&world).await;
}
