//! Gives the rows of the trail their places in its tree, one process at a time, for as long as the process runs.

use std::time::Duration;

use store::{Pool, StoreError, trail};
use tokio::time::MissedTickBehavior;

use crate::instruments::instruments;

/// How often it is looked for rows.
const EVERY: Duration = Duration::from_secs(1);

/// Looks again and again.
pub(crate) async fn run(pool: Pool) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        let ordered = all(&pool).await;
        // Once, and not each second.
        if let Err(error) = &ordered
            && !is_failing
        {
            tracing::warn!(%error, "The rows of the audit trail cannot be put in order; trying again");
        }
        is_failing = ordered.is_err();
    }
}

/// Orders all rows that can be, unless another process is at it.
///
/// # Errors
/// The database's.
pub(super) async fn all(pool: &Pool) -> Result<(), StoreError> {
    while let Some(ordered) = trail::order(pool).await? {
        if ordered.rows > 0 {
            let rows = u64::try_from(ordered.rows).unwrap_or_default();
            instruments().ordered_rows.inc_by(rows);
            tracing::debug!(
                rows = ordered.rows,
                size = ordered.size,
                "The audit tree grew"
            );
        }
        if !ordered.may_have_left_some {
            break;
        }
    }
    Ok(())
}
