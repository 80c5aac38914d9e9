//! Access codes: a patient tells a doctor a code, and the doctor becomes the grantee of the consent that the patient has
//! prepared.

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, eventually, id, text};

const CREATE: &str = "mutation Create($input: CreateAccessCodeInput!) {
  createAccessCode(input: $input) {
    code
    accessCode { id purpose dataCategories processingActivities consentExpiresAt createdAt expiresAt }
  }
}";
const REDEEM: &str = "mutation Redeem($code: String!) {
  redeemAccessCode(input: { code: $code }) {
    consent {
      id purpose dataCategories processingActivities givenAt expiresAt withdrawnAt isActive
      patient { id username } grantees { kind user { id } }
    }
  }
}";
const CANCEL: &str = "mutation Cancel($id: UUID!) {
  cancelAccessCode(input: { id: $id }) { accessCode { id } }
}";
const LIST: &str = "{ accessCodes { id purpose expiresAt } }";

fn terms() -> Value {
    json!({
        "purpose": "TREAT",
        "dataCategories": ["VITAL_SIGNS"],
        "processingActivities": ["READ", "SEARCH"],
    })
}

async fn makes(patient: &Person, terms: Value) -> Answer {
    patient.asks(CREATE, json!({ "input": terms })).await
}

/// A code, and its id.
async fn code_of(patient: &Person) -> (String, String) {
    let made = makes(patient, terms()).await;
    let made = &made.data()["createAccessCode"];
    (text(&made["code"]), id(&made["accessCode"]))
}

async fn redeems(doctor: &Person, code: &str) -> Answer {
    doctor.asks(REDEEM, json!({ "code": code })).await
}

/// What of an audit row a test compares.
fn shown(row: &Value) -> Value {
    json!({
        "user": row["user_id"], "action": row["action_type"], "resource": row["resource_type"],
        "id": row["resource_id"], "old": row["old_value"], "new": row["new_value"],
        "purpose": row["purpose"], "consent": row["consent_reference"], "patient": row["patient_id"],
        "class": row["data_classification"], "encryption": row["encryption_status"],
    })
}

#[tokio::test]
async fn a_doctor_who_redeems_a_code_is_let_in_as_by_a_consent_that_names_them() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    let record = id(&record.await);
    let made = makes(&ana, terms()).await;
    let made = made.data()["createAccessCode"].clone();
    let (code, code_id) = (text(&made["code"]), id(&made["accessCode"]));
    assert_eq!(code.len(), 10);
    assert!(
        code.chars()
            .all(|c| "23456789ACDEFGHJKMNPQRTVWXY".contains(c)),
        "{code}"
    );
    // The code is nowhere: not in the list, not in the database.
    let listed = ana.asks(LIST, json!({})).await;
    assert_eq!(
        listed.data()["accessCodes"],
        json!([{ "id": code_id, "purpose": "TREAT", "expiresAt": made["accessCode"]["expiresAt"] }])
    );
    let stored = world
        .sql("SELECT access_codes::text AS row, expires_at - created_at = '15 minutes' AS lasts FROM access_codes")
        .await;
    assert!(!text(&stored[0]["row"]).contains(&code));
    assert_eq!(stored[0]["lasts"], true);
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");

    let typed = format!("{}-{}", code[..5].to_lowercase(), &code[5..]);
    let redeemed = redeems(&dr_bo, &typed).await;

    let consent = redeemed.data()["redeemAccessCode"]["consent"].clone();
    assert_eq!(consent["id"], code_id.as_str());
    assert_eq!(consent["patient"]["username"], "ana");
    assert_eq!(
        consent["grantees"],
        json!([{ "kind": "USER", "user": { "id": dr_bo.id } }])
    );
    assert_eq!(consent["dataCategories"], json!(["VITAL_SIGNS"]));
    assert_eq!(consent["processingActivities"], json!(["READ", "SEARCH"]));
    assert_eq!(consent["isActive"], true);
    dr_bo.reads(&record).await.data();
    let mine = ana
        .asks(
            "{ consents { nodes { id isActive } } accessCodes { id }
               whoHasAccess { nodes { user { id } accesses { recordTypes } } }
               consentHistory { nodes { kind consent { id } } } }",
            json!({}),
        )
        .await;
    let mine = mine.data();
    assert_eq!(
        mine["consents"]["nodes"],
        json!([{ "id": code_id, "isActive": true }])
    );
    assert_eq!(mine["accessCodes"], json!([]));
    assert_eq!(
        mine["whoHasAccess"]["nodes"][0]["user"]["id"],
        dr_bo.id.as_str()
    );
    assert_eq!(
        mine["consentHistory"]["nodes"],
        json!([{ "kind": "GIVEN", "consent": { "id": code_id } }])
    );
    trail_tells_it(&world, &ana, &dr_bo, &consent).await;
    // It is the patient's to take back.
    ana.withdraws(&code_id).await;
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
}

