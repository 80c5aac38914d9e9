//! To which organisations doctors belong at the moment of a decision, as far as rows that are as they were sealed say.
//!
//! A row that cannot be believed opens nothing. As it may be that of an organisation which a patient refuses, the doctor
//! counts for a member of every organisation where something is refused. Who left an organisation stays kept out by what was
//! refused to it before.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{
    access::Actor,
    ids::{OrganizationId, UserId},
    organizations::{CurrentMembership, CurrentMemberships, OrganizationReach},
    users::Role,
};
use store::{
    PgConnection, StoreError,
    memberships::{self, KnownMemberships, StoredMembership},
    organizations::StoredOrganization,
};
use uuid::Uuid;

use super::Seals;

/// What the rows about a doctor say.
#[derive(Default)]
struct Belongings {
    current: Vec<CurrentMembership>,
    left: Vec<(OrganizationId, DateTime<Utc>)>,
    some_unknown: bool,
}

impl Belongings {
    fn add(&mut self, belonging: &Belonging) {
        match *belonging {
            Belonging::Current(membership) => self.current.push(membership),
            Belonging::Left(organization, at) => self.left.push((organization, at)),
            Belonging::Not => {}
            Belonging::Unknown => self.some_unknown = true,
        }
    }

    fn memberships(self) -> CurrentMemberships {
        let memberships = CurrentMemberships::of(self.current).with_left(self.left);
        if self.some_unknown {
            memberships.with_unknown()
        } else {
            memberships
        }
    }
}

/// What a row says.
enum Belonging {
    /// The doctor belongs to this organisation now.
    Current(CurrentMembership),
    /// The doctor left this organisation at this moment.
    Left(OrganizationId, DateTime<Utc>),
    /// It has not begun, or never did.
    Not,
    /// It is not as it was sealed, or its organisation is not, or the trail says otherwise.
    Unknown,
}

impl Seals {
    /// Says of these people to which organisations they belong; one statement where there are doctors among them.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn add_memberships(
        &self,
        conn: &mut PgConnection,
        actors: impl Iterator<Item = &mut Actor>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let doctors = actors.filter(|actor| actor.role == Role::Doctor);
        let doctors: Vec<&mut Actor> = doctors.collect();
        if doctors.is_empty() {
            return Ok(());
        }
        let ids: Vec<UserId> = doctors.iter().map(|actor| actor.id).collect();
        let known = memberships::known_of(conn, &ids).await?;
        self.say_memberships(doctors, known, now);
        Ok(())
    }

    /// Says of these people to which organisations they belong by what is known of doctors' memberships.
    pub(super) fn say_memberships<'a>(
        &self,
        actors: impl IntoIterator<Item = &'a mut Actor>,
        known: KnownMemberships,
        now: DateTime<Utc>,
    ) {
        let known = self.belongings(known, now);
        for actor in actors {
            if actor.role == Role::Doctor {
                actor.memberships = known.get(&actor.id).copied().unwrap_or_default();
            }
        }
    }

    fn belongings(
        &self,
        known: KnownMemberships,
        now: DateTime<Utc>,
    ) -> HashMap<UserId, CurrentMemberships> {
        // What is gone, or open again with an older seal, is known to the trail alone.
        let KnownMemberships {
            stored,
            contradicted,
        } = known;
        let mut known = HashMap::<UserId, Belongings>::new();
        for (_, doctor) in &contradicted {
            known.entry(*doctor).or_default().add(&Belonging::Unknown);
        }
        for (doctor, stored) in stored {
            let belonging = self.belonging(stored, &contradicted, now);
            known.entry(doctor).or_default().add(&belonging);
        }
        let known = known.into_iter();
        let all = known.map(|(doctor, known)| (doctor, known.memberships()));
        all.collect()
    }

    fn belonging(
        &self,
        stored: StoredMembership,
        contradicted: &[(Uuid, UserId)],
        now: DateTime<Utc>,
    ) -> Belonging {
        let Some(membership) = self.open(stored.membership) else {
            return Belonging::Unknown;
        };
        if contradicted.iter().any(|(id, _)| *id == membership.id.0) {
            return Belonging::Unknown;
        }
        if let Some(at) = membership.left_at(now) {
            return Belonging::Left(membership.organization, at);
        }
        if !membership.is_in_force(now) {
            return Belonging::Not;
        }
        let organization = stored.organization.and_then(|it| self.current(it));
        let until = membership.ends_at();
        organization.map_or(Belonging::Unknown, |it| {
            Belonging::Current(CurrentMembership { until, ..it })
        })
    }

    /// What belonging to an organisation can open now; `None` where it is not as it was sealed.
    pub(crate) fn current(&self, stored: StoredOrganization) -> Option<CurrentMembership> {
        let organization = self.open(stored.organization)?;
        let reach = if !organization.is_active {
            OrganizationReach::Closed
        } else if organization.country == self.home {
            OrganizationReach::Home
        } else if stored.may_be_sent_to {
            OrganizationReach::Abroad
        } else {
            OrganizationReach::Closed
        };
        Some(CurrentMembership {
            organization: organization.id,
            country: organization.country,
            reach,
            until: None,
        })
    }
}
