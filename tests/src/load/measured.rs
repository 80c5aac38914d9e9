//! What a load came to.

use std::time::Duration;

/// Answers, and how long each took.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Answers that were what was wanted.
    pub right: u64,
    /// Answers that were not.
    pub wrong: u64,
    /// Requests without an answer: the connection broke.
    pub lost: u64,
    /// How long all of it took.
    pub took: Duration,
    /// How long each right answer took, in microseconds; the shortest first.
    waits: Vec<u32>,
}

impl Measured {
    pub(super) fn answer(&mut self, after: Duration, is_right: bool) {
        if is_right {
            self.right += 1;
            self.waits
                .push(u32::try_from(after.as_micros()).unwrap_or(u32::MAX));
        } else {
            self.wrong += 1;
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.lost += other.lost;
        self.waits.extend(other.waits);
    }

    pub(super) fn sort(&mut self) {
        self.waits.sort_unstable();
    }

    /// Right answers a second.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts to 2^52 in a benchmark"
    )]
    pub fn per_second(&self) -> f64 {
        self.right as f64 / self.took.as_secs_f64()
    }

    /// How long so many of a hundred right answers took at most: 50, 90, 99.
    pub fn percentile(&self, of_hundred: usize) -> Duration {
        let rank = (self.waits.len() * of_hundred).div_ceil(100).max(1);
        let wait = self.waits.get(rank - 1).copied().unwrap_or(0);
        Duration::from_micros(wait.into())
    }

    /// How long the slowest right answer took.
    pub fn slowest(&self) -> Duration {
        self.percentile(100)
    }

    /// Answers that were not wanted, and those that never came.
    pub fn failed(&self) -> u64 {
        self.wrong + self.lost
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Measured;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut measured = Measured::default();
        for ms in (1..=200).rev() {
            measured.answer(Duration::from_millis(ms), true);
        }
        measured.answer(Duration::from_secs(9), false);
        measured.sort();

        let ms = [50, 90, 99, 100].map(|it| measured.percentile(it).as_millis());

        assert_eq!(ms, [100, 180, 198, 200]);
        assert_eq!((measured.right, measured.failed()), (200, 1));
        assert_eq!(Measured::default().percentile(99), Duration::ZERO);
    }
}
