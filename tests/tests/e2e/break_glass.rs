//! Emergency access: opened by a doctor, told to the patient, overridden by a refusal, ended, reviewed, escalated.

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, eventually, id, text};

use crate::health::puts_the_clock_ahead;

const REASON: &str = "found unconscious, allergies unknown";
const OPEN: &str = "mutation Open($input: BreakGlassInput!) {
  breakGlass(input: $input) { window {
    id purpose reason openedAt expiresAt closedAt isOpen reviewStatus doctor { id email } patient { id email }
  } }
}";
const END: &str = "mutation End($input: EndBreakGlassInput!) {
  endBreakGlass(input: $input) { window { id isOpen closedAt reason } }
}";
const REVIEW: &str = "mutation Review($input: ReviewBreakGlassInput!) {
  reviewBreakGlass(input: $input) { review {
    disclosures recordsDisclosed window { id reviewStatus decision note reviewedBy { id } }
  } }
}";
const QUEUE: &str = "query Queue($status: BreakGlassReviewStatus, $first: Int, $after: Cursor) {
  breakGlassReviews(status: $status, first: $first, after: $after) {
    nodes {
      disclosures recordsDisclosed recordsPerHour
      window { id reason purpose reviewStatus escalatedAt openedAt closedAt doctor { id email } patient { id email } }
    }
    pageInfo { hasNextPage endCursor }
  }
}";
const MINE: &str = "{ myBreakGlassWindows { nodes { id reason isOpen decision note doctor { id } patient { id } } } }";
const LIST: &str = "query L($patient: UUID, $purpose: PurposeOfUse, $filter: RecordFilterInput) {
  medicalRecords(patientId: $patient, purpose: $purpose, filter: $filter) {
    totalCount nodes { id document history { nodes { id } } }
  }
}";

async fn opens_for(doctor: &Person, patient: &str, purpose: Value, reason: &str) -> Answer {
    let input = json!({ "patientId": patient, "purpose": purpose, "reason": reason });
    doctor.asks(OPEN, json!({ "input": input })).await
}

/// Opens a window for BTG; answers it.
pub(crate) async fn opens(doctor: &Person, patient: &Person) -> Value {
    let answer = opens_for(doctor, &patient.id, Value::Null, REASON).await;
    answer.data()["breakGlass"]["window"].clone()
}

async fn ends(doctor: &Person, window: &Value) -> Answer {
    doctor
        .asks(END, json!({ "input": { "id": window["id"] } }))
        .await
}

async fn reviews(admin: &Person, window: &Value, decision: &str, note: Value) -> Answer {
    let input = json!({ "id": window["id"], "decision": decision, "note": note });
    admin.asks(REVIEW, json!({ "input": input })).await
}

async fn finds(doctor: &Person, patient: &Person, purpose: &str) -> Value {
    let variables = json!({ "patient": patient.id, "purpose": purpose });
    doctor.asks(LIST, variables).await.data()["medicalRecords"].clone()
}

async fn queue(admin: &Person, status: Value) -> Vec<Value> {
    let answer = admin.asks(QUEUE, json!({ "status": status })).await;
    let nodes = answer.data()["breakGlassReviews"]["nodes"]
        .as_array()
        .cloned();
    nodes.expect("a list")
}

/// Moves a window into the past, as if it had been opened so much earlier.
pub(crate) async fn ages(world: &World, window: &Value, by: &str) {
    // Nobody looks after windows until it is sealed again.
    let mut schedule = world.connects_as("meditrustal_indexer").await;
    let lock = "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('meditrustal break-glass schedule', 0))";
    let held = sqlx::raw_sql(lock).execute(&mut schedule).await;
    held.expect("the lock is free in the end");
    world
        .executes(&format!(
            "UPDATE break_glass_windows
             SET opened_at = opened_at - INTERVAL '{by}',
                 expires_at = expires_at - INTERVAL '{by}'
             WHERE id = '{}'",
            id(window)
        ))
        .await;
    world.seals().await;
}

/// What the audit rows about a window say, without times.
async fn rows_of(world: &World, window: &Value) -> Vec<Value> {
    let rows = world
        .audit_rows(&format!("resource_id = '{}'", id(window)))
        .await;
    let told = rows.iter().map(|row| {
        json!([
            row["action_type"],
            row["resource_type"],
            row["user_id"],
            row["patient_id"],
            row["purpose"],
        ])
    });
    told.collect()
}

