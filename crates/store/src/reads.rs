//! What a streaming replica reads instead of the primary (`docs/decisions/0089-what-is-read-from-a-replica.md`).
//!
//! The primary decides and writes down. What was allowed is read from the replica, once that has replayed all that was
//! durable on the primary under the decision's locks ([`LogPosition`]): then it shows nothing that the primary would not.
//! Whatever is amiss with the replica, the primary reads as before: nothing that is asked fails for it.
//!
//! Where the replica stands is asked **by a statement before the read**: a statement's snapshot is taken before what it calls,
//! and would be older than the place that the call answers.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::PgConnection;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::{Plans, Pool, StoreError, Transaction};

/// How often the replica is looked at, and tried again where it could not be used.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a connection to the replica, and its answer where it stands, may take.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How long what is read from it may take before the primary is asked, and each of its statements before the replica ends it: what is
/// waited for no more costs it nothing for long.
const READS_WITHIN: Duration = Duration::from_secs(3);
/// How long it is waited at first before the replica is asked again where it stands; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// How long nobody waits for a replica that somebody has waited for in vain.
const IMPATIENT_FOR: Duration = Duration::from_secs(1);

/// A place in the primary's log: all that anybody was told or shown until it was asked for lies before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    position: i64,
    timeline: i32,
}

impl LogPosition {
    /// Of a server that is itself in recovery there is none.
    pub(crate) fn of(position: Option<i64>, timeline: Option<i32>) -> Option<Self> {
        Some(Self {
            position: position?,
            timeline: timeline?,
        })
    }

    /// Where the primary's log is now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn now(conn: &mut PgConnection) -> Result<Option<Self>, StoreError> {
        // Of the control file, which is read from the disk each time, nothing is asked.
        let found = sqlx::query!(
            r#"SELECT
                CASE
                    WHEN pg_is_in_recovery() THEN NULL
                    WHEN current_setting('synchronous_commit') = 'off' THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
                    ELSE pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint
                END AS "written?",
                CASE
                    WHEN pg_is_in_recovery() THEN NULL
                    ELSE ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int
                END AS "timeline?""#
        )
        .fetch_one(conn)
        .await?;
        Ok(Self::of(found.written, found.timeline))
    }
}

/// Why the primary is read instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// It has not replayed far enough, and did not in the time that is waited for it.
    Behind,
    /// It does not answer, or refuses.
    Unreachable,
    /// It is a copy of another cluster.
    Foreign,
    /// It is in recovery no more: it was promoted.
    Promoted,
    /// It follows another timeline than the primary's.
    Parted,
    /// It had no connection left, ended the statement, or took too long.
    Busy,
}

impl Fallback {
    /// Them all.
    pub const ALL: [Self; 6] = [
        Self::Behind,
        Self::Unreachable,
        Self::Foreign,
        Self::Promoted,
        Self::Parted,
        Self::Busy,
    ];

    /// As it is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Unreachable => "unreachable",
            Self::Foreign => "foreign",
            Self::Promoted => "promoted",
            Self::Parted => "parted",
            Self::Busy => "busy",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Behind => 0,
            Self::Unreachable => 1,
            Self::Foreign => 2,
            Self::Promoted => 3,
            Self::Parted => 4,
            Self::Busy => 5,
        }
    }
}

/// What the replica did, and how it is.
#[derive(Debug, Clone, Copy)]
pub struct ReadsFigures {
    /// Reads that it answered.
    pub reads: u64,
    /// How often the primary was read instead, in the order of [`Fallback::ALL`].
    pub fallbacks: [u64; Fallback::ALL.len()],
    /// Why it is not asked at all; `None` where it is.
    pub unused: Option<Fallback>,
    /// How far it was behind when it was last looked at. Unit: bytes of the log.
    pub lag_bytes: i64,
    /// How long ago what it replayed last was committed, where it was behind. Unit: seconds.
    pub lag_seconds: f64,
}

/// Where reads go: to a replica, where one is named and can be used, or to the primary. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reads(Option<Arc<Replica>>);

