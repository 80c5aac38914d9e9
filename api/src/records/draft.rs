//! A record on its way to the writer, and what it comes to.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{
    access::Action,
    ids::{RecordId, UserId},
    integrity::ClosingReason,
    purpose::Purpose,
    records::{DataHash, RecordType},
    sources::SourceState,
};
use serde_json::Value;
use store::{anchors::Anchor, records::Record};

use crate::{caller::Caller, error::Error};

/// What a client's key is for: the same text for two of them is two keys.
pub(super) const OPERATIONS: [&str; 3] = [CREATE, AMEND, WITHDRAW];
/// That of new records.
pub(super) const CREATE: &str = "createMedicalRecord";
const AMEND: &str = "amendMedicalRecord";
const WITHDRAW: &str = "withdrawMedicalRecord";

/// What a record is searched by.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoundBy {
    /// What is searchable in clear.
    pub(crate) metadata: Option<Value>,
    /// When what the document says was so.
    pub(crate) effective_at: Option<DateTime<Utc>>,
    /// The document's codes in the blind index; `None` where it has none.
    pub(crate) code_tokens: Option<Vec<Vec<u8>>>,
}

/// The version that a draft takes the place of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Follows {
    /// Which.
    pub(crate) id: RecordId,
    /// Its number, as the caller knows it.
    pub(crate) version: i32,
    /// Whether the draft withdraws the record.
    pub(crate) withdraws: bool,
}

/// What a draft is in the source that it comes from.
#[derive(Debug, Clone)]
pub(crate) struct DraftSource {
    /// The kind of resource.
    pub(crate) kind: &'static str,
    /// By which name, in which version, saying what.
    pub(crate) state: SourceState,
}

/// A record ready to be decided, sealed and signed.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// Who writes it.
    pub(crate) caller: Caller,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// Its id.
    pub(crate) id: RecordId,
    /// Whose.
    pub(crate) patient: UserId,
    /// Of which type.
    pub(crate) record_type: RecordType,
    /// Which version of the record, from 1.
    pub(crate) version: i32,
    /// The version that it takes the place of.
    pub(crate) follows: Option<Follows>,
    /// What it is searched by.
    pub(crate) found_by: FoundBy,
    /// What it lacks; `None` means complete.
    pub(crate) missing: Option<Value>,
    /// The same as issues: a doctor's record must have the bold ones.
    pub(crate) incomplete: Option<Vec<fhir::Issue>>,
    /// What there is to say of its profiles, which refuses nothing.
    pub(crate) notes: Vec<fhir::Issue>,
    /// The SHA-256 of `canonical`.
    pub(crate) data_hash: DataHash,
    /// Exactly the bytes that are hashed and sealed.
    pub(crate) canonical: Arc<[u8]>,
    /// The client's key and the hash of its request.
    pub(crate) idempotency: Option<(String, String)>,
    /// Whether it comes from an export, with the id, the salt and the hash that it has.
    pub(crate) is_restored: bool,
    /// What it is in the source that it comes from, where that is known.
    pub(crate) source: Option<DraftSource>,
}

impl Draft {
    /// What has to be allowed.
    pub(super) const fn action(&self) -> Action {
        match self.follows {
            None => Action::Create,
            Some(_) => Action::Amend,
        }
    }

    /// What the client's key is for.
    pub(super) const fn operation(&self) -> &'static str {
        match self.follows {
            None => CREATE,
            Some(Follows {
                withdraws: false, ..
            }) => AMEND,
            Some(Follows {
                withdraws: true, ..
            }) => WITHDRAW,
        }
    }

    /// Why the record is closed on the chain with this version, if it is.
    pub(super) fn closes(&self) -> Option<ClosingReason> {
        self.follows
            .is_some_and(|old| old.withdraws)
            .then_some(ClosingReason::EnteredInError)
    }

    /// The client's key, if it sent one: its own, nobody else's.
    pub(super) fn key(&self) -> Option<(UserId, &str)> {
        Some((self.caller.user, self.idempotency.as_ref()?.0.as_str()))
    }

    /// What must not be missing, and is.
    pub(super) fn lacking(&self) -> Option<&[fhir::Issue]> {
        let issues = self.incomplete.as_deref()?;
        let is_error = |issue: &fhir::Issue| issue.severity == fhir::Severity::Error;
        issues.iter().any(is_error).then_some(issues)
    }

    /// Whether this is the request that was remembered by that hash.
    pub(super) fn asks_for(&self, request_hash: &str) -> bool {
        self.idempotency
            .as_ref()
            .is_some_and(|(_, hash)| hash == request_hash)
    }
}

/// Why a draft from a source was not stored: a document of the same name is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceAnswer {
    /// It says the same.
    Same,
    /// It is newer.
    Outdated,
    /// It says something else: what came follows it.
    Changed,
    /// It says the same, and what it refers to was not stored when it was: what came follows it.
    Mended,
}

/// What a draft came to.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The record.
    pub(crate) record: Record,
    /// The purpose it was stored for.
    pub(crate) purpose: Purpose,
    /// For which patient, where somebody acted for one.
    pub(crate) on_behalf_of: Option<UserId>,
    /// Its anchor as it was stored with it; `None` where the client's key has found a record that was
    /// there.
    pub(crate) anchor: Option<Anchor>,
    /// Why it is another record, where its source has sent that before.
    pub(crate) source: Option<SourceAnswer>,
}

impl Stored {
    /// Whether this draft made the record, and no earlier one that it repeats.
    pub(crate) const fn is_new(&self) -> bool {
        self.anchor.is_some()
    }
}

/// What a draft comes to.
pub(super) type StoreResult = Result<Stored, Error>;

/// A draft on its way, and where its answer goes.
pub(super) struct PendingDraft<'a> {
    /// The draft.
    pub(super) draft: &'a Draft,
    /// Where its answer goes.
    pub(super) answer: &'a mut Option<StoreResult>,
}

impl PendingDraft<'_> {
    /// Says what it came to. It is told once the transaction is committed.
    pub(super) fn answer(self, answer: StoreResult) {
        *self.answer = Some(answer);
    }
}