#[tokio::test]
async fn a_doctor_breaks_the_glass_reads_and_closes_and_every_step_is_written_down() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (bo, cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let record = ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    let record = id(&record);
    let of_eve = eve
        .creates(&eve, "VITAL_SIGNS", documents::vital_signs())
        .await;
    bo.reads_for("BTG", &record).await.fails_with("NOT_FOUND");
    assert_eq!(finds(&bo, &ana, "BTG").await["totalCount"], 0);

    let window = opens(&bo, &ana).await;

    assert_eq!(window["purpose"], "BTG");
    assert_eq!(window["reason"], REASON);
    assert_eq!(window["isOpen"], true);
    assert_eq!(window["closedAt"], Value::Null);
    assert_eq!(window["reviewStatus"], "PENDING");
    assert_eq!(window["patient"], json!({ "id": ana.id, "email": null }));
    let lasts = world
        .sql("SELECT (expires_at - opened_at = INTERVAL '4 hours') AS is_right FROM break_glass_windows")
        .await;
    assert_eq!(lasts, [json!({ "is_right": true })]);
    // By its purpose alone, of her records alone, for this doctor alone.
    let read = bo.reads_for("BTG", &record).await;
    assert_eq!(read.data()["medicalRecord"]["id"], record.as_str());
    let found = finds(&bo, &ana, "BTG").await;
    assert_eq!(found["totalCount"], 1);
    assert_eq!(found["nodes"][0]["id"], record.as_str());
    assert_ne!(found["nodes"][0]["document"], Value::Null);
    assert_eq!(
        found["nodes"][0]["history"]["nodes"][0]["id"],
        record.as_str()
    );
    for (who, purpose, of) in [
        (&bo, "ETREAT", &record),
        (&bo, "TREAT", &record),
        (&cy, "BTG", &record),
        (&bo, "BTG", &id(&of_eve)),
    ] {
        who.reads_for(purpose, of).await.fails_with("NOT_FOUND");
    }
    assert_eq!(finds(&cy, &ana, "BTG").await["totalCount"], 0);
    assert_eq!(finds(&bo, &eve, "BTG").await["totalCount"], 0);
    // Without a patient, and by whatever filter.
    for filter in [
        json!({}),
        json!({ "authorId": ana.id }),
        json!({ "recordTypes": ["LAB_RESULT"] }),
    ] {
        let variables = json!({ "purpose": "BTG", "filter": filter });
        let found = bo.asks(LIST, variables).await;
        let found = &found.data()["medicalRecords"];
        assert_eq!(found["totalCount"], 1, "{filter}");
        assert_eq!(found["nodes"][0]["id"], record.as_str(), "{filter}");
    }
    let patients = "{ patients(purpose: BTG) { nodes { patient { id } records emergencyUntil permissions { until } } } }";
    let answer = bo.asks(patients, json!({})).await;
    let patient = &answer.data()["patients"]["nodes"][0];
    assert_eq!(patient["patient"]["id"], ana.id.as_str());
    assert_eq!(
        (&patient["records"], &patient["permissions"]),
        (&json!(1), &json!([]))
    );
    assert_eq!(patient["emergencyUntil"], window["expiresAt"]);
    let holders = "{ whoHasAccess { nodes { user { id } emergencyUntil accesses { until } } } }";
    let answer = ana.asks(holders, json!({})).await;
    assert_eq!(
        answer.data()["whoHasAccess"]["nodes"],
        json!([{ "user": { "id": bo.id }, "emergencyUntil": window["expiresAt"], "accesses": [] }])
    );
    // Reading and finding alone.
    let input = json!({ "purpose": "BTG" });
    bo.stores(&ana, "LAB_RESULT", documents::lab_result(), input)
        .await
        .fails_with("NOT_FOUND");
    assert_eq!(
        bo.exports(&world.api, &ana, "&purpose=BTG").await.status,
        404
    );

    // The patient sees it, with the reason; so does the doctor, and nobody else.
    let log =
        "{ myAccessLog(action: BREAK_GLASS_START) { nodes { sentence emergency who { id } } } }";
    let log = ana.asks(log, json!({})).await;
    let entry = &log.data()["myAccessLog"]["nodes"][0];
    assert_eq!(
        entry["sentence"],
        "dr.bo (doctor) opened emergency access to your records without your consent, for an emergency."
    );
    assert_eq!(
        (&entry["emergency"], &entry["who"]["id"]),
        (&json!(true), &json!(bo.id))
    );
    for (who, count) in [(&ana, 1), (&bo, 1), (&eve, 0), (&cy, 0)] {
        let answer = who.asks(MINE, json!({})).await;
        let nodes = answer.data()["myBreakGlassWindows"]["nodes"]
            .as_array()
            .cloned();
        let nodes = nodes.expect("a list");
        assert_eq!(nodes.len(), count, "{}", who.username);
        assert!(nodes.iter().all(|node| node["reason"] == REASON));
    }

    ends(&cy, &window).await.fails_with("NOT_FOUND");
    ends(&ana, &window).await.fails_with("NOT_FOUND");
    let ended = ends(&bo, &window).await;
    let closed = ended.data()["endBreakGlass"]["window"].clone();
    assert_eq!(closed["isOpen"], false);
    assert_ne!(closed["closedAt"], Value::Null);
    assert_eq!(
        ends(&bo, &window).await.data()["endBreakGlass"]["window"],
        closed
    );
    bo.reads_for("BTG", &record).await.fails_with("NOT_FOUND");
    assert_eq!(finds(&bo, &ana, "BTG").await["totalCount"], 0);
    assert_eq!(
        bo.asks(patients, json!({})).await.data()["patients"]["nodes"],
        json!([])
    );
    assert_eq!(
        ana.asks(holders, json!({})).await.data()["whoHasAccess"]["nodes"],
        json!([])
    );

    let row = |action: &str, who: &Person, patient: Value, purpose: &str| {
        json!([action, "BREAK_GLASS_WINDOW", who.id, patient, purpose])
    };
    assert_eq!(
        rows_of(&world, &window).await,
        [
            row("BREAK_GLASS_START", &bo, json!(ana.id), "BTG"),
            row("ACCESS_DENIED", &cy, Value::Null, "TREAT"),
            row("ACCESS_DENIED", &ana, Value::Null, "PATRQT"),
            row("BREAK_GLASS_END", &bo, json!(ana.id), "BTG"),
            row("BREAK_GLASS_READ", &bo, json!(ana.id), "BTG"),
        ]
    );
    // What was disclosed names no consent, and the patient sees why.
    let reads = world
        .audit_rows(&format!(
            "resource_id = '{record}' AND user_id = '{}' AND action_type = 'RECORD_READ'",
            bo.id
        ))
        .await;
    assert!(reads.len() >= 2, "{reads:#?}");
    assert!(
        reads
            .iter()
            .all(|row| row["purpose"] == "BTG" && row["consent_reference"] == Value::Null)
    );
    // The reason is nowhere in clear.
    let trail = world
        .sql("SELECT 1 FROM audit_logs WHERE new_value::text LIKE '%unconscious%' OR old_value::text LIKE '%unconscious%'")
        .await;
    assert_eq!(trail, [Value::Null; 0]);
    let stored = world
        .sql(
            "SELECT position('unconscious'::bytea IN sealed_reason) AS at FROM break_glass_windows",
        )
        .await;
    assert_eq!(stored, [json!({ "at": 0 })]);
    assert!(!world.api.log().contains("unconscious"));
}

