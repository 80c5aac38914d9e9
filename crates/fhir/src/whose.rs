//! Whom a document is about, in whichever way it says so, and how the patient of the record takes that
//! place.
//!
//! A hospital names its patients by ids of its own: `Patient/7`, a URL, `urn:uuid:…`, a contained `#p`, an
//! identifier. Each way is a key; which account a key means is the caller's to say.

use std::collections::{HashMap, HashSet};

use crate::canonical;
use crate::issue::{Issue, IssueCode, Path, text};
use crate::json::Json;
use crate::logical::LogicalReference;
use crate::reader;
use crate::record_types::{patient_element, resource_type};
use crate::references::{NameScope, identifier_asked};
use crate::stamp::{items_mut, member_mut, set};

/// How many identifiers of a patient are keys.
const MAX_IDENTIFIERS: usize = 16;
/// The longest key. Unit: bytes.
const MAX_KEY: usize = 512;
/// How many people a document is asked for: a record is about one.
const MAX_NAMED: usize = 16;
/// How much the names that are kept in the places of references may add to a document. Unit: bytes.
const MAX_KEPT: usize = 256 << 10;
/// How far what goes with a contained patient is followed. What is left then is referred to by nothing, and
/// refused for that (dom-3).
const MAX_ORPHANED: usize = 8;

/// Somebody whom a document says that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPatient {
    /// Where it says so, as `FHIRPath`.
    pub path: String,
    /// By what; empty where nobody could tell who is meant.
    pub keys: Vec<String>,
}

impl NamedPatient {
    /// Why a document about somebody who is not known in an import is refused.
    pub fn unknown(&self) -> Issue {
        let message = "the document is about somebody whom this import gives no account: map them, or import them apart";
        self.refused(message)
    }

    /// Why a document about somebody else than the patient of its record is refused.
    pub fn another(&self) -> Issue {
        let message = "the document is about somebody else, or nobody can tell about whom";
        self.refused(message)
    }

    fn refused(&self, message: &str) -> Issue {
        let path = self.path.as_str();
        Issue::error(IssueCode::BusinessRule, path, "patient", message)
    }
}

/// What a `Patient` is referred to by: the URL of its entry, its id, its identifiers.
pub fn keys_of_patient(patient: &Json, full_url: Option<&str>) -> Vec<String> {
    let id = patient.get("id").and_then(Json::as_str);
    let id = id.map(|id| format!("Patient/{id}")).and_then(fit);
    let url = full_url.and_then(key);
    url.into_iter()
        .chain(id)
        .chain(identifiers(patient))
        .collect()
}

/// The key that a text means: a reference in any form, or an identifier as `system|value`. One without a
/// system is none: every hospital has a patient 9.
pub fn key(reference: &str) -> Option<String> {
    let reference = reference.split("/_history/").next().unwrap_or_default();
    if reference.starts_with("urn:") && !reference.contains('|') {
        return fit(reference.to_ascii_lowercase());
    }
    let key = match identifier_asked(reference) {
        Some(identifier) => identifier.contains('|').then_some(identifier)?,
        None => reference.to_owned(),
    };
    fit(key).filter(|key| !key.starts_with('|'))
}

/// What can be a key: something, and not much of it.
fn fit(key: String) -> Option<String> {
    (1..=MAX_KEY).contains(&key.len()).then_some(key)
}

/// Everybody whom a document, an entry of its `Bundle` or what they contain is about, each once.
pub fn patients_of(document: &Json) -> Vec<NamedPatient> {
    let mut found: Vec<NamedPatient> = Vec::new();
    let kind = resource_type(document).unwrap_or_default();
    if kind == "Bundle" {
        let bundle = Path::root("Bundle");
        for (index, entry) in items(document, "entry").iter().enumerate() {
            if let Some(resource) = entry.get("resource") {
                let path = bundle.element("entry").at(index);
                add_patients(resource, path.element("resource"), &mut found);
            }
        }
    } else {
        add_patients(document, Path::root(kind), &mut found);
    }
    found
}

