//! A decision reads the consents that can concern who asks, and no others: it comes out as over all of them, and what was
//! changed in the others is found all the same.

use std::collections::BTreeSet;

use domain::access::Actor;
use domain::access::overview::{AccessSubject, concerns};
use domain::consents::{Consent, Grantee};
use domain::ids::{OrganizationId, SessionId, UserId};
use domain::organizations::{CurrentMembership, CurrentMemberships, OrganizationReach};
use domain::seals::{Sealed, StoredConsents};
use domain::users::Role;
use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id};

const STRANGER: &str = "01a20aa4-0000-7000-8000-00000000c0de";

/// A consent of ana's for treatment, about all records.
async fn gives(ana: &Person, activities: &[&str], grantees: Value) -> String {
    let mut input = json!({
        "purpose": "TREAT", "dataCategories": ["ALL_RECORDS"], "processingActivities": activities,
    });
    input["grantees"] = grantees;
    id(&ana.grants(input).await.data()["grantConsent"]["consent"])
}

async fn a_record(ana: &Person) -> String {
    let record = ana.creates(ana, "VITAL_SIGNS", documents::vital_signs());
    id(&record.await)
}

fn rows(stored: StoredConsents) -> Vec<Consent> {
    assert!(stored.unreadable.is_empty());
    let rows = stored.consents.into_iter().map(Sealed::into_parts);
    rows.map(|(consent, _)| consent).collect()
}

fn parsed(id: &str) -> uuid::Uuid {
    id.parse().expect("an id")
}

/// Eight consents and four refusals of ana's, to people, roles, organisations and everybody.
async fn gives_twelve(ana: &Person, [bo, cy]: [&Person; 2], [hospital, clinic]: [&String; 2]) {
    for (activities, grantees) in [
        (["READ"], json!([{ "user": bo.id }])),
        (["READ"], json!([{ "user": cy.id }])),
        (["SEARCH"], json!([{ "user": bo.id }])),
        (["SEARCH"], json!([{ "user": cy.id }])),
        (["READ"], json!([{ "role": "DOCTOR" }])),
        (["READ"], json!([{ "role": "PATIENT" }])),
        (
            ["READ"],
            json!([{ "user": cy.id }, { "organization": { "id": hospital, "country": "ID" } }]),
        ),
        (
            ["READ"],
            json!([{ "organization": { "id": clinic, "country": "ID" } }]),
        ),
        (["DENY"], json!([{ "user": cy.id }])),
        (["DENY"], json!([{ "role": "DOCTOR" }])),
        (
            ["DENY"],
            json!([{ "organization": { "id": hospital, "country": "ID" } }]),
        ),
        (["DENY"], json!([])),
    ] {
        gives(ana, &activities, grantees).await;
    }
}

