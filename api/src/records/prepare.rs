//! A version on its way to the writer: checked, given what the server owns, hashed.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::{Metadata, Reason, RecordType},
};
use fhir::{Completeness, Identity, Json, Searchable, profiles::Profiles};
use serde_json::Value;
use vault::{blind_index::IndexKey, digest, random};

use super::{
    decrypt,
    draft::{Draft, Follows, FoundBy},
};
use crate::{
    caller::Caller,
    dependencies::Drafting,
    error::{Error, both},
};

/// A document and what is stored beside it.
#[derive(Debug)]
pub(super) struct PreparedContent {
    /// The document, before the server puts its part into it.
    pub(super) document: Json,
    /// What is searchable in clear.
    pub(super) metadata: Option<Value>,
    /// What else the document is found by, as it was read off it.
    pub(super) read: Searchable,
    /// What the document lacks; `None` means complete.
    pub(super) missing: Option<Value>,
    /// The same as issues: a doctor's document must have the bold ones.
    pub(super) incomplete: Option<Vec<fhir::Issue>>,
    /// What there is to say of its profiles, which refuses nothing.
    pub(super) notes: Vec<fhir::Issue>,
}

/// Whose version it is, who writes it and why.
#[derive(Debug)]
pub(super) struct About<'a> {
    /// Who writes it.
    pub(super) caller: &'a Caller,
    /// Why; `None` for what the caller's role acts for.
    pub(super) purpose: Option<Purpose>,
    /// Whose.
    pub(super) patient: UserId,
    /// Of which type.
    pub(super) record_type: RecordType,
    /// Which version it takes the place of.
    pub(super) follows: Option<Follows>,
    /// Why it does.
    pub(super) reason: Option<Reason>,
    /// The client's key and the hash of its request.
    pub(super) idempotency: Option<(String, String)>,
    /// Its id, where one was reserved: others refer to it.
    pub(super) id: Option<RecordId>,
}

/// Checks a document against R4, its record type and the profiles that it declares, and metadata against the list of keys and
/// what the document says.
///
/// # Errors
/// [`Error::Document`] with every issue; [`Error::BadInput`], also where the metadata say otherwise than
/// the document.
pub(super) fn check(
    profiles: &Profiles,
    record_type: RecordType,
    document: Json,
    metadata: Option<Value>,
) -> Result<PreparedContent, Error> {
    let given = metadata
        .map(|metadata| Metadata::check(metadata, record_type))
        .transpose();
    let kind = kind(record_type)?;
    let checked = fhir::check(&document, kind)
        .and_then(|checked| Ok((checked, notes_of(profiles, &document)?)))
        .map_err(Error::Document);
    let (given, (checked, notes)) = both(given, checked)?;
    let mut read = fhir::searchable(&document, kind);
    let metadata = Metadata::joined(given, std::mem::take(&mut read.metadata), record_type)?;
    let missing = missing(&checked.completeness);
    let incomplete = missing.is_some().then(|| checked.completeness.issues(kind));
    Ok(PreparedContent {
        document,
        metadata: metadata.map(Metadata::into_json),
        read,
        missing,
        incomplete,
        notes,
    })
}

/// What a document lacks, as its row says it; `None` means complete.
pub(super) fn missing(completeness: &Completeness) -> Option<Value> {
    match completeness {
        Completeness::Complete => None,
        Completeness::Incomplete(open) => {
            let names: Vec<&str> = open.iter().map(|bullet| bullet.name).collect();
            Some(names.into())
        }
    }
}

/// When what a document says was so, as its row says it.
pub(super) fn effective_at(read: &Searchable) -> Option<DateTime<Utc>> {
    read.effective_micros
        .and_then(DateTime::from_timestamp_micros)
}

/// What there is to say of the profiles that a document keeps.
///
/// # Errors
/// The demands of profiles that it does not keep, first of all.
fn notes_of(profiles: &Profiles, document: &Json) -> Result<Vec<fhir::Issue>, Vec<fhir::Issue>> {
    let mut report = profiles.check(document);
    if report.errors.is_empty() {
        return Ok(report.notes);
    }
    report.errors.append(&mut report.notes);
    Err(report.errors)
}

/// What a document says, byte for byte, to tell one request from another.
///
/// # Errors
/// [`Error::BadInput`] for one that is too long.
pub(super) fn submitted(document: &Json) -> Result<Vec<u8>, Error> {
    let bytes = fhir::canonical::to_bytes(document);
    if bytes.len() > fhir::reader::MAX_BYTES {
        return Err(Error::bad("document", "a document has at most 1 MiB"));
    }
    Ok(bytes)
}

/// The hash that a request is known by beside its key: what it says, and the document it came with.
pub(super) fn request_hash(request: &Value, document: &[u8]) -> String {
    digest::hex_of(&[request.to_string().as_bytes(), document].concat())
}

