//! What the operator sets: the only place that reads the environment. `meditrustal-indexer --help`
//! prints all of it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chain::HeadSource;
use clap::{Parser, Subcommand, ValueEnum, builder::PossibleValuesParser};
use domain::environment::{self, Environment, RISKS, Risk, TooRisky};
use settings::ConfigCommand;

/// Follows the registry's events and reconciles them into PostgreSQL
#[derive(Debug, Parser)]
#[command(
    name = "meditrustal-indexer",
    version,
    about,
    after_help = "`meditrustal-indexer config check` and `config show` look at the settings, and start nothing. \
                  `meditrustal-indexer status` says how a running indexer does, and `replay` holds what it wrote against the \
                  chain once more."
)]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) files: CommonFiles,

    /// Where the database is, under the indexer's own role
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    pub(crate) database_url: String,

    /// Where the chain's node answers JSON-RPC
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true, value_parser = chain_url,
          required_unless_present = "chain_rpc_urls")]
    chain_rpc_url: Option<String>,

    /// More nodes of the same chain, comma separated: asked where the one before fails, and before
    /// anything is undone or called final. One that begins with wss:// or ws:// only announces new blocks
    #[arg(long, env = "CHAIN_RPC_URLS", hide_env_values = true, value_delimiter = ',', value_parser = listed_chain_url)]
    chain_rpc_urls: Vec<String>,

    /// What `contracts/script/Deploy.s.sol` wrote: chain, registry, code hash
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    pub(crate) deployment_file: PathBuf,

    /// Where /health/live and /health/ready answer
    #[arg(
        long,
        env = "MEDITRUSTAL_INDEXER_LISTEN",
        default_value = "127.0.0.1:8001"
    )]
    pub(crate) listen: SocketAddr,

    /// Where /metrics answers, such as 127.0.0.1:9109; without it nothing is told
    #[arg(long, env = "MEDITRUSTAL_METRICS_ADDRESS")]
    pub(crate) metrics_address: Option<SocketAddr>,

    /// How often the node is asked for new blocks, in milliseconds
    #[arg(long, env = "MEDITRUSTAL_POLL_MS", default_value = "500",
          value_parser = clap::value_parser!(u64).range(10..=600_000))]
    poll_ms: u64,

    /// How often a batch of records is compared with the chain, in milliseconds
    #[arg(long, env = "MEDITRUSTAL_SWEEP_MS", default_value = "2000",
          value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    sweep_ms: u64,

    /// Within how many seconds each record is compared again: the more records there are, the more are compared at
    /// once
    #[arg(long, env = "MEDITRUSTAL_SWEEP_ROUND", default_value = "86400",
          value_parser = clap::value_parser!(u64).range(1..=2_592_000))]
    sweep_round: u64,

    /// How old the chain's newest block may be before this process says that it is not ready, in seconds; 0
    /// for a chain that makes blocks only when there is something to put into them
    #[arg(long, env = "MEDITRUSTAL_HEAD_AGE", default_value = "120")]
    head_age: u32,

    /// How many blocks there are on top of a final one, at least, whatever the node says; where it says nothing, this alone
    /// decides
    #[arg(long, env = "MEDITRUSTAL_FINALITY_DEPTH", default_value = "64",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    finality_depth: u64,

    #[command(flatten)]
    pub(crate) safety: SafetyConfig,

    /// Accept, once, that the chain was undone below finality or that its logs do not follow: go
    /// back to this block and read on from there
    #[arg(long, value_name = "BLOCK")]
    pub(crate) accept_reorg_to: Option<u64>,

    /// What to log: a level, or `tracing`'s filter syntax
    #[arg(long, env = "MEDITRUSTAL_LOG", default_value = "info")]
    pub(crate) log: String,

    /// How to print it
    #[arg(long, env = "MEDITRUSTAL_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// The file to append lines to instead of the standard error; opened again on SIGHUP
    #[arg(long, env = "MEDITRUSTAL_LOG_FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// What collects traces by OTLP over HTTP, such as `http://127.0.0.1:4318`; without it there are none
    #[arg(long, env = "MEDITRUSTAL_OTLP_URL", hide_env_values = true, value_parser = telemetry::collector_url)]
    pub(crate) otlp_url: Option<String>,

    /// How long a statement may take before it is logged, by its name alone, in milliseconds
    #[arg(long, env = "MEDITRUSTAL_SLOW_STATEMENT_MS", default_value = "2000",
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    slow_statement_ms: u64,
}

/// Files that are read before anything else.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CommonFiles {
    /// A file of settings, in TOML, for what neither the command line nor the environment sets: `ops/meditrustal.toml` names
    /// them all
    #[arg(long, env = "MEDITRUSTAL_CONFIG", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Certificates of authorities that are trusted besides the system's where the node is reached by https, in PEM
    #[arg(
        long,
        env = "MEDITRUSTAL_ROOT_CERTIFICATES",
        value_name = "FILE",
        global = true
    )]
    pub(crate) root_certificates: Option<PathBuf>,
}

/// Whether real records are kept here.
#[derive(Debug, Clone, clap::Args)]
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

/// `meditrustal-indexer config`, `status` and `replay`: look, and follow nothing
#[derive(Debug, Parser)]
#[command(name = "meditrustal-indexer", version)]
pub(crate) struct Inspector {
    #[command(flatten)]
    pub(crate) files: CommonFiles,

