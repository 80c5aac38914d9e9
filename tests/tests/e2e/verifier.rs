//! `meditrustal verify`: the real program, a document, a real chain, and nothing else.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tests::{Person, World, documents, id, text};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What the program said and how it ended.
pub(crate) struct Verified {
    pub(crate) code: i32,
    pub(crate) said: String,
}

impl Verified {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|error| panic!("{error}: {}", self.said))
    }
}

/// Runs `meditrustal verify - …` on this document, with no environment at all.
pub(crate) async fn verify(world: &World, document: &[u8], arguments: &[&str]) -> Verified {
    let mut child = Command::new(&world.foundation.programs.meditrustal)
        .args(["verify", "-"])
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    // It may not want to read: a wrong chain is told at once.
    pipe.write_all(document).await.ok();
    drop(pipe);
    let output = child.wait_with_output().await.expect("the program ends");
    let said = [output.stdout, output.stderr].concat();
    Verified {
        code: output.status.code().expect("it ends by itself"),
        said: String::from_utf8(said).expect("text"),
    }
}

pub(crate) fn deployment(world: &World) -> String {
    let file: PathBuf = world.foundation.dir().join("deployment.json");
    file.to_str().expect("a path").to_owned()
}

/// Stores a document and waits until it is anchored; answers its hash and the bytes of `canonical`.
async fn anchored(world: &World, person: &Person) -> (String, String) {
    let record = person
        .creates(person, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    let opened = person.reads(&id(&record)).await;
    let canonical = text(&opened.data()["medicalRecord"]["canonical"]);
    (text(&record["dataHash"]), canonical)
}

#[tokio::test]
async fn an_intact_document_is_verified_by_the_chain_alone() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (hash, canonical) = anchored(&world, &ana).await;
    world.finalizes().await;
    let rpc = world.foundation.chain_rpc_url().to_owned();
    let file = deployment(&world);
    let registry = world.foundation.deployment.registry.clone();
    // Neither api nor database is needed any more.
    world.api.kill().await;
    world.indexer.kill().await;
    world
        .foundation
        .database
        .end()
        .await
        .expect("it is dropped");

    let by_file = ["--rpc", &rpc, "--deployment", &file];
    let told = verify(&world, canonical.as_bytes(), &by_file).await;
    assert_eq!(told.code, 0, "{}", told.said);
    for part in ["VERIFIED", &hash, "ACTIVE", "final", "deployment file"] {
        assert!(told.said.contains(part), "{part} in {}", told.said);
    }

    let by_address = [
        "--rpc",
        &rpc,
        "--registry",
        &registry,
        "--json",
        "--current",
    ];
    let told = verify(&world, canonical.as_bytes(), &by_address).await;
    assert_eq!(told.code, 0, "{}", told.said);
    let told = told.json();
    assert_eq!(told["verdict"], "VERIFIED");
    assert_eq!(told["hash"], hash.as_str());
    assert_eq!(told["codeCompared"], false);
    let anchor = &told["anchor"];
    assert_eq!(anchor["status"], "ACTIVE");
    assert_eq!(anchor["isFinal"], true);
    let registrar = &world.foundation.deployment.registrar;
    assert!(text(&anchor["registrar"]).eq_ignore_ascii_case(registrar));
    // The transaction it names is on the chain, in the block it names.
    let receipt = world
        .rpc("eth_getTransactionReceipt", json!([anchor["transaction"]]))
        .await;
    assert_eq!(receipt["blockHash"], anchor["blockHash"]);
    // The number that its log begins with.
    let data = text(&receipt["logs"][0]["data"]);
    let number = u64::from_str_radix(&data[2..66], 16).expect("a number");
    assert_eq!(anchor["sequence"], number);

    // Whose anchor it must be can be said.
    let by = [&by_file[..], &["--by", registrar]].concat();
    assert_eq!(verify(&world, canonical.as_bytes(), &by).await.code, 0);
    let by = [&by_file[..], &["--by", &registry]].concat();
    let told = verify(&world, canonical.as_bytes(), &by).await;
    assert_eq!(told.code, 1);
    assert!(told.said.contains("FOREIGN_REGISTRAR"), "{}", told.said);
}

