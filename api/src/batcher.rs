//! Batches: requests that wait together are served together, so that they share a transaction and its commit.
//!
//! Three things live here and nowhere else. **Batching**: while every batch that may run does, requests gather
//! into the next one. **Retrying alone**: where a batch fails, each of its members is served by itself, so that
//! one that cannot be served does not take the others with it. A batch waits shorter for a lock than other
//! transactions do, and a member served again shorter still, so that those whose rows somebody holds locked delay
//! the others by a second or two.
//! **Back-pressure**: only so many wait; one more is refused at once, or waits for room.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use store::StoreError;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::{Instrument as _, Span};

use crate::{codes::ServiceLimit, error::Error, instruments::instruments};

/// How a batcher batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    /// What the queue is called where it is measured.
    pub(crate) name: &'static str,
    /// How many are served together at most.
    pub(crate) size: usize,
    /// How many batches are served at once. More would only take connections from others.
    pub(crate) at_once: usize,
    /// How many may wait; more are refused at once.
    pub(crate) queue: usize,
    /// How long a single request waits for others.
    pub(crate) gather: Duration,
}

/// How long a statement of a batch waits for each lock, whoever holds the rows of one of its members.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How long it waits when a member is served alone after its batch failed: at first, and after
/// [`LONGER_WAITS`] of them have waited in vain.
const LOCK_WAITS_ALONE: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(10)];
/// How many members of a batch wait longer.
const LONGER_WAITS: u32 = 4;
/// How long the members of a batch that failed are served again, all together; who is left then is told to
/// come back.
const RETRY_FOR: Duration = Duration::from_secs(4);

/// What serving a batch gives: an answer for each of its members, in their order, or nothing.
pub(crate) type BatchAnswers<A> = Result<Vec<Result<A, Error>>, BatchFailure>;

/// What is served together.
#[derive(Debug)]
pub(crate) struct Batch<Q> {
    /// The requests, in the order in which their answers are expected.
    pub(crate) requests: Vec<Arc<Q>>,
    /// How long a statement may wait for a lock.
    pub(crate) lock_wait: Duration,
}

/// One request that waits, and the span of who asked it, whose log lines carry the request's id.
struct QueuedRequest<Q, A> {
    request: Arc<Q>,
    span: Span,
    reply: oneshot::Sender<Result<A, Error>>,
}

impl<Q, A> QueuedRequest<Q, A> {
    fn new(request: Q) -> (Self, oneshot::Receiver<Result<A, Error>>) {
        let (reply, answer) = oneshot::channel();
        let waiting = Self {
            request: Arc::new(request),
            span: Span::current(),
            reply,
        };
        (waiting, answer)
    }
}

/// Where requests are handed in. It ends when the last handle is dropped and the queue is empty; a batch that
/// was begun is always finished, whoever still waits for it.
pub(crate) struct Batcher<Q, A> {
    inbox: mpsc::Sender<QueuedRequest<Q, A>>,
    name: &'static str,
}

impl<Q, A> Clone for Batcher<Q, A> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            name: self.name,
        }
    }
}

impl<Q, A> fmt::Debug for Batcher<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Batcher")
    }
}

impl<Q: Send + Sync + 'static, A: Send + 'static> Batcher<Q, A> {
    /// Starts a batcher. `serve` does all of a batch or nothing: it may be called again with the members of a
    /// batch that failed, or that panicked.
    pub(crate) fn start<S, F>(limits: BatchLimits, tasks: &mut JoinSet<()>, serve: S) -> Self
    where
        S: Fn(Batch<Q>) -> F + Send + Sync + 'static,
        F: Future<Output = BatchAnswers<A>> + Send + 'static,
    {
        let (sender, inbox) = mpsc::channel(limits.queue);
        tasks.spawn(run(limits, inbox, Arc::new(serve)));
        Self {
            inbox: sender,
            name: limits.name,
        }
    }

