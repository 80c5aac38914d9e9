//! `meditrustal restore`: makes a database of two dumps again, holds it against the chain, opens all of it once, and tells what was
//! lost.

mod report;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use chain::{Client, Deployment};
use chrono::SecondsFormat;
use clap::Args;
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    countries::Country,
    ids::RequestId,
    purpose::Purpose,
    users::SCHEDULER,
};
use serde_json::json;
use store::{
    Pool, PoolSettings, audit,
    backups::{self as target, RestoreTarget},
    cursor::Registry,
    migrate::{self, SchemaLock},
    monitoring, restores,
};
use tokio::task::{JoinSet, spawn_blocking};
use vault::{backup::BackupIdentities, keyring::Keyring};

use self::report::{OpenKind, RestoreReport, RestoreStep, RestoredCheck, UnfinishedStep};
use super::{
    backup::ClientPrograms,
    output::{Failure, note, say, with_causes},
};
use crate::{
    backups::{
        programs::{DatabaseAddress, Programs},
        run::BackupError,
    },
    config::{CommonFiles, NodesConfig, Pkcs11Config, SafetyConfig, database_url},
    dependencies::registry_of,
    erasure_ledger::replay::{self, Replayed},
    integrity::deep_check::DeepCheck,
    key_checks::check_master_keys,
    restores::{
        check::{self, CheckedDumps, WantedRegistry},
        follow,
        indexer::{self, IndexerReplay, IndexerReplayed},
        load::{Load, LoadError, meaning},
    },
    seals::Seals,
};

/// How long the node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a restore ends that came to its end, and has left something for an operator. Settings that cannot be used end a program
/// with 2.
const NEEDS_AN_OPERATOR: u8 = 3;

/// Settings of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
Stop every api and indexer, make an empty database (`meditrustal database create`), and restore into it. Both dumps are \
loaded in one transaction: where that fails, the database is as empty as before. What follows after it, and what can be repeated \
by --continue: the accounts of the api go on from the chain's nonces, what was erased since is erased again, every log-in ends, \
the indexer's program holds what it wrote against the chain and replaces what differs, and every key, record and row that decides \
is opened once.

Exit codes:
  0  restored; the report says what was lost since the dump
  1  refused, failed, or an entry of the erasure ledger cannot be carried out: no api starts on the database until it is
  3  restored, and an api may start; but the indexer's replay could not be run (the report has the command under `unfinished`), or \
the replay or the deep check found what is not as it should be")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct RestoreBackup {
    /// The dump of the records; its manifest lies beside it
    records: PathBuf,

    /// The dump of the keys: of the same backup, or a later one
    #[arg(long, value_name = "DUMP")]
    keys: PathBuf,

    /// A file with the secret key that opens a dump. May be given several times: records and keys have different ones
    #[arg(long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,

    /// Where the empty database, or a tenant's empty schema, is: under the role meditrustal_migrator, or the tenant's
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    /// The file of the master keys
    #[arg(long, env = "MEDITRUSTAL_MASTER_KEYS_FILE")]
    master_keys_file: PathBuf,

    #[command(flatten)]
    pkcs11: Pkcs11Config,

    #[command(flatten)]
    nodes: NodesConfig,

    /// What the deployment of the registry wrote
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    deployment_file: PathBuf,

    /// The erasure ledger: what was erased since the dump is erased again
    #[arg(
        long,
        env = "MEDITRUSTAL_ERASURE_LEDGER",
        value_name = "FILE",
        required_unless_present = "without_ledger"
    )]
    ledger: Option<PathBuf>,

    /// There is no erasure ledger: what was erased since the dump is there again, and stays
    #[arg(long, conflicts_with_all = ["ledger", "head"])]
    without_ledger: bool,

    /// Refuse a ledger without an entry that has this hash, such as the one that the last certificate names: it was cut off
    #[arg(long, value_name = "HASH", required_unless_present_any = ["without_head", "without_ledger"])]
    head: Option<String>,

    /// Go by a ledger of which nobody knows whether it was cut off
    #[arg(long, conflicts_with = "head")]
    without_head: bool,

    /// The country where data is at home, as the api has it
    #[arg(long, env = "MEDITRUSTAL_HOME_COUNTRY", default_value = "ID")]
    home_country: Country,

    /// The program of the indexer, which holds what it wrote against the chain; the one beside this program, or in the path, if left
    /// out
    #[arg(long, value_name = "PROGRAM", conflicts_with = "without_replay")]
    indexer: Option<PathBuf>,

    /// Leave out the indexer's replay, where time is short; the report says how to do it later
    #[arg(long)]
    without_replay: bool,

    /// Leave out the deep check, where time is short: an api does it while it serves
    #[arg(long)]
    without_deep_check: bool,

    /// Restore dumps that lack migrations of this program, and apply those
    #[arg(long)]
    older_schema: bool,

    /// Change nothing; check everything, read both dumps to their end, and say what would be restored
    #[arg(long, conflicts_with = "go_on")]
    dry_run: bool,

    /// Go on after the dumps were loaded: the same dumps have to be named
    #[arg(long = "continue")]
    go_on: bool,

    #[command(flatten)]
    programs: ClientPrograms,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

