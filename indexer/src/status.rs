//! What the operator sees of a running indexer: one value, written by the loop, read by the health
//! endpoints.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chain::EndpointHealth;
use chrono::TimeDelta;
use domain::clock::Clock;
use serde::Serialize;

/// How long the node or the database may be silent before we are not ready.
const MAX_SILENCE: Duration = Duration::from_secs(15);

/// How far behind we may be and still be ready. Unit: blocks.
const MAX_READY_LAG: u64 = 64;

/// How long the loop may take for one round and still count as alive.
const MAX_ROUND: Duration = Duration::from_mins(2);

/// How far the database's clock and ours may be apart. Unit: seconds.
const MAX_APART: i64 = 60;

/// How far they may be apart without a word. Unit: seconds.
const APART_TOLD: i64 = 5;

/// The upper bounds by which the depth of a reorganisation is told: those below finality, and deeper ones. Unit: blocks.
pub(crate) const DEPTHS: [(u64, &str); 7] = [
    (1, "1"),
    (2, "2"),
    (6, "6"),
    (12, "12"),
    (32, "32"),
    (64, "64"),
    (u64::MAX, "more"),
];

/// Which of [`DEPTHS`] a reorganisation counts to.
fn depth_class(depth: u64) -> usize {
    let bounds = DEPTHS.iter();
    bounds.take_while(|(bound, _)| *bound < depth).count()
}

/// What is wrong with clocks that are so far apart.
pub(crate) fn clock_trouble(ahead: TimeDelta) -> Option<String> {
    (ahead.num_seconds().abs() > MAX_APART).then(|| {
        format!(
            "the database's clock is {} s ahead of this machine's: set the one that is wrong",
            ahead.num_seconds()
        )
    })
}

/// What this process is just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LeadershipRole {
    /// Not yet anything.
    Starting,
    /// Another one leads; this one takes over when it ends.
    Standby,
    /// It follows the chain.
    Leader,
}

impl LeadershipRole {
    /// As it is told.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Leader => "leader",
        }
    }
}

/// Who leads while this process stands by.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaderReport {
    holder: String,
    /// How long ago it renewed its lease.
    lease_age_seconds: f64,
}

/// What is known of a node that tells of new blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionHealth {
    /// Whether it is listened to now.
    pub(crate) is_connected: bool,
    /// Of how many blocks it has told.
    pub(crate) heads: u64,
    /// How often the line ended, or could not be begun.
    pub(crate) failures: u64,
    /// Why, the last time, while it is not listened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
}

#[derive(Debug)]
struct StatusData {
    role: LeadershipRole,
    /// Who leads, where it is another process.
    leader: Option<LeaderReport>,
    /// The nodes, in the order in which they were named.
    nodes: Vec<EndpointHealth>,
    /// Those that tell of new blocks, in the order in which they were named.
    subscriptions: Vec<SubscriptionHealth>,
    head: u64,
    /// When the newest block was made. Unit: seconds since 1970. `None` before there was one.
    head_made: Option<u64>,
    /// How old it may be.
    head_age: Option<Duration>,
    /// How far the database's clock is ahead of ours.
    ahead: TimeDelta,
    finalized: u64,
    cursor: u64,
    sequence: u64,
    events: u64,
    confirmed: u64,
    findings_opened: u64,
    findings_resolved: u64,
    reorgs: u64,
    deepest_reorg: u64,
    /// How many reorganisations there were, by [`DEPTHS`].
    reorg_depths: [u64; DEPTHS.len()],
    /// Since when events are counted, how many there were then, and the last rate.
    counted: (Instant, u64),
    events_per_second: f64,
    /// Why nothing more is applied, by a name that does not change.
    halted: Option<&'static str>,
    last_error: Option<String>,
    last_good: Option<Instant>,
    last_round: Instant,
    began: Instant,
}

