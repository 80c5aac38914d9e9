//! A file as Synthea writes it, brought in by `meditrustal import`: how many entries a second, in how much memory, and that the
//! same file again changes nothing. And files of records: what sealing and opening them takes of a processor, by themselves and
//! in the documents that bring them.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tests::bench::{Arguments, Bar, Costs, Figure, Report, analyze, progress};
use tests::{Person, World, documents, id, synthea};
use vault::attachment::FileHash;
use vault::digest::to_hex;

/// How long a file is: as long as one may be. Unit: bytes.
const FILE: usize = 16 << 20;
/// How many files a record has.
const FILES: u64 = 10;

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let world = arguments.world().await;
    let mut report = Report::new();

    let all = arguments.many(synthea::LARGEST.0);
    let mut memory = Vec::new();
    for (name, entries) in [("ana", all / 10), ("budi", all)] {
        let person = world.patient(name).await;
        memory.push(brings(&world, &person, entries, &mut report).await);
    }
    // What is held at most never becomes less: the small file came first.
    if let [tenth, whole] = memory[..] {
        report.beside(
            "resident memory of the api, at most, beside that of a tenth of the file",
            Figure::Megabytes(whole),
            Figure::Megabytes(tenth),
            Bar::PartAtMost(1.25),
        );
    }
    files(&world, arguments.many(FILES), &mut report).await;
    within(&world, arguments.many(FILES), &mut report).await;
    report.memory(&world);
    report.print("import");
}

/// Brings a file in, twice; answers what the api held in memory at most by then.
async fn brings(world: &World, person: &Person, entries: u64, report: &mut Report) -> f64 {
    let file = world.file(&format!("{}.json", person.username));
    let mut output = BufWriter::new(File::create(&file).expect("a file can be made"));
    synthea::write(entries, &mut output).expect("written");
    output.flush().expect("written");
    progress(format_args!("importing {entries} entries"));
    let what = format!("import of {entries} entries by one command");
    let records = synthea::records(entries);
    let costs = Costs::begin(world);
    let took = runs(
        world,
        person,
        &file,
        &format!("{records} stored, 0 there already, 0 refused"),
    )
    .await;
    let costs = costs.end(world);
    report.figure(&what, per_second(entries, took), Bar::AtLeast(900.0));
    report.note(format!("{what}: {}", costs.each(entries)));
    analyze(world).await;

    progress("importing them again");
    let before = versions(world).await;
    let again = format!("0 stored, {records} there already, 0 refused");
    let took = runs(world, person, &file, &again).await;
    report.figure(
        format!("{what}, again"),
        per_second(entries, took),
        Bar::None,
    );
    let changed = versions(world).await.abs_diff(before);
    let what = format!("records that the second import of {entries} entries changed");
    report.figure(what, Figure::Count(changed), Bar::AtMost(0.0));
    world.api.memory().1
}

/// Runs the command, which must say so; how long it took.
async fn runs(world: &World, person: &Person, file: &str, says: &str) -> Duration {
    let began = Instant::now();
    let ended = world.runs(person, person, &["import", file]).await;
    let took = began.elapsed();
    assert!(
        ended.complaint.contains(says),
        "{says}: {}",
        ended.complaint
    );
    took
}

/// How many versions of records there are.
async fn versions(world: &World) -> u64 {
    let rows = world.sql("SELECT count(*) AS count FROM medical_records");
    rows.await[0]["count"].as_u64().expect("a number")
}

/// Stores so many files of a record and reads them.
async fn files(world: &World, count: u64, report: &mut Report) {
    let chen = world.patient("chen").await;
    let bytes = contents();
    let promised: Vec<Value> = (0..count).map(|_| promise(&bytes)).collect();
    let document = documents::of("IMAGING");
    let mut document: Value = serde_json::from_str(&document).expect("JSON");
    document["presentedForm"] = json!(promised);
    let record = id(&chen.creates(&chen, "IMAGING", document).await);
    let bearer = chen.bearer();
    let headers = [("authorization", bearer.as_str())];

    progress(format_args!("storing {count} files of {} MiB", FILE >> 20));
    let costs = Costs::begin(world);
    for place in 1..=count {
        let path = format!("/records/{record}/attachments/{place}");
        let stored = world.api.takes("PUT", &path, &headers, bytes.clone()).await;
        assert_eq!(stored.status, 201, "{}", stored.body);
    }
    let sealed = costs.end(world).of_api();
    progress("reading them");
    let costs = Costs::begin(world);
    for place in 1..=count {
        let path = format!("/records/{record}/attachments/{place}");
        let read = world.api.takes("GET", &path, &headers, "").await;
        assert_eq!((read.status, read.body.len()), (200, FILE));
    }
    let opened = costs.end(world).of_api();
    for (what, seconds) in [("sealed", sealed), ("opened", opened)] {
        let what = format!("MB of files {what} in a second of the api's processor time");
        report.figure(what, megabytes_in(count, seconds), Bar::AtLeast(100.0));
    }
}

/// Brings so many reports in with their files in them, and takes them out again with them.
async fn within(world: &World, count: u64, report: &mut Report) {
    let dian = world.patient("dian").await;
    let document = documents::of("IMAGING");
    let mut document: Value = serde_json::from_str(&document).expect("JSON");
    let data = BASE64_STANDARD.encode(contents());
    document["presentedForm"] = json!([{ "contentType": "text/plain", "data": data }]);
    let file = world.file("reports.ndjson");
    let mut output = BufWriter::new(File::create(&file).expect("a file can be made"));
    for nth in 0..count {
        document["conclusion"] = json!(format!("Report {nth}"));
        writeln!(output, "{document}").expect("written");
    }
    output.flush().expect("written");

    progress(format_args!("importing {count} reports with their files"));
    let costs = Costs::begin(world);
    let says = format!("{count} stored, 0 there already, 0 refused");
    runs(world, &dian, &file, &says).await;
    let came = costs.end(world).of_api();
    let costs = Costs::begin(world);
    let exported = dian.exports(&world.api, &dian, "&attachments=true").await;
    let went = costs.end(world).of_api();
    let lines = exported.body.lines().count() as u64;
    assert_eq!(lines, 2 * count, "a record and its file");
    for (what, seconds) in [("imported", came), ("exported", went)] {
        let what =
            format!("MB of files {what} with documents in a second of the api's processor time");
        report.figure(what, megabytes_in(count, seconds), Bar::None);
    }
}

/// A file of text, which is what a report is.
fn contents() -> Vec<u8> {
    let lines = (0..).flat_map(|nth: u32| format!("{nth} no nodule, no effusion\n").into_bytes());
    lines.take(FILE).collect()
}

/// What a document says of a file.
fn promise(bytes: &[u8]) -> Value {
    let mut hash = FileHash::default();
    hash.update(bytes);
    let (sha256, _) = hash.finish();
    json!({
        "contentType": "text/plain",
        "size": bytes.len(),
        "extension": [{
            "url": "https://meditrustal.example/fhir/StructureDefinition/sha256",
            "valueString": to_hex(&sha256),
        }],
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody counts to 2^52 in a benchmark"
)]
fn per_second(count: u64, time: Duration) -> Figure {
    Figure::PerSecond(count as f64 / time.as_secs_f64())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody counts to 2^52 in a benchmark"
)]
fn megabytes_in(files: u64, seconds: f64) -> Figure {
    let bytes = files as f64 * FILE as f64;
    // Processor time is counted in hundredths of a second.
    Figure::PerSecond(bytes / 1_000_000.0 / seconds.max(0.01))
}
