//! The arrows between the crates, what only one of them may name, and what none of them brings in.
//!
//! `docs/decisions/tests-instead-of-cargo-deny.md` says why this is a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;
use tests::text;

type Names = BTreeSet<String>;

/// ARCHITECTURE.md's picture: each crate, and those of ours that it stands on.
const ARROWS: [(&str, &[&str]); 15] = [
    ("domain", &[]),
    ("trail", &[]),
    ("fhir", &[]),
    ("vault", &["domain"]),
    ("chain", &["domain", "tls"]),
    ("store", &["domain", "trail"]),
    ("settings", &[]),
    ("metrics", &[]),
    ("tls", &[]),
    ("telemetry", &["domain", "tls"]),
    (
        "api",
        &[
            "chain",
            "domain",
            "fhir",
            "metrics",
            "settings",
            "store",
            "telemetry",
            "tls",
            "trail",
            "vault",
        ],
    ),
    (
        "indexer",
        &[
            "chain",
            "domain",
            "metrics",
            "settings",
            "store",
            "tls",
            "telemetry",
        ],
    ),
    ("dev", &["tls"]),
    ("launch", &[]),
    ("tests", &["dev"]),
];

/// What only a crate's own tests stand on besides.
const IN_TESTS: [(&str, &[&str]); 2] = [
    ("chain", &["dev"]),
    ("tests", &["domain", "store", "trail", "vault"]),
];

/// Outside crates, and the only ones of ours that may name them, in tests or not.
const ONLY: [(&[&str], &[&str]); 12] = [
    // `dev` applies migrations and plays an attacker, `tests` looks at what was written.
    (&["sqlx"], &["store", "dev", "tests"]),
    (&["alloy", "signinwithethereum"], &["chain"]),
    (
        &[
            "aes-gcm",
            "age",
            "argon2",
            "cryptoki",
            "ed25519-dalek",
            "getrandom",
            "hkdf",
            "hmac",
            "jsonwebtoken",
            "sha1",
            "signature",
            "totp-rs",
            "zeroize",
            "zxcvbn",
        ],
        &["vault"],
    ),
    // `trail` hashes what everybody may know.
    (&["base64"], &["tests", "trail", "vault"]),
    // `telemetry` names statements as `.sqlx` does.
    (&["sha2"], &["telemetry", "trail", "vault"]),
    (&["tracing-subscriber"], &["telemetry"]),
    (
        &[
            "async-graphql",
            "async-graphql-axum",
            "dataloader",
            "hyper",
            "hyper-util",
            "ipnet",
            "tower-http",
        ],
        &["api"],
    ),
    // `tests` serves what a benchmark takes for its limit: a server written by hand.
    (&["axum"], &["api", "indexer", "metrics", "tests"]),
    (&["prometheus-client"], &["metrics"]),
    (&["rustls-native-certs"], &["tls"]),
    // `tests` ends TLS in front of a database and a node, and makes certificates.
    (&["rcgen", "rustls", "tokio-rustls"], &["tests", "tls"]),
    (&["unicode-normalization", "unicode-security"], &["domain"]),
];

/// Foreign code that does what is ours to choose: TLS by another stack, SQL past the checked macros. The lock file also
/// names what is built for Windows alone, where `rustls-native-certs` finds the system's authorities by `schannel`; that one
/// `deny.toml` refuses on the machines that we build for.
const NEVER: [&str; 8] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "diesel",
    "native-tls",
    "openssl",
    "openssl-sys",
    "rusqlite",
    "tokio-postgres",
];

/// Licences that the product may be given away under, together with its own.
const LICENCES: [&str; 10] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MPL-2.0", // of its own files alone
    "Unicode-3.0",
    "Zlib",
];

