//! What docs/operations.md says to do when a key of the registry is stolen or lost, done as it is written there, on a
//! registry that was deployed as in production.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tests::registry::{
    CHECKPOINT, CHECKPOINT_ROLE, PAUSER, PAUSER_ROLE, REGISTRAR_ROLE, STEWARD, STEWARD_ROLE, annul,
    close, grant_role, revoke_role, set_paused,
};
use tests::{Person, World, documents, eventually, id, text};

/// anvil's account 7, known to everybody: the next registrar.
const NEXT: &str = "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955";
const NEXT_KEY: &str = "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356";
/// anvil's account 8: the next of every other role.
const OTHER: &str = "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f";
/// What a thief anchors: no record has it.
const NONSENSE: &str = "abababababababababababababababababababababababababababababababab";

async fn anchored(world: &World, patient: &Person) -> Value {
    let record = patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    record
}

fn hash(record: &Value) -> String {
    text(&record["dataHash"])
}

/// Waits until exactly these are open.
async fn waits_for_findings(world: &World, kinds: &[&str]) {
    let query = "SELECT kind FROM integrity_findings WHERE resolved_at IS NULL ORDER BY kind";
    eventually(&format!("{kinds:?} are open"), async || {
        let open = world.sql(query).await;
        let open: Vec<String> = open.iter().map(|row| text(&row["kind"])).collect();
        (open == kinds).then_some(())
    })
    .await;
}

/// The hashes of the records of which an open finding says that somebody ended them.
async fn ended(world: &World) -> Vec<String> {
    let query = "SELECT record_hash FROM integrity_findings
                 WHERE resolved_at IS NULL AND kind = 'ENDED_ON_CHAIN' ORDER BY opened_at";
    let open = world.sql(query).await;
    open.iter().map(|row| text(&row["record_hash"])).collect()
}

/// Restarts the api with the key of another registrar, which the deployment file names as well.
async fn restarts_with_the_next_key(world: &mut World) {
    let file = world.foundation.dir().join("keys/next-registrar.key");
    fs::write(&file, NEXT_KEY).expect("the key is written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours alone");
    let file = file.display().to_string();
    let deployment = world.foundation.dir().join("production.json");
    let text = fs::read_to_string(&deployment).expect("the deployment file");
    let text = text.replace(&world.foundation.deployment.registrar, NEXT);
    fs::write(&deployment, text).expect("it is written");
    let deployment = deployment.display().to_string();
    world.api.stop().await;
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.expect("there is the role");
    let places = [
        ("DATABASE_URL", url.as_str()),
        ("CHAIN_RPC_URL", world.foundation.chain_rpc_url()),
        ("MEDITRUSTAL_DEPLOYMENT_FILE", deployment.as_str()),
    ];
    let rotate = ["signer", "rotate", "--to", file.as_str(), "--yes"];
    let rotated = world.foundation.programs.operate(&rotate, &places, "");
    rotated.expect("the next account is in use");
    let environment = [
        ("MEDITRUSTAL_REGISTRAR_KEY_FILE", file.as_str()),
        ("MEDITRUSTAL_DEPLOYMENT_FILE", &deployment),
    ];
    world.api = world
        .another_api("api-with-the-next-key", &environment)
        .await;
}

async fn verdict(patient: &Person, record: &Value) -> String {
    let verified = patient.verifies(&id(record)).await;
    text(&verified.data()["verifyRecord"]["verdict"])
}

