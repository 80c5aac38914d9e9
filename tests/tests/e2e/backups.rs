//! `meditrustal backup`: the real program, the real `pg_dump`, and what lies in the directories afterwards.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use dev::scratch::Scratch;
use serde_json::{Value, json};
use sqlx::Connection;
use tests::transfer::Ended;
use tests::{Person, World, documents, eventually, id, text};
use tokio::process::{Child, Command};

/// Where the backups of a world go, and the keys that open them.
pub(crate) struct Site {
    scratch: Scratch,
    environment: Vec<(String, String)>,
}

impl Site {
    /// Two directories, and a key for each, made by the operator's command.
    pub(crate) async fn of(world: &World) -> Self {
        let scratch = Scratch::new("backups").expect("there is room for files");
        let major = world
            .sql("SELECT current_setting('server_version_num')::integer / 10000 AS major")
            .await;
        let major = major[0]["major"].as_u64().expect("a version");
        let major = u32::try_from(major).expect("a version");
        let clients = world.foundation.tools.postgres_client(major);
        let clients = clients.unwrap_or_else(|error| panic!("{error}"));
        let url = |role: &str| {
            let url = world.foundation.url_of(role);
            url.unwrap_or_else(|error| panic!("{error}"))
        };
        let path = |name: &str| scratch.path().join(name).display().to_string();
        let environment = [
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("DATABASE_URL", url("meditrustal_backup")),
            ("MEDITRUSTAL_KEYS_DATABASE_URL", url("meditrustal_keys")),
            ("MEDITRUSTAL_BACKUP_DIR", path("records")),
            ("MEDITRUSTAL_KEYS_BACKUP_DIR", path("keys")),
            ("MEDITRUSTAL_PG_CLIENT_BIN", clients.display().to_string()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let mut site = Self {
            scratch,
            environment: environment.into(),
        };
        for (file, variable) in [
            ("records.key", "MEDITRUSTAL_BACKUP_RECIPIENTS"),
            ("keys.key", "MEDITRUSTAL_KEYS_BACKUP_RECIPIENTS"),
        ] {
            let path = site.file(file);
            let made = site
                .runs(world, &["backup", "keys", "new", "--file", &path], &[])
                .await;
            assert_eq!(made.code, Some(0), "{made:?}");
            site.environment
                .push((variable.to_owned(), made.said.trim().to_owned()));
        }
        site
    }

    /// A file beside the directories.
    pub(crate) fn file(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// Where PostgreSQL's own programs are.
    pub(crate) fn clients(&self) -> String {
        let found = self
            .environment
            .iter()
            .find(|(name, _)| name == "MEDITRUSTAL_PG_CLIENT_BIN");
        found.expect("it is set").1.clone()
    }

    /// A command, with more environment.
    pub(crate) fn command(&self, world: &World, words: &[&str], more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&world.foundation.programs.meditrustal);
        command
            .args(words)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(more.iter().copied())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn runs(&self, world: &World, words: &[&str], more: &[(&str, &str)]) -> Ended {
        Ended::of(&mut self.command(world, words, more)).await
    }

    /// Makes a daily backup; gives the dumps of the records and of the keys.
    pub(crate) async fn backs_up(&self, world: &World) -> [PathBuf; 2] {
        let run = ["backup", "run", "--tier", "daily", "--again", "--json"];
        // The second is in the name.
        let made = eventually("no backup is of this second", async || {
            let ended = self.runs(world, &run, &[]).await;
            (!ended.complaint.contains("is there already")).then(|| ended.json())
        })
        .await;
        [0, 1].map(|nth| PathBuf::from(text(&made["backups"][nth]["path"])))
    }

    /// The words that open both dumps.
    pub(crate) fn identities(&self) -> [String; 4] {
        let [records, keys] = ["records.key", "keys.key"].map(|name| self.file(name));
        [
            "--identity".to_owned(),
            records,
            "--identity".to_owned(),
            keys,
        ]
    }
}

pub(crate) fn words<'a>(first: &[&'a str], more: &'a [String]) -> Vec<&'a str> {
    first
        .iter()
        .copied()
        .chain(more.iter().map(String::as_str))
        .collect()
}

async fn two_records(world: &World) -> Person {
    let ana = world.patient("ana").await;
    for _ in 0..2 {
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
    }
    ana
}

fn ends_in(name: &str, extension: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|it| it == extension)
}

/// The names in a directory of the site; none where it is not there.
pub(crate) fn names(site: &Site, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(site.file(directory)).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_holds_every_row_of_one_snapshot_and_no_dump_holds_records_and_keys() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    two_records(&world).await;

    let run = ["backup", "run", "--tier", "daily", "--json"];
    let made = site.runs(&world, &run, &[]).await.json();

    let [records, keys] = [0, 1].map(|nth| made["backups"][nth]["manifest"].clone());
    assert_eq!(records["id"], keys["id"], "of one snapshot");
    assert_eq!(
        (&records["part"], &keys["part"]),
        (&json!("records"), &json!("keys"))
    );
    assert_eq!(records["rows"]["medical_records"], 2);
    assert_eq!(records["rows"]["patient_keys"], Value::Null);
    assert_eq!(keys["rows"], json!({ "patient_keys": 1 }));
    let tables = "SELECT count(*) AS count FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'";
    let tables = world.sql(tables).await[0]["count"]
        .as_u64()
        .expect("a number");
    assert_eq!(
        records["rows"].as_object().expect("tables").len(),
        usize::try_from(tables).expect("few") - 1
    );
    for (directory, manifest) in [("records", &records), ("keys", &keys)] {
        let there = names(&site, &format!("{directory}/daily"));
        let dump = text(&manifest["file"]);
        let beside = dump.replace(".dump.age", ".json");
        assert_eq!(there, [dump.clone(), beside], "nothing else is there");
        let bytes = fs::read(site.file(&format!("{directory}/daily/{dump}"))).expect("a dump");
        assert!(
            bytes.starts_with(b"age-encryption.org/v1"),
            "it is encrypted"
        );
        assert_eq!(manifest["bytes"], bytes.len());
    }
    let day = text(&records["file"]);
    let day = day
        .strip_prefix("meditrustal_")
        .and_then(|it| it.strip_suffix(".dump.age"));
    assert!(
        day.is_some_and(|it| it.len() == 8 && it.bytes().all(|b| b.is_ascii_digit())),
        "{day:?}"
    );

    let noted = world.audit_rows("action_type = 'BACKUP_RUN'").await;
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert_eq!(noted[0]["resource_id"], records["id"]);
    assert_eq!(noted[0]["encryption_status"], "EXPORTED_ENCRYPTED");
    let dumps = noted[0]["new_value"]["dumps"].as_array();
    let dumps: Vec<_> = dumps
        .expect("a list")
        .iter()
        .map(|dump| &dump["sha256"])
        .collect();
    assert_eq!(dumps, [&records["sha256"], &keys["sha256"]]);

    let verify = ["backup", "verify", "--json"];
    let seen = site.runs(&world, &verify, &[]).await.json();
    assert_eq!(seen["verified"].as_array().expect("a list").len(), 2);
    assert_eq!(seen["verified"][0]["rowsWereRead"], false);
    let identities = site.identities();
    let seen = site
        .runs(&world, &words(&verify, &identities), &[])
        .await
        .json();
    assert_eq!(
        (
            &seen["verified"][0]["rowsWereRead"],
            &seen["verified"][1]["rowsWereRead"]
        ),
        (&json!(true), &json!(true))
    );

    let listed = site
        .runs(&world, &["backup", "list", "--json"], &[])
        .await
        .json();
    let daily = &listed["tiers"][0];
    assert_eq!(
        (&daily["tier"], &daily["failure"]),
        (&json!("daily"), &Value::Null)
    );
    assert_eq!(daily["backups"][0]["id"], records["id"]);
}

#[tokio::test]
async fn a_backup_that_is_tried_out_says_what_it_would_write_and_writes_nothing() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    let tried = ["backup", "run", "--tier", "monthly", "--dry-run", "--json"];

