//! Spans for a collector: requests, operations, rounds of the indexer, calls of the node, and the statements of each of them.
//!
//! [`SPANS`] and their attributes are all that is handed over. A statement that is part of none of them, such as those by which
//! a process looks for work, is not.

use std::{
    fmt::Debug,
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use domain::clock::Clock;
use tokio::sync::mpsc;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::{LookupSpan, SpanRef},
};

use crate::statement::{STATEMENTS, Statement};

/// A kind of span: its name, the field that is handed over, how that is called there, and what OTLP calls the kind.
struct SpanKind {
    name: &'static str,
    field: Option<(&'static str, &'static str)>,
    kind: u8,
}

/// OTLP's `SPAN_KIND_INTERNAL`, `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// All kinds that there are. A request's id is the id of its trace, by which the log and the audit trail know it, too.
const SPANS: [SpanKind; 4] = [
    SpanKind {
        name: "request",
        field: None,
        kind: SERVER,
    },
    SpanKind {
        name: "operation",
        field: Some(("field", "graphql.field.name")),
        kind: INTERNAL,
    },
    SpanKind {
        name: "round",
        field: None,
        kind: INTERNAL,
    },
    SpanKind {
        name: "node call",
        field: Some(("method", "rpc.method")),
        kind: CLIENT,
    },
];
/// The field of a request that holds its id.
const REQUEST_ID: &str = "id";
/// How many spans may wait to be handed over; more are dropped.
const WAITING: usize = 8192;

fn kind_of(what: &Metadata<'_>) -> Option<&'static SpanKind> {
    SPANS.iter().find(|kind| kind.name == what.name())
}

/// Whether it may be part of a trace.
pub(crate) fn is_traced(what: &Metadata<'_>) -> bool {
    if what.is_span() {
        kind_of(what).is_some()
    } else {
        what.target() == STATEMENTS
    }
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FinishedSpan {
    /// Of its trace: 32 digits.
    pub(crate) trace: String,
    /// Its own id.
    pub(crate) id: u64,
    /// The span that it is part of.
    pub(crate) parent: Option<u64>,
    /// One of [`SPANS`], or `statement`.
    pub(crate) name: &'static str,
    /// As OTLP numbers kinds.
    pub(crate) kind: u8,
    /// Unit: nanoseconds of Unix.
    pub(crate) began: i64,
    /// Unit: nanoseconds of Unix.
    pub(crate) ended: i64,
    /// Names of ours, and values from our own lists.
    pub(crate) attributes: Vec<(&'static str, String)>,
}

fn now() -> i64 {
    // Until the year 2262.
    Clock::System
        .now()
        .timestamp_nanos_opt()
        .unwrap_or_default()
}

/// Hands spans to whoever exports them.
#[derive(Debug)]
pub(crate) struct Traces {
    finished: mpsc::Sender<FinishedSpan>,
    random: RandomState,
    made: AtomicU64,
}

impl Traces {
    /// A layer, and where what it has seen comes out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<FinishedSpan>) {
        let (finished, receiver) = mpsc::channel(WAITING);
        let this = Self {
            finished,
            random: RandomState::new(),
            made: AtomicU64::new(0),
        };
        (this, receiver)
    }

    /// An id that is not used again, and not guessed. Never 0, which OTLP takes for none.
    fn fresh_id(&self) -> u64 {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        self.random.hash_one(made).max(1)
    }

    fn fresh_trace(&self) -> String {
        format!("{:016x}{:016x}", self.fresh_id(), self.fresh_id())
    }

    fn hand_over(&self, span: FinishedSpan) {
        // A collector that is away costs spans, and nothing else.
        self.finished.try_send(span).ok();
    }
}

/// The trace and the id of the nearest span that is part of one.
fn within<'a, S: LookupSpan<'a> + 'a>(
    spans: impl Iterator<Item = SpanRef<'a, S>>,
) -> Option<(String, u64)> {
    for span in spans {
        if let Some(of) = span.extensions().get::<FinishedSpan>() {
            return Some((of.trace.clone(), of.id));
        }
    }
    None
}

impl<S> Layer<S> for Traces
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let (Some(kind), Some(span)) = (kind_of(attributes.metadata()), context.span(id)) else {
            return;
        };
        let mut told = Told {
            kind,
            request: None,
            value: None,
        };
        attributes.record(&mut told);
        let around = within(span.scope().skip(1));
        let (trace, parent) = match around {
            Some((trace, parent)) => (trace, Some(parent)),
            None => (told.request.unwrap_or_else(|| self.fresh_trace()), None),
        };
        let began = now();
        span.extensions_mut().insert(FinishedSpan {
            trace,
            id: self.fresh_id(),
            parent,
            name: kind.name,
            kind: kind.kind,
            began,
            ended: began,
            attributes: told.value.into_iter().collect(),
        });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let around = context
            .lookup_current()
            .and_then(|span| within(span.scope()));
        let (Some((trace, parent)), Some(statement)) = (around, Statement::of(event)) else {
            return;
        };
        let ended = now();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a statement does not take 292 years"
        )]
        let took = (statement.seconds * 1e9) as i64;
        self.hand_over(FinishedSpan {
            trace,
            id: self.fresh_id(),
            parent: Some(parent),
            name: "statement",
            kind: CLIENT,
            began: ended - took,
            ended,
            attributes: vec![
                ("db.system.name", "postgresql".to_owned()),
                ("db.query.summary", statement.summary),
                ("meditrustal.query", statement.fingerprint),
            ],
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let taken = span.extensions_mut().remove::<FinishedSpan>();
        if let Some(finished) = taken {
            self.hand_over(FinishedSpan {
                ended: now(),
                ..finished
            });
        }
    }
}

