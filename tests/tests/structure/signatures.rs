//! What a use case may touch stands in its signature: the database, a key, a small group of things. The whole
//! process, `App`, is known to those who put it together and to those who hand out its parts.

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{FnArg, ItemUse, Signature, UseTree};

use crate::circles::files_below;

/// Who may name `App`: `serve` puts it together, the schema carries it, `graphql::app` hands it to resolvers, and
/// a transfer holds it for as long as it runs.
const MAY_NAME_IT: [&str; 5] = [
    "app.rs",
    "bulk/mod.rs",
    "commands/serve.rs",
    "graphql/mod.rs",
    "schema.rs",
];
/// The functions that take it.
const MAY_TAKE_IT: [&str; 1] = ["schema.rs: new"];

/// Where one file names `App`, and which of its functions take it.
#[derive(Default)]
struct Uses {
    is_imported: bool,
    taken_by: Vec<String>,
}

impl Uses {
    fn tree(&mut self, tree: &UseTree, is_within_crate: bool) {
        match tree {
            UseTree::Path(it) if it.ident == "crate" => self.tree(&it.tree, true),
            UseTree::Path(it) if is_within_crate => self.is_imported |= it.ident == "app",
            UseTree::Group(it) => it
                .items
                .iter()
                .for_each(|tree| self.tree(tree, is_within_crate)),
            UseTree::Name(it) if is_within_crate => self.is_imported |= it.ident == "app",
            UseTree::Rename(it) if is_within_crate => self.is_imported |= it.ident == "app",
            UseTree::Path(_) | UseTree::Name(_) | UseTree::Rename(_) | UseTree::Glob(_) => {}
        }
    }
}

/// Whether a type has this name in it somewhere.
struct Names(bool);

impl<'ast> Visit<'ast> for Names {
    fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
        self.0 |= segment.ident == "App" || segment.ident == "AppParts";
        visit::visit_path_segment(self, segment);
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&item.tree, false);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        self.is_imported |= names.starts_with(&["crate".to_owned(), "app".to_owned()]);
        visit::visit_path(self, path);
    }

    fn visit_signature(&mut self, signature: &'ast Signature) {
        for input in &signature.inputs {
            if let FnArg::Typed(argument) = input {
                let mut names = Names(false);
                names.visit_type(&argument.ty);
                if names.0 {
                    self.taken_by.push(signature.ident.to_string());
                }
            }
        }
        visit::visit_signature(self, signature);
    }
}

fn uses_of(text: &str) -> Uses {
    let mut uses = Uses::default();
    let parsed = syn::parse_file(text).expect("a file that compiles can be parsed");
    uses.visit_file(&parsed);
    uses
}

fn shown(src: &Path, file: &Path) -> String {
    let inner = file.strip_prefix(src).unwrap_or(file);
    inner.to_string_lossy().into_owned()
}

#[test]
fn a_use_case_names_what_it_may_touch_and_not_the_whole_process() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let src: PathBuf = root.join("api/src");
    let mut files = Vec::new();
    files_below(&src, &mut files);

    let mut wrong = Vec::new();
    let mut found = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a file can be read");
        let (name, uses) = (shown(&src, &path), uses_of(&text));
        if (uses.is_imported || name == "app.rs") && !MAY_NAME_IT.contains(&name.as_str()) {
            wrong.push(format!("{name} imports `App`"));
        }
        found.extend(uses.is_imported.then(|| name.clone()));
        for taken_by in uses.taken_by {
            let function = format!("{name}: {taken_by}");
            if !MAY_TAKE_IT.contains(&function.as_str()) && name != "app.rs" {
                wrong.push(format!("{function} takes `App`"));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
    let missing: Vec<_> = MAY_NAME_IT
        .iter()
        .filter(|name| **name != "app.rs" && !found.iter().any(|it| it == *name))
        .collect();
    assert!(missing.is_empty(), "allowed for nothing: {missing:?}");
}

#[test]
fn the_whole_process_is_found_wherever_it_is_named() {
    for text in [
        "use crate::app::App;",
        "use crate::{app::App, caller::Caller};",
        "use crate::{app, error};",
        "fn f() { crate::app::App::from(parts); }",
    ] {
        assert!(uses_of(text).is_imported, "{text}");
    }
    for text in [
        "use crate::graphql::app;",
        "use crate::{error, graphql::{app, request}};",
        "use axum::app::App;",
    ] {
        assert!(!uses_of(text).is_imported, "{text}");
    }
    assert_eq!(uses_of("fn f(app: &App) {}").taken_by, ["f"]);
    assert_eq!(
        uses_of("impl A { async fn f(a: Arc<super::App>) {} }").taken_by,
        ["f"]
    );
    assert!(uses_of("fn f(pool: &Pool) -> App {}").taken_by.is_empty());
}
