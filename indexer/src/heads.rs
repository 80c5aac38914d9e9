//! New blocks, as nodes tell of them by themselves. What is told wakes the loop sooner than its next poll and is never believed: the
//! loop asks as it always does, and goes on polling beneath. A line that ends is begun again, later each time and by chance.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chain::{HeadError, HeadSource, HeadStream, jittered};
use tokio::{sync::Notify, task::JoinSet};

use crate::{error::with_causes, status::Status};

/// How long it takes until a line that ended is begun again, the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often the loop is woken at most: who tells of more blocks than that is heard less often.
const AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// Listens to nodes until it is dropped.
#[derive(Debug)]
pub(crate) struct HeadWatch {
    wake: Arc<Notify>,
    status: Status,
    /// Aborted with this.
    _lines: JoinSet<()>,
}

impl HeadWatch {
    /// Begins to listen to each of these.
    pub(crate) fn start(sources: &[HeadSource], status: &Status) -> Self {
        let wake = Arc::new(Notify::new());
        let mut lines = JoinSet::new();
        for (place, source) in sources.iter().enumerate() {
            let line = HeadLine {
                place,
                source: source.clone(),
                wake: Arc::clone(&wake),
                status: status.clone(),
            };
            lines.spawn(line.keep());
        }
        Self {
            wake,
            status: status.clone(),
            _lines: lines,
        }
    }

    /// Waits until a node has told of a new block since this was asked last; for ever where none is listened to.
    pub(crate) async fn told(&self) {
        self.wake.notified().await;
    }
}

impl Drop for HeadWatch {
    fn drop(&mut self) {
        self.status.hears_nobody();
    }
}

/// One node that is listened to.
struct HeadLine {
    place: usize,
    source: HeadSource,
    wake: Arc<Notify>,
    status: Status,
}

impl HeadLine {
    async fn keep(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            // Boxed: what connects by TLS is large.
            let ended = match Box::pin(self.source.subscribe()).await {
                Ok(heads) => {
                    self.status.hears(self.place);
                    tracing::info!("Node {} tells of new blocks", self.place + 1);
                    // A block may have come before it was listened to.
                    self.wake.notify_one();
                    let began = Instant::now();
                    let ended = self.listen(heads).await;
                    // One that ends soon after its beginning, each time, is begun as seldom as one that cannot be begun.
                    if began.elapsed() >= LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                    ended
                }
                Err(error) => error,
            };
            let why = with_causes(&ended);
            let is_news = self.status.hears_no_more(self.place, why.clone());
            if is_news {
                tracing::warn!("No new blocks are told, and they are polled: {why}");
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Wakes the loop at each block; gives why there are no more.
    async fn listen(&self, mut heads: HeadStream) -> HeadError {
        loop {
            if let Err(error) = heads.next().await {
                return error;
            }
            self.status.heard(self.place);
            self.wake.notify_one();
            tokio::time::sleep(AT_MOST_EVERY).await;
        }
    }
}
