//! Lists that are cut into slices, each with rules of its own, and how an item is told to be in one.

use std::sync::Arc;

use super::canonical::split_canonical;
use super::codes::{Codes, Membership};
use super::package::{items, text};
use super::rules::ElementRules;
use super::values::Wanted;
use crate::json::Json;
use crate::table;

/// The slices of an element.
#[derive(Debug, Default)]
pub(super) struct Slicing {
    discriminators: Vec<Discriminator>,
    /// Whether each item must be in a slice.
    pub(super) is_closed: bool,
    pub(super) slices: Vec<Slice>,
    /// Why the slices cannot be told apart here.
    pub(super) problem: Option<&'static str>,
}

/// One slice.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) name: String,
    pub(super) rules: ElementRules,
    /// What is so of each item in it, and of no other.
    conditions: Vec<Condition>,
}

#[derive(Debug)]
struct Discriminator {
    kind: String,
    path: String,
}

/// Something that tells whether an item is in a slice.
#[derive(Debug)]
struct Condition {
    /// The names of elements that lead from the item to what is looked at.
    path: Vec<String>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Value(Wanted),
    Codes(Arc<Codes>),
    Exists(bool),
    /// The types of a choice, or the kinds of a resource.
    Types(Vec<String>),
}

/// An item of a list, or the value of a choice.
#[derive(Clone, Copy)]
pub(super) struct SliceItem<'a> {
    /// The element that is cut into slices, such as `value[x]`.
    pub(super) element: &'a str,
    /// What the member is called that holds the item, such as `valueQuantity`.
    pub(super) key: &'a str,
    pub(super) value: &'a Json,
}

impl Slicing {
    /// The rules of a slice of an element.
    pub(super) fn slice(&mut self, slice: &str, element: &str) -> &mut ElementRules {
        if slice.contains('/') {
            self.problem = Some("a slice is cut into slices");
        }
        let at = self.slices.iter().position(|it| it.name == slice);
        let at = at.unwrap_or_else(|| {
            self.slices.push(Slice {
                name: slice.to_owned(),
                rules: ElementRules {
                    name: element.to_owned(),
                    ..ElementRules::default()
                },
                conditions: Vec::new(),
            });
            self.slices.len() - 1
        });
        &mut self.slices[at].rules
    }

    /// Takes over how the slices are to be told apart.
    pub(super) fn define(&mut self, slicing: &Json) {
        let discriminators = items(slicing, "discriminator").iter();
        let discriminators = discriminators.map(|it| Discriminator {
            kind: text(it, "type").unwrap_or_default().to_owned(),
            path: text(it, "path").unwrap_or_default().to_owned(),
        });
        self.discriminators = discriminators.collect();
        match text(slicing, "rules") {
            Some("closed") => self.is_closed = true,
            Some("openAtEnd") => self.problem = Some("its slices must come first"),
            _ => {}
        }
        if matches!(slicing.get("ordered"), Some(Json::Bool(true))) {
            self.problem = Some("its slices have an order");
        }
    }

    /// Finds the conditions of each slice of the element of this name.
    pub(super) fn tell_apart(&mut self, element: &str) {
        if self.problem.is_some() || self.slices.is_empty() {
            return;
        }
        let is_extension = matches!(element, "extension" | "modifierExtension");
        if self.discriminators.is_empty() && (is_extension || element.ends_with("[x]")) {
            // What every definition means that leaves it out.
            let (kind, path) = if is_extension {
                ("value", "url")
            } else {
                ("type", "$this")
            };
            self.discriminators.push(Discriminator {
                kind: kind.to_owned(),
                path: path.to_owned(),
            });
        }
        if self.discriminators.is_empty() {
            self.problem = Some("nothing says what tells its slices apart");
            return;
        }
        for slice in &mut self.slices {
            let found = self
                .discriminators
                .iter()
                .map(|it| it.condition(&slice.rules));
            match found.collect::<Result<Vec<_>, _>>() {
                Ok(conditions) => slice.conditions = conditions,
                Err(problem) => {
                    self.problem = Some(problem);
                    return;
                }
            }
        }
    }

    /// The place of the slice that an item is in.
    pub(super) fn place_of(&self, item: SliceItem<'_>) -> Option<usize> {
        let is_of = |slice: &Slice| slice.conditions.iter().all(|it| it.holds(item));
        self.slices.iter().position(is_of)
    }
}

