//! How often anybody may try to get in: the rule, as pure arithmetic over counters.
//!
//! Who guesses waits, longer each time, and only there: the strong counter is of one name *from one
//! address*. What is counted of a name over all addresses, and of everybody, is a pressure: it
//! leaves each new address one guess instead of several, and never shuts anybody out. So a stranger
//! who fails for a name can keep its owner out neither from the owner's address nor from a new one.
//!
//! An attempt is charged before it is made, so that a hundred at once are a hundred, and what was
//! charged is given back when it succeeds. The counters are rows, see `store::throttle`.

use std::{fmt, net::IpAddr};

use chrono::{DateTime, TimeDelta, Utc};

use crate::text::text_enum;

text_enum! {
    /// What a counter counts.
    Scope {
        /// Failures of one name from one address.
        Pair = "PAIR",
        /// Failures from one address, whatever the name.
        Address = "ADDRESS",
        /// New accounts from one address.
        Registrations = "REGISTRATIONS",
        /// Failures of one name, wherever from.
        Account = "ACCOUNT",
        /// Failures of all.
        Everybody = "EVERYBODY",
        /// Messages to sign that one address asked for.
        Challenges = "CHALLENGES",
        /// What one account, or an address where nobody is logged in, asks for in a minute.
        Cost = "COST",
    }
}

/// For how long an address from which a name succeeded is known as its own. Unit: days.
const FAMILIAR_DAYS: i64 = 90;

/// Where somebody is, as far as it can be told apart from others: an IPv4 address, or the first 64
/// bits of an IPv6 address, of which one household or server has all the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address; IPv4 written as IPv6 is IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(IpAddr::from([a, b, c, d, 0, 0, 0, 0]))
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is remembered of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Failures in a row. Of a [`Backoff`] only.
    pub failures: u32,
    /// Of a [`Backoff`]: when the next attempt is taken. Of a [`Bucket`]: when it is empty again.
    pub due_at: DateTime<Utc>,
    /// When it last succeeded.
    pub proven_at: Option<DateTime<Utc>>,
    /// Whether the present wait has been written down.
    pub is_told: bool,
}

impl Counter {
    /// Of somebody of whom nothing is remembered.
    pub const fn fresh(now: DateTime<Utc>) -> Self {
        Self {
            failures: 0,
            due_at: now,
            proven_at: None,
            is_told: false,
        }
    }

    /// After a success.
    #[must_use]
    pub const fn proven(now: DateTime<Utc>) -> Self {
        Self {
            proven_at: Some(now),
            ..Self::fresh(now)
        }
    }

    fn is_familiar(&self, now: DateTime<Utc>) -> bool {
        let since = now - TimeDelta::days(FAMILIAR_DAYS);
        self.proven_at.is_some_and(|proven| proven > since)
    }
}

/// Some attempts at once, then each twice as long after the last.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// How many are taken before the first wait.
    pub free: u32,
    /// How long that is.
    pub first: TimeDelta,
    /// How long none is longer than; and how long after it all is forgotten.
    pub longest: TimeDelta,
}

impl Backoff {
    /// The counter with one more failure, of which `free` cost no wait, or until when to wait.
    fn charge(
        &self,
        counter: &Counter,
        free: u32,
        now: DateTime<Utc>,
    ) -> Result<Counter, DateTime<Utc>> {
        if counter.due_at > now {
            return Err(counter.due_at);
        }
        let is_forgotten = now - counter.due_at > self.longest;
        let before = if is_forgotten { 0 } else { counter.failures };
        let failures = before.saturating_add(1);
        Ok(Counter {
            failures,
            due_at: now + self.wait_after(failures, free),
            is_told: false,
            ..*counter
        })
    }

    fn wait_after(&self, failures: u32, free: u32) -> TimeDelta {
        let Some(doublings) = failures.checked_sub(free) else {
            return TimeDelta::zero();
        };
        let wait = 1i32
            .checked_shl(doublings)
            .filter(|times| *times > 0)
            .and_then(|times| self.first.checked_mul(times));
        wait.map_or(self.longest, |wait| wait.min(self.longest))
    }
}

/// Some attempts at once, then one as often as it drains.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// How many it holds. At least 1.
    pub burst: u32,
    /// How long until one of them is gone again.
    pub drain: TimeDelta,
}

impl Bucket {
    fn size(&self) -> TimeDelta {
        let burst = i32::try_from(self.burst).unwrap_or(i32::MAX);
        self.drain.checked_mul(burst).unwrap_or(TimeDelta::MAX)
    }

    /// The counter with one more, or until when to wait.
    fn charge(&self, counter: &Counter, now: DateTime<Utc>) -> Result<Counter, DateTime<Utc>> {
        let due_at = counter.due_at.max(now) + self.drain;
        let over = due_at - now - self.size();
        if over > TimeDelta::zero() {
            return Err(now + over);
        }
        Ok(Counter { due_at, ..*counter })
    }

