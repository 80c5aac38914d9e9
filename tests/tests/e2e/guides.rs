//! The examples of implementation guides, as their packages have them: how many come in, and that they are stored as they were
//! but for what is the server's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Map, Value, json};
use tests::transfer::{BUNDLE, NDJSON, Report, in_line};
use tests::{Person, World, text};

/// The package of the International Patient Summary, whose examples are for R4.
pub(crate) const SUMMARY_GUIDE: &str = "hl7.fhir.uv.ips";
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
/// The kinds of which no record is made, so that they are passed over; a Composition only where it frames a document.
const SKIPPED: [&str; 12] = [
    "Composition",
    "Consent",
    "Device",
    "DeviceUseStatement",
    "Flag",
    "Medication",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "QuestionnaireResponse",
    "Specimen",
];
/// The rules of R4 for which an example may be refused, but for formats (`type:…`), bindings (`binding:…`) and the keys of
/// HL7's invariants.
const RULES_OF_R4: [&str; 10] = [
    "cardinality",
    "choice",
    "contained-id",
    "empty",
    "reference",
    "required",
    "resource-type",
    "target",
    "type",
    "unknown-element",
];
/// What the server writes into `meta.extension`.
const OURS: [&str; 2] = [
    "https://meditrustal.example/fhir/StructureDefinition/salt",
    "https://meditrustal.example/fhir/StructureDefinition/reason",
];
/// The system of identifiers that are addresses.
const ADDRESSES: &str = "urn:ietf:rfc:3986";

/// An example: its file, what stands there, and what that says.
pub(crate) struct Example {
    pub(crate) file: String,
    text: String,
    pub(crate) resource: Value,
}

impl Example {
    /// The name of its file, which its import calls its source.
    fn name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or_default()
    }

    fn is_bundle(&self) -> bool {
        self.resource["resourceType"] == "Bundle"
    }

    /// Its resources and their addresses, in the order of its report.
    fn entries(&self) -> Vec<(Option<&str>, &Value)> {
        match self.resource["entry"].as_array() {
            Some(entries) => entries
                .iter()
                .map(|entry| (entry["fullUrl"].as_str(), &entry["resource"]))
                .collect(),
            None => vec![(None, &self.resource)],
        }
    }
}

/// The examples in a directory of a package of which the text is one that is wanted.
pub(crate) fn examples(
    package: &str,
    directory: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<Example> {
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
                text,
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

/// By which names patients are called in examples.
pub(crate) fn named_patients(examples: &[Example]) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for example in examples {
        patients(&example.resource, &mut named);
    }
    named
}

/// The header that maps all of these names to somebody.
pub(crate) fn mapped_to(person: &Person, named: &BTreeSet<String>) -> String {
    let map = named.iter().map(|name| format!("{}={name}", person.id));
    map.collect::<Vec<_>>().join("&")
}

/// What an example became, to say what must stand where it refers to something.
struct Became<'a> {
    /// How the one is referred to whom all of its patients are mapped to.
    patient: String,
    /// What those are called.
    patients: &'a BTreeSet<String>,
    /// What its file is called.
    source: String,
    /// The records that were made of its resources, by the names of those.
    records: BTreeMap<String, String>,
    /// Its drugs, which are no records, by their names.
    medications: BTreeMap<String, Value>,
}

/// What a reference calls its target, without its version.
fn name_in(literal: &str) -> String {
    let name = literal.split("/_history/").next().unwrap_or_default();
    if name.starts_with("urn:") {
        name.to_ascii_lowercase()
    } else {
        name.to_owned()
    }
}

/// A literal reference as an identifier.
fn as_identifier(literal: &str) -> Value {
    let conditional = literal.split_once("?identifier=");
    if let Some((system, value)) = conditional.and_then(|(_, it)| it.split_once('|')) {
        json!({ "system": system, "value": value })
    } else if literal.contains(':') {
        json!({ "system": ADDRESSES, "value": literal })
    } else {
        json!({ "value": literal })
    }
}

