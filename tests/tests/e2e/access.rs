//! Who may see what, by whose consent, for what, until when.

use std::collections::BTreeSet;

use domain::access::{AccessRequest, Action, Actor, decide};
use domain::consents::Consent;
use domain::organizations::{CurrentMembership, CurrentMemberships, OrganizationReach};
use domain::purpose::Purpose;
use domain::records::Availability;
use domain::users::Role;
use serde_json::{Value, from_value, json};
use tests::{Person, World, documents, eventually, id, text};

const LIST: &str = "query List(
  $patient: UUID, $filter: RecordFilterInput, $purpose: PurposeOfUse, $first: Int = 20, $after: Cursor
) {
  medicalRecords(patientId: $patient, filter: $filter, purpose: $purpose, first: $first, after: $after) {
    totalCount nodes { id recordType } pageInfo { hasNextPage endCursor }
  }
}";
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

/// The ids of the records somebody finds, on however many pages; the total must be their number.
async fn found_by(person: &Person, mut variables: Value) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    loop {
        let answer = person.asks(LIST, variables.clone()).await;
        let page = &answer.data()["medicalRecords"];
        ids.extend(page["nodes"].as_array().expect("a list").iter().map(id));
        if page["pageInfo"]["hasNextPage"] == false {
            assert_eq!(page["totalCount"], ids.len(), "{variables}");
            return ids;
        }
        variables["after"] = page["pageInfo"]["endCursor"].clone();
    }
}

fn consent(activities: &[&str], categories: &[&str], grantees: Value) -> Value {
    let mut terms = json!({
        "purpose": "TREAT", "dataCategories": categories, "processingActivities": activities,
    });
    terms["grantees"] = grantees;
    terms
}

#[tokio::test]
async fn a_record_one_may_not_see_is_answered_as_one_that_does_not_exist() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let queries = [
        "{ medicalRecord(id: $ID) { id document canonical patient { id } anchor { state } } }",
        "{ verifyRecord(id: $ID) { verdict dataHash } }",
    ];

    for person in [&dr_bo, &eve, &ada] {
        for query in queries {
            let said = async |record: &str| {
                let token = format!("Bearer {}", person.client.token().expect("logged in"));
                let query = query.replace("$ID", &format!("\"{record}\""));
                let body = json!({ "query": query }).to_string();
                let headers = [("authorization", token.as_str())];
                let reply = world.api.posts(&headers, &body).await;
                assert_eq!(reply.code(), "NOT_FOUND", "{} {query}", person.username);
                let request = reply.header("x-request-id").to_owned();
                (
                    reply.status,
                    reply.body.replace(&request, "…").replace(record, "…"),
                )
            };

            assert_eq!(said(&record).await, said(NOBODYS).await);
        }
        assert_eq!(found_by(person, json!({})).await, BTreeSet::new());
        assert_eq!(
            found_by(person, json!({ "patient": ana.id })).await,
            BTreeSet::new()
        );
    }
    let denied = world.audit_rows("action_type = 'ACCESS_DENIED'").await;
    let reason = |about: &str, person: &Person| {
        let mut rows = denied
            .iter()
            .filter(|row| row["new_value"]["asked"] == about);
        let row = rows.find(|row| row["user_id"] == person.id.as_str());
        row.expect("it was written down")["new_value"]["reason"].clone()
    };
    assert_eq!(reason(&record, &dr_bo), "NO_CONSENT");
    assert_eq!(reason(&record, &eve), "NO_CONSENT");
    assert_eq!(reason(&record, &ada), "ADMIN_CONTENT");
    assert_eq!(reason(NOBODYS, &dr_bo), "UNKNOWN");
}

