//! The facts of decisions: read in one place, under the locks that hold back every change to them
//! (`store::barrier`), so that a decision and its audit row lie before or after a withdrawal, never across it.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use domain::{
    access::{Actor, Decision, Emergency, country_reached},
    break_glass::BreakGlassWindow,
    consents::Consent,
    countries::Country,
    ids::{RecordId, SessionId, UserId},
    purpose::Purpose,
    representatives::Mandate,
};
use store::{Plans, Pool, StoreError, Transaction, Tx, barrier, reads::LogPosition, users};

use crate::{
    caller::{Caller, active_actor},
    error::Error,
    seals::PresentActors,
};

/// As many people are locked by the message that begins a transaction; more by one statement, which is then shorter.
const FEW: usize = 8;

/// What decisions of one transaction go by.
#[derive(Debug)]
pub(crate) struct Facts {
    /// When it is decided: the `event_time` of this transaction's audit rows.
    pub(crate) now: DateTime<Utc>,
    /// How far the primary's log was under the locks: from there on a replica shows no less than what is decided by.
    pub(crate) written: Option<LogPosition>,
    actors: HashMap<SessionId, Actor>,
    consents: HashMap<UserId, Vec<Consent>>,
    /// The windows of emergency access of those who ask in an emergency, which are open and as they were sealed, on the
    /// records of patients whose refusals are known (`Seals::open_windows`).
    windows: Vec<BreakGlassWindow>,
    /// What those may do who act for a patient.
    mandates: HashMap<(UserId, UserId), Mandate>,
    /// Whether every consent of these patients that can concern who asks is as it was sealed: else the rule in SQL, which
    /// sees no seals, says more than they do.
    pub(crate) are_sealed: bool,
}

impl Facts {
    /// Locks these patients and the accounts that ask, then reads the clock, the accounts and log-ins, and the
    /// patients' consents in force that concern whoever asks. Before it, a transaction locks no person (`store::barrier`).
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn gather(
        tx: &mut Tx<'_>,
        callers: impl IntoIterator<Item = &Caller>,
        patients: impl IntoIterator<Item = UserId>,
    ) -> Result<Self, StoreError> {
        let callers: Vec<&Caller> = callers.into_iter().collect();
        let sessions = sessions_of(callers.iter().copied());
        let patients = distinct(patients.into_iter());
        barrier::lock_shared(tx, people(&callers, &patients)).await?;
        Self::read(tx, &callers, &sessions, &patients).await
    }

