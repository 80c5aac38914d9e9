//! One log as it is passed on: each entry to those alone who listen for it, in the order of the log.
//!
//! Whoever listens for the same shares a channel, which is there for as long as somebody does. An entry wakes nobody else, however
//! many listen. What is passed on before somebody listens is in the log, which each reads to its end before it is told
//! of anything here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{
    broadcast::{
        self,
        error::{RecvError, TryRecvError},
    },
    watch,
};

use super::interest::{Addressed, Interest};
use crate::{error::Error, instruments::instruments};

/// A log's channels, by what is listened for.
type ByInterest<T> = HashMap<Interest, broadcast::Sender<Arc<T>>>;

/// The channels of a log to which somebody listens.
#[derive(Debug)]
struct Channels<T>(Mutex<ByInterest<T>>);

impl<T> Channels<T> {
    fn lock(&self) -> MutexGuard<'_, ByInterest<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, interest: Interest) -> broadcast::Receiver<Arc<T>> {
        let mut channels = self.lock();
        let channel = channels
            .entry(interest)
            .or_insert_with(|| broadcast::Sender::new(interest.buffer()));
        channel.subscribe()
    }

    /// Somebody listens no longer.
    fn leave(&self, interest: Interest) {
        let mut channels = self.lock();
        let channel = channels.get(&interest);
        if channel.is_some_and(|channel| channel.receiver_count() == 0) {
            channels.remove(&interest);
        }
    }

    fn are_heard(&self) -> bool {
        !self.lock().is_empty()
    }
}

impl<T: Addressed> Channels<T> {
    /// To those whom the entry names, and to these besides.
    fn pass_on(&self, row: T, besides: Vec<Interest>) {
        let row = Arc::new(row);
        for interest in row.interests().chain(besides) {
            // Whoever is woken takes no lock that is held here.
            let channel = self.lock().get(&interest).cloned();
            if let Some(channel) = channel {
                // That the last has just left is no failure.
                channel.send(Arc::clone(&row)).ok();
            }
        }
    }
}

/// One log, as it is passed on.
#[derive(Debug)]
pub(super) struct Live<T> {
    channels: Arc<Channels<T>>,
    has_begun: watch::Receiver<bool>,
}

// Derived, it would ask for entries that can be cloned.
impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self {
            channels: Arc::clone(&self.channels),
            has_begun: self.has_begun.clone(),
        }
    }
}

impl<T> Live<T> {
    pub(super) fn new() -> (Self, LogReader<T>) {
        let channels = Arc::new(Channels(Mutex::new(HashMap::new())));
        let (begun, has_begun) = watch::channel(false);
        let reader = LogReader {
            channels: Arc::clone(&channels),
            begun,
            position: None,
        };
        let live = Self {
            channels,
            has_begun,
        };
        (live, reader)
    }

    pub(super) fn listen(&self, interest: Interest) -> Listener<T> {
        Listener {
            written: self.channels.listen(interest),
            _place: ListenersPlace {
                channels: Arc::clone(&self.channels),
                interest,
            },
            has_begun: self.has_begun.clone(),
            read: Vec::new().into_iter(),
            is_live: false,
        }
    }
}

/// Where a log was read to, and what it is passed on by.
pub(super) struct LogReader<T> {
    channels: Arc<Channels<T>>,
    begun: watch::Sender<bool>,
    /// The last entry that was read.
    pub(super) position: Option<i64>,
}

impl<T> LogReader<T> {
    /// All that is written after this position is passed on from now on.
    pub(super) fn begin(&mut self, position: i64) -> i64 {
        self.position = Some(position);
        self.begun.send_replace(true);
        position
    }

    /// Whether anybody listens.
    pub(super) fn is_heard(&self) -> bool {
        self.channels.are_heard()
    }

    /// What is listened for at this moment.
    pub(super) fn listening(&self) -> impl Iterator<Item = Interest> + use<T> {
        let interests: Vec<Interest> = self.channels.lock().keys().copied().collect();
        interests.into_iter()
    }
}

impl<T: Addressed> LogReader<T> {
    pub(super) fn pass_on(&mut self, rows: Vec<T>, last: i64) {
        self.pass_on_besides(rows, last, |_| Vec::new());
    }

    /// The same, and each entry to those besides of whom it says nothing itself; each of them once.
    pub(super) fn pass_on_besides(
        &mut self,
        rows: Vec<T>,
        last: i64,
        besides: impl Fn(&T) -> Vec<Interest>,
    ) {
        let passed = u64::try_from(rows.len()).unwrap_or_default();
        instruments().feed_entries.inc_by(passed);
        for row in rows {
            let besides = besides(&row);
            self.channels.pass_on(row, besides);
        }
        self.position = Some(last);
    }
}

/// A channel is given up with the last of these.
#[derive(Debug)]
struct ListenersPlace<T> {
    channels: Arc<Channels<T>>,
    interest: Interest,
}

impl<T> Drop for ListenersPlace<T> {
    fn drop(&mut self) {
        self.channels.leave(self.interest);
    }
}

/// Where a subscriber hears of one log: first of what it reads of it itself, to its end, then of what is written.
#[derive(Debug)]
pub(crate) struct Listener<T> {
    // Dropped before the place is: who is gone is not counted.
    written: broadcast::Receiver<Arc<T>>,
    _place: ListenersPlace<T>,
    has_begun: watch::Receiver<bool>,
    /// Read from the log, and not handed out.
    read: std::vec::IntoIter<T>,
    /// True once the log was read to its end: from then on, entries come as they are written.
    is_live: bool,
}

