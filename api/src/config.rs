//! What the operator sets: the only place that reads the environment. `meditrustal serve --help`
//! prints all of it. What belongs together is a part of it.

mod common;
mod database;
mod intervals;
mod keys;
mod limits;
mod registry;
mod values;

use std::{iter, net::SocketAddr, path::PathBuf, time::Duration};

use axum::http::HeaderValue;
use clap::Args;
use domain::{
    countries::Country,
    environment::{self, Risk, is_here},
    second_factor::Occasion,
};
use ipnet::IpNet;
use store::PoolSettings;

pub(crate) use self::{
    common::{CommonFiles, LogConfig, LogFormat, SafetyConfig},
    intervals::KeepConfig,
    keys::Pkcs11Config,
    registry::{MoreNodes, NodesConfig},
    values::{chain_url, database_url, gibibytes, password},
};
use self::{
    database::DatabaseConfig,
    intervals::{CheckpointConfig, DeletionConfig, HousekeepingConfig, RetentionConfig},
    keys::TlsConfig,
    limits::{ConnectionConfig, ShareConfig, ThrottleConfig},
    registry::RegistrarConfig,
    values::origin,
};
use crate::{
    documents::{DocumentChecks, Documents, DocumentsError},
    proxies::{self, Proxies, ProxyHeader},
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
        let replica = self.database.replica_url.as_deref();
        risks.extend(replica.and_then(environment::empty_password));
        let mut databases = iter::once(self.database.url.as_str()).chain(replica);
        risks.extend(databases.find_map(store::inspect::plain_line_to));
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

    /// The documents, each held against its hash and these checks.
    ///
    /// # Errors
    /// [`DocumentsError`].
    pub(crate) fn load(&self, checks: DocumentChecks<'_>) -> Result<Documents, DocumentsError> {
        Documents::load(self.trusted_documents.as_deref(), self.only_trusted, checks)
    }
}
