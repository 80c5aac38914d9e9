//! Many records at once, each by itself: drafted as `createMedicalRecord` drafts it, and handed to the same
//! writer. Nothing here decides, and nothing is stored that one mutation would not store.
//!
//! Each entry has a key of its own, made of what it says: the same upload again makes nothing twice.

mod entry;
pub(crate) mod file_writing;
pub(crate) mod files;
pub(crate) mod foresee;
pub(crate) mod graphql;
pub(crate) mod mentioned;
mod name_hashes;
pub(crate) mod named;
pub(crate) mod prepared;
pub(crate) mod promised;
pub(crate) mod recalled;
pub(crate) mod references;
pub(crate) mod report;
pub(crate) mod resolution;
mod together;

use std::time::Duration;

use chrono::DateTime;
use domain::{
    access::Action,
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::{Reason, RecordType},
    sources::{ContentToken, SourceState, SourceToken},
};
use fhir::{
    origin::{self, NameScope, Origin, SourceName},
    replacement::with_references,
};
use serde_json::json;
use store::{Pool, audit, users};

pub(crate) use entry::{Entry, Exported, LONG_ENTRY, MAX_AROUND_FILES, MAX_BYTES, RECORD_TYPE_URL};

use self::{entry::fit, prepared::Prepared, report::Imported, resolution::Resolution};

use super::{
    attachments,
    draft::{Draft, DraftSource, Follows, SourceAnswer, Stored},
    patients::PatientAccounts,
    prepare::{self, About},
    restore,
    writer::Writer,
};
use crate::{caller::Caller, dependencies::Drafting, error::Error};

/// How often an entry is tried that others were in the way of: a twin in the same group, a database
/// that is busy.
const TRIES: usize = 5;

/// The longest name of a source. Unit: bytes.
const MAX_SOURCE: usize = 255;

/// What all entries of an import have in common.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    /// Whose records.
    pub(crate) patients: PatientAccounts,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// Of which type those are that could be of several.
    pub(crate) prefers: Option<RecordType>,
    /// Tells this import from others: what they brought in is brought in again.
    pub(crate) key: Option<String>,
    /// Whether entries are versions that are brought back as they were.
    pub(crate) restores: bool,
    /// The source that all entries come from, where it is named.
    pub(crate) source: Option<String>,
}

/// What an entry is before it is stored.
#[derive(Debug)]
pub(crate) enum Drafted {
    /// A version that is brought back as it was.
    Restored(Box<Draft>),
    /// A document that may become a record.
    Prepared(Box<Prepared>),
    /// Nothing that a record is made of, such as an `Encounter`.
    Skipped,
    /// That something was deleted at its source: whoever answers for the record withdraws it.
    Deletion,
}

/// A document of which it is known whose it is.
struct Assigned {
    document: fhir::Json,
    /// What it said before.
    submitted: Vec<u8>,
    record_type: RecordType,
    patient: UserId,
    /// Where it comes from, and what it says there, where that is known.
    origin: Option<(Origin, Vec<u8>)>,
    /// What others refer to it by.
    names: Vec<String>,
    full_url: Option<String>,
}

