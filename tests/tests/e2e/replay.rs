//! `meditrustal-indexer replay`: what the indexer wrote, held against the chain once more, and replaced.

use serde_json::{Value, json};
use tests::transfer::Ended;
use tests::{World, documents, id};
use tokio::process::Command;

use crate::lying_node::{LyingNode, each_log, refuse};

/// The command, as this role, of this node.
async fn replay(world: &World, role: &str, node: &str, arguments: &[&str]) -> Ended {
    let url = world.foundation.url_of(role);
    let url = url.expect("there is such a role");
    let deployment = world.foundation.dir().join("deployment.json");
    let mut command = Command::new(&world.foundation.programs.indexer);
    command
        .arg("replay")
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", url)
        .env("CHAIN_RPC_URL", node)
        .env("MEDITRUSTAL_DEPLOYMENT_FILE", deployment);
    Ended::of(&mut command).await
}

/// What `--verify` finds, by the indexer's own role.
async fn verified(world: &World) -> Ended {
    let node = world.foundation.chain_rpc_url();
    replay(world, "meditrustal_indexer", node, &["--verify", "--json"]).await
}

/// A world in which three records were anchored, and everything was read.
async fn world() -> World {
    let world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let ana = world.patient("ana").await;
    for _ in 0..3 {
        let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
        world.wait_for_anchor(&id(&record.await), "CONFIRMED").await;
    }
    world.mine(3).await;
    world.wait_for_indexer().await;
    world
}

/// Everything that the indexer alone writes.
async fn tables(world: &World) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for asked in [
        "SELECT registry, block_number, block_hash, tx_hash, log_index, kind, subject_hash, actor, sequence, head, payload
         FROM chain_events WHERE undone_at IS NULL ORDER BY registry, sequence",
        "SELECT number, hash, parent_hash, sequence, head FROM chain_blocks ORDER BY number",
        "SELECT registry, block_number, block_hash, sequence, head FROM chain_cursors ORDER BY registry",
    ] {
        all.push(world.sql(asked).await);
    }
    all
}

#[tokio::test]
async fn what_was_followed_is_what_the_chain_says_also_after_a_reorganisation() {
    let world = world().await;
    world.reorg(2).await;
    world.mine(2).await;
    world.wait_for_indexer().await;

    let told = verified(&world).await.json();

    assert_eq!(told["differences"], 0, "{told}");
    assert_eq!(told["listed"], json!([]), "{told}");
    assert!(told["events"].as_u64() >= Some(3), "{told}");
    assert_eq!(told["anchors"], 3, "{told}");
    assert_eq!(told["toBlock"], world.block_number().await, "{told}");
}

#[tokio::test]
async fn each_row_that_was_changed_is_named_and_replaced_by_the_owner_alone() {
    let mut world = world().await;
    world.indexer.stop().await;
    let before = tables(&world).await;
    let node = world.foundation.chain_rpc_url().to_owned();
    let first = "sequence = (SELECT min(sequence) FROM chain_events WHERE kind = 'RECORD_ANCHORED')
                 AND kind = 'RECORD_ANCHORED'";
    let last = "id = (SELECT id FROM chain_events WHERE kind = 'RECORD_ANCHORED' ORDER BY sequence DESC LIMIT 1)";
    let cases = [
        (
            format!("UPDATE chain_events SET tx_hash = '0x' || repeat('1', 64) WHERE {first}"),
            "chain_events",
            json!({ "column": "tx_hash" }),
        ),
        (
            format!("UPDATE chain_events SET payload = '{{}}' WHERE {first}"),
            "chain_events",
            json!({ "column": "payload" }),
        ),
        (
            format!("DELETE FROM chain_events WHERE {last}"),
            "chain_events",
            json!("missing"),
        ),
        (
            format!("UPDATE chain_events SET undone_at = now() WHERE {last}"),
            "chain_events",
            json!("missing"),
        ),
        (
            format!("UPDATE chain_events SET sequence = 1000 WHERE {last}"),
            "chain_events",
            json!("surplus"),
        ),
        (
            "UPDATE chain_blocks SET sequence = sequence + 1
             WHERE number = (SELECT max(number) FROM chain_blocks)"
                .to_owned(),
            "chain_blocks",
            json!({ "column": "sequence" }),
        ),
        (
            "UPDATE chain_cursors SET head = '0x' || repeat('2', 50)".to_owned(),
            "chain_cursors",
            json!({ "column": "head" }),
        ),
    ];
    for (attack, table, fault) in cases {
        world.attacks(&attack).await;

        let told = verified(&world).await;
        assert_eq!(told.code, Some(1), "{attack}: {told:?}");
        let told = told.report();
        let listed = told["listed"].as_array().expect("a list");
        let is_it = |it: &&Value| it["table"] == table && it["fault"] == fault;
        assert!(listed.iter().any(|it| is_it(&it)), "{attack}: {told}");
        let tried = [
            ("meditrustal_migrator", &["--rebuild", "--dry-run"][..], 1),
            ("meditrustal_indexer", &["--rebuild"][..], 2),
        ];
        for (role, arguments, code) in tried {
            let ended = replay(&world, role, &node, arguments).await;
            assert_eq!(ended.code, Some(code), "{attack}: {ended:?}");
        }
        assert_ne!(tables(&world).await, before, "{attack}: nothing was done");

        let ended = replay(&world, "meditrustal_migrator", &node, &["--rebuild"]).await;

        assert_eq!(ended.code, Some(0), "{attack}: {ended:?}");
        assert_eq!(tables(&world).await, before, "{attack}");
        assert_eq!(verified(&world).await.json()["differences"], 0, "{attack}");
    }
    let rebuilt = world
        .audit_rows("action_type = 'INTEGRITY_FAILURE' AND new_value ->> 'state' = 'REBUILT'")
        .await;
    assert_eq!(rebuilt.len(), 7);
    // The indexer goes on from there.
    world.indexer.restart().await;
    world.mine(1).await;
    world.wait_for_indexer().await;
    assert_eq!(verified(&world).await.json()["differences"], 0);
}

