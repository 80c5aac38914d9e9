//! Every list of the schema, wherever it stands, runs as many statements for a long page as for a short one.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{Person, World, documents, id, text};

use super::database::{Schema, are_equal, counts};

/// How long the pages are that are compared. Of everything there are at least as many as in the longest.
const LENGTHS: [usize; 3] = [1, 2, 3];

/// A field that gives pages, how it is asked, where its nodes stand in the answer, and who sees enough of them. `NODES` stands
/// for all that can be asked of a node without arguments.
pub(super) struct Place(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
);

/// Every field of the schema that gives pages: one that is missing here fails the test.
pub(super) const PLACES: [Place; 33] = [
    Place(
        "Query.users",
        "users(first: $first) { NODES }",
        "/users",
        "kim",
    ),
    Place(
        "Query.doctors",
        r#"doctors(search: "dr", first: $first) { NODES }"#,
        "/doctors",
        "ana",
    ),
    Place(
        "Query.roleProposals",
        "roleProposals(first: $first) { NODES }",
        "/roleProposals",
        "kim",
    ),
    Place(
        "Query.mySessions",
        "mySessions(first: $first) { NODES }",
        "/mySessions",
        "ana",
    ),
    Place(
        "Query.medicalRecords",
        "medicalRecords(first: $first) { NODES }",
        "/medicalRecords",
        "ana",
    ),
    Place(
        "Query.medicalRecords",
        "medicalRecords(first: $first) { NODES }",
        "/medicalRecords",
        "bo",
    ),
    Place(
        "Query.consents",
        "consents(first: $first) { NODES }",
        "/consents",
        "ana",
    ),
    Place(
        "Query.whoHasAccess",
        "whoHasAccess(first: $first) { NODES }",
        "/whoHasAccess",
        "ana",
    ),
    Place(
        "Query.consentHistory",
        "consentHistory(first: $first) { NODES }",
        "/consentHistory",
        "ana",
    ),
    Place(
        "Query.consentsGivenToMe",
        "consentsGivenToMe(first: $first) { NODES }",
        "/consentsGivenToMe",
        "bo",
    ),
    Place(
        "Query.patients",
        "patients(first: $first) { NODES }",
        "/patients",
        "bo",
    ),
    Place(
        "Query.organizations",
        "organizations(first: $first) { NODES }",
        "/organizations",
        "ana",
    ),
    Place(
        "Query.organizationMembers",
        r#"organizationMembers(organizationId: "$ORGANIZATION", first: $first) { NODES }"#,
        "/organizationMembers",
        "kim",
    ),
    Place(
        "Query.auditLogs",
        "auditLogs(first: $first) { NODES }",
        "/auditLogs",
        "kim",
    ),
    Place(
        "Query.myAccessLog",
        "myAccessLog(first: $first) { NODES }",
        "/myAccessLog",
        "ana",
    ),
    Place(
        "Query.myAccessLogByDay",
        "myAccessLogByDay(first: $first) { NODES }",
        "/myAccessLogByDay",
        "ana",
    ),
    Place(
        "Query.dataDeletionRequests",
        "dataDeletionRequests(first: $first) { NODES }",
        "/dataDeletionRequests",
        "ana",
    ),
    Place(
        "Query.deletionQueue",
        "deletionQueue(status: PENDING, first: $first) { NODES }",
        "/deletionQueue",
        "kim",
    ),
    Place(
        "Query.legalHolds",
        "legalHolds(first: $first) { NODES }",
        "/legalHolds",
        "kim",
    ),
    Place(
        "LegalHold.records",
        "legalHolds(first: 1) { nodes { records(first: $first) { NODES } } }",
        "/legalHolds/nodes/0/records",
        "lena",
    ),
    Place(
        "Query.myWallets",
        "myWallets(first: $first) { NODES }",
        "/myWallets",
        "ana",
    ),
    Place(
        "Query.myBreakGlassWindows",
        "myBreakGlassWindows(first: $first) { NODES }",
        "/myBreakGlassWindows",
        "bo",
    ),
    Place(
        "Query.breakGlassReviews",
        "breakGlassReviews(first: $first) { NODES }",
        "/breakGlassReviews",
        "kim",
    ),
    Place(
        "Query.myRepresentatives",
        "myRepresentatives(first: $first) { NODES }",
        "/myRepresentatives",
        "ana",
    ),
    Place(
        "Query.peopleIRepresent",
        "peopleIRepresent(first: $first) { NODES }",
        "/peopleIRepresent",
        "gita",
    ),
    Place(
        "Query.representativeProposals",
        "representativeProposals(first: $first) { NODES }",
        "/representativeProposals",
        "kim",
    ),
    Place(
        "Query.notifications",
        "notifications(first: $first) { NODES }",
        "/notifications",
        "ana",
    ),
    // One record and its versions; the versions of each record of a page; and those of what was verified.
    Place(
        "MedicalRecord.history",
        r#"medicalRecord(id: "$RECORD") { history(first: $first) { NODES } }"#,
        "/medicalRecord/history",
        "ana",
    ),
    Place(
        "MedicalRecord.history",
        "medicalRecords(first: $first) { nodes { predecessor { id } history(first: 3) { nodes { id anchor { state } } } } }",
        "/medicalRecords",
        "bo",
    ),
    Place(
        "MedicalRecord.history",
        r#"verifyRecord(id: "$RECORD") { record { history(first: $first) { NODES } } }"#,
        "/verifyRecord/record/history",
        "ana",
    ),
    Place(
        "MedicalRecord.accessLog",
        r#"medicalRecord(id: "$RECORD") { accessLog(first: $first) { NODES } }"#,
        "/medicalRecord/accessLog",
        "ana",
    ),
    Place(
        "MedicalRecord.accessLog",
        "medicalRecords(first: $first) { nodes { accessLog(first: 3) { nodes { record { id } consent { id } who { username } } } } }",
        "/medicalRecords",
        "ana",
    ),
    Place(
        "MedicalRecord.accessLog",
        "myAccessLog(first: $first, action: RECORD_READ) { nodes { record { accessLog(first: 2) { nodes { id } } } } }",
        "/myAccessLog",
        "ana",
    ),
];

