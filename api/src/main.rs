//! MediTrustAl's GraphQL server and its operator's command line.

mod app;
mod audit;
mod bulk;
mod caller;
mod commands;
mod config;
mod connections;
mod consents;
mod cors;
mod counter;
mod deletion;
mod error;
mod feed;
mod gate;
mod graphql;
mod hashing;
mod health;
mod http;
mod integrity;
mod jwks;
mod loaders;
mod page;
mod playground;
mod proxies;
mod records;
mod relay;
mod request;
mod schema;
mod seats;
mod second_factor;
mod sessions;
mod sse;
mod throttle;
mod tokens;
mod users;
mod wallets;
mod websocket;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

/// A request is thousands of small texts.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let unknown = config::unknown_settings();
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // What is missing may be what was mistyped.
            for setting in unknown.iter().filter(|_| error.use_stderr()) {
                commands::note(&format!("meditrustal: {setting}"));
            }
            error.exit()
        }
    };
    cli.log.start();
    if let Err(risky) = cli.safety.judge(unknown) {
        return commands::fail(&risky);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return commands::fail(&error),
    };
    match runtime.block_on(cli.command.run(&cli.safety)) {
        Ok(code) => code,
        Err(error) => commands::fail(error.as_ref()),
    }
}
