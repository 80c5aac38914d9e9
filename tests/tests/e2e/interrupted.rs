//! Commands that are told to stop, or are killed, in their middle: they say so, nothing is half done, and the next run ends it. A backup
//! that is made (`backups`), restores (`restore_drill`) and a migration that makes an index (`migrations`) have tests of their own.

use std::collections::BTreeSet;
use std::fs;
use std::mem;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use chrono::Utc;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::commands::migrate;
use tests::transfer::{Ended, heart_rates};
use tests::{Person, World, documents, eventually, id, text};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;
use vault::digest;
use vault::keyring::Keyring;

use crate::backups::{Site, names, words};
use crate::rotation::{keys, masters};

/// The sessions of our commands.
const SESSIONS: &str = "SELECT wait_event_type = 'Lock' AS waits FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'meditrustal%'";
/// What a command says that was told to stop.
const TOLD: &str = "told to stop before it was through";
/// Both ways to end a command.
const BOTH: &[&str] = &["TERM", "KILL"];

/// A command that is ended in its middle: where it waits for a lock that somebody holds.
struct InterruptedCommand {
    program: &'static str,
    words: Vec<String>,
    role: &'static str,
    /// What is held, and how.
    held: &'static str,
    signals: &'static [&'static str],
}

impl InterruptedCommand {
    fn new(words: &[&str], role: &'static str, held: &'static str) -> Self {
        Self {
            program: "meditrustal",
            words: words.iter().map(|it| (*it).to_owned()).collect(),
            role,
            held,
            signals: BOTH,
        }
    }

    fn by(self, signals: &'static [&'static str]) -> Self {
        Self { signals, ..self }
    }

    fn command(&self, world: &World) -> Command {
        let programs = &world.foundation.programs;
        let program = match self.program {
            "meditrustal" => &programs.meditrustal,
            _ => &programs.indexer,
        };
        let (dir, keys) = (world.foundation.dir(), world.foundation.dir().join("keys"));
        let mut command = Command::new(program);
        command
            .args(&self.words)
            .env_clear()
            .env(
                "DATABASE_URL",
                world.foundation.url_of(self.role).expect("the role"),
            )
            .env("CHAIN_RPC_URL", world.foundation.chain_rpc_url())
            .env("MEDITRUSTAL_DEPLOYMENT_FILE", dir.join("deployment.json"))
            .env("MEDITRUSTAL_MASTER_KEYS_FILE", masters(world))
            .env("MEDITRUSTAL_INDEX_KEY_FILE", keys.join("index.key"))
            .env(
                "MEDITRUSTAL_CHECKPOINT_KEY_FILE",
                keys.join("checkpoint.key"),
            );
        command
    }
}

fn starts(command: &mut Command) -> Child {
    starts_telling(command, Stdio::null())
}

/// The same, and its result goes there.
fn starts_telling(command: &mut Command, result: Stdio) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(result)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts")
}

/// Ends a command by a signal: it says that it was told to, if it can.
async fn is_ended_by(signal: &str, running: Child, name: &str) {
    let pid = running.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(sent.await.expect("there is a kill").success());
    let Output { status, stderr, .. } = running.wait_with_output().await.expect("it ends");
    let said = String::from_utf8_lossy(&stderr);
    if signal == "KILL" {
        assert_eq!(status.signal(), Some(9), "{name}: {said}");
    } else {
        assert_eq!(status.code(), Some(143), "{name}: {said}");
        assert!(said.contains(TOLD), "{name}: {said}");
    }
}

