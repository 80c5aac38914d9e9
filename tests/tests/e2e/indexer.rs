//! What the indexer makes of the chain: confirmed, final, undone, and what does not fit together.

use std::time::{Duration, Instant};

use dev::process::Signal;
use serde_json::{Value, json};
use tests::{Carriage, Line, Person, Program, World, documents, eventually, id, text};

/// keccak256("RecordAnchored(bytes32,bytes32,address,uint40,bytes25)")
const RECORD_ANCHORED: &str = "0x59010d36f2d4259e535ccc99e1afd56558c7ce7a1de714db27b2a7b483ebbfab";
/// anvil's accounts 0 and 2: the registry's administrator, and somebody else.
const ADMINISTRATOR: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const STRANGER: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
/// How long nobody leads at most, once the leader does not.
const REPLACED_WITHIN: Duration = Duration::from_secs(5);

/// A world in which sixteen blocks can be undone.
async fn world() -> World {
    World::with(|options| options.slots_in_an_epoch = 8).await
}

/// A patient's own record, in a block.
async fn anchored(world: &World, patient: &Person) -> String {
    let record = patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    id(&record)
}

async fn registry(world: &World) -> String {
    text(&world.sql("SELECT registry FROM chain_cursors").await[0]["registry"])
}

/// Waits until what is stored as live is, row by row, what the chain holds.
pub(crate) async fn events_equal_the_chain(world: &World) {
    let registry = registry(world).await;
    let logs = json!([{
        "address": registry, "topics": [RECORD_ANCHORED], "fromBlock": "0x0", "toBlock": "latest",
    }]);
    eventually("the stored events are the chain's", async || {
        let chain = world.rpc("eth_getLogs", logs.clone()).await;
        let chain: Vec<String> = chain
            .as_array()?
            .iter()
            .map(|log| {
                let places = [&log["blockHash"], &log["logIndex"], &log["transactionHash"]];
                let [block, index, transaction] = places;
                format!("{block} {index} {transaction} {}", log["topics"][1])
            })
            .collect();
        let stored = world
            .sql(
                "SELECT block_hash, '0x' || to_hex(log_index) AS log_index, tx_hash, '0x' || subject_hash AS hash
                 FROM chain_events
                 WHERE undone_at IS NULL AND kind = 'RECORD_ANCHORED'
                 ORDER BY sequence",
            )
            .await;
        let stored: Vec<String> = stored
            .iter()
            .map(|row| {
                let [block, index] = [&row["block_hash"], &row["log_index"]];
                format!("{block} {index} {} {}", row["tx_hash"], row["hash"])
            })
            .collect();
        (stored == chain).then_some(())
    })
    .await;
}

async fn waits_for_open_findings(world: &World, kinds: &[&str]) -> Vec<Value> {
    let query = "SELECT * FROM integrity_findings WHERE resolved_at IS NULL ORDER BY kind";
    eventually(&format!("{kinds:?} are open"), async || {
        let open = world.sql(query).await;
        let found: Vec<&str> = open.iter().filter_map(|row| row["kind"].as_str()).collect();
        (found == kinds).then(|| open.clone())
    })
    .await
}

#[tokio::test]
async fn an_anchor_becomes_confirmed_and_then_final_and_the_trail_says_so() {
    let world = world().await;
    let ana = world.patient("ana").await;

    let record = anchored(&world, &ana).await;

    world.mine(15).await;
    world.wait_for_indexer().await;
    let anchor = world.wait_for_anchor(&record, "CONFIRMED").await;
    assert_eq!(
        anchor["state"], "CONFIRMED",
        "fifteen blocks are one too few"
    );
    world.mine(1).await;
    world.wait_for_anchor(&record, "FINALIZED").await;
    let outbox = world.sql("SELECT state FROM anchor_outbox").await;
    assert_eq!(outbox, [json!({ "state": "MINED" })]);
    let trail = world
        .audit_rows(&format!(
            "action_type = 'RECORD_ANCHOR' AND resource_id = '{record}'"
        ))
        .await;
    assert_eq!(trail.len(), 1);
    assert_eq!(trail[0]["user_id"], "00000000-0000-7000-8000-000000000003");
    assert_eq!(trail[0]["patient_id"], json!(ana.id));
    assert_eq!(trail[0]["new_value"]["state"], "CONFIRMED");
}