#[tokio::test]
async fn what_cannot_be_opened_is_refused_and_says_nothing_of_who_is_there() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (bo, cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let kim = world.admin("kim").await;
    for who in [&ana, &kim] {
        let refused = opens_for(who, &eve.id, Value::Null, REASON).await;
        refused.fails_with("FORBIDDEN");
    }
    // Everything that is wrong is told at once.
    for (purpose, reason, fields) in [
        (json!("TREAT"), REASON, vec!["purpose"]),
        (json!("ERTREAT"), REASON, vec!["purpose"]),
        (Value::Null, "too short", vec!["reason"]),
        (Value::Null, "                      short", vec!["reason"]),
        (Value::Null, &"x".repeat(1001), vec!["reason"]),
        (
            Value::Null,
            "unconscious\u{7} and not responding",
            vec!["reason"],
        ),
        (json!("HRESCH"), "", vec!["purpose", "reason"]),
    ] {
        let refused = opens_for(&bo, &ana.id, purpose.clone(), reason).await;
        let problem = refused.fails_with("BAD_USER_INPUT");
        let told = match problem.extensions["fields"].as_array() {
            Some(told) => told.iter().map(|it| text(&it["field"])).collect(),
            None => vec![text(&problem.extensions["field"])],
        };
        assert_eq!(told, fields, "{purpose} {reason:?}");
    }
    // A person there is not, a doctor, an administrator, oneself, a deactivated patient: one answer.
    let off = "mutation($id: UUID!) { deactivateUser(input: { userId: $id }) { user { id } } }";
    kim.asks(off, json!({ "id": eve.id })).await.data();
    let nobody = "01a20aa4-0000-7000-8000-00000000c0de";
    let mut told = Vec::new();
    for id in [nobody, &cy.id, &kim.id, &bo.id, &eve.id] {
        let refused = opens_for(&bo, id, Value::Null, REASON).await;
        told.push(refused.fails_with("NOT_FOUND").message.clone());
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    let denied = world
        .audit_rows(&format!(
            "action_type = 'ACCESS_DENIED' AND user_id = '{}' AND new_value ->> 'reason' = 'UNKNOWN'",
            bo.id
        ))
        .await;
    assert_eq!(denied.len(), 5);
    assert!(
        denied
            .iter()
            .all(|row| row["new_value"]["wanted"] == "BREAK_GLASS_START"
                && row["patient_id"] == Value::Null)
    );
    assert_eq!(
        world.sql("SELECT 1 FROM break_glass_windows").await,
        [Value::Null; 0]
    );
    assert_eq!(
        world.sql("SELECT 1 FROM notifications").await,
        [Value::Null; 0]
    );

    // As many as may be, and no more.
    opens(&bo, &ana).await;
    world
        .executes(
            "INSERT INTO break_glass_windows
             SELECT (gen_random_uuid()), patient_id, doctor_id, purpose, opened_at, expires_at, opened_at,
                    patient_key_id, sealed_reason, NULL, NULL, opened_at
             FROM break_glass_windows, generate_series(1, 9)",
        )
        .await;
    let refused = opens_for(&bo, &ana.id, json!("ETREAT"), REASON).await;
    refused.fails_with("LIMIT_REACHED");
    // The one that is open is answered all the same, and another doctor opens their own.
    opens(&bo, &ana).await;
    opens(&cy, &ana).await;
    world
        .executes("UPDATE break_glass_windows SET opened_at = opened_at - INTERVAL '25 hours'")
        .await;
    let opened = opens_for(&bo, &ana.id, json!("ETREAT"), REASON).await;
    opened.data();
}

#[tokio::test]
async fn two_processes_at_once_open_one_window_and_each_purpose_has_its_own() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let second = world.second_api().await;
    let there = bo.at(&second);
    let both = [&bo, &there, &bo, &there, &bo, &there];
    let patient = ana.id.as_str();

    let answers = both.map(|doctor| async move {
        let answer = tests::patiently(|| opens_for(doctor, patient, Value::Null, REASON)).await;
        id(&answer.data()["breakGlass"]["window"])
    });
    let opened: Vec<String> = futures::future::join_all(answers).await;

    assert!(opened.iter().all(|id| *id == opened[0]), "{opened:?}");
    let stored = world.sql("SELECT id FROM break_glass_windows").await;
    assert_eq!(stored, [json!({ "id": opened[0] })]);
    let told = world.sql("SELECT kind FROM notifications").await;
    assert_eq!(told, [json!({ "kind": "BREAK_GLASS_OPENED" })]);
    let other = opens_for(&bo, &ana.id, json!("ETREAT"), REASON).await;
    assert_ne!(id(&other.data()["breakGlass"]["window"]), opened[0]);
}

