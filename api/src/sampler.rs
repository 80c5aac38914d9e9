//! Looks every few seconds at what nobody counts as it happens: the database, the outbox, the accounts, findings, reviews,
//! the trail; and tells the metrics. Where it cannot look, the figures stay as they were, and so does the time that it tells.

use std::time::Duration;

use chain::{ChainAddress, Client, Fees, transactions_left};
use chrono::{DateTime, Utc};
use domain::{
    clock::{Ahead, Clock},
    integrity::FindingKind,
    monitoring::{LEAST_DEAD_ROWS, dead_ratio, index_use, is_patient_role},
};
use metrics::{flag, number};
use store::{
    Pool, StoreError,
    cursor::Registry,
    monitoring::{self, TableFigures},
    reads::{Fallback, Reads},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    health::Health,
    instruments::{CHECKPOINT_STATES, NODES, PARTS, REGISTRARS, SampledMetrics, instruments},
};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(10);

/// What is looked at.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// The database.
    pub(crate) pool: Pool,
    /// The replica, where there is one.
    pub(crate) reads: Reads,
    /// The registry that is followed.
    pub(crate) registry: Registry,
    /// The node.
    pub(crate) client: Client,
    /// The accounts that anchor, in the order in which they were named.
    pub(crate) registrars: Vec<ChainAddress>,
    /// The account that pins the trail.
    pub(crate) checkpointer: Option<ChainAddress>,
    /// What a transaction should offer now.
    pub(crate) fees: watch::Receiver<Fees>,
    /// How the process is.
    pub(crate) health: Health,
    /// The database's clock.
    pub(crate) clock: &'static Ahead,
    /// Since when it is looked: how long what never happened has not, at least.
    pub(crate) began: Instant,
}

impl Sampler {
    /// Looks again and again.
    pub(crate) async fn run(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sampled = &instruments().sampled;
        let mut is_failing = false;
        loop {
            ticks.tick().await;
            self.process(sampled);
            self.replica(sampled);
            self.nodes(sampled);
            let looked = self.database(sampled).await;
            match &looked {
                Ok(()) => {
                    let now = seconds(Clock::Other(self.clock).now());
                    sampled.at.set(now);
                }
                // Once, and not each time.
                Err(error) if !is_failing => tracing::warn!(
                    sql_state = error.sql_state(),
                    "The figures of the metrics cannot be read; trying again"
                ),
                Err(_) => {}
            }
            is_failing = looked.is_err();
            self.accounts(sampled).await;
        }
    }

