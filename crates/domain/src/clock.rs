//! The one place that reads the wall clock. Everything that decides takes `now` as an argument, and
//! what is decided about stored rows uses the database's clock, not this one.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// The first moment that PostgreSQL holds: 24 November of the year −4713, by the calendar of ISO 8601.
/// Unit: seconds of Unix.
const FIRST_STORABLE: i64 = -210_866_803_200;
/// The first moment that it does not hold any more: the beginning of the year 294277. Unit: seconds of Unix.
const END_OF_STORABLE: i64 = 9_224_318_016_000;

/// Whether the database can hold this moment (a `timestamptz`). Whoever takes a time from outside asks
/// this first: what the database cannot hold is a mistake of the caller, and no failure of ours.
pub fn is_storable(at: DateTime<Utc>) -> bool {
    (FIRST_STORABLE..END_OF_STORABLE).contains(&at.timestamp())
}

/// Where the time comes from: the machine, or a test.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// Another clock, by how far it was ahead of the machine's when that was measured last.
    Other(&'static Ahead),
    /// Always this moment.
    Fixed(DateTime<Utc>),
}

/// How far another clock is ahead of the machine's. Unit: microseconds.
#[derive(Debug, Default)]
pub struct Ahead(AtomicI64);

impl Ahead {
    /// Not at all, until it is measured.
    pub const fn unknown() -> Self {
        Self(AtomicI64::new(0))
    }

    /// Takes a measurement over, unless what is known already lies within its uncertainty: the clock would
    /// only tremble.
    pub fn measured(&self, ahead: TimeDelta, uncertain: TimeDelta) {
        if (ahead - self.get()).abs() > uncertain.abs() {
            let micros = ahead.num_microseconds().unwrap_or_default();
            self.0.store(micros, Ordering::Relaxed);
        }
    }

    /// As it is known.
    pub fn get(&self) -> TimeDelta {
        TimeDelta::microseconds(self.0.load(Ordering::Relaxed))
    }
}

impl Clock {
    /// The present moment.
    pub fn now(self) -> DateTime<Utc> {
        match self {
            Self::Other(ahead) => Self::System.now() + ahead.get(),
            #[expect(
                clippy::disallowed_methods,
                reason = "the clock is where the clock is read"
            )]
            Self::System => Utc::now(),
            Self::Fixed(moment) => moment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_clock_is_followed_and_does_not_tremble() {
        static AHEAD: Ahead = Ahead::unknown();
        let clock = Clock::Other(&AHEAD);
        let (millisecond, hour) = (TimeDelta::milliseconds(1), TimeDelta::hours(1));

        AHEAD.measured(hour, millisecond);
        assert!(clock.now() - Clock::System.now() > TimeDelta::minutes(59));
        AHEAD.measured(hour + millisecond / 2, millisecond);
        assert_eq!(AHEAD.get(), hour);
        AHEAD.measured(-hour, millisecond);
        assert!(clock.now() < Clock::System.now());
    }

    #[test]
    fn the_database_holds_what_lies_between_4713_bc_and_294276() {
        let at = |micros: i64| DateTime::from_timestamp_micros(micros).expect("a time");
        let first = FIRST_STORABLE * 1_000_000;

        assert!(is_storable(at(0)) && is_storable(at(first)));
        assert!(!is_storable(at(first - 1)));
        assert!(!is_storable(DateTime::<Utc>::MIN_UTC));
        // chrono ends before the database does.
        assert!(is_storable(DateTime::<Utc>::MAX_UTC));
    }
}
