//! One subscriber's stream: from a cursor or from now, each entry once, in order, and only what the
//! subscriber may see at that moment.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::{RecordId, UserId},
    purpose::Purpose,
    users::Role,
};
use futures::Stream;
use serde_json::json;
use store::{
    Pool, Tx, audit,
    feed::{self, FeedRow, Part},
};
use tokio::time::Instant;
use vault::blind_index::IndexKey;

use super::record_updates::FollowedVersions;
use crate::{
    caller::Caller,
    cursor::{ListCursors, StreamStart, bad_cursor},
    error::Error,
    feed::{BATCH, EventFilter, Feed, Follower, Interest, Listener, told},
    visibility::{AskedEvent, ToldRecords, VisibilityRequest},
};

/// How many events are decided on together.
const TOGETHER: usize = 256;
/// How long a decision holds. What could not be handed out by then, because the client is slow, is decided on
/// again: a withdrawal binds it.
const FRESH: Duration = Duration::from_millis(100);

/// Where a subscriber stands.
struct Subscriber {
    pool: Pool,
    feed: Feed,
    caller: Caller,
    /// The name of the subscription.
    subscription: &'static str,
    /// Their role as it was last decided by: what is listened for, and which part of the log is read, goes by it.
    role: Role,
    wanted: EventFilter,
    /// Of which versions.
    versions: FollowedVersions,
    /// The last entry that was read.
    position: i64,
    log: Listener<FeedRow>,
    /// What they may see, and have not been handed yet.
    visible: VecDeque<Arc<FeedRow>>,
    /// Of what the trail says that they are told of it.
    told: ToldRecords,
    decided_at: Instant,
}

/// Where a stream of the log begins: at a position, with the time of its entry.
pub(super) type LogStart = StreamStart<(i64, DateTime<Utc>)>;

/// The position after which the stream goes on.
async fn position_of(start: LogStart, tx: &mut Tx<'_>) -> Result<i64, Error> {
    match start {
        LogStart::Earliest => Ok(0),
        LogStart::Latest => Ok(feed::last_position(tx).await?),
        // A log that was restored to an earlier state gives its positions to other events.
        LogStart::After((position, at)) if feed::holds(tx, position, at).await? => Ok(position),
        LogStart::After(_) => Err(bad_cursor()),
    }
}

/// The cursors of the log of events.
pub(super) fn cursors(index_key: &Arc<IndexKey>) -> ListCursors {
    ListCursors::of_log(index_key, "integrityEvents")
}

/// What somebody follows.
#[derive(Debug)]
pub(super) struct FollowedEvents {
    /// The name of the subscription.
    pub(super) subscription: &'static str,
    /// The record that they asked for, all of its versions or this one.
    pub(super) record: Option<RecordId>,
    /// The patient whom they named. Whose record it is that they asked for is not written down: they may not be one who is told.
    pub(super) patient: Option<UserId>,
    /// Which of the events that they may see they are told of.
    pub(super) wanted: EventFilter,
    /// Of these, those alone that are of a version of this record; `None` where all are meant.
    pub(super) versions_of: Option<RecordId>,
}

/// Begins a stream, with its audit row.
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over; [`Error::BadInput`] where the log holds no such
/// event.
pub(super) async fn follow(
    pool: Pool,
    feed: Feed,
    caller: Caller,
    start: LogStart,
    followed: FollowedEvents,
) -> Result<impl Stream<Item = Result<Arc<FeedRow>, Error>>, Error> {
    let FollowedEvents {
        subscription,
        record,
        patient,
        wanted,
        versions_of,
    } = followed;
    let turn = feed.turn().await?;
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    // Listening begins before the log is read, so nothing falls between the two.
    let log = feed.listen(Interest::of(caller.user, actor.role, &wanted));
    let position = position_of(start, &mut tx).await?;
    let versions = FollowedVersions::of(&mut tx, versions_of).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::AuditLog,
        new_value: Some(json!({
            "subscription": subscription,
            "record": record,
            "patient": patient,
            "types": wanted.kinds,
        })),
        classification: Classification::Internal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::AuditRead, Purpose::default_of(actor.role))
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    drop(turn);
    let subscriber = Subscriber {
        pool,
        feed,
        caller,
        subscription,
        role: actor.role,
        wanted,
        versions,
        position,
        log,
        visible: VecDeque::new(),
        told: ToldRecords::default(),
        decided_at: Instant::now(),
    };
    Ok(told(subscriber))
}

