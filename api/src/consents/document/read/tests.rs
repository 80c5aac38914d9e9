#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use chrono::TimeDelta;
use domain::{consents::Consent, ids::ConsentId, records::RecordType};
use serde_json::{Value, json};

use super::*;
use crate::consents::document::write;

const ANA: UserId = UserId(Uuid::from_u128(1));

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap()
}

fn consent() -> Consent {
    Consent {
        id: ConsentId(Uuid::from_u128(5)),
        patient: ANA,
        purpose: Purpose::Treatment,
        given_at: now(),
        expires_at: Some(now() + TimeDelta::days(30)),
        withdrawn_at: None,
        categories: vec![Category::All, Category::Only(RecordType::Imaging)],
        activities: vec![
            Activity::Read,
            Activity::Search,
            Activity::Create,
            Activity::Amend,
            Activity::Export,
            Activity::Transfer,
        ],
        grantees: vec![
            Grantee::User {
                id: UserId(Uuid::from_u128(6)),
            },
            Grantee::Role { role: Role::Doctor },
            Grantee::Org {
                id: OrganizationId(Uuid::from_u128(7)),
                country: "ID".to_owned(),
            },
        ],
    }
}

fn refusal() -> Consent {
    Consent {
        expires_at: None,
        categories: vec![Category::All],
        activities: vec![Activity::Deny],
        grantees: Vec::new(),
        ..consent()
    }
}

fn read(document: &Value) -> Result<Terms, Vec<Issue>> {
    let document = fhir::reader::read(document.to_string().as_bytes()).unwrap();
    terms(&document, ANA, now())
}

#[test]
fn what_is_written_is_r4_and_reads_back_as_it_was() {
    let purposes = Purpose::ALL.iter().map(|purpose| Consent {
        purpose: *purpose,
        ..consent()
    });
    let types = RecordType::ALL.iter().map(|of| Consent {
        categories: vec![Category::Only(*of)],
        ..consent()
    });
    for consent in purposes.chain(types).chain([refusal()]) {
        let written = write::document(&consent, true);
        let read = read(&written).unwrap();
        assert!(read.are_those_of(&consent), "{written}");
    }
    // One that is over is R4, too, and cannot be given.
    let over = Consent {
        withdrawn_at: Some(now()),
        ..consent()
    };
    let written = write::document(&over, false);
    let json = fhir::reader::read(written.to_string().as_bytes()).unwrap();
    assert_eq!(fhir::validate::base(&json), []);
    assert_eq!(written["status"], "inactive");
    let paths: Vec<String> = read(&written)
        .unwrap_err()
        .into_iter()
        .map(|issue| issue.path)
        .collect();
    assert_eq!(paths, ["Consent.extension", "Consent.status"]);
}

#[test]
fn a_document_says_it_in_the_words_of_the_standard() {
    let written = write::document(&consent(), true);
    assert_eq!(written["provision"]["type"], "permit");
    assert_eq!(
        written["provision"]["purpose"],
        json!([{ "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT" }])
    );
    assert_eq!(
        written["provision"]["period"],
        json!({ "start": "2027-01-15T08:00:00.123456Z", "end": "2027-02-14T08:00:00.123456Z" })
    );
    assert_eq!(written["dateTime"], "2027-01-15T08:00:00.123456Z");
    assert_eq!(
        written["provision"]["actor"][0]["reference"]["reference"],
        "Practitioner/00000000-0000-0000-0000-000000000006"
    );
    let denied = write::document(&refusal(), true);
    assert_eq!(denied["provision"]["type"], "deny");
    assert_eq!(denied["provision"]["action"], Value::Null);
    assert_eq!(denied["provision"]["actor"], Value::Null);
}

#[test]
fn the_words_of_the_standard_alone_are_taken_where_they_say_one_thing() {
    let mut written = write::document(&consent(), true);
    let alone = |code: &str| json!({ "coding": [{ "system": ACTIONS, "code": code }] });
    written["provision"]["action"] = json!([alone("access"), alone("correct")]);
    written["provision"]["class"].take();
    written["provision"]
        .as_object_mut()
        .unwrap()
        .remove("class");
    let terms = read(&written).unwrap();
    assert_eq!(
        terms.activities,
        [Activity::Read, Activity::Search, Activity::Amend]
    );
    assert_eq!(terms.categories, [Category::All]);
}

#[test]
fn a_narrative_or_a_tag_that_may_say_more_is_refused_and_the_rest_about_a_document_is_not() {
    let narrative = |status: &str| {
        let div = "<div xmlns=\"http://www.w3.org/1999/xhtml\">Not on Sundays</div>";
        json!({ "status": status, "div": div })
    };
    let tag = json!({ "tag": [coding("urn:x", "y")] });
    let label = json!({ "security": [coding("urn:x", "y")] });
    let version = json!({ "versionId": "1", "lastUpdated": "2026-01-01T00:00:00Z" });
    for (name, value, path) in [
        ("text", narrative("generated"), None),
        ("text", narrative("additional"), Some("Consent.text.status")),
        ("text", narrative("extensions"), Some("Consent.text.status")),
        ("meta", version, None),
        ("meta", tag, Some("Consent.meta.tag")),
        ("meta", label, Some("Consent.meta.security")),
    ] {
        let mut written = write::document(&consent(), true);
        written[name] = value;
        let issues = read(&written).err().unwrap_or_default();
        let paths: Vec<&str> = issues.iter().map(|issue| issue.path.as_str()).collect();
        assert_eq!(paths, Vec::from_iter(path), "{name}");
    }
}

