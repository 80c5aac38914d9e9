//! Accounts: made, logged in to, given roles.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Answer, Person, World, text};
use vault::token::TokenKeys;

const LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
  logIn(input: $input) { accessToken user { id username email role } }
}";
const REGISTER: &str = "mutation Register($input: RegisterInput!) {
  register(input: $input) { user { id username email role } }
}";
const SET_ROLE: &str = "mutation SetRole($input: SetRoleInput!) {
  setRole(input: $input) { user { id role } outcome confirmBefore }
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
    let (ok, new, mail) = ("twelve unlikely letters", "bea", "bea@x.example");
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
    // All that is wrong is told at once.
    let answer = world
        .nobody()
        .asks(REGISTER, account("bea", "1bea", "eleven char"))
        .await;
    let told = answer.fails_with("BAD_USER_INPUT");
    let fields = told.extensions["fields"].as_array().expect("all of them");
    let fields: Vec<_> = fields.iter().map(|it| text(&it["field"])).collect();
    assert_eq!(fields, ["email", "username", "password"]);
    assert_eq!(told.extensions["fields"][0]["message"], told.message);
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
    world.seals().await;
    let long = "x".repeat(1025);
    let attempts = [
        (ana.username.as_str(), "not her password"),
        ("nobody-at-all", "not a password"),
        ("my secret typed as a name", "ana"),
        (deactivated.username.as_str(), &deactivated.password),
        ("system:relay", "!"),
        ("relay@system.invalid", ""),
        // Longer than any password is: not even hashed, and written down all the same.
        (ana.username.as_str(), &long),
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
        let made = account(
            &format!("{text}@x.example"),
            text,
            "twelve unlikely letters",
        );
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
        // Too many wait for a password to be hashed, or of this address altogether.
        let code = answer.code().expect("it failed");
        assert!(["BUSY", "THROTTLED"].contains(&code), "{code}");
        let refusal = answer.fails_with(code);
        assert!(refusal.extensions["retryAfterSeconds"].as_u64() > Some(0));
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
async fn an_invalid_token_is_refused_at_once() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let token = ana.client.token().expect("she is logged in").to_owned();
    let session = world.sql("SELECT id FROM sessions").await[0]["id"].clone();
    let key = world.foundation.dir().join("keys/token-key.pem");
    let key = TokenKeys::load(&key).expect("the key is there");
    let times = "SELECT now() AS now, now() - INTERVAL '11 minutes' AS lately";
    let times = world.sql(times).await.remove(0);
    let (now, lately) = (&times["now"], &times["lately"]);
    let foreign = TokenKeys::parse(&TokenKeys::generate()).expect("a key");
    let issue = |key: &TokenKeys, time: &Value| {
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
async fn one_administrator_makes_a_doctor_but_not_of_themselves() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let ada = world.admin("ada").await;

    set(&ana, &ana, "DOCTOR").await.fails_with("FORBIDDEN");
    set(&dr_bo, &ana, "DOCTOR").await.fails_with("FORBIDDEN");
    let own = set(&ada, &ada, "DOCTOR").await;
    assert_eq!(
        own.fails_with("BAD_USER_INPUT").extensions["field"],
        "userId"
    );
    let mut relay = world.nobody();
    "00000000-0000-7000-8000-000000000002".clone_into(&mut relay.id);
    set(&ada, &relay, "DOCTOR").await.fails_with("NOT_FOUND");
    assert_eq!(roles(&world).await, ["ADMIN", "PATIENT", "DOCTOR", "ADMIN"]);
    let denied = "action_type = 'ACCESS_DENIED' AND new_value ->> 'wanted' = 'USER_ROLE_CHANGE'";
    let reasons = world.audit_rows(denied).await;
    let reasons: Vec<_> = reasons
        .iter()
        .map(|row| text(&row["new_value"]["reason"]))
        .collect();
    assert_eq!(reasons, ["ROLE", "ROLE", "OWN_ACCOUNT", "NOT_FOUND"]);

    let answer = set(&ada, &ana, "DOCTOR").await;
    assert_eq!(answer.data()["setRole"]["user"]["role"], "DOCTOR");
    assert_eq!(answer.data()["setRole"]["outcome"], "DONE");
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

async fn set(by: &Person, whose: &Person, role: &str) -> Answer {
    let input = json!({ "input": { "userId": whose.id, "role": role } });
    by.asks(SET_ROLE, input).await
}

/// Everybody's role, by name.
async fn roles(world: &World) -> Vec<String> {
    let roles = "SELECT username, role FROM users WHERE NOT is_system ORDER BY username";
    let roles = world.sql(roles).await;
    roles.iter().map(|row| text(&row["role"])).collect()
}

#[tokio::test]
async fn an_administrator_is_made_and_unmade_by_two_others() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (ada, adi, ado) = (
        world.admin("ada").await,
        world.admin("adi").await,
        world.admin("ado").await,
    );
    let role = async |of: &Person| {
        let role = format!("SELECT role FROM users WHERE id = '{}'", of.id);
        text(&world.sql(&role).await[0]["role"])
    };
    let outcome = |answer: &Answer| text(&answer.data()["setRole"]["outcome"]);

    let first = set(&ada, &ana, "ADMIN").await;
    assert_eq!(outcome(&first), "WAITING");
    assert!(first.data()["setRole"]["confirmBefore"].is_string());
    assert_eq!(first.data()["setRole"]["user"]["role"], "PATIENT");
    let twice = set(&ada, &ana, "ADMIN").await;
    assert_eq!(outcome(&twice), "WAITING", "one person is not two");
    assert_eq!(role(&ana).await, "PATIENT");
    let waiting = "{ roleProposals { nodes { role user { username } proposedBy { username } } } }";
    let waiting = adi.asks(waiting, json!({})).await;
    assert_eq!(
        waiting.data()["roleProposals"]["nodes"],
        json!([{ "role": "ADMIN", "user": { "username": "ana" }, "proposedBy": { "username": "ada" } }])
    );
    let second = set(&adi, &ana, "ADMIN").await;
    assert_eq!(outcome(&second), "DONE");
    assert_eq!(role(&ana).await, "ADMIN");

    // The other way needs two as well, and the subject is neither of them.
    assert_eq!(outcome(&set(&ada, &ana, "PATIENT").await), "WAITING");
    set(&ana, &ana, "PATIENT")
        .await
        .fails_with("BAD_USER_INPUT");
    assert_eq!(role(&ana).await, "ADMIN");
    // Somebody who is no longer an administrator has not proposed anything.
    world
        .executes("UPDATE users SET role = 'DOCTOR' WHERE username = 'ada'")
        .await;
    world.seals().await;
    assert_eq!(outcome(&set(&adi, &ana, "PATIENT").await), "WAITING");
    assert_eq!(role(&ana).await, "ADMIN");
    // A day later it is too late.
    world
        .executes("UPDATE role_proposals SET expires_at = now() WHERE closed_at IS NULL")
        .await;
    assert_eq!(outcome(&set(&ado, &ana, "PATIENT").await), "WAITING");
    assert_eq!(role(&ana).await, "ADMIN");
    assert_eq!(outcome(&set(&adi, &ana, "PATIENT").await), "DONE");
    assert_eq!(role(&ana).await, "PATIENT");

    let rows = world
        .audit_rows(&format!(
            "action_type = 'USER_ROLE_CHANGE' AND resource_id = '{}'",
            ana.id
        ))
        .await;
    let said: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["new_value"]["proposed"].clone(),
                row["new_value"]["role"].clone(),
            )
        })
        .collect();
    let (proposed, given) = (
        |role| (json!(role), Value::Null),
        |role| (Value::Null, json!(role)),
    );
    assert_eq!(
        said,
        [
            proposed("ADMIN"),
            proposed("ADMIN"),
            given("ADMIN"),
            proposed("PATIENT"),
            proposed("PATIENT"),
            proposed("PATIENT"),
            given("PATIENT"),
        ]
    );
    let closed = world
        .sql("SELECT confirmed_by FROM role_proposals WHERE confirmed_by IS NOT NULL ORDER BY closed_at")
        .await;
    assert_eq!(closed.len(), 2);
    assert_eq!(closed[1]["confirmed_by"], adi.id.as_str());
}

