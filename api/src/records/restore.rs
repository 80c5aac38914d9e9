//! Versions that are brought back from an export: the bytes that were hashed, with the id, the salt and the
//! hash that they had. A patient brings their own back, and nobody else.
//!
//! A file proves nothing about who wrote what is in it, so whoever brings a version back is its author
//! (`docs/decisions/0025-export-and-restore.md`).

use domain::{ids::RecordId, purpose::Purpose, records::RecordType};
use fhir::{Json, profiles::Profiles};
use uuid::Uuid;
use vault::digest;

use super::{
    draft::{Draft, Follows},
    import::Exported,
    prepare::{self, About, StampedVersion},
    restored::foreign,
};
use crate::{caller::Caller, dependencies::Drafting, error::Error};

/// The version as it was. Its document must be what the server would make of it for this caller: whoever
/// stamps it again with the identity that it states gets the same bytes.
///
/// # Errors
/// [`Error::BadInput`] where it is not, [`Error::Document`] where it is somebody else's.
pub(super) fn draft(
    drafting: Drafting<'_>,
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
    // What was stored is as it was, whatever profiles are known today.
    let none = Profiles::default();
    let content = prepare::check(&none, exported.record_type, document, exported.metadata)?;
    let about = About {
        caller,
        purpose: Some(Purpose::PatientRequest),
        patient: caller.user,
        record_type: exported.record_type,
        follows,
        reason: None,
        idempotency: None,
        id: None,
    };
    let version = StampedVersion {
        id,
        number,
        canonical,
        is_restored: true,
    };
    Ok(prepare::draft_of(drafting, content, about, version))
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
