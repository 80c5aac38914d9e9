//! `meditrustal records derive`: what a record is found by is read off its document again, and nothing else changes.

use std::process::Stdio;

use domain::ids::RecordId;
use serde_json::{Value, json};
use tests::transfer::Ended;
use tests::{Person, World, eventually, id, text};
use tokio::process::Command;
use vault::{envelope::Binding, keyring::Keyring, row};

use crate::monitoring::runs;

const FIND: &str = "query Find($filter: RecordFilterInput) {
  medicalRecords(first: 100, filter: $filter) { nodes { id metadata effectiveAt dataHash } }
}";
const DERIVED: &str = "action_type = 'RECORD_DERIVE'";

/// A heart rate over some days.
fn over_days() -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "category": [{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] },
        "effectivePeriod": { "start": "2026-03-28", "end": "2026-04-04" },
        "valueQuantity": { "value": 62, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min" }
    })
}

/// Makes a record's row what a program would have written that read less off the document: the same document in an envelope of that
/// row.
async fn grows_old(world: &World, record: &str) {
    let mut conn = world.connects_as("meditrustal_api").await;
    let wanted = RecordId(record.parse().expect("an id"));
    let row = store::records::sealed(&mut conn, &[wanted]).await;
    let row = row.expect("it can be read").pop().expect("there is one");
    let file = world.foundation.dir().join("keys/master-keys.json");
    let keyring = Keyring::load(&file).expect("the master keys of this world");
    let stored = row.key.as_ref().expect("it has a key");
    let unwrapped = keyring.unwrap(&[stored]).await.expect("no token is asked");
    let key = unwrapped.into_iter().next().expect("an answer");
    let key = key.expect("it unwraps");
    let now = row::binding(&row).expect("it can be sealed");
    let document = key.open(&now, &row.encrypted_data).expect("it opens");
    let less = json!({ "date": "2026-03-28", "department": "er" });
    let then = Binding {
        metadata: Some(&less),
        effective_at: None,
        code_tokens: None,
        ..now
    };
    let sealed = vault::digest::to_hex(&key.seal(&then, &document));
    world
        .attacks(&format!(
            "UPDATE medical_records SET record_metadata = '{less}', effective_at = NULL, code_tokens = NULL,
                 encrypted_data = decode('{sealed}', 'hex')
             WHERE id = '{record}'"
        ))
        .await;
}

async fn old_records(world: &World, ana: &Person, count: usize) -> Vec<String> {
    let mut records = Vec::new();
    for _ in 0..count {
        let more = json!({ "metadata": { "department": "er" } });
        let stored = ana.stores(ana, "VITAL_SIGNS", over_days(), more).await;
        let record = id(&stored.data()["createMedicalRecord"]["record"]);
        grows_old(world, &record).await;
        records.push(record);
    }
    records
}

fn environment(world: &World, role: &str) -> Vec<(&'static str, String)> {
    let key = |name: &str| {
        let path = world.foundation.dir().join("keys").join(name);
        path.display().to_string()
    };
    vec![
        (
            "DATABASE_URL",
            world.foundation.url_of(role).expect("the role"),
        ),
        ("MEDITRUSTAL_MASTER_KEYS_FILE", key("master-keys.json")),
        ("MEDITRUSTAL_INDEX_KEY_FILE", key("index.key")),
    ]
}

async fn derives_as(world: &World, role: &str, more: &[&str]) -> Ended {
    let environment = environment(world, role);
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let arguments = [&["records", "derive", "--json"], more].concat();
    runs(world, &arguments, &environment).await
}

async fn derives(world: &World, more: &[&str]) -> Ended {
    derives_as(world, "meditrustal_migrator", more).await
}

/// What is found by a filter.
async fn finds(person: &Person, filter: Value) -> Vec<Value> {
    let answer = person.asks(FIND, json!({ "filter": filter })).await;
    let nodes = &answer.data()["medicalRecords"]["nodes"];
    nodes.as_array().expect("a list").clone()
}

/// A record's document, byte for byte.
async fn canonical(person: &Person, record: &str) -> String {
    let read = person.reads(record).await;
    text(&read.data()["medicalRecord"]["canonical"])
}

fn in_april() -> Value {
    json!({ "effectiveFrom": "2026-04-02T00:00:00Z", "effectiveTo": "2026-04-03T00:00:00Z" })
}

fn by_code() -> Value {
    json!({ "code": { "system": "http://loinc.org", "code": "8867-4" } })
}

