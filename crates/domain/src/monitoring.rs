//! What is healthy: the specification's thresholds ("Alert Thresholds") and ours, for `meditrustal health`, the metrics and
//! the rules of alerts.

use serde::Serialize;

use crate::text::text_enum;

/// Of the capacity that the operator has set: the specification's 80 %, and where it becomes urgent.
pub const SIZE_OF_CAPACITY: CheckLimits = CheckLimits::new(0.80, 0.95);
/// Of `max_connections`: the specification's 80 %, and where it becomes urgent.
pub const CONNECTIONS: CheckLimits = CheckLimits::new(0.80, 0.95);
/// Dead rows for each live one: the specification's 10 %.
pub const DEAD_ROWS: CheckLimits = CheckLimits::new(0.10, 0.50);
/// Dead rows for each live one from which on a table is vacuumed at once: the specification's 20 %.
pub const DEAD_ROWS_TO_VACUUM: f64 = 0.20;
/// Fewer dead rows than these are no reason to do anything, whatever part of a small table they are.
pub const LEAST_DEAD_ROWS: i64 = 1000;
/// Reads of a table by an index, for each read of it: the specification's 5 %.
pub const LEAST_INDEX_USE: f64 = 0.05;
/// From how many rows on that counts: the specification's 10,000.
pub const ROWS_WITH_INDEX_USE: i64 = 10_000;

/// How the names of roles end whose queries may take hours: the backup copies tables, the owner rebuilds indexes.
const PATIENT_ROLES: [&str; 2] = ["_backup", "_migrator"];

/// Whether the queries of this role may take hours, of whichever tenant it is.
pub fn is_patient_role(role: &str) -> bool {
    PATIENT_ROLES.iter().any(|ending| role.ends_with(ending))
}

/// Blocks that the indexer may be behind. Unit: blocks.
pub const LAG: CheckLimits = CheckLimits::new(16.0, 64.0);
/// For how long no indexer may lead. Unit: seconds.
pub const LEADERLESS: CheckLimits = CheckLimits::new(15.0, 60.0);
/// Blocks with events of ours that may be undone in a day. Unit: blocks.
pub const UNDONE_BLOCKS: CheckLimits = CheckLimits::new(0.0, 16.0);
/// How long a transaction may wait for a block. Unit: seconds.
pub const OUTBOX_AGE: CheckLimits = CheckLimits::new(300.0, 3600.0);
/// Transactions that an account's funds have to last for. Unit: transactions.
pub const TRANSACTIONS_LEFT: CheckLimits = CheckLimits::new(1000.0, 100.0);
/// How old the newest checkpoint of the audit trail may be while there are rows that it does not hold. Unit: seconds.
pub const CHECKPOINT_AGE: CheckLimits = CheckLimits::new(3600.0, 86_400.0);
/// Rows of the audit trail that may wait for a place in the tree. Unit: rows.
pub const UNORDERED_ROWS: CheckLimits = CheckLimits::new(10_000.0, 100_000.0);
/// How long ago the last round of the deep check may have ended. Unit: seconds.
pub const DEEP_CHECK_AGE: CheckLimits = CheckLimits::new(3.0 * DAY, 14.0 * DAY);
/// How long ago a window of emergency access that nobody has reviewed may have been opened. Unit: seconds.
pub const REVIEW_AGE: CheckLimits = CheckLimits::new(DAY, 3.0 * DAY);
/// How far the clocks of the database and of this machine may be apart. Unit: seconds.
pub const CLOCK: CheckLimits = CheckLimits::new(5.0, 60.0);
/// The part of a disk that has to be free.
pub const DISK_FREE: CheckLimits = CheckLimits::new(0.20, 0.05);
/// How old the newest daily backup may be. Unit: seconds.
pub const DAILY_BACKUP_AGE: CheckLimits = CheckLimits::new(26.0 * HOUR, 50.0 * HOUR);
/// The same of the weekly one. Unit: seconds.
pub const WEEKLY_BACKUP_AGE: CheckLimits = CheckLimits::new(8.0 * DAY, 15.0 * DAY);
/// The same of the monthly one. Unit: seconds.
pub const MONTHLY_BACKUP_AGE: CheckLimits = CheckLimits::new(32.0 * DAY, 63.0 * DAY);
/// How long ago a backup may last have been restored for a trial. Unit: seconds.
pub const RESTORE_DRILL_AGE: CheckLimits = CheckLimits::new(93.0 * DAY, 186.0 * DAY);
/// How long ago the daily maintenance may have come to its end. Unit: seconds.
pub const MAINTENANCE_AGE: CheckLimits = CheckLimits::new(26.0 * HOUR, 8.0 * DAY);
/// How long a certificate has to be in force still. Unit: days.
pub const CERTIFICATE_LEFT: CheckLimits = CheckLimits::new(14.0, 3.0);
/// How old the newest master key may be. Unit: days.
pub const MASTER_KEY_AGE: CheckLimits = CheckLimits::new(365.0, 730.0);

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// From where on something is a warning, and from where on it is critical.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckLimits {
    /// A warning.
    pub warning: f64,
    /// Critical.
    pub critical: f64,
}

