//! What the operator sets: the only place that reads the environment. `meditrustal serve --help`
//! prints all of it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use axum::http::HeaderValue;
use clap::Args;
use store::PoolSettings;

/// Settings of `meditrustal serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeConfig {
    #[command(flatten)]
    pub(crate) database: DatabaseConfig,

    /// Where the chain's node answers JSON-RPC
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true)]
    pub(crate) chain_rpc_url: String,

    /// What `contracts/script/Deploy.s.sol` wrote: chain, registry, code hash
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    pub(crate) deployment_file: PathBuf,

    /// The account that anchors records: a secp256k1 key in hexadecimal digits, readable by us alone
    #[arg(long, env = "MEDITRUSTAL_REGISTRAR_KEY_FILE")]
    pub(crate) registrar_key_file: PathBuf,

    /// The master keys that wrap patients' keys
    #[arg(long, env = "MEDITRUSTAL_MASTER_KEYS_FILE")]
    pub(crate) master_keys_file: PathBuf,

    /// The Ed25519 key that signs access tokens, in PKCS#8 PEM
    #[arg(long, env = "MEDITRUSTAL_TOKEN_KEY_FILE")]
    pub(crate) token_key_file: PathBuf,

    /// Where to listen
    #[arg(long, env = "MEDITRUSTAL_LISTEN", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,

    /// The built GraphiQL to serve at /playground; without it there is none
    #[arg(long, env = "MEDITRUSTAL_PLAYGROUND_DIR")]
    pub(crate) playground_dir: Option<PathBuf>,

    /// Origins of browser frontends, comma separated, such as <https://app.example.org>
    #[arg(long, env = "MEDITRUSTAL_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub(crate) allowed_origins: Vec<HeaderValue>,

    /// Answer introspection queries, and explain validation errors in detail
    #[arg(long, env = "MEDITRUSTAL_INTROSPECTION")]
    pub(crate) introspection: bool,

    /// How long one request may take, in seconds
    #[arg(long, env = "MEDITRUSTAL_REQUEST_TIMEOUT", default_value = "10")]
    request_timeout_seconds: u64,
}

impl ServeConfig {
    /// How long one request may take.
    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds)
    }
}

/// Where the database is, and how many connections to keep. The defaults are the specification's.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseConfig {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) url: String,

    /// Connections kept open even when idle
    #[arg(long, env = "MEDITRUSTAL_POOL_MIN_SIZE", default_value = "5")]
    pool_min_size: u32,

    /// Connections kept after a burst
    #[arg(long, env = "MEDITRUSTAL_POOL_MAX_SIZE", default_value = "20")]
    pool_max_size: u32,

    /// Connections opened beyond that under load
    #[arg(long, env = "MEDITRUSTAL_POOL_MAX_OVERFLOW", default_value = "10")]
    pool_max_overflow: u32,

    /// How long a request waits for a connection, in seconds
    #[arg(long, env = "MEDITRUSTAL_POOL_TIMEOUT", default_value = "30")]
    pool_timeout: u64,

    /// How old a connection may grow, in seconds
    #[arg(long, env = "MEDITRUSTAL_POOL_RECYCLE", default_value = "1800")]
    pool_recycle: u64,
}

impl DatabaseConfig {
    /// The pool these settings ask for.
    pub(crate) fn pool(&self) -> PoolSettings {
        PoolSettings {
            min: self.pool_min_size,
            steady: self.pool_max_size,
            overflow: self.pool_max_overflow,
            timeout: Duration::from_secs(self.pool_timeout),
            recycle: Duration::from_secs(self.pool_recycle),
            ..PoolSettings::default()
        }
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
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}
