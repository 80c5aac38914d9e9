//! What GraphQL itself costs: `me` and one record beside a server written by hand that makes the same checks and writes the
//! same audit rows (`peers/checked.rs`), the check of the limits on the playground's examples, documents that are meant to do
//! harm, and the memory of a long answer.

mod peers {
    pub(crate) mod checked;
}

use std::net::SocketAddr;
use std::sync::Arc;
use std::{fs, iter};

use dev::repository;
use serde_json::{Value, json};
use tests::World;
use tests::bench::{Arguments, Bar, Costs, Figure, Population, Report, progress};
use tests::load::{Load, Measured, Reply, Turn, Until, post};
use tests::transfer::heart_rate;

/// Where the api tells its metrics: at a free port of this machine.
const METRICS: (&str, &str) = ("MEDITRUSTAL_METRICS_ADDRESS", "127.0.0.1:0");
const ME: &str = "{ me { id username role } }";
const READ: &str = "query Read($id: UUID!) { medicalRecord(id: $id) { document } }";
const LONG: &str = "{ medicalRecords(first: 5) { nodes { document } } }";
/// How many ask at once.
const CLIENTS: [usize; 2] = [64, 1];
/// What part of the server written by hand has to be reached.
const PART: f64 = 0.7;
/// How long the check of an example's limits may take. Unit: microseconds.
const CHECKED: f64 = 50.0;
/// How long the answer to a document that is meant to do harm may take. Unit: milliseconds.
const REFUSED: f64 = 100.0;
/// What such documents may add to the api's memory, all of them together. Unit: million bytes.
const FLAT: f64 = 10.0;
/// How many records a long answer holds, and how long each of them is, so that it is of 4 MiB.
const LONG_RECORDS: usize = 5;
const LONG_RECORD: usize = (4 << 20) / LONG_RECORDS;
/// How often a long answer is asked for; the one that took most memory counts.
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let world = arguments.world_with(|options| {
        let (name, address) = METRICS;
        options.api.push((name.to_owned(), address.to_owned()));
    });
    let world = world.await;
    let population = Arc::new(Population::open(&world, 4, 100).await);
    let count = arguments.many(5_000);
    progress(format_args!("storing {count} records"));
    let records = Arc::new(population.stores(&world, count).await);
    let peer = peers::checked::serve(&world).await;
    let mut bench = Bench {
        world,
        population,
        records,
        report: Report::new(),
    };
    let until = Until::Passed(arguments.time);
    bench.compares(peer, until).await;
    bench.limits(arguments.many(5_000)).await;
    bench.harm(arguments.many(200)).await;
    bench.long_answers().await;
    bench.report.print("graphql");
}

struct Bench {
    world: World,
    population: Arc<Population>,
    records: Arc<Vec<String>>,
    report: Report,
}

/// What is asked for of both servers.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Me,
    Record,
}

impl Asked {
    /// What it is called, and where the server written by hand answers it.
    const fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::Me => ("me", "/me"),
            Self::Record => ("a record's document", "/record"),
        }
    }

    /// What a right answer begins with.
    const fn begins(self) -> &'static [u8] {
        match self {
            Self::Me => br#"{"data":{"me":{"id":"#,
            Self::Record => br#"{"data":{"medicalRecord":{"document":{"#,
        }
    }
}

impl Bench {
    /// The api beside the server written by hand.
    async fn compares(&mut self, peer: SocketAddr, until: Until) {
        for asked in [Asked::Me, Asked::Record] {
            let (name, path) = asked.named();
            let warm = Until::Asked(1_000);
            self.asks(
                asked,
                (self.world.api.address(), "/graphql"),
                CLIENTS[0],
                warm,
            )
            .await;
            self.asks(asked, (peer, path), CLIENTS[0], warm).await;
            for clients in CLIENTS {
                let what = format!("{name}, {clients} client(s)");
                progress(&what);
                let costs = Costs::begin(&self.world);
                let api = (self.world.api.address(), "/graphql");
                let ours = self.asks(asked, api, clients, until).await;
                let costs = costs.end(&self.world);
                let of_peer = Costs::begin(&self.world);
                let by_hand = self.asks(asked, (peer, path), clients, until).await;
                let of_peer = of_peer.end(&self.world);
                let rate = |it: &Measured| Figure::PerSecond(it.per_second());
                self.report.beside(
                    format!("{what}, beside the same checks by hand"),
                    rate(&ours),
                    rate(&by_hand),
                    Bar::PartAtLeast(PART),
                );
                self.report.load(&what, &ours, Bar::None);
                let failed = Figure::Count(by_hand.failed());
                self.report.figure(
                    format!("{what}: by hand, not answered as wanted"),
                    failed,
                    Bar::AtMost(0.0),
                );
                self.report.costs(&what, &costs, &ours);
                self.report
                    .costs(&format!("{what}, by hand"), &of_peer, &by_hand);
            }
        }
    }

