//! Requests that share a transaction: whoever cannot be served does not take the others with them.

use futures::future::{join, join_all};
use serde_json::json;
use tests::{Person, World, documents, id};

/// How many requests of other patients wait beside those of the one who is held.
const OTHERS: usize = 20;
/// How many requests of the one who is held: served one after another with the usual wait for a lock, they
/// would keep the others waiting beyond the ten seconds that a request has.
const HELD: usize = 4;

const LIST: &str = "query($id: UUID!) { medicalRecords(patientId: $id) { nodes { id } } }";

#[tokio::test]
async fn a_patient_whose_rows_are_held_keeps_nobody_else_waiting() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let others = [world.patient("budi").await, world.patient("citra").await];
    let record_of = async |person: &Person| {
        let stored = person.creates(person, "VITAL_SIGNS", documents::vital_signs());
        id(&stored.await)
    };
    let hers = record_of(&ana).await;
    let theirs = [record_of(&others[0]).await, record_of(&others[1]).await];

    let holder = world.holds(&ana).await;

    for kind in ["read", "list", "create"] {
        let ask = async |person: &Person, record: &str| match kind {
            "read" => person.reads(record).await,
            "list" => person.asks(LIST, json!({ "id": person.id })).await,
            _ => {
                let document = documents::vital_signs();
                person
                    .stores(person, "VITAL_SIGNS", document, json!({}))
                    .await
            }
        };
        let of_her = join_all((0..HELD).map(|_| ask(&ana, &hers)));
        let of_others = join_all((0..OTHERS).map(|nth| ask(&others[nth % 2], &theirs[nth % 2])));

        let (of_her, of_others) = join(of_her, of_others).await;

        for answer in of_others {
            answer.data();
        }
        for answer in of_her {
            answer.fails_with("BUSY");
        }
    }
    drop(holder);
    tests::patiently(|| ana.reads(&hers)).await.data();
}
