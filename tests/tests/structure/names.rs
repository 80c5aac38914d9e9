//! That a name stands for one thing: no two types of the product have the same one.

use std::{collections::BTreeMap, fs};

use crate::circles::files_below;

/// Whose types meet in one file. Documents and development tools are worlds of their own, each for itself.
const WORLDS: [&[&str]; 3] = [
    &[
        "api/src",
        "indexer/src",
        "crates/chain/src",
        "crates/domain/src",
        "crates/settings/src",
        "crates/store/src",
        "crates/vault/src",
    ],
    &["crates/fhir/src"],
    &["crates/dev/src"],
];
/// What Rust has one of in each module.
const IDIOMS: [&str; 2] = ["Error", "Options"];
/// One thing, of which each program has its own form.
const OF_EACH_PROGRAM: [&str; 4] = ["CommonFiles", "HealthReport", "LogFormat", "SafetyConfig"];

#[test]
fn no_type_name_stands_for_two_things() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let schema = fs::read_to_string(root.join("schema.graphql")).expect("it is checked in");
    let is_of_the_schema = |name: &str| {
        ["type", "enum", "input", "scalar"]
            .iter()
            .any(|kind| schema.contains(&format!("\n{kind} {name} ")))
    };
    let mut wrong = Vec::new();
    for world in WORLDS {
        let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut files = Vec::new();
        for folder in world {
            files_below(&root.join(folder), &mut files);
        }
        for file in files {
            let text = fs::read_to_string(&file).expect("a source is readable");
            let shown = file.strip_prefix(&root).expect("it is of the clone");
            for name in types(&text) {
                defined
                    .entry(name)
                    .or_default()
                    .push(shown.display().to_string());
            }
        }
        assert!(defined.len() > 50, "{} types are too few", defined.len());
        wrong.extend(defined.into_iter().filter(|(name, files)| {
            let is_allowed =
                IDIOMS.contains(&name.as_str()) || OF_EACH_PROGRAM.contains(&name.as_str());
            // What the schema shows has the name of what it shows.
            files.len() > 1 && !is_allowed && !is_of_the_schema(name)
        }));
    }
    assert!(wrong.is_empty(), "one name for two types: {wrong:#?}");
}

/// The types that a file defines, without those of its tests.
fn types(text: &str) -> Vec<String> {
    let file = syn::parse_file(text).expect("a source is Rust");
    let items = file.items.into_iter();
    let names = items.filter_map(|item| match item {
        syn::Item::Struct(it) => Some(it.ident),
        syn::Item::Enum(it) => Some(it.ident),
        syn::Item::Union(it) => Some(it.ident),
        syn::Item::Trait(it) => Some(it.ident),
        syn::Item::Type(it) => Some(it.ident),
        _ => None,
    });
    names.map(|ident| ident.to_string()).collect()
}
