//! A flood: what a process bears of connections, and that those who behave do not notice.

use std::net::SocketAddr;
use std::time::Instant;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tests::{PATIENCE, Program, World, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn settings(all: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = all
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

async fn connects(api: &Program) -> TcpStream {
    let address = api.url().replace("http://", "");
    let address: SocketAddr = address.parse().expect("an address");
    TcpStream::connect(address).await.expect("a connection")
}

/// What comes until the other side closes.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    // A connection that is reset is closed, too.
    read.expect("it is closed in the end").ok();
    String::from_utf8_lossy(&all).into_owned()
}

const ALIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";

/// Whether the connection is one that is answered on; it stays open.
async fn is_answered(stream: &mut TcpStream) -> bool {
    if stream.write_all(ALIVE).await.is_err() {
        return false;
    }
    let mut some = [0; 1024];
    let read = timeout(PATIENCE, stream.read(&mut some)).await;
    let read = read.expect("it is answered or closed");
    read.is_ok_and(|length| some[..length].starts_with(b"HTTP/1.1 200 OK"))
}

async fn opens(api: &Program, from: &str) -> Result<Socket, Error> {
    let address = format!("{}/graphql", api.url().replacen("http", "ws", 1));
    let request = ClientRequestBuilder::new(address.parse().expect("an address"))
        .with_sub_protocol("graphql-transport-ws")
        .with_header("x-forwarded-for", from);
    connect_async(request).await.map(|(socket, _)| socket)
}

/// Introduces itself; the code that it is closed with otherwise.
async fn introduces(socket: &mut Socket, token: &str) -> Result<(), u16> {
    let payload = json!({ "authorization": format!("Bearer {token}") });
    let hello = json!({ "type": "connection_init", "payload": payload });
    socket
        .send(Message::text(hello.to_string()))
        .await
        .expect("it is open");
    match timeout(PATIENCE, socket.next()).await.expect("an answer") {
        Some(Ok(Message::Text(_))) => Ok(()),
        Some(Ok(Message::Close(frame))) => Err(frame.map_or(0, |frame| frame.code.into())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn headers_that_do_not_come_are_not_waited_for() {
    let timeout = settings(&[("MEDITRUSTAL_HEADER_TIMEOUT", "2")]);
    let world = World::with(|options| options.api.extend(timeout)).await;
    let begun = Instant::now();
    let (mut silent, mut slow) = (connects(&world.api).await, connects(&world.api).await);
    let mut idle = connects(&world.api).await;
    assert!(is_answered(&mut idle).await);

    let drip = async {
        // A line now and then, but never the last one.
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(300));
        let line = b"x-more: and more\r\n".as_slice();
        let (mut reader, mut writer) = slow.split();
        let mut heard = Vec::new();
        let drip = async {
            let first = writer
                .write_all(b"POST /graphql HTTP/1.1\r\nhost: x\r\n")
                .await;
            let mut sent = first;
            while sent.is_ok() {
                ticks.tick().await;
                sent = writer.write_all(line).await;
            }
        };
        tokio::select! {
            () = drip => {}
            read = reader.read_to_end(&mut heard) => drop(read),
        }
    };
    let (of_silent, of_idle, ()) =
        tokio::join!(until_closed(&mut silent), until_closed(&mut idle), drip);

    assert_eq!((of_silent.as_str(), of_idle.as_str()), ("", ""));
    let took = begun.elapsed();
    assert!(took.as_secs() >= 2 && took < PATIENCE / 2, "{took:?}");
    assert_eq!(world.api.health("/health/live").await, Some(200));
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_all_together_so_many() {
    let world = World::start().await;
    let few = [
        ("MEDITRUSTAL_CONNECTIONS_OF_ADDRESS", "5"),
        ("MEDITRUSTAL_CONNECTIONS", "8"),
    ];
    let of_one = world.another_api("of-one", &few).await;
    let proxy = ("MEDITRUSTAL_TRUSTED_PROXIES", "127.0.0.1");
    let behind_a_proxy = world.another_api("proxied", &[few[0], few[1], proxy]).await;

    for (api, limit) in [(&of_one, 5), (&behind_a_proxy, 8)] {
        let mut open = Vec::new();
        while open.len() < limit {
            // Whatever looked whether it was ready may not have left yet.
            let stream = eventually("there is a place", async || {
                let mut stream = connects(api).await;
                is_answered(&mut stream).await.then_some(stream)
            });
            open.push(stream.await);
        }
        for _ in 0..3 {
            let mut one_more = connects(api).await;
            assert!(!is_answered(&mut one_more).await);
        }

        assert!(is_answered(&mut open[0]).await, "those who are in stay in");
        open.pop();

        eventually("a place is free again", async || {
            let mut stream = connects(api).await;
            is_answered(&mut stream).await.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_account_and_an_address_have_so_many_sockets() {
    let few = settings(&[
        ("MEDITRUSTAL_TRUSTED_PROXIES", "127.0.0.1"),
        ("MEDITRUSTAL_SOCKETS_OF_ACCOUNT", "2"),
        ("MEDITRUSTAL_SOCKETS_OF_ADDRESS", "3"),
    ]);
    let world = World::with(|options| options.api.extend(few)).await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let token = |of: &tests::Person| of.client.token().expect("logged in").to_owned();
    let (hers, other) = (token(&ana), token(&eve));
    let (home, away) = ("198.51.100.1", "198.51.100.2");

    let mut first = opens(&world.api, home).await.expect("a socket");
    let mut second = opens(&world.api, home).await.expect("a socket");
    assert_eq!(introduces(&mut first, &hers).await, Ok(()));
    assert_eq!(introduces(&mut second, &hers).await, Ok(()));
    let mut third = opens(&world.api, home).await.expect("a socket");
    assert_eq!(introduces(&mut third, &hers).await, Err(4430));
    drop(third);
    let mut neighbour = eventually("the closed one is gone", async || {
        opens(&world.api, home).await.ok()
    })
    .await;
    assert_eq!(introduces(&mut neighbour, &other).await, Ok(()));

    let refused = opens(&world.api, home).await;
    let status = match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(status, 429);
    // Whatever else stays open is refused alike, with a code.
    let bearer = format!("Bearer {other}");
    let mut headers = vec![("x-forwarded-for", home), ("authorization", &bearer)];
    let export = world.api.takes("GET", "/export", &headers, "").await;
    headers.push(("accept", "text/event-stream"));
    let events = world.api.posts(&headers, r#"{"query":"{ me { id } }"}"#);
    for reply in [export, events.await] {
        assert_eq!((reply.status, reply.code().as_str()), (429, "BUSY"));
        assert_eq!(reply.limit(), "STREAMS");
    }
    let mut elsewhere = opens(&world.api, away).await.expect("a socket");
    assert_eq!(introduces(&mut elsewhere, &hers).await, Err(4430));
    drop(first);
    eventually("her place is free", async || {
        let mut again = opens(&world.api, away).await.ok()?;
        introduces(&mut again, &hers).await.ok()
    })
    .await;
}
