//! The walk through a document that counts it: linear in its length, because each fragment is counted once.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned, Value as Const, Variables,
    parser::types::{Directive, ExecutableDocument, Field, Selection, SelectionSet},
};
use async_graphql_value::Value;

use super::{
    BY_ID_WEIGHT, BY_IDS, CONTENT_WEIGHT, GROUPED, GROUPED_WEIGHT, IMPORTS, LISTS, LOOK_WEIGHT,
    LOOKS_THROUGH, LimitError, OPENS, QueryLimits, REFERRED, REFERRED_LIST, too_much,
};
use crate::{
    codes::{Excess, QueryLimit},
    page::{DEFAULT_SIZE, MAX_SIZE},
};

/// What a part of a document comes to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    /// Fields of the selection set itself, fragments spread.
    pub(super) roots: u64,
    /// Those of them that are `__typename`.
    pub(super) type_names: u64,
    nodes: u64,
    depth: u64,
    aliases: u64,
    pub(super) directives: u64,
    cost: u64,
    pub(super) weight: u64,
    /// How many objects are shown of which something else has the ID.
    pub(super) referred: u64,
    pub(super) variable_bytes: u64,
    /// How often variables stand where they are copied, however long they are.
    pub(super) variable_uses: u64,
}

impl Sum {
    /// Both of them.
    pub(super) fn beside(self, other: Self) -> Self {
        Self {
            roots: self.roots.saturating_add(other.roots),
            type_names: self.type_names.saturating_add(other.type_names),
            nodes: self.nodes.saturating_add(other.nodes),
            depth: self.depth.max(other.depth),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            cost: self.cost.saturating_add(other.cost),
            weight: self.weight.saturating_add(other.weight),
            referred: self.referred.saturating_add(other.referred),
            variable_bytes: self.variable_bytes.saturating_add(other.variable_bytes),
            variable_uses: self.variable_uses.saturating_add(other.variable_uses),
        }
    }

    /// Refuses what is more than a document may hold.
    pub(super) fn check(&self, limits: &QueryLimits) -> Result<(), LimitError> {
        for (limit, counted, allowed) in [
            (QueryLimit::Fields, self.nodes, limits.nodes),
            (QueryLimit::Levels, self.depth, limits.depth),
            (QueryLimit::Aliases, self.aliases, limits.aliases),
            (QueryLimit::Directives, self.directives, limits.directives),
            (QueryLimit::Cost, self.cost, limits.cost),
            (
                QueryLimit::VariableBytes,
                self.variable_bytes,
                limits.variable_bytes,
            ),
        ] {
            if counted > allowed {
                return Err(LimitError::TooMuch(Excess {
                    limit,
                    allowed,
                    counted,
                }));
            }
        }
        Ok(())
    }
}

/// The variables in a value, each as often as it stands there.
fn variables_in<'a>(value: &'a Value, names: &mut Vec<&'a Name>) {
    match value {
        Value::Variable(name) => names.push(name),
        Value::List(items) => items.iter().for_each(|item| variables_in(item, names)),
        Value::Object(members) => {
            let members = members.values();
            members.for_each(|member| variables_in(member, names));
        }
        Value::Null
        | Value::Number(_)
        | Value::String(_)
        | Value::Boolean(_)
        | Value::Binary(_)
        | Value::Enum(_) => {}
    }
}

/// About how long a value is as JSON. Unit: bytes.
pub(super) fn json_length(value: &Const) -> u64 {
    let length = match value {
        Const::String(text) => text.len() as u64,
        Const::Binary(bytes) => bytes.len() as u64,
        Const::List(items) => items.iter().map(json_length).sum(),
        Const::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, value)| name.len() as u64 + json_length(value))
                .sum()
        }
        Const::Null | Const::Number(_) | Const::Boolean(_) | Const::Enum(_) => 4,
    };
    length + 2
}

/// Counts the selections of one document, each fragment once.
pub(super) struct CostCounter<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    limits: &'a QueryLimits,
    fragments: HashMap<Name, Sum>,
    lengths: HashMap<Name, u64>,
    stack: Vec<Name>,
    /// Whether how long a list is depends on a variable.
    has_variable_lengths: bool,
    /// Whether a fragment is spread that the document does not have.
    has_unknown_spreads: bool,
}

impl<'a> CostCounter<'a> {
    /// Nothing is counted yet.
    pub(super) fn new(
        document: &'a ExecutableDocument,
        variables: &'a Variables,
        limits: &'a QueryLimits,
    ) -> Self {
        Self {
            document,
            variables,
            limits,
            fragments: HashMap::new(),
            lengths: HashMap::new(),
            stack: Vec::new(),
            has_variable_lengths: false,
            has_unknown_spreads: false,
        }
    }

    /// Whether the same document could be counted otherwise with other variables, but for how long these are.
    pub(super) const fn has_variable_lengths(&self) -> bool {
        self.has_variable_lengths
    }

