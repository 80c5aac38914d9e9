//! How a command tells the operator what came of it.

use std::{error::Error, io::Write as _, process::ExitCode};

use clap::Args;
use serde_json::Value;

/// Whatever made a command fail. Its text says what to do.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Prints a result for the operator.
///
/// # Errors
/// Where nobody reads it any more.
pub(super) fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// How a command says its result.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ResultForm {
    /// Say it as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl ResultForm {
    /// Prints a result: in words, or as JSON where a program asked for that.
    ///
    /// # Errors
    /// Where nobody reads it any more.
    pub(super) fn say(self, words: &str, value: &Value) -> Result<(), Failure> {
        if self.json {
            say(&value.to_string())
        } else {
            say(words)
        }
    }

    /// Prints what only a person is told, or what a program is told in the result.
    ///
    /// # Errors
    /// Where nobody reads it any more.
    pub(super) fn say_words(self, words: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { say(words) }
    }

    /// Prints the result of which a person has been told the words, where a program asked for it.
    ///
    /// # Errors
    /// Where nobody reads it any more.
    pub(super) fn say_json(self, value: &Value) -> Result<(), Failure> {
        if self.json {
            say(&value.to_string())
        } else {
            Ok(())
        }
    }
}

/// Tells the operator how far a command is, beside its result.
pub(super) fn note(line: &str) {
    // Nobody to tell: the result says it.
    writeln!(std::io::stderr(), "{line}").ok();
}

/// Tells the operator why a command failed, and the causes behind it.
pub(crate) fn fail(error: &dyn Error) -> ExitCode {
    // Nobody to tell: the exit code says it.
    writeln!(std::io::stderr(), "meditrustal: {}", with_causes(error)).ok();
    ExitCode::FAILURE
}

/// An error and the causes behind it.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}\n  because {deeper}");
        cause = deeper.source();
    }
    text
}
