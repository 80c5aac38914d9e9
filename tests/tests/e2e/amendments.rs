//! Versions: who writes one, who comes first, what the chain says of it, and how a record is withdrawn.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, eventually, id, text};

const HISTORY: &str = "query History($id: UUID!, $first: Int, $after: Cursor) {
  medicalRecord(id: $id) {
    history(first: $first, after: $after) {
      nodes { id version isCurrent isWithdrawn reason author { username } createdAt }
      pageInfo { hasNextPage endCursor }
    }
  }
}";
const LINE: &str = "query Line($id: UUID!) {
  medicalRecord(id: $id) { isCurrent predecessor { id version } successor { id version } }
}";
const ADMINISTRATOR: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn of(answer: &Answer) -> Value {
    let data = answer.data();
    let payload = ["amendMedicalRecord", "withdrawMedicalRecord"]
        .map(|field| &data[field])
        .into_iter()
        .find(|payload| !payload.is_null());
    payload.expect("a payload")["record"].clone()
}

/// A patient's own measurement.
async fn measured(patient: &Person) -> Value {
    patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await
}

async fn amended(person: &Person, record: &Value) -> Value {
    let answer = person
        .amends(record, documents::vital_signs(), json!({}))
        .await;
    of(&answer)
}

async fn history(person: &Person, record: &Value) -> Vec<Value> {
    let answer = person.asks(HISTORY, json!({ "id": record["id"] })).await;
    let nodes = &answer.data()["medicalRecord"]["history"]["nodes"];
    nodes.as_array().expect("a list").clone()
}

/// What the registry answers to a function of one hash, by its selector.
async fn registry(world: &World, selector: &str, record: &Value) -> String {
    let address = text(&world.sql("SELECT registry FROM chain_cursors").await[0]["registry"]);
    let data = format!("0x{selector}{}", text(&record["dataHash"]));
    let call = json!([{ "to": address, "data": data }, "latest"]);
    text(&world.rpc("eth_call", call).await)
}

/// `successorOf(bytes32)`: the hash without `0x`.
async fn successor_of(world: &World, record: &Value) -> String {
    let answer = registry(world, "aaa8ab21", record).await;
    answer.trim_start_matches("0x").to_owned()
}

async fn verdict(person: &Person, record: &Value) -> Value {
    let answer = person.verifies(&id(record)).await;
    answer.data()["verifyRecord"].clone()
}

