//! Subscriptions over a WebSocket, by the protocol `graphql-transport-ws` and no other.
//!
//! What library defaults leave open is closed here: a foreign origin, a socket that never introduces
//! itself, one that outlives its token, two streams of one name, streams without number, mutations
//! (`docs/threat-model.md`, T3).

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_graphql::Response as Answer;
use axum::{
    extract::{
        FromRequestParts,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use domain::throttle::Network;
use fhir::Json;
use futures::{SinkExt as _, StreamExt};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tracing::{Instrument as _, Span};
use vault::token::TokenError;

use crate::{
    authenticate::check_bearer,
    caller::RequestContext,
    codes::{CloseReason, ErrorCode},
    connections::HeldConnection,
    cors,
    lease::{Lease, LeaseEnd, LeaseRefused},
    rejected::Rejected,
    request::from_json,
    schema::{Schema, Via, has_run},
    wire::{MediaType, UNBUFFERED, refuse, to_json},
};

/// The one protocol spoken.
const PROTOCOL: &str = "graphql-transport-ws";
/// How long a client may take to introduce itself.
const INIT_WITHIN: Duration = Duration::from_secs(10);
/// How long who is nobody may follow nothing: else sockets would be held for ever, and no place among public streams taken.
const IDLE_WITHIN: Duration = Duration::from_secs(10);
/// How many streams somebody who said that they are nobody may begin over one socket: each begins that time anew, also one that
/// is refused.
const MAX_BEGUN_BY_NOBODY: u64 = 64;
/// How often the client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(15);
/// How long it may be silent.
const DEAD_AFTER: Duration = Duration::from_secs(45);
/// How long one that did not accept a message in time is tried to be told so.
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// How many streams one socket may carry.
const MAX_STREAMS: usize = 20;
/// The longest message taken. Unit: bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// How much is read at a time: each socket keeps as much for as long as it is open. tungstenite's own choice is 128 KiB. A longer
/// message is read in parts. Unit: bytes.
const READ_BUFFER: usize = 4 * 1024;
/// How many messages wait for a slow client; its streams then wait, too.
const BUFFER: usize = 64;

/// A request to become a WebSocket, if it is one.
pub(crate) struct Upgrade(pub(crate) Option<(WebSocketUpgrade, HeldConnection)>);

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        if !parts.headers.contains_key(header::UPGRADE) {
            return Ok(Self(None));
        }
        // The legacy protocol, which has another name, is not spoken.
        let offered = parts
            .headers
            .get(header::SEC_WEBSOCKET_PROTOCOL)
            .and_then(|v| v.to_str().ok());
        let is_ours =
            offered.is_some_and(|list| list.split(',').any(|protocol| protocol.trim() == PROTOCOL));
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state)
            .await
            .ok();
        let held = parts.extensions.get::<HeldConnection>().cloned();
        Ok(Self(upgrade.filter(|_| is_ours).zip(held)))
    }
}

/// Makes the connection a WebSocket, for an origin that may have one.
pub(crate) fn accept(
    schema: Schema,
    context: RequestContext,
    headers: &HeaderMap,
    (upgrade, held): (WebSocketUpgrade, HeldConnection),
) -> Response {
    if !cors::is_allowed(&schema, headers) {
        return (StatusCode::FORBIDDEN, "this origin may not connect\n").into_response();
    }
    let network = Network::of(context.origin.address);
    let lease = match Lease::open(schema.app().leasing(), network) {
        Ok(lease) => lease,
        Err(refusal) => {
            let (status, media) = (StatusCode::TOO_MANY_REQUESTS, MediaType::Json);
            return refuse(&schema, &refusal.rejection(), &context, status, media);
        }
    };
    let span = Span::current();
    let upgraded = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |socket| {
            let _held = held;
            let connection = SocketConnection::new(schema, context, socket, lease);
            connection.run().instrument(span).await;
        });
    (UNBUFFERED, upgraded).into_response()
}

impl From<LeaseEnd> for CloseReason {
    fn from(end: LeaseEnd) -> Self {
        match end {
            LeaseEnd::Stopping => Self::GoingAway,
            LeaseEnd::SessionEnded => Self::SessionEnded,
            LeaseEnd::TokenExpired => Self::TokenExpired,
        }
    }
}

impl From<LeaseRefused> for CloseReason {
    fn from(refused: LeaseRefused) -> Self {
        match refused {
            LeaseRefused::TooMany => Self::TooManySockets,
            LeaseRefused::SessionEnded => Self::SessionEnded,
        }
    }
}

/// Something a stream has to say.
struct StreamMessage {
    id: String,
    generation: u64,
    what: What,
}

enum What {
    Next(String),
    /// Nothing of it ran: the errors, as a JSON list.
    Error(String),
    Complete,
}

/// What one stream says is said by.
struct Speaker {
    id: String,
    generation: u64,
    said: mpsc::Sender<StreamMessage>,
}