#[tokio::test]
async fn a_consent_lets_a_doctor_in_and_its_withdrawal_binds_the_next_request() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, dr_cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");

    let consent = ana.lets(&dr_bo, &["READ", "SEARCH"]).await;

    let opened = dr_bo.reads(&record).await;
    let opened = &opened.data()["medicalRecord"];
    assert_eq!(opened["patient"]["username"], "ana");
    assert!(text(&opened["canonical"]).contains("\"vital-signs\""));
    assert_eq!(dr_bo.verifies(&record).await.code(), None);
    assert_eq!(
        found_by(&dr_bo, json!({})).await,
        BTreeSet::from([record.clone()])
    );
    // Nobody else is let in by it, and nobody else can take it back.
    dr_cy.reads(&record).await.fails_with("NOT_FOUND");
    eve.reads(&record).await.fails_with("NOT_FOUND");
    let withdraw = "mutation W($input: WithdrawConsentInput!) { withdrawConsent(input: $input) { consent { id } } }";
    for somebody in [&eve, &dr_bo] {
        let answer = somebody
            .asks(withdraw, json!({ "input": { "id": consent } }))
            .await;
        answer.fails_with("NOT_FOUND");
    }

    let withdrawn = ana.withdraws(&consent).await;

    assert_eq!(withdrawn["isActive"], false);
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    dr_bo.verifies(&record).await.fails_with("NOT_FOUND");
    assert_eq!(found_by(&dr_bo, json!({})).await, BTreeSet::new());
    // Taking it back once more changes nothing, not even the time.
    assert_eq!(
        ana.withdraws(&consent).await["withdrawnAt"],
        withdrawn["withdrawnAt"]
    );
    ana.reads(&record).await.data();
}

#[tokio::test]
async fn a_consent_reaches_no_further_than_it_says_and_a_refusal_wins() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let signs = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let lab = id(&ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await);
    let bo = json!([{ "user": dr_bo.id }]);
    let give = async |input: Value| {
        let answer = ana.grants(input).await;
        id(&answer.data()["grantConsent"]["consent"])
    };
    let sees = async |record: &str| match dr_bo.reads(record).await.code() {
        None => true,
        Some("NOT_FOUND") => false,
        Some(other) => panic!("{other}"),
    };

    // To read is not to search, nor the other way round; a category is not the next one.
    let read = give(consent(&["READ"], &["ALL_RECORDS"], bo.clone())).await;
    assert!(sees(&signs).await && sees(&lab).await);
    assert_eq!(found_by(&dr_bo, json!({})).await, BTreeSet::new());
    ana.withdraws(&read).await;
    let search = give(consent(&["SEARCH"], &["VITAL_SIGNS"], bo.clone())).await;
    assert!(!sees(&signs).await && !sees(&lab).await);
    assert_eq!(
        found_by(&dr_bo, json!({})).await,
        BTreeSet::from([signs.clone()])
    );
    ana.withdraws(&search).await;

    // A role lets everybody of that role in.
    let doctors = json!([{ "role": "DOCTOR" }]);
    let all = &["READ", "SEARCH"];
    let role = give(consent(all, &["ALL_RECORDS"], doctors)).await;
    assert!(sees(&signs).await && sees(&lab).await);
    let eve = world.patient("eve").await;
    eve.reads(&signs).await.fails_with("NOT_FOUND");

    // A refusal of one category closes that one, for its grantee, whatever else is allowed.
    let by_name = give(consent(all, &["LAB_RESULT"], bo.clone())).await;
    let refusal = give(consent(&["DENY"], &["LAB_RESULT"], bo)).await;
    let dr_cy = world.doctor("cy").await;
    assert!(sees(&signs).await && !sees(&lab).await);
    assert_eq!(
        found_by(&dr_bo, json!({})).await,
        BTreeSet::from([signs.clone()])
    );
    dr_cy.reads(&lab).await.data();
    let everybody = give(consent(&["DENY"], &["ALL_RECORDS"], json!([]))).await;
    assert!(!sees(&signs).await);
    dr_cy.reads(&lab).await.fails_with("NOT_FOUND");
    ana.reads(&lab).await.data();
    let denied = world.audit_rows("action_type = 'ACCESS_DENIED'").await;
    let last = &denied.last().expect("written down");
    assert_eq!(last["consent_reference"], everybody.as_str());
    assert_eq!(last["new_value"]["reason"], "CONSENT_DENY");

    for one in [everybody, refusal, by_name, role] {
        ana.withdraws(&one).await;
    }
    assert!(!sees(&signs).await && !sees(&lab).await);
}

