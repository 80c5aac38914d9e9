//! People who act for a patient: by every path, with both names in every row, until they may no longer.

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, eventually, id, text, transfer};

const APPOINT: &str = "mutation Appoint($input: AppointRepresentativeInput!) {
  appointRepresentative(input: $input) { representative {
    id relationship activities validFrom validUntil isByAdministrators reason isInForce
    patient { id } representative { id }
  } }
}";
const END: &str = "mutation End($input: EndRepresentationInput!) {
  endRepresentation(input: $input) { representative { id endedAt isInForce } }
}";
const PROPOSE: &str = "mutation Propose($input: ProposeRepresentativeInput!) {
  proposeRepresentative(input: $input) { proposal { id reason proposedBy { id } patient { id } representative { id } } }
}";
const APPROVE: &str = "mutation Approve($input: RepresentativeProposalInput!) {
  approveRepresentative(input: $input) { representative { id isByAdministrators reason isInForce } }
}";
const REJECT: &str = "mutation Reject($input: RepresentativeProposalInput!) {
  rejectRepresentative(input: $input) { proposal { id } }
}";
const READ: &str = "query Read($id: UUID!, $for: UUID) {
  medicalRecord(id: $id, onBehalfOf: $for) { id document history { nodes { id } } }
}";
const LIST: &str = "query List($for: UUID, $patient: UUID) {
  medicalRecords(onBehalfOf: $for, patientId: $patient) { totalCount nodes { id document } }
}";
const VERIFY: &str = "query Verify($id: UUID!, $for: UUID) {
  verifyRecord(id: $id, onBehalfOf: $for) { contentMatches }
}";
const LOG: &str = "query Log($for: UUID) {
  myAccessLog(onBehalfOf: $for, first: 100) { nodes { action sentence asRepresentative who { id } } }
}";
const CONSENTS: &str =
    "query Consents($for: UUID) { consents(onBehalfOf: $for) { nodes { id isActive } } }";
const HOLDERS: &str = "query Holders($for: UUID) { whoHasAccess(onBehalfOf: $for) { nodes {
  user { id } representedActivities representsUntil accesses { purpose }
} } }";
const GRANT: &str = "mutation Grant($input: GrantConsentInput!, $for: UUID) {
  grantConsent(input: $input, onBehalfOf: $for) { consent { id isActive patient { id } } }
}";
const WITHDRAW: &str = "mutation Withdraw($input: WithdrawConsentInput!, $for: UUID) {
  withdrawConsent(input: $input, onBehalfOf: $for) { consent { id isActive } }
}";
const CREATE: &str = "mutation Create($input: CreateMedicalRecordInput!, $for: UUID) {
  createMedicalRecord(input: $input, onBehalfOf: $for) { record { id version patient { id } author { id } } }
}";

const IMPORT: &str = "mutation Import($input: ImportRecordsInput!, $for: UUID) {
  importRecords(input: $input, onBehalfOf: $for) { created alreadyThere refused results { code } }
}";
const PREVIEW: &str = "query Preview($input: PreviewConsentInput!, $for: UUID) {
  previewConsent(input: $input, onBehalfOf: $for) { consent { id } gaining { user { id } } losing { user { id } } }
}";
const MAKE_CODE: &str = "mutation MakeCode($input: CreateAccessCodeInput!, $for: UUID) {
  createAccessCode(input: $input, onBehalfOf: $for) { code accessCode { id } }
}";
const CODES: &str = "query Codes($for: UUID) { accessCodes(onBehalfOf: $for) { id } }";
const CANCEL_CODE: &str = "mutation CancelCode($input: CancelAccessCodeInput!, $for: UUID) {
  cancelAccessCode(input: $input, onBehalfOf: $for) { accessCode { id } }
}";

pub(crate) const ALL: [&str; 6] = [
    "READ_RECORDS",
    "CREATE_RECORDS",
    "EXPORT_RECORDS",
    "READ_ACCESS_LOG",
    "READ_CONSENTS",
    "CHANGE_CONSENTS",
];
const REASON: &str = "the mother of the child, by its birth certificate";
const UNTIL: &str = "2040-01-01T00:00:00Z";

fn terms(person: &Person, activities: &[&str]) -> Value {
    json!({
        "representativeId": person.id, "relationship": "PARENT", "activities": activities,
        "validUntil": UNTIL,
    })
}

/// Names somebody, or tries to.
async fn appoints(patient: &Person, person: &Person, activities: &[&str]) -> Answer {
    let input = terms(person, activities);
    patient.asks(APPOINT, json!({ "input": input })).await
}

/// Names somebody; answers the representation.
pub(crate) async fn appointed(patient: &Person, person: &Person, activities: &[&str]) -> Value {
    let answer = appoints(patient, person, activities).await;
    answer.data()["appointRepresentative"]["representative"].clone()
}

/// Ends a representation, or tries to.
pub(crate) async fn ends(person: &Person, representation: &Value) -> Answer {
    let input = json!({ "id": representation["id"] });
    person.asks(END, json!({ "input": input })).await
}

/// Asks something for a patient.
async fn asks_for(person: &Person, document: &str, patient: &Person) -> Answer {
    person.asks(document, json!({ "for": patient.id })).await
}

/// Opens a record for a patient, or tries to.
async fn reads_for(person: &Person, record: &str, patient: &Person) -> Answer {
    person
        .asks(READ, json!({ "id": record, "for": patient.id }))
        .await
}

/// Stores a record for a patient, or tries to.
async fn stores_for(person: &Person, patient: &Person) -> Answer {
    stores_in(person, patient, patient).await
}

/// Stores a record in the file of somebody, acting for a patient, or tries to.
async fn stores_in(person: &Person, file: &Person, patient: &Person) -> Answer {
    let document = documents::vital_signs();
    let variables = format!(
        r#"{{"for":"{}","input":{{"patientId":"{}","recordType":"VITAL_SIGNS","document":{document}}}}}"#,
        patient.id, file.id
    );
    person.asks_with(CREATE, &variables).await
}

/// Proposes somebody for a patient, or tries to.
pub(crate) async fn proposes(
    admin: &Person,
    patient: &Person,
    person: &Person,
    reason: &str,
) -> Answer {
    let mut input = terms(person, &ALL);
    input["patientId"] = json!(patient.id);
    input["reason"] = json!(reason);
    admin.asks(PROPOSE, json!({ "input": input })).await
}

