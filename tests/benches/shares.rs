//! What everybody else notices of one account that asks for all it can: the slowest hundredth of plain
//! queries, quiet and beside 64 clients of that account at the limit of cost, in turns, in one run.
//!
//! The shares are the defaults. What is refused counts as an answer: whoever is refused asks again at once.

use std::time::Duration;

use serde_json::json;
use tests::bench::{Arguments, Bar, Figure, Report, progress};
use tests::load::{Load, Measured, Until, post};
use tests::{Person, World, documents};

/// How many clients ask for all they can.
const GREEDY: usize = 64;
/// How many ask plain queries at once.
const CLIENTS: usize = 4;
/// How often quiet and greed take turns; the one in the middle counts.
const ROUNDS: usize = 5;
/// The most that the one account may make of the others' quiet p99.
const AT_MOST: f64 = 5.0;
/// How many records it has.
const RECORDS: usize = 100;

const PAGE: &str = "{ medicalRecords(first: 20) { nodes { id recordType createdAt } } }";
const ME: &str = "{ me { id username role } }";
/// The dearest by the number of fields: 100 records, and of each as much as the query limits allow.
const FIELDS: &str =
    "{ medicalRecords(first: 100) { nodes { history(first: 60) { nodes { id version } } } } }";
/// The dearest by what has to be done: as many records opened as aliases allow.
const CONTENT: &str = "{
  a: medicalRecords(first: 100) { nodes { document } } b: medicalRecords(first: 100) { nodes { document } }
  c: medicalRecords(first: 100) { nodes { document } } d: medicalRecords(first: 100) { nodes { document } }
  e: medicalRecords(first: 100) { nodes { document } } f: medicalRecords(first: 100) { nodes { document } }
}";

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let shares = [
        ("MEDITRUSTAL_COST_A_MINUTE", "1000000"),
        ("MEDITRUSTAL_COST_AT_ONCE", "10000"),
    ];
    let shares = shares.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let world = arguments
        .world_with(|options| options.api.extend(shares))
        .await;
    progress("making people and records");
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    for _ in 0..20 {
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
    }
    for _ in 0..RECORDS {
        eve.creates(&eve, "LAB_RESULT", documents::lab_result())
            .await;
    }

    let mut report = Report::new();
    for (greed, dear) in [("fields", FIELDS), ("documents", CONTENT)] {
        for (what, query) in [("me", ME), ("a page of 20 records", PAGE)] {
            let what = format!("{what}, beside {greed}");
            let ask = |time| queries(&world, (&ana, CLIENTS), query, time);
            ask(Duration::from_secs(1)).await;
            let mut rounds = Vec::new();
            for round in 1..=ROUNDS {
                progress(format_args!("{what}, {round} of {ROUNDS}"));
                let quiet = ask(arguments.time).await;
                let (_, beside) = tokio::join!(
                    queries(&world, (&eve, GREEDY), dear, arguments.time),
                    ask(arguments.time)
                );
                rounds.push((quiet, beside));
            }
            rounds.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
            let all: Vec<_> = rounds
                .iter()
                .map(|it| format!("{:.2}", ratio(it)))
                .collect();
            let (quiet, beside) = &rounds[ROUNDS / 2];
            report.load(&format!("{what}, quiet"), quiet, Bar::None);
            report.load(&what, beside, Bar::None);
            report.beside(
                format!("{what}: p99 beside it, and quiet"),
                Figure::of(beside.percentile(99)),
                Figure::of(quiet.percentile(99)),
                Bar::PartAtMost(AT_MOST),
            );
            report.note(format!("{what}: of all rounds {}", all.join(", ")));
        }
    }
    report.memory(&world);
    report.print("shares");
}

fn ratio((quiet, beside): &(Measured, Measured)) -> f64 {
    beside.percentile(99).as_secs_f64() / quiet.percentile(99).as_secs_f64()
}

async fn queries(
    world: &World,
    (who, clients): (&Person, usize),
    query: &str,
    time: Duration,
) -> Measured {
    let token = who.client.token().expect("logged in");
    let request = post("/graphql", token, &json!({ "query": query }).to_string());
    let load = Load {
        server: world.api.address(),
        clients,
        until: Until::Passed(time),
    };
    // Of who is refused nothing is asked but that it is told.
    load.run(move |_| request.clone(), |_, _| true).await
}
