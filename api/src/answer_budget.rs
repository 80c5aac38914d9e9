//! How many bytes an answer may have, and all answers together that are being made or sent.
//!
//! What is known beforehand is charged beforehand: an envelope before it is read, a document before it
//! is copied. The text of the answer is charged before it is written, and given back when it was sent.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::body::Bytes;

use crate::{codes::ServiceLimit, error::Error, party::Party};

/// When to try again where other answers take all there is. Unit: seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// How many bytes. A document that is shown counts once for each field that shows it; in memory it is
/// there once, but up to three times where `canonical` shows it or where it is short: opened, copied and written.
#[expect(
    clippy::struct_field_names,
    reason = "whose bytes are counted is all that tells the fields apart"
)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerLimits {
    /// Of one answer.
    pub(crate) of_answer: usize,
    /// Of all answers of one party.
    pub(crate) of_party: usize,
    /// Of all answers in this process.
    pub(crate) of_process: usize,
}

/// What all answers in this process hold. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AnswerMemory(Arc<SharedMemory>);

#[derive(Debug)]
struct SharedMemory {
    limits: AnswerLimits,
    held: Mutex<HeldBytes>,
}

#[derive(Debug, Default)]
struct HeldBytes {
    all: usize,
    of: HashMap<Party, usize>,
}

impl AnswerMemory {
    /// With these limits.
    pub(crate) fn new(limits: AnswerLimits) -> Self {
        Self(Arc::new(SharedMemory {
            limits,
            held: Mutex::default(),
        }))
    }

    /// The budget of an answer that is to be made.
    pub(crate) fn begin(&self, party: Party) -> AnswerBudget {
        AnswerBudget(Arc::new(BudgetCharge {
            memory: self.clone(),
            party,
            bytes: AtomicUsize::new(0),
        }))
    }

    fn held(&self) -> MutexGuard<'_, HeldBytes> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one answer may still hold. Everything is given back when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct AnswerBudget(Arc<BudgetCharge>);

#[derive(Debug)]
struct BudgetCharge {
    memory: AnswerMemory,
    party: Party,
    bytes: AtomicUsize,
}

impl AnswerBudget {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] where this answer has had all it may have; [`Error::Busy`] where its
    /// party's other answers, or everybody's, take what there is.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), Error> {
        self.reserve(bytes).map(Reservation::keep)
    }

    /// Takes so many bytes for now: they are given back where the reservation is dropped instead of kept. For
    /// what may have to be done again.
    ///
    /// # Errors
    /// As [`AnswerBudget::charge`].
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Reservation, Error> {
        let limits = self.0.memory.0.limits;
        let busy = Error::Busy {
            retry_after_seconds: RETRY_AFTER_SECONDS,
            limit: Some(ServiceLimit::AnswerMemory),
        };
        // Under the lock, because fields of one answer charge at once.
        let mut held = self.0.memory.held();
        let own = self.0.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        if own > limits.of_answer {
            return Err(Error::AnswerTooLarge {
                most: limits.of_answer,
            });
        }
        let all = held.all.saturating_add(bytes);
        let of_party = held.of.get(&self.0.party).copied().unwrap_or(0);
        let of_party = of_party.saturating_add(bytes);
        if all > limits.of_process || of_party > limits.of_party {
            return Err(busy);
        }
        held.all = all;
        held.of.insert(self.0.party, of_party);
        self.0.bytes.store(own, Ordering::Relaxed);
        drop(held);
        Ok(Reservation {
            budget: self.clone(),
            bytes,
        })
    }

    /// Gives everything back: the next answer of a stream has as much room as the one before.
    pub(crate) fn begin_anew(&self) {
        let mut held = self.0.memory.held();
        let bytes = self.0.bytes.swap(0, Ordering::Relaxed);
        self.0.give_back(&mut held, bytes);
    }

    /// Takes what the text of the answer has beyond what was charged for it.
    ///
    /// # Errors
    /// As [`AnswerBudget::charge`].
    pub(crate) fn charge_text(&self, length: usize) -> Result<(), Error> {
        let charged = self.0.bytes.load(Ordering::Relaxed);
        self.charge(length.saturating_sub(charged))
    }
}

