//! Requests to erase or restrict: stored and listed.

use std::collections::BTreeSet;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    consents::{Category, set_of_categories},
    deletion::{
        Coverage, DeletionRequest, DeletionRequestType as Kind, DeletionStatus, MAX_NAMED_RECORDS,
        MAX_OPEN_REQUESTS, VERIFY_WITHIN,
    },
    ids::{DeletionRequestId, RecordId, UserId},
    purpose::Purpose,
    seals::Sealed,
    users::Role,
};
use serde_json::json;
use store::{Pool, Tx, audit, deletion, users};
use uuid::Uuid;

use super::{
    entries::{entry, wrong_state},
    reasons::{Explained, SealedReasons},
};
use crate::{
    caller::{Caller, denial, refuse_role, refuse_unknown},
    error::Error,
    page::PageRange,
    seals::Seals,
};

/// What is named of somebody's records, each with all of its versions, as a set.
///
/// # Errors
/// [`Error::BadInput`] (`dataCategories`, `recordIds`) for too many, none at all, and records that are not this patient's.
pub(super) async fn coverage(
    tx: &mut Tx<'_>,
    patient: UserId,
    categories: Vec<Category>,
    records: Vec<RecordId>,
) -> Result<Coverage, Error> {
    if records.len() > MAX_NAMED_RECORDS {
        let told = format!("at most {MAX_NAMED_RECORDS} records are named at a time");
        return Err(Error::bad("recordIds", told));
    }
    let categories = match (categories.is_empty(), records.is_empty()) {
        (true, false) => Vec::new(),
        _ => set_of_categories(categories)?,
    };
    let versions = if records.is_empty() {
        Some(Vec::new())
    } else {
        deletion::versions_of(tx, patient, &records).await?
    };
    let unknown = || Error::bad("recordIds", "each is a record of the patient that is there");
    Ok(Coverage {
        categories,
        records: versions.ok_or_else(unknown)?,
    })
}

/// What a request of this type may name.
async fn asked(
    tx: &mut Tx<'_>,
    patient: UserId,
    kind: Kind,
    categories: Vec<Category>,
    records: Vec<RecordId>,
) -> Result<Coverage, Error> {
    match kind {
        Kind::AccountErasure if categories != [Category::All] => {
            let told = "an account is erased with all of its records: name ALL_RECORDS";
            Err(Error::bad("dataCategories", told))
        }
        Kind::RecordErasure if records.is_empty() => {
            Err(Error::bad("recordIds", "name at least one record"))
        }
        Kind::RecordErasure if !categories.is_empty() => {
            let told = "a request about single records names no categories";
            Err(Error::bad("dataCategories", told))
        }
        Kind::AccountErasure | Kind::CategoryErasure if !records.is_empty() => {
            let told = "only RECORD_ERASURE and RESTRICTION name single records";
            Err(Error::bad("recordIds", told))
        }
        Kind::AccountErasure | Kind::RecordErasure | Kind::CategoryErasure | Kind::Restriction => {
            coverage(tx, patient, categories, records).await
        }
    }
}

/// Stores a request, with its audit row; one that is open and asks for the same is answered instead.
///
/// # Errors
/// [`Error::BadInput`] for what makes no set or does not fit the type; [`Error::LimitReached`] where as many are open as
/// may be.
pub(super) async fn record(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    kind: Kind,
    categories: Vec<Category>,
    records: Vec<RecordId>,
) -> Result<Explained<DeletionRequest>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    deletion::lock_subject(&mut tx, actor.id).await?;
    let asked = asked(&mut tx, actor.id, kind, categories, records).await?;
    let open = deletion::open(&mut tx, actor.id, MAX_OPEN_REQUESTS).await?;
    let open: Vec<_> = open.into_iter().map(|it| shown(seals, it)).collect();
    let same = |request: &&DeletionRequest| {
        let named: BTreeSet<_> = request.asked.categories.iter().collect();
        request.request_type == kind
            && named == asked.categories.iter().collect()
            && request.asked.records == asked.records
    };
    let (request, action, said) = if let Some(request) = open.iter().find(same) {
        let said = json!({ "retry": true });
        (request.clone(), AuditAction::DeletionRead, said)
    } else if open.len() >= MAX_OPEN_REQUESTS {
        return Err(Error::LimitReached {
            field: "input",
            message: format!("{MAX_OPEN_REQUESTS} of your requests are open, and no more can be"),
        });
    } else {
        let id = DeletionRequestId::fresh();
        deletion::insert(&mut tx, id, actor.id, kind, &asked).await?;
        let stored = deletion::by_id(&mut tx, id).await?;
        let request = shown(seals, stored.ok_or(Error::Internal)?);
        let said = json!({
            "requestType": kind, "dataCategories": asked.categories, "records": asked.records.len(),
            "status": request.status,
        });
        (request, AuditAction::DeletionRequest, said)
    };
    let entry = AuditEntry {
        new_value: Some(said),
        ..entry(caller, action, request.id, actor.id)
    };
    audit::insert(&mut tx, &[entry]).await?;
    let sealed = SealedReasons::of(&mut tx, vec![request]).await?;
    tx.commit().await?;
    sealed.open_one(seals.keyring()).await
}

