//! What is looked at every few seconds, by `crate::sampler`.

use domain::integrity::FindingKind;
use metrics::{Counter, Gauge, Label, Labelled, Metrics};
use store::reads::Fallback;

/// The parts of [`crate::health`].
pub(crate) const PARTS: [&str; 6] = ["database", "clock", "keys", "indexer", "node", "signers"];
/// What [`crate::health::CheckpointState`] can be.
pub(crate) const CHECKPOINT_STATES: [&str; 9] = [
    "OFF",
    "ON",
    "NODE",
    "NODES_DIFFER",
    "DATABASE",
    "PAUSED",
    "NOT_ALLOWED",
    "NOT_TAKEN",
    "CONTRADICTION",
];
/// The tasks of the maintenance.
const TASKS: [&str; 4] = ["VACUUM", "ANALYZE", "REINDEX", "INDEX_USAGE"];
/// The states of transactions that are looked at.
const OUTBOX_STATES: [&str; 3] = ["QUEUED", "SENT", "FAILED"];
/// Whose nonce it is.
const NONCES: [&str; 2] = ["database", "chain"];
/// The accounts that anchor, by their places among those that are named.
pub(crate) const REGISTRARS: [&str; 8] = [
    "registrar",
    "registrar-2",
    "registrar-3",
    "registrar-4",
    "registrar-5",
    "registrar-6",
    "registrar-7",
    "registrar-8",
];
/// The nodes that are told apart, by their places among those that are named.
pub(crate) const NODES: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];

/// What is looked at every few seconds.
#[derive(Debug)]
pub(crate) struct SampledMetrics {
    /// When it was last looked. Unit: seconds since 1970.
    pub(crate) at: Gauge,
    pub(crate) process: ProcessMetrics,
    pub(crate) database: DatabaseMetrics,
    pub(crate) replica: ReplicaMetrics,
    pub(crate) chain: ChainMetrics,
    pub(crate) integrity: IntegrityMetrics,
}

impl SampledMetrics {
    pub(super) fn new(all: &mut Metrics) -> Self {
        Self {
            at: all.gauge(
                "sampled_timestamp_seconds",
                "When the database was last looked at, in seconds since 1970",
            ),
            process: ProcessMetrics::new(all),
            database: DatabaseMetrics::new(all),
            replica: ReplicaMetrics::new(all),
            chain: ChainMetrics::new(all),
            integrity: IntegrityMetrics::new(all),
        }
    }
}

/// How this process is.
#[derive(Debug)]
pub(crate) struct ProcessMetrics {
    pub(crate) failing: Labelled<Gauge>,
    pub(crate) checkpoint_state: Labelled<Gauge>,
    pub(crate) clock_ahead: Gauge,
    pub(crate) pool: Labelled<Gauge>,
    pub(crate) pool_taken: Counter,
    pub(crate) pool_in_vain: Counter,
    pub(crate) pool_waited: Gauge,
}

impl ProcessMetrics {
    fn new(all: &mut Metrics) -> Self {
        Self {
            failing: all.gauges(
                "health_failing",
                "1 where a part fails that /health/ready names",
                &[Label::new("part", PARTS)],
            ),
            checkpoint_state: all.gauges(
                "audit_checkpoint_state",
                "1 for what /health/ready says of checkpoints",
                &[Label::new("state", CHECKPOINT_STATES)],
            ),
            clock_ahead: all.gauge(
                "clock_ahead_seconds",
                "By how much the clock of the database is ahead of that of this machine",
            ),
            pool: all.gauges(
                "pool_connections",
                "Connections of the pool",
                &[Label::new("state", ["idle", "used"])],
            ),
            pool_taken: all.counter(
                "pool_connections_taken",
                "How often a connection was taken from the pool",
            ),
            pool_in_vain: all.counter("pool_waits_in_vain", "How often no connection could be had"),
            pool_waited: all.gauge(
                "pool_waited_seconds",
                "The time that was waited for connections since the start",
            ),
        }
    }
}

