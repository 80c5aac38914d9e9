//! The invariants of R4 that reach the eight record types, by hand.
//!
//! Each is an error-level `constraint` of a `StructureDefinition`, under HL7's key
//! and in HL7's words where they are clear. Where a comparison is open — two
//! dates of different precision, two quantities of different units — the rule
//! holds. `ele-1`, `txt-1` and `txt-2` belong to the walk itself, `sqty-1` to the
//! table. `tests.rs` shows for each a document that breaks it and one that does not.

mod data_types;
mod resources;

use std::fmt;

use crate::contained::Contained;
use crate::json::{Json, member};

/// One invariant.
pub(crate) struct Rule {
    /// HL7's key, such as `obs-6`.
    pub(crate) key: &'static str,
    /// What it demands, for a person.
    pub(crate) human: &'static str,
    /// Whether it holds.
    pub(crate) holds: fn(Scope<'_>) -> bool,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key)
    }
}

/// The object that a rule looks at, and the resources around it.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The object at hand.
    pub(crate) this: &'a [(String, Json)],
    /// What its resource contains, or what surrounds that if it is contained itself.
    pub(crate) contained: &'a Contained<'a>,
    /// Whether it is part of a contained resource.
    pub(crate) is_contained: bool,
}

/// The invariants that are stated on the node of this name.
pub(crate) fn of(node: &str) -> &'static [Rule] {
    let rules = data_types::of(node);
    if rules.is_empty() {
        resources::of(node)
    } else {
        rules
    }
}

impl<'a> Scope<'a> {
    /// The same surroundings with another object at hand.
    fn with(self, this: &'a [(String, Json)]) -> Self {
        Self { this, ..self }
    }

    fn get(self, key: &str) -> Option<&'a Json> {
        member(self.this, key)
    }

    fn text(self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Json::as_str)
    }

    fn number(self, key: &str) -> Option<&'a str> {
        match self.get(key) {
            Some(Json::Number(lexeme)) => Some(lexeme),
            _ => None,
        }
    }

    fn items(self, key: &str) -> &'a [Json] {
        self.get(key).and_then(Json::as_array).unwrap_or_default()
    }

    /// The objects in the list at `key`.
    fn objects(self, key: &str) -> impl Iterator<Item = Self> {
        self.items(key)
            .iter()
            .filter_map(Json::as_object)
            .map(move |this| self.with(this))
    }

    /// The object at `key`.
    fn object(self, key: &str) -> Option<Self> {
        self.get(key)
            .and_then(Json::as_object)
            .map(|this| self.with(this))
    }

    /// `exists()` of `FHIRPath`: with a value, or with an extension instead of one.
    fn has(self, key: &str) -> bool {
        self.this
            .iter()
            .any(|(name, _)| name.strip_prefix('_').unwrap_or(name) == key)
    }

    /// `exists()` of a choice such as `value[x]`.
    fn has_choice(self, stem: &str) -> bool {
        self.this.iter().any(|(name, _)| {
            let name = name.strip_prefix('_').unwrap_or(name);
            name.strip_prefix(stem)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
        })
    }

    /// Whether the concept at `key` has a coding of this system and one of these codes.
    fn is_coded(self, key: &str, system: &str, codes: &[&str]) -> bool {
        self.object(key).is_some_and(|concept| {
            concept.objects("coding").any(|coding| {
                coding.text("system") == Some(system)
                    && coding
                        .text("code")
                        .is_some_and(|code| codes.contains(&code))
            })
        })
    }
}

#[cfg(test)]
mod tests;
