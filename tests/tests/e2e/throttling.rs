//! Whoever guesses has to wait; nobody else does. Addresses are what a trusted proxy says.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Person, Program, Reply, World, eventually};

const LOG_IN: &str =
    "mutation L($input: LogInInput!) { logIn(input: $input) { user { username } } }";
const REGISTER: &str =
    "mutation R($input: RegisterInput!) { register(input: $input) { user { username } } }";

/// Argon2id of `ana tells nobody` by 8 MiB and one pass, as an older release might have made it.
const OLD_HASH: &str = "$argon2id$v=19$m=8192,t=1,p=1$cG1wtThbZObYadBbKP4beQ$sryztzDLhuMKc5WQuCLU0g0l8EIpB6AfepSXNv7uFFc";

/// A world whose api believes the tests about their address, with these limits.
async fn world(limits: &[(&str, &str)]) -> World {
    let trusted = [("MEDITRUSTAL_TRUSTED_PROXIES", "127.0.0.1")];
    let settings = trusted.iter().chain(limits);
    let settings: Vec<_> = settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    World::with(|options| options.api.extend(settings)).await
}

async fn asks(api: &Program, from: &str, query: &str, input: Value) -> Reply {
    let body = json!({ "query": query, "variables": { "input": input } });
    api.posts(&[("x-forwarded-for", from)], &body.to_string())
        .await
}

async fn log_in(api: &Program, from: &str, login: &str, password: &str) -> Reply {
    let input = json!({ "login": login, "password": password });
    asks(api, from, LOG_IN, input).await
}

/// The code of an attempt that fails; empty where it succeeds.
async fn guess(api: &Program, from: &str, login: &str) -> String {
    log_in(api, from, login, "a guess").await.code()
}

async fn enters(api: &Program, from: &str, person: &Person) -> bool {
    let reply = log_in(api, from, &person.username, &person.password).await;
    reply.code().is_empty()
}

#[tokio::test]
async fn who_guesses_must_wait_is_told_how_long_and_then_may_go_on() {
    let world = world(&[
        ("MEDITRUSTAL_GUESSES", "3"),
        ("MEDITRUSTAL_FIRST_WAIT", "8"),
    ])
    .await;
    let ana = world.patient("ana").await;
    let here = "198.51.100.1";

    for _ in 0..3 {
        assert_eq!(guess(&world.api, here, "ana").await, "WRONG_CREDENTIALS");
    }
    for login in ["ana", " ANA "] {
        let reply = log_in(&world.api, here, login, &ana.password).await;

        assert_eq!(reply.code(), "THROTTLED", "even with the right password");
        assert_eq!(reply.limit(), "ATTEMPTS");
        let told = &reply.json()["errors"][0]["extensions"]["retryAfterSeconds"];
        assert_eq!(told.to_string(), reply.header("retry-after"));
        assert!((1..=8).contains(&told.as_u64().expect("seconds")), "{told}");
    }
    let locked = world.audit_rows("action_type = 'AUTH_LOCKED'").await;
    assert_eq!(locked.len(), 1, "written down once for each wait");
    assert_eq!(locked[0]["ip_address"], here);
    assert_eq!(locked[0]["data_classification"], "SECURITY");
    assert_eq!(locked[0]["new_value"]["failures"], 3);
    let failed = world.audit_rows("action_type = 'AUTH_LOGIN_FAILED'").await;
    assert_eq!(failed.len(), 3, "what was refused was not tried");
    let digest = |row: &Value| row["new_value"]["loginDigest"].clone();
    assert_eq!(digest(&locked[0]), digest(&failed[0]));

    eventually("the wait is over", async || {
        enters(&world.api, here, &ana).await.then_some(())
    })
    .await;
    for _ in 0..3 {
        let code = guess(&world.api, here, "ana").await;
        assert_eq!(code, "WRONG_CREDENTIALS", "what was before is forgotten");
    }
    assert_eq!(guess(&world.api, here, "ana").await, "THROTTLED");
}

