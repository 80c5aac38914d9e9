//! Who may do what with one's records: as the policy decides it now, and as it would decide after a change. Both are
//! asked of `domain::access`, as every disclosure is.

pub(crate) mod graphql;
mod people;
pub(super) mod preview;

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::{
    access::{
        Action, Actor, Emergency,
        overview::{
            Access, AccessSubject, Permissions, beyond, in_short, named_by,
            organizations_refused_by, permissions, refused_by,
        },
        permitted_types,
    },
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    break_glass::BreakGlassWindow,
    consents::{Consent, Grantee},
    ids::{OrganizationId, RepresentationId, UserId},
    organizations::CurrentMembership,
    purpose::Purpose,
    records::RecordType,
    representatives::{Representation, RepresentedActivities, RepresentedActivity},
    users::Role,
};
use serde_json::{Value, json};
use store::{
    Pool, Tx, audit, memberships, organizations,
    records::{self, Number},
    users,
};
use uuid::Uuid;

use crate::{
    caller::{Caller, require_mandate},
    error::Error,
    seals::Seals,
};

/// How many of those whom consents name are looked at for one page.
const MOST_LOOKED_AT: usize = 1000;
/// How many people are named whom something that a role or an organisation may do does not hold for.
const MOST_EXCEPTIONS: usize = 100;
/// How many of those whom consents refuse as members of organisations are asked about.
const MOST_REFUSED_MEMBERS: i64 = 200;

/// Somebody whom consents let in, and what they may do.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    /// The person, the role or the organisation.
    pub(crate) grantee: Grantee,
    /// How many people that is now; 0 until they are counted ([`people::count`]).
    pub(crate) people: i64,
    /// What they may do.
    pub(crate) accesses: Vec<HeldAccess>,
    /// Until when a person has emergency access; `None` where they have none.
    pub(crate) emergency_until: Option<DateTime<Utc>>,
    /// In what a person acts for the patient, and until when.
    pub(crate) represents: Option<Represents>,
}

/// In what somebody acts for a patient, and until when the last of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Represents {
    /// What they may do.
    pub(crate) activities: RepresentedActivities,
    /// Exclusive.
    pub(crate) until: DateTime<Utc>,
}

/// Something that somebody may do.
#[derive(Debug, Clone)]
pub(crate) struct HeldAccess {
    /// What.
    pub(crate) access: Access,
    /// With how many records there are now.
    pub(crate) records: i64,
    /// Of a role or an organisation: people whom consents refuse some of it.
    pub(crate) exceptions: Vec<UserId>,
}

/// A page of those who have access.
#[derive(Debug)]
pub(crate) struct HolderPage {
    /// Who.
    pub(crate) items: Vec<Holder>,
    /// Whether there may be more.
    pub(crate) has_next: bool,
    /// The last that was looked at.
    pub(crate) end: Option<Uuid>,
    /// The caller's consents in force.
    pub(crate) consents: Vec<Consent>,
}

/// The order of those whom consents name: roles, then people and organisations by id.
pub(crate) fn key_of(grantee: &Grantee) -> Uuid {
    match grantee {
        Grantee::Role { role } => Uuid::from_u128(match role {
            Role::Patient => 1,
            Role::Doctor => 2,
            Role::Admin => 3,
        }),
        Grantee::User { id } => id.0,
        Grantee::Org { id, .. } => id.0,
    }
}

