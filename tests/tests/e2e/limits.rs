//! What one account may bring in: lists are sets, what stays is counted, and nobody waits for another's rows.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, eventually, id, text};

const ASK: &str = "mutation Ask($input: RequestDataDeletionInput!) {
  requestDataDeletion(input: $input) { request { id dataCategories subject { id } } }
}";

/// The same terms with an end of their own, so that they are others.
fn others(grantee: &Person, nth: usize) -> Value {
    let mut terms = grantee.terms();
    terms["expiresAt"] = json!(format!("2099-01-01T00:{:02}:{:02}Z", nth / 60, nth % 60));
    terms
}

async fn count(world: &World, of: &str) -> i64 {
    let rows = world.sql(&format!("SELECT count(*) AS n FROM {of}")).await;
    rows[0]["n"].as_i64().expect("a number")
}

fn consent_of(answer: &Answer) -> Value {
    answer.data()["grantConsent"]["consent"].clone()
}

#[tokio::test]
async fn a_consent_names_an_active_doctor_and_nobody_else_is_told_from_nobody() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (bo, citra) = (world.doctor("bo").await, world.doctor("citra").await);
    let kim = world.admin("kim").await;
    let gone = "mutation($id: UUID!) { deactivateUser(input: { userId: $id }) { user { id } } }";
    kim.asks(gone, json!({ "id": citra.id })).await.data();
    let mut unknown = world.nobody();
    "01a20aa4-22c7-7000-8000-000000000000".clone_into(&mut unknown.id);

    let mut told = Vec::new();
    for (by, whom) in [
        (&ana, &unknown),
        (&ana, &budi),
        (&ana, &ana),
        (&ana, &kim),
        (&ana, &citra),
        (&bo, &bo),
    ] {
        let refused = by.grants(whom.terms()).await;
        let problem = refused.fails_with("BAD_USER_INPUT");
        assert_eq!(problem.extensions["field"], "grantees");
        told.push(problem.message.replace(&whom.id, "…"));
    }
    // One who may be named does not open the door for one who may not.
    let mut both = bo.terms();
    both["grantees"] = json!([{ "user": bo.id }, { "user": budi.id }]);
    let refused = ana.grants(both).await;
    let problem = refused.fails_with("BAD_USER_INPUT");
    told.push(problem.message.replace(&budi.id, "…"));

    assert!(told.iter().all(|message| *message == told[0]), "{told:#?}");
    assert_eq!(count(&world, "data_processing_consents").await, 0);
    ana.grants(bo.terms()).await.data();
}

#[tokio::test]
async fn the_same_grant_is_one_consent_also_at_the_same_moment() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let second_api = world.second_api().await;
    let second = ana.at(&second_api);

    let answers = join_all((0..16).map(|nth| {
        let by = if nth % 2 == 0 { &ana } else { &second };
        by.grants(bo.terms())
    }))
    .await;

    let first = id(&consent_of(&answers[0]));
    for answer in &answers {
        assert_eq!(id(&consent_of(answer)), first);
    }
    assert_eq!(count(&world, "data_processing_consents").await, 1);
    let granted = "action_type = 'CONSENT_GRANT'";
    assert_eq!(world.audit_rows(granted).await.len(), 1);
    // Said twice and in another order it is the same; with a key, too.
    let mut said_twice = bo.terms();
    said_twice["dataCategories"] = json!(["IMAGING", "IMAGING"]);
    said_twice["processingActivities"] = json!(["SEARCH", "READ", "SEARCH"]);
    said_twice["idempotencyKey"] = json!("once");
    for _ in 0..2 {
        let same = consent_of(&ana.grants(said_twice.clone()).await);
        assert_eq!(
            (id(&same), &same["dataCategories"]),
            (first.clone(), &json!(["IMAGING"]))
        );
    }
    // Wider, or for somebody else, or after a withdrawal, it is another.
    let mut wider = bo.terms();
    wider["processingActivities"] = json!(["READ", "SEARCH", "CREATE"]);
    assert_ne!(id(&consent_of(&ana.grants(wider).await)), first);
    ana.withdraws(&first).await;
    assert_ne!(id(&consent_of(&ana.grants(bo.terms()).await)), first);
}

