use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use domain::{representatives::Relationship, users::Role};
use serde_json::json;
use store::audit::Run;
use uuid::Uuid;

use super::*;

/// Actions whose rows are about nobody's data: no patient reads of them.
const ABOUT_NOBODY: [AuditAction; 21] = [
    AuditAction::AuthRegister,
    AuditAction::AuthLogin,
    AuditAction::AuthLoginFailed,
    AuditAction::AuthLocked,
    AuditAction::AuthLogout,
    AuditAction::AuthRefresh,
    AuditAction::AuthRefreshReuse,
    AuditAction::UserRead,
    AuditAction::SessionSearch,
    AuditAction::UserSearch,
    AuditAction::NotificationRead,
    AuditAction::CountryRuleRead,
    AuditAction::CountryRuleSet,
    AuditAction::OrganizationSearch,
    AuditAction::OrganizationCreate,
    AuditAction::OrganizationUpdate,
    AuditAction::MembershipRead,
    AuditAction::RetentionRuleSet,
    AuditAction::KeyRotate,
    AuditAction::BackupRun,
    AuditAction::BackupRestore,
];

const ANA: UserId = UserId(Uuid::from_u128(1));
const BO: UserId = UserId(Uuid::from_u128(2));

fn bo() -> User {
    User {
        id: BO,
        email: "bo@x.io".to_owned(),
        username: "dr.bo".to_owned(),
        role: Role::Doctor,
        is_active: true,
        blockchain_address: None,
        organization: None,
        created_at: DateTime::UNIX_EPOCH,
    }
}

/// What Bo did for treatment with one record of Ana's, without opening it.
fn row(action: &str, said: Value) -> AuditRow {
    AuditRow {
        id: 1,
        event_time: DateTime::UNIX_EPOCH,
        user: BO,
        action_type: action.to_owned(),
        resource_type: "MEDICAL_RECORD".to_owned(),
        resource_id: Uuid::nil(),
        old_value: None,
        new_value: Some(said),
        ip_address: "::1".to_owned(),
        user_agent: None,
        request_id: Uuid::nil(),
        purpose: Purpose::Treatment.as_str().to_owned(),
        consent_reference: None,
        retention_days: 1,
        data_classification: "MEDICAL".to_owned(),
        is_cross_border: false,
        destination_country: None,
        encryption_status: "METADATA_ONLY".to_owned(),
        created_at: DateTime::UNIX_EPOCH,
        patient: Some(ANA),
        record_ids: Vec::new(),
        on_behalf_of: None,
        relationship: None,
        run: Run {
            oldest: 1,
            since: DateTime::UNIX_EPOCH,
            times: 1,
            records: 1,
            record: None,
        },
    }
}

/// What Ana reads of it.
fn told(row: &AuditRow, language: Language) -> String {
    of(row, Some(&bo()), ANA, language)
}

/// All that rows say by which sentences differ.
fn outcomes() -> Vec<Value> {
    let tables = [
        "data_processing_consents",
        "second_factors",
        "users",
        "sessions",
        "role_proposals",
        "access_codes",
        "break_glass_windows",
        "data_deletion_requests",
        "representatives",
        "consent_receipts",
        "legal_holds",
        "memberships",
        "medical_records",
    ];
    let found = tables.map(|table| json!({ "table": table }));
    let others = [
        json!({}),
        json!({ "withdrawn": true }),
        json!({ "attachment": 0 }),
        json!({ "count": 0 }),
        json!({ "by": "TIME" }),
        json!({ "decision": "JUSTIFIED" }),
        json!({ "decision": "UNJUSTIFIED" }),
        json!({ "forgedReview": "RESTORED" }),
        json!({ "forgedReview": "REMOVED" }),
        json!({ "rejected": true }),
        json!({ "export": "MY_DATA" }),
        json!({ "stream": "recordUpdated" }),
    ];
    others.into_iter().chain(found).collect()
}

/// The rows of an action by everything that changes what is said of them.
fn rows_of(action: AuditAction) -> Vec<AuditRow> {
    let mut rows = Vec::new();
    for said in outcomes() {
        for encryption in ["METADATA_ONLY", "DECRYPTED_FOR_DISCLOSURE"] {
            for records in [0, 1, 3] {
                for user in [ANA, BO] {
                    let mut row = row(action.as_str(), said.clone());
                    row.encryption_status = encryption.to_owned();
                    (row.run.records, row.user) = (records, user);
                    rows.push(row);
                }
            }
        }
    }
    rows
}