#[tokio::test]
async fn a_decision_reads_every_refusal_and_what_names_who_asks() {
    let world = World::start().await;
    let (ana, dr_bo, dr_cy) = (
        world.patient("ana").await,
        world.doctor("bo").await,
        world.doctor("cy").await,
    );
    let hospital = world.organization("RS Harapan", "ID").await;
    let clinic = world.organization("Klinik", "ID").await;
    gives_twelve(&ana, [&dr_bo, &dr_cy], [&hospital, &clinic]).await;
    let patient = UserId(parsed(&ana.id));
    let mut conn = world.connects_as("meditrustal_api").await;
    let now = store::users::now(&mut conn).await.expect("the clock");
    let all = store::consents::in_force(&mut conn, &[patient], now).await;
    let all = rows(all.expect("consents"));
    assert_eq!(all.len(), 12);

    let hospital = OrganizationId(parsed(&hospital));
    let belongs = CurrentMembership {
        organization: hospital,
        country: "ID".parse().expect("a country"),
        reach: OrganizationReach::Home,
        until: None,
    };
    let nowhere = CurrentMemberships::default();
    let of_doctors = [
        nowhere,
        CurrentMemberships::of([belongs]),
        nowhere.with_left([(hospital, now)]),
        nowhere.with_unknown(),
    ];
    for (person, role, memberships) in [
        (&dr_bo, Role::Doctor, &of_doctors[..]),
        (&dr_cy, Role::Doctor, &of_doctors[..]),
        (&ana, Role::Patient, &of_doctors[..1]),
    ] {
        let whose = UserId(parsed(&person.id));
        let log_in = SessionId(parsed(STRANGER));
        let read = store::facts::of_person(&mut conn, whose, &[log_in], &[patient]).await;
        let stored = read.expect("facts").consents;
        let may_name = |grantee: &Grantee| match grantee {
            Grantee::User { id } => *id == whose,
            Grantee::Role { .. } => true,
            Grantee::Org { .. } => role == Role::Doctor,
        };
        let is_wanted =
            |consent: &&Consent| consent.is_denial() || consent.grantees.iter().any(may_name);
        let wanted: BTreeSet<_> = all.iter().filter(is_wanted).map(|it| it.id).collect();

        // And one of the others, which says that there are some.
        assert_eq!(stored.left_out, [patient], "{}", person.username);
        let read: BTreeSet<_> = rows(stored).iter().map(|it| it.id).collect();
        assert!(read.is_superset(&wanted), "{}", person.username);
        assert_eq!(read.len(), wanted.len() + 1, "{}", person.username);
        assert!(read.len() < all.len(), "{}", person.username);

        // Whatever the rows of memberships say, nothing is missed that the rule goes by.
        for memberships in memberships {
            let actor = Actor {
                id: whose,
                role,
                is_active: true,
                memberships: *memberships,
                second_factor: false,
                acts_for: None,
            };
            let is_left = |grantee: &Grantee| match grantee {
                Grantee::Org { id, .. } => memberships.left().any(|(left, _)| left == *id),
                Grantee::User { .. } | Grantee::Role { .. } => false,
            };
            let counts = |consent: &&Consent| {
                consent.is_denial()
                    || concerns(consent, AccessSubject::Person(actor))
                    || consent.grantees.iter().any(is_left)
            };
            let counting: BTreeSet<_> = all.iter().filter(counts).map(|it| it.id).collect();
            assert!(wanted.is_superset(&counting), "{actor:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_by_role_by_organization_or_to_everybody_wins_among_many_consents() {
    let world = World::start().await;
    let (ana, dr_bo, dr_cy) = (
        world.patient("ana").await,
        world.doctor("bo").await,
        world.doctor("cy").await,
    );
    let record = a_record(&ana).await;
    let hospital = world.organization("RS Harapan", "ID").await;
    world.joins(&dr_bo, &hospital).await;
    for doctor in [&dr_bo, &dr_cy] {
        ana.lets(doctor, &["READ"]).await;
        let others = json!([{ "role": "PATIENT" }, { "user": doctor.id }]);
        gives(&ana, &["EXPORT"], others).await;
    }
    gives(&ana, &["READ"], json!([{ "role": "PATIENT" }])).await;
    for doctor in [&dr_bo, &dr_cy] {
        doctor.reads(&record).await.data();
    }

    let of_hospital = json!([{ "organization": { "id": hospital, "country": "ID" } }]);
    for (grantees, lets_in_cy) in [
        (json!([{ "role": "DOCTOR" }]), false),
        (of_hospital, true),
        (json!([]), false),
        (json!([{ "role": "PATIENT" }, { "user": dr_bo.id }]), true),
    ] {
        let refusal = gives(&ana, &["DENY"], grantees.clone()).await;

        dr_bo.reads(&record).await.fails_with("NOT_FOUND");
        let of_cy = dr_cy.reads(&record).await;
        assert_eq!(of_cy.code().is_none(), lets_in_cy, "{grantees}");
        ana.withdraws(&refusal).await;
        for doctor in [&dr_bo, &dr_cy] {
            doctor.reads(&record).await.data();
        }
    }
}

#[tokio::test]
async fn what_was_changed_in_consents_that_name_others_is_found_by_anybodys_reading() {
    let world = World::start().await;
    let (ana, dr_bo, dr_cy) = (
        world.patient("ana").await,
        world.doctor("bo").await,
        world.doctor("cy").await,
    );
    let record = a_record(&ana).await;
    ana.lets(&dr_bo, &["READ"]).await;
    let mut changed = Vec::new();
    for activities in [["READ"], ["SEARCH"], ["EXPORT"]] {
        changed.push(ana.lets(&dr_cy, &activities).await);
    }
    for consent in &changed {
        world
            .attacks(&format!(
                "UPDATE data_processing_consents SET third_parties = '[{{\"kind\": \"user\", \"id\": \"{STRANGER}\"}}]'
                 WHERE id = '{consent}'"
            ))
            .await;
    }

    // Whom the changed rows do not name, and never named.
    dr_bo.reads(&record).await.data();

    for consent in &changed {
        let open = format!(
            "SELECT 1 FROM integrity_findings
             WHERE kind = 'ROW_TAMPERED' AND row_id = '{consent}' AND resolved_at IS NULL"
        );
        eventually(&format!("{consent} is found"), async || {
            (!world.sql(&open).await.is_empty()).then_some(())
        })
        .await;
    }
    dr_cy.reads(&record).await.fails_with("NOT_FOUND");
}
