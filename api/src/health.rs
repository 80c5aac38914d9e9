//! Whether the process can do its work, and whether the work of all comes to its end.
//!
//! [`HealthMonitor`] looks at regular intervals, by doing what requests do; `/health/ready` and
//! `/health/serving` (`crate::readiness`) only tell what it saw, so that asking costs the database nothing. They are for machines:
//! what they say holds no address and nothing of a record.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chain::{Client, Signers};
use chrono::TimeDelta;
use domain::clock::{Ahead, Clock};
use serde::Serialize;
use store::{
    PgConnection, Pool, PoolSettings, StoreError,
    cursor::Registry,
    health::{self, Probed},
};
use tokio_util::sync::CancellationToken;
use vault::keyring::Keyring;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);
/// How often while another api stands in: when that one stops, nobody else serves.
const EVERY_BESIDE_STAND_IN: Duration = Duration::from_millis(500);
/// How long the database may take.
const DATABASE_WITHIN: Duration = Duration::from_secs(4);
/// How long the token of the master keys may take.
const KEYS_WITHIN: Duration = Duration::from_secs(4);
/// How long what was seen counts.
const VALID_FOR: Duration = Duration::from_secs(15);
/// How far the clocks may be apart without a word.
const CLOCK_WARNED: TimeDelta = TimeDelta::seconds(5);
/// How far they may be apart at all.
pub(crate) const CLOCK_REFUSED: TimeDelta = TimeDelta::seconds(60);

/// What is wrong with each part; nothing where it is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FailingParts {
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<String>,
    /// The token that holds master keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    indexer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The accounts that sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    signers: Option<String>,
    /// Whether another api that serves has the keys of all of them.
    #[serde(skip)]
    has_stand_in: bool,
    /// Not looked at, but told to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<String>,
}

impl FailingParts {
    /// The names of the parts that are looked at and are not well.
    pub(crate) fn failing(&self) -> Vec<&'static str> {
        let parts = [
            ("database", &self.database),
            ("clock", &self.clock),
            ("keys", &self.keys),
            ("indexer", &self.indexer),
            ("node", &self.node),
            ("signers", &self.signers),
        ];
        let failing = parts.iter().filter(|(_, why)| why.is_some());
        failing.map(|(name, _)| *name).collect()
    }

    /// Whether requests can be served. One that lacks the key of an account in use refuses some: it serves where no other one does all.
    pub(crate) const fn can_serve(&self) -> bool {
        self.database.is_none()
            && self.clock.is_none()
            && self.keys.is_none()
            && self.process.is_none()
            && (self.signers.is_none() || !self.has_stand_in)
    }

    /// Whether what is served comes to its end, too.
    pub(crate) const fn is_ready(&self) -> bool {
        self.can_serve() && self.indexer.is_none() && self.node.is_none() && self.signers.is_none()
    }
}

/// Whether the audit trail is pinned in the registry. It fails nothing that is asked of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum CheckpointState {
    /// There is no key for it.
    #[default]
    Off,
    /// It is.
    On,
    /// The node does not answer, or not as it should.
    Node,
    /// Two nodes say different things of what is to be signed or given up.
    NodesDiffer,
    /// The database does not.
    Database,
    /// The registry is paused.
    Paused,
    /// The account has not the role.
    NotAllowed,
    /// The node takes none: the account has too little for the fee, the fee is too low, or it is in no block for minutes.
    NotTaken,
    /// The registry holds what this trail never was, or nodes of the tree are missing.
    Contradiction,
}

impl CheckpointState {
    /// As it is told.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::On => "ON",
            Self::Node => "NODE",
            Self::NodesDiffer => "NODES_DIFFER",
            Self::Database => "DATABASE",
            Self::Paused => "PAUSED",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotTaken => "NOT_TAKEN",
            Self::Contradiction => "CONTRADICTION",
        }
    }
}

#[derive(Debug)]
struct Observation {
    parts: FailingParts,
    at: Instant,
}

