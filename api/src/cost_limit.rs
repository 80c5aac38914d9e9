//! How much each account may ask for, and each network where nobody is logged in: so much at a time, and
//! so much in a minute. The unit is the cost of a document as `crate::query_limits` counts it.
//!
//! A minute's budget is shared by all processes, and most requests touch no database for it: each
//! process lets everybody have a little by itself, and leases more of the shared budget by the chunk.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use store::{Pool, throttle::BudgetLease};
use tokio::{
    sync::{Semaphore, SemaphorePermit, oneshot},
    time::Instant,
};
use vault::digest;

use crate::{codes::ServiceLimit, error::Error, party::Party};

/// How long the budget lasts.
const MINUTE: Duration = Duration::from_secs(60);
/// Into how many leases it is divided. Each process gives one of them away by itself.
const LEASES: u64 = 20;
/// How long a request waits for others of its party, before it is refused.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How many of one party wait.
const MAX_WAITING: usize = 256;
/// How long a refusal takes.
const REFUSAL_DELAY: Duration = Duration::from_millis(250);
/// The least that a request counts as, whatever it asks: it is read, parsed, and asks the database.
const MIN_CHARGE: u64 = 10;
/// What a stream, an import or an export costs that begins, besides what it says.
pub(crate) const STREAM_COST: u64 = 500;
/// What a refusal costs: it is a row that somebody else may have to read.
const REFUSAL_COST: u64 = 2000;
/// The least that it counts as while it runs: by default 20 of one party run at a time, fewer than the database has
/// connections for, so that all others find one. Who leaves does not end what they have begun.
const MIN_WEIGHT: u64 = 500;

/// How much one party may ask for. Unit: cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CostLimits {
    /// At a time; a request that costs more runs alone. As many root fields run as it holds least weights.
    pub(crate) at_once: u64,
    /// In a minute, over all processes.
    pub(crate) a_minute: u64,
}

/// What all parties have under way in this process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct CostLimiter(Arc<SharedCosts>);

#[derive(Debug)]
struct SharedCosts {
    limits: CostLimits,
    pool: Pool,
    usages: Mutex<Usages>,
}

#[derive(Debug)]
struct Usages {
    of: HashMap<Party, Usage>,
    swept_at: Instant,
}

/// What one party has under way, and may still ask for.
#[derive(Debug)]
struct Usage {
    running: usize,
    weight: u64,
    waiting: VecDeque<(u64, oneshot::Sender<CostPermit>)>,
    root_fields: RootFieldLimit,
    /// What is left of what this process gives away by itself.
    free: u64,
    /// When that was reckoned.
    free_at: Instant,
    /// What is left of a lease.
    leased: u64,
    /// What was charged when there was nothing left. It is paid before anything else is.
    owed: u64,
    /// Until when the shared budget is known to be used up.
    exhausted_until: Option<Instant>,
}

impl Usage {
    fn fresh(limits: CostLimits, now: Instant) -> Self {
        Self {
            running: 0,
            weight: 0,
            waiting: VecDeque::new(),
            root_fields: RootFieldLimit::new(limits),
            free: limits.chunk(),
            free_at: now,
            leased: 0,
            owed: 0,
            exhausted_until: None,
        }
    }

    /// Whether it can be forgotten. What is owed is no more than a minute brings back, and it is older than that: whoever
    /// comes then finds the whole of the shared budget, as if they were new.
    fn is_idle(&self, now: Instant) -> bool {
        self.running == 0 && self.waiting.is_empty() && now > self.free_at + 2 * MINUTE
    }

    fn has_room_for(&self, weight: u64, limits: CostLimits) -> bool {
        self.running == 0 || self.weight.saturating_add(weight) <= limits.at_once
    }

    fn start(&mut self, weight: u64) {
        self.running += 1;
        self.weight = self.weight.saturating_add(weight);
    }

    /// Pays out of what is at hand; false where that is not enough.
    fn pay(&mut self, cost: u64, limits: CostLimits, now: Instant) -> bool {
        let chunk = limits.chunk();
        let elapsed = now - self.free_at;
        let regained = u128::from(chunk) * elapsed.as_micros() / MINUTE.as_micros();
        if let Ok(regained) = u64::try_from(regained)
            && regained > 0
        {
            self.free = self.free.saturating_add(regained).min(chunk);
            self.free_at = now;
        }
        self.owed -= self.take(self.owed);
        if self.owed > 0 || self.free.saturating_add(self.leased) < cost {
            return false;
        }
        self.take(cost);
        true
    }

