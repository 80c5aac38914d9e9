//! GraphQL over Server-Sent Events, in the protocol's *distinct connections* mode: one request, one
//! stream. It obeys the same query limits as everything else, and ends with its token and its log-in.
//!
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use async_graphql::{Request, Response as Answer, parser::types::OperationType};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use domain::throttle::Network;
use futures::{Stream, StreamExt as _, stream};
use tracing::{Instrument as _, Span};

use crate::{
    answer_budget::AnswerBudget,
    caller::RequestContext,
    graphql::event::EventCursor,
    lease::{Lease, LeaseRefused},
    rejected::Rejected,
    schema::{Schema, Via},
    wire::{MediaType, UNBUFFERED, refuse, to_json},
};

/// How often a stream that has nothing to say says so: proxies close what is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A time as HTTP writes it (RFC 9110, section 5.6.7), in UTC.
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// Answers a request by an event stream. What the query limits refuse is told in the stream as well, because a
/// browser shows nothing of a stream that did not open. The token was checked before.
pub(crate) async fn answer(
    schema: Schema,
    request: Request,
    via: Via,
    context: RequestContext,
) -> Response {
    let context = Arc::new(context);
    let refused = |refusal: &Rejected| {
        let answer = schema.finish_errors(refusal.response(), &context);
        open(&schema, stream::iter([next(&answer), complete()]))
    };
    let app = schema.app();
    let mut lease = match Lease::open(app.leasing(), Network::of(context.origin.address)) {
        Ok(lease) => lease,
        Err(refusal) => return too_many(&schema, refusal, &context),
    };
    if let Some(Ok(bearer)) = context.token {
        match lease.log_in(app.leasing(), bearer).await {
            Ok(()) => {}
            Err(refusal @ LeaseRefused::TooMany) => return too_many(&schema, refusal, &context),
            Err(refusal @ LeaseRefused::SessionEnded) => return refused(&refusal.rejection()),
        }
    }
    let (kind, request) = match schema.check_request(request, via, &context) {
        Ok(admitted) => admitted,
        Err(refusal) => return refused(&refusal),
    };
    let mut paid = None;
    let answers: Answers = match kind {
        OperationType::Subscription => Box::pin(schema.follow(request, Arc::clone(&context))),
        OperationType::Query | OperationType::Mutation => {
            let (answer, budget) = schema.execute(request, &context).await;
            paid = budget;
            Box::pin(stream::once(async { answer }))
        }
    };
    let running = RunningOperation {
        answers,
        lease,
        _paid: paid,
        stage: Stage::Running,
        schema: schema.clone(),
        context,
        span: Span::current(),
    };
    let events = stream::unfold(running, |mut running| {
        let span = running.span.clone();
        let next = async {
            let event = running.next().await?;
            Some((event, running))
        };
        next.instrument(span)
    });
    open(&schema, events)
}

/// What is told where as much is open as may be: before the stream, so that whoever counts sees the status.
fn too_many(schema: &Schema, refusal: LeaseRefused, context: &RequestContext) -> Response {
    let status = StatusCode::TOO_MANY_REQUESTS;
    refuse(
        schema,
        &refusal.rejection(),
        context,
        status,
        MediaType::Json,
    )
}

/// An event stream that says something at once, so that whoever waits for its first byte, be it a proxy or
/// a person, knows that it is open.
fn open(schema: &Schema, events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let first = Event::default().comment("open");
    let events = stream::iter([first]).chain(events).map(Ok::<_, Infallible>);
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let mut response = (UNBUFFERED, stream).into_response();
    // hyper would say when, of what it writes itself.
    let now = schema.app().clock.now().format(HTTP_DATE).to_string();
    if let Ok(now) = HeaderValue::from_str(&now) {
        response.headers_mut().insert(header::DATE, now);
    }
    response
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// Everything is said but that it is complete.
    Last,
    Over,
}

type Answers = Pin<Box<dyn Stream<Item = Answer> + Send>>;

/// One open stream.
struct RunningOperation {
    answers: Answers,
    lease: Lease,
    /// What its one answer was paid for by.
    _paid: Option<AnswerBudget>,
    stage: Stage,
    schema: Schema,
    context: Arc<RequestContext>,
    span: Span,
}

impl RunningOperation {
    async fn next(&mut self) -> Option<Event> {
        match self.stage {
            Stage::Over => return None,
            Stage::Last => {
                self.stage = Stage::Over;
                return Some(complete());
            }
            Stage::Running => {}
        }
        let over = tokio::select! {
            biased;
            over = self.lease.over() => over,
            answer = self.answers.next() => {
                let Some(answer) = answer else {
                    self.stage = Stage::Over;
                    return Some(complete());
                };
                return Some(next(&answer));
            }
        };
        self.stage = Stage::Last;
        Some(next(
            &self
                .schema
                .finish_errors(over.rejection().response(), &self.context),
        ))
    }
}

/// One answer. That of a subscription has its cursor as `id`, which a client hands back as `Last-Event-ID`.
fn next(answer: &Answer) -> Event {
    let event = Event::default().event("next").data(to_json(answer));
    match EventCursor::read(answer) {
        Some(cursor) => event.id(cursor),
        None => event,
    }
}

fn complete() -> Event {
    Event::default().event("complete").data("")
}