#[tokio::test]
async fn an_anchor_that_was_undone_is_told_of_sent_again_and_confirmed_again() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let mut told = ana.watches(json!({})).await;
    for depth in 1..=3 {
        let record = anchored(&world, &ana).await;
        world.mine(depth - 1).await;
        world.wait_for_indexer().await;

        world.reorg(depth).await;

        let (undone, _) = told.until("ANCHOR_REORGED").await;
        assert_eq!(
            (&undone["recordId"], &undone["state"]),
            (&json!(record), &json!("REORGED"))
        );
        let (again, _) = told.until("ANCHOR_CONFIRMED").await;
        assert_eq!(again["recordId"], json!(record));
        world.wait_for_anchor(&record, "CONFIRMED").await;
        events_equal_the_chain(&world).await;
        let verified = ana.verifies(&record).await;
        assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
    }
    let marked = "SELECT count(*) AS events FROM chain_events WHERE undone_at IS NOT NULL";
    assert_eq!(
        world.sql(marked).await[0]["events"],
        3,
        "marked, not deleted"
    );
}

#[tokio::test]
async fn reorganisations_in_quick_succession_leave_nothing_stale_and_nothing_out() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let mut records = Vec::new();
    for round in 0..4 {
        records.push(anchored(&world, &ana).await);
        for _ in 0..3 {
            world.reorg(1 + round % 2).await;
        }
    }

    for record in &records {
        world.wait_for_anchor(record, "CONFIRMED").await;
    }

    world.mine(1).await;
    world.wait_for_indexer().await;
    for record in &records {
        world.wait_for_anchor(record, "CONFIRMED").await;
    }
    events_equal_the_chain(&world).await;
}

#[tokio::test]
async fn what_was_undone_while_the_indexer_was_dead_is_seen_when_it_is_back() {
    let mut world = world().await;
    let ana = world.patient("ana").await;
    let record = anchored(&world, &ana).await;
    world.mine(3).await;
    world.wait_for_indexer().await;

    world.indexer.kill().await;
    world.reorg(4).await;
    world.indexer.restart().await;

    eventually("the anchor was taken back", async || {
        let rows = world.audit_rows("new_value ->> 'state' = 'REORGED'").await;
        (rows.len() == 1).then_some(())
    })
    .await;
    world.wait_for_anchor(&record, "CONFIRMED").await;
    events_equal_the_chain(&world).await;
}

#[tokio::test]
async fn a_chain_undone_below_finality_stops_the_indexer_and_it_says_why() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = anchored(&world, &ana).await;
    world.mine(8).await;
    world.wait_for_anchor(&record, "FINALIZED").await;
    world.wait_for_indexer().await;

    world.reorg(6).await;

    eventually("the indexer is not ready", async || {
        (world.indexer.health("/health/ready").await == Some(503)).then_some(())
    })
    .await;
    assert_eq!(world.indexer.health("/health/live").await, Some(200));
    assert!(world.indexer.log().contains("--accept-reorg-to"));
    let anchor = world.wait_for_anchor(&record, "FINALIZED").await;
    assert_eq!(
        anchor["state"], "FINALIZED",
        "nothing is taken back by a machine"
    );
}

