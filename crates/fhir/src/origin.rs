//! Where a document comes from, and which other documents it refers to, in the words of its source.
//!
//! A source calls its resources by a base address, a kind and an id, or by `urn:uuid:…`. The same words are
//! what other documents refer to them by, so that a reference can be replaced by one to the record that was
//! made of its target.

use std::collections::HashSet;

use crate::canonical;
use crate::is_clinical;
use crate::issue::text;
use crate::json::Json;
use crate::primitives::{is_id, is_uri};
use crate::record_types::resource_type;
use crate::references::Literal;
pub use crate::references::{MAX_SOURCE, NameScope};
use crate::stamp::{REASON_URL, SALT_URL, member_mut, set};

/// The source of what is called by `urn:uuid:…` alone.
pub const UUID_SOURCE: &str = "urn:uuid";
/// How many references of one document are looked at. The others stay as they are.
const MAX_REFERENCES: usize = 10_000;

/// What a resource is called by its source. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SourceName {
    /// The base address of the source, or another name of it.
    pub source: String,
    /// The kind of resource; empty where `id` is a UUID that means the resource by itself.
    pub kind: String,
    /// The id.
    pub id: String,
}

impl std::fmt::Debug for SourceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SourceName(…)")
    }
}

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What it is called there.
    pub name: SourceName,
    /// Which version of it this is, if it says so.
    pub version: Option<String>,
    /// When that version was made, a FHIR `instant`, if it says so.
    pub last_updated: Option<String>,
}

/// Where a document comes from; `None` where nobody says: it has no id, or its source no name.
pub fn origin(document: &Json, scope: NameScope<'_>) -> Option<Origin> {
    let kind = resource_type(document)?;
    let id = document.get("id").and_then(Json::as_str);
    let id = id.filter(|id| is_id(id));
    let called = scope.full_url.and_then(Literal::of);
    let name = |source: &str, kind: &str, id: &str| SourceName {
        source: source.trim_end_matches('/').to_owned(),
        kind: kind.to_owned(),
        id: id.to_owned(),
    };
    let meta = |element: &str| document.get("meta")?.get(element)?.as_str();
    let name = match (scope.named, called, id) {
        // Where the source has a name, its own ids mean more than those of one Bundle.
        (Some(source), _, Some(id)) | (Some(source), Some(Literal::Absolute { id, .. }), None) => {
            name(source, kind, id)
        }
        (Some(source), Some(Literal::Uuid(uuid)), None) => name(source, "", &uuid),
        (None, Some(Literal::Absolute { base, kind: of, id }), _) if of == kind => {
            name(base, kind, id)
        }
        (None, Some(Literal::Uuid(uuid)), _) => name(UUID_SOURCE, "", &uuid),
        (None, _, Some(id)) => {
            let source = meta_source(document)?;
            match Literal::of(source) {
                Some(Literal::Absolute { base, kind: of, id }) if of == kind => {
                    name(base, kind, id)
                }
                _ => name(source, kind, id),
            }
        }
        _ => return None,
    };
    let version = meta("versionId").filter(|version| is_id(version));
    Some(Origin {
        name,
        version: version.map(str::to_owned),
        last_updated: meta("lastUpdated").map(str::to_owned),
    })
}

/// The source that a document names by itself (`meta.source`), for what is known of an entry of this `fullUrl`.
///
/// None where that is the address of the document under another id: what is there is a copy, whose references are not those of the
/// original.
pub fn said_source<'a>(document: &'a Json, full_url: Option<&str>) -> Option<&'a str> {
    let source = meta_source(document)?;
    let called = full_url.and_then(Literal::of);
    match Literal::of(source) {
        Some(Literal::Absolute { base, kind, id }) if resource_type(document) == Some(kind) => {
            let own = document.get("id").and_then(Json::as_str);
            own.is_none_or(|own| own == id).then_some(base)
        }
        // It is what the entry is called, and names no server.
        Some(Literal::Uuid(uuid)) if called == Some(Literal::Uuid(uuid.clone())) => None,
        _ => Some(source),
    }
}

/// What a document says of its source, without what some servers write behind it, or instead of it: the number of a request. What an
/// export of ours says of an earlier one is not where it comes from now.
fn meta_source(document: &Json) -> Option<&str> {
    let source = document.get("meta")?.get("source")?.as_str()?;
    let named = source.split('#').next().unwrap_or_default();
    let is_one = source.len() <= MAX_SOURCE && !named.is_empty();
    (is_one && !is_stamped(document)).then_some(named)
}

