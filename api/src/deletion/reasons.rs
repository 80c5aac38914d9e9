//! Reasons of decisions and of holds: sealed under the patient's key before they are stored, and opened for those who may read
//! them. Where the patient's data was erased there is no key, and no reason is kept.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use domain::{
    deletion::StoredReason,
    ids::{PatientKeyId, UserId},
    seals::SealedTable,
    stored::StoredKey,
};
use store::{
    PgConnection, Pool, StoreError, Tx, barrier,
    deletion::{
        execution,
        reasons::{self, ClearReason},
    },
    keys, users,
};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;
use vault::{
    envelope::PatientKey,
    keyring::{Keyring, KeysUnavailable},
    reasons::{ReasonBinding, Reasoned},
};

use crate::{
    error::Error,
    facts::distinct,
    records::patient_keys::{self, SealingKey},
};

/// How often a key is made anew where another process made one a moment before.
const TRIES: usize = 5;
/// How many reasons in clear are looked for at a time.
const AT_A_TIME: i64 = 100;

/// A request or a hold with its reason opened. The reason is never printed.
#[derive(Clone)]
pub(crate) struct Explained<T> {
    /// The row.
    pub(crate) row: T,
    /// The reason; `None` where there is none, and where it does not open.
    pub(crate) reason: Option<String>,
    /// Whether there is one that does not open although the key is there.
    pub(crate) is_forged: bool,
}

impl<T: fmt::Debug> fmt::Debug for Explained<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Explained").field(&self.row).finish()
    }
}

/// Rows with the keys of their patients, wrapped: read in the transaction that writes down who reads them.
#[derive(Debug)]
pub(crate) struct SealedReasons<T> {
    rows: Vec<T>,
    keys: Vec<StoredKey>,
}

impl<T: Reasoned> SealedReasons<T> {
    /// Fetches the keys of those patients of whom a reason is sealed, one statement.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn of(conn: &mut PgConnection, rows: Vec<T>) -> Result<Self, StoreError> {
        let sealed = rows
            .iter()
            .filter(|row| matches!(row.reason(), Some(StoredReason::Sealed { .. })));
        let patients = distinct(sealed.map(T::of));
        let keys = keys::living(conn, &patients).await?;
        Ok(Self { rows, keys })
    }

    /// Opens their reasons. Nothing of the database is held while keys are unwrapped.
    ///
    /// # Errors
    /// [`KeysUnavailable`].
    pub(crate) async fn open(
        self,
        keyring: &Keyring,
    ) -> Result<Vec<Explained<T>>, KeysUnavailable> {
        let keys = patient_keys::unwrapped(keyring, &self.keys).await?;
        Ok(self.explain(&keys))
    }

    /// The same where a reason may be left out: what is shown was done, or something else of it is looked at.
    pub(crate) async fn open_where_possible(self, keyring: &Keyring) -> Vec<Explained<T>> {
        let keys = patient_keys::unwrapped_where_possible(keyring, &self.keys).await;
        self.explain(&keys)
    }

    fn explain(self, keys: &HashMap<PatientKeyId, PatientKey>) -> Vec<Explained<T>> {
        let explain = |row: T| {
            let (reason, is_forged) = match row.reason() {
                None => (None, false),
                Some(StoredReason::Clear(clear)) => (Some(clear.clone()), false),
                Some(StoredReason::Sealed { key: id, bytes }) => match keys.get(id) {
                    // It was destroyed, or does not unwrap, which is told elsewhere.
                    None => (None, false),
                    Some(key) => {
                        let opened = key.open_reason(&ReasonBinding::of(&row, *id), bytes);
                        let opened = opened.inspect_err(|error| {
                            let (table, id) = (T::TABLE.as_str(), row.id());
                            tracing::error!(row.table = table, row.id = %id, %error, "The reason of row {id} of {table} does not open");
                        });
                        let is_forged = opened.is_err();
                        (opened.ok().map(|it| it.as_str().to_owned()), is_forged)
                    }
                },
            };
            Explained {
                row,
                reason,
                is_forged,
            }
        };
        self.rows.into_iter().map(explain).collect()
    }

    /// The same of the only row.
    ///
    /// # Errors
    /// [`Error::Internal`] where there is none.
    pub(crate) async fn open_one(self, keyring: &Keyring) -> Result<Explained<T>, Error> {
        let mut explained = self.open_where_possible(keyring).await;
        explained.pop().ok_or(Error::Internal)
    }
}

