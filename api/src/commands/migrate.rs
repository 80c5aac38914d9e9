//! `meditrustal migrate`: moves the schema, one process at a time, after a backup.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use domain::clock::Clock;
use serde_json::{Value, json};
use store::{
    backups::tenant_of,
    migrate::{self, LostData, MigrationScript, SchemaLock},
};

use super::{
    backup::{self, ClientPrograms, Recipients},
    output::{Failure, ResultForm, note, say},
};
use crate::{
    backups::{
        BackupPart, Tier,
        retention::KeptBackups,
        run::{WantedBackup, WantedPart},
    },
    config::database_url,
};

/// What can be done to the schema.
#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Apply what is missing, after a backup
    Up(Box<MigrateUp>),
    /// Take the last migration back, after a backup; refuses to lose data
    Down(Box<MigrateDown>),
    /// Say what is applied and what is missing
    Status(MigrationsStatus),
    /// Make the two files of a new migration
    New(NewMigration),
}

/// Which database.
#[derive(Debug, Args)]
pub(crate) struct MigrateDatabase {
    /// Where the database is, under the role meditrustal_migrator
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,
}

/// Settings of `migrate status`.
#[derive(Debug, Args)]
pub(crate) struct MigrationsStatus {
    #[command(flatten)]
    database: MigrateDatabase,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// The backup before it.
#[derive(Debug, Args)]
pub(crate) struct BackupBefore {
    /// The directory of the backups of records: the one from before a migration goes to `migration` in it, or in
    /// `tenants` and the schema's name
    #[arg(
        long = "backup-dir",
        env = "MEDITRUSTAL_BACKUP_DIR",
        value_name = "DIR"
    )]
    dir: Option<PathBuf>,

    /// The directory of the backups of keys
    #[arg(
        long = "keys-backup-dir",
        env = "MEDITRUSTAL_KEYS_BACKUP_DIR",
        value_name = "DIR"
    )]
    keys_dir: Option<PathBuf>,

    #[command(flatten)]
    recipients: Recipients,

    #[command(flatten)]
    programs: ClientPrograms,

    /// Make no backup first: a failure may then be irreversible
    #[arg(long)]
    no_backup: bool,
}

/// Settings of `migrate up`.
#[derive(Debug, Args)]
pub(crate) struct MigrateUp {
    #[command(flatten)]
    database: MigrateDatabase,

    #[command(flatten)]
    backup: BackupBefore,

    /// How many to apply at most, the oldest first; all that are missing without it
    #[arg(long, value_name = "STEPS")]
    steps: Option<usize>,

    /// Change nothing; print the statements that would be run
    #[arg(long)]
    dry_run: bool,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `migrate down`.
#[derive(Debug, Args)]
pub(crate) struct MigrateDown {
    #[command(flatten)]
    database: MigrateDatabase,

    #[command(flatten)]
    backup: BackupBefore,

    /// How many to take back
    #[arg(long, default_value = "1")]
    steps: usize,

    /// Take back also what loses rows, or values of columns
    #[arg(long)]
    yes_lose_data: bool,

    /// Change nothing; print the statements that would be run
    #[arg(long)]
    dry_run: bool,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `migrate new`.
#[derive(Debug, Args)]
pub(crate) struct NewMigration {
    /// What it does, in small letters and underscores, such as `create_users`
    name: String,

    /// Where migrations are
    #[arg(long, default_value = "migrations")]
    dir: PathBuf,