#[tokio::test]
async fn a_finding_written_beforehand_does_not_silence_the_sweep() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let (changed, lost) = (anchored(&world, &ana).await, anchored(&world, &ana).await);
    let mut told = ana.watches(json!({})).await;

    // In one transaction: the sweep would close in between what is about nothing.
    world
        .attacks(&format!(
            "INSERT INTO integrity_findings (id, kind, record_id, record_hash, details)
             SELECT gen_random_uuid(), kind, record_id, record_hash, '{{}}'
             FROM record_anchors, (VALUES ('HASH_MISMATCH'), ('MISSING_ON_CHAIN')) AS k(kind);
             UPDATE medical_records SET data_hash = repeat('0', 64) WHERE id = '{changed}';
             UPDATE chain_events SET undone_at = CURRENT_TIMESTAMP
             WHERE subject_hash = (SELECT record_hash FROM record_anchors WHERE record_id = '{lost}')"
        ))
        .await;

    let mut opened = Vec::new();
    for _ in 0..2 {
        let (event, _) = told.until("FINDING_OPENED").await;
        opened.push((text(&event["finding"]["kind"]), text(&event["recordId"])));
    }
    opened.sort();
    let wanted = [("HASH_MISMATCH", &changed), ("MISSING_ON_CHAIN", &lost)];
    assert_eq!(
        opened,
        wanted.map(|(kind, record)| (kind.to_owned(), record.clone()))
    );
    // The event is missing among the events, too.
    let kinds = ["HASH_MISMATCH", "MISSING_ON_CHAIN", "ROW_TAMPERED"];
    waits_for_open_findings(&world, &kinds).await;
    for (kind, record) in wanted {
        let rows = format!(
            "action_type = 'INTEGRITY_FAILURE' AND resource_id = '{record}'
             AND new_value ->> 'kind' = '{kind}' AND new_value ->> 'state' = 'OPENED'"
        );
        assert_eq!(world.audit_rows(&rows).await.len(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_record_behind_the_first_batch_of_a_round_is_compared_in_its_turn() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let mut record = String::new();
    // One more than a batch has where there are few.
    for _ in 0..101 {
        let created = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
        record = id(&created.await);
    }
    world.wait_for_anchor(&record, "CONFIRMED").await;
    eventually("a round stands behind its first batch", async || {
        let place =
            "SELECT after_record FROM indexer_sweeps, medical_records WHERE after_record = medical_records.id";
        (world.sql(place).await.len() == 1).then_some(())
    })
    .await;

    world
        .attacks(&format!(
            "UPDATE medical_records SET data_hash = repeat('0', 64) WHERE id = '{record}'"
        ))
        .await;

    waits_for_open_findings(&world, &["HASH_MISMATCH"]).await;
}

#[tokio::test]
async fn rows_that_nobody_can_read_stop_no_other_anchor_and_are_found() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let (broken, whole) = (anchored(&world, &ana).await, anchored(&world, &ana).await);
    let mut told = ana.watches(json!({})).await;

    world
        .attacks(&format!(
            "ALTER TABLE record_anchors DROP CONSTRAINT record_anchors_record_hash_check;
             ALTER TABLE integrity_findings DROP CONSTRAINT integrity_findings_record_hash_check;
             UPDATE record_anchors SET record_hash = 'zz', record_type = 'zz' WHERE record_id = '{broken}';
             INSERT INTO integrity_findings (id, kind, record_id, record_hash, details)
             VALUES (gen_random_uuid(), 'HASH_MISMATCH', '{whole}', 'zz', '{{}}')"
        ))
        .await;

    let (opened, _) = told.until("FINDING_OPENED").await;
    assert_eq!(opened["finding"]["kind"], "HASH_MISMATCH");
    assert_eq!(opened["recordId"], json!(broken));
    world.mine(17).await;
    for record in [&whole, &broken] {
        world.wait_for_anchor(record, "FINALIZED").await;
    }
    assert_eq!(world.indexer.health("/health/ready").await, Some(200));
}

#[tokio::test]
async fn a_tampered_row_is_found_told_and_resolved_when_it_is_right_again() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let record = anchored(&world, &ana).await;
    let mut told = ana.watches(json!({})).await;
    let set = async |hash: &str| {
        let update =
            format!("UPDATE medical_records SET data_hash = '{hash}' WHERE id = '{record}'");
        assert_eq!(world.executes(&update).await, 1);
    };
    let hash = text(&world.sql("SELECT data_hash FROM medical_records").await[0]["data_hash"]);

    set(&"0".repeat(64)).await;

    let (opened, _) = told.until("FINDING_OPENED").await;
    assert_eq!(opened["finding"]["kind"], "HASH_MISMATCH");
    assert_eq!(opened["recordId"], json!(record));
    waits_for_open_findings(&world, &["HASH_MISMATCH"]).await;
    set(&hash).await;
    let (resolved, _) = told.until("FINDING_RESOLVED").await;
    assert_eq!(resolved["finding"]["id"], opened["finding"]["id"]);
    waits_for_open_findings(&world, &[]).await;
    let trail = world.audit_rows("action_type = 'INTEGRITY_FAILURE'").await;
    let states: Vec<&Value> = trail.iter().map(|row| &row["new_value"]["state"]).collect();
    assert_eq!(states, ["OPENED", "RESOLVED"]);
}

#[tokio::test]
async fn a_deleted_record_and_a_hash_that_nobody_knows_are_found() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let record = anchored(&world, &ana).await;
    let registry = registry(&world).await;
    let sends = async |from: &str, data: String| {
        let transaction = json!([{ "from": from, "to": registry, "data": data }]);
        world.rpc("eth_sendTransaction", transaction).await;
    };
    let call = json!([{ "to": registry, "data": "0xf68e9553" }, "latest"]);
    let role = text(&world.rpc("eth_call", call).await);

    // grantRole(REGISTRAR_ROLE, stranger), then anchor(abab…)
    let grantee = format!("{:0>64}", &STRANGER[2..]);
    sends(ADMINISTRATOR, format!("0x2f2ff15d{}{grantee}", &role[2..])).await;
    sends(STRANGER, format!("0xeecdf927{}", "ab".repeat(32))).await;
    let unknown = waits_for_open_findings(&world, &["UNKNOWN_ON_CHAIN"]).await;

    assert_eq!(unknown[0]["record_hash"], "ab".repeat(32));
    assert_eq!(unknown[0]["record_id"], Value::Null);
    assert_eq!(unknown[0]["details"]["registrar"], STRANGER);
    let delete = format!("DELETE FROM medical_records WHERE id = '{record}'");
    assert_eq!(world.executes(&delete).await, 1);
    let open = waits_for_open_findings(&world, &["UNKNOWN_ON_CHAIN", "UNKNOWN_ON_CHAIN"]).await;
    assert!(
        open.iter()
            .any(|finding| finding["record_id"] == json!(record))
    );
}

