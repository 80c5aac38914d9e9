//! Many records at once, each by itself: drafted as `createMedicalRecord` drafts it, and handed to the same
//! writer. Nothing here decides, and nothing is stored that one mutation would not store.
//!
//! Each entry has a key of its own, made of what it says: the same upload again makes nothing twice.

mod entry;
pub(crate) mod graphql;
pub(crate) mod patients;
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

use self::{patients::ImportPatients, report::Imported};

use super::{
    draft::Draft,
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
    pub(crate) patients: ImportPatients,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// Of which type those are that could be of several.
    pub(crate) prefers: Option<RecordType>,
    /// Tells this import from others: what they brought in is brought in again.
    pub(crate) key: Option<String>,
    /// Whether entries are versions that are brought back as they were.
    pub(crate) restores: bool,
}

/// What an entry is before it is stored.
#[derive(Debug)]
pub(crate) enum Drafted {
    /// A record.
    Draft(Box<Draft>),
    /// Nothing that a record is made of, such as an `Encounter`.
    Skipped,
}

/// A document of which it is known whose it is.
struct Assigned {
    document: fhir::Json,
    /// What it said before.
    submitted: Vec<u8>,
    record_type: RecordType,
    patient: UserId,
}

impl Import {
    /// Checks an entry and gives it what the server owns. Long work and no waiting, so that few documents
    /// are held as trees at a time.
    ///
    /// # Errors
    /// [`Error::Document`] with every issue, [`Error::BadInput`].
    pub(crate) fn draft(
        &mut self,
        drafting: Drafting<'_>,
        caller: &Caller,
        entry: Entry,
    ) -> Result<Drafted, Error> {
        if self.restores {
            let (document, exported) = entry.into_exported()?;
            let draft = restore::draft(drafting, caller, document, exported)?;
            return Ok(Drafted::Draft(Box::new(draft)));
        }
        let metadata = entry.metadata.clone();
        let Some(Assigned {
            document,
            submitted,
            record_type,
            patient,
        }) = self.assign(entry)?
        else {
            return Ok(Drafted::Skipped);
        };
        let purpose = self.purpose.or(caller.purpose);
        let mut request = json!([patient, record_type, metadata, purpose, self.key]);
        // Left out where nobody is represented: what was imported before stays known.
        if let (Some(represented), Some(said)) = (caller.on_behalf_of, request.as_array_mut()) {
            said.push(json!(represented));
        }
        let hash = prepare::request_hash(&request, &submitted);
        let mut content = prepare::check(record_type, document, metadata)?;
        // What a hospital has is what it is: flagged by what it lacks, and not refused for it.
        content.incomplete = None;
        let about = About {
            caller,
            purpose,
            patient,
            record_type,
            follows: None,
            reason: None,
            idempotency: Some((format!("import:{hash}"), hash)),
        };
        let draft = prepare::draft(drafting, content, about)?;
        Ok(Drafted::Draft(Box::new(draft)))
    }

    /// Learns whom an entry names that is passed over, as if it were taken: the first who is named is so
    /// wherever an import goes on.
    pub(crate) fn pass_over(&mut self, entry: Entry) {
        if !self.restores {
            self.assign(entry).ok();
        }
    }

    /// Whether these entries name several people while an account alone was given.
    pub(crate) fn name_several(&self, entries: &[Entry]) -> bool {
        let mut looked = self.clone();
        for entry in entries {
            looked.pass_over(entry.clone());
        }
        looked.patients.are_several()
    }

    /// Says what an entry is and whose; `None` of what no record is made of.
    fn assign(&mut self, entry: Entry) -> Result<Option<Assigned>, Error> {
        let Entry {
            document,
            record_type,
            full_url,
            ..
        } = entry;
        if let Some(kind) = fhir::kind_of(&document).filter(|kind| !fhir::is_clinical(kind)) {
            if kind == "Patient" {
                self.patients.meet(&document, full_url.as_deref());
            }
            return Ok(None);
        }
        let submitted = prepare::submitted(&document)?;
        let record_type = match record_type.map_or_else(|| self.type_of(&document), Ok) {
            // What frames a document of a hospital; what it lists comes by itself.
            Err(Error::Document(_)) if full_url.is_some() && is_composition(&document) => {
                return Ok(None);
            }
            record_type => record_type?,
        };
        let (document, patient) = self.patients.assign(document)?;
        Ok(Some(Assigned {
            document,
            submitted,
            record_type,
            patient,
        }))
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
        let usual = match caller.on_behalf_of {
            Some(_) => Purpose::PatientRequest,
            None => Purpose::Treatment,
        };
        let purpose = self.purpose.or(caller.purpose).unwrap_or(usual);
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

fn is_composition(document: &fhir::Json) -> bool {
    fhir::kind_of(document) == Some("Composition")
}

/// Stores a draft, in its turn.
///
/// # Errors
/// As of `createMedicalRecord`.
pub(crate) async fn store(writer: &Writer, draft: Draft) -> Result<Imported, Error> {
    for _ in 1..TRIES {
        match writer.store_in_turn(draft.clone()).await {
            Err(Error::Busy {
                retry_after_seconds,
            }) => tokio::time::sleep(Duration::from_secs(retry_after_seconds.into())).await,
            answer => return answer.map(|stored| Imported::Stored(Box::new(stored))),
        }
    }
    let stored = writer.store_in_turn(draft).await?;
    Ok(Imported::Stored(Box::new(stored)))
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
