//! How far a long reading of the chain is: a line that is written anew where somebody looks at a terminal, and else a line every
//! ten seconds.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

/// How often a line is written that stays.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How often a line is written anew.
const REWRITE_EVERY: Duration = Duration::from_millis(500);

/// A reading from one block to another.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    from: u64,
    to: u64,
    began: Instant,
    told: Instant,
    is_rewritten: bool,
}

impl Progress {
    /// One that begins now. `is_rewritten` where each line takes the place of the one before.
    pub(crate) fn new(from: u64, to: u64, now: Instant, is_rewritten: bool) -> Self {
        Self {
            from,
            to,
            began: now,
            told: now,
            is_rewritten,
        }
    }

    /// Whether each line takes the place of the one before.
    pub(crate) const fn is_rewritten(&self) -> bool {
        self.is_rewritten
    }

    /// What to tell at this block, if it is time to.
    pub(crate) fn at(&mut self, block: u64, now: Instant) -> Option<String> {
        let every = if self.is_rewritten {
            REWRITE_EVERY
        } else {
            LINE_EVERY
        };
        if now.duration_since(self.told) < every {
            return None;
        }
        self.told = now;
        Some(self.line(block, now))
    }

    /// The block, of how many, how fast, and how much longer.
    fn line(&self, block: u64, now: Instant) -> String {
        let done = (block + 1).saturating_sub(self.from);
        let left = self.to.saturating_sub(block);
        let millis = now.duration_since(self.began).as_millis().max(1);
        let rate = u128::from(done) * 1_000 / millis;
        let time_left = if done == 0 {
            "unknown".to_owned()
        } else {
            let left = u128::from(left) * millis / u128::from(done) / 1_000;
            in_words(left)
        };
        format!(
            "block {block} of {}, {rate} blocks a second, {time_left} left",
            self.to
        )
    }
}

/// A span of time in its two largest units. Unit: seconds.
fn in_words(seconds: u128) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    if hours > 0 {
        format!("{hours} h {} min", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

/// Writes a line on the standard error. One that is written anew leaves the terminal at its beginning, so that whatever is
/// logged takes its place.
pub(crate) fn show(line: &str, is_rewritten: bool) {
    let mut terminal = std::io::stderr();
    let shown = if is_rewritten {
        write!(terminal, "{line}\x1b[K\r")
    } else {
        writeln!(terminal, "{line}")
    };
    // Nobody looks: it is done all the same.
    shown.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_follow_from_what_was_done() {
        let now = Instant::now();
        let progress = Progress::new(101, 1_100, now, false);
        for (block, seconds, wanted) in [
            (
                100,
                10,
                "block 100 of 1100, 0 blocks a second, unknown left",
            ),
            (
                200,
                10,
                "block 200 of 1100, 10 blocks a second, 1 min 30 s left",
            ),
            (
                200,
                1_000,
                "block 200 of 1100, 0 blocks a second, 2 h 30 min left",
            ),
            (
                1_090,
                10,
                "block 1090 of 1100, 99 blocks a second, 0 s left",
            ),
            (
                1_100,
                10,
                "block 1100 of 1100, 100 blocks a second, 0 s left",
            ),
        ] {
            let line = progress.line(block, now + Duration::from_secs(seconds));
            assert_eq!(line, wanted);
        }
    }

    #[test]
    fn a_line_is_told_every_ten_seconds_and_twice_a_second_on_a_terminal() {
        for (is_rewritten, every) in [(false, LINE_EVERY), (true, REWRITE_EVERY)] {
            let mut now = Instant::now();
            let mut progress = Progress::new(1, 9, now, is_rewritten);
            assert_eq!(progress.at(2, now), None);
            now += every;
            assert!(progress.at(3, now).is_some());
            assert_eq!(progress.at(4, now), None, "it was told just now");
        }
    }
}