#[tokio::test]
async fn a_stranger_keeps_the_owner_out_neither_at_home_nor_anywhere_else() {
    let world = world(&[
        ("MEDITRUSTAL_GUESSES", "3"),
        ("MEDITRUSTAL_FIRST_WAIT", "600"),
        ("MEDITRUSTAL_ACCOUNT_FAILURES", "5"),
        ("MEDITRUSTAL_ACCOUNT_FAILURES_A_MINUTE", "1"),
    ])
    .await;
    let ana = world.patient("ana").await;
    let home = "198.51.100.1";
    assert!(enters(&world.api, home, &ana).await);

    let mut told = Vec::new();
    for host in 1..=6 {
        let from = format!("203.0.113.{host}");
        for _ in 0..3 {
            told.push(guess(&world.api, &from, "ana").await);
        }
    }

    let wrong = told.iter().filter(|code| *code == "WRONG_CREDENTIALS");
    // After five the name is under pressure: nobody who has not begun has more than one.
    assert_eq!(wrong.count(), 3 + 3 + 4, "{told:?}");
    assert!(enters(&world.api, home, &ana).await, "where she was before");
    assert!(
        enters(&world.api, "192.0.2.77", &ana).await,
        "where she never was"
    );
    let by_mail = log_in(&world.api, home, &ana.email, &ana.password).await;
    assert_eq!(by_mail.code(), "", "under her other name");
    assert_eq!(guess(&world.api, home, "ana").await, "WRONG_CREDENTIALS");
    assert!(enters(&world.api, home, &ana).await, "after a slip");
}

#[tokio::test]
async fn an_unknown_name_is_counted_like_a_known_one() {
    let world = world(&[
        ("MEDITRUSTAL_GUESSES", "2"),
        ("MEDITRUSTAL_FIRST_WAIT", "600"),
    ])
    .await;
    world.patient("ana").await;

    let mut told = Vec::new();
    for (login, from) in [("ana", "198.51.100.1"), ("nobody", "198.51.100.2")] {
        let mut of_one = Vec::new();
        for _ in 0..4 {
            let reply = log_in(&world.api, from, login, "a guess").await;
            let error = &reply.json()["errors"][0];
            of_one.push((
                reply.code(),
                error["path"].clone(),
                error["locations"].clone(),
            ));
        }
        told.push(of_one);
    }

    assert_eq!(told[0], told[1]);
    assert_eq!(told[0][1].0, "WRONG_CREDENTIALS");
    assert_eq!(told[0][2].0, "THROTTLED");
}

#[tokio::test]
async fn who_tries_many_names_from_one_address_must_wait_and_their_neighbours_need_not() {
    let world = world(&[
        ("MEDITRUSTAL_ADDRESS_FAILURES", "4"),
        ("MEDITRUSTAL_ADDRESS_FAILURES_A_MINUTE", "1"),
    ])
    .await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let ward = "2001:db8:1:2::7";
    assert!(enters(&world.api, ward, &ana).await);
    assert!(enters(&world.api, ward, &eve).await);

    for nth in 0..4 {
        // Another address of the same network each time; and logging in oneself gives nothing back.
        let from = format!("2001:db8:1:2::{nth}");
        let code = guess(&world.api, &from, &format!("name-{nth}")).await;
        assert_eq!(code, "WRONG_CREDENTIALS");
        assert!(enters(&world.api, ward, &eve).await);
    }

    assert_eq!(guess(&world.api, ward, "name-4").await, "THROTTLED");
    assert_eq!(
        guess(&world.api, "2001:db8:1:3::7", "name-4").await,
        "WRONG_CREDENTIALS"
    );
    assert!(enters(&world.api, ward, &ana).await, "she was here before");
    let locked = world.audit_rows("action_type = 'AUTH_LOCKED'").await;
    assert_eq!(locked, [json!(null); 0], "no name had to wait");
}

