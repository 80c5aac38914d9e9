//! The index key is compared with the database before records are found, or stored, by it.

use domain::stored::StoredRecord;
use store::{
    PgConnection, Pool,
    key_checks::{self, KeyKind},
    records,
};
use vault::{
    blind_index::IndexKey,
    key_check::KeyCheck,
    keyring::{Keyring, KeyringError, KeysUnavailable},
    row::Opened,
};

use super::{decrypt, prepare::tokens};
use crate::key_checks::{KeyCheckError, is_known};

/// How many of the newest records are asked whether the index key is theirs. One of those that open has to say so:
/// a single one may have been changed, or read by rules of an older version.
const WITNESSES: i64 = 20;

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
    if compare(&mut conn, keyring, key, &check).await? {
        return Ok(());
    }
    key_checks::insert(&mut conn, KeyKind::Index, &check.id, &check.value.0).await?;
    // Another program may have made another key known meanwhile.
    if look_up(&mut conn, &check).await? {
        Ok(())
    } else {
        Err(KeyCheckError::OtherIndexKey)
    }
}

/// The same, and the database stays as it is: a key that it does not know yet is not made known. Only for what changes nothing.
///
/// # Errors
/// [`KeyCheckError`].
pub(crate) async fn compare_index_key(
    pool: &Pool,
    keyring: &Keyring,
    key: &IndexKey,
) -> Result<(), KeyCheckError> {
    let mut conn = pool.acquire().await?;
    compare(&mut conn, keyring, key, &key.check()).await?;
    Ok(())
}

/// Whether the database knows the key. It is refused where the database knows another one, or knows none and records tell of another one.
async fn compare(
    conn: &mut PgConnection,
    keyring: &Keyring,
    key: &IndexKey,
    check: &KeyCheck,
) -> Result<bool, KeyCheckError> {
    if look_up(conn, check).await? {
        return Ok(true);
    }
    let coded = records::newest_with_codes(conn, WITNESSES).await?;
    let mut told = Vec::new();
    for row in records::sealed(conn, &coded).await? {
        let made = made_tokens_of(key, keyring, &row).await;
        told.extend(made.map_err(KeyringError::from)?);
    }
    if !told.is_empty() && !told.contains(&true) {
        return Err(KeyCheckError::OtherIndexKey);
    }
    Ok(false)
}

/// Whether the database knows an index key: this one, since another one is refused.
async fn look_up(conn: &mut PgConnection, check: &KeyCheck) -> Result<bool, KeyCheckError> {
    let known = key_checks::known(conn, KeyKind::Index, std::slice::from_ref(&check.id)).await?;
    if known.is_empty() {
        Ok(false)
    } else if is_known(&known, check) {
        Ok(true)
    } else {
        Err(KeyCheckError::OtherIndexKey)
    }
}

/// Whether the tokens of a stored record were made with this key; `None` where the record cannot tell: it does
/// not open, or has no codes.
async fn made_tokens_of(
    index_key: &IndexKey,
    keyring: &Keyring,
    row: &StoredRecord,
) -> Result<Option<bool>, KeysUnavailable> {
    let opened = decrypt::open(keyring, row).await?;
    Ok(are_tokens_of(index_key, &opened, row))
}

fn are_tokens_of(index_key: &IndexKey, opened: &Opened, row: &StoredRecord) -> Option<bool> {
    let Opened::Intact(content) = opened else {
        return None;
    };
    let document = decrypt::document(content)?;
    let codes = fhir::searchable(&document, fhir::RecordType::parse(&row.record_type)?).codes;
    let ours = tokens(index_key, row.patient, &codes)?;
    let stored = row.code_tokens.as_ref()?;
    Some(ours.iter().any(|token| stored.contains(token)))
}
