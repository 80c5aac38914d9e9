//! Which entries of a log concern whom, as far as an entry says it by itself. Whether somebody may be told of one is decided
//! elsewhere (`crate::visibility`): here it is only left out what cannot concern them.

use std::{collections::BTreeSet, iter};

use domain::{
    ids::{RecordId, UserId},
    integrity::FeedKind,
    users::Role,
};
use store::{
    access_feed::AccessStretch,
    feed::{FeedEntry, FeedRow},
    notifications::Notification,
    registry_feed::RegistryFeedRow,
};

/// How many entries somebody may fall behind of those that concern many.
const BUFFER: usize = 4096;
/// The same of those that concern one account, one record or one doctor's patients. Each of these has a buffer of its own, for as long as somebody
/// listens.
const OWN_BUFFER: usize = 64;

/// What a stream is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Interest {
    /// Everything.
    Everything,
    /// What is about patients who may let this doctor in. An entry does not say whom that is: it is found for each batch
    /// (`super::routes`).
    PatientsOf(UserId),
    /// What is about this account.
    Account(UserId),
    /// What is about this record.
    Record(RecordId),
}

impl Interest {
    /// What can concern an account of this role among the events that are asked for: a part of the log that holds all of
    /// them that `crate::visibility::concerns` lets through.
    pub(crate) fn of(user: UserId, role: Role, wanted: &EventFilter) -> Self {
        match (wanted.record, role, wanted.patient) {
            (Some(record), ..) => Self::Record(record),
            (None, Role::Patient, _) => Self::Account(user),
            (None, Role::Doctor | Role::Admin, Some(patient)) => Self::Account(patient),
            (None, Role::Doctor, None) => Self::PatientsOf(user),
            (None, Role::Admin, None) => Self::Everything,
        }
    }

    /// How many entries those who listen for this may fall behind.
    pub(super) const fn buffer(self) -> usize {
        match self {
            Self::Everything => BUFFER,
            Self::PatientsOf(_) | Self::Account(_) | Self::Record(_) => OWN_BUFFER,
        }
    }

    /// The doctor whose patients it is about.
    pub(super) const fn doctor(self) -> Option<UserId> {
        match self {
            Self::PatientsOf(doctor) => Some(doctor),
            Self::Everything | Self::Account(_) | Self::Record(_) => None,
        }
    }
}

/// Which of the events that somebody may see they want to be told of. What is left out wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventFilter {
    /// Those of one record.
    pub(crate) record: Option<RecordId>,
    /// Those of one patient's records.
    pub(crate) patient: Option<UserId>,
    /// Those of these kinds.
    pub(crate) kinds: Option<Vec<FeedKind>>,
}

impl EventFilter {
    /// Whether it is one of those that are asked for.
    pub(crate) fn wants(&self, entry: &FeedEntry) -> bool {
        let is_of = self.record.is_none() || entry.record == self.record;
        let is_whose = self.patient.is_none() || entry.patient == self.patient;
        let kinds = self.kinds.as_ref();
        is_of && is_whose && kinds.is_none_or(|kinds| kinds.contains(&entry.kind))
    }
}

/// An entry that says whom it can concern.
pub(crate) trait Addressed {
    /// For what one listens to hear of it, as far as it says so itself; each once.
    fn interests(&self) -> impl Iterator<Item = Interest>;
}

impl Addressed for FeedRow {
    fn interests(&self) -> impl Iterator<Item = Interest> {
        let patient = self.entry.patient;
        let of = [
            Some(Interest::Everything),
            patient.map(Interest::Account),
            self.entry.record.map(Interest::Record),
        ];
        of.into_iter().flatten()
    }
}

impl Addressed for RegistryFeedRow {
    fn interests(&self) -> impl Iterator<Item = Interest> {
        iter::once(Interest::Everything)
    }
}

impl Addressed for Notification {
    fn interests(&self) -> impl Iterator<Item = Interest> {
        iter::once(Interest::Account(self.user))
    }
}

