//! The table that a benchmark ends with.

use crate::World;
use std::fmt;
use std::time::Duration;

use super::Costs;
use crate::load::Measured;

/// A number and what it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// So many a second.
    PerSecond(f64),
    /// So many milliseconds.
    Milliseconds(f64),
    /// So many microseconds.
    Microseconds(f64),
    /// So many million bytes.
    Megabytes(f64),
    /// So many.
    Count(u64),
}

impl Figure {
    /// A span.
    pub fn of(time: Duration) -> Self {
        Self::Milliseconds(time.as_secs_f64() * 1000.0)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts to 2^52 in a benchmark"
    )]
    fn value(self) -> f64 {
        match self {
            Self::PerSecond(value)
            | Self::Milliseconds(value)
            | Self::Microseconds(value)
            | Self::Megabytes(value) => value,
            Self::Count(count) => count as f64,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(value) => write!(f, "{value:.0}/s"),
            Self::Milliseconds(value) => write!(f, "{value:.1} ms"),
            Self::Microseconds(value) => write!(f, "{value:.1} µs"),
            Self::Megabytes(value) => write!(f, "{value:.0} MB"),
            Self::Count(value) => write!(f, "{value}"),
        }
    }
}

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    /// Nothing: it is told because it says something.
    None,
    /// This much or more, in its own unit.
    AtLeast(f64),
    /// This much or less, in its own unit.
    AtMost(f64),
    /// This part of its limit or more.
    PartAtLeast(f64),
    /// This part of its limit or less.
    PartAtMost(f64),
}

/// One line.
#[derive(Debug)]
struct Row {
    what: String,
    measured: Figure,
    limit: Option<Figure>,
    bar: Bar,
}

impl Row {
    fn part(&self) -> Option<f64> {
        let limit = self.limit?.value();
        (limit > 0.0).then(|| self.measured.value() / limit)
    }

    /// Whether the bar is reached; `None` where there is none.
    fn holds(&self) -> Option<bool> {
        let value = self.measured.value();
        match self.bar {
            Bar::None => None,
            Bar::AtLeast(least) => Some(value >= least),
            Bar::AtMost(most) => Some(value <= most),
            Bar::PartAtLeast(least) => Some(self.part().is_some_and(|part| part >= least)),
            Bar::PartAtMost(most) => {
                let limit = self.limit.map(Figure::value);
                Some(limit.is_some_and(|limit| value <= most * limit))
            }
        }
    }

    fn cells(&self) -> [String; 6] {
        let bar = match self.bar {
            Bar::None => String::new(),
            Bar::AtLeast(value) => format!("≥ {value}"),
            Bar::AtMost(value) => format!("≤ {value}"),
            Bar::PartAtLeast(part) => format!("≥ {part} of it"),
            Bar::PartAtMost(part) => format!("≤ {part} of it"),
        };
        let holds = match self.holds() {
            None => "",
            Some(true) => "yes",
            Some(false) => "NO",
        };
        [
            self.what.clone(),
            self.measured.to_string(),
            self.limit.map(|it| it.to_string()).unwrap_or_default(),
            self.part()
                .map(|part| format!("{part:.2}"))
                .unwrap_or_default(),
            bar,
            holds.to_owned(),
        ]
    }
}

/// What a benchmark found: figures beside their limits and their bars.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    /// A report with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A figure and its bar.
    pub fn figure(&mut self, what: impl Into<String>, measured: Figure, bar: Bar) {
        self.push(what.into(), measured, None, bar);
    }

    /// A figure beside what was measured as its limit in the same run.
    pub fn beside(&mut self, what: impl Into<String>, measured: Figure, limit: Figure, bar: Bar) {
        self.push(what.into(), measured, Some(limit), bar);
    }

    /// What a load came to, but for its rate, which has a bar of its own.
    pub fn load(&mut self, what: &str, measured: &Measured, p99: Bar) {
        for (name, percent, bar) in [
            ("p50", 50, Bar::None),
            ("p90", 90, Bar::None),
            ("p99", 99, p99),
        ] {
            let wait = Figure::of(measured.percentile(percent));
            self.figure(format!("{what}: {name}"), wait, bar);
        }
        let slowest = Figure::of(measured.slowest());
        self.figure(format!("{what}: slowest"), slowest, Bar::None);
        let failed = Figure::Count(measured.failed());
        self.figure(
            format!("{what}: not answered as wanted"),
            failed,
            Bar::AtMost(0.0),
        );
    }

    /// What a load cost, for each right answer.
    pub fn costs(&mut self, what: &str, costs: &Costs, measured: &Measured) {
        self.note(format!("{what}: {}", costs.each(measured.right)));
    }

    /// What the api held in memory at most so far, beside its bar.
    pub fn memory(&mut self, world: &World) {
        let (_, most) = world.api.memory();
        let what = "resident memory of the api, at most";
        self.figure(what, Figure::Megabytes(most), Bar::AtMost(150.0));
    }

    /// A sentence beneath the table.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Prints it on standard output.
    pub fn print(&self, title: &str) {
        println!("\n{title}\n{self}");
    }

    fn push(&mut self, what: String, measured: Figure, limit: Option<Figure>, bar: Bar) {
        self.rows.push(Row {
            what,
            measured,
            limit,
            bar,
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "measured", "its limit", "part", "bar", "reached"].map(str::to_owned);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(Row::cells));
        let mut widths = [0; 6];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let rule = widths.map(|width| "-".repeat(width));
        lines.insert(1, rule);
        for line in lines {
            for (nth, (width, cell)) in widths.iter().zip(&line).enumerate() {
                match nth {
                    0 => write!(f, "| {cell:<width$} ")?,
                    _ => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")?;
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Bar, Figure, Report};

    #[test]
    fn a_bar_is_reached_by_the_figure_or_by_its_part_of_the_limit() {
        let mut report = Report::new();
        let rate = Figure::PerSecond(650.0);
        report.figure("a", rate, Bar::AtLeast(800.0));
        report.figure("b", rate, Bar::AtMost(800.0));
        report.beside("c", rate, Figure::PerSecond(1000.0), Bar::PartAtLeast(0.65));
        report.beside("d", rate, Figure::PerSecond(500.0), Bar::PartAtMost(1.2));
        report.beside("e", rate, Figure::PerSecond(0.0), Bar::PartAtLeast(0.1));
        report.figure("f", rate, Bar::None);

        let reached: Vec<_> = report.rows.iter().map(super::Row::holds).collect();

        let no = Some(false);
        assert_eq!(reached, [no, Some(true), Some(true), no, no, None]);
        let text = report.to_string();
        assert!(text.contains("0.65 | ≥ 0.65 of it"), "{text}");
    }
}
