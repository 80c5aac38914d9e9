//! Giving roles. One administrator makes a doctor, or a patient again; the role ADMIN is given and taken
//! by two, neither of them the subject: the first proposes, the other confirms within a day.

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::{RoleProposalId, UserId},
    purpose::Purpose,
    seals::{Authority, RoleProposal},
    users::{MAX_OPEN_PROPOSALS, PROPOSAL_LASTS, Role, User},
};
use serde_json::{Value, json};
use store::{
    Pool, Tx, audit, barrier,
    deletion::execution,
    feed,
    role_proposals::{self, ProposalCursor},
    users,
};

use super::activity::{erased, last_administrator};
use crate::{
    caller::{Caller, refuse, refuse_role, require_administrator},
    error::Error,
    organizations::members,
    page::PageRange,
    seals::Seals,
};

const WANTED: AuditAction = AuditAction::UserRoleChange;

/// What became of it.
#[derive(Debug)]
pub(crate) enum RoleChange {
    /// The account has the role.
    Done,
    /// Another administrator has to ask for the same, before this moment.
    Waits {
        /// Until when.
        until: DateTime<Utc>,
    },
}

/// Gives an account a role, or proposes it, with its audit row. Who is a doctor no more belongs to no organisation.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators, [`Error::BadInput`] for one's own account,
/// [`Error::NotFound`], [`Error::LimitReached`] where as many proposals wait as may, [`Error::Conflict`] for an account
/// that was erased and for the last administrator.
pub(crate) async fn set_role(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    id: UserId,
    role: Role,
) -> Result<(User, RoleChange), Error> {
    require_administrator(pool, caller, WANTED).await?;
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user, id]).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, WANTED).await?);
    }
    let about = entry(caller, id, WANTED);
    if id == actor.id {
        let error = Error::bad("userId", "nobody changes their own role");
        return refuse(tx, about, ("OWN_ACCOUNT", WANTED), error).await;
    }
    // Before the account itself, so that everybody locks in one order.
    let administrators = seals.lock_administrators(&mut tx).await?;
    let Some(user) = users::lock(&mut tx, id).await? else {
        return refuse(tx, about, ("NOT_FOUND", WANTED), Error::NotFound("user")).await;
    };
    if execution::is_gone(&mut tx, id).await? {
        return refuse(tx, about, ("ERASED", WANTED), erased()).await;
    }
    let demotes = user.role == Role::Admin && role != Role::Admin;
    if demotes && user.is_active && !administrators.iter().any(|other| *other != id) {
        return refuse(
            tx,
            about,
            ("LAST_ADMINISTRATOR", WANTED),
            last_administrator(),
        )
        .await;
    }
    // Locked already: nobody changed it in between.
    let Some(account) = seals.lock(&mut tx, id).await? else {
        return refuse(tx, about, ("TAMPERED", WANTED), Error::NotFound("user")).await;
    };
    let needs_two = role != user.role && (role == Role::Admin || user.role == Role::Admin);
    if !needs_two {
        return give(tx, caller, user, account, role, None).await;
    }
    match proposed(seals, &mut tx, id, role).await? {
        Some(proposal) if proposal.proposed_by == actor.id => {
            wait(tx, caller, user, proposal).await
        }
        Some(proposal) => give(tx, caller, user, account, role, Some(proposal)).await,
        None => {
            if role_proposals::waiting_of(&mut tx, actor.id).await? >= MAX_OPEN_PROPOSALS {
                return refuse(tx, about, ("LIMIT_REACHED", WANTED), too_many()).await;
            }
            let now = users::now(&mut tx).await?;
            let proposal = RoleProposal {
                id: RoleProposalId::fresh().0,
                user: id,
                role,
                proposed_by: actor.id,
                proposed_at: now,
                expires_at: now + PROPOSAL_LASTS,
            };
            role_proposals::propose(&mut tx, &proposal, &seals.seal(&proposal)?).await?;
            wait(tx, caller, user, proposal).await
        }
    }
}

