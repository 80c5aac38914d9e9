//! The log-ins of one's own that are not over.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
};
use store::{
    Pool, audit,
    sessions::{self, LogIn, LogInCursor},
};

use crate::{caller::Caller, error::Error};

/// The caller's log-ins, newest first, one more than asked for where there are more. Written down before
/// they are shown.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(crate) async fn own(
    pool: &Pool,
    caller: &Caller,
    after: Option<LogInCursor>,
    size: i64,
) -> Result<Vec<LogIn>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let found = sessions::page(&mut tx, actor.id, None, after, size + 1).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::Session,
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::SessionSearch, Purpose::default_of(actor.role))
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(found)
}
