//! Logging in: the same time and the same answer for an unknown account and a wrong password.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::SessionId,
    purpose::Purpose,
    users::{MAX_PASSWORD_BYTES, User},
};
use serde_json::json;
use store::{audit, sessions::NewSession};
use vault::{digest, password, random};

use crate::{
    app::{App, commit},
    caller::{Visit, anonymous_entry},
    error::Error,
};

/// Somebody who has just logged in.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    /// Who.
    pub(crate) user: User,
    /// What to send with each request from now on.
    pub(crate) access_token: String,
    /// Until when.
    pub(crate) expires_at: DateTime<Utc>,
}

/// Checks a password and begins a session, with its audit row. A failure is written down too.
///
/// # Errors
/// [`Error::WrongCredentials`], whatever was wrong.
pub(crate) async fn log_in(
    app: &App,
    visit: &Visit,
    login: &str,
    given_password: String,
) -> Result<LoggedIn, Error> {
    if given_password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::WrongCredentials);
    }
    let queued = app.hashing.queue()?;
    let mut conn = app.pool.acquire().await.map_err(store::StoreError::from)?;
    let found = store::users::by_login(&mut conn, login).await?;
    drop(conn);

    let hashed = found.as_ref().map(|known| known.hashed_password.clone());
    let matches = queued
        .run(move || match hashed {
            Some(hashed) => password::verify(&given_password, &hashed),
            None => password::refuse(&given_password),
        })
        .await?;
    let Some(known) = found.filter(|known| matches && known.user.is_active) else {
        let mut conn = app.pool.acquire().await.map_err(store::StoreError::from)?;
        let entry = AuditEntry {
            classification: Classification::Security,
            // A keyless digest of the name typed, so that attempts on one name can be counted and a
            // password typed into the wrong field is not stored.
            new_value: Some(
                json!({ "loginDigest": &digest::hex_of(login.trim().to_lowercase().as_bytes())[..16] }),
            ),
            ..anonymous_entry(AuditAction::AuthLoginFailed, visit)
        };
        audit::insert(&mut conn, &[entry]).await?;
        return Err(Error::WrongCredentials);
    };

    let session = SessionId::fresh();
    let user = known.user;
    let (access_token, expires_at) = app.tokens.issue(user.id, session, app.clock.now());
    let mut tx = app.begin().await?;
    let remembered = NewSession {
        id: session,
        user: user.id,
        // Nobody holds this refresh token: the session ends with its access token.
        refresh_token_hash: &digest::hex_of(&random::bytes::<32>()),
        // A little longer than the token, which clocks may take for good half a minute longer.
        expires_at: expires_at + TimeDelta::minutes(1),
        address: visit.origin.address,
        user_agent: visit.origin.user_agent.as_deref(),
    };
    store::sessions::insert(&mut tx, &remembered).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::Session,
        resource_id: session.0,
        classification: Classification::Security,
        ..AuditEntry::new(
            user.id,
            AuditAction::AuthLogin,
            Purpose::SystemAdministration,
            &visit.origin,
        )
    };
    audit::insert(&mut tx, &[entry]).await?;
    commit(tx).await?;
    Ok(LoggedIn {
        user,
        access_token,
        expires_at,
    })
}
