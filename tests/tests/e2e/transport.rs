//! HTTP at its edges: what is taken, what is refused, and what every answer carries.

use std::fmt::Write;
use std::fs;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use serde_json::{Value, json};
use tests::{PATIENCE, Person, Program, World, documents, eventually, id, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const NO_RECORD: &str = "018f0000-0000-7000-8000-000000000000";
const NAME: &str = r#"{"query":"{ __typename }"}"#;

#[tokio::test]
async fn a_long_variable_that_is_used_a_thousand_times_is_refused_before_it_is_copied() {
    let world = World::start().await;
    let uses = "$v ".repeat(4000);
    let (_, before) = world.api.memory();
    for document in [
        format!("mutation($v: JSON) {{ refreshSession(input: [{uses}]) {{ expiresAt }} }}"),
        format!("query($v: JSON) {{ medicalRecords(first: [{uses}]) {{ nodes {{ id }} }} }}"),
        format!(
            "query($v: JSON) {{ medicalRecords(filter: {{ metadata: [{uses}] }}) {{ nodes {{ id }} }} }}"
        ),
    ] {
        let variables = json!({ "v": "x".repeat(1_000_000) });
        let answer = world.nobody().asks(&document, variables).await;
        answer.fails_with("TOO_COMPLEX");
    }
    // Copied at each use it would be four thousand million bytes.
    let (_, most) = world.api.memory();
    assert!(
        most < before + 200.0,
        "{before} MB before, {most} MB at most"
    );
}

#[tokio::test]
async fn a_request_with_a_content_encoding_is_not_read() {
    let world = World::start().await;
    for (coding, status) in [("gzip", 415), ("br", 415), ("identity", 200)] {
        let sent = [
            ("content-type", "application/json"),
            ("content-encoding", coding),
        ];
        let reply = world.api.takes("POST", "/graphql", &sent, NAME).await;
        assert_eq!(reply.status, status, "{coding}");
    }
}

#[tokio::test]
async fn only_what_is_json_and_a_single_request_is_run() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let token = format!("Bearer {}", ana.client.token().expect("logged in"));
    let deep = format!(
        r#"{{"query":"{{ __typename }}","variables":{{"a":{}{}}}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let long = format!(
        r#"{{"query":"{{ __typename }}","variables":{{"a":"{}"}}}}"#,
        "x".repeat(2 * 1024 * 1024)
    );
    let table = [
        (Some("text/plain"), NAME, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            Some("application/x-www-form-urlencoded"),
            "query=%7B__typename%7D",
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (
            Some("multipart/form-data; boundary=x"),
            "--x--",
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (
            Some("application/json; charset=latin-1"),
            NAME,
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (
            Some("application/json-patch+json"),
            NAME,
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (None, NAME, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            Some("application/json"),
            r#"[{"query":"{ __typename }"}]"#,
            400,
            "BAD_REQUEST",
        ),
        (Some("application/json"), "", 400, "BAD_REQUEST"),
        (Some("application/json"), "{", 400, "BAD_REQUEST"),
        (Some("application/json"), "{}", 400, "BAD_REQUEST"),
        (
            Some("application/json"),
            r#"{"query":1}"#,
            400,
            "BAD_REQUEST",
        ),
        (
            Some("application/json"),
            r#"{"query":"{ me { id } }","query":"{ __typename }"}"#,
            400,
            "BAD_REQUEST",
        ),
        (
            Some("application/json"),
            r#"{"query":"{ __typename }","variables":[]}"#,
            400,
            "BAD_REQUEST",
        ),
        (
            Some("application/json"),
            r#"{"query":"{ __typename }","variables":{"a":1,"a":2}}"#,
            400,
            "BAD_REQUEST",
        ),
        (
            Some("application/json"),
            r#"{"query":"{ __typename }","variables":{"a":"\u0000"}}"#,
            400,
            "BAD_REQUEST",
        ),
        (
            Some("application/json"),
            r#"{"query":"{ __typename }","operationName":{}}"#,
            400,
            "BAD_REQUEST",
        ),
        (Some("application/json"), deep.as_str(), 400, "BAD_REQUEST"),
        (Some("application/json"), long.as_str(), 413, "TOO_LARGE"),
    ];

    for (media, body, status, code) in table {
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(media.map(|media| ("content-type", media)));
        let reply = world
            .api
            .takes("POST", "/graphql", &headers, body.to_owned())
            .await;

        let told: String = body.chars().take(80).collect();
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{media:?} {told}"
        );
        assert_eq!(reply.json()["data"], Value::Null);
    }
    let reply = world
        .api
        .takes(
            "POST",
            "/graphql",
            &[("content-type", "Application/JSON; charset=UTF-8")],
            NAME,
        )
        .await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, r#"{"data":{"__typename":"Query"}}"#)
    );
}

#[tokio::test]
async fn a_query_may_come_by_get_and_a_mutation_never() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let token = format!("Bearer {}", ana.client.token().expect("logged in"));
    let get = async |query: &str| {
        let path = format!(
            "/graphql?query={}",
            query.replace(' ', "+").replace('"', "%22")
        );
        world
            .api
            .takes("GET", &path, &[("authorization", token.as_str())], "")
            .await
    };

    let reply = get("{ me { username } }").await;
    assert_eq!(
        (reply.status, reply.json()["data"]["me"]["username"].clone()),
        (200, json!("ana"))
    );

    let mutation = "mutation { requestDataDeletion(input: { requestType: RESTRICTION, dataCategories: [ALL_RECORDS] }) { request { id } } }";
    for refused in [mutation, "subscription { integrityEvents { cursor } }"] {
        let reply = get(refused).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (405, "WRONG_METHOD"),
            "{refused}"
        );
        assert_eq!(reply.header("allow"), "POST");
    }
    let subscription = r#"{"query":"subscription { integrityEvents { cursor } }"}"#;
    let reply = world
        .api
        .posts(&[("authorization", &token)], subscription)
        .await;
    assert_eq!(reply.code(), "WRONG_METHOD");
    assert_eq!(
        world
            .sql("SELECT id FROM data_deletion_requests")
            .await
            .len(),
        0
    );
    for method in ["HEAD", "PUT", "DELETE", "PATCH", "TRACE"] {
        assert_eq!(
            world.api.takes(method, "/graphql", &[], "").await.status,
            405,
            "{method}"
        );
    }
    let head = world.api.takes("HEAD", "/graphql", &[], "").await;
    assert_eq!(head.header("allow"), "GET, POST, OPTIONS");
    let both = "{ __typename }&query={ me { id } }";
    assert_eq!(get(both).await.code(), "BAD_REQUEST");
    assert_eq!(get("").await.code(), "GRAPHQL_PARSE_FAILED");
    assert_eq!(
        world.api.takes("GET", "/graphql", &[], "").await.status,
        400
    );
    assert_eq!(
        world
            .api
            .takes("GET", "/graphql?query=%ff", &[], "")
            .await
            .status,
        400
    );
    assert_eq!(
        world.api.takes("GET", "/somewhere", &[], "").await.status,
        404
    );
}