#[tokio::test]
async fn a_refusal_wins_and_so_does_the_loss_of_the_role() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    let record = id(&record);
    opens(&bo, &ana).await;
    bo.reads_for("BTG", &record).await.data();
    let refusal = json!({
        "purpose": "BTG", "dataCategories": ["LAB_RESULT"], "processingActivities": ["DENY"],
        "grantees": [{ "user": bo.id }],
    });
    let refused = ana.grants(refusal).await;
    let refusal = id(&refused.data()["grantConsent"]["consent"]);

    bo.reads_for("BTG", &record).await.fails_with("NOT_FOUND");
    assert_eq!(finds(&bo, &ana, "BTG").await["totalCount"], 0);
    let denied = world
        .audit_rows(&format!(
            "resource_id = '{record}' AND action_type = 'ACCESS_DENIED' AND user_id = '{}'",
            bo.id
        ))
        .await;
    assert_eq!(
        denied.last().map(|row| &row["new_value"]["reason"]),
        Some(&json!("CONSENT_DENY"))
    );
    assert_eq!(
        denied.last().map(|row| &row["consent_reference"]),
        Some(&json!(refusal))
    );
    // Opening again does not help, and tells nothing of the refusal.
    opens(&bo, &ana).await;
    bo.reads_for("BTG", &record).await.fails_with("NOT_FOUND");

    ana.withdraws(&refusal).await;
    bo.reads_for("BTG", &record).await.data();
    let set_role =
        "mutation($id: UUID!) { setRole(input: { userId: $id, role: PATIENT }) { user { role } } }";
    let admin = world.first_admin().await;
    admin.asks(set_role, json!({ "id": bo.id })).await.data();
    bo.reads_for("BTG", &record).await.fails_with("NOT_FOUND");
}

#[tokio::test]
async fn a_refusal_that_was_taken_out_by_hand_keeps_a_window_shut() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    let record = id(&record);
    opens(&bo, &ana).await;
    let refusal = json!({
        "purpose": "BTG", "dataCategories": ["LAB_RESULT"], "processingActivities": ["DENY"],
        "grantees": [{ "user": bo.id }],
    });
    let refused = ana.grants(refusal).await;
    let refusal = id(&refused.data()["grantConsent"]["consent"]);
    for change in [
        format!(
            "UPDATE data_processing_consents SET seal = NULL, seal_key = NULL WHERE id = '{refusal}'"
        ),
        format!("DELETE FROM data_processing_consents WHERE id = '{refusal}'"),
    ] {
        world.attacks(&change).await;
        bo.reads_for("BTG", &record).await.fails_with("NOT_FOUND");
        assert_eq!(finds(&bo, &ana, "BTG").await["totalCount"], 0, "{change}");
        let holders = "{ whoHasAccess { nodes { emergencyUntil } } }";
        let answer = ana.asks(holders, json!({})).await;
        assert_eq!(answer.data()["whoHasAccess"]["nodes"], json!([]));
    }
}

#[tokio::test]
async fn an_old_row_reopens_nothing_and_what_was_changed_is_reviewed_by_nobody() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let kim = world.admin("kim").await;
    let record = ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    let window = opens(&bo, &ana).await;
    world
        .attacks("CREATE TABLE before AS SELECT * FROM break_glass_windows")
        .await;
    ends(&bo, &window).await.data();
    // As it was before its end, with the seal that it had.
    world
        .attacks(
            "CREATE TABLE after AS SELECT * FROM break_glass_windows;
             DELETE FROM break_glass_windows;
             INSERT INTO break_glass_windows SELECT * FROM before",
        )
        .await;
    bo.reads_for("BTG", &id(&record))
        .await
        .fails_with("NOT_FOUND");
    // As it was, but without its seal.
    world
        .attacks(
            "DELETE FROM break_glass_windows;
             INSERT INTO break_glass_windows SELECT * FROM after;
             UPDATE break_glass_windows SET seal = NULL, seal_key = NULL",
        )
        .await;
    let refused = reviews(&kim, &window, "JUSTIFIED", Value::Null).await;
    assert_eq!(refused.fails_with("CONFLICT").extensions["field"], "id");
    world.attacks("DROP TABLE before, after").await;
    let denied = world
        .audit_rows(&format!(
            "resource_id = '{}' AND new_value ->> 'reason' = 'TAMPERED'",
            id(&window)
        ))
        .await;
    assert_eq!(denied.len(), 1);
}

