//! The definitions of R4 as one committed table, and its reader.
//!
//! `r4.table` is generated from HL7's package by `examples/generate-table` and
//! never edited. It is read once, on first use, into vectors that borrow from
//! the program's image. Its lines are:
//!
//! ```text
//! >Observation DomainResource                 a node and the node it extends
//! status !m code =http://…/observation-status an element: cardinality, types, binding
//! value[x] ? Quantity|string                  a choice, spelt valueQuantity, valueString
//! subject ? Reference(Patient,Group)          a reference and its targets
//! low ? Quantity:SimpleQuantity               a type under a profile
//! component * Observation.component           an element that is a node itself
//! =http://…/observation-status                a value set
//! http://…/observation-status final amended   one of its systems with all codes, or *
//! ```
//!
//! Cardinalities are `?` 0..1, `!` 1..1, `*` 0..*, `+` 1..*, `-` 0..0. An `m` after it marks a modifier: an
//! element that can change what the others mean (`isModifier`).

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::invariants::{self, Rule};
use crate::primitives::Primitive;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("r4.table")));

/// The definitions of R4.
pub(crate) fn r4() -> &'static Table {
    &TABLE
}

/// All nodes and value sets.
#[derive(Debug)]
pub(crate) struct Table {
    nodes: Vec<Node>,
    by_name: HashMap<&'static str, usize>,
    value_sets: HashMap<&'static str, ValueSet>,
}

/// A resource, a data type, or an element with elements of its own.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its type or path, such as `Observation.component`.
    pub(crate) name: &'static str,
    /// Whether it is a resource that can occur.
    pub(crate) is_resource: bool,
    /// The elements that must be there, a bit each.
    pub(crate) required: u128,
    /// The names of the elements, by the position of their bit.
    pub(crate) elements: Vec<&'static str>,
    /// The invariants of this node and of those it extends.
    pub(crate) rules: Vec<&'static Rule>,
    /// Every name a member may have, sorted.
    fields: Vec<Field>,
}

/// A name that a member of an object may have, and what its value is.
#[derive(Debug)]
pub(crate) struct Field {
    name: String,
    /// The element's position among those of the node: the choices share one.
    pub(crate) element: usize,
    pub(crate) is_list: bool,
    /// Whether it can change what the elements beside it mean.
    pub(crate) is_modifier: bool,
    pub(crate) kind: Kind,
    /// The types a reference may point to, comma-separated; empty is any.
    pub(crate) targets: &'static str,
    /// The value set that codes must come from.
    pub(crate) binding: Option<&'static str>,
}

impl Field {
    /// What the member is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether values may have an id and extensions beside them.
    pub(crate) fn is_primitive(&self) -> bool {
        matches!(self.kind, Kind::Primitive(_))
    }
}

/// What a value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Primitive(Primitive),
    /// An object with the elements of this node.
    Node(usize),
    /// Any resource.
    Resource,
}

/// The codes of a value set by system, sorted; `None` is any code of the system.
#[derive(Debug, Default)]
pub(crate) struct ValueSet {
    systems: Vec<(&'static str, Option<Vec<&'static str>>)>,
}

impl Table {
    /// The resource of this name.
    pub(crate) fn resource(&self, name: &str) -> Option<&Node> {
        self.by_name
            .get(name)
            .map(|&at| &self.nodes[at])
            .filter(|node| node.is_resource)
    }

    /// Every resource that can occur.
    #[cfg(test)]
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_resource)
    }

    /// The node at a position that a [`Kind::Node`] holds.
    pub(crate) fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    /// The resource, data type or element of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Node> {
        self.by_name.get(name).map(|&at| &self.nodes[at])
    }

    /// The node of primitive values' ids and extensions.
    pub(crate) fn element(&self) -> &Node {
        &self.nodes[self.by_name["Element"]]
    }

    /// The value set of this URL.
    pub(crate) fn value_set(&self, url: &str) -> Option<&ValueSet> {
        self.value_sets.get(url)
    }

    /// All invariants, those of bases once for each that extends them.
    #[cfg(test)]
    pub(crate) fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        self.nodes
            .iter()
            .flat_map(|node| node.rules.iter().copied())
    }

    fn parse(text: &'static str) -> Self {
        let mut drafts: Vec<Draft> = Vec::new();
        let mut value_sets: HashMap<&'static str, ValueSet> = HashMap::new();
        let mut value_set = None;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Some(name) = first.strip_prefix('>') {
                drafts.push(Draft {
                    name,
                    base: rest,
                    lines: Vec::new(),
                });
            } else if let Some(url) = first.strip_prefix('=') {
                value_set = Some(value_sets.entry(url).or_default());
            } else if let Some(value_set) = &mut value_set {
                let codes = (rest != "*").then(|| rest.split(' ').collect());
                value_set.systems.push((first, codes));
            } else if let Some(draft) = drafts.last_mut() {
                draft.lines.push((first, rest));
            }
        }
        let by_name: HashMap<&str, usize> = drafts
            .iter()
            .enumerate()
            .map(|(at, draft)| (draft.name, at))
            .collect();
        let nodes = drafts
            .iter()
            .map(|draft| draft.finish(&drafts, &by_name))
            .collect();
        Self {
            nodes,
            by_name,
            value_sets,
        }
    }
}

/// A node as its lines.
struct Draft {
    name: &'static str,
    base: &'static str,
    lines: Vec<(&'static str, &'static str)>,
}

