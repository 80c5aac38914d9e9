//! Every column of an anchor and of its event: what somebody with the highest rights writes into it is found by the sweep. The
//! columns are those that the database has, so that a new one must be decided here. What is bound to a document, the deep
//! check finds (`edits`).

use std::collections::BTreeSet;

use dev::stack::Options;
use serde_json::json;
use tests::{World, documents, eventually, id, text};

/// A table that the sweep compares.
struct ComparedTable {
    name: &'static str,
    /// A column, what is written into it, and what is found: of a second version, whose event names the first one.
    edits: &'static [(&'static str, &'static str, &'static str)],
    /// The columns that are not tried.
    not_compared: &'static [&'static str],
}

const TABLES: [ComparedTable; 2] = [
    ComparedTable {
        name: "record_anchors",
        edits: &[
            ("patient_id", "gen_random_uuid()", "HASH_MISMATCH"),
            ("record_type", "'IMAGING'", "HASH_MISMATCH"),
            ("record_hash", "repeat('7', 64)", "HASH_MISMATCH"),
            ("chain_id", "1", "HASH_MISMATCH"),
            ("state", "'FINALIZED'", "HASH_MISMATCH"),
            ("state", "'FAILED'", "HASH_MISMATCH"),
            ("tx_hash", "'0x' || repeat('2', 64)", "HASH_MISMATCH"),
            ("registrar", "'0x' || repeat('4', 40)", "HASH_MISMATCH"),
            ("block_number", "block_number + 1", "HASH_MISMATCH"),
            ("block_hash", "'0x' || repeat('3', 64)", "HASH_MISMATCH"),
            ("log_index", "log_index + 1", "HASH_MISMATCH"),
            ("sequence", "sequence + 1", "HASH_MISMATCH"),
            ("predecessor_hash", "repeat('8', 64)", "HASH_MISMATCH"),
            ("supersedes", "NOT supersedes", "HASH_MISMATCH"),
        ],
        // Of our own clock: the chain says nothing of them, and they decide nothing. What is found of another `record_id` names a
        // record that is none, and so stays open when it is put back: that is not tried here.
        not_compared: &[
            "record_id",
            "confirmed_at",
            "finalized_at",
            "created_at",
            "updated_at",
        ],
    },
    ComparedTable {
        name: "chain_events",
        edits: &[
            ("chain_id", "1", "MISSING_ON_CHAIN"),
            ("registry", "'0x' || repeat('4', 40)", "MISSING_ON_CHAIN"),
            ("block_number", "block_number + 1", "HASH_MISMATCH"),
            ("block_hash", "'0x' || repeat('6', 64)", "HASH_MISMATCH"),
            ("tx_hash", "'0x' || repeat('5', 64)", "HASH_MISMATCH"),
            ("log_index", "log_index + 1", "HASH_MISMATCH"),
            ("kind", "'RECORD_CLOSED'", "MISSING_ON_CHAIN"),
            ("subject_hash", "repeat('9', 64)", "MISSING_ON_CHAIN"),
            ("subject_hash", "repeat('9', 64)", "UNKNOWN_ON_CHAIN"),
            ("actor", "'0x' || repeat('4', 40)", "FOREIGN_REGISTRAR"),
            ("sequence", "sequence + 100", "HASH_MISMATCH"),
            ("payload", "'{}'", "HASH_MISMATCH"),
            ("undone_at", "CURRENT_TIMESTAMP", "MISSING_ON_CHAIN"),
        ],
        // The table's own number, and our own clock; the head is held against the chain by `replay --verify` (`replay`).
        not_compared: &["id", "applied_at", "head"],
    },
];

/// A row more or less, and what is found. An anchor without a record and an event is of nothing, and is shown nowhere.
const ROWS: [(&str, &str); 3] = [
    (
        "DELETE FROM record_anchors WHERE record_id = '{record}'",
        "MISSING_ON_CHAIN",
    ),
    (
        "DELETE FROM chain_events WHERE id = {event}",
        "MISSING_ON_CHAIN",
    ),
    (
        "INSERT INTO chain_events (
             chain_id, registry, block_number, block_hash, tx_hash, log_index, kind, subject_hash, actor, sequence, head, payload
         )
         SELECT chain_id, registry, block_number, block_hash, tx_hash, log_index + 100, kind, repeat('a', 64), actor,
             sequence + 100, head, '{}'::jsonb
         FROM chain_events WHERE id = {event}",
        "UNKNOWN_ON_CHAIN",
    ),
];

/// Whatever the time of a round: few rows are compared in each batch, all of them.
fn sweeps(options: &mut Options) {
    options.slots_in_an_epoch = 8;
    let fast = ("MEDITRUSTAL_SWEEP_MS".to_owned(), "50".to_owned());
    let slow = ("MEDITRUSTAL_SWEEP_ROUND".to_owned(), "2592000".to_owned());
    options.indexer.extend([fast, slow]);
}

/// Each column that a table has is decided here.
async fn all_are_decided(world: &World, table: &ComparedTable) {
    let edited = table.edits.iter().map(|(column, ..)| *column);
    let decided = edited.chain(table.not_compared.iter().copied());
    let decided: BTreeSet<String> = decided.map(str::to_owned).collect();
    assert_eq!(decided, world.columns(table.name).await, "{}", table.name);
}

/// Changes something, waits until it is found, puts the tables back and waits until all is well.
async fn is_found(world: &World, change: &str, kind: &str) {
    let open = "SELECT kind FROM integrity_findings WHERE resolved_at IS NULL";
    world.attacks(change).await;
    eventually(&format!("{kind} is found after {change}"), async || {
        let found = world.sql(open).await;
        found.iter().any(|row| row["kind"] == kind).then_some(())
    })
    .await;
    let back = TABLES.map(|ComparedTable { name, .. }| {
        format!("DELETE FROM {name}; INSERT INTO {name} SELECT * FROM saved_{name};")
    });
    world.attacks(&back.concat()).await;
    eventually(&format!("all is well again after {change}"), async || {
        world.sql(open).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_written_into_any_column_of_an_anchor_and_its_event_is_found() {
    let world = World::with(sweeps).await;
    let ana = world.patient("ana").await;
    let first = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&first), "CONFIRMED").await;
    let second = ana
        .amends(&first, documents::vital_signs(), json!({}))
        .await;
    let record = id(&second.data()["amendMedicalRecord"]["record"]);
    let anchor = world.wait_for_anchor(&record, "CONFIRMED").await;
    let event = format!(
        "SELECT id FROM chain_events WHERE kind = 'RECORD_ANCHORED' AND subject_hash = '{}'",
        text(&anchor["record_hash"])
    );
    let event = world.sql(&event).await[0]["id"].to_string();
    for table in &TABLES {
        let name = table.name;
        let save = format!("CREATE TABLE saved_{name} AS SELECT * FROM {name}");
        world.executes(&save).await;
        all_are_decided(&world, table).await;
    }

    for ComparedTable { name, edits, .. } in &TABLES {
        let of = match *name {
            "record_anchors" => format!("record_id = '{record}'"),
            _ => format!("id = {event}"),
        };
        for (column, value, kind) in *edits {
            let change = format!("UPDATE {name} SET {column} = {value} WHERE {of}");
            is_found(&world, &change, kind).await;
        }
    }
    for (change, kind) in ROWS {
        let change = change
            .replace("{record}", &record)
            .replace("{event}", &event);
        is_found(&world, &change, kind).await;
    }
}
