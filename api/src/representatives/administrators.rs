//! Representatives of those who cannot name one themselves, such as minors: one administrator proposes, another approves,
//! neither of them the patient or the representative.

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry},
    break_glass::{self, NotificationKind},
    ids::{RepresentationId, RepresentativeProposalId, UserId},
    representatives::{
        APPOINTMENT_WAITS, Appointment, MAX_REPRESENTATIVES, MAX_WAITING_APPOINTMENTS,
        Representation, RepresentativeProposal, check_term,
    },
    users::Role,
};
use serde_json::json;
use store::{Pool, Tx, audit, barrier, representatives, users};

use super::{
    RepresentativeTerms, check_representative, entry, evidence, list::ListedRepresentation, refuse,
    tell, too_many,
};
use crate::{
    caller::{Caller, refuse_role, require_administrator},
    error::{Error, all},
};

const PROPOSE: AuditAction = AuditAction::RepresentativePropose;
const APPOINT: AuditAction = AuditAction::RepresentativeAppoint;

/// Proposes a representative, with the audit row, which the patient sees.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::BadInput`], also where the caller is concerned;
/// [`Error::LimitReached`] where as many proposals of the caller wait as may.
pub(super) async fn propose(
    pool: &Pool,
    caller: &Caller,
    patient: UserId,
    terms: &RepresentativeTerms,
    reason: &str,
) -> Result<RepresentativeProposal, Error> {
    let terms = terms.to_microseconds();
    require_administrator(pool, caller, PROPOSE).await?;
    let mut tx = pool.begin().await?;
    barrier::lock_shared(&mut tx, [caller.user, patient]).await?;
    let mut tx = require_role(tx, caller, PROPOSE).await?;
    let now = users::now(&mut tx).await?;
    let said = break_glass::reason(reason);
    let said_check = said.map(drop);
    let checks = [
        check_concern(caller, patient, terms.representative),
        said_check.map_err(|error| Error::bad("reason", error.to_string())),
        check_patient(&mut tx, caller, patient).await?,
        check_representative(&mut tx, caller, patient, terms.representative).await?,
    ];
    all(terms.checks(now).into_iter().chain(checks))?;
    if representatives::waiting_of(&mut tx, caller.user, now).await? >= MAX_WAITING_APPOINTMENTS {
        return Err(too_many_wait());
    }
    let proposal = RepresentativeProposal {
        id: RepresentativeProposalId::fresh(),
        patient,
        representative: terms.representative,
        relationship: terms.relationship,
        activities: terms.activities(),
        from: terms.from,
        until: terms.until,
        reason: said.unwrap_or_default().to_owned(),
        proposed_by: caller.user,
        proposed_at: now,
        expires_at: now + APPOINTMENT_WAITS,
    };
    representatives::propose(&mut tx, &proposal, &caller.seals.seal(&proposal)?).await?;
    let said = json!({
        "representative": proposal.representative, "relationship": proposal.relationship,
        "activities": proposal.activities.iter().collect::<Vec<_>>(),
        "from": proposal.from, "until": proposal.until, "approveBefore": proposal.expires_at,
    });
    let row = AuditEntry {
        new_value: Some(said),
        ..entry(caller, PROPOSE, proposal.id.0, patient)
    };
    audit::insert(&mut tx, &[row]).await?;
    tx.commit().await?;
    Ok(proposal)
}

/// Approves what another administrator proposed: from now on, or from the time that was proposed, the representative acts
/// for the patient. Both are told.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::NotFound`] where nothing waits that is as it was sealed, by
/// somebody who is an administrator to this day; [`Error::Conflict`] where the caller proposed it or is concerned, or it
/// cannot be made any more; [`Error::LimitReached`].
pub(super) async fn approve(
    pool: &Pool,
    caller: &Caller,
    id: RepresentativeProposalId,
) -> Result<ListedRepresentation, Error> {
    let (mut tx, found) = waiting(pool, caller, id, APPOINT).await?;
    let Some((proposal, now)) = found else {
        return refuse(tx, caller, (id.0, None), ("UNKNOWN", APPOINT), unknown()).await;
    };
    let (patient, about) = (proposal.patient, (id.0, Some(proposal.patient)));
    let concerned = [
        proposal.patient,
        proposal.representative,
        proposal.proposed_by,
    ];
    if concerned.contains(&caller.user) {
        let error = conflict("another administrator approves it, who is not concerned");
        return refuse(tx, caller, about, ("CONCERNED", APPOINT), error).await;
    }
    let checks = [
        check_patient(&mut tx, caller, patient).await?,
        check_representative(&mut tx, caller, patient, proposal.representative).await?,
        check_term(proposal.from, proposal.until, now).map_err(|_| unknown()),
    ];
    if checks.iter().any(Result::is_err) {
        let error =
            conflict("it cannot be made any more: an account has changed, or its time is over");
        return refuse(tx, caller, about, ("CHANGED", APPOINT), error).await;
    }
    let known = caller
        .seals
        .representations_of(&mut tx, patient, now)
        .await?;
    if known.len() >= MAX_REPRESENTATIVES {
        return refuse(tx, caller, about, ("LIMIT_REACHED", APPOINT), too_many()).await;
    }
    let made = made_of(&proposal, caller.user, now);
    let reason = Some(proposal.reason.as_str());
    representatives::insert(&mut tx, &made, reason, &caller.seals.seal(&made)?).await?;
    representatives::close(&mut tx, id, caller.user, now).await?;
    let mut said = evidence(&made);
    said["proposal"] = json!(id);
    said["proposedBy"] = json!(proposal.proposed_by);
    let row = AuditEntry {
        new_value: Some(said),
        ..entry(caller, APPOINT, made.id.0, patient)
    };
    audit::insert(&mut tx, &[row]).await?;
    let kind = NotificationKind::RepresentativeAppointed;
    tell(&mut tx, caller, &made, kind, now).await?;
    tx.commit().await?;
    Ok(ListedRepresentation::sealed(made, Some(proposal.reason)))
}