    /// Whether a fragment was spread so far that the document does not have.
    pub(super) const fn has_unknown_spreads(&self) -> bool {
        self.has_unknown_spreads
    }

    /// What these selections come to.
    pub(super) fn selection_set(&mut self, set: &SelectionSet) -> Result<Sum, LimitError> {
        let mut sum = Sum::default();
        for selection in &set.items {
            let part = match &selection.node {
                Selection::Field(field) => self.field(&field.node)?,
                Selection::InlineFragment(inline) => {
                    let mut part = self.selection_set(&inline.node.selection_set.node)?;
                    part.directives = part
                        .directives
                        .saturating_add(Self::directives(&inline.node.directives)?);
                    part
                }
                Selection::FragmentSpread(spread) => {
                    let mut part = self.fragment(&spread.node.fragment_name.node)?;
                    part.directives = part
                        .directives
                        .saturating_add(Self::directives(&spread.node.directives)?);
                    part
                }
            };
            sum = sum.beside(part);
            // Early, so that a wide document stops at the first limit it meets.
            sum.check(self.limits)?;
        }
        Ok(sum)
    }

    fn field(&mut self, field: &Field) -> Result<Sum, LimitError> {
        let name = field.name.node.as_str();
        if !self.limits.introspection && matches!(name, "__schema" | "__type") {
            return Err(LimitError::Introspection);
        }
        if name == "__typename" && !self.is_plain(field) {
            return Err(LimitError::TypeName);
        }
        for (_, argument) in &field.arguments {
            literal(&argument.node)?;
        }
        let inner = self.selection_set(&field.selection_set.node)?;
        let times = self.length(field);
        let (variable_uses, variable_bytes) = self.variables_of(field);
        let is_grouped = field
            .get_argument("grouped")
            .map_or(field.name.node == GROUPED, |grouped| {
                grouped.node != Value::Boolean(false)
            });
        let own_weight = if OPENS.contains(&field.name.node.as_str()) {
            CONTENT_WEIGHT
        } else if is_grouped {
            GROUPED_WEIGHT
        } else if LOOKS_THROUGH.contains(&field.name.node.as_str()) {
            LOOK_WEIGHT
        } else if name == BY_IDS && field.get_argument("ids").is_some() {
            times.saturating_mul(BY_ID_WEIGHT)
        } else {
            1
        };
        let shown = if name == REFERRED_LIST && !field.selection_set.node.items.is_empty() {
            times
        } else {
            REFERRED.contains(&name).into()
        };
        Ok(Sum {
            roots: 1,
            type_names: (name == "__typename").into(),
            nodes: inner.nodes.saturating_add(1),
            depth: inner.depth.saturating_add(1),
            aliases: inner.aliases.saturating_add(field.alias.is_some().into()),
            directives: inner
                .directives
                .saturating_add(Self::directives(&field.directives)?),
            cost: inner.cost.saturating_mul(times).saturating_add(1),
            variable_bytes: inner
                .variable_bytes
                .saturating_mul(times)
                .saturating_add(variable_bytes),
            variable_uses: inner
                .variable_uses
                .saturating_mul(times)
                .saturating_add(variable_uses),
            weight: inner
                .weight
                .saturating_mul(times)
                .saturating_add(own_weight),
            referred: inner.referred.saturating_mul(times).saturating_add(shown),
        })
    }

    /// How many variables a field is given and how long they are, each as often as it stands there: each time the field
    /// is run, they are copied.
    fn variables_of(&mut self, field: &Field) -> (u64, u64) {
        let mut names = Vec::new();
        for (_, argument) in &field.arguments {
            variables_in(&argument.node, &mut names);
        }
        let uses = names.len() as u64;
        let variables = self.variables;
        let lengths = names.into_iter().map(|name| {
            if let Some(known) = self.lengths.get(name) {
                return *known;
            }
            let length = variables.get(name).map_or(0, json_length);
            self.lengths.insert(name.clone(), length);
            length
        });
        (uses, lengths.fold(0, u64::saturating_add))
    }

    /// Whether a `__typename` is asked for as validation would have it.
    fn is_plain(&self, field: &Field) -> bool {
        let mut seen = Vec::new();
        let are_known = field.directives.iter().all(|directive| {
            let (name, arguments) = (&directive.node.name.node, &directive.node.arguments);
            let is_new = !seen.contains(&name);
            seen.push(name);
            let [(argument, value)] = arguments.as_slice() else {
                return false;
            };
            let given = |variable| {
                let is_declared = self.is_declared(&variable);
                is_declared.then_some(Const::Boolean(true)).ok_or(())
            };
            let condition = value.node.clone().into_const_with(given);
            let is_condition = matches!(condition, Ok(Const::Boolean(_)));
            let is_known = matches!(name.as_str(), "include" | "skip");
            is_known && is_new && argument.node == "if" && is_condition
        });
        are_known && field.arguments.is_empty() && field.selection_set.node.items.is_empty()
    }

