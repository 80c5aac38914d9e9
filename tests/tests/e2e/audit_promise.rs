//! An answer that promises the rows that were written for it: who keeps the promise can show that a row was removed.

use std::fs;

use serde_json::{Value, json};
use tests::transfer::{NDJSON, heart_rates};
use tests::{Person, Reply, World, documents, eventually, id, text};

use crate::{
    audit_check::runs,
    checkpoints::{asks, hash, pinned, pinning, rows},
};

const BECAME: &str = "query Became($id: ID!, $hash: Hash!, $seal: String) {
  auditPromise(id: $id, leafHash: $hash, seal: $seal) { state position inclusion checkpoint { treeSize root epoch } }
}";

/// Reads a record's document as somebody who wants to be promised the rows; what was promised.
pub(crate) async fn reads(world: &World, person: &Person, record: &str) -> Value {
    let token = person.client.token().expect("logged in");
    let headers = [
        ("authorization", format!("Bearer {token}")),
        ("x-audit-promise", "true".to_owned()),
    ];
    let headers = headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let query = "query Read($id: UUID!) { medicalRecord(id: $id) { document } }";
    let body = json!({ "query": query, "variables": { "id": record } });
    let reply = world.api.posts(&headers, &body.to_string()).await;
    let answer = reply.json();
    let promised = answer["extensions"]["audit"].clone();
    assert_eq!(promised["requestId"], reply.header("x-request-id"));
    assert_eq!(promised["more"], false);
    promised
}

/// What became of a promise, as this person is told.
pub(crate) async fn became(person: &Person, promise: &Value) -> Value {
    became_of_sealed(person, promise, &Value::Null).await
}

/// The same, with what shows that the promise was given.
async fn became_of_sealed(person: &Person, promise: &Value, seal: &Value) -> Value {
    let asked = json!({ "id": promise["id"], "hash": promise["leafHash"], "seal": seal });
    let answer = person.asks(BECAME, asked).await;
    answer.data()["auditPromise"].clone()
}

/// The promises of an answer.
pub(crate) fn promises(promised: &Value) -> &[Value] {
    promised["rows"].as_array().expect("a list")
}

/// The findings about the trail: why, and of which row.
pub(crate) async fn found(world: &World) -> Vec<Value> {
    let found =
        "SELECT details FROM integrity_findings WHERE kind = 'AUDIT_TAMPERED' ORDER BY opened_at";
    let found = world.sql(found).await;
    let told = |it: &Value| json!([it["details"]["reason"], it["details"]["row"].to_string()]);
    found.iter().map(told).collect()
}

