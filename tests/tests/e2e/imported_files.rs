//! Files in documents that are too long with them: they come in with the document, are stored beside its record, and go out as
//! `Binary` resources.

use std::fs;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tests::transfer::{BUNDLE, NDJSON, Report, heart_rate};
use tests::{Person, Reply, World, documents, text};
use vault::attachment::{CHUNK, FileHash};
use vault::digest::to_hex;

const SHA256: &str = "https://meditrustal.example/fhir/StructureDefinition/sha256";

/// A file that begins as PDF does, of some 3 MB: it has several chunks, the last one shorter.
fn pdf() -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    for line in (0..).map(|nth| format!("{nth} praxibetel\n")) {
        bytes.extend_from_slice(line.as_bytes());
        if bytes.len() > 12 * CHUNK {
            break;
        }
    }
    bytes
}

/// A report with this file in it, which says more of it.
fn report(file: &[u8], more: &Value) -> Value {
    let document = documents::of("IMAGING");
    let mut document: Value = serde_json::from_str(&document).expect("JSON");
    let mut form = json!({
        "contentType": "application/pdf", "title": "Chest, two views", "data": BASE64_STANDARD.encode(file),
    });
    let more = more.as_object().into_iter().flatten();
    for (name, value) in more {
        form[name] = value.clone();
    }
    document["id"] = json!("r7");
    document["presentedForm"] = json!([form]);
    document
}

/// The SHA-256 of a file in hexadecimal digits, and its SHA-1 in base64.
fn hashes(file: &[u8]) -> (String, String) {
    let mut hash = FileHash::default();
    hash.update(file);
    let (sha256, sha1) = hash.finish();
    (to_hex(&sha256), sha1)
}

/// A record's document, as it is stored.
async fn document(person: &Person, record: &str) -> Value {
    let read = person.reads(record).await;
    let canonical = text(&read.data()["medicalRecord"]["canonical"]);
    serde_json::from_str(&canonical).expect("JSON")
}

pub(crate) async fn gets(world: &World, person: &Person, record: &str) -> Reply {
    let path = format!("/records/{record}/attachments/1");
    let bearer = person.bearer();
    let headers = [("authorization", bearer.as_str())];
    world.api.takes("GET", &path, &headers, "").await
}

pub(crate) async fn chunks(world: &World) -> u64 {
    let rows = world
        .sql("SELECT count(*) AS count FROM attachment_chunks")
        .await;
    rows[0]["count"].as_u64().expect("a number")
}

/// How often it was written down that a file was stored.
async fn rows(world: &World) -> usize {
    let rows = world.audit_rows("action_type = 'RECORD_AMEND' AND new_value ? 'attachment'");
    rows.await.len()
}

async fn brings(world: &World, person: &Person, patient: &Person, document: &Value) -> Report {
    let upload = document.to_string();
    let source = (NDJSON, "&source=h");
    person.imports(&world.api, patient, source, upload).await
}

#[tokio::test]
async fn a_file_that_is_too_long_for_its_document_is_stored_beside_the_record() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    // Whoever may create brings the files of what they create.
    ana.lets(&dr_bo, &["CREATE"]).await;
    let file = pdf();
    let (sha256, sha1) = hashes(&file);
    let sent = report(&file, &json!({}));

    let first = brings(&world, &dr_bo, &ana, &sent).await;
    let again = brings(&world, &dr_bo, &ana, &sent).await;

    assert_eq!(
        first.each("outcome"),
        [json!("CREATED")],
        "{:?}",
        first.lines
    );
    assert_eq!(again.each("outcome"), [json!("ALREADY_THERE")]);
    for report in [&first, &again] {
        assert_eq!(report.lines[0]["attachments"], 1, "{:?}", report.lines);
        assert_eq!(report.end["attachments"], 1);
    }
    let count = u64::try_from(file.len().div_ceil(CHUNK)).expect("few");
    assert_eq!((chunks(&world).await, rows(&world).await), (count, 1));
    let record = text(&first.lines[0]["recordId"]);
    assert_eq!(again.lines[0]["recordId"], record.as_str());
    let kept = document(&ana, &record).await;
    assert_eq!(
        kept["presentedForm"],
        json!([{
            "contentType": "application/pdf", "title": "Chest, two views", "size": file.len(), "hash": sha1,
            "url": format!("Binary/{record}-1"), "extension": [{ "url": SHA256, "valueString": sha256 }],
        }])
    );
    let read = gets(&world, &ana, &record).await;
    assert_eq!(read.status, 200, "{}", read.body.len());
    assert!(read.body.as_bytes() == file, "byte for byte");
    world.wait_for_anchor(&record, "CONFIRMED").await;
    let verified = ana.verifies(&record).await;
    assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");

    // An import that was killed between the record and its file is sent again.
    world
        .executes("DELETE FROM attachment_chunks WHERE number > 2")
        .await;
    let mended = brings(&world, &dr_bo, &ana, &sent).await;
    assert_eq!(mended.each("outcome"), [json!("ALREADY_THERE")]);
    assert_eq!(chunks(&world).await, count);
    assert!(gets(&world, &ana, &record).await.body.as_bytes() == file);
}