#[tokio::test]
async fn a_changed_password_ends_all_other_log_ins() {
    const CHANGE: &str = "mutation Change($input: ChangePasswordInput!) {
      changePassword(input: $input) { endedSessions }
    }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let other = world.logs_in(&ana).await;
    let change = async |current: &str, new: &str| {
        let input = json!({ "currentPassword": current, "newPassword": new });
        ana.asks(CHANGE, json!({ "input": input })).await
    };

    let short = change(&ana.password, "too short").await;
    assert_eq!(
        short.fails_with("BAD_USER_INPUT").extensions["field"],
        "newPassword"
    );
    change("not her password", "a new one of hers")
        .await
        .fails_with("WRONG_CREDENTIALS");
    assert!(
        other
            .asks("{ me { id } }", json!({}))
            .await
            .code()
            .is_none()
    );
    let changed = change(&ana.password, "a new one of hers").await;

    assert_eq!(changed.data()["changePassword"]["endedSessions"], 1);
    other
        .asks("{ me { id } }", json!({}))
        .await
        .fails_with("UNAUTHENTICATED");
    ana.asks("{ me { id } }", json!({})).await.data();
    let nobody = world.nobody();
    let old = nobody.asks(LOG_IN, credentials("ana", &ana.password)).await;
    old.fails_with("WRONG_CREDENTIALS");
    nobody
        .asks(LOG_IN, credentials("ana", "a new one of hers"))
        .await
        .data();
    let denied = "action_type = 'ACCESS_DENIED' AND new_value ->> 'reason' = 'PASSWORD'";
    assert_eq!(world.audit_rows(denied).await.len(), 1);
    let written = world.audit_rows("action_type = 'USER_UPDATE'").await;
    assert_eq!(
        written[0]["new_value"],
        json!({ "fields": ["password"], "endedSessions": 1 })
    );
}

