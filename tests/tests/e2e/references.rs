//! What documents of an import refer to: records, however much is put aside until all of them have arrived; a medication, which they
//! contain; and what no record is made of, which they say by an identifier.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::transfer::{BUNDLE, NDJSON, Report, dangling, heart_rate, references, stored};
use tests::{Person, World, id, text};

use crate::imported_files::{binary, chunks, gets, naming, promising, stored_form};
use crate::sources::{BASE, brings, bundle, document, entry, measured};

/// How many heart rates refer to each other: some 40 kB each, so that they are more than two windows of 1 MiB.
const COUNT: usize = 60;
/// How many of these, without references, are more than one window.
const LONG: usize = 40;

/// A world in which an import puts 1 MiB aside at most.
async fn with_small_windows() -> World {
    let limit = ("MEDITRUSTAL_HELD_ENTRIES_MIB".to_owned(), "1".to_owned());
    World::with(|options| options.api.push(limit)).await
}

/// Heart rates of which each refers to the one before it, and the first to the last.
fn long_circle() -> Vec<String> {
    let note = "resting, seated. ".repeat(2_400);
    let one = |nth: usize| {
        let before = (nth + COUNT - 1) % COUNT;
        let more = format!(
            r#""id":"{nth}","note":[{{"text":"{nth}: {note}"}}],"hasMember":[{{"reference":"Observation/{before}"}}]"#
        );
        measured(72, &more)
    };
    (0..COUNT).map(one).collect()
}

/// What is stored of a patient now, by the ids of the records.
async fn documents(world: &World, person: &Person) -> BTreeMap<String, Value> {
    let exported = person.exports(&world.api, person, "").await;
    let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let documents = exported.body.lines().map(read);
    documents.map(|it| (id(&it), it)).collect()
}

fn ours(record: &Value) -> String {
    format!("Observation/{}", text(record))
}

#[tokio::test]
async fn what_is_longer_than_may_be_put_aside_is_stored_window_by_window() {
    let world = with_small_windows().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["CREATE"]).await;
    let lines = long_circle();
    let source = "&source=h";

    let dry = brings(&world, &ana, "&source=h&dryRun=true", &lines).await;
    let first = brings(&world, &ana, source, &lines).await;

    assert_eq!(dry.end["wouldBeCreated"], COUNT);
    assert_eq!(first.end["ended"], "COMPLETE", "{:?}", first.end);
    assert_eq!(first.each("outcome"), vec![json!("CREATED"); COUNT]);
    let numbers: Vec<Value> = (1..=COUNT).map(|number| json!(number)).collect();
    assert_eq!(first.each("entry"), numbers, "in their order");
    for report in [&dry, &first] {
        // What the first refers to comes in another window.
        assert_eq!(report.lines[0]["unresolvedReferences"], 1);
        let counted = ["resolvedReferences", "unresolvedReferences"].map(|name| &report.end[name]);
        assert_eq!(counted, [&json!(COUNT - 1), &json!(1)]);
    }
    let records = first.each("recordId");
    let kept = documents(&world, &ana).await;
    assert_eq!((kept.len(), stored(&world).await), (COUNT, COUNT as u64));
    for nth in 1..COUNT {
        let meant = &kept[&text(&records[nth])]["hasMember"];
        assert_eq!(*meant, json!([{ "reference": ours(&records[nth - 1]) }]));
    }
    let last = format!("Observation/{}", COUNT - 1);
    assert_eq!(
        kept[&text(&records[0])]["hasMember"],
        json!([{ "identifier": { "value": last }, "type": "Observation" }])
    );

    // The same again mends it, by whoever may amend; by nobody else, and once.
    let upload = || lines.join("\n");
    let theirs = dr_bo
        .imports(&world.api, &ana, (NDJSON, source), upload())
        .await;
    assert_eq!(theirs.each("outcome"), vec![json!("ALREADY_THERE"); COUNT]);
    let dry = brings(&world, &ana, "&source=h&dryRun=true", &lines).await;
    assert_eq!(dry.lines[0]["outcome"], "WOULD_BE_AMENDED");
    let again = brings(&world, &ana, source, &lines).await;
    let mut expected = vec![json!("ALREADY_THERE"); COUNT];
    expected[0] = json!("AMENDED");
    assert_eq!(again.each("outcome"), expected, "{:?}", again.end);
    assert_eq!(again.lines[0]["version"], 2);
    let mended = &again.lines[0]["recordId"];
    let document = document(&ana, mended).await;
    assert_eq!(
        document["hasMember"],
        json!([{ "reference": ours(&records[COUNT - 1]) }])
    );
    let once_more = brings(&world, &ana, source, &lines).await;
    assert_eq!(once_more.end["alreadyThere"], COUNT);
    assert_eq!(&once_more.lines[0]["recordId"], mended);
    assert_eq!(stored(&world).await, COUNT as u64 + 1);
}

