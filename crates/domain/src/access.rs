//! The one policy: may this caller do this to this patient's data, for this purpose, now?
//!
//! [`decide`] is evaluated in the transaction that reads the row and writes the audit row, never
//! cached across requests, so a withdrawal binds the next request. Lists apply the same rule in SQL
//! (`store::records`), and a test holds the two against each other.

pub mod overview;

use chrono::{DateTime, Utc};

use crate::{
    break_glass::BreakGlassWindow,
    consents::{Activity, Category, Consent, Grantee},
    countries::Country,
    ids::{ConsentId, RepresentationId, UserId},
    organizations::{CurrentMemberships, OrganizationReach},
    purpose::Purpose,
    records::{Availability, RecordType},
    representatives::{Mandate, RepresentedActivity},
    text::text_enum,
    users::Role,
};

/// Who asks, as the database knows them at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Actor {
    /// Who.
    pub id: UserId,
    /// What they are.
    pub role: Role,
    /// Whether the account is active and the session valid.
    pub is_active: bool,
    /// The organisations that they belong to at this moment.
    pub memberships: CurrentMemberships,
    /// Whether this log-in showed a second factor.
    pub second_factor: bool,
    /// The patient for whom they act, and in what they may; `None` where they act for themselves.
    pub acts_for: Option<Mandate>,
}

impl Actor {
    /// What they act for who do not say: their own request for what is theirs, else what their role is
    /// there for.
    pub fn default_purpose(&self, patient: Option<UserId>) -> Purpose {
        if patient == Some(self.id) || self.acts_for.is_some() {
            Purpose::PatientRequest
        } else {
            Purpose::default_of(self.role)
        }
    }

    /// Whose data a request is about that names nobody's: that of the patient for whom they act, or their own.
    pub fn subject(&self) -> UserId {
        self.acts_for.map_or(self.id, |mandate| mandate.patient())
    }

    /// The representation by which they may do this for the patient for whom they act. Administrators never touch
    /// content, and so represent nobody.
    pub fn represents(&self, activity: RepresentedActivity) -> Option<RepresentationId> {
        let mandate = self.acts_for?;
        let is_meant = self.is_active && self.role != Role::Admin;
        mandate.by(activity).filter(|_| is_meant)
    }
}

/// A window of emergency access that the caller may have opened.
#[derive(Debug, Clone, Copy)]
pub struct Emergency<'a> {
    /// The window, whoever opened it on whose records, whether it is open or not.
    pub window: &'a BreakGlassWindow,
    /// Whether the operator asks for a second factor.
    pub second_factor_required: bool,
}

text_enum! {
    /// What is to be done with content.
    Action {
        /// Open a record.
        Read = "READ",
        /// Find records.
        Search = "SEARCH",
        /// Write a record.
        Create = "CREATE",
        /// Write a new version.
        Amend = "AMEND",
        /// Take a copy out.
        Export = "EXPORT",
    }
}

impl Action {
    /// The activity a consent must list to allow this.
    pub const fn activity(self) -> Activity {
        match self {
            Self::Read => Activity::Read,
            Self::Search => Activity::Search,
            Self::Create => Activity::Create,
            Self::Amend => Activity::Amend,
            Self::Export => Activity::Export,
        }
    }

    /// The activity in which a representative must be let to do this for a patient; `None` for what nobody does for
    /// another.
    pub const fn represented(self) -> Option<RepresentedActivity> {
        match self {
            Self::Read | Self::Search => Some(RepresentedActivity::ReadRecords),
            Self::Create => Some(RepresentedActivity::CreateRecords),
            Self::Export => Some(RepresentedActivity::ExportRecords),
            Self::Amend => None,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// Who asks.
    pub actor: Actor,
    /// Whose data.
    pub patient: UserId,
    /// What is to be done.
    pub action: Action,
    /// Why.
    pub purpose: Purpose,
    /// What kind of record.
    pub record_type: RecordType,
    /// Whether the record may still be had.
    pub availability: Availability,
    /// Where data would go, ISO 3166-1 alpha-2, if not to the home country.
    pub destination: Option<&'a str>,
    /// The window of emergency access by which the caller asks, if there is one.
    pub emergency: Option<Emergency<'a>>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// Why something is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitReason {
    /// It is the caller's own data.
    Own,
    /// The caller acts for the patient, by this representation.
    Representative(RepresentationId),
    /// This consent allows it.
    Consent(ConsentId),
    /// An emergency: the patient is told and the access reviewed.
    Emergency,
}

/// Why something is refused. A caller never learns which: refused and absent look the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyReason {
    /// The account is deactivated or the session revoked.
    Actor,
    /// The purpose is not one of the caller's role.
    Purpose,
    /// Administrators never touch content.
    AdminContent,
    /// The record was erased.
    Gone,
    /// The record is in the grace time of a deletion.
    Restricted,
    /// This refusal of the patient forbids it.
    ConsentDeny(ConsentId),
    /// The caller acts for somebody, and may not do this for them.
    NotRepresentative,
    /// Only an emergency would allow it, and only after a second factor.
    SecondFactor,
    /// No consent allows it.
    NoConsent,
}

impl DenyReason {
    /// The text an audit row holds.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "ACTOR",
            Self::Purpose => "PURPOSE",
            Self::AdminContent => "ADMIN_CONTENT",
            Self::Gone => "GONE",
            Self::Restricted => "RESTRICTED",
            Self::ConsentDeny(_) => "CONSENT_DENY",
            Self::NotRepresentative => "NOT_REPRESENTATIVE",
            Self::SecondFactor => "SECOND_FACTOR",
            Self::NoConsent => "NO_CONSENT",
        }
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes, on this ground.
    Permit(PermitReason),
    /// No, for this reason.
    Deny(DenyReason),
}

