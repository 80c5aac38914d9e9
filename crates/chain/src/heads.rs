//! New blocks, as a node tells of them by itself: `eth_subscribe` with `newHeads`, over a WebSocket.
//!
//! What is told is never believed, and not even read: it only says when to look. A frame has a bound, a line on which nothing comes
//! is tried by a ping, and one that does not answer it is given up, because a WebSocket can be dead without an error.

use std::{fmt, io, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Bytes, Message, protocol::WebSocketConfig},
};

use crate::error::InvalidUrl;

/// The longest message that is read. Unit: bytes. A header is some hundred; what a chain puts into it besides has room.
const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// How long connecting may take, with TLS, the handshake and the answer to the subscription.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// How long nothing may come before the other end is tried by a ping; and as long again before it is given up.
const SILENT_FOR: Duration = Duration::from_secs(20);

/// How long nothing is read after a message that tells of no block: who says much else is heard as seldom as that.
const OTHERWISE_EVERY: Duration = Duration::from_millis(10);

/// How many messages may come before the one that answers the subscription.
const MESSAGES_BEFORE: usize = 16;

/// Whether an address in a list of nodes is one that tells of new blocks, and is asked nothing.
pub fn is_head_source(url: &str) -> bool {
    HeadSource::new(url).is_ok()
}

/// A node that tells of new blocks.
#[derive(Clone)]
pub struct HeadSource {
    url: Url,
}

impl fmt::Debug for HeadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadSource")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// Why nothing is told. Does not print the node's URL.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// No connection, or no TLS on it.
    #[error("the node that tells of new blocks cannot be reached")]
    Unreachable(#[source] io::Error),
    /// It speaks no WebSocket, or the line broke.
    #[error("the line to the node that tells of new blocks has ended")]
    Broken(#[source] Box<tungstenite::Error>),
    /// It took too long, or gave no answer to a ping.
    #[error("the node that tells of new blocks says nothing")]
    Silent,
    /// It ended the line.
    #[error("the node that tells of new blocks has closed the line")]
    Closed,
    /// It has no such subscription, or answered with something else.
    #[error("the node does not tell of new blocks: {0}")]
    Refused(String),
}

impl From<tungstenite::Error> for HeadError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                Self::Closed
            }
            other => Self::Broken(Box::new(other)),
        }
    }
}

/// Bytes both ways, in clear text or by TLS.
trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

type HeadSocket = WebSocketStream<Box<dyn ByteStream>>;

/// A running subscription. Dropping it ends it.
pub struct HeadStream {
    socket: HeadSocket,
    subscription: String,
    /// Whether the other end was tried, and nothing has come since.
    is_tried: bool,
}

impl fmt::Debug for HeadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadStream")
    }
}

/// What a node says on the line: the answer to the subscription, or what is told by it.
#[derive(Deserialize)]
struct HeadMessage {
    id: Option<Value>,
    result: Option<String>,
    error: Option<HeadRefusal>,
    method: Option<String>,
    params: Option<HeadParams>,
}

#[derive(Deserialize)]
struct HeadRefusal {
    message: String,
}

#[derive(Deserialize)]
struct HeadParams {
    subscription: String,
}

