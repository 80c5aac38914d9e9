//! Requests to erase or restrict, from the first word to the last: verified, decided, held, taken back.

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, eventually, id, text};

const ASK: &str = "mutation($input: RequestDataDeletionInput!) {
  requestDataDeletion(input: $input) { request { id status recordIds } }
}";
const VERIFY: &str = "mutation($input: VerifyDeletionRequestInput!) {
  verifyDeletionRequest(input: $input) {
    request { id status scope { recordType records withinRetention } }
  }
}";
const REVIEW: &str = "mutation($input: ReviewDeletionInput!) {
  reviewDeletion(input: $input) {
    request { id status approvedCategories approvedRecordIds overridesRetention scheduledFor
      firstApprovalBy firstApprover { id email } secondApprovalBy secondApprover { id email } }
  }
}";
const CANCEL: &str = "mutation($input: CancelDeletionInput!) {
  cancelDeletion(input: $input) { request { id status } }
}";
const PLACE: &str = "mutation($input: PlaceHoldInput!) {
  placeHold(input: $input) { hold { id patientId patient { id email } placedBy placer { id email } dataCategories recordIds } }
}";
const RELEASE: &str = "mutation($input: ReleaseHoldInput!) {
  releaseHold(input: $input) { isReleased hold { id releaseProposer { id } } }
}";
const WHY: &str = "the person may ask for it";

async fn asks(ana: &Person, input: Value) -> String {
    let answer = ana.asks(ASK, json!({ "input": input })).await;
    id(&answer.data()["requestDataDeletion"]["request"])
}

async fn verifies(ana: &Person, request: &str, password: &str) -> Answer {
    let input = json!({ "id": request, "currentPassword": password });
    ana.asks(VERIFY, json!({ "input": input })).await
}

/// A request of somebody's own, verified.
async fn verified(ana: &Person, input: Value) -> String {
    let request = asks(ana, input).await;
    verifies(ana, &request, &ana.password).await.data();
    request
}

async fn reviews(admin: &Person, request: &str, decision: &str, more: Value) -> Answer {
    let mut input = json!({ "id": request, "decision": decision, "reason": WHY });
    if let (Some(input), Some(more)) = (input.as_object_mut(), more.as_object()) {
        input.extend(more.clone());
    }
    admin.asks(REVIEW, json!({ "input": input })).await
}

/// Approves it, although its records are still to be kept.
async fn approves(admin: &Person, request: &str) -> Value {
    let answer = reviews(
        admin,
        request,
        "APPROVE",
        json!({ "overrideRetention": true }),
    )
    .await;
    answer.data()["reviewDeletion"]["request"].clone()
}

async fn cancels(ana: &Person, request: &str) -> Answer {
    ana.asks(CANCEL, json!({ "input": { "id": request } }))
        .await
}

pub(crate) async fn holds(admin: &Person, patient: &Person, more: Value) -> Answer {
    let mut input = json!({ "patientId": patient.id, "reason": "a court asked for it" });
    if let (Some(input), Some(more)) = (input.as_object_mut(), more.as_object()) {
        input.extend(more.clone());
    }
    admin.asks(PLACE, json!({ "input": input })).await
}

pub(crate) async fn releases(admin: &Person, hold: &str) -> Answer {
    admin
        .asks(RELEASE, json!({ "input": { "id": hold } }))
        .await
}

async fn status(world: &World, request: &str) -> String {
    let query = format!("SELECT status FROM data_deletion_requests WHERE id = '{request}'");
    text(&world.sql(&query).await[0]["status"])
}

/// Every audit row about a request or a hold, but for readings: what was done, and the status it led to or why not.
async fn trail(world: &World, about: &str) -> Vec<(String, String)> {
    let rows = world
        .audit_rows(&format!(
            "resource_id = '{about}' AND action_type <> 'DELETION_READ'"
        ))
        .await;
    let told = |row: &Value| {
        let new = &row["new_value"];
        let said = new["status"].as_str().or(new["reason"].as_str());
        (
            text(&row["action_type"]),
            said.unwrap_or_default().to_owned(),
        )
    };
    rows.iter().map(told).collect()
}

