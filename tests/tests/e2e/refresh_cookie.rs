//! The refresh token as a cookie of a browser: given, exchanged, kept from foreign pages, taken away.

use std::fs;

use serde_json::{Value, json};
use tests::{Person, Program, Reply, World, eventually, text};

const LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
  logIn(input: $input) { accessToken refreshToken refreshExpiresAt session { id } }
}";
const BY_WALLET: &str = "mutation LogInWithWallet($input: LogInWithWalletInput!) {
  logInWithWallet(input: $input) { accessToken refreshToken session { id } }
}";
const REFRESH: &str = "mutation Refresh($input: RefreshSessionInput!) {
  refreshSession(input: $input) { accessToken refreshToken session { id } }
}";
const LOG_OUT: &str = "mutation { logOut { endedSessions } }";
const ME: &str = "{ me { id } }";
const NAME: &str = "__Host-meditrustal_refresh=";
const FOREIGN: &str = "https://evil.example.org";
/// How long a refresh token lives. Unit: seconds.
const A_FORTNIGHT: u64 = 14 * 24 * 3600;

async fn posts(api: &Program, headers: &[(&str, &str)], query: &str, input: &Value) -> Reply {
    let body = json!({ "query": query, "variables": { "input": input } });
    api.posts(headers, &body.to_string()).await
}

/// A page that keeps the rules, and the cookie that its browser has.
struct Page<'a> {
    api: &'a Program,
    origin: String,
    cookie: Option<String>,
}

impl<'a> Page<'a> {
    fn of(api: &'a Program) -> Self {
        Self {
            api,
            origin: api.url(),
            cookie: None,
        }
    }

    async fn asks(&mut self, query: &str, input: Value, more: &[(&str, &str)]) -> Reply {
        let (origin, cookie) = (self.origin.clone(), self.cookie.clone());
        let mut headers = vec![("origin", origin.as_str()), ("x-meditrustal-csrf", "1")];
        headers.extend(cookie.as_deref().map(|cookie| ("cookie", cookie)));
        headers.extend_from_slice(more);
        let reply = posts(self.api, &headers, query, &input).await;
        let set = reply.header("set-cookie");
        if !set.is_empty() {
            let (pair, rest) = set.split_once("; ").expect("a cookie has attributes");
            assert!(pair.starts_with(NAME), "{set}");
            assert!(
                set.ends_with("; HttpOnly; Secure; SameSite=Strict"),
                "{set}"
            );
            assert!(rest.starts_with("Path=/; Max-Age="), "{set}");
            self.cookie = (max_age(set) > 0).then(|| pair.to_owned());
        }
        reply
    }

    async fn logs_in(&mut self, person: &Person) -> Value {
        let input = json!({
            "login": person.username, "password": person.password, "refreshBy": "COOKIE",
        });
        let reply = self.asks(LOG_IN, input, &[]).await;
        given(&reply, "logIn")
    }

    async fn refreshes(&mut self, more: &[(&str, &str)]) -> Reply {
        self.asks(REFRESH, json!({}), more).await
    }
}

fn max_age(set: &str) -> u64 {
    let (_, rest) = set.split_once("Max-Age=").expect("it has an end");
    let (seconds, _) = rest.split_once(';').expect("and more");
    seconds.parse().expect("a number")
}

/// What a log-in or an exchange by cookie gave, which holds no refresh token.
#[track_caller]
fn given(reply: &Reply, field: &str) -> Value {
    let answer = reply.json();
    assert_eq!(answer.get("errors"), None, "{answer}");
    let given = answer["data"][field].clone();
    assert_eq!(given["refreshToken"], Value::Null);
    let set = reply.header("set-cookie");
    let left = max_age(set);
    assert!(left <= A_FORTNIGHT && left > A_FORTNIGHT - 600, "{set}");
    let (_, token) = set.split_once('=').expect("a value");
    let (token, _) = token.split_once(';').expect("and more");
    assert_eq!(token.len(), 43, "256 bits in base64url");
    assert!(!reply.body.contains(token), "no script is told it");
    assert_eq!(reply.header("cache-control"), "no-store");
    given
}

