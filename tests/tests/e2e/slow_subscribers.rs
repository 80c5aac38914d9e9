//! Subscribers that stop reading: they are told where that can be, dropped, and their places are free again.

use std::net::SocketAddr;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tests::{PATIENCE, Program, World, documents, eventually, id};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};

/// One subscriber at a time, who has three seconds to take something.
const ONE_AT_A_TIME: [(&str, &str); 3] = [
    ("MEDITRUSTAL_SEND_TIMEOUT", "3"),
    ("MEDITRUSTAL_SOCKETS_OF_ACCOUNT", "1"),
    ("MEDITRUSTAL_SOCKETS_OF_ADDRESS", "1"),
];

/// What is followed: each event is as long as its one field's other name.
fn long_events() -> String {
    let name = "a".repeat(15_000);
    format!(r#"subscription {{ publicIntegrityEvents(after: "earliest") {{ {name}: head }} }}"#)
}

/// A world in whose log there is more than all buffers between two programs have room for, and an api that drops who is slow.
async fn with_a_long_log() -> (World, Program) {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    world.wait_for_anchor(&id(&record.await), "CONFIRMED").await;
    let lengthen = "INSERT INTO registry_feed (chain_id, registry, event_id, is_undone)
        SELECT chain_id, registry, id, FALSE FROM chain_events
        CROSS JOIN generate_series(1, 2000) WHERE kind = 'RECORD_ANCHORED'";
    assert!(world.executes(lengthen).await >= 2000);
    let api = world.another_api("impatient", &ONE_AT_A_TIME).await;
    (world, api)
}

/// A connection that takes little before it is read.
async fn connects(api: &Program) -> TcpStream {
    let address = api.url().replace("http://", "");
    let address: SocketAddr = address.parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    let small = socket.set_recv_buffer_size(64 * 1024);
    small.expect("its buffer is set");
    socket.connect(address).await.expect("a connection")
}

/// The status of a stream that is over at once, for which the one place is needed.
async fn asks_for_the_place(api: &Program) -> u16 {
    let events = [("accept", "text/event-stream")];
    let body = r#"{"query":"{ registry { chainId } }"}"#;
    api.posts(&events, body).await.status
}

async fn wait_for_the_place(api: &Program) {
    eventually("the place is free again", async || {
        (asks_for_the_place(api).await == 200).then_some(())
    })
    .await;
}

async fn wait_for_the_log(api: &Program, text: &str) {
    eventually("the operator is told", async || {
        api.log().contains(text).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_event_stream_that_nobody_reads_is_dropped_and_its_place_is_free_again() {
    let (_world, api) = with_a_long_log().await;
    let body = json!({ "query": long_events() }).to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connects(&api).await;
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut first = [0; 15];
    let begun = timeout(PATIENCE, stream.read_exact(&mut first)).await;
    begun.expect("it begins").expect("it is open");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    assert_eq!(asks_for_the_place(&api).await, 429, "it has the place");

    wait_for_the_place(&api).await;

    wait_for_the_log(&api, "it took nothing of its event stream").await;
    // What was on its way arrives, and no end of the stream: a client knows that it has to ask for the rest.
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    read.expect("the connection is over").ok();
    let rest = String::from_utf8_lossy(&rest);
    let mut kinds = rest.lines().filter_map(|line| line.strip_prefix("event:"));
    assert!(
        kinds.all(|kind| kind.trim() != "complete"),
        "it was cut off"
    );
    assert!(rest.contains("publicIntegrityEvents"), "events arrived");
}

#[tokio::test]
async fn a_socket_that_nobody_reads_is_told_so_and_dropped_and_its_place_is_free_again() {
    let (_world, api) = with_a_long_log().await;
    let address = format!("{}/graphql", api.url().replacen("http", "ws", 1));
    let request = ClientRequestBuilder::new(address.parse().expect("an address"))
        .with_sub_protocol("graphql-transport-ws");
    let opened = client_async(request, connects(&api).await).await;
    let (mut socket, _) = opened.expect("a socket");
    let subscribe =
        json!({ "type": "subscribe", "id": "1", "payload": { "query": long_events() } });
    let nobody = json!({ "type": "connection_init", "payload": { "anonymous": true } });
    for message in [nobody, subscribe] {
        let sent = socket.send(Message::text(message.to_string())).await;
        sent.expect("it is open");
    }
    for kind in ["connection_ack", "next"] {
        let told = timeout(PATIENCE, socket.next()).await.expect("it comes");
        let told = told.expect("it goes on").expect("it is whole");
        let told = told.into_text().expect("text");
        assert!(told.contains(&format!(r#""type":"{kind}""#)), "{told}");
    }
    assert_eq!(asks_for_the_place(&api).await, 429, "it has the place");

    wait_for_the_log(&api, "it did not accept a message in time").await;
    let code = loop {
        let told = timeout(PATIENCE, socket.next()).await.expect("it ends");
        let told = told.expect("it is told why").expect("it is told why");
        if let Message::Close(frame) = told {
            break frame.map(|frame| u16::from(frame.code));
        }
    };

    assert_eq!(code, Some(4432));
    wait_for_the_place(&api).await;
}
