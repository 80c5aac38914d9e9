//! Logging in: the same time and the same answer for an unknown account and a wrong password.

use domain::{
    audit::{AuditAction, AuditEntry, Classification},
    ids::UserId,
    purpose::Purpose,
    users::{Password, fold},
};
use serde_json::json;
use store::{Tx, audit, users::Credentials};
use vault::password;

use crate::{
    app::{App, commit},
    caller::{Visit, anonymous_entry},
    error::Error,
    second_factor::demand::{Code, Passed, Shown},
    sessions::begin::{LoggedIn, begin},
    throttle::{self, Attempt},
};

/// Checks a password and begins a log-in, with its audit row. A failure is written down too.
///
/// # Errors
/// [`Error::WrongCredentials`], whatever was wrong; [`Error::Throttled`] where too much was;
/// [`Error::SecondFactorRequired`] where all was right but that no code was given.
pub(crate) async fn log_in(
    app: &App,
    visit: &Visit,
    login: &str,
    given_password: &str,
    code: &Code,
) -> Result<LoggedIn, Error> {
    let login = fold(login);
    // Longer than any that was ever taken: that says nothing of any account.
    let given_password = Password::read(given_password).ok();
    let queued = app.hashing.queue(&visit.origin)?;
    let pass = throttle::pass(app, &visit.origin, Attempt::LogIn(&login)).await?;
    let mut conn = app.pool.acquire().await?;
    let found = store::users::by_login(&mut conn, &login).await?;
    drop(conn);

    let hashed = found.as_ref().map(|known| known.hashed_password.clone());
    let checked = queued.run(move || check(given_password.as_ref(), hashed.as_deref()));
    let checked = checked.await?;
    let known = found.filter(|known| known.user.is_active);
    let (Some(known), Checked::Right { renewed }) = (known, checked) else {
        let mut tx = app.begin().await?;
        let entry = AuditEntry {
            classification: Classification::Security,
            new_value: Some(json!({ "loginDigest": throttle::login_digest(&login) })),
            ..anonymous_entry(AuditAction::AuthLoginFailed, visit)
        };
        audit::insert(&mut tx, &[entry]).await?;
        pass.failed(app, &mut tx).await?;
        commit(tx).await?;
        return Err(Error::WrongCredentials);
    };

    let shown = match code.show(app, known.user.id, &visit.origin).await? {
        Shown::Passed(shown) => shown,
        // The password was right: it is the code that has to wait.
        Shown::Refused(refused) => return Err(refused.conclude(app, Some(pass)).await?),
    };
    let Passed { mut tx, proof } = shown;
    if !still_stands(&mut tx, visit, &known, renewed).await? {
        return Err(Error::Busy {
            retry_after_seconds: 1,
        });
    }
    let logged_in = begin(app, &mut tx, visit, &known.user, proof.is_shown()).await?;
    pass.logged_in(app, &mut tx, &known.user).await?;
    proof.conclude(app, &mut tx).await?;
    commit(tx).await?;
    Ok(logged_in)
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
fn check(given: Option<&Password>, hashed: Option<&str>) -> Checked {
    let Some(given) = given.map(Password::as_str) else {
        return Checked::Wrong;
    };
    let Some(hashed) = hashed else {
        password::refuse(given);
        return Checked::Wrong;
    };
    if password::verify(given, hashed) {
        Checked::Right {
            renewed: password::renew(given, hashed),
        }
    } else {
        Checked::Wrong
    }
}

/// Whether what was checked is still so, now and until the transaction ends; with a new hash, where there
/// is one. Whoever changes a password or deactivates an account ends its log-ins: none may slip through
/// between the check and its row.
async fn still_stands(
    tx: &mut Tx<'_>,
    visit: &Visit,
    known: &Credentials,
    renewed: Option<String>,
) -> Result<bool, Error> {
    let (user, old) = (known.user.id, &known.hashed_password);
    // Written before it is read: two that both read first would wait for one another.
    if let Some(new) = &renewed
        && !renew(tx, visit, user, old, new).await?
    {
        return Ok(false);
    }
    let now = store::users::password_hash(tx, user).await?;
    Ok(now.as_ref() == Some(renewed.as_ref().unwrap_or(old)))
}

/// Stores the password's hash by today's parameters, and writes that down. False where the old one was
/// changed meanwhile.
async fn renew(
    tx: &mut Tx<'_>,
    visit: &Visit,
    user: UserId,
    old: &str,
    new: &str,
) -> Result<bool, Error> {
    if !store::users::replace_password(tx, user, old, new).await? {
        return Ok(false);
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
    audit::insert(tx, &[entry]).await?;
    Ok(true)
}
