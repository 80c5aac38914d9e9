//! A standby of a world's own PostgreSQL: a copy that follows by streaming replication, and can take its place.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use dev::postgres::{Binaries, RunAs};
use dev::process::{Signal, Tie, Tied, tail};

use crate::{PATIENCE, World};

/// The standby's slot on the primary.
const SLOT: &str = "standby";

/// A server that follows the primary. Dropping it stops it; its data goes with the primary's.
#[derive(Debug)]
pub struct Standby {
    server: Tied,
    port: u16,
    primary_port: u16,
}

impl Standby {
    /// Copies the cluster of a world that has its own, and follows it. `settings` are those that a standby has to have like its
    /// primary, such as `max_connections`.
    ///
    /// Blocks.
    pub fn of(world: &World, settings: &[(&str, &str)]) -> Self {
        let cluster = world.foundation.database.cluster();
        let cluster = cluster.expect("the world has a cluster of its own");
        let data = cluster.data();
        let home = data.parent().expect("it lies in a home").to_owned();
        let copy = home.join("standby");
        copies(world, &copy);
        let user = RunAs::for_data(&data).unwrap_or_else(|error| panic!("{error}"));
        gives(&copy, &data);
        let root = &world.foundation.options().root;
        let major = cluster.version().split('.').next();
        let major = major.and_then(|major| major.parse().ok());
        let binaries = Binaries::find(&user, root, major);
        let binaries = binaries.unwrap_or_else(|error| panic!("{error}"));
        let port = dev::port::claim().expect("there are ports");
        let log = world.foundation.dir().join("logs/standby.log");
        let output = fs::File::create(&log).expect("there is room for a log");
        let errors = output.try_clone().expect("it is open");
        let mut command = user.command(binaries.program("postgres"));
        command
            .arg("-D")
            .arg(&copy)
            .args(["-p", &port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "fsync=off"]);
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let tie = Tie {
            ask: "QUIT",
            force: "QUIT",
            remove: None,
        };
        let server = Tied::start(command, user.command("/bin/sh"), &tie);
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        until_it_is_ready(&server, &copy, &log);
        Self {
            server,
            port,
            primary_port: cluster.port(),
        }
    }

    /// A URL of the primary's as it is here.
    pub fn url(&self, of_the_primary: &str) -> String {
        let port = format!(":{}/", self.primary_port);
        of_the_primary.replace(&port, &format!(":{}/", self.port))
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.server.stop(&[(Signal::QUIT, Duration::from_secs(5))]);
    }
}

/// `pg_basebackup` by the superuser, with what a standby needs to follow.
fn copies(world: &World, to: &Path) {
    let cluster = world.foundation.database.cluster().expect("ours");
    let major = cluster.version().split('.').next();
    let major = major.and_then(|major| major.parse().ok());
    let clients = world.foundation.tools.postgres_client(major.unwrap_or(18));
    let clients: PathBuf = clients.unwrap_or_else(|error| panic!("{error}"));
    let url = cluster.superuser_url("postgres");
    // The password is in the environment, where nobody else sees it.
    let (before, address) = url.split_once('@').expect("a user");
    let (user, password) = before.rsplit_once(':').expect("a password");
    let output = Command::new(clients.join("pg_basebackup"))
        .arg("--pgdata")
        .arg(to)
        .args(["--wal-method=stream", "--checkpoint=fast", "--no-password"])
        .args(["--write-recovery-conf", "--create-slot", "--slot", SLOT])
        .arg(format!("--dbname={user}@{address}"))
        .env("PGPASSWORD", password)
        .stdin(Stdio::null())
        .output()
        .expect("pg_basebackup starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no base backup: {said}");
}

/// Gives a copy to whom the original belongs, closed to everybody else.
fn gives(copy: &Path, original: &Path) {
    let owner = fs::metadata(original).expect("the data is there");
    let owner = format!("{}:{}", owner.uid(), owner.gid());
    let copy = copy.to_str().expect("a path is text");
    for words in [
        ["chown", "-R", &owner, copy],
        ["chmod", "-R", "u=rwX,go=", copy],
    ] {
        let done = Command::new(words[0]).args(&words[1..]).status();
        assert!(done.expect("it starts").success(), "{words:?}");
    }
}

/// Waits for the line of its pid file that says that it answers.
fn until_it_is_ready(server: &Tied, data: &Path, log: &Path) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let state = text.lines().nth(7).map(str::trim);
        // A standby that answers queries says `ready`, or `standby` while it does not yet.
        if state == Some("ready") {
            return;
        }
        assert!(
            server.ended().is_none() && Instant::now() < deadline,
            "the standby is not ready: {}",
            tail(log)
        );
        thread::sleep(Duration::from_millis(10));
    }
}
