//! Making an account. Everybody begins as a patient.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::UserId,
    purpose::Purpose,
    seals::Authority,
    users::{Email, Role, User, Username},
};
use serde_json::json;
use store::{
    audit,
    users::{InsertUserError, NewUser},
};
use vault::password;

use crate::{
    caller::RequestContext,
    dependencies::Credentials,
    error::{Error, both},
    throttle::{self, Attempt, Pass},
    users::password::choose,
};

/// Makes an account, with its audit row.
///
/// # Errors
/// [`Error::BadInput`], or [`Error::Conflict`] where the address or the name is taken.
pub(crate) async fn register(
    credentials: Credentials<'_>,
    context: &RequestContext,
    email: &str,
    username: &str,
    new_password: &str,
) -> Result<User, Error> {
    let names = both(Email::parse(email), Username::parse(username));
    let own = names.as_ref().map_or_else(
        |_| Vec::new(),
        |(email, username)| vec![username.as_str(), email.as_str()],
    );
    let new_password = choose(new_password, &own);
    let ((email, username), new_password) = both(names, new_password)?;
    let queued = credentials.hashing.queue(&context.origin)?;
    // It counts whatever comes of it, so there is nothing to be said of it later.
    let Pass { .. } =
        throttle::pass(credentials.throttle, &context.origin, Attempt::Register).await?;
    let hashed = queued
        .run(move || password::hash(new_password.as_str()))
        .await?;

    let mut tx = credentials.pool.begin().await?;
    let id = UserId::fresh();
    let account = Authority::new(id, &email, &username, Role::Patient, hashed);
    let user = NewUser {
        authority: &account,
        seal: &credentials.seals.seal(&account)?,
    };
    let user = store::users::insert(&mut tx, &user).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        resource_id: id.0,
        new_value: Some(json!({ "role": user.role })),
        classification: Classification::Security,
        ..AuditEntry::new(
            id,
            AuditAction::AuthRegister,
            Purpose::SystemAdministration,
            &context.origin,
        )
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(user)
}

impl From<InsertUserError> for Error {
    fn from(error: InsertUserError) -> Self {
        let field = match error {
            InsertUserError::Store(error) => return error.into(),
            InsertUserError::EmailTaken => "email",
            InsertUserError::UsernameTaken => "username",
        };
        Self::Conflict {
            field,
            message: error.to_string(),
        }
    }
}