/// The leader's token.
async fn fence(world: &World) -> Option<i64> {
    world.sql("SELECT fence FROM chain_cursors").await[0]["fence"].as_i64()
}

/// Waits until another one leads than with this token; answers how long that took.
async fn another_leads(world: &World, before: Option<i64>) -> Duration {
    let began = Instant::now();
    eventually("another one leads", async || {
        (fence(world).await > before).then_some(())
    })
    .await;
    began.elapsed()
}

async fn stands_by(indexer: &Program) {
    eventually("it stands by", async || {
        let said = indexer.says("/health/ready").await;
        (said["role"] == "standby").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_indexer_that_stands_still_is_replaced_within_five_seconds_and_writes_nothing_any_more()
{
    // The machine is its own, because it is said how many seconds.
    let world = World::alone_with(|options| options.slots_in_an_epoch = 8).await;
    let ana = world.patient("ana").await;
    let second = world.second_indexer().await;
    let first_fence = fence(&world).await;
    let leads = format!("process {} ", world.indexer.process_id());
    eventually("the second says who leads", async || {
        let said = second.says("/health/ready").await;
        let holder = said["leader"]["holder"].as_str()?.to_owned();
        (said["role"] == "standby" && holder.contains(&leads)).then_some(())
    })
    .await;

    world.indexer.pause();
    let took = another_leads(&world, first_fence).await;

    // It had renewed its lease a second before at most.
    assert!(took > Duration::from_secs(2), "{took:?}");
    assert!(took < REPLACED_WITHIN, "{took:?}");
    anchored(&world, &ana).await;
    world.indexer.resume();
    stands_by(&world.indexer).await;
    let record = anchored(&world, &ana).await;
    world.wait_for_anchor(&record, "CONFIRMED").await;
    events_equal_the_chain(&world).await;
    let trail = world.audit_rows("action_type = 'RECORD_ANCHOR'").await;
    assert_eq!(trail.len(), 2, "each anchor once");
    assert!(second.stop().await.success());
    anchored(&world, &ana).await;
}

#[tokio::test]
async fn an_indexer_that_is_cut_off_from_the_database_or_slow_is_replaced_within_five_seconds() {
    for carriage in [Carriage::Silent, Carriage::Slow(Duration::from_secs(5))] {
        let mut world = World::alone_with(|options| options.slots_in_an_epoch = 8).await;
        let ana = world.patient("ana").await;
        world.indexer.stop().await;
        let url = world.foundation.url_of("meditrustal_indexer");
        let url = url.unwrap_or_else(|error| panic!("{error}"));
        let line = Line::before(&url).await;
        let over = line.over(&url);
        let environment = [("DATABASE_URL", over.as_str())];
        world.indexer = world.another_indexer("over-a-line", &environment).await;
        anchored(&world, &ana).await;
        let second = world.second_indexer().await;
        stands_by(&second).await;
        let before = fence(&world).await;

        line.becomes(carriage);
        let took = another_leads(&world, before).await;

        assert!(took < REPLACED_WITHIN, "{carriage:?}: {took:?}");
        anchored(&world, &ana).await;
        line.becomes(Carriage::Open);
        stands_by(&world.indexer).await;
        anchored(&world, &ana).await;
        events_equal_the_chain(&world).await;
        let trail = world.audit_rows("action_type = 'RECORD_ANCHOR'").await;
        assert_eq!(trail.len(), 3, "{carriage:?}: each anchor once");
        assert!(second.stop().await.success());
        anchored(&world, &ana).await;
    }
}

#[tokio::test]
async fn an_indexer_that_was_killed_is_replaced_at_once() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let second = world.second_indexer().await;
    let lease = "SELECT EXTRACT(EPOCH FROM taken_at - renewed_at)::float8 AS age, holder FROM indexer_leases";
    let first = text(&world.sql(lease).await[0]["holder"]);

    world.indexer.kill().await;

    eventually("the second leads", async || {
        (text(&world.sql(lease).await[0]["holder"]) != first).then_some(())
    })
    .await;
    anchored(&world, &ana).await;
    // What the process says follows what it has written.
    eventually("the second says so", async || {
        let said = second.says("/health/ready").await;
        (said["role"] == "leader").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stalled_node_is_waited_for_and_a_signal_ends_the_indexer_cleanly() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let node = world
        .foundation
        .node
        .as_ref()
        .expect("a world has a node of its own");

    node.process().signal(Signal::STOP);
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    assert_eq!(world.indexer.health("/health/live").await, Some(200));
    node.process().signal(Signal::CONT);

    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    assert!(world.indexer.stop().await.success());
}
