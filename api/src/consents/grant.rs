//! Granting a consent.

use chrono::{DateTime, SubsecRound as _, Utc};
use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry},
    consents::{Activity, Consent, Grantee, MAX_CONSENTS_IN_FORCE, MAX_GRANTEES, Terms},
    ids::{ConsentId, OrganizationId, UserId},
    representatives::RepresentedActivity,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, StoreError, Tx, audit, barrier, consents,
    idempotency::{self, Remembered},
    organizations, users,
};
use uuid::Uuid;
use vault::digest;

use super::{
    evidence::{entry, evidence_of, evidence_with},
    receipts,
    refusals::set_refusals,
};
use crate::{
    caller::{Caller, refuse_role, require_mandate, require_mandate_first},
    error::{Error, all, check_kept_time},
    idempotency::{check_key, used_before},
    seals::Seals,
};

const GRANT: &str = "grantConsent";

/// Gives a consent, with its audit row. The same key gives the same consent, and so do the same terms while
/// the consent that was given by them is in force.
///
/// # Errors
/// [`Error::BadInput`] for terms that make no sense, a person who is no active doctor or an organisation that is none or
/// inactive,
/// [`Error::LimitReached`] where as many are in force as may be,
/// [`Error::Conflict`] for a key that was used for something else, [`Error::Forbidden`] for
/// administrators, who hold no records that they could open to anybody, [`Error::NotFound`] where the caller may not act for
/// the patient.
pub(crate) async fn grant(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    terms: Terms,
    key: Option<&str>,
) -> Result<Consent, Error> {
    let (mut tx, actor) = begin(pool, caller).await?;
    let consent = give(seals, &mut tx, (caller, &actor), terms, key).await?;
    tx.commit().await?;
    Ok(consent)
}

/// Gives several consents, each as [`grant`] gives one, with its audit row: all of them or none. `told` says of which of these
/// terms an error is, by their number.
///
/// # Errors
/// As of [`grant`].
pub(super) async fn grant_all(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    all: Vec<(usize, Terms)>,
    told: fn(usize, Error) -> Error,
) -> Result<Vec<Consent>, Error> {
    let (mut tx, actor) = begin(pool, caller).await?;
    let mut given = Vec::with_capacity(all.len());
    for (nth, terms) in all {
        let consent = give(seals, &mut tx, (caller, &actor), terms, None).await;
        given.push(consent.map_err(|error| told(nth, error))?);
    }
    tx.commit().await?;
    Ok(given)
}

/// Begins what gives consents, as whoever may give them; the patient's lock is held.
async fn begin(pool: &Pool, caller: &Caller) -> Result<(Tx<'static>, Actor), Error> {
    let activity = RepresentedActivity::ChangeConsents;
    require_mandate_first(pool, caller, activity, AuditAction::ConsentGrant).await?;
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user, caller.subject()]).await?;
    let actor = caller.actor(&mut tx).await?;
    let wanted = AuditAction::ConsentGrant;
    let tx = require_mandate(tx, caller, actor, activity, wanted).await?;
    if actor.role == Role::Admin {
        return Err(
            refuse_role(tx, caller, actor, Role::Patient, AuditAction::ConsentGrant).await?,
        );
    }
    Ok((tx, actor))
}

/// Gives one consent, with its audit row.
async fn give(
    seals: &Seals,
    tx: &mut Tx<'_>,
    (caller, actor): (&Caller, &Actor),
    terms: Terms,
    key: Option<&str>,
) -> Result<Consent, Error> {
    check_own_interest(caller, actor, &terms)?;
    let patient = actor.subject();
    let key = key.map(|key| (caller.user, key));
    let granting = judge(seals, tx, patient, terms, key).await?;
    let consent = &granting.consent;
    let receipt = match granting.standing {
        Standing::Repeated | Standing::InForce => None,
        Standing::New => Some(insert(seals, tx, &granting).await?),
    };
    if let Some(key) = key.filter(|_| granting.standing != Standing::Repeated) {
        remember(tx, key, granting.request_hash, consent.id).await?;
    }
    let entry = match receipt {
        Some(receipt) => AuditEntry {
            new_value: Some(evidence_with(consent, Some(&receipt))),
            ..entry(caller, AuditAction::ConsentGrant, consent.id)
        },
        None => AuditEntry {
            new_value: Some(json!({ "retry": true })),
            ..entry(caller, AuditAction::ConsentRead, consent.id)
        },
    };
    let entry = AuditEntry {
        representation: actor.represents(RepresentedActivity::ChangeConsents),
        ..entry
    };
    audit::insert(tx, &[entry]).await?;
    Ok(granting.consent)
}

