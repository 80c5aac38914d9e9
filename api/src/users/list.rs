//! The administrators' list of accounts.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::UserId,
    purpose::Purpose,
    users::{Role, User},
};
use serde_json::json;
use store::{
    Pool, audit,
    users::{self, UserCursor, UserFilter},
};

use super::own::of_reading;
use crate::{
    caller::{Caller, denial, refuse_role},
    error::Error,
    page::PageRange,
};

/// An account that was asked for by its id, and how much of it is shown.
#[derive(Debug)]
pub(super) struct AccountById {
    /// The account.
    pub(super) user: User,
    /// Whether an administrator asks.
    pub(super) is_for_administrator: bool,
}

/// Those of these accounts that a list would show the caller: to administrators all, to everybody else active doctors. With a
/// row for each, shown or not.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn by_ids(
    pool: &Pool,
    caller: &Caller,
    ids: &[UserId],
) -> Result<Vec<AccountById>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let is_for_administrator = actor.role == Role::Admin;
    let is_shown = |user: &User| {
        let is_doctor = user.is_active && user.role == Role::Doctor;
        !user.is_system() && (is_for_administrator || is_doctor)
    };
    let mut found = users::by_ids(&mut tx, ids).await?;
    found.retain(is_shown);
    let entries: Vec<AuditEntry> = ids
        .iter()
        .map(|id| {
            let read = AuditEntry {
                resource_id: id.0,
                ..of_reading(caller, actor)
            };
            if found.iter().any(|user| user.id == *id) {
                read
            } else {
                denial(read, id.0)
            }
        })
        .collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    let found = found.into_iter().map(|user| AccountById {
        user,
        is_for_administrator,
    });
    Ok(found.collect())
}

/// Accounts, newest first, one more than asked for where there are more. Written down before they
/// are shown.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(crate) async fn list(
    pool: &Pool,
    caller: &Caller,
    filter: &UserFilter,
    range: PageRange<UserCursor>,
) -> Result<Vec<User>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, AuditAction::UserSearch).await?);
    }
    let found = users::page(&mut tx, filter, range.keyset()).await?;
    let shown = found.len().min(usize::try_from(range.size).unwrap_or(0));
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        new_value: Some(json!({ "count": shown })),
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::UserSearch, Purpose::SystemAdministration)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(found)
}
