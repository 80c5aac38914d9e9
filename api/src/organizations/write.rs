//! Making organisations, and changing them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::{
    audit::{AuditAction, AuditEntry},
    countries::Country,
    ids::{OrganizationId, UserId},
    organizations::{Organization, OrganizationName},
    users::Role,
};
use serde_json::{Value, json};
use store::{
    Pool, Tx, audit, barrier, memberships,
    organizations::{self, WriteOrganizationError},
    users,
};

use super::{entry, refuse};
use crate::{
    caller::{Caller, refuse_role, require_administrator},
    error::Error,
    seals::Seals,
};

/// How often the members are looked up again, where somebody became one in between.
const TRIES: usize = 3;

impl From<WriteOrganizationError> for Error {
    fn from(error: WriteOrganizationError) -> Self {
        match error {
            WriteOrganizationError::NameTaken => Self::Conflict {
                field: "name",
                message: "an organisation of this country has this name already".to_owned(),
            },
            WriteOrganizationError::Store(error) => error.into(),
        }
    }
}

/// Makes an organisation, with its audit row.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators, [`Error::Conflict`] for a name that is taken.
pub(super) async fn create(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    name: &OrganizationName,
    country: Country,
) -> Result<Organization, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let action = AuditAction::OrganizationCreate;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, action).await?);
    }
    let now = users::now(&mut tx).await?;
    let organization = Organization {
        id: OrganizationId::fresh(),
        name: name.as_str().to_owned(),
        country,
        is_active: true,
        created_at: now,
        updated_at: now,
    };
    organizations::insert(&mut tx, &organization, &seals.seal(&organization)?).await?;
    let entry = AuditEntry {
        new_value: Some(evidence(&organization)),
        ..entry(caller, organization.id, action)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(organization)
}

/// What is to be changed of an organisation; nothing where `None`.
#[derive(Debug)]
pub(super) struct OrganizationChange {
    /// How it is to be called.
    pub(super) name: Option<OrganizationName>,
    /// Where it is to be.
    pub(super) country: Option<Country>,
    /// Whether a consent to it is to let anybody in.
    pub(super) is_active: Option<bool>,
}

/// Changes an organisation, with its audit row. Whom it lets in is decided by what it is from then on: what is being
/// disclosed to its members comes before.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators, [`Error::NotFound`], [`Error::Conflict`] for a name that is taken,
/// [`Error::Busy`] where members come faster than they can be held back.
pub(super) async fn update(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    id: OrganizationId,
    change: OrganizationChange,
) -> Result<Organization, Error> {
    let action = AuditAction::OrganizationUpdate;
    require_administrator(pool, caller, action).await?;
    let Some(mut tx) = hold_members(pool, caller, id).await? else {
        return Err(Error::met_another());
    };
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, action).await?);
    }
    let stored = organizations::lock(&mut tx, id).await?;
    let reason = if stored.is_none() {
        "NOT_FOUND"
    } else {
        "TAMPERED"
    };
    let Some(before) = stored.and_then(|sealed| seals.open(sealed)) else {
        let about = entry(caller, id, action);
        let error = Error::NotFound("organisation");
        return Err(refuse(tx, about, action, reason, error).await?);
    };
    // Later than before, whatever the clock says: no older row comes after a newer one.
    let newer = before.updated_at + TimeDelta::microseconds(1);
    let updated_at = users::now(&mut tx).await?.max(newer);
    let name = change.name.map(|name| name.as_str().to_owned());
    let after = Organization {
        name: name.unwrap_or_else(|| before.name.clone()),
        country: change.country.unwrap_or(before.country),
        is_active: change.is_active.unwrap_or(before.is_active),
        updated_at,
        ..before
    };
    organizations::save(&mut tx, &after, &seals.seal(&after)?).await?;
    let entry = AuditEntry {
        old_value: Some(evidence(&before)),
        new_value: Some(evidence(&after)),
        ..entry(caller, id, action)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(after)
}

/// Begins a transaction in which nothing is decided about any member of this organisation, and nobody becomes one. `None`
/// where somebody became one each time.
async fn hold_members(
    pool: &Pool,
    caller: &Caller,
    id: OrganizationId,
) -> Result<Option<Tx<'static>>, Error> {
    for _ in 0..TRIES {
        let mut tx = pool.begin().await?;
        let members = memberships::doctors_of(&mut tx, id).await?;
        let held: BTreeSet<UserId> = members.into_iter().chain([caller.user]).collect();
        barrier::lock_exclusive(&mut tx, held.iter().copied()).await?;
        // Whoever makes somebody a member locks the organisation, too.
        organizations::lock(&mut tx, id).await?;
        let members = memberships::doctors_of(&mut tx, id).await?;
        if members.iter().all(|member| held.contains(member)) {
            return Ok(Some(tx));
        }
    }
    Ok(None)
}

fn evidence(organization: &Organization) -> Value {
    json!({
        "name": organization.name,
        "country": organization.country.as_str(),
        "isActive": organization.is_active,
    })
}
