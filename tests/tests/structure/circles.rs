//! Circles: files of one crate that import one another, directly or by way of others. Whoever wants to
//! understand one file of a circle has to read all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, ItemMod, ItemUse, Macro, Token, UseTree, Visibility, punctuated::Punctuated,
};

use crate::maps;

/// Each crate, and how many files its largest circle may have. Three is enough for a module and its
/// parts. What is larger was so when the bar was set: it may become smaller, and then the bar does, too.
const BARS: [(&str, usize); 8] = [
    ("api", 3),
    ("indexer", 3),
    ("crates/chain", 3),
    ("crates/dev", 3),
    ("crates/domain", 3),
    ("crates/fhir", 3),
    ("crates/store", 3),
    ("crates/vault", 3),
];

/// A module's path inside its crate; the crate's own is empty.
type Module = Vec<String>;

/// The files of a crate, and which of them each imports.
struct Crate {
    files: BTreeMap<Module, PathBuf>,
    imports: BTreeMap<Module, BTreeSet<Module>>,
}

/// What one file imports of its own crate.
struct Imports {
    module: Module,
    children: BTreeSet<String>,
    paths: Vec<Vec<String>>,
    /// Names that the module hands on, and what they are.
    reexports: BTreeMap<String, Vec<String>>,
}

impl Imports {
    fn of(module: &Module, children: &BTreeSet<String>) -> Self {
        Self {
            module: module.clone(),
            children: children.clone(),
            paths: Vec::new(),
            reexports: BTreeMap::new(),
        }
    }

    /// A path as seen from the crate's root; `None` for one into another crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&self.module, rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let kept = self.module.len().checked_sub(ups)?;
                Some([&self.module[..kept], &path[ups..]].concat())
            }
            name if self.children.contains(name) => Some([&self.module, path].concat()),
            _ => None,
        }
    }

    fn tree(&mut self, tree: &UseTree, before: &[String], is_handed_on: bool) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(it) => self.tree(&it.tree, &with(it.ident.to_string()), is_handed_on),
            UseTree::Group(it) => {
                for tree in &it.items {
                    self.tree(tree, before, is_handed_on);
                }
            }
            UseTree::Name(it) => self.name(with(it.ident.to_string()), &it.ident, is_handed_on),
            UseTree::Rename(it) => self.name(with(it.ident.to_string()), &it.rename, is_handed_on),
            UseTree::Glob(_) => self.paths.extend(self.absolute(before)),
        }
    }

    fn name(&mut self, mut path: Vec<String>, name: &syn::Ident, is_handed_on: bool) {
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let Some(path) = self.absolute(&path) else {
            return;
        };
        if is_handed_on {
            self.reexports.insert(name.to_string(), path.clone());
        }
        self.paths.push(path);
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_handed_on = !matches!(item.vis, Visibility::Inherited);
        self.tree(&item.tree, &[], is_handed_on);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !item.attrs.iter().any(is_for_tests) && item.content.is_some() {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        let names: Vec<String> = names.collect();
        // One that begins with anything else is of a name that was imported, and counted there.
        if let [first, _, ..] = names.as_slice()
            && (matches!(first.as_str(), "crate" | "super" | "self")
                || self.children.contains(first))
        {
            self.paths.extend(self.absolute(&names));
        }
        visit::visit_path(self, path);
    }

    /// What a macro is given counts as well, where it reads as a list of expressions.
    fn visit_macro(&mut self, of: &'ast Macro) {
        let list = of.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated);
        if let Ok(list) = list {
            let mut inside = Imports::of(&self.module, &self.children);
            list.iter().for_each(|it| inside.visit_expr(it));
            self.paths.append(&mut inside.paths);
        }
        visit::visit_macro(self, of);
    }
}

pub(crate) fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|it| it == "test")
}

/// The Rust files below a folder, without those that hold tests alone.
pub(crate) fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a crate has a folder") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            files_below(&path, found);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

