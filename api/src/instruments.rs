//! What this process counts and measures, for `/metrics`. Labels come from closed lists: the root fields of the schema, the
//! codes of errors, the routes, the queues, the kinds of findings, the tables. Nothing of a request becomes a label.

mod sampled;

use std::{sync::OnceLock, time::Duration};

use axum::http::StatusCode;
use metrics::{
    COMPUTATIONS, Counter, DURATIONS, Gauge, Histogram, Label, Labelled, Metrics, SIZES,
};

pub(crate) use self::sampled::{CHECKPOINT_STATES, NODES, PARTS, REGISTRARS, SampledMetrics};
use crate::codes::ErrorCode;

/// The addresses that are told apart.
const ROUTES: [&str; 10] = [
    "/graphql",
    "/import",
    "/export",
    "/audit/export",
    "/my-data",
    ATTACHMENTS,
    "/.well-known/jwks.json",
    "/health/live",
    "/health/ready",
    "/health/serving",
];
/// Where files of records are, whichever they are.
pub(crate) const ATTACHMENTS: &str = "/records/attachments";
/// The classes of HTTP's answers.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The queues of [`crate::batcher`], as each names itself.
const QUEUES: [&str; 6] = [
    "writer",
    "disclosure",
    "own-accounts",
    "lists",
    "long-lists",
    "visibility",
];
/// What a node said to a transaction.
const OUTCOMES: [&str; 10] = [
    "taken",
    "nonce-used",
    "underpriced",
    "no-funds",
    "refused",
    "unreachable",
    "without-effect",
    "raised",
    "nonce-elsewhere",
    "nodes-differ",
];
/// What is throttled: the kinds of attempts.
const ATTEMPTS: [&str; 5] = ["log-in", "proof", "refresh", "register", "challenge"];

static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();

/// Names the root fields of the schema, before anything is counted. What is counted before is counted as none of them.
pub(crate) fn begin(root_fields: Vec<String>, slow_operation: Duration) {
    INSTRUMENTS.get_or_init(|| Instruments {
        slow_operation,
        ..Instruments::new(root_fields)
    });
}

/// What this process counts with.
pub(crate) fn instruments() -> &'static Instruments {
    INSTRUMENTS.get_or_init(|| Instruments::new(Vec::new()))
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Instruments {
    all: Metrics,
    /// How long a root field may take before it is logged.
    slow_operation: Duration,
    requests: RequestMetrics,
    queues: QueueMetrics,
    handed_over: Labelled<Counter>,
    throttled: Labelled<Counter>,
    /// What transactions offer now. Unit: wei per gas.
    pub(crate) fee: Gauge,
    /// Entries of the feed that were passed on.
    pub(crate) feed_entries: Counter,
    /// Sockets, event streams, imports and exports that are open.
    pub(crate) streams: Gauge,
    /// Answers of subscriptions.
    pub(crate) subscription_events: Counter,
    /// Rows of the trail that were given their places.
    pub(crate) ordered_rows: Counter,
    /// Rows that the deep check looked at.
    pub(crate) checked_rows: Counter,
    /// What is looked at every few seconds.
    pub(crate) sampled: SampledMetrics,
}

/// Rate, errors and durations.
#[derive(Debug)]
struct RequestMetrics {
    fields: Labelled<Histogram>,
    failures: Labelled<Counter>,
    errors: Labelled<Counter>,
    limits_checks: Histogram,
    http: Labelled<Counter>,
    http_durations: Labelled<Histogram>,
}

impl RequestMetrics {
    fn new(all: &mut Metrics, root_fields: Vec<String>) -> Self {
        let field = Label::new("field", root_fields);
        let code = Label::new("code", ErrorCode::ALL.iter().map(|code| code.as_str()));
        let route = Label::new("route", ROUTES);
        let class = Label::new("class", CLASSES);
        Self {
            fields: all.histograms(
                "graphql_field_duration_seconds",
                "How long root fields of queries and mutations took",
                std::slice::from_ref(&field),
                DURATIONS,
            ),
            failures: all.counters(
                "graphql_field_failures",
                "Root fields that failed, by the code of the error",
                &[field, code.clone()],
            ),
            errors: all.counters("graphql_errors", "Errors that were answered", &[code]),
            limits_checks: all.histogram(
                "graphql_limits_check_seconds",
                "How long the check of documents against the limits took",
                COMPUTATIONS,
            ),
            http: all.counters(
                "http_requests",
                "Requests that were answered",
                &[route.clone(), class],
            ),
            http_durations: all.histograms(
                "http_request_duration_seconds",
                "How long answers took to begin",
                &[route],
                DURATIONS,
            ),
        }
    }
}

