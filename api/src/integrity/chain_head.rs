//! Where the chain is, and how far it was followed, told to whoever likes as it changes. One task of the process hears of it from
//! the reader of the feed and asks the node for the block; subscribers only wait for what it says.

use std::time::Duration;

use chain::Client;
use chrono::{DateTime, Utc};
use domain::throttle::Network;
use futures::Stream;
use store::index_status::IndexedHead;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    codes::ServiceLimit,
    error::Error,
    feed::{Feed, Follower, told},
    limits::{PUBLIC_RETRY_AFTER, PublicStreams, RoomPermit},
};

/// How long a node is left alone that did not say when a block was made.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Where the chain is, and how far it was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownHead {
    /// What the indexer wrote.
    pub(crate) indexed: IndexedHead,
    /// The hash of the newest block; `None` where the node does not say so.
    pub(crate) hash: Option<String>,
    /// When that block was made; `None` where the node does not say so.
    pub(crate) made_at: Option<DateTime<Utc>>,
    /// When the last block was made that was applied; `None` where the node does not say so.
    indexed_made_at: Option<DateTime<Utc>>,
}

impl KnownHead {
    const fn lacks_time(&self) -> bool {
        self.made_at.is_none() || self.indexed_made_at.is_none()
    }
}

/// Where it is told; `None` until it is known.
#[derive(Debug, Clone)]
pub(crate) struct ChainHeads(watch::Receiver<Option<KnownHead>>);

impl ChainHeads {
    /// Begins to hear of it. It ends with the feed, or when the last handle is dropped.
    pub(crate) fn start(feed: &Feed, client: Client, tasks: &mut JoinSet<()>) -> Self {
        let (telling, heads) = watch::channel(None);
        tasks.spawn(follow_chain(feed.watch_head(), client, telling));
        Self(heads)
    }

    /// The last block that was applied of which it is known when it was made, if it is no later than this one, and when that was:
    /// nobody's question comes to the node.
    pub(super) fn applied_before(&self, indexed_block: i64) -> Option<(i64, DateTime<Utc>)> {
        let known = self.0.borrow();
        let known = known.as_ref()?;
        let block = known.indexed.indexed_block;
        let made_at = known.indexed_made_at.filter(|_| block <= indexed_block)?;
        Some((block, made_at))
    }
}

async fn follow_chain(
    mut indexed: watch::Receiver<Option<IndexedHead>>,
    client: Client,
    telling: watch::Sender<Option<KnownHead>>,
) {
    let mut lacks_time = false;
    loop {
        tokio::select! {
            changed = indexed.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            // A node that did not say it may do so now.
            () = tokio::time::sleep(ASK_AGAIN), if lacks_time => {}
            () = telling.closed() => return,
        }
        let now = indexed.borrow_and_update().clone();
        let known = match now {
            Some(now) => Some(ask_node(&client, now).await),
            None => None,
        };
        lacks_time = known.as_ref().is_some_and(KnownHead::lacks_time);
        telling.send_if_modified(|told| {
            let is_news = *told != known;
            *told = known;
            is_news
        });
    }
}

/// What the node says of the newest block, unless it has another one of that number than was followed.
async fn ask_node(client: &Client, indexed: IndexedHead) -> KnownHead {
    let applied = indexed.indexed_hash.as_str();
    let followed = (indexed.head_block == indexed.indexed_block).then_some(applied);
    let (hash, made_at) = block_of(client, indexed.head_block, followed).await.unzip();
    let made_at = made_at.flatten();
    let indexed_made_at = if followed.is_some() {
        made_at
    } else {
        let applied = block_of(client, indexed.indexed_block, Some(applied)).await;
        applied.and_then(|(_, made_at)| made_at)
    };
    KnownHead {
        hash: hash.or_else(|| followed.map(str::to_owned)),
        made_at,
        indexed_made_at,
        indexed,
    }
}

/// The hash of a block, and when it was made; `None` where the node does not say so, or has another one than this.
async fn block_of(
    client: &Client,
    number: i64,
    wanted: Option<&str>,
) -> Option<(String, Option<DateTime<Utc>>)> {
    let number = u64::try_from(number).ok()?;
    let block = client.block_by_number(number).await.ok()??;
    let hash = block.hash.to_string();
    let made_at = i64::try_from(block.timestamp).ok();
    let made_at = made_at.and_then(|it| DateTime::from_timestamp(it, 0));
    wanted
        .is_none_or(|wanted| wanted == hash)
        .then_some((hash, made_at))
}

/// Somebody who follows it.
struct HeadSubscriber {
    heads: watch::Receiver<Option<KnownHead>>,
    _permit: RoomPermit<Network>,
}

/// Begins a stream for somebody of this network: with what is known, and on with each change. Who is slow is told the last one.
///
/// # Errors
/// [`Error::Busy`] where the network has as many public streams as it may, or all places are taken.
pub(super) fn follow(
    heads: &ChainHeads,
    (places, network): (&PublicStreams, Network),
) -> Result<impl Stream<Item = Result<KnownHead, Error>> + use<>, Error> {
    let permit = places.take(network).ok_or(Error::Busy {
        retry_after_seconds: PUBLIC_RETRY_AFTER,
        limit: Some(ServiceLimit::PublicStreams),
    })?;
    let mut heads = heads.0.clone();
    heads.mark_changed();
    Ok(told(HeadSubscriber {
        heads,
        _permit: permit,
    }))
}

impl Follower for HeadSubscriber {
    type Told = KnownHead;

    async fn next(&mut self) -> Result<KnownHead, Error> {
        loop {
            let changed = self.heads.changed().await;
            changed.map_err(|_| Error::Unavailable)?;
            let known = self.heads.borrow_and_update().clone();
            if let Some(known) = known {
                return Ok(known);
            }
        }
    }
}
