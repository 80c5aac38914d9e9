//! Erasures that are carried out: what is left, what the chain and a certificate say, and what a kill leaves behind.

use domain::users::ANONYMOUS;
use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id, text};

use crate::{
    break_glass::opens,
    consent_receipts::{consent, linked, signed},
    representatives::{self, ALL, appointed, proposes},
};

const REVIEW: &str = "mutation($input: ReviewDeletionInput!) {
  reviewDeletion(input: $input) { request { status } }
}";
const CERTIFICATE: &str =
    "query($id: UUID!) { deletionCertificate(id: $id) { document sha256 issuedAt } }";
/// Every step of an erasure of an account, in order.
const STEPS: [&str; 7] = [
    "BEGIN",
    "SESSIONS",
    "CONSENTS",
    "RECORDS",
    "KEYS",
    "ACCOUNT",
    "CERTIFICATE",
];

/// A world in which what is approved is erased at once.
pub(crate) async fn at_once(more: &[(String, String)]) -> World {
    let settings = [
        ("MEDITRUSTAL_DELETION_GRACE", "0"),
        ("MEDITRUSTAL_DELETION_EVERY", "1"),
        ("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000"),
        ("MEDITRUSTAL_DEEP_CHECK_REST", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    World::with(|options| {
        options.api.extend(settings);
        options.api.extend_from_slice(more);
    })
    .await
}

pub(crate) async fn verified(ana: &Person, input: Value) -> String {
    id(&verifies(ana, input).await["request"])
}

/// What the verification of a request that is made for it answers.
async fn verifies(ana: &Person, input: Value) -> Value {
    let ask = "mutation($input: RequestDataDeletionInput!) {
      requestDataDeletion(input: $input) { request { id } }
    }";
    let answer = ana.asks(ask, json!({ "input": input })).await;
    let request = id(&answer.data()["requestDataDeletion"]["request"]);
    let verify = "mutation($input: VerifyDeletionRequestInput!) {
      verifyDeletionRequest(input: $input) { request { id } claimCode }
    }";
    let input = json!({ "id": request, "currentPassword": ana.password });
    let answer = ana.asks(verify, json!({ "input": input })).await;
    answer.data()["verifyDeletionRequest"].clone()
}

pub(crate) async fn approves(admin: &Person, request: &str) {
    let input = json!({
        "id": request, "decision": "APPROVE", "reason": "the person may ask for it",
        "overrideRetention": true,
    });
    admin.asks(REVIEW, json!({ "input": input })).await.data();
}

pub(crate) fn account() -> Value {
    json!({ "requestType": "ACCOUNT_ERASURE", "dataCategories": ["ALL_RECORDS"] })
}

pub(crate) async fn status(world: &World, request: &str) -> String {
    let query = format!("SELECT status FROM data_deletion_requests WHERE id = '{request}'");
    text(&world.sql(&query).await[0]["status"])
}

pub(crate) async fn is_completed(world: &World, request: &str) {
    eventually("the request is carried out", async || {
        (status(world, request).await == "completed").then_some(())
    })
    .await;
}

/// The steps that are done, in order.
pub(crate) async fn steps(world: &World, request: &str) -> Vec<String> {
    let query = format!(
        "SELECT step FROM deletion_steps WHERE request_id = '{request}' ORDER BY done_at, step"
    );
    let rows = world.sql(&query).await;
    rows.iter().map(|row| text(&row["step"])).collect()
}

/// Waits until the deep check has gone through everything once more, and nothing was found.
async fn is_sound(world: &World) {
    let ended = "SELECT last_ended_at FROM deep_checks";
    for _ in 0..2 {
        let before = world.sql(ended).await[0]["last_ended_at"].clone();
        eventually("a round of the deep check ends", async || {
            (world.sql(ended).await[0]["last_ended_at"] != before).then_some(())
        })
        .await;
    }
    let open = world
        .sql("SELECT kind, details FROM integrity_findings WHERE resolved_at IS NULL")
        .await;
    assert!(open.is_empty(), "{open:?}");
}

