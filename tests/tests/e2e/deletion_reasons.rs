//! Why administrators decided about a request to erase, and why they placed a hold, stands nowhere in clear.

use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id};

use crate::erasures::{account, approves, at_once, is_completed, places_of, verified};
use crate::rotation::keys;

/// What is written in no other place.
const DECIDED: &str = "zarquonreason, as counsel advised";
const HELD: &str = "zarquonhold, as a court asked for";
const MARKER: &str = "zarquon";

fn vital_signs() -> Value {
    json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["VITAL_SIGNS"] })
}

/// Decides about a request; answers the reason as it is told then.
async fn rejects(admin: &Person, request: &str, reason: &str) -> Value {
    let reject = "mutation($input: ReviewDeletionInput!) {
      reviewDeletion(input: $input) { request { reason } }
    }";
    let input = json!({ "id": request, "decision": "REJECT", "reason": reason });
    let answer = admin.asks(reject, json!({ "input": input })).await;
    answer.data()["reviewDeletion"]["request"]["reason"].clone()
}

/// Places a hold on all that somebody has; answers the hold.
async fn holds(admin: &Person, patient: &Person, reason: &str) -> Value {
    let place = "mutation($input: PlaceHoldInput!) {
      placeHold(input: $input) { hold { id reason } }
    }";
    let input = json!({ "patientId": patient.id, "reason": reason });
    let answer = admin.asks(place, json!({ "input": input })).await;
    answer.data()["placeHold"]["hold"].clone()
}

async fn reason_of_request(person: &Person) -> Value {
    let list = "{ dataDeletionRequests { nodes { reason } } }";
    let answer = person.asks(list, json!({})).await;
    answer.data()["dataDeletionRequests"]["nodes"][0]["reason"].clone()
}

async fn reason_of_hold(admin: &Person) -> Value {
    let list = "{ legalHolds { nodes { reason } } }";
    let answer = admin.asks(list, json!({})).await;
    answer.data()["legalHolds"]["nodes"][0]["reason"].clone()
}

#[tokio::test]
async fn reasons_stand_nowhere_in_clear_and_are_read_as_before() {
    let world = World::start().await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let request = verified(&ana, vital_signs()).await;

    assert_eq!(rejects(&ada, &request, DECIDED).await, DECIDED);
    assert_eq!(holds(&ada, &ana, HELD).await["reason"], HELD);

    assert_eq!(places_of(&world, MARKER).await, Vec::<String>::new());
    let sealed = world
        .sql(
            "SELECT (SELECT count(*) FROM data_deletion_requests WHERE sealed_reason IS NOT NULL)
                  + (SELECT count(*) FROM legal_holds WHERE sealed_reason IS NOT NULL) AS n",
        )
        .await;
    assert_eq!(sealed[0]["n"], 2);
    for person in [&ana, &ada] {
        assert_eq!(reason_of_request(person).await, DECIDED);
    }
    assert_eq!(reason_of_hold(&ada).await, HELD);
    let bearer = ana.bearer();
    let headers = [("authorization", bearer.as_str())];
    let archive = world.api.takes("GET", "/my-data", &headers, "").await;
    assert!(archive.body.contains(DECIDED), "{}", archive.status);
    assert!(!archive.body.contains(HELD), "that is for administrators");

    // After a rotation of the master keys they open as before.
    keys(&world, &["add", "--id", "new"], false)
        .await
        .expect("a new key in front");
    let rotated = keys(&world, &["rotate"], true).await.expect("a rotation");
    assert!(rotated.contains("1 patient key(s)"), "{rotated}");
    assert_eq!(reason_of_request(&ana).await, DECIDED);
    assert_eq!(reason_of_hold(&ada).await, HELD);
}

#[tokio::test]
async fn what_stood_in_clear_from_before_is_sealed_by_the_running_api() {
    let world = at_once(&[]).await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let request = verified(&ana, vital_signs()).await;
    rejects(&ada, &request, "another one at first").await;
    holds(&ada, &ana, "another one at first").await;

    // As a program of before leaves it.
    world
        .executes(&format!(
            "UPDATE data_deletion_requests SET reason = '{DECIDED}', sealed_reason = NULL, reason_key_id = NULL"
        ))
        .await;
    world
        .executes(&format!("UPDATE legal_holds SET reason = '{HELD}'"))
        .await;
    eventually("nothing stands in clear", async || {
        let places = places_of(&world, MARKER).await;
        places.is_empty().then_some(())
    })
    .await;

    assert_eq!(reason_of_request(&ana).await, DECIDED);
    assert_eq!(reason_of_hold(&ada).await, HELD);
}

#[tokio::test]
async fn a_reason_that_was_moved_is_not_shown_and_is_found() {
    let world = at_once(&[]).await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let first = holds(&ada, &ana, "the first of the two").await;
    let second = holds(&ada, &ana, HELD).await;
    let before = "SELECT id, sealed_reason FROM legal_holds";
    world
        .attacks(&format!(
            "CREATE TABLE reasons AS {before};
             UPDATE legal_holds SET sealed_reason = (
                 SELECT sealed_reason FROM reasons WHERE id = '{}'
             ) WHERE id = '{}'",
            id(&first),
            id(&second)
        ))
        .await;

    assert_eq!(reason_of_hold(&ada).await, "");
    let finding = format!(
        "SELECT 1 FROM integrity_findings
         WHERE kind = 'ROW_TAMPERED' AND table_name = 'legal_holds' AND row_id = '{}' AND resolved_at IS NULL",
        id(&second)
    );
    eventually("the deep check finds it", async || {
        world.sql(&finding).await.first().map(|_| ())
    })
    .await;
    world
        .attacks(
            "UPDATE legal_holds SET sealed_reason = reasons.sealed_reason
             FROM reasons WHERE reasons.id = legal_holds.id;
             DROP TABLE reasons",
        )
        .await;
    eventually("the finding is closed", async || {
        world.sql(&finding).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(reason_of_hold(&ada).await, HELD);
}

#[tokio::test]
async fn reasons_go_with_the_account_that_they_are_about() {
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let ana = world.patient("ana").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let rejected = verified(&ana, vital_signs()).await;
    rejects(&ada, &rejected, DECIDED).await;
    let hold = holds(&ada, &ana, HELD).await;
    for admin in [&ada, &adi] {
        let release = "mutation($id: UUID!) { releaseHold(input: { id: $id }) { isReleased } }";
        admin
            .asks(release, json!({ "id": hold["id"] }))
            .await
            .data();
    }

    let request = verified(&ana, account()).await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;
    is_completed(&world, &request).await;

    let left = "SELECT 1 FROM data_deletion_requests
                WHERE num_nonnulls(reason, sealed_reason, reason_key_id, verification_details) > 0
                UNION ALL
                SELECT 1 FROM legal_holds WHERE reason <> '' OR num_nonnulls(sealed_reason, reason_key_id) > 0";
    assert!(world.sql(left).await.is_empty());
    assert_eq!(reason_of_request(&ada).await, Value::Null);
    assert_eq!(reason_of_hold(&ada).await, "");
}
