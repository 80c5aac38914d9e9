//! The International Patient Summary as a package of profiles: its examples keep those that it names for them.
//!
//! What its package alone decides is checked: cardinalities, of slices, too, prescribed values, types of choices, kinds of what
//! references point to, and its profiles of data types. Its value sets are filters of systems, or lie in packages that the
//! registry does not have; these and its constraints in `FHIRPath` are told as not checked.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use tests::transfer::{NDJSON, Report};
use tests::{Person, Program, World, text};

use crate::guides::{Example, SUMMARY_GUIDE, examples, mapped_to, named_patients};
use crate::profiles::{NOT_CHECKED, api_with_profiles, pairs, told};

/// What the names of files begin with that hold definitions by which documents are checked.
const DEFINITIONS: [&str; 3] = ["StructureDefinition-", "ValueSet-", "CodeSystem-"];
/// The profiles of what is broken on purpose.
const ALLERGY: &str = "AllergyIntolerance-uv-ips";
const LABORATORY: &str = "Observation-results-laboratory-pathology-uv-ips";

/// What stands in the package.
struct Guide {
    files: Vec<(String, Vec<u8>)>,
    /// The profile of each example, by its kind and id.
    profiles: BTreeMap<String, String>,
}

impl Guide {
    fn read() -> Self {
        let root = dev::repository::root().expect("the tests run inside a clone");
        let directory = root.join("node_modules").join(SUMMARY_GUIDE);
        let files = fs::read_dir(&directory);
        let files = files.unwrap_or_else(|error| {
            panic!("{SUMMARY_GUIDE} is not installed ({error}): run `cargo dev tools --test`")
        });
        let mut guide = Self {
            files: Vec::new(),
            profiles: BTreeMap::new(),
        };
        for file in files {
            let file = file.expect("a file");
            let name = file.file_name().to_string_lossy().into_owned();
            let is_definition = DEFINITIONS.iter().any(|kind| name.starts_with(kind));
            let read = || fs::read(file.path()).expect("a definition is readable");
            if is_definition || name == "package.json" {
                guide.files.push((name, read()));
            } else if name.starts_with("ImplementationGuide-") {
                let about: Value = serde_json::from_slice(&read()).expect("JSON");
                guide.profiles = profiles_of(&about);
            }
        }
        guide
    }

    /// An example that is a resource of its own, and declares the profile that the guide names for it.
    fn declared(&self, example: &Example) -> Option<Value> {
        let mut resource = example.resource.clone();
        let kind = text(&resource["resourceType"]);
        let profile = self
            .profiles
            .get(&format!("{kind}/{}", resource["id"].as_str()?))?;
        if kind == "Bundle" {
            return None;
        }
        resource["meta"]["profile"] = json!([profile]);
        Some(resource)
    }
}

/// What a guide says of which profile each of its examples keeps.
fn profiles_of(guide: &Value) -> BTreeMap<String, String> {
    let listed = guide["definition"]["resource"].as_array();
    let listed = listed.expect("a guide lists its resources").iter();
    let named = listed.filter_map(|it| {
        let reference = it["reference"]["reference"].as_str()?;
        let profile = it["exampleCanonical"].as_str()?;
        Some((reference.to_owned(), profile.to_owned()))
    });
    named.collect()
}

/// What would become of documents, all of whose patients are this person.
async fn foreseen(api: &Program, person: &Person, map: &str, documents: &[Value]) -> Report {
    let lines: Vec<String> = documents.iter().map(ToString::to_string).collect();
    let bearer = person.bearer();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", NDJSON),
        ("x-patients", map),
    ];
    let path = format!(
        "/import?patient={}&recordType=MEDICAL_HISTORY&dryRun=true",
        person.id
    );
    let reply = api.takes("POST", &path, &headers, lines.join("\n")).await;
    let report = Report::of(reply);
    assert_eq!(report.lines.len(), documents.len(), "{}", report.reply.body);
    report
}

/// The issues of a line of this severity.
fn issues(line: &Value, severity: &str) -> Value {
    let issues = line["operationOutcome"]["issue"].as_array();
    let issues = issues.into_iter().flatten();
    let of_it: Vec<&Value> = issues.filter(|it| it["severity"] == severity).collect();
    json!(of_it)
}

