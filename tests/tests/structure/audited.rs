//! Which rows of the audit trail every field at the root of the schema writes, for every kind of caller; and that nothing is
//! disclosed where they cannot be written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use dev::client::Answer;
use domain::users::{INDEXER, RELAY, SCHEDULER};
use serde_json::{Value, json};
use tests::{Person, World, eventually, text};

use super::authorization::{CALLERS, CASES, Case, asked_by, name_of};
use super::cast::Cast;
use super::trail_row::{Asked, RULES};

/// The table: a field in each paragraph, of a subscription two, and below it who writes which rows, in the words of
/// [`Asked::in_words`]. A subscription writes when it begins, and when it tells somebody of another person's record. Where it is wrong the
/// test says what it would be: read that before you put it in.
fn table() -> String {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let table = root.join("tests/tests/structure/audited.txt");
    fs::read_to_string(table).expect("there is a table")
}

/// How long a subscription is waited for.
const WITHIN: Duration = Duration::from_secs(20);

/// The names of the callers in the table, in the order of [`CALLERS`].
const NAMES: [&str; CALLERS.len()] = [
    "nobody", "ana", "budi", "citra", "bo", "kim", "eka", "fitri", "ibu",
];

/// What the tests' client says it is.
const AGENT: &str = "meditrustal-dev";

/// The rows that were written after this one, all of them of one request.
async fn rows_of(asked: Asked<'_>, after: i64) -> Vec<String> {
    // Whoever asks, the rows may be of whoever is logged in by it; the jobs have accounts of their own.
    let jobs = [RELAY, INDEXER, SCHEDULER].map(|job| format!("'{}'", job.0));
    let written = format!("id > {after} AND user_id NOT IN ({})", jobs.join(", "));
    let rows = asked.cast.world.audit_rows(&written).await;
    let requests: BTreeSet<String> = rows.iter().map(|row| text(&row["request_id"])).collect();
    assert!(requests.len() <= 1, "{}: {rows:#?}", asked.document);
    rows.iter().map(|row| asked.in_words(row)).collect()
}

async fn last_row(cast: &Cast) -> i64 {
    let last = cast
        .world
        .sql("SELECT max(id) AS last FROM audit_logs")
        .await;
    last[0]["last"].as_i64().expect("there are some")
}

/// The subscriptions, a field of what they tell, what they tell of, and to whom there is something to be told: some, and everybody
/// of whom it is written down, so that no row comes while the next one asks.
const SUBSCRIPTIONS: [(&str, &str, &str, &[&str]); 4] = [
    (
        "integrityEvents",
        "kind",
        "an event",
        &["ana", "bo", "kim", "fitri"],
    ),
    (
        "recordUpdated",
        "change",
        "an update",
        &["ana", "bo", "kim", "fitri"],
    ),
    ("notifications", "kind", "a notification", &["budi"]),
    ("accessEvents", "id", "an access", &["ana"]),
];

/// What a field writes, by what is written: whom it is written of.
type Written = BTreeMap<Vec<String>, Vec<&'static str>>;

fn in_words(field: &str, written: &Written) -> String {
    let mut told = format!("{field}\n");
    for (rows, callers) in written {
        let rows = if rows.is_empty() {
            "nothing".to_owned()
        } else {
            rows.join(", ")
        };
        writeln!(told, "  {}: {rows}", callers.join(" ")).expect("a text takes all");
    }
    told
}

/// What each subscription writes when it begins, and besides when something is told by it.
async fn of_subscriptions(cast: &Cast, callers: &[Person]) -> Vec<String> {
    let mut paragraphs = Vec::new();
    for (field, shown, of, told_to) in SUBSCRIPTIONS {
        let document = format!("subscription {{ {field}(after: \"earliest\") {{ {shown} }} }}");
        let (mut begun, mut told) = (Written::new(), Written::new());
        for (nth, caller) in callers.iter().enumerate() {
            let before = last_row(cast).await;
            let asked = Asked {
                cast,
                caller: &caller.id,
                document: &document,
                agent: None,
            };
            let followed = caller.client.subscribe(&document, &json!({})).await;
            let Ok(mut stream) = followed else {
                let rows = rows_of(asked, before).await;
                begun.entry(rows).or_default().push(NAMES[nth]);
                continue;
            };
            let rows = eventually("the subscription has begun", async || {
                let mut rows = rows_of(asked, before).await;
                // What it tells may be written down by now, too.
                rows.truncate(1);
                (!rows.is_empty()).then_some(rows)
            })
            .await;
            if told_to.contains(&NAMES[nth]) {
                let answer = stream.next_within(WITHIN).await;
                let answer = answer.and_then(Answer::data);
                answer.unwrap_or_else(|error| panic!("{field}, {}: {error}", NAMES[nth]));
                let mut all = rows_of(asked, before).await;
                let more = all.split_off(rows.len().min(all.len()));
                told.entry(more).or_default().push(NAMES[nth]);
            }
            begun.entry(rows).or_default().push(NAMES[nth]);
        }
        paragraphs.push(in_words(&format!("Subscription.{field}, begun"), &begun));
        paragraphs.push(in_words(
            &format!("Subscription.{field}, told of {of}"),
            &told,
        ));
    }
    paragraphs
}

