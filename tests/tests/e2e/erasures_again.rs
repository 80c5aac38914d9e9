//! An erasure that leaves something fails, is certified by nobody, and is done again until nothing is left.

use serde_json::{Value, json};
use tests::{documents, eventually, id, text};

use crate::erasures::{account, approves, at_once, is_completed, status, steps, verified};

#[tokio::test]
async fn an_erasure_that_left_something_fails_and_is_done_again_after_an_hour() {
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let ana = world.patient("ana").await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    // Whenever the account was erased, something of it is put back.
    world.is_broken_on_purpose();
    world
        .executes(
            "CREATE FUNCTION put_back() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 INSERT INTO idempotency_keys (user_id, operation, key, request_hash, resource_id)
                 SELECT user_id, 'put back', NEW.request_id::text, repeat('0', 64), id
                 FROM data_deletion_requests WHERE id = NEW.request_id;
                 RETURN NULL;
             END
             $$;
             CREATE TRIGGER put_back AFTER INSERT ON deletion_steps
                 FOR EACH ROW WHEN (NEW.step = 'ACCOUNT') EXECUTE FUNCTION put_back()",
        )
        .await;
    let request = verified(&ana, account()).await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;

    eventually("the erasure has failed", async || {
        (status(&world, &request).await == "failed").then_some(())
    })
    .await;

    let done = [
        "BEGIN", "SESSIONS", "CONSENTS", "RECORDS", "KEYS", "ACCOUNT",
    ];
    assert_eq!(steps(&world, &request).await, done);
    let certificates =
        "SELECT convert_from(document, 'UTF8') AS document FROM deletion_certificates";
    assert!(world.sql(certificates).await.is_empty());
    let failed = format!("resource_id = '{request}' AND new_value ->> 'status' = 'failed'");
    let rows = world.audit_rows(&failed).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["action_type"], "DELETION_EXECUTE");
    assert_eq!(rows[0]["new_value"]["left"], 1);

    world
        .executes("DROP TRIGGER put_back ON deletion_steps")
        .await;
    world
        .attacks(&format!(
            "UPDATE data_deletion_requests SET updated_at = now() - INTERVAL '61 minutes' WHERE id = '{request}'"
        ))
        .await;
    is_completed(&world, &request).await;

    let mut all = done.to_vec();
    all.push("CERTIFICATE");
    assert_eq!(steps(&world, &request).await, all);
    let put_back = format!(
        "SELECT 1 FROM idempotency_keys WHERE user_id = '{}'",
        ana.id
    );
    assert!(world.sql(&put_back).await.is_empty());
    // The certificate names what the first attempt erased, too.
    let found = world.sql(certificates).await;
    assert_eq!(found.len(), 1);
    let document: Value = serde_json::from_str(&text(&found[0]["document"])).expect("it is JSON");
    assert_eq!(document["records"][0]["id"], id(&record).as_str());
    assert_eq!(document["recordCount"], 1);
    assert_ne!(document["destroyedKeys"], json!([]));
    let begun = format!("resource_id = '{request}' AND new_value ->> 'step' = 'BEGIN'");
    assert_eq!(world.audit_rows(&begun).await.len(), 2);
}
