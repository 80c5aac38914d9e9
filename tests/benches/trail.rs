//! What the tree over the audit trail costs, and how long a proof takes among 10,000,000 rows.
//!
//! Rows are written by SQL, as the programs write them; the trigger that hashes them is switched off for the limit. Proofs and
//! the access log are asked for by one client.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::bench::{Arguments, Bar, Figure, Report, progress};
use tests::{Person, World, text};

/// How many rows are written by one statement.
const AT_ONCE: u64 = 100_000;
/// How often each question is asked.
const QUESTIONS: usize = 200;
/// How many patients the rows are about.
const PATIENTS: u64 = 1000;

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let (few, many) = (arguments.many(1_000_000), arguments.many(10_000_000));
    let world = arguments
        .world_with(|options| options.checkpoints = Some(Duration::from_secs(10)))
        .await;
    let ana = world.patient("ana").await;
    world
        .executes(&format!(
            "INSERT INTO users (id, email, username, hashed_password, role)
             SELECT uuidv7(), 'crowd.' || nth || '@meditrustal.example', 'crowd.' || nth, '!', 'PATIENT'
             FROM generate_series(2, {PATIENTS}) AS nth"
        ))
        .await;
    let mut report = Report::new();

    let hashed = writes(&world, &ana, AT_ONCE).await;
    // The same rows, taken back: nothing without a hash stays.
    let plain = writes_unhashed(&world, &ana).await;
    report.beside(
        format!("writing {AT_ONCE} rows by one statement"),
        Figure::of(hashed),
        Figure::of(plain),
        Bar::None,
    );
    progress(format_args!("writing {few} rows"));
    fill(&world, &ana, few).await;
    ordered(&world).await;
    exported(&world, few, &mut report).await;
    progress(format_args!("writing {many} rows"));
    // What asks later finds every index; ten million rows are written sooner without most of them.
    let indexes = without_indexes(&world).await;
    fill(&world, &ana, many).await;
    progress(format_args!("making {} indexes", indexes.len()));
    for index in &indexes {
        world.executes(index).await;
    }
    let began = Instant::now();
    ordered(&world).await;
    progress(format_args!(
        "the last of them waited {:.0} s for their places",
        began.elapsed().as_secs_f64()
    ));
    world.executes("VACUUM ANALYZE audit_logs").await;
    world.executes("VACUUM ANALYZE audit_leaves").await;

    let rows = world
        .sql(&format!(
            "SELECT id::text FROM audit_logs WHERE patient_id = '{}' ORDER BY random() LIMIT {QUESTIONS}",
            ana.id
        ))
        .await;
    let proof =
        "query($id: ID!) { auditProof(id: $id) { leafHash inclusion checkpoint { root } } }";
    let proofs = asks(
        &ana,
        proof,
        rows.iter().map(|row| json!({ "id": row["id"] })),
    )
    .await;
    report.figure("auditProof: p95", Figure::of(proofs), Bar::AtMost(50.0));
    let log = "{ myAccessLog(first: 20) { nodes { id at who { username } action sentence } } }";
    let log = asks(&ana, log, (0..QUESTIONS).map(|_| json!({}))).await;
    report.figure("myAccessLog: p95", Figure::of(log), Bar::AtMost(200.0));
    let days = "{ myAccessLogByDay(first: 20) { nodes { day who { username } reads searches denials records } } }";
    let days = asks(&ana, days, (0..QUESTIONS).map(|_| json!({}))).await;
    report.figure(
        "myAccessLogByDay, all on one day: p95",
        Figure::of(days),
        Bar::AtMost(200.0),
    );
    report.note(format!(
        "proofs and the log among {many} rows of {PATIENTS} patients, one client"
    ));
    report.print("trail");
}

/// Writes rows about all patients; gives how long it took.
async fn writes(world: &World, ana: &Person, rows: u64) -> Duration {
    let began = Instant::now();
    world.executes(&insert(ana, rows)).await;
    began.elapsed()
}

