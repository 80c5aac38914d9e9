//! What an operator waits for: a backup and a restore beside PostgreSQL's own programs, the start of an api, the drill of a restore,
//! and what requests fail while two apis are replaced and the schema is moved.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dev::scratch::Scratch;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::bench::{Arguments, Bar, Costs, Figure, Population, Report, fill, progress};
use tests::load::{Load, Measured, Reply, Turn, Until, post};
use tests::rolling::{Balancer, RollingLoad, migrates_to_the_next_version};
use tests::{Standby, World, eventually, text};

/// What is measured, each of which `--only` names.
const PARTS: [&str; 6] = [
    "starts",
    "replacements",
    "drill",
    "backups",
    "restores",
    "replica",
];
/// A page of 20 records, as a frontend's list shows it.
const PAGE: &str = "query Page($patientId: UUID!) { medicalRecords(patientId: $patientId, first: 20) { \
    nodes { id recordType version dataHash createdAt patient { username } author { username } anchor { state } } \
    pageInfo { hasNextPage } } }";
/// How many times each of two is measured, in turns; the one in the middle counts.
const ROUNDS: usize = 3;
/// How many starts are measured.
const STARTS: usize = 20;
/// Makes the database empty, as `meditrustal database create` does. `NAME` is its name.
const EMPTY: [&str; 4] = [
    "DROP DATABASE IF EXISTS NAME WITH (FORCE)",
    "CREATE DATABASE NAME OWNER meditrustal_migrator ENCODING 'UTF8' TEMPLATE template0",
    "REVOKE ALL ON DATABASE NAME FROM PUBLIC",
    "GRANT CONNECT ON DATABASE NAME TO meditrustal_api, meditrustal_indexer, meditrustal_keys, meditrustal_backup",
];

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let mut report = Report::new();
    let parts = arguments.parts(&PARTS);
    let is_wanted = |part: &str| parts.contains(&part);
    if is_wanted("starts") {
        starts(&arguments, &mut report).await;
    }
    if is_wanted("replacements") {
        replaces(&arguments, &mut report).await;
    }
    if is_wanted("drill") {
        drills(&arguments, &mut report).await;
    }
    let wanted = WantedDumps {
        backups: is_wanted("backups"),
        restores: is_wanted("restores"),
    };
    if wanted.backups || wanted.restores {
        dumps(&arguments, &mut report, &wanted).await;
    }
    if is_wanted("replica") {
        spares(&arguments, &mut report).await;
    }
    report.print("operations");
}

