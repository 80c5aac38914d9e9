//! What consents come to: who may do what with which records until when, as [`decide`] says and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    AccessRequest, Action, Actor, Decision, PermitReason, closeness, closest_grantee, decide,
    keeps_out, refuses,
};
use crate::{
    consents::{Consent, Grantee},
    ids::{ConsentId, OrganizationId, UserId},
    organizations::{CurrentMembership, CurrentMemberships},
    purpose::Purpose,
    records::{Availability, RecordType},
    users::Role,
};

/// Somebody whom consents name.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are as many as consents name, one at a time"
)]
pub enum AccessSubject {
    /// A person, as the database knows them.
    Person(Actor),
    /// Anybody of a role.
    Anybody(Role),
    /// A doctor who belongs to this organisation alone.
    Member(CurrentMembership),
}

impl AccessSubject {
    /// Who asks, where this subject does: of a role or an organisation somebody whom no consent names in person.
    fn actor(self) -> Actor {
        let somebody = |role, membership: Option<CurrentMembership>| Actor {
            id: UserId(Uuid::max()),
            role,
            is_active: true,
            memberships: CurrentMemberships::of(membership),
            second_factor: true,
            acts_for: None,
        };
        match self {
            Self::Person(actor) => actor,
            Self::Anybody(role) => somebody(role, None),
            Self::Member(membership) => somebody(Role::Doctor, Some(membership)),
        }
    }
}

/// Whom these consents name: each once, in a fixed order.
pub fn named_by<'a>(consents: impl IntoIterator<Item = &'a Consent>) -> BTreeSet<Grantee> {
    let consents = consents.into_iter();
    consents
        .flat_map(|it| it.grantees.iter().cloned())
        .collect()
}

/// The people whom these consents refuse by name.
pub fn refused_by(consents: &[Consent]) -> BTreeSet<UserId> {
    let refusals = consents.iter().filter(|consent| consent.is_denial());
    let named = refusals.flat_map(|consent| &consent.grantees);
    named
        .filter_map(|grantee| match grantee {
            Grantee::User { id } => Some(*id),
            Grantee::Role { .. } | Grantee::Org { .. } => None,
        })
        .collect()
}

/// The organisations whose members these consents refuse.
pub fn organizations_refused_by(consents: &[Consent]) -> BTreeSet<OrganizationId> {
    let refusals = consents.iter().filter(|consent| consent.is_denial());
    let named = refusals.flat_map(|consent| &consent.grantees);
    named
        .filter_map(|grantee| match grantee {
            Grantee::Org { id, .. } => Some(*id),
            Grantee::User { .. } | Grantee::Role { .. } => None,
        })
        .collect()
}

/// What is permitted: to do this with records of this type for this purpose.
pub type Cell = (Purpose, Action, RecordType);

/// By which consent it is permitted now, and until when it is, if nothing changes before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ground {
    /// The consent that decides.
    pub consent: ConsentId,
    /// When the last of the consents ends that permit it one after the other, or the membership by which they do; exclusive.
    pub until: Option<DateTime<Utc>>,
}

/// What a subject is permitted.
pub type Permissions = BTreeMap<Cell, Ground>;

/// Everything that a subject may do with a patient's records now, for the purposes that consents about the
/// subject name, and for those to which a consent to one of them extends: what [`decide`] permits, cell by cell. What they
/// may do with their own is left out.
pub fn permissions(
    subject: AccessSubject,
    patient: UserId,
    consents: &[Consent],
    now: DateTime<Utc>,
) -> Permissions {
    let near = about(&subject.actor(), consents);
    let named: BTreeSet<Purpose> = near.iter().map(|consent| consent.purpose).collect();
    let is_meant = |purpose: &Purpose| purpose.covering().iter().any(|it| named.contains(it));
    let purposes = Purpose::ALL.iter().copied().filter(is_meant);
    let of = |purpose| permissions_for(purpose, subject, patient, &near, now);
    purposes.flat_map(of).collect()
}

