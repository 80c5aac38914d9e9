//! The second factor: set up, asked for, used up, lost, required.

use serde_json::{Value, from_value, json};
use tests::{Answer, Person, World, text};
use vault::second_factor::FactorSecret;

const LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
  logIn(input: $input) { accessToken user { id } }
}";
const START: &str = "mutation Start($input: StartSecondFactorInput!) {
  startSecondFactor(input: $input) { uri secret }
}";
const CONFIRM: &str = "mutation Confirm($input: ConfirmSecondFactorInput!) {
  confirmSecondFactor(input: $input) { recoveryCodes }
}";
const REMOVE: &str = "mutation Remove($input: RemoveSecondFactorInput!) {
  removeSecondFactor(input: $input) { secondFactor { isOn recoveryCodesLeft } }
}";
const STATE: &str =
    "{ mySecondFactor { isOn confirmedAt startedAt recoveryCodesLeft isRequired } }";

/// Somebody's device: what it shows now and in half a minute, by the database's clock.
pub(crate) struct Device {
    now: String,
    next: String,
    recovery_codes: Vec<String>,
}

/// Codes of a secret: of this step, of the next and of one long ago.
async fn codes(world: &World, secret: &str) -> [String; 3] {
    let secret = FactorSecret::from_base32(secret).expect("32 letters and digits");
    let times = "SELECT now() AS now, now() + INTERVAL '30 seconds' AS next,
                        now() - INTERVAL '1 hour' AS long_ago";
    let times = world.sql(times).await.remove(0);
    ["now", "next", "long_ago"].map(|time| {
        let moment = from_value(times[time].clone()).expect("a time");
        secret.code_at(moment)
    })
}

async fn begins(person: &Person) -> Value {
    let input = json!({ "input": { "password": person.password } });
    let begun = person.asks(START, input).await;
    begun.data()["startSecondFactor"].clone()
}

async fn confirms(person: &Person, code: &str) -> Answer {
    let input = json!({ "input": { "code": code } });
    person.asks(CONFIRM, input).await
}

pub(crate) async fn enrols(world: &World, person: &Person) -> Device {
    let begun = begins(person).await;
    let [now, next, _] = codes(world, &text(&begun["secret"])).await;
    let confirmed = confirms(person, &now).await;
    let recovery_codes = &confirmed.data()["confirmSecondFactor"]["recoveryCodes"];
    Device {
        now,
        next,
        recovery_codes: from_value(recovery_codes.clone()).expect("a list of texts"),
    }
}

async fn logs_in(world: &World, person: &Person, code: Option<&str>) -> Answer {
    let input = json!({ "login": person.username, "password": person.password, "code": code });
    world.nobody().asks(LOG_IN, json!({ "input": input })).await
}

async fn state(person: &Person) -> Value {
    person.asks(STATE, json!({})).await.data()["mySecondFactor"].clone()
}

#[tokio::test]
async fn a_second_factor_is_set_up_and_then_asked_for_at_each_log_in() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let nothing = json!({ "isOn": false, "confirmedAt": null, "startedAt": null,
        "recoveryCodesLeft": 0, "isRequired": false });
    assert_eq!(state(&ana).await, nothing);

    confirms(&ana, "123456").await.fails_with("NOT_FOUND");
    let wrong = json!({ "input": { "password": "not her password" } });
    ana.asks(START, wrong).await.fails_with("WRONG_CREDENTIALS");
    let thrown_away = begins(&ana).await;
    let begun = begins(&ana).await;
    let uri = text(&begun["uri"]);
    assert!(
        uri.starts_with("otpauth://totp/MediTrustAl:ana?secret="),
        "{uri}"
    );
    assert!(uri.contains(&text(&begun["secret"])));
    assert_ne!(begun["secret"], thrown_away["secret"]);
    logs_in(&world, &ana, None).await.data();
    let [old, ..] = codes(&world, &text(&thrown_away["secret"])).await;
    let [now, next, long_ago] = codes(&world, &text(&begun["secret"])).await;
    for code in [&old, &long_ago, ""] {
        let told = confirms(&ana, code).await;
        assert_eq!(
            told.fails_with("BAD_USER_INPUT").extensions["field"],
            "code"
        );
    }
    let confirmed = confirms(&ana, &now).await;
    let recovery_codes = &confirmed.data()["confirmSecondFactor"]["recoveryCodes"];
    assert_eq!(recovery_codes.as_array().map(Vec::len), Some(10));

    let found = state(&ana).await;
    assert_eq!(
        (&found["isOn"], &found["recoveryCodesLeft"]),
        (&json!(true), &json!(10))
    );
    confirms(&ana, &now).await.fails_with("CONFLICT");
    let again = json!({ "input": { "password": ana.password } });
    ana.asks(START, again).await.fails_with("CONFLICT");
    logs_in(&world, &ana, None)
        .await
        .fails_with("SECOND_FACTOR_REQUIRED");
    logs_in(&world, &ana, Some(&long_ago))
        .await
        .fails_with("WRONG_CREDENTIALS");
    let mut guesser = ana.clone();
    "not her password".clone_into(&mut guesser.password);
    // Whoever does not know the password does not learn that there is a second factor.
    for code in [None, Some(next.as_str())] {
        logs_in(&world, &guesser, code)
            .await
            .fails_with("WRONG_CREDENTIALS");
    }
    logs_in(&world, &ana, Some(&next)).await.data();

    let failed = "action_type = 'AUTH_LOGIN_FAILED' AND new_value ? 'reason'";
    let failed = world.audit_rows(failed).await;
    let why: Vec<_> = failed
        .iter()
        .map(|row| (&row["user_id"], &row["new_value"]["reason"]))
        .collect();
    let hers = json!(ana.id);
    assert_eq!(why, [(&hers, &json!("NO_CODE")), (&hers, &json!("CODE"))]);
    let shown = "SELECT count(*) AS number FROM sessions WHERE second_factor_at IS NOT NULL";
    assert_eq!(
        world.sql(shown).await[0]["number"],
        2,
        "where she set it up, and the last one"
    );
}

