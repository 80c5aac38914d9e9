//! `meditrustal audit`: what an operator does about the trail.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufReader, BufWriter},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use chain::{Client, Deployment};
use clap::{Args, Subcommand};
use store::{
    Pool, PoolSettings, checkpoints,
    cursor::Registry,
    findings::{self, TrailTable},
    migrate,
};

use super::output::{Failure, say};
use crate::{
    audit::{
        check::{self, CheckedTrail},
        export, finding,
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
    /// removed, put in or moved, and opens a finding for each. With `--export` a file is checked instead, without a database
    Verify(VerifyTrail),
    /// Write the whole trail to a file that `audit verify --export` checks with nothing but a node
    Export(ExportTrail),
}

/// Settings of `audit export`.
#[derive(Debug, Args)]
pub(crate) struct ExportTrail {
    #[command(flatten)]
    database: TrailDatabase,

    /// Which registry the trail is pinned in
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    deployment_file: PathBuf,

    /// Where to write; it must not be there yet, and has its name when all of it is written
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Settings of `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyTrail {
    /// Where the database is, under the role meditrustal_api
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = database_url, required_unless_present = "export")]
    database_url: Option<String>,

    /// A file that `audit export` wrote, to be checked instead of a database; needs the deployment file and a node
    #[arg(long, value_name = "FILE", requires_all = ["deployment_file", "chain_rpc_url"])]
    export: Option<PathBuf>,

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
        open(&self.url).await
    }
}

async fn open(url: &str) -> Result<Pool, Failure> {
    let one = PoolSettings {
        min: 0,
        ..PoolSettings::default()
    };
    let pool = store::connect(url, "meditrustal audit", one)?;
    migrate::require_current(&pool).await?;
    Ok(pool)
}

impl AuditCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Checkpoint(database) => checkpoint(&database).await,
            Self::Verify(settings) => settings.run().await,
            Self::Export(settings) => settings.run().await,
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

impl ExportTrail {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let registry = registry_of(&Deployment::load(&self.deployment_file)?)?;
        if self.out.exists() {
            return Err(format!("{} is there already", self.out.display()).into());
        }
        let pool = self.database.open().await?;
        // Under its own name it is whole.
        let aside = self.out.with_added_extension("part");
        let mut options = File::options();
        // It says from where everybody came.
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = BufWriter::new(options.open(&aside)?);
        let rows = export::write(&pool, &registry, &mut file).await?;
        file.into_inner()?.sync_all()?;
        fs::rename(&aside, &self.out)?;
        say(&format!("{rows} rows in {}", self.out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Checks a file with nothing but a node.
async fn verify_file(file: &Path, client: &Client) -> Result<ExitCode, Failure> {
    let file = BufReader::new(File::open(file)?);
    let checked = export::check(client, file).await?;
    for fault in &checked.faults {
        say(&fault.said())?;
    }
    say(&format!(
        "{} rows in the file, of which the registry holds {}, {} faults",
        checked.rows,
        checked.pinned,
        checked.faults.len()
    ))?;
    Ok(if checked.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl VerifyTrail {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let deployment = self.deployment_file.as_deref().map(Deployment::load);
        let deployment = deployment.transpose()?;
        let registry = deployment.as_ref().map(registry_of).transpose()?;
        let client = match (&self.chain_rpc_url, &deployment) {
            (Some(url), Some(deployment)) => {
                let client = Client::new(url, NODE_TIMEOUT, deployment)?;
                client.check().await?;
                Some(client)
            }
            _ => None,
        };
        if let (Some(file), Some(client)) = (&self.export, &client) {
            return verify_file(file, client).await;
        }
        let Some(url) = &self.database_url else {
            return Err(
                "say where the database is (--database-url), or name a file (--export)".into(),
            );
        };
        let pool = open(url).await?;
        // Before the trail is read: it has at least as many rows by then.
        let held = match &client {
            Some(client) => Some(client.latest_checkpoint().await?),
            None => None,
        };
        let mut checked = check::all(&pool, registry.as_ref(), held).await?;
        let mut conn = pool.acquire().await?;
        let open = findings::open_about_trail(&mut conn).await?;
        drop(conn);
        if let Some(client) = &client {
            let of_checkpoints = open
                .iter()
                .filter(|(table, _)| *table == TrailTable::Checkpoints);
            let of_checkpoints = of_checkpoints.map(|(_, number)| *number).collect();
            check::ask_registry(client, &of_checkpoints, &mut checked).await?;
        }
        let right = right_again(&open, &checked);
        finding::settle(&pool, &checked.faults, &right).await?;
        for fault in &checked.faults {
            say(&fault.said())?;
        }
        let CheckedTrail {
            leaves,
            pinned,
            faults,
            more,
            ..
        } = &checked;
        if *more > 0 {
            say(&format!(
                "and {more} more, which are named when these are mended"
            ))?;
        }
        say(&format!(
            "{leaves} rows in the tree, {} checkpoints, {} faults",
            pinned.len(),
            faults.len() + more
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

/// Of what findings are open about, that which this run compared and found right. What only the registry can say is right
/// where it was asked.
fn right_again(open: &[(TrailTable, i64)], checked: &CheckedTrail) -> Vec<(TrailTable, i64)> {
    if checked.more > 0 {
        return Vec::new();
    }
    let wrong = checked
        .faults
        .iter()
        .map(|fault| (fault.table, fault.number));
    let wrong: BTreeSet<_> = wrong.collect();
    let was_compared = |&(table, number): &(TrailTable, i64)| {
        table != TrailTable::Checkpoints || checked.asked.contains(&number)
    };
    let right = open.iter().filter(|about| !wrong.contains(about));
    right.filter(|about| was_compared(about)).copied().collect()
}
