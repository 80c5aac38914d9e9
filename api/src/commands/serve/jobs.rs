//! What goes on by itself as long as the process runs.

use std::{sync::Arc, time::Duration};

use chain::{Client, Fees};
use store::{Pool, cursor::Registry};
use tokio::{
    sync::{Mutex, Notify, watch},
    task::JoinSet,
    time::Instant,
};

use super::resources::{DATABASE_CLOCK, Resources};
use crate::{
    audit::{checkpoints::Checkpointer, sequencer},
    break_glass::schedule,
    config::ServeConfig,
    deletion::{executor::Executor, expiry, reasons},
    feed::Feed,
    health::{self, Health},
    housekeeping,
    integrity::{chain_head::ChainHeads, deep_check::DeepCheck},
    relay::{Relay, ends::EndClaims},
    retention::{self, Pinner, Retention},
    sampler::Sampler,
    seals::Seals,
};

/// How often fees are asked for.
const FEES_EVERY: Duration = Duration::from_secs(5);
/// What is offered until the node has said what is usual. Unit: wei per gas.
const FIRST_FEES: Fees = Fees {
    max_fee_per_gas: 20_000_000_000,
    max_priority_fee_per_gas: 1_000_000_000,
};

/// Starts what orders and pins the trail; says where nothing pins it.
pub(super) fn start_trail(
    config: &ServeConfig,
    resources: &Resources,
    fees: watch::Receiver<Fees>,
    health: &Health,
    tasks: &mut JoinSet<()>,
) {
    tasks.spawn(sequencer::run(resources.pool.clone()));
    let Some(signer) = resources.checkpointer.clone() else {
        tracing::warn!(
            "No checkpoint key: the audit trail is not pinned in the registry (MEDITRUSTAL_CHECKPOINT_KEY_FILE)"
        );
        return;
    };
    let checkpointer = Checkpointer {
        pool: resources.pool.clone(),
        client: resources.client.clone(),
        registry: resources.registry.clone(),
        signer,
        fees,
        due: config.checkpoints.due(),
        health: health.clone(),
    };
    tasks.spawn(checkpointer.run());
}

/// Starts a relay for each account; gives what wakes each, in their order.
pub(super) fn start_relays(
    config: &ServeConfig,
    resources: &Resources,
    fees: &watch::Receiver<Fees>,
    tasks: &mut JoinSet<()>,
) -> Vec<Arc<Notify>> {
    let Resources { pool, client, .. } = resources;
    let ends = EndClaims::default();
    let mut wakes = Vec::new();
    for signer in resources.signers.all() {
        let wake = Arc::new(Notify::new());
        wakes.push(Arc::clone(&wake));
        let relay = Relay {
            pool: pool.clone(),
            client: client.clone(),
            chain_id: resources.registry.chain_id,
            signer: Arc::clone(signer),
            signers: resources.signers.clone(),
            ends: ends.clone(),
            fees: fees.clone(),
            most_fee: config.fees.most(),
            raise_after: config.fees.raise_after(),
            wake,
            consents: client
                .deployment()
                .consent_registry
                .filter(|_| config.relay_consents),
            keyring: Arc::clone(&resources.keyring),
            doubts: Mutex::default(),
        };
        tasks.spawn(relay.run());
    }
    wakes
}

/// Starts what nobody asks for: housekeeping, the deep check and the health checks.
pub(super) fn start_jobs(
    config: &ServeConfig,
    resources: &Resources,
    tasks: &mut JoinSet<()>,
) -> Health {
    let Resources { pool, client, .. } = resources;
    let (keep, every) = (config.housekeeping.keep.keep(), config.housekeeping.every());
    tasks.spawn(housekeeping::run(pool.clone(), keep, every));
    let every = config.deletion.every();
    tasks.spawn(expiry::run(pool.clone(), every));
    let keyring = Arc::clone(&resources.keyring);
    tasks.spawn(reasons::run(pool.clone(), keyring, every));
    if config.deep_check_per_second > 0 {
        let check = DeepCheck {
            pool: pool.clone(),
            keyring: Arc::clone(&resources.keyring),
            registry: resources.registry.clone(),
            client: client.clone(),
            per_second: config.deep_check_per_second,
            rest: config.deep_check_rest(),
        };
        tasks.spawn(check.run());
    }
    let health = Health::default();
    let monitor = health::HealthMonitor {
        url: config.database.url.clone(),
        settings: resources.settings,
        pool: pool.clone(),
        registry: resources.registry.clone(),
        client: client.clone(),
        keyring: Arc::clone(&resources.keyring),
        signers: resources.signers.clone(),
        clock: &DATABASE_CLOCK,
        head_age: config.head_age(),
        silence: config.silence(),
        health: health.clone(),
    };
    tasks.spawn(monitor.run());
    health
}

