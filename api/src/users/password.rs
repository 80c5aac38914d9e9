//! One's own password: what has to be known before an account is changed.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    purpose::Purpose,
    users::MAX_PASSWORD_BYTES,
};
use serde_json::json;
use store::{StoreError, audit, users};
use vault::password;

use crate::{
    app::{App, commit},
    caller::Caller,
    error::Error,
    throttle::{self, Attempt},
};

/// Checks that the caller knows the password of their own account: a token that was stolen does not
/// suffice to take the account over. A failure is written down.
///
/// # Errors
/// [`Error::Unauthenticated`], [`Error::WrongCredentials`], [`Error::Throttled`], [`Error::Busy`].
pub(crate) async fn confirm(
    app: &App,
    caller: &Caller,
    given: &str,
    wanted: AuditAction,
) -> Result<(), Error> {
    let queued = app.hashing.queue(&caller.origin)?;
    let pass = throttle::pass(app, &caller.origin, Attempt::Proof(caller.user)).await?;
    let mut conn = app.pool.acquire().await.map_err(StoreError::from)?;
    let actor = caller.newcomer(&mut conn).await?;
    let hash = users::hashed_password(&mut conn, actor.id)
        .await?
        .ok_or(Error::Unauthenticated)?;
    drop(conn);
    let given = given.to_owned();
    let matches = given.len() <= MAX_PASSWORD_BYTES
        && queued.run(move || password::verify(&given, &hash)).await?;
    let mut tx = app.begin().await?;
    if matches {
        pass.succeeded(app, &mut tx).await?;
        commit(tx).await?;
        return Ok(());
    }
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        resource_id: actor.id.0,
        new_value: Some(json!({ "reason": "PASSWORD", "wanted": wanted })),
        classification: Classification::Security,
        ..caller.entry(AuditAction::AccessDenied, Purpose::SystemAdministration)
    };
    audit::insert(&mut tx, &[entry]).await?;
    pass.failed(app, &mut tx).await?;
    commit(tx).await?;
    Err(Error::WrongCredentials)
}
