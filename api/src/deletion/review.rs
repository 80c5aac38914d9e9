//! Administrators decide about a request: one, or two where an account is to be erased; never its subject.

use chrono::TimeDelta;
use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry},
    consents::Category,
    deletion::{
        Approval, Coverage, DeletionDecision, DeletionRequest, DeletionRequestType, DeletionStatus,
        DeletionStep,
    },
    ids::{DeletionRequestId, RecordId},
    records::Reason,
    users::Role,
};
use serde_json::{Value, json};
use store::{Pool, Tx, audit, barrier, deletion, users};

use super::{
    entries::{entry, save, step, wrong_state},
    holds,
    reasons::{Explained, ReasonKey},
    requests::coverage,
};
use crate::{
    caller::{Caller, refuse, refuse_role, refuse_unknown, require_administrator},
    error::Error,
    seals::Seals,
};

const WANTED: AuditAction = AuditAction::DeletionReview;

/// What an administrator decides.
#[derive(Debug)]
pub(super) struct Review {
    /// About which request.
    pub(super) id: DeletionRequestId,
    /// What.
    pub(super) decision: DeletionDecision,
    /// Why.
    pub(super) reason: Reason,
    /// Of an approval in part, which types.
    pub(super) categories: Vec<Category>,
    /// And which single records.
    pub(super) records: Vec<RecordId>,
    /// Whether records are erased that are still to be kept.
    pub(super) overrides_retention: bool,
}

/// Decides about a request, with its audit row. What is approved, only its subject reads from then on; it is erased when the
/// days of grace are over.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::NotFound`], with its audit row; [`Error::BadInput`] for one's own
/// request, for what does not lie within it, and for records that are still to be kept; [`Error::Conflict`] where it is not
/// under review, or the same administrator approved it already.
pub(super) async fn review(
    pool: &Pool,
    seals: &Seals,
    grace: TimeDelta,
    caller: &Caller,
    review: Review,
) -> Result<Explained<DeletionRequest>, Error> {
    require_administrator(pool, caller, WANTED).await?;
    let missing = || Error::NotFound("deletion request");
    let mut conn = pool.acquire().await?;
    let subject = deletion::subject(&mut conn, review.id).await?;
    drop(conn);
    let Some(subject) = subject else {
        let tx = pool.begin().await?;
        let about = entry(caller, WANTED, review.id, caller.user);
        return refuse_unknown(tx, about, "deletion request").await;
    };
    let key = ReasonKey::of(pool, seals.keyring(), subject).await?;
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user, subject]).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, WANTED).await?);
    }
    let found = deletion::lock(&mut tx, review.id).await?;
    let about = entry(caller, WANTED, review.id, subject);
    if subject == actor.id {
        let error = Error::bad("id", "nobody decides about a request of their own");
        return refuse(tx, about, ("OWN_REQUEST", WANTED), error).await;
    }
    let (request, _) = found.clone().ok_or_else(missing)?.into_parts();
    if request.status != DeletionStatus::UnderReview {
        let error = wrong_state(&request);
        return refuse(tx, about, ("STATE", WANTED), error).await;
    }
    // One that is not as it was sealed is as if it were not there.
    let Some(request) = found.and_then(|sealed| seals.open(sealed)) else {
        return refuse(tx, about, ("TAMPERED", WANTED), missing()).await;
    };
    let decided = match review.decision {
        DeletionDecision::Reject => {
            step(&request, DeletionStep::Reject).map(DeletionRequest::undecided)
        }
        DeletionDecision::Approve | DeletionDecision::ApprovePartially => {
            approve(seals, &mut tx, grace, actor, request.clone(), &review).await
        }
    };
    let decided = match decided {
        Ok(decided) => decided,
        Err(error @ (Error::BadInput { .. } | Error::Conflict { .. })) => {
            return refuse(tx, about, ("NOT_POSSIBLE", WANTED), error).await;
        }
        Err(error) => return Err(error),
    };
    let (words, key) = (review.reason.as_str(), key.as_ref());
    let reason = match key {
        Some(key) => Some(key.seal(&mut tx, &decided, words).await?),
        None => None,
    };
    let decided = DeletionRequest { reason, ..decided };
    save(seals, &mut tx, &decided).await?;
    let restricted = match decided.status {
        DeletionStatus::UnderReview | DeletionStatus::Rejected => 0,
        _ => deletion::restrict(&mut tx, subject, &decided.approved).await?,
    };
    let reviewed = AuditEntry {
        old_value: Some(json!({ "status": request.status })),
        new_value: Some(evidence(&decided, review.decision, restricted)),
        ..about
    };
    audit::insert(&mut tx, &[reviewed]).await?;
    tx.commit().await?;
    Ok(Explained {
        row: decided,
        reason: key.map(|_| words.to_owned()),
        is_forged: false,
    })
}

