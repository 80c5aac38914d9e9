//! The world itself: what the other tests rely on.

use serde_json::json;
use tests::{World, documents, id};

#[tokio::test]
async fn a_record_goes_from_the_doctor_to_the_chain() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "SEARCH", "CREATE"]).await;
    let mut told = ana.watches(json!({})).await;

    let record = dr_bo
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;

    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    world.mine(2).await;
    world.wait_for_anchor(&id(&record), "FINALIZED").await;
    let (event, _) = told.until("ANCHOR_FINALIZED").await;
    assert_eq!(event["recordId"], record["id"]);
    let verified = ana.verifies(&id(&record)).await;
    assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
}

#[tokio::test]
async fn two_worlds_know_nothing_of_each_other() {
    let one = World::start().await;
    let other = World::beside(&one).await;

    let ana = one.patient("ana").await;
    let namesake = other.patient("ana").await;

    assert_ne!(ana.id, namesake.id);
    let query = "SELECT count(*) AS people FROM users WHERE NOT is_system";
    for world in [&one, &other] {
        // Ana, and the first administrator.
        assert_eq!(world.sql(query).await[0]["people"], 2);
    }
    ana.at(&other.api)
        .asks("{ me { id } }", json!({}))
        .await
        .fails_with("UNAUTHENTICATED");
}
