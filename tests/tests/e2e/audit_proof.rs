//! `auditProof` is checked as somebody would who trusts nobody: with a node of the chain, and hashes of their own.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, id, text};
use trail::{Hash, leaf_hash, tree};

use crate::checkpoints::{self, asks, pinned, pinning, rows};

const PROOF: &str = "query Proof($id: ID!, $known: Int) {
  auditProof(id: $id, knownSize: $known) {
    id leafHash layout leafData position inclusion consistency
    checkpoint { treeSize root epoch note chainId registry txHash blockNumber }
  }
}";

async fn proves(person: &Person, row: &Value, known: Option<u64>) -> Answer {
    let row = json!({ "id": text(row), "known": known });
    person.asks(PROOF, row).await
}

fn hash(value: &Value) -> Hash {
    checkpoints::hash(&text(value))
}

fn list(value: &Value) -> Vec<Hash> {
    let hashes = value.as_array().expect("a list").iter();
    hashes.map(hash).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// Whether the proof leads to what the registry itself holds.
async fn holds(world: &World, proof: &Value) -> bool {
    let checkpoint = &proof["checkpoint"];
    let size = number(&checkpoint["treeSize"]);
    let which = format!("{:064x}{size:064x}", number(&checkpoint["epoch"]));
    let held = asks(world, "checkpointRoot(uint64,uint64)", &which).await;
    let (root, leaf) = (hash(&json!(held)), hash(&proof["leafHash"]));
    let index = number(&proof["position"]);
    tree::is_included(&root, size, &leaf, index, &list(&proof["inclusion"]))
}

/// The rows of the caller's access log, newest first.
async fn log(person: &Person) -> Vec<Value> {
    let answer = person
        .asks(
            "{ myAccessLog(first: 100) { nodes { id action who { id } } } }",
            json!({}),
        )
        .await;
    answer.data()["myAccessLog"]["nodes"]
        .as_array()
        .expect("a list")
        .clone()
}

#[tokio::test]
async fn a_row_is_proved_to_whom_it_concerns_from_the_registry_alone() {
    let world = pinning(1).await;
    let ana = world.patient("ana").await;
    let citra = world.doctor("citra").await;
    ana.lets(&citra, &["READ"]).await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    citra.reads(&id(&record)).await;
    let all = log(&ana).await;
    pinned(&world, rows(&world).await).await;

    let mut sizes = Vec::new();
    for row in &all {
        let answer = proves(&ana, &row["id"], None).await;
        let proof = &answer.data()["auditProof"];
        assert_eq!(proof["id"], row["id"]);
        assert!(holds(&world, proof).await, "{proof}");
        // Who acted is given all that is hashed; of others no address is told.
        if row["who"]["id"] == ana.id.as_str() {
            let bytes = BASE64_STANDARD.decode(text(&proof["leafData"]));
            let leaf = leaf_hash(&bytes.expect("base 64"));
            assert_eq!(hash(&proof["leafHash"]), leaf);
        } else {
            assert_eq!(proof["leafData"], Value::Null);
        }
        let checkpoint = &proof["checkpoint"];
        sizes.push((number(&checkpoint["treeSize"]), hash(&checkpoint["root"])));
    }

    // What is written later extends what was known before.
    let (known, known_root) = sizes.into_iter().max().expect("there are rows");
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let newest = &log(&ana).await[0]["id"].clone();
    pinned(&world, rows(&world).await).await;
    let answer = proves(&ana, newest, Some(known)).await;
    let proof = &answer.data()["auditProof"];
    assert!(holds(&world, proof).await, "{proof}");
    let (size, root) = (
        number(&proof["checkpoint"]["treeSize"]),
        hash(&proof["checkpoint"]["root"]),
    );
    assert!(size > known);
    let consistency = list(&proof["consistency"]);
    assert!(tree::is_consistent(
        (known, &known_root),
        (size, &root),
        &consistency
    ));
    assert!(!tree::is_consistent(
        (known, &[7; 32]),
        (size, &root),
        &consistency
    ));

    // A proof is read from the trail, and that is written down in it.
    let read = world
        .audit_rows(&format!(
            "action_type = 'AUDIT_READ' AND user_id = '{}'",
            ana.id
        ))
        .await;
    assert_eq!(read.len(), 2 + all.len() + 1);
}

#[tokio::test]
async fn a_row_is_proved_to_nobody_else_and_a_changed_one_to_nobody() {
    let world = pinning(1).await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let citra = world.doctor("citra").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let row = log(&ana).await[0]["id"].clone();
    pinned(&world, rows(&world).await).await;
    for (person, known, wanted) in [
        (&world.nobody(), None, "UNAUTHENTICATED"),
        (&budi, None, "NOT_FOUND"),
        (&citra, None, "NOT_FOUND"),
        (&ana, Some(0), "BAD_USER_INPUT"),
        (&ana, Some(1_000_000), "BAD_USER_INPUT"),
    ] {
        let answer = proves(person, &row, known).await;
        assert_eq!(answer.code(), Some(wanted), "{answer:?}");
    }
    for none in [json!("0"), json!("9223372036854775807"), json!("ana")] {
        assert_eq!(proves(&ana, &none, None).await.code(), Some("NOT_FOUND"));
    }

    let admin = world.first_admin().await;
    let before = proves(admin, &row, None).await;
    assert!(holds(&world, &before.data()["auditProof"]).await);
    assert!(before.data()["auditProof"]["leafData"].is_string());
    world.is_broken_on_purpose();
    world
        .attacks(&format!(
            "UPDATE audit_logs SET purpose = 'TREAT' WHERE id = {}",
            text(&row)
        ))
        .await;
    let after = proves(admin, &row, None).await;
    assert!(!holds(&world, &after.data()["auditProof"]).await);
}