#[tokio::test]
async fn a_changed_document_is_told_from_one_that_is_only_spelled_otherwise() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (hash, canonical) = anchored(&world, &ana).await;
    let rpc = world.foundation.chain_rpc_url().to_owned();
    let file = deployment(&world);
    let arguments = ["--rpc", &rpc, "--deployment", &file, "--json"];

    // One byte anywhere.
    for place in [1, canonical.len() / 3, canonical.len() - 2] {
        let mut bytes = canonical.clone().into_bytes();
        bytes[place] ^= 1;
        let told = verify(&world, &bytes, &arguments).await;
        assert_eq!(told.code, 1, "{}", told.said);
        assert_eq!(told.json()["verdict"], "NOT_ANCHORED");
        assert_ne!(told.json()["hash"], hash.as_str());
    }
    // The same content in another spelling.
    let value: Value = serde_json::from_str(&canonical).expect("JSON");
    let pretty = format!("{value:#}");
    for (spelled, hint) in [
        (format!("{canonical}\n"), "line break"),
        (pretty, "from byte 2 on"),
    ] {
        let told = verify(&world, spelled.as_bytes(), &arguments).await;
        assert_eq!(told.code, 1, "{}", told.said);
        let told = text(&told.json()["hint"]);
        assert!(told.contains(hint), "{told}");
        assert!(
            told.contains(&format!("{hash}, which IS anchored")),
            "{told}"
        );
    }
    // Something that was never there.
    let told = verify(&world, b"{}", &arguments).await;
    assert_eq!((told.code, &told.json()["hint"]), (1, &Value::Null));
    let told = verify(&world, b"no JSON", &arguments).await;
    assert_eq!(told.code, 1, "{}", told.said);
    assert!(text(&told.json()["hint"]).contains("not JSON"));
}

#[tokio::test]
async fn a_superseded_document_is_verified_unless_the_current_one_is_asked_for() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (hash, canonical) = anchored(&world, &ana).await;
    let (revoked, wrong) = anchored(&world, &ana).await;
    let rpc = world.foundation.chain_rpc_url().to_owned();
    let file = deployment(&world);
    let arguments = ["--rpc", &rpc, "--deployment", &file, "--json"];
    let (second, third) = ("22".repeat(32), "33".repeat(32));
    let registrar = &world.foundation.deployment.registrar;
    // supersede(bytes32,bytes32) twice, and close(bytes32,uint8,uint8) as Revoked.
    world
        .calls_registry(registrar, format!("0xf13cb8cd{hash}{second}"))
        .await;
    world
        .calls_registry(registrar, format!("0xf13cb8cd{second}{third}"))
        .await;
    world
        .calls_registry(
            registrar,
            format!("0x7e593e4a{revoked}{:064x}{:064x}", 3, 1),
        )
        .await;

    let told = verify(&world, canonical.as_bytes(), &arguments).await;
    assert_eq!(told.code, 0, "{}", told.said);
    let anchor = &told.json()["anchor"];
    assert_eq!(anchor["status"], "SUPERSEDED");
    assert_eq!(anchor["successor"], second.as_str());
    assert_eq!(anchor["current"], third.as_str());
    let in_words = verify(&world, canonical.as_bytes(), &arguments[..4]).await;
    assert!(in_words.said.contains("a newer version took its place"));

    let current = [&arguments[..], &["--current"]].concat();
    let told = verify(&world, canonical.as_bytes(), &current).await;
    assert_eq!(
        (told.code, &told.json()["verdict"]),
        (1, &json!("SUPERSEDED"))
    );

    let told = verify(&world, wrong.as_bytes(), &arguments).await;
    assert_eq!((told.code, &told.json()["verdict"]), (1, &json!("REVOKED")));
}

