//! The registries' events from the first block on, as the node tells them now: read, held against blocks and receipts, and
//! confirmed as the indexer itself does.

use std::time::Duration;

use chain::Client;

use crate::{
    error::IndexerError,
    fetch::{self, RangeSize, Ranges},
    follow::{ConfirmedRange, Followed, LaterWord, ReadRange, confirm},
    position::{BlockRef, ChainPosition, RegistryState},
};

/// How often in a row a node may give no answer. Unit: attempts.
const MAX_FAILURES: u32 = 10;

/// How long it is left alone each time.
const REST: Duration = Duration::from_secs(1);

/// Reads the chain up to a block.
pub(super) struct ChainReader {
    client: Client,
    range_size: RangeSize,
    ranges: Ranges,
    /// What was read and is not confirmed yet.
    held: Option<ReadRange>,
    /// What the registries say at the newest block, where the node does not know older state.
    later: Option<LaterWord>,
    to: u64,
    failures: u32,
    /// Up to where everything was given.
    pub(super) at: ChainPosition,
}

impl ChainReader {
    /// Begins before the registry's first block.
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
        let range_size = RangeSize::default();
        Ok(Self {
            ranges: Ranges::new(client, &range_size, number + 1, to),
            client: client.clone(),
            range_size,
            held: None,
            later: None,
            to,
            failures: 0,
            at,
        })
    }

    /// The next stretch that is confirmed; `None` after the last. No more is held unconfirmed than an indexer holds.
    pub(super) async fn next(&mut self) -> Result<Option<Followed>, IndexerError> {
        while let Some(read_range) = self.read().await? {
            if self.later.is_none() && !read_range.is_told() {
                // Where it is not told, it is asked for again with the next range.
                self.later = newest_word(&self.client).await.ok();
            }
            let mut joined = match self.held.take() {
                Some(mut held) => {
                    held.join(read_range);
                    held
                }
                None => read_range,
            };
            let chain_id = self.client.deployment().chain_id;
            if let Some(later) = self.later {
                joined.believe(chain_id, self.at, later);
            }
            let ConfirmedRange { followed, held } = confirm(chain_id, self.at, joined)?;
            if let Some(followed) = &followed {
                self.at = followed.end;
            }
            if held.as_ref().is_some_and(ReadRange::is_too_much) {
                self.held = held;
                break;
            }
            self.held = held;
            if followed.is_some() {
                return Ok(followed);
            }
        }
        match self.held.as_ref().and_then(ReadRange::end) {
            Some(end) => Err(IndexerError::Unconfirmed {
                from: self.at.block.number + 1,
                to: end.number,
            }),
            None => Ok(None),
        }
    }

    /// Reads on; asks again where the node gives no answer.
    async fn read(&mut self) -> Result<Option<ReadRange>, IndexerError> {
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
                    let held_to = self.held.as_ref().and_then(ReadRange::end);
                    let from = held_to.unwrap_or(self.at.block).number + 1;
                    self.ranges = Ranges::new(&self.client, &self.range_size, from, self.to);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What the registries say of themselves at the newest block.
async fn newest_word(client: &Client) -> Result<LaterWord, IndexerError> {
    let newest = client.head().await?;
    let (records, consents) = fetch::registries_at(client, &newest).await?;
    Ok(LaterWord { records, consents })
}
