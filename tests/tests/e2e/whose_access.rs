//! Who has access to one's records, what a consent would change, and who lets a doctor in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id, text};

const HOLDER: &str = "kind role organizationId user { id } people accesses {
    purpose processingActivities recordTypes records until consent { id } exceptions { id } }";

/// What somebody may do, word by word.
type Cells = BTreeSet<String>;

/// Each of these holders, and what they may do.
fn cells(holders: &Value) -> BTreeMap<String, Cells> {
    let holders = holders.as_array().expect("a list").iter();
    let in_words = |holder: &Value| {
        let who = match text(&holder["kind"]).as_str() {
            "USER" => text(&holder["user"]["id"]),
            "ROLE" => text(&holder["role"]),
            _ => text(&holder["organizationId"]),
        };
        let mut words = Cells::new();
        for access in holder["accesses"].as_array().expect("a list") {
            for activity in access["processingActivities"].as_array().expect("a list") {
                for of in access["recordTypes"].as_array().expect("a list") {
                    words.insert(format!("{} {activity} {of}", access["purpose"]));
                }
            }
        }
        (who, words)
    };
    holders.map(in_words).collect()
}

/// What a consent to treatment comes to: the same for the purposes to which it extends.
fn for_each_purpose(access: &Value) -> Vec<Value> {
    let for_purpose = |purpose: &str| {
        let mut access = access.clone();
        access["purpose"] = json!(purpose);
        access
    };
    ["TREAT", "COC", "POPHLTH"].map(for_purpose).to_vec()
}

