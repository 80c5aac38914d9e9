//! `meditrustal retention`: what has been kept long enough, and for how long that is.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use chain::{Client, Deployment, Signer};
use clap::{Args, Subcommand};
use domain::{
    audit::{AuditAction, AuditEntry, EncryptionStatus, Origin, ResourceType},
    countries::Country,
    ids::RequestId,
    purpose::Purpose,
    records::RecordType,
    users::SCHEDULER,
};
use serde_json::{Value, json};
use store::{
    Pool, PoolSettings, audit, migrate,
    retention::{self, RetentionRule},
};
use tokio::task::JoinSet;

use super::{
    output::{Failure, ResultForm, decline, note, say},
    seal::MasterKeys,
};
use crate::{
    config::{KeepConfig, MoreNodes, chain_url, database_url},
    erasure_ledger::file::LedgerFile,
    retention::{Pinner, Retention, RetentionError, RetentionReport},
    seals::Seals,
};

/// The exit code where another process is at it.
const BUSY: u8 = 2;
/// How long the node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be done about retention.
#[derive(Debug, Subcommand)]
pub(crate) enum RetentionCommand {
    /// Remove what has been kept long enough: records, rows of the audit trail, old log-ins and the like. Exits with 1 where
    /// something waits for an operator, and with 2 where another process is at it
    Run(Box<RunRetention>),
    /// Say how long records of each type are kept
    Rules(ShowRules),
    /// Change how long records of a type are kept; needs the owner of the tables
    Set(SetRule),
}

/// Where the database is.
#[derive(Debug, Args)]
pub(crate) struct RetentionDatabase {
    /// Where the database is, under the role meditrustal_api; for `set`, under meditrustal_migrator
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,
}

impl RetentionDatabase {
    async fn open(&self) -> Result<Pool, Failure> {
        let one = PoolSettings {
            min: 0,
            ..PoolSettings::default()
        };
        let pool = store::connect(&self.url, "meditrustal retention", one)?;
        migrate::require_current(&pool).await?;
        Ok(pool)
    }
}

/// Settings of `retention run`.
#[derive(Debug, Args)]
pub(crate) struct RunRetention {
    #[command(flatten)]
    database: RetentionDatabase,

    #[command(flatten)]
    keys: MasterKeys,

    /// The account that pins checkpoints of the audit trail, which signs what is removed from it; without it the rows of
    /// the trail stay
    #[arg(
        long,
        env = "MEDITRUSTAL_CHECKPOINT_KEY_FILE",
        requires = "deployment_file"
    )]
    checkpoint_key_file: Option<PathBuf>,

    /// Which registry the trail is pinned in
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    deployment_file: Option<PathBuf>,

    /// Where the chain's node answers JSON-RPC: it says what is pinned, and what time it is; without it the rows of the trail
    /// stay, and records go by the clock of this machine
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true, value_parser = chain_url, requires = "deployment_file")]
    chain_rpc_url: Option<String>,

    #[command(flatten)]
    more_nodes: MoreNodes,

    #[command(flatten)]
    keep: KeepConfig,

    /// The country where data is at home, as the api has it
    #[arg(long, env = "MEDITRUSTAL_HOME_COUNTRY", default_value = "ID")]
    home_country: Country,

    /// The file of the erasure ledger, where it is kept on this machine
    #[arg(long, env = "MEDITRUSTAL_ERASURE_LEDGER", value_name = "FILE")]
    erasure_ledger: Option<PathBuf>,

    /// Change nothing; say what would be removed
    #[arg(long)]
    dry_run: bool,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `retention rules`.
#[derive(Debug, Args)]
pub(crate) struct ShowRules {
    #[command(flatten)]
    database: RetentionDatabase,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `retention set`.
#[derive(Debug, Args)]
pub(crate) struct SetRule {
    #[command(flatten)]
    database: RetentionDatabase,

    /// Which type, such as `LAB_RESULT`
    #[arg(long = "type", value_name = "TYPE")]
    record_type: RecordType,

    /// How long, from the moment a record was stored
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=150))]
    years: i32,

    /// Change nothing; say what would be set
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl RetentionCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(settings) => settings.run().await,
            Self::Rules(settings) => settings.run().await,
            Self::Set(settings) => settings.run().await,
        }
    }
}