impl Draft {
    fn finish(&self, drafts: &[Self], by_name: &HashMap<&'static str, usize>) -> Node {
        let mut lineage = vec![self];
        while let Some(&at) = lineage.last().and_then(|draft| by_name.get(draft.base)) {
            lineage.push(&drafts[at]);
        }
        let is_abstract = matches!(self.name, "Resource" | "DomainResource");
        let mut node = Node {
            name: self.name,
            is_resource: lineage.last().is_some_and(|root| root.name == "Resource") && !is_abstract,
            required: 0,
            elements: Vec::new(),
            rules: lineage
                .iter()
                .flat_map(|draft| invariants::of(draft.name))
                .collect(),
            fields: Vec::new(),
        };
        for &(element, line) in lineage.iter().flat_map(|draft| &draft.lines) {
            // The nearest definition comes first and holds.
            if !node.elements.contains(&element) {
                node.add(element, line, by_name);
            }
        }
        node.fields.sort_by(|a, b| a.name.cmp(&b.name));
        node
    }
}

impl Node {
    /// What the member of this name is.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let at = self
            .fields
            .binary_search_by(|field| field.name.as_str().cmp(name))
            .ok()?;
        self.fields.get(at)
    }

    /// Every name that a member may have.
    #[cfg(test)]
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn add(
        &mut self,
        element: &'static str,
        line: &'static str,
        by_name: &HashMap<&'static str, usize>,
    ) {
        let position = self.elements.len();
        self.elements.push(element);
        let mut words = line.split(' ');
        let cardinality = words.next().unwrap_or_default();
        let (cardinality, is_modifier) = match cardinality.strip_suffix('m') {
            Some(cardinality) => (cardinality, true),
            None => (cardinality, false),
        };
        let types = words.next().unwrap_or_default();
        let binding = words.next().and_then(|word| word.strip_prefix('='));
        if cardinality == "-" {
            return;
        }
        if matches!(cardinality, "!" | "+") {
            self.required |= 1 << position;
        }
        for description in types.split('|') {
            let (name, targets) = description.split_once('(').unwrap_or((description, ""));
            let (name, profile) = name.split_once(':').unwrap_or((name, name));
            let field_name = match element.strip_suffix("[x]") {
                Some(stem) => {
                    let (head, tail) = name.split_at(1);
                    format!("{stem}{}{tail}", head.to_ascii_uppercase())
                }
                None => element.to_owned(),
            };
            let kind = match (Primitive::parse(name), by_name.get(profile)) {
                (Some(primitive), _) => Kind::Primitive(primitive),
                (None, Some(&at)) if name != "Resource" => Kind::Node(at),
                (None, _) => Kind::Resource,
            };
            self.fields.push(Field {
                name: field_name,
                element: position,
                is_list: matches!(cardinality, "*" | "+"),
                is_modifier,
                kind,
                targets: targets.trim_end_matches(')'),
                binding,
            });
        }
    }
}

impl ValueSet {
    /// The systems of its codes, and the codes of each; `None` is any code.
    pub(crate) fn systems(&self) -> impl Iterator<Item = (&'static str, Option<&[&'static str]>)> {
        let systems = self.systems.iter();
        systems.map(|(system, codes)| (*system, codes.as_deref()))
    }

    /// Every code that can be listed.
    #[cfg(test)]
    pub(crate) fn codes(&self) -> impl Iterator<Item = &'static str> {
        let listed = self.systems.iter().filter_map(|(_, codes)| codes.as_ref());
        listed.flatten().copied()
    }

    /// Whether a `code`, whose system is not written, is in the set.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.systems
            .iter()
            .any(|(_, codes)| lists(codes.as_deref(), code))
    }

    /// Whether a coding is in the set.
    pub(crate) fn has_coding(&self, system: &str, code: &str) -> bool {
        self.systems.iter().any(|(known, codes)| {
            (*known == system || *known == "*") && lists(codes.as_deref(), code)
        })
    }
}

fn lists(codes: Option<&[&str]>, code: &str) -> bool {
    codes.is_none_or(|codes| codes.binary_search(&code).is_ok())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;

    #[test]
    fn a_node_has_its_own_and_its_inherited_elements() {
        let observation = r4().resource("Observation").unwrap();

        for name in [
            "id",
            "meta",
            "contained",
            "status",
            "valueQuantity",
            "valueDateTime",
        ] {
            assert!(observation.field(name).is_some(), "{name}");
        }
        assert!(observation.field("value").is_none());
        assert!(observation.field("valueAddress").is_none());
        assert_eq!(
            observation.field("subject").unwrap().targets,
            "Patient,Group,Device,Location"
        );
    }

    #[test]
    fn every_type_of_the_table_is_known_and_every_binding_has_its_set() {
        for node in &r4().nodes {
            assert!(node.elements.len() <= 128, "{}", node.name);
            for field in &node.fields {
                let resource = matches!(field.name.as_str(), "contained" | "resource" | "outcome");
                assert!(
                    field.kind != Kind::Resource || resource,
                    "{} {}",
                    node.name,
                    field.name
                );
                if let Some(url) = field.binding {
                    assert!(r4().value_set(url).is_some(), "{url}");
                }
            }
        }
    }

    #[test]
    fn abstract_types_data_types_and_nodes_are_no_resources() {
        for name in [
            "Resource",
            "DomainResource",
            "Quantity",
            "Observation.component",
            "Nothing",
        ] {
            assert!(r4().resource(name).is_none(), "{name}");
        }
        assert_eq!(
            r4().nodes.iter().filter(|node| node.is_resource).count(),
            146
        );
    }

    #[test]
    fn a_simple_quantity_has_no_comparator() {
        let range = &r4().nodes[r4().by_name["Range"]];
        let simple = r4().by_name["SimpleQuantity"];

        assert_eq!(range.field("low").unwrap().kind, Kind::Node(simple));
        assert!(r4().node(simple).field("comparator").is_none());
    }
}