#[tokio::test]
async fn a_code_serves_once_and_none_before_it_any_more() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let device = enrols(&world, &ana).await;

    let replayed = logs_in(&world, &ana, Some(&device.now)).await;
    let first = logs_in(&world, &ana, Some(&format!(" {} ", device.next))).await;
    let second = logs_in(&world, &ana, Some(&device.next)).await;
    let earlier = logs_in(&world, &ana, Some(&device.now)).await;

    replayed.fails_with("WRONG_CREDENTIALS");
    first.data();
    second.fails_with("WRONG_CREDENTIALS");
    earlier.fails_with("WRONG_CREDENTIALS");
}

#[tokio::test]
async fn two_log_ins_at_once_do_not_share_a_code() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let device = enrols(&world, &ana).await;

    let (one, other) = tokio::join!(
        logs_in(&world, &ana, Some(&device.next)),
        logs_in(&world, &ana, Some(&device.next)),
    );

    let mut codes = [one.code(), other.code()];
    codes.sort_unstable();
    assert_eq!(codes, [None, Some("WRONG_CREDENTIALS")]);
}

#[tokio::test]
async fn a_recovery_code_serves_once_however_it_is_typed() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (anas, budis) = (enrols(&world, &ana).await, enrols(&world, &budi).await);
    let [first, second, ..] = anas.recovery_codes.as_slice() else {
        panic!("there are ten");
    };
    let stored = world.sql("SELECT * FROM recovery_codes").await;
    let stored = json!(stored).to_string();
    assert!(
        anas.recovery_codes
            .iter()
            .all(|code| !stored.contains(code))
    );

    logs_in(&world, &ana, Some(first)).await.data();
    logs_in(&world, &ana, Some(first))
        .await
        .fails_with("WRONG_CREDENTIALS");
    let typed = second.replace('-', " ").to_uppercase();
    logs_in(&world, &ana, Some(&typed)).await.data();
    let others = logs_in(&world, &ana, Some(&budis.recovery_codes[0])).await;

    others.fails_with("WRONG_CREDENTIALS");
    assert_eq!(state(&ana).await["recoveryCodesLeft"], 8);
}

#[tokio::test]
async fn it_is_taken_off_by_whoever_has_the_password_and_a_code() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let device = enrols(&world, &ana).await;
    let remove = async |password: &str, code: Option<&str>| {
        let input = json!({ "input": { "password": password, "code": code } });
        ana.asks(REMOVE, input).await
    };

    let recovery_code = Some(device.recovery_codes[0].as_str());
    remove("not her password", recovery_code)
        .await
        .fails_with("WRONG_CREDENTIALS");
    remove(&ana.password, None)
        .await
        .fails_with("SECOND_FACTOR_REQUIRED");
    remove(&ana.password, Some("000000"))
        .await
        .fails_with("WRONG_CREDENTIALS");
    let removed = remove(&ana.password, recovery_code).await;

    let left = &removed.data()["removeSecondFactor"]["secondFactor"];
    assert_eq!(*left, json!({ "isOn": false, "recoveryCodesLeft": 0 }));
    remove(&ana.password, None).await.fails_with("NOT_FOUND");
    logs_in(&world, &ana, None).await.data();
    let kept = "SELECT 1 FROM second_factors UNION ALL SELECT 1 FROM recovery_codes
                UNION ALL SELECT 1 FROM sessions WHERE second_factor_at IS NOT NULL";
    assert!(world.sql(kept).await.is_empty());
    for action in [
        "SECOND_FACTOR_START",
        "SECOND_FACTOR_CONFIRM",
        "SECOND_FACTOR_REMOVE",
    ] {
        let rows = world.audit_rows(&format!("action_type = '{action}'")).await;
        assert_eq!(rows.len(), 1, "{action}");
        assert_eq!(rows[0]["user_id"], ana.id.as_str());
    }
}

