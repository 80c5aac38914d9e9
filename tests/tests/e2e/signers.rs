//! Two accounts share the load of anchoring: each patient's records are of one of them, in their order, and one that gets nowhere
//! holds up nobody of the other's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::{Person, Program, World, documents, eventually, id, text};

use crate::health::fails;
use crate::lying_node::{Delivered, LyingNode};
use crate::monitoring::tells_metrics;

/// anvil's account 8: what `cargo dev` has beside the first registrar.
const SECOND: &str = dev::chain::SECOND_REGISTRAR;

/// A world with two signers, whose relays look again after a second.
async fn world() -> World {
    World::with(|options| {
        options.two_signers = true;
        let often = ("MEDITRUSTAL_RAISE_FEE_AFTER".to_owned(), "1".to_owned());
        options.api.push(often);
        tells_metrics(options);
    })
    .await
}

fn first(world: &World) -> String {
    world.foundation.deployment.registrar.clone()
}

async fn measured(patient: &Person) -> Value {
    patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await
}

async fn amended(patient: &Person, record: &Value) -> Value {
    let answer = patient
        .amends(record, documents::vital_signs(), json!({}))
        .await;
    answer.data()["amendMedicalRecord"]["record"].clone()
}

async fn mines(world: &World, by_itself: bool) {
    world.rpc("evm_setAutomine", json!([by_itself])).await;
}

/// The account that signs for a record, and its nonce.
async fn signed_by(world: &World, record: &Value) -> (String, i64) {
    let query = format!(
        "SELECT signer, nonce FROM anchor_outbox WHERE record_id = '{}' AND kind = 'ANCHOR' AND NOT is_replaced",
        id(record)
    );
    let row = world.sql(&query).await.pop().expect("it is signed");
    (
        text(&row["signer"]),
        row["nonce"].as_i64().expect("a number"),
    )
}

/// A patient whose records this account signs for, and one of them.
async fn patient_of(world: &World, account: &str) -> (Person, Value) {
    for nth in 0..64 {
        let patient = world
            .patient(&format!("ana.of.{}.{nth}", account[2..6].to_lowercase()))
            .await;
        let record = measured(&patient).await;
        let (signer, _) = signed_by(world, &record).await;
        if signer.eq_ignore_ascii_case(account) {
            return (patient, record);
        }
    }
    panic!("{account} signs for nobody");
}

async fn is_anchored_by(world: &World, record: &Value, account: &str) -> Value {
    let anchor = world.wait_for_anchor(&id(record), "CONFIRMED").await;
    let by = text(&anchor["registrar"]);
    assert!(by.eq_ignore_ascii_case(account), "{by} and not {account}");
    anchor
}

/// Has the node forget all that was signed for a record, which is several transactions where its fee was raised.
/// Answers the newest of them. Nobody signs meanwhile.
async fn drops(world: &World, record: &Value) -> Value {
    let query = format!(
        "SELECT attempt.tx_hash
         FROM anchor_attempts AS attempt JOIN anchor_outbox AS outbox ON outbox.id = attempt.outbox_id
         WHERE outbox.record_id = '{}' AND outbox.kind = 'ANCHOR' AND NOT outbox.is_replaced
         ORDER BY attempt.attempt",
        id(record)
    );
    let mut newest = Value::Null;
    for attempt in world.sql(&query).await {
        newest = attempt["tx_hash"].clone();
        world.rpc("anvil_dropTransaction", json!([newest])).await;
    }
    assert_ne!(newest, Value::Null, "nothing was signed");
    newest
}

/// What a record's event says that it supersedes.
async fn predecessor(world: &World, record: &Value) -> Value {
    let query = format!(
        "SELECT payload -> 'predecessor' AS it FROM chain_events WHERE kind = 'RECORD_ANCHORED' AND subject_hash = '{}'",
        text(&record["dataHash"])
    );
    world.sql(&query).await[0]["it"].clone()
}