/// What the registry answers a call that changes nothing: its words.
async fn reads(world: &World, call: &str) -> Vec<String> {
    let call = json!([{ "to": world.foundation.deployment.registry, "data": call }, "latest"]);
    let answer = text(&world.rpc("eth_call", call).await);
    let words = answer.as_bytes()[2..].chunks(64);
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// Whether the registry refuses a call of this account.
async fn is_refused(world: &World, from: &str, call: &str) -> bool {
    let call = json!([{ "from": from, "to": world.foundation.deployment.registry, "data": call }, "latest"]);
    let url = world.foundation.chain_rpc_url();
    dev::chain::rpc(url, "eth_call", call).await.is_err()
}

#[tokio::test]
async fn after_a_stolen_registrar_what_it_ended_stands_again_and_another_goes_on() {
    let mut world = World::start().await;
    // Nobody but us looks at a record, so that it is known when.
    let quiet = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "0")];
    let admin = world.deploys_as_in_production(&[], &quiet).await;
    let thief = world.foundation.deployment.registrar.clone();
    let ana = world.patient("ana").await;
    let (first, second) = (anchored(&world, &ana).await, anchored(&world, &ana).await);

    // It closes one, supersedes another twice, and anchors what is nobody's.
    world.calls_registry(&thief, close(&hash(&first), 7)).await;
    for (old, new) in [(hash(&second).as_str(), "cd"), (&"cd".repeat(32), "ef")] {
        let supersede = format!("0xf13cb8cd{old}{}", new.repeat(32));
        world.calls_registry(&thief, supersede).await;
    }
    let anchor = format!("0xeecdf927{NONSENSE}");
    world.calls_registry(&thief, anchor).await;
    let unknown = ["UNKNOWN_ON_CHAIN"; 3];
    waits_for_findings(&world, &[&["ENDED_ON_CHAIN"; 2][..], &unknown].concat()).await;

    // What it superseded is withheld meanwhile.
    assert_eq!(verdict(&ana, &second).await, "TAMPERED");
    let refused = ana.reads(&id(&second)).await;
    assert_eq!(refused.code(), Some("INTEGRITY_VIOLATION"));

    // 1. Pauser: it ends nothing any more; records go on being stored.
    world.calls_registry(PAUSER, set_paused(true)).await;
    assert!(is_refused(&world, &thief, &close(NONSENSE, 7)).await);
    let waiting = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    eventually("the relay says why it waits", async || {
        let said = world.api.log().contains("The registry is paused");
        said.then_some(())
    })
    .await;
    // 2. Admin.
    let revoke = revoke_role(REGISTRAR_ROLE, &thief);
    world.calls_registry(&admin, revoke).await;
    // 3. Steward: of a line of successors the last one first, also what is no record of ours.
    assert!(is_refused(&world, STEWARD, &annul(&hash(&second))).await);
    world.calls_registry(STEWARD, annul(&"cd".repeat(32))).await;
    for hash in ended(&world).await {
        world.calls_registry(STEWARD, annul(&hash)).await;
    }
    let left = [&["CONTENT_MISMATCH", "REGISTRY_PAUSED"][..], &unknown].concat();
    waits_for_findings(&world, &left).await;
    assert_eq!(verdict(&ana, &first).await, "VERIFIED");
    assert_eq!(verdict(&ana, &second).await, "VERIFIED");
    waits_for_findings(&world, &left[1..]).await;
    world.calls_registry(STEWARD, close(NONSENSE, 255)).await;
    // 4. Admin, and the api with the new key.
    world
        .calls_registry(&admin, grant_role(REGISTRAR_ROLE, NEXT))
        .await;
    world.calls_registry(&admin, set_paused(false)).await;
    restarts_with_the_next_key(&mut world).await;
    let ana = ana.at(&world.api);
    waits_for_findings(&world, &unknown).await;
    let record = anchored(&world, &ana).await;
    let anchor = world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    assert_eq!(anchor["registrar"], NEXT);
    // What the old key had signed is signed again by the new one.
    let anchor = world.wait_for_anchor(&id(&waiting), "CONFIRMED").await;
    assert_eq!(anchor["registrar"], NEXT);
    assert_eq!(verdict(&ana, &waiting).await, "VERIFIED");
    // 5. An amendment of what the old key anchored is anchored by itself; a steward can end the old one.
    let amended = ana
        .amends(&first, documents::vital_signs(), json!({}))
        .await;
    let amended = amended.data()["amendMedicalRecord"]["record"].clone();
    world.wait_for_anchor(&id(&amended), "CONFIRMED").await;
    assert_eq!(verdict(&ana, &amended).await, "VERIFIED");
    assert_eq!(
        verdict(&ana, &first).await,
        "VERIFIED",
        "the chain does not know of it"
    );
    world.wait_for_indexer().await;
    waits_for_findings(&world, &unknown).await;
}

