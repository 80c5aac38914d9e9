//! Storing records: how many a second are acknowledged with one signer, and that each of them is
//! there once, and is anchored in the end.
//!
//! Its limit is what PostgreSQL alone does with the same bytes: one row for each record, 64 to a
//! transaction, without anything that a record needs besides.
//!
//! `--signers 2` compares two accounts that share the load with one, by turns in one run: an api with both and an api with
//! the first alone, over the same database and chain. In the last part the api reaches the database over a relay that hands on
//! whatever is said `--database-delay-ms` later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dev::process::Signal;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tests::bench::{Arguments, Bar, Costs, Figure, Population, Report, analyze, progress};
use tests::load::{Load, Measured, Reply, Turn, Until};
use tests::{Carriage, Line, World, text};

/// Records to a transaction: what the writer takes at most.
const GROUP: u64 = 64;
/// How long the chain may confirm nothing of what was stored before the wait for it ends.
const CONFIRMS_AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// What was acknowledged: each record's id, with its hash. A second answer for one id would show.
type Acknowledged = Arc<Mutex<Vec<(String, String)>>>;

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    if arguments.two_signers {
        return compare_signers(&arguments).await;
    }
    let world = arguments.world().await;
    let population = Arc::new(Population::open(&world, 4, 100).await);
    let acknowledged = Acknowledged::default();
    let mut report = Report::new();

    progress("warming up");
    let warm = Until::Passed(Duration::from_secs(2));
    let warm = stores(&world, &population, &acknowledged, "warm", 64, warm).await;
    let mut failed = warm.failed();
    analyze(&world).await;
    // Who asks again as soon as they are answered waits as long as all of them take: of 256 clients at the
    // bar's rate, each waits 320 ms, so the bar of the wait is for fewer.
    let loads = [
        (64, Bar::AtMost(250.0)),
        (128, Bar::AtMost(250.0)),
        (256, Bar::None),
    ];
    for (clients, at_most) in loads {
        progress(format_args!("{clients} clients store records"));
        let what = format!("create, {clients} clients");
        let costs = Costs::begin(&world);
        let until = Until::Passed(arguments.time);
        let measured = stores(&world, &population, &acknowledged, &what, clients, until).await;
        let costs = costs.end(&world);
        failed += measured.failed();
        let limit = limit(&world, measured.right).await;
        let rate = Figure::PerSecond(measured.per_second());
        report.beside(&what, rate, Figure::PerSecond(limit), Bar::AtLeast(800.0));
        report.load(&what, &measured, at_most);
        report.costs(&what, &costs, &measured);
    }
    report.memory(&world);

    progress("the node stands still, 64 clients store records");
    let node = world.foundation.node.as_ref().expect("the node is ours");
    node.process().signal(Signal::STOP);
    let until = Until::Passed(Duration::from_secs(3));
    let without = stores(&world, &population, &acknowledged, "no node", 64, until).await;
    node.process().signal(Signal::CONT);
    failed += without.failed();
    let what = "create while no block is made, 64 clients";
    let rate = Figure::PerSecond(without.per_second());
    report.figure(what, rate, Bar::AtLeast(1.0));
    report.load(what, &without, Bar::AtMost(250.0));

    account_for(&world, &acknowledged, failed, &mut report).await;
    report.print("create");
}

/// How often each of the two is measured, by turns: what else the machine does meets both.
const TURNS: usize = 3;
/// How many times as many records two accounts store as one, where nothing but the lock on an account's row is the limit.
const TWO_OF_ONE: f64 = 1.6;

/// How many statements are asked over the relay to say how long one takes.
const ROUND_TRIPS: u32 = 200;

/// Under which conditions two accounts that sign are compared with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SigningConditions {
    /// The node works, which takes part of the processors for each transaction.
    NodeWorks,
    /// The node stands still.
    NodeStandsStill,
    /// The node stands still, and the database is far away: a batch waits for its answers, and takes no processor meanwhile.
    DatabaseIsFar,
}

/// Two accounts that sign beside one, measured by turns.
struct SignerComparison {
    world: World,
    population: Arc<Population>,
    acknowledged: Acknowledged,
    report: Report,
    failed: u64,
    /// How long each measurement takes.
    time: Duration,
    /// The database as it is reached where it is far away.
    far: String,
    /// How far.
    delay: Duration,
}