/// Where a text stands, in any column of any table but the audit trail, which stays: it is given by table and column.
pub(crate) async fn places_of(world: &World, marker: &str) -> Vec<String> {
    let columns = world
        .sql(
            "SELECT table_name, column_name FROM information_schema.columns
             JOIN information_schema.tables USING (table_schema, table_name)
             WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1, 2",
        )
        .await;
    assert!(columns.len() > 150, "{} columns are too few", columns.len());
    let mut places = Vec::new();
    for column in &columns {
        let (table, column) = (text(&column["table_name"]), text(&column["column_name"]));
        let found = format!(
            "SELECT count(*) AS found FROM {table}
             WHERE position('{marker}' IN \"{column}\"::text) > 0
                OR position(encode(convert_to('{marker}', 'UTF8'), 'hex') IN \"{column}\"::text) > 0"
        );
        if world.sql(&found).await[0]["found"] != 0 {
            places.push(format!("{table}.{column}"));
        }
    }
    places
}

/// No erasure gets further than what is looked at before its first step.
async fn nothing_begins(world: &World) {
    world.is_broken_on_purpose();
    world
        .executes(
            "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 RAISE EXCEPTION 'not now';
             END
             $$;
             CREATE TRIGGER not_now BEFORE INSERT ON deletion_steps FOR EACH ROW EXECUTE FUNCTION not_now()",
        )
        .await;
}

#[tokio::test]
async fn a_category_is_erased_closed_on_the_chain_and_certified() {
    let world = at_once(&[]).await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let first = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let amended = ana
        .amends(&first, documents::vital_signs(), json!({}))
        .await;
    let (old, last) = (
        id(&first),
        id(&amended.data()["amendMedicalRecord"]["record"]),
    );
    let image = ana.creates(&ana, "IMAGING", documents::of("IMAGING")).await;
    let image = id(&image);
    let input = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["VITAL_SIGNS"] });
    let request = verified(&ana, input).await;

    approves(&ada, &request).await;
    is_completed(&world, &request).await;

    for record in [&old, &last] {
        for person in [&ana, &dr_bo] {
            person.reads(record).await.fails_with("NOT_FOUND");
        }
        let told = ana.verifies(record).await;
        assert_eq!(told.data()["verifyRecord"]["verdict"], "ERASED");
        dr_bo.verifies(record).await.fails_with("NOT_FOUND");
    }
    dr_bo.reads(&image).await.data();
    let left = world
        .sql(
            "SELECT 1 FROM medical_records
             WHERE record_type = 'VITAL_SIGNS'
               AND (erased_at IS NULL OR encrypted_data <> '' OR record_metadata IS NOT NULL
                    OR code_tokens IS NOT NULL OR effective_at IS NOT NULL)",
        )
        .await;
    assert!(left.is_empty(), "{left:?}");
    // The last version is closed; the one before was superseded already.
    eventually("the record is closed on the chain", async || {
        let closings = world
            .sql("SELECT record_id, status, reason, state FROM record_closings")
            .await;
        let closed =
            json!([{ "record_id": last, "status": "ERASED", "reason": 2, "state": "CONFIRMED" }]);
        (json!(closings) == closed).then_some(())
    })
    .await;
    assert_eq!(
        steps(&world, &request).await,
        ["BEGIN", "RECORDS", "CERTIFICATE"]
    );
    is_told_as_completed(&world, &ana, &request).await;

    let answer = ana.asks(CERTIFICATE, json!({ "id": request })).await;
    let certificate = &answer.data()["deletionCertificate"];
    let document = text(&certificate["document"]);
    let hash = world
        .sql(&format!(
            "SELECT encode(sha256(convert_to($marker${document}$marker$, 'UTF8')), 'hex') AS hash"
        ))
        .await;
    assert_eq!(hash[0]["hash"], certificate["sha256"]);
    let said = format!("action_type = 'DELETION_COMPLETE' AND resource_id = '{request}'");
    let rows = world.audit_rows(&said).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["new_value"]["certificate"], certificate["sha256"]);
    let document: Value = serde_json::from_str(&document).expect("it is JSON");
    assert_eq!(document["recordCount"], 2);
    assert_eq!(document["records"][0]["id"], old.as_str());
    assert_eq!(document["destroyedKeys"], json!([]));
    dr_bo
        .asks(CERTIFICATE, json!({ "id": request }))
        .await
        .fails_with("NOT_FOUND");
    is_sound(&world).await;
}

