//! Ending a representation before its time: from the next request on nobody acts by it.

use domain::{
    audit::{AuditAction, AuditEntry},
    break_glass::NotificationKind,
    ids::{RepresentationId, UserId},
    purpose::Purpose,
    representatives::Representation,
    users::Role,
};
use serde_json::json;
use store::{Pool, Tx, audit, barrier, representatives, users};

use super::{entry, evidence, list::ListedRepresentation, tell};
use crate::{
    caller::{Caller, refuse},
    error::Error,
};

const ACTION: AuditAction = AuditAction::RepresentativeEnd;

/// Ends a representation, with its audit row, and tells whoever of both did not do it. Ending one that is over changes
/// nothing.
///
/// # Errors
/// [`Error::NotFound`] for all but the patient, the representative, and, where administrators made it, an administrator;
/// and where it is not as it was sealed.
pub(super) async fn end(
    pool: &Pool,
    caller: &Caller,
    id: RepresentationId,
) -> Result<ListedRepresentation, Error> {
    let pair = representatives::pair(&mut *pool.acquire().await?, id).await?;
    let patient = pair.map(|(patient, _)| patient);
    let is_party = pair.is_some_and(|pair| [pair.0, pair.1].contains(&caller.user));
    // Whoever may end nothing keeps nobody waiting.
    if !is_party {
        let mut tx = pool.begin().await?;
        let actor = caller.actor(&mut tx).await?;
        if actor.role != Role::Admin || patient.is_none() {
            return refuse_unknown(tx, caller, id, purpose_of(is_party, actor.role)).await;
        }
    }
    let mut tx = pool.begin().await?;
    // What is being done by it comes before.
    barrier::lock_exclusive(&mut tx, patient.into_iter().chain([caller.user])).await?;
    let actor = caller.actor(&mut tx).await?;
    let found = representatives::lock(&mut tx, id).await?;
    let found = found.and_then(|it| Some((caller.seals.open(it.representation)?, it.reason)));
    let found = found.filter(|(made, _)| may_end(actor.id, actor.role, made));
    let purpose = purpose_of(is_party, actor.role);
    let Some((made, reason)) = found else {
        return refuse_unknown(tx, caller, id, purpose).await;
    };
    let now = users::now(&mut tx).await?;
    if made.is_over(now) {
        let read = AuditEntry {
            new_value: Some(json!({ "retry": true })),
            purpose,
            ..entry(caller, AuditAction::RepresentativeRead, id.0, made.patient)
        };
        audit::insert(&mut tx, &[read]).await?;
        tx.commit().await?;
        return Ok(ListedRepresentation::sealed(made, reason));
    }
    let ended = Representation {
        ended_at: Some(now),
        ..made
    };
    representatives::end(&mut tx, &ended, &caller.seals.seal(&ended)?).await?;
    let row = AuditEntry {
        old_value: Some(json!({ "endedAt": null })),
        new_value: Some(evidence(&ended)),
        purpose,
        ..entry(caller, ACTION, id.0, ended.patient)
    };
    audit::insert(&mut tx, &[row]).await?;
    let kind = NotificationKind::RepresentationEnded;
    tell(&mut tx, caller, &ended, kind, now).await?;
    tx.commit().await?;
    Ok(ListedRepresentation::sealed(ended, reason))
}

/// Whether somebody may end a representation: either of both, and an administrator what administrators made.
fn may_end(who: UserId, role: Role, made: &Representation) -> bool {
    [made.patient, made.representative].contains(&who)
        || (role == Role::Admin && made.appointment.is_some())
}

/// Why: the affair of administrators where one of them is neither of both, else their own.
fn purpose_of(is_party: bool, role: Role) -> Purpose {
    if role == Role::Admin && !is_party {
        Purpose::SystemAdministration
    } else {
        Purpose::PatientRequest
    }
}

/// Writes down that what somebody wanted to end is unknown to them, and answers so; whose it is is not said.
async fn refuse_unknown<T>(
    tx: Tx<'_>,
    caller: &Caller,
    id: RepresentationId,
    purpose: Purpose,
) -> Result<T, Error> {
    let about = AuditEntry {
        patient: None,
        purpose,
        ..entry(caller, ACTION, id.0, caller.user)
    };
    let unknown = Error::NotFound("representation");
    refuse(tx, about, ("UNKNOWN", ACTION), unknown).await
}
