//! A file of log lines, opened again when it is told to: logrotate renames it, and sends SIGHUP.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The file.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

/// For whoever owns it alone: who does what, and when, is nobody else's business.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

impl LogFile {
    /// Opens it to append to, or makes it.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = Mutex::new(open(&path)?);
        Ok(Self { path, file })
    }

    fn file(&self) -> MutexGuard<'_, File> {
        // A panic elsewhere leaves a file that can be written.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file of this name again, on each SIGHUP; where that fails, lines go on into the one before.
    pub(crate) fn reopen_on_hangup(self: Arc<Self>, stopping: CancellationToken) -> io::Result<()> {
        let mut hangups = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    told = hangups.recv() => if told.is_none() { return },
                }
                match open(&self.path) {
                    Ok(file) => {
                        *self.file() = file;
                        tracing::info!("The log file was opened again");
                    }
                    Err(error) => tracing::error!(%error, "The log file cannot be opened again"),
                }
            }
        });
        Ok(())
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.file().write(line)
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        // As a whole: lines of several threads must not get into each other.
        self.file().write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_log_file_is_appended_to_and_nobody_elses() {
        let path = std::env::temp_dir().join(format!("meditrustal-log-{}", std::process::id()));
        for line in ["one\n", "two\n"] {
            let file = LogFile::open(path.clone()).expect("it opens");
            (&file).write_all(line.as_bytes()).expect("it is written");
        }
        let text = fs::read_to_string(&path).expect("it is there");
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        fs::remove_file(&path).expect("it goes");

        assert_eq!(text, "one\ntwo\n");
        assert_eq!(mode & 0o777, 0o600);
    }
}
