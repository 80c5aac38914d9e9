//! `meditrustal audit`: what an operator does about the trail.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, ErrorKind},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use chain::{ChainAddress, Client, Deployment};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use domain::clock::is_storable;
use serde_json::{Value, json};
use store::{Pool, PoolSettings, checkpoints, findings, migrate, trail as tree_of};
use trail::purge::MetPurge;

use super::output::{Failure, ResultForm, fail, say};
use crate::{
    audit::{
        check::{
            self, CheckedTrail, Fault,
            promises::{self, ComparedPromises, Promise},
        },
        events::{self, Period},
        export, finding,
        purged::{self, Pinners},
    },
    config::{MoreNodes, chain_url, database_url},
    dependencies::registry_of,
};

/// How long the node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be done about the audit trail.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Ask an api that has the checkpoint key to pin the trail in the registry at once
    Checkpoint(AskForCheckpoint),
    /// Compare every row with its leaf, the tree with both, and the tree with what was pinned; names what was changed,
    /// removed, put in or moved, and opens a finding for each. Exits with 1 where something does not fit, with 2
    /// where it could not be compared, also who signed what retention removed. With `--export` a file is checked instead, without a database
    Verify(VerifyTrail),
    /// Write the whole trail to a file that `audit verify --export` checks with nothing but a node; or, with `--fhir`, as FHIR
    /// `AuditEvent`s
    Export(ExportTrail),
}

/// Settings of `audit checkpoint`.
#[derive(Debug, Args)]
pub(crate) struct AskForCheckpoint {
    #[command(flatten)]
    database: TrailDatabase,

    /// Ask for nothing; say how many rows would be pinned
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

/// Settings of `audit export`.
#[derive(Debug, Args)]
pub(crate) struct ExportTrail {
    #[command(flatten)]
    database: TrailDatabase,

    /// Which registry the trail is pinned in
    #[arg(
        long,
        env = "MEDITRUSTAL_DEPLOYMENT_FILE",
        required_unless_present = "fhir"
    )]
    deployment_file: Option<PathBuf>,

    /// Write FHIR R4 events (`AuditEvent`) instead, one in a line, for programs of others; such a file proves nothing
    #[arg(long)]
    fhir: bool,

    /// With --fhir: only what happened at this time or later, such as 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time, requires = "fhir")]
    from: Option<DateTime<Utc>>,

    /// With --fhir: only what happened before this time
    #[arg(long, value_name = "TIME", value_parser = time, requires = "fhir")]
    to: Option<DateTime<Utc>>,

    /// Where to write; it must not exist. It is FILE.part until it is complete
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    form: ResultForm,
}

/// A time that the database can hold.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let at = text.parse().ok().filter(|at| is_storable(*at));
    at.ok_or_else(|| "a time is written as 2026-01-31T08:15:00Z".to_owned())
}

/// Settings of `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyTrail {
    /// Where the database is, under the role meditrustal_api
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = database_url, required_unless_present = "export")]
    database_url: Option<String>,

    /// A file that `audit export` wrote, to be checked instead of a database; needs the deployment file and a node
    #[arg(long, value_name = "FILE", requires = "deployment_file")]
    export: Option<PathBuf>,

    /// A file of promises, one in a line: `{"id": …, "leafHash": …}`, or a whole answer whose `extensions` hold some. Each is compared
    /// with the rows and the tree
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    promises: Option<PathBuf>,

    /// Which registry the trail is pinned in; without it the rows are compared with the tree alone
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    deployment_file: Option<PathBuf>,

    /// Where a node answers, to ask the registry itself; without it, checkpoints are compared with what the database says of them
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true, value_parser = chain_url, requires = "deployment_file")]
    chain_rpc_url: Option<String>,

    #[command(flatten)]
    more_nodes: MoreNodes,

    /// Accounts that pinned checkpoints before and may not any more, comma separated: what they signed as removed by retention
    /// counts, also without a node
    #[arg(long, value_name = "ACCOUNTS", value_delimiter = ',')]
    earlier_checkpointers: Vec<ChainAddress>,

    /// Open no finding for what does not fit, and close none; only say it
    #[arg(long, conflicts_with = "export")]
    dry_run: bool,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// How `audit verify` ends where it could not compare everything: 1 says that something does not fit.
