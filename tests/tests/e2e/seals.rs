//! Rows that decide are sealed: who can write to the database, and holds no key, gives himself no access,
//! and is found.

use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id};

const LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
  logIn(input: $input) { accessToken user { id role } }
}";
const LIST: &str = "query List($filter: RecordFilterInput) {
  medicalRecords(first: 100, filter: $filter) { totalCount nodes { id } }
}";
const CONSENTS: &str = "{ consents { nodes { id isActive } } }";

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

/// How many findings about rows are open.
async fn open_findings(world: &World) -> usize {
    let open =
        "SELECT 1 FROM integrity_findings WHERE kind = 'ROW_TAMPERED' AND resolved_at IS NULL";
    world.sql(open).await.len()
}

async fn tries_to_log_in(world: &World, login: &str, password: &str) -> tests::Answer {
    let input = json!({ "input": { "login": login, "password": password } });
    world.nobody().asks(LOG_IN, input).await
}

async fn a_record(ana: &Person) -> String {
    let record = ana
        .creates(ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    id(&record)
}

#[tokio::test]
async fn a_consent_written_by_sql_lets_nobody_in_and_is_found() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = a_record(&ana).await;
    let mut told = world.first_admin().await.watches(json!({})).await;
    let inserted = "01a20aa4-0000-7000-8000-00000000c0de";
    world
        .executes(&format!(
            "INSERT INTO data_processing_consents (
                 id, user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties)
             VALUES ('{inserted}', '{}', 'TREAT', now(), '[\"ALL_RECORDS\"]', '[\"READ\", \"SEARCH\"]',
                 '[{{\"kind\": \"user\", \"id\": \"{}\"}}]')",
            ana.id, dr_bo.id
        ))
        .await;

    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    let list = dr_bo.asks(LIST, json!({})).await;
    assert_eq!(
        list.data()["medicalRecords"],
        json!({ "totalCount": 0, "nodes": [] })
    );
    // Nor by the rule in SQL, which sees no seals.
    let across = json!({ "filter": { "metadata": {} } });
    let list = dr_bo.asks(LIST, across).await;
    assert_eq!(
        list.data()["medicalRecords"],
        json!({ "totalCount": 0, "nodes": [] })
    );

    found(&world, "data_processing_consents", inserted).await;
    let (event, _) = told.until("FINDING_OPENED").await;
    assert_eq!(event["finding"]["kind"], "ROW_TAMPERED");
    assert_eq!(event["finding"]["details"]["row"], inserted);
    assert_eq!(event["patientId"], ana.id.as_str());
    let log = "{ myAccessLog(first: 50) { nodes { sentence } } }";
    let log = ana.asks(log, json!({})).await.data().to_string();
    assert!(
        log.contains("a consent of yours was changed outside the service"),
        "{log}"
    );
    let consents = ana.asks(CONSENTS, json!({})).await;
    assert_eq!(
        consents.data()["consents"]["nodes"],
        json!([{ "id": inserted, "isActive": false }])
    );
}

#[tokio::test]
async fn a_withdrawal_taken_back_and_terms_changed_by_sql_let_nobody_in() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (dr_cy, dr_di) = (world.doctor("cy").await, world.doctor("di").await);
    let record = a_record(&ana).await;
    let withdrawn = ana.lets(&dr_bo, &["READ"]).await;
    ana.withdraws(&withdrawn).await;
    let narrow = ana.lets(&dr_cy, &["SEARCH"]).await;
    ana.lets(&dr_di, &["READ"]).await;

    world
        .attacks(&format!(
            "UPDATE data_processing_consents SET consent_withdrawn_at = NULL WHERE id = '{withdrawn}';
             UPDATE data_processing_consents SET processing_activities = '[\"READ\"]' WHERE id = '{narrow}'"
        ))
        .await;

    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    dr_cy.reads(&record).await.fails_with("NOT_FOUND");
    dr_di.reads(&record).await.data();
    for consent in [&withdrawn, &narrow] {
        found(&world, "data_processing_consents", consent).await;
    }
    // The operator looks, mends one, which closes its finding, and says that the other is right: that counts,
    // and stays a finding, because the audit trail still says that it was taken back.
    world
        .attacks(&format!(
            "UPDATE data_processing_consents SET processing_activities = '[\"SEARCH\"]' WHERE id = '{narrow}'"
        ))
        .await;
    let said = world.seals().await;
    assert!(said.contains("1 row(s) are sealed now"), "{said}");
    // What is right again is found right by the deep check.
    let checking = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000")];
    let _checking = world.another_api("checking", &checking).await;
    let open = format!(
        "SELECT 1 FROM integrity_findings WHERE kind = 'ROW_TAMPERED' AND row_id = '{narrow}' AND resolved_at IS NULL"
    );
    eventually(
        "the finding about the one that was mended is closed",
        async || world.sql(&open).await.is_empty().then_some(()),
    )
    .await;
    dr_bo.reads(&record).await.data();
    let trail = world.audit_rows("action_type = 'ROW_SEAL'").await;
    assert_eq!(trail.len(), 1);
    assert_eq!(trail[0]["new_value"]["reason"], "a test wrote them");
}