#[derive(Debug)]
struct Replica {
    pool: Pool,
    wait: Duration,
    state: Mutex<ReplicaState>,
    reads: AtomicU64,
    fallbacks: [AtomicU64; Fallback::ALL.len()],
}

#[derive(Debug)]
struct ReplicaState {
    /// The system that both are of, where the replica may be asked, or why it may not.
    usable: Result<i64, Fallback>,
    /// When somebody waited for it in vain.
    missed: Option<Instant>,
    lag_bytes: i64,
    lag_seconds: f64,
}

impl Reads {
    /// From the primary, all.
    pub const fn of_primary() -> Self {
        Self(None)
    }

    /// From the replica of this pool, once [`Self::watch`] has seen that it can be used. A read waits this long at most for what it
    /// has not replayed.
    pub fn of_replica(pool: Pool, wait: Duration) -> Self {
        Self(Some(Arc::new(Replica {
            pool,
            wait,
            state: Mutex::new(ReplicaState {
                usable: Err(Fallback::Unreachable),
                missed: None,
                lag_bytes: 0,
                lag_seconds: 0.0,
            }),
            reads: AtomicU64::new(0),
            fallbacks: std::array::from_fn(|_| AtomicU64::new(0)),
        })))
    }

    /// Whether a replica is named.
    pub const fn has_replica(&self) -> bool {
        self.0.is_some()
    }

    /// A transaction of the replica that sees all that lies before this place, and changes nothing. `None` where the primary is to
    /// be read. What is read in it goes through [`Self::read`].
    pub async fn at(&self, written: Option<LogPosition>, plans: Plans) -> Option<Transaction> {
        let (replica, written) = (self.0.as_ref()?, written?);
        match replica.begin(written, plans).await {
            Ok(tx) => Some(tx),
            Err(why) => {
                replica.falls_back(why);
                None
            }
        }
    }

    /// What was read from the replica; `None` where it failed, and the primary is to be read.
    pub async fn read<T>(&self, reading: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        let replica = self.0.as_ref()?;
        let why = match timeout(READS_WITHIN, reading).await {
            Ok(Ok(found)) => {
                replica.reads.fetch_add(1, Ordering::Relaxed);
                return Some(found);
            }
            Ok(Err(StoreError::Unreachable(_) | StoreError::Unable { .. })) => {
                replica.is_not_usable(Fallback::Unreachable)
            }
            Ok(Err(_)) => Fallback::Busy,
            // The locks of the decision were held meanwhile: nobody else waits as long.
            Err(_) => replica.is_busy(),
        };
        replica.falls_back(why);
        None
    }

    /// What the replica did; `None` where none is named.
    pub fn figures(&self) -> Option<ReadsFigures> {
        let replica = self.0.as_ref()?;
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = replica.state();
        Some(ReadsFigures {
            reads: counted(&replica.reads),
            fallbacks: replica.fallbacks.each_ref().map(counted),
            unused: state.usable.err(),
            lag_bytes: state.lag_bytes,
            lag_seconds: state.lag_seconds,
        })
    }

    /// Looks again and again whether the replica can be used, and how far it is behind. Without one it waits for ever.
    pub async fn watch(self, primary: Pool) {
        let Some(replica) = self.0 else {
            return std::future::pending().await;
        };
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Where the primary does not answer, there is nothing to compare the replica with.
            if let Ok(Ok(found)) = timeout(ANSWERS_WITHIN, ask_primary(&primary)).await {
                replica.look(&found).await;
            }
        }
    }

    /// Closes every connection to the replica, once it is given back.
    pub async fn close(&self) {
        if let Some(replica) = &self.0 {
            replica.pool.close().await;
        }
    }
}