fn insert(ana: &Person, rows: u64) -> String {
    format!(
        "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, ip_address, user_agent, request_id,
             purpose, retention_period, data_classification, encryption_status, patient_id)
         SELECT '{}', 'RECORD_READ', 'MEDICAL_RECORD', uuidv7(), '10.0.0.1', 'a browser of some length, on some system',
             uuidv7(), 'TREAT', interval '3650 days', 'MEDICAL', 'DECRYPTED_FOR_DISCLOSURE', who[1 + nth % {PATIENTS}]
         FROM generate_series(1, {rows}) AS nth,
             (SELECT array_agg(id ORDER BY username LIKE 'crowd.%', id) AS who FROM users WHERE role = 'PATIENT') AS patients",
        ana.id
    )
}

async fn writes_unhashed(world: &World, ana: &Person) -> Duration {
    let statement = insert(ana, AT_ONCE);
    let began = Instant::now();
    world
        .executes(&format!(
            "DO $$ BEGIN
                 ALTER TABLE audit_logs DISABLE TRIGGER audit_logs_tree, DROP CONSTRAINT audit_logs_leaf_hash_check;
                 {statement};
                 RAISE EXCEPTION 'taken back';
             EXCEPTION WHEN raise_exception THEN NULL;
             END $$"
        ))
        .await;
    began.elapsed()
}

/// Writes rows until there are so many.
async fn fill(world: &World, ana: &Person, to: u64) {
    let count = world.sql("SELECT count(*) AS rows FROM audit_logs").await;
    let mut there = count[0]["rows"].as_u64().expect("a number");
    while there < to {
        let rows = AT_ONCE.min(to - there);
        writes(world, ana, rows).await;
        there += rows;
    }
}

/// Drops the indexes of the trail but those that give rows their places; gives the statements that make them again.
async fn without_indexes(world: &World) -> Vec<String> {
    let indexes = world
        .sql(
            "SELECT indexname AS name, indexdef AS definition FROM pg_indexes
             WHERE tablename = 'audit_logs' AND indexname NOT IN ('audit_logs_pkey', 'idx_audit_logs_leaf')",
        )
        .await;
    let mut made_by = Vec::new();
    for index in &indexes {
        world
            .executes(&format!("DROP INDEX {}", text(&index["name"])))
            .await;
        made_by.push(text(&index["definition"]));
    }
    made_by
}

/// Waits until every row has its place, and a checkpoint in the registry holds them all.
async fn ordered(world: &World) {
    let rows = world.sql("SELECT count(*) AS rows FROM audit_logs").await;
    let query = format!(
        "SELECT 1 FROM audit_checkpoints WHERE state = 'ANCHORED' AND tree_size >= {}",
        rows[0]["rows"]
    );
    while world.sql(&query).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Writes the trail to a file, and checks the file.
async fn exported(world: &World, rows: u64, report: &mut Report) {
    let file = world.foundation.dir().join("trail.ndjson");
    let file = file.display().to_string();
    let export = runs(world, &["audit", "export", "--out", &file]).await;
    report.figure(
        format!("audit export of {rows} rows"),
        Figure::of(export),
        Bar::None,
    );
    let verify = runs(world, &["audit", "verify", "--export", &file]).await;
    report.figure(
        format!("audit verify of {rows} exported rows"),
        Figure::of(verify),
        Bar::AtMost(10_000.0),
    );
}

async fn runs(world: &World, words: &[&str]) -> Duration {
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.unwrap_or_else(|error| panic!("{error}"));
    let programs = world.foundation.programs.clone();
    let deployment = world.foundation.dir().join("deployment.json");
    let deployment = deployment.display().to_string();
    let node = world.foundation.chain_rpc_url().to_owned();
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let done = tokio::task::spawn_blocking(move || {
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("MEDITRUSTAL_DEPLOYMENT_FILE", &deployment),
            ("CHAIN_RPC_URL", &node),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let began = Instant::now();
        let said = programs.operate(&words, &environment, "");
        said.unwrap_or_else(|error| panic!("{error}"));
        began.elapsed()
    });
    done.await.expect("a command does not panic")
}

/// Asks one after the other; gives how long 95 of 100 took at most.
async fn asks(person: &Person, query: &str, variables: impl Iterator<Item = Value>) -> Duration {
    let mut times = Vec::new();
    for variables in variables {
        let began = Instant::now();
        let answer = person.asks(query, variables).await;
        times.push(began.elapsed());
        answer.data();
    }
    times.sort();
    times[times.len() * 95 / 100]
}
