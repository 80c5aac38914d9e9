//! Erases again what an older backup brought back: entry by entry of a ledger that we sealed. What is erased already stays as it is,
//! so that it can be done any number of times. Records and keys go first, in one transaction with their audit rows; the account
//! after them, in another. An entry that fails keeps no other from being carried out; it and what follows are not put into the
//! table then, so that an api refuses to start until a replay comes to its end.

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
use store::{
    Pool, Tx, audit, barrier, closings,
    deletion::again::{self, ErasedBefore},
    erasure_ledger,
};
use uuid::Uuid;
use vault::keyring::Keyring;

use super::{
    ErasureCause, LedgerEntry,
    file::{LedgerEnd, LedgerError, NOTHING, read},
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
    /// Records that are called as one that was erased, and were created since: they stay.
    pub(crate) newer_records: u64,
    /// Entries that could not be carried out.
    pub(crate) failed: Vec<FailedLine>,
    /// The hash of the ledger's last entry.
    pub(crate) head: String,
}

/// An entry that could not be carried out, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FailedLine {
    /// Which.
    pub(crate) line: i64,
    /// Why.
    pub(crate) error: String,
}

/// Why a ledger was not replayed.
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
}

/// A line of a ledger.
struct LedgerLine {
    line: i64,
    /// The hash of the line before.
    before: String,
    text: String,
    entry: LedgerEntry,
}

/// Reads the whole ledger before anything is done, and then erases.
///
/// # Errors
/// [`ReplayError`]; nothing was done then.
pub(crate) async fn replay(
    pool: &Pool,
    seals: &Seals,
    ledger: &Path,
    wanted: Option<&str>,
    dry_run: bool,
) -> Result<Replayed, ReplayError> {
    let (lines, end) = believed(seals.keyring(), ledger, wanted)?;
    let mut done = Replayed {
        dry_run,
        head: end.hash,
        ..Replayed::default()
    };
    let mut counted = BTreeSet::new();
    for line in lines {
        done.entries += 1;
        let again = Again {
            pool,
            seals,
            origin: Origin::job(RequestId::fresh()),
            line: &line,
            dry_run,
        };
        if let Err(error) = again.carry_out(&mut done, &mut counted).await {
            done.failed.push(FailedLine {
                line: line.line,
                error: error.to_string(),
            });
        }
    }
    Ok(done)
}

/// All lines of a ledger, where it is whole and each is sealed in its place.
fn believed(
    keyring: &Keyring,
    ledger: &Path,
    wanted: Option<&str>,
) -> Result<(Vec<LedgerLine>, LedgerEnd), ReplayError> {
    let file = File::open(ledger).map_err(LedgerError::from)?;
    let (mut lines, mut refused) = (Vec::new(), None);
    let (mut before, mut is_wanted) = (NOTHING.to_owned(), wanted.is_none());
    let end = read(&file, LedgerEnd::default(), |line, hash, text| {
        is_wanted |= wanted == Some(hash);
        let before = std::mem::replace(&mut before, hash.to_owned());
        let Ok(entry) = serde_json::from_str::<LedgerEntry>(text) else {
            refused.get_or_insert(ReplayError::Unreadable(line));
            return;
        };
        if !entry.is_ours(keyring, &before) {
            refused.get_or_insert(LedgerError::Forged(line).into());
        }
        let text = text.to_owned();
        lines.push(LedgerLine {
            line,
            before,
            text,
            entry,
        });
    })?;
    match refused {
        Some(refused) => Err(refused),
        None if !is_wanted => Err(ReplayError::CutOff),
        None => Ok((lines, end)),
    }
}

/// One entry.
struct Again<'a> {
    pool: &'a Pool,
    seals: &'a Seals,
    origin: Origin,
    line: &'a LedgerLine,
    dry_run: bool,
}

/// What was counted: what is only foretold is there again at the next entry that names it.
type CountedIds = BTreeSet<Uuid>;

fn count(counted: &mut CountedIds, ids: impl IntoIterator<Item = Uuid>) -> u64 {
    let new = ids.into_iter().filter(|id| counted.insert(*id));
    u64::try_from(new.count()).unwrap_or(u64::MAX)
}

