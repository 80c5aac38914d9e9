//! One of our programs as a test treats it.

use std::fs;
use std::net::SocketAddr;
use std::process::ExitStatus;

use dev::process::{Signal, Supervised};
use serde_json::Value;

use crate::PATIENCE;
use crate::monitoring::Scrape;

/// The api or the indexer, running as it does in production. Dropping it kills it.
#[derive(Debug)]
pub struct Program(Supervised);

impl Program {
    pub(crate) fn new(supervised: Supervised) -> Self {
        Self(supervised)
    }

    /// Where it listens: `http://127.0.0.1:43210`.
    pub fn url(&self) -> String {
        self.0.program().ready_url.replace("/health/ready", "")
    }

    /// Its process id.
    pub fn process_id(&self) -> u32 {
        self.0.process().id()
    }

    /// Where it listens, for who speaks to it without a URL.
    pub fn address(&self) -> SocketAddr {
        let url = self.url();
        let address = url.strip_prefix("http://").map(str::parse);
        address
            .and_then(Result::ok)
            .unwrap_or_else(|| panic!("{url} has no address"))
    }

    /// What it holds in memory now, and held at most. Unit: million bytes. Linux alone tells.
    pub fn memory(&self) -> (f64, f64) {
        // proc(5), `/proc/pid/status`: in units of 1,024 bytes.
        let path = format!("/proc/{}/status", self.process_id());
        let text = fs::read_to_string(&path).unwrap_or_default();
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kibibytes * 1024.0 / 1_000_000.0)
        };
        of("VmRSS:")
            .zip(of("VmHWM:"))
            .unwrap_or_else(|| panic!("{path} tells nothing"))
    }

    /// Forgets what it held in memory at most until now. Linux alone, and for root alone where the process is closed to
    /// others; false where it cannot be.
    pub fn forgets_peak(&self) -> bool {
        // proc(5), `/proc/pid/clear_refs`.
        fs::write(format!("/proc/{}/clear_refs", self.process_id()), "5").is_ok()
    }

    /// `SIGKILL`, and waits until it is gone.
    pub async fn kill(&self) {
        self.signal(Signal::KILL);
        self.ends().await;
    }

    /// `SIGTERM`; answers how it ended.
    pub async fn stop(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ends().await
    }

    /// Stands still until [`Program::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Goes on after [`Program::pause`].
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends any signal.
    pub fn signal(&self, signal: Signal) {
        self.0.process().signal(signal);
    }

    /// Waits until it has ended by itself, or by a signal.
    pub async fn ends(&self) -> ExitStatus {
        let process = self.0.process().clone();
        let ended = tokio::task::spawn_blocking(move || process.wait(PATIENCE)).await;
        let name = &self.0.program().name;
        ended
            .expect("waiting does not panic")
            .unwrap_or_else(|| panic!("the {name} has not ended within {PATIENCE:?}"))
    }

    /// Starts it again, on the same port, and waits until it is ready; the log goes on.
    pub async fn restart(&mut self) {
        let restarted = self.0.restart().await;
        restarted.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) {
        let ready = self.0.ready().await;
        ready.unwrap_or_else(|error| panic!("{error}"));
    }

    /// What `GET /health/ready` or the like answers now; `None` when nobody does.
    pub async fn health(&self, path: &str) -> Option<u16> {
        let answer = dev::http::get(format!("{}{path}", self.url())).await.ok()?;
        Some(answer.status().as_u16())
    }

    /// What `GET /health/ready` or the like answers, parsed; null when nobody does.
    pub async fn says(&self, path: &str) -> Value {
        let answer = dev::http::get(format!("{}{path}", self.url())).await;
        let text = match answer {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.0.program().log).unwrap_or_default()
    }

    /// What it tells at its `/metrics`; `None` where nobody answers.
    ///
    /// # Panics
    ///
    /// When it does not say where its metrics are, or tells something else there.
    pub async fn metrics(&self) -> Option<Scrape> {
        let log = self.log();
        let (_, rest) = log
            .split_once("Metrics at ")
            .unwrap_or_else(|| panic!("it does not say where its metrics are: {log}"));
        let url = rest.split_whitespace().next().unwrap_or_default();
        let answer = dev::http::get(url).await.ok()?;
        let kind = answer.headers()["content-type"]
            .to_str()
            .expect("text")
            .to_owned();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        Some(Scrape::read(&answer.text().await.ok()?))
    }

    /// What it logged as a warning or worse, for a test that fails.
    pub(crate) fn complaints(&self) -> String {
        let log = self.log();
        let bad = log.lines().filter(|line| {
            ["WARN", "ERROR", "panicked"]
                .iter()
                .any(|it| line.contains(it))
        });
        let name = &self.0.program().name;
        bad.flat_map(|line| [name, " │ ", line, "\n"]).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing is kept, so there is nothing to wait for.
        self.signal(Signal::KILL);
    }
}
