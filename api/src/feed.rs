//! What subscribers follow: one reader of the durable log per process, many listeners.
//!
//! A notice only wakes the reader, which reads after its own position; it also polls, so a notice that
//! is lost costs latency and nothing else. A listener that falls behind reads the log itself. What each of them
//! may see is decided for all that wait together ([`crate::visibility`]).

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use store::{
    PgConnection, Pool, StoreError,
    feed::{self, FeedRow, Part},
    notices::Notices,
    notifications::{self, Notification},
};
use tokio::{sync::broadcast, task::JoinSet};

use crate::visibility::EventVisibility;

/// How long a lost notice can go unnoticed.
const POLL: Duration = Duration::from_secs(1);
/// How many entries are read at a time.
pub(crate) const BATCH: i64 = 500;
/// How many entries a listener may fall behind before it reads the log itself.
const BUFFER: usize = 4096;

/// The entries of the log, and what people are told, as they are written.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    entries: broadcast::Sender<Arc<FeedRow>>,
    notifications: broadcast::Sender<Arc<Notification>>,
    /// Decides who may see them.
    pub(crate) decisions: EventVisibility,
}

impl Feed {
    /// Starts following the log from its present end.
    pub(crate) fn start(pool: Pool, url: String, tasks: &mut JoinSet<()>) -> Self {
        let (entries, _) = broadcast::channel(BUFFER);
        let decisions = EventVisibility::start(pool.clone(), tasks);
        let (notifications, _) = broadcast::channel(BUFFER);
        let reader = FeedReader {
            entries: entries.clone(),
            notifications: notifications.clone(),
            position: None,
            told: None,
        };
        tasks.spawn(follow(pool, url, reader));
        Self {
            entries,
            notifications,
            decisions,
        }
    }

    /// Entries from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<FeedRow>> {
        self.entries.subscribe()
    }

    /// What anybody is told from now on.
    pub(crate) fn listen_to_notifications(&self) -> broadcast::Receiver<Arc<Notification>> {
        self.notifications.subscribe()
    }
}

async fn follow(pool: Pool, url: String, mut reader: FeedReader) {
    let mut notices = Notices::of(url, feed::CHANNEL, POLL);
    loop {
        let pass = AssertUnwindSafe(reader.forward(&pool));
        match pass.catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(
                sql_state = error.sql_state(),
                "The feed cannot be read; trying again"
            ),
            Err(_) => tracing::error!("The feed's reader panicked; trying again"),
        }
        notices.next().await;
    }
}

/// Reads both logs, each from where it stood.
struct FeedReader {
    entries: broadcast::Sender<Arc<FeedRow>>,
    notifications: broadcast::Sender<Arc<Notification>>,
    /// The last entry that was read.
    position: Option<i64>,
    /// The last notification that was read.
    told: Option<i64>,
}

impl FeedReader {
    async fn forward(&mut self, pool: &Pool) -> Result<(), StoreError> {
        let mut conn = pool.acquire().await?;
        // Neither waits for the other where one of them cannot be read.
        let entries = self.forward_entries(&mut conn).await;
        let told = self.forward_notifications(&mut conn).await;
        entries.and(told)
    }

    async fn forward_entries(&mut self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let mut from = match self.position {
            Some(position) => position,
            None => feed::last_position(conn).await?,
        };
        loop {
            let stretch = feed::after(conn, from, BATCH, Part::Whole).await?;
            let Some(last) = stretch.last else { break };
            from = last;
            for row in stretch.rows {
                // Nobody listening is no failure.
                self.entries.send(Arc::new(row)).ok();
            }
        }
        self.position = Some(from);
        Ok(())
    }

    async fn forward_notifications(&mut self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let mut from = match self.told {
            Some(position) => position,
            // Somebody may have read the log before this, and listens since: what was written in between is sent,
            // and who has it leaves it out by its position.
            None => (notifications::last_position(conn).await? - BATCH).max(0),
        };
        loop {
            let found = notifications::after(conn, from, BATCH).await?;
            let Some(last) = found.last() else { break };
            from = last.position;
            for told in found {
                self.notifications.send(Arc::new(told)).ok();
            }
        }
        self.told = Some(from);
        Ok(())
    }
}
