//! The audit trail: appended to by everybody, read by administrators and by the patient it is about.

mod by_day;
mod of_records;

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditEntry, Classification, ResourceType},
    ids::{ConsentId, RecordId, RequestId, UserId},
    purpose::{EMERGENCIES, Purpose},
    representatives::Relationship,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::{
    by_day::{AccountDay, DayKey, by_day},
    of_records::{RecordPage, of_records},
};
use crate::{StoreError, Tx, records::search::plan_by_values};

/// Appends rows in one statement. The database chooses ids and times.
///
/// # Errors
/// [`StoreError`]: then nothing may be disclosed.
pub async fn insert(conn: &mut PgConnection, entries: &[AuditEntry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let column = |cell: fn(&AuditEntry) -> Uuid| entries.iter().map(cell).collect::<Vec<_>>();
    let text = |cell: fn(&AuditEntry) -> &str| {
        entries
            .iter()
            .map(|e| cell(e).to_owned())
            .collect::<Vec<String>>()
    };
    let ids = |cell: fn(&AuditEntry) -> Option<Uuid>| entries.iter().map(cell).collect::<Vec<_>>();
    let texts =
        |cell: fn(&AuditEntry) -> Option<String>| entries.iter().map(cell).collect::<Vec<_>>();
    let users = column(|e| e.user.0);
    let actions = text(|e| e.action.as_str());
    let resource_types = text(|e| e.resource_type.as_str());
    let resource_ids = column(|e| e.resource_id);
    let old_values: Vec<Option<Value>> = entries.iter().map(|e| e.old_value.clone()).collect();
    let new_values: Vec<Option<Value>> = entries.iter().map(new_value).collect();
    let addresses: Vec<String> = entries
        .iter()
        .map(|e| e.origin.address.to_string())
        .collect();
    let agents = texts(|e| e.origin.user_agent.clone());
    let requests = column(|e| e.origin.request.0);
    let purposes = text(|e| e.purpose.as_str());
    let consents = ids(|e| e.consent.map(|c| c.0));
    let days: Vec<i32> = entries.iter().map(days_kept).collect();
    let classes = text(|e| e.classification.as_str());
    let destinations = texts(|e| e.destination.clone());
    let encryption = text(|e| e.encryption.as_str());
    let patients = ids(|e| e.patient.map(|p| p.0));
    let represented = ids(|e| e.on_behalf_of.map(|p| p.0));
    let named = NamedRecords::of(entries);

    sqlx::query!(
        "INSERT INTO audit_logs (
             user_id, action_type, resource_type, resource_id, old_value, new_value, ip_address, user_agent, request_id,
             purpose, consent_reference, retention_period, data_classification, is_cross_border, destination_country,
             encryption_status, patient_id, record_ids, on_behalf_of
         )
         SELECT e.user_id, e.action, e.resource_type, e.resource_id, e.old_value, e.new_value, e.address::inet, e.agent,
                e.request, e.purpose, e.consent, make_interval(days => e.days), e.class, e.destination IS NOT NULL,
                e.destination, e.encryption, e.patient,
                CASE WHEN e.last_record >= e.first_record THEN ($17::uuid[])[e.first_record : e.last_record] END,
                e.on_behalf_of
         FROM UNNEST(
             $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::jsonb[], $6::jsonb[], $7::text[], $8::text[], $9::uuid[],
             $10::text[], $11::uuid[], $12::int[], $13::text[], $14::text[], $15::text[], $16::uuid[], $18::int[], $19::int[],
             $20::uuid[]
         ) WITH ORDINALITY AS e(
             user_id, action, resource_type, resource_id, old_value, new_value, address, agent, request, purpose, consent,
             days, class, destination, encryption, patient, first_record, last_record, on_behalf_of, nth
         )
         ORDER BY e.nth",
        &users,
        &actions,
        &resource_types,
        &resource_ids,
        &old_values as &[Option<Value>],
        &new_values as &[Option<Value>],
        &addresses,
        &agents as &[Option<String>],
        &requests,
        &purposes,
        &consents as &[Option<Uuid>],
        &days,
        &classes,
        &destinations as &[Option<String>],
        &encryption,
        &patients as &[Option<Uuid>],
        &named.records,
        &named.first,
        &named.last,
        &represented as &[Option<Uuid>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is now, with the representation by which it was done. The row's hash binds both.
fn new_value(entry: &AuditEntry) -> Option<Value> {
    let Some(representation) = entry.representation else {
        return entry.new_value.clone();
    };
    let said = entry.new_value.clone();
    let mut said = said.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    if let Some(said) = said.as_object_mut() {
        said.insert(
            "representation".to_owned(),
            representation.to_string().into(),
        );
    }
    Some(said)
}

/// How long the row is kept. Unit: days.
fn days_kept(entry: &AuditEntry) -> i32 {
    i32::try_from(entry.action.retention().num_days()).unwrap_or(i32::MAX)
}

/// The records that entries name, one list after the other, and where that of each entry begins and ends in it: an array
/// of PostgreSQL has no rows of different lengths.
#[derive(Debug, Default)]
struct NamedRecords {
    records: Vec<Uuid>,
    first: Vec<i32>,
    last: Vec<i32>,
}

impl NamedRecords {
    fn of(entries: &[AuditEntry]) -> Self {
        let mut named = Self::default();
        let place = |records: &[Uuid]| {
            i32::try_from(records.len())
                .expect("entries that are written together name no 2^31 records")
        };
        for entry in entries {
            named.first.push(place(&named.records) + 1);
            named.records.extend(entry.records.iter().map(|id| id.0));
            named.last.push(place(&named.records));
        }
        named
    }
}

/// One row of the trail as it is read back.
#[derive(Debug, Clone)]
pub struct AuditRow {
    /// Its number.
    pub id: i64,
    /// When it happened.
    pub event_time: DateTime<Utc>,
    /// Who did it.
    pub user: UserId,
    /// What.
    pub action_type: String,
    /// To what kind of thing.
    pub resource_type: String,
    /// To which one.
    pub resource_id: Uuid,
    /// What was before.
    pub old_value: Option<Value>,
    /// What is now, or why it was refused.
    pub new_value: Option<Value>,
    /// From where.
    pub ip_address: String,
    /// With what.
    pub user_agent: Option<String>,
    /// In which request.
    pub request_id: Uuid,
    /// Why.
    pub purpose: String,
    /// The consent that decided.
    pub consent_reference: Option<Uuid>,
    /// How long the row is kept. Unit: days.
    pub retention_days: i32,
    /// How sensitive.
    pub data_classification: String,
    /// Whether data left the home country.
    pub is_cross_border: bool,
    /// Where it went.
    pub destination_country: Option<String>,
    /// In what form.
    pub encryption_status: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// Whose data.
    pub patient: Option<UserId>,
    /// The records that a list disclosed.
    pub record_ids: Vec<Uuid>,
    /// For which patient, where somebody acted for one.
    pub on_behalf_of: Option<UserId>,
    /// What they were to that patient then; `None` where they never acted for them.
    pub relationship: Option<Relationship>,
    /// The rows that it stands for: itself alone, unless they were grouped.
    pub run: Run,
}

/// Rows of a log that follow one another on a day (UTC), of one account, for one patient, of one action, purpose, consent and
/// outcome.
#[derive(Debug, Clone)]
pub struct Run {
    /// The number of the oldest.
    pub oldest: i64,
    /// When the oldest happened.
    pub since: DateTime<Utc>,
    /// How often what they say was done, or tried.
    pub times: i64,
    /// How many records they are about, each counted once.
    pub records: i64,
    /// The record that all of them are about; `None` where they are about several, or some about none.
    pub record: Option<RecordId>,
}

/// A page of the trail.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// Newest first.
    pub rows: Vec<AuditRow>,
    /// Whether there are older ones.
    pub has_more: bool,
}

/// How many rows are grouped at most for one page; a longer run is told in parts.
pub const MAX_GROUPED: i64 = 5000;

/// Which rows to read. What is left out matches everything; what is given must all be met.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// One of these numbers; any where there is none.
    pub rows: Vec<i64>,
    /// Done by.
    pub user: Option<UserId>,
    /// About this thing, or naming it among records.
    pub resource: Option<Uuid>,
    /// About things of this kind.
    pub resource_type: Option<ResourceType>,
    /// One of these actions; any where there is none.
    pub actions: Vec<String>,
    /// Of this patient's data.
    pub patient: Option<UserId>,
    /// What was allowed, or what was refused.
    pub allowed: Option<bool>,
    /// What was allowed as an emergency, without a consent, or what was not.
    pub emergency: Option<bool>,
    /// For this purpose.
    pub purpose: Option<Purpose>,
    /// Decided by this consent.
    pub consent: Option<ConsentId>,
    /// Of data so sensitive.
    pub classification: Option<Classification>,
    /// Whether data left the home country.
    pub is_cross_border: Option<bool>,
    /// In this request.
    pub request: Option<RequestId>,
    /// At this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub to: Option<DateTime<Utc>>,
    /// Whether a run of like rows is told as its newest, which stands for all of them.
    pub grouped: bool,
}

/// A row of the trail out of what a statement gives of it, told as this run.
macro_rules! audit_row {
    ($row:expr, $run:expr) => {
        $crate::audit::AuditRow {
            run: $run,
            id: $row.id,
            event_time: $row.event_time,
            user: UserId($row.user_id),
            action_type: $row.action_type,
            resource_type: $row.resource_type,
            resource_id: $row.resource_id,
            old_value: $row.old_value,
            new_value: $row.new_value,
            ip_address: $row.ip_address,
            user_agent: $row.user_agent,
            request_id: $row.request_id,
            purpose: $row.purpose,
            consent_reference: $row.consent_reference,
            retention_days: $row.retention_days,
            data_classification: $row.data_classification,
            is_cross_border: $row.is_cross_border,
            destination_country: $row.destination_country,
            encryption_status: $row.encryption_status,
            created_at: $row.created_at,
            patient: $row.patient_id.map(UserId),
            record_ids: $row.record_ids.unwrap_or_default(),
            on_behalf_of: $row.on_behalf_of.map(UserId),
            relationship: $row.relationship.and_then(|it| it.parse().ok()),
        }
    };
}
pub(crate) use audit_row;

/// A row as `page.sql` and `page_of_thing.sql` give it.
struct RawAuditRow {
    oldest: i64,
    since: DateTime<Utc>,
    times: i64,
    records: i64,
    record: Option<Uuid>,
    is_cut: bool,
    id: i64,
    event_time: DateTime<Utc>,
    user_id: Uuid,
    action_type: String,
    resource_type: String,
    resource_id: Uuid,
    old_value: Option<Value>,
    new_value: Option<Value>,
    ip_address: String,
    user_agent: Option<String>,
    request_id: Uuid,
    purpose: String,
    consent_reference: Option<Uuid>,
    retention_days: i32,
    data_classification: String,
    is_cross_border: bool,
    destination_country: Option<String>,
    encryption_status: String,
    created_at: DateTime<Utc>,
    patient_id: Option<Uuid>,
    record_ids: Option<Vec<Uuid>>,
    on_behalf_of: Option<Uuid>,
    relationship: Option<String>,
}

impl From<RawAuditRow> for AuditRow {
    fn from(row: RawAuditRow) -> Self {
        let run = Run {
            oldest: row.oldest,
            since: row.since,
            times: row.times,
            records: row.records,
            record: row.record.map(RecordId),
        };
        audit_row!(row, run)
    }
}

/// Rows with an id below `before`, newest first. Which index leads is chosen by the values that are given: those by thing and
/// records, or else those by account, patient, consent, request or time, or the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    tx: &mut Tx<'_>,
    filter: &AuditFilter,
    before: i64,
    size: i64,
) -> Result<AuditPage, StoreError> {
    plan_by_values(tx).await?;
    let rows = match filter.resource {
        Some(thing) => about(tx, filter, thing, before, size).await?,
        None => about_anything(tx, filter, before, size).await?,
    };
    let fit = usize::try_from(size).unwrap_or(usize::MAX);
    let has_more = rows.len() > fit || rows.iter().any(|row| row.is_cut);
    let rows = rows.into_iter().take(fit).map(AuditRow::from).collect();
    Ok(AuditPage { rows, has_more })
}

