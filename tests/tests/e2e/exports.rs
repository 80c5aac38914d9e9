//! Records taken out: the bytes that were hashed, each decided on and written down first.

use serde_json::{Value, json};
use tests::transfer::{BUNDLE, NDJSON, heart_rates, one_of_each};
use tests::{Person, World, id, text};

#[tokio::test]
async fn an_export_holds_the_exact_bytes_that_were_hashed() {
    let world = World::start().await;
    let (ana, dr_bo) = world.a_life().await;

    let lines = ana.exports(&world.api, &ana, "").await;
    let bundle = ana.exports(&world.api, &ana, "&format=bundle").await;
    let history = ana
        .exports(&world.api, &ana, "&history=true&format=archive")
        .await;
    let labs = dr_bo
        .exports(&world.api, &ana, "&recordType=LAB_RESULT&history=true")
        .await;

    assert_eq!(lines.header("content-type"), NDJSON);
    let query = "{ medicalRecords(first: 50, orderBy: CREATED_ASC) { nodes { canonical } } }";
    let listed = ana.asks(query, json!({})).await;
    let listed = listed.data()["medicalRecords"]["nodes"]
        .as_array()
        .expect("a list");
    let listed: Vec<_> = listed.iter().map(|node| text(&node["canonical"])).collect();
    assert_eq!(
        lines.body.lines().collect::<Vec<_>>(),
        listed,
        "byte for byte, oldest first"
    );
    assert_eq!(listed.len(), 8);
    assert_eq!(labs.body.lines().count(), 3, "every version of one");
    let read = bundle.json();
    assert_eq!(
        (&read["resourceType"], &read["type"]),
        (&json!("Bundle"), &json!("collection"))
    );
    assert_eq!(read["entry"].as_array().map(Vec::len), Some(8));
    for bytes in &listed {
        assert!(
            bundle.body.contains(bytes.as_str()),
            "as it is, in the Bundle, too"
        );
    }
    let archive: Vec<Value> = history
        .body
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let rows = world
        .sql("SELECT data_hash FROM medical_records ORDER BY created_at, id")
        .await;
    let hashes: Vec<_> = archive
        .iter()
        .map(|line| line["dataHash"].clone())
        .collect();
    assert_eq!(
        hashes,
        rows.iter()
            .map(|row| row["data_hash"].clone())
            .collect::<Vec<_>>()
    );
    assert_eq!(
        archive
            .iter()
            .filter(|line| line["withdrawn"] == true)
            .count(),
        1
    );
    // It goes on after a line, and not in another list.
    let cursor = text(&archive[3]["cursor"]);
    let rest = ana
        .exports(
            &world.api,
            &ana,
            &format!("&history=true&format=archive&after={cursor}"),
        )
        .await;
    let from_there: Vec<_> = history.body.lines().skip(4).collect();
    assert_eq!(rest.body.lines().collect::<Vec<_>>(), from_there);
    let other = ana
        .exports(&world.api, &ana, &format!("&format=archive&after={cursor}"))
        .await;
    assert_eq!(
        (other.status, other.code().as_str()),
        (400, "BAD_USER_INPUT")
    );
    let empty = world.patient("budi").await;
    let none = empty.exports(&world.api, &empty, "&format=bundle").await;
    assert_eq!(
        none.json(),
        json!({ "resourceType": "Bundle", "type": "collection" })
    );
}

#[tokio::test]
async fn every_record_is_written_down_before_a_byte_of_it_leaves() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    ana.imports(&world.api, &ana, (NDJSON, ""), heart_rates(40))
        .await;

    let whole = ana.exports(&world.api, &ana, "").await;

    let rows = world.audit_rows("action_type = 'RECORD_EXPORT'").await;
    let exported: Vec<_> = whole
        .body
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].clone())
        .collect();
    let written: Vec<_> = rows.iter().map(|row| row["resource_id"].clone()).collect();
    assert_eq!((exported.len(), rows.len()), (40, 40));
    assert!(exported.iter().all(|record| written.contains(record)));
    let row = &rows[0];
    assert_eq!(row["encryption_status"], "EXPORTED_PLAINTEXT");
    assert_eq!(
        (&row["user_id"], &row["patient_id"], &row["purpose"]),
        (&json!(ana.id), &json!(ana.id), &json!("PATRQT"))
    );
    assert_eq!(row["request_id"], whole.header("x-request-id"));
    let log = ana.asks(
        "{ myAccessLog(first: 100) { nodes { sentence } } }",
        json!({}),
    );
    let log = log.await.data()["myAccessLog"]["nodes"].clone();
    let sentence = json!({ "sentence": "You took a copy of a record of yours out." });
    assert!(log.as_array().expect("a list").contains(&sentence), "{log}");
    // What cannot be written down does not leave.
    world.is_broken_on_purpose();
    world
        .executes(
            "CREATE FUNCTION no_more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.action_type = 'RECORD_EXPORT' AND
                  (SELECT count(*) FROM audit_logs WHERE action_type = 'RECORD_EXPORT') >= 56
               THEN RAISE EXCEPTION 'no more'; END IF;
               RETURN NEW; END $$;
             CREATE TRIGGER no_more BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION no_more()",
        )
        .await;
    let url = format!("{}/export?patient={}", world.api.url(), ana.id);
    let request = dev::http::client()
        .get(url)
        .header("authorization", ana.bearer());
    let mut answer = request.send().await.expect("an answer");
    let mut told = Vec::new();
    let broke_off = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => told.extend(piece),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    let told = String::from_utf8(told).expect("text");
    let records = told
        .lines()
        .filter(|line| line.contains(r#""resourceType":"Observation""#))
        .count();
    let rows = world
        .audit_rows("action_type = 'RECORD_EXPORT'")
        .await
        .len()
        - 40;
    assert!(
        records <= rows && rows <= 16,
        "{records} left, {rows} written down"
    );
    assert!(broke_off, "nobody takes it for whole: {told}");
}

#[tokio::test]
async fn what_the_caller_may_not_take_out_is_not_there() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    ana.imports(&world.api, &ana, (NDJSON, ""), one_of_each())
        .await;
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let nobody = Person {
        id: "9b2f6c1a-54de-4f0b-8a77-1c6e0d9f2b35".to_owned(),
        ..world.nobody()
    };

    for person in [&eve, &dr_bo, &ada] {
        let refused = person.exports(&world.api, &ana, "").await;
        let absent = person.exports(&world.api, &nobody, "").await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (404, "NOT_FOUND"),
            "{}",
            person.username
        );
        assert_eq!(
            refused.json()["errors"][0]["message"],
            absent.json()["errors"][0]["message"]
        );
        let rows = world
            .audit_rows(&format!(
                "request_id = '{}'",
                refused.header("x-request-id")
            ))
            .await;
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (&rows[0]["action_type"], &rows[0]["new_value"]["wanted"]),
            (&json!("ACCESS_DENIED"), &json!("EXPORT"))
        );
    }
    // Of what a consent names, and nothing else.
    let input = json!({
        "purpose": "TREAT", "dataCategories": ["LAB_RESULT", "IMAGING"],
        "processingActivities": ["EXPORT"], "grantees": [{ "user": dr_bo.id }],
    });
    let consent = id(&ana.grants(input).await.data()["grantConsent"]["consent"]);
    let some = dr_bo.exports(&world.api, &ana, "&format=archive").await;
    let types: Vec<_> = some
        .body
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["recordType"].clone())
        .collect();
    assert_eq!(types, [json!("LAB_RESULT"), json!("IMAGING")]);
    let rows = world
        .audit_rows(&format!(
            "action_type = 'RECORD_EXPORT' AND user_id = '{}'",
            dr_bo.id
        ))
        .await;
    assert!(
        rows.len() == 2
            && rows
                .iter()
                .all(|row| row["consent_reference"] == consent.as_str())
    );
    let research = dr_bo.exports(&world.api, &ana, "&purpose=HRESCH").await;
    assert_eq!(research.status, 404, "another purpose is another question");
    assert_eq!(
        world.nobody().exports(&world.api, &ana, "").await.status,
        401
    );
}

