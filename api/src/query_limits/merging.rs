//! Whether the fields that answer by one name are one field (GraphQL, 5.3.2).
//!
//! async-graphql compares the fields of one selection set that stand under one type condition, and nothing below them. What
//! it passes over it runs field by field and puts together, so that one of two fields is not answered though nobody is told.

use std::{
    collections::{HashMap, HashSet},
    ptr,
};

use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};

/// Two fields of which an answer would have to hold one by the name of the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConflictingFields;

/// The types of the schema that an object is of besides its own. A test holds them against the schema.
const INTERFACES: [&str; 2] = ["Node", "RecordSummary"];

/// Where fields stand: in which field, and under which type condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FieldPlace<'a> {
    /// The place of the field around them. That of the roots is their own.
    parent: usize,
    on_type: Option<&'a str>,
}

/// A field, and its place.
#[derive(Debug, Clone, Copy)]
struct SelectedField<'a> {
    field: &'a Field,
    place: usize,
}

/// What was found of the fields that are answered in one object.
#[derive(Default)]
struct ObjectFields<'a> {
    fields: Vec<SelectedField<'a>>,
    /// The fragments that were spread, each with the place of the field that it was spread in.
    spread: HashSet<(&'a str, usize)>,
}

/// Compares the fields of a document that was counted: it has no more fields than it may have, and no fragment spreads itself.
pub(super) struct FieldMerger<'a> {
    document: &'a ExecutableDocument,
    places: Vec<FieldPlace<'a>>,
    known: HashMap<FieldPlace<'a>, usize>,
}

impl<'a> FieldMerger<'a> {
    /// Nothing is compared yet.
    pub(super) fn new(document: &'a ExecutableDocument) -> Self {
        let roots = FieldPlace {
            parent: 0,
            on_type: None,
        };
        Self {
            document,
            places: vec![roots],
            known: HashMap::new(),
        }
    }

    /// Compares the fields of an operation, and says how many names its root fields have besides those of `__typename`.
    ///
    /// # Errors
    /// [`ConflictingFields`].
    pub(super) fn compare(&mut self, roots: &'a SelectionSet) -> Result<usize, ConflictingFields> {
        self.object(&[(roots, 0)])
    }

    /// The same of these selections, which one object answers, each with the place of the field that it belongs to.
    fn object(&mut self, sets: &[(&'a SelectionSet, usize)]) -> Result<usize, ConflictingFields> {
        let mut found = ObjectFields::default();
        for &(set, parent) in sets {
            let place = self.place(parent, None);
            self.collect(set, parent, place, &mut found);
        }
        let mut named: HashMap<&str, Vec<SelectedField<'a>>> = HashMap::new();
        for selected in found.fields {
            let name = selected.field.response_key().node.as_str();
            named.entry(name).or_default().push(selected);
        }
        for alike in named.values() {
            self.are_one(alike)?;
            let inner: Vec<_> = alike
                .iter()
                .map(|selected| (&selected.field.selection_set.node, selected.place))
                .filter(|(set, _)| !set.items.is_empty())
                .collect();
            if !inner.is_empty() {
                self.object(&inner)?;
            }
        }
        let fields = named.values().filter_map(|alike| alike.first());
        Ok(fields
            .filter(|it| it.field.name.node != "__typename")
            .count())
    }

    /// Collects the fields of these selections, fragments spread.
    fn collect(
        &mut self,
        set: &'a SelectionSet,
        parent: usize,
        place: usize,
        found: &mut ObjectFields<'a>,
    ) {
        let document = self.document;
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => found.fields.push(SelectedField {
                    field: &field.node,
                    place,
                }),
                Selection::InlineFragment(inline) => {
                    let condition = inline.node.type_condition.as_ref();
                    let place = match condition {
                        Some(condition) => {
                            self.place(parent, Some(condition.node.on.node.as_str()))
                        }
                        None => place,
                    };
                    self.collect(&inline.node.selection_set.node, parent, place, found);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    // A spread of nothing is for validation to refuse.
                    let Some(fragment) = document.fragments.get(name) else {
                        continue;
                    };
                    if found.spread.insert((name.as_str(), parent)) {
                        let condition = fragment.node.type_condition.node.on.node.as_str();
                        let place = self.place(parent, Some(condition));
                        self.collect(&fragment.node.selection_set.node, parent, place, found);
                    }
                }
            }
        }
    }

    fn place(&mut self, parent: usize, on_type: Option<&'a str>) -> usize {
        let place = FieldPlace { parent, on_type };
        let next = self.places.len();
        let number = *self.known.entry(place).or_insert(next);
        if number == next {
            self.places.push(place);
        }
        number
    }

