//! nginx and Caddy with the files of `ops`, before two apis: everything comes through them by TLS, as it comes and from whom it comes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;

use dev::process::Signal;
use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Client, RequestBuilder, Response};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::transfer::{NDJSON, heart_rate, stored};
use tests::{PATIENCE, Person, Program, World, documents, eventually, id, text};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};

use crate::attachments::{pdf, promise, report};
use crate::tls::{Authority, InForce};

/// What both files call the host.
const HOST: &str = "api.example.org";
/// Where the client is: not where the proxy is, which the apis trust.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where a client says that it is.
const CLAIMED: &str = "203.0.113.9";
const FOLLOW: &str =
    "subscription { integrityEvents(after: \"earliest\") { kind cursor recordId } }";
/// How many records come in behind the first one, and how long each is, mostly blanks. Unit: bytes.
const MORE: u32 = 40;
const LENGTH: usize = 100_000;

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyKind {
    Nginx,
    Caddy,
}

/// A proxy before two apis.
struct RunningProxy {
    _process: Child,
    authority: Authority,
    address: SocketAddr,
}

/// A file of `ops` with other addresses, ports and paths: each of them stands in it once.
fn rewritten(file: &str, changes: &[(&str, String)]) -> String {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let read = fs::read_to_string(root.join(file));
    let mut text = read.unwrap_or_else(|error| panic!("{file}: {error}"));
    for (of, to) in changes {
        assert_eq!(text.matches(of).count(), 1, "{file}: {of}");
        text = text.replace(of, to);
    }
    text
}

impl RunningProxy {
    /// Starts one, and waits until it passes something on.
    async fn before(apis: [&Program; 2], world: &World, kind: ProxyKind) -> Self {
        let authority = Authority::new("ours");
        let issued = authority.issues(HOST, InForce::Still);
        let (certificate, key) = (world.file("proxy.pem"), world.file("proxy.key"));
        fs::write(&certificate, &issued.certificate).expect("written");
        fs::write(&key, &issued.key).expect("written");
        let port = dev::port::claim().expect("there are ports");
        let apis = apis.map(|api| api.address().to_string());
        let mut command = match kind {
            ProxyKind::Nginx => nginx(world, port, &apis, [certificate, key]),
            ProxyKind::Caddy => caddy(world, port, &apis, [certificate, key]),
        };
        let log = world.file("proxy.log");
        let written = fs::File::create(&log).expect("it can be made");
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(written)
            .kill_on_drop(true)
            .spawn()
            .expect("the proxy starts");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let client = client(&authority, address);
        let keys = format!("https://{HOST}:{port}/.well-known/jwks.json");
        let answers = eventually("the proxy answers", async || {
            let answer = client.get(&keys).send().await;
            answer.ok().filter(|it| it.status().is_success())
        });
        tokio::select! {
            _ = answers => {}
            ended = process.wait() => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                panic!("{kind:?} has ended ({ended:?}): {said}");
            }
        }
        Self {
            _process: process,
            authority,
            address,
        }
    }

    /// A request of somebody, who claims to be somewhere else.
    fn request(
        &self,
        person: &Person,
        of: impl FnOnce(&Client, String) -> RequestBuilder,
        path: &str,
    ) -> RequestBuilder {
        let url = format!("https://{HOST}:{}{path}", self.address.port());
        let request = of(&client(&self.authority, self.address), url);
        let request = request.header("x-forwarded-for", CLAIMED);
        match person.client.token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn graphql(&self, person: &Person, body: &Value) -> RequestBuilder {
        let request = self.request(person, Client::post, "/graphql");
        let request = request.header("content-type", "application/json");
        request.body(body.to_string())
    }

    /// What a query or a mutation answers.
    async fn asks(&self, person: &Person, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let answer = self.graphql(person, &body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("no answer to {query}: {error}"));
        let status = answer.status();
        let said = answer.text().await.expect("the answer arrives");
        assert_eq!(status, 200, "{said}");
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said["errors"], Value::Null, "{said}");
        said["data"].clone()
    }

    async fn socket(&self) -> WebSocketStream<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await;
        let name = ServerName::try_from(HOST).expect("a name");
        let stream = TlsConnector::from(Arc::new(self.authority.believed()))
            .connect(name, stream.expect("a connection"))
            .await
            .expect("it is believed");
        let address = format!("wss://{HOST}:{}/graphql", self.address.port());
        let request = ClientRequestBuilder::new(address.parse().expect("an address"))
            .with_sub_protocol("graphql-transport-ws");
        let (socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .expect("it is a WebSocket");
        socket
    }
}

