//! Log-ins: gone on with, stolen, seen, ended; and what they hold open.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Answer, EventStream, Events, Person, Program, World, eventually, id, text};
use tokio::join;

const LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
  logIn(input: $input) {
    accessToken expiresAt refreshToken refreshExpiresAt user { id }
    session { id createdAt lastUsedAt refreshExpiresAt expiresAt ipAddress userAgent isCurrent }
  }
}";
const REFRESH: &str = "mutation Refresh($input: RefreshSessionInput!) {
  refreshSession(input: $input) {
    accessToken expiresAt refreshToken refreshExpiresAt session { id lastUsedAt isCurrent }
  }
}";
const MINE: &str = "query Mine($first: Int, $after: Cursor) {
  mySessions(first: $first, after: $after) {
    nodes { id createdAt lastUsedAt refreshExpiresAt expiresAt ipAddress userAgent isCurrent }
    pageInfo { hasNextPage endCursor }
  }
}";
const ME: &str = "{ me { id } }";

/// How long a revocation may take to bind everywhere.
const A_SECOND: Duration = Duration::from_secs(1);

/// A log-in of one's own: the person with its access token, and its refresh token.
async fn log_in(world: &World, person: &Person) -> (Person, Value) {
    let input = json!({ "login": person.username, "password": person.password });
    let answer = world.nobody().asks(LOG_IN, json!({ "input": input })).await;
    let given = answer.data()["logIn"].clone();
    (with(person, &given), given)
}

/// The same person with the access token that they were given.
fn with(person: &Person, given: &Value) -> Person {
    Person {
        id: given.get("user").map_or_else(|| person.id.clone(), id),
        client: person.client.with_token(&text(&given["accessToken"])),
        ..person.clone()
    }
}

async fn refresh(nobody: &Person, token: &Value) -> Answer {
    let input = json!({ "input": { "refreshToken": token } });
    nobody.asks(REFRESH, input).await
}

async fn refreshed(nobody: &Person, token: &Value) -> Value {
    refresh(nobody, token).await.data()["refreshSession"].clone()
}

async fn is_in(person: &Person) -> bool {
    let answer = person.asks(ME, json!({})).await;
    match answer.code() {
        None => true,
        Some("UNAUTHENTICATED") => false,
        Some(code) => panic!("{code}"),
    }
}

/// Moves the moment at which all refresh tokens were used out of the grace.
async fn grace_passes(world: &World) {
    let past =
        "UPDATE sessions SET used_at = used_at - INTERVAL '11 seconds' WHERE used_at IS NOT NULL";
    assert!(world.executes(past).await > 0);
    world.seals().await;
}

#[tokio::test]
async fn a_log_in_goes_on_by_its_refresh_token_each_of_which_is_good_for_one_use() {
    let world = World::start().await;
    let ana = world.stranger("ana");
    world.registers(&ana).await;
    let nobody = world.nobody();

    let (ana, first) = log_in(&world, &ana).await;
    let second = refreshed(&nobody, &first["refreshToken"]).await;
    let third = refreshed(&nobody, &second["refreshToken"]).await;

    let tokens = [&first, &second, &third].map(|given| text(&given["refreshToken"]));
    assert!(
        tokens.iter().all(|token| token.len() == 43),
        "256 bits in base64url"
    );
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
    for given in [&first, &second, &third] {
        assert!(is_in(&with(&ana, given)).await);
        assert_eq!(given["session"]["id"], first["session"]["id"], "one log-in");
        assert_eq!(given["session"]["isCurrent"], true);
    }
    let rows = world
        .sql(
            "SELECT refresh_token, expires_at - created_at <= INTERVAL '30 days' AS ends,
                    idle_expires_at - created_at = INTERVAL '14 days' AS idles,
                    used_at IS NOT NULL AS used, family_id, parent_id, is_valid
             FROM sessions ORDER BY created_at",
        )
        .await;
    assert_eq!(rows.len(), 3);
    let dump = format!("{rows:?}");
    for (row, token) in rows.iter().zip(&tokens) {
        assert!(!dump.contains(token.as_str()), "no token is stored");
        assert_eq!(
            row["refresh_token"],
            vault::digest::hex_of(token.as_bytes())
        );
        assert_eq!(row["family_id"], first["session"]["id"]);
        assert_eq!((&row["ends"], &row["idles"]), (&json!(true), &json!(true)));
    }
    let used: Vec<_> = rows.iter().map(|row| row["used"].clone()).collect();
    assert_eq!(used, [json!(true), json!(true), json!(false)]);
    let written = world.audit_rows("action_type = 'AUTH_REFRESH'").await;
    assert_eq!(written.len(), 2);
    for row in &written {
        assert_eq!(row["user_id"], ana.id.as_str());
        assert_eq!(row["resource_id"], first["session"]["id"]);
        assert_eq!(row["data_classification"], "SECURITY");
    }
}