#[tokio::test]
async fn a_refusal_that_is_changed_hidden_or_deleted_by_sql_still_refuses() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = a_record(&ana).await;
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let input = json!({
        "purpose": "TREAT", "dataCategories": ["ALL_RECORDS"], "processingActivities": ["DENY"],
        "grantees": [{ "user": dr_bo.id }],
    });
    let refusal = id(&ana.grants(input).await.data()["grantConsent"]["consent"]);
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    world
        .executes("CREATE TABLE public.saved AS SELECT * FROM data_processing_consents")
        .await;
    let the = format!("WHERE id = '{refusal}'");
    let attacks = [
        format!("UPDATE data_processing_consents SET processing_activities = '[\"READ\"]' {the}"),
        format!("UPDATE data_processing_consents SET consent_withdrawn_at = now() {the}"),
        format!("UPDATE data_processing_consents SET consent_expires_at = now() {the}"),
        format!(
            "UPDATE data_processing_consents SET third_parties = '[{{\"kind\": \"nobody\"}}]' {the}"
        ),
        format!(
            "UPDATE data_processing_consents SET user_id = '{}' {the}",
            dr_bo.id
        ),
        format!("DELETE FROM data_processing_consents {the}"),
        format!(
            "DELETE FROM data_processing_consents {the}; UPDATE users SET refusals = '{{}}' WHERE id = '{}'",
            ana.id
        ),
    ];

    for attack in attacks {
        world.attacks(&attack).await;

        dr_bo.reads(&record).await.fails_with("NOT_FOUND");
        let list = dr_bo.asks(LIST, json!({})).await;
        assert_eq!(
            list.data()["medicalRecords"],
            json!({ "totalCount": 0, "nodes": [] }),
            "{attack}"
        );
        let across = dr_bo
            .asks(LIST, json!({ "filter": { "metadata": {} } }))
            .await;
        assert_eq!(across.data()["medicalRecords"]["totalCount"], 0, "{attack}");
        if attack.contains("UPDATE users") {
            found(&world, "users", &ana.id).await;
        } else {
            found(&world, "data_processing_consents", &refusal).await;
        }
        world
            .attacks(&format!(
                "DELETE FROM data_processing_consents {the};
                 INSERT INTO data_processing_consents SELECT * FROM saved {the};
                 UPDATE users SET refusals = '{{{refusal}}}' WHERE id = '{}'",
                ana.id
            ))
            .await;
    }
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    ana.withdraws(&refusal).await;
    dr_bo.reads(&record).await.data();
}

