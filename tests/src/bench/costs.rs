//! What a load took of the processors, and who took it. Linux alone tells.
//!
//! A rate depends on whatever else the machine does; the work done for one answer hardly does. So
//! each rate is printed with it, and with how busy the machine was with what is not ours.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::World;

/// Unit: a hundredth of a second of a processor's time, which is what Linux counts in.
type Ticks = u64;

/// Processor time since some moment, by process.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    at: Instant,
    api: Ticks,
    indexer: Ticks,
    chain: Ticks,
    database: Ticks,
    ourselves: Ticks,
    /// All processors, whoever used them.
    machine: Ticks,
    seconds: f64,
}

impl Costs {
    /// Begins to count.
    pub fn begin(world: &World) -> Self {
        let node = world.foundation.node.as_ref();
        let cluster = world.foundation.database.cluster();
        let database = cluster.map_or(0, |cluster| {
            let postmaster = cluster.server().id();
            children_of(postmaster) + of(postmaster).map_or(0, |it| it.own + it.of_ended_children)
        });
        let own = |id: u32| of(id).map_or(0, |it| it.own);
        Self {
            at: Instant::now(),
            api: own(world.api.process_id()),
            indexer: own(world.indexer.process_id()),
            chain: node.map_or(0, |node| own(node.process().id())),
            database,
            ourselves: own(std::process::id()),
            machine: machine(),
            seconds: 0.0,
        }
    }

    /// What was used since then.
    #[must_use]
    pub fn end(self, world: &World) -> Self {
        let now = Self::begin(world);
        Self {
            at: now.at,
            api: now.api - self.api,
            indexer: now.indexer - self.indexer,
            chain: now.chain - self.chain,
            // A server that ended meanwhile is in its parent's account only a moment later.
            database: now.database.saturating_sub(self.database),
            ourselves: now.ourselves - self.ourselves,
            machine: now.machine - self.machine,
            seconds: (now.at - self.at).as_secs_f64(),
        }
    }

    /// What the api took. Unit: seconds of one processor.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts to 2^52 in a benchmark"
    )]
    pub fn of_api(&self) -> f64 {
        self.api as f64 / 100.0
    }

    /// What the api and PostgreSQL took for each of so many answers. Unit: microseconds of one processor.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts to 2^52 in a benchmark"
    )]
    pub fn of_api_and_database(&self, answers: u64) -> f64 {
        (self.api + self.database) as f64 * 10_000.0 / answers.max(1) as f64
    }

    /// What PostgreSQL took for each of so many answers: the world's own server, and no copy of it. Unit: microseconds of one
    /// processor.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts to 2^52 in a benchmark"
    )]
    pub fn of_database(&self, answers: u64) -> f64 {
        self.database as f64 * 10_000.0 / answers.max(1) as f64
    }

    /// For each of so many answers, in microseconds of one processor.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts to 2^52 in a benchmark"
    )]
    pub fn each(&self, answers: u64) -> String {
        let mut text = String::from("processor time for each, in µs:");
        let parts = [
            ("api", self.api),
            ("PostgreSQL", self.database),
            ("node", self.chain),
            ("indexer", self.indexer),
            ("the benchmark itself", self.ourselves),
        ];
        for (name, ticks) in parts {
            let micros = ticks as f64 * 10_000.0 / answers.max(1) as f64;
            write!(text, " {name} {micros:.0},").ok();
        }
        let ours: Ticks = parts.iter().map(|(_, ticks)| ticks).sum();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let whole = self.seconds * 100.0 * cores as f64;
        let percent = |ticks: Ticks| ticks as f64 * 100.0 / whole.max(1.0);
        let others = self.machine.saturating_sub(ours);
        write!(
            text,
            " in all {:.0} % of {cores} processors; what is not ours took {:.0} %",
            percent(ours),
            percent(others)
        )
        .ok();
        text
    }
}

struct Used {
    parent: u32,
    own: Ticks,
    of_ended_children: Ticks,
}

/// What the threads of this process have taken that have this name and have not ended. Unit: seconds of one processor.
#[expect(
    clippy::cast_precision_loss,
    reason = "nobody counts to 2^52 in a benchmark"
)]
pub fn time_of_threads(name: &str) -> f64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten();
    let ticks = threads.flatten().filter_map(|thread| {
        let called = fs::read_to_string(thread.path().join("comm")).ok()?;
        let used = read(&thread.path().join("stat"))?;
        (called.trim_end() == name).then_some(used.own)
    });
    ticks.sum::<Ticks>() as f64 / 100.0
}

fn of(process: u32) -> Option<Used> {
    read(Path::new(&format!("/proc/{process}/stat")))
}

/// proc(5), `/proc/pid/stat`: the name is in parentheses and may hold anything.
fn read(stat: &Path) -> Option<Used> {
    let text = fs::read_to_string(stat).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // The state, which comes first here, is the page's field 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Used {
        parent: u32::try_from(field(4)?).ok()?,
        own: field(14)? + field(15)?,
        of_ended_children: field(16)? + field(17)?,
    })
}

fn children_of(parent: u32) -> Ticks {
    let Ok(processes) = fs::read_dir("/proc") else {
        return 0;
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(of)
        .filter(|used| used.parent == parent)
        .map(|used| used.own)
        .sum()
}

/// proc(5), `/proc/stat`: user, nice and system of all processors, and interrupts; not what idles.
fn machine() -> Ticks {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut fields = text.lines().next().unwrap_or_default().split_whitespace();
    let fields: Vec<u64> = fields
        .by_ref()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|nth| fields.get(*nth))
        .sum()
}
