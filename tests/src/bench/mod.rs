//! What the benchmarks share: how long they run, what they stand on, what they print.
//!
//! They are run by `cargo bench --bench <name>`; `docs/benchmarks.md` says what each of them
//! is for. The programs are built optimised, PostgreSQL waits for the disk, and everything shares the
//! machine: the api, PostgreSQL, the chain's node, the indexer and whoever asks.

mod costs;
mod crowd;
mod population;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use dev::repository;
use dev::stack::{Options, Programs};

use crate::World;
pub use costs::{Costs, time_of_threads};
pub use crowd::fill;
pub use population::Population;
pub use report::{Bar, Figure, Report};

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// How long each load runs.
    pub time: Duration,
    /// Whether this is only to see that it works: short, and with fewer records.
    pub quick: bool,
    /// Whether the indexer is told of new blocks by the node, over a WebSocket.
    pub ws: bool,
    /// Whether two accounts that sign are compared with one.
    pub two_signers: bool,
    /// How long what an api and a database that is far away say to each other is under way, in each direction.
    pub database_delay: Duration,
    /// The one part of a benchmark that is measured; `None` for all of them.
    only: Option<String>,
    /// Where programs are that are measured instead of our own.
    programs: Option<PathBuf>,
}

impl Arguments {
    /// `--seconds <n>`; `--quick` for two seconds each and a tenth of the records; `--ws` where the benchmark says so; `--programs <dir>`
    /// for an api and an indexer that are built already, to compare two versions; the directory is relative to the clone's root.
    /// `--signers 2`, where a benchmark knows it, compares two accounts that sign with one; `--database-delay-ms <n>` says how far away
    /// the database is in its last part, a millisecond where nothing is said. `--only <part>`, where a benchmark has parts, measures
    /// that one.
    ///
    /// # Panics
    ///
    /// When the command line says anything else, except what cargo says itself.
    pub fn read() -> Self {
        let mut given = Self {
            time: Duration::from_secs(10),
            quick: false,
            ws: false,
            two_signers: false,
            database_delay: Duration::from_millis(1),
            only: None,
            programs: None,
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
                "--ws" => given.ws = true,
                "--programs" => given.programs = words.next().map(PathBuf::from),
                "--signers" => match words.next().as_deref() {
                    Some("1") => given.two_signers = false,
                    Some("2") => given.two_signers = true,
                    _ => panic!("--signers takes 1 or 2"),
                },
                "--database-delay-ms" => {
                    let millis = words.next().and_then(|text| text.parse().ok());
                    let millis = millis.expect("--database-delay-ms takes a whole number");
                    given.database_delay = Duration::from_millis(millis);
                }
                "--only" => {
                    given.only = Some(words.next().expect("--only takes a part's name"));
                }
                other => {
                    panic!(
                        "{other}? say --quick, --seconds <n>, --ws, --programs <dir>, --signers 2, --database-delay-ms <n> or --only <part>"
                    )
                }
            }
        }
        given
    }

    /// Which of the parts of a benchmark are measured.
    ///
    /// # Panics
    ///
    /// When `--only` names none of them.
    pub fn parts<'a>(&self, all: &[&'a str]) -> Vec<&'a str> {
        let Some(only) = &self.only else {
            return all.to_vec();
        };
        let part = all.iter().copied().find(|it| it == only);
        vec![part.unwrap_or_else(|| panic!("--only {only}? say one of {}", all.join(", ")))]
    }

    /// The world that is measured.
    ///
    /// # Panics
    ///
    /// When it cannot be put up, as for `--programs` that are not there.
    pub async fn world(&self) -> World {
        self.world_with(|_| {}).await
    }

    /// The same with other options, such as more environment of the api.
    ///
    /// # Panics
    ///
    /// As [`Arguments::world`].
    pub async fn world_with(&self, change: impl FnOnce(&mut Options)) -> World {
        let root = repository::root().expect("the benchmarks run inside a clone");
        // cargo has gone into the package's own directory.
        let found = self.programs.as_ref().map(|dir| root.join(dir));
        let found = found.as_deref().map(Programs::in_directory).transpose();
        let programs = found.unwrap_or_else(|error| panic!("{error}"));
        World::as_in_production(|options| {
            options.programs = programs;
            change(options);
        })
        .await
    }

    /// So many, or a tenth of them when it has to be quick.
    pub fn many(&self, count: u64) -> u64 {
        if self.quick { count / 10 } else { count }
    }
}

/// Counts what is in the tables, as autovacuum does once a minute: a database that is a few seconds old
/// plans as if its tables were empty.
pub async fn analyze(world: &World) {
    world.executes("ANALYZE").await;
}

/// Tells how far a benchmark is, on standard error.
pub fn progress(text: impl std::fmt::Display) {
    eprintln!("{text}");
}
