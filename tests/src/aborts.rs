//! Clients that leave: requests whose connection is closed or reset before they are answered.

use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};

use crate::{Person, Program, documents};

/// The longest that a client waits before it leaves. Unit: milliseconds.
const LONGEST: u64 = 50;
/// How many clients are there at a time.
const AT_ONCE: usize = 24;

/// Requests of every way in, sent by clients who leave.
#[derive(Debug, Clone)]
pub struct Aborts {
    requests: Vec<String>,
    subscriptions: Vec<(String, String)>,
    address: std::net::SocketAddr,
}

impl Aborts {
    /// Of this doctor, of this patient's record, and of nobody.
    pub fn of(api: &Program, doctor: &Person, patient: &Person, record: &str) -> Self {
        let challenge = r#"{"query":"mutation { walletChallenge(input: { address: \"0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045\", purpose: LOG_IN }) { message } }"}"#;
        let log_in = r#"{"query":"mutation { logIn(input: { login: \"nobody.there\", password: \"nothing that opens\" }) { accessToken } }"}"#;
        let read =
            json!({ "query": format!("{{ medicalRecord(id: \"{record}\") {{ document }} }}") });
        let verify =
            json!({ "query": format!("{{ verifyRecord(id: \"{record}\") {{ verdict }} }}") });
        let list = json!({ "query": format!("{{ medicalRecords(patientId: \"{}\", first: 5) {{ totalCount nodes {{ id document }} }} }}", patient.id) });
        let everybody = json!({ "query": "{ medicalRecords(first: 5) { nodes { id } } }" });
        let own = json!({ "query": "{ me { id } mySessions(first: 2) { nodes { id } } }" });
        let mut requests = Vec::new();
        for body in [challenge, log_in] {
            requests.push(post("/graphql", "application/json", "", body));
        }
        let bearer = format!("authorization: {}\r\n", doctor.bearer());
        for body in [read, verify, list, everybody, own] {
            let body = body.to_string();
            requests.push(post("/graphql", "application/json", &bearer, &body));
            let events = format!("{bearer}accept: text/event-stream\r\n");
            requests.push(post("/graphql", "application/json", &events, &body));
        }
        let get =
            |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        requests.push(get(
            "/graphql?query=%7B%20me%20%7B%20id%20%7D%20%7D",
            &bearer,
        ));
        let follow =
            "/graphql?query=subscription%20%7B%20integrityEvents%20%7B%20cursor%20%7D%20%7D";
        requests.push(get(
            follow,
            &format!("{bearer}accept: text/event-stream\r\n"),
        ));
        requests.push(get("/health/ready", ""));
        requests.push(get(&format!("/export?patient={}", patient.id), &bearer));
        let import = format!("/import?patient={}", patient.id);
        let line = crate::transfer::in_line(&documents::lab_result()) + "\n";
        requests.push(post(
            &import,
            crate::transfer::NDJSON,
            &bearer,
            &line.repeat(3),
        ));
        let token = doctor.bearer();
        Self {
            requests,
            subscriptions: vec![(token, format!("ws://{}/graphql", api.address()))],
            address: api.address(),
        }
    }

    /// So many clients come and leave, each after its own time, half by FIN and half by RST.
    pub async fn run(&self, clients: u64) {
        let all = (0..clients).map(|nth| self.one(nth));
        stream::iter(all)
            .buffer_unordered(AT_ONCE)
            .for_each(|()| async {})
            .await;
    }

    async fn one(&self, nth: u64) {
        let leaves_after = Duration::from_millis(nth * 7 % (LONGEST + 1));
        let ways = self.requests.len() + self.subscriptions.len();
        let way = usize::try_from(nth).unwrap_or_default() % ways;
        let is_reset = (nth / 2).is_multiple_of(2);
        // Who finds no room has left already.
        if let Some(request) = self.requests.get(way) {
            let Ok(mut stream) = TcpStream::connect(self.address).await else {
                return;
            };
            stream.write_all(request.as_bytes()).await.ok();
            tokio::time::sleep(leaves_after).await;
            leave(&stream, is_reset);
        } else {
            let (token, url) = &self.subscriptions[way - self.requests.len()];
            subscribes(token, url, leaves_after, is_reset).await;
        }
    }
}

async fn subscribes(token: &str, url: &str, leaves_after: Duration, is_reset: bool) {
    let request = ClientRequestBuilder::new(url.parse().expect("an address"))
        .with_sub_protocol("graphql-transport-ws");
    let Ok((mut socket, _)) = tokio_tungstenite::connect_async(request).await else {
        return;
    };
    let hello = json!({ "type": "connection_init", "payload": { "authorization": token } });
    let query = "subscription { integrityEvents(after: null) { cursor } }";
    let subscribe = json!({ "type": "subscribe", "id": "1", "payload": { "query": query } });
    for message in [hello, subscribe] {
        socket.send(Message::text(message.to_string())).await.ok();
    }
    tokio::time::sleep(leaves_after).await;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        leave(stream, is_reset);
    }
}

fn leave(stream: &TcpStream, is_reset: bool) {
    if is_reset {
        // Closed with nothing left to linger for, it is reset.
        stream.set_zero_linger().ok();
    }
}

fn post(path: &str, media: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}
