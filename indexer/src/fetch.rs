//! Reading stretches of the chain: by range below finality, several at a time, larger while the node
//! bears it; block by block and by hash above. Each log is held against its block and the receipt of its transaction.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chain::{
    Block, ChainAddress, Client, ClientError, RegistryLog, UnprovenLog,
    event::{self, RawLog, Undecodable},
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinHandle;

use crate::{
    error::IndexerError,
    follow::{ConsentRange, ReadRange, linked},
    position::{BlockRef, RegistryState},
};

/// Requests in flight. Unit: requests. More of them made nothing faster.
const IN_FLIGHT: usize = 4;

/// The size of a range: first, smallest and largest. Unit: blocks.
const FIRST_SIZE: u64 = 20;
const SMALLEST_SIZE: u64 = 1;
const LARGEST_SIZE: u64 = 2_000;

/// How many logs of a range are enough not to ask for more next time; twice as many are too many for
/// one transaction. Unit: logs.
const PLENTY: usize = 2_000;

/// The most blocks above finality that are read in one go. Unit: blocks.
const RECENT_AT_ONCE: u64 = 64;

/// How large ranges may be just now: halved when the node refuses, grown when it does not.
#[derive(Debug, Clone)]
pub(crate) struct RangeSize(Arc<AtomicU64>);

impl Default for RangeSize {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(FIRST_SIZE)))
    }
}

