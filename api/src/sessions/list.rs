//! The log-ins of one's own that are not over.

use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
};
use store::{
    KeysetPage, Pool, audit,
    sessions::{self, LogIn, LogInCursor},
};
use uuid::Uuid;

use crate::{
    caller::{Caller, lookup},
    error::Error,
    page::{CountedRows, MAX_SIZE, PageRange},
};

/// The caller's log-ins, newest first, one more than asked for where there are more. Written down before
/// they are shown.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(crate) async fn own(
    pool: &Pool,
    caller: &Caller,
    range: PageRange<LogInCursor>,
    is_counted: bool,
) -> Result<CountedRows<LogIn>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let rows = sessions::page(&mut tx, actor.id, None, range.keyset()).await?;
    let total = if is_counted {
        sessions::count(&mut tx, actor.id).await?
    } else {
        0
    };
    audit::insert(&mut tx, &[of_reading(caller, actor)]).await?;
    tx.commit().await?;
    Ok(CountedRows { rows, total })
}

/// Those of these log-ins that are the caller's and not over, with a row for all of them and one for each that is not.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn by_ids(
    pool: &Pool,
    caller: &Caller,
    ids: &[Uuid],
) -> Result<Vec<LogIn>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    // An account has no more of them than fit on a page.
    let all = KeysetPage::after(None, MAX_SIZE.into());
    let mut found = sessions::page(&mut tx, actor.id, None, all).await?;
    found.retain(|log_in| ids.contains(&log_in.id.0));
    let read = of_reading(caller, actor);
    let known: Vec<Uuid> = found.iter().map(|it| it.id.0).collect();
    audit::insert(&mut tx, &lookup(&read, ids, &known)).await?;
    tx.commit().await?;
    Ok(found)
}

fn of_reading(caller: &Caller, actor: Actor) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Session,
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::SessionSearch, Purpose::default_of(actor.role))
    }
}