#[tokio::test]
async fn files_come_with_documents_that_refer_to_each_other_and_with_their_next_versions() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = pdf();
    let of = |document: &Value, id: &str| json!({ "fullUrl": format!("https://h.example/fhir/{id}"), "resource": document });
    let mut measured: Value = serde_json::from_str(&heart_rate(61)).expect("JSON");
    measured["id"] = json!("o1");
    let mut named = report(
        &file,
        &json!({ "size": file.len(), "hash": hashes(&file).1 }),
    );
    named["result"] = json!([{ "reference": "Observation/o1" }]);
    let mut other = file.clone();
    other.extend_from_slice(b"addendum\n");
    let mut changed = named.clone();
    changed["presentedForm"] = report(&other, &json!({}))["presentedForm"].clone();
    let bundle = |report: &Value| {
        let entries = [
            of(report, "DiagnosticReport/r7"),
            of(&measured, "Observation/o1"),
        ];
        json!({ "resourceType": "Bundle", "type": "collection", "entry": entries }).to_string()
    };

    let dry = (BUNDLE, "&dryRun=true");
    let dry = ana.imports(&world.api, &ana, dry, bundle(&named)).await;
    let nothing = chunks(&world).await;
    let upload = (BUNDLE, "");
    let first = ana.imports(&world.api, &ana, upload, bundle(&named)).await;
    let next = ana
        .imports(&world.api, &ana, upload, bundle(&changed))
        .await;

    assert_eq!(dry.each("outcome"), vec![json!("WOULD_BE_CREATED"); 2]);
    assert_eq!(nothing, 0, "a trial stores nothing");
    assert_eq!(
        first.each("outcome"),
        vec![json!("CREATED"); 2],
        "{:?}",
        first.lines
    );
    assert_eq!(first.end["attachments"], 1);
    assert_eq!(
        next.each("outcome"),
        [json!("AMENDED"), json!("ALREADY_THERE")],
        "{:?}",
        next.lines
    );
    for (report, file) in [(&first, &file), (&next, &other)] {
        let record = text(&report.lines[0]["recordId"]);
        let read = gets(&world, &ana, &record).await;
        assert!(read.body.as_bytes() == file, "each version has its own");
    }
    let record = text(&first.lines[0]["recordId"]);
    let observation = text(&first.lines[1]["recordId"]);
    let kept = document(&ana, &record).await;
    assert_eq!(
        kept["result"][0]["reference"],
        format!("Observation/{observation}")
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_taken_out_is_told_with_its_place() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = pdf();
    let text = "n".repeat(2 << 20);
    for (more, element, rule) in [
        (json!({ "size": 7 }), "size", "attachment-size"),
        (
            json!({ "hash": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=" }),
            "hash",
            "attachment-hash",
        ),
        (
            json!({ "extension": [{ "url": SHA256, "valueString": "00".repeat(32) }] }),
            "extension",
            "attachment-sha256",
        ),
        (
            json!({ "contentType": "image/png" }),
            "contentType",
            "attachment-type",
        ),
        (
            json!({ "contentType": "video/mp4" }),
            "contentType",
            "attachment-type",
        ),
        (json!({ "data": text }), "contentType", "attachment-type"),
        (
            json!({ "data": "%".repeat(2 << 20) }),
            "data",
            "attachment-data",
        ),
    ] {
        let refused = brings(&world, &ana, &ana, &report(&file, &more)).await;
        let told = &refused.lines[0]["operationOutcome"]["issue"][0];
        assert_eq!(
            told["expression"],
            json!([format!("DiagnosticReport.presentedForm[0].{element}")]),
            "{rule}: {:?}",
            refused.lines
        );
        let reason = format!("INVALID_DOCUMENT {rule}");
        assert_eq!(refused.end["reasons"][reason], 1, "{:?}", refused.end);
    }
    // What is long otherwise is too long.
    let mut long = report(b"", &json!({}));
    long["presentedForm"] = json!([]);
    long["conclusion"] = json!(text);
    let refused = brings(&world, &ana, &ana, &long).await;
    assert_eq!(refused.lines[0]["code"], "BAD_USER_INPUT");
    let numbers = vec!["1"; 3 << 20].join(",");
    let crowded = format!(r#"{{"resourceType":"DiagnosticReport","a":[{numbers}]}}"#);
    let refused = ana.imports(&world.api, &ana, (NDJSON, ""), crowded).await;
    assert_eq!(refused.lines[0]["code"], "BAD_USER_INPUT");
    let kept = world.sql("SELECT 1 FROM medical_records").await;
    assert!(kept.is_empty() && chunks(&world).await == 0);
}

#[tokio::test]
async fn an_export_takes_the_files_with_it_if_it_is_asked_to() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = pdf();
    let brought = brings(&world, &ana, &ana, &report(&file, &json!({}))).await;
    let record = text(&brought.lines[0]["recordId"]);
    let binary = format!("{record}-1");
    let is_it = |resource: &Value, proxy: &str| {
        assert_eq!(resource["resourceType"], "Binary");
        assert_eq!(resource["id"], binary.as_str());
        assert_eq!(resource["contentType"], "application/pdf");
        assert_eq!(resource["securityContext"]["reference"], proxy);
        let data = text(&resource["data"]);
        let data = BASE64_STANDARD.decode(data).expect("base64");
        assert!(data == file, "byte for byte");
    };
    let proxy = format!("DiagnosticReport/{record}");

    let plain = ana.exports(&world.api, &ana, "").await;
    let lines = ana.exports(&world.api, &ana, "&attachments=true").await;
    let transaction = "&format=transaction&attachments=true";
    let transaction = ana.exports(&world.api, &ana, transaction).await.json();
    let bundle = "&format=bundle&attachments=true";
    let bundle = ana.exports(&world.api, &ana, bundle).await.json();
    let archive = "&format=archive&attachments=true";
    let archive = ana.exports(&world.api, &ana, archive).await;

    assert_eq!(plain.body.lines().count(), 1);
    let lines: Vec<&str> = lines.body.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(plain.body.lines().next(), Some(lines[0]), "the same bytes");
    is_it(&serde_json::from_str(lines[1]).expect("JSON"), &proxy);
    let entries = transaction["entry"].as_array().expect("a list");
    assert_eq!(entries.len(), 3, "the patient, the record, the file");
    is_it(&entries[2]["resource"], &proxy);
    assert_eq!(
        entries[2]["request"],
        json!({ "method": "PUT", "url": format!("Binary/{binary}") })
    );
    // The document names the file by the address that it is stored under there.
    assert_eq!(
        entries[1]["resource"]["presentedForm"][0]["url"],
        format!("Binary/{binary}")
    );
    is_it(
        &bundle["entry"][1]["resource"],
        &format!("urn:uuid:{record}"),
    );
    assert_eq!(
        (archive.status, archive.code().as_str()),
        (400, "BAD_USER_INPUT")
    );
    let path = world.file("ana.ndjson");
    let command = ["export", &path, "--format", "ndjson", "--attachments"];
    let ended = world.runs(&ana, &ana, &command).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.complaint.contains("1 in"), "{ended:?}");
    let written = fs::read_to_string(&path).expect("it is there");
    assert_eq!(written.lines().collect::<Vec<_>>(), lines);
    let asked = world
        .audit_rows("action_type = 'RECORD_SEARCH' AND new_value ->> 'attachments' = 'true'")
        .await;
    assert_eq!(asked.len(), 4);
    let taken = world.audit_rows("action_type = 'RECORD_EXPORT'").await;
    assert_eq!(taken.len(), 5);

    // A file that is not what was stored is told in its place.
    world
        .executes("UPDATE attachment_chunks SET sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40)) WHERE number = 1")
        .await;
    let lines = ana.exports(&world.api, &ana, "&attachments=true").await;
    let last: Value =
        serde_json::from_str(lines.body.lines().last().expect("a line")).expect("JSON");
    assert_eq!(
        (
            &last["resourceType"],
            last["issue"][0].to_string().contains("INTEGRITY_VIOLATION")
        ),
        (&json!("OperationOutcome"), true),
        "{last}"
    );
    // One that is gone is told, too.
    world.executes("DELETE FROM attachment_chunks").await;
    let gone = ana.exports(&world.api, &ana, "&attachments=true").await;
    assert_eq!(
        gone.body.lines().count(),
        2,
        "the trail says that it was stored"
    );
}

#[tokio::test]
async fn the_files_of_an_import_count_towards_what_an_account_may_send_in_a_day() {
    let limit = ("MEDITRUSTAL_UPLOADS_A_DAY_MIB".to_owned(), "16".to_owned());
    let world = World::with(|options| options.api.push(limit)).await;
    let ana = world.patient("ana").await;
    // Five of some 3 MB are within 16 MiB, and the sixth is not.
    let lines: Vec<String> = (0..6)
        .map(|nth| {
            let mut file = pdf();
            file.extend_from_slice(format!("{nth}").as_bytes());
            report(&file, &json!({})).to_string()
        })
        .collect();

    let upload = lines.join("\n");
    let brought = ana.imports(&world.api, &ana, (NDJSON, ""), upload).await;

    assert_eq!(
        brought.each("outcome"),
        vec![json!("CREATED"); 5],
        "{:?}",
        brought.end
    );
    assert_eq!(
        (&brought.end["ended"], &brought.end["resumeFrom"]),
        (&json!("THROTTLED"), &json!(6)),
        "{:?}",
        brought.end
    );
    assert_eq!(brought.end["attachments"], 5);
}

#[tokio::test]
async fn an_export_with_its_files_can_be_imported_again() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = pdf();
    brings(&world, &ana, &ana, &report(&file, &json!({}))).await;
    let lines = ana
        .exports(&world.api, &ana, "&attachments=true")
        .await
        .body;
    let transaction = "&format=transaction&attachments=true";
    let transaction = ana.exports(&world.api, &ana, transaction).await.body;

    let trial = (NDJSON, "&source=copy&dryRun=true");
    let trial = ana.imports(&world.api, &ana, trial, lines.clone()).await;
    let upload = (NDJSON, "&source=copy");
    let first = ana.imports(&world.api, &ana, upload, lines.clone()).await;
    let again = ana.imports(&world.api, &ana, upload, lines.clone()).await;
    let of_bundle = (BUNDLE, "&source=elsewhere");
    let of_bundle = ana.imports(&world.api, &ana, of_bundle, transaction).await;

    let outcomes = |told: &[&str]| told.iter().map(|it| json!(it)).collect::<Vec<_>>();
    assert_eq!(
        trial.each("outcome"),
        outcomes(&["WOULD_BE_CREATED", "WOULD_BE_ATTACHED"]),
        "{:?}",
        trial.lines
    );
    assert_eq!(
        first.each("outcome"),
        outcomes(&["CREATED", "ATTACHED"]),
        "{:?}",
        first.lines
    );
    assert_eq!(
        again.each("outcome"),
        outcomes(&["ALREADY_THERE", "ATTACHED"])
    );
    assert_eq!(
        of_bundle.each("outcome"),
        outcomes(&["SKIPPED", "CREATED", "ATTACHED"]),
        "{:?}",
        of_bundle.lines
    );
    let record = text(&first.lines[0]["recordId"]);
    assert_eq!(first.lines[1]["recordId"], record.as_str());
    assert_eq!(first.end["attached"], 1);
    let kept = document(&ana, &record).await;
    assert_eq!(
        kept["presentedForm"][0]["url"],
        format!("Binary/{record}-1")
    );
    for record in [&record, &text(&of_bundle.lines[1]["recordId"])] {
        assert!(gets(&world, &ana, record).await.body.as_bytes() == file);
    }

    // What broke off between the two goes on with the file, and the record is not reported twice.
    world
        .executes(&format!(
            "DELETE FROM attachment_chunks WHERE record_id = '{record}' AND number > 0"
        ))
        .await;
    let rest = (NDJSON, "&source=copy&from=2");
    let rest = ana.imports(&world.api, &ana, rest, lines.clone()).await;
    assert_eq!(rest.each("outcome"), outcomes(&["ATTACHED"]));
    assert_eq!(rest.each("entry"), [json!(2)]);
    assert_eq!(rest.end["alreadyThere"], 0);
    assert!(gets(&world, &ana, &record).await.body.as_bytes() == file);

    // Another file is nobody's.
    let (named, binary) = lines.split_once('\n').expect("two lines");
    let mut other: Value = serde_json::from_str(binary).expect("JSON");
    other["data"] = json!(BASE64_STANDARD.encode(b"%PDF-1.7 another"));
    let upload = (NDJSON, "&source=third");
    let unknown = format!("{named}\n{other}\n");
    let unknown = ana.imports(&world.api, &ana, upload, unknown).await;
    assert_eq!(unknown.each("outcome"), outcomes(&["CREATED", "SKIPPED"]));
    assert_eq!(unknown.lines[1]["reason"], "UNCLAIMED");
    assert_eq!(unknown.end["reasons"], json!({ "UNCLAIMED": 1 }));
    // One that comes before its document is stored with that.
    let turned = format!("{binary}\n{named}\n");
    let trial = (NDJSON, "&source=fourth&dryRun=true");
    let trial = ana.imports(&world.api, &ana, trial, turned.clone()).await;
    assert_eq!(
        trial.each("outcome"),
        outcomes(&["WOULD_BE_ATTACHED", "WOULD_BE_CREATED"])
    );
    let upload = (NDJSON, "&source=fourth");
    let turned = ana.imports(&world.api, &ana, upload, turned).await;
    assert_eq!(
        turned.each("outcome"),
        outcomes(&["WITH_DOCUMENT", "CREATED"]),
        "{:?}",
        turned.lines
    );
    assert_eq!(turned.lines[1]["attachments"], 1);
    assert_eq!(
        (&turned.end["withDocument"], &turned.end["attachments"]),
        (&json!(1), &json!(1))
    );
    let record = text(&turned.lines[1]["recordId"]);
    assert!(gets(&world, &ana, &record).await.body.as_bytes() == file);
}

