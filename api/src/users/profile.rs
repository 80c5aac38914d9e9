//! Changing what one is called and where mail arrives.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    purpose::Purpose,
    users::{Email, User, Username},
};
use serde_json::json;
use store::{audit, users};

use super::password::confirm;
use crate::{
    caller::Caller,
    dependencies::Credentials,
    error::{Error, both},
};

/// Changes the caller's address or name, with its audit row, which names what was changed and not to what.
///
/// # Errors
/// [`Error::WrongCredentials`], [`Error::BadInput`], [`Error::Conflict`] where address or name is taken.
pub(crate) async fn update(
    credentials: Credentials<'_>,
    caller: &Caller,
    current_password: &str,
    email: Option<&str>,
    username: Option<&str>,
) -> Result<User, Error> {
    let email = email.map(Email::parse).transpose();
    let username = username.map(Username::parse).transpose();
    let (email, username) = both(email, username)?;
    let fields: Vec<_> = [
        email.as_ref().map(|_| "email"),
        username.as_ref().map(|_| "username"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if fields.is_empty() {
        return Err(Error::bad("email", "say what to change: email or username"));
    }
    confirm(
        credentials,
        caller,
        current_password,
        AuditAction::UserUpdate,
    )
    .await?;

    let mut tx = credentials.pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let account = credentials.seals.lock(&mut tx, actor.id).await?;
    let mut account = account.ok_or(Error::Unauthenticated)?;
    if let Some(email) = email {
        email.as_str().clone_into(&mut account.email);
    }
    if let Some(username) = username {
        username.as_str().clone_into(&mut account.username);
    }
    let user = users::rename(&mut tx, &account, &credentials.seals.seal(&account)?)
        .await?
        .ok_or(Error::Unauthenticated)?;
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        resource_id: actor.id.0,
        new_value: Some(json!({ "fields": fields })),
        classification: Classification::Personal,
        patient: Some(actor.id),
        ..caller.entry(AuditAction::UserUpdate, Purpose::default_of(actor.role))
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(user)
}
