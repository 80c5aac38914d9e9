//! What everybody else notices of 50 log-ins at once: the slowest hundredth of plain queries, quiet and
//! beside the flood, in turns, in one run.
//!
//! The 50 are people of their own who log in again as soon as they are in; the limits of attempts are
//! the defaults, and refuse none of them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tests::bench::{Arguments, Bar, Figure, Report, progress};
use tests::load::{Load, Measured, Reply, Turn, Until, post};
use tests::{Person, World, documents};

/// How many log in at once.
const FLOOD: usize = 50;
/// How many ask plain queries at once.
const CLIENTS: usize = 4;
/// How often quiet and flood take turns; the one in the middle counts.
const ROUNDS: usize = 5;
/// The most that the flood may make of the quiet p99.
const AT_MOST: f64 = 3.0;

const PAGE: &str = "{ medicalRecords(first: 20) { nodes { id recordType createdAt } } }";
const ME: &str = "{ me { id username role } }";
const LOG_IN: &str = "mutation L($input: LogInInput!) { logIn(input: $input) { accessToken } }";

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    // All of them come from one address.
    let many = ("MEDITRUSTAL_REGISTRATIONS".to_owned(), "1000".to_owned());
    let world = arguments.world_with(|options| options.api.push(many)).await;
    progress("making people and records");
    let names = (0..FLOOD).map(|nth| format!("flood.{nth}"));
    let people: Arc<Vec<Person>> =
        Arc::new(join_all(names.map(async |name| world.patient(&name).await)).await);
    let ana = world.patient("ana").await;
    for _ in 0..20 {
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
    }

    let mut report = Report::new();
    for (what, query) in [("me", ME), ("a page of 20 records", PAGE)] {
        let ask = |time| queries(&world, &ana, query, time);
        ask(Duration::from_secs(2)).await;
        let mut rounds = Vec::new();
        for round in 1..=ROUNDS {
            progress(format_args!("{what}, {round} of {ROUNDS}: quiet"));
            let quiet = ask(arguments.time).await;
            progress(format_args!(
                "{what}, {round} of {ROUNDS}: {FLOOD} log-ins at once"
            ));
            let (flood, beside) = tokio::join!(
                log_ins(&world, &people, arguments.time),
                ask(arguments.time)
            );
            rounds.push((quiet, beside, flood));
        }
        rounds.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
        let all: Vec<_> = rounds
            .iter()
            .map(|it| format!("{:.2}", ratio(it)))
            .collect();
        let (quiet, beside, flood) = &rounds[ROUNDS / 2];
        report.load(&format!("{what}, quiet"), quiet, Bar::None);
        report.load(&format!("{what}, beside the flood"), beside, Bar::None);
        report.beside(
            format!("{what}: p99 beside the flood, and quiet"),
            Figure::of(beside.percentile(99)),
            Figure::of(quiet.percentile(99)),
            Bar::PartAtMost(AT_MOST),
        );
        let rate = Figure::PerSecond(flood.per_second());
        report.figure(format!("{what}: log-ins beside it"), rate, Bar::None);
        report.load(&format!("{what}: log-ins beside it"), flood, Bar::None);
        report.note(format!("{what}: of all rounds {}", all.join(", ")));
    }
    report.memory(&world);
    report.print("log-in flood");
}

fn ratio((quiet, beside, _): &(Measured, Measured, Measured)) -> f64 {
    beside.percentile(99).as_secs_f64() / quiet.percentile(99).as_secs_f64()
}

async fn queries(world: &World, who: &Person, query: &str, time: Duration) -> Measured {
    let token = who.client.token().expect("logged in");
    let request = post("/graphql", token, &json!({ "query": query }).to_string());
    let load = Load {
        server: world.api.address(),
        clients: CLIENTS,
        until: Until::Passed(time),
    };
    load.run(move |_| request.clone(), |_, reply| reply.is_data())
        .await
}

async fn log_ins(world: &World, people: &Arc<Vec<Person>>, time: Duration) -> Measured {
    let load = Load {
        server: world.api.address(),
        clients: FLOOD,
        until: Until::Passed(time),
    };
    let people = Arc::clone(people);
    let ask = move |turn: Turn| {
        let who = &people[turn.client];
        let input = json!({ "login": who.username, "password": who.password });
        let body = json!({ "query": LOG_IN, "variables": { "input": input } });
        post("/graphql", "", &body.to_string())
    };
    load.run(ask, |_, reply: &Reply<'_>| reply.is_data()).await
}
