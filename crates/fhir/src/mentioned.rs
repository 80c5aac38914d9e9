//! Resources that no record is made of and that documents refer to, such as an `Encounter`: what they are called, by others and by
//! people; and a `Medication`, which the documents that refer to it contain.

use std::collections::HashMap;
use std::fmt;

use crate::canonical;
use crate::json::Json;
use crate::logical::LogicalReference;
use crate::markup;
use crate::origin;
use crate::primitives::is_string;
use crate::reader;
use crate::record_types::resource_type;
use crate::references::{Literal, NameScope, identifier_asked};
use crate::replacement::{Replacement, with_references};
use crate::stamp::items_mut;
use crate::summary;
use crate::table;
use crate::validate;

/// The kinds that are looked at. What people are called who are not at work is not written into others' documents.
const KINDS: [&str; 11] = [
    "Device",
    "Encounter",
    "EpisodeOfCare",
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Specimen",
    "Substance",
];
/// The longest text that a person reads of one. Unit: bytes.
const MAX_DISPLAY: usize = 255;
/// The longest `Medication` that a document contains. Unit: bytes.
const MAX_MEDICATION: usize = 64 << 10;
/// How deep it is nested at most: it is nested deeper in a document.
const MAX_MEDICATION_DEPTH: usize = reader::MAX_DEPTH / 2;
/// How many identifiers of one are names.
const MAX_IDENTIFIERS: usize = 4;

/// A resource that documents may refer to. Its `Debug` hides what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct MentionedResource {
    /// Of which kind.
    pub kind: &'static str,
    /// What documents refer to it by, the surest first; never empty.
    pub names: Vec<String>,
    /// What a person reads of it.
    pub display: Option<String>,
    /// A `Medication` as a document may contain it.
    pub medication: Option<Json>,
}

impl fmt::Debug for MentionedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MentionedResource")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl MentionedResource {
    /// What documents may refer to; `None` of other kinds, and of what has no name.
    pub fn of(resource: &Json, scope: NameScope<'_>) -> Option<Self> {
        let kind = resource_type(resource).filter(|kind| KINDS.contains(kind))?;
        let kind = table::r4().resource(kind)?.name;
        let mut names = origin::names(resource, scope);
        names.extend(identifiers(resource).map(|it| format!("{kind}?identifier={it}")));
        if names.is_empty() {
            return None;
        }
        let is_sound = |display: &String| {
            display.len() <= MAX_DISPLAY && is_string(display) && !markup::runs(display)
        };
        let medication = (kind == "Medication").then(|| containable(resource, scope));
        let display = if is_plain(resource) {
            summary::name_of(resource).filter(is_sound)
        } else {
            None
        };
        Some(Self {
            kind,
            names,
            display,
            medication: medication.flatten(),
        })
    }
}

/// Whether the name of a resource may stand for it: nothing takes it back, and nothing keeps it confidential.
fn is_plain(resource: &Json) -> bool {
    let status = resource.get("status").and_then(Json::as_str);
    let is_in_force = match resource_type(resource) {
        Some("Medication") => status.is_none_or(|status| status == "active"),
        _ => status != Some("entered-in-error"),
    };
    let modifiers = ["modifierExtension", "implicitRules"];
    let is_modified = modifiers.iter().any(|it| resource.get(it).is_some());
    is_in_force && !is_modified && !has_label(resource)
}

/// Whether a resource has a security label.
fn has_label(resource: &Json) -> bool {
    let meta = resource.get("meta");
    meta.is_some_and(|meta| meta.get("security").is_some())
}

/// The names of [`MentionedResource`] that a reference of a document may mean.
pub fn names_meant(reference: &str, scope: NameScope<'_>) -> Vec<String> {
    let path = reference.split('?').next().unwrap_or_default();
    let kind = path.rsplit('/').next().unwrap_or_default();
    if let Some(identifier) = identifier_asked(reference) {
        return vec![format!("{kind}?identifier={identifier}")];
    }
    let mut names = origin::names_meant(reference, scope);
    let called = scope.full_url.and_then(Literal::of);
    if called.is_some_and(|called| called.base().is_some()) {
        // Below the same address, and nowhere else: another server may have that id, too.
        names.truncate(1);
    }
    names
}

