//! Many records at once, each by itself: drafted as `createMedicalRecord` drafts it, and handed to the same
//! writer. Nothing here decides, and nothing is stored that one mutation would not store.
//!
//! Each entry has a key of its own, made of what it says: the same upload again makes nothing twice.

mod entry;
pub(crate) mod graphql;
pub(crate) mod report;

use std::time::Duration;

use domain::{
    access::Action,
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::UserId,
    purpose::Purpose,
    records::RecordType,
};
use serde_json::json;
use store::{Pool, audit, users};

pub(crate) use entry::{Entry, Exported, MAX_BYTES};

use super::{
    draft::{Draft, Stored},
    prepare::{self, About},
    restore,
    writer::Writer,
};
use crate::{caller::Caller, dependencies::Drafting, error::Error};

/// How often an entry is tried that others were in the way of: a twin in the same group, a database
/// that is busy.
const TRIES: usize = 5;

/// What all entries of an import have in common.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    /// Whose records.
    pub(crate) patient: UserId,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// Of which type those are that could be of several.
    pub(crate) prefers: Option<RecordType>,
    /// Tells this import from others: what they brought in is brought in again.
    pub(crate) key: Option<String>,
    /// Whether entries are versions that are brought back as they were.
    pub(crate) restores: bool,
}

impl Import {
    /// Checks an entry and gives it what the server owns. Long work and no waiting, so that few documents
    /// are held as trees at a time.
    ///
    /// # Errors
    /// [`Error::Document`] with every issue, [`Error::BadInput`].
    pub(crate) fn draft(
        &self,
        drafting: Drafting<'_>,
        caller: &Caller,
        entry: Entry,
    ) -> Result<Draft, Error> {
        if self.restores {
            let (document, exported) = entry.into_exported()?;
            return restore::draft(drafting, caller, document, exported);
        }
        let Entry {
            document,
            record_type,
            metadata,
            ..
        } = entry;
        let submitted = prepare::submitted(&document)?;
        let record_type = match record_type {
            Some(record_type) => record_type,
            None => self.type_of(&document)?,
        };
        let purpose = self.purpose.or(caller.purpose);
        let request = json!([self.patient, record_type, metadata, purpose, self.key]);
        let hash = prepare::request_hash(&request, &submitted);
        let mut content = prepare::check(record_type, document, metadata)?;
        // What a hospital has is what it is: flagged by what it lacks, and not refused for it.
        content.incomplete = None;
        let about = About {
            caller,
            purpose,
            patient: self.patient,
            record_type,
            follows: None,
            reason: None,
            idempotency: Some((format!("import:{hash}"), hash)),
        };
        prepare::draft(drafting, content, about)
    }

    /// Writes down what was refused without asking again, after its like was refused: a row for each
    /// patient and type, with how many there were.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn write_refused(
        &self,
        pool: &Pool,
        caller: &Caller,
        refused: &[((UserId, RecordType), u64)],
    ) -> Result<(), Error> {
        if refused.is_empty() {
            return Ok(());
        }
        let mut tx = pool.begin().await?;
        let patients: Vec<UserId> = refused.iter().map(|((patient, _), _)| *patient).collect();
        let known = users::by_ids(&mut tx, &patients).await?;
        let purpose = self
            .purpose
            .or(caller.purpose)
            .unwrap_or(Purpose::Treatment);
        let entries: Vec<AuditEntry> = refused
            .iter()
            .map(|((patient, record_type), times)| AuditEntry {
                resource_type: ResourceType::MedicalRecord,
                new_value: Some(json!({
                    "reason": "AS_BEFORE", "wanted": Action::Create, "recordType": record_type, "times": times,
                })),
                classification: Classification::Medical,
                patient: known.iter().map(|user| user.id).find(|id| id == patient),
                ..caller.entry(AuditAction::AccessDenied, purpose)
            })
            .collect();
        audit::insert(&mut tx, &entries).await?;
        tx.commit().await?;
        Ok(())
    }

    fn type_of(&self, document: &fhir::Json) -> Result<RecordType, Error> {
        let preferred = self.prefers.map(prepare::kind).transpose()?;
        let found = fhir::record_type_of(document, preferred).map_err(Error::Document)?;
        found.as_str().parse().map_err(|_| Error::Internal)
    }
}

/// Stores a draft, in its turn.
///
/// # Errors
/// As of `createMedicalRecord`.
pub(crate) async fn store(writer: &Writer, draft: Draft) -> Result<Stored, Error> {
    for _ in 1..TRIES {
        match writer.store_in_turn(draft.clone()).await {
            Err(Error::Busy {
                retry_after_seconds,
            }) => tokio::time::sleep(Duration::from_secs(retry_after_seconds.into())).await,
            answer => return answer,
        }
    }
    writer.store_in_turn(draft).await
}

/// Whether an error says nothing of the entry that met it: then the import ends there, and goes on from
/// there when that is over.
pub(crate) const fn interrupts(error: &Error) -> bool {
    match error {
        Error::Unauthenticated
        | Error::TokenExpired
        | Error::SessionEnded
        | Error::SecondFactorRequired
        | Error::SecondFactorMissing
        | Error::Busy { .. }
        | Error::Throttled { .. }
        | Error::OverBudget { .. }
        | Error::Unavailable => true,
        Error::WrongCredentials
        | Error::Forbidden(_)
        | Error::NotFound(_)
        | Error::BadInput { .. }
        | Error::Conflict { .. }
        | Error::LimitReached { .. }
        | Error::Document(_)
        | Error::Integrity(_)
        | Error::AnswerTooLarge { .. }
        | Error::Internal => false,
    }
}