/// Starts a command while somebody holds a table, ends it by a signal when it waits for that, and lets go.
async fn interrupts(world: &World, command: &mut Command, held: &str, signal: &str, name: &str) {
    let url = world.foundation.database.superuser_url();
    let mut holder = PgConnection::connect(&url).await.expect("a superuser");
    let lock = format!("BEGIN; LOCK TABLE {held} MODE");
    let locked = sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut holder)
        .await;
    locked.unwrap_or_else(|error| panic!("{held}: {error}"));
    let running = starts(command);
    eventually(&format!("{name} waits for {held}"), async || {
        let sessions = world.sql(SESSIONS).await;
        sessions.iter().any(|it| it["waits"] == true).then_some(())
    })
    .await;

    is_ended_by(signal, running, name).await;

    holder.close().await.expect("it lets go");
    eventually("nothing of it is left in the database", async || {
        world.sql(SESSIONS).await.is_empty().then_some(())
    })
    .await;
}

/// Makes a file from which nothing comes: whoever opens it waits.
async fn makes_held_file(path: &str) {
    let made = Command::new("mkfifo").arg(path).status().await;
    assert!(made.expect("there is a mkfifo").success(), "{path}");
}

/// A ledger that says that this account was erased, with this record.
fn ledger_of(world: &World, patient: &Person, record: &str) -> String {
    let keyring = Keyring::load(&masters(world)).expect("the master keys of this world");
    let checks = keyring.unchecked().expect("a readable file");
    keyring.accept(&checks.expect("nobody compared them yet"));
    let mut entry = json!({
        "entry": Uuid::new_v4(), "at": Utc::now(), "cause": "REQUEST", "subject": patient.id, "records": [record],
        "account": true,
    });
    let before = "0".repeat(64);
    let seal = keyring.seal_ledger_entry(&before, &entry.to_string());
    let seal = seal.expect("a key was accepted");
    entry["seal"] = json!(digest::to_hex(&seal.mac));
    entry["sealKey"] = json!(seal.key_id);
    let hash = digest::hex_of(format!("{before}\n{entry}").as_bytes());
    format!("{hash} {entry}\n")
}

/// The ids of the master keys in their file.
fn ids_of_masters(world: &World) -> Vec<String> {
    let file = fs::read(masters(world)).expect("a file");
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    let keys = file["keys"].as_array().expect("a list");
    keys.iter().map(id).collect()
}