async fn is_in(api: &Program, given: &Value) -> bool {
    let bearer = format!("Bearer {}", text(&given["accessToken"]));
    let headers = [("authorization", bearer.as_str())];
    let code = posts(api, &headers, ME, &Value::Null).await.code();
    assert!(code.is_empty() || code == "UNAUTHENTICATED", "{code}");
    code.is_empty()
}

/// Moves the moment at which all refresh tokens were used out of the grace.
async fn grace_passes(world: &World) {
    let past =
        "UPDATE sessions SET used_at = used_at - INTERVAL '11 seconds' WHERE used_at IS NOT NULL";
    assert!(world.executes(past).await > 0);
    world.seals().await;
}

#[tokio::test]
async fn a_browser_goes_on_by_its_cookie_and_an_old_one_ends_the_log_in() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut page = Page::of(&world.api);
    let first = page.logs_in(&ana).await;
    let old = page.cookie.clone();

    for _ in 0..3 {
        let before = page.cookie.clone();
        let next = given(&page.refreshes(&[]).await, "refreshSession");
        assert_ne!(page.cookie, before, "each is good for one use");
        assert_eq!(next["session"]["id"], first["session"]["id"], "one log-in");
        assert!(is_in(&world.api, &next).await);
    }
    let good = page.cookie.clone();
    grace_passes(&world).await;
    page.cookie = old;
    let stolen = page.refreshes(&[]).await;

    assert_eq!(stolen.code(), "SESSION_ENDED");
    assert_eq!(page.cookie, None, "the browser is told to forget it");
    assert!(!is_in(&world.api, &first).await);
    page.cookie = good;
    assert_eq!(page.refreshes(&[]).await.code(), "SESSION_ENDED");
    let reused = world.audit_rows("action_type = 'AUTH_REFRESH_REUSE'").await;
    assert_eq!(reused.len(), 1);
    assert_eq!(reused[0]["resource_id"], first["session"]["id"]);
    let denied = "action_type = 'ACCESS_DENIED' AND new_value ->> 'wanted' = 'AUTH_REFRESH'";
    let before = world.audit_rows(denied).await.len();
    assert_eq!(page.refreshes(&[]).await.code(), "SESSION_ENDED");
    assert_eq!(
        world.audit_rows(denied).await.len(),
        before,
        "who shows no cookie has not guessed"
    );
}

