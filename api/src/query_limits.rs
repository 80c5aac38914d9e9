//! What a document may cost, counted before anything of it runs.
//!
//! async-graphql walks a fragment anew wherever it is spread, so 1 KiB of text can keep it busy for
//! half a minute (`docs/threat-model.md`, T1). Here every fragment is counted once and its sum reused:
//! the walk is linear in the document, and sums saturate.

mod counter;
mod merging;
mod timer;
mod width;

use async_graphql::{
    Variables,
    parser::types::{ExecutableDocument, OperationDefinition, OperationType},
};

use self::counter::{CostCounter, Sum, constant, json_length};
use self::merging::{ConflictingFields, FieldMerger};
pub(crate) use self::timer::CheckTimer;
use crate::{
    codes::{Excess, QueryLimit},
    limits::MAX_BODY,
};

/// The field that answers with a list of its own, of at most 100 entries (`crate::records::import`). It is counted by
/// its own name: what the entries are called, `results`, other lists are called, too.
const IMPORTS: &str = "importRecords";

/// The field that answers with as many objects as it is given IDs. Pages have `nodes`, too, but no `ids`.
const BY_IDS: &str = "nodes";

/// The fields that are pages of a list. A test holds them against the schema.
const LISTS: [&str; 28] = [
    "users",
    "roleProposals",
    "mySessions",
    "medicalRecords",
    "history",
    "consents",
    "whoHasAccess",
    "consentHistory",
    "consentsGivenToMe",
    "patients",
    "doctors",
    "organizations",
    "organizationMembers",
    "auditLogs",
    "myAccessLog",
    "myAccessLogByDay",
    "accessLog",
    "dataDeletionRequests",
    "deletionQueue",
    "legalHolds",
    "records",
    "myWallets",
    "myBreakGlassWindows",
    "breakGlassReviews",
    "notifications",
    "myRepresentatives",
    "peopleIRepresent",
    "representativeProposals",
];

/// What one document may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryLimits {
    /// Unit: bytes.
    pub(crate) document_bytes: usize,
    /// Brackets within brackets, so that parsing needs little stack.
    pub(crate) nesting: usize,
    /// Fields, after fragments are spread.
    pub(crate) nodes: u64,
    /// Fields within fields.
    pub(crate) depth: u64,
    /// Renamed fields.
    pub(crate) aliases: u64,
    /// Directives, wherever they stand.
    pub(crate) directives: u64,
    /// Named operations and fragments.
    pub(crate) definitions: usize,
    /// Fields of the answer: each field as often as the lists around it are long.
    pub(crate) cost: u64,
    /// Variables where they are used: each as long as it is, as often as it stands in a field that is run or in a
    /// fragment. async-graphql copies them there: 16 KiB of `[$v$v…]` around a text of 2 MiB, or a field that is
    /// spread five hundred times, would be thousands of millions of bytes. Unit: bytes.
    pub(crate) variable_bytes: u64,
    /// Whether the schema may be asked for.
    pub(crate) introspection: bool,
}

impl QueryLimits {
    /// The limits, with room for GraphiQL's introspection query where that is answered.
    pub(crate) const fn new(introspection: bool) -> Self {
        Self {
            document_bytes: 16 * 1024,
            nesting: 64,
            nodes: 1000,
            depth: if introspection { 16 } else { 10 },
            aliases: 15,
            directives: 20,
            definitions: 64,
            cost: 20_000,
            variable_bytes: 2 * MAX_BODY as u64,
            introspection,
        }
    }
}

