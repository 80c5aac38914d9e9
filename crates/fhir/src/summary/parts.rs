//! The resources of a document, each with what it may refer to in the document.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::elements::{Coding, Concept, Party, Period};
use super::text;
use crate::json::Json;
use crate::record_types::resource_type;

/// What the references in a document may mean: its resources by what they are called there.
pub(super) struct ReferenceTargets<'a> {
    roots: Vec<DocumentRoot<'a>>,
    /// The place among the roots of what a name means; `None` where it means two of them. A `Kind/id` is there by
    /// itself, and as a name on its server.
    entries: HashMap<(Option<usize>, &'a str), Option<usize>>,
}

/// The document, or what is in an entry of its `Bundle`.
struct DocumentRoot<'a> {
    target: ReferredResource<'a>,
    /// The number of the server that its entry names as `…/Kind/id`.
    server: Option<usize>,
    /// What it contains, by `id`.
    contained: HashMap<&'a str, ReferredResource<'a>>,
}

/// A resource that references may mean.
struct ReferredResource<'a> {
    json: &'a Json,
    /// What it is called, once somebody has asked: many may refer to it.
    name: OnceCell<Option<String>>,
}

impl<'a> ReferredResource<'a> {
    fn of(json: &'a Json) -> Self {
        let name = OnceCell::new();
        Self { json, name }
    }
}

impl<'a> ReferenceTargets<'a> {
    pub(super) fn of(document: &'a Json) -> Self {
        let mut targets = Self {
            roots: Vec::new(),
            entries: HashMap::new(),
        };
        if resource_type(document) != Some("Bundle") {
            targets.roots.push(DocumentRoot::of(document, None));
            return targets;
        }
        let mut servers = HashMap::new();
        for entry in items(document, "entry") {
            let Some(resource) = entry.get("resource") else {
                continue;
            };
            let mut server = None;
            if let Some(address) = entry.get("fullUrl").and_then(Json::as_str) {
                targets.name(None, address);
                if let Some((base, relative)) = on_server(address, resource) {
                    let next = servers.len();
                    server = Some(*servers.entry(base).or_insert(next));
                    targets.name(None, relative);
                    targets.name(server, relative);
                }
            }
            targets.roots.push(DocumentRoot::of(resource, server));
        }
        targets
    }

    /// The next root is called so, on this server or by itself.
    fn name(&mut self, server: Option<usize>, name: &'a str) {
        let next = self.roots.len();
        self.entries
            .entry((server, name))
            .and_modify(|place| *place = None)
            .or_insert(Some(next));
    }
}

impl<'a> DocumentRoot<'a> {
    fn of(json: &'a Json, server: Option<usize>) -> Self {
        let mut contained = HashMap::new();
        for inner in items(json, "contained") {
            if let Some(id) = inner.get("id").and_then(Json::as_str) {
                let target = || ReferredResource::of(inner);
                contained.entry(id).or_insert_with(target);
            }
        }
        Self {
            target: ReferredResource::of(json),
            server,
            contained,
        }
    }
}

/// The server in the address of this resource, and the end of it that is `Kind/id`.
fn on_server<'a>(address: &'a str, resource: &Json) -> Option<(&'a str, &'a str)> {
    let (place, _) = address.rsplit_once('/')?;
    let server = place.strip_suffix(resource_type(resource)?)?;
    let is_server = server.ends_with('/');
    is_server.then(|| address.split_at(server.len()))
}

/// The resources of a document, in its order: roots, and after each what it contains.
pub(super) struct Parts<'a> {
    all: Vec<Part<'a>>,
    roots: Vec<Part<'a>>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(targets: &'a ReferenceTargets<'a>) -> Self {
        let roots = targets.roots.iter().enumerate();
        let roots: Vec<Part<'a>> = roots
            .map(|(place, root)| Part {
                json: root.target.json,
                root: place,
                targets,
            })
            .collect();
        let family = |root: &Part<'a>| {
            let root = *root;
            let contained = items(root.json, "contained").iter();
            std::iter::once(root).chain(contained.map(move |json| root.at(json)))
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

/// An element or a resource, and the resources that its references may mean.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) json: &'a Json,
    /// The place of the root that it belongs to.
    root: usize,
    targets: &'a ReferenceTargets<'a>,
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
        self.referred(reference)
            .filter(|_| reference.starts_with('#'))
    }

    /// The resource of the document that a reference means: one that is contained, or in another entry of the
    /// `Bundle`.
    pub(super) fn referred(self, reference: &str) -> Option<Self> {
        let (_, part) = self.target(reference)?;
        Some(part)
    }

    /// Whether what a reference means is told where the document has it, with its states, which its name does not say.
    pub(super) fn is_inside(self, reference: &str) -> bool {
        let is_local = reference.starts_with('#') || reference.starts_with("urn:uuid:");
        is_local || self.referred(reference).is_some()
    }

    /// What this gives for the resource that a reference means. Who asks again is told the same.
    pub(super) fn name_referred(
        self,
        reference: &str,
        name: fn(Self) -> Option<String>,
    ) -> Option<String> {
        let (target, part) = self.target(reference)?;
        target.name.get_or_init(|| name(part)).clone()
    }

    fn target(self, reference: &str) -> Option<(&'a ReferredResource<'a>, Self)> {
        if let Some(id) = reference.strip_prefix('#') {
            let root = self.targets.roots.get(self.root)?;
            let target = root.contained.get(id)?;
            return Some((target, self.at(target.json)));
        }
        // R4, `Bundle.entry.fullUrl`: a `Kind/id` is one on the server of who says it, where that has one.
        let server = self.targets.roots.get(self.root)?.server;
        let server = server.filter(|_| !reference.contains(':'));
        let entries = &self.targets.entries;
        let place = entries.get(&(server, reference)).copied()??;
        let target = &self.targets.roots.get(place)?.target;
        let part = Self {
            json: target.json,
            root: place,
            targets: self.targets,
        };
        Some((target, part))
    }

    /// The texts of the notes.
    pub(super) fn notes(self) -> Vec<String> {
        let notes = self.items("note");
        notes.filter_map(|note| note.written("text")).collect()
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