/// Whether a document names a drug by a reference to what it does not contain.
pub fn lacks_medication(document: &Json) -> bool {
    match document {
        Json::Array(items) => items.iter().any(lacks_medication),
        Json::Object(members) => members.iter().any(|(name, member)| {
            let reference = member.get("reference").and_then(Json::as_str);
            let is_outside = reference.is_none_or(|reference| !reference.starts_with('#'));
            name == "medicationReference" && is_outside || lacks_medication(member)
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

/// The references by which a document names drugs that it does not contain.
pub fn medications_meant(document: &Json) -> Vec<&str> {
    let mut meant = Vec::new();
    collect_medications(document, &mut meant);
    meant
}

fn collect_medications<'a>(json: &'a Json, meant: &mut Vec<&'a str>) {
    match json {
        Json::Array(items) => {
            for item in items {
                collect_medications(item, meant);
            }
        }
        Json::Object(members) => {
            for (name, member) in members {
                let reference = member.get("reference").and_then(Json::as_str);
                let outside = reference.filter(|reference| !reference.starts_with('#'));
                meant.extend(outside.filter(|_| name == "medicationReference"));
                collect_medications(member, meant);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// The identifiers of a resource, as `system|value`.
fn identifiers(resource: &Json) -> impl Iterator<Item = String> {
    let all = resource.get("identifier").and_then(Json::as_array);
    let all = all.unwrap_or_default().iter().take(MAX_IDENTIFIERS);
    all.filter_map(|identifier| {
        let text = |key: &str| identifier.get(key).and_then(Json::as_str);
        Some(format!("{}|{}", text("system")?, text("value")?))
    })
}

/// A `Medication` in the form in which a document may contain it: without id, `meta` and narrative (R4, `DomainResource.text`), and
/// with no reference that leads nowhere. `None` where it is not R4, is long, or has a security label, which would be lost (dom-5).
fn containable(medication: &Json, scope: NameScope<'_>) -> Option<Json> {
    // What its narrative shows of what it contains would not be found.
    let narrative = medication.get("text").and_then(|text| text.get("div"));
    let narrative = narrative.and_then(Json::as_str).unwrap_or_default();
    let shows_contained = medication.get("contained").is_some() && narrative.contains('#');
    let is_long = canonical::length(medication) > MAX_MEDICATION
        || reader::depth(medication) > MAX_MEDICATION_DEPTH;
    let is_unfit = has_label(medication) || shows_contained || is_long;
    if is_unfit || !validate::before_stamping(medication).is_empty() {
        return None;
    }
    let references = origin::references(medication, "").into_iter();
    let to: HashMap<String, Replacement> = references
        .filter_map(|reference| {
            let logical = LogicalReference::of(&reference, scope)?;
            Some((reference, Replacement::Logical(logical)))
        })
        .collect();
    let mut medication = with_references(medication.clone(), &to);
    for inner in items_mut(&mut medication, "contained") {
        without(inner, &["meta", "text"]);
    }
    without(&mut medication, &["id", "meta", "text"]);
    Some(medication)
}

fn without(resource: &mut Json, names: &[&str]) {
    if let Json::Object(members) = resource {
        members.retain(|(name, _)| !names.contains(&name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::reader::read;

    const THERE: NameScope<'static> = NameScope {
        named: None,
        full_url: Some("http://h/fhir/Encounter/7"),
        said: None,
    };

    fn mentioned(text: &str) -> Option<MentionedResource> {
        MentionedResource::of(&read(text.as_bytes()).unwrap(), THERE)
    }

    #[test]
    fn what_people_read_of_a_resource_is_its_name_or_what_it_is() {
        for (resource, expected) in [
            (
                r#"{"resourceType":"Practitioner","id":"1","name":[{"given":["Rosa"],"family":"Lindgren"}]}"#,
                Some("Rosa Lindgren"),
            ),
            (
                r#"{"resourceType":"Organization","id":"1","name":"Ward 3","type":[{"text":"Ward"}]}"#,
                Some("Ward 3"),
            ),
            (
                r#"{"resourceType":"Encounter","id":"1","type":[{"text":"Check-up"}],"class":{"code":"AMB"}}"#,
                Some("Check-up"),
            ),
            (
                r#"{"resourceType":"Encounter","id":"1","class":{"code":"AMB","display":"ambulatory"}}"#,
                Some("ambulatory"),
            ),
            (
                r#"{"resourceType":"Specimen","id":"1","type":{"text":"Blood"}}"#,
                Some("Blood"),
            ),
            (
                r#"{"resourceType":"Medication","id":"1","code":{"coding":[{"display":"Ramipril"}]}}"#,
                Some("Ramipril"),
            ),
            (r#"{"resourceType":"Location","id":"1"}"#, None),
            (
                r#"{"resourceType":"Medication","id":"1","ingredient":[{"itemCodeableConcept":{"text":"Codeine"}}]}"#,
                Some("Codeine"),
            ),
            (
                r#"{"resourceType":"Medication","id":"1","status":"inactive","code":{"text":"Ramipril"}}"#,
                None,
            ),
            (
                r#"{"resourceType":"Medication","id":"1","code":{"text":"Ramipril"},"modifierExtension":[{"url":"http://x"}]}"#,
                None,
            ),
            (
                r#"{"resourceType":"Encounter","id":"1","status":"entered-in-error","type":[{"text":"Visit"}]}"#,
                None,
            ),
            (
                r#"{"resourceType":"Encounter","id":"1","meta":{"security":[{"code":"R"}]},"type":[{"text":"Visit"}]}"#,
                None,
            ),
            (
                r#"{"resourceType":"Organization","id":"1","name":"javascript:alert(1)"}"#,
                None,
            ),
        ] {
            let told = mentioned(resource).unwrap();
            assert_eq!(told.display.as_deref(), expected, "{resource}");
        }
        let other = r#"{"resourceType":"RelatedPerson","id":"1","name":[{"text":"Mother"}]}"#;
        assert_eq!(mentioned(other), None);
    }

    #[test]
    fn a_resource_is_meant_by_its_address_its_id_and_its_identifiers() {
        let practitioner = r#"{"resourceType":"Practitioner","id":"7","identifier":[{"system":"http://npi","value":"99"}]}"#;
        let practitioner = read(practitioner.as_bytes()).unwrap();
        let scope = NameScope {
            named: None,
            full_url: Some("http://h/fhir/Practitioner/7"),
            said: None,
        };
        let names = MentionedResource::of(&practitioner, scope).unwrap().names;
        for reference in [
            "Practitioner/7",
            "http://h/fhir/Practitioner/7",
            "Practitioner?identifier=http://npi%7C99",
        ] {
            let meant = names_meant(reference, THERE);
            assert!(meant.iter().any(|name| names.contains(name)), "{reference}");
        }
        let another = names_meant("Practitioner?identifier=http://npi|98", THERE);
        assert!(!another.iter().any(|name| names.contains(name)));
    }

    #[test]
    fn a_document_contains_a_medication_that_is_sound_and_leads_nowhere() {
        let medication = |more: &str| {
            let text = format!(
                r#"{{"resourceType":"Medication","id":"1","status":"active","code":{{"text":"Ramipril"}}{more}}}"#
            );
            mentioned(&text).unwrap().medication
        };
        let narrative = r#""text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"}"#;
        let more = format!(
            r#","meta":{{"versionId":"3"}},{narrative},"manufacturer":{{"reference":"Organization/4"}}"#
        );
        let bare = r#"{"code":{"text":"Ramipril"},"manufacturer":{"identifier":{"system":"urn:ietf:rfc:3986","value":"http://h/fhir/Organization/4"},"type":"Organization"},"resourceType":"Medication","status":"active"}"#;
        let contained = medication(&more).unwrap();
        let told = String::from_utf8(canonical::to_bytes(&contained)).unwrap();
        assert_eq!(told, bare);
        let label = r#","meta":{"security":[{"code":"R"}]}"#;
        let long = format!(
            r#","batch":{{"lotNumber":"{}"}}"#,
            "7".repeat(MAX_MEDICATION)
        );
        for unfit in [label, r#","dose":1"#, &long] {
            assert_eq!(medication(unfit), None);
        }
    }
}
