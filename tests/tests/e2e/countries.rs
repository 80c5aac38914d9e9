//! Data that is sent to another country: by the country's rule, by a consent that says so, and written down as such.

use serde_json::{Value, json};
use tests::{Person, Reply, World, documents, id, text};

const RULES: &str =
    "{ countryRules { country isAdequate hasSafeguards needsConsent mayBeSentTo } }";
const SET: &str = "mutation Set($input: SetCountryRuleInput!) {
  setCountryRule(input: $input) { countryRule { country isAdequate mayBeSentTo } }
}";

fn rule(country: &str, bases: [bool; 3]) -> Value {
    let [adequate, safeguards, consent] = bases;
    json!({ "input": {
        "country": country, "isAdequate": adequate, "hasSafeguards": safeguards, "needsConsent": consent,
    } })
}

/// A consent to a doctor that names a hospital in a country besides.
fn lets(doctor: &Person, activities: &[&str], (hospital, country): (&str, &str)) -> Value {
    let hospital = json!({ "organization": { "id": hospital, "country": country } });
    json!({
        "purpose": "TREAT", "dataCategories": ["VITAL_SIGNS"], "processingActivities": activities,
        "grantees": [{ "user": doctor.id }, hospital],
    })
}

async fn takes_out(world: &World, person: &Person, patient: &Person, to: &str) -> Reply {
    person
        .exports(&world.api, patient, &format!("&destination={to}"))
        .await
}

/// The rows of the trail about what was taken out: action, whether it crossed a border, where to, reason.
async fn crossings(world: &World, person: &Person) -> Vec<Value> {
    let rows = format!(
        "user_id = '{}' AND (action_type = 'RECORD_EXPORT' OR new_value ->> 'wanted' = 'EXPORT'
             OR new_value ->> 'export' = 'true')",
        person.id
    );
    let rows = world.audit_rows(&rows).await.into_iter();
    let shown = rows.map(|row| {
        json!([
            row["action_type"],
            row["is_cross_border"],
            row["destination_country"],
            row["new_value"]["reason"]
        ])
    });
    shown.collect()
}

#[tokio::test]
async fn what_is_sent_abroad_needs_a_consent_that_says_so_and_is_written_down_as_such() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    id(&record.await);
    // To take it out is not to send it abroad; nor is another country that one.
    let hospital = world.organization("Harbour Hospital", "SG").await;
    let in_sg = (hospital.as_str(), "SG");
    let plain = ana.grants(lets(&dr_bo, &["EXPORT"], in_sg)).await;
    let plain = id(&plain.data()["grantConsent"]["consent"]);
    assert_eq!(takes_out(&world, &dr_bo, &ana, "SG").await.status, 404);
    assert_eq!(takes_out(&world, &dr_bo, &ana, "ID").await.status, 200);
    ana.withdraws(&plain).await;
    let abroad = ana
        .grants(lets(&dr_bo, &["EXPORT", "TRANSFER"], in_sg))
        .await;
    abroad.data();
    assert_eq!(takes_out(&world, &dr_bo, &ana, "MY").await.status, 404);

    let sent = takes_out(&world, &dr_bo, &ana, "SG").await;

    assert_eq!(sent.status, 200);
    assert_eq!(sent.body.lines().count(), 1);
    assert_eq!(
        crossings(&world, &dr_bo).await,
        [
            json!(["ACCESS_DENIED", true, "SG", "NO_CONSENT"]),
            json!(["RECORD_SEARCH", false, null, null]),
            json!(["RECORD_EXPORT", false, null, null]),
            json!(["ACCESS_DENIED", true, "MY", "NO_CONSENT"]),
            json!(["RECORD_SEARCH", true, "SG", null]),
            json!(["RECORD_EXPORT", true, "SG", null]),
        ]
    );
    says_where_to(&world, &dr_bo).await;
    // The patient's own goes where the rule lets it, and is written down alike.
    assert_eq!(takes_out(&world, &ana, &ana, "SG").await.status, 200);
    assert_eq!(
        crossings(&world, &ana).await,
        [
            json!(["RECORD_SEARCH", true, "SG", null]),
            json!(["RECORD_EXPORT", true, "SG", null]),
        ]
    );
}

/// `auditLogs` shows of the newest export its country, in which form the data was, when, and for how long the row is kept.
async fn says_where_to(world: &World, person: &Person) {
    const ROW: &str = "query Row($id: UUID!) {
      auditLogs(first: 1, userId: $id, actionType: RECORD_EXPORT) { nodes {
        id isCrossBorder destinationCountry encryptionStatus eventTime retentionPeriod
      } }
    }";
    let admin = world.first_admin().await;

    let answer = admin.asks(ROW, json!({ "id": person.id })).await;

    let row = &answer.data()["auditLogs"]["nodes"][0];
    assert_eq!(row["isCrossBorder"], true);
    assert_eq!(row["destinationCountry"], "SG");
    let [form, at, kept] =
        ["encryptionStatus", "eventTime", "retentionPeriod"].map(|name| text(&row[name]));
    let same = format!(
        "encryption_status = '{form}' AND event_time = '{at}' AND retention_period = INTERVAL '{kept}'"
    );
    let number: i64 = text(&row["id"]).parse().expect("a number");
    let rows = world.audit_rows(&same).await;
    assert!(rows.iter().any(|it| it["id"] == number), "{row}");
}

