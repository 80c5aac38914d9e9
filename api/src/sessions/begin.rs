//! Beginning a log-in, by whatever proved who it is.

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::SessionId,
    purpose::Purpose,
    seals::Session,
    sessions::{ENDS_AFTER, IDLE_AFTER, MOST_SESSIONS},
    users::User,
};
use serde_json::json;
use store::{
    Tx, audit,
    sessions::{Device, LogIn},
};
use vault::refresh::RefreshToken;

use crate::{caller::RequestContext, dependencies::SessionIssuer, error::Error};

/// What a client is given when it logs in, and each time it goes on.
#[derive(Debug)]
pub(crate) struct Granted {
    /// What to send with each request from now on.
    pub(crate) access_token: String,
    /// Until when.
    pub(crate) expires_at: DateTime<Utc>,
    /// What to ask for the next access token with, once.
    pub(crate) refresh_token: RefreshToken,
    /// Until when.
    pub(crate) refresh_expires_at: DateTime<Utc>,
    /// The log-in.
    pub(crate) log_in: LogIn,
}

/// From where and with what a request came.
pub(crate) fn device(context: &RequestContext) -> Device<'_> {
    Device {
        address: context.origin.address,
        user_agent: context.origin.user_agent.as_deref(),
    }
}

/// Somebody who has just logged in.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    /// Who.
    pub(crate) user: User,
    /// What they are given.
    pub(crate) granted: Granted,
    /// How many older log-ins were ended, because there may be [`MOST_SESSIONS`].
    pub(crate) ended: usize,
}

/// Begins a log-in for somebody who has proved who they are, with its audit row, and with a second factor
/// where they showed one.
///
/// The caller commits; before that, nothing of it may be given away.
///
/// # Errors
/// The database's.
pub(crate) async fn begin(
    issuer: SessionIssuer<'_>,
    tx: &mut Tx<'_>,
    context: &RequestContext,
    user: &User,
    second_factor: bool,
) -> Result<LoggedIn, Error> {
    let now = store::users::now(tx).await?;
    let id = SessionId::fresh();
    let refresh_token = RefreshToken::fresh();
    let session = Session {
        id,
        user: user.id,
        refresh_token_hash: refresh_token.hash(),
        family: id,
        parent: None,
        expires_at: now + ENDS_AFTER,
        idle_expires_at: Some(now + IDLE_AFTER),
        used_at: None,
        second_factor_at: second_factor.then_some(now),
    };
    let seal = issuer.seals.seal(&session)?;
    store::sessions::insert(tx, &session, &seal, device(context)).await?;
    let ended = store::sessions::end_oldest(tx, user.id, MOST_SESSIONS).await?;
    let entry = |action, session: SessionId| entry(context, user, action, session);
    let mut entries = vec![entry(AuditAction::AuthLogin, id)];
    entries.extend(ended.iter().map(|session| AuditEntry {
        new_value: Some(json!({ "reason": "TOO_MANY_SESSIONS" })),
        ..entry(AuditAction::AuthLogout, *session)
    }));
    audit::insert(tx, &entries).await?;
    let (access_token, expires_at) = issuer.tokens.issue(user.id, id, issuer.clock.now());
    let granted = Granted {
        access_token,
        expires_at,
        refresh_token,
        refresh_expires_at: now + IDLE_AFTER,
        log_in: LogIn {
            id,
            created_at: now,
            expires_at: now + ENDS_AFTER,
            idle_expires_at: now + IDLE_AFTER,
            last_used_at: now,
            address: Some(context.origin.address.to_string()),
            user_agent: context.origin.user_agent.clone(),
        },
    };
    Ok(LoggedIn {
        user: user.clone(),
        granted,
        ended: ended.len(),
    })
}

fn entry(
    context: &RequestContext,
    user: &User,
    action: AuditAction,
    session: SessionId,
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Session,
        resource_id: session.0,
        classification: Classification::Security,
        ..AuditEntry::new(
            user.id,
            action,
            Purpose::SystemAdministration,
            &context.origin,
        )
    }
}
