//! Password hashing, off the async threads and bounded: a flood of log-ins waits in a short queue
//! of its own and cannot starve anything else.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// How many may wait for a place. One hash takes about 40 ms, so the last one waits a few seconds.
const MAX_WAITING: usize = 64;

/// Hashes as many passwords at once as there are cores.
#[derive(Debug, Clone)]
pub(crate) struct Hashing {
    places: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Hashing {
    /// A place per core.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, Into::into);
        Self {
            places: Arc::new(Semaphore::new(cores)),
            queue: Arc::new(Semaphore::new(cores + MAX_WAITING)),
        }
    }

    /// Takes a place in the queue, before anything else is taken for the same request.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many wait already.
    pub(crate) fn queue(&self) -> Result<Queued, Error> {
        let busy = |_| Error::Busy {
            retry_after_seconds: 5,
        };
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(busy)?;
        Ok(Queued {
            _place: place,
            cores: Arc::clone(&self.places),
        })
    }
}

/// A place in the queue. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Queued {
    _place: OwnedSemaphorePermit,
    cores: Arc<Semaphore>,
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
        let _core = self.cores.acquire().await.map_err(|_| Error::Unavailable)?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Error::Internal)
    }
}
