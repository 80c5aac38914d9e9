//! Who is asking, from where: what every use case begins with.

use domain::{
    UnknownText,
    access::{Actor, DenyReason},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{RequestId, SessionId, UserId},
    purpose::Purpose,
    representatives::{Mandate, RepresentedActivity},
    second_factor::Requirement,
    throttle::Network,
    users::{ANONYMOUS, Role},
};
use serde_json::json;
use store::{Pool, StoreError, Tx, audit, barrier, users};
use uuid::Uuid;
use vault::token::{Bearer, TokenError};

use crate::{error::Error, party::Party, seals::Seals};

/// One request: where it came from, and what its token says if one came with it.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    /// Its id, address and user agent.
    pub(crate) origin: Origin,
    /// What its token says.
    pub(crate) token: Option<Result<Bearer, TokenError>>,
    /// Why, for everything in it that does not say so itself: `X-Purpose-Of-Use`.
    pub(crate) purpose: Option<Result<Purpose, UnknownText>>,
    /// For what the operator asks for a second factor.
    pub(crate) second_factor: Requirement,
    /// Whether answers say which rows of the audit trail were written: `X-Audit-Promise`.
    pub(crate) wants_promises: bool,
    /// By what rows are believed.
    pub(crate) seals: Seals,
}

impl RequestContext {
    /// The same for one operation of a connection that carries several: where its rows are promised, they are told from those of
    /// the others by an id of its own.
    pub(crate) fn of_operation(&self) -> Self {
        let mut context = self.clone();
        if context.wants_promises {
            context.origin.request = RequestId::fresh();
        }
        context
    }

    /// Whose share the request takes.
    pub(crate) fn party(&self) -> Party {
        match self.token {
            Some(Ok(bearer)) => Party::Account(bearer.user),
            None | Some(Err(_)) => Party::Network(Network::of(self.origin.address)),
        }
    }

    /// The caller, if a valid token came with the request.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] or [`Error::TokenExpired`]; [`Error::BadInput`] for a purpose there is not.
    pub(crate) fn caller(&self) -> Result<Caller, Error> {
        let purpose = self.purpose.clone().transpose();
        let purpose =
            purpose.map_err(|unknown| Error::bad("X-Purpose-Of-Use", unknown.to_string()))?;
        match self.token {
            None | Some(Err(TokenError::Invalid)) => Err(Error::Unauthenticated),
            Some(Err(TokenError::Expired)) => Err(Error::TokenExpired),
            Some(Ok(bearer)) => Ok(Caller {
                user: bearer.user,
                session: bearer.session,
                origin: self.origin.clone(),
                purpose,
                second_factor: self.second_factor,
                seals: self.seals.clone(),
                on_behalf_of: None,
            }),
        }
    }
}

/// Somebody whose token is valid. Whether their session still is, and what they may be, only the
/// database knows: see [`Caller::actor`].
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) user: UserId,
    /// By which log-in.
    pub(crate) session: SessionId,
    /// From where.
    pub(crate) origin: Origin,
    /// Why, where an operation does not say so itself.
    pub(crate) purpose: Option<Purpose>,
    /// For what the operator asks for a second factor.
    second_factor: Requirement,
    /// By what rows are believed.
    pub(crate) seals: Seals,
    /// The patient for whom they say that they act. Whether they may is decided where the patient's own request would
    /// be.
    pub(crate) on_behalf_of: Option<UserId>,
}

impl Caller {
    /// The same, acting for a patient where an operation says so.
    ///
    /// # Errors
    /// [`Error::BadInput`] for oneself.
    pub(crate) fn acting_for(self, patient: Option<UserId>) -> Result<Self, Error> {
        if patient == Some(self.user) {
            let told = "you need not act for yourself: leave it out";
            return Err(Error::bad("onBehalfOf", told));
        }
        Ok(Self {
            on_behalf_of: patient,
            ..self
        })
    }

    /// Whose data the operation is about, where it names nobody's: that of the patient for whom they act, or their own.
    pub(crate) fn subject(&self) -> UserId {
        self.on_behalf_of.unwrap_or(self.user)
    }

    /// The caller as the database knows them in this transaction.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the session is over or the account deactivated;
    /// [`Error::SecondFactorMissing`] where the operator wants one of their role and this log-in
    /// showed none.
    pub(crate) async fn actor(&self, tx: &mut Tx<'_>) -> Result<Actor, Error> {
        self.authorize(self.look_up(tx).await?)
    }