impl Decision {
    /// Whether the answer is yes.
    pub const fn is_permit(self) -> bool {
        matches!(self, Self::Permit(_))
    }

    /// The consent that decided, for or against.
    pub const fn consent(self) -> Option<ConsentId> {
        match self {
            Self::Permit(PermitReason::Consent(id)) | Self::Deny(DenyReason::ConsentDeny(id)) => {
                Some(id)
            }
            Self::Permit(
                PermitReason::Own | PermitReason::Representative(_) | PermitReason::Emergency,
            )
            | Self::Deny(_) => None,
        }
    }

    /// The representation that decided, where the caller acts for the patient.
    pub const fn representation(self) -> Option<RepresentationId> {
        match self {
            Self::Permit(PermitReason::Representative(id)) => Some(id),
            Self::Permit(
                PermitReason::Own | PermitReason::Consent(_) | PermitReason::Emergency,
            )
            | Self::Deny(_) => None,
        }
    }
}

/// Decides. `consents` are the patient's rows, in any order; those of others are ignored.
pub fn decide(request: &AccessRequest<'_>, consents: &[Consent]) -> Decision {
    let AccessRequest {
        actor,
        patient,
        action,
        purpose,
        ..
    } = *request;
    if actor.is_active && actor.acts_for.is_some() {
        return decide_for_represented(request);
    }
    let own = actor.id == patient;
    let own_request = own && purpose == Purpose::PatientRequest;

    if !actor.is_active {
        return Decision::Deny(DenyReason::Actor);
    }
    if !purpose.is_open_to(actor.role) && !own_request {
        return Decision::Deny(DenyReason::Purpose);
    }
    if request.availability == Availability::Erased {
        return Decision::Deny(DenyReason::Gone);
    }
    if own_request
        && matches!(
            action,
            Action::Read | Action::Search | Action::Export | Action::Create
        )
    {
        return Decision::Permit(PermitReason::Own);
    }
    if actor.role == Role::Admin {
        return Decision::Deny(DenyReason::AdminContent);
    }
    if request.availability == Availability::Restricted {
        return Decision::Deny(DenyReason::Restricted);
    }

    let applicable = || consents.iter().filter(|consent| applies(consent, request));
    if let Some(denial) = applicable().filter(|c| c.is_denial()).min_by_key(|c| c.id) {
        return Decision::Deny(DenyReason::ConsentDeny(denial.id));
    }
    if let Some(best) = applicable().min_by_key(|consent| rank(consent, request)) {
        return Decision::Permit(PermitReason::Consent(best.id));
    }
    match request.emergency.filter(|it| is_emergency(request, it)) {
        Some(emergency) if emergency.second_factor_required && !actor.second_factor => {
            Decision::Deny(DenyReason::SecondFactor)
        }
        Some(_) => Decision::Permit(PermitReason::Emergency),
        None => Decision::Deny(DenyReason::NoConsent),
    }
}

