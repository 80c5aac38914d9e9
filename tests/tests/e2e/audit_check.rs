//! `meditrustal audit verify` names every row of the trail that its owner changed, removed, put in or moved.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use dev::scratch::Scratch;
use serde_json::Value;
use tests::{World, eventually};

use crate::checkpoints::hex;

/// Runs the command; answers whether it found nothing, and what it said.
async fn verifies(world: &World, with_node: bool) -> (bool, String) {
    runs(world, "verify", with_node).await
}

/// Runs `meditrustal audit` with these words, divided by blanks.
pub(crate) async fn runs(world: &World, words: &str, with_node: bool) -> (bool, String) {
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.unwrap_or_else(|error| panic!("{error}"));
    let programs = world.foundation.programs.clone();
    let file = world.foundation.dir().join("deployment.json");
    let (file, node) = (
        file.display().to_string(),
        world.foundation.chain_rpc_url().to_owned(),
    );
    let words = format!("audit {words}");
    let done = tokio::task::spawn_blocking(move || {
        let mut environment = vec![("DATABASE_URL", url.as_str())];
        environment.push(("MEDITRUSTAL_DEPLOYMENT_FILE", &file));
        if with_node {
            environment.push(("CHAIN_RPC_URL", &node));
        }
        let words: Vec<&str> = words.split(' ').collect();
        programs.operate(&words, &environment, "")
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

/// Another row, with its hash, its leaf and the node above made again, as whoever owns the database can.
const REMADE: &str = r"
    UPDATE audit_logs SET purpose = 'PATRQT', user_agent = 'another' WHERE id = $5;
    UPDATE audit_logs
    SET leaf_hash = sha256('\x00'::bytea || 'MediTrustAl audit row 3\012'::bytea || record_send(ROW(
        leaf_salt, leaf_xid, id, event_time, user_id, action_type, resource_type,
        resource_id, old_value, new_value, ip_address, user_agent, request_id, purpose,
        consent_reference, retention_period, data_classification, is_cross_border,
        destination_country, encryption_status, created_at, patient_id, record_ids, on_behalf_of
    )))
    WHERE id = $5;
    UPDATE audit_leaves AS leaf SET leaf_hash = log.leaf_hash
    FROM audit_logs AS log WHERE log.id = $5 AND leaf.audit_id = log.id;
    WITH one AS (
        SELECT position / 2 AS place, sha256('\x01'::bytea || string_agg(leaf_hash, ''::bytea ORDER BY position)) AS hash
        FROM audit_leaves WHERE position < 16 GROUP BY 1
    ), two AS (
        SELECT place / 2 AS place, sha256('\x01'::bytea || string_agg(hash, ''::bytea ORDER BY place)) AS hash
        FROM one GROUP BY 1
    ), three AS (
        SELECT place / 2 AS place, sha256('\x01'::bytea || string_agg(hash, ''::bytea ORDER BY place)) AS hash
        FROM two GROUP BY 1
    )
    UPDATE audit_nodes
    SET hash = (SELECT sha256('\x01'::bytea || string_agg(hash, ''::bytea ORDER BY place)) FROM three)
    WHERE level = 4 AND position = 0";

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

    let with_failed_checkpoints =
        format!("{REMADE}; UPDATE audit_checkpoints SET state = 'FAILED'");
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
        ("UPDATE audit_logs SET record_ids = ARRAY[request_id] WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET on_behalf_of = request_id WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET leaf_layout = 1 WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET leaf_layout = 2 WHERE id = $5", changed.clone()),
        ("UPDATE audit_logs SET leaf_layout = 4 WHERE id = $5", changed.clone()),
        ("ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_record_ids_check;
          UPDATE audit_logs SET record_ids = '[0:0]={00000000-0000-7000-8000-000000000001}' WHERE id = $5", changed.clone()),
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
        ("CREATE TEMPORARY TABLE one AS SELECT * FROM kept_rows WHERE id = $5; UPDATE one SET id = 9223372036854775807;
          INSERT INTO audit_logs SELECT * FROM one",
         "audit_logs 9223372036854775807: INSERTED".to_owned()),
        ("CREATE TEMPORARY TABLE one AS SELECT * FROM kept_rows WHERE id = $5; UPDATE one SET id = -7;
          INSERT INTO audit_logs SELECT * FROM one",
         "audit_logs -7: INSERTED".to_owned()),
        ("CREATE TEMPORARY TABLE one AS SELECT * FROM kept_rows WHERE id = $5;
          UPDATE one SET id = '-9223372036854775808'; INSERT INTO audit_logs SELECT * FROM one",
         "audit_logs -9223372036854775808: INSERTED".to_owned()),
        // A leaf so far away that nobody would live to see all the places before it compared.
        ("INSERT INTO audit_leaves VALUES (9223372036854775807, -1, sha256(''))", "NO_LEAF".to_owned()),
        // By a transaction that there cannot have been: it would wait for its place for ever.
        ("CREATE TEMPORARY TABLE one AS SELECT * FROM kept_rows WHERE id = $5;
          UPDATE one SET id = 900000000, leaf_xid = '9000000000000000000'; INSERT INTO audit_logs SELECT * FROM one",
         "audit_logs 900000000: INSERTED".to_owned()),
        ("DO $$ DECLARE name text; BEGIN
              FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = 'audit_logs'::regclass AND contype = 'c'
              LOOP EXECUTE format('ALTER TABLE audit_logs DROP CONSTRAINT %I', name); END LOOP;
          END $$;
          UPDATE audit_logs SET event_time = 'infinity' WHERE id = $5", changed.clone()),
        ("UPDATE audit_checkpoints SET root = repeat('0', 64)", "ROOT".to_owned()),
        ("DELETE FROM audit_logs WHERE id > $6; DELETE FROM audit_leaves WHERE position > 6;
          DELETE FROM audit_nodes", "ROOT".to_owned()),
        (REMADE, "ROOT".to_owned()),
        // Also the rows of the checkpoints are made to say nothing: the registry does.
        (&with_failed_checkpoints, "audit_checkpoints 0 (places 0 to".to_owned()),
        ("UPDATE audit_checkpoints SET state = 'FAILED'", "audit_checkpoints 0: UNKNOWN".to_owned()),
        ("UPDATE audit_checkpoints SET epoch = 9", "NOT_PINNED".to_owned()),
        // Not where the event is, or by another account.
        ("UPDATE audit_checkpoints SET block_number = block_number + 1", "NOT_PINNED".to_owned()),
        ("UPDATE audit_checkpoints SET block_hash = '0x' || repeat('3', 64)", "NOT_PINNED".to_owned()),
        ("UPDATE audit_checkpoints SET signer = '0x' || repeat('4', 40)", "NOT_PINNED".to_owned()),
    ] {
        let attack = attack.replace("$5", &five.to_string()).replace("$6", &six.to_string());
        world.attacks(&attack).await;

        let (is_well, said) = verifies(&world, true).await;

        assert!(!is_well && said.contains(&named), "{attack}: {named} in {said}");
        assert!(!open(&world).await.is_empty(), "{attack}");
        // Whoever looks once more closes nothing that is still wrong.
        assert!(!verifies(&world, true).await.0, "{attack}");
        assert!(!open(&world).await.is_empty(), "{attack}");
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

#[tokio::test]
async fn a_finding_about_a_checkpoint_is_closed_by_none_who_did_not_ask_the_registry() {
    let world = pinned().await;
    world.api.kill().await;
    world.indexer.kill().await;
    world
        .attacks("CREATE TABLE kept AS SELECT * FROM audit_checkpoints; UPDATE audit_checkpoints SET epoch = 9")
        .await;
    let (is_well, said) = verifies(&world, true).await;
    assert!(!is_well && said.contains("NOT_PINNED"), "{said}");
    world
        .attacks("DELETE FROM audit_checkpoints; INSERT INTO audit_checkpoints SELECT * FROM kept")
        .await;

    assert!(verifies(&world, false).await.0);
    assert!(!open(&world).await.is_empty());
    assert!(verifies(&world, true).await.0);
    assert!(open(&world).await.is_empty());
}

/// `audit verify` of a file with these lines, without a database.
async fn checks(world: &World, file: &Path, lines: &[String]) -> (bool, String) {
    fs::write(file, lines.join("\n") + "\n").expect("it is written");
    let words = format!(
        "verify --database-url postgres://nobody@127.0.0.1:1/none --export {}",
        file.display()
    );
    runs(world, &words, true).await
}

#[tokio::test]
async fn an_export_is_checked_with_nothing_but_a_node_and_every_change_of_it_is_named() {
    let world = pinned().await;
    // Only the database is asked, and no checkpoint comes meanwhile.
    world.api.kill().await;
    world.indexer.kill().await;
    let scratch = Scratch::new("trail").expect("there is room for a file");
    let file = scratch.path().join("trail.ndjson");
    let (is_done, said) = runs(&world, &format!("export --out {}", file.display()), false).await;
    assert!(is_done && said.contains("rows in"), "{said}");
    let (is_done, said) = runs(&world, &format!("export --out {}", file.display()), false).await;
    assert!(!is_done && said.contains("is there already"), "{said}");
    assert_eq!(
        fs::metadata(&file)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    let told = world
        .audit_rows("action_type = 'AUDIT_EXPORT' AND new_value ->> 'export' = 'ALL'")
        .await;
    assert_eq!(told.len(), 1, "{told:?}");
    let text = fs::read_to_string(&file).expect("it is text");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let file = scratch.path().join("copy.ndjson");
    let (is_well, said) = checks(&world, &file, &lines).await;
    assert!(is_well && said.ends_with("0 faults\n"), "{said}");

    let place = |nth: usize| lines[nth + 1].clone();
    let hash = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["leaf_hash"].clone();
    let row = |line: &str| {
        let mut line = serde_json::from_str::<trail::export::Line>(line).expect("a line");
        let mut row = line.row.take().expect("a row");
        row.user_agent = Some("another".to_owned());
        line.leaf_hash = hex(&row.leaf_hash(line.layout).expect("a layout that there is"));
        line.row = Some(row);
        serde_json::to_string(&line).expect("a line")
    };
    let with = |nth: usize, line: String| {
        let mut lines = lines.clone();
        lines[nth + 1] = line;
        lines
    };
    let without = |nth: usize| {
        let mut lines = lines.clone();
        lines.remove(nth + 1);
        lines
    };
    let swapped = {
        let mut lines = lines.clone();
        lines.swap(4, 5);
        lines
    };
    let doubled = {
        let mut lines = lines.clone();
        lines.insert(5, place(4));
        lines
    };
    for (changed, named) in [
        (
            with(5, place(5).replace("\"user_id\":\"0", "\"user_id\":\"1")),
            "place 5: CHANGED",
        ),
        (
            with(
                5,
                place(5).replace(
                    hash(&place(5)).as_str().expect("text"),
                    hash(&place(6)).as_str().expect("text"),
                ),
            ),
            "place 5: CHANGED",
        ),
        // The row and its hash together: the rows from one checkpoint to the next are named.
        (with(5, row(&place(5))), ": ROOT"),
        (
            with(
                5,
                format!(
                    "{{\"position\":5,\"leaf_hash\":{},\"layout\":2}}",
                    hash(&place(5))
                ),
            ),
            "place 5: REMOVED",
        ),
        (with(5, "{}".to_owned()), "place 5: UNREADABLE"),
        (without(5), "place 5: REORDERED"),
        (swapped, "place 3: REORDERED"),
        (doubled, "place 5: REORDERED"),
        (lines[..lines.len() - 1].to_vec(), "CUT_OFF"),
        (lines[..7].to_vec(), "CUT_OFF"),
    ] {
        let (is_well, said) = checks(&world, &file, &changed).await;
        assert!(!is_well && said.contains(named), "{named}: {said}");
    }
    // The lines after one that is gone are compared by the places that they say.
    let (_, said) = checks(&world, &file, &without(5)).await;
    assert_eq!(said.matches("REORDERED").count(), 1, "{said}");
    let nothing = ["{}".to_owned()];
    let (is_well, said) = checks(&world, &file, &nothing).await;
    assert!(!is_well && said.contains("no export of a trail"), "{said}");
    let mut other = lines.clone();
    other[0] = other[0].replace("\"chain_id\":31337", "\"chain_id\":1");
    let (is_well, said) = checks(&world, &file, &other).await;
    assert!(!is_well && said.contains("on chain 1"), "{said}");
}

#[tokio::test]
async fn a_check_that_could_not_finish_ends_otherwise_than_one_that_found_something() {
    let world = World::start().await;
    world.patient("ana").await;
    let placed = "SELECT 1 FROM audit_leaves JOIN audit_logs ON audit_logs.id = audit_id
                  WHERE action_type = 'AUTH_REGISTER'";
    eventually("the row has its place", async || {
        world.sql(placed).await.first().map(|_| ())
    })
    .await;
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.unwrap_or_else(|error| panic!("{error}"));
    let code = async |database: &str| {
        let verify = tokio::process::Command::new(&world.foundation.programs.meditrustal)
            .args(["audit", "verify"])
            .env_clear()
            .env("DATABASE_URL", database)
            .output();
        let output = verify.await.expect("the program starts");
        output.status.code().expect("it ends by itself")
    };

    assert_eq!(code(&url).await, 0);
    assert_eq!(
        code("postgres://nobody@127.0.0.1:1/nothing?sslmode=disable").await,
        2
    );
    world
        .attacks(
            "ALTER TABLE audit_logs DISABLE TRIGGER USER;
             UPDATE audit_logs SET purpose = 'TREAT' WHERE action_type = 'AUTH_REGISTER';
             ALTER TABLE audit_logs ENABLE TRIGGER USER",
        )
        .await;
    assert_eq!(code(&url).await, 1);
}