#[tokio::test]
async fn an_anchor_that_was_changed_is_named_and_stays_for_an_operator() {
    let world = world().await;
    world.indexer.stop().await;
    let node = world.foundation.chain_rpc_url();
    world
        .attacks(
            "UPDATE record_anchors SET log_index = log_index + 1
             WHERE record_id = (SELECT min(record_id::text)::uuid FROM record_anchors)",
        )
        .await;

    let rebuilt = ["--rebuild", "--json"];
    let told = replay(&world, "meditrustal_migrator", node, &rebuilt).await;

    assert_eq!(told.code, Some(1), "{told:?}");
    let told = told.report();
    assert_eq!(told["replaced"], false, "{told}");
    assert_eq!(told["anchorsDiffer"], 1, "{told}");
    assert_eq!(told["listed"][0]["table"], "record_anchors", "{told}");
    assert_eq!(told["listed"][0]["fault"]["column"], "log_index", "{told}");
}

#[tokio::test]
async fn a_replay_of_a_node_that_keeps_no_old_state_compares_everything() {
    let world = world().await;
    world.indexer.stop().await;
    let newest = world.rpc("eth_getBlockByNumber", json!(["latest", false]));
    let newest = newest.await["hash"].clone();
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    node.lies(move |method, params, answer| {
        let at = &params[1]["blockHash"];
        if method == "eth_call" && at.is_string() && *at != newest {
            refuse(answer);
        }
    });

    let arguments = ["--verify", "--json"];
    let told = replay(&world, "meditrustal_indexer", node.url(), &arguments).await;

    assert_eq!(told.code, Some(0), "{told:?}");
    let told = told.report();
    assert_eq!(told["differences"], 0, "{told}");
    assert_eq!(told["anchors"], 3, "{told}");
}

#[tokio::test]
async fn a_payload_of_any_length_is_another_one_and_is_replaced() {
    let world = world().await;
    world.indexer.stop().await;
    let before = tables(&world).await;
    world
        .attacks("UPDATE chain_events SET payload = jsonb_build_object('it', repeat('x', 5000000)) WHERE kind = 'RECORD_ANCHORED'")
        .await;

    let told = verified(&world).await;

    assert_eq!(told.code, Some(1), "{told:?}");
    let told = told.report();
    assert_eq!(told["differences"], 3, "{told}");
    assert_eq!(told["listed"][0]["fault"]["column"], "payload", "{told}");
    let node = world.foundation.chain_rpc_url();
    let ended = replay(&world, "meditrustal_migrator", node, &["--rebuild"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(tables(&world).await, before);
}

#[tokio::test]
async fn a_replay_believes_a_node_no_more_than_the_indexer_does() {
    let world = world().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    node.lies(|method, _, answer| {
        each_log(method, answer, |log| {
            log["transactionHash"] = json!(format!("0x{}", "11".repeat(32)));
        });
    });
    let before = tables(&world).await;

    let arguments = ["--rebuild"];
    let told = replay(&world, "meditrustal_migrator", node.url(), &arguments).await;

    assert_eq!(told.code, Some(2), "{told:?}");
    assert_eq!(tables(&world).await, before);

    // Neither while an indexer writes: nothing differs, nothing is replaced.
    node.is_honest_again();
    let told = replay(&world, "meditrustal_migrator", node.url(), &arguments).await;
    assert_eq!(told.code, Some(0), "{told:?}");
}
