//! Directories that are gone when nobody holds them any more, or when their holder was killed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Error, Result, secret};

/// Waits for the end of its standard input; a line first means that all is well.
///
/// What still writes into the directory has been told to stop by then.
const WATCH: &str = r#"read -r line && exit 0; sleep 1; rm -rf -- "$1""#;

/// A directory of our own, mode 0700, under the one for temporary files; removed when dropped, and
/// also when this process ends without dropping it, as a test binary does with what is static.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    watch: Child,
}

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
        let watch = Command::new("/bin/sh")
            .args(["-c", WATCH, "watch"])
            .arg(&dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::spawn("sh"))?;
        Ok(Self { dir, watch })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok();
        if let Some(mut pipe) = self.watch.stdin.take() {
            pipe.write_all(b"done\n").ok();
        }
        self.watch.wait().ok();
    }
}
