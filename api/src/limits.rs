//! How much one request, one network, one account and the process may have open at a time.

use std::{hash::Hash, sync::Arc, time::Duration};

use domain::{ids::UserId, throttle::Network};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::sleep,
};

use crate::{
    connection_limiter::{ConnectionLimiter, Permit},
    long_entries::LongEntries,
    upload_limit::UploadLimiter,
};

/// The longest request. Unit: bytes. A document of 1 MiB, escaped, and its query.
pub(crate) const MAX_BODY: usize = 2 * 1024 * 1024;
/// How many imports run at once in this process. Each has at most 64 entries with the writer, so that
/// half of its queue is left to everybody else.
const IMPORTS: usize = 8;
/// How many exports do.
const EXPORTS: usize = 8;
/// How many streams of public events are open at once in this process, for whichever networks ask first.
const PUBLIC_STREAMS: usize = 128;
/// How many of them one network has.
const PUBLIC_STREAMS_OF_NETWORK: usize = 15;
/// How many more there are, of which one network has one: who would take all has to come from as many networks.
const SINGLE_PUBLIC_STREAMS: usize = 128;
/// How many of them read the log at once.
const PUBLIC_READS: usize = 2;
/// How long each of these places is taken at the least: who reads the log again and again, without an account, takes
/// neither the database's connections nor a core, because all of them together are told at most 20 pages in a second.
const PUBLIC_READ_TIME: Duration = Duration::from_millis(100);
/// When to try again where all places of public streams are taken. Unit: seconds.
pub(crate) const PUBLIC_RETRY_AFTER: u32 = 30;
/// How many of each one account has: others find room, however slowly its own go.
pub(crate) const OF_ACCOUNT: usize = 2;

/// Which sockets are open in this process.
#[derive(Debug, Clone)]
pub(crate) struct Sockets {
    /// Of each network.
    pub(crate) of_network: ConnectionLimiter<Network>,
    /// Of each account.
    pub(crate) of_account: ConnectionLimiter<UserId>,
    /// The streams of public events.
    pub(crate) public_streams: PublicStreams,
    /// How long a client may take to accept one message.
    pub(crate) send_within: Duration,
}

impl Sockets {
    /// So many of each network and account, whose clients accept a message within this time.
    pub(crate) fn new(of_network: usize, of_account: usize, send_within: Duration) -> Self {
        Self {
            of_network: ConnectionLimiter::new(of_network),
            of_account: ConnectionLimiter::new(of_account),
            public_streams: PublicStreams::default(),
            send_within,
        }
    }
}

/// Places for streams of public events, which need no account: each network has a share of one half of them, and one of the
/// other half.
#[derive(Debug, Clone)]
pub(crate) struct PublicStreams {
    shared: Room<Network>,
    single: Room<Network>,
    reads: Arc<Semaphore>,
}

impl Default for PublicStreams {
    fn default() -> Self {
        Self {
            shared: Room::new(PUBLIC_STREAMS, PUBLIC_STREAMS_OF_NETWORK),
            single: Room::new(SINGLE_PUBLIC_STREAMS, 1),
            reads: Arc::new(Semaphore::new(PUBLIC_READS)),
        }
    }
}

impl PublicStreams {
    /// One of them for this network; `None` where it has its share, or all are taken.
    pub(crate) fn take(&self, network: Network) -> Option<RoomPermit<Network>> {
        let shared = self.shared.take(network);
        shared.or_else(|_| self.single.take(network)).ok()
    }

    /// Waits until one more may read a page of the log, in the order of asking: hold what is given until it was read.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.reads.acquire().await.ok()?;
        sleep(PUBLIC_READ_TIME).await;
        Some(turn)
    }
}

/// How many imports and exports this process has room for, and how much an account may send.
#[derive(Debug, Clone)]
pub(crate) struct Transfers {
    /// For imports.
    pub(crate) imports: Room<UserId>,
    /// For exports.
    pub(crate) exports: Room<UserId>,
    /// How many bytes of files each account may send.
    pub(crate) uploads: UploadLimiter,
    /// How much memory there is for long entries of imports.
    pub(crate) long_entries: LongEntries,
    /// How much of an import is put aside before it is stored. Unit: bytes.
    pub(crate) held_bytes: u64,
}

