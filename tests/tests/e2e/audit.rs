//! The trail: a row for everything, written before anything is shown, and never changed.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tests::{Person, World, documents, eventually, id, text};

/// Posts as somebody; answers the id of the request, by the header of its answer, and the data.
async fn asks(world: &World, person: &Person, query: &str) -> (String, Value) {
    let token = format!("Bearer {}", person.client.token().expect("logged in"));
    let agent = "a browser\tof the test";
    let headers = [("authorization", token.as_str()), ("user-agent", agent)];
    let body = json!({ "query": query }).to_string();
    let reply = world.api.posts(&headers, &body).await;
    (reply.header("x-request-id").to_owned(), reply.json())
}

/// The rows of one request, without what no test can know.
async fn rows_of(world: &World, request: &str) -> Vec<Value> {
    let condition = format!(
        "request_id = '{request}' AND event_time <= created_at AND created_at <= now()
         AND ip_address = '127.0.0.1'"
    );
    let mut rows = world.audit_rows(&condition).await;
    for row in &mut rows {
        let row = row.as_object_mut().expect("a row");
        for unknown in ["id", "event_time", "created_at", "ip_address", "request_id"] {
            assert!(
                !row.remove(unknown).expect("a column").is_null(),
                "{unknown}"
            );
        }
    }
    rows
}

/// The trail stays readable, whatever somebody wrote into it.
#[tokio::test]
async fn a_purpose_that_is_not_known_is_null_and_shown_as_the_row_states_it() {
    const OWN: &str =
        "{ myAccessLog(first: 1, action: RECORD_CREATE) { nodes { purpose purposeCode } } }";
    const ALL: &str = "query($of: UUID) {
      auditLogs(userId: $of, actionType: RECORD_CREATE, first: 1) { nodes { purpose purposeCode } } }";
    let world = World::start().await;
    let (ana, admin) = (world.patient("ana").await, world.admin("ada").await);
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let known = ana.asks(OWN, json!({})).await;
    world
        .executes(&format!(
            "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, ip_address, request_id, purpose,
                 retention_period, data_classification, encryption_status, patient_id)
             SELECT user_id, action_type, resource_type, resource_id, ip_address, request_id, 'FUN', retention_period,
                 data_classification, encryption_status, patient_id
             FROM audit_logs WHERE action_type = 'RECORD_CREATE' AND patient_id = '{}'",
            ana.id
        ))
        .await;

    let own = ana.asks(OWN, json!({})).await;
    let all = admin.asks(ALL, json!({ "of": ana.id })).await;

    let wanted = json!({ "purpose": "PATRQT", "purposeCode": "PATRQT" });
    assert_eq!(known.data()["myAccessLog"]["nodes"][0], wanted);
    let wanted = json!({ "purpose": null, "purposeCode": "FUN" });
    assert_eq!(own.data()["myAccessLog"]["nodes"][0], wanted);
    assert_eq!(all.data()["auditLogs"]["nodes"][0], wanted);
}

