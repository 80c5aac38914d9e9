//! `meditrustal config`: what is set, where, and whether an api could start with it. Nothing is started, and neither the
//! database nor the node is asked.

use std::process::ExitCode;

use clap::CommandFactory as _;
use settings::{ConfigCommand, GivenSettings};

use super::{
    Cli, Command,
    output::{Failure, refuse, say},
    serve,
};
use crate::config::SafetyConfig;

/// What the settings of an api are read as.
const SERVE: [&str; 1] = ["serve"];

/// Carries the command out.
///
/// # Errors
/// What cannot be used together, or is refused where real records are kept.
pub(super) async fn run(
    command: &ConfigCommand,
    safety: &SafetyConfig,
    given: &GivenSettings,
) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Show { json } => {
            if !given.mistakes().is_empty() {
                return Ok(refuse(given.mistakes()));
            }
            say(&settings::show(&Cli::command(), given, *json))?;
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Check { json } => check(safety, given, *json).await,
    }
}

async fn check(
    safety: &SafetyConfig,
    given: &GivenSettings,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let cli = match settings::check::<Cli>(given, &SERVE) {
        Ok(cli) => cli,
        Err(mistakes) => return Ok(refuse(&mistakes)),
    };
    if let Command::Serve(config) = cli.command {
        if let Err(mistakes) = serve::read_files(&config).await {
            return Err(settings::told(&mistakes).into());
        }
        safety.judge(config.risks())?;
    }
    say(settings::usable(as_json))?;
    Ok(ExitCode::SUCCESS)
}
