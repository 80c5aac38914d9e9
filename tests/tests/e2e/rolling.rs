//! Programs are replaced one by one, and the schema is moved, while people work: no request fails.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqlSafeStr};
use tests::{Person, Program, World, documents, eventually, id, text};
use tokio::task::JoinHandle;

const CREATE: &str = "mutation Create($input: CreateMedicalRecordInput!) {
  createMedicalRecord(input: $input) { record { id } }
}";
const READ: &str = "query Read($id: UUID!) { medicalRecord(id: $id) { id document } }";
/// How often the balancer asks whether an api is ready, as a proxy does each second or so.
const PROBE: Duration = Duration::from_millis(50);
/// A migration of the next version: it changes a table that is in use, and refers to it.
const NEXT: &str = "
    ALTER TABLE medical_records ADD COLUMN next_version_only TEXT;
    CREATE TABLE next_version_only (id UUID PRIMARY KEY, record_id UUID REFERENCES medical_records (id));
";

/// Which apis are ready, by their addresses, as a balancer in front of them knows it.
#[derive(Debug, Clone)]
struct Balancer(Arc<Vec<(String, AtomicBool)>>);

impl Balancer {
    fn before(apis: [&Program; 2]) -> (Self, JoinHandle<()>) {
        let known = apis.map(|api| (api.url(), AtomicBool::new(true)));
        let balancer = Self(Arc::new(known.into()));
        let asks = balancer.clone();
        let probe = tokio::spawn(async move {
            loop {
                for (url, is_ready) in asks.0.iter() {
                    let answer = dev::http::get(format!("{url}/health/ready")).await;
                    let now = answer.is_ok_and(|it| it.status().is_success());
                    is_ready.store(now, Ordering::Relaxed);
                }
                tokio::time::sleep(PROBE).await;
            }
        });
        (balancer, probe)
    }

    fn is_ready(&self, which: usize) -> bool {
        self.0[which].1.load(Ordering::Relaxed)
    }

    /// One that is ready, another one each time where there are several.
    fn next(&self, turn: usize) -> usize {
        let is_ready = |which: &usize| self.is_ready(*which);
        let order = [turn % 2, (turn + 1) % 2];
        order.into_iter().find(is_ready).unwrap_or(order[0])
    }
}

/// What the load has seen.
#[derive(Debug, Default)]
struct Seen {
    stored: Vec<String>,
    answered_by: [usize; 2],
    failed: Vec<String>,
}

/// People who store and read without a pause, until told that it is over.
struct Load {
    seen: Arc<Mutex<Seen>>,
    is_over: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    fn of(ana: &[Person; 2], balancer: &Balancer) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let workers = (0..4)
            .map(|worker| {
                let (ana, balancer) = (ana.clone(), balancer.clone());
                let (seen, is_over) = (Arc::clone(&seen), Arc::clone(&is_over));
                tokio::spawn(async move {
                    let mut turn = worker;
                    while !is_over.load(Ordering::Relaxed) {
                        turn += 1;
                        let which = balancer.next(turn);
                        let done = stores_and_reads(&ana[which]).await;
                        let mut seen = seen.lock().expect("no panic");
                        match done {
                            Ok(record) => {
                                seen.stored.push(record);
                                seen.answered_by[which] += 1;
                            }
                            Err(why) => seen.failed.push(format!("api {which}: {why}")),
                        }
                    }
                })
            })
            .collect();
        Self {
            seen,
            is_over,
            workers,
        }
    }

    /// Waits until each of the apis that serve has answered some more.
    async fn goes_on(&self, apis: &[usize]) {
        let answered = || self.seen.lock().expect("no panic").answered_by;
        let before = answered();
        eventually("requests are answered", async || {
            let now = answered();
            let more = apis.iter().all(|&api| now[api] >= before[api] + 5);
            more.then_some(())
        })
        .await;
    }

    async fn ends(self) -> Seen {
        self.is_over.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.expect("no panic");
        }
        std::mem::take(&mut *self.seen.lock().expect("no panic"))
    }
}

