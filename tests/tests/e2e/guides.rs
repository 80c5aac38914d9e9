//! The examples of implementation guides, as their packages have them: how many come in, and that they are stored as they were
//! but for what is the server's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Map, Value};
use tests::transfer::{BUNDLE, NDJSON, Report};
use tests::{Person, World, text};

/// The package of the International Patient Summary, whose examples are for R4.
const SUMMARY_GUIDE: &str = "hl7.fhir.uv.ips";
/// The package of R4's own examples. US Core has no version in the registry: of what is at hand, these come nearest to it that are about
/// a patient and use something that it defines, or declare the profile that its vital signs are made of.
const OFFICIAL: &str = "hl7.fhir.r4.examples";
const NEAR_US_CORE: [&str; 2] = [
    "\"http://hl7.org/fhir/us/core/",
    "\"http://hl7.org/fhir/StructureDefinition/vitalsigns\"",
];
/// What is longer is a collection of definitions. Unit: bytes.
const LONGEST: u64 = 1 << 20;
/// How many of a hundred examples of kinds that records are made of come in.
const BAR: usize = 97;

/// An example: its file, and what is in it.
struct Example {
    file: String,
    resource: Value,
}

/// The examples in a directory of a package of which the text is one that is wanted.
fn examples(package: &str, directory: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<Example> {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let directory = root.join("node_modules").join(package).join(directory);
    let files = fs::read_dir(&directory);
    let files = files.unwrap_or_else(|error| {
        panic!("{package} is not installed ({error}): run `cargo dev tools --test`")
    });
    let mut examples: Vec<Example> = files
        .filter_map(|file| {
            let file = file.expect("a file");
            let path = file.path();
            let is_long = file.metadata().expect("it has a length").len() > LONGEST;
            if is_long || path.extension().is_none_or(|extension| extension != "json") {
                return None;
            }
            let text = fs::read_to_string(&path).expect("an example is text");
            is_wanted(&text).then(|| Example {
                file: path.display().to_string(),
                resource: serde_json::from_str(&text).expect("JSON"),
            })
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

/// What a resource says, without what the server owns or replaces: id, version, patient, references to what came with it, and what
/// it contains of that.
fn without_the_servers(resource: &Value) -> Value {
    let mut resource = resource.clone();
    if let Some(members) = resource.as_object_mut() {
        for name in ["id", "meta", "subject", "patient"] {
            members.remove(name);
        }
        if let Some(Value::Array(contained)) = members.get_mut("contained") {
            contained.retain(|it| !text(&it["id"]).starts_with("contained-"));
            if contained.is_empty() {
                members.remove("contained");
            }
        }
    }
    without_references(&mut resource);
    resource
}

/// Whether these are the members of a reference, to something or by an identifier.
fn is_reference(members: &Map<String, Value>) -> bool {
    let is_part =
        |name: &String| matches!(name.as_str(), "identifier" | "type" | "display" | "extension");
    members.get("reference").is_some_and(Value::is_string)
        || members.get("identifier").is_some_and(Value::is_object) && members.keys().all(is_part)
}

fn without_references(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if is_reference(members) {
                for name in ["reference", "identifier", "type", "display"] {
                    members.remove(name);
                }
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

/// What examples came to.
#[derive(Default)]
struct Measured {
    /// What was sent of what is a record now, by its id.
    sent: BTreeMap<String, Value>,
    /// How many of each kind came in, and how many did not.
    by_kind: BTreeMap<String, [usize; 2]>,
    refused: Vec<String>,
}

impl Measured {
    /// How many came in, and how many there were of kinds that records are made of.
    fn share(&self) -> [usize; 2] {
        let kinds = self.by_kind.values();
        kinds.fold([0, 0], |[came, all], [more, refused]| {
            [came + more, all + more + refused]
        })
    }

    fn take(&mut self, example: &Example, report: &Report) {
        assert_eq!(report.end["ended"], "COMPLETE", "{}", report.reply.body);
        let resources = resources(example);
        assert_eq!(report.lines.len(), resources.len(), "{}", example.file);
        for (line, resource) in report.lines.iter().zip(resources) {
            let kind = text(&resource["resourceType"]);
            match line["outcome"].as_str() {
                Some("SKIPPED") => {}
                Some("CREATED" | "AMENDED" | "ALREADY_THERE") => {
                    self.by_kind.entry(kind).or_default()[0] += 1;
                    self.sent
                        .insert(text(&line["recordId"]), without_the_servers(resource));
                }
                _ => {
                    is_reasoned(line);
                    self.by_kind.entry(kind).or_default()[1] += 1;
                    self.refused.push(format!("{}: {line}", example.file));
                }
            }
        }
    }
}

/// Whether something was refused for what R4 or the rules of access demand, and says so.
fn is_reasoned(line: &Value) {
    let is_of_access = line["code"] == "NOT_FOUND";
    let issues = line["operationOutcome"]["issue"].as_array();
    let is_of_r4 = line["code"] == "INVALID_DOCUMENT"
        && issues.is_some_and(|issues| issues.iter().any(|issue| issue["severity"] == "error"));
    assert!(is_of_access || is_of_r4, "{line}");
}

/// Imports the examples of a package for somebody, who has all of their patients mapped to them, and looks whether they were stored as they
/// are.
async fn measure(world: &World, package: &str, examples: &[Example]) -> Measured {
    let person = world.patient(&format!("guide{}", examples.len())).await;
    let mut named = BTreeSet::new();
    for example in examples {
        patients(&example.resource, &mut named);
    }
    let map: Vec<String> = named
        .iter()
        .map(|name| format!("{}={name}", person.id))
        .collect();
    let map = map.join("&");
    let mut measured = Measured::default();
    for example in examples {
        let report = brings(world, &person, &map, example).await;
        measured.take(example, &report);
    }

    let exported = person.exports(&world.api, &person, "&history=true").await;
    let stored: Map<String, Value> = exported
        .body
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).expect("JSON");
            (text(&record["id"]), record)
        })
        .collect();
    for (record, said) in &measured.sent {
        let kept = stored.get(record).expect("it was exported");
        assert_eq!(&without_the_servers(kept), said, "{package}");
    }
    let [came, all] = measured.share();
    println!(
        "{package}: {came} of {all} came in; by kind {:?}; refused {:#?}",
        measured.by_kind, measured.refused
    );
    measured
}

fn assert_share([came, all]: [usize; 2], of: &str, refused: &[String]) {
    assert!(
        came > 0 && came * 100 >= BAR * all,
        "{of}: {came} of {all} came in; refused {refused:#?}"
    );
}

#[tokio::test]
async fn the_examples_of_guides_come_in_as_they_are() {
    let world = World::start().await;
    let of_guide = examples(SUMMARY_GUIDE, "example", |_| true);
    let near_us_core = examples(OFFICIAL, "", |text| {
        NEAR_US_CORE.iter().any(|url| text.contains(url)) && text.contains("\"subject\"")
    });
    // Definitions speak of a subject, too.
    let near_us_core: Vec<Example> = near_us_core
        .into_iter()
        .filter(|example| example.resource["subject"]["reference"].is_string())
        .collect();
    assert!(near_us_core.len() >= 13, "{}", near_us_core.len());

    let summaries = measure(&world, SUMMARY_GUIDE, &of_guide).await;
    let others = measure(&world, OFFICIAL, &near_us_core).await;

    assert_share(summaries.share(), SUMMARY_GUIDE, &summaries.refused);
    let [[came, all], [more, of_more]] = [summaries.share(), others.share()];
    let refused = [summaries.refused, others.refused].concat();
    assert_share([came + more, all + of_more], "all of them", &refused);
}
