//! Finding records: by what their documents say, in an order that writers do not disturb.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Person, World, documents, id, text};

const FIND: &str = "query Find(
  $patient: UUID, $filter: RecordFilterInput, $order: RecordOrder, $first: Int, $after: Cursor
) {
  medicalRecords(patientId: $patient, filter: $filter, orderBy: $order, first: $first, after: $after) {
    totalCount nodes { id recordType effectiveAt createdAt } pageInfo { hasNextPage endCursor }
  }
}";
const TOO_EARLY: &str = "-4714-11-23T23:59:59Z";
const ORDERS: [&str; 4] = [
    "CREATED_DESC",
    "CREATED_ASC",
    "EFFECTIVE_DESC",
    "EFFECTIVE_ASC",
];

/// What somebody finds on one page, and how many there are by the total.
async fn finds(person: &Person, variables: Value) -> (Vec<Value>, u64) {
    let answer = person.asks(FIND, variables).await;
    let list = &answer.data()["medicalRecords"];
    let nodes = list["nodes"].as_array().expect("a list").clone();
    (nodes, list["totalCount"].as_u64().expect("a number"))
}

/// The types of the records that somebody finds by a filter; the total must be their number.
async fn types_found(person: &Person, patient: Option<&Person>, filter: &Value) -> Vec<String> {
    let patient = patient.map(|it| it.id.as_str());
    let (nodes, total) = finds(person, json!({ "patient": patient, "filter": filter })).await;
    assert_eq!(nodes.len() as u64, total, "{filter}");
    let mut types: Vec<_> = nodes.iter().map(|it| text(&it["recordType"])).collect();
    types.sort_unstable();
    types
}

/// The ids on all pages, one after the other.
async fn pages(person: &Person, order: &str, filter: &Value, size: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), Value::Null);
    loop {
        let variables = json!({ "order": order, "filter": filter, "first": size, "after": after });
        let answer = person.asks(FIND, variables).await;
        let page = &answer.data()["medicalRecords"];
        ids.extend(page["nodes"].as_array().expect("a list").iter().map(id));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            return ids;
        }
    }
}

fn code(system: &str, code: &str) -> Value {
    json!({ "code": { "system": system, "code": code } })
}

/// A heart rate measured at a time.
fn measured(at: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "category": [{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] },
        "effectiveDateTime": at,
        "valueQuantity": { "value": 62, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min" }
    })
}