#[tokio::test]
async fn what_was_stored_before_is_found_by_what_is_read_off_documents_now() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = old_records(&world, &ana, 1).await.remove(0);
    let before = finds(&ana, json!({})).await.remove(0);
    let document = canonical(&ana, &record).await;
    for filter in [in_april(), by_code()] {
        assert!(finds(&ana, filter).await.is_empty());
    }

    let would = derives(&world, &["--dry-run"]).await.json();

    let columns = json!({ "record_metadata": 1, "effective_at": 1, "code_tokens": 1 });
    assert_eq!(
        (&would["changed"], &would["columns"]),
        (&json!(1), &columns)
    );
    assert_eq!(finds(&ana, json!({})).await, std::slice::from_ref(&before));
    assert!(world.audit_rows(DERIVED).await.is_empty());

    let did = derives(&world, &[]).await.json();

    for name in [
        "checked",
        "changed",
        "columns",
        "erased",
        "restricted",
        "unreadable",
        "busy",
        "last",
    ] {
        assert_eq!(did[name], would[name], "{name}");
    }
    for filter in [in_april(), by_code()] {
        let found = finds(&ana, filter).await;
        assert_eq!(found.len(), 1);
        // The document and its hash are as they were, and what the client gave is.
        for name in ["id", "dataHash"] {
            assert_eq!(found[0][name], before[name], "{name}");
        }
        let metadata = json!({
            "date": "2026-03-28", "dateEnd": "2026-04-04", "status": "final", "department": "er",
        });
        assert_eq!(found[0]["metadata"], metadata);
    }
    assert_eq!(canonical(&ana, &record).await, document);
    world.wait_for_anchor(&record, "CONFIRMED").await;
    let verified = ana.verifies(&record).await;
    assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
    let trail = world.audit_rows(DERIVED).await;
    assert_eq!(trail.len(), 1, "{trail:?}");
    assert_eq!(trail[0]["resource_id"], record.as_str());
    assert_eq!(trail[0]["patient_id"], ana.id.as_str());
    let said = trail[0]["new_value"].to_string();
    assert!(!said.contains("2026"), "{said}");

    // Once is enough.
    let again = derives(&world, &[]).await.json();
    assert_eq!(
        (&again["checked"], &again["changed"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(world.audit_rows(DERIVED).await.len(), 1);
}

#[tokio::test]
async fn a_run_that_is_killed_loses_nothing_and_the_next_one_ends_it() {
    const RECORDS: usize = 30;
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut records = old_records(&world, &ana, RECORDS).await;
    records.sort_unstable();

    let mut run = Command::new(&world.foundation.programs.meditrustal)
        .args(["records", "derive", "--per-second", "10"])
        .env_clear()
        .envs(environment(&world, "meditrustal_migrator"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    eventually("some are derived", async || {
        (!world.audit_rows(DERIVED).await.is_empty()).then_some(())
    })
    .await;
    run.kill().await.expect("it is killed");

    let done = world.audit_rows(DERIVED).await;
    assert!(done.len() < RECORDS, "{}", done.len());
    assert_eq!(finds(&ana, in_april()).await.len(), done.len());
    // It goes on where it is told to, and a record is written once.
    let derived = done.iter().map(|row| text(&row["resource_id"]));
    let last = derived.max().expect("some");
    let rest = derives(&world, &["--after", &last, "--per-second", "100000"]).await;
    let rest = rest.json();
    assert_eq!(rest["checked"], RECORDS - done.len());
    assert_eq!(rest["changed"], RECORDS - done.len());
    assert_eq!(rest["last"], records[RECORDS - 1].as_str());
    assert_eq!(finds(&ana, in_april()).await.len(), RECORDS);
    let trail = world.audit_rows(DERIVED).await;
    let mut named: Vec<String> = trail.iter().map(|row| text(&row["resource_id"])).collect();
    named.sort_unstable();
    assert_eq!(named, records);
    assert_eq!(derives(&world, &[]).await.json()["changed"], 0);
}

#[tokio::test]
async fn what_does_not_open_is_left_as_it_is_and_found_and_the_rest_is_done() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let records = old_records(&world, &ana, 3).await;
    let broken = &records[1];
    world
        .attacks(&format!(
            "UPDATE medical_records
             SET encrypted_data = set_byte(encrypted_data, 60, 255 - get_byte(encrypted_data, 60))
             WHERE id = '{broken}'"
        ))
        .await;

    let refused = derives_as(&world, "meditrustal_api", &[]).await;
    refused.is_refused("only the role that owns the tables");
    let done = derives(&world, &[]).await;

    assert_eq!(done.code, Some(1), "{done:?}");
    let told = done.report();
    let counted = ["checked", "changed", "unreadable", "busy"].map(|name| &told[name]);
    assert_eq!(counted, [&json!(3), &json!(2), &json!(1), &json!(0)]);
    let findings = world
        .sql(&format!(
            "SELECT kind FROM integrity_findings WHERE record_id = '{broken}' AND resolved_at IS NULL"
        ))
        .await;
    assert_eq!(findings.len(), 1);
    let row = format!("SELECT effective_at FROM medical_records WHERE id = '{broken}'");
    assert_eq!(world.sql(&row).await[0]["effective_at"], Value::Null);
}

#[tokio::test]
async fn what_this_program_has_stored_comes_out_the_same_and_a_trial_makes_no_key_known() {
    const KEYS: &str = "SELECT kind, key_id, check_value FROM key_checks ORDER BY kind, key_id";
    let world = World::start().await;
    // A record of every type, of which one was amended twice and one was withdrawn.
    world.a_life().await;
    let known = world.sql(KEYS).await;
    world.attacks("DELETE FROM key_checks").await;

    let would = derives(&world, &["--dry-run"]).await.json();

    assert_eq!(
        (&would["checked"], &would["changed"], &would["columns"]),
        (&json!(11), &json!(0), &json!({}))
    );
    assert!(world.sql(KEYS).await.is_empty());

    let did = derives(&world, &[]).await.json();

    assert_eq!(did["changed"], 0, "{did}");
    assert_eq!(world.sql(KEYS).await, known);
    assert!(world.audit_rows(DERIVED).await.is_empty());
}
