//! Who acts for whom, and what waits for a second administrator. Each list is written down before it is shown.

use std::collections::HashSet;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::{RepresentationId, UserId},
    purpose::Purpose,
    representatives::{Representation, RepresentativeProposal},
    users::Role,
};
use serde_json::json;
use store::{
    Pool, StoreError, Tx, audit,
    representatives::{self, ProposalPageKey, RepresentationPageKey, StoredRepresentation},
    users,
};

use crate::{
    caller::{Caller, refuse_role},
    error::Error,
    facts::distinct,
    page::PageRange,
};

/// A representation that is shown.
#[derive(Debug, Clone)]
pub(super) struct ListedRepresentation {
    /// The representation.
    pub(super) made: Representation,
    /// Whether it is as it was sealed, the trail knows of no end, and both accounts are active: else nobody acts by it.
    pub(super) counts: bool,
    /// The administrators' reason.
    pub(super) reason: Option<String>,
}

impl ListedRepresentation {
    /// One that is as it was sealed, whose accounts were looked at.
    pub(super) const fn sealed(made: Representation, reason: Option<String>) -> Self {
        Self {
            made,
            counts: true,
            reason,
        }
    }
}

/// The representatives of the caller, newest first, one more than asked for where there are more.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn mine(
    pool: &Pool,
    caller: &Caller,
    range: PageRange<RepresentationPageKey>,
) -> Result<Vec<ListedRepresentation>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let found = representatives::of_patient(&mut tx, actor.id, range.keyset()).await?;
    let read = of_list(caller, "myRepresentatives", Some(actor.id));
    shown(tx, caller, found, read).await
}

/// The representations by which the caller acts for others, as [`mine`].
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn of_others(
    pool: &Pool,
    caller: &Caller,
    range: PageRange<RepresentationPageKey>,
) -> Result<Vec<ListedRepresentation>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let found = representatives::of_representative(&mut tx, actor.id, range.keyset()).await?;
    let read = of_list(caller, "peopleIRepresent", None);
    shown(tx, caller, found, read).await
}

async fn shown(
    mut tx: Tx<'_>,
    caller: &Caller,
    found: Vec<StoredRepresentation>,
    read: AuditEntry,
) -> Result<Vec<ListedRepresentation>, Error> {
    let shown = found.into_iter().map(|stored| {
        let (made, counts) = caller.seals.look_at(stored.representation);
        ListedRepresentation {
            made,
            counts,
            reason: stored.reason,
        }
    });
    let mut shown: Vec<ListedRepresentation> = shown.collect();
    let in_force = in_force(&mut tx, caller, &shown).await?;
    for listed in &mut shown {
        listed.counts &= in_force.contains(&listed.made.id);
    }
    audit::insert(&mut tx, &[read]).await?;
    tx.commit().await?;
    Ok(shown)
}

/// Those of them that are in force, as far as the trail says, between accounts that may act and be acted for.
async fn in_force(
    tx: &mut Tx<'_>,
    caller: &Caller,
    listed: &[ListedRepresentation],
) -> Result<HashSet<RepresentationId>, StoreError> {
    let made = listed.iter().map(|it| &it.made);
    let patients = distinct(made.clone().map(|it| it.patient));
    let representatives = distinct(made.map(|it| it.representative));
    let now = users::now(tx).await?;
    let found = representatives::in_force(tx, &representatives, &patients, now).await?;
    let accounts = [patients, representatives].concat();
    let accounts = caller.seals.people(tx, &accounts).await?;
    let is_fit = |user: &UserId| {
        let account = accounts.get(user);
        account.is_some_and(|it| it.is_active && it.role != Role::Admin)
    };
    let found = found.into_iter().map(|sealed| sealed.into_parts().0);
    let found = found.filter(|it| is_fit(&it.patient) && is_fit(&it.representative));
    Ok(found.map(|it| it.id).collect())
}

/// What waits for a second administrator, newest first, one more than asked for where there are more. One that is not as
/// it was sealed is shown, as it stands: an administrator looks into it, and it is reported.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(super) async fn proposals(
    pool: &Pool,
    caller: &Caller,
    range: PageRange<ProposalPageKey>,
) -> Result<Vec<RepresentativeProposal>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        let wanted = AuditAction::RepresentativeRead;
        return Err(refuse_role(tx, caller, actor, Role::Admin, wanted).await?);
    }
    let found = representatives::proposal_page(&mut tx, range.keyset()).await?;
    let read = AuditEntry {
        classification: Classification::Security,
        purpose: Purpose::SystemAdministration,
        ..of_list(caller, "representativeProposals", None)
    };
    audit::insert(&mut tx, &[read]).await?;
    tx.commit().await?;
    Ok(found
        .into_iter()
        .map(|sealed| caller.seals.look_at(sealed).0)
        .collect())
}

fn of_list(caller: &Caller, list: &str, patient: Option<UserId>) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Representative,
        new_value: Some(json!({ "list": list })),
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        patient,
        ..caller.entry(AuditAction::RepresentativeRead, Purpose::PatientRequest)
    }
}