#[tokio::test]
async fn a_doctor_who_may_amend_writes_a_version_that_supersedes_the_one_before() {
    let world = World::start().await;
    let (ana, bo, citra) = (
        world.patient("ana").await,
        world.doctor("bo").await,
        world.doctor("citra").await,
    );
    ana.lets(&bo, &["READ", "SEARCH", "CREATE"]).await;
    ana.lets(&citra, &["READ", "SEARCH", "AMEND"]).await;
    let first = bo
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    let document = documents::lab_result().replace("\"final\"", "\"amended\"");
    // Who wrote a record may not amend it for that, nor may the patient it is about.
    for person in [&bo, &ana] {
        let refused = person.amends(&first, &document, json!({})).await;
        refused.fails_with("NOT_FOUND");
    }

    let more = json!({ "metadata": { "status": "amended" } });
    let second = of(&citra.amends(&first, &document, more).await);

    assert_eq!(
        (&second["version"], &second["isCurrent"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(second["author"]["username"], "dr.citra");
    assert_eq!(second["patient"]["id"], json!(ana.id));
    assert_eq!(second["metadata"]["status"], "amended");
    let line = ana.asks(LINE, json!({ "id": second["id"] })).await;
    let before = json!({ "id": first["id"], "version": 1 });
    let line = line.data()["medicalRecord"].clone();
    assert_eq!(
        (&line["predecessor"], &line["successor"]),
        (&before, &Value::Null)
    );
    world.wait_for_anchor(&id(&second), "CONFIRMED").await;
    assert_eq!(
        successor_of(&world, &first).await,
        text(&second["dataHash"])
    );
    let read = ana.reads(&id(&second)).await.data()["medicalRecord"].clone();
    assert_eq!(read["document"]["meta"]["versionId"], "2");
    assert_eq!(read["document"]["id"], second["id"]);
    // The one before is what it was, and says what became of it.
    ana.reads(&id(&first)).await.data();
    let old = verdict(&ana, &first).await;
    assert_eq!(
        (&old["verdict"], &old["chainStatus"]),
        (&json!("SUPERSEDED"), &json!("SUPERSEDED"))
    );
    assert_eq!(old["chainSuccessor"], second["dataHash"]);
    let new = verdict(&ana, &second).await;
    assert_eq!(
        (&new["verdict"], &new["chainSuccessor"]),
        (&json!("VERIFIED"), &Value::Null)
    );
    // The trail has versions and hashes; the reason is in no row of any table in clear.
    let trail = world.audit_rows("action_type = 'RECORD_AMEND'").await;
    assert_eq!(trail.len(), 1);
    assert_eq!(trail[0]["old_value"]["recordId"], first["id"]);
    assert_eq!(trail[0]["old_value"]["dataHash"], first["dataHash"]);
    let new_value = json!({
        "version": 2, "recordType": "LAB_RESULT", "dataHash": second["dataHash"], "withdrawn": false,
    });
    assert_eq!(trail[0]["new_value"], new_value);
    assert_eq!(trail[0]["retention_period"], "1826 days");
    let all = Value::from(world.audit_rows("TRUE").await).to_string();
    assert!(!all.contains("somebody else's") && !world.api.log().contains("somebody else's"));
    let log = ana
        .asks("{ myAccessLog { nodes { sentence } } }", json!({}))
        .await;
    let told = log.data().to_string();
    let sentence = "dr.citra (doctor) wrote a new version of a record of yours, for treatment, by your consent.";
    assert!(told.contains(sentence), "{told}");
}

#[tokio::test]
async fn a_patient_amends_what_they_wrote_and_what_is_wrong_is_refused() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let first = measured(&ana).await;
    let document = documents::vital_signs();

    let second = amended(&ana, &first).await;

    assert_eq!(second["version"], 2);
    let line = |answer: &Answer| answer.data()["medicalRecord"].clone();
    let asked = json!({ "id": first["id"] });
    let successor = json!({ "id": second["id"], "version": 2 });
    assert_eq!(
        line(&ana.asks(LINE, asked).await),
        json!({ "isCurrent": false, "predecessor": null, "successor": successor })
    );
    let nowhere = json!({ "id": ana.id, "version": 1 });
    for (record, person) in [(&second, &eve), (&nowhere, &ana)] {
        person
            .amends(record, &document, json!({}))
            .await
            .fails_with("NOT_FOUND");
        person
            .retracts(record, json!({}))
            .await
            .fails_with("NOT_FOUND");
    }
    let table = [
        (&first, json!({}), "CONFLICT", "expectedVersion"),
        (
            &second,
            json!({ "expectedVersion": 1 }),
            "CONFLICT",
            "expectedVersion",
        ),
        (
            &second,
            json!({ "expectedVersion": -7 }),
            "CONFLICT",
            "expectedVersion",
        ),
        (
            &second,
            json!({ "reason": "too short" }),
            "BAD_USER_INPUT",
            "reason",
        ),
        (
            &second,
            json!({ "reason": "x".repeat(501) }),
            "BAD_USER_INPUT",
            "reason",
        ),
        (
            &second,
            json!({ "reason": "with a bell \u{7}" }),
            "BAD_USER_INPUT",
            "reason",
        ),
        (
            &second,
            json!({ "idempotencyKey": "" }),
            "BAD_USER_INPUT",
            "idempotencyKey",
        ),
    ];
    for (record, more, code, field) in table {
        for answer in [
            ana.amends(record, &document, more.clone()).await,
            ana.retracts(record, more.clone()).await,
        ] {
            assert_eq!(answer.fails_with(code).extensions["field"], field, "{more}");
        }
    }
    let free_text = json!({ "metadata": { "note": "she cannot sleep" } });
    let refused = ana.amends(&second, &document, free_text).await;
    assert_eq!(
        refused.fails_with("BAD_USER_INPUT").extensions["field"],
        "metadata"
    );
    for wrong in [json!({}).to_string(), documents::lab_result()] {
        let refused = ana.amends(&second, wrong, json!({})).await;
        refused.fails_with("INVALID_DOCUMENT");
    }
    assert_eq!(world.sql("SELECT id FROM medical_records").await.len(), 2);
}

#[tokio::test]
async fn of_twenty_who_amend_one_version_at_once_one_wins() {
    let world = World::start().await;
    let second_api = world.second_api().await;
    let ana = world.patient("ana").await;
    let there = ana.at(&second_api);
    let mut current = measured(&ana).await;

    for round in 2..=4 {
        let people = [&ana, &there];
        let tries = (0..20)
            .map(|nth| people[nth % 2].amends(&current, documents::vital_signs(), json!({})));
        let answers = join_all(tries).await;

        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.code().is_none());
        assert_eq!((won.len(), lost.len()), (1, 19));
        for answer in lost {
            let told = answer.fails_with("CONFLICT");
            assert_eq!(told.extensions["field"], "expectedVersion");
        }
        current = of(won[0]);
        assert_eq!(current["version"], round);
    }
    assert_eq!(world.sql("SELECT id FROM medical_records").await.len(), 4);
    let amendments = world.audit_rows("action_type = 'RECORD_AMEND'").await;
    assert_eq!(amendments.len(), 3);
    eventually("all four are anchored", async || {
        let open = "SELECT 1 FROM record_anchors WHERE state NOT IN ('CONFIRMED', 'FINALIZED')";
        world.sql(open).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(verdict(&ana, &current).await["verdict"], "VERIFIED");
}

#[tokio::test]
async fn the_history_says_who_and_why_and_the_list_shows_what_is_current() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&bo, &["READ", "SEARCH", "AMEND"]).await;
    let first = measured(&ana).await;
    let other = measured(&ana).await;
    let because = |reason: &str| json!({ "reason": reason });
    let document = documents::vital_signs();
    let second = of(&bo
        .amends(&first, &document, because("the scale was not tared"))
        .await);
    let third = of(&bo
        .amends(&second, &document, because("it was the left arm"))
        .await);

    for version in [&first, &second, &third] {
        let told = history(&bo, version).await;

        let ids: Vec<&Value> = told.iter().map(|it| &it["id"]).collect();
        assert_eq!(ids, [&third["id"], &second["id"], &first["id"]]);
        let authors: Vec<&Value> = told.iter().map(|it| &it["author"]["username"]).collect();
        assert_eq!(authors, ["dr.bo", "dr.bo", "ana"]);
        let reasons: Vec<&Value> = told.iter().map(|it| &it["reason"]).collect();
        let why = [
            json!("it was the left arm"),
            json!("the scale was not tared"),
            Value::Null,
        ];
        assert_eq!(reasons, why.iter().collect::<Vec<_>>());
        let current: Vec<&Value> = told.iter().map(|it| &it["isCurrent"]).collect();
        assert_eq!(current, [true, false, false]);
    }
    // A page at a time.
    let page = async |after: Value| {
        let variables = json!({ "id": first["id"], "first": 2, "after": after });
        let answer = bo.asks(HISTORY, variables).await;
        answer.data()["medicalRecord"]["history"].clone()
    };
    let newest = page(Value::Null).await;
    assert_eq!(newest["pageInfo"]["hasNextPage"], true);
    let oldest = page(newest["pageInfo"]["endCursor"].clone()).await;
    assert_eq!(oldest["pageInfo"]["hasNextPage"], false);
    let numbers = |page: &Value| {
        page["nodes"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| it["version"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (numbers(&newest), numbers(&oldest)),
        (vec![json!(3), json!(2)], vec![json!(1)])
    );

    let list = async |arguments: &str| {
        let query = format!("{{ medicalRecords{arguments} {{ nodes {{ id }} }} }}");
        let answer = bo.asks(&query, json!({})).await;
        let nodes = answer.data()["medicalRecords"]["nodes"].clone();
        nodes
            .as_array()
            .expect("a list")
            .iter()
            .map(id)
            .collect::<BTreeSet<_>>()
    };
    let current: BTreeSet<_> = [&third, &other].map(id).into();
    assert_eq!(list("").await, current);
    assert_eq!(
        list("(filter: { includeSuperseded: false })").await,
        current
    );
    let all: BTreeSet<_> = [&first, &second, &third, &other].map(id).into();
    assert_eq!(list("(filter: { includeSuperseded: true })").await, all);

    // Each version that was shown is a row of the trail; a reason that was asked for is a disclosure.
    let rows = world
        .audit_rows(&format!(
            "user_id = '{}' AND action_type = 'RECORD_READ'",
            bo.id
        ))
        .await;
    let opened = |version: &Value| {
        rows.iter()
            .filter(|row| {
                row["resource_id"] == version["id"]
                    && row["encryption_status"] == "DECRYPTED_FOR_DISCLOSURE"
            })
            .count()
    };
    assert_eq!((opened(&first), opened(&second), opened(&third)), (0, 4, 4));
    assert!(rows.iter().all(|row| row["patient_id"] == json!(ana.id)));
}

#[tokio::test]
async fn the_versions_of_a_page_of_records_take_no_statement_more_for_each() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    for _ in 0..20 {
        let first = measured(&ana).await;
        amended(&ana, &first).await;
    }
    let (tap, api) = world.tapped_api().await;
    let ana = ana.at(&api);
    let heard = async |size: usize| {
        let query = format!(
            "{{ medicalRecords(first: {size}) {{ nodes {{
                history {{ nodes {{ id }} }} successor {{ id }} predecessor {{ id }}
            }} }} }}"
        );
        // The least of three: the relay and the feed look around all the time.
        let mut least = Vec::new();
        for _ in 0..3 {
            tap.takes();
            let answer = ana.asks(&query, json!({})).await;
            let statements = tap.takes();
            let nodes = &answer.data()["medicalRecords"]["nodes"];
            assert_eq!(nodes.as_array().map(Vec::len), Some(size));
            let versions = &nodes[0]["history"]["nodes"];
            assert_eq!(versions.as_array().map(Vec::len), Some(2));
            if least.is_empty() || statements.len() < least.len() {
                least = statements;
            }
        }
        least
    };

    heard(20).await;
    let (two, twenty) = (heard(2).await, heard(20).await);

    let about = |statements: &[String], what: &str| {
        statements.iter().filter(|it| it.contains(what)).count()
    };
    for statements in [&two, &twenty] {
        assert_eq!(about(statements, "WITH RECURSIVE"), 1, "{statements:#?}");
        assert_eq!(
            about(statements, "predecessor_id = ANY"),
            1,
            "{statements:#?}"
        );
    }
    // The record disclosure takes what waits: a group or two more for forty versions than for four.
    let groups = |statements: &[String]| about(statements, "INTO audit_logs");
    assert!(groups(&twenty) <= groups(&two) + 4, "{twenty:#?}");
}

