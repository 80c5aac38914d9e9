//! What the operator sets: the only place that reads the environment. `meditrustal serve --help`
//! prints all of it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::http::HeaderValue;
use chrono::TimeDelta;
use clap::{
    Args,
    builder::{PossibleValuesParser, RangedI64ValueParser},
};
use domain::{
    countries::Country,
    environment::{self, Environment, RISKS, Risk, TooRisky, is_here},
    second_factor::Occasion,
    sessions::IDLE_AFTER,
    throttle::{Backoff, Bucket, ThrottleLimits},
};
use ipnet::IpNet;
use store::{PoolSettings, checkpoints::CheckpointDue, housekeeping::Keep};
use tls::{Certificate, TlsError};
use vault::{
    keyring::{Keyring, KeyringError},
    pkcs11::{Pkcs11Settings, WantedToken},
};

use crate::{
    answer_budget, connections, cost_limit,
    documents::{Documents, DocumentsError},
    erasure_ledger::file::LedgerFile,
    instruments::REGISTRARS,
    limits::Sockets,
    proxies::{self, Proxies, ProxyHeader},
    query_limits::QueryLimits,
};

/// Settings of `meditrustal serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeConfig {
    #[command(flatten)]
    pub(crate) database: DatabaseConfig,

    #[command(flatten)]
    pub(crate) throttle: ThrottleConfig,

    #[command(flatten)]
    pub(crate) housekeeping: HousekeepingConfig,

    #[command(flatten)]
    pub(crate) deletion: DeletionConfig,

    #[command(flatten)]
    pub(crate) retention: RetentionConfig,

    #[command(flatten)]
    pub(crate) nodes: NodesConfig,

    /// What `contracts/script/Deploy.s.sol` wrote: chain, registry, code hash
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    pub(crate) deployment_file: PathBuf,

    #[command(flatten)]
    pub(crate) registrars: RegistrarConfig,

    /// The master keys that wrap patients' keys
    #[arg(long, env = "MEDITRUSTAL_MASTER_KEYS_FILE")]
    pub(crate) master_keys_file: PathBuf,

    #[command(flatten)]
    pub(crate) pkcs11: Pkcs11Config,

    /// The key of the blind index, by which records are found by their codes
    #[arg(long, env = "MEDITRUSTAL_INDEX_KEY_FILE")]
    pub(crate) index_key_file: PathBuf,

    /// The Ed25519 key that signs access tokens, in PKCS#8 PEM
    #[arg(long, env = "MEDITRUSTAL_TOKEN_KEY_FILE")]
    pub(crate) token_key_file: PathBuf,

    #[command(flatten)]
    pub(crate) checkpoints: CheckpointConfig,

    #[command(flatten)]
    pub(crate) fees: FeeConfig,

    /// Tell the registry of consents what patients' wallets have signed: then everybody can see which wallet agreed to
    /// something, and when, but not to what. The deployment file must name that registry
    #[arg(long, env = "MEDITRUSTAL_RELAY_CONSENTS")]
    pub(crate) relay_consents: bool,

    #[command(flatten)]
    pub(crate) documents: DocumentConfig,

    /// Packages of profiles that documents are held against where they declare them, comma separated: npm tarballs of FHIR
    /// implementation guides for R4, such as `hl7.fhir.us.core-7.0.0.tgz`; without them documents are held against R4 alone
    #[arg(
        long,
        env = "MEDITRUSTAL_PROFILES",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub(crate) profiles: Vec<PathBuf>,

    /// Where to listen
    #[arg(long, env = "MEDITRUSTAL_LISTEN", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,

    /// Where /metrics answers, such as 127.0.0.1:9108; without it nothing is told
    #[arg(long, env = "MEDITRUSTAL_METRICS_ADDRESS")]
    pub(crate) metrics_address: Option<SocketAddr>,

    /// The built GraphiQL to serve at /playground; without it there is none
    #[arg(long, env = "MEDITRUSTAL_PLAYGROUND_DIR")]
    pub(crate) playground_dir: Option<PathBuf>,

    /// The built portal to serve at /portal; without it there is none
    #[arg(long, env = "MEDITRUSTAL_PORTAL_DIR")]
    pub(crate) portal_dir: Option<PathBuf>,

    /// Origins of browser frontends, comma separated, such as <https://app.example.org>
    #[arg(long, env = "MEDITRUSTAL_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub(crate) allowed_origins: Vec<HeaderValue>,

    /// Networks of the proxies in front, comma separated, such as 10.0.0.0/8: only from there is the
    /// header believed that says whom they speak for
    #[arg(long, env = "MEDITRUSTAL_TRUSTED_PROXIES", value_delimiter = ',', value_parser = proxies::network)]
    trusted_proxies: Vec<IpNet>,

    /// The header that they write; whatever a client sends in it must be appended to, or replaced
    #[arg(
        long,
        env = "MEDITRUSTAL_PROXY_HEADER",
        default_value = "x-forwarded-for"
    )]
    proxy_header: ProxyHeader,

    #[command(flatten)]
    pub(crate) tls: TlsConfig,

    #[command(flatten)]
    pub(crate) connections: ConnectionConfig,

    #[command(flatten)]
    pub(crate) shares: ShareConfig,

    /// The origin of the frontend, such as <https://app.example.org>: people's wallets show it when they
    /// sign; without it, the address of `--listen`. The same for every api process
    #[arg(long, env = "MEDITRUSTAL_SITE")]
    pub(crate) site: Option<String>,

    /// The country where data is at home, as ISO 3166-1 alpha-2 writes it: what goes to another one crosses a border
    #[arg(long, env = "MEDITRUSTAL_HOME_COUNTRY", default_value = "ID")]
    pub(crate) home_country: Country,

    /// For what a second factor is required, comma separated: admins, break-glass
    #[arg(long, env = "MEDITRUSTAL_REQUIRE_SECOND_FACTOR", value_delimiter = ',')]
    pub(crate) require_second_factor: Vec<Occasion>,

    /// Answer introspection queries, and explain validation errors in detail
    #[arg(long, env = "MEDITRUSTAL_INTROSPECTION")]
    pub(crate) introspection: bool,

    /// How many keys and records the deep check opens each second, at most; 0 leaves it out
    #[arg(long, env = "MEDITRUSTAL_DEEP_CHECK_PER_SECOND", default_value = "20",
          value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) deep_check_per_second: u32,

    /// How old the chain's newest block may be before this process says that it is not ready, in seconds; 0
    /// for a chain that makes blocks only when there is something to put into them
    #[arg(long, env = "MEDITRUSTAL_HEAD_AGE", default_value = "120", value_parser = clap::value_parser!(u32))]
    head_age: u32,

    /// How long no indexer may lead, or the node be silent, before this process says that it is not ready,
    /// in seconds
    #[arg(long, env = "MEDITRUSTAL_INDEXER_SILENCE", default_value = "30", value_parser = clap::value_parser!(u32).range(5..=3600))]
    indexer_silence: u32,

    /// How long the deep check rests between two rounds, in seconds
    #[arg(long, env = "MEDITRUSTAL_DEEP_CHECK_REST", default_value = "60",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    deep_check_rest_seconds: u64,

    /// How long one request may take, in seconds
    #[arg(long, env = "MEDITRUSTAL_REQUEST_TIMEOUT", default_value = "10",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    request_timeout_seconds: u64,

    /// How long a statement may take before it is logged, by its name alone, in milliseconds
    #[arg(long, env = "MEDITRUSTAL_SLOW_STATEMENT_MS", default_value = "500",
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    slow_statement_ms: u64,

    /// How long a root field may take before it is logged, by its name alone, in milliseconds
    #[arg(long, env = "MEDITRUSTAL_SLOW_OPERATION_MS", default_value = "2000",
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    slow_operation_ms: u64,
}