fn said(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    let rows = rows.iter();
    rows.map(|(action, said)| ((*action).to_owned(), (*said).to_owned()))
        .collect()
}

async fn a_record(ana: &Person) -> String {
    id(&ana
        .creates(ana, "VITAL_SIGNS", documents::vital_signs())
        .await)
}

fn account() -> Value {
    json!({ "requestType": "ACCOUNT_ERASURE", "dataCategories": ["ALL_RECORDS"] })
}

fn vital_signs() -> Value {
    json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["VITAL_SIGNS"] })
}

#[tokio::test]
async fn a_request_names_what_its_type_is_about_and_nothing_of_others() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (own, others) = (a_record(&ana).await, a_record(&budi).await);
    let refused = [
        json!({ "requestType": "ACCOUNT_ERASURE", "dataCategories": ["IMAGING"] }),
        json!({ "requestType": "ACCOUNT_ERASURE", "dataCategories": ["ALL_RECORDS"], "recordIds": [own] }),
        json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": [] }),
        json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["IMAGING"], "recordIds": [own] }),
        json!({ "requestType": "RECORD_ERASURE" }),
        json!({ "requestType": "RECORD_ERASURE", "dataCategories": ["IMAGING"], "recordIds": [own] }),
        json!({ "requestType": "RECORD_ERASURE", "recordIds": [others] }),
        json!({ "requestType": "RECORD_ERASURE", "recordIds": vec![own.clone(); 101] }),
        json!({ "requestType": "RESTRICTION" }),
    ];
    for input in refused {
        let answer = ana.asks(ASK, json!({ "input": input })).await;
        answer.fails_with("BAD_USER_INPUT");
    }
    assert!(
        world
            .sql("SELECT 1 FROM data_deletion_requests")
            .await
            .is_empty()
    );

    // A record stands for all of its versions.
    let first = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let amended = ana
        .amends(&first, documents::vital_signs(), json!({}))
        .await;
    let second = id(&amended.data()["amendMedicalRecord"]["record"]);
    let input = json!({ "requestType": "RECORD_ERASURE", "recordIds": [second] });
    let answer = ana.asks(ASK, json!({ "input": input })).await;
    let request = &answer.data()["requestDataDeletion"]["request"];
    assert_eq!(request["recordIds"], json!([id(&first), second]));
    let again = ana.asks(ASK, json!({ "input": input })).await;
    assert_eq!(
        again.data()["requestDataDeletion"]["request"]["id"],
        request["id"]
    );
}

#[tokio::test]
async fn only_its_subject_verifies_a_request_and_five_wrong_passwords_end_it() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    a_record(&ana).await;
    let request = asks(&ana, vital_signs()).await;
    verifies(&budi, &request, &budi.password)
        .await
        .fails_with("NOT_FOUND");
    verifies(&ana, "01a20aa4-0000-7000-8000-00000000c0de", &ana.password)
        .await
        .fails_with("NOT_FOUND");
    for _ in 0..4 {
        verifies(&ana, &request, "it is another one")
            .await
            .fails_with("WRONG_CREDENTIALS");
    }
    assert_eq!(status(&world, &request).await, "pending");
    verifies(&ana, &request, "it is another one")
        .await
        .fails_with("WRONG_CREDENTIALS");
    assert_eq!(status(&world, &request).await, "expired");
    verifies(&ana, &request, &ana.password)
        .await
        .fails_with("CONFLICT");
    let rows = trail(&world, &request).await;
    let wanted = [
        ("DELETION_REQUEST", "pending"),
        ("ACCESS_DENIED", "UNKNOWN"),
        ("DELETION_EXPIRE", "expired"),
    ];
    assert_eq!(rows, said(&wanted));
    let denied = format!("resource_id = '{request}' AND action_type = 'ACCESS_DENIED'");
    let denied = &world.audit_rows(&denied).await[0];
    assert_eq!(denied["user_id"], budi.id.as_str());
    assert_eq!(denied["patient_id"], Value::Null, "whose it is is not said");

    let other = asks(&budi, vital_signs()).await;
    let answer = verifies(&budi, &other, &budi.password).await;
    let seen = &answer.data()["verifyDeletionRequest"]["request"];
    assert_eq!(
        *seen,
        json!({ "id": other, "status": "UNDER_REVIEW", "scope": [] })
    );
    let twice = verifies(&budi, &other, &budi.password).await;
    let told = twice.fails_with("CONFLICT");
    assert!(told.message.contains("UNDER_REVIEW"), "{told:?}");
}

