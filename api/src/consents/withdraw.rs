//! Withdrawing a consent.

use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry},
    consents::Consent,
    ids::{ConsentId, UserId},
    representatives::RepresentedActivity,
    users::Role,
};
use serde_json::json;
use store::{Pool, StoreError, Tx, audit, barrier, consents, users};

use super::{
    evidence::{entry, evidence_with},
    grant::are_among,
    receipts,
    refusals::set_refusals,
};
use crate::{
    caller::{Caller, refuse, refuse_unknown, require_mandate, require_mandate_first},
    error::Error,
    seals::Seals,
};

/// A consent that was taken back, and what still lets in whom it let in.
#[derive(Debug)]
pub(crate) struct Withdrawn {
    /// The consent as it is now.
    pub(crate) consent: Consent,
    /// The patient's consents in force that allow some of the same ([`Consent::allows_some_of`]).
    pub(crate) remaining: Vec<Consent>,
}

impl Withdrawn {
    async fn of(seals: &Seals, tx: &mut Tx<'_>, consent: Consent) -> Result<Self, Error> {
        let now = users::now(tx).await?;
        let (in_force, _) = seals.in_force(tx, &[consent.patient], now).await?;
        let remaining = in_force
            .into_iter()
            .filter(|other| other.id != consent.id && other.is_active(now))
            .filter(|other| other.allows_some_of(&consent))
            .collect();
        Ok(Self { consent, remaining })
    }
}

/// Takes a consent back, from the next request on, with its audit row. Taking it back twice is harmless.
///
/// # Errors
/// [`Error::NotFound`], with its audit row, where it is not one of the caller's, or of the patient for whom they act, if they may;
/// [`Error::BadInput`], with its audit row, where a doctor who acts for the patient would lift what keeps out themselves.
pub(crate) async fn withdraw(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    id: ConsentId,
) -> Result<Withdrawn, Error> {
    let (activity, wanted) = (
        RepresentedActivity::ChangeConsents,
        AuditAction::ConsentWithdraw,
    );
    require_mandate_first(pool, caller, activity, wanted).await?;
    let mut tx = pool.begin().await?;
    // What is being disclosed by it comes before; what is decided later goes without it.
    barrier::lock_exclusive(&mut tx, [caller.user, caller.subject()]).await?;
    let actor = caller.actor(&mut tx).await?;
    let mut tx = require_mandate(tx, caller, actor, activity, wanted).await?;
    let (patient, representation) = (actor.subject(), actor.represents(activity));
    let Some(known) = own(seals, &mut tx, id, patient).await? else {
        let about = AuditEntry {
            representation,
            ..entry(caller, wanted, id)
        };
        return refuse_unknown(tx, about, "consent").await;
    };
    if known.withdrawn_at.is_some() {
        let read = AuditEntry {
            new_value: Some(json!({ "retry": true })),
            representation,
            ..entry(caller, AuditAction::ConsentRead, id)
        };
        audit::insert(&mut tx, &[read]).await?;
        let withdrawn = Withdrawn::of(seals, &mut tx, known).await?;
        tx.commit().await?;
        return Ok(withdrawn);
    }
    if let Err(concerned) = check_own_interest(caller, &actor, &known) {
        // Named as the ground, the consent would seem to have decided.
        let about = AuditEntry {
            consent: None,
            representation,
            ..entry(caller, wanted, id)
        };
        return refuse(tx, about, ("CONCERNED", wanted), concerned).await;
    }
    let consent = Consent {
        withdrawn_at: Some(users::now(&mut tx).await?),
        ..known
    };
    consents::withdraw(&mut tx, &consent, &seals.seal(&consent)?).await?;
    let receipt = receipts::of_withdrawal(seals, &mut tx, &consent).await?;
    if consent.is_denial() {
        set_refusals(seals, &mut tx, patient, |mut refusals| {
            refusals.retain(|refusal| *refusal != id.0);
            Ok(refusals)
        })
        .await?;
    }
    let entry = AuditEntry {
        old_value: Some(json!({ "withdrawnAt": null })),
        new_value: Some(evidence_with(&consent, receipt.as_deref())),
        representation,
        ..entry(caller, AuditAction::ConsentWithdraw, id)
    };
    audit::insert(&mut tx, &[entry]).await?;
    let withdrawn = Withdrawn::of(seals, &mut tx, consent).await?;
    tx.commit().await?;
    Ok(withdrawn)
}

/// Refuses a doctor who acts for a patient and would withdraw a refusal that keeps out themselves, alone or among others.
///
/// # Errors
/// [`Error::BadInput`] (`id`).
pub(super) fn check_own_interest(
    caller: &Caller,
    actor: &Actor,
    consent: &Consent,
) -> Result<(), Error> {
    let grantees = &consent.grantees;
    let is_meant = grantees.is_empty() || are_among(grantees, actor);
    let is_open = consent.is_denial() && consent.withdrawn_at.is_none();
    let keeps_out = is_open && actor.role == Role::Doctor && is_meant;
    if caller.on_behalf_of.is_some() && keeps_out {
        let told = "nobody withdraws for a patient what the patient refused to them";
        return Err(Error::bad("id", told));
    }
    Ok(())
}

/// A consent of this patient, withdrawn or not; `None` where it is another's, or not as it was sealed.
///
/// # Errors
/// The database's.
pub(super) async fn own(
    seals: &Seals,
    tx: &mut Tx<'_>,
    id: ConsentId,
    patient: UserId,
) -> Result<Option<Consent>, StoreError> {
    let known = consents::lock(tx, id, patient).await?;
    Ok(known.and_then(|sealed| seals.open(sealed)))
}
