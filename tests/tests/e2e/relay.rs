//! A record's hash comes to the chain, whatever becomes of the transaction that was signed for it: mined without effect, its nonce
//! used by somebody else, too cheap, forgotten, or not paid for; and only once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tests::registry::{REGISTRAR_ROLE, grant_role, revoke_role, set_paused};
use tests::{Person, World, documents, eventually, id, text};

/// anvil's account 0: administrator, steward and pauser of a registry for development.
pub(crate) const ADMINISTRATOR: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// anvil's account 7, known to everybody: the next registrar.
pub(crate) const NEXT: &str = "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955";
const NEXT_KEY: &str = "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356";

/// A world whose relay looks again after a second.
pub(crate) async fn world() -> World {
    with(&[]).await
}

async fn with(more: &[(&str, &str)]) -> World {
    World::with(|options| {
        let often = [("MEDITRUSTAL_RAISE_FEE_AFTER", "1")];
        let all = often.iter().chain(more);
        let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        options.api.extend(all);
    })
    .await
}

pub(crate) async fn measured(patient: &Person) -> Value {
    patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await
}

pub(crate) async fn mines(world: &World, by_itself: bool) {
    world.rpc("evm_setAutomine", json!([by_itself])).await;
}

/// A record whose transaction waits at the node, which mines nothing by itself from then on.
pub(crate) async fn at_the_node(world: &World, patient: &Person) -> (Value, String) {
    mines(world, false).await;
    let record = measured(patient).await;
    let anchor = world.wait_for_anchor(&id(&record), "SUBMITTED").await;
    (record, text(&anchor["tx_hash"]))
}

pub(crate) async fn knows(world: &World, transaction: &str) {
    eventually("the node has the transaction", async || {
        let found = world
            .rpc("eth_getTransactionByHash", json!([transaction]))
            .await;
        (!found.is_null()).then_some(())
    })
    .await;
}

async fn verdict(patient: &Person, record: &Value) -> String {
    let verified = patient.verifies(&id(record)).await;
    text(&verified.data()["verifyRecord"]["verdict"])
}

/// Every finding that an anchor is stuck, with its reason, and whether it is open.
pub(crate) async fn stuck(world: &World) -> Vec<(String, String, bool)> {
    let query = "SELECT record_id, details ->> 'reason' AS reason, resolved_at IS NULL AS open
                 FROM integrity_findings WHERE kind = 'ANCHOR_STUCK' ORDER BY opened_at, record_id";
    let rows = world.sql(query).await;
    rows.iter()
        .map(|row| {
            (
                text(&row["record_id"]),
                text(&row["reason"]),
                row["open"] == json!(true),
            )
        })
        .collect()
}

/// Waits until the finding about a record is as it should be.
pub(crate) async fn wait_for_stuck(world: &World, record: &Value, reason: &str, open: bool) {
    let wanted = (id(record), reason.to_owned(), open);
    eventually(&format!("{wanted:?} is there"), async || {
        stuck(world).await.contains(&wanted).then_some(())
    })
    .await;
}

/// State and attempts of each nonce that was taken for a record's anchor, in their order.
pub(crate) async fn nonces(world: &World, record: &Value) -> Vec<(i64, String, i64)> {
    let query = format!(
        "SELECT nonce, state, (SELECT count(*) FROM anchor_attempts WHERE outbox_id = outbox.id) AS attempts
         FROM anchor_outbox AS outbox WHERE record_id = '{}' AND kind = 'ANCHOR' ORDER BY nonce",
        id(record)
    );
    let rows = world.sql(&query).await;
    let number = |value: &Value| value.as_i64().expect("a number");
    rows.iter()
        .map(|row| {
            (
                number(&row["nonce"]),
                text(&row["state"]),
                number(&row["attempts"]),
            )
        })
        .collect()
}