/// Refuses a representative who would let in themselves: what they may do ends with their representation.
///
/// # Errors
/// [`Error::BadInput`] (`grantees`).
pub(super) fn check_own_interest(
    caller: &Caller,
    actor: &Actor,
    terms: &Terms,
) -> Result<(), Error> {
    let is_denial = terms.activities.contains(&Activity::Deny);
    if caller.on_behalf_of.is_some() && !is_denial && are_among(&terms.grantees, actor) {
        let told = "nobody consents for a patient to what they could do themselves";
        return Err(Error::bad("grantees", told));
    }
    Ok(())
}

/// Whether somebody is among these grantees: by name, by their role, or by an organisation that they may belong to.
pub(super) fn are_among(grantees: &[Grantee], actor: &Actor) -> bool {
    grantees.iter().any(|grantee| match grantee {
        Grantee::User { id } => *id == actor.id,
        Grantee::Role { role } => *role == actor.role,
        Grantee::Org { id, .. } => actor.memberships.may_include(*id),
    })
}

/// Whether a consent that somebody would give is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was given by the same key before.
    Repeated,
    /// It is in force.
    InForce,
    /// It is not there.
    New,
}

/// What giving a consent comes to, before it is given.
#[derive(Debug)]
pub(super) struct Granting {
    /// The consent.
    pub(super) consent: Consent,
    /// Whether it is there already.
    pub(super) standing: Standing,
    /// The patient's consents in force, without it where it is new. Not looked for where it is repeated.
    pub(super) in_force: Vec<Consent>,
    ended: Vec<Consent>,
    request_hash: String,
}

impl Granting {
    /// The refusals that the account names from then on, of those that it names now: without those that are over, as
    /// their seals say.
    ///
    /// # Errors
    /// [`Error::LimitReached`] where they are more than may be.
    pub(super) fn refusals(&self, mut refusals: Vec<Uuid>) -> Result<Vec<Uuid>, Error> {
        let is_over = |refusal: &Uuid| self.ended.iter().any(|consent| consent.id.0 == *refusal);
        refusals.retain(|refusal| !is_over(refusal));
        refusals.push(self.consent.id.0);
        if refusals.len() > MAX_CONSENTS_IN_FORCE {
            return Err(too_many());
        }
        Ok(refusals)
    }
}

/// What these terms come to for this patient, whose lock is held. Nothing is changed: giving a consent and looking
/// what it would change begin with it. With the key, whoever chose it.
///
/// # Errors
/// As of [`grant`].
pub(super) async fn judge(
    seals: &Seals,
    tx: &mut Tx<'_>,
    patient: UserId,
    terms: Terms,
    key: Option<(UserId, &str)>,
) -> Result<Granting, Error> {
    let too_long = terms.too_long();
    let checked = check_key(key.map(|(_, key)| key));
    let mut checks = vec![checked, check_kept_time("expiresAt", terms.expires_at)];
    checks.extend(too_long.into_iter().map(|rule| Err(rule.into())));
    let is_readable = checks.iter().all(Result::is_ok);
    let terms = terms.into_sets();
    let mut said = evidence_of(&terms);
    // Left out where nobody is represented: keys that were used before stay what they are.
    let is_foreign = key.is_some_and(|(chosen_by, _)| chosen_by != patient);
    if let Some(said) = said.as_array_mut().filter(|_| is_foreign) {
        said.push(json!(patient));
    }
    let request_hash = digest::hex_of(said.to_string().as_bytes());
    if let Some(key) = key.filter(|_| is_readable)
        && let Some(consent) = known_by(seals, tx, patient, key, &request_hash).await?
    {
        return Ok(Granting {
            consent,
            standing: Standing::Repeated,
            in_force: Vec::new(),
            ended: Vec::new(),
            request_hash,
        });
    }
    let now = users::now(tx).await?;
    let broken = terms.broken_rules(now).into_iter();
    checks.extend(broken.map(|rule| Err(rule.into())));
    checks.push(check_people(tx, patient, &terms).await?);
    checks.push(check_organizations(seals, tx, &terms).await?);
    all(checks)?;
    let (known, _) = seals.in_force(tx, &[patient], now).await?;
    let (in_force, ended): (Vec<_>, Vec<_>) = known
        .into_iter()
        .partition(|consent| consent.is_active(now));
    let same = in_force
        .iter()
        .find(|consent| terms.are_those_of(consent))
        .cloned();
    let (consent, standing) = match same {
        Some(consent) => (consent, Standing::InForce),
        None if in_force.len() >= MAX_CONSENTS_IN_FORCE => return Err(too_many()),
        None => (consent_by(terms, patient, now), Standing::New),
    };
    Ok(Granting {
        consent,
        standing,
        in_force,
        ended,
        request_hash,
    })
}

/// The consent that this key was used for before, if it was used.
async fn known_by(
    seals: &Seals,
    tx: &mut Tx<'_>,
    patient: UserId,
    key: (UserId, &str),
    request_hash: &str,
) -> Result<Option<Consent>, Error> {
    let known = idempotency::find(tx, GRANT, &[key]).await?;
    let Some(known) = known.first() else {
        return Ok(None);
    };
    if known.request_hash != request_hash {
        return Err(used_before());
    }
    let known = consents::lock(tx, ConsentId(known.resource), patient).await?;
    let known = known.and_then(|sealed| seals.open(sealed));
    Ok(Some(known.ok_or(Error::NotFound("consent"))?))
}