impl ServeConfig {
    /// How long a statement may take before it is logged.
    pub(crate) const fn slow_statement(&self) -> Duration {
        Duration::from_millis(self.slow_statement_ms)
    }

    /// How long a root field may take before it is logged.
    pub(crate) const fn slow_operation(&self) -> Duration {
        Duration::from_millis(self.slow_operation_ms)
    }

    /// The proxies that are believed.
    pub(crate) fn proxies(&self) -> Proxies {
        Proxies {
            trusted: self.trusted_proxies.clone(),
            header: self.proxy_header,
        }
    }

    /// What of these settings is insecure.
    pub(crate) fn risks(&self) -> Vec<Risk> {
        let mut named = self.nodes.named();
        let plain = named.find_map(environment::plain_node);
        let mut risks: Vec<Risk> = plain.into_iter().collect();
        let is_behind_a_proxy = !self.trusted_proxies.is_empty();
        if !is_here(&self.listen.ip().to_string()) && !is_behind_a_proxy && !self.tls.is_on() {
            risks.push(Risk::new(
                "plain-http",
                "requests from beyond this machine are not encrypted: set MEDITRUSTAL_TLS_CERT_FILE, listen on 127.0.0.1 \
                 behind a proxy with TLS, or name the networks of your proxies with --trusted-proxies",
            ));
        }
        risks.extend(self.metrics_address.and_then(environment::open_metrics));
        risks.extend(environment::empty_password(&self.database.url));
        risks.extend(self.development_leftovers());
        if self.deletion.grace().is_zero() {
            risks.push(Risk::new(
                "no-deletion-grace",
                "what is approved to be erased is erased at once: nobody can take it back (MEDITRUSTAL_DELETION_GRACE)",
            ));
        }
        // The widest networks that anybody has to themselves are 10.0.0.0/8 and fc00::/7.
        let is_everybody = |network: &&IpNet| match network {
            IpNet::V4(network) => network.prefix_len() < 8,
            IpNet::V6(network) => network.prefix_len() < 7,
        };
        risks.extend(self.trusted_proxies.iter().filter(is_everybody).map(|all| {
            let text = format!(
                "--trusted-proxies {all} believes anybody whom they speak for: name your proxies' networks alone"
            );
            Risk::new("trusts-all-proxies", text)
        }));
        risks
    }