#[tokio::test]
async fn a_consent_ends_by_the_clock_of_the_database_when_it_says() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let clock = async |query: &str| world.sql(query).await[0]["time"].clone();
    let past = clock("SELECT now() AS time").await;
    let mut terms = consent(
        &["READ", "SEARCH"],
        &["ALL_RECORDS"],
        json!([{ "user": dr_bo.id }]),
    );
    terms["expiresAt"] = past;
    let told = ana.grants(terms.clone()).await;
    assert_eq!(
        told.fails_with("BAD_USER_INPUT").extensions["field"],
        "expiresAt"
    );

    let soon = clock("SELECT now() + INTERVAL '3 seconds' AS time").await;
    terms["expiresAt"] = soon.clone();
    ana.grants(terms).await.data();

    // What is asked and answered before the end is let in, what is asked after it is not.
    let is_over = format!("SELECT clock_timestamp() >= '{}' AS time", text(&soon));
    let opened = dr_bo.reads(&record).await;
    if clock(&is_over).await == false {
        opened.data();
    }
    eventually("the consent is over", async || {
        (clock(&is_over).await == true).then_some(())
    })
    .await;
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    assert_eq!(found_by(&dr_bo, json!({})).await, BTreeSet::new());
    let mine = ana.asks("{ consents { nodes { isActive } } active: consents(activeOnly: true) { nodes { id } } }", json!({})).await;
    assert_eq!(
        mine.data()["consents"]["nodes"],
        json!([{ "isActive": false }])
    );
    assert_eq!(mine.data()["active"]["nodes"], json!([]));
}

#[tokio::test]
async fn the_purpose_is_taken_from_the_argument_then_the_header_then_the_role() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let mut research = consent(
        &["READ", "SEARCH"],
        &["ALL_RECORDS"],
        json!([{ "user": dr_bo.id }]),
    );
    research["purpose"] = json!("HRESCH");
    ana.grants(research).await.data();
    let token = format!("Bearer {}", dr_bo.client.token().expect("logged in"));
    let asks = async |argument: &str, header: Option<&str>| {
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(header.map(|code| ("x-purpose-of-use", code)));
        let query = format!("{{ medicalRecord(id: \"{record}\"{argument}) {{ id }} }}");
        let reply = world
            .api
            .posts(&headers, &json!({ "query": query }).to_string())
            .await;
        reply.code()
    };

    assert_eq!(
        asks("", None).await,
        "NOT_FOUND",
        "a doctor treats by default"
    );
    assert_eq!(asks(", purpose: HRESCH", None).await, "");
    assert_eq!(asks("", Some("HRESCH")).await, "");
    assert_eq!(asks(", purpose: TREAT", Some("HRESCH")).await, "NOT_FOUND");
    assert_eq!(asks(", purpose: HRESCH", Some("TREAT")).await, "");
    for never in ["HMARKT", "HSYSADMIN", "PATRQT", "HPAYMT"] {
        assert_eq!(asks("", Some(never)).await, "NOT_FOUND", "{never}");
    }
    assert_eq!(asks("", Some("CURIOSITY")).await, "BAD_USER_INPUT");
    let found = found_by(&dr_bo, json!({ "purpose": "HRESCH" })).await;
    assert_eq!(found, BTreeSet::from([record.clone()]));
    assert_eq!(found_by(&dr_bo, json!({})).await, BTreeSet::new());
    // An own consent has no purpose of the patient: nobody else acts for them.
    let mut own = consent(&["READ"], &["ALL_RECORDS"], json!([{ "user": dr_bo.id }]));
    own["purpose"] = json!("PATRQT");
    let told = ana.grants(own).await;
    assert_eq!(
        told.fails_with("BAD_USER_INPUT").extensions["field"],
        "purpose"
    );
}

#[tokio::test]
async fn only_the_patient_and_who_is_let_write_a_record() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let mut nobody = world.nobody();
    NOBODYS.clone_into(&mut nobody.id);
    let tries = async |by: &Person, patient: &Person| {
        let answer = by
            .stores(patient, "VITAL_SIGNS", documents::vital_signs(), json!({}))
            .await;
        let told = answer.fails_with("NOT_FOUND");
        (told.message.clone(), told.path.clone())
    };

    let mut told = BTreeSet::new();
    for by in [&dr_bo, &eve, &ada] {
        for patient in [&ana, &nobody] {
            told.insert(format!("{:?}", tries(by, patient).await));
        }
    }

    assert_eq!(
        told.len(),
        1,
        "a patient one may not know is one who is not: {told:?}"
    );
    let rows = world
        .sql("SELECT count(*) AS records FROM medical_records")
        .await;
    assert_eq!(rows[0]["records"], 0);
    ana.lets(&dr_bo, &["CREATE"]).await;
    let record = dr_bo
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    assert_eq!(record["author"]["id"], dr_bo.id.as_str());
    assert_eq!(record["patient"]["id"], ana.id.as_str());
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // Numerical Recipes' generator; its high bits are good enough to deal cards with.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    fn some<'a>(&mut self, of: &[&'a str]) -> Vec<&'a str> {
        let chosen: Vec<_> = of.iter().copied().filter(|_| self.roll(3) == 0).collect();
        if chosen.is_empty() {
            vec![of[self.roll(of.len())]]
        } else {
            chosen
        }
    }
}