/// Approves a proposal, or tries to.
pub(crate) async fn approves(admin: &Person, proposal: &Value) -> Answer {
    let input = json!({ "id": proposal["id"] });
    admin.asks(APPROVE, json!({ "input": input })).await
}

async fn notified(person: &Person) -> Vec<String> {
    let told = person
        .asks("{ notifications { nodes { kind } } }", json!({}))
        .await;
    let nodes = told.data()["notifications"]["nodes"].as_array().cloned();
    let nodes = nodes.expect("a list").into_iter();
    nodes.map(|it| text(&it["kind"])).collect()
}

/// What the rows of this person say, in their order: action, patient, and for whom.
async fn rows_of(world: &World, person: &Person) -> Vec<Value> {
    let rows = world
        .audit_rows(&format!(
            "user_id = '{}' AND action_type NOT LIKE 'AUTH%'",
            person.id
        ))
        .await;
    let told = rows.iter().map(|row| {
        json!([
            row["action_type"],
            row["patient_id"],
            row["on_behalf_of"],
            row["purpose"]
        ])
    });
    told.collect()
}

#[tokio::test]
async fn a_parent_reads_what_the_child_could_by_every_path_and_every_row_names_both() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let record = id(&ani
        .creates(&ani, "LAB_RESULT", documents::lab_result())
        .await);
    reads_for(&ibu, &record, &ani).await.fails_with("NOT_FOUND");
    asks_for(&ibu, LIST, &ani).await.fails_with("NOT_FOUND");

    let made = appointed(&ani, &ibu, &ALL).await;
    assert_eq!(made["activities"], json!(ALL));
    assert_eq!(made["isInForce"], true);
    assert_eq!(made["isByAdministrators"], false);
    // The same again is the same.
    assert_eq!(appointed(&ani, &ibu, &ALL).await["id"], made["id"]);

    let before = rows_of(&world, &ibu).await.len();
    let read = reads_for(&ibu, &record, &ani).await;
    assert_eq!(read.data()["medicalRecord"]["id"], record);
    assert!(read.data()["medicalRecord"]["document"].is_object());
    let list = asks_for(&ibu, LIST, &ani).await;
    assert_eq!(list.data()["medicalRecords"]["totalCount"], 1);
    assert!(list.data()["medicalRecords"]["nodes"][0]["document"].is_object());
    let verified = ibu
        .asks(VERIFY, json!({ "id": record, "for": ani.id }))
        .await;
    assert_eq!(verified.data()["verifyRecord"]["contentMatches"], true);
    asks_for(&ibu, LOG, &ani).await.data();
    asks_for(&ibu, CONSENTS, &ani).await.data();
    asks_for(&ibu, HOLDERS, &ani).await.data();
    let stored = stores_for(&ibu, &ani).await;
    let stored = &stored.data()["createMedicalRecord"]["record"];
    assert_eq!(stored["patient"]["id"], json!(ani.id));
    assert_eq!(stored["author"]["id"], json!(ani.id));

    let rows = rows_of(&world, &ibu).await;
    let row = |action: &str| json!([action, ani.id, ani.id, "PATRQT"]);
    assert_eq!(
        rows[before..],
        [
            row("RECORD_READ"),
            row("RECORD_SEARCH"),
            row("RECORD_READ"),
            row("RECORD_VERIFY"),
            row("AUDIT_READ"),
            row("CONSENT_READ"),
            row("CONSENT_READ"),
            row("RECORD_CREATE"),
        ]
    );
    // Without the argument she asks for herself, and has nothing.
    ibu.reads(&record).await.fails_with("NOT_FOUND");
    let own = ibu.asks(LIST, json!({})).await;
    assert_eq!(own.data()["medicalRecords"]["totalCount"], 0);

    let log = ani.asks(LOG, json!({})).await;
    let nodes = log.data()["myAccessLog"]["nodes"].as_array().cloned();
    let told: Vec<String> = nodes
        .expect("a list")
        .iter()
        .filter(|it| it["asRepresentative"] == true && it["action"] == "RECORD_READ")
        .map(|it| text(&it["sentence"]))
        .collect();
    assert!(
        told.contains(&"ibu (patient), for you, as parent, opened a record of yours.".to_owned()),
        "{told:#?}"
    );
    assert_eq!(notified(&ibu).await, ["REPRESENTATIVE_APPOINTED"]);
    // The patient puts right what she stored.
    let amended = ani
        .amends(stored, documents::vital_signs(), json!({}))
        .await;
    let amended = &amended.data()["amendMedicalRecord"]["record"];
    assert_eq!(amended["version"], 2);
}

#[tokio::test]
async fn nobody_else_and_for_nothing_else_and_a_stranger_is_told_the_patient_does_not_exist() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (eve, bo) = (world.patient("eve").await, world.doctor("bo").await);
    let record = id(&ani
        .creates(&ani, "LAB_RESULT", documents::lab_result())
        .await);
    let of_eve = id(&eve
        .creates(&eve, "LAB_RESULT", documents::lab_result())
        .await);
    appointed(&ani, &ibu, &["READ_RECORDS"]).await;
    ani.lets(&bo, &["READ", "SEARCH", "CREATE"]).await;

    // Only what was let.
    reads_for(&ibu, &record, &ani).await.data();
    stores_for(&ibu, &ani).await.fails_with("NOT_FOUND");
    for document in [LOG, CONSENTS, HOLDERS] {
        asks_for(&ibu, document, &ani).await.fails_with("NOT_FOUND");
    }
    let mut input = bo.terms();
    input["expiresAt"] = Value::Null;
    let grant = json!({ "input": input, "for": ani.id });
    ibu.asks(GRANT, grant.clone()).await.fails_with("NOT_FOUND");
    // Only this patient.
    reads_for(&ibu, &of_eve, &ani).await.fails_with("NOT_FOUND");
    reads_for(&ibu, &of_eve, &eve).await.fails_with("NOT_FOUND");
    ibu.asks(LIST, json!({ "for": ani.id, "patient": eve.id }))
        .await
        .fails_with("NOT_FOUND");
    // A doctor with a consent acts for nobody by it; and strangers for nobody at all, who exists or not.
    bo.reads(&record).await.data();
    reads_for(&bo, &record, &ani).await.fails_with("NOT_FOUND");
    let nobody = json!({ "for": "01a20aa4-0000-7000-8000-00000000c0de" });
    for person in [&eve, &bo] {
        for document in [LIST, LOG, CONSENTS, HOLDERS] {
            let refused = asks_for(person, document, &ani).await;
            let unknown = person.asks(document, nobody.clone()).await;
            let (refused, unknown) = (
                refused.fails_with("NOT_FOUND"),
                unknown.fails_with("NOT_FOUND"),
            );
            assert_eq!(refused.message, unknown.message);
        }
        person
            .asks(GRANT, grant.clone())
            .await
            .fails_with("NOT_FOUND");
    }
    // Nobody acts for themselves.
    let own = asks_for(&ani, LIST, &ani).await;
    assert_eq!(
        own.fails_with("BAD_USER_INPUT").extensions["field"],
        "onBehalfOf"
    );
    // What was tried stands in the patient's log.
    let denied = world
        .audit_rows(&format!(
            "user_id = '{}' AND action_type = 'ACCESS_DENIED' AND on_behalf_of = '{}' AND patient_id = '{1}'
             AND new_value ->> 'reason' = 'NOT_REPRESENTATIVE'",
            eve.id, ani.id
        ))
        .await;
    assert_eq!(denied.len(), 5);
}