    /// What is right while one develops.
    fn development_leftovers(&self) -> Vec<Risk> {
        let registrars = self.registrars.key_files();
        let mut keys = registrars
            .into_iter()
            .chain(self.checkpoints.key_file.as_deref());
        let is_known = keys
            .any(|file| chain::address_of_key_file(file).is_ok_and(chain::is_development_account));
        let is_open = self
            .allowed_origins
            .iter()
            .any(|origin| origin.as_bytes().starts_with(b"http://"));
        [
            (
                is_known,
                "development-keys",
                "a key of the registry is one of development chains, which everybody knows: make keys with \
                 `meditrustal keys new`",
            ),
            (
                is_open,
                "open-cors",
                "a page that came by http may call this api with a person's token, and who is on its line can change that \
                 page: name origins with https:// alone in MEDITRUSTAL_ALLOWED_ORIGINS",
            ),
            (
                self.introspection,
                "introspection",
                "the schema and details of mistakes are told to anybody: leave MEDITRUSTAL_INTROSPECTION out",
            ),
            (
                self.playground_dir.is_some() || self.portal_dir.is_some(),
                "playground",
                "the playground or the portal is served to anybody: leave MEDITRUSTAL_PLAYGROUND_DIR and \
                 MEDITRUSTAL_PORTAL_DIR out",
            ),
        ]
        .into_iter()
        .filter(|(is_so, ..)| *is_so)
        .map(|(_, name, text)| Risk::new(name, text))
        .collect()
    }

    /// The pool of a process that answers requests. Who waited half of the time for a connection has no
    /// time left to use it: they are told to come again while they still listen.
    pub(crate) fn pool(&self) -> PoolSettings {
        let pool = self.database.pool();
        PoolSettings {
            timeout: pool.timeout.min(self.request_timeout() / 2),
            ..pool
        }
    }

    /// How old the newest block may be; `None` for any age.
    pub(crate) fn head_age(&self) -> Option<Duration> {
        (self.head_age > 0).then(|| Duration::from_secs(self.head_age.into()))
    }

    /// How long the indexers or the node may be silent.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_secs(self.indexer_silence.into())
    }

    /// How long the deep check rests between two rounds.
    pub(crate) const fn deep_check_rest(&self) -> Duration {
        Duration::from_secs(self.deep_check_rest_seconds)
    }

    /// What cannot be meant, each by its variables: settings that contradict one another.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let mut found = self.database.contradictions();
        found.extend(self.connections.contradictions());
        found.extend(self.throttle.contradictions());
        found.extend(self.documents.contradictions());
        found.extend(self.nodes.contradictions());
        found.extend(self.registrars.contradictions());
        found
    }

    /// How long one request may take.
    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds)
    }
}

/// The nodes of the chain that are asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodesConfig {
    /// Where the chain's node answers JSON-RPC
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true, value_parser = chain_url,
          required_unless_present = "chain_rpc_urls")]
    chain_rpc_url: Option<String>,

    /// More nodes of the same chain, comma separated: asked where the one before does not do what it should. One that begins with
    /// wss:// or ws:// tells the indexer of new blocks, and is asked nothing
    #[arg(long, env = "CHAIN_RPC_URLS", hide_env_values = true, value_delimiter = ',', value_parser = listed_chain_url)]
    chain_rpc_urls: Vec<String>,
}

impl NodesConfig {
    /// The addresses that are named, in their order.
    fn named(&self) -> impl Iterator<Item = &str> {
        let first = self.chain_rpc_url.as_deref();
        let more = self.chain_rpc_urls.iter().map(String::as_str);
        let more = more.filter(move |url| Some(*url) != first);
        first.into_iter().chain(more)
    }

    /// The addresses of the nodes, in the order in which they are asked.
    pub(crate) fn asked(&self) -> Vec<&str> {
        let named = self.named();
        named.filter(|url| !chain::is_head_source(url)).collect()
    }

    fn contradictions(&self) -> Vec<String> {
        let none = "CHAIN_RPC_URLS names no node that can be asked: one has to begin with https:// or http://";
        let is_none = self.asked().is_empty();
        is_none.then(|| none.to_owned()).into_iter().collect()
    }
}

/// How many accounts may share the load: they are told apart by their places where they are measured.
const MOST_REGISTRARS: usize = REGISTRARS.len();

/// The accounts that anchor.
#[derive(Debug, Clone, Args)]
pub(crate) struct RegistrarConfig {
    /// The account that anchors records: a secp256k1 key in hexadecimal digits, readable by us alone
    #[arg(
        long,
        env = "MEDITRUSTAL_REGISTRAR_KEY_FILE",
        required_unless_present = "registrar_key_files"
    )]
    registrar_key_file: Option<PathBuf>,

    /// More accounts that anchor records, comma separated, up to eight in all: each patient's records are anchored by one of them,
    /// and they share the load. The same for every api process
    #[arg(
        long,
        env = "MEDITRUSTAL_REGISTRAR_KEY_FILES",
        value_name = "FILE",
        value_delimiter = ','
    )]
    registrar_key_files: Vec<PathBuf>,
}

impl RegistrarConfig {
    /// The files of their keys, each once, in the order in which they were named.
    pub(crate) fn key_files(&self) -> Vec<&Path> {
        let first = self.registrar_key_file.as_deref();
        let more = self.registrar_key_files.iter().map(PathBuf::as_path);
        let mut files: Vec<&Path> = Vec::new();
        for file in first.into_iter().chain(more) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }

