//! Commands that are told to stop, or are killed, in their middle: they say so, nothing is half done, and the next run ends it. Those of
//! backups (`backups`), restores (`restore_drill`) and a migration that makes an index (`migrations`) have tests of their own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::commands::migrate;
use tests::transfer::{Ended, heart_rates};
use tests::{World, documents, eventually, id};
use tokio::process::{Child, Command};

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
            )
            .stdin(Stdio::null());
        command
    }
}

fn starts(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
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

#[tokio::test]
async fn a_command_that_is_ended_in_its_middle_leaves_nothing_half_done_and_the_next_run_ends_it() {
    const READS: &str = "audit_logs IN ACCESS EXCLUSIVE";
    const SEALS: &str = "data_processing_consents IN ACCESS EXCLUSIVE";
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    world.mine(3).await;
    world.wait_for_indexer().await;
    world.api.kill().await;
    world.indexer.kill().await;
    keys(&world, &["add", "--id", "new"], false)
        .await
        .expect("a new key in front");
    let (trail, ledger) = (world.file("trail.ndjson"), world.file("erasures.ledger"));
    let (api, owner) = ("meditrustal_api", "meditrustal_migrator");
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
        of(&["keys", "rotate"], "meditrustal_keys", SEALS).by(&["KILL"]),
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

            let ended = Ended::of(&mut command.command(&world)).await;

            assert_eq!(ended.code, Some(0), "{name} after {signal}: {ended:?}");
            if name.contains("export") {
                fs::remove_file(&trail).expect("it was written whole");
            }
        }
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