/// Why a document is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitError {
    /// Too long, too deep, too wide.
    #[error("the document has more than {} {}", .0.allowed, .0.limit.words())]
    TooMuch(Excess),
    /// A fragment that contains itself.
    #[error("a fragment spreads itself")]
    FragmentCycle,
    /// A number with a decimal point written into the document.
    #[error("send decimals in variables: written into a query they lose their digits")]
    InlineDecimal,
    /// `__typename` with what it does not have. async-graphql does not look at it.
    #[error(
        "`__typename` has no arguments and no fields, and no directives but @include and @skip"
    )]
    TypeName,
    /// A subscription to more than one thing, or to none (GraphQL, 5.2.4.1).
    #[error("a subscription has one root field: send a second one besides")]
    ManyRootFields,
    /// Two fields of which an answer would have to hold one by the name of the other (GraphQL, 5.3.2).
    #[error(
        "fields that answer by one name are one field with the same arguments: give others an alias"
    )]
    FieldConflict,
    /// A mutation that stands in several places. async-graphql would carry it out as often, and answer as if it had been once.
    #[error(
        "a mutation stands in one place: select all of its fields there, or give another one an alias"
    )]
    RepeatedMutation,
    /// `__schema` or `__type`, where they are not answered.
    #[error("introspection is switched off here: take the schema from its file, schema.graphql")]
    Introspection,
    /// There is no operation of that name, or more than one and no name.
    #[error("say which operation to run: operationName names none of the document's")]
    NoSuchOperation,
}

/// Refuses text that is too long or too deeply nested to be parsed safely.
///
/// # Errors
/// [`LimitError::TooMuch`].
pub(crate) fn check_text(query: &str, limits: &QueryLimits) -> Result<(), LimitError> {
    if query.len() > limits.document_bytes {
        return Err(too_much(
            QueryLimit::DocumentBytes,
            limits.document_bytes,
            query.len(),
        ));
    }
    let mut depth = 0_usize;
    for byte in query.bytes() {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits.nesting {
            return Err(too_much(QueryLimit::Nesting, limits.nesting, depth));
        }
    }
    Ok(())
}

/// Refuses a long text that is too wide to be worth parsing: by the same limits as [`check`], and nothing that this would let
/// through.
///
/// # Errors
/// [`LimitError::TooMuch`].
pub(crate) fn check_width(query: &str, limits: &QueryLimits) -> Result<(), LimitError> {
    width::check(query, limits)
}

/// The fields for which a record is opened.
const OPENS: [&str; 5] = ["document", "canonical", "summary", "reason", "verifyRecord"];
/// How much a field weighs that shows what a record says: it is decided on, written down, fetched, opened
/// and compared, which takes as long as some dozen fields of a row.
const CONTENT_WEIGHT: u64 = 25;
/// How much each object weighs that is asked for by its ID, besides what is asked of it: as much as a request for one is
/// charged at the least. Each is decided on and written down by itself, whatever little is shown of it.
const BY_ID_WEIGHT: u64 = 10;
/// The fields that show an object of which something else has the ID: a record that an event or an entry of a log is about, and a
/// consent that decided. Of a mutation they are what it wrote, and weigh as other fields do.
const REFERRED: [&str; 2] = ["record", "consent"];
/// The list of such records. Elsewhere it is the name of a number.
const REFERRED_LIST: &str = "records";
/// How much a list weighs whose rows are grouped: thousands of rows are read for a page, however short it is.
const GROUPED_WEIGHT: u64 = 2000;
/// The list whose rows are always grouped.
const GROUPED: &str = "myAccessLogByDay";
/// The fields for which more is decided, or looked through, than is shown.
const LOOKS_THROUGH: [&str; 5] = [
    "whoHasAccess",
    "previewConsent",
    "consentsGivenToMe",
    "patients",
    "doctors",
];
/// How much such a field weighs: many decisions, or an index of everybody's. It also bounds how many names of
/// doctors an account is told in a minute.
const LOOK_WEIGHT: u64 = 500;
/// How much a field of a mutation weighs: a transaction, its audit rows, and the wait for the disk.
const MUTATION_WEIGHT: u64 = 50;

/// What a document that is let through would run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The kind of the operation.
    pub(crate) kind: OperationType,
    /// What it weighs with the processes' time: fields of the answer, of which some count more.
    pub(crate) weight: u64,
}