impl Import {
    /// Says what an entry is and whose. Long work and no waiting, so that few documents are held as trees at a time.
    ///
    /// # Errors
    /// [`Error::Document`] with every issue, [`Error::BadInput`].
    pub(crate) fn prepare(
        &mut self,
        drafting: Drafting<'_>,
        caller: &Caller,
        entry: Entry,
    ) -> Result<Drafted, Error> {
        if self.restores {
            let (document, exported) = entry.into_exported()?;
            let draft = restore::draft(drafting, caller, document, exported)?;
            return Ok(Drafted::Restored(Box::new(draft)));
        }
        if entry.is_deletion {
            return Ok(Drafted::Deletion);
        }
        let (metadata, files) = (entry.metadata.clone(), entry.files.clone());
        let Some(assigned) = self.assign(entry)? else {
            return Ok(Drafted::Skipped);
        };
        let (patient, record_type) = (assigned.patient, assigned.record_type);
        let purpose = self.purpose.or(caller.purpose);
        let mut request = json!([patient, record_type, metadata, purpose, self.key]);
        // Left out where nobody is represented, and no source is named: what was imported before stays known.
        if let Some(said) = request.as_array_mut() {
            said.extend(caller.on_behalf_of.map(|represented| json!(represented)));
            said.extend(
                self.source
                    .as_ref()
                    .map(|source| json!({ "source": source })),
            );
        }
        let hash = prepare::request_hash(&request, &assigned.submitted);
        let kind = fhir::kind_of(&assigned.document).unwrap_or_default();
        let source = assigned.origin.as_ref().map(|(origin, content)| {
            let state = self.state(drafting, patient, origin, content);
            DraftSource { kind, state }
        });
        let document = match &assigned.origin {
            Some((origin, _)) => origin::with_source(assigned.document, origin),
            None => assigned.document,
        };
        Ok(Drafted::Prepared(Box::new(Prepared {
            patient,
            record_type,
            references: origin::references(&document, &patient.to_string()),
            document,
            metadata,
            key: (format!("import:{hash}"), hash),
            source,
            kind,
            names: assigned.names,
            full_url: assigned.full_url,
            files,
            notes: Vec::new(),
        })))
    }

    /// Checks a document and gives it what the server owns, with its references as they are to be stored, and this id.
    ///
    /// # Errors
    /// [`Error::Document`] with every issue, [`Error::BadInput`].
    pub(crate) fn draft(
        &self,
        drafting: Drafting<'_>,
        caller: &Caller,
        prepared: Prepared,
        (id, resolution): (Option<RecordId>, &Resolution),
    ) -> Result<Draft, Error> {
        let mut document = fit(with_references(prepared.document, &resolution.to))?;
        let open = resolution.open_in(&document);
        let mut id = id;
        if files::are_located(&document, &prepared.files) {
            let record = id.unwrap_or_else(RecordId::fresh);
            document = files::located(document, record, &prepared.files);
            id = Some(record);
        }
        let mut content = prepare::check(
            drafting.profiles,
            prepared.record_type,
            document,
            prepared.metadata,
        )?;
        attachments::check(&content.document)?;
        // What a hospital has is what it is: flagged by what it lacks, and not refused for it.
        content.incomplete = None;
        let about = About {
            caller,
            purpose: self.purpose.or(caller.purpose),
            patient: prepared.patient,
            record_type: prepared.record_type,
            follows: None,
            reason: None,
            idempotency: Some(prepared.key),
            id,
        };
        let mut draft = prepare::draft(drafting, content, about)?;
        draft.notes.extend(prepared.notes);
        draft.source = prepared.source;
        if let Some(source) = &mut draft.source {
            source.state.open = open;
        }
        Ok(draft)
    }

    /// The same, where what is wrong with a document is found now and not when it is stored.
    ///
    /// # Errors
    /// As of [`Import::draft`].
    pub(crate) fn checked(
        &self,
        drafting: Drafting<'_>,
        caller: &Caller,
        drafted: Drafted,
    ) -> Result<Drafted, Error> {
        if let Drafted::Prepared(prepared) = &drafted {
            let prepared = Prepared::clone(prepared);
            self.draft(drafting, caller, prepared, (None, &Resolution::default()))?;
        }
        Ok(drafted)
    }

    /// What this patient's document of a source is known by. What has another key is another import's.
    fn state(
        &self,
        drafting: Drafting<'_>,
        patient: UserId,
        origin: &Origin,
        content: &[u8],
    ) -> SourceState {
        let at = origin.last_updated.as_deref();
        let at = at.and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        SourceState {
            token: self.token(drafting, patient, &origin.name),
            version: origin.version.clone(),
            // As exact as the database.
            updated_at: at.and_then(|at| DateTime::from_timestamp_micros(at.timestamp_micros())),
            content: ContentToken(drafting.index_key.content_token(patient, content)),
            open: 0,
        }
    }

    /// What stands for a name that a source has for a document of this patient.
    fn token(&self, drafting: Drafting<'_>, patient: UserId, name: &SourceName) -> SourceToken {
        let key = self.key.as_deref().unwrap_or_default();
        let name = [name.source.as_str(), &name.kind, &name.id, key];
        drafting.index_key.source_token(patient, &name)
    }

