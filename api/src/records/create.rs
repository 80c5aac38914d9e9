//! Storing a record: checked, given what the server owns, hashed; then the writer's turn.

use chrono::{DateTime, SecondsFormat};
use domain::{
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::{Metadata, RecordType},
};
use fhir::{Completeness, Identity, Json};
use serde_json::{Value, json};
use store::records::Record;
use vault::{digest, random};

use super::writer::{Draft, FoundBy};
use crate::{app::App, caller::Caller, consents::give::check_key, error::Error};

/// What a caller hands in.
#[derive(Debug)]
pub(crate) struct Submission {
    /// Whose record.
    pub(crate) patient: UserId,
    /// Of which type.
    pub(crate) record_type: RecordType,
    /// The document.
    pub(crate) document: Json,
    /// What is searchable in clear.
    pub(crate) metadata: Option<Value>,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// The same key gives the same record.
    pub(crate) idempotency_key: Option<String>,
}

/// Stores a record; its anchor is PENDING. Returns once it is durable, and never waits for the chain.
///
/// # Errors
/// [`Error::Document`] with every issue, [`Error::NotFound`] where the caller may not write for this
/// patient or there is none, [`Error::Conflict`] for a key used for something else.
pub(crate) async fn create(
    app: &App,
    caller: &Caller,
    submission: Submission,
) -> Result<(Record, Purpose), Error> {
    check_key(submission.idempotency_key.as_deref())?;
    let metadata = submission
        .metadata
        .clone()
        .map(|metadata| Metadata::check(metadata, submission.record_type))
        .transpose()?;
    let kind = fhir::RecordType::parse(submission.record_type.as_str()).ok_or(Error::Internal)?;
    let submitted = fhir::canonical::to_bytes(&submission.document);
    if submitted.len() > fhir::reader::MAX_BYTES {
        return Err(Error::bad("document", "a document has at most 1 MiB"));
    }
    let purpose = submission.purpose.or(caller.purpose);
    let request = json!([
        submission.patient,
        submission.record_type,
        submission.metadata,
        purpose
    ])
    .to_string();
    let request_hash = digest::hex_of(&[request.as_bytes(), &submitted].concat());
    let checked = fhir::check(&submission.document, kind).map_err(Error::Document)?;
    let found_by = findable(app, &submission, kind, metadata)?;
    let incomplete = match &checked.completeness {
        Completeness::Complete => None,
        Completeness::Incomplete { .. } => Some(checked.completeness.issues(kind)),
    };
    let missing = match checked.completeness {
        Completeness::Complete => None,
        Completeness::Incomplete { missing, .. } => {
            Some(missing.into_iter().map(ToString::to_string).collect())
        }
    };

    let id = RecordId::fresh();
    let identity = Identity {
        record_id: &id.to_string(),
        patient_id: &submission.patient.to_string(),
        version: 1,
        last_updated: &app.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true),
        salt_hex: &random::hex::<32>(),
    };
    let stamped = fhir::stamp(submission.document, kind, &identity).map_err(Error::Document)?;
    let canonical = fhir::canonical::to_bytes(&stamped);
    let draft = Draft {
        caller: caller.clone(),
        purpose,
        id,
        patient: submission.patient,
        record_type: submission.record_type,
        found_by,
        missing,
        incomplete,
        data_hash: digest::of_document(&canonical),
        canonical: canonical.into(),
        idempotency: submission.idempotency_key.map(|key| (key, request_hash)),
    };
    app.writer.store(draft).await
}

/// What the record will be found by: read off its document, and joined with what the caller gave.
///
/// # Errors
/// [`Error::BadInput`] where the caller's metadata says otherwise than the document.
fn findable(
    app: &App,
    submission: &Submission,
    kind: fhir::RecordType,
    given: Option<Metadata>,
) -> Result<FoundBy, Error> {
    let read = fhir::searchable(&submission.document, kind);
    let metadata = Metadata::joined(given, read.metadata, submission.record_type)?;
    let token = |(system, code): &(String, String)| {
        app.index_key
            .token(submission.patient, system, code)
            .to_vec()
    };
    Ok(FoundBy {
        metadata: metadata.map(Metadata::into_json),
        effective_at: read
            .effective_micros
            .and_then(DateTime::from_timestamp_micros),
        code_tokens: (!read.codes.is_empty()).then(|| read.codes.iter().map(token).collect()),
    })
}
