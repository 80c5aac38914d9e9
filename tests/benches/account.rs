//! A patient with 10,000 records: how long it takes to export all of them, and to erase the account, while others work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::bench::{Arguments, Bar, Figure, Population, Report, analyze, progress};
use tests::load::{Load, Measured, Reply, Turn, Until, post};
use tests::transfer::{NDJSON, heart_rate};
use tests::{Person, World, id, text};

const PAGE: &str = "query Page($patientId: UUID!) { medicalRecords(patientId: $patientId, first: 20) { \
    nodes { id recordType dataHash author { username } } } }";
/// How many records are imported by one request.
const AT_ONCE: u64 = 2500;
/// How many others work meanwhile.
const OTHERS: usize = 4;

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let count = arguments.many(10_000);
    let world = arguments
        .world_with(|options| {
            for (name, value) in [
                // What is approved is erased at once.
                ("MEDITRUSTAL_DELETION_GRACE", "0"),
                ("MEDITRUSTAL_DELETION_EVERY", "1"),
            ] {
                options.api.push((name.to_owned(), value.to_owned()));
            }
        })
        .await;
    let population = Arc::new(Population::open(&world, OTHERS, 20).await);
    population.stores(&world, arguments.many(2000)).await;
    let ana = world.patient("ana").await;
    // An account is erased by two.
    let admins = [world.admin("ada").await, world.admin("adi").await];
    progress(format_args!("importing {count} records"));
    imports(&world, &ana, count).await;
    analyze(&world).await;

    let mut report = Report::new();
    progress("exporting all of them");
    let began = Instant::now();
    let exported = ana.exports(&world.api, &ana, "").await;
    let took = began.elapsed();
    let lines = exported.body.matches("\"resourceType\":\"Observation\"");
    assert_eq!(lines.count() as u64, count, "all of them are exported");
    report.figure(
        format!("export of {count} records"),
        Figure::of(took),
        Bar::AtMost(10_000.0),
    );

    progress("others read pages");
    let before = pages(&population, &world, arguments.time).await;
    progress("erasing the account while they do");
    let erased = erases(&world, &ana, &admins, count);
    tokio::pin!(erased);
    let mut beside: Vec<Measured> = Vec::new();
    let took = loop {
        let second = pages(&population, &world, Duration::from_secs(1));
        tokio::select! {
            took = &mut erased => break took,
            measured = second => beside.push(measured),
        }
    };
    report.figure(
        format!("erasure of an account with {count} records, while others read"),
        Figure::of(took),
        Bar::AtMost(60_000.0),
    );
    let p99 = |it: &Measured| it.percentile(99);
    let worst = beside.iter().map(p99).max().unwrap_or_default();
    report.beside(
        "p99 of a page of the others, at its worst second, beside before",
        Figure::of(worst),
        Figure::of(p99(&before)),
        Bar::None,
    );
    let failed: u64 = beside.iter().map(Measured::failed).sum();
    report.figure(
        "pages of the others that were not answered as wanted",
        Figure::Count(failed),
        Bar::AtMost(0.0),
    );
    report.memory(&world);
    report.print("account");
}

/// Stores heart rates of ana, all different.
async fn imports(world: &World, ana: &Person, count: u64) {
    let mut stored = 0;
    while stored < count {
        let next = AT_ONCE.min(count - stored);
        let lines = (stored..stored + next).map(|nth| {
            let nth = u32::try_from(nth).unwrap_or(u32::MAX);
            let (day, beats) = (1 + nth / 200 % 28, 40 + nth % 200);
            let line = heart_rate(beats);
            line.replace("2026-11-23T", &format!("20{:02}-03-{day:02}T", nth / 5600))
        });
        let upload: Vec<String> = lines.collect();
        let report = ana.imports(&world.api, ana, (NDJSON, ""), upload.join("\n") + "\n");
        let report = report.await;
        assert_eq!(report.end["created"], json!(next), "{}", report.end);
        stored += next;
    }
}

/// Erases the account and everything of it; how long it took from the approval on.
async fn erases(world: &World, ana: &Person, admins: &[Person; 2], count: u64) -> Duration {
    let ask = "mutation($input: RequestDataDeletionInput!) {
      requestDataDeletion(input: $input) { request { id } } }";
    let input = json!({ "requestType": "ACCOUNT_ERASURE", "dataCategories": ["ALL_RECORDS"] });
    let answer = ana.asks(ask, json!({ "input": input })).await;
    let request = id(&answer.data()["requestDataDeletion"]["request"]);
    let verify = "mutation($input: VerifyDeletionRequestInput!) {
      verifyDeletionRequest(input: $input) { request { id } } }";
    let input = json!({ "id": request, "currentPassword": ana.password });
    ana.asks(verify, json!({ "input": input })).await.data();
    let review = "mutation($input: ReviewDeletionInput!) {
      reviewDeletion(input: $input) { request { status } } }";
    let input = json!({
        "id": request, "decision": "APPROVE", "reason": "the person may ask for it", "overrideRetention": true,
    });
    let began = Instant::now();
    for admin in admins {
        let variables = json!({ "input": input });
        admin.asks(review, variables).await.data();
    }
    let status = format!("SELECT status FROM data_deletion_requests WHERE id = '{request}'");
    while text(&world.sql(&status).await[0]["status"]) != "completed" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    let left = format!(
        "SELECT count(*) AS count FROM medical_records
         WHERE patient_id = '{}' AND (erased_at IS NULL OR octet_length(encrypted_data) > 0)",
        ana.id
    );
    let left: Value = world.sql(&left).await.remove(0);
    assert_eq!(left["count"], 0, "of {count} records none is left");
    took
}

/// Pages that the others read.
async fn pages(population: &Arc<Population>, world: &World, time: Duration) -> Measured {
    let load = Load {
        server: world.api.address(),
        clients: OTHERS,
        until: Until::Passed(time),
    };
    let population = Arc::clone(population);
    let ask = move |turn: Turn| {
        let nth = usize::try_from(turn.nth).unwrap_or_default();
        let patient = &population.patients[nth % population.patients.len()];
        let body = json!({ "query": PAGE, "variables": { "patientId": patient } });
        post("/graphql", population.token(turn), &body.to_string())
    };
    load.run(ask, |_: Turn, reply: &Reply<'_>| reply.is_data())
        .await
}
