//! The loop: lead or stand by, follow, sweep, wait. It never ends by itself: a database or a node that
//! is away is waited for, and what does not follow is not applied until it does.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use chain::{Client, Deployment, HeadSource};
use domain::environment::Risk;
use store::{
    PoolSettings,
    cursor::Registry,
    inspect::{self, InspectError},
    leases,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    config::Config,
    deadline::{DATABASE_TIMEOUT, NODE_TIMEOUT, in_time, until, within},
    endpoints::Endpoints,
    error::{IndexerError, with_causes},
    heads::HeadWatch,
    health, instruments,
    leader::{ChainFollower, FollowSettings, LeaderState, RoundOutcome},
    lease::{self, IDLE_IN_TRANSACTION, LOOK_EVERY, LeaseKeeper},
    position::column,
    status::{LeadershipRole, Status, clock_trouble},
    sweep::Sweep,
};

/// The longest wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Said where every node that is named only tells of new blocks, or none is.
const NO_NODE: &str = "no node is named that can be asked: set CHAIN_RPC_URL";

/// How often a database that is away is looked for at the start.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Refuses a deployment file that cannot be used, and settings that are not safe for real records; `unknown` are those that
/// nobody knows. Nobody is asked.
///
/// # Errors
/// Why.
pub(crate) fn check(config: &Config, unknown: Vec<Risk>) -> Result<(), Box<dyn Error>> {
    Deployment::load(&config.deployment_file)?;
    config.nodes().next().ok_or(NO_NODE)?;
    config.safety.judge([config.risks(), unknown].concat())?;
    Ok(())
}

/// Runs until told to stop.
///
/// # Errors
/// What the operator has set wrong. Nothing else ends it.
pub(crate) async fn run(config: Config, stop: CancellationToken) -> Result<(), Box<dyn Error>> {
    let deployment = Deployment::load(&config.deployment_file)?;
    let endpoints = endpoints(&config, &deployment)?;
    let settings = PoolSettings {
        min: 0,
        steady: 4,
        overflow: 0,
        timeout: Duration::from_secs(10),
        statement_timeout: DATABASE_TIMEOUT,
        idle_in_transaction: IDLE_IN_TRANSACTION,
        ..PoolSettings::default()
    };
    config.safety.judge(config.risks())?;
    store::log_statements_slower_than(config.slow_statement());
    let pool = store::connect(&config.database_url, "meditrustal-indexer", settings)?;
    let status = Status::new(config.head_age());
    let listening = health::serve(config.listen, status.clone(), stop.clone()).await;
    let at = listening.map_err(|error| {
        let address = config.listen;
        format!(
            "cannot listen on {address}: {error}; choose another with MEDITRUSTAL_INDEXER_LISTEN"
        )
    })?;
    tracing::info!("Health at http://{at}/health/ready");
    serve_metrics(&config, &status, &stop).await?;
    let registry = Registry {
        chain_id: column(deployment.chain_id),
        address: deployment.registry.to_string(),
    };
    look_at_database(&config, &settings, &status, &stop).await?;
    let settings = FollowSettings {
        holder: lease::holder(),
        accept_reorg_to: config.accept_reorg_to,
        finality_depth: config.finality_depth(),
    };
    let follower = ChainFollower::new(
        endpoints,
        pool,
        registry,
        status.clone(),
        settings,
        stop.clone(),
    );
    Indexer {
        sweep: Sweep::new(config.sweep_round()),
        head_sources: config.head_sources(),
        config,
        follower,
        status,
        swept: None,
        stop,
    }
    .keep_on()
    .await;
    tracing::info!("Stopped");
    Ok(())
}

/// The nodes that can be asked, in the order in which they are.
fn endpoints(config: &Config, deployment: &Deployment) -> Result<Endpoints, Box<dyn Error>> {
    let mut clients = Vec::new();
    for url in config.nodes() {
        clients.push(Client::new(url, NODE_TIMEOUT, deployment)?);
    }
    let mut clients = clients.into_iter();
    let first = clients.next().ok_or(NO_NODE)?;
    Ok(Endpoints::new(first, clients.collect(), config.poll()))
}