#[tokio::test]
async fn a_command_that_is_ended_in_its_middle_leaves_nothing_half_done_and_the_next_run_ends_it() {
    const READS: &str = "audit_logs IN ACCESS EXCLUSIVE";
    const SEALS: &str = "data_processing_consents IN ACCESS EXCLUSIVE";
    let mut world = World::start().await;
    let (ana, zaphod) = (world.patient("ana").await, world.patient("zaphod").await);
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let erased = zaphod
        .creates(&zaphod, "VITAL_SIGNS", documents::vital_signs())
        .await;
    for record in [&record, &erased] {
        world.wait_for_anchor(&id(record), "CONFIRMED").await;
    }
    world.mine(3).await;
    world.wait_for_indexer().await;
    world.api.kill().await;
    world.indexer.kill().await;
    let old = ids_of_masters(&world).remove(0);
    for new in ["new", "newest"] {
        keys(&world, &["add", "--id", new], false)
            .await
            .expect("a new key in front");
    }
    let (trail, ledger) = (world.file("trail.ndjson"), world.file("erasures.ledger"));
    let erasures = world.file("before-the-restore.ledger");
    fs::write(&erasures, ledger_of(&world, &zaphod, &id(&erased))).expect("written");
    let replay = [
        "erasures",
        "replay",
        "--ledger",
        &erasures,
        "--without-head",
    ];
    let retire = ["keys", "retire", "--wait", "0"];
    let (api, owner) = ("meditrustal_api", "meditrustal_migrator");
    let keeper = "meditrustal_keys";
    let of = InterruptedCommand::new;
    let seal = [
        "seal",
        "rows",
        "--all",
        "--wrong",
        "--reason",
        "a test wrote them",
    ];
    let commands = [
        // Patients' keys and accounts come before consents.
        of(&["keys", "rotate"], keeper, SEALS).by(&["KILL"]),
        of(&seal, api, SEALS),
        of(&["audit", "verify"], api, READS),
        of(&["audit", "export", "--fhir", "--out", &trail], api, READS),
        of(
            &["erasures", "write", "--ledger", &ledger],
            api,
            "erasure_ledger IN ACCESS EXCLUSIVE",
        ),
        of(
            &["retention", "run"],
            api,
            "idempotency_keys IN ACCESS EXCLUSIVE",
        ),
        of(
            &["records", "derive"],
            owner,
            "medical_records IN ACCESS EXCLUSIVE",
        )
        .by(&["TERM"]),
        // Whoever writes to a table keeps the rebuilding of its indexes from ending.
        of(
            &["maintain", "run"],
            owner,
            "anchor_outbox IN ROW EXCLUSIVE",
        )
        .by(&["TERM"]),
        InterruptedCommand {
            program: "meditrustal-indexer",
            ..of(
                &["replay", "--rebuild"],
                owner,
                "chain_events IN ACCESS EXCLUSIVE",
            )
        },
        // Data come before the account, and both before the entry is known.
        of(&replay, owner, "sessions IN ACCESS EXCLUSIVE").by(&["TERM"]),
        of(&replay, owner, "erasure_ledger IN ACCESS EXCLUSIVE").by(&["KILL"]),
        // The row of the trail comes before the file.
        of(&[&retire[..], &[old.as_str()]].concat(), keeper, READS).by(&["TERM"]),
        of(&[&retire[..], &["new"]].concat(), keeper, READS).by(&["KILL"]),
    ];
    for command in commands {
        let name = command.words.join(" ");
        for signal in command.signals {
            interrupts(
                &world,
                &mut command.command(&world),
                command.held,
                signal,
                &name,
            )
            .await;
            assert!(!Path::new(&trail).exists(), "{name}: half a file is there");
            // No key is taken out that the trail says nothing of.
            let retired = world.audit_rows("new_value ? 'retired'").await;
            assert_eq!(ids_of_masters(&world).len() + retired.len(), 3, "{name}");

            let ended = Ended::of(&mut command.command(&world)).await;

            assert_eq!(ended.code, Some(0), "{name} after {signal}: {ended:?}");
            if name.contains("export") {
                fs::remove_file(&trail).expect("it was written whole");
            }
        }
    }

    assert_eq!(ids_of_masters(&world), ["newest"]);
    let known = world.sql("SELECT 1 FROM erasure_ledger").await;
    assert_eq!(known.len(), 1, "the entry that was replayed");
    for once in ["account", "erasedRecords"] {
        let rows = format!("new_value ? 'replayed' AND new_value ? '{once}'");
        assert_eq!(world.audit_rows(&rows).await.len(), 1, "{once}");
    }
    world.api.restart().await;
    world.indexer.restart().await;
    let ana = world.logs_in(&ana).await;
    let verified = ana.verifies(&id(&record)).await;
    assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
}

#[tokio::test]
async fn migrations_that_are_ended_in_their_middle_are_whole_or_not_there_and_go_on() {
    // What this one makes an index of, somebody writes to.
    const FIRST: &str = "20261201020000";
    const HELD: &str = "chain_events IN ROW EXCLUSIVE";
    let world = World::start().await;
    world.api.kill().await;
    world.indexer.kill().await;
    let left = async || {
        let later =
            format!("SELECT version FROM _sqlx_migrations WHERE version >= {FIRST} AND success");
        world.sql(&later).await.len()
    };
    let command = |words: &[&str]| {
        let mut command = Command::new(&world.foundation.programs.meditrustal);
        let owner = world.foundation.url_of("meditrustal_migrator");
        command
            .args(words)
            .env_clear()
            .env("DATABASE_URL", owner.expect("the role"));
        command
    };
    let all = left().await;
    let steps = all.to_string();
    let down = [
        &["migrate", "down", "--no-backup", "--yes-lose-data"][..],
        &["--steps", &steps],
    ]
    .concat();
    let up = ["migrate", "up", "--no-backup"];

    interrupts(&world, &mut command(&down), HELD, "TERM", "migrate down").await;
    let rest = left().await;
    assert!((1..=all).contains(&rest), "{rest} of {all}");
    let steps = rest.to_string();
    let down = ["down", "--no-backup", "--yes-lose-data", "--steps", &steps];
    migrate(&world, &down).await;
    assert_eq!(left().await, 0);

    interrupts(&world, &mut command(&up), HELD, "KILL", "migrate up").await;
    assert_eq!(left().await, 0);
    let said = migrate(&world, &["up", "--no-backup"]).await;
    assert_eq!(said.trim(), format!("{all} migration(s) applied"));
}

