//! Records whose time is over: erased line by line, as an erasure does it, and closed on the chain. What is erased cannot be had
//! back: so a line goes only if its last version opens as what its row says of its type and age.

use std::collections::BTreeMap;

use chrono::{DateTime, Months, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{RecordId, RequestId, UserId},
    integrity::{ClosingReason, FindingKind},
    purpose::Purpose,
    records::RecordType,
    stored::StoredRecord,
    users::SCHEDULER,
};
use serde_json::{Value, json};
use store::{
    Tx, audit, barrier, closings, housekeeping,
    records::sealed,
    retention::{self, DueRecord},
};
use uuid::Uuid;
use vault::{keyring::Keyring, row::Opened};

use super::{LOCK, Retention, RetentionError, RetentionReport, evidence::AHEAD, rules};
use crate::{
    deletion::holds,
    erasure_ledger::{self, LedgerEntry},
    error::Error,
    records::decrypt,
};

/// How many patients are looked for at a time.
const PATIENTS_AT_ONCE: i64 = 10_000;
/// After how many patients it is told how far it is.
const TOLD_AFTER: usize = 500;
/// How many lines are erased in one transaction; their last versions are opened.
const LINES_AT_ONCE: i32 = 20;

/// By what a record is due: the time, and for how many years each type is kept.
struct Measure {
    now: DateTime<Utc>,
    years: BTreeMap<RecordType, i32>,
}

impl Measure {
    /// Until when a record of this type is kept; `None` where no rule for it is believed.
    fn until(&self, record_type: RecordType, created_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let years = u32::try_from(*self.years.get(&record_type)?).ok()?;
        created_at.checked_add_months(Months::new(years.checked_mul(12)?))
    }
}

/// Last versions of lines, opened.
type OpenedRecords = BTreeMap<RecordId, (StoredRecord, Opened)>;

/// What came of some lines of a patient.
enum LineBatch {
    /// They were looked at.
    Done(Looked),
    /// A hold is not as it was sealed, or gone.
    Waits,
}

/// Lines that the database says are due.
#[derive(Default)]
struct Looked {
    /// The last of them.
    last: Option<RecordId>,
    /// Those that go: by their last versions.
    lines: Vec<RecordId>,
    /// The versions that are erased, or would be.
    erased: Vec<DueRecord>,
    /// Those that are not due by far, by what their last versions are.
    undue: u64,
    /// Those that do not open as what their rows say.
    doubtful: Vec<Doubtful>,
}

/// A record that does not open as what its row says, and what is wrong with it.
struct Doubtful {
    record: StoredRecord,
    finding: Option<(FindingKind, Value)>,
}

impl Retention {
    /// Goes through the patients whose records are due.
    pub(super) async fn purge_records(
        &self,
        now: DateTime<Utc>,
        report: &mut RetentionReport,
        tell: &mut (dyn FnMut(&RetentionReport) + Send),
    ) -> Result<(), RetentionError> {
        let years = rules::believed(&self.pool).await?;
        let changed = RecordType::ALL.len() - years.len();
        report.changed_rules = u64::try_from(changed).unwrap_or(u64::MAX);
        if changed > 0 {
            tracing::error!(
                types = changed,
                "Records of {changed} types are not erased: for how long they are kept is not what the audit trail says was set"
            );
        }
        let measure = Measure { now, years };
        let mut after = None;
        loop {
            let mut tx = self.pool.begin().await?;
            retention::take_time(&mut tx).await?;
            let patients = retention::patients_due(&mut tx, after, PATIENTS_AT_ONCE).await?;
            tx.commit().await?;
            let Some(last) = patients.last().copied() else {
                return Ok(());
            };
            for some in patients.chunks(TOLD_AFTER) {
                for patient in some {
                    self.purge_records_of(*patient, &measure, report).await?;
                }
                tell(report);
            }
            after = Some(last);
        }
    }

    async fn purge_records_of(
        &self,
        patient: UserId,
        measure: &Measure,
        report: &mut RetentionReport,
    ) -> Result<(), RetentionError> {
        let mut after = RecordId(Uuid::nil());
        let mut is_counted = false;
        loop {
            let batch = self
                .batch(patient, after, (measure, report.dry_run))
                .await?;
            let LineBatch::Done(looked) = batch else {
                report.waiting_patients += 1;
                return Ok(());
            };
            let waiting = u64::try_from(looked.doubtful.len()).unwrap_or(u64::MAX);
            report.waiting_records += waiting + looked.undue;
            for record in &looked.erased {
                *report.records.entry(record.record_type).or_default() += 1;
            }
            report.patients += u64::from(!is_counted && !looked.erased.is_empty());
            is_counted |= !looked.erased.is_empty();
            self.find(looked.doubtful, report.dry_run).await?;
            let Some(last) = looked.last else {
                return Ok(());
            };
            after = last;
        }
    }