/// Who may do what with the caller's records now, or with those of the patient for whom they act.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] where they may not act for the patient.
pub(crate) async fn who_has_access(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    after: Option<Uuid>,
    size: i64,
) -> Result<HolderPage, Error> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let activity = RepresentedActivity::ReadConsents;
    let mut tx = require_mandate(tx, caller, actor, activity, AuditAction::ConsentRead).await?;
    let patient = actor.subject();
    let now = users::now(&mut tx).await?;
    let (mut consents, _) = seals.in_force(&mut tx, &[patient], now).await?;
    consents.retain(|consent| consent.is_active(now));
    let permits = consents.iter().filter(|consent| !consent.is_denial());
    let mut named: Vec<Grantee> = named_by(permits).into_iter().collect();
    let windows = seals.open_windows_on(&mut tx, patient, now).await?;
    let mut representations = seals.representations_of(&mut tx, patient, now).await?;
    representations.retain(|made| made.is_in_force(now));
    let doctors = windows.iter().map(|window| window.doctor);
    let people = doctors.chain(representations.iter().map(|made| made.representative));
    named.extend(people.map(|id| Grantee::User { id }));
    named.retain(|grantee| after.is_none_or(|after| key_of(grantee) > after));
    named.sort_by_key(key_of);
    named.dedup_by_key(|grantee| key_of(grantee));
    let mut has_next = named.len() > MOST_LOOKED_AT;
    named.truncate(MOST_LOOKED_AT);
    let overview = Overview::of(seals, &mut tx, (patient, now), &named, &consents).await?;
    let (mut holders, mut end) = (Vec::new(), None);
    for grantee in named {
        let permitted = overview.permissions(&grantee, &consents);
        let emergency_until = overview.emergency(&grantee, &windows, &consents);
        let represents = overview.represents(&grantee, &representations);
        if !permitted.is_empty() || emergency_until.is_some() || represents.is_some() {
            if holders.len() == size {
                has_next = true;
                break;
            }
            holders.push(Holder {
                emergency_until,
                represents,
                ..overview.holder(&grantee, &permitted, &consents)
            });
        }
        end = Some(key_of(&grantee));
    }
    people::count(&mut tx, (patient, now), &mut holders).await?;
    let words = json!({ "access": "NOW", "count": holders.len() });
    let by = actor.represents(activity);
    audit::insert(&mut tx, &[entry(caller, by, words)]).await?;
    tx.commit().await?;
    Ok(HolderPage {
        items: holders,
        has_next,
        end,
        consents,
    })
}

/// The row of a look at one's own consents, or, by this representation, at those of the patient for whom they act.
fn entry(caller: &Caller, by: Option<RepresentationId>, words: Value) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Consent,
        new_value: Some(words),
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(caller.subject()),
        representation: by,
        ..caller.entry(AuditAction::ConsentRead, Purpose::PatientRequest)
    }
}

/// What is asked about a patient's consents.
struct Overview {
    patient: UserId,
    now: DateTime<Utc>,
    people: HashMap<UserId, Actor>,
    organizations: HashMap<OrganizationId, CurrentMembership>,
    /// Those whom consents refuse by name, or as members of an organisation.
    refused: Vec<UserId>,
    numbers: HashMap<RecordType, i64>,
}

impl Overview {
    /// As many statements, whoever is named.
    async fn of(
        seals: &Seals,
        tx: &mut Tx<'_>,
        (patient, now): (UserId, DateTime<Utc>),
        named: &[Grantee],
        consents: &[Consent],
    ) -> Result<Self, Error> {
        let mut refused = refused_by(consents);
        let kept_out: Vec<OrganizationId> =
            organizations_refused_by(consents).into_iter().collect();
        if !kept_out.is_empty() {
            refused.extend(memberships::ever_of(tx, &kept_out, MOST_REFUSED_MEMBERS).await?);
        }
        let refused: Vec<UserId> = refused.into_iter().collect();
        let in_person = named.iter().filter_map(|grantee| match grantee {
            Grantee::User { id } => Some(*id),
            Grantee::Role { .. } | Grantee::Org { .. } => None,
        });
        let people: BTreeSet<UserId> = in_person.chain(refused.iter().copied()).collect();
        let people: Vec<UserId> = people.into_iter().collect();
        let people = seals.people(tx, &people).await?;
        let organizations = organizations_of(seals, tx, named).await?;
        let numbers = records::numbers(tx, &[patient]).await?;
        let number = |number: Number| (number.record_type, number.records);
        Ok(Self {
            patient,
            now,
            people,
            organizations,
            refused,
            numbers: numbers.into_iter().map(number).collect(),
        })
    }

    /// Whom a grantee stands for; nobody where the account or the organisation is gone or not as it was sealed.
    fn subject(&self, grantee: &Grantee) -> Option<AccessSubject> {
        match grantee {
            Grantee::User { id } => self.people.get(id).copied().map(AccessSubject::Person),
            Grantee::Role { role } => Some(AccessSubject::Anybody(*role)),
            Grantee::Org { id, .. } => {
                let organization = self.organizations.get(id).copied();
                organization.map(AccessSubject::Member)
            }
        }
    }

    fn permissions(&self, grantee: &Grantee, consents: &[Consent]) -> Permissions {
        let subject = self.subject(grantee);
        let permitted = |subject| permissions(subject, self.patient, consents, self.now);
        subject.map(permitted).unwrap_or_default()
    }