#[tokio::test]
async fn a_record_is_found_by_what_its_document_says() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, dr_cy) = (world.doctor("bo").await, world.doctor("cy").await);
    ana.lets(&dr_bo, &["SEARCH", "CREATE"]).await;
    ana.lets(&dr_cy, &["SEARCH", "CREATE"]).await;
    for (record_type, _) in documents::ALL {
        let by = if record_type == "IMAGING" {
            &dr_cy
        } else {
            &dr_bo
        };
        by.creates(&ana, record_type, documents::of(record_type))
            .await;
    }
    // Nobody but eve finds hers, whatever it has in common with ana's.
    eve.creates(&eve, "DIAGNOSIS", documents::of("DIAGNOSIS"))
        .await;
    let icd_10 = "http://hl7.org/fhir/sid/icd-10";
    let loinc = "http://loinc.org";
    let all: Vec<&str> = documents::ALL.iter().map(|(name, _)| *name).collect();
    let table: [(Value, &[&str]); 22] = [
        (json!({}), &all),
        (
            json!({ "recordTypes": ["IMAGING", "VACCINATION"] }),
            &["IMAGING", "VACCINATION"],
        ),
        (
            json!({ "status": "final" }),
            &["IMAGING", "LAB_RESULT", "VITAL_SIGNS"],
        ),
        (
            json!({ "status": "active" }),
            &["DIAGNOSIS", "PRESCRIPTION", "TREATMENT_PLAN"],
        ),
        (json!({ "status": "nonsense" }), &[]),
        (json!({ "metadata": { "modality": "DX" } }), &["IMAGING"]),
        (
            json!({ "metadata": { "testType": "CH", "status": "final" } }),
            &["LAB_RESULT"],
        ),
        (
            json!({ "metadata": { "date": "2026-03-04" }, "status": "final" }),
            &["VITAL_SIGNS"],
        ),
        (
            json!({ "metadata": { "nextDue": "2026-04-04" } }),
            &["VACCINATION"],
        ),
        (code(icd_10, "E11.9"), &["DIAGNOSIS", "MEDICAL_HISTORY"]),
        (code(loinc, "4548-4"), &["LAB_RESULT", "TREATMENT_PLAN"]),
        (code(loinc, "8480-6"), &["VITAL_SIGNS"]),
        (
            code("http://www.whocc.no/atc", "A10BA02"),
            &["PRESCRIPTION"],
        ),
        (code("http://hl7.org/fhir/sid/cvx", "43"), &["VACCINATION"]),
        (code(icd_10, "E11"), &[]),
        (code(loinc, "E11.9"), &[]),
        (
            json!({ "code": { "system": icd_10, "code": "E11.9" }, "recordTypes": ["DIAGNOSIS"] }),
            &["DIAGNOSIS"],
        ),
        (json!({ "authorId": dr_cy.id }), &["IMAGING"]),
        (json!({ "completeness": "INCOMPLETE" }), &[]),
        (
            // The plan lasts until September.
            json!({ "effectiveFrom": "2026-03-10T00:00:00Z" }),
            &["IMAGING", "TREATMENT_PLAN"],
        ),
        (
            json!({ "effectiveFrom": "2026-03-02T00:15:00Z", "effectiveTo": "2026-03-02T00:15:01Z" }),
            &["LAB_RESULT"],
        ),
        (json!({ "createdTo": "2026-01-01T00:00:00Z" }), &[]),
    ];

    for (filter, expected) in &table {
        let mut expected = expected.to_vec();
        expected.sort_unstable();

        assert_eq!(
            types_found(&ana, None, filter).await,
            expected,
            "ana by {filter}"
        );
        assert_eq!(
            types_found(&dr_bo, None, filter).await,
            expected,
            "dr.bo by {filter}"
        );
        assert_eq!(
            types_found(&dr_bo, Some(&ana), filter).await,
            expected,
            "dr.bo, of ana, by {filter}"
        );
        assert_eq!(
            types_found(&dr_bo, Some(&eve), filter).await,
            [""; 0],
            "of eve"
        );
    }
}

#[tokio::test]
async fn a_filter_that_can_find_nothing_is_refused_and_not_answered() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let table = [
        (json!({ "metadata": { "note": "x" } }), "metadata"),
        (
            json!({ "metadata": { "status": "she cannot sleep" } }),
            "metadata",
        ),
        (json!({ "metadata": ["status"] }), "metadata"),
        (
            json!({ "metadata": { "modality": "CT" }, "recordTypes": ["VACCINATION"] }),
            "metadata",
        ),
        (
            json!({ "metadata": { "status": "final" }, "status": "active" }),
            "status",
        ),
        (code("", "E11.9"), "code"),
        (code("http://loinc.org", ""), "code"),
        (json!({ "recordTypes": [] }), "recordTypes"),
        // The database holds no time before 4713 BC.
        (json!({ "createdFrom": TOO_EARLY }), "createdFrom"),
        (json!({ "createdTo": TOO_EARLY }), "createdTo"),
        (json!({ "effectiveFrom": TOO_EARLY }), "effectiveFrom"),
        (json!({ "effectiveTo": TOO_EARLY }), "effectiveTo"),
    ];

    for (filter, field) in table {
        let answer = ana.asks(FIND, json!({ "filter": filter })).await;

        let told = answer.fails_with("BAD_USER_INPUT");
        assert_eq!(told.extensions["field"], field, "{filter}");
        assert!(!told.message.contains("sleep"), "{}", told.message);
    }
}

#[tokio::test]
async fn a_span_may_begin_with_the_first_moment_that_the_database_holds() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    ana.creates(&ana, "IMAGING", &documents::of("IMAGING"))
        .await;
    for from in [
        "-4713-11-24T00:00:00Z",
        "-4712-06-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
    ] {
        let (nodes, _) = finds(&ana, json!({ "filter": { "effectiveFrom": from } })).await;
        assert_eq!(nodes.len(), 1, "{from}");
    }
    let (nodes, _) = finds(
        &ana,
        json!({ "filter": { "effectiveFrom": "9999-12-31T23:59:59Z" } }),
    )
    .await;
    assert!(nodes.is_empty());
}

