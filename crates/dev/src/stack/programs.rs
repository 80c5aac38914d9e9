//! Our two programs, built by the cargo that started us.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::{Error, Result, config};

/// Where the built programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The api and the operator's commands.
    pub meditrustal: PathBuf,
    /// The indexer.
    pub indexer: PathBuf,
}

/// How cargo builds them, by the profiles of `Cargo.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quickly.
    Dev,
    /// Optimised, as it is run in production.
    Release,
}

/// What this process has built already: a test binary that starts many stacks asks cargo once.
static BUILT: Mutex<Vec<(Profile, Programs)>> = Mutex::new(Vec::new());

impl Programs {
    /// Those in a directory, such as `target/release` of another clone.
    ///
    /// # Errors
    ///
    /// When one of them is not there.
    pub fn in_directory(dir: &Path) -> Result<Self> {
        let find = |name: &str| {
            let program = dir.join(name);
            match File::open(&program) {
                Ok(_) => Ok(program),
                Err(error) => Err(Error::file("could not find", &program)(error)),
            }
        };
        Ok(Self {
            meditrustal: find("meditrustal")?,
            indexer: find("meditrustal-indexer")?,
        })
    }

    /// Builds both, with cargo's own progress on standard error; blocks, for minutes in a fresh
    /// clone.
    ///
    /// # Errors
    ///
    /// When they do not compile: cargo has said why.
    pub fn build(root: &Path, profile: Profile) -> Result<Self> {
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, programs)) = built.iter().find(|(of, _)| *of == profile) {
            return Ok(programs.clone());
        }
        let optimised: &[&str] = match profile {
            Profile::Dev => &[],
            Profile::Release => &["--release"],
        };
        let output = Command::new(config::cargo())
            // The features of all of the workspace, as `cargo test` builds it: what both share is
            // compiled once. Naming the two packages would compile it again for their own.
            .args([
                "build",
                "--workspace",
                "--bin",
                "meditrustal",
                "--bin",
                "meditrustal-indexer",
            ])
            .args(optimised)
            .arg("--message-format=json-render-diagnostics")
            .current_dir(root)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(Error::spawn("cargo"))?;
        if !output.status.success() {
            return Err(Error::Needs(
                "the api and the indexer do not build, see above".to_owned(),
            ));
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let find = |name: &str| {
            messages
                .lines()
                .find_map(|line| executable(line, name))
                .ok_or_else(|| Error::Needs(format!("cargo build made no program named {name}")))
        };
        let programs = Self {
            meditrustal: find("meditrustal")?,
            indexer: find("meditrustal-indexer")?,
        };
        built.push((profile, programs.clone()));
        Ok(programs)
    }

    /// Where they are: to be put on the `PATH`.
    pub fn directory(&self) -> PathBuf {
        let directory = self.meditrustal.parent();
        directory.map_or_else(|| PathBuf::from("."), Path::to_owned)
    }

    /// Runs one of the operator's commands with only this environment; answers what it printed.
    ///
    /// # Errors
    ///
    /// When it fails: with what it said.
    pub fn operate(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        input: &str,
    ) -> Result<String> {
        let name = || format!("meditrustal {}", arguments.join(" "));
        let mut child = Command::new(&self.meditrustal)
            .args(arguments)
            .env_clear()
            .envs(config::passed_on())
            .env("NO_COLOR", "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::spawn(name()))?;
        if let Some(mut pipe) = child.stdin.take() {
            // A command that does not read its input may have ended already.
            pipe.write_all(input.as_bytes()).ok();
        }
        let output = child.wait_with_output().map_err(Error::spawn(name()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(Error::Failed {
            program: name(),
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&said).trim().to_owned(),
        })
    }
}

/// The program that one of cargo's messages tells of, if it is the one asked for.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    (message["reason"] == "compiler-artifact" && message["target"]["name"] == name)
        .then(|| Some(PathBuf::from(message["executable"].as_str()?)))?
        .filter(|program| File::open(program).is_ok())
}