/// What a span is made with, of what may be handed over.
struct Told {
    kind: &'static SpanKind,
    request: Option<String>,
    value: Option<(&'static str, String)>,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some((name, called)) = self.kind.field
            && name == field.name()
        {
            self.value = Some((called, value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // As it is displayed: a UUID, whose digits are those of a trace's id.
        if self.kind.kind == SERVER && field.name() == REQUEST_ID {
            let digits = format!("{value:?}").replace('-', "");
            self.request = (digits.len() == 32).then_some(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_trace_has_what_is_on_the_list_and_nothing_else() {
        let (traces, mut finished) = Traces::new();
        let subscriber = tracing_subscriber::registry().with(traces);
        tracing::subscriber::with_default(subscriber, || {
            let id = "0193b5a0-0000-7000-8000-0000000000aa";
            let request = tracing::error_span!("request", %id, person = "ana").entered();
            let operation =
                tracing::debug_span!("operation", field = "medicalRecord", id = "secret");
            operation.in_scope(|| {
                let foreign = tracing::info_span!("something else", email = "ana@example.org");
                let _within = foreign.entered();
                tracing::debug!(
                    target: "sqlx::query",
                    summary = "SELECT id FROM …",
                    db.statement = "\n\nSELECT id FROM users WHERE name = 'ana'\n",
                    elapsed_secs = 0.25,
                );
                tracing::info!(email = "ana@example.org", "A line");
            });
            drop(operation);
            drop(request);
            // Of no request: nobody asked.
            tracing::debug!(target: "sqlx::query", summary = "SELECT 1", db.statement = "", elapsed_secs = 0.25);
        });
        let mut spans = Vec::new();
        while let Ok(span) = finished.try_recv() {
            spans.push(span);
        }

        let names: Vec<_> = spans.iter().map(|span| span.name).collect();
        assert_eq!(names, ["statement", "operation", "request"]);
        let [statement, operation, request] = &spans[..] else {
            unreachable!("there are three");
        };
        assert!(
            spans
                .iter()
                .all(|it| it.trace == "0193b5a00000700080000000000000aa")
        );
        assert_eq!(request.parent, None);
        assert_eq!(operation.parent, Some(request.id));
        assert_eq!(statement.parent, Some(operation.id));
        assert!(request.attributes.is_empty());
        assert_eq!(
            operation.attributes,
            [("graphql.field.name", "medicalRecord".to_owned())]
        );
        assert_eq!(statement.ended - statement.began, 250_000_000);
        let told = format!("{spans:?}");
        assert!(
            !told.contains("ana") && !told.contains("secret") && !told.contains("users"),
            "{told}"
        );
    }
}