#[tokio::test]
async fn files_that_come_behind_documents_that_refer_to_each_other_are_put_aside_with_them() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = pdf();
    brings(&world, &ana, &ana, &report(&file, &json!({}))).await;
    let lines = ana
        .exports(&world.api, &ana, "&attachments=true")
        .await
        .body;
    let (named, binary) = lines.split_once('\n').expect("two lines");
    let mut named: Value = serde_json::from_str(named).expect("JSON");
    named["result"] = json!([{ "reference": "Observation/o1" }]);
    let mut measured: Value = serde_json::from_str(&heart_rate(61)).expect("JSON");
    measured["id"] = json!("o1");

    let upload = format!("{named}\n{}\n{measured}\n", binary.trim());
    let source = (NDJSON, "&source=copy");
    let brought = ana.imports(&world.api, &ana, source, upload).await;

    assert_eq!(
        brought.each("outcome"),
        [json!("CREATED"), json!("ATTACHED"), json!("CREATED")],
        "{:?}",
        brought.lines
    );
    assert_eq!(brought.end["resolvedReferences"], 1);
    let record = text(&brought.lines[0]["recordId"]);
    assert!(gets(&world, &ana, &record).await.body.as_bytes() == file);
}

/// A report that promises this file and does not hold it.
pub(crate) fn promising(file: &[u8], id: &str) -> Value {
    let (sha256, sha1) = hashes(file);
    let mut document = report(
        b"",
        &json!({
            "size": file.len(), "hash": sha1, "extension": [{ "url": SHA256, "valueString": sha256 }],
        }),
    );
    let form = document["presentedForm"][0].as_object_mut();
    form.expect("an object").remove("data");
    document["id"] = json!(id);
    document
}

