//! What a patient, or who acts for them, does about the patient's codes: makes them, lists them, cancels them.

use domain::{
    access_codes::{MAX_OPEN_CODES, PreparedConsent, broken_rules},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::Terms,
    ids::AccessCodeId,
    purpose::Purpose,
    representatives::RepresentedActivity,
    users::Role,
};
use serde_json::json;
use store::{Pool, access_codes, audit, barrier, users};
use vault::{access_code::AccessCode, blind_index::IndexKey};

use super::{entry, evidence};
use crate::{
    caller::{Caller, refuse_role, refuse_unknown, require_mandate, require_mandate_first},
    error::{Error, all, check_kept_time},
    seals::Seals,
};

/// The most codes that are listed: more are never open at once.
const MOST_LISTED: i64 = 100;
/// In what a representative must be let to make and cancel a patient's codes.
const CHANGES: RepresentedActivity = RepresentedActivity::ChangeConsents;

/// A code that was made, which nobody is shown a second time.
pub(super) struct NewCode {
    /// What it is good for.
    pub(super) prepared: PreparedConsent,
    /// The code itself.
    pub(super) code: AccessCode,
}

/// Prepares a consent of the caller, or of the patient for whom they act, with its audit row.
///
/// # Errors
/// [`Error::BadInput`] for terms that no consent can have, or that a code cannot let in by, and for a doctor who acts for
/// somebody; [`Error::LimitReached`] where as many codes are open as may be; [`Error::Forbidden`] for administrators;
/// [`Error::NotFound`] where they may not act for the patient.
pub(super) async fn create(
    pool: &Pool,
    seals: &Seals,
    index_key: &IndexKey,
    caller: &Caller,
    terms: Terms,
) -> Result<NewCode, Error> {
    let (activity, wanted) = (CHANGES, AuditAction::AccessCodeCreate);
    require_mandate_first(pool, caller, activity, wanted).await?;
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user, caller.subject()]).await?;
    let actor = caller.actor(&mut tx).await?;
    let mut tx = require_mandate(tx, caller, actor, activity, wanted).await?;
    if actor.role == Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Patient, wanted).await?);
    }
    if caller.on_behalf_of.is_some() && actor.role == Role::Doctor {
        let told = "a doctor who acts for a patient could redeem the code: name the doctor who is meant (`grantConsent`)";
        return Err(Error::bad("onBehalfOf", told));
    }
    let patient = actor.subject();
    let now = users::now(&mut tx).await?;
    let mut checks = vec![check_kept_time("expiresAt", terms.expires_at)];
    let too_long = terms.too_long().into_iter();
    checks.extend(too_long.map(|rule| Err(rule.into())));
    let terms = terms.into_sets();
    let broken = broken_rules(&terms, now).into_iter();
    checks.extend(broken.map(|rule| Err(rule.into())));
    all(checks)?;
    let open = access_codes::open_of(&mut tx, patient, now, MOST_LISTED).await?;
    if open.len() >= MAX_OPEN_CODES {
        return Err(too_many());
    }
    let code = AccessCode::generate();
    let hash = index_key.access_code_hash(&code);
    let prepared = PreparedConsent::new(patient, hash, terms, now);
    access_codes::insert(&mut tx, &prepared, &seals.seal(&prepared)?).await?;
    let entry = AuditEntry {
        new_value: Some(evidence(&prepared)),
        representation: actor.represents(activity),
        ..entry(caller, wanted, prepared.id)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(NewCode { prepared, code })
}

fn too_many() -> Error {
    Error::LimitReached {
        field: "input",
        message: format!(
            "{MAX_OPEN_CODES} access codes are open, and no more can be: cancel one, or wait until one is over"
        ),
    }
}

/// The codes of the caller, or of the patient for whom they act, that may be redeemed now, newest first.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] where they may not act for the patient.
pub(super) async fn list(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
) -> Result<Vec<PreparedConsent>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let activity = RepresentedActivity::ReadConsents;
    let mut tx = require_mandate(tx, caller, actor, activity, AuditAction::ConsentRead).await?;
    let patient = actor.subject();
    let now = users::now(&mut tx).await?;
    let found = access_codes::open_of(&mut tx, patient, now, MOST_LISTED).await?;
    let found = found.into_iter().filter_map(|sealed| seals.open(sealed));
    let found: Vec<PreparedConsent> = found.collect();
    let entry = AuditEntry {
        resource_type: ResourceType::AccessCode,
        new_value: Some(json!({ "list": "accessCodes", "count": found.len() })),
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(patient),
        representation: actor.represents(activity),
        ..caller.entry(AuditAction::ConsentRead, Purpose::PatientRequest)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(found)
}

/// Cancels a code of the caller, or of the patient for whom they act, from the next request on, with its audit row.
///
/// # Errors
/// [`Error::NotFound`], with its audit row, where it is none of theirs that could still be redeemed, or they may not act for the
/// patient.
pub(super) async fn cancel(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    id: AccessCodeId,
) -> Result<PreparedConsent, Error> {
    let (activity, wanted) = (CHANGES, AuditAction::AccessCodeCancel);
    require_mandate_first(pool, caller, activity, wanted).await?;
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user, caller.subject()]).await?;
    let actor = caller.actor(&mut tx).await?;
    let mut tx = require_mandate(tx, caller, actor, activity, wanted).await?;
    let now = users::now(&mut tx).await?;
    let Some(found) = access_codes::lock(&mut tx, id, actor.subject(), now).await? else {
        let about = AuditEntry {
            representation: actor.represents(activity),
            ..entry(caller, wanted, id)
        };
        return refuse_unknown(tx, about, "access code").await;
    };
    // One that is not as it was sealed is closed, too.
    let (prepared, _) = seals.look_at(found);
    access_codes::close(&mut tx, prepared.id, now).await?;
    let entry = AuditEntry {
        old_value: Some(evidence(&prepared)),
        representation: actor.represents(activity),
        ..entry(caller, wanted, prepared.id)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(prepared)
}
