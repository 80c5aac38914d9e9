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

use crate::error::Error;

/// How many passwords may be hashed or wait for it. One takes about 40 ms.
const PLACES: usize = 128;
/// How many of them one network may hold while there is no other.
const PLACES_OF_ONE: usize = PLACES / 4 * 3;

/// Hashes as many passwords at once as there are cores, but for one that is left to everything else.
#[derive(Debug, Clone)]
pub(crate) struct Hashing(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    /// How many may be hashed at once and are not.
    free: usize,
    /// How many places each network holds.
    held: HashMap<Network, usize>,
    /// Who waits for a turn, network by network; the next turn is the first line's.
    waiting: VecDeque<(Network, VecDeque<oneshot::Sender<Turn>>)>,
}

impl Lines {
    fn may_enter(&self, network: Network) -> bool {
        let own = self.held.get(&network).copied().unwrap_or(0);
        let others = self.held.len() - usize::from(own > 0);
        let share = match others {
            0 => PLACES_OF_ONE,
            others => (PLACES / (others + 1)).max(1),
        };
        own < share && self.held.values().sum::<usize>() < PLACES
    }

    fn enqueue(&mut self, network: Network, waiter: oneshot::Sender<Turn>) {
        match self.waiting.iter_mut().find(|(whose, _)| *whose == network) {
            Some((_, line)) => line.push_back(waiter),
            None => self.waiting.push_back((network, VecDeque::from([waiter]))),
        }
    }

    /// Whoever is next. Their line goes behind the others.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (network, mut line) = self.waiting.pop_front()?;
        let next = line.pop_front();
        if !line.is_empty() {
            self.waiting.push_back((network, line));
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
        Self(Arc::new(Mutex::new(Lines {
            free,
            held: HashMap::new(),
            waiting: VecDeque::new(),
        })))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
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
        let mut lines = self.lines();
        if !lines.may_enter(network) {
            return Err(Error::Busy {
                retry_after_seconds: 5,
            });
        }
        *lines.held.entry(network).or_default() += 1;
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
        let mut lines = self.hashing.lines();
        if let Some(held) = lines.held.get_mut(&self.network) {
            *held -= 1;
            if *held == 0 {
                lines.held.remove(&self.network);
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
        let turn = self.turn().await?;
        let (done, result) = oneshot::channel();
        // A thread of its own, because one that has become less important stays so. Making it costs a
        // thousandth of what it does.
        std::thread::Builder::new()
            .name("hashing".to_owned())
            .spawn(move || {
                yield_to_others();
                let result = work();
                // Whoever is answered finds the turn passed on. A panic passes it on, too.
                drop(turn);
                drop(done.send(result));
            })
            .map_err(|error| {
                tracing::error!(%error, "No thread for hashing can be started");
                Error::Unavailable
            })?;
        result.await.map_err(|_| Error::Internal)
    }

    async fn turn(&self) -> Result<Turn, Error> {
        let turn = {
            let mut lines = self.hashing.lines();
            if lines.free > 0 {
                lines.free -= 1;
                return Ok(Turn(Some(self.hashing.clone())));
            }
            let (waiter, turn) = oneshot::channel();
            lines.enqueue(self.network, waiter);
            turn
        };
        turn.await.map_err(|_| Error::Unavailable)
    }
}

/// The right to use a core. Passed on when dropped.
#[derive(Debug)]
struct Turn(Option<Hashing>);

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(hashing) = self.0.take() else { return };
        let mut lines = hashing.lines();
        let mut turn = Self(Some(hashing.clone()));
        while let Some(next) = lines.next() {
            match next.send(turn) {
                Ok(()) => return,
                // They have left meanwhile.
                Err(unwanted) => turn = unwanted,
            }
        }
        turn.0 = None;
        lines.free += 1;
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
            let (order, place) = (Arc::clone(&order), hashing.enter(network(who)));
            async move {
                let work = move || order.lock().map(|mut order| order.push(who)).is_ok();
                place.expect("there is a place").run(work).await
            }
        };

        let first = [1, 1, 1, 1, 1, 2, 2, 3].map(work);
        let done = join_all(first).await;

        assert!(done.iter().all(|it| matches!(it, Ok(true))), "{done:?}");
        let order = order.lock().expect("no panic").clone();
        assert_eq!(order, [1, 1, 2, 3, 1, 2, 1, 1]);
        assert_eq!(hashing.lines().free, 1);
        assert!(hashing.lines().held.is_empty());
    }

    #[test]
    fn no_network_holds_all_places_and_all_of_them_no_more_than_there_are() {
        let hashing = Hashing::at_once(1);
        let mut places = Vec::new();
        let mut fill = |last| {
            let before = places.len();
            places.extend(std::iter::from_fn(|| hashing.enter(network(last)).ok()));
            places.len() - before
        };

        let entered = [1, 2, 3, 4].map(&mut fill);

        assert_eq!(entered, [PLACES_OF_ONE, PLACES - PLACES_OF_ONE, 0, 0]);
        // When the flood has less, others have more; it gets back no more than its share.
        places.drain(..PLACES_OF_ONE);
        let mut fill = |last| {
            let before = places.len();
            places.extend(std::iter::from_fn(|| hashing.enter(network(last)).ok()));
            places.len() - before
        };
        assert_eq!(
            [3, 1].map(&mut fill),
            [PLACES / 2, PLACES - PLACES / 2 - 32]
        );
    }

    #[tokio::test]
    async fn who_leaves_or_panics_gives_the_turn_on() {
        let hashing = Hashing::at_once(1);
        let place = || hashing.enter(network(1)).expect("there is a place");
        let (go, waits) = std::sync::mpsc::channel::<()>();
        let running = tokio::spawn(place().run(move || waits.recv().is_ok()));
        let leaving = tokio::spawn(place().run(|| true));
        tokio::task::yield_now().await;

        leaving.abort();
        assert!(leaving.await.is_err_and(|error| error.is_cancelled()));
        go.send(()).expect("it waits");
        assert!(matches!(running.await, Ok(Ok(true))));
        let failed = place()
            .run(|| std::panic::resume_unwind(Box::new(())))
            .await;

        assert!(
            matches!(failed, Err::<(), _>(Error::Internal)),
            "{failed:?}"
        );
        assert!(matches!(place().run(|| 7).await, Ok(7)));
        assert!(hashing.lines().held.is_empty());
    }
}