#[tokio::test]
async fn a_third_patient_sees_refusals_alone_and_not_for_whom_somebody_acts() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let eve = world.patient("eve").await;
    let of_eve = id(&eve
        .creates(&eve, "LAB_RESULT", documents::lab_result())
        .await);
    appointed(&ani, &ibu, &ALL).await;

    let list = async |patient: &str| {
        let list = json!({ "for": ani.id, "patient": patient });
        let refused = ibu.asks(LIST, list).await;
        refused.fails_with("NOT_FOUND").message.clone()
    };
    let unknown = list("01a20aa4-0000-7000-8000-00000000c0de").await;
    assert_eq!(list(&eve.id).await, unknown);
    reads_for(&ibu, &of_eve, &ani).await.fails_with("NOT_FOUND");
    stores_in(&ibu, &eve, &ani).await.fails_with("NOT_FOUND");

    let log = eve.asks(LOG, json!({})).await;
    let nodes = log.data()["myAccessLog"]["nodes"].as_array().cloned();
    let nodes = nodes.expect("a list").into_iter();
    let of_ibu: Vec<Value> = nodes
        .filter(|it| it["who"]["id"] == json!(ibu.id))
        .collect();
    assert_eq!(of_ibu.len(), 3, "{of_ibu:#?}");
    for entry in of_ibu {
        assert_eq!(entry["action"], "ACCESS_DENIED");
        assert_eq!(entry["asRepresentative"], false);
        assert_eq!(
            entry["sentence"],
            "ibu (patient) tried to reach your data and was refused."
        );
    }
}

#[tokio::test]
async fn it_ends_at_once_on_an_end_its_time_and_a_deactivation_of_either() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (ali, kim) = (world.doctor("ali").await, world.admin("kim").await);
    let record = id(&ani
        .creates(&ani, "LAB_RESULT", documents::lab_result())
        .await);
    let first = appointed(&ani, &ibu, &["READ_RECORDS"]).await;
    reads_for(&ibu, &record, &ani).await.data();

    // By the patient.
    let ended = ends(&ani, &first).await;
    assert_eq!(
        ended.data()["endRepresentation"]["representative"]["isInForce"],
        false
    );
    reads_for(&ibu, &record, &ani).await.fails_with("NOT_FOUND");
    ends(&ani, &first).await.data();
    // By the representative; a stranger and an administrator do not know of it.
    let second = appointed(&ani, &ibu, &["READ_RECORDS"]).await;
    assert_ne!(second["id"], first["id"]);
    ends(&ali, &second).await.fails_with("NOT_FOUND");
    ends(&kim, &second).await.fails_with("NOT_FOUND");
    reads_for(&ibu, &record, &ani).await.data();
    ends(&ibu, &second).await.data();
    reads_for(&ibu, &record, &ani).await.fails_with("NOT_FOUND");
    assert_eq!(notified(&ani).await, ["REPRESENTATION_ENDED"]);
    // By its time.
    let third = appointed(&ani, &ibu, &["READ_RECORDS"]).await;
    reads_for(&ibu, &record, &ani).await.data();
    world
        .executes(&format!(
            "UPDATE representatives
             SET valid_from = valid_from - INTERVAL '20 years', valid_until = now() - INTERVAL '1 second'
             WHERE id = '{}'",
            id(&third)
        ))
        .await;
    world.seals().await;
    reads_for(&ibu, &record, &ani).await.fails_with("NOT_FOUND");
    // By a deactivation, of the patient as of the representative, and not before it begins.
    appointed(&ani, &ibu, &["READ_RECORDS"]).await;
    let mut later = terms(&ali, &["READ_RECORDS"]);
    later["validFrom"] = json!("2039-01-01T00:00:00Z");
    ani.asks(APPOINT, json!({ "input": later })).await.data();
    reads_for(&ali, &record, &ani).await.fails_with("NOT_FOUND");
    reads_for(&ibu, &record, &ani).await.data();
    let deactivate =
        "mutation D($id: UUID!) { deactivateUser(input: { userId: $id }) { user { id } } }";
    kim.asks(deactivate, json!({ "id": ani.id })).await.data();
    reads_for(&ibu, &record, &ani).await.fails_with("NOT_FOUND");
    let reactivate =
        "mutation R($id: UUID!) { reactivateUser(input: { userId: $id }) { user { id } } }";
    kim.asks(reactivate, json!({ "id": ani.id })).await.data();
    reads_for(&ibu, &record, &ani).await.data();
    // Nobody acts for an administrator.
    for (role, may) in [("ADMIN", false), ("PATIENT", true)] {
        world
            .executes(&format!(
                "UPDATE users SET role = '{role}' WHERE id = '{}'",
                ani.id
            ))
            .await;
        world.seals().await;
        let read = reads_for(&ibu, &record, &ani).await;
        if may {
            read.data();
        } else {
            read.fails_with("NOT_FOUND");
        }
    }
    kim.asks(deactivate, json!({ "id": ibu.id })).await.data();
    reads_for(&ibu, &record, &ani)
        .await
        .fails_with("UNAUTHENTICATED");
}

