//! Emergency access ("breaking the glass"): a doctor opens a window on a patient's records without a consent, with a
//! reason. The patient is told, and administrators review each window.
//!
//! What a window permits is `access::decide`'s; who may open one, how long it lasts and until when it is to be reviewed
//! is here.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    ids::{BreakGlassWindowId, PatientKeyId, UserId},
    purpose::Purpose,
    text::text_enum,
};

/// How long a window is open, unless the doctor closes it.
pub const WINDOW_LASTS: TimeDelta = TimeDelta::hours(4);
/// How many windows a doctor can open within [`LIMIT_PERIOD`].
pub const MAX_WINDOWS: i64 = 10;
/// For how long a window counts towards [`MAX_WINDOWS`].
pub const LIMIT_PERIOD: TimeDelta = TimeDelta::hours(24);
/// How long after its opening a window that nobody has reviewed is escalated.
pub const REVIEW_WITHIN: TimeDelta = TimeDelta::hours(72);
/// The shortest reason. Unit: characters, without white space at the ends.
pub const MIN_REASON_CHARS: usize = 20;
/// The longest reason, and the longest note of a reviewer. Unit: characters, without white space at the ends.
pub const MAX_WORDS_CHARS: usize = 1000;

/// A window on a patient's records, as it is sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct BreakGlassWindow {
    /// Which.
    pub id: BreakGlassWindowId,
    /// On whose records.
    pub patient: UserId,
    /// Who opened it.
    pub doctor: UserId,
    /// For what alone it counts.
    pub purpose: Purpose,
    /// Since when.
    pub opened_at: DateTime<Utc>,
    /// Until when, if the doctor does not close it before; exclusive.
    pub expires_at: DateTime<Utc>,
    /// When the doctor closed it, or the account of one of the two was erased.
    pub closed_at: Option<DateTime<Utc>>,
    /// Which key of the patient the reason is sealed under.
    pub patient_key: PatientKeyId,
    /// Why, sealed.
    pub sealed_reason: Vec<u8>,
}

impl std::fmt::Debug for BreakGlassWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BreakGlassWindow")
            .field("id", &self.id)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

impl BreakGlassWindow {
    /// When it ends, or has ended; exclusive.
    pub fn ends_at(&self) -> DateTime<Utc> {
        self.closed_at
            .map_or(self.expires_at, |closed| closed.min(self.expires_at))
    }

    /// Whether it is open at this moment.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.opened_at <= now && now < self.ends_at()
    }
}

text_enum! {
    /// What a reviewer decides.
    ReviewDecision {
        /// The emergency was one.
        Justified = "JUSTIFIED",
        /// It was none.
        Unjustified = "UNJUSTIFIED",
    }
}

text_enum! {
    /// Where the review of a window stands.
    ReviewStatus {
        /// Nobody has reviewed it.
        Pending = "PENDING",
        /// Nobody has reviewed it in time: every administrator was told.
        Escalated = "ESCALATED",
        /// It was reviewed.
        Reviewed = "REVIEWED",
    }
}

text_enum! {
    /// What somebody is told.
    NotificationKind {
        /// To the patient: a doctor opened a window on their records.
        BreakGlassOpened = "BREAK_GLASS_OPENED",
        /// To the patient and the doctor: a window was reviewed as justified.
        BreakGlassJustified = "BREAK_GLASS_JUSTIFIED",
        /// To the patient and the doctor: a window was reviewed as unjustified.
        BreakGlassUnjustified = "BREAK_GLASS_UNJUSTIFIED",
        /// To administrators: nobody has reviewed a window in time.
        BreakGlassEscalated = "BREAK_GLASS_ESCALATED",
        /// To the patient and the representative: the one acts for the other.
        RepresentativeAppointed = "REPRESENTATIVE_APPOINTED",
        /// To the patient and the representative: the one acts for the other no longer.
        RepresentationEnded = "REPRESENTATION_ENDED",
    }
}

/// Why a reason or a note was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWords {
    /// Too short to say why.
    #[error("a reason has at least {MIN_REASON_CHARS} characters")]
    TooShort,
    /// Longer than anybody reads.
    #[error("it has at most {MAX_WORDS_CHARS} characters")]
    TooLong,
    /// With control characters.
    #[error("it has no control characters but line breaks")]
    Control,
}

/// A reason, without white space at its ends.
///
/// # Errors
/// [`InvalidWords`].
pub fn reason(text: &str) -> Result<&str, InvalidWords> {
    let reason = note(text)?;
    if reason.chars().count() < MIN_REASON_CHARS {
        return Err(InvalidWords::TooShort);
    }
    Ok(reason)
}