/// What is contained, of a resource's members.
fn contained(members: &Map<String, Value>) -> &[Value] {
    let contained = members.get("contained").and_then(Value::as_array);
    contained.map(Vec::as_slice).unwrap_or_default()
}

impl<'a> Became<'a> {
    fn of(
        example: &Example,
        report: &Report,
        person: &Person,
        patients: &'a BTreeSet<String>,
    ) -> Self {
        let mut became = Self {
            patient: format!("Patient/{}", person.id),
            patients,
            source: example.name().to_owned(),
            records: BTreeMap::new(),
            medications: BTreeMap::new(),
        };
        for ((url, resource), line) in example.entries().into_iter().zip(&report.lines) {
            let kind = text(&resource["resourceType"]);
            let id = resource["id"].as_str().map(|id| format!("{kind}/{id}"));
            for name in url.map(name_in).into_iter().chain(id) {
                if let Some(record) = line["recordId"].as_str() {
                    became.records.insert(name, format!("{kind}/{record}"));
                } else if kind == "Medication" {
                    became.medications.insert(name, resource.clone());
                }
            }
        }
        became
    }

    /// The place where a record says something else than the resource that it was made of, if there is one.
    fn difference(&self, sent: &Value, kept: &Value) -> Option<String> {
        if self.said_in_meta(sent, sent) != self.said_in_meta(kept, sent) {
            return Some("meta".to_owned());
        }
        self.difference_below_meta(sent, kept)
    }

    fn difference_below_meta(&self, sent: &Value, kept: &Value) -> Option<String> {
        let said = |resource: &Value| {
            let mut members = resource.as_object().cloned().expect("a resource");
            members.remove("id");
            members.remove("meta");
            Value::Object(members)
        };
        self.within(&said(sent), &said(kept), &[], "")
    }

    /// What the `meta` of a resource says without what the server writes there: the place where it comes from only where that
    /// was not said.
    fn said_in_meta(&self, resource: &Value, sent: &Value) -> Map<String, Value> {
        let mut meta = resource["meta"].as_object().cloned().unwrap_or_default();
        meta.remove("versionId");
        meta.remove("lastUpdated");
        if sent["meta"]["source"].is_null()
            && let Some(source) = meta.remove("source")
        {
            let is_ours = text(&source).starts_with(&format!("{}/", self.source));
            assert!(is_ours, "{source}");
        }
        if let Some(Value::Array(extensions)) = meta.get_mut("extension") {
            extensions.retain(|it| !OURS.iter().any(|url| it["url"] == *url));
            if extensions.is_empty() {
                meta.remove("extension");
            }
        }
        meta
    }

    /// The first place at which `kept` is not what `sent` must have become; `added` is what the server lets it contain.
    fn within(&self, sent: &Value, kept: &Value, added: &[Value], at: &str) -> Option<String> {
        let here = || Some(at.to_owned());
        match (sent, kept) {
            (Value::Array(sent), Value::Array(kept)) => {
                if sent.len() != kept.len() {
                    return here();
                }
                let mut pairs = sent.iter().zip(kept).enumerate();
                pairs.find_map(|(nth, (sent, kept))| {
                    self.within(sent, kept, added, &format!("{at}[{nth}]"))
                })
            }
            (Value::Object(sent), Value::Object(kept)) => {
                let is_resource = sent.contains_key("resourceType");
                if let (false, Some(Value::String(literal))) = (is_resource, sent.get("reference"))
                {
                    let is_kept = self.is_reference_kept(literal, sent, kept, added);
                    return if is_kept { None } else { here() };
                }
                let mut kept = kept.clone();
                let mut more = Vec::new();
                if is_resource {
                    more = self.take_what_was_added(sent, &mut kept);
                }
                if !more.iter().all(|it| self.is_a_drug(it)) {
                    return Some(format!("{at}.contained"));
                }
                let added = if more.is_empty() {
                    added
                } else {
                    more.as_slice()
                };
                let names: BTreeSet<&String> = sent.keys().chain(kept.keys()).collect();
                names.into_iter().find_map(|name| {
                    let at = format!("{at}.{name}");
                    match (sent.get(name), kept.get(name)) {
                        (Some(sent), Some(kept)) => self.within(sent, kept, added, &at),
                        (Some(_), None) | (None, _) => Some(at),
                    }
                })
            }
            _ if sent == kept => None,
            _ => here(),
        }
    }

