//! Checkpoints of the audit trail: signed, pinned in the registry, confirmed, and what happens where it holds others.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{World, eventually, text};
use trail::{
    Hash,
    checkpoint::{Checkpoint, key_id},
    node_hash, tree,
};

/// anvil's account 9: the one that pins checkpoints in every world.
pub(crate) const CHECKPOINTER: &str = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";

/// A world that pins its trail again and again.
pub(crate) async fn pinning(every: u64) -> World {
    World::with(|options| options.checkpoints = Some(Duration::from_secs(every))).await
}

/// Waits until the registry has a checkpoint with so many rows, and the indexer has said so.
pub(crate) async fn pinned(world: &World, rows: usize) -> Value {
    eventually("a checkpoint is pinned", async || {
        let query = format!(
            "SELECT * FROM audit_checkpoints WHERE state = 'ANCHORED' AND tree_size >= {rows}
             ORDER BY id DESC LIMIT 1"
        );
        world.sql(&query).await.pop()
    })
    .await
}

pub(crate) async fn rows(world: &World) -> usize {
    world.audit_rows("TRUE").await.len()
}

pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    let digits = digits.strip_prefix("0x").unwrap_or(digits).as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// A hash by its digits.
pub(crate) fn hash(digits: &str) -> Hash {
    unhex(digits).try_into().expect("32 bytes")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| {
        digits + &format!("{byte:02x}")
    })
}

async fn keccak(world: &World, bytes: &[u8]) -> String {
    let hash = world
        .rpc("web3_sha3", json!([format!("0x{}", hex(bytes))]))
        .await;
    text(&hash)[2..].to_owned()
}

/// Calls a function of the registry with words of 64 digits.
pub(crate) async fn asks(world: &World, function: &str, words: &str) -> String {
    let selector = keccak(world, function.as_bytes()).await;
    let to = &world.foundation.deployment.registry;
    let data = format!("0x{}{words}", &selector[..8]);
    let answer = world
        .rpc("eth_call", json!([{ "to": to, "data": data }, "latest"]))
        .await;
    text(&answer)[2..].to_owned()
}

async fn leaves(world: &World) -> Vec<Hash> {
    let leaves = "SELECT encode(leaf_hash, 'hex') AS hash FROM audit_leaves ORDER BY position";
    let leaves = world.sql(leaves).await;
    let leaves = leaves.iter().map(|leaf| unhex(&text(&leaf["hash"])));
    leaves
        .map(|leaf| leaf.try_into().expect("32 bytes"))
        .collect()
}

/// The root by the definition of RFC 9162, 2.1.1.
pub(crate) fn root_of(leaves: &[Hash]) -> Hash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    node_hash(&root_of(left), &root_of(right))
}

async fn state(world: &World) -> String {
    text(&world.api.says("/health/ready").await["checkpoints"])
}

