//! How many documents of 3 kB are read, checked, stamped and written per second on one core.
//!
//! `cargo run --release -p fhir --example bench`. Each line is the best of five
//! rounds; `serde_json` parses the same bytes in the same run, as a measure that
//! moves with the machine.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use fhir::{Identity, Json, RecordType, canonical, check, reader, stamp};

/// The size of document that the bar is set for, in bytes.
const BAR_BYTES: f64 = 3_000.0;
/// How many documents of that size are to be read and checked in a second.
const BAR: f64 = 40_000.0;
const ROUNDS: usize = 5;
const REPEATS: usize = 2_000;

const IDENTITY: Identity<'_> = Identity {
    record_id: "0198c9f2-6d0e-7a51-b2c4-3f5a9d1e7b60",
    patient_id: "9b2f6c1a-54de-4f0b-8a77-1c6e0d9f2b35",
    version: 1,
    last_updated: "2026-03-04T10:00:00.000Z",
    salt_hex: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    reason: None,
};

fn main() -> ExitCode {
    let mut documents = Vec::new();
    for record_type in RecordType::ALL {
        match load(record_type) {
            Ok(loaded) => documents.push(loaded),
            Err(why) => return complain(&why),
        }
    }
    report("serde_json: parse to Value", &documents, |document| {
        serde_json::from_slice::<serde_json::Value>(&document.bytes).is_ok()
    });
    report("fhir: read", &documents, |document| {
        reader::read(&document.bytes).is_ok()
    });
    report("fhir: check", &documents, |d| {
        check(&d.json, d.record_type).is_ok()
    });
    let checked = report("fhir: read and check", &documents, |document| {
        reader::read(&document.bytes).is_ok_and(|json| check(&json, document.record_type).is_ok())
    });
    report(
        "fhir: read, check, stamp, canonical",
        &documents,
        |document| {
            let Ok(json) = reader::read(&document.bytes) else {
                return false;
            };
            check(&json, document.record_type).is_ok()
                && stamp(json, document.record_type, &IDENTITY)
                    .is_ok_and(|stamped| !canonical::to_bytes(&stamped).is_empty())
        },
    );
    if checked < BAR {
        return complain(&format!(
            "fewer than {BAR} were read and checked in a second"
        ));
    }
    ExitCode::SUCCESS
}

struct Document {
    record_type: RecordType,
    bytes: Vec<u8>,
    json: Json,
}

/// The example of a record type without the white space that makes it readable.
fn load(record_type: RecordType) -> Result<Document, String> {
    let name = record_type.as_str().to_ascii_lowercase().replace('_', "-");
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/documents");
    let text = std::fs::read(documents.join(&name).with_extension("json"))
        .map_err(|e| format!("{name}: {e}"))?;
    let json = reader::read(&text).map_err(|e| format!("{name}: {e}"))?;
    Ok(Document {
        record_type,
        bytes: canonical::to_bytes(&json),
        json,
    })
}

/// Times the work over all documents and prints bytes and documents of 3 kB per second; gives the latter.
#[expect(clippy::print_stdout, reason = "a benchmark reports")]
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn report(name: &str, documents: &[Document], work: impl Fn(&Document) -> bool) -> f64 {
    let bytes: usize = documents.iter().map(|document| document.bytes.len()).sum();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REPEATS {
            for document in documents {
                assert!(black_box(work(black_box(document))), "a document failed");
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let per_second = (bytes * REPEATS) as f64 / best;
    println!(
        "{name:<36} {:>7.1} MB/s {:>9.0} documents of 3 kB/s",
        per_second / 1e6,
        per_second / BAR_BYTES
    );
    per_second / BAR_BYTES
}

#[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
fn complain(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