#[tokio::test]
async fn nobody_can_tell_by_another_chain_another_contract_or_no_node() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (_, canonical) = anchored(&world, &ana).await;
    let rpc = world.foundation.chain_rpc_url().to_owned();
    let right = fs::read_to_string(deployment(&world)).expect("the deployment file");
    let right: Value = serde_json::from_str(&right).expect("JSON");
    let with = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut changed = right.clone();
        change(&mut changed);
        let file = world.foundation.dir().join(name);
        fs::write(&file, changed.to_string()).expect("it is written");
        file.to_str().expect("a path").to_owned()
    };
    let other_chain = with("other-chain.json", &|it| it["chainId"] = json!(1));
    let other_code = with("other-code.json", &|it| {
        it["codeHash"] = json!(format!("0x{}", "11".repeat(32)));
    });
    let empty = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let table: [(&[&str], &str); 6] = [
        (
            &["--rpc", &rpc, "--deployment", &other_chain],
            "on chain 31337",
        ),
        (
            &["--rpc", &rpc, "--deployment", &other_code],
            "is not the registry",
        ),
        (&["--rpc", &rpc, "--registry", empty], "no contract at"),
        (
            &["--rpc", "http://127.0.0.1:9", "--registry", empty],
            "cannot be reached",
        ),
        (
            &["--rpc", "wss://node.example", "--registry", empty],
            "http://",
        ),
        (&["--rpc", &rpc], "--registry"),
    ];

    for (arguments, reason) in table {
        let told = verify(&world, canonical.as_bytes(), arguments).await;
        assert_eq!(told.code, 2, "{arguments:?}: {}", told.said);
        assert!(told.said.contains(reason), "{reason} in {}", told.said);
    }
    let json = ["--rpc", "http://127.0.0.1:9", "--registry", empty, "--json"];
    let told = verify(&world, canonical.as_bytes(), &json).await;
    assert_eq!((told.code, &told.json()["verdict"]), (2, &json!("UNKNOWN")));
}

/// Changes the answer to one request: its method, its parameters, the answer.
pub(crate) type Lie = fn(&str, &Value, &mut Value);

/// A node in between that answers as the real one, but for its lie. Answers its address.
pub(crate) async fn liar(node: &str, lie: Lie) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (node, http) = (node.to_owned(), dev::http::client());
    let answer = async move |asked: String| {
        let question: Value = serde_json::from_str(&asked).expect("JSON");
        let sent = http.post(&node).header("content-type", "application/json");
        let answer = sent.body(asked).send().await.expect("an answer");
        let mut answer: Value = answer.json().await.expect("JSON");
        lie(&text(&question["method"]), &question["params"], &mut answer);
        answer.to_string()
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://127.0.0.1:{port}")
}

fn truth(_: &str, _: &Value, _: &mut Value) {}

fn gives_no_proofs(method: &str, _: &Value, answer: &mut Value) {
    if method == "eth_getProof" {
        *answer = json!({
            "jsonrpc": "2.0", "id": 0, "error": { "code": -32601, "message": "no such method" },
        });
    }
}

/// anchorOf says of whatever was closed that it stands.
fn revokes_nothing(method: &str, params: &Value, answer: &mut Value) {
    let data = params[0]["data"].as_str().unwrap_or_default();
    let said = answer["result"].as_str().unwrap_or_default();
    if method == "eth_call" && said.len() == 2 + 9 * 64 && data.len() == 2 + 8 + 64 {
        let kept = &said[66..2 + 5 * 64];
        answer["result"] = json!(format!("0x{:064x}{kept}{}", 1, "0".repeat(4 * 64)));
    }
}

fn revokes_nothing_and_gives_no_proofs(method: &str, params: &Value, answer: &mut Value) {
    revokes_nothing(method, params, answer);
    gives_no_proofs(method, params, answer);
}

fn hides_the_last_event(method: &str, _: &Value, answer: &mut Value) {
    if let (true, Some(logs)) = (method == "eth_getLogs", answer["result"].as_array_mut())
        && logs.len() > 1
    {
        logs.pop();
    }
}

fn makes_up_a_state(method: &str, _: &Value, answer: &mut Value) {
    if method == "eth_getBlockByHash" {
        answer["result"]["stateRoot"] = json!(format!("0x{}", "11".repeat(32)));
    }
}

fn makes_up_blocks(method: &str, _: &Value, answer: &mut Value) {
    if method == "eth_getBlockByNumber" && answer["result"].is_object() {
        answer["result"]["hash"] = json!(format!("0x{}", "22".repeat(32)));
    }
}

