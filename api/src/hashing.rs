//! Password hashing, off the async threads and bounded: a flood of log-ins waits in a short queue
//! of its own and cannot starve anything else.

use std::sync::Arc;

use tokio::sync::Semaphore;

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

    /// Runs one hash or verification.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many wait already.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let busy = |_| Error::Busy {
            retry_after_seconds: 5,
        };
        let _queued = self.queue.try_acquire().map_err(busy)?;
        let _place = self
            .places
            .acquire()
            .await
            .map_err(|_| Error::Unavailable)?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Error::Internal)
    }
}