    fn contradictions(&self) -> Vec<String> {
        let count = self.key_files().len();
        let is_wrong = count > MOST_REGISTRARS;
        let told = format!(
            "MEDITRUSTAL_REGISTRAR_KEY_FILES and MEDITRUSTAL_REGISTRAR_KEY_FILE name {count} accounts, and may name {MOST_REGISTRARS}"
        );
        is_wrong.then_some(told).into_iter().collect()
    }
}

/// What transactions may offer, and when more is offered.
#[derive(Debug, Clone, Args)]
pub(crate) struct FeeConfig {
    /// The most that a transaction may offer for a unit of gas, in gwei: where more is needed, records wait
    #[arg(long, env = "MEDITRUSTAL_MAX_FEE_GWEI", default_value = "500",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_fee_gwei: u32,

    /// After how many seconds a transaction that is in no block is replaced by one that offers at least an eighth more, where
    /// more is usual by then
    #[arg(long = "raise-fee-after", env = "MEDITRUSTAL_RAISE_FEE_AFTER", default_value = "60",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    raise_fee_after_seconds: u32,
}

impl FeeConfig {
    /// The most that a transaction may offer. Unit: wei per gas.
    pub(crate) fn most(&self) -> u128 {
        u128::from(self.max_fee_gwei) * 1_000_000_000
    }

    /// When a transaction that is in no block is replaced.
    pub(crate) fn raise_after(&self) -> Duration {
        Duration::from_secs(self.raise_fee_after_seconds.into())
    }
}

/// Which documents clients may name by their hash, and whether they may send others.
#[derive(Debug, Clone, Args)]
pub(crate) struct DocumentConfig {
    /// The documents of a frontend's build: a JSON object that gives each by its SHA-256 in hexadecimal digits
    #[arg(long, env = "MEDITRUSTAL_TRUSTED_DOCUMENTS", value_name = "FILE")]
    trusted_documents: Option<PathBuf>,

    /// Run these documents alone
    #[arg(long, env = "MEDITRUSTAL_ONLY_TRUSTED")]
    only_trusted: bool,
}

impl DocumentConfig {
    fn contradictions(&self) -> Vec<String> {
        let nothing = self.only_trusted && self.trusted_documents.is_none();
        let told =
            "MEDITRUSTAL_ONLY_TRUSTED leaves nothing to run without MEDITRUSTAL_TRUSTED_DOCUMENTS";
        nothing.then(|| told.to_owned()).into_iter().collect()
    }

    /// The documents, each compared with its hash and with these limits.
    ///
    /// # Errors
    /// [`DocumentsError`].
    pub(crate) fn load(&self, limits: &QueryLimits) -> Result<Documents, DocumentsError> {
        Documents::load(self.trusted_documents.as_deref(), self.only_trusted, limits)
    }
}

/// By which certificate this process is believed, where it speaks TLS itself.
#[derive(Debug, Clone, Args)]
pub(crate) struct TlsConfig {
    /// The certificate of this api, with those that lead to its authority behind it, in PEM; without it requests come in clear
    /// text. It is read again when it changes
    #[arg(
        long,
        env = "MEDITRUSTAL_TLS_CERT_FILE",
        value_name = "FILE",
        requires = "tls_key_file"
    )]
    tls_cert_file: Option<PathBuf>,

    /// The certificate's private key, in PEM, readable by us alone
    #[arg(
        long,
        env = "MEDITRUSTAL_TLS_KEY_FILE",
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    tls_key_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Whether requests come by TLS.
    pub(crate) const fn is_on(&self) -> bool {
        self.tls_cert_file.is_some()
    }

    /// How addresses of this api begin.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.is_on() { "https" } else { "http" }
    }

    /// The certificate; `None` where requests come in clear text.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn certificate(&self) -> Result<Option<Arc<Certificate>>, TlsError> {
        let (Some(certificate), Some(key)) = (&self.tls_cert_file, &self.tls_key_file) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Certificate::load(certificate, key)?)))
    }
}

/// The PKCS#11 token that holds master keys, where one does.
#[derive(Debug, Clone, Args)]
pub(crate) struct Pkcs11Config {
    /// The library of the PKCS#11 token that holds master keys: of an HSM, or of a cloud's key service. Without it they are in the
    /// file of the master keys
    #[arg(
        id = "pkcs11_module",
        long = "pkcs11-module",
        env = "MEDITRUSTAL_PKCS11_MODULE",
        value_name = "FILE",
        requires = "pkcs11_pin_file"
    )]
    module: Option<PathBuf>,

    /// The label of the token; the only one that the library has, if neither this nor its slot is given
    #[arg(
        id = "pkcs11_token",
        long = "pkcs11-token",
        env = "MEDITRUSTAL_PKCS11_TOKEN",
        value_name = "LABEL",
        requires = "pkcs11_module",
        conflicts_with = "pkcs11_slot"
    )]
    token: Option<String>,

    /// The slot that the token is in
    #[arg(
        id = "pkcs11_slot",
        long = "pkcs11-slot",
        env = "MEDITRUSTAL_PKCS11_SLOT",
        value_name = "NUMBER",
        requires = "pkcs11_module"
    )]
    slot: Option<u64>,

    /// The PIN of the token's user, in a file readable by us alone
    #[arg(
        id = "pkcs11_pin_file",
        long = "pkcs11-pin-file",
        env = "MEDITRUSTAL_PKCS11_PIN_FILE",
        value_name = "FILE",
        requires = "pkcs11_module"
    )]
    pin_file: Option<PathBuf>,
}