#[tokio::test]
async fn metadata_is_read_off_the_document_and_must_not_say_otherwise() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let imaging = documents::of("IMAGING");

    let record = ana.creates(&ana, "IMAGING", &imaging).await;
    let more = json!({ "metadata": { "department": "er", "modality": "DX" } });
    let joined = ana.stores(&ana, "IMAGING", &imaging, more).await;
    let more = json!({ "metadata": { "modality": "CT" } });
    let refused = ana.stores(&ana, "IMAGING", &imaging, more).await;

    assert_eq!(
        record["metadata"],
        json!({ "date": "2026-03-10", "status": "final", "modality": "DX" })
    );
    assert_eq!(
        joined.data()["createMedicalRecord"]["record"]["metadata"],
        json!({ "date": "2026-03-10", "status": "final", "modality": "DX", "department": "er" })
    );
    let told = refused.fails_with("BAD_USER_INPUT");
    assert_eq!(told.extensions["field"], "metadata");
    let (nodes, _) = finds(&ana, json!({})).await;
    for node in &nodes {
        assert_eq!(node["effectiveAt"], "2026-03-10T01:05:00.000000Z");
    }
    assert_eq!(nodes.len(), 2, "what was refused is not there");
}

#[tokio::test]
async fn a_code_is_stored_as_what_only_the_key_and_the_patient_explain() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    for person in [&ana, &ana, &eve] {
        person
            .creates(person, "DIAGNOSIS", documents::of("DIAGNOSIS"))
            .await;
    }

    let rows = world
        .sql("SELECT patient_id, array(SELECT encode(token, 'hex') FROM unnest(code_tokens) AS t(token)) AS tokens,
                     record::text AS all_of_it FROM medical_records AS record")
        .await;

    let tokens_of = |person: &Person| -> Vec<BTreeSet<String>> {
        let hers = rows
            .iter()
            .filter(|row| row["patient_id"] == person.id.as_str());
        let tokens = |row: &Value| {
            row["tokens"]
                .as_array()
                .expect("a list")
                .iter()
                .map(text)
                .collect()
        };
        hers.map(tokens).collect()
    };
    let (anas, eves) = (tokens_of(&ana), tokens_of(&eve));
    assert_eq!(anas[0], anas[1], "the same codes of one patient");
    assert_eq!(anas[0].len(), 2, "ICD-10 and SNOMED CT");
    assert!(
        anas[0].is_disjoint(&eves[0]),
        "the same codes of another one"
    );
    for row in &rows {
        let all = text(&row["all_of_it"]);
        assert!(!all.contains("E11") && !all.contains("44054006"), "{all}");
    }
    let trail = Value::from(world.audit_rows("TRUE").await).to_string();
    assert!(!trail.contains("E11"), "{trail}");
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_what_was_there_while_somebody_writes() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["SEARCH"]).await;
    // Some at the same time, so that the id has to decide.
    let times = ["2026-01-01", "2026-01-02", "2026-01-02", "2025-12", "2024"];
    let all = (0..25).map(|n| ana.creates(&ana, "VITAL_SIGNS", measured(times[n % 5])));
    let present: BTreeSet<_> = join_all(all).await.iter().map(id).collect();
    let filter = json!({ "status": "final" });

    for order in ORDERS {
        for person in [&ana, &dr_bo] {
            let writes = async {
                for n in 0..8 {
                    ana.creates(&ana, "VITAL_SIGNS", measured(times[n % 5]))
                        .await;
                }
            };
            let (seen, ()) = futures::join!(pages(person, order, &filter, 4), writes);

            let once: BTreeSet<_> = seen.iter().cloned().collect();
            assert_eq!(once.len(), seen.len(), "{order}: something came twice");
            assert!(present.is_subset(&once), "{order}: something was skipped");
        }
    }
}