/// What was seen last. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    observed: Arc<Mutex<Observation>>,
    checkpoints: Arc<Mutex<CheckpointState>>,
    draining: CancellationToken,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            observed: Arc::new(Mutex::new(Observation {
                parts: FailingParts {
                    database: Some("not looked at yet".to_owned()),
                    ..FailingParts::default()
                },
                at: Instant::now(),
            })),
            checkpoints: Arc::default(),
            draining: CancellationToken::new(),
        }
    }
}

impl Health {
    fn seen(&self) -> MutexGuard<'_, Observation> {
        // What is held is replaced as a whole, so a panic elsewhere leaves it whole.
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether checkpoints are pinned.
    pub(crate) fn checkpoints(&self) -> CheckpointState {
        let state = self.checkpoints.lock();
        *state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether they are; gives what was told before.
    pub(crate) fn set_checkpoints(&self, now: CheckpointState) -> CheckpointState {
        let state = self.checkpoints.lock();
        std::mem::replace(&mut *state.unwrap_or_else(PoisonError::into_inner), now)
    }

    /// Cancelled when this process was told to stop: it still serves, and is not ready from then on.
    pub(crate) const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// What is failing now.
    pub(crate) fn parts(&self) -> FailingParts {
        let seen = self.seen();
        let mut parts = seen.parts.clone();
        let age = seen.at.elapsed();
        if age > VALID_FOR {
            parts.database = Some(format!("not looked at for {} s", age.as_secs()));
        }
        if self.draining.is_cancelled() {
            parts.process = Some("told to stop: send no more requests".to_owned());
        }
        parts
    }

    fn record(&self, parts: FailingParts) {
        let before = std::mem::replace(
            &mut *self.seen(),
            Observation {
                parts: parts.clone(),
                at: Instant::now(),
            },
        );
        let before = before.parts;
        log_change("database", before.database, parts.database);
        log_change("clock", before.clock, parts.clock);
        log_change("keys", before.keys, parts.keys);
        log_change("indexer", before.indexer, parts.indexer);
        log_change("node", before.node, parts.node);
        log_change("signers", before.signers, parts.signers);
    }
}

/// Logs a change of one part.
fn log_change(part: &str, before: Option<String>, now: Option<String>) {
    match (before, now) {
        (None, Some(why)) => tracing::error!(part, "Not ready: {why}"),
        (Some(_), None) => tracing::info!(part, "Well"),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// Looks at everything that the work needs.
#[derive(Debug)]
pub(crate) struct HealthMonitor {
    /// Where the database is: a connection of its own tells even where the pool has none left.
    pub(crate) url: String,
    /// The limits of that connection.
    pub(crate) settings: PoolSettings,
    /// The connections that requests use.
    pub(crate) pool: Pool,
    /// Which registry an indexer is to follow.
    pub(crate) registry: Registry,
    /// The chain's node.
    pub(crate) client: Client,
    /// The master keys, which a token may hold.
    pub(crate) keyring: Arc<Keyring>,
    /// The accounts that sign.
    pub(crate) signers: Signers,
    /// The database's clock, kept here.
    pub(crate) clock: &'static Ahead,
    /// How old the newest block may be; `None` for any age.
    pub(crate) head_age: Option<Duration>,
    /// How long the indexers or the node may be silent.
    pub(crate) silence: Duration,
    /// Where it is told.
    pub(crate) health: Health,
}

/// Since when something is missed.
struct LastSeen(Instant);

impl LastSeen {
    fn is_there(&mut self) {
        self.0 = Instant::now();
    }

    fn longer_than(&self, silence: Duration, what: impl Display) -> Option<String> {
        (self.0.elapsed() > silence)
            .then(|| format!("{what} for more than {} s", silence.as_secs()))
    }
}

impl HealthMonitor {
    /// Looks again and again.
    pub(crate) async fn run(self) {
        let mut conn = None;
        let mut leader = LastSeen(Instant::now());
        let mut node = LastSeen(Instant::now());
        let mut was_apart = false;
        loop {
            let was_draining = self.health.draining().is_cancelled();
            let (database, head, keys) = tokio::join!(
                self.database(&mut conn),
                self.client.head(),
                self.failing_keys()
            );
            let mut parts = FailingParts {
                keys,
                signers: self.lacking_signers(),
                ..FailingParts::default()
            };
            match database {
                Ok((probed, has_stand_in)) => {
                    let Probed { clock, led_ago } = probed;
                    parts.has_stand_in = has_stand_in;
                    self.clock.measured(clock.ahead, clock.uncertain);
                    let is_apart = clock.ahead.abs() > CLOCK_WARNED;
                    if is_apart && !was_apart {
                        let seconds = clock.ahead.num_seconds();
                        tracing::warn!(seconds, "The database's clock is ahead of this machine's");
                    }
                    was_apart = is_apart;
                    parts.clock = (clock.ahead.abs() > CLOCK_REFUSED).then(|| {
                        format!(
                            "the database's is {} s ahead of this machine's",
                            clock.ahead.num_seconds()
                        )
                    });
                    if led_ago.is_some_and(|seconds| seconds < self.silence.as_secs_f64()) {
                        leader.is_there();
                    }
                }
                Err(why) => {
                    conn = None;
                    parts.database = Some(why);
                }
            }
            // Who cannot be asked about is not to blame.
            if parts.database.is_none() {
                parts.indexer = leader.longer_than(self.silence, "none has led");
            }
            parts.node = match head {
                Ok(head) => {
                    node.is_there();
                    self.stale_head(head.timestamp)
                }
                Err(_) => node.longer_than(self.silence, "it has not answered"),
            };
            let every = if parts.has_stand_in {
                EVERY_BESIDE_STAND_IN
            } else {
                EVERY
            };
            self.health.record(parts);
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                // The others are told at once that this one stands in for none of them any more.
                () = self.health.draining().cancelled(), if !was_draining => {}
            }
        }
    }

    /// Why versions of some records are refused here; nothing where this process has the key of each account in use.
    fn lacking_signers(&self) -> Option<String> {
        let lacking = self.signers.lacking();
        (lacking > 0).then(|| {
            format!(
                "{lacking} account(s) in use whose keys are not here: see `meditrustal signer status`"
            )
        })
    }

    fn stale_head(&self, made: u64) -> Option<String> {
        let now = Clock::Other(self.clock).now().timestamp();
        let age = u64::try_from(now).unwrap_or_default().saturating_sub(made);
        let most = self.head_age?.as_secs();
        (age > most).then(|| format!("its newest block is {age} s old"))
    }

    /// Why master keys cannot be used; nothing where they are in a file, which was read.
    async fn failing_keys(&self) -> Option<String> {
        let answer = self.keyring.require_answer();
        match tokio::time::timeout(KEYS_WITHIN, answer).await {
            Ok(answer) => answer.err().map(|error| error.to_string()),
            Err(_) => Some("the token that holds the master keys takes too long".to_owned()),
        }
    }

    /// Why the database does not do what requests ask of it; or what it says, and whether another api has all keys where this one
    /// lacks any.
    async fn database(&self, conn: &mut Option<PgConnection>) -> Result<(Probed, bool), String> {
        let work = async {
            let conn = if let Some(conn) = conn {
                conn
            } else {
                let made = health::connect(&self.url, "meditrustal health", &self.settings).await?;
                conn.insert(made)
            };
            let probed = health::probe(conn, &self.registry).await?;
            let has_all = self.signers.lacking() == 0 && self.health.parts().can_serve();
            let has_stand_in = health::tell_of_signers(conn, has_all).await?;
            Ok::<_, StoreError>((probed, has_stand_in))
        };
        let probed = match in_time(work).await {
            Ok(probed) => probed,
            Err(error) => {
                // It may be inside a transaction that was begun and not ended.
                *conn = None;
                return Err(error);
            }
        };
        // That all are taken is no fault: who comes then is told to come again.
        let pooled = async {
            let mut tx = self.pool.begin().await?;
            store::users::now(&mut tx).await?;
            tx.commit().await
        };
        match tokio::time::timeout(DATABASE_WITHIN, pooled).await {
            Ok(Ok(()) | Err(StoreError::Busy(_))) | Err(_) => Ok(probed),
            Ok(Err(error)) => Err(error.to_string()),
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match tokio::time::timeout(DATABASE_WITHIN, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the database does not answer in time".to_owned()),
    }
}