#[tokio::test]
async fn after_a_lost_registrar_another_goes_on() {
    let mut world = World::start().await;
    let admin = world.deploys_as_in_production(&[], &[]).await;
    let lost = world.foundation.deployment.registrar.clone();
    let ana = world.patient("ana").await;
    let before = anchored(&world, &ana).await;
    let deployment = world.foundation.dir().join("production.json");
    let deployment = deployment.display().to_string();
    let running_on = [("MEDITRUSTAL_DEPLOYMENT_FILE", deployment.as_str())];
    let running_on = world.another_api("api-that-runs-on", &running_on).await;

    // Steps 2 and 4.
    world
        .calls_registry(&admin, revoke_role(REGISTRAR_ROLE, &lost))
        .await;
    world
        .calls_registry(&admin, grant_role(REGISTRAR_ROLE, NEXT))
        .await;
    restarts_with_the_next_key(&mut world).await;
    let ana = ana.at(&world.api);

    let after = anchored(&world, &ana).await;
    assert_eq!(verdict(&ana, &before).await, "VERIFIED");
    assert_eq!(verdict(&ana, &after).await, "VERIFIED");
    // A process that was there before knows the next account, too.
    assert_eq!(verdict(&ana.at(&running_on), &after).await, "VERIFIED");
    // It still signs with the lost account's key, which nobody but the next one may close with.
    running_on.stop().await;
    // A withdrawn record of the old registrar waits for a steward, and the log says so.
    let withdrawn = ana.retracts(&before, json!({})).await;
    let withdrawn = withdrawn.data()["withdrawMedicalRecord"]["record"].clone();
    let closings = format!(
        "SELECT state FROM record_closings WHERE record_id = '{}'",
        id(&withdrawn)
    );
    // Its last version is the new registrar's, and closed by it.
    eventually("the last version is closed", async || {
        (world.sql(&closings).await == [json!({ "state": "CONFIRMED" })]).then_some(())
    })
    .await;
    waits_for_findings(&world, &[]).await;
}

#[tokio::test]
async fn after_a_stolen_steward_the_admin_annuls_what_it_ended() {
    let mut world = World::start().await;
    let admin = world.deploys_as_in_production(&[], &[]).await;
    let ana = world.patient("ana").await;
    let record = anchored(&world, &ana).await;
    world
        .calls_registry(STEWARD, close(&hash(&record), 7))
        .await;
    waits_for_findings(&world, &["ENDED_ON_CHAIN"]).await;
    // A pause does not stop it.
    world.calls_registry(PAUSER, set_paused(true)).await;
    world.calls_registry(&admin, set_paused(false)).await;

    world
        .calls_registry(&admin, revoke_role(STEWARD_ROLE, STEWARD))
        .await;
    for hash in ended(&world).await {
        // Neither the thief nor another steward could.
        assert!(is_refused(&world, STEWARD, &annul(&hash)).await);
        world.calls_registry(&admin, annul(&hash)).await;
    }

    waits_for_findings(&world, &[]).await;
    assert_eq!(verdict(&ana, &record).await, "VERIFIED");
    // Lost: another is granted, and can annul what a registrar ends.
    world
        .calls_registry(&admin, grant_role(STEWARD_ROLE, OTHER))
        .await;
    let registrar = world.foundation.deployment.registrar.clone();
    world
        .calls_registry(&registrar, close(&hash(&record), 7))
        .await;
    waits_for_findings(&world, &["ENDED_ON_CHAIN"]).await;
    world.calls_registry(OTHER, annul(&hash(&record))).await;
    waits_for_findings(&world, &[]).await;
}

#[tokio::test]
async fn after_a_stolen_pauser_what_waited_is_sent() {
    let mut world = World::start().await;
    let admin = world.deploys_as_in_production(&[], &[]).await;
    let ana = world.patient("ana").await;
    world.calls_registry(PAUSER, set_paused(true)).await;
    waits_for_findings(&world, &["REGISTRY_PAUSED"]).await;
    let waiting = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;

    world
        .calls_registry(&admin, revoke_role(PAUSER_ROLE, PAUSER))
        .await;
    world.calls_registry(&admin, set_paused(false)).await;

    assert!(is_refused(&world, PAUSER, &set_paused(true)).await);
    world.wait_for_anchor(&id(&waiting), "CONFIRMED").await;
    waits_for_findings(&world, &[]).await;
    // Lost: until another is granted, nobody can pause.
    assert!(is_refused(&world, &admin, &set_paused(true)).await);
    world
        .calls_registry(&admin, grant_role(PAUSER_ROLE, OTHER))
        .await;
    world.calls_registry(OTHER, set_paused(true)).await;
    waits_for_findings(&world, &["REGISTRY_PAUSED"]).await;
}

