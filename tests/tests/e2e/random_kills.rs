//! Programs are killed or stand still at random moments, and blocks are undone, for as long as one wants, while patients write. The
//! longer sibling of `durability`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use dev::process::Signal;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tests::{Chance, Person, Program, World, documents, eventually, id, text};
use tokio::task::JoinHandle;

use crate::durability::none_is_lost;
use crate::indexer::events_equal_the_chain;

const CREATE: &str = "mutation Create($input: CreateMedicalRecordInput!) {
  createMedicalRecord(input: $input) { record { id dataHash } }
}";
/// How long it lasts where `MEDITRUSTAL_TEST_SECONDS` says nothing else.
const TEN_MINUTES: Duration = Duration::from_mins(10);
/// How many patients write, each of them one record after the other.
const PATIENTS: usize = 4;
/// How long a patient rests between two records, and after one that was not acknowledged.
const REST: Duration = Duration::from_millis(200);
/// How long everything runs at most until something is killed again.
const PEACE: Duration = Duration::from_secs(3);
/// How long anything is away at most before it is started again: longer than a leader's lease lasts.
const AWAY: Duration = Duration::from_secs(6);
/// How often the patients log in: an access token lasts 10 minutes.
const LOG_IN_EVERY: Duration = Duration::from_mins(4);
/// How long the chain may take to confirm all that was stored.
const CONFIRMED_WITHIN: Duration = Duration::from_mins(5);
/// How many blocks are undone at most: no more than half of those that are on top of a final one. Unit: blocks.
const UNDONE: u64 = 32;
/// How many records are read at once in the end.
const READ_AT_ONCE: usize = 8;

/// What can happen. The node writes its state down each 15 seconds: killed, it forgets blocks that were final, which no
/// chain does (`chain_loss`). So it stands still, or ends as it is asked to and is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Api,
    Indexer,
    OtherIndexer,
    LeaderStandsStill,
    Postgres,
    PostgresStandsStill,
    NodeStandsStill,
    NodeEnds,
    /// The newest blocks are undone: those that the node has made since it was started, of what was before it has no state.
    Blocks,
}

const VICTIMS: [Victim; 9] = [
    Victim::Api,
    Victim::Indexer,
    Victim::OtherIndexer,
    Victim::LeaderStandsStill,
    Victim::Postgres,
    Victim::PostgresStandsStill,
    Victim::NodeStandsStill,
    Victim::NodeEnds,
    Victim::Blocks,
];

/// Each acknowledged record with its hash, by the key it was stored under.
type Acknowledged = Arc<Mutex<BTreeMap<String, (String, String)>>>;

/// Somebody who stores records until it is over, each under a key of its own: what is not acknowledged is sent again until
/// it is.
struct Patient {
    person: Arc<Mutex<Person>>,
    writing: JoinHandle<()>,
}

impl Patient {
    fn of(person: &Person, acknowledged: &Acknowledged, is_over: &Arc<AtomicBool>) -> Self {
        let shared = Arc::new(Mutex::new(person.clone()));
        let writes = writes(
            Arc::clone(&shared),
            Arc::clone(acknowledged),
            Arc::clone(is_over),
        );
        Self {
            person: shared,
            writing: tokio::spawn(writes),
        }
    }

    fn person(&self) -> Person {
        self.person.lock().expect("no panic").clone()
    }

    async fn logs_in_again(&self, world: &World) {
        let again = world.logs_in(&self.person()).await;
        *self.person.lock().expect("no panic") = again;
    }
}

async fn writes(person: Arc<Mutex<Person>>, acknowledged: Acknowledged, is_over: Arc<AtomicBool>) {
    let document: Value = serde_json::from_str(&documents::vital_signs()).expect("JSON");
    let mut nth = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        nth += 1;
        let patient = person.lock().expect("no panic").clone();
        let key = format!("{} {nth}", patient.username);
        let input = json!({
            "patientId": patient.id, "recordType": "VITAL_SIGNS", "idempotencyKey": key, "document": document,
        });
        let record = stores(&person, &json!({ "input": input })).await;
        let told = (id(&record), text(&record["dataHash"]));
        acknowledged.lock().expect("no panic").insert(key, told);
        tokio::time::sleep(REST).await;
    }
}

