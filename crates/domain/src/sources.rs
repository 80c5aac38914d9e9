//! Documents that another system has sent before: which record was made of them, and what one that comes again is beside
//! those that are there. What the source calls its documents is not in here, but what is made of it under a key.

use chrono::{DateTime, Utc};

use crate::ids::{RecordId, UserId};

/// How long what stands for a name, for a content or for a row is. Unit: bytes.
pub const TOKEN_LEN: usize = 32;

/// What stands for a name, a content or a row of a source.
pub type SourceToken = [u8; TOKEN_LEN];

/// What stands for what a document says, and for how many of its references lead to nothing that is stored.
///
/// It is the token of the content, with that number in its last four bytes, by exclusive or. Who knows the content reads the number;
/// nobody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentToken(pub SourceToken);

impl ContentToken {
    /// How much of a token stands for the content alone. Unit: bytes.
    const OF_CONTENT: usize = TOKEN_LEN - 4;

    /// The same of a document of which so many references lead to nothing.
    #[must_use]
    pub fn with_open(self, open: u32) -> Self {
        let mut token = self.0;
        for (byte, more) in token[Self::OF_CONTENT..].iter_mut().zip(open.to_be_bytes()) {
            *byte ^= more;
        }
        Self(token)
    }

    /// How many references of the other lead to nothing that lead somewhere in this; `None` where it says something else.
    fn open_in(self, other: Self) -> Option<u32> {
        let (this, its) = self.0.split_at(Self::OF_CONTENT);
        let (that, others) = other.0.split_at(Self::OF_CONTENT);
        let bytes = its.iter().zip(others).map(|(one, other)| one ^ other);
        let open = bytes.fold(0, |open, byte| (open << 8) | u32::from(byte));
        (this == that).then_some(open)
    }
}

/// A document as a source sends it: by which name, in which version, saying what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// What stands for its name, of one patient.
    pub token: SourceToken,
    /// Which version of it this is, as the source counts.
    pub version: Option<String>,
    /// When that version was made, as the source says.
    pub updated_at: Option<DateTime<Utc>>,
    /// What stands for what it says. Of one that is known, also how many of its references lead to nothing.
    pub content: ContentToken,
    /// How many references of one that comes lead to nothing.
    pub open: u32,
}

/// The record that was made of such a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSource {
    /// Whose.
    pub patient: UserId,
    /// The version of the record.
    pub record: RecordId,
    /// The number of that version.
    pub number: i32,
    /// The kind of resource that it is, as R4 calls it.
    pub kind: String,
    /// What it was made of.
    pub state: SourceState,
}

/// What a document is beside those of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceComparison {
    /// None of that name is there.
    Unknown,
    /// It is there: this version.
    Same(RecordId),
    /// It is there, and some of its references lead to what was not stored then.
    Mended {
        /// This version.
        record: RecordId,
        /// How many of its references lead to nothing.
        open: u32,
    },
    /// One that is newer is there: this version.
    Outdated(RecordId),
    /// It says something else than the newest that is there, which is this version, and is no older.
    Changed(RecordId),
}

impl SourceState {
    /// What this is beside what is known of the same name, in whichever order.
    pub fn compare(&self, known: &[RecordSource]) -> SourceComparison {
        let Some(newest) = known.iter().max_by_key(|it| it.number) else {
            return SourceComparison::Unknown;
        };
        if let Some(open) = self.content.open_in(newest.state.content) {
            let record = newest.record;
            return if open > self.open {
                SourceComparison::Mended { record, open }
            } else {
                SourceComparison::Same(record)
            };
        }
        let is_this = |it: &&RecordSource| {
            self.content.open_in(it.state.content).is_some()
                && it.state.version == self.version
                && it.state.updated_at == self.updated_at
        };
        if let Some(same) = known.iter().find(is_this) {
            return SourceComparison::Same(same.record);
        }
        if self.is_older_than(&newest.state) {
            SourceComparison::Outdated(newest.record)
        } else {
            SourceComparison::Changed(newest.record)
        }
    }