/// Decides for somebody who acts for a patient: by their representation alone, as the patient's own request would be
/// decided. No consent opens or refuses anything, as none binds the patient, and nothing is had by the role besides.
fn decide_for_represented(request: &AccessRequest<'_>) -> Decision {
    let AccessRequest {
        actor,
        patient,
        action,
        purpose,
        ..
    } = *request;
    if purpose != Purpose::PatientRequest {
        return Decision::Deny(DenyReason::Purpose);
    }
    if request.availability == Availability::Erased {
        return Decision::Deny(DenyReason::Gone);
    }
    if actor.role == Role::Admin {
        return Decision::Deny(DenyReason::AdminContent);
    }
    let by = action.represented().and_then(|it| actor.represents(it));
    match by.filter(|_| actor.subject() == patient) {
        Some(by) => Decision::Permit(PermitReason::Representative(by)),
        None => Decision::Deny(DenyReason::NotRepresentative),
    }
}

/// The types of record of a patient on which an actor may do this for a purpose now: what [`decide`]
/// permits. Restricted records are left to the caller: only a patient's own request finds them.
pub fn permitted_types(
    action: Action,
    actor: Actor,
    patient: UserId,
    purpose: Purpose,
    emergency: Option<Emergency<'_>>,
    consents: &[Consent],
    now: DateTime<Utc>,
) -> Vec<RecordType> {
    types_where(
        action,
        &actor,
        patient,
        purpose,
        consents,
        (now, None, emergency),
    )
}

/// The same where data would go to another country, which no emergency allows.
pub fn permitted_types_abroad(
    action: Action,
    actor: Actor,
    patient: UserId,
    purpose: Purpose,
    consents: &[Consent],
    (now, destination): (DateTime<Utc>, Option<&str>),
) -> Vec<RecordType> {
    let when = (now, destination, None);
    types_where(action, &actor, patient, purpose, consents, when)
}

