//! Naming a representative, as a patient.

use domain::{
    audit::{AuditAction, AuditEntry},
    break_glass::NotificationKind,
    ids::RepresentationId,
    representatives::{MAX_REPRESENTATIVES, Representation},
    users::Role,
};
use serde_json::json;
use store::{Pool, audit, barrier, representatives, users};

use super::{
    RepresentativeTerms, check_representative, entry, evidence, list::ListedRepresentation, tell,
    too_many,
};
use crate::{
    caller::{Caller, refuse_role},
    error::{Error, all},
};

const ACTION: AuditAction = AuditAction::RepresentativeAppoint;

/// Names somebody who acts for the caller, with the audit row, and tells them. The same terms as those of a representation
/// that is not over answer that one.
///
/// # Errors
/// [`Error::Forbidden`] for administrators; [`Error::BadInput`]; [`Error::LimitReached`].
pub(super) async fn appoint(
    pool: &Pool,
    caller: &Caller,
    terms: &RepresentativeTerms,
) -> Result<ListedRepresentation, Error> {
    let terms = terms.to_microseconds();
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user]).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role == Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Patient, ACTION).await?);
    }
    let now = users::now(&mut tx).await?;
    let named = check_representative(&mut tx, caller, actor.id, terms.representative).await?;
    all(terms.checks(now).into_iter().chain([named]))?;
    let known = caller
        .seals
        .representations_of(&mut tx, actor.id, now)
        .await?;
    if let Some(same) = known.iter().find(|made| terms.are_those_of(made)) {
        let read = AuditEntry {
            new_value: Some(json!({ "retry": true })),
            ..entry(caller, AuditAction::RepresentativeRead, same.id.0, actor.id)
        };
        audit::insert(&mut tx, &[read]).await?;
        tx.commit().await?;
        return Ok(ListedRepresentation::sealed(*same, None));
    }
    if known.len() >= MAX_REPRESENTATIVES {
        return Err(too_many());
    }
    let made = Representation {
        id: RepresentationId::fresh(),
        patient: actor.id,
        representative: terms.representative,
        relationship: terms.relationship,
        activities: terms.activities(),
        from: terms.from.unwrap_or(now),
        until: terms.until,
        appointed_at: now,
        appointment: None,
        ended_at: None,
    };
    representatives::insert(&mut tx, &made, None, &caller.seals.seal(&made)?).await?;
    let row = AuditEntry {
        new_value: Some(evidence(&made)),
        ..entry(caller, ACTION, made.id.0, made.patient)
    };
    audit::insert(&mut tx, &[row]).await?;
    let kind = NotificationKind::RepresentativeAppointed;
    tell(&mut tx, caller, &made, kind, now).await?;
    tx.commit().await?;
    Ok(ListedRepresentation::sealed(made, None))
}
