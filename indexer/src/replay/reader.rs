//! The registries' events from the first block on, as the node tells them now: read, held against blocks and receipts, and
//! confirmed as the indexer itself does.

use std::time::Duration;

use chain::Client;

use crate::{
    error::IndexerError,
    fetch::{self, RangeSize, Ranges},
    follow::{Followed, LaterWord, ReadRange},
    held::{HeldRange, MOST_HELD},
    position::{BlockRef, ChainPosition, RegistryState},
};

/// How often in a row a node may give no answer. Unit: attempts.
const MAX_FAILURES: u32 = 10;

/// How long it is left alone each time.
const REST: Duration = Duration::from_secs(1);

/// Where ranges of the chain come from, in their order.
pub(super) trait RangeSource {
    /// The next range behind the block that was reached; `None` after the last.
    async fn next(&mut self, reached: BlockRef) -> Result<Option<ReadRange>, IndexerError>;

    /// What the registries say of themselves at the newest block.
    async fn newest_word(&self) -> Result<LaterWord, IndexerError>;
}

/// Reads the chain up to a block.
pub(super) struct ChainReader<S> {
    source: S,
    chain_id: u64,
    /// What was read and is not confirmed yet.
    held: HeldRange,
    /// What the registries say at the newest block, where the node does not know older state.
    later: Option<LaterWord>,
    /// Up to where everything was given.
    pub(super) at: ChainPosition,
}

impl ChainReader<NodeRanges> {
    /// Begins before the registry's first block. No more is held unconfirmed than an indexer holds.
    pub(super) async fn begin(client: &Client, to: u64) -> Result<Self, IndexerError> {
        let deployment = client.deployment();
        let number = deployment.block.saturating_sub(1);
        let block = client.block_by_number(number).await?;
        let block = block.ok_or(IndexerError::BlockMoved)?;
        let at = ChainPosition {
            block: BlockRef::from(&block),
            registry_state: RegistryState::first(deployment),
            consents: RegistryState::first_of_consents(deployment),
        };
        let source = NodeRanges::new(client, number + 1, to);
        let held = HeldRange::of_at_most(MOST_HELD);
        Ok(Self::of(source, deployment.chain_id, at, held))
    }
}

impl<S: RangeSource> ChainReader<S> {
    fn of(source: S, chain_id: u64, at: ChainPosition, held: HeldRange) -> Self {
        Self {
            source,
            chain_id,
            held,
            later: None,
            at,
        }
    }

    /// The next stretch that is confirmed; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Followed>, IndexerError> {
        loop {
            self.held.require_room(self.at)?;
            let Some(read_range) = self.source.next(self.reached()).await? else {
                break;
            };
            if self.later.is_none() && !read_range.is_told() {
                // Where it is not told, it is asked for again with the next range.
                self.later = self.source.newest_word().await.ok();
            }
            let (at, later) = (self.at, self.later);
            if let Some(followed) = self.held.take(self.chain_id, at, read_range, later)? {
                self.at = followed.end;
                return Ok(Some(followed));
            }
        }
        self.held.require_empty(self.at)?;
        Ok(None)
    }

    /// The block up to which everything was read.
    fn reached(&self) -> BlockRef {
        self.held.end().unwrap_or(self.at.block)
    }
}

/// The ranges that a node tells, asked for again where it gives no answer.
pub(super) struct NodeRanges {
    client: Client,
    range_size: RangeSize,
    ranges: Ranges,
    to: u64,
    failures: u32,
}

impl NodeRanges {
    fn new(client: &Client, from: u64, to: u64) -> Self {
        let range_size = RangeSize::default();
        Self {
            ranges: Ranges::new(client, &range_size, from, to),
            client: client.clone(),
            range_size,
            to,
            failures: 0,
        }
    }
}

