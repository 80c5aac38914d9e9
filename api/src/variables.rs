//! The values of variables, held against their types before anything runs (GraphQL, 6.1.2).
//!
//! async-graphql tells the first thing that is wrong with a value, and a value that is not given only when the
//! field runs that needs it. Here all of it is told at once, each with its place.

mod positions;

use std::collections::{HashMap, HashSet};

use async_graphql::{
    InputType as _, Name, Positioned, Value, Variables,
    parser::types::{
        BaseType, ServiceDocument, Type, TypeKind, TypeSystemDefinition, VariableDefinition,
    },
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

pub(crate) use self::positions::VariablePositions;

/// How many places are told at most.
pub(crate) const MAX_INVALID_VALUES: usize = 20;
/// How much of a place is told. Unit: characters.
const MAX_PLACE: usize = 200;

/// A value that its variable cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidValue {
    /// Where: the variable and what is in it, such as `input.grantees.0.user`.
    pub(crate) place: String,
    /// What should be there.
    pub(crate) wanted: String,
    /// Whether the client named the place itself; else the schema did.
    pub(crate) is_given: bool,
}

/// The types that a value can be given for.
#[derive(Debug, Clone)]
pub(crate) struct InputTypes(HashMap<Name, InputKind>);

#[derive(Debug, Clone)]
enum InputKind {
    Enum(HashSet<Name>),
    Object {
        is_one_of: bool,
        fields: Vec<InputField>,
    },
}

#[derive(Debug, Clone)]
struct InputField {
    name: Name,
    of_type: Type,
    has_default: bool,
}

impl InputTypes {
    /// Those of a schema.
    pub(crate) fn of(schema: &ServiceDocument) -> Self {
        let types = schema.definitions.iter().filter_map(|definition| {
            let TypeSystemDefinition::Type(definition) = definition else {
                return None;
            };
            let definition = &definition.node;
            let mut directives = definition.directives.iter();
            let is_one_of = directives.any(|directive| directive.node.name.node == "oneOf");
            let kind = match &definition.kind {
                TypeKind::Enum(of) => {
                    let values = of.values.iter();
                    InputKind::Enum(values.map(|value| value.node.value.node.clone()).collect())
                }
                TypeKind::InputObject(of) => InputKind::Object {
                    is_one_of,
                    fields: of
                        .fields
                        .iter()
                        .map(|field| InputField {
                            name: field.node.name.node.clone(),
                            of_type: field.node.ty.node.clone(),
                            has_default: field.node.default_value.is_some(),
                        })
                        .collect(),
                },
                _ => return None,
            };
            Some((definition.name.node.clone(), kind))
        });
        Self(types.collect())
    }

    /// What is wrong with the values of these variables, at most [`MAX_INVALID_VALUES`] of it.
    pub(crate) fn check(
        &self,
        definitions: &[Positioned<VariableDefinition>],
        values: &Variables,
    ) -> Vec<InvalidValue> {
        let mut check = Check {
            types: &self.0,
            place: Vec::new(),
            problems: Vec::new(),
        };
        for definition in definitions {
            let definition = &definition.node;
            let of_type = &definition.var_type.node;
            check.place.push(PathStep::Name(&definition.name.node));
            match values.get(&definition.name.node) {
                Some(value) => check.value(of_type, value),
                None if definition.default_value.is_none() && !of_type.nullable => {
                    check.misses();
                }
                None => {}
            }
            check.place.pop();
        }
        check.problems
    }
}

/// A step into a value.
enum PathStep<'a> {
    Name(&'a str),
    Item(usize),
}

struct Check<'a> {
    types: &'a HashMap<Name, InputKind>,
    place: Vec<PathStep<'a>>,
    problems: Vec<InvalidValue>,
}

impl<'a> Check<'a> {
    fn is_full(&self) -> bool {
        self.problems.len() >= MAX_INVALID_VALUES
    }

    fn wants(&mut self, wanted: impl Into<String>) {
        self.tell(wanted.into(), true);
    }

    fn misses(&mut self) {
        // The variables themselves are the client's own.
        self.tell("a value: none was given".to_owned(), self.place.len() == 1);
    }

    fn tell(&mut self, wanted: String, is_given: bool) {
        if self.is_full() {
            return;
        }
        let steps: Vec<String> = self
            .place
            .iter()
            .map(|step| match step {
                PathStep::Name(name) => (*name).to_owned(),
                PathStep::Item(nth) => nth.to_string(),
            })
            .collect();
        self.problems.push(InvalidValue {
            place: steps.join(".").chars().take(MAX_PLACE).collect(),
            wanted,
            is_given,
        });
    }

    fn value(&mut self, of_type: &'a Type, value: &'a Value) {
        if self.is_full() {
            return;
        }
        match (&of_type.base, value) {
            (_, Value::Null) if of_type.nullable => {}
            (_, Value::Null) => self.wants("a value, not null"),
            (BaseType::List(of_type), Value::List(items)) => {
                for (nth, item) in items.iter().enumerate() {
                    self.place.push(PathStep::Item(nth));
                    self.value(of_type, item);
                    self.place.pop();
                }
            }
            // One value stands for a list of it.
            (BaseType::List(of_type), one) => self.value(of_type, one),
            (BaseType::Named(name), value) => match self.types.get(name) {
                Some(InputKind::Enum(values)) => {
                    let is_one = match value {
                        Value::Enum(name) => values.contains(name),
                        Value::String(text) => values.contains(text.as_str()),
                        _ => false,
                    };
                    if !is_one {
                        self.wants(format!("one of the enum {name}"));
                    }
                }
                Some(InputKind::Object { is_one_of, fields }) => match value {
                    Value::Object(given) => {
                        if *is_one_of
                            && given.values().filter(|it| **it != Value::Null).count() != 1
                        {
                            self.wants("exactly one field");
                        }
                        self.fields(fields, given);
                    }
                    _ => self.wants(format!("an object, {name}")),
                },
                None if !is_scalar(name, value) => self.wants(format!("a value of {name}")),
                None => {}
            },
        }
    }

