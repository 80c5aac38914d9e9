//! A command that is told to stop before it is through.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use super::output::note;

/// The exit code: 128 and the number of the signal, as shells tell of a program that SIGTERM ended.
const STOPPED: i32 = 143;

/// Ends this process at SIGTERM, from now on. It ends as if it were killed, which no command leaves anything half done by, but says so.
///
/// # Errors
/// Where the system lets nobody hear signals.
pub(super) fn end_on_sigterm() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        if terminate.recv().await.is_some() {
            note(
                "meditrustal: told to stop before it was through: what is done stays done, and nothing is half done; run it again",
            );
            std::process::exit(STOPPED);
        }
    });
    Ok(())
}
