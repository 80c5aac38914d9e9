//! Which of several nodes is asked: one, until it fails. Then it rests, longer each time, and the one takes its place that may be
//! asked first. The indexer goes by this for a whole round, [`Client`](crate::Client) for each call.

use std::time::{Duration, Instant};

use domain::ids::RequestId;

/// The longest rest of one that fails again and again, where it does not ask for a longer one.
pub const MAX_REST: Duration = Duration::from_secs(5);

/// How much of a rest is left to chance, so that those who wait do not all come back at once: a fifth. Unit: parts.
const JITTER_PARTS: u32 = 5;

/// How often in a row one fails until it counts as gone while it rests: for some seconds by then. Unit: failures.
const GONE_AFTER: u32 = 4;

/// Whether a node is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointRest {
    /// It is not.
    None,
    /// It has just failed: what nobody else says it is asked all the same.
    Brief,
    /// It is gone, or has asked to be left alone.
    Long,
}

/// What is known of a node, by its place in the list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHealth {
    /// Whether it is the one that is asked.
    pub is_used: bool,
    /// Whether it did what it should when it was last asked.
    pub is_well: bool,
    /// Whether it is left alone for a while, because it did not.
    #[serde(skip)]
    pub rest: EndpointRest,
    /// How often it did not.
    pub failures: u64,
    /// Why, the last time, while it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// One node.
#[derive(Debug, Clone, Default)]
struct EndpointState {
    /// How often it has failed since it last did what it should.
    failures_in_a_row: u32,
    /// Until when it is left alone.
    rests_until: Option<Instant>,
    /// Until when it asked to be left alone.
    asked_until: Option<Instant>,
    failures: u64,
    last_error: Option<String>,
}

/// All of them; one is asked, until it fails.
#[derive(Debug, Clone)]
pub struct Failover {
    all: Vec<EndpointState>,
    used: usize,
    first_rest: Duration,
}

impl Failover {
    /// So many nodes; the first is asked first. `first_rest` is how long one rests that has failed once.
    pub fn new(count: usize, first_rest: Duration) -> Self {
        Self {
            all: (0..count.max(1))
                .map(|_| EndpointState::default())
                .collect(),
            used: 0,
            first_rest,
        }
    }

    /// The place of the one that is asked.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Asks this one from now on.
    pub fn use_other(&mut self, place: usize) {
        if place < self.all.len() && place != self.used {
            tracing::info!(
                "Asking node {} instead of node {}",
                place + 1,
                self.used + 1
            );
            self.used = place;
        }
    }

    /// This one did what it should.
    pub fn succeeded(&mut self, place: usize) {
        if let Some(it) = self.all.get_mut(place) {
            (it.failures_in_a_row, it.last_error) = (0, None);
            (it.rests_until, it.asked_until) = (None, None);
        }
    }

    /// This one did not: it rests, at least as long as it asked for, and where it is the one that is asked, the one takes its
    /// place that may be asked first. Gives how long until then.
    pub fn failed(&mut self, place: usize, error: String, asked_for: Option<Duration>) -> Duration {
        let now = Instant::now();
        let first_rest = self.first_rest;
        if let Some(it) = self.all.get_mut(place) {
            let rest = first_rest
                .saturating_mul(1_u32 << it.failures_in_a_row.min(16))
                .min(MAX_REST.max(first_rest));
            let rest = jittered(rest).max(asked_for.unwrap_or_default());
            it.failures_in_a_row = it.failures_in_a_row.saturating_add(1);
            it.failures += 1;
            it.rests_until = Some(now + rest);
            it.asked_until = asked_for.map(|rest| now + rest);
            it.last_error = Some(error);
        }
        let wait_of = |it: &EndpointState| {
            let until = it.rests_until.unwrap_or(now);
            until.saturating_duration_since(now)
        };
        let used = self.used;
        let next = self.all.iter().enumerate();
        let next = next.min_by_key(|&(place, it)| (wait_of(it), place == used));
        let (next, wait) = next.map_or((used, Duration::ZERO), |(place, it)| (place, wait_of(it)));
        if place == used {
            self.use_other(next);
        }
        wait
    }

    /// Asks the next one of the list, where this one is asked although it rests, because all do: it failed again, and one of the
    /// others may be back before its rest is over. One that asked to be left alone is.
    pub fn pass_on(&mut self, place: usize) {
        let count = self.all.len();
        if place != self.used {
            return;
        }
        let mut others = (1..count).map(|step| (place + step) % count);
        if let Some(next) = others.find(|&next| self.asked_to_wait(next).is_none()) {
            self.used = next;
        }
    }

