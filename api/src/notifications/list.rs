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

use crate::{
    caller::{Caller, lookup},
    error::Error,
    page::{CountedRows, PageRange},
};

/// How many notifications are marked at a time.
const MOST_MARKED: usize = 100;

/// What the caller was told, newest first, or from the end where the page goes back; one more than asked for where there are
/// more. Written down before it is shown.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn own(
    pool: &Pool,
    caller: &Caller,
    unread_only: bool,
    range: PageRange<i64>,
    is_counted: bool,
) -> Result<CountedRows<Notification>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let (user, from, limit) = (actor.id, range.from, range.size + 1);
    let rows = if range.backward {
        notifications::page_back(&mut tx, user, unread_only, from, limit).await?
    } else {
        notifications::page(&mut tx, user, unread_only, from, limit).await?
    };
    let total = match (is_counted, unread_only) {
        (false, _) => 0,
        (true, true) => notifications::unread(&mut tx, user).await?,
        (true, false) => notifications::count(&mut tx, user).await?,
    };
    write_down(&mut tx, caller, actor, json!({ "list": "notifications" })).await?;
    tx.commit().await?;
    Ok(CountedRows { rows, total })
}

/// Those of these notifications that are the caller's, with a row for all of them and one for each that is not.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn by_ids(
    pool: &Pool,
    caller: &Caller,
    ids: &[Uuid],
) -> Result<Vec<Notification>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let found = notifications::own_by_ids(&mut tx, actor.id, ids).await?;
    let read = entry(caller, actor, json!({ "list": "nodes" }));
    let known: Vec<Uuid> = found.iter().map(|it| it.id.0).collect();
    audit::insert(&mut tx, &lookup(&read, ids, &known)).await?;
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
    Ok(audit::insert(tx, &[entry(caller, actor, said)]).await?)
}

fn entry(caller: &Caller, actor: Actor, said: Value) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Notification,
        new_value: Some(said),
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(
            AuditAction::NotificationRead,
            Purpose::default_of(actor.role),
        )
    }
}