/// A request as it stands, to be shown. One that decides and is not as it was sealed is reported.
pub(super) fn shown(seals: &Seals, sealed: Sealed<DeletionRequest>) -> DeletionRequest {
    let (request, _) = sealed.clone().into_parts();
    if request.status.decides() {
        seals.look_at(sealed);
    }
    request
}

/// Lets go on whoever made the request: gives the transaction back. Nobody else learns whether there is one.
///
/// # Errors
/// [`Error::NotFound`], with its audit row; the database's, where that could not be written.
pub(super) async fn require_own<'a>(
    mut tx: Tx<'a>,
    caller: &Caller,
    id: DeletionRequestId,
    wanted: AuditAction,
) -> Result<Tx<'a>, Error> {
    if deletion::subject(&mut tx, id).await? == Some(caller.user) {
        return Ok(tx);
    }
    let about = entry(caller, wanted, id, caller.user);
    refuse_unknown(tx, about, "deletion request").await
}

/// The caller's request, to be verified in time; nobody changes it until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`] where it is not the caller's; [`Error::Conflict`] where it is not `pending`, or was for too long.
pub(super) async fn pending(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: DeletionRequestId,
) -> Result<DeletionRequest, Error> {
    let found = deletion::lock(tx, id).await?;
    let request = found.map(|sealed| shown(&caller.seals, sealed));
    let request = request.filter(|request| request.user == caller.user);
    let request = request.ok_or(Error::NotFound("deletion request"))?;
    let now = users::now(tx).await?;
    let is_in_time = now < request.requested_at + VERIFY_WITHIN;
    if request.status == DeletionStatus::Pending && is_in_time {
        Ok(request)
    } else if request.status == DeletionStatus::Pending {
        Err(Error::Conflict {
            field: "id",
            message: "the request was not verified within 7 days; make a new one".to_owned(),
        })
    } else {
        Err(wrong_state(&request))
    }
}

/// The caller's requests, for administrators everybody's, newest first, one more than asked for where there are
/// more. Written down before they are shown.
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over.
pub(super) async fn list(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    range: PageRange<deletion::DeletionCursor>,
) -> Result<Vec<Explained<DeletionRequest>>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let subject = (actor.role != Role::Admin).then_some(actor.id);
    let found = deletion::page(&mut tx, subject, range.keyset()).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::DeletionRequest,
        classification: Classification::Personal,
        patient: subject,
        ..caller.entry(AuditAction::DeletionRead, Purpose::Compliance)
    };
    audit::insert(&mut tx, &[entry]).await?;
    let found = found.into_iter().map(|it| shown(seals, it)).collect();
    let sealed = SealedReasons::of(&mut tx, found).await?;
    tx.commit().await?;
    Ok(sealed.open(seals.keyring()).await?)
}

/// Those of these requests that are the caller's, or for administrators whosever they are, with a row for each, shown or not.
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over.
pub(super) async fn by_ids(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    ids: &[Uuid],
) -> Result<Vec<Explained<DeletionRequest>>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let found = deletion::by_ids(&mut tx, ids).await?.into_iter();
    let mut found: Vec<DeletionRequest> = found.map(|it| shown(seals, it)).collect();
    let is_theirs = |it: &DeletionRequest| it.user == actor.id || actor.role == Role::Admin;
    let entries: Vec<AuditEntry> = ids
        .iter()
        .map(|id| {
            let known = found.iter().find(|it| it.id.0 == *id);
            let subject = known.map(|it| it.user);
            let action = AuditAction::DeletionRead;
            let read = AuditEntry {
                patient: subject,
                ..entry(caller, action, DeletionRequestId(*id), actor.id)
            };
            if known.is_some_and(is_theirs) {
                read
            } else {
                denial(read, *id)
            }
        })
        .collect();
    audit::insert(&mut tx, &entries).await?;
    found.retain(is_theirs);
    let sealed = SealedReasons::of(&mut tx, found).await?;
    tx.commit().await?;
    Ok(sealed.open(seals.keyring()).await?)
}

/// Everybody's requests in one state, oldest first, one more than asked for where there are more. Written down before
/// they are shown.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(super) async fn queue(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    status: DeletionStatus,
    range: PageRange<deletion::DeletionCursor>,
) -> Result<Vec<Explained<DeletionRequest>>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, AuditAction::DeletionRead).await?);
    }
    let found = deletion::queue(&mut tx, status, range.keyset()).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::DeletionRequest,
        new_value: Some(json!({ "list": "deletionQueue", "status": status })),
        classification: Classification::Personal,
        ..caller.entry(AuditAction::DeletionRead, Purpose::Compliance)
    };
    audit::insert(&mut tx, &[entry]).await?;
    let found = found.into_iter().map(|it| shown(seals, it)).collect();
    let sealed = SealedReasons::of(&mut tx, found).await?;
    tx.commit().await?;
    Ok(sealed.open(seals.keyring()).await?)
}