fn coding(system: &str, code: &str) -> Value {
    json!({ "system": system, "code": code })
}

/// A change, and where it is refused.
type Case = (&'static str, Value, &'static str);

fn about_the_consent() -> Vec<Case> {
    let later = (now() + TimeDelta::hours(1)).to_rfc3339();
    vec![
        ("/status", json!("proposed"), "Consent.status"),
        ("/scope/coding/0/code", json!("research"), "Consent.scope"),
        (
            "/category/0/coding/0/code",
            json!("57016-8"),
            "Consent.category[0]",
        ),
        (
            "/patient/reference",
            json!("Patient/00000000-0000-0000-0000-000000000002"),
            "Consent.patient",
        ),
        (
            "/policyRule/coding/0/code",
            json!("OPTIN"),
            "Consent.policyRule",
        ),
        ("/provision/type", json!("deny"), "Consent.provision.action"),
        (
            "/provision/period/end",
            json!("2027-02-14"),
            "Consent.provision.period.end",
        ),
        (
            "/provision/period/start",
            json!(later),
            "Consent.provision.period.start",
        ),
        (
            "/provision/purpose",
            json!([coding(PURPOSES, "TREAT"), coding(PURPOSES, "HRESCH")]),
            "Consent.provision.purpose",
        ),
        (
            "/provision/purpose/0/code",
            json!("HLEGAL"),
            "Consent.provision.purpose[0]",
        ),
        (
            "/provision/class/0/system",
            json!("http://hl7.org/fhir/resource-types"),
            "Consent.provision.class[0]",
        ),
    ]
}

fn about_actions_and_actors() -> Vec<Case> {
    let action = |codes: Value| json!([{ "coding": codes }]);
    vec![
        (
            "/provision/action",
            action(json!([coding(ACTIONS, "disclose")])),
            "Consent.provision.action[0]",
        ),
        (
            "/provision/action",
            action(json!([coding(ACTIONS, "collect")])),
            "Consent.provision.action[0]",
        ),
        (
            "/provision/action",
            action(json!([
                coding(ACTIVITIES, "CREATE"),
                coding(ACTIONS, "collect")
            ])),
            "Consent.provision.action[0]",
        ),
        (
            "/provision/action",
            action(json!([
                coding(ACTIVITIES, "READ"),
                coding(ACTIONS, "correct")
            ])),
            "Consent.provision.action[0]",
        ),
        (
            "/provision/action",
            action(json!([
                coding(ACTIVITIES, "READ"),
                coding("urn:other", "x")
            ])),
            "Consent.provision.action[0]",
        ),
        (
            "/provision/action",
            action(json!([coding(ACTIVITIES, "DENY")])),
            "Consent.provision.action[0]",
        ),
        (
            "/provision/actor/0/role/coding/0/code",
            json!("CST"),
            "Consent.provision.actor[0].role",
        ),
        (
            "/provision/actor/0/reference/reference",
            json!("Group/1"),
            "Consent.provision.actor[0].reference",
        ),
        (
            "/provision/actor/2/extension/0/url",
            json!("urn:other"),
            "Consent.provision.actor[2].reference",
        ),
        (
            "/provision/actor/1/reference/identifier/value",
            json!("NURSE"),
            "Consent.provision.actor[1].reference",
        ),
    ]
}

#[test]
fn what_no_consent_here_can_say_is_refused_where_it_stands() {
    let cases = about_the_consent().into_iter();
    for (pointer, value, path) in cases.chain(about_actions_and_actors()) {
        let mut written = write::document(&consent(), true);
        *written.pointer_mut(pointer).unwrap() = value.clone();
        let issues = read(&written).unwrap_err();
        let paths: Vec<&str> = issues.iter().map(|issue| issue.path.as_str()).collect();
        assert_eq!(paths, [path], "{pointer} {value}");
        assert!(issues[0].rule.starts_with("consent:"), "{issues:?}");
    }
}

#[test]
fn what_is_not_understood_or_missing_is_refused_where_it_stands() {
    let more = [
        ("provision", "dataPeriod", json!({ "start": "2020-01-01" })),
        ("provision", "securityLabel", json!([coding("urn:x", "R")])),
        ("provision", "provision", json!([{ "type": "deny" }])),
        ("", "verification", json!([{ "verified": true }])),
        (
            "",
            "extension",
            json!([{ "url": "urn:x", "valueCode": "y" }]),
        ),
    ];
    for (place, name, value) in more {
        let mut written = write::document(&consent(), true);
        let (object, path) = if place.is_empty() {
            (&mut written, format!("Consent.{name}"))
        } else {
            (
                &mut written["provision"],
                format!("Consent.provision.{name}"),
            )
        };
        object[name] = value;
        let issues = read(&written).unwrap_err();
        assert_eq!(issues[0].path, path);
    }
    for (missing, path) in [
        ("action", "Consent.provision.action"),
        ("actor", "Consent.provision.actor"),
        ("purpose", "Consent.provision.purpose"),
        ("type", "Consent.provision.type"),
    ] {
        let mut written = write::document(&consent(), true);
        written["provision"]
            .as_object_mut()
            .unwrap()
            .remove(missing);
        let issues = read(&written).unwrap_err();
        assert_eq!(issues[0].path, path);
    }
    let other = json!({ "resourceType": "Patient" });
    assert_eq!(read(&other).unwrap_err()[0].path, "resourceType");
    let broken = json!({ "resourceType": "Consent", "status": "active" });
    assert!(read(&broken).unwrap_err().len() > 1);
}
