//! `cargo dev`: the whole product on a developer's machine, with one command.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dev::say;

/// The whole product on this machine: PostgreSQL, a chain, the api, the indexer, some people.
#[derive(Debug, Parser)]
#[command(
    name = "cargo dev",
    bin_name = "cargo dev",
    version,
    args_conflicts_with_subcommands = true
)]
#[command(after_help = "Environment:
  DATABASE_URL        use this PostgreSQL, by the URL of a superuser, and not one of our own
  CHAIN_RPC_URL       use this development chain, which has anvil's accounts, and not our own
  MEDITRUSTAL_PG_BIN  take postgres and initdb from this directory
  MEDITRUSTAL_LOG     what the api and the indexer log: warn, info, debug")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command: everything, until Ctrl-C.
    #[command(flatten)]
    up: commands::up::Up,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(commands::up::Up),
    Demo(commands::demo::Demo),
    As(commands::log_in_as::LogInAs),
    /// Stop the `cargo dev` that runs in this clone.
    Stop,
    Sqlx(commands::sqlx::Sqlx),
    Tools(commands::tools::InstallTools),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command.unwrap_or(Command::Up(arguments.up)) {
        Command::Up(up) => up.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::As(person) => person.run().await,
        Command::Stop => commands::stop::run(),
        Command::Sqlx(sqlx) => sqlx.run().await,
        Command::Tools(tools) => tools.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::progress(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
