//! The client's promises, against a server that says what the test tells it to.

use std::time::Duration;

use dev::client::{Client, ClientError};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

async fn listen() -> (TcpListener, Client) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, Client::new(&format!("http://{address}/graphql")))
}

/// Answers the one request with `body`; answers what was asked, head and body.
async fn answer(listener: TcpListener, body: &'static str) -> String {
    let (mut socket, _) = listener.accept().await.expect("a client");
    let mut asked = Vec::new();
    while !asked.ends_with(b"}") {
        socket.read_buf(&mut asked).await.expect("a request");
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.expect("an answer");
    String::from_utf8(asked).expect("text")
}

#[tokio::test]
async fn variables_are_sent_byte_for_byte_and_with_the_token() {
    let (listener, client) = listen().await;
    let server = tokio::spawn(answer(listener, r#"{"data":{"stored":true}}"#));

    let variables = r#"{"document":{"value":8.10}}"#;
    let stored = client
        .with_token("abc")
        .query_text("mutation { x }", variables)
        .await;

    assert_eq!(stored.expect("an answer").data["stored"], true);
    let asked = server.await.expect("the server ran");
    assert!(asked.contains("authorization: Bearer abc"), "{asked}");
    assert!(
        asked.ends_with(r#"{"query":"mutation { x }","variables":{"document":{"value":8.10}}}"#)
    );
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_a_refusal() {
    let (listener, client) = listen().await;
    drop(listener);
    let nobody = client.query("{ me { id } }", &json!({})).await;
    assert!(
        matches!(nobody, Err(ClientError::Unreachable(_))),
        "{nobody:?}"
    );

    let (listener, client) = listen().await;
    let text = r#"{"data":null,"errors":[{"message":"no","extensions":{"code":"FORBIDDEN"}}]}"#;
    tokio::spawn(answer(listener, text));
    let refused = client
        .query("{ me { id } }", &json!({}))
        .await
        .expect("an answer");
    assert_eq!(refused.code(), Some("FORBIDDEN"));
}

type Socket = WebSocketStream<TcpStream>;

/// Accepts a WebSocket that asks for the one protocol there is.
#[expect(
    clippy::result_large_err,
    reason = "the library's callback is what it is"
)]
async fn accept(listener: TcpListener) -> Socket {
    let (socket, _) = listener.accept().await.expect("a client");
    let protocol = |request: &Request, mut answer: Response| -> Result<Response, ErrorResponse> {
        let wanted = request.headers()["sec-websocket-protocol"].clone();
        assert_eq!(wanted, "graphql-transport-ws");
        answer
            .headers_mut()
            .insert("sec-websocket-protocol", wanted);
        Ok(answer)
    };
    accept_hdr_async(socket, protocol)
        .await
        .expect("a handshake")
}

async fn heard(socket: &mut Socket) -> Value {
    let message = socket.next().await.expect("a message").expect("a message");
    serde_json::from_str(message.to_text().expect("text")).expect("JSON")
}

async fn say(socket: &mut Socket, message: Value) {
    socket
        .send(Message::text(message.to_string()))
        .await
        .expect("it is sent");
}

#[tokio::test]
async fn a_subscription_follows_the_protocol_to_its_end() {
    let (listener, client) = listen().await;
    let server = tokio::spawn(async move {
        let mut socket = accept(listener).await;
        assert_eq!(
            heard(&mut socket).await["payload"]["authorization"],
            "Bearer abc"
        );
        say(&mut socket, json!({ "type": "connection_ack" })).await;
        let subscribe = heard(&mut socket).await;
        assert_eq!(subscribe["payload"]["variables"]["n"], 1);
        say(&mut socket, json!({ "type": "ping" })).await;
        assert_eq!(heard(&mut socket).await["type"], "pong");
        let payload = json!({ "data": { "event": 7 } });
        say(
            &mut socket,
            json!({ "type": "next", "id": "1", "payload": payload }),
        )
        .await;
        let payload = json!([{ "message": "gone", "extensions": { "code": "UNAUTHENTICATED" } }]);
        say(
            &mut socket,
            json!({ "type": "error", "id": "1", "payload": payload }),
        )
        .await;
        say(&mut socket, json!({ "type": "complete", "id": "1" })).await;
    });

    let client = client.with_token("abc");
    let mut events = client
        .subscribe("subscription { x }", &json!({ "n": 1 }))
        .await
        .expect("one");
    let limit = Duration::from_secs(10);

    assert_eq!(
        events.next_within(limit).await.expect("an event").data["event"],
        7
    );
    assert_eq!(
        events.next_within(limit).await.expect("one").code(),
        Some("UNAUTHENTICATED")
    );
    assert!(matches!(
        events.next_within(limit).await,
        Err(ClientError::Closed(_))
    ));
    server.await.expect("the server heard what it should");
}

#[tokio::test]
async fn a_refused_connection_and_a_silent_one_are_told_apart() {
    let (listener, client) = listen().await;
    let server = tokio::spawn(async move {
        let mut socket = accept(listener).await;
        heard(&mut socket).await;
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
            code: 4403.into(),
            reason: "Forbidden".into(),
        };
        socket.close(Some(frame)).await.expect("it is closed");
    });
    let refused = client
        .subscribe("subscription { x }", &json!({}))
        .await
        .err();
    assert_eq!(
        refused.map(|error| error.to_string()).as_deref(),
        Some("the subscription was closed: 4403 Forbidden")
    );
    server.await.expect("the server ran");

    let (listener, client) = listen().await;
    let server = tokio::spawn(async move {
        let mut socket = accept(listener).await;
        heard(&mut socket).await;
        say(&mut socket, json!({ "type": "connection_ack" })).await;
        heard(&mut socket).await;
        socket
    });
    let mut events = client
        .subscribe("subscription { x }", &json!({}))
        .await
        .expect("one");
    let _open = server.await.expect("the server ran");
    let silent = events.next_within(Duration::from_millis(20)).await;
    assert!(matches!(silent, Err(ClientError::Silent(_))), "{silent:?}");
}