fn add_patients(root: &Json, path: Path<'_>, found: &mut Vec<NamedPatient>) {
    let patients = ContainedPatients::of(root);
    let mut add = |resource: &Json, path: Path<'_>| {
        let Some(element) = resource_type(resource).and_then(patient_element) else {
            return;
        };
        let Some(reference) = resource.get(element) else {
            return;
        };
        let keys = patients.keys_of_reference(reference);
        if found.len() > MAX_NAMED || found.iter().any(|known| known.keys == keys) {
            return;
        }
        // Whoever is one too many is nobody: so the document is refused.
        let keys = if found.len() < MAX_NAMED {
            keys
        } else {
            Vec::new()
        };
        let path = path.element(element).render();
        found.push(NamedPatient { path, keys });
    };
    add(root, path);
    for (index, inner) in items(root, "contained").iter().enumerate() {
        add(inner, path.element("contained").at(index));
    }
    // Whom the id of two means nobody can tell, wherever it is said.
    let doubled = doubled_ids(root);
    let is_ambiguous = |inner: &Json| {
        resource_type(inner) == Some("Patient")
            && id_of(inner).is_some_and(|id| doubled.contains(id))
    };
    let contained = items(root, "contained");
    if let Some(index) = contained.iter().position(is_ambiguous) {
        let contained = path.element("contained");
        found.push(NamedPatient {
            path: contained.at(index).render(),
            keys: Vec::new(),
        });
    }
}

fn id_of(resource: &Json) -> Option<&str> {
    resource.get("id")?.as_str()
}

/// The ids that more than one contained resource has.
fn doubled_ids(root: &Json) -> HashSet<&str> {
    let mut seen = HashSet::new();
    let ids = items(root, "contained").iter().filter_map(id_of);
    ids.filter(|id| !seen.insert(*id)).collect()
}

/// The patients that one resource contains, by their ids: their keys, and an identifier.
struct ContainedPatients(HashMap<String, (Vec<String>, Option<Json>)>);

impl ContainedPatients {
    fn of(root: &Json) -> Self {
        let doubled = doubled_ids(root);
        let patients = items(root, "contained").iter();
        let patients = patients.filter(|it| resource_type(it) == Some("Patient"));
        let known = patients.filter_map(|patient| {
            let id = id_of(patient).filter(|id| !doubled.contains(id))?;
            let identifier = items(patient, "identifier").first();
            // Each reference would have it: what is long is no name to keep.
            let identifier = identifier.filter(|it| canonical::length(it) <= MAX_KEY);
            let identifier = identifier.cloned();
            Some((id.to_owned(), (keys_of_contained(patient), identifier)))
        });
        Self(known.collect())
    }

    fn get(&self, literal: &str) -> Option<&(Vec<String>, Option<Json>)> {
        self.0.get(literal.strip_prefix('#')?)
    }

    /// The keys of the person that a reference means; none where it means something else, or nobody can
    /// tell.
    fn keys_of_reference(&self, reference: &Json) -> Vec<String> {
        let said = |key: &str| reference.get(key).and_then(Json::as_str);
        if said("type").is_some_and(|kind| kind != "Patient") {
            return Vec::new();
        }
        let literal = said("reference").unwrap_or_default();
        let mut keys = if literal.starts_with('#') {
            match self.get(literal) {
                Some((keys, _)) => keys.clone(),
                None => return Vec::new(),
            }
        } else if is_of_another_kind(literal) {
            return Vec::new();
        } else {
            key(literal).into_iter().collect()
        };
        keys.extend(reference.get("identifier").and_then(identifier));
        keys
    }
}

/// Whether a literal reference says that it means no patient.
fn is_of_another_kind(literal: &str) -> bool {
    if literal.is_empty() || literal.starts_with("urn:") {
        return false;
    }
    let literal = literal.split("/_history/").next().unwrap_or_default();
    let kind = match literal.split_once('?') {
        Some((path, _)) => path.rsplit('/').next(),
        None => literal.rsplit('/').nth(1),
    };
    kind != Some("Patient")
}

/// A contained patient has an id that means nothing elsewhere: known by identifiers, or by all that it says
/// if that is a person's name and birth date: anybody could be a man.
fn keys_of_contained(patient: &Json) -> Vec<String> {
    let keys: Vec<String> = identifiers(patient).collect();
    if !keys.is_empty() {
        return keys;
    }
    let is_named = |name: &Json| {
        let mut parts = ["text", "family", "given"].iter();
        parts.any(|part| name.get(part).is_some())
    };
    let is_born = patient.get("birthDate").and_then(Json::as_str).is_some();
    if !is_born || !items(patient, "name").iter().any(is_named) {
        return Vec::new();
    }
    let members = patient.as_object().unwrap_or_default().iter();
    let said: Vec<(String, Json)> = members.filter(|(name, _)| name != "id").cloned().collect();
    let said = canonical::to_bytes(&Json::Object(said));
    let key = format!("#{}", String::from_utf8_lossy(&said));
    fit(key).into_iter().collect()
}