    async fn asks(
        &self,
        asked: Asked,
        (server, path): (SocketAddr, &'static str),
        clients: usize,
        until: Until,
    ) -> Measured {
        let load = Load {
            server,
            clients,
            until,
        };
        let (population, records) = (Arc::clone(&self.population), Arc::clone(&self.records));
        let ask = move |turn: Turn| {
            let body = match asked {
                Asked::Me => json!({ "query": ME }),
                Asked::Record => {
                    // A prime beyond any number of records: each is read before one is read again.
                    let nth = turn.nth.wrapping_mul(1_000_003) % records.len() as u64;
                    let id = &records[usize::try_from(nth).unwrap_or_default()];
                    json!({ "query": READ, "variables": { "id": id } })
                }
            };
            post(path, population.token(turn), &body.to_string())
        };
        let right = move |_: Turn, reply: &Reply<'_>| {
            reply.status == 200 && reply.body.starts_with(asked.begins())
        };
        load.run(ask, right).await
    }

    /// What the limits take of the examples' time: each is asked for by a name that none of its operations has, which is
    /// told once all of them were counted. The api measures the check itself. Beside it stands what such a request takes of
    /// the processors more than one in a media type that is refused before: reading it, finding the parsed document, the
    /// check, and the words of the refusal.
    async fn limits(&mut self, times: u64) {
        let mut checks = Vec::new();
        let mut requests = Vec::new();
        for (name, query) in examples() {
            progress(format_args!("the limits of {name}"));
            let token = self.token();
            let body = json!({ "query": query, "operationName": "NoneOfThem" }).to_string();
            let checked = post("/graphql", &token, &body);
            let refused = String::from_utf8_lossy(&checked)
                .replacen("application/json", "application/text", 1)
                .into_bytes();
            self.repeats(checked.clone(), 200, (1, 100)).await;
            let check = self.check_of(checked.clone(), times).await;
            checks.push((name.clone(), check));
            let with = self.costs_of(checked, 200, times).await;
            let without = self.costs_of(refused, 415, times).await;
            requests.push((name, (with - without).max(0.0)));
        }
        self.slowest("check of the limits", &checks, Bar::AtMost(CHECKED));
        self.slowest("reading, check and refusal", &requests, Bar::None);
    }

    /// Reports what took most of all examples, in microseconds, and notes what each took.
    fn slowest(&mut self, what: &str, of_each: &[(String, f64)], bar: Bar) {
        let most = of_each.iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
        let (name, micros) = most.expect("there are examples");
        self.report.figure(
            format!("{what} of an example, the slowest ({name})"),
            Figure::Microseconds(*micros),
            bar,
        );
        let each = of_each
            .iter()
            .map(|(name, micros)| format!("{name} {micros:.1}"));
        let each: Vec<_> = each.collect();
        self.report
            .note(format!("{what} of each, in µs: {}", each.join(", ")));
    }

    /// How long the check of this request's document takes, by the api's own metrics, while nobody else asks. Unit:
    /// microseconds.
    async fn check_of(&self, request: Vec<u8>, times: u64) -> f64 {
        let (earlier, before) = self.checks().await;
        self.repeats(request, 200, (1, times)).await;
        let (later, after) = self.checks().await;
        let count = later - earlier;
        assert!(count > 0.0, "each request is checked");
        (after - before) * 1_000_000.0 / count
    }

    /// How many checks the api has measured so far, and what they took together. Unit: seconds.
    async fn checks(&self) -> (f64, f64) {
        let told = self.world.api.metrics().await.expect("it answers");
        let [count, seconds] = ["count", "sum"].map(|end| {
            let value = told.value(&format!("graphql_limits_check_seconds_{end}"), &[]);
            value.expect("the api measures the check")
        });
        (count, seconds)
    }

    /// Asks the same again and again, by so many clients and so many times; each answer has this status.
    async fn repeats(
        &self,
        request: Vec<u8>,
        status: u16,
        (clients, times): (usize, u64),
    ) -> Measured {
        let load = Load {
            server: self.world.api.address(),
            clients,
            until: Until::Asked(times),
        };
        let right = move |_: Turn, reply: &Reply<'_>| reply.status == status;
        let measured = load.run(move |_| request.clone(), right).await;
        assert_eq!(measured.failed(), 0, "each is refused as it should be");
        measured
    }

