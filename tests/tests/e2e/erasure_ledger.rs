//! The erasure ledger: what was erased is erased again after the restore of an older backup.

use std::fs;
use std::path::Path;

use dev::scratch::Scratch;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::{World, documents, id, text};
use vault::digest;

use crate::audit_check;
use crate::break_glass::opens;
use crate::erasures::{account, approves, at_once, is_completed, places_of, verified};
use crate::representatives::{ALL, appointed};

const CERTIFICATE: &str = "query($id: UUID!) { deletionCertificate(id: $id) { document } }";

/// Stops whoever uses the database, and changes it by these statements, in which `DATABASE_NAME` is its name.
pub(crate) async fn maintains(world: &World, statements: &[&str]) {
    world.api.kill().await;
    world.indexer.kill().await;
    let name = text(&world.sql("SELECT current_database() AS name").await[0]["name"]);
    let url = world.foundation.database.superuser_url();
    let of_database = format!("/{name}");
    let (server, options) = url.rsplit_once(&of_database).expect("the URL has the name");
    let url = format!("{server}/postgres{options}");
    let mut server = PgConnection::connect(&url)
        .await
        .expect("the server answers");
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'DATABASE_NAME'";
    for statement in [&[end], statements].concat() {
        let statement = statement.replace("DATABASE_NAME", &name);
        let done = sqlx::raw_sql(AssertSqlSafe(statement.clone()))
            .execute(&mut server)
            .await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Runs `meditrustal erasures` with these words: whether it did, and what it said.
async fn runs(world: &World, role: &str, words: &[&str]) -> (bool, String) {
    let masters = world.foundation.dir().join("keys/master-keys.json");
    let masters = masters.display().to_string();
    let url = world.foundation.url_of(role);
    let url = url.unwrap_or_else(|error| panic!("{error}"));
    let programs = world.foundation.programs.clone();
    let words: Vec<String> = ["erasures"]
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

async fn replays(world: &World, ledger: &Path, words: &[&str]) -> (bool, String) {
    let ledger = ledger.display().to_string();
    let replay = ["replay", "--ledger", &ledger, "--json"];
    runs(
        world,
        "meditrustal_migrator",
        &[&replay[..], words].concat(),
    )
    .await
}

/// A ledger of these entries, each hashed together with the one before.
fn chained<'a>(entries: impl IntoIterator<Item = &'a str>) -> String {
    let mut before = "0".repeat(64);
    let mut lines = String::new();
    for entry in entries {
        before = digest::hex_of(format!("{before}\n{entry}").as_bytes());
        lines.extend([before.as_str(), " ", entry, "\n"]);
    }
    lines
}

/// What a replay came to: records, keys, accounts.
fn counts(said: &Value) -> [&Value; 3] {
    ["records", "keys", "accounts"].map(|name| &said[name])
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
    opens(&dr_bo, &zaphod).await;
    for record_type in ["LAB_RESULT", "IMAGING"] {
        for person in [&zaphod, &bea] {
            let stored = person
                .creates(person, record_type, documents::of(record_type))
                .await;
            world.wait_for_anchor(&id(&stored), "CONFIRMED").await;
        }
    }
    maintains(
        &world,
        &["CREATE DATABASE DATABASE_NAME_backup TEMPLATE DATABASE_NAME"],
    )
    .await;
    world.indexer.restart().await;
    world.api.restart().await;
    let request = verified(&zaphod, account()).await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;
    is_completed(&world, &request).await;
    // After the account that cannot be erased again at first.
    let of_bea = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["LAB_RESULT"] });
    let of_bea = verified(&bea, of_bea).await;
    approves(&ada, &of_bea).await;
    is_completed(&world, &of_bea).await;
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
            "DROP DATABASE DATABASE_NAME WITH (FORCE)",
            "ALTER DATABASE DATABASE_NAME_backup RENAME TO DATABASE_NAME",
            "ALTER DATABASE DATABASE_NAME OWNER TO meditrustal_migrator",
            "GRANT CONNECT ON DATABASE DATABASE_NAME TO meditrustal_api, meditrustal_indexer, meditrustal_keys, meditrustal_backup",
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

    // Nobody reads what was brought back.
    let environment = world.foundation.options().api.clone();
    let started = world.foundation.api("restored", 0, &environment).await;
    let said = started.expect_err("it must not serve").to_string();
    assert!(
        said.contains("has other entries than the database"),
        "{said}"
    );

    // One that was changed, written by others, or cut off, is not gone by.
    let other = scratch.path().join("other.ledger");
    fs::write(&other, lines.replacen(&zaphod.id, &bea.id, 1)).expect("it is written");
    let (is_done, said) = replays(&world, &other, &["--without-head"]).await;
    assert!(
        !is_done && said.contains("of the erasure ledger is not what was written"),
        "{said}"
    );
    let named: String = lines.replace(&zaphod.id, &bea.id);
    let named = named.lines().map(|line| &line[65..]);
    fs::write(&other, chained(named)).expect("it is written");
    let (is_done, said) = replays(&world, &other, &["--without-head"]).await;
    assert!(
        !is_done && said.contains("line 1 of the erasure ledger is not sealed in its place"),
        "{said}"
    );
    let (is_done, said) = replays(&world, &ledger, &[]).await;
    assert!(!is_done && said.contains("--head"), "{said}");
    fs::write(
        &other,
        lines.lines().next().expect("a line").to_owned() + "\n",
    )
    .expect("it is written");
    let (is_done, said) = replays(&world, &other, &["--head", &head]).await;
    assert!(!is_done && said.contains("it was cut off"), "{said}");
    let (is_done, said) = replays(&world, &ledger, &["--dry-run", "--head", &head]).await;
    assert!(is_done, "{said}");
    let would = parsed(&said);
    assert_eq!(counts(&would), [&json!(3), &json!(1), &json!(1)]);
    assert!(
        places_of(&world, MARKER)
            .await
            .contains(&"users.username".to_owned())
    );

    // An account that is not as it was sealed waits, and keeps nobody else's data: the api does not start until it is done.
    let password = format!(
        "SELECT hashed_password FROM users WHERE id = '{}'",
        zaphod.id
    );
    let password = text(&world.sql(&password).await[0]["hashed_password"]);
    let with = |password: &str| {
        let user = &zaphod.id;
        format!("UPDATE users SET hashed_password = '{password}' WHERE id = '{user}'")
    };
    world.attacks(&with("another")).await;
    let (is_done, said) = replays(&world, &ledger, &["--head", &head]).await;
    assert!(!is_done && said.contains("\"failed\":[{"), "{said}");
    let left =
        "SELECT 1 FROM medical_records WHERE record_type = 'LAB_RESULT' AND encrypted_data <> ''";
    assert!(world.sql(left).await.is_empty());
    let started = world.foundation.api("unfinished", 0, &environment).await;
    let said = started.expect_err("it must not serve").to_string();
    assert!(
        said.contains("has other entries than the database"),
        "{said}"
    );
    world.attacks(&with(&password)).await;

    let (is_done, said) = replays(&world, &ledger, &["--head", &head]).await;

    assert!(is_done, "{said}");
    let did = parsed(&said);
    assert_eq!(counts(&did), [&json!(0), &json!(0), &json!(1)]);
    assert_eq!(did["failed"], json!([]));
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
        format!(
            "SELECT 1 FROM break_glass_windows WHERE patient_id = '{user}' AND closed_at IS NULL"
        ),
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
    // Once more: there is nothing to do, and the same file goes on, though a line of it was being written when the power went.
    fs::write(&ledger, format!("{lines}0123")).expect("it is written");
    let (is_done, said) = replays(&world, &ledger, &["--without-head"]).await;
    let again = parsed(&said);
    assert!(is_done, "{said}");
    assert_eq!(counts(&again), [&json!(0), &json!(0), &json!(0)]);
    assert_eq!(again["unknownEntries"], 0);
    let rows = world
        .sql("SELECT hash || ' ' || entry AS line FROM erasure_ledger ORDER BY position")
        .await;
    let rows: Vec<String> = rows.iter().map(|row| text(&row["line"])).collect();
    assert_eq!(rows, lines.lines().collect::<Vec<_>>());

    // Then it is served, once the operator has said which nonces were used meanwhile.
    world
        .executes("UPDATE signers SET next_nonce = next_nonce + 1000")
        .await;
    world.indexer.restart().await;
    world.api.restart().await;
    // The restored database knows no request by which the account was erased, and makes somebody of it no more than before.
    let reactivate =
        "mutation($id: UUID!) { reactivateUser(input: { userId: $id }) { user { id } } }";
    let refused = ada.asks(reactivate, json!({ "id": user })).await;
    assert_eq!(refused.fails_with("CONFLICT").extensions["field"], "userId");
    // What was created since, and is called the same, is something else.
    let newer = format!(
        "UPDATE medical_records SET encrypted_data = '\\x01', erased_at = NULL, created_at = '2100-01-01 00:00:00Z'
         WHERE patient_id = '{}' AND record_type = 'LAB_RESULT'",
        bea.id
    );
    world.attacks(&newer).await;
    let (is_done, said) = replays(&world, &ledger, &["--head", &head]).await;
    assert!(is_done, "{said}");
    let again = parsed(&said);
    assert_eq!(counts(&again), [&json!(0), &json!(0), &json!(0)]);
    assert_eq!(again["newerRecords"], 1);
    // The audit trail is as it was hashed.
    let (is_well, said) = audit_check::runs(&world, "verify", false).await;
    assert!(is_well, "{said}");

    // Whoever can write to the table, and holds no key, gets nobody's name into a ledger.
    let entry = lines.lines().next().expect("a line")[65..].replace(&zaphod.id, &bea.id);
    world
        .executes(&format!(
            "INSERT INTO erasure_ledger (position, entry_id, entry, hash, written_at)
             SELECT position + 1, gen_random_uuid(), '{entry}',
                 encode(sha256(convert_to(hash || chr(10) || '{entry}', 'UTF8')), 'hex'), now()
             FROM erasure_ledger ORDER BY position DESC LIMIT 1"
        ))
        .await;
    let path = ledger.display().to_string();
    let (is_done, said) = runs(&world, "meditrustal_api", &["write", "--ledger", &path]).await;
    assert!(
        !is_done && said.contains("is not sealed in its place"),
        "{said}"
    );
    let after = fs::read_to_string(&ledger).expect("it is there");
    assert!(!after.contains(&entry), "{after}");
}