#[tokio::test]
async fn attempts_in_one_document_and_at_once_count_one_by_one() {
    let world = world(&[
        ("MEDITRUSTAL_GUESSES", "3"),
        ("MEDITRUSTAL_FIRST_WAIT", "600"),
    ])
    .await;
    world.patient("ana").await;
    let attempt = r#"logIn(input: { login: "ana", password: "a guess" }) { accessToken }"#;
    let aliases: Vec<_> = (0..8).map(|nth| format!("a{nth}: {attempt}")).collect();
    let query = format!("mutation {{ {} }}", aliases.join(" "));

    let body = json!({ "query": query }).to_string();
    let one = world
        .api
        .posts(&[("x-forwarded-for", "198.51.100.1")], &body)
        .await;
    let at_once = (0..8).map(|_| guess(&world.api, "198.51.100.2", "ana"));
    let at_once = futures::future::join_all(at_once).await;

    // An error ends a mutation whose fields may not be null; what ran was counted.
    assert!(!one.code().is_empty(), "{}", one.body);
    let wrong = at_once.iter().filter(|code| *code == "WRONG_CREDENTIALS");
    assert_eq!(wrong.count(), 3, "{at_once:?}");
    let failed = world
        .audit_rows("action_type = 'AUTH_LOGIN_FAILED' AND ip_address = '198.51.100.1'")
        .await;
    assert!(failed.len() <= 3, "{failed:?}");
}

#[tokio::test]
async fn counters_are_one_for_all_apis_and_outlive_them() {
    let limits = [
        ("MEDITRUSTAL_GUESSES", "3"),
        ("MEDITRUSTAL_FIRST_WAIT", "600"),
    ];
    let mut world = world(&limits).await;
    let ana = world.patient("ana").await;
    let second = world.second_api().await;
    let here = "198.51.100.1";

    for api in [&world.api, &second, &world.api] {
        assert_eq!(guess(api, here, "ana").await, "WRONG_CREDENTIALS");
    }

    for api in [&world.api, &second] {
        assert_eq!(guess(api, here, "ana").await, "THROTTLED");
    }
    world.api.kill().await;
    world.api.restart().await;
    assert!(
        !enters(&world.api, here, &ana).await,
        "a restart forgets nothing"
    );
    assert!(enters(&world.api, "198.51.100.2", &ana).await);
}

#[tokio::test]
async fn an_address_makes_only_so_many_accounts() {
    let world = world(&[
        ("MEDITRUSTAL_REGISTRATIONS", "2"),
        ("MEDITRUSTAL_REGISTRATIONS_A_MINUTE", "1"),
    ])
    .await;
    let make = async |name: &str, from: &str| {
        let input = json!({
            "email": format!("{name}@x.example"), "username": name, "password": "letters that nobody guesses",
        });
        asks(&world.api, from, REGISTER, input).await
    };

    assert_eq!(make("ana", "198.51.100.1").await.code(), "");
    assert_eq!(make("ana", "198.51.100.1").await.code(), "CONFLICT");
    let refused = make("bea", "198.51.100.1").await;

    assert_eq!(refused.code(), "THROTTLED");
    assert!(
        (1..=60).contains(
            &refused
                .header("retry-after")
                .parse::<u32>()
                .expect("seconds")
        )
    );
    assert_eq!(make("bea", "198.51.100.2").await.code(), "");
}

