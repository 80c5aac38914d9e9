//! `userErrors`: what a form can mend is told in the payload where that is selected, and as an error where it is not.

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, id};

/// What a payload is asked for besides.
const USER_ERRORS: &str = "userErrors { code field message issues { severity path message } }";

/// Who asks, what for, a field of the payload, the code, and where the values are that are to be mended: one user error
/// for each, and a single one without where there are none. `$NAME` stands for what the cast has under that name.
struct Case(
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const CASES: &[Case] = &[
    Case(
        "nobody",
        r#"register(input: { email: "none", username: "ida", password: "short" })"#,
        "user { id }",
        "BAD_USER_INPUT",
        &["input.email", "input.password"],
    ),
    Case(
        "nobody",
        r#"register(input: { email: "ida@x.example", username: "ana", password: "twelve unlikely letters" })"#,
        "user { id }",
        "CONFLICT",
        &["input.username"],
    ),
    Case(
        "nobody",
        r#"logIn(input: { login: "ana", password: "nobody's password" })"#,
        "accessToken",
        "WRONG_CREDENTIALS",
        &[],
    ),
    Case(
        "nobody",
        r#"logInWithWallet(input: { message: "", signature: "0x" })"#,
        "accessToken",
        "WRONG_CREDENTIALS",
        &[],
    ),
    Case(
        "ana",
        r#"changePassword(input: { currentPassword: "ana tells nobody", newPassword: "short" })"#,
        "endedSessions",
        "BAD_USER_INPUT",
        &["input.newPassword"],
    ),
    Case(
        "ana",
        r#"updateProfile(input: { currentPassword: "ana tells nobody", email: "none", username: "1" })"#,
        "user { id }",
        "BAD_USER_INPUT",
        &["input.email", "input.username"],
    ),
    Case(
        "ana",
        r#"deactivateAccount(input: { currentPassword: "nobody's password" })"#,
        "user { id }",
        "WRONG_CREDENTIALS",
        &[],
    ),
    Case(
        "kim",
        r#"deactivateUser(input: { userId: "$KIM" })"#,
        "user { id }",
        "BAD_USER_INPUT",
        &["input.userId"],
    ),
    Case(
        "kim",
        r#"setRole(input: { userId: "$KIM", role: PATIENT })"#,
        "outcome",
        "BAD_USER_INPUT",
        &["input.userId"],
    ),
    Case(
        "ana",
        r#"createMedicalRecord(input: {
            patientId: "$ANA", recordType: VITAL_SIGNS, document: { resourceType: "Observation" }
        })"#,
        "record { id }",
        "INVALID_DOCUMENT",
        &["input.document"],
    ),
    Case(
        "ana",
        r#"amendMedicalRecord(input: {
            id: "$RECORD", expectedVersion: 1, document: { resourceType: "Observation" }, reason: ""
        })"#,
        "record { id }",
        "BAD_USER_INPUT",
        &["input.reason"],
    ),
    Case(
        "ana",
        r#"withdrawMedicalRecord(input: { id: "$RECORD", expectedVersion: 7, reason: "a digit was wrong" })"#,
        "record { id }",
        "CONFLICT",
        &["input.expectedVersion"],
    ),
    Case(
        "ana",
        r#"importRecords(input: { patientId: "$ANA", entries: [], source: "" })"#,
        "created",
        "BAD_USER_INPUT",
        &["input.source"],
    ),
    Case(
        "ana",
        r#"grantConsent(input: {
            purpose: TREAT, dataCategories: [], processingActivities: [READ], grantees: [{ user: "$CITRA" }]
        })"#,
        "consent { id }",
        "BAD_USER_INPUT",
        &["input.dataCategories"],
    ),
    Case(
        "ana",
        r#"withdrawConsent(input: { id: "$RECORD" }, onBehalfOf: "$ANA")"#,
        "consent { id }",
        "BAD_USER_INPUT",
        &["onBehalfOf"],
    ),
    Case(
        "ana",
        "createAccessCode(input: { purpose: TREAT, dataCategories: [IMAGING], processingActivities: [DENY] })",
        "code",
        "BAD_USER_INPUT",
        &["input.processingActivities"],
    ),
    Case(
        "citra",
        r#"redeemAccessCode(input: { code: "2345-6789-AC" })"#,
        "consent { id }",
        "BAD_USER_INPUT",
        &["input.code"],
    ),
    Case(
        "ana",
        r#"importConsent(input: { document: { resourceType: "Consent" } })"#,
        "consent { id }",
        "INVALID_DOCUMENT",
        &["input.document"],
    ),
    Case(
        "ana",
        r#"importConsents(input: { document: { resourceType: "Bundle" } })"#,
        "inactive",
        "INVALID_DOCUMENT",
        &["input.document"],
    ),
    Case(
        "kim",
        r#"setCountryRule(input: { country: "Utopia", isAdequate: true, hasSafeguards: true, needsConsent: true })"#,
        "countryRule { country }",
        "BAD_USER_INPUT",
        &["input.country"],
    ),
    Case(
        "kim",
        r#"createOrganization(input: { name: "", country: "Utopia" })"#,
        "organization { id }",
        "BAD_USER_INPUT",
        &["input.name", "input.country"],
    ),
    Case(
        "kim",
        r#"updateOrganization(input: { id: "$RECORD", name: "" })"#,
        "organization { id }",
        "BAD_USER_INPUT",
        &["input.name"],
    ),
    Case(
        "kim",
        r#"addMember(input: { doctorId: "$CITRA", organizationId: "$RECORD" })"#,
        "membership { id }",
        "BAD_USER_INPUT",
        &["input.organizationId"],
    ),
    Case(
        "ana",
        "requestDataDeletion(input: { requestType: RECORD_ERASURE })",
        "request { id }",
        "BAD_USER_INPUT",
        &["input.recordIds"],
    ),
    Case(
        "ana",
        r#"deletionChallenge(input: { id: "$DELETION" })"#,
        "wallet",
        "CONFLICT",
        &["input.id"],
    ),
    Case(
        "ana",
        r#"verifyDeletionRequest(input: { id: "$DELETION" })"#,
        "request { id }",
        "BAD_USER_INPUT",
        &["input.currentPassword"],
    ),
    Case(
        "kim",
        r#"placeHold(input: { patientId: "$ANA", reason: "" })"#,
        "hold { id }",
        "BAD_USER_INPUT",
        &["input.reason"],
    ),
    Case(
        "ana",
        r#"walletChallenge(input: { address: "0x12", purpose: LINK })"#,
        "message",
        "BAD_USER_INPUT",
        &["input.address"],
    ),
    Case(
        "citra",
        r#"linkWallet(input: { message: "", signature: "0x", password: "nobody's password" })"#,
        "wallet { id }",
        "WRONG_CREDENTIALS",
        &[],
    ),
    Case(
        "kim",
        r#"startSecondFactor(input: { password: "nobody's password" })"#,
        "uri",
        "WRONG_CREDENTIALS",
        &[],
    ),
    Case(
        "citra",
        r#"breakGlass(input: { patientId: "$ANA", purpose: TREAT, reason: "" })"#,
        "window { id }",
        "BAD_USER_INPUT",
        &["input.purpose", "input.reason"],
    ),
    Case(
        "ana",
        r#"appointRepresentative(input: {
            representativeId: "$CITRA", relationship: CARER, activities: [], validUntil: "2040-01-01T00:00:00Z"
        })"#,
        "representative { id }",
        "BAD_USER_INPUT",
        &["input.activities"],
    ),
    Case(
        "kim",
        r#"proposeRepresentative(input: {
            patientId: "$ANA", representativeId: "$CITRA", relationship: CARER, activities: [READ_RECORDS],
            validUntil: "2040-01-01T00:00:00Z", reason: ""
        })"#,
        "proposal { id }",
        "BAD_USER_INPUT",
        &["input.reason"],
    ),
];

