//! The refusals that an account names.

use domain::{consents::MAX_CONSENTS_IN_FORCE, ids::UserId};
use store::Tx;
use uuid::Uuid;

use super::grant::too_many;
use crate::{error::Error, seals::Seals};

/// Lets the account name its refusals, so that one whose row is taken away still refuses.
pub(super) async fn set_refusals(
    seals: &Seals,
    tx: &mut Tx<'_>,
    patient: UserId,
    change: impl FnOnce(&mut Vec<Uuid>),
) -> Result<(), Error> {
    let account = seals.lock(tx, patient).await?;
    let mut account = account.ok_or(Error::Unauthenticated)?;
    change(&mut account.refusals);
    if account.refusals.len() > MAX_CONSENTS_IN_FORCE {
        return Err(too_many());
    }
    seals.write(tx, &account).await
}
