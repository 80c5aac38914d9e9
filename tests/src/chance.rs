//! Chance that can be had again: numbers that follow from a seed, so that a test that fails by chance can be run again.

use std::time::Duration;

/// The numbers of one seed, by `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Those of this seed: the same each time, and others than those of the next one.
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// Whether something is so that is so in one of this many cases.
    pub fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    /// A span shorter than this one, in whole milliseconds.
    pub fn shorter_than(&mut self, span: Duration) -> Duration {
        let bound = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.below(bound.max(1)))
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let count = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let nth = usize::try_from(self.below(count));
        &all[nth.unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn a_seed_has_the_same_numbers_each_time_and_they_are_those_of_the_paper() {
        // The first numbers of the reference implementation for this seed.
        let mut chance = Chance::of(1_234_567);
        let drawn = [chance.draw(), chance.draw(), chance.draw()];
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
            ]
        );
        let mut again = Chance::of(1_234_567);
        assert_eq!(again.draw(), drawn[0]);
        assert!((0..100).all(|_| chance.below(3) < 3));
    }
}
