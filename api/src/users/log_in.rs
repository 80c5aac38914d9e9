//! Logging in: the same time and the same answer for an unknown account and a wrong password.

use domain::{
    audit::{AuditAction, AuditEntry, Classification},
    ids::UserId,
    purpose::Purpose,
    seals::Authority,
    users::{Password, User, fold},
};
use serde_json::json;
use store::{PgConnection, StoreError, Tx, audit};
use vault::password;

use crate::{
    caller::{RequestContext, anonymous_entry},
    dependencies::{Credentials, SessionIssuer},
    error::Error,
    seals::Seals,
    second_factor::check::{Code, FactorOutcome, Passed},
    sessions::begin::{LoggedIn, begin},
    throttle::{self, Attempt, Pass},
};

/// Checks a password and begins a log-in, with its audit row. A failure is written down too.
///
/// # Errors
/// [`Error::WrongCredentials`], whatever was wrong; [`Error::Throttled`] where too much was;
/// [`Error::SecondFactorRequired`] where all was right but that no code was given.
pub(crate) async fn log_in(
    credentials: Credentials<'_>,
    issuer: SessionIssuer<'_>,
    context: &RequestContext,
    login: &str,
    given_password: &str,
    code: &Code,
) -> Result<LoggedIn, Error> {
    let login = fold(login);
    // Longer than any that was ever taken: that says nothing of any account.
    let given_password = Password::read(given_password).ok();
    let queued = credentials.hashing.queue(&context.origin)?;
    let pass = throttle::pass(
        credentials.throttle,
        &context.origin,
        Attempt::LogIn(&login),
    )
    .await?;
    let mut conn = credentials.pool.acquire().await?;
    let found = known(credentials.seals, &mut conn, &login).await?;
    drop(conn);

    let hashed = found
        .as_ref()
        .map(|known| known.account.hashed_password.clone());
    let checked = queued.run(move || check(given_password.as_ref(), hashed.as_deref()));
    let checked = checked.await?;
    let known = found.filter(|known| known.account.is_active);
    let (Some(known), PasswordCheck::Right { renewed }) = (known, checked) else {
        audit_failure(credentials, context, &login, pass).await?;
        return Err(Error::WrongCredentials);
    };

    let shown = match code
        .show(credentials, known.user.id, &context.origin)
        .await?
    {
        FactorOutcome::Passed(shown) => shown,
        // The password was right: it is the code that has to wait.
        FactorOutcome::Refused(refused) => {
            return Err(refused.conclude(credentials.throttle, Some(pass)).await?);
        }
    };
    let Passed { mut tx, proof } = shown;
    if !is_unchanged(credentials.seals, &mut tx, context, &known, renewed).await? {
        return Err(Error::met_another());
    }
    let logged_in = begin(issuer, &mut tx, context, &known.user, proof.is_shown()).await?;
    pass.logged_in(credentials.throttle, &mut tx, &known.user)
        .await?;
    proof.conclude(credentials.throttle, &mut tx).await?;
    tx.commit().await?;
    Ok(logged_in)
}

/// Writes down that nobody was logged in.
async fn audit_failure(
    credentials: Credentials<'_>,
    context: &RequestContext,
    login: &str,
    pass: Pass,
) -> Result<(), Error> {
    let mut tx = credentials.pool.begin().await?;
    let entry = AuditEntry {
        classification: Classification::Security,
        new_value: Some(json!({ "loginDigest": throttle::login_digest(login) })),
        ..anonymous_entry(AuditAction::AuthLoginFailed, context)
    };
    audit::insert(&mut tx, &[entry]).await?;
    pass.failed(credentials.throttle, &mut tx).await?;
    Ok(tx.commit().await?)
}

/// An account that somebody wants to log in to.
struct KnownAccount {
    user: User,
    account: Authority,
}

/// The account of this name or address. One that is not as it was sealed is as unknown as one that is not
/// there.
async fn known(
    seals: &Seals,
    conn: &mut PgConnection,
    login: &str,
) -> Result<Option<KnownAccount>, StoreError> {
    let Some(user) = store::users::by_login(conn, login).await? else {
        return Ok(None);
    };
    let account = seals.account(conn, user.id).await?;
    Ok(account.map(|account| KnownAccount { user, account }))
}

/// What came of a password.
enum PasswordCheck {
    Wrong,
    /// With a new hash, where the old one was made by other parameters than today's.
    Right {
        renewed: Option<String>,
    },
}

/// Takes the same time whether there is such an account or not.
fn check(given: Option<&Password>, hashed: Option<&str>) -> PasswordCheck {
    let Some(given) = given.map(Password::as_str) else {
        return PasswordCheck::Wrong;
    };
    let Some(hashed) = hashed else {
        password::refuse(given);
        return PasswordCheck::Wrong;
    };
    if password::verify(given, hashed) {
        PasswordCheck::Right {
            renewed: password::renew(given, hashed),
        }
    } else {
        PasswordCheck::Wrong
    }
}

/// Whether what was checked is still so, now and until the transaction ends; with a new hash, where there
/// is one. Whoever changes a password or deactivates an account ends its log-ins: none may slip through
/// between the check and its row.
async fn is_unchanged(
    seals: &Seals,
    tx: &mut Tx<'_>,
    context: &RequestContext,
    known: &KnownAccount,
    renewed: Option<String>,
) -> Result<bool, Error> {
    let now = seals.lock(tx, known.user.id).await?;
    let Some(mut account) =
        now.filter(|now| now.is_active && now.hashed_password == known.account.hashed_password)
    else {
        return Ok(false);
    };
    if let Some(new) = renewed {
        let entry = renewal(context, account.user, &account.hashed_password, &new);
        account.hashed_password = new;
        seals.write(tx, &account).await?;
        audit::insert(tx, &[entry]).await?;
    }
    Ok(true)
}

/// What is written down where a hash by today's parameters takes the place of an older one.
fn renewal(context: &RequestContext, user: UserId, old: &str, new: &str) -> AuditEntry {
    let hashed_by =
        |hashed: &str| Some(json!({ "passwordHashedBy": password::parameters(hashed) }));
    AuditEntry {
        resource_id: user.0,
        old_value: hashed_by(old),
        new_value: hashed_by(new),
        classification: Classification::Security,
        ..AuditEntry::new(
            user,
            AuditAction::UserUpdate,
            Purpose::SystemAdministration,
            &context.origin,
        )
    }
}