#[tokio::test]
async fn a_refresh_token_used_again_later_ends_the_log_in_and_no_other() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let nobody = world.nobody();
    let (thief, stolen) = log_in(&world, &ana).await;
    let honest = refreshed(&nobody, &stolen["refreshToken"]).await;
    grace_passes(&world).await;

    let told = refresh(&nobody, &stolen["refreshToken"]).await;

    told.fails_with("SESSION_ENDED");
    let also = refresh(&nobody, &honest["refreshToken"]).await;
    also.fails_with("SESSION_ENDED");
    assert!(!is_in(&thief).await);
    assert!(!is_in(&with(&ana, &honest)).await);
    assert!(is_in(&ana).await, "her other log-in goes on");
    let rows = world.audit_rows("action_type = 'AUTH_REFRESH_REUSE'").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["user_id"], ana.id.as_str());
    assert_eq!(rows[0]["resource_id"], stolen["session"]["id"]);
    let left = format!(
        "SELECT 1 AS one FROM sessions WHERE is_valid AND family_id = '{}'",
        text(&stolen["session"]["id"])
    );
    assert_eq!(world.sql(&left).await, [Value::Null; 0]);
}

#[tokio::test]
async fn two_refreshes_at_once_by_one_client_are_both_answered_and_go_on() {
    let world = World::start().await;
    let other_api = world.second_api().await;
    let ana = world.patient("ana").await;
    let (nobody, elsewhere) = (world.nobody(), world.nobody().at(&other_api));
    let (_, given) = log_in(&world, &ana).await;
    let token = &given["refreshToken"];

    let (one, other, third) = join!(
        refreshed(&nobody, token),
        refreshed(&elsewhere, token),
        refreshed(&nobody, token),
    );
    let again = refreshed(&elsewhere, token).await;

    for answer in [&other, &third, &again] {
        assert_eq!(answer["refreshToken"], one["refreshToken"], "one successor");
        assert!(is_in(&with(&ana, answer)).await);
    }
    let next = refreshed(&nobody, &again["refreshToken"]).await;
    assert!(is_in(&with(&ana, &next)).await);
    let rows = world.sql("SELECT id FROM sessions WHERE parent_id IS NOT NULL");
    assert_eq!(rows.await.len(), 2, "one child for each token");
    let told = world.audit_rows("new_value -> 'again' = 'true'").await;
    assert_eq!(
        told.len(),
        3,
        "the first of them rotated, the others were told again"
    );
}

#[tokio::test]
async fn whatever_is_wrong_with_a_refresh_token_is_one_error_and_its_reason_is_written_down() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let nobody = world.nobody();
    let given = async || log_in(&world, &ana).await.1;
    let change = async |given: &Value, what: &str| {
        let session = text(&given["session"]["id"]);
        let update = format!("UPDATE sessions SET {what} WHERE family_id = '{session}'");
        assert_eq!(world.executes(&update).await, 1);
        given["refreshToken"].clone()
    };
    let idle = change(&given().await, "idle_expires_at = now()").await;
    let over = change(&given().await, "expires_at = now()").await;
    let revoked = change(&given().await, "is_valid = FALSE").await;
    let table = [
        (json!(""), "UNKNOWN"),
        (json!("A".repeat(43)), "UNKNOWN"),
        (json!("no token"), "UNKNOWN"),
        (json!(ana.client.token()), "UNKNOWN"),
        (idle, "EXPIRED"),
        (over, "EXPIRED"),
        (revoked, "REVOKED"),
    ];

    for (token, _) in &table {
        let answer = refresh(&nobody, token).await;
        let told = answer.fails_with("SESSION_ENDED");
        assert_eq!(told.message, "this log-in is over; log in again");
    }

    let rows = world
        .audit_rows("action_type = 'ACCESS_DENIED' AND new_value ->> 'wanted' = 'AUTH_REFRESH'")
        .await;
    let reasons: Vec<_> = rows
        .iter()
        .map(|row| text(&row["new_value"]["reason"]))
        .collect();
    assert_eq!(reasons, table.map(|(_, reason)| reason));
    assert_eq!(rows[0]["user_id"], "00000000-0000-7000-8000-000000000001");
    assert_eq!(rows[6]["user_id"], ana.id.as_str());
}