impl CheckLimits {
    /// These two.
    pub const fn new(warning: f64, critical: f64) -> Self {
        Self { warning, critical }
    }
}

text_enum! {
    /// How something is. The exit code of `meditrustal health` is the worst of them: 0, 1 or 2.
    CheckStatus {
        /// Within its limits.
        Ok = "ok",
        /// Beyond the first limit, or not known.
        Warning = "warning",
        /// Beyond the second limit.
        Critical = "critical",
    }
}

text_enum! {
    /// What is looked at.
    CheckName {
        /// Whether the database answers, writes, and has space for it.
        Database = "database",
        /// Whether its schema is that of this program.
        Schema = "schema",
        /// Its size.
        DatabaseSize = "database-size",
        /// Sessions of the server.
        Connections = "connections",
        /// How long statements run.
        Queries = "queries",
        /// Dead rows of tables.
        DeadRows = "dead-rows",
        /// Whether large tables are read by their indexes.
        IndexUse = "index-use",
        /// Indexes that cannot be used.
        InvalidIndexes = "invalid-indexes",
        /// The clocks.
        Clock = "clock",
        /// When the daily maintenance last came to its end.
        Maintenance = "maintenance",
        /// Whether an indexer leads.
        IndexerLeader = "indexer-leader",
        /// How far it is behind.
        IndexerLag = "indexer-lag",
        /// Blocks that were undone.
        Reorganisations = "reorganisations",
        /// What waits for the chain.
        Outbox = "outbox",
        /// Anchors that were mined without effect.
        FailedAnchors = "failed-anchors",
        /// Whether the node answers, and how old its newest block is.
        Node = "node",
        /// How long the funds of the accounts last that sign anchors.
        RegistrarFunds = "registrar-funds",
        /// The same of the account that pins the trail.
        CheckpointFunds = "checkpoint-funds",
        /// The nonces that the database and the chain have.
        Nonce = "nonce",
        /// What does not fit together.
        Findings = "findings",
        /// The last round of the deep check.
        DeepCheck = "deep-check",
        /// Windows of emergency access without a review.
        EmergencyReviews = "emergency-reviews",
        /// Rows of the trail without a place in its tree.
        AuditOrder = "audit-order",
        /// The newest checkpoint of the trail.
        AuditCheckpoint = "audit-checkpoint",
        /// The age of the newest master key.
        MasterKeys = "master-keys",
        /// For how long the certificate is in force.
        Certificate = "certificate",
        /// The newest daily backup.
        DailyBackup = "daily-backup",
        /// The newest weekly backup.
        WeeklyBackup = "weekly-backup",
        /// The newest monthly backup.
        MonthlyBackup = "monthly-backup",
        /// The last trial of a restore.
        RestoreDrill = "restore-drill",
        /// The disk of the backups.
        BackupDisk = "backup-disk",
        /// What the api says of itself.
        ApiProcess = "api",
        /// What the indexer says of itself.
        IndexerProcess = "indexer",
    }
}