impl Discriminator {
    fn condition(&self, slice: &ElementRules) -> Result<Condition, &'static str> {
        if self.path.contains('(') {
            return Err("its slices are told apart by what references or extensions lead to");
        }
        let names = self.path.split('.').filter(|name| *name != "$this");
        let path: Vec<String> = names.map(str::to_owned).collect();
        let test = match self.kind.as_str() {
            "value" | "pattern" => value_of(slice, &path),
            "exists" => rules_at(slice, &path).and_then(|rules| match (rules.min, rules.max) {
                (1.., _) => Some(Test::Exists(true)),
                (_, Some(0)) => Some(Test::Exists(false)),
                _ => None,
            }),
            "type" => rules_at(slice, &path)
                .filter(|rules| are_types_told(rules, &path))
                .map(|rules| rules.types.iter().map(|it| it.code.clone()).collect())
                .filter(|types: &Vec<String>| !types.is_empty())
                .map(Test::Types),
            _ => return Err("its slices are told apart by profiles"),
        };
        let test = test.ok_or("what tells its slices apart is not one value or list of codes")?;
        Ok(Condition { path, test })
    }
}

/// Whether the type of an element can be told: of the choice that is sliced itself, or of resources.
fn are_types_told(rules: &ElementRules, path: &[String]) -> bool {
    if rules.name.ends_with("[x]") {
        return path.is_empty();
    }
    let mut types = rules.types.iter();
    types.all(|it| table::r4().resource(&it.code).is_some())
}

/// What a slice prescribes for the element that tells it apart.
fn value_of(rules: &ElementRules, path: &[String]) -> Option<Test> {
    if let Some(wanted) = &rules.wanted {
        return wanted.within(path).map(Test::Value);
    }
    let Some((name, rest)) = path.split_first() else {
        let binding = rules.binding.as_ref()?;
        let is_decidable = binding.codes.is_decidable();
        return is_decidable.then(|| Test::Codes(Arc::clone(&binding.codes)));
    };
    if let Some(found) = child_of(rules, name).and_then(|child| value_of(child, rest)) {
        return Some(found);
    }
    // The URL of an extension stands in its definition.
    let mut profiles = rules.types.iter().flat_map(|it| &it.profiles);
    match (name.as_str(), rest, profiles.next(), profiles.next()) {
        ("url", [], Some(only), None) => {
            let (url, _) = split_canonical(only);
            Some(Test::Value(Wanted::Fixed(Json::String(url.to_owned()))))
        }
        _ => None,
    }
}

fn rules_at<'a>(rules: &'a ElementRules, path: &[String]) -> Option<&'a ElementRules> {
    let mut at = rules;
    for name in path {
        at = child_of(at, name)?;
    }
    Some(at)
}

/// The rules of an element by its name in a path, which leaves `[x]` out.
fn child_of<'a>(rules: &'a ElementRules, name: &str) -> Option<&'a ElementRules> {
    let is_it = |child: &&ElementRules| child.name.trim_end_matches("[x]") == name;
    rules.children.iter().find(is_it)
}

impl Condition {
    fn holds(&self, item: SliceItem<'_>) -> bool {
        let mut found = Vec::new();
        at_path(item.value, &self.path, &mut found);
        match &self.test {
            Test::Value(wanted) => found.iter().any(|value| wanted.is_met_by(value)),
            Test::Codes(codes) => found
                .iter()
                .any(|value| codes.value(value) == Membership::In),
            Test::Exists(exists) => found.is_empty() != *exists,
            Test::Types(types) if item.element.ends_with("[x]") => types
                .iter()
                .any(|code| is_choice_of(item.element, item.key, code)),
            Test::Types(types) => found.iter().any(|value| {
                let kind = text(value, "resourceType");
                kind.is_some_and(|kind| types.iter().any(|code| code == kind))
            }),
        }
    }
}

/// Whether a member such as `valueQuantity` is the choice of this type of an element such as `value[x]`.
pub(super) fn is_choice_of(element: &str, key: &str, code: &str) -> bool {
    let stem = element.trim_end_matches("[x]");
    let (Some(tail), Some((head, rest))) = (key.strip_prefix(stem), code.split_at_checked(1))
    else {
        return false;
    };
    tail.strip_prefix(&head.to_ascii_uppercase()) == Some(rest)
}

/// What names of elements lead to, through lists.
fn at_path<'a>(json: &'a Json, path: &[String], found: &mut Vec<&'a Json>) {
    if let Json::Array(values) = json {
        for value in values {
            at_path(value, path, found);
        }
        return;
    }
    let Some((name, rest)) = path.split_first() else {
        found.push(json);
        return;
    };
    let is_choice = |key: &str| {
        let tail = key.strip_prefix(name.as_str());
        tail.is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    // A path calls a choice by its stem.
    let value = json.get(name).or_else(|| {
        let members = json.as_object().unwrap_or_default();
        let choice = members.iter().find(|(key, _)| is_choice(key));
        choice.map(|(_, value)| value)
    });
    if let Some(value) = value {
        at_path(value, rest, found);
    }
}