impl RestoreBackup {
    pub(super) async fn run(
        &self,
        files: &CommonFiles,
        safety: &SafetyConfig,
    ) -> Result<ExitCode, Failure> {
        let common = [files.as_words(), safety.as_words()].concat();
        if let Some(program) = &self.indexer
            && !program.is_file()
        {
            return Err(format!("there is no program {}", program.display()).into());
        }
        let deployment = Deployment::load(&self.deployment_file)?;
        let client = self.nodes.client(NODE_TIMEOUT, &deployment)?;
        // Before anything is changed: without the chain the database could not be used.
        client.check().await?;
        let keyring = Arc::new(self.pkcs11.keyring(&self.master_keys_file)?);
        let dumps = self.check_files(&deployment, &keyring).await?;
        let found = target::look_at_target(&self.url).await?;
        check::check_tenant(&dumps, &found.tenant)?;
        if self.go_on {
            check::check_unfinished(&found, &dumps)?;
        } else {
            check::check_schema(&dumps, self.older_schema)?;
            check::check_target(&found)?;
            if self.dry_run {
                return self.tries_out(&dumps, &found).await;
            }
            self.load(&dumps, &found).await?;
        }
        let report = match self.complete(&dumps).await {
            Ok(()) => {
                let steps = self.follow(&client, &deployment, keyring, (&dumps, common));
                Box::pin(steps).await
            }
            Err(error) => Err(error),
        };
        let report = report.map_err(|error| {
            let why = with_causes(error.as_ref());
            format!("{why}\n  the dumps are loaded: run this again with --continue when that is mended; until then no api starts")
        })?;
        if self.json {
            say(&serde_json::to_string(&report)?)?;
        } else {
            say(&report.told())?;
        }
        if report.failed_erasures() > 0 {
            note(
                "entries of the erasure ledger cannot be carried out: mend that, and run this again with --continue; until then no api starts",
            );
            return Ok(ExitCode::FAILURE);
        }
        Ok(if report.needs_an_operator() {
            ExitCode::from(NEEDS_AN_OPERATOR)
        } else {
            ExitCode::SUCCESS
        })
    }

    async fn check_files(
        &self,
        deployment: &Deployment,
        keyring: &Keyring,
    ) -> Result<CheckedDumps, Failure> {
        let registry = registry_of(deployment)?;
        let registry = WantedRegistry {
            chain_id: registry.chain_id,
            address: registry.address,
        };
        let masters = keyring.ids();
        let (records, keys) = (self.records.clone(), self.keys.clone());
        let checked =
            spawn_blocking(move || check::check_files(&records, &keys, &registry, &masters));
        Ok(checked.await??)
    }

