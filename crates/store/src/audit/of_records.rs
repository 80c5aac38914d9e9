//! Who saw each of several records: pages of the trail that are asked for together.

use domain::ids::{RecordId, UserId};
use uuid::Uuid;

use super::{AuditPage, Run, audit_row};
use crate::{StoreError, Tx};

/// Which page of whose trail is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordPage {
    /// The record.
    pub record: RecordId,
    /// Rows with an id below this one.
    pub before: i64,
    /// How many at most.
    pub size: i64,
}

/// For each page that is asked for, rows about a record of this patient, or that name it among others, newest first. Served by
/// `idx_audit_logs_resource_page` and `idx_audit_logs_record_ids`.
///
/// # Errors
/// [`StoreError`].
pub async fn of_records(
    tx: &mut Tx<'_>,
    patient: UserId,
    asked: &[RecordPage],
) -> Result<Vec<AuditPage>, StoreError> {
    let records: Vec<Uuid> = asked.iter().map(|page| page.record.0).collect();
    let before: Vec<i64> = asked.iter().map(|page| page.before).collect();
    let sizes: Vec<i64> = asked.iter().map(|page| page.size).collect();
    let rows = sqlx::query_file!(
        "src/audit/of_records.sql",
        &records,
        &before,
        &sizes,
        patient.0,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut pages: Vec<AuditPage> = Vec::new();
    pages.resize_with(asked.len(), || AuditPage {
        rows: Vec::new(),
        has_more: false,
    });
    for row in rows {
        let nth = usize::try_from(row.nth - 1).unwrap_or(usize::MAX);
        let (Some(page), Some(asked)) = (pages.get_mut(nth), asked.get(nth)) else {
            continue;
        };
        if i64::try_from(page.rows.len()).is_ok_and(|read| read >= asked.size) {
            page.has_more = true;
            continue;
        }
        let run = Run {
            oldest: row.id,
            since: row.event_time,
            times: row.times,
            records: row.records,
            record: row.record.map(RecordId),
        };
        page.rows.push(audit_row!(row, run));
    }
    Ok(pages)
}
