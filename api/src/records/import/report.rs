//! What is told of an import, a line for each entry. Codes, ids and hashes: nothing that a document says.

use std::collections::BTreeMap;

use domain::{
    ids::{RecordId, UserId},
    records::RecordType,
};
use serde_json::{Value, json};

use super::super::draft::{SourceAnswer, Stored};
use super::files::FilesStored;
use crate::{codes::ErrorCode, error::Error};

/// How many reasons are counted apart.
const MAX_REASONS: usize = 100;

/// What an entry came to.
#[derive(Debug)]
pub(crate) enum Imported {
    /// A record, by this import or an earlier one.
    Stored(Box<Stored>),
    /// The next version of a record: its source has sent another one.
    Amended(Box<Stored>),
    /// What would become of it: nothing is stored, as the caller asked.
    Checked(Foreseen),
    /// A file that this record promises; `None` where nothing is stored, as the caller asked.
    Attached(Option<RecordId>),
    /// A file that is stored with a document whose line comes behind its own, and says what became of it.
    WithDocument,
    /// A file that no document of its window claims, kept for those of later windows: another line says what became of it.
    Kept,
    /// It is nothing that a record is made of.
    Skipped,
    /// It is a file, and no record that is there by now waits for it.
    Unclaimed,
    /// It says that something was deleted at its source.
    Deletion,
}

/// What would become of an entry beside what is there, and what the entries before it would be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foreseen {
    /// What.
    pub(crate) outcome: ForeseenOutcome,
    /// The record that it would be, or that an entry before it would be. No client is told: it will be another.
    pub(crate) record: RecordId,
    /// Of which type.
    pub(crate) record_type: RecordType,
    /// Whose.
    pub(crate) patient: UserId,
}

/// What an entry would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForeseenOutcome {
    /// A new record.
    Created,
    /// The next version of a record.
    Amended,
    /// What an entry before it would be.
    AlreadyThere,
    /// Older than what an entry before it would be.
    Outdated,
}

/// Why a deletion is skipped.
const DELETION: &str = "DELETION";
/// Why a file is.
const UNCLAIMED: &str = "UNCLAIMED";

impl Imported {
    /// What a resource of this kind comes to that no record is made of.
    pub(crate) fn skipped(kind: Option<&str>) -> Self {
        match kind {
            Some("Binary") => Self::Unclaimed,
            Some(_) | None => Self::Skipped,
        }
    }

    /// The record that it is or would be, and whose.
    pub(crate) fn record(&self) -> Option<(RecordId, UserId)> {
        match self {
            Self::Stored(stored) | Self::Amended(stored) => {
                Some((stored.record.id, stored.record.patient))
            }
            Self::Checked(foreseen) => Some((foreseen.record, foreseen.patient)),
            Self::Attached(_)
            | Self::WithDocument
            | Self::Kept
            | Self::Skipped
            | Self::Unclaimed
            | Self::Deletion => None,
        }
    }

    /// Whether it is a version that another one has followed.
    pub(crate) const fn is_followed(&self) -> bool {
        match self {
            Self::Stored(stored) | Self::Amended(stored) => !stored.record.is_current,
            Self::Checked(_)
            | Self::Attached(_)
            | Self::WithDocument
            | Self::Kept
            | Self::Skipped
            | Self::Unclaimed
            | Self::Deletion => false,
        }
    }

    const fn outcome(&self) -> &'static str {
        match self {
            Self::Stored(stored) if stored.is_new() => "CREATED",
            Self::Stored(stored) if matches!(stored.source, Some(SourceAnswer::Outdated)) => {
                "OUTDATED"
            }
            Self::Stored(_) => "ALREADY_THERE",
            Self::Amended(_) => "AMENDED",
            Self::Checked(foreseen) => match foreseen.outcome {
                ForeseenOutcome::Created => "WOULD_BE_CREATED",
                ForeseenOutcome::Amended => "WOULD_BE_AMENDED",
                ForeseenOutcome::AlreadyThere => "ALREADY_THERE",
                ForeseenOutcome::Outdated => "OUTDATED",
            },
            Self::Attached(Some(_)) => "ATTACHED",
            Self::Attached(None) => "WOULD_BE_ATTACHED",
            Self::WithDocument => "WITH_DOCUMENT",
            Self::Kept => "KEPT",
            Self::Skipped | Self::Unclaimed | Self::Deletion => "SKIPPED",
        }
    }
}

/// What entries came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// How often what was told, by outcome.
    outcomes: BTreeMap<String, u64>,
    /// The same by the kind of resource.
    by_kind: BTreeMap<String, BTreeMap<String, u64>>,
    /// What was refused, or skipped for a reason, by its code and the first rule that it breaks.
    reasons: BTreeMap<String, u64>,
    /// What there was to say of what was not refused, by rule.
    notes: BTreeMap<String, u64>,
    /// References that name records now, or what their document contains.
    pub(crate) resolved: u64,
    /// References that mean nothing that is stored.
    pub(crate) unresolved: u64,
    /// Files that were taken out of documents.
    pub(crate) files: FilesStored,
}

/// What is told of an entry beside what it came to, where it was not refused.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EntryRemarks<'a> {
    /// How many of its references mean nothing that is stored.
    pub(crate) unresolved: u64,
    /// What there is to say of its profiles, and of files that are not waited for.
    pub(crate) notes: &'a [fhir::Issue],
    /// What became of the files that were taken out of it.
    pub(crate) files: FilesStored,
}

impl Totals {
    /// How often this was told.
    pub(crate) fn of(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }

    /// Counts one more, of a kind of resource if it has one.
    pub(crate) fn count(&mut self, kind: Option<&str>, result: &Result<Imported, Error>) {
        self.add(kind, outcome_of(result), reason_of(result).as_deref());
    }