    /// What is noted of it once it is stored.
    #[must_use]
    pub fn stored(&self) -> Self {
        Self {
            content: self.content.with_open(self.open),
            open: 0,
            ..self.clone()
        }
    }

    /// Whether the source says that it was followed by the other: by its times, or else by its numbers. Where it says
    /// neither, what comes later is newer.
    fn is_older_than(&self, other: &Self) -> bool {
        if let (Some(this), Some(that)) = (self.updated_at, other.updated_at)
            && this != that
        {
            return this < that;
        }
        let number = |state: &Self| state.version.as_deref()?.parse::<u64>().ok();
        matches!((number(self), number(other)), (Some(this), Some(that)) if this < that)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ANA: UserId = UserId(Uuid::from_u128(1));

    fn state(content: u8, version: Option<&str>, at: Option<i64>) -> SourceState {
        SourceState {
            token: [9; TOKEN_LEN],
            version: version.map(str::to_owned),
            updated_at: at.and_then(|at| DateTime::from_timestamp(at, 0)),
            content: ContentToken([content; TOKEN_LEN]),
            open: 0,
        }
    }

    fn known(number: i32, state: SourceState) -> RecordSource {
        RecordSource {
            patient: ANA,
            record: RecordId(Uuid::from_u128(number.unsigned_abs().into())),
            number,
            kind: "Condition".to_owned(),
            state,
        }
    }

    #[test]
    fn what_comes_again_is_the_same_older_or_changed() {
        use SourceComparison::{Changed, Outdated, Same, Unknown};
        let record = |number: u128| RecordId(Uuid::from_u128(number));
        let numbered = [
            known(2, state(2, Some("4"), None)),
            known(1, state(1, Some("3"), None)),
        ];
        let timed = [known(1, state(1, Some("9"), Some(100)))];
        let bare = [
            known(1, state(1, None, None)),
            known(2, state(2, None, None)),
        ];
        for (came, known, expected) in [
            (state(1, None, None), &bare[..0], Unknown),
            (state(2, Some("7"), None), &numbered[..], Same(record(2))),
            (state(1, Some("3"), None), &numbered[..], Same(record(1))),
            // It says again what it said once: a version of its own.
            (state(1, Some("5"), None), &numbered[..], Changed(record(2))),
            (
                state(3, Some("3"), None),
                &numbered[..],
                Outdated(record(2)),
            ),
            (
                state(3, Some("10"), None),
                &numbered[..],
                Changed(record(2)),
            ),
            (state(3, Some("a"), None), &numbered[..], Changed(record(2))),
            // Times before numbers.
            (
                state(3, Some("8"), Some(101)),
                &timed[..],
                Changed(record(1)),
            ),
            (
                state(3, Some("10"), Some(99)),
                &timed[..],
                Outdated(record(1)),
            ),
            (
                state(3, Some("8"), Some(100)),
                &timed[..],
                Outdated(record(1)),
            ),
            // Without either, a file that is sent again is the same file.
            (state(1, None, None), &bare[..], Same(record(1))),
            (state(3, None, None), &bare[..], Changed(record(2))),
        ] {
            assert_eq!(came.compare(known), expected, "{came:?}");
        }
    }

    #[test]
    fn what_leads_to_nothing_is_mended_once_it_leads_somewhere() {
        let record = RecordId(Uuid::from_u128(1));
        let with = |open: u32| SourceState {
            open,
            ..state(1, None, None)
        };
        let mended = SourceComparison::Mended { record, open: 300 };
        for (came, expected) in [
            (with(0), mended),
            (with(299), mended),
            (with(300), SourceComparison::Same(record)),
            // What was found once stays.
            (with(301), SourceComparison::Same(record)),
            (state(2, None, None), SourceComparison::Changed(record)),
        ] {
            let stored = with(300).stored();
            assert_ne!(stored.content, came.content);
            assert_eq!(came.compare(&[known(1, stored)]), expected, "{came:?}");
        }
        // One without any is noted as it always was.
        assert_eq!(with(0).stored(), state(1, None, None));
        let older = [known(1, state(1, None, None))];
        assert_eq!(with(7).compare(&older), SourceComparison::Same(record));
    }
}