#[tokio::test]
async fn a_row_that_is_forged_changed_or_put_back_lets_nobody_act_and_is_found() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let eve = world.patient("eve").await;
    let record = id(&ani
        .creates(&ani, "LAB_RESULT", documents::lab_result())
        .await);
    let made = appointed(&ani, &ibu, &["READ_RECORDS"]).await;
    let found = async |row: &str| {
        let finding = format!(
            "SELECT 1 FROM integrity_findings
             WHERE kind = 'ROW_TAMPERED' AND table_name = 'representatives' AND row_id = '{row}'
               AND resolved_at IS NULL"
        );
        eventually("the row is found", async || {
            world.sql(&finding).await.first().map(|_| ())
        })
        .await;
    };
    // One of her own, with the seal of another.
    let own = "01a20aa4-0000-7000-8000-00000000c0de";
    world
        .attacks(&format!(
            "CREATE TABLE before AS SELECT * FROM representatives;
             INSERT INTO representatives (id, patient_id, representative_id, relationship, activities, valid_from,
                 valid_until, appointed_at, seal, seal_key)
             SELECT '{own}', patient_id, '{}', relationship, activities, valid_from, valid_until, appointed_at, seal,
                 seal_key
             FROM representatives",
            eve.id
        ))
        .await;
    reads_for(&eve, &record, &ani).await.fails_with("NOT_FOUND");
    found(own).await;
    // More than was let, and without a seal.
    for change in [
        r#"activities = '["READ_RECORDS", "READ_ACCESS_LOG"]'"#,
        "valid_until = valid_until + INTERVAL '1 year'",
        "relationship = 'CARER'",
        "seal = NULL, seal_key = NULL",
    ] {
        let change = format!(
            "UPDATE representatives SET {change} WHERE id = '{}'",
            id(&made)
        );
        world.attacks(&change).await;
        reads_for(&ibu, &record, &ani).await.fails_with("NOT_FOUND");
        asks_for(&ibu, LOG, &ani).await.fails_with("NOT_FOUND");
        found(&id(&made)).await;
        world
            .attacks(&format!(
                "UPDATE representatives AS now
                 SET activities = before.activities, valid_until = before.valid_until,
                     relationship = before.relationship, seal = before.seal, seal_key = before.seal_key
                 FROM before WHERE before.id = now.id AND now.id = '{}'",
                id(&made)
            ))
            .await;
        reads_for(&ibu, &record, &ani).await.data();
    }
    // The deep check closes what is right again.
    world
        .attacks(&format!("DELETE FROM representatives WHERE id = '{own}'"))
        .await;
    let checking = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000")];
    let _checking = world.another_api("checking", &checking).await;
    eventually("the finding is closed", async || {
        let open = format!(
            "SELECT 1 FROM integrity_findings WHERE row_id = '{}' AND resolved_at IS NULL",
            id(&made)
        );
        world.sql(&open).await.is_empty().then_some(())
    })
    .await;
    // The row as it was before its end, with its seal.
    ends(&ani, &made).await.data();
    world
        .attacks(
            "DELETE FROM representatives; INSERT INTO representatives SELECT * FROM before; DROP TABLE before",
        )
        .await;
    reads_for(&ibu, &record, &ani).await.fails_with("NOT_FOUND");
}

#[tokio::test]
async fn two_administrators_appoint_for_a_minor_and_neither_is_concerned() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (kim, lee) = (world.admin("kim").await, world.admin("lee").await);
    let bo = world.doctor("bo").await;
    let record = id(&ani
        .creates(&ani, "LAB_RESULT", documents::lab_result())
        .await);

    proposes(&bo, &ani, &ibu, REASON)
        .await
        .fails_with("FORBIDDEN");
    let short = proposes(&kim, &ani, &ibu, "too short").await;
    assert_eq!(
        short.fails_with("BAD_USER_INPUT").extensions["field"],
        "reason"
    );
    for (patient, person, field) in [
        (&kim, &ibu, "patientId"),
        (&ani, &kim, "representativeId"),
        (&bo, &ibu, "patientId"),
        (&ani, &lee, "representativeId"),
        (&ani, &ani, "representativeId"),
    ] {
        let refused = proposes(&kim, patient, person, REASON).await;
        assert_eq!(
            refused.fails_with("BAD_USER_INPUT").extensions["field"],
            field
        );
    }
    let proposed = proposes(&kim, &ani, &ibu, REASON).await;
    let proposal = proposed.data()["proposeRepresentative"]["proposal"].clone();
    reads_for(&ibu, &record, &ani).await.fails_with("NOT_FOUND");
    assert!(notified(&ani).await.is_empty());
    let queue = "{ representativeProposals { nodes { id reason proposedBy { id } } } }";
    let waiting = lee.asks(queue, json!({})).await;
    let nodes = &waiting.data()["representativeProposals"]["nodes"];
    assert_eq!(nodes[0]["id"], proposal["id"]);
    assert_eq!(nodes[0]["proposedBy"]["id"], json!(kim.id));

    approves(&bo, &proposal).await.fails_with("FORBIDDEN");
    let own = approves(&kim, &proposal).await;
    assert_eq!(own.fails_with("CONFLICT").extensions["field"], "id");
    let approved = approves(&lee, &proposal).await;
    let made = approved.data()["approveRepresentative"]["representative"].clone();
    assert_eq!(made["isByAdministrators"], true);
    assert_eq!(made["reason"], REASON);
    approves(&lee, &proposal).await.fails_with("NOT_FOUND");

    reads_for(&ibu, &record, &ani).await.data();
    assert_eq!(notified(&ani).await, ["REPRESENTATIVE_APPOINTED"]);
    assert_eq!(notified(&ibu).await, ["REPRESENTATIVE_APPOINTED"]);
    // One administrator ends it, and both are told.
    ends(&bo, &made).await.fails_with("NOT_FOUND");
    ends(&kim, &made).await.data();
    reads_for(&ibu, &record, &ani).await.fails_with("NOT_FOUND");
    assert_eq!(
        notified(&ani).await,
        ["REPRESENTATION_ENDED", "REPRESENTATIVE_APPOINTED"]
    );
    let rows = world
        .audit_rows("action_type LIKE 'REPRESENTATIVE_%' AND action_type <> 'REPRESENTATIVE_READ'")
        .await;
    let told: Vec<_> = rows
        .iter()
        .map(|row| json!([row["action_type"], row["user_id"], row["patient_id"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["REPRESENTATIVE_PROPOSE", kim.id, ani.id]),
            json!(["REPRESENTATIVE_APPOINT", lee.id, ani.id]),
            json!(["REPRESENTATIVE_END", kim.id, ani.id]),
        ]
    );
}

