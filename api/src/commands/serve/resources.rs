//! What lies outside the process: the database, keys and the node, each looked at before it is gone by.

use std::{mem, sync::Arc, time::Duration};

use chain::{CheckError, Client, ClientError, Deployment, Signer, Signers, ToldFact};
use chrono::TimeDelta;
use domain::clock::Ahead;
use store::{
    Pool, PoolSettings, backups,
    cursor::Registry,
    inspect::{self, Inspection},
    keys, migrate,
    reads::Reads,
    signers::{self, SignerAccount},
};
use vault::{blind_index::IndexKey, keyring::Keyring};

use crate::{
    commands::output::Failure,
    config::{SafetyConfig, ServeConfig},
    dependencies::{OurRegistrars, registry_of},
    erasure_ledger::file::{LedgerError, LedgerFile},
    health,
    key_checks::check_master_keys,
    records::index_key::check_index_key,
};

/// How long the node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);
/// The database's clock: what every process goes by.
pub(super) static DATABASE_CLOCK: Ahead = Ahead::unknown();
/// Connections of a process beside its pool: two for notices, one for health.
const BESIDE_THE_POOL: u32 = 3;
/// How many master keys that are missing are named at most, where anybody could have written them.
const MOST_NAMED: i64 = 10;

/// What lies outside the process: opened, and found to fit together.
pub(super) struct Resources {
    pub(super) pool: Pool,
    pub(super) reads: Reads,
    pub(super) settings: PoolSettings,
    pub(super) keyring: Arc<Keyring>,
    pub(super) index_key: Arc<IndexKey>,
    pub(super) signers: Signers,
    pub(super) checkpointer: Option<Arc<Signer>>,
    pub(super) client: Client,
    pub(super) registry: Registry,
    pub(super) registrars: OurRegistrars,
    pub(super) ledger: Option<Arc<LedgerFile>>,
}

pub(super) async fn open(
    config: &ServeConfig,
    safety: &SafetyConfig,
) -> Result<Resources, Failure> {
    let settings = look_at_database(config, safety).await?;
    let pool = store::connect(&config.database.url, "meditrustal api", settings)?;
    let reads = config.database.reads(settings)?;
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
    let signers = load_signers(config, &deployment)?;
    let checkpointer = config.checkpoints.key_file.as_deref();
    let checkpointer = checkpointer
        .map(|file| Signer::load(file, &deployment).map(Arc::new))
        .transpose()?;
    if checkpointer
        .as_ref()
        .is_some_and(|it| signers.has(it.address()))
    {
        // Each would take the other's nonces.
        return Err("MEDITRUSTAL_CHECKPOINT_KEY_FILE: the account that pins checkpoints may not be the registrar's".into());
    }
    let client = config.nodes.client(NODE_TIMEOUT, &deployment)?;
    let registry = registry_of(&deployment)?;
    let chain_id = registry.chain_id;
    check_nodes(&client, &signers).await?;
    for signer in signers.all() {
        begin_nonces(&pool, &client, signer, chain_id).await?;
    }
    agree_on_signers(&pool, &signers, chain_id).await?;
    let registrars = OurRegistrars {
        chain_id,
        deployed: deployment.registrar,
    };
    Ok(Resources {
        pool,
        reads,
        settings,
        keyring,
        index_key,
        signers,
        checkpointer,
        client,
        registry,
        registrars,
        ledger,
    })
}

