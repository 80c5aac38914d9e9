//! Every column of the tables that mirror the chain: what somebody with the highest rights writes into it is found by the sweep, or
//! does no harm. The columns are those that the database has, so that a new one must be decided here. What is bound to a document,
//! the deep check finds (`edits`), and checkpoints the check of the trail (`audit_check`).

use std::collections::BTreeSet;

use dev::stack::Options;
use serde_json::{Value, json};
use tests::{World, documents, eventually, id, registry::set_paused, text};

use crate::consent_receipts::{ADMINISTRATOR, consent, linked, signed};

/// A table that mirrors the chain.
struct ComparedTable {
    name: &'static str,
    /// Which row is changed.
    row: &'static str,
    /// A column, what is written into it, and what is found.
    edits: &'static [(&'static str, &'static str, &'static str)],
    /// The columns that are not tried, and why.
    not_tried: &'static [(&'static str, &'static str)],
}

const OWN_CLOCK: &str = "of our own clock: the chain says nothing of it, and it decides nothing";
const OWN_NUMBER: &str = "the table's own number";
const SEALED: &str = "sealed: the deep check finds it (`seals`, `consent_receipts`)";
const ASKED_AGAIN: &str = "when something is tried again that the registry is asked about first";
const ON_ITS_WAY: &str = "of what is mined it is not used any more; before, a node refuses what does not fit: `ANCHOR_STUCK`";

/// Of a second version, whose event names the first one, and of the closing of another record.
const OF_RECORDS: [ComparedTable; 5] = [
    ComparedTable {
        name: "record_anchors",
        row: "record_id = '{record}'",
        edits: &[
            ("record_id", "gen_random_uuid()", "MISSING_ON_CHAIN"),
            ("record_id", "gen_random_uuid()", "UNKNOWN_ON_CHAIN"),
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
        not_tried: &[
            ("confirmed_at", OWN_CLOCK),
            ("finalized_at", OWN_CLOCK),
            ("created_at", OWN_CLOCK),
            ("updated_at", OWN_CLOCK),
        ],
    },
    ComparedTable {
        name: "chain_events",
        row: "id = {event}",
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
            ("head", "'0x' || repeat('7', 50)", "ROW_TAMPERED"),
            ("payload", "'{}'", "HASH_MISMATCH"),
            ("undone_at", "CURRENT_TIMESTAMP", "MISSING_ON_CHAIN"),
        ],
        not_tried: &[("id", OWN_NUMBER), ("applied_at", OWN_CLOCK)],
    },
    ComparedTable {
        name: "anchor_outbox",
        row: "record_id = '{record}'",
        edits: &[
            ("id", "id + 1000", "HASH_MISMATCH"),
            ("record_id", "gen_random_uuid()", "HASH_MISMATCH"),
            ("kind", "'CLOSE'", "HASH_MISMATCH"),
            ("chain_id", "1", "HASH_MISMATCH"),
            ("signer", "'0x' || repeat('4', 40)", "HASH_MISMATCH"),
            ("state", "'FAILED'", "HASH_MISMATCH"),
        ],
        not_tried: &[
            ("consent_receipt_id", "a CHECK leaves it empty"),
            ("nonce", ON_ITS_WAY),
            ("sends", "a count that decides nothing"),
            ("next_send_at", ASKED_AGAIN),
            ("is_replaced", "of what is mined it is not used any more"),
            ("created_at", OWN_CLOCK),
            ("updated_at", OWN_CLOCK),
        ],
    },
    ComparedTable {
        name: "anchor_attempts",
        row: "tx_hash = '{transaction}'",
        edits: &[
            ("tx_hash", "'0x' || repeat('5', 64)", "HASH_MISMATCH"),
            ("outbox_id", "outbox_id + 1000", "HASH_MISMATCH"),
        ],
        not_tried: &[
            ("attempt", ON_ITS_WAY),
            ("raw_transaction", ON_ITS_WAY),
            ("max_fee_per_gas", "a copy of what the transaction says"),
            ("state", ON_ITS_WAY),
            ("created_at", OWN_CLOCK),
        ],
    },
    ComparedTable {
        name: "record_closings",
        row: "TRUE",
        edits: &[
            ("record_id", "gen_random_uuid()", "ENDED_ON_CHAIN"),
            ("status", "'ERASED'", "ENDED_ON_CHAIN"),
            ("reason", "5", "ENDED_ON_CHAIN"),
            ("tx_hash", "'0x' || repeat('2', 64)", "ENDED_ON_CHAIN"),
            ("closed_by", "'0x' || repeat('4', 40)", "ENDED_ON_CHAIN"),
            ("block_number", "block_number + 1", "ENDED_ON_CHAIN"),
            ("block_hash", "'0x' || repeat('3', 64)", "ENDED_ON_CHAIN"),
        ],
        not_tried: &[
            // One that says that it is done, and is not, is `MISSING_ON_CHAIN` (`closings`).
            ("state", ASKED_AGAIN),
            ("due_at", ASKED_AGAIN),
            ("confirmed_at", OWN_CLOCK),
            ("created_at", OWN_CLOCK),
            ("updated_at", OWN_CLOCK),
        ],
    },
];

