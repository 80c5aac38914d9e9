//! What every use case of deletion requests writes down, and how it refuses.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    deletion::{DeletionRequest, DeletionStep},
    ids::{DeletionRequestId, UserId},
    purpose::Purpose,
};
use serde_json::json;
use store::{Tx, audit, deletion};

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

/// Writes down that something about a request or a hold was refused, and gives the error to answer with.
///
/// # Errors
/// The database's.
pub(super) async fn refuse(
    mut tx: Tx<'_>,
    refused: AuditEntry,
    wanted: AuditAction,
    reason: &str,
    error: Error,
) -> Result<Error, Error> {
    let entry = AuditEntry {
        old_value: None,
        new_value: Some(json!({ "reason": reason, "wanted": wanted })),
        action: AuditAction::AccessDenied,
        ..refused
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(error)
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
            request.status
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
