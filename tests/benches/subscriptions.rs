//! 10,000 open subscriptions of 1,000 accounts on one api: what they take of its memory, what an event costs that
//! concerns one of the accounts, how soon all are told of what concerns all, and what it costs when each comes back to 1,000
//! events.
//!
//! Each stream is an event stream with a connection of its own, which takes most. The limits of connections and
//! sockets are set as an operator would set them who expects as many from one proxy. What the api asks PostgreSQL is
//! heard on the line between the two, so that everything passes the benchmark itself as well.

mod following {
    pub(crate) mod accounts;
    pub(crate) mod audience;
}

use std::time::{Duration, Instant};

use following::accounts::{Accounts, make};
use following::audience::{Audience, count};
use tests::bench::{Arguments, Bar, Costs, Figure, Report, analyze, progress};
use tests::{Wiretap, World};

/// How many streams an account has.
const STREAMS_EACH: usize = 10;
/// How many events an account comes back to.
const REPLAYED: u64 = 1_000;
/// How many entries of the log are read at a time (`api/src/feed.rs`).
const PAGE: u64 = 500;
/// How often everybody is told something.
const ROUNDS: usize = 5;
/// Connections of the benchmark and of the api, and what else each has open.
const OPEN_FILES: u64 = 16_000;
/// What one api may hold in memory with all of them open. Unit: million bytes.
const MEMORY: f64 = 300.0;
/// Within how many milliseconds 99 of 100 streams are told.
const SOON: f64 = 1_000.0;
/// How many streams are opened at a time.
const TOGETHER: usize = 100;

