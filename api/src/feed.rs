//! What subscribers follow: one reader of the durable logs per process, many listeners.
//!
//! A notice only wakes the reader, which reads after its own position; it also polls, so a notice that
//! is lost costs latency and nothing else. An entry wakes those whom it can concern ([`Interest`]), and a listener that falls
//! behind reads the log itself. What each of them may see is decided for all that wait together ([`crate::visibility`]).

mod interest;
mod live;
mod routes;

use std::{collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use domain::ids::UserId;
use futures::{FutureExt as _, Stream, stream};
use store::{
    PgConnection, Pool, StoreError, access_feed,
    cursor::Registry,
    feed::{self, FeedRow, Part},
    index_status::{self, IndexedHead},
    notices::Notices,
    notifications::{self, Notification},
    registry_feed::{self, RegistryFeedRow},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

pub(crate) use self::{
    interest::{EventFilter, Interest},
    live::Listener,
};
use self::{
    live::{Live, LogReader},
    routes::DoctorRoutes,
};
use crate::{error::Error, visibility::EventVisibility};

/// How long a lost notice can go unnoticed.
const POLL: Duration = Duration::from_secs(1);
/// Of how many accounts it is kept that they were given another role, before those for whom nobody listens are left out.
const MANY_GIVEN_ROLES: usize = 1000;
/// How many streams begin, or read the log of events by themselves, at once: fewer than the pool has connections.
const TURNS: usize = 8;
/// How many entries are read at a time.
pub(crate) const BATCH: i64 = 500;

/// The entries of the log, what happens to the registry's events, what people are told, and whose data was accessed, as they are
/// written; and how far the chain was followed, as it changes.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    entries: Live<FeedRow>,
    registry_events: Live<RegistryFeedRow>,
    notifications: Live<Notification>,
    accesses: Live<access_feed::AccessStretch>,
    head: watch::Receiver<Option<IndexedHead>>,
    turns: Arc<Semaphore>,
    /// Decides who may see them.
    pub(crate) decisions: EventVisibility,
}

impl Feed {
    /// Starts following the logs from their present ends, and of the registry's events those of this registry.
    pub(crate) fn start(
        pool: Pool,
        url: String,
        registry: Registry,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let decisions = EventVisibility::start(pool.clone(), tasks);
        let (entries, entries_read) = Live::new();
        let (registry_events, registry_events_read) = Live::new();
        let (notifications, notifications_read) = Live::new();
        let (accesses, accesses_read) = Live::new();
        let (head_read, head) = watch::channel(None);
        let reader = FeedReader {
            registry,
            entries: entries_read,
            registry_events: registry_events_read,
            notifications: notifications_read,
            accesses: accesses_read,
            head: head_read,
            given_roles: BTreeSet::new(),
        };
        tasks.spawn(follow(pool, url, reader));
        Self {
            entries,
            registry_events,
            notifications,
            accesses,
            head,
            turns: Arc::new(Semaphore::new(TURNS)),
            decisions,
        }
    }

    /// How far the chain is and was followed, now and as it changes; `None` until it was read.
    pub(crate) fn watch_head(&self) -> watch::Receiver<Option<IndexedHead>> {
        self.head.clone()
    }

    /// Waits until one more stream may begin, or read the log of events by itself, in the order of asking: hold what is given
    /// meanwhile. A stream waits here for as long as it takes; for a connection it would be refused after a few seconds, as requests
    /// are, where many come back at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where nobody gets a turn any more.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.map_err(|_| Error::Unavailable)
    }

    /// Entries from now on, of those that somebody is interested in.
    pub(crate) fn listen(&self, interest: Interest) -> Listener<FeedRow> {
        self.entries.listen(interest)
    }

    /// What happens to the registry's events from now on.
    pub(crate) fn listen_to_registry_events(&self) -> Listener<RegistryFeedRow> {
        self.registry_events.listen(Interest::Everything)
    }

    /// What this account is told from now on.
    pub(crate) fn listen_to_notifications(&self, user: UserId) -> Listener<Notification> {
        self.notifications.listen(Interest::Account(user))
    }

    /// Stretches of the trail from now on in which this patient's data was accessed.
    pub(crate) fn listen_to_accesses(
        &self,
        patient: UserId,
    ) -> Listener<access_feed::AccessStretch> {
        self.accesses.listen(Interest::Account(patient))
    }
}

/// Whoever follows a log.
pub(crate) trait Follower: Send {
    /// What it is told.
    type Told;

    /// What is told next, once there is something.
    ///
    /// # Errors
    /// Why nothing is told any more.
    fn next(&mut self) -> impl Future<Output = Result<Self::Told, Error>> + Send;
}