/// A file by itself.
pub(crate) fn binary(file: &[u8]) -> Value {
    let data = BASE64_STANDARD.encode(file);
    json!({ "resourceType": "Binary", "contentType": "application/pdf", "data": data })
}

#[tokio::test]
async fn a_file_that_many_records_promise_is_stored_beside_every_one() {
    const RECORDS: usize = 100;
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = b"%PDF-1.7 shared by all of them";
    let documents = (0..RECORDS).map(|nth| promising(file, &format!("r{nth}")).to_string());
    let lines: Vec<String> = documents.chain([binary(file).to_string()]).collect();

    let upload = (NDJSON, "&source=h");
    let first = ana
        .imports(&world.api, &ana, upload, lines.join("\n"))
        .await;
    let again = ana
        .imports(&world.api, &ana, upload, lines.join("\n"))
        .await;

    assert_eq!(first.end["created"], RECORDS, "{:?}", first.end);
    assert_eq!(again.end["alreadyThere"], RECORDS);
    for report in [&first, &again] {
        let last = &report.lines[RECORDS];
        assert_eq!(
            (&last["outcome"], &last["attachments"]),
            (&json!("ATTACHED"), &json!(RECORDS)),
            "{last}"
        );
        assert_eq!(report.end["attachments"], RECORDS);
        assert!(report.end["notes"].is_null(), "{:?}", report.end);
    }
    let count = u64::try_from(RECORDS).expect("few");
    assert_eq!((chunks(&world).await, rows(&world).await), (count, RECORDS));
    for nth in [0, 63, 64, RECORDS - 1] {
        let record = text(&first.lines[nth]["recordId"]);
        assert_eq!(gets(&world, &ana, &record).await.body.as_bytes(), file);
    }
}