impl Replica {
    fn state(&self) -> MutexGuard<'_, ReplicaState> {
        // Each field is replaced as a whole, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn falls_back(&self, why: Fallback) {
        if let Some(counter) = self.fallbacks.get(why.place()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps everybody from asking it until it is looked at again.
    fn is_not_usable(&self, why: Fallback) -> Fallback {
        self.becomes(Err(why));
        why
    }

    /// The same where nobody knows what it lacks: a reason that is known already says more.
    fn is_busy(&self) -> Fallback {
        let usable = self.state().usable;
        if usable.is_ok() {
            self.becomes(Err(Fallback::Busy));
        }
        Fallback::Busy
    }

    fn becomes(&self, now: Result<i64, Fallback>) {
        let before = std::mem::replace(&mut self.state().usable, now);
        match (before, now) {
            _ if before == now => {}
            (_, Err(why)) => tracing::warn!(
                reason = why.as_str(),
                "The replica cannot be used: the primary is read"
            ),
            (Err(_), Ok(_)) => tracing::info!("Lists and documents are read from the replica"),
            (Ok(_), Ok(_)) => {}
        }
    }

    async fn begin(&self, written: LogPosition, plans: Plans) -> Result<Transaction, Fallback> {
        let (system, patience) = {
            let state = self.state();
            let is_impatient = state
                .missed
                .is_some_and(|missed| missed.elapsed() < IMPATIENT_FOR);
            let patience = if is_impatient {
                Duration::ZERO
            } else {
                self.wait
            };
            (state.usable?, patience)
        };
        let until = Instant::now() + patience;
        let mut tx =
            match timeout(ANSWERS_WITHIN, self.pool.begin_reading(plans, READS_WITHIN)).await {
                Ok(Ok(tx)) => tx,
                // Nobody else waits for a connection under the locks of a decision.
                Ok(Err(StoreError::Busy(_))) => return Err(self.is_busy()),
                Ok(Err(_)) | Err(_) => return Err(self.is_not_usable(Fallback::Unreachable)),
            };
        let mut pause = FIRST_PAUSE;
        loop {
            let standing = match timeout(ANSWERS_WITHIN, standing(&mut tx)).await {
                Ok(Ok(standing)) => standing,
                Ok(Err(StoreError::Busy(_))) => return Err(Fallback::Busy),
                Ok(Err(_)) | Err(_) => return Err(self.is_not_usable(Fallback::Unreachable)),
            };
            if let Some(why) = standing.unlike(system, written.timeline) {
                return Err(self.is_not_usable(why));
            }
            if standing.replayed >= written.position {
                return Ok(tx);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.state().missed = Some(Instant::now());
                return Err(Fallback::Behind);
            }
            sleep(pause.min(left)).await;
            pause *= 2;
        }
    }

    /// Compares it with what the primary said a moment before.
    async fn look(&self, primary: &PrimaryLogRow) {
        let Some(written) = LogPosition::of(primary.written, primary.timeline) else {
            return;
        };
        let asked = async {
            let mut tx = self
                .pool
                .begin_reading(Plans::AsUsual, ANSWERS_WITHIN)
                .await?;
            standing(&mut tx).await
        };
        let now = match timeout(ANSWERS_WITHIN, asked).await {
            Ok(Ok(standing)) => {
                let lag = written.position.saturating_sub(standing.replayed).max(0);
                let mut state = self.state();
                state.lag_bytes = lag;
                // Where nothing is written, nothing is replayed, however long.
                state.lag_seconds = if lag > 0 { standing.quiet_seconds } else { 0.0 };
                drop(state);
                let unlike = standing.unlike(primary.system, written.timeline);
                unlike.map_or(Ok(primary.system), Err)
            }
            // All its connections are taken: it is asked too much, or answers nobody. A server that cannot be connected to looks
            // alike, but for the connections.
            Ok(Err(StoreError::Busy(_))) if self.pool.figures().open > 0 => {
                self.is_busy();
                return;
            }
            Ok(Err(_)) | Err(_) => Err(Fallback::Unreachable),
        };
        self.becomes(now);
    }
}

struct PrimaryLogRow {
    written: Option<i64>,
    timeline: Option<i32>,
    system: i64,
}

async fn ask_primary(pool: &Pool) -> Result<PrimaryLogRow, StoreError> {
    let mut conn = pool.acquire().await?;
    primary(&mut conn).await
}

/// What is durable is what was told or shown to anybody; where commits do not wait for it, all that was written.
async fn primary(conn: &mut PgConnection) -> Result<PrimaryLogRow, StoreError> {
    let found = sqlx::query_as!(
        PrimaryLogRow,
        r#"SELECT
            CASE
                WHEN pg_is_in_recovery() THEN NULL
                WHEN current_setting('synchronous_commit') = 'off' THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
                ELSE pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint
            END AS "written?",
            CASE
                WHEN pg_is_in_recovery() THEN NULL
                ELSE ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int
            END AS "timeline?",
            (SELECT system_identifier FROM pg_control_system()) AS "system!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(found)
}

/// Where a server stands that is to be a replica.
struct ReplicaStanding {
    in_recovery: bool,
    replayed: i64,
    system: i64,
    timeline: i32,
    recovered_timeline: i32,
    quiet_seconds: f64,
}

impl ReplicaStanding {
    /// Why it is no replica of this system's primary on this timeline. Its control file names a timeline once it has replayed a
    /// checkpoint of it: until then a replica that changes over is not believed, and one that does not is never.
    fn unlike(&self, system: i64, timeline: i32) -> Option<Fallback> {
        if self.system != system {
            Some(Fallback::Foreign)
        } else if !self.in_recovery {
            Some(Fallback::Promoted)
        } else if self.timeline != timeline || self.recovered_timeline != timeline {
            Some(Fallback::Parted)
        } else {
            None
        }
    }
}

async fn standing(conn: &mut PgConnection) -> Result<ReplicaStanding, StoreError> {
    let found = sqlx::query_as!(
        ReplicaStanding,
        r#"SELECT
            pg_is_in_recovery() AS "in_recovery!",
            COALESCE(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint, -1) AS "replayed!",
            (SELECT system_identifier FROM pg_control_system()) AS "system!",
            (SELECT timeline_id FROM pg_control_checkpoint()) AS "timeline!",
            (SELECT min_recovery_end_timeline FROM pg_control_recovery()) AS "recovered_timeline!",
            COALESCE(
                EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp())::double precision, 0
            ) AS "quiet_seconds!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_believed_that_follows_this_system_on_this_timeline() {
        let replica = || ReplicaStanding {
            in_recovery: true,
            replayed: 7,
            system: 1,
            timeline: 2,
            recovered_timeline: 2,
            quiet_seconds: 0.0,
        };
        assert_eq!(replica().unlike(1, 2), None);
        assert_eq!(replica().unlike(9, 2), Some(Fallback::Foreign));
        assert_eq!(replica().unlike(1, 3), Some(Fallback::Parted));
        let halfway = ReplicaStanding {
            recovered_timeline: 3,
            ..replica()
        };
        assert_eq!(halfway.unlike(1, 2), Some(Fallback::Parted));
        let promoted = ReplicaStanding {
            in_recovery: false,
            ..replica()
        };
        assert_eq!(promoted.unlike(1, 2), Some(Fallback::Promoted));
    }

    #[test]
    fn each_reason_is_counted_at_its_place() {
        for (place, why) in Fallback::ALL.into_iter().enumerate() {
            assert_eq!(why.place(), place, "{}", why.as_str());
        }
    }

    #[tokio::test]
    async fn a_replica_that_kept_somebody_waiting_is_left_alone_until_it_is_looked_at() {
        let pool = crate::connect(
            "postgres://nobody@127.0.0.1:1/none",
            "test",
            crate::PoolSettings::default(),
        );
        let reads = Reads::of_replica(pool.expect("it connects later"), Duration::ZERO);
        let replica = reads.0.as_ref().expect("one is named");
        replica.becomes(Ok(1));
        assert_eq!(replica.is_busy(), Fallback::Busy);
        assert_eq!(replica.state().usable, Err(Fallback::Busy));

        replica.is_not_usable(Fallback::Unreachable);
        replica.is_busy();
        assert_eq!(replica.state().usable, Err(Fallback::Unreachable));
    }

    #[test]
    fn without_a_replica_nothing_is_told_of_one() {
        assert!(Reads::of_primary().figures().is_none());
        assert!(!Reads::of_primary().has_replica());
    }
}
