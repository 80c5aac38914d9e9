//! Redeeming a code: the prepared consent is given, and names who redeemed it.
//!
//! Of a code that lets nobody in nobody learns why: unknown, used, cancelled, over and one's own are answered alike. Who
//! guesses waits, by account and by network.

use domain::{
    access::Actor,
    access_codes::PreparedConsent,
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::{Consent, MAX_CONSENTS_IN_FORCE},
    ids::UserId,
    purpose::Purpose,
    seals::{SealedTable, Tampered},
    users::Role,
};
use serde_json::json;
use store::{Pool, Tx, access_codes, audit, barrier, consents, users};
use vault::{access_code::AccessCode, blind_index::IndexKey};

use super::entry;
use crate::{
    caller::{Caller, refuse_role, write_refusal},
    consents::{
        evidence,
        grant::{self, Granting, Standing},
    },
    error::Error,
    seals::Seals,
    throttle::{self, Attempt, Pass, Throttle},
};

/// The prepared consent of this code is given to the caller, with its audit rows; where the patient's consents in force
/// say the same already, that one is answered. Either way the code is used.
///
/// # Errors
/// [`Error::Forbidden`] for all but doctors, [`Error::BadInput`] for what is no code or lets nobody in,
/// [`Error::Throttled`] for who tries too often, [`Error::LimitReached`] where as many consents of the patient are in force
/// as may be: the code stays good.
pub(super) async fn redeem(
    pool: &Pool,
    seals: &Seals,
    index_key: &IndexKey,
    throttle: &Throttle,
    caller: &Caller,
    code: &str,
) -> Result<Consent, Error> {
    require_doctor(pool, caller).await?;
    let Some(code) = AccessCode::parse(code) else {
        let told = "an access code is 10 letters and digits, of 2 to 9 and A to Z without B, I, L, O, S, U and Z";
        return Err(Error::bad("code", told));
    };
    let pass = throttle::pass(throttle, &caller.origin, Attempt::AccessCode(caller.user)).await?;
    let hash = index_key.access_code_hash(&code);
    let mut tx = pool.begin().await?;
    let patient = access_codes::patient_of(&mut tx, &hash).await?;
    barrier::lock_exclusive(&mut tx, patient.into_iter().chain([caller.user])).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Doctor {
        let wanted = AuditAction::AccessCodeRedeem;
        return Err(refuse_role(tx, caller, actor, Role::Doctor, wanted).await?);
    }
    let prepared = match patient {
        Some(patient) => find(seals, &mut tx, actor, patient, &hash).await?,
        None => None,
    };
    let Some(prepared) = prepared else {
        return Err(refuse_code(throttle, tx, caller, pass).await?);
    };
    let (granting, receipt) = give(seals, &mut tx, actor, &prepared).await?;
    let entries = entries(caller, &prepared, &granting.consent, receipt.as_deref());
    audit::insert(&mut tx, &entries).await?;
    pass.given_back(throttle, &mut tx).await?;
    tx.commit().await?;
    Ok(granting.consent)
}

/// Refuses whoever is no doctor before anything is counted or locked.
async fn require_doctor(pool: &Pool, caller: &Caller) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role == Role::Doctor {
        return Ok(());
    }
    let wanted = AuditAction::AccessCodeRedeem;
    Err(refuse_role(tx, caller, actor, Role::Doctor, wanted).await?)
}

/// What this patient, whose lock is held, has prepared under this hash, where this actor may become its grantee.
async fn find(
    seals: &Seals,
    tx: &mut Tx<'_>,
    actor: Actor,
    patient: UserId,
    hash: &[u8; 32],
) -> Result<Option<PreparedConsent>, Error> {
    let now = users::now(tx).await?;
    let found = access_codes::lock_by_hash(tx, hash).await?;
    let prepared = found.and_then(|sealed| seals.open(sealed));
    let Some(prepared) = prepared.filter(|it| it.is_open(now) && it.patient == patient) else {
        return Ok(None);
    };
    if consents::lock(tx, prepared.consent(), patient)
        .await?
        .is_some()
    {
        // It was redeemed: somebody has put the row back as it was before.
        seals.report(Tampered {
            table: SealedTable::AccessCodes,
            row: prepared.id.0,
            of: patient,
        });
        return Ok(None);
    }
    let account = seals.account(tx, patient).await?;
    let may_give = account.is_some_and(|it| it.is_active && it.role != Role::Admin);
    Ok(Some(prepared).filter(|_| may_give && patient != actor.id))
}

/// Gives the consent, unless one that says the same is in force, and closes the code. With the hash of the receipt of
/// one that is new.
async fn give(
    seals: &Seals,
    tx: &mut Tx<'_>,
    actor: Actor,
    prepared: &PreparedConsent,
) -> Result<(Granting, Option<String>), Error> {
    let terms = prepared.terms_for(actor.id);
    let judged = grant::judge(seals, tx, prepared.patient, terms, None).await;
    let mut granting = judged.map_err(|error| match error {
        Error::LimitReached { .. } => too_many(),
        other => other,
    })?;
    let mut receipt = None;
    if granting.standing == Standing::New {
        // The same id, so that a row that is put back becomes no second consent.
        granting.consent.id = prepared.consent();
        receipt = Some(grant::insert(seals, tx, &granting).await?);
    }
    let now = users::now(tx).await?;
    access_codes::close(tx, prepared.id, now).await?;
    Ok((granting, receipt))
}

fn entries(
    caller: &Caller,
    prepared: &PreparedConsent,
    consent: &Consent,
    receipt: Option<&str>,
) -> Vec<AuditEntry> {
    let is_new = receipt.is_some();
    let about = AuditEntry {
        consent: Some(consent.id),
        patient: Some(prepared.patient),
        purpose: Purpose::default_of(Role::Doctor),
        new_value: Some(json!({ "consent": consent.id, "isNew": is_new })),
        ..entry(caller, AuditAction::AccessCodeRedeem, prepared.id)
    };
    let granted = is_new.then(|| AuditEntry {
        action: AuditAction::ConsentGrant,
        resource_type: ResourceType::Consent,
        resource_id: consent.id.0,
        new_value: Some(evidence::evidence_with(consent, receipt)),
        ..about.clone()
    });
    granted.into_iter().chain([about]).collect()
}

/// Writes down that a code let nobody in, and counts it.
async fn refuse_code(
    throttle: &Throttle,
    mut tx: Tx<'_>,
    caller: &Caller,
    pass: Pass,
) -> Result<Error, Error> {
    let wanted = AuditAction::AccessCodeRedeem;
    let about = AuditEntry {
        resource_type: ResourceType::AccessCode,
        classification: Classification::Security,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(wanted, Purpose::default_of(Role::Doctor))
    };
    write_refusal(&mut tx, about, ("ACCESS_CODE", wanted)).await?;
    pass.failed(throttle, &mut tx).await?;
    tx.commit().await?;
    let told = "this access code is wrong, used, cancelled, over or your own: ask the patient for a new one";
    Ok(Error::bad("code", told))
}

fn too_many() -> Error {
    Error::LimitReached {
        field: "input",
        message: format!(
            "{MAX_CONSENTS_IN_FORCE} consents of this patient are in force, and no more can be: ask the patient to \
             withdraw one, then redeem the code again"
        ),
    }
}