/// Everybody who has access, on pages of one.
async fn holders(person: &Person) -> Value {
    let query = format!(
        "query W($after: Cursor) {{ whoHasAccess(first: 1, after: $after) {{
            nodes {{ {HOLDER} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let (mut all, mut after) = (Vec::new(), Value::Null);
    loop {
        let answer = person.asks(&query, json!({ "after": after })).await;
        let page = &answer.data()["whoHasAccess"];
        all.extend(page["nodes"].as_array().expect("a list").iter().cloned());
        if page["pageInfo"]["hasNextPage"] == false {
            return json!(all);
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

async fn previews(person: &Person, input: Value) -> tests::Answer {
    let query = format!(
        "query P($input: PreviewConsentInput!) {{ previewConsent(input: $input) {{
            consent {{ id }} gainingCount losingCount gainingPeople losingPeople gaining {{ {HOLDER} }} losing {{ {HOLDER} }} }} }}"
    );
    person.asks(&query, json!({ "input": input })).await
}

fn terms(activities: &[&str], categories: &[&str], grantees: Value) -> Value {
    let mut terms = json!({
        "purpose": "TREAT", "dataCategories": categories, "processingActivities": activities,
    });
    terms["grantees"] = grantees;
    terms
}

/// What the one has and the other has not.
fn beyond(
    some: &BTreeMap<String, Cells>,
    other: &BTreeMap<String, Cells>,
) -> BTreeMap<String, Cells> {
    let none = Cells::new();
    let more = some.iter().map(|(who, words)| {
        let theirs = other.get(who).unwrap_or(&none);
        (who.clone(), words.difference(theirs).cloned().collect())
    });
    more.filter(|(_, words): &(_, Cells)| !words.is_empty())
        .collect()
}

#[tokio::test]
async fn a_patient_sees_who_may_do_what_with_how_many_records_until_when() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, dr_cy) = (world.doctor("bo").await, world.doctor("cy").await);
    for (kind, document) in [
        ("VITAL_SIGNS", documents::vital_signs()),
        ("VITAL_SIGNS", documents::vital_signs()),
        ("LAB_RESULT", documents::lab_result()),
    ] {
        ana.creates(&ana, kind, document).await;
    }
    assert_eq!(holders(&ana).await, json!([]));
    let all = ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let doctors = json!([{ "role": "DOCTOR" }]);
    let mut of_lab = terms(&["SEARCH"], &["LAB_RESULT"], doctors);
    of_lab["expiresAt"] = json!("2126-01-01T00:00:00Z");
    let answer = ana.grants(of_lab).await;
    let role = id(&answer.data()["grantConsent"]["consent"]);
    let cy = json!([{ "user": dr_cy.id }]);
    ana.grants(terms(&["DENY"], &["LAB_RESULT"], cy))
        .await
        .data();

    let found = holders(&ana).await;

    let access = |activities: Value, types: Value, records: i32, consent: &str| {
        json!({
            "purpose": "TREAT", "processingActivities": activities, "recordTypes": types,
            "records": records, "until": null, "consent": { "id": consent }, "exceptions": [],
        })
    };
    let mut of_role = access(json!(["SEARCH"]), json!(["LAB_RESULT"]), 1, &role);
    of_role["until"] = json!("2126-01-01T00:00:00Z");
    of_role["exceptions"] = json!([{ "id": dr_cy.id }]);
    let types = json!([
        "DIAGNOSIS",
        "LAB_RESULT",
        "PRESCRIPTION",
        "TREATMENT_PLAN",
        "MEDICAL_HISTORY",
        "VITAL_SIGNS",
        "IMAGING",
        "VACCINATION"
    ]);
    let of_bo = access(json!(["READ", "SEARCH"]), types, 3, &all);
    assert_eq!(found[0]["role"], "DOCTOR");
    assert_eq!(found[0]["people"], 2, "bo and cy");
    assert_eq!(found[1]["people"], 1);
    let until = text(&found[0]["accesses"][0]["until"]);
    assert!(until.starts_with("2126-01-01T00:00:00"), "{until}");
    of_role["until"] = json!(until);
    assert_eq!(found[0]["accesses"], json!(for_each_purpose(&of_role)));
    assert_eq!(found[1]["user"]["id"], dr_bo.id.as_str());
    let bos = found[1]["accesses"].as_array().cloned();
    let (mut bos, mut wanted) = (bos.expect("a list"), for_each_purpose(&of_bo));
    for one in bos.iter_mut().chain(&mut wanted) {
        let types = one["recordTypes"].as_array_mut().expect("a list");
        types.sort_by_key(ToString::to_string);
    }
    assert_eq!(bos, wanted);
    assert_eq!(found.as_array().map(Vec::len), Some(2));
    // Nobody sees it of somebody else, and the doctor is not asked about.
    assert_eq!(holders(&eve).await, json!([]));
    assert_eq!(holders(&dr_bo).await, json!([]));
    let rows = world
        .audit_rows("action_type = 'CONSENT_READ' AND new_value ->> 'access' = 'NOW'")
        .await;
    let of_ana: Vec<&Value> = rows
        .iter()
        .filter(|row| row["user_id"] == ana.id.as_str())
        .collect();
    assert_eq!(of_ana.len(), 3, "a row for each page");
    assert!(of_ana.iter().all(|row| row["patient_id"] == ana.id.as_str()
        && row["purpose"] == "PATRQT"
        && row["resource_type"] == "CONSENT"
        && row["encryption_status"] == "METADATA_ONLY"));

    // A doctor who is one no more, and one who is deactivated, are let in by nothing.
    let ada = world.admin("ada").await;
    let off = "mutation($id: UUID!) { deactivateUser(input: { userId: $id }) { user { id } } }";
    ada.asks(off, json!({ "id": dr_bo.id })).await.data();
    assert_eq!(
        cells(&holders(&ana).await).into_keys().collect::<Vec<_>>(),
        ["DOCTOR"]
    );
}