#[tokio::test]
async fn the_same_key_gives_the_same_version_and_each_operation_has_its_own() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let first = measured(&ana).await;
    let document = documents::vital_signs();
    let key = json!({ "idempotencyKey": "once" });
    let amend = || ana.amends(&first, &document, key.clone());

    let answers = join_all((0..10).map(|_| amend())).await;

    let won: BTreeSet<String> = answers
        .iter()
        .filter(|answer| answer.code().is_none())
        .map(|answer| id(&of(answer)))
        .collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.code().is_some()) {
        answer.fails_with("BUSY");
    }
    let second = of(&amend().await);
    assert!(won.contains(&id(&second)), "long after it was superseded");
    let other = json!({ "idempotencyKey": "once", "reason": "another reason than before" });
    let refused = ana.amends(&first, &document, other).await;
    assert_eq!(
        refused.fails_with("CONFLICT").extensions["field"],
        "idempotencyKey"
    );
    // The same text for another operation is another key.
    let third = of(&ana.retracts(&second, key.clone()).await);
    assert_eq!(
        id(&of(&ana.retracts(&second, key.clone()).await)),
        id(&third)
    );
    let stored = ana
        .stores(&ana, "VITAL_SIGNS", &document, key.clone())
        .await;
    assert_ne!(
        id(&stored.data()["createMedicalRecord"]["record"]),
        id(&third)
    );
    assert_eq!(world.sql("SELECT id FROM medical_records").await.len(), 4);
}

