//! What subscribers follow: one reader of the durable log per process, many listeners.
//!
//! A notice only wakes the reader, which reads after its own position; it also polls, so a notice that
//! is lost costs latency and nothing else. A listener that falls behind reads the log itself. What each of them
//! may see is decided for all that wait together ([`crate::visibility`]).

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use store::{
    Pool, StoreError,
    feed::{self, FeedRow, Part},
    notices::Notices,
};
use tokio::{sync::broadcast, task::JoinSet};

use crate::visibility::EventVisibility;

/// How long a lost notice can go unnoticed.
const POLL: Duration = Duration::from_secs(1);
/// How many entries are read at a time.
pub(crate) const BATCH: i64 = 500;
/// How many entries a listener may fall behind before it reads the log itself.
const BUFFER: usize = 4096;

/// The entries of the log as they are written.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    entries: broadcast::Sender<Arc<FeedRow>>,
    /// Decides who may see them.
    pub(crate) decisions: EventVisibility,
}

impl Feed {
    /// Starts following the log from its present end.
    pub(crate) fn start(pool: Pool, url: String, tasks: &mut JoinSet<()>) -> Self {
        let (entries, _) = broadcast::channel(BUFFER);
        let decisions = EventVisibility::start(pool.clone(), tasks);
        tasks.spawn(follow(pool, url, entries.clone()));
        Self { entries, decisions }
    }

    /// Entries from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<FeedRow>> {
        self.entries.subscribe()
    }
}

async fn follow(pool: Pool, url: String, sender: broadcast::Sender<Arc<FeedRow>>) {
    let mut notices = Notices::of(url, feed::CHANNEL, POLL);
    let mut position = None;
    loop {
        let pass = AssertUnwindSafe(forward(&pool, &mut position, &sender));
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

async fn forward(
    pool: &Pool,
    position: &mut Option<i64>,
    sender: &broadcast::Sender<Arc<FeedRow>>,
) -> Result<(), StoreError> {
    let mut conn = pool.acquire().await?;
    let mut from = match *position {
        Some(position) => position,
        None => feed::last_position(&mut conn).await?,
    };
    loop {
        let stretch = feed::after(&mut conn, from, BATCH, Part::Whole).await?;
        let Some(last) = stretch.last else { break };
        from = last;
        for row in stretch.rows {
            // Nobody listening is no failure.
            sender.send(Arc::new(row)).ok();
        }
    }
    *position = Some(from);
    Ok(())
}