#[tokio::test]
async fn an_upload_that_breaks_off_in_its_second_window_goes_on_where_it_says() {
    let world = with_small_windows().await;
    let ana = world.patient("ana").await;
    let entries: Vec<String> = (0..)
        .zip(long_circle())
        .map(|(nth, resource): (u32, String)| {
            entry(&format!("{BASE}/Observation/{nth}"), &resource)
        })
        .collect();
    let whole = bundle("transaction", &entries);
    let part = whole[..whole.len() * 3 / 4].to_owned();

    let broken = ana.imports(&world.api, &ana, (BUNDLE, ""), part).await;
    let reported = broken.lines.len();
    let from = format!("&from={}", reported + 1);
    let rest = ana.imports(&world.api, &ana, (BUNDLE, &from), whole).await;

    assert_eq!(broken.end["ended"], "BAD_REQUEST", "{:?}", broken.end);
    assert_eq!(broken.end["resumeFrom"], reported + 1);
    assert_eq!(broken.each("outcome"), vec![json!("CREATED"); reported]);
    assert!((30..COUNT).contains(&reported), "{reported}");
    assert_eq!(rest.end["ended"], "COMPLETE");
    assert_eq!(
        rest.each("outcome"),
        vec![json!("CREATED"); COUNT - reported]
    );
    assert_eq!(stored(&world).await, COUNT as u64);
    // What was stored before it broke off is found by its source.
    let before = ours(&broken.lines[reported - 1]["recordId"]);
    let next = document(&ana, &rest.lines[0]["recordId"]).await;
    assert_eq!(next["hasMember"], json!([{ "reference": before }]));
}

const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
const FOREIGN: &str = "https://other.example/fhir/Organization/1";

fn urn(nth: usize) -> String {
    format!("urn:uuid:00000000-0000-4000-8000-{nth:012}")
}

fn to(nth: usize) -> Value {
    json!({ "reference": urn(nth) })
}

