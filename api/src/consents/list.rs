//! Listing one's own consents.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::Consent,
    ids::ConsentId,
    purpose::Purpose,
    representatives::RepresentedActivity,
};
use serde_json::{Value, json};
use store::{
    Pool, audit,
    consents::{self, ConsentCursor},
};

use crate::{
    caller::{Caller, denial, require_mandate},
    error::Error,
    page::{CountedRows, PageRange},
    seals::Seals,
};

/// A consent in a list, and whether it is as it was sealed: else it counts for nothing.
pub(crate) type ListedConsent = (Consent, bool);

/// What of a patient's consents is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConsentPage {
    /// Those alone that are in force.
    pub(crate) active_only: bool,
    /// Which page.
    pub(crate) range: PageRange<ConsentCursor>,
    /// Whether to count all there are.
    pub(crate) total: bool,
}

/// The caller's consents, or those of the patient for whom they act, newest first, or from the end where the page goes back;
/// one more than asked for where there are more.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] where they may not act for the patient.
pub(crate) async fn list(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    asked: ConsentPage,
) -> Result<CountedRows<ListedConsent>, Error> {
    listed(pool, seals, caller, None, asked).await
}

/// Those of these consents that are the caller's, or the patient's for whom they act, with a row for all of them and one for
/// each that is not.
///
/// # Errors
/// As of [`list`].
pub(super) async fn by_ids(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    ids: &[ConsentId],
) -> Result<Vec<ListedConsent>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let activity = RepresentedActivity::ReadConsents;
    let mut tx = require_mandate(tx, caller, actor, activity, AuditAction::ConsentRead).await?;
    let patient = actor.subject();
    let found = consents::by_ids(&mut tx, ids).await?;
    let found: Vec<_> = found.into_iter().map(|it| seals.look_at(it)).collect();
    let read = AuditEntry {
        patient: Some(patient),
        representation: actor.represents(activity),
        ..of_reading(caller)
    };
    let is_theirs = |(consent, _): &&ListedConsent| consent.patient == patient;
    let mut entries = Vec::new();
    entries.extend(found.iter().find(is_theirs).map(|_| read.clone()));
    for id in ids {
        let known = found.iter().find(|(consent, _)| consent.id == *id);
        if known.as_ref().is_none_or(|it| !is_theirs(it)) {
            // Whose it is sees that somebody tried.
            let about = AuditEntry {
                patient: known.map(|(consent, _)| consent.patient),
                representation: None,
                ..read.clone()
            };
            entries.push(denial(about, id.0));
        }
    }
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    let mut found = found;
    found.retain(|(consent, _)| consent.patient == patient);
    Ok(found)
}

/// What is written when consents are read.
fn of_reading(caller: &Caller) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Consent,
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::ConsentRead, Purpose::PatientRequest)
    }
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
    let asked = ConsentPage {
        active_only: false,
        range: PageRange {
            size,
            from: after,
            backward: false,
        },
        total: false,
    };
    let found = listed(pool, seals, caller, Some(told), asked).await?;
    Ok(found.rows)
}

async fn listed(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    told: Option<Value>,
    asked: ConsentPage,
) -> Result<CountedRows<ListedConsent>, Error> {
    let ConsentPage {
        active_only, range, ..
    } = asked;
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let activity = RepresentedActivity::ReadConsents;
    let mut tx = require_mandate(tx, caller, actor, activity, AuditAction::ConsentRead).await?;
    let patient = actor.subject();
    let (from, limit) = (range.from, range.size + 1);
    let page = consents::page(&mut tx, patient, active_only, from, range.backward, limit);
    let rows = page.await?.into_iter();
    let rows = rows.map(|sealed| seals.look_at(sealed)).collect();
    let total = if asked.total {
        consents::count(&mut tx, patient, active_only).await?
    } else {
        0
    };
    let entry = AuditEntry {
        new_value: told,
        patient: Some(patient),
        representation: actor.represents(activity),
        ..of_reading(caller)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(CountedRows { rows, total })
}