impl<T> Listener<T> {
    /// The next entry, if it is there.
    pub(crate) fn at_hand(&mut self) -> Option<Arc<T>> {
        if let Some(row) = self.read.next() {
            return Some(Arc::new(row));
        }
        // Until the log was read to its end, what is written meanwhile waits.
        if !self.is_live {
            return None;
        }
        match self.written.try_recv() {
            Ok(row) => Some(row),
            Err(TryRecvError::Lagged(_)) => {
                self.is_live = false;
                None
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// The next entry, once there is one; `None` where the log is to be read first ([`Listener::take`]).
    ///
    /// # Errors
    /// [`Error::Unavailable`] where nothing is passed on any more.
    pub(crate) async fn next(&mut self) -> Result<Option<Arc<T>>, Error> {
        if let Some(row) = self.read.next() {
            return Ok(Some(Arc::new(row)));
        }
        if !self.is_live {
            // Whatever is written after the log was read must be passed on.
            let begun = self.has_begun.wait_for(|has_begun| *has_begun).await;
            return begun.map(|_| None).map_err(|_| Error::Unavailable);
        }
        match self.written.recv().await {
            Ok(row) => Ok(Some(row)),
            // Too slow for the buffer: the log has everything.
            Err(RecvError::Lagged(_)) => {
                self.is_live = false;
                Ok(None)
            }
            Err(RecvError::Closed) => Err(Error::Unavailable),
        }
    }

    /// Takes what was read of the log, and whether that was its end.
    pub(crate) fn take(&mut self, read: Vec<T>, is_end: bool) {
        self.read = read.into_iter();
        self.is_live = is_end;
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{RecordId, UserId};
    use futures::FutureExt as _;

    use super::*;

    #[derive(Debug)]
    struct NumberedEntry(usize, Vec<Interest>);

    impl Addressed for NumberedEntry {
        fn interests(&self) -> impl Iterator<Item = Interest> {
            self.1.iter().copied()
        }
    }

    /// Somebody who has read the log to its end.
    fn listens(live: &Live<NumberedEntry>, interest: Interest) -> Listener<NumberedEntry> {
        let mut listener = live.listen(interest);
        listener.take(Vec::new(), true);
        listener
    }

    fn hears(listener: &mut Listener<NumberedEntry>) -> Vec<usize> {
        std::iter::from_fn(|| listener.at_hand().map(|row| row.0)).collect()
    }

    #[test]
    fn each_hears_what_they_listen_for_once_and_in_order() {
        use Interest::{Account, Everything, PatientsOf, Record};
        let (ana, ben) = (UserId::fresh(), UserId::fresh());
        let record = RecordId::fresh();
        let (live, mut reader) = Live::new();
        let (bo, wu) = (PatientsOf(UserId::fresh()), PatientsOf(UserId::fresh()));
        let of_ana = || vec![Everything, Account(ana), Record(record)];
        let of_ben = || vec![Everything, Account(ben)];
        let table = [
            ("everything", Everything, vec![1, 2, 3, 4]),
            ("a doctor", bo, vec![1, 4]),
            ("another doctor", wu, vec![]),
            ("ana", Account(ana), vec![1, 4]),
            ("ana again", Account(ana), vec![1, 4]),
            ("ben", Account(ben), vec![2]),
            ("a record", Record(record), vec![1, 4]),
            ("another", Record(RecordId::fresh()), vec![]),
        ];
        let mut listeners: Vec<_> = table
            .iter()
            .map(|(_, interest, _)| listens(&live, *interest))
            .collect();

        let rows = [of_ana(), of_ben(), vec![Everything], of_ana()];
        let rows = (1..).zip(rows).map(|(nth, of)| NumberedEntry(nth, of));
        let besides = |row: &NumberedEntry| {
            let is_of_ana = row.1.contains(&Account(ana));
            Vec::from_iter(is_of_ana.then_some(bo))
        };
        reader.pass_on_besides(rows.collect(), 4, besides);

        let mut listening = reader.listening();
        assert!(listening.any(|it| it == bo));
        for ((who, _, expected), listener) in table.iter().zip(&mut listeners) {
            assert_eq!(hears(listener), *expected, "{who}");
        }
        assert_eq!(reader.position, Some(4));
    }

    #[test]
    fn who_falls_behind_their_own_entries_reads_the_log_and_others_entries_count_for_nothing() {
        let (ana, ben) = (UserId::fresh(), UserId::fresh());
        let (of_ana, of_ben) = (Interest::Account(ana), Interest::Account(ben));
        let (live, mut reader) = Live::new();
        reader.begin(0);
        let (mut slow, mut quiet) = (listens(&live, of_ana), listens(&live, of_ben));
        let many = of_ana.buffer();

        let rows = (0..many).map(|nth| NumberedEntry(nth, vec![of_ana]));
        reader.pass_on(rows.collect(), 1);
        assert_eq!(hears(&mut slow).len(), many, "all are kept");
        let rows = (0..=many).map(|nth| NumberedEntry(nth, vec![of_ana]));
        reader.pass_on(rows.collect(), 2);
        reader.pass_on(vec![NumberedEntry(7, vec![of_ben])], 3);

        assert!(hears(&mut slow).is_empty(), "some are not");
        let next = slow.next().now_or_never();
        assert!(matches!(next, Some(Ok(None))), "the log is to be read");
        assert_eq!(hears(&mut quiet), [7]);
    }

    #[test]
    fn a_channel_is_there_while_somebody_listens() {
        let of_ana = Interest::Account(UserId::fresh());
        let (live, reader) = Live::<NumberedEntry>::new();
        assert!(!reader.is_heard());

        let (one, other) = (live.listen(of_ana), live.listen(of_ana));
        assert_eq!(live.channels.lock().len(), 1, "they share it");
        drop(one);
        assert!(reader.is_heard());
        drop(other);

        assert!(!reader.is_heard());
        assert!(listens(&live, of_ana).at_hand().is_none());
    }
}
