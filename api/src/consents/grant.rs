//! Giving, taking back and listing one's own consents.

use chrono::{DateTime, SubsecRound as _, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::{Consent, Grantee, MAX_CONSENTS_IN_FORCE, Terms},
    ids::{ConsentId, UserId},
    purpose::Purpose,
    users::Role,
};
use serde_json::{Value, json};
use store::{
    Tx, audit, barrier,
    consents::{self, ConsentCursor},
    idempotency::{self, Remembered},
    users,
};
use uuid::Uuid;
use vault::digest;

use crate::{
    app::App,
    caller::{Caller, refuse_role},
    error::{Error, check_time},
};

const GRANT: &str = "grantConsent";
/// The longest key by which a client may ask twice. Unit: bytes; the column's.
pub(crate) const MAX_IDEMPOTENCY_KEY: usize = 128;

/// Gives a consent, with its audit row. The same key gives the same consent, and so do the same terms while
/// the consent that was given by them is in force.
///
/// # Errors
/// [`Error::BadInput`] for terms that make no sense or a person who is no active doctor,
/// [`Error::LimitReached`] where as many are in force as may be,
/// [`Error::Conflict`] for a key that was used for something else, [`Error::Forbidden`] for
/// administrators, who hold no records that they could open to anybody.
pub(crate) async fn grant(
    app: &App,
    caller: &Caller,
    terms: Terms,
    key: Option<&str>,
) -> Result<Consent, Error> {
    check_key(key)?;
    let terms = terms.into_sets()?;
    let request_hash = digest::hex_of(evidence_of(&terms).to_string().as_bytes());
    let mut tx = app.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user]).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role == Role::Admin {
        return Err(
            refuse_role(tx, caller, actor, Role::Patient, AuditAction::ConsentGrant).await?,
        );
    }
    if let Some(key) = key
        && let Some(known) = idempotency::find(&mut tx, GRANT, &[(actor.id, key)])
            .await?
            .first()
    {
        if known.request_hash != request_hash {
            return Err(used_before());
        }
        let id = ConsentId(known.resource);
        let known = consents::lock(&mut tx, id, actor.id).await?;
        let known = known.and_then(|sealed| app.seals.open(sealed));
        return known.ok_or(Error::NotFound("consent"));
    }
    check_time("expiresAt", terms.expires_at)?;
    let now = users::now(&mut tx).await?;
    terms.check(now)?;
    check_grantees(&mut tx, actor.id, &terms).await?;
    let (mut in_force, _) = app.seals.in_force(&mut tx, &[actor.id], now).await?;
    in_force.retain(|consent| consent.is_active(now));
    let same = in_force
        .iter()
        .find(|consent| terms.are_those_of(consent))
        .cloned();
    let is_new = same.is_none();
    let consent = match same {
        Some(consent) => consent,
        None if in_force.len() >= MAX_CONSENTS_IN_FORCE => return Err(too_many()),
        None => insert(app, &mut tx, actor.id, terms, now).await?,
    };
    if let Some(key) = key {
        let remembered = Remembered {
            user: actor.id,
            key: key.to_owned(),
            request_hash,
            resource: consent.id.0,
        };
        if !idempotency::insert(&mut tx, GRANT, &[remembered]).await? {
            return Err(Error::Busy {
                retry_after_seconds: 1,
            });
        }
    }
    let entry = if is_new {
        AuditEntry {
            new_value: Some(evidence(&consent)),
            ..entry(caller, AuditAction::ConsentGrant, consent.id)
        }
    } else {
        AuditEntry {
            new_value: Some(json!({ "retry": true })),
            ..entry(caller, AuditAction::ConsentRead, consent.id)
        }
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(consent)
}

/// A consent that was taken back, and what still lets in whom it let in.
#[derive(Debug)]
pub(crate) struct Withdrawn {
    /// The consent as it is now.
    pub(crate) consent: Consent,
    /// The patient's consents in force that allow some of the same ([`Consent::allows_some_of`]).
    pub(crate) remaining: Vec<Consent>,
}

impl Withdrawn {
    async fn of(app: &App, tx: &mut Tx<'_>, consent: Consent) -> Result<Self, Error> {
        let now = users::now(tx).await?;
        let (in_force, _) = app.seals.in_force(tx, &[consent.patient], now).await?;
        let remaining = in_force
            .into_iter()
            .filter(|other| other.id != consent.id && other.is_active(now))
            .filter(|other| other.allows_some_of(&consent))
            .collect();
        Ok(Self { consent, remaining })
    }
}

/// Refuses a person who is no active doctor, or is the patient. Why is not said: accounts are nobody
/// else's business.
async fn check_grantees(tx: &mut Tx<'_>, patient: UserId, terms: &Terms) -> Result<(), Error> {
    let mut named = Vec::new();
    for grantee in &terms.grantees {
        match grantee {
            Grantee::User { id } => named.push(*id),
            Grantee::Role { .. } | Grantee::Org { .. } => {}
        }
    }
    let found = users::by_ids(tx, &named).await?;
    let is_doctor = |id: &UserId| {
        *id != patient
            && found
                .iter()
                .any(|user| user.id == *id && user.is_active && user.role == Role::Doctor)
    };
    if named.iter().all(is_doctor) {
        return Ok(());
    }
    Err(Error::bad("grantees", "there is no such doctor"))
}