#[tokio::test]
async fn people_change_their_name_and_address_with_their_password() {
    const UPDATE: &str = "mutation Update($input: UpdateProfileInput!) {
      updateProfile(input: $input) { user { email username } }
    }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    world.patient("budi").await;
    let update = async |input: Value| ana.asks(UPDATE, json!({ "input": input })).await;
    let password = ana.password.clone();
    let table = [
        (
            json!({ "currentPassword": password }),
            "BAD_USER_INPUT",
            Some("email"),
        ),
        (
            json!({ "currentPassword": password, "username": "b" }),
            "BAD_USER_INPUT",
            Some("username"),
        ),
        (
            json!({ "currentPassword": password, "username": "BUDI" }),
            "CONFLICT",
            Some("username"),
        ),
        (
            json!({ "currentPassword": password, "email": "Budi@MediTrustAl.example" }),
            "CONFLICT",
            Some("email"),
        ),
        (
            json!({ "currentPassword": "a guess of hers", "username": "anna" }),
            "WRONG_CREDENTIALS",
            None,
        ),
    ];
    for (input, code, field) in table {
        let answer = update(input).await;
        let told = answer.fails_with(code);
        assert_eq!(told.extensions["field"].as_str(), field);
    }

    let changed =
        update(json!({ "currentPassword": password, "username": "Änne", "email": "A@x.example" }));

    let user = json!({ "username": "änne", "email": "a@x.example" });
    assert_eq!(changed.await.data()["updateProfile"]["user"], user);
    let nobody = world.nobody();
    nobody
        .asks(LOG_IN, credentials("A\u{308}NNE", &password))
        .await
        .data();
    let old = nobody.asks(LOG_IN, credentials("ana", &password)).await;
    old.fails_with("WRONG_CREDENTIALS");
    let written = world.audit_rows("action_type = 'USER_UPDATE'").await;
    assert_eq!(written.len(), 1);
    assert_eq!(
        written[0]["new_value"],
        json!({ "fields": ["email", "username"] })
    );
    assert_eq!(written[0]["resource_id"], ana.id.as_str());
}

