//! How long the check of a document takes, for the metrics.

use std::time::{Duration, Instant};

use crate::instruments::instruments;

/// Measures the check of one document. It has parts, of which the first comes before the document is parsed: what they took
/// together is told once, when this is dropped, whether the document was let through or refused.
#[derive(Debug, Default)]
pub(crate) struct CheckTimer(Option<Duration>);

impl CheckTimer {
    /// Does a part of the check. Reading the clock twice takes some dozen nanoseconds.
    pub(crate) fn measure<T>(&mut self, part: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let outcome = part();
        self.0 = Some(self.0.unwrap_or_default() + began.elapsed());
        outcome
    }
}

impl Drop for CheckTimer {
    fn drop(&mut self) {
        if let Some(took) = self.0 {
            instruments().checked_limits(took);
        }
    }
}
