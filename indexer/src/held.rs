//! What was read of the chain and is not confirmed yet: held until what is read next confirms it, as far as there is room. Pure.

use crate::{
    error::IndexerError,
    follow::{Break, ConfirmedRange, Followed, LaterWord, ReadRange, confirm},
    position::{BlockRef, ChainPosition},
};

/// How many events are held at most while nothing confirms them: some ten megabytes. Unit: events. Beyond that nothing more
/// is read.
pub(crate) const MOST_HELD: usize = 50_000;

/// What waits for a confirmation.
#[derive(Debug)]
pub(crate) struct HeldRange {
    read: Option<ReadRange>,
    /// How much it may be. Unit: events.
    most: usize,
}

impl HeldRange {
    /// Nothing yet, and at most so many events.
    pub(crate) const fn of_at_most(most: usize) -> Self {
        Self { read: None, most }
    }

    /// Whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.read.is_none()
    }

    /// The block that it ends at.
    pub(crate) fn end(&self) -> Option<BlockRef> {
        self.read.as_ref().and_then(ReadRange::end)
    }

    /// Puts what was read next behind it. Gives what is confirmed of both, from a position on, and holds the rest.
    pub(crate) fn take(
        &mut self,
        chain_id: u64,
        before: ChainPosition,
        read_range: ReadRange,
        later: Option<LaterWord>,
    ) -> Result<Option<Followed>, Break> {
        let mut joined = match self.read.take() {
            Some(mut held) => {
                held.join(read_range);
                held
            }
            None => read_range,
        };
        if let Some(later) = later {
            joined.believe(chain_id, before, later);
        }
        let ConfirmedRange { followed, held } = confirm(chain_id, before, joined)?;
        self.read = held;
        Ok(followed)
    }

    /// Refuses to hold more behind a position than it may.
    pub(crate) fn require_room(&self, at: ChainPosition) -> Result<(), IndexerError> {
        let too_much = self.read.as_ref().filter(|it| it.event_count() > self.most);
        require_none(at, too_much.and_then(ReadRange::end))
    }

    /// Refuses where something is left behind a position that nothing confirms.
    pub(crate) fn require_empty(&self, at: ChainPosition) -> Result<(), IndexerError> {
        require_none(at, self.end())
    }
}

/// Refuses what is not confirmed up to a block.
fn require_none(at: ChainPosition, unconfirmed_to: Option<BlockRef>) -> Result<(), IndexerError> {
    match unconfirmed_to {
        Some(end) => Err(IndexerError::Unconfirmed {
            from: at.block.number + 1,
            to: end.number,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::{
        ConsentRange,
        tests::{CHAIN, START, block, logs, read_range},
    };

    #[test]
    fn what_is_held_is_too_much_by_the_events_of_both_registries() {
        let at = ChainPosition {
            block: BlockRef::from(&block(1)),
            registry_state: START,
            consents: Some(START),
        };
        // All in one block, which nothing confirms.
        let both = |records: usize, consents: usize| ReadRange {
            consents: Some(ConsentRange {
                logs: logs(&vec![2_u8; consents]),
                registry: None,
            }),
            ..read_range(&[2], logs(&vec![2_u8; records]), None)
        };
        for (records, consents, fits) in [
            (0, 0, true),
            (3, 0, true),
            (0, 3, true),
            (2, 1, true),
            (4, 0, false),
            (0, 4, false),
            (2, 2, false),
        ] {
            let mut held = HeldRange::of_at_most(3);
            let followed = held.take(CHAIN, at, both(records, consents), None);
            assert!(followed.expect("it follows").is_none());
            assert!(!held.is_empty(), "{records} {consents}");
            assert!(held.require_empty(at).is_err(), "{records} {consents}");
            let has_room = held.require_room(at).is_ok();
            assert_eq!(has_room, fits, "{records} {consents}");
        }
    }
}
