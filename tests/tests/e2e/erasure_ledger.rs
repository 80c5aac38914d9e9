//! The erasure ledger: what was erased is erased again after the restore of an older backup.

use std::fs;
use std::path::Path;

use dev::scratch::Scratch;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::{World, documents, id, text};

use crate::erasures::{account, approves, at_once, is_completed, places_of, verified};
use crate::representatives::{ALL, appointed};

const CERTIFICATE: &str = "query($id: UUID!) { deletionCertificate(id: $id) { document } }";

/// Stops whoever uses the database, and changes it by these statements, in which NAME is its name.
async fn maintains(world: &World, statements: &[&str]) {
    world.api.kill().await;
    world.indexer.kill().await;
    let name = text(&world.sql("SELECT current_database() AS name").await[0]["name"]);
    let url = world.foundation.database.superuser_url();
    let url = url.replace(&format!("/{name}"), "/postgres");
    let mut server = PgConnection::connect(&url)
        .await
        .expect("the server answers");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'NAME'";
    for statement in [&[end], statements].concat() {
        let statement = statement.replace("NAME", &name);
        let done = sqlx::raw_sql(AssertSqlSafe(statement.clone()))
            .execute(&mut server)
            .await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Runs `meditrustal erasures replay` with these words: whether it did, and what it said.
async fn replays(world: &World, ledger: &Path, words: &[&str]) -> (bool, String) {
    let masters = world.foundation.dir().join("keys/master-keys.json");
    let (masters, ledger) = (masters.display().to_string(), ledger.display().to_string());
    let url = world.foundation.url_of("meditrustal_migrator");
    let url = url.unwrap_or_else(|error| panic!("{error}"));
    let programs = world.foundation.programs.clone();
    let words: Vec<String> = ["erasures", "replay", "--ledger", &ledger, "--json"]
        .iter()
        .chain(words)
        .map(|word| (*word).to_owned())
        .collect();
    let done = tokio::task::spawn_blocking(move || {
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("MEDITRUSTAL_MASTER_KEYS_FILE", &masters),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        programs.operate(&words, &environment, "")
    });
    match done.await.expect("a command does not panic") {
        Ok(said) => (true, said),
        Err(error) => (false, error.to_string()),
    }
}

fn parsed(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{said}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_erased_again_after_an_older_backup_was_restored() {
    const MARKER: &str = "zaphodbeeblebrox";
    let scratch = Scratch::new("ledger").expect("there is room for a file");
    let ledger = scratch.path().join("erasures.ledger");
    let setting = (
        "MEDITRUSTAL_ERASURE_LEDGER".to_owned(),
        ledger.display().to_string(),
    );
    let mut world = at_once(&[setting]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (zaphod, bea) = (world.patient(MARKER).await, world.patient("bea").await);
    let dr_bo = world.doctor("bo").await;
    zaphod.lets(&dr_bo, &["READ", "SEARCH"]).await;
    appointed(&zaphod, &dr_bo, &ALL).await;
    for record_type in ["LAB_RESULT", "IMAGING"] {
        for person in [&zaphod, &bea] {
            let stored = person
                .creates(person, record_type, documents::of(record_type))
                .await;
            world.wait_for_anchor(&id(&stored), "CONFIRMED").await;
        }
    }
    maintains(&world, &["CREATE DATABASE NAME_backup TEMPLATE NAME"]).await;
    world.indexer.restart().await;
    world.api.restart().await;
    let of_bea = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["LAB_RESULT"] });
    let of_bea = verified(&bea, of_bea).await;
    approves(&ada, &of_bea).await;
    is_completed(&world, &of_bea).await;
    let request = verified(&zaphod, account()).await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;
    is_completed(&world, &request).await;
    let answer = ada.asks(CERTIFICATE, json!({ "id": request })).await;
    let certificate = parsed(&text(&answer.data()["deletionCertificate"]["document"]));
    let head = text(&certificate["ledger"]["hash"]);
    let lines = fs::read_to_string(&ledger).expect("the api wrote it");
    assert!(
        lines.lines().any(|line| line.starts_with(&head)),
        "{head}: {lines}"
    );
    assert!(
        !lines.contains(MARKER) && lines.contains(&zaphod.id),
        "{lines}"
    );
    assert_eq!(lines.matches("\"certificate\":").count(), 2, "{lines}");

    maintains(
        &world,
        &[
            "DROP DATABASE NAME WITH (FORCE)",
            "ALTER DATABASE NAME_backup RENAME TO NAME",
            "ALTER DATABASE NAME OWNER TO meditrustal_migrator",
            "GRANT CONNECT ON DATABASE NAME TO meditrustal_api, meditrustal_indexer, meditrustal_keys, meditrustal_backup",
        ],
    )
    .await;
    assert!(
        places_of(&world, MARKER)
            .await
            .contains(&"users.username".to_owned())
    );
    let kept = format!(
        "SELECT encrypted_data FROM medical_records WHERE patient_id = '{}' AND record_type = 'IMAGING'",
        bea.id
    );
    let before = world.sql(&kept).await;

    // One that was changed, or cut off, is not gone by.
    let other = scratch.path().join("other.ledger");
    fs::write(&other, lines.replacen(&zaphod.id, &bea.id, 1)).expect("it is written");
    let (is_done, said) = replays(&world, &other, &[]).await;
    assert!(
        !is_done && said.contains("of the erasure ledger is not what was written"),
        "{said}"
    );
    fs::write(
        &other,
        lines.lines().next().expect("a line").to_owned() + "\n",
    )
    .expect("it is written");
    let (is_done, said) = replays(&world, &other, &["--head", &head]).await;
    assert!(!is_done && said.contains("it was cut off"), "{said}");
    let (is_done, said) = replays(&world, &ledger, &["--dry-run"]).await;
    assert!(is_done, "{said}");
    let would = parsed(&said);
    assert!(
        places_of(&world, MARKER)
            .await
            .contains(&"users.username".to_owned())
    );

    let (is_done, said) = replays(&world, &ledger, &["--head", &head]).await;

    assert!(is_done, "{said}");
    let mut did = parsed(&said);
    did["dryRun"] = json!(true);
    assert_eq!(would, did);
    assert_eq!(
        (&did["records"], &did["keys"], &did["accounts"]),
        (&json!(3), &json!(1), &json!(1))
    );
    let places = places_of(&world, MARKER).await;
    assert!(
        places.iter().all(|place| place.starts_with("audit_logs.")),
        "{places:?}"
    );
    let user = &zaphod.id;
    for nothing in [
        format!(
            "SELECT 1 FROM patient_keys WHERE patient_id = '{user}' AND wrapped_key IS NOT NULL"
        ),
        format!(
            "SELECT 1 FROM medical_records WHERE patient_id = '{user}' AND (erased_at IS NULL OR encrypted_data <> '')"
        ),
        format!(
            "SELECT 1 FROM medical_records WHERE patient_id = '{}' AND record_type = 'LAB_RESULT' AND encrypted_data <> ''",
            bea.id
        ),
        format!(
            "SELECT 1 FROM users WHERE id = '{user}' AND (is_active OR hashed_password <> '!' OR username NOT LIKE 'erased:%')"
        ),
        format!("SELECT 1 FROM sessions WHERE user_id = '{user}'"),
        format!(
            "SELECT 1 FROM data_processing_consents WHERE user_id = '{user}' AND consent_withdrawn_at IS NULL"
        ),
        format!("SELECT 1 FROM consent_receipts WHERE user_id = '{user}' AND text <> ''"),
        format!("SELECT 1 FROM representatives WHERE patient_id = '{user}' AND ended_at IS NULL"),
    ] {
        assert!(world.sql(&nothing).await.is_empty(), "{nothing}");
    }
    assert_eq!(world.sql(&kept).await, before, "what was not erased stays");
    let told = world.audit_rows("new_value ? 'replayed'").await;
    assert_eq!(
        told.iter()
            .filter(|row| row["action_type"] == "KEY_DESTROY")
            .count(),
        1
    );
    // Once more: there is nothing to do, and the same file goes on.
    let (is_done, said) = replays(&world, &ledger, &[]).await;
    let again = parsed(&said);
    assert!(is_done, "{said}");
    assert_eq!(
        (
            &again["records"],
            &again["keys"],
            &again["accounts"],
            &again["unknownEntries"]
        ),
        (&json!(0), &json!(0), &json!(0), &json!(0))
    );
    let rows = world
        .sql("SELECT hash || ' ' || entry AS line FROM erasure_ledger ORDER BY position")
        .await;
    let rows: Vec<String> = rows.iter().map(|row| text(&row["line"])).collect();
    assert_eq!(rows, lines.lines().collect::<Vec<_>>());
}
