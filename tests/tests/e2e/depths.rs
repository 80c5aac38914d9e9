//! What nests in the pages of the schema, down to the greatest depth that a document may have: no statement is run for each node.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{Person, Wiretap, World, documents, id};

use super::connections::{Filled, PLACES, Place};
use super::database::{Schema, statements};

/// How long the pages are that are compared.
const LENGTHS: [usize; 3] = [1, 5, 20];
/// Of how many nodes there are at least as many.
const LEAST: usize = 3;
/// How many levels of fields a document may have where the schema is not told (`query_limits`).
const LEVELS: usize = 10;
/// How often a type may stand on a path: of the versions of a record all is asked that is asked of the record.
const TIMES: usize = 2;
/// How often a page is asked for until a statement is believed to be run for each of its nodes.
const TRIES: usize = 5;
/// The content of a record is disclosed, and weighs, by itself.
const CONTENT: &str = "summary";
/// What stands around statements: what is done for each node has a statement of its own.
const AROUND: [&str; 4] = ["BEGIN", "COMMIT", "ROLLBACK", "SET "];
/// What was verified, besides its history.
const VERIFIED: Place = Place(
    "MedicalRecord.accessLog",
    r#"verifyRecord(id: "$RECORD") { record { accessLog(first: $first) { NODES } } }"#,
    "/verifyRecord/record/accessLog",
    "ana",
);

/// A field that holds objects, and those that are asked of them.
#[derive(Clone)]
struct NestedField {
    written: String,
    inner: Vec<NestedField>,
}

impl NestedField {
    /// The field with all that is in it, as a document has it.
    fn document(&self) -> String {
        let inner: Vec<String> = self.inner.iter().map(Self::document).collect();
        format!("{} {{ __typename {} }}", self.written, inner.join(" "))
    }

    /// The same in parts that ask for less each; none where there is one path alone.
    fn parts(&self) -> Vec<Self> {
        let inner = match &self.inner[..] {
            [] => Vec::new(),
            [one] => one.parts(),
            several => several.to_vec(),
        };
        let within = inner.into_iter().map(|inner| Self {
            written: self.written.clone(),
            inner: vec![inner],
        });
        within.collect()
    }

    /// Every path that begins with the field, as a document has it: each after the one that it goes on from.
    fn paths(&self) -> Vec<String> {
        let mut paths = vec![format!("{} {{ __typename }}", self.written)];
        for inner in &self.inner {
            let deeper = inner.paths().into_iter();
            paths.extend(deeper.map(|path| format!("{} {{ {path} }}", self.written)));
        }
        paths
    }
}

/// Every field of the last type of a path that holds objects, with all that is in them on the levels that are left. The pages have
/// this length, and those in them one node.
fn beneath(schema: &Schema, path: &[String], levels: usize, length: usize) -> Vec<NestedField> {
    let of = path.last().expect("a path begins with a type");
    let mut found = Vec::new();
    for (name, kind) in schema.objects(of) {
        let is_page = kind.ends_with("Connection");
        let (steps, kind) = if is_page {
            (2, schema.nodes_of(&format!("{of}.{name}")))
        } else {
            (1, kind)
        };
        // On the level below stands the name of the type, at the least.
        if name == CONTENT || levels <= steps {
            continue;
        }
        let times = path.iter().filter(|it| **it == kind).count();
        let inner = if times < TIMES {
            let longer = [path.to_vec(), vec![kind]].concat();
            let within = if is_page { 1 } else { length };
            beneath(schema, &longer, levels - steps, within)
        } else {
            Vec::new()
        };
        if is_page {
            let written = "nodes".to_owned();
            let nodes = NestedField { written, inner };
            found.push(NestedField {
                written: format!("{name}(first: {length})"),
                inner: vec![nodes],
            });
        } else {
            let written = name;
            found.push(NestedField { written, inner });
        }
    }
    found
}

/// Whether a statement is run for each of the nodes, or every third, that the longest page has more of than each shorter one. What
/// only a longer page shows, such as a consent, and what is asked for a moment later than the rest, is a statement or two more,
/// however many nodes need it.
fn grows(counts: [usize; 3], nodes: [usize; 3]) -> bool {
    let mut shorter = [0, 1].into_iter().filter(|nth| nodes[*nth] < nodes[2]);
    shorter.all(|nth| {
        let more = nodes[2] - nodes[nth];
        counts[2] >= counts[nth] + more.div_ceil(3).max(more.min(2))
    })
}