    /// Waits to be served.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many wait already, [`Error::Unavailable`] where the process ends, and
    /// what the answer itself is.
    pub(crate) async fn ask(&self, request: Q) -> Result<A, Error> {
        let (waiting, answer) = QueuedRequest::new(request);
        self.inbox.try_send(waiting).map_err(|_| {
            instruments().turned_away(self.name);
            busy()
        })?;
        answer.await.map_err(|_| Error::Unavailable)?
    }

    /// Waits for room first, instead of being refused: for one of many that take turns.
    ///
    /// # Errors
    /// As of [`Batcher::ask`], but for a full queue.
    pub(crate) async fn ask_in_turn(&self, request: Q) -> Result<A, Error> {
        let (waiting, answer) = QueuedRequest::new(request);
        let sent = self.inbox.send(waiting).await;
        sent.map_err(|_| Error::Unavailable)?;
        answer.await.map_err(|_| Error::Unavailable)?
    }
}

async fn run<Q, A, S, F>(
    limits: BatchLimits,
    mut inbox: mpsc::Receiver<QueuedRequest<Q, A>>,
    serve: Arc<S>,
) where
    Q: Send + Sync + 'static,
    A: Send + 'static,
    S: Fn(Batch<Q>) -> F + Send + Sync + 'static,
    F: Future<Output = BatchAnswers<A>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(limits.at_once));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Some(batch) = next(&limits, &mut inbox).await else {
            return;
        };
        instruments().batched(limits.name, batch.len(), inbox.len());
        let serve = Arc::clone(&serve);
        tokio::spawn(async move {
            answer(batch, &*serve).await;
            drop(permit);
        });
    }
}