    /// Writes down what is wrong with records that do not open as what their rows say.
    async fn find(&self, doubtful: Vec<Doubtful>, dry_run: bool) -> Result<(), RetentionError> {
        for Doubtful { record, finding } in doubtful {
            tracing::error!(
                record.id = %record.id,
                "Record {} is not erased: it does not open as what its row says",
                record.id
            );
            if !dry_run {
                decrypt::record_findings(&self.pool, &record, finding).await?;
            }
        }
        Ok(())
    }

    /// Some lines, in one transaction with their audit row. They are opened before it: a token may be asked for that, and while
    /// it is waited for the patient is not locked.
    async fn batch(
        &self,
        patient: UserId,
        after: RecordId,
        (measure, dry_run): (&Measure, bool),
    ) -> Result<LineBatch, RetentionError> {
        let opened = self.open_ahead(patient, after).await?;
        let mut tx = self.pool.begin().await?;
        if !dry_run {
            if !housekeeping::is_alone(&mut tx, LOCK).await? {
                return Err(RetentionError::Busy);
            }
            barrier::lock_exclusive(&mut tx, [patient]).await?;
        }
        if !holds::are_sound(&self.seals, &mut tx, patient).await? {
            tracing::error!(patient.id = %patient, "Records whose time is over are not erased: a hold is not as it was sealed, or gone");
            tx.rollback().await?;
            return Ok(LineBatch::Waits);
        }
        let due = retention::records_due(&mut tx, patient, after, LINES_AT_ONCE).await?;
        let mut looked = look_at(opened, &due, measure);
        if dry_run {
            looked.erased = due;
            looked.erased.retain(|it| looked.lines.contains(&it.line));
            tx.rollback().await?;
            return Ok(LineBatch::Done(looked));
        }
        if !looked.lines.is_empty() {
            let those = (after, LINES_AT_ONCE);
            looked.erased =
                retention::purge_records(&mut tx, patient, those, &looked.lines).await?;
            write_down(&mut tx, &self.keyring, patient, &looked.erased).await?;
        }
        tx.commit().await?;
        if !looked.erased.is_empty() {
            self.write_ledger().await?;
        }
        Ok(LineBatch::Done(looked))
    }

    /// Opens the last versions of the next lines.
    async fn open_ahead(
        &self,
        patient: UserId,
        after: RecordId,
    ) -> Result<OpenedRecords, RetentionError> {
        let mut tx = self.pool.begin().await?;
        let due = retention::records_due(&mut tx, patient, after, LINES_AT_ONCE).await?;
        let last = due.iter().filter(|it| it.id == it.line);
        let ids: Vec<RecordId> = last.map(|it| it.id).collect();
        let records = sealed(&mut tx, &ids).await?;
        tx.rollback().await?;
        let rows: Vec<&StoredRecord> = records.iter().collect();
        let opened = decrypt::open_all(&self.keyring, &rows).await;
        let opened = records.into_iter().zip(opened.map_err(Error::from)?);
        Ok(opened
            .map(|(record, it)| (record.id, (record, it)))
            .collect())
    }
}

/// Asks the last version of each line that is due how old it is. One that was not opened is due since a moment ago, and waits for
/// the next time.
fn look_at(opened: OpenedRecords, due: &[DueRecord], measure: &Measure) -> Looked {
    let mut looked = Looked {
        last: due.last().map(|it| it.line),
        ..Looked::default()
    };
    let last: BTreeMap<RecordId, RecordType> = due
        .iter()
        .filter(|it| it.id == it.line)
        .map(|it| (it.id, it.record_type))
        .collect();
    for (id, (record, opened)) in opened {
        let Some(record_type) = last.get(&id) else {
            continue;
        };
        if !matches!(opened, Opened::Intact(_)) {
            let finding = decrypt::finding_of(&record, &opened);
            looked.doubtful.push(Doubtful { record, finding });
            continue;
        }
        match measure.until(*record_type, record.created_at) {
            Some(until) if until <= measure.now => looked.lines.push(id),
            Some(until) if until > measure.now + AHEAD => looked.undue += 1,
            // By another clock it is due a little later; or its rule is told of.
            _ => {}
        }
    }
    looked
}

async fn write_down(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    patient: UserId,
    erased: &[DueRecord],
) -> Result<(), RetentionError> {
    let current = erased.iter().filter(|it| it.id == it.line);
    let closed: Vec<_> = current
        .map(|it| (it.id, ClosingReason::RetentionEnded))
        .collect();
    closings::insert(tx, &closed).await?;
    let entry = LedgerEntry::of_retention(patient, erased.iter().map(|it| it.id));
    let ledger = erasure_ledger::named(&entry.append(keyring, tx).await?);
    let mut types: BTreeMap<RecordType, u64> = BTreeMap::new();
    for record in erased {
        *types.entry(record.record_type).or_default() += 1;
    }
    let entry = AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        new_value: Some(
            json!({ "erasedRecords": erased.len(), "recordTypes": types, "ledger": ledger }),
        ),
        classification: Classification::SensitivePersonal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(patient),
        records: erased.iter().map(|it| it.id).collect(),
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::RetentionPurge,
            Purpose::RecordManagement,
            &Origin::job(RequestId::fresh()),
        )
    };
    audit::insert(tx, &[entry]).await?;
    Ok(())
}