#[tokio::test]
async fn a_proposal_that_is_rejected_or_changed_is_approved_by_nobody() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (kim, lee) = (world.admin("kim").await, world.admin("lee").await);
    let proposal = async || {
        let proposed = proposes(&kim, &ani, &ibu, REASON).await;
        proposed.data()["proposeRepresentative"]["proposal"].clone()
    };
    let first = proposal().await;
    let input = json!({ "input": { "id": first["id"] } });
    ani.asks(REJECT, input.clone())
        .await
        .fails_with("FORBIDDEN");
    lee.asks(REJECT, input.clone()).await.data();
    lee.asks(REJECT, input).await.fails_with("NOT_FOUND");
    approves(&lee, &first).await.fails_with("NOT_FOUND");

    let second = proposal().await;
    world
        .attacks(
            "UPDATE representative_proposals SET relationship = 'CARER' WHERE closed_at IS NULL",
        )
        .await;
    approves(&lee, &second).await.fails_with("NOT_FOUND");
    let finding = "SELECT 1 FROM integrity_findings WHERE table_name = 'representative_proposals'";
    eventually("the row is found", async || {
        world.sql(finding).await.first().map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn a_patient_has_ten_representatives_whoever_appoints_another() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (kim, lee) = (world.admin("kim").await, world.admin("lee").await);
    let proposed = proposes(&kim, &ani, &ibu, REASON).await;
    let proposal = proposed.data()["proposeRepresentative"]["proposal"].clone();
    let until = async |day: u32| {
        let mut input = terms(&ibu, &["READ_RECORDS"]);
        input["validUntil"] = json!(format!("2039-01-{day:02}T00:00:00Z"));
        ani.asks(APPOINT, json!({ "input": input })).await
    };
    let mut made = Vec::new();
    for day in 1..=10 {
        let answer = until(day).await;
        made.push(answer.data()["appointRepresentative"]["representative"].clone());
    }

    let refused = [until(11).await, approves(&lee, &proposal).await];

    for answer in &refused {
        let error = answer.fails_with("LIMIT_REACHED");
        assert_eq!(error.extensions["field"], "representativeId");
    }
    let written = "action_type = 'ACCESS_DENIED' AND new_value ->> 'reason' = 'LIMIT_REACHED'";
    assert_eq!(world.audit_rows(written).await.len(), 1);
    // What is there already is answered again, and one that has ended makes room.
    let again = until(1).await;
    let same = &again.data()["appointRepresentative"]["representative"];
    assert_eq!(same["id"], made[0]["id"]);
    ends(&ani, &made[9]).await.data();
    approves(&lee, &proposal).await.data();
    until(10).await.fails_with("LIMIT_REACHED");
}

#[tokio::test]
async fn refusals_of_an_appointment_name_their_field() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (kim, bo) = (world.admin("kim").await, world.doctor("bo").await);
    let with = |change: fn(&mut Value)| {
        let mut input = terms(&ibu, &["READ_RECORDS"]);
        change(&mut input);
        json!({ "input": input })
    };
    let own = json!({ "input": terms(&ani, &["READ_RECORDS"]) });
    let admin = json!({ "input": terms(&kim, &["READ_RECORDS"]) });
    for (input, field) in [
        (own, "representativeId"),
        (admin, "representativeId"),
        (
            with(|it| it["representativeId"] = json!("01a20aa4-0000-7000-8000-00000000c0de")),
            "representativeId",
        ),
        (with(|it| it["activities"] = json!([])), "activities"),
        (
            with(|it| it["activities"] = json!(["CHANGE_CONSENTS"])),
            "activities",
        ),
        (
            with(|it| it["validUntil"] = json!("2020-01-01T00:00:00Z")),
            "validUntil",
        ),
        (
            with(|it| it["validUntil"] = json!("2090-01-01T00:00:00Z")),
            "validUntil",
        ),
        (
            with(|it| it["validFrom"] = json!("2041-01-01T00:00:00Z")),
            "validFrom",
        ),
    ] {
        let refused = ani.asks(APPOINT, input.clone()).await;
        let field_of = refused.fails_with("BAD_USER_INPUT").extensions["field"].clone();
        assert_eq!(field_of, field, "{input}");
    }
    appoints(&kim, &ibu, &["READ_RECORDS"])
        .await
        .fails_with("FORBIDDEN");
    // A doctor has records of their own, too, and may be represented, and represent.
    let record = id(&bo.creates(&bo, "LAB_RESULT", documents::lab_result()).await);
    appointed(&bo, &ibu, &["READ_RECORDS"]).await;
    reads_for(&ibu, &record, &bo).await.data();
    let of_ani = id(&ani
        .creates(&ani, "LAB_RESULT", documents::lab_result())
        .await);
    appointed(&ani, &bo, &["READ_RECORDS"]).await;
    reads_for(&bo, &of_ani, &ani).await.data();
    bo.reads(&of_ani).await.fails_with("NOT_FOUND");
}

