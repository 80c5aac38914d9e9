//! A batch on the registry is never ours: what somebody with a registrar's key puts into one is told, and who verifies
//! a record of ours out of one sees whose it is.

use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id, text};

use crate::verifier::{deployment, verify};

/// anvil's account 0: administrator, steward and pauser of a registry for development.
const ADMINISTRATOR: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// anvil's account 2: another registrar, whose key was stolen.
const THIEF: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
/// keccak256("BatchAnchored(bytes32,address,uint48,uint40,bytes25)")
const BATCH_ANCHORED: &str = "0xf4ccba45cecad5935450a594d70371a6dd2604e03e8cc9b6a1e9b0a19b0ca6f9";
/// A record of the batch that is nobody's.
const OTHER: &str = "abababababababababababababababababababababababababababababababab";

/// A record that is stored and not on the chain yet, by an api that stands still: its id, its hash, the bytes of
/// `canonical`.
async fn waiting(world: &World, patient: &Person) -> (String, String, String) {
    pauses(world, true).await;
    let record = patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let opened = patient.reads(&id(&record)).await;
    let canonical = text(&opened.data()["medicalRecord"]["canonical"]);
    world.api.pause();
    pauses(world, false).await;
    (id(&record), text(&record["dataHash"]), canonical)
}

async fn pauses(world: &World, paused: bool) {
    let call = format!("0x16c38b3c{:064x}", u8::from(paused));
    world.calls_registry(ADMINISTRATOR, call).await;
}

/// `grantRole(REGISTRAR_ROLE, account)`
async fn makes_a_registrar(world: &World, account: &str) {
    let role = "edcc084d3dcd65a1f7f23c65c46722faca6953d28e43150a467cf43e5c309238";
    let call = format!("0x2f2ff15d{role}{:0>64}", &account[2..]);
    world.calls_registry(ADMINISTRATOR, call).await;
}

/// SHA-256 by the node's own precompile.
async fn sha256(world: &World, bytes: &str) -> String {
    let call = json!([{ "to": format!("0x{:040x}", 2), "data": format!("0x{bytes}") }, "latest"]);
    text(&world.rpc("eth_call", call).await)[2..].to_owned()
}

/// Anchors a batch of this record and another, and takes the record out of it. Answers the batch's root.
async fn takes_out_of_a_batch(world: &World, by: &str, hash: &str) -> String {
    // anchorBatch([hash, OTHER])
    let batch = format!("0x73d2a9e6{:064x}{:064x}{hash}{OTHER}", 0x20, 2);
    world.calls_registry(by, batch).await;
    let filter = json!([{
        "address": world.foundation.deployment.registry, "topics": [BATCH_ANCHORED], "fromBlock": "0x0",
    }]);
    let logs = world.rpc("eth_getLogs", filter).await;
    let root = text(&logs[0]["topics"][1])[2..].to_owned();
    // extract(root, 2, hash, 0, [leaf of OTHER])
    let leaf = sha256(world, &format!("00{OTHER}")).await;
    let extract = format!(
        "0x706c04e6{root}{:064x}{hash}{:064x}{:064x}{:064x}{leaf}",
        2, 0, 0xa0, 1
    );
    world.calls_registry(by, extract).await;
    root
}

/// The open findings: kind, record, hash, and who did it.
async fn open(world: &World) -> Vec<(String, Value, Value, String)> {
    let query = "SELECT * FROM integrity_findings WHERE resolved_at IS NULL ORDER BY kind";
    let open = world.sql(query).await;
    let told = open.iter().map(|row| {
        let by = ["registrar", "by"].map(|name| row["details"][name].as_str());
        let by = by.into_iter().flatten().next().unwrap_or_default();
        let kind = text(&row["kind"]);
        (
            kind,
            row["record_id"].clone(),
            row["record_hash"].clone(),
            by.to_lowercase(),
        )
    });
    told.collect()
}

