//! `cargo dev`: the whole product on a developer's machine, with one command.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dev::say;

/// The whole product on this machine, with one command.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record what the database says about the statements of crates/store, in .sqlx.
    Sqlx(commands::sqlx::Sqlx),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Sqlx(sqlx) => sqlx.run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::progress(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
