//! Every threat of `docs/threat-model.md` has a test, and every test that is named there exists.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where tests and code stand. What is built or installed is none of ours.
const PLACES: [&str; 5] = ["api", "contracts", "crates", "indexer", "tests"];
const FOREIGN: [&str; 4] = ["dist", "lib", "node_modules", "target"];

fn root() -> PathBuf {
    dev::repository::root().expect("the tests run inside a clone")
}

fn manual() -> String {
    fs::read_to_string(root().join("docs/threat-model.md")).expect("there is a threat model")
}

/// `T1 …` and what stands under it, in order.
fn threats(manual: &str) -> Vec<(&str, &str)> {
    let sections = manual.split("\n## ").skip(1);
    sections
        .map(|section| section.split_once('\n').expect("a heading and a text"))
        .collect()
}

/// The part of a threat that says what tests it: after **Test**, up to **Open**, and the last column
/// of a table that has one for tests.
fn tests_of(text: &str) -> Vec<String> {
    let said = text.split("**Test**").skip(1);
    let mut parts: Vec<_> = said
        .map(|rest| rest.split("**Open**").next().unwrap_or_default().to_owned())
        .collect();
    let mut rows = text.lines().filter(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row = row.trim_matches('|');
        row.rsplit('|').next().unwrap_or_default().trim().to_owned()
    };
    if rows.next().map(cells).as_deref() == Some("test") {
        parts.extend(rows.skip(1).map(cells));
    }
    parts
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every file of ours that may hold a test, with its text.
fn sources() -> BTreeMap<PathBuf, String> {
    let root = root();
    let mut found = BTreeMap::new();
    let mut open: Vec<_> = PLACES.iter().map(|place| root.join(place)).collect();
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(&place).expect("a directory").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() && !FOREIGN.iter().any(|foreign| name == *foreign) {
                open.push(path);
            } else if let Some("rs" | "mjs" | "sol" | "py") =
                path.extension().and_then(|kind| kind.to_str())
            {
                let text = fs::read_to_string(&path).expect("a text");
                let path = path.strip_prefix(&root).expect("inside").to_owned();
                found.insert(path, text);
            }
        }
    }
    found
}

/// Whether a file holds tests, or is a script that is one.
fn is_test(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|kind| kind.to_str()) {
        Some("rs") => text.contains("#[test]") || text.contains("::test"),
        Some("sol") => text.contains("function test") || text.contains("function invariant"),
        Some("mjs" | "py") => path.starts_with("tests") || path.starts_with("contracts/test"),
        _ => false,
    }
}

/// Whether a function of this name is a test.
fn is_named(name: &str, sources: &BTreeMap<PathBuf, String>) -> bool {
    let declared = format!("fn {name}(");
    sources.values().any(|text| {
        text.split_once(&declared).is_some_and(|(before, _)| {
            // Without the beginning of its own line, such as `async `.
            let above = before.rsplit_once('\n').map_or("", |(above, _)| above);
            let lines = above.lines().rev().take(3);
            let mut attributes = lines.take_while(|line| line.trim().starts_with("#["));
            attributes.any(|line| line.contains("test"))
        })
    })
}

#[test]
fn the_threats_are_numbered_and_each_has_a_test() {
    let manual = manual();

    let threats = threats(&manual);

    assert!(threats.len() >= 18, "{}", threats.len());
    for (nth, (title, text)) in threats.iter().enumerate() {
        let number = format!("T{} ", nth + 1);
        assert!(title.starts_with(&number), "{title} should be {number}");
        let tests = tests_of(text);
        assert!(!tests.is_empty(), "{title} names no test");
        for part in tests {
            let is_one = quoted(&part).next().is_some() || part == "the same";
            assert!(is_one, "{title}: {part:?} is no test");
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let (manual, sources) = (manual(), sources());
    let mut wrong = Vec::new();

    for (title, text) in threats(&manual) {
        let mut directory = PathBuf::new();
        for part in tests_of(text) {
            for word in quoted(&part) {
                let path = if word.contains('/') {
                    PathBuf::from(word)
                } else {
                    directory.join(word)
                };
                let holds = |under: &Path| {
                    let mut all = sources.iter();
                    all.any(|(path, text)| path.starts_with(under) && is_test(path, text))
                };
                let is_there = if word.starts_with("cargo ") {
                    true
                } else if word.contains('/') || word.contains('.') {
                    directory = path.parent().unwrap_or(Path::new("")).to_owned();
                    holds(&path)
                } else {
                    is_named(word, &sources)
                };
                if !is_there {
                    wrong.push(format!("{title}: {word}"));
                }
            }
        }
    }

    assert_eq!(wrong, [""; 0], "are named and are no tests");
}

#[test]
fn every_file_that_is_named_exists() {
    let manual = manual();
    let files = quoted(&manual).filter(|word| {
        let is_path = word.contains('/') && !word.contains([' ', '*', '<', '{', ':']);
        is_path && !word.starts_with('/') && Path::new(word).extension().is_some()
    });

    let missing: Vec<_> = files.filter(|file| !root().join(file).exists()).collect();

    assert_eq!(
        missing, [""; 0],
        "stand in the threat model and nowhere else"
    );
}

#[test]
fn what_reads_the_manual_is_not_content_with_everything() {
    let sources = sources();
    assert!(is_named("every_test_that_is_named_exists", &sources));
    // There, but no test.
    assert!(!is_named("tests_of", &sources));
    assert!(!is_named("a_test_that_nobody_wrote", &sources));
    let table = "| they | test |\n| --- | --- |\n| a | `x_y` |\n| b | |\n";
    assert_eq!(tests_of(table), ["`x_y`", ""]);
    let text = "**Here**: `no`. **Test**: `a_b`,\n`c/d.rs`. **Open**: `not_this`.";
    let part = tests_of(text).concat();
    assert_eq!(quoted(&part).collect::<Vec<_>>(), ["a_b", "c/d.rs"]);
    assert!(tests_of("**Here**: all is well.").is_empty());
}
