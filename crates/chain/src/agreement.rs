//! Whether a second node is on the chain of the one that is asked: before something is told that a node alone has said. It says
//! nothing where there is no second node, or none that answers in time: then the one is believed, as where it is the only one.

use std::time::Duration;

use domain::records::DataHash;
use tokio::time;

use crate::{
    client::{Client, OnChainAnchor, OnChainStatus},
    error::{CheckError, ClientError},
};

/// How long all other nodes together may take.
const WITHIN: Duration = Duration::from_secs(2);
/// When blocks that differ are compared once more: nodes that follow the tip may part for a moment.
const AGAIN_IN: Duration = Duration::from_millis(250);

/// What a node has told of a hash.
#[derive(Debug, Clone, Copy)]
pub struct ToldAnchor {
    /// The hash.
    pub hash: DataHash,
    /// Its anchor; `None` where the registry knows none.
    pub anchor: Option<OnChainAnchor>,
}

impl Client {
    /// Refuses where another node has other blocks than the one that is asked, as far as both go, or says something else of an
    /// anchor in blocks that both have. One other node that answers is enough.
    ///
    /// # Errors
    /// [`ClientError::NodesDiffer`].
    pub async fn require_agreement(&self, told: Option<ToldAnchor>) -> Result<(), ClientError> {
        let endpoints = self.endpoints();
        if endpoints.len() < 2 {
            return Ok(());
        }
        let (asked, others): (Vec<_>, Vec<_>) = self
            .each()
            .zip(endpoints)
            .partition(|(_, health)| health.is_used);
        let Some((asked, _)) = asked.first() else {
            return Ok(());
        };
        let each_within = WITHIN / u32::try_from(others.len().max(1)).unwrap_or(u32::MAX);
        for (other, _) in others.iter().filter(|(_, health)| health.is_well) {
            let compared = time::timeout(each_within, compare_twice(asked, other, told)).await;
            match compared {
                Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(number))) => return Err(ClientError::NodesDiffer { number }),
                // It says nothing; the next one may.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The number of a block in which two nodes differ, twice; `None` where they do not.
async fn compare_twice(
    asked: &Client,
    other: &Client,
    told: Option<ToldAnchor>,
) -> Result<Option<u64>, CheckError> {
    if compare(asked, other, told).await?.is_none() {
        return Ok(None);
    }
    // One of another chain, or that has no registry yet, says nothing of ours.
    other.check().await?;
    time::sleep(AGAIN_IN).await;
    Ok(compare(asked, other, told).await?)
}

async fn compare(
    asked: &Client,
    other: &Client,
    told: Option<ToldAnchor>,
) -> Result<Option<u64>, ClientError> {
    let (ours, theirs) = tokio::try_join!(asked.head(), other.head())?;
    let common = ours.number.min(theirs.number);
    let anchored = told.and_then(|it| it.anchor).map(|it| it.block_number);
    let anchored = anchored.filter(|number| *number < common);
    for number in anchored.into_iter().chain([common]) {
        let (ours, theirs) =
            tokio::try_join!(asked.block_by_number(number), other.block_by_number(number))?;
        // What one of them has undone meanwhile is compared by the next question.
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            continue;
        };
        if ours.hash != theirs.hash {
            return Ok(Some(number));
        }
    }
    let Some(ToldAnchor { hash, anchor }) = told else {
        return Ok(None);
    };
    let place = |it: OnChainAnchor| (it.registrar, it.block_number, it.sequence);
    if anchor.is_some_and(|it| it.block_number > common) {
        return Ok(None);
    }
    let theirs = other.anchor_of(&hash).await?;
    // One that is behind may not know yet that it was ended.
    let stands =
        |it: Option<OnChainAnchor>| it.is_some_and(|it| it.status == OnChainStatus::Active);
    let is_other = theirs.map(place) != anchor.map(place) || (stands(anchor) && !stands(theirs));
    Ok(is_other.then_some(common))
}