/// The key that reasons about a patient are sealed under.
pub(super) struct ReasonKey {
    patient: UserId,
    prepared: HashMap<UserId, SealingKey>,
}

impl ReasonKey {
    /// The patient's living key, which is made where there is none; `None` where there is no such patient, or their data was
    /// erased.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no key can be made or unwrapped, [`Error::Busy`].
    pub(super) async fn of(
        pool: &Pool,
        keyring: &Keyring,
        patient: UserId,
    ) -> Result<Option<Self>, Error> {
        for _ in 0..TRIES {
            let mut prepared = patient_keys::prepare(pool, keyring, vec![patient]).await?;
            let mut tx = pool.begin().await?;
            // Nobody destroys it meanwhile.
            barrier::lock_shared(&mut tx, [patient]).await?;
            let is_unknown = users::by_ids(&mut tx, &[patient]).await?.is_empty();
            if is_unknown || execution::is_gone(&mut tx, patient).await? {
                return Ok(None);
            }
            if !prepared.contains_key(&patient) {
                return Err(Error::Unavailable);
            }
            if patient_keys::establish(&mut tx, &prepared, &[patient]).await? {
                tx.commit().await?;
                prepared.values_mut().for_each(SealingKey::is_stored);
                return Ok(Some(Self { patient, prepared }));
            }
        }
        Err(Error::met_another())
    }

    /// Seals the reason of a row about the patient, in the transaction that stores it.
    ///
    /// # Errors
    /// [`Error::Busy`] where the key was destroyed a moment ago.
    pub(super) async fn seal<T: Reasoned>(
        &self,
        tx: &mut Tx<'_>,
        row: &T,
        reason: &str,
    ) -> Result<StoredReason, Error> {
        let sealed = self.seal_for(tx, |key| ReasonBinding::of(row, key), reason);
        let (key, bytes) = sealed.await?.ok_or_else(Error::met_another)?;
        Ok(StoredReason::Sealed { key, bytes })
    }

    /// Seals a reason for what it belongs to, and says under which key; `None` where the key was destroyed a moment ago.
    async fn seal_for(
        &self,
        tx: &mut Tx<'_>,
        binding: impl FnOnce(PatientKeyId) -> ReasonBinding,
        reason: &str,
    ) -> Result<Option<(PatientKeyId, Vec<u8>)>, StoreError> {
        let is_living = patient_keys::establish(tx, &self.prepared, &[self.patient]).await?;
        let key = self.prepared.get(&self.patient).filter(|_| is_living);
        Ok(key.map(|key| {
            let sealed = key.key().seal_reason(&binding(key.id()), reason);
            (key.id(), sealed)
        }))
    }
}

/// Seals what stands in clear, from before reasons were sealed, again and again: a program of before may run beside this one.
pub(crate) async fn run(pool: Pool, keyring: Arc<Keyring>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = seal_clear(&pool, &keyring).await {
            tracing::warn!(%error, "Reasons that stand in clear cannot be sealed; trying again");
        }
    }
}

async fn seal_clear(pool: &Pool, keyring: &Keyring) -> Result<(), Error> {
    for table in [SealedTable::DeletionRequests, SealedTable::LegalHolds] {
        let mut after = Uuid::nil();
        loop {
            let mut conn = pool.acquire().await?;
            let found = reasons::in_clear(&mut conn, table, after, AT_A_TIME).await?;
            drop(conn);
            let Some(last) = found.last().map(|it| it.row) else {
                break;
            };
            seal_each(pool, keyring, &found).await?;
            after = last;
        }
    }
    Ok(())
}

async fn seal_each(pool: &Pool, keyring: &Keyring, found: &[ClearReason]) -> Result<(), Error> {
    for it in found {
        let key = match ReasonKey::of(pool, keyring, it.patient).await {
            Ok(Some(key)) => key,
            // What is said about somebody whose account is being erased goes with it. One whose key does not unwrap, which is
            // told elsewhere, stops no other.
            Ok(None) | Err(Error::Unavailable | Error::Busy { .. }) => continue,
            Err(error) => return Err(error),
        };
        let mut tx = pool.begin().await?;
        barrier::lock_shared(&mut tx, [it.patient]).await?;
        let binding = |key| ReasonBinding {
            table: it.table,
            row: it.row,
            patient: it.patient,
            key,
        };
        let Some((key, sealed)) = key.seal_for(&mut tx, binding, &it.clear).await? else {
            continue;
        };
        if reasons::replace(&mut tx, it, &sealed, key).await? {
            tx.commit().await?;
        }
    }
    Ok(())
}
