//! Reading the trail. Reading it is itself written down, first.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
    users::Role,
};
use store::{
    Pool,
    audit::{self, AuditFilter, AuditPage},
};

use crate::{
    caller::{Caller, refuse_role},
    error::Error,
};

/// Rows of everybody, newest first.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(crate) async fn all(
    pool: &Pool,
    caller: &Caller,
    filter: &AuditFilter,
    before: i64,
    size: i64,
) -> Result<AuditPage, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, AuditAction::AuditRead).await?);
    }
    let rows = audit::page(&mut tx, filter, before, size).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::AuditLog,
        classification: Classification::Security,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::AuditRead, Purpose::Compliance)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(rows)
}

/// Rows about the caller's own data, newest first.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(crate) async fn own(
    pool: &Pool,
    caller: &Caller,
    filter: AuditFilter,
    before: i64,
    size: i64,
) -> Result<AuditPage, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let filter = AuditFilter {
        patient: Some(actor.id),
        ..filter
    };
    let rows = audit::page(&mut tx, &filter, before, size).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::AuditLog,
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::AuditRead, Purpose::PatientRequest)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(rows)
}