#[tokio::test]
async fn a_record_of_each_kind_is_withdrawn_as_entered_in_error() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&bo, &["CREATE", "AMEND"]).await;
    let mut last = Vec::new();
    for (record_type, _) in documents::ALL {
        let first = bo
            .creates(&ana, record_type, documents::of(record_type))
            .await;
        ana.retracts(&first, json!({}))
            .await
            .fails_with("NOT_FOUND");

        let second = of(&bo.retracts(&first, json!({})).await);

        assert_eq!(second["isWithdrawn"], true, "{record_type}");
        assert_eq!(
            (&second["version"], &second["isCurrent"]),
            (&json!(2), &json!(true))
        );
        assert_eq!(second["metadata"]["status"], "entered-in-error");
        let read = ana.reads(&id(&second)).await.data()["medicalRecord"].clone();
        let marked = text(&read["canonical"])
            .matches("\"entered-in-error\"")
            .count();
        assert!(marked > 0, "{record_type}: {}", read["canonical"]);
        assert_eq!(
            history(&ana, &second).await[0]["reason"],
            "the sample was somebody else's"
        );
        // Nothing follows it.
        for answer in [
            bo.amends(&second, documents::of(record_type), json!({}))
                .await,
            bo.retracts(&second, json!({})).await,
        ] {
            answer.fails_with("CONFLICT");
        }
        last.push((first, second));
    }

    for (first, second) in &last {
        world.wait_for_anchor(&id(second), "CONFIRMED").await;
        let closed = format!(
            "SELECT 1 FROM record_closings WHERE record_id = '{}' AND state = 'CONFIRMED'",
            id(second)
        );
        eventually("the record is closed on the chain", async || {
            (!world.sql(&closed).await.is_empty()).then_some(())
        })
        .await;
        let (old, new) = (verdict(&ana, first).await, verdict(&ana, second).await);
        assert_eq!(
            (&old["verdict"], &new["verdict"]),
            (&json!("SUPERSEDED"), &json!("REVOKED"))
        );
        assert_eq!(old["chainSuccessor"], second["dataHash"]);
    }
    let shown = ana
        .asks("{ medicalRecords { nodes { isWithdrawn } } }", json!({}))
        .await;
    let shown = shown.data()["medicalRecords"]["nodes"].clone();
    assert_eq!(shown, Value::from(vec![json!({ "isWithdrawn": true }); 8]));
    // Opened, and written down before that; then withdrawn.
    let of_first = format!(
        "resource_id = '{}' AND action_type = 'RECORD_AMEND'",
        id(&last[0].0)
    );
    let opened = world.audit_rows(&of_first).await;
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0]["encryption_status"], "DECRYPTED_FOR_DISCLOSURE");
    let of_second = format!(
        "resource_id = '{}' AND action_type = 'RECORD_AMEND'",
        id(&last[0].1)
    );
    assert_eq!(
        world.audit_rows(&of_second).await[0]["new_value"]["withdrawn"],
        true
    );
}