/// The receipt of a consent that is in a block.
const RECEIPTS: ComparedTable = ComparedTable {
    name: "consent_receipts",
    row: "TRUE",
    edits: &[
        ("chain_state", "'FINALIZED'", "CONSENT_MISMATCH"),
        ("tx_hash", "'0x' || repeat('2', 64)", "CONSENT_MISMATCH"),
        ("block_number", "block_number + 1", "CONSENT_MISMATCH"),
        ("block_hash", "'0x' || repeat('3', 64)", "CONSENT_MISMATCH"),
    ],
    not_tried: &[
        ("id", SEALED),
        ("consent_id", SEALED),
        ("user_id", SEALED),
        ("kind", SEALED),
        ("text", SEALED),
        ("details_hash", SEALED),
        ("registry_end", SEALED),
        ("made_at", SEALED),
        ("chain_id", SEALED),
        ("contract", SEALED),
        ("wallet", SEALED),
        ("deadline", SEALED),
        ("signature", SEALED),
        ("signed_at", SEALED),
        ("seal", SEALED),
        ("seal_key", SEALED),
        (
            "failure",
            "of what is in a block the next tick takes it away",
        ),
        ("due_at", ASKED_AGAIN),
        ("refusals", ASKED_AGAIN),
        ("confirmed_at", OWN_CLOCK),
    ],
};

/// The tables that are not compared by the sweep, and why none of their columns is tried.
const ELSEWHERE: [(&str, &[&str]); 3] = [
    // The check of the trail holds each checkpoint against its event and the registry (`audit_check`). What is handed over again
    // is refused, or is the transaction that is there.
    (
        "audit_checkpoints",
        &[
            "id",
            "chain_id",
            "registry",
            "epoch",
            "tree_size",
            "root",
            "note",
            "signer",
            "nonce",
            "tx_hash",
            "raw_transaction",
            "state",
            "next_send_at",
            "block_number",
            "block_hash",
            "created_at",
        ],
    ),
    // Sequence and head the sweep holds against the last event. Whoever leads writes all of it every two seconds as it was, and loses
    // the fence where that or the block is another one; the block is compared with the node's in each round.
    (
        "chain_cursors",
        &[
            "chain_id",
            "registry",
            "block_number",
            "block_hash",
            "sequence",
            "head",
            "chain_head",
            "finalized_block",
            "fence",
            "updated_at",
        ],
    ),
    // A memory of blocks: one that is not the node's is passed over where the fork is looked for, and where it goes back to is
    // confirmed by the registry. `meditrustal-indexer replay --verify` names what is wrong (`replay`).
    (
        "chain_blocks",
        &[
            "chain_id",
            "number",
            "hash",
            "parent_hash",
            "sequence",
            "head",
        ],
    ),
];

/// What is written into an event of each kind, of either registry. It is found whatever the kind, because each event's head commits to
/// what it says and to all before it. Where it is, the head does not say: of an anchor of ours that is held against its row, and of all
/// others against the chain.
const OF_ANY_EVENT: [&str; 10] = [
    "UPDATE chain_events SET chain_id = 1",
    "UPDATE chain_events SET registry = '0x' || lpad(id::text, 40, '0')",
    "UPDATE chain_events SET kind = 'RECORD_EXTRACTED'",
    "UPDATE chain_events SET subject_hash = lpad(id::text, 64, '9')",
    "UPDATE chain_events SET actor = '0x' || repeat('4', 40)",
    "UPDATE chain_events SET sequence = sequence + 1000",
    "UPDATE chain_events SET head = '0x' || repeat('7', 50)",
    "UPDATE chain_events SET payload = '{}'",
    "UPDATE chain_events SET undone_at = CURRENT_TIMESTAMP",
    "DELETE FROM chain_events",
];