fn types_where(
    action: Action,
    actor: &Actor,
    patient: UserId,
    purpose: Purpose,
    consents: &[Consent],
    (now, destination, emergency): (DateTime<Utc>, Option<&str>, Option<Emergency<'_>>),
) -> Vec<RecordType> {
    let is_permitted = |record_type: &RecordType| {
        let request = AccessRequest {
            actor: *actor,
            patient,
            action,
            purpose,
            record_type: *record_type,
            availability: Availability::Open,
            destination,
            emergency,
            now,
        };
        decide(&request, consents).is_permit()
    };
    RecordType::ALL
        .iter()
        .copied()
        .filter(is_permitted)
        .collect()
}

/// Decides whether a version of this author may be followed by another. Patients amend and withdraw
/// what they wrote themselves; what somebody else wrote about them, they do not: a consent to AMEND
/// lets others do either.
pub fn decide_amendment(
    request: &AccessRequest<'_>,
    author: Option<UserId>,
    consents: &[Consent],
) -> Decision {
    let AccessRequest {
        actor,
        patient,
        purpose,
        availability,
        ..
    } = *request;
    let own_work = actor.id == patient && author == Some(actor.id) && actor.acts_for.is_none();
    let own_request = purpose == Purpose::PatientRequest && actor.is_active;
    if own_work && own_request && availability == Availability::Open {
        return Decision::Permit(PermitReason::Own);
    }
    decide(request, consents)
}

/// Decides whether somebody may send a file that a version of this author has promised. Whoever wrote the promise, or the
/// patient in whose name somebody did, completes it while they may still write such records; everybody else has to be let amend it.
pub fn decide_file(
    request: &AccessRequest<'_>,
    author: Option<UserId>,
    consents: &[Consent],
) -> Decision {
    let creation = AccessRequest {
        action: Action::Create,
        ..*request
    };
    if author == Some(request.actor.subject()) {
        let decision = decide(&creation, consents);
        if decision.is_permit() {
            return decision;
        }
    }
    decide_amendment(request, author, consents)
}

fn applies(consent: &Consent, request: &AccessRequest<'_>) -> bool {
    consent.patient == request.patient
        && consent.is_active(request.now)
        && request.purpose.covering().contains(&consent.purpose)
        && consent.categories.iter().any(|category| match category {
            Category::All => true,
            Category::Only(record_type) => *record_type == request.record_type,
        })
        && if consent.is_denial() {
            refuses(consent, &request.actor)
        } else {
            consent.activities.contains(&request.action.activity())
                && closest_admitted(consent, &request.actor).is_some()
                && request
                    .destination
                    .is_none_or(|country| allows_transfer(consent, country))
        }
}

fn allows_transfer(consent: &Consent, destination: &str) -> bool {
    consent.activities.contains(&Activity::Transfer)
        && consent.grantees.iter().any(|grantee| match grantee {
            Grantee::Org { country, .. } => country == destination,
            Grantee::User { .. } | Grantee::Role { .. } => false,
        })
}

/// How closely a consent names the actor: 0 in person, 1 through an organisation, 2 by role.
fn closest_grantee(consent: &Consent, actor: &Actor) -> Option<u8> {
    let closeness = |grantee: &Grantee| closeness(grantee, actor);
    consent.grantees.iter().filter_map(closeness).min()
}

fn closeness(grantee: &Grantee, actor: &Actor) -> Option<u8> {
    match grantee {
        Grantee::User { id } => (*id == actor.id).then_some(0),
        Grantee::Org { id, .. } => actor.memberships.may_include(*id).then_some(1),
        Grantee::Role { role } => (*role == actor.role).then_some(2),
    }
}

/// Whether a refusal is about the actor: it names nobody, and so everybody, or the actor.
fn refuses(refusal: &Consent, actor: &Actor) -> bool {
    let mut grantees = refusal.grantees.iter();
    refusal.grantees.is_empty() || grantees.any(|grantee| keeps_out(refusal, grantee, actor))
}

/// Whether a refusal to this grantee keeps the actor out: also who left the organisation after it was given.
fn keeps_out(refusal: &Consent, grantee: &Grantee, actor: &Actor) -> bool {
    let has_left = match grantee {
        Grantee::Org { id, .. } => actor.memberships.left_since(*id, refusal.given_at),
        Grantee::User { .. } | Grantee::Role { .. } => false,
    };
    has_left || closeness(grantee, actor).is_some()
}

/// The same of those grantees as whom a consent that is no refusal lets the actor in.
fn closest_admitted(consent: &Consent, actor: &Actor) -> Option<u8> {
    let grantees = consent.grantees.iter();
    let admitted = grantees.filter(|grantee| admits(consent, grantee, actor));
    admitted
        .filter_map(|grantee| closeness(grantee, actor))
        .min()
}

/// Whether a consent lets the actor in as this grantee. As a member of an organisation: where that is active and in the
/// country that the patient was told, and, if data may be sent to that country at all, the consent allows to.
fn admits(consent: &Consent, grantee: &Grantee, actor: &Actor) -> bool {
    match grantee {
        Grantee::Org { id, country } => match actor.memberships.reach(*id, country) {
            Some(OrganizationReach::Home) => true,
            Some(OrganizationReach::Abroad) => consent.activities.contains(&Activity::Transfer),
            Some(OrganizationReach::Closed) | None => false,
        },
        Grantee::User { .. } | Grantee::Role { .. } => closeness(grantee, actor).is_some(),
    }
}

/// The country that data goes to because the actor is let in as a member of an organisation there; `None` where it stays
/// at home.
pub fn country_reached(decision: Decision, actor: Actor, consents: &[Consent]) -> Option<Country> {
    let Decision::Permit(PermitReason::Consent(id)) = decision else {
        return None;
    };
    let consent = consents.iter().find(|consent| consent.id == id)?;
    let closest = closest_admitted(consent, &actor)?;
    let as_whom = consent.grantees.iter().filter(|grantee| {
        admits(consent, grantee, &actor) && closeness(grantee, &actor) == Some(closest)
    });
    let mut countries = Vec::new();
    for grantee in as_whom {
        let Grantee::Org { id, country } = grantee else {
            return None;
        };
        match actor.memberships.reach(*id, country) {
            Some(OrganizationReach::Abroad) => countries.push(country.parse().ok()?),
            Some(OrganizationReach::Home | OrganizationReach::Closed) | None => return None,
        }
    }
    countries.into_iter().min()
}

/// The consent that is named where several allow: the most specific, then the first to expire.
fn rank(consent: &Consent, request: &AccessRequest<'_>) -> impl Ord + use<> {
    let named = consent
        .categories
        .contains(&Category::Only(request.record_type));
    let exact = consent.purpose == request.purpose;
    let expiry = consent.expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
    (
        closest_admitted(consent, &request.actor),
        !named,
        !exact,
        expiry,
        consent.id,
    )
}

fn is_emergency(request: &AccessRequest<'_>, emergency: &Emergency<'_>) -> bool {
    request.actor.role == Role::Doctor
        && request.purpose.is_emergency()
        && matches!(request.action, Action::Read | Action::Search)
        // Data that leaves the country takes a consent that says so.
        && request.destination.is_none()
        && emergency.window.doctor == request.actor.id
        && emergency.window.patient == request.patient
        && emergency.window.purpose == request.purpose
        && emergency.window.is_open(request.now)
}

#[cfg(test)]
mod tests;
