//! The subject takes a request back, as long as nothing of it is carried out.

use domain::{
    audit::{AuditAction, AuditEntry},
    deletion::{DeletionRequest, DeletionStep},
    ids::DeletionRequestId,
};
use serde_json::json;
use store::{Pool, audit, barrier, deletion};

use super::{
    entries::{entry, save, step},
    reasons::{Explained, SealedReasons},
    requests::{require_own, shown},
};
use crate::{caller::Caller, error::Error, seals::Seals};

/// Takes a request back, with its audit row; whoever may read by a consent reads again what it restricted. A restriction is
/// lifted in the same way.
///
/// # Errors
/// [`Error::NotFound`], with its audit row, where it is not the caller's; [`Error::Conflict`] where it is over, or being carried out.
pub(super) async fn cancel(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    id: DeletionRequestId,
) -> Result<Explained<DeletionRequest>, Error> {
    const WANTED: AuditAction = AuditAction::DeletionCancel;
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user]).await?;
    let actor = caller.actor(&mut tx).await?;
    let mut tx = require_own(tx, caller, id, WANTED).await?;
    let found = deletion::lock(&mut tx, id).await?;
    let request = found.map(|sealed| shown(seals, sealed));
    let request = request.ok_or(Error::NotFound("deletion request"))?;
    let cancelled = step(&request, DeletionStep::Cancel)?;
    save(seals, &mut tx, &cancelled).await?;
    let lifted = deletion::lift(&mut tx, actor.id).await?;
    let entry = AuditEntry {
        old_value: Some(json!({ "status": request.status })),
        new_value: Some(json!({ "status": cancelled.status, "liftedRecords": lifted })),
        ..entry(caller, WANTED, id, actor.id)
    };
    audit::insert(&mut tx, &[entry]).await?;
    let sealed = SealedReasons::of(&mut tx, vec![cancelled]).await?;
    tx.commit().await?;
    sealed.open_one(seals.keyring()).await
}