/// Lists that are read forward alone.
const FORWARD_ALONE: [&str; 7] = [
    "MedicalRecord.accessLog",
    "Query.consentHistory",
    "Query.consentsGivenToMe",
    "Query.myAccessLogByDay",
    "Query.organizations",
    "Query.patients",
    "Query.whoHasAccess",
];
/// Lists that are proven to be read both ways where more is in them (`backward_pages`), or that grow by each reading.
const ELSEWHERE: [&str; 5] = [
    "Query.auditLogs",
    "Query.consents",
    "Query.medicalRecords",
    "Query.myAccessLog",
    "Query.notifications",
];

/// A page of a list: its cursors, and what it says of itself.
async fn page_of(
    person: &Person,
    document: &str,
    place: &str,
    way: &Value,
) -> (Vec<String>, Value) {
    let shown = "edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor }";
    let document = document.replace("NODES", shown).replace(
        "first: $first",
        "first: $first, after: $after, last: $last, before: $before",
    );
    let query = format!(
        "query L($first: Int, $after: Cursor, $last: Int, $before: Cursor) {{ {document} }}"
    );
    let answer = person.asks(&query, way.clone()).await;
    let page = answer.data().pointer(place).cloned().unwrap_or_default();
    let edges = page["edges"].as_array().cloned().unwrap_or_default();
    let cursors = edges.iter().map(|edge| text(&edge["cursor"]));
    (cursors.collect(), page["pageInfo"].clone())
}

/// Reads a list forward, and backward two at a time; says what of it is wrong.
async fn read_both_ways(person: &Person, document: &str, place: &str) -> Option<String> {
    let (forward, _) = page_of(person, document, place, &json!({ "first": 100 })).await;
    let (mut backward, mut way) = (Vec::new(), json!({ "last": 2 }));
    loop {
        let (page, info) = page_of(person, document, place, &way).await;
        if info["hasNextPage"] != !way["before"].is_null() {
            return Some(format!("{document}: {way}: {info}"));
        }
        backward = [page, backward].concat();
        if info["hasPreviousPage"] != true || backward.len() > forward.len() {
            break;
        }
        way = json!({ "last": 2, "before": info["startCursor"] });
    }
    if forward.len() < LENGTHS[2] || backward != forward {
        return Some(format!("{document}: {forward:?} and back {backward:?}"));
    }
    let both = document
        .replace("first: $first", "first: 1, last: 1")
        .replace("NODES", "nodes { __typename }");
    let refused = person.asks(&format!("{{ {both} }}"), json!({})).await;
    (refused.code() != Some("BAD_USER_INPUT")).then(|| format!("{document} goes both ways at once"))
}

/// Every field of the schema that gives pages, with its type.
fn served(schema: &Schema) -> BTreeSet<String> {
    let fields = schema.all_fields();
    let pages = fields.filter(|(_, field)| Schema::type_of(field).ends_with("Connection"));
    pages
        .map(|(of, field)| format!("{of}.{}", text(&field["name"])))
        .collect()
}