    /// Reads both dumps to their end, and says what would be restored.
    async fn tries_out(
        &self,
        dumps: &CheckedDumps,
        found: &RestoreTarget,
    ) -> Result<ExitCode, Failure> {
        let identities = BackupIdentities::load(self.identities.iter().map(PathBuf::as_path))?;
        let programs = Programs::find(self.programs.directory.as_deref(), found.server_major)?;
        let read = dumps.clone();
        note("reading both dumps");
        spawn_blocking(move || check::read_all(&read, &identities, &programs)).await??;
        let manifest = &dumps.records.manifest;
        let rows = manifest.all_rows() + dumps.keys.manifest.all_rows();
        if self.json {
            let said = json!({
                "dryRun": true,
                "backup": manifest.id,
                "takenAt": manifest.taken_at,
                "schema": manifest.schema,
                "rows": rows,
            });
            say(&said.to_string())?;
        } else {
            say(&format!(
                "{rows} rows would be restored, as they were at {}, into the schema {}; nothing was changed",
                manifest.taken_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                manifest.schema
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Reads both dumps to their end, and then loads them.
    async fn load(&self, dumps: &CheckedDumps, found: &RestoreTarget) -> Result<(), Failure> {
        let waiting =
            || note("the schema of this database is being moved: waiting until that has ended");
        let lock = SchemaLock::take(&self.url, waiting).await?;
        // Another restore may have filled it meanwhile.
        check::check_target(&target::look_at_target(&self.url).await?)?;
        let identities = BackupIdentities::load(self.identities.iter().map(PathBuf::as_path))?;
        let load = Load {
            dumps: dumps.clone(),
            identities,
            programs: Programs::find(self.programs.directory.as_deref(), found.server_major)?,
            connection: DatabaseAddress::of(&self.url)?,
            tenant: found.tenant.clone(),
        };
        note("reading both dumps");
        let loaded = spawn_blocking(move || -> Result<(), Failure> {
            check::read_all(&load.dumps, &load.identities, &load.programs)?;
            load.run(note).map_err(explained)
        });
        loaded.await??;
        lock.release().await;
        Ok(())
    }

    /// Applies what the schema of the dumps lacks, and counts what the planner goes by: also where a restore before was cut off
    /// there.
    async fn complete(&self, dumps: &CheckedDumps) -> Result<(), Failure> {
        if dumps.is_older {
            let waiting =
                || note("the schema of this database is being moved: waiting until that has ended");
            let lock = SchemaLock::take(&self.url, waiting).await?;
            let moved = lock.up(None).await?;
            lock.release().await;
            note(&format!("{} migration(s) applied", moved.count));
        }
        Box::pin(target::analyze(&self.url)).await?;
        Ok(())
    }

    /// What has to follow; each step is harmless to repeat.
    async fn follow(
        &self,
        client: &Client,
        deployment: &Deployment,
        keyring: Arc<Keyring>,
        (dumps, common): (&CheckedDumps, Vec<OsString>),
    ) -> Result<RestoreReport, Failure> {
        let pool = self.open().await?;
        check_master_keys(&pool, &keyring).await?;
        let registry = registry_of(deployment)?;
        let nonces = follow::raise_nonces(&pool, client, registry.chain_id).await?;
        let ended_sessions = restores::end_sessions(&mut *pool.acquire().await?).await?;
        let erasures = self.erase_again(&pool, Arc::clone(&keyring)).await?;
        note("comparing the chain with the rows, from the dump on");
        let chain = follow::compare(&pool, client, &registry).await?;
        let manifest = &dumps.records.manifest;
        let mut report = RestoreReport {
            backup: manifest.id.clone(),
            taken_at: manifest.taken_at,
            rows: manifest.all_rows() + dumps.keys.manifest.all_rows(),
            ended_sessions,
            nonces,
            erasures,
            chain,
            replay: None,
            deep_check: None,
            unfinished: Vec::new(),
        };
        if report.failed_erasures() > 0 {
            report.unfinished = unfinished_for_the_ledger();
        } else {
            match self.replay(common).await? {
                Ok(replayed) => report.replay = Some(replayed),
                Err(unfinished) => report.unfinished.push(unfinished),
            }
            match self.check(&pool, client, (keyring, registry)).await? {
                Ok(checked) => report.deep_check = Some(checked),
                Err(unfinished) => report.unfinished.push(unfinished),
            }
            finish(&pool, &report).await?;
        }
        pool.close().await;
        Ok(report)
    }

    /// Has the indexer's program hold what it wrote against the chain, or says what is left to be done.
    async fn replay(
        &self,
        common: Vec<OsString>,
    ) -> Result<Result<IndexerReplayed, UnfinishedStep>, Failure> {
        let replay = IndexerReplay {
            program: self.indexer.clone().unwrap_or_else(indexer::find),
            database_url: self.url.clone(),
            nodes: self.nodes.asked().into_iter().map(str::to_owned).collect(),
            deployment_file: self.deployment_file.clone(),
            common,
        };
        let command = replay.told();
        let left = |left_out: bool, why: String| UnfinishedStep {
            step: RestoreStep::Replay,
            left_out,
            why,
            command,
        };
        if self.without_replay {
            return Ok(Err(left(true, "--without-replay was given".to_owned())));
        }
        note("the indexer's program reads the chain again, and compares what it wrote");
        let done = spawn_blocking(move || replay.run(note)).await?;
        Ok(done.map_err(|error| left(false, error.to_string())))
    }

    /// Opens every key, every record and every row that decides, or says that this is left to an api.
    async fn check(
        &self,
        pool: &Pool,
        client: &Client,
        (keyring, registry): (Arc<Keyring>, Registry),
    ) -> Result<Result<RestoredCheck, UnfinishedStep>, Failure> {
        if self.without_deep_check {
            return Ok(Err(UnfinishedStep {
                step: RestoreStep::DeepCheck,
                left_out: true,
                why: "--without-deep-check was given".to_owned(),
                command: "meditrustal serve, whose deep check comes to every record by and by"
                    .to_owned(),
            }));
        }
        note("the deep check opens every key and every record");
        let check = DeepCheck {
            pool: pool.clone(),
            keyring,
            registry,
            client: client.clone(),
            per_second: u32::MAX,
            rest: Duration::ZERO,
        };
        let round = Box::pin(check.round(note)).await?;
        let round = round.ok_or("another process has taken the deep check: a program runs on this database already; stop it")?;
        let open = monitoring::open_findings(&mut *pool.acquire().await?).await?;
        let open = open.into_iter();
        Ok(Ok(RestoredCheck {
            keys: round.keys,
            records: round.records,
            rows: round.rows,
            wrong: round.wrong,
            open_findings: open
                .map(|it| OpenKind {
                    kind: it.kind,
                    open: it.open,
                })
                .collect(),
        }))
    }

    async fn open(&self) -> Result<Pool, Failure> {
        let settings = PoolSettings {
            min: 0,
            ..PoolSettings::default()
        };
        let pool = store::connect(&self.url, "meditrustal restore", settings)?;
        migrate::require_current(&pool).await?;
        Ok(pool)
    }

    async fn erase_again(
        &self,
        pool: &Pool,
        keyring: Arc<Keyring>,
    ) -> Result<Option<Replayed>, Failure> {
        let Some(ledger) = &self.ledger else {
            note("without the erasure ledger: what was erased since the dump is there again");
            return Ok(None);
        };
        let mut tasks = JoinSet::new();
        let seals = Seals::start(keyring, pool.clone(), self.home_country, &mut tasks);
        if self.without_head {
            note(
                "without --head: whether the end of the erasure ledger was cut off is not checked",
            );
        }
        Ok(Some(
            replay::replay(pool, &seals, ledger, self.head.as_deref(), false).await?,
        ))
    }
}

/// Where an entry of the ledger cannot be carried out, nothing that follows it is done yet.
fn unfinished_for_the_ledger() -> Vec<UnfinishedStep> {
    let steps = [
        RestoreStep::ErasureLedger,
        RestoreStep::Replay,
        RestoreStep::DeepCheck,
    ];
    let steps = steps.into_iter().map(|step| UnfinishedStep {
        step,
        left_out: false,
        why: "entries of the erasure ledger cannot be carried out".to_owned(),
        command: "the same command with --continue".to_owned(),
    });
    steps.collect()
}

/// Lets programs start on the database again, and has the audit trail say that it was restored.
async fn finish(pool: &Pool, report: &RestoreReport) -> Result<(), Failure> {
    let mut tx = pool.begin().await?;
    let origin = Origin::job(RequestId::fresh());
    let said = json!({
        "backup": report.backup,
        "takenAt": report.taken_at,
        "rows": report.rows,
        "endedSessions": report.ended_sessions,
        "lostRecords": report.chain.lost_records.len(),
        "erasedAgain": report.erasures.is_some(),
        "replayed": report.replay.is_some(),
        "deepChecked": report.deep_check.as_ref().map(|it| it.wrong),
    });
    let entry = AuditEntry {
        resource_type: ResourceType::Backup,
        // A backup's id is one; it is in the row in any case.
        resource_id: report.backup.parse().unwrap_or(origin.request.0),
        new_value: Some(said),
        classification: Classification::Security,
        encryption: EncryptionStatus::EncryptedAtRest,
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::BackupRestore,
            Purpose::SystemAdministration,
            &origin,
        )
    };
    audit::insert(&mut tx, &[entry]).await?;
    target::finish_restore(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// What went wrong, with what its state means.
fn explained(error: LoadError) -> Failure {
    if let LoadError::Failed(BackupError::Failed { said, .. }) = &error
        && let Some(meaning) = meaning(said)
    {
        return format!("{error}: {meaning}").into();
    }
    error.into()
}