    /// Until when a person may find or read something by a window of emergency access, whatever refusals take away.
    fn emergency(
        &self,
        grantee: &Grantee,
        windows: &[BreakGlassWindow],
        consents: &[Consent],
    ) -> Option<DateTime<Utc>> {
        let Some(AccessSubject::Person(actor)) = self.subject(grantee) else {
            return None;
        };
        let theirs = windows.iter().filter(|window| window.doctor == actor.id);
        let counts = |window: &&BreakGlassWindow| {
            let emergency = Some(Emergency {
                window,
                second_factor_required: false,
            });
            [Action::Search, Action::Read].iter().any(|action| {
                let purpose = window.purpose;
                let types = permitted_types(
                    *action,
                    actor,
                    self.patient,
                    purpose,
                    emergency,
                    consents,
                    self.now,
                );
                !types.is_empty()
            })
        };
        theirs.filter(counts).map(BreakGlassWindow::ends_at).max()
    }

    /// In what a person acts for the patient now: nobody whose account is not active, and no administrator.
    fn represents(&self, grantee: &Grantee, made: &[Representation]) -> Option<Represents> {
        let Some(AccessSubject::Person(actor)) = self.subject(grantee) else {
            return None;
        };
        if !actor.is_active || actor.role == Role::Admin {
            return None;
        }
        let theirs = made.iter().filter(|it| it.representative == actor.id);
        let until = theirs.clone().map(|it| it.until).max()?;
        let activities = theirs.flat_map(|it| it.activities.iter());
        Some(Represents {
            activities: RepresentedActivities::of(activities),
            until,
        })
    }

    fn holder(&self, grantee: &Grantee, permitted: &Permissions, consents: &[Consent]) -> Holder {
        let accesses = in_short(permitted).into_iter();
        let refused = self.refused_of(grantee, consents);
        Holder {
            grantee: grantee.clone(),
            people: 0,
            emergency_until: None,
            represents: None,
            accesses: accesses
                .map(|access| HeldAccess {
                    records: self.number(&access.record_types),
                    exceptions: exceptions(&access, permitted, &refused),
                    access,
                })
                .collect(),
        }
    }

    fn number(&self, types: &[RecordType]) -> i64 {
        let number = |of: &RecordType| self.numbers.get(of).copied().unwrap_or_default();
        types.iter().map(number).sum()
    }

    /// Those of a role or an organisation whom consents refuse something, and what each of them may do.
    fn refused_of(&self, grantee: &Grantee, consents: &[Consent]) -> Vec<(UserId, Permissions)> {
        let belongs = |actor: &Actor| match grantee {
            Grantee::User { .. } => false,
            Grantee::Role { role } => actor.role == *role,
            Grantee::Org { id, .. } => actor.memberships.may_include(*id),
        };
        let counts = |actor: &Actor| actor.is_active && actor.id != self.patient;
        let refused = self.refused.iter().filter_map(|id| self.people.get(id));
        let refused = refused.filter(|actor| counts(actor) && belongs(actor));
        refused
            .map(|actor| {
                let subject = AccessSubject::Person(*actor);
                let theirs = permissions(subject, self.patient, consents, self.now);
                (actor.id, theirs)
            })
            .collect()
    }
}

/// Those of `refused` who may not do all of what a role or an organisation may.
fn exceptions(
    access: &Access,
    permitted: &Permissions,
    refused: &[(UserId, Permissions)],
) -> Vec<UserId> {
    let mut cells = permitted.clone();
    cells.retain(|(purpose, action, of), _| {
        *purpose == access.purpose
            && access.actions.contains(action)
            && access.record_types.contains(of)
    });
    let less = refused
        .iter()
        .filter(|(_, theirs)| !beyond(&cells, theirs).is_empty());
    less.map(|(id, _)| *id).take(MOST_EXCEPTIONS).collect()
}

/// What belonging to each of the organisations that are named can open now.
async fn organizations_of(
    seals: &Seals,
    tx: &mut Tx<'_>,
    named: &[Grantee],
) -> Result<HashMap<OrganizationId, CurrentMembership>, Error> {
    let ids = named.iter().filter_map(|grantee| match grantee {
        Grantee::Org { id, .. } => Some(*id),
        Grantee::User { .. } | Grantee::Role { .. } => None,
    });
    let ids: Vec<OrganizationId> = ids.collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found = organizations::by_ids(tx, &ids).await?.into_iter();
    let current = found.filter_map(|stored| seals.current(stored));
    Ok(current.map(|it| (it.organization, it)).collect())
}