/// A reviewer's note, without white space at its ends.
///
/// # Errors
/// [`InvalidWords`].
pub fn note(text: &str) -> Result<&str, InvalidWords> {
    let note = text.trim();
    if note.chars().count() > MAX_WORDS_CHARS {
        return Err(InvalidWords::TooLong);
    }
    if note.chars().any(|c| c.is_control() && c != '\n') {
        return Err(InvalidWords::Control);
    }
    Ok(note)
}

/// Why somebody cannot review a window now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewRefusal {
    /// They opened it, or it is on their records.
    Concerned,
    /// It is open still: what will be read is not known.
    Open,
    /// It was reviewed before.
    Reviewed,
}

/// Whether an administrator may review a window now, which was reviewed before or not.
///
/// # Errors
/// [`ReviewRefusal`].
pub fn check_review(
    reviewer: UserId,
    window: &BreakGlassWindow,
    is_reviewed: bool,
    now: DateTime<Utc>,
) -> Result<(), ReviewRefusal> {
    if [window.doctor, window.patient].contains(&reviewer) {
        Err(ReviewRefusal::Concerned)
    } else if is_reviewed {
        Err(ReviewRefusal::Reviewed)
    } else if now < window.ends_at() {
        Err(ReviewRefusal::Open)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    fn user(id: u128) -> UserId {
        UserId(Uuid::from_u128(id))
    }

    fn window(closed_at: Option<DateTime<Utc>>) -> BreakGlassWindow {
        BreakGlassWindow {
            id: BreakGlassWindowId(Uuid::from_u128(9)),
            patient: user(1),
            doctor: user(2),
            purpose: Purpose::BreakGlass,
            opened_at: at(10),
            expires_at: at(14),
            closed_at,
            patient_key: PatientKeyId(Uuid::from_u128(8)),
            sealed_reason: Vec::new(),
        }
    }

    #[test]
    fn a_window_is_open_from_its_opening_until_its_end_and_not_at_its_end() {
        let table = [
            (None, 9, false),
            (None, 10, true),
            (None, 13, true),
            (None, 14, false),
            (Some(12), 11, true),
            (Some(12), 12, false),
            (Some(12), 13, false),
            // A row that says it was closed later than it ended is open no longer for that.
            (Some(20), 14, false),
        ];
        for (closed, now, wanted) in table {
            let window = window(closed.map(at));
            assert_eq!(window.is_open(at(now)), wanted, "{closed:?} at {now}");
        }
    }

    #[test]
    fn a_reason_says_something_and_is_bounded() {
        let long = |length| "x".repeat(length);
        let table = [
            (String::new(), Err(InvalidWords::TooShort)),
            (long(19), Err(InvalidWords::TooShort)),
            (format!("  {}  ", long(19)), Err(InvalidWords::TooShort)),
            (long(20), Ok(20)),
            ("é".repeat(20), Ok(20)),
            (long(1000), Ok(1000)),
            (long(1001), Err(InvalidWords::TooLong)),
            (format!("{}\n{}", long(10), long(10)), Ok(21)),
            (
                format!("{}\0{}", long(10), long(10)),
                Err(InvalidWords::Control),
            ),
            (format!("{}\u{1b}[2J", long(20)), Err(InvalidWords::Control)),
        ];
        for (text, wanted) in table {
            let found = reason(&text).map(|reason| reason.chars().count());
            assert_eq!(found, wanted, "{text:?}");
        }
        assert_eq!(note(" seen "), Ok("seen"));
        assert_eq!(note(""), Ok(""));
    }

    #[test]
    fn nobody_reviews_their_own_or_twice_or_before_the_end() {
        let table = [
            (3, None, false, 14, Ok(())),
            (3, None, false, 13, Err(ReviewRefusal::Open)),
            (3, Some(12), false, 12, Ok(())),
            (3, None, true, 14, Err(ReviewRefusal::Reviewed)),
            (1, None, false, 14, Err(ReviewRefusal::Concerned)),
            (2, None, false, 14, Err(ReviewRefusal::Concerned)),
        ];
        for (row, (by, closed, reviewed, now, wanted)) in table.into_iter().enumerate() {
            let window = window(closed.map(at));
            let found = check_review(user(by), &window, reviewed, at(now));
            assert_eq!(found, wanted, "row {row}");
        }
    }
}