#[tokio::test]
async fn no_row_of_an_account_changed_by_sql_logs_in_or_goes_on() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (ada, dr_bo) = (world.admin("ada").await, world.doctor("bo").await);
    world
        .executes("CREATE TABLE public.saved AS SELECT * FROM users")
        .await;
    let attacks = [
        // A password that the attacker knows, in an administrator's row.
        (
            &ada,
            "hashed_password = (SELECT hashed_password FROM saved WHERE username = 'eve')"
                .to_owned(),
            eve.password.clone(),
        ),
        // A role, an account that was deactivated, an organisation, a seal of another row.
        (&eve, "role = 'ADMIN'".to_owned(), eve.password.clone()),
        (&eve, "is_active = FALSE".to_owned(), eve.password.clone()),
        // A name that somebody else would be known by, an address that is not theirs.
        (&eve, "username = 'dr.eve'".to_owned(), eve.password.clone()),
        (
            &eve,
            "email = 'dr.eve@meditrustal.example'".to_owned(),
            eve.password.clone(),
        ),
        (
            &dr_bo,
            "organization_id = gen_random_uuid()".to_owned(),
            dr_bo.password.clone(),
        ),
        (
            &eve,
            "seal = (SELECT seal FROM saved WHERE username = 'ana')".to_owned(),
            eve.password.clone(),
        ),
        (
            &eve,
            "seal = NULL, seal_key = NULL".to_owned(),
            eve.password.clone(),
        ),
    ];

    for (person, change, password) in attacks {
        let the = format!("WHERE id = '{}'", person.id);
        world
            .attacks(&format!("UPDATE users SET {change} {the}"))
            .await;

        tries_to_log_in(&world, &person.username, &password)
            .await
            .fails_with("WRONG_CREDENTIALS");
        person
            .asks("{ me { id } }", json!({}))
            .await
            .fails_with("UNAUTHENTICATED");
        found(&world, "users", &person.id).await;
        world
            .attacks(&format!(
                "UPDATE users AS u SET username = s.username, email = s.email, role = s.role,
                     is_active = s.is_active, hashed_password = s.hashed_password, organization_id = s.organization_id, seal = s.seal, seal_key = s.seal_key
                 FROM saved AS s WHERE s.id = u.id AND u.id = '{}'",
                person.id
            ))
            .await;
        person.asks("{ me { id } }", json!({})).await.data();
    }
    // A row that is right again is found right by the deep check.
    let checking = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000")];
    let checking = world.another_api("checking", &checking).await;
    eventually("every finding is closed", async || {
        (open_findings(&world).await == 0).then_some(())
    })
    .await;
    // And what nobody touches is found by it alone; an account of one's own making, too.
    world
        .attacks(&format!(
            "UPDATE users SET blockchain_address = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8' WHERE id = '{}'",
            ana.id
        ))
        .await;
    found(&world, "users", &ana.id).await;
    let own = "01a20aa4-0000-7000-8000-00000000c0de";
    world
        .executes(&format!(
            "INSERT INTO users (id, email, username, hashed_password, role)
             SELECT '{own}', 'own@meditrustal.example', 'own', hashed_password, 'ADMIN' FROM users WHERE username = 'eve'"
        ))
        .await;
    found(&world, "users", own).await;
    tries_to_log_in(&world, "own", &eve.password)
        .await
        .fails_with("WRONG_CREDENTIALS");
    drop(checking);
}

#[tokio::test]
async fn consents_that_are_gone_or_open_again_are_found_by_the_trail() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let gone = ana.lets(&dr_bo, &["READ"]).await;
    let again = ana.lets(&dr_bo, &["SEARCH"]).await;
    world
        .executes("CREATE TABLE public.saved AS SELECT * FROM data_processing_consents")
        .await;
    ana.withdraws(&again).await;

    // With the seal that it had before: the seal is right, and the trail knows better.
    world
        .attacks(&format!(
            "DELETE FROM data_processing_consents;
             INSERT INTO data_processing_consents SELECT * FROM saved WHERE id = '{again}'"
        ))
        .await;
    let checking = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000")];
    let _checking = world.another_api("checking", &checking).await;

    for consent in [&gone, &again] {
        found(&world, "data_processing_consents", consent).await;
    }
}

