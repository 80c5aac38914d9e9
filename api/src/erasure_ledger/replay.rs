//! Erases again what an older backup brought back: entry by entry of a ledger, each in one transaction with its audit rows. What is
//! erased already stays as it is, so that it can be done any number of times.

use std::{collections::BTreeSet, fs::File, path::Path};

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{PatientKeyId, RecordId, RequestId, UserId},
    integrity::ClosingReason,
    purpose::Purpose,
    users::SCHEDULER,
};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Pool, Tx, audit, barrier, closings, deletion::again, erasure_ledger};

use super::{
    ErasureCause, LedgerEntry,
    file::{LedgerEnd, LedgerError, read},
};
use crate::{deletion::account, error::Error, seals::Seals};

/// What a replay came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Replayed {
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
    /// How many entries the ledger has.
    pub(crate) entries: u64,
    /// Entries that the database did not know, and knows now.
    pub(crate) unknown_entries: u64,
    /// Records that were there again.
    pub(crate) records: u64,
    /// Keys that were there again.
    pub(crate) keys: u64,
    /// Accounts that were there again.
    pub(crate) accounts: u64,
    /// The hash of the ledger's last entry.
    pub(crate) head: String,
}

/// Why a ledger was not replayed, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The file's.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A line says what no ledger says.
    #[error("line {0} of the erasure ledger cannot be read by this version")]
    Unreadable(i64),
    /// It does not have an entry that it should.
    #[error("the erasure ledger has no entry with this hash: it was cut off, or is another one")]
    CutOff,
    /// An entry could not be carried out.
    #[error("line {line} of the erasure ledger cannot be carried out: {error}")]
    Failed {
        /// Which.
        line: i64,
        /// Why.
        error: Error,
    },
}

/// Reads the whole ledger before anything is done, and then erases.
///
/// # Errors
/// [`ReplayError`]; what was done until then stays done.
pub(crate) async fn replay(
    pool: &Pool,
    seals: &Seals,
    ledger: &Path,
    wanted: Option<&str>,
    dry_run: bool,
) -> Result<Replayed, ReplayError> {
    let file = File::open(ledger).map_err(LedgerError::from)?;
    let mut unreadable = None;
    let mut entries = Vec::new();
    let mut hashes = BTreeSet::new();
    let end = read(&file, LedgerEnd::default(), |line, hash, text| {
        hashes.insert(hash.to_owned());
        match serde_json::from_str::<LedgerEntry>(text) {
            Ok(entry) => entries.push((line, text.to_owned(), entry)),
            Err(_) => unreadable = unreadable.or(Some(line)),
        }
    })?;
    if let Some(line) = unreadable {
        return Err(ReplayError::Unreadable(line));
    }
    if wanted.is_some_and(|wanted| !hashes.contains(wanted)) {
        return Err(ReplayError::CutOff);
    }
    let mut done = Replayed {
        dry_run,
        head: end.hash,
        ..Replayed::default()
    };
    for (line, text, entry) in entries {
        let again = Again {
            pool,
            seals,
            origin: Origin::job(RequestId::fresh()),
            entry,
        };
        let carried_out = again.carry_out(&text, &mut done).await;
        carried_out.map_err(|error| ReplayError::Failed { line, error })?;
    }
    Ok(done)
}

/// One entry.
struct Again<'a> {
    pool: &'a Pool,
    seals: &'a Seals,
    origin: Origin,
    entry: LedgerEntry,
}