/// What a follower is told. An error is told once, and ends it.
pub(crate) fn told<F: Follower>(follower: F) -> impl Stream<Item = Result<F::Told, Error>> {
    // Moved by each step, and held by what waits for the next: twice a pointer, and not twice the follower.
    stream::unfold(Some(Box::new(follower)), |follower| async {
        let mut follower = follower?;
        match F::next(&mut follower).await {
            Ok(told) => Some((Ok(told), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    })
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
        if let Some(account) = notices.next().await {
            reader.role_was_given(UserId(account));
        }
    }
}

/// Reads the logs, each from where it stood.
struct FeedReader {
    registry: Registry,
    entries: LogReader<FeedRow>,
    registry_events: LogReader<RegistryFeedRow>,
    notifications: LogReader<Notification>,
    accesses: LogReader<access_feed::AccessStretch>,
    head: watch::Sender<Option<IndexedHead>>,
    /// Accounts that were given another role, and may be listened for by who was a patient: they hear of every entry, so that
    /// they find out.
    given_roles: BTreeSet<UserId>,
}

impl FeedReader {
    /// Keeps that this account has another role, as long as somebody may listen for it.
    fn role_was_given(&mut self, account: UserId) {
        // In a quiet log nothing is read that would leave them out.
        if self.given_roles.len() >= MANY_GIVEN_ROLES {
            let listening = self.entries.listening().collect();
            leave_out_unheard(&mut self.given_roles, &listening);
        }
        self.given_roles.insert(account);
    }

    async fn forward(&mut self, pool: &Pool) -> Result<(), StoreError> {
        let mut conn = pool.acquire().await?;
        // None waits for the others where one of them cannot be read.
        let entries = self.forward_entries(&mut conn).await;
        let events = self.forward_registry_events(&mut conn).await;
        let told = self.forward_notifications(&mut conn).await;
        let accesses = self.forward_accesses(&mut conn).await;
        let head = self.forward_head(&mut conn).await;
        entries.and(events).and(told).and(accesses).and(head)
    }

    /// Says where the chain is where that is somewhere else than before.
    async fn forward_head(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let now = index_status::head(conn, &self.registry).await?;
        self.head.send_if_modified(|known| {
            let is_news = *known != now;
            *known = now;
            is_news
        });
        Ok(())
    }

    async fn forward_entries(&mut self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let log = &mut self.entries;
        let mut from = match log.position {
            Some(position) => position,
            None => log.begin(feed::last_position(conn).await?),
        };
        loop {
            let stretch = feed::after(conn, from, BATCH, Part::Whole).await?;
            let Some(last) = stretch.last else {
                return Ok(());
            };
            from = last;
            // Who begins to listen after the entries were read finds them in the log.
            let listening: BTreeSet<Interest> = log.listening().collect();
            leave_out_unheard(&mut self.given_roles, &listening);
            let accounts = &self.given_roles;
            let doctors = listening.into_iter().filter_map(Interest::doctor).collect();
            let routes = DoctorRoutes::find(conn, doctors, &stretch.rows).await;
            log.pass_on_besides(stretch.rows, last, |row| {
                routes.with_accounts(row, accounts)
            });
        }
    }

    async fn forward_registry_events(&mut self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let log = &mut self.registry_events;
        let mut from = match log.position {
            Some(position) => position,
            None => log.begin(registry_feed::last_position(conn, &self.registry).await?),
        };
        loop {
            let page = registry_feed::after(conn, &self.registry, from, BATCH).await?;
            let Some(last) = page.last else {
                return Ok(());
            };
            from = last;
            log.pass_on(page.rows, last);
        }
    }

    async fn forward_notifications(&mut self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let log = &mut self.notifications;
        let mut from = match log.position {
            Some(position) => position,
            None => log.begin(notifications::last_position(conn).await?),
        };
        loop {
            let found = notifications::after(conn, from, BATCH).await?;
            let Some(last) = found.last().map(|told| told.position) else {
                return Ok(());
            };
            from = last;
            log.pass_on(found, last);
        }
    }

    /// The trail grows by each request: it is read for those who listen, and passed on by stretches.
    async fn forward_accesses(&mut self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let log = &mut self.accesses;
        let last = access_feed::last_position(conn).await?;
        let Some(mut from) = log.position else {
            log.begin(last);
            return Ok(());
        };
        // Who begins to listen after this reads the trail up to here, and further, without us.
        if !log.is_heard() {
            log.position = Some(last);
            return Ok(());
        }
        while from < last {
            let Some(stretch) = access_feed::after(conn, from, BATCH).await? else {
                return Ok(());
            };
            from = stretch.last;
            log.pass_on(vec![stretch], from);
        }
        Ok(())
    }
}

/// Keeps those alone of these accounts for whom somebody listens.
fn leave_out_unheard(accounts: &mut BTreeSet<UserId>, listening: &BTreeSet<Interest>) {
    accounts.retain(|account| listening.contains(&Interest::Account(*account)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_with_another_role_is_kept_while_somebody_listens_for_it() {
        let (ana, ben) = (UserId::fresh(), UserId::fresh());
        let listening = BTreeSet::from([Interest::Account(ana), Interest::PatientsOf(ben)]);
        let mut accounts = BTreeSet::from([ana, ben]);

        leave_out_unheard(&mut accounts, &listening);

        assert_eq!(accounts, BTreeSet::from([ana]));
    }
}
