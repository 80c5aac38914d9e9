//! A request to erase is verified by a signature of the wallet that is linked to its subject's account.

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, id, text};

use crate::consent_receipts::linked;

const ASK: &str = "mutation($input: RequestDataDeletionInput!) {
  requestDataDeletion(input: $input) { request { id verificationMethod } }
}";
const CHALLENGE: &str = "mutation($input: DeletionChallengeInput!) {
  deletionChallenge(input: $input) { typedData wallet expiresAt }
}";
const VERIFY: &str = "mutation($input: VerifyDeletionRequestInput!) {
  verifyDeletionRequest(input: $input) { request { id status verificationMethod } }
}";

/// A request of somebody's own that waits to be verified.
async fn asks(ana: &Person, category: &str) -> String {
    let input = json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": [category] });
    let answer = ana.asks(ASK, json!({ "input": input })).await;
    let request = &answer.data()["requestDataDeletion"]["request"];
    assert_eq!(request["verificationMethod"], Value::Null);
    id(request)
}

async fn is_challenged(person: &Person, request: &str) -> Answer {
    let input = json!({ "input": { "id": request } });
    person.asks(CHALLENGE, input).await
}

/// What is to be signed.
async fn typed_data(person: &Person, request: &str) -> Value {
    let answer = is_challenged(person, request).await;
    answer.data()["deletionChallenge"]["typedData"].clone()
}

async fn verifies(person: &Person, request: &str, signature: &str) -> Answer {
    let input = json!({ "id": request, "signature": signature });
    person.asks(VERIFY, json!({ "input": input })).await
}

async fn status(world: &World, request: &str) -> String {
    let query = format!("SELECT status FROM data_deletion_requests WHERE id = '{request}'");
    text(&world.sql(&query).await[0]["status"])
}

#[tokio::test]
async fn the_linked_wallet_verifies_a_request_and_the_trail_says_that_it_did() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let account = world.account(0).await;
    linked(&world, &ana, &account).await;
    let input = json!({ "requestType": "RECORD_ERASURE", "recordIds": [id(&record)] });
    let asked = ana.asks(ASK, json!({ "input": input })).await;
    let request = id(&asked.data()["requestDataDeletion"]["request"]);

    let to_sign = is_challenged(&ana, &request).await;
    let to_sign = to_sign.data()["deletionChallenge"].clone();
    let signature = world
        .signs_typed_data(&account, &to_sign["typedData"])
        .await;
    let verified = verifies(&ana, &request, &signature).await;

    assert_eq!(to_sign["wallet"], account);
    let typed = &to_sign["typedData"];
    assert_eq!(typed["primaryType"], "DeletionVerification");
    assert!(typed["domain"]["verifyingContract"].is_string());
    let message = &typed["message"];
    assert_eq!(message["request"], request.as_str());
    assert_eq!(message["subject"], ana.id.as_str());
    assert_eq!(message["requestType"], "RECORD_ERASURE");
    assert_eq!(message["records"], "1");
    let scope = format!(r#"{{"dataCategories":[],"recordIds":["{}"]}}"#, id(&record));
    let scope = format!("0x{}", vault::digest::hex_of(scope.as_bytes()));
    assert_eq!(message["scope"], scope);
    assert_eq!(
        verified.data()["verifyDeletionRequest"]["request"],
        json!({ "id": request, "status": "UNDER_REVIEW", "verificationMethod": "WALLET" })
    );
    let rows = world
        .audit_rows(&format!(
            "resource_id = '{request}' AND action_type = 'DELETION_VERIFY'"
        ))
        .await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["new_value"]["method"], "WALLET");
    assert_eq!(rows[0]["new_value"]["provenBy"], "KEY");
    let stored = "SELECT verification_method, verification_details FROM data_deletion_requests";
    assert_eq!(
        world.sql(stored).await,
        [json!({ "verification_method": "WALLET", "verification_details": null })]
    );
    verifies(&ana, &request, &signature)
        .await
        .fails_with("CONFLICT");
}

#[tokio::test]
async fn a_contract_wallet_verifies_a_request_by_its_own_word() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (owner, other) = (world.account(0).await, world.account(1).await);
    let contract = world.contract_wallet(&owner).await;
    let message = ana.challenge("LINK", &contract).await;
    let linking = format!("0x77{}", &world.signs(&owner, &message).await[2..]);
    ana.links(&message, &linking).await.data();
    let request = asks(&ana, "IMAGING").await;

    let to_sign = typed_data(&ana, &request).await;
    let of_other = world.signs_typed_data(&other, &to_sign).await;
    let refused = verifies(&ana, &request, &format!("0x77{}", &of_other[2..])).await;
    let of_owner = world.signs_typed_data(&owner, &to_sign).await;
    let verified = verifies(&ana, &request, &format!("0x77{}", &of_owner[2..])).await;

    refused.fails_with("BAD_USER_INPUT");
    verified.data();
    let rows = world.audit_rows("action_type = 'DELETION_VERIFY'").await;
    assert_eq!(rows[0]["new_value"]["provenBy"], "CONTRACT");
}

