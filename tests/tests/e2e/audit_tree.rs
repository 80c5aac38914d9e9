//! The tree over the audit trail: every row has a leaf, is hashed by what it says, and gets one place, whoever writes,
//! whatever is killed.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::{World, documents, eventually, id};
use trail::Hash;

use crate::{
    audit_check,
    checkpoints::{self, root_of},
};

const API: &str = "meditrustal_api";
const OWNER: &str = "meditrustal_migrator";

/// A row that says what no product writes: every NULL, a network, texts outside ASCII.
const STRANGE: &str = r#"INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, old_value, new_value,
    ip_address, user_agent, request_id, purpose, retention_period, data_classification, encryption_status)
    VALUES ('00000000-0000-7000-8000-000000000003', 'RECORD_READ', 'MEDICAL_RECORD',
    '00000000-0000-7000-8000-000000000003', '{"b": 1.500, "aa": ["é", null], "a": {}}', NULL, '2001:db8::/48',
    'Grüße', '00000000-0000-7000-8000-000000000003', 'TREAT', interval '1 year 3 mons -4 days 05:06:07.8', 'MEDICAL',
    'METADATA_ONLY')"#;

async fn executes(conn: &mut PgConnection, statements: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(conn)
        .await;
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// Waits until every row has a place, and answers the leaves in order: each row's number with its hash.
async fn all_ordered(world: &World) -> Vec<(i64, Hash)> {
    eventually("every row has its place", async || {
        let left =
            "SELECT 1 FROM audit_logs WHERE id NOT IN (SELECT audit_id FROM audit_leaves) LIMIT 1";
        world.sql(left).await.is_empty().then_some(())
    })
    .await;
    let leaves = "SELECT position, audit_id, encode(leaf_hash, 'hex') AS hash FROM audit_leaves ORDER BY position";
    let leaves = world.sql(leaves).await;
    for (nth, leaf) in (0_u64..).zip(&leaves) {
        assert_eq!(leaf["position"], nth, "positions have no gap");
    }
    let leaves = leaves.iter().map(|leaf| {
        let hash = leaf["hash"].as_str().expect("a hash");
        (
            leaf["audit_id"].as_i64().expect("a number"),
            checkpoints::hash(hash),
        )
    });
    leaves.collect()
}

/// Every stored node is the root over its leaves, and none is missing.
async fn nodes_are_right(world: &World, leaves: &[(i64, Hash)]) {
    let hashes: Vec<Hash> = leaves.iter().map(|(_, hash)| *hash).collect();
    let mut wanted = BTreeMap::new();
    for level in [4_usize, 8, 12] {
        for (nth, under) in hashes.chunks_exact(1 << level).enumerate() {
            wanted.insert((level as u64, nth as u64), root_of(under));
        }
    }
    let found = "SELECT level, position, encode(hash, 'hex') AS hash FROM audit_nodes";
    let found = world.sql(found).await;
    let found: BTreeMap<_, _> = found
        .iter()
        .map(|node| {
            let number = |column: &str| node[column].as_u64().expect("a number");
            let hash = checkpoints::hash(node["hash"].as_str().expect("a hash"));
            ((number("level"), number("position")), hash)
        })
        .collect();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn every_row_is_hashed_by_what_it_says_whoever_writes_it() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    dr_bo.reads(&record).await;
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    dr_bo.reads(&record).await;
    let wrong = json!({ "input": { "login": ana.username, "password": "somebody else's" } });
    let log_in = "mutation LogIn($input: LogInInput!) { logIn(input: $input) { accessToken } }";
    assert!(world.nobody().asks(log_in, wrong).await.code().is_some());
    // Whoever writes, and whatever their connection speaks.
    for role in [API, "meditrustal_indexer", "meditrustal_keys", OWNER] {
        let mut conn = world.connects_as(role).await;
        executes(&mut conn, STRANGE).await;
        executes(&mut conn, "SET client_encoding = 'LATIN1'").await;
        let refused = sqlx::raw_sql(STRANGE).execute(&mut conn).await;
        assert!(
            refused.is_err(),
            "texts would be hashed in another encoding"
        );
    }

    let mut conn = world.connects_as(API).await;
    let rows = store::trail::rows(&mut conn, 0, 10_000).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}"));

    assert!(rows.len() > 10, "{}", rows.len());
    for row in &rows {
        assert_eq!(row.layout, trail::row::LAYOUT);
        let hash = row.computed().expect("a layout that there is");
        assert_eq!(row.leaf_hash, hash, "{:#?}", row.row);
    }
    let salts = world.sql("SELECT DISTINCT leaf_salt FROM audit_logs").await;
    assert_eq!(salts.len(), rows.len(), "each row has a salt of its own");
    let leaves = all_ordered(&world).await;
    nodes_are_right(&world, &leaves).await;
    let by_id: BTreeMap<_, _> = leaves.into_iter().collect();
    for row in &rows {
        assert_eq!(by_id[&row.row.id][..], row.leaf_hash, "{}", row.row.id);
    }
}

