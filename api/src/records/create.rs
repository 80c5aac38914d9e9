//! Storing a record: checked, given what the server owns, hashed; then the writer's turn.

use domain::{ids::UserId, purpose::Purpose, records::RecordType};
use fhir::Json;
use serde_json::{Value, json};

use super::{
    attachments,
    draft::Stored,
    patients,
    prepare::{self, About},
    writer::Writer,
};
use crate::{
    caller::Caller,
    dependencies::Drafting,
    error::{Error, both},
    idempotency::check_key,
};

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

/// Stores a record; its anchor is PENDING. Returns once it is durable, and never waits for the chain. Gives what there is to say
/// of its profiles, too.
///
/// # Errors
/// [`Error::Document`] with every issue, [`Error::NotFound`] where the caller may not write for this
/// patient or there is none, [`Error::Conflict`] for a key used for something else.
pub(crate) async fn create(
    drafting: Drafting<'_>,
    writer: &Writer,
    caller: &Caller,
    submission: Submission,
) -> Result<(Stored, Vec<fhir::Issue>), Error> {
    let Submission {
        patient,
        record_type,
        ..
    } = submission;
    let key = check_key(submission.idempotency_key.as_deref());
    let (submitted, ()) = both(prepare::submitted(&submission.document), key)?;
    let purpose = submission.purpose.or(caller.purpose);
    let mut request = json!([patient, record_type, submission.metadata, purpose]);
    // Left out where nobody is represented: keys that were used before stay what they are.
    if let (Some(represented), Some(said)) = (caller.on_behalf_of, request.as_array_mut()) {
        said.push(json!(represented));
    }
    let request_hash = prepare::request_hash(&request, &submitted);
    let (document, whose) = patients::of_record(submission.document, patient);
    let metadata = submission.metadata;
    let mut content = prepare::check(drafting.profiles, record_type, document, metadata)?;
    attachments::check(&content.document)?;
    whose?;
    let about = About {
        caller,
        purpose,
        patient,
        record_type,
        follows: None,
        reason: None,
        idempotency: submission.idempotency_key.map(|key| (key, request_hash)),
        id: None,
    };
    let notes = std::mem::take(&mut content.notes);
    let draft = prepare::draft(drafting, content, about)?;
    Ok((writer.store(draft).await?, notes))
}