/// The people of the table, with a record of ana's and a deletion request.
struct Cast {
    world: World,
    ana: Person,
    citra: Person,
    kim: Person,
    record: String,
    deletion: String,
}

impl Cast {
    async fn start() -> Self {
        const ASK: &str = "mutation { requestDataDeletion(input: {
            requestType: CATEGORY_ERASURE, dataCategories: [IMAGING]
        }) { request { id } } }";
        let world = World::start().await;
        let (ana, citra) = (world.patient("ana").await, world.doctor("citra").await);
        let kim = world.admin("kim").await;
        let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
        let record = id(&record.await);
        let asked = ana.asks(ASK, json!({})).await;
        let deletion = id(&asked.data()["requestDataDeletion"]["request"]);
        Self {
            world,
            ana,
            citra,
            kim,
            record,
            deletion,
        }
    }

    fn person(&self, name: &str) -> Person {
        match name {
            "ana" => self.ana.clone(),
            "citra" => self.citra.clone(),
            "kim" => self.kim.clone(),
            _ => self.world.nobody(),
        }
    }

    /// The answer to a case, of whose payload this is selected, and what was written into the audit trail for it.
    async fn asks(&self, case: &Case, selected: &str) -> (Answer, Vec<Value>) {
        let Case(who, call, ..) = case;
        let words = [
            ("$ANA", &self.ana.id),
            ("$CITRA", &self.citra.id),
            ("$KIM", &self.kim.id),
            ("$RECORD", &self.record),
            ("$DELETION", &self.deletion),
        ];
        let call = words
            .iter()
            .fold((*call).to_owned(), |text, (name, value)| {
                text.replace(name, value)
            });
        let last = "SELECT max(id) AS last FROM audit_logs";
        let last = self.world.sql(last).await[0]["last"].to_string();
        let document = format!("mutation {{ {call} {{ {selected} }} }}");
        let answer = self.person(who).asks(&document, json!({})).await;
        // The indexer writes that the record was anchored, whenever it sees so.
        let written = format!(
            "SELECT user_id, action_type, resource_type FROM audit_logs
             WHERE id > {last} AND action_type <> 'RECORD_ANCHOR' ORDER BY id"
        );
        (answer, self.world.sql(&written).await)
    }
}