    /// Takes as much of it as is at hand; gives how much that was.
    fn take(&mut self, cost: u64) -> u64 {
        let from_free = self.free.min(cost);
        let from_lease = self.leased.min(cost - from_free);
        self.free -= from_free;
        self.leased -= from_lease;
        from_free + from_lease
    }
}

impl CostLimits {
    fn chunk(self) -> u64 {
        (self.a_minute / LEASES).max(1)
    }

    /// In how long so much of the budget comes back.
    fn span(self, cost: u64) -> TimeDelta {
        regained_in(cost, self.a_minute, MINUTE)
    }
}

/// In how long a part of a budget comes back, all of which comes back within this time.
pub(crate) fn regained_in(part: u64, all: u64, within: Duration) -> TimeDelta {
    let micros = u128::from(part) * within.as_micros() / u128::from(all.max(1));
    TimeDelta::microseconds(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// How many root fields of one party's requests are resolved at a time: as many as requests of the least weight may
/// run. A root field may begin a transaction of its own, and one short request may hold hundreds of them.
#[derive(Debug, Clone)]
pub(crate) struct RootFieldLimit(Arc<Semaphore>);

impl RootFieldLimit {
    fn new(limits: CostLimits) -> Self {
        let at_once =
            usize::try_from(limits.at_once / MIN_WEIGHT).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(
            at_once.clamp(1, Semaphore::MAX_PERMITS),
        )))
    }

    /// Waits until one more may be resolved, in the order of asking.
    pub(crate) async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.0.acquire().await.ok()
    }
}

/// A request that runs. Its place is given to the next of its party when it is dropped.
#[derive(Debug)]
pub(crate) struct CostPermit {
    limiter: CostLimiter,
    party: Party,
    weight: u64,
    root_fields: RootFieldLimit,
}

impl CostPermit {
    /// What limits the root fields of the request and of its party's others.
    pub(crate) fn root_fields(&self) -> RootFieldLimit {
        self.root_fields.clone()
    }
}

impl Drop for CostPermit {
    fn drop(&mut self) {
        let limits = self.limiter.0.limits;
        // Declared first, so that it is dropped after the lock: who leaves meanwhile gives their place back.
        let mut left = Vec::new();
        let mut usages = self.limiter.usages();
        let Some(usage) = usages.of.get_mut(&self.party) else {
            return;
        };
        usage.running -= 1;
        usage.weight = usage.weight.saturating_sub(self.weight);
        while let Some((weight, _)) = usage.waiting.front()
            && usage.has_room_for(*weight, limits)
        {
            let Some((weight, waiter)) = usage.waiting.pop_front() else {
                break;
            };
            usage.start(weight);
            let running = Self {
                limiter: self.limiter.clone(),
                party: self.party,
                weight,
                root_fields: self.root_fields.clone(),
            };
            if let Err(unsent) = waiter.send(running) {
                left.push(unsent);
            }
        }
        drop(usages);
        drop(left);
    }
}

impl CostLimiter {
    /// With these limits; the budgets are in this database.
    pub(crate) fn new(limits: CostLimits, pool: Pool) -> Self {
        let usages = Usages {
            of: HashMap::new(),
            swept_at: Instant::now(),
        };
        Self(Arc::new(SharedCosts {
            limits,
            pool,
            usages: Mutex::new(usages),
        }))
    }

    /// Charges a request and waits until it may run.
    ///
    /// # Errors
    /// [`Error::OverBudget`], and when to try again.
    pub(crate) async fn enter(&self, party: Party, cost: u64) -> Result<CostPermit, Error> {
        if let Err(refused) = self.charge(party, cost).await {
            // Who asks again at once would otherwise take a core by being refused.
            tokio::time::sleep(REFUSAL_DELAY).await;
            return Err(refused);
        }
        let weight = cost.max(MIN_WEIGHT);
        let limits = self.0.limits;
        let turn = {
            let mut usages = self.usages();
            let usage = usages.of(party, limits);
            if usage.waiting.is_empty() && usage.has_room_for(weight, limits) {
                usage.start(weight);
                return Ok(CostPermit {
                    limiter: self.clone(),
                    party,
                    weight,
                    root_fields: usage.root_fields.clone(),
                });
            }
            if usage.waiting.len() >= MAX_WAITING {
                return Err(over_budget(MAX_WAIT, ServiceLimit::CostAtOnce));
            }
            let (waiter, turn) = oneshot::channel();
            usage.waiting.push_back((weight, waiter));
            turn
        };
        match tokio::time::timeout(MAX_WAIT, turn).await {
            Ok(Ok(running)) => Ok(running),
            Ok(Err(_)) => Err(Error::Unavailable),
            Err(_) => Err(over_budget(MAX_WAIT, ServiceLimit::CostAtOnce)),
        }
    }

