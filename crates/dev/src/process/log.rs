//! A child's log file, as a person wants to see it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::say;

/// How many lines of a log an error shows.
const SHOWN: usize = 20;
/// How often a followed log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The last lines of a log; empty when there is none.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

/// What is shown of a program's log while it runs; the file has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// Nothing.
    Nothing,
    /// Warnings and errors.
    Problems,
    /// Every line.
    All,
}

impl Echo {
    fn shows(self, line: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Problems => ["WARN", "ERROR", "panicked at"]
                .iter()
                .any(|it| line.contains(it)),
            Self::All => true,
        }
    }
}

/// Shows what is added to a log, with a name before each line, until it is dropped.
///
/// The child writes to the file and not to us, so that it can still write when we are gone.
#[derive(Debug)]
pub(super) struct Follower {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Follows a log that exists, from its start.
    pub(super) fn start(name: &str, log: &Path, echo: Echo) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (name, file, seen) = (name.to_owned(), File::open(log), Arc::clone(&done));
        let thread = thread::spawn(move || {
            if let Ok(file) = file {
                follow(&name, file, echo, &seen);
            }
        });
        Self {
            done,
            thread: Some(thread),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn follow(name: &str, file: File, echo: Echo, done: &AtomicBool) {
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    loop {
        let last = done.load(Ordering::Acquire);
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            // Half a line is kept until the rest of it is there.
            if line.ends_with('\n') {
                if echo.shows(&line) {
                    say::progress(format_args!("{name:>8} │ {}", line.trim_end()));
                }
                line.clear();
            }
        }
        if last {
            return;
        }
        thread::sleep(LOOK_EVERY);
    }
}