#[tokio::test]
async fn people_see_where_they_are_logged_in_and_end_what_they_do_not_know() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (_, phone) = log_in(&world, &ana).await;
    let laptop = refreshed(&world.nobody(), &phone["refreshToken"]).await;
    let (_, foreign) = log_in(&world, &budi).await;

    let mine = ana.asks(MINE, json!({})).await;

    let sessions = mine.data()["mySessions"]["nodes"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0]["id"], phone["session"]["id"], "newest first");
    assert_eq!(sessions[0]["lastUsedAt"], laptop["session"]["lastUsedAt"]);
    assert_eq!(sessions[0]["ipAddress"], "127.0.0.1");
    assert_eq!(sessions[0]["userAgent"], "meditrustal-dev");
    let current: Vec<_> = sessions.iter().map(|it| it["isCurrent"].clone()).collect();
    assert_eq!(current, [json!(false), json!(true)]);
    let first = ana.asks(MINE, json!({ "first": 1 })).await;
    let page = &first.data()["mySessions"]["pageInfo"];
    assert_eq!(page["hasNextPage"], true);
    let rest = ana.asks(MINE, json!({ "after": page["endCursor"] })).await;
    assert_eq!(
        rest.data()["mySessions"]["nodes"][0]["id"],
        sessions[1]["id"]
    );

    let revoke = "mutation R($id: UUID!) { revokeSession(input: { id: $id }) { endedSessions } }";
    let hidden = ana
        .asks(revoke, json!({ "id": foreign["session"]["id"] }))
        .await;
    hidden.fails_with("NOT_FOUND");
    let ended = ana
        .asks(revoke, json!({ "id": phone["session"]["id"] }))
        .await;
    assert_eq!(ended.data()["revokeSession"]["endedSessions"], 1);
    let twice = ana
        .asks(revoke, json!({ "id": phone["session"]["id"] }))
        .await;
    twice.fails_with("NOT_FOUND");
    assert!(!is_in(&with(&ana, &laptop)).await);
    let over = refresh(&world.nobody(), &laptop["refreshToken"]).await;
    over.fails_with("SESSION_ENDED");
    assert!(is_in(&ana).await && is_in(&with(&budi, &foreign)).await);
    let rows = world.audit_rows("action_type = 'AUTH_LOGOUT'").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["resource_id"], phone["session"]["id"]);
    let denied = "action_type = 'ACCESS_DENIED' AND new_value ->> 'wanted' = 'AUTH_LOGOUT'";
    assert_eq!(world.audit_rows(denied).await.len(), 2);
}

#[tokio::test]
async fn logging_out_ends_one_log_in_and_logging_out_everywhere_all_of_them() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (second, _) = log_in(&world, &ana).await;
    let (third, given) = log_in(&world, &ana).await;

    let one = third
        .asks("mutation { logOut { endedSessions } }", json!({}))
        .await;

    assert_eq!(one.data()["logOut"]["endedSessions"], 1);
    assert!(!is_in(&third).await && is_in(&second).await && is_in(&ana).await);
    let over = refresh(&world.nobody(), &given["refreshToken"]).await;
    over.fails_with("SESSION_ENDED");
    let all = "mutation { logOutEverywhere { endedSessions } }";
    let all = second.asks(all, json!({})).await;
    assert_eq!(all.data()["logOutEverywhere"]["endedSessions"], 2);
    assert!(!is_in(&second).await && !is_in(&ana).await);
    let rows = world.audit_rows("action_type = 'AUTH_LOGOUT'").await;
    assert_eq!(rows.len(), 3);
}