async fn trail_tells_it(world: &World, ana: &Person, dr_bo: &Person, consent: &Value) {
    let rows = "action_type IN ('ACCESS_CODE_CREATE', 'ACCESS_CODE_REDEEM', 'CONSENT_GRANT')";
    let rows = world.audit_rows(rows).await;
    let code = &consent["id"];
    let prepared = &rows[0]["new_value"];
    assert_eq!(prepared["dataCategories"], json!(["VITAL_SIGNS"]));
    let granted = json!({
        "purpose": "TREAT", "dataCategories": ["VITAL_SIGNS"], "processingActivities": ["READ", "SEARCH"],
        "thirdParties": [{ "kind": "user", "id": dr_bo.id }],
        "givenAt": rows[1]["new_value"]["givenAt"], "expiresAt": null, "withdrawnAt": null,
        "receipt": rows[1]["new_value"]["receipt"],
    });
    assert!(granted["receipt"].is_string(), "{granted}");
    let wanted = [
        json!({
            "user": ana.id, "action": "ACCESS_CODE_CREATE", "resource": "ACCESS_CODE", "id": code, "old": null,
            "new": {
                "purpose": "TREAT", "dataCategories": ["VITAL_SIGNS"], "processingActivities": ["READ", "SEARCH"],
                "consentExpiresAt": null, "expiresAt": prepared["expiresAt"],
            },
            "purpose": "PATRQT", "consent": null, "patient": ana.id, "class": "SENSITIVE_PERSONAL",
            "encryption": "METADATA_ONLY",
        }),
        json!({
            "user": dr_bo.id, "action": "CONSENT_GRANT", "resource": "CONSENT", "id": code, "old": null,
            "new": granted, "purpose": "TREAT", "consent": code, "patient": ana.id, "class": "SENSITIVE_PERSONAL",
            "encryption": "METADATA_ONLY",
        }),
        json!({
            "user": dr_bo.id, "action": "ACCESS_CODE_REDEEM", "resource": "ACCESS_CODE", "id": code, "old": null,
            "new": { "consent": code, "isNew": true }, "purpose": "TREAT", "consent": code, "patient": ana.id,
            "class": "SENSITIVE_PERSONAL", "encryption": "METADATA_ONLY",
        }),
    ];
    let found: Vec<Value> = rows.iter().map(shown).collect();
    assert_eq!(found, wanted);
    let log = ana
        .asks(
            "{ myAccessLog(first: 50) { nodes { sentence } } }",
            json!({}),
        )
        .await;
    let log = log.data().to_string();
    for sentence in [
        "You prepared a consent and got an access code for it.",
        "dr.bo (doctor) redeemed an access code of yours, for treatment.",
        "dr.bo (doctor) got the consent that you had prepared, by its access code, for treatment.",
    ] {
        assert!(log.contains(sentence), "{sentence}: {log}");
    }
}