/// How much memory a program has in use. Unit: KiB.
fn resident(world: &World) -> u64 {
    let port = world
        .api
        .url()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let listens = format!("127.0.0.1:{port}");
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let is_ours = environment
            .split(|byte| *byte == 0)
            .any(|it| it == format!("MEDITRUSTAL_LISTEN={listens}").as_bytes());
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if is_ours && let Some(line) = status.lines().find(|line| line.starts_with("VmRSS:")) {
            return line
                .split_whitespace()
                .nth(1)
                .and_then(|it| it.parse().ok())
                .expect("a number");
        }
    }
    panic!("the api is not in /proc")
}

#[tokio::test]
async fn a_document_that_would_cost_too_much_is_refused_unread() {
    let world = World::start().await;
    let mut bomb = "{ ...f0 }".to_owned();
    for n in 0..25 {
        write!(bomb, " fragment f{n} on Query {{ ...f{0} ...f{0} }}", n + 1).expect("text");
    }
    bomb.push_str(" fragment f25 on Query { me { id } }");
    let table = [
        ("FIELDS", bomb),
        ("DOCUMENT_BYTES", format!("{{ __typename }} #{}", "x".repeat(16 * 1024))),
        ("NESTING", format!("{{ a(b: {}{}) }}", "[".repeat(5000), "]".repeat(5000))),
        ("FIELDS", format!("{{ {} }}", "me { id } ".repeat(501))),
        ("LEVELS", format!("{{ {} id {} }}", "me { ".repeat(17), " }".repeat(17))),
        ("ALIASES", format!("{{ {} }}", (0..16).fold(String::new(), |mut all, n| { write!(all, "a{n}: __typename ").expect("text"); all }))),
        ("DIRECTIVES", format!("{{ me {} {{ id }} }}", "@include(if: true) ".repeat(21))),
        ("DEFINITIONS", (0..65).fold(String::new(), |mut all, n| { write!(all, "query q{n} {{ __typename }} ").expect("text"); all })),
        ("COST", "{ users(first: 100) { nodes { id } } auditLogs(first: 100) { nodes { user { id username role isActive } } edges { node { id user { id username } } } } medicalRecords(first: 100) { nodes { id patient { id username email role } author { id username email role } anchor { state txHash registrar blockNumber blockHash logIndex sequence confirmedAt } } edges { node { id patient { id username email role isActive } author { id username email role isActive } anchor { state txHash registrar blockNumber blockHash logIndex sequence confirmedAt } } } } consents(first: 100) { nodes { id grantees { kind user { id username } } } } myAccessLog(first: 1000000) { nodes { id sentence who { id } } } }".to_owned()),
    ];
    world.api.posts(&[], NAME).await;
    let before = resident(&world);

    for (limit, query) in &table {
        for _ in 0..5 {
            let reply = world
                .api
                .posts(&[], &json!({ "query": query }).to_string())
                .await;
            assert_eq!(reply.code(), "TOO_COMPLEX", "{limit}: {}", reply.body);
            let told = &reply.json()["errors"][0]["extensions"];
            assert_eq!(told["limit"], *limit, "{}", reply.body);
            let (allowed, counted) = (&told["allowed"], &told["counted"]);
            assert!(allowed.as_u64() < counted.as_u64(), "{}", reply.body);
        }
    }
    let cycle =
        json!({ "query": "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }" });
    let reply = world.api.posts(&[], &cycle.to_string()).await;
    assert_eq!(reply.code(), "GRAPHQL_VALIDATION_FAILED");
    // The parser would look for the end of each of them through all of the document.
    let open = json!({ "query": format!("{{ a(b: [{}]) }}", r#""\"""""x""#.repeat(1800)) });
    let reply = world.api.posts(&[], &open.to_string()).await;
    assert_eq!(reply.code(), "GRAPHQL_PARSE_FAILED");

    let after = resident(&world);
    assert!(after < before + 64 * 1024, "{before} KiB, then {after} KiB");
    assert_eq!(world.api.posts(&[], NAME).await.status, 200);
    assert!(!world.api.log().contains("panicked"), "{}", world.api.log());
}

#[tokio::test]
async fn a_field_that_fails_leaves_the_others_what_they_have() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let register = |alias: &str, name: &str| {
        format!(
            r#"{alias}: register(input: {{
                email: "{name}@example.org", username: "{name}", password: "a long pass phrase"
            }}) {{ user {{ username }} }}"#
        )
    };

    let three = [
        register("a", "dewi"),
        register("b", "dewi"),
        register("c", "eka"),
    ];
    let answer = ana
        .asks(&format!("mutation {{ {} }}", three.join(" ")), json!({}))
        .await;
    let problem = answer.fails_with("CONFLICT");
    assert_eq!(problem.path, [json!("b")]);
    let expected = json!({
        "a": { "user": { "username": "dewi" } },
        "b": null,
        "c": { "user": { "username": "eka" } },
    });
    assert_eq!(*answer.partial_data(), expected);

    let query = "query ($none: UUID!) {
        me { username }
        users { nodes { id } }
        medicalRecord(id: $none) { id }
        verifyRecord(id: $none) { verdict }
        consents(first: 0) { nodes { id } }
    }";
    let mixed = ana.asks(query, json!({ "none": NO_RECORD })).await;
    let told: Vec<_> = mixed
        .errors()
        .iter()
        .map(|error| (error.path.clone(), error.code().to_owned()))
        .collect();
    for expected in [
        ("users", "FORBIDDEN"),
        ("medicalRecord", "NOT_FOUND"),
        ("verifyRecord", "NOT_FOUND"),
        ("consents", "BAD_USER_INPUT"),
    ] {
        assert!(
            told.contains(&(vec![json!(expected.0)], expected.1.to_owned())),
            "{told:?}"
        );
    }
    assert_eq!(told.len(), 4);
    assert_eq!(mixed.partial_data()["me"]["username"], ana.username);

    let unread = "{ me { username } medicalRecord(id: \"none\") { id } }";
    let unread = ana.asks(unread, json!({})).await;
    let problem = unread.fails_with("GRAPHQL_VALIDATION_FAILED");
    assert_eq!(problem.path, [json!("medicalRecord")]);
    assert_eq!(unread.partial_data()["me"]["username"], ana.username);
}

