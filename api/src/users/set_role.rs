//! Giving roles. One administrator makes a doctor; administrators are made on the command line.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::UserId,
    purpose::Purpose,
    users::{Role, User},
};
use serde_json::json;
use store::{audit, users};

use crate::{
    app::{App, commit},
    caller::{Caller, refuse_role},
    error::Error,
};

/// Gives an account the role PATIENT or DOCTOR, with its audit row.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators, [`Error::BadInput`] for the role ADMIN or for
/// one's own account, [`Error::NotFound`].
pub(crate) async fn set_role(
    app: &App,
    caller: &Caller,
    id: UserId,
    role: Role,
) -> Result<User, Error> {
    let mut tx = app.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(
            refuse_role(tx, caller, actor, Role::Admin, AuditAction::UserRoleChange).await?,
        );
    }
    if role == Role::Admin {
        let message = "administrators are made by `meditrustal admin create`";
        return Err(Error::bad("role", message));
    }
    if id == actor.id {
        return Err(Error::bad("userId", "nobody changes their own role"));
    }
    let (user, before) = users::set_role(&mut tx, id, role)
        .await?
        .ok_or(Error::NotFound("user"))?;
    if before == Role::Admin {
        return Err(Error::bad(
            "userId",
            "an administrator's role is not changed here",
        ));
    }
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        resource_id: id.0,
        old_value: Some(json!({ "role": before })),
        new_value: Some(json!({ "role": role })),
        classification: Classification::Security,
        patient: Some(id),
        ..caller.entry(AuditAction::UserRoleChange, Purpose::SystemAdministration)
    };
    audit::insert(&mut tx, &[entry]).await?;
    commit(tx).await?;
    Ok(user)
}