/// The close code and the words that a subscription ended with, and how long that took.
async fn closed(mut events: Events, since: Instant) -> (String, Duration) {
    match events.try_next().await {
        Err(error) => (error.to_string(), since.elapsed()),
        Ok(event) => panic!("told {event}"),
    }
}

#[tokio::test]
async fn a_revocation_binds_at_every_api_within_a_second_and_ends_what_is_open() {
    // The machine is its own, because it is said how long it takes.
    let world = World::alone().await;
    let other_api = world.second_api().await;
    let ana = world.patient("ana").await;
    let (stays, _) = log_in(&world, &ana).await;
    let elsewhere = ana.at(&other_api);
    let streams = [
        ana.watches(json!({})).await,
        elsewhere.watches(json!({})).await,
    ];
    let mut undisturbed = stays.at(&other_api).watches(json!({})).await;

    let since = Instant::now();
    ana.asks("mutation { logOut { endedSessions } }", json!({}))
        .await
        .data();
    assert!(!is_in(&elsewhere).await, "the next request is refused");
    let [here, there] = streams.map(|events| closed(events, since));
    let ends = join!(here, there);

    for (told, took) in [ends.0, ends.1] {
        assert!(
            told.contains("4401") && told.contains("session has ended"),
            "{told}"
        );
        assert!(took < A_SECOND + SLACK, "{took:?}");
    }
    let record = stays
        .creates(&ana, "VITAL_SIGNS", tests::documents::vital_signs())
        .await;
    assert_eq!(undisturbed.next().await["recordId"], record["id"]);
}

/// What a busy machine may add to the second: scheduling, and the audit row before it.
const SLACK: Duration = Duration::from_millis(1500);

/// The file of the token keys, which both apis read.
fn keys_of(world: &World) -> std::path::PathBuf {
    world.foundation.dir().join("keys/token-key.pem")
}

async fn jwks(api: &Program) -> Value {
    let reply = api.takes("GET", "/.well-known/jwks.json", &[], "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/jwk-set+json");
    assert!(
        reply
            .header("cache-control")
            .starts_with("public, max-age=")
    );
    reply.json()
}

