//! How a command tells the operator what came of it.

use std::{
    error::Error,
    io::Write as _,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::Args;
use serde_json::Value;

/// Whatever made a command fail. Its text says what to do.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Whether a result was printed. Who reads JSON reads one object.
static HAS_RESULT: AtomicBool = AtomicBool::new(false);

/// Prints a result for the operator.
///
/// # Errors
/// Where nobody reads it any more.
pub(super) fn say(line: &str) -> Result<(), Failure> {
    HAS_RESULT.store(true, Ordering::Relaxed);
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

/// Tells the operator why nothing was done, beside the exit code.
pub(super) fn decline(why: &str) {
    note(why);
    tell_program(why);
}

/// Tells the operator why a command failed, and the causes behind it.
pub(crate) fn fail(error: &(dyn Error + 'static)) -> ExitCode {
    let why = with_causes(error);
    // Nobody to tell: the exit code says it.
    writeln!(std::io::stderr(), "meditrustal: {why}").ok();
    tell_program(&why);
    ExitCode::FAILURE
}

/// Tells which settings cannot be used.
pub(super) fn refuse(mistakes: &[String]) -> ExitCode {
    let told: Failure = settings::told(mistakes).into();
    fail(told.as_ref());
    ExitCode::from(2)
}

fn tell_program(why: &str) {
    if !HAS_RESULT.load(Ordering::Relaxed) {
        settings::tell_program(why);
    }
}

/// An error and the causes behind it, and what can be done about the last one.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut last = error;
    while let Some(deeper) = last.source() {
        let words = deeper.to_string();
        // What wraps a cause may end with its words.
        if !text.ends_with(&words) {
            text = format!("{text}\n  because {words}");
        }
        if let Some(advice) = store::advice(deeper) {
            return format!("{text}\n  {advice}");
        }
        last = deeper;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Failed {
        words: &'static str,
        source: Option<Box<Failed>>,
    }

    #[test]
    fn a_cause_is_told_once() {
        let wrapped = |words, source| Failed {
            words,
            source: Some(Box::new(source)),
        };
        let deepest = Failed {
            words: "the disk is full",
            source: None,
        };
        let middle = wrapped("it failed: the disk is full", deepest);
        let error = wrapped("no file", middle);
        assert_eq!(
            with_causes(&error),
            "no file\n  because it failed: the disk is full"
        );
    }
}