async fn compare_signers(arguments: &Arguments) {
    let world = arguments
        .world_with(|options| options.two_signers = true)
        .await;
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.unwrap_or_else(|error| panic!("{error}"));
    let line = Line::before(&url).await;
    line.becomes(Carriage::Slow(arguments.database_delay));
    let mut comparison = SignerComparison {
        population: Arc::new(Population::open(&world, 4, 100).await),
        acknowledged: Acknowledged::default(),
        report: Report::new(),
        failed: 0,
        time: arguments.time,
        far: line.over(&url),
        delay: arguments.database_delay,
        world,
    };

    comparison.warms_up().await;
    comparison.compares(SigningConditions::NodeWorks).await;
    comparison
        .compares(SigningConditions::NodeStandsStill)
        .await;
    let near = round_trip(&url).await;
    let far = round_trip(&comparison.far).await;
    comparison.report.beside(
        "a statement where the database is far away, beside where it is not",
        Figure::of(far),
        Figure::of(near),
        Bar::None,
    );
    comparison.compares(SigningConditions::DatabaseIsFar).await;

    // What is left to be anchored need not wait.
    line.becomes(Carriage::Open);
    let SignerComparison {
        world,
        acknowledged,
        mut report,
        failed,
        ..
    } = comparison;
    account_for(&world, &acknowledged, failed, &mut report).await;
    report.print("create, two accounts that sign beside one");
}

impl SignerComparison {
    async fn warms_up(&mut self) {
        progress("warming up");
        let (population, kept) = (&self.population, &self.acknowledged);
        let warm = Until::Passed(Duration::from_secs(2));
        let warm = stores(&self.world, population, kept, "warm", 64, warm).await;
        self.failed += warm.failed();
        analyze(&self.world).await;
    }

    /// Compares under these conditions, and reports it.
    async fn compares(&mut self, conditions: SigningConditions) {
        let mut rates = [Vec::new(), Vec::new()];
        for turn in 0..TURNS {
            for signers in [1, 2] {
                let rate = self.stores_with(signers, conditions, turn).await;
                rates[signers - 1].push(rate);
            }
        }
        let [one, two] = rates.map(median);
        let bar = match conditions {
            SigningConditions::NodeWorks => Bar::None,
            SigningConditions::NodeStandsStill | SigningConditions::DatabaseIsFar => {
                Bar::PartAtLeast(TWO_OF_ONE)
            }
        };
        let what = self.told(2, conditions);
        self.report.beside(
            format!("{what}, beside one"),
            Figure::PerSecond(two),
            Figure::PerSecond(one),
            bar,
        );
    }

    /// Stores records with so many accounts: how many a second.
    async fn stores_with(
        &mut self,
        signers: usize,
        conditions: SigningConditions,
        turn: usize,
    ) -> f64 {
        self.world.api.stop().await;
        let first = &self.world.foundation.deployment.registrar;
        let in_use = format!(
            "UPDATE signers SET in_use = ({signers} = 2 OR lower(address) = lower('{first}'))"
        );
        self.world.executes(&in_use).await;
        let key = self.world.foundation.dir().join("keys/registrar.key");
        let key = key.display().to_string();
        let mut more = Vec::new();
        if signers == 1 {
            // The same file twice is one account.
            more.push(("MEDITRUSTAL_REGISTRAR_KEY_FILES", key.as_str()));
        }
        if conditions == SigningConditions::DatabaseIsFar {
            more.push(("DATABASE_URL", self.far.as_str()));
        }
        let name = format!("api-{conditions:?}-{turn}-{signers}");
        self.world.api = self.world.another_api(&name, &more).await;
        let what = self.told(signers, conditions);
        progress(format_args!("{what}, turn {}", turn + 1));
        let node = self.world.foundation.node.as_ref();
        let node = node.expect("the node is ours").process();
        if conditions != SigningConditions::NodeWorks {
            node.signal(Signal::STOP);
        }
        let (population, kept) = (&self.population, &self.acknowledged);
        let costs = Costs::begin(&self.world);
        let until = Until::Passed(self.time);
        let measured = stores(&self.world, population, kept, &name, 256, until).await;
        let costs = costs.end(&self.world);
        if conditions != SigningConditions::NodeWorks {
            node.signal(Signal::CONT);
        }
        self.failed += measured.failed();
        self.report.costs(&what, &costs, &measured);
        measured.per_second()
    }