/// What a stranger finds out about a token by the published keys alone, with Node's own cryptography:
/// `{ header, claims, good }`.
fn read_by(jwks: &Value, token: &Value) -> Value {
    const READ: &str = "
        import { createPublicKey, verify } from 'node:crypto';
        const [keys, token] = process.argv.slice(1);
        const [head, body, signature] = token.split('.');
        const open = (part) => JSON.parse(Buffer.from(part, 'base64url'));
        const header = open(head);
        const key = JSON.parse(keys).keys.find(({ kid }) => kid === header.kid);
        const good = verify(null, Buffer.from(`${head}.${body}`),
            createPublicKey({ key, format: 'jwk' }), Buffer.from(signature, 'base64url'));
        console.log(JSON.stringify({ header, claims: open(body), good }));";
    let output = std::process::Command::new("node")
        .args(["--input-type=module", "--eval", READ, "--"])
        .args([jwks.to_string(), text(token)])
        .output()
        .expect("node starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn a_new_token_key_in_front_logs_nobody_out_and_an_old_one_that_goes_does() {
    let world = World::start().await;
    let other_api = world.second_api().await;
    let ana = world.patient("ana").await;
    let (ana, given) = log_in(&world, &ana).await;
    let add = async |keep: &str| {
        let file = keys_of(&world).display().to_string();
        let (programs, keep) = (world.foundation.programs.clone(), keep.to_owned());
        let command = tokio::task::spawn_blocking(move || {
            let arguments = ["keys", "add-token-key", "--file", &file, "--keep", &keep];
            programs.operate(&arguments, &[], "")
        });
        let said = command.await.expect("a command does not panic");
        said.unwrap_or_else(|error| panic!("{error}"))
    };

    let said = add("1").await;

    assert_eq!(said.lines().count(), 2, "{said}");
    for api in [&world.api, &other_api] {
        eventually("both keys are known", async || {
            let keys = jwks(api).await;
            (keys["keys"].as_array().expect("a list").len() == 2).then_some(())
        })
        .await;
        assert!(is_in(&ana.at(api)).await, "her token is still good");
    }
    let next = refreshed(&world.nobody(), &given["refreshToken"]).await;
    let listed = jwks(&world.api).await;
    for (nth, given) in [(0, &next), (1, &given)] {
        let read = read_by(&listed, &given["accessToken"]);
        assert_eq!(read["good"], true);
        assert_eq!(read["header"]["kid"], listed["keys"][nth]["kid"]);
        assert_eq!(read["header"]["typ"], "at+jwt");
        assert_eq!(read["header"]["alg"], "EdDSA");
        let claims = &read["claims"];
        assert_eq!(claims["sub"], ana.id.as_str());
        assert_eq!(claims["iss"], "meditrustal");
        assert_eq!(claims["aud"], "meditrustal-api");
        let lives = claims["exp"].as_i64().zip(claims["iat"].as_i64());
        assert_eq!(lives.map(|(end, start)| end - start), Some(600));
        assert!(claims["jti"].is_string() && claims["nbf"].is_i64());
    }

    let text = fs::read_to_string(keys_of(&world)).expect("the keys are there");
    let (first, _) = text.split_once("-----END").expect("a block");
    let alone = format!("{first}-----END PRIVATE KEY-----\n");
    fs::write(keys_of(&world), alone).expect("it is written");
    eventually("the old key is gone", async || {
        let keys = jwks(&world.api).await;
        (keys["keys"].as_array().expect("a list").len() == 1).then_some(())
    })
    .await;
    let refused = ana.asks(ME, json!({})).await;
    refused.fails_with("UNAUTHENTICATED");
    assert!(is_in(&with(&ana, &next)).await);
    fs::write(keys_of(&world), "nonsense").expect("it is written");
    eventually("it is told", async || {
        world.api.log().contains("cannot be used").then_some(())
    })
    .await;
    assert!(
        is_in(&with(&ana, &next)).await,
        "the keys stay as they were"
    );
}

const FOLLOW: &str = "subscription { integrityEvents { cursor kind recordId } }";

#[tokio::test]
async fn events_stream_over_http_until_the_log_in_ends_at_another_api() {
    // The machine is its own, because it is said how long it takes.
    let world = World::alone().await;
    let other_api = world.second_api().await;
    let ana = world.patient("ana").await;
    let (stays, _) = log_in(&world, &ana).await;
    let mut events = EventStream::open(&ana, &other_api, FOLLOW).await;
    let mut undisturbed = EventStream::open(&stays, &other_api, FOLLOW).await;
    eventually("both have begun", async || {
        let begun = world
            .audit_rows("new_value ->> 'subscription' IS NOT NULL")
            .await;
        (begun.len() == 2).then_some(())
    })
    .await;

    let record = stays
        .creates(&ana, "VITAL_SIGNS", tests::documents::vital_signs())
        .await;
    let (event, data) = events.next().await.expect("an event");
    assert_eq!(event, "next");
    assert_eq!(data["data"]["integrityEvents"]["recordId"], record["id"]);
    assert!(undisturbed.next().await.is_some());
    // Everything about this record is told before the end is looked for.
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    while events.next().await.expect("an event").1["data"]["integrityEvents"]["kind"]
        != "ANCHOR_CONFIRMED"
    {}

    let since = Instant::now();
    ana.asks("mutation { logOut { endedSessions } }", json!({}))
        .await
        .data();
    let code = events.ends_with().await;

    assert_eq!(code, "SESSION_ENDED");
    assert!(since.elapsed() < A_SECOND + SLACK, "{:?}", since.elapsed());
    world.mine(2).await;
    while undisturbed.next().await.expect("an event").1["data"]["integrityEvents"]["kind"]
        != "ANCHOR_FINALIZED"
    {}
}

#[tokio::test]
async fn an_event_stream_obeys_the_same_query_limits_and_carries_single_answers_too() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let deep = format!("{{ {} x {} }}", "a { ".repeat(20), "} ".repeat(20));

    let mut one = EventStream::open(&ana, &world.api, ME).await;
    let mut refused = EventStream::open(&ana, &world.api, &deep).await;
    let mut nobody = EventStream::open(&world.nobody(), &world.api, FOLLOW).await;

    let (event, data) = one.next().await.expect("an answer");
    assert_eq!(
        (event.as_str(), &data["data"]["me"]["id"]),
        ("next", &json!(ana.id))
    );
    assert_eq!(one.next().await.expect("an end").0, "complete");
    assert_eq!(one.next().await, None);
    assert_eq!(refused.ends_with().await, "TOO_COMPLEX");
    assert_eq!(nobody.ends_with().await, "UNAUTHENTICATED");
    let table = [
        (
            "GET",
            "/graphql?query=%7Bme%7Bid%7D%7D",
            "",
            200,
            "event: next",
        ),
        (
            "GET",
            "/graphql?query=mutation%7BlogOut%7BendedSessions%7D%7D",
            "",
            200,
            "WRONG_METHOD",
        ),
        ("POST", "/graphql", "no JSON", 400, "BAD_REQUEST"),
    ];
    let token = format!("Bearer {}", ana.client.token().expect("logged in"));
    for (method, path, body, status, holds) in table {
        let headers = [
            ("accept", "text/event-stream"),
            ("content-type", "application/json"),
            ("authorization", &token),
        ];
        let reply = world.api.takes(method, path, &headers, body).await;
        assert_eq!(reply.status, status, "{path}");
        assert!(reply.body.contains(holds), "{}", reply.body);
    }
    let forged = [
        ("accept", "text/event-stream"),
        ("authorization", "Bearer x"),
    ];
    let reply = world
        .api
        .posts(&forged, r#"{"query":"{ me { id } }"}"#)
        .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, "UNAUTHENTICATED")
    );
}

