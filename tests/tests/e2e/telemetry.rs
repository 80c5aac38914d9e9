//! What leaves the programs for those who operate them: logs of what was slow, a file that is rotated, traces.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use dev::process::Signal;
use dev::scratch::Scratch;
use serde_json::Value;
use tests::{World, documents, eventually, id, text};

/// What collects traces, as an OpenTelemetry collector does: by `POST /v1/traces`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Vec<Value>>>);

impl Collector {
    /// Begins to collect; answers where.
    pub(crate) async fn start() -> (Self, String) {
        let this = Self::default();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let taken = Arc::clone(&this.0);
        let collects = async move |body: String| {
            let body = serde_json::from_str(&body).expect("JSON");
            taken.lock().expect("no panic").push(body);
            "{}"
        };
        let app = axum::Router::new().route("/v1/traces", axum::routing::post(collects));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (this, format!("http://127.0.0.1:{port}"))
    }

    /// All that was collected, as it came.
    pub(crate) fn bodies(&self) -> String {
        let taken = self.0.lock().expect("no panic");
        taken.iter().map(Value::to_string).collect()
    }

    /// The spans of a program.
    fn spans(&self, service: &str) -> Vec<Value> {
        let taken = self.0.lock().expect("no panic");
        let of_service = taken
            .iter()
            .map(|body| &body["resourceSpans"][0])
            .filter(|spans| spans["resource"]["attributes"][0]["value"]["stringValue"] == service);
        let spans = of_service.filter_map(|spans| spans["scopeSpans"][0]["spans"].as_array());
        spans.flatten().cloned().collect()
    }
}

/// The value of an attribute of a span.
fn attribute<'a>(span: &'a Value, name: &str) -> Option<&'a str> {
    let mut attributes = span["attributes"].as_array()?.iter();
    let found = attributes.find(|it| it["key"] == name)?;
    found["value"]["stringValue"].as_str()
}

