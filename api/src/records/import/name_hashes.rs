//! What names are remembered by in an import: not as they are, because they may be long, and say who somebody is.

use std::hash::{BuildHasher as _, RandomState};

/// The keys of one import.
#[derive(Debug, Default)]
pub(super) struct NameHashes(RandomState, RandomState);

impl NameHashes {
    /// What stands for a name.
    pub(super) fn of(&self, name: &str) -> u128 {
        (u128::from(self.0.hash_one(name)) << 64) | u128::from(self.1.hash_one(name))
    }
}
