//! Whether a second node is on the chain of the one that is asked: before something is told that a node alone has said. It says
//! nothing where there is no second node, or none that answers in time: then the one is believed, as where it is the only one.

mod second_word;

use std::time::Duration;

use domain::records::DataHash;
use tokio::time;

pub use self::second_word::ToldFact;
use crate::{
    client::{Client, OnChainAnchor, OnChainStatus},
    error::{CheckError, ClientError},
    failover::{EndpointHealth, EndpointRest},
};

/// How long all other nodes together may take for one comparison.
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
    /// anchor in blocks that both have; and where the anchor stands in a block that the one that is asked does not have. One other
    /// node that answers is enough.
    ///
    /// # Errors
    /// [`ClientError::NodesDiffer`].
    pub async fn require_agreement(&self, told: Option<ToldAnchor>) -> Result<(), ClientError> {
        let Some((asked, others)) = self.asked_and_others() else {
            return Ok(());
        };
        let within = each_within(WITHIN, others.len());
        for other in &others {
            let OtherNode {
                place,
                client,
                health,
            } = other;
            // One that failed is asked again once its rest is over: nothing else may ask it for as long as the one does well.
            if health.rest != EndpointRest::None
                || (!health.is_well && !self.is_back(*place, client, within).await)
            {
                continue;
            }
            match compare_twice(&asked, client, told, within).await {
                ComparisonOutcome::Same => return Ok(()),
                ComparisonOutcome::Other(number) => {
                    return Err(ClientError::NodesDiffer { number });
                }
                // The next one may say something.
                ComparisonOutcome::Unknown => {}
            }
        }
        Ok(())
    }

    /// The node that is asked, and the others; `None` where there is no other.
    fn asked_and_others(&self) -> Option<(Self, Vec<OtherNode>)> {
        let endpoints = self.endpoints();
        if endpoints.len() < 2 {
            return None;
        }
        let (mut asked, mut others) = (None, Vec::new());
        for (place, (client, health)) in self.each().zip(endpoints).enumerate() {
            if health.is_used {
                asked = Some(client);
            } else {
                others.push(OtherNode {
                    place,
                    client,
                    health,
                });
            }
        }
        asked.map(|asked| (asked, others))
    }

    /// Whether a node that has failed answers again. One that does not rests once more.
    async fn is_back(&self, place: usize, other: &Self, within: Duration) -> bool {
        let error = match time::timeout(within, other.head()).await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) => error,
            Err(_) => ClientError::TimedOut {
                method: "eth_getBlockByNumber",
            },
        };
        self.failed(place, &error);
        false
    }
}

/// A node beside the one that is asked.
struct OtherNode {
    /// Its place in the list.
    place: usize,
    client: Client,
    health: EndpointHealth,
}

/// How long each of so many others may take, of what all of them may.
fn each_within(all: Duration, others: usize) -> Duration {
    all / u32::try_from(others.max(1)).unwrap_or(u32::MAX)
}

/// Whether a node is of another chain, or has no registry of ours yet: it says nothing of our chain.
async fn is_foreign(node: &Client, within: Duration) -> bool {
    let checked = time::timeout(within, node.check()).await;
    matches!(checked, Ok(Err(error)) if !matches!(error, CheckError::Client(_)))
}

/// What a comparison with another node comes to.
enum ComparisonOutcome {
    /// It has the same.
    Same,
    /// It has something else in this block.
    Other(u64),
    /// It says nothing of our chain.
    Unknown,
}

/// Compares, and once more where the two differ. Who differs and is silent then has differed.
async fn compare_twice(
    asked: &Client,
    other: &Client,
    told: Option<ToldAnchor>,
    within: Duration,
) -> ComparisonOutcome {
    let Ok(Ok(first)) = time::timeout(within, compare(asked, other, told)).await else {
        return ComparisonOutcome::Unknown;
    };
    let Some(number) = first else {
        return ComparisonOutcome::Same;
    };
    if is_foreign(other, within).await {
        return ComparisonOutcome::Unknown;
    }
    time::sleep(AGAIN_IN).await;
    match time::timeout(within, compare(asked, other, told)).await {
        Ok(Ok(None)) => ComparisonOutcome::Same,
        Ok(Ok(Some(again))) => ComparisonOutcome::Other(again),
        Ok(Err(_)) | Err(_) => ComparisonOutcome::Other(number),
    }
}

/// The number of a block in which two nodes differ, or after which they say something else of an anchor.
async fn compare(
    asked: &Client,
    other: &Client,
    told: Option<ToldAnchor>,
) -> Result<Option<u64>, ClientError> {
    let (ours, theirs) = tokio::try_join!(asked.head(), other.head())?;
    let common = ours.number.min(theirs.number);
    let anchored = told.and_then(|it| it.anchor).map(|it| it.block_number);
    // It has told of a block that it does not have: what it said came from another chain, or of another node.
    if let Some(number) = anchored.filter(|number| *number > ours.number) {
        return Ok(Some(number));
    }
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
