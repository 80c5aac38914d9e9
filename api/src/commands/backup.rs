//! `meditrustal backup`: makes backups, lists, verifies and prunes them.

mod directories;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand, ValueEnum};
use domain::clock::Clock;
use serde_json::json;
use store::{backups::tenant_of, tenant::Tenant};
use uuid::Uuid;
use vault::backup::{BackupIdentities, BackupRecipient};

use self::directories::BackupDirectories;
pub(super) use self::directories::of_schema;
use super::output::{Failure, ResultForm, decline, note, refuse, say, with_causes};
use crate::{
    backups::{
        BackupPart, Tier, home,
        manifest::{self, BackupFailure, BackupManifest},
        programs::Programs,
        retention::{self, KeptBackups, Pruned},
        run::{self, BackupError, MadeBackup, WantedBackup, WantedPart},
        verify::{self, Verified},
    },
    config::database_url,
};

/// Another process is at it: the "try again" of `sysexits.h`. Settings that cannot be used end a program with 2.
const UNDER_WAY: u8 = 75;

/// What can be done about backups.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Dump the records and the keys of one snapshot, each into its own directory, and remove what has been kept long enough.
    /// Exits with 1 where it failed, with 75 where another backup is under way
    Run(Box<RunBackup>),
    /// Say which backups there are, and why the newest attempt of a tier came to nothing
    List(ListBackups),
    /// Compare backups with their manifests; with --identity read every row. Exits with 1 where one is not what it was
    Verify(VerifyBackups),
    /// Remove what has been kept long enough; `backup run` does it by itself
    Prune(PruneBackups),
    /// Make a key that backups are encrypted to
    #[command(subcommand)]
    Keys(BackupKeysCommand),
}

/// What can be done about the keys of backups.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupKeysCommand {
    /// Make a file with a secret key, and print its public key; refuses to overwrite. Keep the file on another machine
    New {
        /// The file
        #[arg(long, value_name = "FILE")]
        file: PathBuf,

        /// Make nothing; say which file would be made
        #[arg(long)]
        dry_run: bool,

        #[command(flatten)]
        form: ResultForm,
    },
}

/// To whom backups are encrypted.
#[derive(Debug, Clone, Args)]
pub(crate) struct Recipients {
    /// The public keys that the records are encrypted to, comma separated: age1…
    #[arg(
        long = "recipient",
        env = "MEDITRUSTAL_BACKUP_RECIPIENTS",
        value_delimiter = ',',
        value_name = "KEY"
    )]
    records: Vec<BackupRecipient>,

    /// The public keys that the keys are encrypted to: others than those of the records
    #[arg(
        long = "keys-recipient",
        env = "MEDITRUSTAL_KEYS_BACKUP_RECIPIENTS",
        value_delimiter = ',',
        value_name = "KEY"
    )]
    keys: Vec<BackupRecipient>,

    /// Encrypt nothing: whoever has the file reads accounts, consents and metadata, and in the dump of keys wrapped keys
    #[arg(long, conflicts_with_all = ["records", "keys"])]
    unencrypted: bool,
}

impl Recipients {
    /// Those of a part.
    ///
    /// # Errors
    /// Where there are none, and nobody said that there are to be none.
    pub(super) fn of(&self, part: BackupPart) -> Result<Vec<BackupRecipient>, Failure> {
        let (recipients, variable) = match part {
            BackupPart::Records => (&self.records, "MEDITRUSTAL_BACKUP_RECIPIENTS"),
            BackupPart::Keys => (&self.keys, "MEDITRUSTAL_KEYS_BACKUP_RECIPIENTS"),
        };
        if recipients.is_empty() && !self.unencrypted {
            return Err(format!(
                "{variable} is missing: to whom are the {part} encrypted? `meditrustal backup keys new --file …` makes a key; \
                 --unencrypted leaves the dump readable"
            )
            .into());
        }
        Ok(recipients.clone())
    }
}

/// How many backups are kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeepBackups {
    /// How many daily backups are kept
    #[arg(id = "keep_daily", long = "keep-daily", env = "MEDITRUSTAL_KEEP_DAILY_BACKUPS", default_value = "7", value_parser = clap::value_parser!(u16).range(1..))]
    daily: u16,

    /// How many weekly backups are kept
    #[arg(id = "keep_weekly", long = "keep-weekly", env = "MEDITRUSTAL_KEEP_WEEKLY_BACKUPS", default_value = "4", value_parser = clap::value_parser!(u16).range(1..))]
    weekly: u16,

    /// How many monthly backups are kept
    #[arg(id = "keep_monthly", long = "keep-monthly", env = "MEDITRUSTAL_KEEP_MONTHLY_BACKUPS", default_value = "12", value_parser = clap::value_parser!(u16).range(1..))]
    monthly: u16,
}