    /// Whether this one has failed and still rests.
    pub fn is_resting(&self, place: usize) -> bool {
        let until = self.all.get(place).and_then(|it| it.rests_until);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// How much longer this one has asked to be left alone.
    pub fn asked_to_wait(&self, place: usize) -> Option<Duration> {
        let until = self.all.get(place).and_then(|it| it.asked_until)?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn rest_of(&self, place: usize, it: &EndpointState) -> EndpointRest {
        if !self.is_resting(place) {
            EndpointRest::None
        } else if self.asked_to_wait(place).is_none() && it.failures_in_a_row < GONE_AFTER {
            EndpointRest::Brief
        } else {
            EndpointRest::Long
        }
    }

    /// What is known of each.
    pub fn health(&self) -> Vec<EndpointHealth> {
        let all = self.all.iter().enumerate();
        all.map(|(place, it)| EndpointHealth {
            is_used: place == self.used,
            is_well: it.last_error.is_none(),
            rest: self.rest_of(place, it),
            failures: it.failures,
            last_error: it.last_error.clone(),
        })
        .collect()
    }
}

/// A rest, shorter or longer by up to a fifth.
pub fn jittered(rest: Duration) -> Duration {
    by_chance(rest, RequestId::fresh().0.as_u128())
}

fn by_chance(rest: Duration, chance: u128) -> Duration {
    let part = rest / JITTER_PARTS;
    // The last bits of an identifier are random.
    let thousandths = u32::try_from(chance % 2_001).unwrap_or(1_000);
    part * (JITTER_PARTS - 1) + part * thousandths / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(100);

    fn gone(failover: &mut Failover, asked_for: Option<u64>) -> Duration {
        let used = failover.used();
        failover.failed(used, "gone".to_owned(), asked_for.map(Duration::from_secs))
    }

    #[test]
    fn one_that_fails_rests_and_another_is_asked_at_once() {
        let mut two = Failover::new(2, REST);
        assert_eq!(gone(&mut two, None), Duration::ZERO);
        assert_eq!(two.used(), 1);
        let health = two.health();
        assert!(!health[0].is_well && !health[0].is_used && health[1].is_used);
        assert!(two.is_resting(0) && !two.is_resting(1));
        assert_eq!(health[0].rest, EndpointRest::Brief);
        assert_eq!(health[1].rest, EndpointRest::None);
        two.succeeded(1);
        assert!(two.health()[1].is_well);

        // Then the first is rested sooner than the second.
        let wait = gone(&mut two, Some(30));
        assert_eq!(two.used(), 0);
        assert!(wait <= REST + REST / JITTER_PARTS, "{wait:?}");
        assert_eq!(two.asked_to_wait(0), None);
        assert!(two.asked_to_wait(1) > Some(Duration::from_secs(29)));
    }

    #[test]
    fn one_that_has_just_failed_rests_briefly_and_one_that_is_gone_or_asks_for_it_for_long() {
        let mut two = Failover::new(2, Duration::from_secs(1));
        let rest = |two: &Failover, place: usize| two.health()[place].rest;
        for _ in 1..GONE_AFTER {
            two.failed(0, "gone".to_owned(), None);
            assert_eq!(rest(&two, 0), EndpointRest::Brief);
        }
        two.failed(0, "gone".to_owned(), None);
        assert_eq!(rest(&two, 0), EndpointRest::Long);
        two.succeeded(0);
        assert_eq!(rest(&two, 0), EndpointRest::None);
        two.failed(1, "too often".to_owned(), Some(Duration::from_secs(30)));
        assert_eq!(rest(&two, 1), EndpointRest::Long);
    }

    #[test]
    fn where_all_rest_each_is_tried_but_one_that_asked_to_be_left_alone() {
        let mut four = Failover::new(4, REST);
        for place in 0..4 {
            let asked_for = (place == 2).then(|| Duration::from_secs(30));
            four.failed(place, "gone".to_owned(), asked_for);
        }
        four.use_other(0);
        let mut tried = Vec::new();
        for _ in 0..4 {
            tried.push(four.used());
            four.pass_on(four.used());
        }
        assert_eq!(tried, [0, 1, 3, 0]);
        four.pass_on(3);
        assert_eq!(four.used(), 1, "it is not the one that is asked");

        let mut one = Failover::new(1, REST);
        gone(&mut one, None);
        one.pass_on(0);
        assert_eq!(one.used(), 0);
    }

    #[test]
    fn a_late_failure_of_one_that_is_not_asked_any_more_moves_nothing() {
        let mut two = Failover::new(2, REST);
        gone(&mut two, None);
        two.failed(0, "gone".to_owned(), None);
        assert_eq!(two.used(), 1);
        assert_eq!(two.health()[0].failures, 2);
    }

    #[test]
    fn one_alone_rests_longer_each_time_within_bounds_and_as_long_as_it_asks_for() {
        let mut one = Failover::new(1, REST);
        let mut before = Duration::ZERO;
        for _ in 0..5 {
            let wait = gone(&mut one, None);
            assert!(wait > before, "{wait:?} after {before:?}");
            before = wait;
        }
        for _ in 0..40 {
            let wait = gone(&mut one, None);
            assert!(wait <= MAX_REST + MAX_REST / JITTER_PARTS, "{wait:?}");
        }
        let wait = gone(&mut one, Some(20));
        assert!(wait > Duration::from_secs(19), "{wait:?}");
        one.succeeded(0);
        assert_eq!(one.asked_to_wait(0), None);
        assert!(gone(&mut one, None) < REST * 2);
        assert_eq!(one.used(), 0);
    }

    #[test]
    fn chance_moves_a_rest_by_a_fifth_at_most() {
        for chance in [0, 1, 999, 1_000, 2_000, 2_001, u128::MAX] {
            let rest = by_chance(REST, chance);
            assert!(rest >= REST / 5 * 4 && rest <= REST + REST / 5, "{rest:?}");
        }
        assert_ne!(by_chance(REST, 0), by_chance(REST, 2_000));
    }
}
