//! What happens to windows by itself, for as long as the process runs: the end of those whose time is over is written
//! down, those that nobody has reviewed in time are escalated, once, and where a row tells another review than the trail, it
//! is put right. By one process at a time; what a process that dies has not committed, the next one does.

use std::time::Duration;

use domain::{
    audit::{AuditAction, Origin},
    break_glass::{BreakGlassWindow, NotificationKind, REVIEW_WITHIN},
    ids::RequestId,
    purpose::Purpose,
};
use serde_json::json;
use store::{
    Pool, StoreError, Tx, audit,
    break_glass::{self, WindowCursor},
    notifications::{self, NewNotification},
    users,
};
use tokio::time::MissedTickBehavior;

use super::{entry_of_job, forged};
use crate::seals::Seals;

/// How often it is looked for windows.
const EVERY: Duration = Duration::from_secs(2);
/// How many windows are taken at a time.
const AT_A_TIME: i64 = 100;
/// The reviews of how many windows are compared with the trail at a time.
const REVIEWS_AT_A_TIME: i64 = 200;

/// Looks again and again.
pub(crate) async fn run(pool: Pool, seals: Seals) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    let mut seen = None;
    loop {
        ticks.tick().await;
        let done = step(&pool, &seals, &mut seen).await;
        // Once, and not each time.
        if let Err(error) = &done
            && !is_failing
        {
            tracing::warn!(
                sql_state = error.sql_state(),
                "Windows of emergency access cannot be looked after; trying again"
            );
        }
        is_failing = done.is_err();
    }
}

/// Looks once: one transaction, and one for each review that is put right. `seen` is where the windows are whose reviews were
/// looked at last: all of them are, page by page, and then from the newest on again.
async fn step(
    pool: &Pool,
    seals: &Seals,
    seen: &mut Option<WindowCursor>,
) -> Result<(), StoreError> {
    let mut tx = pool.begin().await?;
    if !break_glass::is_ours(&mut tx).await? {
        return Ok(());
    }
    let origin = Origin::job(RequestId::fresh());
    write_ends(&mut tx, seals, &origin).await?;
    escalate(&mut tx, seals, &origin).await?;
    let windows = break_glass::newest(&mut tx, *seen, REVIEWS_AT_A_TIME).await?;
    tx.commit().await?;
    *seen = None;
    for stored in windows {
        let (window, _) = stored.window.into_parts();
        *seen = Some((window.opened_at, window.id.0));
        if stored.forged_review.is_some() {
            forged::put_right(pool, window.id, &origin).await?;
        }
    }
    Ok(())
}

/// Writes down the end of windows whose time is over: when they ended, not when it was noticed.
async fn write_ends(tx: &mut Tx<'_>, seals: &Seals, origin: &Origin) -> Result<(), StoreError> {
    let now = users::now(tx).await?;
    let found = break_glass::unended(tx, now, AT_A_TIME).await?;
    let windows = found.into_iter().map(|stored| seals.look_at(stored.window));
    let (mut rows, mut ids) = (Vec::new(), Vec::new());
    for (window, is_as_sealed) in windows {
        let said = json!({ "by": "TIME", "endedAt": window.ends_at(), "sealed": is_as_sealed });
        rows.push(entry_of_job(
            origin,
            AuditAction::BreakGlassEnd,
            window.purpose,
            &window,
            said,
        ));
        ids.push(window.id);
    }
    if ids.is_empty() {
        return Ok(());
    }
    break_glass::record_ends(tx, &ids, now).await?;
    audit::insert(tx, &rows).await
}

/// Tells every administrator of windows that nobody has reviewed in time.
async fn escalate(tx: &mut Tx<'_>, seals: &Seals, origin: &Origin) -> Result<(), StoreError> {
    let now = users::now(tx).await?;
    let opened_until = now - REVIEW_WITHIN;
    if !break_glass::any_unescalated(tx, opened_until).await? {
        return Ok(());
    }
    let administrators = seals.lock_administrators(tx).await?;
    // Those of which nobody can be told hold up no others: they stay due until there is somebody.
    let found = break_glass::unescalated(tx, opened_until, &administrators, AT_A_TIME).await?;
    let windows: Vec<BreakGlassWindow> = found
        .into_iter()
        .map(|stored| stored.window.into_parts().0)
        .collect();
    let told = |window: &BreakGlassWindow| -> Vec<NewNotification> {
        let of = |user| NewNotification {
            user,
            kind: NotificationKind::BreakGlassEscalated,
            actor: window.doctor,
            resource: window.id.0,
            at: now,
        };
        // Whoever is concerned reviews nothing: they are told their own as everybody is.
        let others = administrators.iter().copied();
        let others = others.filter(|id| ![window.doctor, window.patient].contains(id));
        others.map(of).collect()
    };
    let (mut rows, mut tell, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for window in &windows {
        let told = told(window);
        ids.push(window.id);
        let said = json!({ "escalated": true, "administrators": told.len() });
        let action = AuditAction::BreakGlassReview;
        rows.push(entry_of_job(
            origin,
            action,
            Purpose::Compliance,
            window,
            said,
        ));
        tell.extend(told);
    }
    if ids.is_empty() {
        return Ok(());
    }
    break_glass::escalate(tx, &ids, now).await?;
    audit::insert(tx, &rows).await?;
    notifications::append(tx, &tell).await
}
