//! FHIR's dates and times: their format, the calendar, and their order.

use std::cmp::Ordering;

/// How much a time says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Precision {
    Year,
    Month,
    Day,
    Instant,
}

/// A `date`, `dateTime` or `instant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment<'a> {
    year: i64,
    month: i64,
    day: i64,
    /// Seconds since the day began in UTC, may lie outside of the day.
    seconds: i64,
    fraction: &'a str,
    pub(crate) precision: Precision,
}

impl<'a> Moment<'a> {
    /// Reads `YYYY`, `YYYY-MM`, `YYYY-MM-DD` or `YYYY-MM-DDThh:mm:ss[.fff](Z|±hh:mm)`.
    ///
    /// 30 February is none.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let year = digits(bytes, 0, 4).filter(|&year| year > 0)?;
        let mut moment = Self {
            year,
            month: 1,
            day: 1,
            seconds: 0,
            fraction: "",
            precision: Precision::Year,
        };
        if bytes.len() == 4 {
            return Some(moment);
        }
        moment.month = part(bytes, 4, b'-', 1..=12)?;
        moment.precision = Precision::Month;
        if bytes.len() == 7 {
            return Some(moment);
        }
        moment.day = part(bytes, 7, b'-', 1..=days_in(year, moment.month))?;
        moment.precision = Precision::Day;
        if bytes.len() == 10 {
            return Some(moment);
        }
        let zone_at = 11
            + bytes
                .get(11..)?
                .iter()
                .position(|b| matches!(b, b'Z' | b'+' | b'-'))?;
        let (seconds, fraction) =
            time_of_day(text.get(11..zone_at)?).filter(|_| bytes[10] == b'T')?;
        moment.seconds = seconds - offset(&bytes[zone_at..])?;
        moment.fraction = fraction.trim_end_matches('0');
        moment.precision = Precision::Instant;
        Some(moment)
    }

    /// How two moments compare, as far as both say: `None` if that is open.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        let days = |m: &Self| (m.year, m.month, m.day);
        match self.precision.min(other.precision) {
            Precision::Instant => {
                let (a, b) = (self.epoch_seconds(), other.epoch_seconds());
                Some(a.cmp(&b).then_with(|| self.fraction.cmp(other.fraction)))
            }
            Precision::Day if self.precision == other.precision => {
                Some(days(self).cmp(&days(other)))
            }
            // A time with a zone may lie in the day before or after.
            Precision::Day => {
                let apart = self.epoch_days() - other.epoch_days();
                (apart.abs() > 1).then(|| apart.cmp(&0))
            }
            Precision::Month => known((self.year, self.month).cmp(&(other.year, other.month))),
            Precision::Year => known(self.year.cmp(&other.year)),
        }
    }

    /// Days since 1 March of year 0 in the proleptic Gregorian calendar.
    fn epoch_days(&self) -> i64 {
        let (year, month) = if self.month > 2 {
            (self.year, self.month - 3)
        } else {
            (self.year - 1, self.month + 9)
        };
        year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + self.day - 1
    }

    fn epoch_seconds(&self) -> i64 {
        self.epoch_days() * 86_400 + self.seconds
    }

    /// When it began, in microseconds since 1970 began in UTC. What is finer is cut off.
    pub(crate) fn unix_micros(&self) -> i64 {
        /// From 1 March of year 0 to 1 January 1970. Unit: days.
        const EPOCH: i64 = 719_468;
        let digits = self.fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
        let micros = digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        (self.epoch_seconds() - EPOCH * 86_400) * 1_000_000 + micros
    }

    /// When what it names is over: the year, the month, the day; an instant is over as it begins. Unit: as of
    /// [`Self::unix_micros`].
    pub(crate) fn end_micros(&self) -> i64 {
        let mut next = *self;
        match self.precision {
            Precision::Year => next.year += 1,
            Precision::Month if self.month == 12 => (next.year, next.month) = (self.year + 1, 1),
            Precision::Month => next.month += 1,
            Precision::Day => next.seconds += 86_400,
            Precision::Instant => {}
        }
        next.unix_micros()
    }

    /// Its year, month or day as it is written. Of an instant the later of that day and the one in UTC.
    pub(crate) fn last_day(&self) -> String {
        let Self {
            year, month, day, ..
        } = *self;
        match self.precision {
            Precision::Year => format!("{year:04}"),
            Precision::Month => format!("{year:04}-{month:02}"),
            Precision::Day => format!("{year:04}-{month:02}-{day:02}"),
            Precision::Instant => {
                // The seconds lie in the day before, in this one or in the next.
                if self.seconds < 86_400 {
                    return format!("{year:04}-{month:02}-{day:02}");
                }
                let (year, month, day) = match (month, day) {
                    // Four digits have no later one.
                    (12, 31) if year == 9999 => (year, month, day),
                    (12, 31) => (year + 1, 1, 1),
                    (_, last) if last == days_in(year, month) => (year, month + 1, 1),
                    _ => (year, month, day + 1),
                };
                format!("{year:04}-{month:02}-{day:02}")
            }
        }
    }
}

fn known(ordering: Ordering) -> Option<Ordering> {
    (ordering != Ordering::Equal).then_some(ordering)
}

