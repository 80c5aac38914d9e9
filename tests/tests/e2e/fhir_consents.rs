//! Consents as FHIR R4 documents: taken out, and given again.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, id};

const IMPORT: &str = "mutation Import($input: ImportConsentInput!) {
  importConsent(input: $input) {
    consent {
      id purpose dataCategories processingActivities expiresAt isActive fhir
      grantees { kind role organizationId country user { id } }
    }
  }
}";
const TAKEN_OUT: &str = "{ consents { nodes {
    id purpose dataCategories processingActivities expiresAt fhir
    grantees { kind role organizationId country user { id } }
} } }";

async fn imports(person: &Person, document: Value) -> Answer {
    let input = json!({ "document": document });
    person.asks(IMPORT, json!({ "input": input })).await
}

const IMPORT_ALL: &str = "mutation ImportAll($input: ImportConsentsInput!) {
  importConsents(input: $input) { consents { id isActive fhir } inactive }
}";

async fn imports_all(person: &Person, bundle: &Value) -> Answer {
    let input = json!({ "document": bundle });
    person.asks(IMPORT_ALL, json!({ "input": input })).await
}

/// What of a consent is agreed to.
fn terms(consent: &Value) -> Value {
    let set = |field: &str| {
        let items = consent[field].as_array().expect("a list").iter();
        items.map(Value::to_string).collect::<BTreeSet<_>>()
    };
    json!({
        "purpose": consent["purpose"], "expiresAt": consent["expiresAt"], "categories": set("dataCategories"),
        "activities": set("processingActivities"), "grantees": set("grantees"),
    })
}

#[tokio::test]
async fn a_consent_that_was_taken_out_and_withdrawn_is_given_again_by_its_document() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = ana.creates(&ana, "IMAGING", documents::of("IMAGING"));
    let record = id(&record.await);
    let hospital = world.organization("RS Harapan", "ID").await;
    let hospital = json!({ "id": hospital, "country": "ID" });
    let grantees =
        json!([{ "user": dr_bo.id }, { "role": "DOCTOR" }, { "organization": hospital }]);
    let end = world
        .sql("SELECT (now() + INTERVAL '1 day')::timestamptz(6) AS time")
        .await[0]["time"]
        .clone();
    let wide = json!({
        "purpose": "TREAT", "dataCategories": ["IMAGING", "ALL_RECORDS"], "expiresAt": end,
        "processingActivities": ["READ", "SEARCH", "CREATE", "AMEND", "EXPORT", "TRANSFER"], "grantees": grantees,
    });
    let refusal = json!({
        "purpose": "HRESCH", "dataCategories": ["LAB_RESULT"], "processingActivities": ["DENY"], "grantees": [],
    });
    for consent in [wide, refusal] {
        ana.grants(consent).await.data();
    }
    let before = ana.asks(TAKEN_OUT, json!({})).await;
    let before = before.data()["consents"]["nodes"].clone();
    let before = before.as_array().expect("a list");

    for consent in before {
        assert_eq!(consent["fhir"]["status"], "active");
        assert_eq!(consent["fhir"]["id"], consent["id"]);
        ana.withdraws(&id(consent)).await;
    }
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    for consent in before {
        let given = imports(&ana, consent["fhir"].clone()).await;
        let given = given.data()["importConsent"]["consent"].clone();
        assert_ne!(given["id"], consent["id"]);
        assert_eq!(given["isActive"], true);
        assert_eq!(terms(&given), terms(consent));
        // The same again is the same consent.
        let again = imports(&ana, given["fhir"].clone()).await;
        assert_eq!(again.data()["importConsent"]["consent"]["id"], given["id"]);
    }

    dr_bo.reads(&record).await.data();
    let granted = world.audit_rows("action_type = 'CONSENT_GRANT'").await;
    assert_eq!(granted.len(), 4);
    for (first, again) in [(0, 3), (1, 2)] {
        for said in [
            "purpose",
            "dataCategories",
            "processingActivities",
            "thirdParties",
            "expiresAt",
        ] {
            assert_eq!(
                granted[first]["new_value"][said], granted[again]["new_value"][said],
                "{said}"
            );
        }
    }
    // All of them in one bundle, part by part.
    let mut found = Vec::new();
    let mut after = Value::Null;
    loop {
        let part = "query($after: Cursor) { exportConsents(first: 3, after: $after) { bundle endCursor } }";
        let part = ana.asks(part, json!({ "after": after })).await;
        let part = &part.data()["exportConsents"];
        assert_eq!(part["bundle"]["type"], "collection");
        let entries = part["bundle"]["entry"].as_array().expect("a list").iter();
        found.extend(entries.map(|entry| entry["resource"]["status"].clone()));
        after = part["endCursor"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(found, ["active", "active", "inactive", "inactive"]);
    let told = "new_value ->> 'list' = 'exportConsents' AND action_type = 'CONSENT_READ'";
    assert_eq!(world.audit_rows(told).await.len(), 2);
}

#[tokio::test]
async fn a_document_that_says_what_no_consent_can_is_refused_with_its_paths_and_nothing_is_given() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    let consent = ana.lets(&dr_bo, &["READ"]).await;
    let taken = ana.asks(TAKEN_OUT, json!({})).await;
    let document = taken.data()["consents"]["nodes"][0]["fhir"].clone();
    ana.withdraws(&consent).await;
    let changed = |pointer: &str, value: Value| {
        let mut document = document.clone();
        *document.pointer_mut(pointer).expect("it is there") = value;
        document
    };
    let nobody = "Practitioner/00000000-0000-4000-8000-000000000000";
    let actor = "/provision/actor/0/reference/reference";
    let mut nested = document.clone();
    nested["provision"]["provision"] = json!([{ "type": "deny" }]);
    for (by, document, path) in [
        (
            &ana,
            changed("/status", json!("inactive")),
            "Consent.status",
        ),
        (&ana, nested, "Consent.provision.provision"),
        (
            &ana,
            changed("/provision/purpose", json!([])),
            "Consent.provision.purpose",
        ),
        (
            &ana,
            changed(actor, json!(nobody)),
            "Consent.provision.actor",
        ),
        (
            &ana,
            changed("/provision/purpose/0/code", json!("PATRQT")),
            "Consent.provision.purpose",
        ),
        (
            &ana,
            changed(
                "/provision/period",
                json!({ "end": "2020-01-01T00:00:00Z" }),
            ),
            "Consent.provision.period.end",
        ),
        (&eve, document.clone(), "Consent.patient"),
        (
            &ana,
            json!({ "resourceType": "Observation" }),
            "Observation",
        ),
    ] {
        let refused = imports(by, document.clone()).await;
        let error = refused.fails_with("INVALID_DOCUMENT");
        let issues = error.extensions["issues"].as_array().expect("a list");
        let found = issues.iter().any(|issue| {
            issue["path"]
                .as_str()
                .is_some_and(|it| it.starts_with(path))
                && issue["code"].is_string()
        });
        assert!(found, "{path}: {issues:?}");
    }
    let mut own = changed("/patient/reference", json!(format!("Patient/{}", ada.id)));
    own["id"].take();
    let own = own.as_object().expect("an object");
    let own: serde_json::Map<_, _> = own
        .clone()
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    imports(&ada, json!(own)).await.fails_with("FORBIDDEN");
    let input = json!({ "document": document, "idempotencyKey": "" });
    let refused = ana.asks(IMPORT, json!({ "input": input })).await;
    assert_eq!(
        refused.fails_with("BAD_USER_INPUT").extensions["field"],
        "idempotencyKey"
    );

    assert_eq!(
        world
            .audit_rows("action_type = 'CONSENT_GRANT'")
            .await
            .len(),
        1
    );
    let open = "SELECT 1 FROM data_processing_consents WHERE consent_withdrawn_at IS NULL";
    assert!(world.sql(open).await.is_empty());
}

