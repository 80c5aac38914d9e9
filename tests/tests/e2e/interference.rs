//! What somebody with a stolen key does to records and to the registry is told, by the record's name, until it is
//! taken back.

use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id, text};

/// anvil's account 0: administrator, steward and pauser of a registry for development.
const ADMINISTRATOR: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

/// A patient's own record, in a block: its id and its hash.
async fn anchored(world: &World, patient: &Person) -> (String, String) {
    let record = patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    (id(&record), text(&record["dataHash"]))
}

/// The kinds of the open findings, and what each is about.
async fn open(world: &World) -> Vec<(String, Value)> {
    let query = "SELECT kind, record_id FROM integrity_findings WHERE resolved_at IS NULL ORDER BY kind, record_id";
    let open = world.sql(query).await;
    open.iter()
        .map(|row| (text(&row["kind"]), row["record_id"].clone()))
        .collect()
}

async fn waits_for(world: &World, wanted: &[(&str, Value)]) {
    eventually(&format!("{wanted:?} are open"), async || {
        let open = open(world).await;
        let equal = open.len() == wanted.len()
            && open
                .iter()
                .zip(wanted)
                .all(|(is, shall)| is.0 == shall.0 && is.1 == shall.1);
        equal.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_record_that_a_stolen_key_ends_is_named_until_a_steward_annuls_it() {
    let world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let ana = world.patient("ana").await;
    let registrar = world.foundation.deployment.registrar.clone();
    let (first, first_hash) = anchored(&world, &ana).await;
    let (second, second_hash) = anchored(&world, &ana).await;
    let mut told = ana.watches(json!({})).await;

    // close(first, Revoked, 7)
    let close = format!("0x7e593e4a{first_hash}{:064x}{:064x}", 3, 7);
    world.calls_registry(&registrar, close).await;

    let (opened, _) = told.until("FINDING_OPENED").await;
    assert_eq!(opened["finding"]["kind"], "ENDED_ON_CHAIN");
    assert_eq!(opened["recordId"], json!(first));
    let details = &world.sql("SELECT details FROM integrity_findings").await[0]["details"];
    assert_eq!(
        (&details["status"], &details["reason"]),
        (&json!("REVOKED"), &json!(7))
    );
    assert!(text(&details["by"]).eq_ignore_ascii_case(&registrar));

    // supersede(second, abab…): the victim is named, and so is what took its place.
    let supersede = format!("0xf13cb8cd{second_hash}{}", "ab".repeat(32));
    world.calls_registry(&registrar, supersede).await;
    waits_for(
        &world,
        &[
            ("ENDED_ON_CHAIN", json!(first.clone().min(second.clone()))),
            ("ENDED_ON_CHAIN", json!(first.clone().max(second.clone()))),
            ("UNKNOWN_ON_CHAIN", Value::Null),
        ],
    )
    .await;

    for hash in [&first_hash, &second_hash] {
        world
            .calls_registry(ADMINISTRATOR, format!("0x89fdf281{hash}"))
            .await;
    }
    waits_for(&world, &[("UNKNOWN_ON_CHAIN", Value::Null)]).await;
    let (resolved, _) = told.until("FINDING_RESOLVED").await;
    assert_eq!(resolved["finding"]["kind"], "ENDED_ON_CHAIN");
}

#[tokio::test]
async fn what_ended_a_record_and_was_undone_by_the_chain_is_no_finding_any_more() {
    let world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let ana = world.patient("ana").await;
    let registrar = world.foundation.deployment.registrar.clone();
    let (record, hash) = anchored(&world, &ana).await;

    let close = format!("0x7e593e4a{hash}{:064x}{:064x}", 4, 1);
    world.calls_registry(&registrar, close).await;
    waits_for(&world, &[("ENDED_ON_CHAIN", json!(record))]).await;

    world.reorg(1).await;

    waits_for(&world, &[]).await;
}

#[tokio::test]
async fn an_amendment_of_our_own_is_no_finding() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let first = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&first), "CONFIRMED").await;
    let amended = ana
        .amends(&first, documents::vital_signs(), json!({}))
        .await;
    let second = id(&amended.data()["amendMedicalRecord"]["record"]);
    world.wait_for_anchor(&second, "CONFIRMED").await;
    world.wait_for_indexer().await;

    // A finding that has to come, so that whatever else would have been found is there as well.
    world
        .calls_registry(ADMINISTRATOR, format!("0x16c38b3c{:064x}", 1))
        .await;
    waits_for(&world, &[("REGISTRY_PAUSED", Value::Null)]).await;
}

#[tokio::test]
async fn a_pause_is_a_finding_while_it_lasts() {
    let world = World::start().await;
    world
        .calls_registry(ADMINISTRATOR, format!("0x16c38b3c{:064x}", 1))
        .await;
    waits_for(&world, &[("REGISTRY_PAUSED", Value::Null)]).await;
    let row = &world.sql("SELECT details FROM integrity_findings").await[0];
    assert!(text(&row["details"]["by"]).eq_ignore_ascii_case(ADMINISTRATOR));

    world
        .calls_registry(ADMINISTRATOR, format!("0x16c38b3c{:064x}", 0))
        .await;
    waits_for(&world, &[]).await;
}
