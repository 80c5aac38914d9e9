//! How many files and connections a process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{Error, Result};

/// Lets this process, and each one that it starts from then on, have so many open at least.
///
/// # Errors
///
/// When fewer are allowed, and this process may not raise that.
pub fn allow_open_files(count: u64) -> Result<()> {
    let allowed = getrlimit(Resource::Nofile);
    let is_less = |limit: Option<u64>| limit.is_some_and(|limit| limit < count);
    if !is_less(allowed.current) {
        return Ok(());
    }
    let wanted = Rlimit {
        current: Some(count),
        // What root alone may raise.
        maximum: allowed.maximum.map(|maximum| maximum.max(count)),
    };
    setrlimit(Resource::Nofile, wanted).map_err(|error| {
        Error::Needs(format!(
            "{count} open files are needed, and fewer are allowed ({error}): raise the hard limit, `ulimit -Hn`"
        ))
    })
}
