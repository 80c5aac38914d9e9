//! `meditrustal serve`: puts one api process together, and takes it apart again in order.

mod files;
mod jobs;
mod resources;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use domain::{clock::Clock, second_factor::Requirement};
use fhir::profiles::Profiles;
use store::Pool;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub(super) use self::files::read_files;
use self::{
    files::{check, documents, site},
    jobs::{
        start_feed, start_fees, start_jobs, start_relays, start_sampler, start_schedules,
        start_trail,
    },
    resources::{DATABASE_CLOCK, Resources, open},
};
use super::output::Failure;
use crate::{
    answer_budget::AnswerMemory,
    app::{App, AppParts},
    config::{SafetyConfig, ServeConfig},
    connections::{self, Ends},
    cost_limit::CostLimiter,
    detached::DetachedTasks,
    hashing::Hashing,
    http, instruments,
    limits::Transfers,
    playground::Playground,
    records::{
        disclosure::RecordDisclosure,
        list::RecordLists,
        writer::{Writer, WriterContext},
    },
    schema::{self, Schema},
    seals::Seals,
    sessions::revocations::Revocations,
    throttle::Throttle,
    tokens::Tokens,
    upload_limit::UploadLimiter,
    users::own::OwnAccounts,
    wallets::proof::Prover,
};

/// How long requests may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(30);
/// How long what nobody waits for any more may go on besides: longer than a statement may run.
const LAST_WORK: Duration = Duration::from_secs(10);

/// Serves until told to stop.
///
/// # Errors
/// What made it impossible to begin; each says what to do.
pub(super) async fn serve(config: ServeConfig, safety: &SafetyConfig) -> Result<(), Failure> {
    instruments::begin(schema::root_fields(), config.slow_operation());
    store::log_statements_slower_than(config.slow_statement());
    let (listener, profiles) = check(&config).await?;
    let stopping = CancellationToken::new();
    let address = listener.local_addr()?;
    if !profiles.is_empty() {
        let count = profiles.len();
        tracing::info!("Documents are held against {count} profiles, where they declare them");
    }
    let (app, mut tasks) = assemble(&config, safety, profiles, address, stopping.clone()).await?;
    let playground = config
        .playground_dir
        .as_deref()
        .map(Playground::load)
        .transpose()?;
    let documents = documents(&config)?;
    documents.log_trusted();
    let portal = config
        .portal_dir
        .as_deref()
        .map(Playground::load)
        .transpose()?;
    let schema = Schema::new(app.clone(), documents, config.request_timeout());
    let router = http::router(schema, playground, portal);

    serve_metrics(&config, &stopping).await?;
    let certificate = config.tls.certificate()?;
    if let Some(certificate) = certificate.clone() {
        tasks.spawn(connections::renew(certificate));
    }
    let protocol = config.tls.scheme();
    tracing::info!(%address, "Ready: GraphQL at {protocol}://{address}/graphql");
    let limits = config.connections.limits();
    let proxies = config.proxies();
    let ends = Ends {
        draining: app.health.draining().clone(),
        stopping: stopping.clone(),
    };
    let server = async move {
        connections::serve(listener, router, limits, &proxies, certificate, ends).await;
    };
    // Whoever is answered may tell it to stop.
    let mut signals = StopSignals::listen()?;
    let mut server = tokio::spawn(server);
    tokio::select! {
        () = signals.next() => {}
        ended = &mut server => ended?,
        // Each runs as long as the process: without one of them it would only seem to work.
        Some(ended) = tasks.join_next() => return Err(match ended {
            Ok(()) => "a background task ended; start again".into(),
            Err(error) => format!("a background task failed ({error}); start again").into(),
        }),
    }
    drain(
        app.health.draining(),
        config.connections.drain(),
        &mut signals,
    )
    .await;
    tracing::info!("Stopping: requests under way are finished first");
    stopping.cancel();
    let until = Instant::now() + GRACE;
    let answered = tokio::time::timeout_at(until, server).await;
    let left = until.saturating_duration_since(Instant::now());
    let unfinished = app.detached.wait_until_idle(left.max(LAST_WORK)).await;
    if answered.is_err() || unfinished > 0 {
        let grace = GRACE.as_secs();
        tracing::warn!(unfinished, "Some requests were cut off after {grace} s");
    }
    tasks.shutdown().await;
    // Each connection is given back when its transaction has ended.
    let closed = async { tokio::join!(app.pool.close(), app.reads.close()) };
    if tokio::time::timeout(LAST_WORK, closed).await.is_err() {
        tracing::warn!("The database did not let every connection go");
    }
    tracing::info!("Stopped");
    Ok(())
}

