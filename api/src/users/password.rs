//! One's own password: what has to be known before an account is changed, and what can be changed.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    purpose::Purpose,
    users::{InvalidAccount, Password, User},
};
use serde_json::json;
use store::{
    Pool, audit, barrier,
    sessions::{self, Which},
    users,
};
use vault::password;

use crate::{
    caller::Caller,
    dependencies::Credentials,
    error::Error,
    throttle::{self, Attempt},
};

/// Reads what somebody chooses for a password of their account, known by these names.
///
/// # Errors
/// The rule it breaks.
pub(crate) fn choose(typed: &str, names: &[&str]) -> Result<Password, InvalidAccount> {
    let chosen = Password::choose(typed)?;
    if password::is_guessable(chosen.as_str(), names) {
        return Err(InvalidAccount::PasswordGuessable);
    }
    Ok(chosen)
}

/// The hash that a password was found to be of.
#[derive(Debug)]
pub(crate) struct ConfirmedPassword {
    hash: String,
}

/// Checks that the caller knows the password of their own account: a token that was stolen does not
/// suffice to take the account over. A failure is written down.
///
/// # Errors
/// [`Error::Unauthenticated`], [`Error::WrongCredentials`], [`Error::Busy`]; [`Error::Throttled`] for who
/// guesses.
pub(crate) async fn confirm(
    credentials: Credentials<'_>,
    caller: &Caller,
    given: &str,
    wanted: AuditAction,
) -> Result<ConfirmedPassword, Error> {
    let queued = credentials.hashing.queue(&caller.origin)?;
    let pass = throttle::pass(
        credentials.throttle,
        &caller.origin,
        Attempt::Proof(caller.user),
    )
    .await?;
    let mut tx = credentials.pool.begin().await?;
    let actor = caller.active_actor(&mut tx).await?;
    let account = credentials.seals.account(&mut tx, actor.id).await?;
    let hash = account.ok_or(Error::Unauthenticated)?.hashed_password;
    tx.commit().await?;
    let known = hash.clone();
    let matches = match Password::read(given) {
        Ok(given) => {
            queued
                .run(move || password::verify(given.as_str(), &known))
                .await?
        }
        Err(_) => false,
    };
    let mut tx = credentials.pool.begin().await?;
    if matches {
        pass.succeeded(credentials.throttle, &mut tx).await?;
        tx.commit().await?;
        return Ok(ConfirmedPassword { hash });
    }
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        resource_id: actor.id.0,
        new_value: Some(json!({ "reason": "PASSWORD", "wanted": wanted })),
        classification: Classification::Security,
        ..caller.entry(AuditAction::AccessDenied, Purpose::SystemAdministration)
    };
    audit::insert(&mut tx, &[entry]).await?;
    pass.failed(credentials.throttle, &mut tx).await?;
    tx.commit().await?;
    Err(Error::WrongCredentials)
}

/// The caller's account, for its names.
async fn names(pool: &Pool, caller: &Caller) -> Result<User, Error> {
    let mut conn = pool.acquire().await?;
    let found = users::by_ids(&mut conn, &[caller.user]).await?.pop();
    found.ok_or(Error::Unauthenticated)
}

/// Changes the caller's password and ends all their other log-ins, with its audit row. Answers how many
/// were ended.
///
/// # Errors
/// [`Error::WrongCredentials`], [`Error::BadInput`], [`Error::Conflict`] where it was changed meanwhile.
pub(crate) async fn change(
    credentials: Credentials<'_>,
    caller: &Caller,
    current: &str,
    new: &str,
) -> Result<usize, Error> {
    let bad = |error: InvalidAccount| Error::bad("newPassword", error.to_string());
    // Before anything is asked of the database; with its names once the account is known.
    Password::choose(new).map_err(bad)?;
    let confirmed = confirm(credentials, caller, current, AuditAction::UserUpdate).await?;
    let own = names(credentials.pool, caller).await?;
    let new = choose(new, &[&own.username, &own.email]).map_err(bad)?;
    let new_hash = credentials
        .hashing
        .queue(&caller.origin)?
        .run(move || password::hash(new.as_str()))
        .await?;

    let mut tx = credentials.pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user]).await?;
    let actor = caller.actor(&mut tx).await?;
    let account = credentials.seals.lock(&mut tx, actor.id).await?;
    let Some(mut account) = account.filter(|now| now.hashed_password == confirmed.hash) else {
        return Err(Error::Conflict {
            field: "currentPassword",
            message: "the password was changed meanwhile".to_owned(),
        });
    };
    account.hashed_password = new_hash;
    credentials.seals.write(&mut tx, &account).await?;
    let ended = sessions::revoke(&mut tx, actor.id, Which::AllBut(caller.session)).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        resource_id: actor.id.0,
        new_value: Some(json!({ "fields": ["password"], "endedSessions": ended.len() })),
        classification: Classification::Security,
        patient: Some(actor.id),
        ..caller.entry(AuditAction::UserUpdate, Purpose::SystemAdministration)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(ended.len())
}
