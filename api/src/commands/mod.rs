//! What the operator, and whoever has records to bring in or take out, can tell the program to do.

mod admin;
mod audit;
mod backup;
mod config;
mod database;
mod erasures;
mod everything;
mod export;
mod file_state;
mod health;
mod import;
mod keys;
mod maintain;
mod migrate;
mod output;
mod records;
mod remote;
mod restore;
mod retention;
mod seal;
mod serve;
mod signer;
mod stopped;
mod token_keys;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use domain::environment::{self, Risk};
use settings::{ConfigCommand, GivenSettings};
use telemetry::{LogSettings, StartError, Telemetry};

pub(crate) use self::output::fail;
use self::output::{Failure, say};
use crate::{
    config::{CommonFiles, LogConfig, LogFormat, SafetyConfig, ServeConfig},
    schema,
};

/// Medical records that hospitals, patients and auditors can trust
#[derive(Debug, Parser)]
#[command(name = "meditrustal", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogConfig,
    #[command(flatten)]
    pub(crate) safety: SafetyConfig,
    #[command(flatten)]
    pub(crate) files: CommonFiles,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve GraphQL
    Serve(Box<ServeConfig>),
    /// Check the whole installation. Exits with 1 where something is beyond its limit, with 2 where
    /// something is critical
    Health(Box<health::CheckHealth>),
    /// Make the roles and the database
    #[command(subcommand)]
    Database(database::DatabaseCommand),
    /// Apply or revert migrations of the database, after a backup
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Make backups, list, verify and prune them
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Restore a backup into an empty database
    Restore(Box<restore::RestoreBackup>),
    /// Create administrators, and reset a second factor that was lost
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Make key files, and rotate the master keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Show the accounts that sign on the chain, adopt their nonces, and replace their keys
    #[command(subcommand)]
    Signer(signer::SignerCommand),
    /// Seal rows that were changed by hand, or were written before seals existed
    #[command(subcommand)]
    Seal(seal::SealCommand),
    /// Checkpoint, verify and export the audit trail
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Erase again after a restore what was erased before, and write the erasure ledger
    #[command(subcommand)]
    Erasures(erasures::ErasuresCommand),
    /// Run VACUUM, ANALYZE and REINDEX when they are due
    #[command(subcommand)]
    Maintain(maintain::MaintainCommand),
    /// Remove records and audit rows whose retention period is over
    #[command(subcommand)]
    Retention(retention::RetentionCommand),
    /// Read off documents again what their records are found by
    #[command(subcommand)]
    Records(records::RecordsCommand),
    /// Compare a document with the chain, without database, keys or api
    Verify(verify::VerifyDocument),
    /// Import records from a file: NDJSON, a FHIR Bundle, or an archive
    Import(Box<import::ImportFile>),
    /// Export a patient's records into a file
    Export(Box<export::ExportFile>),
    /// Check and show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print schema.graphql
    Schema,
}

impl Cli {
    /// The risk of each line in clear text beyond this machine that the command may use, but for those that `serve` judges
    /// together with what it finds in its database.
    pub(crate) fn plain_lines(&self, given: &GivenSettings) -> Vec<Risk> {
        let collector = self.log.otlp_url.as_deref();
        let mut risks = Vec::from_iter(collector.and_then(environment::plain_collector));
        if matches!(self.command, Command::Serve(_)) {
            return risks;
        }
        let values = given.values(&Self::command());
        risks.extend(store::inspect::plain_lines(&values));
        // Nothing secret goes to an api without a token.
        let has_token = values
            .iter()
            .any(|(variable, _)| variable == "MEDITRUSTAL_TOKEN_FILE");
        let mut api = values
            .iter()
            .filter(|(variable, _)| has_token && variable == "MEDITRUSTAL_URL");
        risks.extend(api.find_map(|(_, url)| environment::plain_api(url)));
        risks
    }
}

impl Command {
    /// The exit code where it is refused before anything is done: none by which it says what it found.
    pub(crate) fn refused(&self) -> ExitCode {
        let has_findings = matches!(
            self,
            Self::Health(_) | Self::Verify(_) | Self::Audit(_) | Self::Import(_) | Self::Export(_)
        );
        ExitCode::from(if has_findings { 2 } else { 1 })
    }