fn membership(id: &str, country: &str, reach: OrganizationReach) -> CurrentMembership {
    CurrentMembership {
        organization: from_value(json!(id)).expect("an id"),
        country: country.parse().expect("a country"),
        reach,
        until: None,
    }
}

#[tokio::test]
async fn the_list_shows_exactly_what_the_policy_permits() {
    let world = World::start().await;
    let patients = [
        world.patient("ana").await,
        world.patient("eve").await,
        world.patient("joe").await,
    ];
    let doctors = [world.doctor("bo").await, world.doctor("cy").await];
    let (organization, abroad) = (
        world.organization("RS Harapan", "ID").await,
        world.organization("Harbour Clinic", "SG").await,
    );
    for of in [&organization, &abroad] {
        world.joins(&doctors[0], of).await;
    }
    let memberships = CurrentMemberships::of([
        membership(&organization, "ID", OrganizationReach::Home),
        membership(&abroad, "SG", OrganizationReach::Abroad),
    ]);
    for patient in &patients {
        for (record_type, _) in documents::ALL {
            patient
                .creates(patient, record_type, documents::of(record_type))
                .await;
        }
    }
    world
        .executes(
            "UPDATE medical_records SET restricted_at = now()
             WHERE patient_id = (SELECT id FROM users WHERE username = 'joe') AND record_type IN ('IMAGING', 'DIAGNOSIS');",
        )
        .await;
    let mut dice = Dice(20_261_123);
    let purposes = [
        "TREAT", "COC", "ETREAT", "BTG", "CLINTRL", "POPHLTH", "HRESCH", "HOPERAT",
    ];
    let categories: Vec<&str> = documents::ALL.iter().map(|(name, _)| *name).collect();
    let grantees = |dice: &mut Dice| match dice.roll(11) {
        0 => json!([]),
        1 => json!([{ "kind": "role", "role": "DOCTOR" }]),
        2 => json!([{ "kind": "role", "role": "PATIENT" }]),
        3 => json!([{ "kind": "org", "id": organization, "country": "ID" }]),
        4 => json!([{ "kind": "org", "id": NOBODYS, "country": "ID" }]),
        // Where it is, and where it is not.
        7 => json!([{ "kind": "org", "id": abroad, "country": "SG" }]),
        8 => json!([{ "kind": "org", "id": organization, "country": "SG" }]),
        5 => json!([{ "kind": "user", "id": NOBODYS }, { "kind": "user", "id": doctors[0].id }]),
        6 => json!([{ "kind": "user", "id": doctors[0].id }]),
        _ => json!([{ "kind": "user", "id": doctors[1].id }]),
    };
    let mut permits = 0;
    let mut refuses = 0;

    for _round in 0..8 {
        // A few rows a patient: with many, everything is refused, and nothing is proven.
        let mut rows = Vec::new();
        for patient in &patients {
            for _ in 0..12 {
                let wide = dice.roll(4) == 0;
                let activities = if dice.roll(8) == 0 {
                    vec!["DENY"]
                } else {
                    dice.some(&["READ", "SEARCH", "CREATE", "TRANSFER"])
                };
                let categories = if wide {
                    vec!["ALL_RECORDS"]
                } else {
                    dice.some(&categories)
                };
                let time = |dice: &mut Dice, past: &str| match dice.roll(5) {
                    0 => format!("now() - INTERVAL '{past}'"),
                    1 => "now() + INTERVAL '1 day'".to_owned(),
                    _ => "NULL".to_owned(),
                };
                // What begins later cannot have ended before.
                let (given, expires) = match dice.roll(8) {
                    0 => ("now() + INTERVAL '1 hour'", "NULL".to_owned()),
                    _ => ("now() - INTERVAL '2 days'", time(&mut dice, "1 day")),
                };
                rows.push(format!(
                    "(gen_random_uuid(), '{}', '{}', {given}, {expires}, {}, '{}', '{}', '{}')",
                    patient.id,
                    purposes[dice.roll(purposes.len())],
                    time(&mut dice, "1 hour"),
                    json!(categories),
                    json!(activities),
                    grantees(&mut dice),
                ));
            }
        }
        world
            .executes(&format!(
                "SET session_replication_role = replica;
                 DELETE FROM data_processing_consents;
                 INSERT INTO data_processing_consents (id, user_id, purpose, consent_given_at, consent_expires_at,
                     consent_withdrawn_at, data_categories, processing_activities, third_parties) VALUES {};
                 SET session_replication_role = origin",
                rows.join(", ")
            ))
            .await;
        world.seals().await;
        let consents = consents_of(&world).await;
        let records = world
            .sql("SELECT id, patient_id, record_type, restricted_at FROM medical_records")
            .await;
        let now =
            from_value(world.sql("SELECT now() AS time").await[0]["time"].clone()).expect("a time");

        let nowhere = CurrentMemberships::default();
        for (doctor, memberships) in [(&doctors[0], memberships), (&doctors[1], nowhere)] {
            for purpose in purposes {
                let actor = Actor {
                    id: from_value(json!(doctor.id)).expect("an id"),
                    role: Role::Doctor,
                    is_active: true,
                    memberships,
                    second_factor: false,
                    acts_for: None,
                };
                let may_find = |record: &&Value| {
                    let question = AccessRequest {
                        actor,
                        patient: from_value(record["patient_id"].clone()).expect("an id"),
                        action: Action::Search,
                        purpose: purpose.parse::<Purpose>().expect("a purpose"),
                        record_type: text(&record["record_type"]).parse().expect("a type"),
                        availability: if record["restricted_at"].is_null() {
                            Availability::Open
                        } else {
                            Availability::Restricted
                        },
                        destination: None,
                        emergency: None,
                        now,
                    };
                    decide(&question, &consents).is_permit()
                };
                let expected: BTreeSet<_> = records.iter().filter(may_find).map(id).collect();

                let found = found_by(doctor, json!({ "purpose": purpose, "first": 100 })).await;
                // The same by the other way there is: the rule in SQL, and metadata that all have.
                let across =
                    json!({ "purpose": purpose, "first": 100, "filter": { "metadata": {} } });
                let found_across = found_by(doctor, across).await;

                for found in [found, found_across] {
                    assert_eq!(
                        found, expected,
                        "{} for {purpose}: {consents:#?}",
                        doctor.username
                    );
                }
                permits += expected.len();
                refuses += records.len() - expected.len();
            }
        }
    }
    assert!(
        permits > 100 && refuses > 100,
        "{permits} permitted, {refuses} refused: a poor sample"
    );
    // If the list had asked the policy to correct it, the log would say so.
    assert!(!world.api.log().contains("SQL and the policy disagree"));
}

