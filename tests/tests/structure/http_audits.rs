//! The server, as the audits of GraphQL over HTTP see it.

use tests::World;

use crate::script::Script;

/// How many audits there are in the version that is installed.
const AUDITS: usize = 61;

#[tokio::test]
async fn all_audits_of_graphql_over_http_are_passed() {
    let world = World::start().await;
    let url = world.api.url();

    let mut audits = Script::start("tests/browser/audits.mjs", &["--url", &url]);
    while audits.next().await.is_some() {}
    let found = audits.ends_well().await;

    let missed: Vec<&String> = found
        .iter()
        .filter(|line| !line.starts_with("ok: "))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
    assert_eq!(found.len(), AUDITS, "{found:#?}");
}