    #[command(flatten)]
    pub(crate) safety: SafetyConfig,

    #[command(subcommand)]
    pub(crate) command: InspectorCommand,
}

/// What it can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum InspectorCommand {
    /// Check and show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show how far the registry was read, which process leads and the state of the nodes. Exits with 0 where all is well, with 1 where
    /// something is not as it should be or not known, with 2 where nothing is followed
    Status(StatusArguments),
    /// Read the chain again from the registry's first block, and compare what the indexer wrote. Exits with 0 where it is the
    /// same or was replaced, with 1 where it differs, with 2 where that could not be told
    Replay(ReplayArguments),
}

/// The commands of [`InspectorCommand`], by name.
pub(crate) const INSPECTIONS: [&str; 3] = ["config", "status", "replay"];

/// Settings of `meditrustal-indexer status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArguments {
    /// Where the indexer answers, such as <http://127.0.0.1:8001>; without it, where `MEDITRUSTAL_INDEXER_LISTEN` says
    #[arg(long = "url", env = "MEDITRUSTAL_INDEXER_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,

    /// Where /health/live and /health/ready answer
    #[arg(
        long,
        env = "MEDITRUSTAL_INDEXER_LISTEN",
        default_value = "127.0.0.1:8001"
    )]
    pub(crate) listen: SocketAddr,

    /// Where the database is, under the indexer's own role; without it nothing is said of leases and findings
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    pub(crate) database_url: Option<String>,

    /// What `contracts/script/Deploy.s.sol` wrote
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    pub(crate) deployment_file: Option<PathBuf>,

    /// Say it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Settings of `meditrustal-indexer replay`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["verify", "rebuild"]))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub(crate) struct ReplayArguments {
    /// Where the database is: under the indexer's own role to verify, under meditrustal_migrator to rebuild
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    pub(crate) database_url: String,

    /// Where a node that you trust answers JSON-RPC
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true, value_parser = chain_url)]
    pub(crate) chain_rpc_url: String,

    /// What `contracts/script/Deploy.s.sol` wrote
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    pub(crate) deployment_file: PathBuf,

    /// Say which rows differ, and change nothing
    #[arg(long)]
    pub(crate) verify: bool,

    /// Replace what differs, in one transaction. Stop every indexer before
    #[arg(long)]
    pub(crate) rebuild: bool,

    /// With --rebuild: say what would be replaced, and change nothing
    #[arg(long, requires = "rebuild")]
    pub(crate) dry_run: bool,

    /// Say it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// The address of a database. What is wrong with it is said without showing it.
fn database_url(text: &str) -> Result<String, store::InvalidDatabaseUrl> {
    store::check_url(text).map(|()| text.to_owned())
}

/// The address of a chain's node.
fn chain_url(text: &str) -> Result<String, chain::InvalidUrl> {
    chain::check_url(text).map(|()| text.to_owned())
}

/// The address of one of several nodes, or of one that tells of new blocks.
fn listed_chain_url(text: &str) -> Result<String, chain::InvalidUrl> {
    chain::check_listed_url(text).map(|()| text.to_owned())
}

impl Config {
    /// What of these settings is insecure.
    pub(crate) fn risks(&self) -> Vec<Risk> {
        let others = [
            environment::empty_password(&self.database_url),
            store::inspect::plain_line_to(&self.database_url),
            self.otlp_url
                .as_deref()
                .and_then(environment::plain_collector),
            self.metrics_address.and_then(environment::open_metrics),
        ];
        let listed = self.chain_rpc_urls.iter().map(String::as_str);
        let mut named = self.chain_rpc_url.as_deref().into_iter().chain(listed);
        let plain = named.find_map(environment::plain_node);
        plain
            .into_iter()
            .chain(others.into_iter().flatten())
            .collect()
    }

    /// The addresses of the nodes, in the order in which they are asked.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &str> {
        let first = self.chain_rpc_url.as_deref();
        let more = self.chain_rpc_urls.iter().map(String::as_str);
        let more = more.filter(move |url| Some(*url) != first && !chain::is_head_source(url));
        first.into_iter().chain(more)
    }

    /// The nodes that tell of new blocks.
    pub(crate) fn head_sources(&self) -> Vec<HeadSource> {
        let listed = self.chain_rpc_urls.iter();
        listed.filter_map(|url| HeadSource::new(url).ok()).collect()
    }

    /// How many blocks there are on top of a final one, at least.
    pub(crate) const fn finality_depth(&self) -> u64 {
        self.finality_depth
    }

    /// How old the newest block may be; `None` for any age.
    pub(crate) fn head_age(&self) -> Option<Duration> {
        (self.head_age > 0).then(|| Duration::from_secs(self.head_age.into()))
    }

    /// How long a statement may take before it is logged.
    pub(crate) const fn slow_statement(&self) -> Duration {
        Duration::from_millis(self.slow_statement_ms)
    }

    /// How often the node is asked for new blocks.
    pub(crate) const fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    /// How often a batch of records is compared with the chain.
    pub(crate) const fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }

    /// How long a round over all that is compared takes at most.
    pub(crate) const fn sweep_round(&self) -> Duration {
        Duration::from_secs(self.sweep_round)
    }
}
