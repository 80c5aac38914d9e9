//! Records whose time is over: erased line by line, as an erasure does it, and closed on the chain.

use std::collections::BTreeMap;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{RecordId, RequestId, UserId},
    integrity::ClosingReason,
    purpose::Purpose,
    records::RecordType,
    users::SCHEDULER,
};
use serde_json::json;
use store::{
    Tx, audit, barrier, closings, housekeeping,
    retention::{self, DueRecord},
};
use uuid::Uuid;

use super::{LOCK, Retention, RetentionError, RetentionReport};
use crate::deletion::holds;

/// How many patients are looked for at a time.
const PATIENTS_AT_ONCE: i64 = 500;
/// How many lines are erased in one transaction.
const LINES_AT_ONCE: i32 = 100;

/// What came of some lines of a patient.
enum Batch {
    /// They are erased, or would be.
    Done(Vec<DueRecord>),
    /// A hold is not as it was sealed, or gone.
    Waits,
}

impl Retention {
    /// Goes through the patients whose records are due.
    pub(super) async fn purge_records(
        &self,
        report: &mut RetentionReport,
        tell: &mut (dyn FnMut(&RetentionReport) + Send),
    ) -> Result<(), RetentionError> {
        let mut after = None;
        loop {
            let mut tx = self.pool.begin().await?;
            let patients = retention::patients_due(&mut tx, after, PATIENTS_AT_ONCE).await?;
            tx.commit().await?;
            let Some(last) = patients.last().copied() else {
                return Ok(());
            };
            for patient in patients {
                self.purge_records_of(patient, report).await?;
            }
            tell(report);
            after = Some(last);
        }
    }

    async fn purge_records_of(
        &self,
        patient: UserId,
        report: &mut RetentionReport,
    ) -> Result<(), RetentionError> {
        let mut after = RecordId(Uuid::nil());
        let mut is_counted = false;
        loop {
            let Batch::Done(due) = self.batch(patient, after, report.dry_run).await? else {
                report.waiting_patients += 1;
                return Ok(());
            };
            let Some(last) = due.last() else {
                return Ok(());
            };
            after = last.line;
            for record in &due {
                *report.records.entry(record.record_type).or_default() += 1;
            }
            report.patients += u64::from(!is_counted);
            is_counted = true;
        }
    }

    /// Some lines, in one transaction with their audit row.
    async fn batch(
        &self,
        patient: UserId,
        after: RecordId,
        dry_run: bool,
    ) -> Result<Batch, RetentionError> {
        let mut tx = self.pool.begin().await?;
        if !dry_run {
            if !housekeeping::is_alone(&mut tx, LOCK).await? {
                return Err(RetentionError::Busy);
            }
            barrier::lock_exclusive(&mut tx, [patient]).await?;
        }
        if !holds::are_sound(&self.seals, &mut tx, patient).await? {
            tracing::error!(patient.id = %patient, "Records whose time is over are not erased: a hold is not as it was sealed, or gone");
            return Ok(Batch::Waits);
        }
        if dry_run {
            let due = retention::records_due(&mut tx, patient, after, LINES_AT_ONCE).await?;
            return Ok(Batch::Done(due));
        }
        let erased = retention::purge_records(&mut tx, patient, after, LINES_AT_ONCE).await?;
        if !erased.is_empty() {
            write_down(&mut tx, patient, &erased).await?;
        }
        tx.commit().await?;
        Ok(Batch::Done(erased))
    }
}

async fn write_down(
    tx: &mut Tx<'_>,
    patient: UserId,
    erased: &[DueRecord],
) -> Result<(), RetentionError> {
    let current = erased.iter().filter(|it| it.id == it.line);
    let closed: Vec<_> = current
        .map(|it| (it.id, ClosingReason::RetentionEnded))
        .collect();
    closings::insert(tx, &closed).await?;
    let mut types: BTreeMap<RecordType, u64> = BTreeMap::new();
    for record in erased {
        *types.entry(record.record_type).or_default() += 1;
    }
    let entry = AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        new_value: Some(json!({ "erasedRecords": erased.len(), "recordTypes": types })),
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
