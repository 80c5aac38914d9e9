//! Objects by their global IDs: each is decided and written down as where it is found otherwise, and many are found together.

use serde_json::{Value, json};
use tests::{Person, Wiretap, World, documents, text};

const NODE: &str = "query($id: ID!) { node(id: $id) { __typename nodeId } }";
const NODES: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename nodeId } }";
const OWN: &str = "{
    me { nodeId }
    mySessions(first: 1) { nodes { nodeId } }
    myWallets { nodes { nodeId } }
    consents { nodes { nodeId } }
    organizations { nodes { nodeId } }
    medicalRecords { nodes { nodeId } }
    dataDeletionRequests { nodes { nodeId } }
    notifications { nodes { nodeId } }
    doctors(search: \"bo\") { nodes { nodeId } }
}";

/// One of everything that is ana's, as lists and fields give it.
async fn everything(world: &World, ana: &Person, bo: &Person) -> Value {
    ana.creates(ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    ana.lets(bo, &["READ", "SEARCH"]).await;
    world.organization("Clinic of the node", "DE").await;
    let request = "mutation { requestDataDeletion(input: {
        requestType: RESTRICTION, dataCategories: [IMAGING] }) { request { id } } }";
    ana.asks(request, json!({})).await.data();
    let open = "mutation($input: BreakGlassInput!) { breakGlass(input: $input) { window { id } } }";
    let input = json!({
        "patientId": ana.id, "purpose": "BTG", "reason": "found unconscious, allergies unknown",
    });
    bo.asks(open, json!({ "input": input })).await.data();
    let account = world.account(0).await;
    let message = ana.challenge("LINK", &account).await;
    let signature = world.signs(&account, &message).await;
    ana.links(&message, &signature).await.data();
    let found = ana.asks(OWN, json!({})).await;
    found.data().clone()
}

async fn last_row(world: &World) -> Value {
    let last = world.sql("SELECT max(id) AS last FROM audit_logs").await;
    last[0]["last"].clone()
}

/// The actions that somebody's rows after this one say.
async fn actions(world: &World, person: &Person, after: &Value) -> Vec<String> {
    let condition = format!("user_id = '{}' AND id > {after}", person.id);
    let rows = world.audit_rows(&condition).await;
    rows.iter().map(|row| text(&row["action_type"])).collect()
}

#[tokio::test]
async fn each_type_is_found_by_who_may_see_it_and_nobody_else() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (bo, kim) = (world.doctor("bo").await, world.admin("kim").await);
    let own = everything(&world, &ana, &bo).await;
    let first = |list: &str| text(&own[list]["nodes"][0]["nodeId"]);
    let rows = "{ auditLogs(first: 1) { nodes { nodeId } } }";
    let row = kim.asks(rows, json!({})).await;
    let row = text(&row.data()["auditLogs"]["nodes"][0]["nodeId"]);
    let me = text(&own["me"]["nodeId"]);
    let everybody = ["ana", "eve", "bo", "kim"].as_slice();
    let table: [(&str, String, &[&str], &str); 10] = [
        ("User", me, &["ana", "kim"], "USER_READ"),
        ("User", first("doctors"), everybody, "USER_READ"),
        ("Session", first("mySessions"), &["ana"], "SESSION_SEARCH"),
        ("Wallet", first("myWallets"), &["ana"], "USER_READ"),
        ("Consent", first("consents"), &["ana"], "CONSENT_READ"),
        (
            "Organization",
            first("organizations"),
            everybody,
            "ORGANIZATION_SEARCH",
        ),
        (
            "MedicalRecord",
            first("medicalRecords"),
            &["ana", "bo"],
            "RECORD_READ",
        ),
        (
            "DataDeletionRequest",
            first("dataDeletionRequests"),
            &["ana", "kim"],
            "DELETION_READ",
        ),
        (
            "Notification",
            first("notifications"),
            &["ana"],
            "NOTIFICATION_READ",
        ),
        ("AuditLog", row, &["kim"], "AUDIT_READ"),
    ];

    for (kind, id, seen_by, action) in table {
        for person in [&ana, &eve, &bo, &kim] {
            let before = last_row(&world).await;
            let answer = person.asks(NODE, json!({ "id": id })).await;
            let who = &person.username;
            let written = actions(&world, person, &before).await;
            if seen_by.contains(&who.trim_start_matches("dr.")) {
                let wanted = json!({ "__typename": kind, "nodeId": id });
                assert_eq!(answer.data()["node"], wanted, "{who}");
                assert_eq!(written, [action], "{kind}, {who}");
            } else {
                answer.fails_with("NOT_FOUND");
                assert_eq!(answer.partial_data()["node"], Value::Null);
                assert_eq!(written, ["ACCESS_DENIED"], "{kind}, {who}");
            }
        }
        let nobody = world.nobody().asks(NODE, json!({ "id": id })).await;
        nobody.fails_with("UNAUTHENTICATED");
    }
    // Whose consent it is sees who tried.
    let tried = format!(
        "action_type = 'ACCESS_DENIED' AND resource_type = 'CONSENT' AND patient_id = '{}'",
        ana.id
    );
    assert_eq!(world.audit_rows(&tried).await.len(), 3);
}

