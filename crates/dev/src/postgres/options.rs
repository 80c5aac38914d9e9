//! What a caller may choose about a cluster.

use std::path::{Path, PathBuf};

/// How a cluster is kept and set up.
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) root: PathBuf,
    pub(super) throw_away: bool,
    pub(super) durable: bool,
    pub(super) settings: Vec<(String, String)>,
    pub(super) port: Option<u16>,
}

impl Options {
    /// The cluster of this clone: its data stays, and survives a crash of the machine.
    pub fn persistent(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            throw_away: false,
            durable: true,
            settings: Vec::new(),
            port: None,
        }
    }

    /// A cluster for one test: gone with the value that holds it, and **not durable** (`fsync` is
    /// off, which killing processes cannot tell from on).
    pub fn throw_away(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            throw_away: true,
            durable: false,
            settings: Vec::new(),
            port: None,
        }
    }

    /// The same, with commits that wait for the disk: for what measures them.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// The same on this port; 0 for one that is free.
    #[must_use]
    pub fn on_port(mut self, port: u16) -> Self {
        self.port = (port != 0).then_some(port);
        self
    }

    /// One more setting of the server, `name` as in `postgresql.conf`; a later one wins.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Everything the server is told on its command line, save its port.
    ///
    /// No statement's parameters reach the log: they may be part of a record.
    pub(super) fn server(&self) -> Vec<(String, String)> {
        let fsync = if self.durable { "on" } else { "off" };
        let mut all = vec![
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("wal_level", "replica"),
            ("log_parameter_max_length", "0"),
            ("log_parameter_max_length_on_error", "0"),
            ("log_error_verbosity", "terse"),
            ("log_min_error_statement", "panic"),
            ("fsync", fsync),
        ];
        if cfg!(target_os = "linux") {
            all.push(("recovery_init_sync_method", "syncfs"));
        }
        let ours = all
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        ours.chain(self.settings.iter().cloned()).collect()
    }
}