/// Stores a record, however often it takes; answers it.
async fn stores(person: &Mutex<Person>, variables: &Value) -> Value {
    loop {
        let patient = person.lock().expect("no panic").clone();
        match patient.tries(CREATE, variables.clone()).await {
            Ok(answer) if answer.code().is_none() => {
                return answer.data()["createMedicalRecord"]["record"].clone();
            }
            Ok(_) | Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

/// What is killed, and brought back.
struct Killer {
    other_indexer: Program,
    world: World,
    chance: Chance,
    /// The newest block when the node was started last.
    node_began_at: u64,
}

impl Killer {
    /// Between one and three of them; no block is undone by a node that is away.
    fn victims(&mut self) -> Vec<Victim> {
        let count = 1 + self.chance.below(3);
        let mut victims = Vec::new();
        for _ in 0..count {
            let victim = *self.chance.one_of(&VICTIMS);
            if !victims.contains(&victim) {
                victims.push(victim);
            }
        }
        let is_away = |it: &Victim| matches!(it, Victim::NodeStandsStill | Victim::NodeEnds);
        if victims.iter().any(is_away) {
            victims.retain(|it| *it != Victim::Blocks);
        }
        victims
    }

    /// The indexer that leads, or the other one where neither says so.
    async fn leader(&self) -> &Program {
        let said = self.world.indexer.says("/health/ready").await;
        if said["role"] == "leader" {
            &self.world.indexer
        } else {
            &self.other_indexer
        }
    }

    async fn undoes_blocks(&mut self) {
        let made = self.world.block_number().await - self.node_began_at;
        if made > 0 {
            let depth = 1 + self.chance.below(made.min(UNDONE));
            self.world.reorg(depth).await;
        }
    }

    async fn kills(&mut self, victim: Victim) {
        let node = self.world.foundation.node.as_ref().expect("ours");
        match victim {
            Victim::Api => self.world.api.kill().await,
            Victim::Indexer => self.world.indexer.kill().await,
            Victim::OtherIndexer => self.other_indexer.kill().await,
            Victim::LeaderStandsStill => self.leader().await.pause(),
            Victim::Postgres => {
                let cluster = self.world.foundation.database.cluster().expect("ours");
                cluster.server().signal(Signal::KILL);
            }
            Victim::PostgresStandsStill => {
                let cluster = self.world.foundation.database.cluster();
                cluster.expect("ours").pause();
            }
            Victim::Blocks => self.undoes_blocks().await,
            Victim::NodeStandsStill => node.process().signal(Signal::STOP),
            Victim::NodeEnds => {
                // One that stands still hears nothing.
                node.process().signal(Signal::CONT);
                node.stop().await;
            }
        }
    }

    /// What the programs stand on comes first: they are waited for until they are ready.
    async fn brings_back(&mut self, victims: &[Victim]) {
        let is_gone = |victim| victims.contains(&victim);
        for indexer in [&self.world.indexer, &self.other_indexer] {
            indexer.resume();
        }
        let foundation = &mut self.world.foundation;
        // Who stands still does not end, either.
        foundation.database.cluster().expect("ours").resume();
        let node = foundation.node.as_mut().expect("ours");
        if is_gone(Victim::NodeStandsStill) {
            node.process().signal(Signal::CONT);
        }
        if is_gone(Victim::NodeEnds) {
            node.restart().await.expect("the node is back");
            self.node_began_at = self.world.block_number().await;
        }
        let foundation = &mut self.world.foundation;
        if is_gone(Victim::Postgres) {
            let cluster = foundation.database.cluster_mut().expect("ours");
            tokio::task::block_in_place(|| cluster.restart()).expect("the database is back");
        }
        if is_gone(Victim::Indexer) {
            self.world.indexer.restart().await;
        }
        if is_gone(Victim::OtherIndexer) {
            self.other_indexer.restart().await;
        }
        if is_gone(Victim::Api) {
            self.world.api.restart().await;
        }
        for program in [&self.world.indexer, &self.other_indexer, &self.world.api] {
            program.ready().await;
        }
    }
}

/// A number in the environment.
fn said(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seed() -> u64 {
    said("MEDITRUSTAL_TEST_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(0, |since| u64::from(since.subsec_nanos()))
    })
}

/// Kills until the time is over; answers how often.
async fn kills_for(killer: &mut Killer, span: Duration, patients: &[Patient]) -> usize {
    let began = Instant::now();
    let (mut logged_in, mut count) = (Instant::now(), 0);
    while began.elapsed() < span {
        if logged_in.elapsed() > LOG_IN_EVERY {
            for patient in patients {
                patient.logs_in_again(&killer.world).await;
            }
            logged_in = Instant::now();
        }
        tokio::time::sleep(killer.chance.shorter_than(PEACE)).await;
        let victims = killer.victims();
        // Seen only where something fails afterwards.
        eprintln!("{:?}: {victims:?}", began.elapsed());
        for victim in &victims {
            killer.kills(*victim).await;
            count += 1;
        }
        tokio::time::sleep(killer.chance.shorter_than(AWAY)).await;
        killer.brings_back(&victims).await;
    }
    count
}

/// Waits until every record is in a block, for longer than a test is patient otherwise.
async fn all_is_confirmed(world: &World) {
    let deadline = Instant::now() + CONFIRMED_WITHIN;
    let open = "SELECT 1 FROM record_anchors WHERE state NOT IN ('CONFIRMED', 'FINALIZED')";
    while !world.sql(open).await.is_empty() {
        assert!(Instant::now() < deadline, "anchors are left open");
        tokio::time::sleep(REST).await;
    }
}

/// What was acknowledged is there once with its hash, nothing else is, and nothing was found that is not there.
async fn holds_the_ledger(world: &World, told: &BTreeMap<String, (String, String)>) {
    all_is_confirmed(world).await;
    let acknowledged: BTreeSet<String> = told.values().map(|(record, _)| record.clone()).collect();
    assert_eq!(
        acknowledged.len(),
        told.len(),
        "each key has its own record"
    );
    let stored = none_is_lost(world, &acknowledged).await;
    // Each key was sent until it was acknowledged: a record besides would be one that was stored twice.
    assert_eq!(stored, acknowledged, "nothing is doubled");
    let rows = world.sql("SELECT id, data_hash FROM medical_records").await;
    let hashes: BTreeMap<String, String> = rows
        .iter()
        .map(|row| (id(row), text(&row["data_hash"])))
        .collect();
    assert_eq!(hashes, told.values().cloned().collect());
    let creates = world.audit_rows("action_type = 'RECORD_CREATE'").await;
    assert_eq!(creates.len(), stored.len(), "each written down once");
    events_equal_the_chain(world).await;
    // That an anchor waits is true while it does.
    let found = "SELECT kind, record_id, details FROM integrity_findings
                 WHERE kind <> 'ANCHOR_STUCK' OR resolved_at IS NULL";
    eventually("nothing is found that is not so", async || {
        world.sql(found).await.is_empty().then_some(())
    })
    .await;
}

/// Each record is opened by its patient, and is what the chain says.
async fn all_is_readable(
    people: &BTreeMap<String, Person>,
    told: BTreeMap<String, (String, String)>,
) {
    stream::iter(told)
        .map(|(key, (record, _))| async move {
            let (username, _) = key.split_once(' ').expect("keys begin with a name");
            let person = &people[username];
            let opened = person.reads(&record).await;
            let document = &opened.data()["medicalRecord"]["document"];
            assert_eq!(document["id"], record.as_str(), "{key}");
            let verified = person.verifies(&record).await;
            let verdict = &verified.data()["verifyRecord"]["verdict"];
            assert_eq!(verdict, "VERIFIED", "{key}: {record}");
        })
        .buffer_unordered(READ_AT_ONCE)
        .collect::<()>()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes: CONTRIBUTING.md, write a test"]
async fn ten_minutes_of_random_kills() {
    let span = said("MEDITRUSTAL_TEST_SECONDS").map_or(TEN_MINUTES, Duration::from_secs);
    let seed = seed();
    eprintln!("MEDITRUSTAL_TEST_SEED={seed}");
    let world = World::with_its_own_postgres_and(|options| options.slots_in_an_epoch = 32).await;
    let other_indexer = world.second_indexer().await;
    let (acknowledged, is_over) = (Acknowledged::default(), Arc::<AtomicBool>::default());
    let mut patients = Vec::new();
    for nth in 1..=PATIENTS {
        let person = world.patient(&format!("patient.{nth}")).await;
        patients.push(Patient::of(&person, &acknowledged, &is_over));
    }
    let mut killer = Killer {
        other_indexer,
        node_began_at: world.block_number().await,
        world,
        chance: Chance::of(seed),
    };

    let count = kills_for(&mut killer, span, &patients).await;

    is_over.store(true, Ordering::Relaxed);
    let mut people = BTreeMap::new();
    for patient in patients {
        patient.logs_in_again(&killer.world).await;
        let person = patient.person();
        patient.writing.await.expect("no panic");
        people.insert(person.username.clone(), person);
    }
    let told = std::mem::take(&mut *acknowledged.lock().expect("no panic"));
    eprintln!("{count} kills, {} records acknowledged", told.len());
    assert!(!told.is_empty(), "something was stored");
    holds_the_ledger(&killer.world, &told).await;
    all_is_readable(&people, told).await;
}