#[tokio::test]
async fn a_header_that_decides_is_given_once() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let token = |person: &Person| format!("Bearer {}", person.client.token().expect("logged in"));
    let (hers, his) = (token(&ana), token(&budi));
    let json = ("content-type", "application/json");
    let doubled: [&[(&str, &str)]; 6] = [
        &[json, ("authorization", &hers), ("authorization", &his)],
        &[json, ("authorization", &hers), ("authorization", &hers)],
        &[json, json, ("authorization", &hers)],
        &[
            json,
            ("content-type", "text/plain"),
            ("authorization", &hers),
        ],
        &[
            json,
            ("authorization", &hers),
            ("x-purpose-of-use", "PATRQT"),
            ("x-purpose-of-use", "TREAT"),
        ],
        &[
            json,
            ("authorization", &hers),
            ("last-event-id", "1"),
            ("last-event-id", "2"),
        ],
    ];
    for headers in doubled {
        for (method, path) in [
            ("POST", "/graphql"),
            ("GET", "/graphql?query=%7Bme%7Bid%7D%7D"),
            ("POST", "/import"),
            ("GET", "/export"),
        ] {
            let body = r#"{"query":"{ me { id } }"}"#;
            let reply = world.api.takes(method, path, headers, body).await;
            let told = (reply.status, reply.code());
            assert_eq!(told, (400, "BAD_REQUEST".to_owned()), "{path} {headers:?}");
        }
    }
    let once = [("authorization", hers.as_str())];
    let reply = world.api.posts(&once, r#"{"query":"{ me { id } }"}"#).await;
    assert_eq!(reply.json()["data"]["me"]["id"], ana.id.as_str());
}

