//! What happens while an erasure is carried out: holds that are placed, records that are stored, consents that were forged.

use serde_json::json;
use tests::{World, documents, eventually, id};

use crate::deletions::{holds, releases};
use crate::erasures::{account, approves, at_once, is_completed, status, steps, verified};

/// From now on this step of an erasure cannot be noted, and whatever it does is undone.
async fn stops_before(world: &World, step: &str) {
    world.is_broken_on_purpose();
    world
        .executes(&format!(
            "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 RAISE EXCEPTION 'not now';
             END
             $$;
             CREATE TRIGGER not_now BEFORE INSERT ON deletion_steps FOR EACH ROW
                 WHEN (NEW.step = '{step}') EXECUTE FUNCTION not_now()"
        ))
        .await;
}

async fn goes_on(world: &World) {
    world.executes("DROP FUNCTION not_now() CASCADE").await;
}

/// Waits until these are the steps that are done.
async fn has_done(world: &World, request: &str, wanted: &[&str]) {
    eventually("the steps before are done", async || {
        (steps(world, request).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hold_placed_while_an_erasure_runs_stops_it_until_it_is_released() {
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (ana, bea) = (world.patient("ana").await, world.patient("bea").await);
    for person in [&ana, &bea] {
        person
            .creates(person, "VITAL_SIGNS", documents::vital_signs())
            .await;
    }
    let request = verified(&ana, account()).await;
    let vital_signs =
        json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["VITAL_SIGNS"] });
    let other = verified(&bea, vital_signs).await;
    stops_before(&world, "KEYS").await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;
    let before = ["BEGIN", "SESSIONS", "CONSENTS", "RECORDS"];
    has_done(&world, &request, &before).await;

    let held = holds(&ada, &ana, json!({})).await;
    let hold = id(&held.data()["placeHold"]["hold"]);
    goes_on(&world).await;

    assert_eq!(status(&world, &request).await, "on_hold");
    // The job has looked: it carries out what somebody else asked for.
    approves(&ada, &other).await;
    is_completed(&world, &other).await;
    assert_eq!(steps(&world, &request).await, before);
    assert_eq!(status(&world, &request).await, "on_hold");
    // One of those who approved may have left meanwhile: what has begun ends.
    releases(&ada, &hold).await.data();
    releases(&adi, &hold).await.data();
    is_completed(&world, &request).await;
    // Now there is nothing left to hold.
    let late = holds(&ada, &ana, json!({})).await;
    let field = &late.fails_with("CONFLICT").extensions["field"];
    assert_eq!(field, "patientId");
}

#[tokio::test]
async fn what_is_stored_while_a_category_is_erased_stays() {
    let world = at_once(&[]).await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let stores = async || {
        let record = ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        id(&record)
    };
    let old = stores().await;
    let vital_signs =
        json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["VITAL_SIGNS"] });
    let request = verified(&ana, vital_signs).await;
    stops_before(&world, "RECORDS").await;
    approves(&ada, &request).await;
    has_done(&world, &request, &["BEGIN"]).await;

    let new = stores().await;
    // As long as it is carried out, what is stored is its patient's alone.
    dr_bo.reads(&new).await.fails_with("NOT_FOUND");
    goes_on(&world).await;
    is_completed(&world, &request).await;

    ana.reads(&old).await.fails_with("NOT_FOUND");
    ana.reads(&new).await.data();
    dr_bo.reads(&new).await.data();
    // Its patient is told what became of the old one, and nobody else.
    let told = eventually("it is closed on the chain", async || {
        let answer = ana.verifies(&old).await;
        let told = answer.data()["verifyRecord"].clone();
        let is_closed = world
            .sql(&format!(
                "SELECT 1 FROM record_closings WHERE record_id = '{old}' AND state = 'CONFIRMED'"
            ))
            .await;
        (!is_closed.is_empty()).then_some(told)
    })
    .await;
    assert_eq!(told["verdict"], "ERASED");
    let query = "query($id: UUID!) { verifyRecord(id: $id) {
        verdict contentMatches computedHash chainStatus chainReason chainReasonCode record { id } } }";
    let told = ana.asks(query, json!({ "id": old })).await;
    assert_eq!(
        told.data()["verifyRecord"],
        json!({
            "verdict": "ERASED", "contentMatches": false, "computedHash": null, "chainStatus": "ERASED",
            "chainReason": "PATIENT_ASKED", "chainReasonCode": 2, "record": { "id": old },
        })
    );
    dr_bo.verifies(&old).await.fails_with("NOT_FOUND");
    ada.verifies(&old).await.fails_with("NOT_FOUND");
}

#[tokio::test]
async fn nothing_is_stored_for_an_account_that_is_being_erased() {
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let dr_cy = world.doctor("cy").await;
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    let request = verified(&ana, account()).await;
    stops_before(&world, "CONSENTS").await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;
    has_done(&world, &request, &["BEGIN", "SESSIONS"]).await;

    let stored = dr_bo
        .stores(&ana, "VITAL_SIGNS", documents::vital_signs(), json!({}))
        .await;

    let field = &stored.fails_with("CONFLICT").extensions["field"];
    assert_eq!(field, "patientId");
    let denied = world
        .audit_rows("new_value ->> 'reason' = 'BEING_ERASED'")
        .await;
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0]["patient_id"], ana.id.as_str());
    // Whoever may not store anything learns nothing of it.
    let stored = dr_cy
        .stores(&ana, "VITAL_SIGNS", documents::vital_signs(), json!({}))
        .await;
    stored.fails_with("NOT_FOUND");
    goes_on(&world).await;
    is_completed(&world, &request).await;
}

#[tokio::test]
async fn a_consent_that_is_not_as_it_was_sealed_holds_up_no_erasure() {
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let consent = ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let request = verified(&ana, account()).await;
    world
        .attacks(&format!(
            "UPDATE data_processing_consents SET seal = NULL, seal_key = NULL WHERE id = '{consent}'"
        ))
        .await;

    approves(&ada, &request).await;
    approves(&adi, &request).await;

    is_completed(&world, &request).await;
    let in_force = format!(
        "SELECT 1 FROM data_processing_consents WHERE id = '{consent}' AND consent_withdrawn_at IS NULL"
    );
    assert!(world.sql(&in_force).await.is_empty());
    let found = format!(
        "SELECT 1 FROM integrity_findings
         WHERE kind = 'ROW_TAMPERED' AND row_id = '{consent}' AND resolved_at IS NULL"
    );
    eventually("it is found", async || {
        world.sql(&found).await.first().map(|_| ())
    })
    .await;
    let withdrawn = format!("resource_id = '{consent}' AND action_type = 'CONSENT_WITHDRAW'");
    assert_eq!(world.audit_rows(&withdrawn).await.len(), 1);
}

#[tokio::test]
async fn every_later_version_of_a_record_is_a_version_of_it() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut versions = vec![
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await,
    ];
    for _ in 0..3 {
        let last = versions.last().expect("there is one");
        let amended = ana.amends(last, documents::vital_signs(), json!({})).await;
        versions.push(amended.data()["amendMedicalRecord"]["record"].clone());
    }

    let ids: Vec<_> = versions.iter().map(id).collect();

    for (later, record) in ids.iter().enumerate() {
        for (earlier, named) in ids.iter().enumerate() {
            let asked = format!("SELECT is_version_of('{record}', ARRAY['{named}'::uuid]) AS is");
            let is = world.sql(&asked).await[0]["is"].clone();
            assert_eq!(is, earlier <= later, "{later} after {earlier}");
        }
    }
}
