//! Retention by itself, for as long as the process runs.

use std::time::Duration;

use super::{Retention, RetentionError, RetentionReport};

/// After how long it is tried again what failed, where the next run is not sooner.
const SOON: Duration = Duration::from_mins(5);

/// Runs again and again.
pub(crate) async fn run(retention: Retention, every: Duration) {
    let mut is_said = false;
    loop {
        let next = match retention.run(false, &mut |_| ()).await {
            Ok(report) => {
                say(&report);
                if report.audit_rows_unsigned && !is_said {
                    is_said = true;
                    tracing::warn!(
                        "Rows of the audit trail stay, however old they are: this process has no key that signs their removal (MEDITRUSTAL_CHECKPOINT_KEY_FILE)"
                    );
                }
                every
            }
            Err(RetentionError::Busy) => {
                tracing::debug!("Another process removes what has been kept long enough");
                every
            }
            Err(error) => {
                let next = every.min(SOON);
                let seconds = next.as_secs();
                tracing::warn!(%error, seconds, "What has been kept long enough cannot be removed; trying again in {seconds} seconds");
                next
            }
        };
        tokio::time::sleep(next).await;
    }
}

fn say(report: &RetentionReport) {
    if report.erased() > 0 || report.audit_rows > 0 {
        tracing::info!(
            records = report.erased(),
            audit_rows = report.audit_rows,
            "Erased {} records of {} patients and removed {} rows of the audit trail that had been kept long enough",
            report.erased(),
            report.patients,
            report.audit_rows,
        );
    }
    if report.has_left_some() {
        tracing::error!(
            patients = report.waiting_patients,
            records = report.waiting_records,
            rules = report.changed_rules,
            changed_audit_rows = report.changed_audit_rows,
            undue_audit_rows = report.undue_audit_rows,
            "Some of what has been kept long enough waits for an operator: `meditrustal retention run --dry-run` says what"
        );
    }
}
