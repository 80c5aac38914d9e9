//! The administrators' list of accounts.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
    users::{Role, User},
};
use serde_json::json;
use store::{
    Pool, audit,
    users::{UserCursor, UserFilter},
};

use crate::{
    caller::{Caller, refuse_role},
    error::Error,
};

/// The caller's own account. Written down before it is shown.
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over.
pub(crate) async fn own(pool: &Pool, caller: &Caller) -> Result<User, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.active_actor(&mut tx).await?;
    let found = store::users::by_ids(&mut tx, &[actor.id]).await?;
    let user = found.into_iter().next().ok_or(Error::Unauthenticated)?;
    let entry = AuditEntry {
        resource_id: actor.id.0,
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::UserRead, Purpose::default_of(actor.role))
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(user)
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
    after: Option<UserCursor>,
    size: i64,
) -> Result<Vec<User>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, AuditAction::UserSearch).await?);
    }
    let users = store::users::page(&mut tx, filter, after, size + 1).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        new_value: Some(json!({ "count": users.len().min(usize::try_from(size).unwrap_or(0)) })),
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::UserSearch, Purpose::SystemAdministration)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(users)
}
