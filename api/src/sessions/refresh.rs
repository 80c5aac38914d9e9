//! Going on with a log-in: a refresh token is good for one use, and for the same answer once more within
//! a few seconds (`docs/decisions/0010-refresh-tokens.md`).

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::{SessionId, UserId},
    purpose::Purpose,
    seals::Session,
    sessions::{IDLE_AFTER, RefreshVerdict, judge},
    users::ANONYMOUS,
};
use serde_json::json;
use store::{
    KeysetPage, Pool, Tx, audit, barrier,
    sessions::{self, RefreshTokenRow, Which},
};
use vault::refresh::RefreshToken;

use super::{
    begin::{Granted, device},
    shown_token::holder_of,
};
use crate::{
    caller::RequestContext,
    dependencies::SessionIssuer,
    error::Error,
    seals::Seals,
    throttle::{self, Attempt, Pass, Throttle},
    tokens::Tokens,
};

/// What a log-in is gone on with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refreshing<'a> {
    /// The log-ins, and the audit trail.
    pub(crate) pool: &'a Pool,
    /// How often anybody may guess.
    pub(crate) throttle: &'a Throttle,
    /// Makes the next tokens.
    pub(crate) issuer: SessionIssuer<'a>,
}

/// Exchanges a refresh token for the next one and an access token, with its audit row. A token that was
/// used before ends its log-in; whatever is wrong is written down.
///
/// # Errors
/// [`Error::SessionEnded`], whatever was wrong with the token; [`Error::Throttled`] for who guesses.
pub(crate) async fn refresh(
    refreshing: Refreshing<'_>,
    context: &RequestContext,
    given: &str,
) -> Result<Granted, Error> {
    let parent = RefreshToken::parse(given);
    // Who has a good token is not guessing, whatever their neighbours do.
    let holder = match &parent {
        Some(parent) => holder_of(refreshing.pool, parent).await?,
        None => None,
    };
    let pass = if holder.is_some() {
        None
    } else {
        Some(throttle::pass(refreshing.throttle, &context.origin, Attempt::Refresh).await?)
    };
    let mut tx = refreshing.pool.begin().await?;
    match redeem(refreshing.issuer, &mut tx, context, parent.as_ref()).await? {
        Redeemed::By { token, next } => grant(refreshing, tx, context, pass, &token, next).await,
        Redeemed::Before(token) => end(refreshing, tx, context, pass, &token).await,
        Redeemed::Not { token, why } => {
            refuse(refreshing.throttle, tx, context, pass, token.as_ref(), why).await
        }
    }
}

/// What comes of a refresh token.
enum Redeemed {
    /// It is good, and this is the next one.
    By {
        token: RefreshTokenRow,
        next: RefreshToken,
    },
    /// Somebody else used it.
    Before(RefreshTokenRow),
    /// It is no good.
    Not {
        token: Option<RefreshTokenRow>,
        why: &'static str,
    },
}

/// Locks the token's row and uses it, if it may be used.
async fn redeem(
    issuer: SessionIssuer<'_>,
    tx: &mut Tx<'_>,
    context: &RequestContext,
    given: Option<&RefreshToken>,
) -> Result<Redeemed, Error> {
    let found = match given {
        Some(given) => sessions::lock_token(tx, &given.hash()).await?,
        None => None,
    };
    let not = |token, why| Ok(Redeemed::Not { token, why });
    let (Some(given), Some(mut token)) = (given, found) else {
        return not(None, "UNKNOWN");
    };
    let account = issuer.seals.account(tx, token.user).await?;
    token.presented.is_active = account.is_some_and(|account| account.is_active);
    let verdict = judge(&token.presented, token.now);
    if let RefreshVerdict::Ended(why) = verdict {
        // What was ended carries no seal.
        return not(Some(token), why.as_str());
    }
    let Some(row) = open(issuer.seals, &token) else {
        return not(Some(token), "TAMPERED");
    };
    let next = match verdict {
        RefreshVerdict::Rotate => Some(rotate(issuer, tx, context, given, &token, row).await?),
        RefreshVerdict::Again => again(issuer.tokens, tx, given, row.id).await?,
        RefreshVerdict::Reused | RefreshVerdict::Ended(_) => return Ok(Redeemed::Before(token)),
    };
    match next {
        Some(next) => Ok(Redeemed::By { token, next }),
        // The key that made it is gone: nobody can be told what it was.
        None => not(Some(token), "EXPIRED"),
    }
}

/// The token's row, if it and the first row of its log-in are as they were sealed, and belong together.
fn open(seals: &Seals, token: &RefreshTokenRow) -> Option<Session> {
    let row = seals.open(token.row.clone())?;
    let Some(root) = token.root.clone() else {
        return row.parent.is_none().then_some(row);
    };
    let root = seals.open(root)?;
    let belongs = root.parent.is_none() && root.id == row.family && root.user == row.user;
    belongs.then_some(row)
}