fn is_stamped(document: &Json) -> bool {
    let extensions = document
        .get("meta")
        .and_then(|meta| meta.get("extension"))
        .and_then(Json::as_array);
    let is_salt = |extension: &Json| extension.get("url").and_then(Json::as_str) == Some(SALT_URL);
    extensions.unwrap_or_default().iter().any(is_salt)
}

/// What others of the same import refer to a document by. Its kind and its id alone only where it is not known which server has it:
/// another one may have that id, too.
pub fn names(document: &Json, scope: NameScope<'_>) -> Vec<String> {
    let mut names = Vec::new();
    match scope.full_url.and_then(Literal::of) {
        Some(Literal::Uuid(uuid)) => names.push(format!("urn:uuid:{uuid}")),
        Some(Literal::Absolute { base, kind, id }) => names.push(format!("{base}/{kind}/{id}")),
        Some(Literal::Relative { .. }) | None => {}
    }
    let id = document.get("id").and_then(Json::as_str);
    if let (Some(kind), Some(id)) = (resource_type(document), id.filter(|id| is_id(id))) {
        let source = scope.named.or(scope.server()).or(scope.said);
        if let Some(called) = source.map(|source| joined(source, kind, id))
            && !names.contains(&called)
        {
            names.push(called);
        }
        if source.is_none() || scope.named.is_some() && scope.server().is_none() {
            names.push(format!("{kind}/{id}"));
        }
    }
    // What it is known by, so that it is found now as it is once it is stored: of a copy, the address of its original.
    let known = origin(document, scope).map(|origin| origin.name);
    if let Some(known) = known.filter(|known| !known.kind.is_empty()) {
        let called = joined(&known.source, &known.kind, &known.id);
        if !names.contains(&called) {
            names.push(called);
        }
    }
    names
}

fn joined(source: &str, kind: &str, id: &str) -> String {
    format!("{}/{kind}/{id}", source.trim_end_matches('/'))
}

/// The names that a reference of a document may mean, the likeliest first. One that is relative means what its own server has, or,
/// where that is not known, what no other is known to have.
pub fn names_meant(reference: &str, scope: NameScope<'_>) -> Vec<String> {
    match Literal::of(reference) {
        None => Vec::new(),
        Some(Literal::Uuid(uuid)) => vec![format!("urn:uuid:{uuid}")],
        Some(Literal::Absolute { base, kind, id }) => vec![format!("{base}/{kind}/{id}")],
        Some(Literal::Relative { kind, id }) => {
            let alone = format!("{kind}/{id}");
            match scope.server().or(scope.named).or(scope.said) {
                None => vec![alone],
                // What has no address is of the source that the import names, too.
                Some(server) if scope.named.is_some() && scope.server().is_some() => {
                    vec![joined(server, kind, id), alone]
                }
                Some(source) => vec![joined(source, kind, id)],
            }
        }
    }
}

/// What a reference to something of the document's own server means in the words of the source that the import names, where both are
/// known: a document of another server may be called so, too.
pub fn name_beside_server(reference: &str, scope: NameScope<'_>) -> Option<String> {
    let (named, server) = (scope.named?, scope.server()?);
    let (kind, id) = match Literal::of(reference)? {
        Literal::Relative { kind, id } => (kind, id),
        Literal::Absolute { base, kind, id } if base == server => (kind, id),
        Literal::Absolute { .. } | Literal::Uuid(_) => return None,
    };
    let called = joined(named, kind, id);
    (called != joined(server, kind, id)).then_some(called)
}

/// What the target of a reference is called by its source; `None` where the source has no name.
pub fn source_meant(reference: &str, scope: NameScope<'_>) -> Option<SourceName> {
    let name = |source: &str, kind: &str, id: &str| SourceName {
        source: source.trim_end_matches('/').to_owned(),
        kind: kind.to_owned(),
        id: id.to_owned(),
    };
    let own_base = scope.server();
    Some(match Literal::of(reference)? {
        Literal::Uuid(uuid) => name(scope.named.unwrap_or(UUID_SOURCE), "", &uuid),
        Literal::Absolute { base, kind, id } => match scope.named {
            Some(source) if own_base == Some(base) || source.trim_end_matches('/') == base => {
                name(source, kind, id)
            }
            Some(_) | None => name(base, kind, id),
        },
        Literal::Relative { kind, id } => {
            let source = scope.named.or(own_base).or(scope.said);
            name(source?, kind, id)
        }
    })
}

