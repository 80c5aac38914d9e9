//! A development chain that is killed before it has written its last blocks down.

use dev::process::Signal;
use tests::{World, documents, id, text};

#[tokio::test]
async fn what_a_killed_chain_has_lost_is_anchored_again() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    world.finalizes().await;
    world.wait_for_indexer().await;
    let before = world.wait_for_anchor(&record, "FINALIZED").await;
    assert_eq!(
        world.foundation.lost_after().await.expect("an answer"),
        None
    );

    let last = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&last), "CONFIRMED").await;
    world.wait_for_indexer().await;

    // The state it starts from again is older than all of that.
    let node = world.foundation.node.as_mut().expect("the node is ours");
    node.process().signal(Signal::KILL);
    node.restart().await.expect("the node starts again");

    let lost = world.foundation.lost_after().await.expect("an answer");
    let lost = lost.expect("the last blocks are gone");
    world.indexer.stop().await;
    let healed = world.indexer_back_to(lost).await;
    world.finalizes().await;
    let after = world.wait_for_anchor(&record, "FINALIZED").await;
    assert_eq!(
        after["tx_hash"], before["tx_hash"],
        "the same bytes were sent again"
    );
    assert_eq!(
        healed.health("/health/ready").await,
        Some(200),
        "{}",
        healed.log()
    );
    let verdict = ana.verifies(&record).await;
    assert_eq!(text(&verdict.data()["verifyRecord"]["verdict"]), "VERIFIED");
}