#[test]
fn every_action_and_each_outcome_has_a_sentence_of_its_own_in_each_language() {
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    for action in AuditAction::ALL {
        for row in rows_of(*action) {
            let english = told(&row, Language::English);
            let indonesian = told(&row, Language::Indonesian);
            let is_unknown = english.contains(SOMETHING.said_in(Language::English));
            assert_eq!(is_unknown, ABOUT_NOBODY.contains(action), "{english}");
            for sentence in [&english, &indonesian] {
                assert!(sentence.ends_with('.'), "{sentence}");
                assert!(!sentence.contains(['<', '>']), "{sentence}");
                assert!(!sentence.contains("  "), "{sentence}");
            }
            pairs.insert(english, indonesian);
        }
    }

    let indonesian: BTreeSet<&String> = pairs.values().collect();
    assert!(pairs.len() > 90, "{} sentences", pairs.len());
    assert_eq!(indonesian.len(), pairs.len(), "two are said as one");
    for (english, indonesian) in &pairs {
        for word in [" your", " you ", " the ", " of ", " and ", " was "] {
            assert!(!indonesian.contains(word), "{indonesian}");
        }
        for word in ["Anda", " dan ", " yang ", " rekam "] {
            assert!(!english.contains(word), "{english}");
        }
    }
}

#[test]
fn each_word_of_a_sentence_is_said_in_each_language() {
    let purposes = Purpose::ALL.iter().copied().map(Purpose::in_words);
    let relationships = Relationship::ALL.iter().copied();
    let relationships = relationships.map(Relationship::in_words);
    let roles = Role::ALL.iter().copied().map(Role::in_words);
    for phrase in purposes.chain(relationships).chain(roles) {
        let english = phrase.said_in(Language::English);
        let indonesian = phrase.said_in(Language::Indonesian);
        assert!(!english.is_empty() && !indonesian.is_empty());
        assert_ne!(english, indonesian);
    }
}

#[test]
fn who_what_for_whom_why_on_what_ground_and_how_often_are_said_in_each_language() {
    let opened = AuditRow {
        encryption_status: "DECRYPTED_FOR_DISCLOSURE".to_owned(),
        consent_reference: Some(Uuid::nil()),
        ..row("RECORD_READ", json!({}))
    };
    let mut many = opened.clone();
    (many.run.records, many.run.times) = (3, 4);
    let refused = AuditRow {
        consent_reference: Some(Uuid::nil()),
        ..row("ACCESS_DENIED", json!({}))
    };
    let represented = AuditRow {
        on_behalf_of: Some(ANA),
        relationship: Some(Relationship::Parent),
        purpose: Purpose::PatientRequest.as_str().to_owned(),
        ..opened.clone()
    };
    let claimed = AuditRow {
        on_behalf_of: Some(ANA),
        ..row("ACCESS_DENIED", json!({}))
    };
    let mut followed = AuditRow {
        consent_reference: Some(Uuid::nil()),
        ..row("RECORD_SEARCH", json!({ "stream": "integrityEvents" }))
    };
    followed.run.records = 2;
    let newer = row("RECORD_FOLD", json!({}));
    let table = [
        (
            opened,
            "dr.bo (doctor) opened a record of yours, for treatment, by your consent.",
            "dr.bo (dokter) membuka satu rekam medis Anda, untuk perawatan, dengan persetujuan Anda.",
        ),
        (
            many,
            "dr.bo (doctor) opened 3 records of yours, for treatment, by your consent, 4 times.",
            "dr.bo (dokter) membuka 3 rekam medis Anda, untuk perawatan, dengan persetujuan Anda, 4 kali.",
        ),
        (
            refused,
            "dr.bo (doctor) tried to reach your data and was refused, for treatment, because you refused it.",
            "dr.bo (dokter) mencoba mengakses data Anda dan ditolak, untuk perawatan, karena Anda menolaknya.",
        ),
        (
            represented,
            "dr.bo (doctor), for you, as parent, opened a record of yours, by your consent.",
            "dr.bo (dokter), atas nama Anda, sebagai orang tua, membuka satu rekam medis Anda, dengan persetujuan Anda.",
        ),
        (
            claimed,
            "dr.bo (doctor), saying that they act for you, tried to reach your data and was refused, for treatment.",
            "dr.bo (dokter), yang mengaku bertindak atas nama Anda, mencoba mengakses data Anda dan ditolak, untuk perawatan.",
        ),
        (
            followed,
            "dr.bo (doctor) followed changes of 2 records of yours, for treatment, by your consent.",
            "dr.bo (dokter) mengikuti perubahan 2 rekam medis Anda, untuk perawatan, dengan persetujuan Anda.",
        ),
        (
            newer,
            "dr.bo (doctor) did something with your data, for treatment.",
            "dr.bo (dokter) melakukan sesuatu dengan data Anda, untuk perawatan.",
        ),
    ];
    for (row, english, indonesian) in table {
        assert_eq!(told(&row, Language::English), english);
        assert_eq!(told(&row, Language::Indonesian), indonesian);
    }
    let added = row("RECORD_CREATE", json!({}));
    assert_eq!(
        of(&added, None, ANA, Language::Indonesian),
        "Seseorang menambahkan rekam medis ke berkas Anda, untuk perawatan."
    );
}