#[tokio::test]
async fn all_consents_of_a_bundle_are_given_again_or_none_of_them() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = ana.creates(&ana, "IMAGING", documents::of("IMAGING"));
    let record = id(&record.await);
    for activities in [&["READ"][..], &["SEARCH"]] {
        ana.lets(&dr_bo, activities).await;
    }
    let bundle = "{ exportConsents { bundle } }";
    let bundle = ana.asks(bundle, json!({})).await.data()["exportConsents"]["bundle"].clone();
    let taken = ana.asks(TAKEN_OUT, json!({})).await;
    for consent in taken.data()["consents"]["nodes"]
        .as_array()
        .expect("a list")
    {
        ana.withdraws(&id(consent)).await;
    }
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    let granted = "action_type = 'CONSENT_GRANT'";
    let before = world.audit_rows(granted).await.len();

    // The second names somebody else's account: the first is not given, either.
    let mut wrong = bundle.clone();
    let patient = json!(format!("Patient/{}", dr_bo.id));
    wrong["entry"][1]["resource"]["patient"]["reference"] = patient;
    let refused = imports_all(&ana, &wrong).await;
    let refused = refused.fails_with("INVALID_DOCUMENT");
    let said = refused.extensions["issues"].to_string();
    assert!(said.contains("Bundle.entry[1].resource.patient"), "{said}");
    let document = &bundle["entry"][0]["resource"];
    imports_all(&ana, document)
        .await
        .fails_with("INVALID_DOCUMENT");
    assert_eq!(world.audit_rows(granted).await.len(), before);
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");

    let given = imports_all(&ana, &bundle).await;
    let given = &given.data()["importConsents"];
    let consents = given["consents"].as_array().expect("a list");
    assert_eq!((consents.len(), &given["inactive"]), (2, &json!(0)));
    assert!(consents.iter().all(|it| it["isActive"] == true), "{given}");
    assert_eq!(world.audit_rows(granted).await.len(), before + 2);
    dr_bo.reads(&record).await.data();
    // What is over is passed over, and what is in force stays as it is.
    let all = "{ exportConsents { bundle } }";
    let all = ana.asks(all, json!({})).await.data()["exportConsents"]["bundle"].clone();
    let again = imports_all(&ana, &all).await;
    let again = &again.data()["importConsents"];
    assert_eq!(again["inactive"], 2, "{again}");
    assert_eq!(world.audit_rows(granted).await.len(), before + 2);
}