/// Whether `text` is a `time`: `hh:mm:ss[.fff]`.
pub(crate) fn is_time(text: &str) -> bool {
    time_of_day(text).is_some()
}

/// Seconds and fraction of `hh:mm:ss[.fff]`; a leap second is allowed.
fn time_of_day(text: &str) -> Option<(i64, &str)> {
    let bytes = text.as_bytes();
    let hour = digits(bytes, 0, 2).filter(|&hour| hour < 24)?;
    let minute = part(bytes, 2, b':', 0..=59)?;
    let second = part(bytes, 5, b':', 0..=60)?;
    let fraction = match bytes.get(8) {
        None => "",
        Some(b'.') => text.get(9..).filter(|f| !f.is_empty() && is_digits(f))?,
        Some(_) => return None,
    };
    Some((hour * 3600 + minute * 60 + second, fraction))
}

/// Seconds of `Z` or `±hh:mm`, at most 14 hours.
fn offset(zone: &[u8]) -> Option<i64> {
    if zone == b"Z" {
        return Some(0);
    }
    let hours = digits(zone, 1, 2)?;
    let minutes = part(zone, 3, b':', 0..=59)?;
    let seconds = hours * 3600 + minutes * 60;
    let sign = if zone[0] == b'-' { -1 } else { 1 };
    (zone.len() == 6 && seconds <= 14 * 3600).then_some(sign * seconds)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Two digits after `separator` at `at`, within `range`.
fn part(
    bytes: &[u8],
    at: usize,
    separator: u8,
    range: std::ops::RangeInclusive<i64>,
) -> Option<i64> {
    let value = digits(bytes, at + 1, 2)?;
    (bytes[at] == separator && range.contains(&value)).then_some(value)
}

fn digits(bytes: &[u8], at: usize, count: usize) -> Option<i64> {
    bytes.get(at..at + count)?.iter().try_fold(0, |value, b| {
        b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0'))
    })
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;

    #[test]
    fn a_date_must_be_in_the_calendar() {
        for good in [
            "0001",
            "2024",
            "2024-12",
            "2024-02-29",
            "2000-02-29",
            "2024-01-31",
            "2015-02-07T13:28:17.239+02:00",
            "2015-02-07T23:59:60Z",
            "2015-02-07T13:28:17-14:00",
        ] {
            assert!(Moment::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "0000",
            "24",
            "2024-13",
            "2024-00",
            "2023-02-29",
            "1900-02-29",
            "2024-02-30",
            "2024-04-31",
            "2024-1-1",
            "2024-01-01T",
            "2024-01-01T10",
            "2024-01-01T10:00Z",
            "2024-01-01T10:00:00",
            "2024-01-01T24:00:00Z",
            "2024-01-01T10:60:00Z",
            "2024-01-01T10:00:00.Z",
            "2024-01-01T10:00:00+14:01",
            "2024-01-01T10:00:00+1:00",
            "2024-01-01 10:00:00Z",
            "2024-01-01T10:00:00ZZ",
            "2024/01/01",
            "2024-01-01T10:00:00é",
            "2024-01-0é",
            "２０２４",
        ] {
            assert!(Moment::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_time_has_seconds_and_no_zone() {
        assert!(is_time("23:59:59.123") && is_time("00:00:00"));
        assert!(!is_time("24:00:00") && !is_time("12:00") && !is_time("12:00:00Z"));
    }

    #[test]
    fn moments_compare_only_as_far_as_both_say() {
        use Ordering::{Equal, Greater, Less};
        let cases = [
            ("2024", "2025", Some(Less)),
            ("2024", "2024-05", None),
            ("2024-06", "2024-05-31", Some(Greater)),
            ("2024-05-01", "2024-05-01", Some(Equal)),
            ("2024-05-02", "2024-05-01T23:00:00Z", None),
            ("2024-05-03", "2024-05-01T23:00:00Z", Some(Greater)),
            (
                "2024-05-01T10:00:00Z",
                "2024-05-01T12:00:00+02:00",
                Some(Equal),
            ),
            (
                "2024-05-01T10:00:00.5Z",
                "2024-05-01T10:00:00.50Z",
                Some(Equal),
            ),
            (
                "2024-05-01T10:00:00.5Z",
                "2024-05-01T10:00:00.49Z",
                Some(Greater),
            ),
            (
                "2023-12-31T23:00:00-02:00",
                "2024-01-01T00:30:00Z",
                Some(Greater),
            ),
        ];

        for (a, b, expected) in cases {
            let (a, b) = (Moment::parse(a).unwrap(), Moment::parse(b).unwrap());
            assert_eq!(a.compare(&b), expected);
        }
    }

    #[test]
    fn a_moment_is_counted_from_1970_in_utc() {
        let cases = [
            ("1970", 0),
            ("1969-12-31T23:59:59.25Z", -750_000),
            ("2026-03", 1_772_323_200_000_000),
            ("2026-03-04", 1_772_582_400_000_000),
            ("2026-03-04T09:15:00.123456789+07:00", 1_772_590_500_123_456),
        ];

        for (text, micros) in cases {
            assert_eq!(Moment::parse(text).unwrap().unix_micros(), micros, "{text}");
        }
    }
}
