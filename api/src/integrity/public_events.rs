//! What the chain says by the registry, followed by whoever likes: each event that was applied or undone, once, in order.
//! Nothing of it is anybody's, so nobody has to log in, and no row of the audit trail is written.

use std::sync::Arc;

use domain::throttle::Network;
use futures::Stream;
use store::{
    Pool, Tx,
    cursor::Registry,
    registry_feed::{self, RegistryFeedRow},
};
use vault::blind_index::IndexKey;

use super::subscription::LogStart;
use crate::{
    codes::ServiceLimit,
    cursor::{ListCursors, bad_cursor},
    error::Error,
    feed::{BATCH, Feed, Follower, Listener, told},
    limits::{PUBLIC_RETRY_AFTER, PublicStreams, RoomPermit},
};

/// Where a subscriber stands.
struct PublicSubscriber {
    pool: Pool,
    registry: Registry,
    /// The last entry that was read.
    position: i64,
    log: Listener<RegistryFeedRow>,
    places: PublicStreams,
    _permit: RoomPermit<Network>,
}

/// The cursors of the log of the registry's events.
pub(super) fn cursors(index_key: &Arc<IndexKey>) -> ListCursors {
    ListCursors::of_log(index_key, "publicIntegrityEvents")
}

/// Begins a stream for somebody of this network.
///
/// # Errors
/// [`Error::Busy`] where the network has as many as it may, or all places are taken; [`Error::BadInput`] where the log
/// holds no such event.
pub(super) async fn follow(
    pool: Pool,
    feed: &Feed,
    registry: Registry,
    (places, network): (&PublicStreams, Network),
    start: LogStart,
) -> Result<impl Stream<Item = Result<Arc<RegistryFeedRow>, Error>>, Error> {
    let permit = places.take(network).ok_or(Error::Busy {
        retry_after_seconds: PUBLIC_RETRY_AFTER,
        limit: Some(ServiceLimit::PublicStreams),
    })?;
    // Listening begins before the log is read, so nothing falls between the two.
    let log = feed.listen_to_registry_events();
    let mut tx = pool.begin().await?;
    let position = position_of(start, &mut tx, &registry).await?;
    tx.commit().await?;
    let subscriber = PublicSubscriber {
        pool,
        registry,
        position,
        log,
        places: places.clone(),
        _permit: permit,
    };
    Ok(told(subscriber))
}

/// The position after which the stream goes on.
async fn position_of(start: LogStart, tx: &mut Tx<'_>, registry: &Registry) -> Result<i64, Error> {
    match start {
        LogStart::Earliest => Ok(0),
        LogStart::Latest => Ok(registry_feed::last_position(tx, registry).await?),
        // A log that was restored to an earlier state gives its positions to other events.
        LogStart::After((position, at)) => {
            if registry_feed::holds(tx, registry, position, at).await? {
                Ok(position)
            } else {
                Err(bad_cursor())
            }
        }
    }
}

impl Follower for PublicSubscriber {
    type Told = Arc<RegistryFeedRow>;

    async fn next(&mut self) -> Result<Arc<RegistryFeedRow>, Error> {
        loop {
            let row = self.entry().await?;
            if row.position > self.position {
                self.position = row.position;
                return Ok(row);
            }
        }
    }
}

impl PublicSubscriber {
    /// The next entry, from the log or as it is written.
    async fn entry(&mut self) -> Result<Arc<RegistryFeedRow>, Error> {
        loop {
            if let Some(row) = self.log.next().await? {
                return Ok(row);
            }
            // Waiting for an entry takes no room for reading the log.
            Box::pin(self.read()).await?;
        }
    }

    /// Reads the log from where they stand, when it is their turn.
    async fn read(&mut self) -> Result<(), Error> {
        let turn = self.places.turn().await.ok_or(Error::Unavailable)?;
        let mut conn = self.pool.acquire().await?;
        let page = registry_feed::after(&mut conn, &self.registry, self.position, BATCH).await?;
        drop(turn);
        if page.rows.is_empty() {
            self.position = page.last.unwrap_or(self.position);
        }
        self.log.take(page.rows, page.is_end);
        Ok(())
    }
}