#[tokio::test]
async fn a_review_that_nobody_made_is_taken_out_and_found_and_the_window_is_reviewed() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let kim = world.admin("kim").await;
    let (old, new) = (opens(&bo, &ana).await, {
        let answer = opens_for(&bo, &ana.id, json!("ETREAT"), REASON).await;
        answer.data()["breakGlass"]["window"].clone()
    });
    for window in [&old, &new] {
        ends(&bo, window).await.data();
    }

    world
        .attacks(&format!(
            "UPDATE break_glass_windows SET reviewed_at = now(), reviewed_by = '{}', decision = 'JUSTIFIED'",
            kim.id
        ))
        .await;

    // Whoever reviews at once need not wait until it is found.
    let reviewed = reviews(&kim, &new, "UNJUSTIFIED", Value::Null).await;
    let review = &reviewed.data()["reviewBreakGlass"]["review"];
    assert_eq!(review["window"]["decision"], "UNJUSTIFIED");
    eventually("the other one is in the queue again", async || {
        let waiting = queue(&kim, Value::Null).await;
        (waiting.len() == 1 && waiting[0]["window"]["id"] == old["id"]).then_some(())
    })
    .await;
    for window in [&old, &new] {
        let window = id(window);
        let found = format!("SELECT 1 FROM integrity_findings WHERE row_id = '{window}'");
        assert_eq!(world.sql(&found).await.len(), 1);
        let cleared = format!("resource_id = '{window}' AND new_value ? 'forgedReview'");
        let rows = world.audit_rows(&cleared).await;
        assert_eq!(rows.len(), 1);
        let was = json!({ "reviewedBy": kim.id, "decision": "JUSTIFIED" });
        assert_eq!(rows[0]["old_value"], was);
    }
    ages(&world, &old, "73 hours").await;
    eventually("it is escalated", async || {
        queue(&kim, json!("ESCALATED")).await.pop()
    })
    .await;
    reviews(&kim, &old, "JUSTIFIED", Value::Null).await.data();
    let again = reviews(&kim, &old, "UNJUSTIFIED", Value::Null).await;
    assert_eq!(again.fails_with("CONFLICT").extensions["field"], "id");
    assert_eq!(queue(&kim, Value::Null).await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_review_that_was_changed_or_taken_out_is_put_back_and_no_other_is_accepted() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (kim, lea) = (world.admin("kim").await, world.admin("lea").await);
    let mut windows = Vec::new();
    for _ in 0..3 {
        let window = opens(&bo, &ana).await;
        ends(&bo, &window).await.data();
        let note = json!("she was unconscious");
        reviews(&kim, &window, "JUSTIFIED", note).await.data();
        windows.push(window);
    }
    let [changed, removed, left] = [0, 1, 2].map(|nth| id(&windows[nth]));

    world
        .attacks(&format!(
            "UPDATE break_glass_windows SET decision = 'UNJUSTIFIED', reviewed_by = '{}' WHERE id IN ('{changed}', '{left}');
             UPDATE break_glass_windows
             SET reviewed_at = NULL, reviewed_by = NULL, decision = NULL, sealed_note = NULL
             WHERE id = '{removed}'",
            lea.id
        ))
        .await;

    // Before it is put back, and while it is.
    for window in &windows[..2] {
        let again = reviews(&lea, window, "UNJUSTIFIED", Value::Null).await;
        assert_eq!(again.fails_with("CONFLICT").extensions["field"], "id");
    }
    let told = format!(
        "SELECT 1 FROM break_glass_windows WHERE decision = 'JUSTIFIED' AND reviewed_by = '{}' AND reviewed_at IS NOT NULL",
        kim.id
    );
    eventually("all are put back", async || {
        (world.sql(&told).await.len() == 3).then_some(())
    })
    .await;
    for (window, was) in [
        (
            &changed,
            json!({ "reviewedBy": lea.id, "decision": "UNJUSTIFIED" }),
        ),
        (&removed, json!({ "reviewedBy": null, "decision": null })),
        (
            &left,
            json!({ "reviewedBy": lea.id, "decision": "UNJUSTIFIED" }),
        ),
    ] {
        let found = format!("SELECT 1 FROM integrity_findings WHERE row_id = '{window}'");
        assert_eq!(world.sql(&found).await.len(), 1);
        let restored =
            format!("resource_id = '{window}' AND new_value ->> 'forgedReview' = 'RESTORED'");
        let rows = world.audit_rows(&restored).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["old_value"], was);
        let decided = format!("resource_id = '{window}' AND new_value ? 'decision'");
        assert_eq!(world.audit_rows(&decided).await.len(), 1);
    }
    let mine = ana.asks(MINE, json!({})).await;
    let nodes = mine.data()["myBreakGlassWindows"]["nodes"].as_array();
    let nodes = nodes.expect("a list");
    assert!(nodes.iter().all(|node| node["decision"] == "JUSTIFIED"));
    let of_changed = nodes.iter().find(|node| node["note"].is_string());
    assert_eq!(of_changed.expect("a note")["note"], "she was unconscious");
    assert_eq!(queue(&kim, json!("REVIEWED")).await.len(), 3);

    // Not even the api's role can write another one.
    let mut api = world.connects_as("meditrustal_api").await;
    for change in ["decision = 'UNJUSTIFIED'", "sealed_note = NULL"] {
        let tried = format!("UPDATE break_glass_windows SET {change}");
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(tried))
            .execute(&mut api)
            .await;
        let error = done.expect_err(change).to_string();
        assert!(error.contains("the review of a window is final"), "{error}");
    }
}