    /// Refuses fields of one name of which one object would have to answer two.
    fn are_one(&self, alike: &[SelectedField<'a>]) -> Result<(), ConflictingFields> {
        // A field whose fragment is spread often is compared once: its arguments may be as long as the document.
        let mut numbers: HashMap<*const Field, usize> = HashMap::new();
        let mut distinct: Vec<&Field> = Vec::new();
        // One of each place: others there are the same.
        let mut others: Vec<(usize, usize)> = Vec::new();
        for &SelectedField { field, place } in alike {
            let number = *numbers.entry(ptr::from_ref(field)).or_insert_with(|| {
                let known = distinct.iter().position(|other| is_same(field, other));
                known.unwrap_or_else(|| {
                    distinct.push(field);
                    distinct.len() - 1
                })
            });
            let conflict = others
                .iter()
                .any(|&(other, there)| number != other && !self.exclude_each_other(place, there));
            if conflict {
                return Err(ConflictingFields);
            }
            if others.iter().all(|&(_, there)| there != place) {
                others.push((number, place));
            }
        }
        Ok(())
    }

    /// Whether no object has the fields of both places: somewhere around them they are of two types, of which an object has one.
    fn exclude_each_other(&self, one: usize, other: usize) -> bool {
        let (mut one, mut other) = (one, other);
        while one != other {
            let (Some(left), Some(right)) = (self.places.get(one), self.places.get(other)) else {
                return false;
            };
            if let (Some(left), Some(right)) = (left.on_type, right.on_type)
                && left != right
                && !INTERFACES.contains(&left)
                && !INTERFACES.contains(&right)
            {
                return true;
            }
            (one, other) = (left.parent, right.parent);
        }
        false
    }
}

/// Whether two fields are one: of one name, with the same arguments.
fn is_same(one: &Field, other: &Field) -> bool {
    one.name.node == other.name.node
        && one.arguments.len() == other.arguments.len()
        && one.arguments.iter().all(|(name, value)| {
            let given = other.get_argument(name.node.as_str());
            given.is_some_and(|given| given.node == value.node)
        })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::{collections::BTreeSet, fmt::Write as _};

    use async_graphql::parser::{
        parse_query, parse_schema,
        types::{TypeKind, TypeSystemDefinition},
    };

    use super::*;

    fn names(query: &str) -> Option<usize> {
        let document = parse_query(query).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let set = &operation.node.selection_set.node;
        FieldMerger::new(&document).compare(set).ok()
    }

    #[test]
    fn the_interfaces_of_the_schema_are_those_that_are_known() {
        let sdl = parse_schema(crate::schema::sdl()).unwrap();
        let mut interfaces = BTreeSet::new();
        for definition in sdl.definitions {
            if let TypeSystemDefinition::Type(of) = definition
                && matches!(of.node.kind, TypeKind::Interface(_) | TypeKind::Union(_))
            {
                interfaces.insert(of.node.name.node.to_string());
            }
        }
        assert_eq!(interfaces, INTERFACES.map(str::to_owned).into());
    }

    #[test]
    fn fields_of_one_name_are_one_field_wherever_they_stand() {
        for query in [
            "{ me { id } me { id: username } }",
            "{ me { id ... on User { id: username } } }",
            "{ me { id } ...F } fragment F on Query { me { id: username } }",
            "{ a(b: 1) { c } ...F } fragment F on Query { a(b: 2) { c } }",
            "{ a { c } ...F } fragment F on Query { a(b: 2) { c } }",
            "query ($b: Int, $c: Int) { a(b: $b) { d } ... { a(b: $c) { d } } }",
            "{ a { b { c } } a { b { c: d } } }",
            "{ ...F ...G } fragment F on Query { a { b { c } } } fragment G on Query { a { b { c: d } } }",
            "{ node { ... on User { a } ... on Node { a: b } } }",
            "{ node { ... on User { a { b } } ... on Node { a { b: c } } } }",
            "{ node { ... on User { ... on Node { a } } ... on Consent { a: b } } }",
        ] {
            assert_eq!(names(query), None, "{query}");
        }
    }

    #[test]
    fn fields_of_two_types_and_the_same_field_twice_pass() {
        for (query, wanted) in [
            ("{ me { id id } me { username } x: me { id } }", 2),
            (
                "{ a(b: 1, c: 2) { d } ...F } fragment F on Query { a(c: 2, b: 1) { e } }",
                1,
            ),
            (
                "{ node { ... on User { a: b } ... on Consent { a: c } } }",
                1,
            ),
            (
                "{ node { ... on User { a { b } } ... on Consent { a { b: c } } } }",
                1,
            ),
            (
                "{ node { ...F ...F ... on User { ...F } } } fragment F on User { a }",
                1,
            ),
            ("{ ...F ...none } fragment F on Query { a b }", 2),
            (
                "{ __typename a { __typename } ... { __typename t: __typename } }",
                1,
            ),
        ] {
            assert_eq!(names(query), Some(wanted), "{query}");
        }
    }

    /// Of each type there are as many fields as a document may have, and none is of two types.
    #[test]
    fn a_wide_document_of_many_types_is_compared() {
        let mut wide = "{ node { ".to_owned();
        for nth in 0..400 {
            write!(wide, "... on T{nth} {{ a {{ b: c{nth} }} }} ").unwrap();
        }
        wide.push_str("} }");
        assert_eq!(names(&wide), Some(1));
    }

    /// The fields of two fragments are answered in hundreds of places. Compared in each pair of these, their arguments alone
    /// would keep a process busy for many seconds.
    #[test]
    fn long_arguments_are_compared_once_for_a_field() {
        let long = "1 ".repeat(3000);
        let mut query = "{ node { ".to_owned();
        for nth in 0..400 {
            write!(query, "... on T{nth} {{ x {{ ...F ...G }} }} ").unwrap();
        }
        query.push_str("} }");
        for name in ["F", "G"] {
            write!(query, " fragment {name} on Node {{ a(b: [{long}]) }}").unwrap();
        }
        assert_eq!(names(&query), Some(1));
    }
}