/// The oldest rows with an id above `after`, newest first like every page; whether there are more says so of newer ones. Never
/// grouped. Found by the indexes of [`page`], read the other way, and then read by their numbers.
///
/// # Errors
/// [`StoreError`].
pub async fn page_back(
    tx: &mut Tx<'_>,
    filter: &AuditFilter,
    after: i64,
    size: i64,
) -> Result<AuditPage, StoreError> {
    plan_by_values(tx).await?;
    let mut numbers = match filter.resource {
        Some(thing) => numbers_of_thing_after(tx, filter, thing, after, size + 1).await?,
        None => numbers_after(tx, filter, after, size + 1).await?,
    };
    let fit = usize::try_from(size).unwrap_or(usize::MAX);
    let has_more = numbers.len() > fit;
    numbers.truncate(fit);
    if numbers.is_empty() {
        return Ok(AuditPage {
            rows: Vec::new(),
            has_more,
        });
    }
    let found = AuditFilter {
        rows: numbers,
        ..AuditFilter::default()
    };
    let page = page(tx, &found, i64::MAX, size).await?;
    Ok(AuditPage { has_more, ..page })
}

impl AuditFilter {
    /// How many rows are read for a page: one more than may be told.
    fn read(&self, size: i64) -> i64 {
        let read = if self.grouped { MAX_GROUPED } else { size };
        read + 1
    }