#[tokio::test]
async fn rows_are_sealed_one_by_one_or_named_by_the_command() {
    let world = World::start().await;
    let eve = world.patient("eve").await;
    world
        .attacks(&format!(
            "UPDATE users SET role = 'DOCTOR' WHERE id = '{}'",
            eve.id
        ))
        .await;
    let runs = async |arguments: &[&str]| {
        let masters = world.foundation.dir().join("keys/master-keys.json");
        let masters = masters.display().to_string();
        let url = world.foundation.url_of("meditrustal_api").expect("a role");
        let programs = world.foundation.programs.clone();
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let ran = tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let arguments = [&["seal", "rows"], &arguments[..]].concat();
            let environment = [
                ("DATABASE_URL", url.as_str()),
                ("MEDITRUSTAL_MASTER_KEYS_FILE", &masters),
            ];
            programs.operate(&arguments, &environment, "")
        });
        let ran = ran.await.expect("a command does not panic");
        ran.map_err(|error| error.to_string())
    };

    let listed = runs(&["--all", "--dry-run"]).await.expect("a list");
    assert_eq!(
        listed,
        format!(
            "users {}\n0 row(s) would be sealed, 1 left as they are\n",
            eve.id
        )
    );
    let listed = runs(&["--all", "--wrong", "--dry-run"]).await;
    assert_eq!(
        listed.expect("a list"),
        format!(
            "users {}\n1 row(s) would be sealed, 0 left as they are\n",
            eve.id
        )
    );
    tries_to_log_in(&world, "eve", &eve.password)
        .await
        .fails_with("WRONG_CREDENTIALS");
    for wrong in [
        &["--reason", "none is named"][..],
        &["--all"],
        // Nobody's upgrade: accounts are sealed already, and this one was changed since.
        &["--all", "--reason", "upgrade"],
        &["--id", &eve.id, "--reason", "of which table"],
        &[
            "--table",
            "users",
            "--id",
            "01a20aa4-0000-7000-8000-00000000c0de",
            "--reason",
            "nobody",
        ],
    ] {
        assert!(runs(wrong).await.is_err(), "{wrong:?}");
    }
    tries_to_log_in(&world, "eve", &eve.password)
        .await
        .fails_with("WRONG_CREDENTIALS");
    let one = [
        "--table",
        "users",
        "--id",
        &eve.id,
        "--reason",
        "by order of the board",
    ];
    runs(&one).await.expect("sealed");

    let answer = tries_to_log_in(&world, "eve", &eve.password).await;
    assert_eq!(answer.data()["logIn"]["user"]["role"], "DOCTOR");
    let row = world.audit_rows("action_type = 'ROW_SEAL'").await.remove(0);
    assert_eq!(row["resource_id"], eve.id.as_str());
    assert_eq!(row["patient_id"], eve.id.as_str());
    let said: &Value = &row["new_value"];
    assert_eq!(said["reason"], "by order of the board");
}

const REFRESH: &str = "mutation Refresh($input: RefreshSessionInput!) {
  refreshSession(input: $input) { accessToken refreshToken session { id } }
}";
const FULL_LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
  logIn(input: $input) { refreshToken session { id } }
}";

#[tokio::test]
async fn no_log_in_written_or_changed_by_sql_goes_on() {
    let world = World::start().await;
    let (ana, ada) = (world.patient("ana").await, world.admin("ada").await);
    let nobody = world.nobody();
    let goes_on = async |token: &str| {
        let input = json!({ "input": { "refreshToken": token } });
        nobody.asks(REFRESH, input).await
    };
    let own_token = "A".repeat(43);
    let own = "01a20aa4-0000-7000-8000-00000000c0de";
    world
        .executes(&format!(
            "INSERT INTO sessions (id, family_id, user_id, refresh_token, expires_at, idle_expires_at)
             VALUES ('{own}', '{own}', '{}', '{}', now() + INTERVAL '1 day', now() + INTERVAL '1 day')",
            ada.id,
            vault::digest::hex_of(own_token.as_bytes()),
        ))
        .await;
    goes_on(&own_token).await.fails_with("SESSION_ENDED");
    found(&world, "sessions", own).await;
    // Nor as a child of a log-in that is right.
    world
        .attacks(&format!(
            "UPDATE sessions SET family_id = root.id, parent_id = root.id
             FROM sessions AS root
             WHERE sessions.id = '{own}' AND root.user_id = '{}' AND root.id <> '{own}'",
            ada.id
        ))
        .await;
    goes_on(&own_token).await.fails_with("SESSION_ENDED");
    world
        .attacks(&format!("DELETE FROM sessions WHERE id = '{own}'"))
        .await;

    // Another account, a later end, a token of one's own, a second factor, a token used before, other seals.
    let changes = [
        format!("user_id = '{}'", ada.id),
        "expires_at = expires_at + INTERVAL '1 day'".to_owned(),
        "idle_expires_at = idle_expires_at + INTERVAL '1 day'".to_owned(),
        format!("refresh_token = '{}'", vault::digest::hex_of(b"mine")),
        "second_factor_at = now()".to_owned(),
        "seal = NULL, seal_key = NULL".to_owned(),
        format!(
            "seal = (SELECT seal FROM sessions WHERE user_id = '{}' AND is_valid LIMIT 1)",
            ada.id
        ),
    ];
    for change in &changes {
        let input = json!({ "input": { "login": ana.username, "password": ana.password } });
        let answer = nobody.asks(FULL_LOG_IN, input).await;
        let granted = answer.data()["logIn"].clone();
        let session = id(&granted["session"]);
        world
            .attacks(&format!(
                "UPDATE sessions SET {change} WHERE id = '{session}'"
            ))
            .await;
        let token = granted["refreshToken"].as_str().expect("a token");
        goes_on(token).await.fails_with("SESSION_ENDED");
        let is_known = !change.starts_with("refresh_token");
        if is_known {
            found(&world, "sessions", &session).await;
        }
    }
    // A bearer of a log-in that is changed is nobody.
    ana.asks("{ me { id } }", json!({})).await.data();
    world
        .attacks(&format!(
            "UPDATE sessions SET second_factor_at = now() WHERE user_id = '{}' AND second_factor_at IS NULL",
            ana.id
        ))
        .await;
    ana.asks("{ me { id } }", json!({}))
        .await
        .fails_with("UNAUTHENTICATED");
}