#[tokio::test]
async fn what_was_tampered_with_cannot_be_withdrawn_and_is_found() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let first = measured(&ana).await;
    let (stranger, second) = (measured(&ana).await, amended(&ana, &first).await);
    world.wait_for_anchor(&id(&second), "CONFIRMED").await;
    let mut told = ana.watches(json!({})).await;
    let second_id = id(&second);

    let moved = format!(
        "UPDATE medical_records SET predecessor_id = '{}' WHERE id = '{second_id}'",
        id(&stranger)
    );
    assert_eq!(world.executes(&moved).await, 1);

    let (opened, _) = told.until("FINDING_OPENED").await;
    assert_eq!(opened["finding"]["kind"], "HASH_MISMATCH");
    let found = world
        .sql("SELECT * FROM integrity_findings WHERE resolved_at IS NULL")
        .await;
    let columns: BTreeSet<_> = found
        .iter()
        .map(|row| text(&row["details"]["column"]))
        .collect();
    assert!(
        !columns.is_empty()
            && columns
                .iter()
                .all(|it| it == "predecessor_id" || it == "superseded_at"),
        "{found:?}"
    );
    let back = moved.replace(&id(&stranger), &id(&first));
    assert_eq!(world.executes(&back).await, 1);
    eventually("what was put back is right again", async || {
        let open = "SELECT 1 FROM integrity_findings WHERE resolved_at IS NULL";
        world.sql(open).await.is_empty().then_some(())
    })
    .await;
    // Hidden from the list, it is found; and what does not open is not withdrawn.
    let hidden =
        format!("UPDATE medical_records SET superseded_at = now() WHERE id = '{second_id}'");
    world.executes(&hidden).await;
    eventually("the hidden version is found", async || {
        let open = format!(
            "SELECT 1 FROM integrity_findings
             WHERE resolved_at IS NULL AND record_id = '{second_id}' AND details ->> 'column' = 'superseded_at'"
        );
        (!world.sql(&open).await.is_empty()).then_some(())
    })
    .await;
    let forged = format!(
        "UPDATE medical_records SET encrypted_data = set_byte(encrypted_data, 40, get_byte(encrypted_data, 40) # 1) WHERE id = '{}'",
        id(&stranger)
    );
    world.executes(&forged).await;
    ana.retracts(&stranger, json!({}))
        .await
        .fails_with("INTEGRITY_VIOLATION");
    let versions = "SELECT id FROM medical_records WHERE version = 2";
    assert_eq!(world.sql(versions).await.len(), 1);
}

