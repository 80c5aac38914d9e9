//! The ports of a kept stack: the same from start to start, so that what somebody has written down stays true.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, port, say};

/// How long a program of a run that was killed may hold its port.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the programs listen that are not asked for by port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ports {
    /// The chain's node.
    pub(super) chain: u16,
    /// PostgreSQL.
    pub(super) postgres: u16,
    /// The indexer's health.
    pub(super) indexer: u16,
}

impl Ports {
    /// Those of the last run; of the first one claimed ones. One that somebody else has taken
    /// meanwhile is replaced for this run alone.
    pub(super) fn of(dir: &Path) -> Result<Self> {
        let path = dir.join("ports.json");
        let kept = fs::read(&path).ok();
        let kept = kept.and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let kept = kept.map_or_else(|| Self::fresh(&path), Ok)?;
        Ok(Self {
            chain: usable("the chain", kept.chain)?,
            postgres: usable("PostgreSQL", kept.postgres)?,
            indexer: usable("the indexer", kept.indexer)?,
        })
    }

    /// Claimed ports, written down.
    fn fresh(path: &Path) -> Result<Self> {
        let fresh = Self {
            chain: port::claim()?,
            postgres: port::claim()?,
            indexer: port::claim()?,
        };
        let text = serde_json::json!(fresh).to_string();
        fs::write(path, text).map_err(Error::file("could not write", path))?;
        Ok(fresh)
    }
}

fn usable(whose: &str, port: u16) -> Result<u16> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) if Instant::now() > deadline => {
                say::progress(format_args!(
                    "port {port} of {whose} cannot be used ({error}): another one is, this time"
                ));
                return port::claim();
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn ports_stay_the_same_and_give_way_for_a_run_to_who_has_taken_one() {
        let dir = Scratch::new("ports").expect("a directory is made");
        let first = Ports::of(dir.path()).expect("there are free ports");
        assert_eq!(Ports::of(dir.path()).expect("the same"), first);

        let taken = TcpListener::bind(("127.0.0.1", first.chain)).expect("it is free");
        let meanwhile = Ports::of(dir.path()).expect("another port");
        assert_ne!(meanwhile.chain, first.chain);
        assert_eq!(meanwhile.postgres, first.postgres);

        drop(taken);
        assert_eq!(Ports::of(dir.path()).expect("the same again"), first);
    }
}
