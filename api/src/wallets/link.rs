//! Linking a wallet to one's account, unlinking it, and the list of those that were.

use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::WalletId,
    purpose::Purpose,
    seals::{Authority, Seal},
    wallets::{ChallengePurpose, ProvenBy, Wallet},
};
use serde_json::json;
use store::{
    Pool, Tx, audit, seals,
    wallets::{self, LinkError, NewWallet, WalletCursor},
};
use uuid::Uuid;

use super::answer::{self, ChallengeAnswer, Flaw};
use crate::{
    caller::{Caller, lookup, refuse},
    dependencies::{Credentials, WalletMessages},
    error::Error,
    page::{CountedRows, PageRange},
    second_factor::check::Code,
    users::password,
};

/// What proves once more who is there.
#[derive(Debug)]
pub(super) struct Reauthentication {
    /// The password.
    pub(super) password: String,
    /// A code of the second factor, if there is one.
    pub(super) code: Code,
}

impl Reauthentication {
    /// Checks the password.
    async fn confirm(
        &self,
        credentials: Credentials<'_>,
        caller: &Caller,
        wanted: AuditAction,
    ) -> Result<(), Error> {
        password::confirm(credentials, caller, &self.password, wanted).await?;
        Ok(())
    }
}

/// Links the wallet that signed `message`, with its audit row. A wallet logs in for good, so a stolen
/// access token alone must not add one: the password is asked again, and the second factor if there
/// is one.
///
/// # Errors
/// [`Error::WrongCredentials`], [`Error::SecondFactorRequired`]; [`Error::BadInput`] for a message or
/// a signature that is no good; [`Error::Conflict`] where the wallet is another account's or this
/// account has one; [`Error::Unavailable`] where only the chain could tell and it does not answer.
pub(super) async fn link(
    messages: WalletMessages<'_>,
    credentials: Credentials<'_>,
    caller: &Caller,
    message: &str,
    signature: &str,
    reauthentication: &Reauthentication,
) -> Result<Wallet, Error> {
    reauthentication
        .confirm(credentials, caller, AuditAction::WalletLink)
        .await?;
    let purpose = ChallengePurpose::Link;
    let answer = answer::read(messages, purpose, Some(caller.user), message).await?;
    let answer = answer.prove(messages.prover, message, signature).await?;

    let mut tx = reauthentication.code.demand(credentials, caller).await?;
    caller.actor(&mut tx).await?;
    let taken = answer.take(&mut tx).await?;
    let proven_by = match answer.verdict {
        Ok(proven_by) if taken => proven_by,
        Ok(_) => return refuse_flaw(tx, caller, Flaw::Nonce).await,
        Err(flaw) => return refuse_flaw(tx, caller, flaw).await,
    };
    let account = credentials.seals.lock(&mut tx, caller.user).await?;
    let account = Authority {
        blockchain_address: Some(answer.address.clone()),
        ..account.ok_or(Error::Unauthenticated)?
    };
    let seal = credentials.seals.seal(&account)?;
    let wallet = match insert(
        messages.deployment.chain_id,
        &mut tx,
        &answer,
        proven_by,
        (&account, &seal),
    )
    .await
    {
        Ok(wallet) => wallet,
        Err(LinkError::Store(error)) => return Err(error.into()),
        Err(conflict @ (LinkError::Taken | LinkError::HasOne)) => {
            // The statement that failed took its transaction with it.
            tx.rollback().await?;
            let tx = credentials.pool.begin().await?;
            return refuse_link(tx, caller, in_words(&conflict)).await;
        }
    };
    let entry = AuditEntry {
        resource_id: wallet.id.0,
        new_value: Some(json!({ "provenBy": proven_by, "chainId": wallet.chain_id })),
        ..entry(caller, AuditAction::WalletLink)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(wallet)
}

async fn insert(
    chain_id: u64,
    tx: &mut Tx<'_>,
    answer: &ChallengeAnswer,
    proven_by: ProvenBy,
    (account, seal): (&Authority, &Seal),
) -> Result<Wallet, LinkError> {
    let new = NewWallet {
        id: WalletId::fresh(),
        user: account.user,
        address: &answer.address,
        chain_id: chain_id.cast_signed(),
        proven_by,
    };
    let wallet = wallets::link(tx, &new).await?;
    seals::write_authority(tx, account, seal).await?;
    Ok(wallet)
}

/// Why a wallet was not linked because of one that is, as the trail has it and as it is answered.
fn in_words(conflict: &LinkError) -> (&'static str, Error) {
    let reason = match conflict {
        LinkError::Taken => "TAKEN",
        LinkError::HasOne => "HAS_ONE",
        LinkError::Store(_) => "STORE",
    };
    let error = Error::Conflict {
        field: "message",
        message: conflict.to_string(),
    };
    (reason, error)
}

/// Writes down why a wallet was not linked, and answers so.
async fn refuse_flaw<T>(tx: Tx<'_>, caller: &Caller, flaw: Flaw) -> Result<T, Error> {
    let error = Error::bad(flaw.field(), flaw.to_string());
    refuse_link(tx, caller, (flaw.as_str(), error)).await
}

async fn refuse_link<T>(
    tx: Tx<'_>,
    caller: &Caller,
    (reason, error): (&str, Error),
) -> Result<T, Error> {
    let wanted = AuditAction::WalletLink;
    refuse(tx, entry(caller, wanted), (reason, wanted), error).await
}

/// Unlinks the wallet of one's account, with its audit row.
///
/// # Errors
/// [`Error::WrongCredentials`], [`Error::SecondFactorRequired`]; [`Error::NotFound`] where none is
/// linked.
pub(super) async fn unlink(
    credentials: Credentials<'_>,
    caller: &Caller,
    reauthentication: &Reauthentication,
) -> Result<Wallet, Error> {
    reauthentication
        .confirm(credentials, caller, AuditAction::WalletUnlink)
        .await?;
    let mut tx = reauthentication.code.demand(credentials, caller).await?;
    caller.actor(&mut tx).await?;
    let wallet = wallets::unlink(&mut tx, caller.user)
        .await?
        .ok_or(Error::NotFound("wallet"))?;
    let account = credentials.seals.lock(&mut tx, caller.user).await?;
    let account = Authority {
        blockchain_address: None,
        ..account.ok_or(Error::Unauthenticated)?
    };
    credentials.seals.write(&mut tx, &account).await?;
    let entry = AuditEntry {
        resource_id: wallet.id.0,
        ..entry(caller, AuditAction::WalletUnlink)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(wallet)
}

/// One's wallets, now and before, the newest first, one more than asked for where there are more.
/// Written down before they are shown.
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over.
pub(super) async fn list(
    pool: &Pool,
    caller: &Caller,
    range: PageRange<WalletCursor>,
    is_counted: bool,
) -> Result<CountedRows<Wallet>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let rows = wallets::page(&mut tx, actor.id, range.keyset()).await?;
    let total = if is_counted {
        wallets::count(&mut tx, actor.id).await?
    } else {
        0
    };
    audit::insert(&mut tx, &[of_reading(caller, actor)]).await?;
    tx.commit().await?;
    Ok(CountedRows { rows, total })
}

/// Those of these wallets that are, or were, one's own, with a row for all of them and one for each that is not.
///
/// # Errors
/// [`Error::Unauthenticated`] where the session is over.
pub(super) async fn by_ids(
    pool: &Pool,
    caller: &Caller,
    ids: &[Uuid],
) -> Result<Vec<Wallet>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let found = wallets::own_by_ids(&mut tx, actor.id, ids).await?;
    let read = of_reading(caller, actor);
    let known: Vec<Uuid> = found.iter().map(|it| it.id.0).collect();
    audit::insert(&mut tx, &lookup(&read, ids, &known)).await?;
    tx.commit().await?;
    Ok(found)
}

fn of_reading(caller: &Caller, actor: Actor) -> AuditEntry {
    AuditEntry {
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        resource_id: actor.id.0,
        resource_type: ResourceType::User,
        ..caller.entry(AuditAction::UserRead, Purpose::default_of(actor.role))
    }
}

fn entry(caller: &Caller, action: AuditAction) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::Wallet,
        classification: Classification::Security,
        patient: Some(caller.user),
        ..caller.entry(action, Purpose::SystemAdministration)
    }
}
