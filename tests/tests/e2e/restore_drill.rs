//! The drill: a database is lost, and made again of its backups. What was in them is as it was; what was not is named.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use dev::scratch::Scratch;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tests::transfer::Ended;
use tests::{World, eventually, id, text};

use crate::audit_check;
use crate::backups::{Site, creates, is_ended_by};
use crate::erasure_ledger::maintains;
use crate::erasures::{account, approves, at_once, is_completed, verified};

/// Drops the database, and makes an empty one, as `meditrustal database create` does.
const WRECK: [&str; 4] = [
    "DROP DATABASE DATABASE_NAME WITH (FORCE)",
    "CREATE DATABASE DATABASE_NAME OWNER meditrustal_migrator ENCODING 'UTF8' TEMPLATE template0",
    "REVOKE ALL ON DATABASE DATABASE_NAME FROM PUBLIC",
    "GRANT CONNECT ON DATABASE DATABASE_NAME TO meditrustal_api, meditrustal_indexer, meditrustal_keys, meditrustal_backup",
];

/// What `meditrustal restore` needs of its environment.
pub(crate) fn environment(world: &World) -> Vec<(&'static str, String)> {
    let dir = world.foundation.dir();
    let file = |name: &str| dir.join(name).display().to_string();
    vec![
        (
            "DATABASE_URL",
            world
                .foundation
                .url_of("meditrustal_migrator")
                .expect("the role"),
        ),
        ("CHAIN_RPC_URL", world.foundation.chain_rpc_url().to_owned()),
        ("MEDITRUSTAL_DEPLOYMENT_FILE", file("deployment.json")),
        (
            "MEDITRUSTAL_MASTER_KEYS_FILE",
            file("keys/master-keys.json"),
        ),
    ]
}

/// Restores two dumps with all identities; `more` are further words.
async fn restores(world: &World, site: &Site, dumps: [&Path; 2], more: &[&str]) -> Ended {
    let [records, keys] = dumps.map(|dump| dump.display().to_string());
    let identities = site.identities();
    let identities: Vec<&str> = identities.iter().map(String::as_str).collect();
    let words = [
        &["restore", &records, "--keys", &keys, "--json"][..],
        &identities,
        more,
    ]
    .concat();
    let environment = environment(world);
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    site.runs(world, &words, &environment).await
}

