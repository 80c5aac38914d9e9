//! Reviews that were written into rows from outside, which the audit trail does not know: they are taken out, so that the
//! window is reviewed by somebody, and found.

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

use super::schedule::entry;
use crate::seals::finding;

/// Takes the review out of a window if nobody made it, with its audit row and a finding.
///
/// # Errors
/// The database's.
pub(super) async fn clear(
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
    let stored = break_glass::lock(&mut tx, id).await?;
    // Another process may have done it.
    let Some(review) = stored.and_then(|stored| stored.forged_review) else {
        return Ok(());
    };
    break_glass::clear_review(&mut tx, id).await?;
    let said = json!({ "forgedReview": "CLEARED" });
    let cleared = AuditEntry {
        old_value: Some(json!({ "reviewedBy": review.by, "decision": review.decision })),
        ..entry(
            origin,
            AuditAction::BreakGlassReview,
            Purpose::SystemAdministration,
            &window,
            said,
        )
    };
    audit::insert(&mut tx, &[cleared]).await?;
    tx.commit().await
}

const fn is_forged(window: &StoredWindow) -> bool {
    window.forged_review.is_some()
}
