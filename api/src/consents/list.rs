//! Listing one's own consents.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::Consent,
    purpose::Purpose,
};
use store::{
    Pool, audit,
    consents::{self, ConsentCursor},
};

use crate::{caller::Caller, error::Error, seals::Seals};

/// A consent in a list, and whether it is as it was sealed: else it counts for nothing.
pub(crate) type ListedConsent = (Consent, bool);

/// The caller's consents, newest first, one more than asked for where there are more.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(crate) async fn list(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    active_only: bool,
    after: Option<ConsentCursor>,
    size: i64,
) -> Result<Vec<ListedConsent>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let page = consents::page(&mut tx, actor.id, active_only, after, size + 1).await?;
    let consents = page
        .into_iter()
        .map(|sealed| seals.look_at(sealed))
        .collect();
    let entry = AuditEntry {
        resource_type: ResourceType::Consent,
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(actor.id),
        ..caller.entry(AuditAction::ConsentRead, Purpose::PatientRequest)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(consents)
}
