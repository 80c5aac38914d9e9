//! Logging in: the same time and the same answer for an unknown account and a wrong password.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::{SessionId, UserId},
    purpose::Purpose,
    users::{MAX_PASSWORD_BYTES, User},
};
use serde_json::json;
use store::{Tx, audit, sessions::NewSession};
use vault::{digest, password, random};

use crate::{
    app::{App, commit},
    caller::{Visit, anonymous_entry},
    error::Error,
    second_factor::demand::{Code, Passed, Shown},
    throttle::{self, Attempt},
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
/// [`Error::WrongCredentials`], whatever was wrong; [`Error::Throttled`] where too much was;
/// [`Error::SecondFactorRequired`] where all was right but that no code was given.
pub(crate) async fn log_in(
    app: &App,
    visit: &Visit,
    login: &str,
    given_password: String,
    code: &Code,
) -> Result<LoggedIn, Error> {
    let queued = app.hashing.queue(&visit.origin)?;
    let pass = throttle::pass(app, &visit.origin, Attempt::LogIn(login)).await?;
    let mut conn = app.pool.acquire().await.map_err(store::StoreError::from)?;
    let found = store::users::by_login(&mut conn, login).await?;
    drop(conn);

    let hashed = found.as_ref().map(|known| known.hashed_password.clone());
    let checked = queued.run(move || check(&given_password, hashed.as_deref()));
    let checked = checked.await?;
    let known = found.filter(|known| known.user.is_active);
    let (Some(known), Checked::Right { renewed }) = (known, checked) else {
        let mut tx = app.begin().await?;
        let entry = AuditEntry {
            classification: Classification::Security,
            new_value: Some(json!({ "loginDigest": throttle::login_digest(login) })),
            ..anonymous_entry(AuditAction::AuthLoginFailed, visit)
        };
        audit::insert(&mut tx, &[entry]).await?;
        pass.failed(app, &mut tx).await?;
        commit(tx).await?;
        return Err(Error::WrongCredentials);
    };

    let user = known.user;
    let shown = match code.show(app, user.id, &visit.origin).await? {
        Shown::Passed(shown) => shown,
        // The password was right: it is the code that has to wait.
        Shown::Refused(refused) => return Err(refused.conclude(app, Some(pass)).await?),
    };
    let Passed { mut tx, proof } = shown;
    let session = begin(app, &mut tx, visit, &user, proof.is_shown()).await?;
    if let Some(renewed) = renewed {
        renew(&mut tx, visit, user.id, &known.hashed_password, &renewed).await?;
    }
    pass.logged_in(app, &mut tx, &user).await?;
    proof.conclude(app, &mut tx).await?;
    commit(tx).await?;
    Ok(session)
}

/// Begins a session for somebody who has proven who they are, with its audit row. The caller commits.
///
/// # Errors
/// The database's.
pub(crate) async fn begin(
    app: &App,
    tx: &mut Tx<'_>,
    visit: &Visit,
    user: &User,
    second_factor: bool,
) -> Result<LoggedIn, Error> {
    let session = SessionId::fresh();
    let (access_token, expires_at) = app.tokens.issue(user.id, session, app.clock.now());
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
    store::sessions::insert(tx, &remembered).await?;
    if second_factor {
        store::second_factors::shown_by(tx, session).await?;
    }
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
    audit::insert(tx, &[entry]).await?;
    Ok(LoggedIn {
        user: user.clone(),
        access_token,
        expires_at,
    })
}

/// What came of a password.
enum Checked {
    Wrong,
    /// With a new hash, where the old one was made by other parameters than today's.
    Right {
        renewed: Option<String>,
    },
}

/// Takes the same time whether there is such an account or not.
fn check(given: &str, hashed: Option<&str>) -> Checked {
    let matching = match hashed {
        // Longer than any that was ever taken: that says nothing of any account.
        _ if given.len() > MAX_PASSWORD_BYTES => None,
        Some(hashed) => Some(hashed).filter(|hashed| password::verify(given, hashed)),
        None => {
            password::refuse(given);
            None
        }
    };
    match matching {
        Some(hashed) => Checked::Right {
            renewed: password::renew(given, hashed),
        },
        None => Checked::Wrong,
    }
}

/// Stores the password's hash by today's parameters, and writes that down.
async fn renew(
    tx: &mut Tx<'_>,
    visit: &Visit,
    user: UserId,
    old: &str,
    new: &str,
) -> Result<(), Error> {
    if !store::users::replace_password(tx, user, old, new).await? {
        // Changed meanwhile: that one is newer.
        return Ok(());
    }
    let hashed_by =
        |hashed: &str| Some(json!({ "passwordHashedBy": password::parameters(hashed) }));
    let entry = AuditEntry {
        resource_id: user.0,
        old_value: hashed_by(old),
        new_value: hashed_by(new),
        classification: Classification::Security,
        ..AuditEntry::new(
            user,
            AuditAction::UserUpdate,
            Purpose::SystemAdministration,
            &visit.origin,
        )
    };
    Ok(audit::insert(tx, &[entry]).await?)
}
