//! One child process: reaped at once, and stopped when this process ends, however it ends.
//!
//! The tie is a second, tiny child: a shell that waits on a pipe of which we hold the only other
//! end. When we are gone the pipe closes, by a `SIGKILL` as well, and the shell stops the child. A
//! parent-death signal would do the same on Linux alone, only while the *thread* that started the
//! child lives, and not without either `unsafe` or a helper program that a test could not find.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::{Error, Result};

/// Waits for the end of its standard input; a line first means that all is well.
///
/// `$1` the process, `$2` the first signal, `$3` the one after ten seconds, `$4` a directory to
/// remove at the end, or nothing.
const WATCH: &str = r#"
read -r line && exit 0
kill -s "$2" "$1"
tries=0
while kill -0 "$1" && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -s "$3" "$1"
[ -z "$4" ] || { sleep 0.2; rm -rf -- "$4"; }
"#;

/// What happens to a child whose launcher was killed.
#[derive(Debug, Clone)]
pub struct Tie {
    /// Asks it to end, in the words of `kill -s`: `TERM`, `INT`, `QUIT`.
    pub ask: &'static str,
    /// Makes it end, ten seconds later.
    pub force: &'static str,
    /// A throw-away directory to remove after it.
    pub remove: Option<PathBuf>,
}

impl Tie {
    /// `SIGTERM`, then `SIGKILL`: right for every program that keeps no data.
    pub fn terminate() -> Self {
        Self {
            ask: "TERM",
            force: "KILL",
            remove: None,
        }
    }
}

/// A running child process, tied to this one. A clone is another handle of the same process.
#[derive(Debug, Clone)]
pub struct Tied {
    pid: Pid,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while the process runs. It is reaped under this lock, so that a signal sent under
    /// it never reaches another process with a reused id.
    ended: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tied {
    /// Starts `command` in a process group of its own, so that a Ctrl-C on the terminal reaches
    /// us alone, and ties it with `tie`. `watcher` is a shell as the same user as the child.
    ///
    /// # Errors
    ///
    /// When either of the two does not start.
    pub fn start(mut command: Command, mut watcher: Command, tie: &Tie) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .process_group(0)
            .spawn()
            .map_err(Error::spawn(&name))?;
        let remove = tie.remove.clone().unwrap_or_default();
        let watch = watcher
            .args([
                "-c",
                WATCH,
                "watch",
                &child.id().to_string(),
                tie.ask,
                tie.force,
            ])
            .arg(remove)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self::tie(child, watch.map_err(Error::spawn("sh")))
    }

    fn tie(mut child: Child, watch: Result<Child>) -> Result<Self> {
        let watch = match watch {
            Ok(watch) => watch,
            Err(error) => {
                child
                    .kill()
                    .and_then(|()| child.wait())
                    .map_err(Error::spawn("kill"))?;
                return Err(error);
            }
        };
        let pid = Pid::from_child(&child);
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || reap(child, watch, &shared));
        Ok(Self { pid, state })
    }

    /// The process id. It stays the child's own until [`Tied::ended`] answers.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.state.lock()
    }

    /// Waits until it has ended; `None` when it still runs after `limit`.
    pub fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        let mut ended = self.state.lock();
        while ended.is_none() {
            let left = deadline.checked_duration_since(Instant::now())?;
            ended = self
                .state
                .changed
                .wait_timeout(ended, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *ended
    }

    /// Sends a signal; nothing happens when the process has ended.
    pub fn signal(&self, signal: Signal) {
        let ended = self.state.lock();
        if ended.is_none() {
            // It can only fail for a process that is gone, and this one is not reaped yet.
            kill_process(self.pid, signal).ok();
        }
    }

    /// Sends each signal in turn and waits as long as it says, then `SIGKILL`.
    pub fn stop(&self, steps: &[(Signal, Duration)]) -> Option<ExitStatus> {
        for (signal, patience) in steps {
            self.signal(*signal);
            if let Some(status) = self.wait(*patience) {
                return Some(status);
            }
        }
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10))
    }
}

/// Waits for the child, without collecting it first, and lets the watching shell go.
fn reap(mut child: Child, mut watch: Child, state: &State) {
    let id = WaitId::Pid(Pid::from_child(&child));
    while waitid(id.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        .is_err_and(|error| error == rustix::io::Errno::INTR)
    {}
    let mut ended = state.lock();
    // Somebody who ignores SIGCHLD takes the status away from us: then it is only known to be gone.
    *ended = Some(
        child
            .wait()
            .unwrap_or_else(|_| ExitStatus::from_raw(127 << 8)),
    );
    drop(ended);
    if let Some(mut pipe) = watch.stdin.take() {
        pipe.write_all(b"done\n").ok();
    }
    state.changed.notify_all();
    watch.wait().ok();
}

#[cfg(test)]
mod tests {
    use super::{Command, Duration, Signal, Tie, Tied};

    #[test]
    fn a_child_that_ends_is_reaped_and_reported() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 3"]);

        let child =
            Tied::start(command, Command::new("/bin/sh"), &Tie::terminate()).expect("a shell runs");

        let status = child.wait(Duration::from_secs(10)).expect("a shell runs");
        assert_eq!(status.code(), Some(3));
        assert!(child.ended().is_some());
    }

    #[test]
    fn a_child_that_ignores_being_asked_is_killed() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' TERM; while :; do sleep 0.05; done"]);
        let child =
            Tied::start(command, Command::new("/bin/sh"), &Tie::terminate()).expect("a shell runs");

        let status = child
            .stop(&[(Signal::TERM, Duration::from_millis(200))])
            .expect("a shell runs");

        assert!(!status.success());
    }
}
