//! What the environment may say to `cargo dev`. Nothing else in this crate reads it.
#![expect(
    clippy::disallowed_methods,
    reason = "this is config.rs; the library is configured the same way in tests, without clap"
)]

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// Variables handed on to every program that is started with an otherwise empty environment.
const PASSED_ON: [&str; 6] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "RUST_BACKTRACE",
    "MEDITRUSTAL_LOG",
];

fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// `DATABASE_URL`: a PostgreSQL that is already running, to be used instead of our own.
///
/// It must be the URL of a superuser: `cargo dev` creates roles and a database with it.
pub fn database_url() -> Option<String> {
    text("DATABASE_URL")
}

/// `CHAIN_RPC_URL`: a development chain that is already running, to be used instead of our own.
pub fn chain_rpc_url() -> Option<String> {
    text("CHAIN_RPC_URL")
}

/// `MEDITRUSTAL_PG_BIN`: the directory with the `postgres` and `initdb` to use.
pub fn postgres_bin() -> Option<PathBuf> {
    text("MEDITRUSTAL_PG_BIN").map(PathBuf::from)
}

/// `CARGO`: the cargo that started us, so that what we build is built by the same one.
pub fn cargo() -> PathBuf {
    text("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// The directories of `PATH`.
pub fn path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default()
}

/// The part of our environment that a program started by us may see.
pub fn passed_on() -> Vec<(&'static str, OsString)> {
    PASSED_ON
        .iter()
        .filter_map(|name| Some((*name, env::var_os(name)?)))
        .collect()
}
