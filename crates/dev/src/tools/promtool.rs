//! promtool, by which the rules of alerts are checked: that of the machine; or else, where there is apt, out of the distribution's
//! package of Prometheus.

use std::path::{Path, PathBuf};

use super::packages;
use crate::{Error, Result, config, say};

/// Where it is kept.
const PLACE: &str = ".dev/tools/prometheus";
/// The package that it is in.
const PACKAGES: [&str; 1] = ["prometheus"];
/// What it is called.
const PROGRAM: &str = "promtool";

/// Where it is.
///
/// # Errors
///
/// When there is none: the text says what to do.
pub(super) fn find(root: &Path) -> Result<PathBuf> {
    let unpacked = root.join(PLACE).join("root/usr/bin");
    let mut places = config::path().into_iter().chain([unpacked]);
    places
        .find_map(|dir| Some(dir.join(PROGRAM)).filter(|file| file.is_file()))
        .ok_or_else(|| {
            Error::Needs(
                "there is no promtool, by which the rules of alerts are tested: run `cargo dev tools --test` where there is apt, \
                 or install Prometheus"
                    .to_owned(),
            )
        })
}

/// Brings it, where there is none. Without apt it is told that there is none: the test that needs it then says so.
pub(super) fn ensure(root: &Path) {
    if find(root).is_ok() {
        return;
    }
    say::progress("unpacking promtool from the packages of the distribution");
    if let Err(error) = packages::unpack(&root.join(PLACE), &PACKAGES) {
        say::progress(format_args!(
            "note: the test of the rules of alerts will fail, for there is no promtool: {error}"
        ));
    }
}
