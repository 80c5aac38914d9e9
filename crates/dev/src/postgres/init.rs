//! The first start: `initdb`, in a way that cannot be interrupted half-way.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::home::Home;
use super::{Binaries, Options, SUPERUSER};
use crate::{Error, Result};

/// The first version of PostgreSQL that has the setting `scram_iterations`.
const SCRAM_ITERATIONS_SINCE: u32 = 16;

/// Makes the data directory beside its place and moves it there when it is whole.
pub(super) fn init(home: &Home, binaries: &Binaries, options: &Options) -> Result<()> {
    let part = home.dir.join("data.part");
    if part.exists() {
        fs::remove_dir_all(&part).map_err(Error::file("could not remove", &part))?;
    }
    let locale = if cfg!(target_os = "macos") {
        "C"
    } else {
        "C.UTF-8"
    };
    let mut initdb = home.user.command(binaries.program("initdb"));
    initdb
        .arg("-D")
        .arg(&part)
        .args([
            "-U",
            SUPERUSER,
            "--auth=scram-sha-256",
            "-E",
            "UTF8",
            "--no-instructions",
        ])
        .arg(format!("--locale={locale}"))
        .arg(format!(
            "--pwfile={}",
            home.dir.join("superuser-password").display()
        ));
    if options.throw_away {
        initdb.arg("--no-sync");
    }
    if !options.durable {
        // Small, because it is thrown away soon; and slow, because it is often full.
        initdb.arg("--wal-segsize=1");
        // The usual 4,096 rounds of HMAC are most of what a connection costs a program that is not optimised, and they only
        // slow down who guesses a password: these are random.
        if binaries.major >= SCRAM_ITERATIONS_SINCE {
            initdb.args(["-c", "scram_iterations=1"]);
        }
    }
    let output = initdb.output().map_err(Error::spawn("initdb"))?;
    if !output.status.success() {
        return Err(Error::Failed {
            program: "initdb".to_owned(),
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    fs::set_permissions(&part, PermissionsExt::from_mode(0o700))
        .and_then(|()| fs::rename(&part, home.data()))
        .map_err(Error::file("could not move", &part))
}