impl Pkcs11Config {
    /// The token; `None` where the keys are in the file.
    pub(crate) fn settings(&self) -> Option<Pkcs11Settings> {
        let (module, pin_file) = (self.module.clone()?, self.pin_file.clone()?);
        let token = match (&self.token, self.slot) {
            (Some(label), _) => WantedToken::Label(label.clone()),
            (None, Some(slot)) => WantedToken::Slot(slot),
            (None, None) => WantedToken::Only,
        };
        Some(Pkcs11Settings {
            module,
            token,
            pin_file,
        })
    }

    /// The master keys of this file. Blocks while the token is asked for those that are inside it.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub(crate) fn keyring(&self, file: &Path) -> Result<Keyring, KeyringError> {
        Keyring::load_with(file, self.settings().as_ref())
    }
}

/// When the audit trail is pinned in the registry, and by whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckpointConfig {
    /// The account that pins checkpoints of the audit trail: a secp256k1 key in hexadecimal digits, readable by us
    /// alone, that has the registry's checkpoint role and no other; without it nothing is pinned
    #[arg(long = "checkpoint-key-file", env = "MEDITRUSTAL_CHECKPOINT_KEY_FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// How long after a checkpoint the next one is due, where the trail has grown, in seconds
    #[arg(long = "checkpoint-every", env = "MEDITRUSTAL_CHECKPOINT_EVERY", default_value = "600",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,

    /// By how many rows the trail grows before a checkpoint is due earlier
    #[arg(long = "checkpoint-rows", env = "MEDITRUSTAL_CHECKPOINT_ROWS", default_value = "10000",
          value_parser = clap::value_parser!(i64).range(1..=100_000_000))]
    rows: i64,
}

impl CheckpointConfig {
    /// When a checkpoint is due.
    pub(crate) const fn due(&self) -> CheckpointDue {
        CheckpointDue {
            every: Duration::from_secs(self.every),
            leaves: self.rows,
        }
    }
}

/// How many connections this process bears.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionConfig {
    /// Connections in all; the process needs a file descriptor for each
    #[arg(long, env = "MEDITRUSTAL_CONNECTIONS", default_value = "4096", value_parser = count())]
    connections: u32,

    /// Connections of one address, unless it is a trusted proxy's
    #[arg(long, env = "MEDITRUSTAL_CONNECTIONS_OF_ADDRESS", default_value = "512", value_parser = count())]
    connections_of_address: u32,

    /// How long a request's headers may take, and a connection be idle, in seconds
    #[arg(long, env = "MEDITRUSTAL_HEADER_TIMEOUT", default_value = "30", value_parser = seconds())]
    header_timeout: i64,

    /// How long to go on serving after being told to stop, in seconds, so that a proxy sees first that this process is not
    /// ready
    #[arg(long, env = "MEDITRUSTAL_DRAIN", default_value = "5",
          value_parser = clap::value_parser!(u64).range(0..=300))]
    drain_seconds: u64,

    /// Sockets, for subscriptions, of one address
    #[arg(long, env = "MEDITRUSTAL_SOCKETS_OF_ADDRESS", default_value = "256", value_parser = count())]
    sockets_of_address: u32,

    /// Sockets of one account
    #[arg(long, env = "MEDITRUSTAL_SOCKETS_OF_ACCOUNT", default_value = "10", value_parser = count())]
    sockets_of_account: u32,
}

impl ConnectionConfig {
    fn contradictions(&self) -> Vec<String> {
        at_most([
            (
                (
                    "MEDITRUSTAL_CONNECTIONS_OF_ADDRESS",
                    self.connections_of_address,
                ),
                ("MEDITRUSTAL_CONNECTIONS", self.connections),
            ),
            (
                ("MEDITRUSTAL_SOCKETS_OF_ACCOUNT", self.sockets_of_account),
                ("MEDITRUSTAL_SOCKETS_OF_ADDRESS", self.sockets_of_address),
            ),
        ])
    }

    /// How long to go on serving after being told to stop.
    pub(crate) const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// The limits of connections.
    pub(crate) fn limits(&self) -> connections::ConnectionLimits {
        connections::ConnectionLimits {
            all: self.connections as usize,
            of_network: self.connections_of_address as usize,
            headers_within: Duration::from_secs(self.header_timeout.unsigned_abs()),
        }
    }

    /// The limits of sockets.
    pub(crate) fn sockets(&self) -> Sockets {
        Sockets::new(
            self.sockets_of_address as usize,
            self.sockets_of_account as usize,
        )
    }
}

