//! The sweep over records and consents goes on where it stood when its indexer ended.

use dev::stack::Options;
use serde_json::json;
use tests::{Person, World, documents, eventually, id};

/// An indexer compares one batch as it begins to lead, and no other while a test lasts: the smallest there is, 100 of each.
fn once(options: &mut Options) {
    let rarely = ("MEDITRUSTAL_SWEEP_MS".to_owned(), "3600000".to_owned());
    let slowly = ("MEDITRUSTAL_SWEEP_ROUND".to_owned(), "2592000".to_owned());
    options.indexer.extend([rarely, slowly]);
}

async fn creates(person: &Person) -> String {
    let record = person.creates(person, "VITAL_SIGNS", documents::vital_signs());
    id(&record.await)
}

/// Waits until this is kept of where the sweep stands.
async fn is_kept(world: &World, column: &str, value: &str) {
    // A world that has two registries keeps a row of each.
    let query =
        format!("SELECT {column} AS kept FROM indexer_sweeps ORDER BY updated_at DESC LIMIT 1");
    eventually(&format!("{column} is {value}"), async || {
        let rows = world.sql(&query).await;
        (rows.first()?["kept"] == value).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_record_that_was_written_while_no_indexer_ran_is_new_to_the_next_one() {
    let mut world = World::with(once).await;
    let ana = world.patient("ana").await;
    let known = creates(&ana).await;
    world.indexer.restart().await;
    is_kept(&world, "newest_record", &known).await;
    world.indexer.stop().await;
    let record = creates(&ana).await;

    // The round itself stands behind every record.
    world
        .attacks(&format!(
            "UPDATE indexer_sweeps SET after_record = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
             UPDATE medical_records SET version = 2 WHERE id IN ('{known}', '{record}')"
        ))
        .await;
    world.indexer.restart().await;

    is_kept(&world, "newest_record", &record).await;
    let found = world
        .sql("SELECT record_id, details ->> 'column' AS wrong FROM integrity_findings")
        .await;
    assert_eq!(found, [json!({ "record_id": record, "wrong": "version" })]);
}

#[tokio::test]
async fn consents_are_compared_from_where_the_indexer_before_ended() {
    let mut world = World::with(once).await;
    world.deploys_consents(&[]).await;
    let ana = world.patient("ana").await;
    world.indexer.stop().await;
    // Each says what the chain does not.
    world
        .attacks(&format!(
            "INSERT INTO consent_receipts (
                 id, consent_id, user_id, kind, text, details_hash, registry_end, made_at, chain_state, block_number
             )
             SELECT lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(), '{}', 'GRANT', '{{}}', lpad(to_hex(n), 64, '0'),
                 0, CURRENT_TIMESTAMP, 'FINALIZED', 1
             FROM generate_series(1, 150) AS n",
            ana.id
        ))
        .await;
    let found = "SELECT record_hash FROM integrity_findings WHERE kind = 'CONSENT_MISMATCH'";

    world.indexer.restart().await;
    is_kept(
        &world,
        "after_receipt",
        "00000000-0000-0000-0000-000000000064",
    )
    .await;
    assert_eq!(world.sql(found).await.len(), 100);

    world.indexer.restart().await;
    is_kept(
        &world,
        "after_receipt",
        "00000000-0000-0000-0000-000000000000",
    )
    .await;
    assert_eq!(world.sql(found).await.len(), 150);
}
