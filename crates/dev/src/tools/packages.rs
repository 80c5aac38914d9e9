//! Packages of the distribution, where there is apt: unpacked below `.dev`, and not installed, for which nobody has to be root.
//! There is no pin: apt compares what it brings with the lists that the distribution has signed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// Unpacks these packages below `root` in this place, which is emptied before.
///
/// # Errors
///
/// When files cannot be made, and where there is no apt, or no such package.
pub(super) fn unpack(place: &Path, names: &[&str]) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place).map_err(Error::file("could not remove", place))?;
    }
    for dir in ["lists/partial", "cache/archives/partial", "packages"] {
        let dir = place.join(dir);
        fs::create_dir_all(&dir).map_err(Error::file("could not make", &dir))?;
    }
    let packages = place.join("packages");
    run(apt(place).arg("update"))?;
    run(apt(place)
        .arg("download")
        .args(names)
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