#[tokio::test]
async fn a_wrong_a_used_a_cancelled_an_over_and_an_own_code_are_refused_alike() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let dr_cy = world.doctor("cy").await;
    let (used, _) = code_of(&ana).await;
    redeems(&dr_cy, &used).await.data();
    let (cancelled, cancelled_id) = code_of(&ana).await;
    ana.asks(CANCEL, json!({ "id": cancelled_id })).await.data();
    let (over, over_id) = code_of(&ana).await;
    // A row that is as it was sealed, and is over in a moment.
    world
        .attacks(&format!(
            "UPDATE access_codes SET expires_at = clock_timestamp() + INTERVAL '3 seconds' WHERE id = '{over_id}'"
        ))
        .await;
    world.seals().await;
    let is_over = format!(
        "SELECT 1 FROM access_codes WHERE id = '{over_id}' AND expires_at < clock_timestamp()"
    );
    eventually("the code is over", async || {
        (!world.sql(&is_over).await.is_empty()).then_some(())
    })
    .await;
    let (own, _) = code_of(&dr_bo).await;

    let mut told = Vec::new();
    for code in ["2345678923", &used, &cancelled, &over, &own] {
        // Somebody who has tried nothing yet, so that nobody has to wait.
        let doctor = if code == own {
            dr_bo.clone()
        } else {
            world.doctor(&format!("dee{}", told.len())).await
        };
        let refused = redeems(&doctor, code).await;
        let error = refused.fails_with("BAD_USER_INPUT");
        told.push((error.message.clone(), error.extensions["field"].clone()));
        let denied = format!(
            "action_type = 'ACCESS_DENIED' AND user_id = '{}'",
            doctor.id
        );
        let rows: Vec<Value> = world.audit_rows(&denied).await.iter().map(shown).collect();
        let request = rows[0]["id"].clone();
        let wanted = json!({
            "user": doctor.id, "action": "ACCESS_DENIED", "resource": "ACCESS_CODE", "id": request, "old": null,
            "new": { "reason": "ACCESS_CODE", "wanted": "ACCESS_CODE_REDEEM" }, "purpose": "TREAT", "consent": null,
            "patient": null, "class": "SECURITY", "encryption": "METADATA_ONLY",
        });
        assert_eq!(rows, [wanted]);
    }
    assert_eq!(told[0].1, "code");
    assert!(told.iter().all(|it| *it == told[0]), "{told:?}");

    // What no code is says what one is; and nobody but a doctor redeems any.
    for none in ["", "12345", "23456789AO", "23456789AC2"] {
        let refused = redeems(&dr_cy, none).await;
        let error = refused.fails_with("BAD_USER_INPUT");
        assert_eq!(error.extensions["field"], "code");
        assert!(error.message.contains("10 letters and digits"), "{none}");
    }
    let (good, _) = code_of(&ana).await;
    for somebody in [&world.patient("eve").await, &world.admin("ada").await] {
        redeems(somebody, &good).await.fails_with("FORBIDDEN");
    }
    redeems(&dr_cy, &good).await.data();
}

#[tokio::test]
async fn a_patient_prepares_what_a_consent_may_say_and_ten_at_a_time() {
    let world = World::start().await;
    let (ana, ada) = (world.patient("ana").await, world.admin("ada").await);
    let with = |field: &str, value: Value| {
        let mut terms = terms();
        terms[field] = value;
        terms
    };
    let soon = world
        .sql("SELECT now() + INTERVAL '10 minutes' AS time")
        .await;
    let past = world
        .sql("SELECT now() - INTERVAL '1 second' AS time")
        .await;
    let many: Vec<&str> = vec!["IMAGING"; 10];
    for (field, value) in [
        ("purpose", json!("PATRQT")),
        ("dataCategories", json!([])),
        ("dataCategories", json!(many)),
        ("processingActivities", json!([])),
        ("processingActivities", json!(["DENY"])),
        ("expiresAt", soon[0]["time"].clone()),
        ("expiresAt", past[0]["time"].clone()),
    ] {
        let refused = makes(&ana, with(field, value.clone())).await;
        let error = refused.fails_with("BAD_USER_INPUT");
        assert_eq!(error.extensions["field"], field, "{value}");
    }
    makes(&ada, terms()).await.fails_with("FORBIDDEN");
    assert_eq!(world.sql("SELECT 1 FROM access_codes").await.len(), 0);

    let mut made = Vec::new();
    for _ in 0..10 {
        made.push(code_of(&ana).await);
    }
    makes(&ana, terms()).await.fails_with("LIMIT_REACHED");
    let eve = world.patient("eve").await;
    let cancel = json!({ "id": made[3].1 });
    eve.asks(CANCEL, cancel.clone())
        .await
        .fails_with("NOT_FOUND");
    ana.asks(CANCEL, cancel.clone()).await.data();
    ana.asks(CANCEL, cancel).await.fails_with("NOT_FOUND");
    code_of(&ana).await;
    let cancelled = world.audit_rows("action_type = 'ACCESS_CODE_CANCEL'").await;
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0]["resource_id"], made[3].1.as_str());
    assert_eq!(cancelled[0]["old_value"]["purpose"], "TREAT");
    assert_eq!(cancelled[0]["patient_id"], ana.id.as_str());
}

