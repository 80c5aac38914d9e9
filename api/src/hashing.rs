//! Password hashing: off the async threads, few at a time, and in turns.
//!
//! A flood of log-ins cannot starve anything else: hashing has threads of its own that yield to
//! whatever else wants a core. Nor can one network starve another: each waits in a line of its own,
//! the lines take turns, and none may hold all of the places.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{audit::Origin, throttle::Network};
use tokio::sync::oneshot;

use crate::{codes::ServiceLimit, error::Error};

/// How many passwords may be hashed or wait for it. One takes about 40 ms.
const QUEUED: usize = 128;
/// How many of them one network may hold while there is no other.
const QUEUED_OF_ONE: usize = QUEUED / 4 * 3;

/// Hashes as many passwords at once as there are cores, but for one that is left to everything else.
#[derive(Debug, Clone)]
pub(crate) struct Hashing(Arc<Mutex<NetworkQueues>>);

#[derive(Debug)]
struct NetworkQueues {
    /// How many may be hashed at once and are not.
    free: usize,
    /// How many places each network holds.
    held: HashMap<Network, usize>,
    /// Who waits for a turn, network by network; the next turn is the first line's.
    waiting: VecDeque<(Network, VecDeque<oneshot::Sender<HashingSlot>>)>,
}

impl NetworkQueues {
    fn may_enter(&self, network: Network) -> bool {
        let own = self.held.get(&network).copied().unwrap_or(0);
        let others = self.held.len() - usize::from(own > 0);
        let share = match others {
            0 => QUEUED_OF_ONE,
            others => (QUEUED / (others + 1)).max(1),
        };
        own < share && self.held.values().sum::<usize>() < QUEUED
    }

    fn enqueue(&mut self, network: Network, waiter: oneshot::Sender<HashingSlot>) {
        match self.waiting.iter_mut().find(|(whose, _)| *whose == network) {
            Some((_, queue)) => queue.push_back(waiter),
            None => self.waiting.push_back((network, VecDeque::from([waiter]))),
        }
    }

    /// Whoever is next. Their line goes behind the others.
    fn next(&mut self) -> Option<oneshot::Sender<HashingSlot>> {
        let (network, mut queue) = self.waiting.pop_front()?;
        let next = queue.pop_front();
        if !queue.is_empty() {
            self.waiting.push_back((network, queue));
        }
        next
    }
}

impl Hashing {
    /// For this machine.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, Into::into);
        Self::at_once(cores.saturating_sub(1).max(1))
    }

    fn at_once(free: usize) -> Self {
        Self(Arc::new(Mutex::new(NetworkQueues {
            free,
            held: HashMap::new(),
            waiting: VecDeque::new(),
        })))
    }

    fn queues(&self) -> MutexGuard<'_, NetworkQueues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, before anything else is taken for the same request.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many wait already.
    pub(crate) fn queue(&self, origin: &Origin) -> Result<Queued, Error> {
        self.enter(Network::of(origin.address))
    }

    fn enter(&self, network: Network) -> Result<Queued, Error> {
        let mut queues = self.queues();
        if !queues.may_enter(network) {
            return Err(Error::Busy {
                retry_after_seconds: 5,
                limit: Some(ServiceLimit::PasswordHashing),
            });
        }
        *queues.held.entry(network).or_default() += 1;
        Ok(Queued {
            hashing: self.clone(),
            network,
        })
    }
}

/// A place. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Queued {
    hashing: Hashing,
    network: Network,
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut queues = self.hashing.queues();
        if let Some(held) = queues.held.get_mut(&self.network) {
            *held -= 1;
            if *held == 0 {
                queues.held.remove(&self.network);
            }
        }
    }
}

impl Queued {
    /// Runs one hash or verification when its turn comes.
    ///
    /// # Errors
    /// [`Error::Internal`] where it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let slot = self.slot().await?;
        let (done, result) = oneshot::channel();
        // A thread of its own, because one that has become less important stays so. Making it costs a
        // thousandth of what it does.
        std::thread::Builder::new()
            .name("hashing".to_owned())
            .spawn(move || {
                yield_to_others();
                let result = work();
                // Whoever is answered finds the turn passed on. A panic passes it on, too.
                drop(slot);
                drop(done.send(result));
            })
            .map_err(|error| {
                tracing::error!(%error, "No thread for hashing can be started");
                Error::Unavailable
            })?;
        result.await.map_err(|_| Error::Internal)
    }

    async fn slot(&self) -> Result<HashingSlot, Error> {
        let slot = {
            let mut queues = self.hashing.queues();
            if queues.free > 0 {
                queues.free -= 1;
                return Ok(HashingSlot(Some(self.hashing.clone())));
            }
            let (waiter, slot) = oneshot::channel();
            queues.enqueue(self.network, waiter);
            slot
        };
        slot.await.map_err(|_| Error::Unavailable)
    }
}

