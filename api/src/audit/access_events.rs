//! Accesses to the caller's own data as they are written: from a cursor or from now, each once.
//!
//! A row has its place in the tree of the trail once all transactions before its own have ended, so whoever goes by places
//! misses none. What was written before the stream began is read by the numbers of the rows, which an index serves for each
//! patient, and only what lies between two places of it; from then on rows come in the order of their places.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::audit::AuditEntry;
use futures::Stream;
use serde_json::json;
use store::{
    Pool, Tx,
    access_feed::{self, AccessStretch, BEGINNING},
    audit::{self, AuditFilter, AuditRow},
    trail,
};
use tokio::time::Instant;
use vault::blind_index::IndexKey;

use super::read;
use crate::{
    caller::Caller,
    cursor::{CursorKey, ListCursors, StreamStart, bad_cursor},
    error::Error,
    feed::{BATCH, Feed, Follower, Listener, told},
};

/// How many rows are read together.
const TOGETHER: usize = 32;
/// How long a decision holds. What could not be handed out by then, because the client is slow, is decided on again.
const FRESH: Duration = Duration::from_millis(100);

/// Where a row was told: after which place and up to which one rows were being read, by their numbers, and its own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ToldAccess {
    after: i64,
    to: i64,
    id: i64,
}

impl CursorKey for ToldAccess {
    fn to_bytes(&self) -> Vec<u8> {
        [self.after, self.to, self.id].to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [after, to, id] = CursorKey::from_bytes(bytes)?;
        Some(Self { after, to, id })
    }
}

/// The place after which rows are read, and what was being read of those after it.
async fn place(
    start: StreamStart<ToldAccess>,
    tx: &mut Tx<'_>,
) -> Result<(i64, Option<ToldAccess>), Error> {
    match start {
        StreamStart::Earliest => Ok((BEGINNING, None)),
        StreamStart::Latest => Ok((access_feed::last_position(tx).await?, None)),
        StreamStart::After(told) => {
            // A trail that was restored to an earlier state gives its places to other rows.
            let position = trail::position_of(tx, told.id).await?;
            let position = position.and_then(|position| i64::try_from(position).ok());
            let is_there = position.is_some_and(|it| told.after < it && it <= told.to);
            if is_there {
                Ok((told.after, Some(told)))
            } else {
                Err(bad_cursor())
            }
        }
    }
}

/// The cursors of accesses to an account's data as they are followed.
pub(super) fn cursors(index_key: &Arc<IndexKey>, caller: &Caller) -> ListCursors {
    ListCursors::of(index_key, "accessEvents", caller.user, &json!("followed"))
}

/// Where a subscriber stands.
struct AccessSubscriber {
    pool: Pool,
    caller: Caller,
    log: Listener<AccessStretch>,
    /// What has a place up to this one was found.
    after: i64,
    /// Up to which place rows are being read by their numbers; `None` where they come as they are written.
    to: Option<i64>,
    /// Whether that place is from a cursor: what was written since is still to be read.
    is_resumed: bool,
    /// The last number that was read of them.
    id: i64,
    /// Found, and not read.
    found: std::vec::IntoIter<ToldAccess>,
    /// Read, and not told.
    read: VecDeque<(ToldAccess, AuditRow)>,
    /// When it was last decided that they may be told.
    decided_at: Instant,
}