impl Again<'_> {
    async fn carry_out(&self, done: &mut Replayed, counted: &mut CountedIds) -> Result<(), Error> {
        let subject = UserId(self.line.entry.subject);
        self.data(subject, done, counted).await?;
        if self.line.entry.account && self.account(subject).await? {
            done.accounts += count(counted, [subject.0]);
        }
        let is_known = self.is_in_table(done.failed.is_empty()).await?;
        done.unknown_entries += u64::from(!is_known);
        Ok(())
    }

    /// Puts the entry into the table, where all before it are. Gives whether it was there.
    async fn is_in_table(&self, is_next: bool) -> Result<bool, Error> {
        let LedgerLine {
            before,
            text,
            entry,
            ..
        } = self.line;
        let mut tx = self.pool.begin().await?;
        erasure_ledger::lock(&mut tx).await?;
        let is_known = erasure_ledger::is_known(&mut tx, entry.entry).await?;
        if !is_known && is_next {
            let last = erasure_ledger::head(&mut tx).await?;
            let last = last.as_ref().map_or(NOTHING, |last| last.hash.as_str());
            if last == before {
                erasure_ledger::append(&mut tx, entry.entry, text).await?;
            } else {
                // The table has another beginning than this ledger: it is sealed in its place there.
                entry.append_again(self.seals.keyring(), &mut tx).await?;
            }
        }
        self.end(tx).await?;
        Ok(is_known)
    }

    async fn end(&self, tx: Tx<'_>) -> Result<(), Error> {
        if self.dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(())
    }

    /// Erases records and keys.
    async fn data(
        &self,
        subject: UserId,
        done: &mut Replayed,
        counted: &mut CountedIds,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        barrier::lock_exclusive(&mut tx, [subject]).await?;
        let newer = self.newer(&mut tx, subject).await?;
        let records = self.records(&mut tx, subject).await?;
        let keys = self.keys(&mut tx, subject).await?;
        if !(records.is_empty() && keys.is_empty()) {
            let said = json!({
                "replayed": self.line.entry.entry, "erasedRecords": records.len(), "destroyedKeys": keys.len(),
            });
            audit::insert(&mut tx, &[self.row(self.action(), said)]).await?;
        }
        self.end(tx).await?;
        done.newer_records += count(counted, newer.iter().map(|record| record.0));
        done.records += count(counted, records.iter().map(|record| record.0));
        done.keys += count(counted, keys.iter().map(|key| key.0));
        Ok(())
    }

    /// What was erased of these, at the time of the entry. With the account all was.
    const fn before<'a, Id>(&self, patient: UserId, ids: &'a [Id]) -> ErasedBefore<'a, Id> {
        ErasedBefore {
            patient,
            ids,
            all: self.line.entry.account,
            at: self.line.entry.at,
        }
    }

    fn named(&self) -> Vec<RecordId> {
        let named = self.line.entry.records.iter();
        named.copied().map(RecordId).collect()
    }

    async fn newer(&self, tx: &mut Tx<'_>, subject: UserId) -> Result<Vec<RecordId>, Error> {
        Ok(again::created_since(tx, self.before(subject, &self.named())).await?)
    }

    async fn records(&self, tx: &mut Tx<'_>, subject: UserId) -> Result<Vec<RecordId>, Error> {
        let erased = again::erase_records(tx, self.before(subject, &self.named())).await?;
        let reason = match self.line.entry.cause {
            ErasureCause::Request => ClosingReason::PatientAsked,
            ErasureCause::Retention => ClosingReason::RetentionEnded,
        };
        let current = erased.iter().filter(|(_, is_current)| *is_current);
        let closed: Vec<_> = current.map(|(record, _)| (*record, reason)).collect();
        closings::insert(tx, &closed).await?;
        Ok(erased.into_iter().map(|(record, _)| record).collect())
    }

    async fn keys(&self, tx: &mut Tx<'_>, subject: UserId) -> Result<Vec<PatientKeyId>, Error> {
        let named = self.line.entry.keys.iter();
        let named: Vec<PatientKeyId> = named.copied().map(PatientKeyId).collect();
        let destroyed = again::destroy_keys(tx, self.before(subject, &named)).await?;
        let rows: Vec<AuditEntry> = destroyed
            .iter()
            .map(|key| AuditEntry {
                resource_type: ResourceType::PatientKey,
                resource_id: key.0,
                classification: Classification::Security,
                encryption: EncryptionStatus::KeyDestroyed,
                ..self.row(
                    AuditAction::KeyDestroy,
                    json!({ "replayed": self.line.entry.entry }),
                )
            })
            .collect();
        audit::insert(tx, &rows).await?;
        Ok(destroyed)
    }

    /// Nobody logs in, nobody is let in, and the account says nothing of anybody. Gives whether it did.
    async fn account(&self, subject: UserId) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        barrier::lock_exclusive(&mut tx, [subject]).await?;
        let is_there = again::is_somebody(&mut tx, subject).await?;
        if is_there {
            let entry = |said| self.row(AuditAction::ConsentWithdraw, said);
            account::end_sessions(self.seals, &mut tx, subject).await?;
            while !account::withdraw_consents(self.seals, &mut tx, subject, &entry)
                .await?
                .0
            {}
            again::remove_wallets(&mut tx, subject).await?;
            account::pseudonymise(self.seals, &mut tx, subject).await?;
            let said = json!({ "replayed": self.line.entry.entry, "account": true });
            audit::insert(&mut tx, &[self.row(self.action(), said)]).await?;
        }
        self.end(tx).await?;
        Ok(is_there)
    }

    const fn action(&self) -> AuditAction {
        match self.line.entry.cause {
            ErasureCause::Request => AuditAction::DeletionExecute,
            ErasureCause::Retention => AuditAction::RetentionPurge,
        }
    }

    fn row(&self, action: AuditAction, said: Value) -> AuditEntry {
        let (resource_type, resource_id, purpose) = match self.line.entry.cause {
            ErasureCause::Request => (
                ResourceType::DeletionRequest,
                self.line.entry.request.unwrap_or(self.line.entry.entry),
                Purpose::Compliance,
            ),
            ErasureCause::Retention => (
                ResourceType::MedicalRecord,
                self.line.entry.entry,
                Purpose::RecordManagement,
            ),
        };
        AuditEntry {
            resource_type,
            resource_id,
            new_value: Some(said),
            classification: Classification::SensitivePersonal,
            patient: Some(UserId(self.line.entry.subject)),
            ..AuditEntry::new(SCHEDULER, action, purpose, &self.origin)
        }
    }
}
