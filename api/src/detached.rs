//! Work that is finished once it is begun: a client that leaves, and a deadline that passes, end the waiting
//! and not the work. What was counted, written or sent half way is so for nobody.

use std::{future::Future, panic::resume_unwind, time::Duration};

use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::{codes::ServiceLimit, error::Error};

/// How many pieces of work may be under way that came by request. A client that leaves at once no longer holds
/// a connection, but its work does go on.
const MAX_TASKS: usize = 4096;

/// The work that is under way. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct DetachedTasks(TaskTracker);

impl DetachedTasks {
    /// Does it in a task of its own, and waits for it. Dropped, only the waiting ends.
    ///
    /// # Errors
    /// [`Error::Busy`] where too much is under way; nothing of it is done then.
    pub(crate) async fn run_to_completion<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        if self.0.len() >= MAX_TASKS {
            return Err(Error::Busy {
                retry_after_seconds: 1,
                limit: Some(ServiceLimit::Tasks),
            });
        }
        match self.0.spawn(work.in_current_span()).await {
            Ok(done) => Ok(done),
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The process ends.
                Err(_) => Err(Error::Unavailable),
            },
        }
    }

    /// Waits until nothing is under way any more, but no longer than this. Answers how much still is.
    pub(crate) async fn wait_until_idle(&self, within: Duration) -> usize {
        self.0.close();
        tokio::time::timeout(within, self.0.wait()).await.ok();
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn work_is_finished_though_nobody_waits_for_it() {
        let tasks = DetachedTasks::default();
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let done = Arc::new(Notify::new());
        let (started, may, completed) = (Arc::clone(&begun), Arc::clone(&go_on), Arc::clone(&done));
        let tracker = tasks.clone();
        let client = tokio::spawn(async move {
            let piece = async move {
                started.notify_one();
                may.notified().await;
                completed.notify_one();
            };
            tracker.run_to_completion(piece).await
        });

        begun.notified().await;
        client.abort();
        assert!(client.await.is_err_and(|ended| ended.is_cancelled()));
        go_on.notify_one();
        done.notified().await;

        assert_eq!(tasks.wait_until_idle(Duration::from_secs(5)).await, 0);
    }

    #[tokio::test]
    async fn a_panic_is_its_own_and_reaches_who_waits() {
        let tasks = DetachedTasks::default();
        let tracker = tasks.clone();
        let waiting = tokio::spawn(async move {
            let alone = tracker.0.len();
            let panics = async move { assert_eq!(alone, 1, "asked to") };
            tracker.run_to_completion(panics).await
        });
        assert!(waiting.await.is_err_and(|ended| ended.is_panic()));
        assert_eq!(tasks.wait_until_idle(Duration::from_secs(5)).await, 0);
    }
}
