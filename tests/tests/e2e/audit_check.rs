//! `meditrustal audit verify` names every row of the trail that its owner changed, removed, put in or moved.

use std::time::Duration;

use serde_json::Value;
use tests::{World, eventually};

/// Runs the command; answers whether it found nothing, and what it said.
async fn verifies(world: &World, with_node: bool) -> (bool, String) {
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.unwrap_or_else(|error| panic!("{error}"));
    let programs = world.foundation.programs.clone();
    let file = world.foundation.dir().join("deployment.json");
    let (file, node) = (
        file.display().to_string(),
        world.foundation.chain_rpc_url().to_owned(),
    );
    let done = tokio::task::spawn_blocking(move || {
        let mut environment = vec![("DATABASE_URL", url.as_str())];
        environment.push(("MEDITRUSTAL_DEPLOYMENT_FILE", &file));
        if with_node {
            environment.push(("CHAIN_RPC_URL", &node));
        }
        programs.operate(&["audit", "verify"], &environment, "")
    });
    match done.await.expect("a command does not panic") {
        Ok(said) => (true, said),
        Err(error) => (false, error.to_string()),
    }
}

/// A world with a few rows more than a node covers, all of them pinned.
async fn pinned() -> World {
    let often = Some(Duration::from_secs(1));
    let world = World::with(|options| options.checkpoints = often).await;
    for name in [
        "ana", "bea", "cleo", "dora", "eva", "fay", "gil", "hugo", "ida", "jo.jo",
    ] {
        world.patient(name).await;
    }
    let rows = world.audit_rows("TRUE").await.len();
    assert!(rows > 20, "{rows}");
    eventually("every row is pinned", async || {
        let query = format!(
            "SELECT 1 FROM audit_checkpoints WHERE state = 'ANCHORED' AND tree_size >= {rows}"
        );
        (!world.sql(&query).await.is_empty()).then_some(())
    })
    .await;
    world
}

async fn open(world: &World) -> Vec<Value> {
    let query = "SELECT details FROM integrity_findings
                 WHERE kind = 'AUDIT_TAMPERED' AND resolved_at IS NULL ORDER BY opened_at";
    let open = world.sql(query).await;
    open.into_iter().map(|row| row["details"].clone()).collect()
}

#[tokio::test]
async fn every_tampering_with_the_trail_is_named_and_gone_when_it_is_mended() {
    let world = pinned().await;
    let number = async |place: u64| {
        let query = format!("SELECT audit_id FROM audit_leaves WHERE position = {place}");
        let leaf = world.sql(&query).await;
        leaf[0]["audit_id"].as_i64().expect("a number")
    };
    let (five, six) = (number(5).await, number(6).await);
    // From here on nobody writes but the attacker, and the command.
    world.api.kill().await;
    world.indexer.kill().await;
    let (is_well, said) = verifies(&world, true).await;
    assert!(is_well, "{said}");
    let keep = "CREATE TABLE kept_rows AS SELECT * FROM audit_logs;
                CREATE TABLE kept_leaves AS SELECT * FROM audit_leaves;
                CREATE TABLE kept_nodes AS SELECT * FROM audit_nodes;
                CREATE TABLE kept_checkpoints AS SELECT * FROM audit_checkpoints";
    world.attacks(keep).await;

    let changed = format!("audit_logs {five} (place 5): CHANGED");
    for (attack, named) in [
        // One column each, of every type; also together with the hash that the row has.
        ("UPDATE audit_logs SET action_type = 'USER_READ' WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET new_value = '{\"a\": 1}' WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET event_time = event_time - interval '1 microsecond' WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET ip_address = '10.9.8.7' WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET user_agent = 'another' WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET retention_period = interval '1 day' WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET is_cross_border = NOT is_cross_border WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET patient_id = NULL, consent_reference = request_id WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET leaf_salt = gen_random_uuid() WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET leaf_hash = sha256('') WHERE id = $5", changed.clone()),
        ("UPDATE audit_leaves SET leaf_hash = sha256('') WHERE position = 5", changed.clone()),
        ("UPDATE audit_logs SET user_id = other.user_id, action_type = other.action_type || 'x'
          FROM kept_rows AS other WHERE audit_logs.id = $5 AND other.id = $6", changed.clone()),
        // Two rows change places.
        ("UPDATE audit_logs SET id = -1 WHERE id = $5; UPDATE audit_logs SET id = $5 WHERE id = $6;
          UPDATE audit_logs SET id = $6 WHERE id = -1", format!("audit_logs {six} (place 6): CHANGED")),
        ("UPDATE audit_leaves SET audit_id = -1 WHERE position = 5;
          UPDATE audit_leaves SET audit_id = $5, leaf_hash = (SELECT leaf_hash FROM kept_leaves WHERE position = 5) WHERE position = 6;
          UPDATE audit_leaves SET audit_id = $6, leaf_hash = (SELECT leaf_hash FROM kept_leaves WHERE position = 6) WHERE position = 5",
         format!("audit_logs {five} (place 6): REORDERED")),
        ("DELETE FROM audit_logs WHERE id = $5", format!("audit_logs {five} (place 5): REMOVED")),
        ("DELETE FROM audit_logs WHERE id = $5; DELETE FROM audit_leaves WHERE position = 5",
         "audit_leaves 5 (place 5): NO_LEAF".to_owned()),
        ("CREATE TEMPORARY TABLE one AS SELECT * FROM kept_rows WHERE id = $5; UPDATE one SET id = 900000000;
          INSERT INTO audit_logs SELECT * FROM one",
         "audit_logs 900000000: INSERTED".to_owned()),
        ("UPDATE audit_nodes SET hash = sha256('') WHERE level = 4 AND position = 0",
         "audit_leaves 0 (places 0 to 15): NODE".to_owned()),
        ("DELETE FROM audit_nodes WHERE level = 4 AND position = 0",
         "audit_leaves 0 (places 0 to 15): NODE".to_owned()),
        // With every hash made again: what was pinned shows it, if not which row.
        ("UPDATE audit_checkpoints SET root = repeat('0', 64)", "ROOT".to_owned()),
        ("DELETE FROM audit_logs WHERE id > $6; DELETE FROM audit_leaves WHERE position > 6;
          DELETE FROM audit_nodes", "ROOT".to_owned()),
    ] {
        let attack = attack.replace("$5", &five.to_string()).replace("$6", &six.to_string());
        world.attacks(&attack).await;

        let (is_well, said) = verifies(&world, false).await;

        assert!(!is_well && said.contains(&named), "{attack}: {named} in {said}");
        let findings = open(&world).await;
        assert!(!findings.is_empty(), "{attack}");
        let mend = "DELETE FROM audit_logs; INSERT INTO audit_logs SELECT * FROM kept_rows;
                    DELETE FROM audit_leaves; INSERT INTO audit_leaves SELECT * FROM kept_leaves;
                    DELETE FROM audit_nodes; INSERT INTO audit_nodes SELECT * FROM kept_nodes;
                    DELETE FROM audit_checkpoints; INSERT INTO audit_checkpoints SELECT * FROM kept_checkpoints";
        world.attacks(mend).await;
        let (is_well, said) = verifies(&world, true).await;
        assert!(is_well, "{attack}: {said}");
        assert!(open(&world).await.is_empty(), "{attack}");
    }
}
