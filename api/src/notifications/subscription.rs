//! One account's notifications as they are written: from a cursor or from now, each once, in order.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::Stream;
use serde_json::json;
use store::{
    Pool, Tx,
    notifications::{self, Notification},
};
use vault::blind_index::IndexKey;

use super::list::write_down;
use crate::{
    caller::Caller,
    cursor::{ListCursors, StreamStart, bad_cursor},
    error::Error,
    feed::{BATCH, Feed, Follower, Listener, told},
};

/// The position after which the stream goes on.
async fn position_of(
    start: StreamStart<(i64, DateTime<Utc>)>,
    tx: &mut Tx<'_>,
    caller: &Caller,
) -> Result<i64, Error> {
    match start {
        StreamStart::Earliest => Ok(0),
        StreamStart::Latest => Ok(notifications::last_position(tx).await?),
        // A log that was restored to an earlier state gives its positions to others.
        StreamStart::After((position, at))
            if notifications::holds(tx, caller.user, position, at).await? =>
        {
            Ok(position)
        }
        StreamStart::After(_) => Err(bad_cursor()),
    }
}

/// The cursors of an account's notifications as they are followed.
pub(super) fn cursors(index_key: &Arc<IndexKey>, caller: &Caller) -> ListCursors {
    let followed = json!("followed");
    ListCursors::of(index_key, "notifications", caller.user, &followed)
}

/// Where a subscriber stands.
struct NotificationSubscriber {
    pool: Pool,
    caller: Caller,
    /// The last notification that was read.
    position: i64,
    log: Listener<Notification>,
}

/// Begins a stream, with its audit row. A stream ends with the log-in it was begun with (`crate::lease`).
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over; [`Error::BadInput`] where the caller was told no such thing.
pub(super) async fn follow(
    pool: Pool,
    feed: &Feed,
    caller: Caller,
    start: StreamStart<(i64, DateTime<Utc>)>,
) -> Result<impl Stream<Item = Result<Arc<Notification>, Error>>, Error> {
    // Listening begins before the log is read, so nothing falls between the two.
    let log = feed.listen_to_notifications(caller.user);
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let position = position_of(start, &mut tx, &caller).await?;
    let said = json!({ "subscription": "notifications" });
    write_down(&mut tx, &caller, actor, said).await?;
    tx.commit().await?;
    let subscriber = NotificationSubscriber {
        pool,
        caller,
        position,
        log,
    };
    Ok(told(subscriber))
}

impl Follower for NotificationSubscriber {
    type Told = Arc<Notification>;

    async fn next(&mut self) -> Result<Arc<Notification>, Error> {
        loop {
            let told = self.entry().await?;
            if told.user != self.caller.user || told.position <= self.position {
                continue;
            }
            self.position = told.position;
            Box::pin(self.check()).await?;
            return Ok(told);
        }
    }
}

impl NotificationSubscriber {
    /// Whether the caller may be told anything now: an account that was deactivated and a log-in that was ended are not.
    async fn check(&self) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        self.caller.actor(&mut tx).await?;
        Ok(())
    }

    /// The next entry, from the log or as it is written.
    async fn entry(&mut self) -> Result<Arc<Notification>, Error> {
        loop {
            if let Some(told) = self.log.next().await? {
                return Ok(told);
            }
            // Waiting for an entry takes no room for reading the log.
            Box::pin(self.read()).await?;
        }
    }

    /// Reads the log from where they stand.
    async fn read(&mut self) -> Result<(), Error> {
        let mut conn = self.pool.acquire().await?;
        let user = self.caller.user;
        let found = notifications::own_after(&mut conn, user, self.position, BATCH).await?;
        let is_end = found.is_empty();
        self.log.take(found, is_end);
        Ok(())
    }
}