#[tokio::test]
async fn a_guardian_grants_and_withdraws_consents_and_whoever_has_access_is_shown() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.doctor("ibu").await);
    let bo = world.doctor("bo").await;
    let record = id(&ani.creates(&ani, "IMAGING", documents::of("IMAGING")).await);
    appointed(&ani, &ibu, &["READ_CONSENTS", "CHANGE_CONSENTS"]).await;

    // Not to herself: by name, as a doctor, or as a member.
    let hospital = world.organization("RS Harapan", "ID").await;
    world.joins(&ibu, &hospital).await;
    for own in [
        json!({ "user": ibu.id }),
        json!({ "role": "DOCTOR" }),
        json!({ "organization": { "id": hospital, "country": "ID" } }),
    ] {
        let mut input = ibu.terms();
        input["grantees"] = json!([own]);
        let refused = ibu
            .asks(GRANT, json!({ "input": input, "for": ani.id }))
            .await;
        assert_eq!(
            refused.fails_with("BAD_USER_INPUT").extensions["field"],
            "grantees"
        );
    }
    let granted = ibu
        .asks(GRANT, json!({ "input": bo.terms(), "for": ani.id }))
        .await;
    let consent = granted.data()["grantConsent"]["consent"].clone();
    assert_eq!(consent["patient"]["id"], json!(ani.id));
    bo.reads(&record).await.data();

    let holders = asks_for(&ibu, HOLDERS, &ani).await;
    let nodes = holders.data()["whoHasAccess"]["nodes"].as_array().cloned();
    let nodes = nodes.expect("a list");
    let of = |person: &Person| {
        let its = nodes.iter().find(|it| it["user"]["id"] == json!(person.id));
        its.unwrap_or_else(|| panic!("{nodes:#?}")).clone()
    };
    assert_eq!(of(&bo)["representedActivities"], json!([]));
    assert_eq!(
        of(&ibu)["representedActivities"],
        json!(["READ_CONSENTS", "CHANGE_CONSENTS"])
    );
    assert_eq!(of(&ibu)["accesses"], json!([]));
    let input = json!({ "input": { "id": consent["id"] }, "for": ani.id });
    ibu.asks(WITHDRAW, input).await.data();
    bo.reads(&record).await.fails_with("NOT_FOUND");
    let rows = world
        .audit_rows("action_type IN ('CONSENT_GRANT', 'CONSENT_WITHDRAW')")
        .await;
    for row in &rows {
        assert_eq!(row["user_id"], json!(ibu.id));
        assert_eq!(row["patient_id"], json!(ani.id));
        assert_eq!(row["on_behalf_of"], json!(ani.id));
    }
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn a_consent_that_is_asked_for_again_is_written_down_and_a_key_is_its_owners() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (bo, cy) = (world.doctor("bo").await, world.doctor("cy").await);
    appointed(&ani, &ibu, &["READ_CONSENTS", "CHANGE_CONSENTS"]).await;
    let keyed = |doctor: &Person| {
        let mut input = doctor.terms();
        input["idempotencyKey"] = json!("once");
        input
    };
    let for_ani = json!({ "input": keyed(&bo), "for": ani.id });
    let first = ibu.asks(GRANT, for_ani.clone()).await;
    let consent = first.data()["grantConsent"]["consent"]["id"].clone();
    let again = ibu.asks(GRANT, for_ani).await;
    assert_eq!(again.data()["grantConsent"]["consent"]["id"], consent);
    // The patient's own keys are others; for herself it would be another request.
    ani.asks(GRANT, json!({ "input": keyed(&cy) })).await.data();
    ibu.asks(GRANT, json!({ "input": keyed(&bo) }))
        .await
        .fails_with("CONFLICT");
    for _ in 0..2 {
        let input = json!({ "input": { "id": consent }, "for": ani.id });
        ibu.asks(WITHDRAW, input).await.data();
    }
    let rows = world
        .audit_rows(&format!(
            "user_id = '{}' AND on_behalf_of = '{}' AND action_type LIKE 'CONSENT_%'",
            ibu.id, ani.id
        ))
        .await;
    let told: Vec<_> = rows
        .iter()
        .map(|row| json!([row["action_type"], row["new_value"]["retry"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["CONSENT_GRANT", null]),
            json!(["CONSENT_READ", true]),
            json!(["CONSENT_WITHDRAW", null]),
            json!(["CONSENT_READ", true]),
        ]
    );
}

#[tokio::test]
async fn a_doctor_who_acts_for_a_patient_lifts_no_refusal_that_keeps_them_out() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.doctor("ibu").await);
    let bo = world.doctor("bo").await;
    appointed(&ani, &ibu, &["READ_CONSENTS", "CHANGE_CONSENTS"]).await;
    for (grantees, may) in [
        (json!([]), false),
        (json!([{ "role": "DOCTOR" }]), false),
        (json!([{ "user": bo.id }, { "user": ibu.id }]), false),
        (json!([{ "user": bo.id }]), true),
    ] {
        let mut input = bo.terms();
        input["processingActivities"] = json!(["DENY"]);
        input["grantees"] = grantees;
        let refused = ani.asks(GRANT, json!({ "input": input })).await;
        let refusal = refused.data()["grantConsent"]["consent"]["id"].clone();
        let input = json!({ "input": { "id": refusal }, "for": ani.id });
        let withdrawn = ibu.asks(WITHDRAW, input).await;
        if may {
            withdrawn.data();
        } else {
            assert_eq!(
                withdrawn.fails_with("BAD_USER_INPUT").extensions["field"],
                "id"
            );
        }
    }
    let denied = world
        .audit_rows("action_type = 'ACCESS_DENIED' AND new_value ->> 'reason' = 'CONCERNED'")
        .await;
    assert_eq!(denied.len(), 3);
    for row in denied {
        assert_eq!(row["user_id"], json!(ibu.id));
        assert_eq!(row["on_behalf_of"], json!(ani.id));
    }
}

#[tokio::test]
async fn a_proposal_that_was_rejected_or_approved_is_opened_again_by_nobody() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (kim, lee) = (world.admin("kim").await, world.admin("lee").await);
    for is_approved in [false, true] {
        let proposed = proposes(&kim, &ani, &ibu, REASON).await;
        let proposal = proposed.data()["proposeRepresentative"]["proposal"].clone();
        world
            .attacks("CREATE TABLE asked AS SELECT * FROM representative_proposals")
            .await;
        if is_approved {
            let approved = approves(&lee, &proposal).await;
            let made = approved.data()["approveRepresentative"]["representative"].clone();
            ends(&kim, &made).await.data();
        } else {
            let input = json!({ "input": { "id": proposal["id"] } });
            lee.asks(REJECT, input).await.data();
        }
        // Not by the program's own role.
        let mut conn = world.connects_as("meditrustal_api").await;
        let opens = "UPDATE representative_proposals SET closed_at = NULL, closed_by = NULL";
        let refused = sqlx::query(opens).execute(&mut conn).await;
        let refused = refused.expect_err("it is final").to_string();
        assert!(refused.contains("final"), "{refused}");
        // Nor by the row as it was before, with its seal.
        world
            .attacks(
                "DELETE FROM representative_proposals;
                 INSERT INTO representative_proposals SELECT * FROM asked; DROP TABLE asked",
            )
            .await;
        let waiting = lee
            .asks("{ representativeProposals { nodes { id } } }", json!({}))
            .await;
        assert_eq!(
            waiting.data()["representativeProposals"]["nodes"],
            json!([])
        );
        approves(&lee, &proposal).await.fails_with("NOT_FOUND");
        asks_for(&ibu, LIST, &ani).await.fails_with("NOT_FOUND");
    }
}