/// The attempts of a record's anchor, in the order in which they were signed.
pub(crate) async fn attempts(world: &World, record: &Value) -> Vec<Value> {
    let query = format!(
        "SELECT attempt.tx_hash, attempt.state, attempt.max_fee_per_gas::text AS fee
         FROM anchor_attempts AS attempt JOIN anchor_outbox AS outbox ON outbox.id = attempt.outbox_id
         WHERE outbox.record_id = '{}' AND outbox.kind = 'ANCHOR' ORDER BY outbox.nonce, attempt.attempt",
        id(record)
    );
    world.sql(&query).await
}

pub(crate) fn fee(attempt: &Value) -> u128 {
    text(&attempt["fee"]).parse().expect("a fee")
}

/// The record is on the chain once, by the transaction that its rows name.
pub(crate) async fn is_anchored_once(world: &World, record: &Value) -> String {
    let anchor = world.wait_for_anchor(&id(record), "CONFIRMED").await;
    let mined = text(&anchor["tx_hash"]);
    let query = format!(
        "SELECT tx_hash FROM chain_events WHERE kind = 'RECORD_ANCHORED' AND subject_hash = '{}'",
        text(&record["dataHash"])
    );
    assert_eq!(world.sql(&query).await, [json!({ "tx_hash": mined })]);
    let query = format!(
        "SELECT blockchain_record_id AS it FROM medical_records WHERE id = '{}'",
        id(record)
    );
    assert_eq!(world.sql(&query).await, [json!({ "it": mined })]);
    mined
}

/// Has the next block cost this for a unit of gas, and makes it.
pub(crate) async fn costs(world: &World, gwei: u64) {
    let wei = format!("{:#x}", gwei * 1_000_000_000);
    world
        .rpc("anvil_setNextBlockBaseFeePerGas", json!([wei]))
        .await;
    world.rpc("evm_mine", json!([])).await;
}

/// Uses the next nonce of the registrar, as somebody else who has its key.
pub(crate) async fn signs_elsewhere(world: &World) {
    let registrar = &world.foundation.deployment.registrar;
    let transfer = json!([{ "from": registrar, "to": registrar, "value": "0x0" }]);
    let transaction = world.rpc("eth_sendTransaction", transfer).await;
    eventually("it is in a block", async || {
        let receipt = world.rpc("eth_getTransactionReceipt", json!([transaction]));
        (receipt.await["status"] == "0x1").then_some(())
    })
    .await;
}

pub(crate) async fn next_nonce(world: &World) -> i64 {
    let nonce = world.sql("SELECT next_nonce FROM signers").await;
    nonce[0]["next_nonce"].as_i64().expect("a number")
}

/// `meditrustal signer …`: what it says, or why it fails.
fn signer(world: &World, arguments: &[&str]) -> Result<String, String> {
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.expect("there is the role");
    let deployment = world.foundation.dir().join("deployment.json");
    let deployment = deployment.display().to_string();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("CHAIN_RPC_URL", world.foundation.chain_rpc_url()),
        ("MEDITRUSTAL_DEPLOYMENT_FILE", &deployment),
    ];
    let arguments = [&["signer"][..], arguments].concat();
    let done = world
        .foundation
        .programs
        .operate(&arguments, &environment, "");
    done.map_err(|error| error.to_string())
}