/// How many tables the database has.
async fn tables(world: &World) -> usize {
    let tables = "SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    world.sql(tables).await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_restored_and_what_was_lost_is_named() {
    let scratch = Scratch::new("ledger").expect("there is room for a file");
    let ledger = scratch.path().join("erasures.ledger").display().to_string();
    let mut world = at_once(&[("MEDITRUSTAL_ERASURE_LEDGER".to_owned(), ledger.clone())]).await;
    let site = Site::of(&world).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (ana, zaphod) = (world.patient("ana").await, world.patient("zaphod").await);
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(creates(&world, &ana).await);
    }
    let erased = creates(&world, &zaphod).await;
    let dumps = site.backs_up(&world).await;
    let dumps = [dumps[0].as_path(), dumps[1].as_path()];

    // What is written after the backup, and what is erased.
    let mut lost = Vec::new();
    for _ in 0..2 {
        let record = creates(&world, &ana).await;
        let row = world
            .sql(&format!(
                "SELECT data_hash FROM medical_records WHERE id = '{record}'"
            ))
            .await;
        lost.push((record, text(&row[0]["data_hash"])));
    }
    let request = verified(&zaphod, account()).await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;
    is_completed(&world, &request).await;
    let full = ["--ledger", &ledger, "--without-head"];
    restores(&world, &site, dumps, &full)
        .await
        .is_refused("programs use the database");

    maintains(&world, &WRECK).await;
    let started = world
        .foundation
        .api("too-early", 0, &world.foundation.options().api.clone())
        .await;
    started.expect_err("there is no schema");
    let report = restores(&world, &site, dumps, &full).await.json();

    let told: Vec<String> = report["chain"]["lostRecords"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| text(&it["recordHash"]))
        .collect();
    let hashes: Vec<String> = lost.iter().map(|(_, hash)| hash.clone()).collect();
    assert_eq!(sorted(told), sorted(hashes.clone()), "{report}");
    assert!(
        report["nonces"][0]["lostTransactions"]
            .as_i64()
            .expect("a number")
            >= 2,
        "{report}"
    );
    assert_eq!(report["erasures"]["accounts"], 1, "{report}");
    assert!(
        report["endedSessions"].as_u64().expect("a number") >= 4,
        "{report}"
    );
    assert_eq!(report["chain"]["unanchored"], json!([]), "{report}");
    // In the same command: the indexer's replay, and the deep check.
    assert_eq!(report["replay"]["differences"], 0, "{report}");
    assert_eq!(report["replay"]["anchors"], 4, "{report}");
    assert_eq!(report["deepCheck"]["wrong"], 0, "{report}");
    assert_eq!(report["deepCheck"]["records"], 4, "{report}");
    assert_eq!(report["deepCheck"]["openFindings"], json!([]), "{report}");
    assert_eq!(report["unfinished"], json!([]), "{report}");
    let checked = "SELECT last_records, last_wrong FROM deep_checks";
    let checked = world.sql(checked).await;
    assert_eq!(checked, [json!({ "last_records": 4, "last_wrong": 0 })]);
    let row = world.audit_rows("action_type = 'BACKUP_RESTORE'").await;
    assert_eq!(row.len(), 1, "{row:?}");
    assert_eq!(row[0]["resource_id"], report["backup"]);
    assert_eq!(row[0]["new_value"]["rows"], report["rows"]);
    assert_eq!(row[0]["new_value"]["replayed"], true);
    assert_eq!(row[0]["new_value"]["deepChecked"], 0);
    let unknown = "SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reltuples < 0";
    let unknown = world.sql(unknown).await;
    assert!(unknown.is_empty(), "not analyzed: {unknown:?}");
    // A second restore into it is refused, and so is going on with one that has ended.
    restores(&world, &site, dumps, &full)
        .await
        .is_refused("the database is not empty");
    let go_on = [&full[..], &["--continue"]].concat();
    restores(&world, &site, dumps, &go_on)
        .await
        .is_refused("no restore of this backup waits");

    world.api.restart().await;
    world.indexer.restart().await;
    ana.reads(&kept[0]).await.fails_with("UNAUTHENTICATED");
    let ana = world.logs_in(&ana).await;
    for record in &kept {
        let seen = ana.verifies(record).await;
        assert_eq!(seen.data()["verifyRecord"]["verdict"], "VERIFIED");
        let read = ana.reads(record).await;
        assert_eq!(
            read.data()["medicalRecord"]["document"]["id"],
            record.as_str()
        );
    }
    for (record, _) in &lost {
        ana.reads(record).await.fails_with("NOT_FOUND");
    }
    let gone =
        format!("SELECT 1 FROM medical_records WHERE id = '{erased}' AND encrypted_data <> ''");
    assert!(
        world.sql(&gone).await.is_empty(),
        "what was erased stays erased"
    );
    // The indexer goes on from the dump, and says the same as the report.
    eventually("the lost records are found", async || {
        let found = "SELECT DISTINCT record_hash AS hash FROM integrity_findings WHERE kind = 'UNKNOWN_ON_CHAIN' AND resolved_at IS NULL";
        let found = world.sql(found).await;
        let found: Vec<String> = found.iter().map(|row| text(&row["hash"])).collect();
        hashes.iter().all(|hash| found.contains(hash)).then_some(())
    })
    .await;
    // The account of the api goes on where the chain is.
    let newer = creates(&world, &ana).await;
    assert_eq!(
        ana.verifies(&newer).await.data()["verifyRecord"]["verdict"],
        "VERIFIED"
    );
    let (is_well, said) = audit_check::runs(&world, "verify", false).await;
    assert!(is_well, "{said}");
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