    /// Takes out of a resource what the server adds to one: its patient, where it names none, and the drugs that it refers to,
    /// which are the answer.
    fn take_what_was_added(
        &self,
        sent: &Map<String, Value>,
        kept: &mut Map<String, Value>,
    ) -> Vec<Value> {
        for name in ["subject", "patient"] {
            let is_ours = kept.get(name) == Some(&json!({ "reference": self.patient }));
            if is_ours && !sent.contains_key(name) {
                kept.remove(name);
            }
        }
        let came = contained(sent).len().min(contained(kept).len());
        let Some(Value::Array(contained)) = kept.get_mut("contained") else {
            return Vec::new();
        };
        let added = contained.split_off(came);
        if contained.is_empty() {
            kept.remove("contained");
        }
        added
    }

    /// Whether a contained resource is a drug of the example.
    fn is_a_drug(&self, resource: &Value) -> bool {
        let is_it = |drug: &Value| self.is_contained_as(drug, resource);
        self.medications.values().any(is_it)
    }

    /// Whether a contained resource says what a drug does, but for its narrative, which R4 forbids it to have.
    fn is_contained_as(&self, drug: &Value, resource: &Value) -> bool {
        let mut drug = drug.clone();
        if let Some(members) = drug.as_object_mut() {
            members.remove("text");
        }
        self.difference_below_meta(&drug, resource).is_none()
    }

    /// Whether a reference is what it must have become: the patient's, a record's, a contained drug's; or as it was, or an
    /// identifier, where nothing is stored of what it means.
    fn is_reference_kept(
        &self,
        literal: &str,
        sent: &Map<String, Value>,
        kept: &Map<String, Value>,
        added: &[Value],
    ) -> bool {
        let name = name_in(literal);
        let to = |reference: &str| {
            let mut reference_to = sent.clone();
            reference_to.insert("reference".to_owned(), json!(reference));
            reference_to
        };
        if self.patients.contains(&name) {
            let mut patient = to(&self.patient);
            let called = patient.entry("identifier");
            called.or_insert_with(|| as_identifier(literal));
            return *kept == patient;
        }
        if let Some(record) = self.records.get(&name) {
            return *kept == to(record);
        }
        let is_drug = self.medications.get(&name).is_some_and(|medication| {
            let inner = kept.get("reference").and_then(Value::as_str);
            let id = inner.and_then(|inner| inner.strip_prefix('#'));
            let drug = id.and_then(|id| added.iter().find(|it| it["id"] == id));
            drug.is_some_and(|drug| self.is_contained_as(medication, drug))
        });
        is_drug || kept == sent || is_logical(literal, sent, kept)
    }
}

/// Whether a reference has become an identifier that says what it meant. Its type and name may have been added.
fn is_logical(literal: &str, sent: &Map<String, Value>, kept: &Map<String, Value>) -> bool {
    let mut kept = kept.clone();
    for name in ["type", "display"] {
        if !sent.contains_key(name) {
            kept.remove(name);
        }
    }
    let mut logical = sent.clone();
    logical.remove("reference");
    // One that is relative means what is there below the address of its source.
    let address = kept.get("identifier").and_then(|it| it["value"].as_str());
    let address =
        address.filter(|it| it.starts_with("http") && it.ends_with(&format!("/{literal}")));
    let meant = address.map(ToOwned::to_owned);
    let identifier = logical.entry("identifier");
    identifier.or_insert_with(|| as_identifier(meant.as_deref().unwrap_or(literal)));
    kept == logical
}

async fn brings(world: &World, person: &Person, map: &str, example: &Example) -> Report {
    let (media, upload) = if example.is_bundle() {
        (BUNDLE, example.text.clone())
    } else {
        (NDJSON, in_line(&example.text.replace('\r', " ")))
    };
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
        example.name()
    );
    Report::of(world.api.takes("POST", &path, &headers, upload).await)
}

