//! How far the chain was followed: by the operator's command, by the metrics, and by the api.

use serde_json::{Value, json};
use tests::transfer::Ended;
use tests::{World, documents, eventually, id};
use tokio::process::Command;

/// `meditrustal-indexer status` with this environment besides where the indexer of the world and the database are.
async fn status(world: &World, arguments: &[&str], more: &[(&str, &str)]) -> Ended {
    let url = world.foundation.url_of("meditrustal_indexer");
    let url = url.expect("there is such a role");
    let deployment = world.foundation.dir().join("deployment.json");
    let mut command = Command::new(&world.foundation.programs.indexer);
    command
        .arg("status")
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", url)
        .env("MEDITRUSTAL_DEPLOYMENT_FILE", deployment)
        .env("MEDITRUSTAL_INDEXER_URL", world.indexer.url())
        .envs(more.iter().copied());
    Ended::of(&mut command).await
}

#[tokio::test]
async fn an_operator_is_told_how_far_it_is_who_leads_and_how_the_nodes_do() {
    let world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let ana = world.patient("ana").await;
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    let record = id(&record.await);
    world.wait_for_anchor(&record, "CONFIRMED").await;
    world.wait_for_indexer().await;
    let head = world.block_number().await;
    // What the process says follows what it has written.
    eventually("the process has said it, too", async || {
        let said = world.indexer.says("/health/ready").await;
        (said["cursor"] == head).then_some(())
    })
    .await;

    // On a busy machine the leader may be late for once.
    let told = eventually(
        "all is well, and the lease was renewed lately",
        async || {
            let told = status(&world, &["--json"], &[]).await.report();
            let age = told["database"]["leader"]["leaseAgeSeconds"].as_f64();
            let is_young = age.is_some_and(|age| age < 5.0);
            (told["status"] == "ok" && is_young).then_some(told)
        },
    )
    .await;

    assert_eq!(told["process"]["role"], "leader", "{told}");
    assert_eq!(told["process"]["cursor"], head, "{told}");
    assert_eq!(told["process"]["nodes"][0]["isWell"], true, "{told}");
    assert_eq!(told["database"]["cursor"], head, "{told}");
    assert_eq!(told["unknown"], json!([]), "{told}");
    let words = status(&world, &[], &[]).await;
    assert_eq!(words.code, Some(0), "{words:?}");
    assert!(words.said.contains("database: leader:"), "{words:?}");

    // Two reorganisations, of one and of five blocks.
    for depth in [1, 5] {
        world.mine(5).await;
        world.wait_for_indexer().await;
        let before = world.indexer.says("/health/ready").await;
        world.reorg(depth).await;
        eventually("it was undone", async || {
            let said = world.indexer.says("/health/ready").await;
            (said["reorgs"].as_u64() > before["reorgs"].as_u64()).then_some(())
        })
        .await;
    }
    let told = status(&world, &["--json"], &[]).await.report();
    let by_depth = &told["process"]["reorgsByDepth"];
    assert_eq!(by_depth["1"], 1, "{told}");
    assert_eq!(by_depth["6"], 1, "{told}");
}

#[tokio::test]
async fn what_is_not_known_is_said_and_what_is_wrong_is_an_exit_code() {
    let world = World::start().await;
    world.wait_for_indexer().await;

    let finding = "INSERT INTO integrity_findings (id, kind, record_hash, details)
                   VALUES (gen_random_uuid(), 'UNKNOWN_ON_CHAIN', repeat('a', 64), '{}')";
    world.indexer.stop().await;
    world.attacks(finding).await;

    let told = status(&world, &["--json"], &[]).await;
    assert_ne!(told.code, Some(0), "{told:?}");
    let told = told.report();
    assert_eq!(told["process"], Value::Null, "{told}");
    assert_eq!(
        told["database"]["openFindings"],
        json!({ "UNKNOWN_ON_CHAIN": 1 })
    );
    let unknown = told["unknown"].to_string();
    assert!(unknown.contains("no indexer answers"), "{told}");

    // Nobody says anything: nothing is followed, for all that is known.
    let nowhere = ("DATABASE_URL", "postgres://a:hunter2@127.0.0.1:1/nothing");
    let told = status(&world, &[], &[nowhere]).await;
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(!told.said.contains("hunter2") && !told.complaint.contains("hunter2"));
}

#[tokio::test]
async fn everybody_sees_how_current_anchors_are_also_without_an_account() {
    const ASKED: &str = "{ indexStatus {
        chainId headBlock indexedBlock finalizedBlock headSequence lagBlocks lagSeconds indexedBlockTime
        writtenSecondsAgo
    } }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    world.wait_for_anchor(&id(&record.await), "CONFIRMED").await;
    world.wait_for_indexer().await;
    let head = world.block_number().await;

    let told = eventually("the head was written", async || {
        let answer = ana.asks(ASKED, json!({})).await;
        let told = answer.data()["indexStatus"].clone();
        // The node is asked when the block was made after the block was written.
        let is_dated = told["indexedBlockTime"].is_string();
        (told["headBlock"] == head && is_dated).then_some(told)
    })
    .await;

    assert_eq!(told["indexedBlock"], head, "{told}");
    assert_eq!(told["lagBlocks"], 0, "{told}");
    assert_eq!(told["lagSeconds"], 0, "{told}");
    assert!(told["headSequence"].as_i64() >= Some(1), "{told}");

    // While nobody reads on, it shows.
    world.indexer.stop().await;
    let stale = "UPDATE chain_cursors SET chain_head = chain_head + 3";
    world.executes(stale).await;
    for asking in [&ana, &world.nobody()] {
        let told = eventually("the age of the last block is told", async || {
            let answer = asking.asks(ASKED, json!({})).await;
            let told = answer.data()["indexStatus"].clone();
            (told["lagBlocks"] == 3 && told["lagSeconds"].is_i64()).then_some(told)
        })
        .await;
        assert_eq!(told["indexedBlock"], head, "{told}");
    }
}