/// A hospital's file, each entry by the number of its URN: what is referred to stands behind what refers to it, or before.
fn hospital() -> Vec<Value> {
    let mut measured: Value = serde_json::from_str(&heart_rate(72)).expect("JSON");
    measured["subject"] = to(0);
    measured["encounter"] = json!({ "reference": urn(2), "display": "As the ward says" });
    measured["performer"] = json!([to(4), { "reference": FOREIGN }]);
    measured["basedOn"] = json!([{ "reference": "ServiceRequest/none" }]);
    let clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical";
    let category = "http://terminology.hl7.org/CodeSystem/condition-category";
    vec![
        json!({ "resourceType": "Patient", "name": [{ "family": "A" }] }),
        json!({
            "resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": to(0), "encounter": to(2),
            "medicationReference": to(6), "reasonReference": [to(5)], "authoredOn": "2026-01-02",
            "requester": { "reference": format!("Practitioner?identifier={NPI}|99") },
            "dosageInstruction": [{ "text": "One at night" }],
        }),
        json!({
            "resourceType": "Encounter", "status": "finished", "class": { "code": "AMB" }, "type": [{ "text": "Check-up" }],
        }),
        json!({
            "resourceType": "Practitioner", "identifier": [{ "system": NPI, "value": "99" }],
            "name": [{ "given": ["Rosa"], "family": "Lindgren" }],
        }),
        json!({ "resourceType": "Organization", "name": "Mercy Hospital" }),
        json!({
            "resourceType": "Condition", "subject": to(0), "encounter": to(2), "code": { "text": "Hypertension" },
            "clinicalStatus": { "coding": [{ "system": clinical, "code": "active" }] },
            "category": [{ "coding": [{ "system": category, "code": "encounter-diagnosis" }] }],
        }),
        json!({
            "resourceType": "Medication", "meta": { "versionId": "1" }, "code": { "text": "Ramipril 5 MG" }, "manufacturer": to(4),
            "ingredient": [{ "itemReference": { "reference": "#s" } }],
            "contained": [{ "resourceType": "Substance", "id": "s", "code": { "text": "Ramipril" } }],
        }),
        json!({
            "resourceType": "MedicationAdministration", "status": "completed", "subject": to(0), "context": to(2),
            "medicationReference": to(6), "effectiveDateTime": "2026-01-03", "request": to(1), "performer": [{ "actor": to(3) }],
            "dosage": { "dose": { "value": 1, "unit": "tablet" } },
        }),
        measured,
        json!({ "resourceType": "Medication", "code": { "text": "Nobody refers to it" } }),
    ]
}

/// What a list shows of a record.
async fn title(person: &Person, record: &Value) -> String {
    let query = "query($id: UUID!) { medicalRecord(id: $id) { summary { title } } }";
    let read = person.asks(query, json!({ "id": record })).await;
    text(&read.data()["medicalRecord"]["summary"]["title"])
}

/// An identifier of what nothing is stored for.
fn logical(uri: &str, kind: &str, display: &str) -> Value {
    let identifier = json!({ "system": "urn:ietf:rfc:3986", "value": uri });
    json!({ "identifier": identifier, "type": kind, "display": display })
}

#[tokio::test]
async fn every_reference_of_a_transaction_that_is_taken_out_leads_to_something() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let entries = hospital().into_iter().enumerate();
    let entries: Vec<String> = entries
        .map(|(nth, resource)| entry(&urn(nth), &resource.to_string()))
        .collect();
    let upload = bundle("transaction", &entries);

    let dry = (BUNDLE, "&dryRun=true");
    let dry = ana.imports(&world.api, &ana, dry, upload.clone()).await;
    let first = ana
        .imports(&world.api, &ana, (BUNDLE, ""), upload.clone())
        .await;
    let again = ana.imports(&world.api, &ana, (BUNDLE, ""), upload).await;

    let outcomes = |made: &str| {
        let skipped = [0, 2, 3, 4, 6, 9];
        let all = 0..entries.len();
        let told = all.map(|nth| {
            if skipped.contains(&nth) {
                "SKIPPED"
            } else {
                made
            }
        });
        told.map(|it| json!(it)).collect::<Vec<Value>>()
    };
    assert_eq!(dry.each("outcome"), outcomes("WOULD_BE_CREATED"));
    assert_eq!(
        first.each("outcome"),
        outcomes("CREATED"),
        "{:?}",
        first.lines
    );
    assert_eq!(again.each("outcome"), outcomes("ALREADY_THERE"));
    for report in [&dry, &first] {
        let counted = ["resolvedReferences", "unresolvedReferences"].map(|name| &report.end[name]);
        assert_eq!(counted, [&json!(4), &json!(9)], "{:?}", report.lines);
    }
    let request = document(&ana, &first.lines[1]["recordId"]).await;
    let condition = format!("Condition/{}", text(&first.lines[5]["recordId"]));
    let visit = logical(&urn(2), "Encounter", "Check-up");
    assert_eq!(request["encounter"], visit);
    assert_eq!(
        request["reasonReference"],
        json!([{ "reference": condition }])
    );
    let requester = json!({
        "identifier": { "system": NPI, "value": "99" }, "type": "Practitioner", "display": "Rosa Lindgren",
    });
    assert_eq!(request["requester"], requester);
    assert_eq!(
        request["contained"],
        json!([
            {
                "resourceType": "Medication", "id": "contained-1", "code": { "text": "Ramipril 5 MG" },
                "manufacturer": { "identifier": { "system": "urn:ietf:rfc:3986", "value": urn(4) } },
                "ingredient": [{ "itemReference": { "reference": "#contained-2" } }],
            },
            { "resourceType": "Substance", "id": "contained-2", "code": { "text": "Ramipril" } },
        ])
    );
    let given = document(&ana, &first.lines[7]["recordId"]).await;
    assert_eq!(given["context"], visit);
    let nurse = logical(&urn(3), "Practitioner", "Rosa Lindgren");
    assert_eq!(given["performer"], json!([{ "actor": nurse }]));
    let measured = document(&ana, &first.lines[8]["recordId"]).await;
    let ward = logical(&urn(2), "Encounter", "As the ward says");
    assert_eq!(measured["encounter"], ward);
    assert_eq!(
        measured["performer"],
        json!([logical(&urn(4), "Organization", "Mercy Hospital"), { "reference": FOREIGN }])
    );
    let asked =
        json!({ "identifier": { "value": "ServiceRequest/none" }, "type": "ServiceRequest" });
    assert_eq!(measured["basedOn"], json!([asked]));
    for nth in [1, 7] {
        let title = title(&ana, &first.lines[nth]["recordId"]).await;
        assert!(title.starts_with("Ramipril 5 MG"), "{title}");
    }

    let exported = ana.exports(&world.api, &ana, "&format=transaction").await;
    let out = exported.json();
    assert_eq!(dangling(&out), [""; 0]);
    let mut literals = Vec::new();
    references(&out, &mut literals);
    assert!(literals.len() > 8, "{literals:?}");
    assert!(literals.contains(&FOREIGN.to_owned()), "{literals:?}");
}

