//! Rows that decide are believed where their seal is right, and nowhere else: accounts, consents, second
//! factors, log-ins, roles that wait, windows of emergency access, organisations and who belongs to them. What is not sealed is treated as if it were not there, and becomes a finding.
//!
//! What would be a way in if a row could be made to disappear fails the other way: a second factor whose
//! row is gone is still asked for, and a patient's refusal whose row is gone, or is not as it was sealed,
//! keeps everybody out until an operator has looked. The sealed account names both.

pub(crate) mod finding;
mod left_out;
mod memberships;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use domain::{
    access::Actor,
    break_glass::BreakGlassWindow,
    consents::Consent,
    countries::Country,
    ids::{SessionId, UserId},
    organizations::CurrentMemberships,
    representatives::{Mandate, Representation},
    seals::{Authority, Seal, Sealed, SealedTable, Session, StoredConsents, Tampered},
    users::Role,
};
use store::{
    PgConnection, Pool, StoreError, Tx, break_glass, consents,
    facts::{self, PersonFacts},
    reads::LogPosition,
    representatives, seals, sessions,
    users::{self, Present, SessionClaim},
};
use tokio::{sync::mpsc, task::JoinSet};
use vault::{keyring::Keyring, seal::Sealable};

use self::left_out::LeftOut;
use crate::error::Error;

/// How many findings wait to be written. What does not fit is met again, by the next reading or by the
/// deep check.
const WAITING: usize = 256;
/// For how long the same row is not reported again: the finding is open.
const QUIET: Duration = Duration::from_secs(10);

/// Checks seals, and writes them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Seals {
    keyring: Arc<Keyring>,
    home: Country,
    found: mpsc::Sender<Tampered>,
    left_out: LeftOut,
}

/// Who stands behind sessions at a moment, of whom are believed.
#[derive(Debug)]
pub(crate) struct PresentActors {
    /// The moment, by the database's clock.
    pub(crate) now: DateTime<Utc>,
    /// By log-in.
    pub(crate) actors: HashMap<SessionId, Actor>,
    /// Where the primary's log is then.
    pub(crate) written: Option<LogPosition>,
}

impl Seals {
    /// Begins to check; what is found wrong is written down by a task.
    pub(crate) fn start(
        keyring: Arc<Keyring>,
        pool: Pool,
        home: Country,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (found, inbox) = mpsc::channel(WAITING);
        tasks.spawn(write_down(pool.clone(), inbox));
        let left_out = LeftOut::start(Arc::clone(&keyring), pool, found.clone(), tasks);
        Self {
            keyring,
            home,
            found,
            left_out,
        }
    }

    /// The keys that seal.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The row, if its seal is right. Else it is reported.
    pub(crate) fn open<T: Sealable>(&self, sealed: Sealed<T>) -> Option<T> {
        match self.keyring.open_row(sealed) {
            Ok(row) => Some(row),
            Err(tampered) => {
                self.report(tampered);
                None
            }
        }
    }

    /// The row as it stands, to be shown to whose it is, and whether its seal is right. Else it is
    /// reported.
    pub(crate) fn look_at<T: Sealable + Clone>(&self, sealed: Sealed<T>) -> (T, bool) {
        let is_right = self.open(sealed.clone()).is_some();
        let (row, _) = sealed.into_parts();
        (row, is_right)
    }

    /// A seal for a row that is about to be written.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no master key can be used: the operator's to mend.
    pub(crate) fn seal<T: Sealable>(&self, row: &T) -> Result<Seal, Error> {
        self.keyring.seal_row(row).map_err(|error| {
            tracing::error!(%error, "No row can be sealed");
            Error::Unavailable
        })
    }

    /// Reports a row that is not as it was sealed.
    pub(crate) fn report(&self, tampered: Tampered) {
        // Full: whoever meets the row next reports it.
        self.found.try_send(tampered).ok();
    }

