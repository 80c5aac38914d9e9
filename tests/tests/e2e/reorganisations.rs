//! Reorganisations as deep as finality allows, while records are written.

use tests::{World, Writers, eventually};

use crate::durability::none_is_lost;
use crate::indexer::events_equal_the_chain;

/// Unit: blocks.
const DEPTHS: [u64; 6] = [1, 2, 10, 64, 128, 200];
/// From this depth on, blocks are undone that were followed before, however fast they come. Unit: blocks.
const FOLLOWED: u64 = 64;
/// How many records come to the chain between two of them at least.
const BETWEEN: u64 = 10;

/// How many stored events a condition is true of.
async fn events(world: &World, condition: &str) -> u64 {
    let query = format!(
        "SELECT count(*) AS events FROM chain_events WHERE kind = 'RECORD_ANCHORED' AND {condition}"
    );
    let count = world.sql(&query).await[0]["events"].as_u64();
    count.expect("a number")
}

/// How many reorganisations the indexer has followed.
async fn reorganisations(world: &World) -> u64 {
    let said = world.indexer.says("/health/ready").await;
    said["reorgs"].as_u64().expect("a number")
}

/// Waits until more records have come to the chain.
async fn more_are_anchored(world: &World) {
    let wanted = events(world, "undone_at IS NULL").await + BETWEEN;
    eventually("more records are on the chain", async || {
        (events(world, "undone_at IS NULL").await >= wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn reorganisations_of_up_to_200_blocks_under_load_lose_and_double_nothing() {
    let world = World::with(|options| {
        // 256 blocks are on top of a final one: the node forgets the state of a block once some 500 are.
        options.slots_in_an_epoch = 128;
        // What was undone before it was followed counts as sent, and is sent again so soon.
        let soon = ("MEDITRUSTAL_RAISE_FEE_AFTER".to_owned(), "1".to_owned());
        options.api.push(soon);
    })
    .await;
    let ana = world.patient("ana").await;
    world.mine(100).await;
    let writers = Writers::of(&ana, 2);

    for depth in DEPTHS {
        world.mine(depth.div_ceil(2)).await;
        more_are_anchored(&world).await;
        world.wait_for_indexer().await;
        let before = reorganisations(&world).await;
        world.reorg(depth).await;
        if depth >= FOLLOWED {
            eventually(&format!("{depth} blocks were undone"), async || {
                (reorganisations(&world).await > before).then_some(())
            })
            .await;
        }
    }

    more_are_anchored(&world).await;
    let acknowledged = writers.end().await;
    none_is_lost(&world, &acknowledged).await;
    events_equal_the_chain(&world).await;
    let said = world.indexer.says("/health/ready").await;
    let deepest = said["deepestReorgBlocks"].as_u64();
    // Empty blocks of the same second are made again as they were, and the newest may not have been followed yet.
    assert!(deepest > Some(FOLLOWED), "{said}");
    // That an anchor waits is true while it does.
    let found =
        "SELECT id FROM integrity_findings WHERE kind <> 'ANCHOR_STUCK' OR resolved_at IS NULL";
    eventually("nothing is found that is not so", async || {
        world.sql(found).await.is_empty().then_some(())
    })
    .await;
}
