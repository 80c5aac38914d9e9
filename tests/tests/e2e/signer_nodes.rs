//! With which nonce an account begins, and that the registry lets it anchor, two nodes have to say where two are named.

use serde_json::{Value, json};
use tests::World;
use tests::registry::{REGISTRAR_ROLE, grant_role};
use tests::transfer::Ended;
use tokio::process::Command;

use crate::lying_node::LyingNode;
use crate::relay::{ADMINISTRATOR, NEXT, next_key, world};

/// What is said where two nodes differ.
const DIFFER: &str = "two of the chain's nodes differ";

/// `meditrustal signer rotate`, which asks the first of these nodes, and has the second beside it.
async fn rotates(world: &World, file: &str, [first, second]: [&str; 2]) -> Ended {
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.expect("there is the role");
    let deployment = world.foundation.dir().join("deployment.json");
    let mut command = Command::new(&world.foundation.programs.meditrustal);
    command
        .args(["signer", "rotate", "--to", file, "--yes"])
        .env_clear()
        .env("DATABASE_URL", url)
        .env("CHAIN_RPC_URL", first)
        .env("CHAIN_RPC_URLS", second)
        .env("MEDITRUSTAL_DEPLOYMENT_FILE", deployment);
    Ended::of(&mut command).await
}

/// The registry lets the next account anchor, as a node says it.
fn says_registrar(method: &str, params: &Value, answer: &mut Value) {
    let call = params[0]["data"].as_str().unwrap_or_default();
    // `hasRole(role, account)`
    let is_asked = call.starts_with("0x91d14854") && call.ends_with(&NEXT[2..].to_lowercase());
    if method == "eth_call" && is_asked {
        answer["result"] = json!(format!("0x{:064x}", 1));
    }
}

/// The next account has signed five transactions, as a node says it.
fn says_five(method: &str, params: &Value, answer: &mut Value) {
    let account = params[0].as_str().unwrap_or_default();
    if method == "eth_getTransactionCount" && account.eq_ignore_ascii_case(NEXT) {
        answer["result"] = json!("0x5");
    }
}

/// The accounts that are known, each with its next nonce and whether it is in use.
async fn accounts(world: &World) -> Vec<Value> {
    let query = "SELECT address, next_nonce, in_use FROM signers ORDER BY address";
    world.sql(query).await
}

async fn lets_anchor(world: &World) {
    let granted = grant_role(REGISTRAR_ROLE, NEXT);
    world.calls_registry(ADMINISTRATOR, granted).await;
}

#[tokio::test]
async fn an_account_takes_the_place_of_another_one_where_a_second_node_says_the_same() {
    let world = world().await;
    let real = world.foundation.chain_rpc_url();
    let node = LyingNode::before(real).await;
    let (file, before) = (next_key(&world), accounts(&world).await);

    node.lies(says_registrar);
    let refused = rotates(&world, &file, [node.url(), real]).await;
    refused.is_refused(DIFFER);
    lets_anchor(&world).await;
    node.lies(says_five);
    for nodes in [[node.url(), real], [real, node.url()]] {
        rotates(&world, &file, nodes).await.is_refused(DIFFER);
    }
    assert_eq!(accounts(&world).await, before);
    let told = world.audit_rows("resource_type = 'SIGNER'").await;
    assert!(told.is_empty(), "{told:?}");

    // One that cannot be reached says nothing.
    let port = dev::port::claim().expect("there are ports");
    let nowhere = format!("http://127.0.0.1:{port}");
    let done = rotates(&world, &file, [real, &nowhere]).await;

    assert_eq!(done.code, Some(0), "{done:?}");
    let now = accounts(&world).await;
    let next = json!({ "address": NEXT, "next_nonce": 0, "in_use": true });
    assert_eq!(now.len(), before.len() + 1, "{now:?}");
    assert!(now.contains(&next), "{now:?}");
}

#[tokio::test]
async fn an_api_begins_with_no_nonce_that_one_node_alone_calls_the_next() {
    let world = world().await;
    let real = world.foundation.chain_rpc_url();
    let node = LyingNode::before(real).await;
    let (file, before) = (next_key(&world), accounts(&world).await);
    lets_anchor(&world).await;
    let more = [
        ("CHAIN_RPC_URL", node.url()),
        ("CHAIN_RPC_URLS", real),
        ("MEDITRUSTAL_REGISTRAR_KEY_FILES", file.as_str()),
    ];
    node.lies(says_five);

    let port = dev::port::claim().expect("there are ports");
    let mut environment = world.foundation.options().api.clone();
    let named = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    environment.extend(named);
    let started = world
        .foundation
        .api("api-that-refuses", port, &environment)
        .await;

    let refused = started.expect_err("it does not start").to_string();
    assert!(refused.contains(DIFFER), "{refused}");
    assert_eq!(accounts(&world).await, before);

    node.is_honest_again();
    let started = world.another_api("api-with-another-account", &more).await;

    let now = accounts(&world).await;
    assert_eq!(now.len(), before.len() + 1, "{now:?}");
    started.kill().await;
}
