//! Organisations: administrators make them and say who belongs to them; a consent to one lets in who belongs to it now, by
//! every way there is, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id, text};

const EVERYTHING: [&str; 3] = ["READ", "SEARCH", "EXPORT"];
const SEARCH: &str = "query($search: String) {
  organizations(search: $search) { nodes { id name country isActive } }
}";
const MEMBERS: &str = "query($id: UUID!) {
  organizationMembers(organizationId: $id) { nodes { id isActive doctor { username } organization { name } } }
}";
const MINE: &str =
    "{ me { organizations { name country } memberships { id isActive organization { name } } } }";

/// By how many of the ways to a record of a patient's this doctor gets to it: opened, listed, looked for across patients, its
/// versions, verified, taken out, the patient named, the consent named.
async fn ways(world: &World, doctor: &Person, patient: &Person, record: &str) -> Vec<&'static str> {
    let lists = "query($patient: UUID, $id: UUID!) {
        listed: medicalRecords(patientId: $patient) { totalCount nodes { id document } }
        everybody: medicalRecords(filter: { metadata: {} }) { totalCount nodes { id } }
        patients { nodes { patient { id } } }
        consentsGivenToMe { nodes { patient { id } } }
        medicalRecord(id: $id) { history { nodes { id } } }
    }";
    let asked = json!({ "patient": patient.id, "id": record });
    let answer = doctor.asks(lists, asked).await;
    let found = answer.partial_data().clone();
    let some = |list: &Value| {
        list["nodes"]
            .as_array()
            .is_some_and(|nodes| !nodes.is_empty())
    };
    let exported = doctor.exports(&world.api, patient, "").await;
    let ways = [
        ("opened", doctor.reads(record).await.code().is_none()),
        ("listed", some(&found["listed"])),
        ("counted", found["listed"]["totalCount"] == 1),
        ("found among everybody's", some(&found["everybody"])),
        (
            "counted among everybody's",
            found["everybody"]["totalCount"] == 1,
        ),
        ("among the patients", some(&found["patients"])),
        ("among the consents", some(&found["consentsGivenToMe"])),
        ("its versions", some(&found["medicalRecord"]["history"])),
        ("verified", doctor.verifies(record).await.code().is_none()),
        ("taken out", exported.status == 200),
    ];
    let open = ways.into_iter().filter(|(_, is_open)| *is_open);
    open.map(|(way, _)| way).collect()
}

/// All of [`ways`], or none.
async fn gets_in(world: &World, doctor: &Person, patient: &Person, record: &str) -> bool {
    let open = ways(world, doctor, patient, record).await;
    assert!(open.is_empty() || open.len() == 10, "{open:?}");
    !open.is_empty()
}

async fn has_a_record(patient: &Person) -> String {
    id(&patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await)
}

#[tokio::test]
async fn administrators_alone_make_organizations_and_say_who_belongs_to_them() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let ada = world.admin("ada").await;
    let hospital = ada.creates_organization("  RS Harapan Kita ", "ID").await;
    let hospital = hospital.data()["createOrganization"]["organization"].clone();
    let hospital_id = id(&hospital);
    assert_eq!(
        hospital,
        json!({ "id": hospital_id, "name": "RS Harapan Kita", "country": "ID", "isActive": true })
    );
    let added = ada.adds_member(&hospital_id, &dr_bo, json!({})).await;
    let membership = id(&added.data()["addMember"]["membership"]);

    for person in [&ana, &dr_bo] {
        let made = person.creates_organization("Another", "ID").await;
        made.fails_with("FORBIDDEN");
        let changed = person.updates_organization(&hospital_id, json!({ "isActive": false }));
        changed.await.fails_with("FORBIDDEN");
        let joined = person.adds_member(&hospital_id, &dr_bo, json!({})).await;
        joined.fails_with("FORBIDDEN");
        person
            .ends_membership(&membership)
            .await
            .fails_with("FORBIDDEN");
        let members = person.asks(MEMBERS, json!({ "id": hospital_id })).await;
        members.fails_with("FORBIDDEN");
        // Everybody finds it, by the beginnings of its words.
        for (search, found) in [
            (json!("kita hara"), 1),
            (json!("sakit"), 0),
            (Value::Null, 1),
        ] {
            let answer = person.asks(SEARCH, json!({ "search": search })).await;
            let nodes = answer.data()["organizations"]["nodes"].clone();
            assert_eq!(nodes.as_array().map(Vec::len), Some(found), "{search}");
        }
        person
            .asks(SEARCH, json!({ "search": "k" }))
            .await
            .fails_with("BAD_USER_INPUT");
    }
    let members = ada.asks(MEMBERS, json!({ "id": hospital_id })).await;
    assert_eq!(
        members.data()["organizationMembers"]["nodes"],
        json!([{
            "id": membership, "isActive": true, "doctor": { "username": "dr.bo" },
            "organization": { "name": "RS Harapan Kita" },
        }])
    );
    let mine = dr_bo.asks(MINE, json!({})).await;
    let organization = json!({ "name": "RS Harapan Kita", "country": "ID" });
    assert_eq!(mine.data()["me"]["organizations"], json!([organization]));
    assert_eq!(mine.data()["me"]["memberships"][0]["id"], json!(membership));
    // A patient sees where a doctor works, and no more.
    let doctors = "{ doctors(search: \"bo\") { nodes { organizations { name country } memberships { id } } } }";
    assert_eq!(
        ana.asks(doctors, json!({})).await.data()["doctors"]["nodes"],
        json!([{ "organizations": [organization], "memberships": null }])
    );
}