#[tokio::test]
async fn a_log_in_that_was_ended_and_a_token_that_was_used_are_not_opened_again_by_sql() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let nobody = world.nobody();
    let input = json!({ "input": { "login": ana.username, "password": ana.password } });
    let answer = nobody.asks(FULL_LOG_IN, input.clone()).await;
    let granted = answer.data()["logIn"].clone();
    let token = granted["refreshToken"].clone();
    let goes_on = async |token: &Value| {
        let input = json!({ "input": { "refreshToken": token } });
        nobody.asks(REFRESH, input).await
    };
    goes_on(&token).await.data();
    world
        .attacks(&format!(
            "DELETE FROM sessions WHERE parent_id = '{0}'; UPDATE sessions SET used_at = NULL WHERE id = '{0}'",
            id(&granted["session"])
        ))
        .await;
    goes_on(&token).await.fails_with("SESSION_ENDED");

    let answer = nobody.asks(FULL_LOG_IN, input).await;
    let ended = answer.data()["logIn"].clone();
    ana.asks("mutation { logOutEverywhere { endedSessions } }", json!({}))
        .await
        .data();
    world
        .attacks("UPDATE sessions SET is_valid = TRUE, revoked_at = NULL")
        .await;
    goes_on(&ended["refreshToken"])
        .await
        .fails_with("SESSION_ENDED");
    ana.asks("{ me { id } }", json!({}))
        .await
        .fails_with("UNAUTHENTICATED");
    found(&world, "sessions", &id(&ended["session"])).await;
}

#[tokio::test]
async fn no_role_proposed_by_sql_is_confirmed() {
    const SET_ROLE: &str =
        "mutation($id: UUID!) { setRole(input: { userId: $id, role: ADMIN }) { outcome } }";
    let world = World::start().await;
    let (eve, ada) = (world.patient("eve").await, world.admin("ada").await);
    let adi = world.admin("adi").await;
    let own = "01a20aa4-0000-7000-8000-00000000c0de";
    world
        .executes(&format!(
            "INSERT INTO role_proposals (id, user_id, role, proposed_by, expires_at)
             VALUES ('{own}', '{}', 'ADMIN', '{}', now() + INTERVAL '1 hour')",
            eve.id, ada.id
        ))
        .await;
    let sets = async |who: &Person| {
        let answer = who.asks(SET_ROLE, json!({ "id": eve.id })).await;
        answer.data()["setRole"]["outcome"].clone()
    };

    // It is as if the first administrator had proposed nothing.
    assert_eq!(sets(&adi).await, "WAITING");
    found(&world, "role_proposals", own).await;
    // One of an administrator's own, said to be somebody else's, is none either.
    world
        .attacks(&format!(
            "UPDATE role_proposals SET proposed_by = '{}' WHERE closed_at IS NULL",
            ada.id
        ))
        .await;
    assert_eq!(sets(&adi).await, "WAITING");
    assert_eq!(sets(&ada).await, "DONE");
    // The last one does not count a second time.
    world
        .attacks(&format!(
            "UPDATE users SET role = 'PATIENT' WHERE id = '{}'",
            eve.id
        ))
        .await;
    world.seals().await;
    world
        .attacks(
            "UPDATE role_proposals SET closed_at = NULL, confirmed_by = NULL
             WHERE id = (SELECT id FROM role_proposals ORDER BY closed_at DESC LIMIT 1)",
        )
        .await;
    assert_eq!(sets(&ada).await, "WAITING");
}

#[tokio::test]
async fn an_administrator_made_by_sql_is_not_counted_as_one_who_is_left() {
    let world = World::start().await;
    let (eve, first) = (world.patient("eve").await, world.first_admin().await);
    world
        .attacks(&format!(
            "UPDATE users SET role = 'ADMIN' WHERE id = '{}'",
            eve.id
        ))
        .await;

    let deactivate = "mutation($p: String!) { deactivateAccount(input: { currentPassword: $p }) { user { id } } }";
    first
        .asks(deactivate, json!({ "p": first.password }))
        .await
        .fails_with("CONFLICT");
    found(&world, "users", &eve.id).await;
}