/// Its subject is told when a request was made, verified and carried out, as its row says.
async fn is_told_as_completed(world: &World, ana: &Person, request: &str) {
    const REQUESTS: &str = "{ dataDeletionRequests { nodes {
      id status requestedAt verifiedAt completedAt
    } } }";

    let answer = ana.asks(REQUESTS, json!({})).await;

    let told = &answer.data()["dataDeletionRequests"]["nodes"][0];
    assert_eq!(id(told), request);
    assert_eq!(told["status"], "COMPLETED");
    let [made, proved, done] =
        ["requestedAt", "verifiedAt", "completedAt"].map(|name| text(&told[name]));
    let same = world
        .sql(&format!(
            "SELECT 1 FROM data_deletion_requests
             WHERE requested_at = '{made}' AND verified_at = '{proved}' AND completed_at = '{done}'"
        ))
        .await;
    assert_eq!(same.len(), 1, "{told}");
}

#[tokio::test]
async fn of_an_account_that_was_erased_nothing_is_left_but_the_trail() {
    const MARKER: &str = "zaphodbeeblebrox";
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (zaphod, dr_bo) = (world.patient(MARKER).await, world.doctor("bo").await);
    zaphod.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let record = zaphod
        .creates(&zaphod, "LAB_RESULT", documents::lab_result())
        .await;
    let record = id(&record);
    dr_bo.reads(&record).await.data();
    opens(&dr_bo, &zaphod).await;
    let places = places_of(&world, MARKER).await;
    assert!(places.contains(&"users.username".to_owned()), "{places:?}");
    assert!(places.contains(&"users.email".to_owned()), "{places:?}");
    let request = verified(&zaphod, account()).await;

    approves(&ada, &request).await;
    approves(&adi, &request).await;
    is_completed(&world, &request).await;

    assert_eq!(steps(&world, &request).await, STEPS);
    let places = places_of(&world, MARKER).await;
    assert!(
        places.iter().all(|place| place.starts_with("audit_logs.")),
        "{places:?}"
    );
    zaphod
        .asks("{ me { id } }", json!({}))
        .await
        .fails_with("UNAUTHENTICATED");
    let log_in = "mutation($input: LogInInput!) { logIn(input: $input) { accessToken } }";
    let input = json!({ "login": MARKER, "password": zaphod.password });
    let refused = world.nobody().asks(log_in, json!({ "input": input })).await;
    refused.fails_with("WRONG_CREDENTIALS");
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    let user = &zaphod.id;
    let nobody = user.replace('-', "");
    for nothing in [
        format!(
            "SELECT 1 FROM users WHERE id = '{user}' AND (is_active OR hashed_password <> '!')"
        ),
        format!(
            "SELECT 1 FROM patient_keys WHERE patient_id = '{user}' AND wrapped_key IS NOT NULL"
        ),
        format!(
            "SELECT 1 FROM users WHERE id = '{user}'
               AND (username <> 'erased:{nobody}' OR email <> '{nobody}@erased')"
        ),
        format!("SELECT 1 FROM sessions WHERE user_id = '{user}'"),
        format!("SELECT 1 FROM wallets WHERE user_id = '{user}'"),
        format!(
            "SELECT 1 FROM break_glass_windows WHERE patient_id = '{user}' AND closed_at IS NULL"
        ),
        format!("SELECT 1 FROM second_factors WHERE user_id = '{user}'"),
        format!(
            "SELECT 1 FROM data_processing_consents WHERE user_id = '{user}' AND consent_withdrawn_at IS NULL"
        ),
        format!(
            "SELECT 1 FROM medical_records WHERE patient_id = '{user}' AND (erased_at IS NULL OR encrypted_data <> '')"
        ),
    ] {
        assert!(world.sql(&nothing).await.is_empty(), "{nothing}");
    }
    // No administrator makes somebody of it again.
    for change in [
        "mutation($id: UUID!) { reactivateUser(input: { userId: $id }) { user { id } } }",
        "mutation($id: UUID!) { setRole(input: { userId: $id, role: DOCTOR }) { user { id } } }",
        "mutation($id: UUID!) { setRole(input: { userId: $id, role: ADMIN }) { user { id } } }",
    ] {
        let refused = ada.asks(change, json!({ "id": user })).await;
        let told = refused.fails_with("CONFLICT");
        assert_eq!(told.extensions["field"], "userId", "{change}");
    }
    let refused = "action_type = 'ACCESS_DENIED' AND new_value ->> 'reason' = 'ERASED'";
    assert_eq!(world.audit_rows(refused).await.len(), 3);
    let as_before =
        format!("SELECT 1 FROM users WHERE id = '{user}' AND role = 'PATIENT' AND NOT is_active");
    assert_eq!(world.sql(&as_before).await.len(), 1);
    let ended = format!("action_type = 'BREAK_GLASS_END' AND patient_id = '{user}'");
    assert_eq!(world.audit_rows(&ended).await.len(), 1);
    let destroyed = format!("action_type = 'KEY_DESTROY' AND patient_id = '{user}'");
    assert_eq!(world.audit_rows(&destroyed).await.len(), 1);
    // The name is free again, for somebody else.
    world.registers(&world.stranger(MARKER)).await;
    is_sound(&world).await;
}