#[tokio::test]
async fn a_tampered_record_is_withheld_and_reported() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let report = ana
        .imports(&world.api, &ana, (NDJSON, ""), heart_rates(3))
        .await;
    let bad = text(&report.lines[1]["recordId"]);
    world
        .attacks(&format!(
            "UPDATE medical_records SET author_id = NULL WHERE id = '{bad}'"
        ))
        .await;

    let lines = ana.exports(&world.api, &ana, "").await;
    let bundle = ana.exports(&world.api, &ana, "&format=bundle").await;
    let archive = ana.exports(&world.api, &ana, "&format=archive").await;

    let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let told: Vec<Value> = lines.body.lines().map(read).collect();
    assert_eq!(told.len(), 3);
    for outcome in [&told[1], &bundle.json()["entry"][1]["resource"]] {
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        assert_eq!(
            outcome["issue"][0]["details"]["coding"][0]["code"],
            "INTEGRITY_VIOLATION"
        );
        assert!(text(&outcome["issue"][0]["diagnostics"]).contains(&bad));
    }
    let withheld = read(archive.body.lines().nth(1).expect("a line"));
    assert_eq!(
        (&withheld["withheld"], &withheld["recordId"]),
        (&json!("INTEGRITY_VIOLATION"), &json!(bad))
    );
    let findings = world
        .sql("SELECT kind FROM integrity_findings WHERE resolved_at IS NULL")
        .await;
    assert!(!findings.is_empty());
    // The command tells it, by its exit code, too; and such a line is nothing to be brought in.
    let file = world.file("ana.ndjson");
    let output = world.runs(&ana, &ana, &["export", &file]).await;
    assert_eq!(output.code, Some(1), "{}", output.complaint);
    assert!(
        output.complaint.contains("2 in") && output.complaint.contains("1 withheld"),
        "{}",
        output.complaint
    );
    let output = world
        .runs(&ana, &ana, &["import", &file, "--restore"])
        .await;
    assert_eq!(output.code, Some(1), "{}", output.complaint);
    assert!(
        output
            .complaint
            .contains("0 stored, 2 there already, 1 refused"),
        "{}",
        output.complaint
    );
}

#[tokio::test]
async fn what_a_bundle_brings_back_has_the_type_that_it_had() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    // Without a category, it could be of either type.
    let condition = r#"{"resourceType":"Condition","code":{"coding":[{"system":"http://snomed.info/sct","code":"38341003"}]}}"#;
    for record_type in ["DIAGNOSIS", "MEDICAL_HISTORY"] {
        let said = format!("&recordType={record_type}&key={record_type}");
        let stored = ana
            .imports(&world.api, &ana, (NDJSON, &said), condition)
            .await;
        assert_eq!(stored.end["created"], 1, "{:?}", stored.lines);
    }

    for format in ["bundle", "transaction"] {
        let asked = format!("&format={format}");
        let exported = ana.exports(&world.api, &ana, &asked).await;
        let key = format!("&key={format}");
        let brought = ana
            .imports(&world.api, &ana, (BUNDLE, &key), exported.body)
            .await;

        assert_eq!(brought.end["refused"], 0, "{:?}", brought.lines);
        let types = brought.each("recordType");
        for record_type in ["DIAGNOSIS", "MEDICAL_HISTORY"] {
            assert!(types.contains(&json!(record_type)), "{types:?}");
        }
    }
}
