//! An erasure: asked for by the patient, approved, carried out, certified.

use std::time::Duration;

use dev::{Error, Result};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Care, PATIENCE, Stage, Steps, Stored, VERIFY, expect, show, text};

/// How often it is asked whether something has happened.
const EVERY: Duration = Duration::from_millis(200);

const ASK: &str = "mutation Ask($input: RequestDataDeletionInput!) {
  requestDataDeletion(input: $input) { request { id status } }
}";
const PROVE: &str = "mutation Prove($input: VerifyDeletionRequestInput!) {
  verifyDeletionRequest(input: $input) { request { id status } }
}";
const DECIDE: &str = "mutation Decide($input: ReviewDeletionInput!) {
  reviewDeletion(input: $input) { request { status scheduledFor } }
}";
const CERTIFICATE: &str = "query Certificate($id: UUID!) {
  deletionCertificate(id: $id) { document sha256 issuedAt }
}";
const TRAIL: &str = "query Trail($id: UUID!) {
  auditLogs(resourceId: $id, actionType: DELETION_COMPLETE) { nodes { newValue } }
}";
const ON_CHAIN: &str = "query OnChain($id: UUID!) {
  verifyRecord(id: $id) { verdict chainStatus chainReason }
}";

/// Ana has the record erased.
pub(super) async fn erasure(
    stage: &Stage,
    care: &Care,
    record: &Stored,
    steps: &mut Steps,
) -> Result<()> {
    steps.step("Ana asks for the record to be erased, and proves who she is");
    let input = json!({ "requestType": "RECORD_ERASURE", "recordIds": [record.id] });
    let asked = care.ana.client.ask(ASK, &json!({ "input": input })).await?;
    let request = text(&asked["requestDataDeletion"]["request"]["id"])?;
    let input = json!({ "id": request, "currentPassword": care.password });
    let proven = care
        .ana
        .client
        .ask(PROVE, &json!({ "input": input }))
        .await?;
    let status = &proven["verifyDeletionRequest"]["request"]["status"];
    expect(
        status,
        &json!("UNDER_REVIEW"),
        "the request is under review",
    )?;
    steps.done(format_args!("request {request}, {}", show(status)));

    steps.step("An administrator approves it; it is erased, and closed on the chain");
    let input = json!({
        "id": request, "decision": "APPROVE", "reason": "the patient asks for it",
        "overrideRetention": true,
    });
    let approved = stage
        .admin
        .client
        .ask(DECIDE, &json!({ "input": input }))
        .await?;
    let status = show(&approved["reviewDeletion"]["request"]["status"]);
    let certificate = certificate(care, &request).await?;
    let closed = closed(care, &record.id).await?;
    steps.done(format_args!(
        "{status}, then erased: {}, on the chain {} for reason {}",
        show(&closed["verdict"]),
        show(&closed["chainStatus"]),
        show(&closed["chainReason"])
    ));

    steps.step("The certificate names it, and the audit trail holds the certificate's hash");
    let document: Value = serde_json::from_str(&text(&certificate["document"])?)
        .map_err(|error| Error::Needs(format!("the certificate is no JSON: {error}")))?;
    let named = &document["records"][0];
    expect(&named["id"], &json!(record.id), "the record is named")?;
    expect(&named["dataHash"], &json!(record.hash), "its hash is named")?;
    let rows = stage
        .admin
        .client
        .ask(TRAIL, &json!({ "id": request }))
        .await?;
    let noted = &rows["auditLogs"]["nodes"][0]["newValue"]["certificate"];
    expect(noted, &certificate["sha256"], "the trail has the same hash")?;
    let left = care
        .ana
        .client
        .query(VERIFY, &json!({ "id": record.id }))
        .await?;
    let computed = &left.data["verifyRecord"]["computedHash"];
    expect(computed, &Value::Null, "nothing is left to be hashed")?;
    steps.done(format_args!("certificate, SHA-256 {}", show(noted)));
    Ok(())
}

/// The certificate, once the request is carried out.
async fn certificate(care: &Care, request: &str) -> Result<Value> {
    eventually("the request is carried out", async || {
        let answer = care
            .ana
            .client
            .query(CERTIFICATE, &json!({ "id": request }))
            .await?;
        let found = answer.data["deletionCertificate"].clone();
        Ok(Some(found).filter(|found| !found.is_null()))
    })
    .await
}

/// What the chain says of the record, once it was closed there.
async fn closed(care: &Care, record: &str) -> Result<Value> {
    eventually("the record is closed on the chain", async || {
        let told = care
            .ana
            .client
            .ask(ON_CHAIN, &json!({ "id": record }))
            .await?;
        let told = told["verifyRecord"].clone();
        Ok(Some(told).filter(|told| told["chainStatus"] == "ERASED"))
    })
    .await
}

async fn eventually(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<Option<Value>>,
) -> Result<Value> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(found) = ask().await? {
            return Ok(found);
        }
        sleep(EVERY).await;
    }
    Err(Error::Needs(format!("it did not happen that {what}")))
}