/// An access token of this log-in that is good for a few seconds only: issued as if nearly ten minutes ago.
async fn nearly_over(world: &World, person: &Person, given: &Value) -> Person {
    let key = fs::read_to_string(keys_of(world)).expect("the keys are there");
    let keys = vault::token::TokenKeys::parse(&key).expect("they are keys");
    let then = world
        .sql("SELECT now() - INTERVAL '10 minutes' + INTERVAL '4 seconds' AS then")
        .await;
    let time = serde_json::from_value(then[0]["then"].clone()).expect("a time");
    let user = serde_json::from_value(json!(person.id)).expect("an id");
    let session = serde_json::from_value(given["session"]["id"].clone()).expect("an id");
    let token = keys.issue(user, session, time).0;
    with(person, &json!({ "accessToken": token }))
}

#[tokio::test]
async fn a_client_whose_token_ends_comes_back_with_a_new_one_and_misses_nothing() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (ana, given) = log_in(&world, &ana).await;
    let mut everything = ana.watches(json!({})).await;
    let short = nearly_over(&world, &ana, &given).await;
    let mut watched = short.watches(json!({})).await;
    let mut streamed = EventStream::open(&short, &world.api, FOLLOW).await;
    let record = async || {
        let record = ana
            .creates(&ana, "VITAL_SIGNS", tests::documents::vital_signs())
            .await;
        world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    };

    record().await;
    let mut seen = Vec::new();
    let closed = loop {
        match watched.try_next().await {
            Ok(event) => seen.push(event["cursor"].clone()),
            Err(error) => break error.to_string(),
        }
    };
    assert!(
        closed.contains("4403") && closed.contains("expired"),
        "{closed}"
    );
    let mut told = streamed.next().await.expect("an event");
    while told.1.get("errors").is_none() {
        told = streamed.next().await.expect("an event");
    }
    assert_eq!(told.1["errors"][0]["extensions"]["code"], "TOKEN_EXPIRED");
    record().await; // While nobody listens.
    let next = refreshed(&world.nobody(), &given["refreshToken"]).await;
    let last = seen.last().expect("something was told").clone();
    let mut again = with(&ana, &next).watches(json!({ "after": last })).await;
    record().await;
    world.mine(2).await;

    let mut all = Vec::new();
    let mut finalized = 0;
    while finalized < 3 {
        let event = everything.next().await;
        finalized += i32::from(event["kind"] == "ANCHOR_FINALIZED");
        all.push(event["cursor"].clone());
    }
    while seen.len() < all.len() {
        seen.push(again.next().await["cursor"].clone());
    }
    assert_eq!(seen, all, "each once, in order");
}