/// What a migration makes of the trigger's function.
fn function_of(migration: &str) -> &str {
    let begin = migration.find("CREATE OR REPLACE FUNCTION");
    let end = migration.rfind("$$;").map(|at| at + 3);
    &migration[begin.expect("a function")..end.expect("its end")]
}

#[tokio::test]
async fn rows_of_earlier_layouts_stand_beside_those_of_the_newest() {
    const NAMING: &str = "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, ip_address, request_id,
            purpose, retention_period, data_classification, encryption_status, record_ids)
        SELECT user_id, 'RECORD_SEARCH', resource_type, resource_id, ip_address, request_id, purpose, retention_period,
            data_classification, encryption_status, ARRAY[resource_id, user_id]
        FROM audit_logs WHERE request_id = user_id ORDER BY id DESC LIMIT 1";
    const REPRESENTING: &str = "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, ip_address,
            request_id, purpose, retention_period, data_classification, encryption_status, patient_id, on_behalf_of)
        SELECT user_id, 'RECORD_READ', resource_type, resource_id, ip_address, request_id, purpose, retention_period,
            data_classification, encryption_status, resource_id, resource_id
        FROM audit_logs WHERE request_id = user_id ORDER BY id DESC LIMIT 1";
    let world = World::start().await;
    let newest =
        include_str!("../../../migrations/20261130050000_name_represented_patients.up.sql");
    let up = include_str!("../../../migrations/20261129150000_name_found_records.up.sql");
    let down = include_str!("../../../migrations/20261129150000_name_found_records.down.sql");
    world.attacks(function_of(down)).await;
    let mut conn = world.connects_as(API).await;
    executes(&mut conn, STRANGE).await;
    world.attacks(function_of(up)).await;
    executes(&mut conn, STRANGE).await;
    executes(&mut conn, NAMING).await;
    world.attacks(function_of(newest)).await;
    executes(&mut conn, REPRESENTING).await;

    let rows = store::trail::rows(&mut conn, 0, 10_000).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}"));

    let strange = rows
        .iter()
        .filter(|row| row.row.request_id == row.row.user_id);
    let strange: Vec<_> = strange.collect();
    let layouts: Vec<_> = strange.iter().map(|row| row.layout).collect();
    assert_eq!(layouts, [1, 2, 2, 3]);
    assert_eq!(strange[2].row.record_ids.as_ref().map(Vec::len), Some(2));
    let represented = strange[3].row.on_behalf_of;
    assert!(represented.is_some() && represented == strange[3].row.patient_id);
    for row in &rows {
        let hash = row.computed().expect("a layout that there is");
        assert_eq!(row.leaf_hash, hash, "{:#?}", row.row);
    }
    all_ordered(&world).await;
    let (is_well, said) = audit_check::runs(&world, "verify", true).await;
    assert!(is_well, "{said}");
    let file = world
        .foundation
        .dir()
        .join("trail.ndjson")
        .display()
        .to_string();
    let (is_done, said) = audit_check::runs(&world, &format!("export --out {file}"), true).await;
    assert!(is_done, "{said}");
    let text = std::fs::read_to_string(&file).expect("it is text");
    let mut reading = trail::export::Reading::default();
    let faults: Vec<_> = text
        .lines()
        .skip(1)
        .filter_map(|line| reading.line(line))
        .collect();
    assert_eq!(faults, []);
    // Nothing is named that the layout has no room for, and no list that cannot be hashed.
    for list in [
        "'{}'",
        "ARRAY[NULL]::uuid[]",
        "ARRAY[ARRAY[user_id]]",
        "'[0:0]={00000000-0000-7000-8000-000000000001}'",
    ] {
        let naming = NAMING.replace("ARRAY[resource_id, user_id]", list);
        let done = sqlx::raw_sql(AssertSqlSafe(naming))
            .execute(&mut conn)
            .await;
        assert!(done.is_err(), "{list}");
    }
}