/// Which version a document becomes.
struct DocumentVersion<'a> {
    id: RecordId,
    patient: UserId,
    record_type: RecordType,
    /// From 1.
    number: i32,
    /// Why it takes the place of the one before.
    reason: Option<&'a Reason>,
}

/// The bytes of a document with id, version, time, patient, salt and reason in it.
fn stamped(
    drafting: Drafting<'_>,
    document: Json,
    version: &DocumentVersion<'_>,
) -> Result<Vec<u8>, Error> {
    let now = drafting.clock.now();
    let identity = Identity {
        record_id: &version.id.to_string(),
        patient_id: &version.patient.to_string(),
        version: u32::try_from(version.number).map_err(|_| Error::Internal)?,
        last_updated: &now.to_rfc3339_opts(SecondsFormat::Millis, true),
        salt_hex: &random::hex::<32>(),
        reason: version.reason.map(Reason::as_str),
    };
    let kind = kind(version.record_type)?;
    let stamped = fhir::stamp(document, kind, &identity).map_err(Error::Document)?;
    Ok(fhir::canonical::to_bytes(&stamped))
}

/// Puts id, version, time, patient, salt and reason into the document, and hashes it.
///
/// # Errors
/// [`Error::Document`] for one about somebody else.
pub(super) fn draft(
    drafting: Drafting<'_>,
    mut content: PreparedContent,
    about: About<'_>,
) -> Result<Draft, Error> {
    let id = about.id.unwrap_or_else(RecordId::fresh);
    let number = about.follows.map_or(1, |old| old.version.saturating_add(1));
    let document = std::mem::replace(&mut content.document, Json::Null);
    let as_version = DocumentVersion {
        id,
        patient: about.patient,
        record_type: about.record_type,
        number,
        reason: about.reason.as_ref(),
    };
    let version = StampedVersion {
        id,
        number,
        canonical: stamped(drafting, document, &as_version)?,
        is_restored: false,
    };
    Ok(draft_of(drafting, content, about, version))
}

/// The same document as the version that follows one, with the id that it has.
///
/// # Errors
/// [`Error::Document`], [`Error::Internal`]: none of a draft that was made here.
pub(super) fn following(
    drafting: Drafting<'_>,
    draft: Draft,
    old: Follows,
    reason: &Reason,
) -> Result<Draft, Error> {
    let number = old.version.saturating_add(1);
    let document = decrypt::document(&draft.canonical).ok_or(Error::Internal)?;
    let as_version = DocumentVersion {
        id: draft.id,
        patient: draft.patient,
        record_type: draft.record_type,
        number,
        reason: Some(reason),
    };
    let canonical = stamped(drafting, document, &as_version)?;
    Ok(Draft {
        version: number,
        follows: Some(old),
        data_hash: digest::of_document(&canonical),
        canonical: canonical.into(),
        // Its source tells it from others.
        idempotency: None,
        ..draft
    })
}

/// A version whose bytes are settled.
pub(super) struct StampedVersion {
    /// Its id.
    pub(super) id: RecordId,
    /// Its number, from 1.
    pub(super) number: i32,
    /// Exactly the bytes that are hashed and sealed.
    pub(super) canonical: Vec<u8>,
    /// Whether they are from an export.
    pub(super) is_restored: bool,
}

/// A version on its way to the writer.
pub(super) fn draft_of(
    drafting: Drafting<'_>,
    content: PreparedContent,
    about: About<'_>,
    version: StampedVersion,
) -> Draft {
    Draft {
        caller: about.caller.clone(),
        purpose: about.purpose,
        id: version.id,
        patient: about.patient,
        record_type: about.record_type,
        version: version.number,
        follows: about.follows,
        found_by: FoundBy {
            metadata: content.metadata,
            effective_at: effective_at(&content.read),
            code_tokens: tokens(drafting.index_key, about.patient, &content.read.codes),
        },
        missing: content.missing,
        incomplete: content.incomplete,
        notes: content.notes,
        data_hash: digest::of_document(&version.canonical),
        canonical: version.canonical.into(),
        idempotency: about.idempotency,
        is_restored: version.is_restored,
        source: None,
    }
}

/// A document's codes in the blind index, good for this patient alone.
pub(super) fn tokens(
    index_key: &IndexKey,
    patient: UserId,
    codes: &[(String, String)],
) -> Option<Vec<Vec<u8>>> {
    let token = |(system, code): &(String, String)| index_key.token(patient, system, code).to_vec();
    (!codes.is_empty()).then(|| codes.iter().map(token).collect())
}

pub(super) fn kind(record_type: RecordType) -> Result<fhir::RecordType, Error> {
    fhir::RecordType::parse(record_type.as_str()).ok_or(Error::Internal)
}