#[tokio::test]
async fn an_answer_promises_the_rows_that_were_written_for_it_to_whom_asks_for_that_alone() {
    let world = pinning(1).await;
    let ana = world.patient("ana").await;
    let citra = world.doctor("citra").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    ana.lets(&citra, &["READ"]).await;

    let promised = reads(&world, &citra, &record).await;

    let of_request = format!("request_id = '{}'", text(&promised["requestId"]));
    let written = world.audit_rows(&of_request).await;
    let numbers: Vec<String> = written.iter().map(|row| row["id"].to_string()).collect();
    let told: Vec<String> = promises(&promised)
        .iter()
        .map(|it| text(&it["id"]))
        .collect();
    assert_eq!((told.len(), &told), (1, &numbers));
    assert_eq!(written[0]["action_type"], "RECORD_READ");
    // What is refused is promised, too.
    let ben = world.patient("ben").await;
    let refused = reads(&world, &ben, &record).await;
    let number = text(&promises(&refused)[0]["id"]);
    let rows_of = world.audit_rows(&format!("id = {number}")).await;
    assert_eq!(rows_of[0]["action_type"], "ACCESS_DENIED");
    // Nobody else is told anything.
    let token = format!("Bearer {}", citra.client.token().expect("logged in"));
    let body = json!({ "query": "{ me { id } }" }).to_string();
    for headers in [
        vec![("authorization", token.as_str())],
        vec![
            ("authorization", token.as_str()),
            ("x-audit-promise", "yes"),
        ],
    ] {
        let reply = world.api.posts(&headers, &body).await;
        assert_eq!(reply.json().get("extensions"), None, "{headers:?}");
    }

    // Met, by what the registry itself holds; for whoever knows the hash, and nobody else.
    pinned(&world, rows(&world).await).await;
    let promise = &promises(&promised)[0];
    for person in [&citra, &ana, &ben] {
        let became = became(person, promise).await;
        assert_eq!(became["state"], "MET", "{became}");
        let checkpoint = &became["checkpoint"];
        let number = |value: &Value| value.as_u64().expect("a number");
        let size = number(&checkpoint["treeSize"]);
        let which = format!("{:064x}{size:064x}", number(&checkpoint["epoch"]));
        let held = asks(&world, "checkpointRoot(uint64,uint64)", &which).await;
        let inclusion = became["inclusion"].as_array().expect("a list");
        let inclusion: Vec<_> = inclusion.iter().map(|it| hash(&text(it))).collect();
        let (root, leaf) = (hash(&held), hash(&text(&promise["leafHash"])));
        let place = number(&became["position"]);
        assert!(trail::tree::is_included(
            &root, size, &leaf, place, &inclusion
        ));
    }
    let guess = json!({ "id": promise["id"], "leafHash": "00".repeat(32) });
    assert_eq!(became(&citra, &guess).await["state"], "BROKEN");
    let wrong = json!({ "id": promise["id"], "hash": "00" });
    let answer = citra.asks(BECAME, wrong).await;
    answer.fails_with("BAD_USER_INPUT");
    misses_what_the_tree_holds(&world, &citra, [promise, &promises(&refused)[0]]).await;
}

/// A row that has its place is removed, and another changed: whoever asks about them next opens a finding for each, also without
/// the seal, and is shown that the tree has them.
async fn misses_what_the_tree_holds(
    world: &World,
    person: &Person,
    [removed, changed]: [&Value; 2],
) {
    let [removed_row, changed_row] = [removed, changed].map(|promise| text(&promise["id"]));
    assert!(found(world).await.is_empty());
    world
        .attacks(&format!(
            "DELETE FROM audit_logs WHERE id = {removed_row};
             UPDATE audit_logs SET purpose = 'BTG' WHERE id = {changed_row}"
        ))
        .await;

    for promise in [removed, changed, removed] {
        let became = became(person, promise).await;
        assert_eq!(became["state"], "BROKEN", "{became}");
        assert!(became["inclusion"].is_array(), "{became}");
    }

    let named = [("REMOVED", removed_row), ("CHANGED", changed_row)];
    let named = named.map(|(reason, row)| json!([reason, row]));
    assert_eq!(found(world).await, named);
}