    fn fields(
        &mut self,
        fields: &'a [InputField],
        given: &'a async_graphql::indexmap::IndexMap<Name, Value>,
    ) {
        for field in fields {
            self.place.push(PathStep::Name(&field.name));
            match given.get(&field.name) {
                Some(value) => self.value(&field.of_type, value),
                None if !field.has_default && !field.of_type.nullable => {
                    self.misses();
                }
                None => {}
            }
            self.place.pop();
        }
        for name in given.keys() {
            if !fields.iter().any(|field| field.name == *name) {
                self.place.push(PathStep::Name(name));
                self.wants("nothing: there is no such field");
                self.place.pop();
            }
        }
    }
}

/// Whether a scalar of this name can have this value. What is not named here takes anything, or is no type.
fn is_scalar(name: &Name, value: &Value) -> bool {
    match name.as_str() {
        "Int" => i32::parse(Some(value.clone())).is_ok(),
        "Float" => f64::parse(Some(value.clone())).is_ok(),
        "Boolean" => matches!(value, Value::Boolean(_)),
        "UUID" => matches!(value, Value::String(text) if Uuid::parse_str(text).is_ok()),
        "DateTime" => {
            matches!(value, Value::String(text) if text.parse::<DateTime<Utc>>().is_ok())
        }
        "ID" => match value {
            Value::String(_) => true,
            Value::Number(number) => number.is_i64(),
            _ => false,
        },
        "String" | "Cursor" | "Hash" | "TxHash" | "Address" | "Decimal" => {
            matches!(value, Value::String(_))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use async_graphql::parser::{parse_query, parse_schema, types::DocumentOperations};
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = "
        enum Colour { RED GREEN }
        input Part @oneOf { id: UUID name: String }
        input Thing {
            id: UUID! colour: Colour! count: Int = 1 parts: [Part!] at: DateTime any: JSON inner: Thing
        }
        scalar UUID scalar DateTime scalar JSON
        type Query { f: Int }";

    fn told(definitions: &str, values: serde_json::Value) -> Vec<String> {
        let document = parse_query(format!("query ({definitions}) {{ f }}")).unwrap();
        let DocumentOperations::Single(operation) = document.operations else {
            return Vec::new();
        };
        let types = InputTypes::of(&parse_schema(SCHEMA).unwrap());
        let values = Variables::from_json(values);
        let problems = types.check(&operation.node.variable_definitions, &values);
        problems.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn every_bad_field_is_told_at_once_with_its_place() {
        let input = json!({ "input": {
            "id": "none", "colour": "BLUE", "count": 1.5, "at": "yesterday", "wrong": 1,
            "parts": [{ "id": "x" }, { "id": null, "name": null }, {}, "text",
                      { "id": "018f0000-0000-7000-8000-000000000000", "name": "both" }],
            "inner": { "id": null },
        }});
        assert_eq!(
            told("$input: Thing!", input),
            [
                "input.id",
                "input.colour",
                "input.count",
                "input.parts.0.id",
                "input.parts.1",
                "input.parts.2",
                "input.parts.3",
                "input.parts.4",
                "input.at",
                "input.inner.id",
                "input.inner.colour",
                "input.wrong",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_told_and_what_has_a_default_or_may_be_null_is_not() {
        let all = "$a: Int!, $b: Int, $c: Int! = 1, $d: [Int!]!, $e: Thing!";
        assert_eq!(told(all, json!({})), ["a", "d", "e"]);
        assert_eq!(
            told(
                all,
                json!({ "a": null, "c": null, "d": [1, null], "e": {} })
            ),
            ["a", "c", "d.1", "e.id", "e.colour"]
        );
    }

    #[test]
    fn good_values_pass() {
        let thing = json!({
            "id": "018F0000-0000-7000-8000-000000000000", "colour": "RED", "count": null,
            "parts": { "name": "one for a list" }, "at": "2026-01-31T08:15:00+07:00",
            "any": { "anything": [1.10, null] }, "inner": null,
        });
        let values =
            json!({ "t": [thing], "s": "x", "i": 2_147_483_647, "f": 1, "b": false, "more": 1 });
        let none: [&str; 0] = [];
        assert_eq!(
            told(
                "$t: [Thing!]!, $s: Text, $i: Int, $f: Float, $b: Boolean",
                values
            ),
            none
        );
    }

    #[test]
    fn an_id_is_a_text_or_a_whole_number() {
        let ids = json!({ "a": "x", "b": 7, "c": 1.5, "d": true, "e": null, "f": [1, 1.0] });
        let all = "$a: ID!, $b: ID!, $c: ID!, $d: ID!, $e: ID, $f: [ID!]!";
        assert_eq!(told(all, ids), ["c", "d", "f.1"]);
    }

    #[test]
    fn no_more_is_told_than_can_be_read() {
        let many: Vec<_> = (0..100_000)
            .map(|_| json!({ "x".repeat(1000): 1 }))
            .collect();
        let places = told("$t: [Thing!]!", json!({ "t": many }));
        assert_eq!(places.len(), MAX_INVALID_VALUES);
        assert!(places.iter().all(|place| place.len() <= MAX_PLACE));
    }
}
