//! How long what comes in by variables may be, whatever it is for.
//!
//! The schema itself says what is a text and what is a list, so that no field can be forgotten. What a value
//! may hold besides is for the use case to say; a document (`JSON`) is bounded by the request's size. Values
//! written into the query are bounded by the query's length ([`crate::query_limits`]).

use std::collections::HashMap;

use async_graphql::{
    Name, Value, Variables,
    parser::types::{
        BaseType, ExecutableDocument, ServiceDocument, Type, TypeKind, TypeSystemDefinition,
    },
};

use crate::variables::MAX_INVALID_VALUES;

/// The longest text. Unit: bytes of UTF-8. The longest that anything takes is a wallet's message
/// (2,048 bytes) and a reason (500 characters, each of up to four bytes).
pub(crate) const MAX_TEXT_BYTES: usize = 2048;

/// The longest list of what is no enum. A list of an enum is no longer than the enum.
pub(crate) const MAX_LIST: usize = 100;

/// How much of a name is told. Unit: characters.
const MAX_NAME: usize = 60;

/// The one scalar that holds documents.
const DOCUMENT: &str = "JSON";

/// A value that is longer than any can be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: at most {most} {unit}")]
pub(crate) struct TooLong {
    /// Where it is, from the variable on: `input.grantees`.
    pub(crate) path: String,
    most: usize,
    unit: &'static str,
}

impl TooLong {
    /// The name of the field, without where it is.
    pub(crate) fn field(&self) -> &str {
        let (_, field) = self.path.rsplit_once('.').unwrap_or(("", &self.path));
        field.split('[').next().unwrap_or(field)
    }
}

/// Where a value is. Its path is written only where something is wrong there.
enum ValuePath<'a> {
    Variable(&'a Name),
    Entry(&'a Self, usize),
    Member(&'a Self, &'a Name),
}

impl ValuePath<'_> {
    fn path(&self) -> String {
        match self {
            Self::Variable(name) => cut(name),
            Self::Entry(list, nth) => format!("{}[{nth}]", list.path()),
            Self::Member(object, name) => format!("{}.{}", object.path(), cut(name)),
        }
    }
}