#[tokio::test]
async fn errors_of_a_document_are_as_many_as_anybody_reads() {
    let world = World::start().await;
    let name = "n".repeat(4000);
    let undeclared: Vec<_> = (0..600)
        .map(|nth| format!("a{nth}: 1 b: $v{nth} "))
        .collect();
    let undeclared = undeclared.concat();
    let table = [
        format!("query {name} {{ me({undeclared}) {{ id }} }}"),
        format!("query {name} {{ {} }}", "x ".repeat(900)),
        format!("query {name} {{ me {{ {} }} }}", "x(y: 1) ".repeat(900)),
        format!("query {name} {{ {} }}", "...F ".repeat(900)),
    ];
    for query in table {
        let reply = world
            .api
            .posts(&[], &json!({ "query": query }).to_string())
            .await;
        assert_eq!(reply.code(), "GRAPHQL_VALIDATION_FAILED", "{}", reply.body);
        let told = reply.json()["errors"].as_array().map_or(0, Vec::len);
        assert!(told <= 21, "{told} errors");
        assert!(reply.body.len() < 16 * 1024, "{} bytes", reply.body.len());
        assert_eq!(reply.json().get("data"), None);
    }
}

#[tokio::test]
async fn what_validation_passes_over_is_refused_before_it() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    for query in [
        "{ __typename @unknown }",
        "{ __typename(a: 1) }",
        r#"mutation { updateProfile(input: { currentPassword: "x", username: "a", username: "b" }) { user { id } } }"#,
        r#"query ($f: RecordFilterInput = { status: "a", status: "b" }) { medicalRecords(filter: $f) { nodes { id } } }"#,
        "{ me { id } me { id: username } }",
        "{ me { id ... on User { id: username } } }",
        "{ mySessions(first: 1) { nodes { id } } ...F } fragment F on Query { mySessions(first: 2) { nodes { id } } }",
        "mutation { logOut { endedSessions } logOut { endedSessions } }",
        "mutation { ...F ...F } fragment F on Mutation { logOut { endedSessions } }",
    ] {
        let answer = ana.asks(query, json!({})).await;
        answer.fails_with("GRAPHQL_VALIDATION_FAILED");
        assert_eq!(*answer.partial_data(), Value::Null, "{query}");
    }
    // A variable of another type than belongs where it stands would be held to that type's limits, which may be none.
    for query in [
        "query ($v: JSON!) { doctors(search: $v) { nodes { id } } }",
        "query ($v: JSON!) { nodes(ids: [$v]) { nodeId } }",
        "query ($v: JSON!) { medicalRecords(filter: { status: $v }) { totalCount } }",
    ] {
        let answer = ana.asks(query, json!({ "v": "x".repeat(3000) })).await;
        let problem = answer.fails_with("GRAPHQL_VALIDATION_FAILED");
        assert_eq!(problem.extensions["field"], "v", "{query}");
    }
    // Nothing of them ran: the log-in goes on. What is the same field is asked for in two places.
    let same = "{ me { id } ...F } fragment F on Query { me { id username } }";
    let answer = ana.asks(same, json!({})).await;
    assert_eq!(answer.data()["me"]["username"], json!(ana.username));
    let plain = "query ($yes: Boolean!) { __typename @include(if: $yes) me { id @skip(if: $yes) username } }";
    let answer = ana.asks(plain, json!({ "yes": true })).await;
    assert_eq!(answer.data()["me"], json!({ "username": ana.username }));
}