#[tokio::test]
async fn a_medication_is_read_in_what_refers_to_it_by_whichever_name_and_whenever_it_comes() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let taken = |reference: &str| {
        json!({
            "resourceType": "MedicationStatement", "id": "s", "status": "active", "effectiveDateTime": "2026-01-02",
            "medicationReference": { "reference": reference },
        })
        .to_string()
    };
    let medication = r#"{"resourceType":"Medication","id":"m","code":{"text":"Ramipril 5 MG"}}"#;
    let url = |path: &str| format!("{BASE}/{path}");

    // In lines, the medication first; in a Bundle, by its address.
    let lines = [medication.to_owned(), taken("Medication/m")];
    let by_line = brings(&world, &ana, "&source=h", &lines).await;
    let entries = [
        entry(&url("MedicationStatement/s"), &taken(&url("Medication/m"))),
        entry(&url("Medication/m"), medication),
    ];
    let of_bundle = bundle("searchset", &entries);
    let of_bundle = ana.imports(&world.api, &ana, (BUNDLE, ""), of_bundle).await;

    assert_eq!(
        by_line.each("outcome"),
        ["SKIPPED", "CREATED"].map(|it| json!(it))
    );
    assert_eq!(
        of_bundle.each("outcome"),
        ["CREATED", "SKIPPED"].map(|it| json!(it))
    );
    for line in [&by_line.lines[1], &of_bundle.lines[0]] {
        let title = title(&ana, &line["recordId"]).await;
        assert!(title.starts_with("Ramipril 5 MG"), "{title}");
    }

    // One that comes later mends what was stored without it; what was stored with it stays.
    let alone = [taken("Medication/m")];
    let without = brings(&world, &ana, "&source=later", &alone).await;
    let with = brings(&world, &ana, "&source=later", &lines).await;
    let again = brings(&world, &ana, "&source=later", &alone).await;
    assert_eq!(without.lines[0]["unresolvedReferences"], 1);
    assert_eq!(with.lines[1]["outcome"], "AMENDED", "{:?}", with.lines);
    assert_eq!(again.lines[0]["outcome"], "ALREADY_THERE");
    let title_of = async |line: &Value| title(&ana, &line["recordId"]).await;
    let unread = title_of(&without.lines[0]).await;
    assert!(!unread.contains("Ramipril"), "{unread}");
    let read = title_of(&with.lines[1]).await;
    assert!(read.starts_with("Ramipril 5 MG"), "{read}");
    assert_eq!(again.lines[0]["recordId"], with.lines[1]["recordId"]);
}