#[tokio::test]
async fn wrong_codes_make_wait_and_a_right_password_does_not_make_them_forgotten() {
    let limits = [
        ("MEDITRUSTAL_GUESSES", "3"),
        ("MEDITRUSTAL_FIRST_WAIT", "600"),
    ];
    let limits = limits.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let world = World::with(|options| options.api.extend(limits)).await;
    let ana = world.patient("ana").await;
    let device = enrols(&world, &ana).await;
    let remove = async |code: &str| {
        let input = json!({ "input": { "password": ana.password, "code": code } });
        ana.asks(REMOVE, input).await
    };

    logs_in(&world, &ana, Some("000000"))
        .await
        .fails_with("WRONG_CREDENTIALS");
    remove("000000").await.fails_with("WRONG_CREDENTIALS");
    logs_in(&world, &ana, Some("000000"))
        .await
        .fails_with("WRONG_CREDENTIALS");

    remove(&device.recovery_codes[0])
        .await
        .fails_with("THROTTLED");
    logs_in(&world, &ana, Some(&device.next))
        .await
        .fails_with("THROTTLED");
    logs_in(&world, &ana, None)
        .await
        .fails_with("SECOND_FACTOR_REQUIRED");
    let locked = world.audit_rows("action_type = 'AUTH_LOCKED'").await;
    assert_eq!(locked.len(), 1);
    assert_eq!(locked[0]["user_id"], ana.id.as_str());
}

#[tokio::test]
async fn a_wallet_does_not_get_past_it() {
    let world = World::start().await;
    let (ana, nobody) = (world.patient("ana").await, world.nobody());
    let account = world.account(0).await;
    let message = ana.challenge("LINK", &account).await;
    let signature = world.signs(&account, &message).await;
    ana.links(&message, &signature).await.data();
    let device = enrols(&world, &ana).await;
    let message = nobody.challenge("LOG_IN", &account).await;
    let signature = world.signs(&account, &message).await;

    let without = nobody.shows_wallet(&message, &signature, None).await;
    let with = nobody
        .shows_wallet(&message, &signature, Some(&device.next))
        .await;

    without.fails_with("SECOND_FACTOR_REQUIRED");
    assert_eq!(
        with.data()["logInWithWallet"]["user"]["id"],
        ana.id.as_str()
    );
    ana.unlinks().await.fails_with("SECOND_FACTOR_REQUIRED");
}

#[tokio::test]
async fn the_operator_takes_off_what_is_lost_and_ends_the_log_ins() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    enrols(&world, &ana).await;
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.expect("there is such a role");
    let masters = world.foundation.dir().join("keys/master-keys.json");
    let masters = masters.display().to_string();
    let programs = world.foundation.programs.clone();
    let reset = move |username: &'static str| {
        let arguments = ["admin", "reset-second-factor", "--username", username];
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("MEDITRUSTAL_MASTER_KEYS_FILE", &masters),
        ];
        programs.operate(&arguments, &environment, "")
    };
    let reset = tokio::task::spawn_blocking(move || (reset("ana"), reset("ana"), reset("bea")));

    let (done, nothing_left, nobody) = reset.await.expect("a command does not panic");

    assert!(done.expect("it is done").contains("ana"));
    let said = nothing_left.expect_err("it is off").to_string();
    assert!(said.contains("no second factor"), "{said}");
    nobody.expect_err("there is no bea");
    ana.asks("{ me { id } }", json!({}))
        .await
        .fails_with("UNAUTHENTICATED");
    logs_in(&world, &ana, None).await.data();
    let rows = world
        .audit_rows("action_type = 'SECOND_FACTOR_REMOVE'")
        .await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["resource_id"], ana.id.as_str());
    assert_eq!(rows[0]["new_value"]["by"], "command line");
}

