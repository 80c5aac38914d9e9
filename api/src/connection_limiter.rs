//! So many of a thing for each, and no more: connections of a network, sockets of an account.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts what each holds in this process. Cheap to clone.
#[derive(Debug)]
pub(crate) struct ConnectionLimiter<K> {
    limit: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K> Clone for ConnectionLimiter<K> {
    fn clone(&self) -> Self {
        Self {
            limit: self.limit,
            taken: Arc::clone(&self.taken),
        }
    }
}

impl<K: Eq + Hash + Copy> ConnectionLimiter<K> {
    /// So many for each.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: Arc::default(),
        }
    }

    /// One more for this one; `None` where it has all it may have.
    pub(crate) fn acquire(&self, key: K) -> Option<Permit<K>> {
        let mut taken = self.taken();
        let held = taken.entry(key).or_default();
        if *held >= self.limit {
            return None;
        }
        *held += 1;
        drop(taken);
        Some(Permit {
            limiter: self.clone(),
            key,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit<K: Eq + Hash + Copy> {
    limiter: ConnectionLimiter<K>,
    key: K,
}

impl<K: Eq + Hash + Copy> Drop for Permit<K> {
    fn drop(&mut self) {
        let mut taken = self.limiter.taken();
        if let Some(held) = taken.get_mut(&self.key) {
            *held -= 1;
            if *held == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_so_many_permits_and_returns_them() {
        let limiter = ConnectionLimiter::new(2);

        let (one, two) = (limiter.acquire("ana"), limiter.acquire("ana"));

        assert!(one.is_some() && two.is_some());
        assert!(limiter.acquire("ana").is_none());
        assert!(limiter.acquire("eve").is_some(), "others have their own");
        drop(one);
        assert!(limiter.acquire("ana").is_some());
        drop(two);
        assert!(limiter.taken().is_empty(), "nobody is remembered for ever");
    }
}
