//! Reading single records: decided, audited, opened and compared with their hash, at 64 clients and by one alone.
//!
//! Its limit is a server written by hand that opens the same records with a row in the audit trail
//! and does nothing else (`peers/reading.rs`). It commits by itself for each record; our desk commits
//! for many.

mod peers {
    pub(crate) mod reading;
}

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tests::World;
use tests::bench::{Arguments, Bar, Costs, Figure, Population, Report, progress};
use tests::load::{Load, Measured, Reply, Turn, Until, post};

/// How many ask at once. A reading alone has a transaction of its own; of many, up to 64 share one.
const CLIENTS: [usize; 2] = [64, 1];
const READ: &str = "query Read($id: UUID!) { medicalRecord(id: $id) { document } }";

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let world = arguments.world().await;
    let population = Arc::new(Population::open(&world, 4, 100).await);
    let count = arguments.many(10_000);
    progress(format_args!("storing {count} records"));
    let records = Arc::new(population.stores(&world, count).await);
    let peer = peers::reading::serve(&world, &population.doctors[0].id).await;
    let mut report = Report::new();

    progress("warming up");
    let ask = async |server, path, clients, until| {
        reads((server, path), clients, &population, &records, until).await
    };
    let warm = Until::Asked(2_000);
    ask(world.api.address(), "/graphql", CLIENTS[0], warm).await;
    ask(peer, "/read", CLIENTS[0], warm).await;
    let until = Until::Passed(arguments.time);
    let mut disclosed = 0;
    for clients in CLIENTS {
        let plural = if clients == 1 { "" } else { "s" };
        let what = format!("read a document, {clients} client{plural}");
        progress(&what);
        let costs = Costs::begin(&world);
        let ours = ask(world.api.address(), "/graphql", clients, until).await;
        let costs = costs.end(&world);
        progress("the same from the server written by hand");
        let of_peer = Costs::begin(&world);
        let limit = ask(peer, "/read", clients, until).await;
        let of_peer = of_peer.end(&world);

        let rate = |it: &Measured| Figure::PerSecond(it.per_second());
        let (at_least, at_most) = match clients {
            1 => (Bar::None, Bar::None),
            _ => (Bar::AtLeast(2000.0), Bar::AtMost(150.0)),
        };
        report.beside(&what, rate(&ours), rate(&limit), at_least);
        report.load(&what, &ours, at_most);
        report.figure(
            format!("{what}: by hand, p99"),
            Figure::of(limit.percentile(99)),
            Bar::None,
        );
        report.costs(&format!("ours, {clients}"), &costs, &ours);
        report.costs(&format!("by hand, {clients}"), &of_peer, &limit);
        disclosed += ours.right;
    }
    let (now, _) = world.api.memory();
    report.figure(
        "resident memory of the api, after it",
        Figure::Megabytes(now),
        Bar::None,
    );
    report.memory(&world);
    report.figure(
        "disclosed without an audit row",
        Figure::Count(unaudited(&world, disclosed).await),
        Bar::AtMost(0.0),
    );
    report.print("read");
}

/// Reads one record after the other, in an order that has nothing to do with when they were stored.
async fn reads(
    (server, path): (SocketAddr, &'static str),
    clients: usize,
    population: &Arc<Population>,
    records: &Arc<Vec<String>>,
    until: Until,
) -> Measured {
    let load = Load {
        server,
        clients,
        until,
    };
    let (population, records) = (Arc::clone(population), Arc::clone(records));
    let ask = move |turn: Turn| {
        // A prime beyond any number of records: each is read before one is read again.
        let nth = turn.nth.wrapping_mul(1_000_003) % records.len() as u64;
        let id = &records[usize::try_from(nth).unwrap_or_default()];
        let body = json!({ "query": READ, "variables": { "id": id } }).to_string();
        post(path, population.token(turn), &body)
    };
    let right = |_: Turn, reply: &Reply<'_>| {
        let start = br#"{"data":{"medicalRecord":{"document":{"#;
        reply.status == 200 && reply.body.starts_with(start)
    };
    load.run(ask, right).await
}

/// How many fewer rows our own readings left than they were. The server written by hand writes of
/// itself as the one that asked, from nowhere: its rows name no consent.
async fn unaudited(world: &World, disclosed: u64) -> u64 {
    let rows = world
        .sql(
            "SELECT count(*) AS count FROM audit_logs
             WHERE action_type = 'RECORD_READ' AND encryption_status = 'DECRYPTED_FOR_DISCLOSURE'
               AND consent_reference IS NOT NULL",
        )
        .await;
    disclosed.saturating_sub(rows[0]["count"].as_u64().unwrap_or(0))
}