    /// The numbers, where there are some.
    fn numbers(&self) -> Option<&[i64]> {
        (!self.rows.is_empty()).then_some(&self.rows[..])
    }
}

fn emergencies() -> [String; 2] {
    EMERGENCIES.map(|purpose| purpose.as_str().to_owned())
}

async fn about_anything(
    tx: &mut Tx<'_>,
    filter: &AuditFilter,
    before: i64,
    size: i64,
) -> Result<Vec<RawAuditRow>, StoreError> {
    let rows = sqlx::query_file_as!(
        RawAuditRow,
        "src/audit/page.sql",
        before,
        filter.user.map(|id| id.0),
        &emergencies(),
        (!filter.actions.is_empty()).then_some(&filter.actions[..]) as Option<&[String]>,
        filter.patient.map(|id| id.0),
        filter.allowed,
        filter.read(size),
        filter.grouped,
        size + 1,
        filter.resource_type.map(ResourceType::as_str),
        filter.purpose.map(Purpose::as_str),
        filter.consent.map(|id| id.0),
        filter.classification.map(Classification::as_str),
        filter.is_cross_border,
        filter.request.map(|id| id.0),
        filter.from,
        filter.to,
        filter.emergency,
        filter.numbers() as Option<&[i64]>,
    );
    Ok(rows.fetch_all(&mut **tx).await?)
}

