//! Long files of several clients at once: what the api holds of them in memory does not grow with the clients.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures::future::join_all;
use serde_json::{Value, json};
use tests::transfer::NDJSON;
use tests::{World, documents};

/// As long as a file may be. Unit: bytes.
const FILE: usize = 16 << 20;
/// What the api may grow by, in the build that tests run. Unit: million bytes.
const BOUND: f64 = 160.0;

/// A report with a file in it, with its end of line.
fn report() -> String {
    let lines = (0..).flat_map(|nth: u32| format!("{nth} no nodule\n").into_bytes());
    let file: Vec<u8> = lines.take(FILE).collect();
    let mut document: Value = serde_json::from_str(&documents::of("IMAGING")).expect("JSON");
    let data = BASE64_STANDARD.encode(file);
    document["presentedForm"] = json!([{ "contentType": "text/plain", "data": data }]);
    format!("{document}\n")
}

#[tokio::test]
async fn eight_clients_store_and_read_long_files_at_once_in_the_memory_of_a_few() {
    // What they ask of the database together is as much as it does in a test: nobody else asks meanwhile.
    let world = World::alone().await;
    let mut people = Vec::new();
    for name in ["ana", "budi", "chen", "dian", "eko", "fay", "gita", "hadi"] {
        people.push(world.patient(name).await);
    }
    let upload = report();
    let (before, _) = world.api.memory();

    // Who is told that there is no room at the moment asks again.
    let imports = people.iter().map(async |person| {
        loop {
            let report = person.imports(&world.api, person, (NDJSON, ""), upload.clone());
            let report = report.await;
            if !report.end.to_string().contains("\"BUSY\"") {
                return report;
            }
        }
    });
    let reports = join_all(imports).await;
    let (_, stored) = world.api.memory();
    // An export is broken off where the database is busy: half as many.
    let exports = people.iter().take(4).map(async |person| {
        loop {
            let export = person
                .exports(&world.api, person, "&attachments=true")
                .await;
            let is_refused = export.body.starts_with(r#"{"errors":"#);
            if !(is_refused && export.body.contains("\"BUSY\"")) {
                return export;
            }
        }
    });
    let exports = join_all(exports).await;
    let (_, read) = world.api.memory();

    for report in &reports {
        let end = &report.end;
        assert_eq!(
            (&end["ended"], &end["created"]),
            (&json!("COMPLETE"), &json!(1)),
            "{end}"
        );
    }
    for export in &exports {
        assert_eq!(export.body.lines().count(), 2, "a record and its file");
        assert!(export.body.len() > FILE / 3 * 4);
    }
    for (what, at_most) in [("in", stored), ("out", read)] {
        let grown = at_most - before;
        println!("8 files {what}, and the api grew by {grown:.0} MB from {before:.0} MB");
        assert!(grown < BOUND, "{what}: {grown:.0} MB");
    }
}
