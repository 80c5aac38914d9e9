//! Listing one's own consents.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::Consent,
    purpose::Purpose,
    representatives::RepresentedActivity,
};
use serde_json::{Value, json};
use store::{
    Pool, audit,
    consents::{self, ConsentCursor},
};

use crate::{
    caller::{Caller, require_mandate},
    error::Error,
    seals::Seals,
};

/// A consent in a list, and whether it is as it was sealed: else it counts for nothing.
pub(crate) type ListedConsent = (Consent, bool);

/// The caller's consents, or those of the patient for whom they act, newest first, one more than asked for where there are
/// more.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] where they may not act for the patient.
pub(crate) async fn list(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    active_only: bool,
    after: Option<ConsentCursor>,
    size: i64,
) -> Result<Vec<ListedConsent>, Error> {
    listed(pool, seals, caller, None, (active_only, after, size)).await
}

/// All of the caller's consents, as [`list`] gives them, to be taken out.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn export(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    after: Option<ConsentCursor>,
    size: i64,
) -> Result<Vec<ListedConsent>, Error> {
    let told = json!({ "list": "exportConsents" });
    listed(pool, seals, caller, Some(told), (false, after, size)).await
}

async fn listed(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    told: Option<Value>,
    (active_only, after, size): (bool, Option<ConsentCursor>, i64),
) -> Result<Vec<ListedConsent>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let activity = RepresentedActivity::ReadConsents;
    let mut tx = require_mandate(tx, caller, actor, activity, AuditAction::ConsentRead).await?;
    let patient = actor.subject();
    let page = consents::page(&mut tx, patient, active_only, after, size + 1).await?;
    let consents = page
        .into_iter()
        .map(|sealed| seals.look_at(sealed))
        .collect();
    let entry = AuditEntry {
        resource_type: ResourceType::Consent,
        new_value: told,
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(patient),
        representation: actor.represents(activity),
        ..caller.entry(AuditAction::ConsentRead, Purpose::PatientRequest)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(consents)
}