    /// Charges what does not run as one request, such as a stream that begins.
    ///
    /// # Errors
    /// [`Error::OverBudget`], and when to try again.
    pub(crate) async fn charge(&self, party: Party, cost: u64) -> Result<(), Error> {
        let limits = self.0.limits;
        let cost = cost.clamp(MIN_CHARGE, limits.a_minute);
        let needed = {
            let now = Instant::now();
            let mut usages = self.usages();
            let usage = usages.of(party, limits);
            if usage.pay(cost, limits, now) {
                return Ok(());
            }
            if let Some(until) = usage.exhausted_until.filter(|until| *until > now) {
                return Err(over_budget(until - now, ServiceLimit::CostAMinute));
            }
            cost.saturating_add(usage.owed)
        };
        let chunk = limits.chunk().max(needed.min(limits.a_minute));
        let subject = digest::hex_of(format!("cost {party}").as_bytes());
        let (pool, span, all) = (
            &self.0.pool,
            limits.span(chunk),
            limits.span(limits.a_minute),
        );
        let lease = store::throttle::lease(pool, &subject, span, all).await?;
        let mut usages = self.usages();
        let usage = usages.of(party, limits);
        match lease {
            BudgetLease::Granted => {
                // The excess of what others leased meanwhile stays for the next.
                usage.leased = usage.leased.saturating_add(chunk);
                if usage.pay(cost, limits, Instant::now()) {
                    Ok(())
                } else {
                    Err(over_budget(MAX_WAIT, ServiceLimit::CostAMinute))
                }
            }
            BudgetLease::Exhausted { wait } => {
                usage.exhausted_until = Some(Instant::now() + wait);
                Err(over_budget(wait, ServiceLimit::CostAMinute))
            }
        }
    }

    /// Charges so many refusals, which have happened: where there is not so much left, they are owed.
    pub(crate) async fn charge_refusals(&self, party: Party, refused: usize) {
        if refused == 0 {
            return;
        }
        let cost = REFUSAL_COST.saturating_mul(refused as u64);
        if self.charge(party, cost).await.is_err() {
            let limits = self.0.limits;
            let mut usages = self.usages();
            let usage = usages.of(party, limits);
            // No more than a minute brings back.
            usage.owed = usage.owed.saturating_add(cost).min(limits.a_minute);
        }
    }

