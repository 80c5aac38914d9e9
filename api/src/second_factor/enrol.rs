//! Beginning a second factor, confirming it by its first code, taking it off.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::UserId,
    purpose::Purpose,
    seals::{Authority, Factor, SealedTable, Tampered},
    second_factor::{FactorState, Requirement},
};
use serde_json::json;
use store::{Pool, Tx, audit, second_factors, users};
use vault::second_factor::{FactorSecret, recovery_codes, recovery_hash};

use super::check::{Code, Tried};
use crate::{
    caller::Caller,
    dependencies::Credentials,
    error::Error,
    key_checks::{KeyCheckError, check_master_keys},
    seals::Seals,
    users::password,
};

/// What is shown of a new second factor, once.
pub(super) struct NewFactor {
    /// What an app scans.
    pub(super) uri: String,
    /// What is typed where it cannot scan.
    pub(super) secret: String,
}

/// Begins a second factor, with its audit row. It counts from its first code on.
///
/// # Errors
/// [`Error::WrongCredentials`]; [`Error::Conflict`] where there is one that counts.
pub(super) async fn start(
    credentials: Credentials<'_>,
    caller: &Caller,
    given: &str,
) -> Result<NewFactor, Error> {
    password::confirm(credentials, caller, given, AuditAction::SecondFactorStart).await?;
    let secret = FactorSecret::fresh();
    check_master_keys(credentials.pool, credentials.keyring)
        .await
        .map_err(unusable)?;
    let sealed = credentials.keyring.seal_factor(caller.user, &secret);
    let sealed = sealed.map_err(|error| unusable(error.into()))?;

    let mut tx = credentials.pool.begin().await?;
    let found = users::by_ids(&mut tx, &[caller.user]).await?;
    let user = found.into_iter().next().ok_or(Error::Unauthenticated)?;
    let factor = Factor {
        user: user.id,
        sealed_secret: sealed.bytes,
        master_key_id: sealed.master_key_id,
        confirmed_at: None,
        code_hashes: Vec::new(),
    };
    let seal = credentials.seals.seal(&factor)?;
    if !second_factors::start(&mut tx, &factor, &seal).await? {
        return Err(has_one());
    }
    demand_none(credentials.seals, &mut tx, user.id).await?;
    audit::insert(&mut tx, &[entry(caller, AuditAction::SecondFactorStart)]).await?;
    tx.commit().await?;
    Ok(NewFactor {
        uri: secret.uri(&user.username).to_string(),
        secret: secret.base32().to_string(),
    })
}

/// Makes the second factor that was begun count, and this log-in one that showed it, with its audit
/// row. Answers the recovery codes, which are shown this once.
///
/// # Errors
/// [`Error::NotFound`] where none was begun, [`Error::Conflict`] where it counts already,
/// [`Error::BadInput`] for another code, which is written down.
pub(super) async fn confirm(
    credentials: Credentials<'_>,
    caller: &Caller,
    code: &str,
) -> Result<Vec<String>, Error> {
    let mut tx = credentials.pool.begin().await?;
    let actor = caller.active_actor(&mut tx).await?;
    let locked = second_factors::lock(&mut tx, actor.id).await?;
    let tried = locked.and_then(|locked| Tried::of(credentials, locked));
    let tried = tried.ok_or(Error::NotFound("second factor"))?;
    if tried.factor.confirmed_at.is_some() {
        return Err(has_one());
    }
    demand_none(credentials.seals, &mut tx, actor.id).await?;
    let Some(step) = tried.step_of(credentials, code.trim())? else {
        let wanted = AuditAction::SecondFactorConfirm;
        let refused = AuditEntry {
            new_value: Some(json!({ "reason": "CODE", "wanted": wanted })),
            ..entry(caller, AuditAction::AccessDenied)
        };
        audit::insert(&mut tx, &[refused]).await?;
        tx.commit().await?;
        let message = "this is not the code of this moment: is the clock of the device right?";
        return Err(Error::bad("code", message));
    };
    let codes = recovery_codes();
    let mut hashes: Vec<String> = codes.iter().map(|code| recovery_hash(code)).collect();
    hashes.sort_unstable();
    let factor = Factor {
        confirmed_at: Some(tried.now),
        code_hashes: hashes,
        ..tried.factor
    };
    let seal = credentials.seals.seal(&factor)?;
    second_factors::use_step(&mut tx, actor.id, step).await?;
    second_factors::confirm(&mut tx, &factor, &seal).await?;
    set_second_factor(credentials.seals, &mut tx, actor.id, true).await?;
    credentials
        .seals
        .show_second_factor(&mut tx, caller.session)
        .await?;
    audit::insert(&mut tx, &[entry(caller, AuditAction::SecondFactorConfirm)]).await?;
    tx.commit().await?;
    Ok(codes.iter().map(|code| code.to_string()).collect())
}

