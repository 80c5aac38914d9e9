//! Reading stretches of the chain: by range below finality, several at a time, larger while the node
//! bears it; block by block and by hash above. Each log is held against its block and the receipt of its transaction.

mod event_places;
mod range_size;

use std::collections::VecDeque;

use chain::{
    Block, ChainAddress, Client, ClientError, RegistryLog, UnprovenLog,
    event::{self, RawLog, Undecodable},
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinHandle;

use self::range_size::{PLENTY, TOO_MANY};
pub(crate) use self::{
    event_places::{PlaceAnswer, proven_places, told_places},
    range_size::RangeSize,
};
use crate::{
    error::IndexerError,
    follow::{ConsentRange, ReadRange, linked},
    position::{BlockRef, RegistryState},
};

/// Requests in flight. Unit: requests. More of them made nothing faster.
const IN_FLIGHT: usize = 4;

/// The same of ranges that are full of events: to write them takes longer than to read them. Unit: requests.
const FULL_IN_FLIGHT: usize = 2;

/// The most blocks above finality that are read in one go. Unit: blocks.
const RECENT_AT_ONCE: u64 = 64;

/// Ranges `from..=to` below finality, in order, read ahead of whoever applies them: a few, none of which has more events than
/// one transaction bears, unless it is a single block.
pub(crate) struct Ranges {
    client: Client,
    range_size: RangeSize,
    next: u64,
    to: u64,
    running: VecDeque<JoinHandle<Result<PartRead, IndexerError>>>,
    /// How many are read at once.
    at_once: usize,
}

/// The beginning of a range, or all of it.
struct PartRead {
    read: ReadRange,
    /// The first block that was not read, where the range had too much for once.
    rest: Option<u64>,
}

impl Ranges {
    pub(crate) fn new(client: &Client, range_size: &RangeSize, from: u64, to: u64) -> Self {
        Self {
            client: client.clone(),
            range_size: range_size.clone(),
            next: from,
            to,
            running: VecDeque::new(),
            at_once: IN_FLIGHT,
        }
    }

    /// The next range; `None` when all of it was given.
    pub(crate) async fn next(&mut self) -> Result<Option<ReadRange>, IndexerError> {
        while self.running.len() < self.at_once && self.next <= self.to {
            let (from, size) = (self.next, self.range_size.size());
            let to = self.to.min(from.saturating_add(size - 1));
            self.next = to + 1;
            let (client, range_size) = (self.client.clone(), self.range_size.clone());
            let read = async move { beginning_of(&client, &range_size, from, to).await };
            self.running.push_back(tokio::spawn(read));
        }
        let Some(running) = self.running.front_mut() else {
            return Ok(None);
        };
        let read = running.await;
        self.running.pop_front();
        // A task ends without a value only when the program is ending.
        let PartRead { read, rest } = read.map_err(|_| IndexerError::BlockMoved)??;
        let is_full = read.event_count() >= PLENTY;
        self.at_once = if is_full { FULL_IN_FLIGHT } else { IN_FLIGHT };
        if let Some(rest) = rest {
            // What is read ahead would be too much as well, and is asked for again in smaller ranges.
            self.give_up();
            self.next = rest;
        }
        Ok(Some(read))
    }

    fn give_up(&mut self) {
        for running in self.running.drain(..) {
            running.abort();
        }
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Reads a range, or as much of its beginning as the node gives at once and one transaction bears.
async fn beginning_of(
    client: &Client,
    range_size: &RangeSize,
    from: u64,
    to: u64,
) -> Result<PartRead, IndexerError> {
    let mut end = to;
    loop {
        let size = end - from + 1;
        match range(client, from, end).await {
            Ok(Some(read)) => {
                let rest = (end < to).then_some(end + 1);
                if rest.is_none() {
                    range_size.served(size, read.event_count());
                }
                return Ok(PartRead { read, rest });
            }
            Ok(None) => {
                tracing::debug!("Asking for less than blocks {from} to {end}: there are many logs");
            }
            Err(IndexerError::Node(error)) if from < end && error.asks_for_less() => {
                tracing::debug!("Asking for less than blocks {from} to {end}: {error}");
            }
            Err(error) => return Err(error),
        }
        range_size.refused(size);
        end = from + (end - from) / 2;
    }
}

/// Reads one range below finality; `None` where it has too many logs and can be divided.
async fn range(client: &Client, from: u64, to: u64) -> Result<Option<ReadRange>, IndexerError> {
    let contracts = contracts(client);
    let (logs, end) = tokio::try_join!(
        proven_logs(client, &contracts, from, to),
        end_of(client, to)
    )?;
    let Some(logs) = logs else {
        return Ok(None);
    };
    let registry = client.deployment().registry;
    let registry = registry_at(client, registry, first_of(client, registry), &end).await?;
    if is_moved(&logs, &end) {
        return Err(IndexerError::BlockMoved);
    }
    let read = decode(client, &logs)?;
    Ok(Some(ReadRange {
        consents: consents_at(client, read.consents, &end).await?,
        blocks: vec![end],
        logs: read.records,
        registry,
    }))
}

/// Reads one range of the registry of consents alone, below finality or not; with the block that it ends at. `None` where it
/// has too many logs and can be divided.
pub(crate) async fn consents(
    client: &Client,
    from: u64,
    to: u64,
) -> Result<Option<(Block, ConsentRange)>, IndexerError> {
    let contract = client.deployment().consent_registry.into_iter();
    let contract: Vec<ChainAddress> = contract.collect();
    let (logs, end) =
        tokio::try_join!(proven_logs(client, &contract, from, to), end_of(client, to))?;
    let Some(logs) = logs else {
        return Ok(None);
    };
    if is_moved(&logs, &end) {
        return Err(IndexerError::BlockMoved);
    }
    let read = decode(client, &logs)?;
    let range = consents_at(client, read.consents, &end).await?;
    Ok(Some((end, range.ok_or(IndexerError::BlockMoved)?)))
}

/// The block that a range ends at. Final by one answer, unknown by the next: two nodes behind one address.
async fn end_of(client: &Client, number: u64) -> Result<Block, IndexerError> {
    let end = client.block_by_number(number).await?;
    end.ok_or(IndexerError::BlockMoved)
}

/// The logs of a range, each in a block that the node has under its number, and in the receipt of its transaction. What does
/// not fit is asked for once more. `None`, and no receipt is asked for, where there are too many and the range can be divided.
async fn proven_logs(
    client: &Client,
    contracts: &[ChainAddress],
    from: u64,
    to: u64,
) -> Result<Option<Vec<RawLog>>, IndexerError> {
    let is_too_much = |logs: &[RawLog]| from < to && logs.len() > TOO_MANY;
    let logs = client.logs_of_contracts_in(contracts, from, to).await?;
    if is_too_much(&logs) {
        return Ok(None);
    }
    let Some(unproven) = contradiction(client, &logs).await? else {
        return Ok(Some(logs));
    };
    tracing::warn!("Asking again for the logs of blocks {from} to {to}: {unproven}");
    let logs = client.logs_of_contracts_in(contracts, from, to).await?;
    if is_too_much(&logs) {
        return Ok(None);
    }
    match contradiction(client, &logs).await? {
        Some(unproven) => Err(unproven.into()),
        None => Ok(Some(logs)),
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

/// Reads blocks above finality, each by its hash, linked to `before` by their parents: no more of them than it takes until
/// there are many logs.
pub(crate) async fn recent(
    client: &Client,
    before: BlockRef,
    from: u64,
    to: u64,
) -> Result<ReadRange, IndexerError> {
    let to = to.min(from + RECENT_AT_ONCE - 1);
    let (mut blocks, mut read) = (Vec::new(), Decoded::default());
    let mut reading = stream::iter(from..=to)
        .map(|number| one(client, number))
        .buffered(IN_FLIGHT);
    while let Some((block, of_block)) = reading.try_next().await? {
        blocks.push(block);
        read.records.extend(of_block.records);
        read.consents.extend(of_block.consents);
        if read.records.len() + read.consents.len() >= PLENTY {
            break;
        }
    }
    drop(reading);
    if !linked(before.hash, &blocks) {
        return Err(IndexerError::BlockMoved);
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