#[tokio::test]
async fn a_request_that_nobody_verifies_is_over_after_a_week() {
    let world = World::with(|options| {
        options
            .api
            .push(("MEDITRUSTAL_DELETION_EVERY".into(), "1".into()));
    })
    .await;
    let ana = world.patient("ana").await;
    let (old, young) = (asks(&ana, account()).await, asks(&ana, vital_signs()).await);
    world
        .executes(&format!(
            "UPDATE data_deletion_requests SET requested_at = now() - INTERVAL '7 days' WHERE id = '{old}'"
        ))
        .await;
    verifies(&ana, &old, &ana.password)
        .await
        .fails_with("CONFLICT");

    eventually("the old request is expired", async || {
        (status(&world, &old).await == "expired").then_some(())
    })
    .await;

    assert_eq!(status(&world, &young).await, "pending");
    let rows = trail(&world, &old).await;
    let wanted = [
        ("DELETION_REQUEST", "pending"),
        ("DELETION_EXPIRE", "expired"),
    ];
    assert_eq!(rows, said(&wanted));
}

#[tokio::test]
async fn an_account_is_erased_only_by_two_administrators_neither_of_them_its_own() {
    let world = World::start().await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let ana = world.patient("ana").await;
    a_record(&ana).await;
    let request = asks(&ana, account()).await;
    reviews(&ada, &request, "APPROVE", json!({}))
        .await
        .fails_with("CONFLICT");
    verifies(&ana, &request, &ana.password).await.data();
    reviews(&ana, &request, "APPROVE", json!({}))
        .await
        .fails_with("FORBIDDEN");
    let part = json!({ "dataCategories": ["VITAL_SIGNS"], "overrideRetention": true });
    for (decision, more) in [
        ("APPROVE", json!({})),
        ("APPROVE", part.clone()),
        ("APPROVE_PARTIALLY", part),
    ] {
        reviews(&ada, &request, decision, more)
            .await
            .fails_with("BAD_USER_INPUT");
    }

    let first = approves(&ada, &request).await;
    assert_eq!(first["status"], "UNDER_REVIEW");
    assert_eq!(first["firstApprovalBy"], ada.id.as_str());
    let named = |person: &Person| json!({ "id": person.id, "email": null });
    assert_eq!(first["firstApprover"], named(&ada));
    assert_eq!(first["secondApprover"], Value::Null);
    reviews(
        &ada,
        &request,
        "APPROVE",
        json!({ "overrideRetention": true }),
    )
    .await
    .fails_with("CONFLICT");
    let second = approves(&adi, &request).await;
    assert_eq!(second["status"], "SCHEDULED");
    assert_eq!(second["secondApprovalBy"], adi.id.as_str());
    assert_eq!(second["secondApprover"], named(&adi));
    assert_eq!(second["overridesRetention"], true);
    let in_days = "SELECT round(extract(epoch FROM scheduled_for - confirmed_at) / 86400) AS days
                   FROM data_deletion_requests";
    assert_eq!(world.sql(in_days).await[0]["days"], 30);
    reviews(&adi, &request, "REJECT", json!({}))
        .await
        .fails_with("CONFLICT");

    let own = verified(&ada, account()).await;
    reviews(&ada, &own, "APPROVE", json!({}))
        .await
        .fails_with("BAD_USER_INPUT");
    let rejected = reviews(&adi, &own, "REJECT", json!({})).await;
    assert_eq!(
        rejected.data()["reviewDeletion"]["request"]["status"],
        "REJECTED"
    );
    let rows = trail(&world, &own).await;
    assert_eq!(
        rows,
        said(&[
            ("DELETION_REQUEST", "pending"),
            ("DELETION_VERIFY", "under_review"),
            ("ACCESS_DENIED", "OWN_REQUEST"),
            ("DELETION_REVIEW", "rejected"),
        ])
    );
    let rows = trail(&world, &request).await;
    assert_eq!(
        rows,
        said(&[
            ("DELETION_REQUEST", "pending"),
            ("ACCESS_DENIED", "STATE"),
            ("DELETION_VERIFY", "under_review"),
            ("ACCESS_DENIED", "NOT_POSSIBLE"),
            ("ACCESS_DENIED", "NOT_POSSIBLE"),
            ("ACCESS_DENIED", "NOT_POSSIBLE"),
            ("DELETION_REVIEW", "under_review"),
            ("ACCESS_DENIED", "NOT_POSSIBLE"),
            ("DELETION_REVIEW", "scheduled"),
            ("ACCESS_DENIED", "STATE"),
        ])
    );
}

