//! The indexer: the only process that listens to the chain. It follows the registry's events, moves
//! each record's anchor to where the chain says it is, and looks for what does not fit together. It
//! does not link `vault`: the process that faces the chain cannot decrypt a record.

mod apply;
mod config;
mod core_dumps;
mod deadline;
mod endpoints;
mod error;
mod fetch;
mod follow;
mod heads;
mod health;
mod held;
mod instruments;
mod leader;
mod lease;
mod notifications;
mod plan;
mod position;
mod progress;
mod reconcile;
mod replay;
mod run;
mod status;
mod status_command;
mod sweep;

use std::{error::Error, io::Write as _, process::ExitCode};

use clap::CommandFactory as _;
use domain::environment::{self, Risk, unknown_settings};
use settings::{ConfigCommand, GivenSettings};
use telemetry::{LogSettings, StartError, Telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, INSPECTIONS, Inspector, InspectorCommand, LogFormat};

#[tokio::main]
async fn main() -> ExitCode {
    let own = settings::variables_of(Config::command());
    let given = GivenSettings::read(settings::SettingNames {
        variables: [environment::variables(), own.clone()].concat(),
        secrets: environment::SECRETS.map(str::to_owned).to_vec(),
    });
    let unknown = unknown_settings(given.variables(), &own);
    let root = Inspector::command();
    if INSPECTIONS.iter().any(|name| given.is_for(&root, name)) {
        let asked = settings::parse::<Inspector>(&given, &unknown);
        if let Err(error) = tls::trust(asked.files.root_certificates.as_deref()) {
            settings::refuse("meditrustal-indexer", &[error::with_causes(&error)]);
        }
        // They log nothing: what is accepted is not warned of.
        let lines = store::inspect::plain_lines(&given.values(&root));
        if let Err(risky) = asked.safety.judge(lines) {
            tell(&risky);
            return ExitCode::from(2);
        }
        if let Err(error) = end_on_sigterm() {
            return fail(&error);
        }
        return match &asked.command {
            InspectorCommand::Config(command) => inspect(command, &given, unknown),
            InspectorCommand::Status(arguments) => status_command::run(arguments).await,
            InspectorCommand::Replay(arguments) => Box::pin(replay::run(arguments)).await,
        };
    }
    // What is missing may be what was mistyped.
    let config = settings::parse::<Config>(&given, &unknown);
    // Before anybody is spoken to, the collector of traces among them.
    if let Err(error) = tls::trust(config.files.root_certificates.as_deref()) {
        return fail(&error);
    }
    let telemetry = match log(&config) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(&error),
    };
    if let Err(risky) = config.safety.judge(unknown) {
        tracing::error!("{risky}");
        return ExitCode::FAILURE;
    }
    if let Some(file) = &config.files.config {
        tracing::debug!("Settings are read from {}", file.display());
    }
    if let Err(error) = core_dumps::forbid() {
        tracing::error!(%error, "Core dumps cannot be forbidden");
        return ExitCode::FAILURE;
    }
    let running = match telemetry.begin() {
        Ok(running) => running,
        Err(error) => return fail(&error),
    };
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    let ran = run::run(config, stop).await;
    let code = match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", error::with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    };
    running.end().await;
    code
}

/// Looks at the settings, and starts nothing.
fn inspect(command: &ConfigCommand, given: &GivenSettings, unknown: Vec<Risk>) -> ExitCode {
    let refused = |mistakes: &[String]| (ExitCode::from(2), Err(settings::told(mistakes)));
    let (code, said) = match command {
        ConfigCommand::Show { .. } if !given.mistakes().is_empty() => refused(given.mistakes()),
        ConfigCommand::Show { json } => (
            ExitCode::SUCCESS,
            Ok(settings::show(&Config::command(), given, *json)),
        ),
        ConfigCommand::Check { json } => match settings::check::<Config>(given, &[]) {
            Err(mistakes) => refused(&mistakes),
            Ok(config) => match run::check(&config, unknown) {
                Ok(()) => (ExitCode::SUCCESS, Ok(settings::usable(*json).to_owned())),
                Err(error) => (ExitCode::FAILURE, Err(error::with_causes(error.as_ref()))),
            },
        },
    };
    let written = match said {
        Ok(said) => writeln!(std::io::stdout(), "{said}"),
        Err(said) => {
            settings::tell_program(&said);
            writeln!(std::io::stderr(), "meditrustal-indexer: {said}")
        }
    };
    match written {
        Ok(()) => code,
        // Nobody reads it any more.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Tells why nothing can be done, where nothing is logged.
fn tell(error: &dyn Error) {
    // Nobody to tell: the exit code says it.
    let why = error::with_causes(error);
    writeln!(std::io::stderr(), "meditrustal-indexer: {why}").ok();
    settings::tell_program(&why);
}

/// Tells why nothing can be logged.
fn fail(error: &dyn Error) -> ExitCode {
    tell(error);
    ExitCode::FAILURE
}

/// Starts logging.
fn log(config: &Config) -> Result<Telemetry, StartError> {
    telemetry::start(&LogSettings {
        filter: config.log.clone(),
        is_json: config.log_format == LogFormat::Json,
        file: config.log_file.clone(),
        collector: config.otlp_url.clone(),
        service: "meditrustal-indexer",
    })
}

/// Ends an inspection at SIGTERM, from now on: as if it were killed, which leaves nothing half done, but it says so. The exit code is as
/// shells tell of a program that SIGTERM ended.
fn end_on_sigterm() -> std::io::Result<()> {
    const STOPPED: i32 = 143;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        if terminate.recv().await.is_some() {
            // Nobody to tell: the exit code says it.
            writeln!(
                std::io::stderr(),
                "meditrustal-indexer: told to stop before it was through: nothing is half done; run it again"
            )
            .ok();
            std::process::exit(STOPPED);
        }
    });
    Ok(())
}

/// SIGTERM or SIGINT: finish the transaction, release the lock, exit 0.
fn stop_on_signals(stop: CancellationToken) {
    tokio::spawn(async move {
        let terminated = async {
            match signal(SignalKind::terminate()) {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminated => {}
        }
        tracing::info!("Stopping");
        stop.cancel();
    });
}