#[tokio::test]
async fn what_is_no_organization_and_no_member_is_refused() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let ada = world.admin("ada").await;
    let hospital = world.organization("RS Harapan", "ID").await;
    let field =
        |answer: &tests::Answer, code: &str| answer.fails_with(code).extensions["field"].clone();

    for (name, country, wrong) in [
        ("A", "ID", "name"),
        ("RS Baru", "id", "country"),
        ("RS Baru", "XX", "country"),
    ] {
        let answer = ada.creates_organization(name, country).await;
        assert_eq!(field(&answer, "BAD_USER_INPUT"), wrong, "{name}");
    }
    let taken = ada.creates_organization("rs harapan", "ID").await;
    assert_eq!(field(&taken, "CONFLICT"), "name");
    let abroad = ada.creates_organization("RS Harapan", "SG").await;
    abroad.data();
    let unknown = ada.updates_organization(&ana.id, json!({ "isActive": false }));
    let unknown = unknown.await;
    let told = unknown.fails_with("NOT_FOUND");
    assert!(told.message.contains("organisation"), "{told:?}");
    let patient = ada.adds_member(&hospital, &ana, json!({})).await;
    assert_eq!(field(&patient, "BAD_USER_INPUT"), "doctorId");
    let nowhere = ada.adds_member(&ana.id, &dr_bo, json!({})).await;
    assert_eq!(field(&nowhere, "BAD_USER_INPUT"), "organizationId");
    let over = json!({ "until": "2020-01-01T00:00:00Z" });
    let over = ada.adds_member(&hospital, &dr_bo, over).await;
    assert_eq!(field(&over, "BAD_USER_INPUT"), "until");
    let far = json!({ "until": "+10000-01-01T00:00:00Z" });
    let far = ada.adds_member(&hospital, &dr_bo, far).await;
    assert_eq!(field(&far, "BAD_USER_INPUT"), "until");
    world.joins(&dr_bo, &hospital).await;
    let twice = ada.adds_member(&hospital, &dr_bo, json!({})).await;
    assert_eq!(field(&twice, "CONFLICT"), "organizationId");
    ada.ends_membership(&ana.id).await.fails_with("NOT_FOUND");
    for nth in 1..8 {
        let more = world.organization(&format!("RS {nth}0"), "ID").await;
        world.joins(&dr_bo, &more).await;
    }
    let last = world.organization("RS Penuh", "ID").await;
    let unseen = ada
        .creates_organization("RS\u{a0} Harapan\u{200b}", "ID")
        .await;
    assert_eq!(field(&unseen, "BAD_USER_INPUT"), "name");
    let ninth = ada.adds_member(&last, &dr_bo, json!({})).await;
    assert_eq!(field(&ninth, "LIMIT_REACHED"), "doctorId");

    // A consent names an active organisation in its country, and nothing else.
    let terms = |id: &str, country: &str| {
        json!({
            "purpose": "TREAT", "dataCategories": ["ALL_RECORDS"], "processingActivities": ["READ"],
            "grantees": [{ "organization": { "id": id, "country": country } }],
        })
    };
    let inactive = ada.updates_organization(&last, json!({ "isActive": false }));
    inactive.await.data();
    for (id, country) in [(&ana.id, "ID"), (&hospital, "SG"), (&last, "ID")] {
        let answer = ana.grants(terms(id, country)).await;
        assert_eq!(
            field(&answer, "BAD_USER_INPUT"),
            "grantees",
            "{id} {country}"
        );
    }
    ana.grants(terms(&hospital, "ID")).await.data();
}

