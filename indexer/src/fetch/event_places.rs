//! Where a node has events that are stored. What it says otherwise is asked for again, and held against its own blocks and
//! receipts, before it counts.

use std::collections::{BTreeMap, BTreeSet};

use chain::{ChainAddress, Client, ClientError, RegistryLog, TxHash, event::RawLog};
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

/// What a node says of these events of a contract of ours, in their order; each block is asked for once. Nothing of it counts where
/// the node is not on the chain of `at`, up to which we have followed.
pub(crate) async fn place_answers(
    client: &Client,
    contract: ChainAddress,
    events: &[UnpairedEvent],
    at: BlockRef,
) -> Result<Vec<PlaceAnswer>, IndexerError> {
    let blocks: BTreeSet<u64> = events.iter().map(|it| number(it.block_number)).collect();
    let told: BTreeMap<u64, Option<Vec<RegistryLog>>> = stream::iter(blocks)
        .map(|block| told_in(client, contract, block))
        .buffered(IN_FLIGHT)
        .try_collect()
        .await?;
    let mut answers = Vec::with_capacity(events.len());
    for event in events {
        let of_block = told.get(&number(event.block_number));
        let answer = match of_block.and_then(Option::as_deref) {
            None => PlaceAnswer::Unknown,
            Some(logs) => match log_of(logs, event) {
                Some(log) if differing(event, log).is_none() => PlaceAnswer::Same,
                Some(_) | None => proven_answer(client, contract, event).await?,
            },
        };
        answers.push(answer);
    }
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
    logs.iter().find(|log| log.sequence == number(event.sequence))
}

/// The events of a block, with its number; `None` where the node has no logs of it any more.
async fn told_in(
    client: &Client,
    contract: ChainAddress,
    block: u64,
) -> Result<(u64, Option<Vec<RegistryLog>>), IndexerError> {
    match client.logs_of_contracts_in(&[contract], block, block).await {
        Ok(logs) => Ok((block, Some(numbered(client, &logs)?))),
        Err(error) if cannot_tell(&error) => Ok((block, None)),
        Err(error) => Err(error.into()),
    }
}

/// Whether a node refuses for good, and not because it was asked too often.
fn cannot_tell(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { .. }) && !error.asks_for_patience()
}

fn numbered(client: &Client, logs: &[RawLog]) -> Result<Vec<RegistryLog>, IndexerError> {
    let read = decode(client, logs)?;
    Ok(read.records.into_iter().chain(read.consents).collect())
}

/// Asks for an event once more, and counts what blocks and receipts confirm.
async fn proven_answer(
    client: &Client,
    contract: ChainAddress,
    event: &UnpairedEvent,
) -> Result<PlaceAnswer, IndexerError> {
    let block = number(event.block_number);
    let logs = match proven_logs(client, &[contract], block, block).await {
        Ok(Some(logs)) => numbered(client, &logs)?,
        Ok(None) | Err(IndexerError::Halt(_)) => return Ok(PlaceAnswer::Unknown),
        Err(IndexerError::Node(error)) if cannot_tell(&error) => return Ok(PlaceAnswer::Unknown),
        Err(error) => return Err(error),
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
        Err(error) if cannot_tell(&error) => None,
        Err(error) => return Err(error.into()),
    };
    let is_elsewhere = receipt.is_some_and(|it| it.block_number != number(event.block_number));
    Ok(if is_elsewhere {
        PlaceAnswer::Differs(PlaceColumn::BlockNumber)
    } else {
        PlaceAnswer::Unknown
    })
}