fn metadata(arguments: &[&str]) -> Value {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let output = Command::new(dev::config::cargo())
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(arguments)
        .current_dir(root)
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    serde_json::from_slice(&output.stdout).expect("cargo speaks JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Each of our crates with what it names: `wanted` chooses by where a dependency comes from and
/// whether only tests have it.
fn named(wanted: impl Fn(bool, bool) -> bool) -> BTreeMap<String, Names> {
    let metadata = metadata(&["--no-deps"]);
    let packages = list(&metadata["packages"]).iter();
    let named = packages.map(|package| {
        let all = list(&package["dependencies"]).iter();
        let chosen = all.filter(|it| wanted(!it["path"].is_null(), it["kind"] == "dev"));
        (
            text(&package["name"]),
            // Under its real name, whatever it is called here.
            chosen.map(|it| text(&it["name"])).collect(),
        )
    });
    named.collect()
}

fn names(all: &[&str]) -> Names {
    all.iter().map(|&name| name.to_owned()).collect()
}

fn table(rows: &[(&str, &[&str])]) -> BTreeMap<String, Names> {
    let rows = rows.iter();
    rows.map(|(name, all)| ((*name).to_owned(), names(all)))
        .collect()
}

#[test]
fn the_arrows_are_those_of_the_picture() {
    let found = named(|ours, for_tests| ours && !for_tests);

    assert_eq!(found, table(&ARROWS));
}

#[test]
fn tests_depend_on_little_more() {
    let mut found = named(|ours, for_tests| ours && for_tests);
    found.retain(|_, names| !names.is_empty());

    assert_eq!(found, table(&IN_TESTS));
}

#[test]
fn what_faces_the_chain_cannot_decrypt() {
    let arrows = named(|ours, for_tests| ours && !for_tests);
    let mut reached = Names::new();
    let mut next = vec!["indexer".to_owned()];
    while let Some(name) = next.pop() {
        let more = arrows[&name].iter().cloned();
        next.extend(more.filter(|name| !reached.contains(name)));
        reached.insert(name);
    }

    assert_eq!(
        reached,
        names(&[
            "chain",
            "domain",
            "indexer",
            "metrics",
            "settings",
            "store",
            "telemetry",
            "tls",
            "trail"
        ])
    );
}

#[test]
fn each_outside_thing_is_named_by_the_crate_that_wraps_it() {
    let found = named(|ours, _| !ours);

    for (outside, wrappers) in ONLY {
        for name in outside {
            let by = found.iter().filter(|(_, names)| names.contains(*name));
            let by: Names = by.map(|(name, _)| name.clone()).collect();
            assert!(
                by.is_subset(&names(wrappers)),
                "{name} is named by {by:?}, and only {wrappers:?} may"
            );
        }
    }
    assert!(found["store"].contains("sqlx"), "the table is out of date");
}

#[test]
fn every_outside_crate_is_declared_once_and_used() {
    let found = named(|ours, _| !ours);
    let used: Names = found.into_values().flatten().collect();

    let root = dev::repository::root().expect("the tests run inside a clone");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("there is a workspace");
    let (_, section) = manifest
        .split_once("[workspace.dependencies]")
        .expect("the workspace has dependencies");
    let section = section.split("\n[").next().unwrap_or_default();
    let declared: Names = section
        .lines()
        .filter(|line| !line.contains("path ="))
        .filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()))
        .filter(|name| !name.starts_with('#'))
        .collect();

    assert_eq!(declared, used);
}

#[test]
fn nothing_foreign_comes_in() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("there is a lock file");
    let values = |key: &str| -> Names {
        let prefix = format!("{key} = \"");
        lock.lines()
            .filter_map(|line| Some(line.strip_prefix(&prefix)?.trim_end_matches('"').to_owned()))
            .collect()
    };

    let sources = values("source");
    let registry = sources
        .iter()
        .filter(|source| source.starts_with("registry+"));
    assert_eq!(
        (sources.len(), registry.count()),
        (1, 1),
        "one registry, nothing from git: {sources:?}"
    );
    let found = values("name");
    let bad: Vec<_> = NEVER.iter().filter(|name| found.contains(**name)).collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert!(found.contains("sqlx"), "the lock file was not understood");
}

#[test]
fn every_licence_lets_us_give_the_product_away() {
    let host = Command::new("rustc")
        .arg("-vV")
        .output()
        .expect("rustc starts");
    let host = String::from_utf8_lossy(&host.stdout).into_owned();
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let metadata = metadata(&["--filter-platform", host.expect("rustc has a host")]);
    let packages = list(&metadata["packages"]);
    assert!(
        packages.len() > 100,
        "{} packages are too few",
        packages.len()
    );

    let refused: Vec<_> = packages
        .iter()
        .filter(|package| !may_be_given(package["license"].as_str().unwrap_or_default()))
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();

    assert!(refused.is_empty(), "{refused:#?}");
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND AGPL-3.0",
        "(MIT OR Apache-2.0) AND SSPL-1.0",
    ] {
        assert!(!may_be_given(bad), "{bad:?}");
    }
}

/// Whether every part of an SPDX expression has an alternative that we take. An old slash is an OR.
fn may_be_given(expression: &str) -> bool {
    expression.split(" AND ").all(|part| {
        let part = part.replace(['(', ')'], "").replace('/', " OR ");
        part.split(" OR ")
            .any(|licence| LICENCES.contains(&licence.trim()))
    })
}