#[tokio::test]
async fn whoever_had_an_account_erased_has_its_certificate_by_the_claim_code() {
    const CLAIM: &str = "mutation($code: String!) {
      claimDeletionCertificate(input: { code: $code }) { certificate { document sha256 } }
    }";
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let ana = world.patient("ana").await;
    let of_category = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["IMAGING"] });
    assert_eq!(verifies(&ana, of_category).await["claimCode"], Value::Null);
    let verified = verifies(&ana, account()).await;
    let (request, code) = (id(&verified["request"]), text(&verified["claimCode"]));
    let nobody = world.nobody();
    let early = nobody.asks(CLAIM, json!({ "code": code })).await;
    assert_eq!(early.fails_with("CONFLICT").extensions["field"], "code");

    approves(&ada, &request).await;
    approves(&adi, &request).await;
    is_completed(&world, &request).await;

    let read = ada.asks(CERTIFICATE, json!({ "id": request })).await;
    let wanted = &read.data()["deletionCertificate"];
    for typed in [code.clone(), format!(" {code}\n")] {
        let claimed = nobody.asks(CLAIM, json!({ "code": typed })).await;
        let certificate = &claimed.data()["claimDeletionCertificate"]["certificate"];
        assert_eq!(certificate["document"], wanted["document"]);
        assert_eq!(certificate["sha256"], wanted["sha256"]);
    }
    for wrong in ["", "A", &"A".repeat(43), &request] {
        let refused = nobody.asks(CLAIM, json!({ "code": wrong })).await;
        let told = refused.fails_with("BAD_USER_INPUT");
        assert_eq!(told.extensions["field"], "code");
    }
    assert_eq!(places_of(&world, &code).await, Vec::<String>::new());
    let by_nobody = json!(ANONYMOUS);
    let claimed = format!("resource_id = '{request}' AND new_value ->> 'by' = 'CLAIM_CODE'");
    let rows = world.audit_rows(&claimed).await;
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row["action_type"], "DELETION_READ");
        assert_eq!(row["new_value"]["certificate"], wanted["sha256"]);
        assert_eq!(row["user_id"], by_nobody);
        assert_eq!(row["patient_id"], ana.id.as_str());
    }
    let unknown = "action_type = 'ACCESS_DENIED' AND new_value ->> 'reason' = 'CLAIM_CODE'";
    let rows = world.audit_rows(unknown).await;
    assert_eq!(rows.len(), 1, "what is no code at all is not looked for");
    assert_eq!(rows[0]["patient_id"], Value::Null);
}