#[tokio::test]
async fn a_year_a_month_and_a_day_are_found_by_any_time_within_them() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["SEARCH"]).await;
    let dates = ["2024", "2024-02", "2024-02-29", "2024-02-29T10:00:00Z"];
    let mut records = Vec::new();
    for at in dates {
        records.push(id(&ana.creates(&ana, "VITAL_SIGNS", measured(at)).await));
    }
    let table: [(&str, &str, &[usize]); 8] = [
        ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", &[0]),
        (
            "2024-02-29T10:00:00Z",
            "2024-02-29T10:00:01Z",
            &[0, 1, 2, 3],
        ),
        ("2024-02-29T10:00:01Z", "2024-03-01T00:00:00Z", &[0, 1, 2]),
        ("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z", &[0]),
        ("2024-12-31T23:59:59Z", "2025-06-01T00:00:00Z", &[0]),
        ("2025-01-01T00:00:00Z", "2025-06-01T00:00:00Z", &[]),
        ("2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z", &[]),
        ("2023-01-01T00:00:00Z", "2024-02-01T00:00:01Z", &[0, 1]),
    ];
    for (from, to, expected) in table {
        let filter = json!({ "effectiveFrom": from, "effectiveTo": to });
        let expected: Vec<&String> = expected.iter().map(|nth| &records[*nth]).collect();
        // By where they begin.
        let found = pages(&ana, "EFFECTIVE_ASC", &filter, 2).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter}");
        // The totals, and a doctor's way to find them, say the same.
        for person in [&ana, &dr_bo] {
            let found = types_found(person, None, &filter).await;
            assert_eq!(found.len(), expected.len(), "{filter}");
        }
    }
}

#[tokio::test]
async fn a_period_is_found_by_any_time_within_it() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["SEARCH"]).await;
    let over = |period: Value| {
        let mut observation = measured("2020");
        let members = observation.as_object_mut().expect("an object");
        members.remove("effectiveDateTime");
        members.insert("effectivePeriod".to_owned(), period);
        observation
    };
    let mut records = Vec::new();
    for document in [
        over(json!({ "start": "2018-05-01", "end": "2022-03" })),
        over(json!({ "start": "2019-01-10T10:00:00Z" })),
        over(json!({ "start": "2020-06-01", "end": "2020-06-03T08:00:00Z" })),
        over(json!({ "end": "2021" })),
        measured("2023-01-01"),
    ] {
        records.push(id(&ana.creates(&ana, "VITAL_SIGNS", document).await));
    }
    let table: [(&str, &str, &[usize]); 8] = [
        ("2017-01-01T00:00:00Z", "2018-05-01T00:00:00Z", &[]),
        ("2017-01-01T00:00:00Z", "2018-05-01T00:00:01Z", &[0]),
        ("2020-06-02T00:00:00Z", "2020-06-02T12:00:00Z", &[0, 1, 2]),
        ("2020-06-04T00:00:00Z", "2020-06-05T00:00:00Z", &[0, 1]),
        // A month counts to its end, and so does the day of an end.
        ("2022-03-31T23:59:59Z", "2022-04-01T00:00:00Z", &[0, 1]),
        ("2022-04-01T00:00:00Z", "2023-01-01T00:00:00Z", &[1]),
        // Of a period that says only its end, that.
        ("2021-07-01T00:00:00Z", "2021-08-01T00:00:00Z", &[0, 1, 3]),
        ("9999-12-31T00:00:00Z", "9999-12-31T12:00:00Z", &[1]),
    ];
    for (from, to, expected) in table {
        let filter = json!({ "effectiveFrom": from, "effectiveTo": to });
        let expected: Vec<&String> = expected.iter().map(|nth| &records[*nth]).collect();
        // By where they begin.
        let found = pages(&ana, "EFFECTIVE_ASC", &filter, 2).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter}");
        let mut found = pages(&ana, "CREATED_DESC", &filter, 2).await;
        found.reverse();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter}");
        // The totals, and a doctor's way to find them, say the same.
        for person in [&ana, &dr_bo] {
            let found = types_found(person, None, &filter).await;
            assert_eq!(found.len(), expected.len(), "{filter}");
        }
        // So do pages across patients, in each order.
        let across = json!({ "effectiveFrom": from, "effectiveTo": to, "status": "final" });
        for (order, is_reversed) in ORDERS.into_iter().zip([true, false, true, false]) {
            let mut found = pages(&dr_bo, order, &across, 2).await;
            if is_reversed {
                found.reverse();
            }
            assert_eq!(
                found.iter().collect::<Vec<_>>(),
                expected,
                "{order}: {filter}"
            );
        }
    }
    let (nodes, _) = finds(
        &ana,
        json!({ "filter": { "metadata": { "dateEnd": "ongoing" } } }),
    )
    .await;
    assert_eq!(nodes.len(), 1);
}

