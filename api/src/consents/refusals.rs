//! The refusals that an account names.

use domain::ids::UserId;
use store::Tx;
use uuid::Uuid;

use crate::{app::App, error::Error};

/// Lets the account name its refusals, so that one whose row is taken away still refuses.
pub(super) async fn set_refusals(
    app: &App,
    tx: &mut Tx<'_>,
    patient: UserId,
    change: impl FnOnce(&mut Vec<Uuid>),
) -> Result<(), Error> {
    let account = app.seals.lock(tx, patient).await?;
    let mut account = account.ok_or(Error::Unauthenticated)?;
    change(&mut account.refusals);
    app.seals.write(tx, &account).await
}