#[tokio::test]
async fn every_field_writes_the_audit_rows_of_the_table_or_discloses_nothing() {
    let cast = Cast::start().await;
    let callers = cast.callers();
    let mut told = Vec::new();
    let mut audited = BTreeSet::new();
    for Case(field, document, wanted) in &CASES {
        let mut written = Written::new();
        for (nth, caller) in callers.iter().enumerate() {
            let document = asked_by(nth, name_of(field), document);
            let (document, variables) = cast.completes(&document, &format!("fresh{nth}")).await;
            let before = last_row(&cast).await;
            caller.asks_with(&document, &variables).await;
            let asked = Asked {
                cast: &cast,
                caller: &caller.id,
                document: &document,
                agent: Some(AGENT),
            };
            let rows = rows_of(asked, before).await;
            if !rows.is_empty() && discloses(field, wanted[nth]) {
                audited.insert((*field, nth));
            }
            written.entry(rows).or_default().push(NAMES[nth]);
        }
        told.push(in_words(field, &written));
    }
    told.extend(of_subscriptions(&cast, &callers).await);
    let told = told.join("\n");
    assert_eq!(told, table(), "as it is:\n{told}");
    let against_rules = cast.world.sql(RULES).await;
    assert!(against_rules.is_empty(), "{against_rules:#?}");

    let disclosed = disclosed_without_rows(&cast, &callers, &audited).await;
    assert!(disclosed.is_empty(), "{disclosed:#?}");
    for (field, shown, ..) in SUBSCRIPTIONS {
        let asked = format!("subscription {{ {field} {{ {shown} }} }}");
        let followed = cast.ana.client.subscribe(&asked, &json!({})).await;
        let begun = match followed {
            Ok(mut stream) => stream
                .next_within(WITHIN)
                .await
                .and_then(|answer| answer.data().map(|_| ()))
                .is_ok(),
            Err(_) => false,
        };
        assert!(!begun, "{field} is told");
    }
}

/// From now on no row of the trail can be written.
pub(super) async fn breaks_the_trail(world: &World) {
    world.is_broken_on_purpose();
    world
        .executes(
            "CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 RAISE EXCEPTION 'no row today';
             END;
             $$;
             CREATE TRIGGER no_audit BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION no_audit()",
        )
        .await;
}

/// What is shown of what these callers were shown, once no row can be written.
async fn disclosed_without_rows(
    cast: &Cast,
    callers: &[Person],
    audited: &BTreeSet<(&str, usize)>,
) -> Vec<String> {
    breaks_the_trail(&cast.world).await;
    let mut disclosed = Vec::new();
    for Case(field, document, _) in &CASES {
        for (nth, caller) in callers.iter().enumerate() {
            if !audited.contains(&(*field, nth)) {
                continue;
            }
            let document = cast.fills_in(&asked_by(nth, name_of(field), document));
            let answer = caller.asks_with(&document, "{}").await;
            if answer.code().is_none() || !is_nothing(&answer.partial_data()[name_of(field)]) {
                disclosed.push(format!("{field}, asked by {}", CALLERS[nth]));
            }
        }
    }
    disclosed
}

/// Whether nothing is shown: of a list, of each of its places.
fn is_nothing(shown: &Value) -> bool {
    match shown.as_array() {
        Some(places) => places.iter().all(Value::is_null),
        None => shown.is_null(),
    }
}

/// Whether a query that has this outcome showed something.
fn discloses(field: &str, outcome: &str) -> bool {
    field.starts_with("Query.") && (outcome == "ok" || outcome.contains(' '))
}