/// The next batch; `None` where there will be none.
async fn next<T>(limits: &BatchLimits, inbox: &mut mpsc::Receiver<T>) -> Option<Vec<T>> {
    let mut batch = Vec::new();
    if inbox.recv_many(&mut batch, limits.size).await == 0 {
        return None;
    }
    // Where more than one waited there is a load, and the next ones gather while these are served.
    let is_alone = batch.len() == 1;
    let gathered_by = Instant::now() + limits.gather;
    while is_alone && !limits.gather.is_zero() && batch.len() < limits.size {
        let left = limits.size - batch.len();
        match timeout_at(gathered_by, inbox.recv_many(&mut batch, left)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
    Some(batch)
}

/// Serves a batch, and each of its members alone where it fails as a whole, one after the other: a batch never
/// takes more than one connection.
async fn answer<Q, A, S, F>(batch: Vec<QueuedRequest<Q, A>>, serve: &S)
where
    Q: Send + Sync + 'static,
    A: Send + 'static,
    S: Fn(Batch<Q>) -> F,
    F: Future<Output = BatchAnswers<A>> + Send + 'static,
{
    let requests: Vec<Arc<Q>> = batch.iter().map(|it| Arc::clone(&it.request)).collect();
    let size = batch.len();
    let span = match batch.as_slice() {
        [alone] => alone.span.clone(),
        _ => Span::none(),
    };
    let together = Batch {
        requests,
        lock_wait: LOCK_WAIT,
    };
    let failure = match catch_panic(serve(together).instrument(span.clone()), size).await {
        Ok(answers) => {
            for (waiting, answer) in batch.into_iter().zip(answers) {
                // Whoever went away meanwhile no longer wants to know.
                waiting.reply.send(answer).ok();
            }
            return;
        }
        Err(failure) => failure,
    };
    if size == 1 || failure.is_of_the_database() {
        for waiting in &batch {
            let _entered = waiting.span.enter();
            tracing::warn!(size, %failure, "The batch of this request could not be served");
        }
        // What is logged of it is of the one who was alone.
        let error = span.in_scope(|| Error::from(failure));
        for waiting in batch {
            waiting.reply.send(Err(error.clone())).ok();
        }
        return;
    }
    tracing::warn!(size, %failure, "A batch failed as a whole; each of its members is served alone");
    let until = Instant::now() + RETRY_FOR;
    let mut down: Option<Error> = None;
    let mut waits = 0;
    for waiting in batch {
        let answer = if let Some(error) = &down {
            Err(error.clone())
        } else if Instant::now() > until {
            Err(busy())
        } else {
            let serving = serve(Batch {
                requests: vec![waiting.request],
                lock_wait: LOCK_WAITS_ALONE[usize::from(waits >= LONGER_WAITS)],
            });
            match catch_panic(serving.instrument(waiting.span.clone()), 1).await {
                Ok(mut answers) => answers.pop().unwrap_or(Err(Error::Internal)),
                Err(failure) => {
                    waits += u32::from(failure.is_of_a_lock());
                    let is_down = failure.is_of_the_database();
                    let error = waiting.span.in_scope(|| Error::from(failure));
                    down = is_down.then(|| error.clone());
                    Err(error)
                }
            }
        };
        waiting.reply.send(answer).ok();
    }
}

const fn busy() -> Error {
    Error::Busy {
        retry_after_seconds: 1,
        limit: Some(ServiceLimit::Queue),
    }
}

/// Why a batch was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchFailure {
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One of its members cannot be served now, and which is not known.
    #[error("one of its members cannot be served: {0}")]
    Refused(Error),
    /// A bug.
    #[error("it panicked, or gave too few answers")]
    Panicked,
}

impl BatchFailure {
    /// Another process was a moment earlier: the same again finds what it did.
    pub(crate) const fn busy() -> Self {
        Self::Refused(Error::met_another())
    }

    /// Whether it says nothing of any member: then serving each alone fails alike, and what was sent to a
    /// database that broke off may have happened.
    const fn is_of_the_database(&self) -> bool {
        match self {
            Self::Store(error) => error.is_of_the_database(),
            Self::Refused(_) | Self::Panicked => false,
        }
    }

    /// Whether it waited for a lock in vain, or was in somebody's way.
    fn is_of_a_lock(&self) -> bool {
        match self {
            Self::Store(error) => error.is_of_a_lock(),
            Self::Refused(_) | Self::Panicked => false,
        }
    }
}

impl From<BatchFailure> for Error {
    fn from(failure: BatchFailure) -> Self {
        match failure {
            BatchFailure::Store(error) => error.into(),
            BatchFailure::Refused(error) => error,
            BatchFailure::Panicked => {
                tracing::error!("A request could not be served: it panicked");
                Self::Internal
            }
        }
    }
}

/// Serves in a task of its own, so that a panic is a failure like any other.
async fn catch_panic<A: Send + 'static>(
    serving: impl Future<Output = BatchAnswers<A>> + Send + 'static,
    size: usize,
) -> Result<Vec<Result<A, Error>>, BatchFailure> {
    let answers = tokio::spawn(serving)
        .await
        .map_err(|_| BatchFailure::Panicked)??;
    if answers.len() == size {
        Ok(answers)
    } else {
        Err(BatchFailure::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        name: "tested",
        size: 3,
        at_once: 1,
        queue: 4,
        gather: Duration::ZERO,
    };

    #[tokio::test]
    async fn waiting_requests_share_a_batch_and_one_too_many_is_busy() {
        let open = Arc::new(Notify::new());
        let opened = Arc::clone(&open);
        let mut tasks = JoinSet::new();
        let batcher = Batcher::start(LIMITS, &mut tasks, move |batch: Batch<u8>| {
            let opened = Arc::clone(&opened);
            async move {
                let batch = batch.requests;
                if batch.iter().any(|who| **who == 0) {
                    opened.notified().await;
                }
                let size = batch.len();
                Ok(batch.into_iter().map(|who| Ok((*who, size))).collect())
            }
        });

        let first = batcher.ask(0);
        let others = async {
            // The first one is being served; the queue has room for four.
            tokio::task::yield_now().await;
            let others = (1..=5).map(|who| batcher.ask(who));
            let (answers, ()) = tokio::join!(join_all(others), async { open.notify_one() });
            answers
        };
        let (first, others) = tokio::join!(first, others);

        assert!(matches!(first, Ok((0, 1))), "{first:?}");
        let served: Vec<_> = others.iter().flatten().copied().collect();
        assert_eq!(served, [(1, 3), (2, 3), (3, 3), (4, 1)]);
        assert!(matches!(others[4], Err(Error::Busy { .. })));
        drop(batcher);
        tasks.join_all().await;
    }

    #[tokio::test]
    async fn one_that_cannot_be_served_does_not_take_the_others_with_it() {
        #[derive(Debug, Clone, Copy, PartialEq)]
        enum Member {
            Fine,
            Panics,
            CannotBeRead,
            AnswersNothing,
            IsRefused,
        }
        use Member::{AnswersNothing, CannotBeRead, Fine, IsRefused, Panics};
        for bad in [Panics, CannotBeRead, AnswersNothing, IsRefused] {
            let mut tasks = JoinSet::new();
            let limits = BatchLimits {
                gather: Duration::from_secs(5),
                ..LIMITS
            };
            let batcher = Batcher::start(limits, &mut tasks, |batch: Batch<Member>| async move {
                let batch = batch.requests;
                assert!(!batch.iter().any(|who| **who == Panics), "asked to");
                if batch.iter().any(|who| **who == CannotBeRead) {
                    return Err(StoreError::Unreadable { what: "row" }.into());
                }
                if batch.iter().any(|who| **who == AnswersNothing) {
                    return Ok(Vec::new());
                }
                if batch.iter().any(|who| **who == IsRefused) {
                    return Err(BatchFailure::busy());
                }
                Ok(batch.iter().map(|_| Ok(batch.len())).collect())
            });
            let asked = [Fine, bad, Fine].map(|who| batcher.ask(who));
            let answers = join_all(asked).await;
            assert!(matches!(answers[0], Ok(1)), "{bad:?}: {answers:?}");
            let expected = match bad {
                IsRefused => matches!(answers[1], Err(Error::Busy { .. })),
                _ => matches!(answers[1], Err(Error::Internal)),
            };
            assert!(expected, "{bad:?}: {answers:?}");
            assert!(matches!(answers[2], Ok(1)), "{bad:?}: {answers:?}");
        }
    }

    #[tokio::test]
    async fn members_served_again_wait_shorter_for_a_lock() {
        let [longer, _] = LOCK_WAITS_ALONE;
        let limits = BatchLimits {
            size: 64,
            queue: 64,
            gather: Duration::from_secs(5),
            ..LIMITS
        };
        let mut tasks = JoinSet::new();
        let batcher = Batcher::start(limits, &mut tasks, |batch: Batch<usize>| async move {
            if batch.requests.iter().any(|who| **who < 16) {
                return Err(StoreError::Unreadable { what: "lock" }.into());
            }
            Ok(batch.requests.iter().map(|_| Ok(batch.lock_wait)).collect())
        });

        let answers = join_all((0..64).map(|who| batcher.ask(who))).await;

        assert!(answers[..16].iter().all(Result::is_err), "{answers:?}");
        for answer in &answers[16..] {
            assert!(matches!(answer, Ok(wait) if *wait == longer), "{answers:?}");
        }
    }

    #[tokio::test]
    async fn a_batch_that_panics_releases_its_permit() {
        let limits = BatchLimits { size: 1, ..LIMITS };
        let mut tasks = JoinSet::new();
        let batcher = Batcher::start(limits, &mut tasks, |batch: Batch<bool>| async move {
            assert!(*batch.requests[0], "asked to");
            Ok(vec![Ok(())])
        });

        assert!(matches!(batcher.ask(false).await, Err(Error::Internal)));
        assert!(batcher.ask(true).await.is_ok());
    }

    #[tokio::test]
    async fn a_batch_is_finished_though_nobody_waits_for_it() {
        let (begun, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, finished) = (Arc::clone(&begun), Arc::clone(&done));
        let mut tasks = JoinSet::new();
        let batcher = Batcher::start(LIMITS, &mut tasks, move |_: Batch<()>| {
            let (told, finished) = (Arc::clone(&told), Arc::clone(&finished));
            async move {
                told.notify_one();
                tokio::task::yield_now().await;
                finished.notify_one();
                Ok(vec![Ok(())])
            }
        });
        let asking = tokio::spawn(async move { batcher.ask(()).await });
        begun.notified().await;
        asking.abort();
        done.notified().await;
    }
}
