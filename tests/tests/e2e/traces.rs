//! What an erasure leaves outside of the tables: of documents in the write-ahead log, of documents and names in what a dump copies, in
//! the logs of the programs at their most talkative, in exports, in the feed and in the ledger.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dev::scratch::Scratch;
use serde_json::{Value, json};
use tests::{World, documents, id, text};

use crate::audit_check;
use crate::deletions::{holds, releases};
use crate::erasures::{account, approves, is_completed, verified};
use crate::telemetry::Collector;

/// What the account is called: it stands in clear in the tables until it is erased.
const NAME: &str = "slartibartfastfjord";
/// What stands in a document alone: nowhere in clear, at no time.
const WORD: &str = "praxibetelquuxmarker";
/// What administrators wrote down: nowhere in clear, at no time.
const REASON: &str = "deepthoughtreasonmarker of a court";
/// What is put where it can be found, to prove that it would be.
const CONTROL: &str = "vogonpoetrycontrol";

/// The files of a directory, and of those in it, that hold some bytes. A segment of the log may be renamed meanwhile.
fn holding(dir: &Path, wanted: &[u8]) -> Vec<String> {
    use std::fmt::Write as _;
    let mut pattern = String::new();
    for byte in wanted {
        write!(pattern, "\\x{byte:02x}").expect("a text takes it");
    }
    let found = Command::new("grep")
        .args(["-rlaP", "--", &pattern])
        .arg(dir)
        .env("LC_ALL", "C")
        .output();
    let found = found.expect("grep starts");
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(
        said.lines()
            .all(|line| line.ends_with("No such file or directory")),
        "{said}"
    );
    let files = String::from_utf8_lossy(&found.stdout);
    files.lines().map(str::to_owned).collect()
}

/// Every row of every table, as a dump copies it: by table.
async fn dump(world: &World) -> Vec<(String, String)> {
    let tables = world
        .sql(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
        )
        .await;
    assert!(tables.len() > 30, "{tables:?}");
    let mut dumped = Vec::new();
    for table in &tables {
        let table = text(&table["name"]);
        let rows = world
            .sql(&format!(
                "SELECT dumped::text AS row FROM {table} AS dumped"
            ))
            .await;
        let rows: Vec<String> = rows.iter().map(|row| text(&row["row"])).collect();
        dumped.push((table, rows.join("\n")));
    }
    dumped
}

