//! The resources of a document, each with what it may refer to by a fragment.

use std::collections::HashSet;
use std::hash::Hash;

use super::elements::{Coding, Concept, Party, Period};
use super::text;
use crate::json::Json;
use crate::record_types::resource_type;

/// The resources of a document, in its order: roots, and after each what it contains.
pub(super) struct Parts<'a> {
    all: Vec<Part<'a>>,
    roots: Vec<Part<'a>>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(document: &'a Json) -> Self {
        let roots: Vec<&Json> = if resource_type(document) == Some("Bundle") {
            let entries = items(document, "entry").iter();
            entries.filter_map(|entry| entry.get("resource")).collect()
        } else {
            vec![document]
        };
        let root = |json: &'a Json| Part {
            json,
            contained: items(json, "contained"),
        };
        let roots: Vec<Part<'a>> = roots.into_iter().map(root).collect();
        let family = |root: &Part<'a>| {
            let root = *root;
            let contained = root.contained.iter().map(move |json| root.at(json));
            std::iter::once(root).chain(contained)
        };
        Self {
            all: roots.iter().flat_map(family).collect(),
            roots,
        }
    }

    /// The document, or what its `Bundle` holds.
    pub(super) fn roots(&self) -> &[Part<'a>] {
        &self.roots
    }

    /// The resources of this kind.
    pub(super) fn all(&self, kind: &str) -> impl Iterator<Item = Part<'a>> {
        let of_kind = move |part: &Part<'_>| resource_type(part.json) == Some(kind);
        self.all.iter().copied().filter(of_kind)
    }
}

/// An element or a resource, and the resources that its fragments may mean.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) json: &'a Json,
    contained: &'a [Json],
}

impl<'a> Part<'a> {
    /// The element at `key`.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        self.json.get(key).map(|json| self.at(json))
    }

    /// The items at `key`.
    pub(super) fn items(self, key: &str) -> impl Iterator<Item = Self> {
        items(self.json, key).iter().map(move |json| self.at(json))
    }

    /// The text, number or truth value at `key`, as it was written.
    pub(super) fn written(self, key: &str) -> Option<String> {
        self.json.get(key).and_then(text::written)
    }

    /// Whether the truth value at `key` is there and is not false.
    pub(super) fn says(self, key: &str) -> bool {
        self.written(key).is_some_and(|value| value != "false")
    }

    /// The concept at `key`.
    pub(super) fn concept(self, key: &str) -> Option<Concept> {
        self.json.get(key).and_then(Concept::of)
    }

    /// The concepts at `key`.
    pub(super) fn concepts(self, key: &str) -> impl Iterator<Item = Concept> {
        items(self.json, key).iter().filter_map(Concept::of)
    }

    /// The codes of the concept at `key`.
    pub(super) fn codings(self, key: &str) -> Vec<Coding> {
        self.concept(key).map(|it| it.codings).unwrap_or_default()
    }

    /// The period at `key`.
    pub(super) fn period(self, key: &str) -> Option<Period> {
        self.json.get(key).and_then(Period::of)
    }

    /// Whom or what the reference at `key` means.
    pub(super) fn party(self, key: &str) -> Option<Party> {
        self.get(key).and_then(Party::of)
    }

    /// Whom or what the references at `key` mean.
    pub(super) fn parties(self, key: &str) -> impl Iterator<Item = Party> {
        self.items(key).filter_map(Party::of)
    }

    /// A choice of types in words: `choice("onset")` reads `onsetDateTime`, `onsetAge`, …
    pub(super) fn choice(self, stem: &str) -> Option<String> {
        text::choice(self, stem)
    }

    /// The contained resource that a fragment names.
    pub(super) fn contained(self, reference: &str) -> Option<Self> {
        let id = reference.strip_prefix('#')?;
        let mut contained = self.contained.iter();
        let found = contained.find(|json| json.get("id").and_then(Json::as_str) == Some(id));
        found.map(|json| self.at(json))
    }

    pub(super) fn at(self, json: &'a Json) -> Self {
        Self { json, ..self }
    }
}

pub(super) fn items<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json.get(key).and_then(Json::as_array).unwrap_or_default()
}

/// A list without what it already has: a study and its series name the same modality.
pub(super) fn distinct<T: Clone + Eq + Hash>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut known = HashSet::new();
    all.filter(|it| known.insert(it.clone())).collect()
}