#[tokio::test]
async fn a_row_says_who_did_what_why_and_by_which_consent() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let mine = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let read = format!("{{ medicalRecord(id: \"{mine}\") {{ document }} }}");
    let row = |action: &str, person: &Person| {
        json!({
            "user_id": person.id, "action_type": action, "resource_type": "MEDICAL_RECORD",
            "resource_id": mine, "old_value": null, "new_value": { "version": 1 },
            "user_agent": "a browserof the test", "purpose": "TREAT", "consent_reference": null,
            "retention_period": "1095 days", "data_classification": "MEDICAL",
            "is_cross_border": false, "destination_country": null,
            "encryption_status": "DECRYPTED_FOR_DISCLOSURE", "patient_id": ana.id, "record_ids": null,
            "on_behalf_of": null,
        })
    };
    let with = |mut row: Value, changes: Value| {
        let row_of = row.as_object_mut().expect("a row");
        row_of.extend(changes.as_object().expect("changes").clone());
        row
    };

    // Refused.
    let (request, said) = asks(&world, &dr_bo, &read).await;
    assert_eq!(
        said["errors"][0]["extensions"]["requestId"],
        request.as_str()
    );
    let refused = json!({
        "new_value": { "reason": "NO_CONSENT", "asked": mine, "wanted": "READ" }, "retention_period": "2556 days",
        "encryption_status": "NOT_APPLICABLE",
    });
    assert_eq!(
        rows_of(&world, &request).await,
        [with(row("ACCESS_DENIED", &dr_bo), refused)]
    );

    // Opened by consent: one row, that says it was opened.
    let consent = ana.lets(&dr_bo, &["READ", "SEARCH", "CREATE"]).await;
    let (request, _) = asks(&world, &dr_bo, &read).await;
    let opened = with(
        row("RECORD_READ", &dr_bo),
        json!({ "consent_reference": consent }),
    );
    let in_clear = with(
        opened.clone(),
        json!({ "encryption_status": "METADATA_ONLY" }),
    );
    assert_eq!(rows_of(&world, &request).await, [opened]);

    // Seen without its content.
    let (request, _) = asks(
        &world,
        &dr_bo,
        &format!("{{ medicalRecord(id: \"{mine}\") {{ id document @skip(if: true) }} }}"),
    )
    .await;
    assert_eq!(
        rows_of(&world, &request).await,
        std::slice::from_ref(&in_clear)
    );

    // Found: one row, which names each record it showed.
    let lab = dr_bo
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    let list = "{ medicalRecords(recordType: VITAL_SIGNS) { nodes { id } } }";
    let (request, _) = asks(&world, &dr_bo, list).await;
    let search = with(
        in_clear,
        json!({
            "action_type": "RECORD_SEARCH", "resource_id": request, "record_ids": [mine],
            "new_value": { "recordType": "VITAL_SIGNS", "count": 1 },
        }),
    );
    assert_eq!(rows_of(&world, &request).await, [search]);

    // Written.
    let created = world
        .audit_rows("action_type = 'RECORD_CREATE'")
        .await
        .remove(1);
    let expected = json!({
        "user_id": dr_bo.id, "resource_id": lab["id"], "patient_id": ana.id, "purpose": "TREAT",
        "consent_reference": consent, "encryption_status": "ENCRYPTED_AT_REST",
        "data_classification": "MEDICAL", "retention_period": "1826 days",
        "new_value": { "version": 1, "recordType": "LAB_RESULT", "dataHash": lab["dataHash"] },
    });
    for (column, value) in expected.as_object().expect("columns") {
        assert_eq!(&created[column], value, "{column}");
    }
    // Allowed, by the patient.
    let granted = world
        .audit_rows("action_type = 'CONSENT_GRANT'")
        .await
        .remove(0);
    assert_eq!(granted["consent_reference"], consent.as_str());
    assert_eq!(granted["retention_period"], "2556 days");
    assert_eq!(granted["data_classification"], "SENSITIVE_PERSONAL");
    assert_eq!(
        granted["new_value"]["thirdParties"],
        json!([{ "kind": "user", "id": dr_bo.id }])
    );
    assert_eq!(
        granted["new_value"]["processingActivities"],
        json!(["READ", "SEARCH", "CREATE"])
    );
}

