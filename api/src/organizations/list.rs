//! Looking for an organisation, to name in a consent.

use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::OrganizationId,
    organizations::Organization,
    purpose::Purpose,
    users::words,
};
use serde_json::json;
use store::{
    Pool, audit,
    organizations::{self, OrganizationCursor},
};
use uuid::Uuid;

use super::SEARCH_LENGTHS;
use crate::{
    caller::{Caller, lookup},
    error::Error,
    seals::Seals,
};

/// A page of organisations.
#[derive(Debug)]
pub(super) struct FoundOrganizations {
    /// Those that are as they were sealed.
    pub(super) shown: Vec<Organization>,
    /// Whether there are more.
    pub(super) has_next: bool,
    /// Where the last one stands that was looked at, shown or not.
    pub(super) end: Option<OrganizationCursor>,
}

/// Organisations of whose names words begin so, newest first; all of them where nothing is looked for.
///
/// # Errors
/// [`Error::BadInput`] for too little or too much to look for; [`Error::Unauthenticated`].
pub(super) async fn search(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    text: Option<&str>,
    after: Option<OrganizationCursor>,
    size: i64,
) -> Result<FoundOrganizations, Error> {
    let words = text.map(words_of).transpose()?.unwrap_or_default();
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let mut found = organizations::page(&mut tx, &words, after, size + 1).await?;
    let size = usize::try_from(size).unwrap_or(0);
    let has_next = found.len() > size;
    found.truncate(size);
    let found = found.into_iter().map(|sealed| seals.look_at(sealed));
    let found: Vec<(Organization, bool)> = found.collect();
    let end = found.last().map(|(it, _)| (it.created_at, it.id.0));
    let shown = found.into_iter().filter(|(_, is_right)| *is_right);
    let shown: Vec<Organization> = shown.map(|(it, _)| it).collect();
    let entry = AuditEntry {
        new_value: Some(json!({ "list": "organizations", "count": shown.len() })),
        ..of_searching(caller, actor)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(FoundOrganizations {
        shown,
        has_next,
        end,
    })
}

/// Those of these organisations that are as they were sealed, with a row for all of them and one for each that is not shown.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn by_ids(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    ids: &[OrganizationId],
) -> Result<Vec<Organization>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let found = organizations::by_ids(&mut tx, ids).await?.into_iter();
    let found = found.filter_map(|stored| seals.open(stored.organization));
    let found: Vec<Organization> = found.collect();
    let read = AuditEntry {
        new_value: Some(json!({ "list": "nodes", "count": found.len() })),
        ..of_searching(caller, actor)
    };
    let asked: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let known: Vec<Uuid> = found.iter().map(|it| it.id.0).collect();
    audit::insert(&mut tx, &lookup(&read, &asked, &known)).await?;
    tx.commit().await?;
    Ok(found)
}

fn of_searching(caller: &Caller, actor: Actor) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Organization,
        classification: Classification::Internal,
        encryption: EncryptionStatus::NotApplicable,
        ..caller.entry(
            AuditAction::OrganizationSearch,
            Purpose::default_of(actor.role),
        )
    }
}

fn words_of(text: &str) -> Result<Vec<String>, Error> {
    let (least, most) = SEARCH_LENGTHS;
    let is_too_long = text.chars().count() > most;
    let words = if is_too_long { Vec::new() } else { words(text) };
    let length: usize = words.iter().map(|word| word.chars().count()).sum();
    if length < least {
        let message = format!("search for {least} letters or digits at least, and {most} at most");
        return Err(Error::bad("search", message));
    }
    Ok(words)
}
