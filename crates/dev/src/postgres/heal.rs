//! What an earlier run may have left in a data directory, and how it is put right.
//!
//! PostgreSQL refuses to start beside a `postmaster.pid` that is empty, garbage, or names a live
//! process of the same user that happens to have the old id. The file may only be removed when
//! nothing works on the data any more: every process of a cluster has the data directory as its
//! working directory, which the system tells us; a zombie has none.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Result, say};

/// Waits for the processes of an earlier run to end, or ends them, and removes their pid file.
///
/// The caller holds the launcher's lock, so whatever still runs has no launcher any more: its
/// tie has told it to stop already.
///
/// # Errors
///
/// When a process on this data does not end.
pub(super) fn heal(data: &Path) -> Result<()> {
    let pid_file = data.join("postmaster.pid");
    if !gone_within(data, Duration::from_secs(3)) {
        say::progress("an earlier PostgreSQL is still running on this data: stopping it");
        tell(data, &first_line(&pid_file), Signal::INT);
        if !gone_within(data, Duration::from_secs(10)) {
            for pid in working_on(data) {
                tell(data, &pid, Signal::QUIT);
            }
        }
        if !gone_within(data, Duration::from_secs(5)) {
            return Err(Error::InUse {
                what: data.display().to_string(),
                pid: working_on(data).join(", "),
            });
        }
    }
    match fs::remove_file(&pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("could not remove", &pid_file)(error))
        }
        _ => Ok(()),
    }
}

/// The first line of a pid file: the postmaster's process id.
pub(super) fn first_line(pid_file: &Path) -> String {
    let text = fs::read(pid_file).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn gone_within(data: &Path, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while !working_on(data).is_empty() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(25));
    }
    true
}

/// Signals every process that works on this data now.
pub(super) fn tell_all(data: &Path, signal: Signal) {
    for pid in working_on(data) {
        tell(data, &pid, signal);
    }
}

/// Signals a process if it works on this data now.
fn tell(data: &Path, pid: &str, signal: Signal) {
    if working_on(data).iter().any(|running| running == pid)
        && let Some(pid) = pid.parse().ok().and_then(Pid::from_raw)
    {
        kill_process(pid, signal).ok();
    }
}

/// The ids of the PostgreSQL processes whose working directory this is.
#[cfg(target_os = "linux")]
fn working_on(data: &Path) -> Vec<String> {
    let data = fs::canonicalize(data).unwrap_or_else(|_| PathBuf::from(data));
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == data))
        .filter(|process| first_line(&process.path().join("comm")) == "postgres")
        .filter_map(|process| process.file_name().into_string().ok())
        .collect()
}

/// The postmaster of the pid file, if `ps` says that its program is a `postgres`.
#[cfg(not(target_os = "linux"))]
fn working_on(data: &Path) -> Vec<String> {
    let pid = first_line(&PathBuf::from(data).join("postmaster.pid"));
    if pid.is_empty() || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let ps = std::process::Command::new("ps")
        .args(["-o", "comm=", "-p", &pid])
        .output();
    let runs = ps.is_ok_and(|ps| String::from_utf8_lossy(&ps.stdout).contains("postgres"));
    if runs { vec![pid] } else { Vec::new() }
}