#[tokio::test]
async fn counters_that_say_nothing_any_more_are_removed() {
    let world = world(&[("MEDITRUSTAL_HOUSEKEEPING", "1")]).await;
    world
        .executes(
            "INSERT INTO throttle_counters (scope, subject, due_at, proven_at, updated_at) VALUES
             ('PAIR', 'old', now() - INTERVAL '2 days', NULL, now() - INTERVAL '2 days'),
             ('PAIR', 'lately', now(), NULL, now()),
             ('PAIR', 'waiting', now() + INTERVAL '1 day', NULL, now() - INTERVAL '2 days'),
             ('PAIR', 'familiar', now(), now() - INTERVAL '80 days', now() - INTERVAL '80 days'),
             ('PAIR', 'estranged', now(), now() - INTERVAL '91 days', now() - INTERVAL '91 days')",
        )
        .await;

    let left = "SELECT subject FROM throttle_counters WHERE length(subject) < 64 ORDER BY subject";
    eventually("the old ones are gone", async || {
        let left = world.sql(left).await;
        let left: Vec<_> = left
            .iter()
            .filter_map(|row| row["subject"].as_str())
            .collect();
        (left == ["familiar", "lately", "waiting"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed_about_an_address() {
    let world = world(&[]).await;
    let direct = world
        .another_api("direct", &[("MEDITRUSTAL_TRUSTED_PROXIES", "10.0.0.0/8")])
        .await;
    let standard = world
        .another_api("standard", &[("MEDITRUSTAL_PROXY_HEADER", "forwarded")])
        .await;
    let ana = world.patient("ana").await;
    let last = async || {
        let rows = world.audit_rows("action_type LIKE 'AUTH_LOGIN%'").await;
        let session =
            world.sql("SELECT ip_address FROM sessions ORDER BY created_at DESC, id DESC LIMIT 1");
        let session = session.await[0]["ip_address"].clone();
        let row = rows.last().expect("it was written down")["ip_address"].clone();
        assert_eq!(row, session);
        row
    };

    let forwarded = "127.0.0.9, 203.0.113.5, 127.0.0.1";
    for (api, wanted) in [
        (&world.api, "203.0.113.5"),
        (&direct, "127.0.0.1"),
        (&standard, "127.0.0.1"),
    ] {
        assert!(enters(api, forwarded, &ana).await);
        assert_eq!(last().await, wanted);
    }
    let body = json!({
        "query": LOG_IN,
        "variables": { "input": { "login": "ana", "password": ana.password } },
    });
    let headers = [
        ("forwarded", "for=203.0.113.6;proto=https"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    let reply = standard.posts(&headers, &body.to_string()).await;
    assert_eq!(reply.code(), "");
    assert_eq!(last().await, "203.0.113.6");
}

#[tokio::test]
async fn an_old_hash_still_opens_and_is_renewed_by_it() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let set = format!("UPDATE users SET hashed_password = '{OLD_HASH}' WHERE username = 'ana'");
    world.executes(&set).await;
    world.seals().await;
    let hash = async || {
        let row = "SELECT hashed_password AS it FROM users WHERE username = 'ana'";
        world.sql(row).await[0]["it"]
            .as_str()
            .expect("text")
            .to_owned()
    };

    assert_eq!(guess(&world.api, "", "ana").await, "WRONG_CREDENTIALS");
    assert_eq!(
        hash().await,
        OLD_HASH,
        "who does not know it changes nothing"
    );
    world.logs_in(&ana).await;

    let renewed = hash().await;
    assert!(
        renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{renewed}"
    );
    let rows = world.audit_rows("action_type = 'USER_UPDATE'").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["user_id"], ana.id.as_str());
    assert_eq!(rows[0]["resource_id"], ana.id.as_str());
    assert_eq!(
        rows[0]["old_value"],
        json!({ "passwordHashedBy": "argon2id m=8192,t=1,p=1" })
    );
    assert_eq!(
        rows[0]["new_value"],
        json!({ "passwordHashedBy": "argon2id m=19456,t=2,p=1" })
    );
    world.logs_in(&ana).await;
    assert_eq!(hash().await, renewed, "and once is enough");
}

#[tokio::test]
async fn an_unknown_account_an_old_one_and_a_wrong_password_take_the_same_time() {
    let world = World::alone().await;
    world.patient("ana").await;
    world.patient("old").await;
    let set = format!("UPDATE users SET hashed_password = '{OLD_HASH}' WHERE username = 'old'");
    world.executes(&set).await;
    world.seals().await;
    let names = ["ana", "old", "nobody"];
    let mut told = BTreeSet::new();
    let mut rounds = Vec::new();

    // Whatever else the machine does makes one of them longer now and then, and not six times.
    while rounds.len() < 6 && rounds.last().is_none_or(|medians| !is_even(medians)) {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..25 {
            for (name, times) in names.iter().zip(&mut times) {
                let begun = Instant::now();
                let reply = log_in(&world.api, "", name, "not the password").await;
                times.push(begun.elapsed());
                let message = &reply.json()["errors"][0]["message"];
                told.insert((reply.code(), message.to_string()));
            }
        }
        rounds.push(times.map(|mut times: Vec<Duration>| {
            times.sort();
            times[times.len() / 2]
        }));
    }

    assert_eq!(told.len(), 1, "{told:?}");
    let is_one_even = rounds.iter().any(is_even);
    assert!(is_one_even, "{names:?} take {rounds:?}");
}

/// Whether the longest is at most a quarter longer: by far less than what a hash takes, which is most
/// of the time.
fn is_even(medians: &[Duration; 3]) -> bool {
    let (least, most) = (medians.iter().min(), medians.iter().max());
    least
        .zip(most)
        .is_some_and(|(least, most)| *most < *least * 5 / 4)
}