async fn rotate(
    issuer: SessionIssuer<'_>,
    tx: &mut Tx<'_>,
    context: &RequestContext,
    parent: &RefreshToken,
    token: &RefreshTokenRow,
    row: Session,
) -> Result<RefreshToken, Error> {
    let id = SessionId::fresh();
    let next = issuer.tokens.successor(parent, id);
    let child = Session {
        id,
        user: row.user,
        refresh_token_hash: next.hash(),
        family: row.family,
        parent: Some(row.id),
        expires_at: row.expires_at,
        idle_expires_at: Some((token.now + IDLE_AFTER).min(token.presented.ends_at)),
        used_at: None,
        second_factor_at: None,
    };
    let used = Session {
        used_at: Some(token.now),
        ..row
    };
    sessions::write(tx, &used, &issuer.seals.seal(&used)?).await?;
    sessions::insert(tx, &child, &issuer.seals.seal(&child)?, device(context)).await?;
    Ok(next)
}

/// Answers the second of two that came at once, or came again because the first answer was lost: by the
/// same successor, which is made again and not read from anywhere. `None` where it cannot be made.
async fn again(
    tokens: &Tokens,
    tx: &mut Tx<'_>,
    parent: &RefreshToken,
    used: SessionId,
) -> Result<Option<RefreshToken>, Error> {
    let known = sessions::child_of(tx, used).await?;
    Ok(known.and_then(|child| {
        let hash = &child.refresh_token_hash;
        tokens.known_successor(parent, child.id, hash)
    }))
}

async fn grant(
    refreshing: Refreshing<'_>,
    mut tx: Tx<'_>,
    context: &RequestContext,
    pass: Option<Pass>,
    token: &RefreshTokenRow,
    next: RefreshToken,
) -> Result<Granted, Error> {
    let one = KeysetPage::after(None, 1);
    let found = sessions::page(&mut tx, token.user, Some(token.family), one).await?;
    let log_in = found.into_iter().next().ok_or(Error::SessionEnded)?;
    let entry = AuditEntry {
        new_value: token.presented.used_at.map(|_| json!({ "again": true })),
        ..entry(context, token.user, token.family, AuditAction::AuthRefresh)
    };
    audit::insert(&mut tx, &[entry]).await?;
    if let Some(pass) = pass {
        pass.succeeded(refreshing.throttle, &mut tx).await?;
    }
    tx.commit().await?;
    let SessionIssuer { tokens, clock, .. } = refreshing.issuer;
    let (access_token, expires_at) = tokens.issue(token.user, token.family, clock.now());
    Ok(Granted {
        access_token,
        expires_at,
        refresh_token: next,
        refresh_expires_at: log_in.idle_expires_at,
        log_in,
    })
}

/// Somebody else had this token: nobody goes on with this log-in. In a transaction of its own: whoever ends a
/// log-in locks the account before its rows.
async fn end(
    refreshing: Refreshing<'_>,
    tx: Tx<'_>,
    context: &RequestContext,
    pass: Option<Pass>,
    token: &RefreshTokenRow,
) -> Result<Granted, Error> {
    tx.rollback().await?;
    let mut tx = refreshing.pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [token.user]).await?;
    sessions::revoke(&mut tx, token.user, Which::One(token.family)).await?;
    let entry = entry(
        context,
        token.user,
        token.family,
        AuditAction::AuthRefreshReuse,
    );
    audit::insert(&mut tx, &[entry]).await?;
    if let Some(pass) = pass {
        pass.failed(refreshing.throttle, &mut tx).await?;
    }
    tx.commit().await?;
    tracing::warn!(session.id = %token.family, "A refresh token was used twice: log-in {} is ended", token.family);
    Err(Error::SessionEnded)
}

async fn refuse(
    throttle: &Throttle,
    mut tx: Tx<'_>,
    context: &RequestContext,
    pass: Option<Pass>,
    token: Option<&RefreshTokenRow>,
    reason: &str,
) -> Result<Granted, Error> {
    let said = json!({ "reason": reason, "wanted": AuditAction::AuthRefresh });
    let (user, family) = token.map_or((ANONYMOUS, SessionId(context.origin.request.0)), |token| {
        (token.user, token.family)
    });
    let entry = AuditEntry {
        new_value: Some(said),
        ..entry(context, user, family, AuditAction::AccessDenied)
    };
    audit::insert(&mut tx, &[entry]).await?;
    if let Some(pass) = pass {
        pass.failed(throttle, &mut tx).await?;
    }
    tx.commit().await?;
    Err(Error::SessionEnded)
}

fn entry(
    context: &RequestContext,
    user: UserId,
    family: SessionId,
    action: AuditAction,
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Session,
        resource_id: family.0,
        classification: Classification::Security,
        ..AuditEntry::new(user, action, Purpose::SystemAdministration, &context.origin)
    }
}
