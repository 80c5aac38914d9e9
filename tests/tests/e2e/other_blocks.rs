//! A chain whose `block.number` is not the number of its own blocks, as Arbitrum's is Ethereum's: a node in between
//! counts blocks otherwise than the contract does.

use serde_json::{Value, json};
use tests::{World, documents, id, text};

use crate::verifier::verify;

/// How far the chain's own numbers are ahead of those that the contract sees.
const AHEAD: u64 = 250_000_000;

/// Where a method's parameters name a block.
const NAMES_A_BLOCK: [(&str, usize); 7] = [
    ("eth_getBlockByNumber", 0),
    ("eth_call", 1),
    ("eth_getCode", 1),
    ("eth_getBalance", 1),
    ("eth_getTransactionCount", 1),
    ("eth_feeHistory", 1),
    ("eth_getStorageAt", 2),
];

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// From the chain's own number to the one behind; what is older than the chain behind is its first block.
fn behind(value: &mut Value) {
    if let Some(own) = number(value) {
        *value = json!(format!("{:#x}", own.saturating_sub(AHEAD)));
    }
}

fn asked(request: &mut Value) {
    let method = text(&request["method"]);
    let params = &mut request["params"];
    if method == "eth_getLogs" {
        for name in ["fromBlock", "toBlock"] {
            behind(&mut params[0][name]);
        }
    }
    if let Some((_, place)) = NAMES_A_BLOCK.iter().find(|(name, _)| *name == method)
        && let Some(block) = params.get_mut(place)
    {
        behind(block);
    }
}

/// Every number of a block in an answer.
fn told(answer: &mut Value) {
    match answer {
        Value::Array(answers) => answers.iter_mut().for_each(told),
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_number = ["number", "blockNumber", "oldestBlock"].contains(&name.as_str());
                match number(value).filter(|_| is_number) {
                    Some(behind) => *value = json!(format!("{:#x}", behind + AHEAD)),
                    None => told(value),
                }
            }
        }
        _ => {}
    }
}

/// The node in between; it gives no proofs, because a block's hash would have to be another one, too. Answers its
/// address.
async fn counts_otherwise(node: &str) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (node, http) = (node.to_owned(), dev::http::client());
    let answer = async move |body: String| {
        let mut requests: Value = serde_json::from_str(&body).expect("JSON");
        let each = match &mut requests {
            Value::Array(each) => each.iter_mut().collect(),
            one => vec![one],
        };
        let (mut counts, mut old) = (false, None);
        for request in each {
            counts |= request["method"] == "eth_blockNumber";
            if request["method"] == "eth_getBlockByNumber" {
                old = number(&request["params"][0]).filter(|own| *own < AHEAD);
            }
            asked(request);
            let method = text(&request["method"]);
            if ["eth_getProof", "eth_getBlockByHash"].contains(&method.as_str()) {
                request["method"] = json!("eth_givesNoProofs");
            }
        }
        let sent = http.post(&node).header("content-type", "application/json");
        let sent = sent
            .body(requests.to_string())
            .send()
            .await
            .expect("an answer");
        let mut answer: Value = sent.json().await.expect("JSON");
        told(&mut answer);
        if counts && let Some(behind) = number(&answer["result"]) {
            answer["result"] = json!(format!("{:#x}", behind + AHEAD));
        }
        // Some block of long ago, before the chain behind began.
        if let Some(own) = old {
            answer["result"]["number"] = json!(format!("{own:#x}"));
        }
        answer.to_string()
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://127.0.0.1:{port}")
}

#[tokio::test]
async fn where_the_contract_sees_other_block_numbers_events_are_placed_by_their_logs() {
    let mut world = World::start().await;
    let node = counts_otherwise(world.foundation.chain_rpc_url()).await;
    let newest = (AHEAD + world.block_number().await).to_string();
    world
        .deploys_as_in_production(
            &[("DEPLOYMENT_BLOCK", newest.as_str())],
            &[("CHAIN_RPC_URL", node.as_str())],
        )
        .await;
    assert!(world.foundation.deployment.block > AHEAD);
    let ana = world.patient("ana").await;

    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let anchor = world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    let receipt = json!([anchor["tx_hash"]]);
    let receipt = world.rpc("eth_getTransactionReceipt", receipt).await;
    let behind = number(&receipt["blockNumber"]).expect("a number");
    assert_eq!(anchor["block_number"], AHEAD + behind);
    assert_eq!(anchor["block_hash"], receipt["blockHash"]);
    // The api asks the registry, which names a block of the other chain.
    let verified = ana.verifies(&id(&record)).await;
    let verified = &verified.data()["verifyRecord"];
    assert_eq!(verified["verdict"], "VERIFIED");
    assert_eq!(verified["chainBlock"], behind);

    // Undone and anchored again, then withdrawn and closed, and final.
    world.reorg(1).await;
    let again = async || {
        let audited = world.audit_rows("new_value ->> 'state' = 'REORGED'").await;
        (audited.len() == 1).then_some(())
    };
    tests::eventually("the anchor was taken back", again).await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    let withdrawn = ana.retracts(&record, json!({})).await;
    let last = withdrawn.data()["withdrawMedicalRecord"]["record"].clone();
    let closing = format!(
        "SELECT block_number FROM record_closings WHERE record_id = '{}' AND state = 'CONFIRMED'",
        id(&last)
    );
    let closed = tests::eventually("the last version is closed", async || {
        world.sql(&closing).await.pop()
    })
    .await;
    assert!(closed["block_number"].as_u64() > Some(AHEAD), "{closed}");
    world.finalizes().await;
    let findings = "SELECT kind FROM integrity_findings WHERE resolved_at IS NULL";
    assert_eq!(world.sql(findings).await, Vec::<Value>::new());

    // So does a verifier who has nothing but the document and this node.
    let opened = ana.reads(&id(&record)).await;
    let canonical = text(&opened.data()["medicalRecord"]["canonical"]);
    let file = world
        .foundation
        .dir()
        .join("production.json")
        .display()
        .to_string();
    let arguments = ["--rpc", &node, "--deployment", &file, "--json"];
    let shown = verify(&world, canonical.as_bytes(), &arguments).await;
    assert_eq!(shown.code, 0, "{}", shown.said);
    let shown = shown.json();
    assert_eq!(shown["anchor"]["status"], "SUPERSEDED");
    let anchor = world.wait_for_anchor(&id(&record), "FINALIZED").await;
    assert_eq!(shown["anchor"]["blockNumber"], anchor["block_number"]);
    assert_eq!(shown["anchor"]["transaction"], anchor["tx_hash"]);
}
