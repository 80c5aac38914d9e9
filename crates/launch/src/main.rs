//! What `cargo dev` begins with: it goes to the root of the clone and has cargo build and run the real thing.
//!
//! cargo's own alias cannot do that. In a member's directory `cargo run --bin dev` looks in that member alone,
//! and `--package dev` would compile what dev and the product share a second time, with other features.
//! This stands on nothing but the standard library, so that it is there at once.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    // Nothing is returned where it works: this process becomes that one.
    let error = Command::new(env!("CARGO"))
        .args(["run", "--bin", "dev", "--"])
        .args(std::env::args_os().skip(1))
        .current_dir(root)
        .exec();
    // Nobody to tell: the exit code says it.
    writeln!(std::io::stderr(), "cargo cannot be started: {error}").ok();
    ExitCode::FAILURE
}