/// A snapshot, as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthReport {
    pub(crate) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    role: LeadershipRole,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<LeaderReport>,
    head: u64,
    finalized: u64,
    cursor: u64,
    lag_blocks: u64,
    /// How old the chain's newest block is. `None` before there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    head_age_seconds: Option<i64>,
    sequence: u64,
    events_applied: u64,
    events_per_second: f64,
    anchors_confirmed: u64,
    findings_opened: u64,
    findings_resolved: u64,
    reorgs: u64,
    deepest_reorg_blocks: u64,
    /// How many there were, by their depth in blocks at most; none for what did not happen.
    reorgs_by_depth: BTreeMap<&'static str, u64>,
    nodes: Vec<EndpointHealth>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions: Vec<SubscriptionHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    halted: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// The same in numbers, as it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatusFigures {
    pub(crate) is_ready: bool,
    pub(crate) role: &'static str,
    pub(crate) halted: Option<&'static str>,
    /// The newest block. Unit: the block's number, as of the next two.
    pub(crate) head: u64,
    pub(crate) finalized: u64,
    pub(crate) cursor: u64,
    /// Unit: blocks.
    pub(crate) lag: u64,
    /// How old the newest block is; `None` before there was one. Unit: seconds.
    pub(crate) head_age_seconds: Option<f64>,
    /// Since when no round did what it should. Unit: seconds.
    pub(crate) silent_seconds: f64,
    /// How far the database's clock is ahead. Unit: seconds.
    pub(crate) ahead_seconds: f64,
    pub(crate) events: u64,
    pub(crate) confirmed: u64,
    pub(crate) findings_opened: u64,
    pub(crate) findings_resolved: u64,
    pub(crate) reorgs: u64,
    /// Unit: blocks.
    pub(crate) deepest_reorg: u64,
    /// How many reorganisations there were, by [`DEPTHS`].
    pub(crate) reorg_depths: [u64; DEPTHS.len()],
}

/// Shared between the loop and the health endpoints.
#[derive(Debug, Clone)]
pub(crate) struct Status(Arc<Mutex<StatusData>>);