/// More patients than are looked up by name, so that the records of everybody are looked through.
#[tokio::test]
async fn a_doctor_whom_a_whole_town_lets_in_finds_what_the_policy_permits() {
    let world = World::start().await;
    let dr_bo = world.doctor("bo").await;
    let town = "INSERT INTO users (email, username, hashed_password, role)
                SELECT 'n' || n || '@town.example', 'n' || n, '!', 'PATIENT' FROM generate_series(1, 260) AS n;
         INSERT INTO medical_records (
             patient_id, blockchain_record_id, record_type, record_metadata, encrypted_data, data_hash)
         SELECT id, '0x' || username || record_type, record_type, '{}', '', username || record_type
         FROM users, UNNEST(ARRAY['IMAGING', 'DIAGNOSIS']) AS kind(record_type) WHERE username ~ '^n[0-9]+$';
         INSERT INTO data_processing_consents (
             user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties)
         SELECT users.id, 'TREAT', now() - INTERVAL '1 day', categories, activities, grantees
         FROM users, (VALUES
             (0, '[\"ALL_RECORDS\"]'::jsonb, '[\"SEARCH\"]'::jsonb, '[{\"kind\": \"role\", \"role\": \"DOCTOR\"}]'::jsonb),
             (1, '[\"IMAGING\"]', '[\"SEARCH\"]', '[{\"kind\": \"role\", \"role\": \"DOCTOR\"}]'),
             (2, '[\"DIAGNOSIS\"]', '[\"DENY\"]', '[]')
         ) AS terms(nth, categories, activities, grantees)
         WHERE username ~ '^n[0-9]+$' AND (substr(username, 2)::int + nth) % 4 < 2";
    world.executes(town).await;
    world.seals().await;

    let consents = consents_of(&world).await;
    let records = world
        .sql("SELECT id, patient_id, record_type FROM medical_records")
        .await;
    let now =
        from_value(world.sql("SELECT now() AS time").await[0]["time"].clone()).expect("a time");
    let may_find = |record: &&Value| {
        let question = AccessRequest {
            actor: Actor {
                id: from_value(json!(dr_bo.id)).expect("an id"),
                role: Role::Doctor,
                is_active: true,
                memberships: CurrentMemberships::default(),
                second_factor: false,
                acts_for: None,
            },
            patient: from_value(record["patient_id"].clone()).expect("an id"),
            action: Action::Search,
            purpose: Purpose::Treatment,
            record_type: text(&record["record_type"]).parse().expect("a type"),
            availability: Availability::Open,
            destination: None,
            emergency: None,
            now,
        };
        decide(&question, &consents).is_permit()
    };
    let expected: BTreeSet<_> = records.iter().filter(may_find).map(id).collect();
    assert!(
        expected.len() > 100 && expected.len() < 400,
        "{}",
        expected.len()
    );

    assert_eq!(found_by(&dr_bo, json!({ "first": 100 })).await, expected);
    assert!(!world.api.log().contains("SQL and the policy disagree"));
    // A code is another hash for each patient, so it is looked for in one at a time.
    let code = json!({ "code": { "system": "http://loinc.org", "code": "4548-4" } });
    let answer = dr_bo.asks(LIST, json!({ "filter": code })).await;
    assert_eq!(
        answer.fails_with("BAD_USER_INPUT").extensions["field"],
        "code"
    );
    let one = json!({ "filter": code, "patient": records[0]["patient_id"] });
    assert_eq!(found_by(&dr_bo, one).await, BTreeSet::new());
}

