//! The contracts' own tests, what slither reports of them, and the ABI that Rust is built from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use dev::tools::{Scope, Tools};
use serde_json::Value;

/// What forge builds is kept apart from what a deployment at the same time builds, and in one place
/// for each test in turn.
const BUILT: &str = "target/forge";
static FORGE: Mutex<()> = Mutex::new(());

fn root() -> PathBuf {
    dev::repository::root().expect("the tests run inside a clone")
}

/// Runs forge; shows all that it said when it fails.
fn forge(root: &Path, arguments: &[&str]) -> String {
    let tools = Tools::ensure(root, Scope::Test).expect("the tools are there");
    let output = Command::new(tools.forge().expect("forge is among them"))
        .args(arguments)
        .env("FOUNDRY_OUT", format!("{BUILT}/out"))
        .env("FOUNDRY_CACHE_PATH", format!("{BUILT}/cache"))
        .env("NO_COLOR", "1")
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .expect("forge starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "forge {} failed ({})\n{said}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn the_contracts_pass_their_own_tests() {
    let _alone = FORGE.lock().unwrap_or_else(PoisonError::into_inner);

    let said = forge(&root(), &["test"]);

    let summary = said.lines().rfind(|line| line.starts_with("Ran "));
    let summary = summary.unwrap_or_else(|| panic!("forge ran no test: {said}"));
    println!("{summary}");
    assert!(summary.contains(" 0 failed, 0 skipped"), "{summary}");
}

/// Installs slither with exactly its requirements the first time, from `PyPI` into `target/analysis`.
#[test]
fn slither_reports_exactly_what_is_argued_for() {
    let root = root();
    Tools::ensure(&root, Scope::Test).expect("the tools are there");

    let output = Command::new("node")
        .args(["contracts/test/analyse.mjs", "slither"])
        .env("FOUNDRY_OUT", "target/slither/out")
        .env("FOUNDRY_CACHE_PATH", "target/slither/cache")
        .current_dir(&root)
        .stdin(Stdio::null())
        .output()
        .expect("node starts");

    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "slither's results are not those of contracts/test/slither/check.py ({})\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{said}");
    assert!(said.contains(" results, "), "{said}");
}

#[test]
fn the_abi_is_what_the_contracts_compile_to() {
    let _alone = FORGE.lock().unwrap_or_else(PoisonError::into_inner);
    let root = root();

    forge(&root, &["build"]);

    let recorded = fs::read_dir(root.join("contracts/abi")).expect("there are ABIs");
    let mut compared = 0;
    for file in recorded {
        let path = file.expect("the directory can be read").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let built = root.join(format!("{BUILT}/out/{name}.sol/{name}.json"));
        assert_eq!(
            read(&path),
            read(&built)["abi"],
            "contracts/abi/{name}.json is not what forge builds: run contracts/abi.mjs"
        );
        compared += 1;
    }
    assert!(compared >= 2, "{compared} ABIs are too few");
}

fn read(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
