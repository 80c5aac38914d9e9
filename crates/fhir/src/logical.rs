//! References to what is not stored: they say by an identifier what they mean (`Reference.identifier`), because there is
//! nothing here that they could lead to. So each literal reference leads to a record, into its own document, or to another server.

use std::fmt;

use crate::issue::{object, text};
use crate::json::Json;
use crate::primitives::{is_string, is_uri};
use crate::references::{Literal, NameScope, identifier_asked};
use crate::stamp::SERVER_URL;
use crate::table;

/// The system of identifiers that are URIs.
const URIS: &str = "urn:ietf:rfc:3986";

/// How long the names of its members are, with what stands between them. Unit: bytes.
const MEMBERS: usize = 64;

/// What a reference means that leads to nothing here. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct LogicalReference {
    system: Option<String>,
    value: String,
    /// The kind of resource, if it is known.
    kind: Option<&'static str>,
    /// What a person reads of it, if it is known.
    display: Option<String>,
}

impl fmt::Debug for LogicalReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogicalReference(…)")
    }
}

impl LogicalReference {
    /// What a literal reference of a document means; `None` of one that leads to another server.
    ///
    /// One that is conditional means the identifier that it asks for; one that is relative, what is there below the address of
    /// its source.
    pub fn of(reference: &str, scope: NameScope<'_>) -> Option<Self> {
        if let Some(asked) = Self::asked(reference) {
            return Some(asked);
        }
        let literal = Literal::of(reference);
        let kind = literal.as_ref().and_then(Literal::kind).and_then(known);
        let meant = match literal {
            Some(Literal::Absolute { base, .. }) if base != SERVER_URL => return None,
            Some(Literal::Relative { .. }) => match scope.base() {
                Some(base) => Self::by_uri(&format!("{base}/{reference}")),
                None => Self::bare(reference),
            },
            Some(Literal::Absolute { .. } | Literal::Uuid(_)) => Self::by_uri(reference),
            None if reference.starts_with("urn:") => Self::by_uri(reference),
            None => return None,
        };
        Some(Self { kind, ..meant })
    }

    /// What this URI means.
    pub(crate) fn by_uri(uri: &str) -> Self {
        Self {
            system: Some(URIS.to_owned()),
            ..Self::bare(uri)
        }
    }

    fn bare(value: &str) -> Self {
        Self {
            system: None,
            value: value.to_owned(),
            kind: None,
            display: None,
        }
    }

    /// What a conditional reference asks for.
    fn asked(reference: &str) -> Option<Self> {
        let (path, _) = reference.split_once('?')?;
        let kind = known(path.rsplit('/').next()?)?;
        let is_elsewhere = path.contains("://");
        let identifier = identifier_asked(reference).and_then(|it| Self::identified(&it));
        let meant = identifier.or_else(|| (!is_elsewhere).then(|| Self::bare(reference)))?;
        Some(Self {
            kind: Some(kind),
            ..meant
        })
    }

    /// What an identifier means, as `system|value`.
    fn identified(identifier: &str) -> Option<Self> {
        let (system, value) = identifier.split_once('|').unwrap_or(("", identifier));
        let is_sound = is_string(value) && (system.is_empty() || is_uri(system));
        is_sound.then(|| Self {
            system: Some(system.to_owned()).filter(|system| !system.is_empty()),
            ..Self::bare(value)
        })
    }

    /// The same, where it is known what it means: of which kind that is, and what a person reads of it.
    #[must_use]
    pub fn of_resource(self, kind: &'static str, display: Option<&str>) -> Self {
        Self {
            kind: self.kind.or(Some(kind)),
            display: display.map(str::to_owned),
            ..self
        }
    }

    /// How long what it says is, at most. Unit: bytes.
    pub(crate) fn length(&self) -> usize {
        let parts = [
            self.system.as_deref(),
            Some(self.value.as_str()),
            self.kind,
            self.display.as_deref(),
        ];
        let texts: usize = parts.into_iter().flatten().map(str::len).sum();
        texts + MEMBERS
    }

    /// The identifier that it says.
    pub(crate) fn identifier(&self) -> Json {
        let value = ("value", text(&self.value));
        match &self.system {
            Some(system) => object([("system", text(system)), value]),
            None => object([value]),
        }
    }

    /// Puts it in the place of the literal reference among the members of a `Reference`. What these say already stays.
    pub(crate) fn take_place(&self, members: &mut Vec<(String, Json)>) {
        members.retain(|(name, _)| element(name) != "reference");
        let said = [
            ("identifier", Some(self.identifier())),
            ("type", self.kind.map(text)),
            ("display", self.display.as_deref().map(text)),
        ];
        for (name, value) in said {
            let is_said = members.iter().any(|(known, _)| element(known) == name);
            if let Some(value) = value.filter(|_| !is_said) {
                members.push((name.to_owned(), value));
            }
        }
    }
}

