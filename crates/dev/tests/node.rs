//! The chain node's promises: it answers, and a kept chain is the same after a restart.

use std::time::Duration;

use dev::chain::{Mining, Node, NodeState, Options, deploy_registry, quantity, rpc};
use dev::repository;
use dev::scratch::Scratch;
use dev::tools::{Scope, Tools};
use serde_json::json;

fn tools() -> Tools {
    let root = repository::root().expect("the tests run inside a clone");
    Tools::ensure(&root, Scope::Run).expect("the tools are installed")
}

#[tokio::test]
async fn a_kept_chain_is_the_same_after_a_restart_and_is_not_deployed_to_twice() {
    let (tools, dir) = (tools(), Scratch::new("node").expect("a directory is made"));
    let state = NodeState::Kept(dir.path().join("state.json"));
    let options = Options {
        state,
        mining: Mining::Every(Duration::from_secs(1)),
        ..Options::default()
    };
    let mut node = Node::start(&tools, options, dir.path())
        .await
        .expect("a node starts");
    let file = dir.path().join("deployment.json");
    let first = deploy_registry(&tools, &node.url(), &file, false)
        .await
        .expect("it is deployed");
    let block = json!([format!("{:#x}", first.block), false]);
    let before = rpc(&node.url(), "eth_getBlockByNumber", block.clone())
        .await
        .expect("a block");

    node.restart().await.expect("the node starts again");

    let after = rpc(&node.url(), "eth_getBlockByNumber", block)
        .await
        .expect("a block");
    assert_eq!(before["hash"], after["hash"]);
    let again = deploy_registry(&tools, &node.url(), &file, false)
        .await
        .expect("it is deployed");
    assert_eq!(first.registry, again.registry);
}

#[tokio::test]
async fn a_block_is_final_when_four_are_on_top_of_it() {
    let (tools, dir) = (tools(), Scratch::new("node").expect("a directory is made"));
    let node = Node::start(&tools, Options::default(), dir.path())
        .await
        .expect("a node starts");

    rpc(&node.url(), "anvil_mine", json!(["0xa"]))
        .await
        .expect("ten blocks are made");

    let finalized = rpc(
        &node.url(),
        "eth_getBlockByNumber",
        json!(["finalized", false]),
    )
    .await;
    assert_eq!(quantity(&finalized.expect("a block")["number"]), Some(6));
}

#[tokio::test]
async fn a_deployment_that_was_not_sent_leaves_no_file() {
    let (tools, dir) = (tools(), Scratch::new("node").expect("a directory is made"));
    let node = Node::start(&tools, Options::default(), dir.path())
        .await
        .expect("a node starts");
    let root = repository::root().expect("the tests run inside a clone");
    let file = root.join(".dev/deployment-not-sent.json");

    let mut forge = std::process::Command::new(tools.forge().expect("forge is installed"));
    forge
        .args([
            "script",
            "contracts/script/Deploy.s.sol",
            "--non-interactive",
        ])
        .args(["--rpc-url", &node.url()])
        .env("DEPLOYMENT_FILE", &file)
        .env("DEVELOPMENT", "true")
        .current_dir(&root);
    let output = tokio::task::spawn_blocking(move || forge.output()).await;

    let output = output.expect("no panic").expect("forge starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("codeHash"),
        "it says what it would do: {said}"
    );
    assert!(!file.exists(), "and leaves nothing that says it was done");
}