impl KeepBackups {
    fn kept(&self) -> KeptBackups {
        KeptBackups {
            daily: self.daily.into(),
            weekly: self.weekly.into(),
            monthly: self.monthly.into(),
        }
    }
}

/// Where PostgreSQL's own programs are.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientPrograms {
    /// The directory of `pg_dump`, `pg_restore` and `psql`; by default they are looked for in PATH and where distributions put
    /// them. They must be of the server's major version
    #[arg(
        long = "pg-client-bin",
        env = "MEDITRUSTAL_PG_CLIENT_BIN",
        value_name = "DIR"
    )]
    pub(super) directory: Option<PathBuf>,
}

/// What is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Everything but patients' keys
    Records,
    /// Patients' keys
    Keys,
}

/// Settings of `backup run`.
#[derive(Debug, Args)]
pub(crate) struct RunBackup {
    /// daily, weekly or monthly: the directory it goes into, and how long it is kept
    #[arg(long)]
    tier: Tier,

    /// Where the database is, under the role meditrustal_backup, which reads no key
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: Option<String>,

    /// The same under the role meditrustal_keys, which reads no record
    #[arg(long, env = "MEDITRUSTAL_KEYS_DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    keys_database_url: Option<String>,

    /// Back up one of the two alone: where they are backed up on different machines, the keys after the records
    #[arg(long)]
    only: Option<Only>,

    /// Make another one of this day, with the time in its name
    #[arg(long)]
    again: bool,

    /// Write nothing; look whether it could be made, and say what the dumps would be called
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    directories: BackupDirectories,

    #[command(flatten)]
    recipients: Recipients,

    #[command(flatten)]
    keep: KeepBackups,

