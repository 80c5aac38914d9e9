//! Counters: who waits at one is served together with whoever else waits there, so that they share a
//! transaction and its commit.

use std::{future::Future, sync::Arc};

use store::StoreError;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use crate::error::Error;

/// How a counter serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many are served together at most.
    pub(crate) group: usize,
    /// How many groups are served at once. More would only take connections from others.
    pub(crate) groups_at_once: usize,
    /// How many may wait; more are refused at once.
    pub(crate) queue: usize,
}

type Reply<A> = oneshot::Sender<Result<A, Error>>;

/// Where requests are handed in.
#[derive(Debug)]
pub(crate) struct Counter<Q, A>(mpsc::Sender<(Q, Reply<A>)>);

impl<Q, A> Clone for Counter<Q, A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q: Send + 'static, A: Send + 'static> Counter<Q, A> {
    /// Opens a counter at which `serve` answers each request of a group, in their order. It closes when
    /// the last handle is dropped.
    pub(crate) fn open<S, F>(limits: Limits, tasks: &mut JoinSet<()>, serve: S) -> Self
    where
        S: Fn(Vec<Q>) -> F + Send + 'static,
        F: Future<Output = Vec<Result<A, Error>>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(limits.queue);
        tasks.spawn(run(limits, receiver, serve));
        Self(sender)
    }

    /// Waits to be served.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many wait already, [`Error::Unavailable`] where nobody answers, and
    /// what the answer itself is.
    pub(crate) async fn ask(&self, question: Q) -> Result<A, Error> {
        let (reply, answer) = oneshot::channel();
        self.0
            .try_send((question, reply))
            .map_err(|_| Error::Busy {
                retry_after_seconds: 1,
            })?;
        answer.await.map_err(|_| Error::Unavailable)?
    }
}

async fn run<Q, A, S, F>(limits: Limits, mut inbox: mpsc::Receiver<(Q, Reply<A>)>, serve: S)
where
    Q: Send + 'static,
    A: Send + 'static,
    S: Fn(Vec<Q>) -> F + Send + 'static,
    F: Future<Output = Vec<Result<A, Error>>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.groups_at_once));
    loop {
        // While every place is taken, requests gather into the next group.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let mut group = Vec::new();
        if inbox.recv_many(&mut group, limits.group).await == 0 {
            return;
        }
        let (questions, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let answers = serve(questions);
        tokio::spawn(async move {
            for (reply, answer) in replies.into_iter().zip(answers.await) {
                // Whoever went away meanwhile no longer wants to know.
                reply.send(answer).ok();
            }
            drop(place);
        });
    }
}

/// The answers to a group that could not be served. Logs why, once for all of them.
pub(crate) fn turned_away<A>(group: usize, error: StoreError) -> Vec<Result<A, Error>> {
    let error = Error::from(error);
    (0..group).map(|_| Err(error.again())).collect()
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_served_together_and_one_too_many_is_turned_away() {
        let limits = Limits {
            group: 3,
            groups_at_once: 1,
            queue: 4,
        };
        let open = Arc::new(Notify::new());
        let door = Arc::clone(&open);
        let mut tasks = JoinSet::new();
        let counter = Counter::open(limits, &mut tasks, move |group: Vec<u8>| {
            let door = Arc::clone(&door);
            async move {
                if group.contains(&0) {
                    door.notified().await;
                }
                let size = group.len();
                group.into_iter().map(|who| Ok((who, size))).collect()
            }
        });

        let first = counter.ask(0);
        let others = async {
            // The first one is being served; the queue has room for four.
            tokio::task::yield_now().await;
            let others = (1..=5).map(|who| counter.ask(who));
            let (answers, ()) = tokio::join!(join_all(others), async { open.notify_one() });
            answers
        };
        let (first, others) = tokio::join!(first, others);

        assert!(matches!(first, Ok((0, 1))), "{first:?}");
        let served: Vec<_> = others.iter().flatten().copied().collect();
        assert_eq!(served, [(1, 3), (2, 3), (3, 3), (4, 1)]);
        assert!(matches!(others[4], Err(Error::Busy { .. })));
        drop(counter);
        tasks.join_all().await;
    }

    #[tokio::test]
    async fn a_group_that_panics_leaves_its_place_to_the_next() {
        let limits = Limits {
            group: 1,
            groups_at_once: 1,
            queue: 4,
        };
        let mut tasks = JoinSet::new();
        let counter = Counter::open(limits, &mut tasks, |group: Vec<bool>| async move {
            assert!(group[0], "asked to");
            vec![Ok(())]
        });

        assert!(matches!(counter.ask(false).await, Err(Error::Unavailable)));
        assert!(counter.ask(true).await.is_ok());
    }
}