impl Speaker {
    /// Says every answer, and that there are no more.
    async fn speak(self, mut responses: impl futures::Stream<Item = Answer> + Unpin) {
        while let Some(response) = responses.next().await {
            if !has_run(&response) {
                let errors = serde_json::to_value(&response.errors).unwrap_or_default();
                self.say(What::Error(errors.to_string())).await;
                return;
            }
            if !self.say(What::Next(to_json(&response))).await {
                return;
            }
        }
        self.say(What::Complete).await;
    }

    /// False where the connection is gone: nobody is left to be told.
    async fn say(&self, what: What) -> bool {
        let message = StreamMessage {
            id: self.id.clone(),
            generation: self.generation,
            what,
        };
        self.said.send(message).await.is_ok()
    }
}

/// Whether somebody introduces themselves as nobody, to follow what is open to everybody.
fn is_anonymous(payload: Option<&Json>) -> bool {
    let said = payload.and_then(|payload| payload.get("anonymous"));
    said.is_some_and(|said| *said == Json::Bool(true))
}

struct Stream {
    generation: u64,
    task: JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct SocketConnection {
    schema: Schema,
    context: RequestContext,
    socket: WebSocket,
    lease: Lease,
    /// Whether somebody has introduced themselves.
    is_known: bool,
    streams: HashMap<String, Stream>,
    generation: u64,
    said: mpsc::Sender<StreamMessage>,
    inbox: mpsc::Receiver<StreamMessage>,
}

impl SocketConnection {
    fn new(schema: Schema, context: RequestContext, socket: WebSocket, lease: Lease) -> Self {
        let (said, inbox) = mpsc::channel(BUFFER);
        Self {
            schema,
            context,
            socket,
            lease,
            is_known: false,
            streams: HashMap::new(),
            generation: 0,
            said,
            inbox,
        }
    }

    async fn run(mut self) {
        let Err(closing) = self.serve_messages().await else {
            return;
        };
        self.streams.clear();
        let frame = CloseFrame {
            code: closing.number(),
            reason: closing.as_str().into(),
        };
        let within = if closing == CloseReason::TooSlow {
            tracing::info!("A subscriber was dropped: it did not accept a message in time");
            TELL_WITHIN
        } else {
            self.send_within()
        };
        // The other side may be gone: then there is nobody to tell.
        drop(tokio::time::timeout(within, self.socket.send(Message::Close(Some(frame)))).await);
    }

    /// How long it may take to accept one message.
    fn send_within(&self) -> Duration {
        self.schema.app().sockets.send_within
    }