#[tokio::test]
async fn versions_that_a_pause_made_void_come_to_the_chain_in_their_order() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let before = measured(&ana).await;
    world.wait_for_anchor(&id(&before), "CONFIRMED").await;
    let (first, sent) = at_the_node(&world, &ana).await;
    // The pause is in the same block, before it.
    let pause = json!([{
        "from": ADMINISTRATOR, "to": world.foundation.deployment.registry, "data": set_paused(true),
        "maxFeePerGas": "0x174876e800", "maxPriorityFeePerGas": "0x174876e800",
    }]);
    world.rpc("eth_sendTransaction", pause).await;
    world.rpc("evm_mine", json!([])).await;
    let receipt = world.rpc("eth_getTransactionReceipt", json!([sent])).await;
    assert_eq!(receipt["status"], "0x0", "it was mined without effect");
    mines(&world, true).await;
    // Signed as the successor of what is not there.
    let second = ana
        .amends(&first, documents::vital_signs(), json!({}))
        .await;
    let second = second.data()["amendMedicalRecord"]["record"].clone();

    world.calls_registry(ADMINISTRATOR, set_paused(false)).await;

    let mined = is_anchored_once(&world, &first).await;
    assert_ne!(mined, sent);
    is_anchored_once(&world, &second).await;
    let query = format!(
        "SELECT payload ->> 'predecessor' AS it FROM chain_events WHERE subject_hash = '{}'",
        text(&second["dataHash"])
    );
    assert_eq!(
        world.sql(&query).await,
        [json!({ "it": first["dataHash"] })]
    );
    wait_for_stuck(&world, &first, "REVERTED", false).await;
    assert_eq!(verdict(&ana, &first).await, "SUPERSEDED");
    assert_eq!(verdict(&ana, &second).await, "VERIFIED");
    for record in [&first, &second] {
        let states = nonces(&world, record).await;
        let states: Vec<&str> = states.iter().map(|it| it.1.as_str()).collect();
        assert_eq!(states.last(), Some(&"MINED"), "{states:?}");
        assert!(
            states[..states.len() - 1]
                .iter()
                .all(|it| *it == "REPLACED"),
            "{states:?}"
        );
    }
    let kept = attempts(&world, &first).await;
    assert_eq!(text(&kept[0]["tx_hash"]), sent);
    assert_eq!(kept[0]["state"], "REPLACED");
    // No nonce is left out, so that what comes next is mined.
    let after = measured(&ana).await;
    is_anchored_once(&world, &after).await;
    let failures = format!(
        "action_type = 'INTEGRITY_FAILURE' AND resource_id = '{}'",
        id(&first)
    );
    let failures = world.audit_rows(&failures).await;
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0]["new_value"]["finding"], "ANCHOR_STUCK");
    assert_eq!(failures[0]["patient_id"], json!(ana.id));
}

#[tokio::test]
async fn a_record_whose_nonce_somebody_else_has_used_gets_another_one() {
    let world = world().await;
    let ana = world.patient("ana").await;
    is_anchored_once(&world, &measured(&ana).await).await;
    let ours = next_nonce(&world).await;
    for _ in 0..3 {
        signs_elsewhere(&world).await;
    }
    let mut told = ana.watches(json!({})).await;

    let record = measured(&ana).await;

    is_anchored_once(&world, &record).await;
    assert_eq!(
        nonces(&world, &record).await,
        [
            (ours, "REPLACED".to_owned(), 1),
            (ours + 3, "MINED".to_owned(), 1)
        ]
    );
    assert_eq!(next_nonce(&world).await, ours + 4);
    let (failed, _) = told.until("ANCHOR_FAILED").await;
    assert_eq!(failed["recordId"], json!(id(&record)));
    let (opened, _) = told.until("FINDING_OPENED").await;
    assert_eq!(opened["finding"]["kind"], "ANCHOR_STUCK");
    assert_eq!(opened["finding"]["details"]["reason"], "NONCE_USED");
    told.until("ANCHOR_PENDING").await;
    told.until("FINDING_RESOLVED").await;
    wait_for_stuck(&world, &record, "NONCE_USED", false).await;
    let said = format!("Nonce {ours} was used by a transaction that is not ours");
    assert!(world.api.log().contains(&said));
    // The next one has its nonce at once.
    let after = measured(&ana).await;
    is_anchored_once(&world, &after).await;
    assert_eq!(nonces(&world, &after).await.len(), 1);
}

