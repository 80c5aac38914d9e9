//! Deactivating accounts, and making them active again. A deactivated account logs in no more, and every
//! log-in of it is over; nothing that it wrote or owns goes away.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::UserId,
    purpose::Purpose,
    seals::Authority,
    users::{Role, User},
};
use serde_json::json;
use store::{
    Pool, audit, barrier,
    deletion::execution,
    sessions::{self, Which},
    users,
};

use super::password::confirm;
use crate::{
    caller::{Caller, refuse, refuse_role, require_administrator},
    dependencies::Credentials,
    error::Error,
    seals::Seals,
};

/// Deactivates the caller's own account, with its audit row.
///
/// # Errors
/// [`Error::WrongCredentials`], [`Error::Conflict`] for the last active administrator.
pub(crate) async fn deactivate_own(
    credentials: Credentials<'_>,
    caller: &Caller,
    current_password: &str,
) -> Result<User, Error> {
    confirm(
        credentials,
        caller,
        current_password,
        AuditAction::UserDeactivate,
    )
    .await?;
    set(credentials.pool, credentials.seals, caller, None, false).await
}

/// Deactivates somebody's account, or makes it active again, with its audit row. One administrator does
/// that to everybody but administrators, who are made and unmade by two (`setRole`).
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators, [`Error::NotFound`], [`Error::BadInput`] for one's own
/// account and for an administrator's, [`Error::Conflict`] for one that is to be active and was erased.
pub(crate) async fn set_of(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    id: UserId,
    is_active: bool,
) -> Result<User, Error> {
    set(pool, seals, caller, Some(id), is_active).await
}

/// What is answered where nobody would be left to administer.
pub(super) fn last_administrator() -> Error {
    Error::Conflict {
        field: "userId",
        message: "the last active administrator: make another one first, by `setRole`".to_owned(),
    }
}

/// What is answered where an account stays as the certificate of its erasure says.
pub(super) fn erased() -> Error {
    Error::Conflict {
        field: "userId",
        message: "the account was erased: it is nobody's any more".to_owned(),
    }
}

/// Of the caller where `somebody` is none.
async fn set(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    somebody: Option<UserId>,
    is_active: bool,
) -> Result<User, Error> {
    let action = if is_active {
        AuditAction::UserReactivate
    } else {
        AuditAction::UserDeactivate
    };
    if somebody.is_some() {
        require_administrator(pool, caller, action).await?;
    }
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user].into_iter().chain(somebody)).await?;
    let actor = caller.actor(&mut tx).await?;
    if somebody.is_some() && actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, action).await?);
    }
    let id = somebody.unwrap_or(actor.id);
    let others = match actor.role {
        Role::Admin if id == actor.id => {
            let all = seals.lock_administrators(&mut tx).await?;
            all.into_iter().filter(|other| *other != id).count()
        }
        Role::Admin | Role::Doctor | Role::Patient => usize::MAX, // nobody is missed
    };
    let found = users::lock(&mut tx, id).await?;
    let is_gone = is_active && execution::is_gone(&mut tx, id).await?;
    let refused = refusal(found.as_ref(), somebody, actor.id, others, is_gone);
    if let Some((reason, error)) = refused {
        return refuse(tx, entry(caller, id, action), (reason, action), error).await;
    }
    let before = found.ok_or(Error::NotFound("user"))?;
    let account = seals.lock(&mut tx, id).await?;
    let account = account.ok_or(Error::NotFound("user"))?;
    let account = Authority {
        is_active,
        ..account
    };
    seals.write(&mut tx, &account).await?;
    // Also when it becomes active: nothing that began while it was not is gone on with.
    let ended = sessions::revoke(&mut tx, id, Which::All).await?;
    let entry = AuditEntry {
        old_value: Some(json!({ "isActive": before.is_active })),
        new_value: Some(json!({ "isActive": is_active, "endedSessions": ended.len() })),
        patient: Some(id),
        ..entry(caller, id, action)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(User {
        is_active,
        ..before
    })
}

/// Why an account stays as it is, if it does: the word of the audit row, and what is answered. `others` is how many
/// administrators would be left, `is_gone` whether one that is to be active was erased.
fn refusal(
    found: Option<&User>,
    somebody: Option<UserId>,
    actor: UserId,
    others: usize,
    is_gone: bool,
) -> Option<(&'static str, Error)> {
    let bad = |message: &str| Error::bad("userId", message);
    match (found, somebody) {
        (None, _) => Some(("NOT_FOUND", Error::NotFound("user"))),
        (Some(_), Some(id)) if id == actor => Some((
            "OWN_ACCOUNT",
            bad("your own account: use `deactivateAccount`"),
        )),
        (Some(_), Some(_)) if is_gone => Some(("ERASED", erased())),
        (Some(user), Some(_)) if user.role == Role::Admin => Some((
            "ADMINISTRATOR",
            bad("an administrator: two others take the role first, by `setRole`"),
        )),
        (Some(_), None) if others == 0 => Some(("LAST_ADMINISTRATOR", last_administrator())),
        (Some(_), _) => None,
    }
}

fn entry(caller: &Caller, id: UserId, action: AuditAction) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::User,
        resource_id: id.0,
        classification: Classification::Security,
        ..caller.entry(action, Purpose::SystemAdministration)
    }
}
