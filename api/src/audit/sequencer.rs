//! Gives the rows of the trail their places in its tree, one process at a time, for as long as the process runs.

use std::time::Duration;

use store::{Pool, trail};
use tokio::time::MissedTickBehavior;

/// How often it is looked for rows.
const EVERY: Duration = Duration::from_secs(1);

/// Looks again and again.
pub(crate) async fn run(pool: Pool) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        while round(&pool).await {}
    }
}

/// Orders some rows; true where there may be more.
async fn round(pool: &Pool) -> bool {
    match trail::order(pool).await {
        Ok(None) => false,
        Ok(Some(ordered)) => {
            if ordered.rows > 0 {
                tracing::debug!(rows = ordered.rows, size = ordered.size, "The audit tree grew");
            }
            ordered.may_have_left_some
        }
        Err(error) => {
            tracing::warn!(%error, "The rows of the audit trail cannot be put in order; trying again");
            false
        }
    }
}
