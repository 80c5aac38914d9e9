//! Patients' keys, and secrets of second factors, wrapped anew under the first master key, a batch at a time.

use domain::{
    audit::Origin,
    ids::{PatientKeyId, UserId},
    seals::{Factor, Seal, Sealed},
};
use serde_json::json;
use store::{Pool, audit, keys, second_factors};
use vault::keyring::{Keyring, WrappedKey};

use super::master_keys::entry;
use crate::commands::output::Failure;

/// How many keys are re-wrapped in one transaction. They stay locked for it, which only another
/// rotation notices: readers take no lock.
pub(super) const BATCH: i64 = 500;

/// One batch, one transaction. Gives the last id, how many were wrapped and how many would not unwrap;
/// `None` at the end. Nothing is locked while keys are wrapped: a token may be asked, which may take its time. Those that
/// somebody changed meanwhile stay as they are now.
pub(super) async fn batch(
    pool: &Pool,
    keyring: &Keyring,
    origin: &Origin,
    (from, to): (&str, &str),
    after: PatientKeyId,
) -> Result<Option<(PatientKeyId, usize, usize)>, Failure> {
    let mut tx = pool.begin().await?;
    let rows = keys::lock_wrapped_by(&mut tx, from, after, BATCH).await?;
    tx.rollback().await?;
    let Some(last) = rows.last().map(|row| row.id) else {
        return Ok(None);
    };
    let anew = keyring.rewrap(&rows).await?;
    let mut tx = pool.begin().await?;
    let now = keys::lock_wrapped_by(&mut tx, from, after, BATCH).await?;
    let mut wrapped = Vec::with_capacity(rows.len());
    let mut failed = 0;
    for (row, anew) in rows.iter().zip(anew).filter(|(row, _)| now.contains(row)) {
        match anew {
            Ok(key) => wrapped.push(key),
            Err(error) => {
                failed += 1;
                tracing::error!(key.id = %row.id, %error, "Patient key {} is left as it is", row.id);
            }
        }
    }
    if wrapped.is_empty() && failed == 0 {
        return Ok(Some((last, 0, 0)));
    }
    keys::rewrap(&mut tx, &wrapped).await?;
    let details = json!({ "from": from, "to": to, "keys": wrapped.len(), "failed": failed });
    audit::insert(&mut tx, &[entry(origin, details)]).await?;
    tx.commit().await?;
    Ok(Some((last, wrapped.len(), failed)))
}

/// One batch of secrets of second factors, one transaction, as [`batch`].
pub(super) async fn factors(
    pool: &Pool,
    keyring: &Keyring,
    origin: &Origin,
    (from, to): (&str, &str),
    after: UserId,
) -> Result<Option<(UserId, usize, usize)>, Failure> {
    let mut tx = pool.begin().await?;
    let rows = second_factors::lock_sealed_by(&mut tx, from, after, BATCH).await?;
    let Some((last, _)) = rows.last() else {
        return Ok(None);
    };
    let (last, count, mut failed) = (*last, rows.len(), 0);
    for (user, row) in rows {
        match factor_anew(keyring, row) {
            Ok((factor, seal)) => second_factors::reseal(&mut tx, &factor, &seal).await?,
            Err(error) => {
                failed += 1;
                tracing::error!(user.id = %user, error, "The second factor of {user} is left as it is");
            }
        }
    }
    let sealed = count - failed;
    let details = json!({ "from": from, "to": to, "secondFactors": sealed, "failed": failed });
    audit::insert(&mut tx, &[entry(origin, details)]).await?;
    tx.commit().await?;
    Ok(Some((last, sealed, failed)))
}

/// A second factor with its secret sealed under the first master key, and the seal of its row.
fn factor_anew(keyring: &Keyring, row: Sealed<Factor>) -> Result<(Factor, Seal), Failure> {
    let factor = keyring
        .open_row(row)
        .map_err(|_| "its row is not as it was sealed")?;
    let secret = WrappedKey {
        bytes: factor.sealed_secret.clone(),
        master_key_id: factor.master_key_id.clone(),
    };
    let secret = keyring.open_factor(factor.user, &secret)?;
    let anew = keyring.seal_factor(factor.user, &secret)?;
    let factor = Factor {
        sealed_secret: anew.bytes,
        master_key_id: anew.master_key_id,
        ..factor
    };
    let seal = keyring.seal_row(&factor)?;
    Ok((factor, seal))
}