/// What an operator sets for so many streams from one address. The deep check would be counted among the statements.
const SETTINGS: [(&str, &str); 5] = [
    ("MEDITRUSTAL_CONNECTIONS", "15000"),
    ("MEDITRUSTAL_CONNECTIONS_OF_ADDRESS", "15000"),
    ("MEDITRUSTAL_SOCKETS_OF_ADDRESS", "15000"),
    // Those of before may not be closed yet when an account comes back.
    ("MEDITRUSTAL_SOCKETS_OF_ACCOUNT", "20"),
    ("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "0"),
];

#[tokio::main]
async fn main() {
    let allowed = dev::process::allow_open_files(OPEN_FILES);
    allowed.unwrap_or_else(|error| panic!("{error}"));
    let arguments = Arguments::read();
    let mut world = arguments.world().await;
    let url = world.foundation.url_of("meditrustal_api");
    let tap = Wiretap::before(&url.expect("there is such a role")).await;
    let settings = [&SETTINGS[..], &[("DATABASE_URL", tap.url())]].concat();
    let api = world.another_api("followed", &settings).await;
    world.api = api;
    let accounts = arguments.many(1_000);
    progress(format_args!(
        "making {accounts} patients and as many doctors"
    ));
    let (patients, doctors) = make(&world, accounts).await;
    let mut bench = Bench {
        world,
        tap,
        report: Report::new(),
    };
    let (now, _) = bench.world.api.memory();
    let what = "resident memory of the api, with no stream";
    bench.report.figure(what, Figure::Megabytes(now), Bar::None);

    bench.patients(&patients, arguments.many(500)).await;
    bench.doctors(&doctors, &patients).await;
    bench.replays(&patients).await;
    bench.report.print("subscriptions");
}

struct Bench {
    world: World,
    tap: Wiretap,
    report: Report,
}

/// What events cost that were told one after the other.
struct EventCosts {
    statements: u64,
    costs: Costs,
    events: u64,
}

impl Bench {
    /// Patients follow their own records.
    async fn patients(&mut self, patients: &Accounts, events: u64) {
        let tokens = patients.tokens();
        let mut audience = Audience::empty();
        let of_one = patients.first();
        progress("events of one patient, whose streams are the only ones");
        self.opens(&mut audience, &tokens[..1]).await;
        self.tells_each(&mut audience, 1).await;
        let alone = self.costs_of(&mut audience, &of_one, events).await;
        progress(format_args!(
            "opening the streams of {} patients",
            tokens.len()
        ));
        self.opens(&mut audience, &tokens[1..]).await;
        // A stream has read the log to its end once it tells of something new.
        self.tells_each(&mut audience, tokens.len()).await;
        self.memory("patients", tokens.len());
        progress("events of one patient among all streams");
        let among_all = self.costs_of(&mut audience, &of_one, events).await;
        self.compares(&among_all, &alone);

        progress("an event of each patient, in one transaction");
        let mut waits = Vec::new();
        for _ in 0..ROUNDS {
            waits.extend(self.tells_each(&mut audience, tokens.len()).await);
        }
        let wanted = count(ROUNDS * tokens.len() * STREAMS_EACH);
        self.soon("an event of each patient", waits, wanted);
        self.failures("patients", &audience);
    }

    /// Doctors follow the records of everybody who lets them: one event is for all of them.
    async fn doctors(&mut self, doctors: &Accounts, patients: &Accounts) {
        let tokens = doctors.tokens();
        let mut audience = Audience::empty();
        progress(format_args!(
            "opening the streams of {} doctors",
            tokens.len()
        ));
        self.opens(&mut audience, &tokens).await;
        let streams = count(tokens.len() * STREAMS_EACH);
        let of_one = patients.first();
        self.tells(&mut audience, &of_one, streams).await;
        self.memory("doctors", tokens.len());
        progress("an event that each doctor may see");
        let mut waits = Vec::new();
        for _ in 0..ROUNDS {
            waits.extend(self.tells(&mut audience, &of_one, streams).await);
        }
        let wanted = count(ROUNDS) * streams;
        self.soon("an event for all doctors", waits, wanted);
        self.failures("doctors", &audience);
    }

    /// Each patient comes back to everything that has happened, all at once.
    async fn replays(&mut self, patients: &Accounts) {
        progress(format_args!("writing {REPLAYED} events of each patient"));
        self.fills(patients).await;
        let query = format!(
            "SELECT sum(events)::bigint AS events, sum(ceil(events::numeric / {PAGE}) + 1)::bigint AS pages
             FROM (
                 SELECT count(*) AS events FROM integrity_feed
                 JOIN users ON users.id = patient_id WHERE username LIKE 'follower.%' GROUP BY patient_id
             ) AS of_each"
        );
        let counted = self.world.sql(&query).await.remove(0);
        let number = |name: &str| counted[name].as_u64().unwrap_or_default();
        let (events, pages) = (number("events"), number("pages"));
        let tokens = patients.tokens();
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        progress(format_args!("{} patients come back", tokens.len()));
        drop(self.tap.takes());
        let mut audience = Audience::empty();
        let (costs, began) = (Costs::begin(&self.world), Instant::now());
        audience.joins(&self.world, &tokens, Some("earliest")).await;
        let waits = audience.hears(events, began).await;
        let costs = costs.end(&self.world);
        let asked = self.tap.takes_asked();

        let is_page = |text: &&String| text.contains("feed.patient_id = $3");
        let read = count(asked.iter().filter(is_page).count());
        let took = waits.last().copied().unwrap_or_default();
        self.report.beside(
            format!(
                "{} replays: statements that read the log, and its pages",
                tokens.len()
            ),
            Figure::Count(read),
            Figure::Count(pages),
            Bar::PartAtMost(1.0),
        );
        self.report.figure(
            "replays: statements in all",
            Figure::Count(count(asked.len())),
            Bar::None,
        );
        let rate = rate(count(waits.len()), took);
        self.report
            .figure("replays: events told", Figure::PerSecond(rate), Bar::None);
        self.report.figure(
            "replays: until the last is told everything",
            Figure::of(took),
            Bar::None,
        );
        self.missed("replays", events, count(waits.len()));
        self.failures("replays", &audience);
        let (now, most) = self.world.api.memory();
        self.report.figure(
            "resident memory of the api, after the replays",
            Figure::Megabytes(now),
            Bar::None,
        );
        self.report.figure(
            "resident memory of the api, at most",
            Figure::Megabytes(most),
            Bar::None,
        );
        self.report
            .note(format!("replays, an event: {}", costs.each(events)));
    }

    /// Opens the streams of these accounts.
    async fn opens(&self, audience: &mut Audience, tokens: &[String]) {
        let streams: Vec<&str> = tokens
            .iter()
            .flat_map(|token| [token.as_str(); STREAMS_EACH])
            .collect();
        for some in streams.chunks(TOGETHER) {
            audience.joins(&self.world, some, None).await;
            // Nobody counts what was asked meanwhile.
            drop(self.tap.takes());
        }
    }

    /// Something happens to a record of this patient; how long each of so many streams waits to be told.
    async fn tells(&self, audience: &mut Audience, patient: &str, streams: u64) -> Vec<Duration> {
        let began = Instant::now();
        self.happens(&format!("SELECT id FROM users WHERE id = '{patient}'"))
            .await;
        audience.hears(streams, began).await
    }

    /// Something happens to a record of each patient, in one transaction, of whom so many are there.
    async fn tells_each(&self, audience: &mut Audience, there: usize) -> Vec<Duration> {
        let began = Instant::now();
        self.happens("SELECT id FROM users WHERE username LIKE 'follower.%' ORDER BY id")
            .await;
        audience.hears(count(there * STREAMS_EACH), began).await
    }

    /// An entry of the log for each of these patients.
    async fn happens(&self, patients: &str) {
        self.world
            .executes(&format!(
                "INSERT INTO integrity_feed (kind, patient_id, record_id, record_type)
                 SELECT 'ANCHOR_PENDING', patient.id, gen_random_uuid(), 'VITAL_SIGNS' FROM ({patients}) AS patient;
                 SELECT pg_notify(notice_channel('integrity_feed'), '')"
            ))
            .await;
    }

    /// What it costs to tell one patient's streams of so many events, one after the other.
    async fn costs_of(&self, audience: &mut Audience, patient: &str, events: u64) -> EventCosts {
        drop(self.tap.takes());
        let costs = Costs::begin(&self.world);
        for _ in 0..events {
            self.tells(audience, patient, count(STREAMS_EACH)).await;
        }
        EventCosts {
            costs: costs.end(&self.world),
            statements: count(self.tap.takes_asked().len()),
            events,
        }
    }

    /// An event costs what its own streams cost, and not what others do.
    fn compares(&mut self, among_all: &EventCosts, alone: &EventCosts) {
        self.report.beside(
            format!(
                "statements for {} events of one patient, among all streams and alone",
                alone.events
            ),
            Figure::Count(among_all.statements),
            Figure::Count(alone.statements),
            Bar::PartAtMost(1.2),
        );
        let each = |of: &EventCosts| Figure::of(of.each());
        self.report.beside(
            "processor time of the api for such an event, among all streams and alone",
            each(among_all),
            each(alone),
            Bar::PartAtMost(2.0),
        );
        for (what, of) in [("among all streams", among_all), ("alone", alone)] {
            let costs = of.costs.each(of.events);
            self.report.note(format!("an event, {what}: {costs}"));
        }
    }

    /// Writes the events that everybody comes back to; waits until the api has passed the last of them on.
    async fn fills(&self, patients: &Accounts) {
        let token = patients.tokens().swap_remove(0);
        let mut audience = Audience::empty();
        audience.joins(&self.world, &[token.as_str()], None).await;
        let began = Instant::now();
        self.happens(&format!(
            "SELECT id FROM users, generate_series(1, {REPLAYED}) AS nth
             WHERE username LIKE 'follower.%' ORDER BY nth, id"
        ))
        .await;
        audience.hears(REPLAYED, began).await;
        analyze(&self.world).await;
    }

    fn memory(&mut self, of: &str, accounts: usize) {
        let (now, _) = self.world.api.memory();
        let streams = accounts * STREAMS_EACH;
        self.report.figure(
            format!("resident memory of the api, {streams} streams of {accounts} {of}"),
            Figure::Megabytes(now),
            Bar::AtMost(MEMORY),
        );
    }

    fn soon(&mut self, what: &str, mut waits: Vec<Duration>, wanted: u64) {
        waits.sort_unstable();
        for (percent, bar) in [(50, Bar::None), (99, Bar::AtMost(SOON)), (100, Bar::None)] {
            let rank = (waits.len() * percent).div_ceil(100).max(1);
            let wait = waits.get(rank - 1).copied().unwrap_or_default();
            self.report
                .figure(format!("{what}: told, p{percent}"), Figure::of(wait), bar);
        }
        self.missed(what, wanted, count(waits.len()));
    }

    fn missed(&mut self, what: &str, wanted: u64, told: u64) {
        let missed = Figure::Count(wanted.abs_diff(told));
        let what = format!("{what}: told too seldom or too often");
        self.report.figure(what, missed, Bar::AtMost(0.0));
    }

    fn failures(&mut self, of: &str, audience: &Audience) {
        let failed = Figure::Count(audience.failed);
        let what = format!("{of}: streams refused or ended");
        self.report.figure(what, failed, Bar::AtMost(0.0));
    }
}

impl EventCosts {
    /// Processor time of the api for one of the events.
    fn each(&self) -> Duration {
        let events = u32::try_from(self.events.max(1)).unwrap_or(u32::MAX);
        Duration::from_secs_f64(self.costs.of_api().max(0.0)) / events
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody counts to 2^52 in a benchmark"
)]
fn rate(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64().max(f64::EPSILON)
}
