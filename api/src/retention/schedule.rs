//! Retention by itself, for as long as the process runs.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{Retention, RetentionError};

/// Runs again and again.
pub(crate) async fn run(retention: Retention, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match retention.run(false, &mut |_| ()).await {
            Ok(report) if report.erased() > 0 || report.audit_rows > 0 => tracing::info!(
                records = report.erased(),
                audit_rows = report.audit_rows,
                "Erased {} records of {} patients and removed {} rows of the audit trail that had been kept long enough",
                report.erased(),
                report.patients,
                report.audit_rows,
            ),
            Ok(_) => {}
            Err(RetentionError::Busy) => {
                tracing::debug!("Another process removes what has been kept long enough");
            }
            Err(error) => {
                tracing::warn!(%error, "What has been kept long enough cannot be removed; trying again");
            }
        }
    }
}