#[tokio::test]
async fn a_hundred_consents_are_in_force_and_never_one_more() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);

    let mut given = Vec::new();
    for nth in 0..95 {
        given.push(id(&consent_of(&ana.grants(others(&bo, nth)).await)));
    }

    let more = join_all((0..16).map(|nth| ana.grants(others(&bo, 100 + nth)))).await;

    let refused: Vec<_> = more
        .iter()
        .filter(|answer| answer.code().is_some())
        .collect();
    assert_eq!(refused.len(), 11, "five had room");
    for answer in refused {
        answer.fails_with("LIMIT_REACHED");
    }
    assert_eq!(count(&world, "data_processing_consents").await, 100);
    // What is there already is answered; what is withdrawn makes room.
    assert_eq!(id(&consent_of(&ana.grants(others(&bo, 3)).await)), given[3]);
    ana.withdraws(&given[0]).await;
    ana.grants(others(&bo, 500)).await.data();
    ana.grants(others(&bo, 501))
        .await
        .fails_with("LIMIT_REACHED");
    // Another patient is not concerned.
    let budi = world.patient("budi").await;
    budi.grants(bo.terms()).await.data();
}

#[tokio::test]
async fn refusals_that_are_over_are_named_no_longer() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let now = world.sql("SELECT now() + INTERVAL '4 s' AS soon").await;
    let refusal = |category: &str, ends: &Value| {
        json!({
            "purpose": "TREAT",
            "dataCategories": [category],
            "processingActivities": ["DENY"],
            "grantees": [{ "user": bo.id }],
            "expiresAt": ends,
        })
    };
    for category in ["IMAGING", "LAB_RESULT", "VITAL_SIGNS"] {
        ana.grants(refusal(category, &now[0]["soon"])).await.data();
    }
    let named = format!(
        "SELECT cardinality(refusals) AS named FROM users WHERE id = '{}'",
        ana.id
    );
    assert_eq!(world.sql(&named).await[0]["named"], 3);
    eventually("they are over", async || {
        let over = count(
            &world,
            "data_processing_consents WHERE consent_expires_at < now()",
        )
        .await;
        (over == 3).then_some(())
    })
    .await;

    ana.grants(refusal("ALL_RECORDS", &json!(null)))
        .await
        .data();

    assert_eq!(world.sql(&named).await[0]["named"], 1);
}

#[tokio::test]
async fn lists_are_no_longer_than_what_they_can_name_and_hold_nothing_twice() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let of = |field: &str, value: Value| {
        let mut terms = bo.terms();
        terms[field] = value;
        terms
    };
    let cases = [
        ("dataCategories", json!(vec!["IMAGING"; 60_000])),
        ("dataCategories", json!(vec!["IMAGING"; 10])),
        ("processingActivities", json!(vec!["READ"; 8])),
        ("grantees", json!(vec![json!({ "user": bo.id }); 101])),
        ("idempotencyKey", json!("k".repeat(129))),
        ("idempotencyKey", json!("k".repeat(100_000))),
    ];
    for (field, value) in cases {
        let refused = ana.grants(of(field, value)).await;
        let problem = refused.fails_with("BAD_USER_INPUT");
        assert_eq!(problem.extensions["field"], field, "{}", problem.message);
    }
    // Written into the query the list is as long, and refused as well.
    let inline = format!(
        "mutation {{ requestDataDeletion(input: {{ requestType: RESTRICTION, dataCategories: [{}] }}) {{ request {{ id }} }} }}",
        "IMAGING, ".repeat(1000)
    );
    ana.asks(&inline, json!({}))
        .await
        .fails_with("BAD_USER_INPUT");

    let stored = consent_of(
        &ana.grants(of(
            "dataCategories",
            json!(["IMAGING", "DIAGNOSIS", "IMAGING"]),
        ))
        .await,
    );

    assert_eq!(stored["dataCategories"], json!(["DIAGNOSIS", "IMAGING"]));
    // The table itself takes nothing else, whoever writes it.
    for (column, value) in [
        ("data_categories", r#"["IMAGING", "IMAGING"]"#),
        ("data_categories", "[]"),
        (
            "data_categories",
            r#"["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]"#,
        ),
        ("processing_activities", r#"["READ", "READ"]"#),
        ("third_parties", r#"[{"kind": "role"}, {"kind": "role"}]"#),
    ] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "INSERT INTO data_processing_consents (user_id, purpose, consent_given_at, data_categories,
                 processing_activities, third_parties)
             SELECT user_id, purpose, consent_given_at,
                 CASE '{column}' WHEN 'data_categories' THEN '{value}' ELSE data_categories END,
                 CASE '{column}' WHEN 'processing_activities' THEN '{value}' ELSE processing_activities END,
                 CASE '{column}' WHEN 'third_parties' THEN '{value}' ELSE third_parties END
             FROM data_processing_consents"
        )))
        .execute(&mut world.connects_as("meditrustal_api").await)
        .await
        .expect_err("the table refuses it");
        let code = refused
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(
            code.as_deref(),
            Some("23514"),
            "{column} {value}: {refused}"
        );
    }
}

