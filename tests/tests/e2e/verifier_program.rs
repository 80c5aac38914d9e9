//! `examples/verifier`: the real program, without an account, beside the real service and a real node, and each of them lies.

use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use axum::body::Body;
use axum::http::HeaderMap;
use dev::process::Signal;
use dev::tools::{Scope, Tools};
use futures::{Stream, stream};
use serde_json::{Value, json};
use tests::{PATIENCE, Person, Program, World, documents, id};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::verifier::{Lie, liar};

static BUILT: OnceCell<PathBuf> = OnceCell::const_new();

/// The program, installed and built as its README says.
async fn program() -> &'static PathBuf {
    let build = || {
        let root = dev::repository::root().expect("the tests run inside a clone");
        Tools::ensure(&root, Scope::Test).expect("the tools are there");
        let example = root.join("examples/verifier");
        let built = std::process::Command::new("node")
            .arg("node_modules/typescript/bin/tsc")
            .current_dir(&example)
            .output()
            .expect("node starts");
        let said = String::from_utf8_lossy(&built.stdout);
        assert!(built.status.success(), "it is no TypeScript: {said}");
        example.join("dist/main.js")
    };
    let built = async || {
        let built = tokio::task::spawn_blocking(build).await;
        built.expect("it is built")
    };
    BUILT.get_or_init(built).await
}

/// It runs; dropped, it is killed.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// How it ended, and the last line that it said.
struct Ended {
    code: Option<i32>,
    last: Value,
}

