//! Profiles: a document that declares one is held against it, and what cannot be checked of it is named.

use std::fs;

use async_compression::Level;
use async_compression::tokio::bufread::GzipEncoder;
use serde_json::{Value, json};
use tests::transfer::{NDJSON, heart_rate, stored};
use tests::{Person, Program, World};
use tokio::io::AsyncReadExt as _;

const BASE: &str = "https://guide.example/StructureDefinition";

/// A heart rate that says who measured it, in a unit that the guide lists.
fn profile() -> Value {
    json!({
        "resourceType": "StructureDefinition", "url": format!("{BASE}/pulse"), "version": "1.0.0",
        "type": "Observation", "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Observation",
        "snapshot": { "element": [
            { "id": "Observation", "path": "Observation", "constraint": [
                { "key": "pulse-1", "severity": "error", "source": format!("{BASE}/pulse") },
            ]},
            { "id": "Observation.subject", "path": "Observation.subject", "min": 1, "max": "1" },
            { "id": "Observation.performer", "path": "Observation.performer", "min": 1, "max": "*" },
            { "id": "Observation.method", "path": "Observation.method", "min": 0, "max": "1",
              "binding": { "strength": "required", "valueSet": "https://guide.example/ValueSet/methods" } },
        ]},
    })
}

fn methods() -> Value {
    json!({
        "resourceType": "ValueSet", "url": "https://guide.example/ValueSet/methods",
        "compose": { "include": [{ "system": "urn:methods", "concept": [{ "code": "palpation" }] }] },
    })
}

/// A file of an archive, as tar has it.
fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[148..157].copy_from_slice(b"        0");
    header[257..262].copy_from_slice(b"ustar");
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// The files of a guide of these definitions.
fn files(definitions: &[Value]) -> Vec<(String, Vec<u8>)> {
    let manifest = json!({ "name": "guide", "version": "1.0.0", "fhirVersions": ["4.0.1"] });
    let mut files = vec![
        ("package.json".to_owned(), manifest.to_string().into_bytes()),
        // An example of a guide is none of its definitions.
        ("example/broken.json".to_owned(), b"{".to_vec()),
    ];
    for (at, definition) in definitions.iter().enumerate() {
        files.push((format!("{at}.json"), definition.to_string().into_bytes()));
    }
    files
}

/// An api that holds documents against a package of these files.
pub(crate) async fn api_with_profiles(world: &World, files: &[(String, Vec<u8>)]) -> Program {
    let mut archive = Vec::new();
    for (name, content) in files {
        archive.extend(member(&format!("package/{name}"), content));
    }
    archive.extend([0; 1024]);
    let mut bytes = Vec::new();
    let mut encoder = GzipEncoder::with_quality(archive.as_slice(), Level::Fastest);
    encoder.read_to_end(&mut bytes).await.expect("it is read");
    let file = world.file("guide.tgz");
    fs::write(&file, bytes).expect("written");
    let more = [("MEDITRUSTAL_PROFILES", file.as_str())];
    world.another_api("profiles", &more).await
}

/// An api that holds documents against the guide.
async fn with_the_guide(world: &World) -> Program {
    api_with_profiles(world, &files(&[profile(), methods()])).await
}

/// A heart rate that declares these profiles, and says more.
fn declaring(profiles: &[&str], more: &Value) -> String {
    let mut document: Value = serde_json::from_str(&heart_rate(61)).expect("JSON");
    document["meta"] = json!({ "profile": profiles });
    let members = document.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    document.to_string()
}

/// The documents of the tests: kept, broken twice, of nobody, of another guide.
fn documents() -> [String; 4] {
    let pulse = format!("{BASE}/pulse");
    let method = |code: &str| json!({ "coding": [{ "system": "urn:methods", "code": code }] });
    let performer = json!([{ "display": "Nurse Tan" }]);
    let kept = json!({ "performer": performer, "method": method("palpation") });
    [
        declaring(&[&pulse], &kept),
        declaring(&[&pulse], &json!({ "method": method("guess") })),
        heart_rate(62),
        declaring(&["https://elsewhere.example/pulse"], &json!({})),
    ]
}

/// The places and rules of issues, as GraphQL shows them or an `OperationOutcome` holds them.
pub(crate) fn told(issues: &Value) -> Vec<(String, String)> {
    let issues = issues.as_array().expect("a list").iter();
    let of = |issue: &Value| {
        let path = issue["path"]
            .as_str()
            .or_else(|| issue["expression"][0].as_str());
        let rule = issue["rule"]
            .as_str()
            .or_else(|| issue["details"]["coding"][0]["code"].as_str());
        (
            path.unwrap_or_default().to_owned(),
            rule.unwrap_or_default().to_owned(),
        )
    };
    issues.map(of).collect()
}