    fn usages(&self) -> MutexGuard<'_, Usages> {
        self.0.usages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usages {
    fn of(&mut self, party: Party, limits: CostLimits) -> &mut Usage {
        let now = Instant::now();
        self.sweep(now);
        self.of
            .entry(party)
            .or_insert_with(|| Usage::fresh(limits, now))
    }

    /// Forgets who is idle, once a minute.
    fn sweep(&mut self, now: Instant) {
        if now > self.swept_at + MINUTE {
            self.swept_at = now;
            self.of.retain(|_, usage| !usage.is_idle(now));
        }
    }
}

fn over_budget(wait: Duration, limit: ServiceLimit) -> Error {
    Error::OverBudget {
        retry_after_seconds: seconds_of(wait),
        limit,
    }
}

/// A wait as it is told: in whole seconds, and at least one.
pub(crate) fn seconds_of(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use domain::ids::UserId;
    use store::PoolSettings;

    use super::*;

    const LIMITS: CostLimits = CostLimits {
        at_once: 1000,
        a_minute: 20_000,
    };

    /// A limiter whose database is never asked.
    fn limiter() -> CostLimiter {
        let url = "postgres://nobody@192.0.2.1/nothing";
        let pool = store::connect(url, "test", PoolSettings::default()).expect("a URL");
        let limits = CostLimits {
            a_minute: 1_000_000,
            ..LIMITS
        };
        CostLimiter::new(limits, pool)
    }

    fn somebody() -> Party {
        Party::Account(UserId::fresh())
    }

    #[tokio::test]
    async fn what_costs_too_much_at_once_waits_for_its_own_alone() {
        let (limiter, ana, eve) = (limiter(), somebody(), somebody());
        let first = limiter.enter(ana, 400).await.expect("there is room");
        let second = limiter.enter(ana, 400).await.expect("for two");
        let third = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.enter(ana, 210).await }
        });
        while limiter.usages().of[&ana].waiting.is_empty() {
            tokio::task::yield_now().await;
        }

        let others = limiter.enter(eve, 900).await;
        assert!(others.is_ok(), "others have their own");
        drop(first);
        let third = third.await.expect("no panic");
        assert!(third.is_ok(), "{third:?}");
        drop((second, third, others));
        let usages = limiter.usages();
        assert!(
            usages
                .of
                .values()
                .all(|usage| usage.running == 0 && usage.weight == 0)
        );
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused_and_leaves_nothing_behind() {
        let (limiter, ana) = (limiter(), somebody());
        let running = limiter.enter(ana, 1000).await.expect("there is room");

        let refused = limiter.enter(ana, 10).await;

        assert!(
            matches!(refused, Err(Error::OverBudget { .. })),
            "{refused:?}"
        );
        drop(running);
        let again = limiter.enter(ana, 10).await;
        assert!(again.is_ok(), "{again:?}");
        drop(again);
        assert_eq!(limiter.usages().of[&ana].running, 0);
    }

    #[test]
    fn what_is_owed_is_paid_before_anything_else() {
        let now = Instant::now();
        let mut usage = Usage::fresh(LIMITS, now);
        usage.owed = 1500;

        assert!(!usage.pay(10, LIMITS, now), "500 of it are owed still");
        assert_eq!((usage.free, usage.owed), (0, 500));
        usage.leased = 600;
        assert!(usage.pay(10, LIMITS, now));
        assert_eq!((usage.leased, usage.owed), (90, 0));
    }

    #[tokio::test]
    async fn a_refusal_costs_as_much_when_nothing_is_left() {
        let (limiter, eve) = (limiter(), somebody());
        {
            let mut usages = limiter.usages();
            let usage = usages.of(eve, limiter.0.limits);
            usage.free = 0;
            usage.exhausted_until = Some(Instant::now() + MINUTE);
        }

        for _ in 0..3 {
            limiter.charge_refusals(eve, 1).await;
        }

        assert_eq!(limiter.usages().of[&eve].owed, 3 * REFUSAL_COST);
        assert!(limiter.enter(eve, 10).await.is_err());
    }

    #[test]
    fn who_owes_is_forgotten_when_their_budget_has_come_back_and_not_before() {
        let now = Instant::now();
        let mut usages = Usages {
            of: HashMap::new(),
            swept_at: now,
        };
        let [idle, running] = [somebody(), somebody()];
        for party in [idle, running] {
            usages.of(party, LIMITS).owed = LIMITS.a_minute;
        }
        usages.of(running, LIMITS).start(10);

        for (minutes, kept) in [(1, 2), (2, 2), (4, 1)] {
            usages.sweep(now + minutes * MINUTE);
            assert_eq!(usages.of.len(), kept, "after {minutes} minutes");
        }
        assert!(usages.of.contains_key(&running));
    }

    #[test]
    fn what_a_process_gives_away_comes_back_within_a_minute() {
        let now = Instant::now();
        let mut usage = Usage::fresh(LIMITS, now);

        assert!(usage.pay(1000, LIMITS, now), "a twentieth of the budget");
        assert!(!usage.pay(10, LIMITS, now));
        let later = now + MINUTE / 2;
        assert!(usage.pay(500, LIMITS, later));
        assert!(!usage.pay(10, LIMITS, later));
        usage.leased = 100;
        assert!(usage.pay(100, LIMITS, later));
        assert!(!usage.pay(10, LIMITS, later));
        assert!(
            usage.pay(1000, LIMITS, later + 9 * MINUTE),
            "and no more than that"
        );
        assert!(!usage.pay(10, LIMITS, later + 9 * MINUTE));
    }
}