/// The database.
#[derive(Debug)]
pub(crate) struct DatabaseMetrics {
    pub(crate) bytes: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) max_connections: Gauge,
    pub(crate) longest_query: Gauge,
    pub(crate) dead_rows: Labelled<Gauge>,
    pub(crate) index_use: Labelled<Gauge>,
    pub(crate) table_bytes: Labelled<Gauge>,
    pub(crate) invalid_indexes: Gauge,
    pub(crate) maintenance_age: Labelled<Gauge>,
}

impl DatabaseMetrics {
    fn new(all: &mut Metrics) -> Self {
        let table = [Label::new("table", store::monitoring::TABLES)];
        Self {
            bytes: all.gauge("database_size_bytes", "The size of the database"),
            connections: all.gauge("database_connections", "Sessions of the database server"),
            max_connections: all
                .gauge("database_max_connections", "How many sessions there may be"),
            longest_query: all.gauge(
                "database_longest_query_seconds",
                "How long the longest statement has run, without the backup and the owner",
            ),
            dead_rows: all.known_gauges(
                "table_dead_row_ratio",
                "Dead rows of a table for each live one, 0 where they are few",
                &table,
            ),
            index_use: all.known_gauges(
                "table_index_use_ratio",
                "The part of the reads of a large table that went by an index",
                &table,
            ),
            table_bytes: all.known_gauges(
                "table_size_bytes",
                "The size of a table with its indexes",
                &table,
            ),
            invalid_indexes: all.gauge("invalid_indexes", "Indexes that cannot be used"),
            maintenance_age: all.known_gauges(
                "maintenance_age_seconds",
                "How long ago a part of the maintenance came to its end",
                &[Label::new("task", TASKS)],
            ),
        }
    }
}

/// The replica that lists and documents are read from.
#[derive(Debug)]
pub(crate) struct ReplicaMetrics {
    pub(crate) failing: Gauge,
    pub(crate) reads: Counter,
    pub(crate) fallbacks: Labelled<Counter>,
    pub(crate) lag_bytes: Gauge,
    pub(crate) lag_seconds: Gauge,
}

impl ReplicaMetrics {
    fn new(all: &mut Metrics) -> Self {
        let reasons = Fallback::ALL.iter().map(|why| why.as_str());
        Self {
            failing: all.gauge(
                "replica_failing",
                "1 where a replica is named and cannot be used, so that the primary is read",
            ),
            reads: all.counter("replica_reads", "Reads that the replica answered"),
            fallbacks: all.counters(
                "replica_fallbacks",
                "How often the primary was read instead of the replica",
                &[Label::new("reason", reasons)],
            ),
            lag_bytes: all.gauge(
                "replica_lag_bytes",
                "How much of the primary's log the replica had not replayed when it was last looked at",
            ),
            lag_seconds: all.gauge(
                "replica_lag_seconds",
                "How long ago what the replica replayed last was committed, where it was behind",
            ),
        }
    }
}

/// What waits for the chain, and how far the indexer is.
#[derive(Debug)]
pub(crate) struct ChainMetrics {
    pub(crate) outbox: Labelled<Gauge>,
    pub(crate) outbox_oldest: Gauge,
    pub(crate) balance: Labelled<Gauge>,
    pub(crate) transactions_left: Labelled<Gauge>,
    pub(crate) nonces: Labelled<Gauge>,
    pub(crate) waiting: Labelled<Gauge>,
    pub(crate) waiting_oldest: Labelled<Gauge>,
    pub(crate) node_well: Labelled<Gauge>,
    pub(crate) node_used: Labelled<Gauge>,
    pub(crate) node_failures: Labelled<Counter>,
    pub(crate) led_age: Gauge,
    pub(crate) lag: Gauge,
    pub(crate) undone_blocks: Gauge,
}

