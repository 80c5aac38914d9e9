//! Versions that are brought back from an export: the bytes that were hashed, with the id, the salt and the
//! hash that they had. A patient brings their own back, and nobody else.
//!
//! A file proves nothing about who wrote what is in it, so whoever brings a version back is its author
//! (`docs/decisions/0025-export-and-restore.md`).

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::RecordId,
    purpose::Purpose,
    records::{Availability, DataHash, RecordType},
};
use fhir::Json;
use serde_json::{Value, json};
use store::{
    StoreError, Tx, audit,
    records::{self, Record},
    versions,
};
use uuid::Uuid;
use vault::digest;

use super::{
    prepare::{self, About, StampedVersion},
    succession::Follows,
    writer::{Draft, PendingDraft, Stored},
};
use crate::{app::App, caller::Caller, error::Error, facts::Facts};

/// What an export says of a version beside its document.
#[derive(Debug, Clone)]
pub(crate) struct Exported {
    /// Of which type it was.
    pub(crate) record_type: RecordType,
    /// What it was found by.
    pub(crate) metadata: Option<Value>,
    /// The SHA-256 of its bytes.
    pub(crate) data_hash: DataHash,
    /// The version before.
    pub(crate) predecessor: Option<RecordId>,
    /// Whether it withdrew the record.
    pub(crate) is_withdrawn: bool,
}

/// The version as it was. Its document must be what the server would make of it for this caller: whoever
/// stamps it again with the identity that it states gets the same bytes.
///
/// # Errors
/// [`Error::BadInput`] where it is not, [`Error::Document`] where it is somebody else's.
pub(super) fn draft(
    app: &App,
    caller: &Caller,
    document: Json,
    exported: Exported,
) -> Result<Draft, Error> {
    let canonical = fhir::canonical::to_bytes(&document);
    if digest::of_document(&canonical) != exported.data_hash {
        let message = "the document is not the one that was exported: its hash is another";
        return Err(Error::bad("dataHash", message));
    }
    let (id, number) = identity(caller, &document, &canonical, exported.record_type)?;
    let follows = follows(number, &exported)?;
    let content = prepare::check(exported.record_type, document, exported.metadata)?;
    let about = About {
        caller,
        purpose: Some(Purpose::PatientRequest),
        patient: caller.user,
        record_type: exported.record_type,
        follows,
        reason: None,
        idempotency: None,
    };
    let version = StampedVersion {
        id,
        number,
        canonical,
        is_restored: true,
    };
    Ok(prepare::draft_of(app, content, about, version))
}

/// The id and the number that a document was stamped with for this patient.
fn identity(
    caller: &Caller,
    document: &Json,
    canonical: &[u8],
    record_type: RecordType,
) -> Result<(RecordId, i32), Error> {
    let patient = caller.user.to_string();
    let identity = fhir::identity_of(document, &patient).ok_or_else(foreign)?;
    let kind = prepare::kind(record_type)?;
    let again = fhir::stamp(document.clone(), kind, &identity).map_err(Error::Document)?;
    let id: Uuid = identity.record_id.parse().map_err(|_| foreign())?;
    let number = i32::try_from(identity.version).map_err(|_| foreign())?;
    let is_ours = fhir::canonical::to_bytes(&again) == canonical
        && id.to_string() == identity.record_id
        && number > 0;
    is_ours
        .then_some((RecordId(id), number))
        .ok_or_else(foreign)
}

fn follows(number: i32, exported: &Exported) -> Result<Option<Follows>, Error> {
    match exported.predecessor {
        None if number == 1 && !exported.is_withdrawn => Ok(None),
        Some(id) if number > 1 => Ok(Some(Follows {
            id,
            version: number - 1,
            withdraws: exported.is_withdrawn,
        })),
        _ => {
            let message = "every version but the first takes the place of another: export them with `history`";
            Err(Error::bad("predecessorId", message))
        }
    }
}

/// Answers what need not be brought back, because it is there, and what cannot be, because something
/// else is; gives the others. Must come before anything is decided: a version that is there is not written
/// again.
pub(super) async fn answer_restored<'a>(
    tx: &mut Tx<'_>,
    asked: Vec<PendingDraft<'a>>,
    facts: &Facts,
) -> Result<Vec<PendingDraft<'a>>, StoreError> {
    let is_restored = |asked: &PendingDraft<'_>| {
        asked.draft.is_restored && facts.actor(&asked.draft.caller).is_ok()
    };
    let (restored, mut others): (Vec<_>, Vec<_>) = asked.into_iter().partition(is_restored);
    if restored.is_empty() {
        return Ok(others);
    }
    let ids: Vec<RecordId> = restored.iter().map(|asked| asked.draft.id).collect();
    let there = records::by_ids(tx, &ids).await?;
    let anchored = versions::anchored(tx, &ids).await?;
    let mut reads = Vec::new();
    for asked in restored {
        let draft = asked.draft;
        match there.iter().find(|record| record.id == draft.id) {
            Some(record) if is_it(record, draft) => {
                reads.push(seen(record, draft));
                asked.answer(Ok(Stored {
                    record: record.clone(),
                    purpose: Purpose::PatientRequest,
                    anchor: None,
                }));
            }
            Some(record) if record.patient == draft.patient => {
                asked.answer(Err(conflict("another record of yours has this id")));
            }
            // Somebody else's: the same words as for what was never exported here.
            Some(_) => asked.answer(Err(foreign())),
            None => match anchored.iter().find(|anchor| anchor.record == draft.id) {
                Some(anchor) if anchor.record_hash == draft.data_hash => asked.answer(Err(
                    conflict("the record is lost here and its anchor is not: tell the operator"),
                )),
                Some(_) => asked.answer(Err(foreign())),
                None => others.push(asked),
            },
        }
    }
    audit::insert(tx, &reads).await?;
    Ok(others)
}

fn is_it(record: &Record, draft: &Draft) -> bool {
    record.patient == draft.patient
        && record.data_hash == draft.data_hash.to_string()
        && record.availability != Availability::Erased
}

fn seen(record: &Record, draft: &Draft) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: record.id.0,
        new_value: Some(json!({ "version": record.version, "retry": true })),
        classification: Classification::Medical,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(record.patient),
        ..draft
            .caller
            .entry(AuditAction::RecordRead, Purpose::PatientRequest)
    }
}

fn foreign() -> Error {
    let message = "this is no record that was exported here: import it without `restore`";
    Error::bad("resource", message)
}

fn conflict(message: &str) -> Error {
    Error::Conflict {
        field: "id",
        message: message.to_owned(),
    }
}