/// The statements that a query runs the more often the longer the page is, each time that it is asked, and how often for which.
async fn grown(
    tap: (&Wiretap, &[String]),
    person: &Person,
    query: &str,
    nodes: [usize; 3],
) -> BTreeMap<String, [usize; 3]> {
    let mut always: Option<BTreeMap<String, [usize; 3]>> = None;
    for _ in 0..TRIES {
        let mut heard: BTreeMap<String, [usize; 3]> = BTreeMap::new();
        for (nth, first) in LENGTHS.into_iter().enumerate() {
            for statement in statements(tap, person, query, first).await {
                heard.entry(statement).or_default()[nth] += 1;
            }
        }
        heard.retain(|statement, counts| {
            let is_around = AROUND.iter().any(|word| statement.starts_with(word));
            let always = always.as_ref();
            let grew_before = always.is_none_or(|always| always.contains_key(statement));
            !is_around && grew_before && grows(*counts, nodes)
        });
        if heard.is_empty() {
            return heard;
        }
        always = Some(heard);
    }
    always.unwrap_or_default()
}

/// As many records as the longest page has nodes, each of two versions at least, and read by somebody.
async fn has_more_records(ana: &Person, bo: &Person) {
    for _ in LEAST..LENGTHS[2] {
        let record = ana
            .creates(ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        let answer = ana
            .amends(&record, documents::vital_signs(), json!({}))
            .await;
        let current = id(&answer.data()["amendMedicalRecord"]["record"]);
        bo.reads(&current).await.data();
    }
}

/// As many versions of a record as the longest page has nodes.
async fn has_more_versions(ana: &Person, record: &str) {
    let query = "query L($id: UUID!) { medicalRecord(id: $id) { history(first: 1) { nodes { id version } } } }";
    for _ in LEAST..LENGTHS[2] {
        let answer = ana.asks(query, json!({ "id": record })).await;
        let current = &answer.data()["medicalRecord"]["history"]["nodes"][0];
        let answer = ana
            .amends(current, documents::vital_signs(), json!({}))
            .await;
        answer.data();
    }
}

/// Asks for all that nests in the nodes of a page, in as many documents as the limits ask for; says which path runs which statement
/// for each of the nodes.
async fn compared(
    tap: (&Wiretap, &[String]),
    person: &Person,
    schema: &Schema,
    (field, document, place): (&str, &str, &str),
) -> Option<String> {
    // The nodes of the page are a level, too.
    let levels = LEVELS - document.matches('{').count() - 1;
    let query = |selected: &str| {
        let nodes = format!("nodes {{ __typename {selected} }}");
        let document = document.replace("NODES", &nodes);
        format!("query L($first: Int!) {{ {document} }}")
    };
    let mut waiting = beneath(schema, &[schema.nodes_of(field)], levels, 2);
    while let Some(nested) = waiting.pop() {
        let all = query(&nested.document());
        let answer = person.asks(&all, json!({ "first": LENGTHS[2] })).await;
        if !answer.errors().is_empty() {
            let parts = nested.parts();
            if parts.is_empty() {
                return Some(format!("{field}: {all}: {:#?}", answer.errors()));
            }
            waiting.extend(parts);
            continue;
        }
        let shown = answer.data().pointer(&format!("{place}/nodes"));
        let shown = shown.and_then(Value::as_array).map_or(0, Vec::len);
        if shown < LEAST {
            return Some(format!("{field}: {shown} nodes of {all}"));
        }
        let nodes = LENGTHS.map(|length| length.min(shown));
        let of_all = grown(tap, person, &all, nodes).await;
        if of_all.is_empty() {
            continue;
        }
        for path in nested.paths() {
            let of_path = grown(tap, person, &query(&path), nodes).await;
            if !of_path.is_empty() {
                return Some(format!("{field}: {path}: {of_path:#?}"));
            }
        }
        return Some(format!("{field}: no path alone, but {all}: {of_all:#?}"));
    }
    None
}

#[tokio::test]
async fn no_statement_is_run_for_each_node_of_a_page_at_any_depth() {
    let world = World::start().await;
    let filled = Filled::start(&world).await;
    let ana = filled.person("ana");
    has_more_records(ana, filled.person("bo")).await;
    has_more_versions(ana, &filled.fills_in("$RECORD")).await;
    let (tap, api) = world.tapped_api().await;
    let schema = Schema::of(ana).await;
    let idle = tap.background().await;

    let mut wrong = Vec::new();
    for Place(field, document, place, who) in PLACES.iter().chain([&VERIFIED]) {
        if document.contains("NODES") {
            let person = filled.person(who).at(&api);
            let document = filled.fills_in(document);
            let asked = (*field, document.as_str(), *place);
            wrong.extend(compared((&tap, &idle), &person, &schema, asked).await);
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