#[tokio::test]
async fn an_import_and_an_export_that_are_ended_in_their_middle_double_nothing_and_show_no_half_file()
 {
    const RECORDS: u32 = 600;
    let world = World::start().await;
    let file = world.file("in.ndjson");
    fs::write(&file, heart_rates(RECORDS)).expect("written");
    for signal in BOTH {
        let ana = world
            .patient(&format!("ana.{}", signal.to_lowercase()))
            .await;
        let report = world.file(&format!("{signal}.report"));
        let out = world.file(&format!("{signal}.ndjson"));
        let import = ["import", &file, "--report", &report];
        let export = ["export", &out, "--format", "ndjson"];

        let importing = starts(&mut world.command(&ana, &ana, &import));
        eventually("some of it is reported", async || {
            let told = fs::read_to_string(&report).unwrap_or_default();
            (told.lines().count() > 20).then_some(())
        })
        .await;
        is_ended_by(signal, importing, "import").await;
        let again = world.runs(&ana, &ana, &import).await;
        assert_eq!(again.code, Some(0), "{again:?}");
        let stored = format!(
            "SELECT id FROM medical_records WHERE patient_id = '{}'",
            ana.id
        );
        let stored: BTreeSet<String> = world.sql(&stored).await.iter().map(id).collect();
        assert_eq!(stored.len(), 600, "nothing lost, nothing doubled");

        let holder = world.holds_exports_after(16).await;
        let exporting = starts(&mut world.command(&ana, &ana, &export));
        world.export_waits().await;
        is_ended_by(signal, exporting, "export").await;
        assert!(!Path::new(&out).exists(), "half a file is there");
        holder.close().await.expect("it lets go");
        let again = world.runs(&ana, &ana, &export).await;
        assert_eq!(again.code, Some(0), "{again:?}");
        let written = fs::read_to_string(&out).expect("it was written whole");
        let written = written.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            id(&line)
        });
        assert_eq!(written.collect::<BTreeSet<_>>(), stored);
        assert!(!Path::new(&format!("{out}.part")).exists());
    }
}

