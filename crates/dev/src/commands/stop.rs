//! `cargo dev stop`: ends the run of this clone, from another terminal.

use std::time::Duration;

use dev::stack::Run;
use dev::{Result, repository, say};

pub(crate) fn run() -> Result<()> {
    match Run::stop(&repository::root()?, Duration::from_mins(2))? {
        Some(pid) => say::line(format_args!("stopped cargo dev (process {pid})")),
        None => say::line("cargo dev is not running in this clone"),
    }
    Ok(())
}