    /// What one of so many answers costs the api. Unit: microseconds of a processor.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts to 2^52 in a benchmark"
    )]
    async fn costs_of(&self, request: Vec<u8>, status: u16, times: u64) -> f64 {
        let costs = Costs::begin(&self.world);
        let measured = self.repeats(request, status, (4, times)).await;
        let costs = costs.end(&self.world);
        costs.of_api() * 1_000_000.0 / measured.right.max(1) as f64
    }

    /// Documents that are meant to do harm.
    async fn harm(&mut self, times: u64) {
        let (before, _) = self.world.api.memory();
        self.world.api.forgets_peak();
        for (name, query) in harmful() {
            progress(format_args!("a document that is {name}"));
            let body = json!({ "query": query }).to_string();
            let request = post("/graphql", &self.token(), &body);
            let load = Load {
                server: self.world.api.address(),
                clients: 2,
                until: Until::Asked(times),
            };
            let is_refused = |_: Turn, reply: &Reply<'_>| {
                reply.status == 200 && reply.body.starts_with(br#"{"errors":"#)
            };
            let measured = load.run(move |_| request.clone(), is_refused).await;
            self.report.figure(
                format!("a document that is {name}: slowest refusal"),
                Figure::of(measured.slowest()),
                Bar::AtMost(REFUSED),
            );
            self.report.figure(
                format!("a document that is {name}: not refused"),
                Figure::Count(measured.failed()),
                Bar::AtMost(0.0),
            );
        }
        let (_, most) = self.world.api.memory();
        self.report.figure(
            "memory that all of them added at most",
            Figure::Megabytes((most - before).max(0.0)),
            Bar::AtMost(FLAT),
        );
    }

    /// An answer of 4 MiB: what the api holds besides while it is made and sent.
    async fn long_answers(&mut self) {
        progress("storing long records");
        let eve = self.world.patient("eve").await;
        for _ in 0..LONG_RECORDS {
            eve.creates(&eve, "VITAL_SIGNS", long_document()).await;
        }
        let token = eve.client.token().expect("she is logged in");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let body = json!({ "query": LONG }).to_string();
        let mut can_forget = true;
        let (mut added, mut length) = (0.0_f64, 0);
        for _ in 0..ROUNDS {
            let (before, _) = self.world.api.memory();
            can_forget &= self.world.api.forgets_peak();
            let reply = self.world.api.posts(&headers, &body).await;
            let (_, most) = self.world.api.memory();
            assert_eq!(reply.json()["errors"], Value::Null, "it is not too long");
            length = reply.bytes.len();
            added = added.max(most - before);
        }
        assert!(length >= 4 << 20, "{length} bytes are no long answer");
        self.report.beside(
            "memory that an answer of 4 MiB added at most, beside its length",
            Figure::Megabytes(added),
            Figure::Megabytes(megabytes(length)),
            Bar::PartAtMost(2.0),
        );
        if !can_forget {
            self.report.note(
                "this system does not let the peak of the api's memory be forgotten: what was held before counts, too",
            );
        }
    }

    fn token(&self) -> String {
        let turn = Turn { client: 0, nth: 0 };
        self.population.token(turn).to_owned()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no answer is as long as 2^52 bytes"
)]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1_000_000.0
}

/// The playground's examples by their names.
fn examples() -> Vec<(String, String)> {
    let root = repository::root().expect("the benchmarks run inside a clone");
    let folder = root.join("api/playground/examples");
    let files = fs::read_dir(&folder).expect("there are examples");
    let files = files.map(|file| file.expect("it is there").path());
    let is_document =
        |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "graphql");
    let mut examples: Vec<(String, String)> = files
        .filter(is_document)
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let query = fs::read_to_string(&path).expect("it can be read");
            (name.into_owned(), query)
        })
        .collect();
    examples.sort();
    examples
}

/// What ought to take time, memory or stack.
fn harmful() -> [(&'static str, String); 9] {
    let deep = |levels: usize| format!("{{ {}id{} }}", "me { ".repeat(levels), " }".repeat(levels));
    let many =
        |part: &dyn Fn(usize) -> String, count: usize| -> String { (0..count).map(part).collect() };
    let spread = many(
        &|nth| format!("fragment F{nth} on Query {{ ...F{0} ...F{0} }} ", nth + 1),
        50,
    );
    [
        ("deep", deep(30)),
        ("so deep that it is not parsed", deep(2_000)),
        ("wide", format!("{{ me {{ {} }} }}", "id ".repeat(4_000))),
        (
            "full of aliases",
            format!(
                "{{ {} }}",
                many(&|nth| format!("a{nth}: me {{ id }} "), 500)
            ),
        ),
        (
            "a circle of fragments",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".to_owned(),
        ),
        (
            "a fragment that doubles fifty times",
            format!("{{ ...F0 }} {spread} fragment F50 on Query {{ me {{ id }} }}"),
        ),
        (
            "full of directives",
            format!("{{ me {{ id {} }} }}", "@skip(if: false) ".repeat(800)),
        ),
        (
            "full of texts without an end",
            format!("{{ a(b: [{}]) }}", r#""\"""""x""#.repeat(1_800)),
        ),
        (
            "of 1 MB",
            iter::once("{ me { ")
                .chain(iter::repeat_n("id ", 350_000))
                .chain(iter::once("} }"))
                .collect(),
        ),
    ]
}

/// A heart rate with a note, long enough that an answer of all of them has 4 MiB.
fn long_document() -> String {
    let document = heart_rate(60);
    let open = document.strip_suffix('}').expect("an object ends so");
    let text = "x".repeat(LONG_RECORD);
    format!(r#"{open},"note":[{{"text":"{text}"}}]}}"#)
}