    /// The counter with one more, or full as it was.
    fn add(&self, counter: &Counter, now: DateTime<Utc>) -> Counter {
        self.charge(counter, now).unwrap_or(*counter)
    }

    /// The counter with one less.
    fn give_back(&self, counter: &Counter) -> Counter {
        Counter {
            due_at: counter.due_at - self.drain,
            ..*counter
        }
    }
}

/// How often anybody may try.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleLimits {
    /// Failures of one name from one address.
    pub guesses: Backoff,
    /// Failures from one address.
    pub address: Bucket,
    /// New accounts from one address.
    pub registrations: Bucket,
    /// Messages to sign, for one address.
    pub challenges: Bucket,
    /// Failures of one name over all addresses, beyond which it is under pressure.
    pub account: Bucket,
    /// Failures of all, beyond which everybody is under pressure.
    pub everybody: Bucket,
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptKind {
    /// To begin a session, by a name and a secret of its owner.
    LogIn,
    /// To prove something more where the first secret was right, or a session is there: a code, the
    /// present password. A stranger does not come this far, so the account's own limit is a limit.
    Proof,
    /// To go on with a session.
    Refresh,
    /// To make an account. It counts even where it succeeds.
    Register,
    /// To be given a message to sign. It counts even where it succeeds.
    Challenge,
}

impl AttemptKind {
    /// What is counted of the address.
    pub const fn address_scope(self) -> Scope {
        match self {
            Self::Register => Scope::Registrations,
            Self::Challenge => Scope::Challenges,
            Self::LogIn | Self::Proof | Self::Refresh => Scope::Address,
        }
    }
}

/// What is remembered of whoever tries.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleState {
    /// [`Scope::Pair`], where there is a name.
    pub pair: Option<Counter>,
    /// [`AttemptKind::address_scope`].
    pub address: Counter,
    /// [`Scope::Account`], where there is a name.
    pub account: Option<Counter>,
    /// [`Scope::Everybody`].
    pub everybody: Counter,
}

/// An attempt that is taken: the counters as they are with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// [`Scope::Pair`].
    pub pair: Option<Counter>,
    /// [`AttemptKind::address_scope`].
    pub address: Counter,
}

/// An attempt that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// What was exhausted.
    pub by: Scope,
    /// When to try again.
    pub until: DateTime<Utc>,
}

impl ThrottleLimits {
    /// Takes an attempt, or says until when to wait. Refusing charges nothing.
    ///
    /// # Errors
    /// [`Throttled`].
    pub fn charge(
        &self,
        kind: AttemptKind,
        state: &ThrottleState,
        now: DateTime<Utc>,
    ) -> Result<Charged, Throttled> {
        let refused = |by| move |until| Throttled { by, until };
        let is_familiar = state.pair.is_some_and(|pair| pair.is_familiar(now));
        let is_full = |bucket: Bucket, counter: &Counter| bucket.charge(counter, now);
        let account = state.account.as_ref();
        let of_account = account.map_or(Ok(()), |it| is_full(self.account, it).map(|_| ()));
        let of_everybody = is_full(self.everybody, &state.everybody);

        let is_pressed = !is_familiar && (of_account.is_err() || of_everybody.is_err());
        let free = if is_pressed { 1 } else { self.guesses.free };
        let pair = state
            .pair
            .map(|pair| self.guesses.charge(&pair, free, now))
            .transpose()
            .map_err(refused(Scope::Pair))?;
        if is_familiar {
            return Ok(Charged {
                pair,
                address: state.address,
            });
        }
        if kind == AttemptKind::Proof {
            of_account.map_err(refused(Scope::Account))?;
        }
        let address = self
            .bucket(kind)
            .charge(&state.address, now)
            .map_err(refused(kind.address_scope()))?;
        Ok(Charged { pair, address })
    }

    /// The address's counter after a success: what was charged is given back.
    pub fn succeeded(&self, kind: AttemptKind, address: &Counter) -> Counter {
        match kind {
            AttemptKind::LogIn | AttemptKind::Proof | AttemptKind::Refresh => {
                self.bucket(kind).give_back(address)
            }
            AttemptKind::Register | AttemptKind::Challenge => *address,
        }
    }

    /// The pressures after a failure: [`Scope::Account`] or [`Scope::Everybody`].
    pub fn failed(&self, scope: Scope, counter: &Counter, now: DateTime<Utc>) -> Counter {
        match scope {
            Scope::Account => self.account.add(counter, now),
            Scope::Everybody => self.everybody.add(counter, now),
            Scope::Pair
            | Scope::Address
            | Scope::Registrations
            | Scope::Challenges
            | Scope::Cost => *counter,
        }
    }

    const fn bucket(&self, kind: AttemptKind) -> Bucket {
        match kind {
            AttemptKind::Register => self.registrations,
            AttemptKind::Challenge => self.challenges,
            AttemptKind::LogIn | AttemptKind::Proof | AttemptKind::Refresh => self.address,
        }
    }
}

#[cfg(test)]
mod tests;
