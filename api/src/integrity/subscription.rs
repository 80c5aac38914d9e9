//! One subscriber's stream: from a cursor or from now, each entry once, in order, and only what the
//! subscriber may see at that moment.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{
    access::{Action, Question, decide},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::RecordId,
    purpose::Purpose,
    records::Standing,
    users::Role,
};
use futures::{Stream, stream};
use serde_json::json;
use store::{
    Tx, audit,
    feed::{self, FeedRow},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    app::{App, commit},
    caller::Caller,
    cursor::{Cursor, ListCursors, bad_cursor},
    error::Error,
    facts::Facts,
    feed::BATCH,
};

/// Where a subscriber stands.
struct Subscriber {
    app: App,
    caller: Caller,
    record: Option<RecordId>,
    position: i64,
    /// Read from the log and not yet handed out.
    waiting: std::vec::IntoIter<FeedRow>,
    /// True once the log was read to its end: from then on, entries come as they are written.
    is_live: bool,
    live: Receiver<Arc<FeedRow>>,
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With the first event of the log.
    Earliest,
    /// With the next one that is written.
    Latest,
    /// After the event of this position that was written at this time.
    After(i64, DateTime<Utc>),
}

impl Start {
    /// Reads what a client hands back.
    ///
    /// # Errors
    /// [`Error::BadInput`] for what is no cursor of this log.
    pub(super) fn read(app: &App, after: Option<&Cursor>) -> Result<Self, Error> {
        match after.map(Cursor::as_str) {
            None | Some("latest") => Ok(Self::Latest),
            Some("earliest") => Ok(Self::Earliest),
            Some(_) => {
                let key = cursors(app).read(after)?;
                Ok(key.map_or(Self::Latest, |(position, at)| Self::After(position, at)))
            }
        }
    }

    /// The position after which the stream goes on.
    async fn position(self, tx: &mut Tx<'_>) -> Result<i64, Error> {
        match self {
            Self::Earliest => Ok(0),
            Self::Latest => Ok(feed::last_position(tx).await?),
            // A log that was restored to an earlier state gives its positions to other events.
            Self::After(position, at) if feed::holds(tx, position, at).await? => Ok(position),
            Self::After(..) => Err(bad_cursor()),
        }
    }
}

/// The cursors of the log of events.
pub(super) fn cursors(app: &App) -> ListCursors {
    ListCursors::of_log(app, "integrityEvents")
}

/// Begins a stream, with its audit row.
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over; [`Error::BadInput`] where the log holds no such
/// event.
pub(super) async fn follow(
    app: App,
    caller: Caller,
    start: Start,
    record: Option<RecordId>,
) -> Result<impl Stream<Item = Result<Arc<FeedRow>, Error>>, Error> {
    // Listening begins before the log is read, so nothing falls between the two.
    let live = app.feed.listen();
    let mut tx = app.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let position = start.position(&mut tx).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::AuditLog,
        new_value: Some(json!({ "subscription": "integrityEvents", "record": record })),
        classification: Classification::Internal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::AuditRead, Purpose::default_of(actor.role))
    };
    audit::insert(&mut tx, &[entry]).await?;
    commit(tx).await?;
    let waiting = Vec::new().into_iter();
    let subscriber = Subscriber {
        app,
        caller,
        record,
        position,
        waiting,
        is_live: false,
        live,
    };
    Ok(stream::unfold(Some(subscriber), |subscriber| async {
        let mut subscriber = subscriber?;
        match subscriber.next().await {
            Ok(row) => Some((Ok(row), Some(subscriber))),
            // Told once; then the stream is over.
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Subscriber {
    async fn next(&mut self) -> Result<Arc<FeedRow>, Error> {
        loop {
            let row = self.entry().await?;
            if row.position <= self.position {
                continue;
            }
            self.position = row.position;
            if self.record.is_some() && row.entry.record != self.record {
                continue;
            }
            if self.may_see(&row).await? {
                return Ok(row);
            }
        }
    }

    /// The next entry, from the log or as it is written.
    async fn entry(&mut self) -> Result<Arc<FeedRow>, Error> {
        loop {
            if let Some(row) = self.waiting.next() {
                return Ok(Arc::new(row));
            }
            if !self.is_live {
                let mut conn = self.app.pool.acquire().await?;
                let rows = feed::after(&mut conn, self.position, BATCH).await?;
                self.is_live = rows.is_empty();
                self.waiting = rows.into_iter();
                continue;
            }
            match self.live.recv().await {
                Ok(row) => return Ok(row),
                // Too slow for the buffer: the log has everything.
                Err(RecvError::Lagged(_)) => self.is_live = false,
                Err(RecvError::Closed) => return Err(Error::Unavailable),
            }
        }
    }

    /// Decided anew for each entry: a consent withdrawn or a session ended binds the next one.
    async fn may_see(&self, row: &FeedRow) -> Result<bool, Error> {
        let mut tx = self.app.begin().await?;
        let facts = Facts::gather(&mut tx, [&self.caller], row.entry.patient).await?;
        // Whoever withdraws waits no longer: an entry says that something happened, not what.
        commit(tx).await?;
        let actor = facts.actor(&self.caller)?;
        if actor.role == Role::Admin || row.entry.patient == Some(actor.id) {
            return Ok(true);
        }
        let (Some(patient), Some(record_type)) = (row.entry.patient, row.entry.record_type) else {
            return Ok(false);
        };
        if actor.role != Role::Doctor {
            return Ok(false);
        }
        let question = Question {
            actor,
            patient,
            action: Action::Search,
            purpose: Purpose::Treatment,
            record_type,
            standing: Standing::Open,
            destination: None,
            emergency: None,
            now: facts.now,
        };
        Ok(decide(&question, facts.consents_of(patient)).is_permit())
    }
}
