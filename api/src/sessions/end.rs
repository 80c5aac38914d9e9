//! Ending log-ins of one's own: this one, another one, all of them.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::SessionId,
    purpose::Purpose,
};
use serde_json::json;
use store::{
    Pool, audit, barrier,
    sessions::{self, Which},
};

use crate::{caller::Caller, error::Error};

/// Ends the log-in that the caller's token is of. Answers how many were ended.
///
/// # Errors
/// [`Error::Unauthenticated`] where it is over already.
pub(crate) async fn log_out(pool: &Pool, caller: &Caller) -> Result<usize, Error> {
    end(pool, caller, Which::One(caller.session)).await
}

/// Ends all log-ins of the caller, the present one too. Answers how many were ended.
///
/// # Errors
/// [`Error::Unauthenticated`] where the present one is over already.
pub(crate) async fn log_out_everywhere(pool: &Pool, caller: &Caller) -> Result<usize, Error> {
    end(pool, caller, Which::All).await
}

/// Ends one log-in of the caller. Answers how many were ended.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] where there is no such log-in, where it is over or
/// somebody else's.
pub(crate) async fn revoke(pool: &Pool, caller: &Caller, id: SessionId) -> Result<usize, Error> {
    end(pool, caller, Which::One(id)).await
}

async fn end(pool: &Pool, caller: &Caller, which: Which) -> Result<usize, Error> {
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user]).await?;
    let actor = caller.actor(&mut tx).await?;
    let ended = sessions::revoke(&mut tx, actor.id, which).await?;
    let entry = |action, session: SessionId| AuditEntry {
        resource_type: ResourceType::Session,
        resource_id: session.0,
        classification: Classification::Security,
        ..caller.entry(action, Purpose::SystemAdministration)
    };
    if let (Which::One(asked), []) = (which, ended.as_slice()) {
        let refused = AuditEntry {
            new_value: Some(json!({ "reason": "NOT_FOUND", "wanted": AuditAction::AuthLogout })),
            ..entry(AuditAction::AccessDenied, asked)
        };
        audit::insert(&mut tx, &[refused]).await?;
        tx.commit().await?;
        return Err(Error::NotFound("session"));
    }
    let entries: Vec<_> = ended
        .iter()
        .map(|session| entry(AuditAction::AuthLogout, *session))
        .collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(ended.len())
}