/// Whoever becomes a doctor again belongs to nothing until an administrator says so anew.
#[tokio::test]
async fn who_is_a_doctor_no_more_belongs_to_no_organization() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let ada = world.admin("ada").await;
    let record = has_a_record(&ana).await;
    let hospital = world.organization("RS Harapan", "ID").await;
    ana.lets_members(&hospital, "ID", &["READ"]).await;
    let membership = world.joins(&dr_bo, &hospital).await;
    dr_bo.reads(&record).await.data();
    let set = "mutation($input: SetRoleInput!) { setRole(input: $input) { outcome } }";

    for role in ["PATIENT", "DOCTOR"] {
        let input = json!({ "userId": dr_bo.id, "role": role });
        ada.asks(set, json!({ "input": input })).await.data();
    }

    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    let ended = format!("action_type = 'MEMBERSHIP_END' AND resource_id = '{membership}'");
    let rows = world.audit_rows(&ended).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["patient_id"], dr_bo.id.as_str());
}

/// A row that is not as it was sealed is not shown, and does not end the list.
#[tokio::test]
async fn a_page_without_a_node_goes_on_with_the_next_organization() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let older = world.organization("RS Lama", "ID").await;
    let newer = world.organization("RS Baru", "ID").await;
    let attack = format!("UPDATE organizations SET name = 'RS Palsu' WHERE id = '{newer}'");
    world.attacks(&attack).await;
    let page = "query($after: Cursor) { organizations(first: 1, after: $after) {
        nodes { id } pageInfo { hasNextPage endCursor }
    } }";

    let first = ana.asks(page, json!({})).await.data()["organizations"].clone();

    assert_eq!(first["nodes"], json!([]));
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let after = json!({ "after": first["pageInfo"]["endCursor"] });
    let second = ana.asks(page, after).await.data()["organizations"].clone();
    assert_eq!(second["nodes"], json!([{ "id": older }]));
}

/// Every decision about a doctor reads all of them, those that are over among them.
#[tokio::test]
async fn a_doctor_has_a_hundred_memberships_in_all() {
    let world = World::start().await;
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    let hospital = world.organization("RS Harapan", "ID").await;
    world
        .executes(&format!(
            "INSERT INTO memberships (id, user_id, organization_id, valid_from, valid_until)
             SELECT gen_random_uuid(), '{}', '{hospital}', now() - INTERVAL '2 days', now() - INTERVAL '1 day'
             FROM generate_series(1, 99)",
            dr_bo.id
        ))
        .await;
    let last = world.joins(&dr_bo, &hospital).await;
    ada.ends_membership(&last).await.data();

    let more = ada.adds_member(&hospital, &dr_bo, json!({})).await;

    let refusal = more.fails_with("LIMIT_REACHED");
    assert_eq!(refusal.extensions["field"], "doctorId");
}

