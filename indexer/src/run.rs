//! The loop: lead or stand by, follow, sweep, wait. It never ends by itself: a database or a node that
//! is away is waited for, and what does not follow is not applied until it does.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use chain::{Client, Deployment};
use domain::environment;
use store::{
    PoolSettings,
    cursor::{Leadership, Registry},
    inspect::{self, InspectError},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    deadline::{DATABASE_TIMEOUT, NODE_TIMEOUT, in_time, until, within},
    health,
    lead::{Chain, Lead, Round},
    place::column,
    status::{Role, Status, clock_trouble},
    sweep::Sweep,
    trouble::{Trouble, with_causes},
};

/// The longest wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How often one that stands by looks whether it may lead: each look is a new connection.
const STANDBY_WAIT: Duration = Duration::from_secs(1);

/// Runs until told to stop.
///
/// # Errors
/// What the operator has set wrong. Nothing else ends it.
pub(crate) async fn run(config: Config, stop: CancellationToken) -> Result<(), Box<dyn Error>> {
    let deployment = Deployment::load(&config.deployment_file)?;
    let client = Client::new(&config.chain_rpc_url, NODE_TIMEOUT, &deployment)?;
    let settings = PoolSettings {
        min: 0,
        steady: 4,
        overflow: 0,
        timeout: Duration::from_secs(10),
        statement_timeout: DATABASE_TIMEOUT,
        ..PoolSettings::default()
    };
    config.judge(
        environment::plain_node(&config.chain_rpc_url)
            .into_iter()
            .collect(),
    )?;
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
    let registry = Registry {
        chain_id: column(deployment.chain_id),
        address: deployment.registry.to_string(),
    };
    look_at_database(&config, &settings, &status, &stop).await?;
    let accepted = config.accept_reorg_to;
    let chain = Chain::new(
        client,
        pool,
        registry,
        status.clone(),
        accepted,
        stop.clone(),
    );
    Indexer {
        config,
        chain,
        status,
        sweep: Sweep::default(),
        swept: None,
        stop,
    }
    .keep_on()
    .await;
    tracing::info!("Stopped");
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
        let looked = inspect::inspect(&config.database_url, "meditrustal-indexer", settings);
        match until(stop, looked).await {
            None => return Ok(()),
            Some(Err(InspectError::Store(error))) => {
                if status.bad(with_causes(&error), None) {
                    tracing::warn!("Waiting: {}", with_causes(&error));
                }
                until(stop, tokio::time::sleep(STANDBY_WAIT)).await;
            }
            Some(found) => break found?,
        }
    };
    config.judge(found.risks)?;
    match clock_trouble(found.clock.ahead) {
        Some(trouble) => Err(trouble.into()),
        None => Ok(()),
    }
}

struct Indexer {
    config: Config,
    chain: Chain,
    status: Status,
    sweep: Sweep,
    swept: Option<Instant>,
    stop: CancellationToken,
}

impl Indexer {
    async fn keep_on(mut self) {
        let mut wait = self.config.poll();
        while !self.stop.is_cancelled() {
            match self.lead_or_stand_by().await {
                Ok(()) => wait = STANDBY_WAIT,
                Err(trouble) => {
                    self.tell(&trouble);
                    wait = self.longer(wait);
                }
            }
            self.sleep(wait).await;
        }
    }

    /// Leads until the lead is lost, or finds that another leads.
    async fn lead_or_stand_by(&mut self) -> Result<(), Trouble> {
        let taken = within(Leadership::try_take(&self.chain.pool, &self.chain.registry));
        let Some(taken) = until(&self.stop, taken).await else {
            return Ok(());
        };
        let Some(mut leadership) = taken? else {
            self.status.is(Role::Standby);
            if self.status.good() {
                tracing::info!("Another indexer leads; standing by");
            }
            return Ok(());
        };
        let led = self.lead(&mut leadership).await;
        self.status.is(Role::Starting);
        // Where this fails the connection is broken, and the lock went with it.
        if let Err(error) = within(leadership.release()).await {
            tracing::debug!("The lock went with its connection: {error}");
        }
        led
    }

    /// Follows and sweeps for as long as the lead is ours.
    async fn lead(&mut self, leadership: &mut Leadership) -> Result<(), Trouble> {
        let mut lead = None;
        let mut wait = self.config.poll();
        let mut news = true;
        while !self.stop.is_cancelled() {
            within(leadership.hold()).await?;
            let round = self.chain.round(&mut lead).await;
            self.status.round();
            let rest = match round {
                Ok(round) => {
                    wait = self.config.poll();
                    news |= self.status.good();
                    matches!(round, Round::Done)
                }
                Err(Trouble::Moved) => {
                    tracing::debug!("{}", Trouble::Moved);
                    true
                }
                Err(trouble @ (Trouble::Node(_) | Trouble::Check(_) | Trouble::Halt(_))) => {
                    self.tell(&trouble);
                    wait = self.longer(wait);
                    (news, self.chain.unchecked) = (false, true);
                    true
                }
                Err(trouble @ (Trouble::Store(_) | Trouble::Stalled | Trouble::Overtaken)) => {
                    return Err(trouble);
                }
            };
            if let Some(lead) = &lead {
                if rest && news && !self.stop.is_cancelled() {
                    self.announce(lead);
                    news = false;
                }
                self.sweep_if_due(lead).await?;
            }
            if rest {
                self.sleep(wait).await;
            }
        }
        Ok(())
    }

    async fn sweep_if_due(&mut self, lead: &Lead) -> Result<(), Trouble> {
        let early = self
            .swept
            .is_some_and(|at| at.elapsed() < self.config.sweep());
        if early || self.stop.is_cancelled() {
            return Ok(());
        }
        let (opened, resolved) = in_time(self.sweep.tick(&lead.writer)).await?;
        self.swept = Some(Instant::now());
        self.status.swept(opened, resolved);
        if opened + resolved > 0 {
            tracing::warn!(
                "Compared records with the chain: {opened} findings opened, {resolved} resolved"
            );
        }
        Ok(())
    }

    fn announce(&self, lead: &Lead) {
        tracing::info!(
            "Following registry {} on chain {}: ready at block {}",
            self.chain.registry.address,
            self.chain.registry.chain_id,
            lead.at.block.number,
        );
    }

    /// Says what is wrong, once.
    fn tell(&self, trouble: &Trouble) {
        let (text, halted) = (with_causes(trouble), trouble.halted());
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

    async fn sleep(&self, time: Duration) {
        until(&self.stop, tokio::time::sleep(time)).await;
    }
}
