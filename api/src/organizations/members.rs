//! Who belongs to an organisation: added, ended and listed by administrators.

use chrono::{DateTime, SubsecRound as _, Utc};
use domain::{
    audit::{AuditAction, AuditEntry},
    ids::{MembershipId, OrganizationId, UserId},
    organizations::{MAX_MEMBERS, MAX_MEMBERSHIPS, MAX_MEMBERSHIPS_EVER, Membership},
    users::Role,
};
use serde_json::{Value, json};
use store::{
    Pool, Tx, audit, barrier, memberships,
    organizations::{self, OrganizationCursor},
    users,
};

use super::{entry, entry_of_member, refuse};
use crate::{
    caller::{Caller, refuse_role, require_administrator},
    error::{Error, check_kept_time},
    page::{CountedRows, PageRange},
    seals::Seals,
};

/// Who is to belong to what, from when to when.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewMember {
    /// Who.
    pub(super) doctor: UserId,
    /// To what.
    pub(super) organization: OrganizationId,
    /// From when on; from now on where `None`.
    pub(super) from: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    pub(super) until: Option<DateTime<Utc>>,
}

/// Makes a doctor a member of an organisation, with its audit row.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::BadInput`] for who is no active doctor, for an organisation that
/// is none or inactive, and for an end that is not after the beginning and after now; [`Error::Conflict`] where the doctor
/// belongs to it at that time already; [`Error::LimitReached`].
pub(super) async fn add(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    new: NewMember,
) -> Result<Membership, Error> {
    let action = AuditAction::MembershipAdd;
    check_kept_time("from", new.from)?;
    check_kept_time("until", new.until)?;
    require_administrator(pool, caller, action).await?;
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user, new.doctor]).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, action).await?);
    }
    let membership = planned(&mut tx, new).await?;
    if let Some((reason, error)) = refusal(seals, &mut tx, &membership).await? {
        let about = entry(caller, new.organization, action);
        return Err(refuse(tx, about, action, reason, error).await?);
    }
    memberships::insert(&mut tx, &membership, &seals.seal(&membership)?).await?;
    let entry = AuditEntry {
        new_value: Some(evidence(&membership)),
        patient: Some(membership.doctor),
        ..entry_of_member(caller, membership.id, action)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(membership)
}

/// The membership as it would be, as exactly as the database keeps it.
async fn planned(tx: &mut Tx<'_>, new: NewMember) -> Result<Membership, Error> {
    let now = users::now(tx).await?;
    let from = new.from.map_or(now, |from| from.trunc_subsecs(6));
    let until = new.until.map(|until| until.trunc_subsecs(6));
    if until.is_some_and(|until| until <= from || until <= now) {
        return Err(Error::bad(
            "until",
            "a membership ends after it begins, and after now",
        ));
    }
    Ok(Membership {
        id: MembershipId::fresh(),
        doctor: new.doctor,
        organization: new.organization,
        from,
        until,
        ended_at: None,
        created_at: now,
    })
}

/// Why this membership cannot be, if it cannot: the word of the audit row, and what is answered. Nobody changes the
/// organisation, or becomes a member of it, until the transaction ends.
async fn refusal(
    seals: &Seals,
    tx: &mut Tx<'_>,
    new: &Membership,
) -> Result<Option<(&'static str, Error)>, Error> {
    let doctor = seals.account(tx, new.doctor).await?;
    if !doctor.is_some_and(|it| it.is_active && it.role == Role::Doctor) {
        let error = Error::bad("doctorId", "there is no such doctor");
        return Ok(Some(("DOCTOR", error)));
    }
    let organization = organizations::lock(tx, new.organization).await?;
    let organization = organization.and_then(|sealed| seals.open(sealed));
    if !organization.is_some_and(|it| it.is_active) {
        let error = Error::bad("organizationId", "there is no such organisation");
        return Ok(Some(("ORGANIZATION", error)));
    }
    let known = memberships::of_doctors(tx, &[new.doctor]).await?;
    let ever = known.len();
    let known = known.into_iter().map(|(_, it)| it.membership);
    let mut known = known.filter_map(|sealed| seals.open(sealed));
    if known.any(|it| it.organization == new.organization && it.overlaps(new)) {
        let error = Error::Conflict {
            field: "organizationId",
            message: "the doctor belongs to this organisation at that time already: end that membership first"
                .to_owned(),
        };
        return Ok(Some(("CONFLICT", error)));
    }
    let now = users::now(tx).await?;
    let (of_doctor, members) = memberships::numbers(tx, new.doctor, new.organization, now).await?;
    let reached = |number: i64, most: usize| usize::try_from(number).is_ok_and(|it| it >= most);
    let too_many = if reached(of_doctor, MAX_MEMBERSHIPS) {
        Some((
            "doctorId",
            format!("a doctor has at most {MAX_MEMBERSHIPS} memberships that are not over"),
        ))
    } else if ever >= MAX_MEMBERSHIPS_EVER {
        Some((
            "doctorId",
            format!(
                "a doctor has at most {MAX_MEMBERSHIPS_EVER} memberships, those that are over among them"
            ),
        ))
    } else if reached(members, MAX_MEMBERS) {
        Some((
            "organizationId",
            format!("an organisation has at most {MAX_MEMBERS} members"),
        ))
    } else {
        None
    };
    let told = |(field, message)| ("LIMIT_REACHED", Error::LimitReached { field, message });
    Ok(too_many.map(told))
}