#[tokio::test]
async fn a_transaction_that_is_too_cheap_by_now_is_replaced_by_one_that_offers_an_eighth_more() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let (record, first) = at_the_node(&world, &ana).await;

    costs(&world, 100).await;

    let signed = eventually("another one is signed", async || {
        let signed = attempts(&world, &record).await;
        let enough = fee(signed.last()?) >= 100_000_000_000;
        enough.then_some(signed)
    })
    .await;
    assert_eq!(text(&signed[0]["tx_hash"]), first);
    for pair in signed.windows(2) {
        assert!(fee(&pair[1]) * 8 >= fee(&pair[0]) * 9, "{pair:?}");
        assert_eq!(pair[0]["state"], "REPLACED");
    }
    let newest = signed.last().expect("there is one");
    assert_eq!(newest["state"], "CURRENT");
    knows(&world, &text(&newest["tx_hash"])).await;
    let mut told = ana.watches(json!({})).await;
    world.rpc("evm_mine", json!([])).await;
    let (replaced, _) = told.until("ANCHOR_REPLACED").await;
    let mined = is_anchored_once(&world, &record).await;
    assert_eq!(replaced["txHash"], json!(mined));
    assert_ne!(mined, first);
    let nonces = nonces(&world, &record).await;
    assert_eq!(nonces.len(), 1, "the nonce stays: {nonces:?}");
    assert_eq!(nonces[0].1, "MINED");
}

#[tokio::test]
async fn beyond_the_most_that_may_be_offered_records_wait_and_are_a_finding() {
    let world = with(&[("MEDITRUSTAL_MAX_FEE_GWEI", "5")]).await;
    let ana = world.patient("ana").await;
    costs(&world, 100).await;

    let record = measured(&ana).await;

    wait_for_stuck(&world, &record, "FEE_TOO_LOW", true).await;
    assert_eq!(verdict(&ana, &record).await, "ANCHOR_FAILED");
    let offered = attempts(&world, &record).await;
    assert!(
        offered.iter().all(|it| fee(it) <= 5_000_000_000),
        "{offered:?}"
    );
    costs(&world, 1).await;
    is_anchored_once(&world, &record).await;
    wait_for_stuck(&world, &record, "FEE_TOO_LOW", false).await;
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");
}

#[tokio::test]
async fn a_transaction_that_the_node_forgot_is_handed_over_again_as_it_was() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let (record, sent) = at_the_node(&world, &ana).await;

    world.rpc("anvil_dropTransaction", json!([sent])).await;

    knows(&world, &sent).await;
    world.rpc("evm_mine", json!([])).await;
    assert_eq!(is_anchored_once(&world, &record).await, sent);
    assert_eq!(attempts(&world, &record).await.len(), 1);
    assert!(stuck(&world).await.is_empty());
}

#[tokio::test]
async fn what_is_in_a_block_that_nobody_follows_is_asked_about_ever_more_rarely() {
    let world = world().await;
    let ana = world.patient("ana").await;
    world.indexer.kill().await;
    let record = measured(&ana).await;
    // It was looked at again after 2 s each time, so that a long line of such kept what is newer from being sent.
    let later = "SELECT 1 FROM anchor_outbox
        WHERE state = 'SENT' AND next_send_at > CURRENT_TIMESTAMP + INTERVAL '3 seconds'";
    eventually("the node is left alone for longer", async || {
        (!world.sql(later).await.is_empty()).then_some(())
    })
    .await;

    let _again = world.second_indexer().await;
    is_anchored_once(&world, &record).await;
}