    /// Carries the command out.
    ///
    /// # Errors
    /// What made it fail.
    pub(crate) async fn run(
        self,
        files: &CommonFiles,
        safety: &SafetyConfig,
        given: &GivenSettings,
    ) -> Result<ExitCode, Failure> {
        // What serves hears signals by itself, and ends in order.
        if !matches!(self, Self::Serve(_)) {
            stopped::end_on_sigterm()?;
        }
        match self {
            Self::Serve(config) => serve::serve(*config, safety).await?,
            Self::Health(command) => return command.run().await,
            Self::Database(command) => command.run().await?,
            Self::Migrate(command) => return command.run().await,
            Self::Backup(command) => return command.run().await,
            Self::Restore(command) => return command.run(files, safety).await,
            Self::Admin(command) => command.run().await?,
            Self::Keys(command) => command.run().await?,
            Self::Signer(command) => command.run().await?,
            Self::Seal(command) => command.run().await?,
            Self::Audit(command) => return command.run().await,
            Self::Erasures(command) => return command.run().await,
            Self::Maintain(command) => return command.run().await,
            Self::Retention(command) => return command.run().await,
            Self::Records(command) => return command.run().await,
            Self::Verify(command) => return command.run().await,
            Self::Import(command) => return command.run().await,
            Self::Export(command) => return command.run().await,
            Self::Config(command) => return config::run(&command, safety, given).await,
            Self::Schema => say(schema::sdl().trim_end())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl LogConfig {
    /// Starts logging.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) fn start(self) -> Result<Telemetry, StartError> {
        telemetry::start(&LogSettings {
            filter: self.filter,
            is_json: self.format == LogFormat::Json,
            file: self.log_file,
            collector: self.otlp_url,
            service: "meditrustal",
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    /// The commands that look, and those that write nothing but the file that they are asked for.
    const CHANGE_NOTHING: [&str; 16] = [
        "serve",
        "health",
        "migrate status",
        "backup list",
        "backup verify",
        "keys status",
        "signer status",
        "audit export",
        "maintain status",
        "retention rules",
        "verify",
        "export",
        "config check",
        "config show",
        "schema",
        "help",
    ];

    /// The commands that do something, by all their words, and whether each can be tried out.
    fn leaves(command: &clap::Command, words: &str, all: &mut Vec<(String, bool)>) {
        for each in command.get_subcommands() {
            let words = format!("{words} {}", each.get_name());
            if each.has_subcommands() {
                leaves(each, &words, all);
            } else {
                let mut options = each.get_arguments().filter_map(clap::Arg::get_long);
                all.push((
                    words.trim().to_owned(),
                    options.any(|option| option == "dry-run"),
                ));
            }
        }
    }

    #[test]
    fn every_address_of_a_database_or_a_node_is_judged() {
        // Who judges these is another one, or nothing secret goes there.
        let others = [
            "MEDITRUSTAL_INDEXER_URL",
            "MEDITRUSTAL_OTLP_URL",
            "MEDITRUSTAL_URL",
        ];
        let mut judged = 0;
        for variable in settings::variables_of(Cli::command()) {
            let is_address = variable.ends_with("_URL") || variable.ends_with("_URLS");
            if !is_address || others.contains(&variable.as_str()) {
                continue;
            }
            let url = if variable.contains("DATABASE") {
                "postgres://nobody@db.example.org/meditrustal"
            } else {
                "http://node.example.org"
            };
            let risks = store::inspect::plain_lines(&[(variable.clone(), url.to_owned())]);
            assert_eq!(risks.len(), 1, "{variable}");
            judged += 1;
        }
        assert!(judged > 15, "{judged}");
    }

    #[test]
    fn every_command_that_changes_something_can_be_tried_out() {
        let mut all = Vec::new();
        leaves(&Cli::command(), "", &mut all);
        assert!(all.len() > 30, "{all:?}");
        let lacking = all.iter().filter(|(_, can_be_tried)| !can_be_tried);
        let lacking: Vec<&str> = lacking
            .map(|(words, _)| words.as_str())
            .filter(|words| !CHANGE_NOTHING.contains(words))
            .collect();
        assert!(lacking.is_empty(), "without --dry-run: {lacking:?}");
    }
}