impl HeadSource {
    /// A node at an address that begins with `ws://` or `wss://`. Does not connect.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub fn new(url: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url).map_err(|_| InvalidUrl::Unreadable)?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(InvalidUrl::NotANode);
        }
        if !url.has_host() {
            return Err(InvalidUrl::Unreadable);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::Credentials);
        }
        Ok(Self { url })
    }

    /// Connects, and subscribes to new blocks.
    ///
    /// # Errors
    /// [`HeadError`].
    pub async fn subscribe(&self) -> Result<HeadStream, HeadError> {
        let subscribed = timeout(CONNECTED_WITHIN, self.begin()).await;
        subscribed.map_err(|_| HeadError::Silent)?
    }

    async fn begin(&self) -> Result<HeadStream, HeadError> {
        let line = self.connect().await.map_err(HeadError::Unreachable)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let shaken = client_async_with_config(self.url.as_str(), line, Some(config)).await;
        let (mut socket, _) = shaken?;
        let subscribe = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"],
        });
        socket.send(Message::text(subscribe.to_string())).await?;
        let subscription = accepted(&mut socket).await?;
        Ok(HeadStream {
            socket,
            subscription,
            is_tried: false,
        })
    }

    async fn connect(&self) -> io::Result<Box<dyn ByteStream>> {
        let host = self.url.host_str().unwrap_or_default();
        // An address of IPv6 stands in brackets.
        let host = host.trim_matches(['[', ']']);
        let is_plain = self.url.scheme() == "ws";
        let port = self.url.port().unwrap_or(if is_plain { 80 } else { 443 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        if is_plain {
            return Ok(Box::new(stream));
        }
        Ok(Box::new(tls::connect(host, stream).await?))
    }
}

/// What the subscription is called, once it is accepted.
async fn accepted(socket: &mut HeadSocket) -> Result<String, HeadError> {
    for _ in 0..MESSAGES_BEFORE {
        let Some(message) = socket.next().await else {
            return Err(HeadError::Closed);
        };
        let Some(said) = said(&message?)? else {
            continue;
        };
        if said.id.is_none() {
            continue;
        }
        if let Some(error) = said.error {
            return Err(HeadError::Refused(
                error.message.chars().take(300).collect(),
            ));
        }
        if let Some(subscription) = said.result {
            return Ok(subscription);
        }
    }
    Err(HeadError::Refused("it does not answer".to_owned()))
}

/// What a message says; `None` for those that say nothing.
fn said(message: &Message) -> Result<Option<HeadMessage>, HeadError> {
    match message {
        Message::Text(text) => serde_json::from_str(text.as_str())
            .map(Some)
            .map_err(|_| HeadError::Refused("it says something else".to_owned())),
        Message::Close(_) => Err(HeadError::Closed),
        Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
    }
}

impl HeadStream {
    /// Waits until the node tells of a new block.
    ///
    /// # Errors
    /// [`HeadError`]: the subscription is over.
    pub async fn next(&mut self) -> Result<(), HeadError> {
        loop {
            let Ok(message) = timeout(SILENT_FOR, self.socket.next()).await else {
                if self.is_tried {
                    return Err(HeadError::Silent);
                }
                self.is_tried = true;
                let tried = self.socket.send(Message::Ping(Bytes::new()));
                timeout(SILENT_FOR, tried)
                    .await
                    .map_err(|_| HeadError::Silent)??;
                continue;
            };
            let message = message.ok_or(HeadError::Closed)??;
            self.is_tried = false;
            if said(&message)?.is_some_and(|said| self.is_head(&said)) {
                return Ok(());
            }
            sleep(OTHERWISE_EVERY).await;
        }
    }

    fn is_head(&self, said: &HeadMessage) -> bool {
        let of = said.params.as_ref().map(|it| it.subscription.as_str());
        said.method.as_deref() == Some("eth_subscription") && of == Some(self.subscription.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    /// A node that answers the first question with the first of these, and says the others then.
    async fn node(says: Vec<String>) -> HeadSource {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client");
            let mut socket = accept_async(stream).await.expect("a WebSocket");
            socket.next().await.expect("a question").expect("a message");
            for text in says {
                // Whoever was told enough has gone.
                socket.send(Message::text(text)).await.ok();
            }
            while let Some(Ok(_)) = socket.next().await {}
        });
        HeadSource::new(&format!("ws://{at}/key")).expect("an address")
    }

    fn accepted() -> String {
        json!({ "jsonrpc": "2.0", "id": 1, "result": "0xab" }).to_string()
    }

    fn head(subscription: &str) -> String {
        let params = json!({ "subscription": subscription, "result": { "number": "0x1" } });
        json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params }).to_string()
    }

    #[tokio::test]
    async fn nobody_there_is_told_without_the_address() {
        let source = HeadSource::new("ws://127.0.0.1:9/key").expect("an address");
        let error = source.subscribe().await.expect_err("nobody is there");
        assert!(matches!(error, HeadError::Unreachable(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("/key"));
    }

    #[tokio::test]
    async fn a_head_of_our_subscription_wakes_and_one_of_another_does_not() {
        let source = node(vec![accepted(), head("0xcd"), head("0xab")]).await;
        let mut heads = source.subscribe().await.expect("a subscription");
        heads.next().await.expect("a head");

        let source = node(vec![accepted(), head("0xcd")]).await;
        let mut heads = source.subscribe().await.expect("a subscription");
        let waited = timeout(Duration::from_millis(100), heads.next()).await;
        assert!(waited.is_err(), "it was another subscription's");
    }

    #[tokio::test]
    async fn much_that_tells_of_no_block_is_read_slowly_and_a_head_behind_it_is_heard() {
        let others = 20;
        let mut says = vec![accepted()];
        says.extend((0..others).map(|_| head("0xcd")));
        says.push(head("0xab"));
        let source = node(says).await;
        let mut heads = source.subscribe().await.expect("a subscription");

        let began = Instant::now();
        heads.next().await.expect("a head");

        assert!(began.elapsed() >= OTHERWISE_EVERY * others);
    }

    #[tokio::test]
    async fn a_node_that_does_not_subscribe_is_told() {
        let error = json!({ "code": -32601, "message": "no subscriptions here" });
        let refusal = json!({ "jsonrpc": "2.0", "id": 1, "error": error }).to_string();
        for said in [refusal, "hello".to_owned()] {
            let source = node(vec![said]).await;
            let error = source.subscribe().await.expect_err("it is refused");
            assert!(matches!(error, HeadError::Refused(_)), "{error}");
        }
    }

    #[test]
    fn only_addresses_of_websockets_tell_of_blocks() {
        assert!(is_head_source("ws://node:8546") && is_head_source("wss://node/v2/key"));
        for url in ["http://node", "node", "wss://ada:word@node"] {
            assert!(!is_head_source(url), "{url}");
        }
    }
}
