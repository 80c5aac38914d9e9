//! Two apis behind a balancer, and people who store and read through it: while programs are replaced and the schema is moved.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};
use tokio::task::JoinHandle;

use crate::{Person, Program, World, documents, eventually, id};

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
pub struct Balancer(Arc<Vec<(String, AtomicBool)>>);

impl Balancer {
    /// Before two apis; the task that asks them goes on until it is aborted.
    pub fn before(apis: [&Program; 2]) -> (Self, JoinHandle<()>) {
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
pub struct Seen {
    /// The records that were acknowledged, and read afterwards.
    pub stored: Vec<String>,
    /// How many of them by which api.
    pub answered_by: [usize; 2],
    /// What failed, and why.
    pub failed: Vec<String>,
}

/// People who store and read without a pause, until told that it is over.
#[derive(Debug)]
pub struct RollingLoad {
    seen: Arc<Mutex<Seen>>,
    is_over: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl RollingLoad {
    /// One person, by each of the two apis.
    pub fn of(ana: &[Person; 2], balancer: &Balancer) -> Self {
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
    pub async fn goes_on(&self, apis: &[usize]) {
        let answered = || self.seen.lock().expect("no panic").answered_by;
        let before = answered();
        eventually("requests are answered", async || {
            let now = answered();
            let more = apis.iter().all(|&api| now[api] >= before[api] + 5);
            more.then_some(())
        })
        .await;
    }

    /// Ends it; answers what it has seen.
    pub async fn ends(self) -> Seen {
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

/// Applies a migration of the next version, as often as it takes to get its lock.
pub async fn migrates_to_the_next_version(world: &World) {
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
}