/// What the user errors of a case have to be: a code and a path each.
fn wanted(case: &Case) -> Vec<Value> {
    let Case(.., code, places) = case;
    if places.is_empty() {
        return vec![json!({ "code": code, "field": null })];
    }
    let one = |place: &&str| {
        let path: Vec<_> = place.split('.').collect();
        json!({ "code": code, "field": path })
    };
    places.iter().map(one).collect()
}

#[tokio::test]
async fn what_a_form_can_mend_is_told_in_the_payload_that_is_asked_for_it() {
    let cast = Cast::start().await;
    for case in CASES {
        let Case(_, call, field, code, places) = case;
        let (name, _) = call.split_once('(').expect("each has an input");

        let (answer, written) = cast.asks(case, &format!("{field} {USER_ERRORS}")).await;
        let (refused, written_then) = cast.asks(case, field).await;

        let payload = &answer.data()[name];
        let shown = field.split(' ').next().expect("a field is selected");
        assert_eq!(payload[shown], Value::Null, "{name}");
        let errors = payload["userErrors"].as_array().expect("they are a list");
        let told: Vec<_> = errors
            .iter()
            .map(|error| json!({ "code": error["code"], "field": error["field"] }))
            .collect();
        assert_eq!(told, wanted(case), "{name}: {errors:?}");
        let is_document = *code == "INVALID_DOCUMENT";
        for error in errors {
            assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()));
            let issues = error["issues"].as_array();
            assert_eq!(issues.is_some_and(|it| !it.is_empty()), is_document);
        }
        // As it was told before there were user errors.
        let problem = refused.fails_with(code);
        assert_eq!(refused.partial_data()[name], Value::Null, "{name}");
        assert_eq!(problem.path, [json!(name)]);
        let place = places.first().and_then(|place| place.rsplit('.').next());
        assert_eq!(problem.extensions["field"].as_str(), place, "{name}");
        assert_eq!(written, written_then, "the audit rows of {name}");
    }
}