#[tokio::test]
async fn a_foreign_page_uses_no_cookie_and_nothing_is_used_up() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut page = Page::of(&world.api);
    page.logs_in(&ana).await;
    let cookie = page.cookie.clone().expect("a cookie");
    let own = world.api.url();
    let log_ins = async || world.audit_rows("action_type = 'AUTH_LOGIN'").await.len();
    let before = log_ins().await;
    let marked = ("x-meditrustal-csrf", "1");

    for headers in [
        vec![("origin", own.as_str())],
        vec![("origin", own.as_str()), ("sec-fetch-site", "same-origin")],
        vec![
            ("x-requested-with", "XMLHttpRequest"),
            ("origin", own.as_str()),
        ],
        vec![marked],
        vec![marked, ("origin", FOREIGN)],
        vec![marked, ("origin", "null")],
        vec![marked, ("origin", FOREIGN), ("sec-fetch-site", "same-site")],
        vec![
            marked,
            ("origin", own.as_str()),
            ("sec-fetch-site", "cross-site"),
        ],
    ] {
        let shown = [&headers[..], &[("cookie", cookie.as_str())]].concat();
        let refused = posts(&world.api, &shown, REFRESH, &json!({})).await;
        assert_eq!(refused.code(), "FORBIDDEN", "{headers:?}");
        assert_eq!(refused.header("set-cookie"), "", "{headers:?}");
        let input = json!({
            "login": ana.username, "password": ana.password, "refreshBy": "COOKIE",
        });
        let refused = posts(&world.api, &headers, LOG_IN, &input).await;
        assert_eq!(refused.code(), "FORBIDDEN", "{headers:?}");
        assert_eq!(refused.header("set-cookie"), "", "{headers:?}");
    }

    assert_eq!(log_ins().await, before, "nobody was logged in");
    let used = "SELECT id FROM sessions WHERE used_at IS NOT NULL";
    assert_eq!(world.sql(used).await, [Value::Null; 0]);
    let reply = page.asks(ME, Value::Null, &[]).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED", "nobody is in by a cookie");
    given(&page.refreshes(&[]).await, "refreshSession");
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_named_may_use_the_cookie_and_no_stream_carries_it() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let origins = [("MEDITRUSTAL_ALLOWED_ORIGINS", "https://app.example.org")];
    let api = world.another_api("named", &origins).await;
    let mut page = Page::of(&api);
    page.origin = "https://app.example.org".to_owned();
    page.logs_in(&ana).await;

    let near = page.refreshes(&[("sec-fetch-site", "same-site")]).await;

    given(&near, "refreshSession");
    assert_eq!(near.header("access-control-allow-origin"), page.origin);
    assert_eq!(near.header("access-control-allow-credentials"), "true");
    for (origin, path) in [(FOREIGN, "/graphql"), (page.origin.as_str(), "/export")] {
        let reply = api.takes("OPTIONS", path, &[("origin", origin)], "").await;
        let allowed = reply.header("access-control-allow-credentials");
        assert_eq!(allowed, "", "{origin} {path}");
    }
    let input = json!({
        "login": ana.username, "password": ana.password, "refreshBy": "COOKIE",
    });
    let stream = [("accept", "text/event-stream")];
    for (query, input) in [(LOG_IN, input), (REFRESH, json!({}))] {
        let reply = page.asks(query, input, &stream).await;
        assert!(reply.body.contains("BAD_USER_INPUT"), "{}", reply.body);
        assert_eq!(reply.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn a_wallet_logs_a_browser_in_by_cookie_too() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let account = world.account(0).await;
    let message = ana.challenge("LINK", &account).await;
    let signature = world.signs(&account, &message).await;
    ana.links(&message, &signature).await.data();
    let message = world.nobody().challenge("LOG_IN", &account).await;
    let signature = world.signs(&account, &message).await;
    let input = json!({ "message": message, "signature": signature, "refreshBy": "COOKIE" });
    let mut page = Page::of(&world.api);

    let refused = posts(&world.api, &[], BY_WALLET, &input).await;
    let reply = page.asks(BY_WALLET, input, &[]).await;

    assert_eq!(refused.code(), "FORBIDDEN", "the message is not used up");
    given(&reply, "logInWithWallet");
    given(&page.refreshes(&[]).await, "refreshSession");
}

#[tokio::test]
async fn logging_out_takes_the_cookie_away_and_other_log_ins_keep_their_tokens() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut page = Page::of(&world.api);
    let access = page.logs_in(&ana).await;
    let bearer = format!("Bearer {}", text(&access["accessToken"]));
    let before = page.cookie.clone();

    let reply = page
        .asks(LOG_OUT, Value::Null, &[("authorization", bearer.as_str())])
        .await;

    assert_eq!(reply.json()["data"]["logOut"]["endedSessions"], 1);
    assert!(before.is_some() && page.cookie.is_none());
    page.cookie = before;
    assert_eq!(page.refreshes(&[]).await.code(), "SESSION_ENDED");
    assert_eq!(page.cookie, None);
    let bearer = ana.bearer();
    let reply = page
        .asks(LOG_OUT, Value::Null, &[("authorization", bearer.as_str())])
        .await;
    assert_eq!(reply.json()["data"]["logOut"]["endedSessions"], 1);
    assert_eq!(reply.header("set-cookie"), "", "there was none");
}

