//! The registries' events from the first block on, as the node tells them now: read, held against blocks and receipts, and
//! confirmed as the indexer itself does.

use std::time::Duration;

use chain::Client;

use crate::{
    error::IndexerError,
    fetch::{RangeSize, Ranges},
    follow::{ConfirmedRange, Followed, ReadRange, confirm},
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
            to,
            failures: 0,
            at,
        })
    }

    /// The next stretch that is confirmed; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Followed>, IndexerError> {
        while let Some(read_range) = self.read().await? {
            let joined = match self.held.take() {
                Some(mut held) => {
                    held.join(read_range);
                    held
                }
                None => read_range,
            };
            let chain_id = self.client.deployment().chain_id;
            let ConfirmedRange { followed, held } = confirm(chain_id, self.at, joined)?;
            self.held = held;
            if let Some(followed) = followed {
                self.at = followed.end;
                return Ok(Some(followed));
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