#[tokio::test]
async fn a_preview_says_what_the_grant_or_the_withdrawal_then_does() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let dr_cy = world.doctor("cy").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let (bo, cy) = (json!([{ "user": dr_bo.id }]), json!([{ "user": dr_cy.id }]));
    let both = json!([{ "user": dr_bo.id }, { "user": dr_cy.id }]);
    let doctors = json!([{ "role": "DOCTOR" }]);
    let mut no_coordination = terms(&["DENY"], &["DIAGNOSIS"], bo.clone());
    no_coordination["purpose"] = json!("COC");
    let steps = [
        terms(&["READ", "SEARCH"], &["ALL_RECORDS"], bo.clone()),
        terms(&["READ"], &["LAB_RESULT"], both),
        terms(&["SEARCH"], &["VITAL_SIGNS"], doctors.clone()),
        terms(&["DENY"], &["LAB_RESULT"], bo),
        terms(&["READ", "EXPORT"], &["VITAL_SIGNS", "IMAGING"], cy),
        terms(&["DENY"], &["IMAGING"], json!([])),
        terms(&["DENY"], &["VITAL_SIGNS"], doctors),
        // The same once more changes nothing.
        terms(
            &["READ", "SEARCH"],
            &["ALL_RECORDS"],
            json!([{ "user": dr_bo.id }]),
        ),
        // For a purpose that no consent names, and to which one extends.
        no_coordination,
    ];
    let rows = "SELECT count(*) AS n FROM data_processing_consents";
    let mut waiting: VecDeque<Value> = steps.map(|step| json!({ "grant": step })).into();
    let mut changes = Vec::new();
    while let Some(input) = waiting.pop_front() {
        let before = cells(&holders(&ana).await);
        let stored = world.sql(rows).await;
        let told = previews(&ana, input.clone()).await;
        let told = told.data()["previewConsent"].clone();
        assert_eq!(world.sql(rows).await, stored, "a preview stores nothing");
        assert_eq!(cells(&holders(&ana).await), before, "nor changes anything");
        if let Some(consent) = input["withdraw"]["id"].as_str() {
            ana.withdraws(consent).await;
        } else {
            let answer = ana.grants(input["grant"].clone()).await;
            let consent = id(&answer.data()["grantConsent"]["consent"]);
            waiting.push_back(json!({ "withdraw": { "id": consent } }));
        }
        let after = cells(&holders(&ana).await);
        let (gaining, losing) = (cells(&told["gaining"]), cells(&told["losing"]));
        assert_eq!(told["gainingCount"], gaining.len());
        assert_eq!(told["losingCount"], losing.len());
        // People whom refusals alone name are told of by a preview, and hold nothing by themselves.
        let named = |all: &BTreeMap<String, Cells>| {
            let is_known = |who: &String| before.contains_key(who) || after.contains_key(who);
            let mut known = all.clone();
            known.retain(|who, _| is_known(who));
            known
        };
        assert_eq!(named(&gaining), beyond(&after, &before), "{input}");
        assert_eq!(named(&losing), beyond(&before, &after), "{input}");
        changes.push((gaining.len(), losing.len()));
    }
    assert_eq!(changes[0], (1, 0));
    assert_eq!(changes[1], (1, 0), "bo may read everything already");
    assert_eq!(changes[7], (0, 0), "it is in force");
    assert_eq!(changes[8], (0, 1), "a refusal lets nobody in");
    assert!(changes.iter().any(|(_, losing)| *losing > 1), "{changes:?}");
    let rows = world
        .audit_rows("action_type = 'CONSENT_READ' AND new_value ? 'preview'")
        .await;
    assert_eq!(rows.len(), changes.len(), "a row for each");
    let first = json!({ "preview": "GRANT", "consent": null, "gaining": 1, "losing": 0 });
    assert_eq!(rows[0]["new_value"], first);
    assert_eq!(rows[0]["patient_id"], ana.id.as_str());
}