    fn told(&self, signers: usize, conditions: SigningConditions) -> String {
        let conditions = match conditions {
            SigningConditions::NodeWorks => String::new(),
            SigningConditions::NodeStandsStill => " while the node stands still".to_owned(),
            SigningConditions::DatabaseIsFar => format!(
                " while the node stands still and the database is {} ms away",
                self.delay.as_millis()
            ),
        };
        format!("create{conditions}, 256 clients, {signers} signer(s)")
    }
}

/// How long one statement takes that does nothing.
async fn round_trip(url: &str) -> Duration {
    let mut conn = PgConnection::connect(url)
        .await
        .expect("the database answers");
    let began = Instant::now();
    for _ in 0..ROUND_TRIPS {
        sqlx::raw_sql("SELECT 1")
            .execute(&mut conn)
            .await
            .expect("it is answered");
    }
    began.elapsed() / ROUND_TRIPS
}

/// The one in the middle.
fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Compares what was acknowledged with what is there, and waits for the chain.
async fn account_for(world: &World, acknowledged: &Acknowledged, failed: u64, report: &mut Report) {
    progress("comparing what was acknowledged with what is there");
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("no panic"));
    for (what, count) in ledger(world, &acknowledged).await {
        report.figure(what, Figure::Count(count), Bar::AtMost(0.0));
    }
    let stored = world
        .sql("SELECT count(*) AS count FROM medical_records")
        .await;
    let stored = stored[0]["count"].as_u64().expect("a number");
    // Whoever was told nothing may have a record all the same, and finds it by the same key.
    report.beside(
        "stored and not acknowledged, beside requests that failed",
        Figure::Count(stored.saturating_sub(acknowledged.len() as u64)),
        Figure::Count(failed),
        Bar::PartAtMost(1.0),
    );
    progress("waiting for the chain");
    let began = Instant::now();
    let left = unconfirmed(world).await;
    report.figure(
        "anchors not confirmed",
        Figure::Count(left),
        Bar::AtMost(0.0),
    );
    report.note(format!(
        "{} records in all; the last anchor was confirmed {:.0} s after the last record was stored",
        acknowledged.len(),
        began.elapsed().as_secs_f64()
    ));
}

/// Stores records until it is over.
async fn stores(
    world: &World,
    population: &Arc<Population>,
    acknowledged: &Acknowledged,
    name: &str,
    clients: usize,
    until: Until,
) -> Measured {
    let load = Load {
        server: world.api.address(),
        clients,
        until,
    };
    let (population, kept) = (Arc::clone(population), Arc::clone(acknowledged));
    let name = name.to_owned();
    let ask = move |turn: Turn| population.create(turn, &format!("{name} {}", turn.nth));
    let right = move |_: Turn, reply: &Reply<'_>| {
        let record = reply.is_data().then(|| record(reply.body)).flatten();
        let is_right = record.is_some();
        kept.lock().expect("no panic").extend(record);
        is_right
    };
    load.run(ask, right).await
}

/// The id and the hash in an answer.
fn record(body: &[u8]) -> Option<(String, String)> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let record = &answer["data"]["createMedicalRecord"]["record"];
    let of = |field: &str| record[field].as_str().map(str::to_owned);
    Some((of("id")?, of("dataHash")?))
}

/// As many rows as records, with the same bytes in the column that has most of them, by PostgreSQL
/// alone: one INSERT of 64 rows and a commit, one after the other. Rows a second.
#[expect(
    clippy::cast_precision_loss,
    reason = "nobody counts to 2^52 in a benchmark"
)]
async fn limit(world: &World, rows: u64) -> f64 {
    let mut conn = PgConnection::connect(&world.foundation.database.superuser_url())
        .await
        .expect("the database answers");
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS bare;
         CREATE TABLE bare (id UUID PRIMARY KEY, encrypted_data BYTEA NOT NULL)",
    )
    .execute(&mut conn)
    .await
    .expect("a table");
    let sealed: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT encrypted_data FROM medical_records ORDER BY id LIMIT 64")
            .fetch_all(&mut conn)
            .await
            .expect("there are records");
    let began = Instant::now();
    let groups = rows.div_ceil(GROUP);
    for _ in 0..groups {
        sqlx::query("INSERT INTO bare SELECT uuidv7(), sealed FROM UNNEST($1::bytea[]) AS sealed")
            .bind(&sealed)
            .execute(&mut conn)
            .await
            .expect("a group");
    }
    let took = began.elapsed();
    world.executes("DROP TABLE bare").await;
    (groups * GROUP) as f64 / took.as_secs_f64()
}