pub(crate) async fn waits_for_state(world: &World, wanted: &str) {
    eventually(&format!("checkpoints are {wanted}"), async || {
        (state(world).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_written_since_a_checkpoint_waits_for_the_next_one_and_hinders_nothing() {
    // Long enough for some looks between two of them.
    let world = pinning(8).await;
    world.patient("ana").await;
    pinned(&world, 2).await;
    world.patient("bea").await;

    pinned(&world, rows(&world).await).await;

    let log = world.api.log();
    let mut lines = log.lines();
    let refused = lines.find(|it| it.contains("can be pinned") && it.contains("the database"));
    assert_eq!(refused, None);
}

#[tokio::test]
async fn the_trail_is_pinned_and_the_registry_itself_finds_each_row_in_it() {
    let world = pinning(1).await;
    world.patient("ana").await;
    let first = pinned(&world, 2).await;
    world.patient("bea").await;
    let second = pinned(&world, rows(&world).await).await;
    assert_eq!(state(&world).await, "ON");

    let leaves = leaves(&world).await;
    for row in [&first, &second] {
        // What was signed is what the leaves come to, and who signed is who pinned.
        let size = row["tree_size"].as_u64().expect("a number");
        let root = root_of(&leaves[..usize::try_from(size).expect("small")]);
        assert_eq!(row["root"], hex(&root));
        let note = text(&row["note"]);
        let (checkpoint, signature, id) = Checkpoint::parse(&note).expect("a signed note");
        let registry = &world.foundation.deployment.registry;
        assert_eq!(checkpoint, Checkpoint::new(31_337, registry, size, root));
        let account: [u8; 20] = unhex(CHECKPOINTER).try_into().expect("an address");
        assert_eq!(id, key_id(&checkpoint.origin, &account));
        let said = checkpoint.text();
        let prefix = format!("\x19Ethereum Signed Message:\n{}", said.len());
        let hash = keccak(&world, format!("{prefix}{said}").as_bytes()).await;
        let (rs, v) = (hex(&signature[..64]), signature[64]);
        let recover = json!([{ "to": format!("0x{:040x}", 1), "data": format!("0x{hash}{v:064x}{rs}") }, "latest"]);
        let signer = text(&world.rpc("eth_call", recover).await);
        assert_eq!(signer[26..], CHECKPOINTER[2..].to_lowercase());
        let which = format!("{:064x}{size:064x}", 0);
        let held = asks(&world, "checkpointRoot(uint64,uint64)", &which);
        assert_eq!(held.await, hex(&root));
    }

    // Every row, by the contract and by our own proof.
    let size = second["tree_size"].as_u64().expect("a number");
    let pinned = &leaves[..usize::try_from(size).expect("small")];
    for (index, leaf) in (0..).zip(pinned) {
        let spans = tree::inclusion(size, index).expect("it is in");
        let at = |place: u64| usize::try_from(place).expect("small");
        let proof: Vec<Hash> = spans
            .iter()
            .map(|span| root_of(&pinned[at(span.start)..at(span.end)]))
            .collect();
        assert!(tree::is_included(
            &root_of(pinned),
            size,
            leaf,
            index,
            &proof
        ));
        let words = |leaf: &Hash| {
            format!(
                "{:064x}{size:064x}{}{index:064x}{:064x}{:064x}{}",
                0,
                hex(leaf),
                0xa0,
                proof.len(),
                hex(&proof.concat())
            )
        };
        let function = "verifyAuditInclusion(uint64,uint64,bytes32,uint64,bytes32[])";
        let yes = asks(&world, function, &words(leaf)).await;
        assert_eq!(yes, format!("{:064x}", 1), "row {index}");
        let no = asks(&world, function, &words(&[7; 32])).await;
        assert_eq!(no, format!("{:064x}", 0), "row {index}");
    }
    let findings = world.sql("SELECT * FROM integrity_findings").await;
    assert!(findings.is_empty(), "{findings:?}");
}

#[tokio::test]
async fn checkpoints_survive_kills_reorganisations_and_a_second_api() {
    let mut world = pinning(1).await;
    let second = world.second_api().await;
    for round in 0..3 {
        world.patient(&format!("ana{round}")).await;
        pinned(&world, rows(&world).await).await;
        world.api.kill().await;
        world.api.restart().await;
    }
    second.kill().await;
    let before = pinned(&world, rows(&world).await).await;
    world.reorg(1).await;
    world.mine(2).await;
    world.patient("bea").await;
    pinned(&world, rows(&world).await).await;

    let query = "SELECT tree_size, root, state FROM audit_checkpoints ORDER BY id";
    let all = world.sql(query).await;
    let sizes: Vec<_> = all.iter().map(|row| row["tree_size"].as_u64()).collect();
    assert!(sizes.is_sorted_by(|a, b| a < b), "{all:?}");
    assert!(all.iter().all(|row| row["state"] == "ANCHORED"), "{all:?}");
    let leaves = leaves(&world).await;
    for row in &all {
        let size = row["tree_size"].as_u64().expect("a number");
        let size = usize::try_from(size).expect("small");
        assert_eq!(row["root"], hex(&root_of(&leaves[..size])));
        let which = format!("{:064x}{size:064x}", 0);
        let held = asks(&world, "checkpointRoot(uint64,uint64)", &which);
        assert_eq!(text(&row["root"]), held.await);
    }
    assert!(before["tree_size"].as_u64() <= sizes[sizes.len() - 1]);
    let findings = world.sql("SELECT * FROM integrity_findings").await;
    assert!(findings.is_empty(), "{findings:?}");
}

#[tokio::test]
async fn between_two_checkpoints_nothing_is_wrong_where_nobody_has_asked_for_one() {
    let world = pinning(5).await;
    pinned(&world, 1).await;
    // The tree is larger than what is pinned, and no checkpoint is due yet: it is looked every two seconds.
    world.patient("ana").await;
    pinned(&world, rows(&world).await).await;

    let log = world.api.log();
    let told = log
        .lines()
        .find(|line| line.contains("No checkpoint of the audit trail can be pinned"));
    assert_eq!(told, None);
    assert_eq!(state(&world).await, "ON");
}

/// Has the registry's administrator begin the next epoch of checkpoints.
async fn opens_epoch(world: &World) {
    let admin = text(&world.rpc("eth_accounts", json!([])).await[0]);
    let open = keccak(world, b"openEpoch(uint64)").await;
    let open = format!("0x{}{:064x}", &open[..8], 0);
    world.calls_registry(&admin, open).await;
}

/// Pins this root by a stolen key: in another epoch what is pinned first needs no proof.
pub(crate) async fn pins_another_trail(world: &World, root: &str) {
    opens_epoch(world).await;
    let pin = keccak(world, b"anchorCheckpoint(uint64,bytes32,bytes32[])").await;
    let pin = format!("0x{}{:064x}{root}{:064x}{:064x}", &pin[..8], 1, 0x60, 0);
    world.calls_registry(CHECKPOINTER, pin).await;
}

#[tokio::test]
async fn a_checkpoint_that_is_none_of_ours_is_found_and_ours_wait_until_an_epoch_is_opened() {
    let world = pinning(86_400).await;
    pinned(&world, 1).await;
    let latest = asks(&world, "latestCheckpoint()", "").await;
    let (size, root) = (&latest[64..128], unhex(&latest[128..192]));
    let size = u64::from_str_radix(size, 16).expect("a size");
    let root: Hash = root.try_into().expect("32 bytes");
    let junk = "11".repeat(32);
    pins_another_trail(&world, &junk).await;

    let finding = eventually("the foreign checkpoint is found", async || {
        let query = "SELECT * FROM integrity_findings WHERE kind = 'AUDIT_TAMPERED'";
        world.sql(query).await.pop()
    })
    .await;
    assert_eq!(finding["record_hash"], junk.as_str());
    assert_eq!(finding["details"]["reason"], "FOREIGN_CHECKPOINT");
    assert_eq!(finding["details"]["by"], CHECKPOINTER);
    // Ours are not signed on top of it, also where an operator asks.
    world.patient("ana").await;
    world.asks_for_checkpoint().await;
    waits_for_state(&world, "CONTRADICTION").await;

    opens_epoch(&world).await;
    let next = eventually("ours is pinned in the next epoch", async || {
        let query = "SELECT * FROM audit_checkpoints WHERE epoch = 2 AND state = 'ANCHORED'";
        world.sql(query).await.pop()
    })
    .await;
    assert!(next["tree_size"].as_u64() > Some(size));
    assert_ne!(text(&next["root"]), hex(&root));
    waits_for_state(&world, "ON").await;
    let told = world.audit_rows("action_type = 'INTEGRITY_FAILURE'").await;
    assert!((1..=2).contains(&told.len()), "{told:?}");
}

#[tokio::test]
async fn an_account_that_cannot_pay_and_a_missed_event_are_told_and_got_over() {
    let world = pinning(1).await;
    pinned(&world, 1).await;
    let balance = |wei: &str| world.rpc("anvil_setBalance", json!([CHECKPOINTER, wei]));
    balance("0x0").await;
    world.patient("ana").await;
    waits_for_state(&world, "NOT_TAKEN").await;
    balance("0xde0b6b3a7640000").await;
    let row = pinned(&world, rows(&world).await).await;
    waits_for_state(&world, "ON").await;

    // As an indexer leaves it that knows nothing of checkpoints: the next one to lead says that it is there.
    world.indexer.kill().await;
    world
        .attacks(
            "UPDATE audit_checkpoints SET state = 'SIGNED', block_number = NULL, block_hash = NULL",
        )
        .await;
    world.second_indexer().await;
    eventually("it counts as pinned again", async || {
        let query = format!("SELECT 1 FROM audit_checkpoints WHERE id = {} AND state = 'ANCHORED' AND block_number IS NOT NULL", row["id"]);
        world.sql(&query).await.pop()
    })
    .await;
}
