//! What every command has: files that are read first, whether real records are kept, and how to log.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, builder::PossibleValuesParser};
use domain::environment::{Environment, RISKS, Risk, TooRisky};

/// Files that every command reads before anything else.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonFiles {
    /// A file of settings, in TOML, for what neither the command line nor the environment sets: `ops/meditrustal.toml` names
    /// them all
    #[arg(long, env = "MEDITRUSTAL_CONFIG", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Certificates of authorities that are trusted besides the system's where a node or an api is reached by https, in PEM
    #[arg(
        long,
        env = "MEDITRUSTAL_ROOT_CERTIFICATES",
        value_name = "FILE",
        global = true
    )]
    pub(crate) root_certificates: Option<PathBuf>,
}

impl CommonFiles {
    /// The same files as words of a command line, for a program of ours that this one starts.
    pub(crate) fn as_words(&self) -> Vec<OsString> {
        let named = [
            ("--config", &self.config),
            ("--root-certificates", &self.root_certificates),
        ];
        let named = named
            .into_iter()
            .filter_map(|(option, file)| Some([OsString::from(option), file.as_ref()?.into()]));
        named.flatten().collect()
    }
}

/// Whether real records are kept here.
#[derive(Debug, Clone, Args)]
pub(crate) struct SafetyConfig {
    /// Where real records are kept: production. Where none are: development; then what is insecure is warned
    /// of and not refused
    #[arg(
        long,
        env = "MEDITRUSTAL_ENVIRONMENT",
        default_value = "production",
        global = true
    )]
    environment: Environment,

    /// What is accepted in production although it is insecure, comma separated: the words in brackets of
    /// what was refused
    #[arg(long, env = "MEDITRUSTAL_ACCEPTED_RISKS", value_delimiter = ',', global = true,
          value_parser = PossibleValuesParser::new(RISKS))]
    accepted_risks: Vec<String>,
}

impl SafetyConfig {
    /// The same as words of a command line, for a program of ours that this one starts.
    pub(crate) fn as_words(&self) -> Vec<OsString> {
        let environment = ["--environment", self.environment.as_str()].map(OsString::from);
        let mut words = environment.to_vec();
        if !self.accepted_risks.is_empty() {
            words.push("--accepted-risks".into());
            words.push(self.accepted_risks.join(",").into());
        }
        words
    }

    /// Warns of what is insecure.
    ///
    /// # Errors
    /// [`TooRisky`] where it must not be.
    pub(crate) fn judge(&self, risks: Vec<Risk>) -> Result<(), TooRisky> {
        for risk in self.environment.judge(risks, &self.accepted_risks)? {
            tracing::warn!("Not safe for real records: {risk}");
        }
        Ok(())
    }
}

/// How to log.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogConfig {
    /// What to log: a level, or `tracing`'s filter syntax
    #[arg(
        long = "log",
        env = "MEDITRUSTAL_LOG",
        default_value = "info",
        global = true
    )]
    pub(crate) filter: String,

    /// How to print it
    #[arg(
        long = "log-format",
        env = "MEDITRUSTAL_LOG_FORMAT",
        default_value = "text",
        global = true
    )]
    pub(crate) format: LogFormat,

    /// The file to append lines to instead of the standard error; opened again on SIGHUP
    #[arg(long = "log-file", env = "MEDITRUSTAL_LOG_FILE", global = true)]
    pub(crate) log_file: Option<PathBuf>,

    /// What collects traces by OTLP over HTTP, such as `http://127.0.0.1:4318`; without it there are none
    #[arg(
        long,
        env = "MEDITRUSTAL_OTLP_URL",
        hide_env_values = true,
        value_parser = telemetry::collector_url,
        global = true
    )]
    pub(crate) otlp_url: Option<String>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}