pub(crate) fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    let wanted = wanted.iter();
    wanted
        .map(|(path, rule)| ((*path).to_owned(), (*rule).to_owned()))
        .collect()
}

pub(crate) const NOT_CHECKED: &str = "profile-not-checked";

async fn creates(person: &Person, document: &str) -> tests::Answer {
    let create = "mutation($input: CreateMedicalRecordInput!) {
      createMedicalRecord(input: $input) { record { id } notes { severity path rule message } } }";
    let input = format!(
        r#"{{"input":{{"patientId":"{}","recordType":"VITAL_SIGNS","document":{document}}}}}"#,
        person.id
    );
    person.asks_with(create, &input).await
}

#[tokio::test]
async fn a_document_is_held_against_the_profile_that_it_declares_and_against_no_other() {
    let world = World::start().await;
    let api = with_the_guide(&world).await;
    let ana = world.patient("ana").await;
    let there = ana.at(&api);
    let [kept, broken, undeclared, unknown] = documents();

    let stored_it = creates(&there, &kept).await;
    let refused = creates(&there, &broken).await;
    let plain = creates(&there, &undeclared).await;
    let foreign = creates(&there, &unknown).await;

    let notes = |answer: &tests::Answer| answer.data()["createMedicalRecord"]["notes"].clone();
    // A constraint in FHIRPath is never taken as kept.
    let constraint = [("Observation", NOT_CHECKED)];
    assert_eq!(told(&notes(&stored_it)), pairs(&constraint));
    let problem = refused.fails_with("INVALID_DOCUMENT");
    let issues = &problem.extensions["issues"];
    assert_eq!(
        told(issues)[..2],
        pairs(&[
            ("Observation.performer", "profile:pulse"),
            ("Observation.method", "profile:pulse"),
        ])
    );
    assert!(!issues.to_string().contains("guess"), "{issues}");
    assert_eq!(notes(&plain), json!([]));
    let profile = ("Observation.meta.profile[0]", NOT_CHECKED);
    assert_eq!(told(&notes(&foreign)), pairs(&[profile]));
    let named = notes(&foreign)[0]["message"].to_string();
    assert!(named.contains("https://elsewhere.example/pulse"), "{named}");
    // An api without packages holds documents against R4 alone.
    let without = creates(&ana, &broken).await;
    assert_eq!(notes(&without), json!([]));
    assert_eq!(stored(&world).await, 4);
}

#[tokio::test]
async fn an_import_tells_of_each_entry_what_its_profiles_demand_and_what_was_not_checked() {
    let world = World::start().await;
    let api = with_the_guide(&world).await;
    let ana = world.patient("ana").await;
    let upload = documents().join("\n");

    let dry = ana
        .imports(&api, &ana, (NDJSON, "&dryRun=true"), upload.clone())
        .await;
    let report = ana.imports(&api, &ana, (NDJSON, ""), upload).await;

    assert_eq!(
        report.each("outcome"),
        ["CREATED", "REFUSED", "CREATED", "CREATED"].map(Value::from)
    );
    let issues = |line: usize| told(&report.lines[line]["operationOutcome"]["issue"]);
    assert_eq!(issues(0), pairs(&[("Observation", NOT_CHECKED)]));
    let first = ("Observation.performer", "profile:pulse");
    assert_eq!(issues(1)[..1], pairs(&[first]));
    assert_eq!(report.lines[2]["operationOutcome"], Value::Null);
    let profile = ("Observation.meta.profile[0]", NOT_CHECKED);
    assert_eq!(issues(3), pairs(&[profile]));
    assert_eq!(
        report.end["reasons"],
        json!({ "INVALID_DOCUMENT profile:pulse": 1 })
    );
    assert_eq!(report.end["notes"], json!({ NOT_CHECKED: 2 }));
    for line in 0..4 {
        let outcome = "operationOutcome";
        assert_eq!(dry.lines[line][outcome], report.lines[line][outcome]);
    }
    // The same as a GraphQL variable.
    let import = "mutation($input: ImportRecordsInput!) { importRecords(input: $input) {
      results { outcome code issues { path rule } } } }";
    let entries = documents().map(|document| {
        let document: Value = serde_json::from_str(&document).expect("JSON");
        json!({ "document": document })
    });
    let input = json!({ "patientId": ana.id, "entries": entries, "key": "once more" });
    let answer = ana.at(&api).asks(import, json!({ "input": input })).await;
    let results = &answer.data()["importRecords"]["results"];
    assert_eq!(told(&results[0]["issues"]), issues(0));
    assert_eq!(told(&results[1]["issues"])[..1], pairs(&[first]));
    assert_eq!(results[2]["issues"], json!([]));
    assert_eq!(told(&results[3]["issues"]), pairs(&[profile]));
}