#[tokio::test]
async fn receipts_representations_and_memberships_say_nothing_of_an_account_that_was_erased() {
    const MARKER: &str = "zaphodbeeblebrox";
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (zaphod, eva) = (world.patient(MARKER).await, world.patient("eva").await);
    let dr_bo = world.doctor("bo").await;
    let wallet = world.account(0).await;
    linked(&world, &zaphod, &wallet).await;
    let agreed = consent(&zaphod, &dr_bo).await;
    signed(&world, &zaphod, &wallet, &agreed, "GRANT").await;
    let reason = format!("{MARKER} cannot decide anything at present");
    for person in [&dr_bo, &eva] {
        let proposed = proposes(&ada, &zaphod, person, &reason).await;
        let proposed = proposed.data()["proposeRepresentative"]["proposal"].clone();
        if person.id == eva.id {
            representatives::approves(&adi, &proposed).await.data();
        }
    }
    appointed(&eva, &dr_bo, &ALL).await;
    let hospital = ada.creates_organization("RS Harapan Kita", "ID").await;
    let hospital = id(&hospital.data()["createOrganization"]["organization"]);
    ada.adds_member(&hospital, &dr_bo, json!({})).await.data();
    let places = places_of(&world, MARKER).await;
    for place in ["representatives.reason", "representative_proposals.reason"] {
        assert!(places.contains(&place.to_owned()), "{place}: {places:?}");
    }

    for person in [&zaphod, &dr_bo] {
        let request = verified(person, account()).await;
        approves(&ada, &request).await;
        approves(&adi, &request).await;
        is_completed(&world, &request).await;
    }

    let places = places_of(&world, MARKER).await;
    assert!(
        places.iter().all(|place| place.starts_with("audit_logs.")),
        "{places:?}"
    );
    let zaphod = &zaphod.id;
    for nothing in [
        format!(
            "SELECT 1 FROM consent_receipts WHERE user_id = '{zaphod}'
               AND (text <> '' OR num_nonnulls(chain_id, contract, wallet, deadline, signature, signed_at) > 0)"
        ),
        "SELECT 1 FROM representatives WHERE ended_at IS NULL".to_owned(),
        "SELECT 1 FROM representative_proposals WHERE closed_at IS NULL OR seal IS NOT NULL"
            .to_owned(),
        "SELECT 1 FROM memberships WHERE ended_at IS NULL".to_owned(),
    ] {
        assert!(world.sql(&nothing).await.is_empty(), "{nothing}");
    }
    for (ended, rows) in [("REPRESENTATIVE_END", 2), ("MEMBERSHIP_END", 1)] {
        let told = world.audit_rows(&format!("action_type = '{ended}'")).await;
        assert_eq!(told.len(), rows, "{ended}");
    }
    is_sound(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_any_two_steps_leaves_an_erasure_to_be_finished() {
    let mut world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let ana = world.patient("ana").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let request = verified(&ana, account()).await;
    // A step that is named here cannot be noted, and whatever it did is undone.
    world
        .executes(
            "CREATE TABLE not_now (step TEXT);
             GRANT SELECT ON not_now TO PUBLIC;
             INSERT INTO not_now VALUES ('BEGIN');
             CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF EXISTS (SELECT FROM not_now WHERE step = NEW.step) THEN
                     RAISE EXCEPTION 'not now';
                 END IF;
                 RETURN NEW;
             END
             $$;
             CREATE TRIGGER not_now BEFORE INSERT ON deletion_steps FOR EACH ROW EXECUTE FUNCTION not_now()",
        )
        .await;
    world.is_broken_on_purpose();
    approves(&ada, &request).await;
    approves(&adi, &request).await;

    for (nth, step) in STEPS.iter().enumerate() {
        eventually("the steps before are done", async || {
            (steps(&world, &request).await == STEPS[..nth]).then_some(())
        })
        .await;
        world.api.kill().await;
        let next = STEPS.get(nth + 1).unwrap_or(&"none");
        world
            .executes(&format!("UPDATE not_now SET step = '{next}'"))
            .await;
        assert_eq!(steps(&world, &request).await, STEPS[..nth], "before {step}");
        world.api.restart().await;
    }
    is_completed(&world, &request).await;

    assert_eq!(steps(&world, &request).await, STEPS);
    let certificates = world.sql("SELECT sha256 FROM deletion_certificates").await;
    assert_eq!(certificates.len(), 1);
    let once = format!(
        "action_type IN ('KEY_DESTROY', 'DELETION_COMPLETE') AND patient_id = '{}'",
        ana.id
    );
    assert_eq!(world.audit_rows(&once).await.len(), 2);
    is_sound(&world).await;
}

#[tokio::test]
async fn what_nobody_approved_is_not_erased_whatever_the_row_says() {
    let world = at_once(&[]).await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let record = id(&record);
    let request = verified(&ana, account()).await;
    approves(&ada, &request).await;
    let other = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["VITAL_SIGNS"] });
    let other = verified(&ana, other).await;

    world
        .attacks(&format!(
            "UPDATE data_deletion_requests
             SET status = 'scheduled', scheduled_for = now() - INTERVAL '1 day',
                 approved_by = '{}', approved_at = now(), approved_categories = ARRAY['ALL_RECORDS']
             WHERE id IN ('{request}', '{other}')",
            ada.id
        ))
        .await;
    for row in [&request, &other] {
        let open = format!(
            "SELECT 1 FROM integrity_findings
             WHERE kind = 'ROW_TAMPERED' AND table_name = 'data_deletion_requests' AND row_id = '{row}'"
        );
        eventually("the request is found", async || {
            (!world.sql(&open).await.is_empty()).then_some(())
        })
        .await;
    }
    // The operator's command says that the rows are right; the audit trail says who approved.
    world.seals().await;
    eventually("the job has looked at them", async || {
        let told = "its approvals are not in the audit trail";
        (world.api.log().matches(told).count() >= 2).then_some(())
    })
    .await;

    assert!(steps(&world, &request).await.is_empty());
    let kept = format!("SELECT 1 FROM medical_records WHERE id = '{record}' AND erased_at IS NULL");
    assert_eq!(world.sql(&kept).await.len(), 1);
}