/// Closes a proposal without making anything of it: its proposer takes it back, or another administrator rejects it.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::NotFound`] where nothing waits.
pub(super) async fn reject(
    pool: &Pool,
    caller: &Caller,
    id: RepresentativeProposalId,
) -> Result<RepresentativeProposal, Error> {
    let (mut tx, found) = waiting(pool, caller, id, PROPOSE).await?;
    let Some((proposal, now)) = found else {
        return refuse(tx, caller, (id.0, None), ("UNKNOWN", PROPOSE), unknown()).await;
    };
    representatives::close(&mut tx, id, caller.user, now).await?;
    let row = AuditEntry {
        new_value: Some(json!({ "rejected": true })),
        ..entry(caller, PROPOSE, id.0, proposal.patient)
    };
    audit::insert(&mut tx, &[row]).await?;
    tx.commit().await?;
    Ok(proposal)
}

/// The proposal that waits and the present time, under the patient's lock.
async fn waiting<'a>(
    pool: &Pool,
    caller: &Caller,
    id: RepresentativeProposalId,
    wanted: AuditAction,
) -> Result<(Tx<'a>, Option<(RepresentativeProposal, DateTime<Utc>)>), Error> {
    require_administrator(pool, caller, wanted).await?;
    let patient = representatives::patient_of(&mut *pool.acquire().await?, id).await?;
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, patient.into_iter().chain([caller.user])).await?;
    let mut tx = require_role(tx, caller, wanted).await?;
    let now = users::now(&mut tx).await?;
    let found = representatives::lock_proposal(&mut tx, id, now).await?;
    let Some(proposal) = found.and_then(|sealed| caller.seals.open(sealed)) else {
        return Ok((tx, None));
    };
    let proposer = caller.seals.account(&mut tx, proposal.proposed_by).await?;
    let may = proposer.is_some_and(|it| it.is_active && it.role == Role::Admin);
    Ok((tx, may.then_some((proposal, now))))
}

/// Refuses whoever is no administrator, once more under the locks.
async fn require_role<'a>(
    mut tx: Tx<'a>,
    caller: &Caller,
    wanted: AuditAction,
) -> Result<Tx<'a>, Error> {
    let actor = caller.actor(&mut tx).await?;
    if actor.role == Role::Admin {
        return Ok(tx);
    }
    Err(refuse_role(tx, caller, actor, Role::Admin, wanted).await?)
}

/// Refuses an administrator who is concerned.
fn check_concern(caller: &Caller, patient: UserId, representative: UserId) -> Result<(), Error> {
    let told = "nobody proposes a representative of their own, or themselves";
    if patient == caller.user {
        Err(Error::bad("patientId", told))
    } else if representative == caller.user {
        Err(Error::bad("representativeId", told))
    } else {
        Ok(())
    }
}

/// Refuses an account that is no active patient's.
async fn check_patient(
    tx: &mut Tx<'_>,
    caller: &Caller,
    patient: UserId,
) -> Result<Result<(), Error>, Error> {
    let account = caller.seals.account(tx, patient).await?;
    if account.is_some_and(|it| it.is_active && it.role == Role::Patient) {
        return Ok(Ok(()));
    }
    Ok(Err(Error::bad("patientId", "there is no such patient")))
}

fn made_of(
    proposal: &RepresentativeProposal,
    approved_by: UserId,
    now: DateTime<Utc>,
) -> Representation {
    Representation {
        // The same id: a proposal that is put back becomes no second representation.
        id: RepresentationId(proposal.id.0),
        patient: proposal.patient,
        representative: proposal.representative,
        relationship: proposal.relationship,
        activities: proposal.activities,
        from: proposal.from.unwrap_or(now),
        until: proposal.until,
        appointed_at: now,
        appointment: Some(Appointment {
            proposed_by: proposal.proposed_by,
            approved_by,
        }),
        ended_at: None,
    }
}

fn unknown() -> Error {
    Error::NotFound("proposal")
}

fn conflict(message: &str) -> Error {
    Error::Conflict {
        field: "id",
        message: message.to_owned(),
    }
}

fn too_many_wait() -> Error {
    Error::LimitReached {
        field: "patientId",
        message: format!(
            "{MAX_WAITING_APPOINTMENTS} of your proposals wait, and no more can: have another administrator approve or \
             reject them"
        ),
    }
}