/// The queues of [`crate::batcher`].
#[derive(Debug)]
struct QueueMetrics {
    waiting: Labelled<Gauge>,
    sizes: Labelled<Histogram>,
    turned_away: Labelled<Counter>,
}

impl QueueMetrics {
    fn new(all: &mut Metrics) -> Self {
        let queue = [Label::new("queue", QUEUES)];
        Self {
            waiting: all.gauges("queue_requests", "Requests that wait for a batch", &queue),
            sizes: all.histograms("queue_batch_size", "Requests of a batch", &queue, SIZES),
            turned_away: all.counters("queue_refused", "Requests that found a full queue", &queue),
        }
    }
}

impl Instruments {
    fn new(root_fields: Vec<String>) -> Self {
        let mut all = Metrics::default();
        let version = env!("CARGO_PKG_VERSION");
        let versions = [Label::new("version", [version])];
        let build = all.gauges("api_build_info", "1 for the version that runs", &versions);
        build.with(&[version]).set(1.0);
        Self {
            requests: RequestMetrics::new(&mut all, root_fields),
            queues: QueueMetrics::new(&mut all),
            handed_over: all.counters(
                "relay_transactions",
                "What nodes said to the transactions that they were handed",
                &[Label::new("outcome", OUTCOMES)],
            ),
            throttled: all.counters(
                "throttled_attempts",
                "Attempts to get in that have to wait",
                &[Label::new("attempt", ATTEMPTS)],
            ),
            fee: all.gauge(
                "relay_fee_wei",
                "The most that a transaction offers now for a unit of gas",
            ),
            feed_entries: all.counter("feed_entries", "Entries of the feed that were passed on"),
            streams: all.gauge(
                "streams_open",
                "WebSockets, event streams, imports and exports that are open",
            ),
            subscription_events: all.counter("subscription_events", "Answers of subscriptions"),
            ordered_rows: all.counter(
                "audit_rows_ordered",
                "Rows of the audit trail that were given their places",
            ),
            checked_rows: all.counter("deep_check_rows", "Rows that the deep check looked at"),
            sampled: SampledMetrics::new(&mut all),
            slow_operation: Duration::MAX,
            all,
        }
    }

    /// A root field of a query or a mutation was resolved, or failed with this code.
    pub(crate) fn resolved(&self, field: &str, took: Duration, failed: Option<ErrorCode>) {
        if took >= self.slow_operation {
            let seconds = took.as_secs_f64();
            tracing::warn!(operation = field, seconds, "An operation was slow");
        }
        let requests = &self.requests;
        requests.fields.with(&[field]).observe(took.as_secs_f64());
        if let Some(code) = failed {
            requests.failures.with(&[field, code.as_str()]).inc();
        }
    }

    /// An error was answered.
    pub(crate) fn erred(&self, code: &str) {
        self.requests.errors.with(&[code]).inc();
    }

    /// A document was held against the limits, and let through or refused.
    pub(crate) fn checked_limits(&self, took: Duration) {
        self.requests.limits_checks.observe(took.as_secs_f64());
    }

    /// A request was answered. A WebSocket's answer begins it: how long it stays open is no duration of a request.
    pub(crate) fn answered(&self, path: &str, status: StatusCode, took: Duration) {
        let class = CLASSES
            .iter()
            .zip(1..)
            .find(|(_, hundreds)| status.as_u16() / 100 == *hundreds);
        let class = class.map_or(metrics::OTHER, |(class, _)| *class);
        self.requests.http.with(&[path, class]).inc();
        let durations = &self.requests.http_durations;
        durations.with(&[path]).observe(took.as_secs_f64());
    }

    /// A batch was taken from a queue, in which so many wait now.
    pub(crate) fn batched(&self, queue: &str, size: usize, waiting: usize) {
        self.queues.sizes.with(&[queue]).observe(count(size));
        self.queues.waiting.with(&[queue]).set(count(waiting));
    }

    /// A queue was full.
    pub(crate) fn turned_away(&self, queue: &str) {
        self.queues.turned_away.with(&[queue]).inc();
    }

    /// What a node said to a transaction: one of [`OUTCOMES`].
    pub(crate) fn handed_over(&self, outcome: &str) {
        self.handed_over.with(&[outcome]).inc();
    }

    /// An attempt has to wait: one of [`ATTEMPTS`].
    pub(crate) fn throttled(&self, attempt: &str) {
        self.throttled.with(&[attempt]).inc();
    }

    /// All of it, as `/metrics` tells it.
    pub(crate) fn text(&self) -> String {
        self.all.text()
    }
}

fn count(number: usize) -> f64 {
    metrics::number(i64::try_from(number).unwrap_or(i64::MAX))
}