impl RangeSize {
    fn size(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn refused(&self, size: u64) {
        self.0
            .fetch_min((size / 2).max(SMALLEST_SIZE), Ordering::Relaxed);
    }

    /// Only a range of the full size says that more can be borne.
    fn served(&self, size: u64, logs: usize) {
        if logs > 2 * PLENTY {
            self.refused(size);
        } else if logs < PLENTY && size >= self.size() {
            self.0
                .store((size * 2).min(LARGEST_SIZE), Ordering::Relaxed);
        }
    }
}

/// Ranges `from..=to` below finality, in order, read ahead of whoever applies them.
pub(crate) struct Ranges {
    client: Client,
    range_size: RangeSize,
    next: u64,
    to: u64,
    running: VecDeque<JoinHandle<Result<Vec<ReadRange>, IndexerError>>>,
    ready: VecDeque<ReadRange>,
}

impl Ranges {
    pub(crate) fn new(client: &Client, range_size: &RangeSize, from: u64, to: u64) -> Self {
        Self {
            client: client.clone(),
            range_size: range_size.clone(),
            next: from,
            to,
            running: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next range; `None` when all of it was given.
    pub(crate) async fn next(&mut self) -> Result<Option<ReadRange>, IndexerError> {
        loop {
            if let Some(read_range) = self.ready.pop_front() {
                return Ok(Some(read_range));
            }
            while self.running.len() < IN_FLIGHT && self.next <= self.to {
                let (from, size) = (self.next, self.range_size.size());
                let to = self.to.min(from.saturating_add(size - 1));
                self.next = to + 1;
                let (client, range_size) = (self.client.clone(), self.range_size.clone());
                let read = async move { ranges(&client, &range_size, from, to).await };
                self.running.push_back(tokio::spawn(read));
            }
            let Some(running) = self.running.front_mut() else {
                return Ok(None);
            };
            let read = running.await;
            self.running.pop_front();
            // A task ends without a value only when the program is ending.
            self.ready
                .extend(read.map_err(|_| IndexerError::BlockMoved)??);
        }
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        for running in &self.running {
            running.abort();
        }
    }
}

/// Reads a range, in as many pieces as the node wants it.
async fn ranges(
    client: &Client,
    range_size: &RangeSize,
    from: u64,
    to: u64,
) -> Result<Vec<ReadRange>, IndexerError> {
    let mut pieces = vec![(from, to)];
    let mut read = Vec::new();
    while let Some((from, to)) = pieces.pop() {
        match range(client, from, to).await {
            Ok(read_range) => {
                range_size.served(to - from + 1, read_range.logs.len());
                read.push(read_range);
            }
            Err(IndexerError::Node(error)) if from < to && error.asks_for_less() => {
                tracing::debug!("Asking for less than blocks {from} to {to}: {error}");
                range_size.refused(to - from + 1);
                let middle = from + (to - from) / 2;
                pieces.push((middle + 1, to));
                pieces.push((from, middle));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Reads one range below finality.
async fn range(client: &Client, from: u64, to: u64) -> Result<ReadRange, IndexerError> {
    let contracts = contracts(client);
    let (logs, end) = tokio::try_join!(
        proven_logs(client, &contracts, from, to),
        end_of(client, to)
    )?;
    let registry = client.deployment().registry;
    let registry = registry_at(client, registry, first_of(client, registry), &end).await?;
    if is_moved(&logs, &end) {
        return Err(IndexerError::BlockMoved);
    }
    let read = decode(client, &logs)?;
    Ok(ReadRange {
        consents: consents_at(client, read.consents, &end).await?,
        blocks: vec![end],
        logs: read.records,
        registry,
    })
}

/// Reads one range of the registry of consents alone, below finality or not; with the block that it ends at.
pub(crate) async fn consents(
    client: &Client,
    from: u64,
    to: u64,
) -> Result<(Block, ConsentRange), IndexerError> {
    let contract = client.deployment().consent_registry.into_iter();
    let contract: Vec<ChainAddress> = contract.collect();
    let (logs, end) =
        tokio::try_join!(proven_logs(client, &contract, from, to), end_of(client, to))?;
    if is_moved(&logs, &end) {
        return Err(IndexerError::BlockMoved);
    }
    let read = decode(client, &logs)?;
    let range = consents_at(client, read.consents, &end).await?;
    Ok((end, range.ok_or(IndexerError::BlockMoved)?))
}

/// The block that a range ends at. Final by one answer, unknown by the next: two nodes behind one address.
async fn end_of(client: &Client, number: u64) -> Result<Block, IndexerError> {
    let end = client.block_by_number(number).await?;
    end.ok_or(IndexerError::BlockMoved)
}

/// The logs of a range, each in a block that the node has under its number, and in the receipt of its transaction. What does
/// not fit is asked for once more.
async fn proven_logs(
    client: &Client,
    contracts: &[ChainAddress],
    from: u64,
    to: u64,
) -> Result<Vec<RawLog>, IndexerError> {
    let logs = client.logs_of_contracts_in(contracts, from, to).await?;
    let Some(unproven) = contradiction(client, &logs).await? else {
        return Ok(logs);
    };
    tracing::warn!("Asking again for the logs of blocks {from} to {to}: {unproven}");
    let logs = client.logs_of_contracts_in(contracts, from, to).await?;
    match contradiction(client, &logs).await? {
        Some(unproven) => Err(unproven.into()),
        None => Ok(logs),
    }
}

/// The first log that the node's own blocks or receipts contradict.
async fn contradiction(
    client: &Client,
    logs: &[RawLog],
) -> Result<Option<UnprovenLog>, ClientError> {
    if logs.is_empty() {
        return Ok(None);
    }
    match client.misplaced(logs).await? {
        Some(misplaced) => Ok(Some(misplaced)),
        None => client.without_receipt(logs).await,
    }
}

/// Whether the last of these logs is of another block than the one that is there now.
fn is_moved(logs: &[RawLog], end: &Block) -> bool {
    let last = logs.last();
    last.is_some_and(|log| log.block_number == end.number && log.block_hash != end.hash)
}

/// The contracts of ours that are followed.
fn contracts(client: &Client) -> Vec<ChainAddress> {
    let deployment = client.deployment();
    [deployment.registry]
        .into_iter()
        .chain(deployment.consent_registry)
        .collect()
}

/// Reads blocks above finality, each by its hash, linked to `before` by their parents.
pub(crate) async fn recent(
    client: &Client,
    before: BlockRef,
    from: u64,
    to: u64,
) -> Result<ReadRange, IndexerError> {
    let to = to.min(from + RECENT_AT_ONCE - 1);
    let read: Vec<(Block, Decoded)> = stream::iter(from..=to)
        .map(|number| one(client, number))
        .buffered(IN_FLIGHT)
        .try_collect()
        .await?;
    let (blocks, logs): (Vec<Block>, Vec<Decoded>) = read.into_iter().unzip();
    if !linked(before.hash, &blocks) {
        return Err(IndexerError::BlockMoved);
    }
    let mut read = Decoded::default();
    for of_block in logs {
        read.records.extend(of_block.records);
        read.consents.extend(of_block.consents);
    }
    let address = client.deployment().registry;
    let (registry, consents) = match blocks.last() {
        Some(last) => (
            registry_at(client, address, first_of(client, address), last).await?,
            consents_at(client, read.consents, last).await?,
        ),
        None => (None, None),
    };
    Ok(ReadRange {
        blocks,
        logs: read.records,
        registry,
        consents,
    })
}

async fn one(client: &Client, number: u64) -> Result<(Block, Decoded), IndexerError> {
    let block = client
        .block_by_number(number)
        .await?
        .ok_or(IndexerError::BlockMoved)?;
    let logs = logs_of(client, &block).await?;
    if client.without_receipt(&logs).await?.is_none() {
        return Ok((block, decode(client, &logs)?));
    }
    // The block may have been undone meanwhile, and its receipts with it.
    let logs = logs_of(client, &block).await?;
    let Some(unproven) = client.without_receipt(&logs).await? else {
        return Ok((block, decode(client, &logs)?));
    };
    let now = client.block_by_number(number).await?;
    if now.is_none_or(|now| now.hash != block.hash) {
        return Err(IndexerError::BlockMoved);
    }
    Err(unproven.into())
}

/// The logs of a block above finality, by its hash.
async fn logs_of(client: &Client, block: &Block) -> Result<Vec<RawLog>, IndexerError> {
    match client.logs_of_contracts(&contracts(client), block).await {
        Ok(logs) => Ok(logs),
        // Undone between the two questions, or not known to the node that was asked second.
        Err(error @ ClientError::Refused { .. }) if !error.asks_for_patience() => {
            Err(IndexerError::BlockMoved)
        }
        Err(error) => Err(error.into()),
    }
}

/// What the registry of consents said, with its own word after a block; `None` where there is none.
async fn consents_at(
    client: &Client,
    logs: Vec<RegistryLog>,
    block: &Block,
) -> Result<Option<ConsentRange>, IndexerError> {
    let Some(contract) = client.deployment().consent_registry else {
        return Ok(None);
    };
    let registry = registry_at(client, contract, first_of(client, contract), block).await?;
    Ok(Some(ConsentRange { logs, registry }))
}

/// What both registries say of themselves after a block, each where there is one and the node can tell.
pub(crate) async fn registries_at(
    client: &Client,
    block: &Block,
) -> Result<(Option<RegistryState>, Option<RegistryState>), IndexerError> {
    let registry = client.deployment().registry;
    let records = registry_at(client, registry, first_of(client, registry), block).await?;
    let consents = consents_at(client, Vec::new(), block).await?;
    Ok((records, consents.and_then(|range| range.registry)))
}

/// Where a contract of ours stood before its first event.
fn first_of(client: &Client, contract: ChainAddress) -> Option<RegistryState> {
    let deployment = client.deployment();
    if contract == deployment.registry {
        Some(RegistryState::first(deployment))
    } else {
        RegistryState::first_of_consents(deployment)
    }
}

/// What the registry says of itself after a block: shows a log that is missing at the end. A node that keeps no old state
/// cannot tell: `None`. Before the contract was there, it stands where it begins.
async fn registry_at(
    client: &Client,
    contract: ChainAddress,
    first: Option<RegistryState>,
    block: &Block,
) -> Result<Option<RegistryState>, IndexerError> {
    let refused = |error: ClientError| {
        if matches!(error, ClientError::Refused { .. }) && !error.asks_for_patience() {
            tracing::debug!("No state at block {}: {error}", block.number);
            Ok(None)
        } else {
            Err(IndexerError::from(error))
        }
    };
    match client.head_of(contract, block.hash).await {
        Ok(registry) => Ok(Some(registry.into())),
        Err(error @ ClientError::Unreadable { .. }) => {
            match client.has_code(contract, block.hash).await {
                Ok(false) => Ok(first),
                Ok(true) => Err(error.into()),
                Err(error) => refused(error),
            }
        }
        Err(error) => refused(error),
    }
}

/// Numbered logs, by the contract that wrote them.
#[derive(Debug, Default)]
struct Decoded {
    records: Vec<RegistryLog>,
    consents: Vec<RegistryLog>,
}

fn decode(client: &Client, logs: &[RawLog]) -> Result<Decoded, Undecodable> {
    let registry = client.deployment().registry;
    let mut decoded = Decoded::default();
    for log in logs {
        if log.is_of(registry) {
            decoded.records.extend(event::decode(log)?);
        } else {
            decoded.consents.extend(event::decode_consents(log)?);
        }
    }
    Ok(decoded)
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
        range_size.served(FIRST_SIZE, 2 * PLENTY + 1);
        assert_eq!(range_size.size(), FIRST_SIZE / 2, "that was too much");
        for _ in 0..20 {
            range_size.refused(range_size.size());
        }
        assert_eq!(range_size.size(), SMALLEST_SIZE);
        for _ in 0..20 {
            range_size.served(range_size.size(), 0);
        }
        assert_eq!(range_size.size(), LARGEST_SIZE);
    }
}
