//! Every field below the root that leads to somebody, to a record or to what a record says, asked by every
//! kind of caller: what is hidden at the root is hidden by every other way, too.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, id, text};

use super::authorization::{CALLERS, asked_by};
use super::cast::{represented, to_members_of_one_of_two};

type Wanted = [&'static str; CALLERS.len()];

/// For what stands below a record of ana's.
const AS_THE_RECORD: Wanted = [
    "UNAUTHENTICATED",
    "shown",
    "NOT_FOUND",
    "NOT_FOUND",
    "shown",
    "NOT_FOUND",
    "NOT_FOUND",
    "shown",
    "shown",
];
/// For what stands below a list that only its owner has something in.
const OWN_ALONE: Wanted = [
    "UNAUTHENTICATED",
    "shown",
    "none",
    "none",
    "none",
    "none",
    "none",
    "none",
    "none",
];
/// The same where a representative sees it, too.
const DELEGATED_ALONE: Wanted = [
    "UNAUTHENTICATED",
    "shown",
    "none",
    "none",
    "none",
    "none",
    "none",
    "none",
    "shown",
];
/// For what everybody has of their own.
const EVERYBODY: Wanted = [
    "UNAUTHENTICATED",
    "shown",
    "shown",
    "shown",
    "shown",
    "shown",
    "shown",
    "shown",
    "shown",
];
/// For what a doctor sees of those who let them in.
const LET_IN: Wanted = [
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "FORBIDDEN",
    "none",
    "shown",
    "FORBIDDEN",
    "none",
    "shown",
    "FORBIDDEN",
];
/// For what administrators see.
const ADMINISTRATORS: Wanted = [
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
    "shown",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
];

/// A field, how it is reached, where it stands in the answer, and what comes back: a code; `shown`;
/// `null`; or `none` where the list above it is empty.
struct Case(&'static str, &'static str, &'static str, Wanted);

const CASES: [Case; 55] = [
    Case(
        "MedicalRecord.patient",
        r#"{ medicalRecord(id: "$SECOND") { patient { id } } }"#,
        "/medicalRecord/patient",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.author",
        r#"{ medicalRecord(id: "$SECOND") { author { id } } }"#,
        "/medicalRecord/author",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.predecessor",
        r#"{ medicalRecord(id: "$SECOND") { predecessor { id } } }"#,
        "/medicalRecord/predecessor",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.successor",
        r#"{ medicalRecord(id: "$FIRST") { successor { id } } }"#,
        "/medicalRecord/successor",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.history",
        r#"{ medicalRecord(id: "$SECOND") { history { nodes { id } } } }"#,
        "/medicalRecord/history/nodes",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.accessLog",
        r#"{ medicalRecord(id: "$SECOND") { accessLog { nodes { id } } } }"#,
        "/medicalRecord/accessLog",
        [
            "UNAUTHENTICATED",
            "shown",
            "NOT_FOUND",
            "NOT_FOUND",
            "null",
            "NOT_FOUND",
            "NOT_FOUND",
            "null",
            "null",
        ],
    ),
    Case(
        "MedicalRecord.anchor",
        r#"{ medicalRecord(id: "$SECOND") { anchor { txHash } } }"#,
        "/medicalRecord/anchor",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.metadata",
        r#"{ medicalRecord(id: "$SECOND") { metadata } }"#,
        "/medicalRecord/metadata",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.document",
        r#"{ medicalRecord(id: "$SECOND") { document } }"#,
        "/medicalRecord/document",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.canonical",
        r#"{ medicalRecord(id: "$SECOND") { canonical } }"#,
        "/medicalRecord/canonical",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.summary",
        r#"{ medicalRecord(id: "$SECOND") { summary { __typename } } }"#,
        "/medicalRecord/summary",
        AS_THE_RECORD,
    ),
    Case(
        "MedicalRecord.reason",
        r#"{ medicalRecord(id: "$SECOND") { reason } }"#,
        "/medicalRecord/reason",
        AS_THE_RECORD,
    ),
    Case(
        "RecordVerification.record",
        r#"{ verifyRecord(id: "$SECOND") { record { id } } }"#,
        "/verifyRecord/record",
        AS_THE_RECORD,
    ),
    // Each entry has an answer of its own: for whoever may not, there is a code and no record.
    Case(
        "ImportResult.record",
        r#"mutation($document: JSON!) { importRecords(input: {
            patientId: "$ANA", entries: [{ document: $document }]
        }) { results { record { id } } } }"#,
        "/importRecords/results/0/record",
        [
            "UNAUTHENTICATED",
            "shown",
            "null",
            "null",
            "null",
            "null",
            "null",
            "null",
            "shown",
        ],
    ),
    Case(
        "Consent.patient",
        "{ consents { nodes { patient { id } } } }",
        "/consents/nodes/0/patient",
        DELEGATED_ALONE,
    ),
    Case(
        "Grantee.user",
        "{ consents { nodes { grantees { user { id } } } } }",
        "/consents/nodes/0/grantees/0/user",
        DELEGATED_ALONE,
    ),
    Case(
        "Grantee.organization",
        "{ consents { nodes { grantees { organization { id } } } } }",
        "/consents/nodes/1/grantees/0/organization",
        [
            "UNAUTHENTICATED",
            "shown",
            "none",
            "none",
            "none",
            "none",
            "none",
            "none",
            "shown",
        ],
    ),
    Case(
        "AccessHolder.organization",
        "{ whoHasAccess { nodes { organization { id } } } }",
        "/whoHasAccess/nodes/2/organization",
        DELEGATED_ALONE,
    ),
    Case(
        "User.organizations",
        r#"{ doctors(search: "citra") { nodes { organizations { id } } } }"#,
        "/doctors/nodes/0/organizations",
        EVERYBODY,
    ),
    Case(
        "User.memberships",
        "{ me { memberships { id } } }",
        "/me/memberships",
        EVERYBODY,
    ),
    Case(
        "Membership.doctor",
        r#"{ organizationMembers(organizationId: "$ORGANIZATION") { nodes { doctor { id } } } }"#,
        "/organizationMembers/nodes/0/doctor",
        ADMINISTRATORS,
    ),
    Case(
        "Membership.organization",
        r#"{ organizationMembers(organizationId: "$ORGANIZATION") { nodes { organization { id } } } }"#,
        "/organizationMembers/nodes/0/organization",
        ADMINISTRATORS,
    ),
    Case(
        "AccessHolder.user",
        "{ whoHasAccess { nodes { user { id } } } }",
        "/whoHasAccess/nodes/0/user",
        DELEGATED_ALONE,
    ),
    Case(
        "Access.exceptions",
        "{ whoHasAccess { nodes { accesses { exceptions { id } } } } }",
        "/whoHasAccess/nodes/0/accesses/0/exceptions",
        DELEGATED_ALONE,
    ),
    Case(
        "Access.consent",
        "{ whoHasAccess { nodes { accesses { consent { id } } } } }",
        "/whoHasAccess/nodes/0/accesses/0/consent",
        DELEGATED_ALONE,
    ),
    Case(
        "ConsentEvent.consent",
        "{ consentHistory { nodes { consent { id } } } }",
        "/consentHistory/nodes/0/consent",
        OWN_ALONE,
    ),
    // Of what is in force already; whoever has no such consent previews a new one.
    Case(
        "ConsentPreview.consent",
        r#"{ previewConsent(input: { grant: {
            purpose: TREAT, dataCategories: [ALL_RECORDS], processingActivities: [READ, SEARCH]
            grantees: [{ user: "$BO" }]
        } }) { consent { id } } }"#,
        "/previewConsent/consent",
        [
            "UNAUTHENTICATED",
            "shown",
            "null",
            "null",
            "BAD_USER_INPUT",
            "FORBIDDEN",
            "null",
            "null",
            "shown",
        ],
    ),
    Case(
        "GivenConsent.patient",
        "{ consentsGivenToMe { nodes { patient { id } } } }",
        "/consentsGivenToMe/nodes/0/patient",
        LET_IN,
    ),
    Case(
        "LettingPatient.patient",
        "{ patients { nodes { patient { id } } } }",
        "/patients/nodes/0/patient",
        LET_IN,
    ),
    Case(
        "DataDeletionRequest.subject",
        "{ dataDeletionRequests { nodes { subject { id } } } }",
        "/dataDeletionRequests/nodes/0/subject",
        [
            "UNAUTHENTICATED",
            "shown",
            "none",
            "none",
            "none",
            "shown",
            "none",
            "none",
            "none",
        ],
    ),
    Case(
        "DataDeletionRequest.firstApprover",
        "{ dataDeletionRequests { nodes { firstApprover { id } } } }",
        "/dataDeletionRequests/nodes/0/firstApprover",
        [
            "UNAUTHENTICATED",
            "null",
            "none",
            "none",
            "none",
            "null",
            "none",
            "none",
            "none",
        ],
    ),
    Case(
        "DataDeletionRequest.secondApprover",
        "{ dataDeletionRequests { nodes { secondApprover { id } } } }",
        "/dataDeletionRequests/nodes/0/secondApprover",
        [
            "UNAUTHENTICATED",
            "null",
            "none",
            "none",
            "none",
            "null",
            "none",
            "none",
            "none",
        ],
    ),
    Case(
        "LegalHold.patient",
        "{ legalHolds { nodes { patient { id } } } }",
        "/legalHolds/nodes/0/patient",
        ADMINISTRATORS,
    ),
    Case(
        "LegalHold.placer",
        "{ legalHolds { nodes { placer { id } } } }",
        "/legalHolds/nodes/0/placer",
        ADMINISTRATORS,
    ),
    Case(
        "LegalHold.releaseProposer",
        "{ legalHolds { nodes { releaseProposer { id } } } }",
        "/legalHolds/nodes/0/releaseProposer",
        ADMINISTRATORS,
    ),
    // Of those that are held the administrator sees none, as they are no records of theirs.
    Case(
        "LegalHold.records",
        "{ legalHolds { nodes { records { nodes { id } } } } }",
        "/legalHolds/nodes/0/records/nodes/0",
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "none",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
        ],
    ),
    // Everybody has a log of their own, and nobody another's.
    Case(
        "AccessLogEntry.who",
        "{ myAccessLog(first: 1) { nodes { who { id } } } }",
        "/myAccessLog/nodes/0/who",
        EVERYBODY,
    ),
    Case(
        "AccessLogEntry.record",
        "{ myAccessLog(first: 1, action: RECORD_CREATE) { nodes { record { id } } } }",
        "/myAccessLog/nodes/0/record",
        DELEGATED_ALONE,
    ),
    Case(
        "AccessLogEntry.consent",
        r#"{ myAccessLog(first: 1, userId: "$BO", action: RECORD_READ, allowed: true) { nodes { consent { id } } } }"#,
        "/myAccessLog/nodes/0/consent",
        DELEGATED_ALONE,
    ),
    Case(
        "AccessDay.who",
        "{ myAccessLogByDay(first: 1) { nodes { who { id } } } }",
        "/myAccessLogByDay/nodes/0/who",
        EVERYBODY,
    ),
    Case(
        "AuditLog.user",
        "{ auditLogs(first: 1) { nodes { user { id } } } }",
        "/auditLogs/nodes/0/user",
        ADMINISTRATORS,
    ),
    Case(
        "AuditLog.onBehalfOf",
        "{ auditLogs(first: 1) { nodes { onBehalfOf { id } } } }",
        "/auditLogs/nodes/0/onBehalfOf",
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "null",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
        ],
    ),
    Case(
        "AuditLog.consent",
        r#"{ auditLogs(first: 1, userId: "$BO", actionType: RECORD_READ) { nodes { consent { id } } } }"#,
        "/auditLogs/nodes/0/consent",
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "null",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
        ],
    ),
    Case(
        "RoleProposal.user",
        "{ roleProposals { nodes { user { id } } } }",
        "/roleProposals/nodes/0/user",
        ADMINISTRATORS,
    ),
    Case(
        "RoleProposal.proposedBy",
        "{ roleProposals { nodes { proposedBy { id } } } }",
        "/roleProposals/nodes/0/proposedBy",
        ADMINISTRATORS,
    ),
    // She has a representative, and an administrator has proposed one for another.
    Case(
        "Representative.patient",
        "{ myRepresentatives { nodes { patient { id } } } }",
        "/myRepresentatives/nodes/0/patient",
        OWN_ALONE,
    ),
    Case(
        "Representative.representative",
        "{ myRepresentatives { nodes { representative { id } } } }",
        "/myRepresentatives/nodes/0/representative",
        OWN_ALONE,
    ),
    Case(
        "RepresentativeProposal.patient",
        "{ representativeProposals { nodes { patient { id } } } }",
        "/representativeProposals/nodes/0/patient",
        ADMINISTRATORS,
    ),
    Case(
        "RepresentativeProposal.representative",
        "{ representativeProposals { nodes { representative { id } } } }",
        "/representativeProposals/nodes/0/representative",
        ADMINISTRATORS,
    ),
    Case(
        "RepresentativeProposal.proposedBy",
        "{ representativeProposals { nodes { proposedBy { id } } } }",
        "/representativeProposals/nodes/0/proposedBy",
        ADMINISTRATORS,
    ),
    // A doctor opened a window on her records, and both of them see it.
    Case(
        "BreakGlassWindow.doctor",
        "{ myBreakGlassWindows { nodes { doctor { id } } } }",
        "/myBreakGlassWindows/nodes/0/doctor",
        [
            "UNAUTHENTICATED",
            "shown",
            "none",
            "none",
            "shown",
            "none",
            "none",
            "none",
            "none",
        ],
    ),
    Case(
        "BreakGlassWindow.patient",
        "{ myBreakGlassWindows { nodes { patient { id } } } }",
        "/myBreakGlassWindows/nodes/0/patient",
        [
            "UNAUTHENTICATED",
            "shown",
            "none",
            "none",
            "shown",
            "none",
            "none",
            "none",
            "none",
        ],
    ),
    Case(
        "BreakGlassWindow.reviewedBy",
        "{ myBreakGlassWindows { nodes { reviewedBy { id } } } }",
        "/myBreakGlassWindows/nodes/0/reviewedBy",
        [
            "UNAUTHENTICATED",
            "null",
            "none",
            "none",
            "null",
            "none",
            "none",
            "none",
            "none",
        ],
    ),
    Case(
        "BreakGlassReview.window",
        "{ breakGlassReviews { nodes { window { id } } } }",
        "/breakGlassReviews/nodes/0/window",
        ADMINISTRATORS,
    ),
    Case(
        "Notification.who",
        "{ notifications { nodes { who { id } } } }",
        "/notifications/nodes/0/who",
        [
            "UNAUTHENTICATED",
            "shown",
            "none",
            "none",
            "none",
            "none",
            "none",
            "none",
            "shown",
        ],
    ),
];

