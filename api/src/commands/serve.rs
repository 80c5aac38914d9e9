//! `meditrustal serve`: puts one api process together, and takes it apart again in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chain::{CheckError, Client, ClientError, Deployment, Fees, Signer, siwe::Site};
use chrono::TimeDelta;
use domain::{
    clock::{Ahead, Clock},
    second_factor::Requirement,
};
use fhir::profiles::Profiles;
use store::{
    Pool, PoolSettings, backups,
    cursor::Registry,
    inspect::{self, Inspection},
    keys, migrate,
    signers::{self, SignerAccount},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, Notify, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use vault::{
    blind_index::IndexKey,
    keyring::{Keyring, KeyringError},
    token::TokenKeys,
};

use super::output::{Failure, with_causes};
use crate::{
    answer_budget::AnswerMemory,
    app::{App, AppParts},
    audit::{checkpoints::Checkpointer, sequencer},
    break_glass::schedule,
    config::{SafetyConfig, ServeConfig},
    connections::{self, Ends},
    cost_limit::CostLimiter,
    deletion::{executor::Executor, expiry, reasons},
    dependencies::{OurRegistrars, registry_of},
    detached::DetachedTasks,
    erasure_ledger::file::{LedgerError, LedgerFile},
    feed::Feed,
    hashing::Hashing,
    health::{self, Health},
    housekeeping, http, instruments,
    integrity::{chain_head::ChainHeads, deep_check::DeepCheck},
    key_checks::check_master_keys,
    limits::Transfers,
    playground::Playground,
    profiles,
    query_limits::QueryLimits,
    records::{
        disclosure::RecordDisclosure,
        index_key::check_index_key,
        list::RecordLists,
        writer::{Writer, WriterContext},
    },
    relay::Relay,
    retention::{self, Pinner, Retention},
    sampler::Sampler,
    schema::{self, Schema},
    seals::Seals,
    sessions::revocations::Revocations,
    throttle::Throttle,
    tokens::Tokens,
    wallets::proof::Prover,
};

/// How long the node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often fees are asked for.
const FEES_EVERY: Duration = Duration::from_secs(5);
/// What is offered until the node has said what is usual. Unit: wei per gas.
const FIRST_FEES: Fees = Fees {
    max_fee_per_gas: 20_000_000_000,
    max_priority_fee_per_gas: 1_000_000_000,
};
/// How long requests may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(30);
/// How long what nobody waits for any more may go on besides: longer than a statement may run.
const LAST_WORK: Duration = Duration::from_secs(10);

/// The database's clock: what every process goes by.
static DATABASE_CLOCK: Ahead = Ahead::unknown();
/// Connections of a process beside its pool: two for notices, one for health.
const BESIDE_THE_POOL: u32 = 3;
/// How many master keys that are missing are named at most, where anybody could have written them.
const MOST_NAMED: i64 = 10;

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
    let documents = config
        .documents
        .load(&QueryLimits::new(config.introspection))?;
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
    let mut server = tokio::spawn(server);
    tokio::select! {
        signal = told_to_stop() => signal?,
        ended = &mut server => ended?,
        // Each runs as long as the process: without one of them it would only seem to work.
        Some(ended) = tasks.join_next() => return Err(match ended {
            Ok(()) => "a background task ended; start again".into(),
            Err(error) => format!("a background task failed ({error}); start again").into(),
        }),
    }
    drain(app.health.draining(), config.connections.drain()).await?;
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
    if tokio::time::timeout(LAST_WORK, app.pool.close())
        .await
        .is_err()
    {
        tracing::warn!("The database did not let every connection go");
    }
    tracing::info!("Stopped");
    Ok(())
}