    /// Who stands behind these sessions at this moment, for `domain::access`, with the database's clock. A
    /// session that is unknown, revoked or over, and a deactivated account, give an inactive actor; an
    /// unknown account, and one that is not as it was sealed, give none.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn present(
        &self,
        conn: &mut PgConnection,
        sessions: &[(UserId, SessionId)],
    ) -> Result<PresentActors, StoreError> {
        let Present {
            now,
            claims,
            written,
        } = users::present(conn, sessions).await?;
        let mut actors = self.actors(claims, now);
        self.add_memberships(conn, actors.values_mut(), now).await?;
        Ok(PresentActors {
            now,
            actors,
            written,
        })
    }

    /// The same of one person's sessions; and of the consents of these patients that count then those that can change what is
    /// decided about the person, and whether all of them are as they were sealed. One statement, after the locks of all of them
    /// are held. The seals of the other consents are checked soon.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn facts_of(
        &self,
        conn: &mut PgConnection,
        (person, sessions): (UserId, &[SessionId]),
        patients: &[UserId],
    ) -> Result<(PresentActors, (Vec<Consent>, bool)), StoreError> {
        let PersonFacts {
            present,
            memberships,
            consents,
        } = facts::of_person(conn, person, sessions, patients).await?;
        let Present {
            now,
            claims,
            written,
        } = present;
        let mut actors = self.actors(claims, now);
        self.say_memberships(actors.values_mut(), memberships, now);
        self.left_out.add(&consents.left_out);
        let present = PresentActors {
            now,
            actors,
            written,
        };
        Ok((present, self.consents(consents)))
    }

    /// The same of one session.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn actor_of(
        &self,
        conn: &mut PgConnection,
        user: UserId,
        session: SessionId,
    ) -> Result<Option<Actor>, StoreError> {
        let mut present = self.present(conn, &[(user, session)]).await?;
        Ok(present.actors.remove(&session))
    }

    fn actors(
        &self,
        claims: HashMap<SessionId, SessionClaim>,
        now: DateTime<Utc>,
    ) -> HashMap<SessionId, Actor> {
        let actors = claims
            .into_iter()
            .filter_map(|(session, claim)| Some((session, self.actor(claim, now)?)));
        actors.collect()
    }

    fn actor(&self, claim: SessionClaim, now: DateTime<Utc>) -> Option<Actor> {
        let account = self.open(claim.account)?;
        let session = claim.session.and_then(|session| self.open(session));
        let session = session.filter(|it| it.parent.is_none() && now < it.expires_at);
        Some(Actor {
            id: account.user,
            role: account.role,
            is_active: account.is_active && session.is_some(),
            memberships: CurrentMemberships::default(),
            second_factor: session.is_some_and(|it| it.second_factor_at.is_some()),
            acts_for: None,
        })
    }

    /// What these people may be, whether they are logged in or not, as if they had shown a second factor. Those whose
    /// account is unknown or not as it was sealed are left out.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn people(
        &self,
        conn: &mut PgConnection,
        people: &[UserId],
    ) -> Result<HashMap<UserId, Actor>, StoreError> {
        let found = seals::authorities(conn, people).await?.into_iter();
        let mut actors: HashMap<UserId, Actor> = found
            .filter_map(|sealed| {
                let account = self.open(sealed)?;
                let actor = Actor {
                    id: account.user,
                    role: account.role,
                    is_active: account.is_active,
                    memberships: CurrentMemberships::default(),
                    second_factor: true,
                    acts_for: None,
                };
                Some((actor.id, actor))
            })
            .collect();
        let now = users::now(conn).await?;
        self.add_memberships(conn, actors.values_mut(), now).await?;
        Ok(actors)
    }

    /// What this account may do, if it is there and as it was sealed.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn account(
        &self,
        conn: &mut PgConnection,
        user: UserId,
    ) -> Result<Option<Authority>, StoreError> {
        let found = seals::authorities(conn, &[user]).await?.pop();
        Ok(found.and_then(|sealed| self.open(sealed)))
    }

    /// The same; nobody changes it until the transaction ends.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn lock(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
    ) -> Result<Option<Authority>, StoreError> {
        let found = seals::lock_authority(tx, user).await?;
        Ok(found.and_then(|sealed| self.open(sealed)))
    }

    /// Writes what an account may do from now on; lock it first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or the database's.
    pub(crate) async fn write(&self, tx: &mut Tx<'_>, account: &Authority) -> Result<(), Error> {
        let seal = self.seal(account)?;
        Ok(seals::write_authority(tx, account, &seal).await?)
    }

    /// All active administrators; nobody changes them until the transaction ends. One whose account is not as
    /// it was sealed administers nothing.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn lock_administrators(
        &self,
        tx: &mut Tx<'_>,
    ) -> Result<Vec<UserId>, StoreError> {
        let found = users::lock_administrators(tx).await?.into_iter();
        Ok(found
            .filter_map(|sealed| Some(self.open(sealed)?.user))
            .collect())
    }

    /// Remembers that this log-in shows a second factor from now on.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where it is over or not as it was sealed; the database's.
    pub(crate) async fn show_second_factor(
        &self,
        tx: &mut Tx<'_>,
        session: SessionId,
    ) -> Result<(), Error> {
        let now = users::now(tx).await?;
        let found = sessions::lock(tx, session).await?;
        let found = found.and_then(|sealed| self.open(sealed));
        let session = Session {
            second_factor_at: Some(now),
            ..found.ok_or(Error::Unauthenticated)?
        };
        Ok(sessions::write(tx, &session, &self.seal(&session)?).await?)
    }

    /// From now on no log-in of this account shows a second factor. One that is not as it was sealed is
    /// believed nothing as it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or the database's.
    pub(crate) async fn forget_second_factor(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
    ) -> Result<(), Error> {
        for sealed in sessions::lock_with_second_factor(tx, user).await? {
            let Some(session) = self.open(sealed) else {
                continue;
            };
            let session = Session {
                second_factor_at: None,
                ..session
            };
            sessions::write(tx, &session, &self.seal(&session)?).await?;
        }
        Ok(())
    }

    /// What these people may do for these patients now, each pair a representative and a patient: by representations that
    /// are as they were sealed, for patients whose accounts are active and as they were sealed, and no administrator's. Nobody
    /// gets more than the patient has.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn mandates(
        &self,
        conn: &mut PgConnection,
        pairs: &[(UserId, UserId)],
        now: DateTime<Utc>,
    ) -> Result<HashMap<(UserId, UserId), Mandate>, StoreError> {
        if pairs.is_empty() {
            return Ok(HashMap::new());
        }
        let (representatives, patients): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let found = representatives::in_force(conn, &representatives, &patients, now).await?;
        let rows = found.into_iter().filter_map(|sealed| self.open(sealed));
        let rows: Vec<Representation> = rows.collect();
        let accounts = self.people(conn, &patients).await?;
        let is_fit = |patient: &UserId| {
            let account = accounts.get(patient);
            account.is_some_and(|it| it.is_active && it.role != Role::Admin)
        };
        let of = pairs.iter().filter(|(_, patient)| is_fit(patient));
        let of = of.map(|&(representative, patient)| {
            let mandate = Mandate::of(&rows, representative, patient, now);
            ((representative, patient), mandate)
        });
        Ok(of.collect())
    }

    /// A patient's representations that are not over, those of later among them, as they were sealed.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn representations_of(
        &self,
        conn: &mut PgConnection,
        patient: UserId,
        now: DateTime<Utc>,
    ) -> Result<Vec<Representation>, StoreError> {
        let found = representatives::not_over(conn, patient, now).await?;
        Ok(found
            .into_iter()
            .filter_map(|sealed| self.open(sealed))
            .collect())
    }

    /// The windows of emergency access of these doctors that open something now: as they were sealed, and on the
    /// records of patients whose refusals are known.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn open_windows(
        &self,
        conn: &mut PgConnection,
        doctors: &[UserId],
        now: DateTime<Utc>,
    ) -> Result<Vec<BreakGlassWindow>, StoreError> {
        let windows = self.sealed_windows(conn, doctors, now).await?;
        self.of_known_refusals(conn, windows, now).await
    }

    /// The windows of these doctors that are open now and as they were sealed, whether they open anything or not.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn sealed_windows(
        &self,
        conn: &mut PgConnection,
        doctors: &[UserId],
        now: DateTime<Utc>,
    ) -> Result<Vec<BreakGlassWindow>, StoreError> {
        let found = break_glass::open_of_doctors(conn, doctors, now).await?;
        Ok(self.windows(found, now))
    }

    /// Those on the records of patients of whom every refusal is there and as it was sealed: whatever may have been
    /// refused, a window does not open.
    async fn of_known_refusals(
        &self,
        conn: &mut PgConnection,
        mut windows: Vec<BreakGlassWindow>,
        now: DateTime<Utc>,
    ) -> Result<Vec<BreakGlassWindow>, StoreError> {
        if windows.is_empty() {
            return Ok(windows);
        }
        let patients: HashSet<UserId> = windows.iter().map(|window| window.patient).collect();
        let patients: Vec<UserId> = patients.into_iter().collect();
        let stored = consents::in_force(conn, &patients, now).await?;
        let closed = self.judged(stored).closed;
        windows.retain(|window| !closed.contains(&window.patient));
        Ok(windows)
    }

    /// The same of those on this patient's records.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn open_windows_on(
        &self,
        conn: &mut PgConnection,
        patient: UserId,
        now: DateTime<Utc>,
    ) -> Result<Vec<BreakGlassWindow>, StoreError> {
        let found = break_glass::open_of_patient(conn, patient, now).await?;
        let windows = self.windows(found, now);
        self.of_known_refusals(conn, windows, now).await
    }

    fn windows(
        &self,
        found: Vec<Sealed<BreakGlassWindow>>,
        now: DateTime<Utc>,
    ) -> Vec<BreakGlassWindow> {
        let found = found.into_iter();
        let opened = found.filter_map(|sealed| self.open(sealed));
        opened.filter(|window| window.is_open(now)).collect()
    }

    /// Every consent of these patients that counts now, and whether all of them are as they were sealed.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn in_force(
        &self,
        conn: &mut PgConnection,
        patients: &[UserId],
        now: DateTime<Utc>,
    ) -> Result<(Vec<Consent>, bool), StoreError> {
        Ok(self.consents(consents::in_force(conn, patients, now).await?))
    }

    /// Those that are as they were sealed, and whether all of them are. None of a patient of whom a refusal
    /// is missing or not as it was sealed, or whose account is not: what they refused cannot be known.
    pub(crate) fn consents(&self, stored: StoredConsents) -> (Vec<Consent>, bool) {
        let Judged { valid, found, .. } = self.judged(stored);
        (valid, found.is_empty())
    }

    /// The same in full; what is wrong is reported.
    fn judged(&self, stored: StoredConsents) -> Judged {
        let judged = judge(&self.keyring, stored);
        for tampered in &judged.found {
            self.report(*tampered);
        }
        judged
    }
}

