//! Whether a stored event says of itself that it is where the chain has it. Its head commits to what it says, and not to that. Pure.

use chain::RegistryLog;
use store::chain_events::UnpairedEvent;

use crate::position::column;

/// A column that says where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceColumn {
    /// The number of its block.
    BlockNumber,
    /// The hash of its block.
    BlockHash,
    /// Its transaction.
    TxHash,
    /// Where it stands in its block.
    LogIndex,
}

impl PlaceColumn {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BlockNumber => "block_number",
            Self::BlockHash => "block_hash",
            Self::TxHash => "tx_hash",
            Self::LogIndex => "log_index",
        }
    }
}

/// The first column of an event that is not as the chain has it.
pub(crate) fn differing(event: &UnpairedEvent, told: &RegistryLog) -> Option<PlaceColumn> {
    if event.block_number != column(told.block_number) {
        Some(PlaceColumn::BlockNumber)
    } else if event.block_hash != told.block_hash.to_string() {
        Some(PlaceColumn::BlockHash)
    } else if event.tx_hash != told.tx_hash.to_string() {
        Some(PlaceColumn::TxHash)
    } else if event.log_index != column(told.log_index) {
        Some(PlaceColumn::LogIndex)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::tests::logs;

    type Change = fn(&mut UnpairedEvent);

    #[test]
    fn an_event_that_is_elsewhere_is_found_by_whichever_column_was_changed() {
        let told = logs(&[7]).pop().expect("there is one");
        let cases: [(Change, Option<PlaceColumn>); 5] = [
            (|_| (), None),
            (|it| it.block_number += 1, Some(PlaceColumn::BlockNumber)),
            (|it| it.block_hash.push('0'), Some(PlaceColumn::BlockHash)),
            (|it| it.tx_hash.clear(), Some(PlaceColumn::TxHash)),
            (|it| it.log_index += 1, Some(PlaceColumn::LogIndex)),
        ];
        for (change, column_of) in cases {
            let mut event = UnpairedEvent {
                sequence: column(told.sequence),
                block_number: column(told.block_number),
                block_hash: told.block_hash.to_string(),
                tx_hash: told.tx_hash.to_string(),
                log_index: column(told.log_index),
            };
            change(&mut event);
            assert_eq!(differing(&event, &told), column_of, "{event:?}");
        }
    }
}