fn set(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = settings.iter();
    settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_collector_gets_operations_statements_and_calls_of_the_node_and_nothing_of_a_person() {
    let (collector, url) = Collector::start().await;
    let world = World::with(|options| {
        options.api.extend(set(&[("MEDITRUSTAL_OTLP_URL", &url)]));
        options
            .indexer
            .extend(set(&[("MEDITRUSTAL_OTLP_URL", &url)]));
    })
    .await;
    let ana = world.patient("ana").await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    ana.reads(&id(&record)).await.data();
    let asked = dev::http::get(format!("{}/health/live", world.api.url())).await;
    let asked = asked.expect("it is answered");
    let request = asked.headers()["x-request-id"].to_str().expect("a text");
    let request = request.replace('-', "");

    let api = eventually("the api's spans are there", async || {
        let spans = collector.spans("meditrustal");
        let is_there = |name: &str, value: Option<(&str, &str)>| {
            spans.iter().any(|span| {
                span["name"] == name
                    && value.is_none_or(|(of, value)| attribute(span, of) == Some(value))
            })
        };
        let all = is_there(
            "operation",
            Some(("graphql.field.name", "createMedicalRecord")),
        ) && is_there("operation", Some(("graphql.field.name", "medicalRecord")))
            && is_there("statement", Some(("db.system.name", "postgresql")))
            && is_there("node call", Some(("rpc.method", "eth_sendRawTransaction")))
            && spans.iter().any(|span| span["traceId"] == request.as_str());
        all.then(|| spans.clone())
    })
    .await;
    eventually("the indexer's spans are there", async || {
        let spans = collector.spans("meditrustal-indexer");
        let names: BTreeSet<_> = spans.iter().map(|span| text(&span["name"])).collect();
        let all = ["round", "node call", "statement"];
        all.iter().all(|&name| names.contains(name)).then_some(())
    })
    .await;

    // A statement is part of its operation, which is part of its request.
    let by_id = |id: &Value| api.iter().find(|span| span["spanId"] == *id);
    let whole = api.iter().any(|statement| {
        let operation = by_id(&statement["parentSpanId"]);
        let request = operation.and_then(|operation| by_id(&operation["parentSpanId"]));
        statement["name"] == "statement"
            && operation.is_some_and(|it| it["name"] == "operation")
            && request
                .is_some_and(|it| it["name"] == "request" && it["traceId"] == statement["traceId"])
    });
    assert!(whole, "{api:#?}");
    // Nothing of a person or a record, and no text of a statement.
    let all = collector.bodies();
    let record = id(&record);
    for trace in [&ana.id, &ana.username, &ana.email, &ana.password, &record] {
        assert!(!all.contains(trace.as_str()), "{trace}");
    }
    // A name has four words, in which these never stand.
    for part in [" AND ", "ORDER BY", "LIMIT"] {
        assert!(!all.contains(part), "a text of a statement: {part}");
    }
    let keys: BTreeSet<_> = api
        .iter()
        .flat_map(|span| span["attributes"].as_array().expect("a list"))
        .map(|attribute| text(&attribute["key"]))
        .collect();
    let known = [
        "db.query.summary",
        "db.system.name",
        "graphql.field.name",
        "meditrustal.query",
        "rpc.method",
    ];
    assert_eq!(keys, BTreeSet::from(known.map(str::to_owned)));
}

#[tokio::test]
async fn what_was_slow_is_logged_by_its_name_with_the_request_into_a_file_that_is_rotated() {
    let scratch = Scratch::new("logs").expect("there is room for a file");
    let log = scratch.path().join("api.log");
    let world = World::with(|options| {
        options.api.extend(set(&[
            ("MEDITRUSTAL_LOG_FILE", &log.display().to_string()),
            ("MEDITRUSTAL_LOG_FORMAT", "json"),
            ("MEDITRUSTAL_SLOW_STATEMENT_MS", "1"),
            ("MEDITRUSTAL_SLOW_OPERATION_MS", "1"),
        ]));
    })
    .await;
    let ana = world.patient("ana").await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(&log).unwrap_or_default();
        // The last one may be on its way.
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.collect()
    };
    let says = |line: &Value, what: &str| line["fields"]["message"] == what;

    let statement = eventually(
        "a slow statement of ours is logged with its request",
        async || {
            lines().into_iter().find(|line| {
                says(line, "A statement was slow")
                    && line["fields"]["statement"]
                        .as_str()
                        .is_some_and(|it| it.starts_with("INSERT INTO"))
                    && line["spans"][0]["name"] == "request"
            })
        },
    )
    .await;
    let operation = eventually("a slow operation is logged with its request", async || {
        lines().into_iter().find(|line| {
            says(line, "An operation was slow")
                && line["fields"]["operation"] == "createMedicalRecord"
                && line["spans"][0]["name"] == "request"
        })
    })
    .await;
    assert!(
        operation["fields"]["seconds"]
            .as_f64()
            .is_some_and(|it| it >= 0.001)
    );

    // It is a statement of ours, by the name of its file.
    let fingerprint = text(&statement["fields"]["query"]);
    let root = dev::repository::root().expect("the tests run inside a clone");
    let recorded = fs::read_dir(root.join(".sqlx")).expect("there are statements");
    let beginning = format!("query-{fingerprint}");
    let mut names = recorded
        .flatten()
        .map(|it| it.file_name().to_string_lossy().into_owned());
    assert!(
        names.any(|name| name.starts_with(&beginning)),
        "{statement}"
    );
    // Neither its text nor a value.
    let all = fs::read_to_string(&log).expect("it is there");
    for part in [
        " AND ",
        "ORDER BY",
        "db.statement",
        &ana.email,
        &ana.password,
    ] {
        assert!(!all.contains(part), "{part}");
    }
    assert!(all.contains("A statement was slow"));

    // Rotated: what is logged from then on is in a new file.
    let rotated = scratch.path().join("api.log.1");
    fs::rename(&log, &rotated).expect("it is renamed");
    world.api.signal(Signal::HUP);
    eventually("it was opened again", async || {
        lines()
            .iter()
            .any(|line| says(line, "The log file was opened again"))
            .then_some(())
    })
    .await;
    ana.reads(&id(&record)).await.data();
    assert!(
        !fs::read_to_string(&rotated)
            .expect("it is there")
            .contains("opened again")
    );
}

#[tokio::test]
async fn a_log_file_that_cannot_be_written_and_a_collector_that_is_none_are_told() {
    let world = World::start().await;
    let programs = world.foundation.programs.clone();
    let refused = tokio::task::spawn_blocking(move || {
        let schema = |name: &str, value: &str| programs.operate(&["schema"], &[(name, value)], "");
        [
            schema("MEDITRUSTAL_LOG_FILE", "/nowhere/at/all.log"),
            schema("MEDITRUSTAL_OTLP_URL", "grpc://collector"),
        ]
    });
    let [file, collector] = refused.await.expect("a command does not panic");

    let file = file.expect_err("there is no such directory").to_string();
    assert!(
        file.contains("MEDITRUSTAL_LOG_FILE: /nowhere/at/all.log cannot be written"),
        "{file}"
    );
    let collector = collector.expect_err("it is another protocol").to_string();
    assert!(
        collector.contains("it is no address of a collector"),
        "{collector}"
    );
}
