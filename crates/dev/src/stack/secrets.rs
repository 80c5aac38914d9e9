//! What the programs of a development stack know: their database passwords and keys.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Programs;
use crate::{Error, Result, chain, secret};

/// The roles' passwords; the same from one run to the next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Passwords {
    pub(super) migrator: String,
    pub(super) api: String,
    pub(super) indexer: String,
    pub(super) keys: String,
    pub(super) backup: String,
}

impl Passwords {
    /// Those of `dir`, made on the first use.
    pub(super) fn of(dir: &Path) -> Result<Self> {
        let file = dir.join("passwords.json");
        if let Some(passwords) = fs::read(&file)
            .ok()
            .and_then(|t| serde_json::from_slice(&t).ok())
        {
            return Ok(passwords);
        }
        let passwords = Self {
            migrator: secret::fresh()?,
            api: secret::fresh()?,
            indexer: secret::fresh()?,
            keys: secret::fresh()?,
            backup: secret::fresh()?,
        };
        write_private(&file, &serde_json::json!(passwords).to_string())?;
        Ok(passwords)
    }
}

/// The keys of `dir`, made by the api's own command on the first use; the registrars' keys and that of checkpoints are the
/// well-known ones that the registry was deployed for.
pub(super) fn keys(programs: &Programs, dir: &Path) -> Result<PathBuf> {
    let keys = dir.join("keys");
    let path = keys.display().to_string();
    if !keys.join("master-keys.json").is_file() {
        programs.operate(&["keys", "new", "--dir", &path], &[], "")?;
        let registrar = keys.join("registrar.key");
        fs::remove_file(&registrar).map_err(Error::file("could not replace", &registrar))?;
        write_private(&registrar, chain::REGISTRAR_KEY)?;
        let checkpoint = keys.join("checkpoint.key");
        fs::remove_file(&checkpoint).map_err(Error::file("could not replace", &checkpoint))?;
        write_private(&checkpoint, chain::CHECKPOINT_KEY)?;
    }
    // A `.dev` from before registrars shared the load has none.
    let second = keys.join("registrar-2.key");
    if !second.is_file() {
        write_private(&second, chain::SECOND_REGISTRAR_KEY)?;
    }
    if !keys.join("index.key").is_file() {
        programs.operate(&["keys", "index", "--dir", &path], &[], "")?;
    }
    Ok(keys)
}

/// Writes a file that only we can read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::file("could not write", path))
}