    let told = site.runs(&world, &tried, &[]).await.json();

    let would = told["wouldWrite"].as_array().expect("a list");
    assert_eq!(would.len(), 2, "{told}");
    assert!(text(&would[0]).contains("/records/monthly/meditrustal_2"));
    assert!(text(&would[1]).contains("/keys/monthly/meditrustal_keys_2"));
    let nowhere = [("MEDITRUSTAL_PG_CLIENT_BIN", "/nowhere")];
    let ended = site.runs(&world, &tried, &nowhere).await;
    ended.is_refused("install the client programs of PostgreSQL");
    for directory in ["records", "keys"] {
        assert!(!Path::new(&site.file(directory)).exists(), "{directory}");
    }
    assert!(
        world
            .audit_rows("action_type = 'BACKUP_RUN'")
            .await
            .is_empty()
    );
    let made = ["backup", "run", "--tier", "monthly"];
    assert_eq!(site.runs(&world, &made, &[]).await.code, Some(0));
    let ended = site.runs(&world, &tried, &[]).await;
    ended.is_refused("is there already");
    // Of a second there is one: the next would get another name, as a run does, which waits for it.
    let again = [&tried[..], &["--again"]].concat();
    let mut there = Vec::new();
    for _ in 0..3 {
        let told = site.runs(&world, &again, &[]).await.json();
        let path = text(&told["wouldWrite"][0]);
        assert!(!there.contains(&path), "{path} in {there:?}");
        fs::write(&path, "").expect("written");
        there.push(path);
    }
}