/// The element that a member is of: of a primitive, its value, or what stands beside that.
fn element(member: &str) -> &str {
    member.strip_prefix('_').unwrap_or(member)
}

/// The kind of resource of this name, if R4 has it.
fn known(kind: &str) -> Option<&'static str> {
    table::r4().resource(kind).map(|node| node.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical;

    const UUID: &str = "urn:uuid:0b0c4a2e-54de-4f0b-8a77-1c6e0d9f2b35";

    fn said(reference: &str, scope: NameScope<'_>) -> Option<String> {
        let mut members = vec![("reference".to_owned(), text(reference))];
        LogicalReference::of(reference, scope)?.take_place(&mut members);
        let bytes = canonical::to_bytes(&Json::Object(members));
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn a_reference_to_what_is_not_stored_says_by_an_identifier_what_it_means() {
        let nowhere = NameScope::default();
        let there = NameScope {
            named: Some("h"),
            full_url: Some("http://h/fhir/Condition/7"),
            said: None,
        };
        let named = NameScope {
            named: Some("http://h/fhir/"),
            ..nowhere
        };
        let word = NameScope {
            named: Some("h"),
            full_url: Some(UUID),
            said: Some("http://h/fhir"),
        };
        let says = NameScope {
            said: Some("http://h/fhir"),
            ..nowhere
        };
        let uri = |value: &str, kind: &str| {
            format!(r#"{{"identifier":{{"system":"{URIS}","value":"{value}"}}{kind}}}"#)
        };
        let encounter = r#","type":"Encounter""#;
        let bare = r#"{"identifier":{"value":"Encounter/4"},"type":"Encounter"}"#.to_owned();
        let npi =
            |of: &str| format!(r#"{{"identifier":{{{of}"value":"99"}},"type":"Practitioner"}}"#);
        for (reference, scope, expected) in [
            (UUID, nowhere, uri(UUID, "")),
            ("urn:oid:1.2.3", nowhere, uri("urn:oid:1.2.3", "")),
            ("Encounter/4", nowhere, bare.clone()),
            ("Encounter/4", word, bare),
            (
                "Encounter/4",
                there,
                uri("http://h/fhir/Encounter/4", encounter),
            ),
            (
                "Encounter/4/_history/2",
                named,
                uri("http://h/fhir/Encounter/4/_history/2", encounter),
            ),
            (
                "Encounter/4",
                says,
                uri("http://h/fhir/Encounter/4", encounter),
            ),
            (
                "Practitioner?identifier=http://npi|99",
                nowhere,
                npi(r#""system":"http://npi","#),
            ),
            (
                "http://h/Practitioner?identifier=http%3A%2F%2Fnpi%7C99&active=true",
                nowhere,
                npi(r#""system":"http://npi","#),
            ),
            ("Practitioner?identifier=|99", nowhere, npi("")),
            (
                "Practitioner?name=http://x",
                nowhere,
                r#"{"identifier":{"value":"Practitioner?name=http://x"},"type":"Practitioner"}"#
                    .to_owned(),
            ),
            (
                "https://meditrustal.example/fhir/Goal/1",
                nowhere,
                uri(
                    "https://meditrustal.example/fhir/Goal/1",
                    r#","type":"Goal""#,
                ),
            ),
        ] {
            assert_eq!(said(reference, scope), Some(expected), "{reference}");
        }
        // What leads to another server goes on doing so.
        for foreign in [
            "http://h/fhir/Encounter/4",
            "https://h/scan.pdf",
            "http://h/Practitioner?name=x",
        ] {
            assert_eq!(said(foreign, there), None, "{foreign}");
        }
    }

    #[test]
    fn what_a_reference_says_already_stays() {
        let known = LogicalReference::of(UUID, NameScope::default());
        let known = known.map(|it| it.of_resource("Encounter", Some("Visit")));
        let mut members = vec![
            ("reference".to_owned(), text(UUID)),
            ("_reference".to_owned(), object([("id", text("r"))])),
            ("identifier".to_owned(), object([("value", text("7"))])),
            ("display".to_owned(), text("Check-up")),
        ];
        if let Some(known) = &known {
            known.take_place(&mut members);
        }
        let bytes = canonical::to_bytes(&Json::Object(members));
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"display":"Check-up","identifier":{"value":"7"},"type":"Encounter"}"#
        );
    }
}