/// Every consent there is, as the policy reads it.
async fn consents_of(world: &World) -> Vec<Consent> {
    let rows = world.sql("SELECT * FROM data_processing_consents").await;
    let read = |row: &Value| Consent {
        id: from_value(row["id"].clone()).expect("an id"),
        patient: from_value(row["user_id"].clone()).expect("an id"),
        purpose: text(&row["purpose"]).parse().expect("a purpose"),
        given_at: from_value(row["consent_given_at"].clone()).expect("a time"),
        expires_at: from_value(row["consent_expires_at"].clone()).expect("a time or none"),
        withdrawn_at: from_value(row["consent_withdrawn_at"].clone()).expect("a time or none"),
        categories: from_value(row["data_categories"].clone()).expect("categories"),
        activities: from_value(row["processing_activities"].clone()).expect("activities"),
        grantees: from_value(row["third_parties"].clone()).expect("grantees"),
    };
    rows.iter().map(read).collect()
}

#[tokio::test]
async fn who_withdraws_one_of_two_consents_is_told_that_access_remains() {
    let world = World::start().await;
    let (ana, dr_bo, dr_cy) = (
        world.patient("ana").await,
        world.doctor("bo").await,
        world.doctor("cy").await,
    );
    let first = ana.lets(&dr_bo, &["READ"]).await;
    let second = ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let of_somebody_else = ana.lets(&dr_cy, &["READ"]).await;
    let to_all_doctors = json!({
        "purpose": "TREAT", "dataCategories": ["VITAL_SIGNS"], "processingActivities": ["READ"],
        "grantees": [{ "role": "DOCTOR" }],
    });
    let third = ana.grants(to_all_doctors).await;
    let third = text(&third.data()["grantConsent"]["consent"]["id"]);
    let withdraw = async |id: &str| {
        let document =
            "mutation W($input: WithdrawConsentInput!) { withdrawConsent(input: $input) {
            consent { isActive } remaining { id isActive } } }";
        let answer = ana.asks(document, json!({ "input": { "id": id } })).await;
        let remaining = answer.data()["withdrawConsent"]["remaining"].clone();
        let remaining = remaining.as_array().expect("a list").clone();
        assert!(remaining.iter().all(|it| it["isActive"] == true));
        remaining
            .iter()
            .map(|it| text(&it["id"]))
            .collect::<BTreeSet<_>>()
    };
    let set = |ids: &[&String]| ids.iter().map(|id| (*id).clone()).collect::<BTreeSet<_>>();

    assert_eq!(withdraw(&first).await, set(&[&second, &third]));
    // Told again to who asks again.
    assert_eq!(withdraw(&first).await, set(&[&second, &third]));
    assert_eq!(withdraw(&second).await, set(&[&third]));
    assert_eq!(withdraw(&third).await, set(&[&of_somebody_else]));
    assert_eq!(withdraw(&of_somebody_else).await, set(&[]));
}
