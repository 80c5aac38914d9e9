//! The same page among 10,000 records and among 1,000,000: it should not matter how many others
//! there are.
//!
//! The records are written by SQL, 100 to a patient, with everything that a page shows; what is sealed
//! in them is noise of the length that PostgreSQL keeps apart from the row anyway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::World;
use tests::bench::{Arguments, Bar, Figure, Population, Report, fill, progress};
use tests::load::{Load, Measured, Reply, Turn, Until, post};

const CLIENTS: usize = 4;
const FIELDS: &str = "nodes { id recordType version dataHash createdAt patient { username } \
    author { username } anchor { state } } pageInfo { hasNextPage }";

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let world = arguments.world().await;
    let population = Arc::new(Population::open(&world, 4, 100).await);
    let author = &population.doctors[0].id;
    let (few, many) = (10_000, arguments.many(1_000_000));
    let shapes = [
        (
            "a patient's records",
            format!(
                "query($patientId: UUID!) {{ medicalRecords(patientId: $patientId) {{ {FIELDS} }} }}"
            ),
        ),
        (
            "a patient's laboratory results",
            format!(
                "query($patientId: UUID!) {{ medicalRecords(patientId: $patientId, recordType: LAB_RESULT) {{ {FIELDS} }} }}"
            ),
        ),
        (
            "the records of all patients",
            format!("query {{ medicalRecords {{ {FIELDS} }} }}"),
        ),
    ];

    fill(&world, author, 0, few).await;
    let among_few = pages(&world, &population, &shapes, arguments.time).await;
    progress(format_args!("writing {many} records"));
    let began = Instant::now();
    fill(&world, author, few, many).await;
    progress(format_args!(
        "they took {:.0} s",
        began.elapsed().as_secs_f64()
    ));
    let among_many = pages(&world, &population, &shapes, arguments.time).await;

    let mut report = Report::new();
    for (((what, _), few), many) in shapes.iter().zip(&among_few).zip(&among_many) {
        for percent in [50, 99] {
            let wait = |it: &Measured| Figure::of(it.percentile(percent));
            let bar = if percent == 50 {
                Bar::PartAtMost(1.2)
            } else {
                Bar::None
            };
            report.beside(format!("{what}: p{percent}"), wait(many), wait(few), bar);
        }
        let failed = Figure::Count(few.failed() + many.failed());
        report.figure(
            format!("{what}: not answered as wanted"),
            failed,
            Bar::AtMost(0.0),
        );
    }
    report.note(format!(
        "measured among {many} records, {CLIENTS} clients; the limit is the same page among {few}"
    ));
    report.print("scale");
}

/// Each of the pages, for a while.
async fn pages(
    world: &World,
    population: &Arc<Population>,
    shapes: &[(&str, String)],
    time: Duration,
) -> Vec<Measured> {
    let rows = world
        .sql("SELECT id FROM users WHERE username LIKE 'crowd.%' ORDER BY created_at, id LIMIT 100")
        .await;
    let patients: Arc<Vec<Value>> =
        Arc::new(rows.into_iter().map(|row| row["id"].clone()).collect());
    let mut all = Vec::new();
    for (what, query) in shapes {
        progress(what);
        let run = async |until: Until| {
            let (population, patients) = (Arc::clone(population), Arc::clone(&patients));
            let query = query.clone();
            let ask = move |turn: Turn| {
                let nth = usize::try_from(turn.nth).unwrap_or_default();
                let patient = &patients[nth % patients.len()];
                let body = json!({ "query": query, "variables": { "patientId": patient } });
                post("/graphql", population.token(turn), &body.to_string())
            };
            let load = Load {
                server: world.api.address(),
                clients: CLIENTS,
                until,
            };
            load.run(ask, |_: Turn, reply: &Reply<'_>| reply.is_data())
                .await
        };
        run(Until::Asked(200)).await;
        all.push(run(Until::Passed(time)).await);
    }
    all
}