fn client(authority: &Authority, proxy: SocketAddr) -> Client {
    let client = Client::builder()
        .tls_backend_preconfigured(authority.believed())
        .resolve(HOST, proxy)
        .local_address(IpAddr::from(CLIENT));
    client.build().expect("a client")
}

fn nginx(world: &World, port: u16, apis: &[String; 2], [certificate, key]: [String; 2]) -> Command {
    let site = rewritten(
        "ops/nginx/meditrustal.conf",
        &[
            ("listen 443 ssl;", format!("listen 127.0.0.1:{port} ssl;")),
            ("server 127.0.0.1:8000 ", format!("server {} ", apis[0])),
            ("server 127.0.0.1:8010 ", format!("server {} ", apis[1])),
            ("/etc/meditrustal/tls/fullchain.pem", certificate),
            ("/etc/meditrustal/tls/privkey.pem", key),
        ],
    );
    let (file, main) = (world.file("site.conf"), world.file("nginx.conf"));
    fs::write(&file, site).expect("written");
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| {
        let path = world.file(&format!("nginx-{name}"));
        format!("{name}_temp_path {path};")
    });
    // One process, which ends when it is killed; and nothing beside the files of this world.
    let around = format!(
        "daemon off;\nmaster_process off;\npid {};\nerror_log stderr warn;\nevents {{}}\nhttp {{\n{}\ninclude {file};\n}}\n",
        world.file("nginx.pid"),
        temporary.join("\n"),
    );
    fs::write(&main, around).expect("written");
    let program = world.foundation.tools.nginx();
    let mut command = Command::new(program.unwrap_or_else(|error| panic!("{error}")));
    command
        .args(["-e", "stderr", "-c", &main, "-p"])
        .arg(world.files());
    command
}

fn caddy(world: &World, port: u16, apis: &[String; 2], [certificate, key]: [String; 2]) -> Command {
    let site = rewritten(
        "ops/caddy/Caddyfile",
        &[
            (
                "api.example.org {",
                format!("{HOST}:{port} {{\n\ttls {certificate} {key}"),
            ),
            ("127.0.0.1:8000", apis[0].clone()),
            ("127.0.0.1:8010", apis[1].clone()),
        ],
    );
    let (file, main) = (world.file("site.caddy"), world.file("Caddyfile"));
    fs::write(&file, site).expect("written");
    // Nothing on ports that others may have.
    let around = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n";
    fs::write(&main, format!("{around}import {file}\n")).expect("written");
    let program = world.foundation.tools.caddy();
    let mut command = Command::new(program.unwrap_or_else(|error| panic!("{error}")));
    command.args(["run", "--adapter", "caddyfile", "--config", &main]);
    for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(name, world.files());
    }
    command
}

#[tokio::test]
async fn nginx_passes_everything_on_as_its_file_says() {
    everything_is_passed_on(ProxyKind::Nginx).await;
}

#[tokio::test]
async fn caddy_passes_everything_on_as_its_file_says() {
    everything_is_passed_on(ProxyKind::Caddy).await;
}

