//! Reads off documents again what records are found by, where an earlier program read less, or otherwise: the metadata with their dates, when
//! it was, the codes, and what is missing. The document, its hash and its anchor stay; its envelope binds those columns, and is made anew.
//!
//! A few records at a time, in the order of their ids, each few in one transaction with the audit rows that say so. Who walks looks at
//! no document and hands none out, so nothing is a disclosure: as of the deep check, what does not open is a finding. What comes out the same is
//! not written: a second walk changes nothing, and one that was cut off may begin anew anywhere.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{PatientKeyId, RecordId},
    purpose::Purpose,
    records::{Metadata, RecordType},
    stored::{StoredKey, StoredRecord},
    users::SCHEDULER,
};
use serde_json::{Value, json};
use store::{
    Pool, StoreError, audit, deep_check,
    records::{
        self,
        derived::{self, DerivedRecord},
    },
};
use uuid::Uuid;
use vault::{
    blind_index::IndexKey,
    envelope::{Binding, PatientKey},
    keyring::{Keyring, KeysUnavailable},
    row::{self, Content, Opened},
};

use super::{
    decrypt,
    prepare::{effective_at, kind, missing, tokens},
};

/// How many records are read at once: documents of 1 MiB must not fill the memory.
const STEP: u32 = 32;

/// What records are derived anew with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deriving<'a> {
    /// The database, under the role that owns the tables.
    pub(crate) pool: &'a Pool,
    /// The master keys.
    pub(crate) keyring: &'a Keyring,
    /// What codes are found by.
    pub(crate) index_key: &'a IndexKey,
    /// Whether nothing is written.
    pub(crate) is_dry: bool,
}

/// Why a walk ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeriveError {
    /// The database's.
    #[error("the database could not answer; run it again")]
    Store(#[from] StoreError),
    /// No key can be unwrapped now.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
    /// What was written would not open: nothing of it was kept.
    #[error("record {0} would not open as it was written anew; nothing was changed")]
    NotIntact(RecordId),
}

/// What came of records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeriveReport {
    /// How many were looked at.
    pub(crate) checked: u64,
    /// How many were written anew, or would be.
    pub(crate) changed: u64,
    /// How often each column is another one than before.
    pub(crate) columns: BTreeMap<&'static str, u64>,
    /// How many are erased: there is nothing to read.
    pub(crate) erased: u64,
    /// How many are restricted to their patients, and are not touched.
    pub(crate) restricted: u64,
    /// How many do not open, or are not as they were written: each is a finding.
    pub(crate) unreadable: u64,
    /// How many somebody else was changing.
    pub(crate) busy: u64,
}

impl DeriveReport {
    /// Counts these, too.
    pub(crate) fn add(&mut self, other: &Self) {
        self.checked += other.checked;
        self.changed += other.changed;
        self.erased += other.erased;
        self.restricted += other.restricted;
        self.unreadable += other.unreadable;
        self.busy += other.busy;
        for (column, times) in &other.columns {
            *self.columns.entry(*column).or_default() += times;
        }
    }

    /// Whether another run, or an operator, has something to do.
    pub(crate) const fn is_incomplete(&self) -> bool {
        self.unreadable > 0 || self.busy > 0
    }
}

/// What is read off a document beside it.
#[derive(Debug, PartialEq)]
struct DerivedColumns {
    metadata: Option<Value>,
    effective_at: Option<DateTime<Utc>>,
    code_tokens: Option<Vec<Vec<u8>>>,
    missing: Option<Value>,
}

impl DerivedColumns {
    /// As they stand in the row.
    fn stored(row: &StoredRecord) -> Self {
        Self {
            metadata: row.metadata.clone(),
            effective_at: row.effective_at,
            code_tokens: row.code_tokens.clone(),
            missing: row.missing.clone(),
        }
    }

    /// As this program reads them off the document; `None` of what is no document of a known type.
    fn read(index_key: &IndexKey, row: &StoredRecord, content: &Content) -> Option<Self> {
        let record_type = row.record_type.parse::<RecordType>().ok()?;
        let kind = kind(record_type).ok()?;
        let document = decrypt::document(content)?;
        let mut read = fhir::searchable(&document, kind);
        let found = std::mem::take(&mut read.metadata);
        // A version that withdraws lacks what the one before lacked. What this program would refuse is as it was.
        let lacking = match fhir::check(&document, kind) {
            Ok(checked) if !row.is_withdrawn => missing(&checked.completeness),
            Ok(_) | Err(_) => row.missing.clone(),
        };
        Some(Self {
            metadata: Metadata::read_again(row.metadata.clone(), found, record_type),
            effective_at: effective_at(&read),
            code_tokens: tokens(index_key, row.patient, &read.codes),
            missing: lacking,
        })
    }

    /// The columns that are others than those.
    fn differing(&self, other: &Self) -> Vec<&'static str> {
        let differ = [
            ("record_metadata", self.metadata != other.metadata),
            ("effective_at", self.effective_at != other.effective_at),
            ("code_tokens", self.code_tokens != other.code_tokens),
            ("missing_elements", self.missing != other.missing),
        ];
        let differ = differ.into_iter();
        differ
            .filter_map(|(column, differs)| differs.then_some(column))
            .collect()
    }

    /// The row with these, sealed with them; `None` of a row that cannot be sealed.
    fn sealed(
        self,
        row: &StoredRecord,
        key: &PatientKey,
        content: &Content,
    ) -> Option<DerivedRecord> {
        let binding = Binding {
            metadata: self.metadata.as_ref(),
            effective_at: self.effective_at,
            code_tokens: self.code_tokens.as_deref(),
            missing: self.missing.as_ref(),
            ..row::binding(row)?
        };
        let encrypted_data = key.seal(&binding, content);
        Some(DerivedRecord {
            id: row.id,
            read_at: row.updated_at,
            metadata: self.metadata,
            effective_at: self.effective_at,
            code_tokens: self.code_tokens,
            missing: self.missing,
            encrypted_data,
        })
    }
}

