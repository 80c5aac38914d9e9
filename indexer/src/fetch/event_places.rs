//! Where a node has events that are stored. What it says otherwise is asked for again, and held against its own blocks and
//! receipts, before it counts.

use std::collections::{BTreeMap, BTreeSet};

use chain::{
    ChainAddress, Client, RegistryLog, TxHash,
    event::{RawLog, Undecodable},
};
use futures::{StreamExt, TryStreamExt, stream};
use store::chain_events::UnpairedEvent;

use super::{IN_FLIGHT, decode, proven_logs};
use crate::{
    error::IndexerError,
    position::{BlockRef, number},
    reconcile::event_places::{PlaceColumn, differing},
};

/// What a node says of where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceAnswer {
    /// Where its row says that it is.
    Same,
    /// Elsewhere: this column is another.
    Differs(PlaceColumn),
    /// It cannot tell.
    Unknown,
}

/// Whether a node has these events of a contract of ours where their rows say, in their order: what is not the same is not known
/// yet. Each block is asked for once.
pub(crate) async fn told_places(
    client: &Client,
    contract: ChainAddress,
    events: &[UnpairedEvent],
) -> Result<Vec<PlaceAnswer>, IndexerError> {
    let blocks: BTreeSet<u64> = events.iter().map(|it| number(it.block_number)).collect();
    let told: BTreeMap<u64, Vec<RegistryLog>> = stream::iter(blocks)
        .map(|block| told_in(client, contract, block))
        .buffered(IN_FLIGHT)
        .try_collect()
        .await?;
    let answer = |event: &UnpairedEvent| {
        let of_block = told.get(&number(event.block_number));
        match of_block.and_then(|logs| log_of(logs, event)) {
            Some(log) if differing(event, log).is_none() => PlaceAnswer::Same,
            Some(_) | None => PlaceAnswer::Unknown,
        }
    };
    Ok(events.iter().map(answer).collect())
}

/// What a node says of where these few events are, in their order, as far as its blocks and receipts confirm it. Nothing of it counts
/// where the node is not on the chain of `at`, up to which we have followed.
pub(crate) async fn proven_places(
    client: &Client,
    contract: ChainAddress,
    events: &[UnpairedEvent],
    at: BlockRef,
) -> Result<Vec<PlaceAnswer>, IndexerError> {
    let asked = events
        .iter()
        .map(|event| proven_place(client, contract, event));
    let answers = futures::future::try_join_all(asked).await?;
    let is_settled = |it: &PlaceAnswer| !matches!(it, PlaceAnswer::Differs(_));
    if answers.iter().all(is_settled) {
        return Ok(answers);
    }
    // Undone meanwhile, the events are elsewhere by right.
    match client.block_by_number(at.number).await? {
        Some(block) if BlockRef::from(&block) == at => Ok(answers),
        Some(_) | None => Err(IndexerError::BlockMoved),
    }
}

fn log_of<'a>(logs: &'a [RegistryLog], event: &UnpairedEvent) -> Option<&'a RegistryLog> {
    let sequence = number(event.sequence);
    logs.iter().find(|log| log.sequence == sequence)
}

/// The events of a block, with its number; none where the node does not give them, or gives what cannot be read.
async fn told_in(
    client: &Client,
    contract: ChainAddress,
    block: u64,
) -> Result<(u64, Vec<RegistryLog>), IndexerError> {
    let contracts = [contract];
    match client.logs_of_contracts_in(&contracts, block, block).await {
        Ok(logs) => Ok((block, numbered(client, &logs).unwrap_or_default())),
        Err(error) if error.asks_for_less() => Ok((block, Vec::new())),
        Err(error) => Err(error.into()),
    }
}

fn numbered(client: &Client, logs: &[RawLog]) -> Result<Vec<RegistryLog>, Undecodable> {
    let read = decode(client, logs)?;
    Ok(read.records.into_iter().chain(read.consents).collect())
}

/// Asks for an event once more, and counts what blocks and receipts confirm.
async fn proven_place(
    client: &Client,
    contract: ChainAddress,
    event: &UnpairedEvent,
) -> Result<PlaceAnswer, IndexerError> {
    let block = number(event.block_number);
    let logs = match proven_logs(client, &[contract], block, block).await {
        Ok(logs) => logs.unwrap_or_default(),
        Err(IndexerError::Halt(_)) => return Ok(PlaceAnswer::Unknown),
        // Some refuse blocks that they do not have yet, or not any more.
        Err(IndexerError::Node(error)) if error.asks_for_less() => Vec::new(),
        Err(error) => return Err(error),
    };
    let Ok(logs) = numbered(client, &logs) else {
        return Ok(PlaceAnswer::Unknown);
    };
    match log_of(&logs, event) {
        Some(log) => {
            let differs = differing(event, log);
            Ok(differs.map_or(PlaceAnswer::Same, PlaceAnswer::Differs))
        }
        None => of_other_block(client, event).await,
    }
}

/// Of an event that is not in the block that its row names: nodes leave logs out, so that the receipt of its transaction has to be
/// of another block.
async fn of_other_block(
    client: &Client,
    event: &UnpairedEvent,
) -> Result<PlaceAnswer, IndexerError> {
    let Ok(transaction) = event.tx_hash.parse::<TxHash>() else {
        return Ok(PlaceAnswer::Unknown);
    };
    let receipt = match client.receipt(transaction).await {
        Ok(receipt) => receipt,
        Err(error) if error.asks_for_less() => None,
        Err(error) => return Err(error.into()),
    };
    let is_elsewhere = receipt.is_some_and(|it| it.block_number != number(event.block_number));
    Ok(if is_elsewhere {
        PlaceAnswer::Differs(PlaceColumn::BlockNumber)
    } else {
        PlaceAnswer::Unknown
    })
}
