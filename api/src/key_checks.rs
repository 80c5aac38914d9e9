//! Keys are compared with the database before they are used: at the start, when the file of master keys
//! changed, and so before a key wraps anything for the first time.
//!
//! The same id with other bytes is refused in words. An id that the database does not know is new, or
//! from before there were check values: then a patient's key that is wrapped under this id has to
//! unwrap, or a record's tokens have to be of the index key, and the value is stored.

use store::{
    Pool, StoreError,
    key_checks::{self, Kind},
    keys, records,
};
use vault::{
    blind_index::IndexKey,
    key_check::{CheckValue, KeyCheck},
    keyring::{Keyring, KeyringError},
};

use crate::records::made_tokens_of;

/// How many of the newest records are asked whether the index key is theirs. One of those that open has to say so:
/// a single one may have been changed, or read by rules of an older version.
const WITNESSES: i64 = 20;

/// Why keys are not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyCheckError {
    /// A master key, or the file of them.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The index key.
    #[error(
        "the index key is not the key that was used before (key id \"index\"): put the right index.key back"
    )]
    OtherIndexKey,
    /// The database gave no answer.
    #[error("the keys cannot be compared with the database")]
    Store(#[from] StoreError),
}

/// Compares the master keys of the file, as it is now, with the database, and lets those be used that
/// are right. Costs a look at the file where all of them were compared before.
///
/// # Errors
/// [`KeyCheckError`]; then what was compared before is still used.
pub(crate) async fn check_master_keys(pool: &Pool, keyring: &Keyring) -> Result<(), KeyCheckError> {
    let Some(checks) = keyring.unchecked()? else {
        return Ok(());
    };
    let mut conn = pool.acquire().await?;
    let ids: Vec<String> = checks.iter().map(|check| check.id.clone()).collect();
    let known = key_checks::known(&mut conn, Kind::Master, &ids).await?;
    for check in &checks {
        if known.iter().any(|(id, _)| *id == check.id) {
            continue;
        }
        if let Some(wrapped) = keys::one_wrapped_by(&mut conn, &check.id).await?
            && let Some(Err(KeyringError::Forged(id))) = keyring.unwrap(&[&wrapped]).await.pop()
        {
            return Err(KeyringError::OtherKey(id).into());
        }
        key_checks::insert(&mut conn, Kind::Master, &check.id, &check.value.0).await?;
    }
    let known = key_checks::known(&mut conn, Kind::Master, &ids).await?;
    for check in &checks {
        if !is_known(&known, check) {
            return Err(KeyringError::OtherKey(check.id.clone()).into());
        }
    }
    keyring.accept(&checks);
    Ok(())
}

/// Compares the index key with the database. Where the database knows none, records tell whether the tokens
/// that they are found by were made with it.
///
/// # Errors
/// [`KeyCheckError`].
pub(crate) async fn check_index_key(
    pool: &Pool,
    keyring: &Keyring,
    key: &IndexKey,
) -> Result<(), KeyCheckError> {
    let check = key.check();
    let mut conn = pool.acquire().await?;
    let known = key_checks::known(&mut conn, Kind::Index, std::slice::from_ref(&check.id)).await?;
    if known.is_empty() {
        let coded = records::newest_with_codes(&mut conn, WITNESSES).await?;
        let mut told = Vec::new();
        for row in records::sealed(&mut conn, &coded).await? {
            told.extend(made_tokens_of(key, keyring, &row).await);
        }
        if !told.is_empty() && !told.contains(&true) {
            return Err(KeyCheckError::OtherIndexKey);
        }
    }
    key_checks::insert(&mut conn, Kind::Index, &check.id, &check.value.0).await?;
    let known = key_checks::known(&mut conn, Kind::Index, std::slice::from_ref(&check.id)).await?;
    if is_known(&known, &check) {
        Ok(())
    } else {
        Err(KeyCheckError::OtherIndexKey)
    }
}

fn is_known(known: &[(String, Vec<u8>)], check: &KeyCheck) -> bool {
    let CheckValue(value) = check.value;
    known
        .iter()
        .any(|(id, stored)| *id == check.id && *stored == value)
}