/// The fields that an error names, in their order.
fn fields_of(problem: &dev::client::Problem) -> Vec<String> {
    let fields = problem.extensions["fields"].as_array();
    let fields = fields.unwrap_or_else(|| panic!("one field alone: {problem:?}"));
    fields.iter().map(|it| text(&it["field"])).collect()
}

#[tokio::test]
async fn everything_that_is_wrong_with_an_input_is_told_at_once() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);

    let refused = ana
        .grants(json!({
            "purpose": "PATRQT",
            "dataCategories": [],
            "processingActivities": ["READ", "DENY"],
            "grantees": [{ "user": budi.id }],
            "expiresAt": "2001-01-01T00:00:00Z",
            "idempotencyKey": "",
        }))
        .await;
    assert_eq!(
        fields_of(refused.fails_with("BAD_USER_INPUT")),
        [
            "idempotencyKey",
            "purpose",
            "dataCategories",
            "processingActivities",
            "expiresAt",
            "grantees"
        ]
    );

    let list = "query($filter: RecordFilterInput) {
        medicalRecords(recordType: IMAGING, first: 0, filter: $filter) { nodes { id } } }";
    let before_the_flood = "-9999-01-01T00:00:00Z";
    let filter = json!({
        "recordTypes": ["DIAGNOSIS"],
        "createdFrom": before_the_flood,
        "effectiveTo": before_the_flood,
        "status": "final",
        "metadata": { "status": "amended" },
        "code": { "system": "", "code": "" },
    });
    let refused = ana.asks(list, json!({ "filter": filter })).await;
    assert_eq!(
        fields_of(refused.fails_with("BAD_USER_INPUT")),
        [
            "first",
            "createdFrom",
            "effectiveTo",
            "recordTypes",
            "status",
            "code"
        ]
    );

    let page = "{ consents(first: 101, after: \"00\") { nodes { id } } }";
    let refused = ana.asks(page, json!({})).await;
    assert_eq!(
        fields_of(refused.fails_with("BAD_USER_INPUT")),
        ["first", "after"]
    );

    // Of what is too long, each place is an error of its own.
    let long = "x".repeat(2049);
    let variables = json!({ "filter": {
        "status": long, "code": { "system": long, "code": long }, "recordTypes": vec!["IMAGING"; 9],
    } });
    let refused = ana.asks(list, variables).await;
    let fields = refused
        .errors()
        .iter()
        .map(|it| text(&it.extensions["field"]));
    assert_eq!(
        fields.collect::<BTreeSet<_>>(),
        ["code", "recordTypes", "status", "system"]
            .map(str::to_owned)
            .into()
    );
    let bad = |refused: &tests::Answer| {
        refused
            .errors()
            .iter()
            .all(|it| it.code() == "BAD_USER_INPUT")
    };
    assert!(bad(&refused), "{refused:?}");

    // The address of a transfer is an input, too.
    let [bearer, media] = [ana.bearer(), "application/fhir+ndjson".to_owned()];
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", media.as_str()),
    ];
    for (method, path, wrong) in [
        (
            "POST",
            format!(
                "/import?patient={}&purpose=FUN&recordType=X&key=&from=0&restore=true&a=1&a=2",
                budi.id
            ),
            vec![
                "query",
                "purpose",
                "recordType",
                "idempotencyKey",
                "from",
                "restore",
                "query",
            ],
        ),
        (
            "GET",
            "/export?format=pdf&createdFrom=now&history=maybe&purpose=FUN&surprise=1".to_owned(),
            vec![
                "patient",
                "format",
                "createdFrom",
                "history",
                "purpose",
                "query",
            ],
        ),
    ] {
        let reply = world.api.takes(method, &path, &headers, "").await;
        let told = reply.json();
        let errors = told["errors"].as_array().expect("errors");
        let fields: Vec<_> = errors
            .iter()
            .map(|it| text(&it["extensions"]["field"]))
            .collect();
        assert_eq!(fields, wrong, "{told:#}");
        assert!(
            errors
                .iter()
                .all(|it| it["extensions"]["code"] == "BAD_USER_INPUT")
        );
    }
}