/// The proposal of this role that may be confirmed: it is as it was sealed, and so is the account of whoever
/// made it, who is an administrator to this day.
async fn proposed(
    seals: &Seals,
    tx: &mut Tx<'_>,
    user: UserId,
    role: Role,
) -> Result<Option<RoleProposal>, Error> {
    let found = role_proposals::open(tx, user, role).await?;
    let Some(proposal) = found.and_then(|sealed| seals.open(sealed)) else {
        return Ok(None);
    };
    let proposer = seals.account(tx, proposal.proposed_by).await?;
    let may = proposer.is_some_and(|it| it.is_active && it.role == Role::Admin);
    Ok(may.then_some(proposal))
}

fn too_many() -> Error {
    Error::LimitReached {
        field: "userId",
        message: format!(
            "{MAX_OPEN_PROPOSALS} of your proposals wait, and no more can: have another administrator \
             confirm them, or let them expire"
        ),
    }
}

async fn give(
    mut tx: Tx<'_>,
    caller: &Caller,
    user: User,
    account: Authority,
    role: Role,
    confirmed: Option<RoleProposal>,
) -> Result<(User, RoleChange), Error> {
    caller
        .seals
        .write(&mut tx, &Authority { role, ..account })
        .await?;
    if user.role == Role::Doctor && role != Role::Doctor {
        members::end_all(&mut tx, caller, user.id).await?;
    }
    // Whatever else was proposed for this account was proposed for another role than it has now.
    let confirmed_by = confirmed.as_ref().map(|_| caller.user);
    role_proposals::close(&mut tx, user.id, confirmed_by).await?;
    let said = match &confirmed {
        Some(proposal) => json!({
            "role": role, "proposal": proposal.id, "proposedBy": proposal.proposed_by,
        }),
        None => json!({ "role": role }),
    };
    audit_role_change(&mut tx, caller, &user, said).await?;
    feed::tell_of_role(&mut tx, user.id).await?;
    tx.commit().await?;
    Ok((User { role, ..user }, RoleChange::Done))
}

async fn wait(
    mut tx: Tx<'_>,
    caller: &Caller,
    user: User,
    proposal: RoleProposal,
) -> Result<(User, RoleChange), Error> {
    let until = proposal.expires_at;
    let said = json!({ "proposed": proposal.role, "proposal": proposal.id, "until": until });
    audit_role_change(&mut tx, caller, &user, said).await?;
    tx.commit().await?;
    Ok((user, RoleChange::Waits { until }))
}

async fn audit_role_change(
    tx: &mut Tx<'_>,
    caller: &Caller,
    user: &User,
    said: Value,
) -> Result<(), Error> {
    let entry = AuditEntry {
        old_value: Some(json!({ "role": user.role })),
        new_value: Some(said),
        patient: Some(user.id),
        ..entry(caller, user.id, AuditAction::UserRoleChange)
    };
    Ok(audit::insert(tx, &[entry]).await?)
}

fn entry(caller: &Caller, id: UserId, action: AuditAction) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::User,
        resource_id: id.0,
        classification: Classification::Security,
        ..caller.entry(action, Purpose::SystemAdministration)
    }
}

/// What waits for a second administrator, newest first, one more than asked for where there are more.
/// Written down before it is shown.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(crate) async fn waiting(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    range: PageRange<ProposalCursor>,
) -> Result<Vec<RoleProposal>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, AuditAction::UserSearch).await?);
    }
    let found = role_proposals::page(&mut tx, range.keyset()).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        new_value: Some(json!({ "list": "roleProposals" })),
        classification: Classification::Security,
        ..caller.entry(AuditAction::UserSearch, Purpose::SystemAdministration)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    // One that is not as it was sealed is shown, as it stands: an administrator looks into it. It is reported.
    Ok(found
        .into_iter()
        .map(|sealed| seals.look_at(sealed).0)
        .collect())
}
