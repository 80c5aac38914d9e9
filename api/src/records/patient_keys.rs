//! The keys of patients that something is sealed under, such as a group of drafts: fetched and unwrapped, or made, before the
//! transaction begins, because a keyring may be far away; stored and looked at once more inside it.

use std::collections::HashMap;

use domain::{
    ids::{PatientKeyId, UserId},
    stored::StoredKey,
};
use store::{Pool, StoreError, Tx, keys, users};
use vault::{
    envelope::PatientKey,
    keyring::{KeyName, Keyring, KeysUnavailable},
};

use crate::key_checks::{KeyCheckError, check_master_keys};

/// A patient's key, ready to seal with.
pub(crate) struct SealingKey {
    stored: StoredKey,
    is_new: bool,
    key: PatientKey,
}

impl SealingKey {
    pub(crate) fn id(&self) -> PatientKeyId {
        self.stored.id
    }

    pub(crate) fn key(&self) -> &PatientKey {
        &self.key
    }

    /// It was stored meanwhile: it is not stored a second time.
    pub(crate) fn is_stored(&mut self) {
        self.is_new = false;
    }
}

/// The key of each patient; made where there is none yet. One that does not unwrap is left out: its
/// patient's drafts cannot be sealed, and the others can. While a token gives no answer, all are left out.
pub(crate) async fn prepare(
    pool: &Pool,
    keyring: &Keyring,
    mut patients: Vec<UserId>,
) -> Result<HashMap<UserId, SealingKey>, StoreError> {
    patients.sort_unstable();
    patients.dedup();
    let mut conn = pool.acquire().await?;
    let mut stored: Vec<(StoredKey, bool)> = keys::living(&mut conn, &patients)
        .await?
        .into_iter()
        .map(|key| (key, false))
        .collect();
    patients.retain(|patient| !stored.iter().any(|(key, _)| key.patient == *patient));
    if !patients.is_empty() {
        let created_at = users::now(&mut conn).await?;
        drop(conn);
        let names: Vec<KeyName> = patients
            .into_iter()
            .map(|patient| KeyName {
                id: PatientKeyId::fresh(),
                patient,
                created_at,
            })
            .collect();
        match new_keys(pool, keyring, &names).await {
            Ok(new) => stored.extend(new.into_iter().map(|key| (key, true))),
            Err(error) => tracing::error!(%error, "No key can be made for a new patient"),
        }
    }
    let rows: Vec<&StoredKey> = stored.iter().map(|(key, _)| key).collect();
    let unwrapped = match keyring.unwrap(&rows).await {
        Ok(unwrapped) => unwrapped,
        Err(unavailable) => {
            log_unavailable(&unavailable);
            return Ok(HashMap::new());
        }
    };
    Ok(stored
        .into_iter()
        .zip(unwrapped)
        .filter_map(|((stored, is_new), key)| {
            let key = key
                .inspect_err(|error| {
                    tracing::error!(key.id = %stored.id, %error, "A patient's key does not unwrap");
                })
                .ok()?;
            Some((
                stored.patient,
                SealingKey {
                    stored,
                    is_new,
                    key,
                },
            ))
        })
        .collect())
}

/// These keys unwrapped, by their ids. One that does not unwrap is left out.
///
/// # Errors
/// [`KeysUnavailable`].
pub(crate) async fn unwrapped(
    keyring: &Keyring,
    keys: &[StoredKey],
) -> Result<HashMap<PatientKeyId, PatientKey>, KeysUnavailable> {
    let keys: Vec<&StoredKey> = keys.iter().collect();
    let ids = keys.iter().map(|key| key.id);
    let unwrapped = ids.zip(keyring.unwrap(&keys).await?);
    let unwrapped = unwrapped.filter_map(|(id, key)| {
        let key = key.inspect_err(|error| {
            tracing::error!(key.id = %id, %error, "A patient's key does not unwrap");
        });
        Some((id, key.ok()?))
    });
    Ok(unwrapped.collect())
}

/// The same where what is sealed may be left out: none, while a token gives no answer.
pub(crate) async fn unwrapped_where_possible(
    keyring: &Keyring,
    keys: &[StoredKey],
) -> HashMap<PatientKeyId, PatientKey> {
    let unwrapped = unwrapped(keyring, keys).await;
    unwrapped.inspect_err(log_unavailable).unwrap_or_default()
}

fn log_unavailable(error: &KeysUnavailable) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(cause, "Patients' keys cannot be unwrapped: {error}");
}

/// Fresh keys, wrapped by a master key that the database knows.
async fn new_keys(
    pool: &Pool,
    keyring: &Keyring,
    names: &[KeyName],
) -> Result<Vec<StoredKey>, KeyCheckError> {
    check_master_keys(pool, keyring).await?;
    Ok(keyring.new_patient_keys(names).await?)
}

/// Stores those of these patients' keys that are new. Whether all of them are the living ones now: not
/// where another process made one a moment ago, or one was destroyed.
pub(crate) async fn establish(
    tx: &mut Tx<'_>,
    prepared: &HashMap<UserId, SealingKey>,
    patients: &[UserId],
) -> Result<bool, StoreError> {
    let mut used: Vec<&SealingKey> = patients.iter().filter_map(|id| prepared.get(id)).collect();
    used.sort_unstable_by_key(|it| it.stored.patient);
    used.dedup_by_key(|it| it.stored.patient);
    let new: Vec<&StoredKey> = used
        .iter()
        .filter(|it| it.is_new)
        .map(|it| &it.stored)
        .collect();
    if !new.is_empty() {
        keys::insert(tx, &new).await?;
    }
    let ids: Vec<PatientKeyId> = used.iter().map(|it| it.id()).collect();
    Ok(keys::living_ids(tx, &ids).await?.len() == ids.len())
}