#[tokio::test]
async fn the_open_requests_of_a_subject_are_counted_and_an_equal_one_is_the_same() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let asks = |kind: &str, categories: &[&str]| {
        let input = json!({ "requestType": kind, "dataCategories": categories });
        ana.asks(ASK, json!({ "input": input }))
    };
    let request = |answer: &Answer| answer.data()["requestDataDeletion"]["request"].clone();

    let same = join_all((0..16).map(|_| asks("RESTRICTION", &["IMAGING", "IMAGING"]))).await;

    let first = request(&same[0]);
    assert_eq!(first["dataCategories"], json!(["IMAGING"]));
    assert!(same.iter().all(|answer| request(answer) == first));
    assert_eq!(count(&world, "data_deletion_requests").await, 1);
    // Twenty others at once: nine have room.
    let types = [
        "DIAGNOSIS",
        "LAB_RESULT",
        "PRESCRIPTION",
        "VITAL_SIGNS",
        "VACCINATION",
    ];
    let sets = types
        .iter()
        .flat_map(|of| [vec![*of], vec![*of, "IMAGING"]]);
    let kinds = ["CATEGORY_ERASURE", "RESTRICTION"];
    let all = sets.flat_map(|set| kinds.map(|kind| (kind, set.clone())));
    let answers = join_all(all.map(|(kind, set)| async move { asks(kind, &set).await })).await;
    let refused = answers
        .iter()
        .filter(|answer| answer.code() == Some("LIMIT_REACHED"));
    assert_eq!(refused.count(), 11);
    assert_eq!(count(&world, "data_deletion_requests").await, 10);
    asks("RESTRICTION", &["IMAGING"]).await.data();
    // What is over makes room.
    world.executes("UPDATE data_deletion_requests SET status = 'rejected' WHERE request_type = 'RESTRICTION'").await;
    asks("ACCOUNT_ERASURE", &["ALL_RECORDS"]).await.data();
    // Administrators see whose they are.
    let kim = world.admin("kim").await;
    let list = "{ dataDeletionRequests(first: 1) { nodes { subject { id username } } } }";
    let seen = kim.asks(list, json!({})).await;
    assert_eq!(
        seen.data()["dataDeletionRequests"]["nodes"][0]["subject"],
        json!({ "id": ana.id, "username": "ana" })
    );
}

#[tokio::test]
async fn who_may_change_no_account_waits_for_none_and_keeps_nobody_waiting() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let _holder = world.holds(&ana).await;

    for change in [
        "mutation($id: UUID!) { setRole(input: { userId: $id, role: DOCTOR }) { user { id } } }",
        "mutation($id: UUID!) { deactivateUser(input: { userId: $id }) { user { id } } }",
    ] {
        eve.asks(change, json!({ "id": ana.id }))
            .await
            .fails_with("FORBIDDEN");
    }
}