fn identifiers(patient: &Json) -> impl Iterator<Item = String> {
    let all = items(patient, "identifier").iter().take(MAX_IDENTIFIERS);
    all.filter_map(identifier)
}

fn identifier(json: &Json) -> Option<String> {
    let value = json.get("value").and_then(Json::as_str)?;
    let system = json.get("system").and_then(Json::as_str)?;
    if system.is_empty() {
        return None;
    }
    fit(format!("{system}|{value}"))
}

fn items<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json.get(key).and_then(Json::as_array).unwrap_or_default()
}

/// The document with every reference to the patient as ours, whoever else it is about. What they were called
/// stays as the reference's identifier; a contained `Patient` that nothing means any more goes.
#[must_use]
pub fn assign_patient(
    mut document: Json,
    is_patient: &dyn Fn(&[String]) -> bool,
    patient_id: &str,
) -> Json {
    let mut assignment = Assignment {
        is_patient,
        patient: format!("Patient/{patient_id}"),
        room: MAX_KEPT,
    };
    if resource_type(&document) == Some("Bundle") {
        for entry in items_mut(&mut document, "entry") {
            if let Some(resource) = member_mut(entry, "resource") {
                // In the entry, in the list, in the Bundle.
                assign(resource, 3, &mut assignment);
            }
        }
    } else {
        assign(&mut document, 0, &mut assignment);
    }
    document
}

/// Who takes the place of a patient, and how much of what they were called may still be kept.
struct Assignment<'a> {
    is_patient: &'a dyn Fn(&[String]) -> bool,
    /// The reference to the patient as ours.
    patient: String,
    /// Unit: bytes.
    room: usize,
}

impl Assignment<'_> {
    /// A name, if a document may have it within so many arrays and objects.
    fn kept(&mut self, known: Json, depth: usize) -> Option<Json> {
        let length = canonical::length(&known);
        if length > self.room || depth + reader::depth(&known) > reader::MAX_DEPTH {
            return None;
        }
        self.room -= length;
        Some(known)
    }
}

/// Puts the patient into a resource that is within so many arrays and objects.
fn assign(root: &mut Json, depth: usize, assignment: &mut Assignment<'_>) {
    let patients = ContainedPatients::of(root);
    rewrite(root, depth, &patients, assignment);
    let is_patient = assignment.is_patient;
    let is_theirs = |inner: &Json| {
        let id = id_of(inner).unwrap_or_default();
        resource_type(inner) == Some("Patient")
            && patients.0.get(id).is_some_and(|(keys, _)| is_patient(keys))
    };
    let mut gone = HashSet::new();
    remove_contained(root, &mut gone, &|inner, _| is_theirs(inner));
    // What only they referred to has nobody left who does, and so has what that referred to.
    for _ in 0..MAX_ORPHANED {
        if gone.is_empty() {
            break;
        }
        let mut left = HashSet::new();
        local_references(root, &mut left);
        let orphans: HashSet<String> = gone.difference(&left).cloned().collect();
        gone.clear();
        remove_contained(root, &mut gone, &|_, id| orphans.contains(id));
    }
    if let Json::Object(members) = root {
        members.retain(|(name, json)| name != "contained" || json.as_array() != Some(&[]));
    }
}

/// Takes contained resources out, by themselves and their ids; `gone` then holds what they referred to.
fn remove_contained(
    root: &mut Json,
    gone: &mut HashSet<String>,
    is_out: &dyn Fn(&Json, &str) -> bool,
) {
    if let Some(Json::Array(contained)) = member_mut(root, "contained") {
        contained.retain(|inner| {
            let is_out = is_out(inner, id_of(inner).unwrap_or_default());
            if is_out {
                local_references(inner, gone);
            }
            !is_out
        });
    }
}