#[tokio::test]
async fn nothing_is_in_force_while_an_account_is_deactivated_and_rows_say_whose_affair_it_was() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let kim = world.admin("kim").await;
    let made = appointed(&ani, &ibu, &["READ_RECORDS"]).await;
    let in_force = async || {
        let told = ibu
            .asks("{ peopleIRepresent { nodes { isInForce } } }", json!({}))
            .await;
        told.data()["peopleIRepresent"]["nodes"][0]["isInForce"].clone()
    };
    assert_eq!(in_force().await, true);
    let deactivate =
        "mutation D($id: UUID!) { deactivateUser(input: { userId: $id }) { user { id } } }";
    kim.asks(deactivate, json!({ "id": ani.id })).await.data();
    assert_eq!(in_force().await, false);

    ends(&kim, &made).await.fails_with("NOT_FOUND");
    ends(&ibu, &made).await.data();
    kim.asks("{ representativeProposals { nodes { id } } }", json!({}))
        .await
        .data();
    for (condition, purpose) in [
        ("new_value ->> 'wanted' = 'REPRESENTATIVE_END'", "HSYSADMIN"),
        ("action_type = 'REPRESENTATIVE_END'", "PATRQT"),
        (
            "new_value ->> 'list' = 'representativeProposals'",
            "HSYSADMIN",
        ),
    ] {
        let rows = world.audit_rows(condition).await;
        assert_eq!(rows.len(), 1, "{condition}");
        assert_eq!(rows[0]["purpose"], purpose, "{condition}");
    }
}

/// The rows that somebody wrote since there were so many: action, patient, for whom and purpose.
async fn rows_since(world: &World, person: &Person, before: usize) -> Vec<Value> {
    rows_of(world, person).await.split_off(before)
}

#[tokio::test]
async fn a_parent_imports_records_for_the_child_and_for_nobody_else() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (eve, api) = (world.patient("eve").await, &world.api);
    appointed(&ani, &ibu, &["CREATE_RECORDS"]).await;
    let lines = ("application/fhir+ndjson", format!("&onBehalfOf={}", ani.id));
    let before = rows_of(&world, &ibu).await.len();

    let upload = transfer::heart_rates(2);
    let first = ibu
        .imports(api, &ani, (lines.0, &lines.1), upload.clone())
        .await;
    let again = ibu
        .imports(api, &ani, (lines.0, &lines.1), upload.clone())
        .await;
    let without = ibu.imports(api, &ani, (lines.0, ""), upload.clone()).await;
    let of_eve = ibu
        .imports(api, &eve, (lines.0, &lines.1), upload.clone())
        .await;
    let restored = ibu
        .imports(
            api,
            &ani,
            (lines.0, &format!("{}&restore=true", lines.1)),
            upload,
        )
        .await;

    assert_eq!(first.end["created"], 2);
    assert_eq!(again.end["alreadyThere"], 2);
    assert_eq!(without.end["refused"], 2);
    assert_eq!(of_eve.end["refused"], 2);
    assert_eq!(restored.reply.status, 400);
    let (of_ani, of_nobody) = (json!(ani.id), Value::Null);
    let row = |action: &str, patient: &Value, of: &Value, purpose: &str| {
        json!([action, patient, of, purpose])
    };
    let mut wanted = vec![row("RECORD_CREATE", &of_ani, &of_ani, "PATRQT"); 2];
    wanted.extend(vec![row("RECORD_READ", &of_ani, &of_ani, "PATRQT"); 2]);
    let rows = rows_since(&world, &ibu, before).await;
    assert_eq!(rows[..4], wanted);
    assert!(
        rows[4..]
            .iter()
            .all(|row| row[0] == "ACCESS_DENIED" && (row[2] == of_nobody || row[2] == of_ani))
    );
    let written = world
        .sql(&format!(
            "SELECT count(*) AS n FROM medical_records WHERE patient_id = '{}'",
            eve.id
        ))
        .await;
    assert_eq!(written[0]["n"], 0);

    // The same for frontends.
    let document = documents::vital_signs();
    let input = |patient: &Person| {
        format!(
            r#"{{"for":"{}","input":{{"patientId":"{}","entries":[{{"document":{document}}}]}}}}"#,
            ani.id, patient.id
        )
    };
    let imported = ibu.asks_with(IMPORT, &input(&ani)).await;
    assert_eq!(imported.data()["importRecords"]["created"], 1);
    let refused = ibu.asks_with(IMPORT, &input(&eve)).await;
    let refused = &refused.data()["importRecords"];
    assert_eq!(refused["results"][0]["code"], "NOT_FOUND");
    let stranger = eve.asks_with(IMPORT, &input(&ani)).await;
    assert_eq!(stranger.data()["importRecords"]["refused"], 1);
}