#[tokio::test]
async fn a_consent_to_an_organization_lets_in_who_belongs_to_it_by_every_way_and_nobody_else() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (dr_bo, dr_cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let ada = world.admin("ada").await;
    let record = has_a_record(&ana).await;
    let hospital = world.organization("RS Harapan", "ID").await;
    let other = world.organization("RS Lain", "ID").await;
    ana.lets_members(&hospital, "ID", &EVERYTHING).await;
    world.joins(&dr_cy, &other).await;
    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
    assert!(!gets_in(&world, &dr_cy, &ana, &record).await);

    let membership = world.joins(&dr_bo, &hospital).await;

    assert!(gets_in(&world, &dr_bo, &ana, &record).await);
    assert!(!gets_in(&world, &dr_cy, &ana, &record).await);
    let ended = ada.ends_membership(&membership).await;
    let ended = ended.data()["endMembership"]["membership"].clone();
    assert_eq!(ended["isActive"], false);
    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
    // Again, and until a moment that comes.
    let soon = "SELECT (now() + INTERVAL '3 seconds')::timestamptz AS time";
    let soon = world.sql(soon).await[0]["time"].clone();
    let added = ada.adds_member(&hospital, &dr_bo, json!({ "until": soon }));
    added.await.data();
    dr_bo.reads(&record).await.data();
    eventually("the membership is over", async || {
        (dr_bo.reads(&record).await.code() == Some("NOT_FOUND")).then_some(())
    })
    .await;
    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
    // What begins later lets nobody in yet.
    let later = json!({ "from": "2099-01-01T00:00:00Z" });
    ada.adds_member(&hospital, &dr_bo, later).await.data();
    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
    // A deactivated organisation, and one that moved, let nobody in.
    world.joins(&dr_cy, &hospital).await;
    assert!(gets_in(&world, &dr_cy, &ana, &record).await);
    for (change, back) in [
        (json!({ "isActive": false }), json!({ "isActive": true })),
        (json!({ "country": "SG" }), json!({ "country": "ID" })),
    ] {
        ada.updates_organization(&hospital, change).await.data();
        assert!(!gets_in(&world, &dr_cy, &ana, &record).await);
        ada.updates_organization(&hospital, back).await.data();
        assert!(gets_in(&world, &dr_cy, &ana, &record).await);
    }
}

#[tokio::test]
async fn a_refusal_to_an_organization_keeps_its_members_out_whoever_lets_them_in() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let ada = world.admin("ada").await;
    let record = has_a_record(&ana).await;
    let hospital = world.organization("RS Harapan", "ID").await;
    let clinic = world.organization("Klinik", "ID").await;
    let membership = world.joins(&dr_bo, &hospital).await;
    world.joins(&dr_bo, &clinic).await;
    ana.lets(&dr_bo, &EVERYTHING).await;
    ana.lets_members(&clinic, "ID", &EVERYTHING).await;
    assert!(gets_in(&world, &dr_bo, &ana, &record).await);

    let refusal = ana.lets_members(&hospital, "ID", &["DENY"]).await;

    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
    // Nor does anybody come in because the organisation is closed.
    let closed = ada.updates_organization(&hospital, json!({ "isActive": false }));
    closed.await.data();
    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
    // Nor because the doctor left: the patient refused who belonged to it then.
    ada.ends_membership(&membership).await.data();
    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
    let opened = ada.updates_organization(&hospital, json!({ "isActive": true }));
    opened.await.data();
    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
    ana.withdraws(&refusal).await;
    assert!(gets_in(&world, &dr_bo, &ana, &record).await);
    // What is refused to it afterwards is not about who left before.
    ana.lets_members(&hospital, "ID", &["DENY"]).await;
    assert!(gets_in(&world, &dr_bo, &ana, &record).await);
}

