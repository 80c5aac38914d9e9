//! An emergency: opened without a consent, told to the patient, closed and reviewed.

use dev::Result;
use serde_json::{Value, json};

use super::{Care, READ, Stage, Steps, Stored, expect, show, text};

const BREAK: &str = "mutation Break($input: BreakGlassInput!) {
  breakGlass(input: $input) { window { id purpose reason expiresAt isOpen } }
}";
const READ_IN_EMERGENCY: &str = "query Read($id: UUID!) {
  medicalRecord(id: $id, purpose: BTG) { document }
}";
const NOTIFICATIONS: &str = "{ notifications(first: 1) { nodes { kind sentence windowId } } }";
const END: &str = "mutation End($input: EndBreakGlassInput!) {
  endBreakGlass(input: $input) { window { isOpen } }
}";
const REVIEW: &str = "mutation Review($input: ReviewBreakGlassInput!) {
  reviewBreakGlass(input: $input) { review { recordsDisclosed window { reviewStatus decision } } }
}";

/// Bo needs the record without Ana's consent.
pub(super) async fn emergency(
    stage: &Stage,
    care: &Care,
    record: &Stored,
    steps: &mut Steps,
) -> Result<()> {
    let about = json!({ "id": record.id });
    steps.step("An emergency: Bo opens a window of emergency access and reads it");
    let input = json!({
        "patientId": care.ana.id, "reason": "found unconscious, allergies unknown",
    });
    let window = care
        .bo
        .client
        .ask(BREAK, &json!({ "input": input }))
        .await?;
    let window = window["breakGlass"]["window"].clone();
    expect(&window["isOpen"], &json!(true), "the window is open")?;
    let read = care.bo.client.ask(READ_IN_EMERGENCY, &about).await?;
    let resource = &read["medicalRecord"]["document"]["resourceType"];
    expect(
        resource,
        &json!("DiagnosticReport"),
        "Bo reads it by the window",
    )?;
    let treats = care.bo.client.query(READ, &about).await?;
    expect(
        &json!(treats.code()),
        &json!("NOT_FOUND"),
        "the window opens nothing for another purpose",
    )?;
    let (id, until) = (text(&window["id"])?, show(&window["expiresAt"]));
    steps.done(format_args!(
        "window {id} for {} until {until}\na {}, decrypted; NOT_FOUND for treatment",
        show(&window["purpose"]),
        show(resource)
    ));

    steps.step("Ana was told at once");
    let told = care.ana.client.ask(NOTIFICATIONS, &json!({})).await?;
    let told = &told["notifications"]["nodes"][0];
    expect(&told["kind"], &json!("BREAK_GLASS_OPENED"), "Ana was told")?;
    expect(&told["windowId"], &json!(id), "she was told of this window")?;
    steps.done(format_args!(
        "{}: {}",
        show(&told["kind"]),
        show(&told["sentence"])
    ));

    steps.step("Bo closes the window, and an administrator reviews it");
    let of_window = json!({ "input": { "id": id } });
    let ended = care.bo.client.ask(END, &of_window).await?;
    let is_open = &ended["endBreakGlass"]["window"]["isOpen"];
    expect(is_open, &json!(false), "the window is closed")?;
    let over = care.bo.client.query(READ_IN_EMERGENCY, &about).await?;
    expect(
        &json!(over.code()),
        &json!("NOT_FOUND"),
        "Bo reads nothing by it any more",
    )?;
    let decided = json!({ "input": { "id": id, "decision": "JUSTIFIED" } });
    let reviewed = stage.admin.client.ask(REVIEW, &decided).await?;
    let review: &Value = &reviewed["reviewBreakGlass"]["review"];
    expect(
        &review["window"]["reviewStatus"],
        &json!("REVIEWED"),
        "it is reviewed",
    )?;
    steps.done(format_args!(
        "NOT_FOUND for Bo; {}, {} record disclosed",
        show(&review["window"]["decision"]),
        review["recordsDisclosed"]
    ));
    Ok(())
}
