//! What keeps tenants apart who share a database: every advisory lock and every channel is of a schema, and the code names none.

use std::fs;
use std::path::{Path, PathBuf};

/// Takes the lock under which there is no function yet, by the same key.
const BEFORE_THERE_IS_A_SCHEMA: &str = "crates/store/src/migrate.rs";
/// Takes the lock under which roles and databases are made, which tenants share.
const OF_THE_SERVER: &str = "crates/store/src/provision.rs";
/// Those that tell the schema that every database has from others (docs/decisions/0065-tenants-and-operations.md).
const OF_ONE_SCHEMA: [&str; 3] = [
    // The default of a setting.
    "api/src/commands/database.rs",
    "crates/store/src/backups.rs",
    "crates/store/src/tenant.rs",
];

/// Finds the files in Rust and SQL of a directory and of those in it.
pub(crate) fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs" || it == "sql") {
            found.push(path);
        }
    }
}

/// Every source of the programs, by its name, without its tests.
fn programs() -> Vec<(String, String)> {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let mut found = Vec::new();
    for directory in ["api/src", "indexer/src", "crates/store/src"] {
        sources(&root.join(directory), &mut found);
    }
    let named = found.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("a source");
        let text = text
            .split("#[cfg(test)]")
            .next()
            .unwrap_or_default()
            .to_owned();
        let name = path.strip_prefix(&root).expect("below the root");
        (name.display().to_string(), text)
    });
    named.collect()
}

#[test]
fn every_lock_and_every_channel_is_of_a_schema() {
    let mut seen = 0;
    for (name, text) in programs() {
        for (call, wanted) in [
            ("pg_advisory_", "schema_key()"),
            ("pg_try_advisory_", "schema_key()"),
            ("pg_notify(", "notice_channel("),
        ] {
            for (at, _) in text.match_indices(call) {
                seen += 1;
                let statement = text[at..].lines().next().unwrap_or_default();
                assert!(
                    statement.contains(wanted)
                        || [BEFORE_THERE_IS_A_SCHEMA, OF_THE_SERVER].contains(&name.as_str()),
                    "{name}: {statement}"
                );
            }
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn the_programs_name_no_schema() {
    for (name, text) in programs() {
        let is_named = ["'public'", " public.", "SCHEMA public", "\"public\""]
            .iter()
            .find(|it| text.contains(**it));
        let may = OF_ONE_SCHEMA.contains(&name.as_str()) || name == BEFORE_THERE_IS_A_SCHEMA;
        assert!(is_named.is_none() || may, "{name}: {is_named:?}");
    }
}
