//! The sweep over records and consents goes on where it stood when its indexer ended, and that over the places of events holds up nobody
//! and passes none over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dev::stack::Options;
use domain::integrity::RegistryEventKind;
use serde_json::json;
use store::cursor::Registry;
use tests::registry::{REGISTRAR_ROLE, grant_role};
use tests::{Person, World, documents, eventually, id};

use crate::lying_node::{Delivered, LyingNode};
use crate::relay::ADMINISTRATOR;

/// anvil's account 2, of which nobody knows anything here.
const STRANGER: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

/// How long a slow node takes to say which events are in a block: less than it may take.
const SLOW: Duration = Duration::from_millis(700);

/// An indexer compares one batch as it begins to lead, and no other while a test lasts: the smallest there is, 100 of each.
fn once(options: &mut Options) {
    let rarely = ("MEDITRUSTAL_SWEEP_MS".to_owned(), "3600000".to_owned());
    let slowly = ("MEDITRUSTAL_SWEEP_ROUND".to_owned(), "2592000".to_owned());
    options.indexer.extend([rarely, slowly]);
}

async fn creates(person: &Person) -> String {
    let record = person.creates(person, "VITAL_SIGNS", documents::vital_signs());
    id(&record.await)
}

/// Waits until this is kept of where the sweep stands.
async fn is_kept(world: &World, column: &str, value: &str) {
    // A world that has two registries keeps a row of each.
    let query =
        format!("SELECT {column} AS kept FROM indexer_sweeps ORDER BY updated_at DESC LIMIT 1");
    eventually(&format!("{column} is {value}"), async || {
        let rows = world.sql(&query).await;
        (rows.first()?["kept"] == value).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_record_that_was_written_while_no_indexer_ran_is_new_to_the_next_one() {
    let mut world = World::with(once).await;
    let ana = world.patient("ana").await;
    let known = creates(&ana).await;
    world.indexer.restart().await;
    is_kept(&world, "newest_record", &known).await;
    world.indexer.stop().await;
    let record = creates(&ana).await;

    // The round itself stands behind every record.
    world
        .attacks(&format!(
            "UPDATE indexer_sweeps SET after_record = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
             UPDATE medical_records SET version = 2 WHERE id IN ('{known}', '{record}')"
        ))
        .await;
    world.indexer.restart().await;

    is_kept(&world, "newest_record", &record).await;
    let found = world
        .sql("SELECT record_id, details ->> 'column' AS wrong FROM integrity_findings")
        .await;
    assert_eq!(found, [json!({ "record_id": record, "wrong": "version" })]);
}

#[tokio::test]
async fn consents_are_compared_from_where_the_indexer_before_ended() {
    let mut world = World::with(once).await;
    world.deploys_consents(&[]).await;
    let ana = world.patient("ana").await;
    world.indexer.stop().await;
    // Each says what the chain does not.
    world
        .attacks(&format!(
            "INSERT INTO consent_receipts (
                 id, consent_id, user_id, kind, text, details_hash, registry_end, made_at, chain_state, block_number
             )
             SELECT lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(), '{}', 'GRANT', '{{}}', lpad(to_hex(n), 64, '0'),
                 0, CURRENT_TIMESTAMP, 'FINALIZED', 1
             FROM generate_series(1, 150) AS n",
            ana.id
        ))
        .await;
    let found = "SELECT record_hash FROM integrity_findings WHERE kind = 'CONSENT_MISMATCH'";

    world.indexer.restart().await;
    is_kept(
        &world,
        "after_receipt",
        "00000000-0000-0000-0000-000000000064",
    )
    .await;
    assert_eq!(world.sql(found).await.len(), 100);

    world.indexer.restart().await;
    is_kept(
        &world,
        "after_receipt",
        "00000000-0000-0000-0000-000000000000",
    )
    .await;
    assert_eq!(world.sql(found).await.len(), 150);
}

#[tokio::test]
async fn the_chain_is_followed_while_a_slow_node_says_where_events_are() {
    let mut world = World::start().await;
    world.wait_for_indexer().await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let first = "SELECT min(block_number) AS number FROM chain_events";
    let first = world.sql(first).await[0]["number"].as_u64();
    let first = format!("\"toBlock\":\"{:#x}\"", first.expect("there are events"));
    let is_followed = Arc::new(AtomicBool::new(false));
    let (seen, mut slow_until) = (Arc::clone(&is_followed), None);
    node.delivers(move |questions, answer| {
        let (questions, now) = (questions.to_string(), Instant::now());
        // What was applied long ago, only the sweep asks about.
        if questions.contains(&first) {
            slow_until = Some(now + SLOW);
            return Delivered::Late(SLOW, answer);
        }
        if questions.contains("\"latest\"") && slow_until.is_some_and(|until| now < until) {
            seen.store(true, Ordering::Relaxed);
        }
        Delivered::Whole(answer)
    });
    world.indexer.stop().await;
    let environment = [
        ("CHAIN_RPC_URL", node.url()),
        ("MEDITRUSTAL_SWEEP_MS", "50"),
    ];
    world.indexer = world.another_indexer("slowly-told", &environment).await;

    eventually("it looks for blocks before it is answered", async || {
        is_followed.load(Ordering::Relaxed).then_some(())
    })
    .await;

    // The answer counts all the same. It takes two questions, one after the other.
    world
        .attacks("UPDATE chain_events SET log_index = log_index + 1000 WHERE sequence = 1")
        .await;
    eventually("the event is found", async || {
        let found = "SELECT 1 AS one FROM integrity_findings
                     WHERE kind = 'ROW_TAMPERED' AND details ->> 'column' = 'log_index'";
        (world.sql(found).await.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn where_a_closing_and_a_strangers_anchor_are_is_held_against_the_chain() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    let record = record.await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    ana.retracts(&record, json!({})).await.data();
    // anchor(abab…)
    let role = grant_role(REGISTRAR_ROLE, STRANGER);
    world.calls_registry(ADMINISTRATOR, role).await;
    let anchor = format!("0xeecdf927{}", "ab".repeat(32));
    world.calls_registry(STRANGER, anchor).await;
    let both = "SELECT '00000000-0000-0000-0000-' || lpad(to_hex(sequence), 12, '0') AS row_id
                FROM chain_events
                WHERE kind = 'RECORD_CLOSED' OR subject_hash = repeat('ab', 32)
                ORDER BY sequence";
    let both = eventually("both are stored", async || {
        let rows = world.sql(both).await;
        (rows.len() == 2).then_some(rows)
    })
    .await;

    // No other row says where in its block either is. Of our own anchor one does.
    let attack = async |change: &str| {
        let kinds = "kind IN ('RECORD_ANCHORED', 'RECORD_CLOSED')";
        let change =
            format!("UPDATE chain_events SET log_index = log_index {change} WHERE {kinds}");
        world.attacks(&change).await;
    };
    let found = "SELECT row_id
                 FROM integrity_findings
                 WHERE kind = 'ROW_TAMPERED' AND resolved_at IS NULL AND details ->> 'column' = 'log_index'
                 ORDER BY row_id";
    attack("+ 1000").await;
    eventually("both are found", async || {
        (world.sql(found).await == both).then_some(())
    })
    .await;

    attack("- 1000").await;
    eventually("both are right again", async || {
        world.sql(found).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_event_whose_place_is_asked_for_in_its_turn_is_asked_for_again_as_well() {
    let world = World::start().await;
    let ours = world.foundation.deployment.registrar.clone();
    let nobodys = Registry {
        chain_id: 1,
        address: format!("0x{}", "9".repeat(40)),
    };
    let kinds = RegistryEventKind::ALL.iter().map(|kind| kind.as_str());
    let kinds = kinds.chain(["CONSENT_CHANGED"]);
    let events: Vec<(&str, &str)> = kinds
        .flat_map(|kind| [(kind, ours.as_str()), (kind, STRANGER)])
        .collect();
    let rows = (1_i64..).zip(&events).map(|(sequence, (kind, actor))| {
        format!(
            "(1, '{}', {sequence}, '{sequence}', '', 0, '{kind}', '{actor}', {sequence}, '', '{{}}')",
            nobodys.address
        )
    });
    let rows: Vec<String> = rows.collect();
    world
        .attacks(&format!(
            "INSERT INTO chain_events (
                 chain_id, registry, block_number, block_hash, tx_hash, log_index, kind, actor, sequence, head, payload
             )
             VALUES {}",
            rows.join(", ")
        ))
        .await;
    let last = i64::try_from(events.len()).expect("they are few");
    let every: Vec<i64> = (1..=last).collect();
    let names = std::slice::from_ref(&ours);
    let mut conn = world.connects_as("meditrustal_indexer").await;

    let range = (1, last);
    let in_turn =
        store::chain_events::unpaired_between(&mut conn, &nobodys, names, range, last).await;
    let again = store::chain_events::unpaired_of(&mut conn, &nobodys, names, &every).await;

    let in_turn = in_turn.expect("events");
    assert_eq!(in_turn, again.expect("events"));
    let left: Vec<(&str, &str)> = (1..=last)
        .zip(&events)
        .filter(|(sequence, _)| in_turn.iter().all(|it| it.sequence != *sequence))
        .map(|(_, event)| *event)
        .collect();
    assert_eq!(left, [("RECORD_ANCHORED", ours.as_str())]);
}