/// A document that keeps this profile.
fn keeping(profile: &str, documents: &[Value]) -> Value {
    let declares = |it: &&Value| text(&it["meta"]["profile"][0]).contains(profile);
    let found = documents.iter().find(declares);
    found
        .unwrap_or_else(|| panic!("an example of {profile}"))
        .clone()
}

/// Documents that are R4, and each break what a profile demands: the place, and the profile.
fn broken(documents: &[Value]) -> Vec<(Value, &'static str, &'static str)> {
    let change = |profile: &str, change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut document = keeping(profile, documents);
        change(document.as_object_mut().expect("a resource"));
        document
    };
    let without_code = change(ALLERGY, &|it| {
        it.remove("code");
    });
    let of_another_category = change(LABORATORY, &|it| {
        let system = "http://terminology.hl7.org/CodeSystem/observation-category";
        let category = json!([{ "coding": [{ "system": system, "code": "exam" }] }]);
        it.insert("category".to_owned(), category);
    });
    let at_an_instant = change(LABORATORY, &|it| {
        it.retain(|name, _| !name.trim_start_matches('_').starts_with("effective"));
        let instant = json!("2017-11-10T08:20:00+01:00");
        it.insert("effectiveInstant".to_owned(), instant);
    });
    vec![
        (without_code, "AllergyIntolerance.code", ALLERGY),
        (of_another_category, "Observation.category", LABORATORY),
        (at_an_instant, "Observation.effectiveInstant", LABORATORY),
    ]
}

#[tokio::test]
async fn the_examples_of_the_patient_summary_keep_its_profiles_and_what_breaks_one_is_refused() {
    let world = World::start().await;
    let guide = Guide::read();
    let api = api_with_profiles(&world, &guide.files).await;
    let ana = world.patient("ana").await;
    let examples = examples(SUMMARY_GUIDE, "example", |_| true);
    let map = mapped_to(&ana, &named_patients(&examples));
    let documents: Vec<Value> = examples
        .iter()
        .filter_map(|it| guide.declared(it))
        .collect();
    let broken = broken(&documents);

    let kept = foreseen(&api, &ana, &map, &documents).await;
    let changed: Vec<Value> = broken.iter().map(|(it, ..)| it.clone()).collect();
    let refused = foreseen(&api, &ana, &map, &changed).await;
    let without = foreseen(&world.api, &ana, &map, &changed).await;

    let complaints: Vec<String> = kept
        .lines
        .iter()
        .zip(&documents)
        .filter(|(line, _)| issues(line, "error").to_string().contains("\"profile:"))
        .map(|(line, document)| format!("{}: {line}", document["id"]))
        .collect();
    assert_eq!(complaints, [""; 0]);
    let taken = kept.lines.iter();
    let taken = taken.filter(|line| line["outcome"] == "WOULD_BE_CREATED");
    let notes: Vec<Value> = taken.map(|line| issues(line, "information")).collect();
    assert!(notes.len() >= 20, "{}", kept.end);
    // Nothing else is told of them than what cannot be checked, and what is not there.
    for note in &notes {
        for (_, rule) in told(note) {
            assert!(
                [NOT_CHECKED, "profile-must-support"].contains(&rule.as_str()),
                "{rule}"
            );
        }
    }
    let notes = json!(notes).to_string();
    for not_checked in [
        "which is FHIRPath",
        "what references point to keeps the profiles",
    ] {
        assert!(notes.contains(not_checked), "{not_checked}");
    }

    for (line, (_, path, profile)) in refused.lines.iter().zip(&broken) {
        assert_eq!(line["outcome"], "REFUSED", "{path}");
        let rule = format!("profile:{profile}");
        assert_eq!(
            told(&issues(line, "error")),
            pairs(&[(*path, rule.as_str())])
        );
    }
    // R4 alone takes them.
    let outcomes = vec![json!("WOULD_BE_CREATED"); broken.len()];
    assert_eq!(without.each("outcome"), outcomes, "{:?}", without.lines);
}
