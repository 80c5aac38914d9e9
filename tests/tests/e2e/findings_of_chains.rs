//! Findings of two chains in one database: each indexer opens and closes its own, also about what both know.

use serde_json::{Value, json};
use tests::{World, documents, eventually, id, text};

/// The registry of another chain, which is chain 1.
const ELSEWHERE: &str = "0x4444444444444444444444444444444444444444";
/// anvil's account 0: the pauser of a registry for development.
const PAUSER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

/// Waits until these chains have open findings that a condition is true of: as many as there are.
async fn waits_for_chains(world: &World, condition: &str, chains: &[Value]) {
    let query = format!(
        "SELECT chain_id FROM integrity_findings
         WHERE resolved_at IS NULL AND {condition} ORDER BY chain_id"
    );
    let wanted: Vec<Value> = chains.iter().map(|it| json!({ "chain_id": it })).collect();
    eventually(&format!("{condition}: {chains:?}"), async || {
        (world.sql(&query).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_finding_of_another_chain_stays_open_beside_our_own_about_the_same() {
    let world = World::start().await;
    let ours = json!(world.foundation.deployment.chain_id);
    let ana = world.patient("ana").await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let (record, hash) = (id(&record), text(&record["dataHash"]));
    world.wait_for_anchor(&record, "CONFIRMED").await;
    let sets = async |hash: &str| {
        let update =
            format!("UPDATE medical_records SET data_hash = '{hash}' WHERE id = '{record}'");
        assert_eq!(world.executes(&update).await, 1);
    };
    let of_record = format!("kind = 'HASH_MISMATCH' AND record_id = '{record}'");
    let pauses = "kind = 'REGISTRY_PAUSED'";

    // As the indexer of that chain writes them: here all of it is well.
    world
        .executes(&format!(
            "WITH opened AS (
                 INSERT INTO integrity_findings (
                     kind, record_id, record_hash, table_name, row_id, chain_id, registry, details
                 )
                 VALUES
                     ('HASH_MISMATCH', '{record}', '{hash}', NULL, NULL, 1, '{ELSEWHERE}', '{{}}'),
                     ('REGISTRY_PAUSED', NULL, NULL, NULL, NULL, 1, '{ELSEWHERE}', '{{}}'),
                     ('ROW_TAMPERED', NULL, NULL, 'chain_events', '00000000-0000-0000-0000-000000000001', 1,
                      '{ELSEWHERE}', '{{}}')
                 RETURNING id, record_id, record_hash
             )
             INSERT INTO integrity_feed (kind, record_id, record_hash, finding_id)
             SELECT 'FINDING_OPENED', record_id, record_hash, id FROM opened"
        ))
        .await;
    sets(&"0".repeat(64)).await;
    waits_for_chains(&world, &of_record, &[json!(1), ours.clone()]).await;
    sets(&hash).await;
    waits_for_chains(&world, &of_record, &[json!(1)]).await;
    for (paused, chains) in [(1, vec![json!(1), ours.clone()]), (0, vec![json!(1)])] {
        world
            .calls_registry(PAUSER, format!("0x16c38b3c{paused:064x}"))
            .await;
        waits_for_chains(&world, pauses, &chains).await;
    }

    waits_for_chains(&world, "chain_id = 1", &[json!(1), json!(1), json!(1)]).await;
    waits_for_chains(&world, "chain_id IS DISTINCT FROM 1", &[]).await;
}

/// The statement by which the version before opens a finding.
fn of_before(digit: char, details: &Value) -> String {
    format!(
        "INSERT INTO integrity_findings
            (id, kind, record_id, record_hash, patient_key_id, table_name, row_id, details)
         VALUES (gen_random_uuid(), 'UNKNOWN_ON_CHAIN', NULL, repeat('{digit}', 64), NULL, NULL, NULL, '{details}')
         ON CONFLICT (kind, record_id, record_hash, patient_key_id, table_name, row_id)
             WHERE resolved_at IS NULL DO NOTHING
         RETURNING id"
    )
}

#[tokio::test]
async fn what_the_version_before_opens_is_opened_once_and_closed_by_the_indexer_of_its_chain() {
    let mut world = World::start().await;
    world.indexer.stop().await;
    let deployment = &world.foundation.deployment;
    let (ours, registry) = (json!(deployment.chain_id), deployment.registry.clone());
    let of_others = json!({ "chainId": 1, "registry": ELSEWHERE });
    let of_ours = json!({ "chainId": ours, "registry": registry });
    let of_none = json!({});
    let named = [('a', &of_others), ('b', &of_ours), ('c', &of_none)];
    let found = "SELECT left(record_hash, 1) AS digit, chain_id, registry,
                     resolved_at IS NULL AS is_open
                 FROM integrity_findings WHERE kind = 'UNKNOWN_ON_CHAIN'
                 ORDER BY record_hash, chain_id";

    for (digit, details) in named {
        for _ in 0..2 {
            world.executes(&of_before(digit, details)).await;
        }
    }
    let written = world.sql(found).await;
    assert_eq!(written.len(), 3, "each once: {written:?}");

    // One is open under the name of its registry as well. Of an event the evidence names none.
    world
        .executes(&format!(
            "INSERT INTO integrity_findings (kind, record_hash, chain_id, registry, details)
             VALUES ('UNKNOWN_ON_CHAIN', repeat('b', 64), {ours}, '{registry}', '{{}}');
             INSERT INTO integrity_findings (kind, table_name, row_id, details)
             VALUES ('ROW_TAMPERED', 'chain_events', '00000000-0000-0000-0000-000000000001', '{{}}')"
        ))
        .await;
    waits_for_chains(&world, "kind = 'ROW_TAMPERED'", &[Value::Null]).await;
    world.indexer.restart().await;
    waits_for_chains(&world, "kind = 'UNKNOWN_ON_CHAIN'", &[Value::Null]).await;
    waits_for_chains(&world, "kind = 'ROW_TAMPERED'", &[]).await;

    let row = |digit: &str, chain: &Value, registry: &Value, is_open: bool| -> Value {
        json!({ "digit": digit, "chain_id": chain, "registry": registry, "is_open": is_open })
    };
    let (none, registry) = (Value::Null, json!(registry));
    let wanted = [
        row("a", &none, &none, true),
        row("b", &ours, &registry, false),
        row("b", &none, &none, false),
        row("c", &ours, &registry, false),
    ];
    assert_eq!(world.sql(found).await, wanted);
}
