//! Representatives: people who act for a patient, in some activities and for a time.
//!
//! Acting for somebody is said with each request. What follows from the representations that there are is a
//! [`Mandate`]: the actor of `crate::access` has it, and the policy goes by it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    ids::{RepresentationId, RepresentativeProposalId, UserId},
    language::Phrase,
    text::text_enum,
};

/// How many representatives a patient has at most at a time.
pub const MAX_REPRESENTATIVES: usize = 10;
/// How long a representation lasts at most: until a child that is born today is of age. Unit: days.
pub const MAX_LASTS: TimeDelta = TimeDelta::days(18 * 365 + 5);
/// How long the proposal of a representative waits for a second administrator.
pub const APPOINTMENT_WAITS: TimeDelta = TimeDelta::days(7);
/// How many proposals of one administrator wait at most.
pub const MAX_WAITING_APPOINTMENTS: i64 = 50;

text_enum! {
    /// What a representative is to the patient.
    Relationship {
        /// A parent.
        Parent = "PARENT",
        /// A guardian.
        Guardian = "GUARDIAN",
        /// Somebody who cares for the patient.
        Carer = "CARER",
    }
}

impl Relationship {
    /// As a sentence has it.
    pub const fn in_words(self) -> Phrase {
        match self {
            Self::Parent => Phrase::new("parent", "orang tua"),
            Self::Guardian => Phrase::new("guardian", "wali"),
            Self::Carer => Phrase::new("carer", "pengasuh"),
        }
    }
}

text_enum! {
    /// What a patient may let a representative do for them. Nothing else is done for somebody: not what is the
    /// account's (password, wallet, second factor, log-ins), no erasure, and no other representative.
    RepresentedActivity {
        /// Find and open records and their versions, and verify them.
        ReadRecords = "READ_RECORDS",
        /// Store records.
        CreateRecords = "CREATE_RECORDS",
        /// Take records out.
        ExportRecords = "EXPORT_RECORDS",
        /// Read who accessed the data.
        ReadAccessLog = "READ_ACCESS_LOG",
        /// Read consents, and who has access.
        ReadConsents = "READ_CONSENTS",
        /// Give consents and withdraw them. What is changed is shown, so it is let with [`Self::ReadConsents`] only.
        ChangeConsents = "CHANGE_CONSENTS",
    }
}

/// How many activities there are.
const ACTIVITIES: usize = RepresentedActivity::ALL.len();

/// Some of the activities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepresentedActivities([bool; ACTIVITIES]);

impl RepresentedActivities {
    /// Those, each once.
    pub fn of(activities: impl IntoIterator<Item = RepresentedActivity>) -> Self {
        let mut set = Self::default();
        for activity in activities {
            set.0[activity as usize] = true;
        }
        set
    }

    /// Whether this one is among them.
    pub const fn contains(self, activity: RepresentedActivity) -> bool {
        self.0[activity as usize]
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Each of them, in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = RepresentedActivity> {
        let all = RepresentedActivity::ALL.iter().copied();
        all.filter(move |activity| self.contains(*activity))
    }
}

/// The two administrators who appointed a representative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appointment {
    /// Who proposed it.
    pub proposed_by: UserId,
    /// Who approved it.
    pub approved_by: UserId,
}

/// That somebody acts for a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Representation {
    /// Its id.
    pub id: RepresentationId,
    /// For whom.
    pub patient: UserId,
    /// Who.
    pub representative: UserId,
    /// What they are to the patient.
    pub relationship: Relationship,
    /// In what.
    pub activities: RepresentedActivities,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until when; exclusive.
    pub until: DateTime<Utc>,
    /// When it was made.
    pub appointed_at: DateTime<Utc>,
    /// By which administrators; `None` where the patient did it.
    pub appointment: Option<Appointment>,
    /// When it was ended before its time.
    pub ended_at: Option<DateTime<Utc>>,
}

impl Representation {
    /// Whether somebody may act by it at this moment.
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.from <= now && !self.is_over(now)
    }

    /// Whether nobody will act by it any more.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.until <= now || self.ended_at.is_some_and(|ended| ended <= now)
    }
}

/// A representation that one administrator proposed, and no other has approved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepresentativeProposal {
    /// Its id.
    pub id: RepresentativeProposalId,
    /// For whom somebody is to act.
    pub patient: UserId,
    /// Who is to act.
    pub representative: UserId,
    /// What they are to the patient.
    pub relationship: Relationship,
    /// In what.
    pub activities: RepresentedActivities,
    /// From when on; `None` for the moment of the approval.
    pub from: Option<DateTime<Utc>>,
    /// Until when; exclusive.
    pub until: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// Who proposed it.
    pub proposed_by: UserId,
    /// When.
    pub proposed_at: DateTime<Utc>,
    /// Until when it may be approved.
    pub expires_at: DateTime<Utc>,
}

/// What somebody who acts for a patient may do for them now, and by which representation each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mandate {
    patient: UserId,
    by: [Option<RepresentationId>; ACTIVITIES],
}