/// Lets the same key give the same consent.
async fn remember(
    tx: &mut Tx<'_>,
    (user, key): (UserId, &str),
    request_hash: String,
    consent: ConsentId,
) -> Result<(), Error> {
    let remembered = Remembered {
        user,
        key: key.to_owned(),
        request_hash,
        resource: consent.0,
    };
    if idempotency::insert(tx, GRANT, &[remembered]).await? {
        return Ok(());
    }
    Err(Error::met_another())
}

/// The consent that is given by these terms now.
fn consent_by(terms: Terms, patient: UserId, now: DateTime<Utc>) -> Consent {
    Consent {
        id: ConsentId::fresh(),
        patient,
        purpose: terms.purpose,
        given_at: now,
        // As exactly as the database keeps it, and so as it is sealed.
        expires_at: terms.expires_at.map(|end| end.trunc_subsecs(6)),
        withdrawn_at: None,
        categories: terms.categories,
        activities: terms.activities,
        grantees: terms.grantees,
    }
}

/// Stores the consent and its receipt; where it is a refusal, the account names it. Gives the receipt's hash.
pub(super) async fn insert(
    seals: &Seals,
    tx: &mut Tx<'_>,
    granting: &Granting,
) -> Result<String, Error> {
    let consent = &granting.consent;
    consents::insert(tx, consent, &seals.seal(consent)?).await?;
    let receipt = receipts::of_grant(seals, tx, consent).await?;
    if consent.is_denial() {
        let change = |refusals: Vec<Uuid>| granting.refusals(refusals);
        set_refusals(seals, tx, consent.patient, change).await?;
    }
    Ok(receipt)
}

/// Refuses a person who is no active doctor, or is the patient. Why is not said: accounts are nobody
/// else's business.
async fn check_people(
    tx: &mut Tx<'_>,
    patient: UserId,
    terms: &Terms,
) -> Result<Result<(), Error>, StoreError> {
    let named = terms.grantees.iter().filter_map(|grantee| match grantee {
        Grantee::User { id } => Some(*id),
        Grantee::Role { .. } | Grantee::Org { .. } => None,
    });
    // At most `MAX_GRANTEES` are looked up; a longer list is refused.
    let named: Vec<UserId> = named.take(MAX_GRANTEES).collect();
    let found = users::by_ids(tx, &named).await?;
    let is_doctor = |id: &UserId| {
        *id != patient
            && found
                .iter()
                .any(|user| user.id == *id && user.is_active && user.role == Role::Doctor)
    };
    let unknown: Vec<String> = named
        .iter()
        .filter(|id| !is_doctor(id))
        .map(ToString::to_string)
        .collect();
    if unknown.is_empty() {
        return Ok(Ok(()));
    }
    let message = format!("there is no such doctor: {}", unknown.join(", "));
    Ok(Err(Error::bad("grantees", message)))
}

/// Refuses an organisation that is none, is inactive, or is not in the country that is named with it.
async fn check_organizations(
    seals: &Seals,
    tx: &mut Tx<'_>,
    terms: &Terms,
) -> Result<Result<(), Error>, StoreError> {
    let named = terms.grantees.iter().filter_map(|grantee| match grantee {
        Grantee::Org { id, country } => Some((*id, country.as_str())),
        Grantee::User { .. } | Grantee::Role { .. } => None,
    });
    let named: Vec<(OrganizationId, &str)> = named.take(MAX_GRANTEES).collect();
    if named.is_empty() {
        return Ok(Ok(()));
    }
    let ids: Vec<OrganizationId> = named.iter().map(|(id, _)| *id).collect();
    let found = organizations::by_ids(tx, &ids).await?.into_iter();
    let found: Vec<_> = found
        .filter_map(|stored| seals.open(stored.organization))
        .collect();
    let is_there = |(id, country): &(OrganizationId, &str)| {
        let mut active = found.iter().filter(|it| it.is_active);
        active.any(|it| it.id == *id && it.country.as_str() == *country)
    };
    let unknown = named.iter().filter(|named| !is_there(named));
    let unknown: Vec<String> = unknown
        .map(|(id, country)| format!("{id} ({country})"))
        .collect();
    if unknown.is_empty() {
        return Ok(Ok(()));
    }
    let message = format!("there is no such organisation: {}", unknown.join(", "));
    Ok(Err(Error::bad("grantees", message)))
}

pub(super) fn too_many() -> Error {
    Error::LimitReached {
        field: "input",
        message: format!(
            "{MAX_CONSENTS_IN_FORCE} consents are in force, and no more can be: withdraw one first, or name \
             several grantees in one"
        ),
    }
}