#[tokio::test]
async fn every_variable_that_does_not_fit_is_told_before_anything_runs() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let accept = ("accept", "application/graphql-response+json");
    let token = format!("Bearer {}", ana.client.token().expect("logged in"));
    let headers = [accept, ("authorization", token.as_str())];
    let create = "mutation ($first: RegisterInput!, $input: CreateMedicalRecordInput!) {
      register(input: $first) { user { id } }
      createMedicalRecord(input: $input) { record { id } }
    }";
    let first = json!({ "email": "dewi@example.org", "username": "dewi", "password": "a long pass phrase" });
    let table = [
        (json!({}), vec!["first", "input"]),
        (json!({ "first": first }), vec!["input"]),
        (json!({ "first": first, "input": null }), vec!["input"]),
        (
            json!({ "first": first, "input": { "patientId": "ana", "recordType": "DREAM", "colour": "red" } }),
            vec![
                "input.patientId",
                "input.recordType",
                "input.document",
                "input.colour",
            ],
        ),
        (
            json!({ "first": { "email": 1, "username": [], "password": {} }, "input": "x" }),
            vec!["first.email", "first.username", "first.password", "input"],
        ),
    ];
    for (variables, places) in table {
        let body = json!({ "query": create, "variables": variables }).to_string();
        let reply = world.api.posts(&headers, &body).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert_eq!(reply.json().get("data"), None);
        let json = reply.json();
        let errors = json["errors"].as_array().expect("errors");
        let told: Vec<_> = errors
            .iter()
            .map(|it| text(&it["extensions"]["field"]))
            .collect();
        assert_eq!(told, places, "{}", reply.body);
        assert!(
            errors
                .iter()
                .all(|it| it["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED")
        );
    }
    let none = world
        .sql("SELECT id FROM users WHERE username = 'dewi'")
        .await;
    assert!(none.is_empty(), "nothing ran");
}

#[tokio::test]
async fn what_the_operator_did_not_switch_on_is_off() {
    let world = World::start().await;
    let origins = [
        ("MEDITRUSTAL_INTROSPECTION", "false"),
        (
            "MEDITRUSTAL_ALLOWED_ORIGINS",
            "https://app.example.org,https://b.example.org",
        ),
    ];
    let api = world.another_api("strict", &origins).await;
    let asks = async |query: &str| api.posts(&[], &json!({ "query": query }).to_string()).await;

    for query in [
        "{ __schema { types { name } } }",
        "{ __type(name: \"User\") { name } }",
        "{ __typename ...F } fragment F on Query { a: __schema { queryType { name } } }",
    ] {
        let reply = asks(query).await;
        assert_eq!(reply.code(), "INTROSPECTION_DISABLED", "{query}");
        assert_eq!(reply.json()["data"], Value::Null, "{}", reply.body);
    }
    for query in [
        "{ mee { id } }",
        "{ me { idd } }",
        "{ medicalRecord(id: 1) { id } }",
        "{ medicalRecord { id } }",
        "{ users(role: DOCTR) { nodes { id } } }",
    ] {
        let reply = asks(query).await;
        assert_eq!(reply.code(), "GRAPHQL_VALIDATION_FAILED", "{query}");
        let message = &reply.json()["errors"][0]["message"];
        assert_eq!(
            message, "the document or its variables do not fit the schema",
            "{query}"
        );
    }
    // Of an input no more is told than its client has written.
    let body = json!({
        "query": "mutation ($input: CreateMedicalRecordInput!) { createMedicalRecord(input: $input) { record { id } } }",
        "variables": { "input": { "recordType": "DREAM", "colour": "red" } },
    });
    let reply = api.posts(&[], &body.to_string()).await;
    let mut told = reply.json()["errors"].as_array().expect("errors").clone();
    for error in &mut told {
        *error = json!([error["message"], error["extensions"]["field"]]);
    }
    assert_eq!(
        json!(told),
        json!([
            [
                "`input.recordType` has to be a value of the type that belongs there",
                "input.recordType"
            ],
            [
                "`input.colour` has to be a value of the type that belongs there",
                "input.colour"
            ],
        ])
    );
    let reply = asks("{ secret-of-ana( }").await;
    assert_eq!(reply.code(), "GRAPHQL_PARSE_FAILED");
    assert!(!reply.body.contains("secret"), "{}", reply.body);

    let from = async |api: &Program, origin: &str| {
        let reply = api.posts(&[("origin", origin)], NAME).await;
        assert_eq!(reply.header("vary"), "Origin, Accept, Accept-Encoding");
        reply.header("access-control-allow-origin").to_owned()
    };
    for origin in ["https://app.example.org", "https://b.example.org"] {
        assert_eq!(from(&api, origin).await, origin);
    }
    for origin in [
        "https://evil.example.org",
        "http://app.example.org",
        "https://app.example.org.evil.org",
        "https://app.example.org:8443",
        "null",
        "https://APP.example.org",
    ] {
        assert_eq!(from(&api, origin).await, "", "{origin}");
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
        ];
        let reply = api.takes("OPTIONS", "/graphql", &preflight, "").await;
        assert_eq!(reply.header("access-control-allow-origin"), "", "{origin}");
        assert_eq!(reply.header("access-control-allow-credentials"), "");
    }
    let preflight = [
        ("origin", "https://app.example.org"),
        ("access-control-request-method", "POST"),
    ];
    let reply = api.takes("OPTIONS", "/graphql", &preflight, "").await;
    assert_eq!(
        reply.header("access-control-allow-origin"),
        "https://app.example.org"
    );
    assert_eq!(reply.header("access-control-allow-credentials"), "true");
    assert!(
        reply
            .header("access-control-allow-headers")
            .contains("authorization")
    );
}