const IMPORT: &str = "mutation Import($input: ImportRecordsInput!) { importRecords(input: $input) {
    created alreadyThere refused skipped attached attachments attachmentsRefused
    results { outcome code record { id } issues { path rule } attachments attachmentsRefused }
} }";

#[tokio::test]
async fn a_mutation_stores_files_beside_records_as_an_upload_does() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["CREATE"]).await;
    let file = b"%PDF-1.7 a short one";
    // Longer than a document may be with it, and short enough for a request.
    let mut long = pdf();
    long.truncate(5 * CHUNK - 7);
    let shared = [promising(file, "r1"), promising(file, "r2")];
    let entries: Vec<Value> = [
        binary(file),
        shared[0].clone(),
        report(&long, &json!({})),
        binary(b"%PDF-1.7 nobody's"),
        shared[1].clone(),
    ]
    .map(|document| json!({ "document": document }))
    .to_vec();
    let input = json!({ "input": { "patientId": ana.id, "source": "h", "entries": entries } });

    let first = dr_bo.asks(IMPORT, input.clone()).await;
    let again = dr_bo.asks(IMPORT, input).await;

    let first = first.data()["importRecords"].clone();
    let again = again.data()["importRecords"].clone();
    let each = |told: &Value, name: &str| {
        let results = told["results"].as_array().expect("a list");
        results
            .iter()
            .map(|it| it[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        each(&first, "outcome"),
        ["ATTACHED", "CREATED", "CREATED", "SKIPPED", "CREATED"].map(|it| json!(it)),
        "{first}"
    );
    let there = "ALREADY_THERE";
    assert_eq!(
        each(&again, "outcome"),
        ["ATTACHED", there, there, "SKIPPED", there].map(|it| json!(it)),
        "{again}"
    );
    for told in [&first, &again] {
        assert_eq!(
            each(told, "attachments"),
            [2, 0, 1, 0, 0].map(|it| json!(it))
        );
        assert_eq!(
            (
                &told["attached"],
                &told["attachments"],
                &told["attachmentsRefused"]
            ),
            (&json!(1), &json!(3), &json!(0))
        );
    }
    let record = |nth: usize| text(&first["results"][nth]["record"]["id"]);
    assert_eq!(record(0), record(1), "the first that it is beside");
    let of_long = u64::try_from(long.len().div_ceil(CHUNK)).expect("few");
    assert_eq!((chunks(&world).await, rows(&world).await), (2 + of_long, 3));
    for nth in [1, 4] {
        assert_eq!(gets(&world, &ana, &record(nth)).await.body.as_bytes(), file);
    }
    assert!(gets(&world, &ana, &record(2)).await.body.as_bytes() == long);

    // What is wrong with a file refuses its entry alone.
    let mut other = report(&long, &json!({ "size": 7 }));
    other["id"] = json!("r9");
    let entries = json!([{ "document": other }, { "document": shared[0] }]);
    let input = json!({ "input": { "patientId": ana.id, "source": "h", "entries": entries } });
    let told = dr_bo.asks(IMPORT, input).await.data()["importRecords"].clone();
    assert_eq!(each(&told, "outcome"), [json!("REFUSED"), json!(there)]);
    assert_eq!(
        told["results"][0]["issues"],
        json!([{ "path": "DiagnosticReport.presentedForm[0].size", "rule": "attachment-size" }])
    );
}

#[tokio::test]
async fn the_files_of_a_mutation_count_towards_what_an_account_may_send_in_a_day() {
    let limits = [
        ("MEDITRUSTAL_UPLOADS_A_DAY_MIB", "16"),
        // It takes longer than the usual ten seconds where the machine has much else to do.
        ("MEDITRUSTAL_REQUEST_TIMEOUT", "60"),
    ];
    let limits = limits.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let world = World::with(|options| options.api.extend(limits)).await;
    let ana = world.patient("ana").await;
    // A MiB, in 20 places.
    let mut file = pdf();
    file.truncate(1 << 20);
    let documents = (0..20).map(|nth| promising(&file, &format!("r{nth}")));
    let entries: Vec<Value> = documents
        .chain([binary(&file)])
        .map(|document| json!({ "document": document }))
        .collect();
    let input = json!({ "input": { "patientId": ana.id, "source": "h", "entries": entries } });

    let answer = ana.asks(IMPORT, input).await;

    answer.fails_with("THROTTLED");
    assert!((15..=16).contains(&rows(&world).await));
    let kept = world.sql("SELECT 1 FROM medical_records").await;
    assert_eq!(kept.len(), 20, "the same request finds them");
}

/// A report that says of its file where it is, and nothing else but this.
pub(crate) fn naming(url: &str, id: &str, more: &Value) -> Value {
    let mut document = report(b"", more);
    let form = document["presentedForm"][0]
        .as_object_mut()
        .expect("an object");
    form.remove("data");
    form.insert("url".to_owned(), json!(url));
    document["id"] = json!(id);
    document
}

/// The form of a report of which a file was stored.
pub(crate) fn stored_form(record: &str, file: &[u8]) -> Value {
    let (sha256, sha1) = hashes(file);
    json!([{
        "contentType": "application/pdf", "title": "Chest, two views", "size": file.len(), "hash": sha1,
        "url": format!("Binary/{record}-1"), "extension": [{ "url": SHA256, "valueString": sha256 }],
    }])
}

#[tokio::test]
async fn a_file_that_a_document_names_by_its_address_is_stored_beside_the_record() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["CREATE"]).await;
    let (before, behind, nobodys) = (
        b"%PDF-1.7 that comes before".as_slice(),
        b"%PDF-1.7 that comes behind".as_slice(),
        b"%PDF-1.7 nobody's".as_slice(),
    );
    let at = |url: &str, resource: Value| json!({ "fullUrl": url, "resource": resource });
    let called = |file: &[u8], id: &str| {
        let mut binary = binary(file);
        binary["id"] = json!(id);
        binary
    };
    let uuid = "urn:uuid:0b0c4a2e-54de-4f0b-8a77-1c6e0d9f2b35";
    let base = "https://h.example/fhir";
    let entries = json!([
        at(&format!("{base}/Binary/f1"), called(before, "f1")),
        at(
            &format!("{base}/DiagnosticReport/r1"),
            naming("Binary/f1", "r1", &json!({}))
        ),
        at(
            &format!("{base}/DiagnosticReport/r2"),
            naming(&format!("{base}/Binary/f1"), "r2", &json!({}))
        ),
        at(
            &format!("{base}/DiagnosticReport/r3"),
            naming(uuid, "r3", &json!({ "size": behind.len() }))
        ),
        at(uuid, binary(behind)),
        at(&format!("{base}/Binary/f3"), called(nobodys, "f3")),
    ]);
    let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": entries });
    let bundle = bundle.to_string();

    let trial = (BUNDLE, "&dryRun=true");
    let trial = dr_bo.imports(&world.api, &ana, trial, bundle.clone()).await;
    let nothing = chunks(&world).await;
    let upload = (BUNDLE, "");
    let first = dr_bo
        .imports(&world.api, &ana, upload, bundle.clone())
        .await;
    let again = dr_bo.imports(&world.api, &ana, upload, bundle).await;

    let outcomes = |told: &[&str]| told.iter().map(|it| json!(it)).collect::<Vec<_>>();
    let created = "WOULD_BE_CREATED";
    let attached = "WOULD_BE_ATTACHED";
    assert_eq!(
        trial.each("outcome"),
        outcomes(&[attached, created, created, created, attached, "SKIPPED"]),
        "{:?}",
        trial.lines
    );
    assert_eq!(nothing, 0, "a trial stores nothing");
    for (told, outcome) in [(&first, "CREATED"), (&again, "ALREADY_THERE")] {
        assert_eq!(
            told.each("outcome"),
            outcomes(&[
                "WITH_DOCUMENT",
                outcome,
                outcome,
                outcome,
                "ATTACHED",
                "SKIPPED"
            ]),
            "{:?}",
            told.lines
        );
        assert_eq!(told.lines[5]["reason"], "UNCLAIMED");
        assert_eq!(
            (&told.end["attachments"], &told.end["withDocument"]),
            (&json!(3), &json!(1)),
            "{:?}",
            told.end
        );
    }
    assert_eq!(chunks(&world).await, 3);
    for (line, file) in [(1, before), (2, before), (3, behind)] {
        let record = text(&first.lines[line]["recordId"]);
        assert_eq!(again.lines[line]["recordId"], record.as_str());
        assert_eq!(
            document(&ana, &record).await["presentedForm"],
            stored_form(&record, file)
        );
        assert_eq!(gets(&world, &ana, &record).await.body.as_bytes(), file);
        world.wait_for_anchor(&record, "CONFIRMED").await;
        let verified = ana.verifies(&record).await;
        assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_its_document_says_leaves_the_address_as_it_was() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = b"%PDF-1.7 a file";
    let page = b"<html>".to_vec();
    let mut named = binary(file);
    named["id"] = json!("f1");
    let mut other = binary(b"%PDF-1.7 another of the same name");
    other["id"] = json!("f2");
    let mut twin = binary(file);
    twin["id"] = json!("f2");
    let mut html = binary(&[page, vec![0]].concat());
    html["id"] = json!("f3");
    let documents = [
        naming("Binary/f1", "r1", &json!({ "size": 7 })),
        naming("Binary/f1", "r2", &json!({ "contentType": "image/png" })),
        naming("Binary/f2", "r3", &json!({})),
        naming("Binary/f3", "r4", &json!({})),
        naming("Binary/f4", "r5", &json!({})),
    ];
    let files = [&named, &other, &twin, &html];
    let lines: Vec<String> = documents
        .iter()
        .chain(files)
        .map(Value::to_string)
        .collect();

    let upload = (NDJSON, "&source=h");
    let told = ana
        .imports(&world.api, &ana, upload, lines.join("\n"))
        .await;

    let outcomes: Vec<Value> = [vec!["CREATED"; 5], vec!["SKIPPED"; 4]]
        .concat()
        .into_iter()
        .map(|it| json!(it))
        .collect();
    assert_eq!(told.each("outcome"), outcomes, "{:?}", told.lines);
    assert_eq!(told.end["notes"]["attachment-not-taken"], 3);
    for (line, element) in [(0, "size"), (1, "contentType"), (3, "contentType")] {
        let issue = &told.lines[line]["operationOutcome"]["issue"][0];
        assert_eq!(
            issue["expression"],
            json!([format!("DiagnosticReport.presentedForm[0].{element}")])
        );
    }
    for (line, id) in [(0, "f1"), (2, "f2"), (4, "f4")] {
        let kept = document(&ana, &text(&told.lines[line]["recordId"])).await;
        assert_eq!(kept["presentedForm"][0]["url"], format!("Binary/{id}"));
        assert!(kept["presentedForm"][0]["extension"].is_null());
    }
    assert_eq!(chunks(&world).await, 0);
}

