//! A document whose literal references others take the place of: references to records, identifiers, and references to what it
//! contains from then on.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasher;
use std::iter;

use crate::issue::text;
use crate::json::Json;
use crate::logical::LogicalReference;
use crate::record_types::resource_type;
use crate::references::Literal;
use crate::stamp::{items_mut, member_mut, set};

/// How much identifiers in the places of references may add to a document; what follows stays as it is. Unit: bytes.
const MAX_ADDED: usize = 1 << 20;

/// What takes the place of a literal reference. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub enum Replacement {
    /// Another literal reference.
    Literal(String),
    /// An identifier.
    Logical(LogicalReference),
    /// This resource, which the resource that refers to it contains from then on.
    Contained(Json),
}

impl fmt::Debug for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Literal(_) => "Literal(…)",
            Self::Logical(_) => "Logical(…)",
            Self::Contained(_) => "Contained(…)",
        })
    }
}

/// The document with these references as others.
///
/// Whom a resource is about is not made an identifier: who says that it is about somebody else is refused for that.
#[must_use]
pub fn with_references<S: BuildHasher>(
    mut document: Json,
    to: &HashMap<String, Replacement, S>,
) -> Json {
    if to.is_empty() {
        return document;
    }
    let mut room = MAX_ADDED;
    if resource_type(&document) == Some("Bundle") {
        for entry in items_mut(&mut document, "entry") {
            if let Some(resource) = member_mut(entry, "resource") {
                replace_in(resource, to, &mut room);
            }
        }
    } else {
        replace_in(&mut document, to, &mut room);
    }
    document
}

fn replace_in<S: BuildHasher>(
    resource: &mut Json,
    to: &HashMap<String, Replacement, S>,
    room: &mut usize,
) {
    let mut contained = NewlyContained::beside(resource);
    replace(resource, to, &mut contained, room);
    contained.add_to(resource);
}