#[tokio::test]
async fn an_erasure_waits_while_a_hold_is_forged_or_gone() {
    let world = at_once(&[]).await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let place = "mutation($p: UUID!) {
      placeHold(input: { patientId: $p, dataCategories: [IMAGING], reason: \"a court asked for it\" }) { hold { id } }
    }";
    let placed = ada.asks(place, json!({ "p": ana.id })).await;
    let hold = id(&placed.data()["placeHold"]["hold"]);
    let input = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["VITAL_SIGNS"] });
    let request = verified(&ana, input).await;
    let row = world
        .sql(&format!("SELECT * FROM legal_holds WHERE id = '{hold}'"))
        .await;
    world
        .attacks(&format!("DELETE FROM legal_holds WHERE id = '{hold}'"))
        .await;
    approves(&ada, &request).await;

    eventually("the job has looked at it", async || {
        let told = "a hold is not as it was sealed, or gone";
        world.api.log().contains(told).then_some(())
    })
    .await;
    assert_eq!(status(&world, &request).await, "scheduled");

    let row = json!(row[0]).to_string();
    world
        .attacks(&format!(
            "INSERT INTO legal_holds SELECT * FROM jsonb_populate_record(NULL::legal_holds, $row${row}$row$)"
        ))
        .await;
    // The hold is about images: it holds nothing of this.
    is_completed(&world, &request).await;
}

