//! The examples of implementation guides, as their packages have them: how many come in, and that they are stored as they were
//! but for what is the server's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Map, Value};
use tests::transfer::{BUNDLE, NDJSON, Report};
use tests::{Person, World, text};

/// The packages that have examples for R4. US Core has no version in the registry.
const PACKAGES: [&str; 1] = ["hl7.fhir.uv.ips"];
/// How many of a hundred examples of kinds that records are made of come in.
const BAR: usize = 97;

/// An example: its file, and what is in it.
struct Example {
    file: String,
    resource: Value,
}

fn examples(package: &str) -> Vec<Example> {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let directory = root.join("node_modules").join(package).join("example");
    let files = fs::read_dir(&directory);
    let files = files.unwrap_or_else(|error| {
        panic!("{package} is not installed ({error}): run `cargo dev tools --test`")
    });
    let mut examples: Vec<Example> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let text = fs::read_to_string(&path).expect("an example is text");
            Example {
                file: path.display().to_string(),
                resource: serde_json::from_str(&text).expect("JSON"),
            }
        })
        .collect();
    examples.sort_by(|a, b| a.file.cmp(&b.file));
    examples
}

/// By which names patients are called in a value.
fn patients(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if members
                .get("resourceType")
                .is_some_and(|it| it == "Patient")
                && let Some(id) = members.get("id").and_then(Value::as_str)
            {
                found.insert(format!("Patient/{id}"));
            }
            if let (Some(url), Some(resource)) = (members.get("fullUrl"), members.get("resource"))
                && resource["resourceType"] == "Patient"
            {
                found.insert(text(url));
            }
            for (name, value) in members {
                if let (true, Some(reference)) = (
                    ["subject", "patient"].contains(&name.as_str()),
                    value["reference"].as_str(),
                ) && !reference.starts_with('#')
                {
                    found.insert(reference.to_owned());
                }
                patients(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| patients(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a resource says, without what the server owns or replaces: id, version, patient, references to what came with it.
fn without_the_servers(resource: &Value) -> Value {
    let mut resource = resource.clone();
    if let Some(members) = resource.as_object_mut() {
        for name in ["id", "meta", "subject", "patient"] {
            members.remove(name);
        }
    }
    without_references(&mut resource);
    resource
}

fn without_references(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("reference").is_some_and(Value::is_string) {
                members.remove("reference");
                members.remove("identifier");
            }
            members.values_mut().for_each(without_references);
        }
        Value::Array(items) => items.iter_mut().for_each(without_references),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

async fn brings(world: &World, person: &Person, map: &str, example: &Example) -> Report {
    let is_bundle = example.resource["resourceType"] == "Bundle";
    let media = if is_bundle { BUNDLE } else { NDJSON };
    let bearer = person.bearer();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", media),
        ("x-patients", map),
    ];
    // What could be of two types stands in a history, as a summary of a patient has it.
    let path = format!(
        "/import?patient={}&recordType=MEDICAL_HISTORY&source={}",
        person.id,
        example.file.rsplit('/').next().unwrap_or_default()
    );
    let upload = example.resource.to_string();
    Report::of(world.api.takes("POST", &path, &headers, upload).await)
}

/// The resources of an example, in the order of its report.
fn resources(example: &Example) -> Vec<&Value> {
    match example.resource["entry"].as_array() {
        Some(entries) => entries.iter().map(|entry| &entry["resource"]).collect(),
        None => vec![&example.resource],
    }
}

#[tokio::test]
async fn the_examples_of_guides_come_in_as_they_are() {
    let world = World::start().await;
    for (nth, package) in PACKAGES.into_iter().enumerate() {
        let person = world.patient(&format!("guide{nth}")).await;
        let examples = examples(package);
        let mut named = BTreeSet::new();
        for example in &examples {
            patients(&example.resource, &mut named);
        }
        let map: Vec<String> = named
            .iter()
            .map(|name| format!("{}={name}", person.id))
            .collect();
        let map = map.join("&");
        let mut sent: BTreeMap<String, Value> = BTreeMap::new();
        let mut by_kind: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        let mut refused = Vec::new();

        for example in &examples {
            let report = brings(&world, &person, &map, example).await;
            assert_eq!(report.end["ended"], "COMPLETE", "{}", report.reply.body);
            let resources = resources(example);
            assert_eq!(report.lines.len(), resources.len(), "{}", example.file);
            for (line, resource) in report.lines.iter().zip(resources) {
                let kind = text(&resource["resourceType"]);
                match line["outcome"].as_str() {
                    Some("SKIPPED") => {}
                    Some("CREATED" | "AMENDED" | "ALREADY_THERE") => {
                        by_kind.entry(kind).or_default()[0] += 1;
                        sent.insert(text(&line["recordId"]), without_the_servers(resource));
                    }
                    _ => {
                        by_kind.entry(kind).or_default()[1] += 1;
                        refused.push(format!("{}: {line}", example.file));
                    }
                }
            }
        }

        let [came, others] = by_kind
            .values()
            .fold([0, 0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
        assert!(
            came > 0 && came * 100 >= BAR * (came + others),
            "{package}: {came} of {} come in; by kind {by_kind:?}; refused {refused:#?}",
            came + others
        );
        let exported = person.exports(&world.api, &person, "&history=true").await;
        let stored: Map<String, Value> = exported
            .body
            .lines()
            .map(|line| {
                let record: Value = serde_json::from_str(line).expect("JSON");
                (text(&record["id"]), record)
            })
            .collect();
        for (record, said) in &sent {
            let kept = stored.get(record).expect("it was exported");
            assert_eq!(&without_the_servers(kept), said, "{package}");
        }
    }
}
