//! nginx and Caddy, which the files of `ops` are tried with: those of the machine; or else, where there is apt, out of the
//! distribution's packages.

use std::path::{Path, PathBuf};

use super::packages;
use crate::{Error, Result, config, say};

/// Where they are kept.
const PLACE: &str = ".dev/tools/proxies";
/// The packages that they are in, and what they are called.
const PROGRAMS: [&str; 2] = ["nginx", "caddy"];
/// Where distributions put programs; the second is not in everybody's `PATH`.
const DIRECTORIES: [&str; 2] = ["usr/bin", "usr/sbin"];

/// Where one of them is.
///
/// # Errors
///
/// When there is none: the text says what to do.
pub(super) fn find(root: &Path, program: &str) -> Result<PathBuf> {
    let unpacked = root.join(PLACE).join("root");
    let places = config::path()
        .into_iter()
        .chain(DIRECTORIES.map(|dir| Path::new("/").join(dir)))
        .chain(DIRECTORIES.map(|dir| unpacked.join(dir)));
    let mut files = places.map(|dir| dir.join(program));
    files.find(|file| file.is_file()).ok_or_else(|| {
        Error::Needs(format!(
            "there is no {program}, by which the files of ops are tested: run `cargo dev tools --test` where there is apt, or \
             install {program}"
        ))
    })
}

/// Brings them, where one is missing. Without apt it is told that there are none: the tests that need them then say so.
pub(super) fn ensure(root: &Path) {
    if PROGRAMS.iter().all(|program| find(root, program).is_ok()) {
        return;
    }
    say::progress("unpacking nginx and Caddy from the packages of the distribution");
    if let Err(error) = packages::unpack(&root.join(PLACE), &PROGRAMS) {
        say::progress(format_args!(
            "note: the tests of the proxies will fail, for there is no nginx or no Caddy: {error}"
        ));
    }
}
