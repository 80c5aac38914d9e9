//! What the indexer measures, for `/metrics`: what its status says, read anew for each answer.

use std::sync::{Arc, Mutex, PoisonError};

use chain::EndpointHealth;
use metrics::{Counter, Gauge, Label, Labelled, Metrics, flag};

use crate::{
    error::HALTS,
    status::{DEPTHS, Status, StatusFigures, SubscriptionHealth},
};

/// The metrics of this process.
#[derive(Debug)]
struct IndexerMetrics {
    all: Metrics,
    roles: Labelled<Gauge>,
    halted: Labelled<Gauge>,
    ready: Gauge,
    head: Gauge,
    head_age: Gauge,
    finalized: Gauge,
    cursor: Gauge,
    lag: Gauge,
    silence: Gauge,
    ahead: Gauge,
    deepest_reorg: Gauge,
    events: Counter,
    confirmed: Counter,
    opened: Counter,
    resolved: Counter,
    reorgs: Counter,
    reorg_depths: Labelled<Counter>,
    nodes: NodeMetrics,
}

/// What is measured of each node.
#[derive(Debug)]
struct NodeMetrics {
    well: Labelled<Gauge>,
    used: Labelled<Gauge>,
    failures: Labelled<Counter>,
    subscriptions: Labelled<Gauge>,
    heads: Labelled<Counter>,
    subscription_failures: Labelled<Counter>,
}

impl NodeMetrics {
    fn new(all: &mut Metrics) -> Self {
        Self {
            well: all.known_gauges(
                "indexer_node_well",
                "1 where the node did what it should when it was last asked",
                &[Label::new("node", NODES)],
            ),
            used: all.known_gauges(
                "indexer_node_used",
                "1 for the node that is asked",
                &[Label::new("node", NODES)],
            ),
            failures: all.counters(
                "indexer_node_failures",
                "How often a node did not do what it should",
                &[Label::new("node", NODES)],
            ),
            subscriptions: all.known_gauges(
                "indexer_subscription_connected",
                "1 where a node that tells of new blocks is listened to",
                &[Label::new("node", NODES)],
            ),
            heads: all.counters(
                "indexer_subscription_heads",
                "Blocks that a node has told of by itself",
                &[Label::new("node", NODES)],
            ),
            subscription_failures: all.counters(
                "indexer_subscription_failures",
                "How often the line to a node that tells of new blocks ended, or could not be begun",
                &[Label::new("node", NODES)],
            ),
        }
    }
}

/// The nodes that are told apart, by their place among those that were named.
const NODES: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];

/// The roles that a process can have.
const ROLES: [&str; 3] = ["starting", "standby", "leader"];