#[tokio::test]
async fn while_the_account_cannot_pay_the_first_record_of_the_line_is_a_finding() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let registrar = world.foundation.deployment.registrar.clone();
    let has = |wei: &str| world.rpc("anvil_setBalance", json!([registrar, wei]));
    has("0x0").await;

    let first = measured(&ana).await;
    wait_for_stuck(&world, &first, "NO_FUNDS", true).await;
    let second = measured(&ana).await;

    assert_eq!(verdict(&ana, &first).await, "ANCHOR_FAILED");
    let listed: Value =
        serde_json::from_str(&signer(&world, &["status", "--json"]).expect("it says"))
            .expect("JSON");
    let account = &listed["signers"][0];
    assert_eq!(account["transactionsLeft"], 0);
    assert_eq!(account["waiting"][0]["kind"], "ANCHOR");
    has("0xde0b6b3a7640000").await;
    for record in [&first, &second] {
        is_anchored_once(&world, record).await;
        assert_eq!(nonces(&world, record).await.len(), 1);
    }
    wait_for_stuck(&world, &first, "NO_FUNDS", false).await;
    assert_eq!(stuck(&world).await.len(), 1, "one for the whole line");
}

#[tokio::test]
async fn an_api_that_is_killed_while_it_raises_a_fee_loses_no_attempt_and_sends_the_newest() {
    let mut world = world().await;
    let ana = world.patient("ana").await;
    let (record, _) = at_the_node(&world, &ana).await;

    for (nth, gwei) in [(1, 20), (2, 60), (3, 150)] {
        costs(&world, gwei).await;
        // It is committed; whether it was sent is not known.
        eventually("another one is signed", async || {
            (attempts(&world, &record).await.len() > nth).then_some(())
        })
        .await;
        world.api.kill().await;
        world.api.restart().await;
    }

    let newest = eventually("the node has the newest one", async || {
        let newest = attempts(&world, &record).await.pop()?;
        let asked = json!([newest["tx_hash"]]);
        let found = world.rpc("eth_getTransactionByHash", asked).await;
        (!found.is_null() && fee(&newest) >= 150_000_000_000).then_some(newest)
    })
    .await;
    world.rpc("evm_mine", json!([])).await;
    let mined = is_anchored_once(&world, &record).await;
    assert_eq!(json!(mined), newest["tx_hash"]);
    assert_eq!(nonces(&world, &record).await.len(), 1);
}

#[tokio::test]
async fn nonces_that_others_used_while_no_api_ran_are_adopted_by_an_operator_who_says_so() {
    let mut world = world().await;
    let ana = world.patient("ana").await;
    is_anchored_once(&world, &measured(&ana).await).await;
    let ours = next_nonce(&world).await;
    world.api.stop().await;
    for _ in 0..2 {
        signs_elsewhere(&world).await;
    }

    let port = dev::port::claim().expect("there are ports");
    let environment = &world.foundation.options().api;
    let started = world
        .foundation
        .api("api-that-refuses", port, environment)
        .await;
    let refused = started.expect_err("it does not start").to_string();
    assert!(
        refused.contains("the chain knows 2 transaction(s)"),
        "{refused}"
    );
    assert!(refused.contains("signer adopt-nonce"), "{refused}");
    let told = signer(&world, &["status"]).expect("it says");
    assert!(
        told.contains("2 transaction(s) of it are not ours"),
        "{told}"
    );
    let told = signer(&world, &["adopt-nonce", "--dry-run"]).expect("it says");
    let wanted = format!("with the nonces {ours} to {}", ours + 1);
    assert!(told.contains(&wanted), "{told}");
    assert!(told.contains("nothing was changed"), "{told}");
    let told = signer(&world, &["adopt-nonce", "--dry-run", "--json"]).expect("it says");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["dryRun"], true, "{told}");
    assert_eq!(told["signers"][0]["before"], json!(ours), "{told}");
    assert_eq!(told["signers"][0]["nextNonce"], json!(ours + 2), "{told}");
    let refused = signer(&world, &["adopt-nonce"]).expect_err("it is to be confirmed");
    assert!(refused.contains("--yes"), "{refused}");
    assert_eq!(next_nonce(&world).await, ours);

    signer(&world, &["adopt-nonce", "--yes"]).expect("it is done");

    assert_eq!(next_nonce(&world).await, ours + 2);
    let told = signer(&world, &["adopt-nonce", "--yes"]).expect("it says");
    assert!(told.contains("nothing is to be adopted"), "{told}");
    let rows = world.audit_rows("resource_type = 'SIGNER'").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["new_value"]["before"], json!(ours));
    assert_eq!(rows[0]["new_value"]["nextNonce"], json!(ours + 2));
    world.api.restart().await;
    is_anchored_once(&world, &measured(&ana).await).await;
    assert!(stuck(&world).await.is_empty());
}