    /// Make nothing; say which files would be made
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl MigrateCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Up(settings) => settings.run().await?,
            Self::Down(settings) => settings.run().await?,
            Self::Status(settings) => settings.run().await?,
            Self::New(settings) => settings.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl MigrationsStatus {
    async fn run(&self) -> Result<(), Failure> {
        let all = migrate::status(&self.database.url).await?;
        if self.json {
            let each = all.iter().map(|it| {
                json!({ "version": it.version, "name": it.description, "applied": it.applied })
            });
            return say(&json!({ "migrations": each.collect::<Vec<Value>>() }).to_string());
        }
        for migration in all {
            let state = if migration.applied {
                "applied"
            } else {
                "missing"
            };
            say(&format!(
                "{state}  {}  {}",
                migration.version, migration.description
            ))?;
        }
        Ok(())
    }
}

async fn alone(url: &str) -> Result<SchemaLock, Failure> {
    let waiting =
        || note("another migration of this database is under way: waiting until it has ended");
    Ok(SchemaLock::take(url, waiting).await?)
}

fn print(scripts: &[MigrationScript], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let each = scripts.iter().map(
            |it| json!({ "version": it.version, "name": it.description, "sql": it.sql.trim_end() }),
        );
        return say(&json!({ "wouldRun": each.collect::<Vec<Value>>() }).to_string());
    }
    for script in scripts {
        say(&format!("-- {}  {}", script.version, script.description))?;
        say(script.sql.trim_end())?;
        say("")?;
    }
    Ok(())
}

impl MigrateUp {
    async fn run(&self) -> Result<(), Failure> {
        let lock = alone(&self.database.url).await?;
        let mut missing = lock.missing().await?;
        missing.truncate(self.steps.unwrap_or(usize::MAX));
        if self.dry_run {
            print(&missing, self.json)?;
            lock.release().await;
            return Ok(());
        }
        if !missing.is_empty() {
            if lock.applied().await? == 0 {
                note("there is no schema yet: there is nothing to back up");
            } else {
                self.backup.make(&self.database.url).await?;
            }
        }
        let moved = lock.up(self.steps).await?;
        lock.release().await;
        if self.json {
            let told = json!({ "applied": moved.count, "waited": moved.waited });
            return say(&told.to_string());
        }
        match (moved.count, moved.waited) {
            (0, true) => {
                say("the schema is up to date: another process has moved it, nothing was done here")
            }
            (0, false) if self.steps == Some(0) => say("0 migration(s) applied"),
            (0, false) => say("the schema is up to date"),
            (count, _) => say(&format!("{count} migration(s) applied")),
        }
    }
}

impl MigrateDown {
    async fn run(&self) -> Result<(), Failure> {
        let lock = alone(&self.database.url).await?;
        let last = lock.last(self.steps).await?;
        if self.dry_run {
            print(&last, self.json)?;
            lock.release().await;
            return Ok(());
        }
        if !self.yes_lose_data {
            let losses = lock.losses(&last).await?;
            if !losses.is_empty() {
                return Err(told(&losses).into());
            }
        }
        if !last.is_empty() {
            self.backup.make(&self.database.url).await?;
        }
        let moved = lock.down(self.steps).await?;
        lock.release().await;
        if self.json {
            return say(&json!({ "takenBack": moved.count }).to_string());
        }
        say(&format!("{} migration(s) taken back", moved.count))
    }
}

fn told(lost: &[LostData]) -> String {
    let each = lost.iter().map(|it| format!("{} ({})", it.what, it.rows));
    let each: Vec<String> = each.collect();
    format!(
        "taking this back would lose rows, or values, of {}; nothing was done; --yes-lose-data does it",
        each.join(", ")
    )
}

impl BackupBefore {
    /// Makes the backup, unless it was said that there is to be none.
    ///
    /// # Errors
    /// Where it cannot be made: the schema is as it was.
    async fn make(&self, url: &str) -> Result<(), Failure> {
        if self.no_backup {
            note("no backup is made (--no-backup)");
            return Ok(());
        }
        let (Some(records), Some(keys)) = (&self.dir, &self.keys_dir) else {
            return Err(
                "a backup comes before each migration: set MEDITRUSTAL_BACKUP_DIR and MEDITRUSTAL_KEYS_BACKUP_DIR, or move \
                 the schema without one by --no-backup"
                    .into(),
            );
        };
        let part = |part: BackupPart, directory: &Path| -> Result<WantedPart, Failure> {
            Ok(WantedPart {
                part,
                url: url.to_owned(),
                directory: directory.to_owned(),
                recipients: self.recipients.of(part)?,
            })
        };
        let parts = vec![
            part(BackupPart::Records, records)?,
            part(BackupPart::Keys, keys)?,
        ];
        backup::require_apart(&parts)?;
        let tenant = tenant_of(url).await?;
        let wanted = WantedBackup {
            tier: Tier::Migration,
            timed: true,
            programs: self.programs.directory.clone(),
            parts: backup::at_home(parts, &tenant),
            tenant,
        };
        // Those from before migrations are kept by their age.
        let keep = KeptBackups {
            daily: 1,
            weekly: 1,
            monthly: 1,
        };
        let Some((made, _)) = backup::make(&wanted, keep).await? else {
            return Err(
                "a backup is under way in this directory: migrate when it has ended".into(),
            );
        };
        for backup in made {
            note(&format!(
                "backed up the {} into {}",
                backup.manifest.part,
                backup.path.display()
            ));
        }
        Ok(())
    }
}

impl NewMigration {
    fn run(&self) -> Result<(), Failure> {
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let begins = self
            .name
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_lowercase());
        if !begins || !self.name.chars().all(is_name) || self.name.ends_with('_') {
            return Err(format!(
                "{:?} cannot be the name of a migration: small letters and underscores, such as create_users",
                self.name
            )
            .into());
        }
        let now: i64 = Clock::System
            .now()
            .format("%Y%m%d%H%M%S")
            .to_string()
            .parse()?;
        let number = self
            .numbers()?
            .into_iter()
            .max()
            .map_or(now, |last| now.max(last + 1));
        let mut files = Vec::new();
        for (ending, says) in [
            ("up", "Say what it does, and why."),
            ("down", "Say what is lost, if anything."),
        ] {
            let path = self
                .dir
                .join(format!("{number}_{}.{ending}.sql", self.name));
            if !self.dry_run {
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(&path)
                    .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
                writeln!(file, "-- {says}")?;
            }
            let file = path.display().to_string();
            self.form.say_words(&file)?;
            files.push(file);
        }
        if self.dry_run {
            self.form.say_words("nothing was made")?;
        }
        let told = json!({ "dryRun": self.dry_run, "version": number, "files": files });
        self.form.say_json(&told)
    }

    /// The numbers of the migrations that are there.
    fn numbers(&self) -> Result<Vec<i64>, Failure> {
        let entries = self.dir.read_dir();
        let entries = entries.map_err(|error| {
            format!(
                "{} cannot be read: {error}; run this in the clone, or name the directory by --dir",
                self.dir.display()
            )
        })?;
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            numbers.extend(name.split('_').next().and_then(|it| it.parse::<i64>().ok()));
        }
        Ok(numbers)
    }
}