/// A consent that lets a doctor find and read everything, written by SQL.
fn forged_consent(id: &str, patient: &Person, doctor: &Person) -> String {
    format!(
        "INSERT INTO data_processing_consents (
             id, user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties)
         VALUES ('{id}', '{}', 'TREAT', now(), '[\"ALL_RECORDS\"]', '[\"READ\", \"SEARCH\"]',
             '[{{\"kind\": \"user\", \"id\": \"{}\"}}]')",
        patient.id, doctor.id
    )
}

#[tokio::test]
async fn a_finding_written_beforehand_silences_none() {
    let world = World::start().await;
    let (eve, first) = (world.patient("eve").await, world.first_admin().await);
    let mut told = first.watches(json!({})).await;
    world
        .executes(&format!(
            "INSERT INTO integrity_findings (id, kind, table_name, row_id, details)
             VALUES (gen_random_uuid(), 'ROW_TAMPERED', 'users', '{}', '{{}}')",
            eve.id
        ))
        .await;

    world
        .attacks(&format!(
            "UPDATE users SET role = 'ADMIN' WHERE id = '{}'",
            eve.id
        ))
        .await;
    eve.asks("{ me { id } }", json!({}))
        .await
        .fails_with("UNAUTHENTICATED");

    assert_eq!(told.next().await["kind"], "FINDING_OPENED");
    let rows = format!(
        "action_type = 'INTEGRITY_FAILURE' AND resource_id = '{}'",
        eve.id
    );
    assert_eq!(world.audit_rows(&rows).await.len(), 1);
}

#[tokio::test]
async fn a_row_that_the_deep_check_cannot_survive_ends_no_process() {
    let world = World::start().await;
    let (ana, joe) = (world.patient("ana").await, world.patient("joe").await);
    world.is_broken_on_purpose();
    world
        .attacks(&format!(
            "ALTER TABLE sessions DROP CONSTRAINT sessions_idle_expires_at_bounded_check;
             UPDATE sessions SET idle_expires_at = 'infinity' WHERE user_id = '{}'",
            joe.id
        ))
        .await;

    let checking = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000")];
    let checking = world.another_api("checking", &checking).await;
    eventually("the deep check met the row twice", async || {
        let met = checking.log().matches("The deep check panicked").count();
        (met >= 2).then_some(())
    })
    .await;

    ana.at(&checking)
        .asks("{ me { id } }", json!({}))
        .await
        .data();
    assert_eq!(checking.health("/health/ready").await, Some(200));
}

#[tokio::test]
async fn an_event_that_nobody_can_read_is_passed_over() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut told = ana.watches(json!({})).await;
    let first = a_record(&ana).await;
    let event = told.next().await;
    let from = event["cursor"].clone();
    world
        .executes(&format!(
            "INSERT INTO integrity_feed (kind, patient_id, record_id, state)
             SELECT 'ANCHOR_PENDING', '{}', '{first}', 'X' FROM generate_series(1, 501)",
            ana.id
        ))
        .await;

    let second = a_record(&ana).await;

    // Whoever listens, and whoever comes back, is told what comes after it.
    for mut stream in [told, ana.watches(json!({ "after": from })).await] {
        loop {
            let event = stream.next().await;
            if event["recordId"] == second.as_str() {
                break;
            }
            assert_eq!(event["recordId"], first.as_str());
        }
    }
    assert!(world.api.log().contains("it is passed over"));
}

#[tokio::test]
async fn a_forged_consent_hides_nobody_elses_records_and_counts_none() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let record = a_record(&ana).await;
    for _ in 0..3 {
        a_record(&eve).await;
    }
    let forged = "01a20aa4-0000-7000-8000-00000000c0de";
    world.executes(&forged_consent(forged, &eve, &dr_bo)).await;

    let first = "query First($filter: RecordFilterInput) {
      medicalRecords(first: 1, filter: $filter) { totalCount nodes { id } }
    }";
    for filter in [
        json!({}),
        json!({ "metadata": {} }),
        json!({ "authorId": ana.id }),
    ] {
        let list = dr_bo.asks(first, json!({ "filter": filter })).await;
        assert_eq!(
            list.data()["medicalRecords"],
            json!({ "totalCount": 1, "nodes": [{ "id": record }] }),
            "{filter}"
        );
    }
}
