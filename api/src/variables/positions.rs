//! Which types variables have where they stand (GraphQL, 5.8.5).
//!
//! async-graphql holds each value against the place where it stands, and takes a variable of whatever type. What a variable may hold is
//! read off its own type ([`super::InputTypes`], [`crate::input_limits`]): one of `JSON` would be held to no limit wherever it stood.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name,
    parser::types::{
        BaseType, ExecutableDocument, InputValueDefinition, OperationDefinition, Selection,
        SelectionSet, ServiceDocument, Type, TypeKind, TypeSystemDefinition,
    },
};
use async_graphql_value::Value;

use super::{InvalidValue, MAX_INVALID_VALUES};

/// The one scalar whose values hold whatever they like.
const DOCUMENT: &str = "JSON";

/// The types of what may stand at a place.
type Allowed = HashSet<Name>;

/// The types of arguments and of the fields of inputs by their names, without lists and without `!`.
#[derive(Debug, Clone, Default)]
pub(crate) struct VariablePositions {
    /// By the name of the field, and that of its argument.
    arguments: HashMap<Name, HashMap<Name, Allowed>>,
    /// By the name of the field of an input.
    members: HashMap<Name, Allowed>,
}

impl VariablePositions {
    /// Those of a schema.
    pub(crate) fn of(schema: &ServiceDocument) -> Self {
        let mut positions = Self::default();
        for definition in &schema.definitions {
            let TypeSystemDefinition::Type(definition) = definition else {
                continue;
            };
            let fields = match &definition.node.kind {
                TypeKind::Object(of) => &of.fields,
                TypeKind::Interface(of) => &of.fields,
                TypeKind::InputObject(of) => {
                    for member in &of.fields {
                        add(&mut positions.members, &member.node);
                    }
                    continue;
                }
                TypeKind::Scalar | TypeKind::Union(_) | TypeKind::Enum(_) => continue,
            };
            for field in fields {
                let name = field.node.name.node.clone();
                let arguments = positions.arguments.entry(name).or_default();
                for argument in &field.node.arguments {
                    add(arguments, &argument.node);
                }
            }
        }
        positions
    }

    /// The variables of an operation that stand where something of another type belongs, at most [`MAX_INVALID_VALUES`] of them.
    pub(crate) fn check(
        &self,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
    ) -> Vec<InvalidValue> {
        let definitions = operation.variable_definitions.iter();
        let declared = definitions
            .map(|it| (&it.node.name.node, named(&it.node.var_type.node)))
            .collect();
        let mut walk = PositionWalk {
            positions: self,
            document,
            declared,
            spread: HashSet::new(),
            problems: Vec::new(),
        };
        if !walk.declared.is_empty() {
            walk.selections(&operation.selection_set.node);
        }
        walk.problems
    }
}

fn add(places: &mut HashMap<Name, Allowed>, place: &InputValueDefinition) {
    let allowed = places.entry(place.name.node.clone()).or_default();
    allowed.insert(named(&place.ty.node).clone());
}

/// The name of a type, without the lists around it.
fn named(of: &Type) -> &Name {
    match &of.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

/// The walk through an operation and the fragments that it spreads, each once.
struct PositionWalk<'a> {
    positions: &'a VariablePositions,
    document: &'a ExecutableDocument,
    /// The types of the variables that were not told of yet.
    declared: HashMap<&'a Name, &'a Name>,
    spread: HashSet<&'a Name>,
    problems: Vec<InvalidValue>,
}

impl<'a> PositionWalk<'a> {
    fn selections(&mut self, set: &'a SelectionSet) {
        let (positions, document) = (self.positions, self.document);
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    if let Some(known) = positions.arguments.get(&field.name.node) {
                        for (name, value) in &field.arguments {
                            if let Some(allowed) = known.get(&name.node) {
                                self.value(&value.node, allowed);
                            }
                        }
                    }
                    self.selections(&field.selection_set.node);
                }
                Selection::InlineFragment(inline) => {
                    self.selections(&inline.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = document.fragments.get(name)
                        && self.spread.insert(name)
                    {
                        self.selections(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }

    fn value(&mut self, value: &'a Value, allowed: &'a Allowed) {
        let positions = self.positions;
        match value {
            Value::Variable(name) => self.variable(name, allowed),
            Value::List(items) => items.iter().for_each(|item| self.value(item, allowed)),
            Value::Object(members) if !allowed.contains(DOCUMENT) => {
                for (name, value) in members {
                    if let Some(allowed) = positions.members.get(name) {
                        self.value(value, allowed);
                    }
                }
            }
            _ => {}
        }
    }

    fn variable(&mut self, name: &'a Name, allowed: &Allowed) {
        let declared = self.declared.get(name);
        if declared.is_none_or(|declared| allowed.contains(*declared)) {
            return;
        }
        if self.problems.len() >= MAX_INVALID_VALUES {
            return;
        }
        self.declared.remove(name);
        let wanted = allowed.iter().map(Name::as_str).min().unwrap_or_default();
        self.problems.push(InvalidValue {
            place: name.chars().take(super::MAX_PLACE).collect(),
            wanted: format!("declared as {wanted}"),
            is_given: true,
        });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use async_graphql::parser::{parse_query, parse_schema};

    use super::*;

    const SCHEMA: &str = "
        input Part { name: String more: [Part!] at: Place any: JSON }
        enum Place { HERE }
        scalar JSON
        type Thing { parts(first: Int, place: Place): [Thing!] }
        type Query { f(part: Part!, names: [String!]): Thing g(any: JSON): Int }";

    fn told(query: &str) -> Vec<String> {
        let document = parse_query(query).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let positions = VariablePositions::of(&parse_schema(SCHEMA).unwrap());
        let problems = positions.check(&document, &operation.node);
        problems.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn a_variable_stands_where_its_type_belongs() {
        for query in [
            "query ($v: JSON!) { f(part: $v) { parts } }",
            "query ($v: JSON) { f(names: $v) { parts } }",
            "query ($v: JSON) { f(names: [$v]) { parts } }",
            "query ($v: JSON) { f(part: { more: [{ name: $v }] }) { parts } }",
            "query ($v: String) { f(part: { at: $v }) { parts } }",
            "query ($v: Int) { ...F ...F } fragment F on Query { f { ... { parts(place: $v, first: $v) } } }",
            "query ($v: [[JSON]]) { f(part: $v, names: $v) { parts } }",
            "query ($v: String) { g(any: $v) }",
        ] {
            assert_eq!(told(query), ["v"], "{query}");
        }
        let none: [&str; 0] = [];
        for query in [
            "query ($p: Part!, $n: [String!]) { f(part: $p, names: $n) { parts } }",
            "query ($n: String) { f(part: { name: $n, any: { name: 1, more: $n } }, names: [$n]) { parts } }",
            "query ($j: JSON) { g(any: $j) f(part: { any: $j }) { parts } }",
            "query ($a: Foo) { unknown(a: $a) f(unknown: $a) { parts } }",
        ] {
            assert_eq!(told(query), none, "{query}");
        }
    }

    #[test]
    fn no_more_is_told_than_can_be_read() {
        let names: Vec<_> = (0..=MAX_INVALID_VALUES)
            .map(|nth| format!("$v{nth}"))
            .collect();
        let (declared, given) = (names.join(": JSON "), names.join(" "));
        let query = format!("query ({declared}: JSON) {{ f(names: [{given}]) {{ parts }} }}");
        assert_eq!(told(&query).len(), MAX_INVALID_VALUES);
    }
}