#[tokio::test]
async fn an_import_that_goes_on_finds_the_file_of_an_earlier_entry() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = b"%PDF-1.7 it was put aside before";
    let mut named = binary(file);
    named["id"] = json!("f1");
    let reports = ["r1", "r2"].map(|id| naming("Binary/f1", id, &json!({})).to_string());
    let lines = format!("{named}\n{}\n{}\n", reports[0], reports[1]);

    let upload = (NDJSON, "&source=h");
    // Broken off within the last entry: what names a file that came is stored.
    let broken = &lines[..lines.len() - 10];
    let broken = ana
        .imports(&world.api, &ana, upload, broken.to_owned())
        .await;
    let rest = (NDJSON, "&source=h&from=3");
    let rest = ana.imports(&world.api, &ana, rest, lines).await;

    assert_eq!(
        broken.each("outcome"),
        [json!("WITH_DOCUMENT"), json!("CREATED"), json!("REFUSED")],
        "{:?}",
        broken.lines
    );
    assert_eq!(rest.each("entry"), [json!(3)], "{:?}", rest.lines);
    assert_eq!(rest.each("outcome"), [json!("CREATED")]);
    assert_eq!(rest.lines[0]["attachments"], 1);
    let record = text(&rest.lines[0]["recordId"]);
    assert_eq!(gets(&world, &ana, &record).await.body.as_bytes(), file);
    assert_eq!((chunks(&world).await, rows(&world).await), (2, 2));
}