#[tokio::test]
async fn a_signature_of_another_request_or_wallet_or_of_what_is_over_verifies_nothing() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (hers, other) = (world.account(0).await, world.account(1).await);
    // A node that was copied has the states of later blocks alone.
    world.mine(3).await;
    let (first, second) = (asks(&ana, "IMAGING").await, asks(&ana, "DIAGNOSIS").await);

    let without_wallet = is_challenged(&ana, &first).await;
    assert_eq!(
        without_wallet.fails_with("CONFLICT").extensions["field"],
        "id"
    );
    linked(&world, &ana, &hers).await;
    let nothing_waits = verifies(&ana, &first, "0x12").await;
    assert_eq!(
        nothing_waits.fails_with("CONFLICT").extensions["field"],
        "id"
    );
    is_challenged(&budi, &first).await.fails_with("NOT_FOUND");

    let before = typed_data(&ana, &first).await;
    let of_before = world.signs_typed_data(&hers, &before).await;
    let now = typed_data(&ana, &first).await;
    assert_ne!(before["message"]["nonce"], now["message"]["nonce"]);
    let good = world.signs_typed_data(&hers, &now).await;
    let of_second = typed_data(&ana, &second).await;
    let of_second = world.signs_typed_data(&hers, &of_second).await;
    let by_other = world.signs_typed_data(&other, &now).await;
    verifies(&budi, &first, &good).await.fails_with("NOT_FOUND");
    for wrong in [&of_before, &of_second, &by_other] {
        let told = verifies(&ana, &first, wrong).await;
        assert_eq!(
            told.fails_with("BAD_USER_INPUT").extensions["field"],
            "signature"
        );
    }
    let both = json!({ "id": first, "signature": good, "currentPassword": ana.password });
    for input in [both, json!({ "id": first })] {
        let told = ana.asks(VERIFY, json!({ "input": input })).await;
        told.fails_with("BAD_USER_INPUT");
    }

    let over = format!(
        "UPDATE data_deletion_requests
         SET verification_details = jsonb_set(verification_details, '{{expiresAt}}', '\"2026-01-01T00:00:00Z\"')
         WHERE id = '{first}'"
    );
    world.executes(&over).await;
    verifies(&ana, &first, &good).await.fails_with("CONFLICT");
    let now = typed_data(&ana, &first).await;
    let good = world.signs_typed_data(&hers, &now).await;
    ana.unlinks().await.data();
    verifies(&ana, &first, &good).await.fails_with("CONFLICT");
    linked(&world, &ana, &other).await;
    verifies(&ana, &first, &good)
        .await
        .fails_with("BAD_USER_INPUT");
    assert_eq!(status(&world, &first).await, "pending");
    let tries =
        format!("SELECT verification_tries FROM data_deletion_requests WHERE id = '{first}'");
    assert_eq!(
        world.sql(&tries).await[0]["verification_tries"],
        4,
        "only wrong signatures count"
    );

    let now = typed_data(&ana, &first).await;
    let good = world.signs_typed_data(&other, &now).await;
    verifies(&ana, &first, &good).await.data();
    assert_eq!(status(&world, &first).await, "under_review");
}

#[tokio::test]
async fn five_wrong_signatures_end_a_request() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (hers, other) = (world.account(0).await, world.account(1).await);
    world.mine(3).await;
    linked(&world, &ana, &hers).await;
    let request = asks(&ana, "IMAGING").await;
    let to_sign = typed_data(&ana, &request).await;
    let good = world.signs_typed_data(&hers, &to_sign).await;
    let wrong = world.signs_typed_data(&other, &to_sign).await;
    for _ in 0..4 {
        verifies(&ana, &request, &wrong)
            .await
            .fails_with("BAD_USER_INPUT");
    }
    assert_eq!(status(&world, &request).await, "pending");

    verifies(&ana, &request, &wrong)
        .await
        .fails_with("BAD_USER_INPUT");

    assert_eq!(status(&world, &request).await, "expired");
    verifies(&ana, &request, &good).await.fails_with("CONFLICT");
    let rows = world
        .audit_rows(&format!(
            "resource_id = '{request}' AND new_value ->> 'reason' IN ('SIGNATURE', 'TRIES')"
        ))
        .await;
    let actions: Vec<&Value> = rows.iter().map(|row| &row["action_type"]).collect();
    assert_eq!(
        actions,
        [
            "ACCESS_DENIED",
            "ACCESS_DENIED",
            "ACCESS_DENIED",
            "ACCESS_DENIED",
            "ACCESS_DENIED",
            "DELETION_EXPIRE"
        ]
    );
}
