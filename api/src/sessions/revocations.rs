//! The end of what streams: a log-in that was revoked anywhere ends here within a second.
//!
//! Every request reads its session's row, so a revocation binds the next one at once. What stays open, a
//! WebSocket or an event stream, is told: each process asks the database what was revoked lately, woken by
//! a notice and once a second besides. A notice that is lost costs that second and nothing else.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use domain::ids::SessionId;
use store::{
    Pool, StoreError,
    notices::Notices,
    sessions::{self, LATE_COMMITS},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vault::token::Bearer;

use crate::{error::Error, seals::Seals};

/// How long a lost notice can go unnoticed. Less than the second within which a revocation binds.
const POLL: Duration = Duration::from_millis(700);

/// What is open in this process, by its log-in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revocations(Arc<Mutex<HashMap<SessionId, WatchedSession>>>);

#[derive(Debug, Default)]
struct WatchedSession {
    ended: CancellationToken,
    watchers: usize,
}

impl Revocations {
    /// Starts following what is revoked.
    pub(crate) fn start(pool: Pool, url: String, tasks: &mut JoinSet<()>) -> Self {
        let revocations = Self::default();
        tasks.spawn(follow(pool, url, revocations.clone()));
        revocations
    }

    /// Watches a log-in. Begin before its row is read: then nothing falls between the two.
    pub(crate) fn watch(&self, session: SessionId) -> SessionWatch {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = all.entry(session).or_default();
        open.watchers += 1;
        SessionWatch {
            session,
            ended: open.ended.clone(),
            all: self.clone(),
        }
    }

    fn tell(&self, session: SessionId) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get(&session) {
            open.ended.cancel();
        }
    }
}

/// One stream's eye on its log-in.
#[derive(Debug)]
pub(crate) struct SessionWatch {
    session: SessionId,
    ended: CancellationToken,
    all: Revocations,
}

impl SessionWatch {
    /// Waits until the log-in is revoked.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get_mut(&self.session) {
            open.watchers -= 1;
            if open.watchers == 0 {
                all.remove(&self.session);
            }
        }
    }
}

/// Whether the log-in of a valid token is over. Where nobody can tell, it is not: each operation asks
/// again.
pub(crate) async fn is_over(pool: &Pool, seals: &Seals, bearer: Bearer) -> bool {
    let found = async {
        let mut conn = pool.acquire().await?;
        seals.actor_of(&mut conn, bearer.user, bearer.session).await
    };
    match found.await {
        Ok(actor) => !actor.is_some_and(|actor| actor.is_active),
        Err(error) => {
            // The conversion logs it.
            drop(Error::from(error));
            false
        }
    }
}

async fn follow(pool: Pool, url: String, revocations: Revocations) {
    let mut notices = Notices::of(url, sessions::CHANNEL, POLL);
    let mut position = RevocationPosition::default();
    loop {
        if let Err(error) = forward(&pool, &mut position, &revocations).await {
            tracing::warn!(
                sql_state = error.sql_state(),
                "What was revoked cannot be read; trying again"
            );
        }
        notices.next().await;
    }
}

/// What was told already.
#[derive(Default)]
struct RevocationPosition {
    /// The database's time when it was asked last.
    asked: Option<DateTime<Utc>>,
    /// What it answered then: the next answer holds much of it again.
    seen: HashSet<SessionId>,
}

async fn forward(
    pool: &Pool,
    position: &mut RevocationPosition,
    revocations: &Revocations,
) -> Result<(), StoreError> {
    let mut conn = pool.acquire().await?;
    let since = position.asked.map(|asked| asked - LATE_COMMITS);
    let (revoked, now) = sessions::revoked_since(&mut conn, since).await?;
    drop(conn);
    for session in &revoked {
        if !position.seen.contains(session) {
            revocations.tell(*session);
        }
    }
    position.seen = revoked.into_iter().collect();
    position.asked = Some(now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watcher_is_notified_and_forgotten_once_it_leaves() {
        let revocations = Revocations::default();
        let (one, other) = (SessionId::fresh(), SessionId::fresh());
        let (first, second) = (revocations.watch(one), revocations.watch(one));
        let third = revocations.watch(other);

        revocations.tell(one);

        first.ended().await;
        second.ended().await;
        assert!(!third.ended.is_cancelled());
        drop((first, second, third));
        assert!(revocations.0.lock().is_ok_and(|all| all.is_empty()));
        let again = revocations.watch(one);
        assert!(!again.ended.is_cancelled());
    }
}