#[tokio::test]
async fn nothing_but_what_a_form_can_mend_is_a_user_error() {
    let world = World::start().await;
    let (ana, citra) = (world.patient("ana").await, world.doctor("citra").await);
    let hidden = format!(
        r#"mutation {{ withdrawConsent(input: {{ id: "{}" }}) {{ consent {{ id }} {USER_ERRORS} }} }}"#,
        ana.id
    );
    let not_theirs = format!(
        r#"mutation {{ setRole(input: {{ userId: "{}", role: DOCTOR }}) {{ outcome {USER_ERRORS} }} }}"#,
        ana.id
    );
    let log_in = |password: &str| {
        format!(
            r#"mutation {{ logIn(input: {{ login: "ana", password: "{password}" }}) {{ session {{ id }} {USER_ERRORS} }} }}"#
        )
    };

    for (person, document, code) in [
        (&world.nobody(), &hidden, "UNAUTHENTICATED"),
        (&citra, &hidden, "NOT_FOUND"),
        (&citra, &not_theirs, "FORBIDDEN"),
    ] {
        person.asks(document, json!({})).await.fails_with(code);
    }
    // A header is none of the form's.
    let astray = ana.client.with_purpose("CURIOSITY");
    let astray = Person {
        client: astray,
        ..ana.clone()
    };
    astray
        .asks(&hidden, json!({}))
        .await
        .fails_with("BAD_USER_INPUT");

    let answer = world.nobody().asks(&log_in(&ana.password), json!({})).await;
    let payload = &answer.data()["logIn"];
    assert_eq!(payload["userErrors"], json!([]));
    assert!(payload["session"]["id"].is_string(), "{payload}");
}

#[tokio::test]
async fn user_errors_are_found_however_they_are_selected() {
    const DOCUMENT: &str = "mutation Grant($asked: Boolean!) {
        granted: grantConsent(input: {
            purpose: TREAT, dataCategories: [], processingActivities: [READ], grantees: [{ role: DOCTOR }]
        }) { __typename ...Told ... on GrantConsentPayload { given: consent { id } } }
    }
    fragment Told on GrantConsentPayload {
        wrong: userErrors @include(if: $asked) { code place: field }
        userErrors @include(if: $asked) { __typename message }
    }";
    let world = World::start().await;
    let ana = world.patient("ana").await;

    let answer = ana.asks(DOCUMENT, json!({ "asked": true })).await;
    let unasked = ana.asks(DOCUMENT, json!({ "asked": false })).await;

    let payload = &answer.data()["granted"];
    assert_eq!(payload["__typename"], "GrantConsentPayload");
    assert_eq!(payload["given"], Value::Null);
    let wrong = json!([
        { "code": "BAD_USER_INPUT", "place": ["input", "dataCategories"] },
    ]);
    assert_eq!(payload["wrong"], wrong);
    assert_eq!(payload["userErrors"][0]["__typename"], "UserError");
    unasked.fails_with("BAD_USER_INPUT");
    assert_eq!(unasked.partial_data()["granted"], Value::Null);
}

/// Each mutation of a document is told by itself, and what was carried out stands.
#[tokio::test]
async fn a_mutation_that_was_refused_leaves_the_others_of_its_document_alone() {
    const DOCUMENT: &str = "mutation($user: UUID!) {
        none: grantConsent(input: {
            purpose: TREAT, dataCategories: [], processingActivities: [READ], grantees: [{ user: $user }]
        }) { consent { id } userErrors { code } }
        given: grantConsent(input: {
            purpose: TREAT, dataCategories: [IMAGING], processingActivities: [READ], grantees: [{ user: $user }]
        }) { consent { id } userErrors { code } }
    }";
    let world = World::start().await;
    let (ana, citra) = (world.patient("ana").await, world.doctor("citra").await);

    let answer = ana.asks(DOCUMENT, json!({ "user": citra.id })).await;

    let data = answer.data();
    assert_eq!(
        data["none"]["userErrors"],
        json!([{ "code": "BAD_USER_INPUT" }])
    );
    assert!(data["given"]["consent"]["id"].is_string(), "{data}");
    assert_eq!(data["given"]["userErrors"], json!([]));
}
