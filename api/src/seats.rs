//! So many of a thing for each, and no more: connections of a network, sockets of an account.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts what each holds in this process. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Seats<K> {
    of_each: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K> Clone for Seats<K> {
    fn clone(&self) -> Self {
        Self {
            of_each: self.of_each,
            taken: Arc::clone(&self.taken),
        }
    }
}

impl<K: Eq + Hash + Copy> Seats<K> {
    /// So many for each.
    pub(crate) fn new(of_each: usize) -> Self {
        Self {
            of_each,
            taken: Arc::default(),
        }
    }

    /// One more for this one; `None` where it has all it may have.
    pub(crate) fn take(&self, whose: K) -> Option<Seat<K>> {
        let mut taken = self.taken();
        let held = taken.entry(whose).or_default();
        if *held >= self.of_each {
            return None;
        }
        *held += 1;
        drop(taken);
        Some(Seat {
            seats: self.clone(),
            whose,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat<K: Eq + Hash + Copy> {
    seats: Seats<K>,
    whose: K,
}

impl<K: Eq + Hash + Copy> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(held) = taken.get_mut(&self.whose) {
            *held -= 1;
            if *held == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_and_gives_them_back() {
        let seats = Seats::new(2);

        let (one, two) = (seats.take("ana"), seats.take("ana"));

        assert!(one.is_some() && two.is_some());
        assert!(seats.take("ana").is_none());
        assert!(seats.take("eve").is_some(), "others have their own");
        drop(one);
        assert!(seats.take("ana").is_some());
        drop(two);
        assert!(seats.taken().is_empty(), "nobody is remembered for ever");
    }
}