impl Transfers {
    /// With this share of what is sent, this room for long entries, and so many bytes for what is put aside.
    pub(crate) fn new(uploads: UploadLimiter, long_entries: LongEntries, held_bytes: u64) -> Self {
        Self {
            imports: Room::new(IMPORTS, OF_ACCOUNT),
            exports: Room::new(EXPORTS, OF_ACCOUNT),
            uploads,
            long_entries,
            held_bytes,
        }
    }
}

/// Places for what stays open, of one kind, of which each account or network has a share.
#[derive(Debug, Clone)]
pub(crate) struct Room<K> {
    all: Arc<Semaphore>,
    of_each: ConnectionLimiter<K>,
}

/// Why there is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// This one has its share.
    OfEach,
    /// All of them are taken.
    OfAll,
}

/// One of them.
pub(crate) type RoomPermit<K> = (Permit<K>, OwnedSemaphorePermit);

impl<K: Eq + Hash + Copy> Room<K> {
    fn new(places: usize, share: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(places)),
            of_each: ConnectionLimiter::new(share),
        }
    }

    /// One of them for this one.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(crate) fn take(&self, key: K) -> Result<RoomPermit<K>, NoRoom> {
        let of_each = self.of_each.acquire(key);
        let of_each = of_each.ok_or(NoRoom::OfEach)?;
        let of_all = Arc::clone(&self.all).try_acquire_owned();
        Ok((of_each, of_all.map_err(|_| NoRoom::OfAll)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(nth: u8) -> Network {
        Network::of([192, 0, 2, nth].into())
    }

    #[test]
    fn a_network_has_its_share_of_the_public_streams_and_all_have_so_many() {
        let streams = PublicStreams::default();
        let of_one: Vec<_> = std::iter::from_fn(|| streams.take(network(0))).collect();
        let of_others: Vec<_> = (1..=u8::MAX)
            .map_while(|nth| streams.take(network(nth)))
            .collect();

        assert_eq!(of_one.len(), PUBLIC_STREAMS_OF_NETWORK + 1);
        assert_eq!(
            of_one.len() + of_others.len(),
            PUBLIC_STREAMS + SINGLE_PUBLIC_STREAMS
        );
        drop(of_one);
        assert!(streams.take(network(0)).is_some());
    }

    #[test]
    fn networks_that_take_all_they_can_leave_one_public_stream_for_each_other() {
        let streams = PublicStreams::default();
        let streams = &streams;
        let of = |nth: u8| std::iter::from_fn(move || streams.take(network(nth)));
        let taken: Vec<_> = (1..=16).map(|nth| of(nth).collect::<Vec<_>>()).collect();

        let of_each: Vec<_> = taken.iter().map(Vec::len).collect();
        assert_eq!(of_each[..8], [16; 8]);
        assert_eq!(of_each[8], 9, "the last eight that are shared, and one");
        assert_eq!(of_each[9..], [1; 7]);
        assert!(of(17).next().is_some(), "others find room");
    }

    #[tokio::test]
    async fn the_log_is_read_so_often_for_whoever_has_no_account() {
        let streams = PublicStreams::default();
        let began = tokio::time::Instant::now();

        let read = (0..6).map(|_| async { streams.turn().await.is_some() });
        let read = futures::future::join_all(read).await;

        assert!(read.into_iter().all(|is_read| is_read));
        assert!(began.elapsed() >= 3 * PUBLIC_READ_TIME);
    }

    #[test]
    fn an_account_has_its_share_of_the_places() {
        let room = Room::new(3, OF_ACCOUNT);
        let [ana, eve] = [(); 2].map(|()| UserId::fresh());
        let taken: Vec<_> = std::iter::from_fn(|| room.take(ana).ok()).collect();

        assert_eq!(taken.len(), OF_ACCOUNT);
        let other = room.take(eve);
        assert!(other.is_ok(), "others find room");
        assert!(room.take(eve).is_err(), "as long as there is some");
        drop(taken);
        assert!(room.take(eve).is_ok());
    }
}