#[tokio::test]
async fn a_backup_that_is_not_what_it_was_is_told_apart() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    two_records(&world).await;
    let [records, keys] = site.backs_up(&world).await;
    let whole = fs::read(&records).expect("a dump");
    let manifest = records.display().to_string().replace(".dump.age", ".json");
    let said = fs::read_to_string(&manifest).expect("a manifest");
    let dump = records.display().to_string();
    let verify = |identities: Vec<String>| {
        let (site, world, dump) = (&site, &world, dump.clone());
        async move {
            let first = ["backup", "verify", &dump];
            site.runs(world, &words(&first, &identities), &[]).await
        }
    };
    let of_keys = || vec!["--identity".to_owned(), site.file("keys.key")];
    let ours = || site.identities().to_vec();

    verify(of_keys())
        .await
        .is_refused("is encrypted to somebody else");
    fs::write(&records, &whole[..whole.len() - 1]).expect("written");
    verify(ours()).await.is_refused("it was cut off or changed");
    let mut changed = whole.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    fs::write(&records, &changed).expect("written");
    verify(Vec::new())
        .await
        .is_refused("its SHA-256 is not the one of its manifest");
    fs::write(&records, &whole).expect("written");
    // Who can write the manifest, too, does not get past the rows.
    fs::write(
        &manifest,
        said.replace("\"medical_records\": 2", "\"medical_records\": 3"),
    )
    .expect("written");
    assert_eq!(verify(Vec::new()).await.code, Some(0));
    verify(ours())
        .await
        .is_refused("has 2 rows of medical_records, and its manifest says 3");
    fs::remove_file(&manifest).expect("removed");
    verify(ours()).await.is_refused("has no manifest beside it");
    let identity = site.file("records.key");
    fs::set_permissions(
        &identity,
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .expect("it is ours");
    verify(ours()).await.is_refused("can be read by others");
    assert!(keys.is_file());
}