/// The right to use a core. Passed on when dropped.
#[derive(Debug)]
struct HashingSlot(Option<Hashing>);

impl Drop for HashingSlot {
    fn drop(&mut self) {
        let Some(hashing) = self.0.take() else { return };
        let mut queues = hashing.queues();
        let mut slot = Self(Some(hashing.clone()));
        while let Some(next) = queues.next() {
            match next.send(slot) {
                Ok(()) => return,
                // They have left meanwhile.
                Err(unwanted) => slot = unwanted,
            }
        }
        slot.0 = None;
        queues.free += 1;
    }
}

/// Lets every other thread and process that wants the core go first, but for a tenth of it.
fn yield_to_others() {
    /// Weighs a ninth of the usual 0 (the table of weights in Linux' `kernel/sched/core.c`).
    #[cfg(target_os = "linux")]
    const NICE: i32 = 10;
    // On Linux alone this is about the calling thread; elsewhere it would be about all of us.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "Hashing is as important as everything else");
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures::future::join_all;

    use super::*;

    fn network(last: u8) -> Network {
        Network::of(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn the_networks_take_turns() {
        let hashing = Hashing::at_once(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let work = |who: u8| {
            let (order, queued) = (Arc::clone(&order), hashing.enter(network(who)));
            async move {
                let work = move || order.lock().map(|mut order| order.push(who)).is_ok();
                queued.expect("there is a place").run(work).await
            }
        };

        let first = [1, 1, 1, 1, 1, 2, 2, 3].map(work);
        let done = join_all(first).await;

        assert!(done.iter().all(|it| matches!(it, Ok(true))), "{done:?}");
        let order = order.lock().expect("no panic").clone();
        assert_eq!(order, [1, 1, 2, 3, 1, 2, 1, 1]);
        assert_eq!(hashing.queues().free, 1);
        assert!(hashing.queues().held.is_empty());
    }

    #[test]
    fn no_network_fills_the_queue_of_hashing_and_the_queue_is_bounded() {
        let hashing = Hashing::at_once(1);
        let mut queued_all = Vec::new();
        let mut fill = |last| {
            let before = queued_all.len();
            queued_all.extend(std::iter::from_fn(|| hashing.enter(network(last)).ok()));
            queued_all.len() - before
        };

        let entered = [1, 2, 3, 4].map(&mut fill);

        assert_eq!(entered, [QUEUED_OF_ONE, QUEUED - QUEUED_OF_ONE, 0, 0]);
        // When the flood has less, others have more; it gets back no more than its share.
        queued_all.drain(..QUEUED_OF_ONE);
        let mut fill = |last| {
            let before = queued_all.len();
            queued_all.extend(std::iter::from_fn(|| hashing.enter(network(last)).ok()));
            queued_all.len() - before
        };
        assert_eq!(
            [3, 1].map(&mut fill),
            [QUEUED / 2, QUEUED - QUEUED / 2 - 32]
        );
    }

    #[tokio::test]
    async fn a_cancelled_or_panicking_hash_releases_its_slot() {
        let hashing = Hashing::at_once(1);
        let queued = || hashing.enter(network(1)).expect("there is a place");
        let (go, waits) = std::sync::mpsc::channel::<()>();
        let running = tokio::spawn(queued().run(move || waits.recv().is_ok()));
        let leaving = tokio::spawn(queued().run(|| true));
        tokio::task::yield_now().await;

        leaving.abort();
        assert!(leaving.await.is_err_and(|error| error.is_cancelled()));
        go.send(()).expect("it waits");
        assert!(matches!(running.await, Ok(Ok(true))));
        let failed = queued()
            .run(|| std::panic::resume_unwind(Box::new(())))
            .await;

        assert!(
            matches!(failed, Err::<(), _>(Error::Internal)),
            "{failed:?}"
        );
        assert!(matches!(queued().run(|| 7).await, Ok(7)));
        assert!(hashing.queues().held.is_empty());
    }
}