impl RunRetention {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let pool = self.database.open().await?;
        let keyring = Arc::new(self.keys.open_for(&pool, self.dry_run).await?);
        let mut tasks = JoinSet::new();
        let retention = Retention {
            seals: Seals::start(
                Arc::clone(&keyring),
                pool.clone(),
                self.home_country,
                &mut tasks,
            ),
            keyring,
            client: self.client().await?,
            pool,
            pinner: self.pinner()?,
            keep: self.keep.keep(),
            ledger: self
                .erasure_ledger
                .as_deref()
                .map(|path| Arc::new(LedgerFile::new(path))),
        };
        let mut tell = |so_far: &RetentionReport| {
            note(&format!(
                "so far {} records and {} rows of the audit trail",
                so_far.erased(),
                so_far.audit_rows
            ));
        };
        match retention.run(self.dry_run, &mut tell).await {
            Ok(report) => self.tell(&report),
            Err(RetentionError::Busy) => {
                decline("another process removes what has been kept long enough");
                Ok(ExitCode::from(BUSY))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn client(&self) -> Result<Option<Client>, Failure> {
        let Some(deployment) = &self.deployment_file else {
            return Ok(None);
        };
        let deployment = Deployment::load(deployment)?;
        let first = self.chain_rpc_url.as_deref();
        let client = self.more_nodes.client(first, NODE_TIMEOUT, &deployment)?;
        if let Some(client) = &client {
            client.check().await?;
        }
        Ok(client)
    }

    fn pinner(&self) -> Result<Option<Pinner>, Failure> {
        let (Some(key), Some(deployment)) = (&self.checkpoint_key_file, &self.deployment_file)
        else {
            return Ok(None);
        };
        let deployment = Deployment::load(deployment)?;
        let signer = Arc::new(Signer::load(key, &deployment)?);
        Ok(Some(Pinner::new(signer, &deployment)))
    }

    fn tell(&self, report: &RetentionReport) -> Result<ExitCode, Failure> {
        if self.json {
            say(&serde_json::to_string(report)?)?;
        } else {
            for line in lines(report) {
                say(&line)?;
            }
        }
        Ok(if report.has_left_some() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn lines(report: &RetentionReport) -> Vec<String> {
    let did = if report.dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let mut lines: Vec<String> = report
        .records
        .iter()
        .map(|(record_type, records)| format!("{records} records of type {record_type}: {did}"))
        .collect();
    lines.push(format!(
        "{} records of {} patients: {did}",
        report.erased(),
        report.patients
    ));
    lines.push(format!(
        "{} rows of the audit trail: {did}",
        report.audit_rows
    ));
    lines.push(format!(
        "{} rows of log-ins, {} idempotency keys, {} counters of attempts, {} access codes: {did}",
        report.sessions, report.idempotency_keys, report.throttle_counters, report.access_codes
    ));
    if report.audit_rows_unsigned {
        lines.push(
            "rows of the audit trail stay: nobody signs their removal (MEDITRUSTAL_CHECKPOINT_KEY_FILE), or no node says what is pinned (CHAIN_RPC_URL)"
                .to_owned(),
        );
    }
    lines.extend(faults(report));
    lines
}

/// What waits for an operator.
fn faults(report: &RetentionReport) -> Vec<String> {
    let mut lines = Vec::new();
    if report.waiting_patients > 0 {
        lines.push(format!(
            "records of {} patients wait: a hold is not as it was sealed, or gone",
            report.waiting_patients
        ));
    }
    if report.waiting_records > 0 {
        lines.push(format!(
            "{} records wait: by what was sealed, or by the rule that was set, they are not due",
            report.waiting_records
        ));
    }
    if report.changed_rules > 0 {
        lines.push(format!(
            "records of {} types wait: for how long they are kept is not what the audit trail says was set (`meditrustal retention set`)",
            report.changed_rules
        ));
    }
    if report.undue_audit_rows > 0 {
        lines.push(format!(
            "{} rows of the audit trail stay: the database calls them due, and they are not",
            report.undue_audit_rows
        ));
    }
    if report.changed_audit_rows > 0 {
        lines.push(format!(
            "{} rows of the audit trail stay: they are not what was hashed (`meditrustal audit verify`)",
            report.changed_audit_rows
        ));
    }
    lines
}

impl ShowRules {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let pool = self.database.open().await?;
        let mut conn = pool.acquire().await?;
        let rules = retention::rules(&mut conn).await?;
        if self.json {
            let each = rules
                .iter()
                .map(|it| json!({ "recordType": it.record_type, "years": it.years }));
            say(&json!({ "rules": each.collect::<Vec<Value>>() }).to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        for rule in rules {
            say(&format!("{}: {} years", rule.record_type, rule.years))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl SetRule {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let pool = self.database.open().await?;
        let mut tx = pool.begin().await?;
        let rule = RetentionRule {
            record_type: self.record_type,
            years: self.years,
        };
        let before = retention::set_rule(&mut tx, rule).await?;
        if self.dry_run {
            tx.rollback().await?;
            self.form.say(
                &format!(
                    "{}: {} years would be set, {before} now; nothing was changed",
                    rule.record_type, rule.years
                ),
                &json!({
                    "dryRun": true, "recordType": rule.record_type, "years": rule.years, "before": before,
                }),
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        let of = |years: i32| json!({ "recordType": rule.record_type, "years": years });
        let entry = AuditEntry {
            resource_type: ResourceType::RetentionRule,
            old_value: Some(of(before)),
            new_value: Some(of(rule.years)),
            encryption: EncryptionStatus::NotApplicable,
            ..AuditEntry::new(
                SCHEDULER,
                AuditAction::RetentionRuleSet,
                Purpose::RecordManagement,
                &Origin::job(RequestId::fresh()),
            )
        };
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
        self.form.say(
            &format!(
                "{}: {} years, {before} before",
                rule.record_type, rule.years
            ),
            &json!({ "recordType": rule.record_type, "years": rule.years, "before": before }),
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