    /// Whether an operation of the document has this variable.
    fn is_declared(&self, name: &Name) -> bool {
        let mut operations = self.document.operations.iter();
        operations.any(|(_, operation)| {
            let mut definitions = operation.node.variable_definitions.iter();
            definitions.any(|definition| definition.node.name.node == *name)
        })
    }

    /// How often what is in this field may appear: `first` or `last`, for a list; as often as there are `ids`, for objects that
    /// are asked for by them.
    fn length(&mut self, field: &Field) -> u64 {
        let name = field.name.node.as_str();
        if name == BY_IDS
            && let Some(ids) = field.get_argument("ids")
        {
            self.has_variable_lengths |= matches!(ids.node, Value::Variable(_));
            return self.length_of_list(&ids.node);
        }
        // Most fields have nothing in them that could appear more than once.
        if field.selection_set.node.items.is_empty() {
            return 1;
        }
        // By reference: a variable may be as long as a request.
        let given = |name: &Name| match self.variables.get(name) {
            Some(Const::Number(number)) => number.as_u64(),
            _ => None,
        };
        let size = |argument| {
            field.get_argument(argument).map(|size| match &size.node {
                Value::Number(number) => number.as_u64(),
                Value::Variable(name) => given(name),
                _ => None,
            })
        };
        let sizes = [size("first"), size("last")];
        self.has_variable_lengths |= ["first", "last"].into_iter().any(|argument| {
            let size = field.get_argument(argument);
            size.is_some_and(|size| matches!(size.node, Value::Variable(_)))
        });
        // What it may be at most where it cannot be known; the larger one, where both ways are named and one is null.
        let most = |size: Option<u64>| size.unwrap_or(MAX_SIZE.unsigned_abs().into());
        match sizes.into_iter().flatten().map(most).max() {
            Some(size) => size.max(1),
            // As many as there are entries, of which nothing is known here.
            None if name == IMPORTS => MAX_SIZE.unsigned_abs().into(),
            None if LISTS.contains(&name) => DEFAULT_SIZE.unsigned_abs().into(),
            None => 1,
        }
    }

    /// How many entries a list has that is an argument; one value stands for a list of one.
    fn length_of_list(&self, list: &Value) -> u64 {
        let length = match list {
            Value::List(entries) => entries.len(),
            Value::Variable(name) => match self.variables.get(name) {
                Some(Const::List(entries)) => entries.len(),
                Some(_) => 1,
                // Its default, which is no longer than the document.
                None => MAX_SIZE.unsigned_abs() as usize,
            },
            _ => 1,
        };
        (length as u64).max(1)
    }

    /// What a fragment comes to wherever it is spread.
    pub(super) fn fragment(&mut self, name: &Name) -> Result<Sum, LimitError> {
        if let Some(known) = self.fragments.get(name) {
            return Ok(*known);
        }
        if self.stack.contains(name) {
            return Err(LimitError::FragmentCycle);
        }
        let document = self.document;
        // A spread of nothing is for validation to refuse.
        let Some(fragment) = document.fragments.get(name) else {
            self.has_unknown_spreads = true;
            return Ok(Sum::default());
        };
        self.stack.push(name.clone());
        let mut sum = self.selection_set(&fragment.node.selection_set.node)?;
        sum.directives = sum
            .directives
            .saturating_add(Self::directives(&fragment.node.directives)?);
        self.stack.pop();
        self.fragments.insert(name.clone(), sum);
        Ok(sum)
    }

    /// How many there are, where they can be let through.
    pub(super) fn directives(directives: &[Positioned<Directive>]) -> Result<u64, LimitError> {
        for directive in directives {
            let mut names = Vec::new();
            for (_, argument) in &directive.node.arguments {
                variables_in(&argument.node, &mut names);
                if names.len() > 1 {
                    return Err(too_much(QueryLimit::DirectiveVariables, 1, names.len()));
                }
                literal(&argument.node)?;
            }
        }
        Ok(directives.len() as u64)
    }
}

/// Refuses a decimal that was written into the document: parsed, it has lost its last zeros already.
pub(super) fn constant(value: &Const) -> Result<(), LimitError> {
    match value {
        Const::Number(number) if number.is_f64() => Err(LimitError::InlineDecimal),
        Const::List(items) => items.iter().try_for_each(constant),
        Const::Object(members) => members.values().try_for_each(constant),
        _ => Ok(()),
    }
}

/// The same of a value that may hold variables; those are no part of the document.
fn literal(value: &Value) -> Result<(), LimitError> {
    match value {
        Value::Number(number) if number.is_f64() => Err(LimitError::InlineDecimal),
        Value::List(items) => items.iter().try_for_each(literal),
        Value::Object(members) => members.values().try_for_each(literal),
        _ => Ok(()),
    }
}