impl BudgetCharge {
    fn give_back(&self, held: &mut HeldBytes, bytes: usize) {
        held.all -= bytes;
        if let Some(of_party) = held.of.get_mut(&self.party) {
            *of_party -= bytes;
            if *of_party == 0 {
                held.of.remove(&self.party);
            }
        }
    }
}

impl Drop for BudgetCharge {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.give_back(&mut self.memory.held(), bytes);
    }
}

/// Bytes of a budget that are given back unless they are kept.
#[derive(Debug)]
#[must_use = "what is dropped is given back"]
pub(crate) struct Reservation {
    budget: AnswerBudget,
    bytes: usize,
}

impl Reservation {
    /// Takes the bytes for good: they stay with the answer.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let charge = &self.budget.0;
        let mut held = charge.memory.held();
        // Where the budget has begun anew meanwhile, it was given back by that.
        let own = charge.bytes.load(Ordering::Relaxed);
        let given = self.bytes.min(own);
        charge.bytes.store(own - given, Ordering::Relaxed);
        charge.give_back(&mut held, given);
    }
}

/// A piece of an answer that is being sent, compressed or not, and the answer's budget, which is given back after the last one.
#[derive(Debug)]
pub(crate) struct Sending {
    bytes: Bytes,
    _budget: AnswerBudget,
}

impl Sending {
    /// These bytes, paid for by this budget.
    pub(crate) fn new(bytes: Bytes, budget: AnswerBudget) -> Self {
        Self {
            bytes,
            _budget: budget,
        }
    }
}

impl AsRef<[u8]> for Sending {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::UserId;

    use super::*;

    fn memory() -> AnswerMemory {
        AnswerMemory::new(AnswerLimits {
            of_answer: 10,
            of_party: 15,
            of_process: 20,
        })
    }

    #[test]
    fn an_answer_a_party_and_the_process_have_so_much_and_give_it_back() {
        let memory = memory();
        let [ana, eve] = [(); 2].map(|()| Party::Account(UserId::fresh()));
        let (one, two, other) = (memory.begin(ana), memory.begin(ana), memory.begin(eve));
        let is_too_large =
            |result: Result<(), Error>| matches!(result, Err(Error::AnswerTooLarge { most: 10 }));
        let is_busy = |result: Result<(), Error>| matches!(result, Err(Error::Busy { .. }));

        assert!(one.charge(10).is_ok());
        assert!(is_too_large(one.charge(1)), "an answer has its limit");
        assert!(two.charge(5).is_ok());
        assert!(is_busy(two.charge(1)), "so has a party");
        assert!(other.charge(5).is_ok());
        assert!(is_busy(other.charge(1)), "and so has the process");
        assert!(is_too_large(other.charge(usize::MAX)));
        drop(one);
        assert!(other.charge(5).is_ok(), "what was sent is given back");
        drop((two, other));
        assert!(memory.held().of.is_empty() && memory.held().all == 0);
    }

    #[test]
    fn a_reservation_that_is_not_kept_is_given_back() {
        let memory = memory();
        let budget = memory.begin(Party::Account(UserId::fresh()));

        let reserved = budget.reserve(10);
        assert!(reserved.is_ok() && budget.charge(1).is_err());
        drop(reserved);
        assert_eq!(memory.held().all, 0);
        budget.reserve(10).map(Reservation::keep).ok();
        assert!(
            budget.charge(1).is_err(),
            "what is kept stays with the answer"
        );
        drop(budget);
        assert!(memory.held().of.is_empty() && memory.held().all == 0);
    }

    #[test]
    fn what_was_reserved_before_a_budget_began_anew_is_given_back_once() {
        let memory = memory();
        let party = Party::Account(UserId::fresh());
        let (budget, other) = (memory.begin(party), memory.begin(party));
        assert!(other.charge(3).is_ok());

        let reserved = budget.reserve(10);
        budget.begin_anew();
        assert_eq!(memory.held().all, 3);
        drop(reserved);

        assert_eq!(memory.held().all, 3, "others' stays");
        assert!(budget.charge(10).is_ok(), "all of it is there");
    }

    #[test]
    fn a_text_pays_what_was_not_paid_before() {
        let budget = memory().begin(Party::Account(UserId::fresh()));

        assert!(budget.charge(6).is_ok());
        assert!(budget.charge_text(4).is_ok());
        assert!(budget.charge_text(10).is_ok());
        assert!(budget.charge_text(11).is_err());
    }
}