#[tokio::test]
async fn two_administrators_who_approve_at_once_are_two() {
    let world = World::start().await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let ana = world.patient("ana").await;
    let request = verified(&ana, account()).await;

    let both = [
        reviews(&ada, &request, "APPROVE", json!({})),
        reviews(&adi, &request, "APPROVE", json!({})),
        reviews(&ada, &request, "APPROVE", json!({})),
    ];
    let answers = futures::future::join_all(both).await;

    // The two of one administrator are one.
    assert_eq!(status(&world, &request).await, "scheduled");
    let refused = answers.iter().filter(|it| it.code() == Some("CONFLICT"));
    assert_eq!(refused.count(), 1);
    let by = "SELECT approved_by <> confirmed_by AS two FROM data_deletion_requests";
    assert_eq!(world.sql(by).await[0]["two"], true);
}

#[tokio::test]
async fn in_the_days_of_grace_only_the_subject_reads_until_they_take_it_back() {
    let world = World::start().await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["READ", "SEARCH", "CREATE", "AMEND"])
        .await;
    let record = a_record(&ana).await;
    let image = ana.creates(&ana, "IMAGING", documents::of("IMAGING")).await;
    let image = id(&image);
    dr_bo.reads(&record).await.data();
    let request = verified(&ana, vital_signs()).await;
    dr_bo.reads(&record).await.data();

    assert_eq!(approves(&ada, &request).await["status"], "SCHEDULED");

    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    dr_bo.verifies(&record).await.fails_with("NOT_FOUND");
    dr_bo.reads(&image).await.data();
    ana.reads(&record).await.data();
    // What is written meanwhile is restricted, too.
    let written = dr_bo
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    dr_bo.reads(&id(&written)).await.fails_with("NOT_FOUND");
    ana.reads(&id(&written)).await.data();
    let list = "query($p: UUID!) { medicalRecords(patientId: $p) { totalCount nodes { id } } }";
    let seen = dr_bo.asks(list, json!({ "p": ana.id })).await;
    assert_eq!(
        seen.data()["medicalRecords"],
        json!({ "totalCount": 1, "nodes": [{ "id": image }] })
    );
    // Whoever lifts it by hand is found, and shown nothing.
    world
        .attacks(&format!(
            "UPDATE medical_records SET restricted_at = NULL, updated_at = created_at WHERE id = '{record}'"
        ))
        .await;
    let opens = "query($id: UUID!) { medicalRecord(id: $id) { document } }";
    let opened = dr_bo.asks(opens, json!({ "id": record })).await;
    opened.fails_with("INTEGRITY_VIOLATION");
    world
        .attacks(&format!(
            "UPDATE medical_records AS record
             SET restricted_at = event_time, updated_at = event_time
             FROM audit_logs
             WHERE record.id = '{record}' AND action_type = 'DELETION_REVIEW' AND resource_id = '{request}'"
        ))
        .await;
    ana.reads(&record).await.data();

    cancels(&dr_bo, &request).await.fails_with("NOT_FOUND");
    let taken_back = cancels(&ana, &request).await;
    assert_eq!(
        taken_back.data()["cancelDeletion"]["request"]["status"],
        "CANCELLED"
    );
    dr_bo.reads(&record).await.data();
    dr_bo.reads(&id(&written)).await.data();
    cancels(&ana, &request).await.fails_with("CONFLICT");
}