#[tokio::test]
async fn nothing_is_shown_before_it_is_written_down() {
    let patience = ("MEDITRUSTAL_REQUEST_TIMEOUT".to_owned(), "2".to_owned());
    let world = World::with(|options| options.api.push(patience)).await;
    let ana = world.patient("ana").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let read = "query Q($id: UUID!) { medicalRecord(id: $id) { id dataHash document canonical } }";
    let list = "{ medicalRecords { nodes { id dataHash } } }";
    let url = world.foundation.database.superuser_url();
    let mut intruder = PgConnection::connect(&url).await.expect("a connection");
    let mut block = intruder.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE audit_logs IN SHARE MODE")
        .execute(&mut *block)
        .await
        .expect("locked");
    let before = world.audit_rows("TRUE").await.len();

    let (one, many, me) = tokio::join!(
        ana.asks(read, json!({ "id": record })),
        ana.asks(list, json!({})),
        ana.asks("{ me { email } }", json!({})),
    );

    for answer in [one, many, me] {
        assert!(
            ["TIMEOUT", "BUSY", "UNAVAILABLE"].contains(&answer.code().unwrap_or("none")),
            "{answer:?}"
        );
        let said = format!("{:?}", answer.partial_data());
        assert!(!said.contains(&record) && !said.contains("ana@"), "{said}");
    }
    assert_eq!(
        world.audit_rows("TRUE").await.len(),
        before,
        "nobody could write"
    );
    block.rollback().await.expect("unlocked");
    eventually("the record is shown again", async || {
        let answer = ana.asks(read, json!({ "id": record })).await;
        answer
            .code()
            .is_none()
            .then(|| answer.data()["medicalRecord"]["document"]["id"].clone())
    })
    .await;
    assert!(world.audit_rows("TRUE").await.len() > before);
}

#[tokio::test]
async fn a_patient_reads_in_sentences_who_did_what_and_who_was_refused() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    let consent = ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    dr_bo.reads(&record).await.data();
    dr_bo.verifies(&record).await.data();
    dr_bo
        .asks("{ medicalRecords { nodes { id } } }", json!({}))
        .await
        .data();
    ana.withdraws(&consent).await;
    let log = "{ myAccessLog(first: 50) { nodes { sentence allowed recordId consentId who { username email } } } }";

    let answer = ana.asks(log, json!({})).await;

    let nodes = answer.data()["myAccessLog"]["nodes"]
        .as_array()
        .expect("a list")
        .clone();
    let sentences: Vec<_> = nodes.iter().map(|node| text(&node["sentence"])).collect();
    for expected in [
        "You added a record to your file.",
        "dr.bo (doctor) tried to reach your data and was refused, for treatment.",
        "You gave a consent.",
        "dr.bo (doctor) opened a record of yours, for treatment, by your consent.",
        "dr.bo (doctor) compared a record of yours with the blockchain, for treatment, by your consent.",
        "dr.bo (doctor) looked through a list with one of your records, for treatment, by your consent.",
        "You took a consent back.",
    ] {
        assert!(
            sentences.iter().any(|it| it == expected),
            "{expected} in {sentences:#?}"
        );
    }
    let refused = nodes
        .iter()
        .find(|node| node["allowed"] == false)
        .expect("the refusal");
    assert_eq!(refused["recordId"], record.as_str());
    assert_eq!(
        refused["who"],
        json!({ "username": "dr.bo", "email": null })
    );
    let opened = nodes
        .iter()
        .find(|node| text(&node["sentence"]).contains("opened a record"));
    assert_eq!(opened.expect("it was")["consentId"], consent.as_str());
    // What is hers is nobody else's to read.
    let hers = eve.asks(log, json!({})).await;
    assert!(!hers.data().to_string().contains(&record));
    let trail = "query T($of: UUID) { auditLogs(resourceId: $of, first: 100) { nodes { actionType user { username } oldValue newValue } } }";
    for person in [&ana, &dr_bo] {
        person
            .asks(trail, json!({ "of": record }))
            .await
            .fails_with("FORBIDDEN");
    }
    let rows = ada.asks(trail, json!({ "of": record })).await;
    let rows = rows.data()["auditLogs"]["nodes"].to_string();
    assert!(
        rows.contains("ACCESS_DENIED") && rows.contains("RECORD_CREATE"),
        "{rows}"
    );
    // Reading the trail is in the trail, and so is trying to.
    let condition = format!("user_id = '{}' AND action_type = 'AUDIT_READ'", ada.id);
    assert_eq!(world.audit_rows(&condition).await.len(), 1);
    let condition = "new_value ->> 'reason' = 'ROLE' AND new_value ->> 'wanted' = 'AUDIT_READ'";
    assert_eq!(world.audit_rows(condition).await.len(), 2);
}