#[tokio::test]
async fn a_preview_counts_each_person_behind_roles_and_organisations_once() {
    let world = World::start().await;
    let (ana, ada) = (world.patient("ana").await, world.admin("ada").await);
    let (bo, cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let dee = world.doctor("dee").await;
    let hospital = ada.creates_organization("RS Harapan Kita", "ID").await;
    let hospital = id(&hospital.data()["createOrganization"]["organization"]);
    for doctor in [&bo, &cy] {
        ada.adds_member(&hospital, doctor, json!({})).await.data();
    }
    let members = json!({ "organization": { "id": hospital, "country": "ID" } });
    let person = |who: &Person| json!({ "user": who.id });
    let doctors = json!({ "role": "DOCTOR" });
    let grant = async |grantees: Value| {
        let grant = terms(&["READ"], &["IMAGING"], grantees);
        let told = previews(&ana, json!({ "grant": grant })).await;
        let told = &told.data()["previewConsent"];
        json!([told["gainingCount"], told["gainingPeople"]])
    };

    assert_eq!(grant(json!([members])).await, json!([1, 2]));
    let bo_twice = json!([members, person(&bo), person(&dee)]);
    assert_eq!(grant(bo_twice).await, json!([3, 3]));
    assert_eq!(grant(json!([doctors, members])).await, json!([2, 3]));

    let given = ana
        .grants(terms(&["READ"], &["IMAGING"], json!([doctors])))
        .await;
    let given = id(&given.data()["grantConsent"]["consent"]);
    // Who is refused as a member of an organisation is named, as who is refused by name.
    let refusal = terms(&["DENY"], &["IMAGING"], json!([members]));
    let refused = ana.grants(refusal).await;
    let found = holders(&ana).await;
    let exceptions = found[0]["accesses"][0]["exceptions"].as_array();
    let named: BTreeSet<String> = exceptions.expect("a list").iter().map(id).collect();
    assert_eq!(named, BTreeSet::from([bo.id.clone(), cy.id.clone()]));
    ana.withdraws(&id(&refused.data()["grantConsent"]["consent"]))
        .await;
    ada.asks(
        "mutation($id: UUID!) { deactivateUser(input: { userId: $id }) { user { id } } }",
        json!({ "id": dee.id }),
    )
    .await
    .data();
    assert_eq!(holders(&ana).await[0]["people"], 2, "dee is no doctor now");
    let told = previews(&ana, json!({ "withdraw": { "id": given } })).await;
    assert_eq!(told.data()["previewConsent"]["losingPeople"], 2);
}

#[tokio::test]
async fn a_preview_refuses_what_the_grant_and_the_withdrawal_refuse() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    let bo = json!([{ "user": dr_bo.id }]);
    let good = terms(&["READ"], &["IMAGING"], bo.clone());
    let with = |name: &str, value: Value| {
        let mut terms = good.clone();
        terms[name] = value;
        terms
    };
    let bad = [
        with("purpose", json!("PATRQT")),
        with("dataCategories", json!([])),
        with("processingActivities", json!(["DENY", "READ"])),
        with("grantees", json!([])),
        with("grantees", json!([{ "user": eve.id }])),
        with(
            "grantees",
            json!([{ "organization": { "id": eve.id, "country": "pt" } }]),
        ),
        with("expiresAt", json!("2020-01-01T00:00:00Z")),
        // FHIR and RFC 3339 write years of four digits.
        with("expiresAt", json!("+10000-01-01T00:00:00Z")),
        with("idempotencyKey", json!("")),
    ];
    let told = |answer: &tests::Answer| -> Vec<(String, Value, String)> {
        let errors = answer.errors().iter();
        errors
            .map(|it| {
                (
                    it.code().to_owned(),
                    json!(it.extensions["field"]),
                    it.message.clone(),
                )
            })
            .collect()
    };

    for input in bad {
        let real = ana.grants(input.clone()).await;
        let preview = previews(&ana, json!({ "grant": input })).await;
        assert_eq!(told(&preview), told(&real), "{input}");
        assert!(!told(&real).is_empty(), "{input}");
    }
    for (person, consent) in [
        (&eve, ana.lets(&dr_bo, &["READ"]).await),
        (&ana, ana.id.clone()),
    ] {
        let preview = previews(person, json!({ "withdraw": { "id": consent } })).await;
        preview.fails_with("NOT_FOUND");
    }
    let real = ada.grants(good.clone()).await;
    let preview = previews(&ada, json!({ "grant": good })).await;
    assert_eq!(told(&preview), told(&real));
    preview.fails_with("FORBIDDEN");
    // With a key that was used for something else.
    let mut keyed = with("idempotencyKey", json!("a key"));
    ana.grants(keyed.clone()).await.data();
    keyed["processingActivities"] = json!(["SEARCH"]);
    previews(&ana, json!({ "grant": keyed }))
        .await
        .fails_with("CONFLICT");
}