impl Status {
    /// `head_age` is how old the newest block may be; `None` for any age.
    pub(crate) fn new(head_age: Option<Duration>) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(StatusData {
            role: LeadershipRole::Starting,
            leader: None,
            nodes: Vec::new(),
            subscriptions: Vec::new(),
            head: 0,
            head_made: None,
            head_age,
            ahead: TimeDelta::zero(),
            finalized: 0,
            cursor: 0,
            sequence: 0,
            events: 0,
            confirmed: 0,
            findings_opened: 0,
            findings_resolved: 0,
            reorgs: 0,
            deepest_reorg: 0,
            reorg_depths: [0; DEPTHS.len()],
            counted: (now, 0),
            events_per_second: 0.0,
            halted: None,
            last_error: None,
            last_good: None,
            last_round: now,
            began: now,
        })))
    }

    /// A value of plain numbers is whole even if a writer panicked.
    fn known(&self) -> MutexGuard<'_, StatusData> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is(&self, role: LeadershipRole) {
        let mut known = self.known();
        known.role = role;
        if role != LeadershipRole::Standby {
            known.leader = None;
        }
    }

    /// Who leads, and how old its lease is. Gives whether that is another one than before.
    pub(crate) fn led_by(&self, holder: &str, lease_age_seconds: f64) -> bool {
        let now = LeaderReport {
            holder: holder.to_owned(),
            lease_age_seconds: (lease_age_seconds * 10.0).round() / 10.0,
        };
        let before = self.known().leader.replace(now);
        before.is_none_or(|before| before.holder != holder)
    }

    /// How the nodes do.
    pub(crate) fn nodes(&self, nodes: Vec<EndpointHealth>) {
        self.known().nodes = nodes;
    }

    /// How the nodes do, in the order in which they were named.
    pub(crate) fn node_health(&self) -> Vec<EndpointHealth> {
        self.known().nodes.clone()
    }

    /// How those that tell of new blocks do, in the order in which they were named.
    pub(crate) fn subscription_health(&self) -> Vec<SubscriptionHealth> {
        self.known().subscriptions.clone()
    }

    /// Changes what is known of one that tells of new blocks; gives what comes of it.
    fn of_subscription<T>(
        &self,
        place: usize,
        change: impl FnOnce(&mut SubscriptionHealth) -> T,
    ) -> T {
        let mut known = self.known();
        if known.subscriptions.len() <= place {
            known.subscriptions.resize_with(place + 1, Default::default);
        }
        change(&mut known.subscriptions[place])
    }

    /// This one is listened to from now on.
    pub(crate) fn hears(&self, place: usize) {
        self.of_subscription(place, |it| (it.is_connected, it.last_error) = (true, None));
    }

    /// None is listened to any more: this process does not lead.
    pub(crate) fn hears_nobody(&self) {
        for it in &mut self.known().subscriptions {
            it.is_connected = false;
        }
    }

    /// This one has told of a block.
    pub(crate) fn heard(&self, place: usize) {
        self.of_subscription(place, |it| it.heads += 1);
    }

    /// This one is not listened to any more. Gives whether this is news.
    pub(crate) fn hears_no_more(&self, place: usize, why: String) -> bool {
        self.of_subscription(place, |it| {
            it.is_connected = false;
            it.failures += 1;
            it.last_error.replace(why).is_none()
        })
    }

    /// When the newest block was made. Unit: seconds since 1970.
    pub(crate) fn head_was_made(&self, at: u64) {
        self.known().head_made = Some(at);
    }

    /// How far the database's clock is ahead of ours.
    pub(crate) fn clock(&self, ahead: TimeDelta) {
        let before = std::mem::replace(&mut self.known().ahead, ahead);
        let is_apart = |by: TimeDelta| by.num_seconds().abs() > APART_TOLD;
        if is_apart(ahead) && !is_apart(before) {
            let seconds = ahead.num_seconds();
            tracing::warn!(seconds, "The database's clock is ahead of this machine's");
        }
    }

    /// The node answered.
    pub(crate) fn saw_head(&self, head: u64, finalized: u64) {
        let mut known = self.known();
        (known.head, known.finalized) = (head, finalized);
    }

    pub(crate) fn at(&self, cursor: u64, sequence: u64) {
        let mut known = self.known();
        (known.cursor, known.sequence) = (cursor, sequence);
    }

    pub(crate) fn applied(&self, events: u64, confirmed: u64, findings: u64) {
        let mut known = self.known();
        known.events += events;
        known.confirmed += confirmed;
        known.findings_opened += findings;
    }

    pub(crate) fn swept(&self, opened: u64, resolved: u64) {
        let mut known = self.known();
        known.findings_opened += opened;
        known.findings_resolved += resolved;
    }

    pub(crate) fn reorged(&self, depth: u64) {
        let mut known = self.known();
        known.reorgs += 1;
        known.deepest_reorg = known.deepest_reorg.max(depth);
        if let Some(count) = known.reorg_depths.get_mut(depth_class(depth)) {
            *count += 1;
        }
    }

    /// A round of the loop that did what it should. Gives whether it is the first since trouble.
    pub(crate) fn good(&self) -> bool {
        let mut known = self.known();
        let now = Instant::now();
        let (since, count) = known.counted;
        let seconds = now.duration_since(since).as_secs_f64();
        if seconds >= 1.0 {
            // Exact below 2^53 events, and it is only shown.
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let events = (known.events - count) as f64;
            known.events_per_second = (events / seconds * 10.0).round() / 10.0;
            known.counted = (now, known.events);
        }
        let recovered = known.last_good.is_none() || known.last_error.is_some();
        known.last_good = Some(now);
        known.last_round = now;
        known.last_error = None;
        known.halted = None;
        recovered
    }

    /// A round that did not. Gives whether this is news.
    pub(crate) fn bad(&self, error: String, halted: Option<&'static str>) -> bool {
        let mut known = self.known();
        let news = known.last_error.as_ref() != Some(&error);
        known.last_error = Some(error);
        known.halted = halted;
        known.last_round = Instant::now();
        news
    }

    /// The loop goes round, whatever comes of it.
    pub(crate) fn round(&self) {
        self.known().last_round = Instant::now();
    }

    pub(crate) fn alive(&self) -> bool {
        self.known().last_round.elapsed() < MAX_ROUND
    }

    pub(crate) fn figures(&self) -> StatusFigures {
        let known = self.known();
        let lag = known.head.saturating_sub(known.cursor);
        StatusFigures {
            is_ready: not_ready(&known, lag).is_none(),
            role: known.role.as_str(),
            halted: known.halted,
            head: known.head,
            finalized: known.finalized,
            cursor: known.cursor,
            lag,
            head_age_seconds: known
                .head_made
                .map(|made| metrics::number(age(&known, made))),
            silent_seconds: known
                .last_good
                .unwrap_or(known.began)
                .elapsed()
                .as_secs_f64(),
            ahead_seconds: known.ahead.as_seconds_f64(),
            events: known.events,
            confirmed: known.confirmed,
            findings_opened: known.findings_opened,
            findings_resolved: known.findings_resolved,
            reorgs: known.reorgs,
            deepest_reorg: known.deepest_reorg,
            reorg_depths: known.reorg_depths,
        }
    }

    pub(crate) fn report(&self) -> HealthReport {
        let known = self.known();
        let lag = known.head.saturating_sub(known.cursor);
        let reason = not_ready(&known, lag);
        HealthReport {
            ready: reason.is_none(),
            reason,
            role: known.role,
            leader: known.leader.clone(),
            head: known.head,
            finalized: known.finalized,
            cursor: known.cursor,
            lag_blocks: lag,
            head_age_seconds: known.head_made.map(|made| age(&known, made)),
            sequence: known.sequence,
            events_applied: known.events,
            events_per_second: known.events_per_second,
            anchors_confirmed: known.confirmed,
            findings_opened: known.findings_opened,
            findings_resolved: known.findings_resolved,
            reorgs: known.reorgs,
            deepest_reorg_blocks: known.deepest_reorg,
            reorgs_by_depth: DEPTHS
                .into_iter()
                .zip(known.reorg_depths)
                .filter(|(_, count)| *count > 0)
                .map(|((_, name), count)| (name, count))
                .collect(),
            nodes: known.nodes.clone(),
            subscriptions: known.subscriptions.clone(),
            halted: known.halted,
            last_error: known.last_error.clone(),
        }
    }
}