/// Begins a stream, with its audit row. A stream ends with the log-in it was begun with (`crate::lease`).
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over; [`Error::BadInput`] where the caller was told no such thing.
pub(super) async fn follow(
    pool: Pool,
    feed: &Feed,
    caller: Caller,
    start: StreamStart<ToldAccess>,
) -> Result<impl Stream<Item = Result<(ToldAccess, AuditRow), Error>>, Error> {
    // Listening begins before the trail is read, so nothing falls between the two.
    let log = feed.listen_to_accesses(caller.user);
    let mut tx = pool.begin().await?;
    caller.actor(&mut tx).await?;
    let (after, resumed) = place(start, &mut tx).await?;
    let entry = AuditEntry {
        new_value: Some(json!({ "subscription": "accessEvents" })),
        ..read::of_reading(&caller, false)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    let subscriber = AccessSubscriber {
        pool,
        caller,
        log,
        after,
        to: resumed.map(|told| told.to),
        is_resumed: resumed.is_some(),
        id: resumed.map_or(0, |told| told.id),
        found: Vec::new().into_iter(),
        read: VecDeque::new(),
        decided_at: Instant::now(),
    };
    Ok(told(subscriber))
}

impl Follower for AccessSubscriber {
    type Told = (ToldAccess, AuditRow);

    async fn next(&mut self) -> Result<(ToldAccess, AuditRow), Error> {
        loop {
            if let Some(told) = self.read.pop_front() {
                if self.decided_at.elapsed() >= FRESH {
                    Box::pin(self.decide()).await?;
                }
                return Ok(told);
            }
            let wanted: Vec<ToldAccess> = self.found.by_ref().take(TOGETHER).collect();
            if wanted.is_empty() {
                self.find().await?;
            } else {
                self.read = Box::pin(self.rows(wanted)).await?;
            }
        }
    }
}

impl AccessSubscriber {
    /// Whether the caller may be told anything now: an account that was deactivated and a log-in that was ended are not.
    async fn decide(&mut self) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        self.caller.actor(&mut tx).await?;
        self.decided_at = Instant::now();
        Ok(())
    }

    /// The rows, in the transaction that decides whether the caller may be told anything. What is not kept any more is left
    /// out.
    async fn rows(
        &mut self,
        wanted: Vec<ToldAccess>,
    ) -> Result<VecDeque<(ToldAccess, AuditRow)>, Error> {
        let mut tx = self.pool.begin().await?;
        let actor = self.caller.actor(&mut tx).await?;
        let filter = AuditFilter {
            rows: wanted.iter().map(|told| told.id).collect(),
            patient: Some(actor.id),
            ..AuditFilter::default()
        };
        let size = i64::try_from(wanted.len()).unwrap_or(i64::MAX - 1);
        let page = audit::page(&mut tx, &filter, i64::MAX, size).await?;
        self.decided_at = Instant::now();
        let rows = page.rows.into_iter().map(|row| (row.id, row));
        let mut rows: HashMap<i64, AuditRow> = rows.collect();
        let read = wanted
            .into_iter()
            .filter_map(|told| Some((told, rows.remove(&told.id)?)));
        Ok(read.collect())
    }

    /// Finds more: as it is written, or what was written before.
    async fn find(&mut self) -> Result<(), Error> {
        let user = self.caller.user;
        if let Some(stretch) = self.log.next().await? {
            let own = stretch.rows.iter();
            let own = own.filter(|row| row.patient == user && row.position > self.after);
            let told = own.map(|row| ToldAccess {
                after: row.position - 1,
                to: row.position,
                id: row.id,
            });
            self.found = told.collect::<Vec<_>>().into_iter();
            self.after = self.after.max(stretch.last);
            return Ok(());
        }
        // Waiting for an entry takes no room for reading the trail.
        Box::pin(self.find_earlier()).await
    }

    /// Finds more of what was written before.
    async fn find_earlier(&mut self) -> Result<(), Error> {
        let user = self.caller.user;
        let mut conn = self.pool.acquire().await?;
        let to = match self.to {
            Some(to) => to,
            None => access_feed::last_position(&mut conn).await?,
        };
        let after = self.after;
        let found = if after < to {
            access_feed::own_between(&mut conn, user, (after, to), self.id, BATCH).await?
        } else {
            Vec::new()
        };
        if let Some(last) = found.last() {
            (self.to, self.id) = (Some(to), last.id);
            let told = found.iter().map(|row| ToldAccess {
                after,
                to,
                id: row.id,
            });
            self.found = told.collect::<Vec<_>>().into_iter();
            return Ok(());
        }
        // All of it was found. What was written since a cursor's place is next; else what is written from now on.
        self.log.take(Vec::new(), !self.is_resumed);
        self.after = after.max(to);
        (self.to, self.id, self.is_resumed) = (None, 0, false);
        Ok(())
    }
}