/// What a document was counted to that does not depend on its variables, so that it need not be counted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FixedCount {
    weight: u64,
    variable_uses: u64,
}

impl FixedCount {
    /// Whether a count with these variables could exceed no limit: not even if each were as long as the longest.
    fn holds_for(self, variables: &Variables, limits: &QueryLimits) -> bool {
        let longest = || variables.values().map(json_length).max().unwrap_or(0);
        self.variable_uses == 0
            || self.variable_uses.saturating_mul(longest()) <= limits.variable_bytes
    }
}

/// Counts a parsed document, or takes what it was counted to before where that holds for these variables. Gives the operation that
/// would run, and what is to be kept for the next time: nothing where the length of a list is a variable.
///
/// # Errors
/// [`LimitError`].
pub(crate) fn count(
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    variables: &Variables,
    limits: &QueryLimits,
    before: Option<FixedCount>,
) -> Result<(Counted, Option<FixedCount>), LimitError> {
    let before = before.filter(|fixed| fixed.holds_for(variables, limits));
    let (weight, fixed) = match before {
        Some(fixed) => (fixed.weight, before),
        None => walk(document, variables, limits)?,
    };
    let chosen = chosen(document, operation_name).ok_or(LimitError::NoSuchOperation)?;
    let counted = Counted {
        kind: chosen.ty,
        weight,
    };
    Ok((counted, fixed))
}

/// Counts a parsed document and gives the operation that would run.
///
/// # Errors
/// [`LimitError`].
pub(crate) fn check(
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    variables: &Variables,
    limits: &QueryLimits,
) -> Result<Counted, LimitError> {
    count(document, operation_name, variables, limits, None).map(|(counted, _)| counted)
}

/// Counts a whole document: what it weighs, and what of that holds with other variables, too.
fn walk(
    document: &ExecutableDocument,
    variables: &Variables,
    limits: &QueryLimits,
) -> Result<(u64, Option<FixedCount>), LimitError> {
    let definitions = document.operations.iter().count() + document.fragments.len();
    if definitions > limits.definitions {
        return Err(too_much(
            QueryLimit::Definitions,
            limits.definitions,
            definitions,
        ));
    }
    let mut cost = CostCounter::new(document, variables, limits);
    let mut merger = FieldMerger::new(document);
    // Every operation is counted, also those that will not run: all of them are validated.
    let mut total = Sum::default();
    let mut weight = 0_u64;
    for (_, operation) in document.operations.iter() {
        let mut sum = cost.selection_set(&operation.node.selection_set.node)?;
        if operation.node.ty == OperationType::Subscription && sum.roots != 1 {
            return Err(LimitError::ManyRootFields);
        }
        sum.directives += CostCounter::directives(&operation.node.directives)?;
        for variable in &operation.node.variable_definitions {
            sum.directives += CostCounter::directives(&variable.node.directives)?;
            if let Some(default) = &variable.node.default_value {
                constant(&default.node)?;
            }
        }
        // All of them are validated, so all of them are paid for.
        weight = weight.saturating_add(sum.weight);
        let more = match operation.node.ty {
            OperationType::Mutation => sum.roots.saturating_mul(MUTATION_WEIGHT),
            OperationType::Query | OperationType::Subscription => {
                sum.referred.saturating_mul(BY_ID_WEIGHT)
            }
        };
        weight = weight.saturating_add(more);
        total = total.beside(sum);
        // Before more is done with it than was counted.
        total.check(limits)?;
        // Validation refuses it. Thousands of such spreads, each counted as no field, would be walked below each field.
        if cost.has_unknown_spreads() {
            continue;
        }
        let names = merger
            .compare(&operation.node.selection_set.node)
            .map_err(|ConflictingFields| LimitError::FieldConflict)?;
        let mutations = sum.roots.saturating_sub(sum.type_names);
        if operation.node.ty == OperationType::Mutation && mutations != names as u64 {
            return Err(LimitError::RepeatedMutation);
        }
    }
    for name in document.fragments.keys() {
        // Validated once more by itself, whether anything spreads it or not.
        let copied = cost.fragment(name)?;
        total.variable_bytes = total.variable_bytes.saturating_add(copied.variable_bytes);
        total.variable_uses = total.variable_uses.saturating_add(copied.variable_uses);
    }
    total.check(limits)?;
    let fixed = FixedCount {
        weight,
        variable_uses: total.variable_uses,
    };
    Ok((weight, (!cost.has_variable_lengths()).then_some(fixed)))
}

