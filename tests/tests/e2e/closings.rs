//! A record whose life has ended here is closed on the chain, with the reason, whatever is in between.

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, eventually, id, text};

/// anvil's account 0: administrator, steward and pauser of a registry for development.
const ADMINISTRATOR: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

const ANCHOR: &str = "query Anchor($id: UUID!) { medicalRecord(id: $id) { anchor { state
  closing { state status reason txHash by blockNumber } } } }";

const VERIFY: &str = "query Verify($id: UUID!) { verifyRecord(id: $id) {
  verdict chainStatus chainReason chainEndedBy chainEndedAt } }";

/// A patient's own record, in a block.
async fn measured(world: &World, patient: &Person) -> Value {
    let record = patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    record
}

/// The last version of a record that was withdrawn.
fn withdrawn(answer: &Answer) -> Value {
    answer.data()["withdrawMedicalRecord"]["record"].clone()
}

async fn withdraws(patient: &Person, record: &Value) -> Value {
    withdrawn(&patient.retracts(record, json!({})).await)
}

async fn wait_for_closing(world: &World, record: &Value, state: &str) -> Value {
    let query = format!(
        "SELECT * FROM record_closings WHERE record_id = '{}'",
        id(record)
    );
    let what = format!("the closing of {} is {state}", id(record));
    eventually(&what, async || {
        let closing = world.sql(&query).await.pop()?;
        (closing["state"] == state).then_some(closing)
    })
    .await
}

/// Status and reason that the registry holds of a record.
async fn on_chain(world: &World, record: &Value) -> (u64, u64) {
    let data = format!("0xcf4ff901{}", text(&record["dataHash"]));
    let call = json!([{ "to": world.foundation.deployment.registry, "data": data }, "latest"]);
    let answer = text(&world.rpc("eth_call", call).await);
    let word = |nth: usize| {
        let from = 2 + 64 * nth;
        u64::from_str_radix(&answer[from..from + 64], 16).expect("a small number")
    };
    (word(0), word(8))
}

async fn sets_limit(world: &World, limit: u16) {
    let registrar = world.foundation.deployment.registrar.replace("0x", "");
    let call = format!("0x6c1336de{registrar:0>64}{limit:064x}");
    world.calls_registry(ADMINISTRATOR, call).await;
}

async fn sets_paused(world: &World, paused: bool) {
    let call = format!("0x16c38b3c{:064x}", u8::from(paused));
    world.calls_registry(ADMINISTRATOR, call).await;
}

async fn closes(world: &World, from: &str, record: &Value, reason: u8) {
    let hash = text(&record["dataHash"]);
    let call = format!("0x7e593e4a{hash}{:064x}{reason:064x}", 3);
    world.calls_registry(from, call).await;
}

async fn findings(world: &World) -> Vec<String> {
    let query = "SELECT kind FROM integrity_findings WHERE resolved_at IS NULL ORDER BY kind";
    let open = world.sql(query).await;
    open.iter().map(|row| text(&row["kind"])).collect()
}

async fn waits_for_findings(world: &World, wanted: &[&str]) {
    eventually(&format!("{wanted:?} are open"), async || {
        (findings(world).await == wanted).then_some(())
    })
    .await;
}

/// No nonce was used without effect, none is missing, and no record was closed twice.
async fn every_transaction_had_an_effect(world: &World) {
    let outbox = "SELECT nonce, state FROM anchor_outbox ORDER BY nonce";
    eventually("everything is mined", async || {
        let outbox = world.sql(outbox).await;
        outbox
            .iter()
            .all(|row| row["state"] == "MINED")
            .then_some(())
    })
    .await;
    let outbox = world.sql(outbox).await;
    let nonces: Vec<i64> = outbox
        .iter()
        .filter_map(|row| row["nonce"].as_i64())
        .collect();
    let first = nonces[0];
    let without_gaps: Vec<i64> = (first..).take(nonces.len()).collect();
    assert_eq!(nonces, without_gaps);
}