impl CheckName {
    /// The unit of its value and its limits.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Database | Self::Schema | Self::ApiProcess | Self::IndexerProcess => "",
            Self::DatabaseSize
            | Self::Connections
            | Self::DeadRows
            | Self::IndexUse
            | Self::BackupDisk => "ratio",
            Self::Queries
            | Self::Clock
            | Self::Maintenance
            | Self::IndexerLeader
            | Self::Outbox
            | Self::Node
            | Self::DeepCheck
            | Self::EmergencyReviews
            | Self::AuditCheckpoint
            | Self::DailyBackup
            | Self::WeeklyBackup
            | Self::MonthlyBackup
            | Self::RestoreDrill => "seconds",
            Self::InvalidIndexes => "indexes",
            Self::IndexerLag | Self::Reorganisations => "blocks",
            Self::FailedAnchors | Self::RegistrarFunds | Self::CheckpointFunds | Self::Nonce => {
                "transactions"
            }
            Self::Findings => "findings",
            Self::AuditOrder => "rows",
            Self::MasterKeys | Self::Certificate => "days",
        }
    }

    /// What to do where it is not well. `docs/runbook.md` has the steps under the same name.
    pub const fn todo(self) -> &'static str {
        match self {
            Self::Database => "look at PostgreSQL's log, its disk, and DATABASE_URL",
            Self::Schema => "run `meditrustal migrate up`",
            Self::DatabaseSize => "enlarge the disk, or look which table grows",
            Self::Connections => {
                "look whose sessions they are, and lower the pools or raise max_connections"
            }
            Self::Queries => {
                "look what that session does, and end it: SELECT pg_terminate_backend(pid)"
            }
            Self::DeadRows => {
                "run `meditrustal maintain run`; look for a transaction that stays open"
            }
            Self::IndexUse => {
                "look at the plans of statements on this table, and at `meditrustal maintain status`"
            }
            Self::InvalidIndexes => "run `meditrustal maintain run`",
            Self::Clock => "set the clock that is wrong, and keep both by NTP",
            Self::Maintenance => "run `meditrustal maintain run`, and look at its timer",
            Self::IndexerLeader => "start an indexer, or look at its log",
            Self::IndexerLag => "look at the indexer's /health/ready and at the node",
            Self::Reorganisations => "ask another node whether the chain was undone so far",
            Self::Outbox => {
                "look at the node, the account's funds and whether the registry is paused"
            }
            Self::FailedAnchors => "look for `The registry refused the anchor` in the api's log",
            Self::Node => "look at the node; set CHAIN_RPC_URL to another one",
            Self::RegistrarFunds | Self::CheckpointFunds => "send funds to this account",
            Self::Nonce => {
                "find out who else uses this key; look whether the database is an older backup"
            }
            Self::Findings => {
                "look at the table integrity_findings, and follow the runbook of each kind"
            }
            Self::DeepCheck => "look at the api's log and at MEDITRUSTAL_DEEP_CHECK_PER_SECOND",
            Self::EmergencyReviews => "review them: `breakGlassReviews`",
            Self::AuditOrder => "look at the api's log: one api at a time orders the trail",
            Self::AuditCheckpoint => "look at `checkpoints` in the api's /health/ready",
            Self::MasterKeys => "replace it: `meditrustal keys add`, then `keys rotate`",
            Self::Certificate => "renew it, and put both files where they are read",
            Self::DailyBackup | Self::WeeklyBackup | Self::MonthlyBackup => {
                "look at the timer of the backups and its log, and make one now"
            }
            Self::RestoreDrill => {
                "restore the newest backup for a trial, and note when in last-drill.json"
            }
            Self::BackupDisk => "enlarge the disk of the backups",
            Self::ApiProcess => {
                "look at the api's log and at what its /health/ready names as failing"
            }
            Self::IndexerProcess => {
                "look at the indexer's log and at the reason in its /health/ready"
            }
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthCheck {
    /// What.
    pub name: CheckName,
    /// How it is.
    pub status: CheckStatus,
    /// The figure, where it is one.
    pub value: Option<f64>,
    /// The limit that it is beyond, or else the first one.
    pub limit: Option<f64>,
    /// The unit of both.
    pub unit: &'static str,
    /// What was found, in words.
    pub found: String,
    /// What to do; empty where it is well.
    pub todo: &'static str,
}

impl HealthCheck {
    fn new(name: CheckName, status: CheckStatus, found: impl Into<String>) -> Self {
        Self {
            name,
            status,
            value: None,
            limit: None,
            unit: name.unit(),
            found: found.into(),
            todo: match status {
                CheckStatus::Ok => "",
                CheckStatus::Warning | CheckStatus::Critical => name.todo(),
            },
        }
    }

    /// It is well.
    pub fn ok(name: CheckName, found: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Ok, found)
    }

    /// It is not known, or not set up: a warning.
    pub fn warning(name: CheckName, found: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Warning, found)
    }

    /// It is not well.
    pub fn critical(name: CheckName, found: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Critical, found)
    }

    /// A figure that must not be above its limits.
    pub fn at_most(
        name: CheckName,
        value: f64,
        limits: CheckLimits,
        found: impl Into<String>,
    ) -> Self {
        Self::judged(name, value, limits, found, |value, limit| value > limit)
    }

    /// A figure that must not be below its limits.
    pub fn at_least(
        name: CheckName,
        value: f64,
        limits: CheckLimits,
        found: impl Into<String>,
    ) -> Self {
        Self::judged(name, value, limits, found, |value, limit| value < limit)
    }

    fn judged(
        name: CheckName,
        value: f64,
        limits: CheckLimits,
        found: impl Into<String>,
        is_beyond: impl Fn(f64, f64) -> bool,
    ) -> Self {
        // What is no number cannot be within limits.
        let (status, limit) = if value.is_nan() || is_beyond(value, limits.critical) {
            (CheckStatus::Critical, limits.critical)
        } else if is_beyond(value, limits.warning) {
            (CheckStatus::Warning, limits.warning)
        } else {
            (CheckStatus::Ok, limits.warning)
        };
        Self {
            value: Some(value),
            limit: Some(limit),
            ..Self::new(name, status, found)
        }
    }
}