#[tokio::test]
async fn nobody_changes_or_removes_a_row_of_the_trail() {
    let world = World::start().await;
    world.patient("ana").await;
    let statements = [
        "UPDATE audit_logs SET action_type = 'NOTHING'",
        "DELETE FROM audit_logs",
        "TRUNCATE audit_logs",
    ];
    let trail = world.audit_rows("TRUE").await;
    assert!(!trail.is_empty());

    let url = world.foundation.database.superuser_url();
    let mut connections = vec![PgConnection::connect(&url).await.expect("a connection")];
    for role in [
        "meditrustal_api",
        "meditrustal_indexer",
        "meditrustal_migrator",
        "meditrustal_keys",
        "meditrustal_backup",
    ] {
        connections.push(world.connects_as(role).await);
    }

    for mut connection in connections {
        for statement in statements {
            let done = sqlx::query(statement).execute(&mut connection).await;
            let error = done.expect_err(statement);
            let code = error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code);
            // Of the roles by what they are granted, of the rest by the trigger.
            assert!(
                code.is_some_and(|code| code == "42501" || code == "P0001" || code == "23001"),
                "{statement}: {error}"
            );
        }
    }
    assert_eq!(world.audit_rows("TRUE").await, trail);
}

/// Every entry of a log, a page of so many at a time.
async fn whole_log(person: &Person, grouped: bool, first: u32) -> Vec<Value> {
    let query = "query($grouped: Boolean, $first: Int, $after: Cursor) {
        myAccessLog(grouped: $grouped, first: $first, after: $after, allowed: false) {
            nodes { id at since times sentence recordId } pageInfo { hasNextPage endCursor } } }";
    let (mut entries, mut after) = (Vec::new(), Value::Null);
    loop {
        let variables = json!({ "grouped": grouped, "first": first, "after": after });
        let answer = person.asks(query, variables).await;
        let page = &answer.data()["myAccessLog"];
        entries.extend(page["nodes"].as_array().expect("a list").clone());
        if page["pageInfo"]["hasNextPage"] == false {
            return entries;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

#[tokio::test]
async fn like_attempts_that_follow_one_another_are_told_as_one_where_the_log_is_grouped() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (bo, eve) = (world.doctor("bo").await, world.doctor("eve").await);
    let document = || documents::vital_signs();
    let one = id(&ana.creates(&ana, "VITAL_SIGNS", document()).await);
    let two = id(&ana.creates(&ana, "VITAL_SIGNS", document()).await);
    for (who, record) in [
        (&eve, &one),
        (&eve, &one),
        (&bo, &one),
        (&bo, &two),
        (&bo, &one),
        (&eve, &two),
    ] {
        who.reads(record).await.fails_with("NOT_FOUND");
    }

    let single = whole_log(&ana, false, 100).await;
    let grouped = whole_log(&ana, true, 100).await;

    assert_eq!(single.len(), 6);
    assert!(
        single
            .iter()
            .all(|entry| entry["times"] == 1 && entry["since"] == entry["at"])
    );
    let told: Vec<_> = grouped
        .iter()
        .map(|entry| (text(&entry["sentence"]), entry["recordId"].clone()))
        .collect();
    let refused = "tried to reach your data and was refused, for treatment";
    assert_eq!(
        told,
        [
            (format!("dr.eve (doctor) {refused}."), json!(two)),
            (format!("dr.bo (doctor) {refused}, 3 times."), Value::Null),
            (format!("dr.eve (doctor) {refused}, 2 times."), json!(one)),
        ]
    );
    for (entry, (newest, oldest)) in grouped.iter().zip([(0, 0), (1, 3), (4, 5)]) {
        assert_eq!(entry["id"], single[newest]["id"]);
        assert_eq!(entry["at"], single[newest]["at"]);
        assert_eq!(entry["since"], single[oldest]["at"]);
    }
    assert_eq!(
        whole_log(&ana, true, 1).await,
        grouped,
        "however it is paged"
    );
}