#[tokio::test]
async fn what_is_written_down_as_handed_out_is_not_asked_for_by_head() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let of_ana = format!("user_id = '{}'", ana.id);
    let before = world.audit_rows(&of_ana).await.len();
    let bearer = ana.bearer();
    let headers = [("authorization", bearer.as_str())];

    for path in [
        "/export",
        "/audit/export",
        "/my-data",
        &format!("/records/{record}/attachments/1"),
    ] {
        let reply = world.api.takes("HEAD", path, &headers, "").await;
        assert_eq!(reply.status, 405, "{path}");
    }

    assert_eq!(world.audit_rows(&of_ana).await.len(), before);
}

#[tokio::test]
async fn every_answer_has_an_id_the_headers_of_safety_and_the_status_of_its_media_type() {
    let world = World::start().await;
    let bad = r#"{"query":"{ nothing }"}"#;
    let graphql = "application/graphql-response+json";
    let table = [
        (
            NAME,
            "application/json",
            200,
            "application/json; charset=utf-8",
        ),
        (
            bad,
            "application/json",
            200,
            "application/json; charset=utf-8",
        ),
        (bad, "*/*", 200, "application/json; charset=utf-8"),
        (NAME, "text/html", 406, "application/json; charset=utf-8"),
        (
            NAME,
            "application/json;q=0.1, application/graphql-response+json;q=0.2",
            200,
            "application/graphql-response+json; charset=utf-8",
        ),
        (
            NAME,
            graphql,
            200,
            "application/graphql-response+json; charset=utf-8",
        ),
        (
            bad,
            graphql,
            400,
            "application/graphql-response+json; charset=utf-8",
        ),
        (
            r#"{"query":"{"}"#,
            graphql,
            400,
            "application/graphql-response+json; charset=utf-8",
        ),
        // It ran: what came of it is in the answer, not in the status.
        (
            r#"{"query":"{ medicalRecord(id: \"00000000-0000-4000-8000-000000000000\") { id } }"}"#,
            graphql,
            200,
            "application/graphql-response+json; charset=utf-8",
        ),
    ];
    let mut ids = std::collections::BTreeSet::new();

    for (body, accept, status, media) in table {
        let reply = world.api.posts(&[("accept", accept)], body).await;

        assert_eq!(
            (reply.status, reply.header("content-type")),
            (status, media),
            "{accept} {body}"
        );
        if reply.json()["errors"].is_array() {
            let told = &reply.json()["errors"][0]["extensions"]["requestId"];
            assert_eq!(told, reply.header("x-request-id"));
        }
    }
    for (path, status, body) in [
        ("/health/live", 200, "alive\n"),
        (
            "/health/ready",
            200,
            r#"{"ready":true,"failing":{},"checkpoints":"OFF"}"#,
        ),
        ("/nowhere", 404, ""),
        (
            "/graphql?query={__typename}",
            200,
            r#"{"data":{"__typename":"Query"}}"#,
        ),
    ] {
        let reply = world
            .api
            .takes("GET", path, &[("x-request-id", "mine")], "")
            .await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (status, body),
            "{path}"
        );
        assert!(
            ids.insert(reply.header("x-request-id").to_owned()),
            "each its own"
        );
        assert_eq!(reply.header("x-request-id").len(), 36);
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(
            reply
                .header("content-security-policy")
                .contains("default-src 'none'")
        );
    }
}

