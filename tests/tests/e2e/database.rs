//! What the database is asked, by listening on the line to it.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use tests::{Person, Wiretap, World, documents, id, text};

/// Lists that are filled here, and so have as many nodes as are asked for.
const FILLED: [&str; 6] = [
    "auditLogs",
    "consents",
    "dataDeletionRequests",
    "medicalRecords",
    "myAccessLog",
    "users",
];
/// The content of a record of a page is asked for by the record disclosure, which takes up to 64 at a time; so are the versions
/// before and after it, in as many batches as there happen to be while they are asked for.
const AT_THE_DESK: [&str; 6] = [
    "document",
    "canonical",
    "summary",
    "reason",
    "predecessor",
    "successor",
];

/// How a connection that is given back is proven to be outside a transaction (`store::pool`). The relay's and
/// health's are, too, whenever they like; a list is in a transaction, which needs no proof.
const PROOF: &str = "SELECT FROM (VALUES (now()))";

const INTROSPECTION: &str = "{ __schema { queryType { name } types { kind name fields {
    name args { name type { kind } } type { ...T } } } } }
    fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// A schema as introspection tells it: each type's kind and fields, by its name.
pub(super) struct Schema(HashMap<String, Value>);

impl Schema {
    pub(super) async fn of(person: &Person) -> Self {
        let answer = person.asks(INTROSPECTION, json!({})).await;
        let types = answer.data()["__schema"]["types"]
            .as_array()
            .expect("types");
        Self(
            types
                .iter()
                .map(|it| (text(&it["name"]), it.clone()))
                .collect(),
        )
    }

    fn fields(&self, of: &str) -> Vec<&Value> {
        let fields = self.0[of]["fields"].as_array();
        fields
            .map(|fields| fields.iter().collect())
            .unwrap_or_default()
    }

    /// Every field of every type, with the name of the type.
    pub(super) fn all_fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        let types = self.0.keys().map(String::as_str);
        types.flat_map(move |of| self.fields(of).into_iter().map(move |field| (of, field)))
    }

    /// The type of the nodes of a field that gives pages, which is written `Type.field`.
    pub(super) fn nodes_of(&self, field: &str) -> String {
        let (of, name) = field.split_once('.').expect("a type and a field");
        let named = |fields: Vec<&'_ Value>, name: &str| {
            let found = fields.into_iter().find(|it| it["name"] == name);
            Self::type_of(found.unwrap_or_else(|| panic!("{field} has no {name}")))
        };
        named(self.fields(&named(self.fields(of), name)), "nodes")
    }

    /// Whether a field, which is written `Type.field`, takes this argument.
    pub(super) fn takes(&self, field: &str, argument: &str) -> bool {
        let (of, name) = field.split_once('.').expect("a type and a field");
        let mut fields = self.fields(of).into_iter();
        let found = fields.find(|it| it["name"] == name);
        let found = found.unwrap_or_else(|| panic!("there is no {field}"));
        let mut args = found["args"].as_array().into_iter().flatten();
        args.any(|it| it["name"] == argument)
    }

    /// The name of a field's type, without what is around it.
    pub(super) fn type_of(field: &Value) -> String {
        let mut found = &field["type"];
        while !found["ofType"].is_null() {
            found = &found["ofType"];
        }
        text(&found["name"])
    }

    /// Every list there is to ask for, with the type of its nodes.
    fn lists(&self) -> BTreeMap<String, String> {
        let fields = self.fields("Query").into_iter();
        let lists = fields.filter_map(|field| {
            let connection = Self::type_of(field);
            let nodes = self
                .fields(&connection)
                .into_iter()
                .find(|it| it["name"] == "nodes")?;
            let is_paged = field["args"]
                .as_array()?
                .iter()
                .any(|it| it["name"] == "first");
            is_paged.then(|| (text(&field["name"]), Self::type_of(nodes)))
        });
        lists.collect()
    }

    /// The fields of a type that hold objects and need no argument, each with its type.
    pub(super) fn objects(&self, of: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for field in self.fields(of) {
            let kind = Self::type_of(field);
            let args = field["args"].as_array().into_iter().flatten();
            let needs_one = args.into_iter().any(|it| it["type"]["kind"] == "NON_NULL");
            let is_leaf = matches!(self.0[&kind]["kind"].as_str(), Some("SCALAR" | "ENUM"));
            if !needs_one && !is_leaf {
                found.push((text(&field["name"]), kind));
            }
        }
        found
    }

    /// All that can be selected of a type without an argument but for these fields, and of what it holds one level down.
    pub(super) fn selection(&self, of: &str, levels: usize, without: &[&str]) -> String {
        let mut selected = vec!["__typename".to_owned()];
        for field in self.fields(of) {
            let (name, kind) = (text(&field["name"]), Self::type_of(field));
            let args = field["args"].as_array().into_iter().flatten();
            let needs_one = args.into_iter().any(|it| it["type"]["kind"] == "NON_NULL");
            let is_left_out = |names: &[&str]| names.contains(&name.as_str());
            if needs_one || is_left_out(&AT_THE_DESK) || is_left_out(without) {
                continue;
            }
            match self.0[&kind]["kind"].as_str() {
                Some("SCALAR" | "ENUM") => selected.push(name),
                _ if levels == 0 => {}
                _ => selected.push(format!(
                    "{name} {{ {} }}",
                    self.selection(&kind, levels - 1, without)
                )),
            }
        }
        selected.join(" ")
    }
}

