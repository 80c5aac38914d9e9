//! Which doctors' streams an entry is passed on to: those of doctors whom its patient may let in, as the database says after the
//! entry was written. So nobody has to be told of a consent or a membership that begins or ends: what was there before an entry
//! is seen for it. Whether a doctor may be told is decided elsewhere (`crate::visibility`).

use std::collections::{BTreeSet, HashMap, HashSet};

use domain::ids::UserId;
use store::{
    PgConnection,
    feed::{self, DoctorsConcerned, FeedRow},
};

use super::interest::Interest;

/// To which doctors the entries of one batch are passed on.
#[derive(Debug, Default)]
pub(super) struct DoctorRoutes {
    /// All who listen.
    listening: BTreeSet<UserId>,
    /// Those whom a patient names.
    named: HashMap<UserId, BTreeSet<UserId>>,
    /// Patients of whom all hear.
    open_to_all: HashSet<UserId>,
    /// Those who hear of everything: they are doctors no more, or it is not known.
    unsure: BTreeSet<UserId>,
}

impl DoctorRoutes {
    /// Those of these doctors, who listen, by one statement for all of them and all of the batch. Where it fails, each hears of
    /// everything.
    pub(super) async fn find(
        conn: &mut PgConnection,
        listening: BTreeSet<UserId>,
        rows: &[FeedRow],
    ) -> Self {
        if listening.is_empty() {
            return Self::default();
        }
        let doctors: Vec<UserId> = listening.iter().copied().collect();
        let patients: BTreeSet<UserId> = rows.iter().filter_map(|row| row.entry.patient).collect();
        let patients: Vec<UserId> = patients.into_iter().collect();
        match feed::doctors_concerned(conn, &doctors, &patients).await {
            Ok(concerned) => Self::of_concerned(listening, concerned),
            Err(error) => {
                tracing::warn!(
                    sql_state = error.sql_state(),
                    "Whom entries of the feed concern cannot be read; all doctors' streams are woken"
                );
                Self {
                    unsure: listening,
                    ..Self::default()
                }
            }
        }
    }

    fn of_concerned(listening: BTreeSet<UserId>, concerned: DoctorsConcerned) -> Self {
        let mut named = HashMap::<_, BTreeSet<UserId>>::new();
        for (patient, doctor) in concerned.named {
            named.entry(patient).or_default().insert(doctor);
        }
        Self {
            listening,
            named,
            open_to_all: concerned.open_to_roles.into_iter().collect(),
            unsure: concerned.of_other_roles.into_iter().collect(),
        }
    }

    /// For what those listen who hear of this entry; each once.
    pub(super) fn of(&self, row: &FeedRow) -> Vec<Interest> {
        let mut doctors = self.unsure.clone();
        if let Some(patient) = row.entry.patient {
            if self.open_to_all.contains(&patient) {
                doctors.extend(&self.listening);
            }
            doctors.extend(self.named.get(&patient).into_iter().flatten());
            // What is a doctor's own is told without a consent.
            doctors.extend(self.listening.get(&patient));
        }
        doctors.into_iter().map(Interest::PatientsOf).collect()
    }

    /// The same, and these accounts, of which the entry need not be.
    pub(super) fn with_accounts(
        &self,
        row: &FeedRow,
        accounts: &BTreeSet<UserId>,
    ) -> Vec<Interest> {
        let mut interests = self.of(row);
        // An entry says of its own patient itself.
        let others = accounts
            .iter()
            .filter(|account| Some(**account) != row.entry.patient);
        interests.extend(others.copied().map(Interest::Account));
        interests
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::integrity::FeedKind;
    use store::feed::FeedEntry;

    use super::*;

    #[test]
    fn an_entry_reaches_the_doctors_whom_its_patient_may_let_in_and_those_of_whom_it_is_not_known()
    {
        let [ana, ben, eve, bo, wu, kim] = [(); 6].map(|()| UserId::fresh());
        let listening = BTreeSet::from([bo, wu, kim]);
        let concerned = DoctorsConcerned {
            named: vec![(ana, bo), (ben, bo), (ben, wu)],
            open_to_roles: vec![eve],
            of_other_roles: vec![kim],
        };
        let unsure = DoctorRoutes {
            unsure: listening.clone(),
            ..DoctorRoutes::default()
        };
        let routes = DoctorRoutes::of_concerned(listening, concerned);
        for (what, patient, reached) in [
            ("named", Some(ana), vec![bo, kim]),
            ("named by another", Some(ben), vec![bo, wu, kim]),
            ("by role", Some(eve), vec![bo, wu, kim]),
            ("one's own", Some(wu), vec![wu, kim]),
            ("a stranger", Some(UserId::fresh()), vec![kim]),
            ("nobody's", None, vec![kim]),
        ] {
            let row = FeedRow {
                position: 1,
                at: DateTime::UNIX_EPOCH,
                entry: FeedEntry {
                    patient,
                    ..FeedEntry::new(FeedKind::AnchorPending)
                },
                finding: None,
                version: None,
            };
            let expected: BTreeSet<_> = reached.into_iter().map(Interest::PatientsOf).collect();
            let found = routes.of(&row);
            assert_eq!(found.len(), expected.len(), "{what}: each once");
            assert_eq!(BTreeSet::from_iter(found), expected, "{what}");
            assert_eq!(unsure.of(&row).len(), 3, "{what}: who is unsure is woken");
            let accounts = BTreeSet::from([ana, UserId::fresh()]);
            let more = routes.with_accounts(&row, &accounts).len() - expected.len();
            let others = if patient == Some(ana) { 1 } else { 2 };
            assert_eq!(more, others, "{what}: who was given a role hears of it");
        }
    }
}