#[tokio::test]
async fn what_cannot_be_backed_up_is_refused_noted_and_leaves_nothing() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    two_records(&world).await;
    let run = ["backup", "run", "--tier", "weekly"];
    let server = world.foundation.database.superuser_url();
    let name = text(&world.sql("SELECT current_database() AS name").await[0]["name"]);
    let empty = server.replace(&format!("/{name}"), "/postgres");
    let wrong_password = world
        .foundation
        .url_of("meditrustal_backup")
        .expect("the role");
    let wrong_password = wrong_password.replacen("meditrustal_backup:", "meditrustal_backup:x", 1);
    let same = site.file("records");
    let public = site
        .environment
        .iter()
        .find(|(name, _)| name == "MEDITRUSTAL_BACKUP_RECIPIENTS");
    let public = public.expect("a key").1.clone();

    for (variable, value, why) in [
        ("DATABASE_URL", empty.as_str(), "nothing was written"),
        (
            "DATABASE_URL",
            &wrong_password,
            "does not let this role log in",
        ),
        (
            "MEDITRUSTAL_PG_CLIENT_BIN",
            "/nowhere",
            "install the client programs of PostgreSQL",
        ),
        (
            "MEDITRUSTAL_KEYS_BACKUP_DIR",
            &same,
            "may not lie in the directory of the records",
        ),
        (
            "MEDITRUSTAL_KEYS_BACKUP_RECIPIENTS",
            &public,
            "may not be encrypted to the same key",
        ),
    ] {
        let ended = site.runs(&world, &run, &[(variable, value)]).await;
        ended.is_refused(why);
        assert!(!ended.complaint.contains(&wrong_password), "{ended:?}");
    }
    let without = ["backup", "run", "--tier", "weekly"];
    let mut command = site.command(&world, &without, &[]);
    let lacking = [
        "MEDITRUSTAL_BACKUP_RECIPIENTS",
        "MEDITRUSTAL_KEYS_BACKUP_DIR",
        "MEDITRUSTAL_KEYS_DATABASE_URL",
    ];
    for variable in lacking {
        command.env_remove(variable);
    }
    let ended = Ended::of(&mut command).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for variable in lacking {
        let told = format!("{variable} is missing");
        assert!(ended.complaint.contains(&told), "{ended:?}");
    }

    // The attempts that began are noted where health looks, and forgotten with the next success.
    assert_eq!(names(&site, "records/weekly"), ["last-failure.json"]);
    let listed = site
        .runs(&world, &["backup", "list", "--json"], &[])
        .await
        .json();
    let failure = text(&listed["tiers"][1]["failure"]["error"]);
    assert!(failure.contains("install the client programs"), "{failure}");
    assert_eq!(site.runs(&world, &run, &[]).await.code, Some(0));
    assert!(!names(&site, "records/weekly").contains(&"last-failure.json".to_owned()));
    // Nothing is ever replaced.
    site.runs(&world, &run, &[])
        .await
        .is_refused("is there already");
    // Two at once: the second does nothing.
    let lock = File::options().write(true).open(site.file("records/.lock"));
    let lock = lock.expect("the file of the lock");
    lock.try_lock().expect("nobody has it");
    let again = ["backup", "run", "--tier", "weekly", "--again"];
    let ended = site.runs(&world, &again, &[]).await;
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(
        ended.complaint.contains("another backup is under way"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_backup_whose_disk_is_full_says_so_and_leaves_nothing() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    two_records(&world).await;
    // No file gets longer than some kilobytes: what is written beyond fails, as where there is no space.
    let limited = r#"trap '' XFSZ; ulimit -f 8; exec "$0" "$@""#;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", limited])
        .arg(&world.foundation.programs.meditrustal)
        .args(["backup", "run", "--tier", "daily"])
        .env_clear()
        .envs(site.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());

    let ended = Ended::of(&mut command).await;

    ended.is_refused("see whether the disk has room");
    assert_eq!(names(&site, "records/daily"), ["last-failure.json"]);
    let dumps = names(&site, "keys/daily");
    let is_dump = |name: &String| ends_in(name, "age") || ends_in(name, "part");
    assert!(!dumps.iter().any(is_dump), "{dumps:?}");
    // Where there is space again, the next one is made, and the failure is forgotten.
    site.backs_up(&world).await;
    assert!(!names(&site, "records/daily").contains(&"last-failure.json".to_owned()));
}

#[tokio::test]
async fn a_backup_that_is_killed_leaves_no_half_dump_and_the_next_one_cleans_up() {
    is_ended_in_the_middle("KILL").await;
}

#[tokio::test]
async fn a_backup_that_is_told_to_stop_leaves_no_half_dump_and_the_next_one_cleans_up() {
    is_ended_in_the_middle("TERM").await;
}

/// Ends a program by a signal, and waits until it has.
pub(crate) async fn is_ended_by(signal: &str, running: &mut Child) {
    let id = running.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-s", signal, &id]).status();
    assert!(sent.await.expect("there is a kill").success());
    let ended = running.wait().await.expect("it ends");
    assert!(!ended.success(), "{ended}");
}

/// A backup gets this signal while both dumps are written.
async fn is_ended_in_the_middle(signal: &str) {
    let world = World::start().await;
    let site = Site::of(&world).await;
    two_records(&world).await;
    let mut owner = world.connects_as("meditrustal_migrator").await;
    // What pg_dump locks, and the counts of our own schema do not read: it waits as long as the lock is held.
    sqlx::raw_sql(
        "CREATE SCHEMA apart;
         CREATE TABLE apart.held (id INTEGER);
         GRANT USAGE ON SCHEMA apart TO meditrustal_backup;
         GRANT SELECT ON apart.held TO meditrustal_backup",
    )
    .execute(&mut owner)
    .await
    .expect("the database is its own");
    sqlx::raw_sql("BEGIN; LOCK TABLE apart.held IN ACCESS EXCLUSIVE MODE")
        .execute(&mut owner)
        .await
        .expect("it is held");
    let run = ["backup", "run", "--tier", "daily", "--again"];
    let mut command = site.command(&world, &run, &[]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = command.spawn().expect("the program starts");
    let waiting = "SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'meditrustal_backup' AND wait_event_type = 'Lock'";
    eventually("both dumps are begun, and one waits", async || {
        let is_begun = ["records/daily", "keys/daily"]
            .iter()
            .all(|directory| !names(&site, directory).is_empty());
        (is_begun && !world.sql(waiting).await.is_empty()).then_some(())
    })
    .await;

    is_ended_by(signal, &mut running).await;

    let left = names(&site, "records/daily");
    assert!(left.iter().all(|name| ends_in(name, "part")), "{left:?}");
    assert!(!left.is_empty());
    assert_eq!(
        names(&site, "keys/daily")
            .iter()
            .filter(|name| ends_in(name, "age"))
            .count(),
        0
    );
    let listed = site
        .runs(&world, &["backup", "list", "--json"], &[])
        .await
        .json();
    assert_eq!(listed["tiers"][0]["backups"], json!([]));
    sqlx::raw_sql("DROP SCHEMA apart CASCADE; COMMIT")
        .execute(&mut owner)
        .await
        .expect("it goes");
    owner.close().await.expect("it ends");
    let [dump, _] = site.backs_up(&world).await;
    let there = names(&site, "records/daily");
    assert!(there.iter().all(|name| !ends_in(name, "part")), "{there:?}");
    assert!(dump.is_file());
}

#[tokio::test]
async fn where_one_of_two_dumps_fails_the_other_leaves_nothing() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    two_records(&world).await;
    let mut owner = world.connects_as("meditrustal_migrator").await;
    let run = ["backup", "run", "--tier", "daily"];

    for (role, table) in [
        ("meditrustal_keys", "patient_keys"),
        ("meditrustal_backup", "medical_records"),
    ] {
        let changes = async |owner: &mut sqlx::PgConnection, statement: String| {
            let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(owner);
            done.await.expect("the table is its own");
        };
        changes(&mut owner, format!("REVOKE SELECT ON {table} FROM {role}")).await;
        let ended = site.runs(&world, &run, &[]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        for directory in ["records/daily", "keys/daily"] {
            assert_eq!(names(&site, directory), ["last-failure.json"], "{role}");
        }
        changes(&mut owner, format!("GRANT SELECT ON {table} TO {role}")).await;
    }

    assert_eq!(site.runs(&world, &run, &[]).await.code, Some(0));
    owner.close().await.expect("it ends");
}

#[tokio::test]
async fn as_many_backups_are_kept_as_was_said_and_nothing_else_is_touched() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    two_records(&world).await;
    let mut dumps = Vec::new();
    for _ in 0..3 {
        dumps.push(site.backs_up(&world).await);
    }
    let foreign = site.file("records/daily/meditrustal_20200101.dump");
    fs::write(&foreign, "somebody else's").expect("written");
    let prune = ["backup", "prune", "--keep-daily", "1", "--json"];

    let would = site
        .runs(&world, &[&prune[..], &["--dry-run"]].concat(), &[])
        .await
        .json();
    assert_eq!(
        would["pruned"]["removed"].as_array().expect("a list").len(),
        8
    );
    assert!(dumps.iter().flatten().all(|dump| dump.is_file()));
    let did = site.runs(&world, &prune, &[]).await.json();

    assert_eq!(did["pruned"], would["pruned"]);
    let are_there = |dumps: &[PathBuf; 2]| dumps.iter().all(|dump| dump.is_file());
    assert!(!are_there(&dumps[0]) && !are_there(&dumps[1]) && are_there(&dumps[2]));
    assert!(Path::new(&foreign).is_file());
    let again = site.runs(&world, &prune, &[]).await.json();
    assert_eq!(again["pruned"]["removed"], json!([]));
}

#[tokio::test]
async fn the_schema_is_moved_after_a_backup_and_no_row_is_lost_unasked() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    let ana = two_records(&world).await;
    world.api.kill().await;
    world.indexer.kill().await;
    let owner = world
        .foundation
        .url_of("meditrustal_migrator")
        .expect("the role");
    let as_owner = [("DATABASE_URL", owner.as_str())];
    let all = world
        .sql("SELECT count(*) AS count FROM _sqlx_migrations")
        .await[0]["count"]
        .to_string();

    let lossy = ["migrate", "down", "--steps", &all];
    let ended = site.runs(&world, &lossy, &as_owner).await;
    ended.is_refused("--yes-lose-data");
    assert!(ended.complaint.contains("medical_records (2)"), "{ended:?}");
    assert_eq!(world.sql("SELECT 1 FROM medical_records").await.len(), 2);
    assert!(!Path::new(&site.file("records/migration")).exists());
    let dry = site
        .runs(
            &world,
            &["migrate", "down", "--steps", &all, "--dry-run"],
            &as_owner,
        )
        .await;
    assert!(
        dry.code == Some(0) && dry.said.contains("DROP TABLE"),
        "{dry:?}"
    );
    assert_eq!(world.sql("SELECT 1 FROM medical_records").await.len(), 2);

    let mut command = site.command(
        &world,
        &["migrate", "down", "--steps", &all, "--yes-lose-data"],
        &as_owner,
    );
    command.env_remove("MEDITRUSTAL_BACKUP_DIR");
    let output = command.output().await.expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("a backup comes before each migration"),
        "{said}"
    );
    assert_eq!(world.sql("SELECT 1 FROM medical_records").await.len(), 2);

    let down = ["migrate", "down", "--steps", &all, "--yes-lose-data"];
    let ended = site.runs(&world, &down, &as_owner).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for directory in ["records", "keys"] {
        let there = names(&site, &format!("{directory}/migration"));
        assert_eq!(
            there
                .iter()
                .filter(|name| name.ends_with(".dump.age"))
                .count(),
            1,
            "{there:?}"
        );
    }
    let identities = site.identities();
    let verify = words(&["backup", "verify", "--json"], &identities);
    let verified = site.runs(&world, &verify, &[]).await.json();
    let rows = &verified["verified"][0]["manifest"]["rows"]["medical_records"];
    assert_eq!(*rows, 2, "{ana:?}");
    // Nothing is there that could be backed up.
    let up = site
        .runs(&world, &["migrate", "up", "--dry-run"], &as_owner)
        .await;
    assert!(up.said.contains("CREATE TABLE users"), "{up:?}");
    let up = site.runs(&world, &["migrate", "up"], &as_owner).await;
    assert_eq!(up.code, Some(0), "{up:?}");
    assert!(
        up.complaint.contains("there is nothing to back up"),
        "{up:?}"
    );
}

#[tokio::test]
async fn a_new_migration_has_its_number_its_name_and_a_way_back() {
    let world = World::start().await;
    let site = Site::of(&world).await;
    let dir = site.file("migrations");
    fs::create_dir(&dir).expect("a directory");
    fs::write(format!("{dir}/99990101000000_last.up.sql"), "").expect("written");

    let made = site
        .runs(
            &world,
            &["migrate", "new", "keep_visits", "--dir", &dir],
            &[],
        )
        .await;

    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(
        names(&site, "migrations"),
        [
            "99990101000000_last.up.sql",
            "99990101000001_keep_visits.down.sql",
            "99990101000001_keep_visits.up.sql",
        ]
    );
    for name in ["Keep", "keep visits", "9lives", "keep_"] {
        let ended = site
            .runs(&world, &["migrate", "new", name, "--dir", &dir], &[])
            .await;
        ended.is_refused("cannot be the name of a migration");
    }
}

/// Stores a record of a person, and waits until it is in a block.
pub(crate) async fn creates(world: &World, person: &Person) -> String {
    let record = person
        .creates(person, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let record = id(&record);
    world.wait_for_anchor(&record, "CONFIRMED").await;
    record
}