async fn about(
    tx: &mut Tx<'_>,
    filter: &AuditFilter,
    thing: Uuid,
    before: i64,
    size: i64,
) -> Result<Vec<RawAuditRow>, StoreError> {
    let rows = sqlx::query_file_as!(
        RawAuditRow,
        "src/audit/page_of_thing.sql",
        before,
        filter.user.map(|id| id.0),
        thing,
        (!filter.actions.is_empty()).then_some(&filter.actions[..]) as Option<&[String]>,
        filter.patient.map(|id| id.0),
        filter.allowed,
        filter.read(size),
        filter.grouped,
        size + 1,
        filter.resource_type.map(ResourceType::as_str),
        filter.purpose.map(Purpose::as_str),
        filter.consent.map(|id| id.0),
        filter.classification.map(Classification::as_str),
        filter.is_cross_border,
        filter.request.map(|id| id.0),
        filter.from,
        filter.to,
        filter.emergency,
        &emergencies(),
        filter.numbers() as Option<&[i64]>,
    );
    Ok(rows.fetch_all(&mut **tx).await?)
}

/// Asks for the numbers of rows after one, by the statement in `$file`, which may take more after the filter.
macro_rules! numbers_after {
    ($file:tt, $filter:ident, $after:ident, $limit:ident $(, $more:ident)?) => {
        sqlx::query_file_scalar!(
            $file,
            $after,
            $filter.user.map(|id| id.0),
            &emergencies(),
            (!$filter.actions.is_empty()).then_some(&$filter.actions[..]) as Option<&[String]>,
            $filter.patient.map(|id| id.0),
            $filter.allowed,
            $limit,
            $filter.resource_type.map(ResourceType::as_str),
            $filter.purpose.map(Purpose::as_str),
            $filter.consent.map(|id| id.0),
            $filter.classification.map(Classification::as_str),
            $filter.is_cross_border,
            $filter.request.map(|id| id.0),
            $filter.from,
            $filter.to,
            $filter.emergency,
            $($more,)?
        )
    };
}

async fn numbers_after(
    tx: &mut Tx<'_>,
    filter: &AuditFilter,
    after: i64,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    let numbers = numbers_after!("src/audit/numbers_after.sql", filter, after, limit);
    Ok(numbers.fetch_all(&mut **tx).await?)
}

async fn numbers_of_thing_after(
    tx: &mut Tx<'_>,
    filter: &AuditFilter,
    thing: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    let numbers = numbers_after!(
        "src/audit/numbers_of_thing_after.sql",
        filter,
        after,
        limit,
        thing
    );
    Ok(numbers.fetch_all(&mut **tx).await?)
}
