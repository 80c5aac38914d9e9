//! The portal in a real browser, as patients, doctors, administrators and auditors use it, of an api that trusts its documents
//! alone.

use std::fs;

use dev::scratch::Scratch;
use serde_json::{Value, json};
use tests::{Person, World};

use crate::script::Script;

/// What is approved is erased at once.
const AT_ONCE: [(&str, &str); 2] = [
    ("MEDITRUSTAL_DELETION_GRACE", "0"),
    ("MEDITRUSTAL_DELETION_EVERY", "1"),
];

/// Changes what the laboratory result says that its hash is; a second time, back to what it was.
const TURN_HASH: &str =
    "UPDATE medical_records SET data_hash = reverse(data_hash) WHERE record_type = 'LAB_RESULT'";
/// The steps after which that is done.
const TURNED_AFTER: [&str; 2] = [
    "administrator looks for findings: ",
    "administrator sees a finding: ",
];

fn log_in(person: &Person) -> Value {
    json!({ "login": person.username, "password": person.password })
}

#[tokio::test]
async fn people_go_through_the_portal_from_log_in_to_erasure() {
    let settings = AT_ONCE.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let world = World::with(|options| options.api.extend(settings)).await;
    let portal = world.foundation.tools.portal();
    let portal = portal.expect("the portal is built by `cargo dev tools --test`");
    // Served by an api that runs nothing but what the portal's build says that it asks.
    let manifest = portal.join("persisted-documents.json");
    let manifest = manifest.display().to_string();
    let trusting = [
        ("MEDITRUSTAL_TRUSTED_DOCUMENTS", manifest.as_str()),
        ("MEDITRUSTAL_ONLY_TRUSTED", "true"),
    ];
    let trusting = world.another_api("trusting", &trusting).await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let admin = world.first_admin().await;
    let scratch = Scratch::new("portal").expect("there is room for a file");
    let people = scratch.path().join("people.json");
    let who = json!({ "patient": log_in(&ana), "doctor": log_in(&bo), "admin": log_in(admin) });
    fs::write(&people, who.to_string()).expect("the people are written");

    let people = people.display().to_string();
    let mut walk = Script::start(
        "tests/browser/portal.mjs",
        &[
            "--url",
            &trusting.url(),
            "--api",
            &world.api.url(),
            "--people",
            &people,
            "--node",
            world.foundation.chain_rpc_url(),
            "--registry",
            &world.foundation.deployment.registry,
            "--screenshots",
            "target/portal",
            "--timeout",
            "60",
        ],
    );
    while let Some(step) = walk.next().await {
        if TURNED_AFTER.iter().any(|it| step.starts_with(*it)) {
            world.attacks(TURN_HASH).await;
        }
    }
    let seen = walk.ends_well().await;

    assert!(
        seen.iter().any(|step| step.starts_with("all of it: ")),
        "{seen:#?}"
    );
    let left = "SELECT record_type, count(*) AS versions FROM medical_records
        WHERE octet_length(encrypted_data) > 0 GROUP BY record_type ORDER BY record_type";
    assert_eq!(
        world.sql(left).await,
        [
            json!({ "record_type": "LAB_RESULT", "versions": 1 }),
            json!({ "record_type": "MEDICAL_HISTORY", "versions": 1 }),
            json!({ "record_type": "PRESCRIPTION", "versions": 1 }),
        ]
    );
}

/// How large the first load is, that numbers keep their digits, that a form reads back what it wrote, that
/// summaries are asked for whole, that no refresh token is asked for, that mutations ask for what is to be mended, that files are counted as the api
/// counts them, that a report of an import is read wherever it is cut, that both languages say the same, and that a
/// node that lies is contradicted.
#[tokio::test]
async fn the_portals_own_tests_hold() {
    let files = [
        "attachments",
        "built",
        "documents",
        "import",
        "queries",
        "verify",
        "words",
    ]
    .map(|name| format!("examples/portal/test/{name}.test.mjs"));
    let files = files.each_ref().map(String::as_str);
    let mut tests = Script::start("--test", &files);
    while tests.next().await.is_some() {}
    tests.ends_well().await;
}