/// Ends a membership, from the next request on, with its audit row. Ending it twice is harmless.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators, [`Error::NotFound`].
pub(super) async fn end(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    id: MembershipId,
) -> Result<Membership, Error> {
    let action = AuditAction::MembershipEnd;
    require_administrator(pool, caller, action).await?;
    let mut tx = pool.begin().await?;
    let doctor = memberships::doctor(&mut tx, id).await?;
    // What is being disclosed to the doctor comes before; what is decided later goes without it.
    barrier::lock_exclusive(&mut tx, doctor.into_iter().chain([caller.user])).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, action).await?);
    }
    let stored = memberships::lock(&mut tx, id).await?;
    let reason = if stored.is_none() {
        "NOT_FOUND"
    } else {
        "TAMPERED"
    };
    let known = stored.and_then(|sealed| seals.open(sealed));
    let Some(known) = known.filter(|it| doctor == Some(it.doctor)) else {
        let about = entry_of_member(caller, id, action);
        let error = Error::NotFound("membership");
        return Err(refuse(tx, about, action, reason, error).await?);
    };
    let now = users::now(&mut tx).await?;
    if known.is_over(now) {
        return Ok(known);
    }
    let membership = end_at(now, seals, &mut tx, caller, known).await?;
    tx.commit().await?;
    Ok(membership)
}

/// Ends every membership of somebody who is a doctor no more, each with its audit row; their lock is held exclusively. One
/// that is not as it was sealed opens nothing, and stays as it is.
///
/// # Errors
/// The database's.
pub(crate) async fn end_all(tx: &mut Tx<'_>, caller: &Caller, doctor: UserId) -> Result<(), Error> {
    let seals = &caller.seals;
    let now = users::now(tx).await?;
    for (_, stored) in memberships::of_doctors(tx, &[doctor]).await? {
        let known = seals.open(stored.membership);
        if let Some(open) = known.filter(|it| !it.is_over(now)) {
            end_at(now, seals, tx, caller, open).await?;
        }
    }
    Ok(())
}

async fn end_at(
    now: DateTime<Utc>,
    seals: &Seals,
    tx: &mut Tx<'_>,
    caller: &Caller,
    membership: Membership,
) -> Result<Membership, Error> {
    let membership = Membership {
        ended_at: Some(now),
        ..membership
    };
    memberships::end(tx, &membership, &seals.seal(&membership)?).await?;
    let entry = AuditEntry {
        old_value: Some(json!({ "endedAt": null })),
        new_value: Some(evidence(&membership)),
        patient: Some(membership.doctor),
        ..entry_of_member(caller, membership.id, AuditAction::MembershipEnd)
    };
    audit::insert(tx, &[entry]).await?;
    Ok(membership)
}

/// The members of an organisation, newest membership first, one more than asked for where there are more, with an audit row.
/// One that is not as it was sealed is shown as it stands: an administrator looks into it.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(super) async fn list(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    organization: OrganizationId,
    range: PageRange<OrganizationCursor>,
    is_counted: bool,
) -> Result<CountedRows<(Membership, bool)>, Error> {
    let action = AuditAction::MembershipRead;
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, action).await?);
    }
    let found = memberships::page(&mut tx, organization, range.keyset()).await?;
    let shown = found.len().min(usize::try_from(range.size).unwrap_or(0));
    let total = if is_counted {
        memberships::count(&mut tx, organization).await?
    } else {
        0
    };
    let entry = AuditEntry {
        new_value: Some(json!({ "list": "organizationMembers", "count": shown })),
        ..entry(caller, organization, action)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    let found = found.into_iter();
    let rows = found.map(|sealed| seals.look_at(sealed)).collect();
    Ok(CountedRows { rows, total })
}

/// What an audit row keeps of a membership.
pub(crate) fn evidence(membership: &Membership) -> Value {
    json!({
        "organization": membership.organization,
        "from": membership.from,
        "until": membership.until,
        "endedAt": membership.ended_at,
    })
}