/// More than one window of heart rates that refer to nothing.
fn filling() -> Vec<String> {
    let note = "resting, seated. ".repeat(2_400);
    let one = |nth: usize| {
        let more = format!(r#""id":"{nth}","note":[{{"text":"{nth}: {note}"}}]"#);
        measured(72, &more)
    };
    (0..LONG).map(one).collect()
}

/// A file by itself that has this id.
fn called(id: &str, file: &[u8]) -> String {
    let mut binary = binary(file);
    binary["id"] = json!(id);
    binary.to_string()
}

/// A report of which the file is one of this id.
fn naming_id(id: &str, of: &str) -> Value {
    naming(&format!("Binary/{of}"), id, &json!({}))
}

/// Two windows of an import: in the first are documents of which the drugs and files come in the second, or in none.
fn two_windows(file: &[u8]) -> Vec<String> {
    let taken = |named: &str| {
        json!({
            "resourceType": "MedicationStatement", "id": named, "status": "active", "effectiveDateTime": "2026-01-02",
            "medicationReference": { "reference": format!("Medication/{named}") },
        })
        .to_string()
    };
    // Nobody can say which record it is, when it comes again.
    let mut nameless = naming_id("r4", "f4");
    nameless.as_object_mut().expect("an object").remove("id");
    let reports = [
        naming_id("r1", "f1"),
        naming_id("r2", "never"),
        naming_id("r3", "f3"),
        nameless,
    ];
    let mut lines = vec![taken("m"), taken("never")];
    lines.extend(reports.iter().map(Value::to_string));
    lines.extend(filling());
    let medication = r#"{"resourceType":"Medication","id":"m","code":{"text":"Ramipril 5 MG"}}"#;
    lines.push(medication.to_owned());
    lines.extend([
        called("f1", file),
        called("f3", b"<html>\0"),
        called("f4", b"%PDF-1.7 too late"),
    ]);
    lines
}

#[tokio::test]
async fn what_comes_in_a_later_window_is_in_the_next_version() {
    let world = with_small_windows().await;
    let ana = world.patient("ana").await;
    let file = b"%PDF-1.7 of the second window";
    let lines = two_windows(file);

    let dry = brings(&world, &ana, "&source=h&dryRun=true", &lines).await;
    let first = brings(&world, &ana, "&source=h", &lines).await;
    let again = brings(&world, &ana, "&source=h", &lines).await;

    assert_eq!(first.end["ended"], "COMPLETE", "{:?}", first.end);
    let numbers = (1..=lines.len()).chain([1, 3, 5]);
    let numbers: Vec<Value> = numbers.map(|number| json!(number)).collect();
    let behind = |report: &Report| report.each("outcome")[lines.len() - 4..].to_vec();
    for (report, amended, with_document) in [
        (&dry, "WOULD_BE_AMENDED", "WOULD_BE_ATTACHED"),
        (&first, "AMENDED", "WITH_DOCUMENT"),
    ] {
        assert_eq!(report.each("entry"), numbers, "{:?}", report.end);
        let told = ["SKIPPED", with_document, "SKIPPED", "SKIPPED"];
        let of_documents = [amended, amended, "ALREADY_THERE"];
        let expected: Vec<Value> = told
            .into_iter()
            .chain(of_documents)
            .map(|it| json!(it))
            .collect();
        assert_eq!(behind(report), expected);
        let counted = ["resolvedReferences", "unresolvedReferences"].map(|name| &report.end[name]);
        assert_eq!(counted, [&json!(1), &json!(1)]);
    }
    let counted = ["created", "amended", "skipped", "attachments"].map(|name| &first.end[name]);
    let expected = [json!(LONG + 6), json!(2), json!(3), json!(1)];
    assert_eq!(counted, expected.each_ref());
    for (before, after) in [(0, 0), (2, 1)] {
        let versions = [&first.lines[before], &first.lines[lines.len() + after]];
        assert_eq!(
            versions.map(|line| &line["version"]),
            [&json!(1), &json!(2)]
        );
    }
    let named = title(&ana, &first.lines[lines.len()]["recordId"]).await;
    assert!(named.starts_with("Ramipril 5 MG"), "{named}");
    let amended = &first.lines[lines.len() + 1];
    assert_eq!(amended["attachments"], 1, "{amended}");
    let record = text(&amended["recordId"]);
    let next = document(&ana, &amended["recordId"]).await;
    assert_eq!(next["presentedForm"], stored_form(&record, file));
    assert_eq!(gets(&world, &ana, &record).await.body.as_bytes(), file);

    // What a document does not get is told: of one that is looked at again with it, else with the file.
    let issue = |line: &Value| {
        let issue = &line["operationOutcome"]["issue"][0];
        let rule = text(&issue["details"]["coding"][0]["code"]);
        (rule, text(&issue["expression"][0]))
    };
    let told = |rule: &str, path: &str| (rule.to_owned(), path.to_owned());
    for report in [&first, &again] {
        let place = "DiagnosticReport.presentedForm[0].contentType";
        let not_taken = report.lines.last().expect("a line");
        assert_eq!(issue(not_taken), told("attachment-not-taken", place));
        let too_late = &report.lines[lines.len() - 1];
        assert_eq!(issue(too_late), told("attachment-too-late", "Binary"));
        let notes = ["attachment-not-taken", "attachment-too-late"];
        let counted = notes.map(|rule| &report.end["notes"][rule]);
        assert_eq!(counted, [&json!(1), &json!(1)]);
    }

    // The same again changes nothing, and tells no version twice.
    assert_eq!(again.lines.len(), lines.len() + 1);
    assert_eq!(again.end["alreadyThere"], LONG + 7, "{:?}", again.end);
    for (before, after) in [(0, 0), (2, 1)] {
        let newest = &first.lines[lines.len() + after]["recordId"];
        assert_eq!(&again.lines[before]["recordId"], newest);
    }
    let expected = (LONG as u64 + 8, 1);
    assert_eq!((stored(&world).await, chunks(&world).await), expected);

    // Another import may bring what never came.
    let mended = [lines[3].clone(), called("never", file)];
    let mended = brings(&world, &ana, "&source=h", &mended).await;
    assert_eq!(
        mended.each("outcome"),
        ["AMENDED", "ATTACHED"].map(|it| json!(it))
    );
}

/// Two windows of an import: in the first are files that documents of both name or promise, or of one of them, or of none.
fn files_first(early: &[u8], both: &[u8], promised: &[u8]) -> Vec<String> {
    let mut lines = vec![
        called("f1", early),
        called("never", b"%PDF-1.7 nobody's"),
        called("f2", both),
        naming_id("r1", "f2").to_string(),
        called("f3", b"<html>\0"),
        binary(promised).to_string(),
    ];
    lines.extend(filling());
    lines.extend([
        naming_id("r2", "f1").to_string(),
        naming_id("r3", "f1").to_string(),
        naming_id("r4", "f2").to_string(),
        naming_id("r5", "f3").to_string(),
        // The same file once more, in the window of its document.
        binary(promised).to_string(),
        promising(promised, "r6").to_string(),
    ]);
    lines
}

#[tokio::test]
async fn a_file_of_an_earlier_window_is_in_the_first_version() {
    let world = with_small_windows().await;
    let (ana, ben) = (world.patient("ana").await, world.patient("ben").await);
    let (early, both, promised) = (
        b"%PDF-1.7 of the first window".as_slice(),
        b"%PDF-1.7 of both windows".as_slice(),
        b"%PDF-1.7 promised".as_slice(),
    );
    let lines = files_first(early, both, promised);

    let dry = brings(&world, &ana, "&source=h&dryRun=true", &lines).await;
    let nothing = (stored(&world).await, chunks(&world).await);
    let first = brings(&world, &ana, "&source=h", &lines).await;
    let after_first = (stored(&world).await, chunks(&world).await);
    let again = brings(&world, &ana, "&source=h", &lines).await;

    assert_eq!(first.end["ended"], "COMPLETE", "{:?}", first.end);
    // Those that were kept are told of twice.
    let numbers = (1..=lines.len()).chain([1, 2, 6]);
    let numbers: Vec<Value> = numbers.map(|number| json!(number)).collect();
    for (report, outcome, claimed) in [
        (&dry, "WOULD_BE_CREATED", "WOULD_BE_ATTACHED"),
        (&first, "CREATED", "WITH_DOCUMENT"),
        (&again, "ALREADY_THERE", "WITH_DOCUMENT"),
    ] {
        assert_eq!(report.each("entry"), numbers, "{:?}", report.end);
        let mut expected = vec!["KEPT", "KEPT", claimed, outcome, "SKIPPED", "KEPT"];
        expected.extend([outcome; LONG + 4]);
        expected.extend([claimed, outcome]);
        expected.extend([claimed, "SKIPPED", claimed]);
        let expected: Vec<Value> = expected.into_iter().map(|it| json!(it)).collect();
        assert_eq!(report.each("outcome"), expected);
        let of_files = &report.end["byResourceType"]["Binary"];
        let expected = json!({ "KEPT": 3, "SKIPPED": 2, claimed: 4 });
        assert_eq!((of_files, &report.end["kept"]), (&expected, &json!(3)));
        assert_eq!(report.end["reasons"], json!({ "UNCLAIMED": 2 }));
        assert_eq!(report.end["notes"], json!({ "attachment-not-taken": 1 }));
    }
    assert_eq!(nothing, (0, 0), "a trial stores nothing");
    assert_eq!(after_first, (LONG as u64 + 6, 5));
    // The same again changes nothing.
    assert_eq!((stored(&world).await, chunks(&world).await), after_first);
    let behind = 6 + LONG;
    for (line, file) in [(0, early), (1, early), (2, both), (5, promised)] {
        let line = &first.lines[behind + line];
        assert_eq!(
            (&line["version"], &line["attachments"]),
            (&json!(1), &json!(1))
        );
        let record = text(&line["recordId"]);
        let kept = document(&ana, &line["recordId"]).await;
        if file != promised {
            assert_eq!(kept["presentedForm"], stored_form(&record, file));
        }
        assert_eq!(gets(&world, &ana, &record).await.body.as_bytes(), file);
    }

    // An import that goes on behind the files finds them, and tells nothing of what is before it.
    let rest = brings(&world, &ben, "&source=h&from=7", &lines).await;
    let numbers: Vec<Value> = (7..=lines.len()).map(|number| json!(number)).collect();
    assert_eq!(rest.each("entry"), numbers, "{:?}", rest.end);
    let mut expected = vec![json!("CREATED"); LONG + 4];
    expected.extend([json!("WITH_DOCUMENT"), json!("CREATED")]);
    assert_eq!(rest.each("outcome"), expected);
    let attachments = rest.each("attachments")[LONG..].to_vec();
    let (one, none) = (json!(1), Value::Null);
    let expected = [&one, &one, &one, &none, &none, &one].map(Value::clone);
    assert_eq!(attachments, expected);
}

#[tokio::test]
async fn files_of_earlier_windows_are_kept_for_all_patients_as_long_as_there_is_room() {
    let world = with_small_windows().await;
    let (ana, ben) = (world.patient("ana").await, world.patient("ben").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["CREATE"]).await;
    ben.lets(&dr_bo, &["CREATE"]).await;
    // As long as a window.
    let long = |filling: u8| {
        let mut file = b"%PDF-1.7 ".to_vec();
        file.resize(1_200_000, filling);
        file
    };
    let file = long(b'0');
    let of = |patient: u8, id: &str, of: &str| {
        let mut report = naming_id(id, of);
        report["subject"] = json!({ "reference": format!("Patient/{patient}") });
        report.to_string()
    };
    let lines = [
        called("long", &file),
        called("beyond", b"%PDF-1.7 beyond the room"),
        called("longer", &long(b'1')),
        of(1, "a", "long"),
        of(2, "b", "long"),
        of(1, "c", "beyond"),
        // The second of two files behind a document is nobody's.
        of(1, "d", "twice"),
        called("twice", b"%PDF-1.7 twice"),
        called("twice", b"%PDF-1.7 twice"),
    ];
    let map = format!("{}=Patient/1&{}=Patient/2", ana.id, ben.id);
    let bearer = dr_bo.bearer();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", NDJSON),
        ("x-patients", map.as_str()),
    ];

    let brought = async |path: &str| {
        let upload = lines.join("\n");
        Report::of(world.api.takes("POST", path, &headers, upload).await)
    };

    let dry = brought("/import?source=h&dryRun=true").await;
    let told = brought("/import?source=h").await;

    let attached = "WOULD_BE_ATTACHED";
    for (report, outcome, behind, before) in [
        (&dry, "WOULD_BE_CREATED", attached, attached),
        (&told, "CREATED", "ATTACHED", "WITH_DOCUMENT"),
    ] {
        let mut expected = vec!["KEPT", "SKIPPED", "SKIPPED"];
        expected.extend([outcome; 4]);
        expected.extend([behind, "SKIPPED", before]);
        let expected: Vec<Value> = expected.into_iter().map(|it| json!(it)).collect();
        assert_eq!(report.each("outcome"), expected, "{:?}", report.lines);
        assert_eq!(report.lines[9]["entry"], 1);
        assert_eq!(report.end["reasons"], json!({ "UNCLAIMED": 3 }));
    }
    for (line, person) in [(3, &ana), (4, &ben)] {
        let record = text(&told.lines[line]["recordId"]);
        assert_eq!(told.lines[line]["attachments"], 1);
        let read = gets(&world, person, &record).await;
        assert!(read.body.as_bytes() == file, "{}", read.status);
    }
    let without = document(&ana, &told.lines[5]["recordId"]).await;
    assert_eq!(without["presentedForm"][0]["url"], "Binary/beyond");
}