/// Where the backups of a world go, the keys that open them, and PostgreSQL's own programs.
struct Site {
    scratch: Scratch,
    clients: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Site {
    fn of(world: &World) -> Self {
        let scratch = Scratch::new("operations").expect("there is room for files");
        let cluster = world.foundation.database.cluster().expect("ours");
        let major = cluster.version().split('.').next();
        let major = major.and_then(|major| major.parse().ok());
        let clients = world.foundation.tools.postgres_client(major.unwrap_or(18));
        let clients = clients.unwrap_or_else(|error| panic!("{error}"));
        let url = |role: &str| {
            let url = world.foundation.url_of(role);
            url.unwrap_or_else(|error| panic!("{error}"))
        };
        let path = |name: &str| scratch.path().join(name).display().to_string();
        let environment = vec![
            ("DATABASE_URL", url("meditrustal_backup")),
            ("MEDITRUSTAL_KEYS_DATABASE_URL", url("meditrustal_keys")),
            ("MEDITRUSTAL_BACKUP_DIR", path("records")),
            ("MEDITRUSTAL_KEYS_BACKUP_DIR", path("keys")),
            ("MEDITRUSTAL_PG_CLIENT_BIN", clients.display().to_string()),
        ];
        let mut site = Self {
            scratch,
            clients,
            environment,
        };
        for (file, variable) in [
            ("records.key", "MEDITRUSTAL_BACKUP_RECIPIENTS"),
            ("keys.key", "MEDITRUSTAL_KEYS_BACKUP_RECIPIENTS"),
        ] {
            let file = site.file(file);
            let key = site.operates(world, &["backup", "keys", "new", "--file", &file], &[]);
            site.environment.push((variable, key.trim().to_owned()));
        }
        site
    }

    fn file(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// Runs one of the operator's commands, with more environment; answers what it printed.
    fn operates(&self, world: &World, words: &[&str], more: &[(&str, &str)]) -> String {
        let ours = self.environment.iter();
        let ours = ours.map(|(name, value)| (*name, value.as_str()));
        let environment: Vec<_> = ours.chain(more.iter().copied()).collect();
        let said = world.foundation.programs.operate(words, &environment, "");
        said.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes a backup; answers the dumps of the records and of the keys, and how long it took.
    fn backs_up(&self, world: &World) -> ([String; 2], Duration) {
        // The second is in the name.
        std::thread::sleep(Duration::from_secs(1));
        let began = Instant::now();
        let run = ["backup", "run", "--tier", "daily", "--again", "--json"];
        let made = self.operates(world, &run, &[]);
        let took = began.elapsed();
        let made: Value = serde_json::from_str(&made).expect("a report");
        ([0, 1].map(|nth| text(&made["backups"][nth]["path"])), took)
    }

    /// Restores both dumps into the empty database; how long it took.
    fn restores(&self, world: &World, dumps: &[String; 2], more: &[&str]) -> Duration {
        let [records, keys] = dumps;
        let (records_key, keys_key) = (self.file("records.key"), self.file("keys.key"));
        let words = [
            "restore",
            records,
            "--keys",
            keys,
            "--identity",
            &records_key,
            "--identity",
            &keys_key,
        ];
        let words = [&words[..], more].concat();
        let dir = world.foundation.dir();
        let owner = world.foundation.url_of("meditrustal_migrator");
        let owner = owner.unwrap_or_else(|error| panic!("{error}"));
        let deployment = dir.join("deployment.json").display().to_string();
        let masters = dir.join("keys/master-keys.json").display().to_string();
        let environment = [
            ("DATABASE_URL", owner.as_str()),
            ("CHAIN_RPC_URL", world.foundation.chain_rpc_url()),
            ("MEDITRUSTAL_DEPLOYMENT_FILE", &deployment),
            ("MEDITRUSTAL_MASTER_KEYS_FILE", &masters),
        ];
        let began = Instant::now();
        self.operates(world, &words, &environment);
        began.elapsed()
    }

    /// Runs one of PostgreSQL's own programs as the superuser; how long it took.
    fn bare(&self, world: &World, program: &str, database: &str, words: &[&str]) -> Duration {
        let cluster = world.foundation.database.cluster().expect("ours");
        let url = cluster.superuser_url(database);
        let (before, address) = url.split_once('@').expect("a user");
        let (user, password) = before.rsplit_once(':').expect("a password");
        let began = Instant::now();
        let output = Command::new(self.clients.join(program))
            .arg(format!("--dbname={user}@{address}"))
            .args(words)
            .env("PGPASSWORD", password)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        let took = began.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {said}");
        took
    }
}

/// Makes a database of this name that is empty.
async fn empties(world: &World, name: &str) {
    let cluster = world.foundation.database.cluster().expect("ours");
    let server = PgConnection::connect(&cluster.superuser_url("postgres")).await;
    let mut server = server.expect("the server answers");
    for statement in EMPTY {
        let statement = statement.replace("NAME", name);
        let done = sqlx::raw_sql(AssertSqlSafe(statement.clone()))
            .execute(&mut server)
            .await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// How long an api takes from its start until it is ready.
async fn starts(arguments: &Arguments, report: &mut Report) {
    let mut world = arguments.world().await;
    progress("starting the api again and again");
    let mut took = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        world.api.stop().await;
        let began = Instant::now();
        world.api.restart().await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    for (what, which) in [("p50", STARTS.div_ceil(2) - 1), ("slowest", STARTS - 1)] {
        report.figure(
            format!("start of the api to ready, of {STARTS}: {what}"),
            Figure::of(took[which]),
            Bar::AtMost(1000.0),
        );
    }
}

/// How much of what lists cost PostgreSQL leaves the primary where an api reads from a replica.
async fn spares(arguments: &Arguments, report: &mut Report) {
    let world = arguments.world().await;
    let population = Arc::new(Population::open(&world, 4, 100).await);
    let count = arguments.many(50).max(25) * 100;
    progress(format_args!("storing {count} records"));
    population.stores(&world, count).await;
    let alike = world
        .sql(
            "SELECT name, current_setting(name) AS value FROM pg_settings
             WHERE name IN ('max_connections', 'shared_buffers', 'max_locks_per_transaction', 'max_worker_processes')",
        )
        .await;
    let alike: Vec<(String, String)> = alike
        .iter()
        .map(|row| (text(&row["name"]), text(&row["value"])))
        .collect();
    let alike: Vec<(&str, &str)> = alike
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let standby = tokio::task::block_in_place(|| Standby::of(&world, &alike));
    let url = world.foundation.url_of("meditrustal_api");
    let url = standby.url(&url.unwrap_or_else(|error| panic!("{error}")));
    let environment = [("DATABASE_REPLICA_URL", url.as_str())];
    let api = world.another_api("with-a-replica", &environment).await;
    eventually("the replica is used", async || {
        let said = api.says("/health/ready").await;
        (said["replica"] == "used").then_some(())
    })
    .await;
    for clients in [16, 1] {
        progress(format_args!("pages, {clients} client(s)"));
        let load = async |server: SocketAddr| {
            let warm = Until::Passed(Duration::from_millis(500));
            pages(&population, server, clients, warm).await;
            let costs = Costs::begin(&world);
            let until = Until::Passed(arguments.time);
            let measured = pages(&population, server, clients, until).await;
            assert_eq!(measured.failed(), 0, "all of them are answered");
            let costs = costs.end(&world);
            (costs.of_database(measured.right), measured)
        };
        let (alone, without) = load(world.api.address()).await;
        let (spared, with) = load(api.address()).await;
        report.beside(
            format!("the primary's PostgreSQL for a page, with a replica beside without, {clients} client(s)"),
            Figure::Microseconds(spared),
            Figure::Microseconds(alone),
            Bar::PartAtMost(0.2),
        );
        report.beside(
            format!("pages, with a replica beside without, {clients} client(s)"),
            Figure::PerSecond(with.per_second()),
            Figure::PerSecond(without.per_second()),
            Bar::None,
        );
    }
}

/// Pages of every patient in turn.
async fn pages(
    population: &Arc<Population>,
    server: SocketAddr,
    clients: usize,
    until: Until,
) -> Measured {
    let load = Load {
        server,
        clients,
        until,
    };
    let population = Arc::clone(population);
    let ask = move |turn: Turn| {
        let nth = usize::try_from(turn.nth).unwrap_or_default();
        let patient = &population.patients[nth % population.patients.len()];
        let body = json!({ "query": PAGE, "variables": { "patientId": patient } });
        post("/graphql", population.token(turn), &body.to_string())
    };
    let right = |_: Turn, reply: &Reply<'_>| reply.is_data();
    load.run(ask, right).await
}

/// Two apis are started again one after the other, and the schema is moved, while people store and read.
async fn replaces(arguments: &Arguments, report: &mut Report) {
    let drains = |options: &mut dev::stack::Options| {
        let drain = ("MEDITRUSTAL_DRAIN".to_owned(), "1".to_owned());
        options.api.push(drain);
    };
    let mut world = arguments.world_with(drains).await;
    let mut second = world.second_api().await;
    let ana = world.patient("ana").await;
    let people = [ana.clone(), ana.at(&second)];
    let (balancer, probe) = Balancer::before([&world.api, &second]);
    let count = |it: usize| Figure::Count(u64::try_from(it).unwrap_or(u64::MAX));

    progress("starting two apis again under load");
    let load = RollingLoad::of(&people, &balancer);
    load.goes_on(&[0, 1]).await;
    for _ in 0..ROUNDS {
        world.api.stop().await;
        load.goes_on(&[1]).await;
        world.api.restart().await;
        load.goes_on(&[0, 1]).await;
        second.stop().await;
        load.goes_on(&[0]).await;
        second.restart().await;
        load.goes_on(&[0, 1]).await;
    }
    let seen = load.ends().await;
    report.figure(
        "records stored and read during rolling restarts",
        count(seen.stored.len()),
        Bar::None,
    );
    report.figure(
        "requests that failed meanwhile",
        count(seen.failed.len()),
        Bar::AtMost(0.0),
    );

    progress("moving the schema under load");
    let load = RollingLoad::of(&people, &balancer);
    load.goes_on(&[0, 1]).await;
    let began = Instant::now();
    migrates_to_the_next_version(&world).await;
    let took = began.elapsed();
    load.goes_on(&[0, 1]).await;
    let seen = load.ends().await;
    probe.abort();
    report.figure("a migration under load", Figure::of(took), Bar::None);
    report.figure(
        "requests that failed meanwhile",
        count(seen.failed.len()),
        Bar::AtMost(0.0),
    );
}

/// The whole drill with records that can be opened: a backup, the loss of the database, a restore with the erasure ledger, the
/// indexer's replay and the deep check, and the start of both programs.
async fn drills(arguments: &Arguments, report: &mut Report) {
    let count = arguments.many(100_000);
    let mut world = arguments.world().await;
    let site = Site::of(&world);
    let population = Arc::new(Population::open(&world, 4, 100).await);
    progress(format_args!("storing {count} records"));
    population.stores(&world, count).await;
    progress("waiting until all of them are in a block");
    let open = "SELECT 1 FROM record_anchors WHERE state NOT IN ('CONFIRMED', 'FINALIZED') LIMIT 1";
    while !world.sql(open).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let ledger = site.file("erasures.ledger");
    fs::write(&ledger, "").expect("there is room for files");

    progress("the drill");
    let began = Instant::now();
    let (dumps, _) = site.backs_up(&world);
    world.api.stop().await;
    world.indexer.stop().await;
    empties(&world, world.foundation.database.name()).await;
    site.restores(&world, &dumps, &["--ledger", &ledger, "--without-head"]);
    world.api.restart().await;
    world.indexer.restart().await;
    let took = began.elapsed();

    let wrong = world.sql("SELECT last_wrong FROM deep_checks").await;
    let wrong = wrong[0]["last_wrong"].as_u64();

    report.figure(
        format!("drill of a restore of {count} records"),
        Figure::of(took),
        Bar::AtMost(300_000.0),
    );
    report.figure(
        "rows that the deep check finds wrong after it",
        Figure::Count(wrong.unwrap_or(u64::MAX)),
        Bar::AtMost(0.0),
    );
    let kept = world
        .sql("SELECT count(*) AS count FROM medical_records")
        .await;
    let kept = kept[0]["count"].as_u64().unwrap_or_default();
    report.figure(
        "records that it lost",
        Figure::Count(count.saturating_sub(kept)),
        Bar::AtMost(0.0),
    );
}

/// Which of the two are measured.
struct WantedDumps {
    backups: bool,
    restores: bool,
}

/// A backup and a restore of many records, beside `pg_dump` and `pg_restore` of the same database.
async fn dumps(arguments: &Arguments, report: &mut Report, wanted: &WantedDumps) {
    let count: u32 = if arguments.quick { 10_000 } else { 1_000_000 };
    let world = arguments.world().await;
    let site = Site::of(&world);
    let author = world.doctor("ward").await;
    progress(format_args!("writing {count} records"));
    fill(&world, &author.id, 0, count.into()).await;
    let name = world.foundation.database.name().to_owned();
    let bare = site.file("bare.dump");
    let file = format!("--file={bare}");

    let (mut ours, mut theirs, mut newest) = (Vec::new(), Vec::new(), None);
    // A restore needs one of each.
    let rounds = if wanted.backups { ROUNDS } else { 1 };
    for round in 1..=rounds {
        progress(format_args!("backup, round {round} of {rounds}"));
        let (dumps, took) = site.backs_up(&world);
        ours.push(took);
        newest = Some(dumps);
        theirs.push(site.bare(&world, "pg_dump", &name, &["--format=custom", &file]));
    }
    if wanted.backups {
        compares(report, "backed up", count, (ours, theirs));
    }
    if !wanted.restores {
        return;
    }

    world.api.stop().await;
    world.indexer.stop().await;
    let dumps = newest.expect("there was a round");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        progress(format_args!("restore, round {round} of {ROUNDS}"));
        empties(&world, &name).await;
        // What pg_restore does, too: the records of this bench were written by SQL, and open by no key.
        let loads = [
            "--without-ledger",
            "--without-replay",
            "--without-deep-check",
        ];
        ours.push(site.restores(&world, &dumps, &loads));
        empties(&world, "bare").await;
        theirs.push(site.bare(
            &world,
            "pg_restore",
            "bare",
            &["--single-transaction", &bare],
        ));
        empties(&world, "bare").await;
    }
    compares(report, "restored", count, (ours, theirs));
}

/// The one in the middle of each, as so many records a second.
fn compares(
    report: &mut Report,
    what: &str,
    count: u32,
    (ours, theirs): (Vec<Duration>, Vec<Duration>),
) {
    let rate = |mut took: Vec<Duration>| {
        took.sort_unstable();
        Figure::PerSecond(f64::from(count) / took[took.len() / 2].as_secs_f64())
    };
    report.beside(
        format!("records {what}, of {count}, beside PostgreSQL's own program"),
        rate(ours),
        rate(theirs),
        Bar::PartAtLeast(0.9),
    );
}
