//! The indexer: the only process that listens to the chain. It follows the registry's events, moves
//! each record's anchor to where the chain says it is, and looks for what does not fit together. It
//! does not link `vault`: the process that faces the chain cannot decrypt a record.

mod apply;
mod config;
mod core_dumps;
mod deadline;
mod error;
mod fetch;
mod follow;
mod health;
mod instruments;
mod leader;
mod notifications;
mod plan;
mod position;
mod reconcile;
mod run;
mod status;
mod sweep;

use std::process::ExitCode;

use clap::CommandFactory as _;
use domain::environment::unknown_settings;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, LogFormat};

#[tokio::main]
async fn main() -> ExitCode {
    let unknown = unknown_settings(
        settings::variables_set(),
        &settings::variables_of(Config::command()),
    );
    // What is missing may be what was mistyped.
    let config = settings::parse::<Config>(&unknown);
    log(&config);
    if let Err(risky) = config.judge(unknown) {
        tracing::error!("{risky}");
        return ExitCode::FAILURE;
    }
    if let Err(error) = core_dumps::forbid() {
        tracing::error!(%error, "Core dumps cannot be forbidden");
        return ExitCode::FAILURE;
    }
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    match run::run(config, stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", error::with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Lines go to the standard error: the standard output is nobody's here.
fn log(config: &Config) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(&config.log))
        .with_writer(std::io::stderr)
        .with_ansi(false);
    match config.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

/// SIGTERM or SIGINT: finish the transaction, release the lock, exit 0.
fn stop_on_signals(stop: CancellationToken) {
    tokio::spawn(async move {
        let terminated = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
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
