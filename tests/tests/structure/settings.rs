//! Every setting of our programs is known to all of them: what is not, is refused as mistyped.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PREFIX: &str = "MEDITRUSTAL_";

/// The names after the prefix in a text, wherever `before` stands in front of them.
fn names(text: &str, before: &str) -> BTreeSet<String> {
    let pattern = format!("{before}{PREFIX}");
    let named = text.split(pattern.as_str()).skip(1);
    let name = |rest: &str| {
        let ends = |c: char| !(c.is_ascii_uppercase() || c == '_');
        rest.split(ends).next().unwrap_or_default().to_owned()
    };
    named.map(name).filter(|name| !name.is_empty()).collect()
}

/// All sources below a directory, in Rust and of the browser's tests, as one text.
fn sources(directory: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|it| it == "rs" || it == "mjs") {
            all += &fs::read_to_string(&path).expect("a source");
        }
    }
    all
}

#[test]
fn every_setting_is_known_and_every_known_one_is_a_setting() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let text = fs::read_to_string(root.join("crates/domain/src/environment.rs"));
    let text = text.expect("the list");
    let list = text.split("pub const SETTINGS").nth(1).expect("the list");
    let list = list.split("];").next().expect("its end");
    let known: BTreeSet<_> = list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();

    let programs = ["api/src", "indexer/src"].map(|it| sources(&root.join(it)));
    let settings = names(&programs.concat(), "env = \"");
    let others = ["crates/dev/src", "tests"].map(|it| sources(&root.join(it)));
    let others = names(&others.concat(), "");

    let unknown: Vec<_> = settings.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "not in domain::environment::SETTINGS: {unknown:?}"
    );
    let stale: Vec<_> = known
        .iter()
        .filter(|name| !settings.contains(*name) && !others.contains(*name))
        .collect();
    assert!(stale.is_empty(), "no setting any more: {stale:?}");
    assert!(settings.len() > 40, "{settings:?}");
}
