//! What the benchmarks share: how long they run, what they stand on, what they print.
//!
//! They are run by `cargo bench -p tests --bench <name>`; `docs/benchmarks.md` says what each of them
//! is for. The programs are built optimised, PostgreSQL waits for the disk, and everything shares the
//! machine: the api, PostgreSQL, the chain's node, the indexer and whoever asks.

mod costs;
mod report;
mod ward;

use std::time::Duration;

pub use costs::Costs;
pub use report::{Bar, Figure, Report};
pub use ward::Ward;

/// What the command line says.
#[derive(Debug, Clone, Copy)]
pub struct Arguments {
    /// How long each load runs.
    pub time: Duration,
    /// Whether this is only to see that it works: short, and with fewer records.
    pub quick: bool,
}

impl Arguments {
    /// `--seconds <n>`, and `--quick` for two seconds each and a tenth of the records.
    ///
    /// # Panics
    ///
    /// When the command line says anything else, except what cargo says itself.
    pub fn read() -> Self {
        let mut given = Self {
            time: Duration::from_secs(10),
            quick: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                // cargo's own.
                "--bench" => {}
                "--quick" => {
                    given.quick = true;
                    given.time = Duration::from_secs(2);
                }
                "--seconds" => {
                    let seconds = words.next().and_then(|text| text.parse().ok());
                    let seconds = seconds.expect("--seconds takes a whole number");
                    given.time = Duration::from_secs(seconds);
                }
                other => panic!("{other}? say --quick or --seconds <n>"),
            }
        }
        given
    }

    /// So many, or a tenth of them when it has to be quick.
    pub fn many(&self, count: u64) -> u64 {
        if self.quick { count / 10 } else { count }
    }
}

/// Tells how far a benchmark is, on standard error.
pub fn progress(text: impl std::fmt::Display) {
    eprintln!("{text}");
}