#[tokio::test]
async fn a_restriction_lasts_until_its_subject_lifts_it() {
    let world = World::start().await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let (one, other) = (a_record(&ana).await, a_record(&ana).await);
    let both = json!({ "requestType": "RESTRICTION", "recordIds": [one, other] });
    let request = verified(&ana, both).await;
    let all = json!({ "requestType": "RESTRICTION", "dataCategories": ["VITAL_SIGNS"] });
    let wider = verified(&ana, all).await;

    // A restriction overrides no retention: nothing is erased.
    let answer = reviews(
        &ada,
        &request,
        "APPROVE_PARTIALLY",
        json!({ "recordIds": [one] }),
    )
    .await;
    let decided = &answer.data()["reviewDeletion"]["request"];
    assert_eq!(decided["status"], "PARTIALLY_APPROVED");
    assert_eq!(decided["approvedRecordIds"], json!([one]));
    dr_bo.reads(&one).await.fails_with("NOT_FOUND");
    dr_bo.reads(&other).await.data();
    let answer = reviews(&ada, &wider, "APPROVE", json!({})).await;
    assert_eq!(
        answer.data()["reviewDeletion"]["request"]["status"],
        "APPROVED"
    );
    dr_bo.reads(&other).await.fails_with("NOT_FOUND");

    // What another request restricts stays so.
    cancels(&ana, &wider).await.data();
    dr_bo.reads(&one).await.fails_with("NOT_FOUND");
    dr_bo.reads(&other).await.data();
    cancels(&ana, &request).await.data();
    dr_bo.reads(&one).await.data();
}

