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
    caller::{RequestContext, anonymous_entry},
    dependencies::{Credentials, SessionIssuer, WalletMessages},
    error::Error,
    seals::Seals,
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
    messages: WalletMessages<'_>,
    credentials: Credentials<'_>,
    issuer: SessionIssuer<'_>,
    context: &RequestContext,
    message: &str,
    signature: &str,
    code: &Code,
) -> Result<LoggedIn, Error> {
    let answer = answer::read(messages, ChallengePurpose::LogIn, None, message).await?;
    let attempt = Attempt::LogIn(&answer.address);
    let pass = throttle::pass(credentials.throttle, &context.origin, attempt).await?;
    let answer = answer.prove(messages.prover, message, signature).await?;
    if let Err(flaw) = answer.verdict {
        return Err(fail(credentials, context, &answer, flaw.as_str(), pass).await?);
    }
    let mut conn = credentials.pool.acquire().await?;
    let owner = owner_of(credentials.seals, &mut conn, &answer.address).await?;
    let owner: Vec<_> = owner.into_iter().collect();
    let user = users::by_ids(&mut conn, &owner).await?.pop();
    drop(conn);
    let Some(user) = user else {
        return Err(fail(credentials, context, &answer, "NOBODYS", pass).await?);
    };

    let shown = match code.show(credentials, user.id, &context.origin).await? {
        FactorOutcome::Passed(shown) => shown,
        FactorOutcome::Refused(refused) => {
            return Err(refused.conclude(credentials.throttle, Some(pass)).await?);
        }
    };
    let Passed { mut tx, proof } = shown;
    // Once more, and until this ends: it may have been unlinked, or the account deactivated.
    let is_still_theirs =
        owner_of(credentials.seals, &mut tx, &answer.address).await? == Some(user.id);
    if !is_still_theirs || !answer.take(&mut tx).await? {
        tx.rollback().await?;
        return Err(fail(credentials, context, &answer, Flaw::Nonce.as_str(), pass).await?);
    }
    let session = begin(issuer, &mut tx, context, &user, proof.is_shown()).await?;
    pass.logged_in(credentials.throttle, &mut tx, &user).await?;
    proof.conclude(credentials.throttle, &mut tx).await?;
    tx.commit().await?;
    Ok(session)
}

/// Who logs in with the wallet at this address: whose account, active and as it was sealed, names it.
async fn owner_of(
    seals: &Seals,
    conn: &mut PgConnection,
    address: &str,
) -> Result<Option<UserId>, StoreError> {
    let Some(user) = wallets::owner(conn, address).await? else {
        return Ok(None);
    };
    let account = seals.account(conn, user).await?;
    Ok(account
        .filter(|account| account.is_active)
        .map(|account| account.user))
}

/// Writes down that nobody was logged in, takes the challenge away, and gives the error to answer with.
async fn fail(
    credentials: Credentials<'_>,
    context: &RequestContext,
    answer: &ChallengeAnswer,
    reason: &str,
    pass: Pass,
) -> Result<Error, Error> {
    let mut tx = credentials.pool.begin().await?;
    answer.take(&mut tx).await?;
    let entry = AuditEntry {
        classification: Classification::Security,
        new_value: Some(json!({
            "walletDigest": throttle::login_digest(&answer.address), "reason": reason,
        })),
        ..anonymous_entry(AuditAction::AuthLoginFailed, context)
    };
    audit::insert(&mut tx, &[entry]).await?;
    pass.failed(credentials.throttle, &mut tx).await?;
    tx.commit().await?;
    Ok(Error::WrongCredentials)
}
