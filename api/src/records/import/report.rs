//! What is told of an import, a line for each entry. Codes, ids and hashes: nothing that a document says.

use std::collections::BTreeMap;

use domain::records::RecordType;
use serde_json::{Value, json};

use super::super::draft::Stored;
use crate::{codes::ErrorCode, error::Error};

/// How many reasons are counted apart.
const MAX_REASONS: usize = 100;

/// What an entry came to.
#[derive(Debug)]
pub(crate) enum Imported {
    /// A record, by this import or an earlier one.
    Stored(Box<Stored>),
    /// It would be stored: nothing is, as the caller asked.
    Checked(RecordType),
    /// It is nothing that a record is made of.
    Skipped,
}

impl Imported {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Stored(stored) if stored.is_new() => "CREATED",
            Self::Stored(_) => "ALREADY_THERE",
            Self::Checked(_) => "WOULD_BE_CREATED",
            Self::Skipped => "SKIPPED",
        }
    }
}

/// What entries came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Stored by this import.
    pub(crate) created: u64,
    /// Stored before, by the same entry.
    pub(crate) already_there: u64,
    /// Not stored.
    pub(crate) refused: u64,
    /// Nothing that a record is made of.
    pub(crate) skipped: u64,
    /// What would be stored.
    checked: u64,
    /// The same by the kind of resource.
    by_kind: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// What was refused, by its code and the first rule that it breaks.
    reasons: BTreeMap<String, u64>,
}

impl Totals {
    /// Counts one more, of a kind of resource if it has one.
    pub(crate) fn count(&mut self, kind: Option<&'static str>, result: &Result<Imported, Error>) {
        let total = match result {
            Ok(Imported::Stored(stored)) if stored.is_new() => &mut self.created,
            Ok(Imported::Stored(_)) => &mut self.already_there,
            Ok(Imported::Checked(_)) => &mut self.checked,
            Ok(Imported::Skipped) => &mut self.skipped,
            Err(_) => &mut self.refused,
        };
        *total += 1;
        let outcome = result.as_ref().map_or("REFUSED", Imported::outcome);
        let kinds = self.by_kind.entry(kind.unwrap_or("unknown")).or_default();
        *kinds.entry(outcome).or_default() += 1;
        if let Err(error) = result {
            let mut reason = error.public_code().as_str().to_owned();
            if let Error::Document(issues) = error
                && let Some(issue) = issues.first()
            {
                reason = format!("{reason} {}", issue.rule);
            }
            if self.reasons.len() >= MAX_REASONS && !self.reasons.contains_key(&reason) {
                "other".clone_into(&mut reason);
            }
            *self.reasons.entry(reason).or_default() += 1;
        }
    }
}

/// The line of one entry.
pub(crate) fn line(
    number: u64,
    kind: Option<&'static str>,
    result: &Result<Imported, Error>,
) -> Value {
    match result {
        Ok(imported @ Imported::Stored(written)) => json!({
            "entry": number,
            "outcome": imported.outcome(),
            "recordId": written.record.id,
            "recordType": written.record.record_type,
            "version": written.record.version,
            "dataHash": written.record.data_hash,
        }),
        Ok(imported @ Imported::Checked(record_type)) => json!({
            "entry": number, "outcome": imported.outcome(), "recordType": record_type,
        }),
        Ok(imported @ Imported::Skipped) => json!({
            "entry": number, "outcome": imported.outcome(), "resourceType": kind,
        }),
        Err(error) => refused(number, error),
    }
}

fn refused(number: u64, error: &Error) -> Value {
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

/// The line after the last: what it all came to, and where to go on if that was not all.
pub(crate) fn end(totals: &Totals, reported: u64, interrupted: Option<(ErrorCode, &str)>) -> Value {
    let Totals {
        created,
        already_there,
        refused,
        skipped,
        checked,
        by_kind,
        reasons,
    } = totals;
    let mut line = json!({
        "ended": "COMPLETE", "created": created, "alreadyThere": already_there, "refused": refused,
        "skipped": skipped, "byResourceType": by_kind, "reasons": reasons,
    });
    if *checked > 0 {
        line["wouldBeCreated"] = json!(checked);
    }
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