/// Says that this process is not ready, and goes on serving until whoever sends it requests has seen that. Ends early where
/// it is told to stop once more.
async fn drain(draining: &CancellationToken, time: Duration, signals: &mut StopSignals) {
    draining.cancel();
    if time.is_zero() {
        return;
    }
    tracing::info!(
        "Told to stop: not ready any more, and serving for {} s",
        time.as_secs()
    );
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = signals.next() => {}
    }
}

/// Tells what is measured, where the operator wants it.
async fn serve_metrics(config: &ServeConfig, stopping: &CancellationToken) -> Result<(), Failure> {
    let Some(address) = config.metrics_address else {
        return Ok(());
    };
    let text = || instruments::instruments().text();
    let listening = metrics::serve(address, text, stopping.clone()).await;
    let at = listening.map_err(|error| {
        format!("MEDITRUSTAL_METRICS_ADDRESS: cannot listen on {address}: {error}; choose another")
    })?;
    tracing::info!("Metrics at http://{at}/metrics");
    Ok(())
}

async fn assemble(
    config: &ServeConfig,
    safety: &SafetyConfig,
    profiles: Profiles,
    listening: SocketAddr,
    stopping: CancellationToken,
) -> Result<(App, JoinSet<()>), Failure> {
    let resources = open(config, safety).await?;
    let mut tasks = JoinSet::new();
    let tokens = Tokens::start(&config.token_key_file, &mut tasks)?;
    let current_fees = start_fees(config, &resources, &mut tasks);
    let wakes = start_relays(config, &resources, &current_fees, &mut tasks);
    let health = start_jobs(config, &resources, &mut tasks);
    start_trail(
        config,
        &resources,
        current_fees.clone(),
        &health,
        &mut tasks,
    );
    let seals = Seals::start(
        Arc::clone(&resources.keyring),
        resources.pool.clone(),
        config.home_country,
        &mut tasks,
    );
    start_schedules(config, &resources, &seals, &mut tasks);
    start_sampler(config, &resources, &current_fees, &health, &mut tasks);
    let Resources {
        pool,
        reads,
        keyring,
        index_key,
        signers,
        client,
        registry,
        registrars,
        ..
    } = resources;
    let context = WriterContext {
        pool: pool.clone(),
        keyring: Arc::clone(&keyring),
        index_key: Arc::clone(&index_key),
        chain_id: registry.chain_id,
        fees: current_fees,
    };
    let (feed, chain_heads) = start_feed(config, &pool, &client, registry, &mut tasks);
    let app = App::from(AppParts {
        health,
        disclosure: RecordDisclosure::start(pool.clone(), reads.clone(), &mut tasks),
        own_accounts: OwnAccounts::start(pool.clone(), &mut tasks),
        lists: RecordLists::start(&pool, &reads, &index_key, &mut tasks),
        feed,
        chain_heads,
        revocations: Revocations::start(pool.clone(), config.database.url.clone(), &mut tasks),
        writer: Writer::start(&context, signers, &wakes, &mut tasks),
        seals,
        registrars,
        relays_consents: config.relay_consents,
        answers: AnswerMemory::new(config.shares.answers()),
        costs: CostLimiter::new(config.shares.costs(), pool.clone()),
        throttle: Throttle::new(config.throttle.limits(), pool.clone()),
        transfers: transfers(config, &pool),
        pool,
        reads,
        keyring,
        index_key,
        profiles,
        tokens,
        hashing: Hashing::new(),
        prover: Prover::new(client.clone()),
        site: site(config, listening)?,
        home_country: config.home_country,
        deletion_grace: config.deletion.grace(),
        second_factor: Requirement::on(&config.require_second_factor),
        chain: client,
        clock: Clock::Other(&DATABASE_CLOCK),
        proxies: config.proxies(),
        sockets: config.connections.sockets(),
        allowed_origins: config.allowed_origins.clone(),
        introspection: config.introspection,
        detached: DetachedTasks::default(),
        stopping,
    });
    Ok((app, tasks))
}

fn transfers(config: &ServeConfig, pool: &Pool) -> Transfers {
    Transfers::new(
        UploadLimiter::new(config.shares.uploads(), pool.clone()),
        config.shares.long_entries(),
        config.shares.held_entries(),
    )
}

/// What tells a process to stop: SIGTERM and SIGINT, heard from the moment this is made. Before that, they end it.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
