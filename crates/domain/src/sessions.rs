//! Log-ins: how long they last, and what comes of a refresh token that somebody presents.

use chrono::{DateTime, TimeDelta, Utc};

/// How long a log-in lasts at most, however busy. NIST SP 800-63B-4, section 2.1.3, asks for a new one
/// after 30 days at the latest.
pub const ENDS_AFTER: TimeDelta = TimeDelta::days(30);
/// How many log-ins an account has at most: the oldest ends when one more begins. A choice of ours: more
/// devices than a person has, and few enough to look through.
pub const MOST_SESSIONS: i64 = 20;
/// How long a refresh token may lie unused. A choice of ours: who was away for a holiday logs in again.
pub const IDLE_AFTER: TimeDelta = TimeDelta::days(14);
/// How long after its first use a refresh token may be presented once more, by a client that asked twice
/// at once or whose answer was lost. A choice of ours; whoever stole the token gains no more than that.
pub const GRACE: TimeDelta = TimeDelta::seconds(10);

/// What is known of a refresh token that somebody presents.
#[derive(Debug, Clone, Copy)]
pub struct Presented {
    /// False once its log-in was revoked.
    pub is_valid: bool,
    /// False where the account was deactivated.
    pub is_active: bool,
    /// When the log-in is over.
    pub ends_at: DateTime<Utc>,
    /// Until when the token may be used for the first time; none where nobody was given it.
    pub idle_expires_at: Option<DateTime<Utc>>,
    /// When it was used for the first time.
    pub used_at: Option<DateTime<Utc>>,
}

/// Why a log-in goes on no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Somebody ended it, or its account was deactivated.
    Revoked,
    /// It was too old, or unused for too long.
    Expired,
}

impl Ended {
    /// The reason as an audit row states it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshVerdict {
    /// It was never used: rotate it.
    Rotate,
    /// It was used a moment ago: give the same successor again.
    Again,
    /// It was used before, and whoever has it now is not who had it then: end the log-in (RFC 9700,
    /// section 4.14.2).
    Reused,
    /// The log-in is over.
    Ended(Ended),
}

/// What comes of a refresh token presented at this moment. Spans are half open: over at their end.
pub fn judge(token: &Presented, now: DateTime<Utc>) -> RefreshVerdict {
    if !token.is_valid || !token.is_active {
        return RefreshVerdict::Ended(Ended::Revoked);
    }
    if now >= token.ends_at {
        return RefreshVerdict::Ended(Ended::Expired);
    }
    match token.used_at {
        Some(used_at) if now < used_at + GRACE => RefreshVerdict::Again,
        Some(_) => RefreshVerdict::Reused,
        None if token.idle_expires_at.is_some_and(|until| now < until) => RefreshVerdict::Rotate,
        None => RefreshVerdict::Ended(Ended::Expired),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_verdict() {
        let start = DateTime::UNIX_EPOCH;
        let at = |seconds| start + TimeDelta::seconds(seconds);
        let fresh = Presented {
            is_valid: true,
            is_active: true,
            ends_at: start + ENDS_AFTER,
            idle_expires_at: Some(start + IDLE_AFTER),
            used_at: None,
        };
        let used = Presented {
            used_at: Some(at(100)),
            ..fresh
        };
        let revoked = Presented {
            is_valid: false,
            ..used
        };
        let inactive = Presented {
            is_active: false,
            ..fresh
        };
        let never_given = Presented {
            idle_expires_at: None,
            ..fresh
        };
        let second = TimeDelta::seconds(1);
        let (idle, end) = (start + IDLE_AFTER, start + ENDS_AFTER);
        let (ended, over) = (
            RefreshVerdict::Ended(Ended::Revoked),
            RefreshVerdict::Ended(Ended::Expired),
        );
        let table = [
            (fresh, at(0), RefreshVerdict::Rotate),
            (fresh, idle - second, RefreshVerdict::Rotate),
            (fresh, idle, over),
            (never_given, at(0), over),
            // The database's clock is that of the transaction's begin: a second caller may be before.
            (used, at(99), RefreshVerdict::Again),
            (used, at(100), RefreshVerdict::Again),
            (used, at(109), RefreshVerdict::Again),
            (used, at(110), RefreshVerdict::Reused),
            (used, end - second, RefreshVerdict::Reused),
            (used, end, over),
            (revoked, at(101), ended),
            (revoked, at(500), ended),
            (inactive, at(0), ended),
        ];
        for (nth, (token, now, wanted)) in table.into_iter().enumerate() {
            assert_eq!(judge(&token, now), wanted, "case {nth}");
        }
    }
}