#[tokio::test]
async fn whether_a_window_is_open_is_told_by_the_clock_of_the_database() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let window = opens(&bo, &ana).await;
    assert_eq!(window["isOpen"], true);
    puts_the_clock_ahead(&world, 0).await;
    let api = world.another_api("ahead", &[]).await;
    let bo = bo.at(&api);
    let is_open = async || {
        let mine = bo.asks(MINE, json!({})).await;
        mine.data()["myBreakGlassWindows"]["nodes"][0]["isOpen"].clone()
    };
    assert_eq!(is_open().await, true);

    // A minute after its end.
    puts_the_clock_ahead(&world, 4 * 60 * 60 + 60).await;

    assert_eq!(is_open().await, false);
}

#[tokio::test]
async fn windows_of_which_nobody_can_be_told_hold_up_no_other() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (kim, first) = (world.admin("kim").await, world.first_admin().await);
    let window = opens(&bo, &ana).await;
    // A hundred on the records of the only administrator there is, all of them older.
    world
        .attacks(&format!(
            "UPDATE users SET role = 'PATIENT' WHERE id = '{}';
             INSERT INTO break_glass_windows
                 (id, patient_id, doctor_id, purpose, opened_at, expires_at, end_recorded_at, patient_key_id,
                  sealed_reason)
             SELECT gen_random_uuid(), '{}', doctor_id, purpose, opened_at - INTERVAL '100 hours',
                    expires_at - INTERVAL '100 hours', now(), patient_key_id, sealed_reason
             FROM break_glass_windows, generate_series(1, 100)",
            first.id, kim.id
        ))
        .await;

    ages(&world, &window, "73 hours").await;

    let escalated = eventually("it is escalated", async || {
        queue(&kim, json!("ESCALATED")).await.pop()
    })
    .await;
    assert_eq!(escalated["window"]["id"], window["id"]);
}

