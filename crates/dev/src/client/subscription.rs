//! One subscription over `graphql-transport-ws`.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Answer, ClientError};

/// How long the server may take to accept the connection.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(30);
/// How many events may wait to be taken; then the server has to wait as well.
const WAITING: usize = 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A running subscription. Dropping it ends it.
///
/// A task of the runtime that started it reads the connection all the time, so that the server's
/// pings are answered while nobody asks for an event.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::Receiver<Result<Answer, ClientError>>,
}

impl Subscription {
    pub(super) async fn start(
        url: &str,
        token: Option<&str>,
        document: &str,
        variables: &Value,
    ) -> Result<Self, ClientError> {
        let unreachable = |error: &dyn std::fmt::Display| {
            ClientError::Unreachable(format!("over WebSocket: {error}"))
        };
        let address = url
            .replacen("http", "ws", 1)
            .parse()
            .map_err(|error| unreachable(&error))?;
        let request = ClientRequestBuilder::new(address).with_sub_protocol("graphql-transport-ws");
        let (mut socket, _) = connect_async(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let payload = token.map_or_else(
            || json!({}),
            |token| json!({ "authorization": format!("Bearer {token}") }),
        );
        send(
            &mut socket,
            &json!({ "type": "connection_init", "payload": payload }),
        )
        .await?;
        timeout(ACCEPTED_WITHIN, acknowledged(&mut socket))
            .await
            .map_err(|_| ClientError::Silent(ACCEPTED_WITHIN))??;
        let payload = json!({ "query": document, "variables": variables });
        send(
            &mut socket,
            &json!({ "type": "subscribe", "id": "1", "payload": payload }),
        )
        .await?;
        let (sender, events) = mpsc::channel(WAITING);
        tokio::spawn(forward(socket, sender));
        Ok(Self { events })
    }

    /// The next event.
    ///
    /// # Errors
    ///
    /// When none comes in time, or when the server ended the subscription: with what it said.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Answer, ClientError> {
        match timeout(limit, self.events.recv()).await {
            Err(_) => Err(ClientError::Silent(limit)),
            Ok(Some(event)) => event,
            Ok(None) => Err(ClientError::Closed("it has ended".to_owned())),
        }
    }
}

async fn send(socket: &mut Socket, message: &Value) -> Result<(), ClientError> {
    let sent = socket.send(Message::text(message.to_string())).await;
    sent.map_err(|error| ClientError::Closed(error.to_string()))
}

/// The next message of the protocol; `Err` when there will be none.
async fn receive(socket: &mut Socket) -> Result<Value, ClientError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(&text).map_err(|_| {
                    ClientError::Closed(format!("no message of the protocol: {text}"))
                });
            }
            Some(Ok(Message::Close(Some(frame)))) => {
                let code = u16::from(frame.code);
                return Err(ClientError::Closed(format!("{code} {}", frame.reason)));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(ClientError::Closed(error.to_string())),
            None => return Err(ClientError::Closed("the connection ended".to_owned())),
        }
    }
}

async fn acknowledged(socket: &mut Socket) -> Result<(), ClientError> {
    loop {
        let message = receive(socket).await?;
        match message["type"].as_str() {
            Some("connection_ack") => return Ok(()),
            Some("ping") => send(socket, &json!({ "type": "pong" })).await?,
            _ => {
                return Err(ClientError::Closed(format!(
                    "{message} before the acknowledgement"
                )));
            }
        }
    }
}

/// Hands on what comes until the subscription ends, or until nobody wants it any more.
async fn forward(mut socket: Socket, events: mpsc::Sender<Result<Answer, ClientError>>) {
    loop {
        let message = tokio::select! {
            message = receive(&mut socket) => message,
            () = events.closed() => break,
        };
        let event = match message {
            Err(error) => Err(error),
            Ok(mut message) => match message["type"].as_str() {
                Some("next") => event(message["payload"].take()),
                Some("error") => event(json!({ "errors": message["payload"].take() })),
                Some("complete") => Err(ClientError::Closed("it is complete".to_owned())),
                Some("ping") => {
                    if send(&mut socket, &json!({ "type": "pong" })).await.is_err() {
                        break;
                    }
                    continue;
                }
                _ => continue,
            },
        };
        let last = event.is_err();
        if events.send(event).await.is_err() || last {
            break;
        }
    }
    socket.close(None).await.ok();
}

fn event(payload: Value) -> Result<Answer, ClientError> {
    let unknown = ClientError::Closed(format!("no answer of GraphQL: {payload}"));
    Answer::of(200, payload).ok_or(unknown)
}
