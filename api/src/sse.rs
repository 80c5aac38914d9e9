//! GraphQL over Server-Sent Events, in the protocol's *distinct connections* mode: one request, one
//! stream. It obeys the same query limits as everything else, and ends with its token and its log-in.
//!
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>

use std::{convert::Infallible, pin::Pin, time::Duration};

use async_graphql::{Request, Response as Answer, parser::types::OperationType};
use axum::{
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use domain::{ids::UserId, throttle::Network};
use futures::{Stream, StreamExt as _, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::{
    answer_budget::AnswerBudget,
    caller::RequestContext,
    connection_limiter::Permit,
    graphql::event::EventCursor,
    rejected::Rejected,
    schema::{Schema, Via},
    sessions::revocations::{SessionWatch, ended, is_over},
    wire::{UNBUFFERED, to_json},
};

/// How often a stream that has nothing to say says so: proxies close what is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Answers a request by an event stream. What the query limits refuse is told in the stream as well, because a
/// browser shows nothing of a stream that did not open. The token was checked before.
pub(crate) async fn answer(
    schema: Schema,
    request: Request,
    via: Via,
    context: RequestContext,
) -> Response {
    let refused = |refusal: &Rejected| {
        let answer = schema.finish_errors(refusal.response(), &context);
        open(stream::iter([next(&answer), complete()]))
    };
    let app = schema.app();
    let bearer = context.token.and_then(Result::ok);
    // Watched before its row is read: nothing falls between the two.
    let watch = bearer.map(|bearer| app.revocations.watch(bearer.session));
    if let Some(bearer) = bearer
        && is_over(&app.pool, &app.seals, bearer).await
    {
        return refused(&EndReason::Ended.rejection());
    }
    let network = app
        .sockets
        .of_network
        .acquire(Network::of(context.origin.address));
    let account = bearer.map(|bearer| app.sockets.of_account.acquire(bearer.user));
    let (Some(network), None | Some(Some(_))) = (network, &account) else {
        let refusal = "too many streams are open of this account, or from this address\n";
        return (StatusCode::TOO_MANY_REQUESTS, refusal).into_response();
    };
    let (kind, request) = match schema.check_request(request, via, &context) {
        Ok(admitted) => admitted,
        Err(refusal) => return refused(&refusal),
    };
    let mut paid = None;
    let answers: Answers = match kind {
        OperationType::Subscription => Box::pin(schema.follow(request, context.clone())),
        OperationType::Query | OperationType::Mutation => {
            let (answer, budget) = schema.execute(request, &context).await;
            paid = budget;
            Box::pin(stream::once(async { answer }))
        }
    };
    let left = bearer.map(|bearer| {
        let left = bearer.expires_at - app.clock.now();
        Instant::now() + left.to_std().unwrap_or_default()
    });
    let running = RunningOperation {
        answers,
        stopping: app.stopping.clone(),
        deadline: left,
        watch,
        _permits: (network, account.flatten()),
        _paid: paid,
        stage: Stage::Running,
        schema: schema.clone(),
        context,
        span: Span::current(),
    };
    open(stream::unfold(running, |mut running| {
        let span = running.span.clone();
        let next = async {
            let event = running.next().await?;
            Some((event, running))
        };
        next.instrument(span)
    }))
}

/// An event stream that says something at once, so that whoever waits for its first byte, be it a proxy or
/// a person, knows that it is open.
fn open(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let first = Event::default().comment("open");
    let events = stream::iter([first]).chain(events).map(Ok::<_, Infallible>);
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    (UNBUFFERED, stream).into_response()
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// Everything is said but that it is complete.
    Last,
    Over,
}

/// Why a stream ends before what it follows does.
enum EndReason {
    Stopping,
    Expired,
    Ended,
}

impl EndReason {
    fn rejection(&self) -> Rejected {
        match self {
            Self::Stopping => Rejected::new(
                "UNAVAILABLE",
                "the api stops: connect again, after the last cursor",
            ),
            Self::Expired => Rejected::new(
                "TOKEN_EXPIRED",
                "the access token has expired: connect again with a new one, after the last cursor",
            ),
            Self::Ended => Rejected::new("SESSION_ENDED", "this log-in is over; log in again"),
        }
    }
}

type Answers = Pin<Box<dyn Stream<Item = Answer> + Send>>;

/// One open stream.
struct RunningOperation {
    answers: Answers,
    stopping: CancellationToken,
    deadline: Option<Instant>,
    watch: Option<SessionWatch>,
    _permits: (Permit<Network>, Option<Permit<UserId>>),
    /// What its one answer was paid for by.
    _paid: Option<AnswerBudget>,
    stage: Stage,
    schema: Schema,
    context: RequestContext,
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
            () = self.stopping.cancelled() => EndReason::Stopping,
            () = ended(self.watch.as_ref()) => EndReason::Ended,
            () = until(self.deadline) => EndReason::Expired,
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

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
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