#[tokio::test]
async fn a_withdrawn_record_is_closed_on_the_chain_with_its_reason_and_is_no_finding() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let first = measured(&world, &ana).await;
    let mut told = ana.watches(json!({})).await;

    let last = withdraws(&ana, &first).await;

    let (closed, _) = told.until("CLOSING_CONFIRMED").await;
    assert_eq!(closed["recordId"], json!(id(&last)));
    assert_eq!(
        (
            on_chain(&world, &first).await,
            on_chain(&world, &last).await
        ),
        ((2, 0), (3, 1))
    );
    let shown = ana.asks(ANCHOR, json!({ "id": id(&last) })).await;
    let closing = shown.data()["medicalRecord"]["anchor"]["closing"].clone();
    assert_eq!(
        (&closing["state"], &closing["status"], &closing["reason"]),
        (
            &json!("CONFIRMED"),
            &json!("REVOKED"),
            &json!("ENTERED_IN_ERROR")
        )
    );
    assert_eq!(closing["txHash"], closed["txHash"]);
    assert_eq!(closing["blockNumber"], closed["blockNumber"]);
    let registrar = world.foundation.deployment.registrar.clone();
    assert!(text(&closing["by"]).eq_ignore_ascii_case(&registrar));
    let old = ana.asks(ANCHOR, json!({ "id": id(&first) })).await;
    assert_eq!(
        old.data()["medicalRecord"]["anchor"]["closing"],
        Value::Null
    );

    let verified = ana.asks(VERIFY, json!({ "id": id(&last) })).await;
    let verified = &verified.data()["verifyRecord"];
    assert_eq!(
        (
            &verified["verdict"],
            &verified["chainStatus"],
            &verified["chainReason"]
        ),
        (
            &json!("REVOKED"),
            &json!("REVOKED"),
            &json!("ENTERED_IN_ERROR")
        )
    );
    assert!(text(&verified["chainEndedBy"]).eq_ignore_ascii_case(&registrar));
    let verified = ana.asks(VERIFY, json!({ "id": id(&first) })).await;
    let verified = &verified.data()["verifyRecord"];
    assert_eq!(
        (&verified["verdict"], &verified["chainReason"]),
        (&json!("SUPERSEDED"), &Value::Null)
    );
    // A finding that has to come, so that whatever else would have been found is there as well.
    sets_paused(&world, true).await;
    waits_for_findings(&world, &["REGISTRY_PAUSED"]).await;
    every_transaction_had_an_effect(&world).await;
}

#[tokio::test]
async fn a_relay_that_is_killed_again_and_again_closes_each_record_once() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let mut last = Vec::new();
    for _ in 0..4 {
        let first = measured(&world, &ana).await;
        last.push(withdraws(&ana, &first).await);
        world.api.kill().await;
        world.api.restart().await;
    }
    // The anchor is in a block; whether the closing is signed, sent or mined is not known.
    let first = measured(&world, &ana).await;
    last.push(withdraws(&ana, &first).await);
    world
        .wait_for_anchor(&id(&last[last.len() - 1]), "CONFIRMED")
        .await;
    world.api.kill().await;
    world.api.restart().await;

    for record in &last {
        wait_for_closing(&world, record, "CONFIRMED").await;
        assert_eq!(on_chain(&world, record).await, (3, 1));
    }
    let events = "SELECT subject_hash FROM chain_events WHERE kind = 'RECORD_CLOSED'";
    assert_eq!(world.sql(events).await.len(), last.len());
    every_transaction_had_an_effect(&world).await;
    world.wait_for_indexer().await;
    assert!(findings(&world).await.is_empty());
}