/// Starts what is due by a time: requests to erase, what has been kept long enough, windows of emergency access.
pub(super) fn start_schedules(
    config: &ServeConfig,
    resources: &Resources,
    seals: &Seals,
    tasks: &mut JoinSet<()>,
) {
    let executor = Executor {
        pool: resources.pool.clone(),
        seals: seals.clone(),
        ledger: resources.ledger.clone(),
        every: config.deletion.every(),
    };
    tasks.spawn(executor.run());
    tasks.spawn(schedule::run(resources.pool.clone(), seals.clone()));
    if let Some(every) = config.retention.every() {
        let deployment = resources.client.deployment();
        let pinner = resources.checkpointer.clone();
        let retention = Retention {
            pool: resources.pool.clone(),
            seals: seals.clone(),
            keyring: Arc::clone(&resources.keyring),
            client: Some(resources.client.clone()),
            pinner: pinner.map(|signer| Pinner::new(signer, deployment)),
            keep: config.housekeeping.keep.keep(),
            ledger: resources.ledger.clone(),
        };
        tasks.spawn(retention::schedule::run(retention, every));
    }
}

/// Begins to read what subscribers follow, and where the chain is.
pub(super) fn start_feed(
    config: &ServeConfig,
    pool: &Pool,
    client: &Client,
    registry: Registry,
    tasks: &mut JoinSet<()>,
) -> (Feed, ChainHeads) {
    let feed = Feed::start(pool.clone(), config.database.url.clone(), registry, tasks);
    let chain_heads = ChainHeads::start(&feed, client.clone(), tasks);
    (feed, chain_heads)
}

/// Begins to look at the replica, and, where metrics are told, at what they tell.
pub(super) fn start_sampler(
    config: &ServeConfig,
    resources: &Resources,
    fees: &watch::Receiver<Fees>,
    health: &Health,
    tasks: &mut JoinSet<()>,
) {
    tasks.spawn(resources.reads.clone().watch(resources.pool.clone()));
    if config.metrics_address.is_some() {
        tasks.spawn(sampler(resources, fees, health).run());
    }
}

/// What looks at the figures that the metrics tell.
fn sampler(resources: &Resources, fees: &watch::Receiver<Fees>, health: &Health) -> Sampler {
    let checkpointer = resources.checkpointer.as_ref();
    Sampler {
        pool: resources.pool.clone(),
        reads: resources.reads.clone(),
        registry: resources.registry.clone(),
        client: resources.client.clone(),
        registrars: resources.signers.all().map(|it| it.address()).collect(),
        checkpointer: checkpointer.map(|signer| signer.address()),
        fees: fees.clone(),
        health: health.clone(),
        clock: &DATABASE_CLOCK,
        began: Instant::now(),
    }
}

/// Begins to ask the node what transactions have to offer.
pub(super) fn start_fees(
    config: &ServeConfig,
    resources: &Resources,
    tasks: &mut JoinSet<()>,
) -> watch::Receiver<Fees> {
    let most = config.fees.most();
    let (fees, current) = watch::channel(at_most(FIRST_FEES, most));
    tasks.spawn(watch_fees(resources.client.clone(), fees, most));
    current
}

/// Fees that offer no more than they may.
fn at_most(fees: Fees, most: u128) -> Fees {
    Fees {
        max_fee_per_gas: fees.max_fee_per_gas.min(most),
        max_priority_fee_per_gas: fees.max_priority_fee_per_gas.min(most),
    }
}

async fn watch_fees(client: Client, fees: watch::Sender<Fees>, most: u128) {
    loop {
        match client.fees().await {
            Ok(now) => fees.send_replace(at_most(now, most)),
            Err(error) => {
                tracing::debug!(%error, "The node does not say what is usual; offering what it said last");
                *fees.borrow()
            }
        };
        tokio::time::sleep(FEES_EVERY).await;
    }
}
