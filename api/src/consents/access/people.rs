//! How many people stand behind those who have access.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{consents::Grantee, ids::UserId, users::Role};
use store::{
    StoreError, Tx,
    people::{self, PeopleNamed},
};

use super::Holder;

/// Counts the people behind each of these holders.
///
/// # Errors
/// The database's.
pub(super) async fn count(
    tx: &mut Tx<'_>,
    (patient, now): (UserId, DateTime<Utc>),
    holders: &mut [Holder],
) -> Result<(), StoreError> {
    let named = named_by(holders.iter().map(|holder| &holder.grantee));
    let members = if named.organizations.is_empty() {
        HashMap::new()
    } else {
        people::members(tx, &named.organizations, patient, now).await?
    };
    let doctors = if named.doctors {
        people::doctors(tx, patient).await?
    } else {
        0
    };
    for holder in holders {
        holder.people = match &holder.grantee {
            Grantee::User { .. } => 1,
            Grantee::Role { role: Role::Doctor } => doctors,
            // No consent lets them in.
            Grantee::Role {
                role: Role::Patient | Role::Admin,
            } => 0,
            Grantee::Org { id, .. } => members.get(id).copied().unwrap_or_default(),
        };
    }
    Ok(())
}

/// How many people these are together, each counted once.
///
/// # Errors
/// The database's.
pub(super) async fn together(
    tx: &mut Tx<'_>,
    (patient, now): (UserId, DateTime<Utc>),
    grantees: &[&Grantee],
) -> Result<i64, StoreError> {
    let named = named_by(grantees.iter().copied());
    people::together(tx, &named, patient, now).await
}

fn named_by<'a>(grantees: impl Iterator<Item = &'a Grantee>) -> PeopleNamed {
    let mut named = PeopleNamed::default();
    for grantee in grantees {
        match grantee {
            Grantee::User { id } => named.people.push(*id),
            Grantee::Role { role } => named.doctors |= *role == Role::Doctor,
            Grantee::Org { id, .. } => named.organizations.push(*id),
        }
    }
    named
}
