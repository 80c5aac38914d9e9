//! CONTRIBUTING.md has a recipe for whatever is added again and again, and each leads to what is there.

use std::collections::BTreeSet;
use std::fs;

/// What is added again and again.
const RECIPES: [&str; 11] = [
    "add a GraphQL field",
    "add a migration",
    "add a setting",
    "add a statement",
    "add a subscription",
    "add an audit action",
    "add an audit column",
    "add an event kind",
    "change a contract",
    "make something faster",
    "write a test",
];

#[test]
fn there_is_a_recipe_for_whatever_is_added_and_it_names_what_is_there() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let manual = fs::read_to_string(root.join("CONTRIBUTING.md")).expect("there is a manual");

    let headings: BTreeSet<_> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    assert_eq!(headings, BTreeSet::from(RECIPES));
    // Whatever looks like a file of ours is one.
    let quoted = manual.split('`').skip(1).step_by(2);
    let linked = manual
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let places = [
        "api/",
        "contracts/",
        "crates/",
        "docs/",
        "indexer/",
        "migrations/",
        "tests/",
    ];
    let missing: Vec<_> = quoted
        .chain(linked)
        .filter(|path| places.iter().any(|place| path.starts_with(place)))
        .filter(|path| !path.contains('<') && !root.join(path).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "CONTRIBUTING.md names what is not there: {missing:?}"
    );
}

/// The table of retentions in the manual, against the code.
#[test]
fn every_audit_action_is_once_in_the_table_of_how_long_its_rows_are_kept() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let manual = fs::read_to_string(root.join("docs/data-model.md")).expect("there is a manual");

    for action in domain::audit::AuditAction::ALL {
        let days = action.retention().num_days().to_string();
        let lines = manual.lines().filter(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [actions, kept] = cells.as_slice() else {
                return false;
            };
            let mut words = actions.split(['`', ' ']);
            *kept == days && words.any(|word| word == action.as_str())
        });
        assert_eq!(
            lines.count(),
            1,
            "{action} is kept for {days} days, and docs/data-model.md does not say so once"
        );
    }
}
