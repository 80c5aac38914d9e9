//! Documents that another system has sent before: which record was made of them, and what one that comes again is beside
//! those that are there. What the source calls its documents is not in here, but what is made of it under a key.

use chrono::{DateTime, Utc};

use crate::ids::{RecordId, UserId};

/// How long what stands for a name, for a content or for a row is. Unit: bytes.
pub const TOKEN_LEN: usize = 32;

/// What stands for a name, a content or a row of a source.
pub type SourceToken = [u8; TOKEN_LEN];

/// A document as a source sends it: by which name, in which version, saying what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// What stands for its name, of one patient.
    pub token: SourceToken,
    /// Which version of it this is, as the source counts.
    pub version: Option<String>,
    /// When that version was made, as the source says.
    pub updated_at: Option<DateTime<Utc>>,
    /// What stands for what it says.
    pub content: SourceToken,
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
        if newest.state.content == self.content {
            return SourceComparison::Same(newest.record);
        }
        let is_this = |it: &&RecordSource| {
            it.state.content == self.content
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
            content: [content; TOKEN_LEN],
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
}