async fn everything_is_passed_on(kind: ProxyKind) {
    let world = World::with(|options| {
        let settings = [
            // As both files say.
            ("MEDITRUSTAL_TRUSTED_PROXIES", "127.0.0.1/32"),
            // Longer than a busy machine may take to ask once more whether it serves.
            ("MEDITRUSTAL_DRAIN", "4"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        options.api.extend(settings);
    })
    .await;
    let second = world.second_api().await;
    let proxy = RunningProxy::before([&world.api, &second], &world, kind).await;
    let ana = world.patient("ana").await;

    tells_where_the_client_is(&world, &proxy, &ana).await;
    answers_what_is_for_everybody(&proxy, &ana).await;
    carries_a_socket(&proxy, &ana).await;
    carries_an_event_stream(&proxy, &ana).await;
    carries_a_file(&proxy, &ana).await;
    carries_an_import(&world, &proxy, &ana).await;
    carries_an_export(&world, &proxy, &ana).await;
    goes_on_with_the_other_api(&world, &proxy, &ana).await;
}

/// The address in the session is the client's, whatever the client says.
async fn tells_where_the_client_is(world: &World, proxy: &RunningProxy, ana: &Person) {
    let log_in = "mutation L($input: LogInInput!) { logIn(input: $input) { user { username } } }";
    let input = json!({ "login": ana.username, "password": ana.password });

    let answer = proxy
        .asks(&world.nobody(), log_in, json!({ "input": input }))
        .await;

    assert_eq!(answer["logIn"]["user"]["username"], ana.username.as_str());
    let newest = "SELECT ip_address FROM sessions ORDER BY created_at DESC, id DESC LIMIT 1";
    let newest = world.sql(newest).await;
    assert_eq!(newest[0]["ip_address"], CLIENT.to_string());
}

async fn answers_what_is_for_everybody(proxy: &RunningProxy, ana: &Person) {
    let query = json!({ "query": "{ me { username } }" });
    let answer = proxy.graphql(ana, &query).send().await.expect("an answer");
    let header = answer.headers().get("strict-transport-security");
    assert_eq!(
        header.expect("browsers are told to use TLS"),
        "max-age=31536000"
    );
    let said: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
    assert_eq!(said["data"]["me"]["username"], ana.username.as_str());
    for path in ["/", "/health/ready", "/metrics"] {
        let answer = proxy.request(ana, Client::get, path).send().await;
        assert_eq!(answer.expect("an answer").status(), 404, "{path}");
    }
}

async fn creates(proxy: &RunningProxy, ana: &Person, kind: &str, document: Value) -> String {
    let create = "mutation C($input: CreateMedicalRecordInput!) { createMedicalRecord(input: $input) { record { id } } }";
    let input = json!({ "patientId": ana.id, "recordType": kind, "document": document });
    let answer = proxy.asks(ana, create, json!({ "input": input })).await;
    id(&answer["createMedicalRecord"]["record"])
}

/// A vital sign.
async fn creates_one(proxy: &RunningProxy, ana: &Person) -> String {
    let document = serde_json::from_str(&documents::vital_signs()).expect("JSON");
    creates(proxy, ana, "VITAL_SIGNS", document).await
}

async fn carries_a_socket(proxy: &RunningProxy, ana: &Person) {
    let mut socket = proxy.socket().await;
    let init = json!({ "type": "connection_init", "payload": { "authorization": ana.bearer() } });
    let subscribe = json!({ "type": "subscribe", "id": "1", "payload": { "query": FOLLOW } });
    let says = |message: Value| Message::text(message.to_string());
    socket.send(says(init)).await.expect("the line is there");
    hears(&mut socket, "connection_ack").await;
    let record = creates_one(proxy, ana).await;
    socket
        .send(says(subscribe))
        .await
        .expect("the line is there");
    hears(&mut socket, &record).await;
    // What happens while it is open.
    let record = creates_one(proxy, ana).await;
    hears(&mut socket, &record).await;
}

/// Waits for a message with these words.
async fn hears(socket: &mut WebSocketStream<TlsStream<TcpStream>>, wanted: &str) {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await;
        let message = message.expect("something comes").expect("it is open");
        let message = message.expect("a message");
        if message.is_text() && message.to_string().contains(wanted) {
            return;
        }
    }
}

async fn carries_an_event_stream(proxy: &RunningProxy, ana: &Person) {
    let request = proxy.graphql(ana, &json!({ "query": FOLLOW }));
    let answer = request.header("accept", "text/event-stream").send().await;
    let mut answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    let mut heard = String::new();
    for _ in 0..2 {
        // It is short, and nothing follows that would fill a buffer.
        let record = creates_one(proxy, ana).await;
        while !heard.contains(&record) {
            let piece = tokio::time::timeout(PATIENCE, answer.chunk()).await;
            let piece = piece.expect("it comes at once").expect("it is whole");
            heard.push_str(&String::from_utf8_lossy(&piece.expect("it is open")));
        }
    }
}

async fn carries_a_file(proxy: &RunningProxy, ana: &Person) {
    let file = pdf();
    let document = report(&[promise(&file, "application/pdf")]);
    let record = creates(proxy, ana, "IMAGING", document).await;
    let path = format!("/records/{record}/attachments/1");

    let put = proxy.request(ana, Client::put, &path).body(file.clone());
    let put = put.send().await.expect("an answer");
    let part = proxy.request(ana, Client::get, &path);
    let part = part.header("range", "bytes=100000-100099").send().await;
    let part = part.expect("an answer");

    assert_eq!(put.status(), 201);
    assert_eq!(part.status(), 206);
    let said = format!("bytes 100000-100099/{}", file.len());
    assert_eq!(part.headers()["content-range"], said.as_str());
    let part = part.bytes().await.expect("it arrives");
    assert!(part == file[100_000..100_100], "byte for byte");
}

/// The first entry is stored before the last one is sent, and none is lost between them.
async fn carries_an_import(world: &World, proxy: &RunningProxy, ana: &Person) {
    let before = stored(world).await;
    let (said, heard) = mpsc::unbounded_channel::<String>();
    let pieces = futures::stream::unfold(heard, |mut heard| async {
        let piece = heard.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), heard))
    });
    let path = format!("/import?patient={}", ana.id);
    let request = proxy.request(ana, Client::post, &path);
    let request = request.header("content-type", NDJSON);
    let body = reqwest::Body::wrap_stream(pieces);
    let answer = tokio::spawn(request.body(body).send());
    said.send(heart_rate(39) + "\n").expect("it listens");
    eventually("the first one is stored", async || {
        (stored(world).await > before).then_some(())
    })
    .await;

    let blanks = " ".repeat(LENGTH);
    for nth in 0..MORE {
        let line = heart_rate(40 + nth).replacen('{', &format!("{{{blanks}"), 1);
        said.send(line + "\n").expect("it listens");
    }
    drop(said);

    let answer = answer.await.expect("no panic").expect("an answer");
    let told = whole(answer).await;
    let end = told.lines().last().expect("a line");
    let end: Value = serde_json::from_str(end).expect("JSON");
    assert_eq!(end["ended"], "COMPLETE", "{end}");
    assert_eq!(end["created"], MORE + 1, "{end}");
    assert_eq!(end["refused"], 0, "{end}");
    assert_eq!(stored(world).await, before + u64::from(MORE) + 1);
}

