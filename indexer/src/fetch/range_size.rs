//! How many blocks are read at once: few where they are full of events, or where the node refuses; more while neither is so.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The size of a range: first, smallest and largest. Unit: blocks. The first is small: nobody knows yet how full blocks are.
const FIRST_SIZE: u64 = 2;
const SMALLEST_SIZE: u64 = 1;
const LARGEST_SIZE: u64 = 2_000;

/// How many logs of a range are enough not to ask for more next time. Unit: logs.
pub(super) const PLENTY: usize = 1_000;

/// How many logs are too many for one transaction: a range that has more is read in parts, and only a single block may have as
/// many as it has. Unit: logs.
pub(super) const TOO_MANY: usize = 2 * PLENTY;

/// How many ranges are read at the size that is left after a refusal before more is asked for. Unit: ranges. A node that never
/// gives more would refuse every second range.
const AFTER_REFUSAL: u64 = 16;

/// How large ranges may be just now: halved when the node refuses, grown when it does not.
#[derive(Debug, Clone)]
pub(crate) struct RangeSize(Arc<SizeNow>);

#[derive(Debug)]
struct SizeNow {
    blocks: AtomicU64,
    /// How many ranges are to be served before it grows.
    waits: AtomicU64,
}

impl Default for RangeSize {
    fn default() -> Self {
        Self(Arc::new(SizeNow {
            blocks: AtomicU64::new(FIRST_SIZE),
            waits: AtomicU64::new(0),
        }))
    }
}

impl RangeSize {
    /// How many there are now.
    pub(super) fn size(&self) -> u64 {
        self.0.blocks.load(Ordering::Relaxed)
    }

    /// So many were too many.
    pub(super) fn refused(&self, size: u64) {
        let half = (size / 2).max(SMALLEST_SIZE);
        self.0.blocks.fetch_min(half, Ordering::Relaxed);
        self.0.waits.store(AFTER_REFUSAL, Ordering::Relaxed);
    }

    /// Only a range of the full size says that more can be borne.
    pub(super) fn served(&self, size: u64, logs: usize) {
        if logs > TOO_MANY {
            self.refused(size);
        } else if logs < PLENTY && size >= self.size() {
            let waits = self.0.waits.load(Ordering::Relaxed);
            if waits > 0 {
                self.0.waits.store(waits - 1, Ordering::Relaxed);
            } else {
                let twice = (size * 2).min(LARGEST_SIZE);
                self.0.blocks.store(twice, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appetite_shrinks_on_refusal_and_grows_back_on_success() {
        let range_size = RangeSize::default();
        range_size.served(FIRST_SIZE, 10);
        assert_eq!(range_size.size(), 2 * FIRST_SIZE);
        range_size.served(FIRST_SIZE, 10);
        assert_eq!(
            range_size.size(),
            2 * FIRST_SIZE,
            "a smaller range says nothing of a larger one"
        );
        range_size.refused(2 * FIRST_SIZE);
        assert_eq!(range_size.size(), FIRST_SIZE);
        range_size.served(FIRST_SIZE, PLENTY);
        assert_eq!(range_size.size(), FIRST_SIZE, "that was plenty");
        range_size.served(FIRST_SIZE, TOO_MANY + 1);
        assert_eq!(range_size.size(), FIRST_SIZE / 2, "that was too much");
        for _ in 0..20 {
            range_size.refused(range_size.size());
        }
        assert_eq!(range_size.size(), SMALLEST_SIZE);
        for _ in 0..AFTER_REFUSAL {
            range_size.served(range_size.size(), 0);
            assert_eq!(range_size.size(), SMALLEST_SIZE, "it was refused of late");
        }
        for _ in 0..20 {
            range_size.served(range_size.size(), 0);
        }
        assert_eq!(range_size.size(), LARGEST_SIZE);
    }
}
