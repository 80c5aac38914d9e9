//! `meditrustal records derive`: reads off every document again what its record is found by, for what earlier programs read less of.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use domain::{audit::Origin, ids::RequestId};
use serde_json::json;
use store::{Pool, PoolSettings, records::derived};
use uuid::Uuid;
use vault::{blind_index::IndexKey, keyring::Keyring};

use super::{
    output::{Failure, ResultForm, note},
    seal::MasterKeys,
};
use crate::{
    config::database_url,
    records::{
        derive::{DeriveReport, Deriving},
        index_key::{check_index_key, compare_index_key},
    },
};

/// How often it says how far it is.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// What can be done about stored records.
#[derive(Debug, Subcommand)]
pub(crate) enum RecordsCommand {
    /// Read off every document again what its record is found by (dates, states, codes, what is missing), after an upgrade that reads more,
    /// or otherwise; may be stopped and run again. Exits with 1 where a record does not open, or was being changed
    Derive(DeriveRecords),
}

/// Settings of `records derive`.
#[derive(Debug, Args)]
pub(crate) struct DeriveRecords {
    /// Where the database is, under the role meditrustal_migrator, which owns the tables
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    #[command(flatten)]
    keys: MasterKeys,

    /// The key by which records are found by their codes
    #[arg(long, env = "MEDITRUSTAL_INDEX_KEY_FILE")]
    index_key_file: PathBuf,

    /// Go on behind this record, as an earlier run said that it had come to
    #[arg(long, value_name = "RECORD")]
    after: Option<Uuid>,

    /// How many records a second, at most
    #[arg(long, default_value = "500", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_second: u32,

    /// Change nothing; say what would be written
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl RecordsCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Derive(settings) => settings.run().await,
        }
    }
}

impl DeriveRecords {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let (pool, keyring, index_key) = self.open().await?;
        let deriving = Deriving {
            pool: &pool,
            keyring: &keyring,
            index_key: &index_key,
            is_dry: self.dry_run,
        };
        let origin = Origin::job(RequestId::fresh());
        let began = Instant::now();
        let (mut shown, mut report) = (began, DeriveReport::default());
        let mut after = self.after.unwrap_or(Uuid::nil());
        loop {
            let step = Instant::now();
            let derived = deriving.step(after, self.per_second, &origin).await;
            // What was written before stays, and another run goes on from there.
            let derived = derived.inspect_err(|_| note(&self.progress(&report, after)))?;
            let Some((last, of_step)) = derived else {
                break;
            };
            after = last.0;
            report.add(&of_step);
            if shown.elapsed() >= SHOW_EVERY {
                shown = Instant::now();
                note(&self.progress(&report, after));
            }
            let looked_at = u32::try_from(of_step.checked).unwrap_or(u32::MAX);
            let due = Duration::from_secs(1) * looked_at / self.per_second;
            tokio::time::sleep(due.saturating_sub(step.elapsed())).await;
        }
        self.tell(&report, after, began.elapsed())
    }

    async fn open(&self) -> Result<(Pool, Keyring, IndexKey), Failure> {
        let one = PoolSettings {
            min: 0,
            ..PoolSettings::default()
        };
        let pool = store::connect(&self.url, "meditrustal records", one)?;
        let keyring = self.keys.open_for(&pool, self.dry_run).await?;
        let index_key = IndexKey::load(&self.index_key_file)?;
        // With another key nobody would find anything by its codes any more.
        if self.dry_run {
            compare_index_key(&pool, &keyring, &index_key).await?;
        } else {
            check_index_key(&pool, &keyring, &index_key).await?;
        }
        let may = derived::may_rewrite(&mut *pool.acquire().await?).await?;
        if !may {
            return Err("DATABASE_URL: only the role that owns the tables can write what records are found by: meditrustal_migrator".into());
        }
        Ok((pool, keyring, index_key))
    }

    fn progress(&self, report: &DeriveReport, after: Uuid) -> String {
        let written = if self.dry_run {
            "would be written"
        } else {
            "written"
        };
        format!(
            "{} looked at, {} {written}; goes on with --after {after}",
            report.checked, report.changed
        )
    }

    fn tell(
        &self,
        report: &DeriveReport,
        after: Uuid,
        took: Duration,
    ) -> Result<ExitCode, Failure> {
        let written = if self.dry_run {
            "would be written anew"
        } else {
            "were written anew"
        };
        let words = format!(
            "{} record(s) looked at, of which {} {written}; {} erased, {} restricted and not touched, {} do not open, {} were being changed; after {:.1} s",
            report.checked,
            report.changed,
            report.erased,
            report.restricted,
            report.unreadable,
            report.busy,
            took.as_secs_f64(),
        );
        self.form.say(
            &words,
            &json!({
                "dryRun": self.dry_run, "checked": report.checked, "changed": report.changed, "columns": report.columns,
                "erased": report.erased, "restricted": report.restricted, "unreadable": report.unreadable,
                "busy": report.busy, "last": after, "seconds": took.as_secs_f64(),
            }),
        )?;
        Ok(if report.is_incomplete() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}
