//! One run of `cargo dev` in each clone, and how another command finds it.

use std::fs::{self, File, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::secrets::write_private;
use crate::repository::make_open_dir;
use crate::{Error, Result};

/// Somebody who can log in to a development stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Person {
    /// What they are, in words: "doctor".
    pub role: String,
    /// What they log in with.
    pub username: String,
    /// Their password; everybody may know it.
    pub password: String,
}

/// What a running stack tells those who want to use it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunFile {
    /// The process that holds the stack.
    pub process: u32,
    /// Where the api listens.
    pub api_url: String,
    /// Where the chain answers.
    pub chain_rpc_url: String,
    /// The product's database, as a superuser.
    pub superuser_url: String,
    /// The directory of the built programs.
    pub programs: PathBuf,
    /// What says where the registry is.
    pub deployment: PathBuf,
    /// Who can log in.
    pub people: Vec<Person>,
}

/// The right to be the one run of a clone; ends with the process.
#[derive(Debug)]
pub struct Run {
    root: PathBuf,
    _lock: File,
}

impl Run {
    /// Takes the clone, or says who has it.
    ///
    /// # Errors
    ///
    /// When an earlier run is still alive: with its process id.
    pub fn begin(root: &Path) -> Result<Self> {
        make_open_dir(&root.join(".dev"))?;
        let path = lock_path(root);
        let failed = || Error::file("could not write", &path);
        let mut lock = open(&path).map_err(failed())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed()(error)),
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).unwrap_or_default();
                return Err(Error::Needs(format!(
                    "cargo dev is already running in this clone (process {}): use it, or stop it \
                     with Ctrl-C there or `cargo dev stop` here",
                    pid.trim()
                )));
            }
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(failed())?;
        // What a killed run told is not true any more.
        fs::remove_file(run_path(root)).ok();
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
        })
    }

    /// Tells others where the stack is; readable by us alone.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn tell(&self, file: &RunFile) -> Result<()> {
        write_private(&run_path(&self.root), &serde_json::json!(file).to_string())
    }

    /// The run of this clone that is alive and has told where it is.
    pub fn find(root: &Path) -> Option<RunFile> {
        alive(root)?;
        serde_json::from_slice(&fs::read(run_path(root)).ok()?).ok()
    }

    /// Asks the run of this clone to stop, and waits for it; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it has not ended within `limit`.
    pub fn stop(root: &Path, limit: Duration) -> Result<Option<u32>> {
        let Some(pid) = alive(root) else {
            return Ok(None);
        };
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)
                .map_err(|error| Error::file("could not stop the run of", root)(error.into()))?;
        }
        let deadline = Instant::now() + limit;
        while alive(root).is_some() {
            if Instant::now() > deadline {
                let what = root.display().to_string();
                return Err(Error::InUse {
                    what,
                    pid: pid.to_string(),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(pid))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        fs::remove_file(run_path(&self.root)).ok();
    }
}

/// The process that holds this clone now.
fn alive(root: &Path) -> Option<u32> {
    let path = lock_path(root);
    let lock = File::open(&path).ok()?;
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => fs::read_to_string(&path).ok()?.trim().parse().ok(),
        _ => None,
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn lock_path(root: &Path) -> PathBuf {
    root.join(".dev/run.lock")
}

fn run_path(root: &Path) -> PathBuf {
    root.join(".dev/run.json")
}
