//! Requests to erase or restrict: stored and listed. Carrying them out is not built yet.

use std::collections::BTreeSet;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    consents::{Category, set_of_categories},
    deletion::{DeletionRequestType as Kind, MAX_OPEN_REQUESTS},
    ids::DeletionRequestId,
    purpose::Purpose,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, audit,
    deletion::{self, DeletionRequest},
};

use crate::{caller::Caller, error::Error};

/// Stores a request, with its audit row; one that is open and asks for the same is answered instead.
///
/// # Errors
/// [`Error::BadInput`] for categories that make no set; [`Error::LimitReached`] where as many are open as may be.
pub(super) async fn record(
    pool: &Pool,
    caller: &Caller,
    kind: Kind,
    categories: Vec<Category>,
) -> Result<DeletionRequest, Error> {
    let categories = set_of_categories(categories)?;
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    deletion::lock_subject(&mut tx, actor.id).await?;
    let open = deletion::open(&mut tx, actor.id, MAX_OPEN_REQUESTS).await?;
    let same = |request: &&DeletionRequest| {
        let asked: BTreeSet<_> = request.categories.iter().collect();
        request.request_type == kind && asked == categories.iter().collect()
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
        let request = deletion::insert(&mut tx, id, actor.id, kind, &categories).await?;
        let said = json!({
            "requestType": kind, "dataCategories": categories, "status": request.status,
        });
        (request, AuditAction::DeletionRequest, said)
    };
    let entry = AuditEntry {
        resource_type: ResourceType::DeletionRequest,
        resource_id: request.id.0,
        new_value: Some(said),
        classification: Classification::SensitivePersonal,
        patient: Some(actor.id),
        ..caller.entry(action, Purpose::Compliance)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(request)
}

/// The caller's requests, for administrators everybody's, newest first, one more than asked for where there are
/// more. Written down before they are shown.
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over.
pub(super) async fn list(
    pool: &Pool,
    caller: &Caller,
    after: Option<deletion::DeletionCursor>,
    size: i64,
) -> Result<Vec<DeletionRequest>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let subject = (actor.role != Role::Admin).then_some(actor.id);
    let found = deletion::page(&mut tx, subject, after, size + 1).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::DeletionRequest,
        classification: Classification::Personal,
        patient: subject,
        ..caller.entry(AuditAction::DeletionRead, Purpose::Compliance)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(found)
}