    /// Begins a transaction, and gathers the same as its first.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn begin(
        pool: &Pool,
        (wait, plans): (Duration, Plans),
        callers: impl IntoIterator<Item = &Caller>,
        patients: impl IntoIterator<Item = UserId>,
    ) -> Result<(Transaction, Self), StoreError> {
        let callers: Vec<&Caller> = callers.into_iter().collect();
        let sessions = sessions_of(callers.iter().copied());
        let patients = distinct(patients.into_iter());
        let people = people(&callers, &patients);
        let mut tx = if people.len() <= FEW {
            pool.begin_locked(wait, plans, people).await?
        } else {
            let mut tx = pool.begin_with_lock_wait(wait, plans).await?;
            barrier::lock_shared(&mut tx, people).await?;
            tx
        };
        let facts = Self::read(&mut tx, &callers, &sessions, &patients).await?;
        Ok((tx, facts))
    }

    /// The same for the patients of these records.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn gather_of_records(
        tx: &mut Tx<'_>,
        callers: impl IntoIterator<Item = &Caller>,
        records: &[RecordId],
    ) -> Result<Self, StoreError> {
        let callers: Vec<&Caller> = callers.into_iter().collect();
        let sessions = sessions_of(callers.iter().copied());
        let people = people(&callers, &[]);
        let patients = barrier::lock_shared_with_records(tx, people, records).await?;
        Self::read(tx, &callers, &sessions, &patients).await
    }

    /// What these consents say, of patients whom nobody has locked: to look for something by, and to be decided
    /// under their locks.
    pub(crate) fn unlocked(now: DateTime<Utc>, consents: Vec<Consent>) -> Self {
        Self {
            now,
            written: None,
            actors: HashMap::new(),
            consents: by_patient(consents),
            windows: Vec::new(),
            mandates: HashMap::new(),
            are_sealed: true,
        }
    }

    async fn read(
        tx: &mut Tx<'_>,
        callers: &[&Caller],
        sessions: &[(UserId, SessionId)],
        patients: &[UserId],
    ) -> Result<Self, StoreError> {
        let Some(Caller { seals, .. }) = callers.first() else {
            // Nobody asks: nobody is let in.
            return Ok(Self {
                now: users::now(tx).await?,
                written: None,
                actors: HashMap::new(),
                consents: HashMap::new(),
                windows: Vec::new(),
                mandates: HashMap::new(),
                are_sealed: true,
            });
        };
        let (present, (consents, are_sealed)) = if let Some(one) = sole_person(sessions) {
            let sessions: Vec<SessionId> = sessions.iter().map(|(_, session)| *session).collect();
            seals.facts_of(tx, (one, &sessions), patients).await?
        } else {
            let present = seals.present(tx, sessions).await?;
            let consents = if patients.is_empty() {
                (Vec::new(), true)
            } else {
                seals.in_force(tx, patients, present.now).await?
            };
            (present, consents)
        };
        let PresentActors {
            now,
            actors,
            written,
        } = present;
        let pairs = callers
            .iter()
            .filter_map(|it| Some((it.user, it.on_behalf_of?)));
        let pairs = distinct(pairs);
        let mandates = seals.mandates(tx, &pairs, now).await?;
        Ok(Self {
            now,
            written,
            actors,
            consents: by_patient(consents),
            windows: Vec::new(),
            mandates,
            are_sealed,
        })
    }

    /// Reads the open windows of those who ask for a purpose of emergencies, under the same locks. Costs nothing where
    /// nobody does.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn with_emergencies(
        mut self,
        tx: &mut Tx<'_>,
        asked: impl Iterator<Item = (&Caller, Option<Purpose>)>,
    ) -> Result<Self, StoreError> {
        let in_emergency = asked.filter(|(_, purpose)| purpose.is_some_and(Purpose::is_emergency));
        let callers: Vec<&Caller> = in_emergency.map(|(caller, _)| caller).collect();
        if let Some(Caller { seals, .. }) = callers.first().copied() {
            let doctors = distinct(callers.iter().map(|caller| caller.user));
            self.windows = seals.open_windows(tx, &doctors, self.now).await?;
        }
        Ok(self)
    }

    /// The window by which a caller may ask for a patient's records for this purpose, if one was read.
    pub(crate) fn emergency(
        &self,
        caller: &Caller,
        patient: UserId,
        purpose: Purpose,
    ) -> Option<Emergency<'_>> {
        let mut windows = self.windows.iter();
        let window = windows.find(|window| {
            window.doctor == caller.user && window.patient == patient && window.purpose == purpose
        })?;
        Some(Emergency {
            window,
            second_factor_required: caller.needs_second_factor_in_emergency(),
        })
    }

    /// The patients on whose records a caller has an open window for this purpose, of those that were read.
    pub(crate) fn patients_in_emergency(
        &self,
        caller: &Caller,
        purpose: Purpose,
    ) -> impl Iterator<Item = UserId> {
        let theirs = self
            .windows
            .iter()
            .filter(move |window| window.doctor == caller.user && window.purpose == purpose);
        theirs.map(|window| window.patient)
    }

    /// Whoever asks, as the database knows them now.
    ///
    /// # Errors
    /// As of [`Caller::authorize`].
    pub(crate) fn actor(&self, caller: &Caller) -> Result<Actor, Error> {
        let actor = caller.authorize(self.actors.get(&caller.session).copied())?;
        let mandate = caller.on_behalf_of.map(|patient| {
            let known = self.mandates.get(&(caller.user, patient));
            known.copied().unwrap_or(Mandate::none(patient))
        });
        Ok(Actor {
            acts_for: mandate,
            ..actor
        })
    }

    /// The same for what is open without a second factor, too, of whoever acts for nobody.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub(crate) fn active_actor(&self, caller: &Caller) -> Result<Actor, Error> {
        active_actor(self.actors.get(&caller.session).copied())
    }

    /// The country that a patient's data goes to by this decision, where the caller is let in as a member of an organisation
    /// in another one.
    pub(crate) fn country_reached(
        &self,
        decision: Decision,
        actor: Actor,
        patient: UserId,
    ) -> Option<Country> {
        country_reached(decision, actor, self.consents_of(patient))
    }

    /// The consents of a patient that hold now; of one who was not locked, none. Where one person alone asks, those
    /// that concern them (`domain::access::overview::concerns`), and some others.
    pub(crate) fn consents_of(&self, patient: UserId) -> &[Consent] {
        self.consents.get(&patient).map_or(&[], Vec::as_slice)
    }
}

/// Who asks, where that is one person.
fn sole_person(sessions: &[(UserId, SessionId)]) -> Option<UserId> {
    let (first, _) = *sessions.first()?;
    let is_sole = sessions.iter().all(|(user, _)| *user == first);
    is_sole.then_some(first)
}

fn by_patient(consents: Vec<Consent>) -> HashMap<UserId, Vec<Consent>> {
    let mut of_patients = HashMap::<_, Vec<Consent>>::new();
    for consent in consents {
        of_patients
            .entry(consent.patient)
            .or_default()
            .push(consent);
    }
    of_patients
}

/// Whose locks a decision takes: of those who ask, of those for whom they act, and of these patients.
fn people(callers: &[&Caller], patients: &[UserId]) -> Vec<UserId> {
    let askers = callers.iter().map(|caller| caller.user);
    let represented = callers.iter().filter_map(|caller| caller.on_behalf_of);
    distinct(askers.chain(represented).chain(patients.iter().copied()))
}

fn sessions_of<'a>(callers: impl IntoIterator<Item = &'a Caller>) -> Vec<(UserId, SessionId)> {
    let sessions = callers
        .into_iter()
        .map(|caller| (caller.user, caller.session));
    distinct(sessions)
}

/// In order, each once.
pub(crate) fn distinct<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_unstable();
    all.dedup();
    all
}