#[tokio::test]
async fn each_order_is_kept_across_pages_and_runs_backwards_to_its_opposite() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    for at in [
        "2026-01-05",
        "2024",
        "2026-01-01T00:00:00Z",
        "2026-01-05",
        "2025-06",
    ] {
        ana.creates(&ana, "VITAL_SIGNS", measured(at)).await;
    }
    // One that does not say when it was: it counts by when it was stored, so it is the latest.
    let mut timeless = measured("2026-01-01");
    timeless
        .as_object_mut()
        .expect("an object")
        .remove("effectiveDateTime");
    ana.creates(&ana, "VITAL_SIGNS", timeless).await;

    for [down, up] in [[ORDERS[0], ORDERS[1]], [ORDERS[2], ORDERS[3]]] {
        let forwards = pages(&ana, down, &json!({}), 2).await;
        let mut backwards = pages(&ana, up, &json!({}), 2).await;
        backwards.reverse();
        let (nodes, total) = finds(&ana, json!({ "order": down })).await;

        assert_eq!(forwards, backwards, "{down}");
        assert_eq!(forwards, nodes.iter().map(id).collect::<Vec<_>>(), "{down}");
        assert_eq!(total, 6);
        let key = |node: &Value| match &node["effectiveAt"] {
            Value::String(at) if down == "EFFECTIVE_DESC" => at.clone(),
            _ => text(&node["createdAt"]),
        };
        let keys: Vec<_> = nodes.iter().map(key).collect();
        assert!(keys.is_sorted_by(|a, b| a >= b), "{down}: {keys:?}");
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_the_filter_and_order_it_was_taken_from() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    for _ in 0..3 {
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
    }
    let first = json!({ "filter": { "status": "final" }, "order": "CREATED_ASC", "first": 1 });
    let answer = ana.asks(FIND, first).await;
    let cursor = &answer.data()["medicalRecords"]["pageInfo"]["endCursor"];
    let next = |changed: Value| {
        let mut variables = json!({
            "filter": { "status": "final" }, "order": "CREATED_ASC", "first": 1, "after": cursor,
        });
        let all = variables.as_object_mut().expect("an object");
        all.extend(changed.as_object().expect("an object").clone());
        variables
    };

    // Another size is no other list.
    ana.asks(FIND, next(json!({ "first": 2 }))).await.data();
    for other in [
        json!({ "order": "CREATED_DESC" }),
        json!({ "order": "EFFECTIVE_ASC" }),
        json!({ "filter": { "status": "active" } }),
        json!({ "filter": null }),
        json!({ "patient": ana.id }),
        json!({ "after": "0123" }),
        json!({ "after": text(cursor).replace(['0', '1'], "2") }),
    ] {
        let answer = ana.asks(FIND, next(other.clone())).await;
        let told = answer.fails_with("BAD_USER_INPUT");
        assert_eq!(told.extensions["field"], "after", "{other}");
    }
    // Somebody else's list is another one.
    let answer = eve.asks(FIND, next(json!({}))).await;
    answer.fails_with("BAD_USER_INPUT");
}

#[tokio::test]
async fn a_total_counts_what_its_caller_may_see_and_nothing_else() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    for person in [&ana, &eve] {
        for record_type in ["VITAL_SIGNS", "LAB_RESULT", "IMAGING"] {
            person
                .creates(person, record_type, documents::of(record_type))
                .await;
        }
    }
    let total = async |person: &Person, filter: Value| {
        let (nodes, total) = finds(person, json!({ "filter": filter, "first": 1 })).await;
        assert!(nodes.len() as u64 <= total.min(1));
        total
    };
    assert_eq!(total(&dr_bo, json!({})).await, 0);
    let input = json!({
        "purpose": "TREAT", "dataCategories": ["VITAL_SIGNS", "IMAGING"],
        "processingActivities": ["SEARCH"], "grantees": [{ "user": dr_bo.id }],
    });
    ana.grants(input).await.data();
    eve.lets(&dr_bo, &["SEARCH"]).await;

    assert_eq!(total(&dr_bo, json!({})).await, 5);
    assert_eq!(total(&dr_bo, json!({ "authorId": ana.id })).await, 2);
    assert_eq!(total(&dr_bo, json!({ "status": "final" })).await, 5);
    let diabetes = code("http://loinc.org", "4548-4");
    assert_eq!(
        total(&dr_bo, diabetes.clone()).await,
        1,
        "ana's report is hidden"
    );
    assert_eq!(total(&ana, diabetes).await, 1);
    assert_eq!(total(&ana, json!({})).await, 3);
    assert_eq!(total(&ada, json!({})).await, 0, "an administrator's own");
    // What is restricted is the patient's alone.
    let restricted = format!(
        "UPDATE medical_records SET restricted_at = now() WHERE patient_id = '{}'",
        eve.id
    );
    world.executes(&restricted).await;
    assert_eq!(total(&dr_bo, json!({})).await, 2);
    assert_eq!(total(&eve, json!({})).await, 3);
    assert_eq!(total(&eve, code("http://loinc.org", "4548-4")).await, 1);
}