/// What is wrong between what was acknowledged and what is stored, and how often.
async fn ledger(world: &World, acknowledged: &[(String, String)]) -> BTreeMap<&'static str, u64> {
    let mut conn = PgConnection::connect(&world.foundation.database.superuser_url())
        .await
        .expect("the database answers");
    let (ids, hashes): (Vec<&str>, Vec<&str>) = acknowledged
        .iter()
        .map(|(id, hash)| (id.as_str(), hash.as_str()))
        .unzip();
    sqlx::raw_sql("CREATE TEMP TABLE told (id UUID, hash TEXT)")
        .execute(&mut conn)
        .await
        .expect("a table");
    sqlx::query(
        "INSERT INTO told SELECT id::uuid, hash FROM UNNEST($1::text[], $2::text[]) AS e(id, hash)",
    )
    .bind(&ids)
    .bind(&hashes)
    .execute(&mut conn)
    .await
    .expect("they are written down");
    let checks = [
        (
            "acknowledged twice",
            "SELECT count(*) - count(DISTINCT id) FROM told",
        ),
        (
            "acknowledged and not stored with that hash",
            "SELECT count(*) FROM told LEFT JOIN medical_records AS record
                 ON record.id = told.id AND record.data_hash = told.hash
             WHERE record.id IS NULL",
        ),
        (
            "hashes stored twice",
            "SELECT count(*) - count(DISTINCT data_hash) FROM medical_records",
        ),
        (
            "without an anchor of that hash",
            "SELECT count(*) FROM told LEFT JOIN record_anchors AS anchor
                 ON anchor.record_id = told.id AND anchor.record_hash = told.hash
             WHERE anchor.record_id IS NULL",
        ),
        (
            "without one nonce of their own",
            "SELECT count(*) FROM (
                 SELECT told.id FROM told LEFT JOIN anchor_outbox AS outbox ON outbox.record_id = told.id
                 GROUP BY told.id HAVING count(outbox.nonce) <> 1
             ) AS wrong",
        ),
        (
            "gaps between the nonces",
            "SELECT COALESCE(sum(gaps), 0)::bigint FROM (
                 SELECT max(nonce) - min(nonce) + 1 - count(DISTINCT nonce) AS gaps
                 FROM anchor_outbox GROUP BY signer
             ) AS of_each",
        ),
        (
            "without one audit row of their own",
            "SELECT count(*) FROM (
                 SELECT told.id FROM told LEFT JOIN audit_logs AS row
                     ON row.resource_id = told.id AND row.action_type = 'RECORD_CREATE'
                 GROUP BY told.id HAVING count(row.id) <> 1
             ) AS wrong",
        ),
        (
            "idempotency keys without a record of their own",
            "SELECT count(*) - count(DISTINCT resource_id) FROM idempotency_keys",
        ),
    ];
    let mut found = BTreeMap::new();
    for (what, query) in checks {
        let count: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut conn)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        found.insert(what, count.unsigned_abs());
    }
    found
}

/// Waits until every anchor is in a block; how many are not, if that takes too long.
async fn unconfirmed(world: &World) -> u64 {
    let (mut fewest, mut since) = (u64::MAX, Instant::now());
    let query = "SELECT count(*)::text AS count FROM record_anchors WHERE state NOT IN ('CONFIRMED', 'FINALIZED')";
    loop {
        let rows = world.sql(query).await;
        let left: u64 = text(&rows[0]["count"]).parse().expect("a number");
        if left < fewest {
            (fewest, since) = (left, Instant::now());
        }
        if left == 0 || since.elapsed() > CONFIRMS_AGAIN_WITHIN {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