#[tokio::test]
async fn a_deactivated_account_is_out_at_once_and_back_when_an_administrator_says_so() {
    let mutation = |name: &str, input: &str| {
        format!("mutation($id: UUID!) {{ {name}(input: {{ {input} }}) {{ user {{ isActive }} }} }}")
            .replace(
                "($id: UUID!)",
                if input.contains("$id") {
                    "($id: UUID!)"
                } else {
                    ""
                },
            )
    };
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let by_admin = async |name: &str, by: &Person, whose: &Person| {
        let document = mutation(name, "userId: $id");
        by.asks(&document, json!({ "id": whose.id })).await
    };
    let own = async |who: &Person, password: &str| {
        let document = mutation(
            "deactivateAccount",
            &format!("currentPassword: {}", json!(password)),
        );
        who.asks(&document, json!({})).await
    };
    let is_in = async |who: &Person| who.asks("{ me { id } }", json!({})).await.code().is_none();

    own(&ana, "a guess of hers")
        .await
        .fails_with("WRONG_CREDENTIALS");
    assert!(is_in(&ana).await);
    let gone = own(&ana, &ana.password).await;
    assert_eq!(gone.data()["deactivateAccount"]["user"]["isActive"], false);
    assert!(!is_in(&ana).await);
    let again = credentials("ana", &ana.password);
    world
        .nobody()
        .asks(LOG_IN, again.clone())
        .await
        .fails_with("WRONG_CREDENTIALS");

    by_admin("reactivateUser", &budi, &ana)
        .await
        .fails_with("FORBIDDEN");
    by_admin("reactivateUser", &ada, &ana).await.data();
    assert!(!is_in(&ana).await, "what was over stays over");
    world.nobody().asks(LOG_IN, again).await.data();
    by_admin("deactivateUser", &budi, &ana)
        .await
        .fails_with("FORBIDDEN");
    for whose in [&ada, &adi] {
        let answer = by_admin("deactivateUser", &ada, whose).await;
        let told = answer.fails_with("BAD_USER_INPUT");
        assert_eq!(told.extensions["field"], "userId");
    }
    let off = by_admin("deactivateUser", &ada, &budi).await;
    assert_eq!(off.data()["deactivateUser"]["user"]["isActive"], false);
    assert!(!is_in(&budi).await);

    let list = "{ users(isActive: false) { nodes { username } } }";
    let list = ada.asks(list, json!({})).await;
    assert_eq!(
        list.data()["users"]["nodes"],
        json!([{ "username": "budi" }])
    );
    let written = world
        .audit_rows("action_type IN ('USER_DEACTIVATE', 'USER_REACTIVATE')")
        .await;
    let said: Vec<_> = written
        .iter()
        .map(|row| {
            (
                text(&row["action_type"]),
                text(&row["user_id"]),
                text(&row["resource_id"]),
            )
        })
        .collect();
    let row =
        |action: &str, by: &Person, of: &Person| (action.to_owned(), by.id.clone(), of.id.clone());
    assert_eq!(
        said,
        [
            row("USER_DEACTIVATE", &ana, &ana),
            row("USER_REACTIVATE", &ada, &ana),
            row("USER_DEACTIVATE", &ada, &budi),
        ]
    );
    let denied = "action_type = 'ACCESS_DENIED' AND new_value ->> 'wanted' LIKE 'USER_%ACTIVATE'";
    assert_eq!(world.audit_rows(denied).await.len(), 5);
}