/// The ids of contained resources that are said anywhere.
fn local_references(json: &Json, found: &mut HashSet<String>) {
    match json {
        Json::String(said) => {
            if let Some(id) = said.strip_prefix('#').filter(|id| !id.is_empty()) {
                found.insert(id.to_owned());
            }
        }
        Json::Array(items) => {
            for item in items {
                local_references(item, found);
            }
        }
        Json::Object(members) => {
            for (_, member) in members {
                local_references(member, found);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn rewrite(
    json: &mut Json,
    depth: usize,
    patients: &ContainedPatients,
    assignment: &mut Assignment<'_>,
) {
    if let Json::Array(items) = json {
        for item in items {
            rewrite(item, depth + 1, patients, assignment);
        }
        return;
    }
    let means_them = {
        let is_reference = ["reference", "identifier"]
            .iter()
            .any(|key| json.get(key).is_some());
        let is_resource = resource_type(json).is_some();
        let keys = if is_reference && !is_resource {
            patients.keys_of_reference(json)
        } else {
            Vec::new()
        };
        !keys.is_empty() && (assignment.is_patient)(&keys)
    };
    let Json::Object(members) = json else {
        return;
    };
    if !means_them {
        for (_, member) in members {
            rewrite(member, depth + 1, patients, assignment);
        }
        return;
    }
    let old = members.iter().find(|(name, _)| name == "reference");
    let old = old.and_then(|(_, old)| old.as_str()).map(str::to_owned);
    if old.as_deref() == Some(assignment.patient.as_str()) {
        return;
    }
    if !members.iter().any(|(name, _)| name == "identifier")
        && let Some(known) = old.and_then(|old| known_as(&old, patients))
        && let Some(known) = assignment.kept(known, depth + 1)
    {
        members.push(("identifier".to_owned(), known));
    }
    set(members, "reference", text(&assignment.patient));
}

/// What somebody was called, as an identifier.
fn known_as(literal: &str, patients: &ContainedPatients) -> Option<Json> {
    if literal.starts_with('#') {
        return patients.get(literal)?.1.clone();
    }
    let logical = LogicalReference::of(literal, NameScope::default());
    let logical = logical.unwrap_or_else(|| LogicalReference::by_uri(literal));
    Some(logical.identifier())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::reader::read;
    use crate::validate;

    fn observation(subject: &str, more: &str) -> Json {
        let text = format!(
            r#"{{"resourceType":"Observation","status":"final","code":{{"text":"x"}}{more},"subject":{subject}}}"#
        );
        read(text.as_bytes()).unwrap()
    }

    fn keys(document: &Json) -> Vec<Vec<String>> {
        patients_of(document)
            .into_iter()
            .map(|it| it.keys)
            .collect()
    }

    #[test]
    fn every_way_to_name_a_patient_is_a_key_and_no_other_is() {
        for (subject, expected) in [
            (r#"{"reference":"Patient/7"}"#, vec!["Patient/7"]),
            (r#"{"reference":"Patient/7/_history/2"}"#, vec!["Patient/7"]),
            (
                r#"{"reference":"https://h.example/fhir/Patient/7"}"#,
                vec!["https://h.example/fhir/Patient/7"],
            ),
            (r#"{"reference":"urn:uuid:AB-1"}"#, vec!["urn:uuid:ab-1"]),
            (
                r#"{"reference":"Patient?identifier=urn:mrn%7C9"}"#,
                vec!["urn:mrn|9"],
            ),
            (
                r#"{"identifier":{"system":"urn:mrn","value":"9"}}"#,
                vec!["urn:mrn|9"],
            ),
            (
                r#"{"reference":"Patient/7","identifier":{"value":"9"}}"#,
                vec!["Patient/7"],
            ),
            (r#"{"identifier":{"value":"9"}}"#, vec![]),
            (r#"{"reference":"Patient?identifier=9"}"#, vec![]),
            (r#"{"reference":"Group/7"}"#, vec![]),
            (r#"{"type":"Group","identifier":{"value":"9"}}"#, vec![]),
            (r#"{"display":"Mrs A"}"#, vec![]),
        ] {
            assert_eq!(keys(&observation(subject, "")), [expected], "{subject}");
        }
        let contained = r#","contained":[{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:mrn","value":"9"}]}]"#;
        let subject = r##"{"reference":"#p"}"##;
        assert_eq!(keys(&observation(subject, contained)), [["urn:mrn|9"]]);
        let device = r#","contained":[{"resourceType":"Device","id":"p"}]"#;
        assert_eq!(keys(&observation(subject, device)), [[""; 0]]);
        let saying = |said: &str| {
            let more =
                format!(r#","contained":[{{"resourceType":"Patient","id":"p","gender":{said}}}]"#);
            keys(&observation(subject, &more))
        };
        let nameless = [[""; 0]];
        assert_eq!(saying(r#""male""#), nameless);
        assert_eq!(saying(r#""male","birthDate":"1970-01-01""#), nameless);
        let named = r#""male","birthDate":"1970-01-01","name":[{"family":"A"}]"#;
        assert_eq!(saying(named), saying(named));
        assert_ne!(saying(named), nameless);
        assert_ne!(saying(named), saying(&named.replace("1970", "1971")));
        assert_eq!(saying(&named.replace('A', &"A".repeat(MAX_KEY))), nameless);
        let none = read(br#"{"resourceType":"Observation"}"#).unwrap();
        assert!(keys(&none).is_empty());
    }

    #[test]
    fn an_id_that_two_contained_resources_have_means_nobody() {
        let subject = r##"{"reference":"#p"}"##;
        let one = r#"{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:mrn","value":"9"}]}"#;
        for other in [
            one.replace('9', "8"),
            r#"{"resourceType":"Device","id":"p"}"#.to_owned(),
        ] {
            let contained = format!(r#","contained":[{one},{other}]"#);
            let elsewhere = observation(r#"{"reference":"Patient/7"}"#, &contained);
            assert!(keys(&elsewhere).contains(&Vec::new()), "{other}");
            let document = observation(subject, &contained);
            assert!(keys(&document).iter().all(Vec::is_empty), "{other}");
            assert!(assign_patient(document.clone(), &|_| true, "us") == document);
        }
    }

    #[test]
    fn what_only_the_patient_referred_to_goes_with_them() {
        let more = r##","contained":[{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:mrn","value":"9"}],"managingOrganization":{"reference":"#o"},"generalPractitioner":[{"reference":"#d"}]},{"resourceType":"Organization","id":"o","partOf":{"reference":"#up"}},{"resourceType":"Organization","id":"up"},{"resourceType":"Practitioner","id":"d"}],"performer":[{"reference":"#d"}]"##;
        let document = observation(r##"{"reference":"#p"}"##, more);
        let ours = assign_patient(document, &|keys| keys == ["urn:mrn|9"], "us");
        let left: Vec<_> = items(&ours, "contained").iter().map(id_of).collect();
        assert_eq!(left, [Some("d")]);
    }

    #[test]
    fn a_chain_that_only_the_patient_referred_to_is_followed_so_far_and_no_further() {
        for (length, left) in [(MAX_ORPHANED, 0), (MAX_ORPHANED + 3, 3)] {
            let links = (0..length).map(|nth| {
                format!(
                    r##"{{"resourceType":"Organization","id":"o{nth}","partOf":{{"reference":"#o{}"}}}}"##,
                    nth + 1
                )
            });
            let links: Vec<String> = links.collect();
            let more = format!(
                r##","contained":[{{"resourceType":"Patient","id":"p","identifier":[{{"system":"urn:mrn","value":"9"}}],"managingOrganization":{{"reference":"#o0"}}}},{}]"##,
                links.join(",")
            );
            let document = observation(r##"{"reference":"#p"}"##, &more);
            let ours = assign_patient(document, &|keys| keys == ["urn:mrn|9"], "us");
            assert_eq!(items(&ours, "contained").len(), left);
            assert_eq!(validate::base(&ours).is_empty(), left == 0);
        }
    }

    #[test]
    fn whoever_is_one_too_many_is_nobody() {
        for (people, expected) in [
            (MAX_NAMED, MAX_NAMED),
            (MAX_NAMED + 1, MAX_NAMED + 1),
            (MAX_NAMED + 5, MAX_NAMED + 1),
        ] {
            let entries = (0..people).map(|nth| {
                format!(
                    r#"{{"resource":{{"resourceType":"Observation","subject":{{"reference":"Patient/{nth}"}}}}}}"#
                )
            });
            let entries: Vec<String> = entries.collect();
            let entries = entries.join(",");
            let bundle = format!(r#"{{"resourceType":"Bundle","entry":[{entries}]}}"#);
            let named = keys(&read(bundle.as_bytes()).unwrap());
            assert_eq!(named.len(), expected, "{people}");
            let nobody = named.iter().filter(|keys| keys.is_empty()).count();
            assert_eq!(nobody, expected - MAX_NAMED, "{people}");
        }
    }

    #[test]
    fn a_patient_is_known_by_url_id_and_identifiers() {
        let patient = br#"{"resourceType":"Patient","id":"7","identifier":[{"system":"urn:mrn","value":"9"},{"use":"usual"}]}"#;
        assert_eq!(
            keys_of_patient(&read(patient).unwrap(), Some("urn:uuid:AB")),
            ["urn:uuid:ab", "Patient/7", "urn:mrn|9"]
        );
    }

    #[test]
    fn names_are_kept_as_far_as_a_document_stays_readable_and_of_its_size() {
        let contained = |value: &str| {
            format!(
                r#","contained":[{{"resourceType":"Patient","id":"p","identifier":[{{"system":"urn:mrn","value":"{value}"}}]}}]"#
            )
        };
        let subject = r##"{"reference":"#p"}"##;
        let many = vec![subject; 30_000].join(",");
        let performers = format!(r#","performer":[{many}]{}"#, contained(&"9".repeat(400)));
        let crowded = observation(subject, &performers);
        let before = canonical::length(&crowded);
        let ours = assign_patient(crowded, &|_| true, "us");
        let added = canonical::length(&ours).saturating_sub(before);
        assert!(added < MAX_KEPT + 30_000 * "Patient/us".len(), "{added}");

        let assigner = format!(
            r#"urn:mrn","assigner":{{"display":"{}"}}"#,
            "x".repeat(MAX_KEY)
        );
        let long = contained("9").replace("urn:mrn\"", &assigner);
        let ours = assign_patient(observation(subject, &long), &|_| true, "us");
        let bare = read(br#"{"reference":"Patient/us"}"#).unwrap();
        assert!(ours.get("subject") == Some(&bare));

        // As deep as a document may be: the reference is ours, and has no more within it.
        let (open, close) = (r#"{"url":"x","extension":["#, "]}");
        let nested = |levels: usize| {
            let reference = r#"{"url":"x","valueReference":{"reference":"Patient/7"}}"#;
            let (open, close) = (open.repeat(levels), close.repeat(levels));
            let more = format!(r#","extension":[{open}{reference}{close}]"#);
            let document = observation(r#"{"reference":"Patient/7"}"#, &more);
            assign_patient(document, &|_| true, "us")
        };
        for (levels, deepest) in [(29, 63), (30, 64)] {
            let ours = nested(levels);
            assert_eq!(reader::depth(&ours), deepest, "{levels}");
            let told = canonical::to_bytes(&ours);
            assert!(read(&told).is_ok());
        }
    }

    #[test]
    fn every_reference_to_the_patient_becomes_ours_and_says_what_it_was() {
        let more = r##","contained":[{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:mrn","value":"9"}]},{"resourceType":"Practitioner","id":"d"}],"performer":[{"reference":"#p"},{"reference":"#d"},{"reference":"Patient/8"}]"##;
        let document = observation(r##"{"reference":"#p"}"##, more);
        let theirs = |keys: &[String]| keys.contains(&"urn:mrn|9".to_owned());

        let ours = assign_patient(document, &theirs, "us");

        assert_eq!(validate::base(&ours), []);
        let told = String::from_utf8(canonical::to_bytes(&ours)).unwrap();
        let them = r#"{"identifier":{"system":"urn:mrn","value":"9"},"reference":"Patient/us"}"#;
        assert!(told.contains(&format!(r#""subject":{them}"#)), "{told}");
        assert!(
            told.contains(&format!(
                r##""performer":[{them},{{"reference":"#d"}},{{"reference":"Patient/8"}}]"##
            )),
            "{told}"
        );
        assert!(!told.contains(r#""resourceType":"Patient""#), "{told}");
        // Nobody else's place is taken, and what is ours already stays as it is.
        let document = observation(r#"{"reference":"Patient/us"}"#, "");
        let same = assign_patient(document.clone(), &|keys| keys == ["Patient/us"], "us");
        assert!(same == document);
        let url = observation(r#"{"reference":"https://h.example/Patient/7"}"#, "");
        let ours = assign_patient(url, &|_| true, "us");
        let known = ours.get("subject").unwrap().get("identifier").unwrap();
        assert_eq!(
            known.get("value").unwrap().as_str(),
            Some("https://h.example/Patient/7")
        );
        let asked = observation(r#"{"reference":"Patient?identifier=urn:mrn|9"}"#, "");
        let ours = assign_patient(asked, &|_| true, "us");
        let told = String::from_utf8(canonical::to_bytes(&ours)).unwrap();
        assert!(told.contains(&format!(r#""subject":{them}"#)), "{told}");
    }
}