#[tokio::test]
async fn no_list_runs_more_statements_for_a_longer_page() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["SEARCH", "CREATE"]).await;
    dr_bo
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    fill(&world, &ana, &dr_bo).await;
    let (tap, api) = world.tapped_api().await;
    let people = [ana.at(&api), world.first_admin().await.at(&api)];
    let schema = Schema::of(&people[0]).await;
    let lists = schema.lists();

    // What is heard while nobody asks: the relay, the feed and the revocations look around all the time,
    // and a page of a hundred takes as long as they wait.
    let idle = tap.background().await;

    let mut longer = BTreeMap::new();
    for (list, nodes) in &lists {
        let selection = schema.selection(nodes, 1, &[]);
        let query = format!(
            "query L($first: Int!) {{ {list}(first: $first) {{
                nodes {{ {selection} }} edges {{ cursor node {{ __typename }} }} pageInfo {{ hasNextPage }} }} }}"
        );
        for person in &people {
            let answer = person.asks(&query, json!({ "first": 100 })).await;
            let nodes = answer.partial_data()[list]["nodes"]
                .as_array()
                .map_or(0, Vec::len);
            if nodes < 100 {
                continue;
            }
            let counts = counts((&tap, &idle), person, &query, [1, 20, 100]).await;
            longer.insert(list.as_str(), counts);
        }
    }

    for list in FILLED {
        assert!(
            longer.contains_key(list),
            "nobody sees 100 of {list}: {longer:?}"
        );
    }
    for (list, counts) in longer {
        assert!(
            are_equal(&counts),
            "{list} runs other statements for 1, 20 and 100 nodes: {counts:#?}"
        );
    }
}

/// What a query runs for pages of three lengths: what is heard each time it is asked, without what is heard when nobody asks.
/// Asked until the three run as many statements, ten times at most: a connection that is opened meanwhile has a word of its
/// own to say, but what a page needs is heard each time.
pub(super) async fn counts(
    tap: (&Wiretap, &[String]),
    person: &Person,
    query: &str,
    lengths: [usize; 3],
) -> [Vec<String>; 3] {
    let mut always: [Option<Vec<String>>; 3] = Default::default();
    for _ in 0..10 {
        for (always, first) in always.iter_mut().zip(lengths) {
            let heard = statements(tap, person, query, first).await;
            *always = Some(match always.take() {
                None => heard,
                Some(always) => in_both(always, heard),
            });
        }
        let counts = always.clone().map(Option::unwrap_or_default);
        if are_equal(&counts) {
            break;
        }
    }
    always.map(Option::unwrap_or_default)
}

pub(super) fn are_equal(counts: &[Vec<String>; 3]) -> bool {
    counts
        .iter()
        .all(|it| it.len() == counts[0].len() && !it.is_empty())
}

/// What is heard while a query is answered, without what is heard when nobody asks.
pub(super) async fn statements(
    (tap, idle): (&Wiretap, &[String]),
    person: &Person,
    query: &str,
    first: usize,
) -> Vec<String> {
    tap.takes();
    person.asks(query, json!({ "first": first })).await.data();
    let mut heard = tap.takes();
    heard.retain(|statement| !idle.contains(statement) && !statement.starts_with(PROOF));
    heard
}

/// What stands in both, as often as it does in each.
fn in_both(one: Vec<String>, mut other: Vec<String>) -> Vec<String> {
    let mut is_there = |statement: &String| {
        let found = other.iter().position(|it| it == statement);
        found.map(|place| other.swap_remove(place)).is_some()
    };
    one.into_iter().filter(|it| is_there(it)).collect()
}

