//! The newest current records of single patients, with the people whom they name and their anchors: what most lists look for,
//! for all of a batch in one statement.

use std::{cmp::Reverse, collections::HashMap};

use chrono::{DateTime, Utc};
use domain::{ids::UserId, users::User};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{PageKey, Visible};
use crate::{
    StoreError,
    anchors::{Anchor, AnchorRow},
    records::{Record, RecordRow},
    rows,
    users::UserRow,
};

/// A page of one patient's newest current records.
#[derive(Debug, Clone)]
pub struct NewestPage {
    /// Whose, and of which types.
    pub visible: Visible,
    /// Whether those in the grace time of a deletion, too.
    pub restricted: bool,
    /// Where it goes on.
    pub after: Option<PageKey>,
    /// How many.
    pub limit: i64,
}

/// What comes with pages of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WithRecords {
    /// The patients and authors.
    pub people: bool,
    /// The anchors.
    pub anchors: bool,
}

/// What was found for several pages.
#[derive(Debug, Default)]
pub struct NewestRecords {
    /// The records, newest first, by patient.
    pub pages: HashMap<UserId, Vec<Record>>,
    /// Their patients and authors, each once, if that was asked.
    pub people: Vec<User>,
    /// Their anchors, if that was asked. One that cannot be read is logged and left out.
    pub anchors: Vec<Anchor>,
}

/// What a row of `newest_of_patients.sql` is.
const RECORD: i32 = 1;
const PERSON: i32 = 2;

struct NewestRow {
    part: i32,
    id: Option<Uuid>,
    patient_id: Option<Uuid>,
    author_id: Option<Uuid>,
    record_type: Option<String>,
    version: Option<i32>,
    predecessor_id: Option<Uuid>,
    superseded_at: Option<DateTime<Utc>>,
    withdrawn: Option<bool>,
    record_metadata: Option<Value>,
    missing_elements: Option<Value>,
    data_hash: Option<String>,
    blockchain_record_id: Option<String>,
    restricted_at: Option<DateTime<Utc>>,
    erased_at: Option<DateTime<Utc>>,
    effective_at: Option<DateTime<Utc>>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
    sealed_bytes: Option<i32>,
    email: Option<String>,
    username: Option<String>,
    role: Option<String>,
    is_active: Option<bool>,
    blockchain_address: Option<String>,
    organization_id: Option<Uuid>,
    record_hash: Option<String>,
    state: Option<String>,
    tx_hash: Option<String>,
    registrar: Option<String>,
    block_number: Option<i64>,
    block_hash: Option<String>,
    log_index: Option<i64>,
    sequence: Option<i64>,
    confirmed_at: Option<DateTime<Utc>>,
    finalized_at: Option<DateTime<Utc>>,
    closing_reason: Option<i16>,
    closing_state: Option<String>,
    closing_tx_hash: Option<String>,
    closed_by: Option<String>,
    closing_block: Option<i64>,
}

impl NewestRow {
    fn record(self) -> Option<RecordRow> {
        Some(RecordRow {
            id: self.id?,
            patient_id: self.patient_id?,
            author_id: self.author_id,
            record_type: self.record_type?,
            version: self.version?,
            predecessor_id: self.predecessor_id,
            superseded_at: self.superseded_at,
            withdrawn: self.withdrawn?,
            record_metadata: self.record_metadata,
            missing_elements: self.missing_elements,
            data_hash: self.data_hash?,
            blockchain_record_id: self.blockchain_record_id?,
            sealed_bytes: self.sealed_bytes?,
            restricted_at: self.restricted_at,
            erased_at: self.erased_at,
            effective_at: self.effective_at,
            created_at: self.created_at?,
            updated_at: self.updated_at?,
        })
    }

    fn person(self) -> Option<UserRow> {
        Some(UserRow {
            id: self.id?,
            email: self.email?,
            username: self.username?,
            role: self.role?,
            is_active: self.is_active?,
            blockchain_address: self.blockchain_address,
            organization_id: self.organization_id,
            created_at: self.created_at?,
        })
    }

    fn anchor(self) -> Option<AnchorRow> {
        Some(AnchorRow {
            record_id: self.id?,
            record_hash: self.record_hash?,
            state: self.state?,
            tx_hash: self.tx_hash?,
            registrar: self.registrar,
            block_number: self.block_number,
            block_hash: self.block_hash,
            log_index: self.log_index,
            sequence: self.sequence,
            confirmed_at: self.confirmed_at,
            finalized_at: self.finalized_at,
            closing_reason: self.closing_reason,
            closing_state: self.closing_state,
            closing_tx_hash: self.closing_tx_hash,
            closed_by: self.closed_by,
            closing_block: self.closing_block,
        })
    }
}

/// Pages of several patients in one statement, each patient's once: what [`super::page_of`] gives of each in the order
/// [`super::Order::CreatedDescending`] without a filter but the types; and what is to come with them. Served by
/// `idx_medical_records_patient_page` and the primary keys of accounts, anchors and closings.
///
/// # Errors
/// [`StoreError`].
pub async fn newest_of(
    conn: &mut PgConnection,
    pages: &[NewestPage],
    with: WithRecords,
) -> Result<NewestRecords, StoreError> {
    let (patients, types): (Vec<Uuid>, Vec<Option<String>>) =
        pages.iter().map(|page| page.visible.columns()).unzip();
    let restricted: Vec<bool> = pages.iter().map(|page| page.restricted).collect();
    let after = |page: &NewestPage| page.after.map(|(at, id)| (at, id.0)).unzip();
    let (times, ids): (Vec<Option<DateTime<Utc>>>, Vec<Option<Uuid>>) =
        pages.iter().map(after).unzip();
    let limits: Vec<i64> = pages.iter().map(|page| page.limit).collect();
    let found = sqlx::query_file_as!(
        NewestRow,
        "src/records/search/newest_of_patients.sql",
        &patients,
        &types as &[Option<String>],
        &restricted,
        &times as &[Option<DateTime<Utc>>],
        &ids as &[Option<Uuid>],
        &limits,
        with.people,
        with.anchors,
    )
    .fetch_all(conn)
    .await?;
    let mut newest = NewestRecords::default();
    for row in found {
        match row.part {
            RECORD => {
                let record = Record::try_from(rows::whole(row.record(), "record")?)?;
                newest.pages.entry(record.patient).or_default().push(record);
            }
            PERSON => newest
                .people
                .push(rows::whole(row.person(), "account")?.try_into()?),
            _ => newest
                .anchors
                .extend(rows::whole(row.anchor(), "anchor")?.read()),
        }
    }
    for page in newest.pages.values_mut() {
        page.sort_by_key(|record| Reverse((record.created_at, record.id)));
    }
    Ok(newest)
}