/// How old a block is, by the database's clock. Unit: seconds.
fn age(known: &StatusData, made: u64) -> i64 {
    let now = (Clock::System.now() + known.ahead).timestamp();
    i64::try_from(made).map_or(0, |made| (now - made).max(0))
}

fn not_ready(known: &StatusData, lag: u64) -> Option<String> {
    let silent = known.last_good.is_none_or(|at| at.elapsed() > MAX_SILENCE);
    if silent || known.halted.is_some() {
        let why = known
            .last_error
            .as_deref()
            .unwrap_or("nothing was read from the chain yet");
        return Some(why.to_owned());
    }
    if let Some(error) = clock_trouble(known.ahead) {
        return Some(error);
    }
    if let Some(error) = stuck(known) {
        return Some(error);
    }
    (known.role == LeadershipRole::Leader && lag > MAX_READY_LAG)
        .then(|| format!("catching up: {lag} blocks behind"))
}

fn stuck(known: &StatusData) -> Option<String> {
    if known.role != LeadershipRole::Leader {
        return None;
    }
    let now = (Clock::System.now() + known.ahead).timestamp();
    let now = u64::try_from(now).unwrap_or_default();
    let age = now.saturating_sub(known.head_made?);
    let most = known.head_age?.as_secs();
    (age > most).then(|| format!("the node is stuck: its newest block is {age} s old"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reorganisations_are_counted_by_their_depth() {
        for (depth, class) in [
            (0, "1"),
            (1, "1"),
            (2, "2"),
            (3, "6"),
            (6, "6"),
            (7, "12"),
            (64, "64"),
            (65, "more"),
            (u64::MAX, "more"),
        ] {
            assert_eq!(DEPTHS[depth_class(depth)].1, class, "{depth}");
        }
        let status = Status::new(None);
        status.reorged(4);
        status.reorged(5);
        let wanted = BTreeMap::from([("6", 2)]);
        assert_eq!(status.report().reorgs_by_depth, wanted);
    }

    #[test]
    fn readiness_follows_what_happened() {
        let status = Status::new(Some(Duration::from_secs(60)));
        assert!(!status.report().ready, "nothing was read yet");

        status.is(LeadershipRole::Leader);
        status.saw_head(100, 90);
        status.at(10, 3);
        assert!(status.good(), "the first good round is news");
        assert_eq!(
            status.report().reason.as_deref(),
            Some("catching up: 90 blocks behind")
        );

        status.at(100, 3);
        assert!(!status.good(), "the second is not");
        assert!(status.report().ready);

        assert!(status.bad("gone".to_owned(), None), "trouble is news once");
        assert!(!status.bad("gone".to_owned(), None));
        assert!(status.report().ready, "a hiccup is no outage");

        status.clock(TimeDelta::minutes(2));
        let reason = status.report().reason.unwrap_or_default();
        assert!(reason.contains("120 s ahead"), "{reason}");
        status.clock(TimeDelta::zero());
        status.head_was_made(1_700_000_000);
        let reason = status.report().reason.unwrap_or_default();
        assert!(reason.contains("stuck"), "{reason}");
        let now = Clock::System.now().timestamp();
        status.head_was_made(u64::try_from(now).expect("after 1970"));
        assert!(status.report().ready);

        status.bad("undone".to_owned(), Some("REORG_BELOW_FINALITY"));
        let report = status.report();
        assert_eq!(
            (report.ready, report.reason.as_deref()),
            (false, Some("undone"))
        );
        assert!(status.good());
        assert!(status.report().ready);
    }
}