/// What a body says that was compressed so.
async fn decoded(bytes: &[u8], coding: &str) -> String {
    let mut text = String::new();
    let read = match coding {
        "" => return String::from_utf8_lossy(bytes).into_owned(),
        "br" => BrotliDecoder::new(bytes).read_to_string(&mut text).await,
        "gzip" => GzipDecoder::new(bytes).read_to_string(&mut text).await,
        "zstd" => ZstdDecoder::new(bytes).read_to_string(&mut text).await,
        other => panic!("nobody compresses by {other:?}"),
    };
    read.expect("it is compressed as its header says");
    text
}

#[tokio::test]
async fn an_answer_is_compressed_as_its_client_wants_and_one_with_tokens_never() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let bearer = ana.bearer();
    let user = "{ id username email role isActive }";
    let mut long = String::from("{ ");
    for n in 0..15 {
        write!(long, "user{n}: me {user} ").expect("text");
    }
    let long = json!({ "query": format!("{long}}}") }).to_string();
    let asks = async |body: &str, accept: &str, encoding: &str| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("accept", accept),
            ("accept-encoding", encoding),
        ];
        world.api.posts(&headers, body).await
    };

    let plain = asks(&long, "*/*", "identity").await;
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.body.len() > 1024 && plain.json()["errors"].is_null());
    for (accepted, coding) in [
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0, zstd;q=0", ""),
        ("br", "br"),
        ("gzip, deflate, br", "br"),
        ("*;q=0", ""),
    ] {
        for accept in ["application/json", "application/graphql-response+json"] {
            let reply = asks(&long, accept, accepted).await;
            assert_eq!(reply.header("content-encoding"), coding, "{accepted}");
            assert_eq!(reply.header("vary"), "Origin, Accept, Accept-Encoding");
            assert_eq!(decoded(&reply.bytes, coding).await, plain.body);
            let is_shorter = reply.bytes.len() < plain.bytes.len();
            assert_eq!(is_shorter, !coding.is_empty(), "{accepted}");
        }
    }

    let short = asks(NAME, "*/*", "gzip, br, zstd").await;
    assert_eq!(short.header("content-encoding"), "");
    let stream = asks(&long, "text/event-stream", "gzip, br, zstd").await;
    assert_eq!(stream.header("content-encoding"), "");
    assert!(stream.body.contains("user14"), "{}", stream.body);
    // An answer long enough, and full of tokens.
    let mut tokens = String::new();
    for n in 0..14 {
        write!(tokens, "token{n}: accessToken ").expect("text");
    }
    let log_in = json!({
        "query": format!("mutation($input: LogInInput!) {{ logIn(input: $input) {{ {tokens} }} }}"),
        "variables": { "input": { "login": "ana", "password": ana.password } },
    });
    let headers = [("accept-encoding", "gzip, br, zstd")];
    let reply = world.api.posts(&headers, &log_in.to_string()).await;
    assert_eq!(reply.header("content-encoding"), "");
    assert!(reply.json()["data"]["logIn"]["token13"].is_string());
    assert!(reply.body.len() > 1024);
}

