//! What `schema.graphql` says of mutations: the error codes that each one names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::LazyLock,
};

/// Begins the sentence of a description that names the error codes.
const CODES: &str = "Error codes: ";
/// Stands instead of it where a mutation has none.
const NO_CODES: &str = "It has no error codes of its own.";
/// What any field may fail with, so that no mutation has to name it (`docs/errors.md`).
const ANY_FIELD: [&str; 7] = [
    "UNAUTHENTICATED",
    "SECOND_FACTOR_REQUIRED",
    "BUSY",
    "UNAVAILABLE",
    "TOO_LARGE_ANSWER",
    "GRAPHQL_VALIDATION_FAILED",
    "INTERNAL",
];

static MUTATIONS: LazyLock<BTreeMap<String, Option<BTreeSet<String>>>> = LazyLock::new(|| {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let schema = fs::read_to_string(root.join("schema.graphql")).expect("the schema is readable");
    read(&schema)
});

/// The error codes that the description of each mutation names; `None` where it does not speak of them.
pub fn mutations() -> &'static BTreeMap<String, Option<BTreeSet<String>>> {
    &MUTATIONS
}

/// Whether the field of this name is a mutation whose description leaves the code out that it failed with.
pub(crate) fn leaves_out(field: &str, code: &str) -> bool {
    let Some(named) = MUTATIONS.get(field) else {
        return false;
    };
    let is_named = named.as_ref().is_some_and(|named| named.contains(code));
    !is_named && !ANY_FIELD.contains(&code)
}

fn read(schema: &str) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let (_, mutations) = schema
        .split_once("\ntype Mutation {\n")
        .expect("there are mutations");
    let (mutations, _) = mutations.split_once("\n}\n").expect("the type ends");
    let mut found = BTreeMap::new();
    let mut description = String::new();
    let mut is_described = false;
    for line in mutations.lines() {
        // What stands deeper are arguments.
        let Some(line) = line.strip_prefix('\t').filter(|it| !it.starts_with('\t')) else {
            continue;
        };
        if line == "\"\"\"" {
            if !is_described {
                description.clear();
            }
            is_described = !is_described;
        } else if is_described {
            description.push_str(line);
            description.push(' ');
        } else if let Some(end) = line.find(['(', ':']) {
            found.insert(line[..end].to_owned(), codes(&description));
        }
    }
    found
}

fn codes(description: &str) -> Option<BTreeSet<String>> {
    if description.contains(NO_CODES) {
        return Some(BTreeSet::new());
    }
    let (_, sentence) = description.split_once(CODES)?;
    let quoted = sentence.split('`').skip(1).step_by(2);
    let is_code = |it: &&str| it.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    Some(quoted.filter(is_code).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mutation_fails_with_stands_in_its_description() {
        for (field, code, is_left_out) in [
            ("register", "CONFLICT", false),
            ("register", "BUSY", false),
            ("register", "NOT_FOUND", true),
            ("logOut", "NOT_FOUND", true),
            ("me", "NOT_FOUND", false),
        ] {
            assert_eq!(leaves_out(field, code), is_left_out, "{field} {code}");
        }
    }
}
