//! `meditrustal erasures`: the ledger of what was erased.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Subcommand};
use domain::countries::Country;
use serde_json::json;
use store::{Pool, PoolSettings, migrate};
use tokio::task::JoinSet;

use super::{
    output::{Failure, ResultForm, note, say},
    seal::MasterKeys,
};
use crate::{
    config::database_url,
    erasure_ledger::{
        file::LedgerFile,
        replay::{self, Replayed},
    },
    seals::Seals,
};

/// What can be done about the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum ErasuresCommand {
    /// Erase again, after the restore of an older backup, what the ledger says was erased. Exits with 1 where an entry cannot be
    /// carried out
    Replay(ReplayLedger),
    /// Bring a ledger up to date with the database, or write a new one
    Write(WriteLedger),
}

/// Settings of `erasures replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayLedger {
    /// Where the database is, under the role meditrustal_migrator
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    #[command(flatten)]
    keys: MasterKeys,

    /// The file that the api wrote
    #[arg(long, env = "MEDITRUSTAL_ERASURE_LEDGER", value_name = "FILE")]
    ledger: PathBuf,

    /// Refuse a ledger without an entry that has this hash, such as the one that the last certificate names: it was cut off
    #[arg(long, value_name = "HASH", required_unless_present = "without_head")]
    head: Option<String>,

    /// Go by a ledger of which nobody knows whether it was cut off
    #[arg(long, conflicts_with = "head")]
    without_head: bool,

    /// The country where data is at home, as the api has it
    #[arg(long, env = "MEDITRUSTAL_HOME_COUNTRY", default_value = "ID")]
    home_country: Country,

    /// Change nothing; say what would be erased
    #[arg(long)]
    dry_run: bool,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `erasures write`.
#[derive(Debug, Args)]
pub(crate) struct WriteLedger {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    #[command(flatten)]
    keys: MasterKeys,

    /// The file; its beginning must be what the database has
    #[arg(long, env = "MEDITRUSTAL_ERASURE_LEDGER", value_name = "FILE")]
    ledger: PathBuf,

    /// Write nothing; say how many entries would be
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

async fn open(url: &str) -> Result<Pool, Failure> {
    let one = PoolSettings {
        min: 0,
        ..PoolSettings::default()
    };
    let pool = store::connect(url, "meditrustal erasures", one)?;
    migrate::require_current(&pool).await?;
    Ok(pool)
}

impl ErasuresCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Replay(settings) => settings.run().await,
            Self::Write(settings) => settings.run().await,
        }
    }
}

impl ReplayLedger {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let pool = open(&self.url).await?;
        let keyring = Arc::new(self.keys.open_for(&pool, self.dry_run).await?);
        let mut tasks = JoinSet::new();
        let seals = Seals::start(keyring, pool.clone(), self.home_country, &mut tasks);
        if self.without_head {
            note(
                "Nobody knows whether this ledger was cut off: compare its last entry with a certificate or the audit trail",
            );
        }
        let head = self.head.as_deref();
        let done = replay::replay(&pool, &seals, &self.ledger, head, self.dry_run).await?;
        if self.json {
            say(&serde_json::to_string(&done)?)?;
        } else {
            say(&told(&done))?;
        }
        Ok(if done.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn told(done: &Replayed) -> String {
    let did = if done.dry_run {
        "would be erased again"
    } else {
        "erased again"
    };
    let failed = done.failed.iter().map(|it| {
        let (line, error) = (it.line, &it.error);
        format!("\nline {line} cannot be carried out: {error}")
    });
    let failed: String = failed.collect();
    format!(
        "{} records, {} keys, {} accounts: {did}; {} records were created since, and stay; {} entries in the ledger, {} of which \
         the database did not know; the last one is {}{failed}",
        done.records,
        done.keys,
        done.accounts,
        done.newer_records,
        done.entries,
        done.unknown_entries,
        done.head
    )
}

impl WriteLedger {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let pool = open(&self.url).await?;
        if self.dry_run {
            return self.try_out(&pool).await;
        }
        let keyring = self.keys.open(&pool).await?;
        let end = LedgerFile::new(&self.ledger)
            .follow(&pool, &keyring)
            .await?;
        self.form.say(
            &format!(
                "{} entries in {}; the last one is {}",
                end.position,
                self.ledger.display(),
                end.hash
            ),
            &json!({ "entries": end.position, "file": self.ledger.display().to_string(), "head": end.hash }),
        )?;
        Ok(ExitCode::SUCCESS)
    }

    /// Says what would be written.
    async fn try_out(&self, pool: &Pool) -> Result<ExitCode, Failure> {
        let keyring = self.keys.open_to_try(pool).await?;
        let ledger = LedgerFile::new(&self.ledger);
        let (there, missing) = ledger.missing(pool, &keyring).await?;
        let file = self.ledger.display().to_string();
        self.form.say(
            &format!(
                "{missing} entries would be appended to the {} of {file}; nothing was written",
                there.position
            ),
            &json!({ "dryRun": true, "entries": there.position, "wouldBeAppended": missing, "file": file }),
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