#[tokio::test]
async fn nothing_is_sent_to_a_country_without_a_rule_whoever_consents() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let ada = world.admin("ada").await;
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    id(&record.await);
    let hospital = world.organization("Hospital do Porto", "BR").await;
    ana.grants(lets(&dr_bo, &["EXPORT", "TRANSFER"], (&hospital, "BR")))
        .await
        .data();
    let refused = async |person: &Person, to: &str| {
        let reply = takes_out(&world, person, &ana, to).await;
        assert_eq!(reply.status, 400, "{to}: {}", reply.body);
        assert_eq!(reply.code(), "BAD_USER_INPUT", "{to}");
        assert!(reply.body.contains("destination"), "{}", reply.body);
    };
    for to in ["BR", "brazil", "sg", ""] {
        refused(&dr_bo, to).await;
    }
    refused(&ana, "BR").await;
    let denied = json!(["ACCESS_DENIED", true, "BR", "COUNTRY"]);
    for person in [&dr_bo, &ana] {
        let found = crossings(&world, person).await;
        assert_eq!(found, std::slice::from_ref(&denied));
    }

    let nowhere = ada.asks(SET, rule("XX", [false, true, false])).await;
    let told = nowhere.fails_with("BAD_USER_INPUT");
    assert_eq!(told.extensions["field"], "country");
    let set = ada.asks(SET, rule("BR", [false, true, false])).await;
    assert_eq!(
        set.data()["setCountryRule"]["countryRule"],
        json!({ "country": "BR", "isAdequate": false, "mayBeSentTo": true })
    );
    assert_eq!(takes_out(&world, &dr_bo, &ana, "BR").await.status, 200);
    ada.asks(SET, rule("BR", [false, false, false]))
        .await
        .data();
    refused(&dr_bo, "BR").await;
    let rows = world.audit_rows("action_type = 'COUNTRY_RULE_SET'").await;
    let shown = rows.iter().map(|row| {
        json!([
            row["user_id"],
            row["resource_type"],
            row["purpose"],
            row["old_value"],
            row["new_value"]
        ])
    });
    let first = json!({ "country": "BR", "isAdequate": false, "hasSafeguards": true, "needsConsent": false });
    let second = json!({ "country": "BR", "isAdequate": false, "hasSafeguards": false, "needsConsent": false });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            json!([ada.id, "COUNTRY_RULE", "HCOMPL", null, first]),
            json!([ada.id, "COUNTRY_RULE", "HCOMPL", first, second]),
        ]
    );
}

#[tokio::test]
async fn administrators_read_and_set_rules_and_nobody_else() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let ada = world.admin("ada").await;
    for person in [&ana, &dr_bo] {
        person.asks(RULES, json!({})).await.fails_with("FORBIDDEN");
        let set = person.asks(SET, rule("BR", [true, false, false])).await;
        set.fails_with("FORBIDDEN");
    }
    for country in ["", "br", "BRA", "B1"] {
        let refused = ada.asks(SET, rule(country, [true, false, false])).await;
        let error = refused.fails_with("BAD_USER_INPUT");
        assert_eq!(error.extensions["field"], "country", "{country}");
    }

    let rules = ada.asks(RULES, json!({})).await;

    let rules = rules.data()["countryRules"]
        .as_array()
        .expect("a list")
        .clone();
    let of = |country: &str| rules.iter().find(|rule| rule["country"] == country);
    assert!(rules.len() > 30, "{rules:?}");
    assert_eq!(of("DE").expect("a default")["isAdequate"], true);
    assert_eq!(of("SG").expect("a default")["hasSafeguards"], true);
    assert_eq!(of("US").expect("a default")["needsConsent"], true);
    assert!(of("BR").is_none());
    assert_eq!(
        world
            .audit_rows("action_type = 'COUNTRY_RULE_READ'")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn what_is_abroad_depends_on_where_data_is_at_home() {
    let world = World::with(|options| {
        let home = ("MEDITRUSTAL_HOME_COUNTRY", "SG");
        options.api.push((home.0.to_owned(), home.1.to_owned()));
    })
    .await;
    let ana = world.patient("ana").await;
    let record = ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs());
    id(&record.await);

    assert_eq!(takes_out(&world, &ana, &ana, "SG").await.status, 200);
    assert_eq!(
        crossings(&world, &ana).await,
        [
            json!(["RECORD_SEARCH", false, null, null]),
            json!(["RECORD_EXPORT", false, null, null]),
        ]
    );
    assert_eq!(takes_out(&world, &ana, &ana, "ID").await.status, 400);
}