/// A record that is to be written, and its row of the trail.
struct DerivedDraft {
    record: DerivedRecord,
    columns: Vec<&'static str>,
    entry: AuditEntry,
}

impl Deriving<'_> {
    /// Derives the next records behind this id; at most as many as are asked for. Gives the last of them; `None` behind the last one of all.
    ///
    /// # Errors
    /// [`DeriveError`]; then nothing of these records was written.
    pub(crate) async fn step(
        self,
        after: Uuid,
        at_most: u32,
        origin: &Origin,
    ) -> Result<Option<(RecordId, DeriveReport)>, DeriveError> {
        let mut conn = self.pool.acquire().await?;
        let limit = i64::from(STEP.min(at_most));
        let ids = deep_check::records_after(&mut conn, after, limit).await?;
        let Some(last) = ids.last().copied() else {
            return Ok(None);
        };
        let mut rows = records::sealed(&mut conn, &ids).await?;
        drop(conn);
        rows.sort_unstable_by_key(|row| row.id);
        let mut report = DeriveReport {
            checked: rows.len() as u64,
            ..DeriveReport::default()
        };
        let keys = self.keys(&rows).await?;
        let due = self.due(rows, &keys, &mut report, origin).await?;
        if self.is_dry {
            for it in &due {
                report.count(&it.columns);
            }
        } else if !due.is_empty() {
            self.write(due, &keys, &mut report).await?;
        }
        Ok(Some((last, report)))
    }

    /// Which of these are to be written. What does not open is written down as a finding, unless nothing is to be written.
    async fn due(
        self,
        rows: Vec<StoredRecord>,
        keys: &HashMap<PatientKeyId, PatientKey>,
        report: &mut DeriveReport,
        origin: &Origin,
    ) -> Result<Vec<DerivedDraft>, DeriveError> {
        let mut due = Vec::new();
        for row in rows {
            if row::is_erased(&row) {
                report.erased += 1;
                continue;
            }
            let key = row.key.as_ref().and_then(|key| keys.get(&key.id));
            let opened = row::open(&row, key);
            let found = decrypt::finding_of(&row, &opened);
            let (Some(key), Opened::Intact(content)) = (key, &opened) else {
                report.unreadable += 1;
                if !self.is_dry {
                    decrypt::record_findings(self.pool, &row, found).await?;
                }
                continue;
            };
            if row.restricted_at.is_some() {
                report.restricted += 1;
                continue;
            }
            let stored = DerivedColumns::stored(&row);
            let Some(read) = DerivedColumns::read(self.index_key, &row, content) else {
                report.unreadable += 1;
                continue;
            };
            let columns = read.differing(&stored);
            if columns.is_empty() {
                continue;
            }
            if let Some(record) = read.sealed(&row, key, content) {
                let entry = entry(&row, &columns, origin);
                due.push(DerivedDraft {
                    record,
                    columns,
                    entry,
                });
            }
        }
        Ok(due)
    }

    /// The keys of rows, each unwrapped once; those that do not unwrap are left out.
    async fn keys(
        self,
        rows: &[StoredRecord],
    ) -> Result<HashMap<PatientKeyId, PatientKey>, KeysUnavailable> {
        let mut keys: Vec<&StoredKey> = rows.iter().filter_map(|row| row.key.as_ref()).collect();
        keys.sort_unstable_by_key(|key| key.id);
        keys.dedup_by_key(|key| key.id);
        let unwrapped = self.keyring.unwrap(&keys).await?;
        let ids = keys.iter().map(|key| key.id);
        Ok(ids
            .zip(unwrapped)
            .filter_map(|(id, key)| Some((id, key.ok()?)))
            .collect())
    }

    /// Writes records with their audit rows, all or none of them, and only if each opens as it stands then.
    async fn write(
        self,
        due: Vec<DerivedDraft>,
        keys: &HashMap<PatientKeyId, PatientKey>,
        report: &mut DeriveReport,
    ) -> Result<(), DeriveError> {
        let mut tx = self.pool.begin().await?;
        let (mut written, mut entries, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        let mut busy = 0;
        for it in due {
            if derived::rewrite(&mut tx, &it.record).await? {
                written.push(it.record.id);
                entries.push(it.entry);
                columns.push(it.columns);
            } else {
                busy += 1;
            }
        }
        audit::insert(&mut tx, &entries).await?;
        let rows = records::sealed(&mut tx, &written).await?;
        for row in &rows {
            let key = row.key.as_ref().and_then(|key| keys.get(&key.id));
            if !matches!(row::open(row, key), Opened::Intact(_)) {
                tx.rollback().await?;
                return Err(DeriveError::NotIntact(row.id));
            }
        }
        tx.commit().await?;
        report.busy += busy;
        for columns in &columns {
            report.count(columns);
        }
        Ok(())
    }
}

impl DeriveReport {
    /// Counts a record of which these columns are others.
    fn count(&mut self, columns: &[&'static str]) {
        self.changed += 1;
        for column in columns {
            *self.columns.entry(*column).or_default() += 1;
        }
    }
}

/// The row that says that a record was derived anew: which columns, and not what they say.
fn entry(row: &StoredRecord, columns: &[&'static str], origin: &Origin) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: row.id.0,
        new_value: Some(json!({
            "version": row.version, "columns": columns, "by": "command line",
        })),
        classification: Classification::Medical,
        encryption: EncryptionStatus::EncryptedAtRest,
        patient: Some(row.patient),
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::RecordDerive,
            Purpose::SystemAdministration,
            origin,
        )
    }
}