#[tokio::test]
async fn an_error_reveals_nothing_internal() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let token = format!("Bearer {}", ana.client.token().expect("logged in"));
    world.is_broken_on_purpose();
    // A column that is gone: the database refuses every statement about consents.
    world
        .executes("ALTER TABLE data_processing_consents RENAME COLUMN purpose TO why")
        .await;
    world
        .executes("ALTER TABLE idempotency_keys RENAME TO elsewhere")
        .await;
    let create = json!({
        "query": "mutation C($input: CreateMedicalRecordInput!) { createMedicalRecord(input: $input) { record { id } } }",
        "variables": { "input": { "patientId": ana.id, "recordType": "VITAL_SIGNS", "document": serde_json::from_str::<Value>(&documents::vital_signs()).expect("JSON"), "idempotencyKey": "k" } },
    });
    let requests = [
        json!({ "query": "{ consents { nodes { id } } }" }),
        json!({ "query": format!("{{ medicalRecord(id: \"{record}\") {{ document }} }}") }),
        json!({ "query": "{ medicalRecords(purpose: TREAT) { nodes { id } } }" }),
        create,
    ];

    let mut refused = 0;
    for request in requests {
        let reply = world
            .api
            .posts(&[("authorization", &token)], &request.to_string())
            .await;

        refused += u32::from(!reply.code().is_empty());
        let code = reply.code();
        assert!(
            ["INTERNAL", "UNAVAILABLE", "BUSY", ""].contains(&code.as_str()),
            "{}",
            reply.body
        );
        let said = reply.body.to_lowercase();
        for inside in [
            "select",
            "purpose",
            "relation",
            "42703",
            "42p01",
            "data_processing",
            "idempotency_keys",
            "sqlx",
            "postgres",
            ".rs",
            "36.6",
        ] {
            assert!(
                code.is_empty() || !said.contains(inside),
                "{inside}: {said}"
            );
        }
    }
    assert!(refused >= 3, "{refused} were refused");
    // Each line begins with a time, which may hold these digits.
    let log = world.api.log();
    let mut said = log.lines().filter_map(|line| Some(line.split_once(' ')?.1));
    assert!(
        !said.any(|line| line.contains("36.6")),
        "nor does the log hold a document"
    );
}

/// The texts in a value that holds nothing but times.
fn times_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(time) => vec![time.clone()],
        Value::Array(items) => items.iter().flat_map(times_in).collect(),
        Value::Object(members) => members.values().flat_map(times_in).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_time_in_an_answer_has_six_digits_after_the_second() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    let document = "query Times($id: UUID!) {
        me { createdAt }
        mySessions { nodes { createdAt lastUsedAt expiresAt } }
        myAccessLog { nodes { at since } }
        indexStatus { indexedBlockTime }
        medicalRecord(id: $id) { createdAt updatedAt anchor { confirmedAt } }
    }";

    let answer = eventually("the time of the block is known", async || {
        let answer = ana.asks(document, json!({ "id": id(&record) })).await;
        let time = &answer.data()["indexStatus"]["indexedBlockTime"];
        time.is_string().then_some(answer)
    })
    .await;

    let times = times_in(answer.data());
    assert!(times.len() >= 10, "{times:?}");
    for time in times {
        // 2026-03-10T01:05:00.000000Z
        let has_form = time.len() == 27 && time.ends_with('Z') && &time[19..20] == ".";
        assert!(has_form, "{time}");
    }
}

/// All that comes over a connection to which this is written, until the other side ends it.
async fn heard_after(api: &Program, written: &str) -> String {
    let connected = TcpStream::connect(api.address()).await;
    let mut stream = connected.expect("a connection");
    let sent = stream.write_all(written.as_bytes()).await;
    sent.expect("it is open");
    let mut heard = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut heard)).await;
    read.expect("it is ended").expect("it is text");
    heard
}

#[tokio::test]
async fn an_event_stream_comes_after_another_answer_and_ends_its_connection() {
    let world = World::start().await;
    let asks = |version: &str, accept: &str| {
        format!(
            "POST /graphql HTTP/{version}\r\nhost: localhost\r\naccept: {accept}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{NAME}",
            NAME.len()
        )
    };
    let events = "text/event-stream";
    let both = [asks("1.1", "application/json"), asks("1.1", events)].concat();

    let heard = heard_after(&world.api, &both).await;
    let without_chunks = heard_after(&world.api, &asks("1.0", events)).await;

    let answers: Vec<&str> = heard.split("HTTP/1.1 200 OK\r\n").collect();
    let [before, first, stream] = answers[..] else {
        panic!("two answers: {heard}");
    };
    assert!(before.is_empty() && first.ends_with('}'), "{heard}");
    let (head, body) = stream.split_once("\r\n\r\n").expect("a head");
    for header in [
        "connection: close",
        "content-type: text/event-stream",
        "date: ",
        "transfer-encoding: chunked",
        "x-request-id: ",
    ] {
        let given = head.lines().filter(|line| line.starts_with(header));
        assert_eq!(given.count(), 1, "{header}: {head}");
    }
    assert!(body.contains("event: next\n"), "{body}");
    assert!(body.contains("event: complete\n"), "{body}");
    assert!(body.ends_with("\r\n0\r\n\r\n"), "{body}");
    assert!(without_chunks.contains("event: complete\n"));
    assert!(!without_chunks.contains("transfer-encoding"));
}