fn replace<S: BuildHasher>(
    json: &mut Json,
    to: &HashMap<String, Replacement, S>,
    contained: &mut NewlyContained,
    room: &mut usize,
) {
    match json {
        Json::Array(items) => {
            for item in items {
                replace(item, to, contained, room);
            }
        }
        Json::Object(members) => {
            let is_resource = members.iter().any(|(name, _)| name == "resourceType");
            if !is_resource {
                replace_reference(members, to, contained, room);
            }
            for (name, member) in members {
                let is_whose = is_resource && matches!(name.as_str(), "subject" | "patient");
                if !(is_whose && names_patient(member)) {
                    replace(member, to, contained, room);
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// Replaces the reference of an object that has one.
fn replace_reference<S: BuildHasher>(
    members: &mut Vec<(String, Json)>,
    to: &HashMap<String, Replacement, S>,
    contained: &mut NewlyContained,
    room: &mut usize,
) {
    let said = members.iter().find(|(name, _)| name == "reference");
    let said = said.and_then(|(_, reference)| reference.as_str());
    let Some((reference, replacement)) = said.and_then(|said| to.get_key_value(said)) else {
        return;
    };
    match replacement {
        Replacement::Literal(ours) => set(members, "reference", text(ours)),
        Replacement::Logical(logical) => {
            if let Some(left) = room.checked_sub(logical.length()) {
                *room = left;
                logical.take_place(members);
            }
        }
        Replacement::Contained(resource) => {
            let id = contained.id_of(reference, resource);
            set(members, "reference", text(&format!("#{id}")));
        }
    }
}

fn names_patient(reference: &Json) -> bool {
    let literal = reference.get("reference").and_then(Json::as_str);
    let literal = literal.and_then(Literal::of);
    literal.and_then(|literal| literal.kind()) == Some("Patient")
}

/// What a resource contains from now on, each once.
#[derive(Default)]
struct NewlyContained {
    /// The ids that mean something in it.
    taken: HashSet<String>,
    /// The number of the last id that was made.
    number: usize,
    /// The ids of what it was that references meant.
    ids: HashMap<String, String>,
    resources: Vec<Json>,
}

impl NewlyContained {
    fn beside(resource: &Json) -> Self {
        let contained = resource.get("contained").and_then(Json::as_array);
        let contained = contained.unwrap_or_default().iter();
        let ids = contained.filter_map(|it| it.get("id")?.as_str());
        let taken: HashSet<String> = ids.map(str::to_owned).collect();
        Self {
            number: taken.len(),
            taken,
            ..Self::default()
        }
    }

    /// The id of the resource that this reference means. What that contains is contained beside it (dom-2).
    fn id_of(&mut self, reference: &str, resource: &Json) -> String {
        if let Some(id) = self.ids.get(reference) {
            return id.clone();
        }
        let id = self.fresh_id();
        self.ids.insert(reference.to_owned(), id.clone());
        let mut resource = resource.clone();
        let mut to = HashMap::new();
        let mut inner = Vec::new();
        for one in take_contained(&mut resource) {
            let fresh = self.fresh_id();
            if let Some(old) = one.get("id").and_then(Json::as_str) {
                to.insert(format!("#{old}"), Replacement::Literal(format!("#{fresh}")));
            }
            inner.push((fresh, one));
        }
        to.insert("#".to_owned(), Replacement::Literal(format!("#{id}")));
        for (id, mut one) in iter::once((id.clone(), resource)).chain(inner) {
            // Nothing of it becomes an identifier.
            replace(&mut one, &to, &mut Self::default(), &mut 0);
            if let Json::Object(members) = &mut one {
                set(members, "id", text(&id));
            }
            self.resources.push(one);
        }
        id
    }

    fn fresh_id(&mut self) -> String {
        loop {
            self.number += 1;
            let id = format!("contained-{}", self.number);
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }

    fn add_to(self, resource: &mut Json) {
        if self.resources.is_empty() {
            return;
        }
        match member_mut(resource, "contained") {
            Some(Json::Array(contained)) => contained.extend(self.resources),
            Some(_) => {}
            None => {
                if let Json::Object(members) = resource {
                    members.push(("contained".to_owned(), Json::Array(self.resources)));
                }
            }
        }
    }
}

/// Takes out what a resource contains.
fn take_contained(resource: &mut Json) -> Vec<Json> {
    let Json::Object(members) = resource else {
        return Vec::new();
    };
    let at = members.iter().position(|(name, _)| name == "contained");
    match at.map(|at| members.remove(at)) {
        Some((_, Json::Array(contained))) => contained,
        Some(_) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::canonical;
    use crate::origin::references;
    use crate::reader::read;
    use crate::references::NameScope;
    use crate::validate;

    fn json(text: &str) -> Json {
        read(text.as_bytes()).unwrap()
    }

    fn told(json: &Json) -> String {
        String::from_utf8(canonical::to_bytes(json)).unwrap()
    }

    #[test]
    fn references_are_replaced_in_every_entry() {
        let document = json(
            r#"{"resourceType":"Bundle","type":"collection","entry":[
                {"resource":{"resourceType":"Goal","addresses":[{"reference":"Condition/1"}]}},
                {"resource":{"resourceType":"CarePlan","basedOn":[{"reference":"Condition/1"},{"reference":"Condition/2"}],
                    "author":{"reference":"Practitioner/3","display":"Dr A"}}}]}"#,
        );
        let logical = LogicalReference::of("Practitioner/3", NameScope::default()).unwrap();
        let to = HashMap::from([
            (
                "Condition/1".to_owned(),
                Replacement::Literal("Condition/ours".to_owned()),
            ),
            ("Practitioner/3".to_owned(), Replacement::Logical(logical)),
        ]);

        let replaced = with_references(document, &to);

        assert_eq!(
            references(&replaced, "p"),
            ["Condition/ours", "Condition/2"]
        );
        let author = r#""author":{"display":"Dr A","identifier":{"value":"Practitioner/3"},"type":"Practitioner"}"#;
        assert!(told(&replaced).contains(author), "{}", told(&replaced));
    }

    #[test]
    fn what_is_referred_to_is_contained_once_with_what_it_contains() {
        const MEDICATION: &str = "urn:uuid:0b0c4a2e-54de-4f0b-8a77-1c6e0d9f2b35";
        let document = format!(
            r##"{{"resourceType":"MedicationAdministration","status":"completed","subject":{{"reference":"Patient/p"}},
                "effectiveDateTime":"2026-01-01","medicationReference":{{"reference":"{MEDICATION}"}},
                "contained":[{{"resourceType":"Practitioner","id":"contained-2"}}],
                "performer":[{{"actor":{{"reference":"#contained-2"}}}}],
                "supportingInformation":[{{"reference":"{MEDICATION}"}}]}}"##
        );
        let medication = json(
            r##"{"resourceType":"Medication","code":{"text":"Ramipril 5 mg"},"manufacturer":{"reference":"#o"},
                "contained":[{"resourceType":"Organization","id":"o","name":"Pharma"}]}"##,
        );
        let to = HashMap::from([(MEDICATION.to_owned(), Replacement::Contained(medication))]);

        let replaced = with_references(json(&document), &to);

        assert_eq!(validate::base(&replaced), []);
        let contained = replaced.get("contained").unwrap();
        let ids = contained.as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|it| it.get("id").unwrap().as_str()).collect();
        let expected = ["contained-2", "contained-3", "contained-4"];
        assert_eq!(ids, expected.map(Some));
        let told = told(&replaced);
        let by_id = r##""medicationReference":{"reference":"#contained-3"}"##;
        assert!(told.contains(by_id), "{told}");
        assert!(told.contains(r##""manufacturer":{"reference":"#contained-4"}"##));
        assert!(!told.contains(MEDICATION), "{told}");
    }

    #[test]
    fn whom_a_resource_is_about_stays() {
        let document = json(
            r#"{"resourceType":"Observation","focus":[{"reference":"Patient/8"}],
                "contained":[{"resourceType":"Encounter","id":"e","subject":{"reference":"Patient/8"}}]}"#,
        );
        let logical = LogicalReference::of("Patient/8", NameScope::default()).unwrap();
        let to = HashMap::from([("Patient/8".to_owned(), Replacement::Logical(logical))]);

        let told = told(&with_references(document, &to));

        let focus = r#""focus":[{"identifier":{"value":"Patient/8"},"type":"Patient"}]"#;
        assert!(told.contains(focus), "{told}");
        assert!(told.contains(r#""subject":{"reference":"Patient/8"}"#));
    }
}
