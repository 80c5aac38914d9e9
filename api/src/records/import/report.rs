//! What is told of an import, a line for each entry. Codes, ids and hashes: nothing that a document says.

use serde_json::{Value, json};

use super::super::draft::Stored;
use crate::{codes::ErrorCode, error::Error};

/// What entries came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Stored by this import.
    pub(crate) created: u64,
    /// Stored before, by the same entry.
    pub(crate) already_there: u64,
    /// Not stored.
    pub(crate) refused: u64,
}

impl Totals {
    /// Counts one more.
    pub(crate) const fn count(&mut self, result: &Result<Stored, Error>) {
        match result {
            Ok(written) if written.is_new() => self.created += 1,
            Ok(_) => self.already_there += 1,
            Err(_) => self.refused += 1,
        }
    }
}

/// The line of one entry.
pub(crate) fn line(number: u64, result: &Result<Stored, Error>) -> Value {
    match result {
        Ok(written) => json!({
            "entry": number,
            "outcome": if written.is_new() { "CREATED" } else { "ALREADY_THERE" },
            "recordId": written.record.id,
            "recordType": written.record.record_type,
            "version": written.record.version,
            "dataHash": written.record.data_hash,
        }),
        Err(error) => {
            let mut line = json!({
                "entry": number,
                "outcome": "REFUSED",
                "code": error.public_code().as_str(),
                "message": error.to_string(),
            });
            match error {
                Error::Document(issues) => line["operationOutcome"] = outcome(issues),
                Error::BadInput { field, .. }
                | Error::Conflict { field, .. }
                | Error::LimitReached { field, .. } => {
                    line["field"] = json!(field);
                }
                Error::Unauthenticated
                | Error::TokenExpired
                | Error::SessionEnded
                | Error::WrongCredentials
                | Error::SecondFactorRequired
                | Error::SecondFactorMissing
                | Error::Forbidden(_)
                | Error::NotFound(_)
                | Error::Integrity(_)
                | Error::Busy { .. }
                | Error::Throttled { .. }
                | Error::OverBudget { .. }
                | Error::AnswerTooLarge { .. }
                | Error::Unavailable
                | Error::Internal => {}
            }
            line
        }
    }
}

/// The line after the last: what it all came to, and where to go on if that was not all.
pub(crate) fn end(totals: Totals, reported: u64, interrupted: Option<(ErrorCode, &str)>) -> Value {
    let Totals {
        created,
        already_there,
        refused,
    } = totals;
    let mut line = json!({
        "ended": "COMPLETE", "created": created, "alreadyThere": already_there, "refused": refused,
    });
    if let Some((code, message)) = interrupted {
        line["ended"] = json!(code.as_str());
        line["message"] = json!(message);
        line["resumeFrom"] = json!(reported + 1);
    }
    line
}

fn outcome(issues: &[fhir::Issue]) -> Value {
    let bytes = fhir::canonical::to_bytes(&fhir::operation_outcome(issues));
    serde_json::from_slice(&bytes).unwrap_or_default()
}