async fn stores_and_reads(ana: &Person) -> Result<String, String> {
    let document: Value = serde_json::from_str(&documents::vital_signs()).expect("JSON");
    let input = json!({ "patientId": ana.id, "recordType": "VITAL_SIGNS", "document": document });
    let stored = answer(ana, CREATE, json!({ "input": input })).await?;
    let record = id(&stored["createMedicalRecord"]["record"]);
    let read = answer(ana, READ, json!({ "id": record })).await?;
    assert_eq!(read["medicalRecord"]["id"], record.as_str());
    assert!(read["medicalRecord"]["document"].is_object(), "{read}");
    Ok(record)
}

async fn answer(ana: &Person, document: &str, variables: Value) -> Result<Value, String> {
    let answer = ana.tries(document, variables).await;
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.code() {
        None => Ok(answer.data().clone()),
        Some(code) => Err(code.to_owned()),
    }
}

/// Nothing failed, and everything that was confirmed is there.
async fn all_is_well(world: &World, seen: &Seen) {
    assert_eq!(seen.failed, Vec::<String>::new());
    let kept = world.sql("SELECT id FROM medical_records").await;
    let kept: BTreeSet<String> = kept.iter().map(id).collect();
    let lost: Vec<_> = seen
        .stored
        .iter()
        .filter(|it| !kept.contains(*it))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apis_are_started_again_one_by_one_under_load_and_no_request_fails() {
    let mut world = World::with(|options| {
        let drain = ("MEDITRUSTAL_DRAIN".to_owned(), "1".to_owned());
        options.api.push(drain);
    })
    .await;
    let mut second = world.second_api().await;
    let ana = world.patient("ana").await;
    let people = [ana.clone(), ana.at(&second)];
    let (balancer, probe) = Balancer::before([&world.api, &second]);
    let load = Load::of(&people, &balancer);
    load.goes_on(&[0, 1]).await;

    for _ in 0..2 {
        assert!(world.api.stop().await.success());
        load.goes_on(&[1]).await;
        world.api.restart().await;
        load.goes_on(&[0, 1]).await;
        assert!(second.stop().await.success());
        load.goes_on(&[0]).await;
        second.restart().await;
        load.goes_on(&[0, 1]).await;
    }

    let seen = load.ends().await;
    probe.abort();
    all_is_well(&world, &seen).await;
}

#[tokio::test]
async fn an_api_that_was_told_to_stop_says_so_first_and_ends_each_connection_with_an_answer() {
    let world = World::with(|options| {
        let drain = ("MEDITRUSTAL_DRAIN".to_owned(), "300".to_owned());
        options.api.push(drain);
    })
    .await;
    let live = format!("{}/health/live", world.api.url());
    let closes = async || {
        let answer = dev::http::get(&live).await.expect("it is answered");
        let header = answer.headers().get("connection");
        header.map(|it| it.to_str().expect("a text").to_owned())
    };
    assert_eq!(closes().await, None);
    assert_eq!(world.api.health("/health/serving").await, Some(200));

    world.api.signal(dev::process::Signal::TERM);

    eventually("it is not ready", async || {
        (world.api.health("/health/ready").await == Some(503)).then_some(())
    })
    .await;
    let told = world.api.says("/health/serving").await;
    assert_eq!(
        told["failing"]["process"],
        "told to stop: send no more requests"
    );
    assert_eq!(closes().await.as_deref(), Some("close"));
    // It serves as before.
    let ana = world.patient("ana").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    // Told once more, it does not wait.
    assert!(world.api.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_versions_migration_runs_while_this_version_serves_and_starts_again() {
    let mut world = World::with(|options| {
        let drain = ("MEDITRUSTAL_DRAIN".to_owned(), "1".to_owned());
        options.api.push(drain);
    })
    .await;
    let second = world.second_api().await;
    let ana = world.patient("ana").await;
    let people = [ana.clone(), ana.at(&second)];
    let (balancer, probe) = Balancer::before([&world.api, &second]);
    let load = Load::of(&people, &balancer);
    load.goes_on(&[0, 1]).await;

    let next = Migration::new(
        29_990_101_000_000,
        "next version only".into(),
        MigrationType::Simple,
        AssertSqlSafe(NEXT.to_owned()).into_sql_str(),
        false,
    );
    let mut migrator = Migrator::with_migrations(vec![next]);
    migrator.set_ignore_missing(true);
    eventually("it is applied", async || {
        let mut owner = world.connects_as("meditrustal_migrator").await;
        sqlx::raw_sql("SET lock_timeout = '1s'")
            .execute(&mut owner)
            .await
            .ok()?;
        migrator.run_direct(None, &mut owner, false).await.ok()
    })
    .await;
    load.goes_on(&[0, 1]).await;
    // The program of this version starts on the schema of the next one: what was begun can be taken back.
    assert!(world.api.stop().await.success());
    world.api.restart().await;
    load.goes_on(&[0, 1]).await;

    let seen = load.ends().await;
    probe.abort();
    all_is_well(&world, &seen).await;
    let there = "SELECT to_regclass('next_version_only')::text AS name";
    assert_eq!(
        text(&world.sql(there).await[0]["name"]),
        "next_version_only"
    );
}

#[tokio::test]
async fn a_migration_that_does_not_get_its_lock_lets_others_go_on_and_is_tried_again() {
    let world = World::start().await;
    world.api.kill().await;
    world.indexer.kill().await;
    let owner = world.foundation.url_of("meditrustal_migrator");
    let owner = owner.expect("there is a migrator");
    let migrate = |arguments: Vec<String>| {
        let (programs, owner) = (world.foundation.programs.clone(), owner.clone());
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            programs.operate(&arguments, &[("DATABASE_URL", &owner)], "")
        })
    };
    // Down to before the one that makes an index of the chain's events.
    let later = "SELECT count(*) AS steps FROM _sqlx_migrations WHERE version >= 20261201020000";
    let steps = world.sql(later).await[0]["steps"].to_string();
    let down = [
        "migrate",
        "down",
        "--steps",
        &steps,
        "--no-backup",
        "--yes-lose-data",
    ];
    let down = migrate(down.map(str::to_owned).to_vec()).await;
    down.expect("no panic")
        .unwrap_or_else(|error| panic!("{error}"));
    let mut writer = PgConnection::connect(&world.foundation.database.superuser_url())
        .await
        .expect("it connects");
    sqlx::raw_sql("BEGIN; LOCK TABLE chain_events IN ROW EXCLUSIVE MODE")
        .execute(&mut writer)
        .await
        .expect("it writes");

    let up = migrate(["migrate", "up", "--no-backup"].map(str::to_owned).to_vec());
    eventually("it waits for the writer", async || {
        let waits =
            "SELECT 1 FROM pg_locks WHERE relation = 'chain_events'::regclass AND NOT granted";
        (!world.sql(waits).await.is_empty()).then_some(())
    })
    .await;
    // Whoever writes meanwhile comes behind it in the queue, and gets through.
    world
        .executes("BEGIN; SET LOCAL lock_timeout = '4s'; LOCK TABLE chain_events IN ROW EXCLUSIVE MODE; COMMIT")
        .await;
    eventually("it waits again", async || {
        let waits =
            "SELECT 1 FROM pg_locks WHERE relation = 'chain_events'::regclass AND NOT granted";
        (!world.sql(waits).await.is_empty()).then_some(())
    })
    .await;
    writer.close().await.expect("it ends");

    let up = up.await.expect("no panic");
    let said = up.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(said.trim(), format!("{steps} migration(s) applied"));
}
