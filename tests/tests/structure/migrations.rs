//! Every migration up, down and up again, by the operator's own command.

use std::collections::BTreeSet;
use std::fs;

use tests::World;
use tests::commands::migrate;

use super::catalogue;

/// Nothing here is worth keeping.
const FREELY: &[&str] = &["--no-backup", "--yes-lose-data"];

/// A world whose programs have ended, so that nobody uses the tables that go.
async fn quiet_world() -> World {
    let world = World::start().await;
    world.api.kill().await;
    world.indexer.kill().await;
    world
}

#[tokio::test]
async fn each_migration_goes_down_and_comes_up_again_as_it_was() {
    let world = quiet_world().await;
    let full = catalogue::everything(&world).await;
    let mut here = full.clone();
    let mut taken = 0;

    while !here.is_empty() && migrate(&world, &["status"]).await.contains("applied  ") {
        migrate(&world, &[&["down"][..], FREELY].concat()).await;
        let below = catalogue::everything(&world).await;
        let status = migrate(&world, &["status"]).await;
        let name = first_missing(&status);

        migrate(&world, &["up", "--no-backup"]).await;
        assert_same(
            &format!("{name} and all above it up again"),
            &full,
            &catalogue::everything(&world).await,
        );

        taken += 1;
        let steps = taken.to_string();
        migrate(&world, &[&["down", "--steps", &steps][..], FREELY].concat()).await;
        assert_same(
            &format!("{name} down again"),
            &below,
            &catalogue::everything(&world).await,
        );
        assert_ne!(below, here, "{name} does nothing that its way back undoes");
        here = below;
    }

    assert_eq!(taken, migrations().len());
    let left: Vec<_> = here
        .iter()
        .filter(|line| !line.starts_with("schema public"))
        .collect();
    assert!(
        left.is_empty(),
        "no migration made, or none undid: {left:#?}"
    );
}

#[tokio::test]
async fn all_of_them_go_down_and_come_up_again_at_once() {
    let world = quiet_world().await;
    let full = catalogue::everything(&world).await;
    let all = migrations().len().to_string();

    let down = migrate(&world, &[&["down", "--steps", &all][..], FREELY].concat()).await;
    let up = migrate(&world, &["up"]).await;
    let again = migrate(&world, &["up"]).await;

    assert_eq!(down.trim(), format!("{all} migration(s) taken back"));
    assert_eq!(up.trim(), format!("{all} migration(s) applied"));
    assert_eq!(again.trim(), "the schema is up to date");
    assert_same(
        "everything up again",
        &full,
        &catalogue::everything(&world).await,
    );
}

#[test]
fn every_migration_has_a_number_a_name_and_a_way_back() {
    let names = migrations();

    assert!(!names.is_empty());
    for name in &names {
        let (number, words) = name.split_once('_').unwrap_or_default();
        assert!(
            number.len() == 14 && number.bytes().all(|byte| byte.is_ascii_digit()),
            "{name}: the specification asks for YYYYMMDDHHMMSS_descriptive_name"
        );
        assert!(
            !words.is_empty()
                && words
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}: a descriptive name is in small letters and underscores"
        );
    }
    assert_eq!(
        files(".down.sql"),
        names,
        "each .up.sql has its .down.sql, and no other"
    );
}

#[track_caller]
fn assert_same(when: &str, wanted: &catalogue::Catalogue, found: &catalogue::Catalogue) {
    let gone: Vec<_> = wanted.difference(found).collect();
    let new: Vec<_> = found.difference(wanted).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "{when}: gone is {gone:#?}, new is {new:#?}"
    );
}

fn first_missing(status: &str) -> String {
    let missing = status
        .lines()
        .find_map(|line| line.strip_prefix("missing  "));
    missing
        .unwrap_or_else(|| panic!("nothing was taken back: {status}"))
        .to_owned()
}

fn migrations() -> BTreeSet<String> {
    files(".up.sql")
}

fn files(suffix: &str) -> BTreeSet<String> {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let dir = fs::read_dir(root.join("migrations")).expect("there are migrations");
    dir.filter_map(|entry| {
        let name = entry.expect("the directory can be read").file_name();
        Some(name.to_str()?.strip_suffix(suffix)?.to_owned())
    })
    .collect()
}