    /// Ok when the client has left; Err with what it is to be told otherwise.
    async fn serve_messages(&mut self) -> Result<(), CloseReason> {
        let init_until = Instant::now() + INIT_WITHIN;
        let mut heard = Instant::now();
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let mut idle_since: Option<Instant> = None;
        loop {
            let idle = self.is_held_for_nothing();
            idle_since = idle.then(|| idle_since.unwrap_or_else(Instant::now));
            let idle_until = idle_since.map_or(init_until, |since| since + IDLE_WITHIN);
            tokio::select! {
                over = self.lease.over() => return Err(over.into()),
                () = tokio::time::sleep_until(init_until), if !self.is_known => {
                    return Err(CloseReason::InitTimeout);
                }
                () = tokio::time::sleep_until(idle_until), if idle => {
                    return Err(CloseReason::Idle);
                }
                _ = ping.tick() => {
                    if heard.elapsed() > DEAD_AFTER {
                        return Ok(());
                    }
                    self.send(Message::Ping(Vec::new().into())).await?;
                }
                Some(said) = self.inbox.recv() => self.forward(said).await?,
                message = self.socket.recv() => {
                    heard = Instant::now();
                    // In a box: while nothing comes, nothing of it is needed.
                    if !Box::pin(self.hear(message)).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether somebody who said that they are nobody follows nothing: no token ends such a socket, and no account counts it.
    fn is_held_for_nothing(&self) -> bool {
        self.is_known && self.context.token.is_none() && self.streams.is_empty()
    }

    /// Takes what came; false where the client has left.
    async fn hear(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
    ) -> Result<bool, CloseReason> {
        match message {
            None | Some(Err(_)) => return Ok(false),
            Some(Ok(Message::Close(_))) => {
                // Answers the client's closing frame, so that it sees a clean end.
                tokio::time::timeout(self.send_within(), self.socket.close())
                    .await
                    .ok();
                return Ok(false);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return Err(CloseReason::InvalidMessage),
            Some(Ok(Message::Text(text))) => self.receive(text.as_str()).await?,
        }
        Ok(true)
    }

    async fn receive(&mut self, text: &str) -> Result<(), CloseReason> {
        let message =
            fhir::reader::read(text.as_bytes()).map_err(|_| CloseReason::InvalidMessage)?;
        let kind = message
            .get("type")
            .and_then(Json::as_str)
            .ok_or(CloseReason::InvalidMessage)?;
        match kind {
            "connection_init" => self.init(message.get("payload")).await,
            "ping" => self.send_json(&json!({ "type": "pong" })).await,
            "pong" => Ok(()),
            "subscribe" => self.subscribe(&message).await,
            "complete" => {
                let id = message
                    .get("id")
                    .and_then(Json::as_str)
                    .ok_or(CloseReason::InvalidMessage)?;
                self.streams.remove(id);
                Ok(())
            }
            _ => Err(CloseReason::InvalidMessage),
        }
    }

    async fn init(&mut self, payload: Option<&Json>) -> Result<(), CloseReason> {
        if self.is_known {
            return Err(CloseReason::TooManyInits);
        }
        let given = ["authorization", "Authorization"]
            .iter()
            .find_map(|name| payload?.get(name)?.as_str())
            .map(|text| check_bearer(&self.schema, text));
        match given.or(self.context.token) {
            Some(Ok(bearer)) => {
                self.lease
                    .log_in(self.schema.app().leasing(), bearer)
                    .await?;
                self.is_known = true;
                self.context.token = Some(Ok(bearer));
                // A browser cannot send the header with the request for a WebSocket.
                self.context.wants_promises |= payload
                    .and_then(|payload| payload.get("auditPromise"))
                    .is_some_and(|wanted| *wanted == Json::Bool(true));
                self.send_json(&json!({ "type": "connection_ack" })).await
            }
            Some(Err(TokenError::Expired)) => Err(CloseReason::TokenExpired),
            Some(Err(TokenError::Invalid)) => Err(CloseReason::Forbidden),
            // Who has no account says so: who has forgotten the token is told at once.
            None if is_anonymous(payload) => {
                self.is_known = true;
                self.send_json(&json!({ "type": "connection_ack" })).await
            }
            None => Err(CloseReason::Unauthorized),
        }
    }

    async fn subscribe(&mut self, message: &Json) -> Result<(), CloseReason> {
        if !self.is_known {
            return Err(CloseReason::Unauthorized);
        }
        let id = message
            .get("id")
            .and_then(Json::as_str)
            .filter(|id| !id.is_empty() && id.len() <= 128);
        let id = id.ok_or(CloseReason::InvalidMessage)?.to_owned();
        let request = message
            .get("payload")
            .and_then(from_json)
            .ok_or(CloseReason::InvalidMessage)?;
        if self.streams.contains_key(&id) {
            return self.close_duplicate(&id).await;
        }
        if self.streams.len() >= MAX_STREAMS {
            let refusal = format!("a socket carries at most {MAX_STREAMS} streams");
            let refusal = Rejected::new(ErrorCode::TooManyStreams, refusal);
            return self.refuse(&id, &refusal).await;
        }
        let context = self.context.of_operation();
        let request = match self.schema.check_request(request, Via::Stream, &context) {
            Ok((_, request)) => request,
            Err(refusal) => return self.refuse(&id, &refusal).await,
        };
        if self.context.token.is_none() && self.generation >= MAX_BEGUN_BY_NOBODY {
            return Err(CloseReason::Idle);
        }
        self.generation += 1;
        let generation = self.generation;
        let responses = self.schema.follow(request, Arc::new(context));
        let speaker = Speaker {
            id: id.clone(),
            generation,
            said: self.said.clone(),
        };
        let stream = speaker.speak(Box::pin(responses));
        let task = tokio::spawn(stream.in_current_span());
        self.streams.insert(id, Stream { generation, task });
        Ok(())
    }

    async fn forward(&mut self, said: StreamMessage) -> Result<(), CloseReason> {
        // What a stream said that was completed meanwhile is not passed on.
        if self
            .streams
            .get(&said.id)
            .is_none_or(|stream| stream.generation != said.generation)
        {
            return Ok(());
        }
        match said.what {
            What::Next(payload) => {
                let id = Value::from(said.id);
                self.send(Message::Text(
                    format!(r#"{{"type":"next","id":{id},"payload":{payload}}}"#).into(),
                ))
                .await
            }
            What::Error(errors) => {
                self.streams.remove(&said.id);
                let id = Value::from(said.id);
                let text = format!(r#"{{"type":"error","id":{id},"payload":{errors}}}"#);
                self.send(Message::Text(text.into())).await
            }
            What::Complete => {
                self.streams.remove(&said.id);
                self.send_json(&json!({ "type": "complete", "id": said.id }))
                    .await
            }
        }
    }

    async fn refuse(&mut self, id: &str, refusal: &Rejected) -> Result<(), CloseReason> {
        let errors = self
            .schema
            .finish_errors(refusal.response(), &self.context)
            .errors;
        self.send_json(&json!({ "type": "error", "id": id, "payload": errors }))
            .await
    }

    async fn close_duplicate(&mut self, id: &str) -> Result<(), CloseReason> {
        let frame = CloseFrame {
            code: CloseReason::DuplicateStream.number(),
            reason: format!("Subscriber for {id} already exists").into(),
        };
        self.streams.clear();
        self.send(Message::Close(Some(frame))).await
    }

    async fn send_json(&mut self, message: &Value) -> Result<(), CloseReason> {
        self.send(Message::Text(message.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), CloseReason> {
        match tokio::time::timeout(self.send_within(), self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            // Gone.
            Ok(Err(_)) => Err(CloseReason::GoingAway),
            // So slow that it must come back with its cursor.
            Err(_) => Err(CloseReason::TooSlow),
        }
    }
}