#[tokio::test]
async fn a_parent_previews_consents_and_makes_codes_for_the_child() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let (eve, bo) = (world.patient("eve").await, world.doctor("bo").await);
    appointed(&ani, &ibu, &["READ_CONSENTS", "CHANGE_CONSENTS"]).await;
    appointed(&ani, &eve, &["READ_CONSENTS"]).await;
    let before = rows_of(&world, &ibu).await.len();
    let preview = json!({ "for": ani.id, "input": { "grant": bo.terms() } });
    let code = json!({ "for": ani.id, "input": {
        "purpose": "TREAT", "dataCategories": ["LAB_RESULT"], "processingActivities": ["READ"],
    } });

    let previewed = ibu.asks(PREVIEW, preview.clone()).await;
    let made = ibu.asks(MAKE_CODE, code.clone()).await;
    let made = made.data()["createAccessCode"].clone();
    let listed = asks_for(&ibu, CODES, &ani).await;
    let redeemed = bo
        .asks(
            "mutation($code: String!) { redeemAccessCode(input: { code: $code }) { consent { id patient { id } } } }",
            json!({ "code": made["code"] }),
        )
        .await;
    let second = ibu.asks(MAKE_CODE, code.clone()).await;
    let second = &second.data()["createAccessCode"]["accessCode"]["id"];
    let cancel = json!({ "for": ani.id, "input": { "id": second } });
    ibu.asks(CANCEL_CODE, cancel.clone()).await.data();

    let gaining = &previewed.data()["previewConsent"]["gaining"];
    assert_eq!(gaining[0]["user"]["id"], json!(bo.id));
    assert_eq!(
        listed.data()["accessCodes"],
        json!([{ "id": made["accessCode"]["id"] }])
    );
    let consent = &redeemed.data()["redeemAccessCode"]["consent"];
    assert_eq!(consent["patient"]["id"], json!(ani.id), "not the parent's");
    let row = |action: &str| json!([action, ani.id, ani.id, "PATRQT"]);
    assert_eq!(
        rows_since(&world, &ibu, before).await,
        [
            row("CONSENT_READ"),
            row("ACCESS_CODE_CREATE"),
            row("CONSENT_READ"),
            row("ACCESS_CODE_CREATE"),
            row("ACCESS_CODE_CANCEL"),
        ]
    );

    // Who may only read changes nothing, and strangers are told nothing.
    asks_for(&eve, CODES, &ani).await.data();
    for (document, variables) in [(PREVIEW, preview), (MAKE_CODE, code), (CANCEL_CODE, cancel)] {
        for person in [&eve, &bo] {
            person
                .asks(document, variables.clone())
                .await
                .fails_with("NOT_FOUND");
        }
    }
    asks_for(&bo, CODES, &ani).await.fails_with("NOT_FOUND");
}

#[tokio::test]
async fn a_doctor_who_acts_for_a_patient_makes_no_code_and_previews_nothing_for_themselves() {
    let world = World::start().await;
    let (ani, bo) = (world.patient("ani").await, world.doctor("bo").await);
    appointed(&ani, &bo, &["READ_CONSENTS", "CHANGE_CONSENTS"]).await;

    let code = json!({ "for": ani.id, "input": {
        "purpose": "TREAT", "dataCategories": ["LAB_RESULT"], "processingActivities": ["READ"],
    } });
    let made = bo.asks(MAKE_CODE, code).await;
    let preview = json!({ "for": ani.id, "input": { "grant": bo.terms() } });
    let previewed = bo.asks(PREVIEW, preview).await;

    let told = made.fails_with("BAD_USER_INPUT");
    assert_eq!(told.extensions["field"], "onBehalfOf");
    let told = previewed.fails_with("BAD_USER_INPUT");
    assert_eq!(told.extensions["field"], "grantees");
    assert!(world.sql("SELECT 1 FROM access_codes").await.is_empty());
}

#[tokio::test]
async fn rows_name_the_representation_by_which_somebody_acted() {
    let world = World::start().await;
    let (ani, ibu) = (world.patient("ani").await, world.patient("ibu").await);
    let record = id(&ani
        .creates(&ani, "LAB_RESULT", documents::lab_result())
        .await);
    let parent = appointed(
        &ani,
        &ibu,
        &["READ_RECORDS", "CREATE_RECORDS", "EXPORT_RECORDS"],
    )
    .await;
    let mut input = terms(
        &ibu,
        &["READ_ACCESS_LOG", "READ_CONSENTS", "CHANGE_CONSENTS"],
    );
    input["relationship"] = json!("CARER");
    let carer = ani.asks(APPOINT, json!({ "input": input })).await;
    let carer = carer.data()["appointRepresentative"]["representative"].clone();
    let bo = world.doctor("bo").await;

    reads_for(&ibu, &record, &ani).await.data();
    asks_for(&ibu, LIST, &ani).await.data();
    stores_for(&ibu, &ani).await.data();
    ibu.exports(&world.api, &ani, &format!("&onBehalfOf={}", ani.id))
        .await;
    for document in [LOG, CONSENTS, HOLDERS, CODES] {
        asks_for(&ibu, document, &ani).await.data();
    }
    let preview = json!({ "for": ani.id, "input": { "grant": bo.terms() } });
    ibu.asks(PREVIEW, preview).await.data();
    let mut input = bo.terms();
    input["expiresAt"] = Value::Null;
    let given = ibu
        .asks(GRANT, json!({ "input": input, "for": ani.id }))
        .await;
    let consent = id(&given.data()["grantConsent"]["consent"]);
    let withdraw = json!({ "input": { "id": consent }, "for": ani.id });
    ibu.asks(WITHDRAW, withdraw).await.data();

    let rows = world
        .audit_rows(&format!("on_behalf_of = '{}'", ani.id))
        .await;
    assert!(rows.len() >= 12, "{} rows are too few", rows.len());
    for row in &rows {
        let action = text(&row["action_type"]);
        let by = if action.starts_with("RECORD_") {
            &parent
        } else {
            &carer
        };
        assert_eq!(row["new_value"]["representation"], by["id"], "{action}");
    }
    let log = ani.asks(LOG, json!({ "for": null })).await;
    let log = log.data()["myAccessLog"]["nodes"].as_array().cloned();
    let log = log.expect("a list");
    for (action, words) in [
        ("RECORD_READ", ", as parent,"),
        ("CONSENT_GRANT", ", as carer,"),
    ] {
        let line = log.iter().find(|line| line["action"] == action);
        let sentence = text(&line.expect("it is in the log")["sentence"]);
        assert!(sentence.contains(words), "{sentence}");
    }
    // What somebody claims by no representation names none.
    asks_for(&bo, LIST, &ani).await.fails_with("NOT_FOUND");
    let claimed = world
        .audit_rows(&format!(
            "user_id = '{}' AND action_type = 'ACCESS_DENIED' AND on_behalf_of = '{}'",
            bo.id, ani.id
        ))
        .await;
    assert_eq!(claimed[0]["new_value"]["representation"], Value::Null);
}