impl Addressed for AccessStretch {
    fn interests(&self) -> impl Iterator<Item = Interest> {
        let patients: BTreeSet<UserId> = self.rows.iter().map(|row| row.patient).collect();
        patients.into_iter().map(Interest::Account)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use store::access_feed::FollowedAccess;

    use super::*;
    use crate::visibility::concerns;

    fn event(patient: Option<UserId>, record: Option<RecordId>) -> FeedRow {
        let entry = FeedEntry {
            record,
            patient,
            ..FeedEntry::new(FeedKind::AnchorPending)
        };
        FeedRow {
            position: 1,
            at: DateTime::UNIX_EPOCH,
            entry,
            finding: None,
            version: None,
        }
    }

    #[test]
    fn an_event_reaches_all_whom_it_can_concern_and_no_patient_but_its_own() {
        use Role::{Admin, Doctor, Patient};
        let (ana, ben) = (UserId::fresh(), UserId::fresh());
        let (hers, his) = (RecordId::fresh(), RecordId::fresh());
        let of_ana = event(Some(ana), Some(hers));
        let of_nobody = event(None, None);
        let of_a_record = event(None, Some(hers));
        let table = [
            ("her own", &of_ana, (ana, Patient, None, None), true),
            ("another's", &of_ana, (ben, Patient, None, None), false),
            ("unnamed", &of_ana, (ben, Doctor, None, None), false),
            ("everything", &of_ana, (ben, Admin, None, None), true),
            (
                "her own record",
                &of_ana,
                (ana, Patient, Some(hers), None),
                true,
            ),
            (
                "another record",
                &of_ana,
                (ana, Patient, Some(his), None),
                false,
            ),
            ("a doctor's", &of_ana, (ben, Doctor, Some(hers), None), true),
            ("another", &of_ana, (ben, Doctor, Some(his), None), false),
            ("one record", &of_ana, (ben, Admin, Some(hers), None), true),
            ("nobody's", &of_nobody, (ana, Patient, None, None), false),
            ("nobody's", &of_nobody, (ben, Doctor, None, None), false),
            ("nobody's", &of_nobody, (ben, Admin, None, None), true),
            (
                "no record",
                &of_nobody,
                (ben, Admin, Some(hers), None),
                false,
            ),
            ("whose?", &of_a_record, (ben, Admin, Some(hers), None), true),
            ("one patient", &of_ana, (ben, Admin, None, Some(ana)), true),
            (
                "another one",
                &of_ana,
                (ben, Doctor, None, Some(ben)),
                false,
            ),
            ("of her", &of_ana, (ben, Doctor, None, Some(ana)), true),
            ("nobody's", &of_nobody, (ben, Admin, None, Some(ana)), false),
            ("not hers", &of_ana, (ben, Patient, None, Some(ana)), false),
        ];

        for (what, row, (user, role, record, patient), is_reached) in table {
            let wanted = EventFilter {
                record,
                patient,
                kinds: None,
            };
            let interest = Interest::of(user, role, &wanted);
            let reached = row.interests().any(|it| it == interest);
            assert_eq!(reached, is_reached, "{what}: {user} {role:?} {record:?}");
            // Which patients a doctor hears of is for the routes to say.
            let is_routed = interest.doctor().is_some();
            let is_told = wanted.wants(&row.entry) && concerns(row, user, role);
            assert!(
                reached || is_routed || !is_told,
                "{what}: what concerns them is kept"
            );
        }
    }

    #[test]
    fn a_filter_wants_what_meets_all_of_it() {
        let (ana, ben) = (UserId::fresh(), UserId::fresh());
        let (hers, his) = (RecordId::fresh(), RecordId::fresh());
        let of_ana = event(Some(ana), Some(hers)).entry;
        let of_nobody = event(None, None).entry;
        let (pending, failed) = (FeedKind::AnchorPending, FeedKind::AnchorFailed);
        let table = [
            (None, None, None, (true, true)),
            (Some(hers), None, None, (true, false)),
            (Some(his), None, None, (false, false)),
            (None, Some(ana), None, (true, false)),
            (None, Some(ben), None, (false, false)),
            (Some(hers), Some(ben), None, (false, false)),
            (None, None, Some(vec![failed, pending]), (true, true)),
            (None, None, Some(vec![failed]), (false, false)),
            (Some(hers), Some(ana), Some(vec![pending]), (true, false)),
        ];

        for (record, patient, kinds, expected) in table {
            let wanted = EventFilter {
                record,
                patient,
                kinds,
            };
            let found = (wanted.wants(&of_ana), wanted.wants(&of_nobody));
            assert_eq!(found, expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_stretch_reaches_each_patient_in_it_once() {
        let (ana, ben) = (UserId::fresh(), UserId::fresh());
        let table = [
            (vec![], vec![]),
            (vec![ana], vec![ana]),
            (vec![ana, ben, ana], vec![ana, ben]),
            (vec![ben, ben], vec![ben]),
        ];

        for (patients, reached) in table {
            let places = (0..).zip(patients);
            let rows = places.map(|(position, patient)| FollowedAccess {
                position,
                id: position,
                patient,
            });
            let stretch = AccessStretch {
                rows: rows.collect(),
                last: 9,
            };
            let interests: BTreeSet<Interest> = stretch.interests().collect();
            assert_eq!(stretch.interests().count(), interests.len(), "each once");
            let expected: BTreeSet<_> = reached.into_iter().map(Interest::Account).collect();
            assert_eq!(interests, expected);
        }
    }
}