    /// How old something is that never happened. Unit: seconds.
    fn never(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What the process knows of itself.
    fn process(&self, sampled: &SampledMetrics) {
        let metrics = &sampled.process;
        let failing = self.health.parts().failing();
        for part in PARTS {
            metrics
                .failing
                .with(&[part])
                .set(flag(failing.contains(&part)));
        }
        let now = self.health.checkpoints().as_str();
        for state in CHECKPOINT_STATES {
            metrics
                .checkpoint_state
                .with(&[state])
                .set(flag(state == now));
        }
        metrics.clock_ahead.set(self.clock.get().as_seconds_f64());
        let pool = self.pool.figures();
        metrics.pool.with(&["idle"]).set(pool.idle.into());
        let used = pool.open.saturating_sub(pool.idle);
        metrics.pool.with(&["used"]).set(used.into());
        metrics.pool_waited.set(pool.waited.as_secs_f64());
        // This task alone raises them.
        let (taken, in_vain) = (&metrics.pool_taken, &metrics.pool_in_vain);
        taken.inc_by(pool.taken.saturating_sub(taken.get()));
        in_vain.inc_by(pool.in_vain.saturating_sub(in_vain.get()));
    }

    /// How the replica is, where there is one.
    fn replica(&self, sampled: &SampledMetrics) {
        let Some(found) = self.reads.figures() else {
            return;
        };
        let metrics = &sampled.replica;
        metrics.failing.set(flag(found.unused.is_some()));
        metrics.lag_bytes.set(number(found.lag_bytes));
        metrics.lag_seconds.set(found.lag_seconds);
        // This task alone raises them.
        let reads = &metrics.reads;
        reads.inc_by(found.reads.saturating_sub(reads.get()));
        for (why, count) in Fallback::ALL.iter().zip(found.fallbacks) {
            let counter = metrics.fallbacks.with(&[why.as_str()]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// How the nodes do that are asked.
    fn nodes(&self, sampled: &SampledMetrics) {
        let metrics = &sampled.chain;
        for (name, node) in NODES.into_iter().zip(self.client.endpoints()) {
            metrics.node_well.with(&[name]).set(flag(node.is_well));
            metrics.node_used.with(&[name]).set(flag(node.is_used));
            // This task alone raises them.
            let failures = metrics.node_failures.with(&[name]);
            failures.inc_by(node.failures.saturating_sub(failures.get()));
        }
    }

    /// The accounts that anchor, each with its name.
    fn named(&self) -> impl Iterator<Item = (&'static str, ChainAddress)> {
        REGISTRARS.into_iter().zip(self.registrars.iter().copied())
    }

    async fn database(&self, sampled: &SampledMetrics) -> Result<(), StoreError> {
        let mut conn = self.pool.acquire().await?;
        let metrics = &sampled.database;
        let found = monitoring::database(&mut conn).await?;
        metrics.bytes.set(number(found.bytes));
        metrics.connections.set(number(found.connections));
        metrics.max_connections.set(found.max_connections.into());
        let queries = monitoring::active_queries(&mut conn).await?;
        let longest = queries.iter().find(|query| !is_patient_role(&query.role));
        metrics
            .longest_query
            .set(longest.map_or(0.0, |query| query.seconds));
        for table in monitoring::tables(&mut conn).await? {
            table_metrics(sampled, &table);
        }
        let indexes = monitoring::indexes(&mut conn).await?;
        let invalid = indexes.iter().filter(|index| !index.is_valid).count();
        metrics
            .invalid_indexes
            .set(number(i64::try_from(invalid).unwrap_or(i64::MAX)));
        for age in monitoring::maintenance(&mut conn).await? {
            metrics.maintenance_age.with(&[&age.task]).set(age.seconds);
        }
        drop(conn);
        self.chain(sampled).await?;
        self.integrity(sampled).await
    }

    /// What waits for the chain, and how far the indexer is, by the database.
    async fn chain(&self, sampled: &SampledMetrics) -> Result<(), StoreError> {
        let mut conn = self.pool.acquire().await?;
        let metrics = &sampled.chain;
        let outbox = monitoring::outbox(&mut conn, self.registry.chain_id).await?;
        metrics.outbox.with(&["QUEUED"]).set(number(outbox.queued));
        metrics.outbox.with(&["SENT"]).set(number(outbox.sent));
        metrics.outbox.with(&["FAILED"]).set(number(outbox.failed));
        metrics
            .outbox_oldest
            .set(outbox.oldest_seconds.unwrap_or(0.0));
        let signers = monitoring::signers(&mut conn, self.registry.chain_id).await?;
        for (name, account) in self.named() {
            let address = account.to_string();
            if let Some(signer) = signers.iter().find(|signer| signer.address == address) {
                let nonce = number(signer.next_nonce);
                metrics.nonces.with(&["database", name]).set(nonce);
                metrics.waiting.with(&[name]).set(number(signer.waiting));
                let oldest = signer.oldest_seconds.unwrap_or(0.0);
                metrics.waiting_oldest.with(&[name]).set(oldest);
            }
        }
        let indexer = monitoring::indexer(&mut conn, &self.registry).await?;
        let led = indexer.map_or_else(|| self.never(), |indexer| indexer.led_seconds);
        metrics.led_age.set(led);
        if let Some(indexer) = indexer {
            metrics.lag.set(number(indexer.lag_blocks));
            metrics.undone_blocks.set(number(indexer.undone_blocks));
        }
        Ok(())
    }

    async fn integrity(&self, sampled: &SampledMetrics) -> Result<(), StoreError> {
        let mut conn = self.pool.acquire().await?;
        let metrics = &sampled.integrity;
        let findings = monitoring::open_findings(&mut conn).await?;
        for kind in FindingKind::ALL {
            let open = findings.iter().find(|found| found.kind == kind.as_str());
            let open = number(open.map_or(0, |found| found.open));
            metrics.findings.with(&[kind.as_str()]).set(open);
        }
        let reviews = monitoring::reviews(&mut conn).await?;
        metrics.unreviewed.set(number(reviews.unreviewed));
        metrics.escalated.set(number(reviews.escalated));
        metrics
            .oldest_unreviewed
            .set(reviews.oldest_seconds.unwrap_or(0.0));
        let trail = monitoring::trail(&mut conn, &self.registry).await?;
        metrics.leaves.set(number(trail.leaves));
        metrics.unordered.set(number(trail.unordered));
        metrics.unpinned.set(number(trail.unpinned));
        metrics
            .checkpoint_age
            .set(trail.checkpoint_seconds.unwrap_or_else(|| self.never()));
        let check = monitoring::deep_check(&mut conn).await?;
        metrics
            .deep_check_age
            .set(check.ended_seconds.unwrap_or_else(|| self.never()));
        metrics.deep_check_wrong.set(number(check.wrong));
        Ok(())
    }

    /// What the node says of our accounts. What it does not say stays as it was.
    async fn accounts(&self, sampled: &SampledMetrics) {
        let fee = self.fees.borrow().max_fee_per_gas;
        instruments().fee.set(wei(fee));
        let checkpointer = self.checkpointer.map(|account| ("checkpoint", account));
        for (name, account) in self.named().chain(checkpointer) {
            if let Ok(balance) = self.client.balance(account).await {
                let metrics = &sampled.chain;
                metrics.balance.with(&[name]).set(wei(balance));
                let left = i64::try_from(transactions_left(balance, fee)).unwrap_or(i64::MAX);
                metrics.transactions_left.with(&[name]).set(number(left));
            }
        }
        for (name, account) in self.named() {
            if let Ok(nonce) = self.client.next_nonce(account).await {
                let nonce = number(i64::try_from(nonce).unwrap_or(i64::MAX));
                sampled.chain.nonces.with(&["chain", name]).set(nonce);
            }
        }
    }
}

fn table_metrics(sampled: &SampledMetrics, table: &TableFigures) {
    let metrics = &sampled.database;
    let name = table.name.as_str();
    // The migrator's own table is none of ours.
    if !monitoring::TABLES.contains(&name) {
        return;
    }
    metrics.table_bytes.with(&[name]).set(number(table.bytes));
    let dead = dead_ratio(table.live_rows, table.dead_rows, LEAST_DEAD_ROWS);
    metrics.dead_rows.with(&[name]).set(dead);
    if let Some(used) = index_use(table.live_rows, table.sequential_scans, table.index_scans) {
        metrics.index_use.with(&[name]).set(used);
    }
}

/// Unit: seconds since 1970.
fn seconds(at: DateTime<Utc>) -> f64 {
    number(at.timestamp())
}

#[expect(clippy::cast_precision_loss, reason = "it is only shown")]
fn wei(amount: u128) -> f64 {
    amount as f64
}