/// Whether a reference may mean what a record is made of, by the kind that it names, if it names one.
pub fn may_mean_record(reference: &str) -> bool {
    may_mean(reference, is_clinical)
}

/// Whether the address of a file may mean a `Binary`: by the kind that it names, or as a UUID.
pub fn may_mean_file(url: &str) -> bool {
    may_mean(url, |kind| kind == "Binary")
}

/// Whether a reference may mean a `Medication`: by the kind that it names, or as a UUID.
pub fn may_mean_medication(reference: &str) -> bool {
    may_mean(reference, |kind| kind == "Medication")
}

fn may_mean(reference: &str, is_meant: impl Fn(&str) -> bool) -> bool {
    let literal = Literal::of(reference);
    literal.is_some_and(|literal| literal.kind().is_none_or(is_meant))
}

/// The id of a relative reference to a kind that records are made of.
pub fn id_of_record(reference: &str) -> Option<&str> {
    match Literal::of(reference)? {
        Literal::Relative { kind, id } => is_clinical(kind).then_some(id),
        Literal::Absolute { .. } | Literal::Uuid(_) => None,
    }
}

/// The literal references of a document to what is outside of it, each once, but those to this patient. What
/// it contains, and what stands in the same `Bundle` of a document that is one, is not outside.
pub fn references(document: &Json, patient_id: &str) -> Vec<String> {
    let patient = format!("Patient/{patient_id}");
    let inside = inside(document);
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    each_reference(document, &mut |reference| {
        let is_outside = !reference.starts_with('#')
            && reference != patient
            && !inside.contains(reference.split("/_history/").next().unwrap_or_default());
        if is_outside && found.len() < MAX_REFERENCES && seen.insert(reference.to_owned()) {
            found.push(reference.to_owned());
        }
    });
    found
}

/// What the entries of a document that is a `Bundle` are referred to by.
fn inside(document: &Json) -> HashSet<String> {
    let mut inside = HashSet::new();
    if resource_type(document) != Some("Bundle") {
        return inside;
    }
    let entries = document.get("entry").and_then(Json::as_array);
    for entry in entries.unwrap_or_default() {
        let full_url = entry.get("fullUrl").and_then(Json::as_str);
        inside.extend(full_url.map(str::to_owned));
        let resource = entry.get("resource");
        let kind = resource.and_then(resource_type);
        let id = resource.and_then(|it| it.get("id")).and_then(Json::as_str);
        if let (Some(kind), Some(id)) = (kind, id) {
            inside.insert(format!("{kind}/{id}"));
        }
    }
    inside
}

