//! The anvil process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::rpc::{quantity, rpc};
use crate::process::{Signal, Tie, Tied, tail};
use crate::tools::Tools;
use crate::{Error, Result, config, port};

/// Loading the state of a long-lived chain is part of it.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Writing the state of a long-lived chain is part of it.
const STOPPED_WITHIN: Duration = Duration::from_mins(1);

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// One for each transaction, at once.
    Instant,
    /// One each time this has passed, in whole seconds, with or without transactions.
    Every(Duration),
    /// Only when `anvil_mine` or `evm_mine` asks for one.
    OnDemand,
}

/// Where the chain comes from, and whether it is kept.
#[derive(Debug, Clone)]
pub enum NodeState {
    /// A new chain, forgotten at the end.
    Fresh,
    /// Read from this file if it is there, and written to it every 15 seconds and at the end.
    Kept(PathBuf),
    /// Read from this file, which is left as it is.
    Loaded(PathBuf),
}

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// When blocks are made.
    pub mining: Mining,
    /// Where the chain comes from.
    pub state: NodeState,
    /// A block is final when this many, twice, are on top of it.
    pub slots_in_an_epoch: u32,
    /// The port to listen on; 0 for one that is free.
    pub port: u16,
    /// The chain's id.
    pub chain_id: u64,
    /// More of anvil's options, as on its command line.
    pub more: Vec<String>,
}

impl Default for Options {
    /// A new chain with the id 31337 that mines at once, final after four blocks, on a free port.
    fn default() -> Self {
        Self {
            mining: Mining::Instant,
            state: NodeState::Fresh,
            slots_in_an_epoch: 2,
            port: 0,
            chain_id: 31337,
            more: Vec::new(),
        }
    }
}

/// A running node. Dropping it stops it, and lets it write its state first.
#[derive(Debug)]
pub struct Node {
    tools: Tools,
    options: Options,
    dir: PathBuf,
    port: u16,
    process: Tied,
}

impl Node {
    /// Starts a node that keeps its log and its temporary files in `dir`, and waits until it
    /// answers.
    ///
    /// # Errors
    ///
    /// When it does not answer in time: with the end of its log.
    pub async fn start(tools: &Tools, options: Options, dir: &Path) -> Result<Self> {
        // What anvil swaps out while it runs, and leaves there when it is killed.
        fs::remove_dir_all(dir.join(".foundry")).ok();
        fs::create_dir_all(dir).map_err(Error::file("could not make", dir))?;
        let port = match options.port {
            0 => port::claim()?,
            given => given,
        };
        let process = launch(tools, &options, dir, port)?;
        let node = Self {
            tools: tools.clone(),
            options,
            dir: dir.to_owned(),
            port,
            process,
        };
        node.ready().await?;
        Ok(node)
    }

    /// Stops the node if it runs, and starts it again on the same port. What was not kept in a
    /// state file is gone.
    ///
    /// # Errors
    ///
    /// As [`Node::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await;
        self.process = launch(&self.tools, &self.options, &self.dir, self.port)?;
        self.ready().await
    }

    /// Stops the node when it has written its state.
    pub async fn stop(&self) {
        let process = self.process.clone();
        let stop = move || process.stop(&[(Signal::TERM, STOPPED_WITHIN)]);
        tokio::task::spawn_blocking(stop).await.ok();
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process, to be signalled in a test or seen to end.
    pub fn process(&self) -> &Tied {
        &self.process
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("anvil.log")
    }

    async fn ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answer = rpc(&self.url(), "eth_chainId", serde_json::json!([])).await;
            // Somebody else's node on a port that ours did not get is not ours.
            if let Some(status) = self.process.ended() {
                return Err(self.not_ready(format!("ended ({status})")));
            }
            if answer.is_ok_and(|id| quantity(&id) == Some(self.options.chain_id)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("was not ready within {READY_WITHIN:?}")));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    fn not_ready(&self, state: String) -> Error {
        Error::NotReady {
            program: "anvil".to_owned(),
            state,
            output: tail(&self.log()),
            log: self.log(),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.stop(&[(Signal::TERM, STOPPED_WITHIN)]);
    }
}

fn launch(tools: &Tools, options: &Options, dir: &Path, port: u16) -> Result<Tied> {
    let path = dir.join("anvil.log");
    let failed = || Error::file("could not write", &path);
    let log = File::create(&path).map_err(failed())?;
    let mut anvil = Command::new(tools.anvil()?);
    anvil
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args([
            "--chain-id",
            &options.chain_id.to_string(),
            "--enable-tx-gas-limit",
        ])
        .args([
            "--slots-in-an-epoch",
            &options.slots_in_an_epoch.to_string(),
        ])
        .args(["--color", "never"]);
    if let Some(hardfork) = evm_version(tools.root()) {
        anvil.args(["--hardfork", &hardfork]);
    }
    match options.mining {
        Mining::Instant => {}
        Mining::Every(time) => {
            anvil.args(["--block-time", &time.as_secs().max(1).to_string()]);
        }
        Mining::OnDemand => {
            anvil.arg("--no-mining");
        }
    }
    match &options.state {
        NodeState::Fresh => {}
        NodeState::Kept(file) => {
            anvil
                .arg("--state")
                .arg(file)
                .args(["--state-interval", "15"]);
        }
        NodeState::Loaded(file) => {
            anvil.arg("--load-state").arg(file);
        }
    }
    anvil
        .args(&options.more)
        .env_clear()
        .envs(config::passed_on())
        .env("HOME", dir)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed())?)
        .stderr(log);
    let tie = Tie {
        ask: "TERM",
        force: "KILL",
        remove: None,
    };
    Tied::start(anvil, Command::new("/bin/sh"), &tie)
}

/// The EVM that the contracts are compiled for, from `foundry.toml`.
fn evm_version(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("foundry.toml")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("evm_version"))?;
    Some(line.split('"').nth(1)?.to_owned())
}
