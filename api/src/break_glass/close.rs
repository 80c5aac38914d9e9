//! Closing a window before its time: from the next request on it opens nothing.

use domain::{
    audit::{AuditAction, AuditEntry},
    break_glass::BreakGlassWindow,
    ids::BreakGlassWindowId,
    purpose::Purpose,
};
use serde_json::json;
use store::{Pool, audit, barrier, break_glass, users};
use vault::keyring::Keyring;

use super::{
    entry, entry_of_unknown, evidence,
    words::{SealedWords, ShownWindow},
};
use crate::{
    caller::{Caller, refuse},
    error::Error,
};

const ACTION: AuditAction = AuditAction::BreakGlassEnd;

/// Closes a window of the caller's, with its audit row. Closing one that is over changes nothing.
///
/// # Errors
/// [`Error::NotFound`] where it is not one of the caller's, or not as it was sealed.
pub(super) async fn close(
    pool: &Pool,
    keyring: &Keyring,
    caller: &Caller,
    id: BreakGlassWindowId,
) -> Result<ShownWindow, Error> {
    let found = break_glass::find(&mut *pool.acquire().await?, id).await?;
    let found = found.map(|stored| stored.window.into_parts().0);
    let is_own = |window: &BreakGlassWindow| window.doctor == caller.user;
    let patient = found.filter(is_own).map(|window| window.patient);
    let mut tx = pool.begin().await?;
    // What is being disclosed by it comes before. Whoever may close nothing locks nobody else.
    barrier::lock_exclusive(&mut tx, [caller.user].into_iter().chain(patient)).await?;
    let actor = caller.actor(&mut tx).await?;
    let stored = break_glass::lock(&mut tx, id).await?;
    let stored = stored.filter(|_| patient.is_some());
    let window = stored.and_then(|stored| caller.seals.open(stored.window));
    let Some(window) = window.filter(is_own) else {
        let unknown = entry_of_unknown(caller, id, Purpose::default_of(actor.role));
        let error = Error::NotFound("window");
        return refuse(tx, unknown, ("UNKNOWN", ACTION), error).await;
    };
    let now = users::now(&mut tx).await?;
    let row = if window.is_open(now) {
        let closed = BreakGlassWindow {
            closed_at: Some(now),
            ..window
        };
        break_glass::close(&mut tx, &closed, &caller.seals.seal(&closed)?).await?;
        AuditEntry {
            new_value: Some(evidence(&closed)),
            ..entry(caller, ACTION, closed.purpose, &closed)
        }
    } else {
        AuditEntry {
            new_value: Some(json!({ "retry": true })),
            ..entry(caller, AuditAction::BreakGlassRead, window.purpose, &window)
        }
    };
    audit::insert(&mut tx, &[row]).await?;
    let stored = break_glass::find(&mut tx, id).await?;
    let words = SealedWords::of(&mut tx, stored.into_iter().collect()).await?;
    tx.commit().await?;
    words.open_one(keyring, &caller.seals).await
}
