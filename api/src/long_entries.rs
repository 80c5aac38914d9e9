//! How much memory this process has for what is long: entries of imports with files in them while those are taken out, and the
//! files until they are stored. Who comes when it is taken waits, and has only a part of its entry in memory meanwhile.
//!
//! Nobody asks for more while holding some that only they could give back: so nobody waits for ever.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The room for all of it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LongEntries {
    room: Arc<Semaphore>,
    mebibytes: u32,
}

/// A part of that room, given back when dropped.
#[derive(Debug)]
pub(crate) struct LongRoom(OwnedSemaphorePermit);

impl LongEntries {
    /// So many MiB.
    pub(crate) fn new(mebibytes: u32) -> Self {
        Self {
            room: Arc::new(Semaphore::new(mebibytes as usize)),
            mebibytes,
        }
    }

    /// Waits until there is room for so many bytes, in the order of asking. Who asks for more than there is has all of it.
    pub(crate) async fn take(&self, bytes: usize) -> Option<LongRoom> {
        let wanted = mebibytes(bytes).min(self.mebibytes);
        let room = Arc::clone(&self.room).acquire_many_owned(wanted);
        room.await.ok().map(LongRoom)
    }
}

impl LongRoom {
    /// Keeps the room of so many bytes; gives the rest.
    pub(crate) fn keep(&mut self, bytes: usize) -> Option<Self> {
        let kept = mebibytes(bytes) as usize;
        let rest = self.0.num_permits().saturating_sub(kept);
        self.0.split(rest).map(Self)
    }
}

/// Rounded up.
fn mebibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_long_waits_until_there_is_room_for_all_of_it() {
        let entries = LongEntries::new(10);
        let mut first = entries.take(6 << 20).await.unwrap();
        assert!(entries.take((4 << 20) + 1).now_or_never().is_none());

        // What was taken out of it is shorter.
        drop(first.keep(5 << 20));
        let second = entries.take((4 << 20) + 1).now_or_never();
        assert!(second.is_some());
        assert!(entries.take(1).now_or_never().is_none());
        drop((first, second));
        let all = entries.take(usize::MAX).now_or_never();
        assert!(all.is_some(), "the longest has all of it");
        assert!(entries.take(1).now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_keeps_more_than_was_taken_gives_nothing_back() {
        let entries = LongEntries::new(2);
        let mut room = entries.take(1 << 20).await.unwrap();
        drop(room.keep(5 << 20));
        assert!(entries.take(2 << 20).now_or_never().is_none());
        assert!(entries.take(1 << 20).now_or_never().is_some());
    }
}