#[tokio::test]
async fn an_erasure_waits_while_a_hold_is_said_to_be_about_somebody_else() {
    let world = at_once(&[]).await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let bea = world.patient("bea").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let input = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["VITAL_SIGNS"] });
    let request = verified(&ana, input).await;
    let place = "mutation($p: UUID!) {
      placeHold(input: { patientId: $p, dataCategories: [IMAGING], reason: \"a court asked for it\" }) { hold { id } }
    }";
    let placed = ada.asks(place, json!({ "p": ana.id })).await;
    let hold = id(&placed.data()["placeHold"]["hold"]);
    world
        .attacks(&format!(
            "UPDATE legal_holds SET patient_id = '{}' WHERE id = '{hold}'",
            bea.id
        ))
        .await;
    approves(&ada, &request).await;

    eventually("the job has looked at it", async || {
        let told = "a hold is not as it was sealed, or gone";
        world.api.log().contains(told).then_some(())
    })
    .await;
    assert_eq!(status(&world, &request).await, "scheduled");
}

#[tokio::test]
async fn what_is_stored_after_the_decision_and_still_to_be_kept_is_decided_about_once_more() {
    let world = at_once(&[]).await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let input = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["IMAGING"] });
    let request = verified(&ana, input).await;
    // Nothing begins until there is a record.
    nothing_begins(&world).await;
    approves(&ada, &request).await;
    assert_eq!(status(&world, &request).await, "scheduled");

    let image = id(&ana.creates(&ana, "IMAGING", documents::of("IMAGING")).await);

    eventually("the request is under review again", async || {
        (status(&world, &request).await == "under_review").then_some(())
    })
    .await;
    dr_bo.reads(&image).await.data();
    let again = format!(
        "action_type = 'DELETION_REVIEW' AND resource_id = '{request}'
         AND new_value ->> 'status' = 'under_review'"
    );
    let rows = world.audit_rows(&again).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["new_value"]["withinRetention"], 1);
    let reset = format!(
        "SELECT 1 FROM data_deletion_requests
         WHERE id = '{request}' AND approved_by IS NULL AND scheduled_for IS NULL
           AND cardinality(approved_categories) = 0"
    );
    assert_eq!(world.sql(&reset).await.len(), 1);
}

#[tokio::test]
async fn an_approval_of_somebody_who_is_no_administrator_any_more_counts_as_none() {
    let world = at_once(&[]).await;
    let (ada, eve) = (world.admin("ada").await, world.admin("eve").await);
    let ana = world.patient("ana").await;
    let image = id(&ana.creates(&ana, "IMAGING", documents::of("IMAGING")).await);
    let input = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["IMAGING"] });
    let request = verified(&ana, input).await;
    nothing_begins(&world).await;
    approves(&ada, &request).await;
    assert_eq!(status(&world, &request).await, "scheduled");

    let leave = "mutation($p: String!) { deactivateAccount(input: { currentPassword: $p }) { user { isActive } } }";
    ada.asks(leave, json!({ "p": ada.password })).await.data();

    eventually("the request is under review again", async || {
        (status(&world, &request).await == "under_review").then_some(())
    })
    .await;
    ana.reads(&image).await.data();
    world
        .executes("DROP TRIGGER not_now ON deletion_steps")
        .await;
    approves(&eve, &request).await;
    is_completed(&world, &request).await;
}

#[tokio::test]
async fn an_account_that_is_not_as_it_was_sealed_is_not_certified_as_erased() {
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let ana = world.patient("ana").await;
    let request = verified(&ana, account()).await;
    world
        .attacks(&format!(
            "UPDATE users SET hashed_password = 'another' WHERE id = '{}'",
            ana.id
        ))
        .await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;

    eventually("the job has looked at it", async || {
        let told = "the account is not as it was sealed";
        world.api.log().contains(told).then_some(())
    })
    .await;
    assert_eq!(steps(&world, &request).await, ["BEGIN"]);
    assert_eq!(status(&world, &request).await, "executing");
}