#[tokio::test]
async fn a_record_is_disclosed_with_its_content_for_the_purpose_of_the_header_or_the_argument() {
    const OPENED: &str = "query($ids: [ID!]!, $purpose: PurposeOfUse) {
        nodes(ids: $ids, purpose: $purpose) { ... on MedicalRecord { version document } }
    }";
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    ana.lets(&bo, &["READ", "SEARCH"]).await;
    let asked = "query($id: UUID!) { medicalRecord(id: $id) { nodeId } }";
    let node = bo.asks(asked, json!({ "id": record["id"] })).await;
    let node = node.data()["medicalRecord"]["nodeId"].clone();
    let before = last_row(&world).await;

    let answer = bo.asks(OPENED, json!({ "ids": [node] })).await;
    assert!(answer.data()["nodes"][0]["document"].is_object());
    let rows = format!("user_id = '{}' AND id > {before}", bo.id);
    let rows = world.audit_rows(&rows).await;
    assert_eq!(rows.len(), 1, "one disclosure: {rows:?}");
    assert_eq!(rows[0]["encryption_status"], "DECRYPTED_FOR_DISCLOSURE");
    assert_eq!(rows[0]["purpose"], "TREAT");
    let variables = json!({ "ids": [node], "purpose": "HRESCH" });
    let refused = bo.asks(OPENED, variables).await;
    refused.fails_with("NOT_FOUND");
}

#[tokio::test]
async fn several_are_given_in_their_order_each_for_itself() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let eve = world.patient("eve").await;
    let own = everything(&world, &ana, &bo).await;
    let consent = &own["consents"]["nodes"][0]["nodeId"];
    let doctor = &own["doctors"]["nodes"][0]["nodeId"];
    let ids = json!([doctor, consent, "nonsense", doctor, consent]);

    let whole = ana.asks(NODES, json!({ "ids": ids })).await;
    let part = eve.asks(NODES, json!({ "ids": ids })).await;

    let kinds = |answer: &tests::Answer| {
        let nodes = answer.partial_data()["nodes"].as_array().expect("a list");
        let kinds = nodes.iter().map(|node| node["__typename"].clone());
        kinds.collect::<Value>()
    };
    let wanted = json!(["User", "Consent", null, "User", "Consent"]);
    assert_eq!(kinds(&whole), wanted);
    assert_eq!(whole.errors().len(), 1);
    assert_eq!(whole.errors()[0].path, [json!("nodes"), json!(2)]);
    assert_eq!(kinds(&part), json!(["User", null, null, "User", null]));
    let codes = part.errors().iter().map(|error| error.code().to_owned());
    assert_eq!(codes.collect::<Vec<_>>(), ["NOT_FOUND"; 3]);
    let none = ana.asks(NODES, json!({ "ids": [] })).await;
    assert_eq!(none.data()["nodes"], json!([]));
    let many: Vec<&Value> = vec![doctor; 101];
    let refused = ana.asks(NODES, json!({ "ids": many })).await;
    refused.fails_with("BAD_USER_INPUT");
}

/// How many statements a query runs besides what is heard when nobody asks: the fewest of some times, because others may be
/// heard meanwhile.
async fn statements(
    tap: (&Wiretap, &[String]),
    person: &Person,
    query: &str,
    ids: &Value,
) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..8 {
        tap.0.takes();
        let answer = person.asks(query, json!({ "ids": ids })).await;
        answer.data();
        let heard = tap.0.takes();
        let heard = heard
            .iter()
            .filter(|it| !tap.1.contains(it) && !it.starts_with("SELECT FROM (VALUES (now()))"));
        fewest = fewest.min(heard.count());
    }
    fewest
}

#[tokio::test]
async fn more_objects_of_one_type_run_no_more_statements() {
    const CONSENTS: &str = "query($ids: [ID!]!) { nodes(ids: $ids) {
        ... on Consent { patient { username } grantees { user { username } } receipt { text } }
    } }";
    const ROWS: &str =
        "query($ids: [ID!]!) { nodes(ids: $ids) { ... on AuditLog { user { username } } } }";
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let kim = world.admin("kim").await;
    world
        .executes(&format!(
            "INSERT INTO data_processing_consents (
                 user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties
             )
             SELECT '{0}', 'HRESCH', CURRENT_TIMESTAMP, '[\"IMAGING\"]', '[\"READ\"]',
                    '[{{\"kind\": \"user\", \"id\": \"{1}\"}}]'
             FROM generate_series(1, 100);
             INSERT INTO audit_logs (
                 user_id, action_type, resource_type, resource_id, ip_address, request_id, purpose,
                 retention_period, data_classification, encryption_status, patient_id
             )
             SELECT '{1}', 'RECORD_READ', 'MEDICAL_RECORD', gen_random_uuid(), '::1',
                    gen_random_uuid(), 'TREAT', '3 years', 'MEDICAL', 'METADATA_ONLY', '{0}'
             FROM generate_series(1, 100)",
            ana.id, bo.id
        ))
        .await;
    world.seals().await;
    let (tap, api) = world.tapped_api().await;
    let idle = tap.background().await;

    for (person, list, query) in [(&ana, "consents", CONSENTS), (&kim, "auditLogs", ROWS)] {
        let person = person.at(&api);
        let asked = format!("{{ {list}(first: 100) {{ nodes {{ nodeId }} }} }}");
        let found = person.asks(&asked, json!({})).await;
        let found = found.data()[list]["nodes"].as_array().expect("a list");
        let ids: Vec<&Value> = found.iter().map(|node| &node["nodeId"]).collect();
        assert_eq!(ids.len(), 100, "{list}");
        let mut counts = Vec::new();
        for length in [1, 20, 100] {
            let ids = json!(ids[..length]);
            counts.push(statements((&tap, &idle), &person, query, &ids).await);
        }
        assert!(counts[0] > 0, "{list}");
        assert_eq!(counts, [counts[0]; 3], "{list}");
    }
}