/// Takes one's second factor off, with its audit row: no log-in counts as having shown it any more.
///
/// # Errors
/// [`Error::WrongCredentials`], [`Error::SecondFactorRequired`]; [`Error::NotFound`] where there is
/// none.
pub(super) async fn remove(
    credentials: Credentials<'_>,
    caller: &Caller,
    given: &str,
    code: Code,
) -> Result<(), Error> {
    password::confirm(credentials, caller, given, AuditAction::SecondFactorRemove).await?;
    let mut tx = code.demand(credentials, caller).await?;
    if !second_factors::remove(&mut tx, caller.user).await? {
        return Err(Error::NotFound("second factor"));
    }
    set_second_factor(credentials.seals, &mut tx, caller.user, false).await?;
    credentials
        .seals
        .forget_second_factor(&mut tx, caller.user)
        .await?;
    audit::insert(&mut tx, &[entry(caller, AuditAction::SecondFactorRemove)]).await?;
    tx.commit().await?;
    Ok(())
}

/// How one's second factor stands, and whether one is required. Written down before it is shown.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn state(
    pool: &Pool,
    required: Requirement,
    caller: &Caller,
) -> Result<(FactorState, bool), Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.active_actor(&mut tx).await?;
    let state = second_factors::state(&mut tx, actor.id).await?;
    let entry = AuditEntry {
        resource_id: actor.id.0,
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::UserRead, Purpose::default_of(actor.role))
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok((state, required.is_for(actor.role)))
}

/// Refuses where the sealed account names a second factor, whatever became of its row: another device takes
/// the place of none. Lock the row first, as whoever takes it off does.
async fn demand_none(seals: &Seals, tx: &mut Tx<'_>, user: UserId) -> Result<(), Error> {
    let account = seals.lock(tx, user).await?;
    if !account.ok_or(Error::Unauthenticated)?.has_second_factor {
        return Ok(());
    }
    seals.report(Tampered {
        table: SealedTable::SecondFactors,
        row: user.0,
        of: user,
    });
    Err(has_one())
}

/// Lets the account say whether a second factor is asked for, whatever becomes of that row.
async fn set_second_factor(
    seals: &Seals,
    tx: &mut Tx<'_>,
    user: UserId,
    has_second_factor: bool,
) -> Result<(), Error> {
    let account = seals.lock(tx, user).await?;
    let account = Authority {
        has_second_factor,
        ..account.ok_or(Error::Unauthenticated)?
    };
    seals.write(tx, &account).await
}

/// The master keys cannot be used: the operator's to mend.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn unusable(error: KeyCheckError) -> Error {
    tracing::error!(%error, "No second factor can be sealed");
    Error::Unavailable
}

fn has_one() -> Error {
    Error::Conflict {
        field: "secondFactor",
        message: "this account has a second factor; take it off first".to_owned(),
    }
}

fn entry(caller: &Caller, action: AuditAction) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::User,
        resource_id: caller.user.0,
        classification: Classification::Security,
        patient: Some(caller.user),
        ..caller.entry(action, Purpose::SystemAdministration)
    }
}