    #[command(flatten)]
    programs: ClientPrograms,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `backup list`.
#[derive(Debug, Args)]
pub(crate) struct ListBackups {
    #[command(flatten)]
    directories: BackupDirectories,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `backup verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyBackups {
    /// The dumps; without any, all that are finished
    dumps: Vec<PathBuf>,

    /// A file with the secret key that opens them: then every row is read and counted. May be given several times
    #[arg(long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,

    #[command(flatten)]
    directories: BackupDirectories,

    #[command(flatten)]
    programs: ClientPrograms,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `backup prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneBackups {
    #[command(flatten)]
    directories: BackupDirectories,

    #[command(flatten)]
    keep: KeepBackups,

    /// Remove nothing; say what would go
    #[arg(long)]
    dry_run: bool,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

impl BackupCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(settings) => settings.run().await,
            Self::List(settings) => settings.run(),
            Self::Verify(settings) => settings.run(),
            Self::Prune(settings) => settings.run(),
            Self::Keys(BackupKeysCommand::New {
                file,
                dry_run: true,
                form,
            }) => {
                let path = file.display().to_string();
                if file.exists() {
                    return Err(format!("{path} is there already and is not overwritten").into());
                }
                form.say(
                    &format!("{path} would be made; nothing was"),
                    &json!({ "dryRun": true, "file": path }),
                )?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Keys(BackupKeysCommand::New {
                file,
                dry_run: false,
                form,
            }) => {
                let recipient = BackupIdentities::create(&file)?.to_string();
                let told = json!({ "publicKey": recipient, "file": file.display().to_string() });
                form.say(&recipient, &told)?;
                note(&format!(
                    "the secret key is in {}: without it no backup opens; keep it where no backup is",
                    file.display()
                ));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn now() -> DateTime<Utc> {
    Clock::System.now()
}

fn under_way() -> ExitCode {
    decline(
        "another backup is under way in this directory: nothing was done; run this again when that has ended",
    );
    ExitCode::from(UNDER_WAY)
}

impl RunBackup {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let parts = match self.parts() {
            Ok(parts) => parts,
            Err(mistakes) => return Ok(refuse(&mistakes)),
        };
        require_apart(&parts)?;
        let tenant = self.tenant(&parts).await?;
        let wanted = WantedBackup {
            tier: self.tier,
            timed: self.again,
            programs: self.programs.directory.clone(),
            parts: at_home(parts, &tenant),
            tenant,
        };
        if self.dry_run {
            return self.tries_out(&wanted).await;
        }
        let made = make(&wanted, self.keep.kept()).await?;
        let Some((made, pruned)) = made else {
            return Ok(under_way());
        };
        if self.json {
            let said = json!({ "backups": made, "pruned": pruned });
            say(&said.to_string())?;
        } else {
            for backup in &made {
                say(&told(&backup.path, &backup.manifest))?;
            }
            for path in &pruned.removed {
                say(&format!("removed {}", path.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says what would be written.
    async fn tries_out(&self, wanted: &WantedBackup) -> Result<ExitCode, Failure> {
        let paths = run::look(wanted, now()).await?;
        if self.json {
            say(&json!({ "dryRun": true, "wouldWrite": paths }).to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        for path in &paths {
            say(&format!("would be written: {}", path.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Whose tables they are. Where that is not known, it is noted where the tenant that was named has its backups.
    async fn tenant(&self, parts: &[WantedPart]) -> Result<Tenant, Failure> {
        let Some(first) = parts.first() else {
            return Ok(Tenant::usual());
        };
        let found = tenant_of(&first.url).await.map_err(BackupError::from);
        let found = found.and_then(|found| match &self.directories.schema {
            Some(wanted) if wanted.schema() != found.schema() => Err(BackupError::OtherSchema {
                part: first.part,
                found: found.schema().to_owned(),
                wanted: wanted.schema().to_owned(),
            }),
            Some(_) | None => Ok(found),
        });
        let error = match found {
            Ok(tenant) => return Ok(tenant),
            Err(error) => error,
        };
        if self.dry_run {
            return Err(error.into());
        }
        let usual = Tenant::usual();
        let named = self.directories.schema.as_ref().unwrap_or(&usual);
        let homes = at_home(parts.to_vec(), named);
        let homes = || homes.iter().map(|it| it.directory.as_path());
        // Who has the directory notes what comes of it.
        if let Some(_locks) = BackupDirectories::lock(homes())? {
            note_failed(homes(), self.tier, &error);
        }
        Err(error.into())
    }

    /// What is dumped, by whom and to where; or all that nobody has said.
    fn parts(&self) -> Result<Vec<WantedPart>, Vec<String>> {
        let wanted: &[BackupPart] = match self.only {
            None => &[BackupPart::Records, BackupPart::Keys],
            Some(Only::Records) => &[BackupPart::Records],
            Some(Only::Keys) => &[BackupPart::Keys],
        };
        let (mut parts, mut mistakes) = (Vec::new(), Vec::new());
        for part in wanted.iter().copied() {
            let (url, variable) = match part {
                BackupPart::Records => (&self.url, "DATABASE_URL"),
                BackupPart::Keys => (&self.keys_database_url, "MEDITRUSTAL_KEYS_DATABASE_URL"),
            };
            let directory = match part {
                BackupPart::Records => Some(&self.directories.dir),
                BackupPart::Keys => self.directories.keys_dir.as_ref(),
            };
            let mut miss = |variable: &str| {
                mistakes.push(format!(
                    "{variable} is missing: the {part} cannot be backed up; --only leaves out the others"
                ));
            };
            if url.is_none() {
                miss(variable);
            }
            if directory.is_none() {
                miss("MEDITRUSTAL_KEYS_BACKUP_DIR");
            }
            let recipients = self.recipients.of(part);
            match (url, directory, recipients) {
                (_, _, Err(error)) => mistakes.push(error.to_string()),
                (Some(url), Some(directory), Ok(recipients)) => parts.push(WantedPart {
                    part,
                    url: url.clone(),
                    directory: directory.clone(),
                    recipients,
                }),
                (_, _, Ok(_)) => {}
            }
        }
        if mistakes.is_empty() {
            Ok(parts)
        } else {
            Err(mistakes)
        }
    }
}

/// Refuses one directory for both, and one key for both: whoever has it would have everything.
///
/// # Errors
/// What has to be set otherwise.
pub(super) fn require_apart(parts: &[WantedPart]) -> Result<(), Failure> {
    let [records, keys] = parts else {
        return Ok(());
    };
    if keys.directory.starts_with(&records.directory)
        || records.directory.starts_with(&keys.directory)
    {
        return Err(
            "MEDITRUSTAL_KEYS_BACKUP_DIR: the keys may not lie in the directory of the records, nor the records in theirs".into(),
        );
    }
    let theirs: Vec<String> = keys.recipients.iter().map(ToString::to_string).collect();
    if records
        .recipients
        .iter()
        .any(|it| theirs.contains(&it.to_string()))
    {
        return Err(
            "MEDITRUSTAL_KEYS_BACKUP_RECIPIENTS: records and keys may not be encrypted to the same key".into(),
        );
    }
    Ok(())
}

/// Has each part go to the tenant's own directory.
pub(super) fn at_home(parts: Vec<WantedPart>, tenant: &Tenant) -> Vec<WantedPart> {
    let parts = parts.into_iter();
    parts
        .map(|part| WantedPart {
            directory: home(&part.directory, tenant),
            ..part
        })
        .collect()
}

/// Notes in each directory why there is no backup. The caller holds their locks.
fn note_failed<'a>(directories: impl Iterator<Item = &'a Path>, tier: Tier, error: &BackupError) {
    let failure = BackupFailure {
        at: now(),
        error: error.to_string(),
    };
    for directory in directories {
        if let Err(error) = manifest::note_failure(directory, tier, &failure) {
            note(&format!("that it failed cannot be noted: {error}"));
        }
    }
}

/// Makes a backup under the locks of its directories, notes what came of it, and removes what has been kept long enough. `None`
/// where another one is under way.
///
/// # Errors
/// Why there is none.
pub(super) async fn make(
    wanted: &WantedBackup,
    keep: KeptBackups,
) -> Result<Option<(Vec<MadeBackup>, Pruned)>, Failure> {
    let directories = || wanted.parts.iter().map(|it| it.directory.as_path());
    let Some(_locks) = BackupDirectories::lock(directories())? else {
        return Ok(None);
    };
    let made = run::make(wanted, now(), note).await;
    let made = match made {
        Ok(made) => made,
        // Nothing failed: the backup of this day is there.
        Err(error @ BackupError::There(_)) => return Err(error.into()),
        Err(error) => {
            note_failed(directories(), wanted.tier, &error);
            return Err(error.into());
        }
    };
    note_in_trail(wanted, &made).await;
    let mut pruned = Pruned::default();
    for directory in directories() {
        let cleared = manifest::forget_failure(directory, wanted.tier)
            .and_then(|()| retention::prune(directory, &[wanted.tier], keep, now(), false));
        let more = cleared.map_err(|error| {
            format!(
                "the backup is made, and what has been kept long enough cannot be removed from {}: {error}; \
                 `meditrustal backup prune` tries it again",
                directory.display()
            )
        })?;
        pruned.removed.extend(more.removed);
        pruned.bytes += more.bytes;
    }
    Ok(Some((made, pruned)))
}

/// Has the audit trail say that this backup was made. It is made, whatever comes of that: a standby takes no row.
async fn note_in_trail(wanted: &WantedBackup, made: &[MadeBackup]) {
    let (Some(part), Some(first)) = (wanted.parts.first(), made.first()) else {
        return;
    };
    // It was made of one.
    let Ok(id) = Uuid::parse_str(&first.manifest.id) else {
        return;
    };
    let dumps = made.iter().map(|it| {
        json!({
            "part": it.manifest.part,
            "file": it.manifest.file,
            "bytes": it.manifest.bytes,
            "sha256": it.manifest.sha256,
            "rows": it.manifest.all_rows(),
        })
    });
    let details = json!({
        "tier": wanted.tier,
        "takenAt": first.manifest.taken_at,
        "encrypted": made.iter().all(|it| !it.manifest.encrypted_to.is_empty()),
        "dumps": dumps.collect::<Vec<_>>(),
    });
    if let Err(error) = store::backups::note(&part.url, id, &details).await {
        note(&format!(
            "the backup is made, and the audit trail does not say so: {error}; a standby takes no row, nor does a schema of before"
        ));
    }
}

/// A backup in one line.
fn told(path: &Path, manifest: &BackupManifest) -> String {
    format!(
        "{}  {} of {}.{}, taken at {}, {} bytes, {} rows in {} tables{}{}",
        path.display(),
        manifest.part,
        manifest.database,
        manifest.schema,
        manifest.taken_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        manifest.bytes,
        manifest.all_rows(),
        manifest.rows.len(),
        if manifest.encrypted_to.is_empty() {
            ", not encrypted"
        } else {
            ""
        },
        if manifest.left_out.is_empty() {
            String::new()
        } else {
            format!(", without the schemas {}", manifest.left_out.join(", "))
        }
    )
}

impl ListBackups {
    fn run(&self) -> Result<ExitCode, Failure> {
        let mut listed = Vec::new();
        for directory in self.directories.of_all()? {
            let directory = directory.as_path();
            let last = manifest::last_backups(directory);
            let last =
                last.map_err(|error| format!("{} cannot be read: {error}", directory.display()))?;
            for tier in &last {
                let all = manifest::finished(directory, tier.tier)?;
                for found in &all {
                    let path = directory.join(tier.tier.as_str()).join(&found.file);
                    if !self.json {
                        say(&told(&path, found))?;
                    }
                }
                if let Some(failure) = &tier.failure
                    && !self.json
                {
                    let at = failure.at.to_rfc3339_opts(SecondsFormat::Secs, true);
                    say(&format!(
                        "{}/{}: the newest attempt, at {at}, failed: {}",
                        directory.display(),
                        tier.tier,
                        failure.error
                    ))?;
                }
                let abandoned = retention::abandoned(directory, tier.tier, now())?;
                for it in abandoned.iter().filter(|_| !self.json) {
                    say(&format!(
                        "{}/{}: nobody has written the {} of {}.{} since {}: remove them where nobody restores them any more",
                        directory.display(),
                        tier.tier,
                        it.part,
                        it.database,
                        it.schema,
                        it.newest_taken_at
                            .to_rfc3339_opts(SecondsFormat::Secs, true),
                    ))?;
                }
                listed.push(json!({
                    "directory": directory,
                    "tier": tier.tier,
                    "backups": all,
                    "abandoned": abandoned,
                    "failure": tier.failure,
                }));
            }
        }
        if self.json {
            say(&json!({ "tiers": listed }).to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl VerifyBackups {
    fn run(&self) -> Result<ExitCode, Failure> {
        let paths = if self.dumps.is_empty() {
            self.finished()?
        } else {
            self.dumps.clone()
        };
        if paths.is_empty() {
            return Err("there is no finished backup".into());
        }
        let identities = BackupIdentities::load(self.identities.iter().map(PathBuf::as_path))?;
        let (mut verified, mut failed) = (Vec::new(), Vec::new());
        for path in paths {
            match self.verify(&path, &identities) {
                Ok(found) => {
                    if !self.json {
                        let how = if found.rows_were_read {
                            "every row was read"
                        } else {
                            "as it was written; its rows were not read"
                        };
                        say(&format!("{}: {how}", path.display()))?;
                    }
                    verified.push(found);
                }
                Err(error) => {
                    if !self.json {
                        note(&format!("meditrustal: {}", with_causes(error.as_ref())));
                    }
                    failed.push(json!({ "path": path, "error": with_causes(error.as_ref()) }));
                }
            }
        }
        let is_well = failed.is_empty();
        if self.json {
            say(&json!({ "verified": verified, "failed": failed }).to_string())?;
        }
        Ok(if is_well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn finished(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut paths = Vec::new();
        for directory in self.directories.of_all()? {
            let directory = directory.as_path();
            for tier in Tier::ALL {
                let here = directory.join(tier.as_str());
                let all = manifest::finished(directory, tier)?;
                paths.extend(all.into_iter().map(|it| here.join(it.file)));
            }
        }
        Ok(paths)
    }

    fn verify(&self, path: &Path, identities: &BackupIdentities) -> Result<Verified, Failure> {
        let manifest = verify::verify_file(path)?;
        let opens = manifest.encrypted_to.is_empty() || !self.identities.is_empty();
        if opens {
            let programs =
                Programs::find(self.programs.directory.as_deref(), manifest.server_major)?;
            verify::verify_rows(path, &manifest, identities, &programs)?;
        }
        Ok(Verified {
            path: path.to_owned(),
            manifest,
            rows_were_read: opens,
        })
    }
}

impl PruneBackups {
    fn run(&self) -> Result<ExitCode, Failure> {
        let directories = self.directories.of_one();
        let directories = || directories.iter().map(PathBuf::as_path);
        let Some(_locks) = BackupDirectories::lock(directories())? else {
            return Ok(under_way());
        };
        let mut pruned = Pruned::default();
        for directory in directories() {
            let more =
                retention::prune(directory, &Tier::ALL, self.keep.kept(), now(), self.dry_run)?;
            pruned.removed.extend(more.removed);
            pruned.bytes += more.bytes;
        }
        if self.json {
            say(&json!({ "dryRun": self.dry_run, "pruned": pruned }).to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        let did = if self.dry_run {
            "would be removed"
        } else {
            "removed"
        };
        for path in &pruned.removed {
            say(&format!("{did}: {}", path.display()))?;
        }
        say(&format!(
            "{} files, {} bytes {did}",
            pruned.removed.len(),
            pruned.bytes
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
