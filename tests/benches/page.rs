//! A page of 20 records, as a frontend's list shows it: how near it comes to a server written by hand
//! with one statement (`peers/listing.rs`), and what it costs to open the 20 documents besides.

mod peers {
    pub(crate) mod listing;
}

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tests::bench::{Arguments, Bar, Costs, Figure, Population, Report, progress};
use tests::eventually;
use tests::load::{Load, Measured, Reply, Turn, Until, post};

const PAGE: &str = "query Page($patientId: UUID!) { medicalRecords(patientId: $patientId, first: 20) { \
    nodes { id recordType version dataHash createdAt patient { username } author { username } anchor { state } } \
    pageInfo { hasNextPage } } }";
const DOCUMENTS: &str = "query Documents($patientId: UUID!) { medicalRecords(patientId: $patientId, first: 20) { \
    nodes { id recordType version dataHash createdAt patient { username } author { username } anchor { state } document } \
    pageInfo { hasNextPage } } }";

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let world = arguments.world().await;
    let population = Arc::new(Population::open(&world, 4, 100).await);
    let count = arguments.many(50).max(25) * 100;
    progress(format_args!("storing {count} records"));
    population.stores(&world, count).await;
    let peer = peers::listing::serve(&world, &population.doctors[0].id).await;
    let ask = Asker {
        population,
        api: world.api.address(),
        peer,
    };
    progress("comparing what both answer, once the chain has nothing more to say");
    eventually("both answer the same, byte for byte", async || {
        let [ours, page, audited] = ask.each().await;
        (ours == page && ours == audited).then_some(())
    })
    .await;

    let mut report = Report::new();
    for clients in [32, 16, 1] {
        progress(format_args!("pages, {clients} client(s)"));
        let load = async |how: How| {
            let warm = Duration::from_millis(500);
            ask.pages(how, clients, Until::Passed(warm)).await;
            let costs = Costs::begin(&world);
            let measured = ask.pages(how, clients, Until::Passed(arguments.time)).await;
            (measured, costs.end(&world))
        };
        let (ours, our_costs) = load(How::Ours).await;
        let (page, page_costs) = load(How::Page).await;
        let (audited, audited_costs) = load(How::Audited).await;
        let (documents, document_costs) = load(How::Documents).await;

        let rate = |it: &Measured| Figure::PerSecond(it.per_second());
        // 32 keep the processors busy, so that their rates say what a page costs; 16 wait for commits a fifth of the
        // time. One alone has a transaction for itself.
        let least = if clients == 32 {
            (Bar::PartAtLeast(0.85), Bar::PartAtLeast(0.6))
        } else {
            (Bar::PartAtLeast(0.65), Bar::None)
        };
        let what = format!("page of 20, {clients} client(s)");
        report.beside(
            format!("{what}, beside one statement that audits, too"),
            rate(&ours),
            rate(&audited),
            least.0,
        );
        report.beside(
            format!("{what}, beside one statement that only reads"),
            rate(&ours),
            rate(&page),
            least.1,
        );
        report.load(&what, &ours, Bar::None);
        let what = format!("page with its 20 documents, {clients} client(s)");
        report.figure(what.clone(), rate(&documents), Bar::None);
        report.load(&what, &documents, Bar::None);
        let more = documents.percentile(50).saturating_sub(ours.percentile(50));
        let bar = if clients == 1 {
            Bar::AtMost(2.0)
        } else {
            Bar::None
        };
        report.figure(
            format!("what the documents add at p50, {clients} client(s)"),
            Figure::of(more),
            bar,
        );
        report.costs(&format!("{clients} client(s), ours"), &our_costs, &ours);
        report.costs("  only reads", &page_costs, &page);
        report.costs("  audits, too", &audited_costs, &audited);
        report.costs("  with documents", &document_costs, &documents);
    }
    report.memory(&world);
    report.print("page");
}

/// Who is asked for what.
#[derive(Debug, Clone, Copy)]
enum How {
    /// The api.
    Ours,
    /// The api, with the documents.
    Documents,
    /// By hand, reading only.
    Page,
    /// By hand, with its rows in the audit trail.
    Audited,
}

/// An answer with the key of its cursor alone, 24 bytes in hexadecimal digits. Ours has a byte for its layout
/// before it and a tag of eight bytes after it; by hand there are no other lists to tell it from, and five
/// bytes before it.
fn without_tag(answer: &str) -> String {
    const KEY: usize = 48;
    const OURS: usize = 2 + KEY + 16;
    let key = |cursor: &str| {
        let start = if cursor.len() == OURS { 2 } else { 10 };
        Some(cursor.get(start..start + KEY)?.to_owned())
    };
    let found = answer
        .split_once("\"endCursor\":\"")
        .and_then(|(before, after)| {
            let (cursor, rest) = after.split_once('"')?;
            Some(format!("{before}{}{rest}", key(cursor)?))
        });
    found.unwrap_or_else(|| answer.to_owned())
}

struct Asker {
    population: Arc<Population>,
    api: SocketAddr,
    peer: SocketAddr,
}

impl Asker {
    /// What each of them answers about one patient.
    async fn each(&self) -> [String; 3] {
        let body =
            json!({ "query": PAGE, "variables": { "patientId": self.population.patients[0] } });
        let client = dev::http::client();
        let ask = async |server: SocketAddr, path: &str| {
            let url = format!("http://{server}{path}");
            let doctor = self.population.doctors[0]
                .client
                .token()
                .unwrap_or_default();
            let answer = client
                .post(url)
                .bearer_auth(doctor)
                .json(&body)
                .send()
                .await;
            let text = answer.expect("it answers").text().await;
            without_tag(&text.expect("it answers"))
        };
        [
            ask(self.api, "/graphql").await,
            ask(self.peer, "/page").await,
            ask(self.peer, "/audited").await,
        ]
    }

    /// One page after the other, of one patient after the other.
    async fn pages(&self, how: How, clients: usize, until: Until) -> Measured {
        let (server, path, query) = match how {
            How::Ours => (self.api, "/graphql", PAGE),
            How::Documents => (self.api, "/graphql", DOCUMENTS),
            How::Page => (self.peer, "/page", PAGE),
            How::Audited => (self.peer, "/audited", PAGE),
        };
        let population = Arc::clone(&self.population);
        let ask = move |turn: Turn| {
            let nth = usize::try_from(turn.nth).unwrap_or_default();
            let patient = &population.patients[nth % population.patients.len()];
            let body = json!({ "query": query, "variables": { "patientId": patient } });
            post(path, population.token(turn), &body.to_string())
        };
        let load = Load {
            server,
            clients,
            until,
        };
        let right = |_: Turn, reply: &Reply<'_>| reply.is_data();
        load.run(ask, right).await
    }
}