/// Says that this process is not ready, and goes on serving until whoever sends it requests has seen that. Ends early where
/// it is told to stop once more.
async fn drain(draining: &CancellationToken, time: Duration) -> std::io::Result<()> {
    draining.cancel();
    if time.is_zero() {
        return Ok(());
    }
    tracing::info!(
        "Told to stop: not ready any more, and serving for {} s",
        time.as_secs()
    );
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        signal = told_to_stop() => signal,
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

/// The profiles of the packages that the settings name, where nothing is wrong with the settings and the files that they name.
/// Nobody is asked but the token of the master keys.
///
/// # Errors
/// Everything that is.
pub(super) async fn read_files(config: &ServeConfig) -> Result<Profiles, Vec<String>> {
    let profiles = profiles::load(&config.profiles).await;
    let mut mistakes = mistakes_of(config);
    match profiles {
        Ok(profiles) if mistakes.is_empty() => Ok(profiles),
        Ok(_) => Err(mistakes),
        Err(unusable) => {
            let told = unusable.iter();
            mistakes.extend(told.map(|package| format!("MEDITRUSTAL_PROFILES: {package}")));
            Err(mistakes)
        }
    }
}

/// Everything that the settings and the other files that they name have wrong.
fn mistakes_of(config: &ServeConfig) -> Vec<String> {
    let mut mistakes = config.contradictions();
    let mut look = |variable: &str, found: Result<(), Failure>| {
        if let Err(error) = found {
            mistakes.push(format!("{variable}: {}", with_causes(error.as_ref())));
        }
    };
    let keys = config.pkcs11.keyring(&config.master_keys_file);
    let variable = if matches!(keys, Err(KeyringError::Token(_))) {
        "MEDITRUSTAL_PKCS11_MODULE"
    } else {
        "MEDITRUSTAL_MASTER_KEYS_FILE"
    };
    look(variable, keys.map(drop).map_err(Into::into));
    let key = IndexKey::load(&config.index_key_file);
    look(
        "MEDITRUSTAL_INDEX_KEY_FILE",
        key.map(drop).map_err(Into::into),
    );
    let keys = TokenKeys::load(&config.token_key_file);
    look(
        "MEDITRUSTAL_TOKEN_KEY_FILE",
        keys.map(drop).map_err(Into::into),
    );
    let registrar = chain::address_of_key_file(&config.registrar_key_file);
    look(
        "MEDITRUSTAL_REGISTRAR_KEY_FILE",
        registrar.map(drop).map_err(Into::into),
    );
    if let Some(file) = &config.checkpoints.key_file {
        let checkpointer = chain::address_of_key_file(file);
        look(
            "MEDITRUSTAL_CHECKPOINT_KEY_FILE",
            checkpointer.map(drop).map_err(Into::into),
        );
    }
    let certificate = config.tls.certificate();
    look(
        "MEDITRUSTAL_TLS_CERT_FILE",
        certificate.map(drop).map_err(Into::into),
    );
    let limits = QueryLimits::new(config.introspection);
    let documents = config.documents.load(&limits);
    look(
        "MEDITRUSTAL_TRUSTED_DOCUMENTS",
        documents.map(drop).map_err(Into::into),
    );
    let deployment = Deployment::load(&config.deployment_file);
    if let Ok(deployment) = &deployment
        && config.relay_consents
        && deployment.consent_registry.is_none()
    {
        let told = "the deployment file names no registry of consents";
        look("MEDITRUSTAL_RELAY_CONSENTS", Err(told.into()));
    }
    look(
        "MEDITRUSTAL_DEPLOYMENT_FILE",
        deployment.map(drop).map_err(Into::into),
    );
    let site = site(config, config.listen);
    look("MEDITRUSTAL_SITE", site.map(drop));
    mistakes
}

/// Begins to listen, and gives the profiles; or tells everything that the settings and the files that they name have wrong.
async fn check(config: &ServeConfig) -> Result<(TcpListener, Profiles), Failure> {
    let files = read_files(config).await;
    let listener = TcpListener::bind(config.listen).await;
    match (listener, files) {
        (Ok(listener), Ok(profiles)) => Ok((listener, profiles)),
        (Ok(_), Err(mistakes)) => Err(settings::told(&mistakes).into()),
        (Err(error), files) => {
            let mut mistakes = files.err().unwrap_or_default();
            mistakes.push(format!(
                "MEDITRUSTAL_LISTEN: cannot listen on {}: {error}; choose another with --listen",
                config.listen
            ));
            Err(settings::told(&mistakes).into())
        }
    }
}

/// What lies outside the process: opened, and found to fit together.
struct Resources {
    pool: Pool,
    settings: PoolSettings,
    keyring: Arc<Keyring>,
    index_key: Arc<IndexKey>,
    signer: Arc<Signer>,
    checkpointer: Option<Arc<Signer>>,
    client: Client,
    registry: Registry,
    registrars: OurRegistrars,
    ledger: Option<Arc<LedgerFile>>,
}

async fn open(config: &ServeConfig, safety: &SafetyConfig) -> Result<Resources, Failure> {
    let settings = look_at_database(config, safety).await?;
    let pool = store::connect(&config.database.url, "meditrustal api", settings)?;
    migrate::require_current(&pool).await?;
    require_whole_restore(&pool).await?;
    let keyring = Arc::new(config.pkcs11.keyring(&config.master_keys_file)?);
    require_master_keys(&pool, &keyring).await?;
    let index_key = Arc::new(IndexKey::load(&config.index_key_file)?);
    check_master_keys(&pool, &keyring).await?;
    check_index_key(&pool, &keyring, &index_key).await?;
    let ledger = config.deletion.ledger();
    check_ledger(ledger.as_deref(), &pool, &keyring).await?;
    let deployment = Deployment::load(&config.deployment_file)?;
    let signer = Signer::load(&config.registrar_key_file, &deployment)?;
    let checkpointer = config.checkpoints.key_file.as_deref();
    let checkpointer = checkpointer
        .map(|file| Signer::load(file, &deployment).map(Arc::new))
        .transpose()?;
    if checkpointer.as_ref().map(|signer| signer.address()) == Some(signer.address()) {
        // Each would take the other's nonces.
        return Err("MEDITRUSTAL_CHECKPOINT_KEY_FILE: the account that pins checkpoints may not be the registrar's".into());
    }
    let client = Client::new(&config.chain_rpc_url, NODE_TIMEOUT, &deployment)?;
    let registry = registry_of(&deployment)?;
    let chain_id = registry.chain_id;
    check_node(&client, &signer).await?;
    begin_nonces(&pool, &client, &signer, chain_id).await?;
    let registrars = OurRegistrars {
        chain_id,
        deployed: deployment.registrar,
    };
    Ok(Resources {
        pool,
        settings,
        keyring,
        index_key,
        registrars,
        signer: Arc::new(signer),
        checkpointer,
        client,
        registry,
        ledger,
    })
}

/// Refuses a database that knows fewer erasures than the ledger beside it, or others: it was restored, and what it brought back
/// would be read. That the ledger cannot be written, or an entry in the table is forged, keeps nobody from their records; nothing
/// is erased then.
async fn check_ledger(
    ledger: Option<&LedgerFile>,
    pool: &Pool,
    keyring: &Keyring,
) -> Result<(), Failure> {
    let Some(ledger) = ledger else {
        tracing::warn!(
            "No erasure ledger: after the restore of an older backup nothing says what is to be erased again (MEDITRUSTAL_ERASURE_LEDGER)"
        );
        return Ok(());
    };
    match ledger.follow_anew(pool, keyring).await {
        Ok(_) => Ok(()),
        Err(error @ (LedgerError::Parted(_) | LedgerError::Broken(_))) => Err(error.into()),
        Err(error @ (LedgerError::File(_) | LedgerError::Forged(_) | LedgerError::Store(_))) => {
            tracing::error!(%error, "Nothing is erased: the erasure ledger cannot be written");
            Ok(())
        }
    }
}

/// Starts what orders and pins the trail; says where nothing pins it.
fn start_trail(
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

/// Starts what nobody asks for: the relay, housekeeping, the deep check and the health checks.
fn start_jobs(
    config: &ServeConfig,
    resources: &Resources,
    fees: watch::Receiver<Fees>,
    wake: Arc<Notify>,
    tasks: &mut JoinSet<()>,
) -> Health {
    let Resources { pool, client, .. } = resources;
    let relay = Relay {
        pool: pool.clone(),
        client: client.clone(),
        chain_id: resources.registry.chain_id,
        signer: Arc::clone(&resources.signer),
        fees,
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
        clock: &DATABASE_CLOCK,
        head_age: config.head_age(),
        silence: config.silence(),
        health: health.clone(),
    };
    tasks.spawn(monitor.run());
    health
}

/// Starts what is due by a time: requests to erase, what has been kept long enough, windows of emergency access.
fn start_schedules(
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
fn start_feed(
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

/// What looks at the figures that the metrics tell.
fn sampler(resources: &Resources, fees: &watch::Receiver<Fees>, health: &Health) -> Sampler {
    let checkpointer = resources.checkpointer.as_ref();
    Sampler {
        pool: resources.pool.clone(),
        registry: resources.registry.clone(),
        client: resources.client.clone(),
        registrar: resources.signer.address(),
        checkpointer: checkpointer.map(|signer| signer.address()),
        fees: fees.clone(),
        health: health.clone(),
        clock: &DATABASE_CLOCK,
        began: Instant::now(),
    }
}

/// Begins to ask the node what transactions have to offer.
fn start_fees(
    config: &ServeConfig,
    resources: &Resources,
    tasks: &mut JoinSet<()>,
) -> watch::Receiver<Fees> {
    let most = config.fees.most();
    let (fees, current) = watch::channel(at_most(FIRST_FEES, most));
    tasks.spawn(watch_fees(resources.client.clone(), fees, most));
    current
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
    let wake = Arc::new(Notify::new());
    let health = start_jobs(
        config,
        &resources,
        current_fees.clone(),
        Arc::clone(&wake),
        &mut tasks,
    );
    let trail_fees = current_fees.clone();
    start_trail(config, &resources, trail_fees, &health, &mut tasks);
    let seals = Seals::start(
        Arc::clone(&resources.keyring),
        resources.pool.clone(),
        config.home_country,
        &mut tasks,
    );
    start_schedules(config, &resources, &seals, &mut tasks);
    if config.metrics_address.is_some() {
        tasks.spawn(sampler(&resources, &current_fees, &health).run());
    }
    let Resources {
        pool,
        keyring,
        index_key,
        signer,
        client,
        registry,
        registrars,
        ..
    } = resources;
    let context = WriterContext {
        pool: pool.clone(),
        keyring: Arc::clone(&keyring),
        index_key: Arc::clone(&index_key),
        signer,
        chain_id: registry.chain_id,
        fees: current_fees,
        wake,
    };
    let (feed, chain_heads) = start_feed(config, &pool, &client, registry, &mut tasks);
    let app = App::from(AppParts {
        health,
        disclosure: RecordDisclosure::start(pool.clone(), &mut tasks),
        lists: RecordLists::start(pool.clone(), Arc::clone(&index_key), &mut tasks),
        feed,
        chain_heads,
        revocations: Revocations::start(pool.clone(), config.database.url.clone(), &mut tasks),
        writer: Writer::start(context, &mut tasks),
        seals,
        registrars,
        relays_consents: config.relay_consents,
        answers: AnswerMemory::new(config.shares.answers()),
        costs: CostLimiter::new(config.shares.costs(), pool.clone()),
        throttle: Throttle::new(config.throttle.limits(), pool.clone()),
        pool,
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
        transfers: Transfers::default(),
        allowed_origins: config.allowed_origins.clone(),
        introspection: config.introspection,
        detached: DetachedTasks::default(),
        stopping,
    });
    Ok((app, tasks))
}

/// Refuses a database that cannot be used or must not be; gives the pool for what it allows.
async fn look_at_database(
    config: &ServeConfig,
    safety: &SafetyConfig,
) -> Result<PoolSettings, Failure> {
    let as_pool = config.database.pool();
    let found = inspect::inspect(&config.database.url, inspect::Program::Api, &as_pool).await?;
    let Inspection {
        clock,
        risks,
        connections,
    } = found;
    safety.judge([config.risks(), risks].concat())?;
    if clock.ahead.abs() > health::CLOCK_REFUSED {
        return Err(format!(
            "the database's clock is {} s ahead of this machine's: set the one that is wrong",
            clock.ahead.num_seconds()
        )
        .into());
    }
    DATABASE_CLOCK.measured(clock.ahead, TimeDelta::zero());
    let settings = config.pool();
    let allowed = connections.map_or(u32::MAX, |all| all.saturating_sub(BESIDE_THE_POOL).max(1));
    if settings.most() > allowed {
        tracing::warn!(
            "The database allows this role {} connections, {BESIDE_THE_POOL} of which are not the pool's: \
             it has {allowed} instead of {}",
            allowed.saturating_add(BESIDE_THE_POOL),
            settings.most()
        );
    }
    Ok(settings.at_most(allowed))
}

/// Refuses a file of master keys that lacks one by which something is wrapped. A row that says it is sealed by
/// another one is as one without a seal, and no more than a warning: any text can be written there.
async fn require_master_keys(pool: &store::Pool, keyring: &Keyring) -> Result<(), Failure> {
    let mut conn = pool.acquire().await?;
    let known = keyring.ids();
    let missing: Vec<_> = keys::masters_in_use(&mut conn)
        .await?
        .into_iter()
        .filter(|id| !known.contains(id))
        .collect();
    if missing.is_empty() {
        for id in keys::strange_sealers(&mut conn, &known, MOST_NAMED).await? {
            tracing::warn!(
                key.id = id,
                "Rows are sealed by master key {id:?}, which the file of master keys lacks: they count for nothing"
            );
        }
        return Ok(());
    }
    Err(format!(
        "the file of master keys lacks {}, which wraps keys of patients or secrets of second factors: put it \
         back from your backup; this file has {}",
        missing.join(", "),
        known.join(", ")
    )
    .into())
}

/// Refuses a database whose restore has not come to its end: what was erased since may be there again.
async fn require_whole_restore(pool: &store::Pool) -> Result<(), Failure> {
    let mut conn = pool.acquire().await?;
    match backups::unfinished_restore(&mut conn).await? {
        None => Ok(()),
        Some(backup) => Err(format!(
            "the restore of backup {backup} into this database has not come to its end: run `meditrustal restore --continue` with the \
             same dumps"
        )
        .into()),
    }
}

/// The origin of the frontend: as configured, or the address where we listen.
fn site(config: &ServeConfig, listening: SocketAddr) -> Result<Site, Failure> {
    let here = format!("{}://{listening}", config.tls.scheme());
    let origin = config.site.as_deref().unwrap_or(&here);
    Site::parse(origin).map_err(|error| format!("--site cannot be {origin}: {error}").into())
}

/// Refuses the wrong chain and the wrong contract. A node that cannot be reached is no reason not to
/// begin: writes wait in the outbox.
async fn check_node(client: &Client, signer: &Signer) -> Result<(), Failure> {
    match client.check().await {
        Ok(()) => {}
        Err(CheckError::Client(error)) => {
            tracing::warn!(%error, "The node cannot be checked; records wait in the outbox until it answers");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    let address = signer.address();
    match client.is_registrar(address).await {
        Ok(false) => Err(format!(
            "the registry does not let {address} anchor: give it the registrar's role, or use another key"
        )
        .into()),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Makes the signer known. Its nonce is ours from then on; the chain's is asked for once.
async fn begin_nonces(
    pool: &store::Pool,
    client: &Client,
    signer: &Signer,
    chain_id: i64,
) -> Result<(), Failure> {
    let address = signer.address();
    let on_chain = match client.next_nonce(address).await {
        Ok(nonce) => Some(i64::try_from(nonce)?),
        Err(error) => {
            log_silence(&error);
            None
        }
    };
    let mut conn = pool.acquire().await?;
    let account = SignerAccount {
        chain_id,
        address: &address.to_string(),
    };
    let ours = match on_chain {
        Some(nonce) => signers::register(&mut conn, account, nonce).await?,
        None => signers::known_nonce(&mut conn, account).await?.ok_or(
            "this account has never signed here and the node does not answer: start it, so that the first nonce is known",
        )?,
    };
    if on_chain.is_some_and(|on_chain| on_chain > ours) {
        return Err(format!(
            "the chain knows {} transaction(s) of {address} that this database does not: the key is used \
             elsewhere, or the database was restored from an old backup without `meditrustal restore`. Find out which; then \
             `meditrustal signer adopt-nonce` has this database go on behind them",
            on_chain.unwrap_or(ours) - ours
        )
        .into());
    }
    Ok(())
}

fn log_silence(error: &ClientError) {
    tracing::warn!(%error, "The node does not say the signer's nonce; going on from ours");
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

async fn told_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended,
        _ = terminate.recv() => Ok(()),
    }
}