    /// Under the caller's lock, and that of the patient for whom they act: the accounts, the log-ins and the
    /// representations stay what they are until the transaction ends.
    async fn look_up(&self, tx: &mut Tx<'_>) -> Result<Option<Actor>, StoreError> {
        let patient = self.on_behalf_of.into_iter();
        barrier::lock_shared(tx, patient.chain([self.user])).await?;
        let actor = self.seals.actor_of(tx, self.user, self.session).await?;
        let Some(patient) = self.on_behalf_of else {
            return Ok(actor);
        };
        let now = users::now(tx).await?;
        let pair = (self.user, patient);
        let mandate = self.seals.mandates(tx, &[pair], now).await?.remove(&pair);
        Ok(actor.map(|actor| Actor {
            acts_for: Some(mandate.unwrap_or(Mandate::none(patient))),
            ..actor
        }))
    }

    /// The caller as the database knows them, where it was asked already.
    ///
    /// # Errors
    /// As [`Caller::actor`].
    pub(crate) fn authorize(&self, actor: Option<Actor>) -> Result<Actor, Error> {
        let actor = active_actor(actor)?;
        if self.second_factor.is_for(actor.role) && !actor.second_factor {
            return Err(Error::SecondFactorMissing);
        }
        Ok(actor)
    }

    /// The same for what is open without a second factor, too: to look at oneself, and to set one up.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub(crate) async fn active_actor(&self, tx: &mut Tx<'_>) -> Result<Actor, Error> {
        active_actor(self.look_up(tx).await?)
    }

    /// Whether the operator asks for a second factor where somebody breaks the glass.
    pub(crate) const fn needs_second_factor_in_emergency(&self) -> bool {
        self.second_factor.to_break_glass
    }

    /// An audit entry of this caller, to be completed by field.
    pub(crate) fn entry(&self, action: AuditAction, purpose: Purpose) -> AuditEntry {
        AuditEntry {
            on_behalf_of: self.on_behalf_of,
            ..AuditEntry::new(self.user, action, purpose, &self.origin)
        }
    }
}

/// Whoever is logged in and active.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(crate) fn active_actor(actor: Option<Actor>) -> Result<Actor, Error> {
    actor
        .filter(|actor| actor.is_active)
        .ok_or(Error::Unauthenticated)
}

/// Writes down that an operation was refused for want of a role, and gives the error to answer with.
///
/// # Errors
/// The database's, where the refusal could not be written.
pub(crate) async fn refuse_role(
    mut tx: Tx<'_>,
    caller: &Caller,
    actor: Actor,
    needed: Role,
    wanted: AuditAction,
) -> Result<Error, Error> {
    let about = AuditEntry {
        resource_type: ResourceType::User,
        ..caller.entry(wanted, Purpose::default_of(actor.role))
    };
    write_refusal(&mut tx, about, ("ROLE", wanted)).await?;
    tx.commit().await?;
    Ok(Error::Forbidden(needed))
}

/// Writes down that something was refused, for which reason, and answers with the error. `about` is the entry of what was
/// wanted, had it been done.
///
/// # Errors
/// The error; the database's, where the refusal could not be written.
pub(crate) async fn refuse<T>(
    mut tx: Tx<'_>,
    about: AuditEntry,
    refusal: (&str, AuditAction),
    error: Error,
) -> Result<T, Error> {
    write_refusal(&mut tx, about, refusal).await?;
    tx.commit().await?;
    Err(error)
}

/// Writes down that what was asked for by its id is not there or not the caller's, and answers so. The row does not say which of
/// both, and names nobody whose it is but the patient for whom the caller acts. `about` is the entry of what was wanted.
///
/// # Errors
/// [`Error::NotFound`]; the database's, where the refusal could not be written.
pub(crate) async fn refuse_unknown<T>(
    tx: Tx<'_>,
    about: AuditEntry,
    what: &'static str,
) -> Result<T, Error> {
    let wanted = about.action;
    let about = AuditEntry {
        patient: about.on_behalf_of,
        consent: None,
        encryption: EncryptionStatus::NotApplicable,
        ..about
    };
    refuse(tx, about, ("UNKNOWN", wanted), Error::NotFound(what)).await
}