/// What is to be believed of stored consents.
struct Judged {
    /// Those that count.
    valid: Vec<Consent>,
    /// The rows that are missing, or not as they were sealed.
    found: Vec<Tampered>,
    /// The patients whose refusals cannot be known: nobody is let in, by no consent and by no window.
    closed: HashSet<UserId>,
}

fn judge(keyring: &Keyring, stored: StoredConsents) -> Judged {
    let mut found: Vec<Tampered> = stored
        .unreadable
        .into_iter()
        .map(|(of, row)| Tampered {
            table: SealedTable::Consents,
            row,
            of,
        })
        .collect();
    let mut valid = Vec::with_capacity(stored.consents.len());
    for sealed in stored.consents {
        match keyring.open_row(sealed) {
            Ok(consent) => valid.push(consent),
            Err(tampered) => found.push(tampered),
        }
    }
    let mut closed = HashSet::new();
    for sealed in stored.patients {
        match keyring.open_row(sealed) {
            Ok(account) => {
                for row in account.refusals {
                    if valid.iter().any(|consent| consent.id.0 == row) {
                        continue;
                    }
                    closed.insert(account.user);
                    if !found.iter().any(|tampered| tampered.row == row) {
                        found.push(Tampered {
                            table: SealedTable::Consents,
                            row,
                            of: account.user,
                        });
                    }
                }
            }
            Err(tampered) => {
                closed.insert(tampered.of);
                found.push(tampered);
            }
        }
    }
    valid.retain(|consent| !closed.contains(&consent.patient));
    Judged {
        valid,
        found,
        closed,
    }
}

/// Writes findings down, each row once in a while.
async fn write_down(pool: Pool, mut inbox: mpsc::Receiver<Tampered>) {
    let mut lately: HashMap<Tampered, Instant> = HashMap::new();
    while let Some(tampered) = inbox.recv().await {
        lately.retain(|_, at| at.elapsed() < QUIET);
        if lately.contains_key(&tampered) {
            continue;
        }
        match finding::open(&pool, tampered).await {
            Ok(()) => {
                lately.insert(tampered, Instant::now());
            }
            Err(error) => {
                tracing::warn!(
                    sql_state = error.sql_state(),
                    "A finding about a row cannot be written; whoever meets the row next reports it again"
                );
            }
        }
    }
}
