//! How long functions are: the lines between their braces, in the code of both programs and of all crates, without tests.

use std::fs;
use std::path::PathBuf;

use syn::visit::{self, Visit};
use syn::{Block, Ident, ImplItemFn, ItemFn, ItemMod, TraitItemFn};

use crate::circles::{files_below, is_for_tests};

/// No function has more.
const MOST: usize = 80;
/// Nine of ten have no more.
const OF_NINE_IN_TEN: usize = 30;

/// The functions of one file, and how many lines each has.
#[derive(Default)]
struct Lengths(Vec<(usize, String)>);

impl Lengths {
    fn of(text: &str) -> Self {
        let parsed = syn::parse_file(text).expect("a file that compiles can be parsed");
        let mut lengths = Self::default();
        lengths.visit_file(&parsed);
        lengths
    }

    fn count(&mut self, name: &Ident, body: &Block) {
        let braces = body.brace_token.span;
        let (open, close) = (braces.open().start().line, braces.close().start().line);
        self.0
            .push(((close - open).saturating_sub(1), name.to_string()));
    }
}

impl<'ast> Visit<'ast> for Lengths {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !item.attrs.iter().any(is_for_tests) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !item.attrs.iter().any(is_for_tests) {
            self.count(&item.sig.ident, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.count(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.count(&item.sig.ident, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn functions_are_short_and_most_of_them_very_short() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let crates = fs::read_dir(root.join("crates")).expect("there are crates");
    let crates = crates.map(|entry| entry.expect("it can be listed").path());
    let sources = [root.join("api"), root.join("indexer")].into_iter();
    let mut files: Vec<PathBuf> = Vec::new();
    for source in sources.chain(crates) {
        files_below(&source.join("src"), &mut files);
    }

    let mut all: Vec<(usize, String)> = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a file can be read");
        let name = path.strip_prefix(&root).unwrap_or(&path).display();
        let lengths = Lengths::of(&text).0.into_iter();
        all.extend(lengths.map(|(lines, function)| (lines, format!("{name}: {function}"))));
    }
    all.sort();
    all.reverse();

    assert!(all.len() > 2000, "few were found: {}", all.len());
    let long: Vec<_> = all.iter().take_while(|(lines, _)| *lines > MOST).collect();
    assert!(long.is_empty(), "more than {MOST} lines: {long:#?}");
    let (lines, function) = &all[all.len() / 10];
    assert!(
        *lines <= OF_NINE_IN_TEN,
        "one function in ten is longer than {OF_NINE_IN_TEN} lines: {function} has {lines}"
    );
}

#[test]
fn the_lines_between_the_braces_are_counted_wherever_a_function_is() {
    let text = r#"
fn none() {}
fn one(
    of: u8,
) -> u8 {
    of
}
impl A {
    async fn three(&self) {
        // A comment is a line,
        query!("SELECT 1
                FROM two");
    }
}
trait B {
    fn without();
    fn two() {
        fn inner() {}

    }
}
#[cfg(test)]
mod tests {
    fn of_a_test() {
    }
}
#[cfg(test)]
fn of_tests() {}
"#;
    let found = Lengths::of(text).0;
    let found: Vec<(usize, &str)> = found.iter().map(|(lines, it)| (*lines, &**it)).collect();
    assert_eq!(
        found,
        [
            (0, "none"),
            (1, "one"),
            (3, "three"),
            (2, "two"),
            (0, "inner")
        ]
    );
}