#[tokio::test]
async fn a_search_is_written_down_by_the_names_of_its_filters() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    ana.creates(&ana, "DIAGNOSIS", documents::of("DIAGNOSIS"))
        .await;
    let filter = json!({
        "recordTypes": ["DIAGNOSIS", "IMAGING"], "status": "active", "effectiveFrom": "2026-01-01T00:00:00Z",
        "code": { "system": "http://hl7.org/fhir/sid/icd-10", "code": "E11.9" },
    });

    let (nodes, _) = finds(&ana, json!({ "filter": filter })).await;

    assert_eq!(nodes.len(), 1);
    let rows = world.audit_rows("action_type = 'RECORD_SEARCH'").await;
    assert_eq!(
        rows.last().expect("it was written down")["new_value"],
        json!({
            "recordType": null, "count": 1, "total": 1,
            "filters": ["recordTypes", "effective", "metadata", "code"],
        })
    );
    let reads = world.audit_rows("action_type = 'RECORD_READ'").await;
    assert_eq!(reads.len(), 0, "what was shown is named by the same row");
    let shown: Vec<_> = nodes.iter().map(id).collect();
    assert_eq!(rows[0]["record_ids"], json!(shown));
}

#[tokio::test]
async fn a_time_or_a_cursor_that_the_database_cannot_hold_is_the_callers_mistake() {
    let world = World::start().await;
    let (ana, ada) = (world.patient("ana").await, world.admin("ada").await);
    // The layout of a list's cursor, with the earliest time that it has room for.
    let micros = chrono::DateTime::<chrono::Utc>::MIN_UTC.timestamp_micros();
    let cursor = format!("01{:016x}{}", micros.cast_unsigned(), "0".repeat(32));
    let lists = [
        (&ana, "consents"),
        (&ana, "mySessions"),
        (&ana, "myAccessLog"),
        (&ana, "myWallets"),
        (&ana, "medicalRecords"),
        (&ada, "users"),
        (&ada, "roleProposals"),
        (&ada, "auditLogs"),
        (&ada, "dataDeletionRequests"),
    ];

    for (person, list) in lists {
        let query = format!("{{ {list}(after: \"{cursor}\") {{ pageInfo {{ hasNextPage }} }} }}");
        let answer = person.asks(&query, json!({})).await;

        answer.fails_with("BAD_USER_INPUT");
    }
    for name in ["createdFrom", "createdTo", "effectiveFrom", "effectiveTo"] {
        let more = format!("&{name}={TOO_EARLY}");
        let reply = ana.exports(&world.api, &ana, &more).await;

        assert_eq!(reply.status, 400, "{name}: {}", reply.body);
        assert!(reply.body.contains("BAD_USER_INPUT"), "{}", reply.body);
    }
    // A sign is no digit: `%+1` is not the byte 1.
    let reply = ana.exports(&world.api, &ana, "&createdFrom=%+1").await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert!(reply.body.contains("BAD_REQUEST"), "{}", reply.body);
    let consent = ana
        .grants(json!({
            "purpose": "TREAT", "dataCategories": ["ALL_RECORDS"], "processingActivities": ["READ"],
            "grantees": [{ "role": "DOCTOR" }], "expiresAt": TOO_EARLY,
        }))
        .await;
    consent.fails_with("BAD_USER_INPUT");
}
