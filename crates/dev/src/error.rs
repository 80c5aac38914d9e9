//! What can go wrong while the development stack is put up, in words a developer can act on.

use std::io;
use std::path::{Path, PathBuf};

/// Why the development stack, or a part of it, is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The working directory lies in no clone of this repository.
    #[error("no MediTrustAl repository at or above {0}: run this inside a clone")]
    NoRepository(PathBuf),
    /// A file or directory could not be made, read or removed.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb: "could not read".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("could not start {program}: {source}")]
    Spawn {
        /// The program, as it was called.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ran and said no.
    #[error("{program} failed ({status})\n{output}")]
    Failed {
        /// The program, as it was called.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// A program did not get ready within its time.
    #[error("{program} {state}; the end of {}:\n{output}", log.display())]
    NotReady {
        /// The program.
        program: String,
        /// "was not ready within 30 s", "ended with …".
        state: String,
        /// Its log file.
        log: PathBuf,
        /// The end of it.
        output: String,
    },
    /// Another run holds what this one needs.
    #[error("{what} is in use by another run (process {pid}): stop that one first")]
    InUse {
        /// What is held.
        what: String,
        /// The holder.
        pid: String,
    },
    /// Something that is needed is not there, or not as it has to be; the text says what to do.
    #[error("{0}")]
    Needs(String),
    /// The chain node did not answer, or refused.
    #[error("the chain node could not answer {method}: {why}")]
    Chain {
        /// The JSON-RPC method.
        method: String,
        /// What it said.
        why: String,
    },
    /// The api did not do what was asked of it.
    #[error(transparent)]
    Api(#[from] crate::client::ClientError),
    /// The database refused.
    #[error("the database could not answer: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration could not be applied.
    #[error("a migration failed: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl Error {
    /// For `map_err`: names the file that `what` was tried on.
    pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            what,
            path: path.to_owned(),
            source,
        }
    }

    /// For `map_err`: names the program that did not start.
    pub(crate) fn spawn(program: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Spawn {
            program: program.into(),
            source,
        }
    }
}
