//! Keys are compared with the database before they are used: at the start, when the file of master keys
//! changed, and so before a key wraps anything for the first time.
//!
//! The same id with other bytes is refused in words. An id that the database does not know is new, or
//! from before there were check values: then a patient's key that is wrapped under this id has to
//! unwrap, and the value is stored. The index key is compared in `records::index_key`.

use store::{
    Pool, StoreError,
    key_checks::{self, KeyKind},
    keys,
};
use vault::{
    key_check::{CheckValue, KeyCheck},
    keyring::{Keyring, KeyringError},
};

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
    let known = key_checks::known(&mut conn, KeyKind::Master, &ids).await?;
    for check in &checks {
        if known.iter().any(|(id, _)| *id == check.id) {
            continue;
        }
        if let Some(wrapped) = keys::one_wrapped_by(&mut conn, &check.id).await? {
            let unwrapped = keyring.unwrap(&[&wrapped]).await;
            let unwrapped = unwrapped.map_err(KeyringError::from)?.pop();
            if let Some(Err(KeyringError::Forged(id))) = unwrapped {
                return Err(KeyringError::OtherKey(id).into());
            }
        }
        key_checks::insert(&mut conn, KeyKind::Master, &check.id, &check.value.0).await?;
    }
    let known = key_checks::known(&mut conn, KeyKind::Master, &ids).await?;
    for check in &checks {
        if !is_known(&known, check) {
            return Err(KeyringError::OtherKey(check.id.clone()).into());
        }
    }
    keyring.accept(&checks);
    Ok(())
}

/// The same, and the database stays as it is: a key that it does not know yet is not made known. Only for what changes nothing.
///
/// # Errors
/// [`KeyCheckError`].
pub(crate) async fn compare_master_keys(
    pool: &Pool,
    keyring: &Keyring,
) -> Result<(), KeyCheckError> {
    let Some(checks) = keyring.unchecked()? else {
        return Ok(());
    };
    let mut conn = pool.acquire().await?;
    let ids: Vec<String> = checks.iter().map(|check| check.id.clone()).collect();
    let known = key_checks::known(&mut conn, KeyKind::Master, &ids).await?;
    let is_other =
        |check: &&KeyCheck| known.iter().any(|(id, _)| *id == check.id) && !is_known(&known, check);
    if let Some(other) = checks.iter().find(is_other) {
        return Err(KeyringError::OtherKey(other.id.clone()).into());
    }
    keyring.accept(&checks);
    Ok(())
}

/// Whether the database holds this value under the id.
pub(crate) fn is_known(known: &[(String, Vec<u8>)], check: &KeyCheck) -> bool {
    let CheckValue(value) = check.value;
    known
        .iter()
        .any(|(id, stored)| *id == check.id && *stored == value)
}