/// The file with the next registrar's key.
pub(crate) fn next_key(world: &World) -> String {
    let file = world.file("next-registrar.key");
    fs::write(&file, NEXT_KEY).expect("the key is written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours alone");
    file
}

#[tokio::test]
async fn after_a_rotation_old_transactions_come_to_their_end_and_new_ones_are_the_next_keys() {
    let mut world = world().await;
    let ana = world.patient("ana").await;
    let old = world.foundation.deployment.registrar.clone();
    let file = next_key(&world);
    let refused = signer(&world, &["rotate", "--to", &file, "--yes"]).expect_err("it has no role");
    assert!(refused.contains("grantRole"), "{refused}");
    world
        .calls_registry(ADMINISTRATOR, grant_role(REGISTRAR_ROLE, NEXT))
        .await;
    let (record, sent) = at_the_node(&world, &ana).await;

    signer(&world, &["rotate", "--to", &file, "--yes"]).expect("it is done");
    world.api.stop().await;
    world.rpc("anvil_dropTransaction", json!([sent])).await;
    let next = [("MEDITRUSTAL_REGISTRAR_KEY_FILE", file.as_str())];
    world.api = world.another_api("api-with-the-next-key", &next).await;
    let ana = ana.at(&world.api);

    // Nobody has the old key any more, and its transaction is sent all the same.
    knows(&world, &sent).await;
    mines(&world, true).await;
    world.rpc("evm_mine", json!([])).await;
    assert_eq!(is_anchored_once(&world, &record).await, sent);
    let anchor = world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    assert!(text(&anchor["registrar"]).eq_ignore_ascii_case(&old));
    let after = measured(&ana).await;
    is_anchored_once(&world, &after).await;
    let anchor = world.wait_for_anchor(&id(&after), "CONFIRMED").await;
    assert_eq!(anchor["registrar"], NEXT);
    world
        .calls_registry(ADMINISTRATOR, revoke_role(REGISTRAR_ROLE, &old))
        .await;
    is_anchored_once(&world, &measured(&ana).await).await;
    world.wait_for_indexer().await;
    let open = "SELECT kind FROM integrity_findings WHERE resolved_at IS NULL";
    assert!(world.sql(open).await.is_empty());
    assert_eq!(world.audit_rows("resource_type = 'SIGNER'").await.len(), 1);
}

#[tokio::test]
async fn a_key_that_lost_its_role_and_has_it_again_leaves_no_nonce_out() {
    let mut world = world().await;
    let ana = world.patient("ana").await;
    let old = world.foundation.deployment.registrar.clone();
    let file = next_key(&world);
    world
        .calls_registry(ADMINISTRATOR, grant_role(REGISTRAR_ROLE, NEXT))
        .await;
    let (record, sent) = at_the_node(&world, &ana).await;
    signer(&world, &["rotate", "--to", &file, "--yes"]).expect("it is done");
    world.api.stop().await;
    world.rpc("anvil_dropTransaction", json!([sent])).await;
    mines(&world, true).await;
    world
        .calls_registry(ADMINISTRATOR, revoke_role(REGISTRAR_ROLE, &old))
        .await;
    let next = [("MEDITRUSTAL_REGISTRAR_KEY_FILE", file.as_str())];
    world.api = world.another_api("api-with-the-next-key", &next).await;
    // What the old key has signed is signed again by the next one, and the old one's nonce is free.
    assert_ne!(is_anchored_once(&world, &record).await, sent);

    world
        .calls_registry(ADMINISTRATOR, grant_role(REGISTRAR_ROLE, &old))
        .await;
    world.api.stop().await;
    let old_key = world.foundation.dir().join("keys/registrar.key");
    let old_key = old_key.display().to_string();
    signer(&world, &["rotate", "--to", &old_key, "--yes"]).expect("it is done");
    world.api = world.another_api("api-with-the-old-key", &[]).await;

    let after = measured(&ana.at(&world.api)).await;
    is_anchored_once(&world, &after).await;
    let anchor = world.wait_for_anchor(&id(&after), "CONFIRMED").await;
    assert!(text(&anchor["registrar"]).eq_ignore_ascii_case(&old));
    is_anchored_once(&world, &record).await;
}