async fn tables_with(world: &World, wanted: &str) -> Vec<String> {
    let hex = wanted
        .bytes()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let mut found = dump(world).await;
    found.retain(|(_, rows)| rows.contains(wanted) || rows.contains(&hex));
    found.into_iter().map(|(table, _)| table).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_leaves_no_document_in_the_wal_and_no_name_in_a_dump_a_log_or_an_export() {
    let scratch = Scratch::new("traces").expect("there is room for a file");
    let ledger = scratch.path().join("erasures.ledger");
    let (collector, url) = Collector::start().await;
    let world = World::with(|options| {
        let settings = [
            ("MEDITRUSTAL_DELETION_GRACE", "0"),
            ("MEDITRUSTAL_DELETION_EVERY", "1"),
            ("MEDITRUSTAL_LOG", "trace"),
            ("MEDITRUSTAL_SLOW_STATEMENT_MS", "1"),
            ("MEDITRUSTAL_SLOW_OPERATION_MS", "1"),
            ("MEDITRUSTAL_OTLP_URL", &url),
            ("MEDITRUSTAL_ERASURE_LEDGER", &ledger.display().to_string()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        options.api.extend(settings.clone());
        options
            .indexer
            .push(("MEDITRUSTAL_LOG".to_owned(), "trace".to_owned()));
    })
    .await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (zaphod, dr_bo) = (world.patient(NAME).await, world.doctor("bo").await);
    zaphod.lets(&dr_bo, &["READ", "SEARCH", "EXPORT"]).await;
    let mut document: Value = serde_json::from_str(&documents::of("VACCINATION")).expect("JSON");
    document["entry"][0]["resource"]["note"] = json!([{ "text": WORD }]);
    let stored = zaphod.creates(&zaphod, "VACCINATION", &document).await;
    let record = id(&stored);
    world.wait_for_anchor(&record, "CONFIRMED").await;
    for person in [&zaphod, &dr_bo] {
        let read = person.reads(&record).await;
        assert!(
            read.data().to_string().contains(WORD),
            "it is read in clear"
        );
        let exported = person.exports(&world.api, &zaphod, "").await;
        assert!(exported.body.contains(WORD), "{}", exported.body);
    }
    assert!(
        tables_with(&world, NAME)
            .await
            .iter()
            .any(|table| table.split('.').next_back() == Some("users"))
    );
    world
        .executes(&format!(
            "CREATE TABLE planted (word TEXT); INSERT INTO planted VALUES ('{CONTROL}')"
        ))
        .await;

    let placed = holds(&ada, &zaphod, json!({ "reason": REASON })).await;
    let hold = id(&placed.data()["placeHold"]["hold"]);
    for admin in [&ada, &adi] {
        releases(admin, &hold).await.data();
    }
    assert_eq!(tables_with(&world, REASON).await, Vec::<String>::new());
    let request = verified(&zaphod, account()).await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;
    is_completed(&world, &request).await;

    // The write-ahead log, and every other file of the server: nothing of a document was ever in them. Names and addresses were, and
    // stay until a segment is used again and the dead rows are vacuumed (docs/decisions/0046).
    let dir = world
        .sql("SELECT current_setting('data_directory') AS dir")
        .await;
    let dir = PathBuf::from(text(&dir[0]["dir"]));
    // Once more: the segment of before may have been used again.
    world
        .executes(&format!("INSERT INTO planted VALUES ('{CONTROL}')"))
        .await;
    assert!(
        !holding(&dir.join("pg_wal"), CONTROL.as_bytes()).is_empty(),
        "it would be found"
    );
    let oid = world
        .sql("SELECT oid::text AS oid FROM pg_database WHERE datname = current_database()")
        .await;
    for part in [
        PathBuf::from("pg_wal"),
        Path::new("base").join(text(&oid[0]["oid"])),
    ] {
        for word in [WORD, REASON] {
            assert_eq!(
                holding(&dir.join(&part), word.as_bytes()),
                Vec::<String>::new()
            );
        }
    }
    let masters = world.foundation.dir().join("keys/master-keys.json");
    let masters: Value =
        serde_json::from_str(&fs::read_to_string(masters).expect("keys")).expect("JSON");
    let keys = secrets(&masters);
    assert!(!keys.is_empty());
    for key in &keys {
        assert_eq!(holding(&dir.join("pg_wal"), key), Vec::<String>::new());
    }
    // What a dump copies.
    assert_eq!(
        tables_with(&world, CONTROL).await.len(),
        1,
        "it would be found"
    );
    assert_eq!(tables_with(&world, WORD).await, Vec::<String>::new());
    let named = tables_with(&world, NAME).await;
    assert!(
        named.iter().all(|table| table.ends_with(".audit_logs")),
        "{named:?}"
    );
    // The logs, of which there is much.
    for log in [world.api.log(), world.indexer.log()] {
        assert!(log.contains("TRACE"), "they say all that they can");
        // Texts of statements are in them where they are asked for, and never where a statement was slow.
        let slow = log
            .lines()
            .filter(|line| line.contains("A statement was slow"));
        for part in [" AND ", "ORDER BY"] {
            let line = slow.clone().find(|line| line.contains(part));
            assert_eq!(line, None, "{part}");
        }
        for trace in [NAME, WORD, REASON, &zaphod.password, &zaphod.email] {
            let line = log.lines().find(|line| line.contains(trace));
            assert_eq!(line, None, "{trace}");
        }
    }
    // The traces, which another program keeps.
    let traced = collector.bodies();
    assert!(
        traced.contains("createMedicalRecord"),
        "they hold what was done"
    );
    for trace in [
        NAME,
        WORD,
        REASON,
        &zaphod.password,
        &zaphod.email,
        &zaphod.id,
        &record,
    ] {
        assert!(!traced.contains(trace), "{trace} is traced");
    }
    // What others take out afterwards, and the ledger.
    let bearer = ada.bearer();
    let headers = [("authorization", bearer.as_str())];
    let events = world
        .api
        .takes("GET", "/audit/export?of=everybody", &headers, "")
        .await;
    assert!(events.body.contains(&zaphod.id), "{}", events.status);
    let file = scratch.path().join("trail.ndjson").display().to_string();
    let (is_done, said) = audit_check::runs(&world, &format!("export --out {file}"), false).await;
    assert!(is_done, "{said}");
    let trail = fs::read_to_string(&file).expect("it is written");
    let ledger = fs::read_to_string(&ledger).expect("it is written");
    assert!(ledger.contains(&record), "{ledger}");
    for (place, text) in [
        ("events", &events.body),
        ("trail", &trail),
        ("ledger", &ledger),
    ] {
        for trace in [NAME, WORD, REASON] {
            assert!(!text.contains(trace), "{trace} stands in the {place}");
        }
    }
    zaphod.exports(&world.api, &zaphod, "").await;
    let refused = dr_bo.exports(&world.api, &zaphod, "").await;
    assert!(!refused.body.contains(WORD), "{}", refused.body);
}

/// The secrets of a file of keys: every long text in it, as it stands, and as the bytes that its digits say.
fn secrets(value: &Value) -> Vec<Vec<u8>> {
    match value {
        Value::String(said) if said.len() >= 40 => {
            let digits = said.as_bytes().chunks(2).map(|pair| {
                let pair = std::str::from_utf8(pair).ok()?;
                u8::from_str_radix(pair, 16).ok()
            });
            let bytes: Option<Vec<u8>> = digits.collect();
            [Some(said.clone().into_bytes()), bytes]
                .into_iter()
                .flatten()
                .collect()
        }
        Value::Array(values) => values.iter().flat_map(secrets).collect(),
        Value::Object(members) => members.values().flat_map(secrets).collect(),
        _ => Vec::new(),
    }
}
