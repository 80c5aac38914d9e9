//! One of our programs, run as it is in production: with its own environment, watched until it
//! says over HTTP that it is ready.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::log::Follower;
use super::{Echo, Signal, Tie, Tied, tail};
use crate::{Error, Result, config};

/// How often readiness is asked for.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// What a program gets to finish what it is doing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to run, and how to know that it runs.
#[derive(Debug, Clone)]
pub struct Program {
    /// What the log lines and the errors call it.
    pub name: String,
    /// The executable.
    pub executable: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment, apart from `PATH`, `HOME` and the like.
    pub environment: Vec<(String, String)>,
    /// The file that gets everything it writes.
    pub log: PathBuf,
    /// The address that answers 200 when it is ready.
    pub ready_url: String,
    /// How long that may take.
    pub ready_within: Duration,
    /// What of its log is shown on our standard error as well, with its name before each line.
    pub echo: Echo,
}

/// A running program of ours. Dropping it stops it.
#[derive(Debug)]
pub struct Supervised {
    program: Program,
    process: Tied,
    _follower: Option<Follower>,
}

impl Supervised {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it cannot be started, ends, or is not ready in time: with the end of its log.
    pub async fn start(program: Program) -> Result<Self> {
        File::create(&program.log).map_err(Error::file("could not write", &program.log))?;
        let follower = (program.echo != Echo::Nothing)
            .then(|| Follower::start(&program.name, &program.log, program.echo));
        let process = launch(&program)?;
        let started = Self {
            program,
            process,
            _follower: follower,
        };
        started.ready().await?;
        Ok(started)
    }

    /// Stops it if it runs, and starts it again with the same environment; the log goes on.
    ///
    /// # Errors
    ///
    /// As [`Supervised::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await;
        self.process = launch(&self.program)?;
        self.ready().await
    }

    /// `SIGTERM`, and `SIGKILL` half a minute later; answers how it ended.
    pub async fn stop(&self) -> Option<ExitStatus> {
        let process = self.process.clone();
        tokio::task::spawn_blocking(move || process.stop(&[(Signal::TERM, PATIENCE)]))
            .await
            .ok()
            .flatten()
    }

    /// Its process, to be signalled in a test or seen to end.
    pub fn process(&self) -> &Tied {
        &self.process
    }

    /// What it was started with.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Waits until it is ready, as after a start; for a test that paused it.
    ///
    /// # Errors
    ///
    /// When it ends, or is not ready in time.
    pub async fn ready(&self) -> Result<()> {
        let deadline = Instant::now() + self.program.ready_within;
        let client = crate::http::client();
        loop {
            let answer = client
                .get(&self.program.ready_url)
                .timeout(Duration::from_secs(5));
            if answer
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            if let Some(status) = self.process.ended() {
                return Err(self.not_ready(format!("ended before it was ready ({status})")));
            }
            if Instant::now() > deadline {
                let limit = self.program.ready_within;
                return Err(self.not_ready(format!("was not ready within {limit:?}")));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn not_ready(&self, state: String) -> Error {
        Error::NotReady {
            program: self.program.name.clone(),
            state,
            output: tail(&self.program.log),
            log: self.program.log.clone(),
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.process
            .stop(&[(Signal::TERM, Duration::from_secs(10))]);
    }
}

fn launch(program: &Program) -> Result<Tied> {
    let failed = || Error::file("could not write", &program.log);
    let log = File::options()
        .append(true)
        .open(&program.log)
        .map_err(failed())?;
    let mut command = Command::new(&program.executable);
    command
        .args(&program.arguments)
        .env_clear()
        .envs(config::passed_on())
        .envs(program.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed())?)
        .stderr(log);
    Tied::start(command, Command::new("/bin/sh"), &Tie::terminate())
}