#[tokio::test]
async fn a_mutation_stores_files_that_documents_name_by_their_addresses() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = b"%PDF-1.7 a short one";
    let mut named = binary(file);
    named["id"] = json!("f1");
    let entries: Vec<Value> = [
        named,
        naming("Binary/f1", "r1", &json!({})),
        naming("Binary/f1", "r2", &json!({ "hash": hashes(file).1 })),
        naming("Binary/f1", "r3", &json!({ "size": 7 })),
    ]
    .map(|document| json!({ "document": document }))
    .to_vec();
    let input = json!({ "input": { "patientId": ana.id, "source": "h", "entries": entries } });

    let told = ana.asks(IMPORT, input).await.data()["importRecords"].clone();

    assert_eq!(
        (&told["attached"], &told["attachments"], &told["created"]),
        (&json!(1), &json!(2), &json!(3)),
        "{told}"
    );
    for nth in [1, 2] {
        let record = text(&told["results"][nth]["record"]["id"]);
        assert_eq!(
            document(&ana, &record).await["presentedForm"],
            stored_form(&record, file)
        );
        assert_eq!(gets(&world, &ana, &record).await.body.as_bytes(), file);
    }
    assert_eq!(
        told["results"][3]["issues"],
        json!([{ "path": "DiagnosticReport.presentedForm[0].size", "rule": "attachment-not-taken" }])
    );
}