#[tokio::test]
async fn a_token_that_has_expired_may_be_sent_with_what_only_refreshes() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut page = Page::of(&world.api);
    let access = page.logs_in(&ana).await;
    let bearer = expired(&world, &ana, &access).await;
    let old = ("authorization", bearer.as_str());
    let input = json!({ "login": ana.username, "password": ana.password });
    let reply = posts(&world.api, &[], LOG_IN, &input).await;
    assert_eq!(reply.header("set-cookie"), "", "nobody asked for it");
    let token = reply.json()["data"]["logIn"]["refreshToken"].clone();

    let by_cookie = page.refreshes(&[old]).await;
    let input = json!({ "refreshToken": token });
    let by_token = posts(&world.api, &[old], REFRESH, &input).await;

    given(&by_cookie, "refreshSession");
    let next = &by_token.json()["data"]["refreshSession"];
    assert!(next["refreshToken"].is_string(), "{next}");
    assert_eq!(by_token.header("set-cookie"), "");
    let both = "mutation Both($input: RefreshSessionInput!) {
      refreshSession(input: $input) { accessToken } logOut { endedSessions }
    }";
    let forged = [("authorization", "Bearer x")];
    for (query, headers, code) in [
        (ME, [old], "TOKEN_EXPIRED"),
        (LOG_OUT, [old], "TOKEN_EXPIRED"),
        (both, [old], "TOKEN_EXPIRED"),
        (REFRESH, forged, "UNAUTHENTICATED"),
    ] {
        let refused = page.asks(query, json!({}), &headers).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, code));
    }
    given(&page.refreshes(&[]).await, "refreshSession");
}

#[tokio::test]
async fn a_written_token_that_is_no_good_is_paid_by_the_network_and_not_by_the_account_of_the_cookie()
 {
    let settings = [
        ("MEDITRUSTAL_COST_A_MINUTE", "2000"),
        // Else it would be the failures that make it wait.
        ("MEDITRUSTAL_ADDRESS_FAILURES", "100000"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let world = World::with(|options| options.api.extend(settings)).await;
    let ana = world.patient("ana").await;
    let mut page = Page::of(&world.api);
    page.logs_in(&ana).await;
    let (own, cookie) = (world.api.url(), page.cookie.clone().expect("a cookie"));
    let uses_up = async || {
        for _ in 0..2000 {
            let answer = world.nobody().asks("{ __typename }", json!({})).await;
            if answer.code() == Some("THROTTLED") {
                return;
            }
        }
        panic!("nobody is charged");
    };
    let shows = async |token: &str| {
        let headers = [
            ("origin", own.as_str()),
            ("x-meditrustal-csrf", "1"),
            ("cookie", cookie.as_str()),
        ];
        let input = json!({ "refreshToken": token });
        posts(&world.api, &headers, REFRESH, &input).await.code()
    };

    // A text that is no token, and a token that nobody was given.
    for wrong in ["not one of ours".to_owned(), "A".repeat(43)] {
        // On a busy machine the network has a little again by the time that it asks.
        eventually("the network pays", async || {
            uses_up().await;
            let code = shows(&wrong).await;
            assert!(
                ["THROTTLED", "SESSION_ENDED"].contains(&code.as_str()),
                "{code}"
            );
            (code == "THROTTLED").then_some(())
        })
        .await;
    }
    uses_up().await;
    given(&page.refreshes(&[]).await, "refreshSession");
}

/// A bearer of this log-in that was good until lately.
async fn expired(world: &World, person: &Person, given: &Value) -> String {
    let file = world.foundation.dir().join("keys/token-key.pem");
    let key = fs::read_to_string(file).expect("the keys are there");
    let keys = vault::token::TokenKeys::parse(&key).expect("they are keys");
    let then = world
        .sql("SELECT now() - INTERVAL '15 minutes' AS then")
        .await;
    let time = serde_json::from_value(then[0]["then"].clone()).expect("a time");
    let user = serde_json::from_value(json!(person.id)).expect("an id");
    let session = serde_json::from_value(given["session"]["id"].clone()).expect("an id");
    format!("Bearer {}", keys.issue(user, session, time).0)
}
