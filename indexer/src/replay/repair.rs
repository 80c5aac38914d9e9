//! What of a registry's rows is to be replaced: how much, and the rows themselves where a rebuild follows and there are not too many
//! of them. Pure.

use chain::RegistryLog;

/// The most rows that a rebuild replaces: more is no repair but a restore. They are held in memory meanwhile, a few hundred
/// bytes each. Unit: rows.
pub(super) const MAX_REPLACED: usize = 50_000;

/// What is to be replaced. All of it is counted, and a bounded part is held.
pub(super) struct Repair {
    /// Whether a rebuild follows.
    is_kept: bool,
    removed: Vec<i64>,
    written: Vec<RegistryLog>,
    removed_count: usize,
    written_count: usize,
}

impl Repair {
    /// Nothing yet; what is added is kept where a rebuild follows.
    pub(super) const fn new(is_kept: bool) -> Self {
        Self {
            is_kept,
            removed: Vec::new(),
            written: Vec::new(),
            removed_count: 0,
            written_count: 0,
        }
    }

    /// Notes a row that is not on the chain, or not so.
    pub(super) fn remove(&mut self, row: i64) {
        self.removed_count += 1;
        if self.is_kept() {
            self.removed.push(row);
        }
    }

    /// Notes an event as it should be.
    pub(super) fn write(&mut self, log: &RegistryLog) {
        self.written_count += 1;
        if self.is_kept() {
            self.written.push(log.clone());
        }
    }

    /// Whether rows are held. What is too much is held no longer.
    fn is_kept(&mut self) -> bool {
        if self.is_kept && self.count() > MAX_REPLACED {
            self.is_kept = false;
            (self.removed, self.written) = (Vec::new(), Vec::new());
        }
        self.is_kept
    }

    /// How many rows would be replaced.
    pub(super) fn count(&self) -> usize {
        self.removed_count.max(self.written_count)
    }

    /// Whether there is more than a rebuild replaces.
    pub(super) fn is_too_much(&self) -> bool {
        self.count() > MAX_REPLACED
    }

    /// The numbers of the rows that are to go.
    pub(super) fn removed(&self) -> &[i64] {
        &self.removed
    }

    /// Events that are to be written.
    pub(super) fn written(&self) -> &[RegistryLog] {
        &self.written
    }
}

#[cfg(test)]
mod tests {
    use chain::{BlockHash, ChainAddress, Head, RegistryEvent, TxHash};

    use super::*;

    fn log() -> RegistryLog {
        RegistryLog {
            block_number: 1,
            block_hash: BlockHash([1; 32]),
            tx_hash: TxHash([2; 32]),
            log_index: 0,
            sequence: 1,
            head: Head([3; 25]),
            body: [4; 32],
            event: RegistryEvent::PausedSet {
                paused: true,
                by: ChainAddress([0; 20]),
            },
        }
    }

    #[test]
    fn a_comparison_counts_and_holds_no_row() {
        let (mut repair, log) = (Repair::new(false), log());
        for row in 0..3 {
            repair.remove(row);
        }
        for _ in 0..5 {
            repair.write(&log);
        }
        assert_eq!(repair.count(), 5);
        assert!(repair.removed().is_empty() && repair.written().is_empty());
    }

    #[test]
    fn a_rebuild_holds_what_it_replaces_and_nothing_of_what_is_too_much() {
        let (mut repair, log) = (Repair::new(true), log());
        for _ in 0..MAX_REPLACED {
            repair.remove(7);
            repair.write(&log);
        }
        assert!(!repair.is_too_much());
        assert_eq!(repair.removed().len(), MAX_REPLACED);
        assert_eq!(repair.written().len(), MAX_REPLACED);

        for _ in 0..MAX_REPLACED {
            repair.write(&log);
        }

        assert!(repair.is_too_much());
        assert_eq!(repair.count(), 2 * MAX_REPLACED);
        assert!(repair.removed().is_empty() && repair.written().is_empty());
    }
}
