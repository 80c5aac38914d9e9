//! Waiting for a token where nothing can be awaited: for a short time, and once.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak, mpsc},
    thread,
    time::Duration,
};

/// Waits no longer than so long for what asks a token; and not at all, while what was given up is still at it.
#[derive(Default)]
pub(crate) struct BoundedWait {
    /// Held by what was given up last.
    late: Mutex<Weak<()>>,
}

impl BoundedWait {
    /// Does it on a thread of its own; `None` where that takes longer. What is late goes on, and comes to its end some time.
    pub(crate) fn wait<R: Send + 'static>(
        &self,
        within: Duration,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        if self.is_late() {
            return None;
        }
        let under_way = Arc::new(());
        let given_up = Arc::downgrade(&under_way);
        let (told, answer) = mpsc::channel();
        let begun = thread::Builder::new().spawn(move || {
            let done = work();
            drop(under_way);
            // Nobody may wait any more.
            told.send(done).ok();
        });
        begun.ok()?;
        let answer = answer.recv_timeout(within).ok();
        if answer.is_none() {
            *self.late.lock().unwrap_or_else(PoisonError::into_inner) = given_up;
        }
        answer
    }

    fn is_late(&self) -> bool {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.strong_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_answers_is_waited_for_once() {
        let bounded_wait = BoundedWait::default();
        let long = Duration::from_mins(1);
        assert_eq!(bounded_wait.wait(long, || 1), Some(1));

        let (end, ended) = mpsc::channel::<()>();
        let short = Duration::from_millis(1);
        let late = bounded_wait.wait(short, move || ended.recv().is_ok());
        assert_eq!(late, None);
        // With time enough, and nothing is done.
        assert_eq!(bounded_wait.wait(long, || 2), None);

        drop(end);
        while bounded_wait.is_late() {
            thread::yield_now();
        }
        assert_eq!(bounded_wait.wait(long, || 3), Some(3));
    }
}
