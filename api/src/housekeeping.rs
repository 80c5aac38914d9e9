//! Removes rows that have had their time, for as long as the process runs.

use std::time::{Duration, Instant};

use store::{
    Pool,
    housekeeping::{self, Keep},
};

/// Goes through them this often.
pub(crate) async fn run(pool: Pool, keep: Keep, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        loop {
            let begun = Instant::now();
            if !sweep(&pool, keep).await {
                break;
            }
            // Half of the time is left to everybody else.
            tokio::time::sleep(begun.elapsed()).await;
        }
    }
}

/// Removes some of them; true where there may be more.
async fn sweep(pool: &Pool, keep: Keep) -> bool {
    let swept = housekeeping::sweep(pool, keep).await;
    match &swept {
        Ok(None) => tracing::debug!("Another process removes old rows"),
        Ok(Some(removed)) if *removed == housekeeping::Removed::default() => {}
        Ok(Some(removed)) => tracing::info!(
            sessions = removed.sessions,
            idempotency_keys = removed.idempotency_keys,
            throttle_counters = removed.throttle_counters,
            access_codes = removed.access_codes,
            "Removed {} rows of log-ins, {} idempotency keys, {} counters of attempts and {} access codes that had had their time",
            removed.sessions,
            removed.idempotency_keys,
            removed.throttle_counters,
            removed.access_codes,
        ),
        Err(error) => tracing::warn!(%error, "Old rows cannot be removed"),
    }
    matches!(swept, Ok(Some(removed)) if removed.may_have_left_some())
}