const PATIENTS: &str = "query P($purpose: PurposeOfUse, $first: Int = 20, $after: Cursor) {
    patients(purpose: $purpose, first: $first, after: $after) {
        nodes { patient { id username email } records permissions {
            processingActivities recordTypes consentId until } }
        pageInfo { hasNextPage endCursor } } }";
const GIVEN: &str =
    "{ consentsGivenToMe { nodes { id patient { username email } purpose dataCategories
    processingActivities expiresAt } } }";

#[tokio::test]
async fn a_doctor_sees_the_patients_who_let_them_in_and_each_of_them_sees_that() {
    let world = World::start().await;
    let (ana, ben) = (world.patient("ana").await, world.patient("ben").await);
    let (eve, dr_bo) = (world.patient("eve").await, world.doctor("bo").await);
    let dr_cy = world.doctor("cy").await;
    for patient in [&ana, &ben, &eve] {
        patient
            .creates(patient, "VITAL_SIGNS", documents::vital_signs())
            .await;
        patient
            .creates(patient, "LAB_RESULT", documents::lab_result())
            .await;
    }
    let bo = json!([{ "user": dr_bo.id }, { "user": dr_cy.id }]);
    let answer = ana.grants(terms(&["SEARCH"], &["VITAL_SIGNS"], bo)).await;
    let anas = id(&answer.data()["grantConsent"]["consent"]);
    let bens = ben.lets(&dr_bo, &["READ"]).await;
    // Eve lets every doctor in, and keeps this one out.
    let doctors = json!([{ "role": "DOCTOR" }]);
    eve.grants(terms(&["READ", "SEARCH"], &["ALL_RECORDS"], doctors))
        .await
        .data();
    let refusal = terms(&["DENY"], &["ALL_RECORDS"], json!([{ "user": dr_bo.id }]));
    let answer = eve.grants(refusal).await;
    let refusal = id(&answer.data()["grantConsent"]["consent"]);

    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let answer = dr_bo
            .asks(PATIENTS, json!({ "first": 1, "after": after }))
            .await;
        let page = &answer.data()["patients"];
        found.extend(page["nodes"].as_array().expect("a list").iter().cloned());
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }

    let by_name = |name: &str| {
        let mut all = found.iter();
        all.find(|it| it["patient"]["username"] == name)
            .expect("there")
    };
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(by_name("ana")["records"], 1);
    assert_eq!(
        by_name("ben")["records"],
        0,
        "who may not search finds none"
    );
    assert_eq!(by_name("ana")["patient"]["email"], Value::Null);
    assert_eq!(
        by_name("ana")["permissions"],
        json!([{ "processingActivities": ["SEARCH"], "recordTypes": ["VITAL_SIGNS"], "consentId": anas, "until": null }])
    );
    assert_eq!(by_name("ben")["permissions"][0]["consentId"], bens.as_str());
    let list = "query L($id: UUID!) { medicalRecords(patientId: $id) { totalCount } }";
    for patient in [&ana, &ben] {
        let answer = dr_bo.asks(list, json!({ "id": patient.id })).await;
        let records = &by_name(&patient.username)["records"];
        assert_eq!(answer.data()["medicalRecords"]["totalCount"], *records);
    }

    let given = dr_bo.asks(GIVEN, json!({})).await;
    let nodes = given.data()["consentsGivenToMe"]["nodes"]
        .as_array()
        .expect("a list");
    assert_eq!(
        nodes.iter().map(id).collect::<Vec<_>>(),
        [bens.clone(), anas.clone()]
    );
    assert_eq!(nodes[1]["dataCategories"], json!(["VITAL_SIGNS"]));
    assert_eq!(nodes[1]["patient"]["email"], Value::Null);

    // A row for each patient who is shown, and none for who is not.
    let rows = async |condition: &str| {
        let who = format!(
            "patient_id IS NOT NULL AND user_id = '{}' AND {condition}",
            dr_bo.id
        );
        let rows = world.audit_rows(&who).await;
        let of = |row: &Value| (text(&row["patient_id"]), text(&row["consent_reference"]));
        rows.iter().map(of).collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from([
        (ana.id.clone(), anas.clone()),
        (ben.id.clone(), bens.clone()),
    ]);
    let patients = "action_type = 'RECORD_SEARCH' AND new_value ->> 'list' = 'patients'";
    assert_eq!(rows(patients).await, both);
    let given = "action_type = 'CONSENT_READ' AND new_value ->> 'list' = 'consentsGivenToMe'";
    assert_eq!(rows(given).await, both);
    assert!(
        world
            .audit_rows(&format!(
                "user_id = '{}' AND patient_id = '{}'",
                dr_bo.id, eve.id
            ))
            .await
            .is_empty()
    );
    let log = ana
        .asks("{ myAccessLog { nodes { sentence } } }", json!({}))
        .await;
    let log = log.data()["myAccessLog"].to_string();
    assert!(
        log.contains(
            "bo (doctor) looked through the list of your records, for treatment, by your consent."
        ),
        "{log}"
    );
    assert!(
        log.contains("bo (doctor) read your consents, for treatment."),
        "{log}"
    );

    // The next request goes by what was changed.
    ana.withdraws(&anas).await;
    eve.withdraws(&refusal).await;
    let answer = dr_bo.asks(PATIENTS, json!({})).await;
    let names: BTreeSet<String> = answer.data()["patients"]["nodes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|node| text(&node["patient"]["username"]))
        .collect();
    assert_eq!(names, BTreeSet::from(["ben".to_owned(), "eve".to_owned()]));
    let research = dr_bo.asks(PATIENTS, json!({ "purpose": "HRESCH" })).await;
    assert_eq!(research.data()["patients"]["nodes"], json!([]));
    let never = dr_bo.asks(PATIENTS, json!({ "purpose": "HMARKT" })).await;
    assert_eq!(never.data()["patients"]["nodes"], json!([]));
    let denied = world
        .audit_rows("action_type = 'ACCESS_DENIED' AND purpose = 'HMARKT'")
        .await;
    assert_eq!(denied.len(), 1);
    for (document, wanted) in [(PATIENTS, "RECORD_SEARCH"), (GIVEN, "CONSENT_READ")] {
        ana.asks(document, json!({})).await.fails_with("FORBIDDEN");
        let denied = world.audit_rows(&format!("action_type = 'ACCESS_DENIED' AND user_id = '{}' AND new_value ->> 'wanted' = '{wanted}'", ana.id)).await;
        assert_eq!(denied.len(), 1, "{wanted}");
    }
}

#[tokio::test]
async fn a_consent_that_was_written_by_sql_lets_a_doctor_see_nobody() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    world
        .attacks(&format!(
            "INSERT INTO data_processing_consents (
                 user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties
             ) VALUES ('{}', 'TREAT', CURRENT_TIMESTAMP, '[\"ALL_RECORDS\"]', '[\"READ\", \"SEARCH\"]',
                 '[{{\"kind\": \"user\", \"id\": \"{}\"}}]')",
            ana.id, dr_bo.id
        ))
        .await;

    let patients = dr_bo.asks(PATIENTS, json!({})).await;
    let given = dr_bo.asks(GIVEN, json!({})).await;

    assert_eq!(patients.data()["patients"]["nodes"], json!([]));
    assert_eq!(given.data()["consentsGivenToMe"]["nodes"], json!([]));
    assert_eq!(holders(&ana).await, json!([]));
}