async fn waits_for(world: &World, wanted: &[(&str, Value, &str, &str)]) {
    eventually(&format!("{wanted:?} are open"), async || {
        let open = open(world).await;
        let equal = open.len() == wanted.len()
            && open.iter().zip(wanted).all(|(is, shall)| {
                (is.0.as_str(), &is.1, &is.2) == (shall.0, &shall.1, &json!(shall.2))
                    && is.3 == shall.3.to_lowercase()
            });
        equal.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_record_that_a_thief_puts_into_a_batch_is_named_and_a_verifier_is_told_whose_it_is() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut told = ana.watches(json!({})).await;
    makes_a_registrar(&world, THIEF).await;
    let (record, hash, canonical) = waiting(&world, &ana).await;

    let root = takes_out_of_a_batch(&world, THIEF, &hash).await;
    world.api.resume();

    // Ours comes too late: the hash has a slot.
    world.wait_for_anchor(&record, "FAILED").await;
    waits_for(
        &world,
        &[
            ("FOREIGN_REGISTRAR", json!(record), &hash, THIEF),
            ("UNKNOWN_ON_CHAIN", Value::Null, &root, THIEF),
        ],
    )
    .await;
    // The patient is told of the record, and of no batch: that concerns administrators.
    let (opened, before) = told.until("FINDING_OPENED").await;
    assert_eq!(
        (&opened["finding"]["kind"], &opened["recordId"]),
        (&json!("FOREIGN_REGISTRAR"), &json!(record))
    );
    assert_eq!(
        opened["finding"]["details"]["batch"],
        json!(root),
        "{before:?}"
    );

    let verified = ana.verifies(&record).await;
    let verified = &verified.data()["verifyRecord"];
    assert_eq!(verified["verdict"], "FOREIGN_REGISTRAR");
    assert!(text(&verified["chainRegistrar"]).eq_ignore_ascii_case(THIEF));
    // So it is for whoever has the document and the chain alone.
    let (rpc, file) = (
        world.foundation.chain_rpc_url().to_owned(),
        deployment(&world),
    );
    let arguments = [
        "--rpc",
        &rpc,
        "--deployment",
        &file,
        "--json",
        "--proven",
        "--complete",
    ];
    let shown = verify(&world, canonical.as_bytes(), &arguments).await;
    assert_eq!(shown.code, 0, "{}", shown.said);
    assert!(text(&shown.json()["anchor"]["registrar"]).eq_ignore_ascii_case(THIEF));
    let registrar = world.foundation.deployment.registrar.clone();
    let by_us = [&arguments[..], &["--by", &registrar]].concat();
    let shown = verify(&world, canonical.as_bytes(), &by_us).await;
    assert_eq!(
        (shown.code, &shown.json()["verdict"]),
        (1, &json!("FOREIGN_REGISTRAR"))
    );
}

#[tokio::test]
async fn a_record_of_a_batch_that_is_closed_is_told_by_its_name_and_proven_by_the_logs() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    makes_a_registrar(&world, THIEF).await;
    let (record, hash, canonical) = waiting(&world, &ana).await;
    let root = takes_out_of_a_batch(&world, THIEF, &hash).await;

    // close(hash, Revoked, 7)
    let close = format!("0x7e593e4a{hash}{:064x}{:064x}", 3, 7);
    world.calls_registry(THIEF, close).await;
    world.api.resume();

    waits_for(
        &world,
        &[
            ("ENDED_ON_CHAIN", json!(record), &hash, THIEF),
            ("FOREIGN_REGISTRAR", json!(record), &hash, THIEF),
            ("UNKNOWN_ON_CHAIN", Value::Null, &root, THIEF),
        ],
    )
    .await;
    assert_eq!(
        ana.verifies(&record).await.data()["verifyRecord"]["verdict"],
        "REVOKED"
    );
    let (rpc, file) = (
        world.foundation.chain_rpc_url().to_owned(),
        deployment(&world),
    );
    let arguments = ["--rpc", &rpc, "--deployment", &file, "--json", "--complete"];
    let shown = verify(&world, canonical.as_bytes(), &arguments).await;
    assert_eq!(
        (shown.code, &shown.json()["verdict"]),
        (1, &json!("REVOKED")),
        "{}",
        shown.said
    );
    // The batch's log is the record's, whatever the registry says of the block's number.
    let anchor = shown.json()["anchor"].clone();
    let receipt = world
        .rpc("eth_getTransactionReceipt", json!([anchor["transaction"]]))
        .await;
    assert_eq!(receipt["logs"][0]["topics"][0], BATCH_ANCHORED);
    let slot = world
        .rpc("web3_sha3", json!([format!("0x{hash}{:064x}", 4)]))
        .await;
    let registry = &world.foundation.deployment.registry;
    let stored = json!([registry, slot, "latest"]);
    let word = text(&world.rpc("eth_getStorageAt", stored).await);
    // Bits 128 to 175 of the word: the block.
    let elsewhere = format!("{}{:012x}{}", &word[..22], 22_000_000, &word[34..]);
    world
        .rpc("anvil_setStorageAt", json!([registry, slot, elsewhere]))
        .await;
    world.mine(1).await;
    let shown = verify(&world, canonical.as_bytes(), &arguments).await;
    let again = shown.json()["anchor"].clone();
    for what in [
        "status",
        "registrar",
        "transaction",
        "blockNumber",
        "blockHash",
        "logIndex",
        "sequence",
    ] {
        assert_eq!(again[what], anchor[what], "{what}: {}", shown.said);
        assert_ne!(again[what], Value::Null, "{what}: {}", shown.said);
    }
}

#[tokio::test]
async fn a_batch_by_our_own_account_is_found_as_well_because_we_anchor_none() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let registrar = world.foundation.deployment.registrar.clone();
    let (record, hash, _) = waiting(&world, &ana).await;
    // Its nonces are used up by the thief from here on, and the api would not start again with it.
    world.api.kill().await;

    let root = takes_out_of_a_batch(&world, &registrar, &hash).await;

    waits_for(
        &world,
        &[
            ("FOREIGN_REGISTRAR", json!(record), &hash, &registrar),
            ("UNKNOWN_ON_CHAIN", Value::Null, &root, &registrar),
        ],
    )
    .await;
}
