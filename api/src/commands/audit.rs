//! `meditrustal audit`: what an operator does about the trail.

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode, time::Duration};

use chain::{Client, Deployment};
use clap::{Args, Subcommand};
use store::{Pool, PoolSettings, checkpoints, cursor::Registry, findings, migrate};

use super::output::{Failure, say};
use crate::{
    audit::{
        check::{self, Checked},
        finding,
    },
    config::{chain_url, database_url},
};

/// How long the node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be done about the audit trail.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Have what the trail is now pinned in the registry at once, by an api that has the key of checkpoints
    Checkpoint(TrailDatabase),
    /// Compare every row with its leaf, the tree with both, and the tree with what was pinned; names what was changed,
    /// removed, put in or moved, and opens a finding for each
    Verify(VerifyTrail),
}

/// Settings of `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyTrail {
    #[command(flatten)]
    database: TrailDatabase,

    /// Which registry the trail is pinned in; without it the rows are compared with the tree alone
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    deployment_file: Option<PathBuf>,

    /// Where a node answers, to ask the registry itself
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true, value_parser = chain_url, requires = "deployment_file")]
    chain_rpc_url: Option<String>,
}

/// Where the trail is.
#[derive(Debug, Args)]
pub(crate) struct TrailDatabase {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,
}

impl TrailDatabase {
    async fn open(&self) -> Result<Pool, Failure> {
        let one = PoolSettings {
            min: 0,
            ..PoolSettings::default()
        };
        let pool = store::connect(&self.url, "meditrustal audit", one)?;
        migrate::require_current(&pool).await?;
        Ok(pool)
    }
}

impl AuditCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Checkpoint(database) => checkpoint(&database).await,
            Self::Verify(settings) => settings.run().await,
        }
    }
}

async fn checkpoint(database: &TrailDatabase) -> Result<ExitCode, Failure> {
    let pool = database.open().await?;
    let mut conn = pool.acquire().await?;
    let size = checkpoints::want(&mut conn).await?;
    say(&format!(
        "asked for: {size} rows or more are pinned within seconds, where the trail has grown since the last checkpoint"
    ))?;
    Ok(ExitCode::SUCCESS)
}

impl VerifyTrail {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let deployment = self.deployment_file.as_deref().map(Deployment::load);
        let deployment = deployment.transpose()?;
        let registry = deployment.as_ref().map(registry_of).transpose()?;
        let pool = self.database.open().await?;
        let mut checked = check::all(&pool, registry.as_ref()).await?;
        if let (Some(url), Some(deployment)) = (&self.chain_rpc_url, &deployment) {
            let client = Client::new(url, NODE_TIMEOUT, deployment)?;
            client.check().await?;
            check::ask_registry(&client, &mut checked).await?;
        }
        settle(&pool, &checked).await?;
        for fault in &checked.faults {
            say(&fault.said())?;
        }
        let Checked {
            leaves,
            pinned,
            faults,
            ..
        } = &checked;
        say(&format!(
            "{leaves} rows in the tree, {} checkpoints, {} faults",
            pinned.len(),
            faults.len()
        ))?;
        Ok(if faults.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn registry_of(deployment: &Deployment) -> Result<Registry, Failure> {
    Ok(Registry {
        chain_id: i64::try_from(deployment.chain_id)?,
        address: deployment.registry.to_string(),
    })
}

/// Opens a finding for each fault, and closes those about what is right again.
async fn settle(pool: &Pool, checked: &Checked) -> Result<(), Failure> {
    let mut conn = pool.acquire().await?;
    let open = findings::open_about_trail(&mut conn).await?;
    drop(conn);
    let wrong: BTreeSet<_> = checked
        .faults
        .iter()
        .map(|fault| (fault.table, fault.number))
        .collect();
    let right: Vec<_> = open
        .into_iter()
        .filter(|about| !wrong.contains(about))
        .collect();
    Ok(finding::settle(pool, &checked.faults, &right).await?)
}
