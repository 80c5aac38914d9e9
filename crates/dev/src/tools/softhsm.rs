//! SoftHSM: a PKCS#11 token in files, for the tests of master keys inside one. That of the distribution; or else, where there is
//! apt, out of the distribution's packages.

use std::path::{Path, PathBuf};

use super::packages;
use crate::{Error, Result, config, say};

/// Where it is kept.
const PLACE: &str = ".dev/tools/softhsm";
/// The packages with the library and with the program that makes tokens.
const PACKAGES: [&str; 2] = ["libsofthsm2", "softhsm2"];
/// Where distributions put the library.
const LIBRARIES: [&str; 7] = [
    "usr/lib/softhsm/libsofthsm2.so",
    "usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "usr/lib64/softhsm/libsofthsm2.so",
    "usr/lib64/pkcs11/libsofthsm2.so",
    "usr/local/lib/softhsm/libsofthsm2.so",
    "opt/homebrew/lib/softhsm/libsofthsm2.so",
];
/// The program that makes tokens.
const UTIL: &str = "softhsm2-util";

/// A library that stands for an HSM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftHsm {
    /// The library, which speaks PKCS#11.
    pub library: PathBuf,
    /// `softhsm2-util`, which makes tokens.
    pub util: PathBuf,
}

/// What there is.
///
/// # Errors
///
/// When there is none: the text says what to do.
pub(super) fn find(root: &Path) -> Result<SoftHsm> {
    let unpacked = root.join(PLACE).join("root");
    let of_ours = in_root(&unpacked, &[unpacked.join("usr/bin")]);
    in_root(Path::new("/"), &config::path())
        .or(of_ours)
        .ok_or_else(|| {
            Error::Needs(
                "there is no SoftHSM, by which master keys inside a PKCS#11 token are tested: run `cargo dev tools --test` where \
                 there is apt, or install softhsm2 (softhsm on other distributions than Debian)"
                    .to_owned(),
            )
        })
}

fn in_root(root: &Path, programs: &[PathBuf]) -> Option<SoftHsm> {
    let mut libraries = LIBRARIES.iter().map(|path| root.join(path));
    let mut utils = programs.iter().map(|dir| dir.join(UTIL));
    Some(SoftHsm {
        library: libraries.find(|file| file.is_file())?,
        util: utils.find(|file| file.is_file())?,
    })
}

/// Brings it, where the distribution has none installed and it is not there. Without apt it is told that there is none: the tests
/// that need it then say so.
pub(super) fn ensure(root: &Path) {
    if find(root).is_ok() {
        return;
    }
    say::progress("unpacking SoftHSM from the packages of the distribution");
    if let Err(error) = packages::unpack(&root.join(PLACE), &PACKAGES) {
        say::progress(format_args!(
            "note: the tests of PKCS#11 will fail, for there is no SoftHSM: {error}"
        ));
    }
}