#[tokio::test]
async fn no_row_is_lost_or_doubled_while_transactions_stay_open_and_apis_are_killed() {
    const WRITERS: usize = 12;
    const TRANSACTIONS: usize = 40;

    let mut world = World::start().await;
    let mut second = world.second_api().await;
    let system = "'00000000-0000-7000-8000-000000000003'";
    let insert = format!(
        "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, ip_address, request_id, purpose,
             retention_period, data_classification, encryption_status)
         SELECT {system}, 'USER_READ', 'USER', {system}, '::1', {system}, 'HSYSADMIN', interval '1 day',
             'INTERNAL', 'NOT_APPLICABLE' FROM generate_series(1, 3);"
    );
    let before = world.audit_rows("TRUE").await.len();
    let writes = (0..WRITERS).map(async |nth| {
        let mut conn = world.connects_as(API).await;
        for round in 0..TRANSACTIONS {
            // Numbers are taken now and seen up to a quarter of a second later; some never.
            let pause = (nth * 7 + round * 3) % 25 * 10;
            let end = if round % 10 == 9 {
                "ROLLBACK"
            } else {
                "COMMIT"
            };
            let statements =
                format!("BEGIN; {insert} SELECT pg_sleep({pause} / 1000.0); {insert} {end}");
            executes(&mut conn, &statements).await;
        }
        conn.close().await.expect("it closes");
    });
    let writes = join_all(writes);
    let kills = async {
        for _ in 0..3 {
            eventually("some rows have places", async || {
                let waiting = "SELECT 1 FROM audit_leaves HAVING count(*) > 100";
                (!world.sql(waiting).await.is_empty()).then_some(())
            })
            .await;
            second.kill().await;
            second.restart().await;
        }
    };
    futures::future::join(writes, kills).await;
    world.api.kill().await;
    world.api.restart().await;

    let leaves = all_ordered(&world).await;

    let kept = WRITERS * TRANSACTIONS * 6 / 10 * 9;
    assert!(leaves.len() >= before + kept, "{}", leaves.len());
    nodes_are_right(&world, &leaves).await;
    // In the order of transactions, although numbers were taken in another.
    let order = world.sql(
        "SELECT count(*) FILTER (WHERE (xid::text::numeric, id) <= (before_xid::text::numeric, before_id)) AS wrong,
                count(*) FILTER (WHERE id < before_id) AS numbers_went_back
         FROM (SELECT log.id, log.leaf_xid AS xid,
                   lag(log.id) OVER place AS before_id, lag(log.leaf_xid) OVER place AS before_xid
               FROM audit_leaves AS leaf JOIN audit_logs AS log ON log.id = leaf.audit_id
               WINDOW place AS (ORDER BY leaf.position)) AS leaves",
    ).await;
    assert_eq!(order[0]["wrong"], 0);
    assert!(
        order[0]["numbers_went_back"].as_u64() > Some(50),
        "{order:?}"
    );
}

#[tokio::test]
async fn rows_of_another_server_get_places_once() {
    let world = World::start().await;
    let leaves = all_ordered(&world).await;
    // As after a dump of a server whose transactions had higher numbers: the watermark lies in the future, and rows wait
    // that had no place when it was made, one of them with a number that no transaction of this server will reach.
    world
        .attacks(
            "UPDATE audit_watermark SET xid = '9000000000000', server = server + 1;
             SET session_replication_role = origin;
             INSERT INTO audit_logs (leaf_xid, user_id, action_type, resource_type, resource_id, ip_address, request_id,
                 purpose, retention_period, data_classification, encryption_status)
             SELECT xid::xid8, id, 'USER_READ', 'USER', id, '::1', id, 'HSYSADMIN', interval '1 day', 'INTERNAL',
                 'NOT_APPLICABLE'
             FROM users CROSS JOIN (VALUES ('5'), ('8000000000000')) AS transactions(xid)
             WHERE username = 'system:indexer'",
        )
        .await;

    let more = all_ordered(&world).await;
    world.patient("ana").await;
    let most = all_ordered(&world).await;

    assert_eq!(more[..leaves.len()], leaves);
    assert!(more.len() >= leaves.len() + 2);
    assert_eq!(most[..more.len()], more);
    assert!(most.len() > more.len());
    nodes_are_right(&world, &most).await;
}