/// The row of [`refuse`], where more is written in the same transaction.
///
/// # Errors
/// The database's.
pub(crate) async fn write_refusal(
    tx: &mut Tx<'_>,
    about: AuditEntry,
    (reason, wanted): (&str, AuditAction),
) -> Result<(), StoreError> {
    let denied = AuditEntry {
        action: AuditAction::AccessDenied,
        old_value: None,
        new_value: Some(json!({ "reason": reason, "wanted": wanted })),
        ..about
    };
    audit::insert(tx, &[denied]).await
}

/// The row that says that what was asked for by its id was not shown: it is not there, or not the caller's to see. `about` is
/// the entry of what was wanted, had it been done.
pub(crate) fn denial(about: AuditEntry, asked: Uuid) -> AuditEntry {
    AuditEntry {
        action: AuditAction::AccessDenied,
        resource_id: about.origin.request.0,
        old_value: None,
        new_value: Some(json!({ "reason": "UNKNOWN", "wanted": about.action, "asked": asked })),
        encryption: EncryptionStatus::NotApplicable,
        ..about
    }
}

/// The rows that say what became of asking for things by their ids: `read` for all that were found, where any were, and a
/// denial for each that was not.
pub(crate) fn lookup(read: &AuditEntry, asked: &[Uuid], found: &[Uuid]) -> Vec<AuditEntry> {
    let shown = (!found.is_empty()).then(|| read.clone());
    let unknown = asked.iter().filter(|id| !found.contains(id));
    let denied = unknown.map(|id| denial(read.clone(), *id));
    shown.into_iter().chain(denied).collect()
}

/// Lets go on who acts for themselves, and who may do this for the patient for whom they act: gives the transaction back.
/// A patient who is not represented by the caller does not exist for them.
///
/// # Errors
/// [`Error::NotFound`], with its audit row; the database's, where that could not be written.
pub(crate) async fn require_mandate<'a>(
    mut tx: Tx<'a>,
    caller: &Caller,
    actor: Actor,
    activity: RepresentedActivity,
    wanted: AuditAction,
) -> Result<Tx<'a>, Error> {
    if caller.on_behalf_of.is_none() || actor.represents(activity).is_some() {
        return Ok(tx);
    }
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        resource_id: caller.subject().0,
        new_value: Some(
            json!({ "reason": DenyReason::NotRepresentative.as_str(), "wanted": wanted }),
        ),
        classification: Classification::SensitivePersonal,
        patient: caller.on_behalf_of,
        ..caller.entry(AuditAction::AccessDenied, Purpose::PatientRequest)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Err(Error::NotFound("patient"))
}

/// The same before anybody's rows are locked exclusively: who may change nothing must keep nobody waiting. Costs nothing
/// where nobody is represented.
///
/// # Errors
/// As of [`require_mandate`]; [`Error::Unauthenticated`].
pub(crate) async fn require_mandate_first(
    pool: &Pool,
    caller: &Caller,
    activity: RepresentedActivity,
    wanted: AuditAction,
) -> Result<(), Error> {
    if caller.on_behalf_of.is_none() {
        return Ok(());
    }
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    require_mandate(tx, caller, actor, activity, wanted)
        .await
        .map(drop)
}

/// Refuses whoever is no administrator, before anybody else's rows are locked for them: who may change nothing
/// must keep nobody waiting.
///
/// # Errors
/// [`Error::Forbidden`], with its audit row; [`Error::Unauthenticated`].
pub(crate) async fn require_administrator(
    pool: &Pool,
    caller: &Caller,
    wanted: AuditAction,
) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    barrier::lock_shared(&mut tx, [caller.user]).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role == Role::Admin {
        return Ok(());
    }
    Err(refuse_role(tx, caller, actor, Role::Admin, wanted).await?)
}

/// Writes down that somebody was kept out for want of a second factor.
///
/// # Errors
/// The database's.
pub(crate) async fn audit_second_factor_refusal(
    mut tx: Tx<'_>,
    context: &RequestContext,
) -> Result<(), Error> {
    let caller = context.caller()?;
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        resource_id: caller.user.0,
        new_value: Some(json!({ "reason": "SECOND_FACTOR" })),
        ..caller.entry(AuditAction::AccessDenied, Purpose::SystemAdministration)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await.map_err(Error::from)
}

/// An audit entry of nobody in particular, for what happens before a log-in.
pub(crate) fn anonymous_entry(action: AuditAction, context: &RequestContext) -> AuditEntry {
    AuditEntry::new(
        ANONYMOUS,
        action,
        Purpose::SystemAdministration,
        &context.origin,
    )
}
