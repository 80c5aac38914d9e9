//! What the client promises, kept against a real node with the real registry on it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use chain::{
    ANCHOR_GAS_LIMIT, ChainAddress, CheckError, Client, ClientError, Deployment, OnChainStatus,
    Receipt, RegistryEvent, SUPERSEDE_GAS_LIMIT, Sent, SignedAnchor, Signer, TxHash, event,
};
use dev::{
    chain::{Mining, Node, Options, REGISTRAR_KEY, deploy_registry, rpc},
    repository,
    scratch::Scratch,
    tools::{Scope, Tools},
};
use domain::records::DataHash;
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(10);

struct Stage {
    client: Client,
    signer: Signer,
    node: Node,
    _dir: Scratch,
}

impl Stage {
    async fn new(mining: Mining) -> Self {
        let dir = Scratch::new("chain").expect("a directory is made");
        let root = repository::root().expect("the tests run inside a clone");
        let tools = Tools::ensure(&root, Scope::Run).expect("the tools are installed");
        let options = Options {
            mining: Mining::Instant,
            ..Options::default()
        };
        let node = Node::start(&tools, options, dir.path())
            .await
            .expect("a node starts");
        let file = dir.path().join("deployment.json");
        deploy_registry(&tools, &node.url(), &file, false)
            .await
            .expect("the registry is deployed");
        if mining == Mining::OnDemand {
            rpc(&node.url(), "evm_setAutomine", json!([false]))
                .await
                .expect("it stops mining");
        }
        let deployment = Deployment::load(&file).expect("the deployment is read");
        let key = dir.path().join("registrar.key");
        fs::write(&key, REGISTRAR_KEY).expect("the key is written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("and closed");
        let signer = Signer::load(&key, &deployment).expect("the key is read");
        let client = Client::new(&node.url(), TIMEOUT, &deployment).expect("a url");
        Self {
            client,
            signer,
            node,
            _dir: dir,
        }
    }

    async fn ask(&self, method: &str, params: serde_json::Value) -> serde_json::Value {
        rpc(&self.node.url(), method, params)
            .await
            .expect("anvil answers")
    }

    /// The receipt of a transaction that was sent. anvil answers a send before it has mined, even where
    /// it mines at once.
    async fn mined(&self, tx_hash: TxHash) -> Receipt {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let answer = self.client.receipt(tx_hash).await.expect("an answer");
            if let Some(receipt) = answer {
                return receipt;
            }
            assert!(Instant::now() < deadline, "it is mined");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_anchor_is_signed_sent_mined_and_read_back() {
    let stage = Stage::new(Mining::Instant).await;
    let (client, signer) = (&stage.client, &stage.signer);
    client.check().await.expect("the right chain and registry");
    assert_eq!(client.is_registrar(signer.address()).await.ok(), Some(true));
    let hash = DataHash([0xab; 32]);
    assert_eq!(client.anchor_of(&hash).await.ok(), Some(None));

    let deployed = client.head().await.expect("a head");
    let before = client.registry_head(deployed.hash).await;
    let before = before.expect("the registry answers");
    let nonce = client.next_nonce(signer.address()).await.expect("a nonce");
    let fees = client.fees().await.expect("fees");
    let transaction = signer.sign_anchor(nonce, &hash, fees).expect("a signature");
    assert_eq!(
        client.send(&transaction.raw).await.ok(),
        Some(Sent::Accepted)
    );

    let receipt = stage.mined(transaction.tx_hash).await;
    assert!(receipt.succeeded);
    let anchor = client
        .anchor_of(&hash)
        .await
        .expect("an answer")
        .expect("it is anchored");
    assert_eq!(
        (anchor.status, anchor.registrar),
        (OnChainStatus::Active, signer.address())
    );
    assert_eq!(anchor.block_number, receipt.block_number);

    let head = client.head().await.expect("a head");
    assert_eq!(
        (head.number, head.hash),
        (receipt.block_number, receipt.block_hash)
    );
    let logs = client.logs_of(&head).await.expect("logs");
    let log = event::decode(&logs[0])
        .expect("it is read")
        .expect("it is numbered");
    let sequence = before.sequence + 1;
    assert_eq!((log.tx_hash, log.sequence), (transaction.tx_hash, sequence));
    assert_eq!(anchor.sequence, sequence);
    let registrar = signer.address();
    let anchored = RegistryEvent::RecordAnchored {
        record: hash,
        predecessor: None,
        registrar,
    };
    assert_eq!(log.event, anchored);
    assert_eq!(
        event::next_head(client.deployment().chain_id, &before.head, &log.body),
        log.head
    );
    let registry = client
        .registry_head(head.hash)
        .await
        .expect("the registry answers");
    assert_eq!(
        (registry.head, registry.sequence, registry.paused),
        (log.head, sequence, false)
    );
    let all = client
        .logs_in(client.deployment().block, head.number)
        .await
        .expect("logs");
    assert_eq!(all.last(), logs.first(), "roles first, then the anchor");
}

#[tokio::test]
async fn the_gas_limit_leaves_room_and_no_more() {
    let stage = Stage::new(Mining::Instant).await;
    let fees = stage.client.fees().await.expect("fees");
    for nonce in 0..2 {
        let hash = DataHash([u8::try_from(nonce).expect("small"); 32].map(|byte| byte + 1));
        let transaction = stage
            .signer
            .sign_anchor(nonce, &hash, fees)
            .expect("a signature");
        leaves_room(&stage, &transaction, ANCHOR_GAS_LIMIT).await;
    }
    for nonce in 2..4 {
        let [old, new] =
            [nonce - 1, nonce + 100].map(|byte| DataHash([u8::try_from(byte).expect("small"); 32]));
        let transaction = stage
            .signer
            .sign_supersede(nonce, &old, &new, fees)
            .expect("a signature");
        leaves_room(&stage, &transaction, SUPERSEDE_GAS_LIMIT).await;
    }
}

/// Half as much again as is used is allowed, and not twice as much.
async fn leaves_room(stage: &Stage, transaction: &SignedAnchor, limit: u64) {
    stage
        .client
        .send(&transaction.raw)
        .await
        .expect("it is taken");
    let mined = stage.mined(transaction.tx_hash).await;
    assert!(mined.succeeded);
    let params = json!([transaction.tx_hash.to_string()]);
    let receipt = stage.ask("eth_getTransactionReceipt", params).await;
    let used = dev::chain::quantity(&receipt["gasUsed"]).expect("a number");
    assert!(used * 3 / 2 < limit && limit < used * 2, "{used}");
}

#[tokio::test]
async fn a_superseding_anchor_names_its_predecessor_and_needs_one() {
    let stage = Stage::new(Mining::Instant).await;
    let (client, signer) = (&stage.client, &stage.signer);
    let fees = client.fees().await.expect("fees");
    let [old, new, stranger] = [1, 2, 3].map(|byte| DataHash([byte; 32]));
    let send = async |transaction: SignedAnchor| {
        client.send(&transaction.raw).await.expect("it is taken");
        stage.mined(transaction.tx_hash).await
    };
    let anchored = signer.sign_anchor(0, &old, fees).expect("a signature");
    assert!(send(anchored).await.succeeded);
    assert_eq!(client.successor_of(&old).await.expect("an answer"), None);

    let amended = signer
        .sign_supersede(1, &old, &new, fees)
        .expect("a signature");
    let receipt = send(amended).await;

    assert!(receipt.succeeded);
    assert_eq!(
        client.successor_of(&old).await.expect("an answer"),
        Some(new)
    );
    let status = async |hash| {
        let anchor = client.anchor_of(&hash).await.expect("an answer");
        anchor.map(|anchor| anchor.status)
    };
    assert_eq!(status(old).await, Some(OnChainStatus::Superseded));
    assert_eq!(status(new).await, Some(OnChainStatus::Active));
    let head = client.head().await.expect("a head");
    let logs = client.logs_of(&head).await.expect("logs");
    let log = event::decode(&logs[0])
        .expect("it is read")
        .expect("it is numbered");
    let registrar = signer.address();
    let wanted = RegistryEvent::RecordAnchored {
        record: new,
        predecessor: Some(old),
        registrar,
    };
    assert_eq!(log.event, wanted);
    // Of what was never anchored, and of what has a successor already, there is none.
    for (nonce, old) in [(2, stranger), (3, old)] {
        let refused = signer
            .sign_supersede(nonce, &old, &DataHash([9; 32]), fees)
            .expect("a signature");
        assert!(!send(refused).await.succeeded, "{nonce}");
    }
    assert_eq!(status(DataHash([9; 32])).await, None);
}

#[tokio::test]
async fn sending_says_what_became_of_it() {
    let stage = Stage::new(Mining::OnDemand).await;
    let (client, signer) = (&stage.client, &stage.signer);
    let fees = client.fees().await.expect("fees");
    let sign = |nonce, byte, fees| {
        signer
            .sign_anchor(nonce, &DataHash([byte; 32]), fees)
            .expect("a signature")
    };
    let first = sign(0, 1, fees);

    assert_eq!(client.send(&first.raw).await.ok(), Some(Sent::Accepted));
    assert_eq!(client.send(&first.raw).await.ok(), Some(Sent::AlreadyKnown));
    assert_eq!(
        client.receipt(first.tx_hash).await.ok(),
        Some(None),
        "it waits"
    );
    assert_eq!(
        client.next_nonce(signer.address()).await.ok(),
        Some(0),
        "waiting does not count"
    );
    assert_eq!(
        client.send(&sign(0, 2, fees).raw).await.ok(),
        Some(Sent::Underpriced)
    );

    stage.ask("evm_mine", json!([])).await;
    assert_eq!(client.next_nonce(signer.address()).await.ok(), Some(1));
    assert_eq!(
        client.send(&sign(0, 2, fees).raw).await.ok(),
        Some(Sent::NonceTooLow)
    );
    let again = sign(1, 1, fees);
    client.send(&again.raw).await.expect("an answer");
    stage.ask("evm_mine", json!([])).await;
    let receipt = client
        .receipt(again.tx_hash)
        .await
        .expect("an answer")
        .expect("it is mined");
    assert!(!receipt.succeeded, "the same hash twice has no effect");
    let garbage = client.send(&[0x02, 0xc0]).await;
    assert!(matches!(garbage, Ok(Sent::Refused(_))), "{garbage:?}");
}

#[tokio::test]
async fn a_wrong_node_is_named_for_what_it_is() {
    let stage = Stage::new(Mining::Instant).await;
    let right = stage.client.deployment().clone();
    let url = stage.node.url();
    let check = async |wrong: Deployment| {
        let client = Client::new(&url, TIMEOUT, &wrong).expect("a url");
        client.check().await.expect_err("it is wrong")
    };

    let chain = check(Deployment {
        chain_id: 1,
        ..right.clone()
    })
    .await;
    assert!(
        matches!(
            chain,
            CheckError::WrongChain {
                wanted: 1,
                found: 31_337
            }
        ),
        "{chain}"
    );
    let nothing = check(Deployment {
        registry: right.registrar,
        ..right.clone()
    })
    .await;
    assert!(matches!(nothing, CheckError::NoCode { .. }), "{nothing}");
    let code = check(Deployment {
        code_hash: chain::CodeHash([0; 32]),
        ..right.clone()
    })
    .await;
    assert!(matches!(code, CheckError::WrongCode { .. }), "{code}");
    let first = check(Deployment {
        version: 1,
        ..right.clone()
    })
    .await;
    assert!(
        matches!(first, CheckError::WrongVersion { found: 1, .. }),
        "{first}"
    );
    let continued = check(Deployment {
        predecessor: Some(right.registrar),
        ..right.clone()
    })
    .await;
    assert!(
        matches!(continued, CheckError::OtherLine { .. }),
        "{continued}"
    );
    stage.ask("anvil_mine", json!(["0xa"])).await;
    let head = stage.client.head().await.expect("a head").number;
    let beyond = check(Deployment {
        block: head + 1_000,
        ..right.clone()
    })
    .await;
    assert!(matches!(beyond, CheckError::NoBlock { .. }), "{beyond}");
    let late = check(Deployment {
        block: head,
        ..right.clone()
    })
    .await;
    assert!(matches!(late, CheckError::LateBlock { .. }), "{late}");
    stage
        .client
        .check()
        .await
        .expect("the right one is still good");

    stage.node.stop().await;
    let gone = stage.client.check().await.expect_err("nobody is there");
    assert!(
        matches!(gone, CheckError::Client(ClientError::Unreachable(_))),
        "{gone}"
    );
    assert!(
        !format!("{gone:?}").contains(&url),
        "no error shows the address"
    );
}

#[tokio::test]
async fn beyond_the_chain_there_is_nothing_and_an_undone_block_is_refused() {
    let stage = Stage::new(Mining::Instant).await;
    let client = &stage.client;
    stage.ask("anvil_mine", json!(["0xa"])).await;
    let head = client.head().await.expect("a head");
    assert_eq!(
        client.block_by_number(head.number + 1).await.ok(),
        Some(None)
    );
    let finalized = client
        .finalized()
        .await
        .expect("an answer")
        .expect("anvil has finality");
    assert_eq!(finalized.number, head.number - 4);

    stage.ask("anvil_reorg", json!([2, []])).await;

    let now = client
        .block_by_number(head.number)
        .await
        .expect("an answer")
        .expect("as high as before");
    assert_ne!(now.hash, head.hash);
    assert!(matches!(
        client.logs_of(&head).await,
        Err(ClientError::Refused { .. })
    ));
    assert!(client.registry_head(head.hash).await.is_err());
}

#[tokio::test]
async fn an_account_that_lost_the_role_was_a_registrar_and_one_that_never_had_it_was_not() {
    let stage = Stage::new(Mining::Instant).await;
    let (client, registrar) = (&stage.client, stage.signer.address());
    // anvil's account 7.
    let stranger = "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955";
    let stranger: ChainAddress = stranger.parse().expect("an address");
    assert_eq!(client.was_registrar(registrar).await.ok(), Some(true));
    assert_eq!(client.was_registrar(stranger).await.ok(), Some(false));

    // `revokeRole(REGISTRAR_ROLE, the registrar)`, by anvil's account 0.
    let role = "edcc084d3dcd65a1f7f23c65c46722faca6953d28e43150a467cf43e5c309238";
    let account = registrar.to_string().to_ascii_lowercase();
    let revoke = json!([{
        "from": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "to": client.deployment().registry.to_string(),
        "data": format!("0xd547741f{role}{:0>64}", &account[2..]),
    }]);
    rpc(&stage.node.url(), "eth_sendTransaction", revoke)
        .await
        .expect("it is sent");
    for _ in 0..100 {
        if client.is_registrar(registrar).await.ok() == Some(false) {
            break;
        }
    }
    assert_eq!(client.is_registrar(registrar).await.ok(), Some(false));
    assert_eq!(client.was_registrar(registrar).await.ok(), Some(true));
    assert_eq!(client.was_registrar(stranger).await.ok(), Some(false));
}