#[tokio::test]
async fn what_a_hold_covers_waits_until_two_administrators_release_it() {
    let world = World::start().await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    a_record(&ana).await;
    let scheduled = verified(&ana, vital_signs()).await;
    approves(&ada, &scheduled).await;
    let images = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["IMAGING"] });
    let elsewhere = verified(&ana, images).await;
    for person in [&dr_bo, &ana] {
        holds(person, &ana, json!({})).await.fails_with("FORBIDDEN");
    }
    holds(&ada, &ada, json!({}))
        .await
        .fails_with("BAD_USER_INPUT");
    let nobody = json!({ "patientId": "01a20aa4-0000-7000-8000-00000000c0de" });
    holds(&ada, &ana, nobody).await.fails_with("NOT_FOUND");

    let answer = holds(&ada, &ana, json!({ "dataCategories": ["VITAL_SIGNS"] })).await;
    let placed = &answer.data()["placeHold"]["hold"];
    let hold = id(placed);

    let named = |person: &Person| json!({ "id": person.id, "email": null });
    assert_eq!(placed["patient"], named(&ana));
    assert_eq!(placed["placer"], named(&ada));
    assert_eq!(status(&world, &scheduled).await, "on_hold");
    assert_eq!(status(&world, &elsewhere).await, "under_review");
    // An account goes with all that is in it.
    let request = asks(&ana, account()).await;
    let answer = verifies(&ana, &request, &ana.password).await;
    assert_eq!(
        answer.data()["verifyDeletionRequest"]["request"]["status"],
        "ON_HOLD"
    );
    reviews(&ada, &request, "APPROVE", json!({}))
        .await
        .fails_with("CONFLICT");

    let first = releases(&ada, &hold).await;
    assert_eq!(first.data()["releaseHold"]["isReleased"], false);
    let proposed = &first.data()["releaseHold"]["hold"]["releaseProposer"];
    assert_eq!(proposed["id"], ada.id.as_str());
    releases(&ada, &hold).await.fails_with("CONFLICT");
    assert_eq!(status(&world, &scheduled).await, "on_hold");
    let second = releases(&adi, &hold).await;
    assert_eq!(second.data()["releaseHold"]["isReleased"], true);
    releases(&adi, &hold).await.fails_with("CONFLICT");
    assert_eq!(status(&world, &scheduled).await, "scheduled");
    assert_eq!(status(&world, &request).await, "under_review");
    let rows = trail(&world, &hold).await;
    assert_eq!(
        rows,
        said(&[
            ("HOLD_PLACE", ""),
            ("HOLD_RELEASE", ""),
            ("ACCESS_DENIED", "SAME_ADMINISTRATOR"),
            ("HOLD_RELEASE", ""),
            ("ACCESS_DENIED", "STATE"),
        ])
    );
    let rows = trail(&world, &scheduled).await;
    assert_eq!(
        rows[3..],
        said(&[("DELETION_HOLD", "on_hold"), ("DELETION_HOLD", "scheduled")])
    );
    is_listed_with_who_and_when(&world, (&ada, &adi), &hold).await;
    what_is_no_hold_is_refused(&world, (&ada, &adi), &ana).await;
}

/// The list says of a hold that was released who placed it, who was the first to release it, and when, as its row does.
async fn is_listed_with_who_and_when(world: &World, (ada, adi): (&Person, &Person), hold: &str) {
    const HOLDS: &str = "{ legalHolds { nodes {
      id placedBy placedAt releaseProposedBy releasedAt
    } } }";

    let listed = adi.asks(HOLDS, json!({})).await;

    let nodes = listed.data()["legalHolds"]["nodes"].as_array();
    let [listed] = nodes.expect("a list").as_slice() else {
        panic!("one hold: {nodes:?}");
    };
    assert_eq!(id(listed), hold);
    for name in ["placedBy", "releaseProposedBy"] {
        assert_eq!(listed[name], ada.id.as_str(), "{name}");
    }
    let same = world
        .sql(&format!(
            "SELECT 1 FROM legal_holds
             WHERE placed_at = '{}' AND released_at = '{}' AND placed_at < released_at",
            text(&listed["placedAt"]),
            text(&listed["releasedAt"])
        ))
        .await;
    assert_eq!(same.len(), 1, "{listed}");
}

/// Each refusal names its field, and there is an end to the holds of one patient.
async fn what_is_no_hold_is_refused(world: &World, (ada, adi): (&Person, &Person), ana: &Person) {
    let of_another = a_record(&world.patient("budi").await).await;
    let named = |answer: &Answer| answer.fails_with("BAD_USER_INPUT").extensions["field"].clone();
    for (more, field) in [
        (json!({ "recordIds": [of_another] }), "recordIds"),
        (json!({ "reason": "short" }), "reason"),
    ] {
        let refused = holds(ada, ana, more).await;
        assert_eq!(named(&refused), field);
    }
    releases(ada, "01a20aa4-0000-7000-8000-00000000c0de")
        .await
        .fails_with("NOT_FOUND");
    let placed = holds(adi, ada, json!({})).await;
    let of_ada = id(&placed.data()["placeHold"]["hold"]);
    let own = releases(ada, &of_ada).await;
    assert_eq!(named(&own), "id");

    for _ in 0..50 {
        let images = json!({ "dataCategories": ["IMAGING"] });
        holds(ada, ana, images).await.data();
    }
    let refused = holds(ada, ana, json!({})).await;
    let error = refused.fails_with("LIMIT_REACHED");
    assert_eq!(error.extensions["field"], "patientId");
    let kept = format!(
        "SELECT 1 FROM legal_holds WHERE patient_id = '{}' AND released_at IS NULL",
        ana.id
    );
    assert_eq!(world.sql(&kept).await.len(), 50);
}