#[tokio::test]
async fn names_of_any_script_have_one_spelling_and_none_poses_as_another() {
    let world = World::start().await;
    let nobody = world.nobody();
    let register = async |email: &str, username: &str, password: &str| {
        nobody
            .asks(REGISTER, account(email, username, password))
            .await
    };
    // Typed on one keyboard, and on another.
    let composed = (
        "Jos\u{e9}@x.example",
        "Jos\u{e9}",
        "Gr\u{fc}\u{df}e aus K\u{f6}ln",
    );
    let decomposed = (
        "Jose\u{301}@x.example",
        "JOSE\u{301}",
        "Gru\u{308}\u{df}e aus Ko\u{308}ln",
    );

    register(composed.0, composed.1, composed.2).await.data();

    for login in [
        composed.0,
        composed.1,
        decomposed.0,
        decomposed.1,
        "ｊｏｓé",
    ] {
        for password in [composed.2, decomposed.2] {
            nobody
                .asks(LOG_IN, credentials(login, password))
                .await
                .data();
        }
    }
    let taken = register("b@x.example", decomposed.1, "twelve unlikely letters").await;
    assert_eq!(taken.fails_with("CONFLICT").extensions["field"], "username");
    let taken = register(decomposed.0, "bea", "twelve unlikely letters").await;
    assert_eq!(taken.fails_with("CONFLICT").extensions["field"], "email");
    for (nth, name) in ["Мария", "Οδυσσεύς", "أحمد", "प्रिया", "田中さくら", "김민준"]
        .iter()
        .enumerate()
    {
        let email = format!("n{nth}@x.example");
        register(&email, name, "twelve unlikely letters")
            .await
            .data();
        let capitals = credentials(&name.to_uppercase(), "twelve unlikely letters");
        nobody.asks(LOG_IN, capitals).await.data();
    }
    for name in [
        "\u{430}na",
        "an\u{200d}a",
        "ana\u{202e}",
        "ana\u{3164}",
        "system:x",
    ] {
        let refused = register("z@x.example", name, "twelve unlikely letters").await;
        let told = refused.fails_with("BAD_USER_INPUT");
        assert_eq!(told.extensions["field"], "username", "{name:?}");
    }
    let apart =
        "SELECT username FROM users WHERE lower(username) <> username OR lower(email) <> email";
    assert_eq!(world.sql(apart).await, [Value::Null; 0]);
}

#[tokio::test]
async fn the_database_leaves_what_is_folded_as_it_is() {
    let world = World::start().await;
    let letters: String = (char::MIN..=char::MAX)
        .filter(|c| c.is_alphanumeric())
        .map(|c| domain::users::fold(&c.to_string()))
        .collect();
    let letters = letters.replace('\'', "''");

    let same = world
        .sql(&format!(
            "SELECT lower(it) = it AS same FROM (SELECT '{letters}'::text AS it) AS all_of_them"
        ))
        .await;

    assert_eq!(same[0]["same"], true);
}

#[tokio::test]
async fn the_last_administrator_cannot_go_even_where_two_go_at_once() {
    let world = World::start().await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let goes = async |who: &Person| {
        let document = format!(
            "mutation {{ deactivateAccount(input: {{ currentPassword: {} }}) {{ user {{ isActive }} }} }}",
            json!(who.password)
        );
        who.asks(&document, json!({})).await
    };
    // Three are there: the one whom every world begins with goes first.
    goes(world.first_admin().await).await.data();

    let both = tokio::join!(goes(&ada), goes(&adi));

    let codes = [both.0.code(), both.1.code()];
    let refused: Vec<String> = codes.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(refused, ["CONFLICT"], "one went, one could not: {codes:?}");
    let last = if both.0.code().is_some() { &ada } else { &adi };
    goes(last).await.fails_with("CONFLICT");
    last.asks("{ users { nodes { id } } }", json!({}))
        .await
        .data();
    let refused = world
        .audit_rows("new_value ->> 'reason' = 'LAST_ADMINISTRATOR'")
        .await;
    assert_eq!(refused.len(), 2);
    // Once there is another, they may.
    world.admin("ari").await;
    goes(last).await.data();
}