fn each_reference(json: &Json, tell: &mut dyn FnMut(&str)) {
    match json {
        Json::Array(items) => {
            for item in items {
                each_reference(item, tell);
            }
        }
        Json::Object(members) => {
            if resource_type(json).is_none()
                && let Some(reference) = json.get("reference").and_then(Json::as_str)
            {
                tell(reference);
            }
            for (_, member) in members {
                each_reference(member, tell);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// The document with the place that it comes from in `meta.source`, unless it names one.
#[must_use]
pub fn with_source(mut document: Json, origin: &Origin) -> Json {
    let SourceName { source, kind, id } = &origin.name;
    let mut place = if kind.is_empty() && source == UUID_SOURCE {
        format!("urn:uuid:{id}")
    } else if kind.is_empty() {
        format!("{source}/{id}")
    } else {
        format!("{source}/{kind}/{id}")
    };
    if let Some(version) = origin.version.as_deref().filter(|_| !kind.is_empty()) {
        place = format!("{place}/_history/{version}");
    }
    let has_source = document
        .get("meta")
        .is_some_and(|meta| meta.get("source").is_some() || meta.as_object().is_none());
    if has_source || !is_uri(&place) {
        return document;
    }
    let Json::Object(members) = &mut document else {
        return document;
    };
    if !members.iter().any(|(name, _)| name == "meta") {
        members.push(("meta".to_owned(), Json::Object(Vec::new())));
    }
    if let Some(Json::Object(meta)) = member_mut(&mut document, "meta") {
        set(meta, "source", text(&place));
    }
    document
}

/// What a document says, without what changes each time that it is sent: id, version, time and source, and
/// what a server of ours has written into it.
pub fn content(document: &Json) -> Vec<u8> {
    let mut document = document.clone();
    if let Json::Object(members) = &mut document {
        members.retain(|(name, _)| name != "id");
    }
    if let Some(Json::Object(meta)) = member_mut(&mut document, "meta") {
        meta.retain(|(name, _)| !matches!(name.as_str(), "versionId" | "lastUpdated" | "source"));
        if let Some((_, Json::Array(extensions))) =
            meta.iter_mut().find(|(name, _)| name == "extension")
        {
            extensions.retain(|extension| {
                let url = extension.get("url").and_then(Json::as_str);
                !matches!(url, Some(SALT_URL | REASON_URL))
            });
        }
        meta.retain(|(name, json)| {
            name != "extension" || json.as_array().is_none_or(|items| !items.is_empty())
        });
    }
    if let Json::Object(members) = &mut document {
        members.retain(|(name, json)| {
            name != "meta" || json.as_object().is_none_or(|meta| !meta.is_empty())
        });
    }
    canonical::to_bytes(&document)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::reader::read;

    fn json(text: &str) -> Json {
        read(text.as_bytes()).unwrap()
    }

    fn scope<'a>(named: Option<&'a str>, full_url: Option<&'a str>) -> NameScope<'a> {
        NameScope {
            named,
            full_url,
            said: None,
        }
    }

    fn called(text: &str, of: NameScope<'_>) -> Option<(String, String, String)> {
        origin(&json(text), of).map(|it| (it.name.source, it.name.kind, it.name.id))
    }

    const UUID: &str = "urn:uuid:0B0C4A2E-54de-4f0b-8a77-1c6e0d9f2b35";
    const SMALL: &str = "0b0c4a2e-54de-4f0b-8a77-1c6e0d9f2b35";
    const SMALL_URN: &str = "urn:uuid:0b0c4a2e-54de-4f0b-8a77-1c6e0d9f2b35";

    #[test]
    fn a_document_comes_from_the_named_source_its_address_or_what_it_says() {
        let with_id = r#"{"resourceType":"Condition","id":"7"}"#;
        let without = r#"{"resourceType":"Condition"}"#;
        let says = r#"{"resourceType":"Condition","id":"7","meta":{"source":"http://h/fhir#x"}}"#;
        let address = r#"{"resourceType":"Condition","id":"0","meta":{"source":"http://h/fhir/Condition/7/_history/2"}}"#;
        let request = r##"{"resourceType":"Condition","id":"7","meta":{"source":"#x7"}}"##;
        let ours = format!(
            r#"{{"resourceType":"Condition","id":"7","meta":{{"source":"http://h","extension":[{{"url":"{SALT_URL}","valueString":"x"}}]}}}}"#
        );
        let is = |source: &str, kind: &str, id: &str| {
            Some((source.to_owned(), kind.to_owned(), id.to_owned()))
        };
        let at_h = Some("http://h/fhir/Condition/9");
        for (document, of, expected) in [
            (with_id, scope(None, None), None),
            (without, scope(Some("a"), None), None),
            (with_id, scope(Some("a/"), at_h), is("a", "Condition", "7")),
            (without, scope(Some("a"), at_h), is("a", "Condition", "9")),
            (without, scope(Some("a"), Some(UUID)), is("a", "", SMALL)),
            (
                with_id,
                scope(None, at_h),
                is("http://h/fhir", "Condition", "9"),
            ),
            (with_id, scope(None, Some("http://h/Goal/9")), None),
            (with_id, scope(None, Some(UUID)), is(UUID_SOURCE, "", SMALL)),
            (
                says,
                scope(None, None),
                is("http://h/fhir", "Condition", "7"),
            ),
            (
                address,
                scope(None, None),
                is("http://h/fhir", "Condition", "7"),
            ),
            (ours.as_str(), scope(None, None), None),
            (request, scope(None, None), None),
        ] {
            assert_eq!(called(document, of), expected, "{document} {of:?}");
        }
    }

    #[test]
    fn a_document_speaks_in_the_words_of_the_source_that_it_names() {
        let of = |source: &str, id: &str| {
            let text =
                format!(r#"{{"resourceType":"Condition"{id},"meta":{{"source":"{source}"}}}}"#);
            json(&text)
        };
        let id = r#","id":"7""#;
        let at_h = Some("http://h/fhir");
        for (source, id, expected) in [
            ("http://h/fhir", id, at_h),
            ("http://h/fhir#request", id, at_h),
            ("http://h/fhir/Condition/7/_history/2", id, at_h),
            ("http://h/fhir/Condition/7#request", id, at_h),
            ("http://h/fhir/Condition/7", "", at_h),
            // A copy under an id of its own.
            ("http://h/fhir/Condition/8", id, None),
            ("http://h/fhir/Device/8", id, Some("http://h/fhir/Device/8")),
            ("#request", id, None),
            ("urn:oid:1.2", id, Some("urn:oid:1.2")),
            (SMALL_URN, id, Some(SMALL_URN)),
        ] {
            let document = of(source, id);
            assert_eq!(said_source(&document, None), expected, "{source}");
        }
        let called_so = of(SMALL_URN, id);
        assert_eq!(said_source(&called_so, Some(UUID)), None);
    }

    #[test]
    fn a_relative_reference_means_nothing_of_another_server() {
        let target = json(r#"{"resourceType":"Condition","id":"7"}"#);
        let said = |said| NameScope {
            said: Some(said),
            ..NameScope::default()
        };
        let (at_a, at_b) = (Some("http://a/Condition/7"), Some("http://b/Goal/1"));
        let nowhere = NameScope::default();
        for (from, of, is_meant) in [
            (scope(None, at_b), scope(None, at_a), false),
            (scope(None, at_b), nowhere, false),
            (scope(None, at_b), said("http://b"), true),
            (nowhere, scope(None, at_a), false),
            (nowhere, said("a"), false),
            (nowhere, nowhere, true),
            (nowhere, scope(None, Some(UUID)), true),
            (said("a"), said("a"), true),
            (said("a"), said("b"), false),
            (said("a"), nowhere, false),
            // An import that names its source has that one; addresses go before it.
            (scope(Some("h"), None), scope(Some("h"), at_a), true),
            (scope(Some("h"), at_b), scope(Some("h"), at_a), false),
            (scope(Some("h"), at_b), scope(Some("h"), Some(UUID)), true),
        ] {
            let names = names(&target, of);
            let meant = names_meant("Condition/7", from);
            let is_named = meant.iter().any(|name| names.contains(name));
            assert_eq!(is_named, is_meant, "{from:?} {of:?}");
        }
    }

    #[test]
    fn what_the_source_has_beside_a_server_is_known_by_its_name() {
        let at_b = Some("http://b/Goal/1");
        let beside = Some("h/Condition/7".to_owned());
        for (reference, of, expected) in [
            ("Condition/7", scope(Some("h"), at_b), beside.clone()),
            ("http://b/Condition/7", scope(Some("h"), at_b), beside),
            ("http://a/Condition/7", scope(Some("h"), at_b), None),
            ("Condition/7", scope(Some("http://b/"), at_b), None),
            ("Condition/7", scope(Some("h"), None), None),
            ("Condition/7", scope(None, at_b), None),
        ] {
            let name = name_beside_server(reference, of);
            assert_eq!(name, expected, "{reference} {of:?}");
        }
    }

    #[test]
    fn a_copy_is_also_called_what_its_original_is() {
        let of = |source: &str| {
            json(&format!(
                r#"{{"resourceType":"Condition","id":"7","meta":{{"source":"{source}"}}}}"#
            ))
        };
        let original = "http://h/fhir/Condition/8";
        for source in [
            "http://h/fhir/Condition/8/_history/2",
            "http://h/fhir/Condition/8#request",
        ] {
            let copy = of(source);
            let scope = NameScope {
                said: said_source(&copy, None),
                ..NameScope::default()
            };
            assert_eq!(names(&copy, scope), ["Condition/7", original], "{source}");
            let there = origin(&copy, scope).map(|origin| origin.name);
            assert_eq!(source_meant(original, scope), there, "{source}");
        }
        let scope = scope(Some("h"), Some("http://a/Condition/7"));
        let names = names(&of("http://b"), scope);
        assert_eq!(names, ["http://a/Condition/7", "h/Condition/7"]);
    }

    #[test]
    fn a_reference_means_the_names_of_its_target_and_the_same_source() {
        let target = json(r#"{"resourceType":"Condition","id":"7"}"#);
        for (reference, of) in [
            ("Condition/7", scope(None, None)),
            ("Condition/7/_history/3", scope(None, None)),
            ("Condition/7", scope(Some("http://h"), None)),
            ("http://h/Condition/7", scope(Some("http://h"), None)),
            ("Condition/7", scope(None, Some("http://h/Condition/7"))),
            (UUID, scope(None, Some(UUID))),
        ] {
            let names = names(&target, of);
            let meant = names_meant(reference, of);
            assert!(meant.iter().any(|name| names.contains(name)), "{reference}");
            let there = origin(&target, of).map(|origin| origin.name);
            assert_eq!(source_meant(reference, of), there, "{reference} {of:?}");
        }
        for other in [
            "#7",
            "Nobody/7",
            "Condition",
            "a/Condition/7",
            "urn:oid:1.2",
            "",
        ] {
            assert_eq!(
                names_meant(other, NameScope::default()),
                Vec::<String>::new()
            );
            assert!(!may_mean_record(other), "{other}");
        }
        assert!(!may_mean_record("Practitioner/1") && may_mean_record("http://h/Condition/1"));
        for file in ["Binary/1", "https://h/fhir/Binary/1/_history/2", UUID] {
            assert!(may_mean_file(file), "{file}");
        }
        assert!(!may_mean_file("Media/1") && !may_mean_file("https://h/scan.pdf"));
        assert!(may_mean_medication("Medication/1") && may_mean_medication(UUID));
        assert!(!may_mean_medication("MedicationRequest/1"));
        assert_eq!(id_of_record("Condition/1/_history/2"), Some("1"));
        for other in ["Practitioner/1", "http://h/Condition/1", UUID] {
            assert_eq!(id_of_record(other), None, "{other}");
        }
    }

    #[test]
    fn references_to_what_is_outside_are_found() {
        let document = json(
            r##"{"resourceType":"Bundle","type":"collection","entry":[
                {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Goal","id":"g",
                    "subject":{"reference":"Patient/p"},"addresses":[{"reference":"Condition/1"},{"reference":"#c"}]}},
                {"resource":{"resourceType":"CarePlan","goal":[{"reference":"Goal/g"},{"reference":"urn:uuid:1"}],
                    "basedOn":[{"reference":"Condition/1"},{"reference":"Condition/2"}]}}]}"##,
        );
        assert_eq!(references(&document, "p"), ["Condition/1", "Condition/2"]);
    }

    #[test]
    fn what_a_document_says_is_the_same_in_each_version_that_says_the_same() {
        let first = json(r#"{"resourceType":"Goal","id":"1","meta":{"versionId":"1"},"x":1}"#);
        let second = json(
            r#"{"resourceType":"Goal","id":"2","meta":{"versionId":"2","lastUpdated":"2026-01-01T00:00:00Z"},"x":1}"#,
        );
        let bare = json(r#"{"resourceType":"Goal","x":1}"#);
        let other = json(r#"{"resourceType":"Goal","id":"1","x":2}"#);
        assert_eq!(content(&first), content(&second));
        assert_eq!(content(&first), content(&bare));
        assert_ne!(content(&first), content(&other));
    }

    #[test]
    fn the_place_that_a_document_comes_from_stands_in_it_unless_one_does() {
        let of = scope(Some("http://h"), None);
        let document = json(r#"{"resourceType":"Goal","id":"1","meta":{"versionId":"2"}}"#);
        let source = |document: &Json| {
            let source = document.get("meta").and_then(|meta| meta.get("source"));
            source.and_then(Json::as_str).map(str::to_owned)
        };
        let marked = with_source(document.clone(), &origin(&document, of).unwrap());
        assert_eq!(
            source(&marked).as_deref(),
            Some("http://h/Goal/1/_history/2")
        );
        let bare = json(r#"{"resourceType":"Goal","id":"1"}"#);
        let marked = with_source(bare.clone(), &origin(&bare, of).unwrap());
        assert_eq!(source(&marked).as_deref(), Some("http://h/Goal/1"));
        let says = json(r#"{"resourceType":"Goal","id":"1","meta":{"source":"http://b"}}"#);
        let marked = with_source(says.clone(), &origin(&says, of).unwrap());
        assert_eq!(source(&marked).as_deref(), Some("http://b"));
    }
}