/// The accounts that anchor.
fn load_signers(config: &ServeConfig, deployment: &Deployment) -> Result<Signers, Failure> {
    let mut signers = Vec::new();
    for file in config.registrars.key_files() {
        signers.push(Signer::load(file, deployment)?);
    }
    let mut signers = signers.into_iter();
    let first = signers
        .next()
        .ok_or("no account is named that anchors: set MEDITRUSTAL_REGISTRAR_KEY_FILE")?;
    let signers = Signers::new(first, signers.collect())
        .map_err(|error| format!("MEDITRUSTAL_REGISTRAR_KEY_FILES: {error}"))?;
    if signers.count() > 1 {
        let accounts = signers.addresses().join(", ");
        tracing::info!("Patients' records are anchored by {accounts}, each by one of them");
    }
    Ok(signers)
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

/// Refuses a database that cannot be used or must not be; gives the pool for what it allows.
async fn look_at_database(
    config: &ServeConfig,
    safety: &SafetyConfig,
) -> Result<PoolSettings, Failure> {
    let mut known = config.risks();
    if inspect::plain_line_to(&config.database.url).is_some() {
        // Before anybody is told a password who may be somebody else.
        safety.judge(mem::take(&mut known))?;
    }
    let as_pool = config.database.pool();
    let found = inspect::inspect(&config.database.url, inspect::Program::Api, &as_pool).await?;
    let Inspection {
        clock,
        risks,
        connections,
    } = found;
    safety.judge([known, risks].concat())?;
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

/// Refuses the wrong chain and the wrong contract at any of the nodes, and an account that may not anchor. A node that cannot be
/// reached is no reason not to begin: another one is asked, or writes wait in the outbox. Neither is one that has no registry yet,
/// where another one has it: it may be synchronising still, and is asked nothing before it has it.
async fn check_nodes(client: &Client, signers: &Signers) -> Result<(), Failure> {
    let mut is_known = false;
    let mut without = None;
    for (place, node) in (1..).zip(client.each()) {
        match node.check().await {
            Ok(()) => is_known = true,
            Err(CheckError::Client(error)) => tracing::warn!(
                %error,
                "Node {place} cannot be checked; records wait in the outbox until one answers"
            ),
            Err(error @ (CheckError::NoCode { .. } | CheckError::NoBlock { .. })) => {
                tracing::warn!("Node {place} cannot be used yet: {error}");
                without = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !is_known {
        return without.map_or(Ok(()), |error| Err(error.into()));
    }
    for signer in signers.all() {
        let address = signer.address();
        if matches!(client.is_registrar(address).await, Ok(false)) {
            return Err(format!(
                "the registry does not let {address} anchor: give it the registrar's role, or use another key"
            )
            .into());
        }
    }
    Ok(())
}

/// Makes the signer known. Its nonce is ours from then on; the chain's is asked for once, of a second node, too.
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
    let known = signers::known_nonce(&mut conn, account).await?;
    if let (None, Some(nonce)) = (known, on_chain) {
        // A nonce that one node makes up would leave a gap, behind which nothing is ever mined.
        let told = ToldFact::NextNonce {
            account: address,
            next: u64::try_from(nonce)?,
        };
        Box::pin(client.require_second_word(told)).await?;
    }
    let ours = match on_chain {
        Some(nonce) => signers::register(&mut conn, account, nonce).await?,
        None => known.ok_or(
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

/// Refuses to begin without the key of an account that is in use: it could not go on with what that account has begun. The first
/// api of a database says which are.
async fn agree_on_signers(
    pool: &store::Pool,
    signers: &Signers,
    chain_id: i64,
) -> Result<(), Failure> {
    let here = signers.addresses();
    let mut tx = pool.begin().await?;
    let in_use = signers::begin_use(&mut tx, chain_id, &here).await?;
    tx.commit().await?;
    let lacking: Vec<&String> = in_use.iter().filter(|it| !here.contains(it)).collect();
    if let Some(first) = lacking.first() {
        let way = way_without(first, &here, in_use.len());
        return Err(format!(
            "this api has the keys of {}, and the accounts in use are {}: name the files of all of them in \
             MEDITRUSTAL_REGISTRAR_KEY_FILE and MEDITRUSTAL_REGISTRAR_KEY_FILES, as every api has to; or take an account out of use \
             first, which leaves what it has anchored to a steward: {way}",
            here.join(", "),
            in_use.join(", "),
        )
        .into());
    }
    for standby in here.iter().filter(|it| !in_use.contains(it)) {
        tracing::warn!(
            "{standby} is named and not in use: it begins nothing. Once every api has its key: `meditrustal signer use --signer {standby} --yes`"
        );
    }
    signers.begin_with(&in_use);
    Ok(())
}

/// The commands that take an account out of use: the only one is replaced, because somebody has to sign.
fn way_without(lacking: &str, here: &[String], in_use: usize) -> String {
    let retire = format!("`meditrustal signer retire --signer {lacking} --yes`");
    match here.first() {
        Some(next) if in_use == 1 => format!(
            "`meditrustal signer rotate --to <key file of {next}> --yes`; or `meditrustal signer use --signer {next} --yes`, and then {retire}"
        ),
        Some(_) | None => retire,
    }
}

fn log_silence(error: &ClientError) {
    tracing::warn!(%error, "The node does not say the signer's nonce; going on from ours");
}
