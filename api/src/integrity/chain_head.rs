//! Where the chain is, and how far it was followed, told to whoever likes as it changes. One task of the process hears of it from
//! the reader of the feed and asks the node for the block; subscribers only wait for what it says.

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

/// Where the chain is, and how far it was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownHead {
    /// What the indexer wrote.
    pub(crate) indexed: IndexedHead,
    /// The hash of the newest block; `None` where the node does not say so.
    pub(crate) hash: Option<String>,
    /// When that block was made; `None` where the node does not say so.
    pub(crate) made_at: Option<DateTime<Utc>>,
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
}

async fn follow_chain(
    mut indexed: watch::Receiver<Option<IndexedHead>>,
    client: Client,
    telling: watch::Sender<Option<KnownHead>>,
) {
    loop {
        tokio::select! {
            changed = indexed.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = telling.closed() => return,
        }
        let now = indexed.borrow_and_update().clone();
        let known = match now {
            Some(now) => Some(ask_node(&client, now).await),
            None => None,
        };
        telling.send_replace(known);
    }
}

/// What the node says of the newest block, unless it has another one of that number than was followed.
async fn ask_node(client: &Client, indexed: IndexedHead) -> KnownHead {
    let followed = (indexed.head_block == indexed.indexed_block).then_some(&indexed.indexed_hash);
    let block = match u64::try_from(indexed.head_block) {
        Ok(number) => client.block_by_number(number).await.ok().flatten(),
        Err(_) => None,
    };
    let block = block.map(|block| (block.hash.to_string(), block.timestamp));
    let block = block.filter(|(hash, _)| followed.is_none_or(|followed| followed == hash));
    let (hash, seconds) = block.unzip();
    let seconds = seconds.and_then(|it| i64::try_from(it).ok());
    KnownHead {
        hash: hash.or_else(|| followed.cloned()),
        made_at: seconds.and_then(|it| DateTime::from_timestamp(it, 0)),
        indexed,
    }
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