/// The same for one purpose, whether a consent names it or one that covers it.
pub fn permissions_for(
    purpose: Purpose,
    subject: AccessSubject,
    patient: UserId,
    consents: &[Consent],
    now: DateTime<Utc>,
) -> Permissions {
    let actor = subject.actor();
    let mut permitted = Permissions::new();
    if actor.id == patient {
        return permitted;
    }
    for action in Action::ALL {
        for record_type in RecordType::ALL {
            let request = AccessRequest {
                actor,
                patient,
                action: *action,
                purpose,
                record_type: *record_type,
                availability: Availability::Open,
                destination: None,
                // Consents alone are told of: a window of emergency access is told by itself.
                emergency: None,
                now,
            };
            if let Some(ground) = ground(&request, consents) {
                permitted.insert((purpose, *action, *record_type), ground);
            }
        }
    }
    permitted
}

/// Whether a consent can change what a subject may do: it names them, or an organisation that they
/// left after it refused that, or refuses everybody.
pub fn concerns(consent: &Consent, subject: AccessSubject) -> bool {
    let actor = subject.actor();
    closest_grantee(consent, &actor).is_some() || (consent.is_denial() && refuses(consent, &actor))
}

/// The consents that can concern an actor, without the other grantees: those decide alike, and are compared sooner.
fn about(actor: &Actor, consents: &[Consent]) -> Vec<Consent> {
    let near = consents
        .iter()
        .filter(|consent| concerns(consent, AccessSubject::Person(*actor)));
    near.map(|consent| {
        let names = |grantee: &&Grantee| {
            closeness(grantee, actor).is_some()
                || (consent.is_denial() && keeps_out(consent, grantee, actor))
        };
        Consent {
            grantees: consent.grantees.iter().filter(names).cloned().collect(),
            categories: consent.categories.clone(),
            activities: consent.activities.clone(),
            ..*consent
        }
    })
    .collect()
}

fn ground(request: &AccessRequest<'_>, consents: &[Consent]) -> Option<Ground> {
    let permitted_at = |now| {
        let actor = Actor {
            memberships: request.actor.memberships.at(now),
            ..request.actor
        };
        let request = AccessRequest {
            actor,
            now,
            ..*request
        };
        match decide(&request, consents) {
            Decision::Permit(PermitReason::Consent(id)) => {
                consents.iter().find(|consent| consent.id == id)
            }
            Decision::Permit(
                PermitReason::Own | PermitReason::Representative(_) | PermitReason::Emergency,
            )
            | Decision::Deny(_) => None,
        }
    };
    let first = permitted_at(request.now)?;
    // Nothing begins later than now, so that the decision changes only where the consent ends that permits, or a membership.
    let change_after = |consent: &Consent, now: DateTime<Utc>| {
        let left = request.actor.memberships.next_end(now);
        consent.expires_at.into_iter().chain(left).min()
    };
    let mut until = change_after(first, request.now);
    while let Some((now, next)) = until.and_then(|now| Some((now, permitted_at(now)?))) {
        until = change_after(next, now);
    }
    Some(Ground {
        consent: first.id,
        until,
    })
}

/// Permissions that have everything but the activity in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// What for, and for whatever purposes it covers.
    pub purpose: Purpose,
    /// With which records.
    pub record_types: Vec<RecordType>,
    /// What may be done.
    pub actions: Vec<Action>,
    /// By which consent.
    pub consent: ConsentId,
    /// Until when; exclusive.
    pub until: Option<DateTime<Utc>>,
}

/// Permissions in as few words as say all of them.
pub fn in_short(permitted: &Permissions) -> Vec<Access> {
    let mut types = BTreeMap::<_, Vec<RecordType>>::new();
    for ((purpose, action, record_type), ground) in permitted {
        let key = (*purpose, ground.consent, ground.until, *action);
        types.entry(key).or_default().push(*record_type);
    }
    let mut actions = BTreeMap::<_, Vec<Action>>::new();
    for ((purpose, consent, until, action), types) in types {
        let key = (purpose, types, consent, until);
        actions.entry(key).or_default().push(action);
    }
    let words = actions.into_iter();
    words
        .map(
            |((purpose, record_types, consent, until), actions)| Access {
                purpose,
                record_types,
                actions,
                consent,
                until,
            },
        )
        .collect()
}

/// What is permitted by the one and not by the other.
pub fn beyond(some: &Permissions, other: &Permissions) -> Permissions {
    let more = some.iter().filter(|(cell, _)| !other.contains_key(cell));
    more.map(|(cell, ground)| (*cell, *ground)).collect()
}
