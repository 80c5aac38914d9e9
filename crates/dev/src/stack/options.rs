//! How a stack is put up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::programs::{Profile, Programs};
use crate::chain::Mining;
use crate::process::Echo;
use crate::{config, say};

/// How a stack is put up.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Options {
    /// The clone's root directory.
    pub root: PathBuf,
    /// Whether the data outlives this process: then it is kept in `.dev`, once for each clone.
    pub keep: bool,
    /// How the programs are built.
    pub profile: Profile,
    /// Programs that are built already, such as those of another version.
    pub programs: Option<Programs>,
    /// Whether it is measured: each commit waits for the disk although nothing is kept, and the
    /// chain's node need not write its state every 15 seconds, which takes longer and longer.
    pub measured: bool,
    /// The api's port; 0 for one that is free.
    pub api_port: u16,
    /// The chain's port; 0 for one that is free, which is then kept where the stack is.
    pub chain_port: u16,
    /// PostgreSQL's port, in the same way.
    pub postgres_port: u16,
    /// The indexer's port, in the same way.
    pub indexer_port: u16,
    /// When the chain makes blocks.
    pub mining: Mining,
    /// A block is final when this many, twice, are on top of it.
    pub slots_in_an_epoch: u32,
    /// How often the audit trail is pinned in the registry, which is an event of its own; never, if left out.
    pub checkpoints: Option<Duration>,
    /// Whether a registry of consents is deployed beside the other, and told what patients sign.
    pub consents: bool,
    /// Whether the api anchors by two accounts, which share the load.
    pub two_signers: bool,
    /// What is shown of the programs' logs.
    pub echo: Echo,
    /// Whether it is told what is going on.
    pub progress: bool,
    /// A superuser's URL of a PostgreSQL that runs already.
    pub database_url: Option<String>,
    /// A chain that runs already, with anvil's well-known accounts.
    pub chain_rpc_url: Option<String>,
    /// More settings of our own PostgreSQL.
    pub postgres: Vec<(String, String)>,
    /// More environment of the api; a later entry wins.
    pub api: Vec<(String, String)>,
    /// More environment of the indexer; a later entry wins.
    pub indexer: Vec<(String, String)>,
}

impl Options {
    /// What `cargo dev` runs: kept, a block each second, what the environment names is used.
    pub fn persistent(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            keep: true,
            profile: Profile::Dev,
            programs: None,
            measured: false,
            api_port: 8000,
            chain_port: 0,
            postgres_port: 0,
            indexer_port: 0,
            mining: Mining::Every(Duration::from_secs(1)),
            slots_in_an_epoch: 2,
            checkpoints: Some(Duration::from_secs(600)),
            consents: true,
            two_signers: true,
            echo: Echo::Problems,
            progress: true,
            database_url: config::database_url(),
            chain_rpc_url: config::chain_rpc_url(),
            postgres: Vec::new(),
            api: Vec::new(),
            indexer: Vec::new(),
        }
    }

    /// What a test runs: all its own, on free ports, mining at once, silent, gone at the end.
    pub fn throw_away(root: &Path) -> Self {
        Self {
            keep: false,
            api_port: 0,
            mining: Mining::Instant,
            checkpoints: None,
            consents: false,
            two_signers: false,
            echo: Echo::Nothing,
            progress: false,
            database_url: None,
            chain_rpc_url: None,
            ..Self::persistent(root)
        }
    }

    /// What a benchmark runs: gone at the end as a test's, and else as it is in production. An
    /// optimised build, commits that wait for the disk, a block each second.
    pub fn benchmark(root: &Path) -> Self {
        Self {
            profile: Profile::Release,
            measured: true,
            mining: Mining::Every(Duration::from_secs(1)),
            ..Self::throw_away(root)
        }
    }

    pub(super) fn say(&self, text: impl std::fmt::Display) {
        if self.progress {
            say::progress(text);
        }
    }
}