impl ChainMetrics {
    fn new(all: &mut Metrics) -> Self {
        let account = [Label::new(
            "account",
            REGISTRARS.into_iter().chain(["checkpoint"]),
        )];
        let registrar = [Label::new("account", REGISTRARS)];
        let node = [Label::new("node", NODES)];
        Self {
            outbox: all.gauges(
                "outbox_transactions",
                "Transactions that are in no block, or were mined without effect",
                &[Label::new("state", OUTBOX_STATES)],
            ),
            outbox_oldest: all.gauge(
                "outbox_oldest_seconds",
                "How long the oldest transaction has waited for a block",
            ),
            balance: all.known_gauges("account_balance_wei", "The funds of an account", &account),
            transactions_left: all.known_gauges(
                "account_transactions_left",
                "For how many transactions the funds of an account last",
                &account,
            ),
            nonces: all.known_gauges(
                "registrar_nonce",
                "The next nonce of a registrar",
                &[Label::new("of", NONCES), Label::new("account", REGISTRARS)],
            ),
            waiting: all.known_gauges(
                "registrar_waiting_transactions",
                "Transactions of a registrar that are in no block",
                &registrar,
            ),
            waiting_oldest: all.known_gauges(
                "registrar_waiting_oldest_seconds",
                "How long the oldest of them has waited",
                &registrar,
            ),
            node_well: all.known_gauges(
                "node_well",
                "1 where the node did what it should when it was last asked",
                &node,
            ),
            node_used: all.known_gauges("node_used", "1 for the node that is asked", &node),
            node_failures: all.counters(
                "node_failures",
                "How often a node did not do what it should",
                &node,
            ),
            led_age: all.gauge(
                "indexer_led_seconds",
                "How long ago an indexer that leads last wrote; since the start where none did",
            ),
            lag: all.gauge(
                "indexed_lag_blocks",
                "Blocks of the chain that no indexer has applied, by the database",
            ),
            undone_blocks: all.gauge(
                "undone_blocks",
                "Blocks with events that were undone within the last day",
            ),
        }
    }
}

/// Findings, reviews, and the audit trail.
#[derive(Debug)]
pub(crate) struct IntegrityMetrics {
    pub(crate) findings: Labelled<Gauge>,
    pub(crate) unreviewed: Gauge,
    pub(crate) escalated: Gauge,
    pub(crate) oldest_unreviewed: Gauge,
    pub(crate) leaves: Gauge,
    pub(crate) unordered: Gauge,
    pub(crate) unpinned: Gauge,
    pub(crate) checkpoint_age: Gauge,
    pub(crate) deep_check_age: Gauge,
    pub(crate) deep_check_wrong: Gauge,
}

impl IntegrityMetrics {
    fn new(all: &mut Metrics) -> Self {
        let kinds = FindingKind::ALL.iter().map(|kind| kind.as_str());
        Self {
            findings: all.gauges(
                "findings_open",
                "Findings that are open",
                &[Label::new("kind", kinds)],
            ),
            unreviewed: all.gauge(
                "emergency_windows_unreviewed",
                "Windows of emergency access that have ended and wait for a review",
            ),
            escalated: all.gauge(
                "emergency_windows_escalated",
                "Windows that wait for a review and were escalated to every administrator",
            ),
            oldest_unreviewed: all.gauge(
                "emergency_windows_oldest_unreviewed_seconds",
                "How long ago the oldest window that waits for a review was opened",
            ),
            leaves: all.gauge("audit_leaves", "Leaves of the tree over the audit trail"),
            unordered: all.gauge(
                "audit_rows_unordered",
                "Rows of the audit trail without a place in its tree",
            ),
            unpinned: all.gauge(
                "audit_rows_unpinned",
                "Leaves that no checkpoint in the registry holds",
            ),
            checkpoint_age: all.gauge(
                "audit_checkpoint_age_seconds",
                "How long ago the newest checkpoint that the registry has was signed; since the start where it has none",
            ),
            deep_check_age: all.gauge(
                "deep_check_age_seconds",
                "How long ago the last round of the deep check ended; since the start where none did",
            ),
            deep_check_wrong: all.gauge(
                "deep_check_wrong_rows",
                "What the last round of the deep check found wrong",
            ),
        }
    }
}