/// What examples came to.
#[derive(Default)]
struct Measured {
    /// How many of each kind came in, and how many did not.
    by_kind: BTreeMap<String, [usize; 2]>,
    refused: Vec<String>,
    /// What no record is made of.
    skipped: BTreeSet<String>,
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
        let entries = example.entries();
        assert_eq!(report.lines.len(), entries.len(), "{}", example.file);
        for (line, (url, resource)) in report.lines.iter().zip(entries) {
            let kind = text(&resource["resourceType"]);
            match line["outcome"].as_str() {
                Some("SKIPPED") => {
                    let is_framed = kind != "Composition" || url.is_some();
                    let is_known = SKIPPED.contains(&kind.as_str()) && is_framed;
                    assert!(is_known, "{}: {line}", example.file);
                    self.skipped.insert(kind);
                }
                Some("CREATED" | "AMENDED" | "ALREADY_THERE") => {
                    self.by_kind.entry(kind).or_default()[0] += 1;
                }
                _ => {
                    assert!(is_refused_by_r4(line), "{}: {line}", example.file);
                    self.by_kind.entry(kind).or_default()[1] += 1;
                    self.refused.push(format!("{}: {line}", example.file));
                }
            }
        }
    }
}

/// Whether something was refused for what R4 demands, and for nothing else. The person may write all that is theirs, and all
/// patients are mapped to them: no rule of access is a reason here.
fn is_refused_by_r4(line: &Value) -> bool {
    let issues = line["operationOutcome"]["issue"].as_array();
    let issues = issues.map(Vec::as_slice).unwrap_or_default().iter();
    let mut rules = issues
        .filter(|issue| issue["severity"] == "error")
        .map(|issue| text(&issue["details"]["coding"][0]["code"]))
        .peekable();
    line["code"] == "INVALID_DOCUMENT"
        && rules.peek().is_some()
        && rules.all(|rule| is_rule_of_r4(&rule))
}

fn is_rule_of_r4(rule: &str) -> bool {
    let is_of_values = rule.starts_with("type:") || rule.starts_with("binding:");
    // `obs-6`, `txt-1`: the key of an invariant is three letters and a number.
    let is_invariant = rule.split_once('-').is_some_and(|(key, number)| {
        key.len() == 3
            && key.bytes().all(|b| b.is_ascii_lowercase())
            && number.parse::<u8>().is_ok()
    });
    RULES_OF_R4.contains(&rule) || is_of_values || is_invariant
}

/// Imports the examples of a package for somebody, who has all of their patients mapped to them, and looks whether they were stored as they
/// are.
async fn measure(world: &World, package: &str, examples: &[Example]) -> Measured {
    let person = world.patient(&format!("guide{}", examples.len())).await;
    let named = named_patients(examples);
    let map = mapped_to(&person, &named);
    let named: BTreeSet<String> = named.iter().map(|name| name_in(name)).collect();
    let mut measured = Measured::default();
    let mut reports = Vec::new();
    for example in examples {
        let report = brings(world, &person, &map, example).await;
        measured.take(example, &report);
        reports.push(report);
    }

    let exported = person.exports(&world.api, &person, "&history=true").await;
    let stored: BTreeMap<String, Value> = exported
        .body
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).expect("JSON");
            (text(&record["id"]), record)
        })
        .collect();
    let mut compared = 0;
    for (example, report) in examples.iter().zip(&reports) {
        let became = Became::of(example, report, &person, &named);
        for ((_, sent), line) in example.entries().into_iter().zip(&report.lines) {
            let Some(record) = line["recordId"].as_str() else {
                continue;
            };
            let kept = stored.get(record).expect("it was exported");
            let difference = became.difference(sent, kept);
            assert_eq!(difference, None, "{}: {sent} became {kept}", example.file);
            compared += 1;
        }
    }
    let [came, all] = measured.share();
    assert_eq!(compared, came, "{package}");
    println!(
        "{package}: {came} of {all} came in; by kind {:?}; skipped {:?}; refused {:#?}",
        measured.by_kind, measured.skipped, measured.refused
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
