//! SoftHSM: a PKCS#11 token in files, for the tests of master keys inside one. That of the distribution; or else, where there is
//! apt, out of the distribution's packages: unpacked below `.dev`, and not installed, for which nobody has to be root. There is no
//! pin: apt compares what it brings with the lists that the distribution has signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
///
/// # Errors
///
/// When files cannot be made.
pub(super) fn ensure(root: &Path) -> Result<()> {
    if find(root).is_ok() {
        return Ok(());
    }
    say::progress("unpacking SoftHSM from the packages of the distribution");
    let place = root.join(PLACE);
    if place.exists() {
        fs::remove_dir_all(&place).map_err(Error::file("could not remove", &place))?;
    }
    for dir in ["lists/partial", "cache/archives/partial", "packages"] {
        let dir = place.join(dir);
        fs::create_dir_all(&dir).map_err(Error::file("could not make", &dir))?;
    }
    if let Err(error) = unpack(&place) {
        say::progress(format_args!(
            "note: the tests of PKCS#11 will fail, for there is no SoftHSM: {error}"
        ));
    }
    Ok(())
}

fn unpack(place: &Path) -> Result<()> {
    let packages = place.join("packages");
    run(apt(place).arg("update"))?;
    run(apt(place)
        .arg("download")
        .args(PACKAGES)
        .current_dir(&packages))?;
    let brought = fs::read_dir(&packages).map_err(Error::file("could not read", &packages))?;
    for package in brought.flatten() {
        run(Command::new("dpkg")
            .arg("-x")
            .arg(package.path())
            .arg(place.join("root")))?;
    }
    Ok(())
}

/// apt with lists of its own: those of the machine may be none, and are root's.
fn apt(place: &Path) -> Command {
    let mut apt = Command::new("apt-get");
    let ours = |name: &str, dir: &str| format!("{name}={}", place.join(dir).display());
    apt.arg("--quiet=2")
        .args(["-o", &ours("Dir::State::lists", "lists")])
        .args(["-o", &ours("Dir::Cache", "cache")])
        // Nobody else uses those; the locks of the machine's own are root's, too. Another user may not be able to write there.
        .args(["-o", "Debug::NoLocking=true"])
        .args(["-o", "APT::Sandbox::User=root"]);
    apt
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Error::spawn(&name))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        program: name,
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