#[tokio::test]
async fn of_two_who_redeem_one_code_at_once_one_gets_the_consent() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (dr_bo, dr_cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let second = world.second_api().await;
    let at_second = dr_cy.at(&second);

    for round in 1..=5 {
        let (code, code_id) = code_of(&ana).await;
        let (one, other) = tokio::join!(redeems(&dr_bo, &code), redeems(&at_second, &code));
        let answers = [one, other];
        let won = answers.iter().filter(|it| it.code().is_none());
        let won: Vec<Value> = won
            .map(|it| it.data()["redeemAccessCode"]["consent"]["id"].clone())
            .collect();
        assert_eq!(won, [json!(code_id)], "round {round}");
        let lost: Vec<_> = answers.iter().filter_map(Answer::code).collect();
        assert_eq!(lost, ["BAD_USER_INPUT"], "round {round}");
        let rows = format!("action_type = 'CONSENT_GRANT' AND resource_id = '{code_id}'");
        assert_eq!(world.audit_rows(&rows).await.len(), 1);
        ana.withdraws(&code_id).await;
    }
}

#[tokio::test]
async fn a_code_gives_no_second_consent_where_one_says_the_same() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let mut same = terms();
    same["grantees"] = json!([{ "user": dr_bo.id }]);
    let granted = ana.grants(same).await;
    let consent = id(&granted.data()["grantConsent"]["consent"]);
    let (code, code_id) = code_of(&ana).await;

    let redeemed = redeems(&dr_bo, &code).await;

    assert_eq!(
        redeemed.data()["redeemAccessCode"]["consent"]["id"],
        consent.as_str()
    );
    redeems(&dr_bo, &code).await.fails_with("BAD_USER_INPUT");
    let rows = world.audit_rows("action_type = 'ACCESS_CODE_REDEEM'").await;
    assert_eq!(rows[0]["resource_id"], code_id.as_str());
    assert_eq!(
        rows[0]["new_value"],
        json!({ "consent": consent, "isNew": false })
    );
    assert_eq!(
        world
            .audit_rows("action_type = 'CONSENT_GRANT'")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn a_code_written_changed_or_put_back_by_sql_lets_nobody_in_and_is_found() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let dr_bo = world.doctor("bo").await;
    // Eve's own code, said to be ana's; and one that lets do more than was agreed.
    let (stolen, stolen_id) = code_of(&eve).await;
    let (wider, wider_id) = code_of(&ana).await;
    world
        .attacks(&format!(
            "UPDATE access_codes SET user_id = '{}' WHERE id = '{stolen_id}';
             UPDATE access_codes SET data_categories = '[\"ALL_RECORDS\"]' WHERE id = '{wider_id}'",
            ana.id
        ))
        .await;
    for (code, row) in [(&stolen, &stolen_id), (&wider, &wider_id)] {
        redeems(&dr_bo, code).await.fails_with("BAD_USER_INPUT");
        let open = format!(
            "SELECT 1 FROM integrity_findings
             WHERE kind = 'ROW_TAMPERED' AND table_name = 'access_codes' AND row_id = '{row}' AND resolved_at IS NULL"
        );
        eventually("it is found", async || {
            (!world.sql(&open).await.is_empty()).then_some(())
        })
        .await;
    }
    assert_eq!(
        world
            .sql("SELECT 1 FROM data_processing_consents")
            .await
            .len(),
        0
    );
    let log = "{ myAccessLog(first: 50) { nodes { sentence } } }";
    let log = ana.asks(log, json!({})).await.data().to_string();
    assert!(
        log.contains("an access code of yours was changed outside the service"),
        "{log}"
    );

    // A used one that is put back as it was, seal and all, becomes no second consent.
    let (good, good_id) = code_of(&ana).await;
    let kept = format!("CREATE TABLE kept AS SELECT * FROM access_codes WHERE id = '{good_id}'");
    world.executes(&kept).await;
    redeems(&dr_bo, &good).await.data();
    ana.withdraws(&good_id).await;
    world
        .attacks(&format!(
            "DELETE FROM access_codes WHERE id = '{good_id}'; INSERT INTO access_codes SELECT * FROM kept"
        ))
        .await;
    redeems(&dr_bo, &good).await.fails_with("BAD_USER_INPUT");
    let consents = "SELECT consent_withdrawn_at IS NULL AS holds FROM data_processing_consents";
    assert_eq!(world.sql(consents).await, [json!({ "holds": false })]);
}