#[tokio::test]
async fn a_mutation_contains_a_medication_and_says_who_is_meant() {
    const IMPORT: &str = "mutation Import($input: ImportRecordsInput!) { importRecords(input: $input) {
        created skipped resolvedReferences unresolvedReferences results { outcome record { canonical summary { title } } }
    } }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let documents = [
        json!({
            "resourceType": "MedicationRequest", "status": "active", "intent": "order",
            "medicationReference": { "reference": "Medication/m" }, "requester": { "reference": "Practitioner/7" },
        }),
        json!({ "resourceType": "Practitioner", "id": "7", "name": [{ "text": "Dr Pill" }] }),
        json!({ "resourceType": "Medication", "id": "m", "code": { "text": "Ramipril 5 MG" } }),
    ];
    let entries = documents.map(|document| json!({ "document": document }));
    let input = json!({ "input": { "patientId": ana.id, "source": BASE, "entries": entries } });

    let answer = ana.asks(IMPORT, input).await;

    let told = &answer.data()["importRecords"];
    let counted = [
        "created",
        "skipped",
        "resolvedReferences",
        "unresolvedReferences",
    ];
    assert_eq!(
        counted.map(|name| &told[name]),
        [&json!(1), &json!(2), &json!(1), &json!(1)]
    );
    let record = &told["results"][0]["record"];
    assert_eq!(record["summary"]["title"], "Ramipril 5 MG");
    let canonical: Value = serde_json::from_str(&text(&record["canonical"])).expect("JSON");
    let doctor = logical(&format!("{BASE}/Practitioner/7"), "Practitioner", "Dr Pill");
    assert_eq!(canonical["requester"], doctor);
}