async fn nothing_is_wrong(world: &World) {
    world.wait_for_indexer().await;
    // The relay closes what it has told of an anchor when it next looks.
    let stuck =
        "SELECT 1 FROM integrity_findings WHERE resolved_at IS NULL AND kind = 'ANCHOR_STUCK'";
    eventually("nothing is stuck", async || {
        world.sql(stuck).await.is_empty().then_some(())
    })
    .await;
    let open = "SELECT kind, details FROM integrity_findings WHERE resolved_at IS NULL";
    assert_eq!(world.sql(open).await, Vec::<Value>::new());
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
    let programs = &world.foundation.programs;
    let done = programs.operate(&arguments, &environment, "");
    done.map_err(|error| error.to_string())
}

#[tokio::test]
async fn two_accounts_anchor_side_by_side_and_the_versions_of_each_patient_stay_in_order() {
    let world = world().await;
    let accounts = [first(&world), SECOND.to_owned()];
    let (ana, of_ana) = patient_of(&world, &accounts[0]).await;
    let (eve, of_eve) = patient_of(&world, &accounts[1]).await;
    mines(&world, false).await;

    // One after the other by turns, and nothing is in a block meanwhile.
    let mut lines = [vec![of_ana], vec![of_eve]];
    for _ in 0..3 {
        for (line, person) in lines.iter_mut().zip([&ana, &eve]) {
            let newest = line.last().expect("there is one");
            let next = amended(person, newest).await;
            line.push(next);
        }
    }
    for line in &lines {
        let newest = line.last().expect("there is one");
        world.wait_for_anchor(&id(newest), "SUBMITTED").await;
    }
    mines(&world, true).await;
    world.rpc("evm_mine", json!([])).await;

    for (line, account) in lines.iter().zip(&accounts) {
        let mut before = Value::Null;
        let (mut sequence, mut nonce) = (Some(0), -1);
        for version in line {
            let anchor = is_anchored_by(&world, version, account).await;
            assert!(anchor["sequence"].as_u64() > sequence, "{line:?}");
            sequence = anchor["sequence"].as_u64();
            let (signer, next) = signed_by(&world, version).await;
            assert!(signer.eq_ignore_ascii_case(account) && next > nonce);
            nonce = next;
            if !before.is_null() {
                assert_eq!(predecessor(&world, version).await, before);
            }
            before = version["dataHash"].clone();
        }
    }
    // Each has nonces of its own, without a gap.
    let gaps = "SELECT signer FROM anchor_outbox GROUP BY signer
                HAVING max(nonce) - min(nonce) + 1 <> count(DISTINCT nonce)";
    assert_eq!(world.sql(gaps).await, Vec::<Value>::new());
    let signers = "SELECT address FROM signers";
    assert_eq!(world.sql(signers).await.len(), 2);
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn records_that_are_withdrawn_are_closed_by_the_account_that_anchored_them() {
    let world = world().await;
    for account in [first(&world), SECOND.to_owned()] {
        let (patient, record) = patient_of(&world, &account).await;
        is_anchored_by(&world, &record, &account).await;

        patient.retracts(&record, json!({})).await.data();

        let closing = "SELECT closed_by FROM record_closings WHERE state = 'CONFIRMED' ORDER BY confirmed_at DESC LIMIT 1";
        eventually("the last version is closed", async || {
            let closed = world.sql(closing).await.pop()?;
            let by = text(&closed["closed_by"]);
            by.eq_ignore_ascii_case(&account).then_some(())
        })
        .await;
    }
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn while_one_account_cannot_pay_the_others_patients_go_on_and_an_alarm_names_the_one() {
    let world = world().await;
    let poor = first(&world);
    let (ana, of_ana) = patient_of(&world, &poor).await;
    let (eve, of_eve) = patient_of(&world, SECOND).await;
    is_anchored_by(&world, &of_ana, &poor).await;
    is_anchored_by(&world, &of_eve, SECOND).await;
    let has = |wei: &str| world.rpc("anvil_setBalance", json!([poor, wei]));
    has("0x0").await;

    let waits = measured(&ana).await;
    let stuck = format!(
        "SELECT details ->> 'reason' AS reason FROM integrity_findings
         WHERE kind = 'ANCHOR_STUCK' AND resolved_at IS NULL AND record_id = '{}'",
        id(&waits)
    );
    eventually("the first of its line is a finding", async || {
        (world.sql(&stuck).await == [json!({ "reason": "NO_FUNDS" })]).then_some(())
    })
    .await;
    let version = amended(&eve, &of_eve).await;
    let another = measured(&eve).await;

    is_anchored_by(&world, &version, SECOND).await;
    is_anchored_by(&world, &another, SECOND).await;
    eventually("the metrics name the one", async || {
        let told = world.api.metrics().await?;
        let left = |name| told.value("account_transactions_left", &[("account", name)]);
        let waiting = |name| told.value("registrar_waiting_transactions", &[("account", name)]);
        let is_named = left("registrar") == Some(0.0)
            && left("registrar-2") > Some(1000.0)
            && waiting("registrar") >= Some(1.0)
            && waiting("registrar-2") == Some(0.0);
        is_named.then_some(())
    })
    .await;
    let listed = signer(&world, &["status", "--json", "--signer", &poor]).expect("it says");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["signers"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["signers"][0]["transactionsLeft"], 0);
    has("0xde0b6b3a7640000").await;
    is_anchored_by(&world, &waits, &poor).await;
    eventually("nothing is stuck", async || {
        world.sql(&stuck).await.is_empty().then_some(())
    })
    .await;
    nothing_is_wrong(&world).await;
}

/// Lets each account supersede or close so many records in an hour, all of which count together.
async fn each_may_end(world: &World, limit: u16) {
    let administrator = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    for account in [first(world), SECOND.to_owned()] {
        // `setEndingLimit(account, limit)`
        let call = format!("0x6c1336de{:0>64}{limit:064x}", &account[2..]);
        world.calls_registry(administrator, call).await;
    }
}

#[tokio::test]
async fn what_one_account_has_signed_is_not_kept_from_its_room_by_anothers_closing() {
    let world = world().await;
    let kept = first(&world);
    let (ana, of_ana) = patient_of(&world, &kept).await;
    let (eve, of_eve) = patient_of(&world, SECOND).await;
    is_anchored_by(&world, &of_ana, &kept).await;
    is_anchored_by(&world, &of_eve, SECOND).await;
    // Her last version takes the only place of this hour, and its closing waits.
    each_may_end(&world, 1).await;
    let withdrawn = ana.retracts(&of_ana, json!({})).await;
    let withdrawn = withdrawn.data()["withdrawMedicalRecord"]["record"].clone();
    is_anchored_by(&world, &withdrawn, &kept).await;
    let has = |wei: &str| world.rpc("anvil_setBalance", json!([SECOND, wei]));
    has("0x0").await;
    let version = amended(&eve, &of_eve).await;

    each_may_end(&world, 2).await;
    // The first account looks at what it has to do, and leaves the place to what has its nonce already.
    let another = measured(&ana).await;
    is_anchored_by(&world, &another, &kept).await;
    has("0xde0b6b3a7640000").await;

    is_anchored_by(&world, &version, SECOND).await;
    each_may_end(&world, 100).await;
    let closed = "SELECT count(*) AS closed FROM record_closings WHERE state = 'CONFIRMED'";
    eventually("the closing is done, too", async || {
        (world.sql(closed).await == [json!({ "closed": 1 })]).then_some(())
    })
    .await;
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn a_node_that_is_silent_about_one_account_holds_up_nothing_of_the_other() {
    let mut world = world().await;
    let prompt = first(&world);
    let (ana, of_ana) = patient_of(&world, &prompt).await;
    let (eve, of_eve) = patient_of(&world, SECOND).await;
    is_anchored_by(&world, &of_ana, &prompt).await;
    is_anchored_by(&world, &of_eve, SECOND).await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    world.api.stop().await;
    let asked = [("CHAIN_RPC_URL", node.url())];
    world.api = world.another_api("api-behind-a-silent-node", &asked).await;
    let (ana, eve) = (ana.at(&world.api), eve.at(&world.api));
    let held = Arc::new(AtomicUsize::new(0));
    let (count, account) = (Arc::clone(&held), SECOND[2..].to_lowercase());
    node.delivers(move |questions, answer| {
        let questions = questions.to_string();
        if questions.contains("eth_call") && questions.contains(&account) {
            count.fetch_add(1, Ordering::Relaxed);
            return Delivered::Silent;
        }
        Delivered::Whole(answer)
    });
    let version = amended(&eve, &of_eve).await;
    let given_up = || {
        let log = world.api.log();
        log.matches("The node cannot be reached; the outbox waits")
            .count()
    };

    // What ends a record, too, which both decide about. A machine that is slow for once may have the question given up meanwhile.
    let mut newest = of_ana;
    let mut is_held_up = true;
    for _ in 0..3 {
        let before = held.load(Ordering::Relaxed);
        eventually("another question is held back", async || {
            (held.load(Ordering::Relaxed) > before).then_some(())
        })
        .await;
        let before = given_up();
        newest = amended(&ana, &newest).await;
        is_anchored_by(&world, &newest, &prompt).await;
        is_held_up = given_up() > before;
        if !is_held_up {
            break;
        }
    }
    assert!(
        !is_held_up,
        "it waits until the other's question is given up"
    );

    node.is_honest_again();
    is_anchored_by(&world, &version, SECOND).await;
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn what_is_signed_stays_with_its_account_when_one_is_taken_out_and_comes_back() {
    let mut world = world().await;
    let kept = first(&world);
    let (ana, before) = patient_of(&world, SECOND).await;
    is_anchored_by(&world, &before, SECOND).await;
    mines(&world, false).await;
    let record = measured(&ana).await;
    world.wait_for_anchor(&id(&record), "SUBMITTED").await;
    world.api.stop().await;
    let sent = drops(&world, &record).await;

    let key = world.foundation.dir().join("keys/registrar.key");
    let key = key.display().to_string();
    let alone = [("MEDITRUSTAL_REGISTRAR_KEY_FILES", key.as_str())];
    signer(&world, &["retire", "--signer", SECOND, "--yes"]).expect("it is not in use any more");
    world.api = world.another_api("api-with-one-signer", &alone).await;

    // Nobody here has the second key, and its transaction is sent to its end.
    eventually("the node has it again", async || {
        let found = world.rpc("eth_getTransactionByHash", json!([sent])).await;
        (!found.is_null()).then_some(())
    })
    .await;
    mines(&world, true).await;
    world.rpc("evm_mine", json!([])).await;
    is_anchored_by(&world, &record, SECOND).await;
    let ana = ana.at(&world.api);
    // What follows is signed by the one that is left, which cannot supersede what the other one has anchored.
    let alone = amended(&ana, &before).await;
    is_anchored_by(&world, &alone, &kept).await;
    assert_eq!(predecessor(&world, &alone).await, Value::Null);
    let begun = measured(&ana).await;

    world.api.stop().await;
    signer(&world, &["use", "--signer", SECOND, "--yes"]).expect("it is in use again");
    world.api = world.another_api("api-with-two-again", &[]).await;
    let ana = ana.at(&world.api);

    let next = amended(&ana, &begun).await;
    let of_the_second = amended(&ana, &record).await;
    let fresh = measured(&ana).await;
    is_anchored_by(&world, &next, &kept).await;
    assert_eq!(predecessor(&world, &next).await, begun["dataHash"]);
    is_anchored_by(&world, &of_the_second, SECOND).await;
    let superseded = predecessor(&world, &of_the_second).await;
    assert_eq!(superseded, record["dataHash"]);
    is_anchored_by(&world, &fresh, SECOND).await;
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn anchors_of_an_account_that_was_taken_out_and_lost_its_role_are_signed_again_by_the_patients()
 {
    let mut world = world().await;
    let kept = first(&world);
    let (ana, _) = patient_of(&world, SECOND).await;
    mines(&world, false).await;
    let record = measured(&ana).await;
    let next = amended(&ana, &record).await;
    let anchor = world.wait_for_anchor(&id(&next), "SUBMITTED").await;
    world.api.stop().await;
    for anchor in [&record, &next] {
        drops(&world, anchor).await;
    }
    assert_ne!(anchor["tx_hash"], Value::Null);
    mines(&world, true).await;
    let administrator = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    let role = tests::registry::REGISTRAR_ROLE;
    let revoked = tests::registry::revoke_role(role, SECOND);
    world.calls_registry(administrator, revoked).await;

    let key = world.foundation.dir().join("keys/registrar.key");
    let key = key.display().to_string();
    let alone = [("MEDITRUSTAL_REGISTRAR_KEY_FILES", key.as_str())];
    signer(&world, &["retire", "--signer", SECOND, "--yes"]).expect("it is not in use any more");
    world.api = world.another_api("api-with-one-signer", &alone).await;

    is_anchored_by(&world, &record, &kept).await;
    is_anchored_by(&world, &next, &kept).await;
    assert_eq!(predecessor(&world, &next).await, record["dataHash"]);
    let open = "SELECT kind FROM integrity_findings WHERE resolved_at IS NULL";
    eventually("nothing is stuck", async || {
        world.sql(open).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_nonces_of_each_account_are_looked_at_and_adopted_by_themselves() {
    let mut world = world().await;
    let (_, record) = patient_of(&world, SECOND).await;
    is_anchored_by(&world, &record, SECOND).await;
    world.api.stop().await;
    let transfer = json!([{ "from": SECOND, "to": SECOND, "value": "0x0" }]);
    let transaction = world.rpc("eth_sendTransaction", transfer).await;
    eventually("it is in a block", async || {
        let receipt = world.rpc("eth_getTransactionReceipt", json!([transaction]));
        (receipt.await["status"] == "0x1").then_some(())
    })
    .await;

    let port = dev::port::claim().expect("there are ports");
    let environment = world.foundation.options().api.clone();
    let started = world
        .foundation
        .api("api-that-refuses", port, &environment)
        .await;
    let refused = started.expect_err("it does not start").to_string();
    let wanted = format!("the chain knows 1 transaction(s) of {SECOND}");
    assert!(refused.contains(&wanted), "{refused}");
    let kept = first(&world);
    let adopts = |account: &str| signer(&world, &["adopt-nonce", "--yes", "--signer", account]);
    let told = adopts(&kept).expect("it says");
    assert!(told.contains("nothing is to be adopted"), "{told}");
    let stranger = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let refused = adopts(stranger).expect_err("it never signed here");
    assert!(refused.contains("has never signed here"), "{refused}");

    adopts(SECOND).expect("it is done");

    let rows = world.audit_rows("resource_type = 'SIGNER'").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["new_value"]["signer"], SECOND);
    world.api.restart().await;
    let (_, after) = patient_of(&world, &kept).await;
    is_anchored_by(&world, &after, &kept).await;
}

#[tokio::test]
async fn one_account_is_not_named_twice() {
    let world = World::start().await;
    let key = world.foundation.dir().join("keys/registrar.key");
    let copy = world.file("the-same.key");
    std::fs::copy(key, &copy).expect("a copy");
    let port = dev::port::claim().expect("there are ports");
    let twice = [("MEDITRUSTAL_REGISTRAR_KEY_FILES".to_owned(), copy)];

    let started = world.foundation.api("api-that-refuses", port, &twice).await;

    let refused = started.expect_err("it does not start").to_string();
    assert!(refused.contains("are of one account"), "{refused}");
}

/// What an api says that does not start with only this key.
async fn refuses_to_start_with(world: &World, key: &str) -> String {
    let key = world.foundation.dir().join("keys").join(key);
    let port = dev::port::claim().expect("there are ports");
    let mut environment = world.foundation.options().api.clone();
    for setting in ["FILE", "FILES"] {
        let setting = format!("MEDITRUSTAL_REGISTRAR_KEY_{setting}");
        environment.push((setting, key.display().to_string()));
    }
    let started = world
        .foundation
        .api("api-that-refuses", port, &environment)
        .await;
    started.expect_err("it does not start").to_string()
}

#[tokio::test]
async fn no_api_starts_without_the_key_of_an_account_in_use_until_it_is_retired() {
    let world = world().await;
    let kept = first(&world);
    let (ana, _) = patient_of(&world, SECOND).await;

    let refused = refuses_to_start_with(&world, "registrar.key").await;

    let both_sets = format!("the accounts in use are {kept}, {SECOND}");
    let other_order = format!("the accounts in use are {SECOND}, {kept}");
    let refused_in = refused.to_lowercase();
    assert!(
        [&both_sets, &other_order]
            .iter()
            .any(|told| refused_in.contains(&told.to_lowercase())),
        "{refused}"
    );
    let command = format!("meditrustal signer retire --signer {SECOND} --yes");
    assert!(refused.contains(&command), "{refused}");

    let told = signer(&world, &["retire", "--signer", SECOND]).expect_err("it is to be confirmed");
    assert!(told.contains("--yes"), "{told}");
    signer(&world, &["retire", "--signer", SECOND, "--yes"]).expect("it is done");
    let last = signer(&world, &["retire", "--signer", &kept, "--yes"]);
    let last = last.expect_err("somebody has to sign");
    assert!(last.contains("the only account in use"), "{last}");
    // Where one key took the place of the other, it has to be in use first.
    let refused = refuses_to_start_with(&world, "registrar-2.key").await;
    let (uses, retires) = (
        format!("meditrustal signer use --signer {SECOND} --yes"),
        format!("meditrustal signer retire --signer {kept} --yes"),
    );
    for command in ["meditrustal signer rotate --to", &uses, &retires] {
        let told = refused.to_lowercase().contains(&command.to_lowercase());
        assert!(told, "{command}: {refused}");
    }

    // The api that runs begins nothing by it any more, and goes on with what it has begun.
    eventually("records of her are begun by the other", async || {
        let record = measured(&ana).await;
        let (by, _) = signed_by(&world, &record).await;
        by.eq_ignore_ascii_case(&kept).then_some(())
    })
    .await;
    let key = world.foundation.dir().join("keys/registrar.key");
    let key = key.display().to_string();
    let alone = [("MEDITRUSTAL_REGISTRAR_KEY_FILES", key.as_str())];
    let another = world.another_api("api-with-one-signer", &alone).await;
    let said = another.says("/health/ready").await;
    assert_eq!(said["failing"]["signers"], Value::Null, "{said}");
    let rows = world.audit_rows("resource_type = 'SIGNER'").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["new_value"]["inUse"], false);
    nothing_is_wrong(&world).await;
}

#[tokio::test]
async fn an_api_without_the_key_of_an_account_in_use_divides_no_line_and_says_that_it_lacks_it() {
    let mut world = world().await;
    let kept = first(&world);
    signer(&world, &["retire", "--signer", SECOND, "--yes"]).expect("it is done");
    let key = world.foundation.dir().join("keys/registrar.key");
    let key = key.display().to_string();
    let alone = [("MEDITRUSTAL_REGISTRAR_KEY_FILES", key.as_str())];
    let lacking = world.another_api("api-with-one-signer", &alone).await;
    // As an operator who is too early: one of them lacks the key.
    signer(&world, &["use", "--signer", SECOND, "--yes"]).expect("it is done");
    let (eve, begun) = patient_of(&world, SECOND).await;
    is_anchored_by(&world, &begun, SECOND).await;
    let why = fails(&lacking, "signers").await;
    assert!(why.contains("1 account(s) in use"), "{why}");
    // A balancer sends to the one that can do all of it.
    serves(&lacking, 503).await;
    assert_eq!(world.api.health("/health/serving").await, Some(200));

    let elsewhere = eve.at(&lacking);
    let refused = elsewhere.amends(&begun, documents::vital_signs(), json!({}));
    assert_eq!(refused.await.code(), Some("UNAVAILABLE"));

    // It is as it was, and an api with the key goes on with it. What is new, each begins by what it has.
    let version = amended(&eve, &begun).await;
    is_anchored_by(&world, &version, SECOND).await;
    assert_eq!(predecessor(&world, &version).await, begun["dataHash"]);
    let fresh = measured(&elsewhere).await;
    is_anchored_by(&world, &fresh, &kept).await;
    let closed = eve.retracts(&version, json!({})).await;
    let closed = closed.data()["withdrawMedicalRecord"]["record"].clone();
    is_anchored_by(&world, &closed, SECOND).await;
    nothing_is_wrong(&world).await;
    // Where no other one can, it is better than none.
    world.api.stop().await;
    serves(&lacking, 200).await;
    assert_eq!(lacking.health("/health/ready").await, Some(503));
    world.api.restart().await;
    serves(&lacking, 503).await;
}

/// Waits until a balancer is answered so.
async fn serves(api: &Program, status: u16) {
    eventually(&format!("it answers {status}"), async || {
        (api.health("/health/serving").await == Some(status)).then_some(())
    })
    .await;
}