fn module_of(src: &Path, file: &Path) -> Module {
    let inner = file.strip_prefix(src).unwrap_or(file).with_extension("");
    let names = inner.iter().map(|name| name.to_string_lossy().into_owned());
    let mut module: Module = names.collect();
    let is_root = module.len() == 1 && matches!(module[0].as_str(), "main" | "lib");
    if is_root || module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

impl Crate {
    fn read(name: &str) -> Self {
        let root = dev::repository::root().expect("the tests run inside a clone");
        let src = root.join(name).join("src");
        let mut paths = Vec::new();
        files_below(&src, &mut paths);
        let files: BTreeMap<Module, PathBuf> = paths
            .into_iter()
            .map(|path| (module_of(&src, &path), path))
            .collect();
        assert!(files.len() > 5, "{name} was not understood");
        let read: BTreeMap<Module, Imports> = files
            .iter()
            .map(|(module, path)| (module.clone(), imports_of(module, path, &files)))
            .collect();
        let imports = read.iter().map(|(module, imports)| {
            let targets = imports
                .paths
                .iter()
                .filter_map(|path| target(path, &read, 0));
            (module.clone(), targets.filter(|it| it != module).collect())
        });
        let imports = imports.collect();
        Self { files, imports }
    }

    /// What can be reached from a file by imports.
    fn reach(&self, from: &Module) -> BTreeSet<&Module> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = self.imports[from].iter().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(&self.imports[module]);
            }
        }
        reached
    }

    /// The circles, largest first.
    fn circles(&self) -> Vec<Vec<&Module>> {
        let all = self.files.keys().map(|module| (module, self.reach(module)));
        let reach: BTreeMap<&Module, BTreeSet<&Module>> = all.collect();
        let mut circles: BTreeSet<Vec<&Module>> = BTreeSet::new();
        for (module, reached) in &reach {
            let circle = reached
                .iter()
                .filter(|other| reach[**other].contains(module));
            let circle: Vec<&Module> = circle.copied().collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        let mut circles: Vec<_> = circles.into_iter().collect();
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }
}

fn imports_of(module: &Module, path: &Path, files: &BTreeMap<Module, PathBuf>) -> Imports {
    let text = fs::read_to_string(path).expect("a file can be read");
    let parsed = syn::parse_file(&text).expect("a file that compiles can be parsed");
    let children = files.keys().filter_map(|other| {
        let (name, parent) = other.split_last()?;
        (parent == module.as_slice()).then(|| name.clone())
    });
    let mut imports = Imports::of(module, &children.collect());
    imports.visit_file(&parsed);
    imports
}

/// The file that a path leads into. A name that a module only hands on leads to where it is from.
fn target(path: &[String], read: &BTreeMap<Module, Imports>, depth: u8) -> Option<Module> {
    let mut splits = (0..=path.len()).rev().map(|length| path.split_at(length));
    let (module, rest) = splits.find(|(module, _)| read.contains_key(*module))?;
    let handed_on = rest
        .first()
        .and_then(|name| read[module].reexports.get(name));
    match handed_on {
        Some(origin) if depth < 5 => target(&[origin, &rest[1..]].concat(), read, depth + 1),
        Some(_) | None => Some(module.to_vec()),
    }
}

fn shown(module: &[String]) -> String {
    if module.is_empty() {
        "the root".to_owned()
    } else {
        module.join("::")
    }
}

#[test]
fn no_circle_of_files_is_larger_than_its_bar() {
    let mut wrong = Vec::new();
    for (name, bar) in BARS {
        let found = Crate::read(name);
        for circle in found.circles().iter().filter(|circle| circle.len() > bar) {
            let files: Vec<String> = circle.iter().map(|module| shown(module)).collect();
            let size = circle.len();
            wrong.push(format!("{name}: {size} files, at most {bar}: {files:?}"));
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_api_imports_from_the_outermost_layer_inwards() {
    let layers = maps::layers();
    // A part that the map names by itself is in another layer than its module.
    let layer_of = |module: &Module| {
        let mut prefixes = (1..=module.len())
            .rev()
            .map(|length| module[..length].join("/"));
        prefixes.find_map(|name| layers.iter().position(|layer| layer.contains(&name)))
    };
    let api = Crate::read("api");

    let mut upward = Vec::new();
    for (from, targets) in &api.imports {
        for to in targets {
            if let (Some(from_layer), Some(to_layer)) = (layer_of(from), layer_of(to))
                && to_layer < from_layer
            {
                upward.push(format!("{} -> {}", shown(from), shown(to)));
            }
        }
    }

    assert!(upward.is_empty(), "imports that run outwards: {upward:#?}");
}
