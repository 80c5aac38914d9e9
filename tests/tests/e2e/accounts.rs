//! Accounts: made, logged in to, given roles.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Person, World, text};
use vault::token::TokenKey;

const LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
  logIn(input: $input) { accessToken user { id username email role } }
}";
const REGISTER: &str = "mutation Register($input: RegisterInput!) {
  register(input: $input) { user { id username email role } }
}";
const SET_ROLE: &str = "mutation SetRole($input: SetRoleInput!) {
  setRole(input: $input) { user { id role } }
}";

fn credentials(login: &str, password: &str) -> Value {
    json!({ "input": { "login": login, "password": password } })
}

fn account(email: &str, username: &str, password: &str) -> Value {
    json!({ "input": { "email": email, "username": username, "password": password } })
}

#[tokio::test]
async fn somebody_logs_in_by_name_or_address_whatever_the_capitals() {
    let world = World::start().await;
    let ana = world.stranger("ana.lee");
    let made = account("Ana.Lee@MediTrustAl.Example", "Ana.Lee", &ana.password);

    let registered = world.nobody().asks(REGISTER, made).await;

    let user = registered.data()["register"]["user"].clone();
    assert_eq!(user["username"], "ana.lee");
    assert_eq!(user["email"], "ana.lee@meditrustal.example");
    assert_eq!(user["role"], "PATIENT");
    for login in [
        "ana.lee",
        "ANA.LEE",
        " Ana.Lee ",
        "ana.lee@meditrustal.example",
        "ANA.LEE@MEDITRUSTAL.EXAMPLE",
    ] {
        let answer = world
            .nobody()
            .asks(LOG_IN, credentials(login, &ana.password))
            .await;
        assert_eq!(answer.data()["logIn"]["user"], user, "as {login}");
    }
    let shouted = credentials("ana.lee", &ana.password.to_uppercase());
    let answer = world.nobody().asks(LOG_IN, shouted).await;
    answer.fails_with("WRONG_CREDENTIALS");
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused_with_the_field() {
    let world = World::start().await;
    world.patient("ana").await;
    let (ok, new, mail) = ("twelve letters", "bea", "bea@x.example");
    let long = "x".repeat(1025);
    let table = [
        // Taken, whatever the capitals.
        (mail, "ANA", ok, "CONFLICT", "username"),
        ("ANA@meditrustal.example", new, ok, "CONFLICT", "email"),
        ("", new, ok, "BAD_USER_INPUT", "email"),
        ("bea", new, ok, "BAD_USER_INPUT", "email"),
        ("bea@localhost", new, ok, "BAD_USER_INPUT", "email"),
        ("a@b@x.example", new, ok, "BAD_USER_INPUT", "email"),
        ("be a@x.example", new, ok, "BAD_USER_INPUT", "email"),
        (mail, "be", ok, "BAD_USER_INPUT", "username"),
        (mail, "1bea", ok, "BAD_USER_INPUT", "username"),
        (mail, "system:bea", ok, "BAD_USER_INPUT", "username"),
        (mail, &long[..51], ok, "BAD_USER_INPUT", "username"),
        (mail, new, "eleven char", "BAD_USER_INPUT", "password"),
        (mail, new, &long, "BAD_USER_INPUT", "password"),
    ];

    for (email, username, password, code, field) in table {
        let answer = world
            .nobody()
            .asks(REGISTER, account(email, username, password))
            .await;

        let told = answer.fails_with(code);
        assert_eq!(told.extensions["field"], field, "{email:?} {username:?}");
        assert_eq!(told.path, [json!("register")]);
    }
    let people = world
        .sql("SELECT count(*) AS number FROM users WHERE NOT is_system")
        .await;
    assert_eq!(people[0]["number"], 2, "Ana, and the first administrator");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_account_are_told_apart_by_nobody() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let deactivated = world.patient("dea").await;
    world
        .executes("UPDATE users SET is_active = FALSE WHERE username = 'dea'")
        .await;
    let attempts = [
        (ana.username.as_str(), "not her password"),
        ("nobody-at-all", "not a password"),
        ("my secret typed as a name", "ana"),
        (deactivated.username.as_str(), &deactivated.password),
        ("system:relay", "!"),
        ("relay@system.invalid", ""),
    ];

    let mut told = BTreeSet::new();
    for (login, password) in attempts {
        let answer = world
            .nobody()
            .asks(LOG_IN, credentials(login, password))
            .await;
        let problem = answer.fails_with("WRONG_CREDENTIALS");
        told.insert(format!("{} {:?}", problem.message, problem.path));
    }

    assert_eq!(told.len(), 1, "{told:?}");
    let rows = world.audit_rows("action_type = 'AUTH_LOGIN_FAILED'").await;
    assert_eq!(rows.len(), attempts.len());
    for row in &rows {
        assert_eq!(row["user_id"], "00000000-0000-7000-8000-000000000001");
        assert_eq!(row["data_classification"], "SECURITY");
        assert_eq!(row["purpose"], "HSYSADMIN");
        assert_eq!(row["old_value"], Value::Null);
        let said = row["new_value"].to_string();
        for (login, _) in attempts {
            assert!(!said.contains(login), "{said}");
        }
    }
    let digest = |row: &Value| text(&row["new_value"]["loginDigest"]);
    assert_ne!(digest(&rows[0]), digest(&rows[1]));
}

#[tokio::test]
async fn what_looks_like_sql_is_text_and_nothing_else() {
    let world = World::start().await;
    let (ana, ada) = (world.patient("ana").await, world.admin("ada").await);
    let hostile = [
        "ana' OR '1'='1",
        "ana'; UPDATE users SET role = 'ADMIN'; --",
        "ana') OR TRUE --",
        "%",
        "ana\\",
        "$1",
        "'||(SELECT hashed_password FROM users LIMIT 1)||'",
    ];

    for text in hostile {
        let answer = world.nobody().asks(LOG_IN, credentials(text, text)).await;
        answer.fails_with("WRONG_CREDENTIALS");
        let wrong = world
            .nobody()
            .asks(LOG_IN, credentials(&ana.username, text))
            .await;
        wrong.fails_with("WRONG_CREDENTIALS");
        let find = "query F($text: String) { users(search: $text) { nodes { username } } }";
        let found = ada.asks(find, json!({ "text": text })).await;
        assert_eq!(found.data()["users"]["nodes"], json!([]), "{text}");
        let made = account(&format!("{text}@x.example"), text, "twelve letters");
        let made = world.nobody().asks(REGISTER, made).await;
        assert_eq!(made.code(), Some("BAD_USER_INPUT"), "{text}");
    }

    let roles = world
        .sql("SELECT role FROM users WHERE NOT is_system ORDER BY role")
        .await;
    let roles: Vec<_> = roles.iter().map(|row| text(&row["role"])).collect();
    assert_eq!(roles, ["ADMIN", "ADMIN", "PATIENT"]);
}

#[tokio::test]
async fn a_flood_of_log_ins_is_bounded_and_holds_nobody_else_up() {
    let patience = ("MEDITRUSTAL_REQUEST_TIMEOUT".to_owned(), "60".to_owned());
    let world = World::with(|options| options.api.push(patience)).await;
    let ana = world.patient("ana").await;
    let nobody = world.nobody();
    let log_ins = (0..100).map(|_| nobody.asks(LOG_IN, credentials("ana", &ana.password)));

    let (flood, between) = tokio::join!(
        join_all(log_ins),
        join_all((0..10).map(|_| ana.asks("{ me { username } }", json!({})))),
    );

    for answer in between {
        assert_eq!(answer.data()["me"]["username"], "ana");
    }
    let busy: Vec<_> = flood.iter().filter(|it| it.code().is_some()).collect();
    for answer in &busy {
        let told = answer.fails_with("BUSY");
        assert!(told.extensions["retryAfterSeconds"].as_u64() > Some(0));
    }
    let sessions = world
        .audit_rows("action_type = 'AUTH_LOGIN' AND new_value IS NULL")
        .await;
    let hers = sessions
        .iter()
        .filter(|row| row["user_id"] == ana.id.as_str());
    assert_eq!(hers.count(), 1 + flood.len() - busy.len());
}

#[tokio::test]
async fn a_token_that_is_no_good_is_told_at_once() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let token = ana.client.token().expect("she is logged in").to_owned();
    let session = world.sql("SELECT id FROM sessions").await[0]["id"].clone();
    let key = world.foundation.dir().join("keys/token-key.pem");
    let key = TokenKey::load(&key).expect("the key is there");
    let times = "SELECT now() AS now, now() - INTERVAL '11 minutes' AS lately";
    let times = world.sql(times).await.remove(0);
    let (now, lately) = (&times["now"], &times["lately"]);
    let foreign = TokenKey::parse(&TokenKey::generate()).expect("a key");
    let issue = |key: &TokenKey, time: &Value| {
        let user = serde_json::from_value(json!(ana.id)).expect("an id");
        let session = serde_json::from_value(session.clone()).expect("an id");
        let time = serde_json::from_value(time.clone()).expect("a time");
        key.issue(user, session, time).0
    };
    let expired = issue(&key, lately);
    let foreign = issue(&foreign, now);
    let at = token.len() - 10;
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
    let unsigned = format!(
        "eyJhbGciOiJub25lIn0.{}.",
        token.split('.').nth(1).expect("a body")
    );
    let table = [
        (format!("Bearer {expired}"), "TOKEN_EXPIRED"),
        (format!("Bearer {forged}"), "UNAUTHENTICATED"),
        (format!("Bearer {unsigned}"), "UNAUTHENTICATED"),
        (format!("Bearer {foreign}"), "UNAUTHENTICATED"),
        ("Bearer garbage".to_owned(), "UNAUTHENTICATED"),
        ("Bearer".to_owned(), "UNAUTHENTICATED"),
        (format!("Basic {token}"), "UNAUTHENTICATED"),
        (String::new(), "UNAUTHENTICATED"),
    ];

    for (header, code) in table {
        let headers = [("authorization", header.as_str())];
        let reply = world
            .api
            .posts(&headers, r#"{"query":"{ me { id } }"}"#)
            .await;

        assert_eq!(
            (reply.status, reply.code().as_str()),
            (401, code),
            "{header}"
        );
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        assert_eq!(reply.json()["data"], Value::Null);
    }
    let without = world.nobody().asks("{ me { id } }", json!({})).await;
    without.fails_with("UNAUTHENTICATED");
    let headers = [("authorization", &*format!("bearer {token}"))];
    let reply = world
        .api
        .posts(&headers, r#"{"query":"{ me { id } }"}"#)
        .await;
    assert_eq!(reply.json()["data"]["me"]["id"], ana.id.as_str());
    world.executes("UPDATE sessions SET is_valid = FALSE").await;
    let revoked = ana.asks("{ me { id } }", json!({})).await;
    revoked.fails_with("UNAUTHENTICATED");
}

#[tokio::test]
async fn an_administrator_gives_roles_but_not_the_highest_and_not_their_own() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (ada, other) = (world.admin("ada").await, world.admin("adi").await);
    let set = async |by: &Person, whose: &Person, role: &str| {
        let input = json!({ "input": { "userId": whose.id, "role": role } });
        by.asks(SET_ROLE, input).await
    };

    set(&ana, &ana, "DOCTOR").await.fails_with("FORBIDDEN");
    set(&dr_bo, &ana, "DOCTOR").await.fails_with("FORBIDDEN");
    for (whose, role, field) in [
        (&ana, "ADMIN", "role"),
        (&ada, "DOCTOR", "userId"),
        (&other, "PATIENT", "userId"),
    ] {
        let answer = set(&ada, whose, role).await;
        let told = answer.fails_with("BAD_USER_INPUT");
        assert_eq!(told.extensions["field"], field);
    }
    let mut relay = world.nobody();
    "00000000-0000-7000-8000-000000000002".clone_into(&mut relay.id);
    set(&ada, &relay, "DOCTOR").await.fails_with("NOT_FOUND");
    let roles = world.sql("SELECT username, role FROM users WHERE NOT is_system ORDER BY username");
    let roles: Vec<_> = roles.await.iter().map(|row| text(&row["role"])).collect();
    assert_eq!(roles, ["ADMIN", "ADMIN", "PATIENT", "DOCTOR", "ADMIN"]);

    let answer = set(&ada, &ana, "DOCTOR").await;
    assert_eq!(answer.data()["setRole"]["user"]["role"], "DOCTOR");
    let me = ana.asks("{ me { role } }", json!({})).await;
    assert_eq!(me.data()["me"]["role"], "DOCTOR", "her token is still good");
    let rows = world
        .audit_rows("action_type = 'USER_ROLE_CHANGE' AND old_value IS NOT NULL")
        .await;
    let last = rows.last().expect("it was written down");
    assert_eq!(last["user_id"], ada.id.as_str());
    assert_eq!(last["resource_id"], ana.id.as_str());
    assert_eq!(last["old_value"], json!({ "role": "PATIENT" }));
    assert_eq!(last["new_value"], json!({ "role": "DOCTOR" }));
}
