//! What every use case of deletion requests writes down.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    deletion::{DeletionRequest, DeletionStep},
    ids::{DeletionRequestId, UserId},
    purpose::Purpose,
};
use store::{Tx, deletion};

use crate::{caller::Caller, error::Error, seals::Seals};

/// An audit entry about a request, to be completed by field.
pub(super) fn entry(
    caller: &Caller,
    action: AuditAction,
    id: DeletionRequestId,
    subject: UserId,
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::DeletionRequest,
        resource_id: id.0,
        classification: Classification::SensitivePersonal,
        patient: Some(subject),
        ..caller.entry(action, Purpose::Compliance)
    }
}

/// Goes a step, where it is one of this state's.
///
/// # Errors
/// [`Error::Conflict`].
pub(super) fn step(
    request: &DeletionRequest,
    step: DeletionStep,
) -> Result<DeletionRequest, Error> {
    request.after(step).ok_or_else(|| wrong_state(request))
}

/// That a request does not stand where this could be done.
pub(super) fn wrong_state(request: &DeletionRequest) -> Error {
    Error::Conflict {
        field: "id",
        message: format!(
            "the request is {}, where this cannot be done",
            // As `DeletionStatus` of the interface names it.
            request.status.as_str().to_uppercase()
        ),
    }
}

/// Writes where a request stands, sealed where that decides anything.
///
/// # Errors
/// [`Error::Unavailable`], or the database's.
pub(super) async fn save(
    seals: &Seals,
    tx: &mut Tx<'_>,
    request: &DeletionRequest,
) -> Result<(), Error> {
    let seal = if request.status.decides() {
        Some(seals.seal(request)?)
    } else {
        None
    };
    Ok(deletion::save(tx, request, seal.as_ref()).await?)
}