#[tokio::test]
async fn a_row_that_was_changed_by_sql_lets_nobody_in_lifts_no_refusal_and_is_found() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, dr_cy) = (world.doctor("bo").await, world.doctor("cy").await);
    let (record, refused) = (has_a_record(&ana).await, has_a_record(&eve).await);
    let hospital = world.organization("RS Harapan", "ID").await;
    let other = world.organization("RS Lain", "ID").await;
    ana.lets_members(&hospital, "ID", &EVERYTHING).await;
    eve.lets(&dr_bo, &EVERYTHING).await;
    eve.lets_members(&other, "ID", &["DENY"]).await;
    let membership = world.joins(&dr_bo, &other).await;
    world
        .executes("CREATE TABLE public.members AS SELECT * FROM memberships; CREATE TABLE public.houses AS SELECT * FROM organizations")
        .await;
    let attacks = [
        (
            "memberships",
            &membership,
            format!("UPDATE memberships SET organization_id = '{hospital}'"),
        ),
        (
            "memberships",
            &membership,
            "UPDATE memberships SET ended_at = now()".to_owned(),
        ),
        (
            "memberships",
            &membership,
            "UPDATE memberships SET valid_from = now() + INTERVAL '1 day'".to_owned(),
        ),
        (
            "memberships",
            &membership,
            "UPDATE memberships SET seal = NULL, seal_key = NULL".to_owned(),
        ),
        (
            "organizations",
            &other,
            "UPDATE organizations SET country = 'SG'".to_owned(),
        ),
        (
            "organizations",
            &other,
            "UPDATE organizations SET name = 'RS Harapan Baru'".to_owned(),
        ),
    ];
    for (table, row, attack) in attacks {
        world.attacks(&format!("{attack} WHERE id = '{row}'")).await;

        dr_bo.reads(&record).await.fails_with("NOT_FOUND");
        dr_bo.reads(&refused).await.fails_with("NOT_FOUND");
        found(&world, table, row).await;
        world
            .attacks(
                "DELETE FROM memberships; DELETE FROM organizations;
                 INSERT INTO organizations SELECT * FROM public.houses;
                 INSERT INTO memberships SELECT * FROM public.members",
            )
            .await;
    }
    // One of the attacker's own making lets nobody in either.
    let own = "01a20aa4-0000-7000-8000-00000000c0de";
    world
        .executes(&format!(
            "INSERT INTO memberships (id, user_id, organization_id, valid_from)
             VALUES ('{own}', '{}', '{hospital}', now() - INTERVAL '1 day')",
            dr_cy.id
        ))
        .await;
    assert!(!gets_in(&world, &dr_cy, &ana, &record).await);
    found(&world, "memberships", own).await;
    // What is gone, or open again, is found by the trail.
    let ada = world.admin("ada").await;
    ada.ends_membership(&membership).await.data();
    world
        .attacks(&format!(
            "DELETE FROM memberships WHERE id = '{membership}';
             UPDATE integrity_findings SET resolved_at = now()"
        ))
        .await;
    let checking = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000")];
    let _checking = world.another_api("checking", &checking).await;
    found(&world, "memberships", &membership).await;
}

/// A row of before has a seal that is right: what was ended, removed or changed since is known besides.
#[tokio::test]
async fn no_older_row_of_a_membership_or_of_an_organization_counts() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    let (record, refused) = (has_a_record(&ana).await, has_a_record(&eve).await);
    let hospital = world.organization("RS Harapan", "ID").await;
    ana.lets_members(&hospital, "ID", &EVERYTHING).await;
    eve.lets(&dr_bo, &EVERYTHING).await;
    eve.lets_members(&hospital, "ID", &["DENY"]).await;
    let membership = world.joins(&dr_bo, &hospital).await;
    dr_bo.reads(&record).await.data();
    world
        .executes("CREATE TABLE public.members AS SELECT * FROM memberships; CREATE TABLE public.houses AS SELECT * FROM organizations")
        .await;
    ada.ends_membership(&membership).await.data();

    let put_back = "DELETE FROM memberships; INSERT INTO memberships SELECT * FROM public.members";
    for attack in [put_back, "DELETE FROM memberships"] {
        world.attacks(attack).await;
        dr_bo.reads(&record).await.fails_with("NOT_FOUND");
        dr_bo.reads(&refused).await.fails_with("NOT_FOUND");
    }

    let closed = ada.updates_organization(&hospital, json!({ "isActive": false }));
    closed.await.data();
    let older = "UPDATE organizations AS newer
         SET is_active = older.is_active, updated_at = older.updated_at, seal = older.seal, seal_key = older.seal_key
         FROM public.houses AS older
         WHERE older.id = newer.id";
    for refused in [older, "DELETE FROM organizations"] {
        let tried = format!(
            "DO $$ BEGIN {refused}; RAISE EXCEPTION 'it was let through';
             EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
        );
        world.executes(&tried).await;
    }
    world.attacks(older).await;
    let checking = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000")];
    let _checking = world.another_api("checking", &checking).await;
    found(&world, "organizations", &hospital).await;
}

