//! Logging in by signing a message. A contract is asked anew each time: its owners may have changed.

use domain::{
    audit::{AuditAction, AuditEntry, Classification},
    ids::UserId,
    wallets::ChallengePurpose,
};
use serde_json::json;
use store::{PgConnection, StoreError, audit, users, wallets};

use super::answer::{self, ChallengeAnswer, Flaw};
use crate::{
    app::App,
    caller::{RequestContext, anonymous_entry},
    error::Error,
    second_factor::check::{Code, FactorOutcome, Passed},
    sessions::begin::{LoggedIn, begin},
    throttle::{self, Attempt, Pass},
};

/// Begins a session for the account that this wallet is linked to, with its audit row. A failure is
/// written down, too.
///
/// # Errors
/// [`Error::WrongCredentials`], whatever was wrong: the message, the signature, or that the wallet is
/// nobody's. [`Error::SecondFactorRequired`]: then the same message serves again, with a code.
/// [`Error::Unavailable`] where only the chain could tell and it does not answer;
/// [`Error::Throttled`] where too much was wrong.
pub(super) async fn log_in(
    app: &App,
    context: &RequestContext,
    message: &str,
    signature: &str,
    code: &Code,
) -> Result<LoggedIn, Error> {
    let answer = answer::read(app, ChallengePurpose::LogIn, None, message).await?;
    let attempt = Attempt::LogIn(&answer.address);
    let pass = throttle::pass(&app.throttle, &context.origin, attempt).await?;
    let answer = answer.prove(app, message, signature).await?;
    if let Err(flaw) = answer.verdict {
        return Err(fail(app, context, &answer, flaw.as_str(), pass).await?);
    }
    let mut conn = app.pool.acquire().await?;
    let owner = owner_of(app, &mut conn, &answer.address).await?;
    let owner: Vec<_> = owner.into_iter().collect();
    let user = users::by_ids(&mut conn, &owner).await?.pop();
    drop(conn);
    let Some(user) = user else {
        return Err(fail(app, context, &answer, "NOBODYS", pass).await?);
    };

    let shown = match code.show(app, user.id, &context.origin).await? {
        FactorOutcome::Passed(shown) => shown,
        FactorOutcome::Refused(refused) => return Err(refused.conclude(app, Some(pass)).await?),
    };
    let Passed { mut tx, proof } = shown;
    // Once more, and until this ends: it may have been unlinked, or the account deactivated.
    let is_still_theirs = owner_of(app, &mut tx, &answer.address).await? == Some(user.id);
    if !is_still_theirs || !answer.take(&mut tx).await? {
        tx.rollback().await?;
        return Err(fail(app, context, &answer, Flaw::Nonce.as_str(), pass).await?);
    }
    let session = begin(app, &mut tx, context, &user, proof.is_shown()).await?;
    pass.logged_in(&app.throttle, &mut tx, &user).await?;
    proof.conclude(app, &mut tx).await?;
    tx.commit().await?;
    Ok(session)
}

/// Who logs in with the wallet at this address: whose account, active and as it was sealed, names it.
async fn owner_of(
    app: &App,
    conn: &mut PgConnection,
    address: &str,
) -> Result<Option<UserId>, StoreError> {
    let Some(user) = wallets::owner(conn, address).await? else {
        return Ok(None);
    };
    let account = app.seals.account(conn, user).await?;
    Ok(account
        .filter(|account| account.is_active)
        .map(|account| account.user))
}

/// Writes down that nobody was logged in, takes the challenge away, and gives the error to answer with.
async fn fail(
    app: &App,
    context: &RequestContext,
    answer: &ChallengeAnswer,
    reason: &str,
    pass: Pass,
) -> Result<Error, Error> {
    let mut tx = app.begin().await?;
    answer.take(&mut tx).await?;
    let entry = AuditEntry {
        classification: Classification::Security,
        new_value: Some(json!({
            "walletDigest": throttle::login_digest(&answer.address), "reason": reason,
        })),
        ..anonymous_entry(AuditAction::AuthLoginFailed, context)
    };
    audit::insert(&mut tx, &[entry]).await?;
    pass.failed(&app.throttle, &mut tx).await?;
    tx.commit().await?;
    Ok(Error::WrongCredentials)
}
