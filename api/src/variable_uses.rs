//! How much the variables of a document come to where they are used.
//!
//! async-graphql copies a variable at each of its uses, when it validates a document and again when it runs
//! it: 16 KiB of `[$v$v…]` around a text of 2 MiB would be sixteen thousand million bytes.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned, Value as ConstValue, Variables,
    parser::types::{Directive, ExecutableDocument, Selection, SelectionSet},
};

use async_graphql_value::Value;

use crate::limits::MAX_BODY;

/// How long all uses of variables may be together that go beyond one of each. Unit: bytes.
pub(crate) const MAX_REPEATED: usize = MAX_BODY;

/// Variables that are used too often for how long they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "variables that are used more than once have at most {MAX_REPEATED} bytes, each use after the first counted"
)]
pub(crate) struct UsedTooOften;

/// Refuses a document whose uses of variables come to too much.
///
/// # Errors
/// [`UsedTooOften`].
pub(crate) fn check(
    document: &ExecutableDocument,
    variables: &Variables,
) -> Result<(), UsedTooOften> {
    let mut uses = Uses::default();
    for (_, operation) in document.operations.iter() {
        uses.of_directives(&operation.node.directives);
        uses.of_selections(&operation.node.selection_set.node);
    }
    for fragment in document.fragments.values() {
        uses.of_directives(&fragment.node.directives);
        uses.of_selections(&fragment.node.selection_set.node);
    }
    let repeated = uses.0.into_iter().filter(|(_, times)| *times > 1);
    let bytes = repeated.map(|(name, times)| {
        let length = variables.get(name).map_or(0, length);
        length.saturating_mul(times - 1)
    });
    if bytes.fold(0, usize::saturating_add) > MAX_REPEATED {
        return Err(UsedTooOften);
    }
    Ok(())
}

#[derive(Default)]
struct Uses<'a>(HashMap<&'a Name, usize>);

impl<'a> Uses<'a> {
    fn of_selections(&mut self, selections: &'a SelectionSet) {
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => {
                    let arguments = field.node.arguments.iter();
                    arguments.for_each(|(_, value)| self.of_value(&value.node));
                    self.of_directives(&field.node.directives);
                    self.of_selections(&field.node.selection_set.node);
                }
                Selection::InlineFragment(fragment) => {
                    self.of_directives(&fragment.node.directives);
                    self.of_selections(&fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => self.of_directives(&spread.node.directives),
            }
        }
    }

    fn of_directives(&mut self, directives: &'a [Positioned<Directive>]) {
        let arguments = directives.iter().flat_map(|it| &it.node.arguments);
        arguments.for_each(|(_, value)| self.of_value(&value.node));
    }

    fn of_value(&mut self, value: &'a Value) {
        match value {
            Value::Variable(name) => *self.0.entry(name).or_default() += 1,
            Value::List(items) => items.iter().for_each(|item| self.of_value(item)),
            Value::Object(members) => members.values().for_each(|value| self.of_value(value)),
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_) => {}
        }
    }
}

/// About how long a value is as JSON. Unit: bytes.
fn length(value: &ConstValue) -> usize {
    2 + match value {
        ConstValue::String(text) => text.len(),
        ConstValue::Binary(bytes) => bytes.len(),
        ConstValue::List(items) => items.iter().map(length).sum(),
        ConstValue::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, value)| name.len() + length(value))
                .sum()
        }
        ConstValue::Null | ConstValue::Number(_) | ConstValue::Boolean(_) | ConstValue::Enum(_) => {
            4
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_variable_is_used_once_and_a_short_one_often() {
        let often = "$v ".repeat(5000);
        let list = format!("query($v: JSON) {{ a(b: [{often}]) }}");
        let object = "query($v: JSON) { a(b: { c: $v, d: [$v] }) }";
        let directive = "query($v: Boolean) { a @skip(if: $v) b @skip(if: $v) ...f } fragment f on Q { c(d: $v) }";
        let once = "query($v: JSON) { a(b: $v) }";
        let long = "x".repeat(MAX_REPEATED);
        for (document, value, fits) in [
            (list.as_str(), json!(long), false),
            (list.as_str(), json!(["x".repeat(1000)]), false),
            (list.as_str(), json!(7), true),
            (object, json!({ "text": long }), false),
            (object, json!({ "text": "short" }), true),
            (directive, json!(long), false),
            (directive, json!(true), true),
            (once, json!(long), true),
        ] {
            let document = parse_query(document).unwrap();
            let variables = Variables::from_json(json!({ "v": value }));
            assert_eq!(check(&document, &variables).is_ok(), fits);
        }
    }
}