/// How much one account may have of what all share, and one address where nobody is logged in.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShareConfig {
    /// How long one answer may be, in MiB
    #[arg(long, env = "MEDITRUSTAL_ANSWER_MIB", default_value = "32", value_parser = mebibytes())]
    answer_mib: i64,

    /// How long all answers under way of one account may be together, in MiB
    #[arg(long, env = "MEDITRUSTAL_ANSWERS_OF_ACCOUNT_MIB", default_value = "64", value_parser = mebibytes())]
    answers_of_account_mib: i64,

    /// How long all answers under way in this process may be together, in MiB; it needs up to three
    /// times as much memory for them
    #[arg(long, env = "MEDITRUSTAL_ANSWERS_MIB", default_value = "192", value_parser = mebibytes())]
    answers_mib: i64,

    /// What one account's requests may cost at a time, in fields of their answers; one that costs more
    /// runs alone
    #[arg(long, env = "MEDITRUSTAL_COST_AT_ONCE", default_value = "10000", value_parser = cost())]
    cost_at_once: u32,

    /// What one account's requests may cost in a minute, over all processes
    #[arg(long, env = "MEDITRUSTAL_COST_A_MINUTE", default_value = "1000000", value_parser = cost())]
    cost_a_minute: u32,
}

impl ShareConfig {
    /// How long answers may be.
    pub(crate) fn answers(&self) -> answer_budget::AnswerLimits {
        let bytes = |mebibytes: i64| usize::try_from(mebibytes << 20).unwrap_or(usize::MAX);
        answer_budget::AnswerLimits {
            of_answer: bytes(self.answer_mib),
            of_party: bytes(self.answers_of_account_mib),
            of_process: bytes(self.answers_mib),
        }
    }

    /// What requests may cost.
    pub(crate) fn costs(&self) -> cost_limit::CostLimits {
        cost_limit::CostLimits {
            at_once: self.cost_at_once.into(),
            a_minute: self.cost_a_minute.into(),
        }
    }
}

/// Up to a tebibyte.
fn mebibytes() -> RangedI64ValueParser<i64> {
    RangedI64ValueParser::new().range(1..=1 << 20)
}

/// At least one request at the query limits's limit in a minute.
fn cost() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1000..=1_000_000_000)
}

/// How often anybody may try to get in. What a limit does is `domain::throttle`; the defaults lie
/// between Vault's (5 failures, then 15 minutes) and the Matrix Authentication Service's (3 a minute
/// for each address), with room for a hospital behind one address.
#[derive(Debug, Clone, Args)]
pub(crate) struct ThrottleConfig {
    /// Failures under one name from one address before the first wait
    #[arg(long, env = "MEDITRUSTAL_GUESSES", default_value = "5", value_parser = count())]
    guesses: u32,

    /// How long the first wait is, in seconds; each further one is twice as long
    #[arg(long, env = "MEDITRUSTAL_FIRST_WAIT", default_value = "10", value_parser = seconds())]
    first_wait: i64,

    /// How long no wait is longer than, in seconds
    #[arg(long, env = "MEDITRUSTAL_LONGEST_WAIT", default_value = "900", value_parser = seconds())]
    longest_wait: i64,

    /// Failures from one address before it must wait; more than it may have under way at once, which
    /// are counted until they have succeeded
    #[arg(long, env = "MEDITRUSTAL_ADDRESS_FAILURES", default_value = "100", value_parser = count())]
    address_failures: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_ADDRESS_FAILURES_A_MINUTE", default_value = "3", value_parser = count())]
    address_failures_a_minute: u32,

    /// New accounts from one address before it must wait
    #[arg(long, env = "MEDITRUSTAL_REGISTRATIONS", default_value = "20", value_parser = count())]
    registrations: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_REGISTRATIONS_A_MINUTE", default_value = "2", value_parser = count())]
    registrations_a_minute: u32,

    /// Messages for a wallet to sign that one address asks for before it must wait
    #[arg(long, env = "MEDITRUSTAL_CHALLENGES", default_value = "60", value_parser = count())]
    challenges: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_CHALLENGES_A_MINUTE", default_value = "20", value_parser = count())]
    challenges_a_minute: u32,

    /// Failures under one name from all addresses before a new address has one guess instead of several
    #[arg(long, env = "MEDITRUSTAL_ACCOUNT_FAILURES", default_value = "20", value_parser = count())]
    account_failures: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_ACCOUNT_FAILURES_A_MINUTE", default_value = "2", value_parser = count())]
    account_failures_a_minute: u32,

    /// Failures of all before a new address has one guess for each name instead of several
    #[arg(long, env = "MEDITRUSTAL_ALL_FAILURES", default_value = "300", value_parser = count())]
    all_failures: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_ALL_FAILURES_A_MINUTE", default_value = "60", value_parser = count())]
    all_failures_a_minute: u32,
}

/// How long rows are kept that have had their time.
#[derive(Debug, Clone, Args)]
pub(crate) struct HousekeepingConfig {
    /// How often old log-ins, idempotency keys and counters of attempts are removed, in seconds; by one
    /// process at a time
    #[arg(long, env = "MEDITRUSTAL_HOUSEKEEPING", default_value = "900", value_parser = seconds())]
    housekeeping: i64,

    #[command(flatten)]
    pub(crate) keep: KeepConfig,
}

/// How long rows are kept that say nothing any more.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeepConfig {
    /// How long a log-in is kept after its end, in days
    #[arg(long, env = "MEDITRUSTAL_KEEP_ENDED_SESSIONS", default_value = "7", value_parser = days())]
    keep_ended_sessions: u16,

    /// How long an idempotency key is kept, in days: an import that is sent again later makes its records
    /// twice
    #[arg(long, env = "MEDITRUSTAL_KEEP_IDEMPOTENCY_KEYS", default_value = "90", value_parser = days())]
    keep_idempotency_keys: u16,
}