impl Follower for Subscriber {
    type Told = Arc<FeedRow>;

    async fn next(&mut self) -> Result<Arc<FeedRow>, Error> {
        loop {
            if self.decided_at.elapsed() < FRESH
                && let Some(row) = self.visible.pop_front()
            {
                return Ok(row);
            }
            let before = self.visible.front().map(|row| row.position - 1);
            let before = before.unwrap_or(self.position);
            let events = self.gather().await?;
            let (events, now) = (events.into_iter(), Instant::now());
            let events = events.map(|row| AskedEvent {
                written: self.told.ground_of(&row, now),
                row,
            });
            let inquiry = VisibilityRequest {
                caller: self.caller.clone(),
                role: self.role,
                subscription: self.subscription,
                events: events.collect(),
            };
            // Waiting for an event takes no room for deciding on one.
            let decided = Box::pin(self.feed.decisions.ask(inquiry)).await?;
            if decided.role == self.role {
                self.decided_at = Instant::now();
                // From before they were written: no row stands for longer than it may.
                self.told.keep(&decided.visible, now);
                let visible = decided.visible.into_iter();
                self.visible = visible.map(|event| event.row).collect();
            } else {
                // What was gathered, and what it was decided by, is what the role before hears of.
                self.go_on_as(decided.role, before);
            }
        }
    }
}

impl Subscriber {
    /// What has to be decided on: at least one event, and as many as are there without waiting. Whether they concern the
    /// subscriber is for the decision to say, which knows the role that they have now.
    async fn gather(&mut self) -> Result<Vec<Arc<FeedRow>>, Error> {
        let mut events = Vec::from(mem::take(&mut self.visible));
        if events.is_empty() {
            // What many were kept in would be kept while nothing happens.
            events.shrink_to_fit();
        }
        while events.len() < TOGETHER {
            let row = match self.log.at_hand() {
                Some(row) => row,
                None if events.is_empty() => self.entry().await?,
                None => break,
            };
            if row.position <= self.position {
                continue;
            }
            self.position = row.position;
            if self.versions.take(&row) && self.wanted.wants(&row.entry) {
                events.push(row);
            }
        }
        Ok(events)
    }

    /// The next entry, from the log or as it is written.
    async fn entry(&mut self) -> Result<Arc<FeedRow>, Error> {
        loop {
            if let Some(row) = self.log.next().await? {
                return Ok(row);
            }
            // Waiting for an entry takes no room for reading the log.
            Box::pin(self.read()).await?;
        }
    }

    /// Reads the log from where they stand.
    async fn read(&mut self) -> Result<(), Error> {
        let _turn = self.feed.turn().await?;
        let mut conn = self.pool.acquire().await?;
        let stretch = feed::after(&mut conn, self.position, BATCH, self.part()).await?;
        if stretch.rows.is_empty() {
            self.position = stretch.last.unwrap_or(self.position);
        }
        self.log.take(stretch.rows, stretch.is_end);
        Ok(())
    }

    /// Their role is another one than they were followed by. They listen for what this one can be told, and read the log from
    /// this position: nothing after it was handed out, and what the role before had no part in is there.
    fn go_on_as(&mut self, role: Role, position: i64) {
        self.role = role;
        self.position = position;
        self.visible.clear();
        let interest = Interest::of(self.caller.user, role, &self.wanted);
        self.log = self.feed.listen(interest);
    }

    /// The part of the log that can concern them: read by an index, however long the log is.
    const fn part(&self) -> Part {
        match (self.wanted.record, self.role, self.wanted.patient) {
            (Some(record), ..) => Part::OfRecord(record),
            (None, Role::Patient, _) => Part::OfPatient(self.caller.user),
            (None, Role::Admin | Role::Doctor, Some(patient)) => Part::OfPatient(patient),
            (None, Role::Doctor, None) => Part::OfDoctor(self.caller.user),
            (None, Role::Admin, None) => Part::Whole,
        }
    }
}