/// The operation that would run: the one of this name, or the only one.
pub(crate) fn chosen<'a>(
    document: &'a ExecutableDocument,
    operation_name: Option<&str>,
) -> Option<&'a OperationDefinition> {
    let mut operations = document.operations.iter();
    let chosen = match operation_name {
        Some(name) => operations.find(|(known, _)| known.is_some_and(|known| known == name)),
        None => operations.next().filter(|_| operations.next().is_none()),
    };
    chosen.map(|(_, operation)| &operation.node)
}

fn too_much(limit: QueryLimit, allowed: usize, counted: usize) -> LimitError {
    LimitError::TooMuch(Excess {
        limit,
        allowed: allowed as u64,
        counted: counted as u64,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::{collections::BTreeSet, fmt::Write as _};

    use async_graphql::parser::{
        parse_query,
        types::{BaseType, TypeKind, TypeSystemDefinition},
    };

    use super::*;

    /// A page that the query limits do not know is counted as one node.
    #[test]
    fn the_pages_of_the_schema_are_the_lists_that_are_counted() {
        let sdl = async_graphql::parser::parse_schema(crate::schema::sdl()).unwrap();
        let mut pages = BTreeSet::new();
        for definition in sdl.definitions {
            let TypeSystemDefinition::Type(of) = definition else {
                continue;
            };
            let TypeKind::Object(object) = of.node.kind else {
                continue;
            };
            for field in object.fields {
                if let BaseType::Named(name) = &field.node.ty.node.base
                    && name.ends_with("Connection")
                {
                    let has = |wanted: &str| {
                        let mut arguments = field.node.arguments.iter();
                        arguments.any(|argument| argument.node.name.node == wanted)
                    };
                    assert!(has("first"), "{}: a page has a size", field.node.name.node);
                    pages.insert(field.node.name.node.to_string());
                }
            }
        }
        assert_eq!(pages, LISTS.map(str::to_owned).into());
    }

    fn judge(query: &str) -> Result<Counted, LimitError> {
        let limits = QueryLimits::new(false);
        check_text(query, &limits)?;
        check(
            &parse_query(query).unwrap(),
            None,
            &Variables::default(),
            &limits,
        )
    }

    fn refused(query: &str) -> &'static str {
        match judge(query) {
            Err(LimitError::TooMuch(excess)) => excess.limit.as_str(),
            Err(LimitError::FragmentCycle) => "cycle",
            Err(LimitError::InlineDecimal) => "decimal",
            Err(LimitError::TypeName) => "__typename",
            Err(LimitError::ManyRootFields) => "root fields",
            Err(LimitError::FieldConflict) => "conflict",
            Err(LimitError::RepeatedMutation) => "repeated",
            Err(LimitError::Introspection) => "introspection",
            Err(LimitError::NoSuchOperation) => "operation",
            Ok(_) => "nothing",
        }
    }

    #[test]
    fn an_ordinary_page_passes() {
        let query = "query { medicalRecords(first: 20) { nodes { id patient { username } anchor { state } } } }";
        let counted = Counted {
            kind: OperationType::Query,
            weight: 121,
        };
        assert_eq!(judge(query), Ok(counted));
    }

    #[test]
    fn content_and_mutations_weigh_more() {
        let weight = |query| judge(query).map(|counted| counted.weight);

        let fields = "{ medicalRecords(first: 100) { nodes { id } } }";
        assert_eq!(weight(fields), Ok(201));
        assert_eq!(weight("{ medicalRecords(first: 100) }"), Ok(1));
        let mutations = "mutation { ...g } fragment g on M { a: logOut { success } ...f } fragment f on M { b: logOut { success } c: logOut { success } }";
        assert_eq!(weight(mutations), Ok(3 * (2 + MUTATION_WEIGHT)));
        let grouped = "{ myAccessLog(first: 1, grouped: true) { nodes { id } } }";
        assert_eq!(weight(grouped), Ok(GROUPED_WEIGHT + 2));
        let by_day = "{ myAccessLogByDay(first: 1) { nodes { day } } }";
        assert_eq!(weight(by_day), Ok(GROUPED_WEIGHT + 2));
        let single = "{ myAccessLog(first: 1, grouped: false) { nodes { id } } }";
        assert_eq!(weight(single), Ok(3));
        let documents = "{ medicalRecords(first: 100) { nodes { document } } }";
        assert_eq!(weight(documents), Ok(1 + 100 * (1 + CONTENT_WEIGHT)));
        let mutation = "mutation { a: logOut { endedSessions } b: logOut { endedSessions } }";
        assert_eq!(weight(mutation), Ok(4 + 2 * MUTATION_WEIGHT));
    }

    #[test]
    fn what_a_log_refers_to_weighs_as_what_is_asked_for_by_its_id() {
        let weight = |query| judge(query).map(|counted| counted.weight);

        let entries = "{ myAccessLog(first: 100) { nodes { record { id } consent { id } } } }";
        assert_eq!(weight(entries), Ok(1 + 100 * (5 + 2 * BY_ID_WEIGHT)));
        let spread = "{ ...f } fragment f on Q { myAccessLog(first: 100) { nodes { record { id } consent { id } } } }";
        assert_eq!(weight(spread), weight(entries));
        let held = "{ legalHolds(first: 10) { nodes { records(first: 50) { nodes { id } } } } }";
        assert_eq!(weight(held), Ok(1 + 10 * (2 + 50 * (2 + BY_ID_WEIGHT))));
        let numbers = "{ myAccessLog(first: 100) { nodes { records } } }";
        assert_eq!(weight(numbers), Ok(1 + 100 * 2));
        let event = "subscription { recordUpdated { change record { id } } }";
        assert_eq!(weight(event), Ok(4 + BY_ID_WEIGHT));
        let written = "mutation { createMedicalRecord { record { id } } }";
        assert_eq!(weight(written), Ok(3 + MUTATION_WEIGHT));
    }

    #[test]
    fn an_import_has_a_hundred_answers_and_a_laboratory_result_has_what_it_has() {
        let weight = |query| judge(query).map(|counted| counted.weight);

        let imported = "mutation { a: importRecords { results { id } } }";
        assert_eq!(weight(imported), Ok(1 + 100 * 2 + MUTATION_WEIGHT));
        let spread = "mutation { importRecords { ...f } } fragment f on P { results { id } }";
        assert_eq!(weight(spread), weight(imported));
        let results = "{ medicalRecord { summary { results { value } } } }";
        assert_eq!(weight(results), Ok(1 + CONTENT_WEIGHT + 2));

        let fields = "a ".repeat(250);
        let imported = format!("mutation {{ importRecords {{ results {{ {fields} }} }} }}");
        assert_eq!(refused(&imported), "COST");
        let results = format!("{{ medicalRecord {{ summary {{ results {{ {fields} }} }} }} }}");
        assert_eq!(refused(&results), "nothing");
    }

    #[test]
    fn objects_are_counted_by_their_ids_and_pages_by_both_ways() {
        let weight = |query, variables: serde_json::Value| {
            let limits = QueryLimits::new(false);
            let variables = Variables::from_json(variables);
            let counted = check(&parse_query(query).unwrap(), None, &variables, &limits);
            counted.map(|counted| counted.weight)
        };
        let none = || serde_json::json!({});

        let fields = r#"{ nodes(ids: ["a", "b", "c"]) { nodeId ... on R { document } } }"#;
        let content = 1 + CONTENT_WEIGHT;
        assert_eq!(weight(fields, none()), Ok(3 * (BY_ID_WEIGHT + content)));
        let given = "query($ids: [ID!]!) { nodes(ids: $ids) { nodeId } }";
        let ids = serde_json::json!({ "ids": ["a", "b"] });
        assert_eq!(weight(given, ids), Ok(2 * (BY_ID_WEIGHT + 1)));
        assert_eq!(weight(given, none()), Ok(100 * (BY_ID_WEIGHT + 1)));
        let last = "{ consents(last: 7) { nodes { id } } }";
        assert_eq!(weight(last, none()), Ok(1 + 7 * 2));
        let both = "query($n: Int) { consents(first: $n, last: 7) { nodes { id } } }";
        assert_eq!(weight(both, none()), Ok(1 + 100 * 2));
        let plain = "{ consents { nodes { id } } }";
        assert_eq!(weight(plain, none()), Ok(1 + 20 * 2));
    }

    /// What is kept of a count gives what a new count gives, for short variables and for long ones.
    #[test]
    fn a_document_that_was_counted_is_counted_alike_with_other_variables() {
        let limits = QueryLimits::new(false);
        let short = serde_json::json!({ "v": "x", "n": 3, "ids": ["a"] });
        let long = serde_json::json!({ "v": "x".repeat(1_900_000), "n": 90, "ids": vec!["a"; 90] });
        let kept = [
            "{ me { id } }",
            "query($v: JSON) { a(b: $v) }",
            "query($v: JSON) { a(b: $v) c(b: $v) d(b: $v) }",
            "query($v: JSON) { users(first: 9) { nodes { a(b: $v) } } }",
            "query($v: JSON) { ...f } fragment f on Q { a(b: [$v, $v]) }",
        ];
        let counted_anew = [
            "query($n: Int) { users(first: $n) { nodes { id } } }",
            "query($n: Int) { users(last: $n) { nodes { id } } }",
            "query($ids: [ID!]!) { nodes(ids: $ids) { id } }",
        ];
        for text in kept.iter().chain(&counted_anew) {
            let document = parse_query(text).unwrap();
            let with = |variables: &serde_json::Value, before| {
                let variables = Variables::from_json(variables.clone());
                count(&document, None, &variables, &limits, before)
            };
            let (_, fixed) = with(&short, None).unwrap();

            assert_eq!(fixed.is_some(), kept.contains(text), "{text}");
            for variables in [&short, &long] {
                assert_eq!(with(variables, fixed), with(variables, None));
            }
        }
    }

    #[test]
    fn a_document_that_was_counted_still_needs_the_name_of_its_operation() {
        let document = parse_query("query A { a } mutation B { b }").unwrap();
        let (limits, none) = (QueryLimits::new(false), Variables::default());
        let (_, fixed) = count(&document, Some("A"), &none, &limits, None).unwrap();

        let kind = |name| {
            let counted = count(&document, name, &none, &limits, fixed);
            counted.map(|(counted, _)| counted.kind)
        };
        assert_eq!(kind(Some("B")), Ok(OperationType::Mutation));
        assert_eq!(kind(None), Err(LimitError::NoSuchOperation));
    }

    #[test]
    fn a_fragment_bomb_is_counted_in_no_time() {
        let mut bomb = "query { ...F0 }".to_owned();
        for level in 0..60 {
            write!(
                bomb,
                " fragment F{level} on Query {{ ...F{next} ...F{next} }}",
                next = level + 1
            )
            .unwrap();
        }
        bomb.push_str(" fragment F60 on Query { me { id } }");
        assert_eq!(refused(&bomb), "FIELDS");
    }

    #[test]
    fn each_limit_has_its_name_and_says_what_was_counted() {
        use QueryLimit::{
            Aliases, Cost, Definitions, DirectiveVariables, Directives, DocumentBytes, Fields,
            Levels, Nesting, VariableBytes,
        };
        let many = |unit: &str, times: usize| unit.repeat(times);
        let (mut aliases, mut definitions) = (String::new(), String::new());
        for n in 0..16 {
            write!(aliases, "a{n}: me {{ id }} ").unwrap();
        }
        for n in 0..65 {
            write!(definitions, "query q{n} {{ a }} ").unwrap();
        }
        let directives = many("@include(if: true) ", 21);
        let deep = |times| format!("{}{{x}}{}", many("{a", times), many("}", times));
        let pages =
            "{ users(first: 100) { nodes { id } medicalRecords(first: 100) { nodes { a b c } } } }";
        let answer = 1 + 100 * (2 + 1 + 100 * 4);
        let list = format!("query($v: JSON) {{ a(b: [{}]) }}", many("$v ", 3000));
        let table = [
            (
                format!("{{ {} }}", many("a ", 9000)),
                DocumentBytes,
                16_384,
                18_004,
            ),
            (deep(70), Nesting, 64, 65),
            (definitions, Definitions, 64, 65),
            (format!("{{ {} }}", many("a ", 1002)), Fields, 1000, 1001),
            (deep(10), Levels, 10, 11),
            (format!("{{ {aliases} }}"), Aliases, 15, 16),
            (
                format!("{{ me {directives} {{ id }} }}"),
                Directives,
                20,
                21,
            ),
            (pages.to_owned(), Cost, 20_000, answer),
            // Each variable with its quotation marks.
            (list, VariableBytes, 2 * MAX_BODY as u64, 3000 * 2002),
            (
                "{ a @skip(if: [$v $v]) }".to_owned(),
                DirectiveVariables,
                1,
                2,
            ),
        ];

        let variables = Variables::from_json(serde_json::json!({ "v": "x".repeat(2000) }));
        let limits = QueryLimits::new(false);
        for (query, limit, allowed, counted) in table {
            let judged = check_text(&query, &limits)
                .and_then(|()| check(&parse_query(&query).unwrap(), None, &variables, &limits));
            let excess = Excess {
                limit,
                allowed,
                counted,
            };
            assert_eq!(judged, Err(LimitError::TooMuch(excess)));
            let said = format!("the document has more than {allowed} {}", limit.words());
            assert_eq!(LimitError::TooMuch(excess).to_string(), said);
        }
    }

    #[test]
    fn what_is_refused_and_not_counted_has_its_name() {
        for (query, why) in [
            (
                "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
                "cycle",
            ),
            ("{ f(a: [{ b: 1.10 }]) }", "decimal"),
            ("query A { me { id } } query B { me { id } }", "operation"),
        ] {
            assert_eq!(refused(query), why);
        }
    }

    #[test]
    fn a_type_name_is_asked_for_as_any_field() {
        for query in [
            "{ __typename @unknown }",
            "{ __typename @include }",
            "{ __typename @include(iff: true) }",
            "{ __typename @include(if: \"true\") }",
            "{ __typename @include(if: $none) }",
            "{ __typename @skip(if: true) @skip(if: true) }",
            "{ __typename(a: 1) }",
            "{ __typename { a } }",
            "{ me { ... { a: __typename @deprecated } } }",
        ] {
            assert_eq!(refused(query), "__typename", "{query}");
        }
        let plain =
            "query ($a: Boolean!) { __typename a: __typename @include(if: $a) @skip(if: false) }";
        assert_eq!(refused(plain), "nothing");
    }

    #[test]
    fn a_subscription_has_one_root_field() {
        assert_eq!(
            refused("subscription { ...F } fragment F on Subscription { e { a b } }"),
            "nothing"
        );
        for query in [
            "subscription { e { a } f: e { a } }",
            "subscription { e { a } ...F } fragment F on Subscription { e { a } }",
            "subscription { ... { e { a } e { a } } }",
        ] {
            assert_eq!(refused(query), "root fields");
        }
    }

    #[test]
    fn a_mutation_stands_in_one_place() {
        for query in [
            "mutation { logOut { a } logOut { b } }",
            "mutation { logOut { a } ...f } fragment f on M { logOut { a } }",
            "mutation { ...f ...f } fragment f on M { logOut { a } }",
        ] {
            assert_eq!(refused(query), "repeated", "{query}");
        }
        let other = "mutation { a(b: 1) { c } ...f } fragment f on M { a(b: 2) { c } }";
        assert_eq!(refused(other), "conflict");
        assert_eq!(
            refused("mutation { a: logOut { b b } c: logOut { b } }"),
            "nothing"
        );
        let typed =
            "mutation { __typename ...f logOut { a } __typename } fragment f on M { __typename }";
        assert_eq!(refused(typed), "nothing");
        assert_eq!(
            refused("{ me { a } ...f } fragment f on Q { me { b } }"),
            "nothing"
        );
    }

    #[test]
    fn introspection_is_refused_where_it_is_off_wherever_it_stands() {
        for query in [
            "{ __schema { queryType { name } } }",
            "{ a: __type(name: \"User\") { name } }",
            "{ me { id } ...F } fragment F on Query { ... { __schema { types { name } } } }",
        ] {
            assert_eq!(refused(query), "introspection");
            let limits = QueryLimits::new(true);
            let document = parse_query(query).unwrap();
            check(&document, None, &Variables::default(), &limits).unwrap();
        }
        assert_eq!(refused("{ __typename me { __typename } }"), "nothing");
    }

    #[test]
    fn an_unused_fragment_bomb_is_counted_too() {
        let fields = "a ".repeat(1001);
        assert_eq!(
            refused(&format!(
                "{{ me {{ id }} }} fragment F on Query {{ {fields} }}"
            )),
            "FIELDS"
        );
    }

    #[test]
    fn long_variables_are_copied_so_often_and_no_oftener() {
        let often = "$v ".repeat(4000);
        let spread = "...h ".repeat(400);
        let list = format!("query($v: JSON) {{ a(b: [{often}]) }}");
        let fragments = format!(
            "query($v: JSON) {{ ...g }} fragment g on Q {{ {spread} }} fragment h on Q {{ a(b: $v) }}"
        );
        let unused = format!("query($v: JSON) {{ a }} fragment g on Q {{ a(b: [{often}]) }}");
        let nested = "query($v: JSON) { medicalRecords(first: 100) { nodes { a(b: $v) } } }";
        let directive = format!("query($v: JSON) {{ a @skip(if: [{often}]) }}");
        let once = "query($v: JSON) { a(b: $v) }";
        let inlined = "query($v: JSON) { ...f } fragment f on Q { a(b: { c: $v }) }";
        let (long, short) = ("x".repeat(1_900_000), "x".repeat(10));
        for (document, value, fits) in [
            (list.as_str(), &long, false),
            (list.as_str(), &short, true),
            (&fragments, &long, false),
            (&fragments, &short, true),
            (&unused, &long, false),
            (nested, &long, false),
            (nested, &short, true),
            (&directive, &short, false),
            (once, &long, true),
            (inlined, &long, true),
        ] {
            let document = parse_query(document).unwrap();
            let variables = Variables::from_json(serde_json::json!({ "v": value }));
            let counted = check(&document, None, &variables, &QueryLimits::new(false));
            assert_eq!(counted.is_ok(), fits, "{counted:?}");
        }
    }
}