/// All of an answer that succeeded.
async fn whole(answer: Response) -> String {
    let status = answer.status();
    let told = answer.text().await.expect("it is whole");
    assert_eq!(status, 200, "{told}");
    told
}

/// The first records arrive while those behind them cannot be opened yet.
async fn carries_an_export(world: &World, proxy: &RunningProxy, ana: &Person) {
    let holder = world.holds_exports_after(16).await;
    let path = format!("/export?patient={}", ana.id);

    let answer = proxy.request(ana, Client::get, &path).send().await;
    let mut answer = answer.expect("an answer");
    let first = tokio::time::timeout(PATIENCE, answer.chunk()).await;
    let first = first
        .expect("it comes")
        .expect("it is whole")
        .expect("a piece");
    world.export_waits().await;
    holder.close().await.expect("it lets go");
    let told = String::from_utf8_lossy(&first).into_owned() + &whole(answer).await;

    let records = told
        .lines()
        .filter(|line| line.contains("\"resourceType\""));
    let there = world.sql("SELECT id FROM medical_records").await;
    assert_eq!(records.count(), there.len());
    for record in there {
        assert!(told.contains(&text(&record["id"])), "{record}");
    }
}

/// While an api stops, and after that, every request is answered.
async fn goes_on_with_the_other_api(world: &World, proxy: &RunningProxy, ana: &Person) {
    let me = "{ me { username } }";
    world.api.signal(Signal::TERM);
    let ended = world.api.ends();
    let mut ended = std::pin::pin!(ended);
    loop {
        tokio::select! {
            biased;
            status = &mut ended => {
                assert!(status.success(), "{status}");
                break;
            }
            _ = proxy.asks(ana, me, json!({})) => {}
        }
    }
    for _ in 0..8 {
        proxy.asks(ana, me, json!({})).await;
    }
}
