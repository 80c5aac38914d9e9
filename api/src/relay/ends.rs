//! How many records the relays of this process decide to end at a time. The registry counts what all accounts end together, and
//! each relay asks it by itself; so what one has decided and not yet written down counts for the others. Nothing here waits for a
//! node or for the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What the relays of a process have decided to end. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct EndClaims(Arc<Mutex<OpenDecisions>>);

/// The decisions that are under way, by their numbers.
#[derive(Debug, Default)]
struct OpenDecisions {
    next: u64,
    open: HashMap<u64, ClaimedEnds>,
}

/// What belongs to one decision. Unit: records.
#[derive(Debug, Clone, Copy, Default)]
struct ClaimedEnds {
    /// What it ends.
    own: i64,
    /// What other decisions ended that came to their end since this one began: the rows that this one has read may lack them.
    by_others: i64,
}

/// A decision of one relay: begun before it reads what is under way, and dropped when what it decided is written down.
#[derive(Debug)]
pub(super) struct EndDecision {
    claims: EndClaims,
    number: u64,
}

impl EndClaims {
    /// Begins a decision.
    pub(super) fn begin(&self) -> EndDecision {
        let mut decisions = self.lock();
        let number = decisions.next;
        decisions.next += 1;
        decisions.open.insert(number, ClaimedEnds::default());
        drop(decisions);
        EndDecision {
            claims: self.clone(),
            number,
        }
    }

    /// What is counted is whole even if a relay panicked.
    fn lock(&self) -> MutexGuard<'_, OpenDecisions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndDecision {
    /// Decides, by how many records others end that the rows may not tell of; `decide` gives how many this one ends.
    pub(super) fn claim<T>(&self, decide: impl FnOnce(i64) -> (T, i64)) -> T {
        let mut decisions = self.claims.lock();
        let others = decisions
            .open
            .iter()
            .filter(|(number, _)| **number != self.number);
        let under_way: i64 = others.map(|(_, claimed)| claimed.own).sum();
        let own = decisions.open.entry(self.number).or_default();
        let (decided, ends) = decide(under_way + own.by_others);
        own.own += ends;
        decided
    }

    /// As many of `wanted` as there is room for, where `left` is what the registry has left beside what the rows tell of.
    pub(super) fn claim_up_to(&self, left: i64, wanted: usize) -> i64 {
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        self.claim(|taken| {
            let claimed = left.saturating_sub(taken).clamp(0, wanted);
            (claimed, claimed)
        })
    }
}

impl Drop for EndDecision {
    fn drop(&mut self) {
        let mut decisions = self.claims.lock();
        let Some(ended) = decisions.open.remove(&self.number) else {
            return;
        };
        for claimed in decisions.open.values_mut() {
            claimed.by_others += ended.own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_decide_at_once_share_what_is_left() {
        let claims = EndClaims::default();
        let (one, other) = (claims.begin(), claims.begin());

        assert_eq!(one.claim_up_to(3, 2), 2);
        assert_eq!(other.claim_up_to(3, 2), 1);
        assert_eq!(other.claim_up_to(3, 2), 1, "its own are in what it counts");
        assert_eq!(one.claim_up_to(0, 9), 0);
        assert_eq!(one.claim_up_to(-5, 9), 0);
    }

    #[test]
    fn what_was_decided_since_one_has_read_the_rows_counts_for_it_and_for_no_later_one() {
        let claims = EndClaims::default();
        let (quick, slow) = (claims.begin(), claims.begin());
        assert_eq!(quick.claim_up_to(1, 1), 1);
        drop(quick);

        assert_eq!(slow.claim_up_to(1, 1), 0, "its rows may lack the other's");
        let later = claims.begin();
        assert_eq!(later.claim_up_to(1, 1), 1, "its rows have it");
        drop(slow);
        drop(later);
        assert!(claims.lock().open.is_empty());
    }
}
