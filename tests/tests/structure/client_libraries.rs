//! The GraphQL server, as Apollo Client, urql and Relay ask it, and follow it.

use std::fs;

use dev::scratch::Scratch;
use serde_json::json;
use tests::{World, documents, id};

use crate::script::Script;

#[tokio::test]
async fn apollo_client_and_urql_ask_by_hashes_are_refused_and_follow() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    let scratch = Scratch::new("client-libraries").expect("there is room for a file");
    let token = scratch.path().join("token");
    fs::write(&token, ana.client.token().expect("logged in")).expect("the token is written");

    let url = world.api.url();
    let token = token.display().to_string();
    let arguments = ["--url", &url, "--token-file", &token];
    let mut client = Script::start("tests/browser/clients.mjs", &arguments);
    while client.next().await.is_some() {}
    let heard = client.ends_well().await;

    let of_one = |who: &str| {
        [
            // The hash is unknown at first, and then it is enough.
            format!("{who} sends a hash and no document"),
            format!("{who} sends a hash and a document"),
            format!("{who}: me ana"),
            format!("{who} sends a hash and no document"),
            format!("{who}: me ana"),
            // Each library writes a document in its own way, which has its own hash.
            format!("{who} sends a hash and no document"),
            format!("{who} sends a hash and a document"),
            format!("{who}: FORBIDDEN"),
            format!("{who}: event ANCHOR_PENDING"),
        ]
    };
    assert_eq!(heard, [of_one("apollo"), of_one("urql")].concat());
}

#[tokio::test]
async fn what_relays_compiler_makes_of_fragments_is_answered() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let amended = ana.amends(&record, documents::vital_signs(), json!({}));
    amended.await.data();
    for purpose in ["TREAT", "HRESCH"] {
        let consent = json!({
            "purpose": purpose, "dataCategories": ["ALL_RECORDS"], "processingActivities": ["READ"],
            "grantees": [{ "user": bo.id }],
        });
        ana.grants(consent).await.data();
    }
    let scratch = Scratch::new("relay-compiler").expect("there is room for files");
    let token = scratch.path().join("token");
    fs::write(&token, ana.client.token().expect("logged in")).expect("the token is written");

    let url = world.api.url();
    let (token, out) = (token.display().to_string(), scratch.path().join("out"));
    let out = out.display().to_string();
    let arguments = ["--url", &url, "--token-file", &token, "--out", &out];
    let mut client = Script::start("tests/browser/relay.mjs", &arguments);
    while client.next().await.is_some() {}

    assert_eq!(
        client.ends_well().await,
        [
            "fetched again: User ana",
            "fetched again: MedicalRecord version 2",
            "a page: version 2",
            "a page: version 1",
            "back: TREAT of 2",
            "back: HRESCH of 2",
            "together: MedicalRecord,User",
        ]
    );
}