#[tokio::test]
async fn a_row_that_is_removed_before_it_has_its_place_is_shown_by_its_promise() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    // Nothing gets a place from here on.
    let mut holding = world.connects_as("meditrustal_api").await;
    let lock = "SELECT pg_advisory_lock(hashtextextended('meditrustal audit tree', 0))";
    sqlx::raw_sql(lock)
        .execute(&mut holding)
        .await
        .expect("the order of the trail is held back");
    let (kept, removed) = (
        reads(&world, &ana, &record).await,
        reads(&world, &ana, &record).await,
    );
    let (kept_row, removed_row) = (&promises(&kept)[0], &promises(&removed)[0]);
    for promise in [kept_row, removed_row] {
        assert_eq!(became(&ana, promise).await["state"], "WAITING");
    }

    let number = text(&removed_row["id"]);
    world
        .attacks(&format!("DELETE FROM audit_logs WHERE id = {number}"))
        .await;
    drop(holding);

    // The tree is whole: nothing but the promise shows it.
    eventually("the other row has its place", async || {
        let is_met = became(&ana, kept_row).await["state"] == "MET";
        is_met.then_some(())
    })
    .await;
    assert_eq!(became(&ana, removed_row).await["state"], "BROKEN");
    let file = world.foundation.dir().join("promises.ndjson");
    let answer = json!({ "data": null, "extensions": { "audit": kept } });
    fs::write(&file, format!("{answer}\n{removed_row}\n")).expect("a file");
    let (is_well, said) = runs(&world, "verify", false).await;
    assert!(is_well, "{said}");
    // Whoever shows that it was given opens a finding, once; nobody else opens any.
    let findings = "SELECT details FROM integrity_findings WHERE kind = 'AUDIT_TAMPERED'";
    let invented = json!({ "id": removed_row["id"], "leafHash": "00".repeat(32) });
    for (promise, seal) in [
        (removed_row, &json!("0123456789abcdef")),
        (removed_row, &json!("no seal")),
        (removed_row, &kept_row["seal"]),
        (&invented, &removed_row["seal"]),
    ] {
        let became = became_of_sealed(&ana, promise, seal).await;
        assert_eq!(became["state"], "BROKEN", "{promise} {seal}");
    }
    assert_eq!(world.sql(findings).await.len(), 0);
    for _ in 0..2 {
        let became = became_of_sealed(&ana, removed_row, &removed_row["seal"]).await;
        assert_eq!(became["state"], "BROKEN");
    }
    let opened = world.sql(findings).await;
    let details = &opened[0]["details"];
    assert_eq!(
        (opened.len(), &details["reason"], details["row"].to_string()),
        (1, &json!("PROMISED"), number.clone())
    );
    let verify = format!("verify --promises {}", file.display());
    let (is_well, said) = runs(&world, &verify, false).await;
    assert!(!is_well, "{said}");
    let named = format!("audit_logs {number}: PROMISED");
    assert!(said.contains(&named), "{said}");
    assert!(
        said.contains("2 promises: 1 rows are in the tree"),
        "{said}"
    );
    let open = "SELECT details FROM integrity_findings WHERE kind = 'AUDIT_TAMPERED' AND resolved_at IS NULL";
    let open = world.sql(open).await;
    assert_eq!(
        (open.len(), &open[0]["details"]["reason"]),
        (1, &json!("PROMISED"))
    );
    // Whoever looks without the promise mends nothing.
    let (_, said) = runs(&world, "verify", false).await;
    assert!(!said.contains("PROMISED"), "{said}");
    let open =
        "SELECT 1 FROM integrity_findings WHERE kind = 'AUDIT_TAMPERED' AND resolved_at IS NULL";
    assert_eq!(world.sql(open).await.len(), 1);
    fs::write(&file, "no promise\n").expect("a file");
    let (is_well, said) = runs(&world, &verify, false).await;
    assert!(!is_well && said.contains("line 1 is no promise"), "{said}");
}

/// Sends a request of a transfer as somebody who wants to be promised the rows.
async fn transfers(
    world: &World,
    person: &Person,
    (method, path): (&str, &str),
    body: String,
) -> Reply {
    let bearer = person.bearer();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", NDJSON),
        ("x-audit-promise", "true"),
    ];
    world.api.takes(method, path, &headers, body).await
}

