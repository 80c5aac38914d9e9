//! Retention: what has been kept long enough is removed. Records are erased as a request erases them, rows of the trail go when
//! their leaves are pinned, and rows of log-ins, retries, attempts and codes when they say nothing any more. What a legal hold
//! covers stays. One process does it at a time; a run that is told to change nothing says what it would do.

mod audit_rows;
mod evidence;
mod records;
mod rules;
pub(crate) mod schedule;
mod witness;

use std::{collections::BTreeMap, sync::Arc};

use chain::{Client, Deployment, Signer};
use domain::records::RecordType;
use serde::Serialize;
use store::{
    Pool,
    housekeeping::{self, Keep, Removed},
};
use trail::{Hash, checkpoint::Checkpoint};
use vault::keyring::Keyring;

use self::witness::Witness;
use crate::{
    erasure_ledger::file::{LedgerError, LedgerFile},
    error::Error,
    seals::Seals,
};

/// The lock of whoever is at it.
const LOCK: &str = "meditrustal retention";

/// What it takes to remove what has been kept long enough.
#[derive(Debug)]
pub(crate) struct Retention {
    /// The database.
    pub(crate) pool: Pool,
    /// By what holds are believed.
    pub(crate) seals: Seals,
    /// By what the age of a record is believed.
    pub(crate) keyring: Arc<Keyring>,
    /// The node that says what time it is, and what is pinned; without it the trail's rows stay.
    pub(crate) client: Option<Client>,
    /// Who signs what is removed from the trail; without it the trail's rows stay.
    pub(crate) pinner: Option<Pinner>,
    /// How long rows are kept that say nothing any more.
    pub(crate) keep: Keep,
    /// The ledger of what was erased, beside the database.
    pub(crate) ledger: Option<Arc<LedgerFile>>,
}

/// The account that pins checkpoints, and the trail it does it for.
#[derive(Debug, Clone)]
pub(crate) struct Pinner {
    /// Its key.
    pub(crate) signer: Arc<Signer>,
    /// What its checkpoints call the trail.
    pub(crate) origin: String,
}

impl Pinner {
    /// The account of this key, and the trail that this deployment's registry pins.
    pub(crate) fn new(signer: Arc<Signer>, deployment: &Deployment) -> Self {
        let registry = deployment.registry.to_string();
        let checkpoint = Checkpoint::new(deployment.chain_id, &registry, 0, Hash::default());
        Self {
            signer,
            origin: checkpoint.origin,
        }
    }
}

/// What a run removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetentionReport {
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
    /// Records that were erased, each version counted, by type.
    pub(crate) records: BTreeMap<RecordType, u64>,
    /// The patients whose records these are.
    pub(crate) patients: u64,
    /// Patients whose records wait for an operator: a hold is not as it was sealed, or gone.
    pub(crate) waiting_patients: u64,
    /// Records that wait for an operator: they do not open as what their rows say, or not by the rule that was set.
    pub(crate) waiting_records: u64,
    /// Types of records whose rule is not the one that the trail says was set: none of theirs is erased.
    pub(crate) changed_rules: u64,
    /// Rows of the trail that were removed.
    pub(crate) audit_rows: u64,
    /// Rows of the trail that stay because they are not what was hashed: evidence.
    pub(crate) changed_audit_rows: u64,
    /// Rows of the trail that the database calls due, and that are not by far: they stay.
    pub(crate) undue_audit_rows: u64,
    /// Whether rows of the trail stay because nobody can sign their removal.
    pub(crate) audit_rows_unsigned: bool,
    /// Rows of log-ins.
    pub(crate) sessions: u64,
    /// Idempotency keys.
    pub(crate) idempotency_keys: u64,
    /// Counters of attempts.
    pub(crate) throttle_counters: u64,
    /// Access codes.
    pub(crate) access_codes: u64,
}

impl RetentionReport {
    /// How many records, each version counted.
    pub(crate) fn erased(&self) -> u64 {
        self.records.values().sum()
    }

    /// Whether something was met that an operator has to look into.
    pub(crate) const fn has_left_some(&self) -> bool {
        self.waiting_patients > 0
            || self.waiting_records > 0
            || self.changed_rules > 0
            || self.changed_audit_rows > 0
            || self.undue_audit_rows > 0
    }

    fn add(&mut self, removed: Removed) {
        self.sessions += removed.sessions;
        self.idempotency_keys += removed.idempotency_keys;
        self.throttle_counters += removed.throttle_counters;
        self.access_codes += removed.access_codes;
    }
}

/// Why a run ended early. What it had done until then stays done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetentionError {
    /// Another process is at it.
    #[error("another process is at it")]
    Busy,
    /// The database's, or what cannot be sealed.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The erasure ledger cannot be written: nothing more is erased.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<store::StoreError> for RetentionError {
    fn from(error: store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Retention {
    /// Removes all that has been kept long enough, or says what that is. Tells from time to time how far it is.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub(crate) async fn run(
        &self,
        dry_run: bool,
        tell: &mut (dyn FnMut(&RetentionReport) + Send),
    ) -> Result<RetentionReport, RetentionError> {
        let mut report = RetentionReport {
            dry_run,
            ..RetentionReport::default()
        };
        if !dry_run {
            self.compare_ledger().await?;
        }
        // What one of them cannot do keeps no other from its own.
        let expired = self.remove_expired(&mut report).await;
        let witness = Witness::ask(self.client.as_ref()).await?;
        // First: rows that a record goes by until it is erased go with the next run, as it is foretold.
        let rows = self.purge_audit_rows(&witness, &mut report, tell).await;
        let records = self.purge_records(witness.now, &mut report, tell).await;
        expired.and(rows).and(records)?;
        Ok(report)
    }

    /// What was erased is on the disk before more is.
    async fn write_ledger(&self) -> Result<(), RetentionError> {
        if let Some(ledger) = &self.ledger {
            ledger.follow(&self.pool, &self.keyring).await?;
        }
        Ok(())
    }

    /// The ledger is still what was written, from its beginning on.
    async fn compare_ledger(&self) -> Result<(), RetentionError> {
        if let Some(ledger) = &self.ledger {
            ledger.follow_anew(&self.pool, &self.keyring).await?;
        }
        Ok(())
    }

    /// Rows of log-ins, retries, attempts and codes. Where another process is at these, it does it.
    async fn remove_expired(&self, report: &mut RetentionReport) -> Result<(), RetentionError> {
        if report.dry_run {
            report.add(housekeeping::would_remove(&self.pool, self.keep).await?);
            return Ok(());
        }
        while let Some(removed) = housekeeping::sweep(&self.pool, self.keep).await? {
            report.add(removed);
            if !removed.may_have_left_some() {
                break;
            }
        }
        Ok(())
    }
}
