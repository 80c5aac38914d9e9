//! The stream of integrity events: the protocol, who is told what, and that nothing is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use dev::client::ClientError;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tests::{
    EventStream, Events, PATIENCE, Person, Program, Wiretap, World, documents, eventually, id, text,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const FOLLOW: &str = "subscription { integrityEvents { cursor } }";

/// A socket on which a test says whatever it likes.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(api: &Program, protocol: &str, headers: &[(&str, &str)]) -> Result<Self, Error> {
        let address = format!("{}/graphql", api.url().replacen("http", "ws", 1));
        let mut request = ClientRequestBuilder::new(address.parse().expect("an address"));
        request = request.with_sub_protocol(protocol);
        for (name, value) in headers {
            request = request.with_header(*name, *value);
        }
        let (socket, answer) = connect_async(request).await?;
        let held_back = answer.headers().get("x-accel-buffering");
        assert_eq!(held_back.expect("proxies are told"), "no");
        Ok(Self(socket))
    }

    async fn says(&mut self, message: impl Into<String>) {
        self.0
            .send(Message::text(message.into()))
            .await
            .expect("the socket is open");
    }

    /// The next message of the protocol, or the code that the socket was closed with.
    async fn hears(&mut self) -> Result<Value, u16> {
        loop {
            let message = timeout(PATIENCE, self.0.next())
                .await
                .expect("an answer comes");
            match message {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |it| it.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }
}

fn init(person: &Person) -> String {
    let token = format!("Bearer {}", person.client.token().expect("logged in"));
    json!({ "type": "connection_init", "payload": { "authorization": token } }).to_string()
}

fn subscribe(id: &str, query: &str) -> String {
    json!({ "type": "subscribe", "id": id, "payload": { "query": query } }).to_string()
}

#[tokio::test]
async fn a_socket_that_does_not_keep_the_protocol_is_closed_with_the_code_that_says_why() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let hello = init(&ana);
    let many: String = "x".repeat(200);
    let anonymous = json!({ "type": "connection_init", "payload": { "anonymous": true } });
    let table: [(&str, Vec<String>, u16); 12] = [
        ("subscribe before init", vec![subscribe("1", FOLLOW)], 4401),
        (
            "no token",
            vec![r#"{"type":"connection_init"}"#.to_owned()],
            4401,
        ),
        (
            "a bad token",
            vec![r#"{"type":"connection_init","payload":{"authorization":"Bearer x"}}"#.to_owned()],
            4403,
        ),
        ("a second init", vec![hello.clone(), hello.clone()], 4429),
        (
            "an id twice",
            vec![
                hello.clone(),
                subscribe("1", FOLLOW),
                subscribe("1", FOLLOW),
            ],
            4409,
        ),
        ("no JSON", vec![hello.clone(), "{".to_owned()], 4400),
        ("no type", vec![hello.clone(), "{}".to_owned()], 4400),
        (
            "an unknown type",
            vec![hello.clone(), r#"{"type":"start"}"#.to_owned()],
            4400,
        ),
        (
            "an empty id",
            vec![hello.clone(), subscribe("", FOLLOW)],
            4400,
        ),
        (
            "a long id",
            vec![hello.clone(), subscribe(&many, FOLLOW)],
            4400,
        ),
        ("silence", vec![], 4408),
        (
            "nobody, who follows nothing",
            vec![anonymous.to_string()],
            4431,
        ),
    ];

    let api = &world.api;
    let ends = table.map(|(what, messages, code)| async move {
        let mut socket = Socket::open(api, "graphql-transport-ws", &[])
            .await
            .expect("a socket");
        for message in messages {
            socket.says(message).await;
        }
        let end = loop {
            if let Err(end) = socket.hears().await {
                break end;
            }
        };
        (what, end, code)
    });

    for (what, end, code) in futures::future::join_all(ends).await {
        assert_eq!(end, code, "{what}");
    }
}

#[tokio::test]
async fn a_socket_that_asks_for_it_is_promised_the_rows_of_each_of_its_streams_once() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let token = format!("Bearer {}", ana.client.token().expect("logged in"));
    let by_message = json!({ "authorization": token, "auditPromise": true });
    let by_header = json!({ "authorization": token });
    let mut begun = 0;
    for (headers, payload) in [
        (vec![], by_message),
        (vec![("x-audit-promise", "true")], by_header),
    ] {
        let socket = Socket::open(&world.api, "graphql-transport-ws", &headers).await;
        let mut socket = socket.expect("a socket");
        let hello = json!({ "type": "connection_init", "payload": payload });
        socket.says(hello.to_string()).await;
        socket.hears().await.expect("it is acknowledged");
        let query = "subscription { integrityEvents { kind } }";
        for stream in ["one", "two"] {
            socket.says(subscribe(stream, query)).await;
        }
        // Both have begun when their rows are there.
        begun += 2;
        eventually("both streams have begun", async || {
            let rows =
                "action_type = 'AUDIT_READ' AND new_value ->> 'subscription' = 'integrityEvents'";
            (world.audit_rows(rows).await.len() == begun).then_some(())
        })
        .await;
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;

        let mut promised = BTreeMap::new();
        while promised.len() < 2 || promised.values().any(|told: &Vec<Value>| told.len() < 2) {
            let message = socket.hears().await.expect("an event");
            let audit = message["payload"]["extensions"]["audit"].clone();
            let told: &mut Vec<Value> = promised.entry(text(&message["id"])).or_default();
            told.push(audit);
        }
        let mut requests = BTreeSet::new();
        for told in promised.values() {
            let rows = told[0]["rows"].as_array().expect("a list");
            assert_eq!(rows.len(), 1, "{told:?}");
            let number = text(&rows[0]["id"]);
            let row = world.audit_rows(&format!("id = {number}")).await;
            assert_eq!(row[0]["request_id"], told[0]["requestId"]);
            assert_eq!(row[0]["user_id"], ana.id.as_str());
            requests.insert(text(&told[0]["requestId"]));
            assert_eq!(told[1]["rows"], json!([]));
        }
        assert_eq!(requests.len(), 2);
    }
}

#[tokio::test]
async fn who_says_that_they_are_nobody_follows_what_is_open_to_everybody_over_a_socket() {
    const HEAD: &str = "subscription { chainHead { headBlock } }";
    const EVENTS: &str = r#"subscription { publicIntegrityEvents(after: "earliest") { kind } }"#;
    let world = World::start().await;
    let mut socket = Socket::open(&world.api, "graphql-transport-ws", &[])
        .await
        .expect("a socket");
    let hello = json!({ "type": "connection_init", "payload": { "anonymous": true } });
    socket.says(hello.to_string()).await;
    assert_eq!(
        socket.hears().await.expect("a message")["type"],
        "connection_ack"
    );

    socket.says(subscribe("head", HEAD)).await;
    let told = socket.hears().await.expect("a message");
    assert_eq!(
        (&told["type"], &told["id"]),
        (&json!("next"), &json!("head"))
    );
    let first = told["payload"]["data"]["chainHead"]["headBlock"].as_u64();
    world.mine(1).await;
    loop {
        let told = socket.hears().await.expect("a message");
        let head = told["payload"]["data"]["chainHead"]["headBlock"].as_u64();
        if head > first {
            break;
        }
    }
    socket
        .says(r#"{"type":"complete","id":"head"}"#.to_owned())
        .await;
    // What is somebody's is still theirs alone.
    socket.says(subscribe("own", FOLLOW)).await;
    let refused = loop {
        let told = socket.hears().await.expect("a message");
        if told["id"] == "own" {
            break told;
        }
    };
    assert_eq!(
        refused["payload"]["errors"][0]["extensions"]["code"], "UNAUTHENTICATED",
        "{refused}"
    );
    assert!(refused["payload"]["data"].is_null(), "{refused}");
    socket.says(subscribe("events", EVENTS)).await;
    let ana = world.patient("ana").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let told = loop {
        let told = socket.hears().await.expect("a message");
        if told["id"] == "events" {
            break told;
        }
    };
    assert_eq!(told["type"], "next", "{told}");
}

#[tokio::test]
async fn a_socket_carries_subscriptions_alone_from_origins_that_are_allowed() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let refused = async |protocol: &str, headers: &[(&str, &str)]| match Socket::open(
        &world.api, protocol, headers,
    )
    .await
    {
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => 101,
    };

    let ours = world.api.url();
    assert_eq!(
        refused(
            "graphql-transport-ws",
            &[("origin", "https://evil.example.org")]
        )
        .await,
        403
    );
    assert_eq!(
        refused("graphql-transport-ws", &[("origin", "null")]).await,
        403
    );
    assert_eq!(
        refused("graphql-transport-ws", &[("origin", &ours)]).await,
        101
    );
    assert_eq!(refused("graphql-ws", &[]).await, 400, "the legacy protocol");

    let mut socket = Socket::open(&world.api, "graphql-transport-ws", &[])
        .await
        .expect("a socket");
    socket.says(init(&ana)).await;
    assert_eq!(
        socket.hears().await.expect("a message")["type"],
        "connection_ack"
    );
    socket.says(r#"{"type":"ping"}"#).await;
    assert_eq!(socket.hears().await.expect("a message")["type"], "pong");
    let mutation = "mutation { requestDataDeletion(input: { requestType: RESTRICTION, dataCategories: [ALL_RECORDS] }) { request { id } } }";
    let bomb = format!(
        "subscription {{ {} }}",
        "integrityEvents { cursor } ".repeat(600)
    );
    for (query, code) in [
        (mutation, "WRONG_METHOD"),
        ("{ me { id } }", "WRONG_METHOD"),
        (bomb.as_str(), "TOO_COMPLEX"),
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        (
            "subscription { a: integrityEvents { kind } b: integrityEvents { kind } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ] {
        socket.says(subscribe("no", query)).await;
        let told = socket.hears().await.expect("a message");
        assert_eq!(
            (&told["type"], &told["id"]),
            (&json!("error"), &json!("no")),
            "{query}"
        );
        assert_eq!(told["payload"][0]["extensions"]["code"], code, "{query}");
    }
    assert!(
        world
            .sql("SELECT id FROM data_deletion_requests")
            .await
            .is_empty()
    );
    for stream in 0..20 {
        socket.says(subscribe(&stream.to_string(), FOLLOW)).await;
    }
    socket.says(subscribe("one too many", FOLLOW)).await;
    let told = socket.hears().await.expect("a message");
    assert_eq!(
        told["payload"][0]["extensions"]["code"], "TOO_MANY_STREAMS",
        "{told}"
    );
    // What was completed makes room, and its id may be used again.
    socket.says(r#"{"type":"complete","id":"7"}"#).await;
    socket.says(subscribe("7", FOLLOW)).await;
    socket.says(r#"{"type":"ping"}"#).await;
    assert_eq!(socket.hears().await.expect("a message")["type"], "pong");
}

/// The cursor of the first event there is, so that everything after it is told.
async fn first_cursor(patient: &Person) -> Value {
    let mut told = patient.watches(json!({})).await;
    patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await;
    told.next().await["cursor"].clone()
}

async fn takes(events: &mut Events, how_many: usize) -> Vec<Value> {
    let mut taken = Vec::new();
    while taken.len() < how_many {
        taken.push(events.next().await);
    }
    taken
}

#[tokio::test]
async fn whoever_comes_back_with_a_cursor_is_told_what_they_missed_once_and_in_order() {
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    let start = first_cursor(&ana).await;
    let mut told = ana.watches(json!({ "after": start })).await;
    for _ in 0..3 {
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
    }
    let before = takes(&mut told, 5).await;
    let last = before.last().expect("five")["cursor"].clone();

    world.api.kill().await;
    assert!(matches!(
        loop {
            if let Err(end) = told.try_next().await {
                break end;
            }
        },
        ClientError::Closed(_)
    ));
    world.api.restart().await;
    for _ in 0..3 {
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
    }
    world.finalizes().await;

    let all = world
        .sql("SELECT count(*) AS events FROM integrity_feed")
        .await[0]["events"]
        .as_u64();
    let all = usize::try_from(all.expect("a number")).expect("a few") - 1;
    let mut resumed = ana.watches(json!({ "after": last })).await;
    let mut whole = ana.watches(json!({ "after": start })).await;
    let after = takes(&mut resumed, all - before.len()).await;
    let expected = takes(&mut whole, all).await;
    let cursors = |events: &[Value]| {
        events
            .iter()
            .map(|it| text(&it["cursor"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        [cursors(&before), cursors(&after)].concat(),
        cursors(&expected)
    );
    let distinct: BTreeSet<_> = cursors(&expected).into_iter().collect();
    assert_eq!(distinct.len(), all, "none twice");
    // Of each record the stations come in order.
    let records = world.sql("SELECT id FROM medical_records").await;
    for record in records.iter().map(id) {
        let kinds: Vec<_> = expected
            .iter()
            .filter(|it| it["recordId"] == record.as_str())
            .map(|it| text(&it["kind"]))
            .collect();
        let wanted = [
            "ANCHOR_PENDING",
            "ANCHOR_SUBMITTED",
            "ANCHOR_CONFIRMED",
            "ANCHOR_FINALIZED",
        ];
        let mut order: Vec<_> = kinds
            .iter()
            .map(|kind| wanted.iter().position(|it| it == kind))
            .collect();
        assert!(
            order.iter().all(Option::is_some) && order.is_sorted(),
            "{kinds:?}"
        );
        order.dedup();
        assert_eq!(order.len(), kinds.len(), "{kinds:?}");
        assert_eq!(kinds.last().map(String::as_str), Some("ANCHOR_FINALIZED"));
    }
}

#[tokio::test]
async fn everybody_is_told_of_what_they_may_see_at_that_moment_and_of_nothing_else() {
    let world = World::start().await;
    let (ana, eve, joe) = (
        world.patient("ana").await,
        world.patient("eve").await,
        world.patient("joe").await,
    );
    let (dr_bo, dr_cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let ada = world.admin("ada").await;
    let start = first_cursor(&ana).await;
    let consent = ana.lets(&dr_bo, &["SEARCH"]).await;
    for doctor in [&dr_bo, &dr_cy] {
        joe.lets(doctor, &["SEARCH"]).await;
    }
    let follow = async |person: &Person| person.watches(json!({ "after": start })).await;
    let (mut bo_told, mut cy_told) = (follow(&dr_bo).await, follow(&dr_cy).await);
    let (mut ana_told, mut eve_told) = (follow(&ana).await, follow(&eve).await);
    let mut admin_told = follow(&ada).await;
    let create = async |patient: &Person| {
        let document = documents::vital_signs();
        let record = id(&patient.creates(patient, "VITAL_SIGNS", document).await);
        world.wait_for_anchor(&record, "CONFIRMED").await;
        record
    };
    // All that is told until the anchor of the last record is confirmed.
    let told_until = async |events: &mut Events, last: &str| {
        let mut ids = BTreeSet::new();
        loop {
            let event = events.next().await;
            ids.insert(text(&event["recordId"]));
            if event["recordId"] == last && event["kind"] == "ANCHOR_CONFIRMED" {
                return ids;
            }
        }
    };

    let hers = create(&ana).await;
    assert!(told_until(&mut bo_told, &hers).await.contains(&hers));
    ana.withdraws(&consent).await;
    let withdrawn = create(&ana).await;
    let other = create(&eve).await;
    let last = create(&joe).await;

    assert_eq!(told_until(&mut bo_told, &last).await, [last.clone()].into());
    assert_eq!(told_until(&mut cy_told, &last).await, [last.clone()].into());
    assert_eq!(
        told_until(&mut eve_told, &other).await,
        [other.clone()].into()
    );
    let told = told_until(&mut ana_told, &withdrawn).await;
    assert!(
        told.contains(&hers) && told.len() == 3,
        "{told:?}, the first of all too"
    );
    let told = told_until(&mut admin_told, &last).await;
    assert!(
        [hers, withdrawn.clone(), other, last]
            .iter()
            .all(|it| told.contains(it)),
        "{told:?}"
    );
    // A stream of one record tells of no other.
    let mut one = ana
        .watches(json!({ "after": start, "recordId": withdrawn }))
        .await;
    assert_eq!(
        told_until(&mut one, &withdrawn).await,
        [withdrawn.clone()].into()
    );
}

#[tokio::test]
async fn a_notice_that_is_lost_only_delays() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let start = first_cursor(&ana).await;
    let mut told = ana.watches(json!({ "after": start })).await;
    let first = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    while told.next().await["recordId"] != first.as_str() {}

    let ended = world
        .sql(
            "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
             WHERE datname = current_database() AND query ILIKE 'LISTEN%'",
        )
        .await;

    assert!(
        !ended.is_empty() && ended.iter().all(|row| row["ended"] == true),
        "{ended:?}"
    );
    let second = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    while told.next().await["recordId"] != second.as_str() {}
    // A cursor that is none is refused, and the subscription with it.
    let mut bad = ana.watches(json!({ "after": "garbage" })).await;
    assert!(bad.try_next().await.is_err());
}

#[tokio::test]
async fn an_event_stream_goes_on_after_the_last_event_that_its_client_has() {
    // No cursor is selected: the stream itself says where it stands.
    const KINDS: &str = "subscription { integrityEvents { kind } }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let from = async |headers: &[(&str, &str)], query: &str| {
        EventStream::open_with(&ana, &world.api, headers, json!({ "query": query })).await
    };
    let beginning = "subscription { integrityEvents(after: \"earliest\") { kind } }";
    let mut stream = from(&[], beginning).await;
    // Something comes before there is anything to tell.
    let first = stream.block().await.expect("it is open");
    assert!(first.starts_with(':'), "{first}");

    for _ in 0..2 {
        let record = ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    }
    let written = world
        .sql("SELECT count(*) AS events FROM integrity_feed")
        .await;
    let written = written[0]["events"].as_u64().expect("a number");
    let written = usize::try_from(written).expect("a few");
    assert!(written >= 4, "{written} events");
    let mut all = Vec::new();
    while all.len() < written {
        let (_, data) = stream.next().await.expect("an event");
        let cursor = stream.last_id.clone().expect("it has an id");
        assert_eq!(data["extensions"]["cursor"], cursor.as_str());
        all.push((cursor, text(&data["data"]["integrityEvents"]["kind"])));
    }
    drop(stream);

    for (nth, (cursor, _)) in all.iter().enumerate().take(written - 1) {
        // What the client has last is nearer than where it once began.
        let query = if nth % 2 == 0 { KINDS } else { beginning };
        let mut stream = from(&[("last-event-id", cursor)], query).await;
        for expected in &all[nth + 1..] {
            let (_, data) = stream.next().await.expect("an event");
            let told = text(&data["data"]["integrityEvents"]["kind"]);
            assert_eq!(
                (stream.last_id.clone(), told),
                (Some(expected.0.clone()), expected.1.clone())
            );
        }
    }
    for wrong in ["", "0", &all[0].0[1..]] {
        let mut stream = from(&[("last-event-id", wrong)], KINDS).await;
        assert_eq!(stream.ends_with().await, "BAD_USER_INPUT", "{wrong}");
    }
    // Over a WebSocket each event has its cursor beside it, too.
    let mut socket = Socket::open(&world.api, "graphql-transport-ws", &[])
        .await
        .expect("a socket");
    socket.says(init(&ana)).await;
    assert_eq!(
        socket.hears().await.expect("a message")["type"],
        "connection_ack"
    );
    socket.says(subscribe("1", beginning)).await;
    let told = socket.hears().await.expect("a message");
    assert_eq!(told["payload"]["extensions"]["cursor"], all[0].0.as_str());
}

#[tokio::test]
async fn a_stream_can_be_of_some_kinds_and_of_one_patient() {
    const NARROWED: &str = "subscription N($types: [IntegrityEventKind!], $patientId: UUID) {
        integrityEvents(after: \"earliest\", types: $types, patientId: $patientId) {
            kind patientId patient { id email } } }";
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let kim = world.admin("kim").await;
    for patient in [&ana, &budi, &ana] {
        let record = patient
            .creates(patient, "VITAL_SIGNS", documents::vital_signs())
            .await;
        world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    }
    let (pending, confirmed) = ("ANCHOR_PENDING", "ANCHOR_CONFIRMED");
    let table = [
        (
            &kim,
            json!({ "types": [confirmed] }),
            vec![(confirmed, &ana), (confirmed, &budi), (confirmed, &ana)],
        ),
        (
            &kim,
            json!({ "types": [confirmed, pending], "patientId": budi.id }),
            vec![(pending, &budi), (confirmed, &budi)],
        ),
        (
            &kim,
            json!({ "types": [pending], "patientId": ana.id }),
            vec![(pending, &ana), (pending, &ana)],
        ),
        // What would not be told without a filter is not told with one.
        (
            &ana,
            json!({ "types": [pending] }),
            vec![(pending, &ana), (pending, &ana)],
        ),
    ];

    for (person, variables, expected) in table {
        let stream = person.client.subscribe(NARROWED, &variables).await;
        let mut stream = stream.expect("it begins");
        for (kind, whose) in expected {
            let answer = stream.next_within(PATIENCE).await.expect("an event");
            let data = answer.data().expect("no error");
            let event = &data["integrityEvents"];
            let told = (text(&event["kind"]), text(&event["patientId"]));
            assert_eq!(told, (kind.to_owned(), whose.id.clone()), "{variables}");
            assert_eq!(event["patient"], json!({ "id": whose.id, "email": null }));
        }
    }
    let begun = "action_type = 'AUDIT_READ' AND new_value -> 'types' ->> 0 = 'ANCHOR_PENDING'";
    let begun = format!("{begun} AND new_value ->> 'patient' = '{}'", ana.id);
    let rows = world.audit_rows(&begun).await;
    assert_eq!(rows.len(), 1, "the trail has what was asked for");
    let none = "subscription { integrityEvents(types: []) { kind } }";
    let mut refused = EventStream::open(&kim, &world.api, none).await;
    assert_eq!(refused.ends_with().await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn a_stream_with_nothing_to_say_says_so() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut stream = EventStream::open(&ana, &world.api, FOLLOW).await;
    let mut socket = Socket::open(&world.api, "graphql-transport-ws", &[])
        .await
        .expect("a socket");
    socket.says(init(&ana)).await;
    assert_eq!(
        socket.hears().await.expect("a message")["type"],
        "connection_ack"
    );

    let opened = stream.block().await.expect("it is open");
    let heartbeat = stream.block().await.expect("it is still open");
    assert!(
        opened.starts_with(':') && heartbeat.starts_with(':'),
        "{opened}{heartbeat}"
    );
    let message = timeout(PATIENCE, socket.0.next()).await;
    let message = message.expect("it says something").expect("a message");
    assert!(message.expect("it is whole").is_ping());
}

/// In how many transactions it was decided who may be told, and how many statements there were besides, but for those that an
/// api runs while nobody asks. What a client has not taken within 100 ms is decided on again, so that the first is a matter of
/// time, and the second is not: a transaction that decides runs no statement twice. That transactions begin and end says
/// nothing: what an api does by itself is in some, too.
fn asked(tap: &Wiretap) -> (usize, usize) {
    let heard = tap.takes_asked();
    // As `Plans::Kept` begins one.
    let decides = |text: &&String| text.starts_with("BEGIN") && text.contains("force_generic_plan");
    let decisions = heard.iter().filter(decides).count();
    let is_bracket = |text: &str| {
        let brackets = ["BEGIN", "COMMIT", "ROLLBACK"];
        brackets.iter().any(|bracket| text.starts_with(bracket))
    };
    let mut times = BTreeMap::<&str, usize>::new();
    for text in &heard {
        if !is_bracket(text) {
            *times.entry(text).or_default() += 1;
        }
    }
    let besides = times.values().map(|run| run.saturating_sub(decisions));
    (decisions, besides.sum())
}

/// How often it is tried whether streams have read the log to its end.
const TRIES: usize = 10;
/// How many statements besides those of decisions are told apart from a statement for each stream.
const BESIDES: usize = 40;

/// Each of the streams of [`follow_by_sockets`] hears one event.
async fn all_hear(sockets: &mut [Socket]) {
    for socket in sockets {
        for _ in 0..20 {
            assert_eq!(socket.hears().await.expect("a message")["type"], "next");
        }
    }
}

/// Ten sockets of one account, with twenty streams each.
async fn follow_by_sockets(api: &Program, person: &Person) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for _ in 0..10 {
        let socket = Socket::open(api, "graphql-transport-ws", &[]).await;
        let mut socket = socket.expect("a socket");
        socket.says(init(person)).await;
        assert_eq!(
            socket.hears().await.expect("a message")["type"],
            "connection_ack"
        );
        for stream in 0..20 {
            socket.says(subscribe(&stream.to_string(), FOLLOW)).await;
        }
        sockets.push(socket);
    }
    sockets
}

#[tokio::test]
async fn a_stream_costs_what_it_tells_and_not_what_happens_to_everybody() {
    let world = World::start().await;
    let (tap, api) = world.tapped_api().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let ben = world.patient("ben").await;
    ana.lets(&bo, &["SEARCH"]).await;
    let happens = async |patient: &Person, times: u32| {
        let statement = format!(
            "INSERT INTO integrity_feed (kind, patient_id, record_id, record_type)
             SELECT 'ANCHOR_PENDING', '{}', gen_random_uuid(), 'VITAL_SIGNS'
             FROM generate_series(1, {times}); NOTIFY integrity_feed",
            patient.id
        );
        world.executes(&statement).await;
    };
    for _ in 0..20 {
        happens(&ben, 100).await;
        happens(&ana, 9).await;
    }

    // 180 of 2,180 events, again from the beginning. A doctor's stream reads those of patients who may let the doctor in, an
    // administrator is told of all: nine decisions, if nothing waits.
    for person in [&ana, &bo, world.first_admin().await] {
        let person = person.at(&api);
        asked(&tap);
        let began = Instant::now();
        let mut told = person.watches(json!({ "after": "earliest" })).await;
        let mut hers = 0;
        while hers < 180 {
            let event = told.next().await;
            hers += usize::from(event["patientId"] == ana.id.as_str());
        }
        let (decisions, besides) = asked(&tap);
        let again = usize::try_from(began.elapsed().as_millis() / 100).expect("a few");
        let who = &person.username;
        assert!(
            decisions <= 25 + again,
            "{who}: {decisions} decisions, of which {again} because time went by"
        );
        assert!(besides <= 60, "{who}: {besides} statements besides");
    }

    // 200 streams of one account, and four events.
    let mut sockets = follow_by_sockets(&api, &ana).await;
    let begun = "user_id::text = '%' AND new_value ->> 'subscription' IS NOT NULL";
    eventually("all of them have begun", async || {
        let rows = world.audit_rows(&begun.replace('%', &ana.id)).await;
        (rows.len() >= 201).then_some(())
    })
    .await;
    // They take turns to read the log to its end: once an event makes none of them read, all have.
    for _ in 0..TRIES {
        asked(&tap);
        happens(&ana, 1).await;
        all_hear(&mut sockets).await;
        if asked(&tap).1 <= BESIDES {
            break;
        }
    }
    let began = Instant::now();
    for _ in 0..4 {
        happens(&ben, 1).await;
        happens(&ana, 1).await;
        all_hear(&mut sockets).await;
    }
    // 800 times somebody is told. Those who wait are decided on together; how many that are is a matter of time.
    let (decisions, besides) = asked(&tap);
    let again = usize::try_from(began.elapsed().as_millis() / 100).expect("a few");
    assert!(
        decisions <= 80 + again,
        "{decisions} decisions for four events, of which {again} because time went by"
    );
    assert!(besides <= BESIDES, "{besides} statements besides");
}

/// One event about a patient.
async fn one_happens(world: &World, patient: &Person) {
    let statement = format!(
        "INSERT INTO integrity_feed (kind, patient_id, record_id, record_type)
         VALUES ('ANCHOR_PENDING', '{}', gen_random_uuid(), 'VITAL_SIGNS');
         NOTIFY integrity_feed",
        patient.id
    );
    world.executes(&statement).await;
}

/// Waits until this account has begun 200 streams.
async fn have_begun(world: &World, person: &Person) {
    let begun = "user_id::text = '%' AND new_value ->> 'subscription' IS NOT NULL";
    eventually("all of them have begun", async || {
        let rows = world.audit_rows(&begun.replace('%', &person.id)).await;
        (rows.len() >= 200).then_some(())
    })
    .await;
}

/// How often it was decided about entries of records for doctors, and how often it was found which doctors a batch of entries
/// can concern, since this was last asked.
fn asked_about_doctors(tap: &Wiretap) -> (usize, usize) {
    // For a doctor alone it is asked which of the records are withheld.
    const WITHHELD: &str = "AND (restricted_at IS NOT NULL OR erased_at IS NOT NULL)";
    let heard = tap.takes_asked();
    let times = |part: &str| heard.iter().filter(|text| text.contains(part)).count();
    (times(WITHHELD), times("AS party(named)"))
}

#[tokio::test]
async fn doctors_streams_are_woken_for_those_who_may_let_them_in_and_for_nobody_else() {
    let world = World::start().await;
    let (tap, api) = world.tapped_api().await;
    let (ana, ben) = (world.patient("ana").await, world.patient("ben").await);
    let cara = world.patient("cara").await;
    let (bo, kim) = (world.doctor("bo").await, world.admin("kim").await);
    let clinic = world.organization("Clinic", "ID").await;
    ana.lets(&bo, &["SEARCH"]).await;
    cara.lets_members(&clinic, "ID", &["SEARCH"]).await;
    let mut sockets = follow_by_sockets(&api, &bo).await;
    have_begun(&world, &bo).await;
    let hear = async |sockets: &mut Vec<Socket>, patient: &Person| {
        for socket in sockets {
            for _ in 0..20 {
                let told = socket.hears().await.expect("a message");
                assert_eq!(told["type"], "next", "{told}");
                let event = &told["payload"]["data"]["integrityEvents"];
                assert!(
                    event["cursor"].is_string(),
                    "of {}: {told}",
                    patient.username
                );
            }
        }
    };
    // An administrator's stream says that an entry was passed on.
    let mut witness = kim.at(&api).watches(json!({})).await;
    let passes_on = async |events: &mut Events, patient: &Person| {
        one_happens(&world, patient).await;
        let event = events.next().await;
        assert_eq!(event["patientId"], patient.id.as_str());
    };

    for (patient, other) in [
        (&ana, [&ben, &cara]),
        (&ben, [&cara, &cara]),
        (&cara, [&ana, &ben]),
    ] {
        // What comes about: a consent, a membership; and the consent before is taken back.
        if patient.id == ben.id {
            ben.lets(&bo, &["SEARCH"]).await;
        } else if patient.id == cara.id {
            world.joins(&bo, &clinic).await;
            for withdraws in [&ana, &ben] {
                let consents = "SELECT id FROM data_processing_consents
                                WHERE consent_withdrawn_at IS NULL AND user_id::text = '%'";
                let consents = world.sql(&consents.replace('%', &withdraws.id)).await;
                withdraws.withdraws(&id(&consents[0])).await;
            }
        }
        // The streams have read the log to its end once they tell of something new.
        passes_on(&mut witness, patient).await;
        hear(&mut sockets, patient).await;
        let (decisions, _) = asked_about_doctors(&tap);
        assert!(decisions > 0, "it is decided about what they hear");
        for _ in 0..10 {
            for patient in other {
                passes_on(&mut witness, patient).await;
            }
        }
        let (decisions, routes) = asked_about_doctors(&tap);
        assert_eq!(decisions, 0, "nobody's stream is woken for others");
        assert!(routes <= 20, "{routes} statements for 20 entries");
    }
}

#[tokio::test]
async fn what_an_entry_costs_does_not_grow_with_the_administrators_streams() {
    let world = World::start().await;
    let (tap, api) = world.tapped_api().await;
    let (ana, kim) = (world.patient("ana").await, world.admin("kim").await);
    let mut sockets = follow_by_sockets(&api, &kim).await;
    have_begun(&world, &kim).await;
    // They take turns to read the log to its end: once an entry makes none of them read, all have.
    for _ in 0..TRIES {
        asked(&tap);
        one_happens(&world, &ana).await;
        all_hear(&mut sockets).await;
        if asked(&tap).1 <= BESIDES {
            break;
        }
    }
    for _ in 0..4 {
        one_happens(&world, &ana).await;
        all_hear(&mut sockets).await;
    }

    // How many of them are decided on together is a matter of time; that each decision costs the same is not.
    let (decisions, besides) = asked(&tap);
    assert!(decisions > 0, "each entry is decided on");
    assert!(
        besides <= BESIDES,
        "{besides} statements besides {decisions}"
    );
}
