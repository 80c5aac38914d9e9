//! What is final and is contradicted: by the chain, and an operator who names the wrong block; by another node.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tests::{World, documents, eventually, id};
use tokio::process::Command;

use crate::lying_node::LyingNode;

async fn anchored(world: &World) -> String {
    let ana = world.patient("ana").await;
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    let record = id(&record.await);
    world.wait_for_anchor(&record, "CONFIRMED").await;
    record
}

#[tokio::test]
async fn a_block_to_go_back_to_that_the_chain_does_not_have_is_refused_and_the_right_one_is_named()
{
    let mut world = World::start().await;
    let record = anchored(&world).await;
    world.mine(8).await;
    world.wait_for_anchor(&record, "FINALIZED").await;
    world.wait_for_indexer().await;
    let newest = world.block_number().await;
    world.reorg(6).await;
    eventually("the indexer is halted", async || {
        let said = world.indexer.says("/health/ready").await;
        (said["halted"] == "REORG_BELOW_FINALITY").then_some(())
    })
    .await;
    world.indexer.stop().await;
    let cursor = "SELECT block_number, block_hash, sequence, head FROM chain_cursors";
    let before = world.sql(cursor).await;

    let log = world.file("refused.log");
    let url = world.foundation.url_of("meditrustal_indexer");
    let deployment = world.foundation.dir().join("deployment.json");
    let running = Command::new(&world.foundation.programs.indexer)
        .args(["--accept-reorg-to", &(newest - 1).to_string()])
        .env_clear()
        .env("DATABASE_URL", url.expect("there is such a role"))
        .env("CHAIN_RPC_URL", world.foundation.chain_rpc_url())
        .env("MEDITRUSTAL_DEPLOYMENT_FILE", deployment)
        .env("MEDITRUSTAL_ENVIRONMENT", "development")
        .env("MEDITRUSTAL_HEAD_AGE", "0")
        .env("MEDITRUSTAL_FINALITY_DEPTH", "4")
        .env("MEDITRUSTAL_INDEXER_LISTEN", "127.0.0.1:0")
        .env("MEDITRUSTAL_LOG_FILE", &log)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut running = running.expect("the program starts");

    let refused = format!("--accept-reorg-to {} is refused", newest - 1);
    let told = eventually("it is refused", async || {
        let told = fs::read_to_string(&log).unwrap_or_default();
        told.contains(&refused).then_some(told)
    })
    .await;
    assert!(told.contains("the newest block that is known to be the same is"));
    running.kill().await.expect("it runs");
    assert_eq!(world.sql(cursor).await, before, "nothing was taken back");

    world.indexer = world.indexer_back_to(newest - 7).await;
    world.wait_for_indexer().await;
    let undone = "SELECT id FROM chain_events WHERE undone_at IS NOT NULL";
    assert_eq!(world.sql(undone).await, Vec::<Value>::new());
}

#[tokio::test]
async fn nothing_is_called_final_while_another_node_has_another_block_there() {
    let mut world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    world.indexer.stop().await;
    let environment = [("CHAIN_RPC_URLS", node.url())];
    world.indexer = world.another_indexer("disagreeing", &environment).await;
    let record = anchored(&world).await;
    world.wait_for_indexer().await;
    let anchor = world.wait_for_anchor(&record, "CONFIRMED").await;
    let from = anchor["block_number"].as_u64();
    node.lies(move |method, _, answer| {
        let number = answer["result"]["number"].as_str();
        let number = number.and_then(|it| u64::from_str_radix(it.strip_prefix("0x")?, 16).ok());
        if method == "eth_getBlockByNumber" && number >= from {
            answer["result"]["hash"] = json!(format!("0x{}", "22".repeat(32)));
        }
    });

    world.mine(40).await;

    eventually("it says so", async || {
        let log = world.indexer.log();
        log.contains("nothing more is called final until they agree")
            .then_some(())
    })
    .await;
    let anchor = world.wait_for_anchor(&record, "CONFIRMED").await;
    assert_eq!(anchor["state"], "CONFIRMED");
    node.is_honest_again();
    world.wait_for_anchor(&record, "FINALIZED").await;
    let undone = "SELECT id FROM chain_events WHERE undone_at IS NOT NULL";
    assert_eq!(world.sql(undone).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_block_between_two_that_are_remembered_is_not_called_final_against_another_node() {
    let mut world = World::with(|options| options.slots_in_an_epoch = 8).await;
    world.wait_for_indexer().await;
    world.indexer.stop().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let registry = world.foundation.deployment.registry.clone();
    let cursor = format!(
        "SELECT block_number, finalized_block FROM chain_cursors WHERE registry = '{registry}'"
    );
    let at = world.sql(&cursor).await[0]["block_number"].as_u64();
    let at = at.expect("the indexer was somewhere");
    // Read by ranges of twenty blocks, or a multiple of twenty, up to what is final; sixteen blocks below is the first that is
    // called final, and no range ends there.
    let newest = at + 16 + 16 + 90;
    world.mine(newest - world.block_number().await).await;
    let fork = newest - 16 - 16;
    node.lies(move |method, _, answer| {
        let number = answer["result"]["number"].as_str();
        let number = number.and_then(|it| u64::from_str_radix(it.strip_prefix("0x")?, 16).ok());
        if method == "eth_getBlockByNumber" && number >= Some(fork) {
            answer["result"]["hash"] = json!(format!("0x{}", "22".repeat(32)));
        }
    });
    // It is not ready before the nodes agree.
    let environment = [("CHAIN_RPC_URLS", node.url())];
    let log = world.foundation.dir().join("logs/jumping.log");
    let disagreement = async {
        eventually("it says so", async || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            log.contains("nothing more is called final until they agree")
                .then_some(())
        })
        .await;
        let finalized = world.sql(&cursor).await[0]["finalized_block"].as_u64();
        assert!(finalized < Some(fork), "{finalized:?} before {fork}");
        node.is_honest_again();
    };
    let started = world.another_indexer("jumping", &environment);
    let (started, ()) = tokio::join!(started, disagreement);
    world.indexer = started;
    eventually("all that is deep enough is final", async || {
        let row = world.sql(&cursor).await.pop()?;
        (row["finalized_block"].as_u64() >= Some(newest - 16)).then_some(())
    })
    .await;
}