/// Who is told which event is a test of its own (`events_are_delivered_to_those_who_may_see_the_record`).
const ELSEWHERE: [&str; 4] = [
    "IntegrityEvent.finding",
    "IntegrityEvent.patient",
    // `record_updates` of the tests over the real programs.
    "IntegrityEvent.record",
    "RecordUpdate.record",
];

/// What a record says, and what is found by it: the fields that are more than facts about a row.
const CONTENT: [&str; 6] = [
    "MedicalRecord.anchor",
    "MedicalRecord.metadata",
    "MedicalRecord.document",
    "MedicalRecord.canonical",
    "MedicalRecord.summary",
    "MedicalRecord.reason",
];

#[tokio::test]
async fn what_is_hidden_at_the_root_is_hidden_below_it() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (bo, citra) = (world.doctor("bo").await, world.doctor("citra").await);
    let kim = world.admin("kim").await;
    let (eka, fitri) = (world.doctor("eka").await, world.doctor("fitri").await);
    let ibu = world.patient("ibu").await;
    let reads = ["READ", "SEARCH"];
    to_members_of_one_of_two(&world, &ana, [&fitri, &eka], &reads).await;
    ana.lets(&bo, &reads).await; // the newest of her consents
    represented(&ana, &ibu).await;
    let first = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let amended = ana
        .amends(&first, documents::vital_signs(), json!({}))
        .await;
    let second = id(&amended.data()["amendMedicalRecord"]["record"]);
    let asked = "mutation { requestDataDeletion(input: {
        requestType: RESTRICTION, dataCategories: [ALL_RECORDS]
    }) { request { id } } }";
    ana.asks(asked, json!({})).await.data();
    let propose =
        "mutation($id: UUID!) { setRole(input: { userId: $id, role: ADMIN }) { outcome } }";
    kim.asks(propose, json!({ "id": budi.id })).await.data();
    let opened = r#"mutation($id: UUID!) { breakGlass(input: {
        patientId: $id, reason: "found unconscious, allergies unknown"
    }) { window { id } } }"#;
    bo.asks(opened, json!({ "id": ana.id })).await.data();
    let proposed = r#"mutation($patient: UUID!, $id: UUID!) { proposeRepresentative(input: {
        patientId: $patient, representativeId: $id, relationship: CARER, activities: [READ_CONSENTS],
        validUntil: "2040-01-01T00:00:00Z", reason: "by the order of a court of law"
    }) { proposal { id } } }"#;
    kim.asks(proposed, json!({ "patient": budi.id, "id": ibu.id }))
        .await
        .data();
    is_held(&budi, &kim).await;
    let organization = world.organization("RS Harapan", "ID").await;
    world.joins(&bo, &organization).await;
    let callers = [
        world.nobody(),
        ana.clone(),
        budi,
        citra,
        bo,
        kim,
        eka,
        fitri,
        ibu,
    ];

    let mut wrong = Vec::new();
    for Case(field, document, place, wanted) in &CASES {
        for (nth, caller) in callers.iter().enumerate() {
            let root = place.split('/').nth(1).unwrap_or_default();
            let document = asked_by(nth, root, document)
                .replace("$FIRST", &id(&first))
                .replace("$SECOND", &second)
                .replace("$BO", &callers[4].id)
                .replace("$ORGANIZATION", &organization)
                .replace("$ANA", &ana.id);
            let variables = if document.contains("$document") {
                format!(r#"{{"document":{}}}"#, documents::vital_signs())
            } else {
                "{}".to_owned()
            };
            let answer = caller.asks_with(&document, &variables).await;
            let found = outcome(&answer, place);
            if found != wanted[nth] {
                let who = CALLERS[nth];
                wrong.push(format!(
                    "{field}, asked by {who}: {found}, not {}",
                    wanted[nth]
                ));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Holds data of a patient, and proposes to release it.
async fn is_held(patient: &Person, admin: &Person) {
    let place = r#"mutation($id: UUID!) { placeHold(input: {
        patientId: $id, dataCategories: [IMAGING], reason: "a court of law has asked for it"
    }) { hold { id } } }"#;
    let placed = admin.asks(place, json!({ "id": patient.id })).await;
    let hold = id(&placed.data()["placeHold"]["hold"]);
    let release = "mutation($id: UUID!) { releaseHold(input: { id: $id }) { isReleased } }";
    admin.asks(release, json!({ "id": hold })).await.data();
}

fn outcome(answer: &Answer, place: &str) -> String {
    if let Some(code) = answer.code() {
        return code.to_owned();
    }
    match answer.partial_data().pointer(place) {
        None => "none",
        Some(Value::Null) => "null",
        Some(_) => "shown",
    }
    .to_owned()
}

#[tokio::test]
async fn every_field_that_leads_to_somebody_or_a_record_has_its_line() {
    let world = World::start().await;
    let named = "name kind ofType { name kind ofType { name kind ofType { name kind } } }";
    let introspection =
        format!("{{ __schema {{ types {{ kind name fields {{ name type {{ {named} }} }} }} }} }}");

    let answer = world.nobody().asks(&introspection, json!({})).await;

    let types = answer.data()["__schema"]["types"]
        .as_array()
        .expect("types");
    let objects = types
        .iter()
        .filter(|of| of["kind"] == "OBJECT" && !text(&of["name"]).starts_with("__"));
    let objects: Vec<(String, Vec<(String, String)>)> = objects
        .map(|of| {
            let fields = of["fields"].as_array().expect("fields").iter();
            let fields = fields.map(|field| (text(&field["name"]), named_type(&field["type"])));
            (text(&of["name"]), fields.collect())
        })
        .collect();
    // Whatever has an id is somebody's.
    let owned: BTreeSet<&str> = objects
        .iter()
        .filter(|(_, fields)| fields.iter().any(|(name, _)| name == "id"))
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(
        owned.contains("User") && owned.contains("MedicalRecord"),
        "{owned:?}"
    );
    // A page is as open as the field that it comes from; a payload is what its caller has just made.
    let passes_on = |name: &str| {
        ["Query", "Mutation", "Subscription"].contains(&name)
            || ["Payload", "Edge", "Connection"]
                .iter()
                .any(|end| name.ends_with(end))
    };
    let served: BTreeSet<String> = objects
        .iter()
        .filter(|(name, _)| !passes_on(name))
        .flat_map(|(name, fields)| {
            let leads = |leads_to: &String| {
                owned.contains(leads_to.as_str()) || leads_to.ends_with("Connection")
            };
            let fields = fields.iter().filter(move |(_, leads_to)| leads(leads_to));
            fields.map(move |(field, _)| format!("{name}.{field}"))
        })
        .chain(CONTENT.map(str::to_owned))
        .collect();
    let listed = CASES.iter().map(|Case(field, ..)| *field);
    let listed: BTreeSet<_> = listed.chain(ELSEWHERE).map(str::to_owned).collect();
    assert_eq!(served, listed, "what is served has to be what is tested");
}

/// The name behind lists and what may not be null.
fn named_type(of: &Value) -> String {
    match of["name"].as_str() {
        Some(name) => name.to_owned(),
        None => named_type(&of["ofType"]),
    }
}