/// The worst of all.
pub fn worst(checks: &[HealthCheck]) -> CheckStatus {
    let worst = checks.iter().map(|check| check.status).max();
    worst.unwrap_or(CheckStatus::Critical)
}

/// How many dead rows a table has for each live one; 0 where there are too few to count.
pub fn dead_ratio(live: i64, dead: i64, least: i64) -> f64 {
    if dead < least.max(1) {
        return 0.0;
    }
    ratio(dead, live.max(1))
}

/// Which part of the reads of a table went by an index; `None` where it has too few rows to count, or was never read.
pub fn index_use(rows: i64, sequential: i64, by_index: i64) -> Option<f64> {
    let reads = sequential.checked_add(by_index)?;
    (rows > ROWS_WITH_INDEX_USE && reads > 0).then(|| ratio(by_index, reads))
}

/// One number divided by another.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact below 2⁵³, and compared with a limit of two digits"
)]
pub fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_judged_by_two_limits_which_it_may_reach() {
        let limits = CheckLimits::new(0.8, 0.95);
        let few = CheckLimits::new(1000.0, 100.0);
        for (value, status) in [
            (0.0, CheckStatus::Ok),
            (0.8, CheckStatus::Ok),
            (0.81, CheckStatus::Warning),
            (0.95, CheckStatus::Warning),
            (0.951, CheckStatus::Critical),
            (f64::NAN, CheckStatus::Critical),
        ] {
            let check = HealthCheck::at_most(CheckName::Connections, value, limits, "");
            assert_eq!(check.status, status, "{value}");
            assert_eq!(check.todo.is_empty(), status == CheckStatus::Ok);
        }
        for (value, status) in [
            (1000.0, CheckStatus::Ok),
            (999.0, CheckStatus::Warning),
            (100.0, CheckStatus::Warning),
            (99.0, CheckStatus::Critical),
        ] {
            let check = HealthCheck::at_least(CheckName::RegistrarFunds, value, few, "");
            assert_eq!(check.status, status, "{value}");
        }
    }

    #[test]
    fn the_worst_check_decides_and_no_check_is_no_health() {
        let ok = HealthCheck::ok(CheckName::Clock, "");
        let warning = HealthCheck::warning(CheckName::Node, "");
        let critical = HealthCheck::critical(CheckName::Outbox, "");

        assert_eq!(worst(std::slice::from_ref(&ok)), CheckStatus::Ok);
        assert_eq!(worst(&[ok.clone(), warning.clone()]), CheckStatus::Warning);
        assert_eq!(worst(&[warning, critical, ok]), CheckStatus::Critical);
        assert_eq!(worst(&[]), CheckStatus::Critical);
    }

    #[test]
    fn small_tables_have_no_dead_rows_worth_a_word_and_no_index_worth_using() {
        for (live, dead, expected) in [
            (1, 999, 0.0),
            (10_000, 1000, 0.1),
            (0, 2000, 2000.0),
            (10_000, 0, 0.0),
        ] {
            let found = dead_ratio(live, dead, LEAST_DEAD_ROWS);
            assert!((found - expected).abs() < 1e-9, "{live} {dead}: {found}");
        }
        assert_eq!(index_use(10_000, 100, 0), None);
        assert_eq!(index_use(10_001, 0, 0), None);
        assert_eq!(index_use(10_001, 96, 4), Some(0.04));
    }
}
