//! Where the database is.

use std::time::Duration;

use clap::Args;
use store::{PoolSettings, reads::Reads};

use super::values::{at_most, database_url};

/// How long a read waits for a connection to the replica: the primary can be read instead.
const REPLICA_CONNECTS_WITHIN: Duration = Duration::from_millis(250);

/// Where the database is, and how many connections to keep. The defaults are the specification's.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseConfig {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    pub(crate) url: String,

    /// Where a streaming replica of the same server is, under the same role: lists and documents are read from it as soon
    /// as it has what the primary's decision saw; without it, or where it cannot be used, from the primary
    #[arg(long = "database-replica-url", env = "DATABASE_REPLICA_URL", hide_env_values = true, value_parser = database_url)]
    pub(crate) replica_url: Option<String>,

    /// How long a read waits for what the replica has not replayed before the primary is read instead, in milliseconds
    #[arg(long, env = "MEDITRUSTAL_REPLICA_WAIT", default_value = "20",
          value_parser = clap::value_parser!(u64).range(0..=50))]
    replica_wait: u64,

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
    pub(super) fn contradictions(&self) -> Vec<String> {
        at_most([(
            ("MEDITRUSTAL_POOL_MIN_SIZE", self.pool_min_size),
            ("MEDITRUSTAL_POOL_MAX_SIZE", self.pool_max_size),
        )])
    }

    /// Where what was allowed is read.
    ///
    /// # Errors
    /// [`store::StoreError`] where the replica's address is none.
    pub(crate) fn reads(&self, settings: PoolSettings) -> Result<Reads, store::StoreError> {
        let Some(url) = &self.replica_url else {
            return Ok(Reads::of_primary());
        };
        let settings = PoolSettings {
            timeout: REPLICA_CONNECTS_WITHIN,
            ..settings
        };
        let pool = store::connect(url, "meditrustal api", settings)?;
        let wait = Duration::from_millis(self.replica_wait);
        Ok(Reads::of_replica(pool, wait))
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