/// Waits for an open finding about this row.
async fn found(world: &World, table: &str, row: &str) {
    let finding = format!(
        "SELECT id FROM integrity_findings
         WHERE kind = 'ROW_TAMPERED' AND table_name = '{table}' AND row_id = '{row}' AND resolved_at IS NULL"
    );
    eventually("a finding about the row", async || {
        world.sql(&finding).await.first().map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn members_abroad_need_transfer_and_what_they_see_is_written_down_as_crossing_the_border() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = has_a_record(&ana).await;
    let clinic = world.organization("Harbour Clinic", "SG").await;
    world.joins(&dr_bo, &clinic).await;
    let plain = ana.lets_members(&clinic, "SG", &EVERYTHING).await;
    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
    ana.withdraws(&plain).await;
    let transfer = ["READ", "SEARCH", "EXPORT", "TRANSFER"];
    let consent = ana.lets_members(&clinic, "SG", &transfer).await;

    assert!(gets_in(&world, &dr_bo, &ana, &record).await);

    let rows = format!(
        "user_id = '{}' AND consent_reference = '{consent}'",
        dr_bo.id
    );
    let rows = world.audit_rows(&rows).await;
    assert!(rows.len() > 5, "{}", rows.len());
    let begun = format!(
        "user_id = '{}' AND action_type = 'RECORD_SEARCH' AND new_value ->> 'export' = 'true'",
        dr_bo.id
    );
    let begun = world.audit_rows(&begun).await;
    assert_eq!(begun.len(), 1, "{begun:?}");
    for row in rows.into_iter().chain(begun) {
        let crossed = json!([row["is_cross_border"], row["destination_country"]]);
        assert_eq!(crossed, json!([true, "SG"]), "{row}");
    }
    // A country to which nothing may be sent has nobody who is let in.
    let ada = world.admin("ada").await;
    let set = "mutation($input: SetCountryRuleInput!) { setCountryRule(input: $input) { countryRule { country } } }";
    let rule = json!({ "country": "SG", "isAdequate": false, "hasSafeguards": false, "needsConsent": false });
    ada.asks(set, json!({ "input": rule })).await.data();
    assert!(!gets_in(&world, &dr_bo, &ana, &record).await);
}

#[tokio::test]
async fn each_change_and_each_refusal_has_its_row() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let ada = world.admin("ada").await;
    let made = ada.creates_organization("RS Harapan", "ID").await;
    let hospital = id(&made.data()["createOrganization"]["organization"]);
    let added = ada.adds_member(&hospital, &dr_bo, json!({})).await;
    let membership = id(&added.data()["addMember"]["membership"]);
    let moved = ada.updates_organization(&hospital, json!({ "name": "RS Baru" }));
    moved.await.data();
    ada.asks(MEMBERS, json!({ "id": hospital })).await.data();
    ada.ends_membership(&membership).await.data();
    // Ending it twice is harmless, and no second end.
    ada.ends_membership(&membership).await.data();
    ana.ends_membership(&membership)
        .await
        .fails_with("FORBIDDEN");
    ada.ends_membership(&ana.id).await.fails_with("NOT_FOUND");
    ana.asks(SEARCH, json!({ "search": "harapan" }))
        .await
        .data();

    let rows = format!(
        "user_id IN ('{}', '{}') AND (action_type ~ '^(ORGANIZATION|MEMBERSHIP)_'
             OR new_value ->> 'wanted' ~ '^(ORGANIZATION|MEMBERSHIP)_')",
        ada.id, ana.id
    );
    let rows = world.audit_rows(&rows).await.into_iter();
    let shown = rows.map(|row| {
        let said = &row["new_value"];
        let name = [&said["name"], &said["reason"], &said["list"]];
        let name = name.into_iter().find(|it| !it.is_null()).cloned();
        let of = &row["resource_id"];
        let of = [
            (&hospital, "hospital"),
            (&membership, "membership"),
            (&ana.id, "ana"),
        ]
        .into_iter()
        .find(|(id, _)| of == id.as_str())
        .map(|(_, name)| name);
        let about = (row["patient_id"] == dr_bo.id.as_str()).then_some("dr.bo");
        json!([row["action_type"], row["resource_type"], of, about, name])
    });
    assert_eq!(
        shown.collect::<Vec<Value>>(),
        [
            json!([
                "ORGANIZATION_CREATE",
                "ORGANIZATION",
                "hospital",
                null,
                "RS Harapan"
            ]),
            json!(["MEMBERSHIP_ADD", "MEMBERSHIP", "membership", "dr.bo", null]),
            json!([
                "ORGANIZATION_UPDATE",
                "ORGANIZATION",
                "hospital",
                null,
                "RS Baru"
            ]),
            json!([
                "MEMBERSHIP_READ",
                "ORGANIZATION",
                "hospital",
                null,
                "organizationMembers"
            ]),
            json!(["MEMBERSHIP_END", "MEMBERSHIP", "membership", "dr.bo", null]),
            json!(["ACCESS_DENIED", "USER", null, null, "ROLE"]),
            json!(["ACCESS_DENIED", "MEMBERSHIP", "ana", null, "NOT_FOUND"]),
            json!([
                "ORGANIZATION_SEARCH",
                "ORGANIZATION",
                null,
                null,
                "organizations"
            ]),
        ]
    );
    // The doctor reads of it what concerns them.
    let log = "{ myAccessLog { nodes { sentence } } }";
    let log = dr_bo.asks(log, json!({})).await.data().to_string();
    assert!(log.contains("member of an organisation"), "{log}");
}

