//! A PostgreSQL of our own: found, initialised, started, watched and stopped.
//!
//! Everything here blocks for up to some seconds; call it from `spawn_blocking` in async code.
//! `docs/decisions/dev-postgresql.md` says why we start it ourselves.

mod binaries;
mod heal;
mod home;
mod init;
mod options;
mod run_as;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

pub use binaries::Binaries;
pub use options::Options;
pub use run_as::RunAs;

use crate::process::{Signal, Tie, Tied, tail};
use crate::{Error, Result, port};
use home::Home;

/// The superuser's name.
const SUPERUSER: &str = "meditrustal";
/// How long a server may take to get ready; recovery after a crash is part of it.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A running cluster. Dropping it stops it; a throw-away one is removed.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    binaries: Binaries,
    home: Home,
    password: String,
    server: Tied,
    port: u16,
}

impl Cluster {
    /// Starts a cluster; initialises it on the first time, heals what a killed run left.
    ///
    /// # Errors
    ///
    /// When no PostgreSQL can be run here, when another run holds the same data, or when the
    /// server does not get ready; each says what to do or shows the end of the log.
    pub fn start(options: Options) -> Result<Self> {
        let home = if options.throw_away {
            Home::throw_away()
        } else {
            Home::of_clone(&options.root)
        }?;
        let data = home.data();
        heal::heal(&data)?;
        let major = fs::read_to_string(data.join("PG_VERSION")).ok();
        let major = major.and_then(|major| major.trim().parse().ok());
        let binaries = Binaries::find(&home.user, &options.root, major)?;
        let password = home.password()?;
        if major.is_none() {
            init::init(&home, &binaries, &options)?;
        }
        let (server, port) = serve(&options, &binaries, &home, options.port)?;
        Ok(Self {
            options,
            binaries,
            home,
            password,
            server,
            port,
        })
    }

    /// Removes the data of this clone's cluster.
    ///
    /// # Errors
    ///
    /// When a run still uses it, or when it cannot be removed.
    pub fn forget(root: &Path) -> Result<()> {
        let home = Home::of_clone(root)?;
        heal::heal(&home.data())?;
        fs::remove_dir_all(&home.dir).map_err(Error::file("could not remove", &home.dir))
    }

    /// Starts the server again after it ended, on the same data and port.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        heal::heal(&self.home.data())?;
        let port = Some(self.port);
        (self.server, self.port) = serve(&self.options, &self.binaries, &self.home, port)?;
        Ok(())
    }

    /// Stops the server: clients are cut off, what is committed is on disk.
    pub fn stop(&self) {
        self.server.stop(&[
            (Signal::INT, Duration::from_secs(10)),
            (Signal::QUIT, Duration::from_secs(5)),
        ]);
    }

    /// All of its processes stand still until [`Cluster::resume`]: connections stay open, and nobody answers. Outside Linux, which
    /// lists them, the first process alone, so that nobody connects.
    pub fn pause(&self) {
        // It starts no other from then on.
        self.server.signal(Signal::STOP);
        heal::tell_all(&self.home.data(), Signal::STOP);
    }

    /// They go on after [`Cluster::pause`].
    pub fn resume(&self) {
        heal::tell_all(&self.home.data(), Signal::CONT);
    }

    /// The server's process: to signal it in a test, or to see that it has ended.
    pub fn server(&self) -> &Tied {
        &self.server
    }

    /// Always `127.0.0.1`.
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The version that runs: `18.4`.
    pub fn version(&self) -> &str {
        &self.binaries.version
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.home.data()
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.home.log()
    }

    /// The URL of `database` for the superuser; every cluster has one named `postgres`.
    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, &self.password, database)
    }

    /// The URL of `database` for a role. The password goes in as it is: no reserved characters.
    pub fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!(
            "postgres://{role}:{password}@{}:{}/{database}",
            self.host(),
            self.port
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Who stands still hears nothing.
        self.resume();
        if self.options.throw_away {
            self.server.stop(&[(Signal::QUIT, Duration::from_secs(5))]);
        } else {
            self.stop();
        }
    }
}

/// Starts the server and waits until it answers.
fn serve(
    options: &Options,
    binaries: &Binaries,
    home: &Home,
    port: Option<u16>,
) -> Result<(Tied, u16)> {
    let port = port.map_or_else(port::claim, Ok)?;
    let server = launch(options, binaries, home, port)?;
    ready(&server, home)?;
    Ok((server, port))
}

fn launch(options: &Options, binaries: &Binaries, home: &Home, port: u16) -> Result<Tied> {
    let log = home.log();
    let output = fs::File::create(&log).map_err(Error::file("could not write", &log))?;
    let errors = output
        .try_clone()
        .map_err(Error::file("could not write", &log))?;
    let mut command = home.user.command(binaries.program("postgres"));
    command
        .arg("-D")
        .arg(home.data())
        .args(["-p", &port.to_string()]);
    for (name, value) in options.server() {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command.stdout(output).stderr(errors).stdin(Stdio::null());
    let tie = Tie {
        ask: if options.throw_away { "QUIT" } else { "INT" },
        force: "QUIT",
        remove: options.throw_away.then(|| home.dir.clone()),
    };
    Tied::start(command, home.user.command("/bin/sh"), &tie)
}

/// Waits for the eighth line of the pid file of our own process to say so.
fn ready(server: &Tied, home: &Home) -> Result<()> {
    let pid_file = home.data().join("postmaster.pid");
    let (log, deadline) = (home.log(), Instant::now() + READY_WITHIN);
    let not_ready = |state: String| Error::NotReady {
        program: "PostgreSQL".to_owned(),
        state,
        output: tail(&log),
        log: log.clone(),
    };
    loop {
        let text = fs::read_to_string(&pid_file).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        if lines.first() == Some(&server.id().to_string().as_str())
            && lines.get(7) == Some(&"ready")
        {
            return Ok(());
        }
        if let Some(status) = server.wait(Duration::from_millis(10)) {
            return Err(not_ready(format!("ended ({status})")));
        }
        if Instant::now() > deadline {
            return Err(not_ready(format!("was not ready within {READY_WITHIN:?}")));
        }
    }
}