#[tokio::test]
async fn a_closing_that_nobody_can_read_stops_no_other_and_no_anchor() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let (first, other) = (measured(&world, &ana).await, measured(&world, &ana).await);
    // Until it is back no anchor is in a block for us, and what closes them waits.
    world.indexer.kill().await;
    let broken = withdraws(&ana, &first).await;
    let whole = withdraws(&ana, &other).await;

    world
        .attacks(&format!(
            "UPDATE record_closings SET reason = 77 WHERE record_id = '{0}';
             UPDATE record_anchors SET record_type = 'zz' WHERE record_id = '{0}'",
            id(&broken)
        ))
        .await;
    world.indexer.restart().await;

    wait_for_closing(&world, &whole, "CONFIRMED").await;
    assert_eq!(on_chain(&world, &whole).await, (3, 1));
    world.wait_for_anchor(&id(&broken), "CONFIRMED").await;
    wait_for_closing(&world, &broken, "PENDING").await;
    let shown = ana.asks(ANCHOR, json!({ "id": id(&broken) })).await;
    let anchor = &shown.data()["medicalRecord"]["anchor"];
    assert!(anchor["state"].is_string(), "{anchor}");
    assert_eq!(anchor["closing"], Value::Null);
    let said = format!("The closing of record {} cannot be read", id(&broken));
    for log in [world.api.log(), world.indexer.log()] {
        assert!(log.contains(&said), "{log}");
    }
}

#[tokio::test]
async fn a_closing_that_is_undone_is_done_again() {
    let world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let ana = world.patient("ana").await;
    let first = measured(&world, &ana).await;
    let mut told = ana.watches(json!({})).await;
    let last = withdraws(&ana, &first).await;
    let (once, _) = told.until("CLOSING_CONFIRMED").await;

    // The closing alone, then the version that it closes as well.
    for depth in [1, 3] {
        world.wait_for_indexer().await;
        world.reorg(depth).await;

        let (undone, _) = told.until("CLOSING_REORGED").await;
        assert_eq!(undone["txHash"], once["txHash"]);
        let (again, _) = told.until("CLOSING_CONFIRMED").await;
        assert_eq!(again["recordId"], json!(id(&last)));
        assert_eq!(on_chain(&world, &last).await, (3, 1));
    }
    world.wait_for_anchor(&id(&last), "CONFIRMED").await;
    world.wait_for_indexer().await;
    every_transaction_had_an_effect(&world).await;
    assert!(findings(&world).await.is_empty());
}

#[tokio::test]
async fn beyond_the_limit_closings_wait_and_hold_up_nothing_and_then_are_done() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (first, other) = (measured(&world, &ana).await, measured(&world, &ana).await);
    sets_limit(&world, 1).await;

    // The one that is left goes to the version that supersedes; the next hour brings none.
    let last = withdraws(&ana, &first).await;
    world.wait_for_anchor(&id(&last), "CONFIRMED").await;
    sets_limit(&world, 0).await;
    eventually("the relay says why it waits", async || {
        world
            .api
            .log()
            .contains("Registrars have ended as many records in this hour")
            .then_some(())
    })
    .await;
    measured(&world, &ana).await;
    assert_eq!(on_chain(&world, &last).await, (1, 0));
    wait_for_closing(&world, &last, "PENDING").await;
    // What supersedes has its nonce, so it holds up what comes after it; no nonce is used without effect.
    let second_last = withdraws(&ana, &other).await;
    let behind = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;

    sets_limit(&world, 100).await;

    for record in [&last, &second_last] {
        wait_for_closing(&world, record, "CONFIRMED").await;
        assert_eq!(on_chain(&world, record).await, (3, 1));
    }
    world.wait_for_anchor(&id(&behind), "CONFIRMED").await;
    every_transaction_had_an_effect(&world).await;
    world.wait_for_indexer().await;
    assert!(findings(&world).await.is_empty());
}