#[tokio::test]
async fn backups_stay_whole_where_verifying_or_pruning_them_is_ended_in_its_middle() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    let (held_dump, held_manifest) = (site.file("held.dump.age"), site.file("held.json"));
    let held_weekly = site.file("records/weekly/held.json");
    let identities = site.identities();
    let all = words(&["backup", "verify", "--json"], &identities);
    let prune = ["backup", "prune", "--keep-daily", "1"];
    let mut newest = site.backs_up(&world).await;
    for signal in BOTH {
        let older = mem::replace(&mut newest, site.backs_up(&world).await);
        let manifest = older[0].display().to_string();
        let manifest = PathBuf::from(manifest.replace(".dump.age", ".json"));
        let said = fs::read_to_string(&manifest).expect("a manifest");

        // The second dump does not come to its end.
        let name = older[0].file_name().expect("a name").to_string_lossy();
        fs::write(&held_manifest, said.replace(&*name, "held.dump.age")).expect("written");
        makes_held_file(&held_dump).await;
        let first = older[0].display().to_string();
        let verify = ["backup", "verify", &first, &held_dump];
        let mut command = site.command(&world, &verify, &[]);
        let mut running = starts_telling(&mut command, Stdio::piped());
        let mut told = BufReader::new(running.stdout.take().expect("it is piped")).lines();
        let line = told.next_line().await.expect("it is read");
        assert!(line.is_some_and(|it| it.starts_with(&first)));
        is_ended_by(signal, running, "backup verify").await;
        for file in [&held_dump, &held_manifest] {
            fs::remove_file(file).expect("it is there");
        }
        let verified = site.runs(&world, &all, &[]).await.json();
        assert_eq!(verified["verified"].as_array().map(Vec::len), Some(4));

        // The daily ones of the records come first, and those of the keys last.
        fs::create_dir_all(site.file("records/weekly")).expect("a directory");
        makes_held_file(&held_weekly).await;
        let running = starts(&mut site.command(&world, &prune, &[]));
        eventually("the older records are removed", async || {
            (!manifest.exists()).then_some(())
        })
        .await;
        is_ended_by(signal, running, "backup prune").await;
        fs::remove_file(&held_weekly).expect("it is there");
        assert!(!older[0].exists() && older[1].is_file());
        assert!(newest.iter().all(|dump| dump.is_file()));
        // One that ended before the manifest was removed as well left it.
        fs::write(&manifest, &said).expect("written");

        let ended = site.runs(&world, &prune, &[]).await;

        assert_eq!(ended.code, Some(0), "{ended:?}");
        for directory in ["records/daily", "keys/daily"] {
            let left = names(&site, directory);
            assert_eq!(left.len(), 2, "a dump and its manifest: {left:?}");
        }
        let verified = site.runs(&world, &all, &[]).await.json();
        let verified = verified["verified"].as_array().expect("a list");
        let paths: Vec<String> = verified.iter().map(|it| text(&it["path"])).collect();
        let kept = newest.each_ref().map(|dump| dump.display().to_string());
        assert_eq!(paths, kept);
    }
}

#[tokio::test]
async fn a_database_that_is_half_made_lets_nobody_in_and_is_made_by_the_next_run() {
    const REMOVED: [&str; 2] = [
        "DROP DATABASE interrupted",
        "DROP ROLE interrupted_migrator, interrupted_api, interrupted_indexer, interrupted_keys,
             interrupted_backup, interrupted_retention, interrupted_monitor",
    ];
    const RIGHTS: &str = "SELECT datallowconn AS is_open,
            has_database_privilege('public', datname, 'CONNECT') AS is_for_all,
            has_database_privilege('interrupted_api', datname, 'CONNECT') AS is_for_api
        FROM pg_database WHERE datname = 'interrupted'";
    // Others make and drop databases in the cluster that they share, and would wait for the lock.
    let world = World::with_its_own_postgres().await;
    world.api.kill().await;
    world.indexer.kill().await;
    let admin = world.foundation.database.superuser_url();
    let command = || {
        let mut command = Command::new(&world.foundation.programs.meditrustal);
        command
            .args(["database", "create", "--database", "interrupted"])
            .args(["--role-prefix", "interrupted"])
            .env_clear()
            .env("ADMIN_DATABASE_URL", &admin);
        for role in ["MIGRATOR", "API", "INDEXER", "KEYS", "BACKUP"] {
            let variable = format!("MEDITRUSTAL_{role}_PASSWORD");
            command.env(variable, "Jk5-amber-notch-41-fjord");
        }
        command
    };
    for signal in BOTH {
        // The roles are made, and the database is not.
        let held = "pg_database IN SHARE";
        interrupts(&world, &mut command(), held, signal, "database create").await;

        // The server carries out what it was asked for last.
        let left = "SELECT datallowconn AS is_open FROM pg_database WHERE datname = 'interrupted'";
        assert_eq!(world.sql(left).await, [json!({ "is_open": false })]);
        let ended = Ended::of(&mut command()).await;
        assert_eq!(ended.code, Some(0), "after {signal}: {ended:?}");
        let made = json!({ "is_open": true, "is_for_all": false, "is_for_api": true });
        assert_eq!(world.sql(RIGHTS).await, [made]);
        for statement in REMOVED {
            world.executes(statement).await;
        }
    }
}