/// Those who ask, and what the documents name.
pub(super) struct Filled {
    people: Vec<(&'static str, Person)>,
    words: [(&'static str, String); 2],
}

impl Filled {
    /// At least three of everything.
    pub(super) async fn start(world: &World) -> Self {
        let ana = world.patient("ana").await;
        let (ben, cara) = (world.patient("ben").await, world.patient("cara").await);
        let doctors = [
            world.doctor("bo").await,
            world.doctor("dewi").await,
            world.doctor("eka").await,
        ];
        let helpers = [
            world.patient("gita").await,
            world.patient("hadi").await,
            world.patient("indra").await,
        ];
        let kim = world.admin("kim").await;
        let record = shares(&ana, [&ben, &cara], &doctors).await;
        let [bo, dewi, eka] = &doctors;
        in_emergencies([
            (bo, &ana),
            (bo, &ben),
            (bo, &cara),
            (dewi, &ana),
            (eka, &ana),
        ])
        .await;
        represented([&ana, &ben, &cara], &helpers, &kim).await;
        asks_for_more([&ana, &ben, &cara], &helpers, &kim).await;
        let lena = world.admin("lena").await;
        are_held(&lena, &kim).await;
        let mut organization = String::new();
        for name in ["First clinic", "Second clinic", "Third clinic"] {
            organization = world.organization(name, "ID").await;
        }
        for doctor in &doctors {
            world.joins(doctor, &organization).await;
        }
        for nth in 0..LENGTHS[2] {
            world.logs_in(&ana).await;
            let account = world.account(nth).await;
            let message = ana.challenge("LINK", &account).await;
            let signature = world.signs(&account, &message).await;
            ana.links(&message, &signature).await.data();
            ana.unlinks().await.data();
        }
        let [bo, ..] = doctors;
        let [gita, ..] = helpers;
        Self {
            people: vec![
                ("ana", ana),
                ("bo", bo),
                ("gita", gita),
                ("kim", kim),
                ("lena", lena),
            ],
            words: [("$RECORD", record), ("$ORGANIZATION", organization)],
        }
    }

    pub(super) fn person(&self, wanted: &str) -> &Person {
        let person = self.people.iter().find(|(name, _)| *name == wanted);
        &person.expect("somebody of that name").1
    }

    pub(super) fn fills_in(&self, document: &str) -> String {
        let words = self.words.iter();
        words.fold(document.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
    }
}

/// Records of three versions each, consents, and accesses by several people. Gives the last version of ana's first.
async fn shares(ana: &Person, others: [&Person; 2], doctors: &[Person; 3]) -> String {
    let mut records = Vec::new();
    for _ in 0..LENGTHS[2] {
        let mut record = ana
            .creates(ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        for _ in 0..2 {
            let answer = ana
                .amends(&record, documents::vital_signs(), json!({}))
                .await;
            record = answer.data()["amendMedicalRecord"]["record"].clone();
        }
        records.push(id(&record));
    }
    for doctor in doctors {
        ana.lets(doctor, &["READ", "SEARCH"]).await;
        for record in &records {
            doctor.reads(record).await.data();
        }
    }
    for other in others {
        other.lets(&doctors[0], &["READ", "SEARCH"]).await;
    }
    records.swap_remove(0)
}

async fn in_emergencies(windows: [(&Person, &Person); 5]) {
    let open = "mutation($input: BreakGlassInput!) { breakGlass(input: $input) { window { id } } }";
    for (doctor, patient) in windows {
        let input = json!({
            "patientId": patient.id, "purpose": "BTG", "reason": "found unconscious, allergies unknown",
        });
        doctor.asks(open, json!({ "input": input })).await.data();
    }
}

async fn represented(patients: [&Person; 3], helpers: &[Person; 3], kim: &Person) {
    const APPOINT: &str = r#"mutation($id: UUID!) { appointRepresentative(input: {
        representativeId: $id, relationship: CARER, activities: [READ_CONSENTS], validUntil: "2040-01-01T00:00:00Z"
    }) { representative { id } } }"#;
    const PROPOSE: &str = r#"mutation($patient: UUID!, $id: UUID!) { proposeRepresentative(input: {
        patientId: $patient, representativeId: $id, relationship: CARER, activities: [READ_CONSENTS],
        validUntil: "2040-01-01T00:00:00Z", reason: "by the order of a court of law"
    }) { proposal { id } } }"#;
    for helper in helpers {
        let appointed = patients[0].asks(APPOINT, json!({ "id": helper.id })).await;
        appointed.data();
    }
    for patient in &patients[1..] {
        let appointed = patient.asks(APPOINT, json!({ "id": helpers[0].id })).await;
        appointed.data();
        let proposed = json!({ "patient": patient.id, "id": helpers[1].id });
        kim.asks(PROPOSE, proposed).await.data();
    }
    let proposed = json!({ "patient": patients[1].id, "id": helpers[2].id });
    kim.asks(PROPOSE, proposed).await.data();
}