#[tokio::test]
async fn neither_a_forged_approval_nor_a_forged_hold_acts_and_both_are_found() {
    let world = World::start().await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let adi = world.admin("adi").await;
    let request = verified(&ana, account()).await;
    world
        .attacks(&format!(
            "UPDATE data_deletion_requests SET approved_by = '{}', approved_at = now() WHERE id = '{request}'",
            adi.id
        ))
        .await;

    // It is as if it were not there: nobody decides about it.
    reviews(&ada, &request, "APPROVE", json!({}))
        .await
        .fails_with("NOT_FOUND");
    found(&world, "data_deletion_requests", &request).await;

    let own = "01a20aa4-0000-7000-8000-00000000c0de";
    world
        .executes(&format!(
            "INSERT INTO legal_holds (id, patient_id, data_categories, reason, placed_by, placed_at)
             VALUES ('{own}', '{}', '[\"ALL_RECORDS\"]', 'a forged one', '{}', now())",
            ana.id, ada.id
        ))
        .await;
    let images = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["IMAGING"] });
    let free = verified(&ana, images).await;
    assert_eq!(status(&world, &free).await, "under_review");
    found(&world, "legal_holds", own).await;
}

/// Waits until a finding says that this row was tampered with.
async fn found(world: &World, table: &str, row: &str) {
    let open = format!(
        "SELECT 1 FROM integrity_findings
         WHERE kind = 'ROW_TAMPERED' AND table_name = '{table}' AND row_id = '{row}' AND resolved_at IS NULL"
    );
    eventually(&format!("{row} of {table} is found"), async || {
        (!world.sql(&open).await.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn administrators_find_what_waits_for_them_oldest_first() {
    const QUEUE: &str = "query($status: DeletionStatus! = UNDER_REVIEW) {
      deletionQueue(first: 10, status: $status) { nodes { id status scope { recordType records } } }
    }";
    let world = World::start().await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let budi = world.patient("budi").await;
    a_record(&ana).await;
    let first = verified(&ana, vital_signs()).await;
    let second = verified(&budi, account()).await;
    let waiting = asks(&ana, account()).await;

    let seen = ada.asks(QUEUE, json!({})).await;
    assert_eq!(
        seen.data()["deletionQueue"]["nodes"],
        json!([
            { "id": first, "status": "UNDER_REVIEW", "scope": [{ "recordType": "VITAL_SIGNS", "records": 1 }] },
            { "id": second, "status": "UNDER_REVIEW", "scope": [] },
        ])
    );
    let seen = ada.asks(QUEUE, json!({ "status": "PENDING" })).await;
    assert_eq!(
        seen.data()["deletionQueue"]["nodes"],
        json!([{ "id": waiting, "status": "PENDING", "scope": [] }])
    );
    for person in [&ana, &world.doctor("bo").await] {
        person.asks(QUEUE, json!({})).await.fails_with("FORBIDDEN");
    }
}

#[tokio::test]
async fn a_version_written_after_the_request_is_approved_with_the_record() {
    let world = World::start().await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let first = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let input = json!({ "requestType": "RECORD_ERASURE", "recordIds": [id(&first)] });
    let request = verified(&ana, input).await;
    let amended = ana
        .amends(&first, documents::vital_signs(), json!({}))
        .await;
    let last = id(&amended.data()["amendMedicalRecord"]["record"]);
    dr_bo.reads(&last).await.data();

    let approved = approves(&ada, &request).await;

    let mut both = vec![id(&first), last.clone()];
    both.sort_unstable();
    assert_eq!(approved["approvedRecordIds"], json!(both));
    dr_bo.reads(&last).await.fails_with("NOT_FOUND");
}