/// The beginning of a name: what a client calls a variable must not make an error long.
fn cut(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// What the schema says of its inputs.
#[derive(Debug, Clone, Default)]
pub(crate) struct InputLimits {
    fields: HashMap<Name, HashMap<Name, Type>>,
    enums: HashMap<Name, usize>,
}

impl InputLimits {
    /// Those of a schema.
    pub(crate) fn of(schema: &ServiceDocument) -> Self {
        let mut limits = Self::default();
        for definition in &schema.definitions {
            let TypeSystemDefinition::Type(definition) = definition else {
                continue;
            };
            let name = definition.node.name.node.clone();
            match &definition.node.kind {
                TypeKind::InputObject(object) => {
                    let fields = object.fields.iter().map(|field| &field.node);
                    let fields = fields.map(|it| (it.name.node.clone(), it.ty.node.clone()));
                    limits.fields.insert(name, fields.collect());
                }
                TypeKind::Enum(kind) => {
                    limits.enums.insert(name, kind.values.len());
                }
                TypeKind::Scalar
                | TypeKind::Object(_)
                | TypeKind::Interface(_)
                | TypeKind::Union(_) => {}
            }
        }
        limits
    }

    /// Refuses variables that hold a text or a list that is too long for its declared type. What does not
    /// fit its type is left to validation.
    ///
    /// # Errors
    /// Every [`TooLong`], up to [`MAX_INVALID_VALUES`].
    pub(crate) fn check(
        &self,
        document: &ExecutableDocument,
        variables: &Variables,
    ) -> Result<(), Vec<TooLong>> {
        let mut found = Vec::new();
        for (_, operation) in document.operations.iter() {
            for variable in &operation.node.variable_definitions {
                let name = &variable.node.name.node;
                if let Some(value) = variables.get(name) {
                    let place = ValuePath::Variable(name);
                    self.check_value(&variable.node.var_type.node, value, &place, &mut found);
                }
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    fn check_value(
        &self,
        declared: &Type,
        value: &Value,
        place: &ValuePath<'_>,
        found: &mut Vec<TooLong>,
    ) {
        if found.len() >= MAX_INVALID_VALUES {
            return;
        }
        let too_long = |most, unit| TooLong {
            path: place.path(),
            most,
            unit,
        };
        match (&declared.base, value) {
            (BaseType::Named(name), _) if name == DOCUMENT => {}
            (BaseType::List(inner), Value::List(items)) => {
                let most = match &inner.base {
                    BaseType::Named(name) => self.enums.get(name).copied().unwrap_or(MAX_LIST),
                    BaseType::List(_) => MAX_LIST,
                };
                if items.len() > most {
                    found.push(too_long(most, "entries"));
                    return;
                }
                for (nth, item) in items.iter().enumerate() {
                    self.check_value(inner, item, &ValuePath::Entry(place, nth), found);
                }
            }
            // One value stands for a list of one.
            (BaseType::List(inner), _) => self.check_value(inner, value, place, found),
            (BaseType::Named(name), Value::Object(members)) => {
                let Some(fields) = self.fields.get(name) else {
                    return;
                };
                for (member, value) in members {
                    if let Some(declared) = fields.get(member) {
                        self.check_value(declared, value, &ValuePath::Member(place, member), found);
                    }
                }
            }
            (BaseType::Named(_), Value::String(text)) if text.len() > MAX_TEXT_BYTES => {
                found.push(too_long(MAX_TEXT_BYTES, "bytes"));
            }
            (BaseType::Named(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use async_graphql::parser::{parse_query, parse_schema};
    use serde_json::{Value as Json, json};

    use super::*;

    const SDL: &str = "
        scalar JSON
        enum Kind { A B }
        input Inner { text: String!, document: JSON }
        input Outer { kinds: [Kind!]!, inners: [Inner!], nested: [[Int!]!] }
        type Query { ask(input: Outer, id: ID): Int }
    ";

    fn judge(declared: &str, value: &Json) -> Result<(), String> {
        let query = format!("query ($v: {declared}) {{ ask(input: $v) }}");
        let variables = Variables::from_json(json!({ "v": value }));
        let limits = InputLimits::of(&parse_schema(SDL).unwrap());
        let judged = limits.check(&parse_query(query).unwrap(), &variables);
        judged.map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            errors.join("; ")
        })
    }

    #[test]
    fn whatever_the_schema_has_has_a_limit() {
        let (fits, long) = ("x".repeat(MAX_TEXT_BYTES), "x".repeat(MAX_TEXT_BYTES + 1));
        let bytes = |path: &str| Err(format!("{path}: at most {MAX_TEXT_BYTES} bytes"));
        let entries = |path: &str, most: usize| Err(format!("{path}: at most {most} entries"));
        let hundred = |item: Json, more: usize| vec![item; MAX_LIST + more];
        let cases = [
            ("String!", json!(fits), Ok(())),
            ("String", json!(long), bytes("v")),
            ("ID", json!(long), bytes("v")),
            ("Unknown", json!(long), bytes("v")),
            ("[String!]!", json!([fits, long]), bytes("v[1]")),
            ("[String!]!", json!(long), bytes("v")),
            ("JSON!", json!({ "text": long }), Ok(())),
            ("Outer!", json!({ "kinds": ["A", "B"] }), Ok(())),
            (
                "Outer!",
                json!({ "kinds": ["A", "B", "A"] }),
                entries("v.kinds", 2),
            ),
            ("Outer!", json!({ "inners": hundred(json!({}), 0) }), Ok(())),
            (
                "Outer!",
                json!({ "inners": hundred(json!({}), 1) }),
                entries("v.inners", MAX_LIST),
            ),
            (
                "Outer",
                json!({ "inners": [{ "text": long }] }),
                bytes("v.inners[0].text"),
            ),
            ("Outer", json!({ "inners": [{ "document": long }] }), Ok(())),
            (
                "Outer",
                json!({ "nested": [hundred(json!(1), 1)] }),
                entries("v.nested[0]", MAX_LIST),
            ),
            (
                "Outer",
                json!({ "kinds": ["A", "B", "A"], "inners": [{ "text": long }, { "text": long }] }),
                Err(format!(
                    "v.inners[0].text: at most {MAX_TEXT_BYTES} bytes; v.inners[1].text: at most \
                     {MAX_TEXT_BYTES} bytes; v.kinds: at most 2 entries"
                )),
            ),
            ("Outer", json!({ "unknown": long }), Ok(())),
            ("Outer", json!(null), Ok(())),
        ];
        for (declared, value, wanted) in cases {
            assert_eq!(judge(declared, &value), wanted, "{declared}");
        }
    }

    #[test]
    fn a_long_name_is_cut_where_it_is_told() {
        let name = "v".repeat(10_000);
        let query = format!("query (${name}: [Int]) {{ ask(input: ${name}) }}");
        let variables = Variables::from_json(json!({ name: vec![1; MAX_LIST + 1] }));
        let limits = InputLimits::of(&parse_schema(SDL).unwrap());
        let judged = limits.check(&parse_query(query).unwrap(), &variables);
        let errors = judged.unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().len() < 100, "{}", errors[0]);
    }

    #[test]
    fn a_field_is_named_without_where_it_is() {
        for (path, field) in [("v", "v"), ("v.a[3]", "a"), ("v[0].b", "b")] {
            let error = TooLong {
                path: path.to_owned(),
                most: 1,
                unit: "bytes",
            };
            assert_eq!(error.field(), field);
        }
    }
}