/// The lines of a body, as JSON.
fn json_lines(reply: &Reply) -> Vec<Value> {
    let lines = reply.body.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The numbers of the rows that a request has written.
async fn numbers_of(world: &World, promised: &Value) -> Vec<String> {
    let of_request = format!("request_id = '{}'", text(&promised["requestId"]));
    let written = world.audit_rows(&of_request).await;
    let mut numbers: Vec<String> = written.iter().map(|row| row["id"].to_string()).collect();
    numbers.sort_unstable();
    numbers
}

/// The numbers that were promised.
fn promised_numbers(promised: &Value) -> Vec<String> {
    let rows = promises(promised).iter();
    let mut numbers: Vec<String> = rows.map(|row| text(&row["id"])).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn transfers_promise_the_rows_that_were_written_for_them() {
    let world = pinning(1).await;
    let ana = world.patient("ana").await;
    let import = format!("/import?patient={}", ana.id);

    let imported = transfers(&world, &ana, ("POST", &import), heart_rates(3)).await;
    let lines = json_lines(&imported);
    let end = lines.last().expect("a last line");
    assert_eq!((lines.len(), &end["ended"]), (4, &json!("COMPLETE")));
    let of_import = end["audit"].clone();
    let mut all = vec![of_import.clone()];
    for format in ["ndjson", "archive"] {
        let export = format!("/export?patient={}&format={format}", ana.id);
        let exported = transfers(&world, &ana, ("GET", &export), String::new()).await;
        let mut lines = json_lines(&exported);
        let last = lines.pop().expect("a last line");
        assert_eq!((lines.len(), &lines[0]["audit"]), (3, &Value::Null));
        let before: Value = serde_json::from_str(exported.header("x-audit-promise")).expect("JSON");
        assert_eq!(
            (promises(&before).len(), &before["more"]),
            (1, &json!(true))
        );
        assert_eq!(promises(&before)[0], promises(&last["audit"])[0]);
        // The search, and each record.
        assert_eq!(promises(&last["audit"]).len(), 4);
        all.push(last["audit"].clone());
    }
    assert!(promises(&of_import).len() >= 3, "{of_import}");
    for promised in &all {
        assert_eq!(promised["more"], false);
        assert_eq!(
            promised_numbers(promised),
            numbers_of(&world, promised).await
        );
    }
    // What is one document says it in the header alone; what is refused, too.
    let bundle = format!("/export?patient={}&format=bundle", ana.id);
    let bundle = transfers(&world, &ana, ("GET", &bundle), String::new()).await;
    assert_eq!(bundle.json()["entry"].as_array().map(Vec::len), Some(3));
    let ben = world.patient("ben").await;
    let foreign = format!("/export?patient={}", ana.id);
    let refused = transfers(&world, &ben, ("GET", &foreign), String::new()).await;
    assert_eq!(refused.status, 404);
    for reply in [bundle, refused] {
        let promised: Value = serde_json::from_str(reply.header("x-audit-promise")).expect("JSON");
        assert_eq!(promises(&promised).len(), 1, "{promised}");
        all.push(promised);
    }
    // Nobody else is promised anything.
    let report = ana
        .imports(&world.api, &ana, (NDJSON, ""), heart_rates(3))
        .await;
    assert_eq!(report.end["audit"], Value::Null);
    let exported = ana.exports(&world.api, &ana, "").await;
    assert_eq!(json_lines(&exported).len(), 3);
    assert!(!exported.headers.contains_key("x-audit-promise"));

    pinned(&world, rows(&world).await).await;
    for promise in all.iter().flat_map(promises) {
        let became = became_of_sealed(&ana, promise, &promise["seal"]).await;
        assert_eq!(became["state"], "MET", "{promise}");
        assert!(became["checkpoint"].is_object(), "{became}");
    }
}

#[tokio::test]
async fn the_commands_keep_what_transfers_promise() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (file, out, kept) = (
        world.file("in.ndjson"),
        world.file("out.ndjson"),
        world.file("promises.ndjson"),
    );
    fs::write(&file, heart_rates(1)).expect("written");

    let import = ["import", &file, "--promises", &kept];
    let imported = world.runs(&ana, &ana, &import).await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(!imported.said.contains("leafHash"), "{imported:?}");
    let after_import = fs::read_to_string(&kept).expect("a file").lines().count();
    let export = ["export", &out, "--format", "archive", "--promises", &kept];
    let exported = world.runs(&ana, &ana, &export).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let records = fs::read_to_string(&out).expect("a file");
    assert_eq!(
        (records.lines().count(), records.contains("leafHash")),
        (1, false)
    );
    let lines = fs::read_to_string(&kept).expect("a file").lines().count();
    assert!(after_import >= 1 && lines > after_import, "{lines}");

    let verify = format!("verify --promises {kept}");
    eventually("all rows have their places", async || {
        let (is_well, said) = runs(&world, &verify, false).await;
        (is_well && said.contains(", 0 wait for their place")).then_some(())
    })
    .await;
}
