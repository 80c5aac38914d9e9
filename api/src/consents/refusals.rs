//! The refusals that an account names.

use domain::ids::UserId;
use store::Tx;
use uuid::Uuid;

use crate::{error::Error, seals::Seals};

/// Lets the account name its refusals, so that one whose row is taken away still refuses.
pub(super) async fn set_refusals(
    seals: &Seals,
    tx: &mut Tx<'_>,
    patient: UserId,
    change: impl FnOnce(Vec<Uuid>) -> Result<Vec<Uuid>, Error>,
) -> Result<(), Error> {
    let account = seals.lock(tx, patient).await?;
    let mut account = account.ok_or(Error::Unauthenticated)?;
    account.refusals = change(account.refusals)?;
    seals.write(tx, &account).await
}