#[tokio::test]
async fn everybody_finds_active_doctors_by_the_words_of_their_names() {
    let world = World::start().await;
    let (ana, ada) = (world.patient("ana").await, world.admin("ada").await);
    let dr_bo = world.doctor("bo-lee").await;
    let gone = world.doctor("bogart").await;
    world.patient("bo.the.patient").await;
    let off = "mutation($id: UUID!) { deactivateUser(input: { userId: $id }) { user { id } } }";
    ada.asks(off, json!({ "id": gone.id })).await.data();
    let query = "query D($search: String!) { doctors(search: $search) { nodes { id username email blockchainAddress } } }";
    let bo = json!([{ "id": dr_bo.id, "username": "dr.bo-lee", "email": null, "blockchainAddress": null }]);

    for (search, wanted) in [
        ("bo", bo.clone()),
        ("DR.Bo", bo.clone()),
        ("lee dr", bo.clone()),
        ("  le ", bo.clone()),
        ("ee", json!([])),
        ("bogart", json!([])),
        ("meditrustal", json!([])),
        ("bo' | !zz:*", json!([])),
    ] {
        for person in [&ana, &dr_bo, &ada] {
            let answer = person.asks(query, json!({ "search": search })).await;
            assert_eq!(answer.data()["doctors"]["nodes"], wanted, "{search}");
        }
    }
    let long = "b".repeat(51);
    for search in ["", "b", " .-_ ", &long] {
        let answer = ana.asks(query, json!({ "search": search })).await;
        let problem = answer.fails_with("BAD_USER_INPUT");
        assert_eq!(problem.extensions["field"], "search", "{search:?}");
    }
    world
        .nobody()
        .asks(query, json!({ "search": "bo" }))
        .await
        .fails_with("UNAUTHENTICATED");
    let rows = world
        .audit_rows(&format!(
            "action_type = 'USER_SEARCH' AND user_id = '{}'",
            ana.id
        ))
        .await;
    assert_eq!(rows.len(), 8);
    assert_eq!(
        rows[0]["new_value"],
        json!({ "list": "doctors", "count": 1 })
    );
    assert!(rows.iter().all(|row| row["patient_id"].is_null()));
}