#[tokio::test]
async fn after_a_stolen_checkpoint_key_the_log_goes_on_from_what_was_right() {
    let mut world = World::start().await;
    let admin = world.deploys_as_in_production(&[], &[]).await;
    // anchorCheckpoint(size, root, [])
    let first = |size: u64, root: &str| {
        format!(
            "0x6d75a5d1{size:064x}{}{:064x}{:064x}",
            root.repeat(32),
            0x60,
            0
        )
    };
    world.calls_registry(CHECKPOINT, first(1, "11")).await;
    // A size that nothing can follow, with the path of a tree of two leaves.
    let sibling = "22".repeat(32);
    let parent = json!([{ "to": format!("0x{:040x}", 2), "data": format!("0x01{}{sibling}", "11".repeat(32)) }, "latest"]);
    let junk = text(&world.rpc("eth_call", parent).await)[2..].to_owned();
    let pin = format!("0x6d75a5d1{:064x}{junk}{:064x}{:064x}{sibling}", 2, 0x60, 1);
    world.calls_registry(CHECKPOINT, pin.clone()).await;

    world
        .calls_registry(&admin, revoke_role(CHECKPOINT_ROLE, CHECKPOINT))
        .await;
    // openEpoch(1): the last right size.
    world
        .calls_registry(&admin, format!("0x2c8f7d5a{:064x}", 1))
        .await;

    let latest = reads(&world, "0x907c0f92").await;
    assert_eq!(
        latest,
        [
            format!("{:064x}", 1),
            format!("{:064x}", 1),
            "11".repeat(32)
        ]
    );
    assert!(is_refused(&world, CHECKPOINT, &pin).await);
    world
        .calls_registry(&admin, grant_role(CHECKPOINT_ROLE, OTHER))
        .await;
    // Pinned on from there: a log that does not extend it is refused, one that does is taken.
    assert!(is_refused(&world, OTHER, &first(2, "33")).await);
    world.calls_registry(OTHER, pin).await;
    world.wait_for_indexer().await;
    let kinds = "SELECT kind FROM chain_events WHERE kind IN ('CHECKPOINT_ANCHORED', 'EPOCH_OPENED') ORDER BY sequence";
    let kinds = world.sql(kinds).await;
    let kinds: Vec<String> = kinds.iter().map(|row| text(&row["kind"])).collect();
    let (pinned, opened) = ("CHECKPOINT_ANCHORED", "EPOCH_OPENED");
    assert_eq!(kinds, [pinned, pinned, opened, pinned]);
    // Each root that no api of ours has signed.
    waits_for_findings(&world, &["AUDIT_TAMPERED", "AUDIT_TAMPERED"]).await;
}

#[tokio::test]
async fn while_a_transfer_of_the_admins_role_waits_it_can_be_cancelled() {
    let mut world = World::start().await;
    let admin = world.deploys_as_in_production(&[], &[]).await;
    // beginDefaultAdminTransfer(OTHER), acceptDefaultAdminTransfer(), cancelDefaultAdminTransfer()
    let begin = format!("0x634e93da{:0>64}", &OTHER[2..]);
    let (accept, cancel) = ("0xcefc1429", "0xd602b9fd");
    let two_days = json!([2 * 24 * 60 * 60 + 1]);

    world.calls_registry(&admin, begin.clone()).await;
    assert!(
        is_refused(&world, OTHER, accept).await,
        "the delay has not passed"
    );
    world.calls_registry(&admin, cancel.to_owned()).await;
    world.rpc("evm_increaseTime", two_days.clone()).await;
    world.mine(1).await;
    assert!(is_refused(&world, OTHER, accept).await, "it was cancelled");

    world.calls_registry(&admin, begin).await;
    world.rpc("evm_increaseTime", two_days).await;
    world.mine(1).await;
    world.calls_registry(OTHER, accept.to_owned()).await;

    let admin_now = reads(&world, "0x84ef8ffc").await;
    assert_eq!(admin_now, [format!("{:0>64}", OTHER[2..].to_lowercase())]);
    world.wait_for_indexer().await;
    let steps = "SELECT kind FROM chain_events WHERE kind = 'ADMIN_STEP_TAKEN'";
    assert_eq!(world.sql(steps).await.len(), 3);
}
