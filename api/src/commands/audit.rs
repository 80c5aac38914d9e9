//! `meditrustal audit`: what an operator does about the trail.

use clap::{Args, Subcommand};
use store::{PoolSettings, checkpoints, migrate};

use super::output::{Failure, say};
use crate::config::database_url;

/// What can be done about the audit trail.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Have what the trail is now pinned in the registry at once, by an api that has the key of checkpoints
    Checkpoint(TrailDatabase),
}

/// Where the trail is.
#[derive(Debug, Args)]
pub(crate) struct TrailDatabase {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,
}

impl AuditCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Checkpoint(database) => checkpoint(&database).await,
        }
    }
}

async fn checkpoint(database: &TrailDatabase) -> Result<(), Failure> {
    let one = PoolSettings {
        min: 0,
        ..PoolSettings::default()
    };
    let pool = store::connect(&database.url, "meditrustal audit", one)?;
    migrate::require_current(&pool).await?;
    let mut conn = pool.acquire().await?;
    let size = checkpoints::want(&mut conn).await?;
    say(&format!(
        "asked for: {size} rows or more are pinned within seconds, where the trail has grown since the last checkpoint"
    ))
}