#[tokio::test]
async fn who_tries_codes_has_to_wait_and_good_ones_make_the_wait_no_shorter() {
    let world = World::with(|options| {
        let limits = [
            ("MEDITRUSTAL_GUESSES", "3"),
            ("MEDITRUSTAL_FIRST_WAIT", "60"),
        ];
        let limits = limits.map(|(name, value)| (name.to_owned(), value.to_owned()));
        options.api.extend(limits);
    })
    .await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let dr_cy = world.doctor("cy").await;

    // Good ones cost nothing, and make nothing forgotten that was wrong before: a doctor could redeem those of an
    // account of their own between guesses.
    for _ in 0..2 {
        redeems(&dr_bo, "2345678923")
            .await
            .fails_with("BAD_USER_INPUT");
        for _ in 0..3 {
            let (code, _) = code_of(&ana).await;
            redeems(&dr_bo, &code).await.data();
        }
    }
    redeems(&dr_bo, "2345678923")
        .await
        .fails_with("BAD_USER_INPUT");
    let told = redeems(&dr_bo, "2345678923").await;
    let error = told.fails_with("THROTTLED");
    assert!(error.extensions["retryAfterSeconds"].as_u64() >= Some(1));
    // A good code has to wait, too; somebody else goes on.
    let (code, _) = code_of(&ana).await;
    redeems(&dr_bo, &code).await.fails_with("THROTTLED");
    redeems(&dr_cy, &code).await.data();
    let locked = world.audit_rows("action_type = 'AUTH_LOCKED'").await;
    assert_eq!(locked.len(), 1);
    assert_eq!(locked[0]["user_id"], dr_bo.id.as_str());
}

#[tokio::test]
async fn codes_that_were_over_long_ago_are_removed() {
    let world = World::with(|options| {
        let every = ("MEDITRUSTAL_HOUSEKEEPING", "1");
        options.api.push((every.0.to_owned(), every.1.to_owned()));
    })
    .await;
    let ana = world.patient("ana").await;
    let (_, old) = code_of(&ana).await;
    let (_, young) = code_of(&ana).await;
    world
        .attacks(&format!(
            "UPDATE access_codes SET expires_at = now() - INTERVAL '25 hours' WHERE id = '{old}'"
        ))
        .await;

    eventually("the old one is gone", async || {
        let left = world.sql("SELECT id FROM access_codes").await;
        (left == [json!({ "id": young })]).then_some(())
    })
    .await;
}
