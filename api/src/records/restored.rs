//! What the writer answers of versions that are brought back from an export (`super::restore`): with the
//! version that is there, or with what is in the way.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::RecordId,
    purpose::Purpose,
    records::Availability,
};
use serde_json::json;
use store::{
    StoreError, Tx, audit,
    records::{self, Record},
    versions,
};

use super::draft::{Draft, PendingDraft, Stored};
use crate::{error::Error, facts::Facts};

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
                    on_behalf_of: draft.caller.on_behalf_of,
                    anchor: None,
                    source: None,
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

/// What is answered for what was never exported here.
pub(super) fn foreign() -> Error {
    let message = "this is no record that was exported here: import it without `restore`";
    Error::bad("resource", message)
}

fn conflict(message: &str) -> Error {
    Error::Conflict {
        field: "id",
        message: message.to_owned(),
    }
}