#[tokio::test]
async fn the_proposals_of_an_administrator_are_counted() {
    let world = World::start().await;
    let kim = world.admin("kim").await;
    world
        .executes(
            "INSERT INTO users (email, username, hashed_password, role)
             SELECT 'n' || n || '@town.example', 'n' || n, '!', 'PATIENT' FROM generate_series(1, 60) AS n;
             INSERT INTO role_proposals (user_id, role, proposed_by, expires_at)
             SELECT crowd.id, 'ADMIN', kim.id, now() + INTERVAL '1 hour'
             FROM users AS crowd, users AS kim
             WHERE crowd.username ~ '^n[0-9]+$' AND kim.username = 'kim' ORDER BY crowd.username LIMIT 45",
        )
        .await;
    world.seals().await;
    let left = world
        .sql(
            "SELECT id FROM users WHERE username ~ '^n[0-9]+$'
             AND id NOT IN (SELECT user_id FROM role_proposals) ORDER BY username",
        )
        .await;
    let set = "mutation($id: UUID!) { setRole(input: { userId: $id, role: ADMIN }) { outcome } }";
    let propose = |user: &Value| kim.asks(set, json!({ "id": user["id"] }));

    let answers = join_all(left.iter().map(propose)).await;

    let refused = answers
        .iter()
        .filter(|answer| answer.code() == Some("LIMIT_REACHED"));
    assert_eq!((answers.len(), refused.count()), (15, 10));
    assert_eq!(count(&world, "role_proposals").await, 50);
    let written = world
        .audit_rows("new_value ->> 'reason' = 'LIMIT_REACHED'")
        .await;
    assert_eq!(written.len(), 10);
}

/// One patient's rows, as many and as large as there may be, while others read theirs.
#[tokio::test]
async fn one_patients_consents_do_not_weigh_on_another_patients_reads() {
    // The machine is its own, because it is said how long it takes.
    let world = World::alone().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (bo, citra) = (world.doctor("bo").await, world.doctor("citra").await);
    let of_ana = id(&ana.creates(&ana, "IMAGING", documents::of("IMAGING")).await);
    let of_budi = id(&budi
        .creates(&budi, "IMAGING", documents::of("IMAGING"))
        .await);
    ana.grants(bo.terms()).await.data();
    budi.grants(citra.terms()).await.data();
    // Each consent as large as one may be: a hundred doctors.
    world
        .executes(
            "INSERT INTO users (email, username, hashed_password, role)
             SELECT 'd' || n || '@town.example', 'd' || n, '!', 'DOCTOR' FROM generate_series(1, 100) AS n",
        )
        .await;
    let crowd = world
        .sql("SELECT id FROM users WHERE username ~ '^d[0-9]+$'")
        .await;
    let crowd: Vec<Value> = crowd
        .iter()
        .map(|row| json!({ "user": row["id"] }))
        .collect();
    let quiet = median(&bo, &of_ana, &citra, &of_budi).await;
    for nth in 0..60 {
        let mut large = others(&bo, nth);
        large["grantees"] = json!(crowd);
        ana.grants(large).await.data();
    }
    // What is over is of no weight, however much there is of it.
    world
        .executes(
            "INSERT INTO data_processing_consents (user_id, purpose, consent_given_at, consent_expires_at,
                 consent_withdrawn_at, data_categories, processing_activities, third_parties)
             SELECT user_id, purpose, consent_given_at - INTERVAL '1 day', consent_given_at - INTERVAL '1 hour',
                 CASE WHEN n % 2 = 0 THEN consent_given_at - INTERVAL '2 hours' END,
                 data_categories, processing_activities, third_parties
             FROM (SELECT * FROM data_processing_consents ORDER BY id DESC LIMIT 1) AS one,
                 generate_series(1, 20000) AS n;
             ANALYZE data_processing_consents",
        )
        .await;

    let beside_many = median(&bo, &of_ana, &citra, &of_budi).await;

    assert!(
        beside_many < quiet * 5 + Duration::from_millis(20),
        "budi's record took {beside_many:?} beside ana's consents, and {quiet:?} before"
    );
}

/// How long one doctor waits for a record while another reads a stranger's without pause.
async fn median(noisy: &Person, theirs: &str, reader: &Person, record: &str) -> Duration {
    let mut taken = Vec::new();
    let measured = async {
        for _ in 0..40 {
            let begun = Instant::now();
            reader.reads(record).await.data();
            taken.push(begun.elapsed());
        }
    };
    let noise = async {
        for _ in 0..100_000 {
            let answers = join_all((0..8).map(|_| noisy.reads(theirs))).await;
            assert_eq!(text(&answers[0].data()["medicalRecord"]["id"]), theirs);
        }
    };
    tokio::select! {
        () = measured => {}
        () = noise => {}
    }
    taken.sort_unstable();
    taken[taken.len() / 2]
}