impl KeepConfig {
    /// How long what is kept.
    pub(crate) fn keep(&self) -> Keep {
        Keep {
            ended_sessions: self.keep_ended_sessions.into(),
            used_tokens: i32::try_from(IDLE_AFTER.num_days()).unwrap_or(i32::MAX),
            idempotency_keys: self.keep_idempotency_keys.into(),
        }
    }
}

impl HousekeepingConfig {
    /// How often old rows are removed.
    pub(crate) fn every(&self) -> Duration {
        Duration::from_secs(self.housekeeping.unsigned_abs())
    }
}

/// When requests to erase are carried out.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeletionConfig {
    /// How long what is approved to be erased can still be kept by its subject, in days; 0, for development, erases at once
    #[arg(long, env = "MEDITRUSTAL_DELETION_GRACE", default_value = "30",
          value_parser = clap::value_parser!(u16).range(0..=366))]
    deletion_grace: u16,

    /// How often it is looked for deletion requests that are due, or too old, in seconds; by one process at a time
    #[arg(long, env = "MEDITRUSTAL_DELETION_EVERY", default_value = "60", value_parser = seconds())]
    deletion_every: i64,

    /// The file of the erasure ledger: what was erased, so that it can be erased again after the restore of an older backup. It
    /// belongs to no backup of the database, and on another disk; without it the ledger is in the database alone
    #[arg(long, env = "MEDITRUSTAL_ERASURE_LEDGER", value_name = "FILE")]
    erasure_ledger: Option<PathBuf>,
}

impl DeletionConfig {
    /// The ledger beside the database.
    pub(crate) fn ledger(&self) -> Option<Arc<LedgerFile>> {
        let path = self.erasure_ledger.as_deref();
        path.map(|path| Arc::new(LedgerFile::new(path)))
    }

    /// How long it can still be kept.
    pub(crate) fn grace(&self) -> TimeDelta {
        TimeDelta::days(self.deletion_grace.into())
    }

    /// How often it is looked.
    pub(crate) fn every(&self) -> Duration {
        Duration::from_secs(self.deletion_every.unsigned_abs())
    }
}

/// When what has been kept long enough is removed.
#[derive(Debug, Clone, Args)]
pub(crate) struct RetentionConfig {
    /// How often records and rows of the audit trail are removed that have been kept long enough, in seconds; by one
    /// process at a time; 0 leaves it to `meditrustal retention run`
    #[arg(long, env = "MEDITRUSTAL_RETENTION_EVERY", default_value = "86400",
          value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    retention_every: u64,
}

impl RetentionConfig {
    /// How often that is; `None` where somebody else does it.
    pub(crate) fn every(&self) -> Option<Duration> {
        (self.retention_every > 0).then(|| Duration::from_secs(self.retention_every))
    }
}

/// From a day to ten years.
fn days() -> RangedI64ValueParser<u16> {
    RangedI64ValueParser::new().range(1..=3660)
}

/// The address of a database. What is wrong with it is said without showing it.
pub(crate) fn database_url(text: &str) -> Result<String, store::InvalidDatabaseUrl> {
    store::check_url(text).map(|()| text.to_owned())
}

/// The address of a chain's node.
pub(crate) fn chain_url(text: &str) -> Result<String, chain::InvalidUrl> {
    chain::check_url(text).map(|()| text.to_owned())
}

/// The address of one of several nodes, or of one that tells of new blocks.
fn listed_chain_url(text: &str) -> Result<String, chain::InvalidUrl> {
    chain::check_listed_url(text).map(|()| text.to_owned())
}

/// An origin as browsers send it: a scheme, a host, maybe a port, and nothing else.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wanted = || {
        "it is no origin, which looks like https://app.example.org, without a path or a slash at the end"
            .to_owned()
    };
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(wanted)?;
    if host.is_empty() || host.contains(['/', '?', '#', '@', '*', ' ']) {
        return Err(wanted());
    }
    HeaderValue::from_str(text).map_err(|_| wanted())
}

/// A password that is to be one.
pub(crate) fn password(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("it is empty, and anybody could log in with it");
    }
    Ok(text.to_owned())
}

/// Names each pair of which the first is more than the second.
fn at_most<T: PartialOrd + std::fmt::Display>(
    pairs: impl IntoIterator<Item = ((&'static str, T), (&'static str, T))>,
) -> Vec<String> {
    let pairs = pairs.into_iter();
    let wrong = pairs.filter(|((_, less), (_, more))| less > more);
    wrong
        .map(|((less, small), (more, large))| {
            format!("{less} is {small}, and must be at most {more}, which is {large}")
        })
        .collect()
}

/// At least one, and few enough to be counted with.
fn count() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=1_000_000)
}

/// Up to half a day: counters are forgotten after a whole one.
fn seconds() -> RangedI64ValueParser<i64> {
    RangedI64ValueParser::new().range(1..=43_200)
}

impl ThrottleConfig {
    fn contradictions(&self) -> Vec<String> {
        at_most([(
            ("MEDITRUSTAL_FIRST_WAIT", self.first_wait),
            ("MEDITRUSTAL_LONGEST_WAIT", self.longest_wait),
        )])
    }