impl Again<'_> {
    async fn carry_out(&self, text: &str, done: &mut Replayed) -> Result<(), Error> {
        let subject = UserId(self.entry.subject);
        let mut tx = self.pool.begin().await?;
        barrier::lock_exclusive(&mut tx, [subject]).await?;
        let is_known = erasure_ledger::is_known(&mut tx, self.entry.entry).await?;
        if !is_known {
            erasure_ledger::append(&mut tx, self.entry.entry, text).await?;
        }
        let records = self.records(&mut tx, subject).await?;
        let keys = self.keys(&mut tx, subject).await?;
        let is_there = self.entry.account && again::is_somebody(&mut tx, subject).await?;
        if is_there {
            self.account(&mut tx, subject).await?;
        }
        if records + keys > 0 || is_there {
            let said = json!({
                "replayed": self.entry.entry, "erasedRecords": records, "destroyedKeys": keys, "account": is_there,
            });
            audit::insert(&mut tx, &[self.row(self.action(), said)]).await?;
        }
        if done.dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        done.entries += 1;
        done.unknown_entries += u64::from(!is_known);
        done.records += records;
        done.keys += keys;
        done.accounts += u64::from(is_there);
        Ok(())
    }

    async fn records(&self, tx: &mut Tx<'_>, subject: UserId) -> Result<u64, Error> {
        let named: Vec<RecordId> = self.entry.records.iter().copied().map(RecordId).collect();
        if named.is_empty() {
            return Ok(0);
        }
        let erased = again::erase_records(tx, subject, &named).await?;
        let reason = match self.entry.cause {
            ErasureCause::Request => ClosingReason::PatientAsked,
            ErasureCause::Retention => ClosingReason::RetentionEnded,
        };
        let current = erased.iter().filter(|(_, is_current)| *is_current);
        let closed: Vec<_> = current.map(|(record, _)| (*record, reason)).collect();
        closings::insert(tx, &closed).await?;
        Ok(u64::try_from(erased.len()).unwrap_or(u64::MAX))
    }

    async fn keys(&self, tx: &mut Tx<'_>, subject: UserId) -> Result<u64, Error> {
        let named: Vec<PatientKeyId> = self.entry.keys.iter().copied().map(PatientKeyId).collect();
        if named.is_empty() {
            return Ok(0);
        }
        let destroyed = again::destroy_keys(tx, subject, &named).await?;
        let rows: Vec<AuditEntry> = destroyed
            .iter()
            .map(|key| AuditEntry {
                resource_type: ResourceType::PatientKey,
                resource_id: key.0,
                classification: Classification::Security,
                encryption: EncryptionStatus::KeyDestroyed,
                ..self.row(
                    AuditAction::KeyDestroy,
                    json!({ "replayed": self.entry.entry }),
                )
            })
            .collect();
        audit::insert(tx, &rows).await?;
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    /// Nobody logs in, nobody is let in, and the account says nothing of anybody.
    async fn account(&self, tx: &mut Tx<'_>, subject: UserId) -> Result<(), Error> {
        let entry = |said| self.row(AuditAction::ConsentWithdraw, said);
        account::end_sessions(self.seals, tx, subject).await?;
        while !account::withdraw_consents(self.seals, tx, subject, &entry)
            .await?
            .0
        {}
        again::remove_wallets(tx, subject).await?;
        account::pseudonymise(self.seals, tx, subject).await
    }

    const fn action(&self) -> AuditAction {
        match self.entry.cause {
            ErasureCause::Request => AuditAction::DeletionExecute,
            ErasureCause::Retention => AuditAction::RetentionPurge,
        }
    }

    fn row(&self, action: AuditAction, said: Value) -> AuditEntry {
        let (resource_type, resource_id, purpose) = match self.entry.cause {
            ErasureCause::Request => (
                ResourceType::DeletionRequest,
                self.entry.request.unwrap_or(self.entry.entry),
                Purpose::Compliance,
            ),
            ErasureCause::Retention => (
                ResourceType::MedicalRecord,
                self.entry.entry,
                Purpose::RecordManagement,
            ),
        };
        AuditEntry {
            resource_type,
            resource_id,
            new_value: Some(said),
            classification: Classification::SensitivePersonal,
            patient: Some(UserId(self.entry.subject)),
            ..AuditEntry::new(SCHEDULER, action, purpose, &self.origin)
        }
    }
}