#[tokio::test]
async fn a_window_that_is_forged_or_changed_opens_nothing_and_is_found() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let cy = world.doctor("cy").await;
    let record = ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    let record = id(&record);
    let window = opens(&bo, &ana).await;
    let found = async |row: &str| {
        let finding = format!(
            "SELECT 1 FROM integrity_findings
             WHERE kind = 'ROW_TAMPERED' AND table_name = 'break_glass_windows' AND row_id = '{row}'
               AND resolved_at IS NULL"
        );
        eventually("the row is found", async || {
            world.sql(&finding).await.first().map(|_| ())
        })
        .await;
    };
    // One of her own, written by SQL.
    let own = "01a20aa4-0000-7000-8000-00000000c0de";
    world
        .attacks(&format!(
            "INSERT INTO break_glass_windows
             SELECT '{own}', patient_id, '{}', purpose, opened_at, expires_at, NULL, patient_key_id,
                    sealed_reason, seal, seal_key
             FROM break_glass_windows",
            cy.id
        ))
        .await;
    cy.reads_for("BTG", &record).await.fails_with("NOT_FOUND");
    assert_eq!(finds(&cy, &ana, "BTG").await["totalCount"], 0);
    found(own).await;
    // One that has ended, made longer.
    bo.reads_for("BTG", &record).await.data();
    for change in [
        "expires_at = expires_at + INTERVAL '1 day'",
        "seal = NULL, seal_key = NULL",
        "purpose = 'ETREAT'",
    ] {
        let old = world
            .sql("SELECT seal, seal_key, expires_at, purpose FROM break_glass_windows WHERE seal IS NOT NULL")
            .await;
        assert!(!old.is_empty());
        world
            .attacks(&format!(
                "CREATE TABLE IF NOT EXISTS before AS SELECT * FROM break_glass_windows;
                 UPDATE break_glass_windows SET {change} WHERE id = '{}'",
                id(&window)
            ))
            .await;
        let purpose = if change.starts_with("purpose") {
            "ETREAT"
        } else {
            "BTG"
        };
        bo.reads_for(purpose, &record).await.fails_with("NOT_FOUND");
        found(&id(&window)).await;
        world
            .attacks(&format!(
                "UPDATE break_glass_windows AS now
                 SET expires_at = before.expires_at, purpose = before.purpose, seal = before.seal,
                     seal_key = before.seal_key
                 FROM before WHERE before.id = now.id AND now.id = '{}'",
                id(&window)
            ))
            .await;
        bo.reads_for("BTG", &record).await.data();
    }
    // The deep check finds it without being asked, and closes what is right again.
    world
        .attacks(&format!(
            "DELETE FROM break_glass_windows WHERE id = '{own}'; DROP TABLE before"
        ))
        .await;
    let checking = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000")];
    let _checking = world.another_api("checking", &checking).await;
    eventually("the finding is closed", async || {
        let open = format!(
            "SELECT 1 FROM integrity_findings WHERE row_id = '{}' AND resolved_at IS NULL",
            id(&window)
        );
        world.sql(&open).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_end_is_written_down_by_itself_and_a_review_is_made_once_by_somebody_else() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let kim = world.admin("kim").await;
    let record = ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    let record = id(&record);
    let window = opens(&bo, &ana).await;
    bo.reads_for("BTG", &record).await.data();
    finds(&bo, &ana, "BTG").await;
    for who in [&ana, &bo] {
        who.asks(QUEUE, json!({})).await.fails_with("FORBIDDEN");
        let refused = reviews(who, &window, "JUSTIFIED", Value::Null).await;
        refused.fails_with("FORBIDDEN");
    }

    let waiting = queue(&kim, Value::Null).await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0]["window"]["id"], window["id"]);
    assert_eq!(waiting[0]["window"]["reason"], REASON);
    assert_eq!(
        waiting[0]["window"]["doctor"]["email"],
        "d***@meditrustal.example"
    );
    assert_eq!(
        waiting[0]["window"]["patient"]["email"],
        "a***@meditrustal.example"
    );
    // One request for the record, one for the list, which shows the record as well.
    assert_eq!(waiting[0]["disclosures"], 2);
    // It is one record.
    assert_eq!(waiting[0]["recordsDisclosed"], 1);
    assert_eq!(waiting[0]["recordsPerHour"], 60.0);
    let early = reviews(&kim, &window, "JUSTIFIED", Value::Null).await;
    assert_eq!(early.fails_with("CONFLICT").extensions["field"], "id");

    ages(&world, &window, "5 hours").await;
    bo.reads_for("BTG", &record).await.fails_with("NOT_FOUND");
    let of_window = format!(
        "resource_id = '{}' AND action_type = 'BREAK_GLASS_END'",
        id(&window)
    );
    let ended = eventually("the end is written down", async || {
        world.audit_rows(&of_window).await.pop()
    })
    .await;
    let times = world
        .sql("SELECT expires_at, end_recorded_at FROM break_glass_windows")
        .await;
    assert_eq!(ended["new_value"]["by"], "TIME");
    assert_eq!(ended["new_value"]["sealed"], true);
    let said = world
        .sql(&format!(
            "SELECT (SELECT expires_at FROM break_glass_windows) = (new_value ->> 'endedAt')::timestamptz AS is_right
             FROM audit_logs WHERE {of_window}"
        ))
        .await;
    assert_eq!(said, [json!({ "is_right": true })]);
    assert_eq!(times[0]["end_recorded_at"], ended["event_time"]);
    assert_eq!(ended["patient_id"], ana.id.as_str());

    // Bad input, an unknown window, somebody who is concerned.
    let long = reviews(&kim, &window, "JUSTIFIED", json!("x".repeat(1001))).await;
    assert_eq!(
        long.fails_with("BAD_USER_INPUT").extensions["field"],
        "note"
    );
    let unknown = json!({ "id": "01a20aa4-0000-7000-8000-00000000c0de" });
    let refused = reviews(&kim, &unknown, "JUSTIFIED", json!("a note")).await;
    refused.fails_with("NOT_FOUND");
    world
        .executes(&format!(
            "UPDATE users SET role = 'ADMIN' WHERE id IN ('{}', '{}')",
            ana.id, bo.id
        ))
        .await;
    world.seals().await;
    for concerned in [&ana, &bo] {
        let refused = reviews(concerned, &window, "JUSTIFIED", Value::Null).await;
        assert_eq!(
            refused.fails_with("BAD_USER_INPUT").extensions["field"],
            "id"
        );
    }
    world
        .executes(&format!(
            "UPDATE users SET role = CASE WHEN id = '{}' THEN 'PATIENT' ELSE 'DOCTOR' END WHERE id IN ('{}', '{}')",
            ana.id, ana.id, bo.id
        ))
        .await;
    world.seals().await;

    let reviewed = reviews(&kim, &window, "UNJUSTIFIED", json!(" she was awake ")).await;
    let review = &reviewed.data()["reviewBreakGlass"]["review"];
    assert_eq!(review["window"]["reviewStatus"], "REVIEWED");
    assert_eq!(review["window"]["decision"], "UNJUSTIFIED");
    assert_eq!(review["window"]["note"], "she was awake");
    assert_eq!(review["window"]["reviewedBy"]["id"], kim.id.as_str());
    let again = reviews(&kim, &window, "JUSTIFIED", Value::Null).await;
    assert_eq!(again.fails_with("CONFLICT").extensions["field"], "id");
    assert_eq!(queue(&kim, Value::Null).await, [Value::Null; 0]);
    assert_eq!(queue(&kim, json!("REVIEWED")).await.len(), 1);
    for who in [&ana, &bo] {
        let mine = who.asks(MINE, json!({})).await;
        let node = &mine.data()["myBreakGlassWindows"]["nodes"][0];
        assert_eq!(node["decision"], "UNJUSTIFIED");
        assert_eq!(node["note"], "she was awake");
        let told = who
            .asks(
                "{ notifications { nodes { kind who { id } windowId } } }",
                json!({}),
            )
            .await;
        assert_eq!(
            told.data()["notifications"]["nodes"][0],
            json!({ "kind": "BREAK_GLASS_UNJUSTIFIED", "who": { "id": kim.id }, "windowId": window["id"] })
        );
    }
    let of_review = format!(
        "resource_id = '{}' AND action_type = 'BREAK_GLASS_REVIEW'",
        id(&window)
    );
    let rows = world.audit_rows(&of_review).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0]["new_value"],
        json!({ "decision": "UNJUSTIFIED", "note": true })
    );
    assert_eq!(
        (
            &rows[0]["user_id"],
            &rows[0]["patient_id"],
            &rows[0]["purpose"]
        ),
        (&json!(kim.id), &json!(ana.id), &json!("HCOMPL"))
    );
    let denied = world
        .audit_rows(&format!(
            "resource_id = '{}' AND action_type = 'ACCESS_DENIED'",
            id(&window)
        ))
        .await;
    let reasons: Vec<_> = denied
        .iter()
        .map(|row| text(&row["new_value"]["reason"]))
        .collect();
    assert_eq!(reasons, ["OPEN", "CONCERNED", "CONCERNED", "REVIEWED"]);
}