/// Tells what is measured, where the operator wants it.
async fn serve_metrics(
    config: &Config,
    status: &Status,
    stop: &CancellationToken,
) -> Result<(), Box<dyn Error>> {
    let Some(address) = config.metrics_address else {
        return Ok(());
    };
    let text = instruments::text_of(status.clone());
    let listening = metrics::serve(address, text, stop.clone()).await;
    let at = listening.map_err(|error| {
        format!(
            "cannot listen on {address}: {error}; choose another with MEDITRUSTAL_METRICS_ADDRESS"
        )
    })?;
    tracing::info!("Metrics at http://{at}/metrics");
    Ok(())
}

/// Refuses a database that cannot be used or must not be; waits for one that is away.
async fn look_at_database(
    config: &Config,
    settings: &PoolSettings,
    status: &Status,
    stop: &CancellationToken,
) -> Result<(), Box<dyn Error>> {
    let found = loop {
        let looked = inspect::inspect(&config.database_url, inspect::Program::Indexer, settings);
        match until(stop, looked).await {
            None => return Ok(()),
            Some(Err(InspectError::Store(error))) => {
                if status.bad(with_causes(&error), None) {
                    tracing::warn!("Waiting: {}", with_causes(&error));
                }
                until(stop, tokio::time::sleep(LOOK_AGAIN)).await;
            }
            Some(found) => break found?,
        }
    };
    config.safety.judge(found.risks)?;
    match clock_trouble(found.clock.ahead) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

struct Indexer {
    config: Config,
    follower: ChainFollower,
    status: Status,
    sweep: Sweep,
    /// The nodes that tell of new blocks, which a leader listens to.
    head_sources: Vec<HeadSource>,
    swept: Option<Instant>,
    stop: CancellationToken,
}

impl Indexer {
    async fn keep_on(mut self) {
        let mut wait = self.config.poll();
        while !self.stop.is_cancelled() {
            match self.lead_or_stand_by().await {
                Ok(()) => wait = LOOK_EVERY,
                Err(error) => {
                    self.tell(&error);
                    wait = self.longer(wait);
                }
            }
            self.sleep(wait).await;
        }
    }

    /// Leads until leadership is lost, or finds that another leads.
    async fn lead_or_stand_by(&mut self) -> Result<(), IndexerError> {
        // Boxed: what connects to PostgreSQL by TLS is large.
        let taken = Box::pin(within(LeaseKeeper::try_take(
            &self.follower.pool,
            &self.follower.registry,
            &self.follower.holder,
            &self.status,
        )));
        let Some(taken) = until(&self.stop, taken).await else {
            return Ok(());
        };
        let Some(lease) = taken? else {
            return self.stand_by().await;
        };
        let led = self.follow(&lease).await;
        self.status.is(LeadershipRole::Starting);
        lease.release().await;
        led
    }

    /// Says who leads.
    async fn stand_by(&self) -> Result<(), IndexerError> {
        let (pool, registry) = (&self.follower.pool, &self.follower.registry);
        let lease = within(async {
            let mut conn = pool.acquire().await?;
            leases::current(&mut conn, registry).await
        });
        let lease = lease.await?;
        self.status.is(LeadershipRole::Standby);
        let is_news = self.status.good();
        if let Some(lease) = lease
            && (self.status.led_by(&lease.holder, lease.age_seconds) || is_news)
        {
            tracing::info!("Standing by: {} leads", lease.holder);
        }
        Ok(())
    }

    /// Follows and sweeps for as long as this process leads.
    async fn follow(&mut self, lease: &LeaseKeeper) -> Result<(), IndexerError> {
        let heads = HeadWatch::start(&self.head_sources, &self.status);
        let mut leader = None;
        let mut wait = self.config.poll();
        let mut news = true;
        while !self.stop.is_cancelled() {
            if lease.is_lost() {
                return Err(IndexerError::LeaseLost);
            }
            let span = tracing::debug_span!("round");
            let round = Box::pin(self.follower.round(&mut leader))
                .instrument(span)
                .await;
            self.status.round();
            // A node that rests is left alone, whatever another one tells.
            let listens = round.is_ok();
            let rest = match round {
                Ok(round) => {
                    wait = self.config.poll();
                    self.follower.did_well();
                    news |= self.status.good();
                    matches!(round, RoundOutcome::Done)
                }
                Err(error @ IndexerError::BlockMoved) => {
                    if self.follower.moved() {
                        wait = self.turn_away(&error);
                        news = false;
                    } else {
                        tracing::debug!("{error}");
                    }
                    true
                }
                Err(
                    error @ (IndexerError::Node(_)
                    | IndexerError::Check(_)
                    | IndexerError::Unconfirmed { .. }
                    | IndexerError::Disputed(_)
                    | IndexerError::Halt(_)),
                ) => {
                    wait = self.turn_away(&error);
                    news = false;
                    true
                }
                Err(
                    error @ (IndexerError::Store(_)
                    | IndexerError::DatabaseTimeout
                    | IndexerError::FenceLost
                    | IndexerError::LeaseLost),
                ) => {
                    return Err(error);
                }
            };
            if let Some(leader) = &mut leader {
                if !listens {
                    // Of the node that was asked, nobody knows now whether it is on our chain.
                    leader.place_question = None;
                }
                if rest && news && !self.stop.is_cancelled() {
                    self.announce(leader);
                    news = false;
                }
                Box::pin(self.sweep_if_due(leader, listens)).await?;
            }
            if rest && listens {
                self.sleep_or_hear(wait, &heads).await;
            } else if rest {
                self.sleep(wait).await;
            }
        }
        Ok(())
    }

    /// Has another node asked, where there is one, and says what is wrong once none is left. Gives how long to wait.
    fn turn_away(&mut self, error: &IndexerError) -> Duration {
        if error.halted().is_some() && !self.follower.is_last_word() {
            tracing::warn!("Another node is asked: {}", with_causes(error));
        } else {
            self.tell(error);
        }
        self.follower.turn_away(error)
    }

    /// Compares the next rows, and has a node that answers asked where the next events are.
    async fn sweep_if_due(
        &mut self,
        leader: &mut LeaderState,
        is_answered: bool,
    ) -> Result<(), IndexerError> {
        let early = self
            .swept
            .is_some_and(|at| at.elapsed() < self.config.sweep());
        if early || self.stop.is_cancelled() {
            return Ok(());
        }
        let (mut opened, mut resolved) = in_time(self.sweep.tick(&leader.writer)).await?;
        if is_answered {
            let of_places = self.sweep_places(leader).await?;
            (opened, resolved) = (opened + of_places.0, resolved + of_places.1);
        }
        self.swept = Some(Instant::now());
        self.status.swept(opened, resolved);
        if opened + resolved > 0 {
            tracing::warn!(
                "Compared records with the chain: {opened} findings opened, {resolved} resolved"
            );
        }
        Ok(())
    }

    /// Takes what nodes said of where events are, and has them asked for the next ones: what is not answered yet is left until the
    /// next time. Gives how many findings were opened and resolved.
    async fn sweep_places(&mut self, leader: &mut LeaderState) -> Result<(u64, u64), IndexerError> {
        let mut counts = (0, 0);
        if let Some(question) = leader.place_question.take_if(|it| it.is_answered()) {
            let told = question.answers().await;
            counts = in_time(self.sweep.compare_places(&leader.writer, &told)).await?;
        }
        if leader.place_question.is_none() {
            let asked = in_time(self.sweep.events_to_ask(&leader.writer)).await?;
            if !asked.is_empty() {
                leader.place_question = Some(self.follower.ask_for_places(leader, asked));
            }
        }
        Ok(counts)
    }

    fn announce(&self, leader: &LeaderState) {
        tracing::info!(
            "Following registry {} on chain {}: ready at block {}",
            self.follower.registry.address,
            self.follower.registry.chain_id,
            leader.at.block.number,
        );
    }

    /// Says what is wrong, once.
    fn tell(&self, error: &IndexerError) {
        let (text, halted) = (with_causes(error), error.halted());
        if !self.status.bad(text.clone(), halted) {
            tracing::debug!("Still: {text}");
        } else if let Some(reason) = halted {
            tracing::error!(reason, "Nothing more is applied: {text}");
        } else {
            tracing::warn!("Waiting: {text}");
        }
    }

    fn longer(&self, wait: Duration) -> Duration {
        (wait * 2).min(MAX_WAIT).max(self.config.poll())
    }

    /// Sleeps until the next poll, or until a node tells of a new block.
    async fn sleep_or_hear(&self, time: Duration, heads: &HeadWatch) {
        let heard = tokio::time::timeout(time, heads.told());
        until(&self.stop, heard).await;
    }

    async fn sleep(&self, time: Duration) {
        until(&self.stop, tokio::time::sleep(time)).await;
    }
}
