//! Documents by their hash: those that were sent before, and those that alone are run.

use std::fs;

use serde_json::{Value, json};
use tests::{Program, World};
use vault::digest;

const WHOSE: &str = "{ registry { chainId } }";

/// What a request comes to: its code, or the field.
async fn asks(api: &Program, body: Value) -> Value {
    let sent = dev::http::client()
        .post(format!("{}/graphql", api.url()))
        .header("content-type", "application/json")
        .body(body.to_string());
    outcome(sent).await
}

async fn outcome(sent: reqwest::RequestBuilder) -> Value {
    let answer = sent.send().await.expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    let code = answer["errors"][0]["extensions"]["code"].clone();
    if code.is_null() {
        answer["data"].clone()
    } else {
        code
    }
}

fn named(document: &str) -> Value {
    let hash = digest::hex_of(document.as_bytes());
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

#[tokio::test]
async fn a_document_that_was_sent_with_its_hash_is_known_by_it() {
    let world = World::start().await;
    let api = &world.api;
    let found = json!({ "registry": { "chainId": "31337" } });
    let by_hash = json!({ "extensions": named(WHOSE) });

    assert_eq!(
        asks(api, by_hash.clone()).await,
        "PERSISTED_QUERY_NOT_FOUND"
    );
    let wrong = json!({ "query": "{ me { id } }", "extensions": named(WHOSE) });
    assert_eq!(asks(api, wrong).await, "BAD_REQUEST");
    assert_eq!(
        asks(api, by_hash.clone()).await,
        "PERSISTED_QUERY_NOT_FOUND"
    );
    let both = json!({ "query": WHOSE, "extensions": named(WHOSE) });
    assert_eq!(asks(api, both).await, found);
    assert_eq!(asks(api, by_hash).await, found);

    // A link, as a cache in between keeps it.
    let hash = digest::hex_of(WHOSE.as_bytes());
    let link = format!(
        "{}/graphql?extensions=%7B%22persistedQuery%22:%7B%22version%22:1,%22sha256Hash%22:%22{hash}%22%7D%7D",
        api.url()
    );
    assert_eq!(outcome(dev::http::client().get(link)).await, found);
    // What is refused is not remembered.
    let unfit = "{ registry { chainId } ";
    let sent = json!({ "query": unfit, "extensions": named(unfit) });
    assert_eq!(asks(api, sent).await, "GRAPHQL_PARSE_FAILED");
    let by_hash = json!({ "extensions": named(unfit) });
    assert_eq!(asks(api, by_hash).await, "PERSISTED_QUERY_NOT_FOUND");
    // Nor is what may hold what somebody wrote.
    for free in [
        "{ registry { chainId } # of Ana
        }",
        r#"{ registry { chainId @include(if: true) } __type(name: "Query") { name } }"#,
    ] {
        let sent = json!({ "query": free, "extensions": named(free) });
        asks(api, sent).await;
        let by_hash = json!({ "extensions": named(free) });
        assert_eq!(asks(api, by_hash).await, "PERSISTED_QUERY_NOT_FOUND");
    }
    for wrong in [
        json!({ "persistedQuery": { "version": 2, "sha256Hash": hash } }),
        json!({ "persistedQuery": { "version": 1, "sha256Hash": "abc" } }),
        json!({ "persistedQuery": "abc" }),
        json!({}),
    ] {
        let refused = asks(api, json!({ "extensions": wrong })).await;
        assert_eq!(refused, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn where_the_operator_wants_it_the_documents_of_the_frontend_alone_are_run() {
    let world = World::start().await;
    let file = world.foundation.dir().join("documents.json");
    let manifest = json!({ digest::hex_of(WHOSE.as_bytes()): WHOSE });
    fs::write(&file, manifest.to_string()).expect("it is written");
    let path = file.to_str().expect("a path");
    let strict = [
        ("MEDITRUSTAL_TRUSTED_DOCUMENTS", path),
        ("MEDITRUSTAL_ONLY_TRUSTED", "true"),
    ];
    let strict = world.another_api("strict", &strict).await;
    let open = [("MEDITRUSTAL_TRUSTED_DOCUMENTS", path)];
    let open = world.another_api("open", &open).await;
    let found = json!({ "registry": { "chainId": "31337" } });
    let other = "{ registry { address } }";

    for body in [
        json!({ "extensions": named(WHOSE) }),
        json!({ "query": WHOSE }),
        json!({ "query": WHOSE, "extensions": named(WHOSE) }),
    ] {
        assert_eq!(asks(&strict, body.clone()).await, found);
        assert_eq!(asks(&open, body).await, found);
    }
    for body in [
        json!({ "query": other }),
        json!({ "extensions": named(other) }),
        json!({ "query": other, "extensions": named(other) }),
        json!({ "query": format!("{WHOSE} ") }),
    ] {
        assert_eq!(asks(&strict, body).await, "UNTRUSTED_DOCUMENT");
    }
    let introspection = json!({ "query": "{ __schema { queryType { name } } }" });
    assert_eq!(asks(&strict, introspection).await, "UNTRUSTED_DOCUMENT");
    // By a link, and as an event stream.
    let link = format!("{}/graphql?query=%7B__typename%7D", strict.url());
    let by_link = outcome(dev::http::client().get(&link)).await;
    assert_eq!(by_link, "UNTRUSTED_DOCUMENT");
    let stream = dev::http::client()
        .get(link)
        .header("accept", "text/event-stream");
    let told = stream.send().await.expect("an answer").text().await;
    let told = told.expect("the stream ends");
    assert!(told.contains("UNTRUSTED_DOCUMENT"), "{told}");
    assert!(asks(&open, json!({ "query": other })).await.is_object());
}