/// Changes a manifest, and leaves the dump as it is.
fn edits(dump: &Path, edit: impl FnOnce(&mut Value)) -> String {
    let path = dump.display().to_string().replace(".dump.age", ".json");
    let before = fs::read_to_string(&path).expect("a manifest");
    let mut manifest: Value = serde_json::from_str(&before).expect("JSON");
    edit(&mut manifest);
    fs::write(&path, manifest.to_string()).expect("written");
    before
}

fn puts_back(dump: &Path, before: &str) {
    let path = dump.display().to_string().replace(".dump.age", ".json");
    fs::write(path, before).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_is_refused_and_the_database_stays_empty() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    let ana = world.patient("ana").await;
    creates(&world, &ana).await;
    world.indexer.stop().await;
    // What the indexer wrote, and a record: both are dumped as they are now.
    world
        .attacks(
            "UPDATE chain_events SET payload = '{}' WHERE kind = 'RECORD_ANCHORED';
             UPDATE medical_records SET encrypted_data = encrypted_data || decode('00', 'hex')",
        )
        .await;
    let older = site.backs_up(&world).await;
    let dumps = site.backs_up(&world).await;
    let [records, keys] = [dumps[0].as_path(), dumps[1].as_path()];
    maintains(&world, &WRECK).await;
    let without = ["--without-ledger"];
    let restores = async |dumps: [&Path; 2]| restores(&world, &site, dumps, &without).await;

    restores([keys, records])
        .await
        .is_refused("is a dump of the keys, and the records are wanted here");
    restores([records, &older[1]])
        .await
        .is_refused("the keys were dumped before the records");
    let wrong: [(&str, Edit); 7] = [
        ("the deployment file names", |it| {
            it["registry"] = json!("0x0000000000000000000000000000000000000001");
        }),
        ("which this program does not know", |it| {
            let migrations = it["migrations"].as_array_mut().expect("a list");
            migrations.push(json!(99_990_101_000_000_i64));
        }),
        ("--older-schema", |it| {
            it["migrations"].as_array_mut().expect("a list").pop();
        }),
        ("its manifest says 7", |it| {
            it["rows"]["medical_records"] = json!(7);
        }),
        ("it was cut off or changed", |it| it["bytes"] = json!(1)),
        ("is about", |it| it["file"] = json!("another.dump.age")),
        ("no manifest that this version can read", |it| {
            it["version"] = json!(2);
        }),
    ];
    for (why, edit) in wrong {
        let before = edits(records, edit);
        restores([records, keys]).await.is_refused(why);
        puts_back(records, &before);
    }
    let before = edits(keys, |it| it["masterKeys"] = json!(["another"]));
    restores([records, keys])
        .await
        .is_refused("which the file of master keys lacks");
    puts_back(keys, &before);
    let one = [site.identities()[0].clone(), site.identities()[1].clone()];
    let (records_text, keys_text) = (records.display().to_string(), keys.display().to_string());
    let words = [
        "restore",
        &records_text,
        "--keys",
        &keys_text,
        "--without-ledger",
        &one[0],
        &one[1],
    ];
    let environment = environment(&world);
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    site.runs(&world, &words, &environment)
        .await
        .is_refused("is encrypted to somebody else");
    let mut wrong = environment.clone();
    let api = world
        .foundation
        .url_of("meditrustal_api")
        .expect("the role");
    wrong.retain(|(name, _)| *name != "DATABASE_URL");
    wrong.push(("DATABASE_URL", &api));
    site.runs(&world, &words, &wrong)
        .await
        .is_refused("restore as meditrustal_migrator");
    // Tried out, everything is read and nothing is there afterwards.
    let tried = ["--without-ledger", "--dry-run"];
    let tried = crate::restore_drill::restores(&world, &site, [records, keys], &tried).await;
    let tried = tried.json();
    assert_eq!(tried["schema"], "public", "{tried}");
    assert!(tried["rows"].as_u64() > Some(0), "{tried}");
    assert_eq!(tables(&world).await, 0);
    let tried = ["--without-ledger", "--indexer", "/nowhere/indexer"];
    let tried = crate::restore_drill::restores(&world, &site, [records, keys], &tried).await;
    tried.is_refused("there is no program /nowhere/indexer");
    assert_eq!(tables(&world).await, 0);

    // Restored, what the dump says wrongly of the chain is replaced, and what is wrong with a record is found.
    let ended = restores([records, keys]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let report = ended.report();
    assert_eq!(report["replay"]["differences"], 1, "{report}");
    assert_eq!(report["replay"]["replaced"], true, "{report}");
    assert_eq!(report["replay"]["anchors"], 1, "{report}");
    assert_eq!(report["deepCheck"]["wrong"], 1, "{report}");
    let kinds = json!([{ "kind": "UNDECRYPTABLE", "open": 1 }]);
    assert_eq!(report["deepCheck"]["openFindings"], kinds, "{report}");
    let left = "SELECT 1 FROM chain_events WHERE kind = 'RECORD_ANCHORED' AND payload = '{}'";
    assert!(world.sql(left).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_leaves_an_empty_database() {
    a_restore_is_ended_by("KILL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_told_to_stop_leaves_an_empty_database() {
    a_restore_is_ended_by("TERM").await;
}

/// A restore gets this signal while it loads.
async fn a_restore_is_ended_by(signal: &str) {
    let world = World::start().await;
    let site = Site::of(&world).await;
    let ana = world.patient("ana").await;
    let record = creates(&world, &ana).await;
    let dumps = site.backs_up(&world).await;
    maintains(&world, &WRECK).await;
    // Somebody holds what the load needs for its first statement.
    let url = world.foundation.database.superuser_url();
    let mut holder = PgConnection::connect(&url).await.expect("a superuser");
    sqlx::raw_sql("BEGIN; GRANT USAGE ON SCHEMA public TO meditrustal_api")
        .execute(&mut holder)
        .await
        .expect("it is held");
    let [records, keys] = [&dumps[0], &dumps[1]].map(|dump| dump.display().to_string());
    let identities = site.identities();
    let identities: Vec<&str> = identities.iter().map(String::as_str).collect();
    let words = [
        &["restore", &records, "--keys", &keys, "--without-ledger"][..],
        &identities,
    ]
    .concat();
    let environment = environment(&world);
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut command = site.command(&world, &words, &environment);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = command.spawn().expect("the program starts");
    let loading = "SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'meditrustal_migrator' AND wait_event_type = 'Lock'";
    eventually("the load waits", async || {
        (!world.sql(loading).await.is_empty()).then_some(())
    })
    .await;

    is_ended_by(signal, &mut running).await;
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .expect("it is let go");
    holder.close().await.expect("it ends");

    let used = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = 'meditrustal_migrator'";
    eventually("psql has ended", async || {
        world.sql(used).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(tables(&world).await, 0);
    let dumps = [dumps[0].as_path(), dumps[1].as_path()];
    let report = restores(&world, &site, dumps, &["--without-ledger"])
        .await
        .json();
    assert_eq!(report["chain"]["lostRecords"], json!([]), "{report}");
    let there = format!("SELECT id FROM medical_records WHERE id = '{record}'");
    assert_eq!(id(&world.sql(&there).await[0]), record);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_waits_for_the_end_of_a_restore_and_it_goes_on_with_what_is_left() {
    let mut world = World::start().await;
    let site = Site::of(&world).await;
    let ana = world.patient("ana").await;
    let record = creates(&world, &ana).await;
    let dumps = site.backs_up(&world).await;
    let dumps = [dumps[0].as_path(), dumps[1].as_path()];
    maintains(&world, &WRECK).await;
    // A ledger that is none: told when the dumps are loaded already.
    let ledger = site.file("broken.ledger");
    fs::write(&ledger, "none\n").expect("written");
    let broken = ["--ledger", &ledger, "--without-head"];

    restores(&world, &site, dumps, &broken)
        .await
        .is_refused("--continue");

    let environment = world.foundation.options().api.clone();
    let started = world.foundation.api("unfinished", 0, &environment).await;
    let said = started.expect_err("it must not serve").to_string();
    assert!(said.contains("has not come to its end"), "{said}");
    fs::write(&ledger, "").expect("written");
    // A program that cannot replay, and no time for the deep check: the report says what is left to be done.
    let hurry = [
        "--continue",
        "--indexer",
        "/bin/false",
        "--without-deep-check",
    ];
    let go_on = [&broken[..], &hurry].concat();
    let ended = restores(&world, &site, dumps, &go_on).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let report = ended.report();
    assert_eq!(report["chain"]["lostRecords"], json!([]), "{report}");
    for nothing in ["replay", "deepCheck"] {
        assert_eq!(report[nothing], Value::Null, "{report}");
    }
    let unfinished = report["unfinished"].as_array().expect("a list");
    let steps: Vec<_> = unfinished
        .iter()
        .map(|it| (text(&it["step"]), it["leftOut"] == true))
        .collect();
    let wanted = [("replay", false), ("deep-check", true)];
    assert_eq!(steps, wanted.map(|(step, out)| (step.to_owned(), out)));
    let command = text(&unfinished[0]["command"]);
    assert!(
        command.contains("meditrustal-indexer replay --rebuild --deployment-file"),
        "{report}"
    );
    assert!(!command.contains("postgres://"), "{report}");
    world.api.restart().await;
    world.indexer.restart().await;
    let ana = world.logs_in(&ana).await;
    assert_eq!(
        ana.verifies(&record).await.data()["verifyRecord"]["verdict"],
        "VERIFIED"
    );
}

/// Runs one of PostgreSQL's own programs; gives what it said of its failure.
async fn postgres(
    site: &Site,
    program: &str,
    words: &[&str],
    password: &str,
) -> Result<(), String> {
    let path = Path::new(&site.clients()).join(program);
    let output = tokio::process::Command::new(path)
        .args(words)
        .env("PGPASSWORD", password)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(said)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_is_what_it_was_or_is_refused() {
    let world = World::with_its_own_postgres().await;
    let site = Site::of(&world).await;
    let ana = world.patient("ana").await;
    creates(&world, &ana).await;
    let base = takes_base(&world, &site).await;

    let file = Path::new(&base).join("pg_ident.conf");
    fs::write(&file, "changed").expect("written");
    let said = postgres(&site, "pg_verifybackup", &["--no-parse-wal", &base], "")
        .await
        .expect_err("it was changed");
    assert!(said.contains("pg_ident.conf"), "{said}");
}

/// Runs a program of the system to its end.
fn system(program: &str, words: &[&str]) {
    let done = std::process::Command::new(program).args(words).status();
    assert!(
        done.expect("the program starts").success(),
        "{program} {words:?}"
    );
}

/// Takes a base backup of a world's own cluster, and has it verified.
async fn takes_base(world: &World, site: &Site) -> String {
    let cluster = world.foundation.database.cluster().expect("ours");
    let url = cluster.superuser_url("postgres");
    let (before, rest) = url.split_once("//").expect("a URL");
    let (user, address) = rest.split_once('@').expect("a user");
    let (name, password) = user.split_once(':').expect("a password");
    let database = format!("--dbname={before}//{name}@{address}");
    let base = site.file("base");
    let taken = [
        "--pgdata",
        &base,
        "--wal-method=stream",
        "--checkpoint=fast",
        "--no-password",
        &database,
    ];
    let taken = postgres(site, "pg_basebackup", &taken, password).await;
    taken.expect("it is taken");
    let verified = postgres(site, "pg_verifybackup", &[&base], "").await;
    verified.expect("it is whole");
    base
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_recovered_to_a_moment_and_goes_on_by_a_dump_of_it() {
    let mut world = World::with_its_own_postgres().await;
    let site = Site::of(&world).await;
    let ana = world.patient("ana").await;
    let data = world.foundation.database.cluster().expect("ours").data();
    let owner = fs::metadata(&data).expect("data");
    let owner = format!("{}:{}", owner.uid(), owner.gid());
    let archive = data.parent().expect("a home").join("archive");
    fs::create_dir(&archive).expect("a directory");
    let (data, archive) = (data.display().to_string(), archive.display().to_string());
    system("chown", &[&owner, &archive]);
    world.executes("ALTER SYSTEM SET archive_mode = on").await;
    let command = format!(
        "ALTER SYSTEM SET archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'"
    );
    world.executes(&command).await;
    world.api.kill().await;
    world.indexer.kill().await;
    let cluster = world.foundation.database.cluster_mut().expect("ours");
    tokio::task::block_in_place(|| cluster.restart()).expect("it archives");
    world.indexer.restart().await;
    world.api.restart().await;
    let first = creates(&world, &ana).await;
    let base = takes_base(&world, &site).await;
    let second = creates(&world, &ana).await;
    let moment = text(&world.sql("SELECT clock_timestamp()::text AS now").await[0]["now"]);
    let third = creates(&world, &ana).await;
    let switched = text(
        &world
            .sql("SELECT pg_walfile_name(pg_switch_wal()) AS name")
            .await[0]["name"],
    );
    eventually("the log is archived", async || {
        Path::new(&archive).join(&switched).is_file().then_some(())
    })
    .await;

    world.api.kill().await;
    world.indexer.kill().await;
    world.foundation.database.cluster().expect("ours").stop();
    fs::remove_dir_all(&data).expect("it is lost");
    system("cp", &["-R", &base, &data]);
    let settings = Path::new(&data).join("postgresql.auto.conf");
    let before = fs::read_to_string(&settings).expect("settings");
    let text = format!(
        "{before}restore_command = 'cp {archive}/%f %p'\nrecovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n"
    );
    fs::write(&settings, text).expect("written");
    fs::write(Path::new(&data).join("recovery.signal"), "").expect("written");
    system("chown", &["-R", &owner, &data]);
    system("chmod", &["700", &data]);
    let cluster = world.foundation.database.cluster_mut().expect("ours");
    tokio::task::block_in_place(|| cluster.restart()).expect("it is recovered");

    let there = world
        .sql("SELECT id FROM medical_records ORDER BY created_at")
        .await;
    let there: Vec<String> = there.iter().map(id).collect();
    assert_eq!(there, [first, second.clone()], "and not {third}");
    // The chain is ahead of it: the dump of it goes on where the chain is.
    let environment = world.foundation.options().api.clone();
    let started = world.foundation.api("recovered", 0, &environment).await;
    let said = started.expect_err("it must not serve").to_string();
    assert!(said.contains("restored from an old backup"), "{said}");
    let dumps = site.backs_up(&world).await;
    maintains(&world, &WRECK).await;
    let dumps = [dumps[0].as_path(), dumps[1].as_path()];
    let report = restores(&world, &site, dumps, &["--without-ledger"])
        .await
        .json();
    assert_eq!(
        report["chain"]["lostRecords"].as_array().map(Vec::len),
        Some(1),
        "{report}"
    );
    world.api.restart().await;
    world.indexer.restart().await;
    let ana = world.logs_in(&ana).await;
    assert_eq!(
        ana.verifies(&second).await.data()["verifyRecord"]["verdict"],
        "VERIFIED"
    );
    creates(&world, &ana).await;
}
type Edit = fn(&mut Value);