#[tokio::test]
async fn what_nobody_reviews_is_escalated_once_and_to_every_administrator() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (kim, first) = (world.admin("kim").await, world.first_admin().await);
    let second = world.second_api().await;
    let (old, new) = (opens(&bo, &ana).await, {
        let answer = opens_for(&bo, &ana.id, json!("ETREAT"), REASON).await;
        answer.data()["breakGlass"]["window"].clone()
    });
    ages(&world, &old, "73 hours").await;
    ages(&world, &new, "71 hours").await;

    let escalated = eventually("it is escalated", async || {
        queue(&kim, json!("ESCALATED")).await.pop()
    })
    .await;

    assert_eq!(escalated["window"]["id"], old["id"]);
    assert_eq!(escalated["window"]["reviewStatus"], "ESCALATED");
    // Both processes look again and again, and nobody is told twice.
    for window in [&old, &new] {
        let ended = format!(
            "resource_id = '{}' AND action_type = 'BREAK_GLASS_END'",
            id(window)
        );
        eventually("the end is written down", async || {
            world.audit_rows(&ended).await.pop()
        })
        .await;
        assert_eq!(world.audit_rows(&ended).await.len(), 1);
    }
    drop(second);
    let told = world
        .sql("SELECT user_id, resource_id FROM notifications WHERE kind = 'BREAK_GLASS_ESCALATED' ORDER BY user_id")
        .await;
    let mut wanted = [kim.id.clone(), first.id.clone()];
    wanted.sort();
    let wanted = wanted.map(|user| json!({ "user_id": user, "resource_id": old["id"] }));
    assert_eq!(told, wanted);
    let rows = world.audit_rows("action_type = 'BREAK_GLASS_REVIEW'").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0]["new_value"],
        json!({ "escalated": true, "administrators": 2 })
    );
    // Oldest first, page by page.
    let page = kim.asks(QUEUE, json!({ "first": 1 })).await;
    let page = &page.data()["breakGlassReviews"];
    assert_eq!(page["nodes"][0]["window"]["id"], old["id"]);
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let rest = kim
        .asks(
            QUEUE,
            json!({ "first": 1, "after": page["pageInfo"]["endCursor"] }),
        )
        .await;
    assert_eq!(
        rest.data()["breakGlassReviews"]["nodes"][0]["window"]["id"],
        new["id"]
    );
    assert_eq!(queue(&kim, json!("PENDING")).await.len(), 1);
}

#[tokio::test]
async fn an_emergency_needs_a_second_factor_where_the_operator_says_so() {
    let world = World::with(|options| {
        let required = ("MEDITRUSTAL_REQUIRE_SECOND_FACTOR", "break-glass");
        options
            .api
            .push((required.0.to_owned(), required.1.to_owned()));
    })
    .await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let refused = opens_for(&bo, &ana.id, Value::Null, REASON).await;
    refused.fails_with("SECOND_FACTOR_REQUIRED");
    world
        .executes(&format!(
            "UPDATE sessions SET second_factor_at = now() WHERE user_id = '{}' AND parent_id IS NULL",
            bo.id
        ))
        .await;
    world.seals().await;
    opens(&bo, &ana).await;
    let record = ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    bo.reads_for("BTG", &id(&record)).await.data();
    // Another log-in of the same doctor, without one.
    let without = world.logs_in(&bo).await;
    let refused = without.reads_for("BTG", &id(&record)).await;
    refused.fails_with("NOT_FOUND");
}

/// From now on no audit row of emergency access can be written.
pub(crate) async fn cannot_be_written_down(world: &World) {
    world.is_broken_on_purpose();
    world
        .executes(
            "CREATE FUNCTION no_start() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no start'; END $$;
             CREATE TRIGGER no_start BEFORE INSERT ON audit_logs FOR EACH ROW
                 WHEN (NEW.action_type = 'BREAK_GLASS_START') EXECUTE FUNCTION no_start()",
        )
        .await;
}

#[tokio::test]
async fn no_window_opens_and_nobody_is_told_where_no_audit_row_can_be_written() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    cannot_be_written_down(&world).await;

    let failed = opens_for(&bo, &ana.id, Value::Null, REASON).await;

    failed.fails_with("INTERNAL");
    for table in ["break_glass_windows", "notifications"] {
        let rows = world.sql(&format!("SELECT 1 FROM {table}")).await;
        assert_eq!(rows, [Value::Null; 0], "{table}");
    }
}
