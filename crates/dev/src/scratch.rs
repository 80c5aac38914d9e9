//! Directories that are gone when nobody holds them any more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result, secret};

/// A directory of our own, mode 0700, under the one for temporary files; removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one; `name` is part of its name.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let name = format!("meditrustal-{name}-{}", &secret::fresh()?[..16]);
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).map_err(Error::file("could not make", &dir))?;
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o700))
            .map_err(Error::file("could not close", &dir))?;
        Ok(Self(dir))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