#[tokio::test]
async fn what_the_chain_shows_is_proven_by_the_hash_of_a_block_and_no_event_is_missing() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (_, canonical) = anchored(&world, &ana).await;
    let (_, second) = anchored(&world, &ana).await;
    let rpc = world.foundation.chain_rpc_url().to_owned();
    let file = deployment(&world);

    let strictly = [
        "--rpc",
        &rpc,
        "--deployment",
        &file,
        "--json",
        "--proven",
        "--complete",
        "--witness",
        &rpc,
    ];
    for document in [&canonical, &second] {
        let told = verify(&world, document.as_bytes(), &strictly).await;
        assert_eq!(told.code, 0, "{}", told.said);
        let told = told.json();
        assert_eq!(
            (&told["verdict"], &told["proven"], &told["witnessed"]),
            (&json!("VERIFIED"), &json!(true), &json!(true))
        );
        let events = told["events"].as_u64().expect("a number");
        assert!(events >= 3, "the admin, a role, two anchors: {events}");
        let named = world
            .rpc(
                "eth_getBlockByHash",
                json!([told["readAtBlockHash"], false]),
            )
            .await;
        assert!(named.is_object());
    }

    // That a document was never anchored is proven as well.
    let told = verify(&world, b"{}", &strictly).await;
    let (code, told) = (told.code, told.json());
    assert_eq!(
        (code, &told["verdict"], &told["proven"]),
        (1, &json!("NOT_ANCHORED"), &json!(true))
    );
}

#[tokio::test]
async fn a_node_that_lies_is_noticed() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (hash, canonical) = anchored(&world, &ana).await;
    let registrar = &world.foundation.deployment.registrar;
    world
        .calls_registry(registrar, format!("0x7e593e4a{hash}{:064x}{:064x}", 3, 1))
        .await;
    let node = world.foundation.chain_rpc_url().to_owned();
    let file = deployment(&world);
    let table: [(&str, Lie, &[&str], i32, &str); 9] = [
        ("none", truth, &["--proven", "--complete"], 1, "REVOKED"),
        ("without proofs", gives_no_proofs, &[], 1, "its word"),
        (
            "without proofs, asked for",
            gives_no_proofs,
            &["--proven"],
            2,
            "gives no proofs",
        ),
        (
            "that it stands",
            revokes_nothing,
            &[],
            2,
            "proof of its storage",
        ),
        // Nobody can tell, unless a proof is asked for.
        (
            "the same without proofs",
            revokes_nothing_and_gives_no_proofs,
            &[],
            0,
            "its word",
        ),
        (
            "the same, asked for",
            revokes_nothing_and_gives_no_proofs,
            &["--proven"],
            2,
            "no proofs",
        ),
        (
            "an event less",
            hides_the_last_event,
            &["--complete"],
            2,
            "the logs hold",
        ),
        (
            "another state",
            makes_up_a_state,
            &[],
            2,
            "header of the block",
        ),
        (
            "other blocks",
            makes_up_blocks,
            &["--witness", &node],
            2,
            "different blocks",
        ),
    ];

    for (lie, lies, arguments, code, said) in table {
        let rpc = liar(&node, lies).await;
        let arguments = [&["--rpc", &rpc, "--deployment", &file], arguments].concat();
        let told = verify(&world, canonical.as_bytes(), &arguments).await;
        assert_eq!(told.code, code, "{lie}: {}", told.said);
        assert!(told.said.contains(said), "{lie}: {}", told.said);
    }
}

/// As on Arbitrum, where `block.number` is the number of Ethereum's block: what the contract keeps of a record's block
/// does not lead to its event.
#[tokio::test]
async fn an_anchor_is_found_by_its_log_where_the_contract_knows_another_block_number() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (hash, canonical) = anchored(&world, &ana).await;
    let (rpc, file) = (
        world.foundation.chain_rpc_url().to_owned(),
        deployment(&world),
    );
    let registry = &world.foundation.deployment.registry;
    let slot = world
        .rpc("web3_sha3", json!([format!("0x{hash}{:064x}", 4)]))
        .await;
    let word = text(
        &world
            .rpc("eth_getStorageAt", json!([registry, slot, "latest"]))
            .await,
    );
    // Bits 128 to 175 of the word: the block.
    let right = u64::from_str_radix(&word[22..34], 16).expect("a number");

    for elsewhere in [22_000_000_u64, 1] {
        let changed = format!("{}{elsewhere:012x}{}", &word[..22], &word[34..]);
        world
            .rpc("anvil_setStorageAt", json!([registry, slot, changed]))
            .await;
        world.mine(1).await;

        let arguments = ["--rpc", &rpc, "--deployment", &file, "--json", "--complete"];
        let told = verify(&world, canonical.as_bytes(), &arguments).await;

        assert_eq!(told.code, 0, "{}", told.said);
        let anchor = &told.json()["anchor"];
        assert_eq!(anchor["blockNumber"], right);
        let receipt = world
            .rpc("eth_getTransactionReceipt", json!([anchor["transaction"]]))
            .await;
        assert_eq!(receipt["blockHash"], anchor["blockHash"]);
    }
}
