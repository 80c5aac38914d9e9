//! Every setting of our programs is known to all of them: what is not, is refused as mistyped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const PREFIX: &str = "MEDITRUSTAL_";

/// The names after the prefix in a text, wherever `before` stands in front of them.
fn names(text: &str, before: &str) -> BTreeSet<String> {
    let pattern = format!("{before}{PREFIX}");
    let named = text.split(pattern.as_str()).skip(1);
    let name = |rest: &str| {
        let ends = |c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
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

/// What a variable is called in the file of settings.
fn key_of(variable: &str) -> String {
    let name = variable.strip_prefix(PREFIX).unwrap_or(variable);
    name.to_lowercase()
}

/// The options of a source that have a variable: its key in the file, and the default, where there is one.
fn options_of(text: &str) -> BTreeMap<String, Option<String>> {
    let mut options = BTreeMap::new();
    for (at, _) in text.match_indices("env = \"") {
        let begins = text[..at].rfind("#[arg(").expect("the attribute begins");
        let ends = at + text[at..].find(")]").expect("it ends");
        let attribute = &text[begins..ends];
        let value_of = |name: &str| {
            let (_, rest) = attribute.split_once(&format!("{name} = \""))?;
            Some(rest.split('"').next().unwrap_or_default().to_owned())
        };
        let variable = value_of("env").expect("it has one");
        let default = value_of("default_value");
        let known = options.entry(key_of(&variable)).or_insert(None);
        *known = known.take().or(default);
    }
    options
}

#[test]
fn the_example_of_a_settings_file_names_every_setting_with_its_default() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let programs = ["api/src", "indexer/src"].map(|it| sources(&root.join(it)));
    let mut wanted = options_of(&programs.concat());
    // Which file is read cannot stand in it.
    assert!(wanted.remove("config").is_some());

    let example = fs::read_to_string(root.join("ops/meditrustal.toml")).expect("the example");
    let lines = example.lines().filter_map(|line| line.strip_prefix('#'));
    let lines = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let mut named = BTreeMap::new();
    for (key, value) in lines.filter_map(|line| line.split_once(" = ")) {
        let twice = named.insert(key.to_owned(), value.trim_matches('"').to_owned());
        assert_eq!(twice, None, "{key} stands twice");
    }

    let named_keys: BTreeSet<_> = named.keys().collect();
    let wanted_keys: BTreeSet<_> = wanted.keys().collect();
    assert_eq!(
        named_keys, wanted_keys,
        "ops/meditrustal.toml beside the options"
    );
    for (key, default) in &wanted {
        if let Some(default) = default {
            assert_eq!(&named[key], default, "{key} in ops/meditrustal.toml");
        }
    }
    assert!(
        !example
            .lines()
            .any(|line| !line.is_empty() && !line.starts_with('#')),
        "the example sets nothing"
    );
}

#[test]
fn every_option_that_may_hold_a_secret_can_be_in_a_file() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let text = fs::read_to_string(root.join("crates/domain/src/environment.rs"));
    let text = text.expect("the list");
    let list = text.split("pub const SECRETS").nth(1).expect("the list");
    let list = list.split("];").next().expect("its end");
    let known: BTreeSet<_> = list.split('"').skip(1).step_by(2).collect();

    let programs = ["api/src", "indexer/src"].map(|it| sources(&root.join(it)));
    let programs = programs.concat();
    let attributes = programs.split("#[arg(").skip(1);
    let attributes = attributes.map(|rest| rest.split(")]").next().unwrap_or_default());
    let hidden = attributes.filter(|it| it.contains("hide_env_values = true"));
    let hidden: BTreeSet<_> = hidden
        .filter_map(|it| it.split_once("env = \"")?.1.split('"').next())
        .collect();

    assert_eq!(
        hidden, known,
        "what is hidden beside domain::environment::SECRETS"
    );
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