impl Mandate {
    /// What follows from these rows, in any order; those of others are ignored. Where several cover an activity,
    /// the lowest id is named.
    pub fn of(
        rows: &[Representation],
        representative: UserId,
        patient: UserId,
        now: DateTime<Utc>,
    ) -> Self {
        let mut mandate = Self::none(patient);
        let counts = |row: &&Representation| {
            row.patient == patient
                && row.representative == representative
                && representative != patient
                && row.is_in_force(now)
        };
        for row in rows.iter().filter(counts) {
            for activity in row.activities.iter() {
                let by = &mut mandate.by[activity as usize];
                *by = Some(by.map_or(row.id, |known| known.min(row.id)));
            }
        }
        mandate
    }

    /// That of somebody who says that they act for a patient, and may not.
    pub const fn none(patient: UserId) -> Self {
        Self {
            patient,
            by: [None; ACTIVITIES],
        }
    }

    /// For whom.
    pub const fn patient(&self) -> UserId {
        self.patient
    }

    /// The representation that covers this activity.
    pub const fn by(&self, activity: RepresentedActivity) -> Option<RepresentationId> {
        self.by[activity as usize]
    }
}

/// Why a representation cannot last from here to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTerm {
    /// It would end before it begins, or has ended already.
    #[error("a representation ends after it begins, and in the future")]
    Over,
    /// It would be too long.
    #[error("a representation lasts at most 18 years")]
    TooLong,
}

/// Checks from when until when somebody is to act.
///
/// # Errors
/// [`InvalidTerm`].
pub fn check_term(
    from: Option<DateTime<Utc>>,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), InvalidTerm> {
    let begins = from.map_or(now, |from| from.max(now));
    if until <= begins {
        Err(InvalidTerm::Over)
    } else if until - now > MAX_LASTS {
        Err(InvalidTerm::TooLong)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn user(id: u128) -> UserId {
        UserId(Uuid::from_u128(id))
    }

    fn row(id: u128, activities: &[RepresentedActivity]) -> Representation {
        Representation {
            id: RepresentationId(Uuid::from_u128(id)),
            patient: user(1),
            representative: user(2),
            relationship: Relationship::Parent,
            activities: RepresentedActivities::of(activities.iter().copied()),
            from: at(10),
            until: at(20),
            appointed_at: at(5),
            appointment: None,
            ended_at: None,
        }
    }

    #[test]
    fn a_representation_is_in_force_from_its_beginning_to_its_end_and_not_at_its_end() {
        let table = [
            (None, 9, false),
            (None, 10, true),
            (None, 19, true),
            (None, 20, false),
            (Some(15), 14, true),
            (Some(15), 15, false),
            (Some(5), 12, false),
            // One that was ended later than it is over is in force no longer for that.
            (Some(30), 20, false),
        ];
        for (ended, now, wanted) in table {
            let it = Representation {
                ended_at: ended.map(at),
                ..row(1, RepresentedActivity::ALL)
            };
            assert_eq!(it.is_in_force(at(now)), wanted, "{ended:?} at {now}");
        }
    }

    #[test]
    fn a_mandate_is_what_the_rows_of_both_cover_together() {
        use RepresentedActivity::{CreateRecords, ReadConsents, ReadRecords};

        let rows = [
            row(7, &[ReadRecords, ReadConsents]),
            row(6, &[ReadRecords]),
            Representation {
                patient: user(3),
                ..row(1, RepresentedActivity::ALL)
            },
            Representation {
                representative: user(3),
                ..row(2, RepresentedActivity::ALL)
            },
        ];
        let by = |rows: &[Representation], activity| {
            let mandate = Mandate::of(rows, user(2), user(1), at(12));
            mandate.by(activity).map(|id| id.0.as_u128())
        };
        let mut reversed = rows;
        reversed.reverse();
        for rows in [rows, reversed] {
            assert_eq!(by(&rows, ReadRecords), Some(6));
            assert_eq!(by(&rows, ReadConsents), Some(7));
            assert_eq!(by(&rows, CreateRecords), None);
        }
        // Nobody represents themselves.
        let own = Representation {
            representative: user(1),
            ..row(1, RepresentedActivity::ALL)
        };
        let mandate = Mandate::of(&[own], user(1), user(1), at(12));
        assert_eq!(mandate, Mandate::none(user(1)));
    }

    #[test]
    fn a_term_ends_after_it_begins_and_lasts_no_longer_than_a_childhood() {
        let longest = MAX_LASTS.num_seconds();
        let table = [
            (None, 101, Ok(())),
            (None, 100, Err(InvalidTerm::Over)),
            (Some(50), 101, Ok(())),
            (Some(200), 200, Err(InvalidTerm::Over)),
            (Some(200), 201, Ok(())),
            (None, 100 + longest, Ok(())),
            (None, 101 + longest, Err(InvalidTerm::TooLong)),
        ];
        for (from, until, wanted) in table {
            let found = check_term(from.map(at), at(until), at(100));
            assert_eq!(found, wanted, "{from:?} to {until}");
        }
    }
}