impl RangeSource for NodeRanges {
    async fn next(&mut self, reached: BlockRef) -> Result<Option<ReadRange>, IndexerError> {
        loop {
            match self.ranges.next().await {
                Ok(read_range) => {
                    self.failures = 0;
                    return Ok(read_range);
                }
                Err(IndexerError::Node(_) | IndexerError::BlockMoved)
                    if self.failures < MAX_FAILURES =>
                {
                    self.failures += 1;
                    tokio::time::sleep(REST).await;
                    let from = reached.number + 1;
                    self.ranges = Ranges::new(&self.client, &self.range_size, from, self.to);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn newest_word(&self) -> Result<LaterWord, IndexerError> {
        let newest = self.client.head().await?;
        let (records, consents) = fetch::registries_at(&self.client, &newest).await?;
        Ok(LaterWord { records, consents })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use chain::RegistryLog;

    use super::*;
    use crate::follow::{
        ConsentRange,
        tests::{CHAIN, START, block, logs, read_range},
    };

    /// The blocks of the events, in their order: many are in one.
    const BLOCKS: [u8; 12] = [2, 2, 2, 3, 3, 5, 5, 5, 5, 8, 8, 9];

    /// How many events of one block there are at most.
    const FULLEST: usize = 4;

    /// Ranges that were read before.
    struct ReadBefore {
        ranges: VecDeque<ReadRange>,
        /// Where they begin.
        behind: BlockRef,
        newest: Option<LaterWord>,
    }

    impl RangeSource for ReadBefore {
        async fn next(&mut self, reached: BlockRef) -> Result<Option<ReadRange>, IndexerError> {
            assert_eq!(reached, self.behind, "nothing is left out, nor read twice");
            let next = self.ranges.pop_front();
            self.behind = next.as_ref().and_then(ReadRange::end).unwrap_or(reached);
            Ok(next)
        }

        async fn newest_word(&self) -> Result<LaterWord, IndexerError> {
            self.newest.ok_or(IndexerError::BlockMoved)
        }
    }

    fn whole() -> Vec<RegistryLog> {
        logs(&BLOCKS)
    }

    fn last_state() -> RegistryState {
        let last = whole().pop().expect("there are events");
        RegistryState {
            sequence: last.sequence,
            head: last.head,
        }
    }

    /// The chain up to block 10 in ranges that end at these blocks; the registry says of itself only at the end of the last one.
    fn ranges(ends: &[u8]) -> VecDeque<ReadRange> {
        let mut begins = 2;
        let mut ranges = VecDeque::new();
        for &end in ends {
            let is_in = |log: &RegistryLog| (begins..=u64::from(end)).contains(&log.block_number);
            let logs = whole().into_iter().filter(is_in).collect();
            let word = (end == 10).then(last_state);
            ranges.push_back(read_range(&[end], logs, word));
            begins = u64::from(end) + 1;
        }
        ranges
    }

    /// A reader of these, which holds so many events at most.
    fn reader(ranges: VecDeque<ReadRange>, most: usize) -> ChainReader<ReadBefore> {
        let at = ChainPosition {
            block: BlockRef::from(&block(1)),
            registry_state: START,
            consents: None,
        };
        let source = ReadBefore {
            ranges,
            behind: at.block,
            newest: None,
        };
        ChainReader::of(source, CHAIN, at, HeldRange::of_at_most(most))
    }

    /// What it gives until it ends, and how it ends.
    async fn all(
        reader: &mut ChainReader<ReadBefore>,
    ) -> (Vec<RegistryLog>, Result<(), IndexerError>) {
        let mut given = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(followed)) => given.extend(followed.logs),
                Ok(None) => return (given, Ok(())),
                Err(error) => return (given, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn more_events_than_may_be_held_are_given_once_each_however_the_chain_is_divided() {
        let divisions: [&[u8]; 4] = [
            &[2, 3, 4, 5, 6, 7, 8, 9, 10],
            &[2, 4, 5, 7, 9, 10],
            &[3, 5, 9, 10],
            &[4, 8, 10],
        ];
        for ends in divisions {
            let ranges = ranges(ends);
            // A range is held until an event behind it confirms it, and no longer.
            let fullest = ranges.iter().map(|it| it.logs.len()).max();
            let most = fullest.expect("there are ranges");
            assert!(most < BLOCKS.len(), "{ends:?}");
            let mut reader = reader(ranges, most);

            let (given, ended) = all(&mut reader).await;

            assert!(ended.is_ok(), "{ends:?}: {ended:?}");
            assert_eq!(given, whole(), "{ends:?}");
            assert_eq!(reader.at.registry_state, last_state(), "{ends:?}");
            assert_eq!(reader.at.block, BlockRef::from(&block(10)), "{ends:?}");
        }
    }

    #[tokio::test]
    async fn where_too_much_is_unconfirmed_the_blocks_are_told_and_what_comes_before_is_given() {
        let ends = [2, 4, 5, 7, 9, 10];
        for (most, given, unconfirmed) in [
            // how many may be held → how many were given, and which blocks nothing confirms
            (2, 0, Some((2, 2))),
            (3, 5, Some((5, 5))),
            (FULLEST, BLOCKS.len(), None),
        ] {
            let mut reader = reader(ranges(&ends), most);

            let (logs, ended) = all(&mut reader).await;

            assert_eq!(ended.is_ok(), unconfirmed.is_none(), "{most}: {ended:?}");
            let blocks = match ended {
                Err(IndexerError::Unconfirmed { from, to }) => Some((from, to)),
                Ok(()) | Err(_) => None,
            };
            assert_eq!(blocks, unconfirmed, "{most}");
            assert_eq!(logs, whole()[..given], "{most}");
        }
    }

    #[tokio::test]
    async fn a_silent_registry_holds_up_nothing_once_its_newest_word_is_known() {
        for (consents, is_whole) in [(Some(START), true), (None, false)] {
            let mut ranges = ranges(&[2, 4, 5, 7, 9, 10]);
            for range in &mut ranges {
                let registry = range.registry.map(|_| START);
                let logs = Vec::new();
                range.consents = Some(ConsentRange { logs, registry });
            }
            let mut reader = reader(ranges, FULLEST);
            reader.at.consents = Some(START);
            let records = Some(last_state());
            reader.source.newest = Some(LaterWord { records, consents });

            let (given, ended) = all(&mut reader).await;

            assert_eq!(ended.is_ok(), is_whole, "{ended:?}");
            let wanted = if is_whole { whole() } else { Vec::new() };
            assert_eq!(given, wanted);
        }
    }
}
