//! `npm ci`, when what is installed is not what the lock file says.
//!
//! npm writes down what it installed, at the very end of an installation; that file is compared
//! with ours, so that an installation by hand counts, and one that was cut off does not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Deserialize;

use super::Scope;
use crate::{Error, Result, say};

/// The oldest Node.js that all the pinned packages run on.
const NODE_MAJOR: u32 = 20;

#[derive(Deserialize)]
struct Lock {
    packages: BTreeMap<String, Package>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    version: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    dev_optional: bool,
    #[serde(default)]
    optional: bool,
}

/// Installs without running any package's scripts.
pub(super) fn ensure(root: &Path, scope: Scope) -> Result<()> {
    let wanted = read(&root.join("package-lock.json"))?;
    let installed = read(&root.join("node_modules/.package-lock.json"));
    let Some(missing) = missing(&wanted, installed.as_ref().ok(), scope) else {
        return Ok(());
    };
    check_node()?;
    say::progress(format_args!(
        "installing the pinned packages of {} with npm ci ({missing})",
        root.display()
    ));
    let started = Instant::now();
    let mut npm = Command::new("npm");
    npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    if scope == Scope::Run {
        npm.arg("--omit=dev");
    }
    let status = npm
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| no_node("npm", &error.to_string()))?;
    if !status.success() {
        return Err(Error::Needs(format!(
            "npm ci failed ({status}), see above: the packages come from the npm registry once, and \
             are kept in node_modules"
        )));
    }
    say::progress(format_args!(
        "installed the packages in {:.0?}",
        started.elapsed()
    ));
    Ok(())
}

/// The first difference that calls for an installation, in words.
fn missing(wanted: &Lock, installed: Option<&Lock>, scope: Scope) -> Option<String> {
    let Some(installed) = installed else {
        return Some("node_modules is not there, or not finished".to_owned());
    };
    let needed = wanted.packages.iter().filter(|(path, package)| {
        !path.is_empty() && (scope == Scope::Test || !(package.dev || package.dev_optional))
    });
    needed.into_iter().find_map(|(path, package)| {
        let name = path.trim_start_matches("node_modules/");
        match installed.packages.get(path) {
            // What is for another machine is left out by npm.
            None if package.optional => None,
            None => Some(format!("{name} is not installed")),
            Some(there) if there.integrity == package.integrity => None,
            Some(there) => Some(format!(
                "{name} is {}, not {}",
                there.version.as_deref().unwrap_or("unknown"),
                package.version.as_deref().unwrap_or("unknown")
            )),
        }
    })
}

fn read(lock: &Path) -> Result<Lock> {
    let text = fs::read(lock).map_err(Error::file("could not read", lock))?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::Needs(format!("{} is no npm lock file: {error}", lock.display())))
}

fn check_node() -> Result<()> {
    let output = Command::new("node").arg("--version").output();
    let output = output.map_err(|error| no_node("node", &error.to_string()))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let major = version.trim().trim_start_matches('v').split('.').next();
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= NODE_MAJOR => Ok(()),
        _ => Err(no_node(
            "node",
            &format!("it says it is {}", version.trim()),
        )),
    }
}

fn no_node(program: &str, why: &str) -> Error {
    Error::Needs(format!(
        "Node.js {NODE_MAJOR} or newer with npm is needed, and `{program}` cannot be used ({why}): \
         install it from your distribution or from nodejs.org, and run this again"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Lock, Scope, missing};

    fn lock(packages: &str) -> Lock {
        let text = format!(r#"{{"packages":{{"":{{}},{packages}}}}}"#);
        serde_json::from_str(&text).expect("a lock file")
    }

    #[test]
    fn what_is_installed_is_compared_with_what_is_locked() {
        let wanted = lock(
            r#""node_modules/a": {"version": "2", "integrity": "x2"},
               "node_modules/other-machine": {"version": "1", "optional": true},
               "node_modules/browser": {"version": "1", "integrity": "b1", "dev": true}"#,
        );
        let old = lock(r#""node_modules/a": {"version": "1", "integrity": "x1"}"#);
        let run = lock(r#""node_modules/a": {"version": "2", "integrity": "x2"}"#);

        assert!(missing(&wanted, None, Scope::Run).is_some());
        assert_eq!(
            missing(&wanted, Some(&old), Scope::Run).as_deref(),
            Some("a is 1, not 2")
        );
        assert_eq!(missing(&wanted, Some(&run), Scope::Run), None);
        assert!(missing(&wanted, Some(&run), Scope::Test).is_some());
    }
}