    /// What these settings allow.
    pub(crate) fn limits(&self) -> ThrottleLimits {
        let bucket = |burst, a_minute: u32| Bucket {
            burst,
            drain: TimeDelta::microseconds(60_000_000 / i64::from(a_minute)),
        };
        ThrottleLimits {
            guesses: Backoff {
                free: self.guesses,
                first: TimeDelta::seconds(self.first_wait),
                longest: TimeDelta::seconds(self.longest_wait),
            },
            address: bucket(self.address_failures, self.address_failures_a_minute),
            registrations: bucket(self.registrations, self.registrations_a_minute),
            challenges: bucket(self.challenges, self.challenges_a_minute),
            account: bucket(self.account_failures, self.account_failures_a_minute),
            everybody: bucket(self.all_failures, self.all_failures_a_minute),
        }
    }
}

/// Where the database is, and how many connections to keep. The defaults are the specification's.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseConfig {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    pub(crate) url: String,

    /// Connections kept open even when idle
    #[arg(long, env = "MEDITRUSTAL_POOL_MIN_SIZE", default_value = "5",
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    pool_min_size: u32,

    /// Connections kept after a burst
    #[arg(long, env = "MEDITRUSTAL_POOL_MAX_SIZE", default_value = "20",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pool_max_size: u32,

    /// Connections opened beyond that under load
    #[arg(long, env = "MEDITRUSTAL_POOL_MAX_OVERFLOW", default_value = "10",
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    pool_max_overflow: u32,

    /// How long one waits for a connection, in seconds; a request waits half of what it may take at most,
    /// and is then told to come again (BUSY)
    #[arg(long, env = "MEDITRUSTAL_POOL_TIMEOUT", default_value = "30",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pool_timeout: u64,

    /// How old a connection may grow, in seconds
    #[arg(long, env = "MEDITRUSTAL_POOL_RECYCLE", default_value = "1800",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pool_recycle: u64,
}

impl DatabaseConfig {
    fn contradictions(&self) -> Vec<String> {
        at_most([(
            ("MEDITRUSTAL_POOL_MIN_SIZE", self.pool_min_size),
            ("MEDITRUSTAL_POOL_MAX_SIZE", self.pool_max_size),
        )])
    }

    /// The pool these settings ask for.
    pub(crate) fn pool(&self) -> PoolSettings {
        PoolSettings {
            min: self.pool_min_size,
            steady: self.pool_max_size,
            overflow: self.pool_max_overflow,
            timeout: Duration::from_secs(self.pool_timeout),
            recycle: Duration::from_secs(self.pool_recycle),
            by_index: true,
            ..PoolSettings::default()
        }
    }
}

/// Files that every command reads before anything else.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonFiles {
    /// A file of settings, in TOML, for what neither the command line nor the environment sets: `ops/meditrustal.toml` names
    /// them all
    #[arg(long, env = "MEDITRUSTAL_CONFIG", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Certificates of authorities that are trusted besides the system's where a node or an api is reached by https, in PEM
    #[arg(
        long,
        env = "MEDITRUSTAL_ROOT_CERTIFICATES",
        value_name = "FILE",
        global = true
    )]
    pub(crate) root_certificates: Option<PathBuf>,
}

/// Whether real records are kept here.
#[derive(Debug, Clone, Args)]
pub(crate) struct SafetyConfig {
    /// Where real records are kept: production. Where none are: development; then what is insecure is warned
    /// of and not refused
    #[arg(
        long,
        env = "MEDITRUSTAL_ENVIRONMENT",
        default_value = "production",
        global = true
    )]
    environment: Environment,

    /// What is accepted in production although it is insecure, comma separated: the words in brackets of
    /// what was refused
    #[arg(long, env = "MEDITRUSTAL_ACCEPTED_RISKS", value_delimiter = ',', global = true,
          value_parser = PossibleValuesParser::new(RISKS))]
    accepted_risks: Vec<String>,
}

impl SafetyConfig {
    /// Warns of what is insecure.
    ///
    /// # Errors
    /// [`TooRisky`] where it must not be.
    pub(crate) fn judge(&self, risks: Vec<Risk>) -> Result<(), TooRisky> {
        for risk in self.environment.judge(risks, &self.accepted_risks)? {
            tracing::warn!("Not safe for real records: {risk}");
        }
        Ok(())
    }
}

/// How to log.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogConfig {
    /// What to log: a level, or `tracing`'s filter syntax
    #[arg(
        long = "log",
        env = "MEDITRUSTAL_LOG",
        default_value = "info",
        global = true
    )]
    pub(crate) filter: String,

    /// How to print it
    #[arg(
        long = "log-format",
        env = "MEDITRUSTAL_LOG_FORMAT",
        default_value = "text",
        global = true
    )]
    pub(crate) format: LogFormat,

    /// The file to append lines to instead of the standard error; opened again on SIGHUP
    #[arg(long = "log-file", env = "MEDITRUSTAL_LOG_FILE", global = true)]
    pub(crate) log_file: Option<PathBuf>,

    /// What collects traces by OTLP over HTTP, such as `http://127.0.0.1:4318`; without it there are none
    #[arg(
        long,
        env = "MEDITRUSTAL_OTLP_URL",
        value_parser = telemetry::collector_url,
        global = true
    )]
    pub(crate) otlp_url: Option<String>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}