impl IndexerMetrics {
    fn new() -> Self {
        let mut all = Metrics::default();
        let version = Label::new("version", [env!("CARGO_PKG_VERSION")]);
        let build = all.gauges(
            "indexer_build_info",
            "1 for the version that runs",
            &[version],
        );
        build.with(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let roles = Label::new("role", ROLES);
        let reasons = Label::new("reason", HALTS);
        Self {
            roles: all.gauges(
                "indexer_role",
                "1 for the role that this process has",
                &[roles],
            ),
            halted: all.gauges(
                "indexer_halted",
                "1 where nothing more is applied, and why",
                &[reasons],
            ),
            ready: all.gauge("indexer_ready", "1 where /health/ready answers 200"),
            head: all.gauge("indexer_head_block", "The newest block of the node"),
            head_age: all.gauge("indexer_head_age_seconds", "The age of the newest block"),
            finalized: all.gauge(
                "indexer_finalized_block",
                "The newest block that cannot be undone",
            ),
            cursor: all.gauge("indexer_cursor_block", "The last block that was applied"),
            lag: all.gauge(
                "indexer_lag_blocks",
                "Blocks of the chain that are not applied yet",
            ),
            silence: all.gauge(
                "indexer_last_good_round_seconds",
                "The time since a round did what it should",
            ),
            ahead: all.gauge(
                "indexer_clock_ahead_seconds",
                "By how much the clock of the database is ahead of that of this machine",
            ),
            deepest_reorg: all.gauge(
                "indexer_deepest_reorganisation_blocks",
                "Blocks that the deepest reorganisation undid since the start",
            ),
            events: all.counter(
                "indexer_events_applied",
                "Events of the registries that were applied",
            ),
            confirmed: all.counter(
                "indexer_anchors_confirmed",
                "Anchors that were found in a block",
            ),
            opened: all.counter("indexer_findings_opened", "Findings that were opened"),
            resolved: all.counter("indexer_findings_resolved", "Findings that were resolved"),
            reorgs: all.counter("indexer_reorganisations", "Reorganisations of the chain"),
            reorg_depths: all.counters(
                "indexer_reorganisations_by_depth",
                "Reorganisations of the chain, by how many blocks were undone at most",
                &[Label::new("blocks", DEPTHS.map(|(_, name)| name))],
            ),
            nodes: NodeMetrics::new(&mut all),
            all,
        }
    }

    fn set_subscriptions(&self, subscriptions: &[SubscriptionHealth]) {
        for (name, it) in NODES.into_iter().zip(subscriptions) {
            let connected = self.nodes.subscriptions.with(&[name]);
            connected.set(flag(it.is_connected));
            raise(&self.nodes.heads.with(&[name]), it.heads);
            raise(&self.nodes.subscription_failures.with(&[name]), it.failures);
        }
    }

    fn set_nodes(&self, nodes: &[EndpointHealth]) {
        for (name, node) in NODES.into_iter().zip(nodes) {
            self.nodes.well.with(&[name]).set(flag(node.is_well));
            self.nodes.used.with(&[name]).set(flag(node.is_used));
            raise(&self.nodes.failures.with(&[name]), node.failures);
        }
    }

    fn set(&self, figures: &StatusFigures) {
        for role in ROLES {
            self.roles.with(&[role]).set(flag(role == figures.role));
        }
        for reason in HALTS {
            let is_so = figures.halted == Some(reason);
            self.halted.with(&[reason]).set(flag(is_so));
        }
        self.ready.set(flag(figures.is_ready));
        self.head.set(block(figures.head));
        self.head_age.set(figures.head_age_seconds.unwrap_or(0.0));
        self.finalized.set(block(figures.finalized));
        self.cursor.set(block(figures.cursor));
        self.lag.set(block(figures.lag));
        self.silence.set(figures.silent_seconds);
        self.ahead.set(figures.ahead_seconds);
        self.deepest_reorg.set(block(figures.deepest_reorg));
        raise(&self.events, figures.events);
        raise(&self.confirmed, figures.confirmed);
        raise(&self.opened, figures.findings_opened);
        raise(&self.resolved, figures.findings_resolved);
        raise(&self.reorgs, figures.reorgs);
        for ((_, name), count) in DEPTHS.into_iter().zip(figures.reorg_depths) {
            raise(&self.reorg_depths.with(&[name]), count);
        }
    }
}

/// What `/metrics` answers for this status, each time it is asked.
pub(crate) fn text_of(status: Status) -> impl Fn() -> String + Clone + Send + Sync + 'static {
    // Counters are raised by what is missing: one answer at a time.
    let instruments = Arc::new(Mutex::new(IndexerMetrics::new()));
    move || {
        let instruments = instruments.lock().unwrap_or_else(PoisonError::into_inner);
        instruments.set(&status.figures());
        instruments.set_nodes(&status.node_health());
        instruments.set_subscriptions(&status.subscription_health());
        instruments.all.text()
    }
}

/// A counter whose number is kept elsewhere.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn block(number: u64) -> f64 {
    metrics::number(i64::try_from(number).unwrap_or(i64::MAX))
}