#[tokio::test]
async fn an_administrator_without_one_can_only_set_one_up() {
    let required = (
        "MEDITRUSTAL_REQUIRE_SECOND_FACTOR".to_owned(),
        "admins".to_owned(),
    );
    let world = World::with(|options| options.api.push(required)).await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let role = format!(
        r#"mutation {{ setRole(input: {{ userId: "{}", role: DOCTOR }}) {{ user {{ id }} }} }}"#,
        ana.id
    );
    let closed = [
        "{ users { nodes { id } } }",
        "{ auditLogs { nodes { id } } }",
        "{ dataDeletionRequests { nodes { id } } }",
        &role,
    ];

    for document in closed {
        let told = ada.asks(document, json!({})).await;
        told.fails_with("SECOND_FACTOR_REQUIRED");
    }
    let denied = "action_type = 'ACCESS_DENIED' AND new_value ->> 'reason' = 'SECOND_FACTOR'";
    let rows = world.audit_rows(denied).await;
    assert_eq!(rows.len(), closed.len());
    assert!(rows.iter().all(|row| row["user_id"] == ada.id.as_str()));
    for document in [
        "{ me { id } }",
        "{ registry { address } }",
        "{ indexStatus { chainId } }",
    ] {
        ada.asks(document, json!({})).await.data();
    }
    assert_eq!(state(&ada).await["isRequired"], true);
    assert_eq!(state(&ana).await["isRequired"], false);
    let device = enrols(&world, &ada).await;

    for document in closed {
        ada.asks(document, json!({})).await.data();
    }
    let again = logs_in(&world, &ada, Some(&device.next)).await;
    let token = text(&again.data()["logIn"]["accessToken"]);
    let later = Person {
        client: ada.client.clone().with_token(&token),
        ..ada.clone()
    };
    later.asks(closed[0], json!({})).await.data();
    let input = json!({ "input": { "password": ada.password, "code": device.recovery_codes[0] } });
    ada.asks(REMOVE, input).await.data();
    for session in [&ada, &later] {
        let told = session.asks(closed[0], json!({})).await;
        told.fails_with("SECOND_FACTOR_REQUIRED");
    }
}

#[tokio::test]
async fn a_second_factor_changed_or_deleted_by_sql_is_still_asked_for() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let secret = text(&begins(&ana).await["secret"]);
    world
        .executes("CREATE TABLE public.begun AS SELECT * FROM second_factors")
        .await;
    let device = enrols(&world, &ana).await;
    world
        .executes(
            "CREATE TABLE public.factors AS SELECT * FROM second_factors;
             CREATE TABLE public.codes AS SELECT * FROM recovery_codes",
        )
        .await;
    let the = format!("WHERE user_id = '{}'", ana.id);
    let attacks = [
        format!("DELETE FROM recovery_codes {the}; DELETE FROM second_factors {the}"),
        format!("UPDATE second_factors SET confirmed_at = NULL {the}"),
        format!("UPDATE second_factors SET seal = NULL {the}"),
        format!(
            "INSERT INTO recovery_codes (user_id, code_hash) VALUES ('{}', encode(sha256('abcdefghijklmnop'), 'hex'))",
            ana.id
        ),
    ];

    for attack in attacks {
        world.attacks(&attack).await;

        logs_in(&world, &ana, None)
            .await
            .fails_with("SECOND_FACTOR_REQUIRED");
        for code in [&device.recovery_codes[0], "abcd-efgh-ijkl-mnop"] {
            logs_in(&world, &ana, Some(code))
                .await
                .fails_with("WRONG_CREDENTIALS");
        }
        // Nor does another device take its place.
        let input = json!({ "input": { "password": ana.password } });
        ana.asks(START, input).await.fails_with("CONFLICT");
        tests::eventually("it is found", async || {
            let open = format!(
                "SELECT 1 FROM integrity_findings WHERE kind = 'ROW_TAMPERED'
                 AND table_name = 'second_factors' AND row_id = '{}'",
                ana.id
            );
            (!world.sql(&open).await.is_empty()).then_some(())
        })
        .await;
        world
            .attacks(&format!(
                "DELETE FROM recovery_codes {the}; DELETE FROM second_factors {the};
                 INSERT INTO second_factors SELECT * FROM factors;
                 INSERT INTO recovery_codes SELECT * FROM codes"
            ))
            .await;
    }
    // Nor one that was begun before, and whose row is put back as it was sealed.
    let puts_back = async |table: &str| {
        let back = format!(
            "DELETE FROM second_factors {the}; INSERT INTO second_factors SELECT * FROM {table}"
        );
        world.attacks(&back).await;
    };
    puts_back("begun").await;
    world
        .attacks(&format!("DELETE FROM recovery_codes {the}"))
        .await;
    let [now, ..] = codes(&world, &secret).await;
    confirms(&ana, &now).await.fails_with("CONFLICT");
    puts_back("factors").await;
    world
        .attacks("INSERT INTO recovery_codes SELECT * FROM codes")
        .await;
    logs_in(&world, &ana, Some(&device.recovery_codes[0]))
        .await
        .data();
}