/// A hundred more of everything: written by SQL, because only its number matters.
async fn fill(world: &World, ana: &Person, dr_bo: &Person) {
    let (patient, author) = (&ana.id, &dr_bo.id);
    world
        .executes(&format!(
            "INSERT INTO users (email, username, hashed_password, role)
             SELECT 'crowd.' || nth || '@meditrustal.example', 'crowd.' || nth, '!', 'PATIENT'
             FROM generate_series(1, 100) AS nth;
             INSERT INTO medical_records (
                 patient_id, author_id, blockchain_record_id, record_type, encrypted_data, data_hash
             )
             SELECT '{patient}', '{author}', '0x' || lpad(to_hex(nth), 64, '0'), 'VITAL_SIGNS', 'x',
                    lpad(to_hex(nth), 64, '0')
             FROM generate_series(1, 100) AS nth;
             INSERT INTO record_anchors (record_id, patient_id, record_type, record_hash, chain_id, tx_hash)
             SELECT id, patient_id, record_type, data_hash, 1, blockchain_record_id
             FROM medical_records WHERE encrypted_data = 'x';
             INSERT INTO data_processing_consents (
                 user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties
             )
             SELECT '{patient}', 'HRESCH', CURRENT_TIMESTAMP, '[\"IMAGING\"]', '[\"READ\"]',
                    '[{{\"kind\": \"user\", \"id\": \"{author}\"}}]'
             FROM generate_series(1, 100);
             INSERT INTO data_deletion_requests (user_id, request_type, data_categories, verification_method)
             SELECT '{patient}', 'RECORD_ERASURE', '[\"IMAGING\"]', 'PASSWORD' FROM generate_series(1, 100);
             INSERT INTO audit_logs (
                 user_id, action_type, resource_type, resource_id, ip_address, request_id, purpose,
                 retention_period, data_classification, encryption_status, patient_id
             )
             SELECT '{author}', 'RECORD_READ', 'MEDICAL_RECORD', gen_random_uuid(), '::1',
                    gen_random_uuid(), 'TREAT', '3 years', 'MEDICAL', 'METADATA_ONLY', '{patient}'
             FROM generate_series(1, 100)"
        ))
        .await;
    world.seals().await;
}

/// What is asked for a new record from the lock on its signer's row to its entry in the feed, after which it is committed.
fn under_the_lock(heard: &[String]) -> Option<Vec<String>> {
    let is = |part: &'static str| move |text: &String| text.contains(part);
    let locked = heard.iter().position(is("locked.next_nonce"))?;
    let rest = &heard[locked..];
    let anchored = rest.iter().position(is("INTO record_anchors"))?;
    let after = &rest[anchored..];
    let told = after.iter().position(is("INTO integrity_feed"))?;
    Some(rest[..=anchored + told].to_vec())
}

#[tokio::test]
async fn a_new_record_takes_thirteen_statements_under_the_lock_of_its_signer() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["CREATE"]).await;
    let (tap, api) = world.tapped_api().await;
    let dr_bo = dr_bo.at(&api);

    let mut least = Vec::new();
    for nth in 0..5 {
        tap.takes();
        let key = json!({ "idempotencyKey": format!("the key {nth}") });
        let document = documents::vital_signs();
        let answer = dr_bo.stores(&ana, "VITAL_SIGNS", document, key).await;
        let heard = under_the_lock(&tap.takes_asked()).expect("a record is stored");
        // The first one makes the patient's key, and what an api asks by itself is heard, too.
        if least.is_empty() || heard.len() < least.len() {
            least = heard;
        }
        let record = id(&answer.data()["createMedicalRecord"]["record"]);
        world.wait_for_anchor(&record, "CONFIRMED").await;
    }

    assert_eq!(least.len(), 13, "{least:#?}");
}

/// What a page runs in its transaction, from the locks to the audit row, after which it is committed.
fn of_a_page(heard: &[String]) -> Option<Vec<String>> {
    let begins =
        |text: &String| text.starts_with("BEGIN") && text.contains("pg_advisory_xact_lock_shared(");
    let begun = heard.iter().position(begins)?;
    let rest = &heard[begun..];
    let is_audited = |text: &String| text.contains("INTO audit_logs");
    let audited = rest.iter().position(is_audited)?;
    Some(rest[..=audited].to_vec())
}

#[tokio::test]
async fn a_page_of_a_patients_newest_takes_five_messages_and_six_with_documents() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["SEARCH", "READ", "CREATE"]).await;
    for _ in 0..2 {
        dr_bo
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
    }
    let (tap, api) = world.tapped_api().await;
    let dr_bo = dr_bo.at(&api);

    for (more, statements) in [("", 4), ("document", 5)] {
        let query = format!(
            "{{ medicalRecords(patientId: \"{}\", first: 20) {{
                nodes {{ id {more} patient {{ username }} author {{ username }} anchor {{ state }} }}
                pageInfo {{ hasNextPage }} }} }}",
            ana.id
        );
        let mut least = Vec::new();
        for _ in 0..5 {
            tap.takes();
            let answer = dr_bo.asks(&query, json!({})).await;
            let nodes = answer.data()["medicalRecords"]["nodes"].clone();
            assert_eq!(nodes.as_array().map(Vec::len), Some(2), "{nodes}");
            let shown = &nodes[0];
            for field in ["patient", "author", "anchor"] {
                assert!(shown[field].is_object(), "{shown}");
            }
            let heard = of_a_page(&tap.takes_asked()).expect("a page is found");
            // What an api asks by itself is heard, too.
            if least.is_empty() || heard.len() < least.len() {
                least = heard;
            }
        }

        // And the commit.
        assert_eq!(least.len(), statements, "{least:#?}");
    }
}
