//! What was done with a patient's data, by day and account.

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::UserId;
use uuid::Uuid;

use super::{AuditFilter, emergencies};
use crate::{StoreError, Tx};

/// What one account did with a patient's data on one day, or tried.
#[derive(Debug, Clone)]
pub struct AccountDay {
    /// When the day begins (UTC).
    pub day: DateTime<Utc>,
    /// Who.
    pub user: UserId,
    /// When the first of it happened.
    pub first_at: DateTime<Utc>,
    /// When the last of it happened.
    pub last_at: DateTime<Utc>,
    /// How many records were opened.
    pub reads: i64,
    /// How many lists were asked for.
    pub searches: i64,
    /// How often it was refused.
    pub denials: i64,
    /// How often it was allowed as an emergency, without a consent.
    pub emergencies: i64,
    /// How often anything was done or tried.
    pub times: i64,
    /// How many records it was about, each counted once.
    pub records: i64,
}

/// Where a page goes on: after this day and account.
pub type DayKey = (DateTime<Utc>, Uuid);

struct DayRow {
    day: DateTime<Utc>,
    user_id: Uuid,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    reads: i64,
    searches: i64,
    denials: i64,
    emergencies: i64,
    times: i64,
    records: i64,
}

impl From<DayRow> for AccountDay {
    fn from(row: DayRow) -> Self {
        Self {
            day: row.day,
            user: UserId(row.user_id),
            first_at: row.first_at,
            last_at: row.last_at,
            reads: row.reads,
            searches: row.searches,
            denials: row.denials,
            emergencies: row.emergencies,
            times: row.times,
            records: row.records,
        }
    }
}

/// A page of what was done with the data of the patient whom the filter names, newest day first; up to one more than `size`. Of the
/// filter it takes who, the actions, what was allowed, what was an emergency, and the times. Served by
/// `idx_audit_logs_patient_time`: it reads the rows of as many days as the page needs, whatever came before them.
///
/// # Errors
/// [`StoreError`].
pub async fn by_day(
    tx: &mut Tx<'_>,
    filter: &AuditFilter,
    after: Option<DayKey>,
    size: i64,
) -> Result<Vec<AccountDay>, StoreError> {
    let rows = sqlx::query_file_as!(
        DayRow,
        "src/audit/by_day.sql",
        filter.patient.map(|id| id.0),
        after.map(|(day, _)| day + TimeDelta::days(1)),
        after.map(|(day, _)| day),
        after.map(|(_, user)| user),
        size + 1,
        &emergencies(),
        filter.from,
        filter.to,
        filter.user.map(|id| id.0),
        (!filter.actions.is_empty()).then_some(&filter.actions[..]) as Option<&[String]>,
        filter.allowed,
        filter.emergency,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(AccountDay::from).collect())
}