    /// Learns whom an entry names, as if it were taken.
    fn pass_over(&mut self, entry: Entry) {
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
        if entry.is_deletion {
            return Ok(None);
        }
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
        let scope = NameScope {
            named: self.source.as_deref(),
            full_url: full_url.as_deref(),
            said: origin::said_source(&document, full_url.as_deref()),
        };
        let origin = origin::origin(&document, scope);
        let origin = origin.map(|origin| (origin, origin::content(&document)));
        let names = origin::names(&document, scope);
        let (document, patient) = self.patients.assign(document)?;
        Ok(Some(Assigned {
            document,
            submitted,
            record_type,
            patient,
            origin,
            names,
            full_url,
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

/// Refuses a name of a source that could not stand in an address.
///
/// # Errors
/// [`Error::BadInput`].
pub(crate) fn check_source(source: Option<&str>) -> Result<(), Error> {
    let fits = |source: &str| {
        (1..=MAX_SOURCE).contains(&source.len())
            && !source.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    if source.is_none_or(fits) {
        return Ok(());
    }
    let message = format!("a source is named by its address, or a word of 1 to {MAX_SOURCE} bytes");
    Err(Error::bad("source", message))
}

fn is_composition(document: &fhir::Json) -> bool {
    fhir::kind_of(document) == Some("Composition")
}

/// Why a version took the place of the one before, in the words of the document.
const CHANGED_AT_SOURCE: &str = "The source of the document has sent another version of it.";
/// The same where the source has sent nothing else.
const REFERENCES_FOUND: &str = "What the document refers to was stored after it.";

/// Stores a draft, in its turn: as a new record, or, where its source has sent another version of it before, or what it refers to was
/// not stored then, as the next version of that.
///
/// # Errors
/// As of `createMedicalRecord` and `amendMedicalRecord`; [`Error::Conflict`] where the record was changed here since.
pub(crate) async fn store(
    writer: &Writer,
    drafting: Drafting<'_>,
    draft: Draft,
) -> Result<Imported, Error> {
    let stored = store_in_turn(writer, &draft).await?;
    let Some(reason) = reason_to_amend(&stored) else {
        return Ok(Imported::Stored(Box::new(stored)));
    };
    let old = Follows {
        id: stored.record.id,
        version: stored.record.version,
        withdraws: false,
    };
    let next = prepare::following(drafting, draft, old, &Reason::parse(reason)?)?;
    match store_in_turn(writer, &next).await {
        Ok(stored) => Ok(Imported::Amended(Box::new(stored))),
        Err(Error::Conflict {
            field: "expectedVersion",
            ..
        }) => Err(changed_here()),
        Err(error) => Err(error),
    }
}

/// Why a draft is the next version of a record that is there; `None` where it is not.
fn reason_to_amend(stored: &Stored) -> Option<&'static str> {
    match stored.source? {
        SourceAnswer::Changed => Some(CHANGED_AT_SOURCE),
        SourceAnswer::Mended => Some(REFERENCES_FOUND),
        SourceAnswer::Same | SourceAnswer::Outdated => None,
    }
}

/// What somebody is told whose record was changed by others than its source.
fn changed_here() -> Error {
    Error::Conflict {
        field: "source",
        message: "the record that was made of it was amended or withdrawn here since: amend that by its id"
            .to_owned(),
    }
}

async fn store_in_turn(writer: &Writer, draft: &Draft) -> Result<Stored, Error> {
    for _ in 1..TRIES {
        match writer.store_in_turn(draft.clone()).await {
            Err(Error::Busy {
                retry_after_seconds,
                ..
            }) => tokio::time::sleep(Duration::from_secs(retry_after_seconds.into())).await,
            answer => return answer,
        }
    }
    writer.store_in_turn(draft.clone()).await
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
        | Error::OverUploads { .. }
        | Error::Unavailable => true,
        Error::WrongCredentials
        | Error::Forbidden(_)
        | Error::CsrfProofMissing
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
