//! Statements, as sqlx tells of them: their first words, their text, how long they took. The text goes no further.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use tracing::{
    Event, Instrument as _, Span, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

/// Under which target sqlx tells.
pub(crate) const STATEMENTS: &str = "sqlx::query";

/// The first word of what begins a transaction.
const BEGIN: &str = "BEGIN";

/// What a statement is called outside of this process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Statement {
    /// Its first words: our own text, which holds no value.
    pub(crate) summary: String,
    /// How the name of its file in `.sqlx` goes on after `query-`: 16 digits of the SHA-256 of its text.
    pub(crate) fingerprint: String,
    /// How long it took. Unit: seconds.
    pub(crate) seconds: f64,
}

impl Statement {
    /// What sqlx tells; `None` where that is no statement.
    pub(crate) fn of(event: &Event<'_>) -> Option<Self> {
        let mut told = Told::default();
        event.record(&mut told);
        let summary = told.summary?;
        // A text that is all summary is not told twice.
        let text = told.text.unwrap_or_default();
        let text = text.strip_prefix("\n\n").unwrap_or(&text);
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = if text.is_empty() {
            summary.as_str()
        } else {
            text
        };
        // What begins a transaction may go on with the numbers of locks, which come from people's ids.
        let text = if text.starts_with(BEGIN) { BEGIN } else { text };
        let mut fingerprint = String::with_capacity(16);
        for byte in &Sha256::digest(text.as_bytes())[..8] {
            // A text takes whatever is written to it.
            write!(fingerprint, "{byte:02x}").ok();
        }
        Some(Self {
            fingerprint,
            summary,
            seconds: told.seconds,
        })
    }
}

#[derive(Debug, Default)]
struct Told {
    summary: Option<String>,
    text: Option<String>,
    seconds: f64,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = Some(value.to_owned()),
            "db.statement" => self.text = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.seconds = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Logs statements that took too long, by their names.
#[derive(Debug)]
pub(crate) struct SlowStatements;

impl<S: Subscriber> Layer<S> for SlowStatements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (Some(statement), Ok(runtime)) =
            (Statement::of(event), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        // Not from here: a line that is logged while another is would be filtered by what was found for that one. The span says
        // which request it is of.
        let line = async move {
            let Statement {
                summary,
                fingerprint,
                seconds,
            } = statement;
            tracing::warn!(statement = %summary, query = %fingerprint, seconds, "A statement was slow");
        };
        runtime.spawn(line.instrument(Span::current()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<Statement>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let heard = Statement::of(event);
            self.0.lock().expect("no panic").extend(heard);
        }
    }

    #[test]
    fn what_begins_a_transaction_is_named_without_its_numbers() {
        let heard = Heard::default();
        let subscriber = tracing_subscriber::registry().with(heard.clone());
        tracing::subscriber::with_default(subscriber, || {
            for lock in [7, 8] {
                tracing::warn!(
                    target: "sqlx::query",
                    summary = "BEGIN; SET LOCAL lock_timeout …",
                    db.statement = format!("\n\nBEGIN; SET LOCAL lock_timeout = 1000; SELECT {lock}\n").as_str(),
                    elapsed_secs = 1.5,
                    "slow statement"
                );
            }
        });
        let heard = heard.0.lock().expect("no panic").clone();

        assert_eq!(heard.len(), 2);
        assert_eq!(heard[0], heard[1]);
    }

    #[test]
    fn a_statement_is_named_by_its_first_words_and_by_its_file() {
        let heard = Heard::default();
        let subscriber = tracing_subscriber::registry().with(heard.clone());
        tracing::subscriber::with_default(subscriber, || {
            let (text, seconds) = ("SELECT 1", 1.5);
            // As sqlx tells of a long statement, and of one that is all summary.
            tracing::warn!(
                target: "sqlx::query",
                summary = "SELECT id, name FROM …",
                db.statement = format!("\n\n{text}\n").as_str(),
                elapsed_secs = seconds,
                "slow statement"
            );
            tracing::warn!(target: "sqlx::query", summary = text, db.statement = "", elapsed_secs = seconds);
            tracing::warn!("Something else");
        });
        let heard = heard.0.lock().expect("no panic").clone();

        // sha256sum of `SELECT 1`.
        let fingerprint = "e004ebd5b5532a4b";
        let summaries: Vec<_> = heard.iter().map(|it| it.summary.as_str()).collect();
        assert_eq!(summaries, ["SELECT id, name FROM …", "SELECT 1"]);
        for statement in &heard {
            assert_eq!(statement.fingerprint, fingerprint);
            assert!((statement.seconds - 1.5).abs() < f64::EPSILON);
        }
    }
}