/// What is written into where an event is that is held against the chain: a column, and another value.
const OF_ANY_PLACE: [(&str, &str); 4] = [
    ("block_number", "block_number + 1"),
    ("block_hash", "'0x' || lpad(id::text, 64, '6')"),
    ("tx_hash", "'0x' || lpad(id::text, 64, '5')"),
    ("log_index", "log_index + 1000"),
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

/// Keeps a table as it is, each of whose columns is decided here.
async fn keep(world: &World, table: &ComparedTable) {
    let name = table.name;
    let edited = table.edits.iter().map(|(column, ..)| *column);
    let decided = edited.chain(table.not_tried.iter().map(|(column, _)| *column));
    let decided: BTreeSet<String> = decided.map(str::to_owned).collect();
    assert_eq!(decided, world.columns(name).await, "{name}");
    let save = format!("CREATE TABLE saved_{name} AS SELECT * FROM {name}");
    world.executes(&save).await;
}

/// Puts tables back that were kept.
async fn put_back(world: &World, tables: &[&str]) {
    let back = tables
        .iter()
        .map(|name| format!("DELETE FROM {name}; INSERT INTO {name} SELECT * FROM saved_{name};"));
    world.attacks(&back.collect::<String>()).await;
    is_well(world).await;
}

async fn is_well(world: &World) {
    let open = "SELECT kind FROM integrity_findings WHERE resolved_at IS NULL";
    eventually("nothing is open any more", async || {
        world.sql(open).await.is_empty().then_some(())
    })
    .await;
}

/// Changes something, and waits until it is found: what the next tick puts right is told, too.
async fn is_found(world: &World, change: &str, kind: &str) {
    let all = "SELECT id, kind FROM integrity_findings";
    let before = world.sql(all).await;
    world.attacks(change).await;
    eventually(&format!("{kind} is found after {change}"), async || {
        let found = world.sql(all).await;
        let is_it = |row: &&Value| row["kind"] == kind && !before.contains(row);
        found.iter().find(is_it).map(|_| ())
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
    let third = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&third), "CONFIRMED").await;
    ana.retracts(&third, json!({})).await.data();
    eventually("its end is on the chain", async || {
        let closed = "SELECT 1 AS one FROM record_closings WHERE state = 'CONFIRMED'";
        (world.sql(closed).await.len() == 1).then_some(())
    })
    .await;
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
    let of = |text_of: &str| {
        text_of
            .replace("{record}", &record)
            .replace("{event}", &event)
            .replace("{transaction}", &text(&anchor["tx_hash"]))
    };
    for table in &OF_RECORDS {
        keep(&world, table).await;
    }
    let names = OF_RECORDS.map(|table| table.name);

    for table in &OF_RECORDS {
        let (name, row) = (table.name, of(table.row));
        for (column, value, kind) in table.edits {
            let change = format!("UPDATE {name} SET {column} = {value} WHERE {row}");
            is_found(&world, &change, kind).await;
            put_back(&world, &names).await;
        }
    }
    for (change, kind) in ROWS {
        is_found(&world, &of(change), kind).await;
        put_back(&world, &names).await;
    }
}

/// Events of several kinds of both registries, and the receipt of a consent, in blocks.
async fn follows_two_registries(world: &World) {
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let records = async |count: usize| {
        for _ in 0..count {
            let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
            world.wait_for_anchor(&id(&record.await), "CONFIRMED").await;
        }
    };
    records(1).await;
    let registrar = world.foundation.deployment.registrar.replace("0x", "");
    let limits = format!("0x6c1336de{registrar:0>64}{:064x}", 9);
    world.calls_registry(ADMINISTRATOR, limits).await;
    records(1).await;
    for paused in [true, false] {
        world
            .calls_registry(ADMINISTRATOR, set_paused(paused))
            .await;
    }
    records(2).await;
    let account = world.account(0).await;
    linked(world, &ana, &account).await;
    let consent = consent(&ana, &bo).await;
    signed(world, &ana, &account, &consent, "GRANT").await;
    eventually("the receipt is in a block", async || {
        let receipt = "SELECT 1 AS one FROM consent_receipts WHERE chain_state = 'CONFIRMED'";
        (world.sql(receipt).await.len() == 1).then_some(())
    })
    .await;
    is_well(world).await;
}

#[tokio::test]
async fn what_is_written_into_an_event_of_any_kind_and_into_a_receipt_is_found() {
    let mut world = World::with(sweeps).await;
    world
        .deploys_consents(&[("MEDITRUSTAL_RELAY_CONSENTS", "true")])
        .await;
    follows_two_registries(&world).await;
    for (name, columns) in ELSEWHERE {
        let decided: BTreeSet<String> = columns.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(decided, world.columns(name).await, "{name}");
    }
    keep(&world, &RECEIPTS).await;
    world
        .executes("CREATE TABLE saved_chain_events AS SELECT * FROM chain_events")
        .await;
    // None is behind another one of these: of several that are missing together the first is told.
    let of_each_kind = format!(
        "SELECT DISTINCT ON (registry, kind) id, registry, kind, sequence
         FROM chain_events
         WHERE undone_at IS NULL AND registry IN ('{}', '{}')
         ORDER BY registry, kind, CASE WHEN kind = 'ROLE_CHANGED' THEN sequence ELSE -sequence END",
        world.foundation.deployment.registry,
        world.consent_registry()
    );
    let events = world.sql(&of_each_kind).await;
    let kinds: BTreeSet<String> = events.iter().map(|it| text(&it["kind"])).collect();
    let wanted = [
        "CONSENT_CHANGED",
        "ENDING_LIMIT_SET",
        "PAUSED_SET",
        "RECORD_ANCHORED",
        "ROLE_CHANGED",
    ];
    assert_eq!(kinds, BTreeSet::from(wanted.map(str::to_owned)));
    assert_eq!(events.len(), 6, "both registries give roles");
    let ids: Vec<String> = events.iter().map(|it| it["id"].to_string()).collect();
    // The number of a finding: of which registry, and which event.
    let number_of = |it: &Value| {
        let of_consents = u8::from(text(&it["registry"]) == world.consent_registry());
        let sequence = it["sequence"].as_i64().expect("a number");
        format!("00000000-0000-000{of_consents}-0000-{sequence:012x}")
    };
    let numbers: BTreeSet<String> = events.iter().map(number_of).collect();

    for change in OF_ANY_EVENT {
        let change = format!("{change} WHERE id IN ({})", ids.join(", "));
        world.attacks(&change).await;
        eventually(&format!("all are found after {change}"), async || {
            let found = world
                .sql(
                    "SELECT row_id FROM integrity_findings
                     WHERE kind = 'ROW_TAMPERED' AND table_name = 'chain_events' AND resolved_at IS NULL",
                )
                .await;
            let found: BTreeSet<String> = found.iter().map(|it| text(&it["row_id"])).collect();
            numbers.is_subset(&found).then_some(())
        })
        .await;
        put_back(&world, &["chain_events"]).await;
    }
    let is_asked_for = |it: &&Value| it["kind"] != "RECORD_ANCHORED";
    let asked: Vec<&Value> = events.iter().filter(is_asked_for).collect();
    let ids: Vec<String> = asked.iter().map(|it| it["id"].to_string()).collect();
    let chain = world.foundation.deployment.chain_id;
    let wanted = asked.iter().map(|it| {
        let registry = text(&it["registry"]);
        (number_of(it), registry, chain.to_string())
    });
    let wanted: BTreeSet<(String, String, String)> = wanted.collect();
    for (column, value) in OF_ANY_PLACE {
        let ids = ids.join(", ");
        let change = format!("UPDATE chain_events SET {column} = {value} WHERE id IN ({ids})");
        world.attacks(&change).await;
        eventually(&format!("all are found after {change}"), async || {
            let found = format!(
                "SELECT row_id, details ->> 'registry' AS registry, details ->> 'chainId' AS chain
                 FROM integrity_findings
                 WHERE kind = 'ROW_TAMPERED'
                   AND table_name = 'chain_events'
                   AND resolved_at IS NULL
                   AND details ->> 'column' = '{column}'"
            );
            let found = world.sql(&found).await;
            let found = found.iter().map(|it| {
                (
                    text(&it["row_id"]),
                    text(&it["registry"]),
                    text(&it["chain"]),
                )
            });
            let found: BTreeSet<(String, String, String)> = found.collect();
            (found == wanted).then_some(())
        })
        .await;
        put_back(&world, &["chain_events"]).await;
    }
    for (column, value, kind) in RECEIPTS.edits {
        let (name, row) = (RECEIPTS.name, RECEIPTS.row);
        let change = format!("UPDATE {name} SET {column} = {value} WHERE {row}");
        is_found(&world, &change, kind).await;
        put_back(&world, &[name]).await;
    }
}

#[tokio::test]
async fn where_the_indexer_stands_is_held_against_the_last_event() {
    let world = World::with(sweeps).await;
    let ana = world.patient("ana").await;
    let creates = async || {
        let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
        world.wait_for_anchor(&id(&record.await), "CONFIRMED").await;
    };
    creates().await;

    // Whoever leads writes the row every two seconds, as it was.
    eventually("it is found", async || {
        world
            .attacks("UPDATE chain_cursors SET head = '0x' || repeat('2', 50)")
            .await;
        let found = world
            .sql("SELECT 1 AS one FROM integrity_findings WHERE kind = 'ROW_TAMPERED'")
            .await;
        (found.len() == 1).then_some(())
    })
    .await;

    is_well(&world).await;
    creates().await;
}
