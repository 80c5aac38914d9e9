//! Tokens that were verified lately: a client sends the same one for ten minutes, and a signature costs
//! more to check than a hash.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

use super::Bearer;

/// How many are remembered. At about 120 bytes each, no more than a few megabytes.
const MAX_SEEN: usize = 20_000;

/// Tokens that were verified, by their SHA-256. Gone with the keys that verified them.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<[u8; 32], Bearer>>);

impl Seen {
    pub(super) fn get(&self, name: &[u8; 32]) -> Option<Bearer> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).copied()
    }

    pub(super) fn put(&self, name: [u8; 32], bearer: Bearer, now: DateTime<Utc>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_SEEN {
            seen.retain(|_, bearer| bearer.expires_at > now);
        }
        // Full of tokens that are good: the next one is verified each time.
        if seen.len() < MAX_SEEN {
            seen.insert(name, bearer);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::{clock::Clock, ids::SessionId, ids::UserId};

    use super::*;

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_the_old_makes_room() {
        let seen = Seen::default();
        let now = Clock::System.now();
        let bearer = |minutes| Bearer {
            user: UserId::fresh(),
            session: SessionId::fresh(),
            expires_at: now + TimeDelta::minutes(minutes),
        };
        let name = |n: usize| {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&n.to_be_bytes());
            name
        };
        let (old, good) = (bearer(1), bearer(9));
        for n in 0..=MAX_SEEN {
            seen.put(name(n), if n < 10 { old } else { good }, now);
        }
        assert_eq!(seen.get(&name(MAX_SEEN)), None, "there was no room");

        seen.put(name(MAX_SEEN), good, now + TimeDelta::minutes(2));

        assert_eq!(seen.get(&name(MAX_SEEN)), Some(good));
        assert_eq!(seen.get(&name(10)), Some(good));
        assert_eq!(seen.get(&name(0)), None, "what is over made room");
    }
}