/// A member follows what happens to records while the membership is in force, and is told nothing afterwards.
#[tokio::test]
async fn a_subscription_tells_a_member_nothing_after_the_membership() {
    let world = World::start().await;
    let (ana, joe) = (world.patient("ana").await, world.patient("joe").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    let hospital = world.organization("RS Harapan", "ID").await;
    let membership = world.joins(&dr_bo, &hospital).await;
    ana.lets_members(&hospital, "ID", &["SEARCH"]).await;
    joe.lets(&dr_bo, &["SEARCH"]).await;
    let mut told = dr_bo.watches(json!({})).await;
    let first = has_a_record(&ana).await;
    let (event, _) = told.until("ANCHOR_PENDING").await;
    assert_eq!(event["recordId"], first.as_str());

    ada.ends_membership(&membership).await.data();
    has_a_record(&ana).await;
    let last = has_a_record(&joe).await;

    loop {
        let event = told.next().await;
        let record = text(&event["recordId"]);
        if record == last {
            break;
        }
        assert_eq!(record, first, "{event}");
    }
}

/// Reads race with what takes them away: none is answered after the mutation was, and none is dated later.
#[tokio::test]
async fn nothing_is_disclosed_through_an_organization_after_it_was_left_or_closed() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = has_a_record(&ana).await;
    let hospital = world.organization("RS Harapan", "ID").await;
    ana.lets_members(&hospital, "ID", &["READ"]).await;
    let ada = world.admin("ada").await;
    for nth in 0..6 {
        let dr_bo = world.doctor(&format!("bo{nth}")).await;
        let membership = world.joins(&dr_bo, &hospital).await;
        dr_bo.reads(&record).await.data();
        let over = Arc::new(AtomicBool::new(false));
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (doctor, record, over) = (dr_bo.clone(), record.clone(), Arc::clone(&over));
            racing.spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    doctor.reads(&record).await;
                }
            });
        }
        let action = if nth % 2 == 0 {
            ada.ends_membership(&membership).await.data();
            "MEMBERSHIP_END"
        } else {
            let closed = ada.updates_organization(&hospital, json!({ "isActive": false }));
            closed.await.data();
            "ORGANIZATION_UPDATE"
        };
        assert_eq!(dr_bo.reads(&record).await.code(), Some("NOT_FOUND"));
        over.store(true, Ordering::SeqCst);
        while let Some(ended) = racing.join_next().await {
            ended.expect("nobody panics");
        }
        let later = format!(
            "SELECT count(*) AS count FROM audit_logs AS read
             WHERE read.user_id = '{}' AND read.action_type = 'RECORD_READ'
               AND read.created_at >= (SELECT max(event_time) FROM audit_logs WHERE action_type = '{action}')",
            dr_bo.id
        );
        assert_eq!(world.sql(&later).await[0]["count"], 0, "{action}");
        if nth % 2 == 1 {
            let opened = ada.updates_organization(&hospital, json!({ "isActive": true }));
            opened.await.data();
        }
    }
}