const COULD_NOT_FINISH: u8 = 2;

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
            Self::Checkpoint(settings) => checkpoint(&settings).await,
            Self::Verify(settings) => Ok(settings.run().await.unwrap_or_else(|error| {
                fail(error.as_ref());
                ExitCode::from(COULD_NOT_FINISH)
            })),
            Self::Export(settings) => settings.run().await,
        }
    }
}

async fn checkpoint(settings: &AskForCheckpoint) -> Result<ExitCode, Failure> {
    let pool = settings.database.open().await?;
    let mut conn = pool.acquire().await?;
    if settings.dry_run {
        let size = tree_of::size(&mut conn).await?;
        settings.form.say(
            &format!("{size} rows or more would be pinned; nothing was asked for"),
            &json!({ "dryRun": true, "wouldAskFor": size }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let size = checkpoints::want(&mut conn).await?;
    settings.form.say(
        &format!(
            "asked for: {size} rows or more are pinned within seconds, where the trail has grown since the last checkpoint"
        ),
        &json!({ "askedFor": size }),
    )?;
    Ok(ExitCode::SUCCESS)
}

impl ExportTrail {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let deployment = self.deployment_file.as_deref().filter(|_| !self.fhir);
        let deployment = deployment.map(Deployment::load).transpose()?;
        let registry = deployment.as_ref().map(registry_of).transpose()?;
        if self.out.exists() {
            return Err(format!("{} is there already", self.out.display()).into());
        }
        let pool = self.database.open().await?;
        // Under its own name it is whole.
        let aside = self.out.with_added_extension("part");
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut options = File::options();
        // It says from where everybody came: nobody else has made it.
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = BufWriter::new(options.open(&aside)?);
        let out = self.out.display();
        let (words, told) = if let Some(registry) = registry {
            let rows = export::write(&pool, &registry, &mut file).await?;
            let told = json!({ "file": out.to_string(), "rows": rows });
            (format!("{rows} rows in {out}"), told)
        } else {
            let (from, to) = (self.from, self.to);
            let events = events::write(&pool, Period { from, to }, &mut file).await?;
            let told = json!({ "file": out.to_string(), "events": events });
            (format!("{events} events in {out}"), told)
        };
        file.into_inner()?.sync_all()?;
        fs::rename(&aside, &self.out)?;
        self.form.say(&words, &told)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl VerifyTrail {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let promises = self.promises.as_deref().map(promises_of).transpose()?;
        let deployment = self.deployment_file.as_deref().map(Deployment::load);
        let deployment = deployment.transpose()?;
        let registry = deployment.as_ref().map(registry_of).transpose()?;
        let first = self.chain_rpc_url.as_deref();
        let client = match &deployment {
            Some(deployment) => self.more_nodes.client(first, NODE_TIMEOUT, deployment)?,
            None => None,
        };
        if let Some(client) = &client {
            client.check().await?;
        }
        if let Some(file) = &self.export {
            let client = client.as_ref();
            let client =
                client.ok_or("a file is checked with a node: name one (--chain-rpc-url)")?;
            return self.verify_file(file, client).await;
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
        let mut conn = pool.acquire().await?;
        let open = findings::open_about_trail(&mut conn).await?;
        drop(conn);
        let mut checked = check::all(&pool, registry.as_ref(), held, &open).await?;
        if let Some(client) = &client {
            check::ask_registry(client, &open, &mut checked).await?;
        }
        let may_pin = Pinners::new(
            deployment.as_ref(),
            client.as_ref(),
            &self.earlier_checkpointers,
        );
        purged::ask_who_signed(may_pin, &mut checked).await?;
        let compared = match &promises {
            Some(promises) => {
                let mut tx = pool.snapshot().await?;
                let compared = promises::compare(&mut tx, promises, &mut checked).await?;
                tx.commit().await?;
                Some(KeptPromises {
                    all: promises.len(),
                    kept: checked.kept.len(),
                    compared,
                })
            }
            None => None,
        };
        let right = open.iter().filter(|about| checked.is_right(about));
        let right: Vec<_> = right.map(|about| (about.table, about.number)).collect();
        if !self.dry_run {
            finding::settle(&pool, &checked.faults, &right).await?;
        }
        if self.json {
            say(&as_json(&checked, compared.as_ref()).to_string())?;
        } else {
            tell(&checked, compared.as_ref())?;
        }
        Ok(exit_code(&checked))
    }

    /// Checks a file with nothing but a node.
    async fn verify_file(&self, file: &Path, client: &Client) -> Result<ExitCode, Failure> {
        let file = BufReader::new(File::open(file)?);
        let checked = export::check(client, &self.earlier_checkpointers, file).await?;
        if self.json {
            let faults = checked.faults.iter().map(export::FileFault::said);
            let told = json!({
                "rows": checked.rows, "pinned": checked.pinned, "held": checked.held, "purged": checked.purged,
                "faults": faults.collect::<Vec<_>>(),
            });
            say(&told.to_string())?;
        } else {
            for fault in &checked.faults {
                say(&fault.said())?;
            }
            say(&format!(
                "{} rows in the file, of which the registry holds {}; by now it holds {}; {} were kept long enough and removed; {} faults",
                checked.rows,
                checked.pinned,
                checked.held,
                checked.purged,
                checked.faults.len()
            ))?;
        }
        Ok(if checked.faults.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// What promises came to.
struct KeptPromises {
    all: usize,
    kept: usize,
    compared: ComparedPromises,
}

impl KeptPromises {
    fn said(&self) -> String {
        let (all, kept) = (self.all, self.kept);
        let ComparedPromises { waiting, purged } = self.compared;
        let purged = match purged {
            0 => String::new(),
            purged => format!(", {purged} were kept long enough and removed"),
        };
        format!(
            "{all} promises: {kept} rows are in the tree, {waiting} wait for their place{purged}"
        )
    }
}

fn promises_of(file: &Path) -> Result<Vec<Promise>, Failure> {
    let text = fs::read_to_string(file)?;
    let read = promises::of_lines(&text);
    read.map_err(|line| format!("{}: line {line} is no promise", file.display()).into())
}

/// What a check came to, for a program.
fn as_json(checked: &CheckedTrail, compared: Option<&KeptPromises>) -> Value {
    let faults = checked.faults.iter().map(Fault::details);
    let promises = compared.map(|it| {
        let ComparedPromises { waiting, purged } = it.compared;
        json!({ "all": it.all, "inTree": it.kept, "waiting": waiting, "purged": purged })
    });
    json!({
        "rows": checked.leaves,
        "checkpoints": checked.pinned.len(),
        "faults": faults.collect::<Vec<_>>(),
        "moreFaults": checked.more,
        "removedByRetention": rows_of(&checked.purges),
        "removedUnsigned": rows_of(&checked.unproven),
        "purgesWithoutPlace": checked.unordered.len(),
        "promises": promises,
    })
}

/// How the command ends.
fn exit_code(checked: &CheckedTrail) -> ExitCode {
    if !checked.faults.is_empty() {
        ExitCode::FAILURE
    } else if rows_of(&checked.unproven) > 0 {
        ExitCode::from(COULD_NOT_FINISH)
    } else {
        ExitCode::SUCCESS
    }
}

/// Says what a check came to.
fn tell(checked: &CheckedTrail, promised: Option<&KeptPromises>) -> Result<(), Failure> {
    if let Some(promised) = promised {
        say(&promised.said())?;
    }
    let CheckedTrail {
        leaves,
        pinned,
        faults,
        more,
        purges,
        unproven,
        unordered,
        ..
    } = checked;
    for fault in faults {
        say(&fault.said())?;
    }
    let removed = rows_of(purges);
    if removed > 0 {
        say(&format!(
            "{removed} rows were removed by retention, as the trail says"
        ))?;
    }
    let unsigned = rows_of(unproven);
    if unsigned > 0 {
        say(&format!(
            "{unsigned} rows were removed by retention, as the trail says; who signed that is not known without a node (--chain-rpc-url)"
        ))?;
    }
    if !unordered.is_empty() {
        say(&format!(
            "what {} purges removed is said by rows that have no place in the tree yet",
            unordered.len()
        ))?;
    }
    if *more > 0 {
        say(&format!(
            "and {more} more, which are named when these are mended"
        ))?;
    }
    say(&format!(
        "{leaves} rows in the tree, {} checkpoints, {} faults",
        pinned.len(),
        faults.len() + more
    ))
}

/// How many rows these purges removed.
fn rows_of(purges: &[MetPurge]) -> u64 {
    let ranges = purges.iter().flat_map(|purge| &purge.ranges);
    ranges.map(|(from, before)| before - from).sum()
}