impl Running {
    /// Starts it between this service and this node; `name` names its files.
    async fn start(world: &World, api: &str, node: &str, name: &str, more: &[&str]) -> Self {
        let dir = world.foundation.dir();
        let (state, evidence) = (
            dir.join(format!("{name}.json")),
            dir.join(format!("{name}-evidence.json")),
        );
        let mut child = Command::new("node")
            .arg(program().await)
            .args(["--api", api, "--node", node])
            .args(["--registry", &world.foundation.deployment.registry])
            .arg("--state")
            .arg(state)
            .arg("--evidence")
            .arg(evidence)
            // Whoever is only slow is to be told of as what they are: a machine with much else to do takes seconds to answer.
            .args(["--patience", "8", "--poll", "0.2"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let output = child.stdout.take().expect("it is piped");
        Self {
            child,
            lines: BufReader::new(output).lines(),
        }
    }

    /// The next line; `None` where it says no more.
    async fn next(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("it says something").expect("it is text")?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Waits until it says this.
    async fn says(&mut self, what: &str) {
        loop {
            let line = self.next().await.expect("it goes on");
            assert_ne!(line["what"], "ALERT", "{line}");
            if line["what"] == what {
                return;
            }
        }
    }

    /// Waits until it agrees with the contract's head after this many events or more.
    async fn agrees_at(&mut self, sequence: i64) {
        loop {
            let line = self.next().await.expect("it goes on");
            assert_ne!(line["what"], "ALERT", "{line}");
            if line["what"] == "agreed" && line["sequence"].as_i64() >= Some(sequence) {
                return;
            }
        }
    }

    async fn ends(mut self) -> Ended {
        let mut last = Value::Null;
        while let Some(line) = self.next().await {
            last = line;
        }
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.expect("it ends").expect("it is ours");
        Ended {
            code: status.code(),
            last,
        }
    }
}

/// How many events there have been, as the indexer has them.
async fn last_sequence(world: &World) -> i64 {
    let last = world
        .sql("SELECT max(sequence) AS last FROM chain_events WHERE undone_at IS NULL")
        .await;
    last[0]["last"].as_i64().expect("there are some")
}

/// A record that is in a block.
async fn anchored(world: &World, patient: &Person) {
    let record = patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
}

fn signal(running: &Running, signal: &str) {
    let process = running.child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("kill")
        .args([signal, &process])
        .status();
    assert!(sent.expect("kill starts").success());
}

#[tokio::test]
async fn an_honest_service_is_followed_through_restarts_and_reorganisations() {
    let mut world = World::start().await;
    let (api, node) = (world.api.url(), world.foundation.chain_rpc_url().to_owned());
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;
    // A busy machine is no lie.
    let patient = ["--patience", "60"];
    let mut running = Running::start(&world, &api, &node, "honest", &patient).await;
    let before = last_sequence(&world).await;
    running.agrees_at(before).await;

    // The block of the anchor is undone; the relay brings it into another.
    world.reorg(1).await;

    // The service goes and comes back.
    world.api.kill().await;
    world.api.restart().await;
    anchored(&world, &ana).await;
    running.agrees_at(before + 1).await;

    // The node stands still for a while.
    let standing = world.foundation.node.as_ref().expect("the node is ours");
    standing.process().signal(Signal::STOP);
    running.says("the node does not answer").await;
    let standing = world.foundation.node.as_ref().expect("the node is ours");
    standing.process().signal(Signal::CONT);
    anchored(&world, &ana).await;
    running.agrees_at(before + 2).await;

    // It is killed itself, and goes on where it stood.
    signal(&running, "-KILL");
    running.ends().await;
    anchored(&world, &ana).await;
    let state = world.foundation.dir().join("honest.json");
    let state = fs::read_to_string(state).expect("it is whole");
    let stood: Value = serde_json::from_str(&state).expect("it is whole");
    assert!(!state.contains(&ana.id), "it knows nobody");
    let mut again = Running::start(&world, &api, &node, "honest", &patient).await;
    let first = again.next().await.expect("it says where it begins");
    assert_eq!(
        (&first["what"], &first["after"]),
        (&json!("following"), &stood["cursor"])
    );
    again.agrees_at(before + 3).await;
    signal(&again, "-TERM");
    assert_eq!(again.ends().await.code, Some(0));

    // From the beginning, once.
    let once = Running::start(&world, &api, &node, "once", &["--once", "--patience", "60"]).await;
    let ended = once.ends().await;
    assert_eq!(ended.code, Some(0), "{}", ended.last);
    assert_eq!(ended.last["sequence"], last_sequence(&world).await);
}

#[tokio::test]
async fn a_database_that_was_changed_by_a_superuser_is_told_with_the_evidence() {
    let world = World::start().await;
    let (api, node) = (world.api.url(), world.foundation.chain_rpc_url().to_owned());
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;
    let table = [
        (
            "another hash",
            "UPDATE chain_events SET subject_hash = repeat('ab', 32) WHERE kind = 'RECORD_ANCHORED'",
            "ALTERED",
        ),
        (
            "another transaction",
            "UPDATE chain_events SET tx_hash = '0x' || repeat('ab', 32) WHERE sequence = 2",
            "ALTERED",
        ),
        (
            "an event that is gone",
            "DELETE FROM chain_events WHERE sequence = 1",
            "WITHHELD",
        ),
    ];

    for (nth, (what, attack, verdict)) in table.into_iter().enumerate() {
        world.attacks(attack).await;
        let name = format!("attacked{nth}");
        let told = Running::start(&world, &api, &node, &name, &[]).await;
        let told = told.ends().await;
        assert_eq!(told.code, Some(1), "{what}: {}", told.last);
        assert_eq!(told.last["what"], "ALERT", "{what}");
        assert_eq!(told.last["verdict"], verdict, "{what}: {}", told.last);
        let evidence = world.foundation.dir().join(format!("{name}-evidence.json"));
        let evidence = fs::read_to_string(evidence).expect("it is written");
        let evidence: Value = serde_json::from_str(&evidence).expect("JSON");
        assert_eq!(evidence, told.last, "{what}");
    }
}

/// What the service in between tells instead of an entry.
type Retell = fn(&Value) -> Vec<Value>;

fn is_anchor(entry: &Value) -> bool {
    entry["kind"] == "RECORD_ANCHORED"
}

fn withholds(entry: &Value) -> Vec<Value> {
    Vec::from_iter((!is_anchor(entry)).then(|| entry.clone()))
}

/// The next event, in a block that nobody has.
fn invents(entry: &Value) -> Vec<Value> {
    let mut told = vec![entry.clone()];
    if is_anchor(entry) {
        let mut forged = entry.clone();
        forged["sequence"] = json!(entry["sequence"].as_i64().unwrap_or_default() + 1);
        forged["blockHash"] = json!(format!("0x{}", "11".repeat(32)));
        forged["txHash"] = json!(format!("0x{}", "22".repeat(32)));
        forged["subjectHash"] = json!("33".repeat(32));
        forged["head"] = json!(format!("0x{}", "44".repeat(25)));
        told.push(forged);
    }
    told
}

/// The same, in a block that there is.
fn invents_in_a_block(entry: &Value) -> Vec<Value> {
    let mut told = invents(entry);
    for forged in told.iter_mut().skip(1) {
        forged["blockHash"] = entry["blockHash"].clone();
        forged["logIndex"] = json!(77);
    }
    told
}

fn undoes(entry: &Value) -> Vec<Value> {
    let mut told = vec![entry.clone()];
    if is_anchor(entry) {
        let mut undone = entry.clone();
        undone["isUndone"] = json!(true);
        told.push(undone);
    }
    told
}

/// The same once more, as of another account.
fn tells_twice(entry: &Value) -> Vec<Value> {
    let mut told = vec![entry.clone()];
    if is_anchor(entry) {
        let mut other = entry.clone();
        other["actor"] = json!(format!("0x{}", "00".repeat(20)));
        told.push(other);
    }
    told
}

/// A service in between that tells the entries otherwise. Answers its address.
async fn retells(api: &Program, retell: Retell) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (service, http) = (format!("{}/graphql", api.url()), dev::http::client());
    let answer = async move |headers: HeaderMap, asked: String| {
        let mut request = http
            .post(&service)
            .header("content-type", "application/json");
        if let Some(accept) = headers.get("accept") {
            request = request.header("accept", accept.to_str().unwrap_or_default());
        }
        let answer = request.body(asked).send().await.expect("an answer");
        let kind = answer.headers().get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        let body = if kind.starts_with("text/event-stream") {
            Body::from_stream(retold(answer, retell))
        } else {
            Body::from(answer.text().await.unwrap_or_default())
        };
        ([("content-type", kind)], body)
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://127.0.0.1:{port}")
}

/// The event stream, block by block.
fn retold(
    answer: reqwest::Response,
    retell: Retell,
) -> impl Stream<Item = Result<String, Infallible>> {
    stream::unfold(
        (answer, String::new()),
        move |(mut answer, mut held)| async move {
            loop {
                if let Some(end) = held.find("\n\n") {
                    let block: String = held.drain(..end + 2).collect();
                    let block = retold_block(&block, retell);
                    return Some((Ok::<_, Infallible>(block), (answer, held)));
                }
                let chunk = answer.chunk().await.ok().flatten()?;
                held.push_str(&String::from_utf8_lossy(&chunk));
            }
        },
    )
}

fn retold_block(block: &str, retell: Retell) -> String {
    let data = block.lines().find_map(|line| line.strip_prefix("data:"));
    let told: Value = serde_json::from_str(data.unwrap_or_default()).unwrap_or_default();
    let entry = &told["data"]["publicIntegrityEvents"];
    if !entry.is_object() {
        return block.to_owned();
    }
    let entries = retell(entry).into_iter().map(|entry| {
        let data = json!({ "data": { "publicIntegrityEvents": entry } });
        format!("event: next\ndata: {data}\n\n")
    });
    // Something is sent in the place of nothing.
    [": \n\n".to_owned()].into_iter().chain(entries).collect()
}

#[tokio::test]
async fn an_invented_event_and_a_withheld_one_are_told_apart() {
    let world = World::start().await;
    let node = world.foundation.chain_rpc_url().to_owned();
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;
    let table: [(&str, Retell, &str); 5] = [
        ("withheld", withholds, "WITHHELD"),
        ("invented", invents, "FORGED"),
        ("invented-in-a-block", invents_in_a_block, "FORGED"),
        ("undone", undoes, "WITHHELD"),
        ("twice", tells_twice, "CONTRADICTION"),
    ];

    for (name, retell, verdict) in table {
        let api = retells(&world.api, retell).await;
        let told = Running::start(&world, &api, &node, name, &[]).await;
        let told = told.ends().await;
        assert_eq!(told.code, Some(1), "{name}: {}", told.last);
        assert_eq!(told.last["verdict"], verdict, "{name}: {}", told.last);
    }
}

/// No log of an anchored record is shown.
fn hides_anchors(method: &str, _: &Value, answer: &mut Value) {
    const ANCHORED: &str = "0x59010d36f2d4259e535ccc99e1afd56558c7ce7a1de714db27b2a7b483ebbfab";
    if let (true, Some(logs)) = (method == "eth_getLogs", answer["result"].as_array_mut()) {
        logs.retain(|log| log["topics"][0] != ANCHORED);
    }
}

/// A log says another record than was anchored.
fn changes_a_log(method: &str, _: &Value, answer: &mut Value) {
    if let (true, Some(logs)) = (method == "eth_getLogs", answer["result"].as_array_mut()) {
        for topic in logs.iter_mut().filter_map(|log| log["topics"].get_mut(1)) {
            *topic = json!(format!("0x{}", "55".repeat(32)));
        }
    }
}

/// The contract has said nothing for long.
fn tells_an_old_head(method: &str, params: &Value, answer: &mut Value) {
    // The selector of `head()`.
    let is_head = params[0]["data"].as_str() == Some("0x8f7dcfa3");
    if method == "eth_call" && is_head {
        answer["result"] = json!(format!("0x{}{}", "66".repeat(25), "0".repeat(142)));
    }
}

#[tokio::test]
async fn a_node_that_contradicts_itself_is_told_and_what_cannot_be_checked_is_no_lie() {
    let world = World::start().await;
    let api = world.api.url();
    let node = world.foundation.chain_rpc_url().to_owned();
    let ana = world.patient("ana").await;
    anchored(&world, &ana).await;
    let table: [(&str, Lie); 3] = [
        ("hidden", hides_anchors),
        ("changed", changes_a_log),
        ("old-head", tells_an_old_head),
    ];
    for (name, lie) in table {
        let lies = liar(&node, lie).await;
        let told = Running::start(&world, &api, &lies, name, &[]).await;
        let told = told.ends().await;
        assert_eq!(told.code, Some(1), "{name}: {}", told.last);
        assert_eq!(told.last["verdict"], "NODE", "{name}: {}", told.last);
    }

    let nowhere = "http://127.0.0.1:9";
    let no_contract = ["--registry", "0x00000000000000000000000000000000000000ff"];
    let table: [(&str, &str, &str, &[&str]); 4] = [
        ("no-node", &api, nowhere, &["--once"]),
        ("no-service", nowhere, &node, &["--once"]),
        ("no-contract", &api, &node, &no_contract),
        ("no-address", "records.example", &node, &[]),
    ];
    for (name, api, node, more) in table {
        let ended = Running::start(&world, api, node, name, more).await;
        let ended = ended.ends().await;
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.last);
    }
}