/// What an audit row keeps of a decision: never its reason.
fn evidence(decided: &DeletionRequest, decision: DeletionDecision, restricted: u64) -> Value {
    json!({
        "status": decided.status, "decision": decision,
        "approvedCategories": decided.approved.categories,
        "approvedRecords": decided.approved.records.len(),
        "overridesRetention": decided.overrides_retention,
        "withinRetention": decided.within_retention(),
        "firstApprovalBy": decided.first_approval.map(|it| it.by),
        "secondApprovalBy": decided.second_approval.map(|it| it.by),
        "restrictedRecords": restricted,
        "scheduledFor": decided.scheduled_for,
    })
}

/// What is approved, where it can be: all that is asked for, or what of it is named.
async fn approved(
    tx: &mut Tx<'_>,
    request: &DeletionRequest,
    review: &Review,
) -> Result<Coverage, Error> {
    let is_named = !review.categories.is_empty() || !review.records.is_empty();
    // What was written since the request was made is a version of what it names, too.
    let asked = Coverage {
        categories: request.asked.categories.clone(),
        records: deletion::versions_there(tx, request.user, &request.asked.records).await?,
    };
    if review.decision == DeletionDecision::Approve {
        return if is_named {
            let told = "what is named is approved by APPROVE_PARTIALLY";
            Err(Error::bad("decision", told))
        } else {
            Ok(asked)
        };
    }
    if request.request_type == DeletionRequestType::AccountErasure {
        let told = "an account is erased as a whole: approve it, or reject it";
        return Err(Error::bad("decision", told));
    }
    let (categories, records) = (review.categories.clone(), review.records.clone());
    let named = coverage(tx, request.user, categories, records).await?;
    if deletion::is_within(tx, &named, &asked).await? {
        Ok(named)
    } else {
        let told = "only what the request is about can be approved";
        Err(Error::bad("decision", told))
    }
}

async fn approve(
    seals: &Seals,
    tx: &mut Tx<'_>,
    grace: TimeDelta,
    actor: Actor,
    request: DeletionRequest,
    review: &Review,
) -> Result<DeletionRequest, Error> {
    let approved = approved(tx, &request, review).await?;
    let erases = request.request_type.erases();
    let now = users::now(tx).await?;
    let approval = Approval {
        by: actor.id,
        at: now,
    };
    let mut decided = DeletionRequest {
        scope: deletion::scope(tx, request.user, &approved).await?,
        approved,
        ..request
    };
    let kept = decided.within_retention();
    if erases && kept > 0 && !review.overrides_retention {
        let told = format!(
            "{kept} record(s) are still to be kept: say so with overrideRetention, and why with reason"
        );
        return Err(Error::bad("overrideRetention", told));
    }
    if erases && holds::is_held(seals, tx, &decided).await? {
        return Err(wrong_state(&step(&decided, DeletionStep::Hold)?));
    }
    decided.overrides_retention |= erases && kept > 0;
    let first = still_approved(seals, tx, &decided).await?;
    match first {
        Some(first) if first.by == actor.id => {
            return Err(Error::Conflict {
                field: "id",
                message: "you approved this request; another administrator has to approve it, too"
                    .to_owned(),
            });
        }
        Some(first) => {
            decided.first_approval = Some(first);
            decided.second_approval = Some(approval);
        }
        None => decided.first_approval = Some(approval),
    }
    let given = 1 + usize::from(decided.second_approval.is_some());
    if given < decided.request_type.approvals() {
        return Ok(decided);
    }
    let partially = review.decision == DeletionDecision::ApprovePartially;
    let decided = step(
        &decided,
        if partially {
            DeletionStep::ApprovePartially
        } else {
            DeletionStep::Approve
        },
    )?;
    if !erases {
        return Ok(decided);
    }
    Ok(DeletionRequest {
        scheduled_for: Some(now + grace),
        ..step(&decided, DeletionStep::Schedule)?
    })
}

/// The first approval, by somebody who is an active administrator to this day.
async fn still_approved(
    seals: &Seals,
    tx: &mut Tx<'_>,
    request: &DeletionRequest,
) -> Result<Option<Approval>, Error> {
    let Some(first) = request.first_approval else {
        return Ok(None);
    };
    let account = seals.account(tx, first.by).await?;
    let may = account.is_some_and(|it| it.is_active && it.role == Role::Admin);
    Ok(may.then_some(first))
}
