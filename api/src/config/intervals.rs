//! What is done again and again, how often, and how long things are kept.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::TimeDelta;
use clap::{Args, builder::RangedI64ValueParser};
use domain::sessions::IDLE_AFTER;
use store::{checkpoints::CheckpointDue, housekeeping::Keep};

use super::values::seconds;
use crate::erasure_ledger::file::LedgerFile;

/// When the audit trail is pinned in the registry, and by whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckpointConfig {
    /// The account that pins checkpoints of the audit trail: a secp256k1 key in hexadecimal digits, readable by us
    /// alone, that has the registry's checkpoint role and no other; without it nothing is pinned
    #[arg(long = "checkpoint-key-file", env = "MEDITRUSTAL_CHECKPOINT_KEY_FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// How long after a checkpoint the next one is due, where the trail has grown, in seconds
    #[arg(long = "checkpoint-every", env = "MEDITRUSTAL_CHECKPOINT_EVERY", default_value = "600",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,

    /// By how many rows the trail grows before a checkpoint is due earlier
    #[arg(long = "checkpoint-rows", env = "MEDITRUSTAL_CHECKPOINT_ROWS", default_value = "10000",
          value_parser = clap::value_parser!(i64).range(1..=100_000_000))]
    rows: i64,
}

impl CheckpointConfig {
    /// When a checkpoint is due.
    pub(crate) const fn due(&self) -> CheckpointDue {
        CheckpointDue {
            every: Duration::from_secs(self.every),
            leaves: self.rows,
        }
    }
}

/// How long rows are kept that have had their time.
#[derive(Debug, Clone, Args)]
pub(crate) struct HousekeepingConfig {
    /// How often old log-ins, idempotency keys and counters of attempts are removed, in seconds; by one
    /// process at a time
    #[arg(long, env = "MEDITRUSTAL_HOUSEKEEPING", default_value = "900", value_parser = seconds())]
    housekeeping: i64,

    #[command(flatten)]
    pub(crate) keep: KeepConfig,
}

/// How long rows are kept that say nothing any more.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeepConfig {
    /// How long a log-in is kept after its end, in days
    #[arg(long, env = "MEDITRUSTAL_KEEP_ENDED_SESSIONS", default_value = "7", value_parser = days())]
    keep_ended_sessions: u16,

    /// How long an idempotency key is kept, in days: an import that is sent again later makes its records
    /// twice
    #[arg(long, env = "MEDITRUSTAL_KEEP_IDEMPOTENCY_KEYS", default_value = "90", value_parser = days())]
    keep_idempotency_keys: u16,
}

impl KeepConfig {
    /// How long what is kept.
    pub(crate) fn keep(&self) -> Keep {
        Keep {
            ended_sessions: self.keep_ended_sessions.into(),
            used_tokens: i32::try_from(IDLE_AFTER.num_days()).unwrap_or(i32::MAX),
            idempotency_keys: self.keep_idempotency_keys.into(),
        }
    }
}

impl HousekeepingConfig {
    /// How often old rows are removed.
    pub(crate) fn every(&self) -> Duration {
        Duration::from_secs(self.housekeeping.unsigned_abs())
    }
}

/// When requests to erase are carried out.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeletionConfig {
    /// How long what is approved to be erased can still be kept by its subject, in days; 0, for development, erases at once
    #[arg(long, env = "MEDITRUSTAL_DELETION_GRACE", default_value = "30",
          value_parser = clap::value_parser!(u16).range(0..=366))]
    deletion_grace: u16,

    /// How often it is looked for deletion requests that are due, or too old, in seconds; by one process at a time
    #[arg(long, env = "MEDITRUSTAL_DELETION_EVERY", default_value = "60", value_parser = seconds())]
    deletion_every: i64,

    /// The file of the erasure ledger: what was erased, so that it can be erased again after the restore of an older backup. It
    /// belongs to no backup of the database, and on another disk; without it the ledger is in the database alone
    #[arg(long, env = "MEDITRUSTAL_ERASURE_LEDGER", value_name = "FILE")]
    erasure_ledger: Option<PathBuf>,
}

impl DeletionConfig {
    /// The ledger beside the database.
    pub(crate) fn ledger(&self) -> Option<Arc<LedgerFile>> {
        let path = self.erasure_ledger.as_deref();
        path.map(|path| Arc::new(LedgerFile::new(path)))
    }

    /// How long it can still be kept.
    pub(crate) fn grace(&self) -> TimeDelta {
        TimeDelta::days(self.deletion_grace.into())
    }

    /// How often it is looked.
    pub(crate) fn every(&self) -> Duration {
        Duration::from_secs(self.deletion_every.unsigned_abs())
    }
}

/// When what has been kept long enough is removed.
#[derive(Debug, Clone, Args)]
pub(crate) struct RetentionConfig {
    /// How often records and rows of the audit trail are removed that have been kept long enough, in seconds; by one
    /// process at a time; 0 leaves it to `meditrustal retention run`
    #[arg(long, env = "MEDITRUSTAL_RETENTION_EVERY", default_value = "86400",
          value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    retention_every: u64,
}

impl RetentionConfig {
    /// How often that is; `None` where somebody else does it.
    pub(crate) fn every(&self) -> Option<Duration> {
        (self.retention_every > 0).then(|| Duration::from_secs(self.retention_every))
    }
}

/// From a day to ten years.
fn days() -> RangedI64ValueParser<u16> {
    RangedI64ValueParser::new().range(1..=3660)
}