    /// Counts one more of which it is known what it came to.
    pub(crate) fn add(&mut self, kind: Option<&str>, outcome: &str, reason: Option<&str>) {
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        let kinds = self.by_kind.entry(kind.unwrap_or("unknown").to_owned());
        *kinds.or_default().entry(outcome.to_owned()).or_default() += 1;
        if let Some(reason) = reason {
            let is_known = self.reasons.len() < MAX_REASONS || self.reasons.contains_key(reason);
            let reason = if is_known { reason } else { "other" };
            *self.reasons.entry(reason.to_owned()).or_default() += 1;
        }
    }

    /// Counts what there was to say of an entry that was not refused.
    pub(crate) fn note(&mut self, notes: &[fhir::Issue]) {
        for note in notes {
            *self.notes.entry(note.rule.clone()).or_default() += 1;
        }
    }

    /// Counts that records that were referred to are not stored.
    pub(crate) fn lose(&mut self, references: u64) {
        self.resolved = self.resolved.saturating_sub(references);
        self.unresolved += references;
    }
}

/// What became of an entry, in a word.
pub(crate) fn outcome_of(result: &Result<Imported, Error>) -> &'static str {
    result.as_ref().map_or("REFUSED", Imported::outcome)
}

/// Why an entry was refused, or left aside: its code, and the first rule that it breaks.
pub(crate) fn reason_of(result: &Result<Imported, Error>) -> Option<String> {
    let error = match result {
        Ok(Imported::Deletion) => return Some(DELETION.to_owned()),
        Ok(Imported::Unclaimed) => return Some(UNCLAIMED.to_owned()),
        Ok(_) => return None,
        Err(error) => error,
    };
    let code = error.public_code().as_str();
    let issue = match error {
        Error::Document(issues) => issues.first(),
        _ => None,
    };
    Some(match issue {
        Some(issue) => format!("{code} {}", issue.rule),
        None => code.to_owned(),
    })
}

/// The line of one entry.
pub(crate) fn line(
    number: u64,
    kind: Option<&str>,
    result: &Result<Imported, Error>,
    remarks: EntryRemarks<'_>,
) -> Value {
    let mut line = match result {
        Ok(imported @ (Imported::Stored(written) | Imported::Amended(written))) => json!({
            "entry": number,
            "outcome": imported.outcome(),
            "recordId": written.record.id,
            "recordType": written.record.record_type,
            "version": written.record.version,
            "dataHash": written.record.data_hash,
        }),
        Ok(imported @ Imported::Checked(foreseen)) => json!({
            "entry": number, "outcome": imported.outcome(), "recordType": foreseen.record_type,
        }),
        Ok(imported @ Imported::Attached(Some(record))) => json!({
            "entry": number, "outcome": imported.outcome(), "recordId": record,
        }),
        Ok(imported @ (Imported::Attached(None) | Imported::WithDocument | Imported::Kept)) => {
            json!({ "entry": number, "outcome": imported.outcome() })
        }
        Ok(imported @ Imported::Skipped) => json!({
            "entry": number, "outcome": imported.outcome(), "resourceType": kind,
        }),
        Ok(imported @ (Imported::Unclaimed | Imported::Deletion)) => json!({
            "entry": number, "outcome": imported.outcome(), "resourceType": kind, "reason": reason_of(result),
        }),
        Err(error) => refused(number, error),
    };
    if result.is_err() {
        return line;
    }
    let counts = [
        ("unresolvedReferences", remarks.unresolved),
        ("attachments", remarks.files.stored),
        ("attachmentsRefused", remarks.files.refused),
    ];
    for (name, times) in counts.into_iter().filter(|(_, times)| *times > 0) {
        line[name] = json!(times);
    }
    if !remarks.notes.is_empty() {
        line["operationOutcome"] = outcome(remarks.notes);
    }
    line
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
        | Error::CsrfProofMissing
        | Error::NotFound(_)
        | Error::Integrity(_)
        | Error::Busy { .. }
        | Error::Throttled { .. }
        | Error::OverBudget { .. }
        | Error::OverUploads { .. }
        | Error::AnswerTooLarge { .. }
        | Error::Unavailable
        | Error::Internal => {}
    }
    line
}

/// The line after the last: what it all came to, and where to go on if that was not all.
pub(crate) fn end(totals: &Totals, reported: u64, interrupted: Option<(ErrorCode, &str)>) -> Value {
    let mut line = json!({
        "ended": "COMPLETE", "created": totals.of("CREATED"), "alreadyThere": totals.of("ALREADY_THERE"),
        "refused": totals.of("REFUSED"), "skipped": totals.of("SKIPPED"), "byResourceType": totals.by_kind,
        "reasons": totals.reasons,
    });
    let seldom = [
        ("amended", totals.of("AMENDED")),
        ("outdated", totals.of("OUTDATED")),
        ("attached", totals.of("ATTACHED")),
        ("withDocument", totals.of("WITH_DOCUMENT")),
        ("kept", totals.of("KEPT")),
        ("wouldBeCreated", totals.of("WOULD_BE_CREATED")),
        ("wouldBeAmended", totals.of("WOULD_BE_AMENDED")),
        ("wouldBeAttached", totals.of("WOULD_BE_ATTACHED")),
        ("resolvedReferences", totals.resolved),
        ("unresolvedReferences", totals.unresolved),
        ("attachments", totals.files.stored),
        ("attachmentsRefused", totals.files.refused),
    ];
    for (name, times) in seldom.into_iter().filter(|(_, times)| *times > 0) {
        line[name] = json!(times);
    }
    if !totals.notes.is_empty() {
        line["notes"] = json!(totals.notes);
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
