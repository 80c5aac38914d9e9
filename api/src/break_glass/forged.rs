//! Rows of windows that tell another review than the audit trail, because somebody wrote into them from outside: the trail's is
//! put back, and where it knows none, the window is reviewed by somebody. Each is found.

use domain::{
    audit::{AuditAction, AuditEntry, Origin},
    ids::BreakGlassWindowId,
    purpose::Purpose,
    seals::{SealedTable, Tampered},
};
use serde_json::json;
use store::{
    Pool, StoreError, audit,
    break_glass::{self, StoredWindow},
};

use super::entry_of_job;
use crate::seals::finding;

/// Makes the row of a window tell the review that was made, or none, with its audit row and a finding.
///
/// # Errors
/// The database's.
pub(super) async fn put_right(
    pool: &Pool,
    id: BreakGlassWindowId,
    origin: &Origin,
) -> Result<(), StoreError> {
    let found = break_glass::find(&mut *pool.acquire().await?, id).await?;
    let Some(window) = found.filter(is_forged) else {
        return Ok(());
    };
    let (window, _) = window.window.into_parts();
    // First, so that it is found whatever becomes of the rest.
    let tampered = Tampered {
        table: SealedTable::BreakGlassWindows,
        row: window.id.0,
        of: window.patient,
    };
    finding::open(pool, tampered).await?;
    let mut tx = pool.begin().await?;
    // Another process may have done it.
    let Some(stored) = break_glass::lock(&mut tx, id).await? else {
        return Ok(());
    };
    let Some(told) = stored.forged_review else {
        return Ok(());
    };
    let done = if let Some(known) = &stored.review {
        break_glass::restore_review(&mut tx, id, known).await?;
        "RESTORED"
    } else {
        break_glass::clear_review(&mut tx, id).await?;
        "CLEARED"
    };
    let said = json!({ "forgedReview": done });
    let put_right = AuditEntry {
        old_value: Some(json!({ "reviewedBy": told.by, "decision": told.decision })),
        ..entry_of_job(
            origin,
            AuditAction::BreakGlassReview,
            Purpose::SystemAdministration,
            &window,
            said,
        )
    };
    audit::insert(&mut tx, &[put_right]).await?;
    tx.commit().await
}

const fn is_forged(window: &StoredWindow) -> bool {
    window.forged_review.is_some()
}