fn too_many() -> Error {
    Error::LimitReached {
        field: "input",
        message: format!(
            "{MAX_CONSENTS_IN_FORCE} consents are in force, and no more can be: withdraw one first, or name \
             several grantees in one"
        ),
    }
}

/// Takes a consent back, from the next request on, with its audit row. Taking it back twice is harmless.
///
/// # Errors
/// [`Error::NotFound`] where it is not one of the caller's.
pub(crate) async fn withdraw(
    app: &App,
    caller: &Caller,
    id: ConsentId,
) -> Result<Withdrawn, Error> {
    let mut tx = app.begin().await?;
    // What is being disclosed by it comes before; what is decided later goes without it.
    barrier::lock_exclusive(&mut tx, [caller.user]).await?;
    let actor = caller.actor(&mut tx).await?;
    let known = consents::lock(&mut tx, id, actor.id).await?;
    let known = known.and_then(|sealed| app.seals.open(sealed));
    let known = known.ok_or(Error::NotFound("consent"))?;
    if known.withdrawn_at.is_some() {
        return Withdrawn::of(app, &mut tx, known).await;
    }
    let consent = Consent {
        withdrawn_at: Some(users::now(&mut tx).await?),
        ..known
    };
    consents::withdraw(&mut tx, &consent, &app.seals.seal(&consent)?).await?;
    if consent.is_denial() {
        set_refusals(app, &mut tx, actor.id, |refusals| {
            refusals.retain(|refusal| *refusal != id.0);
        })
        .await?;
    }
    let entry = AuditEntry {
        old_value: Some(json!({ "withdrawnAt": null })),
        new_value: Some(evidence(&consent)),
        ..entry(caller, AuditAction::ConsentWithdraw, id)
    };
    audit::insert(&mut tx, &[entry]).await?;
    let withdrawn = Withdrawn::of(app, &mut tx, consent).await?;
    tx.commit().await?;
    Ok(withdrawn)
}

async fn insert(
    app: &App,
    tx: &mut Tx<'_>,
    patient: UserId,
    terms: Terms,
    now: DateTime<Utc>,
) -> Result<Consent, Error> {
    let consent = Consent {
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
    };
    consents::insert(tx, &consent, &app.seals.seal(&consent)?).await?;
    if consent.is_denial() {
        set_refusals(app, tx, patient, |refusals| refusals.push(consent.id.0)).await?;
    }
    Ok(consent)
}

/// Lets the account name its refusals, so that one whose row is taken away still refuses.
async fn set_refusals(
    app: &App,
    tx: &mut Tx<'_>,
    patient: UserId,
    change: impl FnOnce(&mut Vec<Uuid>),
) -> Result<(), Error> {
    let account = app.seals.lock(tx, patient).await?;
    let mut account = account.ok_or(Error::Unauthenticated)?;
    change(&mut account.refusals);
    app.seals.write(tx, &account).await
}

/// A consent in a list, and whether it is as it was sealed: else it counts for nothing.
pub(crate) type Listed = (Consent, bool);

/// The caller's consents, newest first, one more than asked for where there are more.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(crate) async fn list(
    app: &App,
    caller: &Caller,
    active_only: bool,
    after: Option<ConsentCursor>,
    size: i64,
) -> Result<Vec<Listed>, Error> {
    let mut tx = app.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let page = consents::page(&mut tx, actor.id, active_only, after, size + 1).await?;
    let consents = page
        .into_iter()
        .map(|sealed| app.seals.look_at(sealed))
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

/// Refuses a key that does not fit its column.
///
/// # Errors
/// [`Error::BadInput`].
pub(crate) fn check_key(key: Option<&str>) -> Result<(), Error> {
    match key {
        Some(key) if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY => Err(Error::bad(
            "idempotencyKey",
            format!("an idempotency key has 1 to {MAX_IDEMPOTENCY_KEY} bytes"),
        )),
        _ => Ok(()),
    }
}

/// What a key that was used for another request is answered with.
pub(crate) fn used_before() -> Error {
    Error::Conflict {
        field: "idempotencyKey",
        message: "this idempotency key was used for another request".to_owned(),
    }
}

fn entry(caller: &Caller, action: AuditAction, id: ConsentId) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Consent,
        resource_id: id.0,
        consent: Some(id),
        classification: Classification::SensitivePersonal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(caller.user),
        ..caller.entry(action, Purpose::PatientRequest)
    }
}

/// A consent in full: the evidence that an audit row keeps.
fn evidence(consent: &Consent) -> Value {
    json!({
        "purpose": consent.purpose,
        "dataCategories": consent.categories,
        "processingActivities": consent.activities,
        "thirdParties": consent.grantees,
        "givenAt": consent.given_at,
        "expiresAt": consent.expires_at,
        "withdrawnAt": consent.withdrawn_at,
    })
}

fn evidence_of(terms: &Terms) -> Value {
    json!([
        terms.purpose,
        terms.categories,
        terms.activities,
        terms.grantees,
        terms.expires_at
    ])
}