#[tokio::test]
async fn a_superseding_anchor_that_is_undone_is_done_again() {
    let world = World::with(|options| options.slots_in_an_epoch = 8).await;
    let ana = world.patient("ana").await;
    let first = measured(&ana).await;
    world.wait_for_anchor(&id(&first), "CONFIRMED").await;
    let second = amended(&ana, &first).await;
    world.wait_for_anchor(&id(&second), "CONFIRMED").await;
    world.wait_for_indexer().await;
    let mut told = ana.watches(json!({})).await;

    // The successor alone, then both, and the empty block between them: the predecessor has to come
    // first again.
    for (depth, undone) in [(1, vec![&second]), (3, vec![&first, &second])] {
        world.reorg(depth).await;

        let mut reorged = BTreeSet::new();
        while reorged.len() < undone.len() {
            let (event, _) = told.until("ANCHOR_REORGED").await;
            reorged.insert(text(&event["recordId"]));
        }
        assert_eq!(reorged, undone.iter().map(|it| id(it)).collect());
        for record in [&first, &second] {
            world.wait_for_anchor(&id(record), "CONFIRMED").await;
        }
        world.wait_for_indexer().await;
        assert_eq!(
            successor_of(&world, &first).await,
            text(&second["dataHash"])
        );
        assert_eq!(verdict(&ana, &first).await["verdict"], "SUPERSEDED");
    }
    assert!(
        world
            .sql("SELECT 1 FROM integrity_findings")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn an_amendment_that_was_acknowledged_survives_a_kill_of_the_api() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let first = measured(&ana).await;
    world.wait_for_anchor(&id(&first), "CONFIRMED").await;
    // Nothing can be sent: what is committed waits in the outbox.
    world.foundation.node.as_ref().expect("ours").stop().await;
    let second = amended(&ana, &first).await;
    let third = of(&ana.retracts(&second, json!({})).await);

    world.api.kill().await;
    let node = world.foundation.node.as_mut().expect("ours");
    node.restart().await.expect("the node is back");
    world.api.restart().await;

    for record in [&second, &third] {
        world.wait_for_anchor(&id(record), "CONFIRMED").await;
    }
    assert_eq!(
        successor_of(&world, &first).await,
        text(&second["dataHash"])
    );
    assert_eq!(
        successor_of(&world, &second).await,
        text(&third["dataHash"])
    );
    eventually("the withdrawal is on the chain", async || {
        (verdict(&ana, &third).await["verdict"] == "REVOKED").then_some(())
    })
    .await;
    assert_eq!(history(&ana, &first).await.len(), 3);
}

#[tokio::test]
async fn versions_of_an_account_without_its_role_wait_and_come_to_the_chain_in_their_order() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let registrar = world.foundation.deployment.registrar.replace("0x", "");
    // The id of the registrar's role: keccak256("REGISTRAR_ROLE").
    let role = "edcc084d3dcd65a1f7f23c65c46722faca6953d28e43150a467cf43e5c309238";
    let change = |selector: &str| format!("0x{selector}{role}{registrar:0>64}");
    // Without its role the account can anchor nothing: nothing is sent, and an administrator is told.
    world
        .calls_registry(ADMINISTRATOR, change("d547741f"))
        .await;
    let first = measured(&ana).await;
    let second = amended(&ana, &first).await;
    let stuck = "SELECT details ->> 'reason' AS reason FROM integrity_findings
                 WHERE kind = 'ANCHOR_STUCK' AND resolved_at IS NULL";
    eventually("the finding is open", async || {
        let open = world.sql(stuck).await;
        (open == [json!({ "reason": "ROLE_LOST" })]).then_some(())
    })
    .await;
    assert_eq!(verdict(&ana, &first).await["verdict"], "ANCHOR_FAILED");
    world.wait_for_anchor(&id(&second), "PENDING").await;

    world
        .calls_registry(ADMINISTRATOR, change("2f2ff15d"))
        .await;
    let third = amended(&ana, &second).await;

    world.wait_for_anchor(&id(&third), "CONFIRMED").await;
    assert_eq!(verdict(&ana, &third).await["verdict"], "VERIFIED");
    for (old, new) in [(&first, &second), (&second, &third)] {
        assert_eq!(successor_of(&world, old).await, text(&new["dataHash"]));
    }
    let fourth = amended(&ana, &third).await;
    world.wait_for_anchor(&id(&fourth), "CONFIRMED").await;
    assert_eq!(
        successor_of(&world, &third).await,
        text(&fourth["dataHash"])
    );
    world.wait_for_indexer().await;
    eventually("no finding is open", async || {
        let open = "SELECT 1 FROM integrity_findings WHERE resolved_at IS NULL";
        world.sql(open).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_version_that_was_rolled_back_is_withheld_and_found() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let first = measured(&ana).await;
    let second = id(&amended(&ana, &first).await);
    world.wait_for_anchor(&second, "CONFIRMED").await;
    world.wait_for_indexer().await;
    let first = id(&first);
    ana.reads(&first).await.data();

    world
        .attacks(&format!(
            "DELETE FROM medical_records WHERE id = '{second}';
             UPDATE medical_records SET superseded_at = NULL WHERE id = '{first}'"
        ))
        .await;

    assert_eq!(ana.reads(&first).await.code(), Some("INTEGRITY_VIOLATION"));
    let verified = ana.verifies(&first).await;
    assert_eq!(verified.data()["verifyRecord"]["verdict"], "TAMPERED");
    let found = async |kind: &str, record: &str| {
        let open = format!(
            "SELECT 1 FROM integrity_findings
             WHERE resolved_at IS NULL AND kind = '{kind}' AND record_id = '{record}'"
        );
        (!world.sql(&open).await.is_empty()).then_some(())
    };
    assert!(found("CONTENT_MISMATCH", &first).await.is_some());
    eventually(
        "the sweep finds the version and the one that is gone",
        async || {
            found("HASH_MISMATCH", &first).await?;
            found("UNKNOWN_ON_CHAIN", &second).await
        },
    )
    .await;
    // Nor does it open where the rows of its anchor are gone, too: the chain's event names it.
    world
        .attacks(&format!(
            "DELETE FROM record_anchors WHERE record_id = '{second}';
             DELETE FROM anchor_outbox WHERE record_id = '{second}'"
        ))
        .await;
    assert_eq!(ana.reads(&first).await.code(), Some("INTEGRITY_VIOLATION"));
}