/// Requests to erase or restrict, holds, and roles that wait for a second administrator.
async fn asks_for_more(patients: [&Person; 3], helpers: &[Person; 3], kim: &Person) {
    const HOLD: &str =
        "mutation($input: PlaceHoldInput!) { placeHold(input: $input) { hold { id } } }";
    const PROPOSE: &str =
        "mutation($id: UUID!) { setRole(input: { userId: $id, role: ADMIN }) { outcome } }";
    for category in ["IMAGING", "LAB_RESULT", "ALL_RECORDS"] {
        let request = format!(
            "mutation {{ requestDataDeletion(input: {{ requestType: RESTRICTION, dataCategories: [{category}] }}) {{ request {{ id }} }} }}"
        );
        patients[0].asks(&request, json!({})).await.data();
    }
    for patient in patients {
        let input = json!({ "patientId": patient.id, "reason": "a court asked for all of it" });
        kim.asks(HOLD, json!({ "input": input })).await.data();
    }
    for helper in helpers {
        let proposed = kim.asks(PROPOSE, json!({ "id": helper.id })).await;
        proposed.data();
    }
}

/// Records of an administrator's own, which another one holds: the only ones of a hold that an administrator is shown.
async fn are_held(owner: &Person, kim: &Person) {
    const HOLD: &str =
        "mutation($input: PlaceHoldInput!) { placeHold(input: $input) { hold { id } } }";
    let mut records = Vec::new();
    for _ in 0..LENGTHS[2] {
        let record = owner
            .creates(owner, "VITAL_SIGNS", documents::vital_signs())
            .await;
        records.push(id(&record));
    }
    let input = json!({
        "patientId": owner.id, "recordIds": records, "reason": "a court asked for these",
    });
    kim.asks(HOLD, json!({ "input": input })).await.data();
}

#[tokio::test]
async fn every_connection_runs_as_many_statements_for_a_longer_page() {
    let world = World::start().await;
    let filled = Filled::start(&world).await;
    let (tap, api) = world.tapped_api().await;
    let schema = Schema::of(&filled.people[0].1).await;
    let listed: BTreeSet<String> = PLACES.iter().map(|place| place.0.to_owned()).collect();
    assert_eq!(
        served(&schema),
        listed,
        "what is served has to be what is compared"
    );
    let back = |field: &&String| !schema.takes(field, "last") || !schema.takes(field, "before");
    let forward_alone: BTreeSet<&str> = listed.iter().filter(back).map(String::as_str).collect();
    assert_eq!(forward_alone, FORWARD_ALONE.into());
    let idle = tap.background().await;

    let mut wrong = Vec::new();
    for Place(field, document, place, who) in &PLACES {
        let person = filled.person(who).at(&api);
        let is_left_out = FORWARD_ALONE.contains(field) || ELSEWHERE.contains(field);
        if !is_left_out && document.contains("NODES") {
            wrong.extend(read_both_ways(&person, &filled.fills_in(document), place).await);
        }
        let nodes = schema.nodes_of(field);
        // The histories of the versions of one history are asked for as its records are: in as many batches as there happen to be. And
        // one version alone is the record itself, which has been read by then.
        let (without, lengths): (&[&str], _) = match *field {
            "MedicalRecord.history" => (&["history"], [2, 3, 3]),
            _ => (&[], LENGTHS),
        };
        let selected = format!("nodes {{ {} }}", schema.selection(&nodes, 1, without));
        let document = filled.fills_in(document).replace("NODES", &selected);
        let query = format!("query L($first: Int!) {{ {document} }}");
        let answer = person.asks(&query, json!({ "first": LENGTHS[2] })).await;
        let shown = answer.data().pointer(&format!("{place}/nodes"));
        let shown = shown.and_then(Value::as_array).map_or(0, Vec::len);
        if shown < LENGTHS[2] {
            wrong.push(format!("{field}: {who} sees {shown} of {document}"));
            continue;
        }
        let counts = counts((&tap, &idle), &person, &query, lengths).await;
        if !are_equal(&counts) {
            wrong.push(format!("{field}, asked by {who}: {document}: {counts:#?}"));
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
