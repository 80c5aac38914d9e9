//! Reading what one was told, and marking it as read.

use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
};
use serde_json::{Value, json};
use store::{
    Pool, Tx, audit,
    notifications::{self, Notification},
    users,
};
use uuid::Uuid;

use crate::{caller::Caller, error::Error};

/// How many notifications are marked at a time.
const MOST_MARKED: usize = 100;

/// What the caller was told, newest first, one more than asked for where there are more. Written down before it is
/// shown.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn own(
    pool: &Pool,
    caller: &Caller,
    unread_only: bool,
    before: Option<i64>,
    size: i64,
) -> Result<Vec<Notification>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let found = notifications::page(&mut tx, actor.id, unread_only, before, size + 1).await?;
    write_down(&mut tx, caller, actor, json!({ "list": "notifications" })).await?;
    tx.commit().await?;
    Ok(found)
}

/// How much of it the caller has not read.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn unread(pool: &Pool, caller: &Caller) -> Result<i64, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let count = notifications::unread(&mut tx, actor.id).await?;
    write_down(&mut tx, caller, actor, json!({ "unread": count })).await?;
    tx.commit().await?;
    Ok(count)
}

/// Marks these as read, or all where none is named. Answers how many were unread, and how many are left.
///
/// # Errors
/// [`Error::BadInput`] for too many; [`Error::NotFound`] where one is not the caller's, and then none is marked.
pub(super) async fn mark_read(
    pool: &Pool,
    caller: &Caller,
    ids: Option<Vec<Uuid>>,
) -> Result<(u64, i64), Error> {
    let ids = ids.map(|mut ids| {
        ids.sort_unstable();
        ids.dedup();
        ids
    });
    if ids.as_ref().is_some_and(|ids| ids.len() > MOST_MARKED) {
        return Err(Error::bad(
            "ids",
            format!("at most {MOST_MARKED} are marked at a time"),
        ));
    }
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if let Some(ids) = &ids {
        let own = notifications::count_own(&mut tx, actor.id, ids).await?;
        if usize::try_from(own).ok() != Some(ids.len()) {
            return Err(Error::NotFound("notification"));
        }
    }
    let now = users::now(&mut tx).await?;
    let marked = notifications::mark_read(&mut tx, actor.id, ids.as_deref(), now).await?;
    let left = notifications::unread(&mut tx, actor.id).await?;
    write_down(&mut tx, caller, actor, json!({ "marked": marked })).await?;
    tx.commit().await?;
    Ok((marked, left))
}

/// Writes down that somebody looked at what they were told.
///
/// # Errors
/// The database's.
pub(super) async fn write_down(
    tx: &mut Tx<'_>,
    caller: &Caller,
    actor: Actor,
    said: Value,
) -> Result<(), Error> {
    let row = AuditEntry {
        resource_type: ResourceType::Notification,
        new_value: Some(said),
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(
            AuditAction::NotificationRead,
            Purpose::default_of(actor.role),
        )
    };
    Ok(audit::insert(tx, &[row]).await?)
}
