//! Lists that stand in two places say the same: the map of the api, and the index of decisions.

use std::collections::BTreeSet;
use std::fs;

const HEADING: &str = "# A map of the api";

fn read(path: &str) -> String {
    let root = dev::repository::root().expect("the tests run inside a clone");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The map as the comment at the top of the api's `main.rs` has it.
fn map_in_main() -> String {
    let main = read("api/src/main.rs");
    let comment = main
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .skip_while(|line| *line != HEADING)
        .skip(1);
    comment.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The same as `ARCHITECTURE.md` has it.
fn map_in_architecture() -> String {
    let page = read("ARCHITECTURE.md");
    let (_, section) = page
        .split_once(&format!("\n#{HEADING}\n"))
        .expect("ARCHITECTURE.md has the map");
    let section = section.split("\n## ").next().unwrap_or_default();
    section.trim().to_owned()
}

/// The layers of the api, outermost first, each with its modules. Parts of a module that are in another layer
/// than the module are written `module/part`.
pub(crate) fn layers() -> Vec<Vec<String>> {
    let mut layers: Vec<Vec<String>> = Vec::new();
    let mut is_within = false;
    for line in map_in_main().lines().filter(|line| !line.is_empty()) {
        let module = line
            .strip_prefix("- `")
            .and_then(|rest| rest.split_once("`: "));
        match (module, layers.last_mut()) {
            (Some((module, _)), Some(layer)) if is_within => layer.push(module.to_owned()),
            (Some((module, _)), _) => layers.push(vec![module.to_owned()]),
            (None, _) => {}
        }
        is_within = module.is_some();
    }
    layers
}

#[test]
fn the_map_of_the_api_is_the_same_in_both_places() {
    let (main, architecture) = (map_in_main(), map_in_architecture());

    assert!(!main.is_empty(), "api/src/main.rs has no map");
    assert_eq!(main, architecture, "api/src/main.rs beside ARCHITECTURE.md");
}

#[test]
fn the_map_names_every_module_of_the_api_once() {
    let main = read("api/src/main.rs");
    let declared = main.lines().filter_map(|line| {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ")?;
        Some(name.strip_suffix(';')?.to_owned())
    });
    let declared: BTreeSet<String> = declared.collect();

    let (parts, mapped): (Vec<String>, Vec<String>) = layers()
        .into_iter()
        .flatten()
        .partition(|name| name.contains('/'));

    let once: BTreeSet<String> = mapped.iter().cloned().collect();
    assert_eq!(
        once.len(),
        mapped.len(),
        "a module stands twice: {mapped:?}"
    );
    assert_eq!(once, declared, "the map beside the modules of main.rs");
    let root = dev::repository::root().expect("the tests run inside a clone");
    for part in parts {
        let file = root.join("api/src").join(&part).with_extension("rs");
        assert!(file.is_file(), "the map names `{part}`, which is no file");
    }
}

#[test]
fn the_index_names_every_decision_once() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let folder = fs::read_dir(root.join("docs/decisions")).expect("there are decisions");
    let names = folder.map(|file| file.expect("it can be listed").file_name());
    let mut files: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    files.sort();

    let index = read("docs/decisions/README.md");
    let links = index.split("](").skip(1);
    let mut linked: Vec<String> = links
        .filter_map(|link| link.split_once(')'))
        .map(|(file, _)| file.to_owned())
        .filter(|file| !file.contains('/'))
        .collect();
    linked.sort();

    assert_eq!(linked, files, "docs/decisions/README.md beside the files");
}