#[tokio::test]
async fn while_the_registry_is_paused_everything_waits_and_a_steward_closes() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (first, other) = (measured(&world, &ana).await, measured(&world, &ana).await);
    sets_limit(&world, 1).await;
    let last = withdraws(&ana, &first).await;
    world.wait_for_anchor(&id(&last), "CONFIRMED").await;
    sets_limit(&world, 0).await;
    sets_paused(&world, true).await;
    sets_limit(&world, 100).await;

    // Stored, and not on the chain.
    let waiting = withdraws(&ana, &other).await;
    eventually("the relay says why it waits", async || {
        world
            .api
            .log()
            .contains("The registry is paused")
            .then_some(())
    })
    .await;
    assert_eq!(on_chain(&world, &last).await, (1, 0));

    // What we wanted, for the reason that we have, is no finding.
    closes(&world, ADMINISTRATOR, &last, 1).await;
    let closing = wait_for_closing(&world, &last, "CONFIRMED").await;
    assert!(text(&closing["closed_by"]).eq_ignore_ascii_case(ADMINISTRATOR));
    // What nobody wanted is.
    let anchor = "SELECT state FROM record_anchors WHERE state NOT IN ('CONFIRMED', 'FINALIZED')";
    assert_eq!(world.sql(anchor).await, [json!({ "state": "PENDING" })]);
    closes(&world, ADMINISTRATOR, &other, 1).await;
    waits_for_findings(&world, &["ENDED_ON_CHAIN", "REGISTRY_PAUSED"]).await;
    world
        .calls_registry(
            ADMINISTRATOR,
            format!("0x89fdf281{}", text(&other["dataHash"])),
        )
        .await;
    waits_for_findings(&world, &["REGISTRY_PAUSED"]).await;

    sets_paused(&world, false).await;

    wait_for_closing(&world, &waiting, "CONFIRMED").await;
    assert_eq!(on_chain(&world, &waiting).await, (3, 1));
    every_transaction_had_an_effect(&world).await;
    waits_for_findings(&world, &[]).await;
}

#[tokio::test]
async fn a_close_by_a_stolen_key_is_a_finding_also_where_one_was_wanted() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let registrar = world.foundation.deployment.registrar.clone();
    let (first, other) = (measured(&world, &ana).await, measured(&world, &ana).await);
    sets_limit(&world, 1).await;
    let last = withdraws(&ana, &first).await;
    world.wait_for_anchor(&id(&last), "CONFIRMED").await;
    sets_limit(&world, 0).await;
    world.api.kill().await;
    sets_limit(&world, 100).await;

    // The same end for the same reason, by our account and not by us; and one that nobody wanted.
    closes(&world, &registrar, &last, 1).await;
    closes(&world, &registrar, &other, 1).await;

    waits_for_findings(&world, &["ENDED_ON_CHAIN", "ENDED_ON_CHAIN"]).await;
    let records = "SELECT record_id FROM integrity_findings ORDER BY record_id";
    let named: Vec<String> = world
        .sql(records)
        .await
        .iter()
        .map(|row| text(&row["record_id"]))
        .collect();
    let mut wanted = [id(&last), id(&other)];
    wanted.sort();
    assert_eq!(named, wanted);
}

#[tokio::test]
async fn a_closing_that_a_steward_annuls_is_a_finding_until_somebody_closes_the_record_again() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let first = measured(&world, &ana).await;
    let mut told = ana.watches(json!({})).await;
    let last = withdraws(&ana, &first).await;
    told.until("CLOSING_CONFIRMED").await;
    waits_for_findings(&world, &[]).await;

    let annul = format!("0x89fdf281{}", text(&last["dataHash"]));
    world.calls_registry(ADMINISTRATOR, annul).await;

    let (opened, _) = told.until("FINDING_OPENED").await;
    assert_eq!(
        (&opened["finding"]["kind"], &opened["recordId"]),
        (&json!("MISSING_ON_CHAIN"), &json!(id(&last)))
    );
    assert_eq!(opened["finding"]["details"]["reason"], "CLOSING_ANNULLED");
    // It is not done again by itself.
    assert_eq!(on_chain(&world, &last).await, (1, 0));
    closes(&world, ADMINISTRATOR, &last, 1).await;

    let (resolved, _) = told.until("FINDING_RESOLVED").await;
    assert_eq!(resolved["finding"]["id"], opened["finding"]["id"]);
    let closing = wait_for_closing(&world, &last, "CONFIRMED").await;
    assert!(text(&closing["closed_by"]).eq_ignore_ascii_case(ADMINISTRATOR));
    waits_for_findings(&world, &[]).await;
}