#[tokio::test]
async fn nothing_is_signed_again_that_a_stranger_has_signed_and_planted() {
    let world = world().await;
    let ana = world.patient("ana").await;
    let record = measured(&ana).await;
    let mined = is_anchored_once(&world, &record).await;
    let call = world.rpc("eth_getTransactionByHash", json!([mined])).await;
    let selector = text(&call["input"])[..10].to_owned();
    let planted = "5a".repeat(32);
    let by_the_stranger = json!([{
        "from": NEXT, "to": world.foundation.deployment.registry, "data": format!("{selector}{planted}"),
        "nonce": "0x0", "gas": "0x186a0", "value": "0x0", "chainId": call["chainId"],
        "maxFeePerGas": "0x174876e800", "maxPriorityFeePerGas": "0x1",
    }]);
    let raw = world.rpc("eth_signTransaction", by_the_stranger).await;
    let raw = text(&raw)[2..].to_owned();
    let ours = next_nonce(&world).await;

    let plant = format!(
        "WITH account AS (
             INSERT INTO signers (chain_id, address, next_nonce)
             SELECT chain_id, '{NEXT}', 1 FROM signers RETURNING chain_id
         ), anchor AS (
             INSERT INTO record_anchors (record_id, patient_id, record_type, record_hash, chain_id, state, tx_hash)
             SELECT gen_random_uuid(), patient_id, record_type, '{planted}', chain_id, 'FAILED', tx_hash
             FROM record_anchors
             WHERE record_id = '{}'
             RETURNING record_id, chain_id
         ), planted AS (
             SELECT nextval('anchor_outbox_id_seq') AS id, record_id, chain_id FROM anchor
         )
         INSERT INTO anchor_outbox (id, record_id, chain_id, signer, nonce, state, next_send_at)
         SELECT id, record_id, chain_id, '{NEXT}', 0, 'FAILED', CURRENT_TIMESTAMP + interval '1 hour' FROM planted",
        id(&record)
    );
    assert_eq!(world.executes(&plant).await, 1);
    let plant = format!(
        "INSERT INTO anchor_attempts (tx_hash, outbox_id, attempt, raw_transaction, max_fee_per_gas)
         SELECT '0x{planted}', id, 1, decode('{raw}', 'hex'), 1 FROM anchor_outbox WHERE signer = '{NEXT}'"
    );
    assert_eq!(world.executes(&plant).await, 1);
    let due = format!(
        "UPDATE anchor_outbox SET next_send_at = CURRENT_TIMESTAMP WHERE signer = '{NEXT}'"
    );
    assert_eq!(world.executes(&due).await, 1);

    eventually("it is refused", async || {
        let said = "is not as one of our accounts signed it";
        world.api.log().contains(said).then_some(())
    })
    .await;
    let signed = world
        .sql("SELECT signer FROM anchor_outbox WHERE nonce > 0 AND state <> 'MINED'")
        .await;
    assert!(signed.is_empty(), "{signed:?}");
    let nonce = "SELECT next_nonce FROM signers ORDER BY next_nonce DESC LIMIT 1";
    assert_eq!(
        world.sql(nonce).await,
        [json!({ "next_nonce": ours })],
        "no nonce was taken"
    );
}