#[tokio::test]
async fn the_history_of_consents_tells_what_was_given_withdrawn_and_over() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let dr_bo = world.doctor("bo").await;
    let first = ana.lets(&dr_bo, &["READ"]).await;
    let soon = world
        .sql("SELECT now() + INTERVAL '2 seconds' AS time")
        .await[0]["time"]
        .clone();
    let mut ends = terms(&["SEARCH"], &["IMAGING"], json!([{ "user": dr_bo.id }]));
    ends["expiresAt"] = soon.clone();
    let answer = ana.grants(ends).await;
    let second = id(&answer.data()["grantConsent"]["consent"]);
    ana.withdraws(&first).await;
    eventually("the second is over", async || {
        let is_over = format!("SELECT clock_timestamp() > '{}' AS over", text(&soon));
        (world.sql(&is_over).await[0]["over"] == true).then_some(())
    })
    .await;

    let query = "query H($after: Cursor) { consentHistory(first: 3, after: $after) {
        nodes { kind at consent { id isActive } } pageInfo { endCursor hasNextPage } } }";
    let mut told = Vec::new();
    let mut after = Value::Null;
    for _ in 0..2 {
        let answer = ana.asks(query, json!({ "after": after })).await;
        let page = &answer.data()["consentHistory"];
        told.extend(page["nodes"].as_array().expect("a list").iter().map(|it| {
            assert_eq!(it["consent"]["isActive"], false);
            (text(&it["kind"]), id(&it["consent"]))
        }));
        after = page["pageInfo"]["endCursor"].clone();
    }

    let event = |kind: &str, consent: &str| (kind.to_owned(), consent.to_owned());
    assert_eq!(
        told,
        [
            event("EXPIRED", &second),
            event("WITHDRAWN", &first),
            event("GIVEN", &second),
            event("GIVEN", &first),
        ]
    );
    let other = eve.asks(query, json!({})).await;
    assert_eq!(other.data()["consentHistory"]["nodes"], json!([]));
    let rows = world
        .audit_rows(&format!(
            "action_type = 'CONSENT_READ' AND user_id = '{}'",
            ana.id
        ))
        .await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["new_value"], json!({ "list": "consentHistory" }));
}
